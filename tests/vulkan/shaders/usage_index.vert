#version 450
/* SPDX-License-Identifier: MIT
 *
 * Writes down which vertices there were. */

layout(binding = 0) writeonly buffer Target { uint target[]; };

void
main()
{
   target[gl_VertexIndex] = gl_VertexIndex + 1;
   gl_Position = vec4(0);
   gl_PointSize = 1.0;
}

#version 450
/* SPDX-License-Identifier: MIT
 *
 * Writes each vertex down, by its number. */

layout(location = 0) in uint word;
layout(binding = 0) writeonly buffer Target { uint target[]; };

void
main()
{
   target[gl_VertexIndex] = word;
   gl_Position = vec4(0);
   gl_PointSize = 1.0;
}

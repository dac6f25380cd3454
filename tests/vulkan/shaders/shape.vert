#version 450
/* SPDX-License-Identifier: MIT
 *
 * A triangle that covers all pixels, for each layer. */

layout(location = 0) flat out uint layer;

void
main()
{
   layer = gl_InstanceIndex;
   gl_Position = vec4(gl_VertexIndex == 1 ? 3.0 : -1.0, gl_VertexIndex == 2 ? 3.0 : -1.0, 0.0, 1.0);
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * One triangle over the whole picture, behind everything.
 */

#version 450

layout(location = 0) out vec2 at;

void
main()
{
   at = vec2(gl_VertexIndex & 1, gl_VertexIndex >> 1) * 4.0 - 1.0;
   gl_Position = vec4(at, 1.0, 1.0);
}

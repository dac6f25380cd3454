#version 460
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
/* SPDX-License-Identifier: MIT
 *
 * Writes each vertex down, by its number, as in robustness.c. */

layout(location = 0) in int64_t value;
layout(binding = 0) writeonly buffer Target { int64_t target[]; };

void
main()
{
   target[gl_VertexIndex] = value;
   gl_Position = vec4(0);
   gl_PointSize = 1.0;
}

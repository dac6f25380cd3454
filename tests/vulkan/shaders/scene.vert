#version 450
/* SPDX-License-Identifier: MIT
 *
 * Triangles that overlap, with edges at odd places and of every depth; without buffers. */

layout(push_constant) uniform Push { uint first, layer; vec2 size; } push;

layout(location = 0) flat out uint triangle;

void
main()
{
   const uint i = gl_VertexIndex + push.first;
   const uint t = i / 3;

   triangle = t + push.layer * 7;
   const float a = float(t) * 1.7 + float(i % 3) * 2.2 + float(push.layer);
   gl_Position = vec4(sin(a) * 1.2, cos(a * 1.3) * 1.1, fract(float(i) * 0.37), 1.0);
}

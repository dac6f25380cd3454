#version 450
/* SPDX-License-Identifier: MIT */

layout(location = 0) flat in uint triangle;
layout(location = 0) out vec4 colour;

void
main()
{
   colour = vec4(fract(gl_FragCoord.x / 37.0), fract(gl_FragCoord.y / 23.0),
                 fract(float(triangle) * 0.3), 0.25 + fract(gl_FragCoord.x * gl_FragCoord.y / 99.0) / 2.0);
}

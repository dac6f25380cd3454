#version 450
/* SPDX-License-Identifier: MIT */

layout(location = 0) flat in uint triangle;
layout(location = 0) out uvec4 value;

void
main()
{
   const uvec2 at = uvec2(gl_FragCoord.xy);

   value = uvec4(at.x * 7 + at.y * 13 + triangle, at.yx, triangle * 31 + 1);
}

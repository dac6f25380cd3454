/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Which page each pixel wants, drawn smaller than the picture and read by the
 * CPU two frames later.
 */

#version 450
#extension GL_GOOGLE_include_directive : require
#include "camera.glsl"
#include "lod.glsl"

layout(constant_id = 1) const int TEXTURE_PX = 16384;

const int PAGE_PX = 128;

layout(location = 0) in vec2 uv;
layout(location = 1) in vec3 world;

layout(location = 0) out uint page;

void
main()
{
   footprint f = footprint_at(uv, float(TEXTURE_PX));
   int level = int(clamp(floor(f.lod - eye.w), 0.0, float(FIXED_LEVEL)));
   int level_px = TEXTURE_PX >> level;
   ivec2 texel = clamp(ivec2(uv * float(level_px)), ivec2(0),
                       ivec2(level_px - 1));
   uvec2 at = uvec2(texel / PAGE_PX);

   page = uint(level) << 24 | at.y << 12 | at.x;
}

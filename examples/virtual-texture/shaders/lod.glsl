/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Which level a pixel wants.  The feedback pass and the picture must agree on
 * it, or pages would be loaded that nobody looks at.
 */

/* Levels from this one on are always resident. */
layout(constant_id = 0) const int FIXED_LEVEL = 5;

/* Taps along the longer axis of the pixel's footprint, at most. */
const float MAX_TAPS = 4.0;

struct footprint
{
   vec2 axis; /* the longer one, in texture coordinates */
   float taps;
   float lod;
};

footprint
footprint_at(vec2 uv, float texture_px)
{
   vec2 dx = dFdx(uv), dy = dFdy(uv);
   float x2 = dot(dx, dx), y2 = dot(dy, dy);
   float longer = sqrt(max(x2, y2)) * texture_px;
   float shorter = sqrt(min(x2, y2)) * texture_px;
   footprint f;

   f.axis = x2 > y2 ? dx : dy;
   f.taps = clamp(ceil(longer / max(shorter, 1e-6)), 1.0, MAX_TAPS);
   f.lod = log2(max(longer / f.taps, 1e-6));
   return f;
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Reads four texels of every page of every level, resident or not, at places
 * that change from frame to frame, for the CPU to compare with what it bound:
 * the alpha channel is a watermark of level, page and place.
 */

#version 450
#extension GL_ARB_sparse_texture2 : require

layout(local_size_x = 64) in;

layout(set = 0, binding = 0) uniform sampler2D map;

struct finding
{
   uint alphas;  /* the four watermarks */
   uint resident; /* bit 0..3: residency codes; bit 8..11: colour not zero */
};

layout(std430, set = 0, binding = 1) writeonly buffer findings
{
   finding found[];
};

layout(push_constant) uniform audit
{
   uint page_count;
   uint texture_px;
   uint places[4]; /* y << 8 | x */
};

const uint PAGE_PX = 128;

void
main()
{
   uint page = gl_GlobalInvocationID.x;
   uint level = 0;
   uint side = texture_px / PAGE_PX;
   uint first = 0;

   if (page >= page_count)
      return;
   while (page - first >= side * side) {
      first += side * side;
      side = max(side / 2, 1);
      level++;
   }

   uvec2 corner = uvec2((page - first) % side, (page - first) / side) * PAGE_PX;
   uint mask = min(texture_px >> level, PAGE_PX) - 1;
   finding f = finding(0, 0);

   for (uint i = 0; i < 4; i++) {
      uvec2 at = uvec2(places[i] & 255, places[i] >> 8) & mask;
      vec4 texel = vec4(0.0);
      int code =
         sparseTexelFetchARB(map, ivec2(corner + at), int(level), texel);

      f.alphas |= uint(texel.a * 255.0 + 0.5) << 8 * i;
      if (sparseTexelsResidentARB(code))
         f.resident |= 1u << i;
      if (any(notEqual(texel.rgb, vec3(0.0))))
         f.resident |= 256u << i;
   }
   found[page] = f;
}

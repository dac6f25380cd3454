#version 450
/* SPDX-License-Identifier: MIT
 *
 * Stores to each sample its number, plus one. */

layout(local_size_x = 8, local_size_y = 8) in;

layout(binding = 0, r32ui) uniform writeonly uimage2DMSArray image;
layout(push_constant) uniform Push { uint level, width, height; } push;

void
main()
{
   const uvec3 at = gl_GlobalInvocationID;

   if (at.x >= push.width || at.y >= push.height)
      return;

   const uint index = (at.z * push.height + at.y) * push.width + at.x;
   for (int s = 0; s < 4; s++)
      imageStore(image, ivec3(at), s, uvec4(index * 4 + s + 1));
}

#version 450
/* SPDX-License-Identifier: MIT
 *
 * Stores to each texel its number, plus one; by atomics or not. */

layout(local_size_x = 8, local_size_y = 8) in;

layout(binding = 0, r32ui) uniform uimage2DArray image;
layout(binding = 1) writeonly buffer Target { uvec2 target[]; };
layout(push_constant) uniform Push { uint level, width, height, atomics; } push;

void
main()
{
   const uvec3 at = gl_GlobalInvocationID;

   if (at.x >= push.width || at.y >= push.height)
      return;

   const uint index = (at.z * push.height + at.y) * push.width + at.x;
   uint before = 0;
   if (push.atomics == 1)
      before = imageAtomicAdd(image, ivec3(at), index + 1);
   else
      imageStore(image, ivec3(at), uvec4(index + 1));
   /* What a read finds right after it. */
   memoryBarrierImage();
   target[index] = uvec2(before, imageLoad(image, ivec3(at)).x);
}

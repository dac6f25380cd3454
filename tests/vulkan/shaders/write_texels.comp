#version 450
/* SPDX-License-Identifier: MIT
 *
 * Stores to the texels of a storage texel buffer, from push.first on. */

layout(local_size_x = 64) in;

layout(binding = 0, r32ui) uniform writeonly uimageBuffer target;
layout(push_constant) uniform Push { uint first, count, value; } push;

void
main()
{
   if (gl_GlobalInvocationID.x < push.count)
      imageStore(target, int(push.first + gl_GlobalInvocationID.x),
                 uvec4(push.value + gl_GlobalInvocationID.x));
}

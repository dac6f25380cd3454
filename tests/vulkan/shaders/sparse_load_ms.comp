#version 450
#extension GL_ARB_sparse_texture2 : require
/* SPDX-License-Identifier: MIT
 *
 * Each sample of an array, as a storage image: its value, and whether it is resident. */

layout(local_size_x = 8, local_size_y = 8) in;

layout(binding = 0, r32ui) uniform readonly uimage2DMSArray source;
layout(binding = 1) writeonly buffer Target { uvec2 target[]; };
layout(push_constant) uniform Push { uint level, width, height, bits; } push;

void
main()
{
   const uvec3 at = gl_GlobalInvocationID;

   if (at.x >= push.width || at.y >= push.height)
      return;

   const uint index = (at.z * push.height + at.y) * push.width + at.x;
   for (int s = 0; s < 4; s++) {
      uvec4 value = uvec4(0);
      const int code = sparseImageLoadARB(source, ivec3(at), s, value);
      target[index * 4 + s] = uvec2(value.x, sparseTexelsResidentARB(code) ? 1 : 0);
   }
}

#version 450
#extension GL_ARB_sparse_texture2 : require
/* SPDX-License-Identifier: MIT
 *
 * Each texel of a level of an array: its value, and whether it is resident. */

layout(local_size_x = 8, local_size_y = 8) in;

layout(binding = 0) uniform usampler2DArray source;
layout(binding = 1) writeonly buffer Target { uvec2 target[]; };
layout(push_constant) uniform Push { uint level, width, height, bits; } push;

void
main()
{
   const uvec3 at = gl_GlobalInvocationID;

   if (at.x >= push.width || at.y >= push.height)
      return;

   const uint index = (at.z * push.height + at.y) * push.width + at.x;
   uvec4 value = uvec4(0);
   const int code = sparseTexelFetchARB(source, ivec3(at), int(push.level), value);
   target[index] = uvec2(value.x, sparseTexelsResidentARB(code) ? 1 : 0);
}

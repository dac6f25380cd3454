#version 450
#extension GL_ARB_sparse_texture2 : require
/* SPDX-License-Identifier: MIT
 *
 * The texel and its right, lower and diagonal neighbours: their sum, and whether all are resident. */

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
   const vec2 corner = vec2(at.xy + 1) / vec2(push.width, push.height);
   const int code = sparseTextureGatherARB(source, vec3(corner, at.z), value);
   target[index] = uvec2(value.x + value.y + value.z + value.w,
                         sparseTexelsResidentARB(code) ? 1 : 0);
}

#version 450
#extension GL_ARB_sparse_texture2 : require
/* SPDX-License-Identifier: MIT
 *
 * For each texel of level push.level: its value, and whether it is resident. */

layout(local_size_x = 8, local_size_y = 8) in;

layout(binding = 0) uniform usampler2D source;
layout(binding = 1) writeonly buffer Target { uvec2 target[]; };
layout(push_constant) uniform Push { uint level, width, height; } push;

void
main()
{
   const uvec2 at = gl_GlobalInvocationID.xy;

   if (at.x >= push.width || at.y >= push.height)
      return;

   uvec4 value;
   const int code = sparseTexelFetchARB(source, ivec2(at), int(push.level), value);
   target[at.y * push.width + at.x] = uvec2(value.x, sparseTexelsResidentARB(code) ? 1 : 0);
}

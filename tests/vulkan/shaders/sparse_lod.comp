#version 450
#extension GL_ARB_sparse_texture2 : require
/* SPDX-License-Identifier: MIT
 *
 * Samples at the centre of each texel of a level, at a level of detail given in bits. */

layout(local_size_x = 8, local_size_y = 8) in;

layout(binding = 0) uniform sampler2DArray source;
layout(binding = 1) writeonly buffer Target { uvec2 target[]; };
layout(push_constant) uniform Push { uint level, width, height, bits; } push;

void
main()
{
   const uvec3 at = gl_GlobalInvocationID;

   if (at.x >= push.width || at.y >= push.height)
      return;

   const uint index = (at.z * push.height + at.y) * push.width + at.x;
   vec4 value = vec4(0);
   const vec2 centre = (vec2(at.xy) + 0.5) / vec2(push.width, push.height);
   const int code =
      sparseTextureLodARB(source, vec3(centre, at.z), uintBitsToFloat(push.bits), value);
   target[index] = uvec2(floatBitsToUint(value.x), sparseTexelsResidentARB(code) ? 1 : 0);
}

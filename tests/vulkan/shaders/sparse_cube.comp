#version 450
#extension GL_ARB_sparse_texture2 : require
/* SPDX-License-Identifier: MIT
 *
 * Each texel of each face of each cube, by its direction. */

layout(local_size_x = 8, local_size_y = 8) in;

layout(binding = 0) uniform usamplerCubeArray source;
layout(binding = 1) writeonly buffer Target { uvec2 target[]; };
layout(push_constant) uniform Push { uint level, width, height, bits; } push;

void
main()
{
   const uvec3 at = gl_GlobalInvocationID;

   if (at.x >= push.width || at.y >= push.height)
      return;

   const uint index = (at.z * push.height + at.y) * push.width + at.x;
   const vec2 st = (vec2(at.xy) + 0.5) / vec2(push.width, push.height) * 2.0 - 1.0;
   const vec3 directions[6] = vec3[](vec3(1, -st.y, -st.x), vec3(-1, -st.y, st.x),
                                     vec3(st.x, 1, st.y), vec3(st.x, -1, -st.y),
                                     vec3(st.x, -st.y, 1), vec3(-st.x, -st.y, -1));
   uvec4 value = uvec4(0);
   const int code = sparseTextureLodARB(source, vec4(directions[at.z % 6], at.z / 6),
                                        float(push.level), value);
   target[index] = uvec2(value.x, sparseTexelsResidentARB(code) ? 1 : 0);
}

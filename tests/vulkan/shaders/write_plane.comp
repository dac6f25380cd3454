#version 450
/* SPDX-License-Identifier: MIT
 *
 * Stores to each texel of a plane where it is. */

layout(local_size_x = 8, local_size_y = 8) in;

layout(binding = 0) uniform writeonly image2DArray plane;
layout(push_constant) uniform Push { uint level, width, height; } push;

void
main()
{
   const uvec2 at = gl_GlobalInvocationID.xy;

   if (at.x < push.width && at.y < push.height)
      imageStore(plane, ivec3(at, 0), vec4(vec2(at & 255u) / 255.0, 0.0, 1.0));
}

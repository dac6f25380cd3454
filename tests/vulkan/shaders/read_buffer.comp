#version 450
/* SPDX-License-Identifier: MIT
 *
 * Copies the words of a storage buffer, from push.x on. */

layout(local_size_x = 64) in;

layout(binding = 0) readonly buffer Source { uint source[]; };
layout(binding = 1) writeonly buffer Target { uint target[]; };
layout(push_constant) uniform Push { uint first, count; } push;

void
main()
{
   if (gl_GlobalInvocationID.x < push.count)
      target[gl_GlobalInvocationID.x] = source[push.first + gl_GlobalInvocationID.x];
}

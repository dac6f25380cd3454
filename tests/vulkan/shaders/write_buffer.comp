#version 450
/* SPDX-License-Identifier: MIT
 *
 * Stores to every push.stride-th word of a buffer, adds to it, and keeps what the addition returned. */

layout(local_size_x = 64) in;

layout(binding = 0) buffer Target { uint target[]; };
layout(binding = 1) writeonly buffer Seen { uint seen[]; };
layout(push_constant) uniform Push { uint value, count, stride; } push;

void
main()
{
   const uint i = gl_GlobalInvocationID.x;

   if (i < push.count) {
      target[i * push.stride] = push.value + i;
      memoryBarrierBuffer();
      seen[i] = atomicAdd(target[i * push.stride], 1);
   }
}

#version 450
/* SPDX-License-Identifier: MIT
 *
 * A uniform buffer of 64 KiB as it is read. */

layout(local_size_x = 64) in;

layout(binding = 0) writeonly buffer Target { uvec4 target[]; };
layout(binding = 1, std140) uniform Source { uvec4 source[4096]; };

void
main()
{
   target[gl_GlobalInvocationID.x] = source[gl_GlobalInvocationID.x];
}

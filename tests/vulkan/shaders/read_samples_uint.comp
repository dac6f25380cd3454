#version 450
/* SPDX-License-Identifier: MIT
 *
 * Every sample of a layer of a multisampled image, as bits. */

layout(local_size_x = 8, local_size_y = 8) in;

layout(binding = 0) uniform usampler2DMSArray source;
layout(binding = 1) writeonly buffer Target { uvec4 target[]; };
layout(push_constant) uniform Push { uint width, height, layers; } push;

void
main()
{
   const uvec3 at = gl_GlobalInvocationID;

   if (at.x >= push.width || at.y >= push.height)
      return;

   for (int s = 0; s < 4; s++)
      target[((at.z * push.height + at.y) * push.width + at.x) * 4 + s] =
         texelFetch(source, ivec3(at), s);
}

#version 450
#extension GL_ARB_sparse_texture2 : require
#extension GL_EXT_shader_image_load_formatted : require
/* SPDX-License-Identifier: MIT
 *
 * Each texel of one level of an image of TYPE (2D, 2DArray, Cube, CubeArray, 3D): STORE puts a value
 * there that depends on nothing but its number; the others say what is there, and whether it is
 * resident. FLAT: without a third coordinate. PIXELS: each texel is a pixel, an instance a layer. */

#ifdef PIXELS
layout(location = 0) flat in uint layer;
#define INVOCATION uvec3(gl_FragCoord.xy, layer)
#else
layout(local_size_x = 8, local_size_y = 8) in;
#define INVOCATION gl_GlobalInvocationID
#endif

#define PASTE_(a, b) a##b
#define PASTE(a, b)  PASTE_(a, b)

#ifdef STORE
layout(binding = 0) uniform writeonly PASTE(uimage, TYPE) image;
#else
#ifdef LOAD
layout(binding = 0) uniform readonly PASTE(uimage, TYPE) image;
#else
layout(binding = 0) uniform PASTE(usampler, TYPE) image;
#endif
layout(binding = 1) writeonly buffer Values { uvec4 values[]; };
layout(binding = 2) writeonly buffer Codes { uint codes[]; };
#endif

/* The size of the level, and of the others what the view calls it; or the bits of a value. */
layout(push_constant) uniform Push { uint width, height, bits_or_lod, seed; } push;

#ifdef FLAT
#define AT    ivec2(at.xy)
#define POINT (vec2(at.xy) + 0.5) / vec2(push.width, push.height)
#define HALF  0.5 / vec2(push.width, push.height)
#else
#define AT    ivec3(at)
#define POINT vec3((vec2(at.xy) + 0.5) / vec2(push.width, push.height), at.z)
#define HALF  vec3(0.5 / vec2(push.width, push.height), 0)
#endif

uint
value(uint number)
{
   return ((number + push.seed) * 2654435761u) >> (32 - push.bits_or_lod);
}

void
main()
{
   const uvec3 at = INVOCATION;

   if (at.x >= push.width || at.y >= push.height)
      return;

   const uint index = (at.z * push.height + at.y) * push.width + at.x;
#ifdef STORE
   imageStore(image, AT,
              uvec4(value(index * 4), value(index * 4 + 1), value(index * 4 + 2), value(index * 4 + 3)));
#else
   uvec4 texel;
   int code;
#if defined(LOAD)
   code = sparseImageLoadARB(image, AT, texel);
#elif defined(FETCH)
   code = sparseTexelFetchARB(image, AT, int(push.bits_or_lod), texel);
#elif defined(SAMPLE)
   code = sparseTextureLodARB(image, POINT, float(push.bits_or_lod), texel);
#elif defined(IMPLICIT)
   code = sparseTextureARB(image, POINT, texel);
#else
   /* Of four texels, the one at the smaller coordinates is the last. */
   uvec4 r, g, b, a;
   code = sparseTextureGatherARB(image, POINT + HALF, r, 0);
   sparseTextureGatherARB(image, POINT + HALF, g, 1);
   sparseTextureGatherARB(image, POINT + HALF, b, 2);
   sparseTextureGatherARB(image, POINT + HALF, a, 3);
   texel = uvec4(r.w, g.w, b.w, a.w);
#endif
   values[index] = texel;
   codes[index] = sparseTexelsResidentARB(code) ? 1 : 0;
#endif
}

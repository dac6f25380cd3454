#version 460
#extension GL_ARB_sparse_texture2 : require
#extension GL_EXT_shader_image_load_formatted : require
#extension GL_EXT_shader_image_int64 : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#extension GL_EXT_shader_atomic_float : require
#extension GL_EXT_shader_atomic_float2 : require
/* SPDX-License-Identifier: MIT
 *
 * Four invocations for each texel do the same operation on it, each with another operand, and say what
 * they found.  For one type of texel (UINT64, SINT64 or FLOAT32) and one SHAPE of image, as in
 * image_atomics.c. */

layout(local_size_x = 64) in;

#define PASTE(a, b) a##b

#if defined(UINT64)
#define VALUE       uint64_t
#define VEC         u64vec4
#define FORMAT      r64ui
#define IMAGE(name) PASTE(u64, name)
#elif defined(SINT64)
#define VALUE       int64_t
#define VEC         i64vec4
#define FORMAT      r64i
#define IMAGE(name) PASTE(i64, name)
#else
#define VALUE       float
#define VEC         vec4
#define FORMAT      r32f
#define IMAGE(name) name
#endif

#if SHAPE == 0
#define DIM  image1D
#define AT   x
#elif SHAPE == 1
#define DIM  image1DArray
#define AT   ivec2(x, z)
#elif SHAPE == 2
#define DIM  image2D
#define AT   ivec2(x, y)
#elif SHAPE == 3
#define DIM  image2DArray
#define AT   ivec3(x, y, z)
#elif SHAPE == 4
#define DIM  image3D
#define AT   ivec3(x, y, z)
#elif SHAPE == 5
#define DIM  imageCube
#define AT   ivec3(x, y, z)
#elif SHAPE == 6
#define DIM  imageCubeArray
#define AT   ivec3(x, y, z)
#elif SHAPE == 7
#define DIM  imageBuffer
#define AT   int(texel)
#endif

layout(binding = 0, FORMAT) uniform IMAGE(DIM) image;
layout(binding = 0) uniform IMAGE(DIM) image_of_any_format;
layout(binding = 1) writeonly buffer Target { uvec2 target[]; };
/* The size of a row and of a layer. */
layout(push_constant) uniform Push { uint texels, operation, width, height; } push;

#define OP_ADD         0
#define OP_MIN         1
#define OP_MAX         2
#define OP_EXCHANGE    3
#define OP_AND         4
#define OP_OR          5
#define OP_XOR         6
#define OP_SWAP        7
#define OP_STORE       8
#define OP_STORE_ANY   9
#define OP_SPARSE_LOAD 10

/* As in image_atomics.c. */
VALUE
initial(uint texel)
{
#ifdef FLOAT32
   return float(texel % 64u) - 20.0;
#else
   return VALUE(uint64_t(texel + 1) * 0xd1b54a32d192ed03ul);
#endif
}

VALUE
operand(uint texel, uint i)
{
#ifdef FLOAT32
   return float((texel * 7u + i * 13u) % 61u) - 30.0;
#else
   return VALUE(uint64_t(texel * 4 + i + 1) * 0x9e3779b97f4a7c15ul);
#endif
}

uvec2
bits(VALUE value)
{
#ifdef FLOAT32
   return uvec2(floatBitsToUint(value), 0);
#else
   return uvec2(uint(uint64_t(value)), uint(uint64_t(value) >> 32));
#endif
}

/* What a load returns beside the texel must be 0, 0, 1. */
VALUE
only(VEC all)
{
   return all.y == VALUE(0) && all.z == VALUE(0) && all.w == VALUE(1) ? all.x : VALUE(99);
}

void
main()
{
   const uint id = gl_GlobalInvocationID.x;
   const uint texel = id / 4, i = id % 4;
   const int x = int(texel % push.width), y = int(texel / push.width % push.height);
   const int z = int(texel / push.width / push.height);
   const VALUE value = operand(texel, i);
   VALUE found = VALUE(0);

   if (texel >= push.texels)
      return;

   switch (push.operation) {
   case OP_ADD: found = imageAtomicAdd(image, AT, value); break;
   case OP_MIN: found = imageAtomicMin(image, AT, value); break;
   case OP_MAX: found = imageAtomicMax(image, AT, value); break;
   case OP_EXCHANGE: found = imageAtomicExchange(image, AT, value); break;
#ifndef FLOAT32
   case OP_AND: found = imageAtomicAnd(image, AT, value); break;
   case OP_OR: found = imageAtomicOr(image, AT, value); break;
   case OP_XOR: found = imageAtomicXor(image, AT, value); break;
   case OP_SWAP: {
      const VALUE expected = i < 2 ? initial(texel) : operand(texel, 0);
      found = imageAtomicCompSwap(image, AT, expected, value);
      break;
   }
#endif
   case OP_STORE:
      if (i == 0) {
         imageStore(image, AT, VEC(value, 5, 6, 7));
         memoryBarrierImage();
         found = only(imageLoad(image, AT));
      }
      break;
   case OP_STORE_ANY:
      if (i == 0) {
         imageStore(image_of_any_format, AT, VEC(value, 5, 6, 7));
         memoryBarrierImage();
         found = only(imageLoad(image_of_any_format, AT));
      }
      break;
#if SHAPE >= 2 && SHAPE <= 6
   case OP_SPARSE_LOAD: {
      VEC all;
      const int code = sparseImageLoadARB(image, AT, all);
      found = i == 0 ? only(all) : VALUE(sparseTexelsResidentARB(code) ? 1 : 0);
      break;
   }
#endif
   }

   target[id] = bits(found);
}

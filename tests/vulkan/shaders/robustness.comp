#version 460
#extension GL_EXT_shader_image_load_formatted : require
#extension GL_EXT_shader_image_int64 : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
/* SPDX-License-Identifier: MIT
 *
 * Looks at 64-bit integers far before and behind what there is, and at nothing at all, as in robustness.c.  For one
 * SHAPE of image; a texel buffer (7) comes with a storage and a uniform buffer.  Each invocation says what was wrong. */

layout(local_size_x = 64) in;

#if SHAPE == 0
#define DIM    i64image1D
#define AT(v)  v.x
#define COORDS 1
#elif SHAPE == 1
#define DIM    i64image1DArray
#define AT(v)  v.xy
#define COORDS 2
#elif SHAPE == 2
#define DIM    i64image2D
#define AT(v)  v.xy
#define COORDS 2
#elif SHAPE == 3
#define DIM    i64image2DArray
#define AT(v)  v
#define COORDS 3
#elif SHAPE == 4
#define DIM    i64image3D
#define AT(v)  v
#define COORDS 3
#elif SHAPE == 5
#define DIM    i64imageCube
#define AT(v)  v
#define COORDS 3
#elif SHAPE == 6
#define DIM    i64imageCubeArray
#define AT(v)  v
#define COORDS 3
#elif SHAPE == 7
#define DIM    i64imageBuffer
#define AT(v)  v.x
#define COORDS 1
#endif

layout(binding = 0) writeonly buffer Target { uint target[]; };
layout(binding = 1, r64i) uniform DIM image;
layout(binding = 1) uniform DIM image_of_any_format;
#if SHAPE == 7
layout(binding = 2) buffer Storage { int64_t storage[]; };
layout(binding = 3, std140) uniform Uniform { i64vec2 uniforms[64]; };
/* Of values that 32 bits can hold. */
layout(binding = 4) uniform isamplerBuffer texels;
#endif
/* The size in each coordinate that there is; 0 of nothing. */
layout(push_constant) uniform Push { int size[3]; uint is_null; } push;

#define FIRST  1050
#define STORED 77

/* As in robustness.c. */
int64_t
value_at(ivec3 at)
{
   return int64_t(at.x + 1) * 0x100000000l + at.y * 1000 + at.z;
}

bool
is_right(i64vec4 found, bool inside, ivec3 at, bool has_format)
{
   const i64vec4 nothing = i64vec4(0, 0, 0, 1);

   if (inside)
      return found == i64vec4(value_at(at), 0, 0, 1);
   if (push.is_null == 0)
      return found == nothing;
   return found == i64vec4(0) || (has_format && found == nothing);
}

void
main()
{
   const int c = int(gl_GlobalInvocationID.x) - FIRST;
   uint wrong = 0;

   for (int i = 0; i < COORDS; i++) {
      const ivec3 at = ivec3(i == 0 ? c : 0, i == 1 ? c : 0, i == 2 ? c : 0);
      const bool inside = c >= 0 && c < push.size[i];

      if (!inside) {
         imageStore(image, AT(at), i64vec4(STORED));
         imageStore(image_of_any_format, AT(at), i64vec4(STORED));
         if (imageAtomicAdd(image, AT(at), int64_t(1)) != 0 && push.is_null != 0)
            wrong |= 1u << (4 * i);
      }
      if (!is_right(imageLoad(image, AT(at)), inside, at, true))
         wrong |= 2u << (4 * i);
      if (!is_right(imageLoad(image_of_any_format, AT(at)), inside, at, false))
         wrong |= 4u << (4 * i);
   }

#if SHAPE == 7
   const bool inside = c >= 0 && c < push.size[0];
   const int64_t expected = inside ? value_at(ivec3(c, 0, 0)) : 0;

   if (!inside)
      storage[c] = STORED;
   if (storage[c] != expected)
      wrong |= 0x1000u;
   /* Beyond the size that the shader declares nothing is promised. */
   if (c >= 0 && c < 64 && uniforms[c].x != expected)
      wrong |= 0x2000u;

   const ivec4 texel = texelFetch(texels, c);
   if (texel != ivec4(inside ? 2 * c + 3 : 0, 0, 0, 1) &&
       (push.is_null == 0 || texel != ivec4(0)))
      wrong |= 0x4000u;
#endif
   target[gl_GlobalInvocationID.x] = wrong;
}

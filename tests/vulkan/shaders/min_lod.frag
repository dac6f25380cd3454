#version 450
#extension GL_ARB_sparse_texture2 : require
#extension GL_ARB_sparse_texture_clamp : require
/* SPDX-License-Identifier: MIT
 *
 * Samples one kind of texture (KIND, below) with each function that takes a minimum level of detail,
 * another in each invocation.  Neighbours are as far apart in the texture as the program says, and that
 * gives the level of detail; comparisons are added up to the level.  For Vulkan and for OpenGL. */

#define TEX_1D                0
#define TEX_1D_ARRAY          1
#define TEX_2D                2
#define TEX_2D_ARRAY          3
#define TEX_3D                4
#define TEX_CUBE              5
#define TEX_CUBE_ARRAY        6
#define TEX_1D_SHADOW         7
#define TEX_1D_ARRAY_SHADOW   8
#define TEX_2D_SHADOW         9
#define TEX_2D_ARRAY_SHADOW   10
#define TEX_CUBE_SHADOW       11
#define TEX_CUBE_ARRAY_SHADOW 12

#ifdef VULKAN
layout(push_constant) uniform Push { uint function, distance_bits, min_bits, target_first; } push;
#else
struct Push {
   uint function, distance_bits, min_bits, target_first;
};
uniform Push push;
#endif
layout(binding = 1) writeonly buffer Target { uvec2 target[]; };

const float bias = 1.25;

/* The place, its derivatives, and the part of a coordinate that comes after it. */
#if KIND == TEX_1D || KIND == TEX_1D_ARRAY || KIND == TEX_1D_SHADOW || KIND == TEX_1D_ARRAY_SHADOW
#define PLACE(st)  (st).x
#define GRAD(d)    (d).x
#define OFFSET     3
#elif KIND == TEX_3D
#define PLACE(st)  vec3(st, 0.5)
#define GRAD(d)    vec3(d, 0.0)
#define OFFSET     ivec3(3, -2, 1)
#elif KIND == TEX_CUBE || KIND == TEX_CUBE_ARRAY || KIND == TEX_CUBE_SHADOW || KIND == TEX_CUBE_ARRAY_SHADOW
#define PLACE(st)  vec3(1.0, 1.0 - 2.0 * (st).y, 1.0 - 2.0 * (st).x)
#define GRAD(d)    vec3(0.0, -2.0 * (d).y, -2.0 * (d).x)
#else
#define PLACE(st)  st
#define GRAD(d)    d
#define OFFSET     ivec2(3, -2)
#endif

#define SHADOW (KIND >= TEX_1D_SHADOW)
/* What the extension defines. */
#define HAS_SPARSE (KIND != TEX_1D && KIND != TEX_1D_ARRAY && KIND != TEX_1D_SHADOW && KIND != TEX_1D_ARRAY_SHADOW)
#define HAS_GRAD   (KIND != TEX_CUBE_ARRAY_SHADOW)
#define HAS_BIAS   (KIND != TEX_2D_ARRAY_SHADOW && KIND != TEX_CUBE_ARRAY_SHADOW)

#if KIND == TEX_1D
layout(binding = 0) uniform sampler1D source;
#define P PLACE(st)
#elif KIND == TEX_1D_ARRAY
layout(binding = 0) uniform sampler1DArray source;
#define P vec2(PLACE(st), 1.0)
#elif KIND == TEX_2D
layout(binding = 0) uniform sampler2D source;
#define P PLACE(st)
#elif KIND == TEX_2D_ARRAY
layout(binding = 0) uniform sampler2DArray source;
#define P vec3(PLACE(st), 1.0)
#elif KIND == TEX_3D
layout(binding = 0) uniform sampler3D source;
#define P PLACE(st)
#elif KIND == TEX_CUBE
layout(binding = 0) uniform samplerCube source;
#define P PLACE(st)
#elif KIND == TEX_CUBE_ARRAY
layout(binding = 0) uniform samplerCubeArray source;
#define P vec4(PLACE(st), 1.0)
#elif KIND == TEX_1D_SHADOW
layout(binding = 0) uniform sampler1DShadow source;
#define P vec3(PLACE(st), 0.0, ref)
#elif KIND == TEX_1D_ARRAY_SHADOW
layout(binding = 0) uniform sampler1DArrayShadow source;
#define P vec3(PLACE(st), 1.0, ref)
#elif KIND == TEX_2D_SHADOW
layout(binding = 0) uniform sampler2DShadow source;
#define P vec3(PLACE(st), ref)
#elif KIND == TEX_2D_ARRAY_SHADOW
layout(binding = 0) uniform sampler2DArrayShadow source;
#define P vec4(PLACE(st), 1.0, ref)
#elif KIND == TEX_CUBE_SHADOW
layout(binding = 0) uniform samplerCubeShadow source;
#define P vec4(PLACE(st), ref)
#elif KIND == TEX_CUBE_ARRAY_SHADOW
layout(binding = 0) uniform samplerCubeArrayShadow source;
#define P vec4(PLACE(st), 1.0), ref
#endif

#if SHADOW
#define TEXEL float
#define X(texel) texel
/* The textures hold their level in sixteenths. */
#define EACH(what) for (int i = 0; i < 8; i++) { const float ref = (float(i) + 0.5) / 16.0; what }
#else
#define TEXEL vec4
#define X(texel) (texel).x
#define EACH(what) { what }
#endif

float value = 0.0;
bool resident = true;

#define LOOK(call) EACH(value += X(call);)
#define SPARSE_LOOK(call) \
   EACH(TEXEL texel = TEXEL(0); const int code = call; \
        value += X(texel); resident = resident && sparseTexelsResidentARB(code);)

void
main()
{
   const ivec2 at = ivec2(gl_FragCoord.xy);
   const float apart = uintBitsToFloat(push.distance_bits);
   const vec2 st = vec2(0.5) + apart * (vec2(at & 1) - 0.5);
   const vec2 dx = vec2(apart, 0.0), dy = vec2(0.0, apart);
   const float minimum = uintBitsToFloat(push.min_bits) + 0.7 * float((at.x + at.y * 3) % 5);

   switch (push.function) {
   case 0: LOOK(textureClampARB(source, P, minimum)) break;
#if HAS_BIAS
   case 1: LOOK(textureClampARB(source, P, minimum, bias)) break;
#endif
#ifdef OFFSET
   case 2: LOOK(textureOffsetClampARB(source, P, OFFSET, minimum)) break;
#if HAS_GRAD
   case 4: LOOK(textureGradOffsetClampARB(source, P, GRAD(dx), GRAD(dy), OFFSET, minimum)) break;
#endif
#endif
#if HAS_GRAD
   case 3: LOOK(textureGradClampARB(source, P, GRAD(dx), GRAD(dy), minimum)) break;
#endif
#if HAS_SPARSE
   case 5: SPARSE_LOOK(sparseTextureClampARB(source, P, minimum, texel)) break;
#if HAS_BIAS
   case 6: SPARSE_LOOK(sparseTextureClampARB(source, P, minimum, texel, bias)) break;
#endif
#ifdef OFFSET
   case 7: SPARSE_LOOK(sparseTextureOffsetClampARB(source, P, OFFSET, minimum, texel)) break;
#if HAS_GRAD
   case 9: SPARSE_LOOK(sparseTextureGradOffsetClampARB(source, P, GRAD(dx), GRAD(dy), OFFSET, minimum, texel)) break;
#endif
#endif
#if HAS_GRAD
   case 8: SPARSE_LOOK(sparseTextureGradClampARB(source, P, GRAD(dx), GRAD(dy), minimum, texel)) break;
#endif
#endif
   default: value = -1.0; break;
   }

   target[push.target_first + at.y * 8 + at.x] = uvec2(floatBitsToUint(value), resident ? 1 : 0);
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The picture.  Each tap takes the finest resident level at or above the one
 * it wants, by the residency code of the fetch: no table of pages, so that
 * what is drawn is what the GPU's page tables hold.
 */

#version 450
#extension GL_ARB_sparse_texture2 : require
#extension GL_GOOGLE_include_directive : require
#include "camera.glsl"
#include "lod.glsl"

/* Levels of detail are never quite whole: llvmpipe 25.0.7 computes the
 * residency code in the branch that blends two levels, and leaves it undefined
 * where there is nothing to blend; it draws the reference that other drivers are
 * compared with.  The coarser level is there whenever the finer
 * one is, so that asking for a little of it changes no decision.
 */
const float BLEND = 1.0 / 128.0;

layout(set = 0, binding = 0) uniform sampler2D map;

layout(location = 0) in vec2 uv;
layout(location = 1) in vec3 world;

layout(location = 0) out vec4 colour;

vec3
fetch(vec2 at, float lod)
{
   vec4 texel = vec4(0.0);

   lod = max(lod, floor(lod) + BLEND);
   for (int i = 0; i <= FIXED_LEVEL; i++) {
      int code = sparseTextureLodARB(map, at, lod, texel);

      if (sparseTexelsResidentARB(code))
         break;
      lod = floor(lod) + 1.0 + BLEND;
   }
   return texel.rgb;
}

void
main()
{
   footprint f = footprint_at(uv, float(textureSize(map, 0).x));
   float lod = max(f.lod, 0.0);
   vec3 sum = vec3(0.0);

   for (float i = 0.0; i < f.taps; i += 1.0)
      sum += fetch(uv + f.axis * ((i + 0.5) / f.taps - 0.5), lod);

   colour.rgb = mix(sum / f.taps, haze, haze_at(distance(world, eye.xyz)));
   colour.a = 1.0;
}

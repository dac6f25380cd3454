/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The sky, and below the horizon the open sea around the map.
 */

#version 450
#extension GL_GOOGLE_include_directive : require
#include "camera.glsl"

layout(location = 0) in vec2 at;

layout(location = 0) out vec4 colour;

void
main()
{
   vec3 ray = normalize(forward.xyz + right.xyz * at.x - up.xyz * at.y);
   vec3 c;

   if (ray.y < -1e-4) {
      /* As deep as at the edge of the map (vt_paint.c). */
      const vec3 sea = vec3(0.055, 0.235, 0.40);
      c = mix(sea, haze, haze_at(eye.y / -ray.y));
   } else {
      const vec3 zenith = vec3(0.22, 0.44, 0.75);
      const vec3 sun = normalize(vec3(-0.6, 0.35, -0.6));
      float glow = max(dot(ray, sun), 0.0);

      c = mix(haze, zenith, 1.0 - exp(-ray.y * 4.0));
      c += vec3(1.0, 0.85, 0.6) * 0.35 * pow(glow, 24.0);
   }
   colour = vec4(c, 1.0);
}

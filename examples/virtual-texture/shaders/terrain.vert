/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The relief: a fixed grid over the whole world.
 */

#version 450
#extension GL_GOOGLE_include_directive : require
#include "camera.glsl"

layout(location = 0) in vec3 position; /* x, height, y of the map */

layout(location = 0) out vec2 uv;
layout(location = 1) out vec3 world;

void
main()
{
   uv = position.xz;
   world = position;
   gl_Position = view_projection * vec4(position, 1.0);
}

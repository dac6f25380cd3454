/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The camera, for every stage that needs it; agrees with struct vt_camera.
 */

layout(push_constant) uniform camera
{
   mat4 view_projection;
   vec4 eye;     /* xyz, w: log2 of how much smaller this picture is */
   vec4 right;   /* scaled to the picture's edge, as is up */
   vec4 up;
   vec4 forward;
};

/* Haze lies low: seen from high above, there is little of it in between. */
const vec3 haze = vec3(0.72, 0.81, 0.88);

float
haze_at(float distance)
{
   return 1.0 - exp(-max(distance - 0.15, 0.0) * 0.9 / (1.0 + 12.0 * eye.y));
}

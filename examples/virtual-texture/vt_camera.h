/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The flight: where the camera is at each frame, and which parts of the relief
 * it sees.  A function of the frame number alone.  It must never know about
 * Vulkan objects or pages; struct vt_camera is laid out as the shaders'
 * push constants (shaders/camera.glsl).
 */

#ifndef VT_CAMERA_H
#define VT_CAMERA_H

#include <stdbool.h>
#include <stdint.h>

#include "vt_world.h"

/* Height of the highest peak, in widths of the world. */
#define VT_RELIEF 0.030f

struct vt_camera {
   float view_projection[16]; /* column by column */
   float eye[4];
   float right[4];
   float up[4];
   float forward[4];
};

/* `t` runs from 0 at the start of the flight to 1 at its end. */
void vt_camera_at(struct vt_camera *camera, const struct vt_world *world, double t, double aspect);

/* Whether any of the box may be in the picture. */
bool vt_camera_sees_box(const struct vt_camera *camera, const float lo[3], const float hi[3]);

#endif /* VT_CAMERA_H */

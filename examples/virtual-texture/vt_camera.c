/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See vt_camera.h.
 */

#include "vt_camera.h"

#include <math.h>
#include <string.h>

#include "vt_util.h"

#define NEAR         0.0015
#define FAR          6.0
#define TAN_HALF_FOV 0.46

/* Where the camera is, how far above the ground, and where it looks. */
struct key {
   double x, y, clearance;
   double look_x, look_y;
};

/* From high above down to Alby, up the valley and over the western range,
 * around to the southern plains and out to the sea.
 */
static const struct key keys[] = {
   {0.500, 1.280, 0.900, 0.500, 0.560}, {0.470, 0.880, 0.300, 0.455, 0.500},
   {0.462, 0.566, 0.030, 0.450, 0.490}, {0.440, 0.440, 0.016, 0.420, 0.380},
   {0.395, 0.370, 0.018, 0.345, 0.340}, {0.320, 0.330, 0.022, 0.255, 0.370},
   {0.265, 0.410, 0.028, 0.290, 0.480}, {0.310, 0.520, 0.030, 0.370, 0.570},
   {0.405, 0.600, 0.018, 0.460, 0.620}, {0.500, 0.650, 0.022, 0.560, 0.690},
   {0.590, 0.730, 0.030, 0.640, 0.780}, {0.690, 0.780, 0.050, 0.780, 0.700},
   {0.800, 0.980, 0.230, 0.640, 0.640},
};

static double
spline(double a, double b, double c, double d, double t)
{
   return 0.5 * (2.0 * b +
                 t * (c - a + t * (2.0 * a - 5.0 * b + 4.0 * c - d + t * (3.0 * (b - c) + d - a))));
}

static double
key_value(double at, size_t offset)
{
   int last = (int)VT_ARRAY_SIZE(keys) - 1;
   int i = VT_MIN((int)at, last - 1);
   double v[4];

   for (int k = 0; k < 4; k++) {
      int n = VT_MAX(0, VT_MIN(last, i - 1 + k));
      memcpy(&v[k], (const char *)&keys[n] + offset, sizeof(double));
   }
   return spline(v[0], v[1], v[2], v[3], at - i);
}

static double
ground(const struct vt_world *world, double x, double y)
{
   float h = 0.0f;

   if (x >= 0.0 && y >= 0.0 && x <= 1.0 && y <= 1.0)
      h = vt_world_sample(world->height, (float)x, (float)y);
   return h > 0.0f ? h * VT_RELIEF : 0.0;
}

/* The highest ground around, so that a flight over hills is a smooth one. */
static double
ground_around(const struct vt_world *world, double x, double y)
{
   double sum = 0.0, highest = 0.0;

   for (int j = -2; j <= 2; j++) {
      for (int i = -2; i <= 2; i++) {
         double h = ground(world, x + i * 0.012, y + j * 0.012);
         sum += h / 25.0;
         highest = VT_MAX(highest, h);
      }
   }
   return 0.5 * (sum + highest);
}

static void
normalize(double v[3])
{
   double length = sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);

   for (int i = 0; i < 3; i++)
      v[i] /= length;
}

static void
cross(const double a[3], const double b[3], double out[3])
{
   out[0] = a[1] * b[2] - a[2] * b[1];
   out[1] = a[2] * b[0] - a[0] * b[2];
   out[2] = a[0] * b[1] - a[1] * b[0];
}

void
vt_camera_at(struct vt_camera *camera, const struct vt_world *world, double t, double aspect)
{
   double at = t * (VT_ARRAY_SIZE(keys) - 1);
   double x = key_value(at, offsetof(struct key, x));
   double y = key_value(at, offsetof(struct key, y));
   double look_x = key_value(at, offsetof(struct key, look_x));
   double look_y = key_value(at, offsetof(struct key, look_y));
   double clearance = VT_MAX(key_value(at, offsetof(struct key, clearance)), 0.014);
   double eye[3] = {x, ground_around(world, x, y) + clearance, y};
   double forward[3] = {
      look_x - x,
      0.6 * ground_around(world, look_x, look_y) - eye[1],
      look_y - y,
   };
   static const double zenith[3] = {0.0, 1.0, 0.0};
   double right[3], up[3];

   normalize(forward);
   cross(forward, zenith, right);
   normalize(right);
   cross(right, forward, up);

   /* Clip space of Vulkan: y down, depth 0 at the near plane. */
   const double *rows[4] = {right, up, forward, forward};
   double gain[4] = {
      1.0 / (TAN_HALF_FOV * aspect),
      -1.0 / TAN_HALF_FOV,
      FAR / (FAR - NEAR),
      1.0,
   };
   double bias[4] = {0.0, 0.0, -FAR * NEAR / (FAR - NEAR), 0.0};

   for (int row = 0; row < 4; row++) {
      double dot = 0.0;

      for (int column = 0; column < 3; column++) {
         camera->view_projection[column * 4 + row] = (float)(gain[row] * rows[row][column]);
         dot += rows[row][column] * eye[column];
      }
      camera->view_projection[12 + row] = (float)(bias[row] - gain[row] * dot);
   }

   for (int i = 0; i < 3; i++) {
      camera->eye[i] = (float)eye[i];
      camera->right[i] = (float)(right[i] * TAN_HALF_FOV * aspect);
      camera->up[i] = (float)(up[i] * TAN_HALF_FOV);
      camera->forward[i] = (float)forward[i];
   }
   camera->eye[3] = camera->right[3] = camera->up[3] = camera->forward[3] = 0;
}

bool
vt_camera_sees_box(const struct vt_camera *camera, const float lo[3], const float hi[3])
{
   const float *m = camera->view_projection;
   /* How many corners are outside of each plane: -x, +x, -y, +y, near. */
   int outside[5] = {0};

   for (int corner = 0; corner < 8; corner++) {
      float p[3], clip[4];

      for (int i = 0; i < 3; i++)
         p[i] = corner >> i & 1 ? hi[i] : lo[i];
      for (int i = 0; i < 4; i++)
         clip[i] = m[i] * p[0] + m[4 + i] * p[1] + m[8 + i] * p[2] + m[12 + i];

      outside[0] += clip[0] < -clip[3];
      outside[1] += clip[0] > clip[3];
      outside[2] += clip[1] < -clip[3];
      outside[3] += clip[1] > clip[3];
      outside[4] += clip[2] < 0.0f;
   }
   for (int i = 0; i < 5; i++) {
      if (outside[i] == 8)
         return false;
   }
   return true;
}

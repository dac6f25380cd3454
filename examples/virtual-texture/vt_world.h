/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The island that the texture shows, at the scale of the whole: relief with
 * eroded valleys, rivers that follow it, towns and the roads between them.
 * Built once from the integer hash; positions are in units of the whole
 * texture, 0 to 1.  It must never know about pages, levels or pixels.
 */

#ifndef VT_WORLD_H
#define VT_WORLD_H

#include <stdint.h>

#define VT_GRID      512
#define VT_MAX_TOWNS 48

/* Buckets along one side of the grid that finds segments by place. */
#define VT_BUCKETS 64

enum vt_segment_kind {
   VT_SEGMENT_RIVER,
   VT_SEGMENT_ROAD,
};

struct vt_segment {
   float x0, y0, x1, y1;
   float half_width;
   enum vt_segment_kind kind;
};

struct vt_town {
   float x, y;
   float radius;
   float cos_a, sin_a; /* of its street grid */
   char name[16];
};

struct vt_world {
   /* Above the sea > 0; the highest peak is 1. */
   float height[VT_GRID * VT_GRID];
   float moisture[VT_GRID * VT_GRID];

   struct vt_segment *segments;
   uint32_t segment_count;
   uint32_t segment_capacity;

   /* Segment numbers by bucket: those of bucket i lie at
    * [bucket_start[i], bucket_start[i + 1]).
    */
   uint32_t bucket_start[VT_BUCKETS * VT_BUCKETS + 1];
   uint32_t *bucket_segments;

   /* Greatest first. */
   struct vt_town towns[VT_MAX_TOWNS];
   uint32_t town_count;
};

struct vt_world *vt_world_create(void);
void vt_world_destroy(struct vt_world *world);

/* One of the two maps, smooth (uniform cubic B-spline) at any point. */
float vt_world_sample(const float *map, float x, float y);

/* The same at n x n points, `step` apart: out[row * n + column]. */
void vt_world_patch(const float *map, double x, double y, double step, uint32_t n, float *out);

#endif /* VT_WORLD_H */

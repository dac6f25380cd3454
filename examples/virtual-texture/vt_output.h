/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The pictures that a person looks at: the flight as an animation and a sheet
 * of twelve frames, each with an inset that shows what is resident.  It works
 * on copies: what is compared between drivers is the GPU's picture without
 * any of this.  It must never know about Vulkan.
 */

#ifndef VT_OUTPUT_H
#define VT_OUTPUT_H

#include <stdint.h>

#include "vt_camera.h"
#include "vt_pages.h"

struct vt_output;

/* What is known of a frame besides its picture. */
struct vt_frame_info {
   uint32_t frame;
   uint32_t bound;
   uint32_t evicted;
   uint32_t resident;
   uint32_t absent;
   const uint8_t *is_resident; /* for each page */
   const struct vt_camera *camera;
};

/* `overview` is the picture of the fixed level, VT_FIXED_LEVEL_PX square. */
struct vt_output *vt_output_create(const char *directory, const struct vt_pages *pages,
                                   const uint8_t *overview, uint32_t width_px, uint32_t height_px,
                                   uint32_t frame_count);
void vt_output_frame(struct vt_output *output, const uint8_t *rgba,
                     const struct vt_frame_info *info);

/* Writes frames.png and flight.webp and frees the output. */
void vt_output_finish(struct vt_output *output, const char *title);

/* directory/name, to be freed. */
char *vt_output_path(const char *directory, const char *name);

#endif /* VT_OUTPUT_H */

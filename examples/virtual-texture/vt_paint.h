/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Draws the world as a map, one page of one level at a time: each level is a
 * map of its own scale, with its own detail, line widths and lettering, and
 * each page carries its level and number, so that a page in the wrong place
 * is seen at once.  The alpha channel is a watermark that says the same to a
 * program.  The bytes depend on the texture's size and the page's name alone.
 * It must never know about Vulkan, residency or the camera.
 */

#ifndef VT_PAINT_H
#define VT_PAINT_H

#include <stdint.h>

#include "vt_world.h"

/* Draws a 128 x 128 page of a level of at least VT_FIXED_LEVEL_PX. */
void vt_paint_page(const struct vt_world *world, uint32_t texture_px, uint32_t level,
                   uint32_t page_x, uint32_t page_y, uint8_t *rgba);

/* Halves a square picture of `size_px`, colours only. */
void vt_paint_halve(const uint8_t *source, uint32_t size_px, uint8_t *out);

/* Lettering and watermark of a page that was not drawn by vt_paint_page. */
void vt_paint_mark(uint32_t level, uint32_t page_x, uint32_t page_y, uint32_t extent_px,
                   uint8_t *rgba);

/* The alpha of one texel of a page; never 0, which is what nothing reads as. */
uint8_t vt_paint_watermark(uint32_t level, uint32_t page_x, uint32_t page_y, uint32_t x,
                           uint32_t y);

#endif /* VT_PAINT_H */

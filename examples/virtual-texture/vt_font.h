/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * A 5x8 bitmap font for labels and captions, and text drawn with it into any
 * rectangle of RGBA bytes.  It must never know what the text means.
 */

#ifndef VT_FONT_H
#define VT_FONT_H

#include <stdint.h>

/* Cell of a character, the gap to the next one included. */
#define VT_FONT_ADVANCE_PX 6
#define VT_FONT_HEIGHT_PX  8

struct vt_canvas {
   uint8_t *rgba;
   int width_px;
   int height_px;
};

struct vt_ink {
   uint8_t r, g, b;
   float alpha;
};

int vt_text_width_px(const char *text, int scale);

/* x, y is the top left corner, which may lie outside the canvas. */
void vt_text(const struct vt_canvas *canvas, int x, int y, int scale, const struct vt_ink *ink,
             const char *text);

/* The same with a one-pixel halo that keeps it readable on anything. */
void vt_text_halo(const struct vt_canvas *canvas, int x, int y, int scale, const struct vt_ink *ink,
                  const struct vt_ink *halo, const char *text);

void vt_fill(const struct vt_canvas *canvas, int x, int y, int width, int height,
             const struct vt_ink *ink);

#endif /* VT_FONT_H */

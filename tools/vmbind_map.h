/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The picture that vmbind map draws, between the part that paints it and those that write it to a file.
 */

#ifndef VMBIND_MAP_H
#define VMBIND_MAP_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

#include "vmbind_source.h"

/** One reserved range. */
struct band {
   uint32_t vm;
   uint64_t addr_B;
   uint64_t size_B;
   /* The smallest pieces that are told apart, and what each holds. */
   uint64_t cell_B;
   uint32_t cell_count;
   uint32_t *cells;
   bool reserved;
   uint32_t ops;
   /** Where in the picture, in pixels. */
   unsigned y, height;
   char name[TRACE_NAME_SIZE];
};

struct picture {
   /** From top to bottom. */
   struct band *bands;
   size_t band_count;
   /** RGB, row by row. */
   uint8_t *pixels;
   unsigned width, height;
   /** Of each column that begins a submit: its time, up to the last one. */
   uint64_t *column_ns;
};

/** Both return 0, or an exit status after a message. */
int map_write_png(const char *path, const struct picture *picture);
int map_write_svg(const char *path, const struct picture *picture);

#endif /* VMBIND_MAP_H */

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * vmbind map: a picture of an address space over time, from a trace.
 *
 * Each reserved range is a band; addresses grow downwards in it, time (one step a submit) goes to
 * the right.  Bound memory is coloured by its BO, brighter the more of a pixel's addresses are
 * bound; null mappings are dark blue, holes dark grey, and what is not reserved is black.
 */

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "vmbind_tool.h"
#include "vmbind_trace.h"

#define WIDTH      960
#define HEIGHT     640
#define GAP        2
#define MAX_CELLS  (1u << 16)
#define MIN_CELL_B (1ull << 16)

/* What a cell, the smallest piece of a range that is told apart, holds. */
#define CELL_HOLE 0
#define CELL_NULL UINT32_MAX

struct band {
   uint32_t vm;
   uint64_t addr_B;
   uint64_t size_B;
   uint64_t cell_B;
   uint32_t cell_count;
   uint32_t *cells;
   bool reserved;
   uint32_t ops;
   unsigned y, height;
   char name[49];
};

struct picture {
   struct band *bands;
   size_t band_count;
   uint8_t *pixels;
   unsigned height;
};

static struct band *
find_band(struct picture *p, uint32_t vm, uint64_t addr_B, uint64_t size_B)
{
   for (size_t i = 0; i < p->band_count; i++) {
      struct band *band = &p->bands[i];
      if (band->vm == vm && addr_B >= band->addr_B && addr_B - band->addr_B < band->size_B &&
          (!size_B || (band->addr_B == addr_B && band->size_B == size_B)))
         return band;
   }
   return NULL;
}

/* A range that comes again at the same place goes on in the same band. */
static int
add_band(struct picture *p, const struct vmb_trace_range *range)
{
   if (find_band(p, range->vm, range->addr_B, range->size_B))
      return 0;

   struct band band = {
      .vm = range->vm,
      .addr_B = range->addr_B,
      .size_B = range->size_B,
      .cell_B = MIN_CELL_B,
   };
   while (band.size_B / band.cell_B > MAX_CELLS)
      band.cell_B *= 2;
   band.cell_count = (band.size_B + band.cell_B - 1) / band.cell_B;
   band.cells = calloc(band.cell_count, sizeof(*band.cells));
   snprintf(band.name, sizeof(band.name), "%.*s", (int)sizeof(range->name), range->name);

   struct band *bands = realloc(p->bands, (p->band_count + 1) * sizeof(*bands));
   if (!bands || !band.cells) {
      free(band.cells);
      return -ENOMEM;
   }
   p->bands = bands;
   p->bands[p->band_count++] = band;
   return 0;
}

static void
apply_op(struct picture *p, uint32_t vm, const struct vmb_trace_op *op)
{
   struct band *band = find_band(p, vm, op->addr_B, 0);
   if (!band)
      return;

   const uint32_t value = op->type == VMB_TRACE_OP_MAP    ? op->bo
                          : op->type == VMB_TRACE_OP_NULL ? CELL_NULL
                                                          : CELL_HOLE;
   const uint64_t first = (op->addr_B - band->addr_B) / band->cell_B;
   const uint64_t end = (op->addr_B - band->addr_B + op->range_B + band->cell_B - 1) / band->cell_B;
   for (uint64_t cell = first; cell < MIN2(end, band->cell_count); cell++)
      band->cells[cell] = value;
   band->ops++;
}

/* Hues a golden angle apart. */
static void
bo_colour(uint32_t bo, double brightness, uint8_t rgb[3])
{
   const double hue = fmod(bo * 0.61803398875, 1.0) * 6;

   for (unsigned c = 0; c < 3; c++) {
      const double distance = fabs(fmod(hue + 6 - c * 2, 6) - 3);
      const double value = MIN2(1.0, MAX2(0.0, distance - 1));
      rgb[c] = (60 + 195 * (0.35 + 0.65 * value)) * brightness;
   }
}

static void
paint_pixel(const struct band *band, unsigned y, uint8_t rgb[3])
{
   const uint64_t first = (uint64_t)y * band->cell_count / band->height;
   const uint64_t end =
      MAX2(first + 1, (uint64_t)(y + 1) * band->cell_count / band->height);
   uint32_t bound = 0, nulls = 0, bo = 0;

   for (uint64_t cell = first; cell < end; cell++) {
      if (band->cells[cell] == CELL_NULL) {
         nulls++;
      } else if (band->cells[cell] != CELL_HOLE) {
         bound++;
         bo = band->cells[cell];
      }
   }
   if (bound) {
      bo_colour(bo, 0.35 + 0.65 * bound / (end - first), rgb);
   } else {
      rgb[0] = nulls ? 18 : 40;
      rgb[1] = nulls ? 26 : 40;
      rgb[2] = nulls ? 64 : 40;
   }
}

static void
paint_column(struct picture *p, unsigned x)
{
   for (size_t i = 0; i < p->band_count; i++) {
      const struct band *band = &p->bands[i];
      for (unsigned y = 0; y < band->height && band->reserved; y++)
         paint_pixel(band, y, p->pixels + ((size_t)(band->y + y) * WIDTH + x) * 3);
   }
}

static int
by_address(const void *a, const void *b)
{
   const struct band *x = a, *y = b;
   return x->addr_B < y->addr_B ? -1 : x->addr_B > y->addr_B;
}

/* Heights by the square root of the size, so that small ranges stay visible beside large ones;
 * ranges that nothing but one bind ever touched get a line at most. */
static void
lay_out(struct picture *p)
{
   double sum = 0;

   qsort(p->bands, p->band_count, sizeof(*p->bands), by_address);
   for (size_t i = 0; i < p->band_count; i++)
      sum += sqrt(p->bands[i].size_B) * (p->bands[i].ops > 1 ? 1 : 0.05);
   for (size_t i = 0; i < p->band_count; i++) {
      struct band *band = &p->bands[i];
      const double share = sqrt(band->size_B) * (band->ops > 1 ? 1 : 0.05) / sum;

      band->y = p->height;
      band->height = MAX2(1, (unsigned)(share * HEIGHT));
      p->height += band->height + (band->height > 3 ? GAP : 0);
   }
}

/* Calls back for every record: first to find the ranges, then to paint. */
static int
replay(const char *path, struct picture *p, uint32_t submits, uint32_t *submits_out)
{
   struct vmb_trace_reader *reader;
   const struct vmb_trace_record *r;
   uint32_t submit = 0;
   unsigned x = 0;
   bool truncated;

   int status = tool_open_trace(path, &reader);
   if (status)
      return status;
   while (!status && (r = vmb_trace_reader_next(reader, &truncated))) {
      if (r->type == VMB_TRACE_RANGE) {
         const struct vmb_trace_range *range = (const void *)r;
         if (!p->pixels && r->created && add_band(p, range))
            status = tool_error(TOOL_FAILED, "out of memory");
         struct band *band = find_band(p, range->vm, range->addr_B, range->size_B);
         if (band)
            band->reserved = r->created;
      } else if (r->type == VMB_TRACE_SUBMIT) {
         const struct vmb_trace_submit *s = (const void *)r;
         const struct vmb_trace_op *ops = (const void *)(s + 1);

         if (!s->op_count)
            continue;
         for (uint32_t i = 0; i < s->op_count; i++)
            apply_op(p, s->vm, &ops[i]);
         submit++;
         for (; p->pixels && x < (uint64_t)submit * WIDTH / submits; x++)
            paint_column(p, x);
      }
   }
   vmb_trace_reader_close(reader);
   *submits_out = submit;
   return status ? status : truncated ? tool_truncated(path) : 0;
}

static int
write_png(const char *path, const struct picture *p)
{
   png_image image = {
      .version = PNG_IMAGE_VERSION,
      .width = WIDTH,
      .height = p->height,
      .format = PNG_FORMAT_RGB,
   };

   if (!png_image_write_to_file(&image, path, 0, p->pixels, 0, NULL))
      return tool_error(TOOL_FAILED, "%s: %s", path, image.message);
   return 0;
}

static void
print_legend(const struct picture *p)
{
   printf("from top to bottom:\n");
   for (size_t i = 0; i < p->band_count; i++) {
      const struct band *band = &p->bands[i];
      if (band->height > 3) {
         printf("   0x%012" PRIx64 " %9.1f MiB  %u operations  %s\n", band->addr_B,
                band->size_B / 1048576.0, band->ops, band->name);
      }
   }
}

int
cmd_map(int argc, char **argv)
{
   struct picture p = { 0 };
   uint32_t submits = 0;

   if (argc != 3)
      return tool_usage_error("map", "a trace and a picture to write are wanted");

   int status = replay(argv[1], &p, 0, &submits);
   if (!status && !submits)
      status = tool_error(TOOL_FAILED, "%s holds no operation", argv[1]);
   if (!status) {
      lay_out(&p);
      p.pixels = calloc((size_t)WIDTH * p.height, 3);
      if (!p.pixels)
         status = tool_error(TOOL_FAILED, "out of memory");
   }
   if (!status) {
      for (size_t i = 0; i < p.band_count; i++) {
         memset(p.bands[i].cells, 0, p.bands[i].cell_count * sizeof(*p.bands[i].cells));
         p.bands[i].reserved = false;
         p.bands[i].ops = 0;
      }
      status = replay(argv[1], &p, submits, &submits);
   }
   if (!status)
      status = write_png(argv[2], &p);
   if (!status) {
      print_legend(&p);
      printf("wrote %s: %u submits from left to right\n", argv[2], submits);
   }

   for (size_t i = 0; i < p.band_count; i++)
      free(p.bands[i].cells);
   free(p.bands);
   free(p.pixels);
   return status;
}

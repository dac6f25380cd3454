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

#include "vmbind_map.h"
#include "vmbind_source.h"
#include "vmbind_tool.h"

#define WIDTH      960
#define HEIGHT     640
#define GAP        2
#define MAX_BANDS  512
#define MAX_CELLS  (1u << 16)
#define MIN_CELL_B (1ull << 16)

/* What a cell, the smallest piece of a range that is told apart, holds. */
#define CELL_HOLE 0
#define CELL_NULL UINT32_MAX

/* The band of exactly this range. */
static struct band *
find_band(struct picture *p, uint32_t vm, uint64_t addr_B, uint64_t size_B)
{
   for (size_t i = 0; i < p->band_count; i++) {
      struct band *band = &p->bands[i];
      if (band->vm == vm && band->addr_B == addr_B && band->size_B == size_B)
         return band;
   }
   return NULL;
}

/* The band that has the address now: another range may have had it before. */
static struct band *
find_reserved(struct picture *p, uint32_t vm, uint64_t addr_B)
{
   for (size_t i = 0; i < p->band_count; i++) {
      struct band *band = &p->bands[i];
      if (band->reserved && band->vm == vm && addr_B - band->addr_B < band->size_B)
         return band;
   }
   return NULL;
}

/* A range that comes again at the same place goes on in the same band. */
static int
add_band(struct picture *p, const struct vmb_trace_range *range)
{
   if (!range->size_B || find_band(p, range->vm, range->addr_B, range->size_B))
      return 0;

   struct band band = {
      .vm = range->vm,
      .addr_B = range->addr_B,
      .size_B = range->size_B,
      .cell_B = MIN_CELL_B,
   };
   while (band.size_B / band.cell_B > MAX_CELLS)
      band.cell_B *= 2;
   band.cell_count = DIV_ROUND_UP(band.size_B, band.cell_B);
   band.cells = calloc(band.cell_count, sizeof(*band.cells));
   trace_copy_name(band.name, range->name, sizeof(range->name));

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
   struct band *band = find_reserved(p, vm, op->addr_B);
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

/* How much of the picture it deserves: by the square root of the size, so that small ranges stay visible
 * beside large ones; ranges that nothing but one bind ever touched get a line at most. */
static double
weight(const struct band *band)
{
   return sqrt(band->size_B) * (band->ops > 1 ? 1 : 0.05);
}

static int
by_weight(const void *a, const void *b)
{
   const double x = weight(a), y = weight(b);
   return x > y ? -1 : x < y;
}

static void
lay_out(struct picture *p)
{
   double sum = 0;

   qsort(p->bands, p->band_count, sizeof(*p->bands), by_weight);
   for (; p->band_count > MAX_BANDS; p->band_count--)
      free(p->bands[p->band_count - 1].cells);
   qsort(p->bands, p->band_count, sizeof(*p->bands), by_address);
   for (size_t i = 0; i < p->band_count; i++)
      sum += weight(&p->bands[i]);
   for (size_t i = 0; i < p->band_count; i++) {
      struct band *band = &p->bands[i];

      band->y = p->height;
      band->height = MAX2(1, (unsigned)(weight(band) / sum * HEIGHT));
      p->height += band->height + (band->height > 3 ? GAP : 0);
   }
}

static int
apply_range(struct picture *p, const struct vmb_trace_range *range)
{
   if (!p->pixels && range->record.created && add_band(p, range))
      return tool_error(TOOL_FAILED, "out of memory");
   struct band *band = find_band(p, range->vm, range->addr_B, range->size_B);
   if (band)
      band->reserved = range->record.created;
   return 0;
}

/* Plays the whole trace: first to find the ranges and count the submits, then to paint. */
static int
play(struct trace_source *source, struct picture *p, uint32_t submits, uint32_t *submits_out,
     enum vmb_trace_end *end)
{
   const struct vmb_trace_record *r;
   uint32_t submit = 0;
   unsigned x = 0;
   int status = 0;

   vmb_trace_reader_rewind(source->reader);
   while (!status && (r = vmb_trace_reader_next(source->reader, end))) {
      if (r->type == VMB_TRACE_RANGE) {
         status = apply_range(p, (const void *)r);
      } else if (r->type == VMB_TRACE_SUBMIT) {
         const struct vmb_trace_submit *s = (const void *)r;

         if (!s->op_count)
            continue;
         for (uint32_t i = 0; i < s->op_count; i++)
            apply_op(p, s->vm, &vmb_trace_submit_ops(s)[i]);
         submit++;
         for (; p->pixels && x < (uint64_t)submit * WIDTH / submits; x++) {
            p->column_ns[x] = r->time_ns;
            paint_column(p, x);
         }
      }
   }
   *submits_out = submit;
   return status;
}

int
map_write_png(const char *path, const struct picture *p)
{
   png_image image = {
      .version = PNG_IMAGE_VERSION,
      .width = p->width,
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

static void
forget_contents(struct picture *p)
{
   for (size_t i = 0; i < p->band_count; i++) {
      memset(p->bands[i].cells, 0, p->bands[i].cell_count * sizeof(*p->bands[i].cells));
      p->bands[i].reserved = false;
      p->bands[i].ops = 0;
   }
}

static int
paint(struct trace_source *source, struct picture *p, uint32_t *submits, enum vmb_trace_end *end)
{
   int status = play(source, p, 0, submits, end);
   if (status)
      return status;
   if (!*submits || !p->band_count)
      return tool_error(TOOL_FAILED, "%s holds no operation; there is nothing to draw", source->path);

   lay_out(p);
   p->width = WIDTH;
   p->pixels = calloc((size_t)WIDTH * p->height, 3);
   p->column_ns = calloc(WIDTH, sizeof(*p->column_ns));
   if (!p->pixels || !p->column_ns)
      return tool_error(TOOL_FAILED, "out of memory");
   forget_contents(p);
   return play(source, p, *submits, submits, end);
}

static bool
ends_with(const char *text, const char *end)
{
   const size_t length = strlen(text), end_length = strlen(end);
   return length >= end_length && !strcmp(text + length - end_length, end);
}

int
cmd_map(int argc, char **argv)
{
   struct trace_source source;
   struct picture p = { 0 };
   enum vmb_trace_end end = VMB_TRACE_END_WHOLE;
   uint32_t submits = 0;

   if (argc < 2 || argc > 3 || argv[argc - 1][0] == '-')
      return tool_usage_error("map", "a trace and a picture to write are wanted");
   const char *out = argv[argc - 1];
   const bool svg = ends_with(out, ".svg");
   if (!svg && !ends_with(out, ".png"))
      return tool_usage_error("map", "%s is neither a .png nor a .svg", out);

   int status = trace_source_open(argc == 3 ? argv[1] : NULL, &source);
   if (status)
      return status;
   status = paint(&source, &p, &submits, &end);
   if (!status)
      status = svg ? map_write_svg(out, &p) : map_write_png(out, &p);
   if (!status) {
      print_legend(&p);
      printf("wrote %s: %u submits from left to right\n", out, submits);
   }
   /* Of a damaged trace there is a picture up to there. */
   const int end_status = trace_source_check_end(&source, end);

   for (size_t i = 0; i < p.band_count; i++)
      free(p.bands[i].cells);
   free(p.bands);
   free(p.pixels);
   free(p.column_ns);
   trace_source_close(&source);
   return status ? status : end_status;
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See vmbind_sparse.h.
 */

#include "vmbind_sparse.h"

#include <errno.h>

#include "util/format/u_format.h"
#include "util/macros.h"
#include "util/u_math.h"

struct vmbind_sparse_image
vmbind_sparse_image_of(enum pipe_format format, uint32_t dimensions, uint32_t sample_count)
{
   return (struct vmbind_sparse_image){
      .dimensions = dimensions,
      .element_px =
         {
            .width = util_format_get_blockwidth(format),
            .height = util_format_get_blockheight(format),
            .depth = util_format_get_blockdepth(format),
         },
      .element_size_B = util_format_get_blocksize(format),
      .block_el =
         {
            .width = util_format_get_tilesize(format, dimensions, sample_count, 0),
            .height = util_format_get_tilesize(format, dimensions, sample_count, 1),
            .depth = util_format_get_tilesize(format, dimensions, sample_count, 2),
         },
      .sample_count = sample_count,
   };
}

static struct vmbind_extent
level_size_px(const struct vmbind_sparse_layout *layout, uint32_t level)
{
   return (struct vmbind_extent){
      .width = u_minify(layout->size_px.width, level),
      .height = u_minify(layout->size_px.height, level),
      .depth = u_minify(layout->size_px.depth, level),
   };
}

static struct vmbind_extent
level_blocks(const struct vmbind_sparse_layout *layout, uint32_t level)
{
   const struct vmbind_extent size_px = level_size_px(layout, level);

   return (struct vmbind_extent){
      .width = DIV_ROUND_UP(size_px.width, layout->block_px.width),
      .height = DIV_ROUND_UP(size_px.height, layout->block_px.height),
      .depth = DIV_ROUND_UP(size_px.depth, layout->block_px.depth),
   };
}

/* ------------------------------------------------------------------- layout */

/* Whoever renders to a level does so in squares of this many texels. */
#define RENDER_SIDE_PX 4

/** An extent as an array, to speak of its sides by number. */
struct sides {
   uint32_t side[3];
};

static struct sides
sides(const struct vmbind_extent *extent)
{
   return (struct sides){{extent->width, extent->height, extent->depth}};
}

/* Elements that a level takes up in the tail. */
static struct sides
level_size_el(const struct vmbind_sparse_image *image, uint32_t level)
{
   struct sides size = {{
      DIV_ROUND_UP(u_minify(image->size_px.width, level), image->element_px.width),
      DIV_ROUND_UP(u_minify(image->size_px.height, level), image->element_px.height),
      DIV_ROUND_UP(u_minify(image->size_px.depth, level), image->element_px.depth),
   }};

   if (image->element_px.width == 1 && image->element_px.height == 1) {
      size.side[0] = align(size.side[0], RENDER_SIDE_PX);
      size.side[1] = align(size.side[1], RENDER_SIDE_PX);
   }

   return size;
}

/* The side along which half a block is enough for a level; -1 if none is. */
static int
half_block_side(const struct vmbind_sparse_image *image, uint32_t level)
{
   const struct sides size = level_size_el(image, level);
   const struct sides block = sides(&image->block_el);
   int half = -1;

   for (int i = 2; i >= 0; i--) {
      if (size.side[i] > block.side[i])
         return -1;
      if (size.side[i] * 2 <= block.side[i])
         half = i;
   }

   return half;
}

static uint32_t
tail_first_level(const struct vmbind_sparse_image *image)
{
   if (image->dimensions == 1 || image->sample_count > 1)
      return image->level_count;

   for (uint32_t level = 1; level < image->level_count; level++) {
      if (half_block_side(image, level) >= 0)
         return level;
   }

   return image->level_count;
}

/* The tail's first level takes the near half of a block.  The others stand in a column at the start of
 * the far half, along the longest of the other sides; those for which the column is too short, which
 * are tiny, in a second one.  Each level is half of the one before, so that a column is a quarter of
 * the block wide, and two are enough.  Returns the rows that one layer needs.
 */
static uint32_t
pack_tail(const struct vmbind_sparse_image *image, struct vmbind_sparse_layout *layout)
{
   const struct sides block = sides(&image->block_el);
   const int across = half_block_side(image, layout->tail_first_level);
   int along = across == 0 ? 1 : 0;
   struct sides at = {{0, 0, 0}};
   uint32_t rows = 0;

   for (int i = 0; i < 3; i++) {
      if (i != across && block.side[i] > block.side[along])
         along = i;
   }

   for (uint32_t level = layout->tail_first_level; level < image->level_count; level++) {
      const struct sides size = level_size_el(image, level);

      if (at.side[along] + size.side[along] > block.side[along]) {
         at.side[along] = 0;
         at.side[across] += block.side[across] / 4;
      }
      assert(at.side[across] + size.side[across] <= block.side[across]);

      const uint64_t row = (uint64_t)at.side[2] * block.side[1] + at.side[1];
      layout->level_offset_B[level] = layout->tail_offset_B + row * layout->row_stride_B +
                                      (uint64_t)at.side[0] * image->element_size_B;
      rows = MAX2(rows, (at.side[2] + size.side[2] - 1) * block.side[1] + at.side[1] + size.side[1]);

      if (level == layout->tail_first_level)
         at.side[across] = block.side[across] / 2;
      else
         at.side[along] += size.side[along];
   }

   return rows;
}

static void
lay_out_tail(const struct vmbind_sparse_image *image, struct vmbind_sparse_layout *layout)
{
   const uint32_t rows = pack_tail(image, layout);
   uint64_t layer_stride_B;

   if (image->single_tail) {
      layer_stride_B = (uint64_t)rows * layout->row_stride_B;
      layout->tail_size_B = align64(layer_stride_B * image->layer_count, VMBIND_SPARSE_BLOCK_SIZE_B);
      layout->size_B += layout->tail_size_B;
   } else {
      layer_stride_B = VMBIND_SPARSE_BLOCK_SIZE_B;
      layout->tail_size_B = VMBIND_SPARSE_BLOCK_SIZE_B;
      layout->tail_stride_B = layer_stride_B;
      layout->size_B += layer_stride_B * image->layer_count;
   }

   for (uint32_t level = layout->tail_first_level; level < image->level_count; level++)
      layout->layer_stride_B[level] = layer_stride_B;
}

static uint64_t
level_layer_size_B(const struct vmbind_sparse_image *image, const struct vmbind_sparse_layout *layout,
                   uint32_t level)
{
   if (image->dimensions == 1) {
      const uint64_t width_el =
         DIV_ROUND_UP(u_minify(image->size_px.width, level), image->element_px.width);
      return align64(width_el * image->element_size_B, VMBIND_SPARSE_BLOCK_SIZE_B);
   }

   const struct vmbind_extent blocks = layout->level_blocks[level];
   return (uint64_t)blocks.width * blocks.height * blocks.depth * VMBIND_SPARSE_BLOCK_SIZE_B;
}

void
vmbind_sparse_layout_init(const struct vmbind_sparse_image *image,
                         struct vmbind_sparse_layout *layout)
{
   assert(image->level_count <= VMBIND_SPARSE_MAX_LEVELS);

   *layout = (struct vmbind_sparse_layout){
      .block_px =
         {
            .width = image->block_el.width * image->element_px.width,
            .height = image->block_el.height * image->element_px.height,
            .depth = image->block_el.depth * image->element_px.depth,
         },
      .size_px = image->size_px,
      .level_count = image->level_count,
      .layer_count = image->layer_count,
      .row_stride_B = image->block_el.width * image->element_size_B,
      .sample_stride_B = VMBIND_SPARSE_BLOCK_SIZE_B / image->sample_count,
      .tail_first_level = tail_first_level(image),
   };

   for (uint32_t level = 0; level < layout->tail_first_level; level++) {
      layout->level_blocks[level] = level_blocks(layout, level);
      layout->level_offset_B[level] = layout->size_B;
      layout->layer_stride_B[level] = level_layer_size_B(image, layout, level);
      layout->size_B += layout->layer_stride_B[level] * image->layer_count;
   }

   layout->tail_offset_B = layout->size_B;
   if (layout->tail_first_level < layout->level_count)
      lay_out_tail(image, layout);
}

/* ------------------------------------------------------------------- regions */

/** One dimension of a region, in blocks. */
struct side {
   uint32_t first;
   uint32_t count;
};

/* Whole blocks, or as far as the level goes; no blocks if it is neither.  Most regions are small, and of few blocks,
 * so a division is only for those that are not. */
static struct side
side_blocks(uint32_t offset_px, uint32_t extent_px, uint32_t block_px, uint32_t level_px)
{
   const uint64_t end_px = (uint64_t)offset_px + extent_px;
   const struct side none = {0, 0};

   if (level_px <= block_px)
      return offset_px == 0 && (extent_px == block_px || extent_px == level_px)
                ? (struct side){0, 1}
                : none;

   const struct side side = {
      .first = offset_px < block_px ? 0 : offset_px / block_px,
      .count = extent_px <= block_px ? 1 : DIV_ROUND_UP((uint64_t)extent_px, block_px),
   };
   const bool aligned = (uint64_t)side.first * block_px == offset_px;
   const bool whole = (uint64_t)side.count * block_px == extent_px;

   /* Whole blocks may stick out of the level, but the last of them begins inside. */
   if (extent_px == 0 || !aligned || offset_px >= level_px ||
       (whole ? end_px - block_px >= level_px : end_px != level_px))
      return none;
   return side;
}

static bool
continues(const struct vmbind_sparse_run *run, const struct vmbind_sparse_run *next)
{
   return run->offset_B + run->size_B == next->offset_B &&
          run->mem_offset_B + run->size_B == next->mem_offset_B;
}

static bool
append_run(struct util_dynarray *runs, const struct vmbind_sparse_run *run)
{
   struct vmbind_sparse_run *slot = util_dynarray_grow(runs, struct vmbind_sparse_run, 1);

   if (slot)
      *slot = *run;
   return slot;
}

int
vmbind_sparse_image_runs(const struct vmbind_sparse_layout *layout, uint32_t level, uint32_t layer,
                        const struct vmbind_extent *offset_px, const struct vmbind_extent *extent_px,
                        uint64_t mem_offset_B, struct util_dynarray *runs)
{
   if (level >= layout->tail_first_level || layer >= layout->layer_count)
      return -EINVAL;

   const struct vmbind_extent *block_px = &layout->block_px;
   const struct vmbind_extent size_px = level_size_px(layout, level);
   const struct side x =
      side_blocks(offset_px->width, extent_px->width, block_px->width, size_px.width);
   const struct side y =
      side_blocks(offset_px->height, extent_px->height, block_px->height, size_px.height);
   const struct side z =
      side_blocks(offset_px->depth, extent_px->depth, block_px->depth, size_px.depth);
   if (!x.count || !y.count || !z.count)
      return -EINVAL;

   const struct vmbind_extent *blocks = &layout->level_blocks[level];
   const unsigned size_before = runs->size;
   const uint64_t image_offset_B =
      layout->level_offset_B[level] + layout->layer_stride_B[level] * layer;
   struct vmbind_sparse_run last = {0};

   for (uint32_t slice = 0; slice < z.count; slice++) {
      for (uint32_t line = 0; line < y.count; line++) {
         const uint64_t row = (uint64_t)(z.first + slice) * blocks->height + y.first + line;
         const uint64_t block = row * blocks->width + x.first;
         const uint64_t mem_block = ((uint64_t)slice * y.count + line) * x.count;
         const struct vmbind_sparse_run run = {
            .offset_B = image_offset_B + block * VMBIND_SPARSE_BLOCK_SIZE_B,
            .size_B = x.count * VMBIND_SPARSE_BLOCK_SIZE_B,
            .mem_offset_B = mem_offset_B + mem_block * VMBIND_SPARSE_BLOCK_SIZE_B,
         };

         if (last.size_B && continues(&last, &run)) {
            last.size_B += run.size_B;
            continue;
         }
         if (last.size_B && !append_run(runs, &last))
            goto fail;
         last = run;
      }
   }
   if (append_run(runs, &last))
      return 0;

fail:
   runs->size = size_before;
   return -ENOMEM;
}

bool
vmbind_sparse_range_valid(uint64_t offset_B, uint64_t size_B, uint64_t size_limit_B,
                         uint64_t align_B)
{
   if (size_B == 0 || offset_B > size_limit_B || size_B > size_limit_B - offset_B)
      return false;

   const uint64_t end_B = offset_B + size_B, mask = align_B - 1;
   return (offset_B & mask) == 0 && ((end_B & mask) == 0 || end_B == size_limit_B);
}

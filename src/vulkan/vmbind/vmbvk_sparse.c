/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See vmbvk_sparse.h.
 */

#include "vmbvk_sparse.h"

#include <errno.h>

#include "util/macros.h"
#include "util/u_math.h"

static struct vmbvk_extent
level_size_px(const struct vmbvk_sparse_layout *layout, uint32_t level)
{
   return (struct vmbvk_extent){
      .width = u_minify(layout->size_px.width, level),
      .height = u_minify(layout->size_px.height, level),
      .depth = u_minify(layout->size_px.depth, level),
   };
}

struct vmbvk_extent
vmbvk_sparse_level_blocks(const struct vmbvk_sparse_layout *layout, uint32_t level)
{
   const struct vmbvk_extent size_px = level_size_px(layout, level);

   return (struct vmbvk_extent){
      .width = DIV_ROUND_UP(size_px.width, layout->block_px.width),
      .height = DIV_ROUND_UP(size_px.height, layout->block_px.height),
      .depth = DIV_ROUND_UP(size_px.depth, layout->block_px.depth),
   };
}

/* One dimension of a region: whole blocks, or as far as the level goes. */
static bool
side_valid(uint32_t offset_px, uint32_t extent_px, uint32_t block_px, uint32_t level_px)
{
   const uint64_t end_px = (uint64_t)offset_px + extent_px;

   return extent_px > 0 && offset_px % block_px == 0 && offset_px < level_px &&
          (extent_px % block_px == 0 ? end_px <= align64(level_px, block_px) : end_px == level_px);
}

static bool
region_valid(const struct vmbvk_sparse_layout *layout, uint32_t level, uint32_t layer,
             const struct vmbvk_extent *offset_px, const struct vmbvk_extent *extent_px)
{
   if (level >= layout->level_count || layer >= layout->layer_count)
      return false;

   const struct vmbvk_extent size_px = level_size_px(layout, level);
   const struct vmbvk_extent *block_px = &layout->block_px;

   return side_valid(offset_px->width, extent_px->width, block_px->width, size_px.width) &&
          side_valid(offset_px->height, extent_px->height, block_px->height, size_px.height) &&
          side_valid(offset_px->depth, extent_px->depth, block_px->depth, size_px.depth);
}

static bool
continues(const struct vmbvk_sparse_run *run, const struct vmbvk_sparse_run *next)
{
   return run->offset_B + run->size_B == next->offset_B &&
          run->mem_offset_B + run->size_B == next->mem_offset_B;
}

static bool
append_run(struct util_dynarray *runs, const struct vmbvk_sparse_run *run, bool first)
{
   if (!first) {
      struct vmbvk_sparse_run *last = util_dynarray_top_ptr(runs, struct vmbvk_sparse_run);
      if (continues(last, run)) {
         last->size_B += run->size_B;
         return true;
      }
   }

   struct vmbvk_sparse_run *slot = util_dynarray_grow(runs, struct vmbvk_sparse_run, 1);
   if (!slot)
      return false;
   *slot = *run;
   return true;
}

int
vmbvk_sparse_image_runs(const struct vmbvk_sparse_layout *layout, uint32_t level, uint32_t layer,
                        const struct vmbvk_extent *offset_px, const struct vmbvk_extent *extent_px,
                        uint64_t mem_offset_B, struct util_dynarray *runs)
{
   if (!region_valid(layout, level, layer, offset_px, extent_px))
      return -EINVAL;

   const struct vmbvk_extent *block_px = &layout->block_px;
   const struct vmbvk_extent level_blocks = vmbvk_sparse_level_blocks(layout, level);
   const struct vmbvk_extent base = {
      .width = offset_px->width / block_px->width,
      .height = offset_px->height / block_px->height,
      .depth = offset_px->depth / block_px->depth,
   };
   const struct vmbvk_extent count = {
      .width = DIV_ROUND_UP(extent_px->width, block_px->width),
      .height = DIV_ROUND_UP(extent_px->height, block_px->height),
      .depth = DIV_ROUND_UP(extent_px->depth, block_px->depth),
   };

   const unsigned size_before = runs->size;
   const uint64_t image_offset_B =
      layout->level_offset_B[level] + layout->layer_stride_B[level] * layer;

   for (uint32_t z = 0; z < count.depth; z++) {
      for (uint32_t y = 0; y < count.height; y++) {
         const uint64_t row = (uint64_t)(base.depth + z) * level_blocks.height + base.height + y;
         const uint64_t block = row * level_blocks.width + base.width;
         const uint64_t mem_block = ((uint64_t)z * count.height + y) * count.width;

         const struct vmbvk_sparse_run run = {
            .offset_B = image_offset_B + block * VMBVK_BLOCK_SIZE_B,
            .size_B = count.width * VMBVK_BLOCK_SIZE_B,
            .mem_offset_B = mem_offset_B + mem_block * VMBVK_BLOCK_SIZE_B,
         };
         if (!append_run(runs, &run, y == 0 && z == 0)) {
            runs->size = size_before;
            return -ENOMEM;
         }
      }
   }

   return 0;
}

bool
vmbvk_sparse_range_valid(uint64_t offset_B, uint64_t size_B, uint64_t size_limit_B,
                         uint64_t align_B)
{
   if (size_B == 0 || offset_B > size_limit_B || size_B > size_limit_B - offset_B)
      return false;

   const uint64_t end_B = offset_B + size_B;
   return offset_B % align_B == 0 && (end_B % align_B == 0 || end_B == size_limit_B);
}

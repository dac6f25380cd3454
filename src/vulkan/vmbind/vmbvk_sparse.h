/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Where things are in a sparse resource: from what vkQueueBindSparse names (bytes of a resource, or
 * texels of an image) to runs of addresses and memory.  Pure functions over plain structs.
 *
 * Must never know a handle, a screen, a queue or a lock.
 *
 * A sparse image is laid out as llvmpipe reads it: level after level, in each level layer after
 * layer (of a 3D image, all of it), in each of these the blocks of 64 KiB in row order.  Every
 * level of every layer starts on a block, so that there is no mip tail.
 */

#ifndef VMBVK_SPARSE_H
#define VMBVK_SPARSE_H

#include <stdbool.h>
#include <stdint.h>

#include "util/u_dynarray.h"

#ifdef __cplusplus
extern "C" {
#endif

#define VMBVK_BLOCK_SIZE_B (64 * 1024ull)
#define VMBVK_MAX_LEVELS   16

struct vmbvk_extent {
   uint32_t width;
   uint32_t height;
   uint32_t depth;
};

/** Of one plane of an image. */
struct vmbvk_sparse_layout {
   /** Texels of a block. */
   struct vmbvk_extent block_px;
   struct vmbvk_extent size_px;
   uint32_t level_count;
   uint32_t layer_count;

   uint64_t level_offset_B[VMBVK_MAX_LEVELS];
   /** From one layer to the next; 3D images have one. */
   uint64_t layer_stride_B[VMBVK_MAX_LEVELS];
   uint64_t size_B;
};

/** A piece of a resource, and the piece of memory that is to be bound there. */
struct vmbvk_sparse_run {
   uint64_t offset_B;
   uint64_t size_B;
   uint64_t mem_offset_B;
};

/** Blocks of a level, in each dimension. */
struct vmbvk_extent vmbvk_sparse_level_blocks(const struct vmbvk_sparse_layout *layout,
                                              uint32_t level);

/**
 * Appends the runs (struct vmbvk_sparse_run) of an image bind, in the order of memory: blocks of
 * the region take memory in row order.  Runs that continue each other are one.
 *
 * \param offset_px, extent_px  of the region; the offset is a multiple of the block, the extent is
 *                              one too or ends at the level's edge
 * \return 0; -EINVAL if the region is not such a one, -ENOMEM; then nothing was appended
 */
int vmbvk_sparse_image_runs(const struct vmbvk_sparse_layout *layout, uint32_t level,
                            uint32_t layer, const struct vmbvk_extent *offset_px,
                            const struct vmbvk_extent *extent_px, uint64_t mem_offset_B,
                            struct util_dynarray *runs);

/** Whether [offset_B, offset_B + size_B) is a not empty piece of size_limit_B bytes, in multiples
 * of \p align_B; the last piece may end where the limit does. */
bool vmbvk_sparse_range_valid(uint64_t offset_B, uint64_t size_B, uint64_t size_limit_B,
                              uint64_t align_B);

#ifdef __cplusplus
}
#endif

#endif /* VMBVK_SPARSE_H */

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Where things are in a sparse resource: from what vkQueueBindSparse and glTexPageCommitment name
 * (bytes of a resource, or texels of an image) to runs of addresses and memory.  Pure functions over
 * plain structs.
 *
 * Must never know a handle, a screen, a queue or a lock.
 *
 * A sparse image is laid out in blocks of 64 KiB: level after level, in each level layer after layer
 * (of a 3D image, all of it), in each of these the blocks in row order.  In a block, rows of elements
 * follow each other without gaps; of an image with samples, a block has first all of sample 0, then
 * all of sample 1, and so on.
 *
 * The mip tail begins with the first level, but never level 0, that fits into half a block.  Its
 * levels lie side by side as in one image of a block's width, so that each is addressed like any
 * other level that is smaller than a block:
 *
 *    +-------+---+---+
 *    |       | 1 |   |      numbers count from the first level of the tail
 *    |   0   +---+   |
 *    |       |2|     |
 *    |       |3|     |
 *    +-------+-+-----+
 *
 * Each layer has a tail of its own, in a block of its own; or, where its user says so, all layers
 * have one tail together, in which they follow each other as closely as rows go.
 */

#ifndef VMBIND_SPARSE_H
#define VMBIND_SPARSE_H

#include <stdbool.h>
#include <stdint.h>

#include "util/format/u_formats.h"
#include "util/u_dynarray.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Unit in which sparse resources are resident or not. */
#define VMBIND_SPARSE_BLOCK_SIZE_B (64 * 1024ull)
#define VMBIND_SPARSE_MAX_LEVELS   16

struct vmbind_extent {
   uint32_t width;
   uint32_t height;
   uint32_t depth;
};

/** One plane of an image. */
struct vmbind_sparse_image {
   /** 1 to 3.  In one dimension a level is a row of bytes, and has no blocks. */
   uint32_t dimensions;
   /** An element is what the format addresses: a texel, or a compressed block of several. */
   struct vmbind_extent element_px;
   uint32_t element_size_B;
   /** Elements of a block of 64 KiB, powers of two. */
   struct vmbind_extent block_el;

   uint32_t sample_count;

   struct vmbind_extent size_px;
   uint32_t level_count;
   uint32_t layer_count;

   /** One mip tail for all layers together. */
   bool single_tail;
};

/** What a format says of an image, with the standard block shapes of Vulkan and of
 * ARB_sparse_texture2; the size and all below it are left at 0. */
struct vmbind_sparse_image vmbind_sparse_image_of(enum pipe_format format, uint32_t dimensions,
                                                  uint32_t sample_count);

/** Where things are in it. */
struct vmbind_sparse_layout {
   /** Texels of a block. */
   struct vmbind_extent block_px;
   struct vmbind_extent size_px;
   uint32_t level_count;
   uint32_t layer_count;

   /** Of the levels before the tail. */
   struct vmbind_extent level_blocks[VMBIND_SPARSE_MAX_LEVELS];
   uint64_t level_offset_B[VMBIND_SPARSE_MAX_LEVELS];
   /** From one layer to the next; 3D images have one. */
   uint64_t layer_stride_B[VMBIND_SPARSE_MAX_LEVELS];
   /** From one row of elements to the next, inside a block. */
   uint32_t row_stride_B;
   /** From one sample to the next, inside a block. */
   uint32_t sample_stride_B;

   /** The level count if there is no tail. */
   uint32_t tail_first_level;
   uint64_t tail_offset_B;
   /** Whole blocks: of a layer's tail, or of the single one. */
   uint64_t tail_size_B;
   /** From one layer's tail to the next one's; 0 for a single tail. */
   uint64_t tail_stride_B;

   uint64_t size_B;
};

/** Lays an image out. */
void vmbind_sparse_layout_init(const struct vmbind_sparse_image *image,
                              struct vmbind_sparse_layout *layout_out);

/** A piece of a resource, and the piece of memory that is to be bound there. */
struct vmbind_sparse_run {
   uint64_t offset_B;
   uint64_t size_B;
   uint64_t mem_offset_B;
};

/**
 * Appends the runs (struct vmbind_sparse_run) of an image bind, in the order of memory: blocks of
 * the region take memory in row order.  Runs that continue each other are one.
 *
 * \param level  not one of the mip tail
 * \param offset_px, extent_px  of the region; the offset is a multiple of the block, the extent is
 *                              one too or ends at the level's edge
 * \return 0; -EINVAL if the region is not such a one, -ENOMEM; then nothing was appended
 */
int vmbind_sparse_image_runs(const struct vmbind_sparse_layout *layout, uint32_t level,
                            uint32_t layer, const struct vmbind_extent *offset_px,
                            const struct vmbind_extent *extent_px, uint64_t mem_offset_B,
                            struct util_dynarray *runs);

/** Whether [offset_B, offset_B + size_B) is a not empty piece of size_limit_B bytes, in multiples
 * of \p align_B, a power of two; the last piece may end where the limit does. */
bool vmbind_sparse_range_valid(uint64_t offset_B, uint64_t size_B, uint64_t size_limit_B,
                              uint64_t align_B);

#ifdef __cplusplus
}
#endif

#endif /* VMBIND_SPARSE_H */

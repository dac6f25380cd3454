/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Sparse images for tests: one that is bound block by block, each block to a place of its own in
 * memory that no layout would give it, and its mip tails.  Follows what the device says of blocks and
 * tails, and must never know whose the driver is.
 */

#ifndef VKT_SPARSE_H
#define VKT_SPARSE_H

#include "vkt.h"

#define VKT_BLOCK_B     (64 * 1024u)
#define VKT_MAX_ASPECTS 4

/** One block of one level of one layer. */
struct vkt_block {
   VkImageSubresource subresource;
   VkOffset3D offset;
   VkExtent3D extent;
};

struct vkt_image {
   VkImage image;
   VkImageCreateInfo info;
   VkMemoryRequirements reqs;
   VkDeviceMemory memory;
   uint8_t *map;

   /* Of sparse images. */
   VkSparseImageMemoryRequirements aspects[VKT_MAX_ASPECTS];
   uint32_t aspect_count;
   struct vkt_block *blocks;
   uint32_t block_count;
   /** Where tails are, in bytes of the image. */
   VkDeviceSize tail_offset_B[256], tail_size_B[256];
   uint32_t tail_count;
};

/** Whether the device can make the image: its format, type, usage, flags and samples. */
bool vkt_image_supported(struct vkt *t, const VkImageCreateInfo *info);

/** With memory of its own, bound, in the general layout. */
struct vkt_image vkt_plain_image_create(struct vkt *t, const VkImageCreateInfo *info);

/** Without any memory bound, in the general layout; sparse flags are added to the info's. */
struct vkt_image vkt_sparse_image_create(struct vkt *t, const VkImageCreateInfo *info);
void vkt_image_destroy(struct vkt *t, struct vkt_image *image);

/** The place in memory of a block, and of a tail, in bytes: blocks in reverse order, then tails. */
VkDeviceSize vkt_block_place_B(const struct vkt_image *image, uint32_t block);
VkDeviceSize vkt_tail_place_B(const struct vkt_image *image, uint32_t tail);

/** Binds the blocks for which a function says so, and unbinds the others; and all tails, or none. */
void vkt_sparse_image_bind(struct vkt *t, struct vkt_image *image,
                           bool (*resident)(const struct vkt_image *image, uint32_t block),
                           bool tails);
/** Binds all of an image by opaque binds, block by block, to as much memory in the reverse order. */
void vkt_image_bind_reversed(struct vkt *t, VkImage image, VkDeviceMemory memory,
                             VkDeviceSize size_B);

bool vkt_all_blocks(const struct vkt_image *image, uint32_t block);
bool vkt_every_other_block(const struct vkt_image *image, uint32_t block);
bool vkt_no_block(const struct vkt_image *image, uint32_t block);

/** The block that a texel is in; UINT32_MAX if it is in the mip tail. */
uint32_t vkt_block_of_texel(const struct vkt_image *image, VkImageAspectFlags aspect, uint32_t level,
                            uint32_t layer, uint32_t x, uint32_t y, uint32_t z);

VkImageAspectFlags vkt_format_aspects(VkFormat format);
/** Aspects one by one that can be copied; returns their number. */
uint32_t vkt_format_list_aspects(VkFormat format, VkImageAspectFlagBits aspects[3]);
VkExtent3D vkt_level_size(const VkImageCreateInfo *info, uint32_t level);

#endif /* VKT_SPARSE_H */

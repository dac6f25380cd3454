/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The sparse-resident image, the memory behind it, and the binding of pages.
 * All that is the driver's business stays in here: requirements, mip tail,
 * metadata, memory types.  It must never choose pages.
 */

#ifndef VT_TEXTURE_H
#define VT_TEXTURE_H

#include <stdint.h>

#include "vt_pages.h"
#include "vt_vk.h"

struct vt_texture {
   VkImage image;
   VkImageView view;
   VkDeviceMemory pool; /* slot n is at n * VT_PAGE_B */
   VkDeviceMemory base; /* the levels that are always resident */
   VkDeviceSize size_B; /* address space of the whole image */
   VkDeviceSize base_B;
   VkSparseImageMemoryBind *binds; /* scratch */
};

/* Creates the image and allocates the pool. */
void vt_texture_init(const struct vt_vk *vk, struct vt_texture *texture,
                     const struct vt_pages *pages);
void vt_texture_finish(const struct vt_vk *vk, struct vt_texture *texture);

/* Binds the levels that are always resident, mip tail included, in one
 * vkQueueBindSparse that signals the timeline.
 */
void vt_texture_bind_base(const struct vt_vk *vk, struct vt_texture *texture,
                          const struct vt_pages *pages, VkSemaphore signal, uint64_t signal_value);

/* The evictions and binds of one frame in one vkQueueBindSparse.  Returns the
 * time that the call took.
 */
uint64_t vt_texture_bind_plan(const struct vt_vk *vk, struct vt_texture *texture,
                              const struct vt_pages *pages, const struct vt_plan *plan,
                              VkSemaphore wait, uint64_t wait_value, VkSemaphore signal,
                              uint64_t signal_value);

#endif /* VT_TEXTURE_H */

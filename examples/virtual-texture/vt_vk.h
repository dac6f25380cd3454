/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The Vulkan device that the demo runs on and the few helpers that every
 * Vulkan program has: choosing a device that can do sparse residency, memory,
 * buffers and images.  It must never know about pages or pictures.
 */

#ifndef VT_VK_H
#define VT_VK_H

#include <stdbool.h>
#include <stdint.h>
#include <vulkan/vulkan.h>

struct vt_vk {
   VkInstance instance;
   VkPhysicalDevice physical;
   VkPhysicalDeviceProperties properties;
   VkPhysicalDeviceMemoryProperties memory;
   VkDevice device;
   uint32_t graphics_family;
   uint32_t sparse_family; /* may be the same */
   VkQueue graphics_queue;
   VkQueue sparse_queue; /* likewise */
   bool strict_reads;    /* residencyNonResidentStrict */
};

struct vt_buffer {
   VkBuffer buffer;
   VkDeviceMemory memory;
   void *data; /* always mapped */
};

struct vt_image {
   VkImage image;
   VkImageView view;
   VkDeviceMemory memory;
};

/* Ends the process with one line unless the result is VK_SUCCESS. */
void vt_check(VkResult result, const char *what);

/* Prints every device and what it lacks. */
void vt_vk_list(void);

/* The first device that will do; with `wanted`, the one of that number or
 * with that in its name.
 */
void vt_vk_init(struct vt_vk *vk, const char *wanted);
void vt_vk_finish(struct vt_vk *vk);

VkDeviceMemory vt_vk_allocate(const struct vt_vk *vk, VkDeviceSize size_B, uint32_t type_bits,
                              VkMemoryPropertyFlags wanted);

void vt_buffer_init(const struct vt_vk *vk, struct vt_buffer *buffer, VkDeviceSize size_B,
                    VkBufferUsageFlags usage);
void vt_buffer_finish(const struct vt_vk *vk, struct vt_buffer *buffer);

/* A single-level attachment that is also copied from. */
void vt_image_init(const struct vt_vk *vk, struct vt_image *image, VkFormat format,
                   uint32_t width_px, uint32_t height_px, VkImageUsageFlags usage,
                   VkImageAspectFlags aspect);
void vt_image_finish(const struct vt_vk *vk, struct vt_image *image);

/* Waits until the timeline has reached the value. */
void vt_vk_wait(const struct vt_vk *vk, VkSemaphore timeline, uint64_t value);
VkSemaphore vt_vk_timeline(const struct vt_vk *vk);

#endif /* VT_VK_H */

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See vt_texture.h.
 */

#include "vt_texture.h"

#include <stdlib.h>
#include <string.h>

#include "vt_util.h"

#define FORMAT      VK_FORMAT_R8G8B8A8_UNORM
#define MAX_ASPECTS 4

/* At most two tails (colour, metadata). */
#define MAX_TAILS 2

static void
create_image(const struct vt_vk *vk, struct vt_texture *texture, const struct vt_pages *pages)
{
   const VkPhysicalDeviceLimits *limits = &vk->properties.limits;
   const VkImageCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
      .flags = VK_IMAGE_CREATE_SPARSE_BINDING_BIT | VK_IMAGE_CREATE_SPARSE_RESIDENCY_BIT,
      .imageType = VK_IMAGE_TYPE_2D,
      .format = FORMAT,
      .extent = {pages->texture_px, pages->texture_px, 1},
      .mipLevels = pages->level_count,
      .arrayLayers = 1,
      .samples = VK_SAMPLE_COUNT_1_BIT,
      .tiling = VK_IMAGE_TILING_OPTIMAL,
      .usage = VK_IMAGE_USAGE_SAMPLED_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT,
   };
   VkSparseImageFormatProperties properties[MAX_ASPECTS];
   uint32_t count = MAX_ASPECTS;

   vkGetPhysicalDeviceSparseImageFormatProperties(vk->physical, FORMAT, VK_IMAGE_TYPE_2D,
                                                  VK_SAMPLE_COUNT_1_BIT, info.usage,
                                                  VK_IMAGE_TILING_OPTIMAL, &count, properties);
   if (count == 0)
      vt_die("%s has no sparse residency for RGBA8 textures", vk->properties.deviceName);
   if (pages->texture_px > limits->maxImageDimension2D)
      vt_die("%s takes textures of up to %u texels: use --texture-size", vk->properties.deviceName,
             limits->maxImageDimension2D);
   vt_check(vkCreateImage(vk->device, &info, NULL, &texture->image), "vkCreateImage (sparse)");
}

static void
check_requirements(const struct vt_vk *vk, const struct vt_pages *pages,
                   const VkMemoryRequirements *needs, const VkSparseImageMemoryRequirements *colour)
{
   const VkExtent3D *block = &colour->formatProperties.imageGranularity;

   if (block->width != VT_PAGE_PX || block->height != VT_PAGE_PX || needs->alignment > VT_PAGE_B)
      vt_die("%s has sparse blocks of %ux%u texels, %llu bytes apart; this "
             "demo needs the standard 128x128 of 64 KiB",
             vk->properties.deviceName, block->width, block->height,
             (unsigned long long)needs->alignment);
   if (colour->imageMipTailFirstLod < pages->fixed_level)
      vt_die("%s binds all levels from %u on as one mip tail; this demo "
             "streams those finer than %u page by page",
             vk->properties.deviceName, colour->imageMipTailFirstLod, pages->fixed_level);
   if (needs->size > vk->properties.limits.sparseAddressSpaceSize)
      vt_die("%s has %llu MiB of sparse address space, the texture takes "
             "%llu: use --texture-size",
             vk->properties.deviceName,
             (unsigned long long)(vk->properties.limits.sparseAddressSpaceSize >> 20),
             (unsigned long long)(needs->size >> 20));
}

static uint32_t
get_sparse_requirements(const struct vt_vk *vk, const struct vt_texture *texture,
                        VkSparseImageMemoryRequirements needs[MAX_ASPECTS])
{
   uint32_t count = MAX_ASPECTS;

   vkGetImageSparseMemoryRequirements(vk->device, texture->image, &count, needs);

   /* Colour first, metadata after it. */
   for (uint32_t i = 0; i < count; i++) {
      if (needs[i].formatProperties.aspectMask & VK_IMAGE_ASPECT_COLOR_BIT) {
         VkSparseImageMemoryRequirements colour = needs[i];

         needs[i] = needs[0];
         needs[0] = colour;
         return count;
      }
   }
   vt_die("%s reports no sparse requirements for the colour aspect", vk->properties.deviceName);
}

void
vt_texture_init(const struct vt_vk *vk, struct vt_texture *texture, const struct vt_pages *pages)
{
   VkSparseImageMemoryRequirements sparse[MAX_ASPECTS];
   VkMemoryRequirements needs;

   memset(texture, 0, sizeof(*texture));
   create_image(vk, texture, pages);
   get_sparse_requirements(vk, texture, sparse);
   vkGetImageMemoryRequirements(vk->device, texture->image, &needs);
   check_requirements(vk, pages, &needs, &sparse[0]);
   texture->size_B = needs.size;

   const VkImageViewCreateInfo view = {
      .sType = VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO,
      .image = texture->image,
      .viewType = VK_IMAGE_VIEW_TYPE_2D,
      .format = FORMAT,
      .subresourceRange = {VK_IMAGE_ASPECT_COLOR_BIT, 0, pages->level_count, 0, 1},
   };
   vt_check(vkCreateImageView(vk->device, &view, NULL, &texture->view),
            "vkCreateImageView (sparse)");

   texture->pool = vt_vk_allocate(vk, (VkDeviceSize)pages->slot_count * VT_PAGE_B,
                                  needs.memoryTypeBits, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT);

   /* A plan has at most one bind and one eviction for each slot. */
   uint32_t base_pages = pages->page_count - pages->streamed_page_count;
   texture->binds = vt_alloc(VT_MAX(2 * pages->slot_count, base_pages), sizeof(*texture->binds));
}

void
vt_texture_finish(const struct vt_vk *vk, struct vt_texture *texture)
{
   free(texture->binds);
   vkDestroyImageView(vk->device, texture->view, NULL);
   vkDestroyImage(vk->device, texture->image, NULL);
   vkFreeMemory(vk->device, texture->base, NULL);
   vkFreeMemory(vk->device, texture->pool, NULL);
}

static VkSparseImageMemoryBind
page_bind(const struct vt_pages *pages, uint32_t index, VkDeviceMemory memory,
          VkDeviceSize offset_B)
{
   struct vt_page page = vt_pages_page(pages, index);
   uint32_t extent_px = vt_pages_extent_px(pages, page.level);

   return (VkSparseImageMemoryBind){
      .subresource = {VK_IMAGE_ASPECT_COLOR_BIT, page.level, 0},
      .offset = {(int32_t)(page.x * VT_PAGE_PX), (int32_t)(page.y * VT_PAGE_PX), 0},
      .extent = {extent_px, extent_px, 1},
      .memory = memory,
      .memoryOffset = offset_B,
   };
}

static VkDeviceSize
align_B(VkDeviceSize value_B, VkDeviceSize alignment_B)
{
   return (value_B + alignment_B - 1) / alignment_B * alignment_B;
}

void
vt_texture_bind_base(const struct vt_vk *vk, struct vt_texture *texture,
                     const struct vt_pages *pages, VkSemaphore signal, uint64_t signal_value)
{
   VkSparseImageMemoryRequirements needs[MAX_ASPECTS];
   uint32_t aspect_count = get_sparse_requirements(vk, texture, needs);
   VkMemoryRequirements memory;
   VkSparseMemoryBind tails[MAX_TAILS];
   uint32_t tail_count = 0, page_count = 0;
   VkDeviceSize offset_B = 0;

   vkGetImageMemoryRequirements(vk->device, texture->image, &memory);

   /* Where each tail, and each page that is in none, goes. */
   for (uint32_t i = 0; i < aspect_count; i++) {
      bool metadata = needs[i].formatProperties.aspectMask & VK_IMAGE_ASPECT_METADATA_BIT;
      if (needs[i].imageMipTailSize == 0 ||
          (!metadata && needs[i].imageMipTailFirstLod >= pages->level_count))
         continue;
      if (tail_count == MAX_TAILS)
         vt_die("%s reports more mip tails than this demo knows of", vk->properties.deviceName);
      tails[tail_count++] = (VkSparseMemoryBind){
         .resourceOffset = needs[i].imageMipTailOffset,
         .size = needs[i].imageMipTailSize,
         .memoryOffset = offset_B,
         .flags = metadata ? VK_SPARSE_MEMORY_BIND_METADATA_BIT : 0,
      };
      offset_B = align_B(offset_B + needs[i].imageMipTailSize, memory.alignment);
   }

   offset_B = align_B(offset_B, VT_PAGE_B);
   for (uint32_t i = pages->streamed_page_count; i < pages->page_count; i++) {
      if (vt_pages_page(pages, i).level >= needs[0].imageMipTailFirstLod)
         break;
      texture->binds[page_count++] = page_bind(pages, i, VK_NULL_HANDLE, offset_B);
      offset_B += VT_PAGE_B;
   }

   texture->base_B = offset_B;
   texture->base =
      vt_vk_allocate(vk, offset_B, memory.memoryTypeBits, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT);
   for (uint32_t i = 0; i < tail_count; i++)
      tails[i].memory = texture->base;
   for (uint32_t i = 0; i < page_count; i++)
      texture->binds[i].memory = texture->base;

   const VkSparseImageOpaqueMemoryBindInfo opaque = {
      texture->image,
      tail_count,
      tails,
   };
   const VkSparseImageMemoryBindInfo image = {
      texture->image,
      page_count,
      texture->binds,
   };
   const VkTimelineSemaphoreSubmitInfo values = {
      .sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
      .signalSemaphoreValueCount = 1,
      .pSignalSemaphoreValues = &signal_value,
   };
   const VkBindSparseInfo info = {
      .sType = VK_STRUCTURE_TYPE_BIND_SPARSE_INFO,
      .pNext = &values,
      .imageOpaqueBindCount = tail_count ? 1 : 0,
      .pImageOpaqueBinds = &opaque,
      .imageBindCount = page_count ? 1 : 0,
      .pImageBinds = &image,
      .signalSemaphoreCount = 1,
      .pSignalSemaphores = &signal,
   };
   vt_check(vkQueueBindSparse(vk->sparse_queue, 1, &info, VK_NULL_HANDLE),
            "vkQueueBindSparse (base levels)");
}

uint64_t
vt_texture_bind_plan(const struct vt_vk *vk, struct vt_texture *texture,
                     const struct vt_pages *pages, const struct vt_plan *plan, VkSemaphore wait,
                     uint64_t wait_value, VkSemaphore signal, uint64_t signal_value)
{
   uint32_t count = 0;

   for (uint32_t i = 0; i < plan->evict_count; i++)
      texture->binds[count++] = page_bind(pages, plan->evicts[i].page, VK_NULL_HANDLE, 0);
   for (uint32_t i = 0; i < plan->bind_count; i++)
      texture->binds[count++] = page_bind(pages, plan->binds[i].page, texture->pool,
                                          (VkDeviceSize)plan->binds[i].slot * VT_PAGE_B);

   const VkSparseImageMemoryBindInfo image = {
      texture->image,
      count,
      texture->binds,
   };
   const VkTimelineSemaphoreSubmitInfo values = {
      .sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
      .waitSemaphoreValueCount = 1,
      .pWaitSemaphoreValues = &wait_value,
      .signalSemaphoreValueCount = 1,
      .pSignalSemaphoreValues = &signal_value,
   };
   const VkBindSparseInfo info = {
      .sType = VK_STRUCTURE_TYPE_BIND_SPARSE_INFO,
      .pNext = &values,
      .waitSemaphoreCount = 1,
      .pWaitSemaphores = &wait,
      .imageBindCount = 1,
      .pImageBinds = &image,
      .signalSemaphoreCount = 1,
      .pSignalSemaphores = &signal,
   };
   uint64_t start_ns = vt_now_ns();

   vt_check(vkQueueBindSparse(vk->sparse_queue, 1, &info, VK_NULL_HANDLE), "vkQueueBindSparse");
   return vt_now_ns() - start_ns;
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Sparse images: their addresses, their layout, and what the application is told of it.
 *
 * Lavapipe creates the image; here it gets addresses.  Knows nothing of binds.
 */

#include "vmbvk_image.h"
#include "vmbvk_private.h"

#include <errno.h>

#include "lp_limits.h"
#include "lp_texture.h"
#include "util/format/u_format.h"
#include "util/u_inlines.h"
#include "vmbind/vmbind_screen.h"

#include "vmbvk_sparse.h"

/* Texels of a block of 64 KiB: the standard block shapes of the specification. */
static struct vmbvk_extent
block_size_px(enum pipe_format format, uint32_t dimensions, uint32_t samples)
{
   return (struct vmbvk_extent){
      .width = util_format_get_tilesize(format, dimensions, samples, 0) *
               util_format_get_blockwidth(format),
      .height = util_format_get_tilesize(format, dimensions, samples, 1) *
                util_format_get_blockheight(format),
      .depth = util_format_get_tilesize(format, dimensions, samples, 2) *
               util_format_get_blockdepth(format),
   };
}

static uint32_t
target_dimensions(enum pipe_texture_target target)
{
   switch (target) {
   case PIPE_TEXTURE_1D:
   case PIPE_TEXTURE_1D_ARRAY:
      return 1;
   case PIPE_TEXTURE_3D:
      return 3;
   default:
      return 2;
   }
}

void
vmbvk_image_get_layout(const struct lvp_image *image, uint8_t plane,
                       struct vmbvk_sparse_layout *layout_out)
{
   const struct llvmpipe_resource *lpr = llvmpipe_resource(image->planes[plane].bo);
   const struct pipe_resource *pres = &lpr->base;

   *layout_out = (struct vmbvk_sparse_layout){
      .block_px =
         block_size_px(pres->format, target_dimensions(pres->target), MAX2(pres->nr_samples, 1)),
      .size_px = {pres->width0, pres->height0, pres->depth0},
      .level_count = pres->last_level + 1,
      .layer_count = pres->array_size,
      .size_B = lpr->size_required,
   };

   assert(layout_out->level_count <= VMBVK_MAX_LEVELS);
   for (uint32_t level = 0; level < layout_out->level_count; level++) {
      layout_out->level_offset_B[level] = lpr->mip_offsets[level];
      layout_out->layer_stride_B[level] = lpr->img_stride[level];
   }
}

/* ------------------------------------------------------------ create and destroy */

static VkResult
make_sparse(struct vmbvk_device *device, struct lvp_image *image)
{
   for (uint8_t p = 0; p < image->plane_count; p++) {
      struct lvp_image_plane *plane = &image->planes[p];

      /* Generated code counts in 32 bits with a sign. */
      if (plane->size > LP_MAX_TEXTURE_SIZE)
         return vk_errorf(device, VK_ERROR_OUT_OF_DEVICE_MEMORY,
                          "an image of %" PRIu64 " MiB; %u MiB is the most",
                          (uint64_t)plane->size >> 20, (unsigned)(LP_MAX_TEXTURE_SIZE >> 20));

      int ret = vmbind_resource_make_sparse(
         device->lvp.pscreen, plane->bo, plane->size,
         image->vk.create_flags & VK_IMAGE_CREATE_SPARSE_RESIDENCY_BIT);
      if (ret)
         return vk_errorf(
            device, ret == -ENOMEM ? VK_ERROR_OUT_OF_HOST_MEMORY : VK_ERROR_OUT_OF_DEVICE_MEMORY,
            "no addresses for %" PRIu64 " MiB: %s", (uint64_t)plane->size >> 20, strerror(-ret));
   }

   return VK_SUCCESS;
}

VKAPI_ATTR VkResult VKAPI_CALL
vmbvk_CreateImage(VkDevice _device, const VkImageCreateInfo *pCreateInfo,
                  const VkAllocationCallbacks *pAllocator, VkImage *pImage)
{
   VK_FROM_HANDLE(vmbvk_device, device, _device);

   VkResult result = lvp_CreateImage(_device, pCreateInfo, pAllocator, pImage);
   if (result != VK_SUCCESS || !(pCreateInfo->flags & VK_IMAGE_CREATE_SPARSE_BINDING_BIT))
      return result;

   VK_FROM_HANDLE(lvp_image, image, *pImage);
   result = make_sparse(device, image);
   if (result != VK_SUCCESS) {
      lvp_DestroyImage(_device, *pImage, pAllocator);
      *pImage = VK_NULL_HANDLE;
   }

   return result;
}

VKAPI_ATTR void VKAPI_CALL
vmbvk_DestroyImage(VkDevice _device, VkImage _image, const VkAllocationCallbacks *pAllocator)
{
   VK_FROM_HANDLE(vmbvk_device, device, _device);
   VK_FROM_HANDLE(lvp_image, image, _image);

   if (image && (image->vk.create_flags & VK_IMAGE_CREATE_SPARSE_BINDING_BIT)) {
      for (uint8_t p = 0; p < image->plane_count; p++)
         vmbvk_residency_forget(device, image->planes[p].bo);
   }

   lvp_DestroyImage(_device, _image, pAllocator);
}

/* ------------------------------------------------------------- what is told of it */

static void
get_format_properties(VkImageType type, VkFormat format, VkSampleCountFlagBits samples,
                      VkSparseImageFormatProperties *props)
{
   const struct vmbvk_extent block_px =
      block_size_px(lvp_vk_format_to_pipe_format(format), type + 1, samples);

   *props = (VkSparseImageFormatProperties){
      .aspectMask = vk_format_aspects(format),
      .imageGranularity = {block_px.width, block_px.height, block_px.depth},
   };
}

/* Every level of every layer starts on a block: there is no mip tail. */
static void
get_memory_requirements(VkImageType type, VkFormat format, VkSampleCountFlagBits samples,
                        uint32_t level_count, VkSparseImageMemoryRequirements *reqs)
{
   *reqs = (VkSparseImageMemoryRequirements){.imageMipTailFirstLod = level_count};
   get_format_properties(type, format, samples, &reqs->formatProperties);
}

VKAPI_ATTR void VKAPI_CALL
vmbvk_GetPhysicalDeviceSparseImageFormatProperties2(
   VkPhysicalDevice physicalDevice, const VkPhysicalDeviceSparseImageFormatInfo2 *pFormatInfo,
   uint32_t *pPropertyCount, VkSparseImageFormatProperties2 *pProperties)
{
   uint32_t supported = 0;

   /* Whether there are any is lavapipe's to say. */
   lvp_GetPhysicalDeviceSparseImageFormatProperties2(physicalDevice, pFormatInfo, &supported, NULL);

   VK_OUTARRAY_MAKE_TYPED(VkSparseImageFormatProperties2, out, pProperties, pPropertyCount);
   if (!supported)
      return;

   vk_outarray_append_typed(VkSparseImageFormatProperties2, &out, p)
   {
      get_format_properties(pFormatInfo->type, pFormatInfo->format, pFormatInfo->samples,
                            &p->properties);
   }
}

VKAPI_ATTR void VKAPI_CALL
vmbvk_GetImageSparseMemoryRequirements2(UNUSED VkDevice _device,
                                        const VkImageSparseMemoryRequirementsInfo2 *pInfo,
                                        uint32_t *pCount,
                                        VkSparseImageMemoryRequirements2 *pRequirements)
{
   VK_FROM_HANDLE(lvp_image, image, pInfo->image);

   VK_OUTARRAY_MAKE_TYPED(VkSparseImageMemoryRequirements2, out, pRequirements, pCount);
   if (!(image->vk.create_flags & VK_IMAGE_CREATE_SPARSE_RESIDENCY_BIT))
      return;

   vk_outarray_append_typed(VkSparseImageMemoryRequirements2, &out, reqs)
   {
      get_memory_requirements(image->vk.image_type, image->vk.format, image->vk.samples,
                              image->vk.mip_levels, &reqs->memoryRequirements);
   }
}

VKAPI_ATTR void VKAPI_CALL
vmbvk_GetDeviceImageSparseMemoryRequirements(UNUSED VkDevice _device,
                                             const VkDeviceImageMemoryRequirements *pInfo,
                                             uint32_t *pCount,
                                             VkSparseImageMemoryRequirements2 *pRequirements)
{
   const VkImageCreateInfo *info = pInfo->pCreateInfo;

   VK_OUTARRAY_MAKE_TYPED(VkSparseImageMemoryRequirements2, out, pRequirements, pCount);
   if (!(info->flags & VK_IMAGE_CREATE_SPARSE_RESIDENCY_BIT))
      return;

   vk_outarray_append_typed(VkSparseImageMemoryRequirements2, &out, reqs)
   {
      get_memory_requirements(info->imageType, info->format, info->samples, info->mipLevels,
                              &reqs->memoryRequirements);
   }
}

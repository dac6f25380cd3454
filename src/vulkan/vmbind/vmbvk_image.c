/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Sparse images: their addresses, their layout, and what the application is told of it.
 *
 * Lavapipe creates the image; here it gets addresses.  Knows nothing of binds.
 */

#include "vmbvk_private.h"

#include <errno.h>

#include "lp_limits.h"
#include "lp_texture.h"
#include "util/format/u_format.h"
#include "util/u_inlines.h"
#include "vmbind/vmbind_screen.h"
#include "vmbind/vmbind_sparse.h"

/** What there is to know of an image before it exists. */
struct image_info {
   VkImageType type;
   VkFormat format;
   VkExtent3D extent_px;
   uint32_t level_count;
   uint32_t layer_count;
   VkSampleCountFlagBits samples;
};

static struct image_info
info_of_image(const struct lvp_image *image)
{
   return (struct image_info){
      .type = image->vk.image_type,
      .format = image->vk.format,
      .extent_px = image->vk.extent,
      .level_count = image->vk.mip_levels,
      .layer_count = image->vk.array_layers,
      .samples = image->vk.samples,
   };
}

static struct image_info
info_of_create_info(const VkImageCreateInfo *create_info)
{
   return (struct image_info){
      .type = create_info->imageType,
      .format = create_info->format,
      .extent_px = create_info->extent,
      .level_count = create_info->mipLevels,
      .layer_count = create_info->arrayLayers,
      .samples = create_info->samples,
   };
}

/* Depth and stencil buffers come in arrays of small ones (shadow maps): their tails share blocks. */
static bool
has_single_tail(VkFormat format)
{
   return vk_format_is_depth_or_stencil(format);
}

static struct vmbind_sparse_image
describe_plane(const struct image_info *info, uint8_t p)
{
   const struct vk_format_ycbcr_info *ycbcr = vk_format_get_ycbcr_info(info->format);
   const VkFormat vk_format = ycbcr ? ycbcr->planes[p].format : info->format;
   const enum pipe_format format = lvp_vk_format_to_pipe_format(vk_format);
   struct vmbind_sparse_image image =
      vmbind_sparse_image_of(format, info->type + 1, info->samples);

   image.size_px = (struct vmbind_extent){
      .width = info->extent_px.width / (ycbcr ? ycbcr->planes[p].denominator_scales[0] : 1),
      .height = info->extent_px.height / (ycbcr ? ycbcr->planes[p].denominator_scales[1] : 1),
      .depth = info->extent_px.depth,
   };
   image.level_count = info->level_count;
   image.layer_count = info->layer_count;
   image.single_tail = has_single_tail(info->format);

   return image;
}

static void
get_layout(const struct image_info *info, uint8_t p, struct vmbind_sparse_layout *layout_out)
{
   const struct vmbind_sparse_image image = describe_plane(info, p);
   vmbind_sparse_layout_init(&image, layout_out);
}

/* ------------------------------------------------------------ create and destroy */

/* Images whose layout the application may know, and which are bound as a whole, are laid out as any
 * other, and not in blocks. */
static bool
has_plain_layout(VkImageCreateFlags flags, VkImageTiling tiling)
{
   return (flags & VK_IMAGE_CREATE_SPARSE_BINDING_BIT) &&
          !(flags & VK_IMAGE_CREATE_SPARSE_RESIDENCY_BIT) && tiling != VK_IMAGE_TILING_OPTIMAL;
}

/* At addresses without memory, as it is. */
static int
give_addresses(struct vmbvk_device *device, struct lvp_image *image, uint8_t p, uint64_t size_B)
{
   image->planes[p].size = size_B;
   return vmbind_resource_make_sparse(device->lvp.pscreen, image->planes[p].bo, size_B,
                                      image->vk.create_flags &
                                         VK_IMAGE_CREATE_SPARSE_RESIDENCY_BIT);
}

static VkResult
no_addresses(struct vmbvk_device *device, int ret, uint64_t size_B)
{
   return vk_errorf(device,
                    ret == -ENOMEM ? VK_ERROR_OUT_OF_HOST_MEMORY : VK_ERROR_OUT_OF_DEVICE_MEMORY,
                    "no addresses for %" PRIu64 " MiB: %s", size_B >> 20, strerror(-ret));
}

static VkResult
make_plain_plane_sparse(struct vmbvk_device *device, struct lvp_image *image, uint8_t p)
{
   const uint64_t size_B = align64(image->planes[p].size, VMBIND_SPARSE_BLOCK_SIZE_B);

   int ret = give_addresses(device, image, p, size_B);
   return ret ? no_addresses(device, ret, size_B) : VK_SUCCESS;
}

static VkResult
make_plane_sparse(struct vmbvk_device *device, struct lvp_image *image, uint8_t p)
{
   struct lvp_image_plane *plane = &image->planes[p];
   struct vmbind_sparse_layout layout;

   if (has_plain_layout(image->vk.create_flags, image->vk.tiling))
      return make_plain_plane_sparse(device, image, p);

   const struct image_info info = info_of_image(image);
   get_layout(&info, p, &layout);

   /* Generated code counts in 32 bits with a sign. */
   if (layout.size_B > LP_MAX_TEXTURE_SIZE)
      return vk_errorf(device, VK_ERROR_OUT_OF_DEVICE_MEMORY,
                       "an image of %" PRIu64 " MiB; %u MiB is the most", layout.size_B >> 20,
                       (unsigned)(LP_MAX_TEXTURE_SIZE >> 20));

   int ret = give_addresses(device, image, p, layout.size_B);
   if (ret)
      return no_addresses(device, ret, layout.size_B);

   if (vmbind_resource_set_layout(plane->bo, &layout) ||
       vmbind_resource_track_residency(plane->bo, layout.size_B))
      return vk_error(device, VK_ERROR_OUT_OF_HOST_MEMORY);

   return VK_SUCCESS;
}

static VkResult
make_sparse(struct vmbvk_device *device, struct lvp_image *image)
{
   image->size = 0;
   for (uint8_t p = 0; p < image->plane_count; p++) {
      VkResult result = make_plane_sparse(device, image, p);
      if (result != VK_SUCCESS)
         return result;
      image->size += image->planes[p].size;
   }

   return VK_SUCCESS;
}

/* Lavapipe lays out in blocks what it is told to be sparse. */
static VkResult
create_lavapipe_image(VkDevice device, const VkImageCreateInfo *create_info,
                      const VkAllocationCallbacks *alloc, VkImage *image_out)
{
   if (!has_plain_layout(create_info->flags, create_info->tiling))
      return lvp_CreateImage(device, create_info, alloc, image_out);

   VkImageCreateInfo plain = *create_info;
   plain.flags &= ~(VK_IMAGE_CREATE_SPARSE_BINDING_BIT | VK_IMAGE_CREATE_SPARSE_ALIASED_BIT);
   VkResult result = lvp_CreateImage(device, &plain, alloc, image_out);
   if (result != VK_SUCCESS)
      return result;

   VK_FROM_HANDLE(lvp_image, image, *image_out);
   image->vk.create_flags = create_info->flags;
   image->alignment = VMBIND_SPARSE_BLOCK_SIZE_B;
   return VK_SUCCESS;
}

VKAPI_ATTR VkResult VKAPI_CALL
vmbvk_CreateImage(VkDevice _device, const VkImageCreateInfo *pCreateInfo,
                  const VkAllocationCallbacks *pAllocator, VkImage *pImage)
{
   VK_FROM_HANDLE(vmbvk_device, device, _device);

   VkResult result = create_lavapipe_image(_device, pCreateInfo, pAllocator, pImage);
   if (result != VK_SUCCESS || !(pCreateInfo->flags & VK_IMAGE_CREATE_SPARSE_BINDING_BIT))
      return result;

   VK_FROM_HANDLE(lvp_image, image, *pImage);
   result = make_sparse(device, image);
   if (result != VK_SUCCESS) {
      lvp_DestroyImage(_device, *pImage, pAllocator);
      *pImage = VK_NULL_HANDLE;
      return result;
   }

   vmbvk_report_image(device, image, VK_DEVICE_ADDRESS_BINDING_TYPE_BIND_EXT);
   return VK_SUCCESS;
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

   if (image)
      vmbvk_report_image(device, image, VK_DEVICE_ADDRESS_BINDING_TYPE_UNBIND_EXT);
   lvp_DestroyImage(_device, _image, pAllocator);
}

/* ------------------------------------------------------------------ host copies */

/* The host writes without a submission: residency is brought up to date here. */

VKAPI_ATTR VkResult VKAPI_CALL
vmbvk_CopyMemoryToImageEXT(VkDevice _device, const VkCopyMemoryToImageInfoEXT *pInfo)
{
   VK_FROM_HANDLE(vmbvk_device, device, _device);

   vmbvk_residency_advance(device);
   return lvp_CopyMemoryToImageEXT(_device, pInfo);
}

VKAPI_ATTR VkResult VKAPI_CALL
vmbvk_CopyImageToImageEXT(VkDevice _device, const VkCopyImageToImageInfoEXT *pInfo)
{
   VK_FROM_HANDLE(vmbvk_device, device, _device);

   vmbvk_residency_advance(device);
   return lvp_CopyImageToImageEXT(_device, pInfo);
}

/* ------------------------------------------------------------- what is told of it */

static VkImageAspectFlags
plane_aspects(VkFormat format, uint8_t p)
{
   return vk_format_get_plane_count(format) > 1 ? (VkImageAspectFlags)VK_IMAGE_ASPECT_PLANE_0_BIT << p
                                                : vk_format_aspects(format);
}

static VkSparseImageFormatProperties
get_format_properties(const struct image_info *info, uint8_t p)
{
   const struct vmbind_sparse_image image = describe_plane(info, p);

   return (VkSparseImageFormatProperties){
      .aspectMask = plane_aspects(info->format, p),
      .imageGranularity =
         {
            .width = image.block_el.width * image.element_px.width,
            .height = image.block_el.height * image.element_px.height,
            .depth = image.block_el.depth * image.element_px.depth,
         },
      .flags = image.single_tail ? VK_SPARSE_IMAGE_FORMAT_SINGLE_MIPTAIL_BIT : 0,
   };
}

/* Offsets count from the start of the image, as those of opaque binds do: plane after plane. */
static void
get_memory_requirements(const struct image_info *info, uint32_t *count,
                        VkSparseImageMemoryRequirements2 *requirements)
{
   uint64_t plane_offset_B = 0;

   VK_OUTARRAY_MAKE_TYPED(VkSparseImageMemoryRequirements2, out, requirements, count);
   for (uint8_t p = 0; p < vk_format_get_plane_count(info->format); p++) {
      struct vmbind_sparse_layout layout;
      get_layout(info, p, &layout);

      vk_outarray_append_typed(VkSparseImageMemoryRequirements2, &out, reqs)
      {
         const bool has_tail = layout.tail_first_level < layout.level_count;

         reqs->memoryRequirements = (VkSparseImageMemoryRequirements){
            .formatProperties = get_format_properties(info, p),
            .imageMipTailFirstLod = layout.tail_first_level,
            .imageMipTailSize = layout.tail_size_B,
            .imageMipTailOffset = has_tail ? plane_offset_B + layout.tail_offset_B : 0,
            .imageMipTailStride = layout.tail_stride_B,
         };
      }
      plane_offset_B += layout.size_B;
   }
}

static bool
is_supported(VkPhysicalDevice physicalDevice, const VkPhysicalDeviceSparseImageFormatInfo2 *info)
{
   VkImageFormatProperties2 props = {.sType = VK_STRUCTURE_TYPE_IMAGE_FORMAT_PROPERTIES_2};
   const VkPhysicalDeviceImageFormatInfo2 image_info = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_IMAGE_FORMAT_INFO_2,
      .format = info->format,
      .type = info->type,
      .tiling = info->tiling,
      .usage = info->usage,
      .flags = VK_IMAGE_CREATE_SPARSE_BINDING_BIT | VK_IMAGE_CREATE_SPARSE_RESIDENCY_BIT,
   };

   return lvp_GetPhysicalDeviceImageFormatProperties2(physicalDevice, &image_info, &props) ==
             VK_SUCCESS &&
          (props.imageFormatProperties.sampleCounts & info->samples);
}

VKAPI_ATTR void VKAPI_CALL
vmbvk_GetPhysicalDeviceSparseImageFormatProperties2(
   VkPhysicalDevice physicalDevice, const VkPhysicalDeviceSparseImageFormatInfo2 *pFormatInfo,
   uint32_t *pPropertyCount, VkSparseImageFormatProperties2 *pProperties)
{
   VK_OUTARRAY_MAKE_TYPED(VkSparseImageFormatProperties2, out, pProperties, pPropertyCount);
   if (!is_supported(physicalDevice, pFormatInfo))
      return;

   const struct image_info info = {
      .type = pFormatInfo->type,
      .format = pFormatInfo->format,
      .samples = pFormatInfo->samples,
   };
   for (uint8_t p = 0; p < vk_format_get_plane_count(info.format); p++) {
      vk_outarray_append_typed(VkSparseImageFormatProperties2, &out, props)
      {
         props->properties = get_format_properties(&info, p);
      }
   }
}

VKAPI_ATTR void VKAPI_CALL
vmbvk_GetImageSparseMemoryRequirements2(UNUSED VkDevice _device,
                                        const VkImageSparseMemoryRequirementsInfo2 *pInfo,
                                        uint32_t *pCount,
                                        VkSparseImageMemoryRequirements2 *pRequirements)
{
   VK_FROM_HANDLE(lvp_image, image, pInfo->image);

   if (!(image->vk.create_flags & VK_IMAGE_CREATE_SPARSE_RESIDENCY_BIT)) {
      *pCount = 0;
      return;
   }

   const struct image_info info = info_of_image(image);
   get_memory_requirements(&info, pCount, pRequirements);
}

VKAPI_ATTR void VKAPI_CALL
vmbvk_GetDeviceImageSparseMemoryRequirements(UNUSED VkDevice _device,
                                             const VkDeviceImageMemoryRequirements *pInfo,
                                             uint32_t *pCount,
                                             VkSparseImageMemoryRequirements2 *pRequirements)
{
   if (!(pInfo->pCreateInfo->flags & VK_IMAGE_CREATE_SPARSE_RESIDENCY_BIT)) {
      *pCount = 0;
      return;
   }

   const struct image_info info = info_of_create_info(pInfo->pCreateInfo);
   get_memory_requirements(&info, pCount, pRequirements);
}

/* Lavapipe knows how large such an image is when there is one. */
static uint64_t
plain_image_size_B(VkDevice device, const VkImageCreateInfo *create_info)
{
   VkImage _image;

   if (vmbvk_CreateImage(device, create_info, NULL, &_image) != VK_SUCCESS)
      return 0;

   VK_FROM_HANDLE(lvp_image, image, _image);
   const uint64_t size_B = image->size;
   vmbvk_DestroyImage(device, _image, NULL);
   return size_B;
}

VKAPI_ATTR void VKAPI_CALL
vmbvk_GetDeviceImageMemoryRequirements(VkDevice _device,
                                       const VkDeviceImageMemoryRequirements *pInfo,
                                       VkMemoryRequirements2 *pRequirements)
{
   vmbvk_fill_requirements(pRequirements);
   lvp_GetDeviceImageMemoryRequirements(_device, pInfo, pRequirements);
   if (!(pInfo->pCreateInfo->flags & VK_IMAGE_CREATE_SPARSE_BINDING_BIT))
      return;

   if (has_plain_layout(pInfo->pCreateInfo->flags, pInfo->pCreateInfo->tiling)) {
      pRequirements->memoryRequirements.size = plain_image_size_B(_device, pInfo->pCreateInfo);
      return;
   }

   const struct image_info info = info_of_create_info(pInfo->pCreateInfo);
   pRequirements->memoryRequirements.size = 0;
   for (uint8_t p = 0; p < vk_format_get_plane_count(info.format); p++) {
      struct vmbind_sparse_layout layout;
      get_layout(&info, p, &layout);
      pRequirements->memoryRequirements.size += layout.size_B;
   }
}

/* Sparse ones lie as ours do; who asks may want to copy an image that there is by it (VK_EXT_host_image_copy). */
VKAPI_ATTR void VKAPI_CALL
vmbvk_GetDeviceImageSubresourceLayoutKHR(VkDevice device, const VkDeviceImageSubresourceInfoKHR *pInfo,
                                         VkSubresourceLayout2KHR *pLayout)
{
   VkImage image;

   if (!(pInfo->pCreateInfo->flags & VK_IMAGE_CREATE_SPARSE_BINDING_BIT)) {
      lvp_GetDeviceImageSubresourceLayoutKHR(device, pInfo, pLayout);
      return;
   }

   if (vmbvk_CreateImage(device, pInfo->pCreateInfo, NULL, &image) != VK_SUCCESS)
      return;
   lvp_GetImageSubresourceLayout2KHR(device, image, pInfo->pSubresource, pLayout);
   vmbvk_DestroyImage(device, image, NULL);
}

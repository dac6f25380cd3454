/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See vkt_sparse.h.
 */

#include "vkt_sparse.h"

static uint32_t
min(uint32_t a, uint32_t b)
{
   return a < b ? a : b;
}

static uint32_t
at_least_1(uint32_t a)
{
   return a ? a : 1;
}

VkExtent3D
vkt_level_size(const VkImageCreateInfo *info, uint32_t level)
{
   return (VkExtent3D){
      at_least_1(info->extent.width >> level),
      at_least_1(info->extent.height >> level),
      at_least_1(info->extent.depth >> level),
   };
}

/* ----------------------------------------------------------------- formats */

uint32_t
vkt_format_list_aspects(VkFormat format, VkImageAspectFlagBits aspects[3])
{
   uint32_t count = 0;

   switch (format) {
   case VK_FORMAT_D16_UNORM:
   case VK_FORMAT_X8_D24_UNORM_PACK32:
   case VK_FORMAT_D32_SFLOAT:
      aspects[count++] = VK_IMAGE_ASPECT_DEPTH_BIT;
      break;
   case VK_FORMAT_S8_UINT:
      aspects[count++] = VK_IMAGE_ASPECT_STENCIL_BIT;
      break;
   case VK_FORMAT_D16_UNORM_S8_UINT:
   case VK_FORMAT_D24_UNORM_S8_UINT:
   case VK_FORMAT_D32_SFLOAT_S8_UINT:
      aspects[count++] = VK_IMAGE_ASPECT_DEPTH_BIT;
      aspects[count++] = VK_IMAGE_ASPECT_STENCIL_BIT;
      break;
   case VK_FORMAT_G8_B8_R8_3PLANE_420_UNORM:
   case VK_FORMAT_G8_B8_R8_3PLANE_422_UNORM:
   case VK_FORMAT_G8_B8_R8_3PLANE_444_UNORM:
   case VK_FORMAT_G16_B16_R16_3PLANE_420_UNORM:
   case VK_FORMAT_G16_B16_R16_3PLANE_422_UNORM:
   case VK_FORMAT_G16_B16_R16_3PLANE_444_UNORM:
      aspects[count++] = VK_IMAGE_ASPECT_PLANE_0_BIT;
      aspects[count++] = VK_IMAGE_ASPECT_PLANE_1_BIT;
      aspects[count++] = VK_IMAGE_ASPECT_PLANE_2_BIT;
      break;
   case VK_FORMAT_G8_B8R8_2PLANE_420_UNORM:
   case VK_FORMAT_G8_B8R8_2PLANE_422_UNORM:
   case VK_FORMAT_G16_B16R16_2PLANE_420_UNORM:
   case VK_FORMAT_G16_B16R16_2PLANE_422_UNORM:
   case VK_FORMAT_G10X6_B10X6R10X6_2PLANE_420_UNORM_3PACK16:
   case VK_FORMAT_G12X4_B12X4R12X4_2PLANE_420_UNORM_3PACK16:
      aspects[count++] = VK_IMAGE_ASPECT_PLANE_0_BIT;
      aspects[count++] = VK_IMAGE_ASPECT_PLANE_1_BIT;
      break;
   default:
      aspects[count++] = VK_IMAGE_ASPECT_COLOR_BIT;
      break;
   }

   return count;
}

VkImageAspectFlags
vkt_format_aspects(VkFormat format)
{
   VkImageAspectFlagBits aspects[3];
   VkImageAspectFlags all = 0;
   const uint32_t count = vkt_format_list_aspects(format, aspects);

   for (uint32_t i = 0; i < count; i++)
      all |= aspects[i];
   /* Layouts are of all planes at once. */
   return all & VK_IMAGE_ASPECT_PLANE_0_BIT ? VK_IMAGE_ASPECT_COLOR_BIT : all;
}

/* The texels of a level of one aspect: planes may have fewer than the image. */
static VkExtent3D
aspect_size(const VkImageCreateInfo *info, VkImageAspectFlags aspect, uint32_t level)
{
   VkExtent3D size = vkt_level_size(info, level);

   if (!(aspect & (VK_IMAGE_ASPECT_PLANE_1_BIT | VK_IMAGE_ASPECT_PLANE_2_BIT)))
      return size;

   switch (info->format) {
   case VK_FORMAT_G8_B8_R8_3PLANE_420_UNORM:
   case VK_FORMAT_G16_B16_R16_3PLANE_420_UNORM:
   case VK_FORMAT_G8_B8R8_2PLANE_420_UNORM:
   case VK_FORMAT_G16_B16R16_2PLANE_420_UNORM:
   case VK_FORMAT_G10X6_B10X6R10X6_2PLANE_420_UNORM_3PACK16:
   case VK_FORMAT_G12X4_B12X4R12X4_2PLANE_420_UNORM_3PACK16:
      size.height /= 2;
      size.width /= 2;
      break;
   case VK_FORMAT_G8_B8_R8_3PLANE_422_UNORM:
   case VK_FORMAT_G8_B8R8_2PLANE_422_UNORM:
   case VK_FORMAT_G16_B16_R16_3PLANE_422_UNORM:
   case VK_FORMAT_G16_B16R16_2PLANE_422_UNORM:
      size.width /= 2;
      break;
   default:
      break;
   }

   return size;
}

/* ------------------------------------------------------------------ images */

bool
vkt_image_supported(struct vkt *t, const VkImageCreateInfo *info)
{
   VkImageFormatProperties props;

   if (vkGetPhysicalDeviceImageFormatProperties(t->pdev, info->format, info->imageType,
                                                info->tiling, info->usage, info->flags, &props))
      return false;

   return (props.sampleCounts & info->samples) && info->mipLevels <= props.maxMipLevels &&
          info->arrayLayers <= props.maxArrayLayers && info->extent.depth <= props.maxExtent.depth;
}

struct vkt_image
vkt_plain_image_create(struct vkt *t, const VkImageCreateInfo *info)
{
   struct vkt_image image = {.info = *info};

   vkt_check(vkCreateImage(t->device, info, NULL, &image.image));
   vkGetImageMemoryRequirements(t->device, image.image, &image.reqs);
   image.memory = vkt_alloc(t, image.reqs.size, (void **)&image.map);
   memset(image.map, 0, image.reqs.size);
   vkt_check(vkBindImageMemory(t->device, image.image, image.memory, 0));
   vkt_make_general(t, image.image, vkt_format_aspects(info->format));

   return image;
}

static void
add_block(struct vkt_image *image, const struct vkt_block *block)
{
   /* Room is doubled at each power of two. */
   if ((image->block_count & (image->block_count - 1)) == 0) {
      const uint32_t room = image->block_count ? image->block_count * 2 : 1;
      image->blocks = realloc(image->blocks, room * sizeof(*image->blocks));
      vkt_expect(image->blocks, "no memory");
   }
   image->blocks[image->block_count++] = *block;
}

static void
list_blocks(struct vkt_image *image, const VkSparseImageMemoryRequirements *aspect)
{
   const VkExtent3D *block = &aspect->formatProperties.imageGranularity;
   const VkImageAspectFlags mask = aspect->formatProperties.aspectMask;

   for (uint32_t level = 0; level < min(aspect->imageMipTailFirstLod, image->info.mipLevels);
        level++) {
      const VkExtent3D size = aspect_size(&image->info, mask, level);
      for (uint32_t layer = 0; layer < image->info.arrayLayers; layer++)
      for (uint32_t z = 0; z < size.depth; z += block->depth)
      for (uint32_t y = 0; y < size.height; y += block->height)
      for (uint32_t x = 0; x < size.width; x += block->width) {
         add_block(image, &(struct vkt_block){
                             .subresource = {mask, level, layer},
                             .offset = {x, y, z},
                             .extent = {min(block->width, size.width - x),
                                        min(block->height, size.height - y),
                                        min(block->depth, size.depth - z)},
                          });
      }
   }
}

static void
list_tails(struct vkt_image *image, const VkSparseImageMemoryRequirements *aspect)
{
   const bool single =
      aspect->formatProperties.flags & VK_SPARSE_IMAGE_FORMAT_SINGLE_MIPTAIL_BIT;

   if (aspect->imageMipTailFirstLod >= image->info.mipLevels)
      return;

   for (uint32_t layer = 0; layer < (single ? 1 : image->info.arrayLayers); layer++) {
      vkt_expect(image->tail_count < VKT_ARRAY_SIZE(image->tail_offset_B), "many tails");
      image->tail_offset_B[image->tail_count] =
         aspect->imageMipTailOffset + (single ? 0 : layer * aspect->imageMipTailStride);
      image->tail_size_B[image->tail_count++] = aspect->imageMipTailSize;
   }
}

struct vkt_image
vkt_sparse_image_create(struct vkt *t, const VkImageCreateInfo *info)
{
   struct vkt_image image = {.info = *info, .aspect_count = VKT_MAX_ASPECTS};

   image.info.flags |= VK_IMAGE_CREATE_SPARSE_BINDING_BIT | VK_IMAGE_CREATE_SPARSE_RESIDENCY_BIT;
   vkt_check(vkCreateImage(t->device, &image.info, NULL, &image.image));
   vkGetImageMemoryRequirements(t->device, image.image, &image.reqs);
   vkt_expect(image.reqs.alignment == VKT_BLOCK_B, "blocks of %llu bytes",
              (unsigned long long)image.reqs.alignment);

   vkGetImageSparseMemoryRequirements(t->device, image.image, &image.aspect_count, image.aspects);
   for (uint32_t i = 0; i < image.aspect_count; i++) {
      list_blocks(&image, &image.aspects[i]);
      list_tails(&image, &image.aspects[i]);
   }

   VkDeviceSize size_B = (VkDeviceSize)image.block_count * VKT_BLOCK_B;
   for (uint32_t i = 0; i < image.tail_count; i++)
      size_B += image.tail_size_B[i];
   vkt_expect(size_B <= image.reqs.size, "%llu bytes to bind of %llu", (unsigned long long)size_B,
              (unsigned long long)image.reqs.size);
   image.memory = vkt_alloc(t, size_B, (void **)&image.map);
   memset(image.map, 0, size_B);
   vkt_make_general(t, image.image, vkt_format_aspects(info->format));

   return image;
}

void
vkt_image_destroy(struct vkt *t, struct vkt_image *image)
{
   vkDestroyImage(t->device, image->image, NULL);
   vkFreeMemory(t->device, image->memory, NULL);
   free(image->blocks);
}

/* ------------------------------------------------------------------- binds */

VkDeviceSize
vkt_block_place_B(const struct vkt_image *image, uint32_t block)
{
   return (VkDeviceSize)(image->block_count - 1 - block) * VKT_BLOCK_B;
}

VkDeviceSize
vkt_tail_place_B(const struct vkt_image *image, uint32_t tail)
{
   VkDeviceSize place_B = (VkDeviceSize)image->block_count * VKT_BLOCK_B;

   for (uint32_t i = image->tail_count - 1; i > tail; i--)
      place_B += image->tail_size_B[i];
   return place_B;
}

bool
vkt_all_blocks(const struct vkt_image *image, uint32_t block)
{
   (void)image, (void)block;
   return true;
}

bool
vkt_every_other_block(const struct vkt_image *image, uint32_t block)
{
   (void)image;
   return block % 2 == 0;
}

bool
vkt_no_block(const struct vkt_image *image, uint32_t block)
{
   (void)image, (void)block;
   return false;
}

void
vkt_sparse_image_bind(struct vkt *t, struct vkt_image *image,
                      bool (*resident)(const struct vkt_image *image, uint32_t block), bool tails)
{
   VkSparseImageMemoryBind *binds = calloc(image->block_count + 1, sizeof(*binds));
   VkSparseMemoryBind *tail_binds = calloc(image->tail_count + 1, sizeof(*tail_binds));

   for (uint32_t i = 0; i < image->block_count; i++) {
      const struct vkt_block *block = &image->blocks[i];
      binds[i] = (VkSparseImageMemoryBind){
         .subresource = block->subresource,
         .offset = block->offset,
         .extent = block->extent,
         .memory = resident(image, i) ? image->memory : VK_NULL_HANDLE,
         .memoryOffset = vkt_block_place_B(image, i),
      };
   }
   for (uint32_t i = 0; i < image->tail_count; i++) {
      tail_binds[i] = (VkSparseMemoryBind){
         .resourceOffset = image->tail_offset_B[i],
         .size = image->tail_size_B[i],
         .memory = tails ? image->memory : VK_NULL_HANDLE,
         .memoryOffset = vkt_tail_place_B(image, i),
      };
   }

   const VkSparseImageMemoryBindInfo info = {image->image, image->block_count, binds};
   const VkSparseImageOpaqueMemoryBindInfo opaque = {image->image, image->tail_count, tail_binds};
   vkt_bind_and_wait(t, &(VkBindSparseInfo){
                           .imageBindCount = image->block_count > 0,
                           .pImageBinds = &info,
                           .imageOpaqueBindCount = image->tail_count > 0,
                           .pImageOpaqueBinds = &opaque,
                        });
   free(tail_binds);
   free(binds);
}

void
vkt_image_bind_reversed(struct vkt *t, VkImage image, VkDeviceMemory memory, VkDeviceSize size_B)
{
   const uint32_t count = size_B / VKT_BLOCK_B;
   VkSparseMemoryBind *binds = calloc(count, sizeof(*binds));

   for (uint32_t i = 0; i < count; i++) {
      binds[i] = (VkSparseMemoryBind){
         .resourceOffset = (VkDeviceSize)i * VKT_BLOCK_B,
         .size = VKT_BLOCK_B,
         .memory = memory,
         .memoryOffset = (VkDeviceSize)(count - 1 - i) * VKT_BLOCK_B,
      };
   }
   const VkSparseImageOpaqueMemoryBindInfo info = {image, count, binds};
   vkt_bind_and_wait(t, &(VkBindSparseInfo){.imageOpaqueBindCount = 1, .pImageOpaqueBinds = &info});
   free(binds);
}

static bool
is_inside(int32_t offset, uint32_t extent, uint32_t at)
{
   return at >= (uint32_t)offset && at - (uint32_t)offset < extent;
}

uint32_t
vkt_block_of_texel(const struct vkt_image *image, VkImageAspectFlags aspect, uint32_t level,
                   uint32_t layer, uint32_t x, uint32_t y, uint32_t z)
{
   for (uint32_t i = 0; i < image->block_count; i++) {
      const struct vkt_block *b = &image->blocks[i];
      if ((b->subresource.aspectMask & aspect) && b->subresource.mipLevel == level &&
          b->subresource.arrayLayer == layer && is_inside(b->offset.x, b->extent.width, x) &&
          is_inside(b->offset.y, b->extent.height, y) && is_inside(b->offset.z, b->extent.depth, z))
         return i;
   }
   return UINT32_MAX;
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Partially resident images of every class of formats and of many shapes (Vulkan, "Sparse Resource
 * Features" and "Sparse Resource Binding"): each block in a place of its own, mip tails by opaque
 * binds ("Mip Tail Regions": one for each layer, or a single one), each plane by its own aspect.  What
 * is uploaded is what is read back; what is bound stays what it is when other blocks lose their
 * memory; what has none reads as zero where the device says so (residencyNonResidentStrict).
 */

#include "vkt_sparse.h"

struct format {
   const char *name;
   VkFormat format;
   /* Of what a copy sees of each aspect: bytes of an element, and its texels. */
   uint32_t size_B[3];
   uint32_t width, height;
   /* What of an element counts, if not all. */
   uint32_t mask;
};

#define F(f, ...) {#f, VK_FORMAT_##f, {__VA_ARGS__}, 1, 1, 0}
#define C(f, size_B, w, h) {#f, VK_FORMAT_##f, {size_B}, w, h, 0}

static const struct format formats[] = {
   F(R8_UNORM, 1),
   F(R8_SINT, 1),
   F(R8G8_UNORM, 2),
   F(R5G6B5_UNORM_PACK16, 2),
   F(R16_UINT, 2),
   F(R8G8B8A8_UNORM, 4),
   F(B8G8R8A8_SRGB, 4),
   F(A2B10G10R10_UNORM_PACK32, 4),
   F(B10G11R11_UFLOAT_PACK32, 4),
   F(E5B9G9R9_UFLOAT_PACK32, 4),
   F(R16G16_SFLOAT, 4),
   F(R32_SINT, 4),
   F(R32_SFLOAT, 4),
   F(R16G16B16A16_UINT, 8),
   F(R32G32_SFLOAT, 8),
   F(R64_UINT, 8),
   F(R32G32B32A32_UINT, 16),
   F(R32G32B32A32_SFLOAT, 16),
   F(D16_UNORM, 2),
   F(D32_SFLOAT, 4),
   {"X8_D24_UNORM_PACK32", VK_FORMAT_X8_D24_UNORM_PACK32, {4}, 1, 1, 0xffffff},
   F(S8_UINT, 1),
   F(D32_SFLOAT_S8_UINT, 4, 1),
   C(BC1_RGB_UNORM_BLOCK, 8, 4, 4),
   C(BC3_SRGB_BLOCK, 16, 4, 4),
   C(BC4_UNORM_BLOCK, 8, 4, 4),
   C(BC7_UNORM_BLOCK, 16, 4, 4),
   F(G8_B8_R8_3PLANE_420_UNORM, 1, 1, 1),
   F(G8_B8R8_2PLANE_420_UNORM, 1, 2),
   F(G8_B8_R8_3PLANE_422_UNORM, 1, 1, 1),
   F(G8_B8R8_2PLANE_422_UNORM, 1, 2),
   F(G8_B8_R8_3PLANE_444_UNORM, 1, 1, 1),
   F(G16_B16R16_2PLANE_420_UNORM, 2, 4),
   F(G16_B16_R16_3PLANE_420_UNORM, 2, 2, 2),
   F(G16_B16R16_2PLANE_422_UNORM, 2, 4),
   F(G16_B16_R16_3PLANE_422_UNORM, 2, 2, 2),
   F(G16_B16_R16_3PLANE_444_UNORM, 2, 2, 2),
   F(G10X6_B10X6R10X6_2PLANE_420_UNORM_3PACK16, 2, 4),
   F(G12X4_B12X4R12X4_2PLANE_420_UNORM_3PACK16, 2, 4),
   F(R10X6_UNORM_PACK16, 2),
   F(R12X4G12X4_UNORM_2PACK16, 4),
   C(G8B8G8R8_422_UNORM, 4, 2, 1),
   C(B8G8R8G8_422_UNORM, 4, 2, 1),
};

struct shape {
   const char *name;
   VkImageType type;
   VkExtent3D size;
   uint32_t levels, layers;
   VkImageCreateFlags flags;
};

static const struct shape shapes[] = {
   {"a texel", VK_IMAGE_TYPE_2D, {1, 1, 1}, 1, 1, 0},
   {"11x37", VK_IMAGE_TYPE_2D, {11, 37, 1}, 1, 1, 0},
   {"11x37 with levels", VK_IMAGE_TYPE_2D, {11, 37, 1}, 6, 2, 0},
   {"512x256", VK_IMAGE_TYPE_2D, {512, 256, 1}, 1, 1, 0},
   {"503x137, three layers", VK_IMAGE_TYPE_2D, {503, 137, 1}, 9, 3, 0},
   {"cubes", VK_IMAGE_TYPE_2D, {256, 256, 1}, 9, 6, VK_IMAGE_CREATE_CUBE_COMPATIBLE_BIT},
   {"1024x16", VK_IMAGE_TYPE_2D, {1024, 16, 1}, 11, 1, 0},
   {"11x37x5", VK_IMAGE_TYPE_3D, {11, 37, 5}, 1, 1, 0},
   {"503x137x3", VK_IMAGE_TYPE_3D, {503, 137, 3}, 1, 1, 0},
   {"96x80x40 with levels", VK_IMAGE_TYPE_3D, {96, 80, 40}, 7, 1, 0},
};

/** All of one aspect of one level, in a buffer: layers, slices, rows, without gaps. */
struct part {
   VkImageAspectFlagBits aspect;
   uint32_t aspect_index, level;
   uint32_t width_el, height_el, depth;
   uint32_t element_size_B;
   VkDeviceSize offset_B, size_B;
   VkBufferImageCopy copy;
};

static bool
is_strict(const struct vkt *t)
{
   return t->props.sparseProperties.residencyNonResidentStrict;
}

static uint32_t
plane_divisor(const struct format *f, VkImageAspectFlagBits aspect, bool height)
{
   if (!(aspect & (VK_IMAGE_ASPECT_PLANE_1_BIT | VK_IMAGE_ASPECT_PLANE_2_BIT)))
      return 1;
   if (strstr(f->name, "_420_"))
      return 2;
   return strstr(f->name, "_422_") && !height ? 2 : 1;
}

#define MAX_PARTS 64

static uint32_t
list_parts(const struct format *f, const struct vkt_image *image, struct part *parts,
           VkDeviceSize *size_B_out)
{
   VkImageAspectFlagBits aspects[3];
   const uint32_t aspect_count = vkt_format_list_aspects(f->format, aspects);
   VkDeviceSize size_B = 0;
   uint32_t count = 0;

   for (uint32_t a = 0; a < aspect_count; a++) {
      for (uint32_t level = 0; level < image->info.mipLevels; level++) {
         VkExtent3D size = vkt_level_size(&image->info, level);
         size.width /= plane_divisor(f, aspects[a], false);
         size.height /= plane_divisor(f, aspects[a], true);

         struct part *part = &parts[count++];
         *part = (struct part){
            .aspect = aspects[a],
            .aspect_index = a,
            .level = level,
            .width_el = (size.width + f->width - 1) / f->width,
            .height_el = (size.height + f->height - 1) / f->height,
            .depth = size.depth,
            .element_size_B = f->size_B[a],
            .offset_B = size_B,
            .copy =
               {
                  .bufferOffset = size_B,
                  .imageSubresource = {aspects[a], level, 0, image->info.arrayLayers},
                  .imageExtent = size,
               },
         };
         part->size_B = (VkDeviceSize)part->element_size_B * part->width_el * part->height_el *
                        part->depth * image->info.arrayLayers;
         size_B += (part->size_B + 15) / 16 * 16;
      }
   }

   *size_B_out = size_B;
   return count;
}

/* Never zero, so that what is not there is seen. */
static void
fill(uint8_t *bytes, VkDeviceSize size_B, uint32_t seed)
{
   for (VkDeviceSize i = 0; i < size_B; i++) {
      seed = seed * 1664525 + 1013904223;
      bytes[i] = (seed >> 24) | 1;
   }
}

static void
download(struct vkt *t, const struct vkt_image *image, const struct vkt_buffer *buffer,
         const struct part *parts, uint32_t count)
{
   memset(buffer->map, 0xaa, buffer->size_B);
   VkCommandBuffer cmd = vkt_begin(t);
   for (uint32_t i = 0; i < count; i++)
      vkCmdCopyImageToBuffer(cmd, image->image, VK_IMAGE_LAYOUT_GENERAL, buffer->buffer, 1,
                             &parts[i].copy);
   vkt_barrier(cmd);
   vkt_run(t, cmd);
}

static bool
same_element(const struct format *f, const uint8_t *a, const uint8_t *b, uint32_t size_B)
{
   if (f->mask)
      return (*(const uint32_t *)a & f->mask) == (*(const uint32_t *)b & f->mask);
   return !memcmp(a, b, size_B);
}

static const uint8_t zeros[16];

/* One block, or what of a level is in a tail: as it was, or zero. */
static void
expect_region(const char *name, const struct format *f, const struct part *part,
              const struct vkt_block *block, const uint8_t *found, const uint8_t *expected)
{
   const uint32_t x0 = block->offset.x / f->width, y0 = block->offset.y / f->height;
   const uint32_t x1 = x0 + (block->extent.width + f->width - 1) / f->width;
   const uint32_t y1 = y0 + (block->extent.height + f->height - 1) / f->height;

   for (uint32_t z = block->offset.z; z < block->offset.z + block->extent.depth; z++)
   for (uint32_t y = y0; y < y1; y++)
   for (uint32_t x = x0; x < x1; x++) {
      const uint64_t slice = (uint64_t)block->subresource.arrayLayer * part->depth + z;
      const uint64_t at = part->offset_B + ((slice * part->height_el + y) * part->width_el + x) *
                                              part->element_size_B;
      const uint8_t *want = expected ? expected + at : zeros;
      vkt_expect(same_element(f, found + at, want, part->element_size_B),
                 "%s, aspect 0x%x, level %u, layer %u, element %u,%u,%u: %02x..., not %02x...", name,
                 part->aspect, part->level, block->subresource.arrayLayer, x, y, z, found[at],
                 want[0]);
   }
}

static void
expect_blocks(struct vkt *t, const char *name, const struct format *f,
              const struct vkt_image *image, const struct part *parts, uint32_t part_count,
              const uint8_t *found, const uint8_t *expected,
              bool (*resident)(const struct vkt_image *image, uint32_t block))
{
   for (uint32_t b = 0; b < image->block_count; b++) {
      const struct vkt_block *block = &image->blocks[b];
      for (uint32_t p = 0; p < part_count; p++) {
         if (parts[p].level != block->subresource.mipLevel ||
             !(parts[p].aspect & block->subresource.aspectMask))
            continue;
         if (resident(image, b))
            expect_region(name, f, &parts[p], block, found, expected);
         else if (is_strict(t))
            expect_region(name, f, &parts[p], block, found, NULL);
      }
   }
}

static void
expect_tails(struct vkt *t, const char *name, const struct format *f,
             const struct vkt_image *image, const struct part *parts, uint32_t part_count,
             const uint8_t *found, const uint8_t *expected, bool resident)
{
   if (!resident && !is_strict(t))
      return;

   for (uint32_t a = 0; a < image->aspect_count; a++) {
      for (uint32_t p = 0; p < part_count; p++) {
         if (parts[p].level < image->aspects[a].imageMipTailFirstLod ||
             !(parts[p].aspect & image->aspects[a].formatProperties.aspectMask))
            continue;
         for (uint32_t layer = 0; layer < image->info.arrayLayers; layer++) {
            const struct vkt_block all = {
               .subresource = {parts[p].aspect, parts[p].level, layer},
               .extent = {parts[p].width_el * f->width, parts[p].height_el * f->height,
                          parts[p].depth},
            };
            expect_region(name, f, &parts[p], &all, found, resident ? expected : NULL);
         }
      }
   }
}

/* Several planes, or texels that share a part. */
static bool
is_ycbcr(const struct format *f)
{
   return strstr(f->name, "PLANE") || strstr(f->name, "_422_");
}

static bool
test_format(struct vkt *t, const struct format *f, const struct shape *shape)
{
   const VkImageCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
      .flags = shape->flags | VK_IMAGE_CREATE_SPARSE_BINDING_BIT |
               VK_IMAGE_CREATE_SPARSE_RESIDENCY_BIT,
      .imageType = shape->type,
      .format = f->format,
      .extent = shape->size,
      .mipLevels = shape->levels,
      .arrayLayers = shape->layers,
      .samples = VK_SAMPLE_COUNT_1_BIT,
      .usage = VK_IMAGE_USAGE_TRANSFER_SRC_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT,
   };
   char name[128];

   /* They have one level, and sides that their planes divide. */
   if (is_ycbcr(f) && (shape->levels > 1 || shape->type == VK_IMAGE_TYPE_3D ||
                       shape->size.width % 2 || shape->size.height % 2))
      return false;
   /* The validation layer takes a plane to be as large as the image. */
   if (is_ycbcr(f) && t->messenger)
      return false;
   if (!vkt_image_supported(t, &info))
      return false;

   snprintf(name, sizeof(name), "%s, %s", f->name, shape->name);
   struct vkt_image image = vkt_sparse_image_create(t, &info);
   struct part parts[MAX_PARTS];
   VkDeviceSize size_B;
   const uint32_t part_count = list_parts(f, &image, parts, &size_B);
   struct vkt_buffer source = vkt_buffer_create(t, size_B);
   struct vkt_buffer target = vkt_buffer_create(t, size_B);

   vkt_expect(image.aspect_count >= 1, "%s: no aspects", name);
   vkt_sparse_image_bind(t, &image, vkt_all_blocks, true);

   fill(source.map, size_B, f->format);
   VkCommandBuffer cmd = vkt_begin(t);
   for (uint32_t i = 0; i < part_count; i++)
      vkCmdCopyBufferToImage(cmd, source.buffer, image.image, VK_IMAGE_LAYOUT_GENERAL, 1,
                             &parts[i].copy);
   vkt_barrier(cmd);
   vkt_run(t, cmd);

   download(t, &image, &target, parts, part_count);
   expect_blocks(t, name, f, &image, parts, part_count, target.map, source.map, vkt_all_blocks);
   expect_tails(t, name, f, &image, parts, part_count, target.map, source.map, true);

   vkt_sparse_image_bind(t, &image, vkt_every_other_block, true);
   download(t, &image, &target, parts, part_count);
   expect_blocks(t, name, f, &image, parts, part_count, target.map, source.map,
                 vkt_every_other_block);
   expect_tails(t, name, f, &image, parts, part_count, target.map, source.map, true);

   if (image.tail_count) {
      vkt_sparse_image_bind(t, &image, vkt_all_blocks, false);
      download(t, &image, &target, parts, part_count);
      expect_blocks(t, name, f, &image, parts, part_count, target.map, source.map, vkt_all_blocks);
      expect_tails(t, name, f, &image, parts, part_count, target.map, source.map, false);
   }

   vkt_buffer_destroy(t, &target);
   vkt_buffer_destroy(t, &source);
   vkt_image_destroy(t, &image);
   return true;
}

/* ------------------------------------------------------------- without residency */

/* Bound as a whole, opaquely, block by block in the reverse order (Vulkan, "Sparse Opaque Binding"):
 * images of one dimension, which have no residency, are bound in no other way.
 */
static void
test_opaque(struct vkt *t, const struct format *f, VkImageType type, VkExtent3D size,
            uint32_t levels, uint32_t layers)
{
   struct vkt_image image = {
      .info =
         {
            .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
            .flags = VK_IMAGE_CREATE_SPARSE_BINDING_BIT,
            .imageType = type,
            .format = f->format,
            .extent = size,
            .mipLevels = levels,
            .arrayLayers = layers,
            .samples = VK_SAMPLE_COUNT_1_BIT,
            .usage = VK_IMAGE_USAGE_TRANSFER_SRC_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT,
         },
   };
   uint32_t count = 99;

   if (!vkt_image_supported(t, &image.info))
      return;

   vkt_check(vkCreateImage(t->device, &image.info, NULL, &image.image));
   vkGetImageMemoryRequirements(t->device, image.image, &image.reqs);
   vkGetImageSparseMemoryRequirements(t->device, image.image, &count, NULL);
   vkt_expect(count == 0, "%s: %u requirements without residency", f->name, count);
   image.memory = vkt_alloc(t, image.reqs.size, NULL);

   vkt_image_bind_reversed(t, image.image, image.memory, image.reqs.size);
   vkt_make_general(t, image.image, VK_IMAGE_ASPECT_COLOR_BIT);

   struct part parts[MAX_PARTS];
   VkDeviceSize size_B;
   const uint32_t part_count = list_parts(f, &image, parts, &size_B);
   struct vkt_buffer source = vkt_buffer_create(t, size_B);
   struct vkt_buffer target = vkt_buffer_create(t, size_B);

   fill(source.map, size_B, part_count);
   VkCommandBuffer cmd = vkt_begin(t);
   for (uint32_t i = 0; i < part_count; i++)
      vkCmdCopyBufferToImage(cmd, source.buffer, image.image, VK_IMAGE_LAYOUT_GENERAL, 1,
                             &parts[i].copy);
   vkt_barrier(cmd);
   vkt_run(t, cmd);
   download(t, &image, &target, parts, part_count);
   for (uint32_t i = 0; i < part_count; i++)
      vkt_expect(!memcmp((uint8_t *)target.map + parts[i].offset_B,
                         (uint8_t *)source.map + parts[i].offset_B, parts[i].size_B),
                 "%s, %uD, without residency: level %u", f->name, type + 1, parts[i].level);

   vkt_buffer_destroy(t, &target);
   vkt_buffer_destroy(t, &source);
   vkt_image_destroy(t, &image);
}

static void
test_without_residency(struct vkt *t)
{
   for (uint32_t f = 0; f < VKT_ARRAY_SIZE(formats); f++) {
      if (is_ycbcr(&formats[f])) {
         /* The validation layer takes a plane to be as large as the image. */
         if (!t->messenger)
            test_opaque(t, &formats[f], VK_IMAGE_TYPE_2D, (VkExtent3D){300, 200, 1}, 1, 2);
         continue;
      }
      if (vkt_format_aspects(formats[f].format) != VK_IMAGE_ASPECT_COLOR_BIT)
         continue;
      test_opaque(t, &formats[f], VK_IMAGE_TYPE_1D, (VkExtent3D){512, 1, 1}, 1, 1);
      test_opaque(t, &formats[f], VK_IMAGE_TYPE_1D, (VkExtent3D){16383, 1, 1}, 14, 3);
      test_opaque(t, &formats[f], VK_IMAGE_TYPE_2D, (VkExtent3D){300, 200, 1}, 9, 2);
      test_opaque(t, &formats[f], VK_IMAGE_TYPE_3D, (VkExtent3D){40, 70, 20}, 7, 1);
   }
}

/* ------------------------------------------------------------------- linear */

/* In pieces that are bound in the reverse order, byte by byte where vkGetImageSubresourceLayout says
 * (Vulkan, "Image Creation": the layout of linear images is the application's to know). */
static void
test_linear(struct vkt *t, VkImageType type, VkExtent3D size)
{
   const VkImageCreateInfo create_info = {
      .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
      .flags = VK_IMAGE_CREATE_SPARSE_BINDING_BIT,
      .imageType = type,
      .format = VK_FORMAT_R32_UINT,
      .extent = size,
      .mipLevels = 1,
      .arrayLayers = 1,
      .samples = VK_SAMPLE_COUNT_1_BIT,
      .tiling = VK_IMAGE_TILING_LINEAR,
      .usage = VK_IMAGE_USAGE_TRANSFER_SRC_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT,
   };
   VkMemoryRequirements reqs;
   VkSubresourceLayout layout;
   VkImage image;
   void *map;

   if (!vkt_image_supported(t, &create_info)) {
      printf("no sparse linear images of %u dimensions\n", type + 1);
      return;
   }

   vkt_check(vkCreateImage(t->device, &create_info, NULL, &image));
   vkGetImageMemoryRequirements(t->device, image, &reqs);
   vkt_expect(reqs.alignment == VKT_BLOCK_B && reqs.size % VKT_BLOCK_B == 0, "%llu, %llu",
              (unsigned long long)reqs.alignment, (unsigned long long)reqs.size);

   VkMemoryRequirements2 before = {.sType = VK_STRUCTURE_TYPE_MEMORY_REQUIREMENTS_2};
   vkGetDeviceImageMemoryRequirements(
      t->device,
      &(VkDeviceImageMemoryRequirements){
         .sType = VK_STRUCTURE_TYPE_DEVICE_IMAGE_MEMORY_REQUIREMENTS,
         .pCreateInfo = &create_info,
      },
      &before);
   vkt_expect(before.memoryRequirements.size == reqs.size &&
                 before.memoryRequirements.alignment == reqs.alignment,
              "%llu, then %llu", (unsigned long long)before.memoryRequirements.size,
              (unsigned long long)reqs.size);

   const uint32_t blocks = reqs.size / VKT_BLOCK_B;
   const VkDeviceMemory memory = vkt_alloc(t, reqs.size, &map);
   vkt_image_bind_reversed(t, image, memory, reqs.size);
   vkt_make_general(t, image, VK_IMAGE_ASPECT_COLOR_BIT);

   const VkImageSubresource color = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0};
   vkGetImageSubresourceLayout(t->device, image, &color, &layout);
   const uint32_t texels = size.width * size.height * size.depth;
   struct vkt_buffer buffer = vkt_buffer_create(t, texels * 4);

   for (uint32_t i = 0; i < texels; i++)
      ((uint32_t *)buffer.map)[i] = 0x3000000 + i;
   const VkBufferImageCopy copy = {
      .imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1},
      .imageExtent = size,
   };
   VkCommandBuffer cmd = vkt_begin(t);
   vkCmdCopyBufferToImage(cmd, buffer.buffer, image, VK_IMAGE_LAYOUT_GENERAL, 1, &copy);
   vkt_barrier(cmd);
   vkt_run(t, cmd);

   for (uint32_t i = 0; i < texels; i++) {
      const uint32_t x = i % size.width, y = i / size.width % size.height;
      const uint32_t z = i / size.width / size.height;
      const VkDeviceSize at =
         layout.offset + z * layout.depthPitch + y * layout.rowPitch + x * 4;
      uint32_t *texel = (uint32_t *)((uint8_t *)map + (blocks - 1 - at / VKT_BLOCK_B) * VKT_BLOCK_B +
                                     at % VKT_BLOCK_B);
      vkt_expect(*texel == 0x3000000 + i, "linear, %uD: texel %u,%u,%u is 0x%x", type + 1, x, y, z,
                 *texel);
      *texel = 0x4000000 + i;
   }

   cmd = vkt_begin(t);
   vkCmdCopyImageToBuffer(cmd, image, VK_IMAGE_LAYOUT_GENERAL, buffer.buffer, 1, &copy);
   vkt_barrier(cmd);
   vkt_run(t, cmd);
   for (uint32_t i = 0; i < texels; i++)
      vkt_expect(((uint32_t *)buffer.map)[i] == 0x4000000 + i, "linear, %uD: texel %u", type + 1, i);

   vkt_buffer_destroy(t, &buffer);
   vkDestroyImage(t->device, image, NULL);
   vkFreeMemory(t->device, memory, NULL);
}

int
main(void)
{
   struct vkt t;
   uint32_t tested = 0, unsupported = 0;

   vkt_init(&t);
   for (uint32_t f = 0; f < VKT_ARRAY_SIZE(formats); f++) {
      bool any = false;
      for (uint32_t s = 0; s < VKT_ARRAY_SIZE(shapes); s++) {
         const bool done = test_format(&t, &formats[f], &shapes[s]);
         any |= done;
         tested += done;
      }
      unsupported += !any;
      if (!any)
         printf("%s: not tested\n", formats[f].name);
   }
   test_without_residency(&t);
   test_linear(&t, VK_IMAGE_TYPE_1D, (VkExtent3D){3000, 1, 1});
   test_linear(&t, VK_IMAGE_TYPE_2D, (VkExtent3D){300, 200, 1});
   test_linear(&t, VK_IMAGE_TYPE_3D, (VkExtent3D){70, 50, 9});
   printf("%u images, %u formats not tested\n", tested, unsupported);
   vkt_finish(&t);

   return 0;
}

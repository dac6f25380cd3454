/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Sparse images with layers, levels and depth: each block of each of them, bound by itself to a piece
 * of memory, and written by itself, is found in that piece and nowhere else.
 */

#include "vkt.h"

#define BLOCK_B 65536u

/* R32_UINT, whose standard blocks are 128 x 128 and 32 x 32 x 16. */
struct shape {
   const char *name;
   VkImageType type;
   VkExtent3D size;
   uint32_t levels;
   uint32_t layers;
   VkExtent3D block;
};

static uint32_t
min(uint32_t a, uint32_t b)
{
   return a < b ? a : b;
}

static VkExtent3D
level_size(const struct shape *shape, uint32_t level)
{
   const VkExtent3D s = {shape->size.width >> level, shape->size.height >> level,
                         shape->size.depth >> level};
   return (VkExtent3D){s.width ? s.width : 1, s.height ? s.height : 1, s.depth ? s.depth : 1};
}

static VkImage
create_image(struct vkt *t, const struct shape *shape)
{
   VkImage image;

   vkt_check(vkCreateImage(
      t->device,
      &(VkImageCreateInfo){
         .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
         .flags = VK_IMAGE_CREATE_SPARSE_BINDING_BIT | VK_IMAGE_CREATE_SPARSE_RESIDENCY_BIT,
         .imageType = shape->type,
         .format = VK_FORMAT_R32_UINT,
         .extent = shape->size,
         .mipLevels = shape->levels,
         .arrayLayers = shape->layers,
         .samples = VK_SAMPLE_COUNT_1_BIT,
         .usage = VK_IMAGE_USAGE_TRANSFER_SRC_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT,
      },
      NULL, &image));
   return image;
}

/* One block of one level of one layer. */
struct block {
   VkImageSubresource subresource;
   VkOffset3D offset;
   VkExtent3D extent;
};

/* The levels that are bound block by block; the others are the mip tail's. */
static uint32_t
block_levels(struct vkt *t, VkImage image)
{
   VkSparseImageMemoryRequirements reqs;
   uint32_t count = 1;

   vkGetImageSparseMemoryRequirements(t->device, image, &count, &reqs);
   vkt_expect(count == 1, "%u requirements", count);
   return reqs.imageMipTailFirstLod;
}

static uint32_t
list_blocks(const struct shape *shape, uint32_t levels, struct block *blocks, uint32_t max)
{
   uint32_t count = 0;

   for (uint32_t level = 0; level < levels; level++) {
      const VkExtent3D size = level_size(shape, level);
      for (uint32_t layer = 0; layer < shape->layers; layer++)
      for (uint32_t z = 0; z < size.depth; z += shape->block.depth)
      for (uint32_t y = 0; y < size.height; y += shape->block.height)
      for (uint32_t x = 0; x < size.width; x += shape->block.width) {
         vkt_expect(count < max, "%s: more than %u blocks", shape->name, max);
         blocks[count++] = (struct block){
            .subresource = {VK_IMAGE_ASPECT_COLOR_BIT, level, layer},
            .offset = {x, y, z},
            .extent = {min(shape->block.width, size.width - x),
                       min(shape->block.height, size.height - y),
                       min(shape->block.depth, size.depth - z)},
         };
      }
   }

   return count;
}

static uint32_t
texel_count(const struct block *block)
{
   return block->extent.width * block->extent.height * block->extent.depth;
}

static void
fill(struct vkt *t, VkImage image, const struct block *block, const struct vkt_buffer *staging,
     uint32_t value)
{
   for (uint32_t i = 0; i < texel_count(block); i++)
      ((uint32_t *)staging->map)[i] = value;

   VkCommandBuffer cmd = vkt_begin(t);
   vkCmdCopyBufferToImage(cmd, staging->buffer, image, VK_IMAGE_LAYOUT_GENERAL, 1,
                          &(VkBufferImageCopy){
                             .imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT,
                                                  block->subresource.mipLevel,
                                                  block->subresource.arrayLayer, 1},
                             .imageOffset = block->offset,
                             .imageExtent = block->extent,
                          });
   vkt_barrier(cmd);
   vkt_run(t, cmd);
}

#define MAX_BLOCKS 256u

static void
test_shape(struct vkt *t, const struct shape *shape)
{
   static struct block blocks[MAX_BLOCKS];
   static VkSparseImageMemoryBind binds[MAX_BLOCKS];
   const VkImage image = create_image(t, shape);
   const uint32_t count = list_blocks(shape, block_levels(t, image), blocks, MAX_BLOCKS);
   struct vkt_buffer staging = vkt_buffer_create(t, BLOCK_B);
   VkMemoryRequirements reqs;
   uint32_t *map;

   vkGetImageMemoryRequirements(t->device, image, &reqs);
   vkt_expect(reqs.size >= (VkDeviceSize)count * BLOCK_B, "%s: %llu bytes for %u blocks",
              shape->name, (unsigned long long)reqs.size, count);
   const VkDeviceMemory memory = vkt_alloc(t, (VkDeviceSize)count * BLOCK_B, (void **)&map);
   memset(map, 0, (size_t)count * BLOCK_B);

   /* In the reverse order, so that nothing is where it would be by itself. */
   for (uint32_t i = 0; i < count; i++) {
      binds[i] = (VkSparseImageMemoryBind){
         .subresource = blocks[i].subresource,
         .offset = blocks[i].offset,
         .extent = blocks[i].extent,
         .memory = memory,
         .memoryOffset = (VkDeviceSize)(count - 1 - i) * BLOCK_B,
      };
   }
   const VkSparseImageMemoryBindInfo info = {image, count, binds};
   vkt_bind_and_wait(t, &(VkBindSparseInfo){.imageBindCount = 1, .pImageBinds = &info});
   vkt_make_general(t, image, VK_IMAGE_ASPECT_COLOR_BIT);

   for (uint32_t i = 0; i < count; i++)
      fill(t, image, &blocks[i], &staging, i + 1);
   for (uint32_t i = 0; i < count; i++) {
      const uint32_t *words = map + (size_t)(count - 1 - i) * BLOCK_B / 4;
      uint32_t found = 0;

      for (uint32_t w = 0; w < BLOCK_B / 4; w++) {
         vkt_expect(words[w] == 0 || words[w] == i + 1, "%s: in the memory of block %u: block %u",
                    shape->name, i, words[w] - 1);
         found += words[w] == i + 1;
      }
      vkt_expect(found == texel_count(&blocks[i]), "%s: %u of %u texels of block %u", shape->name,
                 found, texel_count(&blocks[i]), i);
   }

   vkt_buffer_destroy(t, &staging);
   vkDestroyImage(t->device, image, NULL);
   vkFreeMemory(t->device, memory, NULL);
}

int
main(void)
{
   static const struct shape shapes[] = {
      {"2D array", VK_IMAGE_TYPE_2D, {300, 200, 1}, 3, 5, {128, 128, 1}},
      {"one texel more than a block", VK_IMAGE_TYPE_2D, {129, 257, 1}, 9, 2, {128, 128, 1}},
      {"3D", VK_IMAGE_TYPE_3D, {80, 72, 40}, 1, 1, {32, 32, 16}},
      {"3D with levels", VK_IMAGE_TYPE_3D, {100, 64, 48}, 4, 1, {32, 32, 16}},
   };
   struct vkt t;

   vkt_init(&t);
   for (unsigned i = 0; i < VKT_ARRAY_SIZE(shapes); i++) {
      if (shapes[i].type == VK_IMAGE_TYPE_3D && !t.features.sparseResidencyImage3D)
         continue;
      test_shape(&t, &shapes[i]);
   }
   vkt_finish(&t);

   return 0;
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Sparse images with layers, levels and depth: each block of each of them, bound by itself to a piece
 * of memory, and written by itself, is found in that piece and nowhere else.
 */

#include "vkt_sparse.h"

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
texel_count(const struct vkt_block *block)
{
   return block->extent.width * block->extent.height * block->extent.depth;
}

static void
fill(struct vkt *t, VkImage image, const struct vkt_block *block, const struct vkt_buffer *staging,
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

static void
expect_block(const struct shape *shape, const struct vkt_image *image, uint32_t block)
{
   const uint32_t *words = (uint32_t *)(image->map + vkt_block_place_B(image, block));
   const uint32_t texels = texel_count(&image->blocks[block]);
   uint32_t found = 0;

   for (uint32_t w = 0; w < VKT_BLOCK_B / 4; w++) {
      vkt_expect(words[w] == 0 || words[w] == block + 1, "%s: in the memory of block %u: block %u",
                 shape->name, block, words[w] - 1);
      found += words[w] == block + 1;
   }
   vkt_expect(found == texels, "%s: %u of %u texels of block %u", shape->name, found, texels, block);
}

static void
test_shape(struct vkt *t, const struct shape *shape)
{
   const VkImageCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
      .imageType = shape->type,
      .format = VK_FORMAT_R32_UINT,
      .extent = shape->size,
      .mipLevels = shape->levels,
      .arrayLayers = shape->layers,
      .samples = VK_SAMPLE_COUNT_1_BIT,
      .usage = VK_IMAGE_USAGE_TRANSFER_SRC_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT,
   };
   struct vkt_image image = vkt_sparse_image_create(t, &info);
   struct vkt_buffer staging = vkt_buffer_create(t, VKT_BLOCK_B);

   vkt_expect(image.aspect_count == 1, "%u requirements", image.aspect_count);
   vkt_expect(!memcmp(&image.aspects[0].formatProperties.imageGranularity, &shape->block,
                      sizeof(shape->block)),
              "%s: blocks are no standard ones", shape->name);
   vkt_expect(image.block_count > 0, "%s: no blocks", shape->name);

   vkt_sparse_image_bind(t, &image, vkt_all_blocks, false);
   for (uint32_t i = 0; i < image.block_count; i++)
      fill(t, image.image, &image.blocks[i], &staging, i + 1);
   for (uint32_t i = 0; i < image.block_count; i++)
      expect_block(shape, &image, i);

   vkt_buffer_destroy(t, &staging);
   vkt_image_destroy(t, &image);
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

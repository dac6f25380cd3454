/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Sparse images: partial residency block by block and level by level, with the residency code that
 * a shader gets; opaque binds; what is bound is what is sampled, after every change.
 */

#include "vkt_sparse.h"

#include "read_image.comp.h"

#define SIZE     600u
#define LEVELS   3u
#define BLOCK_PX 128u
#define BLOCK_B  (64 * 1024u)
#define MAX_SIDE 5u
#define UNBOUND  UINT32_MAX

/* R32_UINT: blocks of 128 x 128 texels. */
struct image {
   VkImage image;
   VkImageView view;
   VkSampler sampler;
   VkMemoryRequirements reqs;
   VkImageCreateFlags flags;

   /* What is expected: the memory block behind each block. */
   uint32_t where[LEVELS][MAX_SIDE][MAX_SIDE];
};

static uint32_t
level_size(uint32_t level)
{
   return SIZE >> level;
}

static uint32_t
level_side(uint32_t level)
{
   return (level_size(level) + BLOCK_PX - 1) / BLOCK_PX;
}

static struct image
image_create(struct vkt *t, VkImageCreateFlags flags)
{
   struct image image = {.flags = flags};
   memset(image.where, 0xff, sizeof(image.where));

   vkt_check(
      vkCreateImage(t->device,
                    &(VkImageCreateInfo){
                       .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
                       .flags = flags,
                       .imageType = VK_IMAGE_TYPE_2D,
                       .format = VK_FORMAT_R32_UINT,
                       .extent = {SIZE, SIZE, 1},
                       .mipLevels = LEVELS,
                       .arrayLayers = 1,
                       .samples = VK_SAMPLE_COUNT_1_BIT,
                       .usage = VK_IMAGE_USAGE_SAMPLED_BIT | VK_IMAGE_USAGE_TRANSFER_SRC_BIT |
                                VK_IMAGE_USAGE_TRANSFER_DST_BIT,
                    },
                    NULL, &image.image));
   vkGetImageMemoryRequirements(t->device, image.image, &image.reqs);

   image.view = vkt_view_create(
      t, image.image, VK_IMAGE_VIEW_TYPE_2D, VK_FORMAT_R32_UINT,
      (VkImageSubresourceRange){VK_IMAGE_ASPECT_COLOR_BIT, 0, LEVELS, 0, 1});
   image.sampler = vkt_sampler_create(t, &(VkSamplerCreateInfo){0});

   vkt_make_general(t, image.image, VK_IMAGE_ASPECT_COLOR_BIT);

   return image;
}

static void
image_destroy(struct vkt *t, struct image *image)
{
   vkDestroySampler(t->device, image->sampler, NULL);
   vkDestroyImageView(t->device, image->view, NULL);
   vkDestroyImage(t->device, image->image, NULL);
}

/* No texel of the image has the same value as another, and none that of another round. */
static uint32_t
texel_value(uint32_t round, uint32_t level, uint32_t x, uint32_t y)
{
   return 1 + x + y * SIZE + (level + round * LEVELS) * SIZE * SIZE;
}

/* Writes the texels of a block that is bound. */
static void
upload(struct vkt *t, const struct image *image, uint32_t round, uint32_t level, uint32_t bx,
       uint32_t by)
{
   const uint32_t x0 = bx * BLOCK_PX, y0 = by * BLOCK_PX;
   const uint32_t size = level_size(level);
   const uint32_t width = x0 + BLOCK_PX < size ? BLOCK_PX : size - x0;
   const uint32_t height = y0 + BLOCK_PX < size ? BLOCK_PX : size - y0;
   struct vkt_buffer staging = vkt_buffer_create(t, width * height * 4);

   for (uint32_t y = 0; y < height; y++) {
      for (uint32_t x = 0; x < width; x++)
         ((uint32_t *)staging.map)[y * width + x] = texel_value(round, level, x0 + x, y0 + y);
   }

   VkCommandBuffer cmd = vkt_begin(t);
   vkCmdCopyBufferToImage(cmd, staging.buffer, image->image, VK_IMAGE_LAYOUT_GENERAL, 1,
                          &(VkBufferImageCopy){
                             .imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, level, 0, 1},
                             .imageOffset = {x0, y0, 0},
                             .imageExtent = {width, height, 1},
                          });
   vkt_barrier(cmd);
   vkt_run(t, cmd);
   vkt_buffer_destroy(t, &staging);
}

static VkSparseImageMemoryBind
block_bind(struct image *image, VkDeviceMemory memory, uint32_t level, uint32_t bx, uint32_t by,
           uint32_t mem_block)
{
   const uint32_t x0 = bx * BLOCK_PX, y0 = by * BLOCK_PX;
   const uint32_t size = level_size(level);

   image->where[level][by][bx] = mem_block;
   return (VkSparseImageMemoryBind){
      .subresource = {VK_IMAGE_ASPECT_COLOR_BIT, level, 0},
      .offset = {x0, y0, 0},
      .extent = {x0 + BLOCK_PX < size ? BLOCK_PX : size - x0,
                 y0 + BLOCK_PX < size ? BLOCK_PX : size - y0, 1},
      .memory = mem_block == UNBOUND ? VK_NULL_HANDLE : memory,
      .memoryOffset = mem_block == UNBOUND ? 0 : (VkDeviceSize)mem_block * BLOCK_B,
   };
}

static void
bind(struct vkt *t, const struct image *image, const VkSparseImageMemoryBind *binds, uint32_t count)
{
   const VkSparseImageMemoryBindInfo info = {image->image, count, binds};

   vkt_bind_and_wait(t, &(VkBindSparseInfo){.imageBindCount = 1, .pImageBinds = &info});
}

/* ------------------------------------------------------------------------ look */

/* Each texel's value, and its residency code. */
static void
expect(struct vkt *t, const struct image *image, uint32_t round, bool values)
{
   struct vkt_buffer target = vkt_buffer_create(t, SIZE * SIZE * 8);
   const struct vkt_binding bindings[] = {
      {.type = VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER,
       .sampler = image->sampler,
       .image = image->view},
      {.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .buffer = target.buffer},
   };
   struct vkt_compute compute =
      vkt_compute_create(t, read_image_comp, sizeof(read_image_comp), bindings, 2);

   for (uint32_t level = 0; level < LEVELS; level++) {
      const uint32_t size = level_size(level);
      VkCommandBuffer cmd = vkt_begin(t);
      vkt_dispatch(t, cmd, &compute, (uint32_t[4]){level, size, size}, (size + 7) / 8,
                   (size + 7) / 8, 1);
      vkt_barrier(cmd);
      vkt_run(t, cmd);

      const uint32_t(*texels)[2] = target.map;
      for (uint32_t i = 0; i < size * size; i++) {
         const uint32_t x = i % size, y = i / size;
         const bool resident = image->where[level][y / BLOCK_PX][x / BLOCK_PX] != UNBOUND;

         vkt_expect(texels[i][1] == resident, "level %u, texel %u,%u: residency %u, not %u", level,
                    x, y, texels[i][1], resident);
         if (resident && values)
            vkt_expect(texels[i][0] == texel_value(round, level, x, y),
                       "level %u, texel %u,%u: %u, not %u", level, x, y, texels[i][0],
                       texel_value(round, level, x, y));
      }
   }

   vkt_compute_destroy(t, &compute);
   vkt_buffer_destroy(t, &target);
}

/* ----------------------------------------------------------------------- tests */

static void
says_what_it_needs(struct vkt *t)
{
   struct image image =
      image_create(t, VK_IMAGE_CREATE_SPARSE_BINDING_BIT | VK_IMAGE_CREATE_SPARSE_RESIDENCY_BIT);
   VkSparseImageMemoryRequirements reqs[4];
   uint32_t count = VKT_ARRAY_SIZE(reqs);

   vkt_expect(image.reqs.alignment == BLOCK_B, "alignment %llu",
              (unsigned long long)image.reqs.alignment);
   vkGetImageSparseMemoryRequirements(t->device, image.image, &count, reqs);
   vkt_expect(count == 1, "%u sparse requirements", count);
   vkt_expect(reqs[0].formatProperties.imageGranularity.width == BLOCK_PX &&
                 reqs[0].formatProperties.imageGranularity.height == BLOCK_PX,
              "-");
   /* No mip tail, or one that these tests would have to bind. */
   vkt_expect(reqs[0].imageMipTailFirstLod >= LEVELS, "a mip tail from level %u on",
              reqs[0].imageMipTailFirstLod);

   image_destroy(t, &image);
}

/* In each round other blocks are bound, to other memory, and all others are unbound. */
static void
partial_residency(struct vkt *t)
{
   const uint32_t pool_blocks = 64;
   struct image image =
      image_create(t, VK_IMAGE_CREATE_SPARSE_BINDING_BIT | VK_IMAGE_CREATE_SPARSE_RESIDENCY_BIT);
   const VkDeviceMemory pool = vkt_alloc(t, (VkDeviceSize)pool_blocks * BLOCK_B, NULL);

   expect(t, &image, 0, true);

   for (uint32_t round = 0; round < 4; round++) {
      VkSparseImageMemoryBind binds[LEVELS * MAX_SIDE * MAX_SIDE];
      uint32_t count = 0;

      for (uint32_t level = 0; level < LEVELS; level++) {
         for (uint32_t by = 0; by < level_side(level); by++) {
            for (uint32_t bx = 0; bx < level_side(level); bx++) {
               const bool resident = (bx + 2 * by + level + round) % 3 != 0;
               const uint32_t mem_block = (count * 11 + round * 7) % pool_blocks;
               binds[count++] =
                  block_bind(&image, pool, level, bx, by, resident ? mem_block : UNBOUND);
            }
         }
      }
      bind(t, &image, binds, count);

      for (uint32_t level = 0; level < LEVELS; level++) {
         for (uint32_t by = 0; by < level_side(level); by++) {
            for (uint32_t bx = 0; bx < level_side(level); bx++) {
               if (image.where[level][by][bx] != UNBOUND)
                  upload(t, &image, round, level, bx, by);
            }
         }
      }
      expect(t, &image, round, true);
   }

   image_destroy(t, &image);
   vkFreeMemory(t->device, pool, NULL);
}

/* A region of several blocks takes memory in row order. */
static void
region_of_blocks(struct vkt *t)
{
   struct image image =
      image_create(t, VK_IMAGE_CREATE_SPARSE_BINDING_BIT | VK_IMAGE_CREATE_SPARSE_RESIDENCY_BIT);
   uint32_t *map;
   const VkDeviceMemory pool = vkt_alloc(t, 16 * BLOCK_B, (void **)&map);
   memset(map, 0, 16 * BLOCK_B);
   const VkSparseImageMemoryBind region = {
      .subresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0},
      .offset = {BLOCK_PX, 2 * BLOCK_PX, 0},
      .extent = {2 * BLOCK_PX, 2 * BLOCK_PX, 1},
      .memory = pool,
      .memoryOffset = 4 * BLOCK_B,
   };

   bind(t, &image, &region, 1);
   for (uint32_t by = 0; by < 2; by++) {
      for (uint32_t bx = 0; bx < 2; bx++) {
         image.where[0][2 + by][1 + bx] = 4 + by * 2 + bx;
         upload(t, &image, 0, 0, 1 + bx, 2 + by);
      }
   }
   expect(t, &image, 0, true);

   /* The texels of a block lie in its piece of the memory, in whatever order. */
   for (uint32_t b = 0; b < 16; b++) {
      const bool used = b >= 4 && b < 8;
      const uint32_t bx = 1 + (b - 4) % 2, by = 2 + (b - 4) / 2;
      uint64_t sum = 0, expected = 0;

      for (uint32_t i = 0; i < BLOCK_B / 4; i++) {
         sum += map[b * BLOCK_B / 4 + i];
         if (used)
            expected +=
               texel_value(0, 0, bx * BLOCK_PX + i % BLOCK_PX, by * BLOCK_PX + i / BLOCK_PX);
      }
      vkt_expect(sum == expected, "memory block %u", b);
   }

   image_destroy(t, &image);
   vkFreeMemory(t->device, pool, NULL);
}

/* With opaque binds, each block from another place, an image is like any other. */
static void
opaque_binds(struct vkt *t, VkImageCreateFlags flags)
{
   struct image image = image_create(t, flags);
   const VkDeviceMemory pool = vkt_alloc(t, image.reqs.size, NULL);

   vkt_image_bind_reversed(t, image.image, pool, image.reqs.size);

   memset(image.where, 0, sizeof(image.where));
   for (uint32_t level = 0; level < LEVELS; level++) {
      for (uint32_t by = 0; by < level_side(level); by++) {
         for (uint32_t bx = 0; bx < level_side(level); bx++)
            upload(t, &image, 9, level, bx, by);
      }
   }
   expect(t, &image, 9, true);

   image_destroy(t, &image);
   vkFreeMemory(t->device, pool, NULL);
}

/* The code of a bind that has not happened yet is not seen, and that of one that has is. */
static void
residency_follows_completed_binds(struct vkt *t)
{
   /* A queue does its batches in order: looking while one waits takes another queue. */
   if (t->sparse == t->graphics)
      return;

   struct image image =
      image_create(t, VK_IMAGE_CREATE_SPARSE_BINDING_BIT | VK_IMAGE_CREATE_SPARSE_RESIDENCY_BIT);
   const VkDeviceMemory pool = vkt_alloc(t, BLOCK_B, NULL);
   const VkSemaphore timeline = vkt_semaphore_create(t, VK_SEMAPHORE_TYPE_TIMELINE);
   const VkSparseImageMemoryBind one = block_bind(&image, pool, 1, 1, 1, 0);
   const VkSparseImageMemoryBindInfo info = {image.image, 1, &one};

   vkt_bind(t, t->sparse, &(VkBindSparseInfo){.imageBindCount = 1, .pImageBinds = &info},
            &(struct vkt_syncs){.waits = {{timeline, 1}},
                                .wait_count = 1,
                                .signals = {{timeline, 2}},
                                .signal_count = 1});
   image.where[1][1][1] = UNBOUND;
   expect(t, &image, 0, false);

   vkt_check(vkSignalSemaphore(t->device, &(VkSemaphoreSignalInfo){
                                             .sType = VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO,
                                             .semaphore = timeline,
                                             .value = 1,
                                          }));
   vkt_submit(t, t->graphics, NULL, &(struct vkt_syncs){.waits = {{timeline, 2}}, .wait_count = 1});
   vkt_check(vkQueueWaitIdle(t->graphics->queue));
   image.where[1][1][1] = 0;
   expect(t, &image, 0, false);

   vkDestroySemaphore(t->device, timeline, NULL);
   image_destroy(t, &image);
   vkFreeMemory(t->device, pool, NULL);
}

int
main(void)
{
   struct vkt t;

   vkt_init(&t);
   says_what_it_needs(&t);
   partial_residency(&t);
   region_of_blocks(&t);
   opaque_binds(&t, VK_IMAGE_CREATE_SPARSE_BINDING_BIT);
   opaque_binds(&t, VK_IMAGE_CREATE_SPARSE_BINDING_BIT | VK_IMAGE_CREATE_SPARSE_RESIDENCY_BIT);
   residency_follows_completed_binds(&t);
   vkt_finish(&t);

   return 0;
}

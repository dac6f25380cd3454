/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Sparse resources as layers for Direct3D 12 use them: a heap of tiles; buffers whose tiles are mapped,
 * mapped twice, unmapped, their mappings copied, and which shaders see through typed views; textures
 * with packed mips; and mappings that change between submissions, ordered by a timeline alone (Vulkan,
 * "Sparse Resource Features": sparseResidencyAliased, residencyNonResidentStrict; "Sparse Memory Aliasing").
 */

#include "vkt_sparse.h"

#include "read_texels.comp.h"
#include "write_texels.comp.h"

#define TILE_B     VKT_BLOCK_B
#define TILE_WORDS (TILE_B / 4)
#define TILES      12u
#define HEAP_TILES 16u
#define NO_TILE    UINT32_MAX

struct tiled_buffer {
   VkBuffer buffer;
   VkBufferView view;
   VkDeviceMemory heap;
   uint32_t *words;
   /* The tile of the heap behind each of the buffer. */
   uint32_t mapping[TILES];
};

static bool
is_strict(const struct vkt *t)
{
   return t->props.sparseProperties.residencyNonResidentStrict;
}

static struct tiled_buffer
tiled_buffer_create(struct vkt *t)
{
   struct tiled_buffer b;

   memset(b.mapping, 0xff, sizeof(b.mapping));
   b.buffer = vkt_sparse_buffer_create(
      t, TILES * TILE_B, VK_BUFFER_CREATE_SPARSE_RESIDENCY_BIT | VK_BUFFER_CREATE_SPARSE_ALIASED_BIT);
   b.heap = vkt_alloc(t, HEAP_TILES * TILE_B, (void **)&b.words);
   for (uint32_t i = 0; i < HEAP_TILES * TILE_WORDS; i++)
      b.words[i] = 0x10000000 + i;
   b.view = vkt_buffer_view_create(t, b.buffer, VK_FORMAT_R32_UINT);
   return b;
}

static void
tiled_buffer_destroy(struct vkt *t, struct tiled_buffer *b)
{
   vkDestroyBufferView(t->device, b->view, NULL);
   vkDestroyBuffer(t->device, b->buffer, NULL);
   vkFreeMemory(t->device, b->heap, NULL);
}

/* UpdateTileMappings, one range: count tiles of the buffer, from consecutive tiles of the heap, all from
 * the same one, or none. */
static void
update_mappings(struct vkt *t, struct tiled_buffer *b, uint32_t first, uint32_t count,
                uint32_t heap_tile, bool reuse_single)
{
   VkSparseMemoryBind binds[TILES];

   for (uint32_t i = 0; i < count; i++) {
      b->mapping[first + i] = heap_tile == NO_TILE ? NO_TILE : heap_tile + (reuse_single ? 0 : i);
      binds[i] = (VkSparseMemoryBind){
         .resourceOffset = (VkDeviceSize)(first + i) * TILE_B,
         .size = TILE_B,
         .memory = heap_tile == NO_TILE ? VK_NULL_HANDLE : b->heap,
         .memoryOffset = heap_tile == NO_TILE ? 0 : (VkDeviceSize)b->mapping[first + i] * TILE_B,
      };
   }
   const VkSparseBufferMemoryBindInfo info = {b->buffer, count, binds};
   vkt_bind_and_wait(t, &(VkBindSparseInfo){.bufferBindCount = 1, .pBufferBinds = &info});
}

/* CopyTileMappings: what is mapped, and not what is in it. */
static void
copy_mappings(struct vkt *t, struct tiled_buffer *b, uint32_t to, uint32_t from, uint32_t count)
{
   uint32_t tiles[TILES];

   memcpy(tiles, &b->mapping[from], count * sizeof(*tiles));
   for (uint32_t i = 0; i < count; i++)
      update_mappings(t, b, to + i, 1, tiles[i], false);
}

/* Every word through a typed view. */
static void
expect_mappings(struct vkt *t, const struct tiled_buffer *b, const char *when)
{
   struct vkt_buffer target = vkt_buffer_create(t, TILES * TILE_B);
   const struct vkt_binding bindings[] = {
      {.type = VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER, .view = b->view},
      {.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .buffer = target.buffer},
   };
   struct vkt_compute read =
      vkt_compute_create(t, read_texels_comp, sizeof(read_texels_comp), bindings, 2);

   VkCommandBuffer cmd = vkt_begin(t);
   vkt_dispatch(t, cmd, &read, (uint32_t[4]){0, TILES * TILE_WORDS}, TILES * TILE_WORDS / 64, 1, 1);
   vkt_barrier(cmd);
   vkt_run(t, cmd);
   for (uint32_t i = 0; i < TILES * TILE_WORDS; i++) {
      const uint32_t tile = b->mapping[i / TILE_WORDS];
      const uint32_t word = ((uint32_t *)target.map)[i];

      if (tile != NO_TILE)
         vkt_expect(word == b->words[tile * TILE_WORDS + i % TILE_WORDS],
                    "%s: word %u, of tile %u of the heap: 0x%x", when, i, tile, word);
      else if (is_strict(t))
         vkt_expect(word == 0, "%s: word %u, of no tile: 0x%x", when, i, word);
   }

   vkt_compute_destroy(t, &read);
   vkt_buffer_destroy(t, &target);
}

/* Through a view for stores: what goes to a tile is seen wherever it is mapped; the rest is lost. */
static void
store(struct vkt *t, const struct tiled_buffer *b, uint32_t first, uint32_t count, uint32_t value)
{
   const struct vkt_binding binding = {.type = VK_DESCRIPTOR_TYPE_STORAGE_TEXEL_BUFFER,
                                       .view = b->view};
   struct vkt_compute write =
      vkt_compute_create(t, write_texels_comp, sizeof(write_texels_comp), &binding, 1);

   VkCommandBuffer cmd = vkt_begin(t);
   vkt_dispatch(t, cmd, &write, (uint32_t[4]){first, count, value}, (count + 63) / 64, 1, 1);
   vkt_barrier(cmd);
   vkt_run(t, cmd);
   vkt_compute_destroy(t, &write);
}

static void
buffers(struct vkt *t)
{
   struct tiled_buffer b = tiled_buffer_create(t);

   update_mappings(t, &b, 0, 4, 3, false);
   update_mappings(t, &b, 6, 3, 11, true);
   expect_mappings(t, &b, "mapped");

   /* From the middle of tile 3 over the hole at 4 and 5 into tile 6, which 7 and 8 show as well. */
   store(t, &b, 4 * TILE_WORDS - 100, 200, 0x20000000);
   vkt_expect(b.words[7 * TILE_WORDS - 1] == 0x20000000 + 99, "the last word of tile 6 of the heap: 0x%x",
              b.words[7 * TILE_WORDS - 1]);
   store(t, &b, 6 * TILE_WORDS, 64, 0x30000000);
   vkt_expect(b.words[11 * TILE_WORDS + 63] == 0x30000000 + 63, "not where three tiles look: 0x%x",
              b.words[11 * TILE_WORDS + 63]);
   expect_mappings(t, &b, "stored to");

   copy_mappings(t, &b, 8, 0, 4);
   expect_mappings(t, &b, "mappings copied");
   update_mappings(t, &b, 1, 9, NO_TILE, false);
   expect_mappings(t, &b, "unmapped");
   update_mappings(t, &b, 0, TILES, 2, false);
   expect_mappings(t, &b, "mapped again");

   tiled_buffer_destroy(t, &b);
}

/* A bind, a command that needs it, the next bind, which must not come before the command is done, and so
 * on: all submitted at once, nobody waits on the host. */
static void
changing_mappings(struct vkt *t)
{
   struct tiled_buffer b = tiled_buffer_create(t);
   struct vkt_buffer seen = vkt_buffer_create(t, 4 * 200);
   const VkSemaphore timeline = vkt_semaphore_create(t, VK_SEMAPHORE_TYPE_TIMELINE);
   const VkFence fence = vkt_fence_create(t);

   for (uint32_t i = 0; i < 200; i++) {
      const VkSparseMemoryBind bind = {
         .resourceOffset = 5 * TILE_B,
         .size = TILE_B,
         .memory = b.heap,
         .memoryOffset = (VkDeviceSize)(i * 7 % HEAP_TILES) * TILE_B,
      };
      const VkSparseBufferMemoryBindInfo info = {b.buffer, 1, &bind};
      vkt_bind(t, t->sparse, &(VkBindSparseInfo){.bufferBindCount = 1, .pBufferBinds = &info},
               &(struct vkt_syncs){
                  .waits = {{timeline, 2 * i}},
                  .wait_count = i > 0,
                  .signals = {{timeline, 2 * i + 1}},
                  .signal_count = 1,
               });

      VkCommandBuffer cmd = vkt_begin(t);
      vkCmdCopyBuffer(cmd, b.buffer, seen.buffer, 1, &(VkBufferCopy){5 * TILE_B + 4 * i, 4 * i, 4});
      vkt_submit(t, t->graphics, cmd,
                 &(struct vkt_syncs){
                    .waits = {{timeline, 2 * i + 1}},
                    .wait_count = 1,
                    .signals = {{timeline, 2 * i + 2}},
                    .signal_count = 1,
                    .fence = i == 199 ? fence : VK_NULL_HANDLE,
                 });
   }
   vkt_fence_wait(t, fence);
   for (uint32_t i = 0; i < 200; i++) {
      const uint32_t expected = b.words[i * 7 % HEAP_TILES * TILE_WORDS + i];
      vkt_expect(((uint32_t *)seen.map)[i] == expected, "change %u: 0x%x, not 0x%x", i,
                 ((uint32_t *)seen.map)[i], expected);
   }

   vkDestroyFence(t->device, fence, NULL);
   vkDestroySemaphore(t->device, timeline, NULL);
   vkt_buffer_destroy(t, &seen);
   tiled_buffer_destroy(t, &b);
}

/* Two textures of one kind on the same tiles, packed mips too: what is uploaded to one is in the other,
 * and stays when the first one is gone. */
static void
aliased_textures(struct vkt *t)
{
   const VkImageCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
      .flags = VK_IMAGE_CREATE_SPARSE_BINDING_BIT | VK_IMAGE_CREATE_SPARSE_RESIDENCY_BIT |
               VK_IMAGE_CREATE_SPARSE_ALIASED_BIT,
      .imageType = VK_IMAGE_TYPE_2D,
      .format = VK_FORMAT_R8G8B8A8_UNORM,
      .extent = {700, 300, 1},
      .mipLevels = 10,
      .arrayLayers = 2,
      .samples = VK_SAMPLE_COUNT_1_BIT,
      .usage = VK_IMAGE_USAGE_TRANSFER_SRC_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT,
   };
   struct vkt_image a = vkt_sparse_image_create(t, &info), b = vkt_sparse_image_create(t, &info);
   struct vkt_buffer buffer = vkt_buffer_create(t, 700 * 300 * 4 * 2);

   vkt_expect(a.tail_count == 2 || a.tail_count == 1, "%u mip tails", a.tail_count);
   vkt_sparse_image_bind(t, &a, vkt_all_blocks, true);
   const VkDeviceMemory own = b.memory;
   b.memory = a.memory;
   vkt_sparse_image_bind(t, &b, vkt_all_blocks, true);

   for (uint32_t pass = 0; pass < 2; pass++) {
      for (uint32_t level = 0; level < info.mipLevels; level++) {
         const VkExtent3D size = vkt_level_size(&info, level);
         const VkBufferImageCopy region = {
            .imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, level, 0, 2},
            .imageExtent = size,
         };
         uint32_t *words = buffer.map;
         VkCommandBuffer cmd;

         for (uint32_t i = 0; i < size.width * size.height * 2 && pass == 0; i++)
            words[i] = (level << 24) + i;
         cmd = vkt_begin(t);
         if (pass == 0)
            vkCmdCopyBufferToImage(cmd, buffer.buffer, a.image, VK_IMAGE_LAYOUT_GENERAL, 1, &region);
         else
            vkCmdCopyImageToBuffer(cmd, b.image, VK_IMAGE_LAYOUT_GENERAL, buffer.buffer, 1, &region);
         vkt_barrier(cmd);
         vkt_run(t, cmd);
         for (uint32_t i = 0; i < size.width * size.height * 2 && pass == 1; i++)
            vkt_expect(words[i] == (level << 24) + i, "level %u, texel %u: 0x%x", level, i, words[i]);
      }
      if (pass == 0)
         vkDestroyImage(t->device, a.image, NULL);
   }

   vkt_buffer_destroy(t, &buffer);
   vkDestroyImage(t->device, b.image, NULL);
   vkFreeMemory(t->device, own, NULL);
   vkFreeMemory(t->device, a.memory, NULL);
   free(a.blocks);
   free(b.blocks);
}

int
main(void)
{
   struct vkt t;

   vkt_init(&t);
   buffers(&t);
   changing_mappings(&t);
   aliased_textures(&t);
   vkt_finish(&t);

   return 0;
}

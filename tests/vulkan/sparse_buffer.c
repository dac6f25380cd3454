/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Sparse buffers: what is bound where is what shaders and copies find there, after every rebind,
 * with memory at several places, by the page, and through every kind of descriptor.
 *
 * Each block of memory is filled through the CPU with words that name it, so that a block in a
 * wrong place is seen.
 */

#include "vkt_sparse.h"

#include <sys/resource.h>

#include "read_buffer.comp.h"
#include "read_texels.comp.h"
#include "sparse_texels.spvasm.h"

#define BLOCKS  16
#define BLOCK_B (64 * 1024u)
#define WORDS   (BLOCK_B / 4)
#define UNBOUND UINT32_MAX

struct pool {
   VkDeviceMemory memory;
   uint32_t *map;
   uint32_t blocks;
};

static uint32_t
word_of(uint32_t mem_block, uint32_t word)
{
   return 0x10000000u + mem_block * WORDS + word;
}

static struct pool
pool_create(struct vkt *t, uint32_t blocks)
{
   struct pool pool = {.blocks = blocks};

   pool.memory = vkt_alloc(t, (VkDeviceSize)blocks * BLOCK_B, (void **)&pool.map);
   for (uint32_t b = 0; b < blocks; b++) {
      for (uint32_t w = 0; w < WORDS; w++)
         pool.map[b * WORDS + w] = word_of(b, w);
   }
   return pool;
}

/* A sparse buffer, and what is expected of it: for each block the memory block behind it. */
struct sparse {
   VkBuffer buffer;
   uint32_t where[BLOCKS];
};

static struct sparse
sparse_create(struct vkt *t, VkBufferCreateFlags flags)
{
   struct sparse sparse = {.buffer = vkt_sparse_buffer_create(t, BLOCKS * BLOCK_B, flags)};
   VkMemoryRequirements reqs;

   vkGetBufferMemoryRequirements(t->device, sparse.buffer, &reqs);
   vkt_expect(reqs.size >= BLOCKS * BLOCK_B && reqs.size % reqs.alignment == 0, "size %llu",
              (unsigned long long)reqs.size);
   vkt_expect(BLOCK_B % reqs.alignment == 0, "alignment %llu", (unsigned long long)reqs.alignment);
   for (uint32_t i = 0; i < BLOCKS; i++)
      sparse.where[i] = UNBOUND;
   return sparse;
}

static VkSparseMemoryBind
bind_of(struct sparse *sparse, const struct pool *pool, uint32_t block, uint32_t mem_block,
        uint32_t count)
{
   for (uint32_t i = 0; i < count; i++)
      sparse->where[block + i] = mem_block == UNBOUND ? UNBOUND : mem_block + i;

   return (VkSparseMemoryBind){
      .resourceOffset = (VkDeviceSize)block * BLOCK_B,
      .size = (VkDeviceSize)count * BLOCK_B,
      .memory = mem_block == UNBOUND ? VK_NULL_HANDLE : pool->memory,
      .memoryOffset = mem_block == UNBOUND ? 0 : (VkDeviceSize)mem_block * BLOCK_B,
   };
}

static void
bind(struct vkt *t, const struct sparse *sparse, const VkSparseMemoryBind *binds, uint32_t count)
{
   const VkSparseBufferMemoryBindInfo info = {sparse->buffer, count, binds};

   vkt_bind_and_wait(t, &(VkBindSparseInfo){.bufferBindCount = 1, .pBufferBinds = &info});
}

/* ----------------------------------------------------------- three ways to look */

static void
expect_words(const struct sparse *sparse, uint32_t block, const uint32_t *words, const char *how)
{
   for (uint32_t w = 0; w < WORDS; w++) {
      const uint32_t expected = word_of(sparse->where[block], w);
      vkt_expect(words[w] == expected, "%s: block %u, word %u: 0x%x, not 0x%x", how, block, w,
                 words[w], expected);
   }
}

static void
expect_by_shader(struct vkt *t, const struct sparse *sparse, const struct vkt_compute *compute,
                 const struct vkt_buffer *target, const char *how)
{
   for (uint32_t b = 0; b < BLOCKS; b++) {
      if (sparse->where[b] == UNBOUND)
         continue;
      VkCommandBuffer cmd = vkt_begin(t);
      vkt_dispatch(t, cmd, compute, (uint32_t[4]){b * WORDS, WORDS}, WORDS / 64, 1, 1);
      vkt_barrier(cmd);
      vkt_run(t, cmd);
      expect_words(sparse, b, target->map, how);
   }
}

static void
expect_by_storage_buffer(struct vkt *t, const struct sparse *sparse,
                         const struct vkt_buffer *target)
{
   const struct vkt_binding bindings[] = {
      {.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .buffer = sparse->buffer},
      {.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .buffer = target->buffer},
   };
   struct vkt_compute compute =
      vkt_compute_create(t, read_buffer_comp, sizeof(read_buffer_comp), bindings, 2);

   expect_by_shader(t, sparse, &compute, target, "storage buffer");
   vkt_compute_destroy(t, &compute);
}

/* llvmpipe takes sparse resources for tiled textures; a buffer is none. */
static void
expect_by_texel_buffer(struct vkt *t, const struct sparse *sparse, const struct vkt_buffer *target)
{
   const VkBufferView view = vkt_buffer_view_create(t, sparse->buffer, VK_FORMAT_R32_UINT);
   const struct vkt_binding bindings[] = {
      {.type = VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER, .view = view},
      {.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .buffer = target->buffer},
   };
   struct vkt_compute compute =
      vkt_compute_create(t, read_texels_comp, sizeof(read_texels_comp), bindings, 2);

   expect_by_shader(t, sparse, &compute, target, "texel buffer");
   vkt_compute_destroy(t, &compute);
   vkDestroyBufferView(t->device, view, NULL);
}

static void
expect_by_copy(struct vkt *t, const struct sparse *sparse, const struct vkt_buffer *target)
{
   for (uint32_t b = 0; b < BLOCKS; b++) {
      if (sparse->where[b] == UNBOUND)
         continue;
      VkCommandBuffer cmd = vkt_begin(t);
      vkCmdCopyBuffer(cmd, sparse->buffer, target->buffer, 1,
                      &(VkBufferCopy){b * BLOCK_B, 0, BLOCK_B});
      vkt_barrier(cmd);
      vkt_run(t, cmd);
      expect_words(sparse, b, target->map, "copy");
   }
}

static void
expect(struct vkt *t, const struct sparse *sparse)
{
   struct vkt_buffer target = vkt_buffer_create(t, BLOCK_B);

   expect_by_storage_buffer(t, sparse, &target);
   expect_by_texel_buffer(t, sparse, &target);
   expect_by_copy(t, sparse, &target);
   vkt_buffer_destroy(t, &target);
}

/* ----------------------------------------------------------------------- tests */

static void
whole_buffer_at_once(struct vkt *t)
{
   struct pool pool = pool_create(t, BLOCKS);
   struct sparse sparse = sparse_create(t, 0);
   const VkSparseMemoryBind all = bind_of(&sparse, &pool, 0, 0, BLOCKS);

   bind(t, &sparse, &all, 1);
   expect(t, &sparse);

   vkDestroyBuffer(t->device, sparse.buffer, NULL);
   vkFreeMemory(t->device, pool.memory, NULL);
}

/* Blocks in a scrambled order, then each at another place, some unbound. */
static void
scattered_and_bound_again(struct vkt *t)
{
   struct pool pool = pool_create(t, BLOCKS);
   struct sparse sparse = sparse_create(t, VK_BUFFER_CREATE_SPARSE_RESIDENCY_BIT);
   VkSparseMemoryBind binds[BLOCKS];

   for (uint32_t round = 0; round < 4; round++) {
      for (uint32_t i = 0; i < BLOCKS; i++) {
         const uint32_t block = (i * 5 + round) % BLOCKS;
         const uint32_t mem_block = (i * 7 + 3 * round) % BLOCKS;
         const bool leave_out = round > 0 && i % 4 == round;
         binds[i] = bind_of(&sparse, &pool, block, leave_out ? UNBOUND : mem_block, 1);
      }
      bind(t, &sparse, binds, BLOCKS);
      expect(t, &sparse);
   }

   vkDestroyBuffer(t->device, sparse.buffer, NULL);
   vkFreeMemory(t->device, pool.memory, NULL);
}

/* Of the binds of one batch the last one of an address counts. */
static void
last_bind_wins(struct vkt *t)
{
   struct pool pool = pool_create(t, BLOCKS);
   struct sparse sparse = sparse_create(t, VK_BUFFER_CREATE_SPARSE_RESIDENCY_BIT);
   const VkSparseMemoryBind binds[] = {
      bind_of(&sparse, &pool, 0, 0, 8),
      bind_of(&sparse, &pool, 2, 9, 2),
      bind_of(&sparse, &pool, 3, UNBOUND, 1),
      bind_of(&sparse, &pool, 5, 1, 1),
   };

   bind(t, &sparse, binds, VKT_ARRAY_SIZE(binds));
   expect(t, &sparse);

   vkDestroyBuffer(t->device, sparse.buffer, NULL);
   vkFreeMemory(t->device, pool.memory, NULL);
}

/* One block of memory at several places of two buffers: a write by one is read by all. */
static void
aliased_memory(struct vkt *t)
{
   struct pool pool = pool_create(t, 2);
   struct sparse a =
      sparse_create(t, VK_BUFFER_CREATE_SPARSE_RESIDENCY_BIT | VK_BUFFER_CREATE_SPARSE_ALIASED_BIT);
   struct sparse b =
      sparse_create(t, VK_BUFFER_CREATE_SPARSE_RESIDENCY_BIT | VK_BUFFER_CREATE_SPARSE_ALIASED_BIT);
   const VkSparseMemoryBind binds_a[] = {
      bind_of(&a, &pool, 0, 1, 1),
      bind_of(&a, &pool, 7, 1, 1),
      bind_of(&a, &pool, 8, 0, 2),
   };
   const VkSparseMemoryBind binds_b[] = {bind_of(&b, &pool, 15, 1, 1)};

   bind(t, &a, binds_a, VKT_ARRAY_SIZE(binds_a));
   bind(t, &b, binds_b, VKT_ARRAY_SIZE(binds_b));
   expect(t, &a);
   expect(t, &b);

   VkCommandBuffer cmd = vkt_begin(t);
   vkCmdFillBuffer(cmd, b.buffer, 15 * BLOCK_B + 4096, 4096, 0xabcdabcd);
   vkt_barrier(cmd);
   vkt_run(t, cmd);

   struct vkt_buffer target = vkt_buffer_create(t, BLOCK_B);
   const uint32_t blocks[] = {0, 7, 9};
   for (unsigned i = 0; i < VKT_ARRAY_SIZE(blocks); i++) {
      cmd = vkt_begin(t);
      vkCmdCopyBuffer(cmd, a.buffer, target.buffer, 1,
                      &(VkBufferCopy){blocks[i] * BLOCK_B, 0, BLOCK_B});
      vkt_barrier(cmd);
      vkt_run(t, cmd);
      const uint32_t *words = target.map;
      vkt_expect(words[1023] == word_of(1, 1023), "0x%x", words[1023]);
      vkt_expect(words[1024] == 0xabcdabcd && words[2047] == 0xabcdabcd, "0x%x", words[1024]);
      vkt_expect(words[2048] == word_of(1, 2048), "0x%x", words[2048]);
   }
   vkt_expect(pool.map[WORDS + 1024] == 0xabcdabcd, "the CPU sees 0x%x", pool.map[WORDS + 1024]);

   vkt_buffer_destroy(t, &target);
   vkDestroyBuffer(t->device, a.buffer, NULL);
   vkDestroyBuffer(t->device, b.buffer, NULL);
   vkFreeMemory(t->device, pool.memory, NULL);
}

/* What is written while one memory is bound stays in it when another takes its place. */
static void
writes_stay_with_the_memory(struct vkt *t)
{
   struct pool pool = pool_create(t, 2);
   struct sparse sparse = sparse_create(t, VK_BUFFER_CREATE_SPARSE_RESIDENCY_BIT);

   for (uint32_t m = 0; m < 2; m++) {
      const VkSparseMemoryBind one = bind_of(&sparse, &pool, 4, m, 1);
      bind(t, &sparse, &one, 1);
      VkCommandBuffer cmd = vkt_begin(t);
      vkCmdFillBuffer(cmd, sparse.buffer, 4 * BLOCK_B, BLOCK_B, 100 + m);
      vkt_barrier(cmd);
      vkt_run(t, cmd);
   }
   for (uint32_t w = 0; w < 2 * WORDS; w++)
      vkt_expect(pool.map[w] == 100 + w / WORDS, "word %u: %u", w, pool.map[w]);

   vkDestroyBuffer(t->device, sparse.buffer, NULL);
   vkFreeMemory(t->device, pool.memory, NULL);
}

/* A bind that waits for a copy out of the old memory, and a copy that waits for the bind. */
/* Memory may go while it is bound: what was bound there is not used until something else is (Vulkan,
 * vkFreeMemory, and "Sparse Resources": freeing unbinds nothing). */
static void
memory_freed_while_bound(struct vkt *t)
{
   struct pool first = pool_create(t, BLOCKS);
   struct sparse sparse = sparse_create(t, VK_BUFFER_CREATE_SPARSE_RESIDENCY_BIT);
   VkSparseMemoryBind binds[2];

   binds[0] = bind_of(&sparse, &first, 0, 0, BLOCKS);
   bind(t, &sparse, binds, 1);
   expect(t, &sparse);
   vkFreeMemory(t->device, first.memory, NULL);

   /* Half of it anew, and the rest not at all; other memory has come since. */
   struct pool second = pool_create(t, BLOCKS);
   binds[0] = bind_of(&sparse, &second, 0, BLOCKS / 2, BLOCKS / 2);
   binds[1] = bind_of(&sparse, NULL, BLOCKS / 2, UNBOUND, BLOCKS - BLOCKS / 2);
   bind(t, &sparse, binds, 2);
   expect(t, &sparse);

   /* And the buffer after its memory. */
   vkFreeMemory(t->device, second.memory, NULL);
   vkDestroyBuffer(t->device, sparse.buffer, NULL);
}

static void
binds_in_the_order_of_semaphores(struct vkt *t)
{
   struct pool pool = pool_create(t, BLOCKS);
   struct sparse sparse = sparse_create(t, VK_BUFFER_CREATE_SPARSE_RESIDENCY_BIT);
   struct vkt_buffer target = vkt_buffer_create(t, BLOCKS * BLOCK_B);
   const VkSemaphore timeline = vkt_semaphore_create(t, VK_SEMAPHORE_TYPE_TIMELINE);

   for (uint64_t i = 0; i < BLOCKS; i++) {
      const VkSparseMemoryBind one = bind_of(&sparse, &pool, 3, i, 1);
      const VkSparseBufferMemoryBindInfo info = {sparse.buffer, 1, &one};
      vkt_bind(t, i % 2 ? t->graphics : t->sparse,
               &(VkBindSparseInfo){.bufferBindCount = 1, .pBufferBinds = &info},
               &(struct vkt_syncs){.waits = {{timeline, 2 * i}},
                                   .wait_count = i > 0,
                                   .signals = {{timeline, 2 * i + 1}},
                                   .signal_count = 1});

      VkCommandBuffer cmd = vkt_begin(t);
      vkCmdCopyBuffer(cmd, sparse.buffer, target.buffer, 1,
                      &(VkBufferCopy){3 * BLOCK_B, i * BLOCK_B, BLOCK_B});
      vkt_barrier(cmd);
      vkt_submit(t, t->graphics, cmd,
                 &(struct vkt_syncs){.waits = {{timeline, 2 * i + 1}},
                                     .wait_count = 1,
                                     .signals = {{timeline, 2 * i + 2}},
                                     .signal_count = 1});
   }
   vkt_check(vkDeviceWaitIdle(t->device));

   const uint32_t *words = target.map;
   for (uint32_t i = 0; i < BLOCKS * WORDS; i++)
      vkt_expect(words[i] == word_of(i / WORDS, i % WORDS), "copy %u, word %u: 0x%x", i / WORDS,
                 i % WORDS, words[i]);

   vkDestroySemaphore(t->device, timeline, NULL);
   vkt_buffer_destroy(t, &target);
   vkDestroyBuffer(t->device, sparse.buffer, NULL);
   vkFreeMemory(t->device, pool.memory, NULL);
}

/* --------------------------------------------------------------------- pages */

static VkDeviceSize
alignment_B(struct vkt *t, VkBuffer buffer)
{
   VkMemoryRequirements reqs;

   vkGetBufferMemoryRequirements(t->device, buffer, &reqs);
   return reqs.alignment;
}

static void
fill(struct vkt *t, VkBuffer buffer, uint32_t word)
{
   VkCommandBuffer cmd = vkt_begin(t);

   vkCmdFillBuffer(cmd, buffer, 0, VK_WHOLE_SIZE, word);
   vkt_barrier(cmd);
   vkt_run(t, cmd);
}

static void
bind_memory(struct vkt *t, VkBuffer buffer, VkSparseMemoryBind bind)
{
   const VkSparseBufferMemoryBindInfo info = {buffer, 1, &bind};

   vkt_bind_and_wait(t, &(VkBindSparseInfo){.bufferBindCount = 1, .pBufferBinds = &info});
}

/* A buffer of no more than 64 KiB, bound to one memory, then to another, then half of it to the first one again
 * (VkMemoryRequirements: "alignment is ... the sparse block size" of buffers: it must be small enough for that, as it
 * is on lavapipe). */
static void
small_buffer_bound_again(struct vkt *t)
{
   const VkBuffer buffer = vkt_sparse_buffer_create(t, BLOCK_B, 0);
   const VkDeviceSize page_B = alignment_B(t, buffer), half_B = BLOCK_B / 2;
   struct vkt_buffer target = vkt_buffer_create(t, BLOCK_B);
   VkDeviceMemory memory[2];

   vkt_expect(page_B <= BLOCK_B / 4, "pages of %llu bytes", (unsigned long long)page_B);
   for (uint32_t i = 0; i < 2; i++) {
      memory[i] = vkt_alloc(t, BLOCK_B, NULL);
      bind_memory(t, buffer, (VkSparseMemoryBind){.size = BLOCK_B, .memory = memory[i]});
      fill(t, buffer, 100 + i);
   }
   bind_memory(t, buffer,
               (VkSparseMemoryBind){.resourceOffset = page_B,
                                    .size = half_B,
                                    .memory = memory[0],
                                    .memoryOffset = page_B});

   VkCommandBuffer cmd = vkt_begin(t);
   vkCmdCopyBuffer(cmd, buffer, target.buffer, 1, &(VkBufferCopy){0, 0, BLOCK_B});
   vkt_barrier(cmd);
   vkt_run(t, cmd);
   for (uint32_t w = 0; w < WORDS; w++) {
      const uint32_t expected = w * 4 >= page_B && w * 4 < page_B + half_B ? 100 : 101;
      const uint32_t word = ((uint32_t *)target.map)[w];
      vkt_expect(word == expected, "word %u: %u, not %u", w, word, expected);
   }

   vkt_buffer_destroy(t, &target);
   vkDestroyBuffer(t->device, buffer, NULL);
   for (uint32_t i = 0; i < 2; i++)
      vkFreeMemory(t->device, memory[i], NULL);
}

#define PAGES 48

/* Every other page is bound, each to memory of no more than a page, which shares a BO with other such memory:
 * what is written elsewhere is lost, and reads as zeros ("Sparse Buffers", residencyNonResidentStrict). */
static void
pages_of_small_memory(struct vkt *t)
{
   const VkDeviceSize any_B = 64 * BLOCK_B;
   const VkBuffer probe = vkt_sparse_buffer_create(t, any_B, VK_BUFFER_CREATE_SPARSE_RESIDENCY_BIT);
   const VkDeviceSize page_B = alignment_B(t, probe);
   vkDestroyBuffer(t->device, probe, NULL);

   const bool strict = t->props.sparseProperties.residencyNonResidentStrict;
   const VkBuffer buffer =
      vkt_sparse_buffer_create(t, PAGES * page_B, VK_BUFFER_CREATE_SPARSE_RESIDENCY_BIT);
   struct vkt_buffer target = vkt_buffer_create(t, PAGES * page_B);
   VkSparseMemoryBind binds[PAGES / 2];
   VkDeviceMemory memory[PAGES / 2], left_out = VK_NULL_HANDLE;
   uint32_t *maps[PAGES / 2], *left_out_map = NULL;

   for (uint32_t i = 0; i < PAGES / 2; i++) {
      const uint32_t page = (i * 7 % (PAGES / 2)) * 2;
      /* What is small is all over a slab. */
      if (i == PAGES / 4)
         left_out = vkt_alloc(t, page_B, (void **)&left_out_map);
      memory[i] = vkt_alloc(t, page_B, (void **)&maps[i]);
      binds[i] = (VkSparseMemoryBind){
         .resourceOffset = page * page_B, .size = page_B, .memory = memory[i]};
   }
   const VkSparseBufferMemoryBindInfo info = {buffer, PAGES / 2, binds};
   vkt_bind_and_wait(t, &(VkBindSparseInfo){.bufferBindCount = 1, .pBufferBinds = &info});

   /* By a fill, and by a copy that ends inside a page. */
   fill(t, buffer, 0x11111111);
   for (uint32_t w = 0; w < PAGES * page_B / 4; w++)
      ((uint32_t *)target.map)[w] = w;
   VkCommandBuffer cmd = vkt_begin(t);
   vkCmdCopyBuffer(cmd, target.buffer, buffer, 1, &(VkBufferCopy){100, 100, 10 * page_B});
   vkt_barrier(cmd);
   vkCmdCopyBuffer(cmd, buffer, target.buffer, 1, &(VkBufferCopy){0, 0, PAGES * page_B});
   vkt_barrier(cmd);
   vkt_run(t, cmd);

   for (uint32_t w = 0; w < PAGES * page_B / 4; w++) {
      const uint32_t word = ((uint32_t *)target.map)[w];
      const uint32_t expected = w * 4 >= 100 && w * 4 < 100 + 10 * page_B ? w : 0x11111111;
      if (w * 4 / page_B % 2 == 0)
         vkt_expect(word == expected, "word %u: 0x%x, not 0x%x", w, word, expected);
      else if (strict)
         vkt_expect(word == 0, "word %u, not resident: 0x%x", w, word);
   }
   for (uint32_t i = 0; i < PAGES / 2; i++) {
      const uint32_t last = (binds[i].resourceOffset + page_B) / 4 - 1;
      const uint32_t expected = last * 4 < 100 + 10 * page_B ? last : 0x11111111;
      vkt_expect(maps[i][page_B / 4 - 1] == expected, "memory %u ends with 0x%x", i,
                 maps[i][page_B / 4 - 1]);
   }
   for (uint32_t w = 0; w < page_B / 4; w++)
      vkt_expect(left_out_map[w] == 0, "memory that is not bound: word %u: 0x%x", w,
                 left_out_map[w]);

   /* Memory that was in use is as good as new. */
   vkDestroyBuffer(t->device, buffer, NULL);
   for (uint32_t i = 0; i < PAGES / 2; i++)
      vkFreeMemory(t->device, memory[i], NULL);
   vkFreeMemory(t->device, left_out, NULL);
   vkt_buffer_destroy(t, &target);
}

/* The picture of 8 x 8 texels goes to the one page that is bound of a large buffer: it must not cost more than that.
 * Rows are apart, and what is between them stays. */
static void
image_into_a_large_buffer(struct vkt *t)
{
   const VkDeviceSize size_B = 1u << 30;
   const VkBuffer buffer =
      vkt_sparse_buffer_create(t, size_B, VK_BUFFER_CREATE_SPARSE_RESIDENCY_BIT);
   const VkImageCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
      .imageType = VK_IMAGE_TYPE_2D,
      .format = VK_FORMAT_R32_UINT,
      .extent = {8, 8, 1},
      .mipLevels = 1,
      .arrayLayers = 1,
      .samples = VK_SAMPLE_COUNT_1_BIT,
      .usage = VK_IMAGE_USAGE_TRANSFER_SRC_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT,
   };
   struct vkt_image image = vkt_plain_image_create(t, &info);
   struct rusage before, after;
   uint32_t *map;

   const VkDeviceMemory memory = vkt_alloc(t, BLOCK_B, (void **)&map);
   for (uint32_t w = 0; w < WORDS; w++)
      map[w] = w;
   bind_memory(t, buffer,
               (VkSparseMemoryBind){.resourceOffset = BLOCK_B, .size = BLOCK_B, .memory = memory});

   VkCommandBuffer cmd = vkt_begin(t);
   vkCmdClearColorImage(cmd, image.image, VK_IMAGE_LAYOUT_GENERAL,
                        &(VkClearColorValue){.uint32 = {0xabcd}}, 1,
                        &(VkImageSubresourceRange){VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1});
   vkt_barrier(cmd);
   vkt_run(t, cmd);

   /* The first rows go to where nothing is. */
   const VkBufferImageCopy copy = {
      .bufferOffset = BLOCK_B - 2 * 64,
      .bufferRowLength = 16,
      .imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1},
      .imageExtent = {8, 8, 1},
   };
   getrusage(RUSAGE_SELF, &before);
   cmd = vkt_begin(t);
   vkCmdCopyImageToBuffer(cmd, image.image, VK_IMAGE_LAYOUT_GENERAL, buffer, 1, &copy);
   vkt_barrier(cmd);
   vkt_run(t, cmd);
   getrusage(RUSAGE_SELF, &after);
   vkt_expect(after.ru_maxrss - before.ru_maxrss < 256 << 10, "%ld MiB of memory for 64 texels",
              (after.ru_maxrss - before.ru_maxrss) >> 10);

   for (uint32_t w = 0; w < WORDS; w++) {
      const bool copied = w < 6 * 16 && w % 16 < 8;
      vkt_expect(map[w] == (copied ? 0xabcd : w), "word %u: 0x%x", w, map[w]);
   }

   vkt_image_destroy(t, &image);
   vkDestroyBuffer(t->device, buffer, NULL);
   vkFreeMemory(t->device, memory, NULL);
}

/* Two rows of a picture, with pages between them that are not written: a hole, and one that is the first row's memory
 * once more, which must not get its old bytes back ("Sparse Memory Aliasing"). */
static void
image_into_aliased_pages(struct vkt *t)
{
   if (!t->features.sparseResidencyAliased)
      return;

   const VkDeviceSize any_B = 64 * BLOCK_B;
   const VkBuffer probe = vkt_sparse_buffer_create(t, any_B, VK_BUFFER_CREATE_SPARSE_RESIDENCY_BIT);
   const VkDeviceSize page_B = alignment_B(t, probe);
   vkDestroyBuffer(t->device, probe, NULL);

   const VkBuffer buffer = vkt_sparse_buffer_create(
      t, 4 * page_B,
      VK_BUFFER_CREATE_SPARSE_RESIDENCY_BIT | VK_BUFFER_CREATE_SPARSE_ALIASED_BIT);
   const VkImageCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
      .imageType = VK_IMAGE_TYPE_2D,
      .format = VK_FORMAT_R32_UINT,
      .extent = {8, 2, 1},
      .mipLevels = 1,
      .arrayLayers = 1,
      .samples = VK_SAMPLE_COUNT_1_BIT,
      .usage = VK_IMAGE_USAGE_TRANSFER_SRC_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT,
   };
   struct vkt_image image = vkt_plain_image_create(t, &info);
   uint32_t *map;
   const VkDeviceMemory memory = vkt_alloc(t, 2 * page_B, (void **)&map);
   const VkSparseMemoryBind binds[] = {
      {.resourceOffset = 0, .size = page_B, .memory = memory},
      {.resourceOffset = 2 * page_B, .size = page_B, .memory = memory},
      {.resourceOffset = 3 * page_B, .size = page_B, .memory = memory, .memoryOffset = page_B},
   };
   const VkSparseBufferMemoryBindInfo bind_info = {buffer, VKT_ARRAY_SIZE(binds), binds};
   vkt_bind_and_wait(t, &(VkBindSparseInfo){.bufferBindCount = 1, .pBufferBinds = &bind_info});

   VkCommandBuffer cmd = vkt_begin(t);
   vkCmdClearColorImage(cmd, image.image, VK_IMAGE_LAYOUT_GENERAL,
                        &(VkClearColorValue){.uint32 = {0xabcd}}, 1,
                        &(VkImageSubresourceRange){VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1});
   vkt_barrier(cmd);
   const VkBufferImageCopy copy = {
      .bufferRowLength = 3 * page_B / 4,
      .imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1},
      .imageExtent = {8, 2, 1},
   };
   vkCmdCopyImageToBuffer(cmd, image.image, VK_IMAGE_LAYOUT_GENERAL, buffer, 1, &copy);
   vkt_barrier(cmd);
   vkt_run(t, cmd);

   for (uint32_t w = 0; w < 2 * page_B / 4; w++) {
      const uint32_t expected = w % (page_B / 4) < 8 ? 0xabcd : 0;
      vkt_expect(map[w] == expected, "word %u: 0x%x, not 0x%x", w, map[w], expected);
   }

   vkt_image_destroy(t, &image);
   vkDestroyBuffer(t->device, buffer, NULL);
   vkFreeMemory(t->device, memory, NULL);
}

/* A fill and a copy of all of a large buffer of which one page is bound: what is lost costs no memory. */
static void
large_buffer_of_a_page(struct vkt *t)
{
   const VkDeviceSize size_B = 1u << 30, at_B = size_B / 2 + BLOCK_B;
   const VkBuffer buffer[2] = {
      vkt_sparse_buffer_create(t, size_B, VK_BUFFER_CREATE_SPARSE_RESIDENCY_BIT),
      vkt_sparse_buffer_create(t, size_B, VK_BUFFER_CREATE_SPARSE_RESIDENCY_BIT),
   };
   VkDeviceMemory memory[2];
   struct rusage before, after;
   uint32_t *map[2];

   for (uint32_t i = 0; i < 2; i++) {
      memory[i] = vkt_alloc(t, BLOCK_B, (void **)&map[i]);
      bind_memory(t, buffer[i],
                  (VkSparseMemoryBind){.resourceOffset = at_B, .size = BLOCK_B, .memory = memory[i]});
   }
   for (uint32_t w = 0; w < WORDS; w++)
      map[1][w] = w;

   getrusage(RUSAGE_SELF, &before);
   fill(t, buffer[0], 0x11111111);
   for (uint32_t w = 0; w < WORDS; w++)
      vkt_expect(map[0][w] == 0x11111111, "word %u: 0x%x after the fill", w, map[0][w]);
   VkCommandBuffer cmd = vkt_begin(t);
   vkCmdCopyBuffer(cmd, buffer[1], buffer[0], 1, &(VkBufferCopy){4, 4, size_B - 8});
   vkt_barrier(cmd);
   vkt_run(t, cmd);
   getrusage(RUSAGE_SELF, &after);

   for (uint32_t w = 0; w < WORDS; w++)
      vkt_expect(map[0][w] == w, "word %u: 0x%x after the copy", w, map[0][w]);
   vkt_expect(after.ru_maxrss - before.ru_maxrss < 256 << 10, "%ld MiB of memory for a page",
              (after.ru_maxrss - before.ru_maxrss) >> 10);

   for (uint32_t i = 0; i < 2; i++) {
      vkDestroyBuffer(t->device, buffer[i], NULL);
      vkFreeMemory(t->device, memory[i], NULL);
   }
}

/* Shaders are told which texels of a view, here one that begins inside a page, are resident. */
static void
residency_of_texels(struct vkt *t)
{
   if (!t->features.shaderResourceResidency)
      return;

   const VkDeviceSize offset_B = 3 * 4096 + 256, texels_B = 64 * 1024;
   const VkBuffer buffer =
      vkt_sparse_buffer_create(t, 2 * BLOCK_B, VK_BUFFER_CREATE_SPARSE_RESIDENCY_BIT);
   const VkDeviceSize page_B = alignment_B(t, buffer), start_B = 2 * page_B;
   struct vkt_buffer target = vkt_buffer_create(t, 4096);
   const VkDeviceMemory memory = vkt_alloc(t, page_B, NULL);
   VkBufferView view;

   bind_memory(t, buffer,
               (VkSparseMemoryBind){.resourceOffset = start_B, .size = page_B, .memory = memory});
   vkt_check(vkCreateBufferView(t->device,
                                &(VkBufferViewCreateInfo){
                                   .sType = VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO,
                                   .buffer = buffer,
                                   .format = VK_FORMAT_R32_UINT,
                                   .offset = offset_B,
                                   .range = texels_B,
                                },
                                NULL, &view));
   const struct vkt_binding bindings[] = {
      {.type = VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER, .view = view},
      {.type = VK_DESCRIPTOR_TYPE_STORAGE_TEXEL_BUFFER, .view = view},
      {.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .buffer = target.buffer},
   };
   struct vkt_compute compute = vkt_compute_create(t, sparse_texels_spvasm,
                                                   sizeof(sparse_texels_spvasm), bindings, 3);

   VkCommandBuffer cmd = vkt_begin(t);
   vkt_dispatch(t, cmd, &compute, (const uint32_t[4]){0}, texels_B / 4096, 1, 1);
   vkt_barrier(cmd);
   vkt_run(t, cmd);
   for (uint32_t i = 0; i < texels_B / 4096; i++) {
      const VkDeviceSize at_B = offset_B + i * 4096;
      const uint32_t expected = at_B >= start_B && at_B < start_B + page_B ? 3 : 0;
      const uint32_t word = ((uint32_t *)target.map)[i];

      vkt_expect(word == expected, "texel at %llu: %u, not %u", (unsigned long long)at_B, word,
                 expected);
   }

   vkt_compute_destroy(t, &compute);
   vkDestroyBufferView(t->device, view, NULL);
   vkt_buffer_destroy(t, &target);
   vkDestroyBuffer(t->device, buffer, NULL);
   vkFreeMemory(t->device, memory, NULL);
}

/* ------------------------------------------------------------------ requirements */

/* vkGetDeviceBufferMemoryRequirements says of a buffer that does not exist what vkGetBufferMemoryRequirements2
 * says of one that does, with all that is chained. */
static void
requirements_without_a_buffer(struct vkt *t)
{
   static const VkDeviceSize sizes_B[] = {1, 4096, BLOCK_B - 1, BLOCK_B, BLOCK_B + 1, 100 * BLOCK_B};

   for (unsigned i = 0; i < 2 * VKT_ARRAY_SIZE(sizes_B); i++) {
      const VkBufferCreateInfo info = {
         .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
         .flags = i % 2 ? VK_BUFFER_CREATE_SPARSE_BINDING_BIT : 0,
         .size = sizes_B[i / 2],
         .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT,
      };
      VkMemoryDedicatedRequirements dedicated[2];
      VkMemoryRequirements2 reqs[2];
      VkBuffer buffer;

      for (unsigned j = 0; j < 2; j++) {
         dedicated[j] = (VkMemoryDedicatedRequirements){
            .sType = VK_STRUCTURE_TYPE_MEMORY_DEDICATED_REQUIREMENTS,
            .prefersDedicatedAllocation = 17 + j,
            .requiresDedicatedAllocation = 17 + j,
         };
         reqs[j] = (VkMemoryRequirements2){
            .sType = VK_STRUCTURE_TYPE_MEMORY_REQUIREMENTS_2, .pNext = &dedicated[j]};
      }
      vkt_check(vkCreateBuffer(t->device, &info, NULL, &buffer));
      vkGetBufferMemoryRequirements2(t->device,
                                     &(VkBufferMemoryRequirementsInfo2){
                                        .sType = VK_STRUCTURE_TYPE_BUFFER_MEMORY_REQUIREMENTS_INFO_2,
                                        .buffer = buffer,
                                     },
                                     &reqs[0]);
      vkGetDeviceBufferMemoryRequirements(t->device,
                                          &(VkDeviceBufferMemoryRequirements){
                                             .sType = VK_STRUCTURE_TYPE_DEVICE_BUFFER_MEMORY_REQUIREMENTS,
                                             .pCreateInfo = &info,
                                          },
                                          &reqs[1]);
      vkt_expect(!memcmp(&reqs[0].memoryRequirements, &reqs[1].memoryRequirements,
                         sizeof(reqs[0].memoryRequirements)),
                 "%llu bytes: size %llu and %llu, alignment %llu and %llu",
                 (unsigned long long)info.size, (unsigned long long)reqs[0].memoryRequirements.size,
                 (unsigned long long)reqs[1].memoryRequirements.size,
                 (unsigned long long)reqs[0].memoryRequirements.alignment,
                 (unsigned long long)reqs[1].memoryRequirements.alignment);
      /* A sparse buffer has as many pages as it takes, and no more. */
      const VkMemoryRequirements *needs = &reqs[0].memoryRequirements;
      vkt_expect(!info.flags || (needs->size % needs->alignment == 0 &&
                                 needs->size - info.size < needs->alignment),
                 "%llu bytes: %llu, in pages of %llu", (unsigned long long)info.size,
                 (unsigned long long)needs->size, (unsigned long long)needs->alignment);
      for (unsigned j = 0; j < 2; j++)
         vkt_expect(dedicated[j].prefersDedicatedAllocation <= 1 &&
                       dedicated[j].requiresDedicatedAllocation <= 1,
                    "flags %x, way %u: not filled in", info.flags, j);
      vkDestroyBuffer(t->device, buffer, NULL);
   }
}

int
main(void)
{
   struct vkt t;

   vkt_init(&t);
   whole_buffer_at_once(&t);
   scattered_and_bound_again(&t);
   last_bind_wins(&t);
   aliased_memory(&t);
   writes_stay_with_the_memory(&t);
   memory_freed_while_bound(&t);
   binds_in_the_order_of_semaphores(&t);
   small_buffer_bound_again(&t);
   pages_of_small_memory(&t);
   image_into_a_large_buffer(&t);
   image_into_aliased_pages(&t);
   large_buffer_of_a_page(&t);
   residency_of_texels(&t);
   requirements_without_a_buffer(&t);
   vkt_finish(&t);

   return 0;
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Sparse buffers as vertex, index, indirect and uniform buffers, with a hole in their middle (Vulkan,
 * "Sparse Partially-Resident Buffers": they can be used as any other; "Accessing Unbound Regions").
 * Three blocks, the first and the last one bound, in the reverse order.
 */

#include "vkt.h"

#include "usage_index.vert.h"
#include "usage_uniform.comp.h"
#include "usage_vertex.vert.h"

#define BLOCK_B (64 * 1024u)
#define BLOCKS  3u
#define WORDS   (BLOCK_B / 4)

struct test {
   struct vkt vkt;
   bool strict;
   VkBuffer sparse;
   VkDeviceMemory memory;
   /** Of each block that is bound. */
   uint32_t *block[BLOCKS];
   struct vkt_buffer target;
   struct vkt_compute set;
};

static VkBuffer
create_buffer(struct vkt *t)
{
   VkBuffer buffer;

   vkt_check(vkCreateBuffer(
      t->device,
      &(VkBufferCreateInfo){
         .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
         .flags = VK_BUFFER_CREATE_SPARSE_BINDING_BIT | VK_BUFFER_CREATE_SPARSE_RESIDENCY_BIT,
         .size = BLOCKS * BLOCK_B,
         .usage = VK_BUFFER_USAGE_VERTEX_BUFFER_BIT | VK_BUFFER_USAGE_INDEX_BUFFER_BIT |
                  VK_BUFFER_USAGE_INDIRECT_BUFFER_BIT | VK_BUFFER_USAGE_UNIFORM_BUFFER_BIT,
      },
      NULL, &buffer));
   return buffer;
}

static void
test_init(struct test *test)
{
   struct vkt *t = &test->vkt;
   void *map;

   vkt_init(t);
   test->strict = t->props.sparseProperties.residencyNonResidentStrict;
   test->sparse = create_buffer(t);
   test->memory = vkt_alloc(t, 2 * BLOCK_B, &map);
   test->block[2] = map;
   test->block[0] = test->block[2] + WORDS;

   const VkSparseMemoryBind binds[] = {
      {.resourceOffset = 0, .size = BLOCK_B, .memory = test->memory, .memoryOffset = BLOCK_B},
      {.resourceOffset = 2 * BLOCK_B, .size = BLOCK_B, .memory = test->memory},
   };
   vkt_bind_and_wait(t, &(VkBindSparseInfo){
                           .bufferBindCount = 1,
                           .pBufferBinds = &(VkSparseBufferMemoryBindInfo){test->sparse, 2, binds},
                        });

   test->target = vkt_buffer_create(t, BLOCKS * BLOCK_B);
   test->set = vkt_set_create(t,
                              &(struct vkt_binding){.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                                    .buffer = test->target.buffer},
                              1);
}

static void
test_finish(struct test *test)
{
   struct vkt *t = &test->vkt;

   vkt_compute_destroy(t, &test->set);
   vkt_buffer_destroy(t, &test->target);
   vkDestroyBuffer(t->device, test->sparse, NULL);
   vkFreeMemory(t->device, test->memory, NULL);
   vkt_finish(t);
}

static void
fill(struct test *test, uint32_t seed)
{
   for (uint32_t b = 0; b < BLOCKS; b += 2) {
      for (uint32_t i = 0; i < WORDS; i++)
         test->block[b][i] = seed + b * WORDS + i;
   }
   memset(test->target.map, 0xff, BLOCKS * BLOCK_B);
}

static VkPipeline
begin(struct test *test, VkCommandBuffer cmd, const struct vkt_pipeline *pipeline)
{
   static const uint32_t push[4];
   const VkPipeline p = vkt_pipeline_create(&test->vkt, test->set.layout, pipeline);

   vkt_begin_drawing(cmd, p, 1, 1, NULL);
   vkt_set_bind(cmd, VK_PIPELINE_BIND_POINT_GRAPHICS, &test->set, push);
   return p;
}

static void
end(struct test *test, VkCommandBuffer cmd, VkPipeline pipeline)
{
   vkCmdEndRendering(cmd);
   vkt_barrier(cmd);
   vkt_run(&test->vkt, cmd);
   vkDestroyPipeline(test->vkt.device, pipeline, NULL);
}

static void
expect_words(const struct test *test, const char *what, uint32_t seed)
{
   const uint32_t *words = test->target.map;

   for (uint32_t i = 0; i < BLOCKS * WORDS; i++) {
      const bool bound = i / WORDS != 1;
      vkt_expect((!bound && !test->strict) || words[i] == (bound ? seed + i : 0),
                 "%s: word %u is 0x%x", what, i, words[i]);
   }
}

static void
vertices(struct test *test)
{
   VkCommandBuffer cmd = vkt_begin(&test->vkt);

   fill(test, 0x1000000);
   const VkPipeline pipeline = begin(test, cmd,
                                     &(struct vkt_pipeline){
                                        .vertex = usage_vertex_vert,
                                        .vertex_size_B = sizeof(usage_vertex_vert),
                                        .vertex_words = true,
                                     });
   vkCmdBindVertexBuffers(cmd, 0, 1, &test->sparse, &(VkDeviceSize){0});
   vkCmdDraw(cmd, BLOCKS * WORDS, 1, 0, 0);
   end(test, cmd, pipeline);
   expect_words(test, "vertices", 0x1000000);
}

/* Even vertices from the first block, from the last one those that are multiples of three; a hole
 * is the vertex 0. */
static void
indices(struct test *test)
{
   const uint32_t *drawn = test->target.map;
   VkCommandBuffer cmd = vkt_begin(&test->vkt);

   memset(test->target.map, 0, BLOCKS * BLOCK_B);
   for (uint32_t i = 0; i < WORDS; i++) {
      test->block[0][i] = 2 * (i + 1);
      test->block[2][i] = 3 * (i + 1);
   }

   const VkPipeline pipeline = begin(test, cmd,
                                     &(struct vkt_pipeline){
                                        .vertex = usage_index_vert,
                                        .vertex_size_B = sizeof(usage_index_vert),
                                     });
   for (uint32_t b = 0; b < BLOCKS; b++) {
      if (b == 1 && !test->strict)
         continue;
      vkCmdBindIndexBuffer(cmd, test->sparse, b * BLOCK_B, VK_INDEX_TYPE_UINT32);
      vkCmdDrawIndexed(cmd, WORDS, 1, 0, 0, 0);
   }
   end(test, cmd, pipeline);

   for (uint32_t i = 0; i < BLOCKS * WORDS; i++) {
      const bool named = (i % 2 == 0 && i && i <= 2 * WORDS) || (i % 3 == 0 && i) ||
                         (i == 0 && test->strict);
      vkt_expect(drawn[i] == (named ? i + 1 : 0), "vertex %u: 0x%x", i, drawn[i]);
   }
}

/* A draw of some vertices in the first block, of others in the last one; of none in the hole. */
static void
indirect_draws(struct test *test)
{
   const uint32_t *drawn = test->target.map;
   VkCommandBuffer cmd = vkt_begin(&test->vkt);

   memset(test->target.map, 0, BLOCKS * BLOCK_B);
   memcpy(test->block[0] + WORDS - 4, &(VkDrawIndirectCommand){10, 1, 5, 0},
          sizeof(VkDrawIndirectCommand));
   memcpy(test->block[2], &(VkDrawIndirectCommand){20, 1, 100, 0}, sizeof(VkDrawIndirectCommand));

   const VkPipeline pipeline = begin(test, cmd,
                                     &(struct vkt_pipeline){
                                        .vertex = usage_index_vert,
                                        .vertex_size_B = sizeof(usage_index_vert),
                                     });
   vkCmdDrawIndirect(cmd, test->sparse, BLOCK_B - 16, 1, 16);
   if (test->strict)
      vkCmdDrawIndirect(cmd, test->sparse, BLOCK_B + 256, 1, 16);
   vkCmdDrawIndirect(cmd, test->sparse, 2 * BLOCK_B, 1, 16);
   end(test, cmd, pipeline);

   for (uint32_t i = 0; i < BLOCKS * WORDS; i++) {
      const bool named = (i >= 5 && i < 15) || (i >= 100 && i < 120);
      vkt_expect(drawn[i] == (named ? i + 1 : 0), "indirect: vertex %u: 0x%x", i, drawn[i]);
   }
}

/* Each block as a uniform buffer; the number of workgroups from a sparse buffer, too. */
static void
uniforms(struct test *test)
{
   struct vkt *t = &test->vkt;
   const uint32_t seed = 0x2000000;
   const VkDispatchIndirectCommand groups = {WORDS / 4 / 64, 1, 1};
   static const uint32_t push[4];

   vkt_expect(t->props.limits.maxUniformBufferRange >= BLOCK_B, "%u",
              t->props.limits.maxUniformBufferRange);
   for (uint32_t b = 0; b < BLOCKS; b++) {
      const struct vkt_binding bindings[] = {
         {.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .buffer = test->target.buffer},
         {.type = VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER, .buffer = test->sparse, .range_B = BLOCK_B,
          .offset_B = b * BLOCK_B},
      };
      struct vkt_compute compute = vkt_compute_create(t, usage_uniform_comp,
                                                      sizeof(usage_uniform_comp), bindings, 2);
      VkCommandBuffer cmd = vkt_begin(t);

      fill(test, seed);
      memcpy(test->block[2] + WORDS - 4, &groups, sizeof(groups));
      vkCmdBindPipeline(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, compute.pipeline);
      vkt_set_bind(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, &compute, push);
      vkCmdDispatchIndirect(cmd, test->sparse, BLOCKS * BLOCK_B - 16);
      vkt_barrier(cmd);
      vkt_run(t, cmd);

      for (uint32_t i = 0; i < WORDS - 4; i++) {
         const uint32_t word = ((uint32_t *)test->target.map)[i];
         vkt_expect((b == 1 && !test->strict) || word == (b == 1 ? 0 : seed + b * WORDS + i),
                    "uniform buffer: block %u, word %u is 0x%x", b, i, word);
      }
      vkt_compute_destroy(t, &compute);
   }
}

int
main(void)
{
   struct test test;

   test_init(&test);
   vertices(&test);
   indices(&test);
   indirect_draws(&test);
   uniforms(&test);
   test_finish(&test);

   return 0;
}

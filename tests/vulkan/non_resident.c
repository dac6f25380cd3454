/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Access to what is not resident, which the specification allows in resources with residency: it ends
 * no program and changes nothing that is resident, whoever makes it; and with
 * residencyNonResidentStrict reads are zero and writes are lost.
 */

#include "vkt.h"

#include "read_buffer.comp.h"
#include "read_image.comp.h"
#include "write_buffer.comp.h"

#define BLOCK_B  (64 * 1024u)
#define BLOCKS   6u
#define WORDS    (BLOCKS * BLOCK_B / 4)

/* A simulated GPU takes its time over each store that it drops: shaders make some thousands. */
#define STRIDE   24u
#define STORES   (WORDS / STRIDE)

static bool
is_resident(uint32_t word)
{
   const uint32_t block = word / (BLOCK_B / 4);
   return block == 1 || block == 4;
}

static bool
is_strict(const struct vkt *t)
{
   return t->props.sparseProperties.residencyNonResidentStrict;
}

static VkBuffer
create_half_resident(struct vkt *t, VkDeviceMemory memory)
{
   const VkBuffer buffer =
      vkt_sparse_buffer_create(t, BLOCKS * BLOCK_B, VK_BUFFER_CREATE_SPARSE_RESIDENCY_BIT);
   const VkSparseMemoryBind binds[] = {
      {.resourceOffset = 1 * BLOCK_B, .size = BLOCK_B, .memory = memory, .memoryOffset = 0},
      {.resourceOffset = 4 * BLOCK_B, .size = BLOCK_B, .memory = memory, .memoryOffset = BLOCK_B},
   };
   const VkSparseBufferMemoryBindInfo info = {buffer, VKT_ARRAY_SIZE(binds), binds};

   vkt_bind_and_wait(t, &(VkBindSparseInfo){.bufferBindCount = 1, .pBufferBinds = &info});
   return buffer;
}

static void
by_copies_and_fills(struct vkt *t)
{
   uint32_t *map;
   const VkDeviceMemory memory = vkt_alloc(t, 2 * BLOCK_B, (void **)&map);
   const VkBuffer buffer = create_half_resident(t, memory);
   struct vkt_buffer plain = vkt_buffer_create(t, BLOCKS * BLOCK_B);

   VkCommandBuffer cmd = vkt_begin(t);
   vkCmdFillBuffer(cmd, buffer, 0, VK_WHOLE_SIZE, 0x11111111);
   vkt_barrier(cmd);
   vkCmdCopyBuffer(cmd, buffer, plain.buffer, 1, &(VkBufferCopy){0, 0, BLOCKS * BLOCK_B});
   vkt_barrier(cmd);
   vkt_run(t, cmd);
   for (uint32_t i = 0; i < WORDS; i++) {
      const uint32_t word = ((uint32_t *)plain.map)[i];
      if (is_resident(i))
         vkt_expect(word == 0x11111111, "filled word %u: 0x%x", i, word);
      else if (is_strict(t))
         vkt_expect(word == 0, "word %u, not resident: 0x%x", i, word);
   }

   for (uint32_t i = 0; i < WORDS; i++)
      ((uint32_t *)plain.map)[i] = i;
   cmd = vkt_begin(t);
   vkCmdCopyBuffer(cmd, plain.buffer, buffer, 1, &(VkBufferCopy){0, 0, BLOCKS * BLOCK_B});
   vkt_barrier(cmd);
   vkt_run(t, cmd);
   for (uint32_t i = 0; i < 2 * BLOCK_B / 4; i++) {
      const uint32_t expected = i < BLOCK_B / 4 ? BLOCK_B / 4 + i : 3 * BLOCK_B / 4 + i;
      vkt_expect(map[i] == expected, "copied word %u: %u, not %u", i, map[i], expected);
   }

   vkt_buffer_destroy(t, &plain);
   vkDestroyBuffer(t->device, buffer, NULL);
   vkFreeMemory(t->device, memory, NULL);
}

static void
by_stores_and_atomics(struct vkt *t)
{
   uint32_t *map;
   const VkDeviceMemory memory = vkt_alloc(t, 2 * BLOCK_B, (void **)&map);
   memset(map, 0, 2 * BLOCK_B);
   const VkBuffer buffer = create_half_resident(t, memory);
   struct vkt_buffer seen = vkt_buffer_create(t, BLOCKS * BLOCK_B);
   const struct vkt_binding bindings[] = {
      {.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .buffer = buffer},
      {.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .buffer = seen.buffer},
   };
   struct vkt_compute write =
      vkt_compute_create(t, write_buffer_comp, sizeof(write_buffer_comp), bindings, 2);
   struct vkt_compute read =
      vkt_compute_create(t, read_buffer_comp, sizeof(read_buffer_comp), bindings, 2);

   VkCommandBuffer cmd = vkt_begin(t);
   vkt_dispatch(t, cmd, &write, (uint32_t[4]){1000, STORES, STRIDE}, STORES / 64, 1, 1);
   vkt_barrier(cmd);
   vkt_run(t, cmd);
   for (uint32_t i = 0; i < STORES; i++) {
      const uint32_t word = ((uint32_t *)seen.map)[i];
      if (is_resident(i * STRIDE))
         vkt_expect(word == 1000 + i, "atomic on word %u saw %u", i * STRIDE, word);
      else if (is_strict(t))
         vkt_expect(word == 0, "atomic on word %u, not resident, saw %u", i * STRIDE, word);
   }
   for (uint32_t i = 0; i < 2 * BLOCK_B / 4; i++) {
      const uint32_t at = i < BLOCK_B / 4 ? BLOCK_B / 4 + i : 3 * BLOCK_B / 4 + i;
      const uint32_t expected = at % STRIDE ? 0 : 1001 + at / STRIDE;
      vkt_expect(map[i] == expected, "stored word %u: %u, not %u", i, map[i], expected);
   }

   cmd = vkt_begin(t);
   vkt_dispatch(t, cmd, &read, (uint32_t[4]){0, WORDS}, WORDS / 64, 1, 1);
   vkt_barrier(cmd);
   vkt_run(t, cmd);
   for (uint32_t i = 0; i < WORDS; i++) {
      const uint32_t word = ((uint32_t *)seen.map)[i];
      if (is_resident(i))
         vkt_expect(word == (i % STRIDE ? 0 : 1001 + i / STRIDE), "word %u: %u", i, word);
      else if (is_strict(t))
         vkt_expect(word == 0, "word %u, not resident: %u", i, word);
   }

   vkt_compute_destroy(t, &read);
   vkt_compute_destroy(t, &write);
   vkt_buffer_destroy(t, &seen);
   vkDestroyBuffer(t->device, buffer, NULL);
   vkFreeMemory(t->device, memory, NULL);
}

/* ----------------------------------------------------------------------- images */

#define SIZE 256u

/* What is uploaded: the four corners that meet in the middle. */
#define PART 32u
#define PART_AT (SIZE / 2 - PART / 2)

static VkImage
create_image(struct vkt *t, VkDeviceMemory memory)
{
   VkImage image;

   vkt_check(vkCreateImage(
      t->device,
      &(VkImageCreateInfo){
         .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
         .flags = VK_IMAGE_CREATE_SPARSE_BINDING_BIT | VK_IMAGE_CREATE_SPARSE_RESIDENCY_BIT,
         .imageType = VK_IMAGE_TYPE_2D,
         .format = VK_FORMAT_R32_UINT,
         .extent = {SIZE, SIZE, 1},
         .mipLevels = 1,
         .arrayLayers = 1,
         .samples = VK_SAMPLE_COUNT_1_BIT,
         .usage = VK_IMAGE_USAGE_SAMPLED_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT,
      },
      NULL, &image));

   /* One block of four. */
   const VkSparseImageMemoryBind bind = {
      .subresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0},
      .offset = {128, 128, 0},
      .extent = {128, 128, 1},
      .memory = memory,
   };
   const VkSparseImageMemoryBindInfo info = {image, 1, &bind};
   vkt_bind_and_wait(t, &(VkBindSparseInfo){.imageBindCount = 1, .pImageBinds = &info});

   vkt_make_general(t, image, VK_IMAGE_ASPECT_COLOR_BIT);

   return image;
}

static void
expect_image(struct vkt *t, VkImageView view, VkSampler sampler, bool cleared)
{
   struct vkt_buffer target = vkt_buffer_create(t, SIZE * SIZE * 8);
   const struct vkt_binding bindings[] = {
      {.type = VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER, .sampler = sampler, .image = view},
      {.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .buffer = target.buffer},
   };
   struct vkt_compute compute =
      vkt_compute_create(t, read_image_comp, sizeof(read_image_comp), bindings, 2);

   VkCommandBuffer cmd = vkt_begin(t);
   vkt_dispatch(t, cmd, &compute, (uint32_t[4]){0, SIZE, SIZE}, SIZE / 8, SIZE / 8, 1);
   vkt_barrier(cmd);
   vkt_run(t, cmd);

   const uint32_t(*texels)[2] = target.map;
   for (uint32_t i = 0; i < SIZE * SIZE; i++) {
      const uint32_t x = i % SIZE, y = i / SIZE;
      const bool resident = x / 128 == 1 && y / 128 == 1;

      vkt_expect(texels[i][1] == resident, "texel %u,%u: residency %u", x, y, texels[i][1]);
      if (resident) {
         const bool in_part = x < PART_AT + PART && y < PART_AT + PART;
         const uint32_t uploaded = in_part ? (y - PART_AT) * PART + x - PART_AT + 1 : 0;
         vkt_expect(texels[i][0] == (cleared ? 77 : uploaded), "texel %u,%u: %u", x, y,
                    texels[i][0]);
      } else if (is_strict(t))
         vkt_expect(texels[i][0] == 0, "texel %u,%u, not resident: %u", x, y, texels[i][0]);
   }

   vkt_compute_destroy(t, &compute);
   vkt_buffer_destroy(t, &target);
}

static void
by_uploads_and_clears(struct vkt *t)
{
   void *map;
   const VkDeviceMemory memory = vkt_alloc(t, BLOCK_B, &map);
   memset(map, 0, BLOCK_B);
   const VkImage image = create_image(t, memory);
   const VkImageSubresourceRange range = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1};
   struct vkt_buffer staging = vkt_buffer_create(t, PART * PART * 4);
   const VkImageView view =
      vkt_view_create(t, image, VK_IMAGE_VIEW_TYPE_2D, VK_FORMAT_R32_UINT, range);
   const VkSampler sampler = vkt_sampler_create(t, &(VkSamplerCreateInfo){0});

   for (uint32_t i = 0; i < PART * PART; i++)
      ((uint32_t *)staging.map)[i] = i + 1;
   VkCommandBuffer cmd = vkt_begin(t);
   vkCmdCopyBufferToImage(cmd, staging.buffer, image, VK_IMAGE_LAYOUT_GENERAL, 1,
                          &(VkBufferImageCopy){
                             .imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1},
                             .imageOffset = {PART_AT, PART_AT, 0},
                             .imageExtent = {PART, PART, 1},
                          });
   vkt_barrier(cmd);
   vkt_run(t, cmd);
   expect_image(t, view, sampler, false);

   cmd = vkt_begin(t);
   vkCmdClearColorImage(cmd, image, VK_IMAGE_LAYOUT_GENERAL,
                        &(VkClearColorValue){.uint32 = {77, 0, 0, 0}}, 1, &range);
   vkt_barrier(cmd);
   vkt_run(t, cmd);
   expect_image(t, view, sampler, true);

   vkDestroySampler(t->device, sampler, NULL);
   vkDestroyImageView(t->device, view, NULL);
   vkt_buffer_destroy(t, &staging);
   vkDestroyImage(t->device, image, NULL);
   vkFreeMemory(t->device, memory, NULL);
}

int
main(void)
{
   struct vkt t;

   vkt_init(&t);
   by_copies_and_fills(&t);
   by_stores_and_atomics(&t);
   by_uploads_and_clears(&t);
   vkt_finish(&t);

   return 0;
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Order between queues: binary and timeline semaphores, waits submitted before their signals, waits
 * and signals by the host, on graphics queues and on queues that only bind.
 */

#include "vkt.h"

#include <time.h>

#define WORDS 1024

static struct vkt_queue *
other_graphics_queue(struct vkt *t)
{
   for (uint32_t i = 0; i < t->queue_count; i++) {
      if (&t->queues[i] != t->graphics && (t->queues[i].flags & VK_QUEUE_GRAPHICS_BIT))
         return &t->queues[i];
   }
   return t->graphics;
}

static void
fill(struct vkt *t, VkCommandBuffer cmd, const struct vkt_buffer *buffer, uint32_t value)
{
   vkt_barrier(cmd);
   vkCmdFillBuffer(cmd, buffer->buffer, 0, VK_WHOLE_SIZE, value);
   vkt_barrier(cmd);
   (void)t;
}

static void
copy(struct vkt *t, VkCommandBuffer cmd, const struct vkt_buffer *src, const struct vkt_buffer *dst)
{
   vkt_barrier(cmd);
   vkCmdCopyBuffer(cmd, src->buffer, dst->buffer, 1, &(VkBufferCopy){0, 0, src->size_B});
   vkt_barrier(cmd);
   (void)t;
}

static void
expect_all(const struct vkt_buffer *buffer, uint32_t value, const char *what)
{
   const uint32_t *words = buffer->map;
   for (unsigned i = 0; i < WORDS; i++)
      vkt_expect(words[i] == value, "%s: word %u is 0x%x, not 0x%x", what, i, words[i], value);
}

static uint64_t
counter_value(struct vkt *t, VkSemaphore semaphore)
{
   uint64_t value;
   vkt_check(vkGetSemaphoreCounterValue(t->device, semaphore, &value));
   return value;
}

static void
sleep_ms(unsigned ms)
{
   nanosleep(&(struct timespec){.tv_nsec = ms * 1000000l}, NULL);
}

/* a: fill. b, on another queue: copy, after a. */
static void
binary_semaphore_orders_queues(struct vkt *t)
{
   struct vkt_buffer src = vkt_buffer_create(t, WORDS * 4), dst = vkt_buffer_create(t, WORDS * 4);
   const VkSemaphore semaphore = vkt_semaphore_create(t, VK_SEMAPHORE_TYPE_BINARY);
   const VkFence fence = vkt_fence_create(t);

   for (uint32_t round = 1; round <= 20; round++) {
      VkCommandBuffer a = vkt_begin(t), b = vkt_begin(t);
      fill(t, a, &src, round);
      copy(t, b, &src, &dst);

      vkt_submit(t, t->graphics, a,
                 &(struct vkt_syncs){.signals = {{semaphore, 0}}, .signal_count = 1});
      vkt_submit(t, other_graphics_queue(t), b,
                 &(struct vkt_syncs){.waits = {{semaphore, 0}}, .wait_count = 1, .fence = fence});
      vkt_fence_wait(t, fence);
      vkt_check(vkResetFences(t->device, 1, &fence));
      expect_all(&dst, round, "binary semaphore");
   }

   vkDestroyFence(t->device, fence, NULL);
   vkDestroySemaphore(t->device, semaphore, NULL);
   vkt_buffer_destroy(t, &src);
   vkt_buffer_destroy(t, &dst);
}

/* The wait is submitted first; nothing of it may happen before the host signals. */
static void
wait_before_signal(struct vkt *t)
{
   struct vkt_buffer src = vkt_buffer_create(t, WORDS * 4), dst = vkt_buffer_create(t, WORDS * 4);
   const VkSemaphore timeline = vkt_semaphore_create(t, VK_SEMAPHORE_TYPE_TIMELINE);
   const VkFence fence = vkt_fence_create(t);

   VkCommandBuffer cmd = vkt_begin(t);
   copy(t, cmd, &src, &dst);
   memset(dst.map, 0, WORDS * 4);
   for (unsigned i = 0; i < WORDS; i++)
      ((uint32_t *)src.map)[i] = 1;

   vkt_submit(t, t->graphics, cmd,
              &(struct vkt_syncs){.waits = {{timeline, 5}},
                                  .wait_count = 1,
                                  .signals = {{timeline, 8}},
                                  .signal_count = 1,
                                  .fence = fence});
   sleep_ms(20);
   vkt_expect(vkGetFenceStatus(t->device, fence) == VK_NOT_READY, "done before its wait");
   expect_all(&dst, 0, "before the signal");
   vkt_expect(counter_value(t, timeline) == 0, "%llu",
              (unsigned long long)counter_value(t, timeline));

   for (unsigned i = 0; i < WORDS; i++)
      ((uint32_t *)src.map)[i] = 2;
   vkt_check(vkSignalSemaphore(t->device, &(VkSemaphoreSignalInfo){
                                             .sType = VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO,
                                             .semaphore = timeline,
                                             .value = 5,
                                          }));
   vkt_fence_wait(t, fence);
   expect_all(&dst, 2, "after the signal");
   vkt_expect(counter_value(t, timeline) == 8, "%llu",
              (unsigned long long)counter_value(t, timeline));

   vkDestroyFence(t->device, fence, NULL);
   vkDestroySemaphore(t->device, timeline, NULL);
   vkt_buffer_destroy(t, &src);
   vkt_buffer_destroy(t, &dst);
}

/* A chain that goes through all queues, submitted from its end to its beginning. */
static void
chain_submitted_backwards(struct vkt *t)
{
   const VkSemaphore timeline = vkt_semaphore_create(t, VK_SEMAPHORE_TYPE_TIMELINE);

   for (uint32_t i = t->queue_count; i > 0; i--) {
      struct vkt_queue *queue = &t->queues[i - 1];
      const struct vkt_syncs syncs = {
         .waits = {{timeline, i}},
         .wait_count = 1,
         .signals = {{timeline, i + 1}},
         .signal_count = 1,
      };
      if (queue->flags & (VK_QUEUE_GRAPHICS_BIT | VK_QUEUE_COMPUTE_BIT | VK_QUEUE_TRANSFER_BIT))
         vkt_submit(t, queue, NULL, &syncs);
      else
         vkt_bind(t, queue, &(VkBindSparseInfo){0}, &syncs);
   }

   sleep_ms(10);
   vkt_expect(counter_value(t, timeline) == 0, "something ran before its wait");
   vkt_check(vkSignalSemaphore(t->device, &(VkSemaphoreSignalInfo){
                                             .sType = VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO,
                                             .semaphore = timeline,
                                             .value = 1,
                                          }));

   const uint64_t last = t->queue_count + 1;
   vkt_check(vkWaitSemaphores(t->device,
                              &(VkSemaphoreWaitInfo){
                                 .sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                                 .semaphoreCount = 1,
                                 .pSemaphores = &timeline,
                                 .pValues = &last,
                              },
                              UINT64_MAX));
   vkt_check(vkDeviceWaitIdle(t->device));
   vkDestroySemaphore(t->device, timeline, NULL);
}

/* graphics -> bind -> graphics, by binary semaphores, many times with the same ones. */
static void
through_a_bind_queue_and_back(struct vkt *t)
{
   const VkSemaphore there = vkt_semaphore_create(t, VK_SEMAPHORE_TYPE_BINARY);
   const VkSemaphore back = vkt_semaphore_create(t, VK_SEMAPHORE_TYPE_BINARY);
   struct vkt_buffer src = vkt_buffer_create(t, WORDS * 4), dst = vkt_buffer_create(t, WORDS * 4);

   for (uint32_t round = 1; round <= 20; round++) {
      VkCommandBuffer a = vkt_begin(t), b = vkt_begin(t);
      fill(t, a, &src, round);
      copy(t, b, &src, &dst);
      const VkFence fence = vkt_fence_create(t);

      vkt_submit(t, t->graphics, a,
                 &(struct vkt_syncs){.signals = {{there, 0}}, .signal_count = 1});
      vkt_bind(t, t->sparse, &(VkBindSparseInfo){0},
               &(struct vkt_syncs){.waits = {{there, 0}},
                                   .wait_count = 1,
                                   .signals = {{back, 0}},
                                   .signal_count = 1});
      vkt_submit(t, other_graphics_queue(t), b,
                 &(struct vkt_syncs){.waits = {{back, 0}}, .wait_count = 1, .fence = fence});
      vkt_fence_wait(t, fence);
      expect_all(&dst, round, "through a bind queue");
      vkDestroyFence(t->device, fence, NULL);
   }

   vkDestroySemaphore(t->device, there, NULL);
   vkDestroySemaphore(t->device, back, NULL);
   vkt_buffer_destroy(t, &src);
   vkt_buffer_destroy(t, &dst);
}

static void
fences(struct vkt *t)
{
   const VkFence fence = vkt_fence_create(t);

   for (uint32_t i = 0; i < t->queue_count; i++) {
      vkt_check(vkQueueSubmit(t->queues[i].queue, 0, NULL, fence));
      vkt_fence_wait(t, fence);
      vkt_check(vkResetFences(t->device, 1, &fence));
      vkt_expect(vkGetFenceStatus(t->device, fence) == VK_NOT_READY, "-");

      if (t->queues[i].flags & VK_QUEUE_SPARSE_BINDING_BIT) {
         vkt_check(vkQueueBindSparse(t->queues[i].queue, 0, NULL, fence));
         vkt_fence_wait(t, fence);
         vkt_check(vkResetFences(t->device, 1, &fence));
      }
      vkt_check(vkQueueWaitIdle(t->queues[i].queue));
   }
   vkt_expect(vkWaitForFences(t->device, 1, &fence, VK_TRUE, 1000000) == VK_TIMEOUT, "-");

   vkDestroyFence(t->device, fence, NULL);
}

static VkResult
wait_for(struct vkt *t, VkSemaphore semaphore, uint64_t value, VkSemaphoreWaitFlags flags,
         uint64_t timeout_ns)
{
   return vkWaitSemaphores(t->device,
                           &(VkSemaphoreWaitInfo){
                              .sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                              .flags = flags,
                              .semaphoreCount = 1,
                              .pSemaphores = &semaphore,
                              .pValues = &value,
                           },
                           timeout_ns);
}

/* One semaphore several times in a batch, and what waits for points that were passed over. */
static void
points_of_one_semaphore(struct vkt *t, struct vkt_queue *queue)
{
   const VkSemaphore timeline = vkt_semaphore_create(t, VK_SEMAPHORE_TYPE_TIMELINE);
   const VkFence fence = vkt_fence_create(t);

   vkt_expect(wait_for(t, timeline, 0, 0, 0) == VK_SUCCESS, "0 is reached from the start");
   vkt_expect(wait_for(t, timeline, 1, VK_SEMAPHORE_WAIT_ANY_BIT, 0) == VK_TIMEOUT, "-");
   for (uint64_t base = 0; base < 30; base += 10) {
      /* Before there is anything that signals. */
      vkt_sync(t, t->graphics == queue ? t->sparse : t->graphics,
               &(struct vkt_syncs){
                  .waits = {{timeline, base + 2}, {timeline, base + 7}, {timeline, base + 9}},
                  .wait_count = 3,
                  .fence = fence,
               });
      vkt_expect(vkGetFenceStatus(t->device, fence) == VK_NOT_READY, "-");
      vkt_sync(t, queue,
               &(struct vkt_syncs){
                  .signals = {{timeline, base + 3}, {timeline, base + 7}, {timeline, base + 9}},
                  .signal_count = 3,
               });
      vkt_fence_wait(t, fence);
      vkt_check(vkResetFences(t->device, 1, &fence));
      for (uint64_t value = base + 1; value <= base + 9; value++) {
         vkt_expect(wait_for(t, timeline, value, 0, 0) == VK_SUCCESS, "-");
         vkt_expect(wait_for(t, timeline, value, VK_SEMAPHORE_WAIT_ANY_BIT, 0) == VK_SUCCESS, "-");
      }
      vkt_expect(wait_for(t, timeline, base + 10, 0, 0) == VK_TIMEOUT, "-");
   }
   vkt_check(vkDeviceWaitIdle(t->device));

   vkDestroyFence(t->device, fence, NULL);
   vkDestroySemaphore(t->device, timeline, NULL);
}

/* From the host's one signal on: a batch for every queue, each of which another one waits for, and all of which
 * one waits for. */
static void
one_to_all(struct vkt *t)
{
   const VkSemaphore timeline = vkt_semaphore_create(t, VK_SEMAPHORE_TYPE_TIMELINE);
   const VkFence fence = vkt_fence_create(t);
   uint64_t value = 5;

   for (uint32_t round = 0; round < 20; round++) {
      for (uint32_t i = 0; i < t->queue_count; i++) {
         struct vkt_queue *queue = &t->queues[(i * 3 + round) % t->queue_count];
         const struct vkt_syncs syncs = {
            .waits = {{timeline, value}, {timeline, 5}},
            .wait_count = 2,
            .signals = {{timeline, value + 1 + i % 3}},
            .signal_count = 1,
         };

         if (queue->flags == VK_QUEUE_SPARSE_BINDING_BIT)
            vkt_bind(t, queue, &(VkBindSparseInfo){0}, &syncs);
         else
            vkt_submit(t, queue, NULL, &syncs);
         value = syncs.signals[0].value;
      }
   }
   vkt_submit(t, t->graphics, NULL,
              &(struct vkt_syncs){.waits = {{timeline, value}}, .wait_count = 1, .fence = fence});
   vkt_expect(counter_value(t, timeline) == 0, "-");
   vkt_check(vkSignalSemaphore(t->device, &(VkSemaphoreSignalInfo){
                                             .sType = VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO,
                                             .semaphore = timeline,
                                             .value = 5,
                                          }));
   vkt_fence_wait(t, fence);
   vkt_expect(counter_value(t, timeline) == value, "%llu",
              (unsigned long long)counter_value(t, timeline));
   vkt_check(vkDeviceWaitIdle(t->device));

   vkDestroyFence(t->device, fence, NULL);
   vkDestroySemaphore(t->device, timeline, NULL);
}

int
main(void)
{
   struct vkt t;

   vkt_init(&t);
   fences(&t);
   binary_semaphore_orders_queues(&t);
   wait_before_signal(&t);
   chain_submitted_backwards(&t);
   through_a_bind_queue_and_back(&t);
   /* The layer waits for points that are passed over, and says itself that it should not. */
   if (!getenv("VKT_VALIDATE")) {
      points_of_one_semaphore(&t, t.graphics);
      points_of_one_semaphore(&t, t.sparse);
   }
   one_to_all(&t);
   vkt_finish(&t);

   return 0;
}

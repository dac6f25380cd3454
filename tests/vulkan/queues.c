/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Queues: every family does what it says, all of them bind to one address space at once, a device
 * group of one, a device of one family, batches with nothing but syncs, and what is left when the
 * device is lost.
 */

#define _GNU_SOURCE
#include "vkt.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <pthread.h>

#include "write_buffer.comp.h"

#define BLOCK_B (64 * 1024u)
#define WORDS   1024

/* ----------------------------------------------------------- every family works */

static VkCommandPool
create_pool(struct vkt *t, const struct vkt_queue *queue)
{
   VkCommandPool pool;

   vkt_check(vkCreateCommandPool(t->device,
                                 &(VkCommandPoolCreateInfo){
                                    .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                    .queueFamilyIndex = queue->family,
                                 },
                                 NULL, &pool));
   return pool;
}

static void
run_in(struct vkt *t, struct vkt_queue *queue, VkCommandBuffer cmd)
{
   const VkFence fence = vkt_fence_create(t);

   vkt_submit(t, queue, cmd, &(struct vkt_syncs){.fence = fence});
   vkt_fence_wait(t, fence);
   vkDestroyFence(t->device, fence, NULL);
}

static void
every_queue_copies(struct vkt *t)
{
   struct vkt_buffer src = vkt_buffer_create(t, WORDS * 4), dst = vkt_buffer_create(t, WORDS * 4);

   for (uint32_t q = 0; q < t->queue_count; q++) {
      if (!(t->queues[q].flags & VK_QUEUE_TRANSFER_BIT))
         continue;

      const VkCommandPool pool = create_pool(t, &t->queues[q]);
      VkCommandBuffer cmd = vkt_begin_in(t, pool);
      vkCmdFillBuffer(cmd, src.buffer, 0, VK_WHOLE_SIZE, 100 + q);
      vkt_barrier(cmd);
      vkCmdCopyBuffer(cmd, src.buffer, dst.buffer, 1, &(VkBufferCopy){0, 0, src.size_B});
      vkt_barrier(cmd);
      run_in(t, &t->queues[q], cmd);
      for (unsigned i = 0; i < WORDS; i++)
         vkt_expect(((uint32_t *)dst.map)[i] == 100 + q, "queue %u, word %u", q, i);
      vkDestroyCommandPool(t->device, pool, NULL);
   }
   vkt_buffer_destroy(t, &src);
   vkt_buffer_destroy(t, &dst);
}

/* ----------------------------------------------------- all queues bind to one VM */

#define SHARE  8
#define ROUNDS 50

struct binder {
   struct vkt *t;
   struct vkt_queue *queue;
   VkBuffer buffer;
   VkDeviceMemory memory;
   uint32_t first;
};

static void *
bind_and_unbind(void *data)
{
   const struct binder *b = data;
   const VkFence fence = vkt_fence_create(b->t);

   /* An odd number of rounds: at the end all is bound, block i to block i. */
   for (unsigned round = 0; round <= 2 * ROUNDS; round++) {
      VkSparseMemoryBind binds[SHARE];
      for (unsigned i = 0; i < SHARE; i++) {
         binds[i] = (VkSparseMemoryBind){
            .resourceOffset = (VkDeviceSize)(b->first + i) * BLOCK_B,
            .size = BLOCK_B,
            .memory = round % 2 ? VK_NULL_HANDLE : b->memory,
            .memoryOffset = round % 2 ? 0 : (VkDeviceSize)(b->first + i) * BLOCK_B,
         };
      }
      const VkSparseBufferMemoryBindInfo info = {b->buffer, SHARE, binds};
      const bool last = round == 2 * ROUNDS;
      vkt_bind(b->t, b->queue,
               &(VkBindSparseInfo){.bufferBindCount = 1, .pBufferBinds = &info},
               &(struct vkt_syncs){.fence = last ? fence : VK_NULL_HANDLE});
   }
   vkt_fence_wait(b->t, fence);
   vkDestroyFence(b->t->device, fence, NULL);
   return NULL;
}

static void
all_queues_bind_at_once(struct vkt *t)
{
   struct binder binders[VKT_MAX_QUEUES];
   pthread_t threads[VKT_MAX_QUEUES];
   uint32_t *map, count = 0;

   const VkDeviceSize size_B = (VkDeviceSize)VKT_MAX_QUEUES * SHARE * BLOCK_B;
   const VkDeviceMemory memory = vkt_alloc(t, size_B, (void **)&map);
   const VkBuffer buffer = vkt_sparse_buffer_create(t, size_B, 0);
   for (uint32_t i = 0; i < size_B / 4; i++)
      map[i] = i;

   for (uint32_t q = 0; q < t->queue_count; q++) {
      if (!(t->queues[q].flags & VK_QUEUE_SPARSE_BINDING_BIT))
         continue;
      binders[count] = (struct binder){t, &t->queues[q], buffer, memory, count * SHARE};
      vkt_expect(!pthread_create(&threads[count], NULL, bind_and_unbind, &binders[count]), "-");
      count++;
   }
   vkt_expect(count >= 4, "%u queues bind", count);
   for (uint32_t i = 0; i < count; i++)
      pthread_join(threads[i], NULL);

   struct vkt_buffer out = vkt_buffer_create(t, size_B);
   VkCommandBuffer cmd = vkt_begin(t);
   vkCmdCopyBuffer(cmd, buffer, out.buffer, 1,
                   &(VkBufferCopy){0, 0, (VkDeviceSize)count * SHARE * BLOCK_B});
   vkt_barrier(cmd);
   vkt_run(t, cmd);
   for (uint32_t i = 0; i < count * SHARE * BLOCK_B / 4; i++)
      vkt_expect(((uint32_t *)out.map)[i] == i, "word %u is %u", i, ((uint32_t *)out.map)[i]);

   vkt_buffer_destroy(t, &out);
   vkDestroyBuffer(t->device, buffer, NULL);
   vkFreeMemory(t->device, memory, NULL);
}

/* ---------------------------------------------------------------- only syncs */

/* vkQueueWaitIdle is for the binds before it too, whatever the queue: "Queues". */
static void
wait_idle_waits_for_binds(struct vkt *t, struct vkt_queue *queue)
{
   const VkSemaphore timeline = vkt_semaphore_create(t, VK_SEMAPHORE_TYPE_TIMELINE);
   const VkDeviceMemory memory = vkt_alloc(t, 16 * BLOCK_B, NULL);
   const VkBuffer buffer = vkt_sparse_buffer_create(t, 16 * BLOCK_B, 0);

   for (uint64_t point = 1; point <= 20; point++) {
      const VkSparseMemoryBind bind = {.size = 16 * BLOCK_B, .memory = point % 2 ? memory : NULL};
      const VkSparseBufferMemoryBindInfo info = {buffer, 1, &bind};
      uint64_t value;

      vkt_bind(t, queue, &(VkBindSparseInfo){.bufferBindCount = 1, .pBufferBinds = &info},
               &(struct vkt_syncs){.signals = {{timeline, point}}, .signal_count = 1});
      vkt_check(vkQueueWaitIdle(queue->queue));
      vkt_check(vkGetSemaphoreCounterValue(t->device, timeline, &value));
      vkt_expect(value == point, "idle, and at %llu of %llu", (unsigned long long)value,
                 (unsigned long long)point);
   }

   vkDestroyBuffer(t->device, buffer, NULL);
   vkFreeMemory(t->device, memory, NULL);
   vkDestroySemaphore(t->device, timeline, NULL);
}

/* Each queue waits for the one after it, all submitted before the last one is let go: no thread may
 * be held up by another's wait. */
static void
waits_hold_nobody_up(struct vkt *t)
{
   const VkSemaphore never = vkt_semaphore_create(t, VK_SEMAPHORE_TYPE_TIMELINE);
   const VkFence fence = vkt_fence_create(t);

   /* Seven of eight queues wait for the host, and the eighth works, and memory comes and goes. */
   for (uint32_t free = 0; free < t->queue_count; free++) {
      const uint64_t point = free + 1;
      for (uint32_t q = 0; q < t->queue_count; q++) {
         const struct vkt_syncs syncs = {.waits = {{never, point}}, .wait_count = 1};
         if (q == free)
            continue;
         if (t->queues[q].flags & VK_QUEUE_TRANSFER_BIT)
            vkt_submit(t, &t->queues[q], NULL, &syncs);
         else
            vkt_bind(t, &t->queues[q], &(VkBindSparseInfo){0}, &syncs);
      }
      vkFreeMemory(t->device, vkt_alloc(t, 1 << 20, NULL), NULL);
      vkt_check(vkQueueSubmit(t->queues[free].queue, 0, NULL, fence));
      vkt_fence_wait(t, fence);
      vkt_check(vkResetFences(t->device, 1, &fence));
      vkt_check(vkSignalSemaphore(t->device, &(VkSemaphoreSignalInfo){
                                                .sType = VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO,
                                                .semaphore = never,
                                                .value = point,
                                             }));
   }
   vkt_check(vkDeviceWaitIdle(t->device));

   vkDestroyFence(t->device, fence, NULL);
   vkDestroySemaphore(t->device, never, NULL);
}

/* -------------------------------------------------------- a device group of one */

static void
group_of_one(struct vkt *t)
{
   VkPhysicalDeviceGroupProperties groups[4];
   uint32_t count = VKT_ARRAY_SIZE(groups);

   for (uint32_t i = 0; i < count; i++)
      groups[i] = (VkPhysicalDeviceGroupProperties){
         .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_GROUP_PROPERTIES};
   vkt_check(vkEnumeratePhysicalDeviceGroups(t->instance, &count, groups));
   vkt_expect(count == 1 && groups[0].physicalDeviceCount == 1, "%u groups", count);
   vkt_expect(groups[0].physicalDevices[0] == t->pdev, "another device");

   /* VkDeviceGroupBindSparseInfo: "resourceDeviceIndex", "memoryDeviceIndex". */
   uint32_t *map;
   const VkDeviceGroupBindSparseInfo group = {
      .sType = VK_STRUCTURE_TYPE_DEVICE_GROUP_BIND_SPARSE_INFO,
   };
   const VkDeviceMemory memory = vkt_alloc(t, BLOCK_B, (void **)&map);
   const VkBuffer buffer = vkt_sparse_buffer_create(t, BLOCK_B, 0);
   const VkSparseMemoryBind bind = {.size = BLOCK_B, .memory = memory};
   const VkSparseBufferMemoryBindInfo info = {buffer, 1, &bind};
   const VkFence fence = vkt_fence_create(t);
   vkt_check(vkQueueBindSparse(t->sparse->queue, 1,
                               &(VkBindSparseInfo){
                                  .sType = VK_STRUCTURE_TYPE_BIND_SPARSE_INFO,
                                  .pNext = &group,
                                  .bufferBindCount = 1,
                                  .pBufferBinds = &info,
                               },
                               fence));
   vkt_fence_wait(t, fence);

   VkCommandBuffer cmd = vkt_begin(t);
   vkCmdFillBuffer(cmd, buffer, 0, BLOCK_B, 0xabcdef);
   vkt_barrier(cmd);
   vkt_run(t, cmd);
   vkt_expect(map[0] == 0xabcdef && map[BLOCK_B / 4 - 1] == 0xabcdef, "-");

   vkDestroyFence(t->device, fence, NULL);
   vkDestroyBuffer(t->device, buffer, NULL);
   vkFreeMemory(t->device, memory, NULL);
}

/* -------------------------------------------------------------------- compute */

static void
compute_queues_dispatch(struct vkt *t)
{
   struct vkt_buffer out = vkt_buffer_create(t, WORDS * 4), seen = vkt_buffer_create(t, WORDS * 4);
   const struct vkt_binding bindings[] = {
      {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .buffer = out.buffer},
      {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .buffer = seen.buffer},
   };
   struct vkt_compute c = vkt_compute_create(t, write_buffer_comp, sizeof(write_buffer_comp),
                                             bindings, 2);

   for (uint32_t q = 0; q < t->queue_count; q++) {
      if (!(t->queues[q].flags & VK_QUEUE_COMPUTE_BIT))
         continue;
      const uint32_t value = 1000 * (q + 1);
      const VkCommandPool pool = create_pool(t, &t->queues[q]);
      VkCommandBuffer cmd = vkt_begin_in(t, pool);
      vkt_dispatch(t, cmd, &c, (uint32_t[4]){value, WORDS, 1}, WORDS / 64, 1, 1);
      vkt_barrier(cmd);
      run_in(t, &t->queues[q], cmd);
      for (uint32_t i = 0; i < WORDS; i++) {
         vkt_expect(((uint32_t *)seen.map)[i] == value + i, "queue %u, word %u", q, i);
         vkt_expect(((uint32_t *)out.map)[i] == value + i + 1, "queue %u, word %u", q, i);
      }
      vkDestroyCommandPool(t->device, pool, NULL);
   }
   vkt_compute_destroy(t, &c);
   vkt_buffer_destroy(t, &seen);
   vkt_buffer_destroy(t, &out);
}

/* ------------------------------------------------------------ a device of one family */

static VkDevice
create_device_of(struct vkt *t, uint32_t family)
{
   const VkPhysicalDeviceVulkan12Features features = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
      .hostQueryReset = VK_TRUE,
      .timelineSemaphore = VK_TRUE,
      .bufferDeviceAddress = VK_TRUE,
   };
   VkDevice device;

   vkt_check(vkCreateDevice(t->pdev,
                            &(VkDeviceCreateInfo){
                               .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                               .pNext = &features,
                               .queueCreateInfoCount = 1,
                               .pQueueCreateInfos =
                                  &(VkDeviceQueueCreateInfo){
                                     .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                     .queueFamilyIndex = family,
                                     .queueCount = 1,
                                     .pQueuePriorities = (float[]){1},
                                  },
                               .pEnabledFeatures = &t->features,
                            },
                            NULL, &device));
   return device;
}

/* A copy between two timestamps; then the host resets them ("Query Pools": what is unavailable is
 * not written, that it is so is). */
static void
copies_and_tells_when(struct vkt *t, struct vkt_queue *queue, VkBuffer src)
{
   struct vkt_buffer dst = vkt_buffer_create(t, WORDS * 4);
   const VkCommandPool pool = create_pool(t, queue);
   VkQueryPool queries;

   vkt_check(vkCreateQueryPool(t->device,
                               &(VkQueryPoolCreateInfo){
                                  .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
                                  .queryType = VK_QUERY_TYPE_TIMESTAMP,
                                  .queryCount = 2,
                               },
                               NULL, &queries));
   vkResetQueryPool(t->device, queries, 0, 2);

   VkCommandBuffer cmd = vkt_begin_in(t, pool);
   vkCmdWriteTimestamp(cmd, VK_PIPELINE_STAGE_TOP_OF_PIPE_BIT, queries, 0);
   vkCmdCopyBuffer(cmd, src, dst.buffer, 1, &(VkBufferCopy){0, 0, dst.size_B});
   vkCmdWriteTimestamp(cmd, VK_PIPELINE_STAGE_TRANSFER_BIT, queries, 1);
   vkt_barrier(cmd);
   run_in(t, queue, cmd);
   for (unsigned i = 0; i < WORDS; i++)
      vkt_expect(((uint32_t *)dst.map)[i] == i, "family %u, word %u", queue->family, i);

   const VkQueryResultFlags flags = VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WITH_AVAILABILITY_BIT;
   uint64_t when[2][2], again[2][2];
   vkt_check(vkGetQueryPoolResults(t->device, queries, 0, 2, sizeof(when), when, sizeof(when[0]),
                                   flags));
   vkt_expect(when[0][1] && when[1][1] && when[0][0] && when[0][0] <= when[1][0],
              "family %u: from %" PRIu64 " to %" PRIu64, queue->family, when[0][0], when[1][0]);

   memcpy(again, when, sizeof(when));
   vkResetQueryPool(t->device, queries, 0, 2);
   vkt_expect(vkGetQueryPoolResults(t->device, queries, 0, 2, sizeof(again), again,
                                    sizeof(again[0]), flags) == VK_NOT_READY,
              "family %u", queue->family);
   for (unsigned q = 0; q < 2; q++)
      vkt_expect(again[q][0] == when[q][0] && !again[q][1], "family %u", queue->family);

   vkDestroyQueryPool(t->device, queries, NULL);
   vkDestroyCommandPool(t->device, pool, NULL);
   vkt_buffer_destroy(t, &dst);
}

/* "Queue Creation": no family needs another's queue.  The device binds, if its queue can, and works,
 * if its queue can. */
static void
families_alone(struct vkt *t)
{
   for (uint32_t q = 0; q < t->queue_count; q++) {
      if (q && t->queues[q].family == t->queues[q - 1].family)
         continue;

      struct vkt alone = *t;
      struct vkt_queue *queue = &alone.queues[q];
      const bool binds = queue->flags & VK_QUEUE_SPARSE_BINDING_BIT;
      uint32_t *map;
      alone.device = create_device_of(t, queue->family);
      vkGetDeviceQueue(alone.device, queue->family, 0, &queue->queue);

      const VkDeviceMemory memory = vkt_alloc(&alone, BLOCK_B, (void **)&map);
      struct vkt_buffer plain = vkt_buffer_create(&alone, BLOCK_B);
      VkBuffer sparse = VK_NULL_HANDLE;
      for (unsigned i = 0; i < WORDS; i++)
         map[i] = ((uint32_t *)plain.map)[i] = i;
      if (binds) {
         const VkFence fence = vkt_fence_create(&alone);
         const VkSparseMemoryBind bind = {.size = BLOCK_B, .memory = memory};
         sparse = vkt_sparse_buffer_create(&alone, BLOCK_B, 0);
         const VkSparseBufferMemoryBindInfo info = {sparse, 1, &bind};
         vkt_bind(&alone, queue,
                  &(VkBindSparseInfo){.bufferBindCount = 1, .pBufferBinds = &info},
                  &(struct vkt_syncs){.fence = fence});
         vkt_fence_wait(&alone, fence);
         vkDestroyFence(alone.device, fence, NULL);
      }
      if (queue->flags & VK_QUEUE_TRANSFER_BIT)
         copies_and_tells_when(&alone, queue, binds ? sparse : plain.buffer);

      vkDestroyBuffer(alone.device, sparse, NULL);
      vkt_buffer_destroy(&alone, &plain);
      vkFreeMemory(alone.device, memory, NULL);
      vkDestroyDevice(alone.device, NULL);
   }
}

/* ----------------------------------------------------------------- device lost */

/* All queues wait for what nobody will signal, and then a bind goes wrong.  All who wait, wake; what
 * comes after says so; and the device can be destroyed. */
static void
loss_wakes_all(int (*set_fault)(const char *))
{
   struct vkt t;

   vkt_init(&t);
   const VkSemaphore never = vkt_semaphore_create(&t, VK_SEMAPHORE_TYPE_TIMELINE);
   const VkDeviceMemory memory = vkt_alloc(&t, BLOCK_B, NULL);
   const VkBuffer buffer = vkt_sparse_buffer_create(&t, BLOCK_B, 0);
   VkFence fences[VKT_MAX_QUEUES];

   for (uint32_t q = 0; q < t.queue_count; q++) {
      const struct vkt_syncs syncs = {
         .waits = {{never, 1}},
         .wait_count = 1,
         .fence = fences[q] = vkt_fence_create(&t),
      };
      if (&t.queues[q] == t.sparse)
         continue;
      for (unsigned i = 0; i < 2; i++) {
         const struct vkt_syncs s = i ? (struct vkt_syncs){.waits = {{never, 2}}, .wait_count = 1}
                                      : syncs;
         if (t.queues[q].flags & VK_QUEUE_TRANSFER_BIT)
            vkt_submit(&t, &t.queues[q], NULL, &s);
         else
            vkt_bind(&t, &t.queues[q], &(VkBindSparseInfo){0}, &s);
      }
   }

   vkt_expect(!set_fault(VKT_FAIL_NEXT_BIND), "-");
   const VkSparseMemoryBind bind = {.size = BLOCK_B, .memory = memory};
   const VkSparseBufferMemoryBindInfo info = {buffer, 1, &bind};
   const VkSemaphore binary = vkt_semaphore_create(&t, VK_SEMAPHORE_TYPE_BINARY);
   vkt_bind(&t, t.sparse, &(VkBindSparseInfo){.bufferBindCount = 1, .pBufferBinds = &info},
            &(struct vkt_syncs){.signals = {{binary, 0}}, .signal_count = 1,
                                .fence = fences[t.sparse - t.queues]});

   /* "Lost Device": waits return in finite time, with VK_SUCCESS or VK_ERROR_DEVICE_LOST. */
   for (uint32_t q = 0; q < t.queue_count; q++) {
      const VkResult result = vkWaitForFences(t.device, 1, &fences[q], VK_TRUE, UINT64_MAX);
      vkt_expect(result == VK_SUCCESS || result == VK_ERROR_DEVICE_LOST, "queue %u: %d", q, result);
   }
   const uint64_t value = 1;
   VkResult result = vkWaitSemaphores(t.device,
                                      &(VkSemaphoreWaitInfo){
                                         .sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                                         .semaphoreCount = 1,
                                         .pSemaphores = &never,
                                         .pValues = &value,
                                      },
                                      UINT64_MAX);
   vkt_expect(result == VK_ERROR_DEVICE_LOST, "%d", result);
   vkt_expect(vkQueueSubmit(t.graphics->queue, 0, NULL, VK_NULL_HANDLE) == VK_ERROR_DEVICE_LOST,
              "a lost device takes batches");
   vkt_expect(vkDeviceWaitIdle(t.device) == VK_ERROR_DEVICE_LOST, "-");
   set_fault(NULL);

   for (uint32_t q = 0; q < t.queue_count; q++)
      vkDestroyFence(t.device, fences[q], NULL);
   vkDestroySemaphore(t.device, never, NULL);
   vkDestroySemaphore(t.device, binary, NULL);
   vkDestroyBuffer(t.device, buffer, NULL);
   vkFreeMemory(t.device, memory, NULL);
   vkDestroyCommandPool(t.device, t.pool, NULL);
   vkDestroyDevice(t.device, NULL);
   vkDestroyInstance(t.instance, NULL);
}

int
main(void)
{
   struct vkt t;

   vkt_init(&t);
   every_queue_copies(&t);
   compute_queues_dispatch(&t);
   all_queues_bind_at_once(&t);
   wait_idle_waits_for_binds(&t, t.graphics);
   wait_idle_waits_for_binds(&t, t.sparse);
   waits_hold_nobody_up(&t);
   group_of_one(&t);
   families_alone(&t);
   vkt_finish(&t);

   /* Only the simulator can be told to fail; and a lost device is nothing for the layer. */
   int (*set_fault)(const char *) = dlsym(RTLD_DEFAULT, "drm_sim_set_fault");
   if (set_fault && !getenv("VKT_VALIDATE")) {
      for (unsigned i = 0; i < 3; i++)
         loss_wakes_all(set_fault);
   }

   return 0;
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What a bind costs the application: vkQueueBindSparse with 4096 blocks of an image in one call, a
 * thousand calls of one page, chains of binds and signals.  Plain Vulkan; which driver it runs on is
 * the caller's choice.  With bench_calls.c in front of it, it also says how much of the time was the
 * kernel's, and how many ioctls there were.
 *
 * Writes one JSON object a row.
 */

#define _GNU_SOURCE

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <vulkan/vulkan.h>

#include "bench_calls.h"

#define BLOCK_B   (64 * 1024ull)
#define BLOCK_PX  128u
#define SIDE      64u
#define BLOCKS    (SIDE * SIDE)
#define CALLS     1000u
#define ROUNDS    15
#define BATCH_MAX 16

#define check(call)                                                                                \
   do {                                                                                            \
      const VkResult result_ = (call);                                                             \
      if (result_ != VK_SUCCESS) {                                                                 \
         fprintf(stderr, "%s: %d\n", #call, result_);                                              \
         exit(1);                                                                                  \
      }                                                                                            \
   } while (0)

struct bench {
   VkInstance instance;
   VkDevice device;
   VkQueue queue;
   VkImage image;
   VkDeviceMemory memory;
   VkSemaphore timeline;
   uint64_t point;
   /** Which block of memory goes to which block of the image, and in which order. */
   VkSparseImageMemoryBind binds[BLOCKS];
};

static PFN_bench_calls_get calls_get;

/* -------------------------------------------------------------------- set-up */

static uint32_t
sparse_family(VkPhysicalDevice pdev)
{
   VkQueueFamilyProperties families[8];
   uint32_t count = 8;

   vkGetPhysicalDeviceQueueFamilyProperties(pdev, &count, families);
   /* The last one: where there is a family for binds alone it stands behind. */
   for (uint32_t f = count; f-- > 0;) {
      if (families[f].queueFlags & VK_QUEUE_SPARSE_BINDING_BIT)
         return f;
   }
   fprintf(stderr, "no sparse queue\n");
   exit(1);
}

/* The same blocks on every driver */
static void
allocate(struct bench *b)
{
   VkSparseImageMemoryRequirements sparse;
   VkMemoryRequirements needs;
   uint32_t count = 1;

   vkGetImageMemoryRequirements(b->device, b->image, &needs);
   vkGetImageSparseMemoryRequirements(b->device, b->image, &count, &sparse);
   if (needs.alignment != BLOCK_B || sparse.formatProperties.imageGranularity.width != BLOCK_PX ||
       sparse.formatProperties.imageGranularity.height != BLOCK_PX) {
      fprintf(stderr, "no blocks of %u x %u texels in 64 KiB\n", BLOCK_PX, BLOCK_PX);
      exit(1);
   }
   check(vkAllocateMemory(b->device,
                          &(VkMemoryAllocateInfo){
                             .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                             .allocationSize = BLOCKS * BLOCK_B,
                             .memoryTypeIndex = ffs(needs.memoryTypeBits) - 1,
                          },
                          NULL, &b->memory));
}

static void
init(struct bench *b)
{
   const VkApplicationInfo app = {
      .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
      .apiVersion = VK_API_VERSION_1_2,
   };
   const float priority = 1.0f;
   VkPhysicalDevice pdev;
   uint32_t count = 1;

   check(vkCreateInstance(&(VkInstanceCreateInfo){.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                                  .pApplicationInfo = &app},
                          NULL, &b->instance));
   check(vkEnumeratePhysicalDevices(b->instance, &count, &pdev));
   const VkDeviceQueueCreateInfo queue = {
      .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
      .queueFamilyIndex = sparse_family(pdev),
      .queueCount = 1,
      .pQueuePriorities = &priority,
   };
   const VkPhysicalDeviceVulkan12Features features12 = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
      .timelineSemaphore = VK_TRUE,
   };
   check(vkCreateDevice(pdev,
                        &(VkDeviceCreateInfo){
                           .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                           .pNext = &features12,
                           .queueCreateInfoCount = 1,
                           .pQueueCreateInfos = &queue,
                           .pEnabledFeatures =
                              &(VkPhysicalDeviceFeatures){
                                 .sparseBinding = VK_TRUE,
                                 .sparseResidencyImage2D = VK_TRUE,
                              },
                        },
                        NULL, &b->device));
   vkGetDeviceQueue(b->device, queue.queueFamilyIndex, 0, &b->queue);

   const VkSemaphoreTypeCreateInfo timeline = {
      .sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
      .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE,
   };
   check(vkCreateSemaphore(b->device,
                           &(VkSemaphoreCreateInfo){
                              .sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO,
                              .pNext = &timeline,
                           },
                           NULL, &b->timeline));
   check(vkCreateImage(b->device,
                       &(VkImageCreateInfo){
                          .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
                          .flags = VK_IMAGE_CREATE_SPARSE_BINDING_BIT |
                                   VK_IMAGE_CREATE_SPARSE_RESIDENCY_BIT,
                          .imageType = VK_IMAGE_TYPE_2D,
                          .format = VK_FORMAT_R8G8B8A8_UNORM,
                          .extent = {SIDE * BLOCK_PX, SIDE * BLOCK_PX, 1},
                          .mipLevels = 1,
                          .arrayLayers = 1,
                          .samples = VK_SAMPLE_COUNT_1_BIT,
                          .usage = VK_IMAGE_USAGE_SAMPLED_BIT,
                       },
                       NULL, &b->image));
   allocate(b);
}

static void
finish(struct bench *b)
{
   vkDestroyImage(b->device, b->image, NULL);
   vkFreeMemory(b->device, b->memory, NULL);
   vkDestroySemaphore(b->device, b->timeline, NULL);
   vkDestroyDevice(b->device, NULL);
   vkDestroyInstance(b->instance, NULL);
}

static VkSparseImageMemoryBind
bind_of(const struct bench *b, uint32_t block, uint32_t mem_block)
{
   return (VkSparseImageMemoryBind){
      .subresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0},
      .offset = {block % SIDE * BLOCK_PX, block / SIDE * BLOCK_PX, 0},
      .extent = {BLOCK_PX, BLOCK_PX, 1},
      .memory = mem_block == UINT32_MAX ? VK_NULL_HANDLE : b->memory,
      .memoryOffset = mem_block == UINT32_MAX ? 0 : mem_block * BLOCK_B,
   };
}

/* A permutation that leaves nothing where it was and no two together. */
static uint32_t
shuffled(uint32_t i)
{
   return i * 1597 % BLOCKS;
}

/* ------------------------------------------------------------------- a batch */

static void
wait_all(struct bench *b)
{
   check(vkWaitSemaphores(b->device,
                          &(VkSemaphoreWaitInfo){
                             .sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                             .semaphoreCount = 1,
                             .pSemaphores = &b->timeline,
                             .pValues = &b->point,
                          },
                          UINT64_MAX));
}

/* Signals the timeline's next point; waits for the last one if it is to be a chain. */
static void
submit(struct bench *b, const VkSparseImageMemoryBind *binds, uint32_t count, bool chain)
{
   const VkSparseImageMemoryBindInfo image = {b->image, count, binds};
   const uint64_t wait = b->point, signal = ++b->point;
   const VkTimelineSemaphoreSubmitInfo values = {
      .sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
      .waitSemaphoreValueCount = chain,
      .pWaitSemaphoreValues = &wait,
      .signalSemaphoreValueCount = 1,
      .pSignalSemaphoreValues = &signal,
   };

   check(vkQueueBindSparse(b->queue, 1,
                           &(VkBindSparseInfo){
                              .sType = VK_STRUCTURE_TYPE_BIND_SPARSE_INFO,
                              .pNext = &values,
                              .waitSemaphoreCount = chain,
                              .pWaitSemaphores = &b->timeline,
                              .imageBindCount = 1,
                              .pImageBinds = &image,
                              .signalSemaphoreCount = 1,
                              .pSignalSemaphores = &b->timeline,
                           },
                           VK_NULL_HANDLE));
}

static void
unbind_all(struct bench *b)
{
   for (uint32_t i = 0; i < BLOCKS; i++)
      b->binds[i] = bind_of(b, i, UINT32_MAX);
   submit(b, b->binds, BLOCKS, false);
   wait_all(b);
}

/* ---------------------------------------------------------------- the patterns */

static void
prepare_rows(struct bench *b)
{
   for (uint32_t i = 0; i < BLOCKS; i++)
      b->binds[i] = bind_of(b, i, i);
}

static void
prepare_any_order(struct bench *b)
{
   for (uint32_t i = 0; i < BLOCKS; i++)
      b->binds[i] = bind_of(b, shuffled(i), shuffled(i));
}

static void
prepare_scattered(struct bench *b)
{
   for (uint32_t i = 0; i < BLOCKS; i++)
      b->binds[i] = bind_of(b, i, shuffled(i));
}

static void
one_call(struct bench *b)
{
   submit(b, b->binds, BLOCKS, false);
   wait_all(b);
}

static void
calls(struct bench *b)
{
   for (uint32_t i = 0; i < CALLS; i++)
      submit(b, &b->binds[i], 1, false);
   wait_all(b);
}

static void
calls_each_waited_for(struct bench *b)
{
   for (uint32_t i = 0; i < CALLS; i++) {
      submit(b, &b->binds[i], 1, false);
      wait_all(b);
   }
}

static void
chain(struct bench *b)
{
   for (uint32_t i = 0; i < CALLS; i++)
      submit(b, &b->binds[i], 1, true);
   wait_all(b);
}

static void
chain_of_batches(struct bench *b)
{
   for (uint32_t i = 0; i < BLOCKS / BATCH_MAX; i++)
      submit(b, &b->binds[i * BATCH_MAX], BATCH_MAX, true);
   wait_all(b);
}

static const struct {
   const char *name;
   void (*prepare)(struct bench *b);
   void (*run)(struct bench *b);
   uint32_t binds, batches;
} patterns[] = {
   {"4096 blocks in a call, row by row", prepare_rows, one_call, BLOCKS, 1},
   {"4096 blocks in a call, any order", prepare_any_order, one_call, BLOCKS, 1},
   {"4096 blocks in a call, scattered memory", prepare_scattered, one_call, BLOCKS, 1},
   {"1000 calls of one page", prepare_scattered, calls, CALLS, CALLS},
   {"1000 calls, each waited for", prepare_scattered, calls_each_waited_for, CALLS, CALLS},
   {"bind, signal, 1000 times", prepare_scattered, chain, CALLS, CALLS},
   {"16 binds, signal, 256 times", prepare_scattered, chain_of_batches, BLOCKS,
    BLOCKS / BATCH_MAX},
};

/* ---------------------------------------------------------------- measurement */

static int64_t
now_ns(clockid_t clock)
{
   struct timespec t;

   clock_gettime(clock, &t);
   return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static int
compare(const void *a, const void *b)
{
   const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

   return (x > y) - (x < y);
}

/* The least: what else a machine does only adds. */
static double
least_us(int64_t *ns)
{
   qsort(ns, ROUNDS, sizeof(*ns), compare);
   return ns[0] / 1e3;
}

static void
measure(struct bench *b, unsigned p)
{
   int64_t wall[ROUNDS], own[ROUNDS], kernel[ROUNDS];
   struct bench_calls before = {0}, after = {0};

   for (unsigned round = 0; round < ROUNDS; round++) {
      unbind_all(b);
      patterns[p].prepare(b);
      if (calls_get)
         calls_get(&before);
      const int64_t wall_ns = now_ns(CLOCK_MONOTONIC), cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID);
      patterns[p].run(b);
      const int64_t all_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns;
      wall[round] = now_ns(CLOCK_MONOTONIC) - wall_ns;
      if (calls_get)
         calls_get(&after);
      kernel[round] = after.kernel_ns - before.kernel_ns;
      own[round] = calls_get ? after.own_ns - before.own_ns : all_ns;
   }

   const double batches = patterns[p].batches, binds = patterns[p].binds;
   printf("{\"pattern\": \"%s\", \"binds\": %u, \"calls\": %u, \"us_a_bind\": %.4f, "
          "\"own_us_a_bind\": %.4f, \"kernel_us_a_bind\": %.4f, \"operations_a_call\": %.3f, "
          "\"bind_ioctls_a_call\": %.3f, \"other_ioctls_a_call\": %.3f, \"mmaps_a_call\": %.3f}\n",
          patterns[p].name, patterns[p].binds, patterns[p].batches, least_us(wall) / binds,
          least_us(own) / binds, least_us(kernel) / binds,
          (after.operations - before.operations) / batches,
          (after.bind_ioctls - before.bind_ioctls) / batches,
          (after.other_ioctls - before.other_ioctls) / batches,
          (after.mmaps - before.mmaps) / batches);
   fflush(stdout);
}

/* With an argument: only the patterns whose names it is part of. */
int
main(int argc, char **argv)
{
   static struct bench b;

   calls_get = (PFN_bench_calls_get)dlsym(RTLD_DEFAULT, "bench_calls_get");
   init(&b);
   for (unsigned p = 0; p < sizeof(patterns) / sizeof(patterns[0]); p++) {
      if (argc < 2 || strstr(patterns[p].name, argv[1]))
         measure(&b, p);
   }
   unbind_all(&b);
   finish(&b);

   return 0;
}

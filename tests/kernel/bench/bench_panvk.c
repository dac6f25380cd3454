/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What the same binds cost through a Vulkan driver, loaded by its file's name without a loader: from
 * vkQueueBindSparse to the signaled fence.  Must not know which driver it is, nor of vmbind.
 */

#define VK_NO_PROTOTYPES
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <vulkan/vulkan_core.h>

#include "cost.h"
#include "ioctls.h"

#define FUNCTIONS(F)                                                                              \
   F(CreateInstance)                                                                              \
   F(EnumeratePhysicalDevices)                                                                    \
   F(GetPhysicalDeviceProperties)                                                                 \
   F(GetPhysicalDeviceFeatures)                                                                   \
   F(GetPhysicalDeviceQueueFamilyProperties)                                                      \
   F(CreateDevice)                                                                                \
   F(GetDeviceQueue)                                                                              \
   F(CreateBuffer)                                                                                \
   F(GetBufferMemoryRequirements)                                                                 \
   F(AllocateMemory)                                                                              \
   F(FreeMemory)                                                                                  \
   F(DestroyBuffer)                                                                               \
   F(CreateFence)                                                                                 \
   F(WaitForFences)                                                                               \
   F(ResetFences)                                                                                 \
   F(DestroyFence)                                                                                \
   F(QueueBindSparse)                                                                             \
   F(DestroyDevice)                                                                               \
   F(DestroyInstance)

#define DECLARE(name) static PFN_vk##name vk##name;
FUNCTIONS(DECLARE)

#define CHECK(call)                                                                               \
   do {                                                                                           \
      const VkResult result_ = (call);                                                            \
      if (result_) {                                                                              \
         fprintf(stderr, "%s: %d\n", #call, result_);                                             \
         exit(1);                                                                                 \
      }                                                                                           \
   } while (0)

static struct {
   VkInstance instance;
   VkPhysicalDevice physical;
   VkDevice device;
   VkQueue queue;
   VkFence fence;
   VkDeviceMemory memory;
   VkBufferCreateFlags flags;
   VkSparseMemoryBind *binds, *unbinds;
} vk;

static void
load_driver(const char *path)
{
   const VkApplicationInfo app = { VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                   .apiVersion = VK_API_VERSION_1_1 };
   const VkInstanceCreateInfo info = { VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                       .pApplicationInfo = &app };
   void *driver = dlopen(path, RTLD_NOW);

   if (!driver) {
      fprintf(stderr, "%s\n", dlerror());
      exit(1);
   }
   VkResult (*negotiate)(uint32_t *) = dlsym(driver, "vk_icdNegotiateLoaderICDInterfaceVersion");
   PFN_vkGetInstanceProcAddr get = dlsym(driver, "vk_icdGetInstanceProcAddr");
   uint32_t version = 5;

   negotiate(&version);
   vkCreateInstance = (PFN_vkCreateInstance)get(NULL, "vkCreateInstance");
   CHECK(vkCreateInstance(&info, NULL, &vk.instance));
#define LOAD(name) vk##name = (PFN_vk##name)get(vk.instance, "vk" #name);
   vkCreateInstance = NULL;
   FUNCTIONS(LOAD)
}

/* Of the queues that bind, the one that does nothing else if there is one. */
static uint32_t
choose_family(void)
{
   VkQueueFamilyProperties families[8];
   uint32_t count = 8, chosen = UINT32_MAX;

   vkGetPhysicalDeviceQueueFamilyProperties(vk.physical, &count, families);
   for (uint32_t i = 0; i < count; i++)
      if (families[i].queueFlags & VK_QUEUE_SPARSE_BINDING_BIT)
         chosen = i;
   return chosen;
}

static bool
create_device(void)
{
   VkPhysicalDeviceProperties properties;
   VkPhysicalDeviceFeatures has;
   uint32_t count = 1;
   const float priority = 1;

   if (vkEnumeratePhysicalDevices(vk.instance, &count, &vk.physical) < 0 || !count) {
      printf("# no device\n");
      return false;
   }
   vkGetPhysicalDeviceProperties(vk.physical, &properties);
   vkGetPhysicalDeviceFeatures(vk.physical, &has);
   printf("# %s, driver %u.%u.%u, residency of buffers: %s\n", properties.deviceName,
          VK_VERSION_MAJOR(properties.driverVersion), VK_VERSION_MINOR(properties.driverVersion),
          VK_VERSION_PATCH(properties.driverVersion), has.sparseResidencyBuffer ? "yes" : "no");
   const uint32_t family = choose_family();
   if (!has.sparseBinding || family == UINT32_MAX) {
      printf("# it does not bind on this kernel\n");
      return false;
   }
   vk.flags = VK_BUFFER_CREATE_SPARSE_BINDING_BIT |
              (has.sparseResidencyBuffer ? VK_BUFFER_CREATE_SPARSE_RESIDENCY_BIT : 0);
   const VkPhysicalDeviceFeatures wanted = {
      .sparseBinding = true, .sparseResidencyBuffer = has.sparseResidencyBuffer };
   const VkDeviceQueueCreateInfo queue = {
      VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
      .queueFamilyIndex = family,
      .queueCount = 1,
      .pQueuePriorities = &priority,
   };
   const VkDeviceCreateInfo info = {
      VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
      .queueCreateInfoCount = 1,
      .pQueueCreateInfos = &queue,
      .pEnabledFeatures = &wanted,
   };
   CHECK(vkCreateDevice(vk.physical, &info, NULL, &vk.device));
   vkGetDeviceQueue(vk.device, family, 0, &vk.queue);
   const VkFenceCreateInfo fence = { .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO };
   CHECK(vkCreateFence(vk.device, &fence, NULL, &vk.fence));
   return true;
}

static VkBuffer
create_resource(unsigned pages)
{
   const VkBufferCreateInfo info = {
      VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
      .flags = vk.flags,
      .size = 2 * pages * COST_PAGE_B,
      .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT,
   };
   VkBuffer buffer;

   CHECK(vkCreateBuffer(vk.device, &info, NULL, &buffer));
   return buffer;
}

static void
allocate_memory(void)
{
   const unsigned pages = cost_sizes[COST_SIZES - 1];
   VkBuffer buffer = create_resource(pages);
   VkMemoryRequirements needs;

   vkGetBufferMemoryRequirements(vk.device, buffer, &needs);
   vkDestroyBuffer(vk.device, buffer, NULL);
   const VkMemoryAllocateInfo info = {
      VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
      .allocationSize = pages * COST_PAGE_B,
      .memoryTypeIndex = __builtin_ctz(needs.memoryTypeBits),
   };
   CHECK(vkAllocateMemory(vk.device, &info, NULL, &vk.memory));
   vk.binds = calloc(pages, sizeof(*vk.binds));
   vk.unbinds = calloc(pages, sizeof(*vk.unbinds));
}

static void
fill_binds(VkSparseMemoryBind *binds, unsigned pages, enum cost_pattern pattern, bool unbind)
{
   for (unsigned i = 0; i < pages; i++) {
      unsigned page, memory_page;

      cost_request(pattern, pages, i, &page, &memory_page);
      binds[i] = (VkSparseMemoryBind){
         .resourceOffset = page * COST_PAGE_B,
         .size = COST_PAGE_B,
         .memory = unbind ? VK_NULL_HANDLE : vk.memory,
         .memoryOffset = unbind ? 0 : memory_page * COST_PAGE_B,
      };
   }
}

static void
bind_and_wait(VkBuffer buffer, const VkSparseMemoryBind *binds, unsigned count)
{
   const VkSparseBufferMemoryBindInfo buffer_info = { buffer, count, binds };
   const VkBindSparseInfo info = {
      VK_STRUCTURE_TYPE_BIND_SPARSE_INFO,
      .bufferBindCount = 1,
      .pBufferBinds = &buffer_info,
   };

   CHECK(vkQueueBindSparse(vk.queue, 1, &info, vk.fence));
   CHECK(vkWaitForFences(vk.device, 1, &vk.fence, VK_TRUE, UINT64_MAX));
}

static void
measure(VkBuffer buffer, unsigned pages, enum cost_pattern pattern, bool unbind, struct best *best)
{
   fill_binds(vk.binds, pages, pattern, unbind);
   const struct cost from = cost_now();
   bind_and_wait(buffer, vk.binds, pages);
   best_add(best, from, cost_now());
   CHECK(vkResetFences(vk.device, 1, &vk.fence));
}

static void
measure_cycle(unsigned pages, struct best *best)
{
   fill_binds(vk.binds, pages, COST_IN_ORDER, false);
   fill_binds(vk.unbinds, pages, COST_IN_ORDER, true);
   const struct cost from = cost_now();
   VkBuffer buffer = create_resource(pages);

   bind_and_wait(buffer, vk.binds, pages);
   CHECK(vkResetFences(vk.device, 1, &vk.fence));
   bind_and_wait(buffer, vk.unbinds, pages);
   vkDestroyBuffer(vk.device, buffer, NULL);
   best_add(best, from, cost_now());
   CHECK(vkResetFences(vk.device, 1, &vk.fence));
}

static void
bench(unsigned pages)
{
   struct best in_order = { 0 }, shuffled = { 0 }, again = { 0 }, scattered = { 0 }, unbind = { 0 },
               cycle = { 0 };

   for (unsigned i = 0; i < COST_REPEAT; i++) {
      VkBuffer buffer = create_resource(pages);

      measure(buffer, pages, COST_IN_ORDER, false, &in_order);
      measure(buffer, pages, COST_IN_ORDER, true, &unbind);
      measure(buffer, pages, COST_SHUFFLED, false, &shuffled);
      measure(buffer, pages, COST_SHUFFLED, false, &again);
      vkDestroyBuffer(vk.device, buffer, NULL);
      buffer = create_resource(pages);
      measure(buffer, pages, COST_SCATTERED, false, &scattered);
      vkDestroyBuffer(vk.device, buffer, NULL);
      measure_cycle(pages, &cycle);
      if (i == COST_REPEAT - 1)
         ioctls_start();
      measure_cycle(pages, &cycle);
      if (i == COST_REPEAT - 1)
         ioctls_print("panvk", "cycle", pages);
   }
   best_print(&in_order, "panvk", "in-order", pages);
   best_print(&shuffled, "panvk", "shuffled", pages);
   best_print(&scattered, "panvk", "scattered", pages);
   best_print(&again, "panvk", "again", pages);
   best_print(&unbind, "panvk", "unbind", pages);
   best_print(&cycle, "panvk", "cycle", pages);
   /* GPU work changes nothing here. */
   best_print(&cycle, "panvk", "used-cycle", pages);
}

int
main(int argc, char **argv)
{
   setvbuf(stdout, NULL, _IOLBF, 0);
   if (argc != 2) {
      fprintf(stderr, "usage: bench-panvk DRIVER\n");
      return 2;
   }
   load_driver(argv[1]);
   cost_init();
   if (create_device()) {
      allocate_memory();
      for (unsigned i = 0; i < COST_SIZES; i++)
         bench(cost_sizes[i]);
      vkFreeMemory(vk.device, vk.memory, NULL);
      free(vk.binds);
      free(vk.unbinds);
      vkDestroyFence(vk.device, vk.fence, NULL);
      vkDestroyDevice(vk.device, NULL);
   }
   vkDestroyInstance(vk.instance, NULL);
   return 0;
}

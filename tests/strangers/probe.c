/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * How far a Vulkan driver that is not ours gets on the simulated node: enumerate, create a device,
 * allocate and map memory, bind it, bind sparsely. Says each step on stdout; exit status 0 if all
 * went well that the driver claims to have. The driver is the loader's choice. Must know nothing of
 * vmbind.
 *
 * usage: probe [BUFFER_MIB [ROUNDS]]    the last binds and unbinds each 64 KiB of a sparse buffer
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <vulkan/vulkan.h>

#define BLOCK_B 65536ull
#define MIB     (1024ull * 1024)

struct probe {
   VkInstance instance;
   VkPhysicalDevice physical;
   VkDevice device;
   VkQueue queue;
   uint32_t family;
   bool has_sparse;
   VkDeviceMemory memory;
};

static bool
step(const char *name, VkResult result)
{
   printf("%-28s %s\n", name, result == VK_SUCCESS ? "ok" : "FAILED");
   if (result != VK_SUCCESS)
      printf("   VkResult %d\n", result);
   fflush(stdout);
   return result == VK_SUCCESS;
}

static bool
enumerate(struct probe *probe)
{
   const VkApplicationInfo app = {
      .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
      .apiVersion = VK_API_VERSION_1_1,
   };
   const VkInstanceCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
      .pApplicationInfo = &app,
   };
   VkPhysicalDeviceProperties properties;
   uint32_t count = 1;

   if (!step("vkCreateInstance", vkCreateInstance(&info, NULL, &probe->instance)))
      return false;
   VkResult result = vkEnumeratePhysicalDevices(probe->instance, &count, &probe->physical);
   if (result == VK_INCOMPLETE)
      result = VK_SUCCESS;
   if (result == VK_SUCCESS && count == 0)
      result = VK_ERROR_INITIALIZATION_FAILED;
   if (!step("vkEnumeratePhysicalDevices", result))
      return false;
   vkGetPhysicalDeviceProperties(probe->physical, &properties);
   printf("   %s\n", properties.deviceName);
   return true;
}

static void
choose_family(struct probe *probe)
{
   VkQueueFamilyProperties families[16];
   VkPhysicalDeviceFeatures features;
   uint32_t count = 16;

   vkGetPhysicalDeviceFeatures(probe->physical, &features);
   vkGetPhysicalDeviceQueueFamilyProperties(probe->physical, &count, families);
   probe->family = 0;
   for (uint32_t i = count; i > 0; i--) {
      if (features.sparseBinding && (families[i - 1].queueFlags & VK_QUEUE_SPARSE_BINDING_BIT)) {
         probe->family = i - 1;
         probe->has_sparse = true;
      }
   }
}

static bool
create_device(struct probe *probe)
{
   const float priority = 1.0f;

   choose_family(probe);
   const VkDeviceQueueCreateInfo queue = {
      .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
      .queueFamilyIndex = probe->family,
      .queueCount = 1,
      .pQueuePriorities = &priority,
   };
   const VkPhysicalDeviceFeatures features = {.sparseBinding = probe->has_sparse};
   const VkDeviceCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
      .queueCreateInfoCount = 1,
      .pQueueCreateInfos = &queue,
      .pEnabledFeatures = &features,
   };

   if (!step("vkCreateDevice", vkCreateDevice(probe->physical, &info, NULL, &probe->device)))
      return false;
   vkGetDeviceQueue(probe->device, probe->family, 0, &probe->queue);
   return true;
}

static uint32_t
mappable_type(const struct probe *probe, uint32_t allowed)
{
   VkPhysicalDeviceMemoryProperties memory;

   vkGetPhysicalDeviceMemoryProperties(probe->physical, &memory);
   for (uint32_t i = 0; i < memory.memoryTypeCount; i++) {
      if ((allowed >> i & 1) &&
          (memory.memoryTypes[i].propertyFlags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT))
         return i;
   }
   return 0;
}

static VkResult
create_buffer(const struct probe *probe, uint64_t size_B, VkBufferCreateFlags flags, VkBuffer *buffer)
{
   const VkBufferCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
      .flags = flags,
      .size = size_B,
      .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT,
   };
   return vkCreateBuffer(probe->device, &info, NULL, buffer);
}

static bool
allocate(struct probe *probe)
{
   VkMemoryRequirements needs;
   VkBuffer buffer;
   void *map;

   if (!step("vkCreateBuffer", create_buffer(probe, MIB, 0, &buffer)))
      return false;
   vkGetBufferMemoryRequirements(probe->device, buffer, &needs);
   const VkMemoryAllocateInfo info = {
      .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
      .allocationSize = needs.size,
      .memoryTypeIndex = mappable_type(probe, needs.memoryTypeBits),
   };
   if (!step("vkAllocateMemory", vkAllocateMemory(probe->device, &info, NULL, &probe->memory)))
      return false;
   if (!step("vkMapMemory",
             vkMapMemory(probe->device, probe->memory, 0, VK_WHOLE_SIZE, 0, &map)))
      return false;
   memset(map, 0x5a, needs.size);
   vkUnmapMemory(probe->device, probe->memory);
   bool ok = step("vkBindBufferMemory",
                  vkBindBufferMemory(probe->device, buffer, probe->memory, 0));
   vkDestroyBuffer(probe->device, buffer, NULL);
   return ok;
}

static bool
submit_nothing(struct probe *probe)
{
   const VkFenceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
   VkFence fence;

   if (!step("vkCreateFence", vkCreateFence(probe->device, &info, NULL, &fence)))
      return false;
   VkResult result = vkQueueSubmit(probe->queue, 0, NULL, fence);
   if (result == VK_SUCCESS)
      result = vkWaitForFences(probe->device, 1, &fence, VK_TRUE, 60ull * 1000000000);
   vkDestroyFence(probe->device, fence, NULL);
   return step("vkQueueSubmit of a fence", result);
}

static VkResult
bind_blocks(struct probe *probe, VkBuffer buffer, uint32_t count, VkDeviceMemory memory, VkFence fence)
{
   VkSparseMemoryBind *binds = calloc(count, sizeof(*binds));
   const VkSparseBufferMemoryBindInfo buffer_binds = {
      .buffer = buffer,
      .bindCount = count,
      .pBinds = binds,
   };
   const VkBindSparseInfo info = {
      .sType = VK_STRUCTURE_TYPE_BIND_SPARSE_INFO,
      .bufferBindCount = 1,
      .pBufferBinds = &buffer_binds,
   };

   for (uint32_t i = 0; i < count; i++) {
      /* Neighbours in reverse, so that no two are one bind */
      binds[i] = (VkSparseMemoryBind){
         .resourceOffset = i * BLOCK_B,
         .size = BLOCK_B,
         .memory = memory,
         .memoryOffset = memory ? (MIB - (i % 16 + 1) * BLOCK_B) : 0,
      };
   }
   VkResult result = vkQueueBindSparse(probe->queue, 1, &info, fence);
   if (result == VK_SUCCESS)
      result = vkWaitForFences(probe->device, 1, &fence, VK_TRUE, 60ull * 1000000000);
   if (result == VK_SUCCESS)
      result = vkResetFences(probe->device, 1, &fence);
   free(binds);
   return result;
}

static double
cpu_seconds(void)
{
   struct timespec now;

   clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
   return now.tv_sec + now.tv_nsec / 1e9;
}

static bool
bind_sparse(struct probe *probe, uint64_t size_B, unsigned rounds)
{
   const VkFenceCreateInfo fence_info = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
   VkMemoryRequirements needs;
   VkBuffer buffer;
   VkFence fence;

   if (!step("vkCreateBuffer, sparse",
             create_buffer(probe, size_B, VK_BUFFER_CREATE_SPARSE_BINDING_BIT, &buffer)) ||
       vkCreateFence(probe->device, &fence_info, NULL, &fence) != VK_SUCCESS)
      return false;
   vkGetBufferMemoryRequirements(probe->device, buffer, &needs);
   const VkMemoryAllocateInfo info = {
      .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
      .allocationSize = MIB,
      .memoryTypeIndex = mappable_type(probe, needs.memoryTypeBits),
   };
   vkFreeMemory(probe->device, probe->memory, NULL);
   if (!step("vkAllocateMemory, for sparse",
             vkAllocateMemory(probe->device, &info, NULL, &probe->memory)))
      return false;

   const double start = cpu_seconds();
   VkResult result = VK_SUCCESS;
   for (unsigned i = 0; i < rounds && result == VK_SUCCESS; i++) {
      result = bind_blocks(probe, buffer, size_B / BLOCK_B, probe->memory, fence);
      if (result == VK_SUCCESS)
         result = bind_blocks(probe, buffer, size_B / BLOCK_B, VK_NULL_HANDLE, fence);
   }
   bool ok = step("vkQueueBindSparse", result);
   printf("   %llu binds in %.6f s of CPU\n", 2ull * rounds * (unsigned long long)(size_B / BLOCK_B),
          cpu_seconds() - start);
   vkDestroyFence(probe->device, fence, NULL);
   vkDestroyBuffer(probe->device, buffer, NULL);
   return ok;
}

int
main(int argc, char **argv)
{
   const uint64_t size_B = (argc > 1 ? strtoull(argv[1], NULL, 0) : 4) * MIB;
   const unsigned rounds = argc > 2 ? atoi(argv[2]) : 1;
   struct probe probe = {0};

   if (!enumerate(&probe) || !create_device(&probe) || !allocate(&probe) || !submit_nothing(&probe))
      return 1;
   if (!probe.has_sparse)
      printf("%-28s not claimed\n", "sparseBinding");
   else if (!bind_sparse(&probe, size_B, rounds))
      return 1;
   vkFreeMemory(probe.device, probe.memory, NULL);
   vkDestroyDevice(probe.device, NULL);
   vkDestroyInstance(probe.instance, NULL);
   step("the end", VK_SUCCESS);
   return 0;
}

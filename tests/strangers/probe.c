/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * How far a Vulkan driver that is not ours gets on the simulated node: enumerate, create a device,
 * allocate and map memory, bind it, hand it on by fd, submit commands, bind sparsely. Says each step
 * on stdout; exit status 0 if all went well that the driver claims to have. Looks at nothing that
 * only a shader would have written. The driver is the loader's choice. Must know nothing of vmbind.
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
   /* One for binds, if they are claimed, and one for all else; may be the same */
   VkQueue bind_queue;
   VkQueue queue;
   uint32_t bind_family;
   uint32_t family;
   bool has_sparse;
   bool has_fds;
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
choose_families(struct probe *probe)
{
   VkQueueFamilyProperties families[16];
   VkPhysicalDeviceFeatures features;
   uint32_t count = 16;

   vkGetPhysicalDeviceFeatures(probe->physical, &features);
   vkGetPhysicalDeviceQueueFamilyProperties(probe->physical, &count, families);
   for (uint32_t i = count; i > 0; i--) {
      if (features.sparseBinding && (families[i - 1].queueFlags & VK_QUEUE_SPARSE_BINDING_BIT)) {
         probe->bind_family = i - 1;
         probe->has_sparse = true;
      }
      if (families[i - 1].queueFlags & VK_QUEUE_COMPUTE_BIT)
         probe->family = i - 1;
   }
}

static bool
has_extension(const struct probe *probe, const char *name)
{
   uint32_t count = 0;
   bool found = false;

   vkEnumerateDeviceExtensionProperties(probe->physical, NULL, &count, NULL);
   VkExtensionProperties *extensions = calloc(count, sizeof(*extensions));
   vkEnumerateDeviceExtensionProperties(probe->physical, NULL, &count, extensions);
   for (uint32_t i = 0; i < count; i++)
      found |= !strcmp(extensions[i].extensionName, name);
   free(extensions);
   return found;
}

static bool
create_device(struct probe *probe)
{
   static const char *const extensions[] = {
      VK_KHR_EXTERNAL_MEMORY_FD_EXTENSION_NAME,
      VK_KHR_EXTERNAL_SEMAPHORE_FD_EXTENSION_NAME,
   };
   const float priority = 1.0f;

   choose_families(probe);
   probe->has_fds = has_extension(probe, extensions[0]) && has_extension(probe, extensions[1]);
   const VkDeviceQueueCreateInfo queues[] = {
      {
         .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
         .queueFamilyIndex = probe->family,
         .queueCount = 1,
         .pQueuePriorities = &priority,
      },
      {
         .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
         .queueFamilyIndex = probe->bind_family,
         .queueCount = 1,
         .pQueuePriorities = &priority,
      },
   };
   const VkPhysicalDeviceFeatures features = {.sparseBinding = probe->has_sparse};
   const VkDeviceCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
      .queueCreateInfoCount = probe->has_sparse && probe->bind_family != probe->family ? 2 : 1,
      .pQueueCreateInfos = queues,
      .pEnabledFeatures = &features,
      .enabledExtensionCount = probe->has_fds ? 2 : 0,
      .ppEnabledExtensionNames = extensions,
   };

   if (!step("vkCreateDevice", vkCreateDevice(probe->physical, &info, NULL, &probe->device)))
      return false;
   vkGetDeviceQueue(probe->device, probe->family, 0, &probe->queue);
   if (probe->has_sparse)
      vkGetDeviceQueue(probe->device, probe->bind_family, 0, &probe->bind_queue);
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
submit_and_wait(struct probe *probe, VkSubmitInfo submit)
{
   const VkFenceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
   VkFence fence;

   VkResult result = vkCreateFence(probe->device, &info, NULL, &fence);
   if (result != VK_SUCCESS)
      return result;
   submit.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO;
   result = vkQueueSubmit(probe->queue, 1, &submit, fence);
   if (result == VK_SUCCESS)
      result = vkWaitForFences(probe->device, 1, &fence, VK_TRUE, 60ull * 1000000000);
   vkDestroyFence(probe->device, fence, NULL);
   return result;
}

/* A fill and a copy: much of what a driver submits is around its commands. */
static VkResult
run_commands(struct probe *probe, VkCommandBuffer commands, VkBuffer buffer)
{
   const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
   const VkMemoryBarrier barrier = {
      .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
      .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
      .dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT,
   };
   const VkBufferCopy copy = {.dstOffset = MIB / 2, .size = MIB / 2};

   vkBeginCommandBuffer(commands, &begin);
   vkCmdFillBuffer(commands, buffer, 0, MIB / 2, 0x12345678);
   vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT, 0,
                        1, &barrier, 0, NULL, 0, NULL);
   vkCmdCopyBuffer(commands, buffer, buffer, 1, &copy);
   VkResult result = vkEndCommandBuffer(commands);
   if (result != VK_SUCCESS)
      return result;
   return submit_and_wait(probe, (VkSubmitInfo){
                                    .commandBufferCount = 1,
                                    .pCommandBuffers = &commands,
                                 });
}

static bool
submit_commands(struct probe *probe)
{
   const VkCommandPoolCreateInfo pool_info = {
      .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
      .queueFamilyIndex = probe->family,
   };
   VkCommandBufferAllocateInfo info = {
      .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
      .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
      .commandBufferCount = 1,
   };
   VkCommandBuffer commands;
   VkBuffer buffer;

   VkResult result = vkCreateCommandPool(probe->device, &pool_info, NULL, &info.commandPool);
   if (result == VK_SUCCESS)
      result = vkAllocateCommandBuffers(probe->device, &info, &commands);
   if (result == VK_SUCCESS)
      result = create_buffer(probe, MIB, 0, &buffer);
   if (result == VK_SUCCESS)
      result = vkBindBufferMemory(probe->device, buffer, probe->memory, 0);
   if (result == VK_SUCCESS)
      result = run_commands(probe, commands, buffer);
   if (!step("vkQueueSubmit of commands", result))
      return false;
   vkDestroyBuffer(probe->device, buffer, NULL);
   vkDestroyCommandPool(probe->device, info.commandPool, NULL);
   return true;
}

/* Memory goes out and comes back, and both are the same bytes. */
static VkResult
pass_memory(struct probe *probe, uint32_t type, VkDeviceMemory memory[2])
{
   const VkExternalMemoryHandleTypeFlagBits handle = VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT;
   const VkExportMemoryAllocateInfo export = {
      .sType = VK_STRUCTURE_TYPE_EXPORT_MEMORY_ALLOCATE_INFO,
      .handleTypes = handle,
   };
   VkImportMemoryFdInfoKHR import = {
      .sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_FD_INFO_KHR,
      .handleType = handle,
   };
   VkMemoryAllocateInfo info = {
      .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
      .pNext = &export,
      .allocationSize = MIB,
      .memoryTypeIndex = type,
   };
   uint32_t *maps[2];

   VkResult result = vkAllocateMemory(probe->device, &info, NULL, &memory[0]);
   if (result != VK_SUCCESS)
      return result;
   PFN_vkGetMemoryFdKHR get_fd =
      (PFN_vkGetMemoryFdKHR)vkGetDeviceProcAddr(probe->device, "vkGetMemoryFdKHR");
   result = get_fd(probe->device,
                   &(VkMemoryGetFdInfoKHR){
                      .sType = VK_STRUCTURE_TYPE_MEMORY_GET_FD_INFO_KHR,
                      .memory = memory[0],
                      .handleType = handle,
                   },
                   &import.fd);
   if (result != VK_SUCCESS)
      return result;
   info.pNext = &import;
   result = vkAllocateMemory(probe->device, &info, NULL, &memory[1]);
   for (unsigned i = 0; i < 2 && result == VK_SUCCESS; i++)
      result = vkMapMemory(probe->device, memory[i], 0, VK_WHOLE_SIZE, 0, (void **)&maps[i]);
   if (result != VK_SUCCESS)
      return result;
   maps[0][5] = 0xfeed;
   return maps[1][5] == 0xfeed ? VK_SUCCESS : VK_ERROR_UNKNOWN;
}

/* One that is signaled goes out as a sync file, comes back in another, and is waited for. */
static VkResult
pass_semaphore(struct probe *probe, VkSemaphore semaphores[2])
{
   const VkExternalSemaphoreHandleTypeFlagBits handle =
      VK_EXTERNAL_SEMAPHORE_HANDLE_TYPE_SYNC_FD_BIT;
   const VkExportSemaphoreCreateInfo export = {
      .sType = VK_STRUCTURE_TYPE_EXPORT_SEMAPHORE_CREATE_INFO,
      .handleTypes = handle,
   };
   const VkSemaphoreCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO,
      .pNext = &export,
   };
   const VkPipelineStageFlags stage = VK_PIPELINE_STAGE_ALL_COMMANDS_BIT;
   VkResult result = VK_SUCCESS;
   int fd;

   for (unsigned i = 0; i < 2 && result == VK_SUCCESS; i++)
      result = vkCreateSemaphore(probe->device, &info, NULL, &semaphores[i]);
   if (result == VK_SUCCESS) {
      result = submit_and_wait(probe, (VkSubmitInfo){
                                         .signalSemaphoreCount = 1,
                                         .pSignalSemaphores = &semaphores[0],
                                      });
   }
   if (result != VK_SUCCESS)
      return result;
   PFN_vkGetSemaphoreFdKHR get_fd =
      (PFN_vkGetSemaphoreFdKHR)vkGetDeviceProcAddr(probe->device, "vkGetSemaphoreFdKHR");
   PFN_vkImportSemaphoreFdKHR import_fd =
      (PFN_vkImportSemaphoreFdKHR)vkGetDeviceProcAddr(probe->device, "vkImportSemaphoreFdKHR");
   result = get_fd(probe->device,
                   &(VkSemaphoreGetFdInfoKHR){
                      .sType = VK_STRUCTURE_TYPE_SEMAPHORE_GET_FD_INFO_KHR,
                      .semaphore = semaphores[0],
                      .handleType = handle,
                   },
                   &fd);
   if (result == VK_SUCCESS) {
      result = import_fd(probe->device, &(VkImportSemaphoreFdInfoKHR){
                                           .sType = VK_STRUCTURE_TYPE_IMPORT_SEMAPHORE_FD_INFO_KHR,
                                           .semaphore = semaphores[1],
                                           .flags = VK_SEMAPHORE_IMPORT_TEMPORARY_BIT,
                                           .handleType = handle,
                                           .fd = fd,
                                        });
   }
   if (result != VK_SUCCESS)
      return result;
   return submit_and_wait(probe, (VkSubmitInfo){
                                    .waitSemaphoreCount = 1,
                                    .pWaitSemaphores = &semaphores[1],
                                    .pWaitDstStageMask = &stage,
                                 });
}

static bool
pass_fds(struct probe *probe)
{
   VkDeviceMemory memory[2] = {VK_NULL_HANDLE, VK_NULL_HANDLE};
   VkSemaphore semaphores[2] = {VK_NULL_HANDLE, VK_NULL_HANDLE};

   if (!probe->has_fds)
      return true;
   bool ok = step("memory by fd", pass_memory(probe, mappable_type(probe, UINT32_MAX), memory)) &&
             step("semaphore by sync file", pass_semaphore(probe, semaphores));
   for (unsigned i = 0; i < 2; i++) {
      vkFreeMemory(probe->device, memory[i], NULL);
      vkDestroySemaphore(probe->device, semaphores[i], NULL);
   }
   return ok;
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
   VkResult result = vkQueueBindSparse(probe->bind_queue, 1, &info, fence);
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

   if (!enumerate(&probe) || !create_device(&probe) || !allocate(&probe) || !submit_nothing(&probe) ||
       !submit_commands(&probe) || !pass_fds(&probe))
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

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Out of memory and out of addresses: the right result, and everything released, so that the same
 * succeeds once there is room again.  Binds that the specification forbids: an assertion that says
 * the values, or, without assertions, nothing at all.
 *
 * The simulator is told to have 96 MiB (DRM_SIM_FAULT=mem:96M).
 */

#include "vkt.h"

#include <dlfcn.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCK_B (64 * 1024u)
#define MIB     (1024 * 1024ull)

static VkResult
try_alloc(struct vkt *t, VkDeviceSize size_B, VkDeviceMemory *memory)
{
   return vkAllocateMemory(t->device,
                           &(VkMemoryAllocateInfo){
                              .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                              .allocationSize = size_B,
                           },
                           NULL, memory);
}

static void
test_out_of_memory(struct vkt *t)
{
   VkDeviceMemory first, second;

   for (unsigned i = 0; i < 20; i++) {
      vkt_check(try_alloc(t, 64 * MIB, &first));
      VkResult result = try_alloc(t, 64 * MIB, &second);
      vkt_expect(result == VK_ERROR_OUT_OF_DEVICE_MEMORY, "round %u: result %d", i, result);
      vkFreeMemory(t->device, first, NULL);
   }
}

static VkResult
try_sparse(struct vkt *t, VkDeviceSize size_B, VkBuffer *buffer)
{
   return vkCreateBuffer(t->device,
                         &(VkBufferCreateInfo){
                            .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                            .flags = VK_BUFFER_CREATE_SPARSE_BINDING_BIT,
                            .size = size_B,
                            .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT,
                         },
                         NULL, buffer);
}

#define MAX_BUFFERS 2048

/* Buffers of 3 GiB until there is no room for another; after they are gone, as many again. */
static void
test_out_of_addresses(struct vkt *t)
{
   static VkBuffer buffers[MAX_BUFFERS];
   unsigned counts[2];

   for (unsigned round = 0; round < 2; round++) {
      VkResult result = VK_SUCCESS;
      unsigned count = 0;

      while (count < MAX_BUFFERS &&
             (result = try_sparse(t, 3 * 1024 * MIB, &buffers[count])) == VK_SUCCESS)
         count++;
      vkt_expect(result == VK_ERROR_OUT_OF_DEVICE_MEMORY, "buffer %u: result %d", count, result);
      vkt_expect(count >= t->props.limits.sparseAddressSpaceSize / (4096 * MIB) / 2,
                 "%u buffers in an address space of %llu bytes", count,
                 (unsigned long long)t->props.limits.sparseAddressSpaceSize);
      counts[round] = count;
      while (count > 0)
         vkDestroyBuffer(t->device, buffers[--count], NULL);
   }
   vkt_expect(counts[0] == counts[1], "%u, then %u", counts[0], counts[1]);
}

/* ------------------------------------------------------------- invalid binds */

static const struct {
   const char *name;
   VkSparseMemoryBind bind;
} invalid_binds[] = {
   {"past-the-end", {.resourceOffset = 16 * BLOCK_B, .size = BLOCK_B}},
   {"too-long", {.resourceOffset = 8 * BLOCK_B, .size = 9 * BLOCK_B}},
   {"unaligned", {.resourceOffset = 8, .size = BLOCK_B}},
   {"past-the-memory", {.resourceOffset = 0, .size = BLOCK_B, .memoryOffset = 4 * BLOCK_B}},
};

/* In a process of its own: binds block 0, then does what it must not. */
static int
do_invalid_bind(unsigned which)
{
   struct vkt t;
   uint32_t *map;

   vkt_init(&t);
   VkDeviceMemory memory = vkt_alloc(&t, 4 * BLOCK_B, (void **)&map);
   VkBuffer buffer = vkt_sparse_buffer_create(&t, 16 * BLOCK_B, 0);
   VkSparseMemoryBind bind = {.size = BLOCK_B, .memory = memory};
   VkSparseBufferMemoryBindInfo buffer_info = {.buffer = buffer, .bindCount = 1, .pBinds = &bind};
   const VkBindSparseInfo info = {
      .sType = VK_STRUCTURE_TYPE_BIND_SPARSE_INFO,
      .bufferBindCount = 1,
      .pBufferBinds = &buffer_info,
   };

   vkt_bind_and_wait(&t, &info);
   bind = invalid_binds[which].bind;
   bind.memory = memory;
   vkt_bind_and_wait(&t, &info);

   /* Still here: then the next one works. */
   bind = (VkSparseMemoryBind){.resourceOffset = BLOCK_B, .size = BLOCK_B, .memory = memory};
   vkt_bind_and_wait(&t, &info);
   vkDestroyBuffer(t.device, buffer, NULL);
   vkFreeMemory(t.device, memory, NULL);
   vkt_finish(&t);
   return 0;
}

static void
test_invalid_bind(const char *self, unsigned which)
{
   char number[16], said[4096] = "";
   size_t length = 0;
   ssize_t got;
   int fds[2], status;

   snprintf(number, sizeof(number), "%u", which);
   if (pipe(fds))
      exit(1);
   const pid_t pid = fork();
   if (pid == 0) {
      dup2(fds[1], STDERR_FILENO);
      close(fds[0]);
      close(fds[1]);
      execl(self, self, number, NULL);
      _exit(127);
   }
   close(fds[1]);
   while (length + 1 < sizeof(said) &&
          (got = read(fds[0], said + length, sizeof(said) - 1 - length)) > 0)
      length += got;
   said[length] = '\0';
   close(fds[0]);
   waitpid(pid, &status, 0);

   const bool aborted = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
   vkt_expect(aborted || (WIFEXITED(status) && WEXITSTATUS(status) == 0), "%s: status %x: %s",
              invalid_binds[which].name, status, said);
   vkt_expect(strstr(said, "vmbind: bind of 0x"), "%s: it said: %s", invalid_binds[which].name,
              said);
   vkt_expect(!aborted || strstr(said, "invalid sparse bind"), "%s: it said: %s",
              invalid_binds[which].name, said);
}

/* ----------------------------------------------------------- no host memory */

struct failing_allocator {
   unsigned left;
   unsigned live;
};

static VKAPI_ATTR void *VKAPI_CALL
failing_alloc(void *priv, size_t size, size_t align, VkSystemAllocationScope scope)
{
   struct failing_allocator *a = priv;
   void *ptr = NULL;

   (void)scope;
   if (!__atomic_load_n(&a->left, __ATOMIC_RELAXED) || posix_memalign(&ptr, align < 8 ? 8 : align, size))
      return NULL;
   __atomic_fetch_sub(&a->left, 1, __ATOMIC_RELAXED);
   __atomic_fetch_add(&a->live, 1, __ATOMIC_RELAXED);
   return ptr;
}

static VKAPI_ATTR void *VKAPI_CALL
failing_realloc(void *priv, void *old, size_t size, size_t align, VkSystemAllocationScope scope)
{
   struct failing_allocator *a = priv;

   if (!old)
      return failing_alloc(priv, size, align, scope);
   if (!a->left)
      return NULL;
   a->left--;
   return realloc(old, size);
}

static VKAPI_ATTR void VKAPI_CALL
failing_free(void *priv, void *ptr)
{
   if (ptr)
      __atomic_fetch_sub(&((struct failing_allocator *)priv)->live, 1, __ATOMIC_RELAXED);
   free(ptr);
}

enum created { CREATED_DEVICE, CREATED_MEMORY, CREATED_SPARSE_BUFFER, CREATED_SEMAPHORE, CREATED_COUNT };

static VkResult
create_and_destroy(struct vkt *t, enum created what, const VkAllocationCallbacks *callbacks)
{
   const float priorities[2] = {0};
   VkDeviceQueueCreateInfo queues[4];
   VkDeviceMemory memory;
   VkSemaphore semaphore;
   VkDevice device;
   VkBuffer buffer;
   VkResult result = VK_SUCCESS;

   switch (what) {
   case CREATED_DEVICE:
      for (unsigned i = 0; i < 4; i++)
         queues[i] = (VkDeviceQueueCreateInfo){
            .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
            .queueFamilyIndex = i,
            .queueCount = 2,
            .pQueuePriorities = priorities,
         };
      result = vkCreateDevice(t->pdev,
                              &(VkDeviceCreateInfo){
                                 .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                 .queueCreateInfoCount = 4,
                                 .pQueueCreateInfos = queues,
                              },
                              callbacks, &device);
      if (result == VK_SUCCESS)
         vkDestroyDevice(device, callbacks);
      break;
   case CREATED_MEMORY:
      result = vkAllocateMemory(t->device,
                                &(VkMemoryAllocateInfo){
                                   .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                   .allocationSize = 100000,
                                },
                                callbacks, &memory);
      if (result == VK_SUCCESS)
         vkFreeMemory(t->device, memory, callbacks);
      break;
   case CREATED_SPARSE_BUFFER:
      result = vkCreateBuffer(t->device,
                              &(VkBufferCreateInfo){
                                 .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                 .flags = VK_BUFFER_CREATE_SPARSE_BINDING_BIT,
                                 .size = MIB,
                                 .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT,
                              },
                              callbacks, &buffer);
      if (result == VK_SUCCESS)
         vkDestroyBuffer(t->device, buffer, callbacks);
      break;
   case CREATED_SEMAPHORE:
      result = vkCreateSemaphore(
         t->device, &(VkSemaphoreCreateInfo){.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO},
         callbacks, &semaphore);
      if (result == VK_SUCCESS)
         vkDestroySemaphore(t->device, semaphore, callbacks);
      break;
   default:
      break;
   }
   return result;
}

/* Every allocation of the driver's fails once: VK_ERROR_OUT_OF_HOST_MEMORY, and all that was
 * allocated is freed. */
static void
test_out_of_host_memory(struct vkt *t)
{
   for (unsigned what = 0; what < CREATED_COUNT; what++) {
      VkResult result = VK_ERROR_OUT_OF_HOST_MEMORY;
      for (unsigned count = 0; result != VK_SUCCESS; count++) {
         struct failing_allocator allocator = {.left = count};
         const VkAllocationCallbacks callbacks = {
            .pUserData = &allocator,
            .pfnAllocation = failing_alloc,
            .pfnReallocation = failing_realloc,
            .pfnFree = failing_free,
         };

         result = create_and_destroy(t, what, &callbacks);
         vkt_expect(result == VK_SUCCESS || result == VK_ERROR_OUT_OF_HOST_MEMORY,
                    "kind %u, allocation %u: %d", what, count, result);
         vkt_expect(allocator.live == 0, "kind %u, allocation %u: %u are left", what, count,
                    allocator.live);
         vkt_expect(count < 200, "kind %u never succeeds", what);
      }
   }
}

/* A call that fails for lack of memory has done nothing, so that it can be tried again; if half of it is
 * done already the device is lost: "Lost Device", and vkQueueSubmit's "if [...] it must return
 * VK_ERROR_DEVICE_LOST". */
static void
test_half_a_submission(struct vkt *t, unsigned allocations, bool bind)
{
   struct failing_allocator allocator = {.left = 1000000};
   const VkAllocationCallbacks callbacks = {
      .pUserData = &allocator,
      .pfnAllocation = failing_alloc,
      .pfnReallocation = failing_realloc,
      .pfnFree = failing_free,
   };
   const float priority = 0;
   const VkDeviceQueueCreateInfo queue_info = {
      .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
      .queueFamilyIndex = t->graphics->family,
      .queueCount = 1,
      .pQueuePriorities = &priority,
   };
   const VkSubmitInfo submits[2] = {
      {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO},
      {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO},
   };
   const VkBindSparseInfo binds[2] = {
      {.sType = VK_STRUCTURE_TYPE_BIND_SPARSE_INFO},
      {.sType = VK_STRUCTURE_TYPE_BIND_SPARSE_INFO},
   };
   VkDevice device;
   VkQueue queue;

   vkt_check(vkCreateDevice(t->pdev,
                            &(VkDeviceCreateInfo){
                               .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                               .queueCreateInfoCount = 1,
                               .pQueueCreateInfos = &queue_info,
                            },
                            &callbacks, &device));
   vkGetDeviceQueue(device, t->graphics->family, 0, &queue);
   allocator.left = allocations;
   const VkResult result = bind ? vkQueueBindSparse(queue, 2, binds, VK_NULL_HANDLE)
                                : vkQueueSubmit(queue, 2, submits, VK_NULL_HANDLE);
   allocator.left = 1000000;

   const VkResult expected = allocations ? VK_ERROR_DEVICE_LOST : VK_ERROR_OUT_OF_HOST_MEMORY;
   vkt_expect(result == expected, "with %u allocations: %d", allocations, result);
   const VkResult again = vkQueueSubmit(queue, 2, submits, VK_NULL_HANDLE);
   vkt_expect(again == (allocations ? VK_ERROR_DEVICE_LOST : VK_SUCCESS), "again: %d", again);
   vkDeviceWaitIdle(device);
   vkDestroyDevice(device, &callbacks);
   vkt_expect(allocator.live == 0, "%u are left", allocator.live);
}

/* An application that leaves without tidying up: the device goes, and the next one has all of the
 * memory and all of the addresses. */
static void
test_nothing_is_freed(void)
{
   for (unsigned i = 0; i < 4; i++) {
      VkDeviceMemory memory;
      VkBuffer sparse;
      struct vkt t;

      vkt_init(&t);
      vkt_check(try_alloc(&t, 64 * MIB, &memory));
      vkt_check(try_sparse(&t, 64 * MIB, &sparse));
      const VkSparseMemoryBind bind = {.size = 64 * MIB, .memory = memory};
      const VkSparseBufferMemoryBindInfo info = {sparse, 1, &bind};
      vkt_bind_and_wait(&t, &(VkBindSparseInfo){.bufferBindCount = 1, .pBufferBinds = &info});
      vkt_buffer_create(&t, 4096);
      vkt_finish(&t);
   }
}

/* VkBufferCreateInfo: a partially resident buffer is bound to null when it is created, and who creates it
 * hears that this cannot be done; not a later submission, which would be the end of the device. */
static void
test_no_null(struct vkt *t, unsigned blocks, const char *fault)
{
   int (*set_fault)(const char *) = dlsym(RTLD_DEFAULT, "drm_sim_set_fault");
   VkBuffer buffer;
   const VkBufferCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
      .flags = VK_BUFFER_CREATE_SPARSE_BINDING_BIT | VK_BUFFER_CREATE_SPARSE_RESIDENCY_BIT,
      .size = blocks * BLOCK_B,
      .usage = VK_BUFFER_USAGE_TRANSFER_DST_BIT,
   };

   vkt_expect(set_fault != NULL, "no simulator");
   vkt_expect(!set_fault(fault), "-");
   const VkResult result = vkCreateBuffer(t->device, &info, NULL, &buffer);
   vkt_expect(result == VK_ERROR_OUT_OF_HOST_MEMORY || result == VK_ERROR_OUT_OF_DEVICE_MEMORY,
              "result %d", result);
   vkt_expect(!set_fault("mem:96M"), "-");

   vkt_check(vkCreateBuffer(t->device, &info, NULL, &buffer));
   const VkCommandBuffer cmd = vkt_begin(t);
   vkCmdFillBuffer(cmd, buffer, 0, blocks * BLOCK_B, 7);
   vkt_run(t, cmd);
   vkDestroyBuffer(t->device, buffer, NULL);
}

int
main(int argc, char **argv)
{
   struct vkt t;

   if (argc > 1)
      return do_invalid_bind(atoi(argv[1]));

   vkt_init(&t);
   test_out_of_memory(&t);
   test_out_of_addresses(&t);
   test_out_of_host_memory(&t);
   test_no_null(&t, 4, "mem:96M,vm_bind:1=ENOMEM,gem_va:1=ENOMEM,vm_map:1=ENOMEM");
   /* Of another size: one that was destroyed shows null still. */
   test_no_null(&t, 5, "mem:96M,vm_bind:1+=EIO,gem_va:1+=EIO,vm_map:1+=EIO");
   for (unsigned i = 0; i < 4; i++)
      test_half_a_submission(&t, i / 2, i % 2);
   vkt_finish(&t);

   test_nothing_is_freed();

   for (unsigned i = 0; i < VKT_ARRAY_SIZE(invalid_binds); i++)
      test_invalid_bind(argv[0], i);
   return 0;
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The life of objects: when a host allocation fails, which one it may be (Memory Allocation, "Host Memory"); many devices at once,
 * also by several threads; the devices that can be created (Devices, "Device Creation").
 */

#include "vkt.h"

#include <pthread.h>
#include <unistd.h>

/* ------------------------------------------------------- an allocator that fails */

struct allocator {
   unsigned passing;
   unsigned failed;
   /** Atomic: queues have threads. */
   int live;
};

/* What was asked for is found before what is handed out. */
struct header {
   void *start;
   size_t size_B;
};

static void *VKAPI_PTR
allocate(void *data, size_t size_B, size_t align_B, VkSystemAllocationScope scope)
{
   struct allocator *allocator = data;

   (void)scope;
   if (allocator->passing == 0) {
      allocator->failed++;
      return NULL;
   }
   allocator->passing--;

   align_B = align_B < 16 ? 16 : align_B;
   void *start = malloc(size_B + align_B + sizeof(struct header));
   vkt_expect(start, "-");
   const uintptr_t address =
      ((uintptr_t)start + sizeof(struct header) + align_B - 1) / align_B * align_B;
   struct header *header = (struct header *)address - 1;
   *header = (struct header){.start = start, .size_B = size_B};
   __atomic_add_fetch(&allocator->live, 1, __ATOMIC_SEQ_CST);

   return (void *)address;
}

static void VKAPI_PTR
release(void *data, void *ptr)
{
   struct allocator *allocator = data;

   if (!ptr)
      return;
   free(((struct header *)ptr - 1)->start);
   vkt_expect(__atomic_sub_fetch(&allocator->live, 1, __ATOMIC_SEQ_CST) >= 0, "freed twice");
}

static void *VKAPI_PTR
reallocate(void *data, void *ptr, size_t size_B, size_t align_B, VkSystemAllocationScope scope)
{
   if (!ptr)
      return allocate(data, size_B, align_B, scope);
   if (size_B == 0) {
      release(data, ptr);
      return NULL;
   }

   void *moved = allocate(data, size_B, align_B, scope);
   if (moved) {
      const size_t old_size_B = ((struct header *)ptr - 1)->size_B;
      memcpy(moved, ptr, old_size_B < size_B ? old_size_B : size_B);
      release(data, ptr);
   }
   return moved;
}

/* "VK_ERROR_OUT_OF_HOST_MEMORY", nothing left, and success at last: whichever allocation of a command it is
 * that fails. */
typedef VkResult (*try_fn)(struct vkt *t, const VkAllocationCallbacks *alloc);

static VkResult
try_with(struct vkt *t, struct allocator *allocator, try_fn try, const char *what)
{
   const VkAllocationCallbacks callbacks = {
      .pUserData = allocator,
      .pfnAllocation = allocate,
      .pfnReallocation = reallocate,
      .pfnFree = release,
   };
   const VkResult result = try(t, &callbacks);

   vkt_expect(allocator->live == 0, "%s: %d allocations left", what, allocator->live);
   return result;
}

static void
each_allocation_fails(struct vkt *t, try_fn try, const char *what)
{
   struct allocator all = {.passing = UINT32_MAX};

   vkt_check(try_with(t, &all, try, what));
   /* The loader, which comes first, has thousands. */
   const unsigned count = UINT32_MAX - all.passing;
   for (unsigned n = count > 300 ? count - 300 : 0; n < count; n++) {
      struct allocator allocator = {.passing = n};
      const VkResult result = try_with(t, &allocator, try, what);

      vkt_expect(result == VK_ERROR_OUT_OF_HOST_MEMORY || result == VK_SUCCESS,
                 "%s: %u of %u: result %d", what, n, count, result);
   }
}

/* The loader's next VkPhysicalDevice stands for the same node. */
static VkResult
get_pdev(VkInstance instance, VkPhysicalDevice *pdev)
{
   uint32_t count = 1;
   const VkResult result = vkEnumeratePhysicalDevices(instance, &count, pdev);

   return result == VK_INCOMPLETE ? VK_SUCCESS : result;
}

static VkResult
create_instance(const VkAllocationCallbacks *alloc, VkInstance *instance)
{
   const VkApplicationInfo app = {
      .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
      .apiVersion = VK_API_VERSION_1_3,
   };

   return vkCreateInstance(
      &(VkInstanceCreateInfo){
         .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
         .pApplicationInfo = &app,
      },
      alloc, instance);
}

static VkResult
try_instance(struct vkt *t, const VkAllocationCallbacks *alloc)
{
   VkInstance instance;
   VkPhysicalDevice pdev;

   (void)t;
   VkResult result = create_instance(alloc, &instance);
   if (result != VK_SUCCESS)
      return result;

   result = get_pdev(instance, &pdev);
   vkDestroyInstance(instance, alloc);
   return result;
}

static VkResult
create_device(VkPhysicalDevice pdev, uint32_t family, uint32_t queue_count,
              const VkAllocationCallbacks *alloc, VkDevice *device)
{
   const float priorities[VKT_MAX_QUEUES] = {0.5f};

   return vkCreateDevice(pdev,
                         &(VkDeviceCreateInfo){
                            .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                            .queueCreateInfoCount = 1,
                            .pQueueCreateInfos =
                               &(VkDeviceQueueCreateInfo){
                                  .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                  .queueFamilyIndex = family,
                                  .queueCount = queue_count,
                                  .pQueuePriorities = priorities,
                               },
                         },
                         alloc, device);
}

static VkResult
try_device(struct vkt *t, const VkAllocationCallbacks *alloc)
{
   VkDevice device;
   const VkResult result = create_device(t->pdev, t->graphics->family, 2, alloc, &device);

   if (result == VK_SUCCESS)
      vkDestroyDevice(device, alloc);
   return result;
}

static VkResult
try_memory(struct vkt *t, const VkAllocationCallbacks *alloc, VkDeviceSize size_B)
{
   VkDeviceMemory memory;
   const VkResult result = vkAllocateMemory(t->device,
                                            &(VkMemoryAllocateInfo){
                                               .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                               .allocationSize = size_B,
                                            },
                                            alloc, &memory);

   if (result == VK_SUCCESS)
      vkFreeMemory(t->device, memory, alloc);
   return result;
}

static VkResult
try_small_memory(struct vkt *t, const VkAllocationCallbacks *alloc)
{
   return try_memory(t, alloc, 1024);
}

static VkResult
try_large_memory(struct vkt *t, const VkAllocationCallbacks *alloc)
{
   return try_memory(t, alloc, 1 << 20);
}

static VkResult
try_buffer(struct vkt *t, const VkAllocationCallbacks *alloc, VkBufferCreateFlags flags)
{
   VkBuffer buffer;
   const VkResult result = vkCreateBuffer(t->device,
                                          &(VkBufferCreateInfo){
                                             .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                             .flags = flags,
                                             .size = 1 << 20,
                                             .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT,
                                          },
                                          alloc, &buffer);

   if (result == VK_SUCCESS)
      vkDestroyBuffer(t->device, buffer, alloc);
   return result;
}

static VkResult
try_plain_buffer(struct vkt *t, const VkAllocationCallbacks *alloc)
{
   return try_buffer(t, alloc, 0);
}

static VkResult
try_sparse_buffer(struct vkt *t, const VkAllocationCallbacks *alloc)
{
   return try_buffer(t, alloc,
                     VK_BUFFER_CREATE_SPARSE_BINDING_BIT | VK_BUFFER_CREATE_SPARSE_RESIDENCY_BIT);
}

static VkResult
try_image(struct vkt *t, const VkAllocationCallbacks *alloc, VkImageCreateFlags flags)
{
   VkImage image;
   const VkResult result = vkCreateImage(t->device,
                                         &(VkImageCreateInfo){
                                            .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
                                            .flags = flags,
                                            .imageType = VK_IMAGE_TYPE_2D,
                                            .format = VK_FORMAT_R8G8B8A8_UNORM,
                                            .extent = {256, 256, 1},
                                            .mipLevels = 9,
                                            .arrayLayers = 2,
                                            .samples = VK_SAMPLE_COUNT_1_BIT,
                                            .usage = VK_IMAGE_USAGE_SAMPLED_BIT,
                                         },
                                         alloc, &image);

   if (result == VK_SUCCESS)
      vkDestroyImage(t->device, image, alloc);
   return result;
}

static VkResult
try_plain_image(struct vkt *t, const VkAllocationCallbacks *alloc)
{
   return try_image(t, alloc, 0);
}

static VkResult
try_sparse_image(struct vkt *t, const VkAllocationCallbacks *alloc)
{
   return try_image(t, alloc,
                    VK_IMAGE_CREATE_SPARSE_BINDING_BIT | VK_IMAGE_CREATE_SPARSE_RESIDENCY_BIT);
}

static VkResult
try_semaphore(struct vkt *t, const VkAllocationCallbacks *alloc)
{
   const VkSemaphoreTypeCreateInfo type = {
      .sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
      .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE,
      .initialValue = 7,
   };
   VkSemaphore semaphore;
   const VkResult result = vkCreateSemaphore(t->device,
                                             &(VkSemaphoreCreateInfo){
                                                .sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO,
                                                .pNext = &type,
                                             },
                                             alloc, &semaphore);

   if (result == VK_SUCCESS)
      vkDestroySemaphore(t->device, semaphore, alloc);
   return result;
}

static VkResult
try_fence(struct vkt *t, const VkAllocationCallbacks *alloc)
{
   VkFence fence;
   const VkResult result = vkCreateFence(t->device,
                                         &(VkFenceCreateInfo){
                                            .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO,
                                            .flags = VK_FENCE_CREATE_SIGNALED_BIT,
                                         },
                                         alloc, &fence);

   if (result == VK_SUCCESS)
      vkDestroyFence(t->device, fence, alloc);
   return result;
}

static void
allocations_fail(struct vkt *t)
{
   /* The layer has allocations of its own. */
   if (getenv("VKT_VALIDATE"))
      return;

   each_allocation_fails(t, try_instance, "instance");
   each_allocation_fails(t, try_device, "device");
   each_allocation_fails(t, try_small_memory, "small memory");
   each_allocation_fails(t, try_large_memory, "large memory");
   each_allocation_fails(t, try_plain_buffer, "buffer");
   each_allocation_fails(t, try_sparse_buffer, "sparse buffer");
   each_allocation_fails(t, try_plain_image, "image");
   each_allocation_fails(t, try_sparse_image, "sparse image");
   each_allocation_fails(t, try_semaphore, "semaphore");
   each_allocation_fails(t, try_fence, "fence");
}

/* ------------------------------------------------------------------- many devices */

static void
use(VkDevice device, uint32_t family)
{
   const VkDeviceSize size_B = 3 << 20;
   VkDeviceMemory memory;
   VkQueue queue;
   VkFence fence;
   uint32_t *words;

   vkGetDeviceQueue(device, family, 0, &queue);
   vkt_check(vkAllocateMemory(device,
                              &(VkMemoryAllocateInfo){
                                 .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                 .allocationSize = size_B,
                              },
                              NULL, &memory));
   vkt_check(vkMapMemory(device, memory, 0, VK_WHOLE_SIZE, 0, (void **)&words));
   vkt_expect(words[0] == 0 && words[size_B / 4 - 1] == 0, "memory of others");
   words[0] = words[size_B / 4 - 1] = 0xdead;
   vkt_check(vkCreateFence(device,
                           &(VkFenceCreateInfo){.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO}, NULL,
                           &fence));
   vkt_check(vkQueueSubmit(queue, 0, NULL, fence));
   vkt_check(vkWaitForFences(device, 1, &fence, VK_TRUE, UINT64_MAX));
   vkDestroyFence(device, fence, NULL);
   vkFreeMemory(device, memory, NULL);
}

#define MANY 40

/* As many as the CTS wants (32), and some: each with memory of its own, on small address spaces too.  Nothing is left
 * of them, nor of what they share. */
static void
many_devices(struct vkt *t)
{
   const unsigned fds = vkt_count_entries("/proc/self/fd"), threads = vkt_count_entries("/proc/self/task");
   VkDevice devices[MANY];

   for (unsigned i = 0; i < MANY; i++) {
      vkt_check(create_device(t->pdev, t->graphics->family, 1, NULL, &devices[i]));
      use(devices[i], t->graphics->family);
   }
   for (unsigned i = 0; i < MANY; i++)
      vkDestroyDevice(devices[i * 7 % MANY], NULL);

   /* The kernel shows a thread for a moment after it was joined, on a busy machine for long. */
   for (unsigned ms = 0; ms < 60000 && vkt_count_entries("/proc/self/task") > threads; ms++)
      usleep(1000);
   vkt_expect(vkt_count_entries("/proc/self/task") <= threads, "%u threads, were %u",
              vkt_count_entries("/proc/self/task"), threads);
   vkt_expect(vkt_count_entries("/proc/self/fd") <= fds, "%u file descriptors, were %u",
              vkt_count_entries("/proc/self/fd"), fds);
}

/* Instances with a device each, by threads that know nothing of each other. */
static void *
come_and_go(void *data)
{
   (void)data;
   for (unsigned i = 0; i < 2; i++) {
      VkInstance instance;
      VkPhysicalDevice pdev;
      VkDevice device;

      vkt_check(create_instance(NULL, &instance));
      vkt_check(get_pdev(instance, &pdev));
      vkt_check(create_device(pdev, 0, 1, NULL, &device));
      use(device, 0);
      vkDestroyDevice(device, NULL);
      vkDestroyInstance(instance, NULL);
   }
   return NULL;
}

static void *
come_and_go_here(void *data)
{
   struct vkt *t = data;

   for (unsigned i = 0; i < 2; i++) {
      VkDevice device;

      vkt_check(create_device(t->pdev, t->graphics->family, 2, NULL, &device));
      use(device, t->graphics->family);
      vkDestroyDevice(device, NULL);
   }
   return NULL;
}

static void
threads(struct vkt *t, void *(*run)(void *))
{
   pthread_t threads[4];

   for (unsigned i = 0; i < VKT_ARRAY_SIZE(threads); i++)
      vkt_expect(!pthread_create(&threads[i], NULL, run, t), "-");
   for (unsigned i = 0; i < VKT_ARRAY_SIZE(threads); i++)
      pthread_join(threads[i], NULL);
}

/* ------------------------------------------------------------ devices of each kind */

/* "Limits": what is said of a device is the same whoever asks, and however many there are. */
static void
limits_stay(struct vkt *t)
{
   VkInstance instance;
   VkPhysicalDevice pdev;
   VkPhysicalDeviceProperties props;
   VkPhysicalDeviceMemoryProperties mine, theirs;

   vkt_check(create_instance(NULL, &instance));
   vkt_check(get_pdev(instance, &pdev));
   vkGetPhysicalDeviceProperties(pdev, &props);
   vkt_expect(props.limits.sparseAddressSpaceSize == t->props.limits.sparseAddressSpaceSize,
              "address space");
   vkGetPhysicalDeviceMemoryProperties(pdev, &theirs);
   vkGetPhysicalDeviceMemoryProperties(t->pdev, &mine);
   vkt_expect(mine.memoryHeaps[0].size == theirs.memoryHeaps[0].size, "heaps");
   /* Memory takes addresses. */
   vkt_expect(mine.memoryHeaps[0].size < props.limits.sparseAddressSpaceSize, "%llu of %llu bytes",
              (unsigned long long)mine.memoryHeaps[0].size,
              (unsigned long long)props.limits.sparseAddressSpaceSize);
   vkDestroyInstance(instance, NULL);
}

/* Every number of queues of every family, and an empty batch in each. */
static void
queue_counts(struct vkt *t)
{
   VkQueueFamilyProperties families[VKT_MAX_QUEUES];
   uint32_t family_count = VKT_ARRAY_SIZE(families);

   vkGetPhysicalDeviceQueueFamilyProperties(t->pdev, &family_count, families);
   for (uint32_t f = 0; f < family_count; f++) {
      for (uint32_t count = 1; count <= families[f].queueCount; count++) {
         VkDevice device;

         vkt_check(create_device(t->pdev, f, count, NULL, &device));
         for (uint32_t i = 0; i < count; i++) {
            VkQueue queue, again;

            vkGetDeviceQueue(device, f, i, &queue);
            vkGetDeviceQueue2(device,
                              &(VkDeviceQueueInfo2){
                                 .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_INFO_2,
                                 .queueFamilyIndex = f,
                                 .queueIndex = i,
                              },
                              &again);
            vkt_expect(queue && queue == again, "queue %u of family %u", i, f);
            vkt_check(vkQueueSubmit(queue, 0, NULL, VK_NULL_HANDLE));
            vkt_check(vkQueueWaitIdle(queue));
         }
         vkDestroyDevice(device, NULL);
      }
   }
}

/* -------------------------------------------------------- what objects will need */

static void
expect_same(const VkMemoryRequirements2 *of_object, const VkMemoryRequirements2 *of_info,
            VkDeviceSize min_size_B)
{
   const VkMemoryDedicatedRequirements *a = of_object->pNext, *b = of_info->pNext;
   const VkMemoryRequirements *reqs = &of_object->memoryRequirements;

   vkt_expect(reqs->memoryTypeBits && reqs->size >= min_size_B && reqs->alignment &&
                 !(reqs->alignment & (reqs->alignment - 1)),
              "%llu bytes at %llu", (unsigned long long)reqs->size,
              (unsigned long long)reqs->alignment);
   vkt_expect(!memcmp(reqs, &of_info->memoryRequirements, sizeof(*reqs)),
              "%llu bytes at %llu, but %llu at %llu", (unsigned long long)reqs->size,
              (unsigned long long)reqs->alignment,
              (unsigned long long)of_info->memoryRequirements.size,
              (unsigned long long)of_info->memoryRequirements.alignment);
   vkt_expect(a->prefersDedicatedAllocation == b->prefersDedicatedAllocation &&
                 a->requiresDedicatedAllocation == b->requiresDedicatedAllocation &&
                 a->prefersDedicatedAllocation <= 1,
              "%u %u, but %u %u", a->prefersDedicatedAllocation, a->requiresDedicatedAllocation,
              b->prefersDedicatedAllocation, b->requiresDedicatedAllocation);
}

#define REQUIREMENTS(name)                                                                         \
   VkMemoryDedicatedRequirements name##_dedicated = {                                              \
      .sType = VK_STRUCTURE_TYPE_MEMORY_DEDICATED_REQUIREMENTS,                                    \
      .prefersDedicatedAllocation = 0x55,                                                          \
      .requiresDedicatedAllocation = 0x55,                                                         \
   };                                                                                              \
   VkMemoryRequirements2 name = {                                                                  \
      .sType = VK_STRUCTURE_TYPE_MEMORY_REQUIREMENTS_2,                                            \
      .pNext = &name##_dedicated,                                                                  \
   }

static const VkFlags sparse_flags[] = {0, 1, 1 | 2, 1 | 4, 1 | 2 | 4};

/* "vkGetDeviceBufferMemoryRequirements": as if of a buffer created with this. */
static void
buffers_need_what_was_said(struct vkt *t)
{
   static const VkDeviceSize sizes_B[] = {1, 1000, 65536, 65537, 100000001};

   for (unsigned i = 0; i < VKT_ARRAY_SIZE(sizes_B) * VKT_ARRAY_SIZE(sparse_flags); i++) {
      const VkBufferCreateInfo info = {
         .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
         .flags = sparse_flags[i % VKT_ARRAY_SIZE(sparse_flags)],
         .size = sizes_B[i / VKT_ARRAY_SIZE(sparse_flags)],
         .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT,
      };
      REQUIREMENTS(of_object);
      REQUIREMENTS(of_info);
      VkBuffer buffer;

      vkt_check(vkCreateBuffer(t->device, &info, NULL, &buffer));
      vkGetBufferMemoryRequirements2(
         t->device,
         &(VkBufferMemoryRequirementsInfo2){
            .sType = VK_STRUCTURE_TYPE_BUFFER_MEMORY_REQUIREMENTS_INFO_2,
            .buffer = buffer,
         },
         &of_object);
      vkGetDeviceBufferMemoryRequirements(
         t->device,
         &(VkDeviceBufferMemoryRequirements){
            .sType = VK_STRUCTURE_TYPE_DEVICE_BUFFER_MEMORY_REQUIREMENTS,
            .pCreateInfo = &info,
         },
         &of_info);
      expect_same(&of_object, &of_info, info.size);
      vkDestroyBuffer(t->device, buffer, NULL);
   }
}

static void
images_need_what_was_said(struct vkt *t)
{
   static const VkFormat formats[] = {
      VK_FORMAT_R8G8B8A8_UNORM, VK_FORMAT_R32G32B32A32_SFLOAT, VK_FORMAT_D32_SFLOAT_S8_UINT,
      VK_FORMAT_BC3_UNORM_BLOCK, VK_FORMAT_G8_B8_R8_3PLANE_420_UNORM,
   };
   static const VkImageTiling tilings[] = {VK_IMAGE_TILING_OPTIMAL, VK_IMAGE_TILING_LINEAR};
   unsigned count = 0;

   for (unsigned i = 0; i < VKT_ARRAY_SIZE(formats) * VKT_ARRAY_SIZE(sparse_flags) * 2; i++) {
      VkImageCreateInfo info = {
         .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
         .flags = sparse_flags[i / 2 % VKT_ARRAY_SIZE(sparse_flags)],
         .imageType = VK_IMAGE_TYPE_2D,
         .format = formats[i / 2 / VKT_ARRAY_SIZE(sparse_flags)],
         .extent = {300, 200, 1},
         .mipLevels = 1,
         .arrayLayers = 1,
         .samples = VK_SAMPLE_COUNT_1_BIT,
         .tiling = tilings[i % 2],
         .usage = VK_IMAGE_USAGE_SAMPLED_BIT,
      };
      VkImageFormatProperties props;
      REQUIREMENTS(of_object);
      REQUIREMENTS(of_info);
      VkImage image;

      /* VUID-VkImageCreateInfo-tiling-04121 */
      if (info.flags && info.tiling == VK_IMAGE_TILING_LINEAR)
         continue;
      if (vkGetPhysicalDeviceImageFormatProperties(t->pdev, info.format, info.imageType, info.tiling,
                                                   info.usage, info.flags, &props) != VK_SUCCESS)
         continue;
      /* VUID-VkImageCreateInfo-format-06410 */
      if (info.format != VK_FORMAT_G8_B8_R8_3PLANE_420_UNORM) {
         info.mipLevels = props.maxMipLevels > 4 ? 5 : 1;
         info.arrayLayers = props.maxArrayLayers > 1 ? 2 : 1;
      }

      vkt_check(vkCreateImage(t->device, &info, NULL, &image));
      vkGetImageMemoryRequirements2(t->device,
                                    &(VkImageMemoryRequirementsInfo2){
                                       .sType = VK_STRUCTURE_TYPE_IMAGE_MEMORY_REQUIREMENTS_INFO_2,
                                       .image = image,
                                    },
                                    &of_object);
      vkGetDeviceImageMemoryRequirements(
         t->device,
         &(VkDeviceImageMemoryRequirements){
            .sType = VK_STRUCTURE_TYPE_DEVICE_IMAGE_MEMORY_REQUIREMENTS,
            .pCreateInfo = &info,
         },
         &of_info);
      expect_same(&of_object, &of_info, 300 * 200 / 2);
      vkDestroyImage(t->device, image, NULL);
      count++;
   }
   vkt_expect(count > 15, "%u", count);
}

/* maxBufferSize: what is told can be had, and used up to its end; above it there is a clean error. */
static void
largest_buffer(struct vkt *t)
{
   const VkDeviceSize block_B = 64 * 1024;
   VkPhysicalDeviceMaintenance4Properties limits = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES,
   };
   VkPhysicalDeviceProperties2 props = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
      .pNext = &limits,
   };
   VkMemoryRequirements reqs;

   vkGetPhysicalDeviceProperties2(t->pdev, &props);
   const VkBuffer buffer = vkt_sparse_buffer_create(t, limits.maxBufferSize,
                                                    VK_BUFFER_CREATE_SPARSE_RESIDENCY_BIT);
   vkGetBufferMemoryRequirements(t->device, buffer, &reqs);
   vkt_expect(reqs.size >= limits.maxBufferSize && block_B % reqs.alignment == 0, "%llu bytes",
              (unsigned long long)reqs.size);

   const VkDeviceSize end_B = reqs.size - block_B;
   const VkDeviceMemory memory = vkt_alloc(t, block_B, NULL);
   const VkSparseMemoryBind bind = {.resourceOffset = end_B, .size = block_B, .memory = memory};
   const VkSparseBufferMemoryBindInfo info = {buffer, 1, &bind};
   vkt_bind_and_wait(t, &(VkBindSparseInfo){.bufferBindCount = 1, .pBufferBinds = &info});

   const VkDeviceSize size_B = (limits.maxBufferSize - end_B) / 4 * 4;
   struct vkt_buffer in = vkt_buffer_create(t, 4096), copy = vkt_buffer_create(t, size_B);
   const uint32_t last = 0xe4d;
   for (unsigned i = 0; i < 1024; i++)
      ((uint32_t *)in.map)[i] = 0x5ca7;
   VkCommandBuffer cmd = vkt_begin(t);
   vkCmdFillBuffer(cmd, buffer, 0, VK_WHOLE_SIZE, 0x1a57);
   vkt_barrier(cmd);
   vkCmdUpdateBuffer(cmd, buffer, end_B + size_B - 4, 4, &last);
   /* The second goes to where nothing is bound. */
   const VkBufferCopy in_regions[] = {{0, end_B + block_B / 2, 4096}, {0, end_B - 2 * block_B, 4096}};
   vkCmdFillBuffer(cmd, buffer, end_B - 4096, 8192, 0x5ca7);
   vkCmdCopyBuffer(cmd, in.buffer, buffer, 2, in_regions);
   vkt_barrier(cmd);
   vkCmdCopyBuffer(cmd, buffer, copy.buffer, 1, &(VkBufferCopy){end_B, 0, size_B});
   vkt_barrier(cmd);
   vkt_run(t, cmd);
   for (VkDeviceSize i = 0; i < size_B / 4; i++) {
      const bool scarred = i < 1024 || (i >= 8192 && i < 8192 + 1024);
      const uint32_t expected = scarred ? 0x5ca7 : i == size_B / 4 - 1 ? last : 0x1a57;

      vkt_expect(((uint32_t *)copy.map)[i] == expected, "word %llu: 0x%x", (unsigned long long)i,
                 ((uint32_t *)copy.map)[i]);
   }
   vkt_buffer_destroy(t, &copy);
   vkt_buffer_destroy(t, &in);
   vkDestroyBuffer(t->device, buffer, NULL);
   vkFreeMemory(t->device, memory, NULL);

   if (!getenv("VKT_VALIDATE")) {
      static const VkDeviceSize more_B[] = {1ull << 32, 1ull << 40, UINT64_MAX};
      for (unsigned i = 0; i < VKT_ARRAY_SIZE(more_B); i++) {
         VkBuffer none;
         const VkResult result =
            vkCreateBuffer(t->device,
                           &(VkBufferCreateInfo){
                              .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                              .flags = VK_BUFFER_CREATE_SPARSE_BINDING_BIT,
                              .size = more_B[i],
                              .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT,
                           },
                           NULL, &none);
         vkt_expect(result == VK_ERROR_OUT_OF_DEVICE_MEMORY, "%d", result);
      }
   }
}

int
main(void)
{
   struct vkt t;

   vkt_init(&t);
   buffers_need_what_was_said(&t);
   images_need_what_was_said(&t);
   largest_buffer(&t);
   limits_stay(&t);
   queue_counts(&t);
   allocations_fail(&t);
   many_devices(&t);
   threads(&t, come_and_go);
   threads(&t, come_and_go_here);
   vkt_finish(&t);

   return 0;
}

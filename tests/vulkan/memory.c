/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Device memory: shared between two devices by opaque fd and dma-buf, of the application's own
 * pages, bound to sparse resources from each of these; its number and its budget; that nothing is
 * left of a great many; that an address can be had again.
 */

#define _GNU_SOURCE
#include "vkt.h"

#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#define BLOCK_B (64 * 1024u)
#define WORDS   (BLOCK_B / 4)
#define BLOCKS  4
#define SIZE_B  (BLOCKS * BLOCK_B)

static const char *const extensions[] = {
   VK_KHR_EXTERNAL_MEMORY_FD_EXTENSION_NAME,
   VK_EXT_EXTERNAL_MEMORY_DMA_BUF_EXTENSION_NAME,
   VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME,
   VK_EXT_MEMORY_BUDGET_EXTENSION_NAME,
   VK_EXT_MEMORY_PRIORITY_EXTENSION_NAME,
};

static VkResult
try_alloc(struct vkt *t, VkDeviceSize size_B, const void *next, VkDeviceMemory *memory)
{
   return vkAllocateMemory(t->device,
                           &(VkMemoryAllocateInfo){
                              .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                              .pNext = next,
                              .allocationSize = size_B,
                           },
                           NULL, memory);
}

static VkDeviceMemory
alloc(struct vkt *t, VkDeviceSize size_B, const void *next)
{
   VkDeviceMemory memory;

   vkt_check(try_alloc(t, size_B, next, &memory));
   return memory;
}

static uint32_t *
map(struct vkt *t, VkDeviceMemory memory)
{
   void *ptr;

   vkt_check(vkMapMemory(t->device, memory, 0, VK_WHOLE_SIZE, 0, &ptr));
   return ptr;
}

/* Binds the memory's blocks, which were imported by handles of such types if any, to a sparse buffer, last one first, copies what the GPU reads there to
 * \p out, and then has the GPU fill the buffer's first block. */
static void
read_and_fill_through_sparse(struct vkt *t, VkDeviceMemory memory,
                             VkExternalMemoryHandleTypeFlags handles, uint32_t *out, uint32_t value)
{
   const VkBuffer sparse = vkt_sparse_buffer_create_for(t, SIZE_B, handles);
   struct vkt_buffer copy = vkt_buffer_create(t, SIZE_B);
   VkSparseMemoryBind binds[BLOCKS];

   for (unsigned i = 0; i < BLOCKS; i++) {
      binds[i] = (VkSparseMemoryBind){
         .resourceOffset = i * BLOCK_B,
         .size = BLOCK_B,
         .memory = memory,
         .memoryOffset = (BLOCKS - 1 - i) * BLOCK_B,
      };
   }
   const VkSparseBufferMemoryBindInfo info = {sparse, BLOCKS, binds};
   vkt_bind_and_wait(t, &(VkBindSparseInfo){.bufferBindCount = 1, .pBufferBinds = &info});

   VkCommandBuffer cmd = vkt_begin(t);
   vkCmdCopyBuffer(cmd, sparse, copy.buffer, 1, &(VkBufferCopy){0, 0, SIZE_B});
   vkt_barrier(cmd);
   vkCmdFillBuffer(cmd, sparse, 0, BLOCK_B, value);
   vkt_barrier(cmd);
   vkt_run(t, cmd);
   memcpy(out, copy.map, SIZE_B);

   vkDestroyBuffer(t->device, sparse, NULL);
   vkt_buffer_destroy(t, &copy);
}

static void
check_sparse(struct vkt *t, VkDeviceMemory memory, VkExternalMemoryHandleTypeFlags handles,
             uint32_t *words, const char *what)
{
   static uint32_t seen[SIZE_B / 4];

   for (unsigned i = 0; i < SIZE_B / 4; i++)
      words[i] = 0x5000000 + i;
   read_and_fill_through_sparse(t, memory, handles, seen, 0x77);
   for (unsigned i = 0; i < SIZE_B / 4; i++) {
      const unsigned from = (BLOCKS - 1 - i / WORDS) * WORDS + i % WORDS;
      vkt_expect(seen[i] == 0x5000000 + from, "%s: the GPU reads 0x%x at word %u", what, seen[i],
                 i);
   }
   for (unsigned i = 0; i < SIZE_B / 4; i++) {
      const bool filled = i / WORDS == BLOCKS - 1;
      vkt_expect(words[i] == (filled ? 0x77 : 0x5000000 + i), "%s: word %u is 0x%x", what, i,
                 words[i]);
   }
}

/* ------------------------------------------------------------- shared memory */

static void
shared(struct vkt *a, struct vkt *b, VkExternalMemoryHandleTypeFlagBits handle, const char *what)
{
   const VkExportMemoryAllocateInfo export_info = {
      .sType = VK_STRUCTURE_TYPE_EXPORT_MEMORY_ALLOCATE_INFO,
      .handleTypes = handle,
   };
   VkExternalBufferProperties props = {.sType = VK_STRUCTURE_TYPE_EXTERNAL_BUFFER_PROPERTIES};
   const VkExternalMemoryFeatureFlags both =
      VK_EXTERNAL_MEMORY_FEATURE_EXPORTABLE_BIT | VK_EXTERNAL_MEMORY_FEATURE_IMPORTABLE_BIT;

   vkGetPhysicalDeviceExternalBufferProperties(
      a->pdev,
      &(VkPhysicalDeviceExternalBufferInfo){
         .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_BUFFER_INFO,
         .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT,
         .handleType = handle,
      },
      &props);
   vkt_expect((props.externalMemoryProperties.externalMemoryFeatures & both) == both, "%s", what);

   const VkDeviceMemory mine = alloc(a, SIZE_B, &export_info);
   uint32_t *words = map(a, mine);
   VkDeviceMemory theirs[2];
   for (unsigned i = 0; i < 2; i++) {
      VkImportMemoryFdInfoKHR import = {
         .sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_FD_INFO_KHR,
         .handleType = handle,
         .fd = -1,
      };
      vkt_check(vkt_proc(a, vkGetMemoryFdKHR)(a->device,
                                              &(VkMemoryGetFdInfoKHR){
                                                 .sType = VK_STRUCTURE_TYPE_MEMORY_GET_FD_INFO_KHR,
                                                 .memory = mine,
                                                 .handleType = handle,
                                              },
                                              &import.fd));
      theirs[i] = alloc(b, SIZE_B, &import);
   }

   /* Each sees what the others write, also through a sparse buffer. */
   check_sparse(b, theirs[0], handle, words, what);
   check_sparse(b, theirs[1], handle, map(b, theirs[0]), what);
   check_sparse(a, mine, handle, map(b, theirs[1]), what);

   /* The importer's lives on. */
   vkFreeMemory(a->device, mine, NULL);
   vkFreeMemory(b->device, theirs[0], NULL);
   vkUnmapMemory(b->device, theirs[1]);
   check_sparse(b, theirs[1], handle, map(b, theirs[1]), what);
   vkFreeMemory(b->device, theirs[1], NULL);
}

#define WIDTH  200
#define HEIGHT 100

struct shared_image {
   VkImage image;
   VkMemoryRequirements reqs;
};

static struct shared_image
create_shared_image(struct vkt *t, VkImageTiling tiling, VkExternalMemoryHandleTypeFlagBits handle)
{
   const VkExternalMemoryImageCreateInfo external = {
      .sType = VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_IMAGE_CREATE_INFO,
      .handleTypes = handle,
   };
   struct shared_image image;

   vkt_check(vkCreateImage(
      t->device,
      &(VkImageCreateInfo){
         .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
         .pNext = &external,
         .imageType = VK_IMAGE_TYPE_2D,
         .format = VK_FORMAT_R32_UINT,
         .extent = {WIDTH, HEIGHT, 1},
         .mipLevels = 1,
         .arrayLayers = 1,
         .samples = VK_SAMPLE_COUNT_1_BIT,
         .tiling = tiling,
         .usage = VK_IMAGE_USAGE_TRANSFER_SRC_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT,
      },
      NULL, &image.image));
   vkGetImageMemoryRequirements(t->device, image.image, &image.reqs);
   return image;
}

static bool
is_shareable(struct vkt *t, VkImageTiling tiling, VkExternalMemoryHandleTypeFlagBits handle)
{
   const VkExternalMemoryFeatureFlags both =
      VK_EXTERNAL_MEMORY_FEATURE_EXPORTABLE_BIT | VK_EXTERNAL_MEMORY_FEATURE_IMPORTABLE_BIT;
   const VkPhysicalDeviceExternalImageFormatInfo external = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_IMAGE_FORMAT_INFO,
      .handleType = handle,
   };
   VkExternalImageFormatProperties props = {
      .sType = VK_STRUCTURE_TYPE_EXTERNAL_IMAGE_FORMAT_PROPERTIES,
   };
   VkImageFormatProperties2 format_props = {
      .sType = VK_STRUCTURE_TYPE_IMAGE_FORMAT_PROPERTIES_2,
      .pNext = &props,
   };

   vkt_check(vkGetPhysicalDeviceImageFormatProperties2(
      t->pdev,
      &(VkPhysicalDeviceImageFormatInfo2){
         .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_IMAGE_FORMAT_INFO_2,
         .pNext = &external,
         .format = VK_FORMAT_R32_UINT,
         .type = VK_IMAGE_TYPE_2D,
         .tiling = tiling,
         .usage = VK_IMAGE_USAGE_TRANSFER_SRC_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT,
      },
      &format_props));
   return (props.externalMemoryProperties.externalMemoryFeatures & both) == both;
}

/* To an image of one device, and out of the same memory as an image of the other. */
static void
shared_image(struct vkt *a, struct vkt *b, VkImageTiling tiling,
             VkExternalMemoryHandleTypeFlagBits handle, bool dedicated)
{
   vkt_expect(is_shareable(a, tiling, handle), "tiling %d, handle type %x", tiling, handle);
   const struct shared_image mine = create_shared_image(a, tiling, handle);
   const struct shared_image theirs = create_shared_image(b, tiling, handle);
   vkt_expect(mine.reqs.size == theirs.reqs.size, "-");

   VkMemoryDedicatedAllocateInfo dedicated_info = {
      .sType = VK_STRUCTURE_TYPE_MEMORY_DEDICATED_ALLOCATE_INFO,
      .image = mine.image,
   };
   const VkExportMemoryAllocateInfo export_info = {
      .sType = VK_STRUCTURE_TYPE_EXPORT_MEMORY_ALLOCATE_INFO,
      .pNext = dedicated ? &dedicated_info : NULL,
      .handleTypes = handle,
   };
   VkImportMemoryFdInfoKHR import = {
      .sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_FD_INFO_KHR,
      .pNext = export_info.pNext,
      .handleType = handle,
      .fd = -1,
   };
   const VkDeviceMemory my_memory = alloc(a, mine.reqs.size, &export_info);
   vkt_check(vkt_proc(a, vkGetMemoryFdKHR)(a->device,
                                           &(VkMemoryGetFdInfoKHR){
                                              .sType = VK_STRUCTURE_TYPE_MEMORY_GET_FD_INFO_KHR,
                                              .memory = my_memory,
                                              .handleType = handle,
                                           },
                                           &import.fd));
   dedicated_info.image = theirs.image;
   const VkDeviceMemory their_memory = alloc(b, theirs.reqs.size, &import);
   vkt_check(vkBindImageMemory(a->device, mine.image, my_memory, 0));
   vkt_check(vkBindImageMemory(b->device, theirs.image, their_memory, 0));

   struct vkt_buffer in = vkt_buffer_create(a, WIDTH * HEIGHT * 4);
   struct vkt_buffer out = vkt_buffer_create(b, WIDTH * HEIGHT * 4);
   const VkBufferImageCopy copy = {
      .imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1},
      .imageExtent = {WIDTH, HEIGHT, 1},
   };
   for (unsigned i = 0; i < WIDTH * HEIGHT; i++)
      ((uint32_t *)in.map)[i] = 0xabc0000 + i;
   vkt_make_general(a, mine.image, VK_IMAGE_ASPECT_COLOR_BIT);
   vkt_make_general(b, theirs.image, VK_IMAGE_ASPECT_COLOR_BIT);
   VkCommandBuffer cmd = vkt_begin(a);
   vkCmdCopyBufferToImage(cmd, in.buffer, mine.image, VK_IMAGE_LAYOUT_GENERAL, 1, &copy);
   vkt_run(a, cmd);
   cmd = vkt_begin(b);
   vkCmdCopyImageToBuffer(cmd, theirs.image, VK_IMAGE_LAYOUT_GENERAL, out.buffer, 1, &copy);
   vkt_barrier(cmd);
   vkt_run(b, cmd);
   vkt_expect(!memcmp(in.map, out.map, WIDTH * HEIGHT * 4), "tiling %d, handle type %x", tiling,
              handle);

   vkt_buffer_destroy(b, &out);
   vkt_buffer_destroy(a, &in);
   vkDestroyImage(b->device, theirs.image, NULL);
   vkDestroyImage(a->device, mine.image, NULL);
   vkFreeMemory(b->device, their_memory, NULL);
   vkFreeMemory(a->device, my_memory, NULL);
}

static void
no_memory_in_a_pipe(struct vkt *t)
{
   VkDeviceMemory memory;
   int fds[2];

   if (getenv("VKT_VALIDATE"))
      return;
   vkt_expect(!pipe(fds), "-");
   const VkImportMemoryFdInfoKHR import = {
      .sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_FD_INFO_KHR,
      .handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT,
      .fd = fds[0],
   };
   vkt_expect(try_alloc(t, SIZE_B, &import, &memory) == VK_ERROR_INVALID_EXTERNAL_HANDLE, "-");
   /* What fails takes no fd. */
   vkt_expect(!close(fds[0]) && !close(fds[1]), "the fd is gone");
}

/* ---------------------------------------------------------- dedicated memory */

/* Memory that was allocated for a buffer, or for an image, is bound to a sparse buffer as well (Vulkan,
 * "Memory Allocation": a dedicated allocation limits what vkBindBufferMemory binds to it). */
static void
dedicated_memory(struct vkt *t)
{
   VkMemoryRequirements reqs;
   VkBuffer buffer;
   VkImage image;

   vkt_check(vkCreateBuffer(t->device,
                            &(VkBufferCreateInfo){
                               .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                               .size = SIZE_B,
                               .usage = VK_BUFFER_USAGE_TRANSFER_DST_BIT,
                            },
                            NULL, &buffer));
   vkGetBufferMemoryRequirements(t->device, buffer, &reqs);
   vkt_expect(reqs.size == SIZE_B, "%llu", (unsigned long long)reqs.size);
   const VkDeviceMemory of_buffer =
      alloc(t, SIZE_B,
            &(VkMemoryDedicatedAllocateInfo){
               .sType = VK_STRUCTURE_TYPE_MEMORY_DEDICATED_ALLOCATE_INFO,
               .buffer = buffer,
            });
   vkt_check(vkBindBufferMemory(t->device, buffer, of_buffer, 0));
   check_sparse(t, of_buffer, 0, map(t, of_buffer), "a buffer's memory");

   vkt_check(vkCreateImage(t->device,
                           &(VkImageCreateInfo){
                              .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
                              .imageType = VK_IMAGE_TYPE_2D,
                              .format = VK_FORMAT_R32_UINT,
                              .extent = {256, SIZE_B / 1024, 1},
                              .mipLevels = 1,
                              .arrayLayers = 1,
                              .samples = VK_SAMPLE_COUNT_1_BIT,
                              .usage = VK_IMAGE_USAGE_TRANSFER_DST_BIT,
                           },
                           NULL, &image));
   vkGetImageMemoryRequirements(t->device, image, &reqs);
   vkt_expect(reqs.size >= SIZE_B, "%llu", (unsigned long long)reqs.size);
   const VkDeviceMemory of_image =
      alloc(t, reqs.size,
            &(VkMemoryDedicatedAllocateInfo){
               .sType = VK_STRUCTURE_TYPE_MEMORY_DEDICATED_ALLOCATE_INFO,
               .image = image,
            });
   vkt_check(vkBindImageMemory(t->device, image, of_image, 0));
   check_sparse(t, of_image, 0, map(t, of_image), "an image's memory");

   vkDestroyImage(t->device, image, NULL);
   vkDestroyBuffer(t->device, buffer, NULL);
   vkFreeMemory(t->device, of_image, NULL);
   vkFreeMemory(t->device, of_buffer, NULL);
}

/* ----------------------------------------------------- the application's memory */

static void
host_memory(struct vkt *t)
{
   VkMemoryHostPointerPropertiesEXT props = {
      .sType = VK_STRUCTURE_TYPE_MEMORY_HOST_POINTER_PROPERTIES_EXT,
   };
   uint32_t *const words = vkt_pages(SIZE_B, PROT_READ | PROT_WRITE);

   vkt_check(vkt_proc(t, vkGetMemoryHostPointerPropertiesEXT)(
      t->device, VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT, words, &props));
   vkt_expect(props.memoryTypeBits & 1, "%x", props.memoryTypeBits);

   const VkImportMemoryHostPointerInfoEXT import = {
      .sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT,
      .handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT,
      .pHostPointer = words,
   };
   /* Twice: the pages are the application's own again in between. */
   for (unsigned round = 0; round < 2; round++) {
      for (unsigned i = 0; i < SIZE_B / 4; i++)
         words[i] = round + i;
      const VkDeviceMemory memory = alloc(t, SIZE_B, &import);
      for (unsigned i = 0; i < SIZE_B / 4; i++)
         vkt_expect(words[i] == round + i, "the import changed word %u", i);

      const VkBuffer buffer = vkt_buffer_create_on(
         t, BLOCK_B, memory, VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT);
      VkCommandBuffer cmd = vkt_begin(t);
      vkCmdFillBuffer(cmd, buffer, 0, BLOCK_B, 0xbeef + round);
      vkt_barrier(cmd);
      vkt_run(t, cmd);
      vkt_expect(words[0] == 0xbeef + round && words[WORDS - 1] == 0xbeef + round &&
                    words[WORDS] == round + WORDS,
                 "the GPU wrote 0x%x 0x%x 0x%x", words[0], words[WORDS - 1], words[WORDS]);
      vkDestroyBuffer(t->device, buffer, NULL);

      check_sparse(t, memory, VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT, words,
                   "host memory");
      vkFreeMemory(t->device, memory, NULL);
      vkt_expect(words[0] == 0x5000000 && words[SIZE_B / 4 - 1] == 0x77, "0x%x 0x%x", words[0],
                 words[SIZE_B / 4 - 1]);
   }
   munmap(words, SIZE_B);
}

/* The pages may be gone when the memory is freed: the CTS does it in this order.  What is there by then is the
 * application's, and of no concern to the driver. */
static void
host_memory_gone(struct vkt *t)
{
   uint32_t *const words = vkt_pages(SIZE_B, PROT_READ | PROT_WRITE);
   const VkImportMemoryHostPointerInfoEXT import = {
      .sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT,
      .handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT,
      .pHostPointer = words,
   };
   const VkDeviceMemory memory = alloc(t, SIZE_B, &import);
   const int fd = memfd_create("instead", 0);

   vkt_expect(fd >= 0 && !ftruncate(fd, BLOCK_B), "-");
   words[0] = words[SIZE_B / 4 - 1] = 0x600d;
   munmap(words + WORDS, SIZE_B - 3 * BLOCK_B);
   uint32_t *instead = mmap(words + WORDS, BLOCK_B, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                            fd, 0);
   uint32_t *seen = mmap(NULL, BLOCK_B, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
   vkt_expect(instead != MAP_FAILED && seen != MAP_FAILED, "-");

   vkFreeMemory(t->device, memory, NULL);
   *instead = 0x1234;
   vkt_expect(*seen == 0x1234, "the file is no longer at its place: 0x%x", *seen);
   vkt_expect(words[0] == 0x600d && words[SIZE_B / 4 - 1] == 0x600d, "0x%x 0x%x", words[0],
              words[SIZE_B / 4 - 1]);

   munmap(words, SIZE_B);
   munmap(seen, BLOCK_B);
   close(fd);
}

/* Pages that others see too stay where they are, and the GPU finds them there. */
static void
shared_host_memory(struct vkt *t)
{
   const int fd = memfd_create("shared", 0);
   vkt_expect(fd >= 0 && !ftruncate(fd, SIZE_B), "-");
   uint32_t *const words = mmap(NULL, SIZE_B, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
   uint32_t *const other = mmap(NULL, SIZE_B, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
   const VkImportMemoryHostPointerInfoEXT import = {
      .sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT,
      .handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT,
      .pHostPointer = words,
   };
   const VkDeviceMemory memory = alloc(t, SIZE_B, &import);
   const VkBuffer buffer = vkt_buffer_create_on(
      t, SIZE_B, memory, VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT);
   VkCommandBuffer cmd = vkt_begin(t);

   vkCmdFillBuffer(cmd, buffer, 0, SIZE_B, 0x1234);
   vkt_barrier(cmd);
   vkt_run(t, cmd);
   vkt_expect(other[0] == 0x1234 && other[SIZE_B / 4 - 1] == 0x1234, "0x%x", other[0]);

   vkDestroyBuffer(t->device, buffer, NULL);
   vkFreeMemory(t->device, memory, NULL);
   munmap(words, SIZE_B);
   munmap(other, SIZE_B);
   close(fd);
}

/* ------------------------------------------------------------- number and budget */

static VkDeviceSize
heap_usage(struct vkt *t)
{
   VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT,
   };
   VkPhysicalDeviceMemoryProperties2 props = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2,
      .pNext = &budget,
   };

   vkGetPhysicalDeviceMemoryProperties2(t->pdev, &props);
   vkt_expect(budget.heapBudget[0] > 0 &&
                 budget.heapBudget[0] <= props.memoryProperties.memoryHeaps[0].size,
              "budget %llu", (unsigned long long)budget.heapBudget[0]);
   for (unsigned i = props.memoryProperties.memoryHeapCount; i < VK_MAX_MEMORY_HEAPS; i++)
      vkt_expect(!budget.heapBudget[i] && !budget.heapUsage[i], "heap %u", i);
   return budget.heapUsage[0];
}

static void
budget(struct vkt *t)
{
   const VkDeviceSize before = heap_usage(t);
   const VkMemoryPriorityAllocateInfoEXT priority = {
      .sType = VK_STRUCTURE_TYPE_MEMORY_PRIORITY_ALLOCATE_INFO_EXT,
      .priority = 1.0f,
   };
   const VkDeviceMemory memory = alloc(t, 3 << 20, &priority);

   vkt_expect(heap_usage(t) == before + (3 << 20), "%llu", (unsigned long long)heap_usage(t));
   vkFreeMemory(t->device, memory, NULL);
   vkt_expect(heap_usage(t) == before, "%llu", (unsigned long long)heap_usage(t));
}

/* vkAllocateMemory: VK_ERROR_TOO_MANY_OBJECTS beyond maxMemoryAllocationCount, and then on. */
static void
too_many(struct vkt *t)
{
   const uint32_t limit = t->props.limits.maxMemoryAllocationCount;

   /* To the layer that is an error of the application's. */
   if (getenv("VKT_VALIDATE"))
      return;
   VkDeviceMemory *memories = calloc(limit, sizeof(*memories)), one;
   for (unsigned round = 0; round < 2; round++) {
      for (uint32_t i = 0; i < limit; i++)
         memories[i] = alloc(t, 64, NULL);
      vkt_expect(try_alloc(t, 64, NULL, &one) == VK_ERROR_TOO_MANY_OBJECTS, "-");
      for (uint32_t i = 0; i < limit; i++)
         vkFreeMemory(t->device, memories[i], NULL);
   }
   free(memories);
}

/* vkAllocateMemory: more than there can be. */
static void
too_much(struct vkt *t)
{
   VkDeviceMemory memory;

   if (getenv("VKT_VALIDATE"))
      return;
   for (unsigned i = 0; i < 10; i++)
      vkt_expect(try_alloc(t, 1ull << 50, NULL, &memory) == VK_ERROR_OUT_OF_DEVICE_MEMORY, "-");
}

static void
new_memory_is_zero(struct vkt *t)
{
   /* Many, so that some that were used before come again. */
   for (unsigned i = 0; i < 3000; i++) {
      const VkDeviceMemory memory = alloc(t, 256, NULL);
      uint32_t *words = map(t, memory);
      for (unsigned w = 0; w < 64; w++)
         vkt_expect(words[w] == 0, "round %u: 0x%x", i, words[w]);
      memset(words, 0xff, 256);
      vkFreeMemory(t->device, memory, NULL);
   }
}

/* ------------------------------------------------------------ nothing is left */

static void
cycles(struct vkt *t, VkDeviceSize size_B, unsigned count)
{
   VkDeviceMemory memories[64] = {0};

   for (unsigned i = 0; i < count; i++) {
      VkDeviceMemory *slot = &memories[i * 7 % 64];
      vkFreeMemory(t->device, *slot, NULL);
      *slot = alloc(t, size_B + i % 5 * 1000, NULL);
   }
   for (unsigned i = 0; i < 64; i++)
      vkFreeMemory(t->device, memories[i], NULL);
}

/* VKT_CYCLES makes it longer: a million has been run. */
static void
nothing_is_left(struct vkt *t)
{
   const char *more = getenv("VKT_CYCLES");
   const unsigned count = more ? atoi(more) : 20000;
   uint64_t (*ioctls)(const char *) = dlsym(RTLD_DEFAULT, "drm_sim_get_ioctl_count");

   cycles(t, 100, 1000);
   cycles(t, 100000, 200);
   const unsigned areas = vkt_count_lines("/proc/self/maps"), fds = vkt_count_entries("/proc/self/fd");
   const uint64_t binds = ioctls ? ioctls("vm_bind") : 0;
   cycles(t, 100, count);
   if (ioctls)
      vkt_expect(ioctls("vm_bind") - binds <= count / 32 + 64,
                 "%llu VM_BINDs for %u small allocations",
                 (unsigned long long)(ioctls("vm_bind") - binds), count);
   cycles(t, 100000, count / 20);

   /* What was freed last is unbound by and by; each allocation looks what has been. */
   for (unsigned ms = 0; ms < 5000 && (vkt_count_lines("/proc/self/maps") > areas ||
                                       vkt_count_entries("/proc/self/fd") > fds);
        ms++) {
      usleep(1000);
      vkFreeMemory(t->device, alloc(t, 100000, NULL), NULL);
   }
   vkt_expect(vkt_count_lines("/proc/self/maps") <= areas + 8, "%u areas of memory, were %u",
              vkt_count_lines("/proc/self/maps"), areas);
   vkt_expect(vkt_count_entries("/proc/self/fd") <= fds, "%u file descriptors, were %u",
              vkt_count_entries("/proc/self/fd"), fds);
   vkt_expect(heap_usage(t) == 0, "%llu bytes in use", (unsigned long long)heap_usage(t));
}

int
main(void)
{
   const struct vkt_config config = {
      .extensions = extensions,
      .extension_count = VKT_ARRAY_SIZE(extensions),
   };
   struct vkt a, b;

   vkt_init_with(&a, &config);
   vkt_init_with(&b, &config);

   shared(&a, &b, VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT, "opaque fd");
   shared(&a, &b, VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT, "dma-buf");
   shared(&a, &a, VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT, "dma-buf of its own");
   for (unsigned i = 0; i < 8; i++)
      shared_image(&a, &b, i & 1 ? VK_IMAGE_TILING_LINEAR : VK_IMAGE_TILING_OPTIMAL,
                   i & 2 ? VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT
                         : VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT,
                   i & 4);
   no_memory_in_a_pipe(&a);
   dedicated_memory(&a);
   host_memory(&a);
   host_memory_gone(&a);
   shared_host_memory(&a);
   budget(&a);
   new_memory_is_zero(&a);
   too_many(&a);
   too_much(&a);
   nothing_is_left(&a);

   vkt_finish(&b);
   vkt_finish(&a);

   return 0;
}

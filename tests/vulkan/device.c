/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The device as an application finds it: its name, queue families, sparse features, memory; that devices
 * come and go without leaving anything behind; that allocations fail as Vulkan says.
 */

#include "vkt.h"

#include <unistd.h>

static void
names_the_kernel_driver(struct vkt *t)
{
   const char *kmd = getenv("VKT_EXPECT_KMD");

   vkt_expect(!kmd || strstr(t->props.deviceName, kmd), "device name: %s", t->props.deviceName);
}

static bool
has_family(struct vkt *t, VkQueueFlags with, VkQueueFlags without, uint32_t count)
{
   for (uint32_t i = 0; i < t->queue_count; i++) {
      if ((t->queues[i].flags & with) == with && !(t->queues[i].flags & without))
         count -= count > 0;
   }
   return count == 0;
}

static void
has_the_queues(struct vkt *t)
{
   vkt_expect(has_family(t, VK_QUEUE_COMPUTE_BIT, VK_QUEUE_GRAPHICS_BIT, 1), "compute");
   vkt_expect(has_family(t, VK_QUEUE_TRANSFER_BIT, VK_QUEUE_GRAPHICS_BIT | VK_QUEUE_COMPUTE_BIT, 1),
              "transfer");
   vkt_expect(has_family(t, VK_QUEUE_SPARSE_BINDING_BIT,
                         VK_QUEUE_GRAPHICS_BIT | VK_QUEUE_COMPUTE_BIT | VK_QUEUE_TRANSFER_BIT, 2),
              "two sparse queues");
   vkt_expect((t->graphics->flags & VK_QUEUE_SPARSE_BINDING_BIT), "graphics queues cannot bind");
   vkt_expect(t->sparse != t->graphics, "no family for binds alone");
   vkt_expect(t->queue_count >= 4, "%u queues", t->queue_count);
   for (uint32_t i = 0; i < t->queue_count; i++) {
      for (uint32_t j = 0; j < i; j++)
         vkt_expect(t->queues[i].queue != t->queues[j].queue, "queues %u and %u", i, j);
   }
}

/* Residency needs null mappings of the kernel driver's, which old ones do not have. */
static void
has_the_features(struct vkt *t)
{
   const VkBool32 residency = !getenv("VKT_NO_RESIDENCY");

   vkt_expect(t->features.sparseBinding, "-");
   vkt_expect(t->features.sparseResidencyBuffer == residency, "-");
   vkt_expect(t->features.sparseResidencyImage2D == residency, "-");
   vkt_expect(t->features.sparseResidencyImage3D == residency, "-");
   vkt_expect(t->features.sparseResidency4Samples == residency, "-");
   vkt_expect(t->features.sparseResidencyAliased == residency, "-");
   vkt_expect(t->features.shaderResourceResidency, "-");
   vkt_expect(t->props.sparseProperties.residencyStandard2DBlockShape, "-");
   vkt_expect(getenv("VKT_FEW_ADDRESSES") || t->props.limits.sparseAddressSpaceSize >= 4ull << 30,
              "%llu bytes", (unsigned long long)t->props.limits.sparseAddressSpaceSize);
}

/* Memory has addresses of the same window, and sparse resources are to find some, too. */
static void
memory_leaves_addresses(struct vkt *t)
{
   VkPhysicalDeviceMemoryProperties props;

   vkGetPhysicalDeviceMemoryProperties(t->pdev, &props);
   vkt_expect(props.memoryHeaps[0].size <= t->props.limits.sparseAddressSpaceSize / 2,
              "a heap of %llu bytes", (unsigned long long)props.memoryHeaps[0].size);
}

/* The table of the specification, "Standard Sparse Image Block Shapes (Single Sample)". */
static void
has_the_standard_block_shapes(struct vkt *t)
{
   static const struct {
      VkFormat format;
      VkExtent3D block;
   } shapes[] = {
      {VK_FORMAT_R8_UNORM, {256, 256, 1}},
      {VK_FORMAT_R8G8_UNORM, {256, 128, 1}},
      {VK_FORMAT_R8G8B8A8_UNORM, {128, 128, 1}},
      {VK_FORMAT_R32_UINT, {128, 128, 1}},
      {VK_FORMAT_R16G16B16A16_SFLOAT, {128, 64, 1}},
      {VK_FORMAT_R32G32B32A32_SFLOAT, {64, 64, 1}},
      {VK_FORMAT_BC1_RGB_UNORM_BLOCK, {512, 256, 1}},
      {VK_FORMAT_BC7_UNORM_BLOCK, {256, 256, 1}},
   };

   for (unsigned i = 0; i < VKT_ARRAY_SIZE(shapes); i++) {
      VkSparseImageFormatProperties props[4];
      uint32_t count = VKT_ARRAY_SIZE(props);

      vkGetPhysicalDeviceSparseImageFormatProperties(
         t->pdev, shapes[i].format, VK_IMAGE_TYPE_2D, VK_SAMPLE_COUNT_1_BIT,
         VK_IMAGE_USAGE_SAMPLED_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT, VK_IMAGE_TILING_OPTIMAL,
         &count, props);
      vkt_expect(count == 1, "format %d: %u sparse properties", shapes[i].format, count);
      vkt_expect(!memcmp(&props[0].imageGranularity, &shapes[i].block, sizeof(VkExtent3D)),
                 "format %d: blocks of %ux%ux%u", shapes[i].format, props[0].imageGranularity.width,
                 props[0].imageGranularity.height, props[0].imageGranularity.depth);
      vkt_expect(!(props[0].flags & VK_SPARSE_IMAGE_FORMAT_NONSTANDARD_BLOCK_SIZE_BIT), "-");
   }
}

static void
images_that_are_too_large_fail(struct vkt *t)
{
   VkImage image = VK_NULL_HANDLE;
   const VkImageCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
      .flags = VK_IMAGE_CREATE_SPARSE_BINDING_BIT | VK_IMAGE_CREATE_SPARSE_RESIDENCY_BIT,
      .imageType = VK_IMAGE_TYPE_2D,
      .format = VK_FORMAT_R32G32B32A32_SFLOAT,
      .extent = {t->props.limits.maxImageDimension2D, t->props.limits.maxImageDimension2D, 1},
      .mipLevels = 1,
      .arrayLayers = t->props.limits.maxImageArrayLayers,
      .samples = VK_SAMPLE_COUNT_1_BIT,
      .usage = VK_IMAGE_USAGE_SAMPLED_BIT,
   };

   /* More than the maxResourceSize of its format: may fail, and here it must. */
   for (unsigned i = 0; i < 3; i++)
      vkt_expect(vkCreateImage(t->device, &info, NULL, &image) == VK_ERROR_OUT_OF_DEVICE_MEMORY,
                 "no error for an image of terabytes");
}

/* File descriptors, threads, and areas of the address space. */
static void
leaves_nothing_behind(void)
{
   unsigned fds = 0, threads = 0, areas = 0;

   for (unsigned i = 0; i < 6; i++) {
      struct vkt t;
      vkt_init(&t);
      const VkBuffer buffer = vkt_sparse_buffer_create(&t, 1 << 20, 0);
      struct vkt_buffer plain = vkt_buffer_create(&t, 1 << 20);
      vkt_buffer_destroy(&t, &plain);
      vkDestroyBuffer(t.device, buffer, NULL);
      vkt_finish(&t);

      /* What is allocated once and for all is there after the first ones. */
      if (i == 2) {
         fds = vkt_count_entries("/proc/self/fd");
         threads = vkt_count_entries("/proc/self/task");
         areas = vkt_count_lines("/proc/self/maps");
      }
   }

   vkt_expect(vkt_count_entries("/proc/self/fd") <= fds, "%u file descriptors, were %u",
              vkt_count_entries("/proc/self/fd"), fds);
   /* The kernel shows a thread for a moment after it was joined, on a busy machine for long. */
   for (unsigned ms = 0; ms < 60000 && vkt_count_entries("/proc/self/task") > threads; ms++)
      usleep(1000);
   vkt_expect(vkt_count_entries("/proc/self/task") <= threads, "%u threads, were %u",
              vkt_count_entries("/proc/self/task"), threads);
   /* The allocator of the C library may have grown a little. */
   vkt_expect(vkt_count_lines("/proc/self/maps") <= areas + 8, "%u areas, were %u",
              vkt_count_lines("/proc/self/maps"), areas);
}

int
main(void)
{
   struct vkt t;

   vkt_init(&t);
   names_the_kernel_driver(&t);
   has_the_queues(&t);
   has_the_features(&t);
   memory_leaves_addresses(&t);
   has_the_standard_block_shapes(&t);
   images_that_are_too_large_fail(&t);
   vkt_finish(&t);

   leaves_nothing_behind();

   return 0;
}

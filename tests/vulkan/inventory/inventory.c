/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Says what the first physical device can do, a line each: "kind<TAB>name<TAB>value".  Values are
 * numbers (of features and sets of flags: every bit that is more is a gain) or bytes in hex.
 * Plain Vulkan through the loader; must never know whose the driver is.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vulkan/vulkan.h>

struct inventory_member {
   const char *name;
   size_t offset_B, size_B;
};

struct inventory_struct {
   const char *name;
   VkStructureType type;
   size_t size_B;
   const struct inventory_member *members;
};

struct inventory_format {
   const char *name;
   VkFormat format;
};

#include "inventory_structs.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static void
check(VkResult result, const char *what)
{
   if (result != VK_SUCCESS) {
      fprintf(stderr, "%s: VkResult %d\n", what, result);
      exit(1);
   }
}

static void
say(const char *kind, const char *name, const char *member, const void *value, size_t size_B)
{
   printf("%s\t%s%s%s\t", kind, name, member ? "." : "", member ? member : "");
   if (size_B == 4)
      printf("%u\n", *(const uint32_t *)value);
   else if (size_B == 8)
      printf("%llu\n", (unsigned long long)*(const uint64_t *)value);
   else {
      printf("0x");
      for (size_t i = 0; i < size_B; i++)
         printf("%02x", ((const uint8_t *)value)[i]);
      printf("\n");
   }
}

static void
say_members(const char *kind, const char *name, const struct inventory_member *members,
            const void *data)
{
   for (; members->name; members++)
      say(kind, name, members->name, (const uint8_t *)data + members->offset_B, members->size_B);
}

/* ------------------------------------------------------- features, properties, limits */

static void
features(VkPhysicalDevice pdev)
{
   for (size_t i = 0; i < ARRAY_SIZE(inventory_features); i++) {
      const struct inventory_struct *s = &inventory_features[i];
      VkBaseOutStructure *data = calloc(1, s->size_B);
      data->sType = s->type;
      VkPhysicalDeviceFeatures2 features = {
         .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
         .pNext = data,
      };
      vkGetPhysicalDeviceFeatures2(pdev, &features);
      say_members("feature", s->name, s->members, data);
      if (i == 0)
         say_members("feature", "VkPhysicalDeviceFeatures", VkPhysicalDeviceFeatures_members,
                     &features.features);
      free(data);
   }
}

static void
properties(VkPhysicalDevice pdev)
{
   for (size_t i = 0; i < ARRAY_SIZE(inventory_properties); i++) {
      const struct inventory_struct *s = &inventory_properties[i];
      VkBaseOutStructure *data = calloc(1, s->size_B);
      data->sType = s->type;
      VkPhysicalDeviceProperties2 props = {
         .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
         .pNext = data,
      };
      vkGetPhysicalDeviceProperties2(pdev, &props);
      say_members("property", s->name, s->members, data);
      if (i == 0) {
         const VkPhysicalDeviceProperties *p = &props.properties;
         say("property", "apiVersion", NULL, &p->apiVersion, sizeof(p->apiVersion));
         say_members("limit", "VkPhysicalDeviceLimits", VkPhysicalDeviceLimits_members,
                     &p->limits);
         say_members("property", "VkPhysicalDeviceSparseProperties",
                     VkPhysicalDeviceSparseProperties_members, &p->sparseProperties);
      }
      free(data);
   }
}

static void
extensions(VkPhysicalDevice pdev)
{
   uint32_t count = 0;
   check(vkEnumerateDeviceExtensionProperties(pdev, NULL, &count, NULL), "extensions");
   VkExtensionProperties *props = calloc(count, sizeof(*props));
   check(vkEnumerateDeviceExtensionProperties(pdev, NULL, &count, props), "extensions");
   for (uint32_t i = 0; i < count; i++)
      printf("extension\t%s\t%u\n", props[i].extensionName, props[i].specVersion);
   free(props);

   check(vkEnumerateInstanceExtensionProperties(NULL, &count, NULL), "instance extensions");
   props = calloc(count, sizeof(*props));
   check(vkEnumerateInstanceExtensionProperties(NULL, &count, props), "instance extensions");
   for (uint32_t i = 0; i < count; i++)
      printf("extension\tinstance.%s\t%u\n", props[i].extensionName, props[i].specVersion);
   free(props);
}

/* One line for each family; the reader looks for one that can do as much. */
static void
queues(VkPhysicalDevice pdev)
{
   VkQueueFamilyProperties families[16];
   uint32_t count = ARRAY_SIZE(families);

   vkGetPhysicalDeviceQueueFamilyProperties(pdev, &count, families);
   for (uint32_t i = 0; i < count; i++)
      printf("queue\t%u\t%u %u %u\n", i, families[i].queueFlags, families[i].queueCount,
             families[i].timestampValidBits);
}

static void
memory(VkPhysicalDevice pdev)
{
   VkPhysicalDeviceMemoryProperties props;

   vkGetPhysicalDeviceMemoryProperties(pdev, &props);
   for (uint32_t i = 0; i < props.memoryTypeCount; i++)
      printf("memory\ttype.%u\t%u\n", i, props.memoryTypes[i].propertyFlags);
   for (uint32_t i = 0; i < props.memoryHeapCount; i++)
      printf("memory\theap.%u\t%u\n", i, props.memoryHeaps[i].flags);
}

/* ------------------------------------------------------------------------- sharing */

static void
external(VkPhysicalDevice pdev)
{
   for (uint32_t bit = 0; bit < 13; bit++) {
      VkExternalBufferProperties buffer = {
         .sType = VK_STRUCTURE_TYPE_EXTERNAL_BUFFER_PROPERTIES,
      };
      vkGetPhysicalDeviceExternalBufferProperties(
         pdev,
         &(VkPhysicalDeviceExternalBufferInfo){
            .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_BUFFER_INFO,
            .usage = VK_BUFFER_USAGE_TRANSFER_DST_BIT,
            .handleType = 1u << bit,
         },
         &buffer);
      printf("external\tbuffer.%u\t%u\n", bit,
             buffer.externalMemoryProperties.externalMemoryFeatures);
      printf("external\tbuffer.%u.compatible\t%u\n", bit,
             buffer.externalMemoryProperties.compatibleHandleTypes);
   }

   for (uint32_t bit = 0; bit < 5; bit++) {
      for (uint32_t timeline = 0; timeline < 2; timeline++) {
         VkExternalSemaphoreProperties semaphore = {
            .sType = VK_STRUCTURE_TYPE_EXTERNAL_SEMAPHORE_PROPERTIES,
         };
         const VkSemaphoreTypeCreateInfo type = {
            .sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
            .semaphoreType = timeline ? VK_SEMAPHORE_TYPE_TIMELINE : VK_SEMAPHORE_TYPE_BINARY,
         };
         vkGetPhysicalDeviceExternalSemaphoreProperties(
            pdev,
            &(VkPhysicalDeviceExternalSemaphoreInfo){
               .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_SEMAPHORE_INFO,
               .pNext = &type,
               .handleType = 1u << bit,
            },
            &semaphore);
         printf("external\t%ssemaphore.%u\t%u\n", timeline ? "timeline-" : "", bit,
                semaphore.externalSemaphoreFeatures);
      }

      if (bit >= 4)
         continue;
      VkExternalFenceProperties fence = {.sType = VK_STRUCTURE_TYPE_EXTERNAL_FENCE_PROPERTIES};
      vkGetPhysicalDeviceExternalFenceProperties(
         pdev,
         &(VkPhysicalDeviceExternalFenceInfo){
            .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_FENCE_INFO,
            .handleType = 1u << bit,
         },
         &fence);
      printf("external\tfence.%u\t%u\n", bit, fence.externalFenceFeatures);
   }
}

/* ------------------------------------------------------------------------- formats */

static const VkImageUsageFlags usages[] = {
   VK_IMAGE_USAGE_TRANSFER_SRC_BIT,
   VK_IMAGE_USAGE_TRANSFER_DST_BIT,
   VK_IMAGE_USAGE_SAMPLED_BIT,
   VK_IMAGE_USAGE_STORAGE_BIT,
   VK_IMAGE_USAGE_COLOR_ATTACHMENT_BIT,
   VK_IMAGE_USAGE_DEPTH_STENCIL_ATTACHMENT_BIT,
   VK_IMAGE_USAGE_INPUT_ATTACHMENT_BIT | VK_IMAGE_USAGE_COLOR_ATTACHMENT_BIT,
   VK_IMAGE_USAGE_HOST_TRANSFER_BIT_EXT | VK_IMAGE_USAGE_SAMPLED_BIT,
   VK_IMAGE_USAGE_STORAGE_BIT | VK_IMAGE_USAGE_SAMPLED_BIT | VK_IMAGE_USAGE_TRANSFER_SRC_BIT |
      VK_IMAGE_USAGE_TRANSFER_DST_BIT,
};

#define SPARSE   (VK_IMAGE_CREATE_SPARSE_BINDING_BIT)
#define RESIDENT (SPARSE | VK_IMAGE_CREATE_SPARSE_RESIDENCY_BIT)

static const VkImageCreateFlags create_flags[] = {
   0,
   SPARSE,
   RESIDENT,
   RESIDENT | VK_IMAGE_CREATE_SPARSE_ALIASED_BIT,
   RESIDENT | VK_IMAGE_CREATE_CUBE_COMPATIBLE_BIT,
   RESIDENT | VK_IMAGE_CREATE_2D_ARRAY_COMPATIBLE_BIT,
   VK_IMAGE_CREATE_MUTABLE_FORMAT_BIT | VK_IMAGE_CREATE_EXTENDED_USAGE_BIT,
   VK_IMAGE_CREATE_DISJOINT_BIT,
   VK_IMAGE_CREATE_ALIAS_BIT,
};

static const VkImageTiling tilings[] = {VK_IMAGE_TILING_OPTIMAL, VK_IMAGE_TILING_LINEAR};

static void
image_format(VkPhysicalDevice pdev, const struct inventory_format *f, VkImageType type,
             VkImageTiling tiling, VkImageUsageFlags usage, VkImageCreateFlags flags)
{
   VkImageFormatProperties2 props = {.sType = VK_STRUCTURE_TYPE_IMAGE_FORMAT_PROPERTIES_2};
   const VkPhysicalDeviceImageFormatInfo2 info = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_IMAGE_FORMAT_INFO_2,
      .format = f->format,
      .type = type,
      .tiling = tiling,
      .usage = usage,
      .flags = flags,
   };

   if (vkGetPhysicalDeviceImageFormatProperties2(pdev, &info, &props) != VK_SUCCESS)
      return;

   const VkImageFormatProperties *p = &props.imageFormatProperties;
   char name[160];
   snprintf(name, sizeof(name), "%s.%uD.tiling-%u.usage-0x%x.flags-0x%x", f->name, type + 1, tiling,
            usage, flags);
   printf("image\t%s.width\t%u\n", name, p->maxExtent.width);
   printf("image\t%s.height\t%u\n", name, p->maxExtent.height);
   printf("image\t%s.depth\t%u\n", name, p->maxExtent.depth);
   printf("image\t%s.levels\t%u\n", name, p->maxMipLevels);
   printf("image\t%s.layers\t%u\n", name, p->maxArrayLayers);
   printf("image\t%s.bytes\t%llu\n", name, (unsigned long long)p->maxResourceSize);
   printf("flags\t%s.samples\t%u\n", name, p->sampleCounts);
}

static void
sparse_image_format(VkPhysicalDevice pdev, const struct inventory_format *f, VkImageType type,
                    VkImageTiling tiling, VkImageUsageFlags usage, VkSampleCountFlagBits samples)
{
   VkSparseImageFormatProperties props[4];
   uint32_t count = ARRAY_SIZE(props);

   vkGetPhysicalDeviceSparseImageFormatProperties(pdev, f->format, type, samples, usage, tiling,
                                                  &count, props);
   for (uint32_t i = 0; i < count; i++) {
      const VkExtent3D *g = &props[i].imageGranularity;
      char name[160];
      snprintf(name, sizeof(name), "%s.%uD.tiling-%u.usage-0x%x.samples-%u.%u", f->name, type + 1,
               tiling, usage, samples, i);
      printf("flags\t%s.aspects\t%u\n", name, props[i].aspectMask);
      printf("sparse\t%s.granularity\t%ux%ux%u\n", name, g->width, g->height, g->depth);
      printf("sparse\t%s.flags\t%u\n", name, props[i].flags);
   }
}

static void
formats(VkPhysicalDevice pdev)
{
   for (size_t i = 0; i < ARRAY_SIZE(inventory_formats); i++) {
      const struct inventory_format *f = &inventory_formats[i];
      VkFormatProperties3 props3 = {.sType = VK_STRUCTURE_TYPE_FORMAT_PROPERTIES_3};
      VkFormatProperties2 props = {
         .sType = VK_STRUCTURE_TYPE_FORMAT_PROPERTIES_2,
         .pNext = &props3,
      };
      vkGetPhysicalDeviceFormatProperties2(pdev, f->format, &props);
      say("flags", f->name, "linear", &props3.linearTilingFeatures, sizeof(VkFormatFeatureFlags2));
      say("flags", f->name, "optimal", &props3.optimalTilingFeatures,
          sizeof(VkFormatFeatureFlags2));
      say("flags", f->name, "buffer", &props3.bufferFeatures, sizeof(VkFormatFeatureFlags2));

      for (VkImageType type = VK_IMAGE_TYPE_1D; type <= VK_IMAGE_TYPE_3D; type++) {
         for (size_t t = 0; t < ARRAY_SIZE(tilings); t++) {
            for (size_t u = 0; u < ARRAY_SIZE(usages); u++) {
               for (size_t c = 0; c < ARRAY_SIZE(create_flags); c++)
                  image_format(pdev, f, type, tilings[t], usages[u], create_flags[c]);
               for (uint32_t samples = 1; samples <= 16; samples *= 2)
                  sparse_image_format(pdev, f, type, tilings[t], usages[u], samples);
            }
         }
      }
   }
}

int
main(void)
{
   VkInstance instance;
   VkPhysicalDevice pdev;
   uint32_t count = 1;

   check(vkCreateInstance(
            &(VkInstanceCreateInfo){
               .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
               .pApplicationInfo =
                  &(VkApplicationInfo){
                     .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                     .apiVersion = VK_API_VERSION_1_3,
                  },
            },
            NULL, &instance),
         "vkCreateInstance");
   const VkResult result = vkEnumeratePhysicalDevices(instance, &count, &pdev);
   if ((result != VK_SUCCESS && result != VK_INCOMPLETE) || count == 0) {
      fprintf(stderr, "no physical device\n");
      return 1;
   }

   features(pdev);
   properties(pdev);
   extensions(pdev);
   queues(pdev);
   memory(pdev);
   external(pdev);
   formats(pdev);

   vkDestroyInstance(instance, NULL);
   return 0;
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See vt_vk.h.
 */

#include "vt_vk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vt_util.h"

#define MAX_DEVICES  16
#define MAX_FAMILIES 16
#define NO_FAMILY    0xffffffffu

static const char *
result_name(VkResult result)
{
   static const struct {
      VkResult result;
      const char *name;
   } names[] = {
#define NAME(result) {result, #result}
      NAME(VK_NOT_READY),
      NAME(VK_TIMEOUT),
      NAME(VK_INCOMPLETE),
      NAME(VK_ERROR_OUT_OF_HOST_MEMORY),
      NAME(VK_ERROR_OUT_OF_DEVICE_MEMORY),
      NAME(VK_ERROR_INITIALIZATION_FAILED),
      NAME(VK_ERROR_DEVICE_LOST),
      NAME(VK_ERROR_MEMORY_MAP_FAILED),
      NAME(VK_ERROR_LAYER_NOT_PRESENT),
      NAME(VK_ERROR_FEATURE_NOT_PRESENT),
      NAME(VK_ERROR_INCOMPATIBLE_DRIVER),
      NAME(VK_ERROR_FORMAT_NOT_SUPPORTED),
#undef NAME
   };

   for (size_t i = 0; i < VT_ARRAY_SIZE(names); i++) {
      if (names[i].result == result)
         return names[i].name;
   }
   return "an error";
}

void
vt_check(VkResult result, const char *what)
{
   if (result != VK_SUCCESS)
      vt_die("%s failed: %s (%d)", what, result_name(result), result);
}

/* ---- choosing a device ---- */

static void
create_instance(struct vt_vk *vk)
{
   const VkApplicationInfo app = {
      .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
      .pApplicationName = "virtual-texture",
      .apiVersion = VK_API_VERSION_1_2,
   };
   const VkInstanceCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
      .pApplicationInfo = &app,
   };
   VkResult result = vkCreateInstance(&info, NULL, &vk->instance);

   if (result == VK_ERROR_INCOMPATIBLE_DRIVER)
      vt_die("the Vulkan loader finds no driver: install one "
             "(mesa-vulkan-drivers) or point VK_DRIVER_FILES at its manifest");
   vt_check(result, "vkCreateInstance");
}

static uint32_t
enumerate(const struct vt_vk *vk, VkPhysicalDevice devices[MAX_DEVICES])
{
   uint32_t count = MAX_DEVICES;
   VkResult result = vkEnumeratePhysicalDevices(vk->instance, &count, devices);

   if (result != VK_INCOMPLETE)
      vt_check(result, "vkEnumeratePhysicalDevices");
   if (count == 0)
      vt_die("the Vulkan drivers that are installed find no device: check "
             "the access rights of /dev/dri/renderD*, or use a CPU driver");
   return count;
}

static uint32_t
find_family(VkPhysicalDevice physical, VkQueueFlags wanted, VkQueueFlags unwanted)
{
   VkQueueFamilyProperties families[MAX_FAMILIES];
   uint32_t count = MAX_FAMILIES;

   vkGetPhysicalDeviceQueueFamilyProperties(physical, &count, families);
   for (uint32_t i = 0; i < count; i++) {
      if ((families[i].queueFlags & wanted) == wanted && !(families[i].queueFlags & unwanted))
         return i;
   }
   return NO_FAMILY;
}

/* What the device lacks, or NULL. */
static const char *
missing_feature(VkPhysicalDevice physical)
{
   VkPhysicalDeviceProperties properties;
   VkPhysicalDeviceVulkan12Features features12 = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
   };
   VkPhysicalDeviceFeatures2 features = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
      .pNext = &features12,
   };

   vkGetPhysicalDeviceProperties(physical, &properties);
   if (properties.apiVersion < VK_API_VERSION_1_2)
      return "Vulkan 1.2";

   vkGetPhysicalDeviceFeatures2(physical, &features);
   if (!features.features.sparseBinding)
      return "sparseBinding";
   if (!features.features.sparseResidencyImage2D)
      return "sparseResidencyImage2D";
   if (!features.features.shaderResourceResidency)
      return "shaderResourceResidency";
   if (!features12.timelineSemaphore)
      return "timelineSemaphore";
   if (find_family(physical, VK_QUEUE_GRAPHICS_BIT | VK_QUEUE_COMPUTE_BIT, 0) == NO_FAMILY)
      return "a queue for graphics and compute";
   if (find_family(physical, VK_QUEUE_SPARSE_BINDING_BIT, 0) == NO_FAMILY)
      return "a queue that binds sparse memory";
   return NULL;
}

void
vt_vk_list(void)
{
   struct vt_vk vk = {0};
   VkPhysicalDevice devices[MAX_DEVICES];

   create_instance(&vk);
   uint32_t count = enumerate(&vk, devices);
   for (uint32_t i = 0; i < count; i++) {
      const char *missing = missing_feature(devices[i]);
      VkPhysicalDeviceProperties properties;

      vkGetPhysicalDeviceProperties(devices[i], &properties);
      printf("%u  %s  %s%s\n", i, properties.deviceName, missing ? "lacks " : "will do",
             missing ? missing : "");
   }
   vkDestroyInstance(vk.instance, NULL);
}

static bool
is_wanted(const char *wanted, uint32_t number, const char *name)
{
   char *end;
   unsigned long n;

   if (!wanted)
      return true;
   n = strtoul(wanted, &end, 10);
   return *wanted && !*end ? n == number : strstr(name, wanted) != NULL;
}

static void
choose_device(struct vt_vk *vk, const char *wanted)
{
   VkPhysicalDevice devices[MAX_DEVICES];
   uint32_t count = enumerate(vk, devices);
   const char *missing = NULL;

   for (uint32_t i = 0; i < count; i++) {
      vkGetPhysicalDeviceProperties(devices[i], &vk->properties);
      if (!is_wanted(wanted, i, vk->properties.deviceName))
         continue;

      missing = missing_feature(devices[i]);
      if (!missing) {
         vk->physical = devices[i];
         return;
      }
      if (wanted)
         break;
   }
   if (!missing)
      vt_die("no device '%s': see --list", wanted);
   vt_die("no device for sparse residency: %s lacks %s; use a driver that has "
          "it (lavapipe of Mesa 25, or vmbind), or choose with --device",
          vk->properties.deviceName, missing);
}

static void
choose_families(struct vt_vk *vk)
{
   vk->graphics_family = find_family(vk->physical, VK_QUEUE_GRAPHICS_BIT | VK_QUEUE_COMPUTE_BIT, 0);

   /* A family that does nothing else first, then any other than the graphics
    * one, then that one.
    */
   vk->sparse_family = find_family(vk->physical, VK_QUEUE_SPARSE_BINDING_BIT,
                                   VK_QUEUE_GRAPHICS_BIT | VK_QUEUE_COMPUTE_BIT);
   if (vk->sparse_family == NO_FAMILY)
      vk->sparse_family =
         find_family(vk->physical, VK_QUEUE_SPARSE_BINDING_BIT, VK_QUEUE_GRAPHICS_BIT);
   if (vk->sparse_family == NO_FAMILY)
      vk->sparse_family =
         find_family(vk->physical, VK_QUEUE_SPARSE_BINDING_BIT | VK_QUEUE_GRAPHICS_BIT, 0);
}

static void
create_device(struct vt_vk *vk)
{
   const float priority = 1.0f;
   const VkDeviceQueueCreateInfo queues[2] = {
      {
         .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
         .queueFamilyIndex = vk->graphics_family,
         .queueCount = 1,
         .pQueuePriorities = &priority,
      },
      {
         .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
         .queueFamilyIndex = vk->sparse_family,
         .queueCount = 1,
         .pQueuePriorities = &priority,
      },
   };
   VkPhysicalDeviceVulkan12Features features12 = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
      .timelineSemaphore = VK_TRUE,
   };
   const VkPhysicalDeviceFeatures features = {
      .sparseBinding = VK_TRUE,
      .sparseResidencyImage2D = VK_TRUE,
      .shaderResourceResidency = VK_TRUE,
   };
   const VkDeviceCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
      .pNext = &features12,
      .queueCreateInfoCount = vk->sparse_family != vk->graphics_family ? 2 : 1,
      .pQueueCreateInfos = queues,
      .pEnabledFeatures = &features,
   };

   vt_check(vkCreateDevice(vk->physical, &info, NULL, &vk->device), "vkCreateDevice");
   vkGetDeviceQueue(vk->device, vk->graphics_family, 0, &vk->graphics_queue);
   vkGetDeviceQueue(vk->device, vk->sparse_family, 0, &vk->sparse_queue);
}

void
vt_vk_init(struct vt_vk *vk, const char *wanted)
{
   memset(vk, 0, sizeof(*vk));
   create_instance(vk);
   choose_device(vk, wanted);
   choose_families(vk);
   vkGetPhysicalDeviceMemoryProperties(vk->physical, &vk->memory);
   vk->strict_reads = vk->properties.sparseProperties.residencyNonResidentStrict;
   create_device(vk);
}

void
vt_vk_finish(struct vt_vk *vk)
{
   vkDestroyDevice(vk->device, NULL);
   vkDestroyInstance(vk->instance, NULL);
}

/* ---- memory ---- */

static uint32_t
find_memory_type(const struct vt_vk *vk, uint32_t type_bits, VkMemoryPropertyFlags wanted)
{
   for (uint32_t i = 0; i < vk->memory.memoryTypeCount; i++) {
      if (type_bits >> i & 1 && (vk->memory.memoryTypes[i].propertyFlags & wanted) == wanted)
         return i;
   }
   return VK_MAX_MEMORY_TYPES;
}

VkDeviceMemory
vt_vk_allocate(const struct vt_vk *vk, VkDeviceSize size_B, uint32_t type_bits,
               VkMemoryPropertyFlags wanted)
{
   uint32_t type = find_memory_type(vk, type_bits, wanted);
   VkDeviceMemory memory;

   /* Device-local is a wish, host-visible a need. */
   if (type == VK_MAX_MEMORY_TYPES && !(wanted & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT))
      type = find_memory_type(vk, type_bits, 0);
   if (type == VK_MAX_MEMORY_TYPES)
      vt_die("the device has no memory type for this use (bits %#x)", type_bits);

   const VkMemoryAllocateInfo info = {
      .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
      .allocationSize = size_B,
      .memoryTypeIndex = type,
   };
   vt_check(vkAllocateMemory(vk->device, &info, NULL, &memory), "vkAllocateMemory");
   return memory;
}

void
vt_buffer_init(const struct vt_vk *vk, struct vt_buffer *buffer, VkDeviceSize size_B,
               VkBufferUsageFlags usage)
{
   const VkBufferCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
      .size = size_B,
      .usage = usage,
   };
   VkMemoryRequirements needs;

   vt_check(vkCreateBuffer(vk->device, &info, NULL, &buffer->buffer), "vkCreateBuffer");
   vkGetBufferMemoryRequirements(vk->device, buffer->buffer, &needs);
   buffer->memory =
      vt_vk_allocate(vk, needs.size, needs.memoryTypeBits,
                     VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT);
   vt_check(vkBindBufferMemory(vk->device, buffer->buffer, buffer->memory, 0),
            "vkBindBufferMemory");
   vt_check(vkMapMemory(vk->device, buffer->memory, 0, VK_WHOLE_SIZE, 0, &buffer->data),
            "vkMapMemory");
}

void
vt_buffer_finish(const struct vt_vk *vk, struct vt_buffer *buffer)
{
   vkDestroyBuffer(vk->device, buffer->buffer, NULL);
   vkFreeMemory(vk->device, buffer->memory, NULL);
}

void
vt_image_init(const struct vt_vk *vk, struct vt_image *image, VkFormat format, uint32_t width_px,
              uint32_t height_px, VkImageUsageFlags usage, VkImageAspectFlags aspect)
{
   const VkImageCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
      .imageType = VK_IMAGE_TYPE_2D,
      .format = format,
      .extent = {width_px, height_px, 1},
      .mipLevels = 1,
      .arrayLayers = 1,
      .samples = VK_SAMPLE_COUNT_1_BIT,
      .tiling = VK_IMAGE_TILING_OPTIMAL,
      .usage = usage,
   };
   VkMemoryRequirements needs;

   vt_check(vkCreateImage(vk->device, &info, NULL, &image->image), "vkCreateImage");
   vkGetImageMemoryRequirements(vk->device, image->image, &needs);
   image->memory =
      vt_vk_allocate(vk, needs.size, needs.memoryTypeBits, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT);
   vt_check(vkBindImageMemory(vk->device, image->image, image->memory, 0), "vkBindImageMemory");

   const VkImageViewCreateInfo view = {
      .sType = VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO,
      .image = image->image,
      .viewType = VK_IMAGE_VIEW_TYPE_2D,
      .format = format,
      .subresourceRange = {aspect, 0, 1, 0, 1},
   };
   vt_check(vkCreateImageView(vk->device, &view, NULL, &image->view), "vkCreateImageView");
}

void
vt_image_finish(const struct vt_vk *vk, struct vt_image *image)
{
   vkDestroyImageView(vk->device, image->view, NULL);
   vkDestroyImage(vk->device, image->image, NULL);
   vkFreeMemory(vk->device, image->memory, NULL);
}

/* ---- timelines ---- */

VkSemaphore
vt_vk_timeline(const struct vt_vk *vk)
{
   const VkSemaphoreTypeCreateInfo type = {
      .sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
      .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE,
   };
   const VkSemaphoreCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO,
      .pNext = &type,
   };
   VkSemaphore timeline;

   vt_check(vkCreateSemaphore(vk->device, &info, NULL, &timeline), "vkCreateSemaphore");
   return timeline;
}

void
vt_vk_wait(const struct vt_vk *vk, VkSemaphore timeline, uint64_t value)
{
   const VkSemaphoreWaitInfo info = {
      .sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
      .semaphoreCount = 1,
      .pSemaphores = &timeline,
      .pValues = &value,
   };
   /* Long enough for any CPU driver under any checker; a driver that never
    * signals must not hang a test for ever.
    */
   const uint64_t timeout_ns = 300ull * 1000000000ull;

   vt_check(vkWaitSemaphores(vk->device, &info, timeout_ns), "vkWaitSemaphores");
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Extensions about memory and addresses, each by the clause that it is about.  Not under the
 * validation layer, which is older than some of them.
 */

#define _GNU_SOURCE
#include "vkt.h"

#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCK_B (64 * 1024u)

static const char *const extensions[] = {
   VK_KHR_MAP_MEMORY_2_EXTENSION_NAME,
   VK_EXT_MAP_MEMORY_PLACED_EXTENSION_NAME,
   VK_EXT_DEVICE_FAULT_EXTENSION_NAME,
   VK_EXT_DEVICE_ADDRESS_BINDING_REPORT_EXTENSION_NAME,
   VK_EXT_MEMORY_PRIORITY_EXTENSION_NAME,
   VK_EXT_PAGEABLE_DEVICE_LOCAL_MEMORY_EXTENSION_NAME,
   VK_EXT_HOST_IMAGE_COPY_EXTENSION_NAME,
   VK_KHR_MAINTENANCE_5_EXTENSION_NAME,
};

static void
init(struct vkt *t)
{
   static VkPhysicalDeviceMaintenance5FeaturesKHR maintenance5 = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_5_FEATURES_KHR,
      .maintenance5 = VK_TRUE,
   };
   static VkPhysicalDeviceHostImageCopyFeaturesEXT host_copies = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_HOST_IMAGE_COPY_FEATURES_EXT,
      .pNext = &maintenance5,
      .hostImageCopy = VK_TRUE,
   };
   static VkPhysicalDevicePageableDeviceLocalMemoryFeaturesEXT pageable = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PAGEABLE_DEVICE_LOCAL_MEMORY_FEATURES_EXT,
      .pNext = &host_copies,
      .pageableDeviceLocalMemory = VK_TRUE,
   };
   static VkPhysicalDeviceMapMemoryPlacedFeaturesEXT placed = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAP_MEMORY_PLACED_FEATURES_EXT,
      .pNext = &pageable,
      .memoryMapPlaced = VK_TRUE,
      .memoryUnmapReserve = VK_TRUE,
   };
   static VkPhysicalDeviceFaultFeaturesEXT fault = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FAULT_FEATURES_EXT,
      .pNext = &placed,
      .deviceFault = VK_TRUE,
   };
   static VkPhysicalDeviceAddressBindingReportFeaturesEXT report = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ADDRESS_BINDING_REPORT_FEATURES_EXT,
      .pNext = &fault,
      .reportAddressBinding = VK_TRUE,
   };

   vkt_init_with(t, &(struct vkt_config){
                       .extensions = extensions,
                       .extension_count = VKT_ARRAY_SIZE(extensions),
                       .features = &report,
                       .instance_extensions = (const char *[]){VK_EXT_DEBUG_UTILS_EXTENSION_NAME},
                       .instance_extension_count = 1,
                       .replay = true,
                       .more_usage = VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT,
                    });
}

/* -------------------------------------------------------------- map_memory_placed */

/* Whether the kernel can read there: an address with nothing behind it is an error and no signal. */
static bool
is_mapped(const void *ptr)
{
   int fds[2];

   vkt_expect(!pipe(fds), "-");
   const bool mapped = write(fds[1], ptr, 1) == 1;
   close(fds[0]);
   close(fds[1]);
   return mapped;
}

static void
map_at(struct vkt *t, VkDeviceMemory memory, void *place)
{
   const VkMemoryMapPlacedInfoEXT info = {
      .sType = VK_STRUCTURE_TYPE_MEMORY_MAP_PLACED_INFO_EXT,
      .pPlacedAddress = place,
   };
   void *ptr = NULL;

   vkt_check(vkt_proc(t, vkMapMemory2KHR)(t->device,
                                          &(VkMemoryMapInfoKHR){
                                             .sType = VK_STRUCTURE_TYPE_MEMORY_MAP_INFO_KHR,
                                             .pNext = &info,
                                             .flags = VK_MEMORY_MAP_PLACED_BIT_EXT,
                                             .memory = memory,
                                             .size = VK_WHOLE_SIZE,
                                          },
                                          &ptr));
   vkt_expect(ptr == place, "%p, not %p", ptr, place);
}

/* VK_MEMORY_MAP_PLACED_BIT_EXT: "the implementation places the memory map at the virtual address".
 * VK_MEMORY_UNMAP_RESERVE_BIT_EXT: "the range remains reserved". */
static void
placed_maps(struct vkt *t, VkDeviceSize size_B)
{
   VkPhysicalDeviceMapMemoryPlacedPropertiesEXT placed = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAP_MEMORY_PLACED_PROPERTIES_EXT,
   };
   vkGetPhysicalDeviceProperties2(t->pdev, &(VkPhysicalDeviceProperties2){
                                                  .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                                  .pNext = &placed,
                                               });
   const VkDeviceSize align_B = placed.minPlacedMemoryMapAlignment;
   const VkDeviceSize whole_B = (size_B + align_B - 1) / align_B * align_B;
   /* A multiple of that and of nothing more. */
   uint8_t *const place = (uint8_t *)vkt_pages(whole_B + align_B, PROT_NONE) + align_B;
   const VkDeviceMemory memory = vkt_alloc(t, size_B, NULL);
   struct vkt_buffer out = vkt_buffer_create(t, size_B);
   const VkBuffer buffer = vkt_buffer_create_on(t, size_B, memory, 0);

   for (unsigned round = 0; round < 3; round++) {
      map_at(t, memory, place);
      memset(place, round + 1, size_B);

      VkCommandBuffer cmd = vkt_begin(t);
      vkCmdCopyBuffer(cmd, buffer, out.buffer, 1, &(VkBufferCopy){0, 0, size_B});
      vkCmdFillBuffer(cmd, buffer, 0, 4, 0x61616161);
      vkt_barrier(cmd);
      vkt_run(t, cmd);
      vkt_expect(!memcmp(place + 4, (uint8_t *)out.map + 4, size_B - 4), "the GPU reads others");
      vkt_expect(place[0] == 0x61, "the GPU's store is not seen");

      vkt_check(vkt_proc(t, vkUnmapMemory2KHR)(
         t->device, &(VkMemoryUnmapInfoKHR){
                       .sType = VK_STRUCTURE_TYPE_MEMORY_UNMAP_INFO_KHR,
                       .flags = round == 2 ? 0 : VK_MEMORY_UNMAP_RESERVE_BIT_EXT,
                       .memory = memory,
                    }));
      vkt_expect(!is_mapped(place), "still there");
      /* What is reserved nobody else is given. */
      void *hint = mmap(place, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      vkt_expect((hint == place) == (round == 2), "round %u: %p", round, hint);
      munmap(hint, 4096);
   }

   munmap(place - align_B, align_B);
   vkDestroyBuffer(t->device, buffer, NULL);
   vkFreeMemory(t->device, memory, NULL);
   vkt_buffer_destroy(t, &out);
}

/* Small memory shares BOs though it can be placed: each at its own place, with nothing of its neighbour's. */
static void
placed_neighbours(struct vkt *t)
{
   const VkDeviceSize size_B = 4096, step_B = 64 * 1024;
   uint8_t *const place = vkt_pages(8 * step_B, PROT_NONE);
   VkDeviceMemory memories[8];

   for (unsigned i = 0; i < VKT_ARRAY_SIZE(memories); i++) {
      memories[i] = vkt_alloc(t, size_B, NULL);
      map_at(t, memories[i], place + i * step_B);
      memset(place + i * step_B, i + 1, size_B);
   }
   for (unsigned i = 0; i < VKT_ARRAY_SIZE(memories); i++) {
      const uint8_t *bytes = place + i * step_B;

      vkt_expect(bytes[0] == i + 1 && bytes[size_B - 1] == i + 1, "memory %u: %u %u", i, bytes[0],
                 bytes[size_B - 1]);
      /* Freed while it is mapped. */
      vkFreeMemory(t->device, memories[i], NULL);
      vkt_expect(!is_mapped(bytes), "still there");
   }
   munmap(place, 8 * step_B);
}

/* ------------------------------------------------------- device_address_binding_report */

struct seen {
   VkObjectType type;
   uint64_t object;
   VkDeviceAddressBindingCallbackDataEXT data;
};

static struct seen seen[64];
static unsigned seen_count;

static VKAPI_ATTR VkBool32 VKAPI_CALL
on_binding(VkDebugUtilsMessageSeverityFlagBitsEXT severity, VkDebugUtilsMessageTypeFlagsEXT types,
           const VkDebugUtilsMessengerCallbackDataEXT *data, void *priv)
{
   const VkDeviceAddressBindingCallbackDataEXT *binding = data->pNext;

   (void)severity, (void)priv;
   vkt_expect(types & VK_DEBUG_UTILS_MESSAGE_TYPE_DEVICE_ADDRESS_BINDING_BIT_EXT, "%x", types);
   vkt_expect(binding->sType == VK_STRUCTURE_TYPE_DEVICE_ADDRESS_BINDING_CALLBACK_DATA_EXT, "-");
   if (seen_count < VKT_ARRAY_SIZE(seen) && data->objectCount == 1)
      seen[seen_count++] =
         (struct seen){data->pObjects[0].objectType, data->pObjects[0].objectHandle, *binding};
   return VK_FALSE;
}

static void
expect_seen(VkObjectType type, uint64_t object, VkDeviceAddressBindingTypeEXT binding,
            uint64_t addr_B, uint64_t size_B)
{
   for (unsigned i = 0; i < seen_count; i++) {
      const struct seen *s = &seen[i];
      if (s->type == type && s->object == object && s->data.bindingType == binding &&
          (!addr_B || s->data.baseAddress == addr_B) && s->data.size >= size_B &&
          s->data.baseAddress &&
          !(s->data.flags & VK_DEVICE_ADDRESS_BINDING_INTERNAL_OBJECT_BIT_EXT))
         return;
   }
   vkt_expect(false, "no report for object type %d, binding type %d", type, binding);
}

static VkDeviceAddress
address_of(struct vkt *t, VkBuffer buffer)
{
   return vkGetBufferDeviceAddress(t->device,
                                   &(VkBufferDeviceAddressInfo){
                                      .sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO,
                                      .buffer = buffer,
                                   });
}

/* "when a device virtual address range is bound to or unbound from an object" */
static void
binding_reports(struct vkt *t)
{
   VkDebugUtilsMessengerEXT messenger;
   PFN_vkCreateDebugUtilsMessengerEXT create =
      (PFN_vkCreateDebugUtilsMessengerEXT)vkGetInstanceProcAddr(t->instance,
                                                                "vkCreateDebugUtilsMessengerEXT");
   PFN_vkDestroyDebugUtilsMessengerEXT destroy =
      (PFN_vkDestroyDebugUtilsMessengerEXT)vkGetInstanceProcAddr(
         t->instance, "vkDestroyDebugUtilsMessengerEXT");
   vkt_check(create(t->instance,
                    &(VkDebugUtilsMessengerCreateInfoEXT){
                       .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
                       .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_INFO_BIT_EXT,
                       .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_DEVICE_ADDRESS_BINDING_BIT_EXT,
                       .pfnUserCallback = on_binding,
                    },
                    NULL, &messenger));

   struct vkt_buffer plain = vkt_buffer_create(t, 1000);
   const VkBuffer sparse = vkt_sparse_buffer_create(t, 4 * BLOCK_B, 0);
   VkImage image;
   vkt_check(vkCreateImage(t->device,
                           &(VkImageCreateInfo){
                              .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
                              .imageType = VK_IMAGE_TYPE_2D,
                              .format = VK_FORMAT_R8G8B8A8_UNORM,
                              .extent = {64, 64, 1},
                              .mipLevels = 1,
                              .arrayLayers = 1,
                              .samples = VK_SAMPLE_COUNT_1_BIT,
                              .usage = VK_IMAGE_USAGE_SAMPLED_BIT,
                           },
                           NULL, &image));
   VkMemoryRequirements reqs;
   vkGetImageMemoryRequirements(t->device, image, &reqs);
   const VkDeviceMemory image_memory = vkt_alloc(t, reqs.size, NULL);
   vkt_check(vkBindImageMemory(t->device, image, image_memory, 0));
   vkDestroyImage(t->device, image, NULL);
   vkFreeMemory(t->device, image_memory, NULL);
   const uint64_t memory = (uint64_t)plain.memory, buffer = (uint64_t)plain.buffer;
   const uint64_t addr_B = address_of(t, plain.buffer), sparse_addr_B = address_of(t, sparse);
   vkt_buffer_destroy(t, &plain);
   vkDestroyBuffer(t->device, sparse, NULL);
   destroy(t->instance, messenger, NULL);

   for (unsigned unbind = 0; unbind < 2; unbind++) {
      const VkDeviceAddressBindingTypeEXT type = unbind ? VK_DEVICE_ADDRESS_BINDING_TYPE_UNBIND_EXT
                                                        : VK_DEVICE_ADDRESS_BINDING_TYPE_BIND_EXT;
      expect_seen(VK_OBJECT_TYPE_DEVICE_MEMORY, memory, type, addr_B, 1000);
      expect_seen(VK_OBJECT_TYPE_BUFFER, buffer, type, addr_B, 1000);
      expect_seen(VK_OBJECT_TYPE_IMAGE, (uint64_t)image, type, 0, 64 * 64 * 4);
      expect_seen(VK_OBJECT_TYPE_BUFFER, (uint64_t)sparse, type, sparse_addr_B, 4 * BLOCK_B);
   }
}

/* --------------------------------------------------------------- capture and replay */

struct captured {
   uint64_t memory_addr_B, sparse_addr_B;
   VkDeviceAddress plain, sparse;
};

static VkResult
try_captured(struct vkt *t, VkBufferCreateFlags flags, uint64_t addr_B, VkBuffer *buffer)
{
   const VkBufferOpaqueCaptureAddressCreateInfo capture = {
      .sType = VK_STRUCTURE_TYPE_BUFFER_OPAQUE_CAPTURE_ADDRESS_CREATE_INFO,
      .opaqueCaptureAddress = addr_B,
   };

   return vkCreateBuffer(
      t->device,
      &(VkBufferCreateInfo){
         .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
         .pNext = &capture,
         .flags = flags | VK_BUFFER_CREATE_DEVICE_ADDRESS_CAPTURE_REPLAY_BIT,
         .size = 4 * BLOCK_B,
         .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT,
      },
      NULL, buffer);
}

static VkBuffer
create_captured(struct vkt *t, VkBufferCreateFlags flags, uint64_t addr_B)
{
   VkBuffer buffer;

   vkt_check(try_captured(t, flags, addr_B, &buffer));
   return buffer;
}

static VkResult
alloc_captured(struct vkt *t, uint64_t addr_B, VkDeviceMemory *memory)
{
   const VkMemoryOpaqueCaptureAddressAllocateInfo capture = {
      .sType = VK_STRUCTURE_TYPE_MEMORY_OPAQUE_CAPTURE_ADDRESS_ALLOCATE_INFO,
      .opaqueCaptureAddress = addr_B,
   };
   const VkMemoryAllocateFlagsInfo flags = {
      .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
      .pNext = &capture,
      .flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT |
               VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_CAPTURE_REPLAY_BIT,
   };

   return vkAllocateMemory(t->device,
                           &(VkMemoryAllocateInfo){
                              .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                              .pNext = &flags,
                              .allocationSize = 4 * BLOCK_B,
                           },
                           NULL, memory);
}

/* In a process of its own, in which much else is where it was not before. */
static void
capture_or_replay(struct captured *c)
{
   const bool replay = c->memory_addr_B;
   VkDeviceMemory memory, other;
   struct vkt t;

   init(&t);
   if (replay) {
      for (unsigned i = 0; i < 100; i++)
         vkt_alloc(&t, (i + 1) * 10000, NULL);
   }
   vkt_check(alloc_captured(&t, c->memory_addr_B, &memory));
   const VkBuffer plain = create_captured(&t, 0, 0);
   vkt_check(vkBindBufferMemory(t.device, plain, memory, 0));
   const VkBuffer sparse =
      create_captured(&t, VK_BUFFER_CREATE_SPARSE_BINDING_BIT, c->sparse_addr_B);

   const struct captured now = {
      .memory_addr_B = vkGetDeviceMemoryOpaqueCaptureAddress(
         t.device,
         &(VkDeviceMemoryOpaqueCaptureAddressInfo){
            .sType = VK_STRUCTURE_TYPE_DEVICE_MEMORY_OPAQUE_CAPTURE_ADDRESS_INFO,
            .memory = memory,
         }),
      .sparse_addr_B = vkGetBufferOpaqueCaptureAddress(
         t.device,
         &(VkBufferDeviceAddressInfo){
            .sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO,
            .buffer = sparse,
         }),
      .plain = address_of(&t, plain),
      .sparse = address_of(&t, sparse),
   };
   vkt_expect(now.memory_addr_B && now.sparse_addr_B, "-");
   if (replay) {
      /* "if the address is not available: VK_ERROR_INVALID_OPAQUE_CAPTURE_ADDRESS" */
      vkt_expect(alloc_captured(&t, c->memory_addr_B, &other) ==
                    VK_ERROR_INVALID_OPAQUE_CAPTURE_ADDRESS,
                 "one address twice");
      /* Of a device whose addresses were others. */
      static const uint64_t nowhere_B[] = {0x10000, 0x7fffffff0000, 0xffffffffffff0000};
      for (unsigned i = 0; i < VKT_ARRAY_SIZE(nowhere_B); i++) {
         VkBuffer none;
         VkResult result = alloc_captured(&t, nowhere_B[i], &other);
         vkt_expect(result == VK_ERROR_INVALID_OPAQUE_CAPTURE_ADDRESS, "memory at %u: %d", i, result);
         result = try_captured(&t, VK_BUFFER_CREATE_SPARSE_BINDING_BIT, nowhere_B[i], &none);
         vkt_expect(result == VK_ERROR_INVALID_OPAQUE_CAPTURE_ADDRESS, "buffer at %u: %d", i, result);
      }
      vkt_expect(!memcmp(&now, c, sizeof(now)), "0x%llx is 0x%llx now, 0x%llx is 0x%llx",
                 (unsigned long long)c->plain, (unsigned long long)now.plain,
                 (unsigned long long)c->sparse, (unsigned long long)now.sparse);
   }
   *c = now;
   vkDestroyBuffer(t.device, plain, NULL);
   vkDestroyBuffer(t.device, sparse, NULL);
   vkFreeMemory(t.device, memory, NULL);
   vkt_finish(&t);
}

static int
in_child(const char *self, const struct captured *c, struct captured *out)
{
   char text[256] = "";
   int fds[2], status;

   snprintf(text, sizeof(text), "%llx,%llx,%llx,%llx", (unsigned long long)c->memory_addr_B,
            (unsigned long long)c->sparse_addr_B, (unsigned long long)c->plain,
            (unsigned long long)c->sparse);
   vkt_expect(!pipe(fds), "-");
   const pid_t pid = fork();
   if (pid == 0) {
      dup2(fds[1], STDOUT_FILENO);
      execl(self, self, text, NULL);
      _exit(127);
   }
   close(fds[1]);
   const ssize_t got = read(fds[0], out, sizeof(*out));
   close(fds[0]);
   waitpid(pid, &status, 0);
   return got == sizeof(*out) && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int
child(const char *text)
{
   unsigned long long v[4];

   vkt_expect(sscanf(text, "%llx,%llx,%llx,%llx", &v[0], &v[1], &v[2], &v[3]) == 4, "%s", text);
   struct captured c = {v[0], v[1], v[2], v[3]};
   capture_or_replay(&c);
   return write(STDOUT_FILENO, &c, sizeof(c)) == sizeof(c) ? 0 : 1;
}

static void
captured_addresses(const char *self)
{
   struct captured first = {0}, second;

   vkt_expect(in_child(self, &first, &first) == 0, "the capture failed");
   for (unsigned i = 0; i < 2; i++)
      vkt_expect(in_child(self, &first, &second) == 0, "the replay failed");
}

/* ---------------------------------------------------------------------- device_fault */

/* "Query faults that may have caused a VK_ERROR_DEVICE_LOST error": which bind, of what. */
static void
fault_info(int (*set_fault)(const char *))
{
   struct vkt t;

   init(&t);
   const VkDeviceMemory memory = vkt_alloc(&t, BLOCK_B, NULL);
   const VkBuffer buffer = vkt_sparse_buffer_create(&t, 4 * BLOCK_B, 0);
   const VkSparseMemoryBind bind = {.resourceOffset = 2 * BLOCK_B, .size = BLOCK_B, .memory = memory};
   const VkSparseBufferMemoryBindInfo info = {buffer, 1, &bind};
   const VkDeviceAddress addr_B = address_of(&t, buffer) + 2 * BLOCK_B;

   set_fault(VKT_FAIL_NEXT_BIND);
   vkt_bind(&t, t.sparse, &(VkBindSparseInfo){.bufferBindCount = 1, .pBufferBinds = &info}, NULL);
   const VkResult idle = vkDeviceWaitIdle(t.device);
   set_fault(NULL);
   vkt_expect(idle == VK_SUCCESS || idle == VK_ERROR_DEVICE_LOST, "%d", idle);
   vkt_expect(vkQueueWaitIdle(t.sparse->queue) == VK_ERROR_DEVICE_LOST, "not lost");

   VkDeviceFaultCountsEXT counts = {.sType = VK_STRUCTURE_TYPE_DEVICE_FAULT_COUNTS_EXT};
   PFN_vkGetDeviceFaultInfoEXT get = vkt_proc(&t, vkGetDeviceFaultInfoEXT);
   vkt_check(get(t.device, &counts, NULL));
   vkt_expect(counts.addressInfoCount == 1 && counts.vendorInfoCount == 1, "%u, %u",
              counts.addressInfoCount, counts.vendorInfoCount);

   VkDeviceFaultAddressInfoEXT address;
   VkDeviceFaultVendorInfoEXT vendor;
   VkDeviceFaultInfoEXT fault = {
      .sType = VK_STRUCTURE_TYPE_DEVICE_FAULT_INFO_EXT,
      .pAddressInfos = &address,
      .pVendorInfos = &vendor,
   };
   vkt_check(get(t.device, &counts, &fault));
   vkt_expect(address.reportedAddress == addr_B, "0x%llx, not 0x%llx",
              (unsigned long long)address.reportedAddress, (unsigned long long)addr_B);
   vkt_expect(strstr(fault.description, "sparse bind"), "it says: %s", fault.description);
   vkt_expect(strstr(vendor.description, "sparse buffer"), "it says: %s", vendor.description);
   counts.addressInfoCount = counts.vendorInfoCount = 0;
   vkt_expect(get(t.device, &counts, &fault) == VK_INCOMPLETE, "-");

   vkDestroyBuffer(t.device, buffer, NULL);
   vkFreeMemory(t.device, memory, NULL);
   vkDestroyCommandPool(t.device, t.pool, NULL);
   vkDestroyDevice(t.device, NULL);
   vkDestroyInstance(t.instance, NULL);
}

/* -------------------------------------------------- pageable_device_local_memory */

static void
priorities(struct vkt *t)
{
   void *ptr;
   const VkDeviceMemory memory = vkt_alloc(t, 1 << 20, &ptr);

   memset(ptr, 3, 1 << 20);
   for (float priority = 0.0f; priority <= 1.0f; priority += 0.25f)
      vkt_proc(t, vkSetDeviceMemoryPriorityEXT)(t->device, memory, priority);
   for (unsigned i = 0; i < 1 << 20; i += 4096)
      vkt_expect(((uint8_t *)ptr)[i] == 3, "byte %u is gone", i);
   vkFreeMemory(t->device, memory, NULL);
}

/* --------------------------------------------------------------- host_image_copy */

/* An image of four blocks, of which the first and the last one are bound: what the host copies to the
 * others is lost, and it reads zeros there (Vulkan, "Copying Data Between Host Memory and Images",
 * "Accessing Unbound Regions").  Between two sparse images, too.
 */
static void
host_copies(struct vkt *t)
{
   static uint32_t texels[256 * 256], found[256 * 256];
   const bool strict = t->props.sparseProperties.residencyNonResidentStrict;
   const VkImageSubresourceLayers layer = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1};
   const VkExtent3D extent = {256, 256, 1};
   const VkDeviceMemory memory = vkt_alloc(t, 4 * BLOCK_B, NULL);
   VkImage images[2];

   for (uint32_t i = 0; i < 2; i++) {
      vkt_check(vkCreateImage(
         t->device,
         &(VkImageCreateInfo){
            .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
            .flags = VK_IMAGE_CREATE_SPARSE_BINDING_BIT | VK_IMAGE_CREATE_SPARSE_RESIDENCY_BIT,
            .imageType = VK_IMAGE_TYPE_2D,
            .format = VK_FORMAT_R32_UINT,
            .extent = extent,
            .mipLevels = 1,
            .arrayLayers = 1,
            .samples = VK_SAMPLE_COUNT_1_BIT,
            .usage = VK_IMAGE_USAGE_HOST_TRANSFER_BIT_EXT,
         },
         NULL, &images[i]));

      VkSparseImageMemoryBind binds[2] = {
         {.subresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0}, .extent = {128, 128, 1}},
         {.subresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0}, .extent = {128, 128, 1},
          .offset = {128, 128, 0}},
      };
      for (uint32_t b = 0; b < 2; b++) {
         binds[b].memory = memory;
         binds[b].memoryOffset = (2 * i + b) * BLOCK_B;
      }
      vkt_bind_and_wait(t, &(VkBindSparseInfo){
                              .imageBindCount = 1,
                              .pImageBinds = &(VkSparseImageMemoryBindInfo){images[i], 2, binds},
                           });
      vkt_check(vkt_proc(t, vkTransitionImageLayoutEXT)(
         t->device, 1,
         &(VkHostImageLayoutTransitionInfoEXT){
            .sType = VK_STRUCTURE_TYPE_HOST_IMAGE_LAYOUT_TRANSITION_INFO_EXT,
            .image = images[i],
            .newLayout = VK_IMAGE_LAYOUT_GENERAL,
            .subresourceRange = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1},
         }));
   }

   for (uint32_t i = 0; i < 256 * 256; i++)
      texels[i] = i + 1;
   vkt_check(vkt_proc(t, vkCopyMemoryToImageEXT)(
      t->device, &(VkCopyMemoryToImageInfoEXT){
                    .sType = VK_STRUCTURE_TYPE_COPY_MEMORY_TO_IMAGE_INFO_EXT,
                    .dstImage = images[0],
                    .dstImageLayout = VK_IMAGE_LAYOUT_GENERAL,
                    .regionCount = 1,
                    .pRegions =
                       &(VkMemoryToImageCopyEXT){
                          .sType = VK_STRUCTURE_TYPE_MEMORY_TO_IMAGE_COPY_EXT,
                          .pHostPointer = texels,
                          .imageSubresource = layer,
                          .imageExtent = extent,
                       },
                 }));
   vkt_check(vkt_proc(t, vkCopyImageToImageEXT)(
      t->device, &(VkCopyImageToImageInfoEXT){
                    .sType = VK_STRUCTURE_TYPE_COPY_IMAGE_TO_IMAGE_INFO_EXT,
                    .srcImage = images[0],
                    .srcImageLayout = VK_IMAGE_LAYOUT_GENERAL,
                    .dstImage = images[1],
                    .dstImageLayout = VK_IMAGE_LAYOUT_GENERAL,
                    .regionCount = 1,
                    .pRegions =
                       &(VkImageCopy2){
                          .sType = VK_STRUCTURE_TYPE_IMAGE_COPY_2,
                          .srcSubresource = layer,
                          .dstSubresource = layer,
                          .extent = extent,
                       },
                 }));

   for (uint32_t i = 0; i < 2; i++) {
      vkt_check(vkt_proc(t, vkCopyImageToMemoryEXT)(
         t->device, &(VkCopyImageToMemoryInfoEXT){
                       .sType = VK_STRUCTURE_TYPE_COPY_IMAGE_TO_MEMORY_INFO_EXT,
                       .srcImage = images[i],
                       .srcImageLayout = VK_IMAGE_LAYOUT_GENERAL,
                       .regionCount = 1,
                       .pRegions =
                          &(VkImageToMemoryCopyEXT){
                             .sType = VK_STRUCTURE_TYPE_IMAGE_TO_MEMORY_COPY_EXT,
                             .pHostPointer = found,
                             .imageSubresource = layer,
                             .imageExtent = extent,
                          },
                    }));
      for (uint32_t at = 0; at < 256 * 256; at++) {
         const bool bound = (at % 256 < 128) == (at / 256 < 128);
         vkt_expect((!bound && !strict) || found[at] == (bound ? at + 1 : 0),
                    "image %u: texel %u is 0x%x", i, at, found[at]);
      }
      vkDestroyImage(t->device, images[i], NULL);
   }
   vkFreeMemory(t->device, memory, NULL);
}

/* ------------------------------------------------------------------ maintenance5 */

/* vkGetDeviceImageSubresourceLayout says of an image that does not exist what vkGetImageSubresourceLayout2 says
 * of one that does, and how much the host must have room for (VK_EXT_host_image_copy). */
static void
layout_without_an_image(struct vkt *t, VkImageCreateFlags flags, VkImageTiling tiling)
{
   const VkImageCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
      .flags = flags,
      .imageType = VK_IMAGE_TYPE_2D,
      .format = VK_FORMAT_R8_UNORM,
      .extent = {300, 200, 1},
      .mipLevels = tiling == VK_IMAGE_TILING_LINEAR ? 1 : 4,
      .arrayLayers = tiling == VK_IMAGE_TILING_LINEAR ? 1 : 3,
      .samples = VK_SAMPLE_COUNT_1_BIT,
      .tiling = tiling,
      .usage = VK_IMAGE_USAGE_HOST_TRANSFER_BIT_EXT,
   };
   const VkImageSubresource2KHR subresource = {
      .sType = VK_STRUCTURE_TYPE_IMAGE_SUBRESOURCE_2_KHR,
      .imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, info.mipLevels - 1, info.arrayLayers - 1},
   };
   VkSubresourceHostMemcpySizeEXT sizes[2];
   VkSubresourceLayout2KHR layouts[2];
   VkImage image;

   for (unsigned i = 0; i < 2; i++) {
      sizes[i] = (VkSubresourceHostMemcpySizeEXT){
         .sType = VK_STRUCTURE_TYPE_SUBRESOURCE_HOST_MEMCPY_SIZE_EXT};
      layouts[i] = (VkSubresourceLayout2KHR){
         .sType = VK_STRUCTURE_TYPE_SUBRESOURCE_LAYOUT_2_KHR, .pNext = &sizes[i]};
   }
   vkt_check(vkCreateImage(t->device, &info, NULL, &image));
   vkt_proc(t, vkGetImageSubresourceLayout2KHR)(t->device, image, &subresource, &layouts[0]);
   vkt_proc(t, vkGetDeviceImageSubresourceLayoutKHR)(
      t->device,
      &(VkDeviceImageSubresourceInfoKHR){
         .sType = VK_STRUCTURE_TYPE_DEVICE_IMAGE_SUBRESOURCE_INFO_KHR,
         .pCreateInfo = &info,
         .pSubresource = &subresource,
      },
      &layouts[1]);
   vkDestroyImage(t->device, image, NULL);

   const VkSubresourceLayout *there = &layouts[0].subresourceLayout;
   const VkSubresourceLayout *to_be = &layouts[1].subresourceLayout;
   vkt_expect(!memcmp(there, to_be, sizeof(*there)) && sizes[0].size == sizes[1].size,
              "flags %x, tiling %u: rows of %llu bytes at %llu, but %llu at %llu", flags, tiling,
              (unsigned long long)there->rowPitch, (unsigned long long)there->offset,
              (unsigned long long)to_be->rowPitch, (unsigned long long)to_be->offset);
   const VkDeviceSize width = info.extent.width >> (info.mipLevels - 1);
   const VkDeviceSize height = info.extent.height >> (info.mipLevels - 1);
   vkt_expect(sizes[0].size >= width * height, "room for %llu bytes",
              (unsigned long long)sizes[0].size);
}

static void
layouts_without_images(struct vkt *t)
{
   const VkImageCreateFlags sparse = VK_IMAGE_CREATE_SPARSE_BINDING_BIT;

   layout_without_an_image(t, 0, VK_IMAGE_TILING_LINEAR);
   layout_without_an_image(t, 0, VK_IMAGE_TILING_OPTIMAL);
   layout_without_an_image(t, sparse, VK_IMAGE_TILING_LINEAR);
   layout_without_an_image(t, sparse, VK_IMAGE_TILING_OPTIMAL);
   layout_without_an_image(t, sparse | VK_IMAGE_CREATE_SPARSE_RESIDENCY_BIT,
                           VK_IMAGE_TILING_OPTIMAL);
}

int
main(int argc, char **argv)
{
   int (*set_fault)(const char *) = dlsym(RTLD_DEFAULT, "drm_sim_set_fault");
   struct vkt t;

   if (argc > 1)
      return child(argv[1]);

   init(&t);
   placed_maps(&t, 3 * BLOCK_B);
   placed_maps(&t, 5000);
   placed_neighbours(&t);
   binding_reports(&t);
   priorities(&t);
   host_copies(&t);
   layouts_without_images(&t);
   vkt_finish(&t);

   captured_addresses(argv[0]);
   if (set_fault)
      fault_info(set_fault);

   return 0;
}

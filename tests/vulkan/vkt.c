/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See vkt.h.
 */

#include "vkt.h"

#include <dirent.h>
#include <sys/mman.h>

#define VALIDATION_LAYER "VK_LAYER_KHRONOS_validation"

void
vkt_check_result(VkResult result, const char *call, const char *file, int line)
{
   if (result == VK_SUCCESS)
      return;

   fprintf(stderr, "%s:%d: VkResult %d: %s\n", file, line, result, call);
   exit(1);
}

/* -------------------------------------------------------- instance and device */

static void
skip(const char *why)
{
   fprintf(stderr, "skipped: %s\n", why);
   exit(77);
}

static void
pick_device(struct vkt *t)
{
   VkPhysicalDevice pdevs[16];
   uint32_t count = VKT_ARRAY_SIZE(pdevs);
   VkResult result = vkEnumeratePhysicalDevices(t->instance, &count, pdevs);

   if (result != VK_SUCCESS && result != VK_INCOMPLETE)
      skip("no physical device");

   for (uint32_t i = 0; i < count; i++) {
      vkGetPhysicalDeviceFeatures(pdevs[i], &t->features);
      if (!t->features.sparseBinding)
         continue;
      t->pdev = pdevs[i];
      vkGetPhysicalDeviceProperties(t->pdev, &t->props);
      return;
   }

   skip("no device with sparse binding");
}

static void
create_device(struct vkt *t, const struct vkt_config *config)
{
   VkQueueFamilyProperties families[VKT_MAX_QUEUES];
   VkDeviceQueueCreateInfo queues[VKT_MAX_QUEUES];
   const float priorities[VKT_MAX_QUEUES] = {0};
   uint32_t family_count = VKT_ARRAY_SIZE(families);
   vkGetPhysicalDeviceQueueFamilyProperties(t->pdev, &family_count, families);

   for (uint32_t f = 0; f < family_count; f++) {
      queues[f] = (VkDeviceQueueCreateInfo){
         .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
         .queueFamilyIndex = f,
         .queueCount = families[f].queueCount,
         .pQueuePriorities = priorities,
      };
   }

   VkPhysicalDeviceVulkan13Features features13 = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES,
      .pNext = config->features,
      .dynamicRendering = VK_TRUE,
   };
   VkPhysicalDeviceVulkan12Features features12 = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
      .pNext = &features13,
      .timelineSemaphore = VK_TRUE,
      .bufferDeviceAddress = VK_TRUE,
      .bufferDeviceAddressCaptureReplay = config->replay,
   };
   vkt_check(vkCreateDevice(t->pdev,
                            &(VkDeviceCreateInfo){
                               .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                               .pNext = &features12,
                               .queueCreateInfoCount = family_count,
                               .pQueueCreateInfos = queues,
                               .enabledExtensionCount = config->extension_count,
                               .ppEnabledExtensionNames = config->extensions,
                               .pEnabledFeatures = &t->features,
                            },
                            NULL, &t->device));

   for (uint32_t f = 0; f < family_count; f++) {
      for (uint32_t i = 0; i < families[f].queueCount; i++) {
         struct vkt_queue *queue = &t->queues[t->queue_count++];
         queue->family = f;
         queue->flags = families[f].queueFlags;
         vkGetDeviceQueue(t->device, f, i, &queue->queue);
         if (!t->graphics && (queue->flags & VK_QUEUE_GRAPHICS_BIT))
            t->graphics = queue;
         if (!t->sparse && queue->flags == VK_QUEUE_SPARSE_BINDING_BIT)
            t->sparse = queue;
      }
   }
   if (!t->sparse)
      t->sparse = t->graphics;
}

static VKAPI_ATTR VkBool32 VKAPI_CALL
fail_on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                VkDebugUtilsMessageTypeFlagsEXT types,
                const VkDebugUtilsMessengerCallbackDataEXT *data, void *priv)
{
   (void)severity, (void)types, (void)priv;
   fprintf(stderr, "validation: %s\n", data->pMessage);
   exit(1);
}

static bool
has_validation_layer(void)
{
   VkLayerProperties layers[32];
   uint32_t count = VKT_ARRAY_SIZE(layers);

   vkEnumerateInstanceLayerProperties(&count, layers);
   for (uint32_t i = 0; i < count; i++) {
      if (!strcmp(layers[i].layerName, VALIDATION_LAYER))
         return true;
   }
   return false;
}

void
vkt_init(struct vkt *t)
{
   vkt_init_with(t, &(struct vkt_config){0});
}

PFN_vkVoidFunction
vkt_get_proc(struct vkt *t, const char *name)
{
   const PFN_vkVoidFunction proc = vkGetDeviceProcAddr(t->device, name);

   vkt_expect(proc, "no %s", name);
   return proc;
}

void
vkt_init_with(struct vkt *t, const struct vkt_config *config)
{
   static const char *const layers[] = {VALIDATION_LAYER};
   const char *extensions[8] = {VK_EXT_DEBUG_UTILS_EXTENSION_NAME};
   static const VkDebugUtilsMessengerCreateInfoEXT messenger = {
      .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
      .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
      .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT,
      .pfnUserCallback = fail_on_message,
   };
   const bool validate = getenv("VKT_VALIDATE");

   memset(t, 0, sizeof(*t));
   t->more_usage = config->more_usage;
   if (validate && !has_validation_layer())
      skip("no validation layer");

   uint32_t extension_count = validate;
   for (uint32_t i = 0; i < config->instance_extension_count; i++)
      extensions[extension_count++] = config->instance_extensions[i];

   const VkApplicationInfo app = {
      .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
      .pApplicationName = "vmbind tests",
      .apiVersion = VK_API_VERSION_1_3,
   };
   VkResult result = vkCreateInstance(
      &(VkInstanceCreateInfo){
         .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
         .pNext = validate ? &messenger : NULL,
         .pApplicationInfo = &app,
         .enabledLayerCount = validate,
         .ppEnabledLayerNames = layers,
         .enabledExtensionCount = extension_count,
         .ppEnabledExtensionNames = extensions,
      },
      NULL, &t->instance);
   if (result == VK_ERROR_INCOMPATIBLE_DRIVER)
      skip("no Vulkan driver");
   vkt_check(result);

   if (validate) {
      PFN_vkCreateDebugUtilsMessengerEXT create =
         (PFN_vkCreateDebugUtilsMessengerEXT)vkGetInstanceProcAddr(
            t->instance, "vkCreateDebugUtilsMessengerEXT");
      vkt_check(create(t->instance, &messenger, NULL, &t->messenger));
   }

   pick_device(t);
   create_device(t, config);

   vkt_check(vkCreateCommandPool(t->device,
                                 &(VkCommandPoolCreateInfo){
                                    .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                    .queueFamilyIndex = t->graphics->family,
                                 },
                                 NULL, &t->pool));
}

void
vkt_finish(struct vkt *t)
{
   vkt_check(vkDeviceWaitIdle(t->device));
   vkDestroyCommandPool(t->device, t->pool, NULL);
   vkDestroyDevice(t->device, NULL);
   if (t->messenger) {
      PFN_vkDestroyDebugUtilsMessengerEXT destroy =
         (PFN_vkDestroyDebugUtilsMessengerEXT)vkGetInstanceProcAddr(
            t->instance, "vkDestroyDebugUtilsMessengerEXT");
      destroy(t->instance, t->messenger, NULL);
   }
   vkDestroyInstance(t->instance, NULL);
}

/* ------------------------------------------------------------------ memory */

VkDeviceMemory
vkt_alloc(struct vkt *t, VkDeviceSize size_B, void **map_out)
{
   VkPhysicalDeviceMemoryProperties props;
   const VkMemoryPropertyFlags wanted =
      VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
   VkDeviceMemory memory;
   uint32_t type = 0;

   vkGetPhysicalDeviceMemoryProperties(t->pdev, &props);
   while (type < props.memoryTypeCount &&
          (props.memoryTypes[type].propertyFlags & wanted) != wanted)
      type++;
   vkt_expect(type < props.memoryTypeCount, "no host-visible memory type");

   vkt_check(vkAllocateMemory(t->device,
                              &(VkMemoryAllocateInfo){
                                 .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                 .allocationSize = size_B,
                                 .memoryTypeIndex = type,
                              },
                              NULL, &memory));
   if (map_out)
      vkt_check(vkMapMemory(t->device, memory, 0, VK_WHOLE_SIZE, 0, map_out));

   return memory;
}

#define BUFFER_USAGE                                                                               \
   (VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT |                          \
    VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_UNIFORM_TEXEL_BUFFER_BIT |                \
    VK_BUFFER_USAGE_STORAGE_TEXEL_BUFFER_BIT)

static VkBuffer
create_buffer(struct vkt *t, VkDeviceSize size_B, VkBufferCreateFlags flags, const void *next)
{
   VkBuffer buffer;

   vkt_check(vkCreateBuffer(t->device,
                            &(VkBufferCreateInfo){
                               .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                               .pNext = next,
                               .flags = flags,
                               .size = size_B,
                               .usage = BUFFER_USAGE | t->more_usage,
                            },
                            NULL, &buffer));
   return buffer;
}

VkBuffer
vkt_sparse_buffer_create(struct vkt *t, VkDeviceSize size_B, VkBufferCreateFlags flags)
{
   return create_buffer(t, size_B, VK_BUFFER_CREATE_SPARSE_BINDING_BIT | flags, NULL);
}

VkBuffer
vkt_sparse_buffer_create_for(struct vkt *t, VkDeviceSize size_B,
                             VkExternalMemoryHandleTypeFlags handles)
{
   const VkExternalMemoryBufferCreateInfo external = {
      .sType = VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO,
      .handleTypes = handles,
   };

   return create_buffer(t, size_B, VK_BUFFER_CREATE_SPARSE_BINDING_BIT, &external);
}

struct vkt_buffer
vkt_buffer_create(struct vkt *t, VkDeviceSize size_B)
{
   struct vkt_buffer buffer = {.size_B = size_B, .buffer = create_buffer(t, size_B, 0, NULL)};
   VkMemoryRequirements reqs;

   vkGetBufferMemoryRequirements(t->device, buffer.buffer, &reqs);
   buffer.memory = vkt_alloc(t, reqs.size, &buffer.map);
   vkt_check(vkBindBufferMemory(t->device, buffer.buffer, buffer.memory, 0));

   return buffer;
}

VkBuffer
vkt_buffer_create_on(struct vkt *t, VkDeviceSize size_B, VkDeviceMemory memory,
                     VkExternalMemoryHandleTypeFlags handles)
{
   const VkExternalMemoryBufferCreateInfo external = {
      .sType = VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO,
      .handleTypes = handles,
   };
   const VkBuffer buffer = create_buffer(t, size_B, 0, &external);
   VkMemoryRequirements reqs;

   vkGetBufferMemoryRequirements(t->device, buffer, &reqs);
   vkt_expect(reqs.size <= size_B, "%llu", (unsigned long long)reqs.size);
   vkt_check(vkBindBufferMemory(t->device, buffer, memory, 0));
   return buffer;
}

void
vkt_buffer_destroy(struct vkt *t, struct vkt_buffer *buffer)
{
   vkDestroyBuffer(t->device, buffer->buffer, NULL);
   vkFreeMemory(t->device, buffer->memory, NULL);
}

/* ---------------------------------------------------------------- commands */

VkCommandBuffer
vkt_begin(struct vkt *t)
{
   return vkt_begin_in(t, t->pool);
}

VkCommandBuffer
vkt_begin_in(struct vkt *t, VkCommandPool pool)
{
   VkCommandBuffer cmd;

   vkt_check(vkAllocateCommandBuffers(t->device,
                                      &(VkCommandBufferAllocateInfo){
                                         .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                         .commandPool = pool,
                                         .commandBufferCount = 1,
                                      },
                                      &cmd));
   vkt_check(vkBeginCommandBuffer(
      cmd, &(VkCommandBufferBeginInfo){.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO}));
   return cmd;
}

/** Semaphores and values apart, as Vulkan wants them. */
struct split_syncs {
   VkSemaphore wait_semaphores[VKT_MAX_SYNCS], signal_semaphores[VKT_MAX_SYNCS];
   uint64_t wait_values[VKT_MAX_SYNCS], signal_values[VKT_MAX_SYNCS];
   VkTimelineSemaphoreSubmitInfo timeline;
};

static void
split(const struct vkt_syncs *syncs, struct split_syncs *out)
{
   for (uint32_t i = 0; i < syncs->wait_count; i++) {
      out->wait_semaphores[i] = syncs->waits[i].semaphore;
      out->wait_values[i] = syncs->waits[i].value;
   }
   for (uint32_t i = 0; i < syncs->signal_count; i++) {
      out->signal_semaphores[i] = syncs->signals[i].semaphore;
      out->signal_values[i] = syncs->signals[i].value;
   }
   out->timeline = (VkTimelineSemaphoreSubmitInfo){
      .sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
      .waitSemaphoreValueCount = syncs->wait_count,
      .pWaitSemaphoreValues = out->wait_values,
      .signalSemaphoreValueCount = syncs->signal_count,
      .pSignalSemaphoreValues = out->signal_values,
   };
}

static const struct vkt_syncs no_syncs;

void
vkt_submit(struct vkt *t, struct vkt_queue *queue, VkCommandBuffer cmd,
           const struct vkt_syncs *syncs)
{
   static const VkPipelineStageFlags stages[VKT_MAX_SYNCS] = {
      VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT,
      VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT};
   struct split_syncs s;

   syncs = syncs ? syncs : &no_syncs;
   split(syncs, &s);
   if (cmd)
      vkt_check(vkEndCommandBuffer(cmd));

   vkt_check(vkQueueSubmit(queue->queue, 1,
                           &(VkSubmitInfo){
                              .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                              .pNext = &s.timeline,
                              .waitSemaphoreCount = syncs->wait_count,
                              .pWaitSemaphores = s.wait_semaphores,
                              .pWaitDstStageMask = stages,
                              .commandBufferCount = cmd != NULL,
                              .pCommandBuffers = &cmd,
                              .signalSemaphoreCount = syncs->signal_count,
                              .pSignalSemaphores = s.signal_semaphores,
                           },
                           syncs->fence));
   (void)t;
}

void
vkt_bind(struct vkt *t, struct vkt_queue *queue, const VkBindSparseInfo *info,
         const struct vkt_syncs *syncs)
{
   struct split_syncs s;
   VkBindSparseInfo with_syncs = *info;

   syncs = syncs ? syncs : &no_syncs;
   split(syncs, &s);
   with_syncs.sType = VK_STRUCTURE_TYPE_BIND_SPARSE_INFO;
   with_syncs.pNext = &s.timeline;
   with_syncs.waitSemaphoreCount = syncs->wait_count;
   with_syncs.pWaitSemaphores = s.wait_semaphores;
   with_syncs.signalSemaphoreCount = syncs->signal_count;
   with_syncs.pSignalSemaphores = s.signal_semaphores;

   vkt_check(vkQueueBindSparse(queue->queue, 1, &with_syncs, syncs->fence));
   (void)t;
}

void
vkt_sync(struct vkt *t, struct vkt_queue *queue, const struct vkt_syncs *syncs)
{
   if (queue == t->sparse)
      vkt_bind(t, queue, &(VkBindSparseInfo){0}, syncs);
   else
      vkt_submit(t, queue, NULL, syncs);
}

void
vkt_run(struct vkt *t, VkCommandBuffer cmd)
{
   const VkFence fence = vkt_fence_create(t);

   vkt_submit(t, t->graphics, cmd, &(struct vkt_syncs){.fence = fence});
   vkt_fence_wait(t, fence);
   vkDestroyFence(t->device, fence, NULL);
}

void
vkt_bind_and_wait(struct vkt *t, const VkBindSparseInfo *info)
{
   const VkFence fence = vkt_fence_create(t);

   vkt_bind(t, t->sparse, info, &(struct vkt_syncs){.fence = fence});
   vkt_fence_wait(t, fence);
   vkDestroyFence(t->device, fence, NULL);
}

VkSemaphore
vkt_semaphore_create(struct vkt *t, VkSemaphoreType type)
{
   return vkt_semaphore_create_exportable(t, type, 0);
}

VkSemaphore
vkt_semaphore_create_exportable(struct vkt *t, VkSemaphoreType type,
                                VkExternalSemaphoreHandleTypeFlags handles)
{
   const VkSemaphoreTypeCreateInfo type_info = {
      .sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
      .semaphoreType = type,
   };
   const VkExportSemaphoreCreateInfo export_info = {
      .sType = VK_STRUCTURE_TYPE_EXPORT_SEMAPHORE_CREATE_INFO,
      .pNext = &type_info,
      .handleTypes = handles,
   };
   VkSemaphore semaphore;

   vkt_check(vkCreateSemaphore(t->device,
                               &(VkSemaphoreCreateInfo){
                                  .sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO,
                                  .pNext = handles ? (const void *)&export_info : &type_info,
                               },
                               NULL, &semaphore));
   return semaphore;
}

int
vkt_semaphore_export(struct vkt *t, VkSemaphore semaphore,
                     VkExternalSemaphoreHandleTypeFlagBits handle)
{
   int fd = -1;

   vkt_check(vkt_proc(t, vkGetSemaphoreFdKHR)(
      t->device,
      &(VkSemaphoreGetFdInfoKHR){
         .sType = VK_STRUCTURE_TYPE_SEMAPHORE_GET_FD_INFO_KHR,
         .semaphore = semaphore,
         .handleType = handle,
      },
      &fd));
   return fd;
}

void
vkt_semaphore_import(struct vkt *t, VkSemaphore semaphore,
                     VkExternalSemaphoreHandleTypeFlagBits handle, VkSemaphoreImportFlags flags,
                     int fd)
{
   vkt_check(vkt_proc(t, vkImportSemaphoreFdKHR)(
      t->device, &(VkImportSemaphoreFdInfoKHR){
                    .sType = VK_STRUCTURE_TYPE_IMPORT_SEMAPHORE_FD_INFO_KHR,
                    .semaphore = semaphore,
                    .flags = flags,
                    .handleType = handle,
                    .fd = fd,
                 }));
}

VkFence
vkt_fence_create(struct vkt *t)
{
   VkFence fence;

   vkt_check(vkCreateFence(
      t->device, &(VkFenceCreateInfo){.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO}, NULL, &fence));
   return fence;
}

/* As long as it takes on a busy machine: a hang is ended by who runs the test. */
void
vkt_fence_wait(struct vkt *t, VkFence fence)
{
   vkt_check(vkWaitForFences(t->device, 1, &fence, VK_TRUE, UINT64_MAX));
}

void
vkt_make_general(struct vkt *t, VkImage image, VkImageAspectFlags aspects)
{
   VkCommandBuffer cmd = vkt_begin(t);

   vkCmdPipelineBarrier(cmd, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT,
                        VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, 0, 0, NULL, 0, NULL, 1,
                        &(VkImageMemoryBarrier){
                           .sType = VK_STRUCTURE_TYPE_IMAGE_MEMORY_BARRIER,
                           .dstAccessMask = VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT,
                           .oldLayout = VK_IMAGE_LAYOUT_UNDEFINED,
                           .newLayout = VK_IMAGE_LAYOUT_GENERAL,
                           .srcQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
                           .dstQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
                           .image = image,
                           .subresourceRange = {aspects, 0, VK_REMAINING_MIP_LEVELS, 0,
                                                VK_REMAINING_ARRAY_LAYERS},
                        });
   vkt_run(t, cmd);
}

void
vkt_barrier(VkCommandBuffer cmd)
{
   vkCmdPipelineBarrier(cmd, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT,
                        0, 1,
                        &(VkMemoryBarrier){
                           .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                           .srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT,
                           .dstAccessMask = VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT,
                        },
                        0, NULL, 0, NULL);
}

/* ----------------------------------------------------------------- compute */

VkImageView
vkt_view_create(struct vkt *t, VkImage image, VkImageViewType type, VkFormat format,
                VkImageSubresourceRange range)
{
   VkImageView view;

   vkt_check(vkCreateImageView(t->device,
                               &(VkImageViewCreateInfo){
                                  .sType = VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO,
                                  .image = image,
                                  .viewType = type,
                                  .format = format,
                                  .subresourceRange = range,
                               },
                               NULL, &view));
   return view;
}

VkBufferView
vkt_buffer_view_create(struct vkt *t, VkBuffer buffer, VkFormat format)
{
   VkBufferView view;

   vkt_check(vkCreateBufferView(t->device,
                                &(VkBufferViewCreateInfo){
                                   .sType = VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO,
                                   .buffer = buffer,
                                   .format = format,
                                   .range = VK_WHOLE_SIZE,
                                },
                                NULL, &view));
   return view;
}

VkSampler
vkt_sampler_create(struct vkt *t, const VkSamplerCreateInfo *info)
{
   VkSamplerCreateInfo typed = *info;
   VkSampler sampler;

   typed.sType = VK_STRUCTURE_TYPE_SAMPLER_CREATE_INFO;
   vkt_check(vkCreateSampler(t->device, &typed, NULL, &sampler));
   return sampler;
}

#define MAX_BINDINGS 4
#define PUSH_SIZE_B  16
#define STAGES                                                                                     \
   (VK_SHADER_STAGE_COMPUTE_BIT | VK_SHADER_STAGE_VERTEX_BIT | VK_SHADER_STAGE_FRAGMENT_BIT)

void
vkt_set_write(struct vkt *t, const struct vkt_compute *c, const struct vkt_binding *bindings,
              uint32_t count)
{
   for (uint32_t i = 0; i < count; i++) {
      const VkDescriptorBufferInfo buffer = {
         bindings[i].buffer, bindings[i].offset_B,
         bindings[i].range_B ? bindings[i].range_B : VK_WHOLE_SIZE};
      const VkDescriptorImageInfo image = {bindings[i].sampler, bindings[i].image,
                                           VK_IMAGE_LAYOUT_GENERAL};
      vkUpdateDescriptorSets(t->device, 1,
                             &(VkWriteDescriptorSet){
                                .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                .dstSet = c->set,
                                .dstBinding = i,
                                .descriptorCount = 1,
                                .descriptorType = bindings[i].type,
                                .pBufferInfo = &buffer,
                                .pImageInfo = &image,
                                .pTexelBufferView = &bindings[i].view,
                             },
                             0, NULL);
   }
}

static void
create_set(struct vkt *t, struct vkt_compute *c, const struct vkt_binding *bindings, uint32_t count)
{
   VkDescriptorSetLayoutBinding layout[MAX_BINDINGS];
   VkDescriptorPoolSize sizes[MAX_BINDINGS];

   vkt_expect(count <= MAX_BINDINGS, "%u bindings", count);
   for (uint32_t i = 0; i < count; i++) {
      layout[i] =
         (VkDescriptorSetLayoutBinding){i, bindings[i].type, 1, STAGES, NULL};
      sizes[i] = (VkDescriptorPoolSize){bindings[i].type, 1};
   }

   vkt_check(
      vkCreateDescriptorSetLayout(t->device,
                                  &(VkDescriptorSetLayoutCreateInfo){
                                     .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
                                     .bindingCount = count,
                                     .pBindings = layout,
                                  },
                                  NULL, &c->set_layout));
   vkt_check(vkCreateDescriptorPool(t->device,
                                    &(VkDescriptorPoolCreateInfo){
                                       .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                       .maxSets = 1,
                                       .poolSizeCount = count,
                                       .pPoolSizes = sizes,
                                    },
                                    NULL, &c->pool));
   vkt_check(vkAllocateDescriptorSets(t->device,
                                      &(VkDescriptorSetAllocateInfo){
                                         .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                         .descriptorPool = c->pool,
                                         .descriptorSetCount = 1,
                                         .pSetLayouts = &c->set_layout,
                                      },
                                      &c->set));
   vkt_set_write(t, c, bindings, count);
}

struct vkt_compute
vkt_set_create(struct vkt *t, const struct vkt_binding *bindings, uint32_t count)
{
   const VkPushConstantRange push = {STAGES, 0, PUSH_SIZE_B};
   struct vkt_compute c = {.pipeline = VK_NULL_HANDLE};

   create_set(t, &c, bindings, count);
   vkt_check(vkCreatePipelineLayout(t->device,
                                    &(VkPipelineLayoutCreateInfo){
                                       .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                       .setLayoutCount = 1,
                                       .pSetLayouts = &c.set_layout,
                                       .pushConstantRangeCount = 1,
                                       .pPushConstantRanges = &push,
                                    },
                                    NULL, &c.layout));
   return c;
}

VkShaderModule
vkt_module_create(struct vkt *t, const uint32_t *spirv, size_t spirv_size_B)
{
   VkShaderModule module;

   vkt_check(vkCreateShaderModule(t->device,
                                  &(VkShaderModuleCreateInfo){
                                     .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
                                     .codeSize = spirv_size_B,
                                     .pCode = spirv,
                                  },
                                  NULL, &module));
   return module;
}

struct vkt_compute
vkt_compute_create(struct vkt *t, const uint32_t *spirv, size_t spirv_size_B,
                   const struct vkt_binding *bindings, uint32_t count)
{
   struct vkt_compute c = vkt_set_create(t, bindings, count);
   const VkShaderModule module = vkt_module_create(t, spirv, spirv_size_B);

   vkt_check(vkCreateComputePipelines(
      t->device, VK_NULL_HANDLE, 1,
      &(VkComputePipelineCreateInfo){
         .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
         .stage =
            {
               .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
               .stage = VK_SHADER_STAGE_COMPUTE_BIT,
               .module = module,
               .pName = "main",
            },
         .layout = c.layout,
      },
      NULL, &c.pipeline));
   vkDestroyShaderModule(t->device, module, NULL);

   return c;
}

void
vkt_compute_destroy(struct vkt *t, struct vkt_compute *c)
{
   vkDestroyPipeline(t->device, c->pipeline, NULL);
   vkDestroyPipelineLayout(t->device, c->layout, NULL);
   vkDestroyDescriptorPool(t->device, c->pool, NULL);
   vkDestroyDescriptorSetLayout(t->device, c->set_layout, NULL);
}

void
vkt_set_bind(VkCommandBuffer cmd, VkPipelineBindPoint point, const struct vkt_compute *c,
             const void *push)
{
   vkCmdBindDescriptorSets(cmd, point, c->layout, 0, 1, &c->set, 0, NULL);
   vkCmdPushConstants(cmd, c->layout, STAGES, 0, PUSH_SIZE_B, push);
}

void
vkt_dispatch(struct vkt *t, VkCommandBuffer cmd, const struct vkt_compute *c,
             const uint32_t push[4], uint32_t x, uint32_t y, uint32_t z)
{
   vkCmdBindPipeline(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, c->pipeline);
   vkt_set_bind(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, c, push);
   vkCmdDispatch(cmd, x, y, z);
   (void)t;
}

/* ----------------------------------------------------------------- drawing */

VkPipeline
vkt_pipeline_create(struct vkt *t, VkPipelineLayout layout, const struct vkt_pipeline *p)
{
   static const VkDynamicState dynamic[] = {VK_DYNAMIC_STATE_VIEWPORT, VK_DYNAMIC_STATE_SCISSOR};
   static const VkVertexInputAttributeDescription word = {.format = VK_FORMAT_R32_UINT};
   static const VkVertexInputBindingDescription words = {.stride = 4};
   static const VkPipelineRenderingCreateInfo no_attachments = {
      .sType = VK_STRUCTURE_TYPE_PIPELINE_RENDERING_CREATE_INFO,
   };
   const VkPipelineRenderingCreateInfo *attachments =
      p->attachments ? p->attachments : &no_attachments;
   const bool is_drawn = p->fragment || p->attachments;
   const VkShaderModule vertex = vkt_module_create(t, p->vertex, p->vertex_size_B);
   const VkShaderModule fragment =
      p->fragment ? vkt_module_create(t, p->fragment, p->fragment_size_B) : VK_NULL_HANDLE;
   VkPipeline pipeline;

   vkt_check(vkCreateGraphicsPipelines(
      t->device, VK_NULL_HANDLE, 1,
      &(VkGraphicsPipelineCreateInfo){
         .sType = VK_STRUCTURE_TYPE_GRAPHICS_PIPELINE_CREATE_INFO,
         .pNext = attachments,
         .stageCount = fragment ? 2 : 1,
         .pStages =
            (VkPipelineShaderStageCreateInfo[]){
               {
                  .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .stage = VK_SHADER_STAGE_VERTEX_BIT,
                  .module = vertex,
                  .pName = "main",
               },
               {
                  .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .stage = VK_SHADER_STAGE_FRAGMENT_BIT,
                  .module = fragment,
                  .pName = "main",
               },
            },
         .pVertexInputState =
            &(VkPipelineVertexInputStateCreateInfo){
               .sType = VK_STRUCTURE_TYPE_PIPELINE_VERTEX_INPUT_STATE_CREATE_INFO,
               .vertexBindingDescriptionCount = p->vertex_words,
               .pVertexBindingDescriptions = &words,
               .vertexAttributeDescriptionCount = p->vertex_words,
               .pVertexAttributeDescriptions = &word,
            },
         .pInputAssemblyState =
            &(VkPipelineInputAssemblyStateCreateInfo){
               .sType = VK_STRUCTURE_TYPE_PIPELINE_INPUT_ASSEMBLY_STATE_CREATE_INFO,
               .topology = is_drawn ? VK_PRIMITIVE_TOPOLOGY_TRIANGLE_LIST
                                    : VK_PRIMITIVE_TOPOLOGY_POINT_LIST,
            },
         .pViewportState =
            &(VkPipelineViewportStateCreateInfo){
               .sType = VK_STRUCTURE_TYPE_PIPELINE_VIEWPORT_STATE_CREATE_INFO,
               .viewportCount = 1,
               .scissorCount = 1,
            },
         .pRasterizationState =
            &(VkPipelineRasterizationStateCreateInfo){
               .sType = VK_STRUCTURE_TYPE_PIPELINE_RASTERIZATION_STATE_CREATE_INFO,
               .rasterizerDiscardEnable = !is_drawn,
               .lineWidth = 1,
            },
         .pMultisampleState =
            &(VkPipelineMultisampleStateCreateInfo){
               .sType = VK_STRUCTURE_TYPE_PIPELINE_MULTISAMPLE_STATE_CREATE_INFO,
               .rasterizationSamples = p->samples ? p->samples : VK_SAMPLE_COUNT_1_BIT,
            },
         .pDepthStencilState = p->depth_stencil,
         .pColorBlendState =
            &(VkPipelineColorBlendStateCreateInfo){
               .sType = VK_STRUCTURE_TYPE_PIPELINE_COLOR_BLEND_STATE_CREATE_INFO,
               .attachmentCount = attachments->colorAttachmentCount,
               .pAttachments = p->blend,
            },
         .pDynamicState =
            &(VkPipelineDynamicStateCreateInfo){
               .sType = VK_STRUCTURE_TYPE_PIPELINE_DYNAMIC_STATE_CREATE_INFO,
               .dynamicStateCount = VKT_ARRAY_SIZE(dynamic),
               .pDynamicStates = dynamic,
            },
         .layout = layout,
      },
      NULL, &pipeline));
   vkDestroyShaderModule(t->device, fragment, NULL);
   vkDestroyShaderModule(t->device, vertex, NULL);

   return pipeline;
}

void
vkt_begin_drawing(VkCommandBuffer cmd, VkPipeline pipeline, uint32_t width, uint32_t height,
                  const VkRenderingInfo *attachments)
{
   const VkRect2D area = {{0, 0}, {width, height}};
   VkRenderingInfo info = attachments ? *attachments : (VkRenderingInfo){0};

   info.sType = VK_STRUCTURE_TYPE_RENDERING_INFO;
   info.renderArea = area;
   info.layerCount = 1;
   vkCmdBeginRendering(cmd, &info);
   vkCmdBindPipeline(cmd, VK_PIPELINE_BIND_POINT_GRAPHICS, pipeline);
   vkCmdSetViewport(cmd, 0, 1, &(VkViewport){0, 0, width, height, 0, 1});
   vkCmdSetScissor(cmd, 0, 1, &area);
}

/* ------------------------------------------------------------- the process */

unsigned
vkt_count_lines(const char *path)
{
   FILE *file = fopen(path, "r");
   unsigned count = 0;
   int c;

   vkt_expect(file, "%s", path);
   while ((c = fgetc(file)) != EOF)
      count += c == '\n';
   fclose(file);

   return count;
}

unsigned
vkt_count_entries(const char *path)
{
   DIR *dir = opendir(path);
   unsigned count = 0;

   vkt_expect(dir, "%s", path);
   while (readdir(dir))
      count++;
   closedir(dir);

   return count;
}

#define LARGEST_PAGE_B (64u << 10)

void *
vkt_pages(size_t size_B, int prot)
{
   uint8_t *all = mmap(NULL, size_B + LARGEST_PAGE_B, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

   vkt_expect(all != MAP_FAILED, "-");
   uint8_t *start = (uint8_t *)(((uintptr_t)all + LARGEST_PAGE_B - 1) & ~(uintptr_t)(LARGEST_PAGE_B - 1));
   if (start > all)
      munmap(all, start - all);
   if (start < all + LARGEST_PAGE_B)
      munmap(start + size_B, all + LARGEST_PAGE_B - start);
   return start;
}

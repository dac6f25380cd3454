/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The boilerplate of a Vulkan test: an instance, a device with all its queues, memory, buffers,
 * pipelines, and submission with any syncs.  Plain Vulkan through the loader: it must run on any driver,
 * and must never know whose it is.
 *
 * Whatever fails ends the program with the call's name and result.
 */

#ifndef VKT_H
#define VKT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vulkan/vulkan.h>

#define VKT_MAX_QUEUES 8

#define vkt_check(call) vkt_check_result((call), #call, __FILE__, __LINE__)

#define vkt_expect(condition, ...)                                                                 \
   do {                                                                                            \
      if (!(condition)) {                                                                          \
         fprintf(stderr, "%s:%d: not so: %s: ", __FILE__, __LINE__, #condition);                   \
         fprintf(stderr, __VA_ARGS__);                                                             \
         fprintf(stderr, "\n");                                                                    \
         exit(1);                                                                                  \
      }                                                                                            \
   } while (0)

/** A fault of the simulator's (DRM_SIM_FAULT): the next bind, by whatever name a kernel driver has for the ioctl. */
#define VKT_FAIL_NEXT_BIND "vm_bind:1=EINVAL,gem_va:1=EINVAL,vm_map:1=EINVAL"

#define VKT_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

void vkt_check_result(VkResult result, const char *call, const char *file, int line);

struct vkt_queue {
   VkQueue queue;
   uint32_t family;
   VkQueueFlags flags;
};

struct vkt {
   VkInstance instance;
   VkPhysicalDevice pdev;
   VkPhysicalDeviceProperties props;
   VkPhysicalDeviceFeatures features;
   VkDevice device;

   struct vkt_queue queues[VKT_MAX_QUEUES];
   uint32_t queue_count;
   /** The first queue with graphics, and the first that can only bind (or the same). */
   struct vkt_queue *graphics;
   struct vkt_queue *sparse;

   VkCommandPool pool;
   VkBufferUsageFlags more_usage;

   VkDebugUtilsMessengerEXT messenger;
};

/** Exits with 77 (skipped) if there is no device with sparse binding.  With VKT_VALIDATE in the
 * environment under the Khronos validation layer, whose errors are failures. */
void vkt_init(struct vkt *t);

/** What a device is to have beyond that; it is a failure if it has not. */
struct vkt_config {
   const char *const *extensions;
   uint32_t extension_count;
   /** A pNext chain of feature structs, or NULL. */
   void *features;
   const char *const *instance_extensions;
   uint32_t instance_extension_count;
   /** bufferDeviceAddressCaptureReplay */
   bool replay;
   /** Of all buffers, beside what they have. */
   VkBufferUsageFlags more_usage;
};

void vkt_init_with(struct vkt *t, const struct vkt_config *config);

/** An entry point of an extension. */
#define vkt_proc(t, name) ((PFN_##name)vkt_get_proc(t, #name))
PFN_vkVoidFunction vkt_get_proc(struct vkt *t, const char *name);
void vkt_finish(struct vkt *t);

/* ------------------------------------------------------------------ memory */

VkDeviceMemory vkt_alloc(struct vkt *t, VkDeviceSize size_B, void **map_out);

struct vkt_buffer {
   VkBuffer buffer;
   VkDeviceMemory memory;
   VkDeviceSize size_B;
   void *map;
};

/** With memory, mapped. */
struct vkt_buffer vkt_buffer_create(struct vkt *t, VkDeviceSize size_B);
void vkt_buffer_destroy(struct vkt *t, struct vkt_buffer *buffer);

/** On imported memory of the caller's, which stays the caller's. */
VkBuffer vkt_buffer_create_on(struct vkt *t, VkDeviceSize size_B, VkDeviceMemory memory,
                              VkExternalMemoryHandleTypeFlags handles);

/** Without memory. */
VkBuffer vkt_sparse_buffer_create(struct vkt *t, VkDeviceSize size_B, VkBufferCreateFlags flags);

/** The same, to be bound to memory that was imported by such handles. */
VkBuffer vkt_sparse_buffer_create_for(struct vkt *t, VkDeviceSize size_B,
                                      VkExternalMemoryHandleTypeFlags handles);

/* ---------------------------------------------------------------- commands */

VkCommandBuffer vkt_begin(struct vkt *t);
VkCommandBuffer vkt_begin_in(struct vkt *t, VkCommandPool pool);

struct vkt_sync {
   VkSemaphore semaphore;
   /** For timelines. */
   uint64_t value;
};

#define VKT_MAX_SYNCS 4

struct vkt_syncs {
   struct vkt_sync waits[VKT_MAX_SYNCS];
   uint32_t wait_count;
   struct vkt_sync signals[VKT_MAX_SYNCS];
   uint32_t signal_count;
   VkFence fence;
};

/** Ends and submits; \p cmd may be NULL, \p syncs too. */
void vkt_submit(struct vkt *t, struct vkt_queue *queue, VkCommandBuffer cmd,
                const struct vkt_syncs *syncs);
void vkt_bind(struct vkt *t, struct vkt_queue *queue, const VkBindSparseInfo *info,
              const struct vkt_syncs *syncs);

/** Nothing but the syncs: on the queue for binds as a bind, on others as a submission. */
void vkt_sync(struct vkt *t, struct vkt_queue *queue, const struct vkt_syncs *syncs);

/** Ends, submits and waits. */
void vkt_run(struct vkt *t, VkCommandBuffer cmd);
/** Binds and waits. */
void vkt_bind_and_wait(struct vkt *t, const VkBindSparseInfo *info);

VkSemaphore vkt_semaphore_create(struct vkt *t, VkSemaphoreType type);
/** Exportable as all of \p handles, which may be none. */
VkSemaphore vkt_semaphore_create_exportable(struct vkt *t, VkSemaphoreType type,
                                            VkExternalSemaphoreHandleTypeFlags handles);
/** \return the file descriptor, the caller's */
int vkt_semaphore_export(struct vkt *t, VkSemaphore semaphore,
                         VkExternalSemaphoreHandleTypeFlagBits handle);
/** The semaphore takes \p fd over. */
void vkt_semaphore_import(struct vkt *t, VkSemaphore semaphore,
                          VkExternalSemaphoreHandleTypeFlagBits handle,
                          VkSemaphoreImportFlags flags, int fd);
VkFence vkt_fence_create(struct vkt *t);
/** Waits at most a minute, on however busy a machine: then it is a failure. */
void vkt_fence_wait(struct vkt *t, VkFence fence);

/** From undefined to the general layout, all levels and layers of the aspects. */
void vkt_make_general(struct vkt *t, VkImage image, VkImageAspectFlags aspects);

/** All memory accesses before, before all after. */
void vkt_barrier(VkCommandBuffer cmd);

/* ----------------------------------------------------------------- compute */

VkImageView vkt_view_create(struct vkt *t, VkImage image, VkImageViewType type, VkFormat format,
                            VkImageSubresourceRange range);
/** Of the whole buffer. */
VkBufferView vkt_buffer_view_create(struct vkt *t, VkBuffer buffer, VkFormat format);
/** \p info without its sType. */
VkSampler vkt_sampler_create(struct vkt *t, const VkSamplerCreateInfo *info);

struct vkt_binding {
   VkDescriptorType type;
   VkBuffer buffer;
   VkDeviceSize offset_B;
   /** 0: all of it from there on. */
   VkDeviceSize range_B;
   VkBufferView view;
   VkSampler sampler;
   VkImageView image;
};

struct vkt_compute {
   VkDescriptorSetLayout set_layout;
   VkPipelineLayout layout;
   VkPipeline pipeline;
   VkDescriptorPool pool;
   VkDescriptorSet set;
};

VkShaderModule vkt_module_create(struct vkt *t, const uint32_t *spirv, size_t spirv_size_B);

/** One set, for compute and fragment shaders; bindings are numbered as given.  16 bytes of push
 * constants.  The pipeline is the caller's to make: until then there is none. */
struct vkt_compute vkt_set_create(struct vkt *t, const struct vkt_binding *bindings,
                                  uint32_t count);
/** Other things for its first \p count bindings, of the same types; while nothing uses the set. */
void vkt_set_write(struct vkt *t, const struct vkt_compute *compute,
                   const struct vkt_binding *bindings, uint32_t count);
/** \p push: the 16 bytes. */
void vkt_set_bind(VkCommandBuffer cmd, VkPipelineBindPoint point, const struct vkt_compute *compute,
                  const void *push);

/** The same with a compute pipeline. */
struct vkt_compute vkt_compute_create(struct vkt *t, const uint32_t *spirv, size_t spirv_size_B,
                                      const struct vkt_binding *bindings, uint32_t count);
void vkt_compute_destroy(struct vkt *t, struct vkt_compute *compute);
void vkt_dispatch(struct vkt *t, VkCommandBuffer cmd, const struct vkt_compute *compute,
                  const uint32_t push[4], uint32_t x, uint32_t y, uint32_t z);

/* ----------------------------------------------------------------- drawing */

/** What is zero is as most want it: no vertex buffer, no attachments (the shaders write to buffers), no tests. */
struct vkt_pipeline {
   const uint32_t *vertex;
   size_t vertex_size_B;
   /** NULL: none.  Triangles are drawn; or, without attachments too, points that go nowhere. */
   const uint32_t *fragment;
   size_t fragment_size_B;
   /** A vertex is a word of vertex buffer 0. */
   bool vertex_words;
   const VkPipelineRenderingCreateInfo *attachments;
   /** One for each colour attachment. */
   const VkPipelineColorBlendAttachmentState *blend;
   const VkPipelineDepthStencilStateCreateInfo *depth_stencil;
   VkSampleCountFlagBits samples;
};

VkPipeline vkt_pipeline_create(struct vkt *t, VkPipelineLayout layout,
                               const struct vkt_pipeline *pipeline);
/** Until vkCmdEndRendering(), to the whole of one layer of \p attachments; NULL: there are none. */
void vkt_begin_drawing(VkCommandBuffer cmd, VkPipeline pipeline, uint32_t width, uint32_t height,
                       const VkRenderingInfo *attachments);

/* ------------------------------------------------------------- the process */

/** How many lines a file has, and how many entries a directory: of /proc/self, what the process has. */
unsigned vkt_count_lines(const char *path);
unsigned vkt_count_entries(const char *path);

/** Fresh pages of the process, at an address that is a multiple of every GPU's pages. */
void *vkt_pages(size_t size_B, int prot);

#endif /* VKT_H */

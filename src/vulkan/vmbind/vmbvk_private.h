/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What the files of the Vulkan driver share: our instance, physical device, device and queue,
 * each an extension of lavapipe's (which executes the commands) or of the runtime's.
 *
 * Only this directory may include it.  Memory and addresses belong to the Gallium driver
 * (vmbind_screen.h) and, below it, to the core: nothing here calls an ioctl.
 */

#ifndef VMBVK_PRIVATE_H
#define VMBVK_PRIVATE_H

#include "gallium/frontends/lavapipe/lvp_private.h"

#include "vmbind/vmbind_memory.h"
#include "vmbvk_entrypoints.h"
#include "vmbvk_residency.h"

#ifdef __cplusplus
extern "C" {
#endif

struct disk_cache;
struct vmb_bind;
struct vmb_bo;
struct vmbind_memory;

struct vmbvk_instance {
   struct lvp_instance lvp;

   /** An instance of stock lavapipe, and its one physical device: what shaders, formats and limits
    * are, ours take from there. */
   VkInstance lavapipe;
   struct lvp_physical_device *template;
};

/** Queue families.  Graphics queues also take sparse binds. */
enum vmbvk_queue_family {
   VMBVK_QUEUE_FAMILY_GRAPHICS,
   VMBVK_QUEUE_FAMILY_COMPUTE,
   VMBVK_QUEUE_FAMILY_TRANSFER,
   VMBVK_QUEUE_FAMILY_SPARSE,
   VMBVK_QUEUE_FAMILY_COUNT,
};

/**
 * A queue of the application.  It executes commands with the device's one context, and binds on a
 * bind queue of its own, which is there from the first bind on.
 */
struct vmbvk_queue {
   struct vk_queue vk;

   struct vmb_queue *bind_queue;
   /** Signalled by the binds of this queue, one point a batch: by it we know which have completed
    * before the core tells us. */
   uint32_t bind_syncobj;
   uint64_t bind_point;

   /** Arrays that are used again: struct vmb_bind, the struct pipe_resource * of each bind,
    * struct vmb_sync, struct vmbind_sparse_run. */
   struct util_dynarray binds;
   struct util_dynarray bound;
   struct util_dynarray syncs;
   struct util_dynarray runs;
};

/** A DRM render node whose kernel driver has VM_BIND. */
struct vmbvk_physical_device {
   struct lvp_physical_device lvp;

   /** The render node's path.  Each device opens it for itself: some kernel drivers have one VM a
    * file. */
   char node[64];

   struct vk_sync_type syncobj_type;
   const struct vk_sync_type *sync_types[2];

   uint64_t heap_size_B;
   /** Of all its devices; atomic. */
   uint64_t memory_used_B;

   /** The first device's, lent to all others. */
   simple_mtx_t shader_cache_lock;
   bool has_shader_cache;
   struct disk_cache *shader_cache;
};

#define VMBVK_MAX_FAULT_ADDRS 8

/** Why the device was lost. */
struct vmbvk_fault {
   simple_mtx_t lock;
   bool noted;
   char description[VK_MAX_DESCRIPTION_SIZE];
   int error;
   uint32_t addr_count;
   struct {
      uint64_t addr_B;
      char words[VK_MAX_DESCRIPTION_SIZE];
   } addrs[VMBVK_MAX_FAULT_ADDRS];
};

struct vmbvk_device {
   /** device.queue is no queue of the application: its context, lock and state are what every
    * graphics queue executes with.  llvmpipe's shaders belong to the context that created them. */
   struct lvp_device lvp;

   struct vmbvk_queue *queues;
   uint32_t queue_count;

   /** Signalled when the device is lost. */
   uint32_t lost_syncobj;

   struct vmbvk_fault fault;

   /** Allocations of device memory; atomic. */
   uint32_t memory_count;

   struct vmbvk_residency residency;
};

struct vmbvk_device_memory {
   struct lvp_device_memory lvp;

   /** NULL for a pointer of the application's that is no BO. */
   struct vmbind_memory *memory;
   /** Where the application wants to see it as well, or NULL. */
   void *placed;
   uint64_t placed_size_B;
};

static inline struct vmbvk_physical_device *
vmbvk_device_pdev(struct vmbvk_device *device)
{
   return container_of(device->lvp.physical_device, struct vmbvk_physical_device, lvp);
}

static inline struct vmbvk_device *
vmbvk_device_from_vk(struct vk_device *device)
{
   return container_of(device, struct vmbvk_device, lvp.vk);
}

/* vmbvk_physical_device.c */
VkResult vmbvk_enumerate_physical_devices(struct vk_instance *vk_instance);
void vmbvk_physical_device_destroy(struct vk_physical_device *vk_pdev);

/* vmbvk_device.c: frees the pipelines that were destroyed while something was executed. */
void vmbvk_engine_destroy_pipelines(struct lvp_device *device);

/* vmbvk_memory.c */

/** The part of a BO that it is; no BO if it cannot be bound to sparse resources. */
struct vmbind_piece vmbvk_memory_piece(const struct lvp_device_memory *mem);

/** What a resource that does not exist yet requires beside size and alignment, which lavapipe leaves
 * out: nothing. */
void vmbvk_fill_requirements(VkMemoryRequirements2 *requirements);

/** VK_EXT_device_address_binding_report: an object got addresses, or gives them back. */
void vmbvk_report_address(struct vmbvk_device *device, struct vk_object_base *object,
                          uint64_t addr_B, uint64_t size_B, VkDeviceAddressBindingTypeEXT type);

/** The same for all planes of an image. */
void vmbvk_report_image(struct vmbvk_device *device, struct lvp_image *image,
                        VkDeviceAddressBindingTypeEXT type);

/* vmbvk_sync.c */
struct vk_sync_type vmbvk_sync_type(int drm_fd);
VkResult vmbvk_syncs_init(struct vmbvk_device *device);
void vmbvk_syncs_finish(struct vmbvk_device *device);

/** Waits for all of them, for a queue's thread: a wait of the runtime's that finds the device lost
 * waits for these. */
VkResult vmbvk_wait_in_queue(struct vmbvk_device *device, uint32_t wait_count,
                             const struct vk_sync_wait *waits);

/** Ends all waits, those to come too.  The runtime is told by vk_queue_set_lost() or
 * vk_device_set_lost(). */
void vmbvk_device_set_lost(struct vmbvk_device *device);

/* vmbvk_fault.c */
void vmbvk_fault_init(struct vmbvk_device *device);
void vmbvk_fault_finish(struct vmbvk_device *device);

/** Notes the cause of the loss, unless there is one already: a negative errno, and the binds that it
 * is about. */
void vmbvk_fault_note(struct vmbvk_device *device, const char *what, int error,
                      const struct vmb_bind *binds, uint32_t bind_count);

/* vmbvk_queue.c */
VkResult vmbvk_queue_init(struct vmbvk_device *device, struct vmbvk_queue *queue,
                          const VkDeviceQueueCreateInfo *create_info, uint32_t index_in_family);
void vmbvk_queue_finish(struct vmbvk_queue *queue);

/** Of a lost device: returns when no queue has a batch left.  Not for a queue's thread. */
void vmbvk_queues_drain(struct vmbvk_device *device);

/* vmbvk_bind.c: the binds of one batch. */
VkResult vmbvk_queue_bind(struct vmbvk_queue *queue, struct vk_queue_submit *submit);

VK_DEFINE_HANDLE_CASTS(vmbvk_instance, lvp.vk.base, VkInstance, VK_OBJECT_TYPE_INSTANCE)
VK_DEFINE_HANDLE_CASTS(vmbvk_physical_device, lvp.vk.base, VkPhysicalDevice,
                       VK_OBJECT_TYPE_PHYSICAL_DEVICE)
VK_DEFINE_HANDLE_CASTS(vmbvk_device, lvp.vk.base, VkDevice, VK_OBJECT_TYPE_DEVICE)
VK_DEFINE_NONDISP_HANDLE_CASTS(vmbvk_device_memory, lvp.base, VkDeviceMemory,
                               VK_OBJECT_TYPE_DEVICE_MEMORY)
VK_DEFINE_HANDLE_CASTS(vmbvk_queue, vk.base, VkQueue, VK_OBJECT_TYPE_QUEUE)

#ifdef __cplusplus
}
#endif

#endif /* VMBVK_PRIVATE_H */

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The back-end for xe (Intel, from Tiger Lake on).
 *
 * The ioctl updates the tree at once, and leaves everything as it was if it fails.
 * Binds of one bind exec queue run in order; those of others are ordered by the
 * kernel where they overlap.  Every mapping names an entry of the GPU's table of
 * page attributes (PAT), which differs from generation to generation and must
 * fit how the CPU caches the BO.  A VM in which a bind went wrong when it ran is
 * banned: ENOENT from then on.
 *
 * A bind of nothing may signal but not wait.  What only carries syncs therefore maps
 * a null page, over and over, at an address behind the VA range of the caps.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <xf86drm.h>

#include "drm-uapi/xe_drm.h"
#include "util/macros.h"

#include "vmbind/vmb_gpuvm.h"
#include "vmbind/vmb_kmd.h"
#include "vmbind/vmb_util.h"

#define BLOCK_B (2u << 20)

/* The kernel takes any number, and says ENOBUFS where it has no room for them. */
#define MAX_OPS 1024

struct vmb_kmd_device {
   int fd;
   /* The page that binds which only carry syncs map. */
   uint64_t carrier_B;
   uint64_t page_size_B;
   /* Masks of memory regions. */
   uint32_t system_regions;
   uint32_t vram_regions;
   /* Entries of the PAT: snooping the CPU's caches, which goes with every BO; and
    * past the GPU's own caches. */
   uint16_t pat_coherent;
   uint16_t pat_uncached;
};

struct vmb_kmd_vm {
   struct vmb_kmd_device *kdev;
   uint32_t id;
   /* Scratch of a bind. */
   struct drm_xe_vm_bind_op *ops;
   struct drm_xe_sync *syncs;
   size_t op_capacity;
   size_t sync_capacity;
};

/* Asks twice: for the size, and for the data, which is the caller's to free(). */
static int
query(int fd, uint32_t what, void **data_out)
{
   struct drm_xe_device_query req = { .query = what };

   if (drmIoctl(fd, DRM_IOCTL_XE_DEVICE_QUERY, &req))
      return -errno;
   void *data = calloc(1, req.size);
   if (!data)
      return -ENOMEM;
   req.data = (uintptr_t)data;
   if (drmIoctl(fd, DRM_IOCTL_XE_DEVICE_QUERY, &req)) {
      const int ret = -errno;
      free(data);
      return ret;
   }
   *data_out = data;
   return 0;
}

static int
query_regions(struct vmb_kmd_device *kdev)
{
   struct drm_xe_query_mem_regions *regions;
   const int ret = query(kdev->fd, DRM_XE_DEVICE_QUERY_MEM_REGIONS, (void **)&regions);
   if (ret)
      return ret;

   for (uint32_t i = 0; i < regions->num_mem_regions; i++) {
      const struct drm_xe_mem_region *region = &regions->mem_regions[i];

      if (region->mem_class == DRM_XE_MEM_REGION_CLASS_VRAM)
         kdev->vram_regions |= 1u << region->instance;
      else
         kdev->system_regions |= 1u << region->instance;
   }
   free(regions);
   return 0;
}

/* Follows the kernel's tables by generation (xe_pat.c). */
static int
query_pat(struct vmb_kmd_device *kdev)
{
   struct drm_xe_query_gt_list *gts;
   const int ret = query(kdev->fd, DRM_XE_DEVICE_QUERY_GT_LIST, (void **)&gts);
   if (ret)
      return ret;

   unsigned version = 0;
   for (uint32_t i = 0; i < gts->num_gt; i++) {
      const struct drm_xe_gt *gt = &gts->gt_list[i];
      if (gt->type == DRM_XE_QUERY_GT_TYPE_MAIN)
         version = gt->ip_ver_major * 100 + gt->ip_ver_minor;
   }
   free(gts);

   if (version >= 2000) {
      kdev->pat_coherent = 1;
      kdev->pat_uncached = 3;
   } else if (version >= 1270) {
      kdev->pat_coherent = 3;
      kdev->pat_uncached = 2;
   } else if (version >= 1260) {
      kdev->pat_coherent = 3;
      kdev->pat_uncached = 0;
   } else {
      kdev->pat_coherent = 0;
      kdev->pat_uncached = 3;
   }
   return 0;
}

static int
xe_open(int fd, struct vmb_caps *caps, struct vmb_kmd_device **kdev_out, char *why,
        size_t why_size)
{
   struct drm_xe_query_config *config;
   int ret = query(fd, DRM_XE_DEVICE_QUERY_CONFIG, (void **)&config);
   if (ret) {
      snprintf(why, why_size, "the device cannot be queried");
      return ret;
   }
   const bool known = config->num_params > DRM_XE_QUERY_CONFIG_VA_BITS;
   const uint64_t va_bits = known ? config->info[DRM_XE_QUERY_CONFIG_VA_BITS] : 0;
   const uint64_t min_align_B = known ? config->info[DRM_XE_QUERY_CONFIG_MIN_ALIGNMENT] : 0;
   free(config);
   if (va_bits < 32 || va_bits > 57) {
      snprintf(why, why_size, "the GPU has %u address bits", (unsigned)va_bits);
      return -ENOTSUP;
   }

   struct vmb_kmd_device *kdev = calloc(1, sizeof(*kdev));
   if (!kdev)
      return -ENOMEM;
   kdev->fd = fd;
   ret = query_regions(kdev);
   if (!ret)
      ret = query_pat(kdev);
   if (ret) {
      snprintf(why, why_size, "memory regions and GTs cannot be queried");
      free(kdev);
      return ret;
   }

   caps->page_size_B = MAX2(min_align_B, 4096);
   /* The upper half's addresses would have to be sign-extended; the last page is the carrier's. */
   caps->va_range_B = (1ull << (va_bits - 1)) - caps->page_size_B;
   kdev->carrier_B = caps->va_range_B;
   kdev->page_size_B = caps->page_size_B;
   caps->block_size_B = BLOCK_B;
   caps->block_split = true;
   caps->staged = true;
   caps->sync_mode = VMB_SYNC_KERNEL;
   caps->null_mode = VMB_NULL_NATIVE;
   caps->null_strict = true;
   caps->max_ops = MAX_OPS;
   caps->max_syncs = DRM_XE_MAX_SYNCS;
   caps->private_bos = true;
   /* Not purgeable: the driver takes advice for addresses, so an idle BO, bound nowhere, cannot be
    * left to it. */
   caps->userptr = true;
   caps->max_vms = UINT32_MAX;

   *kdev_out = kdev;
   return 0;
}

static void
xe_close(struct vmb_kmd_device *kdev)
{
   free(kdev);
}

/* Cached ones are the CPU's, in system memory; the others go to VRAM where there is some, and are
 * write-combined there. */
static int
xe_bo_create(struct vmb_kmd_device *kdev, struct vmb_kmd_vm *kvm, uint64_t *size_B, bool cached,
             uint32_t *handle_out)
{
   const bool vram = !cached && kdev->vram_regions;
   struct drm_xe_gem_create req = {
      .size = *size_B,
      .placement = kdev->system_regions | (vram ? kdev->vram_regions : 0),
      .flags = vram ? DRM_XE_GEM_CREATE_FLAG_NEEDS_VISIBLE_VRAM : 0,
      .vm_id = kvm ? kvm->id : 0,
      .cpu_caching = cached ? DRM_XE_GEM_CPU_CACHING_WB : DRM_XE_GEM_CPU_CACHING_WC,
   };

   if (drmIoctl(kdev->fd, DRM_IOCTL_XE_GEM_CREATE, &req))
      return -errno;
   *handle_out = req.handle;
   return 0;
}

static int
xe_bo_mmap_offset(struct vmb_kmd_device *kdev, uint32_t handle, uint64_t *offset_out)
{
   struct drm_xe_gem_mmap_offset req = { .handle = handle };

   if (drmIoctl(kdev->fd, DRM_IOCTL_XE_GEM_MMAP_OFFSET, &req))
      return -errno;
   *offset_out = req.offset;
   return 0;
}

static int
xe_vm_create(struct vmb_kmd_device *kdev, struct vmb_kmd_vm **kvm_out)
{
   struct drm_xe_vm_create req = { 0 };
   struct vmb_kmd_vm *kvm = calloc(1, sizeof(*kvm));

   if (!kvm)
      return -ENOMEM;
   kvm->kdev = kdev;
   if (drmIoctl(kdev->fd, DRM_IOCTL_XE_VM_CREATE, &req)) {
      const int ret = -errno;
      free(kvm);
      return ret;
   }
   kvm->id = req.vm_id;
   *kvm_out = kvm;
   return 0;
}

static void
xe_vm_destroy(struct vmb_kmd_vm *kvm)
{
   struct drm_xe_vm_destroy req = { .vm_id = kvm->id };

   drmIoctl(kvm->kdev->fd, DRM_IOCTL_XE_VM_DESTROY, &req);
   free(kvm->ops);
   free(kvm->syncs);
   free(kvm);
}

static uint32_t
xe_vm_id(const struct vmb_kmd_vm *kvm)
{
   return kvm->id;
}

/* A bind of nothing, which a banned VM refuses. */
static int
xe_vm_status(struct vmb_kmd_vm *kvm)
{
   struct drm_xe_vm_bind req = { .vm_id = kvm->id };

   if (drmIoctl(kvm->kdev->fd, DRM_IOCTL_XE_VM_BIND, &req) && errno == ENOENT)
      return -ENODEV;
   return 0;
}

static int
xe_queue_create(struct vmb_kmd_vm *kvm, uint32_t *queue_out)
{
   struct drm_xe_engine_class_instance instance = {
      .engine_class = DRM_XE_ENGINE_CLASS_VM_BIND,
   };
   struct drm_xe_exec_queue_create req = {
      .width = 1,
      .num_placements = 1,
      .vm_id = kvm->id,
      .instances = (uintptr_t)&instance,
   };

   if (drmIoctl(kvm->kdev->fd, DRM_IOCTL_XE_EXEC_QUEUE_CREATE, &req))
      return -errno;
   *queue_out = req.exec_queue_id;
   return 0;
}

static void
xe_queue_destroy(struct vmb_kmd_vm *kvm, uint32_t queue)
{
   struct drm_xe_exec_queue_destroy req = { .exec_queue_id = queue };

   drmIoctl(kvm->kdev->fd, DRM_IOCTL_XE_EXEC_QUEUE_DESTROY, &req);
}

/* -------------------------------------------------------------------- bind */

static struct drm_xe_vm_bind_op
to_xe_op(const struct vmb_kmd_device *kdev, const struct vmb_kmd_op *op)
{
   struct drm_xe_vm_bind_op out = {
      .pat_index = kdev->pat_coherent,
      .range = op->range_B,
      .addr = op->addr_B,
   };

   switch (op->type) {
   case VMB_KMD_UNMAP:
      out.op = DRM_XE_VM_BIND_OP_UNMAP;
      break;
   case VMB_KMD_MAP:
      if (op->flags & VMB_MAPPING_USERPTR) {
         out.op = DRM_XE_VM_BIND_OP_MAP_USERPTR;
         out.userptr = op->user_addr;
      } else {
         out.op = DRM_XE_VM_BIND_OP_MAP;
         out.obj = op->bo_handle;
         out.obj_offset = op->bo_offset_B;
      }
      if (op->flags & VMB_MAPPING_READONLY)
         out.flags |= DRM_XE_VM_BIND_FLAG_READONLY;
      if (op->flags & VMB_MAPPING_DUMP)
         out.flags |= DRM_XE_VM_BIND_FLAG_DUMPABLE;
      /* The process's memory is in the CPU's caches. */
      if ((op->flags & VMB_MAPPING_UNCACHED) && !(op->flags & VMB_MAPPING_USERPTR))
         out.pat_index = kdev->pat_uncached;
      break;
   case VMB_KMD_MAP_NULL:
      out.op = DRM_XE_VM_BIND_OP_MAP;
      out.flags = DRM_XE_VM_BIND_FLAG_NULL;
      break;
   case VMB_KMD_REGION_CREATE:
   case VMB_KMD_REGION_DESTROY:
      unreachable("there are no regions");
   }
   return out;
}

static struct drm_xe_sync
to_xe_sync(const struct vmb_kmd_sync *sync, uint32_t flags)
{
   return (struct drm_xe_sync){
      .type = sync->point ? DRM_XE_SYNC_TYPE_TIMELINE_SYNCOBJ : DRM_XE_SYNC_TYPE_SYNCOBJ,
      .flags = flags,
      .handle = sync->syncobj,
      .timeline_value = sync->point,
   };
}

static int
xe_bind(struct vmb_kmd_vm *kvm, const struct vmb_kmd_bind *bind)
{
   const struct vmb_kmd_op carrier = {
      .type = VMB_KMD_MAP_NULL,
      .addr_B = kvm->kdev->carrier_B,
      .range_B = kvm->kdev->page_size_B,
   };
   const bool carries = bind->op_count == 0 && bind->wait_count > 0;
   const struct vmb_kmd_op *ops = carries ? &carrier : bind->ops;
   const uint32_t op_count = carries ? 1 : bind->op_count;
   const uint32_t sync_count = bind->wait_count + bind->signal_count;
   int ret = vmb_grow((void **)&kvm->ops, &kvm->op_capacity, op_count, sizeof(*kvm->ops));
   if (!ret) {
      ret =
         vmb_grow((void **)&kvm->syncs, &kvm->sync_capacity, sync_count, sizeof(*kvm->syncs));
   }
   if (ret)
      return ret;

   for (uint32_t i = 0; i < op_count; i++)
      kvm->ops[i] = to_xe_op(kvm->kdev, &ops[i]);
   for (uint32_t i = 0; i < bind->wait_count; i++)
      kvm->syncs[i] = to_xe_sync(&bind->waits[i], 0);
   for (uint32_t i = 0; i < bind->signal_count; i++) {
      kvm->syncs[bind->wait_count + i] =
         to_xe_sync(&bind->signals[i], DRM_XE_SYNC_FLAG_SIGNAL);
   }

   struct drm_xe_vm_bind req = {
      .vm_id = kvm->id,
      .exec_queue_id = bind->queue,
      .num_binds = op_count,
      .num_syncs = sync_count,
      .syncs = (uintptr_t)kvm->syncs,
   };
   if (op_count == 1)
      req.bind = kvm->ops[0];
   else
      req.vector_of_binds = (uintptr_t)kvm->ops;

   if (drmIoctl(kvm->kdev->fd, DRM_IOCTL_XE_VM_BIND, &req) == 0)
      return 0;
   const int err = errno;
   /* A handle that does not exist says the same. */
   if (err == ENOENT && xe_vm_status(kvm))
      return -ENODEV;
   return -err;
}

const struct vmb_kmd_ops vmb_kmd_xe = {
   .name = "xe",
   .open = xe_open,
   .close = xe_close,
   .vm_create = xe_vm_create,
   .vm_destroy = xe_vm_destroy,
   .vm_id = xe_vm_id,
   .vm_status = xe_vm_status,
   .queue_create = xe_queue_create,
   .queue_destroy = xe_queue_destroy,
   .bo_create = xe_bo_create,
   .bo_mmap_offset = xe_bo_mmap_offset,
   .bind = xe_bind,
};

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The back-end for powervr (Imagination).
 *
 * VM_MAP and VM_UNMAP take one operation each and are done on return; they know no fences.  A map takes
 * whatever is there; an unmap wants the exact address and size of one mapping.  Addresses lie in heaps
 * of fixed places, of which the general one is used.  There are no null mappings: a BO that
 * nobody else sees takes their place.  Nor are there private BOs, nor flags of mappings: those that are
 * asked for make no difference.
 */

#include <stdio.h>
#include <stdlib.h>

#include "drm-uapi/pvr_drm.h"

#include "vmb_kmd_util.h"

/* Of the BO that null mappings show; they are as many as it takes to cover a range. */
#define BLACK_HOLE_B (2u << 20)

struct vmb_kmd_device {
   int fd;
};

struct vmb_kmd_vm {
   struct vmb_kmd_device *kdev;
   uint32_t handle;
   uint32_t black_hole;
};

static int
powervr_open(int fd, struct vmb_caps *caps, struct vmb_kmd_device **kdev_out, char *why,
             size_t why_size)
{
   struct drm_pvr_heap heaps[DRM_PVR_HEAP_COUNT] = { 0 };
   struct drm_pvr_dev_query_heap_info info = {
      .heaps = DRM_PVR_OBJ_ARRAY(DRM_PVR_HEAP_COUNT, heaps),
   };
   struct drm_pvr_ioctl_dev_query_args req = {
      .type = DRM_PVR_DEV_QUERY_HEAP_INFO_GET,
      .size = sizeof(info),
      .pointer = (uintptr_t)&info,
   };
   const int ret = vmb_kmd_ioctl(fd, DRM_IOCTL_PVR_DEV_QUERY, &req);
   if (ret) {
      snprintf(why, why_size, "the heaps of addresses cannot be queried");
      return ret;
   }

   struct vmb_kmd_device *kdev = calloc(1, sizeof(*kdev));
   if (!kdev)
      return -ENOMEM;
   kdev->fd = fd;

   caps->va_start_B = heaps[DRM_PVR_HEAP_GENERAL].base;
   caps->va_range_B = heaps[DRM_PVR_HEAP_GENERAL].size;
   caps->page_size_B = 1u << heaps[DRM_PVR_HEAP_GENERAL].page_size_log2;
   caps->block_size_B = caps->page_size_B;
   caps->block_split = true;
   caps->exact_unmap = true;
   caps->immediate_bind = true;
   caps->immediate_prefix = true;
   caps->sync_mode = VMB_SYNC_THREAD;
   caps->null_mode = VMB_NULL_BLACK_HOLE;
   caps->null_granule_B = BLACK_HOLE_B;
   caps->max_ops = 1;
   caps->max_syncs = UINT32_MAX;
   caps->max_vms = UINT32_MAX;

   *kdev_out = kdev;
   return 0;
}

static void
powervr_close(struct vmb_kmd_device *kdev)
{
   free(kdev);
}

static int
powervr_bo_create(struct vmb_kmd_device *kdev, UNUSED struct vmb_kmd_vm *kvm, uint64_t *size_B,
                  UNUSED bool cached, uint32_t *handle_out)
{
   struct drm_pvr_ioctl_create_bo_args req = {
      .size = *size_B,
      .flags = DRM_PVR_BO_ALLOW_CPU_USERSPACE_ACCESS,
   };
   const int ret = vmb_kmd_ioctl(kdev->fd, DRM_IOCTL_PVR_CREATE_BO, &req);

   *handle_out = req.handle;
   return ret;
}

static int
powervr_bo_mmap_offset(struct vmb_kmd_device *kdev, uint32_t handle, uint64_t *offset_out)
{
   struct drm_pvr_ioctl_get_bo_mmap_offset_args req = { .handle = handle };
   const int ret = vmb_kmd_ioctl(kdev->fd, DRM_IOCTL_PVR_GET_BO_MMAP_OFFSET, &req);

   *offset_out = req.offset;
   return ret;
}

static void
powervr_vm_destroy(struct vmb_kmd_vm *kvm)
{
   struct drm_pvr_ioctl_destroy_vm_context_args req = { .handle = kvm->handle };

   vmb_kmd_ioctl(kvm->kdev->fd, DRM_IOCTL_PVR_DESTROY_VM_CONTEXT, &req);
   if (kvm->black_hole)
      drmCloseBufferHandle(kvm->kdev->fd, kvm->black_hole);
   free(kvm);
}

static int
powervr_vm_create(struct vmb_kmd_device *kdev, struct vmb_kmd_vm **kvm_out)
{
   struct drm_pvr_ioctl_create_vm_context_args req = { 0 };
   struct vmb_kmd_vm *kvm = calloc(1, sizeof(*kvm));
   uint64_t size_B = BLACK_HOLE_B;

   if (!kvm)
      return -ENOMEM;
   int ret = vmb_kmd_ioctl(kdev->fd, DRM_IOCTL_PVR_CREATE_VM_CONTEXT, &req);
   if (ret) {
      free(kvm);
      return ret;
   }
   kvm->kdev = kdev;
   kvm->handle = req.handle;
   ret = powervr_bo_create(kdev, kvm, &size_B, false, &kvm->black_hole);
   if (ret) {
      kvm->black_hole = 0;
      powervr_vm_destroy(kvm);
      return ret;
   }
   *kvm_out = kvm;
   return 0;
}

static uint32_t
powervr_vm_id(const struct vmb_kmd_vm *kvm)
{
   return kvm->handle;
}

static int
bind_one(struct vmb_kmd_vm *kvm, const struct vmb_kmd_op *op)
{
   const bool null = op->type == VMB_KMD_MAP_NULL;
   struct drm_pvr_ioctl_vm_map_args map = {
      .vm_context_handle = kvm->handle,
      .device_addr = op->addr_B,
      .handle = null ? kvm->black_hole : op->bo_handle,
      .offset = null ? op->addr_B & (BLACK_HOLE_B - 1) : op->bo_offset_B,
      .size = op->range_B,
   };
   struct drm_pvr_ioctl_vm_unmap_args unmap = {
      .vm_context_handle = kvm->handle,
      .device_addr = op->addr_B,
      .size = op->range_B,
   };

   return op->type == VMB_KMD_UNMAP
             ? vmb_kmd_ioctl(kvm->kdev->fd, DRM_IOCTL_PVR_VM_UNMAP, &unmap)
             : vmb_kmd_ioctl(kvm->kdev->fd, DRM_IOCTL_PVR_VM_MAP, &map);
}

static int
powervr_bind_immediate(struct vmb_kmd_vm *kvm, const struct vmb_kmd_op *ops, uint32_t op_count,
                       uint32_t *applied_out)
{
   return vmb_kmd_bind_each(kvm, ops, op_count, applied_out, bind_one);
}

const struct vmb_kmd_ops vmb_kmd_powervr = {
   .name = "powervr",
   .open = powervr_open,
   .close = powervr_close,
   .vm_create = powervr_vm_create,
   .vm_destroy = powervr_vm_destroy,
   .vm_id = powervr_vm_id,
   .vm_status = vmb_kmd_unknown_vm_status,
   .queue_create = vmb_kmd_no_queue_create,
   .queue_destroy = vmb_kmd_no_queue_destroy,
   .bo_create = powervr_bo_create,
   .bo_mmap_offset = powervr_bo_mmap_offset,
   .bind_immediate = powervr_bind_immediate,
};

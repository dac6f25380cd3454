/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The back-end for asahi (Apple).  UNVERIFIED: Linux has the driver's header and not the driver, so
 * this has never met one; what the header does not say was told by those who know it.
 *
 * VM_BIND takes an array of operations and is done on return; it knows no fences.  If one of them
 * fails those before it stay applied, and their number is not told.  A VM gives up a window of its
 * addresses to the kernel.  Null is one page of a BO that nobody else sees, repeated (SINGLE_PAGE).
 * Closing a BO's handle unmaps it everywhere; the core closes none that is bound.
 */

#include <stdio.h>
#include <stdlib.h>

#include "drm-uapi/asahi_drm.h"
#include "util/u_math.h"

#include "vmbind/vmb_util.h"

#include "vmb_kmd_util.h"

#define PAGE_B  16384u
#define MAX_OPS 1024

struct vmb_kmd_device {
   int fd;
   /* The window that goes to the kernel. */
   uint64_t kernel_start_B;
   uint64_t kernel_end_B;
};

struct vmb_kmd_vm {
   struct vmb_kmd_device *kdev;
   uint32_t id;
   /* What null mappings show. */
   uint32_t null_bo;
   /* Scratch of a bind. */
   struct drm_asahi_gem_bind_op *ops;
   size_t op_capacity;
};

static int
asahi_open(int fd, struct vmb_caps *caps, struct vmb_kmd_device **kdev_out, char *why,
           size_t why_size)
{
   struct drm_asahi_params_global params = { 0 };
   struct drm_asahi_get_params req = {
      .pointer = (uintptr_t)&params,
      .size = sizeof(params),
   };
   const int ret = vmb_kmd_ioctl(fd, DRM_IOCTL_ASAHI_GET_PARAMS, &req);
   if (ret) {
      snprintf(why, why_size, "the device cannot be queried");
      return ret;
   }
   const uint64_t kernel_range_B = align64(params.vm_kernel_min_size, PAGE_B);
   if (params.vm_end <= params.vm_start || params.vm_end - params.vm_start <= kernel_range_B) {
      snprintf(why, why_size, "there are no addresses beside the kernel's");
      return -ENOTSUP;
   }

   struct vmb_kmd_device *kdev = calloc(1, sizeof(*kdev));
   if (!kdev)
      return -ENOMEM;
   snprintf(why, why_size, "unverified: this back-end has never met the driver");
   kdev->fd = fd;
   kdev->kernel_end_B = params.vm_end;
   kdev->kernel_start_B = params.vm_end - kernel_range_B;

   caps->va_start_B = params.vm_start;
   caps->va_range_B = kdev->kernel_start_B - params.vm_start;
   caps->page_size_B = PAGE_B;
   caps->block_size_B = PAGE_B;
   caps->block_split = true;
   caps->immediate_bind = true;
   caps->immediate_prefix = true;
   caps->immediate_unsure = true;
   caps->sync_mode = VMB_SYNC_THREAD;
   caps->null_mode = VMB_NULL_REPEAT;
   caps->max_ops = MAX_OPS;
   caps->max_syncs = UINT32_MAX;
   caps->private_bos = true;
   caps->max_vms = UINT32_MAX;

   *kdev_out = kdev;
   return 0;
}

static void
asahi_close(struct vmb_kmd_device *kdev)
{
   free(kdev);
}

static int
asahi_bo_create(struct vmb_kmd_device *kdev, struct vmb_kmd_vm *kvm, uint64_t *size_B, bool cached,
                uint32_t *handle_out)
{
   *size_B = align64(*size_B, PAGE_B);

   struct drm_asahi_gem_create req = {
      .size = *size_B,
      .flags = (cached ? DRM_ASAHI_GEM_WRITEBACK : 0) | (kvm ? DRM_ASAHI_GEM_VM_PRIVATE : 0),
      .vm_id = kvm ? kvm->id : 0,
   };
   const int ret = vmb_kmd_ioctl(kdev->fd, DRM_IOCTL_ASAHI_GEM_CREATE, &req);

   *handle_out = req.handle;
   return ret;
}

static int
asahi_bo_mmap_offset(struct vmb_kmd_device *kdev, uint32_t handle, uint64_t *offset_out)
{
   struct drm_asahi_gem_mmap_offset req = { .handle = handle };
   const int ret = vmb_kmd_ioctl(kdev->fd, DRM_IOCTL_ASAHI_GEM_MMAP_OFFSET, &req);

   *offset_out = req.offset;
   return ret;
}

static void
asahi_vm_destroy(struct vmb_kmd_vm *kvm)
{
   struct drm_asahi_vm_destroy req = { .vm_id = kvm->id };

   vmb_kmd_ioctl(kvm->kdev->fd, DRM_IOCTL_ASAHI_VM_DESTROY, &req);
   if (kvm->null_bo)
      drmCloseBufferHandle(kvm->kdev->fd, kvm->null_bo);
   free(kvm->ops);
   free(kvm);
}

static int
asahi_vm_create(struct vmb_kmd_device *kdev, struct vmb_kmd_vm **kvm_out)
{
   struct drm_asahi_vm_create req = {
      .kernel_start = kdev->kernel_start_B,
      .kernel_end = kdev->kernel_end_B,
   };
   struct vmb_kmd_vm *kvm = calloc(1, sizeof(*kvm));
   uint64_t size_B = PAGE_B;

   if (!kvm)
      return -ENOMEM;
   int ret = vmb_kmd_ioctl(kdev->fd, DRM_IOCTL_ASAHI_VM_CREATE, &req);
   if (ret) {
      free(kvm);
      return ret;
   }
   kvm->kdev = kdev;
   kvm->id = req.vm_id;
   ret = asahi_bo_create(kdev, kvm, &size_B, false, &kvm->null_bo);
   if (ret) {
      kvm->null_bo = 0;
      asahi_vm_destroy(kvm);
      return ret;
   }
   *kvm_out = kvm;
   return 0;
}

static uint32_t
asahi_vm_id(const struct vmb_kmd_vm *kvm)
{
   return kvm->id;
}

static struct drm_asahi_gem_bind_op
to_asahi_op(const struct vmb_kmd_vm *kvm, const struct vmb_kmd_op *op)
{
   struct drm_asahi_gem_bind_op out = { .addr = op->addr_B, .range = op->range_B };

   switch (op->type) {
   case VMB_KMD_MAP:
      out.flags = DRM_ASAHI_BIND_READ;
      if (!(op->flags & VMB_MAPPING_READONLY))
         out.flags |= DRM_ASAHI_BIND_WRITE;
      out.handle = op->bo_handle;
      out.offset = op->bo_offset_B;
      break;
   case VMB_KMD_MAP_NULL:
      out.flags = DRM_ASAHI_BIND_READ | DRM_ASAHI_BIND_WRITE | DRM_ASAHI_BIND_SINGLE_PAGE;
      out.handle = kvm->null_bo;
      break;
   default:
      out.flags = DRM_ASAHI_BIND_UNBIND;
      break;
   }
   return out;
}

static int
bind_array(struct vmb_kmd_vm *kvm, const struct drm_asahi_gem_bind_op *ops, uint32_t count)
{
   struct drm_asahi_vm_bind req = {
      .vm_id = kvm->id,
      .num_binds = count,
      .stride = sizeof(*ops),
      .userptr = (uintptr_t)ops,
   };

   return vmb_kmd_ioctl(kvm->kdev->fd, DRM_IOCTL_ASAHI_VM_BIND, &req);
}

/* How far did an array that failed come?  Done again, an operation changes nothing, so it is done
 * again in halves. */
static int
bind_halving(struct vmb_kmd_vm *kvm, const struct drm_asahi_gem_bind_op *ops, uint32_t count,
             uint32_t *applied)
{
   int ret = bind_array(kvm, ops, count);

   if (!ret)
      *applied += count;
   if (!ret || count == 1)
      return ret;
   ret = bind_halving(kvm, ops, count / 2, applied);
   return ret ? ret : bind_halving(kvm, ops + count / 2, count - count / 2, applied);
}

static int
asahi_bind_immediate(struct vmb_kmd_vm *kvm, const struct vmb_kmd_op *ops, uint32_t op_count,
                     uint32_t *applied_out)
{
   *applied_out = 0;
   const int ret = vmb_grow((void **)&kvm->ops, &kvm->op_capacity, op_count, sizeof(*kvm->ops));
   if (ret)
      return ret;
   for (uint32_t i = 0; i < op_count; i++)
      kvm->ops[i] = to_asahi_op(kvm, &ops[i]);
   return bind_halving(kvm, kvm->ops, op_count, applied_out);
}

const struct vmb_kmd_ops vmb_kmd_asahi = {
   .name = "asahi",
   .open = asahi_open,
   .close = asahi_close,
   .vm_create = asahi_vm_create,
   .vm_destroy = asahi_vm_destroy,
   .vm_id = asahi_vm_id,
   .vm_status = vmb_kmd_unknown_vm_status,
   .queue_create = vmb_kmd_no_queue_create,
   .queue_destroy = vmb_kmd_no_queue_destroy,
   .bo_create = asahi_bo_create,
   .bo_mmap_offset = asahi_bo_mmap_offset,
   .bind_immediate = asahi_bind_immediate,
};

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The back-end for amdgpu (AMD).
 *
 * An open file has one VM.  GEM_VA takes one operation.  Its in-fences are waited for inside
 * the ioctl, so they are left to the core's thread.  The tree changes at once, the
 * page tables some time later; from 3.64 on a timeline point tells when.  Before
 * that nothing tells, and nothing needs to: the kernel makes submissions that come later wait.
 *
 * REPLACE is the map and CLEAR is the unmap that take whatever is there.  A null mapping is a
 * partially resident one (PRT), which has no BO.
 */

#include <stdio.h>
#include <stdlib.h>

#include "drm-uapi/amdgpu_drm.h"

#include "util/u_atomic.h"

#include "vmb_kmd_util.h"

#define MINOR_TIMELINE 64

struct vmb_kmd_device {
   int fd;
   bool timeline;
};

struct vmb_kmd_vm {
   struct vmb_kmd_device *kdev;
   /* A timeline, and its latest point. */
   uint32_t syncobj;
   uint64_t point;
};

static int
amdgpu_open(int fd, struct vmb_caps *caps, struct vmb_kmd_device **kdev_out, char *why,
            size_t why_size)
{
   struct drm_amdgpu_info_device info = { 0 };
   struct drm_amdgpu_info req = {
      .return_pointer = (uintptr_t)&info,
      .return_size = sizeof(info),
      .query = AMDGPU_INFO_DEV_INFO,
   };
   const int ret = vmb_kmd_ioctl(fd, DRM_IOCTL_AMDGPU_INFO, &req);
   if (ret) {
      snprintf(why, why_size, "the device cannot be queried");
      return ret;
   }

   struct vmb_kmd_device *kdev = calloc(1, sizeof(*kdev));
   if (!kdev)
      return -ENOMEM;
   kdev->fd = fd;
   kdev->timeline = caps->version_major > 3 ||
                    (caps->version_major == 3 && caps->version_minor >= MINOR_TIMELINE);

   caps->va_start_B = info.virtual_address_offset;
   caps->va_range_B = info.virtual_address_max - info.virtual_address_offset;
   caps->page_size_B = MAX2(info.virtual_address_alignment, 4096);
   caps->block_size_B = MAX2(info.pte_fragment_size, caps->page_size_B);
   caps->block_split = true;
   caps->immediate_bind = true;
   caps->immediate_prefix = true;
   caps->sync_mode = VMB_SYNC_THREAD;
   caps->null_mode = VMB_NULL_NATIVE;
   caps->null_strict = true;
   caps->max_ops = 1;
   caps->max_syncs = UINT32_MAX;
   caps->private_bos = true;
   caps->max_vms = 1;

   *kdev_out = kdev;
   return 0;
}

static void
amdgpu_close(struct vmb_kmd_device *kdev)
{
   free(kdev);
}

/* Cached ones are the CPU's, in system memory; the others go to VRAM where there is room. */
static int
amdgpu_bo_create(struct vmb_kmd_device *kdev, struct vmb_kmd_vm *kvm, uint64_t *size_B,
                 bool cached, uint32_t *handle_out)
{
   union drm_amdgpu_gem_create req = {
      .in = {
         .bo_size = *size_B,
         .alignment = 4096,
         .domains = AMDGPU_GEM_DOMAIN_GTT | (cached ? 0 : AMDGPU_GEM_DOMAIN_VRAM),
         .domain_flags =
            AMDGPU_GEM_CREATE_CPU_ACCESS_REQUIRED | (cached ? 0 : AMDGPU_GEM_CREATE_CPU_GTT_USWC) |
            (kvm ? AMDGPU_GEM_CREATE_VM_ALWAYS_VALID : 0),
      },
   };
   const int ret = vmb_kmd_ioctl(kdev->fd, DRM_IOCTL_AMDGPU_GEM_CREATE, &req);

   if (!ret)
      *handle_out = req.out.handle;
   return ret;
}

static int
amdgpu_bo_mmap_offset(struct vmb_kmd_device *kdev, uint32_t handle, uint64_t *offset_out)
{
   union drm_amdgpu_gem_mmap req = { .in = { .handle = handle } };
   const int ret = vmb_kmd_ioctl(kdev->fd, DRM_IOCTL_AMDGPU_GEM_MMAP, &req);

   *offset_out = req.out.addr_ptr;
   return ret;
}

/* The VM itself, and what is left in it, goes with the file. */
static void
amdgpu_vm_destroy(struct vmb_kmd_vm *kvm)
{
   drmSyncobjDestroy(kvm->kdev->fd, kvm->syncobj);
   free(kvm);
}

static int
amdgpu_vm_create(struct vmb_kmd_device *kdev, struct vmb_kmd_vm **kvm_out)
{
   struct vmb_kmd_vm *kvm = calloc(1, sizeof(*kvm));

   if (!kvm)
      return -ENOMEM;
   kvm->kdev = kdev;
   if (drmSyncobjCreate(kdev->fd, 0, &kvm->syncobj)) {
      const int ret = -errno;
      free(kvm);
      return ret;
   }
   *kvm_out = kvm;
   return 0;
}

static uint32_t
amdgpu_vm_id(UNUSED const struct vmb_kmd_vm *kvm)
{
   return 0;
}

static struct drm_amdgpu_gem_va
to_gem_va(const struct vmb_kmd_op *op)
{
   struct drm_amdgpu_gem_va out = {
      .operation = AMDGPU_VA_OP_REPLACE,
      .va_address = op->addr_B,
      .map_size = op->range_B,
   };

   switch (op->type) {
   case VMB_KMD_MAP:
      out.handle = op->bo_handle;
      out.offset_in_bo = op->bo_offset_B;
      out.flags = AMDGPU_VM_PAGE_READABLE;
      if (!(op->flags & VMB_MAPPING_READONLY))
         out.flags |= AMDGPU_VM_PAGE_WRITEABLE;
      if (!(op->flags & VMB_MAPPING_NOEXEC))
         out.flags |= AMDGPU_VM_PAGE_EXECUTABLE;
      if (op->flags & VMB_MAPPING_UNCACHED)
         out.flags |= AMDGPU_VM_MTYPE_UC;
      break;
   case VMB_KMD_MAP_NULL:
      out.flags = AMDGPU_VM_PAGE_PRT;
      break;
   default:
      out.operation = AMDGPU_VA_OP_CLEAR;
      break;
   }
   return out;
}

static int
bind_one(struct vmb_kmd_vm *kvm, const struct vmb_kmd_op *op)
{
   struct drm_amdgpu_gem_va req = to_gem_va(op);

   if (kvm->kdev->timeline) {
      req.vm_timeline_syncobj_out = kvm->syncobj;
      req.vm_timeline_point = kvm->point + 1;
   }
   const int ret = vmb_kmd_ioctl(kvm->kdev->fd, DRM_IOCTL_AMDGPU_GEM_VA, &req);
   if (!ret && kvm->kdev->timeline)
      p_atomic_inc(&kvm->point);
   return ret;
}

static int
amdgpu_bind_immediate(struct vmb_kmd_vm *kvm, const struct vmb_kmd_op *ops, uint32_t op_count,
                      uint32_t *applied_out)
{
   return vmb_kmd_bind_each(kvm, ops, op_count, applied_out, bind_one);
}

static int
amdgpu_bind_wait(struct vmb_kmd_vm *kvm)
{
   /* Without the bind lock: another queue's thread may have added to it, which is later than ours. */
   uint64_t point = p_atomic_read(&kvm->point);

   if (!point)
      return 0;
   if (drmSyncobjTimelineWait(kvm->kdev->fd, &kvm->syncobj, &point, 1, INT64_MAX, 0, NULL))
      return -errno;
   return 0;
}

const struct vmb_kmd_ops vmb_kmd_amdgpu = {
   .name = "amdgpu",
   .open = amdgpu_open,
   .close = amdgpu_close,
   .vm_create = amdgpu_vm_create,
   .vm_destroy = amdgpu_vm_destroy,
   .vm_id = amdgpu_vm_id,
   .vm_status = vmb_kmd_unknown_vm_status,
   .queue_create = vmb_kmd_no_queue_create,
   .queue_destroy = vmb_kmd_no_queue_destroy,
   .bo_create = amdgpu_bo_create,
   .bo_mmap_offset = amdgpu_bo_mmap_offset,
   .bind_immediate = amdgpu_bind_immediate,
   .bind_wait = amdgpu_bind_wait,
};

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The back-end for msm (Qualcomm Adreno).
 *
 * An open file has one VM, which becomes userspace's to manage by a parameter set
 * before anything else.  The ioctl updates the tree at once, the page tables follow
 * when the bind runs.  Each bind queue is a FIFO; the kernel does not order
 * different ones.  A bind that fails after it was prepared in part leaves the VM
 * unusable, which later ioctls say with EPIPE.
 *
 * Without VM_BIND the VM stays the kernel's: a BO has an address from the first time
 * that somebody asks until its handle is closed.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <xf86drm.h>

#include "drm-uapi/msm_drm.h"
#include "util/macros.h"
#include "util/u_atomic.h"

#include "vmbind/vmb_gpuvm.h"
#include "vmbind/vmb_kmd.h"
#include "vmbind/vmb_util.h"

/* The kernel keeps the operations of an ioctl in one contiguous allocation, of
 * which up to 32 KiB are easily had. */
#define MAX_OPS (32 * 1024 / 40)

struct vmb_kmd_device {
   int fd;
   bool vm_bind;
};

struct vmb_kmd_vm {
   struct vmb_kmd_device *kdev;
   /* Atomic: asked for while another thread binds. */
   bool lost;
   /* Scratch of a bind. */
   struct drm_msm_vm_bind_op *ops;
   struct drm_msm_syncobj *syncs;
   size_t op_capacity;
   size_t sync_capacity;
};

static int
get_param(int fd, uint32_t param, uint64_t *value_out)
{
   struct drm_msm_param req = { .pipe = MSM_PIPE_3D0, .param = param };

   if (drmIoctl(fd, DRM_IOCTL_MSM_GET_PARAM, &req))
      return -errno;
   *value_out = req.value;
   return 0;
}

static int
msm_open(int fd, struct vmb_caps *caps, struct vmb_kmd_device **kdev_out, char *why,
         size_t why_size)
{
   struct drm_msm_param enable = {
      .pipe = MSM_PIPE_3D0,
      .param = MSM_PARAM_EN_VM_BIND,
      .value = 1,
   };
   uint64_t start_B = 0, range_B = 0, prr = 0;
   bool vm_bind = true;

   /* First of all: asking for any other parameter would make the VM the
    * kernel's. */
   if (drmIoctl(fd, DRM_IOCTL_MSM_SET_PARAM, &enable)) {
      const int err = errno;
      if (err == EBUSY) {
         snprintf(why, why_size,
                  "the file is in use already with addresses of the kernel's choice; open the node "
                  "again");
         return -EBUSY;
      }
      snprintf(why, why_size,
               "no VM_BIND, which needs Linux 6.17 and per-process page tables of the GPU's SMMU: "
               "addresses are the kernel's, and there are no sparse features");
      vm_bind = false;
   }
   int ret = get_param(fd, MSM_PARAM_VA_START, &start_B);
   if (!ret)
      ret = get_param(fd, MSM_PARAM_VA_SIZE, &range_B);
   if (ret) {
      snprintf(why, why_size, "the VA range cannot be queried");
      return ret;
   }
   if (!vm_bind || get_param(fd, MSM_PARAM_HAS_PRR, &prr))
      prr = 0;

   struct vmb_kmd_device *kdev = calloc(1, sizeof(*kdev));
   if (!kdev)
      return -ENOMEM;
   kdev->fd = fd;
   kdev->vm_bind = vm_bind;

   caps->kernel_addresses = !vm_bind;
   caps->va_start_B = start_B;
   caps->va_range_B = range_B;
   caps->page_size_B = 4096;
   caps->block_size_B = 2u << 20;
   caps->block_split = true;
   caps->staged = true;
   /* Without binds there is nothing that the kernel could attach a fence to. */
   caps->sync_mode = vm_bind ? VMB_SYNC_KERNEL : VMB_SYNC_THREAD;
   caps->null_mode = prr ? VMB_NULL_NATIVE : VMB_NULL_NONE;
   caps->null_strict = prr;
   caps->max_ops = MAX_OPS;
   caps->max_syncs = UINT32_MAX;
   caps->private_bos = vm_bind;
   caps->purgeable = true;
   caps->max_vms = 1;

   *kdev_out = kdev;
   return 0;
}

static void
msm_close(struct vmb_kmd_device *kdev)
{
   free(kdev);
}

static int
msm_bo_create(struct vmb_kmd_device *kdev, struct vmb_kmd_vm *kvm, uint64_t *size_B, bool cached,
              uint32_t *handle_out)
{
   struct drm_msm_gem_new req = {
      .size = *size_B,
      .flags = (cached ? MSM_BO_CACHED_COHERENT : MSM_BO_WC) | (kvm ? MSM_BO_NO_SHARE : 0),
   };

   if (drmIoctl(kdev->fd, DRM_IOCTL_MSM_GEM_NEW, &req))
      return -errno;
   *handle_out = req.handle;
   return 0;
}

static int
msm_bo_set_purgeable(struct vmb_kmd_device *kdev, uint32_t handle, bool purgeable,
                     bool *retained_out)
{
   struct drm_msm_gem_madvise req = {
      .handle = handle,
      .madv = purgeable ? MSM_MADV_DONTNEED : MSM_MADV_WILLNEED,
   };

   if (drmIoctl(kdev->fd, DRM_IOCTL_MSM_GEM_MADVISE, &req))
      return -errno;
   *retained_out = req.retained;
   return 0;
}

static int
msm_bo_mmap_offset(struct vmb_kmd_device *kdev, uint32_t handle, uint64_t *offset_out)
{
   struct drm_msm_gem_info req = { .handle = handle, .info = MSM_INFO_GET_OFFSET };

   if (drmIoctl(kdev->fd, DRM_IOCTL_MSM_GEM_INFO, &req))
      return -errno;
   *offset_out = req.value;
   return 0;
}

static int
msm_vm_create(struct vmb_kmd_device *kdev, struct vmb_kmd_vm **kvm_out)
{
   struct vmb_kmd_vm *kvm = calloc(1, sizeof(*kvm));

   if (!kvm)
      return -ENOMEM;
   kvm->kdev = kdev;
   *kvm_out = kvm;
   return 0;
}

/* The VM itself, and what is left in it, goes with the file. */
static void
msm_vm_destroy(struct vmb_kmd_vm *kvm)
{
   free(kvm->ops);
   free(kvm->syncs);
   free(kvm);
}

static int
msm_bo_address(struct vmb_kmd_vm *kvm, uint32_t handle, uint64_t *addr_out)
{
   struct drm_msm_gem_info req = { .handle = handle, .info = MSM_INFO_GET_IOVA };

   if (drmIoctl(kvm->kdev->fd, DRM_IOCTL_MSM_GEM_INFO, &req))
      return -errno;
   *addr_out = req.value;
   return 0;
}

/* A file has one VM, which needs no id. */
static uint32_t
msm_vm_id(const struct vmb_kmd_vm *kvm)
{
   (void)kvm;
   return 0;
}

static int
msm_queue_create(struct vmb_kmd_vm *kvm, uint32_t *queue_out)
{
   struct drm_msm_submitqueue req = { .flags = MSM_SUBMITQUEUE_VM_BIND };

   if (!kvm->kdev->vm_bind) {
      *queue_out = 0;
      return 0;
   }
   if (drmIoctl(kvm->kdev->fd, DRM_IOCTL_MSM_SUBMITQUEUE_NEW, &req))
      return -errno;
   *queue_out = req.id;
   return 0;
}

static void
msm_queue_destroy(struct vmb_kmd_vm *kvm, uint32_t queue)
{
   if (kvm->kdev->vm_bind)
      drmIoctl(kvm->kdev->fd, DRM_IOCTL_MSM_SUBMITQUEUE_CLOSE, &queue);
}

static struct drm_msm_vm_bind_op
to_msm_op(const struct vmb_kmd_op *op)
{
   struct drm_msm_vm_bind_op out = { .iova = op->addr_B, .range = op->range_B };

   switch (op->type) {
   case VMB_KMD_UNMAP:
      out.op = MSM_VM_BIND_OP_UNMAP;
      break;
   case VMB_KMD_MAP:
      out.op = MSM_VM_BIND_OP_MAP;
      out.handle = op->bo_handle;
      out.obj_offset = op->bo_offset_B;
      if (op->flags & VMB_MAPPING_DUMP)
         out.flags |= MSM_VM_BIND_OP_DUMP;
      break;
   case VMB_KMD_MAP_NULL:
      out.op = MSM_VM_BIND_OP_MAP_NULL;
      break;
   case VMB_KMD_REGION_CREATE:
   case VMB_KMD_REGION_DESTROY:
      unreachable("there are no regions");
   }
   return out;
}

static int
make_room(struct vmb_kmd_vm *kvm, size_t ops, size_t syncs)
{
   const int ret = vmb_grow((void **)&kvm->ops, &kvm->op_capacity, ops, sizeof(*kvm->ops));
   if (ret)
      return ret;
   return vmb_grow((void **)&kvm->syncs, &kvm->sync_capacity, syncs, sizeof(*kvm->syncs));
}

static int
msm_bind(struct vmb_kmd_vm *kvm, const struct vmb_kmd_bind *bind)
{
   const int ret =
      make_room(kvm, MAX2(bind->op_count, 1), bind->wait_count + bind->signal_count);
   if (ret)
      return ret;

   for (uint32_t i = 0; i < bind->op_count; i++)
      kvm->ops[i] = to_msm_op(&bind->ops[i]);
   for (uint32_t i = 0; i < bind->wait_count + bind->signal_count; i++) {
      const struct vmb_kmd_sync *sync =
         i < bind->wait_count ? &bind->waits[i] : &bind->signals[i - bind->wait_count];
      kvm->syncs[i] = (struct drm_msm_syncobj){ .handle = sync->syncobj, .point = sync->point };
   }

   struct drm_msm_vm_bind req = {
      .nr_ops = bind->op_count,
      .fence_fd = -1,
      .queue_id = bind->queue,
      .in_syncobjs = (uintptr_t)kvm->syncs,
      .out_syncobjs = (uintptr_t)(kvm->syncs + bind->wait_count),
      .nr_in_syncobjs = bind->wait_count,
      .nr_out_syncobjs = bind->signal_count,
      .syncobj_stride = sizeof(struct drm_msm_syncobj),
      .op_stride = sizeof(struct drm_msm_vm_bind_op),
   };
   if (bind->op_count == 1)
      req.op = kvm->ops[0];
   else
      req.ops = (uintptr_t)kvm->ops;

   if (drmIoctl(kvm->kdev->fd, DRM_IOCTL_MSM_VM_BIND, &req)) {
      if (errno == EPIPE) {
         p_atomic_set(&kvm->lost, true);
         return -ENODEV;
      }
      return -errno;
   }
   return 0;
}

/* The driver tells only on the next bind. */
static int
msm_vm_status(struct vmb_kmd_vm *kvm)
{
   return p_atomic_read(&kvm->lost) ? -ENODEV : 0;
}

const struct vmb_kmd_ops vmb_kmd_msm = {
   .name = "msm",
   .open = msm_open,
   .close = msm_close,
   .vm_create = msm_vm_create,
   .vm_destroy = msm_vm_destroy,
   .vm_id = msm_vm_id,
   .vm_status = msm_vm_status,
   .bo_address = msm_bo_address,
   .queue_create = msm_queue_create,
   .queue_destroy = msm_queue_destroy,
   .bo_create = msm_bo_create,
   .bo_set_purgeable = msm_bo_set_purgeable,
   .bo_mmap_offset = msm_bo_mmap_offset,
   .bind = msm_bind,
};

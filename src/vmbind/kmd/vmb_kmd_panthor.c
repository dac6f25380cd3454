/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The back-end for panthor (Arm Mali with a command stream frontend).
 *
 * panthor updates its tree when a bind runs.  One FIFO a VM takes the
 * asynchronous binds; every operation is a job of its own with syncs of its own.
 * A synchronous bind overtakes that FIFO, and stops at the first operation that
 * fails, whose index it writes back.  Before 1.9 there are no sparse mappings: a
 * BO that nobody else sees takes their place.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include <xf86drm.h>

#include "drm-uapi/panthor_drm.h"
#include "util/macros.h"

#include "vmbind/vmb_util.h"

#include "vmb_kmd_util.h"

#define BLOCK_B (2u << 20)

/* What an ioctl costs is shared by its operations; from a few dozen on there is
 * little left to share, and the kernel allocates for each. */
#define MAX_OPS 1024

struct vmb_kmd_device {
   int fd;
   uint64_t user_va_range_B;
   bool sparse;
};

struct vmb_kmd_vm {
   struct vmb_kmd_device *kdev;
   uint32_t id;
   /* Without sparse mappings; 0 otherwise. */
   uint32_t black_hole;
   /* Scratch of a bind. */
   struct drm_panthor_vm_bind_op *ops;
   struct drm_panthor_sync_op *syncs;
   size_t op_capacity;
   size_t sync_capacity;
};

static int
query(int fd, uint32_t type, void *data, uint32_t size_B)
{
   struct drm_panthor_dev_query req = {
      .type = type,
      .size = size_B,
      .pointer = (uintptr_t)data,
   };

   return drmIoctl(fd, DRM_IOCTL_PANTHOR_DEV_QUERY, &req) ? -errno : 0;
}

static int
panthor_open(int fd, struct vmb_caps *caps, struct vmb_kmd_device **kdev_out, char *why,
             size_t why_size)
{
   struct drm_panthor_gpu_info gpu = { 0 };
   struct drm_panthor_mmu_info mmu = { 0 };

   int ret = query(fd, DRM_PANTHOR_DEV_QUERY_GPU_INFO, &gpu, sizeof(gpu));
   if (ret) {
      snprintf(why, why_size, "the GPU cannot be queried");
      return ret;
   }
   const unsigned va_bits = DRM_PANTHOR_MMU_VA_BITS(gpu.mmu_features);
   if (va_bits < 32 || va_bits > 57) {
      snprintf(why, why_size, "the GPU's MMU has %u address bits", va_bits);
      return -ENOTSUP;
   }

   struct vmb_kmd_device *kdev = calloc(1, sizeof(*kdev));
   if (!kdev)
      return -ENOMEM;
   kdev->fd = fd;
   kdev->sparse =
      caps->version_major > 1 || (caps->version_major == 1 && caps->version_minor >= 9);
   /* The lower half, as every user space takes; the kernel keeps the rest. */
   kdev->user_va_range_B = 1ull << (va_bits - 1);

   /* Unknown before 1.9, where pages are of 4 KiB. */
   ret = query(fd, DRM_PANTHOR_DEV_QUERY_MMU_INFO, &mmu, sizeof(mmu));
   const bool known = !ret && mmu.page_size_bitmap;

   caps->va_range_B = kdev->user_va_range_B;
   caps->page_size_B = known ? 1u << __builtin_ctzll(mmu.page_size_bitmap) : 4096;
   caps->block_size_B = BLOCK_B;
   caps->block_split = true;
   caps->fifo_per_vm = true;
   caps->immediate_bind = true;
   caps->immediate_prefix = true;
   caps->sync_mode = VMB_SYNC_KERNEL;
   caps->null_mode = kdev->sparse ? VMB_NULL_NATIVE : VMB_NULL_BLACK_HOLE;
   caps->null_granule_B = kdev->sparse ? 0 : BLOCK_B;
   caps->max_ops = MAX_OPS;
   caps->max_syncs = UINT32_MAX;
   caps->private_bos = true;
   caps->max_vms = 32;

   *kdev_out = kdev;
   return 0;
}

static void
panthor_close(struct vmb_kmd_device *kdev)
{
   free(kdev);
}

static int
bo_create(struct vmb_kmd_device *kdev, uint32_t vm_id, uint64_t *size_B, uint32_t flags,
          uint32_t *handle_out)
{
   struct drm_panthor_bo_create req = {
      .size = *size_B,
      .flags = flags,
      .exclusive_vm_id = vm_id,
   };

   if (drmIoctl(kdev->fd, DRM_IOCTL_PANTHOR_BO_CREATE, &req))
      return -errno;
   *size_B = req.size;
   *handle_out = req.handle;
   return 0;
}

/* Older kernels know no cached CPU mappings, so what is asked of \p cached cannot
 * be told apart there: mappings are write-combined, and coherent. */
static int
panthor_bo_create(struct vmb_kmd_device *kdev, struct vmb_kmd_vm *kvm, uint64_t *size_B,
                  bool cached, uint32_t *handle_out)
{
   (void)cached;
   return bo_create(kdev, kvm ? kvm->id : 0, size_B, 0, handle_out);
}

static int
panthor_bo_mmap_offset(struct vmb_kmd_device *kdev, uint32_t handle, uint64_t *offset_out)
{
   struct drm_panthor_bo_mmap_offset req = { .handle = handle };

   if (drmIoctl(kdev->fd, DRM_IOCTL_PANTHOR_BO_MMAP_OFFSET, &req))
      return -errno;
   *offset_out = req.offset;
   return 0;
}

static void
panthor_vm_destroy(struct vmb_kmd_vm *kvm)
{
   struct drm_panthor_vm_destroy req = { .id = kvm->id };

   drmIoctl(kvm->kdev->fd, DRM_IOCTL_PANTHOR_VM_DESTROY, &req);
   if (kvm->black_hole)
      drmCloseBufferHandle(kvm->kdev->fd, kvm->black_hole);
   free(kvm->ops);
   free(kvm->syncs);
   free(kvm);
}

static int
panthor_vm_create(struct vmb_kmd_device *kdev, struct vmb_kmd_vm **kvm_out)
{
   struct drm_panthor_vm_create req = { .user_va_range = kdev->user_va_range_B };
   struct vmb_kmd_vm *kvm = calloc(1, sizeof(*kvm));

   if (!kvm)
      return -ENOMEM;
   kvm->kdev = kdev;
   if (drmIoctl(kdev->fd, DRM_IOCTL_PANTHOR_VM_CREATE, &req)) {
      const int ret = -errno;
      free(kvm);
      return ret;
   }
   kvm->id = req.id;

   int ret = req.user_va_range < kdev->user_va_range_B ? -ENOSPC : 0;
   if (!ret && !kdev->sparse) {
      uint64_t size_B = BLOCK_B;
      ret = bo_create(kdev, kvm->id, &size_B, DRM_PANTHOR_BO_NO_MMAP, &kvm->black_hole);
   }
   if (ret) {
      panthor_vm_destroy(kvm);
      return ret;
   }
   *kvm_out = kvm;
   return 0;
}

static uint32_t
panthor_vm_id(const struct vmb_kmd_vm *kvm)
{
   return kvm->id;
}

static int
panthor_vm_status(struct vmb_kmd_vm *kvm)
{
   struct drm_panthor_vm_get_state req = { .vm_id = kvm->id };

   if (drmIoctl(kvm->kdev->fd, DRM_IOCTL_PANTHOR_VM_GET_STATE, &req))
      return -ENODEV;
   return req.state == DRM_PANTHOR_VM_STATE_USABLE ? 0 : -ENODEV;
}

/* -------------------------------------------------------------------- bind */

static struct drm_panthor_vm_bind_op
to_panthor_op(const struct vmb_kmd_vm *kvm, const struct vmb_kmd_op *op)
{
   struct drm_panthor_vm_bind_op out = { .va = op->addr_B, .size = op->range_B };

   switch (op->type) {
   case VMB_KMD_UNMAP:
      out.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_UNMAP;
      break;
   case VMB_KMD_MAP:
      out.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_MAP;
      if (op->flags & VMB_MAPPING_READONLY)
         out.flags |= DRM_PANTHOR_VM_BIND_OP_MAP_READONLY;
      if (op->flags & VMB_MAPPING_NOEXEC)
         out.flags |= DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC;
      if (op->flags & VMB_MAPPING_UNCACHED)
         out.flags |= DRM_PANTHOR_VM_BIND_OP_MAP_UNCACHED;
      out.bo_handle = op->bo_handle;
      out.bo_offset = op->bo_offset_B;
      break;
   case VMB_KMD_MAP_NULL:
      out.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_MAP | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC;
      if (kvm->kdev->sparse) {
         out.flags |= DRM_PANTHOR_VM_BIND_OP_MAP_SPARSE;
      } else {
         /* Congruent, so that the block stays a block. */
         out.bo_handle = kvm->black_hole;
         out.bo_offset = op->addr_B & (BLOCK_B - 1);
      }
      break;
   case VMB_KMD_REGION_CREATE:
   case VMB_KMD_REGION_DESTROY:
      unreachable("there are no regions");
   }
   return out;
}

static struct drm_panthor_sync_op
to_panthor_sync(const struct vmb_kmd_sync *sync, uint32_t direction)
{
   const uint32_t type = sync->point ? DRM_PANTHOR_SYNC_OP_HANDLE_TYPE_TIMELINE_SYNCOBJ
                                     : DRM_PANTHOR_SYNC_OP_HANDLE_TYPE_SYNCOBJ;

   return (struct drm_panthor_sync_op){
      .flags = type | direction,
      .handle = sync->syncobj,
      .timeline_value = sync->point,
   };
}

static int
make_room(struct vmb_kmd_vm *kvm, size_t ops, size_t syncs)
{
   const int ret = vmb_grow((void **)&kvm->ops, &kvm->op_capacity, ops, sizeof(*kvm->ops));
   if (ret)
      return ret;
   return vmb_grow((void **)&kvm->syncs, &kvm->sync_capacity, syncs, sizeof(*kvm->syncs));
}

/* An unusable VM refuses maps as if they were invalid. */
static int
bind_error(struct vmb_kmd_vm *kvm, int err)
{
   return panthor_vm_status(kvm) ? -ENODEV : -err;
}

static int
panthor_bind(struct vmb_kmd_vm *kvm, const struct vmb_kmd_bind *bind)
{
   const uint32_t op_count = MAX2(bind->op_count, 1);
   const uint32_t sync_count = bind->wait_count + bind->signal_count;
   const int ret = make_room(kvm, op_count, sync_count);
   if (ret)
      return ret;

   for (uint32_t i = 0; i < bind->wait_count; i++)
      kvm->syncs[i] = to_panthor_sync(&bind->waits[i], DRM_PANTHOR_SYNC_OP_WAIT);
   for (uint32_t i = 0; i < bind->signal_count; i++) {
      kvm->syncs[bind->wait_count + i] =
         to_panthor_sync(&bind->signals[i], DRM_PANTHOR_SYNC_OP_SIGNAL);
   }

   if (bind->op_count == 0) {
      kvm->ops[0] =
         (struct drm_panthor_vm_bind_op){ .flags = DRM_PANTHOR_VM_BIND_OP_TYPE_SYNC_ONLY };
   }
   for (uint32_t i = 0; i < bind->op_count; i++)
      kvm->ops[i] = to_panthor_op(kvm, &bind->ops[i]);

   /* Waits at the first one; signals at the last one, which come after them in
    * the array so that a lone operation has both. */
   struct drm_panthor_vm_bind_op *first = &kvm->ops[0], *last = &kvm->ops[op_count - 1];
   const struct drm_panthor_obj_array waits = DRM_PANTHOR_OBJ_ARRAY(bind->wait_count, kvm->syncs);
   const struct drm_panthor_obj_array signals =
      DRM_PANTHOR_OBJ_ARRAY(bind->signal_count, kvm->syncs + bind->wait_count);
   const struct drm_panthor_obj_array both = DRM_PANTHOR_OBJ_ARRAY(sync_count, kvm->syncs);
   if (first == last) {
      if (sync_count)
         first->syncs = both;
   } else {
      if (bind->wait_count)
         first->syncs = waits;
      if (bind->signal_count)
         last->syncs = signals;
   }

   struct drm_panthor_vm_bind req = {
      .vm_id = kvm->id,
      .flags = DRM_PANTHOR_VM_BIND_ASYNC,
      .ops = DRM_PANTHOR_OBJ_ARRAY(op_count, kvm->ops),
   };
   if (drmIoctl(kvm->kdev->fd, DRM_IOCTL_PANTHOR_VM_BIND, &req))
      return bind_error(kvm, errno);
   return 0;
}

static int
panthor_bind_immediate(struct vmb_kmd_vm *kvm, const struct vmb_kmd_op *ops, uint32_t op_count,
                       uint32_t *applied_out)
{
   *applied_out = 0;
   const int ret = make_room(kvm, op_count, 0);
   if (ret)
      return ret;
   for (uint32_t i = 0; i < op_count; i++)
      kvm->ops[i] = to_panthor_op(kvm, &ops[i]);

   /* Not drmIoctl(), which would begin again from the start: an interrupted bind
    * has written back how far it came. */
   while (*applied_out < op_count) {
      const uint32_t left = op_count - *applied_out;
      struct drm_panthor_vm_bind req = {
         .vm_id = kvm->id,
         .ops = DRM_PANTHOR_OBJ_ARRAY(left, kvm->ops + *applied_out),
      };

      if (ioctl(kvm->kdev->fd, DRM_IOCTL_PANTHOR_VM_BIND, &req) == 0) {
         *applied_out = op_count;
         break;
      }
      const int err = errno;
      /* Refused as a whole, the count is as it was. */
      if (req.ops.count < left)
         *applied_out += req.ops.count;
      if (err != EINTR && err != EAGAIN)
         return bind_error(kvm, err);
   }
   return 0;
}

const struct vmb_kmd_ops vmb_kmd_panthor = {
   .name = "panthor",
   .open = panthor_open,
   .close = panthor_close,
   .vm_create = panthor_vm_create,
   .vm_destroy = panthor_vm_destroy,
   .vm_id = panthor_vm_id,
   .vm_status = panthor_vm_status,
   .queue_create = vmb_kmd_no_queue_create,
   .queue_destroy = vmb_kmd_no_queue_destroy,
   .bo_create = panthor_bo_create,
   .bo_mmap_offset = panthor_bo_mmap_offset,
   .bind = panthor_bind,
   .bind_immediate = panthor_bind_immediate,
};

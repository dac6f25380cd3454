/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The back-end for nouveau (NVIDIA).
 *
 * An open file has one VM, which must be made before any BO: VM_INIT, with a window for the
 * kernel.  All binds of a file are one FIFO; the ioctl updates the tree at once and leaves
 * everything as it was if it fails.  Null mappings are sparse regions: made and removed as a
 * whole, and an unmap inside gives back what the region is.  A mapping lies inside of one or
 * outside of all.  The size of a mapping's pages follows from the alignment of its
 * address, size and offset, so nothing has to be asked for.
 *
 * There are no read-only, no non-executable and no uncached mappings: the flags make no difference.
 */

#include <stdio.h>
#include <stdlib.h>

#include "drm-uapi/nouveau_drm.h"

#include "vmbind/vmb_util.h"

#include "vmb_kmd_util.h"

/* NVK's number; the kernel has no limit, but allocates for each. */
#define MAX_OPS 4096

/* Of the chipset: from Pascal on a GPU has more than 40 bits of addresses; from the second
 * Maxwells on it has sparse mappings. */
#define CHIPSET_PASCAL     0x130
#define CHIPSET_MAXWELL_GM2 0x120

#define KERNEL_RANGE_B (1ull << 39)

struct vmb_kmd_device {
   int fd;
   bool vram;
};

struct vmb_kmd_vm {
   struct vmb_kmd_device *kdev;
   /* Scratch of a bind. */
   struct drm_nouveau_vm_bind_op *ops;
   struct drm_nouveau_sync *syncs;
   size_t op_capacity;
   size_t sync_capacity;
};

static uint64_t
get_param(int fd, uint64_t param)
{
   struct drm_nouveau_getparam req = { .param = param };

   return vmb_kmd_ioctl(fd, DRM_IOCTL_NOUVEAU_GETPARAM, &req) ? 0 : req.value;
}

static int
nouveau_open(int fd, struct vmb_caps *caps, struct vmb_kmd_device **kdev_out, char *why,
             size_t why_size)
{
   const uint64_t chipset = get_param(fd, NOUVEAU_GETPARAM_CHIPSET_ID);
   const uint64_t user_range_B = chipset >= CHIPSET_PASCAL ? 1ull << 46 : 1ull << 39;
   struct drm_nouveau_vm_init init = {
      .kernel_managed_addr = user_range_B,
      .kernel_managed_size = KERNEL_RANGE_B,
   };

   /* Before anything else of the file, or it never comes. */
   const int ret = vmb_kmd_ioctl(fd, DRM_IOCTL_NOUVEAU_VM_INIT, &init);
   if (ret == -ENOSYS) {
      snprintf(why, why_size, "the file is in use already without VM_BIND; open the node again");
      return -EBUSY;
   }
   if (ret) {
      snprintf(why, why_size, "no VM_BIND: it needs Linux 6.6");
      return -ENOTSUP;
   }

   struct vmb_kmd_device *kdev = calloc(1, sizeof(*kdev));
   if (!kdev)
      return -ENOMEM;
   kdev->fd = fd;
   kdev->vram = get_param(fd, NOUVEAU_GETPARAM_FB_SIZE) > 0;

   caps->va_range_B = user_range_B;
   caps->page_size_B = 4096;
   caps->block_size_B = 2u << 20;
   caps->block_split = true;
   caps->staged = true;
   caps->fifo_per_vm = true;
   caps->sync_mode = VMB_SYNC_KERNEL;
   caps->null_mode = chipset >= CHIPSET_MAXWELL_GM2 ? VMB_NULL_REGION : VMB_NULL_NONE;
   caps->null_strict = caps->null_mode != VMB_NULL_NONE;
   caps->max_ops = MAX_OPS;
   caps->max_syncs = UINT32_MAX;
   caps->private_bos = true;
   caps->max_vms = 1;

   *kdev_out = kdev;
   return 0;
}

static void
nouveau_close(struct vmb_kmd_device *kdev)
{
   free(kdev);
}

/* Cached ones are the CPU's, in system memory; the others go to VRAM where there is some. */
static int
nouveau_bo_create(struct vmb_kmd_device *kdev, struct vmb_kmd_vm *kvm, uint64_t *size_B,
                  bool cached, uint32_t *handle_out)
{
   const uint32_t place = cached || !kdev->vram ? NOUVEAU_GEM_DOMAIN_GART | NOUVEAU_GEM_DOMAIN_COHERENT
                                                : NOUVEAU_GEM_DOMAIN_VRAM | NOUVEAU_GEM_DOMAIN_GART;
   struct drm_nouveau_gem_new req = {
      .info = {
         .size = *size_B,
         .domain = place | NOUVEAU_GEM_DOMAIN_MAPPABLE | (kvm ? NOUVEAU_GEM_DOMAIN_NO_SHARE : 0),
      },
   };
   const int ret = vmb_kmd_ioctl(kdev->fd, DRM_IOCTL_NOUVEAU_GEM_NEW, &req);

   if (!ret)
      *handle_out = req.info.handle;
   return ret;
}

static int
nouveau_bo_mmap_offset(struct vmb_kmd_device *kdev, uint32_t handle, uint64_t *offset_out)
{
   struct drm_nouveau_gem_info req = { .handle = handle };
   const int ret = vmb_kmd_ioctl(kdev->fd, DRM_IOCTL_NOUVEAU_GEM_INFO, &req);

   *offset_out = req.map_handle;
   return ret;
}

static int
nouveau_vm_create(struct vmb_kmd_device *kdev, struct vmb_kmd_vm **kvm_out)
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
nouveau_vm_destroy(struct vmb_kmd_vm *kvm)
{
   free(kvm->ops);
   free(kvm->syncs);
   free(kvm);
}

static uint32_t
nouveau_vm_id(UNUSED const struct vmb_kmd_vm *kvm)
{
   return 0;
}

static struct drm_nouveau_vm_bind_op
to_nouveau_op(const struct vmb_kmd_op *op)
{
   struct drm_nouveau_vm_bind_op out = { .addr = op->addr_B, .range = op->range_B };

   switch (op->type) {
   case VMB_KMD_MAP:
      out.op = DRM_NOUVEAU_VM_BIND_OP_MAP;
      out.handle = op->bo_handle;
      out.bo_offset = op->bo_offset_B;
      break;
   case VMB_KMD_UNMAP:
   case VMB_KMD_MAP_NULL:
      /* Inside of a region this is null again. */
      out.op = DRM_NOUVEAU_VM_BIND_OP_UNMAP;
      break;
   case VMB_KMD_REGION_CREATE:
      out.op = DRM_NOUVEAU_VM_BIND_OP_MAP;
      out.flags = DRM_NOUVEAU_VM_BIND_SPARSE;
      break;
   case VMB_KMD_REGION_DESTROY:
      out.op = DRM_NOUVEAU_VM_BIND_OP_UNMAP;
      out.flags = DRM_NOUVEAU_VM_BIND_SPARSE;
      break;
   }
   return out;
}

static struct drm_nouveau_sync
to_nouveau_sync(const struct vmb_kmd_sync *sync)
{
   return (struct drm_nouveau_sync){
      .flags = sync->point ? DRM_NOUVEAU_SYNC_TIMELINE_SYNCOBJ : DRM_NOUVEAU_SYNC_SYNCOBJ,
      .handle = sync->syncobj,
      .timeline_value = sync->point,
   };
}

static int
nouveau_bind(struct vmb_kmd_vm *kvm, const struct vmb_kmd_bind *bind)
{
   int ret = vmb_grow((void **)&kvm->ops, &kvm->op_capacity, bind->op_count, sizeof(*kvm->ops));
   if (!ret) {
      ret = vmb_grow((void **)&kvm->syncs, &kvm->sync_capacity,
                     bind->wait_count + bind->signal_count, sizeof(*kvm->syncs));
   }
   if (ret)
      return ret;

   for (uint32_t i = 0; i < bind->op_count; i++)
      kvm->ops[i] = to_nouveau_op(&bind->ops[i]);
   for (uint32_t i = 0; i < bind->wait_count; i++)
      kvm->syncs[i] = to_nouveau_sync(&bind->waits[i]);
   for (uint32_t i = 0; i < bind->signal_count; i++)
      kvm->syncs[bind->wait_count + i] = to_nouveau_sync(&bind->signals[i]);

   struct drm_nouveau_vm_bind req = {
      .op_count = bind->op_count,
      .flags = DRM_NOUVEAU_VM_BIND_RUN_ASYNC,
      .wait_count = bind->wait_count,
      .sig_count = bind->signal_count,
      .wait_ptr = (uintptr_t)kvm->syncs,
      .sig_ptr = (uintptr_t)(kvm->syncs + bind->wait_count),
      .op_ptr = (uintptr_t)kvm->ops,
   };
   return vmb_kmd_ioctl(kvm->kdev->fd, DRM_IOCTL_NOUVEAU_VM_BIND, &req);
}

const struct vmb_kmd_ops vmb_kmd_nouveau = {
   .name = "nouveau",
   .open = nouveau_open,
   .close = nouveau_close,
   .vm_create = nouveau_vm_create,
   .vm_destroy = nouveau_vm_destroy,
   .vm_id = nouveau_vm_id,
   .vm_status = vmb_kmd_unknown_vm_status,
   .queue_create = vmb_kmd_no_queue_create,
   .queue_destroy = vmb_kmd_no_queue_destroy,
   .bo_create = nouveau_bo_create,
   .bo_mmap_offset = nouveau_bo_mmap_offset,
   .bind = nouveau_bind,
};

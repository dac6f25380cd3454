/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * BOs: made, shared, mapped for the CPU, and kept alive by what is bound to
 * them.  A GEM handle is unique in a file, so importing a BO twice gives the
 * same handle; the device's list finds the BO again.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xf86drm.h>

#include "util/u_math.h"

#include "vmb_private.h"

/* The last one after 15 ms. */
#define RECLAIM_TRIES 5

static void
obj_ref(struct vmb_gpuvm_obj *obj)
{
   vmb_bo_ref(vmb_bo_from_obj(obj));
}

static void
obj_unref(struct vmb_gpuvm_obj *obj)
{
   vmb_bo_unref(vmb_bo_from_obj(obj));
}

/* The handle becomes the BO's.  The bo_lock is held. */
static struct vmb_bo *
bo_new(struct vmb_device *dev, uint32_t handle, uint64_t size_B, const struct vmb_vm *vm,
       const char *name)
{
   struct vmb_bo *bo = calloc(1, sizeof(*bo));
   char *copy = strdup(name ? name : "");

   if (!bo || !copy) {
      free(bo);
      free(copy);
      return NULL;
   }
   vmb_gpuvm_obj_init(&bo->obj, size_B, obj_ref, obj_unref);
   bo->dev = dev;
   bo->refcount = 1;
   bo->handle = handle;
   bo->id = vmb_next_id();
   bo->size_B = size_B;
   bo->vm = vm;
   bo->name = copy;
   list_addtail(&bo->link, &dev->bos);
   return bo;
}

int
vmb_bo_create(struct vmb_device *dev, const struct vmb_bo_params *params, struct vmb_bo **bo_out)
{
   if (!params->size_B || params->size_B > UINT64_MAX / 2)
      return -EINVAL;

   const bool private = params->vm && dev->caps.private_bos;
   struct vmb_kmd_vm *kvm = private ? params->vm->kvm : NULL;
   uint64_t size_B = align64(params->size_B, dev->caps.page_size_B);
   uint32_t handle;
   int ret = dev->kmd->bo_create(dev->kdev, kvm, &size_B, params->cached, &handle);
   for (unsigned i = 0; ret == -ENOMEM && params->vm && i < RECLAIM_TRIES; i++) {
      /* What was freed a moment ago may still be waiting to be unbound; and a kernel lets go of what
       * a job held only some time after the job's fence has signalled. */
      vmb_vm_reclaim(params->vm);
      if (i)
         usleep(1000 << (i - 1));
      ret = dev->kmd->bo_create(dev->kdev, kvm, &size_B, params->cached, &handle);
   }
   if (ret)
      return ret;

   vmb_lock(&dev->bo_lock, VMB_LOCK_LEAF);
   struct vmb_bo *bo = bo_new(dev, handle, size_B, params->vm, params->name);
   vmb_unlock(&dev->bo_lock, VMB_LOCK_LEAF);
   if (!bo) {
      drmCloseBufferHandle(dev->fd, handle);
      return -ENOMEM;
   }
   vmb_trace_bo(dev->trace, bo, true);
   *bo_out = bo;
   return 0;
}

int
vmb_bo_import(struct vmb_device *dev, int dmabuf_fd, struct vmb_bo **bo_out)
{
   const off_t size = lseek(dmabuf_fd, 0, SEEK_END);
   if (size < 0)
      return -errno;
   lseek(dmabuf_fd, 0, SEEK_SET);
   if (!size)
      return -EINVAL;

   /* The lock keeps the BO that has the handle already from closing it. */
   vmb_lock(&dev->bo_lock, VMB_LOCK_LEAF);
   uint32_t handle;
   if (drmPrimeFDToHandle(dev->fd, dmabuf_fd, &handle)) {
      const int ret = -errno;
      vmb_unlock(&dev->bo_lock, VMB_LOCK_LEAF);
      return ret;
   }
   list_for_each_entry(struct vmb_bo, bo, &dev->bos, link) {
      if (bo->handle == handle) {
         vmb_bo_ref(bo);
         vmb_unlock(&dev->bo_lock, VMB_LOCK_LEAF);
         *bo_out = bo;
         return 0;
      }
   }
   struct vmb_bo *bo = bo_new(dev, handle, size, NULL, "imported");
   if (!bo)
      drmCloseBufferHandle(dev->fd, handle);
   vmb_unlock(&dev->bo_lock, VMB_LOCK_LEAF);
   if (!bo)
      return -ENOMEM;

   vmb_trace_bo(dev->trace, bo, true);
   *bo_out = bo;
   return 0;
}

int
vmb_bo_export(struct vmb_bo *bo, int *dmabuf_fd_out)
{
   if (bo->vm)
      return -EPERM;
   if (drmPrimeHandleToFD(bo->dev->fd, bo->handle, DRM_CLOEXEC | DRM_RDWR, dmabuf_fd_out))
      return -errno;
   return 0;
}

struct vmb_bo *
vmb_bo_ref(struct vmb_bo *bo)
{
   p_atomic_inc(&bo->refcount);
   return bo;
}

void
vmb_bo_unref(struct vmb_bo *bo)
{
   struct vmb_device *dev = bo->dev;

   /* Under the lock only if it may be the last one, which an import must not
    * find halfway gone. */
   for (uint32_t count = p_atomic_read(&bo->refcount); count > 1;) {
      const uint32_t seen = p_atomic_cmpxchg(&bo->refcount, count, count - 1);
      if (seen == count)
         return;
      count = seen;
   }
   vmb_lock(&dev->bo_lock, VMB_LOCK_LEAF);
   if (!p_atomic_dec_zero(&bo->refcount)) {
      vmb_unlock(&dev->bo_lock, VMB_LOCK_LEAF);
      return;
   }
   list_del(&bo->link);
   if (bo->map)
      munmap(bo->map, bo->size_B);
   drmCloseBufferHandle(dev->fd, bo->handle);
   vmb_unlock(&dev->bo_lock, VMB_LOCK_LEAF);

   vmb_trace_bo(dev->trace, bo, false);
   vmb_gpuvm_obj_finish(&bo->obj);
   free(bo->name);
   free(bo);
}

int
vmb_bo_map(struct vmb_bo *bo, void **ptr_out)
{
   struct vmb_device *dev = bo->dev;
   void *map = p_atomic_read(&bo->map);

   if (!map) {
      uint64_t offset;
      const int ret = dev->kmd->bo_mmap_offset(dev->kdev, bo->handle, &offset);
      if (ret)
         return ret;
      map = mmap(NULL, bo->size_B, PROT_READ | PROT_WRITE, MAP_SHARED, dev->fd, offset);
      if (map == MAP_FAILED)
         return -errno;
      void *first = p_atomic_cmpxchg_ptr(&bo->map, NULL, map);
      if (first) {
         munmap(map, bo->size_B);
         map = first;
      }
   }
   *ptr_out = map;
   return 0;
}

int
vmb_bo_map_at(struct vmb_bo *bo, uint64_t size_B, void *addr)
{
   struct vmb_device *dev = bo->dev;
   const uint64_t mask = dev->caps.page_size_B - 1;
   uint64_t offset;

   if (!size_B || ((size_B | (uintptr_t)addr) & mask) || size_B > bo->size_B)
      return -EINVAL;

   const int ret = dev->kmd->bo_mmap_offset(dev->kdev, bo->handle, &offset);
   if (ret)
      return ret;
   if (mmap(addr, size_B, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, dev->fd, offset) ==
       MAP_FAILED)
      return -errno;
   return 0;
}

uint64_t
vmb_bo_size_B(const struct vmb_bo *bo)
{
   return bo->size_B;
}

uint32_t
vmb_bo_handle(const struct vmb_bo *bo)
{
   return bo->handle;
}

const char *
vmb_bo_name(const struct vmb_bo *bo)
{
   return bo->name;
}

uint32_t
vmb_bo_id(const struct vmb_bo *bo)
{
   return bo->id;
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * BOs: made, shared, mapped for the CPU, and kept alive by what is bound to
 * them.  A GEM handle is unique in a file, so importing a BO twice gives the
 * same handle; the device's list finds the BO again.  One that nobody uses any more
 * may stay, struct and all, in the cache (vmb_bo_cache.h) for the next who wants
 * its like; the kernel may take its pages meanwhile.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/dma-buf.h>
#include <xf86drm.h>

#include "util/u_math.h"

#include "vmb_private.h"
#include "vmb_util.h"

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
bo_new(struct vmb_device *dev, uint32_t handle, uint64_t size_B, const char *name)
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
   bo->name = copy;
   list_addtail(&bo->link, &dev->bos);
   return bo;
}

static void
close_handle(struct vmb_bo *bo)
{
   if (bo->user_ptr)
      return;
   if (bo->map)
      munmap(bo->map, bo->size_B);
   drmCloseBufferHandle(bo->dev->fd, bo->handle);
}

static void
free_struct(struct vmb_bo *bo)
{
   vmb_gpuvm_obj_finish(&bo->obj);
   free(bo->name);
   free(bo);
}

/* It is on no list any more. */
static void
bo_free(struct vmb_bo *bo)
{
   close_handle(bo);
   free_struct(bo);
}

/* ------------------------------------------------------------------- cache
 *
 * The bo_lock is held. */

static struct vmb_bo *
bo_from_entry(struct vmb_bo_cache_entry *entry)
{
   return entry ? (struct vmb_bo *)((char *)entry - offsetof(struct vmb_bo, cache_entry)) : NULL;
}

static bool
vm_lives(const struct vmb_device *dev, uint32_t vm_id)
{
   list_for_each_entry(struct vmb_vm, vm, &dev->vms, link) {
      if (vm->id == vm_id)
         return true;
   }
   return false;
}

static void
cache_expire(struct vmb_device *dev)
{
   const int64_t now_ns = vmb_now_ns();
   struct vmb_bo *bo;

   while ((bo = bo_from_entry(vmb_bo_cache_expire(&dev->bo_cache, now_ns))))
      bo_free(bo);
}

/* Takes the BO over, or says false. */
static bool
cache_put(struct vmb_bo *bo)
{
   struct vmb_device *dev = bo->dev;
   bool retained = true;

   if (bo->user_ptr || bo->placed || bo->purge == VMB_BO_PURGED || (bo->vm_id && !vm_lives(dev, bo->vm_id)))
      return false;
   bo->cache_entry.kind = (struct vmb_bo_cache_kind){
      .size_B = bo->size_B,
      .vm_id = bo->vm_id,
      .cached = bo->cached,
   };
   if (!vmb_bo_cache_put(&dev->bo_cache, &bo->cache_entry, vmb_now_ns()))
      return false;
   if (dev->caps.purgeable)
      dev->kmd->bo_set_purgeable(dev->kdev, bo->handle, true, &retained);
   cache_expire(dev);
   return true;
}

static struct vmb_bo *
cache_take(struct vmb_device *dev, const struct vmb_bo_cache_kind *kind)
{
   struct vmb_bo *bo;

   cache_expire(dev);
   while ((bo = bo_from_entry(vmb_bo_cache_take(&dev->bo_cache, kind)))) {
      bool retained = true;

      if (!dev->caps.purgeable ||
          (dev->kmd->bo_set_purgeable(dev->kdev, bo->handle, false, &retained) == 0 && retained))
         return bo;
      /* Its pages are gone, and do not come back. */
      bo_free(bo);
   }
   return NULL;
}

bool
vmb_bo_cache_empty(struct vmb_device *dev, uint32_t vm_id)
{
   struct vmb_bo *bo;
   bool any = false;

   vmb_lock(&dev->bo_lock, VMB_LOCK_LEAF);
   while ((bo = bo_from_entry(vmb_bo_cache_flush(&dev->bo_cache, vm_id)))) {
      bo_free(bo);
      any = true;
   }
   vmb_unlock(&dev->bo_lock, VMB_LOCK_LEAF);
   return any;
}

/* ------------------------------------------------------------------ create */

/* One out of the cache, as if it were new; NULL if there is none. */
static struct vmb_bo *
reuse(struct vmb_device *dev, const struct vmb_bo_cache_kind *kind, const char *name)
{
   char *copy = strdup(name ? name : "");
   if (!copy)
      return NULL;

   vmb_lock(&dev->bo_lock, VMB_LOCK_LEAF);
   struct vmb_bo *bo = cache_take(dev, kind);
   if (bo) {
      bo->refcount = 1;
      bo->id = vmb_next_id();
      bo->purge = VMB_BO_NEEDED;
      char *old = bo->name;
      bo->name = copy;
      copy = old;
      list_addtail(&bo->link, &dev->bos);
   }
   vmb_unlock(&dev->bo_lock, VMB_LOCK_LEAF);
   free(copy);
   if (bo)
      p_atomic_inc(&dev->stats.bos_reused);
   return bo;
}

/* Tries again with what can be freed. */
static int
create_handle(struct vmb_device *dev, const struct vmb_bo_params *params, uint64_t *size_B,
              uint32_t *handle_out)
{
   const bool private = params->vm && dev->caps.private_bos;
   struct vmb_kmd_vm *kvm = private ? params->vm->kvm : NULL;

   int ret = dev->kmd->bo_create(dev->kdev, kvm, size_B, params->cached, handle_out);
   if (ret == -ENOMEM && vmb_bo_cache_empty(dev, 0))
      ret = dev->kmd->bo_create(dev->kdev, kvm, size_B, params->cached, handle_out);
   for (unsigned i = 0; ret == -ENOMEM && params->vm && i < RECLAIM_TRIES; i++) {
      /* What was freed a moment ago may still be waiting to be unbound; and a kernel lets go of what
       * a job held only some time after the job's fence has signalled. */
      vmb_vm_reclaim(params->vm);
      vmb_bo_cache_empty(dev, 0);
      if (i)
         usleep(1000 << (i - 1));
      ret = dev->kmd->bo_create(dev->kdev, kvm, size_B, params->cached, handle_out);
   }
   return ret;
}

/* Has a handle, or none and memory of the process; takes the handle over. */
static int
bo_new_of(struct vmb_device *dev, const struct vmb_bo_params *params, uint64_t size_B,
          uint32_t handle, struct vmb_bo **bo_out)
{
   vmb_lock(&dev->bo_lock, VMB_LOCK_LEAF);
   struct vmb_bo *bo = bo_new(dev, handle, size_B, params->name);
   vmb_unlock(&dev->bo_lock, VMB_LOCK_LEAF);
   if (!bo) {
      if (handle)
         drmCloseBufferHandle(dev->fd, handle);
      return -ENOMEM;
   }
   bo->vm_id = params->vm ? params->vm->id : 0;
   bo->cached = params->cached;
   bo->user_ptr = params->user_ptr;
   *bo_out = bo;
   return 0;
}

static int
create_user_bo(struct vmb_device *dev, const struct vmb_bo_params *params, struct vmb_bo **bo_out)
{
   if (!dev->caps.userptr) {
      vmb_log(dev, VMB_LOG_ERROR, "%s cannot bind memory of the process (userptr)",
              dev->caps.driver);
      return -EOPNOTSUPP;
   }
   if (((uintptr_t)params->user_ptr | params->size_B) & (dev->caps.page_size_B - 1))
      return -EINVAL;
   return bo_new_of(dev, params, params->size_B, 0, bo_out);
}

static int
create_gem_bo(struct vmb_device *dev, const struct vmb_bo_params *params, struct vmb_bo **bo_out)
{
   const uint64_t pages_B = align64(params->size_B, dev->caps.page_size_B);
   struct vmb_bo_cache_kind kind = {
      .size_B = vmb_bo_cache_round(&dev->bo_cache, pages_B),
      .vm_id = params->vm ? params->vm->id : 0,
      .cached = params->cached,
   };
   uint32_t handle;

   *bo_out = reuse(dev, &kind, params->name);
   if (*bo_out)
      return 0;
   const int ret = create_handle(dev, params, &kind.size_B, &handle);
   return ret ? ret : bo_new_of(dev, params, kind.size_B, handle, bo_out);
}

int
vmb_bo_create(struct vmb_device *dev, const struct vmb_bo_params *params, struct vmb_bo **bo_out)
{
   if (!params->size_B || params->size_B > UINT64_MAX / 2)
      return -EINVAL;

   const int ret = params->user_ptr ? create_user_bo(dev, params, bo_out)
                                    : create_gem_bo(dev, params, bo_out);
   if (!ret)
      vmb_trace_bo(dev->trace, *bo_out, true);
   return ret;
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
         /* Also if the fd was made of its handle by others than vmb_bo_export(). */
         p_atomic_set(&bo->shared, true);
         vmb_bo_ref(bo);
         vmb_unlock(&dev->bo_lock, VMB_LOCK_LEAF);
         *bo_out = bo;
         return 0;
      }
   }
   struct vmb_bo *bo = bo_new(dev, handle, size, "imported");
   if (bo)
      bo->shared = true;
   else
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
   if (bo->vm_id || bo->user_ptr)
      return -EPERM;
   if (p_atomic_read(&bo->purge) != VMB_BO_NEEDED)
      return -EBUSY;
   p_atomic_set(&bo->shared, true);
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
   /* An import must find either the BO or no handle of it. */
   const bool shared = bo->shared;
   if (shared)
      close_handle(bo);
   vmb_unlock(&dev->bo_lock, VMB_LOCK_LEAF);

   if (dev->caps.kernel_addresses)
      vmb_device_unplace_bo(dev, bo);
   vmb_trace_bo(dev->trace, bo, false);
   if (shared) {
      free_struct(bo);
      return;
   }
   vmb_lock(&dev->bo_lock, VMB_LOCK_LEAF);
   if (!cache_put(bo))
      bo_free(bo);
   vmb_unlock(&dev->bo_lock, VMB_LOCK_LEAF);
}

int
vmb_bo_set_purgeable(struct vmb_bo *bo, bool purgeable, bool *retained_out)
{
   struct vmb_device *dev = bo->dev;
   bool retained = true;

   if (!dev->caps.purgeable)
      return -EOPNOTSUPP;
   if (p_atomic_read(&bo->shared))
      return -EPERM;

   const int ret = dev->kmd->bo_set_purgeable(dev->kdev, bo->handle, purgeable, &retained);
   if (ret)
      return ret;
   if (!retained) {
      p_atomic_set(&bo->purge, VMB_BO_PURGED);
      p_atomic_inc(&dev->stats.bos_purged);
      vmb_device_evict_bo(dev, bo);
   } else {
      p_atomic_set(&bo->purge, purgeable ? VMB_BO_PURGEABLE : VMB_BO_NEEDED);
   }
   *retained_out = retained;
   return 0;
}

int
vmb_bo_invalidate(struct vmb_bo *bo)
{
   return bo->user_ptr ? vmb_device_evict_bo(bo->dev, bo) : -EINVAL;
}

/* ------------------------------------------------------------- implicit sync
 *
 * The fences belong to the dma-buf, and are reached by an fd of it. */

static int
with_dmabuf(struct vmb_bo *bo, unsigned long request, void *args)
{
   int fd;

   int ret = vmb_bo_export(bo, &fd);
   if (ret)
      return ret;
   if (drmIoctl(fd, request, args))
      ret = -errno;
   close(fd);
   return ret;
}

int
vmb_bo_export_sync_file(struct vmb_bo *bo, bool write, int *sync_file_fd_out)
{
   struct dma_buf_export_sync_file args = {
      .flags = write ? DMA_BUF_SYNC_RW : DMA_BUF_SYNC_READ,
      .fd = -1,
   };
   const int ret = with_dmabuf(bo, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &args);

   if (!ret)
      *sync_file_fd_out = args.fd;
   return ret;
}

int
vmb_bo_import_sync_file(struct vmb_bo *bo, bool write, int sync_file_fd)
{
   struct dma_buf_import_sync_file args = {
      .flags = write ? DMA_BUF_SYNC_RW : DMA_BUF_SYNC_READ,
      .fd = sync_file_fd,
   };

   return with_dmabuf(bo, DMA_BUF_IOCTL_IMPORT_SYNC_FILE, &args);
}

int
vmb_bo_map(struct vmb_bo *bo, void **ptr_out)
{
   struct vmb_device *dev = bo->dev;
   void *map = bo->user_ptr ? bo->user_ptr : p_atomic_read(&bo->map);

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
   if (!bo->handle)
      return -EPERM;

   const int ret = dev->kmd->bo_mmap_offset(dev->kdev, bo->handle, &offset);
   if (ret)
      return ret;
   p_atomic_set(&bo->placed, true);
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

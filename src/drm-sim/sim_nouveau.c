/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The nouveau personality: a Turing GPU (TU104) behind the nouveau driver of Linux 7.3. Follows
 * nouveau_uvmm.c, nouveau_sched.c, nouveau_gem.c and nouveau_abi16.c. Must know nothing of other
 * drivers.
 *
 * A client has one VM, made by VM_INIT before anything else. Binds are in staged mode and atomic:
 * an ioctl that fails changes nothing. All of a client's are one FIFO; without RUN_ASYNC the ioctl
 * waits for its own. A sparse region is there from the ioctl that makes it, gives zeros where
 * nothing is bound, holds mappings only as a whole, and goes as a whole, when the job that unmaps
 * it has run. A job that fails has its error in its fence, and the VM goes on.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/macros.h"
#include "util/u_atomic.h"
#include "util/u_math.h"

#include "sim_fault.h"
#include "sim_gem.h"
#include "sim_libc.h"
#include "sim_nouveau.h"
#include "sim_staged.h"
#include "sim_syncobj.h"
#include "sim_vm.h"

#define PAGE_SIZE_B 4096ull
#define GART_B      (16ull << 30)
#define BAR_B       (256ull << 20)
/* What the kernel has of the VRAM for itself */
#define KERNEL_VRAM_B (16ull << 20)

/* An operation, with the flag for sparse ones made part of it */
enum op_type {
   OP_MAP,
   OP_UNMAP,
   OP_MAP_SPARSE,
   OP_UNMAP_SPARSE,
};

/* A sparse region, dirty while the job that takes it away has not run */
struct region {
   struct list_head link;
   uint64_t start;
   uint64_t end;
   bool dirty;
};

/* An unmap that has not run: a new region waits for it. */
struct pending_unmap {
   struct list_head link;
   uint64_t start;
   uint64_t end;
   struct sim_fence *fence;
};

/* sim_vm.priv */
struct nouveau_vm {
   uint64_t kernel_start;
   uint64_t kernel_end;
   /* Held by an ioctl as long as it changes the VM: the order of ioctls is that of jobs. */
   pthread_mutex_t bind_lock;
   /* Under the VM's lock */
   struct list_head regions;
   struct list_head unmaps;
};

static struct nouveau_vm *
to_nouveau_vm(struct sim_vm *vm)
{
   return vm->priv;
}

/* Parameters */

static int
getparam_ioctl(struct sim_file *file, void *data)
{
   struct drm_nouveau_getparam *args = data;

   switch (args->param) {
   case NOUVEAU_GETPARAM_CHIPSET_ID:
      args->value = NOUVEAU_CHIPSET;
      return 0;
   case NOUVEAU_GETPARAM_PCI_VENDOR:
      args->value = file->device.driver->pci_vendor;
      return 0;
   case NOUVEAU_GETPARAM_PCI_DEVICE:
      args->value = file->device.driver->pci_device;
      return 0;
   case NOUVEAU_GETPARAM_BUS_TYPE:
      args->value = 2;
      return 0;
   case NOUVEAU_GETPARAM_FB_SIZE:
      args->value = NOUVEAU_VRAM_B;
      return 0;
   case NOUVEAU_GETPARAM_AGP_SIZE:
      args->value = GART_B;
      return 0;
   case NOUVEAU_GETPARAM_VM_VRAM_BASE:
      args->value = 0;
      return 0;
   case NOUVEAU_GETPARAM_PTIMER_TIME:
      args->value = sim_now_ns();
      return 0;
   case NOUVEAU_GETPARAM_HAS_BO_USAGE:
   case NOUVEAU_GETPARAM_HAS_PAGEFLIP:
   case NOUVEAU_GETPARAM_HAS_VMA_TILEMODE:
      args->value = 1;
      return 0;
   case NOUVEAU_GETPARAM_GRAPH_UNITS:
      /* 6 GPCs of 4 TPCs */
      args->value = 6 | 24 << 8;
      return 0;
   case NOUVEAU_GETPARAM_EXEC_PUSH_MAX:
      args->value = NOUVEAU_EXEC_PUSH_MAX;
      return 0;
   case NOUVEAU_GETPARAM_VRAM_BAR_SIZE:
      args->value = BAR_B;
      return 0;
   case NOUVEAU_GETPARAM_VRAM_USED:
      args->value = KERNEL_VRAM_B + sim_bo_total_B();
      return 0;
   default:
      return -EINVAL;
   }
}

/* VM_INIT */

struct sim_vm *
nouveau_vm(struct sim_file *file)
{
   pthread_mutex_lock(&file->lock);
   struct sim_vm *vm = sim_vm_get(to_nouveau(file)->vm);
   pthread_mutex_unlock(&file->lock);
   return vm;
}

static struct sim_vm *
find_vm(struct sim_file *file, UNUSED uint32_t vm_id)
{
   return nouveau_vm(file);
}

void
nouveau_disable_vm_init(struct sim_file *file)
{
   pthread_mutex_lock(&file->lock);
   if (!to_nouveau(file)->vm)
      to_nouveau(file)->vm_is_disabled = true;
   pthread_mutex_unlock(&file->lock);
}

static void
forget_pending_locked(struct sim_vm *vm)
{
   list_for_each_entry_safe (struct pending_unmap, unmap, &to_nouveau_vm(vm)->unmaps, link) {
      list_del(&unmap->link);
      sim_fence_put(unmap->fence);
      free(unmap);
   }
   list_for_each_entry_safe (struct region, region, &to_nouveau_vm(vm)->regions, link) {
      list_del(&region->link);
      free(region);
   }
}

static void
vm_destroy(struct sim_vm *vm)
{
   if (!vm)
      return;
   p_atomic_set(&vm->destroyed, true);
   sim_vm_clear(vm);
   pthread_mutex_lock(&vm->lock);
   forget_pending_locked(vm);
   pthread_mutex_unlock(&vm->lock);
   sim_vm_put(vm);
}

static struct sim_vm *
vm_create(const struct sim_file *file, const struct drm_nouveau_vm_init *args)
{
   struct nouveau_vm *priv = calloc(1, sizeof(*priv));
   struct sim_vm *vm =
      priv ? sim_vm_create(0, "nouveau", 0, 1ull << file->device.va_bits) : NULL;

   if (!vm) {
      free(priv);
      return NULL;
   }
   priv->kernel_start = args->kernel_managed_addr;
   priv->kernel_end = args->kernel_managed_addr + args->kernel_managed_size;
   pthread_mutex_init(&priv->bind_lock, NULL);
   list_inithead(&priv->regions);
   list_inithead(&priv->unmaps);
   vm->priv = priv;
   return vm;
}

static int
vm_init_ioctl(struct sim_file *file, void *data)
{
   struct drm_nouveau_vm_init *args = data;
   struct nouveau_file *nfile = to_nouveau(file);
   uint64_t end;

   if (__builtin_add_overflow(args->kernel_managed_addr, args->kernel_managed_size, &end) ||
       end > 1ull << file->device.va_bits)
      return -EINVAL;
   pthread_mutex_lock(&file->lock);
   bool is_disabled = nfile->vm_is_disabled;
   pthread_mutex_unlock(&file->lock);
   if (is_disabled)
      return -ENOSYS;

   struct sim_vm *vm = vm_create(file, args);
   if (!vm)
      return -ENOMEM;
   pthread_mutex_lock(&file->lock);
   struct sim_vm *old = nfile->vm;
   nfile->vm = vm;
   pthread_mutex_unlock(&file->lock);
   if (old)
      sim_log("a second VM_INIT of nouveau: the kernel leaks the first VM");
   vm_destroy(old);
   return 0;
}

/* BOs */

static void
fill_info(const struct sim_bo *bo, uint32_t handle, struct drm_nouveau_gem_info *info)
{
   const uint32_t tile_flags = bo->flags & (0xff00 | NOUVEAU_GEM_TILE_NONCONTIG);

   *info = (struct drm_nouveau_gem_info){
      .handle = handle,
      .domain = bo->flags >> 24 & (NOUVEAU_GEM_DOMAIN_VRAM | NOUVEAU_GEM_DOMAIN_GART),
      .size = bo->size_B,
      .map_handle = bo->mmap_offset,
      .tile_flags = tile_flags,
   };
   /* With both, where it is now; and one for the CPU alone is in system memory. */
   if (!info->domain || (info->domain & (info->domain - 1)))
      info->domain = NOUVEAU_GEM_DOMAIN_GART;
}

static int
gem_new_ioctl(struct sim_file *file, void *data)
{
   struct drm_nouveau_gem_new *args = data;
   uint64_t vm_uid = 0;
   struct sim_bo *bo;

   nouveau_disable_vm_init(file);
   if (args->info.domain & NOUVEAU_GEM_DOMAIN_NO_SHARE) {
      struct sim_vm *vm = nouveau_vm(file);
      if (!vm)
         return -EINVAL;
      vm_uid = vm->uid;
      sim_vm_put(vm);
   }

   /* Domain and tiling, packed into what travels with the BO */
   const uint32_t flags = args->info.domain << 24 |
                          (args->info.tile_flags & (0xff00 | NOUVEAU_GEM_TILE_NONCONTIG));
   int ret = sim_bo_create(args->info.size, flags, vm_uid, &bo);
   if (ret)
      return ret;
   uint32_t handle;
   ret = sim_bo_add_handle(file, bo, &handle);
   if (!ret)
      fill_info(bo, handle, &args->info);
   sim_bo_put(bo);
   return ret;
}

static int
gem_info_ioctl(struct sim_file *file, void *data)
{
   struct drm_nouveau_gem_info *args = data;
   struct sim_bo *bo = sim_bo_lookup(file, args->handle);

   if (!bo)
      return -ENOENT;
   fill_info(bo, args->handle, args);
   sim_bo_put(bo);
   return 0;
}

static int
gem_cpu_prep_ioctl(struct sim_file *file, void *data)
{
   struct drm_nouveau_gem_cpu_prep *args = data;
   const enum sim_resv_usage usage =
      args->flags & NOUVEAU_GEM_CPU_PREP_WRITE ? SIM_RESV_READ : SIM_RESV_WRITE;
   const uint64_t deadline_ns =
      sim_now_ns() + (args->flags & NOUVEAU_GEM_CPU_PREP_NOWAIT ? 0 : 30000000000ull);
   int ret = 0;

   struct sim_bo *bo = sim_bo_lookup(file, args->handle);
   if (!bo)
      return -ENOENT;
   sim_sync_lock();
   while (!ret && !sim_resv_is_idle_locked(&bo->resv, usage))
      ret = sim_sync_wait_locked(deadline_ns);
   sim_sync_unlock();
   sim_bo_put(bo);
   return ret == -ETIME ? -EBUSY : ret;
}

static int
gem_cpu_fini_ioctl(struct sim_file *file, void *data)
{
   struct drm_nouveau_gem_cpu_fini *args = data;
   struct sim_bo *bo = sim_bo_lookup(file, args->handle);

   sim_bo_put(bo);
   return bo ? 0 : -ENOENT;
}

static int
check_export(const struct sim_bo *bo)
{
   return bo->exclusive_vm_uid ? -EPERM : 0;
}

/* Syncs */

static int
add_wait(struct sim_file *file, struct sim_job *job, const struct drm_nouveau_sync *sync)
{
   const uint32_t type = sync->flags & DRM_NOUVEAU_SYNC_TYPE_MASK;
   struct sim_fence *fence;

   if (type != DRM_NOUVEAU_SYNC_SYNCOBJ && type != DRM_NOUVEAU_SYNC_TIMELINE_SYNCOBJ)
      return -EOPNOTSUPP;
   int ret =
      sim_syncobj_find_fence(file, sync->handle,
                             type == DRM_NOUVEAU_SYNC_SYNCOBJ ? 0 : sync->timeline_value, &fence);
   return ret ? ret : sim_job_add_dependency(job, fence);
}

static int
find_signal(struct nouveau_syncs *syncs, struct sim_file *file, uint32_t i)
{
   const uint32_t type = syncs->signals[i].flags & DRM_NOUVEAU_SYNC_TYPE_MASK;

   if (type != DRM_NOUVEAU_SYNC_SYNCOBJ && type != DRM_NOUVEAU_SYNC_TIMELINE_SYNCOBJ)
      return -EINVAL;
   syncs->syncobjs[i] = sim_syncobj_find(file, syncs->signals[i].handle);
   return syncs->syncobjs[i] ? 0 : -ENOENT;
}

int
nouveau_syncs_init(struct nouveau_syncs *syncs, struct sim_file *file, struct sim_job *job,
                   uint64_t wait_ptr, uint32_t wait_count, uint64_t sig_ptr, uint32_t sig_count)
{
   int ret;
   struct drm_nouveau_sync *waits =
      sim_copy_in_array(wait_ptr, wait_count, sizeof(*waits), sizeof(*waits), &ret);

   if (!ret)
      syncs->signals = sim_copy_in_array(sig_ptr, sig_count, sizeof(*syncs->signals),
                                         sizeof(*syncs->signals), &ret);
   for (uint32_t i = 0; i < wait_count && !ret; i++)
      ret = add_wait(file, job, &waits[i]);
   free(waits);
   if (ret || !sig_count)
      return ret;

   syncs->syncobjs = calloc(sig_count, sizeof(*syncs->syncobjs));
   if (!syncs->syncobjs)
      return -ENOMEM;
   syncs->count = sig_count;
   for (uint32_t i = 0; i < sig_count && !ret; i++)
      ret = find_signal(syncs, file, i);
   return ret;
}

void
nouveau_syncs_signal(const struct nouveau_syncs *syncs, struct sim_fence *fence)
{
   for (uint32_t i = 0; i < syncs->count; i++) {
      const struct drm_nouveau_sync *sync = &syncs->signals[i];

      if ((sync->flags & DRM_NOUVEAU_SYNC_TYPE_MASK) == DRM_NOUVEAU_SYNC_TIMELINE_SYNCOBJ)
         sim_syncobj_add_point(syncs->syncobjs[i], fence, sync->timeline_value);
      else
         sim_syncobj_replace_fence(syncs->syncobjs[i], fence);
   }
}

void
nouveau_syncs_finish(struct nouveau_syncs *syncs)
{
   for (uint32_t i = 0; i < syncs->count; i++)
      sim_syncobj_put(syncs->syncobjs[i]);
   free(syncs->syncobjs);
   free(syncs->signals);
}

/* VM_BIND */

struct bind_op {
   enum op_type type;
   struct drm_nouveau_vm_bind_op in;
   uint64_t end;
   struct sim_bo *bo;
   /* Of an OP_UNMAP_SPARSE that is on its way */
   struct region *region;
};

struct bind_job {
   struct sim_job base;
   struct sim_vm *vm;
   struct sim_staged staged;
   struct bind_op *ops;
   uint32_t op_count;
};

static void
remove_regions_locked(struct bind_job *job)
{
   for (uint32_t i = 0; i < job->op_count; i++) {
      struct region *region = job->ops[i].region;

      /* The VM may be gone, and its regions with it. */
      if (!region || p_atomic_read(&job->vm->destroyed))
         continue;
      sim_vm_remove_sparse_region_locked(job->vm, region->start, region->end - region->start);
      list_del(&region->link);
      free(region);
   }
}

static int
bind_job_run(struct sim_job *base)
{
   struct bind_job *job = container_of(base, struct bind_job, base);
   int error = sim_fault_job();

   pthread_mutex_lock(&job->vm->lock);
   if (p_atomic_read(&job->vm->destroyed))
      error = -ENODEV;
   else
      error = sim_staged_apply_locked(&job->staged, error);
   remove_regions_locked(job);
   pthread_mutex_unlock(&job->vm->lock);
   return error;
}

static void
bind_job_free(struct sim_job *base)
{
   struct bind_job *job = container_of(base, struct bind_job, base);

   sim_staged_finish(&job->staged);
   for (uint32_t i = 0; i < job->op_count; i++)
      sim_bo_put(job->ops[i].bo);
   free(job->ops);
   sim_vm_put(job->vm);
   free(job);
}

static bool
overlaps(uint64_t start_a, uint64_t end_a, uint64_t start_b, uint64_t end_b)
{
   return start_a < end_b && start_b < end_a;
}

static struct region *
find_region_locked(struct sim_vm *vm, uint64_t start, uint64_t end)
{
   list_for_each_entry (struct region, region, &to_nouveau_vm(vm)->regions, link) {
      if (overlaps(start, end, region->start, region->end))
         return region;
   }
   return NULL;
}

static int
check_range(const struct bind_job *job, struct bind_op *op)
{
   const struct nouveau_vm *nvm = to_nouveau_vm(job->vm);

   if ((op->in.addr | op->in.range) % PAGE_SIZE_B ||
       !sim_gpuvm_range_is_valid(&job->vm->gpuvm, op->in.addr, op->in.range))
      return -EINVAL;
   op->end = op->in.addr + op->in.range;
   return overlaps(op->in.addr, op->end, nvm->kernel_start, nvm->kernel_end) ? -EINVAL : 0;
}

static int
prepare_op(struct bind_job *job, struct sim_file *file, struct bind_op *op)
{
   if (op->type == OP_MAP) {
      op->bo = sim_bo_lookup(file, op->in.handle);
      if (!op->bo)
         return -ENOENT;
      if (op->in.bo_offset % PAGE_SIZE_B || op->bo->size_B <= op->in.bo_offset ||
          op->in.range > op->bo->size_B - op->in.bo_offset)
         return -EINVAL;
   }
   return check_range(job, op);
}

/* Until nothing that the fence is of is in the way */
static void
wait_for_fence(struct sim_vm *vm, struct sim_fence *fence)
{
   sim_fence_get(fence);
   pthread_mutex_unlock(&vm->lock);
   sim_sync_lock();
   while (!sim_fence_is_signaled_locked(fence))
      sim_sync_wait_locked(UINT64_MAX);
   sim_sync_unlock();
   sim_fence_put(fence);
   pthread_mutex_lock(&vm->lock);
}

static void
forget_done_unmaps_locked(struct sim_vm *vm)
{
   list_for_each_entry_safe (struct pending_unmap, unmap, &to_nouveau_vm(vm)->unmaps, link) {
      if (!sim_fence_is_signaled(unmap->fence))
         continue;
      list_del(&unmap->link);
      sim_fence_put(unmap->fence);
      free(unmap);
   }
}

static void
wait_for_unmaps_locked(struct sim_vm *vm, uint64_t start, uint64_t end)
{
   struct pending_unmap *found;

   do {
      found = NULL;
      forget_done_unmaps_locked(vm);
      list_for_each_entry (struct pending_unmap, unmap, &to_nouveau_vm(vm)->unmaps, link) {
         if (overlaps(start, end, unmap->start, unmap->end))
            found = unmap;
      }
      if (found)
         wait_for_fence(vm, found->fence);
   } while (found);
}

/* What one ioctl may find out only by waiting: regions that are on their way out, and unmaps below
 * a new one.
 */
static int
validate_regions_locked(struct bind_job *job)
{
   for (uint32_t i = 0; i < job->op_count; i++) {
      const struct bind_op *op = &job->ops[i];
      const uint64_t start = op->in.addr;
      struct region *region;

      if (op->type != OP_MAP && op->type != OP_MAP_SPARSE)
         continue;
      if (op->type == OP_MAP_SPARSE)
         wait_for_unmaps_locked(job->vm, start, op->end);
      while ((region = find_region_locked(job->vm, start, op->end)) && region->dirty) {
         pthread_mutex_unlock(&job->vm->lock);
         sim_sync_wait_for_change(1000000);
         pthread_mutex_lock(&job->vm->lock);
      }
      if (region &&
          (op->type == OP_MAP_SPARSE || region->start > start || region->end < op->end))
         return -ENOSPC;
   }
   return 0;
}

/* The kernel takes its steps and unwinds them on failure. Here the regions and mappings that a
 * batch would meet are worked out first, so that nothing has to be taken back.
 */
struct preview {
   const struct bind_job *job;
   /* Before which operation */
   uint32_t at;
};

static const struct bind_op *
last_region_op(const struct preview *preview, uint64_t start, uint64_t end)
{
   for (uint32_t i = preview->at; i > 0; i--) {
      const struct bind_op *op = &preview->job->ops[i - 1];

      if ((op->type == OP_MAP_SPARSE || op->type == OP_UNMAP_SPARSE) &&
          overlaps(start, end, op->in.addr, op->end))
         return op;
   }
   return NULL;
}

/* Whether anything is mapped in a range, page by page as far as earlier operations cut it */
static bool
anything_is_mapped_locked(const struct preview *preview, uint64_t start, uint64_t end)
{
   uint64_t at = start;

   while (at < end) {
      uint64_t until = end;
      bool decided = false, is_mapped = false;

      for (uint32_t i = preview->at; i > 0 && !decided; i--) {
         const struct bind_op *op = &preview->job->ops[i - 1];

         if (op->type == OP_MAP_SPARSE)
            continue;
         if (at >= op->in.addr && at < op->end) {
            decided = true;
            is_mapped = op->type == OP_MAP;
            until = MIN2(until, op->end);
         } else if (op->in.addr > at) {
            until = MIN2(until, op->in.addr);
         }
      }
      if (!decided) {
         const struct sim_gpuva *va = sim_gpuvm_first(&preview->job->vm->gpuvm, at);
         is_mapped = va && va->addr < until;
      }
      if (is_mapped)
         return true;
      at = until;
   }
   return false;
}

static int
preview_map_locked(const struct preview *preview, const struct bind_op *op)
{
   const struct bind_op *last = last_region_op(preview, op->in.addr, op->end);
   const struct region *region = find_region_locked(preview->job->vm, op->in.addr, op->end);
   uint64_t start, end;

   if (last && last->type == OP_UNMAP_SPARSE)
      return -EINVAL;
   if (!last && !region)
      return 0;
   start = last ? last->in.addr : region->start;
   end = last ? last->end : region->end;
   return start > op->in.addr || end < op->end ? -ENOSPC : 0;
}

static int
preview_op_locked(const struct preview *preview, const struct bind_op *op)
{
   const struct bind_op *last = last_region_op(preview, op->in.addr, op->end);
   const struct region *region = find_region_locked(preview->job->vm, op->in.addr, op->end);

   switch (op->type) {
   case OP_MAP:
      return preview_map_locked(preview, op);
   case OP_UNMAP:
      return 0;
   case OP_MAP_SPARSE:
      if (anything_is_mapped_locked(preview, op->in.addr, op->end))
         return -ENOSPC;
      return last || region ? -EEXIST : 0;
   case OP_UNMAP_SPARSE:
      if (last)
         return last->type == OP_MAP_SPARSE && last->in.addr == op->in.addr && last->end == op->end
                   ? 0
                   : -ENOENT;
      return region && !region->dirty && region->start == op->in.addr && region->end == op->end
                ? 0
                : -ENOENT;
   default:
      return -EINVAL;
   }
}

static int
add_region_locked(struct bind_job *job, const struct bind_op *op)
{
   struct region *region = calloc(1, sizeof(*region));

   if (!region)
      return -ENOMEM;
   region->start = op->in.addr;
   region->end = op->end;
   int ret = sim_vm_add_sparse_region_locked(job->vm, region->start, op->in.range);
   if (ret) {
      free(region);
      return ret;
   }
   list_addtail(&region->link, &to_nouveau_vm(job->vm)->regions);
   return 0;
}

static int
remember_unmap_locked(struct bind_job *job, const struct bind_op *op)
{
   struct pending_unmap *unmap = calloc(1, sizeof(*unmap));

   if (!unmap)
      return -ENOMEM;
   unmap->start = op->in.addr;
   unmap->end = op->end;
   unmap->fence = sim_fence_get(job->base.finished);
   list_addtail(&unmap->link, &to_nouveau_vm(job->vm)->unmaps);
   return 0;
}

static int
take_op_locked(struct bind_job *job, struct bind_op *op)
{
   struct sim_staged_op staged = {
      .kind = op->type == OP_MAP ? SIM_OP_MAP : SIM_OP_UNMAP,
      .va = op->in.addr,
      .range = op->in.range,
      .bo = op->bo,
      .offset = op->type == OP_MAP ? op->in.bo_offset : 0,
      .va_flags = op->in.flags & 0xff,
   };
   int ret = 0;

   switch (op->type) {
   case OP_MAP_SPARSE:
      return add_region_locked(job, op);
   case OP_UNMAP_SPARSE:
      op->region = find_region_locked(job->vm, op->in.addr, op->end);
      op->region->dirty = true;
      break;
   case OP_UNMAP:
      ret = remember_unmap_locked(job, op);
      break;
   default:
      break;
   }
   return ret ? ret : sim_staged_translate_locked(&job->staged, &staged);
}

static int
take_ops_locked(struct bind_job *job)
{
   int ret = validate_regions_locked(job);

   for (uint32_t i = 0; i < job->op_count && !ret; i++) {
      const struct preview preview = {.job = job, .at = i};
      ret = preview_op_locked(&preview, &job->ops[i]);
   }
   for (uint32_t i = 0; i < job->op_count && !ret; i++)
      ret = sim_fault_op();
   for (uint32_t i = 0; i < job->op_count && !ret; i++)
      ret = take_op_locked(job, &job->ops[i]);
   return ret;
}

static int
copy_ops(struct bind_job *job, const struct drm_nouveau_vm_bind *args)
{
   int ret;
   struct drm_nouveau_vm_bind_op *in =
      sim_copy_in_array(args->op_ptr, args->op_count, sizeof(*in), sizeof(*in), &ret);

   if (!ret && args->op_count) {
      job->ops = calloc(args->op_count, sizeof(*job->ops));
      ret = job->ops ? 0 : -ENOMEM;
   }
   for (uint32_t i = 0; i < args->op_count && !ret; i++) {
      const bool is_sparse = in[i].flags & DRM_NOUVEAU_VM_BIND_SPARSE;

      job->ops[i].in = in[i];
      job->ops[i].type = in[i].op;
      if (in[i].op == DRM_NOUVEAU_VM_BIND_OP_MAP)
         job->ops[i].type = is_sparse ? OP_MAP_SPARSE : OP_MAP;
      else if (in[i].op == DRM_NOUVEAU_VM_BIND_OP_UNMAP)
         job->ops[i].type = is_sparse ? OP_UNMAP_SPARSE : OP_UNMAP;
      else
         job->ops[i].type = UINT32_MAX;
      job->op_count++;
   }
   free(in);
   return ret;
}

static struct bind_job *
bind_job_create(struct sim_vm *vm)
{
   struct bind_job *job = calloc(1, sizeof(*job));

   if (!job)
      return NULL;
   job->base.run = bind_job_run;
   job->base.free = bind_job_free;
   job->vm = sim_vm_get(vm);
   job->staged.vm = vm;
   sim_job_init(&job->base, &vm->entity);
   return job;
}

/* With the VM's bind lock held. The job's fence, with a reference, in *done */
static int
bind_locked(struct sim_file *file, struct bind_job *job, const struct drm_nouveau_vm_bind *args,
            struct sim_fence **done)
{
   struct nouveau_syncs syncs = {0};
   int ret = copy_ops(job, args);

   if (!ret && !(args->flags & DRM_NOUVEAU_VM_BIND_RUN_ASYNC) &&
       (args->wait_count || args->sig_count))
      ret = -EINVAL;
   if (!ret)
      ret = nouveau_syncs_init(&syncs, file, &job->base, args->wait_ptr, args->wait_count,
                               args->sig_ptr, args->sig_count);
   for (uint32_t i = 0; i < job->op_count && !ret; i++)
      ret = prepare_op(job, file, &job->ops[i]);
   if (!ret) {
      pthread_mutex_lock(&job->vm->lock);
      ret = take_ops_locked(job);
      pthread_mutex_unlock(&job->vm->lock);
   }
   if (ret) {
      sim_job_finish(&job->base);
      bind_job_free(&job->base);
   } else {
      *done = sim_fence_get(job->base.finished);
      sim_resv_add_fence(&job->vm->resv, *done, SIM_RESV_BOOKKEEP);
      sim_entity_push_job(&job->vm->entity, &job->base);
      nouveau_syncs_signal(&syncs, *done);
   }
   nouveau_syncs_finish(&syncs);
   return ret;
}

static int
vm_bind_ioctl(struct sim_file *file, void *data)
{
   struct drm_nouveau_vm_bind *args = data;
   struct sim_vm *vm = nouveau_vm(file);
   struct sim_fence *done = NULL;

   if (!vm)
      return -ENOSYS;
   struct bind_job *job = bind_job_create(vm);
   if (!job) {
      sim_vm_put(vm);
      return -ENOMEM;
   }

   pthread_mutex_lock(&to_nouveau_vm(vm)->bind_lock);
   int ret = bind_locked(file, job, args, &done);
   pthread_mutex_unlock(&to_nouveau_vm(vm)->bind_lock);

   if (!ret && !(args->flags & DRM_NOUVEAU_VM_BIND_RUN_ASYNC)) {
      sim_sync_lock();
      /* A signal ends the wait, and nobody is told. */
      while (!sim_fence_is_signaled_locked(done) && sim_sync_wait_locked(UINT64_MAX) != -EINTR)
         ;
      sim_sync_unlock();
   }
   sim_fence_put(done);
   sim_vm_put(vm);
   return ret;
}

/* The file */

static int
nouveau_open(struct sim_file *file)
{
   struct nouveau_file *nfile = calloc(1, sizeof(*nfile));

   if (!nfile)
      return -ENOMEM;
   list_inithead(&nfile->objects);
   file->priv = nfile;
   return 0;
}

static void
nouveau_close(struct sim_file *file)
{
   nouveau_release_objects(file);
   nouveau_release_channels(file);
   vm_destroy(to_nouveau(file)->vm);
   free(file->priv);
}

#define NOUVEAU(NAME, func_, name_)                                                                \
   [DRM_NOUVEAU_##NAME] = {.cmd = DRM_IOCTL_NOUVEAU_##NAME, .func = func_, .name = name_}

static const struct sim_ioctl ioctls[] = {
   NOUVEAU(GETPARAM, getparam_ioctl, "getparam"),
   NOUVEAU(CHANNEL_ALLOC, nouveau_channel_alloc_ioctl, "channel_alloc"),
   NOUVEAU(CHANNEL_FREE, nouveau_channel_free_ioctl, "channel_free"),
   /* Its argument has every size. */
   [DRM_NOUVEAU_NVIF] = {.sized_func = nouveau_nvif_ioctl, .name = "nvif"},
   NOUVEAU(VM_INIT, vm_init_ioctl, "vm_init"),
   NOUVEAU(VM_BIND, vm_bind_ioctl, "vm_bind"),
   NOUVEAU(EXEC, nouveau_exec_ioctl, "exec"),
   NOUVEAU(GEM_NEW, gem_new_ioctl, "gem_new"),
   NOUVEAU(GEM_CPU_PREP, gem_cpu_prep_ioctl, "gem_cpu_prep"),
   NOUVEAU(GEM_CPU_FINI, gem_cpu_fini_ioctl, "gem_cpu_fini"),
   NOUVEAU(GEM_INFO, gem_info_ioctl, "gem_info"),
};

const struct sim_driver sim_nouveau_driver = {
   .name = "nouveau",
   .desc = "nVidia Riva/TNT/GeForce/Quadro/Tesla/Tegra K1+",
   .date = "0",
   .major = 1,
   .patchlevel = 3,
   .min_minor = 4,
   .max_minor = 4,
   .va_bits = 47,
   .pci_vendor = 0x10de,
   .pci_device = 0x1e87,
   .ioctls = ioctls,
   .ioctl_count = ARRAY_SIZE(ioctls),
   .open = nouveau_open,
   .close = nouveau_close,
   .check_export = check_export,
   .find_vm = find_vm,
};

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The xe personality's madvise. Follows xe_vm_madvise.c. Must know nothing of binds and submits.
 *
 * What shows is purging: a BO all of whose mappings were called not needed loses its contents when
 * memory runs short. The other attributes are of page faults and of memory that this GPU does not
 * have: they are checked and, the PAT index apart, forgotten.
 */

#include <errno.h>
#include <stdlib.h>

#include "drm-uapi/xe_drm.h"
#include "util/macros.h"
#include "util/u_atomic.h"

#include "sim_gem.h"
#include "sim_libc.h"
#include "sim_segv.h"
#include "sim_xe.h"

static bool
is_sane(const struct drm_xe_madvise *args)
{
   if (args->start % XE_PAGE_SIZE_B || args->range % XE_PAGE_SIZE_B || !args->range ||
       args->reserved[0] || args->reserved[1])
      return false;

   switch (args->type) {
   case DRM_XE_MEM_RANGE_ATTR_PREFERRED_LOC: {
      const int32_t fd = args->preferred_mem_loc.devmem_fd;

      return fd >= DRM_XE_PREFERRED_LOC_DEFAULT_SYSTEM &&
             (fd > DRM_XE_PREFERRED_LOC_DEFAULT_DEVICE ||
              !args->preferred_mem_loc.region_instance) &&
             args->preferred_mem_loc.migration_policy <= DRM_XE_MIGRATE_ONLY_SYSTEM_PAGES &&
             !args->preferred_mem_loc.reserved;
   }
   case DRM_XE_MEM_RANGE_ATTR_ATOMIC:
      return args->atomic.val <= DRM_XE_ATOMIC_CPU && !args->atomic.pad && !args->atomic.reserved;
   case DRM_XE_MEM_RANGE_ATTR_PAT:
      return args->pat_index.val < XE_PAT_ENTRIES && !args->pat_index.pad &&
             !args->pat_index.reserved;
   case DRM_XE_VMA_ATTR_PURGEABLE_STATE:
      return args->purge_state_val.val <= DRM_XE_VMA_PURGEABLE_STATE_DONTNEED &&
             !args->purge_state_val.pad;
   default:
      return false;
   }
}

/* Whether a BO's mappings allow the attribute: memory that the CPU caches is not read past them,
 * and this GPU has no atomics on system memory that the CPU would see, nor memory of its own.
 */
static bool
bo_allows(const struct drm_xe_madvise *args, const struct sim_bo *bo)
{
   const uint32_t caching = bo->flags >> XE_BO_CACHING_SHIFT;

   switch (args->type) {
   case DRM_XE_MEM_RANGE_ATTR_PAT:
      return args->pat_index.val == 0 || caching == DRM_XE_GEM_CPU_CACHING_WC;
   case DRM_XE_MEM_RANGE_ATTR_ATOMIC:
      return bo->user_addr || (args->atomic.val != DRM_XE_ATOMIC_DEVICE &&
                               args->atomic.val != DRM_XE_ATOMIC_GLOBAL);
   default:
      return true;
   }
}

struct purge {
   const struct sim_bo *bo;
   bool is_needed;
};

static void
look_for_need(struct sim_vm *vm, void *priv)
{
   struct purge *purge = priv;

   pthread_mutex_lock(&vm->lock);
   for (struct sim_gpuva *va = sim_gpuvm_first(&vm->gpuvm, 0); va; va = sim_gpuvm_next(va))
      purge->is_needed |= va->bo == purge->bo && !(va->flags & XE_VA_DONT_NEED);
   pthread_mutex_unlock(&vm->lock);
}

/* False if its contents are lost. */
static bool
update_need(struct sim_bo *bo)
{
   struct purge purge = {.bo = bo};

   sim_segv_for_each_vm(look_for_need, &purge);
   return sim_bo_madvise(bo, purge.is_needed ? SIM_BO_NEEDED : SIM_BO_NOT_NEEDED) != SIM_BO_PURGED;
}

static void
advise_locked(const struct drm_xe_madvise *args, struct sim_gpuva *va)
{
   switch (args->type) {
   case DRM_XE_MEM_RANGE_ATTR_PAT:
      va->flags = (va->flags & XE_VA_DONT_NEED) | args->pat_index.val << XE_VA_PAT_SHIFT;
      break;
   case DRM_XE_VMA_ATTR_PURGEABLE_STATE:
      if (args->purge_state_val.val == DRM_XE_VMA_PURGEABLE_STATE_DONTNEED)
         va->flags |= XE_VA_DONT_NEED;
      else
         va->flags &= ~XE_VA_DONT_NEED;
      break;
   default:
      break;
   }
}

/* The BOs in the range, each with a reference, as often as they are mapped there */
struct range_bos {
   struct sim_bo **list;
   uint32_t count;
};

static int
advise_range_locked(const struct drm_xe_madvise *args, struct sim_vm *vm, struct range_bos *bos)
{
   const uint64_t end = args->start + args->range;
   uint32_t capacity = 0;

   for (struct sim_gpuva *va = sim_gpuvm_first(&vm->gpuvm, args->start); va && va->addr < end;
        va = sim_gpuvm_next(va)) {
      if (va->bo && !bo_allows(args, va->bo))
         return -EINVAL;
      capacity++;
   }

   bos->list = calloc(MAX2(capacity, 1), sizeof(*bos->list));
   if (!bos->list)
      return -ENOMEM;
   for (struct sim_gpuva *va = sim_gpuvm_first(&vm->gpuvm, args->start); va && va->addr < end;
        va = sim_gpuvm_next(va)) {
      advise_locked(args, va);
      if (va->bo && !va->bo->user_addr)
         bos->list[bos->count++] = sim_bo_get(va->bo);
   }
   return 0;
}

static int
advise(const struct drm_xe_madvise *args, struct sim_vm *vm, bool *retained)
{
   struct range_bos bos = {0};

   pthread_mutex_lock(&to_xe_vm(vm)->bind_lock);
   int ret = p_atomic_read(&vm->unusable) || p_atomic_read(&vm->destroyed) ? -ENOENT : 0;
   if (!ret) {
      pthread_mutex_lock(&vm->lock);
      ret = advise_range_locked(args, vm, &bos);
      pthread_mutex_unlock(&vm->lock);
   }
   for (uint32_t i = 0; i < bos.count; i++) {
      if (args->type == DRM_XE_VMA_ATTR_PURGEABLE_STATE)
         *retained &= update_need(bos.list[i]);
      sim_bo_put(bos.list[i]);
   }
   pthread_mutex_unlock(&to_xe_vm(vm)->bind_lock);
   free(bos.list);
   return ret;
}

int
xe_madvise_ioctl(struct sim_file *file, void *data)
{
   struct drm_xe_madvise *args = data;
   const uint64_t retained_ptr =
      args->type == DRM_XE_VMA_ATTR_PURGEABLE_STATE ? args->purge_state_val.retained_ptr : 0;
   uint32_t retained = 0;
   bool is_retained = true;

   struct sim_vm *vm = sim_vm_lookup(file, args->vm_id);
   if (!vm)
      return -EINVAL;

   int ret = is_sane(args) ? 0 : -EINVAL;
   if (!ret && retained_ptr)
      ret = sim_copy_in(&retained, retained_ptr, sizeof(retained));
   if (!ret && retained)
      ret = -EINVAL;
   if (!ret)
      ret = advise(args, vm, &is_retained);
   if (!ret && retained_ptr) {
      retained = is_retained;
      ret = sim_copy_out(retained_ptr, &retained, sizeof(retained));
   }
   sim_vm_put(vm);
   return ret;
}

static int
fill_attrs_locked(struct drm_xe_vm_query_mem_range_attr *args, struct sim_vm *vm,
                  struct drm_xe_mem_range_attr *attrs)
{
   const uint64_t end = args->start + args->range;
   uint32_t count = 0;

   for (struct sim_gpuva *va = sim_gpuvm_first(&vm->gpuvm, args->start); va && va->addr < end;
        va = sim_gpuvm_next(va)) {
      if (attrs) {
         if (count == args->num_mem_ranges)
            return -ENOSPC;
         attrs[count].start = va->addr;
         attrs[count].end = va->addr + va->range;
         attrs[count].pat_index.val = va->flags >> XE_VA_PAT_SHIFT;
      }
      count++;
   }
   args->num_mem_ranges = count;
   return 0;
}

int
xe_query_mem_range_attrs_ioctl(struct sim_file *file, void *data)
{
   struct drm_xe_vm_query_mem_range_attr *args = data;
   struct drm_xe_mem_range_attr *attrs = NULL;
   const bool counts = args->num_mem_ranges == 0;

   if (counts ? args->vector_of_mem_attr || args->sizeof_mem_range_attr
              : !args->vector_of_mem_attr || args->sizeof_mem_range_attr != sizeof(*attrs))
      return -EINVAL;
   struct sim_vm *vm = sim_vm_lookup(file, args->vm_id);
   if (!vm)
      return -EINVAL;

   int ret = 0;
   if (!counts) {
      attrs = calloc(args->num_mem_ranges, sizeof(*attrs));
      if (!attrs)
         ret = args->num_mem_ranges > 1 ? -ENOBUFS : -ENOMEM;
   }
   if (!ret) {
      pthread_mutex_lock(&vm->lock);
      ret = fill_attrs_locked(args, vm, attrs);
      pthread_mutex_unlock(&vm->lock);
   }
   if (!ret && counts)
      args->sizeof_mem_range_attr = sizeof(*attrs);
   if (!ret && !counts)
      ret = sim_copy_out(args->vector_of_mem_attr, attrs, args->num_mem_ranges * sizeof(*attrs));
   free(attrs);
   sim_vm_put(vm);
   return ret;
}

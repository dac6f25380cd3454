/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The functions of drm_sim.h. Must know nothing of any driver.
 */

#include "drm_sim.h"

#include <errno.h>
#include <string.h>

#include "util/macros.h"

#include "sim_device.h"
#include "sim_evict.h"
#include "sim_fault.h"
#include "sim_gem.h"
#include "sim_vm.h"

#define EXPORT PUBLIC __attribute__((used))

EXPORT int
drm_sim_select(const char *spec)
{
   return sim_device_select(spec);
}

EXPORT int
drm_sim_set_fault(const char *spec)
{
   sim_fault_init();
   return sim_fault_set(spec);
}

EXPORT int
drm_sim_set_misapply(const char *spec)
{
   sim_fault_init();
   return sim_fault_set_misapply(spec);
}

struct target {
   struct sim_file *file;
   struct sim_vm *vm;
};

static int
target_open(struct target *target, int fd, uint32_t vm_id)
{
   target->file = sim_file_from_fd(fd);
   if (!target->file)
      return -EBADF;
   target->vm = target->file->device.driver->find_vm(target->file, vm_id);
   if (!target->vm) {
      sim_file_put(target->file);
      return -ENOENT;
   }
   return 0;
}

static void
target_close(struct target *target)
{
   sim_vm_put(target->vm);
   sim_file_put(target->file);
}

static int
set_held(int fd, uint32_t vm_id, bool held)
{
   struct target target;
   int ret = target_open(&target, fd, vm_id);

   if (ret)
      return ret;
   sim_sched_hold(target.vm->sched, held);
   target_close(&target);
   return 0;
}

EXPORT int
drm_sim_hold(int fd, uint32_t vm_id)
{
   return set_held(fd, vm_id, true);
}

EXPORT int
drm_sim_release(int fd, uint32_t vm_id)
{
   return set_held(fd, vm_id, false);
}

EXPORT int
drm_sim_wait_idle(int fd, uint32_t vm_id)
{
   struct target target;
   int ret = target_open(&target, fd, vm_id);

   if (ret)
      return ret;
   sim_sched_wait_idle(target.vm->sched);
   target_close(&target);
   return 0;
}

static uint32_t
mapping_flags(uint32_t pte_flags)
{
   return (pte_flags & SIM_PTE_NULL ? DRM_SIM_MAPPING_NULL : 0) |
          (pte_flags & SIM_PTE_READONLY ? DRM_SIM_MAPPING_READONLY : 0) |
          (pte_flags & SIM_PTE_SPARSE ? DRM_SIM_MAPPING_SPARSE : 0) |
          (pte_flags & SIM_PTE_REPEAT ? DRM_SIM_MAPPING_REPEAT : 0);
}

EXPORT int
drm_sim_for_each_gpuva(int fd, uint32_t vm_id, drm_sim_mapping_fn fn, void *priv)
{
   struct target target;
   int ret = target_open(&target, fd, vm_id);

   if (ret)
      return ret;

   pthread_mutex_lock(&target.vm->lock);
   for (struct sim_gpuva *va = sim_gpuvm_first(&target.vm->gpuvm, 0); va && !ret;
        va = sim_gpuvm_next(va)) {
      const struct drm_sim_mapping mapping = {
         .va = va->addr,
         .range_B = va->range,
         .handle = va->bo ? sim_bo_handle_in(target.file, va->bo) : 0,
         .bo_inode = va->bo ? va->bo->inode : 0,
         .bo_offset_B = va->offset,
         .flags = va->bo ? 0 : DRM_SIM_MAPPING_NULL,
      };
      ret = fn(priv, &mapping);
   }
   pthread_mutex_unlock(&target.vm->lock);
   target_close(&target);
   return ret;
}

/* Page table entries joined into runs */
struct run {
   struct target *target;
   drm_sim_mapping_fn fn;
   void *priv;
   struct drm_sim_mapping mapping;
   const struct sim_bo *bo;
};

static int
run_flush(struct run *run)
{
   if (!run->mapping.range_B)
      return 0;
   run->mapping.handle = run->bo ? sim_bo_handle_in(run->target->file, run->bo) : 0;
   int ret = run->fn(run->priv, &run->mapping);
   run->mapping.range_B = 0;
   return ret;
}

static bool
run_continues(const struct run *run, uint64_t va, const struct sim_pte *pte)
{
   const struct drm_sim_mapping *mapping = &run->mapping;
   const uint64_t advance = pte->flags & SIM_PTE_REPEAT ? 0 : mapping->range_B;

   return mapping->range_B && mapping->va + mapping->range_B == va && run->bo == pte->bo &&
          mapping->flags == mapping_flags(pte->flags) &&
          (!pte->bo || mapping->bo_offset_B + advance == pte->offset);
}

static int
run_add(void *priv, uint64_t va, uint64_t size_B, const struct sim_pte *pte)
{
   struct run *run = priv;

   if (run_continues(run, va, pte)) {
      run->mapping.range_B += size_B;
      return 0;
   }

   int ret = run_flush(run);
   run->bo = pte->bo;
   run->mapping = (struct drm_sim_mapping){
      .va = va,
      .range_B = size_B,
      .bo_inode = pte->bo ? pte->bo->inode : 0,
      .bo_offset_B = pte->bo ? pte->offset : 0,
      .flags = mapping_flags(pte->flags),
   };
   return ret;
}

EXPORT int
drm_sim_for_each_pte(int fd, uint32_t vm_id, drm_sim_mapping_fn fn, void *priv)
{
   struct target target;
   int ret = target_open(&target, fd, vm_id);

   if (ret)
      return ret;

   struct run run = {.target = &target, .fn = fn, .priv = priv};
   pthread_mutex_lock(&target.vm->lock);
   ret = sim_pt_for_each(&target.vm->pt, run_add, &run);
   if (!ret)
      ret = run_flush(&run);
   pthread_mutex_unlock(&target.vm->lock);
   target_close(&target);
   return ret;
}

EXPORT int
drm_sim_lookup(int fd, uint32_t vm_id, uint64_t va, struct drm_sim_mapping *mapping)
{
   struct target target;
   struct sim_pte pte;
   int ret = target_open(&target, fd, vm_id);

   if (ret)
      return ret;

   pthread_mutex_lock(&target.vm->lock);
   uint64_t page = va & ~4095ull;
   if (sim_pt_lookup(&target.vm->pt, page, &pte)) {
      *mapping = (struct drm_sim_mapping){
         .va = page,
         .range_B = 4096,
         .handle = pte.bo ? sim_bo_handle_in(target.file, pte.bo) : 0,
         .bo_inode = pte.bo ? pte.bo->inode : 0,
         .bo_offset_B = pte.offset,
         .flags = mapping_flags(pte.flags),
      };
   } else {
      ret = -EFAULT;
   }
   pthread_mutex_unlock(&target.vm->lock);
   target_close(&target);
   return ret;
}

EXPORT int
drm_sim_read(int fd, uint32_t vm_id, uint64_t va, void *data, uint64_t size_B)
{
   struct target target;
   int ret = target_open(&target, fd, vm_id);

   if (ret)
      return ret;
   ret = sim_vm_read(target.vm, va, data, size_B);
   target_close(&target);
   return ret;
}

EXPORT int
drm_sim_write(int fd, uint32_t vm_id, uint64_t va, const void *data, uint64_t size_B)
{
   struct target target;
   int ret = target_open(&target, fd, vm_id);

   if (ret)
      return ret;
   ret = sim_vm_write(target.vm, va, data, size_B);
   target_close(&target);
   return ret;
}

static void
evict_all(void)
{
   const uint64_t pass = sim_bo_new_pass();
   struct sim_bo *bo;

   while ((bo = sim_bo_pick_victim(pass))) {
      sim_evict_bo(bo);
      sim_bo_put(bo);
   }
}

EXPORT int
drm_sim_evict(int fd, uint32_t handle)
{
   struct sim_file *file = sim_file_from_fd(fd);

   if (!file)
      return -EBADF;
   if (!handle) {
      evict_all();
      sim_file_put(file);
      return 0;
   }
   struct sim_bo *bo = sim_bo_lookup(file, handle);
   int ret = bo ? sim_evict_bo(bo) : -ENOENT;
   sim_bo_put(bo);
   sim_file_put(file);
   return ret;
}

EXPORT void
drm_sim_get_eviction_counts(uint64_t *evicted, uint64_t *restored)
{
   sim_evict_get_counts(evicted, restored);
}

EXPORT int
drm_sim_get_op_counts(int fd, uint32_t vm_id, struct drm_sim_op_counts *counts)
{
   struct target target;
   int ret = target_open(&target, fd, vm_id);

   if (ret)
      return ret;
   pthread_mutex_lock(&target.vm->lock);
   counts->map = target.vm->op_counts[SIM_OP_MAP];
   counts->unmap = target.vm->op_counts[SIM_OP_UNMAP];
   counts->null = target.vm->op_counts[SIM_OP_NULL];
   pthread_mutex_unlock(&target.vm->lock);
   target_close(&target);
   return 0;
}

EXPORT uint64_t
drm_sim_get_ioctl_count(const char *name)
{
   return sim_ioctl_count(name);
}

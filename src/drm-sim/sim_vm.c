/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * A GPU's address space; see the header. Must know nothing of any driver.
 */

#include "sim_vm.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "util/macros.h"
#include "util/u_atomic.h"

#include "sim_device.h"
#include "sim_gem.h"
#include "sim_libc.h"
#include "sim_mmu.h"
#include "sim_segv.h"

#define SPARSE_PERIOD_B (2ull << 20)

struct sim_vm *
sim_vm_create(uint32_t id, const char *driver_name, uint64_t start, uint64_t range)
{
   static uint64_t last_uid;
   struct sim_vm *vm = calloc(1, sizeof(*vm));

   if (!vm)
      return NULL;
   vm->refcount = 1;
   vm->id = id;
   vm->uid = p_atomic_inc_return(&last_uid);
   vm->driver_name = driver_name;
   pthread_mutex_init(&vm->lock, NULL);
   sim_gpuvm_init(&vm->gpuvm, start, range);
   list_inithead(&vm->evicted_runs);
   list_inithead(&vm->sparse_regions);

   if (sim_pt_init(&vm->pt))
      goto fail_vm;
   vm->history = calloc(SIM_VM_HISTORY, sizeof(*vm->history));
   if (!vm->history)
      goto fail_pt;
   vm->sched = sim_sched_create("vm-bind");
   if (!vm->sched)
      goto fail_history;
   vm->engine = sim_sched_create("engine");
   if (!vm->engine)
      goto fail_sched;

   sim_entity_init(&vm->entity, vm->sched);
   sim_segv_add_vm(vm);
   return vm;

fail_sched:
   sim_sched_destroy(vm->sched);
fail_history:
   free(vm->history);
fail_pt:
   sim_pt_finish(&vm->pt);
fail_vm:
   pthread_mutex_destroy(&vm->lock);
   free(vm);
   return NULL;
}

struct sim_vm *
sim_vm_get(struct sim_vm *vm)
{
   if (vm)
      p_atomic_inc(&vm->refcount);
   return vm;
}

bool
sim_vm_get_unless_zero(struct sim_vm *vm)
{
   int32_t count = p_atomic_read(&vm->refcount);

   while (count > 0) {
      int32_t seen = p_atomic_cmpxchg(&vm->refcount, count, count + 1);
      if (seen == count)
         return true;
      count = seen;
   }
   return false;
}

void
sim_vm_put(struct sim_vm *vm)
{
   if (!vm || !p_atomic_dec_zero(&vm->refcount))
      return;

   sim_segv_remove_vm(vm);
   sim_vm_clear(vm);
   sim_entity_finish(&vm->entity);
   sim_sched_destroy(vm->sched);
   sim_sched_destroy(vm->engine);
   sim_pt_finish(&vm->pt);
   sim_resv_finish(&vm->resv);
   free(vm->history);
   free(vm->priv);
   pthread_mutex_destroy(&vm->lock);
   free(vm);
}

static int
hide_run(UNUSED void *priv, uint64_t va, uint64_t size_B, UNUSED const struct sim_pte *pte)
{
   sim_mmu_unmap(va, size_B);
   return 0;
}

/* What a lost unmap leaves behind, and no program that behaves can see: a page that the GPU could
 * still reach though nothing is mapped there. */
static int
check_run(void *priv, uint64_t va, uint64_t size_B, UNUSED const struct sim_pte *pte)
{
   const struct sim_vm *vm = priv;
   const struct sim_gpuva *gpuva = sim_gpuvm_first(&vm->gpuvm, va);

   if (!gpuva || gpuva->addr >= va + size_B) {
      sim_panic("VM %u ends with 0x%" PRIx64 " bytes at 0x%" PRIx64 " in its page tables, where "
                "nothing is mapped (DRM_SIM_CHECK)",
                vm->id, size_B, va);
   }
   return 0;
}

struct sparse_region {
   struct list_head link;
   uint64_t va;
   uint64_t end;
};

static int
remove_region_locked(struct sim_vm *vm, struct sparse_region *region)
{
   const uint64_t va = region->va, size_B = region->end - region->va;

   list_del(&region->link);
   free(region);
   return sim_vm_pt_unmap_locked(vm, va, size_B);
}

int
sim_vm_add_sparse_region_locked(struct sim_vm *vm, uint64_t va, uint64_t size_B)
{
   struct sparse_region *region = calloc(1, sizeof(*region));

   if (!region)
      return -ENOMEM;
   region->va = va;
   region->end = va + size_B;
   list_addtail(&region->link, &vm->sparse_regions);
   int ret = sim_vm_pt_map_locked(vm, va, size_B, NULL, 0, SIM_PTE_NULL);
   if (ret)
      remove_region_locked(vm, region);
   return ret;
}

int
sim_vm_remove_sparse_region_locked(struct sim_vm *vm, uint64_t va, uint64_t size_B)
{
   list_for_each_entry (struct sparse_region, region, &vm->sparse_regions, link) {
      if (region->va == va && region->end == va + size_B)
         return remove_region_locked(vm, region);
   }
   return -ENOENT;
}

/* What an unmap leaves of a sparse region */
static int
fill_sparse_regions_locked(struct sim_vm *vm, uint64_t va, uint64_t size_B)
{
   int ret = 0;

   list_for_each_entry (struct sparse_region, region, &vm->sparse_regions, link) {
      const uint64_t start = MAX2(va, region->va), end = MIN2(va + size_B, region->end);

      if (start < end && !ret)
         ret = sim_mmu_map(start, end - start, NULL, 0, true);
      if (start < end && !ret)
         ret = sim_pt_map(&vm->pt, start, end - start, NULL, 0, SIM_PTE_NULL);
   }
   return ret;
}

void
sim_vm_clear(struct sim_vm *vm)
{
   const char *check = getenv("DRM_SIM_CHECK");

   pthread_mutex_lock(&vm->lock);
   list_for_each_entry_safe (struct sparse_region, region, &vm->sparse_regions, link)
      remove_region_locked(vm, region);
   if (check && !strcmp(check, "1"))
      sim_pt_for_each(&vm->pt, check_run, vm);
   sim_pt_for_each(&vm->pt, hide_run, NULL);
   sim_pt_unmap(&vm->pt, 0, 1ull << 57);
   sim_gpuvm_finish(&vm->gpuvm);
   list_for_each_entry_safe (struct sim_evicted_run, run, &vm->evicted_runs, link) {
      list_del(&run->link);
      sim_vm_free_evicted_run(run);
   }
   pthread_mutex_unlock(&vm->lock);
}

void
sim_vm_destroy(struct sim_vm *vm)
{
   sim_vm_clear(vm);
   sim_vm_put(vm);
}

uint32_t
sim_vm_add_handle(struct sim_file *file, struct sim_vm *vm, uint32_t max_count)
{
   pthread_mutex_lock(&file->lock);
   uint32_t handle = sim_handles_add(&file->vms, vm);
   if (handle > max_count) {
      sim_handles_remove(&file->vms, handle);
      handle = 0;
   }
   vm->id = handle;
   pthread_mutex_unlock(&file->lock);
   if (!handle)
      sim_vm_put(vm);
   return handle;
}

struct sim_vm *
sim_vm_lookup(struct sim_file *file, uint32_t handle)
{
   pthread_mutex_lock(&file->lock);
   struct sim_vm *vm = sim_vm_get(sim_handles_get(&file->vms, handle));
   pthread_mutex_unlock(&file->lock);
   return vm;
}

bool
sim_vm_find_uid(struct sim_file *file, uint32_t handle, uint64_t *uid)
{
   struct sim_vm *vm = sim_vm_lookup(file, handle);

   if (!vm)
      return false;
   *uid = vm->uid;
   sim_vm_put(vm);
   return true;
}

struct sim_vm *
sim_vm_remove_handle(struct sim_file *file, uint32_t handle)
{
   pthread_mutex_lock(&file->lock);
   struct sim_vm *vm = sim_handles_remove(&file->vms, handle);
   pthread_mutex_unlock(&file->lock);
   return vm;
}

void
sim_vm_release_file(struct sim_file *file, void (*destroy)(struct sim_vm *vm))
{
   for (uint32_t i = 0; i < file->vms.capacity; i++) {
      if (file->vms.objects[i])
         destroy(file->vms.objects[i]);
   }
   sim_handles_finish(&file->vms);
}

void
sim_vm_free_evicted_run(struct sim_evicted_run *run)
{
   sim_bo_put(run->bo);
   free(run);
}

/* What begins at start within a run, as another; a run that is lost for want of memory would show
 * in a hole.
 */
static void
split_run(struct sim_evicted_run *run, uint64_t start)
{
   struct sim_evicted_run *rest = malloc(sizeof(*rest));

   if (!rest)
      sim_panic("out of memory for an evicted range");
   *rest = *run;
   rest->va = start;
   rest->size_B = run->va + run->size_B - start;
   rest->offset = run->offset + (start - run->va);
   sim_bo_get(rest->bo);
   list_add(&rest->link, &run->link);
   run->size_B = start - run->va;
}

/* Something else comes to these addresses: what was evicted there does not come back. */
static void
forget_evicted_locked(struct sim_vm *vm, uint64_t va, uint64_t size_B)
{
   list_for_each_entry_safe (struct sim_evicted_run, run, &vm->evicted_runs, link) {
      const uint64_t end = MIN2(va + size_B, run->va + run->size_B);

      if (va >= run->va + run->size_B || run->va >= va + size_B)
         continue;
      if (end < run->va + run->size_B)
         split_run(run, end);
      if (va > run->va) {
         run->size_B = va - run->va;
      } else {
         list_del(&run->link);
         sim_vm_free_evicted_run(run);
      }
   }
}

static int
map_sparse_locked(struct sim_vm *vm, uint64_t va, uint64_t size_B, struct sim_bo *bo,
                  uint32_t flags)
{
   uint64_t done = 0;

   while (done < size_B) {
      uint64_t within = (va + done) % SPARSE_PERIOD_B;
      uint64_t chunk = MIN2(size_B - done, SPARSE_PERIOD_B - within);
      int ret = sim_mmu_map(va + done, chunk, bo, within, flags & SIM_PTE_READONLY);

      if (!ret)
         ret = sim_pt_map(&vm->pt, va + done, chunk, bo, within, flags);
      if (ret)
         return ret;
      done += chunk;
   }
   return 0;
}

static bool
is_all_zero(struct sim_bo *bo, uint64_t offset, uint64_t size_B)
{
   uint64_t piece[512];

   for (uint64_t done = 0; done < size_B; done += sizeof(piece)) {
      if (sim_bo_read(bo, offset + done, piece, sizeof(piece)))
         return false;
      for (unsigned i = 0; i < ARRAY_SIZE(piece); i++) {
         if (piece[i])
            return false;
      }
   }
   return true;
}

/* The host has no page that repeats, and takes a map area for each copy. So a long run of a page of
 * zeros, which is what null mappings are made of, is shown as zeros, and stores to it go nowhere.
 */
#define MAX_SHOWN_REPEATS 64

static int
map_repeated_locked(struct sim_vm *vm, uint64_t va, uint64_t size_B, struct sim_bo *bo,
                    uint64_t offset, uint32_t flags)
{
   int ret = 0;

   if (size_B / SIM_PTE_REPEAT_B > MAX_SHOWN_REPEATS && is_all_zero(bo, offset, SIM_PTE_REPEAT_B)) {
      ret = sim_mmu_map(va, size_B, NULL, 0, true);
   } else {
      for (uint64_t done = 0; done < size_B && !ret; done += SIM_PTE_REPEAT_B)
         ret = sim_mmu_map(va + done, SIM_PTE_REPEAT_B, bo, offset, flags & SIM_PTE_READONLY);
   }
   return ret ? ret : sim_pt_map(&vm->pt, va, size_B, bo, offset, flags);
}

int
sim_vm_pt_map_locked(struct sim_vm *vm, uint64_t va, uint64_t size_B, struct sim_bo *bo,
                     uint64_t offset, uint32_t flags)
{
   forget_evicted_locked(vm, va, size_B);
   if (bo && p_atomic_read(&bo->evicted))
      sim_bo_set_evicted(bo, false);
   if (flags & SIM_PTE_SPARSE)
      return map_sparse_locked(vm, va, size_B, bo, flags);
   if (flags & SIM_PTE_REPEAT)
      return map_repeated_locked(vm, va, size_B, bo, offset, flags);

   int ret = sim_mmu_map(va, size_B, bo, offset, flags & SIM_PTE_READONLY);
   if (ret)
      return ret;
   return sim_pt_map(&vm->pt, va, size_B, bo, offset, flags);
}

int
sim_vm_pt_map_run_locked(struct sim_vm *vm, const struct sim_evicted_run *run)
{
   int ret = sim_mmu_map(run->va, run->size_B, run->bo, run->offset, run->flags & SIM_PTE_READONLY);

   return ret ? ret
              : sim_pt_map(&vm->pt, run->va, run->size_B, run->bo, run->offset, run->flags);
}

int
sim_vm_pt_unmap_locked(struct sim_vm *vm, uint64_t va, uint64_t size_B)
{
   forget_evicted_locked(vm, va, size_B);

   int ret = sim_mmu_unmap(va, size_B);

   if (!ret)
      ret = sim_pt_unmap(&vm->pt, va, size_B);
   return ret ? ret : fill_sparse_regions_locked(vm, va, size_B);
}

void
sim_vm_record_locked(struct sim_vm *vm, enum sim_op_kind kind, uint64_t va, uint64_t range,
                     const struct sim_bo *bo, uint64_t offset, bool dropped)
{
   vm->history[vm->history_count % SIM_VM_HISTORY] = (struct sim_vm_event){
      .seqno = vm->history_count,
      .va = va,
      .range = range,
      .bo_id = bo ? bo->id : 0,
      .offset = offset,
      .kind = kind,
      .dropped = dropped,
   };
   vm->history_count++;
   vm->op_counts[kind]++;
}

/* One page's part of an access */
static int
access_page_locked(struct sim_vm *vm, uint64_t va, void *data, uint64_t size_B, bool write)
{
   struct sim_pte pte;

   if (!sim_pt_lookup(&vm->pt, va, &pte)) {
      if (!vm->has_scratch)
         return -EFAULT;
      pte = (struct sim_pte){.flags = SIM_PTE_NULL};
   }
   if (!pte.bo) {
      if (!write)
         memset(data, 0, size_B);
      return 0;
   }
   if (write && (pte.flags & SIM_PTE_READONLY))
      return -EFAULT;
   return write ? sim_bo_write(pte.bo, pte.offset, data, size_B)
                : sim_bo_read(pte.bo, pte.offset, data, size_B);
}

static int
access_memory(struct sim_vm *vm, uint64_t va, void *data, uint64_t size_B, bool write)
{
   int ret = 0;

   pthread_mutex_lock(&vm->lock);
   while (size_B && !ret) {
      uint64_t part = MIN2(size_B, 4096 - va % 4096);

      ret = access_page_locked(vm, va, data, part, write);
      va += part;
      data = (char *)data + part;
      size_B -= part;
   }
   pthread_mutex_unlock(&vm->lock);
   return ret;
}

int
sim_vm_read(struct sim_vm *vm, uint64_t va, void *data, uint64_t size_B)
{
   return access_memory(vm, va, data, size_B, false);
}

int
sim_vm_write(struct sim_vm *vm, uint64_t va, const void *data, uint64_t size_B)
{
   return access_memory(vm, va, (void *)data, size_B, true);
}

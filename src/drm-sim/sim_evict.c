/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Eviction; see the header. Must know nothing of any driver.
 *
 *      BO             resident ---- evict ----> evicted
 *      each VM        page table entries ----> list of evicted runs
 *                              <-- validate --
 *
 * A run leaves the list also when something else is bound or unbound there (sim_vm.c), so that what
 * is given back is what would be there without the eviction, whatever is pending.
 */

#include "sim_evict.h"

#include <errno.h>
#include <stdlib.h>

#include "util/macros.h"
#include "util/u_atomic.h"

#include "sim_fault.h"
#include "sim_fence.h"
#include "sim_gem.h"
#include "sim_mmu.h"
#include "sim_remote.h"
#include "sim_segv.h"
#include "sim_vm.h"

static uint64_t evicted_count;
static uint64_t restored_count;

void
sim_evict_get_counts(uint64_t *evicted, uint64_t *restored)
{
   *evicted = p_atomic_read(&evicted_count);
   *restored = p_atomic_read(&restored_count);
}

/* One BO's page table entries in one VM */
struct eviction {
   struct sim_bo *bo;
   struct sim_vm *vm;
   struct list_head runs;
   bool is_shown;
   int ret;
};

static int
collect_run(void *priv, uint64_t va, uint64_t size_B, const struct sim_pte *pte)
{
   struct eviction *eviction = priv;

   if (pte->bo != eviction->bo)
      return 0;
   struct sim_evicted_run *run = calloc(1, sizeof(*run));
   if (!run)
      return -ENOMEM;
   *run = (struct sim_evicted_run){
      .va = va,
      .size_B = size_B,
      .bo = sim_bo_get(pte->bo),
      .offset = pte->offset,
      .flags = pte->flags,
   };
   list_addtail(&run->link, &eviction->runs);
   eviction->is_shown |= sim_mmu_is_shown(va, size_B);
   return 0;
}

static void
free_runs(struct list_head *runs)
{
   list_for_each_entry_safe (struct sim_evicted_run, run, runs, link)
      sim_vm_free_evicted_run(run);
}

static void
take_runs_locked(struct eviction *eviction)
{
   struct sim_vm *vm = eviction->vm;

   list_for_each_entry (struct sim_evicted_run, run, &eviction->runs, link) {
      if (eviction->is_shown)
         sim_mmu_unmap(run->va, run->size_B);
      sim_pt_unmap(&vm->pt, run->va, run->size_B);
      if (run->bo->user_addr)
         p_atomic_set(&vm->has_user_runs, true);
   }
   list_splicetail(&eviction->runs, &vm->evicted_runs);
   list_inithead(&eviction->runs);
}

static int
check_evictable(struct eviction *eviction)
{
   struct sim_vm *vm = eviction->vm;

   if (list_is_empty(&eviction->runs))
      return 0;
   if (vm->keeps_bos)
      return -EPERM;
   if (eviction->is_shown || vm->validating || !sim_resv_is_idle(&vm->resv, SIM_RESV_BOOKKEEP))
      return -EBUSY;
   return 0;
}

static void
evict_in_vm(struct sim_vm *vm, void *priv)
{
   struct eviction *eviction = priv;

   eviction->vm = vm;
   eviction->is_shown = false;
   list_inithead(&eviction->runs);
   pthread_mutex_lock(&vm->lock);
   int ret = sim_pt_for_each(&vm->pt, collect_run, eviction);
   if (!ret)
      ret = check_evictable(eviction);
   if (!ret)
      take_runs_locked(eviction);
   pthread_mutex_unlock(&vm->lock);
   free_runs(&eviction->runs);
   if (ret)
      eviction->ret = ret;
}

int
sim_evict_bo(struct sim_bo *bo)
{
   struct eviction eviction = {.bo = bo};

   if (!sim_resv_is_idle(&bo->resv, SIM_RESV_BOOKKEEP))
      return -EBUSY;
   /* A VM that lets it go after another did not is only asked to restore it in vain. */
   sim_segv_for_each_vm(evict_in_vm, &eviction);
   if (!eviction.ret && sim_bo_set_evicted(bo, true))
      p_atomic_inc(&evicted_count);
   return eviction.ret;
}

void
sim_evict_make_room(uint64_t size_B)
{
   const uint64_t limit_B = sim_fault_resident_limit_B();
   struct sim_bo *bo;

   if (!limit_B)
      return;

   const uint64_t pass = sim_bo_new_pass();
   while (sim_bo_resident_B() + size_B > limit_B && (bo = sim_bo_pick_victim(pass))) {
      sim_evict_bo(bo);
      sim_bo_put(bo);
   }
}

/* Giving back */

/* 0 to map it, 1 to leave a hole */
static int
make_usable(const struct sim_vm *vm, struct sim_bo *bo)
{
   if (bo->user_addr)
      return sim_bo_repin_user(bo) ? 1 : 0;
   if (vm->refuses_given_up_bos && p_atomic_read(&bo->madv) != SIM_BO_NEEDED)
      return -EBUSY;
   if (p_atomic_read(&bo->madv) == SIM_BO_PURGED)
      return 1;

   if (p_atomic_read(&bo->evicted)) {
      sim_evict_make_room(bo->size_B);
      sim_bo_set_evicted(bo, false);
   }
   return 0;
}

static int
restore_runs_locked(struct sim_vm *vm, struct sim_bo *bo, bool leave_hole)
{
   int ret = 0;

   list_for_each_entry_safe (struct sim_evicted_run, run, &vm->evicted_runs, link) {
      if (run->bo != bo || ret)
         continue;
      list_del(&run->link);
      if (!leave_hole) {
         ret = sim_vm_pt_map_run_locked(vm, run);
         p_atomic_inc(&restored_count);
      }
      sim_vm_free_evicted_run(run);
   }
   return ret;
}

/* The BO of some run, with a reference; NULL when all is there, and the fence is added. */
static struct sim_bo *
next_to_restore(struct sim_vm *vm, struct sim_fence *fence)
{
   struct sim_bo *bo = NULL;

   pthread_mutex_lock(&vm->lock);
   if (list_is_empty(&vm->evicted_runs)) {
      vm->validating = false;
      if (fence)
         sim_resv_add_fence(&vm->resv, fence, SIM_RESV_BOOKKEEP);
   } else {
      /* From here on it loses nothing again, or two BOs could take turns for ever. */
      vm->validating = true;
      bo = sim_bo_get(list_first_entry(&vm->evicted_runs, struct sim_evicted_run, link)->bo);
   }
   pthread_mutex_unlock(&vm->lock);
   return bo;
}

int
sim_evict_validate(struct sim_vm *vm, struct sim_fence *fence)
{
   struct sim_bo *bo;
   int ret = 0;

   while (ret >= 0 && (bo = next_to_restore(vm, fence))) {
      ret = make_usable(vm, bo);
      pthread_mutex_lock(&vm->lock);
      if (ret >= 0)
         ret = restore_runs_locked(vm, bo, ret == 1);
      if (ret < 0)
         vm->validating = false;
      pthread_mutex_unlock(&vm->lock);
      sim_bo_put(bo);
   }
   return MIN2(ret, 0);
}

/* The program's own pages */

static void
invalidate_in_vm(struct sim_vm *vm, void *priv)
{
   struct eviction *eviction = priv;

   eviction->vm = vm;
   eviction->is_shown = false;
   list_inithead(&eviction->runs);
   pthread_mutex_lock(&vm->lock);
   if (sim_pt_for_each(&vm->pt, collect_run, eviction) == 0 &&
       sim_resv_is_idle(&vm->resv, SIM_RESV_BOOKKEEP))
      take_runs_locked(eviction);
   bool is_busy = !list_is_empty(&eviction->runs);
   pthread_mutex_unlock(&vm->lock);
   free_runs(&eviction->runs);
   if (is_busy)
      eviction->ret = -EBUSY;
}

void
sim_evict_user_range_start(uint64_t addr, uint64_t size_B)
{
   struct sim_bo *bo;

   /* A forked process has other pages at its addresses. */
   if (sim_remote_is_active())
      return;
   while ((bo = sim_bo_take_user_range(addr, size_B))) {
      struct eviction eviction = {.bo = bo};

      do {
         eviction.ret = 0;
         sim_segv_for_each_vm(invalidate_in_vm, &eviction);
         if (eviction.ret)
            sim_sync_wait_for_change(1000000);
      } while (eviction.ret);
      sim_bo_put(bo);
   }
}

static void
rebind_long_running(struct sim_vm *vm, void *priv)
{
   struct sim_vm **found = priv;

   if (!*found && vm->rebinds_at_once && p_atomic_read(&vm->has_user_runs) &&
       sim_vm_get_unless_zero(vm))
      *found = vm;
}

void
sim_evict_user_range_end(void)
{
   if (sim_remote_is_active())
      return;
   /* Where no job comes before which they could be given back */
   while (true) {
      struct sim_vm *vm = NULL;

      sim_segv_for_each_vm(rebind_long_running, &vm);
      if (!vm)
         return;
      p_atomic_set(&vm->has_user_runs, false);
      sim_evict_validate(vm, NULL);
      sim_vm_put(vm);
   }
}

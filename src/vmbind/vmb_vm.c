/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * VMs and ranges; retirement; lookups and dumps.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/sync_file.h>
#include <xf86drm.h>

#include "util/u_math.h"

#include "vmb_private.h"
#include "vmb_util.h"

#define RECLAIM_WAIT_NS INT64_C(200000000)

/* Destroyed ranges that may wait to be unmapped, as long as they can be. */
#define MOST_LATE 16

#define LOW_END_B   (1ull << 32)
#define GUARD_LOW_B (1ull << 16) /* nobody gets addresses near NULL */

/* ---------------------------------------------------------------------- vm */

static void
add_zone(struct vmb_va_heap_info *info, enum vmb_va_zone zone, uint64_t start_B, uint64_t end_B)
{
   if (start_B < end_B)
      info->zones[zone] = (struct vmb_va_zone_info){ start_B, end_B - start_B, false };
}

/* The low zone is what the window has below 4 GiB, unless that is all of it; the replay zone the last
 * sixteenth of the rest. */
static int
create_heap(struct vmb_vm *vm, uint64_t start_B, uint64_t end_B)
{
   struct vmb_va_heap_info info = { .page_size_B = vm->dev->caps.page_size_B };
   const uint64_t low_B = MAX2(start_B, GUARD_LOW_B);
   vm->all_is_low = end_B <= LOW_END_B;
   const uint64_t high_B = vm->all_is_low ? low_B : MAX2(low_B, LOW_END_B);
   const uint64_t replay_B = end_B - ROUND_DOWN_TO((end_B - high_B) / 16, 1ull << 21);

   add_zone(&info, VMB_VA_ZONE_LOW, low_B, high_B);
   add_zone(&info, VMB_VA_ZONE_GENERAL, high_B, replay_B);
   add_zone(&info, VMB_VA_ZONE_REPLAY, replay_B, end_B);
   return vmb_va_heap_create(&info, &vm->heap);
}

static void
link_vm(struct vmb_vm *vm, bool created)
{
   struct vmb_device *dev = vm->dev;

   vmb_lock(&dev->vms_lock, VMB_LOCK_VMS);
   vmb_lock(&dev->bo_lock, VMB_LOCK_LEAF);
   if (created)
      list_addtail(&vm->link, &dev->vms);
   else
      list_del(&vm->link);
   vmb_unlock(&dev->bo_lock, VMB_LOCK_LEAF);
   vmb_unlock(&dev->vms_lock, VMB_LOCK_VMS);
}

int
vmb_vm_create(struct vmb_device *dev, const struct vmb_vm_params *params, struct vmb_vm **vm_out)
{
   const struct vmb_caps *caps = &dev->caps;
   const uint64_t start_B = params->window_range_B ? params->window_start_B : caps->va_start_B;
   const uint64_t range_B = params->window_range_B ? params->window_range_B : caps->va_range_B;

   if (start_B < caps->va_start_B || range_B > caps->va_range_B ||
       start_B - caps->va_start_B > caps->va_range_B - range_B) {
      vmb_log(dev, VMB_LOG_ERROR,
              "the window 0x%" PRIx64 "+0x%" PRIx64 " is not inside %s's VA range 0x%" PRIx64
              "+0x%" PRIx64,
              start_B, range_B, caps->driver, caps->va_start_B, caps->va_range_B);
      return -EINVAL;
   }
   if (vmb_device_is_lost(dev))
      return -ENODEV;

   if (p_atomic_inc_return(&dev->vm_count) > caps->max_vms) {
      vmb_log(dev, VMB_LOG_ERROR, "%s has %u VM for each open file; open the node again for another",
              caps->driver, caps->max_vms);
      p_atomic_dec(&dev->vm_count);
      return -ENOSPC;
   }

   struct vmb_vm *vm = calloc(1, sizeof(*vm));
   if (!vm) {
      p_atomic_dec(&dev->vm_count);
      return -ENOMEM;
   }
   vm->dev = dev;
   vm->id = vmb_next_id();
   vm->chunk_ops = caps->max_ops;
   mtx_init(&vm->bind_lock, mtx_plain);
   mtx_init(&vm->state_lock, mtx_plain);
   list_inithead(&vm->ranges);
   list_inithead(&vm->queues);
   list_inithead(&vm->unused_queues);
   list_inithead(&vm->batches);
   list_inithead(&vm->late);
   vmb_plan_init(&vm->plan, &(struct vmb_plan_params){
                               .ordered = params->ordered && !caps->exact_unmap,
                               .null_granule_B = caps->null_mode == VMB_NULL_BLACK_HOLE
                                                    ? caps->null_granule_B
                                                    : 0,
                               .block_size_B = caps->block_split ? 0 : caps->block_size_B,
                               .exact_unmap = caps->exact_unmap,
                            });

   const struct vmb_gpuvm_params gpuvm_params = {
      .va_start_B = caps->va_start_B,
      .va_range_B = caps->va_range_B,
      .page_size_B = caps->page_size_B,
      .weak = caps->kernel_addresses,
   };
   int ret = vmb_gpuvm_create(&gpuvm_params, &vm->gpuvm);
   if (ret)
      goto fail_free;
   ret = create_heap(vm, start_B, start_B + range_B);
   if (ret)
      goto fail_gpuvm;
   ret = dev->kmd->vm_create(dev->kdev, &vm->kvm);
   if (ret)
      goto fail_heap;
   ret = vmb_queue_create(vm, &vm->internal);
   if (ret)
      goto fail_kvm;

   link_vm(vm, true);
   vmb_trace_vm(dev->trace, vm, start_B, range_B, true);
   *vm_out = vm;
   return 0;

fail_kvm:
   dev->kmd->vm_destroy(vm->kvm);
fail_heap:
   vmb_va_heap_destroy(vm->heap);
fail_gpuvm:
   vmb_gpuvm_unref(vm->gpuvm);
fail_free:
   vmb_plan_finish(&vm->plan);
   mtx_destroy(&vm->bind_lock);
   mtx_destroy(&vm->state_lock);
   free(vm);
   p_atomic_dec(&dev->vm_count);
   return ret;
}

static int submit_raw(struct vmb_vm *vm, const struct vmb_raw_submit *raw, uint64_t *point_out);
static void free_queues(struct list_head *queues);

/* A region of the kernel's goes only as it came. */
static bool
has_regions(struct vmb_vm *vm)
{
   struct vmb_gpuvm_iter iter;
   struct vmb_mapping m;

   if (vm->dev->caps.null_mode != VMB_NULL_REGION)
      return false;
   vmb_gpuvm_iter_init(vm->gpuvm, &iter, 0, UINT64_MAX);
   while (vmb_gpuvm_iter_next(&iter, &m)) {
      if (m.flags & VMB_MAPPING_NULL)
         return true;
   }
   return false;
}

/* The kernel's VM of a file that has but one outlives ours: nothing may be left in it for the next,
 * also of ranges that could not be unbound.  False if something is. */
static bool
sweep(struct vmb_vm *vm)
{
   const struct vmb_caps *caps = &vm->dev->caps;
   const struct vmb_gpuvm_req all = {
      .map = { .addr_B = caps->va_start_B, .range_B = caps->va_range_B },
      .unmap = true,
   };
   const struct vmb_raw_submit raw = {
      .kind = VMB_TRACE_KIND_RANGE,
      .reqs = &all,
      .req_count = 1,
      .immediate = true,
   };

   if (caps->max_vms != 1 || caps->kernel_addresses || !vmb_gpuvm_mapping_count(vm->gpuvm))
      return true;
   if (!has_regions(vm) && submit_raw(vm, &raw, NULL) == 0 &&
       vmb_vm_wait_idle(vm, INT64_MAX) == 0)
      return true;
   vmb_log(vm->dev, VMB_LOG_ERROR, "%s keeps mappings of a VM that is gone: no other VM on this file",
           caps->driver);
   return false;
}

void
vmb_vm_destroy(struct vmb_vm *vm)
{
   struct vmb_device *dev = vm->dev;

   assert(list_is_empty(&vm->ranges));
   /* What is left to be unmapped goes with the VM. */
   list_for_each_entry_safe(struct vmb_range, range, &vm->late, late_link) {
      free(range->name);
      free(range);
   }
   list_inithead(&vm->late);
   vm->late_count = 0;
   vmb_vm_wait_idle(vm, INT64_MAX);
   const bool clean = sweep(vm);
   vmb_queue_destroy(vm->internal);

   vmb_lock(&vm->state_lock, VMB_LOCK_STATE);
   /* Of a lost device some may be left. */
   list_for_each_entry_safe(struct vmb_batch, batch, &vm->batches, link)
      vmb_batch_release_locked(vm, batch);
   assert(list_is_empty(&vm->queues));
   vmb_gpuvm_clear(vm->gpuvm);
   vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);
   vmb_vm_free_deferred(vm);
   free_queues(&vm->unused_queues);
   free(vm->spare_batch);

   vmb_trace_vm(dev->trace, vm, 0, 0, false);
   link_vm(vm, false);
   vmb_bo_cache_empty(dev, vm->id);
   dev->kmd->vm_destroy(vm->kvm);
   vmb_va_heap_destroy(vm->heap);
   vmb_gpuvm_unref(vm->gpuvm);
   vmb_plan_finish(&vm->plan);
   free(vm->reqs);
   free(vm->vm_bos);
   free(vm->kmd_ops);
   free(vm->back);
   free(vm->syncs);
   mtx_destroy(&vm->bind_lock);
   mtx_destroy(&vm->state_lock);
   free(vm);
   if (clean)
      p_atomic_dec(&dev->vm_count);
}

struct vmb_device *
vmb_vm_device(const struct vmb_vm *vm)
{
   return vm->dev;
}

uint32_t
vmb_vm_kernel_id(const struct vmb_vm *vm)
{
   return vm->dev->kmd->vm_id(vm->kvm);
}

int
vmb_vm_get_sync(struct vmb_vm *vm, struct vmb_sync *sync_out)
{
   int ret = 0;

   if (p_atomic_read(&vm->late_count)) {
      vmb_lock(&vm->bind_lock, VMB_LOCK_BIND);
      ret = vmb_vm_bind_late(vm);
      vmb_unlock(&vm->bind_lock, VMB_LOCK_BIND);
      vmb_vm_free_deferred(vm);
   }
   *sync_out = vmb_queue_get_sync(vm->internal);
   return ret;
}

int
vmb_range_get_sync(struct vmb_range *range, struct vmb_sync *sync_out)
{
   struct vmb_vm *vm = range->vm;

   vmb_lock(&vm->bind_lock, VMB_LOCK_BIND);
   int ret = vmb_vm_bind_late(vm);
   /* What others have still to bind is not its concern. */
   if (ret != -ENODEV && range->late == VMB_LATE_NOTHING)
      ret = range->error;
   vmb_unlock(&vm->bind_lock, VMB_LOCK_BIND);
   vmb_vm_free_deferred(vm);
   *sync_out = vmb_queue_get_sync(vm->internal);
   return ret;
}

/* -------------------------------------------------------------- retirement */

void
vmb_vm_poll_locked(struct vmb_vm *vm)
{
   list_for_each_entry(struct vmb_queue, queue, &vm->queues, link) {
      if (queue->completed == queue->submitted)
         continue;

      uint32_t syncobj = queue->syncobj;
      uint64_t point = 0;
      if (drmSyncobjQuery(vm->dev->fd, &syncobj, &point, 1))
         continue;
      if (point > queue->completed) {
         queue->completed = point;
         vmb_trace_complete(vm->dev->trace, vm->id, queue->id, point);
      }
   }
}

void
vmb_vm_retire_locked(struct vmb_vm *vm)
{
   /* In the order of submission, so that what is left of the log can always be
    * undone; a batch whose queue is slow keeps the later ones. */
   vmb_vm_poll_locked(vm);
   list_for_each_entry_safe(struct vmb_batch, batch, &vm->batches, link) {
      if (vmb_batch_is_pending(batch))
         break;
      vm->retired_serial = batch->serial;
      vmb_batch_release_locked(vm, batch);
   }
   if (list_is_empty(&vm->batches))
      vm->retired_serial = vm->serial;
   vmb_va_heap_retire(vm->heap, vm->retired_serial);
}

static void
free_queues(struct list_head *queues)
{
   list_for_each_entry_safe(struct vmb_queue, queue, queues, link) {
      list_del(&queue->link);
      vmb_queue_free(queue);
   }
}

void
vmb_vm_free_deferred(struct vmb_vm *vm)
{
   struct list_head queues;

   list_inithead(&queues);
   vmb_lock(&vm->state_lock, VMB_LOCK_STATE);
   struct vmb_gpuvm_bo *list = vmb_gpuvm_bo_take_deferred(vm->gpuvm);
   /* A thread may try to signal for as long as there is no memory for it. */
   list_for_each_entry_safe(struct vmb_queue, queue, &vm->unused_queues, link) {
      if (vmb_thread_is_idle(queue))
         list_move_to(&queue->link, &queues);
   }
   vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);
   vmb_gpuvm_bo_free_deferred(list);
   free_queues(&queues);
}

void
vmb_vm_retire(struct vmb_vm *vm)
{
   vmb_lock(&vm->state_lock, VMB_LOCK_STATE);
   vmb_vm_retire_locked(vm);
   vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);
   vmb_vm_free_deferred(vm);
}

int
vmb_vm_reclaim(struct vmb_vm *vm)
{
   struct vmb_sync own;
   const int ret = vmb_vm_get_sync(vm, &own);

   /* Not for ever: they may be queued behind binds that wait for the GPU. */
   vmb_sync_wait(vm->dev, &own, vmb_now_ns() + RECLAIM_WAIT_NS);
   vmb_vm_retire(vm);
   return ret;
}

int
vmb_vm_check_status(struct vmb_vm *vm)
{
   if (vm->dev->kmd->vm_status(vm->kvm))
      vmb_device_set_lost(vm->dev, "the kernel gave the VM up");
   return vmb_device_is_lost(vm->dev) ? -ENODEV : 0;
}

/* The latest batch that is pending.  Not just the latest: that may have completed before others.  The state lock is
 * held, and the log retired. */
static const struct vmb_batch *
last_pending_locked(const struct vmb_vm *vm)
{
   list_for_each_entry_rev(struct vmb_batch, batch, &vm->batches, link) {
      if (vmb_batch_is_pending(batch))
         return batch;
   }
   return NULL;
}

int
vmb_vm_wait_idle(struct vmb_vm *vm, int64_t abs_timeout_ns)
{
   for (;;) {
      struct vmb_queue *queue = NULL;
      struct vmb_sync sync = { 0 };

      vmb_lock(&vm->state_lock, VMB_LOCK_STATE);
      vmb_vm_retire_locked(vm);
      const struct vmb_batch *last = last_pending_locked(vm);
      if (last) {
         queue = last->queue;
         sync = (struct vmb_sync){ queue->syncobj, last->point };
         /* The queue must live while its syncobj is waited for. */
         queue->refcount++;
      }
      vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);

      int ret = 0;
      if (queue) {
         ret = vmb_sync_wait(vm->dev, &sync, abs_timeout_ns);
         vmb_lock(&vm->state_lock, VMB_LOCK_STATE);
         vmb_queue_unref(queue);
         vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);
      }
      if (ret || !queue) {
         vmb_vm_free_deferred(vm);
         return ret ? ret : vmb_vm_check_status(vm);
      }
   }
}

/* ------------------------------------------------------------------- range */

/* Submits on the VM's internal queue. */
static int
submit_raw(struct vmb_vm *vm, const struct vmb_raw_submit *raw, uint64_t *point_out)
{
   vmb_lock(&vm->bind_lock, VMB_LOCK_BIND);
   const int ret = vmb_device_is_lost(vm->dev)
                      ? -ENODEV
                      : vmb_queue_submit_raw(vm->internal, raw, point_out);
   vmb_unlock(&vm->bind_lock, VMB_LOCK_BIND);
   return ret;
}

/* One request for all of a range. */
static int
submit_own(struct vmb_range *range, const struct vmb_gpuvm_req *req)
{
   struct vmb_vm *vm = range->vm;
   const struct vmb_raw_submit raw = {
      .kind = VMB_TRACE_KIND_RANGE,
      .reqs = req,
      .req_count = 1,
      .immediate = true,
      .region = range->unbound == VMB_UNBOUND_NULL && vm->dev->caps.null_mode == VMB_NULL_REGION,
   };

   const int ret = submit_raw(vm, &raw, NULL);
   if (!ret) {
      p_atomic_inc(&vm->dev->stats.binds);
      p_atomic_add(&vm->dev->stats.bind_bytes, req->map.range_B);
   }
   return ret;
}

static int
bind_to_null(struct vmb_range *range)
{
   struct vmb_vm *vm = range->vm;
   const struct vmb_gpuvm_req req = vmb_unbind_req(range, 0, range->size_B);

   vmb_lock(&vm->bind_lock, VMB_LOCK_BIND);
   const bool later = !vmb_device_is_lost(vm->dev) && vmb_vm_binds_at_once(vm);
   if (later)
      vmb_vm_add_late(vm, range, VMB_LATE_NULL);
   vmb_unlock(&vm->bind_lock, VMB_LOCK_BIND);
   vmb_vm_free_deferred(vm);
   return later ? 0 : submit_own(range, &req);
}

/* All of it, and nothing else.  The bind lock is held. */
static bool
shows_null(const struct vmb_range *range)
{
   const uint64_t end_B = range->addr_B + range->size_B;
   uint64_t at_B = range->addr_B;
   struct vmb_gpuvm_iter iter;
   struct vmb_mapping m;

   vmb_gpuvm_iter_init(range->vm->gpuvm, &iter, at_B, end_B);
   while (vmb_gpuvm_iter_next(&iter, &m)) {
      if (m.addr_B > at_B || !(m.flags & VMB_MAPPING_NULL))
         return false;
      at_B = vmb_mapping_end_B(&m);
   }
   return at_B >= end_B;
}

/* The bind lock is held. */
static bool
shows_nothing(const struct vmb_range *range)
{
   struct vmb_gpuvm_iter iter;
   struct vmb_mapping m;

   vmb_gpuvm_iter_init(range->vm->gpuvm, &iter, range->addr_B, range->addr_B + range->size_B);
   return !vmb_gpuvm_iter_next(&iter, &m);
}

/* Whether the range, which is about to go, may be unmapped later.  The bind lock is held. */
static bool
may_stay_mapped(const struct vmb_range *range)
{
   struct vmb_vm *vm = range->vm;

   return range->unbound == VMB_UNBOUND_NULL && !vmb_device_is_lost(vm->dev) &&
          vmb_vm_binds_at_once(vm) && shows_null(range);
}

static int
unbind_all(struct vmb_range *range)
{
   const struct vmb_gpuvm_req req = {
      .map = { .addr_B = range->addr_B, .range_B = range->size_B },
      .unmap = true,
   };

   const int ret = submit_own(range, &req);
   if (ret != -ENOMEM && ret != -ENOBUFS)
      return ret;
   /* There is nobody to tell: once more, with what can be freed. */
   vmb_vm_reclaim(range->vm);
   return submit_own(range, &req);
}

/* The addresses of a range that was destroyed and shows null still, if the new one may have them. */
static bool
take_over(struct vmb_vm *vm, const struct vmb_range_params *params, struct vmb_range *range)
{
   struct vmb_range *found = NULL;

   if (!p_atomic_read(&vm->late_count) || range->unbound != VMB_UNBOUND_NULL ||
       params->fixed_addr_B || vmb_device_is_lost(vm->dev))
      return false;

   vmb_lock(&vm->bind_lock, VMB_LOCK_BIND);
   list_for_each_entry(struct vmb_range, old, &vm->late, late_link) {
      if (found || old->late != VMB_LATE_UNMAP)
         break;
      /* If the kernel ran out of memory, it may be unmapped already. */
      if (old->size_B == range->size_B && old->zone == range->zone &&
          (!params->align_B || !(old->addr_B & (params->align_B - 1))) && shows_null(old))
         found = old;
   }
   if (found)
      vmb_vm_remove_late(vm, found);
   vmb_unlock(&vm->bind_lock, VMB_LOCK_BIND);
   if (!found)
      return false;
   range->addr_B = found->addr_B;
   free(found->name);
   free(found);
   return true;
}

/* Fills in the address and the zone. */
static int
alloc_va(struct vmb_vm *vm, const struct vmb_range_params *params, struct vmb_range *range)
{
   static const enum vmb_va_zone zones[] = {
      [VMB_ZONE_GENERAL] = VMB_VA_ZONE_GENERAL,
      [VMB_ZONE_LOW] = VMB_VA_ZONE_LOW,
      [VMB_ZONE_REPLAY] = VMB_VA_ZONE_REPLAY,
   };

   if (params->fixed_addr_B) {
      /* In whichever zone it lies. */
      int ret = -EINVAL;
      for (unsigned i = 0; i < ARRAY_SIZE(zones) && ret == -EINVAL; i++) {
         ret = vmb_va_heap_alloc_at(vm->heap, zones[i], params->fixed_addr_B, range->reserved_B);
         range->zone = i;
      }
      range->addr_B = params->fixed_addr_B;
      /* Outside of the window, or where it ends: of another device. */
      return ret == -EINVAL && params->fixed_addr_B % vm->dev->caps.page_size_B == 0 ? -EADDRINUSE
                                                                                     : ret;
   }

   const bool any_is_low = params->zone == VMB_ZONE_LOW && vm->all_is_low;
   const struct vmb_va_alloc_info info = {
      .zone = any_is_low ? VMB_VA_ZONE_GENERAL : zones[params->zone],
      .size_B = range->reserved_B,
      .align_B = params->align_B,
   };
   return vmb_va_heap_alloc(vm->heap, &info, &range->addr_B);
}

static int
find_addresses(struct vmb_vm *vm, const struct vmb_range_params *params, struct vmb_range *range)
{
   vmb_lock(&vm->state_lock, VMB_LOCK_STATE);
   int ret = alloc_va(vm, params, range);
   if (ret == -ENOSPC || ret == -EADDRINUSE) {
      /* What was freed may have become free meanwhile, or is about to. */
      vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);
      const int reclaim_ret = vmb_vm_reclaim(vm);
      vmb_lock(&vm->state_lock, VMB_LOCK_STATE);
      ret = alloc_va(vm, params, range);
      /* They may be there, and only the memory to unmap what they still show is not. */
      if ((ret == -ENOSPC || ret == -EADDRINUSE) && reclaim_ret)
         ret = reclaim_ret;
   }
   vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);
   return ret;
}

/* To be called before another range can have the addresses. */
static void
unlink_range(struct vmb_range *range)
{
   struct vmb_vm *vm = range->vm;

   vmb_trace_range(vm->dev->trace, range, false);
   vmb_lock(&vm->state_lock, VMB_LOCK_STATE);
   list_del(&range->link);
   vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);
}

void
vmb_range_free(struct vmb_range *range)
{
   struct vmb_vm *vm = range->vm;

   vmb_lock(&vm->state_lock, VMB_LOCK_STATE);
   /* Every batch up to now may concern it. */
   vmb_va_heap_free_deferred(vm->heap, range->addr_B, range->reserved_B, vm->serial);
   vmb_vm_retire_locked(vm);
   vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);
   free(range->name);
   free(range);
}

int
vmb_range_create(struct vmb_vm *vm, const struct vmb_range_params *params,
                 struct vmb_range **range_out)
{
   const struct vmb_caps *caps = &vm->dev->caps;

   if (!params->size_B || params->size_B > caps->va_range_B ||
       (params->align_B & (params->align_B - 1)) || (unsigned)params->zone > VMB_ZONE_REPLAY)
      return -EINVAL;
   if (caps->kernel_addresses ||
       (params->unbound == VMB_UNBOUND_NULL && caps->null_mode == VMB_NULL_NONE))
      return -ENOTSUP;

   struct vmb_range *range = calloc(1, sizeof(*range));
   char *name = strdup(params->name ? params->name : "");
   int ret = -ENOMEM;
   if (!range || !name)
      goto fail_free;

   range->vm = vm;
   range->name = name;
   range->size_B = align64(params->size_B, caps->page_size_B);
   range->reserved_B = range->size_B;
   /* No two ranges are neighbours, or the planner would join binds over the bounds of a region. */
   if (caps->null_mode == VMB_NULL_REGION)
      range->reserved_B += caps->page_size_B;
   range->unbound = params->unbound;
   range->zone = params->zone;

   const bool shows_null_already = take_over(vm, params, range);
   if (!shows_null_already) {
      ret = find_addresses(vm, params, range);
      if (ret)
         goto fail_free;
   }
   vmb_lock(&vm->state_lock, VMB_LOCK_STATE);
   list_addtail(&range->link, &vm->ranges);
   vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);
   vmb_trace_range(vm->dev->trace, range, true);

   if (range->unbound == VMB_UNBOUND_NULL && !shows_null_already) {
      ret = bind_to_null(range);
      if (ret)
         goto fail_va;
   }
   *range_out = range;
   return 0;

fail_va:
   /* Pieces may have been bound, and taken back, behind what is pending. */
   unlink_range(range);
   vmb_range_free(range);
   return ret;
fail_free:
   free(name);
   free(range);
   return ret;
}

void
vmb_range_destroy(struct vmb_range *range)
{
   struct vmb_vm *vm = range->vm;

   vmb_lock(&vm->bind_lock, VMB_LOCK_BIND);
   if (range->late == VMB_LATE_NULL)
      vmb_vm_remove_late(vm, range);
   /* Not if the kernel ran out of memory behind some of its null mapping. */
   const bool unborn = range->unbound == VMB_UNBOUND_NULL && shows_nothing(range);
   const bool stays = !unborn && may_stay_mapped(range);
   if (stays) {
      /* If that fails there are more of them, until it does not. */
      if (vm->late_count >= MOST_LATE)
         vmb_vm_bind_late(vm);
      unlink_range(range);
      vmb_vm_add_late(vm, range, VMB_LATE_UNMAP);
   }
   vmb_unlock(&vm->bind_lock, VMB_LOCK_BIND);
   if (stays) {
      vmb_vm_free_deferred(vm);
      return;
   }

   const int ret = unborn ? 0 : unbind_all(range);
   unlink_range(range);
   if (ret) {
      /* Then the addresses stay taken: something may still be mapped there. */
      if (ret != -ENODEV)
         vmb_log(vm->dev, VMB_LOG_ERROR, "range \"%s\" could not be unbound: %s", range->name,
                 strerror(-ret));
      free(range->name);
      free(range);
      vmb_vm_retire(vm);
      return;
   }
   vmb_range_free(range);
   vmb_vm_free_deferred(vm);
}

int
vmb_range_defragment(struct vmb_range *range, uint64_t *saved_out)
{
   struct vmb_vm *vm = range->vm;
   size_t saved = 0;
   const struct vmb_gpuvm_req req = {
      .map = { .addr_B = range->addr_B, .range_B = range->size_B },
      .unmap = true,
   };
   const struct vmb_raw_submit raw = {
      .kind = VMB_TRACE_KIND_DEFRAGMENT,
      .reqs = &req,
      .req_count = 1,
      .immediate = true,
      .merged_out = &saved,
   };
   uint64_t point = 0;

   int ret = submit_raw(vm, &raw, &point);
   if (!ret && point)
      ret = vmb_queue_wait(vm->internal, point, INT64_MAX);
   if (!ret && saved_out)
      *saved_out = saved;
   return ret;
}

uint64_t
vmb_range_addr_B(const struct vmb_range *range)
{
   return range->addr_B;
}

uint64_t
vmb_range_size_B(const struct vmb_range *range)
{
   return range->size_B;
}

/* ------------------------------------------------- addresses of the kernel's */

/* With the bind lock held, so that it is recorded in the order in which it happens. */
static void
record_place(struct vmb_vm *vm, const struct vmb_bo *bo, const struct vmb_mapping *m, bool placed)
{
   const struct vmb_range range = {
      .vm = vm,
      .addr_B = m->addr_B,
      .size_B = m->range_B,
      .name = bo->name,
   };
   const struct vmb_gpuvm_req req = { .map = *m, .unmap = !placed };
   struct vmb_trace_submit submit = {
      .vm = vm->id,
      .queue = vm->internal->id,
      .asked_count = 1,
      .bind_count = 1,
      .op_count = 1,
      .ioctl_count = placed ? 1 : 0,
      .kind = VMB_TRACE_KIND_KERNEL,
   };

   if (placed)
      vmb_trace_range(vm->dev->trace, &range, true);
   vmb_trace_submit(vm->dev->trace, &submit,
                    &(struct vmb_trace_arrays){ .binds = &req, .ops = &req });
   if (!placed)
      vmb_trace_range(vm->dev->trace, &range, false);
}

static void
copy_mapping(const struct vmb_mapping *m, void *data)
{
   *(struct vmb_mapping *)data = *m;
}

/* With the bind lock held.  A BO has one address, if any. */
static void
unplace(struct vmb_vm *vm, struct vmb_bo *bo)
{
   struct vmb_mapping m = { 0 };

   vmb_lock(&vm->state_lock, VMB_LOCK_STATE);
   struct vmb_gpuvm_bo *vm_bo = vmb_gpuvm_bo_find(vm->gpuvm, &bo->obj);
   if (vm_bo) {
      vmb_gpuvm_bo_foreach(vm_bo, copy_mapping, &m);
      vmb_gpuvm_bo_unmap_all(vm_bo, NULL);
   }
   vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);
   m.vm_bo = NULL;
   if (m.range_B)
      record_place(vm, bo, &m, false);
}

/* With the bind lock held.  A shared BO loses its handle, and with it its address, some time before it goes
 * from here: the kernel may have given the address to another one meanwhile. */
static void
unplace_others(struct vmb_vm *vm, const struct vmb_bo *bo, uint64_t addr_B)
{
   for (;;) {
      struct vmb_gpuvm_iter iter;
      struct vmb_mapping m;

      vmb_lock(&vm->state_lock, VMB_LOCK_STATE);
      vmb_gpuvm_iter_init(vm->gpuvm, &iter, addr_B, addr_B + bo->size_B);
      const bool found = vmb_gpuvm_iter_next(&iter, &m) && m.vm_bo->obj != &bo->obj;
      vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);
      if (!found)
         return;
      unplace(vm, vmb_bo_from_obj(m.vm_bo->obj));
   }
}

/* With the bind lock held. */
static int
place(struct vmb_vm *vm, struct vmb_bo *bo, uint64_t addr_B)
{
   struct vmb_gpuvm_req req = { .map = { .addr_B = addr_B, .range_B = bo->size_B } };
   bool placed = false;

   unplace_others(vm, bo, addr_B);
   vmb_lock(&vm->state_lock, VMB_LOCK_STATE);
   int ret = vmb_gpuvm_bo_obtain(vm->gpuvm, &bo->obj, false, &req.map.vm_bo);
   if (ret) {
      vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);
      return ret;
   }
   if (!req.map.vm_bo->mapping_count) {
      ret = vmb_gpuvm_reserve(vm->gpuvm, &req, 1, NULL);
      if (!ret)
         vmb_gpuvm_map(vm->gpuvm, &req.map, NULL);
      placed = !ret;
   }
   vmb_gpuvm_bo_put_deferred(req.map.vm_bo);
   vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);
   if (placed)
      record_place(vm, bo, &req.map, true);
   return ret;
}

int
vmb_vm_get_bo_addr(struct vmb_vm *vm, struct vmb_bo *bo, uint64_t *addr_B_out)
{
   if (!vm->dev->caps.kernel_addresses)
      return -ENOTSUP;
   if (bo->dev != vm->dev)
      return -EINVAL;

   vmb_lock(&vm->bind_lock, VMB_LOCK_BIND);
   int ret = vm->dev->kmd->bo_address(vm->kvm, bo->handle, addr_B_out);
   if (!ret)
      ret = place(vm, bo, *addr_B_out);
   vmb_unlock(&vm->bind_lock, VMB_LOCK_BIND);
   vmb_vm_free_deferred(vm);
   return ret;
}

void
vmb_device_unplace_bo(struct vmb_device *dev, struct vmb_bo *bo)
{
   vmb_lock(&dev->vms_lock, VMB_LOCK_VMS);
   list_for_each_entry(struct vmb_vm, vm, &dev->vms, link) {
      vmb_lock(&vm->bind_lock, VMB_LOCK_BIND);
      unplace(vm, bo);
      vmb_unlock(&vm->bind_lock, VMB_LOCK_BIND);
      vmb_vm_free_deferred(vm);
   }
   vmb_unlock(&dev->vms_lock, VMB_LOCK_VMS);
}

/* ----------------------------------------------------------------- evicted */

int
vmb_device_evict_bo(struct vmb_device *dev, struct vmb_bo *bo)
{
   int ret = 0;

   vmb_lock(&dev->vms_lock, VMB_LOCK_VMS);
   list_for_each_entry(struct vmb_vm, vm, &dev->vms, link) {
      vmb_lock(&vm->state_lock, VMB_LOCK_STATE);
      struct vmb_gpuvm_bo *vm_bo = vmb_gpuvm_bo_find(vm->gpuvm, &bo->obj);
      int failed = 0;
      if (vm_bo && bo->user_ptr)
         failed = vmb_gpuvm_userptr_invalidate(vm->gpuvm, &bo->obj);
      else if (vm_bo)
         failed = vmb_gpuvm_bo_set_evicted(vm_bo, true);
      vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);
      ret = ret ? ret : failed;
   }
   vmb_unlock(&dev->vms_lock, VMB_LOCK_VMS);
   return ret;
}

/* Requests for all that is bound of an evicted BO, only counted if \p reqs is NULL: to be bound
 * anew, or to be unbound. */
static size_t
evicted_reqs(struct vmb_vm *vm, const struct vmb_gpuvm_bo *vm_bo, struct vmb_gpuvm_req *reqs)
{
   const bool again = vmb_bo_from_obj(vm_bo->obj)->user_ptr;
   size_t count = 0;

   list_for_each_entry(struct vmb_range, range, &vm->ranges, link) {
      const uint64_t end_B = range->addr_B + range->size_B;
      struct vmb_gpuvm_iter iter;
      struct vmb_mapping m;

      vmb_gpuvm_iter_init(vm->gpuvm, &iter, range->addr_B, end_B);
      while (vmb_gpuvm_iter_next(&iter, &m)) {
         if (m.vm_bo != vm_bo)
            continue;
         struct vmb_mapping piece = vmb_mapping_clip(&m, range->addr_B, end_B);
         piece.flags &= ~VMB_MAPPING_INVALIDATED;
         if (reqs && again)
            reqs[count] = (struct vmb_gpuvm_req){ .map = piece };
         else if (reqs)
            reqs[count] = vmb_unbind_req(range, piece.addr_B - range->addr_B, piece.range_B);
         count++;
      }
   }
   return count;
}

/* With the bind lock held; vm_bo is the caller's reference. */
static int
bind_evicted(struct vmb_vm *vm, struct vmb_gpuvm_bo *vm_bo)
{
   if (vmb_device_is_lost(vm->dev))
      return -ENODEV;

   vmb_lock(&vm->state_lock, VMB_LOCK_STATE);
   const size_t count = evicted_reqs(vm, vm_bo, NULL);
   struct vmb_gpuvm_req *reqs = malloc(MAX2(count, 1) * sizeof(*reqs));
   if (reqs)
      evicted_reqs(vm, vm_bo, reqs);
   vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);
   if (!reqs)
      return -ENOMEM;

   const struct vmb_raw_submit raw = { .reqs = reqs, .req_count = count, .immediate = true };
   const int ret = count ? vmb_queue_submit_raw(vm->internal, &raw, NULL) : 0;
   free(reqs);
   return ret;
}

static int
validate_one(struct vmb_vm *vm, struct vmb_gpuvm_bo *vm_bo)
{
   const uint64_t seq = vmb_gpuvm_userptr_begin(vm_bo);
   const int ret = bind_evicted(vm, vm_bo);

   vmb_lock(&vm->state_lock, VMB_LOCK_STATE);
   /* If the pages have changed once more, it is evicted still. */
   if (!ret)
      vmb_gpuvm_userptr_finish(vm_bo, seq);
   vmb_gpuvm_bo_put_deferred(vm_bo);
   vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);
   return ret;
}

int
vmb_vm_validate(struct vmb_vm *vm)
{
   int ret = 0;

   vmb_lock(&vm->bind_lock, VMB_LOCK_BIND);
   while (!ret) {
      vmb_lock(&vm->state_lock, VMB_LOCK_STATE);
      struct list_head *evicted = vmb_gpuvm_evicted(vm->gpuvm);
      struct vmb_gpuvm_bo *vm_bo =
         evicted && !list_is_empty(evicted)
            ? vmb_gpuvm_bo_get(list_first_entry(evicted, struct vmb_gpuvm_bo, evict_link))
            : NULL;
      vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);
      if (!vm_bo)
         break;
      ret = validate_one(vm, vm_bo);
   }
   vmb_unlock(&vm->bind_lock, VMB_LOCK_BIND);
   vmb_vm_free_deferred(vm);
   return ret;
}

/* ---------------------------------------------------------------- external */

/* References of the external BOs; *bos_out is the caller's to free(). */
static int
get_extobjs(struct vmb_vm *vm, struct vmb_bo ***bos_out, unsigned *count_out)
{
   unsigned count = 0;

   vmb_lock(&vm->state_lock, VMB_LOCK_STATE);
   struct list_head *extobjs = vmb_gpuvm_extobjs(vm->gpuvm);
   const unsigned all = extobjs ? vmb_gpuvm_extobj_count(vm->gpuvm) : 0;
   struct vmb_bo **bos = malloc(MAX2(all, 1) * sizeof(*bos));
   if (bos && extobjs) {
      list_for_each_entry(struct vmb_gpuvm_bo, vm_bo, extobjs, extobj_link)
         bos[count++] = vmb_bo_ref(vmb_bo_from_obj(vm_bo->obj));
   }
   vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);
   *bos_out = bos;
   *count_out = count;
   return bos ? 0 : -ENOMEM;
}

int
vmb_vm_for_each_extobj(struct vmb_vm *vm, int (*fn)(struct vmb_bo *bo, void *data), void *data)
{
   struct vmb_bo **bos;
   unsigned count;

   int ret = get_extobjs(vm, &bos, &count);
   for (unsigned i = 0; i < count; i++) {
      if (!ret)
         ret = fn(bos[i], data);
      vmb_bo_unref(bos[i]);
   }
   free(bos);
   return ret;
}

/* Joins the sync file to *data, which may be none. */
static int
merge_sync_file(struct vmb_bo *bo, void *data)
{
   int *all = data, fd;

   if (!p_atomic_read(&bo->shared))
      return 0;
   int ret = vmb_bo_export_sync_file(bo, true, &fd);
   if (ret)
      return ret;
   if (*all < 0) {
      *all = fd;
      return 0;
   }
   struct sync_merge_data merge = { .name = "vmbind", .fd2 = fd };
   if (drmIoctl(*all, SYNC_IOC_MERGE, &merge)) {
      ret = -errno;
   } else {
      close(*all);
      *all = merge.fence;
   }
   close(fd);
   return ret;
}

int
vmb_vm_get_implicit_sync(struct vmb_vm *vm, uint32_t syncobj)
{
   const int drm_fd = vm->dev->fd;
   int fd = -1;

   int ret = vmb_vm_for_each_extobj(vm, merge_sync_file, &fd);
   if (!ret && fd < 0)
      return drmSyncobjSignal(drm_fd, &syncobj, 1) ? -errno : 0;
   if (!ret && drmSyncobjImportSyncFile(drm_fd, syncobj, fd))
      ret = -errno;
   if (fd >= 0)
      close(fd);
   return ret;
}

static int
add_sync_file(struct vmb_bo *bo, void *data)
{
   const int *fd = data;

   return p_atomic_read(&bo->shared) ? vmb_bo_import_sync_file(bo, true, *fd) : 0;
}

int
vmb_vm_add_implicit_sync(struct vmb_vm *vm, uint32_t syncobj)
{
   int fd;

   if (drmSyncobjExportSyncFile(vm->dev->fd, syncobj, &fd))
      return -errno;
   const int ret = vmb_vm_for_each_extobj(vm, add_sync_file, &fd);
   close(fd);
   return ret;
}

/* -------------------------------------------------------------------- seen */

static struct vmb_vm_mapping
to_vm_mapping(const struct vmb_mapping *m)
{
   const struct vmb_bo *bo = m->vm_bo ? vmb_bo_from_obj(m->vm_bo->obj) : NULL;

   return (struct vmb_vm_mapping){
      .addr_B = m->addr_B,
      .range_B = m->range_B,
      .bo_offset_B = m->offset_B,
      .bo_id = bo ? bo->id : 0,
      .bo_handle = bo ? bo->handle : 0,
      .flags = m->flags,
   };
}

static int
copy_mappings(struct vmb_gpuvm *gpuvm, uint64_t addr_B, uint64_t end_B,
              struct vmb_vm_mapping **maps_out, size_t *count_out)
{
   struct vmb_gpuvm_iter iter;
   struct vmb_mapping m;
   size_t count = 0;

   vmb_gpuvm_iter_init(gpuvm, &iter, addr_B, end_B);
   while (vmb_gpuvm_iter_next(&iter, &m))
      count++;
   struct vmb_vm_mapping *maps = malloc(MAX2(count, 1) * sizeof(*maps));
   if (!maps)
      return -ENOMEM;
   count = 0;
   vmb_gpuvm_iter_init(gpuvm, &iter, addr_B, end_B);
   while (vmb_gpuvm_iter_next(&iter, &m))
      maps[count++] = to_vm_mapping(&m);
   *maps_out = maps;
   *count_out = count;
   return 0;
}

/* A copy of the mirror from which all pending batches were taken back, newest
 * first, and those that have completed applied again.  The state lock is held. */
static int
snapshot_completed(struct vmb_vm *vm, struct vmb_gpuvm **snapshot_out)
{
   struct vmb_gpuvm *copy;

   vmb_vm_poll_locked(vm);
   int ret = vmb_gpuvm_snapshot(vm->gpuvm, &copy);
   if (ret)
      return ret;

   list_for_each_entry_rev(struct vmb_batch, batch, &vm->batches, link) {
      for (uint32_t i = batch->op_count; i-- > 0;) {
         const size_t start = batch->starts[i], count = batch->starts[i + 1] - start;

         ret = vmb_gpuvm_reserve_undo(copy, count);
         if (ret)
            goto fail;
         vmb_gpuvm_undo(copy, batch->ops[i].map.addr_B, batch->ops[i].map.range_B,
                        batch->replaced.mappings + start, count);
      }
   }
   list_for_each_entry(struct vmb_batch, batch, &vm->batches, link) {
      if (vmb_batch_is_pending(batch))
         continue;
      ret = vmb_gpuvm_reserve(copy, batch->ops, batch->op_count, NULL);
      if (ret)
         goto fail;
      for (uint32_t i = 0; i < batch->op_count; i++) {
         const struct vmb_mapping *m = &batch->ops[i].map;

         if (batch->ops[i].unmap)
            vmb_gpuvm_unmap(copy, m->addr_B, m->range_B, NULL);
         else
            vmb_gpuvm_map(copy, m, NULL);
      }
   }
   *snapshot_out = copy;
   return 0;

fail:
   vmb_gpuvm_clear(copy);
   vmb_gpuvm_unref(copy);
   return ret;
}

static int
get_mappings_locked(struct vmb_vm *vm, enum vmb_state state, uint64_t addr_B, uint64_t end_B,
                    struct vmb_vm_mapping **maps_out, size_t *count_out)
{
   if (state == VMB_STATE_SUBMITTED)
      return copy_mappings(vm->gpuvm, addr_B, end_B, maps_out, count_out);

   struct vmb_gpuvm *copy;
   int ret = snapshot_completed(vm, &copy);
   if (ret)
      return ret;
   ret = copy_mappings(copy, addr_B, end_B, maps_out, count_out);
   vmb_gpuvm_clear(copy);
   vmb_gpuvm_unref(copy);
   return ret;
}

int
vmb_vm_get_mappings(struct vmb_vm *vm, enum vmb_state state, uint64_t addr_B, uint64_t end_B,
                    struct vmb_vm_mapping **maps_out, size_t *count_out)
{
   vmb_lock(&vm->state_lock, VMB_LOCK_STATE);
   const int ret = get_mappings_locked(vm, state, addr_B, end_B, maps_out, count_out);
   vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);
   return ret;
}

static bool
is_pending_locked(const struct vmb_vm *vm, uint64_t addr_B)
{
   list_for_each_entry(struct vmb_batch, batch, &vm->batches, link) {
      if (!vmb_batch_is_pending(batch))
         continue;
      for (uint32_t i = 0; i < batch->op_count; i++) {
         if (addr_B - batch->ops[i].map.addr_B < batch->ops[i].map.range_B)
            return true;
      }
   }
   return false;
}

void
vmb_vm_who_is(struct vmb_vm *vm, uint64_t addr_B, struct vmb_who *who)
{
   struct vmb_mapping m;
   struct vmb_vm_mapping *maps;
   size_t count;

   *who = (struct vmb_who){ 0 };
   vmb_lock(&vm->state_lock, VMB_LOCK_STATE);
   list_for_each_entry(struct vmb_range, range, &vm->ranges, link) {
      if (addr_B - range->addr_B < range->size_B) {
         who->in_range = true;
         snprintf(who->range_name, sizeof(who->range_name), "%s", range->name);
         who->range_addr_B = range->addr_B;
         who->range_size_B = range->size_B;
      }
   }
   who->mapped = vmb_gpuvm_find(vm->gpuvm, addr_B, &m);
   if (who->mapped) {
      who->mapping = to_vm_mapping(&m);
      if (m.vm_bo)
         snprintf(who->bo_name, sizeof(who->bo_name), "%s", vmb_bo_from_obj(m.vm_bo->obj)->name);
   }
   vmb_vm_poll_locked(vm);
   who->pending = is_pending_locked(vm, addr_B);
   if (who->pending && get_mappings_locked(vm, VMB_STATE_COMPLETED, addr_B, addr_B + 1, &maps,
                                           &count) == 0) {
      who->completed_mapped = count > 0;
      if (count)
         who->completed = maps[0];
      free(maps);
   }
   vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);
}

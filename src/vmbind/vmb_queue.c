/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Bind queues: from the binds of a submit to ioctls, and from a completed point
 * to what it kept.
 *
 * A submit goes through
 *
 *    check      binds -> requests; nothing invalid gets past here
 *    plan       requests -> operations, against the mirror
 *    prepare    nodes, records, arrays, references: everything that can fail
 *    send       operations -> ioctls
 *    commit     the mirror follows what the kernel now holds; cannot fail
 *
 * all under the VM's bind lock, so that the mirror's order is the kernel's.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xf86drm.h>

#include "vmb_private.h"
#include "vmb_util.h"

/* After the last one, a quarter of a second has passed. */
#define BACK_TRIES 8

/* ------------------------------------------------------------------- queue */

int
vmb_queue_create(struct vmb_vm *vm, struct vmb_queue **queue_out)
{
   struct vmb_queue *queue = calloc(1, sizeof(*queue));
   if (!queue)
      return -ENOMEM;

   queue->vm = vm;
   queue->refcount = 1;
   /* As long as it has no point, it is a binary syncobj that can be waited for. */
   if (drmSyncobjCreate(vm->dev->fd, DRM_SYNCOBJ_CREATE_SIGNALED, &queue->syncobj)) {
      const int ret = -errno;
      free(queue);
      return ret;
   }
   const int ret = vm->dev->kmd->queue_create(vm->kvm, &queue->kqueue);
   if (ret) {
      drmSyncobjDestroy(vm->dev->fd, queue->syncobj);
      free(queue);
      return ret;
   }
   vmb_lock(&vm->state_lock, VMB_LOCK_STATE);
   queue->id = vm->next_queue_id++;
   list_addtail(&queue->link, &vm->queues);
   vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);
   *queue_out = queue;
   return 0;
}

void
vmb_queue_unref(struct vmb_queue *queue)
{
   if (--queue->refcount)
      return;
   list_del(&queue->link);
   list_addtail(&queue->link, &queue->vm->unused_queues);
}

void
vmb_queue_free(struct vmb_queue *queue)
{
   vmb_thread_stop(queue);
   queue->vm->dev->kmd->queue_destroy(queue->vm->kvm, queue->kqueue);
   drmSyncobjDestroy(queue->vm->dev->fd, queue->syncobj);
   free(queue);
}

void
vmb_queue_destroy(struct vmb_queue *queue)
{
   struct vmb_vm *vm = queue->vm;

   vmb_lock(&vm->state_lock, VMB_LOCK_STATE);
   vmb_vm_retire_locked(vm);
   vmb_queue_unref(queue);
   vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);
   vmb_vm_free_deferred(vm);
}

struct vmb_sync
vmb_queue_get_sync(const struct vmb_queue *queue)
{
   return (struct vmb_sync){ queue->syncobj, p_atomic_read(&queue->submitted) };
}

int
vmb_sync_wait(struct vmb_device *dev, const struct vmb_sync *sync, int64_t abs_timeout_ns)
{
   uint32_t syncobj = sync->syncobj;
   uint64_t point = sync->point;

   if (!point)
      return 0;
   /* With VMB_SYNC_THREAD there may be no fence yet. */
   if (drmSyncobjTimelineWait(dev->fd, &syncobj, &point, 1, abs_timeout_ns,
                              DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT, NULL) == 0)
      return 0;
   const int ret = -errno;
   /* Of an unplugged device every ioctl says so. */
   if (ret == -ENODEV)
      vmb_device_set_lost(dev, "the device is gone");
   return ret;
}

int
vmb_queue_wait(struct vmb_queue *queue, uint64_t point, int64_t abs_timeout_ns)
{
   struct vmb_vm *vm = queue->vm;
   struct vmb_sync sync = vmb_queue_get_sync(queue);

   if (point > sync.point)
      return -EINVAL;
   if (point)
      sync.point = point;
   const int ret = vmb_sync_wait(vm->dev, &sync, abs_timeout_ns);
   if (ret)
      return ret;
   vmb_vm_retire(vm);
   return vmb_vm_check_status(vm);
}

/* ------------------------------------------------------------------- check */

/* Says what is wrong with what a bind names, or NULL. */
static const char *
object_fault(const struct vmb_vm *vm, const struct vmb_bind *bind)
{
   if (!bind->range || bind->range->vm != vm)
      return "a range of another VM";
   if (!bind->bo)
      return NULL;
   if (bind->bo->dev != vm->dev)
      return "a BO of another device";
   if (bind->bo->vm_id && bind->bo->vm_id != vm->id)
      return "a BO that is private to another VM";
   if (p_atomic_read(&bind->bo->purge) != VMB_BO_NEEDED)
      return "a BO whose pages the kernel may take";
   return NULL;
}

/* Says what is wrong with how it names them, or NULL. */
static const char *
extent_fault(const struct vmb_vm *vm, const struct vmb_bind *bind)
{
   const uint64_t mask = vm->dev->caps.page_size_B - 1;
   const uint16_t allowed = VMB_MAPPING_READONLY | VMB_MAPPING_NOEXEC | VMB_MAPPING_UNCACHED |
                            VMB_MAPPING_DUMP;

   if (!bind->size_B || ((bind->offset_B | bind->size_B) & mask))
      return "offset or size is no multiple of the page size";
   if (bind->offset_B > bind->range->size_B ||
       bind->size_B > bind->range->size_B - bind->offset_B)
      return "outside of its range";
   if (bind->flags & ~allowed)
      return "unknown flags";
   if (!bind->bo)
      return NULL;
   if (bind->bo_offset_B & mask)
      return "BO offset is no multiple of the page size";
   if (bind->bo_offset_B > bind->bo->size_B ||
       bind->size_B > bind->bo->size_B - bind->bo_offset_B)
      return "outside of its BO";
   return NULL;
}

struct vmb_gpuvm_req
vmb_unbind_req(const struct vmb_range *range, uint64_t offset_B, uint64_t size_B)
{
   const bool null = range->unbound == VMB_UNBOUND_NULL;

   return (struct vmb_gpuvm_req){
      .map = {
         .addr_B = range->addr_B + offset_B,
         .range_B = size_B,
         .flags = null ? VMB_MAPPING_NULL : 0,
      },
      .unmap = !null,
   };
}

/* The binds of one size that continue each other in the list, from the first one on, are as good as it is: what
 * was found right of that one needs no other look.  Returns their number.  Of long lists this loop is most of
 * what a bind costs. */
static uint32_t
join(const struct vmb_bind *first, uint32_t count)
{
   const struct vmb_bind f = *first;

   /* Most often the second one tells: then nothing is divided. */
   if (count == 1 || first[1].offset_B != f.offset_B + f.size_B || first[1].bo != f.bo ||
       (f.bo && first[1].bo_offset_B != f.bo_offset_B + f.size_B))
      return 1;

   const uint64_t range_room_B = f.range->size_B - f.offset_B;
   const uint64_t bo_room_B = f.bo ? f.bo->size_B - f.bo_offset_B : UINT64_MAX;
   const uint64_t most = MIN3(range_room_B / f.size_B, bo_room_B / f.size_B, count);
   /* Of an unbind the BO's offset means nothing. */
   const uint64_t bo_mask = f.bo ? UINT64_MAX : 0;
   const uint64_t bo_step_B = f.size_B & bo_mask;
   uint64_t offset_B = f.offset_B, bo_offset_B = f.bo_offset_B & bo_mask;
   const struct vmb_bind *bind = first;

   for (const struct vmb_bind *end = first + most; ++bind != end;) {
      /* All read before any is compared, so that one branch is enough. */
      const struct vmb_bind b = *bind;

      offset_B += f.size_B;
      bo_offset_B += bo_step_B;
      if (b.range != f.range || b.offset_B != offset_B || b.size_B != f.size_B || b.bo != f.bo ||
          (b.bo_offset_B & bo_mask) != bo_offset_B || b.flags != f.flags)
         break;
   }
   return bind - first;
}

struct built {
   /* Requests: those that continue each other in the list are one. */
   size_t req_count;
   /* References in vm->vm_bos. */
   size_t vm_bo_count;
   uint64_t bytes;
};

static int
make_room_for_reqs(struct vmb_vm *vm, size_t count)
{
   if (count <= vm->req_capacity)
      return 0;

   size_t capacity = vm->req_capacity;
   int ret = vmb_grow((void **)&vm->reqs, &capacity, count, sizeof(*vm->reqs));
   if (ret)
      return ret;
   capacity = vm->req_capacity;
   ret = vmb_grow((void **)&vm->vm_bos, &capacity, count, sizeof(*vm->vm_bos));
   if (ret)
      return ret;
   vm->req_capacity = capacity;
   return 0;
}

static struct vmb_gpuvm_req
late_req(const struct vmb_range *range)
{
   struct vmb_gpuvm_req req = vmb_unbind_req(range, 0, range->size_B);

   if (range->late == VMB_LATE_UNMAP) {
      req.map.flags = 0;
      req.unmap = true;
   }
   return req;
}

/* Puts the late requests of ranges first.  The bind lock is held. */
static int
build_late_reqs(struct vmb_vm *vm, struct built *built)
{
   const int ret = make_room_for_reqs(vm, vm->late_count);
   if (ret)
      return ret;

   list_for_each_entry(struct vmb_range, range, &vm->late, late_link)
      vm->reqs[built->req_count++] = late_req(range);
   return 0;
}

/* Fills vm->reqs behind what is there, and vm->vm_bos with the references that it took.  The bind lock is
 * held. */
static int
build_reqs(struct vmb_vm *vm, const struct vmb_bind *binds, uint32_t count, struct built *built)
{
   const struct vmb_range *last_range = NULL;
   const struct vmb_bo *last_bo = NULL;
   struct vmb_gpuvm_bo *vm_bo = NULL;

   const int ret = make_room_for_reqs(vm, built->req_count + count);
   if (ret)
      return ret;

   for (uint32_t i = 0, joined = 1; i < count; i += joined) {
      const struct vmb_bind *bind = &binds[i];
      const char *fault = NULL;

      /* Many name the same. */
      if (!last_range || bind->range != last_range || (bind->bo && bind->bo != last_bo))
         fault = object_fault(vm, bind);
      if (likely(!fault))
         fault = extent_fault(vm, bind);
      if (unlikely(fault)) {
         vmb_log(vm->dev, VMB_LOG_ERROR,
                 "bind %u of %u refused: %s (offset 0x%" PRIx64 ", size 0x%" PRIx64
                 ", range of 0x%" PRIx64 ", BO offset 0x%" PRIx64 ")",
                 i, count, fault, bind->offset_B, bind->size_B,
                 bind->range ? bind->range->size_B : 0, bind->bo_offset_B);
         return -EINVAL;
      }
      if (unlikely(bind->range->error))
         return bind->range->error;
      last_range = bind->range;
      if (!vm->plan.params.ordered)
         joined = join(bind, count - i);
      const uint64_t size_B = joined * bind->size_B;
      built->bytes += size_B;
      if (!bind->bo) {
         vm->reqs[built->req_count++] = vmb_unbind_req(bind->range, bind->offset_B, size_B);
         continue;
      }
      if (bind->bo != last_bo) {
         /* Only its holder changes the set of vm_bos, but readers look at it. */
         vmb_lock(&vm->state_lock, VMB_LOCK_STATE);
         const int ret =
            vmb_gpuvm_bo_obtain(vm->gpuvm, &bind->bo->obj, !bind->bo->vm_id, &vm_bo);
         vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);
         if (ret)
            return ret;
         vm->vm_bos[built->vm_bo_count++] = vm_bo;
         last_bo = bind->bo;
      }
      vm->reqs[built->req_count++] = (struct vmb_gpuvm_req){
         .map = {
            .addr_B = bind->range->addr_B + bind->offset_B,
            .range_B = size_B,
            .vm_bo = vm_bo,
            .offset_B = bind->bo_offset_B,
            .flags = bind->flags | (bind->bo->user_ptr ? VMB_MAPPING_USERPTR : 0),
         },
      };
   }
   return 0;
}

/* ----------------------------------------------------------------- prepare */

/* Where the kernel does not order binds of different queues, a batch waits for
 * those of other queues that touch its addresses: also for those that make it
 * needless to bind them again. */
static int
add_dependencies(struct vmb_queue *queue, uint32_t *wait_count)
{
   struct vmb_vm *vm = queue->vm;
   int ret = 0;

   if (vm->dev->caps.fifo_per_vm || !vm->plan.net_count)
      return 0;

   vmb_lock(&vm->state_lock, VMB_LOCK_STATE);
   /* Those of one queue may be many. */
   uint32_t others = vm->batch_count - queue->batch_count;
   list_for_each_entry(struct vmb_batch, batch, &vm->batches, link) {
      if (others == 0)
         break;
      others -= batch->queue != queue;
      if (batch->queue == queue || !vmb_batch_is_pending(batch) ||
          !vmb_batch_overlaps(batch, vm->plan.net, vm->plan.net_count))
         continue;
      /* Its syncobj must live until the ioctl has looked it up. */
      if (!batch->queue->awaited) {
         batch->queue->awaited = true;
         batch->queue->refcount++;
      }
      /* Later points of a queue cover earlier ones. */
      struct vmb_kmd_sync *same = NULL;
      for (uint32_t i = 0; i < *wait_count; i++) {
         if (vm->syncs[i].syncobj == batch->queue->syncobj)
            same = &vm->syncs[i];
      }
      if (same) {
         same->point = MAX2(same->point, batch->point);
         continue;
      }
      ret = vmb_grow((void **)&vm->syncs, &vm->sync_capacity, *wait_count + 1, sizeof(*vm->syncs));
      if (ret)
         break;
      vm->syncs[(*wait_count)++] = (struct vmb_kmd_sync){ batch->queue->syncobj, batch->point };
   }
   vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);
   return ret;
}

static void
release_dependencies(struct vmb_vm *vm)
{
   if (vm->dev->caps.fifo_per_vm)
      return;

   vmb_lock(&vm->state_lock, VMB_LOCK_STATE);
   list_for_each_entry_safe(struct vmb_queue, queue, &vm->queues, link) {
      if (queue->awaited) {
         queue->awaited = false;
         vmb_queue_unref(queue);
      }
   }
   vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);
}

/* -------------------------------------------------------------------- send */

static struct vmb_kmd_op
to_kmd_op(const struct vmb_gpuvm_req *req, bool region)
{
   const struct vmb_mapping *m = &req->map;
   const struct vmb_bo *bo = m->vm_bo ? vmb_bo_from_obj(m->vm_bo->obj) : NULL;
   const enum vmb_kmd_op_type unmap = region ? VMB_KMD_REGION_DESTROY : VMB_KMD_UNMAP;
   const enum vmb_kmd_op_type null = region ? VMB_KMD_REGION_CREATE : VMB_KMD_MAP_NULL;

   return (struct vmb_kmd_op){
      .type = req->unmap                      ? unmap
              : (m->flags & VMB_MAPPING_NULL) ? null
                                              : VMB_KMD_MAP,
      .addr_B = m->addr_B,
      .range_B = m->range_B,
      .bo_offset_B = m->offset_B,
      .bo_handle = bo ? bo->handle : 0,
      .user_addr = bo && bo->user_ptr ? (uintptr_t)bo->user_ptr + m->offset_B : 0,
      .flags = m->flags,
   };
}

struct send {
   struct vmb_queue *queue;
   const struct vmb_gpuvm_req *ops;
   uint32_t op_count;
   /* What is left to be sent. */
   const struct vmb_kmd_sync *waits;
   uint32_t wait_count;
   const struct vmb_kmd_sync *signals;
   uint32_t signal_count;
   bool immediate;
   bool region;
   /* If not NULL, where the thread's job goes that does it all later. */
   struct vmb_thread_job **job_out;

   /* Results. */
   uint32_t applied;
   uint32_t ioctls;
};

/* Sends operations [first, first + count) with so many of the syncs that are left. */
static int
send_ioctl(struct send *send, uint32_t first, uint32_t count, uint32_t waits, uint32_t signals)
{
   struct vmb_vm *vm = send->queue->vm;
   const struct vmb_kmd_bind bind = {
      .queue = send->queue->kqueue,
      .ops = vm->kmd_ops + first,
      .op_count = count,
      .waits = send->waits,
      .wait_count = waits,
      .signals = send->signals,
      .signal_count = signals,
   };

   send->ioctls++;
   const int ret = vm->dev->kmd->bind(vm->kvm, &bind);
   if (ret)
      return ret;
   send->applied += count;
   send->waits += waits;
   send->wait_count -= waits;
   send->signals += signals;
   send->signal_count -= signals;
   return 0;
}

/* Sends operations [first, first + count): the first ones wait, the last ones signal. */
static int
send_chunk(struct send *send, uint32_t first, uint32_t count)
{
   struct vmb_vm *vm = send->queue->vm;
   const bool is_last = first + count == send->op_count;

   if (send->immediate) {
      uint32_t applied = 0;

      send->ioctls++;
      const int ret =
         vm->dev->kmd->bind_immediate(vm->kvm, vm->kmd_ops + first, count, &applied);
      send->applied += ret ? applied : count;
      return ret;
   }

   const uint32_t room = vm->dev->caps.max_syncs - send->wait_count;
   return send_ioctl(send, first, count, send->wait_count,
                     is_last ? MIN2(send->signal_count, room) : 0);
}

static bool
is_shortage(int ret)
{
   return ret == -ENOMEM || ret == -ENOBUFS;
}

/* Only waits, or only signals, until \p keep of them are left. */
static int
send_syncs(struct send *send, bool waits, uint32_t keep)
{
   struct vmb_device *dev = send->queue->vm->dev;
   const uint32_t *left = waits ? &send->wait_count : &send->signal_count;
   uint32_t most = dev->caps.max_syncs;

   while (*left > keep) {
      const uint32_t count = MIN2(*left - keep, most);
      const int ret = send_ioctl(send, 0, 0, waits ? count : 0, waits ? 0 : count);

      if (!ret)
         continue;
      if (!is_shortage(ret) || count == 1)
         return ret;
      most = count / 2;
      p_atomic_inc(&dev->stats.retried);
   }
   return 0;
}

/* What is ours to signal, once there is no way back any more: what is wrong with it must be known
 * before. */
static int
check_syncobjs(const struct vmb_device *dev, const struct vmb_kmd_sync *signals, uint32_t count)
{
   if (!count)
      return 0;

   uint32_t *handles = malloc(count * sizeof(*handles));
   uint64_t *points = malloc(count * sizeof(*points));
   int ret = handles && points ? 0 : -ENOMEM;
   if (!ret) {
      for (uint32_t i = 0; i < count; i++)
         handles[i] = signals[i].syncobj;
      if (drmSyncobjQuery(dev->fd, handles, points, count))
         ret = -errno;
   }
   free(handles);
   free(points);
   return ret;
}

/* Signals that do not fit beside the operations come behind them, as do those that are ours. */
static int
check_signals(const struct send *send)
{
   const struct vmb_device *dev = send->queue->vm->dev;
   const bool ours = send->immediate || dev->caps.sync_mode == VMB_SYNC_THREAD;
   const uint64_t count = (uint64_t)send->wait_count + send->signal_count;

   /* The first one is the queue's. */
   return ours || count > dev->caps.max_syncs
             ? check_syncobjs(dev, send->signals + 1, send->signal_count - 1)
             : 0;
}

/* Cut into ioctls, halved when the kernel has no memory. */
static int
send_chunks(struct send *send)
{
   struct vmb_vm *vm = send->queue->vm;
   const uint32_t ioctls = send->ioctls;
   bool retried = false;

   while (send->applied < send->op_count) {
      const uint32_t before = send->applied;
      const uint32_t count = MIN2(send->op_count - before, vm->chunk_ops);
      const int ret = send_chunk(send, before, count);

      if (!ret)
         continue;
      if (!is_shortage(ret) || count == 1 || send->applied != before)
         return ret;
      vm->chunk_ops = count / 2;
      retried = true;
      p_atomic_inc(&vm->dev->stats.retried);
   }
   if (send->ioctls - ioctls > 1)
      p_atomic_inc(&vm->dev->stats.chunked);
   if (vm->chunk_ops < vm->dev->caps.max_ops && !retried)
      vm->chunk_ops = MIN2(vm->chunk_ops * 2, vm->dev->caps.max_ops);
   return 0;
}

static int
send_immediate(struct send *send)
{
   struct vmb_vm *vm = send->queue->vm;
   const int ret = send_chunks(send);

   /* What cannot be waited for is not known to be there. */
   if (send->applied && vm->dev->kmd->bind_wait && vm->dev->kmd->bind_wait(vm->kvm))
      return -ENODEV;
   return ret;
}

static int
send_to_thread(struct send *send)
{
   const struct vmb_kmd_bind bind = {
      .ops = send->queue->vm->kmd_ops,
      .op_count = send->op_count,
      .waits = send->waits,
      .wait_count = send->wait_count,
      .signals = send->signals,
      .signal_count = send->signal_count,
   };
   const int ret = vmb_thread_prepare(send->queue, &bind, send->job_out);

   if (!ret)
      send->applied = send->op_count;
   return ret;
}

/* The kernel's binds of a queue are FIFO, so what comes first waits and what comes last signals;
 * syncs that one ioctl does not take go into ioctls of their own before and behind. */
static int
send_ops(struct send *send)
{
   struct vmb_vm *vm = send->queue->vm;

   assert(send->op_count <= vm->kmd_op_capacity);
   for (uint32_t i = 0; i < send->op_count; i++)
      vm->kmd_ops[i] = to_kmd_op(&send->ops[i], send->region);

   int ret = check_signals(send);
   if (ret)
      return ret;
   if (send->immediate)
      return send_immediate(send);
   if (send->job_out)
      return send_to_thread(send);

   /* One place is for our own signal, the first one. */
   ret = send_syncs(send, true, vm->dev->caps.max_syncs - 1);
   if (!ret)
      ret = send->op_count ? send_chunks(send) : send_chunk(send, 0, 0);
   if (ret)
      return ret;
   return send_syncs(send, false, 0) ? -ENODEV : 0;
}

/* ------------------------------------------------------------------ commit */

/* The mirror follows; the records are for undoing and for keeping BOs alive.
 * The state lock is held. */
static void
apply_to_mirror(struct vmb_vm *vm, struct vmb_batch *batch, const struct vmb_gpuvm_req *ops,
                uint32_t count)
{
   for (uint32_t i = 0; i < count; i++) {
      batch->starts[batch->op_count] = batch->replaced.count;
      batch->ops[batch->op_count++] = ops[i];
      if (ops[i].unmap)
         vmb_gpuvm_unmap(vm->gpuvm, ops[i].map.addr_B, ops[i].map.range_B, &batch->replaced);
      else
         vmb_gpuvm_map(vm->gpuvm, &ops[i].map, &batch->replaced);
   }
   batch->starts[batch->op_count] = batch->replaced.count;
}

/* Takes the batch over. */
static void
commit(struct vmb_queue *queue, struct vmb_batch *batch, const struct vmb_gpuvm_req *ops,
       uint32_t count, uint64_t point)
{
   struct vmb_vm *vm = queue->vm;

   vmb_lock(&vm->state_lock, VMB_LOCK_STATE);
   apply_to_mirror(vm, batch, ops, count);
   batch->queue = queue;
   batch->point = point;
   batch->serial = ++vm->serial;
   queue->refcount++;
   list_addtail(&batch->link, &vm->batches);
   vm->batch_count++;
   queue->batch_count++;
   p_atomic_set(&queue->submitted, MAX2(queue->submitted, point));
   vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);
}

/* The same for what has completed already, with nothing pending: nobody will take it back, so it leaves no
 * records, and what was replaced is let go. */
static void
commit_done(struct vmb_vm *vm, const struct vmb_gpuvm_req *ops, uint32_t count)
{
   vmb_lock(&vm->state_lock, VMB_LOCK_STATE);
   for (uint32_t i = 0; i < count; i++) {
      if (ops[i].unmap)
         vmb_gpuvm_unmap(vm->gpuvm, ops[i].map.addr_B, ops[i].map.range_B, NULL);
      else
         vmb_gpuvm_map(vm->gpuvm, &ops[i].map, NULL);
   }
   vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);
}

static void
count_ops(struct vmb_device *dev, const struct vmb_gpuvm_req *ops, uint32_t count)
{
   uint64_t maps = 0, unmaps = 0, nulls = 0;

   for (uint32_t i = 0; i < count; i++) {
      if (ops[i].unmap)
         unmaps++;
      else if (ops[i].map.flags & VMB_MAPPING_NULL)
         nulls++;
      else
         maps++;
   }
   p_atomic_add(&dev->stats.ops_map, maps);
   p_atomic_add(&dev->stats.ops_unmap, unmaps);
   p_atomic_add(&dev->stats.ops_null, nulls);
}

/* ---------------------------------------------------------------- rollback */

/* What brings the range of an applied operation back to what it was: an unmap,
 * unless what was there covers all of it, and then what was there. */
static size_t
inverse_of(struct vmb_gpuvm *gpuvm, const struct vmb_gpuvm_req *op, struct vmb_gpuvm_req *out)
{
   const uint64_t addr_B = op->map.addr_B, end_B = vmb_mapping_end_B(&op->map);
   struct vmb_gpuvm_iter iter;
   struct vmb_mapping old;
   uint64_t covered_B = 0;
   size_t count = 1;

   out[0] = (struct vmb_gpuvm_req){
      .map = { .addr_B = addr_B, .range_B = end_B - addr_B },
      .unmap = true,
   };
   vmb_gpuvm_iter_init(gpuvm, &iter, addr_B, end_B);
   while (vmb_gpuvm_iter_next(&iter, &old)) {
      const struct vmb_mapping piece = vmb_mapping_clip(&old, addr_B, end_B);

      covered_B += piece.range_B;
      out[count++] = (struct vmb_gpuvm_req){ .map = piece };
   }
   /* Nothing but the old mappings: mapping them is enough. */
   if (covered_B == end_B - addr_B)
      memmove(out, out + 1, --count * sizeof(*out));
   return count;
}

/* The kernel may be short of memory here as well; the way back is worth some patience. */
static int
send_back(struct send *send)
{
   int ret = send_ops(send);

   for (unsigned i = 0; is_shortage(ret) && i < BACK_TRIES; i++) {
      vmb_bo_cache_empty(send->queue->vm->dev, 0);
      usleep(1000 << i);
      ret = send_ops(send);
   }
   return ret;
}

/* Everything that a batch needs after its first operation was sent: a record of it, if it is to leave one
 * (else *batch_out is NULL), and, if it may be applied in part, of what takes it back.  One operation is
 * applied or not. */
static int
prepare_batch(struct vmb_vm *vm, bool records, struct vmb_batch **batch_out)
{
   const struct vmb_plan *plan = &vm->plan;
   const bool both_ways = plan->op_count > 1;
   size_t replaced = 0, ops = plan->op_count;

   int ret = both_ways
                ? vmb_gpuvm_reserve_both_ways(vm->gpuvm, plan->ops, plan->op_count, &replaced)
                : vmb_gpuvm_reserve(vm->gpuvm, plan->ops, plan->op_count, &replaced);
   if (ret)
      return ret;

   if (both_ways) {
      /* An unmap each, and what was there. */
      const size_t back = plan->op_count + replaced;

      ops += back;
      replaced += back;
      ret = vmb_grow((void **)&vm->back, &vm->back_capacity, ops, sizeof(*vm->back));
      if (ret)
         return ret;
   }
   ret = vmb_grow((void **)&vm->kmd_ops, &vm->kmd_op_capacity, MAX2(ops, 1), sizeof(*vm->kmd_ops));
   if (ret)
      return ret;

   *batch_out = records ? vmb_batch_create(vm, ops, replaced) : NULL;
   return *batch_out || !records ? 0 : -ENOMEM;
}

/* Some of the batch's operations are applied, or may be, and the rest cannot be: takes them
 * back.  Runs before the mirror was changed, so the mirror still says what was
 * there.  Needs no memory; takes the batch over.  Returns 0 if the VM is again as it was, or, if none is known to be
 * applied, as far as that can be known. */
static int
roll_back(struct vmb_queue *queue, struct vmb_batch *batch, const struct vmb_gpuvm_req *ops,
          uint32_t applied, uint32_t known, bool immediate, uint64_t point)
{
   struct vmb_vm *vm = queue->vm;
   const int64_t start_ns = vmb_now_ns();
   size_t count = applied;

   /* Applied and inverse operations in one list, as the kernel sees them. */
   memcpy(vm->back, ops, applied * sizeof(*vm->back));
   for (uint32_t i = 0; i < applied; i++)
      count += inverse_of(vm->gpuvm, &ops[i], vm->back + count);
   assert(count <= vm->back_capacity);

   const struct vmb_kmd_sync done = { queue->syncobj, point };
   struct send send = {
      .queue = queue,
      .ops = vm->back + applied,
      .op_count = count - applied,
      .signals = &done,
      .signal_count = 1,
      .immediate = immediate,
   };
   const int ret = known ? send_back(&send) : send_ops(&send);
   struct vmb_trace_submit trace = {
      .vm = vm->id,
      .queue = queue->id,
      .point = immediate ? 0 : point,
      .op_count = send.applied,
      .ioctl_count = send.ioctls,
      .result = ret,
      .kind = VMB_TRACE_KIND_ROLLBACK,
      .duration_ns = vmb_now_ns() - start_ns,
   };
   vmb_trace_submit(vm->dev->trace, &trace, &(struct vmb_trace_arrays){ .ops = send.ops });
   p_atomic_add(&vm->dev->stats.ioctls, send.ioctls);
   count_ops(vm->dev, send.ops, send.applied);
   if (!ret)
      p_atomic_inc(&vm->dev->stats.rolled_back);
   if (ret && ret != -ENODEV && !known) {
      free(batch);
      return 0;
   }

   /* Also if it failed: the mirror says what the kernel holds, and what it keeps is kept until
    * the point, which losing the device signals. */
   commit(queue, batch, vm->back, applied + send.applied,
          immediate ? p_atomic_read(&queue->submitted) : point);
   return ret;
}

static void
signal_all(struct vmb_queue *queue, const struct vmb_kmd_sync *signals, uint32_t count)
{
   for (uint32_t i = 0; i < count; i++)
      vmb_sync_signal(queue->vm->dev, &signals[i]);
}

/* What was bound at once is ours to signal. */
static int
signal_done(struct vmb_queue *queue, const struct vmb_kmd_sync *signals, uint32_t count)
{
   if (!vmb_sync_signal_each(queue->vm->dev, signals, count))
      return 0;
   /* Bound, and somebody will never hear of it. */
   vmb_device_set_lost(queue->vm->dev, "what was bound could not be signaled");
   return -ENODEV;
}

/* Nothing is left that would signal them. */
static void
lose(struct vmb_queue *queue, const struct vmb_kmd_sync *signals, uint32_t count, const char *why)
{
   vmb_device_set_lost(queue->vm->dev, why);
   signal_all(queue, signals, count);
}

/* ------------------------------------------------------------------ submit */

static int
gather_syncs(struct vmb_queue *queue, const struct vmb_raw_submit *raw, uint64_t point,
             uint32_t *wait_count, uint32_t *signal_count)
{
   struct vmb_vm *vm = queue->vm;

   int ret = vmb_grow((void **)&vm->syncs, &vm->sync_capacity,
                  (size_t)raw->wait_count + raw->signal_count + 1, sizeof(*vm->syncs));
   if (ret)
      return ret;

   *wait_count = 0;
   for (uint32_t i = 0; i < raw->wait_count; i++) {
      vm->syncs[(*wait_count)++] =
         (struct vmb_kmd_sync){ raw->waits[i].syncobj, raw->waits[i].point };
   }
   ret = add_dependencies(queue, wait_count);
   if (ret)
      return ret;
   ret = vmb_grow((void **)&vm->syncs, &vm->sync_capacity,
              (size_t)*wait_count + raw->signal_count + 1, sizeof(*vm->syncs));
   if (ret)
      return ret;

   /* Our own first: kernels attach the fence to one syncobj after the other, and whoever sees a
    * signal of the user's must find the completed state up to date. */
   struct vmb_kmd_sync *signals = vm->syncs + *wait_count;
   *signals++ = (struct vmb_kmd_sync){ queue->syncobj, point };
   for (uint32_t i = 0; i < raw->signal_count; i++)
      signals[i] = (struct vmb_kmd_sync){ raw->signals[i].syncobj, raw->signals[i].point };
   *signal_count = raw->signal_count + 1;
   return 0;
}

/* Whether the plan has to do with one of the log's batches that are pending, or of those that have completed behind
 * them: with its addresses, or with mappings that it cuts.  The state lock is held, and the log retired. */
static bool
touches_log(const struct vmb_vm *vm, bool pending)
{
   const struct vmb_plan *plan = &vm->plan;

   list_for_each_entry(struct vmb_batch, batch, &vm->batches, link) {
      if (vmb_batch_is_pending(batch) == pending &&
          (vmb_batch_overlaps(batch, plan->net, plan->net_count) ||
           vmb_batch_overlaps_replaced(batch, plan->net, plan->net_count)))
         return true;
   }
   return false;
}

/* Whether the order in which the plan and what is pending are done is the same to both.  The state lock is held. */
static bool
overtakes_nothing(const struct vmb_vm *vm)
{
   if (list_is_empty(&vm->batches))
      return true;
   return !vm->plan.params.ordered && !touches_log(vm, true);
}

/* Whether the batch can be bound by an immediate bind, which overtakes what is queued: whenever there is
 * nothing to wait for.  It costs the kernel less than half of what a queued one does; and what is queued may wait for
 * somebody who waits for this.  *follows_out: it changes what a batch of the log has left, which is taken back from
 * the log's end only. */
static int
choose_immediate(struct vmb_queue *queue, const struct vmb_raw_submit *raw, uint32_t wait_count,
                 bool *immediate_out, bool *follows_out)
{
   struct vmb_vm *vm = queue->vm;
   const struct vmb_caps *caps = &vm->dev->caps;
   const bool thread = caps->sync_mode == VMB_SYNC_THREAD;

   *immediate_out = *follows_out = false;
   if (!caps->immediate_bind || (raw->wait_count && !thread))
      return 0;
   /* What is to be signaled takes ioctls of its own then: with more than one it is no gain. */
   if (!thread && !raw->immediate && raw->signal_count > 1)
      return 0;

   const int ret = thread ? vmb_thread_poll(vm->dev, vm->syncs, wait_count) : 0;
   if (ret)
      return ret == -ETIME ? 0 : ret;
   vmb_lock(&vm->state_lock, VMB_LOCK_STATE);
   vmb_vm_retire_locked(vm);
   /* Signals of one timeline must not overtake each other either. */
   *immediate_out = raw->immediate && !thread
                       ? overtakes_nothing(vm)
                       : list_is_empty(&vm->batches) && vmb_thread_is_idle(queue);
   *follows_out = *immediate_out && touches_log(vm, false);
   vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);
   return 0;
}

/* Of a batch that is done at once: whether its records lead the way back, or alone keep what is bound anew
 * while it is replaced. */
static bool
needs_records(const struct vmb_plan *plan, const struct vmb_raw_submit *raw)
{
   const bool holds_references = raw->kind == VMB_TRACE_KIND_QUEUE ||
                                 raw->kind == VMB_TRACE_KIND_SYNC ||
                                 raw->kind == VMB_TRACE_KIND_RANGE;

   return plan->op_count > 1 || !holds_references;
}

static uint64_t
null_op_count(const struct vmb_vm *vm, const struct vmb_range *range)
{
   const uint64_t granule_B = vm->plan.params.null_granule_B;

   return granule_B ? DIV_ROUND_UP(range->addr_B % granule_B + range->size_B, granule_B) : 1;
}

/* Whether the plan is better than to bind new ranges to null first.  That would take as many operations
 * as there are here, and an ioctl more; but where binds lie scattered, each gap between them would be an operation
 * here. */
static bool
late_ones_join(const struct vmb_vm *vm)
{
   /* What an ioctl costs is worth an operation, unless each is one anyway. */
   uint64_t apart = vm->dev->caps.max_ops > 1, joined = 0;

   list_for_each_entry(struct vmb_range, range, &vm->late, late_link)
      apart += range->late == VMB_LATE_NULL ? null_op_count(vm, range) : 0;
   for (size_t i = 0; i < vm->plan.op_count; i++)
      joined += (vm->plan.ops[i].map.flags & VMB_MAPPING_NULL) != 0;
   return joined <= apart;
}

static int
plan_raw(struct vmb_vm *vm, const struct vmb_raw_submit *raw)
{
   struct vmb_plan *plan = &vm->plan;
   const int ret = raw->kind == VMB_TRACE_KIND_DEFRAGMENT
                      ? vmb_plan_defragment(plan, vm->gpuvm, raw->reqs->map.addr_B,
                                            vmb_mapping_end_B(&raw->reqs->map))
                      : vmb_plan_build(plan, vm->gpuvm, raw->reqs, raw->req_count);

   plan->merged += raw->joined;
   return ret;
}

static int
send_plan(struct vmb_queue *queue, const struct vmb_raw_submit *raw, int64_t start_ns,
          uint64_t *point_out)
{
   struct vmb_vm *vm = queue->vm;
   struct vmb_device *dev = vm->dev;
   struct vmb_plan *plan = &vm->plan;

   if (raw->merged_out)
      *raw->merged_out = plan->merged;

   const uint64_t point = queue->submitted + 1;
   uint32_t wait_count, signal_count;
   int ret = gather_syncs(queue, raw, point, &wait_count, &signal_count);
   if (ret)
      return ret;

   bool immediate, follows;
   ret = choose_immediate(queue, raw, wait_count, &immediate, &follows);
   if (ret == -ENODEV)
      lose(queue, vm->syncs + wait_count, signal_count, "the device is gone");
   if (ret)
      return ret;
   /* Done on return, so that nobody needs a point to wait for.  (A thread's points are in order.) */
   const bool thread = dev->caps.sync_mode == VMB_SYNC_THREAD;
   const bool pointless = immediate && (raw->immediate || !thread);
   const bool records = !pointless || follows || needs_records(plan, raw);
   const struct vmb_kmd_sync *signals = vm->syncs + wait_count;
   if (pointless && !plan->op_count) {
      ret = check_syncobjs(dev, signals + 1, signal_count - 1);
      if (ret)
         return ret;
      p_atomic_add(&dev->stats.merged, plan->merged);
      p_atomic_add(&dev->stats.dropped, plan->dropped);
      if (point_out)
         *point_out = 0;
      return signal_done(queue, signals + 1, signal_count - 1);
   }

   struct vmb_batch *batch;
   ret = prepare_batch(vm, records, &batch);
   if (ret)
      return ret;

   struct vmb_thread_job *job = NULL;
   struct send send = {
      .queue = queue,
      .ops = plan->ops,
      .op_count = plan->op_count,
      .waits = vm->syncs,
      .wait_count = wait_count,
      .signals = signals,
      .signal_count = signal_count,
      .immediate = immediate,
      .region = raw->region,
      .job_out = thread ? &job : NULL,
   };
   ret = send_ops(&send);

   struct vmb_trace_submit trace = {
      .vm = vm->id,
      .queue = queue->id,
      .point = pointless ? 0 : point,
      /* What ranges bind of themselves nobody has asked for. */
      .asked_count = raw->req_count - raw->late_count + raw->joined,
      .bind_count = raw->req_count - raw->late_count,
      .op_count = send.applied,
      .ioctl_count = send.ioctls,
      .merged = plan->merged,
      .dropped = plan->dropped,
      .wait_count = raw->wait_count,
      .dependency_count = wait_count - raw->wait_count,
      .signal_count = raw->signal_count,
      .result = ret,
      .kind = raw->kind,
      .duration_ns = vmb_now_ns() - start_ns,
   };
   vmb_trace_submit(dev->trace, &trace,
                    &(struct vmb_trace_arrays){
                       .waits = raw->waits,
                       .signals = raw->signals,
                       .binds = raw->reqs + raw->late_count,
                       .ops = plan->ops,
                    });
   p_atomic_add(&dev->stats.ioctls, send.ioctls);
   if (!plan->op_count)
      p_atomic_add(&dev->stats.sync_only_ioctls, send.ioctls);
   count_ops(dev, plan->ops, send.applied);

   if (ret) {
      /* Taking back what has not been applied changes nothing. */
      const bool unsure =
         immediate && dev->caps.immediate_unsure && send.ioctls && plan->op_count > 1;
      const uint32_t applied = unsure ? plan->op_count : send.applied;
      const bool half = applied && ret != -ENODEV;

      if (!half)
         free(batch);
      if (ret == -ENODEV)
         lose(queue, signals, signal_count, "the kernel refuses binds on the VM");
      else if (half && immediate && raw->may_be_half && !unsure)
         commit(queue, batch, plan->ops, send.applied, 0);
      else if (half && roll_back(queue, batch, plan->ops, applied, send.applied, immediate, point))
         lose(queue, signals, signal_count, "a half applied bind could not be taken back");
      else if (vmb_device_is_lost(dev))
         signal_all(queue, signals, signal_count);
      return vmb_device_is_lost(dev) ? -ENODEV : ret;
   }

   p_atomic_add(&dev->stats.merged, plan->merged);
   p_atomic_add(&dev->stats.dropped, plan->dropped);
   if (batch) {
      batch->sorted = !plan->params.ordered;
      commit(queue, batch, plan->ops, plan->op_count, pointless ? 0 : point);
   } else {
      commit_done(vm, plan->ops, plan->op_count);
   }
   if (point_out)
      *point_out = pointless ? 0 : point;
   if (job)
      vmb_thread_push(queue, job);
   else if (immediate)
      return signal_done(queue, signals + pointless, signal_count - pointless);
   return 0;
}

/* It is bound. */
static void
forget_late(struct vmb_vm *vm, struct vmb_range *range)
{
   const bool gone = range->late == VMB_LATE_UNMAP;

   p_atomic_inc(&vm->dev->stats.binds);
   p_atomic_add(&vm->dev->stats.bind_bytes, range->size_B);
   vmb_vm_remove_late(vm, range);
   if (gone)
      vmb_range_free(range);
}

static void
forget_all_late(struct vmb_vm *vm)
{
   list_for_each_entry_safe(struct vmb_range, range, &vm->late, late_link)
      forget_late(vm, range);
}

/* Late requests, and nothing else. */
static int
send_late(struct vmb_vm *vm, const struct vmb_gpuvm_req *reqs, size_t count)
{
   const struct vmb_raw_submit raw = {
      .kind = VMB_TRACE_KIND_RANGE,
      .reqs = reqs,
      .req_count = count,
      .immediate = true,
      .may_be_half = true,
   };
   const int64_t start_ns = vmb_now_ns();
   const int ret = plan_raw(vm, &raw);

   return ret ? ret : send_plan(vm->internal, &raw, start_ns, NULL);
}

/* The device is lost, and nothing was sent that would signal them. */
static void
signal_lost(struct vmb_queue *queue, const struct vmb_sync *signals, uint32_t count)
{
   for (uint32_t i = 0; i < count; i++)
      signal_all(queue, &(struct vmb_kmd_sync){ signals[i].syncobj, signals[i].point }, 1);
}

static int
plan_and_send(struct vmb_queue *queue, const struct vmb_raw_submit *raw, uint64_t *point_out)
{
   struct vmb_vm *vm = queue->vm;
   const int64_t start_ns = vmb_now_ns();
   struct vmb_raw_submit rest = *raw;

   int ret = plan_raw(vm, raw);
   if (!ret && raw->late_count && !late_ones_join(vm)) {
      rest.reqs += raw->late_count;
      rest.req_count -= raw->late_count;
      rest.late_count = 0;
      ret = send_late(vm, raw->reqs, raw->late_count);
      if (ret == -ENODEV)
         signal_lost(queue, raw->signals, raw->signal_count);
      if (!ret) {
         forget_all_late(vm);
         ret = plan_raw(vm, &rest);
      }
   }
   if (ret)
      return ret;

   ret = send_plan(queue, &rest, start_ns, point_out);
   if (!ret && rest.late_count)
      forget_all_late(vm);
   return ret;
}

int
vmb_queue_submit_raw(struct vmb_queue *queue, const struct vmb_raw_submit *raw,
                     uint64_t *point_out)
{
   const int ret = plan_and_send(queue, raw, point_out);

   release_dependencies(queue->vm);
   return ret;
}

/* -------------------------------------------------------------------- late
 *
 * Where binds can be done at once, ranges are late with what they bind of themselves: a new one with its null
 * mapping, and one that was destroyed, but shows nothing but null, with being unmapped.  It goes with what is
 * bound next on the VM, which takes it along for less than an ioctl of its own, unless a new range of that size
 * takes the null mapping over before.  Whoever asks what GPU work has to wait for has it done. */

bool
vmb_vm_binds_at_once(struct vmb_vm *vm)
{
   const struct vmb_caps *caps = &vm->dev->caps;

   if (!caps->immediate_bind || caps->null_mode == VMB_NULL_REGION)
      return false;
   vmb_lock(&vm->state_lock, VMB_LOCK_STATE);
   vmb_vm_retire_locked(vm);
   bool idle = list_is_empty(&vm->batches);
   list_for_each_entry(struct vmb_queue, queue, &vm->queues, link)
      idle &= vmb_thread_is_idle(queue);
   vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);
   return idle;
}

void
vmb_vm_add_late(struct vmb_vm *vm, struct vmb_range *range, enum vmb_late late)
{
   range->late = late;
   /* Those that may be taken over come first, so that nobody has to look for them among the others. */
   if (late == VMB_LATE_UNMAP)
      list_add(&range->late_link, &vm->late);
   else
      list_addtail(&range->late_link, &vm->late);
   p_atomic_inc(&vm->late_count);
}

void
vmb_vm_remove_late(struct vmb_vm *vm, struct vmb_range *range)
{
   range->late = VMB_LATE_NOTHING;
   list_del(&range->late_link);
   p_atomic_dec(&vm->late_count);
}

/* The kernel will not have it, whatever memory there is: nobody but the range itself is to suffer. */
static void
give_up_late(struct vmb_vm *vm, struct vmb_range *range, int error)
{
   const bool gone = range->late == VMB_LATE_UNMAP;

   vmb_log(vm->dev, VMB_LOG_ERROR, "range \"%s\" could not be %s: %s", range->name,
           gone ? "unbound" : "bound to null", strerror(-error));
   vmb_vm_remove_late(vm, range);
   if (!gone) {
      range->error = error;
      return;
   }
   /* Its addresses stay taken: something is mapped there still. */
   free(range->name);
   free(range);
}

/* One by one, so that what the kernel refuses is known.  What it has no memory for stays late. */
static int
send_late_apart(struct vmb_vm *vm)
{
   int shortage = 0;

   list_for_each_entry_safe(struct vmb_range, range, &vm->late, late_link) {
      const struct vmb_gpuvm_req req = late_req(range);
      const int ret = send_late(vm, &req, 1);

      if (ret == -ENODEV)
         return ret;
      if (is_shortage(ret))
         shortage = ret;
      else if (ret)
         give_up_late(vm, range, ret);
      else
         forget_late(vm, range);
   }
   return shortage;
}

static int
send_all_late(struct vmb_vm *vm)
{
   struct built built = { 0 };

   int ret = build_late_reqs(vm, &built);
   if (!ret)
      ret = send_late(vm, vm->reqs, built.req_count);
   if (!ret)
      forget_all_late(vm);
   /* Without memory there is no use in trying each of them as well. */
   return !ret || ret == -ENODEV || is_shortage(ret) ? ret : send_late_apart(vm);
}

int
vmb_vm_bind_late(struct vmb_vm *vm)
{
   if (!vm->late_count)
      return 0;
   if (vmb_device_is_lost(vm->dev))
      return -ENODEV;
   const int ret = send_all_late(vm);
   release_dependencies(vm);
   return ret;
}

/* What waits takes nothing along: GPU work that uses the ranges may be what it waits for. */
static int
take_late_along(struct vmb_vm *vm, const struct vmb_submit *submit, struct built *built)
{
   if (!vm->late_count || (!submit->wait_count && !submit->bind_count))
      return 0;
   return !submit->wait_count && vmb_vm_binds_at_once(vm) ? build_late_reqs(vm, built)
                                                          : vmb_vm_bind_late(vm);
}

/* The number of pending batches from which on a submit looks whether some of
 * them have completed.  Looking is an ioctl, so those that are found to be pending
 * still are looked at again only when there are twice as many. */
#define RETIRE_AT 64

static void
retire_if_many_locked(struct vmb_vm *vm)
{
   if (vm->batch_count < MAX2(vm->retire_at, RETIRE_AT))
      return;
   vmb_vm_retire_locked(vm);
   vm->retire_at = 2 * vm->batch_count;
}

/* With the late requests that are built already before them. */
static int
submit_built(struct vmb_queue *queue, const struct vmb_submit *submit, struct vmb_raw_submit *raw,
             struct built *built, uint64_t *point_out)
{
   struct vmb_vm *vm = queue->vm;

   raw->late_count = built->req_count;
   raw->req_count = 0;
   const int ret = build_reqs(vm, submit->binds, submit->bind_count, built);
   if (ret)
      return ret;
   raw->reqs = vm->reqs;
   raw->req_count = built->req_count;
   raw->joined = submit->bind_count + raw->late_count - built->req_count;
   return vmb_queue_submit_raw(queue, raw, point_out);
}

/* Of those that build_reqs() took. */
static void
put_vm_bos(struct vmb_vm *vm, struct built *built)
{
   vmb_lock(&vm->state_lock, VMB_LOCK_STATE);
   for (size_t i = 0; i < built->vm_bo_count; i++)
      vmb_gpuvm_bo_put_deferred(vm->vm_bos[i]);
   vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);
   built->vm_bo_count = 0;
}

static int
submit(struct vmb_queue *queue, const struct vmb_submit *submit, bool immediate,
       uint64_t *point_out)
{
   struct vmb_vm *vm = queue->vm;
   struct vmb_device *dev = vm->dev;
   struct vmb_raw_submit raw = {
      .kind = immediate ? VMB_TRACE_KIND_SYNC : VMB_TRACE_KIND_QUEUE,
      .waits = submit->waits,
      .wait_count = submit->wait_count,
      .signals = submit->signals,
      .signal_count = submit->signal_count,
      .immediate = immediate,
   };
   struct built built = { 0 };

   vmb_lock(&vm->bind_lock, VMB_LOCK_BIND);
   int ret = vmb_device_is_lost(dev) ? -ENODEV : take_late_along(vm, submit, &built);
   if (ret == -ENODEV)
      signal_lost(queue, submit->signals, submit->signal_count);
   if (!ret)
      ret = submit_built(queue, submit, &raw, &built, point_out);
   if (ret && ret != -ENODEV && raw.req_count && vm->late_count) {
      /* Perhaps for what it took along. */
      put_vm_bos(vm, &built);
      built = (struct built){ 0 };
      ret = vmb_vm_bind_late(vm);
      if (ret == -ENODEV)
         signal_lost(queue, submit->signals, submit->signal_count);
      if (!ret)
         ret = submit_built(queue, submit, &raw, &built, point_out);
   }
   put_vm_bos(vm, &built);

   vmb_lock(&vm->state_lock, VMB_LOCK_STATE);
   retire_if_many_locked(vm);
   struct vmb_gpuvm_bo *unused = vmb_gpuvm_bo_take_deferred(vm->gpuvm);
   vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);
   vmb_unlock(&vm->bind_lock, VMB_LOCK_BIND);
   vmb_gpuvm_bo_free_deferred(unused);

   if (!ret && submit->bind_count) {
      p_atomic_add(&dev->stats.binds, submit->bind_count);
      p_atomic_add(&dev->stats.bind_bytes, built.bytes);
   }
   return ret;
}

int
vmb_queue_submit(struct vmb_queue *queue, const struct vmb_submit *info, uint64_t *point_out)
{
   return submit(queue, info, false, point_out);
}

int
vmb_vm_bind_sync(struct vmb_vm *vm, const struct vmb_bind *binds, uint32_t bind_count)
{
   const struct vmb_submit info = { .binds = binds, .bind_count = bind_count };
   uint64_t point = 0;

   const int ret = submit(vm->internal, &info, true, &point);
   if (ret || !point)
      return ret;
   return vmb_queue_wait(vm->internal, point, INT64_MAX);
}

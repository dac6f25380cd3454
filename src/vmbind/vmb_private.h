/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What the files of the core know of each other's objects.  Not installed.
 */

#ifndef VMB_PRIVATE_H
#define VMB_PRIVATE_H

#include <assert.h>

#include "c11/threads.h"
#include "util/list.h"
#include "util/u_atomic.h"

#include "vmb_bo_cache.h"
#include "vmb_kmd.h"
#include "vmb_plan.h"
#include "vmb_trace.h"
#include "vmb_va_heap.h"
#include "vmb_vm.h"

/* ------------------------------------------------------------------- locks
 *
 * Every lock has a level, and a thread takes them in rising order only.  Builds
 * with assertions check that. */

enum vmb_lock_level {
   VMB_LOCK_VMS = 0,   /* vmb_device.vms_lock: a walk over the VMs' states */
   VMB_LOCK_BIND = 1,  /* vmb_vm.bind_lock: sleeps in ioctls */
   VMB_LOCK_STATE = 2, /* vmb_vm.state_lock: short */
   VMB_LOCK_LEAF = 3,  /* vmb_device.bo_lock, and the trace's: nothing inside */
};

#ifndef NDEBUG
extern thread_local uint32_t vmb_locks_held;
#endif

static inline void
vmb_lock(mtx_t *mtx, enum vmb_lock_level level)
{
#ifndef NDEBUG
   assert(vmb_locks_held < 1u << level && "lock order");
   vmb_locks_held |= 1u << level;
#endif
   (void)level;
   mtx_lock(mtx);
}

static inline void
vmb_unlock(mtx_t *mtx, enum vmb_lock_level level)
{
   mtx_unlock(mtx);
#ifndef NDEBUG
   assert(vmb_locks_held & 1u << level);
   vmb_locks_held &= ~(1u << level);
#endif
   (void)level;
}

/* ------------------------------------------------------------------ device */

struct vmb_device {
   int fd;
   const struct vmb_kmd_ops *kmd;
   struct vmb_kmd_device *kdev;
   struct vmb_caps caps;
   char *driver_name;

   void (*log)(void *data, enum vmb_log_level level, const char *line);
   void *log_data;

   /* Atomic. */
   uint32_t lost;
   uint32_t vm_count;
   struct vmb_stats stats;

   /* Guards bos and the cache, and the step from one reference to none. */
   mtx_t bo_lock;
   struct list_head bos;
   struct vmb_bo_cache bo_cache;

   /* The VMs: changed with both locks, read with either. */
   mtx_t vms_lock;
   struct list_head vms;

   struct vmb_trace *trace;
};

/* Numbers for traces and dumps, never used twice in a process. */
uint32_t vmb_next_id(void);

void vmb_log(struct vmb_device *dev, enum vmb_log_level level, const char *format, ...)
   PRINTFLIKE(3, 4);

/* Says why, once, and makes every further call fail. */
void vmb_device_set_lost(struct vmb_device *dev, const char *why);

/* ---------------------------------------------------------------------- bo */

enum vmb_bo_purge {
   VMB_BO_NEEDED,
   VMB_BO_PURGEABLE,
   /* The kernel has taken the pages. */
   VMB_BO_PURGED,
};

struct vmb_bo {
   struct vmb_gpuvm_obj obj;
   struct vmb_device *dev;
   struct list_head link;
   uint32_t refcount;
   uint32_t handle;
   uint32_t id;
   uint64_t size_B;
   /* Of the only VM it may be mapped in, or 0. */
   uint32_t vm_id;
   bool cached;
   /* Atomic.  Others may have it: imported or exported. */
   bool shared;
   /* Atomic.  Somebody may see its pages longer than it lives: vmb_bo_map_at(). */
   bool placed;
   /* Atomic; enum vmb_bo_purge. */
   uint32_t purge;
   /* Memory of the process, and then there is no handle; or NULL. */
   void *user_ptr;
   /* Atomic; NULL until mapped. */
   void *map;
   char *name;
   /* While nobody has it. */
   struct vmb_bo_cache_entry cache_entry;
};

/* Frees what the cache keeps for the VM, or for all if vm_id is 0; false if there was nothing. */
bool vmb_bo_cache_empty(struct vmb_device *dev, uint32_t vm_id);

static inline struct vmb_bo *
vmb_bo_from_obj(struct vmb_gpuvm_obj *obj)
{
   return (struct vmb_bo *)((char *)obj - offsetof(struct vmb_bo, obj));
}

/* ---------------------------------------------------------------------- vm */

/* What a range still has to bind of itself: see vmb_queue.c. */
enum vmb_late {
   VMB_LATE_NOTHING,
   /* It is new, and to be bound to null. */
   VMB_LATE_NULL,
   /* It was destroyed, shows nothing but null, and is to be unmapped. */
   VMB_LATE_UNMAP,
};

struct vmb_range {
   struct list_head link;
   struct vmb_vm *vm;
   uint64_t addr_B;
   uint64_t size_B;
   /* What it took of the heap. */
   uint64_t reserved_B;
   enum vmb_unbound unbound;
   enum vmb_range_zone zone;
   /* Guarded by the bind lock; in vm->late unless it is nothing. */
   enum vmb_late late;
   struct list_head late_link;
   /* Guarded by the bind lock.  Why it could not be bound to null, for good; or 0. */
   int error;
   char *name;
};

struct vmb_queue {
   struct vmb_vm *vm;
   struct list_head link;
   /* The user's reference, and one of each pending batch. */
   uint32_t refcount;
   uint32_t id;
   /* Of vm->batches, those of this queue. */
   uint32_t batch_count;
   /* A batch that is being submitted waits for one of this queue, and holds a reference. */
   bool awaited;
   /* The back-end's. */
   uint32_t kqueue;
   uint32_t syncobj;
   /* VMB_SYNC_THREAD: once there was something to wait for. */
   struct vmb_thread *thread;
   /* The timeline's latest point, and the latest one known to have completed. */
   uint64_t submitted;
   uint64_t completed;
};

/* A batch that the kernel has accepted and not yet (as far as is known)
 * completed: what it takes to undo it in a copy of the mirror, and what must
 * not be freed before it has completed. */
struct vmb_batch {
   struct list_head link;
   struct vmb_queue *queue;
   uint64_t point;
   /* The VM's number of it, in the order of submission. */
   uint64_t serial;
   /* Of this, with all of its arrays. */
   size_t size_B;

   struct vmb_gpuvm_req *ops;
   uint32_t op_count;
   /* ops[i] replaced the mappings [starts[i], starts[i + 1]). */
   size_t *starts;
   struct vmb_replaced replaced;
   /* Whether the operations are sorted and disjoint. */
   bool sorted;
};

struct vmb_vm {
   struct vmb_device *dev;
   struct list_head link;
   struct vmb_kmd_vm *kvm;
   uint32_t id;
   /* The window ends at 4 GiB or before: there is no low zone. */
   bool all_is_low;

   /* Held while a batch is planned, sent and committed.  Only its holder
    * changes the tree, so it may read it without the state lock. */
   mtx_t bind_lock;
   struct vmb_plan plan;
   struct vmb_gpuvm_req *reqs;
   struct vmb_gpuvm_bo **vm_bos;
   size_t req_capacity;
   struct vmb_kmd_op *kmd_ops;
   size_t kmd_op_capacity;
   /* Operations and what takes them back. */
   struct vmb_gpuvm_req *back;
   size_t back_capacity;
   struct vmb_kmd_sync *syncs;
   size_t sync_capacity;
   /* The most operations an ioctl gets; halved when the kernel has no memory,
    * doubled again when all goes well. */
   uint32_t chunk_ops;
   /* Ranges that have still to bind something.  As long as there are any, nothing is pending on the VM, so that
    * it can be bound at any time without a wait.  The count is atomic. */
   struct list_head late;
   uint32_t late_count;

   /* Held for short times.  Guards all that follows, and the tree against
    * its readers. */
   mtx_t state_lock;
   struct vmb_gpuvm *gpuvm;
   struct vmb_va_heap *heap;
   struct list_head ranges;
   struct list_head queues;
   /* To be freed. */
   struct list_head unused_queues;
   struct list_head batches;
   uint32_t batch_count;
   /* Only memory. */
   struct vmb_batch *spare_batch;
   uint32_t retire_at;
   uint32_t next_queue_id;
   /* Of the latest batch, and of the latest one that was retired. */
   uint64_t serial;
   uint64_t retired_serial;

   /* For null binds, unbinds of ranges and synchronous binds. */
   struct vmb_queue *internal;
};

/* With no lock held: waits, for a moment, for the VM's own unbinds, and frees what they kept.  -ENOMEM, -ENOBUFS: some
 * could not be sent; -ENODEV. */
int vmb_vm_reclaim(struct vmb_vm *vm);

/* With no lock held: drops what the deferred vm_bos keep, and queues that nobody needs and whose threads have nothing
 * left to do. */
void vmb_vm_free_deferred(struct vmb_vm *vm);

/* With no lock held: the BO is about to go, and its addresses with it (caps.kernel_addresses). */
void vmb_device_unplace_bo(struct vmb_device *dev, struct vmb_bo *bo);

/* With no lock held: the pages behind the BO are gone, in every VM that maps it. */
int vmb_device_evict_bo(struct vmb_device *dev, struct vmb_bo *bo);

/* The state lock is held: retires what has completed. */
void vmb_vm_retire_locked(struct vmb_vm *vm);

/* The state lock is held: brings vmb_queue.completed up to date. */
void vmb_vm_poll_locked(struct vmb_vm *vm);

/* The state lock is held: drops a reference.  What nobody needs any more is freed by vmb_vm_free_deferred(). */
void vmb_queue_unref(struct vmb_queue *queue);
/* With no lock held, or its thread's being idle; off all lists. */
void vmb_queue_free(struct vmb_queue *queue);

int vmb_sync_wait(struct vmb_device *dev, const struct vmb_sync *sync, int64_t abs_timeout_ns);

/* ------------------------------------------------------------------- batch */

/* One with room for so many operations, and for so many mappings that they replace; NULL: no memory.  With the state
 * lock not held.  Until it is in the VM's list, free() is enough to get rid of it. */
struct vmb_batch *vmb_batch_create(struct vmb_vm *vm, size_t op_count, size_t replaced);

/* The state lock is held: takes the batch off the log and frees it. */
void vmb_batch_release_locked(struct vmb_vm *vm, struct vmb_batch *batch);

/* Not known to have completed.  The state lock is held. */
static inline bool
vmb_batch_is_pending(const struct vmb_batch *batch)
{
   return batch->point > batch->queue->completed;
}

/* Whether one of the requests, which are sorted and disjoint, touches what an operation of the batch does.  The
 * state lock is held. */
bool vmb_batch_overlaps(const struct vmb_batch *batch, const struct vmb_gpuvm_req *reqs,
                        size_t count);

/* The same for mappings that the batch has replaced, whole as they were. */
bool vmb_batch_overlaps_replaced(const struct vmb_batch *batch, const struct vmb_gpuvm_req *reqs,
                                 size_t count);

/* ------------------------------------------------------------------ thread
 *
 * VMB_SYNC_THREAD: see vmb_thread.c. */

struct vmb_thread;
struct vmb_thread_job;

/* 0 if all waits are over; -ETIME, or what is wrong with them. */
int vmb_thread_poll(struct vmb_device *dev, const struct vmb_kmd_sync *waits, uint32_t count);

/* Everything that can fail: copies operations and syncs, the first signal being the queue's own
 * point.  The bind lock is held. */
int vmb_thread_prepare(struct vmb_queue *queue, const struct vmb_kmd_bind *bind,
                       struct vmb_thread_job **job_out);
/* Takes the job over: it is bound behind those that were pushed before. */
void vmb_thread_push(struct vmb_queue *queue, struct vmb_thread_job *job);
void vmb_thread_job_free(struct vmb_device *dev, struct vmb_thread_job *job);
/* Nothing is left to be signalled.  The bind lock is held, or nobody pushes any more. */
bool vmb_thread_is_idle(struct vmb_queue *queue);
/* With no lock held.  Waits until all jobs are done. */
void vmb_thread_stop(struct vmb_queue *queue);

int vmb_sync_signal(struct vmb_device *dev, const struct vmb_kmd_sync *sync);
/* The same for many, timelines first, in few ioctls; also after one has failed. */
int vmb_sync_signal_each(struct vmb_device *dev, const struct vmb_kmd_sync *syncs, uint32_t count);

/* A submit of requests that are checked already and hold no references.  The
 * bind lock is held. */
struct vmb_raw_submit {
   /* VMB_TRACE_KIND_DEFRAGMENT: the one request only says where. */
   enum vmb_trace_kind kind;
   const struct vmb_gpuvm_req *reqs;
   size_t req_count;
   /* The first ones are the late ones of ranges; they may go ahead. */
   size_t late_count;
   /* Binds that went into another's request already. */
   size_t joined;
   const struct vmb_sync *waits;
   uint32_t wait_count;
   const struct vmb_sync *signals;
   uint32_t signal_count;
   /* Done on return, if that can be. */
   bool immediate;
   /* If it fails, what was done at once by then need not be taken back. */
   bool may_be_half;
   /* The one request makes, or removes, a range that is a region of the kernel's. */
   bool region;
   /* If not NULL: vmb_plan.merged of the batch. */
   size_t *merged_out;
};

/* What brings a part of a range back to what its unbound parts are. */
struct vmb_gpuvm_req vmb_unbind_req(const struct vmb_range *range, uint64_t offset_B,
                                    uint64_t size_B);

int vmb_queue_submit_raw(struct vmb_queue *queue, const struct vmb_raw_submit *raw,
                         uint64_t *point_out);

/* The bind lock is held.  What ranges bind of themselves goes with what is bound next, or here at the latest. */
void vmb_vm_add_late(struct vmb_vm *vm, struct vmb_range *range, enum vmb_late late);
void vmb_vm_remove_late(struct vmb_vm *vm, struct vmb_range *range);
/* A range that the kernel refuses for good is late no more; it has the error.  Other errors leave all late. */
int vmb_vm_bind_late(struct vmb_vm *vm);
/* Nothing is pending, and what waits for nothing can be bound at once. */
bool vmb_vm_binds_at_once(struct vmb_vm *vm);
/* Gives the addresses back when all that was submitted up to now has completed, and frees the range. */
void vmb_range_free(struct vmb_range *range);

/* ------------------------------------------------------------------- trace */

struct vmb_trace;

int vmb_trace_create(struct vmb_device *dev, struct vmb_trace **trace_out);
void vmb_trace_destroy(struct vmb_trace *trace);

void vmb_trace_vm(struct vmb_trace *trace, const struct vmb_vm *vm, uint64_t window_start_B,
                  uint64_t window_range_B, bool created);
void vmb_trace_bo(struct vmb_trace *trace, const struct vmb_bo *bo, bool created);
void vmb_trace_range(struct vmb_trace *trace, const struct vmb_range *range, bool created);

/* The arrays of a submit, as the core has them. */
struct vmb_trace_arrays {
   const struct vmb_sync *waits;
   const struct vmb_sync *signals;
   const struct vmb_gpuvm_req *binds;
   const struct vmb_gpuvm_req *ops;
};

/* \p submit's record is filled in here. */
void vmb_trace_submit(struct vmb_trace *trace, struct vmb_trace_submit *submit,
                      const struct vmb_trace_arrays *arrays);
void vmb_trace_complete(struct vmb_trace *trace, uint32_t vm, uint32_t queue, uint64_t point);

#endif /* VMB_PRIVATE_H */

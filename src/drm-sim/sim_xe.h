/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What the parts of the xe personality share. Must know nothing of other drivers.
 */

#ifndef SIM_XE_H
#define SIM_XE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "drm-uapi/xe_drm.h"
#include "util/list.h"

#include "sim_device.h"
#include "sim_sched.h"
#include "sim_vm.h"

struct sim_fence;
struct sim_syncobj;

#define XE_PAGE_SIZE_B 4096ull

/* System memory is the only region. */
#define XE_MEM_REGIONS 0x1u

/* PAT index 0 is coherent with the CPU's caches, 1 to 3 are not. */
#define XE_PAT_ENTRIES 4

/* Who is not allowed more may have normal priority. */
#define XE_MAX_PRIORITY 1

/* A BO's create ioctl, packed into its flags */
#define XE_BO_CACHING_SHIFT 16

/* In the flags of a sim_gpuva: what madvise said, and the PAT index */
#define XE_VA_DONT_NEED (1u << 0)
#define XE_VA_PAT_SHIFT 8

/* sim_vm.priv */
struct xe_vm {
   uint32_t flags;
   /* They keep the VM from being destroyed. */
   uint32_t long_running_queues;
   /* Under the VM's bind lock, with the order of ioctls */
   struct list_head pending;
   pthread_mutex_t bind_lock;
};

struct xe_file {
   /* Under the file's lock */
   struct sim_handles queues;
};

struct xe_queue {
   int32_t refcount;
   struct sim_vm *vm;
   bool is_bind;
   bool counts_as_long_running;
   bool banned;
   /* Destroyed: what has not run does not. */
   bool killed;
   struct sim_entity entity;
   /* Engines run beside each other; NULL for a bind queue, whose jobs are the VM's. */
   struct sim_sched *engine;
};

static inline struct xe_file *
to_xe(struct sim_file *file)
{
   return file->priv;
}

static inline struct xe_vm *
to_xe_vm(struct sim_vm *vm)
{
   return vm->priv;
}

/* The queue with a reference, or NULL; the end of one, which may be of none. */
struct xe_queue *xe_queue_find(struct sim_file *file, uint32_t id);
void xe_queue_put(struct xe_queue *queue);

/* At the end of a file */
void xe_release_queues(struct sim_file *file);

int xe_exec_queue_create_ioctl(struct sim_file *file, void *data);
int xe_exec_queue_destroy_ioctl(struct sim_file *file, void *data);
int xe_exec_queue_get_property_ioctl(struct sim_file *file, void *data);
int xe_exec_queue_set_property_ioctl(struct sim_file *file, void *data);

/* Syncs */

struct xe_sync {
   struct drm_xe_sync in;
   struct sim_syncobj *syncobj;
   /* To wait for */
   struct sim_fence *fence;
};

struct xe_syncs {
   struct xe_sync *entries;
   uint32_t count;
   /* At most one */
   const struct drm_xe_sync *user_fence;
};

/* Of the program's array. Finish also after an error. */
int xe_syncs_parse(struct sim_file *file, uint64_t user, uint32_t count, bool lr_mode,
                   bool allow_user_fence, struct xe_syncs *syncs);
void xe_syncs_finish(struct xe_syncs *syncs);
int xe_syncs_add_waits(const struct xe_syncs *syncs, struct sim_job *job);
void xe_syncs_signal(const struct xe_syncs *syncs, struct sim_fence *fence);

/* Nothing to do but signalling, behind what the queue did last: -EOPNOTSUPP with waits. */
int xe_syncs_signal_only(const struct xe_syncs *syncs, struct sim_entity *entity);

/* Address 0: there is none. */
void xe_write_user_fence(uint64_t addr, uint64_t value);

int xe_wait_user_fence_ioctl(struct sim_file *file, void *data);

/* All the rest */

int xe_exec_ioctl(struct sim_file *file, void *data);
int xe_device_query_ioctl(struct sim_file *file, void *data);
int xe_madvise_ioctl(struct sim_file *file, void *data);
int xe_query_mem_range_attrs_ioctl(struct sim_file *file, void *data);

#endif /* SIM_XE_H */

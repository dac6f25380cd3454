/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What the parts of the panthor personality share: the file, arrays of objects, and submits of
 * several jobs with synchronisation for each. Must know nothing of other drivers.
 */

#ifndef SIM_PANTHOR_H
#define SIM_PANTHOR_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "drm-uapi/panthor_drm.h"

#include "sim_handles.h"
#include "sim_sched.h"

struct sim_bo;
struct sim_file;
struct sim_vm;

/* The GPU's parts that more than a query knows of */
#define PANTHOR_SHADERS  0x50005ull
#define PANTHOR_TILERS   0x1ull
#define PANTHOR_CS_SLOTS 8
#define PANTHOR_ALLOWED_PRIORITIES                                                                 \
   (1 << PANTHOR_GROUP_PRIORITY_LOW | 1 << PANTHOR_GROUP_PRIORITY_MEDIUM)

/* The first byte past a structure's last field of its first version */
#define MIN_SIZE(type, last_field)                                                                 \
   (offsetof(struct drm_panthor_##type, last_field) +                                              \
    sizeof(((struct drm_panthor_##type *)0)->last_field))

struct panthor_file {
   /* Under the file's lock */
   struct sim_handles groups;
   uint64_t user_mmio_offset;
   /* What sparse mappings show */
   struct sim_bo *dummy;
};

struct panthor_heap;

#define PANTHOR_MAX_HEAPS 128

/* The tiler heaps of a VM, and the BO of their contexts, which comes with the first */
struct panthor_heap_pool {
   /* Guards the rest; taken before the VM's. */
   pthread_mutex_t lock;
   struct panthor_heap *heaps[PANTHOR_MAX_HEAPS];
   struct sim_bo *contexts;
   uint64_t contexts_addr;
};

/* A VM's own, in sim_vm.priv */
struct panthor_vm {
   uint64_t user_va_range;
   struct panthor_heap_pool pool;
};

#define to_panthor(file) ((struct panthor_file *)(file)->priv)

/* A copy of an array whose objects may be of another size here than in the program; NULL for none. */
void *panthor_copy_array(const struct drm_panthor_obj_array *in, size_t min_stride, size_t obj_size,
                         int *ret);

/* A job with its synchronisation; run() and free() are its owner's, who frees syncs, too. */
struct panthor_job {
   struct sim_job base;
   struct sim_entity *entity;
   struct drm_panthor_sync_op *syncs;
   uint32_t sync_count;
};

int panthor_job_init(struct panthor_job *job, struct sim_entity *entity,
                     const struct drm_panthor_obj_array *syncs);

struct panthor_sync_signal;

/* Jobs that are queued together, or not at all. The owner puts them into jobs[]. */
struct panthor_submit {
   struct sim_file *file;
   struct panthor_job **jobs;
   uint32_t job_count;
   struct panthor_sync_signal *signals;
   uint32_t signal_count;
   uint32_t signal_capacity;
};

int panthor_submit_init(struct panthor_submit *submit, struct sim_file *file, uint32_t job_count);
int panthor_submit_push(struct panthor_submit *submit);
void panthor_submit_finish(struct panthor_submit *submit);

/* Groups of queues */
void panthor_groups_finish(struct sim_file *file);
int panthor_group_create_ioctl(struct sim_file *file, void *data);
int panthor_group_destroy_ioctl(struct sim_file *file, void *data);
int panthor_group_submit_ioctl(struct sim_file *file, void *data);
int panthor_group_get_state_ioctl(struct sim_file *file, void *data);

/* Tiler heaps; they end with their VM. */
void panthor_heap_pool_init(struct panthor_heap_pool *pool);
void panthor_heap_pool_finish(struct sim_vm *vm);
int panthor_tiler_heap_create_ioctl(struct sim_file *file, void *data);
int panthor_tiler_heap_destroy_ioctl(struct sim_file *file, void *data);

#endif /* SIM_PANTHOR_H */

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What the parts of the msm personality share: the file, its queues, and the synchronisation of a
 * bind or a submit. Must know nothing of other drivers.
 */

#ifndef SIM_MSM_H
#define SIM_MSM_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/list.h"

#include "drm-uapi/msm_drm.h"

#include "sim_handles.h"
#include "sim_sched.h"

struct sim_bo;
struct sim_file;
struct sim_syncobj;
struct sim_vm;

struct msm_queue {
   struct list_head link;
   int32_t refcount;
   uint32_t id;
   uint32_t flags;
   /* Operations of one queue are prepared one ioctl at a time. */
   pthread_mutex_t lock;
   struct sim_entity entity;
   /* A bind queue from the start, another one with its first submit */
   bool has_entity;
   /* Keeps the scheduler that the entity is of */
   struct sim_vm *vm;
   /* A submit's number is its fence's handle; under the queue's lock. */
   struct sim_handles fences;
};

struct msm_file {
   /* All under the file's lock */
   struct sim_vm *vm;
   bool wants_vm_bind;
   struct list_head queues;
   uint32_t next_queue_id;
};

#define to_msm(file) ((struct msm_file *)(file)->priv)

/* The VM of the file, made now if there was none. It never changes again. */
struct sim_vm *msm_context_vm(struct sim_file *file);

/* Without VM_BIND: the BO's address, which it gets now if it had none. */
int msm_get_iova(struct sim_file *file, struct sim_bo *bo, __u64 *iova);

/* With a reference, or NULL */
struct msm_queue *msm_queue_get(struct sim_file *file, uint32_t id);
void msm_queue_put(struct msm_queue *queue);

struct msm_syncs {
   /* To reset when the job is queued; NULL entries are not */
   struct sim_syncobj **resets;
   uint32_t reset_count;
   struct sim_syncobj **signals;
   uint64_t *signal_points;
   uint32_t signal_count;
};

int msm_syncs_parse_in(struct msm_syncs *syncs, struct sim_file *file, struct sim_job *job,
                       uint64_t user, uint32_t count, uint32_t stride);
int msm_syncs_parse_out(struct msm_syncs *syncs, struct sim_file *file, uint64_t user,
                        uint32_t count, uint32_t stride);

/* Once the job is queued */
void msm_syncs_apply(const struct msm_syncs *syncs, struct sim_fence *fence);
void msm_syncs_finish(struct msm_syncs *syncs);

int msm_gem_submit_ioctl(struct sim_file *file, void *data);
int msm_wait_fence_ioctl(struct sim_file *file, void *data);

#endif /* SIM_MSM_H */

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * A GPU scheduler as drm_sched: jobs wait in their entity's FIFO for their dependencies, and one
 * thread runs them one at a time. Entities are ordered among each other by nothing but readiness
 * and age. Must know nothing of what jobs do.
 */

#ifndef SIM_SCHED_H
#define SIM_SCHED_H

#include <stdbool.h>
#include <stdint.h>

#include "util/list.h"

#include "sim_fence.h"

#define SIM_JOB_IS_BLOCKED 1

struct sim_sched;

struct sim_entity {
   struct list_head link;
   struct list_head jobs;
   struct sim_sched *sched;
   uint64_t context;
   uint64_t last_seqno;
   /* Finished fence of the last job pushed, or NULL */
   struct sim_fence *last_fence;
};

struct sim_job {
   struct list_head link;
   /* Signals when the job has run, with the error it returned. Made by sim_job_init(). */
   struct sim_fence *finished;
   struct sim_fence **deps;
   uint32_t dep_count;
   uint32_t dep_capacity;
   uint64_t order;
   struct sim_entity *entity;
   bool has_progressed;
   bool is_blocked;
   /* 0 or a negative errno, for the fence; no lock is held. Or SIM_JOB_IS_BLOCKED: it is run again
    * when another job of the scheduler has run, or blocked and said that it has progressed.
    */
   int (*run)(struct sim_job *job);
   void (*free)(struct sim_job *job);
};

struct sim_sched *sim_sched_create(const char *name);

/* Ends the thread; jobs that have not run are cancelled. May be called from a job's free(). */
void sim_sched_destroy(struct sim_sched *sched);

void sim_entity_init(struct sim_entity *entity, struct sim_sched *sched);

/* Jobs still queued are cancelled: drm_sched_entity_kill(). */
void sim_entity_finish(struct sim_entity *entity);

void sim_job_init(struct sim_job *job, struct sim_entity *entity);
/* For a job that was never pushed; not the memory of the job itself. */
void sim_job_finish(struct sim_job *job);
/* Takes over the reference, also on failure. */
int sim_job_add_dependency(struct sim_job *job, struct sim_fence *fence);

/* From here on the job belongs to the scheduler. */
void sim_entity_push_job(struct sim_entity *entity, struct sim_job *job);

/* While held, no job starts. */
void sim_sched_hold(struct sim_sched *sched, bool hold);

/* What blocked jobs wait for may be there: they are run again. */
void sim_sched_unblock(struct sim_sched *sched);

/* Until no job is left that could run; does not wait for jobs whose dependencies do not come. */
void sim_sched_wait_idle(struct sim_sched *sched);

#endif /* SIM_SCHED_H */

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * A GPU scheduler; see the header. Must know nothing of what jobs do. Its state is under the lock
 * of all fences, since what it waits for are fences.
 */

#include "sim_sched.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/macros.h"

#include "sim_fault.h"
#include "sim_libc.h"

struct sim_sched {
   const char *name;
   struct list_head entities;
   uint64_t next_order;
   bool held;
   bool stopping;
   bool running_job;
   bool has_thread;
};

struct sim_sched *
sim_sched_create(const char *name)
{
   struct sim_sched *sched = calloc(1, sizeof(*sched));

   if (!sched)
      return NULL;
   sched->name = name;
   list_inithead(&sched->entities);
   return sched;
}

static void
job_release(struct sim_job *job)
{
   sim_job_finish(job);
   job->free(job);
}

static bool
job_is_ready_locked(struct sim_job *job)
{
   while (job->dep_count) {
      struct sim_fence *dep = job->deps[job->dep_count - 1];

      if (!sim_fence_is_signaled_locked(dep))
         return false;
      sim_fence_put(dep);
      job->dep_count--;
   }
   return true;
}

/* The oldest of those at the head of their FIFO that could run. */
static struct sim_job *
find_ready_job_locked(struct sim_sched *sched)
{
   struct sim_job *found = NULL;

   list_for_each_entry (struct sim_entity, entity, &sched->entities, link) {
      if (list_is_empty(&entity->jobs))
         continue;
      struct sim_job *job = list_first_entry(&entity->jobs, struct sim_job, link);
      if (!job->is_blocked && (!found || job->order < found->order) && job_is_ready_locked(job))
         found = job;
   }
   return found;
}

static void
unblock_jobs_locked(struct sim_sched *sched)
{
   list_for_each_entry (struct sim_entity, entity, &sched->entities, link) {
      if (!list_is_empty(&entity->jobs))
         list_first_entry(&entity->jobs, struct sim_job, link)->is_blocked = false;
   }
}

/* It stays the first of its entity, and the others get their turn. */
static void
block_job_locked(struct sim_sched *sched, struct sim_job *job)
{
   if (job->has_progressed)
      unblock_jobs_locked(sched);
   job->is_blocked = true;
   list_add(&job->link, &job->entity->jobs);
}

static void *
sched_thread(void *arg)
{
   struct sim_sched *sched = arg;

   sim_sync_lock();
   while (!sched->stopping) {
      struct sim_job *job = sched->held ? NULL : find_ready_job_locked(sched);

      if (!job) {
         sim_sync_wait_locked(UINT64_MAX);
         continue;
      }

      list_del(&job->link);
      sched->running_job = true;
      sim_sync_unlock();

      sim_fault_delay_job();
      int ret = job->run(job);
      if (ret != SIM_JOB_IS_BLOCKED) {
         sim_fence_signal(job->finished, ret);
         job_release(job);
      }

      sim_sync_lock();
      if (ret == SIM_JOB_IS_BLOCKED)
         block_job_locked(sched, job);
      else
         unblock_jobs_locked(sched);
      sched->running_job = false;
      sim_sync_changed_locked();
   }
   sim_sync_unlock();
   free(sched);
   return NULL;
}

/* Not before the first job: most VMs of most programs have none. */
static void
start_thread_locked(struct sim_sched *sched)
{
   if (!sim_start_thread(sched_thread, sched))
      sim_panic("cannot start a worker thread");
   sched->has_thread = true;
}

void
sim_sched_destroy(struct sim_sched *sched)
{
   sim_sync_lock();
   bool has_thread = sched->has_thread;
   sched->stopping = true;
   sim_sync_changed_locked();
   sim_sync_unlock();

   if (!has_thread)
      free(sched);
}

void
sim_entity_init(struct sim_entity *entity, struct sim_sched *sched)
{
   memset(entity, 0, sizeof(*entity));
   entity->sched = sched;
   entity->context = sim_fence_new_context();
   list_inithead(&entity->jobs);
   sim_sync_lock();
   list_addtail(&entity->link, &sched->entities);
   sim_sync_unlock();
}

void
sim_entity_finish(struct sim_entity *entity)
{
   struct list_head jobs;

   list_inithead(&jobs);
   sim_sync_lock();
   list_del(&entity->link);
   list_splicetail(&entity->jobs, &jobs);
   list_inithead(&entity->jobs);
   sim_sync_unlock();

   list_for_each_entry_safe (struct sim_job, job, &jobs, link) {
      sim_fence_signal(job->finished, -ESRCH);
      job_release(job);
   }
   sim_fence_put(entity->last_fence);
}

void
sim_job_init(struct sim_job *job, struct sim_entity *entity)
{
   job->entity = entity;
   sim_sync_lock();
   uint64_t seqno = ++entity->last_seqno;
   sim_sync_unlock();
   job->finished = sim_fence_create(entity->context, seqno, entity->sched->name);
}

void
sim_job_finish(struct sim_job *job)
{
   for (uint32_t i = 0; i < job->dep_count; i++)
      sim_fence_put(job->deps[i]);
   free(job->deps);
   job->deps = NULL;
   job->dep_count = 0;
   /* Somebody may wait for one that was never pushed. */
   if (job->finished)
      sim_fence_signal(job->finished, -ECANCELED);
   sim_fence_put(job->finished);
   job->finished = NULL;
}

int
sim_job_add_dependency(struct sim_job *job, struct sim_fence *fence)
{
   if (job->dep_count == job->dep_capacity) {
      uint32_t capacity = job->dep_capacity ? job->dep_capacity * 2 : 4;
      struct sim_fence **deps = realloc(job->deps, capacity * sizeof(*deps));

      if (!deps) {
         sim_fence_put(fence);
         return -ENOMEM;
      }
      job->deps = deps;
      job->dep_capacity = capacity;
   }
   job->deps[job->dep_count++] = fence;
   return 0;
}

void
sim_entity_push_job(struct sim_entity *entity, struct sim_job *job)
{
   struct sim_sched *sched = entity->sched;

   sim_sync_lock();
   sim_fence_put(entity->last_fence);
   entity->last_fence = sim_fence_get(job->finished);
   job->order = sched->next_order++;
   list_addtail(&job->link, &entity->jobs);
   if (!sched->has_thread)
      start_thread_locked(sched);
   sim_sync_changed_locked();
   sim_sync_unlock();
}

void
sim_sched_hold(struct sim_sched *sched, bool hold)
{
   sim_sync_lock();
   sched->held = hold;
   sim_sync_changed_locked();
   sim_sync_unlock();
}

void
sim_sched_unblock(struct sim_sched *sched)
{
   sim_sync_lock();
   unblock_jobs_locked(sched);
   sim_sync_changed_locked();
   sim_sync_unlock();
}

void
sim_sched_wait_idle(struct sim_sched *sched)
{
   sim_sync_lock();
   while (sched->running_job || (!sched->held && find_ready_job_locked(sched)))
      sim_sync_wait_locked(UINT64_MAX);
   sim_sync_unlock();
}

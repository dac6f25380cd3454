/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Submits of panthor jobs: what VM_BIND and GROUP_SUBMIT have in common. All is prepared before
 * anything is queued. Must know nothing of what the jobs do.
 */

#include "sim_panthor.h"

#include <errno.h>
#include <stdlib.h>

#include "util/macros.h"

#include "sim_libc.h"
#include "sim_syncobj.h"

#define SYNC_SIGNAL ((uint32_t)DRM_PANTHOR_SYNC_OP_SIGNAL)

struct panthor_sync_signal {
   uint32_t handle;
   uint64_t point;
   struct sim_syncobj *syncobj;
   /* Of the last job so far that signals it, or what was there before; NULL for neither */
   struct sim_fence *fence;
};

static bool
tail_is_zero(uint64_t user, size_t size)
{
   unsigned char byte;

   for (size_t i = 0; i < size; i++) {
      if (sim_copy_in(&byte, user + i, 1) || byte)
         return false;
   }
   return true;
}

void *
panthor_copy_array(const struct drm_panthor_obj_array *in, size_t min_stride, size_t obj_size,
                   int *ret)
{
   *ret = 0;
   if (!in->count)
      return NULL;
   if (in->stride < min_stride) {
      *ret = -EINVAL;
      return NULL;
   }

   void *array = sim_copy_in_array(in->array, in->count, in->stride, obj_size, ret);

   /* Fields of a future that this kernel does not know must be unused. */
   for (uint32_t i = 0; array && in->stride > obj_size && i < in->count; i++) {
      if (!tail_is_zero(in->array + (uint64_t)i * in->stride + obj_size, in->stride - obj_size)) {
         *ret = -E2BIG;
         free(array);
         return NULL;
      }
   }
   return array;
}

int
panthor_job_init(struct panthor_job *job, struct sim_entity *entity,
                 const struct drm_panthor_obj_array *syncs)
{
   int ret;

   job->syncs =
      panthor_copy_array(syncs, MIN_SIZE(sync_op, timeline_value), sizeof(*job->syncs), &ret);
   if (ret)
      return ret;
   job->sync_count = syncs->count;
   job->entity = entity;
   sim_job_init(&job->base, entity);
   return 0;
}

int
panthor_submit_init(struct panthor_submit *submit, struct sim_file *file, uint32_t job_count)
{
   *submit = (struct panthor_submit){
      .file = file,
      .jobs = calloc(MAX2(job_count, 1), sizeof(*submit->jobs)),
      .job_count = job_count,
   };
   return submit->jobs ? 0 : -ENOMEM;
}

static int
check_sync_op(const struct drm_panthor_sync_op *sync)
{
   uint32_t type = sync->flags & DRM_PANTHOR_SYNC_OP_HANDLE_TYPE_MASK;

   if (sync->flags & ~(SYNC_SIGNAL | DRM_PANTHOR_SYNC_OP_HANDLE_TYPE_MASK))
      return -EINVAL;
   if (type != DRM_PANTHOR_SYNC_OP_HANDLE_TYPE_SYNCOBJ &&
       type != DRM_PANTHOR_SYNC_OP_HANDLE_TYPE_TIMELINE_SYNCOBJ)
      return -EINVAL;
   if (type == DRM_PANTHOR_SYNC_OP_HANDLE_TYPE_SYNCOBJ && sync->timeline_value)
      return -EINVAL;
   return 0;
}

static struct panthor_sync_signal *
find_signal(struct panthor_submit *submit, const struct drm_panthor_sync_op *sync)
{
   for (uint32_t i = 0; i < submit->signal_count; i++) {
      if (submit->signals[i].handle == sync->handle &&
          submit->signals[i].point == sync->timeline_value)
         return &submit->signals[i];
   }
   return NULL;
}

static int
add_signal(struct panthor_submit *submit, const struct drm_panthor_sync_op *sync)
{
   if (submit->signal_count == submit->signal_capacity) {
      uint32_t capacity = submit->signal_capacity ? submit->signal_capacity * 2 : 8;
      struct panthor_sync_signal *signals = realloc(submit->signals, capacity * sizeof(*signals));

      if (!signals)
         return -ENOMEM;
      submit->signals = signals;
      submit->signal_capacity = capacity;
   }

   struct sim_syncobj *syncobj = sim_syncobj_find(submit->file, sync->handle);
   if (!syncobj) {
      sim_panic("a panthor submit with a SIGNAL of syncobj handle %u, which does not exist: the "
                "kernel (6.12 to 7.3) dereferences a null pointer here",
                sync->handle);
   }

   struct panthor_sync_signal *signal = &submit->signals[submit->signal_count++];
   *signal = (struct panthor_sync_signal){
      .handle = sync->handle,
      .point = sync->timeline_value,
      .syncobj = syncobj,
   };
   sim_syncobj_find_fence(submit->file, sync->handle, sync->timeline_value, &signal->fence);
   return 0;
}

static int
collect_signals(struct panthor_submit *submit, const struct panthor_job *job)
{
   for (uint32_t i = 0; i < job->sync_count; i++) {
      const struct drm_panthor_sync_op *sync = &job->syncs[i];

      if (!(sync->flags & SYNC_SIGNAL))
         continue;
      int ret = check_sync_op(sync);
      if (!ret && !find_signal(submit, sync))
         ret = add_signal(submit, sync);
      if (ret)
         return ret;
   }
   return 0;
}

static int
add_wait(struct panthor_submit *submit, struct panthor_job *job,
         const struct drm_panthor_sync_op *sync)
{
   struct panthor_sync_signal *signal = find_signal(submit, sync);
   struct sim_fence *fence;
   int ret = check_sync_op(sync);

   if (ret)
      return ret;
   if (signal) {
      /* Signalled only by this job or a later one of the same ioctl: the kernel warns, with a stack
       * trace, and refuses.
       */
      if (!signal->fence) {
         sim_log("a panthor submit waits for point %llu of syncobj handle %u, which only it signals: "
                 "the kernel says WARNING and -EINVAL",
                 (unsigned long long)sync->timeline_value, sync->handle);
         return -EINVAL;
      }
      fence = sim_fence_get(signal->fence);
   } else {
      ret = sim_syncobj_find_fence(submit->file, sync->handle, sync->timeline_value, &fence);
      if (ret)
         return ret;
   }
   return sim_job_add_dependency(&job->base, fence);
}

static int
add_waits_and_signals(struct panthor_submit *submit, struct panthor_job *job)
{
   for (uint32_t i = 0; i < job->sync_count; i++) {
      if (job->syncs[i].flags & SYNC_SIGNAL)
         continue;
      int ret = add_wait(submit, job, &job->syncs[i]);
      if (ret)
         return ret;
   }

   for (uint32_t i = 0; i < job->sync_count; i++) {
      if (!(job->syncs[i].flags & SYNC_SIGNAL))
         continue;
      struct panthor_sync_signal *signal = find_signal(submit, &job->syncs[i]);
      sim_fence_put(signal->fence);
      signal->fence = sim_fence_get(job->base.finished);
   }
   return 0;
}

static void
queue_all(struct panthor_submit *submit)
{
   for (uint32_t i = 0; i < submit->job_count; i++) {
      sim_entity_push_job(submit->jobs[i]->entity, &submit->jobs[i]->base);
      submit->jobs[i] = NULL;
   }
   for (uint32_t i = 0; i < submit->signal_count; i++) {
      struct panthor_sync_signal *signal = &submit->signals[i];

      if (signal->point)
         sim_syncobj_add_point(signal->syncobj, signal->fence, signal->point);
      else
         sim_syncobj_replace_fence(signal->syncobj, signal->fence);
   }
}

int
panthor_submit_push(struct panthor_submit *submit)
{
   int ret = 0;

   for (uint32_t i = 0; i < submit->job_count && !ret; i++)
      ret = collect_signals(submit, submit->jobs[i]);
   for (uint32_t i = 0; i < submit->job_count && !ret; i++)
      ret = add_waits_and_signals(submit, submit->jobs[i]);
   if (!ret)
      queue_all(submit);
   return ret;
}

void
panthor_submit_finish(struct panthor_submit *submit)
{
   for (uint32_t i = 0; submit->jobs && i < submit->job_count; i++) {
      struct panthor_job *job = submit->jobs[i];

      if (job) {
         sim_job_finish(&job->base);
         job->base.free(&job->base);
      }
   }
   for (uint32_t i = 0; i < submit->signal_count; i++) {
      sim_fence_put(submit->signals[i].fence);
      sim_syncobj_put(submit->signals[i].syncobj);
   }
   free(submit->signals);
   free(submit->jobs);
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Synchronisation of the xe personality's binds and submits: syncobjs, and user fences, which are values
 * that are written to the program's memory. Follows xe_sync.c and xe_wait_user_fence.c. Must know
 * nothing of binds and batches.
 */

#include "sim_xe.h"

#include <errno.h>
#include <stdlib.h>

#include "util/macros.h"
#include "util/u_atomic.h"

#include "sim_caller.h"
#include "sim_libc.h"
#include "sim_syncobj.h"

static bool
is_signal(const struct xe_sync *sync)
{
   return sync->in.flags & DRM_XE_SYNC_FLAG_SIGNAL;
}

void
xe_syncs_finish(struct xe_syncs *syncs)
{
   for (uint32_t i = 0; i < syncs->count; i++) {
      sim_fence_put(syncs->entries[i].fence);
      sim_syncobj_put(syncs->entries[i].syncobj);
   }
   free(syncs->entries);
}

static int
parse_syncobj(struct sim_file *file, struct xe_sync *sync, uint64_t point)
{
   if (sync->in.addr >> 32)
      return -EINVAL;
   sync->syncobj = sim_syncobj_find(file, sync->in.handle);
   if (!sync->syncobj)
      return -ENOENT;
   return is_signal(sync) ? 0 : sim_syncobj_find_fence(file, sync->in.handle, point, &sync->fence);
}

static int
parse_sync(struct sim_file *file, struct xe_sync *sync, bool lr_mode, bool allow_user_fence)
{
   if ((sync->in.flags & ~DRM_XE_SYNC_FLAG_SIGNAL) || sync->in.reserved[0] || sync->in.reserved[1])
      return -EINVAL;

   switch (sync->in.type) {
   case DRM_XE_SYNC_TYPE_SYNCOBJ:
      return lr_mode && is_signal(sync) ? -EOPNOTSUPP : parse_syncobj(file, sync, 0);
   case DRM_XE_SYNC_TYPE_TIMELINE_SYNCOBJ:
      if (lr_mode && is_signal(sync))
         return -EOPNOTSUPP;
      return sync->in.timeline_value ? parse_syncobj(file, sync, sync->in.timeline_value) : -EINVAL;
   case DRM_XE_SYNC_TYPE_USER_FENCE:
      if (!allow_user_fence || !is_signal(sync))
         return -EOPNOTSUPP;
      return sync->in.addr & 7 ? -EINVAL : 0;
   default:
      return -EINVAL;
   }
}

int
xe_syncs_parse(struct sim_file *file, uint64_t user, uint32_t count, bool lr_mode,
            bool allow_user_fence, struct xe_syncs *syncs)
{
   int ret;
   struct drm_xe_sync *in = sim_copy_in_array(user, count, sizeof(*in), sizeof(*in), &ret);

   syncs->entries = ret ? NULL : calloc(MAX2(count, 1), sizeof(*syncs->entries));
   if (!syncs->entries) {
      free(in);
      return ret ? ret : -ENOMEM;
   }

   for (uint32_t i = 0; i < count && !ret; i++) {
      struct xe_sync *sync = &syncs->entries[syncs->count++];

      sync->in = in[i];
      ret = parse_sync(file, sync, lr_mode, allow_user_fence);
      if (!ret && sync->in.type == DRM_XE_SYNC_TYPE_USER_FENCE) {
         if (syncs->user_fence)
            ret = -EINVAL;
         syncs->user_fence = &sync->in;
      }
   }
   free(in);
   return ret;
}

int
xe_syncs_add_waits(const struct xe_syncs *syncs, struct sim_job *job)
{
   int ret = 0;

   for (uint32_t i = 0; i < syncs->count && !ret; i++) {
      if (syncs->entries[i].fence)
         ret = sim_job_add_dependency(job, sim_fence_get(syncs->entries[i].fence));
   }
   return ret;
}

void
xe_syncs_signal(const struct xe_syncs *syncs, struct sim_fence *fence)
{
   for (uint32_t i = 0; i < syncs->count; i++) {
      const struct xe_sync *sync = &syncs->entries[i];

      if (!is_signal(sync) || !sync->syncobj)
         continue;
      if (sync->in.type == DRM_XE_SYNC_TYPE_TIMELINE_SYNCOBJ)
         sim_syncobj_add_point(sync->syncobj, fence, sync->in.timeline_value);
      else
         sim_syncobj_replace_fence(sync->syncobj, fence);
   }
}

/* Nothing to do but signalling, behind what the queue did last. Waits are refused by the kernel. */
int
xe_syncs_signal_only(const struct xe_syncs *syncs, struct sim_entity *entity)
{
   for (uint32_t i = 0; i < syncs->count; i++) {
      if (syncs->entries[i].fence)
         return -EOPNOTSUPP;
   }

   sim_sync_lock();
   struct sim_fence *fence = sim_fence_get(entity->last_fence);
   sim_sync_unlock();
   if (!fence)
      fence = sim_fence_create_signaled();
   xe_syncs_signal(syncs, fence);
   sim_fence_put(fence);
   return 0;
}

void
xe_write_user_fence(uint64_t addr, uint64_t value)
{
   if (!addr)
      return;
   sim_copy_out(addr, &value, sizeof(value));
   sim_sync_lock();
   sim_sync_changed_locked();
   sim_sync_unlock();
}

/* WAIT_USER_FENCE */

static bool
user_fence_passes(const struct drm_xe_wait_user_fence *args, uint64_t value)
{
   uint64_t got = value & args->mask, wanted = args->value & args->mask;

   switch (args->op) {
   case DRM_XE_UFENCE_WAIT_OP_EQ:
      return got == wanted;
   case DRM_XE_UFENCE_WAIT_OP_NEQ:
      return got != wanted;
   case DRM_XE_UFENCE_WAIT_OP_GT:
      return got > wanted;
   case DRM_XE_UFENCE_WAIT_OP_GTE:
      return got >= wanted;
   case DRM_XE_UFENCE_WAIT_OP_LT:
      return got < wanted;
   default:
      return got <= wanted;
   }
}

/* Absolute; a negative timeout is for ever, also an absolute one. */
static uint64_t
user_fence_deadline(struct drm_xe_wait_user_fence *args, uint64_t start_ns)
{
   if (args->timeout < 0) {
      args->timeout = INT64_MAX;
      return UINT64_MAX;
   }
   if (args->flags & DRM_XE_UFENCE_WAIT_FLAG_ABSTIME)
      return args->timeout;
   return start_ns + args->timeout;
}

static int
wait_for_user_fence(const struct drm_xe_wait_user_fence *args, struct xe_queue *queue,
                    uint64_t deadline_ns)
{
   uint64_t value;
   int ret;

   while (true) {
      if (sim_copy_in(&value, args->addr, sizeof(value)))
         return -EFAULT;
      if (user_fence_passes(args, value))
         return 0;
      if (queue && p_atomic_read(&queue->banned))
         return -EIO;
      uint64_t now_ns = sim_now_ns();
      if (now_ns >= deadline_ns)
         return -ETIME;
      /* The CPU may write it as well, and nobody would tell. */
      sim_sync_lock();
      ret = sim_sync_wait_locked(MIN2(deadline_ns, now_ns + 1000000));
      sim_sync_unlock();
      if (ret == -EINTR)
         return ret;
   }
}

int
xe_wait_user_fence_ioctl(struct sim_file *file, void *data)
{
   struct drm_xe_wait_user_fence *args = data;
   struct xe_queue *queue = NULL;

   if (args->extensions || args->pad || args->pad2 || args->reserved[0] || args->reserved[1])
      return -EINVAL;
   if ((args->flags & ~DRM_XE_UFENCE_WAIT_FLAG_ABSTIME) || args->op > DRM_XE_UFENCE_WAIT_OP_LTE ||
       (args->addr & 7))
      return -EINVAL;
   if (args->exec_queue_id) {
      queue = xe_queue_find(file, args->exec_queue_id);
      if (!queue)
         return -ENOENT;
   }

   const uint64_t start_ns = sim_now_ns();
   int ret = wait_for_user_fence(args, queue, user_fence_deadline(args, start_ns));
   if (!(args->flags & DRM_XE_UFENCE_WAIT_FLAG_ABSTIME))
      args->timeout = MAX2(args->timeout - (int64_t)(sim_now_ns() - start_ns), 0);
   xe_queue_put(queue);
   return ret;
}

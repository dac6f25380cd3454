/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Synchronisation objects; see the header. Follows drivers/gpu/drm/drm_syncobj.c of Linux 7.3,
 * errors and their order included. Must know nothing of drivers.
 *
 * Handles are guarded by their file's lock, the fence in a syncobj by the lock of all fences.
 */

#include "sim_syncobj.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "drm-uapi/drm.h"
#include "util/macros.h"
#include "util/u_atomic.h"

#include "sim_caller.h"
#include "sim_device.h"
#include "sim_fd.h"
#include "sim_libc.h"
#include "sim_sync_file.h"

/* drm_syncobj_find_fence()'s patience with a fence that is yet to come */
#define WAIT_FOR_SUBMIT_TIMEOUT_NS 5000000000ull

struct sim_syncobj {
   int32_t refcount;
   struct sim_fence *fence;
   struct list_head eventfds;
};

/* One SYNCOBJ_EVENTFD: first on the syncobj's list until there is a fence, then watching that. */
struct eventfd_entry {
   struct list_head link;
   struct sim_fence_watch watch;
   uint64_t point;
   uint32_t flags;
   int fd;
};

static void
eventfd_entry_finish(struct eventfd_entry *entry)
{
   sim_fence_put(entry->watch.fence);
   sim_libc()->close(entry->fd);
   free(entry);
}

static void
eventfd_entry_signal(struct eventfd_entry *entry)
{
   uint64_t one = 1;
   ssize_t written = write(entry->fd, &one, sizeof(one));

   (void)written;
   eventfd_entry_finish(entry);
}

static void
eventfd_fence_signaled(struct sim_fence_watch *watch)
{
   eventfd_entry_signal(container_of(watch, struct eventfd_entry, watch));
}

struct sim_syncobj *
sim_syncobj_get(struct sim_syncobj *syncobj)
{
   p_atomic_inc(&syncobj->refcount);
   return syncobj;
}

void
sim_syncobj_put(struct sim_syncobj *syncobj)
{
   if (!syncobj || !p_atomic_dec_zero(&syncobj->refcount))
      return;

   list_for_each_entry_safe (struct eventfd_entry, entry, &syncobj->eventfds, link) {
      list_del(&entry->link);
      eventfd_entry_finish(entry);
   }
   sim_fence_put(syncobj->fence);
   free(syncobj);
}

static bool
fd_get(void *object)
{
   sim_syncobj_get(object);
   return true;
}

static void
fd_release(void *object)
{
   sim_syncobj_put(object);
}

static const struct sim_fd_ops syncobj_fd_ops = {
   .type = SIM_FD_SYNCOBJ,
   .get = fd_get,
   .release = fd_release,
};

struct sim_syncobj *
sim_syncobj_find(struct sim_file *file, uint32_t handle)
{
   pthread_mutex_lock(&file->lock);
   struct sim_syncobj *syncobj = sim_handles_get(&file->syncobjs, handle);
   if (syncobj)
      sim_syncobj_get(syncobj);
   pthread_mutex_unlock(&file->lock);
   return syncobj;
}

/* The fence of a point, or NULL if there is none yet. With a reference; one that has signalled and
 * is gone is replaced by another that has.
 */
static struct sim_fence *
point_fence_locked(struct sim_syncobj *syncobj, uint64_t point)
{
   struct sim_fence *fence;

   if (!syncobj->fence || sim_fence_find_point_locked(syncobj->fence, point, &fence))
      return NULL;
   return fence ? sim_fence_get(fence) : sim_fence_create_signaled();
}

static int
find_fence(struct sim_file *file, uint32_t handle, uint64_t point, uint64_t flags,
           struct sim_fence **fence)
{
   struct sim_syncobj *syncobj = sim_syncobj_find(file, handle);
   int ret = 0;

   *fence = NULL;
   if (!syncobj)
      return -ENOENT;
   if (flags & ~DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT) {
      ret = -EINVAL;
      goto out;
   }

   sim_sync_lock();
   *fence = point_fence_locked(syncobj, point);
   if (!*fence)
      ret = -EINVAL;

   if (!*fence && (flags & DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT)) {
      uint64_t deadline_ns = sim_now_ns() + WAIT_FOR_SUBMIT_TIMEOUT_NS;

      ret = 0;
      while (!*fence && !ret) {
         ret = sim_sync_wait_locked(deadline_ns);
         *fence = point_fence_locked(syncobj, point);
      }
      ret = *fence ? 0 : ret;
   }
   sim_sync_unlock();

out:
   sim_syncobj_put(syncobj);
   return ret;
}

int
sim_syncobj_find_fence(struct sim_file *file, uint32_t handle, uint64_t point,
                       struct sim_fence **fence)
{
   return find_fence(file, handle, point, 0, fence);
}

/* Moves an entry on as far as the syncobj's fence allows. */
static void
eventfd_entry_advance_locked(struct sim_syncobj *syncobj, struct eventfd_entry *entry)
{
   entry->watch.fence = point_fence_locked(syncobj, entry->point);
   if (!entry->watch.fence)
      return;

   list_delinit(&entry->link);
   if (entry->flags & DRM_SYNCOBJ_WAIT_FLAGS_WAIT_AVAILABLE)
      eventfd_entry_signal(entry);
   else
      sim_fence_watch_locked(&entry->watch);
}

static void
fence_installed_locked(struct sim_syncobj *syncobj)
{
   list_for_each_entry_safe (struct eventfd_entry, entry, &syncobj->eventfds, link)
      eventfd_entry_advance_locked(syncobj, entry);
   sim_sync_changed_locked();
}

void
sim_syncobj_replace_fence(struct sim_syncobj *syncobj, struct sim_fence *fence)
{
   sim_sync_lock();
   struct sim_fence *old = syncobj->fence;
   syncobj->fence = sim_fence_get(fence);
   if (old != fence)
      fence_installed_locked(syncobj);
   sim_fence_put(old);
   sim_sync_unlock();
}

void
sim_syncobj_add_point(struct sim_syncobj *syncobj, struct sim_fence *fence, uint64_t point)
{
   sim_sync_lock();
   syncobj->fence = sim_fence_chain_locked(syncobj->fence, fence, point);
   fence_installed_locked(syncobj);
   /* Lets go of what has signalled, as the kernel's does here. */
   for (struct sim_fence *node = syncobj->fence; node;)
      node = sim_fence_chain_walk_locked(node);
   sim_sync_unlock();
}

static int
syncobj_create(struct sim_fence *fence, struct sim_syncobj **out)
{
   struct sim_syncobj *syncobj = calloc(1, sizeof(*syncobj));

   if (!syncobj)
      return -ENOMEM;
   syncobj->refcount = 1;
   syncobj->fence = fence;
   list_inithead(&syncobj->eventfds);
   *out = syncobj;
   return 0;
}

/* Takes over the reference, also on failure. */
static int
add_handle(struct sim_file *file, struct sim_syncobj *syncobj, uint32_t *handle)
{
   pthread_mutex_lock(&file->lock);
   *handle = sim_handles_add(&file->syncobjs, syncobj);
   pthread_mutex_unlock(&file->lock);

   if (!*handle) {
      sim_syncobj_put(syncobj);
      return -ENOMEM;
   }
   return 0;
}

void
sim_syncobj_release_file(struct sim_file *file)
{
   for (uint32_t i = 0; i < file->syncobjs.capacity; i++)
      sim_syncobj_put(file->syncobjs.objects[i]);
   sim_handles_finish(&file->syncobjs);
}

int
sim_syncobj_create_ioctl(struct sim_file *file, void *data)
{
   struct drm_syncobj_create *args = data;
   struct sim_syncobj *syncobj;

   if (args->flags & ~DRM_SYNCOBJ_CREATE_SIGNALED)
      return -EINVAL;

   bool signaled = args->flags & DRM_SYNCOBJ_CREATE_SIGNALED;
   int ret = syncobj_create(signaled ? sim_fence_create_signaled() : NULL, &syncobj);
   return ret ? ret : add_handle(file, syncobj, &args->handle);
}

int
sim_syncobj_destroy_ioctl(struct sim_file *file, void *data)
{
   struct drm_syncobj_destroy *args = data;

   if (args->pad)
      return -EINVAL;

   pthread_mutex_lock(&file->lock);
   struct sim_syncobj *syncobj = sim_handles_remove(&file->syncobjs, args->handle);
   pthread_mutex_unlock(&file->lock);
   if (!syncobj)
      return -EINVAL;
   sim_syncobj_put(syncobj);
   return 0;
}

static int
export_sync_file(struct sim_file *file, uint32_t handle, uint64_t point, int *fd)
{
   struct sim_fence *fence;
   int ret = find_fence(file, handle, point, 0, &fence);

   if (ret)
      return ret;
   ret = sim_sync_file_create(fence, NULL);
   sim_fence_put(fence);
   if (ret < 0)
      return ret;
   *fd = ret;
   return 0;
}

static int
import_sync_file(struct sim_file *file, int fd, uint32_t handle, uint64_t point)
{
   struct sim_fence *fence = sim_sync_file_get_fence(fd);

   if (!fence)
      return -EINVAL;

   struct sim_syncobj *syncobj = sim_syncobj_find(file, handle);
   if (!syncobj) {
      sim_fence_put(fence);
      return -ENOENT;
   }

   if (point)
      sim_syncobj_add_point(syncobj, fence, point);
   else
      sim_syncobj_replace_fence(syncobj, fence);
   sim_fence_put(fence);
   sim_syncobj_put(syncobj);
   return 0;
}

int
sim_syncobj_handle_to_fd_ioctl(struct sim_file *file, void *data)
{
   struct drm_syncobj_handle *args = data;
   const uint32_t valid_flags =
      DRM_SYNCOBJ_HANDLE_TO_FD_FLAGS_TIMELINE | DRM_SYNCOBJ_HANDLE_TO_FD_FLAGS_EXPORT_SYNC_FILE;
   uint64_t point = 0;

   if (args->pad || (args->flags & ~valid_flags))
      return -EINVAL;
   if (args->flags & DRM_SYNCOBJ_HANDLE_TO_FD_FLAGS_TIMELINE)
      point = args->point;
   if (args->flags & DRM_SYNCOBJ_HANDLE_TO_FD_FLAGS_EXPORT_SYNC_FILE)
      return export_sync_file(file, args->handle, point, &args->fd);
   if (args->point)
      return -EINVAL;

   struct sim_syncobj *syncobj = sim_syncobj_find(file, args->handle);
   if (!syncobj)
      return -EINVAL;
   int ret = sim_fd_create(&syncobj_fd_ops, syncobj, true);
   if (ret < 0) {
      sim_syncobj_put(syncobj);
      return ret;
   }
   args->fd = ret;
   return 0;
}

int
sim_syncobj_fd_to_handle_ioctl(struct sim_file *file, void *data)
{
   struct drm_syncobj_handle *args = data;
   const uint32_t valid_flags =
      DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_TIMELINE | DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_IMPORT_SYNC_FILE;
   uint64_t point = 0;

   if (args->pad || (args->flags & ~valid_flags))
      return -EINVAL;
   if (args->flags & DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_TIMELINE)
      point = args->point;
   if (args->flags & DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_IMPORT_SYNC_FILE)
      return import_sync_file(file, args->fd, args->handle, point);
   if (args->point)
      return -EINVAL;

   struct sim_syncobj *syncobj = sim_fd_lookup(args->fd, &syncobj_fd_ops);
   return syncobj ? add_handle(file, syncobj, &args->handle) : -EINVAL;
}

int
sim_syncobj_transfer_ioctl(struct sim_file *file, void *data)
{
   struct drm_syncobj_transfer *args = data;
   struct sim_fence *fence;

   if (args->pad)
      return -EINVAL;

   struct sim_syncobj *dst = sim_syncobj_find(file, args->dst_handle);
   if (!dst)
      return -ENOENT;

   int ret = find_fence(file, args->src_handle, args->src_point, args->flags, &fence);
   if (ret)
      goto out;

   if (args->dst_point) {
      /* A timeline's node holds no other chain: what is inside is merged. */
      sim_sync_lock();
      struct sim_fence *merged = sim_fence_merge_locked(fence, NULL);
      sim_sync_unlock();
      if (merged)
         sim_syncobj_add_point(dst, merged, args->dst_point);
      else
         ret = -ENOMEM;
      sim_fence_put(merged);
   } else {
      sim_syncobj_replace_fence(dst, fence);
   }
   sim_fence_put(fence);

out:
   sim_syncobj_put(dst);
   return ret;
}

/* Syncobjs by an array of handles in the program's memory */

static void
syncobj_array_finish(struct sim_syncobj **syncobjs, uint32_t count)
{
   for (uint32_t i = 0; i < count; i++)
      sim_syncobj_put(syncobjs[i]);
   free(syncobjs);
}

static int
syncobj_array_find(struct sim_file *file, uint64_t user_handles, uint32_t count,
                   struct sim_syncobj ***out)
{
   int ret;
   uint32_t *handles =
      sim_copy_in_array(user_handles, count, sizeof(*handles), sizeof(*handles), &ret);

   if (ret)
      return ret;

   struct sim_syncobj **syncobjs = calloc(count, sizeof(*syncobjs));
   if (!syncobjs) {
      ret = -ENOMEM;
      goto out_handles;
   }

   for (uint32_t i = 0; i < count; i++) {
      syncobjs[i] = sim_syncobj_find(file, handles[i]);
      if (!syncobjs[i]) {
         ret = -ENOENT;
         syncobj_array_finish(syncobjs, i);
         goto out_handles;
      }
   }
   *out = syncobjs;

out_handles:
   free(handles);
   return ret;
}

/* Waiting */

struct wait {
   struct sim_syncobj **syncobjs;
   const uint64_t *points;
   /* A fence is kept once it is found: a later reset does not take it away from the waiter. */
   struct sim_fence **fences;
   uint32_t count;
   uint32_t flags;
   uint64_t deadline_ns;
   /* When the program wants them signalled: WAIT_DEADLINE */
   uint64_t hint_ns;
   uint32_t first;
};

static bool
wait_may_lack_fences(const struct wait *wait)
{
   return wait->flags &
          (DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT | DRM_SYNCOBJ_WAIT_FLAGS_WAIT_AVAILABLE);
}

static bool
wait_entry_is_done_locked(const struct wait *wait, uint32_t i)
{
   return wait->fences[i] && ((wait->flags & DRM_SYNCOBJ_WAIT_FLAGS_WAIT_AVAILABLE) ||
                              sim_fence_is_signaled_locked(wait->fences[i]));
}

static void
wait_find_fences_locked(struct wait *wait)
{
   for (uint32_t i = 0; i < wait->count; i++) {
      if (!wait->fences[i])
         wait->fences[i] =
            point_fence_locked(wait->syncobjs[i], wait->points ? wait->points[i] : 0);
   }
}

/* How many are done. The first of them is told unless all are asked for after having slept. */
static uint32_t
wait_count_done_locked(struct wait *wait, bool tell_first)
{
   uint32_t done = 0;

   for (uint32_t i = 0; i < wait->count; i++) {
      if (!wait_entry_is_done_locked(wait, i))
         continue;
      if (done == 0 && tell_first)
         wait->first = i;
      done++;
   }
   return done;
}

static void
wait_set_deadlines_locked(const struct wait *wait)
{
   for (uint32_t i = 0; i < wait->count; i++) {
      if (wait->fences[i])
         sim_fence_set_deadline_locked(wait->fences[i], wait->hint_ns);
   }
}

static int
wait_run_locked(struct wait *wait)
{
   bool all = wait->flags & DRM_SYNCOBJ_WAIT_FLAGS_WAIT_ALL;
   uint32_t wanted = all ? wait->count : 1;

   wait_find_fences_locked(wait);
   if (!wait_may_lack_fences(wait)) {
      for (uint32_t i = 0; i < wait->count; i++) {
         if (!wait->fences[i])
            return -EINVAL;
      }
   }
   if (wait_count_done_locked(wait, true) >= wanted)
      return 0;

   if (wait->flags & DRM_SYNCOBJ_WAIT_FLAGS_WAIT_DEADLINE)
      wait_set_deadlines_locked(wait);

   int ret = wait->deadline_ns && sim_now_ns() < wait->deadline_ns ? 0 : -ETIME;
   while (true) {
      if (!ret)
         ret = sim_sync_wait_locked(wait->deadline_ns);
      wait_find_fences_locked(wait);
      if (wait_count_done_locked(wait, !all) >= wanted)
         return 0;
      if (ret)
         return ret;
   }
}

static uint64_t
deadline_from_timeout(int64_t timeout_nsec)
{
   /* Further off than the machine will run */
   if (timeout_nsec > INT64_MAX / 2)
      return UINT64_MAX;
   return timeout_nsec > 0 ? timeout_nsec : 0;
}

static int
wait_ioctl(struct sim_file *file, uint64_t handles, uint64_t points, bool timeline, uint32_t count,
           uint32_t flags, int64_t timeout_nsec, uint64_t hint_ns, uint32_t *first_signaled)
{
   uint64_t *copied_points = NULL;
   struct wait wait = {
      .count = count,
      .flags = flags,
      .deadline_ns = deadline_from_timeout(timeout_nsec),
      .hint_ns = hint_ns,
      .first = UINT32_MAX,
   };

   int ret = syncobj_array_find(file, handles, count, &wait.syncobjs);
   if (ret)
      return ret;

   if (timeline && points) {
      copied_points = sim_copy_in_array(points, count, sizeof(uint64_t), sizeof(uint64_t), &ret);
      if (ret)
         goto out;
      wait.points = copied_points;
   }

   wait.fences = calloc(count, sizeof(*wait.fences));
   if (!wait.fences) {
      ret = -ENOMEM;
      goto out;
   }

   sim_sync_lock();
   ret = wait_run_locked(&wait);
   sim_sync_unlock();
   if (!ret)
      *first_signaled = wait.first;

   for (uint32_t i = 0; i < count; i++)
      sim_fence_put(wait.fences[i]);

out:
   free(wait.fences);
   free(copied_points);
   syncobj_array_finish(wait.syncobjs, count);
   return ret;
}

int
sim_syncobj_wait_ioctl(struct sim_file *file, void *data)
{
   struct drm_syncobj_wait *args = data;

   if (args->flags & ~(DRM_SYNCOBJ_WAIT_FLAGS_WAIT_ALL | DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT |
                       DRM_SYNCOBJ_WAIT_FLAGS_WAIT_DEADLINE))
      return -EINVAL;
   if (args->count_handles == 0)
      return 0;
   return wait_ioctl(file, args->handles, 0, false, args->count_handles, args->flags,
                     args->timeout_nsec, args->deadline_nsec, &args->first_signaled);
}

int
sim_syncobj_timeline_wait_ioctl(struct sim_file *file, void *data)
{
   struct drm_syncobj_timeline_wait *args = data;

   if (args->flags &
       ~(DRM_SYNCOBJ_WAIT_FLAGS_WAIT_ALL | DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT |
         DRM_SYNCOBJ_WAIT_FLAGS_WAIT_AVAILABLE | DRM_SYNCOBJ_WAIT_FLAGS_WAIT_DEADLINE))
      return -EINVAL;
   if (args->count_handles == 0)
      return 0;
   return wait_ioctl(file, args->handles, args->points, true, args->count_handles, args->flags,
                     args->timeout_nsec, args->deadline_nsec, &args->first_signaled);
}

static bool
is_eventfd(int fd)
{
   char path[64], target[64];

   snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
   ssize_t length = readlink(path, target, sizeof(target) - 1);
   if (length < 0)
      return false;
   target[length] = '\0';
   return strstr(target, "[eventfd]");
}

int
sim_syncobj_eventfd_ioctl(struct sim_file *file, void *data)
{
   struct drm_syncobj_eventfd *args = data;
   int ret;

   if ((args->flags & ~DRM_SYNCOBJ_WAIT_FLAGS_WAIT_AVAILABLE) || args->pad)
      return -EINVAL;

   struct sim_syncobj *syncobj = sim_syncobj_find(file, args->handle);
   if (!syncobj)
      return -ENOENT;

   int fd = sim_caller_dup_fd(args->fd);
   if (fd < 0) {
      ret = fd;
      goto fail_syncobj;
   }
   fd = sim_hide_fd(fd);
   if (!is_eventfd(fd)) {
      ret = -EINVAL;
      goto fail_fd;
   }

   struct eventfd_entry *entry = calloc(1, sizeof(*entry));
   if (!entry) {
      ret = -ENOMEM;
      goto fail_fd;
   }
   entry->watch.signaled = eventfd_fence_signaled;
   entry->point = args->point;
   entry->flags = args->flags;
   entry->fd = fd;

   sim_sync_lock();
   list_addtail(&entry->link, &syncobj->eventfds);
   eventfd_entry_advance_locked(syncobj, entry);
   sim_sync_unlock();
   sim_syncobj_put(syncobj);
   return 0;

fail_fd:
   sim_libc()->close(fd);
fail_syncobj:
   sim_syncobj_put(syncobj);
   return ret;
}

int
sim_syncobj_reset_ioctl(struct sim_file *file, void *data)
{
   struct drm_syncobj_array *args = data;
   struct sim_syncobj **syncobjs;

   if (args->pad || args->count_handles == 0)
      return -EINVAL;
   int ret = syncobj_array_find(file, args->handles, args->count_handles, &syncobjs);
   if (ret)
      return ret;

   for (uint32_t i = 0; i < args->count_handles; i++)
      sim_syncobj_replace_fence(syncobjs[i], NULL);
   syncobj_array_finish(syncobjs, args->count_handles);
   return 0;
}

int
sim_syncobj_signal_ioctl(struct sim_file *file, void *data)
{
   struct drm_syncobj_array *args = data;
   struct sim_syncobj **syncobjs;

   if (args->pad || args->count_handles == 0)
      return -EINVAL;
   int ret = syncobj_array_find(file, args->handles, args->count_handles, &syncobjs);
   if (ret)
      return ret;

   for (uint32_t i = 0; i < args->count_handles; i++) {
      struct sim_fence *fence = sim_fence_create_signaled();
      sim_syncobj_replace_fence(syncobjs[i], fence);
      sim_fence_put(fence);
   }
   syncobj_array_finish(syncobjs, args->count_handles);
   return 0;
}

int
sim_syncobj_timeline_signal_ioctl(struct sim_file *file, void *data)
{
   struct drm_syncobj_timeline_array *args = data;
   struct sim_syncobj **syncobjs;
   uint64_t *points = NULL;

   if (args->flags || args->count_handles == 0)
      return -EINVAL;
   int ret = syncobj_array_find(file, args->handles, args->count_handles, &syncobjs);
   if (ret)
      return ret;

   if (args->points) {
      points = sim_copy_in_array(args->points, args->count_handles, sizeof(*points),
                                 sizeof(*points), &ret);
      if (ret)
         goto out;
   }

   for (uint32_t i = 0; i < args->count_handles; i++) {
      struct sim_fence *fence = sim_fence_create_signaled();
      sim_syncobj_add_point(syncobjs[i], fence, points ? points[i] : 0);
      sim_fence_put(fence);
   }

out:
   free(points);
   syncobj_array_finish(syncobjs, args->count_handles);
   return ret;
}

static uint64_t
last_signaled_point_locked(struct sim_fence *fence)
{
   struct sim_fence *last = fence;

   for (struct sim_fence *node = fence; node; node = sim_fence_chain_walk_locked(node)) {
      /* Points were added out of order. */
      if (node->context != fence->context)
         break;
      last = node;
   }
   return sim_fence_is_signaled_locked(last) ? last->seqno : last->chain.prev_seqno;
}

static uint64_t
query_locked(struct sim_syncobj *syncobj, uint32_t flags)
{
   struct sim_fence *fence = syncobj->fence;

   if (!fence || fence->kind != SIM_FENCE_CHAIN)
      return 0;
   if (flags & DRM_SYNCOBJ_QUERY_FLAGS_LAST_SUBMITTED)
      return fence->seqno;
   return last_signaled_point_locked(fence);
}

int
sim_syncobj_query_ioctl(struct sim_file *file, void *data)
{
   struct drm_syncobj_timeline_array *args = data;
   struct sim_syncobj **syncobjs;

   if ((args->flags & ~DRM_SYNCOBJ_QUERY_FLAGS_LAST_SUBMITTED) || args->count_handles == 0)
      return -EINVAL;
   int ret = syncobj_array_find(file, args->handles, args->count_handles, &syncobjs);
   if (ret)
      return ret;

   for (uint32_t i = 0; i < args->count_handles && !ret; i++) {
      sim_sync_lock();
      uint64_t point = query_locked(syncobjs[i], args->flags);
      sim_sync_unlock();
      ret = sim_copy_out(args->points + i * sizeof(point), &point, sizeof(point));
   }
   syncobj_array_finish(syncobjs, args->count_handles);
   return ret;
}

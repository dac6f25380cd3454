/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Sync files; see the header. Follows drivers/dma-buf/sync_file.c. Must know nothing of DRM.
 */

#include "sim_sync_file.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/sync_file.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/macros.h"
#include "util/u_atomic.h"

#include "sim_caller.h"
#include "sim_fd.h"
#include "sim_libc.h"

/* Younger than some C libraries' headers; the number and the layout are the kernel's. */
struct sim_set_deadline {
   __u64 deadline_ns;
   __u64 pad;
};
#define SIM_SYNC_IOC_SET_DEADLINE _IOW(SYNC_IOC_MAGIC, 5, struct sim_set_deadline)

struct sync_file {
   int32_t refcount;
   struct sim_fence_watch watch;
   char name[32];
};

static bool
sync_file_get(void *object)
{
   struct sync_file *file = object;

   p_atomic_inc(&file->refcount);
   return true;
}

static void
sync_file_put(void *object)
{
   struct sync_file *file = object;

   if (!p_atomic_dec_zero(&file->refcount))
      return;

   sim_sync_lock();
   sim_fence_unwatch_locked(&file->watch);
   sim_sync_unlock();
   sim_fence_put(file->watch.fence);
   free(file);
}

static const struct sim_fd_ops sync_file_ops = {
   .type = SIM_FD_SYNC_FILE,
   .get = sync_file_get,
   .release = sync_file_put,
};

static void
sync_file_signaled(struct sim_fence_watch *watch)
{
   sim_fd_set_readable(&sync_file_ops, container_of(watch, struct sync_file, watch),
                       watch->fence->error);
}

int
sim_sync_file_create(struct sim_fence *fence, const char *name)
{
   struct sync_file *file = calloc(1, sizeof(*file));

   if (!file)
      return -ENOMEM;
   file->refcount = 1;
   file->watch.fence = sim_fence_get(fence);
   file->watch.signaled = sync_file_signaled;
   list_inithead(&file->watch.link);
   if (name)
      snprintf(file->name, sizeof(file->name), "%s", name);

   int fd = sim_fd_create(&sync_file_ops, file, true);
   if (fd < 0) {
      sync_file_put(file);
      return fd;
   }

   sim_sync_lock();
   sim_fence_watch_locked(&file->watch);
   sim_sync_unlock();
   return fd;
}

/* A fence that signals when another process's sync file does: all that is known of it here */
struct foreign {
   int fd;
   struct sim_fence *fence;
};

static void *
watch_foreign(void *arg)
{
   struct foreign *foreign = arg;

   sim_fence_signal(foreign->fence, sim_fd_wait_for_foreign(foreign->fd));
   sim_fence_put(foreign->fence);
   sim_libc()->close(foreign->fd);
   free(foreign);
   return NULL;
}

static struct sim_fence *
foreign_fence(int fd)
{
   struct foreign *foreign = NULL;
   struct sim_fence *fence = NULL;
   int copy = sim_caller_dup_fd(fd);

   if (copy < 0)
      return NULL;
   if (sim_fd_is_foreign_sync_file(copy))
      foreign = malloc(sizeof(*foreign));
   if (!foreign) {
      sim_libc()->close(copy);
      return NULL;
   }
   fence = sim_fence_create(sim_fence_new_context(), 1, "another process");
   *foreign = (struct foreign){.fd = sim_hide_fd(copy), .fence = sim_fence_get(fence)};
   if (!sim_start_thread(watch_foreign, foreign)) {
      sim_fence_signal(fence, -ENOMEM);
      sim_fence_put(fence);
      sim_libc()->close(foreign->fd);
      free(foreign);
   }
   return fence;
}

struct sim_fence *
sim_sync_file_get_fence(int fd)
{
   struct sync_file *file = sim_fd_lookup(fd, &sync_file_ops);

   if (!file)
      return foreign_fence(fd);
   struct sim_fence *fence = sim_fence_get(file->watch.fence);
   sync_file_put(file);
   return fence;
}

static int
ioctl_merge(struct sync_file *file, void *arg)
{
   struct sync_merge_data data;

   if (sim_copy_in(&data, (uintptr_t)arg, sizeof(data)))
      return -EFAULT;
   if (data.flags || data.pad)
      return -EINVAL;

   struct sim_fence *other = sim_sync_file_get_fence(data.fd2);
   if (!other)
      return -ENOENT;

   sim_sync_lock();
   struct sim_fence *merged = sim_fence_merge_locked(file->watch.fence, other);
   sim_sync_unlock();
   sim_fence_put(other);
   if (!merged)
      return -ENOMEM;

   data.name[sizeof(data.name) - 1] = '\0';
   data.fence = sim_sync_file_create(merged, data.name);
   sim_fence_put(merged);
   if (data.fence < 0)
      return data.fence;

   if (sim_copy_out((uintptr_t)arg, &data, sizeof(data))) {
      sim_caller_close_fd(data.fence);
      return -EFAULT;
   }
   return 0;
}

static void
describe_fence_locked(struct sim_fence *fence, struct sync_fence_info *info)
{
   snprintf(info->obj_name, sizeof(info->obj_name), "%s", fence->timeline_name);
   snprintf(info->driver_name, sizeof(info->driver_name), "%s", fence->driver_name);
   info->status = sim_fence_status_locked(fence);
   info->timestamp_ns = info->status ? fence->timestamp_ns : 0;
}

static void
describe_unnamed(const struct sim_fence *fence, char *name, size_t size)
{
   char text[128];

   snprintf(text, sizeof(text), "%s-%s%" PRIu64 "-%" PRId64, fence->driver_name,
            fence->timeline_name, fence->context, (int64_t)fence->seqno);
   snprintf(name, size, "%.*s", (int)size - 1, text);
}

static int
ioctl_file_info(struct sync_file *file, void *arg)
{
   struct sim_fence *fence = file->watch.fence;
   struct sync_fence_info *infos = NULL;
   struct sync_file_info info;
   int ret = 0;

   if (sim_copy_in(&info, (uintptr_t)arg, sizeof(info)))
      return -EFAULT;
   if (info.flags || info.pad)
      return -EINVAL;

   sim_sync_lock();

   uint32_t count = sim_fence_unwrap_locked(fence, NULL, 0);
   if (info.num_fences == 0) {
      info.status = sim_fence_status_locked(fence);
      goto out;
   }
   if (info.num_fences < count) {
      ret = -EINVAL;
      goto out;
   }

   struct sim_fence **fences = calloc(count, sizeof(*fences));
   infos = calloc(count, sizeof(*infos));
   if (fences && infos) {
      sim_fence_unwrap_locked(fence, fences, count);
      info.status = 1;
      for (uint32_t i = 0; i < count; i++) {
         describe_fence_locked(fences[i], &infos[i]);
         if (info.status > 0)
            info.status = infos[i].status;
      }
   } else {
      ret = -ENOMEM;
   }
   free(fences);

out:
   sim_sync_unlock();
   if (!ret && infos)
      ret = sim_copy_out(info.sync_fence_info, infos, count * sizeof(*infos));
   free(infos);
   if (ret)
      return ret;

   if (file->name[0])
      snprintf(info.name, sizeof(info.name), "%s", file->name);
   else
      describe_unnamed(fence, info.name, sizeof(info.name));
   info.num_fences = count;
   return sim_copy_out((uintptr_t)arg, &info, sizeof(info));
}

static int
ioctl_set_deadline(struct sync_file *file, void *arg)
{
   struct sim_set_deadline deadline;

   if (sim_copy_in(&deadline, (uintptr_t)arg, sizeof(deadline)))
      return -EFAULT;
   if (deadline.pad)
      return -EINVAL;
   sim_sync_lock();
   sim_fence_set_deadline_locked(file->watch.fence, deadline.deadline_ns);
   sim_sync_unlock();
   return 0;
}

int
sim_sync_file_ioctl(int fd, unsigned long request, void *arg)
{
   struct sync_file *file = sim_fd_lookup(fd, &sync_file_ops);
   int ret;

   if (!file)
      return -ENOTTY;

   switch ((uint32_t)request) {
   case SYNC_IOC_MERGE:
      ret = ioctl_merge(file, arg);
      break;
   case SYNC_IOC_FILE_INFO:
      ret = ioctl_file_info(file, arg);
      break;
   case SIM_SYNC_IOC_SET_DEADLINE:
      ret = ioctl_set_deadline(file, arg);
      break;
   default:
      ret = -ENOTTY;
      break;
   }
   sync_file_put(file);
   return ret;
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Software timelines; see the header. Follows drivers/dma-buf/sw_sync.c. Must know nothing of DRM.
 */

#include "sim_sw_sync.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/types.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>

#include "util/list.h"
#include "util/macros.h"
#include "util/u_atomic.h"

#include "sim_caller.h"
#include "sim_fd.h"
#include "sim_fence.h"
#include "sim_libc.h"
#include "sim_sync_file.h"

/* No header of the kernel's has these: facts of its ABI for tests. */
struct create_fence {
   __u32 value;
   char name[32];
   __s32 fence;
};

struct get_deadline {
   __u64 deadline_ns;
   __u32 pad;
   __s32 fence_fd;
};

#define IOC_CREATE_FENCE _IOWR(SIM_SW_SYNC_MAGIC, 0, struct create_fence)
#define IOC_INC          _IOW(SIM_SW_SYNC_MAGIC, 1, __u32)
#define IOC_GET_DEADLINE _IOWR(SIM_SW_SYNC_MAGIC, 2, struct get_deadline)

/* The name is also how a fence of ours is known again. */
static const char SW_SYNC_DRIVER_NAME[] = "sw_sync";

struct point {
   struct list_head link;
   uint32_t value;
   struct sim_fence *fence;
};

/* All under the lock of all fences */
struct timeline {
   int32_t refcount;
   /* The task's that opened it. The fences' names point here: never freed. */
   const char *name;
   uint64_t context;
   uint32_t value;
   /* That have not signalled, one for each value */
   struct list_head points;
};

static bool
timeline_get(void *object)
{
   struct timeline *timeline = object;

   p_atomic_inc(&timeline->refcount);
   return true;
}

static void
point_signal_locked(struct point *point, int error)
{
   list_del(&point->link);
   sim_fence_signal_locked(point->fence, error);
   sim_fence_put(point->fence);
   free(point);
}

static void
timeline_put(void *object)
{
   struct timeline *timeline = object;

   if (!p_atomic_dec_zero(&timeline->refcount))
      return;

   /* Nobody can signal them any more: they have failed. */
   sim_sync_lock();
   list_for_each_entry_safe (struct point, point, &timeline->points, link)
      point_signal_locked(point, -ENOENT);
   sim_sync_unlock();
   free(timeline);
}

static const struct sim_fd_ops timeline_ops = {
   .type = SIM_FD_SW_SYNC,
   .get = timeline_get,
   .release = timeline_put,
};

/* Names of tasks, each kept once: a fence may outlive its timeline. */
static const char *
task_name(void)
{
   static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
   static struct task {
      struct task *next;
      char name[16];
   } *tasks;
   char name[16] = "";

   prctl(PR_GET_NAME, name);
   pthread_mutex_lock(&lock);
   struct task *task = tasks;
   while (task && strcmp(task->name, name))
      task = task->next;
   if (!task && (task = calloc(1, sizeof(*task)))) {
      memcpy(task->name, name, sizeof(name));
      task->next = tasks;
      tasks = task;
   }
   pthread_mutex_unlock(&lock);
   return task ? task->name : "";
}

int
sim_sw_sync_open(int flags)
{
   struct timeline *timeline = calloc(1, sizeof(*timeline));

   if (!timeline)
      return -ENOMEM;
   timeline->refcount = 1;
   timeline->context = sim_fence_new_context();
   timeline->name = task_name();
   list_inithead(&timeline->points);

   int fd = sim_fd_create(&timeline_ops, timeline, flags & O_CLOEXEC);
   if (fd < 0)
      free(timeline);
   return fd;
}

/* In the arithmetic of numbers that wrap */
static bool
is_reached(const struct timeline *timeline, uint32_t value)
{
   return (int32_t)(value - timeline->value) <= 0;
}

/* The fence of a value, with a reference */
static struct sim_fence *
find_or_create_locked(struct timeline *timeline, uint32_t value)
{
   list_for_each_entry (struct point, point, &timeline->points, link) {
      if (point->value == value)
         return sim_fence_get(point->fence);
   }

   struct sim_fence *fence = sim_fence_create(timeline->context, value, timeline->name);
   fence->driver_name = SW_SYNC_DRIVER_NAME;
   if (is_reached(timeline, value)) {
      sim_fence_signal_locked(fence, 0);
      return fence;
   }

   struct point *point = calloc(1, sizeof(*point));
   if (!point) {
      sim_fence_put(fence);
      return NULL;
   }
   point->value = value;
   point->fence = sim_fence_get(fence);
   list_addtail(&point->link, &timeline->points);
   return fence;
}

static int
ioctl_create_fence(struct timeline *timeline, void *arg)
{
   struct create_fence args;

   if (sim_copy_in(&args, (uintptr_t)arg, sizeof(args)))
      return -EFAULT;

   sim_sync_lock();
   struct sim_fence *fence = find_or_create_locked(timeline, args.value);
   sim_sync_unlock();
   args.fence = fence ? sim_sync_file_create(fence, NULL) : -ENOMEM;
   sim_fence_put(fence);
   if (args.fence < 0)
      return args.fence;

   if (sim_copy_out((uintptr_t)arg, &args, sizeof(args))) {
      sim_caller_close_fd(args.fence);
      return -EFAULT;
   }
   return 0;
}

static void
advance_locked(struct timeline *timeline, uint32_t by)
{
   timeline->value += by;
   list_for_each_entry_safe (struct point, point, &timeline->points, link) {
      if (is_reached(timeline, point->value))
         point_signal_locked(point, 0);
   }
}

static int
ioctl_inc(struct timeline *timeline, void *arg)
{
   uint32_t by;

   if (sim_copy_in(&by, (uintptr_t)arg, sizeof(by)))
      return -EFAULT;

   sim_sync_lock();
   /* In steps that the arithmetic of wrapping numbers can tell from steps back */
   while (by > INT_MAX) {
      advance_locked(timeline, INT_MAX);
      by -= INT_MAX;
   }
   advance_locked(timeline, by);
   sim_sync_unlock();
   return 0;
}

/* Of any timeline's fence, whichever timeline is asked */
static int
ioctl_get_deadline(void *arg)
{
   struct get_deadline args;

   if (sim_copy_in(&args, (uintptr_t)arg, sizeof(args)))
      return -EFAULT;
   if (args.deadline_ns || args.pad)
      return -EINVAL;

   struct sim_fence *fence = sim_sync_file_get_fence(args.fence_fd);
   if (!fence)
      return -EINVAL;

   const bool is_ours = fence->driver_name == SW_SYNC_DRIVER_NAME;
   sim_sync_lock();
   args.deadline_ns = fence->wanted_ns;
   sim_sync_unlock();
   sim_fence_put(fence);

   if (!is_ours)
      return -EINVAL;
   if (args.deadline_ns == UINT64_MAX)
      return -ENOENT;
   return sim_copy_out((uintptr_t)arg, &args, sizeof(args));
}

int
sim_sw_sync_ioctl(int fd, unsigned long request, void *arg)
{
   struct timeline *timeline = sim_fd_lookup(fd, &timeline_ops);
   int ret;

   if (!timeline)
      return -ENOTTY;

   switch ((uint32_t)request) {
   case IOC_CREATE_FENCE:
      ret = ioctl_create_fence(timeline, arg);
      break;
   case IOC_INC:
      ret = ioctl_inc(timeline, arg);
      break;
   case IOC_GET_DEADLINE:
      ret = ioctl_get_deadline(arg);
      break;
   default:
      ret = -ENOTTY;
      break;
   }
   timeline_put(timeline);
   return ret;
}

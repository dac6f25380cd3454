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
#include <stdlib.h>
#include <sys/ioctl.h>

#include "util/list.h"
#include "util/macros.h"
#include "util/u_atomic.h"

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

struct point {
   struct list_head link;
   uint32_t value;
   struct sim_fence *fence;
};

/* All under the lock of all fences */
struct timeline {
   int32_t refcount;
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

int
sim_sw_sync_open(int flags)
{
   struct timeline *timeline = calloc(1, sizeof(*timeline));

   if (!timeline)
      return -ENOMEM;
   timeline->refcount = 1;
   timeline->context = sim_fence_new_context();
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
   if (is_reached(timeline, value))
      return sim_fence_create_signaled();

   list_for_each_entry (struct point, point, &timeline->points, link) {
      if (point->value == value)
         return sim_fence_get(point->fence);
   }

   struct point *point = calloc(1, sizeof(*point));
   if (!point)
      return NULL;
   point->value = value;
   point->fence = sim_fence_create(timeline->context, value, "sw_sync");
   list_addtail(&point->link, &timeline->points);
   return sim_fence_get(point->fence);
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
      sim_libc()->close(args.fence);
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
      /* Deadlines are accepted and not kept: no fence has one. */
      ret = -ENOENT;
      break;
   default:
      ret = -ENOTTY;
      break;
   }
   timeline_put(timeline);
   return ret;
}

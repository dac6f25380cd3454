/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Binds of kernel drivers whose ioctls know no fences: a thread for each queue
 * that waits, binds, signals.  It is started when a batch cannot be bound at once.
 *
 * It must never know of plans or the mirror: a job is operations and syncs.
 *
 * A fence has no life of its own here.  What a syncobj holds at the submit, and the
 * syncobj itself, may be gone when the thread comes to it, so a job takes both
 * over: a fence by copying it to a syncobj of its own, a syncobj by another handle.
 *
 * Locks: a job is run under the VM's bind lock, and signals with no lock held, for as
 * long as that takes; so a thread is joined with no lock held, and, unless the VM goes,
 * only if it has nothing to do.
 */

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xf86drm.h>

#include "vmb_private.h"
#include "vmb_util.h"

/* What is tried again when there is no memory; the last time after a quarter of a second. */
#define TRIES 8

/* One ioctl takes any number; so many need no memory of ours. */
#define SIGNALS_AT_ONCE 16

struct vmb_thread_job {
   struct list_head link;
   struct vmb_kmd_op *ops;
   uint32_t op_count;
   /* Handles are the job's own. */
   struct vmb_kmd_sync *waits;
   uint32_t wait_count;
   /* The first is the queue's, whose handle it is. */
   struct vmb_kmd_sync *signals;
   uint32_t signal_count;
};

struct vmb_thread {
   thrd_t thread;
   mtx_t lock;
   cnd_t changed;
   bool busy;
   bool stop;
   struct list_head jobs;
};

/* ------------------------------------------------------------------- syncs */

static int
wait_syncs(int fd, const struct vmb_kmd_sync *syncs, uint32_t count, int64_t abs_timeout_ns)
{
   if (!count)
      return 0;

   uint32_t *handles = malloc(count * sizeof(*handles));
   uint64_t *points = malloc(count * sizeof(*points));
   int ret = handles && points ? 0 : -ENOMEM;
   if (!ret) {
      for (uint32_t i = 0; i < count; i++) {
         handles[i] = syncs[i].syncobj;
         points[i] = syncs[i].point;
      }
      if (drmSyncobjTimelineWait(fd, handles, points, count, abs_timeout_ns,
                                 DRM_SYNCOBJ_WAIT_FLAGS_WAIT_ALL |
                                    DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT,
                                 NULL))
         ret = -errno;
   }
   free(handles);
   free(points);
   return ret;
}

int
vmb_thread_poll(struct vmb_device *dev, const struct vmb_kmd_sync *waits, uint32_t count)
{
   return wait_syncs(dev->fd, waits, count, 0);
}

/* Another handle of the same syncobj. */
static int
dup_syncobj(int fd, uint32_t syncobj, uint32_t *out)
{
   int obj_fd;

   if (drmSyncobjHandleToFD(fd, syncobj, &obj_fd))
      return -errno;
   const int ret = drmSyncobjFDToHandle(fd, obj_fd, out) ? -errno : 0;
   close(obj_fd);
   return ret;
}

/* The fence that is waited for, as it is now.  A point of a timeline that nobody has submitted
 * yet is waited for where it will be. */
static int
capture_wait(int fd, const struct vmb_kmd_sync *wait, struct vmb_kmd_sync *out)
{
   *out = (struct vmb_kmd_sync){ 0 };
   if (drmSyncobjCreate(fd, 0, &out->syncobj))
      return -errno;
   if (drmSyncobjTransfer(fd, out->syncobj, 0, wait->syncobj, wait->point, 0) == 0)
      return 0;

   const int err = errno;
   drmSyncobjDestroy(fd, out->syncobj);
   out->syncobj = 0;
   if (!wait->point || err != EINVAL)
      return -err;
   out->point = wait->point;
   return dup_syncobj(fd, wait->syncobj, &out->syncobj);
}

static int
capture_signal(int fd, const struct vmb_kmd_sync *signal, struct vmb_kmd_sync *out)
{
   *out = (struct vmb_kmd_sync){ .point = signal->point };
   return dup_syncobj(fd, signal->syncobj, &out->syncobj);
}

int
vmb_sync_signal(struct vmb_device *dev, const struct vmb_kmd_sync *sync)
{
   uint32_t syncobj = sync->syncobj;
   uint64_t point = sync->point;
   const int ret = point ? drmSyncobjTimelineSignal(dev->fd, &syncobj, &point, 1)
                         : drmSyncobjSignal(dev->fd, &syncobj, 1);

   return ret ? -errno : 0;
}

/* No more of them than that, in two ioctls, or one.  A point 0 of a timeline is the way to signal a binary syncobj
 * together with the others, but adds to what that holds, so it must hold nothing. */
static int
signal_some(int fd, const struct vmb_kmd_sync *syncs, uint32_t count, bool empty)
{
   uint32_t timelines[SIGNALS_AT_ONCE], binaries[SIGNALS_AT_ONCE];
   uint32_t timeline_count = 0, binary_count = 0;
   uint64_t points[SIGNALS_AT_ONCE];

   assert(count <= SIGNALS_AT_ONCE);
   for (uint32_t i = 0; i < count; i++) {
      if (!syncs[i].point && !empty) {
         binaries[binary_count++] = syncs[i].syncobj;
         continue;
      }
      points[timeline_count] = syncs[i].point;
      timelines[timeline_count++] = syncs[i].syncobj;
   }
   if (timeline_count && drmSyncobjTimelineSignal(fd, timelines, points, timeline_count))
      return -errno;
   if (binary_count && drmSyncobjSignal(fd, binaries, binary_count))
      return -errno;
   return 0;
}

int
vmb_sync_signal_each(struct vmb_device *dev, const struct vmb_kmd_sync *syncs, uint32_t count)
{
   int ret = 0;

   for (uint32_t i = 0; i < count && !ret; i += SIGNALS_AT_ONCE)
      ret = signal_some(dev->fd, syncs + i, MIN2(count - i, SIGNALS_AT_ONCE), false);
   /* One that is wrong must not keep the others. */
   for (uint32_t i = 0; i < count && ret; i++)
      vmb_sync_signal(dev, &syncs[i]);
   return ret;
}

/* -------------------------------------------------------------------- jobs */

void
vmb_thread_job_free(struct vmb_device *dev, struct vmb_thread_job *job)
{
   if (!job)
      return;
   for (uint32_t i = 0; job->waits && i < job->wait_count; i++) {
      if (job->waits[i].syncobj)
         drmSyncobjDestroy(dev->fd, job->waits[i].syncobj);
   }
   for (uint32_t i = 1; job->signals && i < job->signal_count; i++) {
      if (job->signals[i].syncobj)
         drmSyncobjDestroy(dev->fd, job->signals[i].syncobj);
   }
   free(job->ops);
   free(job->waits);
   free(job->signals);
   free(job);
}

/* Bound in chunks, halved and tried again as long as there is no memory. */
static int
bind_job(struct vmb_queue *queue, const struct vmb_thread_job *job)
{
   struct vmb_vm *vm = queue->vm;
   struct vmb_device *dev = vm->dev;
   uint32_t done = 0, chunk = dev->caps.max_ops;
   unsigned tries = 0;

   while (done < job->op_count) {
      const uint32_t count = MIN2(job->op_count - done, chunk);
      uint32_t applied = 0;

      vmb_lock(&vm->bind_lock, VMB_LOCK_BIND);
      const int ret = vmb_device_is_lost(dev)
                         ? -ENODEV
                         : dev->kmd->bind_immediate(vm->kvm, job->ops + done, count, &applied);
      vmb_unlock(&vm->bind_lock, VMB_LOCK_BIND);
      p_atomic_inc(&dev->stats.ioctls);
      done += ret ? applied : count;
      if (!ret || applied) {
         tries = 0;
         if (!ret)
            continue;
      }
      if ((ret != -ENOMEM && ret != -ENOBUFS) || ++tries > TRIES)
         return ret;
      p_atomic_inc(&dev->stats.retried);
      chunk = MAX2(count / 2, 1);
      if (count == 1) {
         vmb_bo_cache_empty(dev, 0);
         usleep(1000 << tries);
      }
   }
   return dev->kmd->bind_wait && job->op_count ? dev->kmd->bind_wait(vm->kvm) : 0;
}

/* Nobody else would wake those who wait for them.  If it takes long the device is lost, but the waits of those who
 * clean up after it must come to an end as well: it is tried until it works. */
static void
signal_patiently(struct vmb_device *dev, const struct vmb_kmd_sync *syncs, uint32_t count)
{
   int ret = signal_some(dev->fd, syncs, count, true);

   for (unsigned i = 0; ret == -ENOMEM; i++) {
      if (i == TRIES)
         vmb_device_set_lost(dev, "what had been bound could not be signalled");
      usleep(1000 << MIN2(i, TRIES));
      ret = signal_some(dev->fd, syncs, count, true);
   }
}

static void
run_job(struct vmb_queue *queue, const struct vmb_thread_job *job)
{
   struct vmb_device *dev = queue->vm->dev;

   int ret = wait_syncs(dev->fd, job->waits, job->wait_count, INT64_MAX);
   if (!ret)
      ret = bind_job(queue, job);
   if (ret)
      vmb_device_set_lost(dev, "a bind that had waited failed");

   /* Our own first: whoever sees the user's must find the completed state up to date. */
   for (uint32_t i = 0; i < job->signal_count; i += SIGNALS_AT_ONCE)
      signal_patiently(dev, job->signals + i, MIN2(job->signal_count - i, SIGNALS_AT_ONCE));
}

static int
run_thread(void *data)
{
   struct vmb_queue *queue = data;
   struct vmb_thread *t = queue->thread;

   mtx_lock(&t->lock);
   for (;;) {
      while (list_is_empty(&t->jobs) && !t->stop)
         cnd_wait(&t->changed, &t->lock);
      if (list_is_empty(&t->jobs))
         break;
      struct vmb_thread_job *job = list_first_entry(&t->jobs, struct vmb_thread_job, link);
      list_del(&job->link);
      t->busy = true;
      mtx_unlock(&t->lock);

      run_job(queue, job);
      vmb_thread_job_free(queue->vm->dev, job);
      mtx_lock(&t->lock);
      t->busy = false;
   }
   mtx_unlock(&t->lock);
   return 0;
}

static int
start_thread(struct vmb_queue *queue)
{
   struct vmb_thread *t = calloc(1, sizeof(*t));
   if (!t)
      return -ENOMEM;

   list_inithead(&t->jobs);
   mtx_init(&t->lock, mtx_plain);
   cnd_init(&t->changed);
   queue->thread = t;

   /* The program's signals are for threads of its own; this one takes its mask from us. */
   sigset_t all, before;
   sigfillset(&all);
   pthread_sigmask(SIG_SETMASK, &all, &before);
   const int created = thrd_create(&t->thread, run_thread, queue);
   pthread_sigmask(SIG_SETMASK, &before, NULL);
   if (created == thrd_success)
      return 0;

   queue->thread = NULL;
   cnd_destroy(&t->changed);
   mtx_destroy(&t->lock);
   free(t);
   return -ENOMEM;
}

bool
vmb_thread_is_idle(struct vmb_queue *queue)
{
   struct vmb_thread *t = queue->thread;

   if (!t)
      return true;
   mtx_lock(&t->lock);
   const bool idle = list_is_empty(&t->jobs) && !t->busy;
   mtx_unlock(&t->lock);
   return idle;
}

void
vmb_thread_stop(struct vmb_queue *queue)
{
   struct vmb_thread *t = queue->thread;

   if (!t)
      return;
   mtx_lock(&t->lock);
   t->stop = true;
   cnd_signal(&t->changed);
   mtx_unlock(&t->lock);
   thrd_join(t->thread, NULL);
   cnd_destroy(&t->changed);
   mtx_destroy(&t->lock);
   free(t);
   queue->thread = NULL;
}

int
vmb_thread_prepare(struct vmb_queue *queue, const struct vmb_kmd_bind *bind,
                   struct vmb_thread_job **job_out)
{
   struct vmb_device *dev = queue->vm->dev;

   int ret = queue->thread ? 0 : start_thread(queue);
   if (ret)
      return ret;
   struct vmb_thread_job *job = calloc(1, sizeof(*job));
   if (!job)
      return -ENOMEM;

   job->op_count = bind->op_count;
   job->wait_count = bind->wait_count;
   job->signal_count = bind->signal_count;
   job->ops = malloc(MAX2(job->op_count, 1) * sizeof(*job->ops));
   job->waits = calloc(MAX2(job->wait_count, 1), sizeof(*job->waits));
   job->signals = calloc(job->signal_count, sizeof(*job->signals));
   ret = job->ops && job->waits && job->signals ? 0 : -ENOMEM;

   if (!ret) {
      memcpy(job->ops, bind->ops, job->op_count * sizeof(*job->ops));
      job->signals[0] = bind->signals[0];
   }
   for (uint32_t i = 0; !ret && i < job->wait_count; i++)
      ret = capture_wait(dev->fd, &bind->waits[i], &job->waits[i]);
   for (uint32_t i = 1; !ret && i < job->signal_count; i++)
      ret = capture_signal(dev->fd, &bind->signals[i], &job->signals[i]);
   if (ret) {
      vmb_thread_job_free(dev, job);
      return ret;
   }
   *job_out = job;
   return 0;
}

void
vmb_thread_push(struct vmb_queue *queue, struct vmb_thread_job *job)
{
   struct vmb_device *dev = queue->vm->dev;
   struct vmb_thread *t = queue->thread;

   /* What they held is over; it comes again when the job is done. */
   for (uint32_t i = 1; i < job->signal_count; i++) {
      if (!job->signals[i].point)
         drmSyncobjReset(dev->fd, &job->signals[i].syncobj, 1);
   }
   mtx_lock(&t->lock);
   list_addtail(&job->link, &t->jobs);
   cnd_signal(&t->changed);
   mtx_unlock(&t->lock);
}

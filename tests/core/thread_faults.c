/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Where a thread waits, binds and signals (VMB_SYNC_THREAD): the kernel has no memory to signal with, the device
 * goes while it is asked whether there is anything to wait for, and the program's signals are for others.
 * libdrm's functions fail here, in this program, before they get to the simulator.
 */

#include <dlfcn.h>
#include <errno.h>
#include <setjmp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <xf86drm.h>

#include "util/u_atomic.h"
#include "vmbind/vmb_vm.h"

#include "target.h"

/* Atomic: so many of the next signals find no memory, behind so many that do. */
static int failing_signals, good_signals;
/* Atomic: so many signals of a thread that takes the program's signals were seen, of any other, and of any. */
static int unmasked, signals;
/* Atomic. */
static int wait_error;
/* Atomic: nothing is seen to have completed. */
static int failing_queries;

static int64_t
now_ns(void)
{
   struct timespec now;

   clock_gettime(CLOCK_MONOTONIC, &now);
   return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static bool
signal_fails(void)
{
   sigset_t mask;

   pthread_sigmask(SIG_SETMASK, NULL, &mask);
   p_atomic_inc(&signals);
   if (!sigismember(&mask, SIGUSR1))
      p_atomic_inc(&unmasked);
   if (p_atomic_read(&failing_signals) <= 0 || p_atomic_dec_return(&good_signals) >= 0)
      return false;
   p_atomic_dec(&failing_signals);
   errno = ENOMEM;
   return true;
}

int
drmSyncobjSignal(int fd, const uint32_t *handles, uint32_t count)
{
   int (*next)(int, const uint32_t *, uint32_t) = dlsym(RTLD_NEXT, __func__);

   return signal_fails() ? -1 : next(fd, handles, count);
}

int
drmSyncobjTimelineSignal(int fd, const uint32_t *handles, uint64_t *points, uint32_t count)
{
   int (*next)(int, const uint32_t *, uint64_t *, uint32_t) = dlsym(RTLD_NEXT, __func__);

   return signal_fails() ? -1 : next(fd, handles, points, count);
}

int
drmSyncobjTimelineWait(int fd, uint32_t *handles, uint64_t *points, unsigned count, int64_t timeout_ns,
                       unsigned flags, uint32_t *first)
{
   int (*next)(int, uint32_t *, uint64_t *, unsigned, int64_t, unsigned, uint32_t *) =
      dlsym(RTLD_NEXT, __func__);

   if (p_atomic_read(&wait_error)) {
      errno = p_atomic_read(&wait_error);
      return -1;
   }
   return next(fd, handles, points, count, timeout_ns, flags, first);
}

int
drmSyncobjQuery(int fd, uint32_t *handles, uint64_t *points, uint32_t count)
{
   int (*next)(int, uint32_t *, uint64_t *, uint32_t) = dlsym(RTLD_NEXT, __func__);

   if (p_atomic_read(&failing_queries)) {
      errno = ENOMEM;
      return -1;
   }
   return next(fd, handles, points, count);
}

struct fixture {
   int fd;
   struct vmb_device *dev;
   struct vmb_vm *vm;
   struct vmb_queue *queue;
   struct vmb_bo *bo;
   struct vmb_range *range;
   uint32_t held, done;
   int fence;
};

static void
log_nothing(void *data, enum vmb_log_level level, const char *line)
{
   (void)data, (void)level, (void)line;
}

static int
setup(void **state)
{
   static struct fixture f;
   const uint64_t size_B = 1 << 20;

   f.fd = target_open();
   assert_true(f.fd >= 0);
   const struct vmb_device_params params = { .drm_fd = f.fd, .log = log_nothing };
   assert_int_equal(vmb_device_create(&params, &f.dev), 0);
   assert_int_equal(vmb_device_caps(f.dev)->sync_mode, VMB_SYNC_THREAD);
   assert_int_equal(vmb_vm_create(f.dev, &(struct vmb_vm_params){ 0 }, &f.vm), 0);
   assert_int_equal(vmb_queue_create(f.vm, &f.queue), 0);
   assert_int_equal(
      vmb_bo_create(f.dev, &(struct vmb_bo_params){ .size_B = size_B, .vm = f.vm }, &f.bo), 0);
   assert_int_equal(
      vmb_range_create(f.vm, &(struct vmb_range_params){ .size_B = size_B }, &f.range), 0);
   assert_int_equal(drmSyncobjCreate(f.fd, 0, &f.held), 0);
   assert_int_equal(drmSyncobjCreate(f.fd, 0, &f.done), 0);
   f.fence = target_fence_create();
   assert_true(f.fence >= 0);
   assert_int_equal(drmSyncobjImportSyncFile(f.fd, f.held, f.fence), 0);
   *state = &f;
   return 0;
}

static int
teardown(void **state)
{
   struct fixture *f = *state;

   vmb_range_destroy(f->range);
   vmb_bo_unref(f->bo);
   vmb_queue_destroy(f->queue);
   vmb_vm_destroy(f->vm);
   drmSyncobjDestroy(f->fd, f->held);
   drmSyncobjDestroy(f->fd, f->done);
   vmb_device_destroy(f->dev);
   close(f->fence);
   close(f->fd);
   return 0;
}

static int
submit_held(struct fixture *f)
{
   const struct vmb_bind bind = { .range = f->range, .size_B = 1 << 16, .bo = f->bo };

   return vmb_queue_submit(f->queue,
                           &(struct vmb_submit){
                              .binds = &bind,
                              .bind_count = 1,
                              .waits = &(struct vmb_sync){ f->held, 0 },
                              .wait_count = 1,
                              .signals = &(struct vmb_sync){ f->done, 0 },
                              .signal_count = 1,
                           },
                           NULL);
}

static bool
is_done(struct fixture *f, int64_t within_ns)
{
   uint32_t done = f->done;

   return drmSyncobjWait(f->fd, &done, 1, now_ns() + within_ns, DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT,
                         NULL) == 0;
}

#define SOON INT64_C(20000000000)

/* The signals of the batch, the queue's and the program's, fail at first. */
static void
test_a_signal_is_tried_again(void **state)
{
   struct fixture *f = *state;

   assert_int_equal(submit_held(f), 0);
   assert_false(is_done(f, 0));
   p_atomic_set(&good_signals, 0);
   p_atomic_set(&failing_signals, 3);
   target_fence_signal(f->fence);
   assert_true(is_done(f, SOON));
   assert_int_equal(p_atomic_read(&failing_signals), 0);
   assert_int_equal(vmb_queue_wait(f->queue, 0, INT64_MAX), 0);
   assert_false(vmb_device_is_lost(f->dev));
}

/* However many a batch has, the thread signals them with one ioctl, and what is bound at once with two: a binary syncobj
 * may hold a fence of others' still, which signalling it is the end of. */
static void
test_signals_go_together(void **state)
{
   struct fixture *f = *state;
   const struct vmb_bind bind = { .range = f->range, .size_B = 1 << 16, .bo = f->bo };
   const struct vmb_sync wait = { f->held, 0 };
   struct vmb_sync dones[5];
   const int later = target_fence_create();
   uint64_t point = 0;

   for (unsigned i = 0; i < 5; i++)
      assert_int_equal(drmSyncobjCreate(f->fd, 0, &dones[i].syncobj), 0);
   for (unsigned waits = 0; waits < 2; waits++) {
      for (unsigned i = 0; i < 5; i++) {
         dones[i].point = i % 2 ? 7 + waits : 0;
         if (!dones[i].point)
            assert_int_equal(drmSyncobjImportSyncFile(f->fd, dones[i].syncobj, later), 0);
      }
      p_atomic_set(&signals, 0);
      const struct vmb_submit submit = {
         .waits = &wait,
         .wait_count = waits,
         .binds = &bind,
         .bind_count = 1,
         .signals = dones,
         .signal_count = 5,
      };
      assert_int_equal(vmb_queue_submit(f->queue, &submit, NULL), 0);
      assert_int_equal(p_atomic_read(&signals), waits ? 0 : 2);
      if (waits)
         target_fence_signal(f->fence);
      for (unsigned i = 0; i < 5; i++) {
         assert_int_equal(drmSyncobjTimelineWait(f->fd, &dones[i].syncobj, &dones[i].point, 1, now_ns() + SOON,
                                                 DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT, NULL),
                          0);
         if (dones[i].point) {
            assert_int_equal(drmSyncobjQuery(f->fd, &dones[i].syncobj, &point, 1), 0);
            assert_int_equal(point, dones[i].point);
         }
      }
      assert_int_equal(p_atomic_read(&signals), waits ? 1 : 2);
   }
   for (unsigned i = 0; i < 5; i++)
      drmSyncobjDestroy(f->fd, dones[i].syncobj);
   target_fence_signal(later);
   close(later);
}

/* If it does not work for long, the device is lost; it is made up for as soon as it works. */
static void
test_a_signal_that_fails_for_long(void **state)
{
   struct fixture *f = *state;

   assert_int_equal(submit_held(f), 0);
   p_atomic_set(&good_signals, 0);
   p_atomic_set(&failing_signals, 1000000);
   target_fence_signal(f->fence);
   for (int64_t end = now_ns() + SOON; !vmb_device_is_lost(f->dev) && now_ns() < end;)
      sched_yield();
   assert_true(vmb_device_is_lost(f->dev));
   assert_false(is_done(f, 0));
   p_atomic_set(&failing_signals, 0);
   assert_true(is_done(f, SOON));
}

/* So many signals take more than one ioctl.  The first one, with the queue's own, works, so the queue, which is
 * destroyed, is done with; while its thread tries the others, nobody waits for it. */
static void
test_a_signal_that_fails_holds_nobody_up(void **state)
{
   struct fixture *f = *state;
   const struct vmb_bind bind = { .range = f->range, .size_B = 1 << 16, .bo = f->bo };
   enum { COUNT = 40 };
   struct vmb_sync dones[COUNT] = { 0 };
   struct vmb_vm_mapping *maps;
   struct vmb_queue *queue;
   size_t count;

   for (unsigned i = 0; i < COUNT; i++)
      assert_int_equal(drmSyncobjCreate(f->fd, 0, &dones[i].syncobj), 0);
   assert_int_equal(vmb_queue_create(f->vm, &queue), 0);
   const struct vmb_submit submit = {
      .waits = &(struct vmb_sync){ f->held, 0 },
      .wait_count = 1,
      .binds = &bind,
      .bind_count = 1,
      .signals = dones,
      .signal_count = COUNT,
   };
   assert_int_equal(vmb_queue_submit(queue, &submit, NULL), 0);
   vmb_queue_destroy(queue);
   p_atomic_set(&good_signals, 1);
   p_atomic_set(&failing_signals, 1000000);
   target_fence_signal(f->fence);
   assert_int_equal(drmSyncobjWait(f->fd, &dones[0].syncobj, 1, now_ns() + SOON,
                                   DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT, NULL),
                    0);
   vmb_vm_retire(f->vm);
   assert_int_equal(vmb_vm_get_mappings(f->vm, VMB_STATE_COMPLETED, 0, UINT64_MAX, &maps, &count), 0);
   assert_int_equal(count, 1);
   free(maps);
   assert_int_not_equal(drmSyncobjWait(f->fd, &dones[COUNT - 1].syncobj, 1, 0, 0, NULL), 0);
   p_atomic_set(&failing_signals, 0);
   for (unsigned i = 0; i < COUNT; i++) {
      assert_int_equal(drmSyncobjWait(f->fd, &dones[i].syncobj, 1, now_ns() + SOON,
                                      DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT, NULL),
                       0);
      drmSyncobjDestroy(f->fd, dones[i].syncobj);
   }
}

static void
test_the_programs_signals_are_for_others(void **state)
{
   struct fixture *f = *state;
   sigset_t before, after;

   pthread_sigmask(SIG_SETMASK, NULL, &before);
   assert_false(sigismember(&before, SIGUSR1));
   assert_int_equal(submit_held(f), 0);
   pthread_sigmask(SIG_SETMASK, NULL, &after);
   assert_false(sigismember(&after, SIGUSR1));
   p_atomic_set(&signals, 0);
   p_atomic_set(&unmasked, 0);
   target_fence_signal(f->fence);
   assert_true(is_done(f, SOON));
   assert_true(p_atomic_read(&signals) >= 1);
   assert_int_equal(p_atomic_read(&unmasked), 0);
}

/* It is asked whether the batch has anything to wait for. */
static void
test_the_device_is_gone(void **state)
{
   struct fixture *f = *state;

   p_atomic_set(&wait_error, ENODEV);
   const int ret = submit_held(f);
   p_atomic_set(&wait_error, 0);
   assert_int_equal(ret, -ENODEV);
   assert_true(vmb_device_is_lost(f->dev));
   assert_true(is_done(f, SOON));
   target_fence_signal(f->fence);
}

/* What has completed is not seen to have completed, so the bind is left to the thread: the null mapping of another
 * range, which GPU work may use at once, is not. */
static void
test_null_is_covered_by_the_sync(void **state)
{
   struct fixture *f = *state;
   const struct vmb_bind bind = { .range = f->range, .size_B = 1 << 16, .bo = f->bo };
   const struct vmb_submit with_bind = { .binds = &bind, .bind_count = 1 };
   const struct vmb_submit without = { .signals = &(struct vmb_sync){ f->done, 0 }, .signal_count = 1 };
   const struct vmb_range_params params = { .size_B = 1 << 20, .unbound = VMB_UNBOUND_NULL };
   struct vmb_range *null;
   struct vmb_sync sync;
   uint32_t handle;
   uint64_t offset_B;

   assert_int_equal(vmb_range_create(f->vm, &params, &null), 0);
   assert_int_equal(vmb_queue_submit(f->queue, &without, NULL), 0);
   p_atomic_set(&failing_queries, 1);
   assert_true(target_delay_ioctls(50000));
   assert_int_equal(vmb_queue_submit(f->queue, &with_bind, NULL), 0);
   assert_int_equal(vmb_vm_get_sync(f->vm, &sync), 0);
   if (sync.point) {
      assert_int_equal(drmSyncobjTimelineWait(f->fd, &sync.syncobj, &sync.point, 1, now_ns() + SOON,
                                              DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT, NULL),
                       0);
   }
   assert_true(target_get_page(f->fd, vmb_vm_kernel_id(f->vm), vmb_range_addr_B(null), &handle, &offset_B));
   p_atomic_set(&failing_queries, 0);
   target_fail_nothing();
   assert_int_equal(vmb_vm_wait_idle(f->vm, INT64_MAX), 0);
   vmb_range_destroy(null);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
   const struct CMUnitTest tests[] = {
      TEST(test_a_signal_is_tried_again),
      TEST(test_signals_go_together),
      TEST(test_a_signal_that_fails_holds_nobody_up),
      TEST(test_the_programs_signals_are_for_others),
      TEST(test_the_device_is_gone),
      TEST(test_null_is_covered_by_the_sync),
      TEST(test_a_signal_that_fails_for_long),
   };

   return cmocka_run_group_tests(tests, NULL, NULL);
}

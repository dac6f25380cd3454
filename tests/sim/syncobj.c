/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Synchronisation objects of the simulated node: each ioctl, right and wrong, as drm_syncobj.c has
 * it. Must know nothing of any driver but the gate of sim_test.h.
 */

#include "sim_test.h"

#include <linux/sync_file.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/time.h>

static int fd;

static int
setup(void **state)
{
   (void)state;
   fd = open_node("panthor");
   return 0;
}

static int
teardown(void **state)
{
   (void)state;
   close(fd);
   return 0;
}

#define ALL       DRM_SYNCOBJ_WAIT_FLAGS_WAIT_ALL
#define SUBMIT    DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT
#define AVAILABLE DRM_SYNCOBJ_WAIT_FLAGS_WAIT_AVAILABLE

static void
test_create_destroy(void **state)
{
   struct drm_syncobj_create bad = {.flags = 2};
   struct drm_syncobj_destroy destroy = {.handle = 77};
   (void)state;

   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_CREATE, &bad), EINVAL);
   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_DESTROY, &destroy), EINVAL);

   /* The lowest free handle, as xa_alloc() gives it */
   uint32_t a = syncobj_create(fd, 0);
   uint32_t b = syncobj_create(fd, 0);
   assert_int_equal(b, a + 1);
   destroy.handle = a;
   destroy.pad = 1;
   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_DESTROY, &destroy), EINVAL);
   destroy.pad = 0;
   assert_ok(call(fd, DRM_IOCTL_SYNCOBJ_DESTROY, &destroy));
   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_DESTROY, &destroy), EINVAL);
   assert_int_equal(syncobj_create(fd, 0), a);
}

static void
test_wait_binary(void **state)
{
   uint32_t signaled = syncobj_create(fd, DRM_SYNCOBJ_CREATE_SIGNALED);
   uint32_t empty = syncobj_create(fd, 0);
   (void)state;

   assert_ok(syncobj_wait(fd, signaled, 0, 0, 0));
   /* No fence: an error at once, however long the patience */
   assert_error(syncobj_wait(fd, empty, 0, 0, in_ms(1000)), EINVAL);
   assert_error(syncobj_wait(fd, empty, 0, SUBMIT, 0), ETIME);
   assert_error(syncobj_wait(fd, empty, 0, SUBMIT, in_ms(10)), ETIME);
   assert_error(syncobj_wait(fd, 99, 0, 0, 0), ENOENT);
   assert_error(syncobj_wait(fd, empty, 0, 1u << 7, 0), EINVAL);

   struct drm_syncobj_wait none = {.flags = 0};
   assert_ok(call(fd, DRM_IOCTL_SYNCOBJ_WAIT, &none));
   none.flags = AVAILABLE;
   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_WAIT, &none), EINVAL);

   struct drm_syncobj_wait bad = {.handles = 16, .count_handles = 1};
   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_WAIT, &bad), EFAULT);
   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_WAIT, (void *)16), EFAULT);
}

static void
test_wait_any_and_all(void **state)
{
   uint32_t handles[3] = {
      syncobj_create(fd, 0),
      syncobj_create(fd, 0),
      syncobj_create(fd, 0),
   };
   struct drm_syncobj_wait args = {
      .handles = (uintptr_t)handles,
      .count_handles = 3,
      .flags = SUBMIT,
      .first_signaled = 42,
   };
   (void)state;

   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_WAIT, &args), ETIME);
   assert_ok(syncobj_signal(fd, handles[1]));
   assert_ok(call(fd, DRM_IOCTL_SYNCOBJ_WAIT, &args));
   assert_int_equal(args.first_signaled, 1);

   args.flags = SUBMIT | ALL;
   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_WAIT, &args), ETIME);
   assert_ok(syncobj_signal(fd, handles[0]));
   assert_ok(syncobj_signal(fd, handles[2]));
   assert_ok(call(fd, DRM_IOCTL_SYNCOBJ_WAIT, &args));

   /* A deadline is a hint and changes nothing. */
   args.flags |= DRM_SYNCOBJ_WAIT_FLAGS_WAIT_DEADLINE;
   args.deadline_nsec = 1;
   assert_ok(call(fd, DRM_IOCTL_SYNCOBJ_WAIT, &args));
}

static void
test_fence_that_is_pending(void **state)
{
   struct gate gate = gate_close(fd);
   (void)state;

   /* It has a fence: no error, but no end either. */
   assert_error(syncobj_wait(fd, gate.syncobj, 0, 0, in_ms(5)), ETIME);
   assert_ok(syncobj_wait(fd, gate.syncobj, 0, AVAILABLE, 0));
   gate_open(&gate);
   assert_ok(syncobj_wait(fd, gate.syncobj, 0, 0, in_ms(5000)));
}

static void
test_reset_and_signal(void **state)
{
   uint32_t handle = syncobj_create(fd, DRM_SYNCOBJ_CREATE_SIGNALED);
   struct drm_syncobj_array args = {.handles = (uintptr_t)&handle, .count_handles = 0};
   (void)state;

   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_RESET, &args), EINVAL);
   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_SIGNAL, &args), EINVAL);
   args.count_handles = 1;
   args.pad = 1;
   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_RESET, &args), EINVAL);
   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_SIGNAL, &args), EINVAL);

   assert_ok(syncobj_reset(fd, handle));
   assert_error(syncobj_wait(fd, handle, 0, 0, 0), EINVAL);
   assert_ok(syncobj_signal(fd, handle));
   assert_ok(syncobj_wait(fd, handle, 0, 0, 0));
   assert_error(syncobj_reset(fd, 1234), ENOENT);
   assert_error(syncobj_signal(fd, 1234), ENOENT);
}

static void *
signal_later(void *arg)
{
   usleep(20000);
   assert_ok(syncobj_timeline_signal(fd, *(uint32_t *)arg, 5));
   return NULL;
}

static void
test_wait_for_submit_wakes_up(void **state)
{
   uint32_t handle = syncobj_create(fd, 0);
   pthread_t thread;
   (void)state;

   assert_int_equal(pthread_create(&thread, NULL, signal_later, &handle), 0);
   assert_ok(syncobj_wait(fd, handle, 5, SUBMIT, in_ms(10000)));
   pthread_join(thread, NULL);
   assert_error(syncobj_wait(fd, handle, 6, SUBMIT, in_ms(5)), ETIME);
}

static void
test_timeline(void **state)
{
   uint32_t timeline = syncobj_create(fd, 0);
   struct gate gate;
   (void)state;

   assert_int_equal(syncobj_query(fd, timeline, 0), 0);
   assert_ok(syncobj_timeline_signal(fd, timeline, 3));
   assert_int_equal(syncobj_query(fd, timeline, 0), 3);
   assert_ok(syncobj_wait(fd, timeline, 1, 0, 0));
   assert_ok(syncobj_wait(fd, timeline, 3, 0, 0));
   assert_error(syncobj_wait(fd, timeline, 4, 0, 0), EINVAL);

   /* Point 5 is pending, point 8 on top of it has signalled: neither is done before 5 is. */
   gate = gate_close(fd);
   assert_ok(syncobj_transfer(fd, timeline, 5, gate.syncobj, 0));
   assert_ok(syncobj_timeline_signal(fd, timeline, 8));
   assert_int_equal(syncobj_query(fd, timeline, 0), 3);
   assert_int_equal(syncobj_query(fd, timeline, DRM_SYNCOBJ_QUERY_FLAGS_LAST_SUBMITTED), 8);
   assert_error(syncobj_wait(fd, timeline, 5, 0, 0), ETIME);
   assert_error(syncobj_wait(fd, timeline, 8, 0, 0), ETIME);
   assert_ok(syncobj_wait(fd, timeline, 8, AVAILABLE, 0));
   assert_ok(syncobj_wait(fd, timeline, 3, 0, 0));

   gate_open(&gate);
   assert_ok(syncobj_wait(fd, timeline, 8, 0, in_ms(5000)));
   assert_int_equal(syncobj_query(fd, timeline, 0), 8);
}

static void
test_timeline_out_of_order(void **state)
{
   uint32_t timeline = syncobj_create(fd, 0);
   (void)state;

   assert_ok(syncobj_timeline_signal(fd, timeline, 10));
   /* A lower point begins a timeline anew, and its number does not go back. */
   assert_ok(syncobj_timeline_signal(fd, timeline, 4));
   assert_int_equal(syncobj_query(fd, timeline, 0), 10);
   assert_ok(syncobj_wait(fd, timeline, 10, 0, 0));
   assert_error(syncobj_wait(fd, timeline, 11, 0, 0), EINVAL);
}

static void
test_timeline_errors(void **state)
{
   uint32_t handle = syncobj_create(fd, 0);
   struct drm_syncobj_timeline_array args = {.handles = (uintptr_t)&handle};
   (void)state;

   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL, &args), EINVAL);
   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_QUERY, &args), EINVAL);
   args.count_handles = 1;
   args.flags = 1;
   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL, &args), EINVAL);
   args.flags = 2;
   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_QUERY, &args), EINVAL);
   args.flags = 0;
   args.points = 16;
   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL, &args), EFAULT);
   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_QUERY, &args), EFAULT);
}

static void
test_transfer(void **state)
{
   uint32_t binary = syncobj_create(fd, 0);
   uint32_t timeline = syncobj_create(fd, 0);
   struct drm_syncobj_transfer bad = {.src_handle = binary, .dst_handle = timeline, .pad = 1};
   (void)state;

   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_TRANSFER, &bad), EINVAL);
   assert_error(syncobj_transfer(fd, 99, 0, binary, 0), ENOENT);
   assert_error(syncobj_transfer(fd, timeline, 1, 99, 0), ENOENT);
   /* Nothing to transfer yet */
   assert_error(syncobj_transfer(fd, timeline, 1, binary, 0), EINVAL);

   assert_ok(syncobj_signal(fd, binary));
   assert_ok(syncobj_transfer(fd, timeline, 7, binary, 0));
   assert_int_equal(syncobj_query(fd, timeline, 0), 7);

   assert_ok(syncobj_reset(fd, binary));
   assert_ok(syncobj_transfer(fd, binary, 0, timeline, 7));
   assert_ok(syncobj_wait(fd, binary, 0, 0, 0));
   assert_error(syncobj_transfer(fd, binary, 0, timeline, 8), EINVAL);
}

static void
test_handle_and_fd(void **state)
{
   uint32_t handle = syncobj_create(fd, 0);
   struct drm_syncobj_handle args = {.handle = handle, .pad = 1};
   int other = open_node("panthor");
   (void)state;

   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD, &args), EINVAL);
   args.pad = 0;
   args.flags = 1u << 5;
   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD, &args), EINVAL);
   args.flags = 0;
   args.handle = 99;
   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD, &args), EINVAL);
   args.handle = handle;
   assert_ok(call(fd, DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD, &args));
   assert_true(fcntl(args.fd, F_GETFD) & FD_CLOEXEC);

   /* The same object in another file, by way of a duplicate */
   struct drm_syncobj_handle import = {.fd = dup(args.fd)};
   assert_ok(call(other, DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, &import));
   close(args.fd);
   close(import.fd);
   assert_ok(syncobj_timeline_signal(fd, handle, 2));
   assert_int_equal(syncobj_query(other, import.handle, 0), 2);

   import.fd = open("/dev/null", O_RDONLY);
   assert_error(call(other, DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, &import), EINVAL);
   close(import.fd);
   close(other);
}

static void
test_sync_file(void **state)
{
   struct gate gate = gate_close(fd);
   uint32_t imported = syncobj_create(fd, 0);
   uint32_t empty = syncobj_create(fd, 0);
   (void)state;

   assert_error(export_sync_file(fd, empty), EINVAL);
   assert_error(export_sync_file(fd, 99), ENOENT);

   int file = export_sync_file(fd, gate.syncobj);
   assert_true(file >= 0);
   assert_false(is_readable(file));

   struct drm_syncobj_handle import = {
      .handle = imported,
      .flags = DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_IMPORT_SYNC_FILE,
      .fd = file,
   };
   assert_ok(call(fd, DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, &import));
   assert_error(syncobj_wait(fd, imported, 0, 0, 0), ETIME);

   /* As a point of a timeline */
   import.handle = empty;
   import.flags |= DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_TIMELINE;
   import.point = 9;
   assert_ok(call(fd, DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, &import));
   assert_int_equal(syncobj_query(fd, empty, DRM_SYNCOBJ_QUERY_FLAGS_LAST_SUBMITTED), 9);

   import.handle = 99;
   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, &import), ENOENT);
   import.fd = fd;
   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, &import), EINVAL);

   gate_open(&gate);
   assert_true(is_readable(file));
   assert_ok(syncobj_wait(fd, imported, 0, 0, 0));
   assert_int_equal(syncobj_query(fd, empty, 0), 9);
   close(file);
}

static void
test_sync_file_merge_and_info(void **state)
{
   struct gate gate = gate_close(fd);
   struct gate second = gate_close(fd);
   int a = export_sync_file(fd, gate.syncobj);
   int b = export_sync_file(fd, second.syncobj);
   struct sync_merge_data merge = {.name = "both", .fd2 = b};
   struct sync_file_info info = {0};
   struct sync_fence_info fences[2];
   (void)state;

   assert_ok(call(a, SYNC_IOC_MERGE, &merge));
   assert_ok(call(merge.fence, SYNC_IOC_FILE_INFO, &info));
   assert_int_equal(info.num_fences, 2);
   assert_int_equal(info.status, 0);
   assert_string_equal(info.name, "both");

   gate_open(&gate);
   assert_false(is_readable(merge.fence));
   gate_open(&second);
   assert_true(is_readable(merge.fence));

   info.sync_fence_info = (uintptr_t)fences;
   assert_ok(call(merge.fence, SYNC_IOC_FILE_INFO, &info));
   assert_int_equal(info.status, 1);
   assert_int_equal(fences[0].status, 1);
   assert_int_equal(fences[1].status, 1);
   assert_true(fences[0].timestamp_ns > 0);

   info.num_fences = 1;
   assert_error(call(merge.fence, SYNC_IOC_FILE_INFO, &info), EINVAL);
   merge.fd2 = fd;
   assert_error(call(a, SYNC_IOC_MERGE, &merge), ENOENT);
   merge.flags = 1;
   assert_error(call(a, SYNC_IOC_MERGE, &merge), EINVAL);
   close(a);
   close(b);
   close(merge.fence);
}

static void
test_eventfd(void **state)
{
   uint32_t handle = syncobj_create(fd, 0);
   int event = eventfd(0, EFD_CLOEXEC);
   int available = eventfd(0, EFD_CLOEXEC);
   struct drm_syncobj_eventfd args = {.handle = handle, .point = 2, .fd = event, .pad = 1};
   (void)state;

   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_EVENTFD, &args), EINVAL);
   args.pad = 0;
   args.flags = SUBMIT;
   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_EVENTFD, &args), EINVAL);
   args.flags = 0;
   args.handle = 99;
   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_EVENTFD, &args), ENOENT);
   args.handle = handle;
   args.fd = fd;
   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_EVENTFD, &args), EINVAL);
   args.fd = -1;
   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_EVENTFD, &args), EBADF);

   args.fd = event;
   assert_ok(call(fd, DRM_IOCTL_SYNCOBJ_EVENTFD, &args));
   args.fd = available;
   args.flags = AVAILABLE;
   assert_ok(call(fd, DRM_IOCTL_SYNCOBJ_EVENTFD, &args));

   struct gate gate = gate_close(fd);
   assert_ok(syncobj_transfer(fd, handle, 2, gate.syncobj, 0));
   assert_true(is_readable(available));
   assert_false(is_readable(event));
   gate_open(&gate);
   assert_true(is_readable(event));

   /* Registered after the fact */
   int late = eventfd(0, EFD_CLOEXEC);
   args.fd = late;
   args.flags = 0;
   assert_ok(call(fd, DRM_IOCTL_SYNCOBJ_EVENTFD, &args));
   assert_true(is_readable(late));
   close(late);
   close(event);
   close(available);
}

struct sw_sync_create {
   uint32_t value;
   char name[32];
   int32_t fence;
};

static int
sw_sync_fence(int timeline, uint32_t value)
{
   struct sw_sync_create args = {.value = value};

   assert_ok(call(timeline, _IOWR('W', 0, struct sw_sync_create), &args));
   return args.fence;
}

static int
sync_file_status(int file)
{
   struct sync_file_info info = {0};

   assert_ok(call(file, SYNC_IOC_FILE_INFO, &info));
   return info.status;
}

static void
test_sw_sync(void **state)
{
   int timeline = open("/sys/kernel/debug/sync/sw_sync", O_RDWR | O_CLOEXEC);
   int second = sw_sync_fence(timeline, 2), also_second = sw_sync_fence(timeline, 2);
   int third = sw_sync_fence(timeline, 3), zero = sw_sync_fence(timeline, 0);
   uint32_t handle = syncobj_create(fd, 0);
   uint32_t by = 2;
   (void)state;

   struct drm_syncobj_handle import = {
      .handle = handle,
      .flags = DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_IMPORT_SYNC_FILE,
      .fd = third,
   };
   assert_ok(call(fd, DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, &import));

   assert_int_equal(sync_file_status(zero), 1);
   assert_int_equal(sync_file_status(second), 0);
   assert_ok(call(timeline, _IOW('W', 1, uint32_t), &by));
   assert_int_equal(sync_file_status(second), 1);
   assert_true(is_readable(also_second));
   assert_false(is_readable(third));
   assert_error(syncobj_wait(fd, handle, 0, 0, 0), ETIME);

   /* The end of a timeline is the failure of what it still owed. */
   close(timeline);
   assert_int_equal(sync_file_status(third), -ENOENT);
   assert_ok(syncobj_wait(fd, handle, 0, 0, 0));
   close(second);
   close(also_second);
   close(third);
   close(zero);
}

static int
sync_file_import(uint32_t handle, int file)
{
   struct drm_syncobj_handle import = {
      .handle = handle,
      .flags = DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_IMPORT_SYNC_FILE,
      .fd = file,
   };
   return call(fd, DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, &import);
}

static void
test_sw_sync_names(void **state)
{
   struct sync_fence_info fence;
   struct sync_file_info info = {.num_fences = 1, .sync_fence_info = (uintptr_t)&fence};
   char task[16];
   (void)state;

   int timeline = open("/dev/sw_sync", O_RDWR | O_CLOEXEC);
   int file = sw_sync_fence(timeline, 7);
   assert_ok(call(file, SYNC_IOC_FILE_INFO, &info));
   assert_string_equal(fence.driver_name, "sw_sync");
   prctl(PR_GET_NAME, task);
   assert_string_equal(fence.obj_name, task);
   assert_int_equal(strncmp(info.name, "sw_sync-", 8), 0);
   assert_int_equal(fence.timestamp_ns, 0);
   close(file);

   /* The stub that a signalled syncobj has */
   file = export_sync_file(fd, syncobj_create(fd, DRM_SYNCOBJ_CREATE_SIGNALED));
   assert_ok(call(file, SYNC_IOC_FILE_INFO, &info));
   assert_string_equal(fence.driver_name, "stub");
   assert_true(fence.timestamp_ns > 0);
   close(file);
   close(timeline);
}

struct deadline {
   uint64_t deadline_ns;
   uint64_t pad;
};

struct sw_sync_deadline {
   uint64_t deadline_ns;
   uint32_t pad;
   int32_t fence_fd;
};

#define SET_DEADLINE    _IOW('>', 5, struct deadline)
#define SW_GET_DEADLINE _IOWR('W', 2, struct sw_sync_deadline)

static void
test_deadlines(void **state)
{
   int timeline = open("/dev/sw_sync", O_RDWR | O_CLOEXEC);
   int file = sw_sync_fence(timeline, 1);
   struct sw_sync_deadline get = {.fence_fd = file};
   struct deadline set = {.deadline_ns = 5000, .pad = 1};
   (void)state;

   assert_error(call(timeline, SW_GET_DEADLINE, &get), ENOENT);
   assert_error(call(file, SET_DEADLINE, &set), EINVAL);
   set.pad = 0;
   assert_ok(call(file, SET_DEADLINE, &set));
   assert_ok(call(timeline, SW_GET_DEADLINE, &get));
   assert_int_equal(get.deadline_ns, 5000);
   /* Only an empty one is filled in. */
   assert_error(call(timeline, SW_GET_DEADLINE, &get), EINVAL);

   /* The earliest counts, also when it comes by way of a timeline. */
   uint32_t handle = syncobj_create(fd, 0), chain = syncobj_create(fd, 0);
   assert_ok(sync_file_import(handle, file));
   assert_ok(syncobj_transfer(fd, chain, 3, handle, 0));
   uint64_t point = 3;
   struct drm_syncobj_timeline_wait wait = {
      .handles = (uintptr_t)&chain,
      .points = (uintptr_t)&point,
      .count_handles = 1,
      .flags = DRM_SYNCOBJ_WAIT_FLAGS_WAIT_DEADLINE,
      .deadline_nsec = 4000,
   };
   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT, &wait), ETIME);
   wait.deadline_nsec = 9000;
   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT, &wait), ETIME);
   get.deadline_ns = 0;
   assert_ok(call(timeline, SW_GET_DEADLINE, &get));
   assert_int_equal(get.deadline_ns, 4000);

   get = (struct sw_sync_deadline){.fence_fd = fd};
   assert_error(call(timeline, SW_GET_DEADLINE, &get), EINVAL);
   close(file);
   close(timeline);
}

static volatile sig_atomic_t signals_seen;

static void
count_signal(int signum)
{
   (void)signum;
   signals_seen++;
}

/* Again and again, so that one comes while the wait sleeps however busy the machine is. */
static void
start_timer(int flags)
{
   struct sigaction action = {.sa_handler = count_signal, .sa_flags = flags};
   const struct itimerval every = {{0, 2000}, {0, 2000}};

   sigemptyset(&action.sa_mask);
   signals_seen = 0;
   assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
   assert_int_equal(setitimer(ITIMER_REAL, &every, NULL), 0);
}

static void
stop_timer(void)
{
   const struct itimerval never = {0};

   assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
   signal(SIGALRM, SIG_DFL);
}

static void
test_signals_interrupt_a_wait(void **state)
{
   uint32_t empty = syncobj_create(fd, 0), pending = syncobj_create(fd, 0);
   int timeline = open("/dev/sw_sync", O_RDWR | O_CLOEXEC);
   int file = sw_sync_fence(timeline, 1);
   (void)state;

   assert_ok(sync_file_import(pending, file));

   start_timer(0);
   assert_error(syncobj_wait(fd, empty, 0, SUBMIT, INT64_MAX), EINTR);
   assert_error(syncobj_wait(fd, pending, 0, 0, INT64_MAX), EINTR);
   assert_error(syncobj_wait(fd, pending, 0, 0, in_ms(600000)), EINTR);
   struct drm_syncobj_transfer transfer = {
      .src_handle = empty,
      .dst_handle = pending,
      .flags = SUBMIT,
   };
   assert_error(call(fd, DRM_IOCTL_SYNCOBJ_TRANSFER, &transfer), EINTR);
   assert_true(signals_seen >= 4);
   /* What is there already needs no sleep. */
   assert_ok(syncobj_wait(fd, syncobj_create(fd, DRM_SYNCOBJ_CREATE_SIGNALED), 0, 0, INT64_MAX));
   stop_timer();

   /* A handler that wants system calls restarted */
   start_timer(SA_RESTART);
   assert_error(syncobj_wait(fd, pending, 0, 0, in_ms(50)), ETIME);
   assert_true(signals_seen > 0);
   stop_timer();
   close(file);
   close(timeline);
}

/* Many threads at one timeline: each waits for its own point, and all come back. */
#define WAITERS 16

static uint32_t contended;

static void *
wait_for_own_point(void *arg)
{
   const uint64_t point = (uintptr_t)arg;
   int ret = syncobj_wait(fd, contended, point, SUBMIT, INT64_MAX);

   return (void *)(intptr_t)ret;
}

static void
test_many_waiters(void **state)
{
   pthread_t threads[WAITERS];
   (void)state;

   contended = syncobj_create(fd, 0);
   for (uintptr_t i = 0; i < WAITERS; i++)
      assert_int_equal(pthread_create(&threads[i], NULL, wait_for_own_point, (void *)(i + 1)), 0);
   for (uint64_t point = 2; point <= WAITERS; point += 2)
      assert_ok(syncobj_timeline_signal(fd, contended, point));
   for (unsigned i = 0; i < WAITERS; i++) {
      void *ret;
      pthread_join(threads[i], &ret);
      assert_null(ret);
   }
}

static void
test_timeouts(void **state)
{
   uint32_t empty = syncobj_create(fd, 0);
   (void)state;

   /* Zero polls, and so does any time that has been. */
   assert_error(syncobj_wait(fd, empty, 0, SUBMIT, 0), ETIME);
   assert_error(syncobj_wait(fd, empty, 0, SUBMIT, 1), ETIME);
   assert_error(syncobj_wait(fd, empty, 0, SUBMIT, -1), ETIME);
   assert_error(syncobj_wait(fd, empty, 0, SUBMIT, INT64_MIN), ETIME);
   assert_error(syncobj_wait(fd, empty, 0, SUBMIT, now_ns() - 1), ETIME);
   const int64_t until = in_ms(20);
   assert_error(syncobj_wait(fd, empty, 0, SUBMIT, until), ETIME);
   assert_true(now_ns() >= until);
}

static void
test_closing_the_last_fd_ends_the_file(void **state)
{
   int other = open_node("panthor");
   int copy = dup(other);
   uint32_t handle = syncobj_create(other, 0);
   (void)state;

   close(other);
   assert_ok(syncobj_signal(copy, handle));
   close(copy);
   assert_error(syncobj_signal(copy, handle), EBADF);
}

int
main(void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_create_destroy),
      cmocka_unit_test(test_wait_binary),
      cmocka_unit_test(test_wait_any_and_all),
      cmocka_unit_test(test_fence_that_is_pending),
      cmocka_unit_test(test_reset_and_signal),
      cmocka_unit_test(test_wait_for_submit_wakes_up),
      cmocka_unit_test(test_timeline),
      cmocka_unit_test(test_timeline_out_of_order),
      cmocka_unit_test(test_timeline_errors),
      cmocka_unit_test(test_transfer),
      cmocka_unit_test(test_handle_and_fd),
      cmocka_unit_test(test_sync_file),
      cmocka_unit_test(test_sync_file_merge_and_info),
      cmocka_unit_test(test_eventfd),
      cmocka_unit_test(test_sw_sync),
      cmocka_unit_test(test_sw_sync_names),
      cmocka_unit_test(test_deadlines),
      cmocka_unit_test(test_signals_interrupt_a_wait),
      cmocka_unit_test(test_many_waiters),
      cmocka_unit_test(test_timeouts),
      cmocka_unit_test(test_closing_the_last_fd_ends_the_file),
   };
   return cmocka_run_group_tests_name("sim syncobj", tests, setup, teardown);
}

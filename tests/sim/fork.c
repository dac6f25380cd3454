/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Processes that are forked and do not exec, as IGT's helpers are: what they hold of the device
 * works, what they do is seen by who forked them, and the other way round. Must know nothing of how
 * that is done.
 */

#include "sim_test.h"

#include <linux/sync_file.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/wait.h>

/* In a forked process a failed assertion of cmocka's would go on with the tests. */
#define CHILD_CHECK(condition)                                                                     \
   do {                                                                                            \
      if (!(condition)) {                                                                          \
         fprintf(stderr, "line %d: %s (errno %d)\n", __LINE__, #condition, errno);                 \
         _exit(1);                                                                                 \
      }                                                                                            \
   } while (0)

static void
assert_child_ok(pid_t child)
{
   int status;

   assert_int_equal(waitpid(child, &status, 0), child);
   assert_true(WIFEXITED(status));
   assert_int_equal(WEXITSTATUS(status), 0);
}

struct sw_sync_create {
   uint32_t value;
   char name[32];
   int32_t fence;
};

static int
sw_sync_fence(int timeline, uint32_t value)
{
   struct sw_sync_create args = {.value = value, .fence = -1};

   return call(timeline, _IOWR('W', 0, struct sw_sync_create), &args) ? -1 : args.fence;
}

static int
sw_sync_advance(int timeline, uint32_t by)
{
   return call(timeline, _IOW('W', 1, uint32_t), &by);
}

static int
file_status(int file)
{
   struct sync_file_info info = {0};

   return call(file, SYNC_IOC_FILE_INFO, &info) ? -EIO : info.status;
}

static bool
wait_readable(int fd)
{
   struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

   return poll(&poll_fd, 1, 60000) == 1 && (poll_fd.revents & POLLIN);
}

static void
test_child_advances_a_timeline(void **state)
{
   (void)state;

   assert_ok(drm_sim_select("panthor"));
   int timeline = open("/dev/sw_sync", O_RDWR | O_CLOEXEC);
   int fence = sw_sync_fence(timeline, 1);
   assert_int_equal(file_status(fence), 0);

   pid_t child = fork();
   if (child == 0) {
      /* A fence of its own, which is one of the parent's kernel, too */
      int own = sw_sync_fence(timeline, 2);
      CHILD_CHECK(own >= 0);
      CHILD_CHECK(file_status(own) == 0);
      CHILD_CHECK(sw_sync_advance(timeline, 1) == 0);
      CHILD_CHECK(file_status(fence) == 1);
      CHILD_CHECK(file_status(own) == 0);
      struct sync_merge_data merge = {.name = "m", .fd2 = fence};
      CHILD_CHECK(call(own, SYNC_IOC_MERGE, &merge) == 0);
      CHILD_CHECK(file_status(merge.fence) == 0);
      CHILD_CHECK(sw_sync_advance(timeline, 1) == 0);
      CHILD_CHECK(wait_readable(merge.fence));
      CHILD_CHECK(fcntl(own, F_GETFD) & FD_CLOEXEC);
      _exit(0);
   }
   assert_true(wait_readable(fence));
   assert_int_equal(file_status(fence), 1);
   assert_child_ok(child);
   close(fence);
   close(timeline);
}

static void
test_syncobjs_are_shared(void **state)
{
   int fd = open_node("panthor");
   uint32_t from_child = syncobj_create(fd, 0), to_child = syncobj_create(fd, 0);
   (void)state;

   pid_t child = fork();
   if (child == 0) {
      int event = eventfd(0, EFD_CLOEXEC);
      struct drm_syncobj_eventfd args = {.handle = to_child, .point = 4, .fd = event};
      CHILD_CHECK(call(fd, DRM_IOCTL_SYNCOBJ_EVENTFD, &args) == 0);
      args.fd = fd;
      CHILD_CHECK(call(fd, DRM_IOCTL_SYNCOBJ_EVENTFD, &args) == -EINVAL);
      CHILD_CHECK(syncobj_timeline_signal(fd, from_child, 3) == 0);
      CHILD_CHECK(syncobj_wait(fd, to_child, 4, DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT,
                               INT64_MAX) == 0);
      CHILD_CHECK(wait_readable(event));
      CHILD_CHECK(syncobj_wait(fd, 99, 0, 0, 0) == -ENOENT);
      CHILD_CHECK(call(fd, DRM_IOCTL_SYNCOBJ_WAIT, (void *)16) == -EFAULT);
      /* A handle made here is there for the parent. */
      struct drm_syncobj_create create = {.flags = DRM_SYNCOBJ_CREATE_SIGNALED};
      CHILD_CHECK(call(fd, DRM_IOCTL_SYNCOBJ_CREATE, &create) == 0);
      CHILD_CHECK(create.handle == to_child + 1);
      CHILD_CHECK(syncobj_timeline_signal(fd, from_child, 5) == 0);
      _exit(0);
   }
   assert_ok(syncobj_wait(fd, from_child, 3, DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT, INT64_MAX));
   assert_ok(syncobj_timeline_signal(fd, to_child, 4));
   assert_ok(syncobj_wait(fd, from_child, 5, DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT, INT64_MAX));
   assert_child_ok(child);
   assert_ok(syncobj_wait(fd, to_child + 1, 0, 0, 0));
   close(fd);
}

static void
test_child_opens_binds_and_maps(void **state)
{
   int fd = open_node("panthor");
   uint32_t vm = panthor_vm_create(fd), bo = panthor_bo_create(fd, PAGE, 0);
   char *shared = panthor_map_cpu(fd, bo, PAGE);
   (void)state;

   pid_t child = fork();
   if (child == 0) {
      struct drm_panthor_vm_bind_op op = panthor_map(bo, 0, 4 * MIB, PAGE);
      CHILD_CHECK(panthor_bind(fd, vm, 0, &op, 1) == 0);

      struct drm_panthor_bo_mmap_offset offset = {.handle = bo};
      CHILD_CHECK(call(fd, DRM_IOCTL_PANTHOR_BO_MMAP_OFFSET, &offset) == 0);
      char *map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset.offset);
      CHILD_CHECK(map != MAP_FAILED);
      strcpy(map, "child");
      CHILD_CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, offset.offset + PAGE) == MAP_FAILED);
      CHILD_CHECK(errno == EINVAL);

      /* A file of its own, and the BO in it by PRIME */
      int own = open(NODE_PATH, O_RDWR | O_CLOEXEC);
      struct stat st;
      CHILD_CHECK(own >= 0 && fstat(own, &st) == 0 && S_ISCHR(st.st_mode));
      CHILD_CHECK(minor(st.st_rdev) == 128);
      CHILD_CHECK(fstat(STDERR_FILENO, &st) == 0);
      struct drm_prime_handle prime = {.handle = bo, .flags = DRM_RDWR | DRM_CLOEXEC};
      CHILD_CHECK(call(fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &prime) == 0);
      struct drm_prime_handle import = {.fd = prime.fd};
      CHILD_CHECK(call(own, DRM_IOCTL_PRIME_FD_TO_HANDLE, &import) == 0);
      offset.handle = import.handle;
      CHILD_CHECK(call(own, DRM_IOCTL_PANTHOR_BO_MMAP_OFFSET, &offset) == 0);
      char *again = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, own, offset.offset);
      CHILD_CHECK(again != MAP_FAILED && !strcmp(again, "child"));
      close(own);
      _exit(0);
   }
   assert_child_ok(child);
   assert_string_equal(shared, "child");
   assert_false(is_hole(fd, vm, 4 * MIB));
   munmap(shared, PAGE);
   close(fd);
}

static void
interrupt(int signum)
{
   (void)signum;
}

static void
test_signals_and_grandchildren(void **state)
{
   int fd = open_node("panthor");
   uint32_t never = syncobj_create(fd, 0), done = syncobj_create(fd, 0);
   (void)state;

   pid_t child = fork();
   if (child == 0) {
      struct sigaction action = {.sa_handler = interrupt};
      const struct itimerval every = {{0, 2000}, {0, 2000}}, stop = {0};

      sigaction(SIGALRM, &action, NULL);
      setitimer(ITIMER_REAL, &every, NULL);
      CHILD_CHECK(syncobj_wait(fd, never, 0, DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT, INT64_MAX) ==
                  -EINTR);
      setitimer(ITIMER_REAL, &stop, NULL);

      pid_t grandchild = fork();
      if (grandchild == 0)
         _exit(syncobj_signal(fd, done) ? 1 : 0);
      int status;
      CHILD_CHECK(waitpid(grandchild, &status, 0) == grandchild && status == 0);
      CHILD_CHECK(syncobj_wait(fd, done, 0, 0, 0) == 0);
      _exit(0);
   }
   assert_child_ok(child);
   assert_ok(syncobj_wait(fd, done, 0, 0, 0));
   close(fd);
}

/* Masters are of the device, whoever opened it; and who is root is asked of the caller. */
static void
test_masters_and_rights(void **state)
{
   (void)state;

   assert_ok(drm_sim_select("panthor"));
   int master = open("/dev/dri/card0", O_RDWR | O_CLOEXEC);
   assert_true(master >= 0);

   pid_t child = fork();
   if (child == 0) {
      if (geteuid() == 0)
         CHILD_CHECK(setuid(65534) == 0);
      int own = open("/dev/dri/card0", O_RDWR | O_CLOEXEC);
      struct drm_client client = {.idx = 0};
      struct drm_auth auth = {0};
      CHILD_CHECK(own >= 0);
      CHILD_CHECK(call(own, DRM_IOCTL_GET_CLIENT, &client) == 0);
      CHILD_CHECK(client.auth == 0 && client.pid == (unsigned long)getpid());
      CHILD_CHECK(call(own, DRM_IOCTL_SET_MASTER, NULL) == -EACCES);
      CHILD_CHECK(call(own, DRM_IOCTL_GET_MAGIC, &auth) == 0);
      CHILD_CHECK(call(master, DRM_IOCTL_AUTH_MAGIC, &auth) == 0);
      CHILD_CHECK(call(own, DRM_IOCTL_GET_CLIENT, &client) == 0 && client.auth == 1);
      _exit(0);
   }
   assert_child_ok(child);
   close(master);
}

/* Who never had the device before is no child of anybody's. */
static void
test_closing_in_a_child_closes_nothing(void **state)
{
   int fd = open_node("panthor");
   uint32_t handle = syncobj_create(fd, 0);
   (void)state;

   pid_t child = fork();
   if (child == 0) {
      close(fd);
      CHILD_CHECK(call(fd, DRM_IOCTL_SYNCOBJ_CREATE, &(struct drm_syncobj_create){0}) == -EBADF);
      _exit(0);
   }
   assert_child_ok(child);
   assert_ok(syncobj_signal(fd, handle));
   close(fd);
}

int
main(void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_child_advances_a_timeline),
      cmocka_unit_test(test_syncobjs_are_shared),
      cmocka_unit_test(test_child_opens_binds_and_maps),
      cmocka_unit_test(test_signals_and_grandchildren),
      cmocka_unit_test(test_masters_and_rights),
      cmocka_unit_test(test_closing_in_a_child_closes_nothing),
   };
   return cmocka_run_group_tests_name("sim fork", tests, NULL, NULL);
}

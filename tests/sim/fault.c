/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Faults on demand: each kind of DRM_SIM_FAULT does what it says, no more, and again when repeated.
 * Must know nothing of how they are made.
 */

#include "sim_test.h"

#include <sys/wait.h>

static int
setup(void **state)
{
   (void)state;
   return drm_sim_set_fault(NULL);
}

static void
test_nth_ioctl(void **state)
{
   int fd = open_node("panthor");
   struct drm_panthor_bo_create args = {.size = PAGE};
   (void)state;

   assert_ok(drm_sim_set_fault("bo_create:2=ENOMEM"));
   assert_ok(call(fd, DRM_IOCTL_PANTHOR_BO_CREATE, &args));
   assert_error(call(fd, DRM_IOCTL_PANTHOR_BO_CREATE, &args), ENOMEM);
   assert_ok(call(fd, DRM_IOCTL_PANTHOR_BO_CREATE, &args));

   assert_ok(drm_sim_set_fault("bo_create:2+=28"));
   assert_ok(call(fd, DRM_IOCTL_PANTHOR_BO_CREATE, &args));
   assert_error(call(fd, DRM_IOCTL_PANTHOR_BO_CREATE, &args), ENOSPC);
   assert_error(call(fd, DRM_IOCTL_PANTHOR_BO_CREATE, &args), ENOSPC);

   assert_ok(drm_sim_set_fault("*:1=EINTR"));
   assert_error(call(fd, DRM_IOCTL_PANTHOR_BO_CREATE, &args), EINTR);
   assert_ok(call(fd, DRM_IOCTL_PANTHOR_BO_CREATE, &args));
   close(fd);
}

static void
test_bad_specs(void **state)
{
   static const char *const bad[] = {
      "vm_bind", "vm_bind:3", "vm_bind:0=ENOMEM", "vm_bind:1=EBOGUS", ":", "vm_bind:x=ENOMEM",
      "vm_bind:-1=ENOMEM", "vm_bind:3x=ENOMEM", "vm_bind:3+x=ENOMEM", "vm_bind:3%x=ENOMEM",
      "vm_bnid:1=ENOMEM", "jobs:1=ENOMEM",
      "mem:96Q", "mem:M", "mem:-1", "lost:soon", "lost:3M", "slow:", "evict:1MM",
   };
   (void)state;

   for (unsigned i = 0; i < ARRAY_LENGTH(bad); i++) {
      if (drm_sim_set_fault(bad[i]) != -EINVAL)
         fail_msg("'%s' was understood", bad[i]);
   }
   assert_ok(drm_sim_set_fault(""));
   /* One setting may be for several drivers. */
   assert_ok(drm_sim_set_fault("vm_bind:1=EIO,gem_va:1=EIO,vm_map:1=EIO,syncobj_wait:1=EIO,op:1=EIO,job:1=EIO,*:9=EIO"));
   assert_ok(drm_sim_set_fault(""));
}

static void
random_pattern(int fd, char *pattern, unsigned length)
{
   struct drm_panthor_bo_create args = {.size = PAGE};

   for (unsigned i = 0; i < length; i++) {
      int ret = call(fd, DRM_IOCTL_PANTHOR_BO_CREATE, &args);
      pattern[i] = ret ? 'x' : '.';
      if (!ret) {
         struct drm_gem_close close_args = {.handle = args.handle};
         assert_ok(call(fd, DRM_IOCTL_GEM_CLOSE, &close_args));
      }
   }
   pattern[length] = '\0';
}

static void
test_random_by_seed(void **state)
{
   int fd = open_node("panthor");
   char first[201], again[201], other[201];
   unsigned failed = 0;
   (void)state;

   assert_ok(drm_sim_set_fault("bo_create:250%7=ENOMEM"));
   random_pattern(fd, first, 200);
   assert_ok(drm_sim_set_fault("bo_create:250%7=ENOMEM"));
   random_pattern(fd, again, 200);
   assert_ok(drm_sim_set_fault("bo_create:250%8=ENOMEM"));
   random_pattern(fd, other, 200);
   assert_string_equal(first, again);
   assert_string_not_equal(first, other);
   for (unsigned i = 0; i < 200; i++)
      failed += first[i] == 'x';
   assert_in_range(failed, 25, 75);
   close(fd);
}

static void
test_prefix(void **state)
{
   int fd = open_node("panthor");
   uint32_t vm = panthor_vm_create(fd);
   uint32_t bo = panthor_bo_create(fd, 4 * PAGE, 0);
   struct drm_panthor_vm_bind_op ops[] = {
      panthor_map(bo, 0, 1 * MIB, PAGE),
      panthor_map(bo, 0, 2 * MIB, PAGE),
      panthor_map(bo, 0, 3 * MIB, PAGE),
   };
   struct drm_panthor_vm_bind args = {.vm_id = vm, .ops = {sizeof(ops[0]), 3, (uintptr_t)ops}};
   (void)state;

   assert_ok(drm_sim_set_fault("op:3=ENOMEM"));
   assert_error(call(fd, DRM_IOCTL_PANTHOR_VM_BIND, &args), ENOMEM);
   assert_int_equal(args.ops.count, 2);
   assert_false(is_hole(fd, vm, 2 * MIB));
   assert_true(is_hole(fd, vm, 3 * MIB));
   close(fd);
}

static void
test_memory_limit(void **state)
{
   int fd = open_node("panthor");
   struct drm_panthor_bo_create args = {.size = 48 * MIB};
   (void)state;

   assert_ok(drm_sim_set_fault("mem:64M"));
   assert_ok(call(fd, DRM_IOCTL_PANTHOR_BO_CREATE, &args));
   assert_error(call(fd, DRM_IOCTL_PANTHOR_BO_CREATE, &args), ENOMEM);
   struct drm_gem_close close_args = {.handle = args.handle};
   assert_ok(call(fd, DRM_IOCTL_GEM_CLOSE, &close_args));
   assert_ok(call(fd, DRM_IOCTL_PANTHOR_BO_CREATE, &args));
   close(fd);
}

static void
test_delays(void **state)
{
   int fd = open_node("panthor");
   uint32_t vm = panthor_vm_create(fd);
   uint32_t done = syncobj_create(fd, 0);
   struct drm_panthor_sync_op sync = {.flags = DRM_PANTHOR_SYNC_OP_SIGNAL, .handle = done};
   struct drm_panthor_vm_bind_op op = {
      .flags = DRM_PANTHOR_VM_BIND_OP_TYPE_SYNC_ONLY,
      .syncs = DRM_PANTHOR_OBJ_ARRAY(1, &sync),
   };
   (void)state;

   assert_ok(drm_sim_set_fault("slow:30000"));
   int64_t start = now_ns();
   assert_ok(panthor_bind(fd, vm, DRM_PANTHOR_VM_BIND_ASYNC, &op, 1));
   assert_ok(syncobj_wait(fd, done, 0, 0, in_ms(5000)));
   assert_true(now_ns() - start >= 30000000);

   assert_ok(drm_sim_set_fault("delay:20000"));
   start = now_ns();
   assert_ok(syncobj_signal(fd, done));
   assert_true(now_ns() - start >= 20000000);
   assert_ok(drm_sim_set_fault(NULL));
   close(fd);
}

static void
test_lost_device(void **state)
{
   int fd = open_node("panthor");
   uint32_t vm = panthor_vm_create(fd);
   uint32_t done = syncobj_create(fd, 0);
   uint32_t bo = panthor_bo_create(fd, PAGE, 0);
   struct drm_panthor_sync_op sync = {.flags = DRM_PANTHOR_SYNC_OP_SIGNAL, .handle = done};
   struct drm_panthor_vm_bind_op op = panthor_map(bo, 0, 1 * MIB, PAGE);
   int file;
   (void)state;

   /* A bind is on its way when the device goes: its fence still signals. */
   assert_ok(drm_sim_hold(fd, vm));
   op.syncs = (struct drm_panthor_obj_array)DRM_PANTHOR_OBJ_ARRAY(1, &sync);
   assert_ok(panthor_bind(fd, vm, DRM_PANTHOR_VM_BIND_ASYNC, &op, 1));
   file = export_sync_file(fd, done);
   assert_ok(drm_sim_set_fault("lost:2"));
   assert_ok(syncobj_signal(fd, syncobj_create(fd, 0)) == -ENODEV ? 0 : -1);
   assert_error(panthor_bind(fd, vm, 0, &op, 1), ENODEV);
   assert_ok(drm_sim_release(fd, vm));
   assert_ok(drm_sim_wait_idle(fd, vm));
   assert_true(is_readable(file));
   assert_true(is_hole(fd, vm, 1 * MIB));
   assert_ok(drm_sim_set_fault(NULL));
   close(file);
   close(fd);
}

/* A program of its own, after an exec: it does not survive. */
static int
signal_bad_handle(void)
{
   struct drm_panthor_sync_op sync = {.flags = DRM_PANTHOR_SYNC_OP_SIGNAL, .handle = 1234};
   struct drm_panthor_vm_bind_op op = {
      .flags = DRM_PANTHOR_VM_BIND_OP_TYPE_SYNC_ONLY,
      .syncs = DRM_PANTHOR_OBJ_ARRAY(1, &sync),
   };

   signal(SIGABRT, SIG_DFL);
   int fd = open_node("panthor");
   panthor_bind(fd, panthor_vm_create(fd), DRM_PANTHOR_VM_BIND_ASYNC, &op, 1);
   return 0;
}

static void
test_bad_signal_handle_stops_the_program(void **state)
{
   char message[512] = "";
   int ends[2], status;
   (void)state;

   assert_int_equal(pipe(ends), 0);
   pid_t child = fork();
   if (child == 0) {
      dup2(ends[1], STDERR_FILENO);
      execl("/proc/self/exe", "sim-fault", "--bad-signal-handle", NULL);
      _exit(127);
   }
   close(ends[1]);
   assert_true(read(ends[0], message, sizeof(message) - 1) > 0);
   close(ends[0]);
   assert_int_equal(waitpid(child, &status, 0), child);
   assert_true(WIFSIGNALED(status));
   assert_int_equal(WTERMSIG(status), SIGABRT);
   assert_non_null(strstr(message, "SIGNAL of syncobj handle 1234"));
}

static void
test_counts(void **state)
{
   int fd = open_node("panthor");
   uint64_t before = drm_sim_get_ioctl_count("vm_get_state");
   struct drm_panthor_vm_get_state args = {.vm_id = 99};
   (void)state;

   assert_error(call(fd, DRM_IOCTL_PANTHOR_VM_GET_STATE, &args), EINVAL);
   assert_int_equal(drm_sim_get_ioctl_count("vm_get_state"), before + 1);
   close(fd);
}

int
main(int argc, char **argv)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_nth_ioctl, setup),
      cmocka_unit_test_setup(test_bad_specs, setup),
      cmocka_unit_test_setup(test_random_by_seed, setup),
      cmocka_unit_test_setup(test_prefix, setup),
      cmocka_unit_test_setup(test_memory_limit, setup),
      cmocka_unit_test_setup(test_delays, setup),
      cmocka_unit_test_setup(test_lost_device, setup),
      cmocka_unit_test_setup(test_bad_signal_handle_stops_the_program, setup),
      cmocka_unit_test_setup(test_counts, setup),
   };
   if (argc == 2 && !strcmp(argv[1], "--bad-signal-handle"))
      return signal_bad_handle();
   return cmocka_run_group_tests_name("sim fault", tests, NULL, NULL);
}

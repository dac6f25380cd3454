/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The msm personality: what VM_BIND does and refuses. The gate of these tests is a held VM: another
 * file's, of panthor. Must know nothing of other drivers but that.
 */

#include "sim_test.h"

#include <linux/dma-buf.h>

#define BASE (8 * GIB)

static struct mappings mappings;
static struct mappings tables;

static void
test_params(void **state)
{
   int fd = open_node("msm");
   uint64_t value;
   (void)state;

   /* Any question makes a VM that the kernel manages. */
   assert_ok(msm_get_param(fd, MSM_PARAM_CHIP_ID, &value));
   assert_int_equal(value & 0xffffffff, 0x43051401);
   assert_error(msm_set_param(fd, MSM_PARAM_EN_VM_BIND, 1), EBUSY);
   close(fd);

   fd = open_node("msm");
   assert_ok(msm_set_param(fd, MSM_PARAM_EN_VM_BIND, 1));
   assert_ok(msm_get_param(fd, MSM_PARAM_VA_START, &value));
   assert_int_equal(value, 4 * GIB);
   assert_ok(msm_get_param(fd, MSM_PARAM_VA_SIZE, &value));
   assert_int_equal(value, (1ull << 48) - 4 * GIB);
   assert_ok(msm_get_param(fd, MSM_PARAM_HAS_PRR, &value));
   assert_int_equal(value, 1);
   assert_error(msm_get_param(fd, 0x7f, &value), EINVAL);
   close(fd);

   fd = open_node("msm:va=40:noprr");
   assert_ok(msm_get_param(fd, MSM_PARAM_VA_SIZE, &value));
   assert_int_equal(value, (1ull << 40) - 4 * GIB);
   assert_ok(msm_get_param(fd, MSM_PARAM_HAS_PRR, &value));
   assert_int_equal(value, 0);
   close(fd);

   fd = open_node("msm-1.12");
   assert_error(msm_set_param(fd, MSM_PARAM_EN_VM_BIND, 1), EINVAL);
   close(fd);
}

static void
test_queues(void **state)
{
   struct drm_msm_submitqueue args = {.flags = MSM_SUBMITQUEUE_VM_BIND};
   uint32_t id;
   (void)state;

   int fd = open_node("msm");
   /* Not a VM_BIND context */
   assert_error(call(fd, DRM_IOCTL_MSM_SUBMITQUEUE_NEW, &args), EINVAL);
   close(fd);

   fd = open_msm("msm");
   args.prio = 1;
   assert_error(call(fd, DRM_IOCTL_MSM_SUBMITQUEUE_NEW, &args), EINVAL);
   args.prio = 0;
   args.flags = 8;
   assert_error(call(fd, DRM_IOCTL_MSM_SUBMITQUEUE_NEW, &args), EINVAL);

   uint32_t bo = msm_bo_create(fd, PAGE, 0);
   struct drm_msm_vm_bind_op op = msm_map(bo, 0, BASE, PAGE);
   assert_error(msm_bind(fd, 99, &op, 1), ENOENT);
   /* The default queue is for the GPU. */
   assert_error(msm_bind(fd, 0, &op, 1), EINVAL);
   id = msm_queue_create(fd, MSM_SUBMITQUEUE_VM_BIND);
   assert_ok(msm_bind(fd, id, &op, 1));
   assert_ok(call(fd, DRM_IOCTL_MSM_SUBMITQUEUE_CLOSE, &id));
   assert_error(call(fd, DRM_IOCTL_MSM_SUBMITQUEUE_CLOSE, &id), ENOENT);
   assert_error(msm_bind(fd, id, &op, 1), ENOENT);
   close(fd);
}

static void
test_arguments(void **state)
{
   int fd = open_msm("msm");
   uint32_t bo = msm_bo_create(fd, 4 * PAGE, 0);
   const struct drm_msm_vm_bind_op bad[] = {
      msm_map(bo, 0, BASE + 1, PAGE),
      msm_map(bo, 1, BASE, PAGE),
      msm_map(bo, 0, BASE, PAGE + 1),
      msm_map(bo, PAGE, BASE, 4 * PAGE),
      msm_map(99, 0, BASE, PAGE),
      msm_map(0, 0, BASE, PAGE),
      msm_map(bo, 0, 4 * GIB - PAGE, PAGE),
      msm_map(bo, 0, (1ull << 48) - PAGE, 2 * PAGE),
      msm_unmap(UINT64_MAX - PAGE + 1, 2 * PAGE),
      {.op = MSM_VM_BIND_OP_UNMAP, .handle = bo, .iova = BASE, .range = PAGE},
      {.op = MSM_VM_BIND_OP_MAP_NULL, .handle = bo, .iova = BASE, .range = PAGE},
      {.op = 3, .iova = BASE, .range = PAGE},
      {.op = MSM_VM_BIND_OP_UNMAP, .iova = BASE, .range = PAGE, .flags = 2},
   };
   (void)state;

   for (unsigned i = 0; i < ARRAY_LENGTH(bad); i++) {
      /* Alone, and behind a good one: all is checked before anything happens. */
      const struct drm_msm_vm_bind_op two[] = {msm_map(bo, 0, BASE + GIB, PAGE), bad[i]};
      if (msm_bind(fd, 1, &bad[i], 1) != -EINVAL || msm_bind(fd, 1, two, 2) != -EINVAL)
         fail_msg("case %u", i);
   }

   struct drm_msm_vm_bind args = msm_bind_args(1, bad, 2);
   args.ops = 16;
   assert_error(call(fd, DRM_IOCTL_MSM_VM_BIND, &args), EFAULT);
   args = msm_bind_args(1, bad, 0);
   args.flags = 4;
   assert_error(call(fd, DRM_IOCTL_MSM_VM_BIND, &args), EINVAL);
   args.flags = MSM_VM_BIND_FENCE_FD_IN;
   assert_error(call(fd, DRM_IOCTL_MSM_VM_BIND, &args), EINVAL);

   /* More operations than fit one allocation */
   args = msm_bind_args(1, bad, 200000);
   assert_error(call(fd, DRM_IOCTL_MSM_VM_BIND, &args), ENOMEM);

   assert_ok(drm_sim_wait_idle(fd, 0));
   get_tree(fd, 0, &mappings);
   assert_int_equal(mappings.count, 0);
   close(fd);

   fd = open_msm("msm:noprr");
   struct drm_msm_vm_bind_op null = msm_null(BASE, PAGE);
   assert_error(msm_bind(fd, 1, &null, 1), EINVAL);
   close(fd);
}

static void
test_staged(void **state)
{
   int fd = open_msm("msm");
   uint32_t bo = msm_bo_create(fd, 8 * PAGE, 0);
   const struct drm_msm_vm_bind_op ops[] = {
      msm_map(bo, 0, BASE, 4 * PAGE),
      msm_null(BASE + PAGE, PAGE),
   };
   (void)state;

   assert_ok(drm_sim_hold(fd, 0));
   assert_ok(msm_bind(fd, 1, ops, 2));
   /* The tree at the ioctl, the page tables when the job runs */
   get_tree(fd, 0, &mappings);
   assert_int_equal(mappings.count, 3);
   assert_mapping(&mappings.list[0], BASE, PAGE, bo, 0);
   assert_int_equal(mappings.list[1].flags, DRM_SIM_MAPPING_NULL);
   assert_mapping(&mappings.list[2], BASE + 2 * PAGE, 2 * PAGE, bo, 2 * PAGE);
   get_page_tables(fd, 0, &tables);
   assert_int_equal(tables.count, 0);

   assert_ok(drm_sim_release(fd, 0));
   assert_ok(drm_sim_wait_idle(fd, 0));
   get_page_tables(fd, 0, &tables);
   assert_int_equal(tables.count, 3);
   assert_int_equal(tables.list[1].flags, DRM_SIM_MAPPING_NULL);

   uint32_t value = 5;
   assert_ok(drm_sim_write(fd, 0, BASE + PAGE, &value, sizeof(value)));
   assert_ok(drm_sim_read(fd, 0, BASE + PAGE, &value, sizeof(value)));
   assert_int_equal(value, 0);
   assert_error(drm_sim_read(fd, 0, BASE + 4 * PAGE, &value, sizeof(value)), EFAULT);
   close(fd);
}

static void
test_syncs(void **state)
{
   int gate_fd = open_node("panthor");
   int fd = open_msm("msm");
   struct gate gate = gate_close(gate_fd);
   uint32_t bo = msm_bo_create(fd, PAGE, 0);
   uint32_t in = syncobj_create(fd, 0);
   uint32_t out = syncobj_create(fd, 0);
   struct drm_msm_vm_bind_op op = msm_map(bo, 0, BASE, PAGE);
   struct drm_msm_vm_bind args = msm_bind_args(1, &op, 1);
   struct drm_msm_syncobj wait = {.handle = in, .flags = MSM_SYNCOBJ_RESET};
   struct drm_msm_syncobj signals[] = {{.handle = out}, {.handle = out, .point = 4}};
   struct drm_syncobj_handle import = {
      .handle = in,
      .flags = DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_IMPORT_SYNC_FILE,
      .fd = export_sync_file(gate_fd, gate.syncobj),
   };
   (void)state;

   args.in_syncobjs = (uintptr_t)&wait;
   args.nr_in_syncobjs = 1;
   args.out_syncobjs = (uintptr_t)&signals[1];
   args.nr_out_syncobjs = 1;
   args.flags = MSM_VM_BIND_FENCE_FD_OUT;

   /* No fence yet */
   assert_error(call(fd, DRM_IOCTL_MSM_VM_BIND, &args), EINVAL);
   assert_ok(call(fd, DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, &import));
   assert_ok(call(fd, DRM_IOCTL_MSM_VM_BIND, &args));
   /* It was reset when the job was queued. */
   assert_error(syncobj_wait(fd, in, 0, 0, 0), EINVAL);
   assert_error(syncobj_wait(fd, out, 4, 0, in_ms(10)), ETIME);
   assert_false(is_readable(args.fence_fd));
   assert_true(is_hole(fd, 0, BASE));

   /* The BO is busy for the CPU. */
   struct drm_msm_gem_cpu_prep prep = {.handle = bo, .op = MSM_PREP_READ | MSM_PREP_NOSYNC};
   assert_error(call(fd, DRM_IOCTL_MSM_GEM_CPU_PREP, &prep), EBUSY);

   gate_open(&gate);
   assert_ok(syncobj_wait(fd, out, 4, 0, in_ms(5000)));
   assert_true(is_readable(args.fence_fd));
   assert_false(is_hole(fd, 0, BASE));
   assert_ok(call(fd, DRM_IOCTL_MSM_GEM_CPU_PREP, &prep));
   close(args.fence_fd);

   /* Wrong ones */
   args.in_syncobjs = 0;
   args.flags = 0;
   signals[0].flags = 1;
   args.out_syncobjs = (uintptr_t)&signals[0];
   assert_error(call(fd, DRM_IOCTL_MSM_VM_BIND, &args), EINVAL);
   signals[0].flags = 0;
   signals[0].handle = 99;
   assert_error(call(fd, DRM_IOCTL_MSM_VM_BIND, &args), EINVAL);
   wait.handle = 99;
   args.in_syncobjs = (uintptr_t)&wait;
   assert_error(call(fd, DRM_IOCTL_MSM_VM_BIND, &args), ENOENT);
   close(import.fd);
   close(fd);
   close(gate_fd);
}

static void
test_no_operations_but_syncs(void **state)
{
   int fd = open_msm("msm");
   uint32_t out = syncobj_create(fd, 0);
   struct drm_msm_syncobj signal = {.handle = out, .point = 2};
   struct drm_msm_vm_bind args = msm_bind_args(1, NULL, 0);
   (void)state;

   args.out_syncobjs = (uintptr_t)&signal;
   args.nr_out_syncobjs = 1;
   assert_ok(call(fd, DRM_IOCTL_MSM_VM_BIND, &args));
   assert_ok(syncobj_wait(fd, out, 2, 0, in_ms(5000)));
   close(fd);
}

static void
test_queues_are_unordered(void **state)
{
   int gate_fd = open_node("panthor");
   int fd = open_msm("msm");
   uint32_t second = msm_queue_create(fd, MSM_SUBMITQUEUE_VM_BIND);
   struct gate gate = gate_close(gate_fd);
   uint32_t bo = msm_bo_create(fd, 4 * PAGE, 0);
   struct drm_msm_vm_bind_op map = msm_map(bo, 0, BASE, PAGE);
   struct drm_msm_vm_bind_op unmap = msm_unmap(BASE, PAGE);
   struct drm_msm_vm_bind args = msm_bind_args(1, &map, 1);
   (void)state;

   args.flags = MSM_VM_BIND_FENCE_FD_IN;
   args.fence_fd = export_sync_file(gate_fd, gate.syncobj);
   assert_ok(call(fd, DRM_IOCTL_MSM_VM_BIND, &args));
   /* The unmap of the other queue changes the page tables first. */
   assert_ok(msm_bind(fd, second, &unmap, 1));
   assert_ok(drm_sim_wait_idle(fd, 0));
   gate_open(&gate);
   assert_ok(drm_sim_wait_idle(fd, 0));
   get_tree(fd, 0, &mappings);
   get_page_tables(fd, 0, &tables);
   assert_int_equal(mappings.count, 0);
   assert_int_equal(tables.count, 1);
   close(args.fence_fd);
   close(fd);
   close(gate_fd);
}

static void
test_flags_change_in_place(void **state)
{
   int fd = open_msm("msm");
   uint32_t bo = msm_bo_create(fd, 4 * PAGE, 0);
   struct drm_msm_vm_bind_op map = msm_map(bo, PAGE, BASE, 2 * PAGE);
   struct drm_sim_op_counts counts;
   (void)state;

   assert_ok(msm_bind(fd, 1, &map, 1));
   map.flags = MSM_VM_BIND_OP_DUMP;
   assert_ok(msm_bind(fd, 1, &map, 1));
   assert_ok(drm_sim_wait_idle(fd, 0));
   get_tree(fd, 0, &mappings);
   assert_int_equal(mappings.count, 1);
   assert_mapping(&mappings.list[0], BASE, 2 * PAGE, bo, PAGE);
   assert_ok(drm_sim_get_op_counts(fd, 0, &counts));
   assert_int_equal(counts.map, 2);
   close(fd);
}

static void
test_failed_job_signals_success(void **state)
{
   int fd = open_msm("msm");
   uint32_t bo = msm_bo_create(fd, 4 * PAGE, 0);
   uint32_t out = syncobj_create(fd, 0);
   struct drm_msm_vm_bind_op before = msm_map(bo, 0, BASE + GIB, PAGE);
   const struct drm_msm_vm_bind_op ops[] = {
      msm_map(bo, 0, BASE, PAGE),
      msm_unmap(BASE + GIB, PAGE),
   };
   struct drm_msm_vm_bind args = msm_bind_args(1, ops, 2);
   struct drm_msm_syncobj signal = {.handle = out};
   (void)state;

   assert_ok(msm_bind(fd, 1, &before, 1));
   assert_ok(drm_sim_wait_idle(fd, 0));
   args.out_syncobjs = (uintptr_t)&signal;
   args.nr_out_syncobjs = 1;
   args.flags = MSM_VM_BIND_FENCE_FD_OUT;
   assert_ok(drm_sim_set_fault("job:1=ENOMEM"));
   assert_ok(call(fd, DRM_IOCTL_MSM_VM_BIND, &args));
   assert_ok(syncobj_wait(fd, out, 0, 0, in_ms(5000)));
   assert_ok(drm_sim_set_fault(NULL));

   /* Nothing was mapped, what was to be unmapped is, and the fence says that all is well. */
   struct {
      char name[32];
      int32_t status;
      uint32_t flags, num_fences, pad;
      uint64_t fences;
   } info = {{0}, 0, 0, 0, 0, 0};
   assert_ok(call(args.fence_fd, _IOWR('>', 4, info), &info));
   assert_int_equal(info.status, 1);
   assert_true(is_hole(fd, 0, BASE));
   assert_true(is_hole(fd, 0, BASE + GIB));
   assert_error(msm_bind(fd, 1, ops, 2), EPIPE);
   close(args.fence_fd);
   close(fd);
}

static void
test_failure_while_translating(void **state)
{
   int fd = open_msm("msm");
   uint32_t bo = msm_bo_create(fd, 4 * PAGE, 0);
   const struct drm_msm_vm_bind_op ops[] = {
      msm_map(bo, 0, BASE, PAGE),
      msm_map(bo, 0, BASE + GIB, PAGE),
   };
   (void)state;

   /* The first operation: the VM is as it was. A later one: nobody knows, and it is unusable. */
   assert_ok(drm_sim_set_fault("op:1=ENOMEM"));
   assert_error(msm_bind(fd, 1, ops, 2), ENOMEM);
   assert_ok(drm_sim_set_fault(NULL));
   assert_ok(msm_bind(fd, 1, ops, 2));
   assert_ok(drm_sim_set_fault("op:2=ENOMEM"));
   assert_error(msm_bind(fd, 1, ops, 2), ENOMEM);
   assert_ok(drm_sim_set_fault(NULL));
   assert_error(msm_bind(fd, 1, ops, 2), EPIPE);
   close(fd);
}

static void
test_gem_info(void **state)
{
   int fd = open_msm("msm");
   uint32_t bo = msm_bo_create(fd, PAGE, MSM_BO_NO_SHARE);
   char name[8] = "";
   struct drm_msm_gem_info args = {.handle = bo, .info = MSM_INFO_GET_FLAGS};
   (void)state;

   assert_ok(call(fd, DRM_IOCTL_MSM_GEM_INFO, &args));
   assert_int_equal(args.value, MSM_BO_WC | MSM_BO_NO_SHARE);
   args.len = 1;
   assert_error(call(fd, DRM_IOCTL_MSM_GEM_INFO, &args), EINVAL);
   args = (struct drm_msm_gem_info){.handle = bo, .info = MSM_INFO_GET_IOVA};
   assert_error(call(fd, DRM_IOCTL_MSM_GEM_INFO, &args), EINVAL);
   args = (struct drm_msm_gem_info){.handle = bo,
                                    .info = MSM_INFO_SET_NAME,
                                    .value = (uintptr_t) "abc",
                                    .len = 3};
   assert_ok(call(fd, DRM_IOCTL_MSM_GEM_INFO, &args));
   args = (struct drm_msm_gem_info){.handle = bo,
                                    .info = MSM_INFO_GET_NAME,
                                    .value = (uintptr_t)name,
                                    .len = 8};
   assert_ok(call(fd, DRM_IOCTL_MSM_GEM_INFO, &args));
   assert_string_equal(name, "abc");
   assert_int_equal(args.len, 3);
   args.handle = 99;
   assert_error(call(fd, DRM_IOCTL_MSM_GEM_INFO, &args), ENOENT);

   struct drm_msm_gem_new bad = {.size = PAGE, .flags = 1u << 30};
   assert_error(call(fd, DRM_IOCTL_MSM_GEM_NEW, &bad), EINVAL);
   close(fd);
}

static void
test_kernel_managed_addresses(void **state)
{
   int fd = open_node("msm-1.12");
   uint32_t bo = msm_bo_create(fd, 2 * PAGE, 0);
   struct drm_msm_gem_info args = {.handle = bo, .info = MSM_INFO_GET_IOVA};
   (void)state;

   assert_ok(call(fd, DRM_IOCTL_MSM_GEM_INFO, &args));
   uint64_t iova = args.value;
   assert_true(iova >= 4 * GIB);
   assert_ok(call(fd, DRM_IOCTL_MSM_GEM_INFO, &args));
   assert_int_equal(args.value, iova);
   assert_false(is_hole(fd, 0, iova + PAGE));
   close(fd);
}

static int
set_iova(int fd, uint32_t bo, uint64_t iova)
{
   struct drm_msm_gem_info args = {.handle = bo, .info = MSM_INFO_SET_IOVA, .value = iova};

   return call(fd, DRM_IOCTL_MSM_GEM_INFO, &args);
}

static void
test_addresses_of_the_programs_choice(void **state)
{
   int fd = open_node("msm-1.12");
   uint32_t a = msm_bo_create(fd, 2 * PAGE, 0), b = msm_bo_create(fd, PAGE, 0);
   struct drm_msm_gem_info get = {.handle = a, .info = MSM_INFO_GET_IOVA};
   (void)state;

   assert_ok(set_iova(fd, a, 8 * GIB));
   assert_ok(set_iova(fd, a, 8 * GIB));
   assert_ok(call(fd, DRM_IOCTL_MSM_GEM_INFO, &get));
   assert_int_equal(get.value, 8 * GIB);
   assert_false(is_hole(fd, 0, 8 * GIB + PAGE));

   /* Where another is, beside a page, and outside */
   assert_error(set_iova(fd, b, 8 * GIB + PAGE), ENOSPC);
   assert_error(set_iova(fd, b, 8 * GIB + 4 * PAGE + 1), ENOSPC);
   assert_error(set_iova(fd, b, PAGE), ENOSPC);
   assert_ok(set_iova(fd, b, 8 * GIB + 2 * PAGE));

   /* One address at a time: asking for a second loses the first. */
   assert_error(set_iova(fd, a, 9 * GIB), EBUSY);
   assert_true(is_hole(fd, 0, 8 * GIB));
   /* Just in between: before the other one. */
   assert_ok(set_iova(fd, a, 8 * GIB));
   assert_error(set_iova(fd, a, 9 * GIB), EBUSY);
   assert_ok(set_iova(fd, a, 9 * GIB));
   assert_ok(set_iova(fd, a, 0));
   assert_true(is_hole(fd, 0, 9 * GIB));
   assert_ok(set_iova(fd, a, 0));
   close(fd);
}

static uint32_t
packet(uint32_t opcode, uint32_t count)
{
   return 7u << 28 | count | !__builtin_parity(count) << 15 | opcode << 16 |
          !__builtin_parity(opcode) << 23;
}

static void
test_submit(void **state)
{
   int fd = open_msm("msm");
   uint32_t bo = msm_bo_create(fd, 2 * PAGE, 0);
   uint32_t bound = syncobj_create(fd, 0);
   uint32_t *cpu = msm_map_cpu(fd, bo, 2 * PAGE);
   struct drm_msm_vm_bind_op op = msm_map(bo, 0, BASE, 2 * PAGE);
   struct drm_msm_vm_bind bind = msm_bind_args(1, &op, 1);
   struct drm_msm_syncobj sync = {.handle = bound};
   struct drm_msm_gem_submit_cmd cmd = {.type = MSM_SUBMIT_CMD_BUF, .size = 48, .iova = BASE};
   struct drm_msm_gem_submit args = {
      .flags = MSM_PIPE_3D0 | MSM_SUBMIT_SYNCOBJ_IN | MSM_SUBMIT_NO_IMPLICIT,
      .nr_cmds = 1,
      .cmds = (uintptr_t)&cmd,
      .in_syncobjs = (uintptr_t)&sync,
      .nr_in_syncobjs = 1,
      .syncobj_stride = sizeof(sync),
   };
   const uint32_t stream[] = {
      packet(0x10, 1),
      0,
      packet(0x3d, 3),
      (uint32_t)(BASE + PAGE),
      BASE >> 32,
      0xfeed,
      packet(0x73, 5),
      0,
      (uint32_t)(BASE + PAGE + 8),
      BASE >> 32,
      (uint32_t)(BASE + PAGE),
      BASE >> 32,
   };
   (void)state;

   memcpy(cpu, stream, sizeof(stream));
   bind.out_syncobjs = (uintptr_t)&sync;
   bind.nr_out_syncobjs = 1;
   assert_ok(drm_sim_hold(fd, 0));
   assert_ok(call(fd, DRM_IOCTL_MSM_VM_BIND, &bind));
   args.queueid = 1;
   assert_error(call(fd, DRM_IOCTL_MSM_GEM_SUBMIT, &args), EINVAL);
   args.queueid = 0;
   cmd.nr_relocs = 1;
   assert_error(call(fd, DRM_IOCTL_MSM_GEM_SUBMIT, &args), EINVAL);
   cmd.nr_relocs = 0;
   assert_ok(call(fd, DRM_IOCTL_MSM_GEM_SUBMIT, &args));

   struct drm_msm_wait_fence wait = {.fence = args.fence};
   assert_error(call(fd, DRM_IOCTL_MSM_WAIT_FENCE, &wait), ETIMEDOUT);
   assert_ok(drm_sim_release(fd, 0));
   wait.timeout.tv_sec = now_ns() / 1000000000 + 5;
   assert_ok(call(fd, DRM_IOCTL_MSM_WAIT_FENCE, &wait));
   assert_int_equal(cpu[PAGE / 4], 0xfeed);
   assert_int_equal(cpu[PAGE / 4 + 2], 0xfeed);

   /* A fault: with VM_BIND, the end of the VM. */
   cmd.iova = BASE + GIB;
   assert_ok(call(fd, DRM_IOCTL_MSM_GEM_SUBMIT, &args));
   wait.fence = args.fence;
   assert_ok(call(fd, DRM_IOCTL_MSM_WAIT_FENCE, &wait));
   assert_error(call(fd, DRM_IOCTL_MSM_GEM_SUBMIT, &args), EPIPE);
   munmap(cpu, 2 * PAGE);
   close(fd);
}

static void
test_purge(void **state)
{
   int fd = open_msm("msm");
   uint32_t first = msm_bo_create(fd, 32 * MIB, 0), second = msm_bo_create(fd, 16 * MIB, 0);
   struct drm_msm_gem_madvise madvise = {.handle = first, .madv = MSM_MADV_DONTNEED};
   struct drm_msm_vm_bind_op op = msm_map(first, 0, BASE, PAGE);
   char *cpu = msm_map_cpu(fd, first, PAGE);
   (void)state;

   cpu[0] = 'x';
   assert_ok(call(fd, DRM_IOCTL_MSM_GEM_MADVISE, &madvise));
   assert_int_equal(madvise.retained, 1);
   assert_error(msm_bind(fd, 1, &op, 1), EBUSY);

   /* Memory runs short: what is not needed goes, and what is stays. */
   assert_ok(drm_sim_set_fault("mem:64M"));
   assert_true(msm_bo_create(fd, 40 * MIB, 0) != 0);
   madvise.madv = MSM_MADV_WILLNEED;
   assert_ok(call(fd, DRM_IOCTL_MSM_GEM_MADVISE, &madvise));
   assert_int_equal(madvise.retained, 0);
   assert_int_equal(cpu[0], 0);
   assert_error(msm_bind(fd, 1, &op, 1), EBUSY);
   madvise.handle = second;
   assert_ok(call(fd, DRM_IOCTL_MSM_GEM_MADVISE, &madvise));
   assert_int_equal(madvise.retained, 1);
   assert_ok(drm_sim_set_fault(NULL));
   madvise.madv = 7;
   assert_error(call(fd, DRM_IOCTL_MSM_GEM_MADVISE, &madvise), EINVAL);
   munmap(cpu, PAGE);
   close(fd);
}

/* Without VM_BIND: the BOs by a table, their addresses by the kernel, the order by what each does to them */
static void
test_submit_with_a_table(void **state)
{
   int fd = open_node("msm-1.12");
   uint32_t commands = msm_bo_create(fd, PAGE, 0), target = msm_bo_create(fd, PAGE, 0);
   struct drm_msm_gem_submit_bo table[] = {
      {.flags = MSM_SUBMIT_BO_READ, .handle = commands},
      {.flags = MSM_SUBMIT_BO_WRITE, .handle = target},
   };
   struct drm_msm_gem_submit_cmd cmd = {.type = MSM_SUBMIT_CMD_BUF, .submit_offset = 64, .size = 16};
   struct drm_msm_gem_submit args = {
      .flags = MSM_PIPE_3D0,
      .nr_bos = 2,
      .nr_cmds = 1,
      .bos = (uintptr_t)table,
      .cmds = (uintptr_t)&cmd,
   };
   struct drm_msm_gem_info iova = {.handle = target, .info = MSM_INFO_GET_IOVA};
   uint32_t *cpu = msm_map_cpu(fd, commands, PAGE), *out = msm_map_cpu(fd, target, PAGE);
   (void)state;

   assert_ok(call(fd, DRM_IOCTL_MSM_GEM_INFO, &iova));
   const uint32_t stream[] = {packet(0x3d, 3), (uint32_t)iova.value, iova.value >> 32, 0xabcd};
   memcpy((char *)cpu + 64, stream, sizeof(stream));

   table[0].flags = 0;
   assert_error(call(fd, DRM_IOCTL_MSM_GEM_SUBMIT, &args), EINVAL);
   table[0].flags = MSM_SUBMIT_BO_READ;
   table[1].handle = 99;
   assert_error(call(fd, DRM_IOCTL_MSM_GEM_SUBMIT, &args), EINVAL);
   table[1].handle = target;
   cmd.submit_idx = 2;
   assert_error(call(fd, DRM_IOCTL_MSM_GEM_SUBMIT, &args), EINVAL);
   cmd.submit_idx = 0;
   cmd.submit_offset = PAGE;
   assert_error(call(fd, DRM_IOCTL_MSM_GEM_SUBMIT, &args), EINVAL);
   cmd.submit_offset = 64;

   /* Behind who reads what it writes; and busy, for who asks. */
   int gate_fd = open_node("panthor");
   struct gate gate = gate_close(gate_fd);
   struct drm_prime_handle prime = {.handle = target, .flags = DRM_RDWR | DRM_CLOEXEC};
   assert_ok(call(fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &prime));
   struct dma_buf_import_sync_file import = {
      .flags = DMA_BUF_SYNC_READ,
      .fd = export_sync_file(gate_fd, gate.syncobj),
   };
   assert_ok(call(prime.fd, DMA_BUF_IOCTL_IMPORT_SYNC_FILE, &import));
   assert_ok(call(fd, DRM_IOCTL_MSM_GEM_SUBMIT, &args));
   struct drm_msm_gem_cpu_prep prep = {.handle = target, .op = MSM_PREP_READ | MSM_PREP_NOSYNC};
   assert_error(call(fd, DRM_IOCTL_MSM_GEM_CPU_PREP, &prep), EBUSY);
   assert_int_equal(out[0], 0);
   gate_open(&gate);
   prep.op = MSM_PREP_READ;
   prep.timeout.tv_sec = now_ns() / 1000000000 + 60;
   assert_ok(call(fd, DRM_IOCTL_MSM_GEM_CPU_PREP, &prep));
   assert_int_equal(out[0], 0xabcd);
   munmap(cpu, PAGE);
   munmap(out, PAGE);
   close(import.fd);
   close(prime.fd);
   close(gate_fd);
   close(fd);
}

int
main(void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_params),
      cmocka_unit_test(test_queues),
      cmocka_unit_test(test_arguments),
      cmocka_unit_test(test_staged),
      cmocka_unit_test(test_syncs),
      cmocka_unit_test(test_no_operations_but_syncs),
      cmocka_unit_test(test_queues_are_unordered),
      cmocka_unit_test(test_flags_change_in_place),
      cmocka_unit_test(test_failed_job_signals_success),
      cmocka_unit_test(test_failure_while_translating),
      cmocka_unit_test(test_gem_info),
      cmocka_unit_test(test_kernel_managed_addresses),
      cmocka_unit_test(test_addresses_of_the_programs_choice),
      cmocka_unit_test(test_submit),
      cmocka_unit_test(test_purge),
      cmocka_unit_test(test_submit_with_a_table),
   };
   return cmocka_run_group_tests_name("sim msm", tests, NULL, NULL);
}

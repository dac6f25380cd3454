/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The panthor personality: what VM_BIND does and refuses, on old and new versions. Must know
 * nothing of other drivers.
 */

#include "sim_test.h"

#define ASYNC DRM_PANTHOR_VM_BIND_ASYNC

static struct mappings mappings;

static struct drm_panthor_sync_op
sync_op(bool signal, uint32_t handle, uint64_t point)
{
   return (struct drm_panthor_sync_op){
      .flags = (signal ? DRM_PANTHOR_SYNC_OP_SIGNAL : DRM_PANTHOR_SYNC_OP_WAIT) |
               (point ? DRM_PANTHOR_SYNC_OP_HANDLE_TYPE_TIMELINE_SYNCOBJ : 0),
      .handle = handle,
      .timeline_value = point,
   };
}

static struct drm_panthor_vm_bind_op
with_syncs(struct drm_panthor_vm_bind_op op, struct drm_panthor_sync_op *syncs, uint32_t count)
{
   op.syncs = (struct drm_panthor_obj_array){sizeof(*syncs), count, (uintptr_t)syncs};
   return op;
}

static int
vm_state(int fd, uint32_t vm)
{
   struct drm_panthor_vm_get_state args = {.vm_id = vm};
   int ret = call(fd, DRM_IOCTL_PANTHOR_VM_GET_STATE, &args);

   return ret ? ret : (int)args.state;
}

static void
test_dev_query(void **state)
{
   int fd = open_node("panthor");
   struct drm_panthor_gpu_info gpu;
   struct drm_panthor_dev_query query = {.type = DRM_PANTHOR_DEV_QUERY_GPU_INFO};
   (void)state;

   assert_ok(call(fd, DRM_IOCTL_PANTHOR_DEV_QUERY, &query));
   assert_int_equal(query.size, sizeof(gpu));
   query.pointer = (uintptr_t)&gpu;
   assert_ok(call(fd, DRM_IOCTL_PANTHOR_DEV_QUERY, &query));
   assert_int_equal(DRM_PANTHOR_ARCH_MAJOR(gpu.gpu_id), 10);
   assert_int_equal(DRM_PANTHOR_MMU_VA_BITS(gpu.mmu_features), 48);
   query.size = 4;
   assert_error(call(fd, DRM_IOCTL_PANTHOR_DEV_QUERY, &query), EINVAL);

   /* A later kernel's larger structure: the rest comes back zero. */
   unsigned char large[sizeof(gpu) + 300];
   memset(large, 0xff, sizeof(large));
   query.size = sizeof(large);
   query.pointer = (uintptr_t)large;
   assert_ok(call(fd, DRM_IOCTL_PANTHOR_DEV_QUERY, &query));
   for (size_t i = sizeof(gpu); i < sizeof(large); i++)
      assert_int_equal(large[i], 0);

   struct drm_panthor_dev_query mmu = {.type = DRM_PANTHOR_DEV_QUERY_MMU_INFO};
   assert_ok(call(fd, DRM_IOCTL_PANTHOR_DEV_QUERY, &mmu));
   mmu.type++;
   assert_error(call(fd, DRM_IOCTL_PANTHOR_DEV_QUERY, &mmu), EINVAL);
   close(fd);

   fd = open_node("panthor-1.0");
   mmu.type = DRM_PANTHOR_DEV_QUERY_MMU_INFO;
   assert_error(call(fd, DRM_IOCTL_PANTHOR_DEV_QUERY, &mmu), EINVAL);
   query = (struct drm_panthor_dev_query){.type = DRM_PANTHOR_DEV_QUERY_GPU_INFO};
   assert_ok(call(fd, DRM_IOCTL_PANTHOR_DEV_QUERY, &query));
   assert_int_equal(query.size, offsetof(struct drm_panthor_gpu_info, gpu_features));
   close(fd);
}

static void
test_vm_create(void **state)
{
   int fd = open_node("panthor");
   struct drm_panthor_vm_create args = {.flags = 1};
   struct drm_panthor_vm_destroy destroy = {.id = 1, .pad = 1};
   (void)state;

   assert_error(call(fd, DRM_IOCTL_PANTHOR_VM_CREATE, &args), EINVAL);
   args.flags = 0;
   args.user_va_range = 1ull << 48;
   assert_error(call(fd, DRM_IOCTL_PANTHOR_VM_CREATE, &args), EINVAL);
   args.user_va_range = 0;
   assert_ok(call(fd, DRM_IOCTL_PANTHOR_VM_CREATE, &args));
   assert_int_equal(args.id, 1);
   assert_int_equal(args.user_va_range, 1ull << 47);

   for (unsigned i = 2; i <= 32; i++)
      assert_int_equal(panthor_vm_create(fd), i);
   args.user_va_range = 0;
   assert_error(call(fd, DRM_IOCTL_PANTHOR_VM_CREATE, &args), EBUSY);

   assert_error(call(fd, DRM_IOCTL_PANTHOR_VM_DESTROY, &destroy), EINVAL);
   destroy.pad = 0;
   assert_ok(call(fd, DRM_IOCTL_PANTHOR_VM_DESTROY, &destroy));
   assert_error(call(fd, DRM_IOCTL_PANTHOR_VM_DESTROY, &destroy), EINVAL);
   assert_int_equal(vm_state(fd, 1), -EINVAL);
   assert_int_equal(vm_state(fd, 2), DRM_PANTHOR_VM_STATE_USABLE);
   close(fd);
}

static void
test_map_splits_and_never_merges(void **state)
{
   int fd = open_node("panthor");
   uint32_t vm = panthor_vm_create(fd);
   uint32_t bo = panthor_bo_create(fd, 16 * PAGE, 0);
   uint32_t other = panthor_bo_create(fd, 16 * PAGE, 0);
   struct drm_panthor_vm_bind_op ops[] = {
      panthor_map(bo, 0, 1 * MIB, 8 * PAGE),
      /* Two that continue each other stay two nodes. */
      panthor_map(bo, 8 * PAGE, 1 * MIB + 8 * PAGE, 4 * PAGE),
      panthor_map(other, 3 * PAGE, 1 * MIB + 2 * PAGE, PAGE),
      panthor_unmap(1 * MIB + 7 * PAGE, 2 * PAGE),
   };
   (void)state;

   assert_ok(panthor_bind(fd, vm, 0, ops, ARRAY_LENGTH(ops)));
   get_tree(fd, vm, &mappings);
   assert_int_equal(mappings.count, 4);
   assert_mapping(&mappings.list[0], 1 * MIB, 2 * PAGE, bo, 0);
   assert_mapping(&mappings.list[1], 1 * MIB + 2 * PAGE, PAGE, other, 3 * PAGE);
   assert_mapping(&mappings.list[2], 1 * MIB + 3 * PAGE, 4 * PAGE, bo, 3 * PAGE);
   assert_mapping(&mappings.list[3], 1 * MIB + 9 * PAGE, 3 * PAGE, bo, 9 * PAGE);

   struct mappings *tables = calloc(1, sizeof(*tables));
   get_page_tables(fd, vm, tables);
   assert_int_equal(tables->count, 4);
   for (unsigned i = 0; i < 4; i++) {
      const struct drm_sim_mapping *va = &mappings.list[i];
      assert_mapping(&tables->list[i], va->va, va->range_B, va->handle, va->bo_offset_B);
   }
   free(tables);
   close(fd);
}

static void
test_arguments(void **state)
{
   int fd = open_node("panthor");
   uint32_t vm = panthor_vm_create(fd);
   uint32_t other_vm = panthor_vm_create(fd);
   uint32_t bo = panthor_bo_create(fd, 4 * PAGE, 0);
   uint32_t private = panthor_bo_create(fd, PAGE, other_vm);
   const uint32_t sparse = DRM_PANTHOR_VM_BIND_OP_MAP_SPARSE | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC;
   const struct {
      struct drm_panthor_vm_bind_op op;
      int error;
   } cases[] = {
      {panthor_map(bo, 0, PAGE + 1, PAGE), EINVAL},
      {panthor_map(bo, 0, PAGE, PAGE + 1), EINVAL},
      {panthor_map(bo, 1, PAGE, PAGE), EINVAL},
      {panthor_map(99, 0, PAGE, PAGE), EINVAL},
      {panthor_map(bo, PAGE, PAGE, 4 * PAGE), EINVAL},
      {panthor_map(bo, 4 * PAGE, PAGE, PAGE), EINVAL},
      {panthor_map(bo, 0, 1ull << 47, PAGE), EINVAL},
      {panthor_map(bo, 0, (1ull << 47) - PAGE, 2 * PAGE), EINVAL},
      {panthor_map(private, 0, PAGE, PAGE), EINVAL},
      {panthor_unmap(1ull << 47, PAGE), EINVAL},
      {{.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_UNMAP, .bo_handle = bo, .size = PAGE}, EINVAL},
      {{.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_UNMAP | 1, .size = PAGE}, EINVAL},
      {{.flags = 3u << 28, .size = PAGE}, EINVAL},
      {{.flags = 1u << 10, .bo_handle = bo, .size = PAGE}, EINVAL},
      {{.flags = DRM_PANTHOR_VM_BIND_OP_MAP_SPARSE, .va = PAGE, .size = PAGE}, EINVAL},
      {{.flags = sparse, .bo_handle = bo, .va = PAGE, .size = PAGE}, EINVAL},
      {{.flags = sparse, .va = PAGE, .size = PAGE}, 0},
      {panthor_map(bo, 0, (1ull << 47) - PAGE, PAGE), 0},
      /* Of no size: nothing is looked at. */
      {panthor_map(99, 1, 3, 0), 0},
      /* Nothing there to unmap */
      {panthor_unmap(5 * GIB, PAGE), 0},
   };
   (void)state;

   for (unsigned i = 0; i < ARRAY_LENGTH(cases); i++) {
      struct drm_panthor_vm_bind_op op = cases[i].op;
      if (panthor_bind(fd, vm, 0, &op, 1) != -cases[i].error)
         fail_msg("case %u: expected %d", i, -cases[i].error);
      if (cases[i].error)
         assert_error(panthor_bind(fd, vm, ASYNC, &op, 1), cases[i].error);
   }

   struct drm_panthor_vm_bind_op op = panthor_map(bo, 0, PAGE, PAGE);
   struct drm_panthor_vm_bind args = {.vm_id = vm, .ops = {8, 1, (uintptr_t)&op}};
   assert_error(call(fd, DRM_IOCTL_PANTHOR_VM_BIND, &args), EINVAL);
   args.ops.stride = sizeof(op);
   args.ops.array = 16;
   assert_error(call(fd, DRM_IOCTL_PANTHOR_VM_BIND, &args), EFAULT);
   args.ops.array = (uintptr_t)&op;
   args.vm_id = 9;
   assert_error(call(fd, DRM_IOCTL_PANTHOR_VM_BIND, &args), EINVAL);

   /* A field that this kernel does not know must be zero. */
   struct {
      struct drm_panthor_vm_bind_op op;
      uint64_t future;
   } later = {op, 1};
   args.vm_id = vm;
   args.ops = (struct drm_panthor_obj_array){sizeof(later), 1, (uintptr_t)&later};
   assert_error(call(fd, DRM_IOCTL_PANTHOR_VM_BIND, &args), E2BIG);
   later.future = 0;
   assert_ok(call(fd, DRM_IOCTL_PANTHOR_VM_BIND, &args));

   /* No syncs in synchronous mode, and a sync-only operation must have some. */
   struct drm_panthor_sync_op wait = sync_op(false, syncobj_create(fd, 1), 0);
   op = with_syncs(op, &wait, 1);
   assert_error(panthor_bind(fd, vm, 0, &op, 1), EINVAL);
   op = (struct drm_panthor_vm_bind_op){.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_SYNC_ONLY};
   assert_error(panthor_bind(fd, vm, ASYNC, &op, 1), EINVAL);
   assert_int_equal(vm_state(fd, vm), DRM_PANTHOR_VM_STATE_USABLE);
   close(fd);
}

static void
test_versions(void **state)
{
   int fd = open_node("panthor-1.0");
   uint32_t vm = panthor_vm_create(fd);
   uint32_t bo = panthor_bo_create(fd, PAGE, 0);
   struct drm_panthor_vm_bind_op op = panthor_map(bo, 0, 1ull << 47, PAGE);
   struct drm_panthor_bo_create wb = {.size = PAGE, .flags = DRM_PANTHOR_BO_WB_MMAP};
   struct drm_panthor_bo_query_info info = {.handle = bo};
   (void)state;

   /* 6.12 maps beyond user space's range. */
   assert_ok(panthor_bind(fd, vm, 0, &op, 1));
   op = (struct drm_panthor_vm_bind_op){
      .flags = DRM_PANTHOR_VM_BIND_OP_MAP_SPARSE | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC,
      .size = PAGE,
   };
   assert_error(panthor_bind(fd, vm, 0, &op, 1), EINVAL);
   assert_error(call(fd, DRM_IOCTL_PANTHOR_BO_CREATE, &wb), EINVAL);
   assert_error(call(fd, DRM_IOCTL_PANTHOR_BO_QUERY_INFO, &info), EINVAL);
   close(fd);

   /* What came without a version: Linux 7.2 has it. */
   fd = open_node("panthor-1.8");
   vm = panthor_vm_create(fd);
   op.va = 4 * MIB;
   assert_ok(panthor_bind(fd, vm, 0, &op, 1));
   struct drm_panthor_gpu_info gpu;
   struct drm_panthor_dev_query query = {.type = DRM_PANTHOR_DEV_QUERY_GPU_INFO};
   assert_ok(call(fd, DRM_IOCTL_PANTHOR_DEV_QUERY, &query));
   assert_int_equal(query.size, sizeof(gpu));
   close(fd);

   fd = open_node("panthor-1.9");
   assert_ok(call(fd, DRM_IOCTL_PANTHOR_BO_CREATE, &wb));
   info.handle = wb.handle;
   assert_ok(call(fd, DRM_IOCTL_PANTHOR_BO_QUERY_INFO, &info));
   assert_int_equal(info.create_flags, DRM_PANTHOR_BO_WB_MMAP);
   close(fd);

   assert_error(drm_sim_select("panthor-1.10"), EINVAL);
   assert_error(drm_sim_select("panthor-2.0"), EINVAL);
   assert_error(drm_sim_select("i915"), EINVAL);
}

static void
test_sync_prefix(void **state)
{
   int fd = open_node("panthor");
   uint32_t vm = panthor_vm_create(fd);
   uint32_t bo = panthor_bo_create(fd, 4 * PAGE, 0);
   struct drm_panthor_vm_bind_op ops[] = {
      panthor_map(bo, 0, 1 * MIB, PAGE),
      panthor_map(bo, PAGE, 2 * MIB, PAGE),
      panthor_map(77, 0, 3 * MIB, PAGE),
      panthor_map(bo, PAGE, 4 * MIB, PAGE),
   };
   struct drm_panthor_vm_bind args = {
      .vm_id = vm,
      .ops = {sizeof(ops[0]), 4, (uintptr_t)ops},
   };
   (void)state;

   assert_error(call(fd, DRM_IOCTL_PANTHOR_VM_BIND, &args), EINVAL);
   assert_int_equal(args.ops.count, 2);
   get_tree(fd, vm, &mappings);
   assert_int_equal(mappings.count, 2);

   /* Asynchronous: all or nothing. */
   ops[0].va = 8 * MIB;
   assert_error(panthor_bind(fd, vm, ASYNC, ops, 4), EINVAL);
   assert_ok(drm_sim_wait_idle(fd, vm));
   get_tree(fd, vm, &mappings);
   assert_int_equal(mappings.count, 2);
   close(fd);
}

static void
test_async_waits_and_signals(void **state)
{
   int fd = open_node("panthor");
   uint32_t vm = panthor_vm_create(fd);
   uint32_t bo = panthor_bo_create(fd, 4 * PAGE, 0);
   uint32_t timeline = syncobj_create(fd, 0);
   uint32_t done = syncobj_create(fd, 0);
   struct gate gate = gate_close(fd);
   struct drm_panthor_sync_op first[] = {sync_op(false, gate.syncobj, 0),
                                         sync_op(true, timeline, 3)};
   struct drm_panthor_sync_op second[] = {sync_op(false, timeline, 3), sync_op(true, done, 0)};
   struct drm_panthor_vm_bind_op ops[] = {
      with_syncs(panthor_map(bo, 0, 1 * MIB, PAGE), first, 2),
      /* Waits for a point that only this ioctl gives a fence to */
      with_syncs(panthor_map(bo, 0, 2 * MIB, PAGE), second, 2),
   };
   (void)state;

   assert_ok(panthor_bind(fd, vm, ASYNC, ops, 2));
   /* The out fences are there at once, and nothing is bound. */
   assert_ok(syncobj_wait(fd, timeline, 3, DRM_SYNCOBJ_WAIT_FLAGS_WAIT_AVAILABLE, 0));
   assert_error(syncobj_wait(fd, done, 0, 0, in_ms(10)), ETIME);
   get_tree(fd, vm, &mappings);
   assert_int_equal(mappings.count, 0);

   /* Synchronous operations do not wait in the FIFO. */
   struct drm_panthor_vm_bind_op overtakes = panthor_map(bo, PAGE, 4 * MIB, PAGE);
   assert_ok(panthor_bind(fd, vm, 0, &overtakes, 1));
   get_tree(fd, vm, &mappings);
   assert_int_equal(mappings.count, 1);
   assert_true(is_hole(fd, vm, 1 * MIB));

   gate_open(&gate);
   assert_ok(syncobj_wait(fd, done, 0, 0, in_ms(5000)));
   assert_ok(syncobj_wait(fd, timeline, 3, 0, 0));
   get_tree(fd, vm, &mappings);
   assert_int_equal(mappings.count, 3);
   close(fd);
}

static void
test_async_is_a_fifo(void **state)
{
   int fd = open_node("panthor");
   uint32_t vm = panthor_vm_create(fd);
   uint32_t bo = panthor_bo_create(fd, 4 * PAGE, 0);
   struct gate gate = gate_close(fd);
   struct drm_panthor_sync_op wait = sync_op(false, gate.syncobj, 0);
   struct drm_panthor_vm_bind_op waits = with_syncs(panthor_map(bo, 0, 1 * MIB, PAGE), &wait, 1);
   struct drm_panthor_vm_bind_op free_to_go = panthor_unmap(1 * MIB, PAGE);
   (void)state;

   assert_ok(panthor_bind(fd, vm, ASYNC, &waits, 1));
   assert_ok(panthor_bind(fd, vm, ASYNC, &free_to_go, 1));
   gate_open(&gate);
   assert_ok(drm_sim_wait_idle(fd, vm));
   /* The unmap came last, though it could have run first. */
   assert_true(is_hole(fd, vm, 1 * MIB));
   close(fd);
}

static void
test_sync_errors(void **state)
{
   int fd = open_node("panthor");
   uint32_t vm = panthor_vm_create(fd);
   uint32_t bo = panthor_bo_create(fd, 4 * PAGE, 0);
   uint32_t empty = syncobj_create(fd, 0);
   const struct {
      struct drm_panthor_sync_op sync;
      int error;
   } cases[] = {
      /* No wait before signal in the kernel */
      {sync_op(false, empty, 0), EINVAL},
      {sync_op(false, empty, 1), EINVAL},
      {sync_op(false, 99, 0), ENOENT},
      {{.flags = 2, .handle = empty}, EINVAL},
      {{.flags = 1u << 20, .handle = empty}, EINVAL},
      {{.flags = DRM_PANTHOR_SYNC_OP_WAIT, .handle = empty, .timeline_value = 1}, EINVAL},
   };
   (void)state;

   for (unsigned i = 0; i < ARRAY_LENGTH(cases); i++) {
      struct drm_panthor_sync_op sync = cases[i].sync;
      struct drm_panthor_vm_bind_op op = with_syncs(panthor_map(bo, 0, 1 * MIB, PAGE), &sync, 1);
      if (panthor_bind(fd, vm, ASYNC, &op, 1) != -cases[i].error)
         fail_msg("case %u: expected %d", i, -cases[i].error);
   }
   get_tree(fd, vm, &mappings);
   assert_int_equal(mappings.count, 0);

   /* Unknown bits of the ioctl's own flags are ignored. */
   struct drm_panthor_vm_bind_op op = panthor_map(bo, 0, 1 * MIB, PAGE);
   assert_ok(panthor_bind(fd, vm, 0x80, &op, 1));
   close(fd);
}

static void
test_sparse_repeats_two_mib(void **state)
{
   int fd = open_node("panthor");
   uint32_t vm = panthor_vm_create(fd);
   uint32_t bo = panthor_bo_create(fd, 1 * MIB, 0);
   struct drm_panthor_vm_bind_op ops[] = {
      {
         .flags = DRM_PANTHOR_VM_BIND_OP_MAP_SPARSE | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC,
         .va = 1 * MIB,
         .size = 6 * MIB,
      },
      panthor_map(bo, 0, 4 * MIB + 64 * KIB, 64 * KIB),
   };
   uint32_t value = 0x12345678, got = 0;
   struct drm_sim_mapping page;
   (void)state;

   assert_ok(panthor_bind(fd, vm, 0, ops, 2));
   get_tree(fd, vm, &mappings);
   assert_int_equal(mappings.count, 3);
   assert_int_equal(mappings.list[0].bo_offset_B, 1 * MIB);
   /* The offset of what is right of a hole stays within the dummy BO. */
   assert_int_equal(mappings.list[2].va, 4 * MIB + 128 * KIB);
   assert_int_equal(mappings.list[2].bo_offset_B, 128 * KIB);

   assert_ok(drm_sim_lookup(fd, vm, 6 * MIB + 8 * PAGE, &page));
   assert_int_equal(page.flags, DRM_SIM_MAPPING_SPARSE);
   assert_int_equal(page.bo_offset_B, 8 * PAGE);
   assert_int_equal(page.handle, 0);

   /* Writes land in the one dummy BO. */
   assert_ok(drm_sim_write(fd, vm, 2 * MIB + 32, &value, sizeof(value)));
   assert_ok(drm_sim_read(fd, vm, 6 * MIB + 32, &got, sizeof(got)));
   assert_int_equal(got, value);
   close(fd);
}

static void
test_failed_job_makes_the_vm_unusable(void **state)
{
   int fd = open_node("panthor");
   uint32_t vm = panthor_vm_create(fd);
   uint32_t bo = panthor_bo_create(fd, 4 * PAGE, 0);
   uint32_t done = syncobj_create(fd, 0);
   struct drm_panthor_sync_op signal = sync_op(true, done, 0);
   struct drm_panthor_vm_bind_op map = panthor_map(bo, 0, 1 * MIB, PAGE);
   struct drm_panthor_vm_bind_op ops[] = {
      map,
      with_syncs(panthor_map(bo, 0, 2 * MIB, PAGE), &signal, 1),
   };
   (void)state;

   assert_ok(drm_sim_set_fault("job:2=ENOMEM"));
   assert_ok(panthor_bind(fd, vm, ASYNC, ops, 2));
   assert_ok(syncobj_wait(fd, done, 0, 0, in_ms(5000)));
   assert_ok(drm_sim_set_fault(NULL));

   /* The error is in the fence. */
   int file = export_sync_file(fd, done);
   struct {
      char name[32];
      int32_t status;
      uint32_t flags, num_fences, pad;
      uint64_t fences;
   } info = {{0}, 0, 0, 0, 0, 0};
   assert_ok(call(file, _IOWR('>', 4, info), &info));
   assert_int_equal(info.status, -ENOMEM);
   close(file);

   assert_int_equal(vm_state(fd, vm), DRM_PANTHOR_VM_STATE_UNUSABLE);
   assert_false(is_hole(fd, vm, 1 * MIB));
   assert_error(panthor_bind(fd, vm, 0, &map, 1), EINVAL);
   assert_error(panthor_bind(fd, vm, ASYNC, &map, 1), EINVAL);
   struct drm_panthor_vm_bind_op unmap = panthor_unmap(1 * MIB, PAGE);
   assert_error(panthor_bind(fd, vm, ASYNC, &unmap, 1), EINVAL);
   assert_ok(panthor_bind(fd, vm, 0, &unmap, 1));
   assert_true(is_hole(fd, vm, 1 * MIB));
   close(fd);
}

static void
test_closed_bo_stays_mapped(void **state)
{
   int fd = open_node("panthor");
   uint32_t vm = panthor_vm_create(fd);
   uint32_t bo = panthor_bo_create(fd, PAGE, 0);
   struct drm_panthor_vm_bind_op op = panthor_map(bo, 0, 1 * MIB, PAGE);
   struct drm_gem_close close_args = {.handle = bo};
   uint32_t value = 7, got = 0;
   (void)state;

   assert_ok(panthor_bind(fd, vm, 0, &op, 1));
   assert_ok(call(fd, DRM_IOCTL_GEM_CLOSE, &close_args));
   assert_ok(drm_sim_write(fd, vm, 1 * MIB, &value, sizeof(value)));
   assert_ok(drm_sim_read(fd, vm, 1 * MIB, &got, sizeof(got)));
   assert_int_equal(got, 7);
   get_tree(fd, vm, &mappings);
   assert_int_equal(mappings.list[0].handle, 0);
   assert_true(mappings.list[0].bo_inode != 0);
   close(fd);
}

static void
test_destroyed_vm_with_queued_binds(void **state)
{
   int fd = open_node("panthor");
   uint32_t vm = panthor_vm_create(fd);
   uint32_t bo = panthor_bo_create(fd, PAGE, 0);
   uint32_t done = syncobj_create(fd, 0);
   struct gate gate = gate_close(fd);
   struct drm_panthor_sync_op syncs[] = {sync_op(false, gate.syncobj, 0), sync_op(true, done, 0)};
   struct drm_panthor_vm_bind_op op = with_syncs(panthor_map(bo, 0, 1 * MIB, PAGE), syncs, 2);
   struct drm_panthor_vm_destroy destroy = {.id = vm};
   (void)state;

   assert_ok(panthor_bind(fd, vm, ASYNC, &op, 1));
   assert_ok(call(fd, DRM_IOCTL_PANTHOR_VM_DESTROY, &destroy));
   assert_error(syncobj_wait(fd, done, 0, 0, 0), ETIME);
   gate_open(&gate);
   assert_ok(syncobj_wait(fd, done, 0, 0, in_ms(5000)));
   close(fd);
}

/* A command stream of the three instructions that store a word */
static void
write_stream(uint64_t *stream, uint64_t addr, uint32_t value)
{
   stream[0] = 1ull << 56 | 0ull << 48 | addr;
   stream[1] = 2ull << 56 | 2ull << 48 | value;
   stream[2] = 21ull << 56 | 2ull << 48 | 0ull << 40 | 1u << 16;
}

static int
group_submit(int fd, uint32_t group, uint64_t addr, uint32_t size,
             struct drm_panthor_sync_op *syncs, uint32_t count)
{
   struct drm_panthor_queue_submit submit = {
      .stream_size = size,
      .stream_addr = addr,
      .syncs = {sizeof(*syncs), count, (uintptr_t)syncs},
   };
   struct drm_panthor_group_submit args = {
      .group_handle = group,
      .queue_submits = {sizeof(submit), 1, (uintptr_t)&submit},
   };
   return call(fd, DRM_IOCTL_PANTHOR_GROUP_SUBMIT, &args);
}

static void
test_group(void **state)
{
   int fd = open_node("panthor");
   uint32_t vm = panthor_vm_create(fd);
   uint32_t bo = panthor_bo_create(fd, 2 * PAGE, 0);
   uint32_t bound = syncobj_create(fd, 0), done = syncobj_create(fd, 0);
   uint64_t *cpu = panthor_map_cpu(fd, bo, 2 * PAGE);
   struct drm_panthor_queue_create queue = {.ringbuf_size = 4096};
   struct drm_panthor_group_create create = {
      .queues = {sizeof(queue), 1, (uintptr_t)&queue},
      .max_compute_cores = 1,
      .compute_core_mask = 1,
      .vm_id = 99,
   };
   struct drm_panthor_sync_op signal = sync_op(true, bound, 0);
   struct drm_panthor_sync_op syncs[] = {sync_op(false, bound, 0), sync_op(true, done, 0)};
   struct drm_panthor_vm_bind_op op = with_syncs(panthor_map(bo, 0, 4 * MIB, 2 * PAGE), &signal, 1);
   (void)state;

   assert_error(call(fd, DRM_IOCTL_PANTHOR_GROUP_CREATE, &create), EINVAL);
   create.vm_id = vm;
   create.max_compute_cores = 2;
   assert_error(call(fd, DRM_IOCTL_PANTHOR_GROUP_CREATE, &create), EINVAL);
   create.max_compute_cores = 1;
   create.priority = PANTHOR_GROUP_PRIORITY_REALTIME;
   assert_error(call(fd, DRM_IOCTL_PANTHOR_GROUP_CREATE, &create), EACCES);
   create.priority = 0;
   queue.ringbuf_size = 5000;
   assert_error(call(fd, DRM_IOCTL_PANTHOR_GROUP_CREATE, &create), EINVAL);
   queue.ringbuf_size = 4096;
   assert_ok(call(fd, DRM_IOCTL_PANTHOR_GROUP_CREATE, &create));

   /* The stream runs when its memory is bound, and not before. */
   write_stream(cpu, 4 * MIB + PAGE, 0xbeef);
   assert_ok(drm_sim_hold(fd, vm));
   assert_ok(panthor_bind(fd, vm, ASYNC, &op, 1));
   assert_error(group_submit(fd, create.group_handle, 4 * MIB + 8, 24, syncs, 2), EINVAL);
   assert_error(group_submit(fd, create.group_handle, 4 * MIB, 0, syncs, 2), EINVAL);
   assert_error(group_submit(fd, 99, 4 * MIB, 24, syncs, 2), EINVAL);
   assert_ok(group_submit(fd, create.group_handle, 4 * MIB, 24, syncs, 2));
   assert_error(syncobj_wait(fd, done, 0, 0, in_ms(10)), ETIME);
   assert_ok(drm_sim_release(fd, vm));
   assert_ok(syncobj_wait(fd, done, 0, 0, in_ms(5000)));
   assert_int_equal(cpu[PAGE / 8] & 0xffffffff, 0xbeef);

   /* A job that only synchronises */
   assert_ok(group_submit(fd, create.group_handle, 0, 0, syncs, 2));
   assert_ok(syncobj_wait(fd, done, 0, 0, in_ms(5000)));

   /* A page fault ends the group, and nothing else. */
   struct drm_panthor_group_get_state get_state = {.group_handle = create.group_handle};
   write_stream(cpu, 64 * MIB, 1);
   assert_ok(group_submit(fd, create.group_handle, 4 * MIB, 24, syncs, 2));
   assert_ok(syncobj_wait(fd, done, 0, 0, in_ms(5000)));
   assert_ok(call(fd, DRM_IOCTL_PANTHOR_GROUP_GET_STATE, &get_state));
   assert_int_equal(get_state.state, DRM_PANTHOR_GROUP_STATE_FATAL_FAULT);
   assert_int_equal(get_state.fatal_queues, 1);
   assert_error(group_submit(fd, create.group_handle, 4 * MIB, 24, syncs, 2), EINVAL);
   assert_int_equal(vm_state(fd, vm), DRM_PANTHOR_VM_STATE_USABLE);

   struct drm_panthor_group_destroy destroy = {.group_handle = create.group_handle};
   assert_ok(call(fd, DRM_IOCTL_PANTHOR_GROUP_DESTROY, &destroy));
   assert_error(call(fd, DRM_IOCTL_PANTHOR_GROUP_DESTROY, &destroy), EINVAL);
   munmap(cpu, 2 * PAGE);
   close(fd);
}

/* An instruction: its opcode, three registers or what is in their place, and 32 bits */
static uint64_t
cs(uint8_t opcode, uint8_t dst, uint8_t a, uint8_t b, uint32_t immediate)
{
   return (uint64_t)opcode << 56 | (uint64_t)dst << 48 | (uint64_t)a << 40 | (uint64_t)b << 32 |
          immediate;
}

enum {
   MOVE48 = 1,
   MOVE32 = 2,
   RUN_COMPUTE = 4,
   ADD_IMM32 = 16,
   UMIN32 = 18,
   STORE = 21,
   BRANCH = 22,
   JUMP = 33,
   SYNC_ADD64 = 51,
   SYNC_WAIT64 = 53,
};

#define IF_GREATER (1u << 28)
#define IF_ALWAYS  (6u << 28)
#define ONE_WORD   (1u << 16)
#define BACK(n)    ((uint16_t)-(n))

struct group_test {
   int fd;
   uint32_t vm;
   uint32_t group;
   uint32_t done;
   uint64_t *cpu;
};

/* A group of two queues, and three pages bound at 4 MiB */
static struct group_test
group_test_start(void)
{
   struct group_test t = {.fd = open_node("panthor")};
   const struct drm_panthor_queue_create queues[] = {{.ringbuf_size = 4096}, {.ringbuf_size = 4096}};
   struct drm_panthor_group_create create = {
      .queues = {sizeof(queues[0]), 2, (uintptr_t)queues},
      .max_compute_cores = 1,
      .compute_core_mask = 1,
   };

   create.vm_id = t.vm = panthor_vm_create(t.fd);
   t.done = syncobj_create(t.fd, 0);
   uint32_t bo = panthor_bo_create(t.fd, 3 * PAGE, 0);
   struct drm_panthor_vm_bind_op op = panthor_map(bo, 0, 4 * MIB, 3 * PAGE);
   assert_ok(panthor_bind(t.fd, t.vm, 0, &op, 1));
   t.cpu = panthor_map_cpu(t.fd, bo, 3 * PAGE);
   assert_ok(call(t.fd, DRM_IOCTL_PANTHOR_GROUP_CREATE, &create));
   t.group = create.group_handle;
   return t;
}

static void
group_test_finish(struct group_test *t)
{
   munmap(t->cpu, 3 * PAGE);
   close(t->fd);
}

static void
test_branches_and_jumps(void **state)
{
   struct group_test t = group_test_start();
   struct drm_panthor_sync_op signal = sync_op(true, t.done, 0);
   /* r2 counts up while r3 counts down from 5; then a jump over a store of something else */
   const uint64_t stream[] = {
      cs(MOVE48, 0, 0, 0, 4 * MIB + PAGE),
      cs(MOVE32, 2, 0, 0, 0),
      cs(MOVE32, 3, 0, 0, 5),
      cs(ADD_IMM32, 2, 2, 0, 7),
      cs(ADD_IMM32, 3, 3, 0, -1),
      cs(BRANCH, 0, 3, 0, IF_GREATER | BACK(3)),
      cs(RUN_COMPUTE, 0, 0, 0, 0),
      cs(BRANCH, 0, 0, 0, IF_ALWAYS | 1),
      cs(MOVE32, 2, 0, 0, 99),
      cs(MOVE32, 4, 0, 0, 30),
      cs(UMIN32, 5, 2, 4, 0),
      cs(MOVE48, 6, 0, 0, 4 * MIB + 2 * PAGE),
      cs(MOVE32, 8, 0, 0, 16),
      cs(JUMP, 0, 6, 8, 0),
      cs(MOVE32, 2, 0, 0, 99),
   };
   (void)state;

   memcpy(t.cpu, stream, sizeof(stream));
   t.cpu[2 * PAGE / 8] = cs(STORE, 2, 0, 0, ONE_WORD);
   t.cpu[2 * PAGE / 8 + 1] = cs(STORE, 5, 0, 0, ONE_WORD | 4);
   assert_ok(group_submit(t.fd, t.group, 4 * MIB, sizeof(stream), &signal, 1));
   assert_ok(syncobj_wait(t.fd, t.done, 0, 0, in_ms(60000)));
   assert_int_equal(t.cpu[PAGE / 8], 30ull << 32 | 35);

   /* Out of the stream: a fault */
   t.cpu[0] = cs(BRANCH, 0, 0, 0, IF_ALWAYS | BACK(2));
   assert_ok(group_submit(t.fd, t.group, 4 * MIB, 8, &signal, 1));
   assert_ok(syncobj_wait(t.fd, t.done, 0, 0, in_ms(60000)));
   assert_error(group_submit(t.fd, t.group, 4 * MIB, 8, &signal, 1), EINVAL);
   group_test_finish(&t);
}

/* The first queue waits for the second one's word, twice, and the second one for the first one's. */
static void
test_queues_wait_for_each_other(void **state)
{
   struct group_test t = group_test_start();
   const uint32_t second = syncobj_create(t.fd, 0);
   struct drm_panthor_sync_op signals[] = {sync_op(true, t.done, 0), sync_op(true, second, 0)};
   const uint64_t common[] = {
      cs(MOVE48, 0, 0, 0, 4 * MIB + PAGE),
      cs(MOVE48, 2, 0, 0, 4 * MIB + PAGE + 16),
      cs(MOVE48, 4, 0, 0, 0),
      cs(MOVE48, 6, 0, 0, 1),
   };
   const uint64_t first_stream[] = {
      cs(SYNC_WAIT64, 0, 2, 4, IF_GREATER),
      cs(SYNC_ADD64, 0, 0, 6, 0),
      cs(SYNC_WAIT64, 0, 2, 6, IF_GREATER),
      cs(SYNC_ADD64, 0, 0, 6, 0),
   };
   const uint64_t second_stream[] = {
      cs(SYNC_ADD64, 0, 2, 6, 0),
      cs(SYNC_WAIT64, 0, 0, 4, IF_GREATER),
      cs(SYNC_ADD64, 0, 2, 6, 0),
   };
   struct drm_panthor_queue_submit submits[] = {
      {
         .stream_size = sizeof(common) + sizeof(first_stream),
         .stream_addr = 4 * MIB,
         .syncs = {sizeof(signals[0]), 1, (uintptr_t)&signals[0]},
      },
      {
         .queue_index = 1,
         .stream_size = sizeof(common) + sizeof(second_stream),
         .stream_addr = 4 * MIB + 2 * PAGE,
         .syncs = {sizeof(signals[1]), 1, (uintptr_t)&signals[1]},
      },
   };
   struct drm_panthor_group_submit args = {
      .group_handle = t.group,
      .queue_submits = {sizeof(submits[0]), 2, (uintptr_t)submits},
   };
   (void)state;

   memcpy(t.cpu, common, sizeof(common));
   memcpy(t.cpu + sizeof(common) / 8, first_stream, sizeof(first_stream));
   memcpy(t.cpu + 2 * PAGE / 8, common, sizeof(common));
   memcpy(t.cpu + (2 * PAGE + sizeof(common)) / 8, second_stream, sizeof(second_stream));
   assert_ok(call(t.fd, DRM_IOCTL_PANTHOR_GROUP_SUBMIT, &args));
   assert_ok(syncobj_wait(t.fd, t.done, 0, 0, in_ms(60000)));
   assert_ok(syncobj_wait(t.fd, second, 0, 0, in_ms(60000)));
   assert_int_equal(t.cpu[PAGE / 8], 2);
   assert_int_equal(t.cpu[PAGE / 8 + 2], 2);

   /* One that waits for what never comes goes with the group. */
   struct drm_panthor_group_destroy destroy = {.group_handle = t.group};
   args.queue_submits.count = 1;
   t.cpu[3] = cs(MOVE48, 4, 0, 0, 100);
   assert_ok(call(t.fd, DRM_IOCTL_PANTHOR_GROUP_SUBMIT, &args));
   assert_ok(drm_sim_wait_idle(t.fd, t.vm));
   assert_error(syncobj_wait(t.fd, t.done, 0, 0, 0), ETIME);
   assert_ok(call(t.fd, DRM_IOCTL_PANTHOR_GROUP_DESTROY, &destroy));
   assert_ok(syncobj_wait(t.fd, t.done, 0, 0, in_ms(60000)));
   group_test_finish(&t);
}

static void
test_tiler_heap(void **state)
{
   int fd = open_node("panthor");
   uint32_t vm = panthor_vm_create(fd);
   struct drm_panthor_tiler_heap_destroy destroy = {.handle = vm << 16};
   struct drm_panthor_tiler_heap_create first = {
      .vm_id = 99,
      .initial_chunk_count = 3,
      .chunk_size = 2 * MIB,
      .max_chunks = 3,
      .target_in_flight = 1,
   };
   struct drm_panthor_tiler_heap_create bad;
   uint64_t addr, next;
   (void)state;

   assert_error(call(fd, DRM_IOCTL_PANTHOR_TILER_HEAP_CREATE, &first), EINVAL);
   first.vm_id = vm;
   assert_error(call(fd, DRM_IOCTL_PANTHOR_TILER_HEAP_DESTROY, &destroy), ENOENT);
   for (unsigned i = 0; i < 5; i++) {
      bad = first;
      bad.initial_chunk_count = i == 0 ? 0 : i == 1 ? 4 : 3;
      bad.chunk_size = i == 2 ? 64 * KIB : i == 3 ? 16 * MIB : i == 4 ? MIB + 1 : 2 * MIB;
      assert_error(call(fd, DRM_IOCTL_PANTHOR_TILER_HEAP_CREATE, &bad), EINVAL);
   }

   struct drm_panthor_tiler_heap_create second = first;
   assert_ok(call(fd, DRM_IOCTL_PANTHOR_TILER_HEAP_CREATE, &first));
   assert_ok(call(fd, DRM_IOCTL_PANTHOR_TILER_HEAP_CREATE, &second));
   assert_int_equal(first.handle, vm << 16);
   assert_int_equal(second.handle, vm << 16 | 1);
   assert_int_equal(second.tiler_heap_ctx_gpu_va, first.tiler_heap_ctx_gpu_va + 64);

   /* Chunk by chunk, each with its size in pages; nothing of it where user space may bind */
   addr = first.first_heap_chunk_gpu_va;
   for (unsigned i = 0; i < 3; i++) {
      assert_true(addr >= 1ull << 47);
      assert_ok(drm_sim_read(fd, vm, addr, &next, sizeof(next)));
      assert_int_equal(next % PAGE, i == 2 ? 0 : 2 * MIB / PAGE);
      addr = next & ~(PAGE - 1);
   }
   assert_int_equal(addr, 0);

   assert_ok(call(fd, DRM_IOCTL_PANTHOR_TILER_HEAP_DESTROY, &destroy));
   assert_error(drm_sim_read(fd, vm, first.first_heap_chunk_gpu_va, &next, sizeof(next)), EFAULT);
   assert_ok(drm_sim_read(fd, vm, second.first_heap_chunk_gpu_va, &next, sizeof(next)));
   assert_error(call(fd, DRM_IOCTL_PANTHOR_TILER_HEAP_DESTROY, &destroy), EINVAL);
   destroy.handle = vm << 16 | 128;
   assert_error(call(fd, DRM_IOCTL_PANTHOR_TILER_HEAP_DESTROY, &destroy), EINVAL);

   /* 127 more, and then there is no handle left */
   first.initial_chunk_count = 1;
   first.chunk_size = 128 * KIB;
   for (unsigned i = 0; i < 127; i++)
      assert_ok(call(fd, DRM_IOCTL_PANTHOR_TILER_HEAP_CREATE, &first));
   assert_error(call(fd, DRM_IOCTL_PANTHOR_TILER_HEAP_CREATE, &first), EBUSY);
   close(fd);
}

int
main(void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_dev_query),
      cmocka_unit_test(test_vm_create),
      cmocka_unit_test(test_map_splits_and_never_merges),
      cmocka_unit_test(test_arguments),
      cmocka_unit_test(test_versions),
      cmocka_unit_test(test_sync_prefix),
      cmocka_unit_test(test_async_waits_and_signals),
      cmocka_unit_test(test_async_is_a_fifo),
      cmocka_unit_test(test_sync_errors),
      cmocka_unit_test(test_sparse_repeats_two_mib),
      cmocka_unit_test(test_failed_job_makes_the_vm_unusable),
      cmocka_unit_test(test_closed_bo_stays_mapped),
      cmocka_unit_test(test_destroyed_vm_with_queued_binds),
      cmocka_unit_test(test_group),
      cmocka_unit_test(test_branches_and_jumps),
      cmocka_unit_test(test_queues_wait_for_each_other),
      cmocka_unit_test(test_tiler_heap),
   };
   return cmocka_run_group_tests_name("sim panthor", tests, NULL, NULL);
}

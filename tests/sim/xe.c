/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The xe personality: what VM_BIND and EXEC do and refuse. The gate of these tests is another
 * file's, of panthor. Must know nothing of other drivers but that.
 */

#include "sim_test.h"

#include <sched.h>

#include <xf86drm.h>

#define BASE (8 * GIB)

static struct mappings mappings;
static struct mappings tables;

static struct drm_xe_sync
sync_wait(uint32_t handle)
{
   return (struct drm_xe_sync){.type = DRM_XE_SYNC_TYPE_SYNCOBJ, .handle = handle};
}

static struct drm_xe_sync
sync_signal(uint32_t handle, uint64_t point)
{
   return (struct drm_xe_sync){
      .type = point ? DRM_XE_SYNC_TYPE_TIMELINE_SYNCOBJ : DRM_XE_SYNC_TYPE_SYNCOBJ,
      .flags = DRM_XE_SYNC_FLAG_SIGNAL,
      .handle = handle,
      .timeline_value = point,
   };
}

/* A syncobj of fd that signals when the gate opens */
static uint32_t
import_gate(int fd, const struct gate *gate)
{
   struct drm_syncobj_handle import = {
      .handle = syncobj_create(fd, 0),
      .flags = DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_IMPORT_SYNC_FILE,
      .fd = export_sync_file(gate->fd, gate->syncobj),
   };

   assert_ok(call(fd, DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, &import));
   close(import.fd);
   return import.handle;
}

static void
test_device(void **state)
{
   int fd = open_node("xe");
   uint64_t config[8];
   struct drm_xe_device_query query = {.query = DRM_XE_DEVICE_QUERY_CONFIG};
   drmDevicePtr device;
   (void)state;

   assert_int_equal(drmGetDevice2(fd, 0, &device), 0);
   assert_int_equal(device->bustype, DRM_BUS_PCI);
   assert_int_equal(device->deviceinfo.pci->vendor_id, 0x8086);
   assert_int_equal(device->deviceinfo.pci->device_id, 0x46a6);
   drmFreeDevice(&device);

   assert_ok(call(fd, DRM_IOCTL_XE_DEVICE_QUERY, &query));
   assert_true(query.size <= sizeof(config));
   query.data = (uintptr_t)config;
   assert_ok(call(fd, DRM_IOCTL_XE_DEVICE_QUERY, &query));
   assert_int_equal(config[1 + DRM_XE_QUERY_CONFIG_VA_BITS], 48);
   query.size++;
   assert_error(call(fd, DRM_IOCTL_XE_DEVICE_QUERY, &query), EINVAL);
   query.query = 99;
   assert_error(call(fd, DRM_IOCTL_XE_DEVICE_QUERY, &query), EINVAL);

   struct drm_xe_vm_create create = {.flags = 1u << 9};
   struct drm_xe_vm_destroy destroy = {.vm_id = 5};
   assert_error(call(fd, DRM_IOCTL_XE_VM_CREATE, &create), EINVAL);
   assert_error(call(fd, DRM_IOCTL_XE_VM_DESTROY, &destroy), ENOENT);
   close(fd);
}

static void
test_arguments(void **state)
{
   int fd = open_node("xe");
   uint32_t vm = xe_vm_create(fd, 0);
   uint32_t bo = xe_bo_create(fd, 4 * PAGE, 0);
   uint32_t private = xe_bo_create(fd, PAGE, xe_vm_create(fd, 0));
   struct drm_xe_vm_bind_op null_with_bo = xe_null(BASE, PAGE);
   struct drm_xe_vm_bind_op uncached = xe_map(bo, 0, BASE, PAGE);
   struct drm_xe_vm_bind_op unmap_with_bo = xe_unmap(BASE, PAGE);
   null_with_bo.obj = bo;
   uncached.pat_index = 1;
   unmap_with_bo.obj = bo;
   const struct {
      struct drm_xe_vm_bind_op op;
      int error;
   } cases[] = {
      {xe_map(bo, 0, BASE + 1, PAGE), EINVAL},
      {xe_map(bo, 1, BASE, PAGE), EINVAL},
      {xe_map(bo, 0, BASE, PAGE + 1), EINVAL},
      {xe_map(bo, 0, BASE, 0), EINVAL},
      {xe_map(bo, PAGE, BASE, 4 * PAGE), EINVAL},
      {xe_map(bo, 0, (1ull << 48) - PAGE, 2 * PAGE), EINVAL},
      {xe_map(99, 0, BASE, PAGE), ENOENT},
      {xe_map(0, 0, BASE, PAGE), EINVAL},
      {xe_map(private, 0, BASE, PAGE), EINVAL},
      {null_with_bo, EINVAL},
      /* Cached by the CPU, not snooped by the GPU */
      {uncached, EINVAL},
      {unmap_with_bo, EINVAL},
      {{.op = 9, .addr = BASE, .range = PAGE}, EINVAL},
      {{.op = DRM_XE_VM_BIND_OP_UNMAP_ALL, .obj = bo, .addr = BASE}, EINVAL},
      {{.op = DRM_XE_VM_BIND_OP_UNMAP, .addr = BASE, .range = PAGE, .pat_index = 4}, EINVAL},
   };
   (void)state;

   for (unsigned i = 0; i < ARRAY_LENGTH(cases); i++) {
      const struct drm_xe_vm_bind_op two[] = {xe_map(bo, 0, BASE + GIB, PAGE), cases[i].op};
      if (xe_bind(fd, vm, 0, &cases[i].op, 1, NULL, 0) != -cases[i].error ||
          xe_bind(fd, vm, 0, two, 2, NULL, 0) != -cases[i].error)
         fail_msg("case %u", i);
   }
   assert_error(xe_bind(fd, 77, 0, &cases[0].op, 1, NULL, 0), EINVAL);
   assert_error(
      xe_bind(fd, vm, 77, &(struct drm_xe_vm_bind_op){.op = 1, .range = PAGE}, 1, NULL, 0), ENOENT);
   get_tree(fd, vm, &mappings);
   assert_int_equal(mappings.count, 0);
   close(fd);
}

static void
test_staged_and_atomic(void **state)
{
   int fd = open_node("xe");
   uint32_t vm = xe_vm_create(fd, 0);
   uint32_t bo = xe_bo_create(fd, 8 * PAGE, 0);
   const struct drm_xe_vm_bind_op ops[] = {
      xe_map(bo, 0, BASE, 4 * PAGE),
      xe_null(BASE + PAGE, PAGE),
   };
   (void)state;

   /* A failure at the second operation leaves nothing of the first. */
   assert_ok(drm_sim_set_fault("op:2=ENOMEM"));
   assert_error(xe_bind(fd, vm, 0, ops, 2, NULL, 0), ENOMEM);
   assert_ok(drm_sim_set_fault(NULL));
   get_tree(fd, vm, &mappings);
   assert_int_equal(mappings.count, 0);

   assert_ok(drm_sim_hold(fd, vm));
   assert_ok(xe_bind(fd, vm, 0, ops, 2, NULL, 0));
   get_tree(fd, vm, &mappings);
   get_page_tables(fd, vm, &tables);
   assert_int_equal(mappings.count, 3);
   assert_int_equal(tables.count, 0);
   assert_ok(drm_sim_release(fd, vm));
   assert_ok(drm_sim_wait_idle(fd, vm));
   get_page_tables(fd, vm, &tables);
   assert_int_equal(tables.count, 3);
   assert_int_equal(tables.list[1].flags, DRM_SIM_MAPPING_NULL);

   struct drm_xe_vm_bind_op all = {.op = DRM_XE_VM_BIND_OP_UNMAP_ALL, .obj = bo};
   assert_ok(xe_bind(fd, vm, 0, &all, 1, NULL, 0));
   get_tree(fd, vm, &mappings);
   assert_int_equal(mappings.count, 1);
   assert_int_equal(mappings.list[0].flags, DRM_SIM_MAPPING_NULL);
   close(fd);
}

static void
test_syncs(void **state)
{
   int gate_fd = open_node("panthor");
   int fd = open_node("xe");
   uint32_t vm = xe_vm_create(fd, 0);
   uint32_t bo = xe_bo_create(fd, PAGE, 0);
   struct gate gate = gate_close(gate_fd);
   uint32_t out = syncobj_create(fd, 0);
   struct drm_xe_sync syncs[] = {sync_wait(import_gate(fd, &gate)), sync_signal(out, 7)};
   struct drm_xe_vm_bind_op op = xe_map(bo, 0, BASE, PAGE);
   (void)state;

   assert_ok(xe_bind(fd, vm, 0, &op, 1, syncs, 2));
   assert_error(syncobj_wait(fd, out, 7, 0, in_ms(10)), ETIME);
   assert_true(is_hole(fd, vm, BASE));
   gate_open(&gate);
   assert_ok(syncobj_wait(fd, out, 7, 0, in_ms(5000)));
   assert_false(is_hole(fd, vm, BASE));

   struct drm_xe_sync bad = sync_signal(out, 0);
   bad.type = DRM_XE_SYNC_TYPE_TIMELINE_SYNCOBJ;
   assert_error(xe_bind(fd, vm, 0, &op, 1, &bad, 1), EINVAL);
   bad = sync_wait(syncobj_create(fd, 0));
   assert_error(xe_bind(fd, vm, 0, &op, 1, &bad, 1), EINVAL);
   bad = sync_wait(99);
   assert_error(xe_bind(fd, vm, 0, &op, 1, &bad, 1), ENOENT);
   bad.flags = 2;
   assert_error(xe_bind(fd, vm, 0, &op, 1, &bad, 1), EINVAL);
   close(fd);
   close(gate_fd);
}

static void
test_nothing_to_bind(void **state)
{
   int fd = open_node("xe");
   uint32_t vm = xe_vm_create(fd, 0);
   uint32_t out = syncobj_create(fd, 0);
   struct drm_xe_sync syncs[] = {sync_signal(out, 2), sync_wait(syncobj_create(fd, 1))};
   struct drm_xe_vm_bind_op hole = xe_unmap(BASE, PAGE);
   (void)state;

   /* Signals behind the queue's last bind; waits are refused, also with an unmap of nothing. */
   assert_ok(xe_bind(fd, vm, 0, NULL, 0, syncs, 1));
   assert_ok(syncobj_wait(fd, out, 2, 0, in_ms(5000)));
   assert_error(xe_bind(fd, vm, 0, NULL, 0, syncs, 2), EOPNOTSUPP);
   assert_error(xe_bind(fd, vm, 0, &hole, 1, syncs, 2), EOPNOTSUPP);
   syncs[0].timeline_value = 3;
   assert_ok(xe_bind(fd, vm, 0, &hole, 1, syncs, 1));
   assert_ok(syncobj_wait(fd, out, 3, 0, in_ms(5000)));
   close(fd);
}

static void
test_queues_are_ordered_where_they_overlap(void **state)
{
   int gate_fd = open_node("panthor");
   int fd = open_node("xe");
   uint32_t vm = xe_vm_create(fd, 0);
   uint32_t bo = xe_bo_create(fd, 4 * PAGE, 0);
   uint32_t second = xe_queue_create(fd, vm, DRM_XE_ENGINE_CLASS_VM_BIND);
   struct gate gate = gate_close(gate_fd);
   struct drm_xe_sync wait = sync_wait(import_gate(fd, &gate));
   struct drm_xe_vm_bind_op blocked = xe_map(bo, 0, BASE, 2 * PAGE);
   struct drm_xe_vm_bind_op overlaps = xe_unmap(BASE + PAGE, PAGE);
   struct drm_xe_vm_bind_op elsewhere = xe_map(bo, 0, BASE + GIB, PAGE);
   uint32_t third = xe_queue_create(fd, vm, DRM_XE_ENGINE_CLASS_VM_BIND);
   (void)state;

   assert_ok(xe_bind(fd, vm, 0, &blocked, 1, &wait, 1));
   assert_ok(xe_bind(fd, vm, second, &overlaps, 1, NULL, 0));
   assert_ok(xe_bind(fd, vm, third, &elsewhere, 1, NULL, 0));
   assert_ok(drm_sim_wait_idle(fd, vm));
   assert_true(is_hole(fd, vm, BASE));
   assert_false(is_hole(fd, vm, BASE + GIB));
   gate_open(&gate);
   assert_ok(drm_sim_wait_idle(fd, vm));
   assert_false(is_hole(fd, vm, BASE));
   assert_true(is_hole(fd, vm, BASE + PAGE));

   /* Not a bind queue */
   uint32_t render = xe_queue_create(fd, vm, DRM_XE_ENGINE_CLASS_RENDER);
   assert_error(xe_bind(fd, vm, render, &elsewhere, 1, NULL, 0), EINVAL);
   close(fd);
   close(gate_fd);
}

static void
test_failed_job_bans_the_vm(void **state)
{
   int fd = open_node("xe");
   uint32_t vm = xe_vm_create(fd, 0);
   uint32_t bo = xe_bo_create(fd, PAGE, 0);
   uint32_t out = syncobj_create(fd, 0);
   struct drm_xe_sync signal = sync_signal(out, 0);
   struct drm_xe_vm_bind_op op = xe_map(bo, 0, BASE, PAGE);
   (void)state;

   assert_ok(drm_sim_set_fault("job:1=ENOMEM"));
   assert_ok(xe_bind(fd, vm, 0, &op, 1, &signal, 1));
   assert_ok(syncobj_wait(fd, out, 0, 0, in_ms(5000)));
   assert_ok(drm_sim_set_fault(NULL));
   assert_true(is_hole(fd, vm, BASE));
   assert_error(xe_bind(fd, vm, 0, &op, 1, NULL, 0), ENOENT);
   close(fd);
}

static void
test_exec(void **state)
{
   int fd = open_node("xe");
   uint32_t vm = xe_vm_create(fd, 0);
   uint32_t bo = xe_bo_create(fd, 2 * PAGE, 0);
   uint32_t queue = xe_queue_create(fd, vm, DRM_XE_ENGINE_CLASS_RENDER);
   uint32_t bound = syncobj_create(fd, 0), done = syncobj_create(fd, 0);
   uint32_t *cpu = xe_map_cpu(fd, bo, 2 * PAGE);
   struct drm_xe_sync bind_signal = sync_signal(bound, 0);
   struct drm_xe_vm_bind_op op = xe_map(bo, 0, BASE, 2 * PAGE);
   uint64_t user_fence = 0;
   struct drm_xe_sync syncs[] = {
      sync_wait(bound),
      sync_signal(done, 0),
      {
         .type = DRM_XE_SYNC_TYPE_USER_FENCE,
         .flags = DRM_XE_SYNC_FLAG_SIGNAL,
         .addr = (uintptr_t)&user_fence,
         .timeline_value = 0x1234,
      },
   };
   (void)state;

   /* The exec waits for the bind, which waits for the test. */
   xe_write_batch(cpu, BASE + PAGE + 8, 0xc0ffee);
   assert_ok(drm_sim_hold(fd, vm));
   assert_ok(xe_bind(fd, vm, 0, &op, 1, &bind_signal, 1));
   assert_ok(xe_exec(fd, queue, BASE, syncs, 3));
   assert_error(syncobj_wait(fd, done, 0, 0, in_ms(10)), ETIME);
   assert_ok(drm_sim_release(fd, vm));
   assert_ok(syncobj_wait(fd, done, 0, 0, in_ms(5000)));
   assert_int_equal(cpu[PAGE / 4 + 2], 0xc0ffee);

   struct drm_xe_wait_user_fence wait = {
      .addr = (uintptr_t)&user_fence,
      .op = DRM_XE_UFENCE_WAIT_OP_EQ,
      .value = 0x1234,
      .mask = UINT64_MAX,
      .timeout = 5000000000,
   };
   assert_ok(call(fd, DRM_IOCTL_XE_WAIT_USER_FENCE, &wait));
   wait.value = 1;
   wait.timeout = 1000000;
   assert_error(call(fd, DRM_IOCTL_XE_WAIT_USER_FENCE, &wait), ETIME);

   /* A store into a hole: the queue is banned. */
   struct drm_xe_exec_queue_get_property ban = {.exec_queue_id = queue};
   xe_write_batch(cpu, BASE + GIB, 1);
   syncs[1] = sync_signal(done, 0);
   assert_ok(xe_exec(fd, queue, BASE, syncs, 2));
   assert_ok(syncobj_wait(fd, done, 0, 0, in_ms(5000)));
   assert_ok(call(fd, DRM_IOCTL_XE_EXEC_QUEUE_GET_PROPERTY, &ban));
   assert_int_equal(ban.value, 1);
   assert_error(xe_exec(fd, queue, BASE, NULL, 0), ECANCELED);
   munmap(cpu, 2 * PAGE);
   close(fd);
}

static void
test_userptr(void **state)
{
   int fd = open_node("xe");
   uint32_t vm = xe_vm_create(fd, 0);
   uint32_t *memory =
      mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
   struct drm_xe_vm_bind_op op = {
      .op = DRM_XE_VM_BIND_OP_MAP_USERPTR,
      .userptr = (uintptr_t)memory + PAGE,
      .addr = BASE,
      .range = 2 * PAGE,
   };
   uint32_t value;
   (void)state;

   memory[PAGE / 4] = 77;
   assert_ok(xe_bind(fd, vm, 0, &op, 1, NULL, 0));
   assert_ok(drm_sim_wait_idle(fd, vm));
   assert_ok(drm_sim_read(fd, vm, BASE, &value, sizeof(value)));
   assert_int_equal(value, 77);

   /* It is the program's memory, in both directions. */
   memory[PAGE / 4] = 78;
   assert_ok(drm_sim_read(fd, vm, BASE, &value, sizeof(value)));
   assert_int_equal(value, 78);
   value = 79;
   assert_ok(drm_sim_write(fd, vm, BASE + PAGE, &value, sizeof(value)));
   assert_int_equal(memory[2 * PAGE / 4], 79);

   op.userptr = 16 * PAGE;
   assert_error(xe_bind(fd, vm, 0, &op, 1, NULL, 0), EFAULT);
   op.userptr = (uintptr_t)memory;
   op.pat_index = 3;
   assert_error(xe_bind(fd, vm, 0, &op, 1, NULL, 0), EINVAL);
   munmap(memory, 4 * PAGE);
   close(fd);
}

/* Every query that a program starts with: the size first, then exactly that much */
static void
test_queries(void **state)
{
   int fd = open_node("xe");
   static const uint32_t filled[] = {
      DRM_XE_DEVICE_QUERY_ENGINES,     DRM_XE_DEVICE_QUERY_MEM_REGIONS, DRM_XE_DEVICE_QUERY_CONFIG,
      DRM_XE_DEVICE_QUERY_GT_LIST,     DRM_XE_DEVICE_QUERY_GT_TOPOLOGY, DRM_XE_DEVICE_QUERY_OA_UNITS,
   };
   uint8_t data[1024];
   (void)state;

   for (unsigned i = 0; i < ARRAY_LENGTH(filled); i++) {
      struct drm_xe_device_query query = {.query = filled[i]};

      assert_ok(call(fd, DRM_IOCTL_XE_DEVICE_QUERY, &query));
      assert_in_range(query.size, 8, sizeof(data));
      query.data = (uintptr_t)data;
      assert_ok(call(fd, DRM_IOCTL_XE_DEVICE_QUERY, &query));
      query.size++;
      assert_error(call(fd, DRM_IOCTL_XE_DEVICE_QUERY, &query), EINVAL);
      query.size--;
      query.data = 16;
      int fault = call(fd, DRM_IOCTL_XE_DEVICE_QUERY, &query);
      assert_int_equal(fault, -EFAULT);
   }

   struct drm_xe_device_query query = {.query = 11};
   assert_error(call(fd, DRM_IOCTL_XE_DEVICE_QUERY, &query), EINVAL);
   query.query = DRM_XE_DEVICE_QUERY_EU_STALL;
   assert_error(call(fd, DRM_IOCTL_XE_DEVICE_QUERY, &query), ENODEV);
   query = (struct drm_xe_device_query){.reserved = {1}};
   assert_error(call(fd, DRM_IOCTL_XE_DEVICE_QUERY, &query), EINVAL);

   struct drm_xe_query_engine_cycles cycles = {.clockid = CLOCK_MONOTONIC}, later;
   query = (struct drm_xe_device_query){
      .query = DRM_XE_DEVICE_QUERY_ENGINE_CYCLES,
      .size = sizeof(cycles),
      .data = (uintptr_t)&cycles,
   };
   assert_ok(call(fd, DRM_IOCTL_XE_DEVICE_QUERY, &query));
   later = cycles;
   query.data = (uintptr_t)&later;
   assert_ok(call(fd, DRM_IOCTL_XE_DEVICE_QUERY, &query));
   assert_true(later.cpu_timestamp >= cycles.cpu_timestamp);
   assert_int_equal(cycles.width, 36);
   later.clockid = 77;
   assert_error(call(fd, DRM_IOCTL_XE_DEVICE_QUERY, &query), EINVAL);
   later.clockid = CLOCK_MONOTONIC;
   later.eci.engine_instance = 5;
   assert_error(call(fd, DRM_IOCTL_XE_DEVICE_QUERY, &query), EINVAL);

   struct drm_xe_query_uc_fw_version version = {.uc_type = XE_QUERY_UC_TYPE_GUC_SUBMISSION};
   query = (struct drm_xe_device_query){
      .query = DRM_XE_DEVICE_QUERY_UC_FW_VERSION,
      .size = sizeof(version),
      .data = (uintptr_t)&version,
   };
   assert_ok(call(fd, DRM_IOCTL_XE_DEVICE_QUERY, &query));
   assert_true(version.major_ver > 0);
   version.pad = 1;
   assert_error(call(fd, DRM_IOCTL_XE_DEVICE_QUERY, &query), EINVAL);
   version = (struct drm_xe_query_uc_fw_version){.uc_type = 9};
   assert_error(call(fd, DRM_IOCTL_XE_DEVICE_QUERY, &query), EINVAL);
   close(fd);
}

static int
queue_with(int fd, uint32_t vm, uint64_t extensions)
{
   struct drm_xe_engine_class_instance instance = {.engine_class = DRM_XE_ENGINE_CLASS_RENDER};
   struct drm_xe_exec_queue_create args = {
      .extensions = extensions,
      .width = 1,
      .num_placements = 1,
      .vm_id = vm,
      .instances = (uintptr_t)&instance,
   };
   return call(fd, DRM_IOCTL_XE_EXEC_QUEUE_CREATE, &args);
}

static void
test_queue_properties(void **state)
{
   int fd = open_node("xe");
   uint32_t vm = xe_vm_create(fd, 0);
   struct drm_xe_ext_set_property second = {
      .base.name = DRM_XE_EXEC_QUEUE_EXTENSION_SET_PROPERTY,
      .property = DRM_XE_EXEC_QUEUE_SET_PROPERTY_TIMESLICE,
      .value = 1000,
   };
   struct drm_xe_ext_set_property first = {
      .base = {.next_extension = (uintptr_t)&second},
      .property = DRM_XE_EXEC_QUEUE_SET_PROPERTY_PRIORITY,
      .value = 1,
   };
   const uint64_t chain = (uintptr_t)&first;
   (void)state;

   assert_ok(queue_with(fd, vm, chain));
   /* More than anybody may ask for, and more than there is */
   first.value = 2;
   assert_error(queue_with(fd, vm, chain), EPERM);
   first.value = 3;
   assert_error(queue_with(fd, vm, chain), EINVAL);
   first.value = 0;
   first.base.pad = 1;
   assert_error(queue_with(fd, vm, chain), EINVAL);
   first.base.pad = 0;
   first.base.name = 1;
   assert_error(queue_with(fd, vm, chain), EINVAL);
   first.base.name = 0;
   second.property = 50;
   assert_error(queue_with(fd, vm, chain), EINVAL);
   first.base.next_extension = 16;
   assert_error(queue_with(fd, vm, chain), EFAULT);
   /* A chain without end */
   first.base.next_extension = chain;
   assert_error(queue_with(fd, vm, chain), E2BIG);
   assert_error(queue_with(fd, 77, 0), ENOENT);
   close(fd);
}

/* A batch that loops until a word of memory is zero, as the tests of the kernel spin */
static void
write_spinner(uint32_t *batch, uint64_t base, uint64_t started, uint64_t flag)
{
   const uint32_t words[] = {
      0x20u << 23 | 2, (uint32_t)started,     started >> 32, 1,
      0x36u << 23 | 2, 0,                     (uint32_t)flag, flag >> 32,
      0x31u << 23 | 1, (uint32_t)(base + 16), base >> 32,
   };
   memcpy(batch, words, sizeof(words));
}

static void
test_spinners_and_engines(void **state)
{
   int fd = open_node("xe");
   uint32_t vm = xe_vm_create(fd, 0);
   uint32_t bo = xe_bo_create(fd, 4 * PAGE, 0);
   uint32_t spinning = xe_queue_create(fd, vm, DRM_XE_ENGINE_CLASS_RENDER);
   uint32_t other = xe_queue_create(fd, vm, DRM_XE_ENGINE_CLASS_COPY);
   uint32_t spun = syncobj_create(fd, 0), done = syncobj_create(fd, 0);
   volatile uint32_t *cpu = xe_map_cpu(fd, bo, 4 * PAGE);
   struct drm_xe_vm_bind_op op = xe_map(bo, 0, BASE, 4 * PAGE);
   struct drm_xe_sync spun_signal = sync_signal(spun, 0), done_signal = sync_signal(done, 0);
   (void)state;

   assert_ok(xe_bind(fd, vm, 0, &op, 1, NULL, 0));
   assert_ok(drm_sim_wait_idle(fd, vm));
   write_spinner((uint32_t *)cpu, BASE, BASE + 2 * PAGE, BASE + 2 * PAGE + 4);
   cpu[2 * PAGE / 4 + 1] = 1;
   xe_write_batch((uint32_t *)cpu + PAGE / 4, BASE + 3 * PAGE, 0xd0);
   assert_ok(xe_exec(fd, spinning, BASE, &spun_signal, 1));
   while (!cpu[2 * PAGE / 4])
      sched_yield();

   /* The other engine does not wait for it, and what it binds is seen. */
   assert_ok(xe_exec(fd, other, BASE + PAGE, &done_signal, 1));
   assert_ok(syncobj_wait(fd, done, 0, 0, in_ms(60000)));
   assert_int_equal(cpu[3 * PAGE / 4], 0xd0);
   assert_error(syncobj_wait(fd, spun, 0, 0, 0), ETIME);
   cpu[2 * PAGE / 4 + 1] = 0;
   assert_ok(syncobj_wait(fd, spun, 0, 0, in_ms(60000)));
   struct drm_xe_exec_queue_get_property ban = {.exec_queue_id = spinning};
   assert_ok(call(fd, DRM_IOCTL_XE_EXEC_QUEUE_GET_PROPERTY, &ban));
   assert_int_equal(ban.value, 0);

   /* A queue that is destroyed takes its job along. */
   cpu[2 * PAGE / 4 + 1] = 1;
   assert_ok(xe_exec(fd, spinning, BASE, &spun_signal, 1));
   struct drm_xe_exec_queue_destroy destroy = {.exec_queue_id = spinning};
   assert_ok(call(fd, DRM_IOCTL_XE_EXEC_QUEUE_DESTROY, &destroy));
   assert_ok(syncobj_wait(fd, spun, 0, 0, in_ms(60000)));
   munmap((void *)cpu, 4 * PAGE);
   close(fd);
}

static void
test_wait_user_fence(void **state)
{
   int fd = open_node("xe");
   uint64_t fence = 5;
   struct drm_xe_wait_user_fence wait = {
      .addr = (uintptr_t)&fence,
      .op = DRM_XE_UFENCE_WAIT_OP_EQ,
      .value = 5,
      .mask = UINT64_MAX,
      .exec_queue_id = 77,
   };
   (void)state;

   assert_error(call(fd, DRM_IOCTL_XE_WAIT_USER_FENCE, &wait), ENOENT);
   wait.exec_queue_id = 0;
   assert_ok(call(fd, DRM_IOCTL_XE_WAIT_USER_FENCE, &wait));
   wait.value = 6;
   assert_error(call(fd, DRM_IOCTL_XE_WAIT_USER_FENCE, &wait), ETIME);
   wait.op = DRM_XE_UFENCE_WAIT_OP_LT;
   assert_ok(call(fd, DRM_IOCTL_XE_WAIT_USER_FENCE, &wait));
   /* What is left of a relative timeout comes back; an absolute one stays. */
   wait.op = DRM_XE_UFENCE_WAIT_OP_EQ;
   wait.timeout = 2000000;
   assert_error(call(fd, DRM_IOCTL_XE_WAIT_USER_FENCE, &wait), ETIME);
   assert_int_equal(wait.timeout, 0);
   wait.flags = DRM_XE_UFENCE_WAIT_FLAG_ABSTIME;
   wait.timeout = 1;
   assert_error(call(fd, DRM_IOCTL_XE_WAIT_USER_FENCE, &wait), ETIME);
   assert_int_equal(wait.timeout, 1);
   wait.addr = 16;
   assert_error(call(fd, DRM_IOCTL_XE_WAIT_USER_FENCE, &wait), EFAULT);
   wait.addr = 4;
   assert_error(call(fd, DRM_IOCTL_XE_WAIT_USER_FENCE, &wait), EINVAL);
   wait.addr = (uintptr_t)&fence;
   wait.op = 6;
   assert_error(call(fd, DRM_IOCTL_XE_WAIT_USER_FENCE, &wait), EINVAL);
   close(fd);
}

int
main(void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_device),
      cmocka_unit_test(test_arguments),
      cmocka_unit_test(test_staged_and_atomic),
      cmocka_unit_test(test_syncs),
      cmocka_unit_test(test_nothing_to_bind),
      cmocka_unit_test(test_queues_are_ordered_where_they_overlap),
      cmocka_unit_test(test_failed_job_bans_the_vm),
      cmocka_unit_test(test_exec),
      cmocka_unit_test(test_userptr),
      cmocka_unit_test(test_queries),
      cmocka_unit_test(test_queue_properties),
      cmocka_unit_test(test_spinners_and_engines),
      cmocka_unit_test(test_wait_user_fence),
   };
   return cmocka_run_group_tests_name("sim xe", tests, NULL, NULL);
}

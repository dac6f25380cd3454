/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Memory that goes and comes back: eviction before a submit revalidates, purging, the program's own
 * pages (userptr), and who waits for whom on a shared BO. Must know nothing of the core.
 */

#include "sim_test.h"

#include <linux/dma-buf.h>

#define BASE (1ull << 33)

static struct mappings tables;

static struct drm_xe_sync
signal_of(uint32_t handle)
{
   return (struct drm_xe_sync){
      .type = DRM_XE_SYNC_TYPE_SYNCOBJ,
      .flags = DRM_XE_SYNC_FLAG_SIGNAL,
      .handle = handle,
   };
}

/* An xe file with a VM, a queue, and a BO at BASE whose first page is a batch that stores into its
 * second
 */
struct fixture {
   int fd;
   uint32_t vm;
   uint32_t queue;
   uint32_t bo;
   uint32_t done;
   uint32_t *cpu;
};

static struct fixture
fixture_open(uint32_t vm_flags)
{
   struct fixture f = {.fd = open_node("xe")};

   f.vm = xe_vm_create(f.fd, vm_flags);
   f.queue = xe_queue_create(f.fd, f.vm, DRM_XE_ENGINE_CLASS_RENDER);
   f.bo = xe_bo_create(f.fd, 4 * PAGE, f.vm);
   f.done = syncobj_create(f.fd, 0);
   f.cpu = xe_map_cpu(f.fd, f.bo, 4 * PAGE);
   struct drm_xe_vm_bind_op op = xe_map(f.bo, 0, BASE, 4 * PAGE);
   assert_ok(xe_bind(f.fd, f.vm, 0, &op, 1, NULL, 0));
   assert_ok(drm_sim_wait_idle(f.fd, f.vm));
   xe_write_batch(f.cpu, BASE + PAGE, 1);
   return f;
}

static void
fixture_close(struct fixture *f)
{
   munmap(f->cpu, 4 * PAGE);
   close(f->fd);
}

/* Runs the batch and waits; whether it did what it should */
static bool
fixture_run(struct fixture *f, uint32_t value)
{
   struct drm_xe_sync signal = signal_of(f->done);

   f->cpu[3] = value;
   assert_ok(xe_exec(f->fd, f->queue, BASE, &signal, 1));
   assert_ok(syncobj_wait(f->fd, f->done, 0, 0, in_ms(60000)));
   return f->cpu[PAGE / 4] == value;
}

static void
test_exec_brings_back(void **state)
{
   struct fixture f = fixture_open(0);
   uint64_t evicted, restored, evicted_before, restored_before;
   (void)state;

   drm_sim_get_eviction_counts(&evicted_before, &restored_before);
   assert_ok(drm_sim_evict(f.fd, f.bo));
   for (unsigned i = 0; i < 4; i++)
      assert_true(is_hole(f.fd, f.vm, BASE + i * PAGE));
   assert_true(fixture_run(&f, 0x1001));
   assert_false(is_hole(f.fd, f.vm, BASE));
   drm_sim_get_eviction_counts(&evicted, &restored);
   assert_int_equal(evicted - evicted_before, 1);
   assert_true(restored - restored_before >= 1);

   /* A BO of no VM goes and comes just the same. */
   uint32_t shared = xe_bo_create(f.fd, PAGE, 0);
   struct drm_xe_vm_bind_op op = xe_map(shared, 0, BASE + GIB, PAGE);
   assert_ok(xe_bind(f.fd, f.vm, 0, &op, 1, NULL, 0));
   assert_ok(drm_sim_wait_idle(f.fd, f.vm));
   assert_ok(drm_sim_evict(f.fd, 0));
   assert_true(is_hole(f.fd, f.vm, BASE + GIB));
   assert_true(fixture_run(&f, 0x1002));
   assert_false(is_hole(f.fd, f.vm, BASE + GIB));
   assert_error(drm_sim_evict(f.fd, 99), ENOENT);
   fixture_close(&f);
}

static void
test_what_is_busy_stays(void **state)
{
   int gate_fd = open_node("panthor");
   struct fixture f = fixture_open(0);
   struct gate gate = gate_close(gate_fd);
   struct drm_syncobj_handle import = {
      .handle = syncobj_create(f.fd, 0),
      .flags = DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_IMPORT_SYNC_FILE,
      .fd = export_sync_file(gate_fd, gate.syncobj),
   };
   (void)state;

   assert_ok(call(f.fd, DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, &import));
   struct drm_xe_sync syncs[] = {
      {.type = DRM_XE_SYNC_TYPE_SYNCOBJ, .handle = import.handle},
      signal_of(f.done),
   };
   assert_ok(xe_exec(f.fd, f.queue, BASE, syncs, 2));
   assert_error(drm_sim_evict(f.fd, f.bo), EBUSY);
   assert_false(is_hole(f.fd, f.vm, BASE));
   gate_open(&gate);
   assert_ok(syncobj_wait(f.fd, f.done, 0, 0, in_ms(60000)));
   assert_ok(drm_sim_evict(f.fd, f.bo));
   close(import.fd);
   fixture_close(&f);
   close(gate_fd);
}

/* What is bound while a BO is away stays as it was bound. */
static void
test_binds_meet_evicted_ranges(void **state)
{
   struct fixture f = fixture_open(0);
   uint32_t other = xe_bo_create(f.fd, PAGE, 0);
   const struct drm_xe_vm_bind_op ops[] = {
      xe_map(other, 0, BASE + 2 * PAGE, PAGE),
      xe_unmap(BASE + 3 * PAGE, PAGE),
   };
   (void)state;

   assert_ok(drm_sim_evict(f.fd, f.bo));
   assert_ok(xe_bind(f.fd, f.vm, 0, ops, 2, NULL, 0));
   assert_ok(drm_sim_wait_idle(f.fd, f.vm));
   get_page_tables(f.fd, f.vm, &tables);
   assert_int_equal(tables.count, 1);
   assert_true(fixture_run(&f, 0x2001));
   get_page_tables(f.fd, f.vm, &tables);
   assert_int_equal(tables.count, 2);
   assert_mapping(&tables.list[0], BASE, 2 * PAGE, f.bo, 0);
   assert_mapping(&tables.list[1], BASE + 2 * PAGE, PAGE, other, 0);

   /* A hole in the middle of one that is away: both ends come back, at their own offsets. */
   struct drm_xe_vm_bind_op whole = xe_map(f.bo, 0, BASE, 4 * PAGE);
   struct drm_xe_vm_bind_op middle = xe_unmap(BASE + PAGE, 2 * PAGE);
   assert_ok(xe_bind(f.fd, f.vm, 0, &whole, 1, NULL, 0));
   assert_ok(drm_sim_wait_idle(f.fd, f.vm));
   assert_ok(drm_sim_evict(f.fd, f.bo));
   assert_ok(xe_bind(f.fd, f.vm, 0, &middle, 1, NULL, 0));
   assert_ok(drm_sim_wait_idle(f.fd, f.vm));
   xe_write_batch(f.cpu, BASE + 3 * PAGE, 0x2002);
   struct drm_xe_sync signal = signal_of(f.done);
   assert_ok(xe_exec(f.fd, f.queue, BASE, &signal, 1));
   assert_ok(syncobj_wait(f.fd, f.done, 0, 0, in_ms(60000)));
   assert_int_equal(f.cpu[3 * PAGE / 4], 0x2002);
   get_page_tables(f.fd, f.vm, &tables);
   assert_int_equal(tables.count, 2);
   assert_mapping(&tables.list[0], BASE, PAGE, f.bo, 0);
   assert_mapping(&tables.list[1], BASE + 3 * PAGE, PAGE, f.bo, 3 * PAGE);
   fixture_close(&f);
}

/* Twice as many BOs as fit: each submit brings its own back, at the price of others'. */
static void
test_memory_limit(void **state)
{
   enum { VMS = 4 };
   struct fixture f[VMS];
   uint64_t evicted, restored, evicted_before;
   (void)state;

   drm_sim_get_eviction_counts(&evicted_before, &restored);
   assert_ok(drm_sim_set_fault("evict:32K"));
   for (unsigned i = 0; i < VMS; i++)
      f[i] = fixture_open(0);
   for (unsigned round = 0; round < 8; round++) {
      for (unsigned i = 0; i < VMS; i++)
         assert_true(fixture_run(&f[i], 0x3000 + round * VMS + i));
   }
   drm_sim_get_eviction_counts(&evicted, &restored);
   assert_true(evicted - evicted_before >= 8);
   assert_ok(drm_sim_set_fault(NULL));
   for (unsigned i = 0; i < VMS; i++)
      fixture_close(&f[i]);
}

static void
test_long_running_vms_keep_theirs(void **state)
{
   int fd = open_node("xe");
   uint32_t vm = xe_vm_create(fd, DRM_XE_VM_CREATE_FLAG_LR_MODE);
   uint32_t bo = xe_bo_create(fd, PAGE, 0);
   struct drm_xe_vm_bind_op op = xe_map(bo, 0, BASE, PAGE);
   (void)state;

   assert_ok(xe_bind(fd, vm, 0, &op, 1, NULL, 0));
   assert_ok(drm_sim_wait_idle(fd, vm));
   assert_error(drm_sim_evict(fd, bo), EPERM);

   /* Its queues hold it. */
   uint32_t queue = xe_queue_create(fd, vm, DRM_XE_ENGINE_CLASS_RENDER);
   struct drm_xe_vm_destroy destroy = {.vm_id = vm};
   struct drm_xe_exec_queue_destroy destroy_queue = {.exec_queue_id = queue};
   assert_error(call(fd, DRM_IOCTL_XE_VM_DESTROY, &destroy), EBUSY);
   assert_ok(call(fd, DRM_IOCTL_XE_EXEC_QUEUE_DESTROY, &destroy_queue));
   assert_ok(call(fd, DRM_IOCTL_XE_VM_DESTROY, &destroy));
   close(fd);
}

static void
test_scratch_pages(void **state)
{
   struct fixture f = fixture_open(DRM_XE_VM_CREATE_FLAG_SCRATCH_PAGE);
   uint32_t value = 7;
   (void)state;

   /* Where nothing is mapped: zeros, and stores that go nowhere */
   assert_ok(drm_sim_write(f.fd, f.vm, BASE + GIB, &value, sizeof(value)));
   assert_ok(drm_sim_read(f.fd, f.vm, BASE + GIB, &value, sizeof(value)));
   assert_int_equal(value, 0);
   xe_write_batch(f.cpu, BASE + GIB, 1);
   struct drm_xe_sync signal = signal_of(f.done);
   assert_ok(xe_exec(f.fd, f.queue, BASE, &signal, 1));
   assert_ok(syncobj_wait(f.fd, f.done, 0, 0, in_ms(60000)));
   struct drm_xe_exec_queue_get_property ban = {.exec_queue_id = f.queue};
   assert_ok(call(f.fd, DRM_IOCTL_XE_EXEC_QUEUE_GET_PROPERTY, &ban));
   assert_int_equal(ban.value, 0);
   fixture_close(&f);
}

static int
advise(const struct fixture *f, uint64_t start, uint64_t range, uint32_t value, uint32_t *retained)
{
   struct drm_xe_madvise args = {
      .vm_id = f->vm,
      .start = start,
      .range = range,
      .type = DRM_XE_VMA_ATTR_PURGEABLE_STATE,
      .purge_state_val = {.val = value, .retained_ptr = (uintptr_t)retained},
   };
   return call(f->fd, DRM_IOCTL_XE_MADVISE, &args);
}

static void
test_xe_purges(void **state)
{
   struct fixture f = fixture_open(0);
   uint32_t bo = xe_bo_create(f.fd, 16 * PAGE, 0), retained = 0;
   const struct drm_xe_vm_bind_op ops[] = {
      xe_map(bo, 0, BASE + GIB, PAGE),
      xe_map(bo, 0, BASE + 2 * GIB, PAGE),
   };
   uint32_t *cpu = xe_map_cpu(f.fd, bo, 16 * PAGE);
   (void)state;

   cpu[0] = 5;
   assert_ok(xe_bind(f.fd, f.vm, 0, ops, 2, NULL, 0));
   assert_ok(drm_sim_wait_idle(f.fd, f.vm));
   assert_error(advise(&f, BASE + GIB + 1, PAGE, DRM_XE_VMA_PURGEABLE_STATE_DONTNEED, NULL), EINVAL);
   assert_error(advise(&f, BASE + GIB, 0, DRM_XE_VMA_PURGEABLE_STATE_DONTNEED, NULL), EINVAL);
   assert_error(advise(&f, BASE + GIB, PAGE, 2, NULL), EINVAL);
   retained = 1;
   assert_error(advise(&f, BASE + GIB, PAGE, 0, &retained), EINVAL);

   /* One mapping still needs it. */
   assert_ok(advise(&f, BASE + GIB, PAGE, DRM_XE_VMA_PURGEABLE_STATE_DONTNEED, NULL));
   assert_ok(drm_sim_set_fault("mem:100K"));
   struct drm_xe_gem_create create = {.size = 16 * PAGE, .placement = 1, .cpu_caching = 1};
   assert_error(call(f.fd, DRM_IOCTL_XE_GEM_CREATE, &create), ENOMEM);
   assert_int_equal(cpu[0], 5);

   assert_ok(advise(&f, BASE + 2 * GIB, PAGE, DRM_XE_VMA_PURGEABLE_STATE_DONTNEED, NULL));
   assert_ok(call(f.fd, DRM_IOCTL_XE_GEM_CREATE, &create));
   assert_ok(drm_sim_set_fault(NULL));
   assert_int_equal(cpu[0], 0);
   assert_true(is_hole(f.fd, f.vm, BASE + GIB));
   retained = 0;
   assert_ok(advise(&f, BASE + GIB, PAGE, DRM_XE_VMA_PURGEABLE_STATE_WILLNEED, &retained));
   assert_int_equal(retained, 0);
   /* A submit does not mind: what is gone stays a hole. */
   assert_true(fixture_run(&f, 0x4001));
   assert_true(is_hole(f.fd, f.vm, BASE + GIB));

   struct drm_xe_vm_query_mem_range_attr query = {.vm_id = f.vm, .start = BASE, .range = 4 * GIB};
   struct drm_xe_mem_range_attr attrs[3];
   assert_ok(call(f.fd, DRM_IOCTL_XE_VM_QUERY_MEM_RANGE_ATTRS, &query));
   assert_int_equal(query.num_mem_ranges, 3);
   assert_int_equal(query.sizeof_mem_range_attr, sizeof(attrs[0]));
   query.vector_of_mem_attr = (uintptr_t)attrs;
   assert_ok(call(f.fd, DRM_IOCTL_XE_VM_QUERY_MEM_RANGE_ATTRS, &query));
   assert_int_equal(attrs[1].start, BASE + GIB);
   assert_int_equal(attrs[1].end, BASE + GIB + PAGE);
   munmap(cpu, 16 * PAGE);
   fixture_close(&f);
}

/* panthor and msm: the same, and what differs */

static void
panthor_evicts(const char *name)
{
   int fd = open_node(name);
   uint32_t vm = panthor_vm_create(fd), bo = panthor_bo_create(fd, PAGE, vm);
   struct drm_panthor_vm_bind_op op = panthor_map(bo, 0, 4 * MIB, PAGE);
   assert_ok(panthor_bind(fd, vm, 0, &op, 1));
   assert_ok(drm_sim_evict(fd, bo));
   assert_true(is_hole(fd, vm, 4 * MIB));

   struct drm_panthor_queue_create queue = {.ringbuf_size = 4096};
   struct drm_panthor_group_create create = {
      .queues = {sizeof(queue), 1, (uintptr_t)&queue},
      .max_compute_cores = 1,
      .compute_core_mask = 1,
      .vm_id = vm,
   };
   assert_ok(call(fd, DRM_IOCTL_PANTHOR_GROUP_CREATE, &create));
   struct drm_panthor_queue_submit submit = {.queue_index = 0};
   struct drm_panthor_group_submit args = {
      .group_handle = create.group_handle,
      .queue_submits = {sizeof(submit), 1, (uintptr_t)&submit},
   };
   assert_ok(call(fd, DRM_IOCTL_PANTHOR_GROUP_SUBMIT, &args));
   assert_false(is_hole(fd, vm, 4 * MIB));
   close(fd);
}

static void
test_panthor(void **state)
{
   (void)state;

   /* Before it had a shrinker, what was mapped was pinned. */
   int old = open_node("panthor-1.0");
   uint32_t vm = panthor_vm_create(old), bo = panthor_bo_create(old, PAGE, 0);
   struct drm_panthor_vm_bind_op op = panthor_map(bo, 0, 4 * MIB, PAGE);
   assert_ok(panthor_bind(old, vm, 0, &op, 1));
   assert_error(drm_sim_evict(old, bo), EPERM);
   close(old);

   panthor_evicts("panthor-1.8");
   panthor_evicts("panthor-1.9");
}

static int
msm_submit_nothing(int fd)
{
   struct drm_msm_gem_submit args = {.flags = MSM_PIPE_3D0 | MSM_SUBMIT_NO_IMPLICIT};

   return call(fd, DRM_IOCTL_MSM_GEM_SUBMIT, &args);
}

static int
msm_advise(int fd, uint32_t handle, uint32_t madv, uint32_t *retained)
{
   struct drm_msm_gem_madvise args = {.handle = handle, .madv = madv};
   int ret = call(fd, DRM_IOCTL_MSM_GEM_MADVISE, &args);

   if (retained)
      *retained = args.retained;
   return ret;
}

static void
test_msm(void **state)
{
   int fd = open_msm("msm");
   uint32_t bo = msm_bo_create(fd, 4 * PAGE, MSM_BO_NO_SHARE), retained;
   const struct drm_msm_vm_bind_op op = msm_map(bo, 0, BASE, 4 * PAGE);
   (void)state;

   assert_ok(msm_bind(fd, 1, &op, 1));
   assert_ok(drm_sim_wait_idle(fd, 0));
   assert_ok(drm_sim_evict(fd, bo));
   assert_true(is_hole(fd, 0, BASE));
   assert_ok(msm_submit_nothing(fd));
   assert_ok(drm_sim_wait_idle(fd, 0));
   assert_false(is_hole(fd, 0, BASE));

   /* Given up: as long as it is there, nobody cares; evicted, a submit is refused until it is
    * wanted again; purged, until it is unbound.
    */
   assert_ok(msm_advise(fd, bo, MSM_MADV_DONTNEED, NULL));
   assert_ok(msm_submit_nothing(fd));
   struct drm_msm_gem_submit last = {.flags = MSM_PIPE_3D0 | MSM_SUBMIT_NO_IMPLICIT};
   assert_ok(call(fd, DRM_IOCTL_MSM_GEM_SUBMIT, &last));
   struct drm_msm_wait_fence wait = {
      .fence = last.fence,
      .timeout.tv_sec = now_ns() / 1000000000 + 60,
   };
   assert_ok(call(fd, DRM_IOCTL_MSM_WAIT_FENCE, &wait));
   assert_ok(drm_sim_evict(fd, bo));
   assert_error(msm_submit_nothing(fd), EBUSY);
   assert_ok(msm_advise(fd, bo, MSM_MADV_WILLNEED, &retained));
   assert_int_equal(retained, 1);
   assert_ok(msm_submit_nothing(fd));
   close(fd);
}

/* The program's own pages */

static void
test_userptr(void **state)
{
   struct fixture f = fixture_open(0);
   const int rw = PROT_READ | PROT_WRITE;
   uint32_t *memory = mmap(NULL, 2 * PAGE, rw, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
   struct drm_xe_vm_bind_op op = {
      .op = DRM_XE_VM_BIND_OP_MAP_USERPTR,
      .userptr = (uintptr_t)memory,
      .addr = BASE + GIB,
      .range = 2 * PAGE,
   };
   uint32_t value = 0;
   (void)state;

   memory[0] = 1;
   assert_ok(xe_bind(f.fd, f.vm, 0, &op, 1, NULL, 0));
   assert_ok(drm_sim_wait_idle(f.fd, f.vm));
   assert_ok(drm_sim_read(f.fd, f.vm, BASE + GIB, &value, 4));
   assert_int_equal(value, 1);

   /* Other pages at the same address: the GPU loses the old ones at once, and a submit finds the new. */
   assert_ptr_equal(
      mmap(memory, 2 * PAGE, rw, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), memory);
   assert_true(is_hole(f.fd, f.vm, BASE + GIB));
   memory[0] = 2;
   assert_true(fixture_run(&f, 0x5001));
   assert_ok(drm_sim_read(f.fd, f.vm, BASE + GIB, &value, 4));
   assert_int_equal(value, 2);
   value = 3;
   assert_ok(drm_sim_write(f.fd, f.vm, BASE + GIB + PAGE, &value, 4));
   assert_int_equal(memory[PAGE / 4], 3);

   /* A part given back */
   assert_int_equal(madvise((char *)memory + PAGE, PAGE, MADV_DONTNEED), 0);
   assert_true(is_hole(f.fd, f.vm, BASE + GIB));
   assert_true(fixture_run(&f, 0x5002));
   assert_false(is_hole(f.fd, f.vm, BASE + GIB));

   /* Moved away: the address has nothing any more, which does not fail a submit that does not go there. */
   uint32_t *moved = mremap(memory, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
                            mmap(NULL, 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
   assert_ptr_not_equal(moved, MAP_FAILED);
   assert_int_equal(moved[0], 2);
   assert_true(is_hole(f.fd, f.vm, BASE + GIB));
   assert_true(fixture_run(&f, 0x5003));
   assert_true(is_hole(f.fd, f.vm, BASE + GIB));
   munmap(moved, 2 * PAGE);
   fixture_close(&f);
}

static void
test_userptr_of_long_running_vms(void **state)
{
   int fd = open_node("xe");
   uint32_t vm = xe_vm_create(fd, DRM_XE_VM_CREATE_FLAG_LR_MODE);
   const int rw = PROT_READ | PROT_WRITE;
   uint32_t *memory = mmap(NULL, PAGE, rw, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
   struct drm_xe_vm_bind_op op = {
      .op = DRM_XE_VM_BIND_OP_MAP_USERPTR,
      .userptr = (uintptr_t)memory,
      .addr = BASE,
      .range = PAGE,
   };
   uint32_t value = 0;
   (void)state;

   memory[0] = 8;
   assert_ok(xe_bind(fd, vm, 0, &op, 1, NULL, 0));
   assert_ok(drm_sim_wait_idle(fd, vm));
   assert_ptr_equal(mmap(memory, PAGE, rw, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), memory);
   /* No job comes before which it could be bound again. */
   memory[0] = 9;
   assert_ok(drm_sim_read(fd, vm, BASE, &value, 4));
   assert_int_equal(value, 9);
   munmap(memory, PAGE);
   assert_true(is_hole(fd, vm, BASE));
   close(fd);
}

/* Shared BOs: readers wait for writers, writers for both. */

static int
exported_fence(int prime, uint32_t flags)
{
   struct dma_buf_export_sync_file args = {.flags = flags};

   assert_ok(call(prime, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &args));
   return args.fd;
}

static void
check_waits(int prime, bool reader_waits, bool writer_waits)
{
   int reader = exported_fence(prime, DMA_BUF_SYNC_READ);
   int writer = exported_fence(prime, DMA_BUF_SYNC_WRITE);

   assert_int_equal(!is_readable(reader), reader_waits);
   assert_int_equal(!is_readable(writer), writer_waits);
   close(reader);
   close(writer);
}

static void
test_readers_and_writers(void **state)
{
   int fd = open_node("panthor");
   struct gate reads = gate_close(fd);
   struct drm_prime_handle prime = {
      .handle = panthor_bo_create(fd, PAGE, 0),
      .flags = DRM_RDWR | DRM_CLOEXEC,
   };
   (void)state;

   assert_ok(call(fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &prime));
   check_waits(prime.fd, false, false);

   struct dma_buf_import_sync_file import = {
      .flags = DMA_BUF_SYNC_READ,
      .fd = export_sync_file(fd, reads.syncobj),
   };
   assert_ok(call(prime.fd, DMA_BUF_IOCTL_IMPORT_SYNC_FILE, &import));
   close(import.fd);
   check_waits(prime.fd, false, true);

   struct gate writes = gate_close(fd);
   import.flags = DMA_BUF_SYNC_WRITE;
   import.fd = export_sync_file(fd, writes.syncobj);
   assert_ok(call(prime.fd, DMA_BUF_IOCTL_IMPORT_SYNC_FILE, &import));
   close(import.fd);
   check_waits(prime.fd, true, true);

   /* Busy with what somebody else imported: not to be evicted. */
   assert_error(drm_sim_evict(fd, prime.handle), EBUSY);
   gate_open(&writes);
   check_waits(prime.fd, false, true);
   gate_open(&reads);
   check_waits(prime.fd, false, false);
   assert_ok(drm_sim_evict(fd, prime.handle));
   close(prime.fd);
   close(fd);
}

int
main(void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_exec_brings_back),
      cmocka_unit_test(test_what_is_busy_stays),
      cmocka_unit_test(test_binds_meet_evicted_ranges),
      cmocka_unit_test(test_memory_limit),
      cmocka_unit_test(test_long_running_vms_keep_theirs),
      cmocka_unit_test(test_scratch_pages),
      cmocka_unit_test(test_xe_purges),
      cmocka_unit_test(test_panthor),
      cmocka_unit_test(test_msm),
      cmocka_unit_test(test_userptr),
      cmocka_unit_test(test_userptr_of_long_running_vms),
      cmocka_unit_test(test_readers_and_writers),
   };
   return cmocka_run_group_tests_name("sim evict", tests, NULL, NULL);
}

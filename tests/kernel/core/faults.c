/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What goes wrong on the real kernel while binds are under way, seen through the core: a bind fails when it
 * runs, the MMU hangs and the GPU is reset, the device is unplugged, there is no memory.  Each time the core
 * must say so (lost, or out of memory), everybody who waits must wake, nothing may be left behind, and a
 * fresh device must work.
 */

#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <xf86drm.h>

#include "c11/threads.h"
#include "tests/core/target.h"
#include "tests/kernel/uapi/inspect.h"
#include "util/macros.h"
#include "vmbind/vmb_vm.h"

#define PAGE_B  4096ull
#define PAGES   256
#define WAITERS 4

struct gpu {
   int fd;
   struct vmb_device *dev;
   struct vmb_vm *vm;
   struct vmb_queue *queue;
   struct vmb_range *range;
   struct vmb_bo *bo;
   /* What the user wants signaled */
   uint32_t done;
};

static void
log_nothing(void *data, enum vmb_log_level level, const char *line)
{
   (void)data, (void)level, (void)line;
}

static void
open_gpu(struct gpu *gpu)
{
   gpu->fd = target_open();
   assert_true(gpu->fd >= 0);
   const struct vmb_device_params params = { .drm_fd = gpu->fd, .log = log_nothing };
   assert_int_equal(vmb_device_create(&params, &gpu->dev), 0);
   assert_int_equal(vmb_vm_create(gpu->dev, &(struct vmb_vm_params){ 0 }, &gpu->vm), 0);
   assert_int_equal(vmb_queue_create(gpu->vm, &gpu->queue), 0);
   const struct vmb_range_params range = { .size_B = 2 * PAGES * PAGE_B };
   assert_int_equal(vmb_range_create(gpu->vm, &range, &gpu->range), 0);
   const struct vmb_bo_params bo = { .size_B = PAGES * PAGE_B, .vm = gpu->vm };
   assert_int_equal(vmb_bo_create(gpu->dev, &bo, &gpu->bo), 0);
   assert_int_equal(drmSyncobjCreate(vmb_device_fd(gpu->dev), 0, &gpu->done), 0);
}

static void
close_gpu(struct gpu *gpu)
{
   drmSyncobjDestroy(vmb_device_fd(gpu->dev), gpu->done);
   vmb_bo_unref(gpu->bo);
   vmb_range_destroy(gpu->range);
   vmb_queue_destroy(gpu->queue);
   vmb_vm_destroy(gpu->vm);
   vmb_device_destroy(gpu->dev);
   close(gpu->fd);
}

static struct vmb_bind
bind_page(const struct gpu *gpu, unsigned page, struct vmb_bo *bo)
{
   return (struct vmb_bind){
      .range = gpu->range,
      .offset_B = page * PAGE_B,
      .size_B = PAGE_B,
      .bo = bo,
      .bo_offset_B = bo ? page % PAGES * PAGE_B : 0,
   };
}

/* Every other page, so that each is an operation. */
static int
submit_pages(const struct gpu *gpu, unsigned first, unsigned count, const struct vmb_sync *wait,
             const struct vmb_sync *signal)
{
   struct vmb_bind binds[PAGES];

   for (unsigned i = 0; i < count; i++)
      binds[i] = bind_page(gpu, first + 2 * i, gpu->bo);
   return vmb_queue_submit(gpu->queue,
                           &(struct vmb_submit){
                              .waits = wait,
                              .wait_count = wait != NULL,
                              .binds = binds,
                              .bind_count = count,
                              .signals = signal,
                              .signal_count = signal != NULL,
                           },
                           NULL);
}

static void
expect_a_fresh_device_to_work(void)
{
   struct gpu gpu;
   uint32_t handle;
   uint64_t offset_B;

   open_gpu(&gpu);
   assert_int_equal(submit_pages(&gpu, 0, 8, NULL, NULL), 0);
   assert_int_equal(vmb_vm_wait_idle(gpu.vm, INT64_MAX), 0);
   assert_true(target_get_page(vmb_device_fd(gpu.dev), vmb_vm_kernel_id(gpu.vm),
                               vmb_range_addr_B(gpu.range) + 4 * PAGE_B, &handle, &offset_B));
   assert_int_equal(handle, vmb_bo_handle(gpu.bo));
   assert_int_equal(offset_B, 4 * PAGE_B);
   close_gpu(&gpu);
}

/* -------------------------------------------------------------------- oracle
 *
 * Nothing goes wrong here.  The kernel cleans up behind the job of each look; the next one comes at once. */

static void
test_pages_are_there_whenever_one_looks(void **state)
{
   struct gpu gpu;
   uint32_t handle;
   uint64_t offset_B;

   (void)state;
   open_gpu(&gpu);
   assert_int_equal(submit_pages(&gpu, 0, 32, NULL, NULL), 0);
   assert_int_equal(vmb_vm_wait_idle(gpu.vm, INT64_MAX), 0);
   for (unsigned page = 0; page < 64; page += 2) {
      assert_true(target_get_page(vmb_device_fd(gpu.dev), vmb_vm_kernel_id(gpu.vm),
                                  vmb_range_addr_B(gpu.range) + page * PAGE_B, &handle, &offset_B));
      assert_int_equal(handle, vmb_bo_handle(gpu.bo));
      assert_int_equal(offset_B, page * PAGE_B);
   }
   close_gpu(&gpu);
}

/* ------------------------------------------------------------------- waiters */

struct waiters {
   const struct gpu *gpu;
   thrd_t threads[WAITERS];
   int results[WAITERS];
   unsigned started, number;
};

static int
wait_for_queue(void *data)
{
   struct waiters *w = data;
   const unsigned number = __atomic_fetch_add(&w->number, 1, __ATOMIC_SEQ_CST);
   uint32_t done = w->gpu->done;

   /* Half of them through the core, half as the user's others do. */
   __atomic_add_fetch(&w->started, 1, __ATOMIC_SEQ_CST);
   if (number & 1)
      w->results[number] = vmb_queue_wait(w->gpu->queue, 0, INT64_MAX);
   else if (drmSyncobjWait(vmb_device_fd(w->gpu->dev), &done, 1, INT64_MAX,
                           DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT, NULL))
      w->results[number] = -errno;
   return 0;
}

static void
start_waiters(struct waiters *w, const struct gpu *gpu)
{
   *w = (struct waiters){ .gpu = gpu };
   for (unsigned i = 0; i < WAITERS; i++)
      assert_int_equal(thrd_create(&w->threads[i], wait_for_queue, w), thrd_success);
   while (__atomic_load_n(&w->started, __ATOMIC_SEQ_CST) < WAITERS)
      thrd_yield();
}

/* Returns if all of them do. */
static void
join_waiters(struct waiters *w)
{
   for (unsigned i = 0; i < WAITERS; i++)
      thrd_join(w->threads[i], NULL);
}

/* A syncobj with a fence of ours. */
static struct vmb_sync
hold(const struct gpu *gpu, int *fence)
{
   struct vmb_sync held = { 0 };

   *fence = target_fence_create();
   assert_true(*fence >= 0);
   assert_int_equal(drmSyncobjCreate(vmb_device_fd(gpu->dev), 0, &held.syncobj), 0);
   assert_int_equal(drmSyncobjImportSyncFile(vmb_device_fd(gpu->dev), held.syncobj, *fence), 0);
   return held;
}

static void
let_go(const struct gpu *gpu, struct vmb_sync held, int fence)
{
   target_fence_signal(fence);
   close(fence);
   drmSyncobjDestroy(vmb_device_fd(gpu->dev), held.syncobj);
}

static void
expect_lost(struct gpu *gpu)
{
   const struct vmb_sync signal = { gpu->done, 0 };
   uint32_t done = gpu->done;

   assert_int_equal(vmb_vm_wait_idle(gpu->vm, INT64_MAX), -ENODEV);
   assert_true(vmb_device_is_lost(gpu->dev));
   drmSyncobjReset(vmb_device_fd(gpu->dev), &done, 1);
   assert_int_equal(submit_pages(gpu, 0, 1, NULL, &signal), -ENODEV);
   assert_int_equal(vmb_vm_bind_sync(gpu->vm, &(struct vmb_bind){ 0 }, 0), -ENODEV);
   assert_int_equal(vmb_queue_wait(gpu->queue, 0, INT64_MAX), -ENODEV);
}

/* ---------------------------------------------------------------- what is left */

static unsigned
open_files(void)
{
   DIR *dir = opendir("/proc/self/fd");
   unsigned count = 0;

   while (readdir(dir))
      count++;
   closedir(dir);
   return count;
}

/* All BOs of all processes, in KiB. */
static unsigned
bo_memory(void)
{
   FILE *file = fopen("/proc/sys/vm/stat_refresh", "r");
   char line[128];
   unsigned kib = 0;

   /* Reading it makes the kernel add up its counters. */
   fgetc(file);
   fclose(file);
   file = fopen("/proc/meminfo", "r");
   while (fgets(line, sizeof(line), file))
      sscanf(line, "Shmem: %u", &kib);
   fclose(file);
   return kib;
}

/* The kernel frees what a closed file had in workers of its own. */
static void
wait_for_bo_memory(unsigned kib)
{
   for (unsigned i = 0; bo_memory() > kib; i++) {
      if (i == 6000)
         fail_msg("the kernel keeps %u KiB of BOs", bo_memory() - kib);
      usleep(10000);
   }
}

/* The first time may leave what is made once a process. */
static void
expect_nothing_left(void (*scenario)(void))
{
   scenario();
   inspect_wait_for_vm_count(0);
   const unsigned files = open_files(), kib = bo_memory();
   const size_t heap_B = mallinfo2().uordblks;

   scenario();
   assert_int_equal(mallinfo2().uordblks, heap_B);
   assert_int_equal(open_files(), files);
   inspect_wait_for_vm_count(0);
   wait_for_bo_memory(kib);
}

/* ------------------------------------------------------------------ scenarios */

/* A bind that was accepted fails when it runs, in the middle of a batch; others are behind it. */
static void
fail_at_run_time(void)
{
   struct gpu gpu;
   struct waiters waiters;
   int fence;

   open_gpu(&gpu);
   const struct vmb_sync held = hold(&gpu, &fence);
   const struct vmb_sync signal = { gpu.done, 0 };
   assert_int_equal(submit_pages(&gpu, 0, 64, &held, NULL), 0);
   assert_int_equal(submit_pages(&gpu, 1, 64, NULL, &signal), 0);
   start_waiters(&waiters, &gpu);
   target_fail_jobs(20, ENOMEM);
   let_go(&gpu, held, fence);
   join_waiters(&waiters);
   for (unsigned i = 0; i < WAITERS; i++)
      assert_int_equal(waiters.results[i], i & 1 ? -ENODEV : 0);
   assert_int_equal(inspect_get_fault("fail_map"), 0);
   target_fail_nothing();
   expect_lost(&gpu);
   close_gpu(&gpu);
   expect_a_fresh_device_to_work();
}

static void
test_failure_at_run_time(void **state)
{
   (void)state;
   expect_nothing_left(fail_at_run_time);
}

/* Threads that bind all the while, on queues of their own. */
struct binder {
   struct gpu *gpu;
   /* What waits for nothing may be bound by the ioctl, and does not fail when it runs. */
   struct vmb_sync signaled;
   unsigned number;
   int strange;
};

static int
bind_until_lost(void *data)
{
   struct binder *b = data;
   struct vmb_queue *queue;
   int ret = vmb_queue_create(b->gpu->vm, &queue);

   for (unsigned i = 0; !ret; i++) {
      const struct vmb_bind bind = bind_page(b->gpu, 2 * (i % 100) + b->number % 2, b->gpu->bo);
      const struct vmb_submit submit = {
         .waits = &b->signaled, .wait_count = 1, .binds = &bind, .bind_count = 1 };

      ret = i % 8 == 7 ? vmb_queue_wait(queue, 0, INT64_MAX) : vmb_queue_submit(queue, &submit, NULL);
   }
   b->strange = ret != -ENODEV;
   vmb_queue_destroy(queue);
   return 0;
}

static void
fail_among_threads(void)
{
   struct gpu gpu;
   struct binder binders[3];
   thrd_t threads[3];
   uint32_t signaled;

   open_gpu(&gpu);
   assert_int_equal(
      drmSyncobjCreate(vmb_device_fd(gpu.dev), DRM_SYNCOBJ_CREATE_SIGNALED, &signaled), 0);
   target_fail_jobs(50, EIO);
   for (unsigned i = 0; i < 3; i++) {
      binders[i] = (struct binder){ .gpu = &gpu, .signaled = { signaled, 0 }, .number = i };
      assert_int_equal(thrd_create(&threads[i], bind_until_lost, &binders[i]), thrd_success);
   }
   for (unsigned i = 0; i < 3; i++) {
      thrd_join(threads[i], NULL);
      assert_int_equal(binders[i].strange, 0);
   }
   target_fail_nothing();
   expect_lost(&gpu);
   drmSyncobjDestroy(vmb_device_fd(gpu.dev), signaled);
   close_gpu(&gpu);
   expect_a_fresh_device_to_work();
}

static void
test_failure_among_threads(void **state)
{
   (void)state;
   expect_nothing_left(fail_among_threads);
}

/* The MMU does not answer: the driver gives the bind up and resets the GPU.  (Not over mapped pages: the
 * kernel warns if an unmap fails.) */
static void
hang_the_mmu(void)
{
   struct gpu gpu;
   struct waiters waiters;
   uint32_t handle;
   uint64_t offset_B;
   int fence;

   open_gpu(&gpu);
   const uint64_t resets = inspect_stat("resets");
   /* The VM has an address space from here on: a bind speaks to the MMU.  What others had to say to it
    * must have been said. */
   inspect_wait_for_vm_count(1);
   assert_int_equal(submit_pages(&gpu, 0, 4, NULL, NULL), 0);
   assert_int_equal(vmb_vm_wait_idle(gpu.vm, INT64_MAX), 0);
   assert_true(target_get_page(vmb_device_fd(gpu.dev), vmb_vm_kernel_id(gpu.vm),
                               vmb_range_addr_B(gpu.range), &handle, &offset_B));

   const struct vmb_sync held = hold(&gpu, &fence);
   const struct vmb_sync signal = { gpu.done, 0 };
   assert_int_equal(submit_pages(&gpu, 64, 16, &held, NULL), 0);
   assert_int_equal(submit_pages(&gpu, 128, 16, NULL, &signal), 0);
   start_waiters(&waiters, &gpu);
   inspect_set_fault("as_stuck", 1);
   let_go(&gpu, held, fence);
   join_waiters(&waiters);
   assert_int_equal(inspect_get_fault("as_stuck"), 0);
   expect_lost(&gpu);
   /* The reset happens behind the driver's scheduler. */
   for (unsigned i = 0; i < 1000 && inspect_stat("resets") == resets; i++)
      usleep(10000);
   assert_true(inspect_stat("resets") > resets);
   close_gpu(&gpu);
   expect_a_fresh_device_to_work();
}

static void
test_stuck_mmu(void **state)
{
   (void)state;
   expect_nothing_left(hang_the_mmu);
}

/* ------------------------------------------------------------------- unplugged */

#define DRIVER "/sys/bus/platform/drivers/panthor/"
#define DEVICE "7fe00000.gpu"

static void
write_file(const char *path, const char *text)
{
   const int fd = open(path, O_WRONLY | O_CLOEXEC);

   if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
      fail_msg("%s: %s", path, strerror(errno));
   close(fd);
}

static void
plug_in(void)
{
   /* The node gets its number back when the last file of the old one is closed, and that was ours. */
   write_file(DRIVER "bind", DEVICE);
   for (unsigned i = 0; i < 1000 && access("/dev/dri/renderD128", F_OK); i++)
      usleep(10000);
   write_file(DRIVER DEVICE "/power/control", "on");
}

static void
unplug(void)
{
   struct gpu gpu;
   struct waiters waiters;
   int fence;

   inspect_wait_for_vm_count(0);
   const unsigned kib = bo_memory();
   const int last = target_open();
   open_gpu(&gpu);
   const struct vmb_sync held = hold(&gpu, &fence);
   const struct vmb_sync signal = { gpu.done, 0 };
   assert_int_equal(submit_pages(&gpu, 0, 64, NULL, NULL), 0);
   assert_int_equal(submit_pages(&gpu, 1, 64, &held, &signal), 0);
   start_waiters(&waiters, &gpu);
   write_file(DRIVER "unbind", DEVICE);

   /* Who asks now hears of it at once, whatever is in flight. */
   expect_lost(&gpu);
   target_fence_signal(fence);
   close(fence);
   join_waiters(&waiters);
   for (unsigned i = 1; i < WAITERS; i += 2)
      assert_int_equal(waiters.results[i], -ENODEV);
   close_gpu(&gpu);
   /* The kernel warns if the device goes, with its last file, before what the binds have kept. */
   wait_for_bo_memory(kib);
   close(last);
   plug_in();
   expect_a_fresh_device_to_work();
}

static void
test_unplugged(void **state)
{
   (void)state;
   expect_nothing_left(unplug);
}

/* -------------------------------------------------------------- memory pressure */

/* The limit of the group that the process is in: open, because a process without memory opens no files */
static int limit_fd;

static void
limit_memory(const char *limit)
{
   assert_int_equal(pwrite(limit_fd, limit, strlen(limit), 0), strlen(limit));
}

#define GROUP      "/sys/fs/cgroup/small"
#define BIG_B      (16ull << 20)
#define BIGS       8
#define LIMIT_TEXT "67108864"

/* BOs get their pages when they are bound; all of these are more than there is. */
static void
starve(void)
{
   struct gpu gpu;
   struct vmb_bo *bos[BIGS];
   struct vmb_range *range;
   struct vmb_bind binds[BIGS];
   struct vmb_vm_mapping *maps;
   struct target_mapping *tree;
   size_t count, tree_count;

   open_gpu(&gpu);
   const struct vmb_range_params params = { .size_B = 2 * BIGS * BIG_B };
   assert_int_equal(vmb_range_create(gpu.vm, &params, &range), 0);
   for (unsigned i = 0; i < BIGS; i++) {
      const struct vmb_bo_params bo = { .size_B = BIG_B, .vm = gpu.vm };
      assert_int_equal(vmb_bo_create(gpu.dev, &bo, &bos[i]), 0);
      binds[i] = (struct vmb_bind){
         .range = range, .offset_B = 2 * i * BIG_B, .size_B = BIG_B, .bo = bos[i] };
   }
   assert_int_equal(submit_pages(&gpu, 0, 4, NULL, NULL), 0);
   limit_memory(LIMIT_TEXT);
   const struct vmb_submit all = { .binds = binds, .bind_count = BIGS };
   assert_int_equal(vmb_queue_submit(gpu.queue, &all, NULL), -ENOMEM);
   assert_int_equal(vmb_vm_bind_sync(gpu.vm, binds, BIGS), -ENOMEM);
   assert_false(vmb_device_is_lost(gpu.dev));

   limit_memory("max");

   /* All as it was, on both sides. */
   assert_int_equal(vmb_vm_wait_idle(gpu.vm, INT64_MAX), 0);
   assert_int_equal(vmb_vm_get_mappings(gpu.vm, VMB_STATE_COMPLETED, 0, UINT64_MAX, &maps, &count),
                    0);
   assert_true(target_get_tree(vmb_device_fd(gpu.dev), vmb_vm_kernel_id(gpu.vm), &tree, &tree_count));
   assert_int_equal(count, 4);
   assert_int_equal(tree_count, 4);
   free(maps);
   free(tree);

   /* What fits goes on: each gets its pages when others have given theirs back. */
   for (unsigned i = 1; i < BIGS; i++)
      vmb_bo_unref(bos[i]);
   limit_memory(LIMIT_TEXT);
   assert_int_equal(vmb_vm_bind_sync(gpu.vm, &binds[0], 1), 0);
   assert_int_equal(submit_pages(&gpu, 1, 100, NULL, NULL), 0);
   assert_int_equal(vmb_vm_wait_idle(gpu.vm, INT64_MAX), 0);
   limit_memory("max");
   vmb_bo_unref(bos[0]);
   vmb_range_destroy(range);
   close_gpu(&gpu);
}

static void
test_no_memory(void **state)
{
   char pid[16];

   (void)state;
   write_file("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
   assert_int_equal(mkdir(GROUP, 0755), 0);
   limit_fd = open(GROUP "/memory.max", O_WRONLY | O_CLOEXEC);
   assert_true(limit_fd >= 0);
   /* With nobody to kill, the kernel says that there is no memory. */
   write_file("/proc/self/oom_score_adj", "-1000");
   snprintf(pid, sizeof(pid), "%d", getpid());
   write_file(GROUP "/cgroup.procs", pid);
   expect_nothing_left(starve);
   write_file("/sys/fs/cgroup/cgroup.procs", pid);
   close(limit_fd);
   assert_int_equal(rmdir(GROUP), 0);
}

int
main(int argc, char **argv)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pages_are_there_whenever_one_looks),
      cmocka_unit_test(test_failure_at_run_time),
      cmocka_unit_test(test_failure_among_threads),
      cmocka_unit_test(test_stuck_mmu),
      cmocka_unit_test(test_no_memory),
      cmocka_unit_test(test_unplugged),
   };

   /* Without the C library's caches, what is not freed can be counted. */
   (void)argc;
   if (!getenv("GLIBC_TUNABLES")) {
      setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0", 1);
      execv("/proc/self/exe", argv);
   }
   return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}

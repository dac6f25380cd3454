/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What the core does on a kernel driver: one suite for all of them.  What differs follows from the
 * caps.  After each step the core's mirror is compared with what the kernel itself says.
 */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <xf86drm.h>

#include "c11/threads.h"
#include "tests/util/prop.h"
#include "vmbind/vmb_trace.h"
#include "vmbind/vmb_vm.h"

#include "target.h"

#define PAGE_B 0x10000ull
#define SOON     60000000000ll /* what has not come by then on a busy machine, comes never */
#define A_MOMENT 50000000ll    /* what must not come is waited for so long */

/* Of setup_with_cache() */
#define CACHE_B (64ull << 20)

struct fixture {
   int fd;
   /* Errors are expected: nothing is printed. */
   bool quiet;
   struct vmb_device *dev;
   const struct vmb_caps *caps;
   struct vmb_vm *vm;
   struct vmb_queue *queue;
   struct vmb_bo *bo[2];
   /* What a failing test leaves behind is cleaned up, so that its message is seen. */
   struct vmb_range *ranges[8];
};

static struct vmb_bo *
new_bo(struct fixture *f, uint64_t size_B)
{
   struct vmb_bo *bo;

   assert_int_equal(vmb_bo_create(f->dev,
                                  &(struct vmb_bo_params){
                                     .size_B = size_B, .vm = f->vm, .name = "test" },
                                  &bo),
                    0);
   return bo;
}

static struct vmb_range *
new_range(struct fixture *f, uint64_t size_B, enum vmb_unbound unbound)
{
   struct vmb_range *range;

   assert_int_equal(vmb_range_create(f->vm,
                                     &(struct vmb_range_params){
                                        .size_B = size_B, .unbound = unbound, .name = "test" },
                                     &range),
                    0);
   for (unsigned i = 0; i < ARRAY_SIZE(f->ranges); i++) {
      if (!f->ranges[i]) {
         f->ranges[i] = range;
         break;
      }
   }
   return range;
}

static void
drop_range(struct fixture *f, struct vmb_range *range)
{
   for (unsigned i = 0; i < ARRAY_SIZE(f->ranges); i++) {
      if (f->ranges[i] == range)
         f->ranges[i] = NULL;
   }
   vmb_range_destroy(range);
}

static void
log_line(void *data, enum vmb_log_level level, const char *line)
{
   const struct fixture *f = data;

   (void)level;
   if (!f->quiet)
      print_message("%s\n", line);
}

static int
setup_device(void **state, uint64_t cache_B, bool ordered)
{
   struct fixture *f = calloc(1, sizeof(*f));

   f->fd = target_open();
   assert_true(f->fd >= 0);
   const struct vmb_device_params params = {
      .drm_fd = f->fd,
      .log = log_line,
      .log_data = f,
      .bo_cache_B = cache_B,
   };
   assert_int_equal(vmb_device_create(&params, &f->dev), 0);
   f->caps = vmb_device_caps(f->dev);
   assert_int_equal(vmb_vm_create(f->dev, &(struct vmb_vm_params){ .ordered = ordered }, &f->vm), 0);
   assert_int_equal(vmb_queue_create(f->vm, &f->queue), 0);
   for (unsigned i = 0; i < 2; i++)
      f->bo[i] = new_bo(f, 64 * PAGE_B);
   *state = f;
   return 0;
}

static int
setup(void **state)
{
   return setup_device(state, 0, false);
}

static int
setup_with_cache(void **state)
{
   return setup_device(state, CACHE_B, false);
}

static int
setup_ordered(void **state)
{
   return setup_device(state, 0, true);
}

static int
teardown(void **state)
{
   struct fixture *f = *state;

   target_fail_nothing();
   for (unsigned i = 0; i < ARRAY_SIZE(f->ranges); i++) {
      if (f->ranges[i])
         vmb_range_destroy(f->ranges[i]);
   }
   for (unsigned i = 0; i < 2; i++)
      vmb_bo_unref(f->bo[i]);
   vmb_queue_destroy(f->queue);
   vmb_vm_destroy(f->vm);
   vmb_device_destroy(f->dev);
   close(f->fd);
   free(f);
   assert_int_equal(target_complaints(), 0);
   return 0;
}

/* --------------------------------------------------------------- comparison */

/* Of a null mapping the kernel may know more: the BO that the back-end makes it of. */
static void
expect_handle(const struct fixture *f, uint32_t kernel, uint32_t mirror)
{
   if (!mirror && target_null_has_handle(f->caps)) {
      assert_int_not_equal(kernel, 0);
      for (unsigned i = 0; i < ARRAY_SIZE(f->bo); i++)
         assert_int_not_equal(kernel, vmb_bo_handle(f->bo[i]));
      return;
   }
   assert_int_equal(kernel, mirror);
}

static void
expect_same(const struct fixture *f, const struct vmb_vm_mapping *mirror, size_t mirror_count,
            const struct target_mapping *kernel, size_t kernel_count)
{
   assert_int_equal(mirror_count, kernel_count);
   for (size_t i = 0; i < mirror_count; i++) {
      assert_int_equal(mirror[i].addr_B, kernel[i].addr_B);
      assert_int_equal(mirror[i].range_B, kernel[i].range_B);
      expect_handle(f, kernel[i].handle, mirror[i].bo_handle);
      if (mirror[i].bo_handle)
         assert_int_equal(mirror[i].bo_offset_B, kernel[i].offset_B);
   }
}

/* The kernel's tree is the submitted state in staged mode, the completed one in immediate mode. */
static void
expect_mirror_is_kernel(struct fixture *f)
{
   struct vmb_vm_mapping *mirror;
   struct target_mapping *kernel;
   size_t mirror_count, kernel_count;

   if (!target_get_tree(vmb_device_fd(f->dev), vmb_vm_kernel_id(f->vm), &kernel, &kernel_count))
      return;
   /* Behind the VA range a back-end may keep something for itself. */
   while (kernel_count &&
          kernel[kernel_count - 1].addr_B >= f->caps->va_start_B + f->caps->va_range_B)
      kernel_count--;
   assert_int_equal(vmb_vm_get_mappings(f->vm,
                                        f->caps->staged ? VMB_STATE_SUBMITTED
                                                        : VMB_STATE_COMPLETED,
                                        0, UINT64_MAX, &mirror, &mirror_count),
                    0);
   mirror_count = target_visible(f->caps, mirror, mirror_count);
   expect_same(f, mirror, mirror_count, kernel, kernel_count);
   free(mirror);
   free(kernel);
}

/* The page tables are the completed state. */
static void
expect_page(struct fixture *f, const struct vmb_range *range, uint64_t page,
            const struct vmb_bo *bo, uint64_t bo_page)
{
   const uint64_t addr_B = vmb_range_addr_B(range) + page * PAGE_B;
   struct vmb_vm_mapping *maps;
   size_t count;
   uint32_t handle;
   uint64_t offset_B;

   assert_int_equal(vmb_vm_get_mappings(f->vm, VMB_STATE_COMPLETED, addr_B, addr_B + 1, &maps,
                                        &count),
                    0);
   assert_int_equal(count, 1);
   assert_int_equal(maps[0].bo_handle, bo ? vmb_bo_handle(bo) : 0);
   if (bo)
      assert_int_equal(maps[0].bo_offset_B + addr_B - maps[0].addr_B, bo_page * PAGE_B);
   free(maps);

   if (!target_has_pages())
      return;
   assert_true(
      target_get_page(vmb_device_fd(f->dev), vmb_vm_kernel_id(f->vm), addr_B, &handle, &offset_B));
   expect_handle(f, handle, bo ? vmb_bo_handle(bo) : 0);
   if (bo)
      assert_int_equal(offset_B, bo_page * PAGE_B);
}

static void
expect_hole(struct fixture *f, const struct vmb_range *range, uint64_t page)
{
   const uint64_t addr_B = vmb_range_addr_B(range) + page * PAGE_B;
   struct vmb_vm_mapping *maps;
   size_t count;
   uint32_t handle;
   uint64_t offset_B;

   assert_int_equal(vmb_vm_get_mappings(f->vm, VMB_STATE_COMPLETED, addr_B, addr_B + 1, &maps,
                                        &count),
                    0);
   assert_int_equal(count, 0);
   free(maps);
   if (target_has_pages()) {
      assert_false(target_get_page(vmb_device_fd(f->dev), vmb_vm_kernel_id(f->vm), addr_B,
                                   &handle, &offset_B));
   }
}

/* -------------------------------------------------------------------- binds */

static struct vmb_bind
bind(struct vmb_range *range, uint64_t page, uint64_t pages, struct vmb_bo *bo, uint64_t bo_page)
{
   return (struct vmb_bind){
      .range = range,
      .offset_B = page * PAGE_B,
      .size_B = pages * PAGE_B,
      .bo = bo,
      .bo_offset_B = bo_page * PAGE_B,
   };
}

static int
submit_binds(struct vmb_queue *queue, const struct vmb_bind *binds, uint32_t count)
{
   return vmb_queue_submit(queue, &(struct vmb_submit){ .binds = binds, .bind_count = count },
                           NULL);
}

#define SUBMIT(queue, ...)                                                                         \
   submit_binds(queue, (struct vmb_bind[]){ __VA_ARGS__ },                                         \
                sizeof((struct vmb_bind[]){ __VA_ARGS__ }) / sizeof(struct vmb_bind))

static uint64_t
ops_of(const struct vmb_stats *s)
{
   return s->ops_map + s->ops_unmap + s->ops_null;
}

static void
wait_idle(struct fixture *f)
{
   assert_int_equal(vmb_vm_wait_idle(f->vm, INT64_MAX), 0);
   expect_mirror_is_kernel(f);
}

/* A syncobj that signals with a fence of the test's, or skip. */
static uint32_t
held_syncobj(struct fixture *f, int *fence_fd)
{
   uint32_t syncobj;

   *fence_fd = target_fence_create();
   if (*fence_fd < 0)
      skip();
   assert_int_equal(drmSyncobjCreate(vmb_device_fd(f->dev), 0, &syncobj), 0);
   assert_int_equal(drmSyncobjImportSyncFile(vmb_device_fd(f->dev), syncobj, *fence_fd), 0);
   return syncobj;
}

static void
release(struct fixture *f, uint32_t syncobj, int fence_fd)
{
   target_fence_signal(fence_fd);
   close(fence_fd);
   drmSyncobjDestroy(vmb_device_fd(f->dev), syncobj);
}

static bool
sync_is_soon(struct fixture *f, uint32_t syncobj, uint64_t point, int64_t within_ns)
{
   struct timespec ts;

   clock_gettime(CLOCK_MONOTONIC, &ts);
   return drmSyncobjTimelineWait(vmb_device_fd(f->dev), &syncobj, &point, 1,
                                 ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec + within_ns,
                                 DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT, NULL) == 0;
}

static bool
signals_soon(struct fixture *f, uint32_t syncobj, int64_t within_ns)
{
   return sync_is_soon(f, syncobj, 0, within_ns);
}

/* One bind behind a fence that the test holds. */
static int
submit_held(struct vmb_queue *queue, const struct vmb_bind *b, uint32_t held)
{
   return vmb_queue_submit(queue,
                           &(struct vmb_submit){
                              .waits = &(struct vmb_sync){ held, 0 },
                              .wait_count = 1,
                              .binds = b,
                              .bind_count = 1,
                           },
                           NULL);
}

/* A bind that the submit accepts, and that fails when it runs; or skip. */
static void
bind_that_fails(struct fixture *f, const struct vmb_bind *b)
{
   int fence;
   const uint32_t held = held_syncobj(f, &fence);
   const bool thread = f->caps->sync_mode == VMB_SYNC_THREAD;

   f->quiet = true;
   assert_int_equal(submit_held(f->queue, b, held), 0);
   const bool fails = thread ? target_fail_binds(1, 1000, EIO) : target_fail_jobs(1, EIO);
   release(f, held, fence);
   if (!fails)
      skip();
}

/* -------------------------------------------------------------------- tests */

static void
test_map_and_unmap(void **state)
{
   struct fixture *f = *state;
   struct vmb_range *range = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE);

   expect_hole(f, range, 0);
   assert_int_equal(SUBMIT(f->queue, bind(range, 0, 4, f->bo[0], 8)), 0);
   wait_idle(f);
   expect_page(f, range, 0, f->bo[0], 8);
   expect_page(f, range, 3, f->bo[0], 11);
   expect_hole(f, range, 4);

   /* A piece of it, from the middle. */
   assert_int_equal(SUBMIT(f->queue, bind(range, 1, 1, NULL, 0)), 0);
   wait_idle(f);
   expect_page(f, range, 0, f->bo[0], 8);
   expect_hole(f, range, 1);
   expect_page(f, range, 2, f->bo[0], 10);

   /* Over what is there, on both sides. */
   assert_int_equal(SUBMIT(f->queue, bind(range, 0, 3, f->bo[1], 0)), 0);
   wait_idle(f);
   expect_page(f, range, 2, f->bo[1], 2);
   expect_page(f, range, 3, f->bo[0], 11);
   drop_range(f, range);
   wait_idle(f);
}

static void
test_last_bind_of_a_batch_wins(void **state)
{
   struct fixture *f = *state;
   struct vmb_range *range = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE);

   assert_int_equal(SUBMIT(f->queue, bind(range, 0, 8, f->bo[0], 0), bind(range, 2, 2, NULL, 0),
                           bind(range, 3, 1, f->bo[1], 0)),
                    0);
   wait_idle(f);
   expect_page(f, range, 1, f->bo[0], 1);
   expect_hole(f, range, 2);
   expect_page(f, range, 3, f->bo[1], 0);
   expect_page(f, range, 4, f->bo[0], 4);
   drop_range(f, range);
}

static void
test_batches_of_a_queue_are_in_order(void **state)
{
   struct fixture *f = *state;
   struct vmb_range *range = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE);

   for (unsigned i = 0; i < 100; i++)
      assert_int_equal(SUBMIT(f->queue, bind(range, 0, 2, f->bo[i & 1], i % 32)), 0);
   wait_idle(f);
   expect_page(f, range, 0, f->bo[1], 99 % 32);
   drop_range(f, range);
}

/* As before GPU work. */
static void
bind_nulls(struct fixture *f)
{
   struct vmb_sync sync;

   assert_int_equal(vmb_vm_get_sync(f->vm, &sync), 0);
}

static void
test_unbound_is_null(void **state)
{
   struct fixture *f = *state;

   if (f->caps->null_mode == VMB_NULL_NONE)
      skip();
   struct vmb_range *range = new_range(f, 100 * PAGE_B, VMB_UNBOUND_NULL);

   bind_nulls(f);
   wait_idle(f);
   expect_page(f, range, 0, NULL, 0);
   expect_page(f, range, 99, NULL, 0);
   assert_int_equal(SUBMIT(f->queue, bind(range, 10, 4, f->bo[0], 0)), 0);
   wait_idle(f);
   expect_page(f, range, 9, NULL, 0);
   expect_page(f, range, 10, f->bo[0], 0);
   assert_int_equal(SUBMIT(f->queue, bind(range, 8, 4, NULL, 0)), 0);
   wait_idle(f);
   expect_page(f, range, 10, NULL, 0);
   expect_page(f, range, 12, f->bo[0], 2);
   drop_range(f, range);
   wait_idle(f);
}

/* Whether null mappings come with what is bound next. */
static bool
nulls_come_later(const struct fixture *f)
{
   return f->caps->immediate_bind && f->caps->null_mode != VMB_NULL_NONE &&
          f->caps->null_mode != VMB_NULL_REGION;
}

/* Elsewhere there is nothing to test. */
static struct fixture *
with_late_nulls(void **state)
{
   struct fixture *f = *state;

   if (!nulls_come_later(f))
      skip();
   return f;
}

#define SMALL_PAGES 16

/* Whose null mappings are there. */
static void
new_small_ranges(struct fixture *f, struct vmb_range **ranges, unsigned count)
{
   for (unsigned i = 0; i < count; i++)
      ranges[i] = new_range(f, SMALL_PAGES * PAGE_B, VMB_UNBOUND_NULL);
   bind_nulls(f);
}

static uint64_t
ioctls_of(const struct fixture *f)
{
   struct vmb_stats stats;

   vmb_device_get_stats(f->dev, &stats);
   return stats.ioctls;
}

/* A resource that is created, bound, unbound and destroyed costs three ioctls, or two if nothing is ever bound. */
static void
test_null_comes_with_the_first_bind(void **state)
{
   struct fixture *f = with_late_nulls(state);
   struct vmb_stats before, after;

   vmb_device_get_stats(f->dev, &before);
   struct vmb_range *range = new_range(f, 64 * PAGE_B, VMB_UNBOUND_NULL);
   struct vmb_range *unused = new_range(f, 64 * PAGE_B, VMB_UNBOUND_NULL);
   assert_int_equal(ioctls_of(f), before.ioctls);
   wait_idle(f);
   expect_hole(f, range, 0);

   assert_int_equal(SUBMIT(f->queue, bind(range, 0, 32, f->bo[0], 0)), 0);
   vmb_device_get_stats(f->dev, &after);
   if (f->caps->max_ops > 1)
      assert_int_equal(after.ioctls - before.ioctls, 1);
   assert_int_equal(after.ops_map - before.ops_map, 1);
   assert_int_equal(after.binds - before.binds, 3);
   assert_int_equal(after.bind_bytes - before.bind_bytes, (64 + 64 + 32) * PAGE_B);
   wait_idle(f);
   expect_page(f, range, 0, f->bo[0], 0);
   expect_page(f, range, 31, f->bo[0], 31);
   expect_page(f, range, 32, NULL, 0);
   expect_page(f, range, 63, NULL, 0);
   expect_page(f, unused, 0, NULL, 0);
   expect_page(f, unused, 63, NULL, 0);
   drop_range(f, unused);
   drop_range(f, range);
   wait_idle(f);
}

static void
test_null_comes_with_the_sync(void **state)
{
   struct fixture *f = with_late_nulls(state);

   struct vmb_range *range = new_range(f, 64 * PAGE_B, VMB_UNBOUND_NULL);
   const uint64_t before = ioctls_of(f);
   bind_nulls(f);
   const uint64_t after = ioctls_of(f);
   assert_true(after > before);
   bind_nulls(f);
   assert_int_equal(ioctls_of(f), after);
   wait_idle(f);
   expect_page(f, range, 0, NULL, 0);
   expect_page(f, range, 63, NULL, 0);
   drop_range(f, range);
}

/* Each gap between the binds would be an operation. */
static void
test_null_does_not_come_in_pieces(void **state)
{
   struct fixture *f = with_late_nulls(state);
   enum { COUNT = 16 };
   struct vmb_bind binds[COUNT];
   struct vmb_stats before, after;

   struct vmb_range *range = new_range(f, 2 * COUNT * PAGE_B, VMB_UNBOUND_NULL);
   for (unsigned i = 0; i < COUNT; i++)
      binds[i] = bind(range, 2 * i, 1, f->bo[0], i);
   vmb_device_get_stats(f->dev, &before);
   assert_int_equal(submit_binds(f->queue, binds, COUNT), 0);
   vmb_device_get_stats(f->dev, &after);
   assert_in_range(after.ops_null - before.ops_null, 1, 2);
   wait_idle(f);
   for (unsigned i = 0; i < COUNT; i++) {
      expect_page(f, range, 2 * i, f->bo[0], i);
      expect_page(f, range, 2 * i + 1, NULL, 0);
   }
   drop_range(f, range);
}

/* Nothing that waits takes a null mapping along: GPU work that uses it may be what is waited for. */
static void
test_null_waits_for_nobody(void **state)
{
   struct fixture *f = with_late_nulls(state);
   int fence;

   const uint32_t held = held_syncobj(f, &fence);
   struct vmb_range *range = new_range(f, 16 * PAGE_B, VMB_UNBOUND_NULL);
   const struct vmb_bind b = bind(range, 0, 1, f->bo[0], 0);

   assert_int_equal(submit_held(f->queue, &b, held), 0);
   expect_mirror_is_kernel(f);
   expect_page(f, range, 0, NULL, 0);
   expect_page(f, range, 15, NULL, 0);
   release(f, held, fence);
   wait_idle(f);
   expect_page(f, range, 0, f->bo[0], 0);
   expect_page(f, range, 15, NULL, 0);
   drop_range(f, range);
}

static bool
anything_at(struct fixture *f, uint64_t addr_B)
{
   struct vmb_vm_mapping *maps;
   size_t count;
   uint32_t handle;
   uint64_t offset_B;

   assert_int_equal(
      vmb_vm_get_mappings(f->vm, VMB_STATE_COMPLETED, addr_B, addr_B + 1, &maps, &count), 0);
   free(maps);
   if (target_has_pages()) {
      assert_int_equal(target_get_page(vmb_device_fd(f->dev), vmb_vm_kernel_id(f->vm), addr_B, &handle,
                                       &offset_B),
                       count == 1);
   }
   return count == 1;
}

/* Memory that is made, bound at addresses of its own and freed again has nothing to do with a bind that waits for others,
 * who may be waiting for just that. */
static void
test_what_is_done_at_once_waits_for_nobody(void **state)
{
   struct fixture *f = *state;
   /* There the unbinds come some time later. */
   const bool thread = f->caps->sync_mode == VMB_SYNC_THREAD;
   int fence;

   if (!f->caps->immediate_bind) {
      print_message("the kernel queues all binds\n");
      skip();
   }
   struct vmb_range *range = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE);
   assert_int_equal(SUBMIT(f->queue, bind(range, 0, 16, f->bo[0], 0)), 0);
   const uint32_t held = held_syncobj(f, &fence);
   const struct vmb_bind b = bind(range, 4, 4, f->bo[1], 0);
   const struct vmb_submit submit = {
      .waits = &(struct vmb_sync){ held, 0 },
      .wait_count = 1,
      .binds = &b,
      .bind_count = 1,
   };
   assert_int_equal(vmb_queue_submit(f->queue, &submit, NULL), 0);

   for (unsigned i = 0; i < 2; i++) {
      struct vmb_range *fresh = new_range(f, 8 * PAGE_B, VMB_UNBOUND_HOLE);
      struct vmb_bo *bo = new_bo(f, 8 * PAGE_B);
      const struct vmb_bind whole = bind(fresh, 0, 8, bo, 0);

      assert_int_equal(vmb_vm_bind_sync(f->vm, &whole, 1), 0);
      expect_page(f, fresh, 7, bo, 7);
      expect_page(f, range, 4, f->bo[0], 4);
      if (!thread)
         expect_mirror_is_kernel(f);
      if (i == 1) {
         release(f, held, fence);
         wait_idle(f);
         expect_page(f, range, 4, f->bo[1], 0);
      }
      const uint64_t addr_B = vmb_range_addr_B(fresh);
      drop_range(f, fresh);
      vmb_bo_unref(bo);
      if (i == 1)
         break;
      if (thread)
         continue;
      assert_false(anything_at(f, addr_B));
      expect_mirror_is_kernel(f);
   }
   wait_idle(f);
   drop_range(f, range);
}

/* Nor does it become a thing of the pending one's by having been bound before, in however many operations. */
static void
test_what_is_done_at_once_is_done_again(void **state)
{
   struct fixture *f = *state;
   int fence;

   if (!f->caps->immediate_bind || f->caps->sync_mode == VMB_SYNC_THREAD) {
      print_message("nothing overtakes what is pending\n");
      skip();
   }
   const uint32_t held = held_syncobj(f, &fence);
   struct vmb_range *range = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE);
   const struct vmb_bind b = bind(range, 4, 4, f->bo[1], 0);
   assert_int_equal(submit_held(f->queue, &b, held), 0);

   struct vmb_range *fresh = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE);
   const struct vmb_bind twice[] = { bind(fresh, 0, 4, f->bo[0], 0), bind(fresh, 8, 4, f->bo[1], 0) };
   const struct vmb_bind over = bind(fresh, 1, 2, f->bo[1], 7);
   const struct vmb_bind away = bind(fresh, 8, 2, NULL, 0);
   assert_int_equal(vmb_vm_bind_sync(f->vm, twice, 2), 0);
   assert_int_equal(vmb_vm_bind_sync(f->vm, &over, 1), 0);
   assert_int_equal(vmb_vm_bind_sync(f->vm, &away, 1), 0);
   expect_mirror_is_kernel(f);
   expect_page(f, fresh, 0, f->bo[0], 0);
   expect_page(f, fresh, 1, f->bo[1], 7);
   expect_page(f, fresh, 3, f->bo[0], 3);
   expect_hole(f, fresh, 9);
   expect_page(f, fresh, 10, f->bo[1], 2);
   expect_hole(f, range, 4);
   release(f, held, fence);
   wait_idle(f);
   expect_page(f, range, 4, f->bo[1], 0);
   expect_page(f, fresh, 1, f->bo[1], 7);
   drop_range(f, fresh);
   drop_range(f, range);
   wait_idle(f);
}

/* Also if others that came later have completed already. */
static void
test_idle_is_when_all_have_completed(void **state)
{
   struct fixture *f = *state;
   int fence;

   const uint32_t held = held_syncobj(f, &fence);
   struct vmb_range *range = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE);
   struct vmb_range *other = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE);
   const struct vmb_bind first = bind(range, 0, 1, f->bo[0], 0);
   const struct vmb_bind later[] = { bind(other, 0, 1, f->bo[0], 4), bind(other, 8, 1, f->bo[1], 0) };

   assert_int_equal(submit_held(f->queue, &first, held), 0);
   if (!f->caps->fifo_per_vm || f->caps->immediate_bind)
      assert_int_equal(vmb_vm_bind_sync(f->vm, later, ARRAY_SIZE(later)), 0);
   else
      assert_int_equal(SUBMIT(f->queue, later[0], later[1]), 0);
   assert_int_equal(vmb_vm_wait_idle(f->vm, 0), -ETIME);
   release(f, held, fence);
   wait_idle(f);
   expect_page(f, range, 0, f->bo[0], 0);
   expect_page(f, other, 8, f->bo[1], 0);
   drop_range(f, range);
   drop_range(f, other);
}

/* The kernel has no memory for it: then it is still to come. */
static void
test_null_that_fails_comes_later(void **state)
{
   struct fixture *f = with_late_nulls(state);
   struct vmb_sync sync;

   if (!target_fail_binds(1, 100, ENOMEM))
      skip();
   struct vmb_range *range = new_range(f, 16 * PAGE_B, VMB_UNBOUND_NULL);
   struct vmb_range *gone = new_range(f, 16 * PAGE_B, VMB_UNBOUND_NULL);
   assert_int_equal(vmb_vm_get_sync(f->vm, &sync), -ENOMEM);
   assert_int_equal(SUBMIT(f->queue, bind(range, 0, 1, f->bo[0], 0)), -ENOMEM);
   drop_range(f, gone);
   target_fail_nothing();
   expect_hole(f, range, 0);
   bind_nulls(f);
   wait_idle(f);
   expect_page(f, range, 0, NULL, 0);
   drop_range(f, range);
}

enum { NULLS = 3, MOST_TIMES = 16 };

/* Of some new ranges; how many the kernel has refused. */
static unsigned
count_refused(struct fixture *f, struct vmb_range *ranges[NULLS], int err)
{
   unsigned refused = 0;

   for (unsigned i = 0; i < NULLS; i++) {
      const uint64_t addr_B = vmb_range_addr_B(ranges[i]);
      struct vmb_sync sync;
      const int ret = vmb_range_get_sync(ranges[i], &sync);

      if (!ret) {
         expect_page(f, ranges[i], 0, NULL, 0);
         expect_page(f, ranges[i], 15, NULL, 0);
         assert_int_equal(SUBMIT(f->queue, bind(ranges[i], 1, 1, f->bo[0], 0)), 0);
         continue;
      }
      refused++;
      assert_int_equal(ret, -err);
      assert_int_equal(SUBMIT(f->queue, bind(ranges[i], 1, 1, f->bo[0], 0)), -err);
      assert_false(anything_at(f, addr_B));
      assert_false(anything_at(f, addr_B + PAGE_B));
   }
   return refused;
}

/* The kernel will not have the null mapping of a range, whatever is asked for: that range cannot be used, the others
 * can. \p how  0: it comes with the sync, 1: with a bind of another range, 2: before a bind that waits */
static unsigned
refuse_nulls(struct fixture *f, unsigned how, unsigned first, unsigned times)
{
   const int fd = vmb_device_fd(f->dev);
   struct vmb_range *other = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE);
   struct vmb_range *ranges[NULLS], *between[NULLS];
   struct vmb_sync sync;
   uint32_t before;

   assert_int_equal(drmSyncobjCreate(fd, DRM_SYNCOBJ_CREATE_SIGNALED, &before), 0);
   for (unsigned i = 0; i < NULLS; i++) {
      ranges[i] = new_range(f, 16 * PAGE_B, VMB_UNBOUND_NULL);
      /* So that each takes an operation. */
      between[i] = new_range(f, PAGE_B, VMB_UNBOUND_HOLE);
   }
   const struct vmb_bind b = bind(other, 0, 1, f->bo[0], 0);
   const struct vmb_submit submit = {
      .waits = &(struct vmb_sync){ before, 0 },
      .wait_count = how == 2 ? 1 : 0,
      .binds = &b,
      .bind_count = 1,
   };
   assert_true(target_fail_binds(first, times, EIO));
   if (how == 0)
      assert_int_equal(vmb_vm_get_sync(f->vm, &sync), 0);
   else
      assert_int_equal(vmb_queue_submit(f->queue, &submit, NULL), 0);
   target_fail_nothing();
   wait_idle(f);
   expect_mirror_is_kernel(f);
   if (how)
      expect_page(f, other, 0, f->bo[0], 0);
   const unsigned refused = count_refused(f, ranges, EIO);

   wait_idle(f);
   drop_range(f, other);
   for (unsigned i = 0; i < NULLS; i++) {
      drop_range(f, between[i]);
      drop_range(f, ranges[i]);
   }
   bind_nulls(f);
   wait_idle(f);
   expect_mirror_is_kernel(f);
   drmSyncobjDestroy(fd, before);
   return refused;
}

static void
test_a_null_that_is_refused(void **state)
{
   struct fixture *f = *state;

   if (!nulls_come_later(f) || !target_fail_binds(1, 1, EIO))
      skip();
   f->quiet = true;
   for (unsigned how = 0; how < 3; how++) {
      unsigned refused = 0;

      /* Refused together, and then so many of them alone. */
      for (unsigned times = 1; refused == 0 && times <= MOST_TIMES; times++)
         refused = refuse_nulls(f, how, 1, times);
      assert_in_range(refused, 1, NULLS - 1);
   }
}

/* One of several has been bound, and could not be unbound: it need not. */
static void
test_a_null_that_is_refused_behind_another(void **state)
{
   struct fixture *f = *state;

   if (!nulls_come_later(f) || f->caps->max_ops > 1 || !target_fail_binds(2, 1000, EIO))
      skip();
   f->quiet = true;
   assert_in_range(refuse_nulls(f, 0, 2, 1000), 1, NULLS);
}

/* Returns how many of some destroyed ranges are still mapped after the kernel has refused something. */
static unsigned
refuse_unmaps(struct fixture *f, unsigned times)
{
   struct vmb_range *ranges[NULLS], *again;
   uint64_t addr_B[NULLS];
   struct vmb_sync sync;
   unsigned stayed = 0;

   for (unsigned i = 0; i < NULLS; i++) {
      ranges[i] = new_range(f, (16 + i) * PAGE_B, VMB_UNBOUND_NULL);
      addr_B[i] = vmb_range_addr_B(ranges[i]);
   }
   bind_nulls(f);
   for (unsigned i = 0; i < NULLS; i++)
      drop_range(f, ranges[i]);
   assert_true(target_fail_binds(1, times, EIO));
   assert_int_equal(vmb_vm_get_sync(f->vm, &sync), 0);
   target_fail_nothing();
   expect_mirror_is_kernel(f);
   for (unsigned i = 0; i < NULLS; i++) {
      const struct vmb_range_params fixed = { .size_B = PAGE_B, .fixed_addr_B = addr_B[i] };
      const int ret = vmb_range_create(f->vm, &fixed, &again);

      assert_int_equal(ret, anything_at(f, addr_B[i]) ? -EADDRINUSE : 0);
      stayed += ret != 0;
      if (!ret)
         vmb_range_destroy(again);
   }
   return stayed;
}

/* The same of ranges that are gone: their addresses stay taken. */
static void
test_a_null_that_must_stay(void **state)
{
   struct fixture *f = *state;
   unsigned stayed = 0;

   if (!nulls_come_later(f) || !target_fail_binds(1, 1, EIO))
      skip();
   target_fail_nothing();
   f->quiet = true;
   for (unsigned times = 1; stayed == 0 && times <= MOST_TIMES; times++)
      stayed = refuse_unmaps(f, times);
   assert_in_range(stayed, 1, NULLS - 1);
}

/* What shows nothing but null is unmapped with what is bound next, or before GPU work. */
static void
test_null_goes_later(void **state)
{
   struct fixture *f = with_late_nulls(state);

   for (unsigned with_bind = 0; with_bind < 2; with_bind++) {
      struct vmb_range *other = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE);
      struct vmb_range *range = new_range(f, 64 * PAGE_B, VMB_UNBOUND_NULL);
      const uint64_t addr_B = vmb_range_addr_B(range);
      bind_nulls(f);
      assert_int_equal(SUBMIT(f->queue, bind(range, 0, 2, f->bo[0], 0)), 0);
      assert_int_equal(SUBMIT(f->queue, bind(range, 0, 2, NULL, 0)), 0);
      wait_idle(f);
      const uint64_t before = ioctls_of(f);
      drop_range(f, range);
      assert_int_equal(ioctls_of(f), before);
      expect_mirror_is_kernel(f);
      if (with_bind)
         assert_int_equal(SUBMIT(f->queue, bind(other, 0, 2, f->bo[0], 0)), 0);
      else
         bind_nulls(f);
      if (f->caps->max_ops > 1)
         assert_int_equal(ioctls_of(f), before + 1);
      wait_idle(f);
      assert_false(anything_at(f, addr_B));
      assert_false(anything_at(f, addr_B + 63 * PAGE_B));
      drop_range(f, other);
   }
}

/* Memory is not kept for that, and a wait of others does not hold it up. */
static void
test_bound_goes_at_once(void **state)
{
   struct fixture *f = with_late_nulls(state);

   struct vmb_range *range = new_range(f, 64 * PAGE_B, VMB_UNBOUND_NULL);
   const uint64_t addr_B = vmb_range_addr_B(range);
   assert_int_equal(SUBMIT(f->queue, bind(range, 63, 1, f->bo[0], 0)), 0);
   wait_idle(f);
   drop_range(f, range);
   wait_idle(f);
   assert_false(anything_at(f, addr_B));
   assert_false(anything_at(f, addr_B + 63 * PAGE_B));
}

/* The next one of its size begins with the null mapping, and with nothing else. */
static void
test_null_is_taken_over(void **state)
{
   struct fixture *f = with_late_nulls(state);

   struct vmb_range *range = new_range(f, 64 * PAGE_B, VMB_UNBOUND_NULL);
   const uint64_t addr_B = vmb_range_addr_B(range);
   bind_nulls(f);
   drop_range(f, range);
   const uint64_t before = ioctls_of(f);
   struct vmb_range *larger = new_range(f, 65 * PAGE_B, VMB_UNBOUND_NULL);
   struct vmb_range *hole = new_range(f, 64 * PAGE_B, VMB_UNBOUND_HOLE);
   assert_int_not_equal(vmb_range_addr_B(hole), addr_B);
   range = new_range(f, 64 * PAGE_B, VMB_UNBOUND_NULL);
   assert_int_equal(vmb_range_addr_B(range), addr_B);
   assert_int_equal(ioctls_of(f), before);
   expect_mirror_is_kernel(f);
   expect_page(f, range, 0, NULL, 0);
   expect_page(f, range, 63, NULL, 0);
   assert_int_equal(SUBMIT(f->queue, bind(range, 0, 64, f->bo[0], 0)), 0);
   wait_idle(f);
   expect_page(f, range, 63, f->bo[0], 63);
   expect_page(f, larger, 64, NULL, 0);
   drop_range(f, hole);
   drop_range(f, larger);
   drop_range(f, range);
}

/* What waits to be unmapped is in nobody's way, and there is never much of it. */
static void
test_null_that_goes_later_makes_room(void **state)
{
   struct fixture *f = with_late_nulls(state);
   enum { COUNT = 100 };
   struct vmb_range *ranges[COUNT];

   new_small_ranges(f, ranges, COUNT);
   const uint64_t addr_B = vmb_range_addr_B(ranges[COUNT - 1]);
   const uint64_t before = ioctls_of(f);
   for (unsigned i = 0; i < COUNT; i++)
      drop_range(f, ranges[i]);
   if (f->caps->max_ops > 1)
      assert_in_range(ioctls_of(f) - before, COUNT / 32, COUNT / 8);
   expect_mirror_is_kernel(f);

   const struct vmb_range_params fixed = { .size_B = PAGE_B, .fixed_addr_B = addr_B };
   struct vmb_range *again;
   assert_int_equal(vmb_range_create(f->vm, &fixed, &again), 0);
   assert_false(anything_at(f, addr_B));
   vmb_range_destroy(again);
}

/* Some of the null mapping is there when the kernel runs out of memory, and nobody asks for the rest any more: what is
 * there goes with the range. */
static void
test_half_a_null_goes_with_its_range(void **state)
{
   struct fixture *f = with_late_nulls(state);
   const uint64_t granule_B = f->caps->null_granule_B;
   struct vmb_sync sync;

   if (!granule_B || !target_fail_op(2, ENOMEM)) {
      print_message("a null mapping is one operation\n");
      skip();
   }
   struct vmb_range *range = new_range(f, 4 * granule_B, VMB_UNBOUND_NULL);
   const uint64_t addr_B = vmb_range_addr_B(range);
   assert_int_equal(vmb_vm_get_sync(f->vm, &sync), -ENOMEM);
   target_fail_nothing();
   assert_true(anything_at(f, addr_B));
   assert_false(anything_at(f, addr_B + 4 * granule_B - PAGE_B));
   drop_range(f, range);
   bind_nulls(f);
   wait_idle(f);
   for (uint64_t at_B = 0; at_B < 4 * granule_B; at_B += granule_B)
      assert_false(anything_at(f, addr_B + at_B));
}

/* Destroyed ranges are unmapped, and the kernel runs out of memory after some of them: these show null no more, and are
 * not taken over as if they did. */
static void
test_what_is_unmapped_is_not_taken_over(void **state)
{
   struct fixture *f = with_late_nulls(state);
   enum { COUNT = 4 };
   struct vmb_range *ranges[COUNT], *between[COUNT];
   struct vmb_sync sync;

   if (!target_fail_op(2, ENOMEM))
      skip();
   target_fail_nothing();
   /* So that each takes an operation. */
   for (unsigned i = 0; i < COUNT; i++) {
      ranges[i] = new_range(f, SMALL_PAGES * PAGE_B, VMB_UNBOUND_NULL);
      between[i] = new_range(f, PAGE_B, VMB_UNBOUND_HOLE);
   }
   bind_nulls(f);
   for (unsigned i = 0; i < COUNT; i++)
      drop_range(f, ranges[i]);
   assert_true(target_fail_op(2, ENOMEM));
   (void)vmb_vm_get_sync(f->vm, &sync);
   target_fail_nothing();
   new_small_ranges(f, ranges, COUNT);
   wait_idle(f);
   for (unsigned i = 0; i < COUNT; i++) {
      expect_page(f, ranges[i], 0, NULL, 0);
      expect_page(f, ranges[i], SMALL_PAGES - 1, NULL, 0);
   }
   for (unsigned i = 0; i < COUNT; i++) {
      drop_range(f, between[i]);
      drop_range(f, ranges[i]);
   }
}

/* The kernel has no memory to unmap them: they go when it has, and no address is lost. */
static void
test_null_that_cannot_go_goes_later(void **state)
{
   struct fixture *f = with_late_nulls(state);
   enum { COUNT = 40 };
   struct vmb_range *ranges[COUNT], *again;
   uint64_t addr_B[COUNT];

   if (!target_fail_binds(1, 100000, ENOMEM))
      skip();
   target_fail_nothing();
   new_small_ranges(f, ranges, COUNT);
   f->quiet = true;
   assert_true(target_fail_binds(1, 100000, ENOMEM));
   for (unsigned i = 0; i < COUNT; i++) {
      addr_B[i] = vmb_range_addr_B(ranges[i]);
      drop_range(f, ranges[i]);
   }
   target_fail_nothing();
   expect_mirror_is_kernel(f);
   bind_nulls(f);
   for (unsigned i = 0; i < COUNT; i++) {
      const struct vmb_range_params fixed = { .size_B = SMALL_PAGES * PAGE_B,
                                              .fixed_addr_B = addr_B[i] };

      assert_false(anything_at(f, addr_B[i]));
      assert_int_equal(vmb_range_create(f->vm, &fixed, &again), 0);
      vmb_range_destroy(again);
   }
}

/* Of addresses that are free but for what the kernel has no memory to unmap, it is not said that they are taken. */
static void
test_no_memory_is_not_no_addresses(void **state)
{
   struct fixture *f = *state;
   struct vmb_range *range;

   if (!nulls_come_later(f) || !target_fail_binds(1, 1000, ENOMEM))
      skip();
   target_fail_nothing();
   range = new_range(f, 16 * PAGE_B, VMB_UNBOUND_NULL);
   const struct vmb_range_params fixed = { .size_B = PAGE_B, .fixed_addr_B = vmb_range_addr_B(range) };
   bind_nulls(f);
   assert_int_equal(vmb_range_create(f->vm, &fixed, &range), -EADDRINUSE);
   drop_range(f, f->ranges[0]);
   assert_true(target_fail_binds(1, 1000, ENOMEM));
   assert_int_equal(vmb_range_create(f->vm, &fixed, &range), -ENOMEM);
   target_fail_nothing();
   assert_int_equal(vmb_range_create(f->vm, &fixed, &range), 0);
   vmb_range_destroy(range);
}

/* A new range gets addresses that it may have, or none. */
static void
test_what_is_taken_over_fits(void **state)
{
   struct fixture *f = with_late_nulls(state);
   const struct vmb_range_params low = {
      .size_B = 64 * PAGE_B,
      .zone = VMB_ZONE_LOW,
      .unbound = VMB_UNBOUND_NULL,
   };
   struct vmb_range_params fixed = low, odd = low;
   struct vmb_range *range, *other;

   range = new_range(f, 64 * PAGE_B, VMB_UNBOUND_NULL);
   fixed.fixed_addr_B = vmb_range_addr_B(range);
   drop_range(f, range);
   if (fixed.fixed_addr_B < 1ull << 32 || vmb_range_create(f->vm, &low, &range))
      skip();
   vmb_range_destroy(range);

   /* It lies where its address is, whatever zone was named. */
   assert_int_equal(vmb_range_create(f->vm, &fixed, &range), 0);
   bind_nulls(f);
   vmb_range_destroy(range);
   assert_int_equal(vmb_range_create(f->vm, &low, &other), 0);
   assert_in_range(vmb_range_addr_B(other), 1, (1ull << 32) - 64 * PAGE_B);
   bind_nulls(f);
   vmb_range_destroy(other);
   odd.align_B = 3 * PAGE_B;
   assert_int_equal(vmb_range_create(f->vm, &odd, &range), -EINVAL);
}

/* Nor addresses that are aligned too little. */
static void
test_what_is_taken_over_is_aligned(void **state)
{
   struct fixture *f = with_late_nulls(state);
   enum { COUNT = 4, ALIGN_B = 4 * SMALL_PAGES * PAGE_B };
   struct vmb_range *ranges[COUNT], *odd = NULL, *aligned;
   const struct vmb_range_params params = {
      .size_B = SMALL_PAGES * PAGE_B,
      .align_B = ALIGN_B,
      .unbound = VMB_UNBOUND_NULL,
   };

   new_small_ranges(f, ranges, COUNT);
   for (unsigned i = 0; i < COUNT; i++) {
      if (vmb_range_addr_B(ranges[i]) % ALIGN_B)
         odd = ranges[i];
   }
   assert_non_null(odd);
   drop_range(f, odd);
   assert_int_equal(vmb_range_create(f->vm, &params, &aligned), 0);
   assert_int_equal(vmb_range_addr_B(aligned) % ALIGN_B, 0);
   vmb_range_destroy(aligned);
   for (unsigned i = 0; i < COUNT; i++) {
      if (ranges[i] != odd)
         drop_range(f, ranges[i]);
   }
}

/* Null mappings that come together may be one; of ranges that go apart each is its own. */
static void
test_nulls_that_come_together_go_apart(void **state)
{
   struct fixture *f = with_late_nulls(state);
   enum { COUNT = 5 };
   struct vmb_range *ranges[COUNT];

   new_small_ranges(f, ranges, COUNT);
   expect_mirror_is_kernel(f);
   for (unsigned i = 1; i < COUNT; i += 2) {
      const uint64_t addr_B = vmb_range_addr_B(ranges[i]);

      drop_range(f, ranges[i]);
      bind_nulls(f);
      wait_idle(f);
      assert_false(anything_at(f, addr_B));
      assert_false(anything_at(f, addr_B + (SMALL_PAGES - 1) * PAGE_B));
      expect_mirror_is_kernel(f);
   }
   for (unsigned i = 0; i < COUNT; i += 2) {
      expect_page(f, ranges[i], 0, NULL, 0);
      expect_page(f, ranges[i], SMALL_PAGES - 1, NULL, 0);
      drop_range(f, ranges[i]);
   }
}

/* A BO goes with the last batch that knew of it, also if nothing is bound when that is seen. */
static void
test_a_bo_goes_when_null_stays(void **state)
{
   struct fixture *f = with_late_nulls(state);
   const int fd = vmb_device_fd(f->dev);
   int fence;
   uint32_t done;

   struct vmb_range *range = new_range(f, 16 * PAGE_B, VMB_UNBOUND_NULL);
   struct vmb_bo *bo = new_bo(f, 4 * PAGE_B);
   struct drm_gem_close close_again = { .handle = vmb_bo_handle(bo) };
   assert_int_equal(SUBMIT(f->queue, bind(range, 0, 4, bo, 0)), 0);
   wait_idle(f);
   const uint32_t held = held_syncobj(f, &fence);
   assert_int_equal(drmSyncobjCreate(fd, 0, &done), 0);
   const struct vmb_bind unbind = bind(range, 0, 4, NULL, 0);
   const struct vmb_submit submit = {
      .waits = &(struct vmb_sync){ held, 0 },
      .wait_count = 1,
      .binds = &unbind,
      .bind_count = 1,
      .signals = &(struct vmb_sync){ done, 0 },
      .signal_count = 1,
   };
   assert_int_equal(vmb_queue_submit(f->queue, &submit, NULL), 0);
   vmb_bo_unref(bo);
   release(f, held, fence);
   assert_true(signals_soon(f, done, SOON));
   drop_range(f, range);
   assert_int_not_equal(drmIoctl(fd, DRM_IOCTL_GEM_CLOSE, &close_again), 0);
   drmSyncobjDestroy(fd, done);
}

/* The device is lost with the null mappings of others: those who wait for the batch hear of it all the same. */
static void
lose_with_null(void **state, bool waits)
{
   struct fixture *f = with_late_nulls(state);
   const int fd = vmb_device_fd(f->dev);
   enum { COUNT = 16 };
   struct vmb_bind binds[COUNT];
   uint32_t before, done;

   f->quiet = true;
   struct vmb_range *range = new_range(f, 2 * COUNT * PAGE_B, VMB_UNBOUND_NULL);
   for (unsigned i = 0; i < COUNT; i++)
      binds[i] = bind(range, 2 * i, 1, f->bo[0], i);
   assert_int_equal(drmSyncobjCreate(fd, DRM_SYNCOBJ_CREATE_SIGNALED, &before), 0);
   assert_int_equal(drmSyncobjCreate(fd, 0, &done), 0);
   if (!target_fail_binds(1, 1000, ENODEV))
      skip();
   const struct vmb_submit submit = {
      .waits = &(struct vmb_sync){ before, 0 },
      .wait_count = waits ? 1 : 0,
      .binds = binds,
      .bind_count = COUNT,
      .signals = &(struct vmb_sync){ done, 0 },
      .signal_count = 1,
   };
   assert_int_equal(vmb_queue_submit(f->queue, &submit, NULL), -ENODEV);
   assert_true(vmb_device_is_lost(f->dev));
   assert_true(signals_soon(f, done, SOON));
   target_fail_nothing();
   drmSyncobjDestroy(fd, before);
   drmSyncobjDestroy(fd, done);
   drop_range(f, range);
}

static void
test_a_null_that_loses_the_device(void **state)
{
   lose_with_null(state, false);
}

static void
test_a_null_that_loses_the_device_before_a_wait(void **state)
{
   lose_with_null(state, true);
}

static void
test_contiguous_is_one_operation(void **state)
{
   struct fixture *f = *state;
   struct vmb_bo *bo = new_bo(f, 4096 * PAGE_B);
   struct vmb_range *range = new_range(f, 4096 * PAGE_B, VMB_UNBOUND_HOLE);
   struct vmb_bind *binds = malloc(4096 * sizeof(*binds));
   struct vmb_stats before, after;

   for (unsigned i = 0; i < 4096; i++) {
      const unsigned page = i * 1361 % 4096;
      binds[i] = bind(range, page, 1, bo, page);
   }
   vmb_device_get_stats(f->dev, &before);
   assert_int_equal(submit_binds(f->queue, binds, 4096), 0);
   vmb_device_get_stats(f->dev, &after);
   assert_int_equal(ops_of(&after) - ops_of(&before), 1);
   assert_int_equal(after.ioctls - before.ioctls, 1);
   assert_int_equal(after.merged - before.merged, 4095);

   /* Once more changes nothing, and needs no operation. */
   before = after;
   assert_int_equal(submit_binds(f->queue, binds, 4096), 0);
   vmb_device_get_stats(f->dev, &after);
   assert_int_equal(ops_of(&after) - ops_of(&before), 0);
   wait_idle(f);
   expect_page(f, range, 4095, bo, 4095);
   free(binds);
   drop_range(f, range);
   vmb_bo_unref(bo);
}

/* Unless the VM was told not to: as many as there are binds, in their order. */
static void
test_an_ordered_vm(void **state)
{
   struct fixture *f = *state;
   struct vmb_stats before, after;

   if (f->caps->exact_unmap)
      skip();
   struct vmb_range *range = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE);
   vmb_device_get_stats(f->dev, &before);
   assert_int_equal(SUBMIT(f->queue, bind(range, 0, 4, f->bo[0], 0), bind(range, 4, 4, f->bo[0], 4),
                           bind(range, 8, 4, f->bo[0], 8), bind(range, 2, 4, f->bo[1], 0),
                           bind(range, 9, 1, NULL, 0), bind(range, 0, 1, f->bo[0], 0)),
                    0);
   vmb_device_get_stats(f->dev, &after);
   assert_int_equal(ops_of(&after) - ops_of(&before), 6);
   assert_int_equal(after.merged, before.merged);
   wait_idle(f);
   expect_page(f, range, 0, f->bo[0], 0);
   expect_page(f, range, 1, f->bo[0], 1);
   expect_page(f, range, 3, f->bo[1], 1);
   expect_page(f, range, 6, f->bo[0], 6);
   expect_page(f, range, 8, f->bo[0], 8);
   expect_hole(f, range, 9);
   expect_page(f, range, 10, f->bo[0], 10);
   drop_range(f, range);
   wait_idle(f);
}

static void
test_many_operations_go_in_chunks(void **state)
{
   struct fixture *f = *state;
   enum { COUNT = 10000 };
   struct vmb_range *range = new_range(f, 2 * COUNT * PAGE_B, VMB_UNBOUND_HOLE);
   struct vmb_bind *binds = malloc(COUNT * sizeof(*binds));
   struct vmb_stats before, after;

   for (unsigned i = 0; i < COUNT; i++)
      binds[i] = bind(range, 2 * i, 1, f->bo[0], i % 64);
   vmb_device_get_stats(f->dev, &before);
   assert_int_equal(submit_binds(f->queue, binds, COUNT), 0);
   vmb_device_get_stats(f->dev, &after);
   assert_int_equal(ops_of(&after) - ops_of(&before), COUNT);
   assert_int_equal(after.ioctls - before.ioctls,
                    (COUNT + f->caps->max_ops - 1) / f->caps->max_ops);
   wait_idle(f);
   for (unsigned i = 0; i < COUNT; i += 997) {
      expect_page(f, range, 2 * i, f->bo[0], i % 64);
      expect_hole(f, range, 2 * i + 1);
   }
   free(binds);
   drop_range(f, range);
   wait_idle(f);
}

static void
test_nothing_is_bound_before_its_wait(void **state)
{
   struct fixture *f = *state;
   int fence;
   const uint32_t held = held_syncobj(f, &fence);
   struct vmb_range *range = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE);
   const struct vmb_bind first = bind(range, 0, 2, f->bo[0], 0), second = bind(range, 1, 2, f->bo[1], 0);
   uint32_t done;

   assert_int_equal(drmSyncobjCreate(vmb_device_fd(f->dev), 0, &done), 0);
   assert_int_equal(submit_binds(f->queue, &first, 1), 0);
   assert_int_equal(vmb_queue_wait(f->queue, 0, INT64_MAX), 0);

   const struct vmb_submit submit = {
      .waits = &(struct vmb_sync){ held, 0 },
      .wait_count = 1,
      .binds = &second,
      .bind_count = 1,
      .signals = &(struct vmb_sync){ done, 0 },
      .signal_count = 1,
   };
   assert_int_equal(vmb_queue_submit(f->queue, &submit, NULL), 0);
   assert_false(signals_soon(f, done, A_MOMENT));
   expect_page(f, range, 1, f->bo[0], 1);
   expect_hole(f, range, 2);
   expect_mirror_is_kernel(f);

   release(f, held, fence);
   assert_true(signals_soon(f, done, SOON));
   expect_page(f, range, 1, f->bo[1], 0);
   expect_page(f, range, 2, f->bo[1], 1);
   expect_mirror_is_kernel(f);
   drmSyncobjDestroy(vmb_device_fd(f->dev), done);
   drop_range(f, range);
}

static void
test_signal_only_submits(void **state)
{
   struct fixture *f = *state;
   int fence;
   const uint32_t held = held_syncobj(f, &fence);
   uint32_t done, timeline;
   uint64_t point = 0;

   assert_int_equal(drmSyncobjCreate(vmb_device_fd(f->dev), 0, &done), 0);
   assert_int_equal(drmSyncobjCreate(vmb_device_fd(f->dev), 0, &timeline), 0);
   const struct vmb_sync signals[] = { { done, 0 }, { timeline, 7 } };
   const struct vmb_submit submit = {
      .waits = &(struct vmb_sync){ held, 0 },
      .wait_count = 1,
      .signals = signals,
      .signal_count = 2,
   };
   assert_int_equal(vmb_queue_submit(f->queue, &submit, NULL), 0);
   assert_false(signals_soon(f, done, A_MOMENT));
   release(f, held, fence);
   assert_true(signals_soon(f, done, SOON));
   assert_true(sync_is_soon(f, timeline, 7, SOON));
   assert_int_equal(drmSyncobjQuery(vmb_device_fd(f->dev), &timeline, &point, 1), 0);
   assert_int_equal(point, 7);
   drmSyncobjDestroy(vmb_device_fd(f->dev), done);
   drmSyncobjDestroy(vmb_device_fd(f->dev), timeline);
}

static void
test_sync_only_submits_are_in_order(void **state)
{
   struct fixture *f = *state;
   int fence;
   const uint32_t held = held_syncobj(f, &fence);
   uint32_t timeline;

   assert_int_equal(drmSyncobjCreate(vmb_device_fd(f->dev), 0, &timeline), 0);
   for (unsigned i = 1; i <= 10; i++) {
      const struct vmb_submit submit = {
         .waits = &(struct vmb_sync){ held, 0 },
         .wait_count = i == 1,
         .signals = &(struct vmb_sync){ timeline, i },
         .signal_count = 1,
      };
      assert_int_equal(vmb_queue_submit(f->queue, &submit, NULL), 0);
   }
   assert_false(sync_is_soon(f, timeline, 10, A_MOMENT));
   assert_false(sync_is_soon(f, timeline, 1, 0));
   release(f, held, fence);
   assert_true(sync_is_soon(f, timeline, 10, SOON));
   assert_int_equal(vmb_queue_wait(f->queue, 0, INT64_MAX), 0);
   wait_idle(f);
   drmSyncobjDestroy(vmb_device_fd(f->dev), timeline);
}

/* Queue A holds X -> M behind a wait; queue B binds the same with no wait. It is no change, yet B
 * must not signal before X is bound. */
static void
test_pending_elsewhere_is_not_there_yet(void **state)
{
   struct fixture *f = *state;
   int fence;
   const uint32_t held = held_syncobj(f, &fence);
   struct vmb_range *range = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE);
   const struct vmb_bind x_to_m = bind(range, 3, 1, f->bo[0], 5);
   struct vmb_queue *other;
   uint32_t done;

   assert_int_equal(vmb_queue_create(f->vm, &other), 0);
   assert_int_equal(drmSyncobjCreate(vmb_device_fd(f->dev), 0, &done), 0);
   assert_int_equal(submit_held(f->queue, &x_to_m, held), 0);
   assert_int_equal(vmb_queue_submit(other,
                                     &(struct vmb_submit){
                                        .binds = &x_to_m,
                                        .bind_count = 1,
                                        .signals = &(struct vmb_sync){ done, 0 },
                                        .signal_count = 1,
                                     },
                                     NULL),
                    0);
   assert_false(signals_soon(f, done, A_MOMENT));
   expect_hole(f, range, 3);
   release(f, held, fence);
   assert_true(signals_soon(f, done, SOON));
   expect_page(f, range, 3, f->bo[0], 5);
   drmSyncobjDestroy(vmb_device_fd(f->dev), done);
   vmb_queue_destroy(other);
   drop_range(f, range);
}

/* Where the kernel does not order its queues, one that is held up does not hold up another, and
 * the completed state knows both. */
static void
test_queues_complete_out_of_order(void **state)
{
   struct fixture *f = *state;

   if (f->caps->fifo_per_vm)
      skip();
   int fence;
   const uint32_t held = held_syncobj(f, &fence);
   struct vmb_range *range = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE);
   const struct vmb_bind whole = bind(range, 0, 16, f->bo[0], 0);
   const struct vmb_bind slow = bind(range, 2, 2, f->bo[1], 0), fast = bind(range, 8, 2, NULL, 0);
   struct vmb_queue *other;

   assert_int_equal(vmb_queue_create(f->vm, &other), 0);
   assert_int_equal(vmb_vm_bind_sync(f->vm, &whole, 1), 0);
   assert_int_equal(submit_held(f->queue, &slow, held), 0);
   assert_int_equal(submit_binds(other, &fast, 1), 0);
   assert_int_equal(vmb_queue_wait(other, 0, INT64_MAX), 0);
   expect_page(f, range, 2, f->bo[0], 2);
   expect_hole(f, range, 8);
   expect_page(f, range, 10, f->bo[0], 10);
   expect_mirror_is_kernel(f);

   release(f, held, fence);
   wait_idle(f);
   expect_page(f, range, 2, f->bo[1], 0);
   expect_page(f, range, 7, f->bo[0], 7);
   vmb_queue_destroy(other);
   drop_range(f, range);
}

static void
test_a_wait_without_a_fence_is_refused(void **state)
{
   struct fixture *f = *state;
   struct vmb_range *range = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE);
   const struct vmb_bind b = bind(range, 0, 1, f->bo[0], 0);
   uint32_t empty;

   assert_int_equal(drmSyncobjCreate(vmb_device_fd(f->dev), 0, &empty), 0);
   const struct vmb_submit submit = {
      .waits = &(struct vmb_sync){ empty, 0 },
      .wait_count = 1,
      .binds = &b,
      .bind_count = 1,
   };
   assert_int_equal(vmb_queue_submit(f->queue, &submit, NULL), -EINVAL);
   assert_false(vmb_device_is_lost(f->dev));
   expect_hole(f, range, 0);
   assert_int_equal(submit_binds(f->queue, &b, 1), 0);
   wait_idle(f);
   expect_page(f, range, 0, f->bo[0], 0);
   drmSyncobjDestroy(vmb_device_fd(f->dev), empty);
   drop_range(f, range);
}

/* Also of a batch that is bound at once, and of one that binds nothing. */
static void
test_a_signal_that_is_none_is_refused(void **state)
{
   struct fixture *f = *state;
   struct vmb_range *range = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE);
   const struct vmb_bind b = bind(range, 0, 1, f->bo[0], 0);
   struct vmb_submit submit = {
      .binds = &b,
      .bind_count = 1,
      .signals = &(struct vmb_sync){ UINT32_MAX, 0 },
      .signal_count = 1,
   };

   /* Kernels say -ENOENT or -EINVAL. */
   int ret = vmb_queue_submit(f->queue, &submit, NULL);
   assert_true(ret == -ENOENT || ret == -EINVAL);
   submit.bind_count = 0;
   ret = vmb_queue_submit(f->queue, &submit, NULL);
   assert_true(ret == -ENOENT || ret == -EINVAL);
   assert_false(vmb_device_is_lost(f->dev));
   wait_idle(f);
   expect_hole(f, range, 0);
   assert_int_equal(submit_binds(f->queue, &b, 1), 0);
   wait_idle(f);
   expect_page(f, range, 0, f->bo[0], 0);
   drop_range(f, range);
}

/* With a thread to wait, a timeline's point may be submitted after the bind that waits for it; not so
 * where the kernel waits. */
static void
test_a_point_that_comes_later(void **state)
{
   struct fixture *f = *state;
   const int fd = vmb_device_fd(f->dev);
   struct vmb_range *range = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE);
   const struct vmb_bind b = bind(range, 0, 1, f->bo[0], 0);
   uint32_t timeline, done;
   uint64_t point = 3;

   assert_int_equal(drmSyncobjCreate(fd, 0, &timeline), 0);
   assert_int_equal(drmSyncobjCreate(fd, 0, &done), 0);
   const struct vmb_submit submit = {
      .waits = &(struct vmb_sync){ timeline, point },
      .wait_count = 1,
      .binds = &b,
      .bind_count = 1,
      .signals = &(struct vmb_sync){ done, 0 },
      .signal_count = 1,
   };
   const int ret = vmb_queue_submit(f->queue, &submit, NULL);
   if (f->caps->sync_mode == VMB_SYNC_KERNEL) {
      assert_int_equal(ret, -EINVAL);
   } else {
      assert_int_equal(ret, 0);
      assert_false(signals_soon(f, done, A_MOMENT));
      expect_hole(f, range, 0);
      assert_int_equal(drmSyncobjTimelineSignal(fd, &timeline, &point, 1), 0);
      /* The thread has handles of its own. */
      drmSyncobjDestroy(fd, timeline);
      assert_true(signals_soon(f, done, SOON));
      expect_page(f, range, 0, f->bo[0], 0);
      timeline = 0;
   }
   if (timeline)
      drmSyncobjDestroy(fd, timeline);
   drmSyncobjDestroy(fd, done);
   wait_idle(f);
   drop_range(f, range);
}

static void
test_invalid_binds_are_refused(void **state)
{
   struct fixture *f = *state;
   struct vmb_range *range = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE);
   const struct vmb_bind good = bind(range, 0, 1, f->bo[0], 0);
   struct vmb_bind bad[] = { good, good, good, good, good, good, good, good };

   f->quiet = true;
   bad[0].offset_B = 1;
   bad[1].size_B = 0;
   bad[2].size_B = 17 * PAGE_B;
   bad[3].offset_B = 16 * PAGE_B;
   bad[4].offset_B = UINT64_MAX - PAGE_B + 1;
   bad[5].bo_offset_B = 64 * PAGE_B;
   bad[6].bo_offset_B = 8;
   bad[7].flags = VMB_MAPPING_NULL;
   for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
      /* A good one before it is not bound either. */
      const struct vmb_bind both[] = { bind(range, 5, 1, f->bo[0], 5), bad[i] };
      assert_int_equal(submit_binds(f->queue, both, 2), -EINVAL);
   }
   wait_idle(f);
   expect_hole(f, range, 0);
   expect_hole(f, range, 5);
   drop_range(f, range);
}

static void
test_a_bound_bo_lives_on(void **state)
{
   struct fixture *f = *state;
   struct vmb_bo *bo = new_bo(f, 4 * PAGE_B);
   const uint32_t handle = vmb_bo_handle(bo);
   struct vmb_range *range = new_range(f, 4 * PAGE_B, VMB_UNBOUND_HOLE);
   struct vmb_vm_mapping *maps;
   size_t count;

   assert_int_equal(SUBMIT(f->queue, bind(range, 0, 4, bo, 0)), 0);
   vmb_bo_unref(bo);
   wait_idle(f);
   assert_int_equal(vmb_vm_get_mappings(f->vm, VMB_STATE_COMPLETED, vmb_range_addr_B(range),
                                        UINT64_MAX, &maps, &count),
                    0);
   assert_int_equal(count, 1);
   assert_int_equal(maps[0].bo_handle, handle);
   free(maps);

   /* Its handle is closed once the unbind has completed, and may then be used again. */
   drop_range(f, range);
   wait_idle(f);
   struct drm_gem_close close_again = { .handle = handle };
   assert_int_not_equal(drmIoctl(vmb_device_fd(f->dev), DRM_IOCTL_GEM_CLOSE, &close_again), 0);
}

static void
test_addresses_are_used_again_only_when_idle(void **state)
{
   struct fixture *f = *state;
   int fence;
   const uint32_t held = held_syncobj(f, &fence);
   struct vmb_range *range = new_range(f, 64 * PAGE_B, VMB_UNBOUND_HOLE);
   const uint64_t addr_B = vmb_range_addr_B(range);
   const struct vmb_bind b = bind(range, 0, 64, f->bo[0], 0);
   struct vmb_range *again;

   assert_int_equal(submit_held(f->queue, &b, held), 0);
   drop_range(f, range);
   const struct vmb_range_params fixed = { .size_B = 64 * PAGE_B, .fixed_addr_B = addr_B };
   assert_int_equal(vmb_range_create(f->vm, &fixed, &again), -EADDRINUSE);
   release(f, held, fence);
   wait_idle(f);
   assert_int_equal(vmb_range_create(f->vm, &fixed, &again), 0);
   expect_hole(f, again, 0);
   drop_range(f, again);
}

static void
test_ranges(void **state)
{
   struct fixture *f = *state;
   struct vmb_range *range, *second;

   assert_int_equal(vmb_range_create(f->vm, &(struct vmb_range_params){ 0 }, &range), -EINVAL);
   assert_int_equal(
      vmb_range_create(f->vm, &(struct vmb_range_params){ .size_B = UINT64_MAX }, &range), -EINVAL);
   assert_int_equal(vmb_range_create(f->vm,
                                     &(struct vmb_range_params){
                                        .size_B = f->caps->va_range_B }, &range),
                    -ENOSPC);
   assert_int_equal(vmb_range_create(f->vm,
                                     &(struct vmb_range_params){
                                        .size_B = 1, .align_B = 1ull << 30 }, &range),
                    0);
   assert_int_equal(vmb_range_addr_B(range) % (1ull << 30), 0);
   assert_int_equal(vmb_range_size_B(range), f->caps->page_size_B);
   assert_int_equal(vmb_range_create(f->vm,
                                     &(struct vmb_range_params){
                                        .size_B = 1, .fixed_addr_B = vmb_range_addr_B(range) },
                                     &second),
                    -EADDRINUSE);
   drop_range(f, range);
}

/* There is room for each kind of range also where all addresses are low. */
static void
test_a_window_of_low_addresses(void **state)
{
   struct fixture *f = *state;
   const uint64_t start_B = MAX2(f->caps->va_start_B, 1ull << 30), end_B = start_B + (1ull << 30);
   const struct vmb_vm_params params = { .window_start_B = start_B, .window_range_B = end_B - start_B };
   struct vmb_range *ranges[VMB_ZONE_REPLAY + 1];
   struct vmb_vm *vm;

   if (f->caps->kernel_addresses || f->caps->max_vms == 1 || end_B > 1ull << 32)
      skip();
   assert_int_equal(vmb_vm_create(f->dev, &params, &vm), 0);
   for (unsigned zone = 0; zone < ARRAY_SIZE(ranges); zone++) {
      assert_int_equal(
         vmb_range_create(vm, &(struct vmb_range_params){ .size_B = PAGE_B, .zone = zone }, &ranges[zone]),
         0);
      assert_in_range(vmb_range_addr_B(ranges[zone]), start_B, end_B - PAGE_B);
   }
   for (unsigned i = 0; i < ARRAY_SIZE(ranges); i++)
      vmb_range_destroy(ranges[i]);
   vmb_vm_destroy(vm);
}

static void
test_two_vms(void **state)
{
   struct fixture *f = *state;
   struct vmb_vm *vm;

   if (f->caps->max_vms == 1) {
      f->quiet = true;
      assert_int_equal(vmb_vm_create(f->dev, &(struct vmb_vm_params){ 0 }, &vm), -ENOSPC);
      return;
   }
   assert_int_equal(vmb_vm_create(f->dev, &(struct vmb_vm_params){ 0 }, &vm), 0);

   struct vmb_range *range;
   struct vmb_bo *shared;
   assert_int_equal(vmb_range_create(vm, &(struct vmb_range_params){ .size_B = PAGE_B }, &range), 0);
   assert_int_equal(
      vmb_bo_create(f->dev, &(struct vmb_bo_params){ .size_B = PAGE_B }, &shared), 0);
   /* Another VM's private BO, another VM's range. */
   f->quiet = true;
   const struct vmb_bind wrong = bind(range, 0, 1, f->bo[0], 0), right = bind(range, 0, 1, shared, 0);
   assert_int_equal(vmb_vm_bind_sync(vm, &wrong, 1), -EINVAL);
   assert_int_equal(vmb_vm_bind_sync(f->vm, &right, 1), -EINVAL);
   assert_int_equal(vmb_vm_bind_sync(vm, &right, 1), 0);
   wait_idle(f);
   drop_range(f, range);
   vmb_vm_destroy(vm);
   vmb_bo_unref(shared);
}

static void
test_shared_bos(void **state)
{
   struct fixture *f = *state;
   struct vmb_device *dev;
   struct vmb_bo *bo, *imported, *again;
   uint32_t *mine, *theirs;
   int dmabuf;

   assert_int_equal(vmb_bo_export(f->bo[0], &dmabuf), -EPERM);
   assert_int_equal(vmb_bo_create(f->dev, &(struct vmb_bo_params){ .size_B = PAGE_B }, &bo), 0);
   assert_int_equal(vmb_bo_export(bo, &dmabuf), 0);

   /* Into the same device: the same BO. */
   assert_int_equal(vmb_bo_import(f->dev, dmabuf, &imported), 0);
   assert_ptr_equal(imported, bo);
   vmb_bo_unref(imported);

   /* Into another one: the same memory. */
   const int fd = target_open();
   assert_int_equal(vmb_device_create(&(struct vmb_device_params){ .drm_fd = fd }, &dev), 0);
   close(fd);
   assert_int_equal(vmb_bo_import(dev, dmabuf, &imported), 0);
   assert_int_equal(vmb_bo_import(dev, dmabuf, &again), 0);
   assert_ptr_equal(imported, again);
   vmb_bo_unref(again);
   close(dmabuf);
   assert_int_equal(vmb_bo_size_B(imported), PAGE_B);
   assert_int_equal(vmb_bo_map(bo, (void **)&mine), 0);
   assert_int_equal(vmb_bo_map(imported, (void **)&theirs), 0);
   mine[100] = 0x600df00d;
   assert_int_equal(theirs[100], 0x600df00d);
   vmb_bo_unref(imported);
   vmb_device_destroy(dev);

   assert_int_equal(vmb_bo_import(f->dev, -1, &imported), -EBADF);
   vmb_bo_unref(bo);
}

static void
test_a_bo_at_an_address_of_the_callers(void **state)
{
   struct fixture *f = *state;
   struct vmb_bo *bo = new_bo(f, 2 * PAGE_B);
   uint32_t *all, *place;

   /* The GPU's pages may be larger than the process's. */
   void *reserved = mmap(NULL, 3 * PAGE_B, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
   assert_ptr_not_equal(reserved, MAP_FAILED);
   place = (uint32_t *)(((uintptr_t)reserved + PAGE_B - 1) & ~((uintptr_t)PAGE_B - 1));
   assert_int_equal(vmb_bo_map(bo, (void **)&all), 0);
   assert_int_equal(vmb_bo_map_at(bo, PAGE_B, place), 0);
   all[100] = 0x600df00d;
   assert_int_equal(place[100], 0x600df00d);

   assert_int_equal(vmb_bo_map_at(bo, PAGE_B, (char *)place + 8), -EINVAL);
   assert_int_equal(vmb_bo_map_at(bo, 100, place), -EINVAL);
   assert_int_equal(vmb_bo_map_at(bo, 0, place), -EINVAL);
   assert_int_equal(vmb_bo_map_at(bo, 1ull << 40, place), -EINVAL);

   /* Its pages live as long as they are mapped. */
   vmb_bo_unref(bo);
   assert_int_equal(place[100], 0x600df00d);
   munmap(reserved, 3 * PAGE_B);
}

static void
test_synchronous_bind_does_not_overtake(void **state)
{
   struct fixture *f = *state;
   int fence;
   const uint32_t held = held_syncobj(f, &fence);
   struct vmb_range *range = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE);
   const struct vmb_bind late = bind(range, 0, 4, f->bo[0], 0);

   assert_int_equal(submit_held(f->queue, &late, held), 0);
   /* Destroying the range unmaps it: if that overtook the bind, the bind would stay. */
   drop_range(f, range);
   release(f, held, fence);
   wait_idle(f);
   struct vmb_vm_mapping *maps;
   size_t count;
   assert_int_equal(
      vmb_vm_get_mappings(f->vm, VMB_STATE_COMPLETED, 0, UINT64_MAX, &maps, &count), 0);
   assert_int_equal(count, 0);
   free(maps);
}

static void
test_defragmenting(void **state)
{
   struct fixture *f = *state;
   struct vmb_range *range = new_range(f, 64 * PAGE_B, VMB_UNBOUND_HOLE);
   uint64_t saved;

   /* Page by page, in batches of their own: the kernel keeps a node for each. */
   for (unsigned i = 0; i < 32; i++)
      assert_int_equal(SUBMIT(f->queue, bind(range, i, 1, f->bo[i / 16], i)), 0);
   assert_int_equal(SUBMIT(f->queue, bind(range, 40, 1, f->bo[0], 0)), 0);
   assert_int_equal(vmb_range_defragment(range, &saved), 0);
   assert_int_equal(saved, 30);
   wait_idle(f);
   expect_page(f, range, 15, f->bo[0], 15);
   expect_page(f, range, 16, f->bo[1], 16);
   expect_hole(f, range, 32);
   expect_page(f, range, 40, f->bo[0], 0);

   struct vmb_vm_mapping *maps;
   size_t count;
   assert_int_equal(vmb_vm_get_mappings(f->vm, VMB_STATE_COMPLETED, vmb_range_addr_B(range),
                                        vmb_range_addr_B(range) + 64 * PAGE_B, &maps, &count),
                    0);
   assert_int_equal(count, 3);
   free(maps);
   assert_int_equal(vmb_range_defragment(range, &saved), 0);
   assert_int_equal(saved, 0);
   drop_range(f, range);
}

/* What is pending is taken back in a copy of the mirror, newest first, whatever its shape. */
static void
test_completed_state_of_many_unbinds(void **state)
{
   struct fixture *f = *state;
   enum { KEPT = 63, GONE = 200 };
   struct vmb_range *range = new_range(f, 2 * (KEPT + GONE) * PAGE_B, VMB_UNBOUND_HOLE);
   struct vmb_bind binds[KEPT + GONE];
   int fence;

   for (unsigned i = 0; i < KEPT + GONE; i++)
      binds[i] = bind(range, 2 * i, 1, f->bo[0], i % 64);
   assert_int_equal(submit_binds(f->queue, binds, KEPT + GONE), 0);
   wait_idle(f);

   const uint32_t held = held_syncobj(f, &fence);
   for (unsigned i = KEPT; i < KEPT + GONE; i++)
      binds[i].bo = NULL;
   const struct vmb_submit submit = {
      .waits = &(struct vmb_sync){ held, 0 },
      .wait_count = 1,
      .binds = binds + KEPT,
      .bind_count = GONE,
   };
   assert_int_equal(vmb_queue_submit(f->queue, &submit, NULL), 0);
   expect_page(f, range, 2 * (KEPT + GONE - 1), f->bo[0], (KEPT + GONE - 1) % 64);
   expect_mirror_is_kernel(f);
   release(f, held, fence);
   wait_idle(f);
   expect_hole(f, range, 2 * KEPT);
   drop_range(f, range);
}

/* -------------------------------------------------------------------- errors */

/* Of an array that failed asahi's kernel does not tell how far it came: the back-end finds out by
 * doing it again in halves, and an error that comes once is not seen outside. */
static bool
halves_by_itself(const struct fixture *f)
{
   return !strcmp(f->caps->driver, "asahi");
}

static void
test_no_memory_is_retried_in_halves(void **state)
{
   struct fixture *f = *state;
   struct vmb_range *range = new_range(f, 1024 * PAGE_B, VMB_UNBOUND_HOLE);
   struct vmb_bind binds[100];
   struct vmb_stats stats;

   for (unsigned i = 0; i < 100; i++)
      binds[i] = bind(range, 2 * i, 1, f->bo[0], i % 64);
   if (!target_fail_binds(1, 1, ENOMEM))
      skip();
   if (f->caps->max_ops == 1) {
      /* Nothing to halve. */
      assert_int_equal(submit_binds(f->queue, binds, 100), -ENOMEM);
      wait_idle(f);
      expect_hole(f, range, 0);
      assert_int_equal(submit_binds(f->queue, binds, 100), 0);
   } else {
      assert_int_equal(submit_binds(f->queue, binds, 100), 0);
      vmb_device_get_stats(f->dev, &stats);
      assert_int_equal(stats.retried, !halves_by_itself(f));
      assert_int_equal(stats.chunked, !halves_by_itself(f));
   }
   wait_idle(f);
   expect_page(f, range, 198, f->bo[0], 99 % 64);
   drop_range(f, range);
}

static void
test_no_memory_at_all_changes_nothing(void **state)
{
   struct fixture *f = *state;
   struct vmb_range *range = new_range(f, 1024 * PAGE_B, VMB_UNBOUND_HOLE);
   struct vmb_bind binds[100];

   assert_int_equal(SUBMIT(f->queue, bind(range, 0, 60, f->bo[1], 0)), 0);
   wait_idle(f);
   for (unsigned i = 0; i < 100; i++)
      binds[i] = bind(range, 2 * i, 1, f->bo[0], i % 64);
   if (!target_fail_binds(1, 100, ENOMEM))
      skip();
   assert_int_equal(submit_binds(f->queue, binds, 100), -ENOMEM);
   target_fail_nothing();
   assert_false(vmb_device_is_lost(f->dev));
   wait_idle(f);
   expect_page(f, range, 2, f->bo[1], 2);
   expect_hole(f, range, 60);
   assert_int_equal(submit_binds(f->queue, binds, 100), 0);
   wait_idle(f);
   drop_range(f, range);
}

static void
test_destroying_a_range_tries_again(void **state)
{
   struct fixture *f = *state;
   struct vmb_range *range = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE), *again;
   const uint64_t addr_B = vmb_range_addr_B(range);

   assert_int_equal(SUBMIT(f->queue, bind(range, 0, 16, f->bo[0], 0)), 0);
   wait_idle(f);
   f->quiet = true;
   if (!target_fail_binds(1, 1, ENOMEM))
      skip();
   drop_range(f, range);
   wait_idle(f);
   assert_int_equal(vmb_range_create(f->vm,
                                     &(struct vmb_range_params){
                                        .size_B = 16 * PAGE_B, .fixed_addr_B = addr_B },
                                     &again),
                    0);
   expect_hole(f, again, 0);
   vmb_range_destroy(again);
}

/* What a range could not unbind does not wait for the next VM, where a file has but one. */
static void
test_nothing_is_left_to_the_next_vm(void **state)
{
   struct fixture *f = *state;
   struct vmb_range *range = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE);
   struct vmb_vm_mapping *maps;
   size_t count;

   if (f->caps->max_vms != 1)
      skip();
   assert_int_equal(SUBMIT(f->queue, bind(range, 0, 16, f->bo[0], 0)), 0);
   wait_idle(f);
   f->quiet = true;
   if (!target_fail_binds(1, 1000, ENOMEM))
      skip();
   drop_range(f, range);
   target_fail_nothing();
   assert_int_equal(
      vmb_vm_get_mappings(f->vm, VMB_STATE_SUBMITTED, 0, UINT64_MAX, &maps, &count), 0);
   assert_int_equal(count, 1);
   free(maps);

   for (unsigned i = 0; i < 2; i++)
      vmb_bo_unref(f->bo[i]);
   vmb_queue_destroy(f->queue);
   vmb_vm_destroy(f->vm);
   assert_int_equal(vmb_vm_create(f->dev, &(struct vmb_vm_params){ 0 }, &f->vm), 0);
   assert_int_equal(vmb_queue_create(f->vm, &f->queue), 0);
   for (unsigned i = 0; i < 2; i++)
      f->bo[i] = new_bo(f, 64 * PAGE_B);
   expect_mirror_is_kernel(f);
}

/* The second chunk fails: the first one is taken back. */
static void
test_half_a_batch_is_rolled_back(void **state)
{
   struct fixture *f = *state;
   if (halves_by_itself(f))
      skip();
   const unsigned count = f->caps->max_ops + 10;
   struct vmb_range *range = new_range(f, 2 * count * PAGE_B, VMB_UNBOUND_HOLE);
   struct vmb_bind *binds = malloc(count * sizeof(*binds));
   struct vmb_stats stats;

   assert_int_equal(SUBMIT(f->queue, bind(range, 0, 7, f->bo[1], 3), bind(range, 9, 1, f->bo[1], 0)),
                    0);
   wait_idle(f);
   for (unsigned i = 0; i < count; i++)
      binds[i] = bind(range, 2 * i, 1, f->bo[0], i % 64);
   if (!target_fail_binds(2, 1, EIO))
      skip();
   assert_int_equal(submit_binds(f->queue, binds, count), -EIO);
   vmb_device_get_stats(f->dev, &stats);
   assert_int_equal(stats.rolled_back, 1);
   assert_false(vmb_device_is_lost(f->dev));
   wait_idle(f);
   expect_page(f, range, 0, f->bo[1], 3);
   expect_page(f, range, 6, f->bo[1], 9);
   expect_hole(f, range, 8);
   expect_page(f, range, 9, f->bo[1], 0);
   expect_hole(f, range, 20);
   free(binds);
   drop_range(f, range);
   wait_idle(f);
}

static unsigned
logged_ops(struct fixture *f)
{
   char *text;
   size_t size;
   unsigned lines = 0;

   FILE *file = open_memstream(&text, &size);
   vmb_device_dump_ops(f->dev, file, UINT64_MAX);
   fclose(file);
   for (size_t i = 0; i < size; i++)
      lines += text[i] == '\n';
   free(text);
   return lines;
}

static void
test_taking_back_is_logged(void **state)
{
   struct fixture *f = *state;
   if (halves_by_itself(f))
      skip();
   const unsigned count = f->caps->max_ops + 10;
   struct vmb_range *range = new_range(f, 2 * count * PAGE_B, VMB_UNBOUND_HOLE);
   struct vmb_bind *binds = malloc(count * sizeof(*binds));

   for (unsigned i = 0; i < count; i++)
      binds[i] = bind(range, 2 * i, 1, f->bo[0], i % 64);
   if (!target_fail_binds(2, 1, EIO))
      skip();
   assert_int_equal(submit_binds(f->queue, binds, count), -EIO);
   assert_int_equal(logged_ops(f), MIN2(2 * f->caps->max_ops, 4096));
   free(binds);
   drop_range(f, range);
}

/* The way back is barred as well: the device is lost, and nobody waits for ever. */
static void
test_no_way_back_is_device_lost(void **state)
{
   struct fixture *f = *state;
   const unsigned count = f->caps->max_ops + 10;
   struct vmb_range *range = new_range(f, 2 * count * PAGE_B, VMB_UNBOUND_HOLE);
   struct vmb_bind *binds = malloc(count * sizeof(*binds));
   uint32_t done;

   f->quiet = true;
   assert_int_equal(drmSyncobjCreate(vmb_device_fd(f->dev), 0, &done), 0);
   for (unsigned i = 0; i < count; i++)
      binds[i] = bind(range, 2 * i, 1, f->bo[0], i % 64);
   if (!target_fail_binds(2, 1000, EIO))
      skip();
   const struct vmb_submit submit = {
      .binds = binds,
      .bind_count = count,
      .signals = &(struct vmb_sync){ done, 0 },
      .signal_count = 1,
   };
   assert_int_equal(vmb_queue_submit(f->queue, &submit, NULL), -ENODEV);
   assert_true(vmb_device_is_lost(f->dev));
   assert_true(signals_soon(f, done, SOON));
   assert_int_equal(submit_binds(f->queue, binds, 1), -ENODEV);
   assert_int_equal(vmb_vm_wait_idle(f->vm, INT64_MAX), -ENODEV);
   target_fail_nothing();
   drmSyncobjDestroy(vmb_device_fd(f->dev), done);
   free(binds);
   drop_range(f, range);
}

/* Who comes after the device was lost must not wait for ever either. */
static void
test_a_lost_device_signals(void **state)
{
   struct fixture *f = *state;
   /* There the error is in the bind's own fence, which nobody reads. */
   if (!strcmp(f->caps->driver, "nouveau"))
      skip();
   struct vmb_range *range = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE);
   const struct vmb_bind b = bind(range, 0, 1, f->bo[0], 0);
   uint32_t done, timeline;
   uint64_t point = 0;

   bind_that_fails(f, &b);
   /* The driver may tell only on the next bind. */
   for (unsigned i = 0; i < 100 && vmb_vm_wait_idle(f->vm, INT64_MAX) == 0; i++)
      SUBMIT(f->queue, bind(range, i % 16, 1, f->bo[1], i % 64));
   assert_true(vmb_device_is_lost(f->dev));

   assert_int_equal(drmSyncobjCreate(vmb_device_fd(f->dev), 0, &done), 0);
   assert_int_equal(drmSyncobjCreate(vmb_device_fd(f->dev), 0, &timeline), 0);
   const struct vmb_sync signals[] = { { done, 0 }, { timeline, 7 } };
   const struct vmb_submit submit = {
      .binds = &b,
      .bind_count = 1,
      .signals = signals,
      .signal_count = 2,
   };
   assert_int_equal(vmb_queue_submit(f->queue, &submit, NULL), -ENODEV);
   assert_true(signals_soon(f, done, SOON));
   assert_int_equal(drmSyncobjQuery(vmb_device_fd(f->dev), &timeline, &point, 1), 0);
   assert_int_equal(point, 7);
   target_fail_nothing();
   drmSyncobjDestroy(vmb_device_fd(f->dev), done);
   drmSyncobjDestroy(vmb_device_fd(f->dev), timeline);
   drop_range(f, range);
}

/* Waiting for a bind that failed when it ran says so, if the driver can tell. */
static void
test_a_wait_tells_of_a_failed_bind(void **state)
{
   struct fixture *f = *state;
   struct vmb_range *range = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE);

   bind_that_fails(f, &(struct vmb_bind){ .range = range, .size_B = PAGE_B, .bo = f->bo[0] });
   const int ret = vmb_queue_wait(f->queue, 0, INT64_MAX);
   assert_int_equal(ret, vmb_vm_wait_idle(f->vm, INT64_MAX));
   assert_int_equal(ret == -ENODEV, vmb_device_is_lost(f->dev));
   target_fail_nothing();
   drop_range(f, range);
}

/* A queue's sync can be waited for by others also if it was never used. */
static void
test_the_sync_of_an_unused_queue(void **state)
{
   struct fixture *f = *state;
   struct vmb_range *range = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE);
   const struct vmb_bind b = bind(range, 0, 1, f->bo[0], 0);
   struct vmb_queue *other;

   assert_int_equal(vmb_queue_create(f->vm, &other), 0);
   struct vmb_sync waits[] = { vmb_queue_get_sync(other), { 0 } };
   assert_int_equal(vmb_vm_get_sync(f->vm, &waits[1]), 0);
   const struct vmb_submit submit = {
      .waits = waits,
      .wait_count = 2,
      .binds = &b,
      .bind_count = 1,
   };
   assert_int_equal(vmb_queue_submit(f->queue, &submit, NULL), 0);
   wait_idle(f);
   expect_page(f, range, 0, f->bo[0], 0);
   vmb_queue_destroy(other);
   drop_range(f, range);
}

/* A shortage of memory that is over costs ioctls for a while only, also if all batches are large. */
static void
test_chunks_grow_again(void **state)
{
   struct fixture *f = *state;
   enum { COUNT = 64 };
   struct vmb_range *range = new_range(f, 2 * COUNT * PAGE_B, VMB_UNBOUND_HOLE);
   struct vmb_bind binds[COUNT];
   struct vmb_stats before, after;

   for (unsigned i = 0; i < COUNT; i++)
      binds[i] = bind(range, 2 * i, 1, f->bo[0], i);
   if (!target_fail_binds(1, 100, ENOMEM))
      skip();
   assert_int_equal(submit_binds(f->queue, binds, COUNT), -ENOMEM);
   target_fail_nothing();
   for (unsigned round = 0; round < 10; round++) {
      vmb_device_get_stats(f->dev, &before);
      for (unsigned i = 0; i < COUNT; i++)
         binds[i].bo = f->bo[round & 1];
      assert_int_equal(submit_binds(f->queue, binds, COUNT), 0);
      vmb_device_get_stats(f->dev, &after);
   }
   assert_int_equal(after.ioctls - before.ioctls, DIV_ROUND_UP(COUNT, f->caps->max_ops));
   wait_idle(f);
   drop_range(f, range);
}

/* More waits and signals than some ioctls take; all of them count. */
static void
test_thousands_of_syncs(void **state)
{
   struct fixture *f = *state;
   enum { COUNT = 3000 };
   const int fd = vmb_device_fd(f->dev);
   struct vmb_range *range = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE);
   const struct vmb_bind b = bind(range, 0, 1, f->bo[0], 0);
   struct vmb_sync *waits = malloc(COUNT * sizeof(*waits));
   struct vmb_sync *signals = malloc(COUNT * sizeof(*signals));
   int fence;
   const uint32_t held = held_syncobj(f, &fence);

   for (unsigned i = 0; i < COUNT; i++) {
      waits[i] = signals[i] = (struct vmb_sync){ 0 };
      assert_int_equal(drmSyncobjCreate(fd, DRM_SYNCOBJ_CREATE_SIGNALED, &waits[i].syncobj), 0);
      assert_int_equal(drmSyncobjCreate(fd, 0, &signals[i].syncobj), 0);
      signals[i].point = i & 1;
   }
   struct vmb_submit submit = {
      .waits = waits,
      .wait_count = COUNT,
      .binds = &b,
      .bind_count = 1,
      .signals = signals,
      .signal_count = COUNT,
   };

   /* One that would go with a later ioctl than the bind is wrong: nothing is bound. */
   if (f->caps->max_syncs < COUNT) {
      const uint32_t right = signals[COUNT - 1].syncobj;

      signals[COUNT - 1].syncobj = UINT32_MAX;
      assert_int_equal(vmb_queue_submit(f->queue, &submit, NULL), -ENOENT);
      wait_idle(f);
      expect_hole(f, range, 0);
      signals[COUNT - 1].syncobj = right;
   }

   /* The one that is not signalled goes, on some drivers, with an ioctl before the bind's. */
   assert_int_equal(drmSyncobjImportSyncFile(fd, waits[700].syncobj, fence), 0);
   assert_int_equal(vmb_queue_submit(f->queue, &submit, NULL), 0);
   assert_false(signals_soon(f, signals[0].syncobj, A_MOMENT));
   assert_false(signals_soon(f, signals[COUNT - 2].syncobj, A_MOMENT));
   expect_hole(f, range, 0);
   release(f, held, fence);
   for (unsigned i = 0; i < COUNT; i++)
      assert_true(sync_is_soon(f, signals[i].syncobj, signals[i].point, SOON));
   expect_page(f, range, 0, f->bo[0], 0);
   for (unsigned i = 0; i < COUNT; i++) {
      drmSyncobjDestroy(fd, waits[i].syncobj);
      drmSyncobjDestroy(fd, signals[i].syncobj);
   }
   free(waits);
   free(signals);
   drop_range(f, range);
}

/* The bind is accepted, the signals behind it are not: nobody waits for ever. */
static void
test_signals_behind_a_bind_fail(void **state)
{
   struct fixture *f = *state;
   enum { COUNT = 3000 };
   const int fd = vmb_device_fd(f->dev);
   struct vmb_sync signals[COUNT];

   if (f->caps->max_syncs >= COUNT)
      skip();
   struct vmb_range *range = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE);
   const struct vmb_bind b = bind(range, 0, 1, f->bo[0], 0);
   for (unsigned i = 0; i < COUNT; i++) {
      signals[i] = (struct vmb_sync){ 0 };
      assert_int_equal(drmSyncobjCreate(fd, 0, &signals[i].syncobj), 0);
   }
   f->quiet = true;
   if (!target_fail_binds(2, 100, EIO))
      skip();
   const struct vmb_submit submit = {
      .binds = &b,
      .bind_count = 1,
      .signals = signals,
      .signal_count = COUNT,
   };
   assert_int_equal(vmb_queue_submit(f->queue, &submit, NULL), -ENODEV);
   assert_true(vmb_device_is_lost(f->dev));
   target_fail_nothing();
   for (unsigned i = 0; i < COUNT; i++) {
      assert_true(signals_soon(f, signals[i].syncobj, SOON));
      drmSyncobjDestroy(fd, signals[i].syncobj);
   }
   drop_range(f, range);
}

struct delayed {
   struct vmb_queue *queue;
   const struct vmb_submit *submit;
   int ret;
};

static int
submit_in_thread(void *data)
{
   struct delayed *d = data;

   d->ret = vmb_queue_submit(d->queue, d->submit, NULL);
   return 0;
}

/* A batch depends on one of another queue, which completes, and is gone, while the batch is on its
 * way to the kernel. */
static void
test_a_dependency_goes_away(void **state)
{
   struct fixture *f = *state;
   int fence;
   const uint32_t held = held_syncobj(f, &fence);
   struct vmb_range *range = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE);
   const struct vmb_bind first = bind(range, 0, 2, f->bo[0], 0);
   const struct vmb_bind second = bind(range, 1, 2, f->bo[1], 0);
   struct vmb_queue *other;
   thrd_t thread;

   assert_int_equal(vmb_queue_create(f->vm, &other), 0);
   const struct vmb_submit waits = {
      .waits = &(struct vmb_sync){ held, 0 },
      .wait_count = 1,
      .binds = &first,
      .bind_count = 1,
   };
   assert_int_equal(vmb_queue_submit(other, &waits, NULL), 0);
   vmb_queue_destroy(other);

   const struct vmb_submit depends = { .binds = &second, .bind_count = 1 };
   struct delayed d = { .queue = f->queue, .submit = &depends };
   const bool delayed = target_delay_ioctls(400000);
   assert_int_equal(thrd_create(&thread, submit_in_thread, &d), thrd_success);
   thrd_sleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
   if (delayed)
      target_fail_nothing();
   release(f, held, fence);
   vmb_vm_retire(f->vm);
   thrd_join(thread, NULL);
   assert_int_equal(d.ret, 0);
   wait_idle(f);
   expect_page(f, range, 0, f->bo[0], 0);
   expect_page(f, range, 1, f->bo[1], 0);
   drop_range(f, range);
}

/* Where null takes many operations: those that were accepted, and taken back, are pending still. */
static void
test_half_a_null_range_is_pending(void **state)
{
   struct fixture *f = *state;

   if (!f->caps->null_granule_B || f->caps->sync_mode == VMB_SYNC_THREAD)
      skip();
   int fence;
   const uint32_t held = held_syncobj(f, &fence);
   const uint64_t size_B = (f->caps->max_ops + 10ull) * f->caps->null_granule_B;
   struct vmb_range *range = new_range(f, size_B, VMB_UNBOUND_HOLE), *again;
   const struct vmb_range_params fixed = {
      .size_B = size_B,
      .unbound = VMB_UNBOUND_NULL,
      .fixed_addr_B = vmb_range_addr_B(range),
   };

   drop_range(f, range);
   wait_idle(f);
   const struct vmb_submit submit = { .waits = &(struct vmb_sync){ held, 0 }, .wait_count = 1 };
   assert_int_equal(vmb_queue_submit(f->queue, &submit, NULL), 0);
   if (!target_fail_binds(2, 1, EIO))
      skip();
   assert_int_equal(vmb_range_create(f->vm, &fixed, &again), -EIO);
   target_fail_nothing();
   const int ret = vmb_range_create(f->vm, &fixed, &again);
   release(f, held, fence);
   wait_idle(f);
   if (!ret)
      vmb_range_destroy(again);
   assert_int_equal(ret, -EADDRINUSE);
   assert_int_equal(vmb_range_create(f->vm, &fixed, &again), 0);
   vmb_range_destroy(again);
   wait_idle(f);
}

/* ----------------------------------------------------- memory of the process */

static void
test_memory_of_the_process(void **state)
{
   struct fixture *f = *state;
   void *memory = mmap(NULL, 16 * PAGE_B, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
   const struct vmb_bo_params params = {
      .size_B = 16 * PAGE_B,
      .vm = f->vm,
      .name = "mine",
      .user_ptr = memory,
   };
   struct vmb_bo_params odd = params;
   struct vmb_bo *bo;
   struct vmb_stats before, after;
   struct vmb_who who;
   void *map;
   int fd;

   assert_ptr_not_equal(memory, MAP_FAILED);
   memset(memory, 0x5a, 16 * PAGE_B);
   f->quiet = true;
   if (!f->caps->userptr) {
      assert_int_equal(vmb_bo_create(f->dev, &params, &bo), -EOPNOTSUPP);
      munmap(memory, 16 * PAGE_B);
      return;
   }
   odd.user_ptr = (char *)memory + 8;
   assert_int_equal(vmb_bo_create(f->dev, &odd, &bo), -EINVAL);
   assert_int_equal(vmb_bo_create(f->dev, &params, &bo), 0);
   assert_int_equal(vmb_bo_map(bo, &map), 0);
   assert_ptr_equal(map, memory);
   assert_int_equal(vmb_bo_handle(bo), 0);
   assert_int_equal(vmb_bo_export(bo, &fd), -EPERM);
   assert_int_equal(vmb_bo_invalidate(f->bo[0]), -EINVAL);

   struct vmb_range *range = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE);
   const uint64_t addr_B = vmb_range_addr_B(range);
   assert_int_equal(SUBMIT(f->queue, bind(range, 1, 4, bo, 8), bind(range, 9, 1, f->bo[0], 0),
                           bind(range, 10, 2, bo, 0)),
                    0);
   wait_idle(f);
   if (target_has_memory()) {
      unsigned char seen = 0;

      ((unsigned char *)memory)[10 * PAGE_B + 3] = 0x77;
      assert_true(target_read(vmb_device_fd(f->dev), vmb_vm_kernel_id(f->vm),
                              addr_B + 3 * PAGE_B + 3, &seen, 1));
      assert_int_equal(seen, 0x77);
   }
   vmb_vm_who_is(f->vm, addr_B + 2 * PAGE_B, &who);
   assert_true(who.mapped && (who.mapping.flags & VMB_MAPPING_USERPTR));
   assert_string_equal(who.bo_name, "mine");

   /* Binding the same again is nothing; after the pages have changed it is. */
   vmb_device_get_stats(f->dev, &before);
   assert_int_equal(SUBMIT(f->queue, bind(range, 1, 4, bo, 8)), 0);
   assert_int_equal(vmb_vm_validate(f->vm), 0);
   vmb_device_get_stats(f->dev, &after);
   assert_int_equal(ops_of(&after), ops_of(&before));
   assert_int_equal(vmb_bo_invalidate(bo), 0);
   vmb_vm_who_is(f->vm, addr_B + 2 * PAGE_B, &who);
   assert_true(who.mapping.flags & VMB_MAPPING_INVALIDATED);
   assert_int_equal(vmb_vm_validate(f->vm), 0);
   vmb_device_get_stats(f->dev, &after);
   assert_int_equal(ops_of(&after), ops_of(&before) + 2);
   vmb_vm_who_is(f->vm, addr_B + 2 * PAGE_B, &who);
   assert_false(who.mapping.flags & VMB_MAPPING_INVALIDATED);
   assert_int_equal(vmb_vm_validate(f->vm), 0);
   before = after;
   vmb_device_get_stats(f->dev, &after);
   assert_int_equal(after.ioctls, before.ioctls);
   wait_idle(f);

   /* Bound while it is evicted already, and then the pages change once more. */
   assert_int_equal(vmb_bo_invalidate(bo), 0);
   assert_int_equal(SUBMIT(f->queue, bind(range, 13, 2, bo, 4)), 0);
   assert_int_equal(vmb_bo_invalidate(bo), 0);
   vmb_device_get_stats(f->dev, &before);
   assert_int_equal(vmb_vm_validate(f->vm), 0);
   vmb_device_get_stats(f->dev, &after);
   assert_int_equal(ops_of(&after), ops_of(&before) + 3);
   vmb_vm_who_is(f->vm, addr_B + 13 * PAGE_B, &who);
   assert_false(who.mapping.flags & VMB_MAPPING_INVALIDATED);
   wait_idle(f);

   vmb_bo_unref(bo);
   drop_range(f, range);
   wait_idle(f);
   munmap(memory, 16 * PAGE_B);
}

/* ------------------------------------------------------------ implicit sync */

static int
count_bo(struct vmb_bo *bo, void *data)
{
   unsigned *count = data;

   assert_string_equal(vmb_bo_name(bo), "shared");
   ++*count;
   return 0;
}

static int
stop_at_once(struct vmb_bo *bo, void *data)
{
   (void)bo;
   (void)data;
   return 42;
}

/* Two devices share a BO: what one does with it the other waits for, and only if it is bound. */
static void
test_implicit_sync(void **state)
{
   struct fixture *f = *state;
   const int fd = vmb_device_fd(f->dev);
   const struct vmb_bo_params params = { .size_B = PAGE_B, .name = "shared" };
   struct vmb_bo *shared, *alone, *imported;
   unsigned count = 0;
   uint32_t theirs, mine;
   int dmabuf, fence;

   assert_int_equal(vmb_bo_create(f->dev, &params, &shared), 0);
   assert_int_equal(vmb_bo_create(f->dev, &params, &alone), 0);
   struct vmb_range *range = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE);
   assert_int_equal(SUBMIT(f->queue, bind(range, 0, 1, f->bo[0], 0)), 0);
   wait_idle(f);
   assert_int_equal(vmb_vm_for_each_extobj(f->vm, count_bo, &count), 0);
   assert_int_equal(count, 0);

   /* The other device: another open file. */
   struct vmb_device *dev;
   const int other_fd = target_open();
   assert_int_equal(vmb_device_create(&(struct vmb_device_params){ .drm_fd = other_fd }, &dev), 0);
   close(other_fd);
   assert_int_equal(vmb_bo_export(shared, &dmabuf), 0);
   assert_int_equal(vmb_bo_import(dev, dmabuf, &imported), 0);
   close(dmabuf);

   const uint32_t held = held_syncobj(f, &fence);
   assert_int_equal(vmb_bo_import_sync_file(imported, true, fence), 0);
   assert_int_equal(drmSyncobjCreate(fd, 0, &mine), 0);
   assert_int_equal(vmb_vm_get_implicit_sync(f->vm, mine), 0);
   assert_true(signals_soon(f, mine, 0));

   assert_int_equal(SUBMIT(f->queue, bind(range, 1, 1, shared, 0), bind(range, 3, 1, alone, 0)), 0);
   assert_int_equal(vmb_queue_wait(f->queue, 0, INT64_MAX), 0);
   assert_int_equal(vmb_vm_for_each_extobj(f->vm, count_bo, &count), 0);
   assert_int_equal(count, 2);
   assert_int_equal(vmb_vm_for_each_extobj(f->vm, stop_at_once, NULL), 42);
   assert_int_equal(vmb_vm_get_implicit_sync(f->vm, mine), 0);
   assert_false(signals_soon(f, mine, A_MOMENT));
   release(f, held, fence);
   assert_true(signals_soon(f, mine, SOON));

   /* And the other way: what the VM does, others wait for. */
   const uint32_t busy = held_syncobj(f, &fence);
   assert_int_equal(vmb_vm_add_implicit_sync(f->vm, busy), 0);
   int sync_file;
   assert_int_equal(vmb_bo_export_sync_file(imported, false, &sync_file), 0);
   assert_int_equal(drmSyncobjCreate(vmb_device_fd(dev), 0, &theirs), 0);
   assert_int_equal(drmSyncobjImportSyncFile(vmb_device_fd(dev), theirs, sync_file), 0);
   close(sync_file);
   assert_int_not_equal(drmSyncobjWait(vmb_device_fd(dev), &theirs, 1, 0, 0, NULL), 0);
   release(f, busy, fence);
   assert_int_equal(drmSyncobjWait(vmb_device_fd(dev), &theirs, 1, INT64_MAX, 0, NULL), 0);

   drmSyncobjDestroy(vmb_device_fd(dev), theirs);
   drmSyncobjDestroy(fd, mine);
   vmb_bo_unref(imported);
   vmb_device_destroy(dev);
   vmb_bo_unref(shared);
   vmb_bo_unref(alone);
   drop_range(f, range);
   wait_idle(f);
   count = 0;
   assert_int_equal(vmb_vm_for_each_extobj(f->vm, count_bo, &count), 0);
   assert_int_equal(count, 0);
}

/* ------------------------------------------------ addresses of the kernel's */

static void
test_addresses_of_the_kernel(void **state)
{
   struct fixture *f = *state;
   struct vmb_bo *shared;
   uint64_t addr_B[2], again_B, shared_B;
   struct vmb_range *range;
   struct vmb_vm_mapping *maps;
   struct vmb_who who;
   size_t count;

   if (!f->caps->kernel_addresses) {
      assert_int_equal(vmb_vm_get_bo_addr(f->vm, f->bo[0], &again_B), -ENOTSUP);
      return;
   }
   assert_int_equal(vmb_range_create(f->vm, &(struct vmb_range_params){ .size_B = PAGE_B }, &range),
                    -ENOTSUP);
   assert_int_equal(f->caps->null_mode, VMB_NULL_NONE);

   for (unsigned i = 0; i < 2; i++) {
      assert_int_equal(vmb_vm_get_bo_addr(f->vm, f->bo[i], &addr_B[i]), 0);
      assert_int_equal(vmb_vm_get_bo_addr(f->vm, f->bo[i], &again_B), 0);
      assert_int_equal(addr_B[i], again_B);
      assert_true(addr_B[i] >= f->caps->va_start_B);
   }
   assert_true(addr_B[0] + 64 * PAGE_B <= addr_B[1] || addr_B[1] + 64 * PAGE_B <= addr_B[0]);
   assert_int_equal(
      vmb_bo_create(f->dev, &(struct vmb_bo_params){ .size_B = PAGE_B }, &shared), 0);
   assert_int_equal(vmb_vm_get_bo_addr(f->vm, shared, &shared_B), 0);
   expect_mirror_is_kernel(f);

   vmb_vm_who_is(f->vm, addr_B[1] + 5 * PAGE_B, &who);
   assert_true(who.mapped && !who.in_range && !who.pending);
   assert_string_equal(who.bo_name, "test");
   assert_int_equal(who.mapping.bo_handle, vmb_bo_handle(f->bo[1]));

   /* The address keeps no BO: it goes with it. */
   vmb_bo_unref(shared);
   vmb_vm_who_is(f->vm, shared_B, &who);
   assert_false(who.mapped);
   assert_int_equal(
      vmb_vm_get_mappings(f->vm, VMB_STATE_SUBMITTED, 0, UINT64_MAX, &maps, &count), 0);
   assert_int_equal(count, 2);
   free(maps);
   assert_int_equal(vmb_vm_validate(f->vm), 0);
   wait_idle(f);
}

/* Also with a cache: nobody gets a BO that has an address already. */
static void
test_addresses_go_with_the_bo(void **state)
{
   struct fixture *f = *state;
   struct vmb_stats stats;

   for (unsigned i = 0; i < 3; i++) {
      struct vmb_bo *bo = new_bo(f, PAGE_B);
      uint64_t addr_B;
      struct vmb_who who;

      assert_int_equal(vmb_vm_get_bo_addr(f->vm, bo, &addr_B), 0);
      vmb_bo_unref(bo);
      vmb_vm_who_is(f->vm, addr_B, &who);
      assert_false(who.mapped);
   }
   vmb_device_get_stats(f->dev, &stats);
   assert_int_equal(stats.bos_reused, 0);
}

/* --------------------------------------------------------------- BO cache */

static bool
handle_is_open(const struct fixture *f, uint32_t handle)
{
   int fd;

   if (drmPrimeHandleToFD(vmb_device_fd(f->dev), handle, DRM_CLOEXEC, &fd) == 0) {
      close(fd);
      return true;
   }
   /* A private BO is there as well, though not for others. */
   return errno != ENOENT;
}

static struct vmb_bo *
new_bo_of(struct fixture *f, uint64_t size_B, struct vmb_vm *vm, bool cached)
{
   struct vmb_bo *bo;

   assert_int_equal(vmb_bo_create(f->dev,
                                  &(struct vmb_bo_params){
                                     .size_B = size_B, .vm = vm, .cached = cached },
                                  &bo),
                    0);
   return bo;
}

static void
test_a_freed_bo_is_used_again(void **state)
{
   struct fixture *f = *state;
   struct vmb_bo *bo = new_bo_of(f, 10 * PAGE_B, f->vm, true), *other;
   const uint32_t handle = vmb_bo_handle(bo), id = vmb_bo_id(bo);
   struct vmb_range *range = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE);
   struct vmb_stats stats;
   uint32_t *map, *again;

   assert_int_equal(vmb_bo_map(bo, (void **)&map), 0);
   map[0] = 42;
   assert_int_equal(SUBMIT(f->queue, bind(range, 0, 10, bo, 0)), 0);
   vmb_bo_unref(bo);
   wait_idle(f);
   /* Bound: not idle. */
   other = new_bo_of(f, 10 * PAGE_B, f->vm, true);
   assert_int_not_equal(vmb_bo_handle(other), handle);
   vmb_bo_unref(other);
   drop_range(f, range);
   wait_idle(f);

   /* Of another kind. */
   struct vmb_bo *wrong[] = {
      new_bo_of(f, 12 * PAGE_B, f->vm, true),
      new_bo_of(f, 10 * PAGE_B, NULL, true),
      new_bo_of(f, 10 * PAGE_B, f->vm, false),
   };
   for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
      assert_int_not_equal(vmb_bo_handle(wrong[i]), handle);
      vmb_bo_unref(wrong[i]);
   }

   /* The one that was freed last comes first. */
   bo = new_bo_of(f, 10 * PAGE_B - 5, f->vm, true);
   assert_int_equal(vmb_bo_handle(bo), handle);
   assert_int_not_equal(vmb_bo_id(bo), id);
   assert_int_equal(vmb_bo_size_B(bo), 10 * PAGE_B);
   assert_string_equal(vmb_bo_name(bo), "");
   assert_int_equal(vmb_bo_map(bo, (void **)&again), 0);
   assert_ptr_equal(map, again);
   assert_int_equal(again[0], 42);
   vmb_device_get_stats(f->dev, &stats);
   assert_int_equal(stats.bos_reused, 1);

   range = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE);
   assert_int_equal(SUBMIT(f->queue, bind(range, 0, 10, bo, 0)), 0);
   wait_idle(f);
   expect_page(f, range, 9, bo, 9);
   drop_range(f, range);
   vmb_bo_unref(bo);
   wait_idle(f);
}

/* Leaves so much to BOs beside those that the fixture has, less what a driver and a back-end have
 * made for themselves: up to 4 MiB. */
static bool
limit_memory(const struct fixture *f, uint64_t size_B)
{
   return target_limit_memory(ARRAY_SIZE(f->bo) * 64 * PAGE_B + size_B);
}

/* What others may have is not given to somebody else. */
static void
test_a_shared_bo_is_not_kept(void **state)
{
   struct fixture *f = *state;
   struct vmb_bo *bo = new_bo_of(f, PAGE_B, NULL, true);
   const uint32_t handle = vmb_bo_handle(bo);
   int dmabuf;

   assert_int_equal(vmb_bo_export(bo, &dmabuf), 0);
   vmb_bo_unref(bo);
   close(dmabuf);
   assert_false(handle_is_open(f, handle));

   bo = new_bo_of(f, PAGE_B, NULL, true);
   vmb_bo_unref(bo);
   assert_true(handle_is_open(f, vmb_bo_handle(bo)));
}

/* The same if an fd was made of its handle, and that is seen when it comes back. */
static void
test_an_imported_bo_is_not_kept(void **state)
{
   struct fixture *f = *state;
   struct vmb_bo *imported, *bo = new_bo_of(f, PAGE_B, NULL, true);
   const uint32_t handle = vmb_bo_handle(bo);
   int dmabuf;

   assert_int_equal(drmPrimeHandleToFD(f->fd, handle, DRM_CLOEXEC | DRM_RDWR, &dmabuf), 0);
   assert_int_equal(vmb_bo_import(f->dev, dmabuf, &imported), 0);
   assert_ptr_equal(imported, bo);
   vmb_bo_unref(imported);
   vmb_bo_unref(bo);
   close(dmabuf);
   assert_false(handle_is_open(f, handle));
}

/* Nor what is mapped still where the caller wanted it. */
static void
test_a_bo_at_an_address_is_not_kept(void **state)
{
   struct fixture *f = *state;
   struct vmb_bo *bo = new_bo_of(f, PAGE_B, f->vm, true);
   const uint32_t handle = vmb_bo_handle(bo);
   uint32_t *place, *map;

   /* The GPU's pages may be larger than the process's. */
   void *reserved = mmap(NULL, 2 * PAGE_B, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
   assert_ptr_not_equal(reserved, MAP_FAILED);
   place = (uint32_t *)(((uintptr_t)reserved + PAGE_B - 1) & ~((uintptr_t)PAGE_B - 1));
   assert_int_equal(vmb_bo_map_at(bo, PAGE_B, place), 0);
   place[0] = 42;
   vmb_bo_unref(bo);
   assert_false(handle_is_open(f, handle));
   bo = new_bo_of(f, PAGE_B, f->vm, true);
   assert_int_equal(vmb_bo_map(bo, (void **)&map), 0);
   map[0] = 43;
   assert_int_equal(place[0], 42);
   vmb_bo_unref(bo);
   munmap(reserved, 2 * PAGE_B);
}

static void
test_the_cache_is_bounded(void **state)
{
   struct fixture *f = *state;
   enum { COUNT = 12 };
   struct vmb_bo *bos[COUNT];
   uint32_t handles[COUNT];
   unsigned open = 0;

   for (unsigned i = 0; i < COUNT; i++) {
      bos[i] = new_bo_of(f, 8 << 20, f->vm, true);
      handles[i] = vmb_bo_handle(bos[i]);
   }
   for (unsigned i = 0; i < COUNT; i++)
      vmb_bo_unref(bos[i]);
   for (unsigned i = 0; i < COUNT; i++)
      open += handle_is_open(f, handles[i]);
   /* It may have taken so long that they have become too old. */
   assert_true(open <= CACHE_B / (8 << 20));
   assert_false(handle_is_open(f, handles[0]));

   /* One that is too large is not kept. */
   struct vmb_bo *large = new_bo_of(f, CACHE_B, f->vm, true);
   handles[0] = vmb_bo_handle(large);
   vmb_bo_unref(large);
   assert_false(handle_is_open(f, handles[0]));
}

/* BOs of a VM go with it, also those that are freed later. */
static void
test_the_cache_goes_with_the_vm(void **state)
{
   struct fixture *f = *state;
   struct vmb_vm *vm;

   if (f->caps->max_vms == 1)
      skip();
   assert_int_equal(vmb_vm_create(f->dev, &(struct vmb_vm_params){ 0 }, &vm), 0);
   struct vmb_bo *early = new_bo_of(f, PAGE_B, vm, true), *late = new_bo_of(f, PAGE_B, vm, true);
   const uint32_t handles[] = { vmb_bo_handle(early), vmb_bo_handle(late) };

   vmb_bo_unref(early);
   assert_true(handle_is_open(f, handles[0]));
   vmb_vm_destroy(vm);
   assert_false(handle_is_open(f, handles[0]));
   vmb_bo_unref(late);
   assert_false(handle_is_open(f, handles[1]));
}

/* Before an allocation fails, the cache is emptied: whether the kernel takes the pages by itself or not. */
static void
test_the_cache_is_emptied_for_memory(void **state)
{
   struct fixture *f = *state;
   struct vmb_bo *bo = new_bo_of(f, 16 << 20, f->vm, true);

   const bool limited = limit_memory(f, 24 << 20);

   vmb_bo_unref(bo);
   if (!limited)
      skip();
   bo = new_bo_of(f, 20 << 20, f->vm, true);
   target_fail_nothing();
   vmb_bo_unref(bo);
}

static void
test_a_purged_bo_of_the_cache(void **state)
{
   struct fixture *f = *state;

   if (!f->caps->purgeable)
      skip();
   struct vmb_bo *bo = new_bo_of(f, 16 << 20, f->vm, true), *other;
   struct vmb_stats stats;

   if (!limit_memory(f, 24 << 20))
      skip();
   vmb_bo_unref(bo);
   /* The kernel needs its pages. */
   other = new_bo_of(f, 20 << 20, f->vm, false);
   vmb_bo_unref(other);
   target_fail_nothing();
   bo = new_bo_of(f, 16 << 20, f->vm, true);
   vmb_device_get_stats(f->dev, &stats);
   assert_int_equal(stats.bos_reused, 0);

   struct vmb_range *range = new_range(f, 16 << 20, VMB_UNBOUND_HOLE);
   assert_int_equal(SUBMIT(f->queue, bind(range, 0, 1, bo, 0)), 0);
   wait_idle(f);
   expect_page(f, range, 0, bo, 0);
   drop_range(f, range);
   vmb_bo_unref(bo);
}

/* A bound BO whose pages the kernel took: what is bound of it is unbound before it is used. */
static void
test_a_purged_bo_is_evicted(void **state)
{
   struct fixture *f = *state;
   struct vmb_bo *bo = new_bo(f, 16 << 20), *other;
   bool retained;

   if (!f->caps->purgeable) {
      assert_int_equal(vmb_bo_set_purgeable(bo, true, &retained), -EOPNOTSUPP);
      vmb_bo_unref(bo);
      return;
   }
   const bool null = f->caps->null_mode != VMB_NULL_NONE;
   struct vmb_range *holes = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE);
   struct vmb_range *nulls = null ? new_range(f, 16 * PAGE_B, VMB_UNBOUND_NULL) : holes;
   struct vmb_stats before, after;

   f->quiet = true;
   assert_int_equal(SUBMIT(f->queue, bind(holes, 0, 2, bo, 0), bind(holes, 3, 1, f->bo[0], 0),
                           bind(nulls, 5, 2, bo, 7)),
                    0);
   wait_idle(f);
   assert_int_equal(vmb_vm_validate(f->vm), 0);

   assert_int_equal(vmb_bo_set_purgeable(bo, true, &retained), 0);
   assert_true(retained);
   assert_int_equal(SUBMIT(f->queue, bind(holes, 9, 1, bo, 0)), -EINVAL);
   assert_int_equal(vmb_bo_set_purgeable(bo, false, &retained), 0);
   assert_true(retained);
   assert_int_equal(SUBMIT(f->queue, bind(holes, 9, 1, bo, 0)), 0);
   assert_int_equal(vmb_bo_set_purgeable(bo, true, &retained), 0);
   wait_idle(f);

   if (!limit_memory(f, 24 << 20))
      skip();
   other = new_bo_of(f, 20 << 20, f->vm, true);
   target_fail_nothing();
   assert_int_equal(vmb_bo_set_purgeable(bo, false, &retained), 0);
   assert_false(retained);
   assert_int_equal(SUBMIT(f->queue, bind(holes, 10, 1, bo, 0)), -EINVAL);
   vmb_device_get_stats(f->dev, &before);
   assert_int_equal(vmb_vm_validate(f->vm), 0);
   vmb_device_get_stats(f->dev, &after);
   assert_int_equal(ops_of(&after) - ops_of(&before), 3);
   wait_idle(f);
   expect_hole(f, holes, 0);
   expect_hole(f, holes, 9);
   expect_page(f, holes, 3, f->bo[0], 0);
   if (null)
      expect_page(f, nulls, 5, NULL, 0);
   assert_int_equal(vmb_vm_validate(f->vm), 0);
   before = after;
   vmb_device_get_stats(f->dev, &after);
   assert_int_equal(after.ioctls, before.ioctls);

   vmb_bo_unref(other);
   vmb_bo_unref(bo);
   if (null)
      drop_range(f, nulls);
   drop_range(f, holes);
}

/* -------------------------------------------------------------------- random */

#define RANDOM_PAGES 512

static struct vmb_bind
random_bind(struct rng *rng, struct fixture *f, struct vmb_range *range)
{
   const uint64_t page = rng_below(rng, RANDOM_PAGES);
   const uint64_t wish = 1 + rng_below(rng, rng_one_in(rng, 8) ? 60 : 4);
   const uint64_t pages = MIN2(wish, RANDOM_PAGES - page);
   struct vmb_bo *bo = rng_one_in(rng, 4) ? NULL : f->bo[rng_below(rng, 2)];
   const uint64_t bo_page = rng_one_in(rng, 2) ? page % 64 : rng_below(rng, 64);

   return bind(range, page, MIN2(pages, 64 - bo_page), bo, bo_page);
}

static void
test_random_batches(void **state)
{
   struct fixture *f = *state;
   const uint64_t seed = prop_seed() | 1;
   struct rng rng = { seed };
   const bool null = f->caps->null_mode != VMB_NULL_NONE;
   struct vmb_range *ranges[2] = {
      new_range(f, RANDOM_PAGES * PAGE_B, VMB_UNBOUND_HOLE),
      new_range(f, RANDOM_PAGES * PAGE_B, null ? VMB_UNBOUND_NULL : VMB_UNBOUND_HOLE),
   };
   struct vmb_queue *queues[3] = { f->queue };

   print_message("seed %llu\n", (unsigned long long)seed);
   for (unsigned i = 1; i < 3; i++)
      assert_int_equal(vmb_queue_create(f->vm, &queues[i]), 0);
   for (unsigned round = 0; round < 400; round++) {
      struct vmb_bind binds[64];
      const uint32_t count = 1 + rng_below(&rng, ARRAY_SIZE(binds));

      for (uint32_t i = 0; i < count; i++)
         binds[i] = random_bind(&rng, f, ranges[rng_below(&rng, 2)]);
      if (rng_one_in(&rng, 4))
         assert_int_equal(vmb_vm_bind_sync(f->vm, binds, count), 0);
      else
         assert_int_equal(submit_binds(queues[rng_below(&rng, 3)], binds, count), 0);
      if (rng_one_in(&rng, 5))
         wait_idle(f);
   }
   wait_idle(f);
   for (unsigned i = 1; i < 3; i++)
      vmb_queue_destroy(queues[i]);
   for (unsigned i = 0; i < 2; i++)
      drop_range(f, ranges[i]);
   wait_idle(f);
}

struct thread {
   struct fixture *f;
   uint64_t seed;
   int failures;
};

static int
bind_in_thread(void *data)
{
   struct thread *t = data;
   struct rng rng = { t->seed };
   struct vmb_queue *queue;
   struct vmb_range *range;

   t->failures += vmb_queue_create(t->f->vm, &queue) != 0;
   t->failures += vmb_range_create(t->f->vm,
                                   &(struct vmb_range_params){ .size_B = RANDOM_PAGES * PAGE_B },
                                   &range) != 0;
   for (unsigned round = 0; round < 100; round++) {
      struct vmb_bind binds[16];
      struct vmb_vm_mapping *maps;
      size_t count;

      for (unsigned i = 0; i < ARRAY_SIZE(binds); i++)
         binds[i] = random_bind(&rng, t->f, range);
      t->failures += submit_binds(queue, binds, ARRAY_SIZE(binds)) != 0;
      /* Readers among the writers. */
      if (rng_one_in(&rng, 4)) {
         t->failures += vmb_vm_get_mappings(t->f->vm, rng_below(&rng, 2), 0, UINT64_MAX, &maps,
                                            &count) != 0;
         free(maps);
      }
      if (rng_one_in(&rng, 16)) {
         vmb_range_destroy(range);
         t->failures += vmb_range_create(t->f->vm,
                                         &(struct vmb_range_params){
                                            .size_B = RANDOM_PAGES * PAGE_B },
                                         &range) != 0;
      }
   }
   vmb_range_destroy(range);
   vmb_queue_destroy(queue);
   return 0;
}

static void
test_threads_share_a_vm(void **state)
{
   struct fixture *f = *state;
   struct thread threads[4];
   thrd_t ids[4];

   for (unsigned i = 0; i < 4; i++) {
      threads[i] = (struct thread){ .f = f, .seed = 77 + i };
      assert_int_equal(thrd_create(&ids[i], bind_in_thread, &threads[i]), thrd_success);
   }
   for (unsigned i = 0; i < 4; i++) {
      thrd_join(ids[i], NULL);
      assert_int_equal(threads[i].failures, 0);
   }
   wait_idle(f);
}

/* After the VM's sync there is something at each address of a range that was created before, whoever bound it.  To look
 * takes long on a real kernel. */
static unsigned
count_missing(struct fixture *f, const struct vmb_range *range, bool look)
{
   const uint64_t addr_B = vmb_range_addr_B(range);
   const uint64_t last_B = addr_B + vmb_range_size_B(range) - PAGE_B;
   const int fd = vmb_device_fd(f->dev);
   const uint32_t vm = vmb_vm_kernel_id(f->vm);
   struct vmb_sync sync;
   uint32_t handle;
   uint64_t offset_B;

   if (vmb_vm_get_sync(f->vm, &sync) ||
       (sync.point && drmSyncobjTimelineWait(fd, &sync.syncobj, &sync.point, 1, INT64_MAX,
                                             DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT, NULL)))
      return 1;
   return look && target_has_pages() &&
          (!target_get_page(fd, vm, addr_B, &handle, &offset_B) ||
           !target_get_page(fd, vm, last_B, &handle, &offset_B));
}

static int
bind_null_in_thread(void *data)
{
   struct thread *t = data;
   struct rng rng = { t->seed };
   struct vmb_queue *queue;

   t->failures += vmb_queue_create(t->f->vm, &queue) != 0;
   for (unsigned round = 0; round < 200; round++) {
      const struct vmb_range_params params = {
         .size_B = 16 * (1 + rng_below(&rng, 2)) * PAGE_B,
         .unbound = VMB_UNBOUND_NULL,
      };
      struct vmb_range *range;

      t->failures += vmb_range_create(t->f->vm, &params, &range) != 0;
      if (rng_one_in(&rng, 2)) {
         const struct vmb_bind b = bind(range, rng_below(&rng, 8), 8, t->f->bo[0], 0);
         t->failures += submit_binds(queue, &b, 1) != 0;
      }
      if (rng_one_in(&rng, 2))
         t->failures += count_missing(t->f, range, rng_one_in(&rng, 8));
      if (rng_one_in(&rng, 2)) {
         const struct vmb_bind b = bind(range, 0, 16, NULL, 0);
         t->failures += submit_binds(queue, &b, 1) != 0;
      }
      vmb_range_destroy(range);
   }
   vmb_queue_destroy(queue);
   return 0;
}

static void
test_threads_share_nulls(void **state)
{
   struct fixture *f = *state;
   struct thread threads[4];
   thrd_t ids[4];

   if (f->caps->null_mode == VMB_NULL_NONE)
      skip();
   for (unsigned i = 0; i < 4; i++) {
      threads[i] = (struct thread){ .f = f, .seed = 7 + i };
      assert_int_equal(thrd_create(&ids[i], bind_null_in_thread, &threads[i]), thrd_success);
   }
   for (unsigned i = 0; i < 4; i++) {
      thrd_join(ids[i], NULL);
      assert_int_equal(threads[i].failures, 0);
   }
   wait_idle(f);
   bind_nulls(f);
   wait_idle(f);
   expect_mirror_is_kernel(f);
}

static void
test_who_is(void **state)
{
   struct fixture *f = *state;
   struct vmb_range *range = new_range(f, 16 * PAGE_B, VMB_UNBOUND_HOLE);
   const uint64_t addr_B = vmb_range_addr_B(range);
   struct vmb_who who;
   int fence;

   assert_int_equal(SUBMIT(f->queue, bind(range, 2, 2, f->bo[0], 7)), 0);
   wait_idle(f);
   vmb_vm_who_is(f->vm, addr_B + 3 * PAGE_B + 5, &who);
   assert_true(who.in_range && who.mapped && !who.pending);
   assert_string_equal(who.range_name, "test");
   assert_int_equal(who.mapping.bo_handle, vmb_bo_handle(f->bo[0]));
   vmb_vm_who_is(f->vm, addr_B, &who);
   assert_true(who.in_range && !who.mapped);

   const uint32_t held = held_syncobj(f, &fence);
   const struct vmb_bind b = bind(range, 2, 1, NULL, 0);
   assert_int_equal(submit_held(f->queue, &b, held), 0);
   vmb_vm_who_is(f->vm, addr_B + 2 * PAGE_B, &who);
   assert_true(!who.mapped && who.pending && who.completed_mapped);
   assert_int_equal(who.completed.bo_handle, vmb_bo_handle(f->bo[0]));
   release(f, held, fence);
   wait_idle(f);
   drop_range(f, range);
}

static bool
has_binds(void)
{
   const int fd = target_open();
   struct vmb_device *dev;
   bool binds = true;

   if (fd >= 0 && vmb_device_create(&(struct vmb_device_params){ .drm_fd = fd }, &dev) == 0) {
      binds = !vmb_device_caps(dev)->kernel_addresses;
      vmb_device_destroy(dev);
   }
   close(fd);
   return binds;
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_WITH_CACHE(name) cmocka_unit_test_setup_teardown(name, setup_with_cache, teardown)
   const struct CMUnitTest tests[] = {
      TEST(test_map_and_unmap),
      TEST(test_last_bind_of_a_batch_wins),
      TEST(test_batches_of_a_queue_are_in_order),
      TEST(test_unbound_is_null),
      TEST(test_null_comes_with_the_first_bind),
      TEST(test_null_comes_with_the_sync),
      TEST(test_null_does_not_come_in_pieces),
      TEST(test_null_waits_for_nobody),
      TEST(test_what_is_done_at_once_waits_for_nobody),
      TEST(test_what_is_done_at_once_is_done_again),
      TEST(test_idle_is_when_all_have_completed),
      TEST(test_null_that_fails_comes_later),
      TEST(test_a_null_that_is_refused),
      TEST(test_a_null_that_is_refused_behind_another),
      TEST(test_a_null_that_must_stay),
      TEST(test_null_goes_later),
      TEST(test_bound_goes_at_once),
      TEST(test_null_is_taken_over),
      TEST(test_null_that_goes_later_makes_room),
      TEST(test_half_a_null_goes_with_its_range),
      TEST(test_what_is_unmapped_is_not_taken_over),
      TEST(test_null_that_cannot_go_goes_later),
      TEST(test_no_memory_is_not_no_addresses),
      TEST(test_what_is_taken_over_fits),
      TEST(test_what_is_taken_over_is_aligned),
      TEST(test_nulls_that_come_together_go_apart),
      TEST(test_a_bo_goes_when_null_stays),
      TEST(test_a_null_that_loses_the_device),
      TEST(test_a_null_that_loses_the_device_before_a_wait),
      TEST(test_contiguous_is_one_operation),
      cmocka_unit_test_setup_teardown(test_an_ordered_vm, setup_ordered, teardown),
      TEST(test_many_operations_go_in_chunks),
      TEST(test_nothing_is_bound_before_its_wait),
      TEST(test_signal_only_submits),
      TEST(test_sync_only_submits_are_in_order),
      TEST(test_pending_elsewhere_is_not_there_yet),
      TEST(test_queues_complete_out_of_order),
      TEST(test_a_wait_without_a_fence_is_refused),
      TEST(test_a_signal_that_is_none_is_refused),
      TEST(test_a_point_that_comes_later),
      TEST(test_invalid_binds_are_refused),
      TEST(test_a_bound_bo_lives_on),
      TEST(test_addresses_are_used_again_only_when_idle),
      TEST(test_ranges),
      TEST(test_a_window_of_low_addresses),
      TEST(test_two_vms),
      TEST(test_shared_bos),
      TEST(test_a_bo_at_an_address_of_the_callers),
      TEST(test_synchronous_bind_does_not_overtake),
      TEST(test_defragmenting),
      TEST(test_completed_state_of_many_unbinds),
      TEST(test_no_memory_is_retried_in_halves),
      TEST(test_no_memory_at_all_changes_nothing),
      TEST(test_destroying_a_range_tries_again),
      TEST(test_nothing_is_left_to_the_next_vm),
      TEST(test_half_a_batch_is_rolled_back),
      TEST(test_taking_back_is_logged),
      TEST(test_no_way_back_is_device_lost),
      TEST(test_a_lost_device_signals),
      TEST(test_a_wait_tells_of_a_failed_bind),
      TEST(test_the_sync_of_an_unused_queue),
      TEST(test_chunks_grow_again),
      TEST(test_a_dependency_goes_away),
      TEST(test_half_a_null_range_is_pending),
      TEST(test_thousands_of_syncs),
      TEST(test_signals_behind_a_bind_fail),
      TEST(test_memory_of_the_process),
      TEST(test_implicit_sync),
      TEST(test_addresses_of_the_kernel),
      TEST_WITH_CACHE(test_a_freed_bo_is_used_again),
      TEST_WITH_CACHE(test_a_shared_bo_is_not_kept),
      TEST_WITH_CACHE(test_an_imported_bo_is_not_kept),
      TEST_WITH_CACHE(test_a_bo_at_an_address_is_not_kept),
      TEST_WITH_CACHE(test_the_cache_is_bounded),
      TEST_WITH_CACHE(test_the_cache_goes_with_the_vm),
      TEST_WITH_CACHE(test_the_cache_is_emptied_for_memory),
      TEST_WITH_CACHE(test_a_purged_bo_of_the_cache),
      TEST(test_a_purged_bo_is_evicted),
      TEST(test_random_batches),
      TEST(test_threads_share_a_vm),
      TEST(test_threads_share_nulls),
      TEST(test_who_is),
   };

   /* There is nothing to bind: what is left. */
   const struct CMUnitTest tests_without_binds[] = {
      TEST(test_addresses_of_the_kernel),
      TEST(test_signal_only_submits),
      TEST(test_sync_only_submits_are_in_order),
      TEST(test_two_vms),
      TEST(test_shared_bos),
      TEST_WITH_CACHE(test_addresses_go_with_the_bo),
   };

   return has_binds() ? cmocka_run_group_tests_name("core", tests, NULL, NULL)
                      : cmocka_run_group_tests_name("core", tests_without_binds, NULL, NULL);
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Submits in which the core finds no memory: the n-th allocation fails, alone or with all after it, for
 * every n that a submit gets to.  Each time the submit did everything or nothing, the mirror is what
 * the kernel has, what is to signal signals, the device is not lost, and the same submit works
 * afterwards.  The simulated kernel never lacks memory here, unless it is told to: only the core is
 * built with allocations that fail.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <xf86drm.h>

#include "drm_sim.h"
#include "tests/util/fail_alloc.h"
#include "vmbind/vmb_vm.h"

#include "target.h"

#define PAGE_B  0x10000ull
#define PAGES   400u
#define BINDS   90u
#define AT_MOST 1000u /* allocations of a submit */

struct fixture {
   int fd;
   struct vmb_device *dev;
   const struct vmb_caps *caps;
   struct vmb_vm *vm;
   struct vmb_queue *queue;
   struct vmb_range *range;
   /* New, with a null mapping that may be still to come. */
   struct vmb_range *late;
   struct vmb_bo *bos[2];
   uint32_t before, done;
};

/* What each page of the range is bound to, and where mappings begin. */
struct layout {
   uint32_t bo[PAGES], page[PAGES];
   bool starts[PAGES];
};

static void
log_nothing(void *data, enum vmb_log_level level, const char *line)
{
   (void)data, (void)level, (void)line;
}

static int
bind_each(struct fixture *f, unsigned first, unsigned count, unsigned salt, const struct vmb_sync *wait,
          const struct vmb_sync *signal)
{
   struct vmb_bind binds[BINDS];

   for (unsigned i = 0; i < count; i++) {
      /* Apart from each other, so that no two of them become one operation. */
      const uint64_t page = (first + i) * 4 + (salt ? i % 2 : 0);

      binds[i] = (struct vmb_bind){
         .range = f->range,
         .offset_B = page * PAGE_B,
         .size_B = (1 + (i + salt) % 3) * PAGE_B,
         .bo = i % 4 == salt ? NULL : f->bos[(i + salt) % 2],
      };
      if (binds[i].bo)
         binds[i].bo_offset_B = (page + 7 * salt) * PAGE_B;
   }
   return vmb_queue_submit(f->queue,
                           &(struct vmb_submit){
                              .binds = binds,
                              .bind_count = count,
                              .waits = wait,
                              .wait_count = wait ? 1 : 0,
                              .signals = signal,
                              .signal_count = signal ? 1 : 0,
                           },
                           NULL);
}

/* Half of the range is bound. */
static void
create(struct fixture *f)
{
   *f = (struct fixture){ .fd = target_open() };
   assert_true(f->fd >= 0);
   const struct vmb_device_params params = { .drm_fd = f->fd, .log = log_nothing };
   assert_int_equal(vmb_device_create(&params, &f->dev), 0);
   f->caps = vmb_device_caps(f->dev);
   assert_int_equal(vmb_vm_create(f->dev, &(struct vmb_vm_params){ 0 }, &f->vm), 0);
   assert_int_equal(vmb_queue_create(f->vm, &f->queue), 0);
   for (unsigned i = 0; i < 2; i++) {
      const struct vmb_bo_params bo = { .size_B = 2 * PAGES * PAGE_B, .vm = i ? f->vm : NULL };
      assert_int_equal(vmb_bo_create(f->dev, &bo, &f->bos[i]), 0);
   }
   const struct vmb_range_params range = {
      .size_B = PAGES * PAGE_B,
      .unbound = f->caps->null_mode == VMB_NULL_NONE ? VMB_UNBOUND_HOLE : VMB_UNBOUND_NULL,
   };
   assert_int_equal(vmb_range_create(f->vm, &range, &f->range), 0);
   assert_int_equal(bind_each(f, 0, 50, 0, NULL, NULL), 0);
   assert_int_equal(vmb_vm_wait_idle(f->vm, INT64_MAX), 0);
   assert_int_equal(drmSyncobjCreate(f->fd, DRM_SYNCOBJ_CREATE_SIGNALED, &f->before), 0);
   assert_int_equal(drmSyncobjCreate(f->fd, 0, &f->done), 0);
}

/* A range that is to be bound to null, and one that is to be unmapped. */
static void
create_late(struct fixture *f)
{
   struct vmb_range *gone;
   struct vmb_sync sync;
   struct vmb_range_params range = { .size_B = 7 * PAGE_B, .unbound = VMB_UNBOUND_NULL };

   assert_int_equal(vmb_range_create(f->vm, &range, &gone), 0);
   assert_int_equal(vmb_vm_get_sync(f->vm, &sync), 0);
   vmb_range_destroy(gone);
   range.size_B = 5 * PAGE_B;
   assert_int_equal(vmb_range_create(f->vm, &range, &f->late), 0);
   assert_int_equal(vmb_vm_wait_idle(f->vm, INT64_MAX), 0);
}

static void
destroy(struct fixture *f)
{
   drmSyncobjDestroy(f->fd, f->before);
   drmSyncobjDestroy(f->fd, f->done);
   vmb_range_destroy(f->range);
   if (f->late)
      vmb_range_destroy(f->late);
   for (unsigned i = 0; i < 2; i++)
      vmb_bo_unref(f->bos[i]);
   vmb_queue_destroy(f->queue);
   vmb_vm_destroy(f->vm);
   vmb_device_destroy(f->dev);
   close(f->fd);
   assert_int_equal(target_complaints(), 0);
}

/* ---------------------------------------------------------------- comparison */

static void
expect_mirror_is_kernel(struct fixture *f)
{
   const uint64_t end_B = f->caps->va_start_B + f->caps->va_range_B;
   struct target_mapping *kernel;
   struct vmb_vm_mapping *mirror;
   size_t kernel_count, count;

   assert_true(target_get_tree(f->fd, vmb_vm_kernel_id(f->vm), &kernel, &kernel_count));
   while (kernel_count && kernel[kernel_count - 1].addr_B >= end_B)
      kernel_count--;
   assert_int_equal(vmb_vm_get_mappings(f->vm, VMB_STATE_SUBMITTED, 0, UINT64_MAX, &mirror, &count),
                    0);
   count = target_visible(f->caps, mirror, count);
   assert_int_equal(count, kernel_count);
   for (size_t i = 0; i < count; i++) {
      assert_int_equal(mirror[i].addr_B, kernel[i].addr_B);
      assert_int_equal(mirror[i].range_B, kernel[i].range_B);
      if (!mirror[i].bo_handle)
         continue;
      assert_int_equal(mirror[i].bo_handle, kernel[i].handle);
      assert_int_equal(mirror[i].bo_offset_B, kernel[i].offset_B);
   }
   free(kernel);
   free(mirror);
}

static struct layout
get_layout(struct fixture *f)
{
   const uint64_t addr_B = vmb_range_addr_B(f->range);
   struct layout layout = { 0 };
   struct vmb_vm_mapping *maps;
   size_t count;

   assert_int_equal(vmb_vm_get_mappings(f->vm, VMB_STATE_SUBMITTED, addr_B, addr_B + PAGES * PAGE_B,
                                        &maps, &count), 0);
   for (size_t i = 0; i < count; i++) {
      const uint64_t first = (maps[i].addr_B - addr_B) / PAGE_B;

      layout.starts[first] = true;
      for (uint64_t page = first; page < first + maps[i].range_B / PAGE_B; page++) {
         layout.bo[page] = maps[i].bo_handle == vmb_bo_handle(f->bos[0])   ? 1
                           : maps[i].bo_handle == vmb_bo_handle(f->bos[1]) ? 2
                                                                           : 3;
         if (maps[i].bo_handle)
            layout.page[page] = maps[i].bo_offset_B / PAGE_B + page - first;
      }
   }
   free(maps);
   return layout;
}

static bool
same_pages(const struct layout *a, const struct layout *b)
{
   return !memcmp(a->bo, b->bo, sizeof(a->bo)) && !memcmp(a->page, b->page, sizeof(a->page));
}

static bool
is_signalled(struct fixture *f)
{
   return drmSyncobjWait(f->fd, &f->done, 1, 0, 0, NULL) == 0;
}

/* -------------------------------------------------------------------- submit */

/* What is to happen when all is well. */
struct expected {
   const char *fault;
   /* That something is tried again, or taken back: that the fault is one of this kernel driver's. */
   bool shows;
   int ret;
   unsigned count;
   /* With what ranges bind of themselves, and nothing to wait for. */
   bool late;
   struct layout before, after;
};

static int
submit(struct fixture *f, const struct expected *e)
{
   return bind_each(f, 10, e->count, 1, e->late ? NULL : &(struct vmb_sync){ f->before, 0 },
                    &(struct vmb_sync){ f->done, 0 });
}

static void
create_for(struct fixture *f, const struct expected *e)
{
   create(f);
   if (e->late)
      create_late(f);
}

/* Whatever went wrong before. */
static void
expect_late_is_null(struct fixture *f)
{
   struct vmb_vm_mapping *maps;
   struct vmb_sync sync;
   size_t count;

   if (!f->late)
      return;
   const uint64_t addr_B = vmb_range_addr_B(f->late);
   assert_int_equal(vmb_vm_get_sync(f->vm, &sync), 0);
   assert_int_equal(vmb_vm_wait_idle(f->vm, INT64_MAX), 0);
   for (unsigned page = 0; page < 5; page++) {
      assert_int_equal(vmb_vm_get_mappings(f->vm, VMB_STATE_COMPLETED, addr_B + page * PAGE_B,
                                           addr_B + page * PAGE_B + 1, &maps, &count), 0);
      assert_int_equal(count, 1);
      assert_true(maps[0].flags & VMB_MAPPING_NULL);
      free(maps);
   }
   expect_mirror_is_kernel(f);
}

static void
expect(struct expected *e)
{
   struct fixture f;

   create_for(&f, e);
   e->before = get_layout(&f);
   drm_sim_set_fault(e->fault);
   assert_int_equal(submit(&f, e), e->ret);
   drm_sim_set_fault(NULL);
   struct vmb_stats stats;
   vmb_device_get_stats(f.dev, &stats);
   assert_true(!e->shows || stats.retried || stats.rolled_back);
   if (e->ret)
      assert_int_equal(submit(&f, e), 0);
   e->after = get_layout(&f);
   assert_false(same_pages(&e->before, &e->after));
   destroy(&f);
}

/* Returns whether there was an n-th allocation. */
static bool
submit_with_failure(const struct expected *e, unsigned n, bool and_all_after)
{
   struct fixture f;

   create_for(&f, e);
   drm_sim_set_fault(e->fault);
   if (and_all_after)
      fail_alloc_arm_from(n);
   else
      fail_alloc_arm(n);
   const int ret = submit(&f, e);
   const bool failed = fail_alloc_disarm();
   drm_sim_set_fault(NULL);

   assert_false(vmb_device_is_lost(f.dev));
   assert_true(ret == e->ret || (failed && ret == -ENOMEM));
   const struct layout now = get_layout(&f);
   if (ret == 0) {
      assert_memory_equal(&now, &e->after, sizeof(now));
   } else {
      assert_true(same_pages(&now, &e->before));
      assert_false(is_signalled(&f));
      /* What had to be taken back cuts what was there. */
      struct vmb_stats stats;
      vmb_device_get_stats(f.dev, &stats);
      if (!stats.rolled_back)
         assert_memory_equal(&now, &e->before, sizeof(now));
   }
   assert_int_equal(vmb_vm_wait_idle(f.vm, INT64_MAX), 0);
   expect_mirror_is_kernel(&f);

   if (ret)
      assert_int_equal(submit(&f, e), 0);
   assert_int_equal(vmb_vm_wait_idle(f.vm, INT64_MAX), 0);
   assert_true(is_signalled(&f));
   const struct layout then = get_layout(&f);
   assert_true(same_pages(&then, &e->after));
   expect_mirror_is_kernel(&f);
   expect_late_is_null(&f);
   destroy(&f);
   return failed;
}

static void
submit_with_failures(struct expected *e)
{
   expect(e);
   for (unsigned all = 0; all < 2; all++) {
      unsigned n = 1;

      while (submit_with_failure(e, n, all))
         assert_in_range(++n, 1, AT_MOST);
      /* A submit that allocates nothing would show nothing. */
      assert_in_range(n, 2, AT_MOST);
   }
}

static void
test_one_bind(void **state)
{
   (void)state;
   submit_with_failures(&(struct expected){ .count = 1 });
}

static void
test_many_binds(void **state)
{
   (void)state;
   submit_with_failures(&(struct expected){ .count = BINDS - 20 });
}

static struct vmb_caps
get_caps(void)
{
   struct fixture f;

   create(&f);
   const struct vmb_caps caps = *f.caps;
   destroy(&f);
   return caps;
}

/* Whether the back-end itself finds out how far a bind came, by doing it again in halves: what fails but once, works. */
static bool
is_done_again(const struct vmb_caps *caps)
{
   return caps->sync_mode == VMB_SYNC_THREAD && caps->max_ops > 1;
}

/* The kernel lacks memory for a while: the binds go in several ioctls, or, where each is one, are taken back. */
static void
test_chunks(void **state)
{
   const struct vmb_caps caps = get_caps();

   (void)state;
   submit_with_failures(&(struct expected){
      .fault = "vm_bind:1=ENOMEM,vm_bind:3=ENOMEM,gem_va:3=ENOMEM,vm_map:3=ENOMEM",
      .ret = caps.max_ops == 1 ? -ENOMEM : 0,
      .shows = !is_done_again(&caps),
      .count = BINDS - 20,
   });
}

static void
late_with_failures(struct expected *e)
{
   if (get_caps().null_mode == VMB_NULL_NONE) {
      print_message("there are no null mappings\n");
      skip();
   }
   e->late = true;
   submit_with_failures(e);
}

static void
test_late_with_one_bind(void **state)
{
   (void)state;
   late_with_failures(&(struct expected){ .count = 1 });
}

static void
test_late_with_many_binds(void **state)
{
   (void)state;
   late_with_failures(&(struct expected){ .count = BINDS - 20 });
}

/* They are bound; the binds are not, or in part. */
static void
test_late_and_a_kernel_that_refuses(void **state)
{
   const struct vmb_caps caps = get_caps();

   (void)state;
   if (!caps.immediate_bind || caps.sync_mode == VMB_SYNC_THREAD) {
      print_message("nothing is late, or an ioctl is an operation, or is tried again\n");
      skip();
   }
   late_with_failures(&(struct expected){ .fault = "vm_bind:2=EIO", .ret = -EIO, .count = BINDS - 20 });
}

/* It refuses the second chunk, or the third bind: the first ones are taken back, whatever memory there is. */
static void
test_half_a_batch(void **state)
{
   const struct vmb_caps caps = get_caps();

   (void)state;
   if (is_done_again(&caps)) {
      print_message("what is refused once is done again by the back-end\n");
      skip();
   }
   submit_with_failures(&(struct expected){
      .fault = "vm_bind:1=ENOMEM,vm_bind:3=EIO,gem_va:3=EIO,vm_map:3=EIO",
      .ret = -EIO,
      .shows = true,
      .count = BINDS - 20,
   });
}

/* The array fails at its last operation, and done again in halves each time at the first: all but the last were
 * applied, none is counted, and none stays. */
static void
test_more_than_is_counted(void **state)
{
   const struct vmb_caps caps = get_caps();
   struct fixture f;

   (void)state;
   if (!caps.immediate_unsure) {
      print_message("the kernel says how many were applied\n");
      skip();
   }
   create(&f);
   const struct layout before = get_layout(&f);
   drm_sim_set_fault("op:4=EIO,op:5=EIO,op:6=EIO");
   assert_int_equal(bind_each(&f, 10, 4, 1, NULL, &(struct vmb_sync){ f.done, 0 }), -EIO);
   drm_sim_set_fault(NULL);
   assert_false(vmb_device_is_lost(f.dev));
   expect_mirror_is_kernel(&f);
   const struct layout now = get_layout(&f);
   assert_true(same_pages(&now, &before));
   assert_int_equal(bind_each(&f, 10, 4, 1, NULL, &(struct vmb_sync){ f.done, 0 }), 0);
   expect_mirror_is_kernel(&f);
   destroy(&f);
}

int
main(void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_one_bind),
      cmocka_unit_test(test_many_binds),
      cmocka_unit_test(test_chunks),
      cmocka_unit_test(test_half_a_batch),
      cmocka_unit_test(test_more_than_is_counted),
      cmocka_unit_test(test_late_with_one_bind),
      cmocka_unit_test(test_late_with_many_binds),
      cmocka_unit_test(test_late_and_a_kernel_that_refuses),
   };

   return cmocka_run_group_tests(tests, NULL, NULL);
}

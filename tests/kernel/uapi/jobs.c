/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Jobs on the GPU among binds: they go through the page tables that VM_BIND built, see a bind exactly
 * when its fence says so, and survive what goes wrong with the MMU.
 */

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "inspect.h"
#include "panthor.h"

#define STREAM_B 0x10000000ull
#define TARGET_B 0x20000000ull
#define PAGES    4
#define VALUE    0xcafe0001u

struct fixture {
   int fd;
   int minor;
   uint32_t vm;
   uint32_t stream_bo, target_bo;
   volatile uint32_t *target;
   uint32_t group;
   uint32_t stream_size_B;
   uint32_t out;
};

/* A job that stores VALUE to TARGET_B, and a BO of which one page at a time is bound there */
static int
setup(void **state)
{
   struct fixture *f = calloc(1, sizeof(*f));

   f->fd = pan_open();
   f->minor = pan_minor(f->fd);
   f->vm = pan_vm_create(f->fd);
   f->stream_bo = pan_bo_create(f->fd, PAGE_B, f->vm);
   f->target_bo = pan_bo_create(f->fd, PAGES * PAGE_B, f->vm);
   f->target = pan_bo_map(f->fd, f->target_bo, PAGES * PAGE_B);
   f->stream_size_B =
      pan_stream_store(pan_bo_map(f->fd, f->stream_bo, PAGE_B), TARGET_B, VALUE);
   f->group = pan_group_create(f->fd, f->vm);
   f->out = pan_syncobj_create(f->fd);
   assert_int_equal(pan_bind_sync(f->fd, f->vm, pan_map(f->stream_bo, 0, STREAM_B, PAGE_B)), 0);
   *state = f;
   return 0;
}

static int
teardown(void **state)
{
   struct fixture *f = *state;

   inspect_set_fault("hold_jobs", 0);
   inspect_run_jobs();
   pan_group_destroy(f->fd, f->group);
   pan_vm_destroy(f->fd, f->vm);
   close(f->fd);
   free(f);
   return 0;
}

static struct drm_panthor_vm_bind_op
map_page(const struct fixture *f, unsigned page)
{
   return pan_map(f->target_bo, page * PAGE_B, TARGET_B, PAGE_B);
}

static int
submit(struct fixture *f, struct drm_panthor_sync_op *syncs, uint32_t count)
{
   return pan_submit(f->fd, f->group, STREAM_B, f->stream_size_B, syncs, count);
}

static void
run_job(struct fixture *f)
{
   struct drm_panthor_sync_op signal = pan_signal(f->out);

   assert_int_equal(submit(f, &signal, 1), 0);
   assert_int_equal(pan_syncobj_wait(f->fd, f->out, 10 * SECOND), 0);
}

/* Only this page has been written to; -1 for none. */
static void
expect_written(const struct fixture *f, int page)
{
   for (int i = 0; i < PAGES; i++)
      assert_int_equal(f->target[i * PAGE_B / 4], i == page ? VALUE : 0);
}

static void
forget(struct fixture *f)
{
   for (unsigned i = 0; i < PAGES; i++)
      f->target[i * PAGE_B / 4] = 0;
}

static void
a_job_writes_to_the_bound_page(void **state)
{
   struct fixture *f = *state;

   assert_int_equal(pan_bind_sync(f->fd, f->vm, map_page(f, 1)), 0);
   run_job(f);
   expect_written(f, 1);
}

static void
a_rebind_takes_effect_on_a_resident_vm(void **state)
{
   struct fixture *f = *state;

   assert_int_equal(pan_bind_sync(f->fd, f->vm, map_page(f, 1)), 0);
   run_job(f);
   forget(f);
   assert_int_equal(pan_bind_sync(f->fd, f->vm, map_page(f, 3)), 0);
   run_job(f);
   expect_written(f, 3);
}

static void
a_job_waits_for_a_bind(void **state)
{
   struct fixture *f = *state;
   const uint32_t bound = pan_syncobj_create(f->fd);
   struct drm_panthor_sync_op signal = pan_signal(bound);
   struct drm_panthor_sync_op syncs[] = { pan_wait(bound), pan_signal(f->out) };

   assert_int_equal(pan_bind_async(f->fd, f->vm, pan_with_syncs(map_page(f, 2), &signal, 1)), 0);
   assert_int_equal(submit(f, syncs, 2), 0);
   assert_int_equal(pan_syncobj_wait(f->fd, f->out, 10 * SECOND), 0);
   expect_written(f, 2);
}

static void
a_bind_waits_for_a_job(void **state)
{
   struct fixture *f = *state;
   const uint32_t timeline = pan_syncobj_create(f->fd);
   struct drm_panthor_sync_op job_done = pan_signal_point(timeline, 10);
   struct drm_panthor_sync_op syncs[] = { pan_wait_point(timeline, 10),
                                          pan_signal_point(timeline, 11) };

   assert_int_equal(pan_bind_sync(f->fd, f->vm, map_page(f, 2)), 0);
   inspect_set_fault("hold_jobs", 1);
   assert_int_equal(submit(f, &job_done, 1), 0);
   assert_int_equal(pan_bind_async(f->fd, f->vm, pan_with_syncs(map_page(f, 0), syncs, 2)), 0);
   assert_int_equal(pan_syncobj_wait_point(f->fd, timeline, 11, 200), -ETIME);
   expect_written(f, -1);

   inspect_run_jobs();
   assert_int_equal(pan_syncobj_wait_point(f->fd, timeline, 11, 10 * SECOND), 0);
   expect_written(f, 2);
}

static void
a_synchronous_bind_overtakes_a_waiting_one(void **state)
{
   struct fixture *f = *state;
   const uint32_t timeline = pan_syncobj_create(f->fd);
   struct drm_panthor_sync_op job_done = pan_signal_point(timeline, 1);
   struct drm_panthor_sync_op syncs[] = { pan_wait_point(timeline, 1),
                                          pan_signal_point(timeline, 2) };

   assert_int_equal(pan_bind_sync(f->fd, f->vm, map_page(f, 0)), 0);
   inspect_set_fault("hold_jobs", 1);
   assert_int_equal(submit(f, &job_done, 1), 0);
   assert_int_equal(pan_bind_async(f->fd, f->vm, pan_with_syncs(map_page(f, 1), syncs, 2)), 0);
   assert_int_equal(pan_bind_sync(f->fd, f->vm, map_page(f, 3)), 0);
   inspect_run_jobs();
   assert_int_equal(pan_syncobj_wait_point(f->fd, timeline, 2, 10 * SECOND), 0);
   /* The held job found the synchronous bind, the next one the asynchronous. */
   expect_written(f, 3);
   forget(f);
   run_job(f);
   expect_written(f, 1);
}

static void
an_access_to_a_hole_is_fatal_to_the_group(void **state)
{
   struct fixture *f = *state;

   run_job(f);
   assert_true(pan_group_state(f->fd, f->group) & DRM_PANTHOR_GROUP_STATE_FATAL_FAULT);
   expect_written(f, -1);
   assert_int_equal(pan_vm_state(f->fd, f->vm), DRM_PANTHOR_VM_STATE_USABLE);
}

static void
a_readonly_page_is_not_written(void **state)
{
   struct fixture *f = *state;
   struct drm_panthor_vm_bind_op op = map_page(f, 1);

   op.flags |= DRM_PANTHOR_VM_BIND_OP_MAP_READONLY;
   assert_int_equal(pan_bind_sync(f->fd, f->vm, op), 0);
   run_job(f);
   assert_true(pan_group_state(f->fd, f->group) & DRM_PANTHOR_GROUP_STATE_FATAL_FAULT);
   expect_written(f, -1);
}

/* The MMU hangs while the VM is resident: the bind fails, the GPU is reset.  (Not over a mapped page:
 * the kernel warns if an unmap fails.) */
static void
a_stuck_mmu_is_reset_and_new_vms_work(void **state)
{
   struct fixture *f = *state;
   struct drm_panthor_sync_op signal = pan_signal(f->out);
   const uint64_t resets = inspect_stat("resets");

   assert_int_equal(pan_bind_sync(f->fd, f->vm, map_page(f, 0)), 0);
   run_job(f);
   /* VMs of earlier tests may still be leaving the MMU: the next command must be ours. */
   usleep(500000);
   inspect_set_fault("as_stuck", 1);
   struct drm_panthor_vm_bind_op op = map_page(f, 1);
   op.va = 2 * TARGET_B;
   assert_int_equal(pan_bind_async(f->fd, f->vm, pan_with_syncs(op, &signal, 1)), 0);
   assert_int_equal(pan_syncobj_wait(f->fd, f->out, 10 * SECOND), 0);
   assert_int_equal(inspect_get_fault("as_stuck"), 0);
   assert_int_equal(pan_syncobj_status(f->fd, f->out), -ETIMEDOUT);
   assert_int_equal(pan_vm_state(f->fd, f->vm), DRM_PANTHOR_VM_STATE_UNUSABLE);

   /* The reset happens behind the driver's scheduler. */
   for (unsigned i = 0; i < 100 && inspect_stat("resets") == resets; i++)
      usleep(50000);
   assert_true(inspect_stat("resets") > resets);

   struct fixture *fresh;
   setup((void **)&fresh);
   assert_int_equal(pan_bind_sync(fresh->fd, fresh->vm, map_page(fresh, 2)), 0);
   run_job(fresh);
   expect_written(fresh, 2);
   teardown((void **)&fresh);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
   const struct CMUnitTest tests[] = {
      TEST(a_job_writes_to_the_bound_page),
      TEST(a_rebind_takes_effect_on_a_resident_vm),
      TEST(a_job_waits_for_a_bind),
      TEST(a_bind_waits_for_a_job),
      TEST(a_synchronous_bind_overtakes_a_waiting_one),
      TEST(an_access_to_a_hole_is_fatal_to_the_group),
      TEST(a_readonly_page_is_not_written),
      TEST(a_stuck_mmu_is_reset_and_new_vms_work),
   };

   return cmocka_run_group_tests_name("jobs", tests, NULL, NULL);
}

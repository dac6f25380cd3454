/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Asynchronous binds: fences in and out, order, and failures when they are submitted and when they
 * run.
 *
 * Never here: a bad handle to signal.  The kernel follows a null pointer then (6.12 to 7.3).
 */

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "inspect.h"
#include "panthor.h"

#define BASE_B 0x10000000ull
#define BO_B   0x100000ull

struct fixture {
   int fd;
   uint32_t vm;
   uint32_t bo;
   /* Without fences yet */
   uint32_t in, out, timeline;
};

static int
setup(void **state)
{
   struct fixture *f = calloc(1, sizeof(*f));

   f->fd = pan_open();
   f->vm = pan_vm_create(f->fd);
   f->bo = pan_bo_create(f->fd, BO_B, 0);
   f->in = pan_syncobj_create(f->fd);
   f->out = pan_syncobj_create(f->fd);
   f->timeline = pan_syncobj_create(f->fd);
   *state = f;
   return 0;
}

static int
teardown(void **state)
{
   struct fixture *f = *state;

   close(f->fd);
   free(f);
   return 0;
}

static void
expect_mappings(int count)
{
   struct inspect_mapping *maps;

   assert_int_equal(inspect_tree(0, &maps), count);
   free(maps);
}

static struct drm_panthor_vm_bind_op
map_with(struct fixture *f, struct drm_panthor_sync_op *syncs, uint32_t count)
{
   return pan_with_syncs(pan_map(f->bo, 0, BASE_B, 0x1000), syncs, count);
}

/* ---------------------------------------------------------------------- fences */

static void
a_binary_fence_comes_out(void **state)
{
   struct fixture *f = *state;
   struct drm_panthor_sync_op signal = pan_signal(f->out);

   assert_int_equal(pan_bind_async(f->fd, f->vm, map_with(f, &signal, 1)), 0);
   assert_int_equal(pan_syncobj_wait(f->fd, f->out, 10 * SECOND), 0);
   assert_int_equal(pan_syncobj_status(f->fd, f->out), 1);
   expect_mappings(1);
}

static void
a_timeline_point_comes_out(void **state)
{
   struct fixture *f = *state;
   struct drm_panthor_sync_op signal = pan_signal_point(f->timeline, 3);

   assert_int_equal(pan_bind_async(f->fd, f->vm, map_with(f, &signal, 1)), 0);
   assert_int_equal(pan_syncobj_wait_point(f->fd, f->timeline, 3, 10 * SECOND), 0);
   assert_int_equal(pan_syncobj_query(f->fd, f->timeline), 3);
}

static void
a_signaled_fence_may_be_waited_for(void **state)
{
   struct fixture *f = *state;
   struct drm_panthor_sync_op syncs[] = { pan_wait(f->in), pan_signal(f->out) };

   pan_syncobj_signal(f->fd, f->in);
   assert_int_equal(pan_bind_async(f->fd, f->vm, map_with(f, syncs, 2)), 0);
   assert_int_equal(pan_syncobj_wait(f->fd, f->out, 10 * SECOND), 0);
}

static void
waiting_for_a_syncobj_without_a_fence_is_einval(void **state)
{
   struct fixture *f = *state;
   struct drm_panthor_sync_op wait = pan_wait(f->in);

   assert_int_equal(pan_bind_async(f->fd, f->vm, map_with(f, &wait, 1)), -EINVAL);
   expect_mappings(0);
}

static void
waiting_for_a_point_before_it_is_submitted_is_einval(void **state)
{
   struct fixture *f = *state;
   struct drm_panthor_sync_op wait = pan_wait_point(f->timeline, 5);

   assert_int_equal(pan_bind_async(f->fd, f->vm, map_with(f, &wait, 1)), -EINVAL);
   expect_mappings(0);
}

static void
waiting_for_an_unknown_syncobj_is_enoent(void **state)
{
   struct fixture *f = *state;
   struct drm_panthor_sync_op wait = pan_wait(0x1234);

   assert_int_equal(pan_bind_async(f->fd, f->vm, map_with(f, &wait, 1)), -ENOENT);
}

static void
operations_of_one_bind_may_wait_for_one_another(void **state)
{
   struct fixture *f = *state;
   struct drm_panthor_sync_op first[] = { pan_signal_point(f->timeline, 4) };
   struct drm_panthor_sync_op second[] = { pan_wait_point(f->timeline, 4),
                                           pan_signal_point(f->timeline, 5) };
   struct drm_panthor_sync_op third[] = { pan_wait_point(f->timeline, 5),
                                          pan_signal_point(f->timeline, 6) };
   struct drm_panthor_vm_bind_op ops[] = {
      pan_with_syncs(pan_map(f->bo, 0, BASE_B, 0x10000), first, 1),
      pan_with_syncs(pan_unmap(BASE_B + 0x4000, 0x4000), second, 2),
      { .flags = DRM_PANTHOR_VM_BIND_OP_TYPE_SYNC_ONLY, .syncs = DRM_PANTHOR_OBJ_ARRAY(2, third) },
   };

   assert_int_equal(pan_bind(f->fd, f->vm, DRM_PANTHOR_VM_BIND_ASYNC, ops, 3, NULL), 0);
   assert_int_equal(pan_syncobj_wait_point(f->fd, f->timeline, 6, 10 * SECOND), 0);
   expect_mappings(2);
}

static void
a_sync_only_operation_needs_a_sync(void **state)
{
   struct fixture *f = *state;

   assert_int_equal(pan_bind_async(f->fd, f->vm,
                                   (struct drm_panthor_vm_bind_op){
                                      .flags = DRM_PANTHOR_VM_BIND_OP_TYPE_SYNC_ONLY }),
                    -EINVAL);
}

/* -------------------------------------------------------------------- failures */

static void
bad_operations_are_refused_when_they_are_submitted(void **state)
{
   struct fixture *f = *state;
   struct drm_panthor_sync_op signal = pan_signal(f->out);
   struct drm_panthor_vm_bind_op ops[] = {
      pan_map(f->bo, 0, BASE_B, 0x1000),
      pan_with_syncs(pan_map(0xbeef, 0, BASE_B, 0x1000), &signal, 1),
   };

   assert_int_equal(pan_bind(f->fd, f->vm, DRM_PANTHOR_VM_BIND_ASYNC, ops, 2, NULL), -EINVAL);
   assert_int_equal(pan_vm_state(f->fd, f->vm), DRM_PANTHOR_VM_STATE_USABLE);
   /* All or nothing, unlike synchronous ones */
   expect_mappings(0);
}

/* Unlike a synchronous one, which does nothing */
static void
a_map_of_no_size_leaves_an_empty_mapping(void **state)
{
   struct fixture *f = *state;
   struct inspect_mapping *maps;
   struct drm_panthor_sync_op signal = pan_signal(f->out);

   assert_int_equal(
      pan_bind_async(f->fd, f->vm, pan_with_syncs(pan_map(f->bo, 0, BASE_B, 0), &signal, 1)), 0);
   assert_int_equal(pan_syncobj_wait(f->fd, f->out, 10 * SECOND), 0);
   assert_int_equal(pan_syncobj_status(f->fd, f->out), 1);
   assert_int_equal(inspect_tree(0, &maps), 1);
   assert_int_equal(maps[0].addr_B, BASE_B);
   assert_int_equal(maps[0].range_B, 0);
   free(maps);
}

/* Leaves the VM unusable. */
static void
fail_at_run_time(struct fixture *f)
{
   struct drm_panthor_sync_op signal = pan_signal(f->out);

   inspect_set_fault("fail_map", 1);
   assert_int_equal(pan_bind_async(f->fd, f->vm, map_with(f, &signal, 1)), 0);
   assert_int_equal(pan_syncobj_wait(f->fd, f->out, 10 * SECOND), 0);
}

static void
a_failure_at_run_time_is_in_the_fence(void **state)
{
   struct fixture *f = *state;

   fail_at_run_time(f);
   assert_int_equal(pan_syncobj_status(f->fd, f->out), -ENOMEM);
   assert_int_equal(pan_vm_state(f->fd, f->vm), DRM_PANTHOR_VM_STATE_UNUSABLE);
   expect_mappings(0);
}

static void
an_unusable_vm_takes_unmaps_only(void **state)
{
   struct fixture *f = *state;

   assert_int_equal(pan_bind_sync(f->fd, f->vm, pan_map(f->bo, 0, 2 * BASE_B, 0x2000)), 0);
   fail_at_run_time(f);
   assert_int_equal(pan_bind_sync(f->fd, f->vm, pan_map(f->bo, 0, BASE_B, 0x1000)), -EINVAL);
   assert_int_equal(pan_bind_sync(f->fd, f->vm, pan_unmap(2 * BASE_B, 0x1000)), 0);
   expect_mappings(1);
}

static void
other_vms_do_not_care(void **state)
{
   struct fixture *f = *state;
   const uint32_t other = pan_vm_create(f->fd);

   fail_at_run_time(f);
   assert_int_equal(pan_vm_state(f->fd, other), DRM_PANTHOR_VM_STATE_USABLE);
   assert_int_equal(pan_bind_sync(f->fd, other, pan_map(f->bo, 0, BASE_B, 0x1000)), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
   const struct CMUnitTest tests[] = {
      TEST(a_binary_fence_comes_out),
      TEST(a_timeline_point_comes_out),
      TEST(a_signaled_fence_may_be_waited_for),
      TEST(waiting_for_a_syncobj_without_a_fence_is_einval),
      TEST(waiting_for_a_point_before_it_is_submitted_is_einval),
      TEST(waiting_for_an_unknown_syncobj_is_enoent),
      TEST(operations_of_one_bind_may_wait_for_one_another),
      TEST(a_sync_only_operation_needs_a_sync),
      TEST(bad_operations_are_refused_when_they_are_submitted),
      TEST(a_map_of_no_size_leaves_an_empty_mapping),
      TEST(a_failure_at_run_time_is_in_the_fence),
      TEST(an_unusable_vm_takes_unmaps_only),
      TEST(other_vms_do_not_care),
   };

   return cmocka_run_group_tests_name("bind-async", tests, NULL, NULL);
}

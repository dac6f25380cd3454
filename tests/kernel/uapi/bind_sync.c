/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Synchronous binds: what the driver's tree looks like after them, and what is refused.
 *
 * A tree is written as the list of its mappings; objects are named by the BO's number.
 */

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "inspect.h"
#include "panthor.h"

#define BASE_B  0x10000000ull
#define BO_B    0x100000ull
#define USER_VA (1ull << 47)
/* Since here the kernel checks that a MAP is in the user's part of the address space. */
#define MINOR_CHECKS_USER_VA 8
#define MINOR_SPARSE         8

struct fixture {
   int fd;
   int minor;
   uint32_t vm;
   /* Shared, and private to the VM */
   uint32_t bo, private_bo;
};

static int
setup(void **state)
{
   struct fixture *f = calloc(1, sizeof(*f));

   f->fd = pan_open();
   f->minor = pan_minor(f->fd);
   f->vm = pan_vm_create(f->fd);
   f->bo = pan_bo_create(f->fd, BO_B, 0);
   f->private_bo = pan_bo_create(f->fd, BO_B, f->vm);
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

struct expected {
   uint64_t addr_B, range_B;
   uint32_t bo;
   uint64_t offset_B;
};

static void
expect_tree(const struct fixture *f, const struct expected *expected, int count)
{
   struct inspect_mapping *maps;

   assert_int_equal(inspect_tree(0, &maps), count);
   for (int i = 0; i < count; i++) {
      assert_int_equal(maps[i].addr_B, expected[i].addr_B);
      assert_int_equal(maps[i].range_B, expected[i].range_B);
      assert_int_equal(maps[i].object, inspect_object(f->fd, expected[i].bo).object);
      assert_int_equal(maps[i].offset_B, expected[i].offset_B);
   }
   free(maps);
}

#define EXPECT_TREE(f, ...)                                                                       \
   do {                                                                                           \
      const struct expected expected_[] = { __VA_ARGS__ };                                        \
      expect_tree(f, expected_, sizeof(expected_) / sizeof(expected_[0]));                        \
   } while (0)

/* ---------------------------------------------------------------- what is done */

static void
a_new_vm_is_usable_and_empty(void **state)
{
   struct fixture *f = *state;

   assert_int_equal(pan_vm_state(f->fd, f->vm), DRM_PANTHOR_VM_STATE_USABLE);
   expect_tree(f, NULL, 0);
}

static void
a_vm_has_the_lower_half_for_the_user(void **state)
{
   struct fixture *f = *state;
   struct drm_panthor_vm_create create = { 0 };

   assert_int_equal(pan_ioctl(f->fd, DRM_IOCTL_PANTHOR_VM_CREATE, &create), 0);
   assert_int_equal(create.user_va_range, USER_VA);
}

static void
a_map_is_one_mapping(void **state)
{
   struct fixture *f = *state;

   assert_int_equal(pan_bind_sync(f->fd, f->vm, pan_map(f->bo, 0x2000, BASE_B, 0x8000)), 0);
   EXPECT_TREE(f, { BASE_B, 0x8000, f->bo, 0x2000 });
}

static void
adjacent_maps_stay_two(void **state)
{
   struct fixture *f = *state;

   assert_int_equal(pan_bind_sync(f->fd, f->vm, pan_map(f->bo, 0, BASE_B, 0x1000)), 0);
   assert_int_equal(pan_bind_sync(f->fd, f->vm, pan_map(f->bo, 0x1000, BASE_B + 0x1000, 0x1000)),
                    0);
   EXPECT_TREE(f, { BASE_B, 0x1000, f->bo, 0 }, { BASE_B + 0x1000, 0x1000, f->bo, 0x1000 });
}

static void
an_unmap_in_the_middle_splits(void **state)
{
   struct fixture *f = *state;

   assert_int_equal(pan_bind_sync(f->fd, f->vm, pan_map(f->bo, 0, BASE_B, 0x100000)), 0);
   assert_int_equal(pan_bind_sync(f->fd, f->vm, pan_unmap(BASE_B + 0x40000, 0x20000)), 0);
   EXPECT_TREE(f, { BASE_B, 0x40000, f->bo, 0 },
               { BASE_B + 0x60000, 0xa0000, f->bo, 0x60000 });
}

static void
a_map_over_an_end_cuts_it(void **state)
{
   struct fixture *f = *state;

   assert_int_equal(pan_bind_sync(f->fd, f->vm, pan_map(f->bo, 0, BASE_B, 0x40000)), 0);
   assert_int_equal(
      pan_bind_sync(f->fd, f->vm, pan_map(f->private_bo, 0x1000, BASE_B + 0x3f000, 0x3000)), 0);
   EXPECT_TREE(f, { BASE_B, 0x3f000, f->bo, 0 },
               { BASE_B + 0x3f000, 0x3000, f->private_bo, 0x1000 });
}

static void
a_map_inside_a_mapping_cuts_it_in_two(void **state)
{
   struct fixture *f = *state;

   assert_int_equal(pan_bind_sync(f->fd, f->vm, pan_map(f->bo, 0, BASE_B, 0x10000)), 0);
   assert_int_equal(
      pan_bind_sync(f->fd, f->vm, pan_map(f->private_bo, 0, BASE_B + 0x4000, 0x4000)), 0);
   EXPECT_TREE(f, { BASE_B, 0x4000, f->bo, 0 }, { BASE_B + 0x4000, 0x4000, f->private_bo, 0 },
               { BASE_B + 0x8000, 0x8000, f->bo, 0x8000 });
}

static void
an_unmap_of_nothing_is_accepted(void **state)
{
   struct fixture *f = *state;

   assert_int_equal(pan_bind_sync(f->fd, f->vm, pan_unmap(BASE_B, 0x10000)), 0);
}

static void
an_unmap_of_everything_leaves_nothing(void **state)
{
   struct fixture *f = *state;

   assert_int_equal(pan_bind_sync(f->fd, f->vm, pan_map(f->bo, 0, BASE_B, 0x10000)), 0);
   assert_int_equal(pan_bind_sync(f->fd, f->vm, pan_map(f->bo, 0, 4 * BASE_B, 0x10000)), 0);
   assert_int_equal(pan_bind_sync(f->fd, f->vm, pan_unmap(0, 1ull << 32)), 0);
   expect_tree(f, NULL, 0);
}

static void
a_mapping_keeps_a_closed_bo(void **state)
{
   struct fixture *f = *state;
   struct inspect_mapping *maps;

   assert_int_equal(pan_bind_sync(f->fd, f->vm, pan_map(f->bo, 0, BASE_B, 0x1000)), 0);
   pan_bo_close(f->fd, f->bo);
   assert_int_equal(inspect_tree(0, &maps), 1);
   free(maps);
}

static void
sparse_maps_since_1_8(void **state)
{
   struct fixture *f = *state;
   const struct drm_panthor_vm_bind_op op = {
      .flags = DRM_PANTHOR_VM_BIND_OP_MAP_SPARSE | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC,
      .va = 4 * BASE_B,
      .size = 0x400000,
   };

   assert_int_equal(pan_bind_sync(f->fd, f->vm, op), f->minor >= MINOR_SPARSE ? 0 : -EINVAL);
   /* A piece of it can be replaced. */
   assert_int_equal(pan_bind_sync(f->fd, f->vm, pan_map(f->bo, 0, 4 * BASE_B + 0x100000, 0x10000)),
                    0);
}

static void
a_map_of_no_size_is_accepted_and_does_nothing(void **state)
{
   struct fixture *f = *state;

   assert_int_equal(pan_bind_sync(f->fd, f->vm, pan_map(f->bo, 0, BASE_B, 0)), 0);
   expect_tree(f, NULL, 0);
}

/* -------------------------------------------------------------- what is refused */

static void
expect_map_refused(struct fixture *f, struct drm_panthor_vm_bind_op op)
{
   assert_int_equal(pan_bind_sync(f->fd, f->vm, op), -EINVAL);
   assert_int_equal(pan_vm_state(f->fd, f->vm), DRM_PANTHOR_VM_STATE_USABLE);
   expect_tree(f, NULL, 0);
}

static void
a_misaligned_address_is_einval(void **state)
{
   struct fixture *f = *state;

   expect_map_refused(f, pan_map(f->bo, 0, BASE_B + 0x800, 0x1000));
}

static void
a_misaligned_size_is_einval(void **state)
{
   struct fixture *f = *state;

   expect_map_refused(f, pan_map(f->bo, 0, BASE_B, 0x1800));
}

static void
a_misaligned_offset_is_einval(void **state)
{
   struct fixture *f = *state;

   expect_map_refused(f, pan_map(f->bo, 0x10, BASE_B, 0x1000));
}

static void
an_unknown_handle_is_einval(void **state)
{
   struct fixture *f = *state;

   expect_map_refused(f, pan_map(0xdead, 0, BASE_B, 0x1000));
}

static void
a_map_beyond_the_bo_is_einval(void **state)
{
   struct fixture *f = *state;

   expect_map_refused(f, pan_map(f->bo, 0x1000, BASE_B, BO_B));
}

static void
an_unknown_operation_is_einval(void **state)
{
   struct fixture *f = *state;
   struct drm_panthor_vm_bind_op op = pan_map(f->bo, 0, BASE_B, 0x1000);

   op.flags = 5u << 28;
   expect_map_refused(f, op);
}

static void
sparse_without_noexec_is_einval(void **state)
{
   struct fixture *f = *state;

   expect_map_refused(f, (struct drm_panthor_vm_bind_op){
                            .flags = DRM_PANTHOR_VM_BIND_OP_MAP_SPARSE,
                            .va = BASE_B,
                            .size = 0x1000,
                         });
}

static void
syncs_of_a_synchronous_bind_are_einval(void **state)
{
   struct fixture *f = *state;
   const uint32_t syncobj = pan_syncobj_create(f->fd);
   struct drm_panthor_sync_op signal = pan_signal(syncobj);

   expect_map_refused(f, pan_with_syncs(pan_map(f->bo, 0, BASE_B, 0x1000), &signal, 1));
}

static void
another_vms_private_bo_is_einval(void **state)
{
   struct fixture *f = *state;
   const uint32_t other = pan_vm_create(f->fd);

   assert_int_equal(pan_bind_sync(f->fd, other, pan_map(f->private_bo, 0, BASE_B, 0x1000)),
                    -EINVAL);
}

static void
an_unknown_vm_is_einval(void **state)
{
   struct fixture *f = *state;

   assert_int_equal(pan_bind_sync(f->fd, f->vm + 7, pan_map(f->bo, 0, BASE_B, 0x1000)), -EINVAL);
}

static void
a_destroyed_vm_is_einval(void **state)
{
   struct fixture *f = *state;

   assert_int_equal(pan_vm_destroy(f->fd, f->vm), 0);
   assert_int_equal(pan_vm_state(f->fd, f->vm), -EINVAL);
   assert_int_equal(pan_vm_destroy(f->fd, f->vm), -EINVAL);
}

static void
the_kernels_part_is_refused_since_1_8(void **state)
{
   struct fixture *f = *state;
   const int expected = f->minor >= MINOR_CHECKS_USER_VA ? -EINVAL : 0;

   assert_int_equal(pan_bind_sync(f->fd, f->vm, pan_map(f->bo, 0, USER_VA, 0x1000)), expected);
   assert_int_equal(pan_bind_sync(f->fd, f->vm, pan_map(f->bo, 0, USER_VA - 0x1000, 0x2000)),
                    expected);
}

static void
unknown_bind_flags_are_ignored(void **state)
{
   struct fixture *f = *state;
   struct drm_panthor_vm_bind_op op = pan_map(f->bo, 0, BASE_B, 0x1000);

   assert_int_equal(pan_bind(f->fd, f->vm, 2, &op, 1, NULL), 0);
   EXPECT_TREE(f, { BASE_B, 0x1000, f->bo, 0 });
}

/* ------------------------------------------------------------ partial failures */

static void
a_failing_batch_applies_what_comes_before(void **state)
{
   struct fixture *f = *state;
   struct drm_panthor_vm_bind_op ops[] = {
      pan_map(f->bo, 0, BASE_B, 0x1000),
      pan_map(f->bo, 0, BASE_B + 0x1800, 0x1000),
      pan_map(f->bo, 0, BASE_B + 0x2000, 0x1000),
   };
   uint32_t count;

   assert_int_equal(pan_bind(f->fd, f->vm, 0, ops, 3, &count), -EINVAL);
   assert_int_equal(count, 1);
   assert_int_equal(pan_vm_state(f->fd, f->vm), DRM_PANTHOR_VM_STATE_USABLE);
   EXPECT_TREE(f, { BASE_B, 0x1000, f->bo, 0 });
}

static void
running_out_of_memory_applies_what_comes_before(void **state)
{
   struct fixture *f = *state;
   struct drm_panthor_vm_bind_op ops[4];
   uint32_t count;

   for (unsigned i = 0; i < 4; i++)
      ops[i] = pan_map(f->bo, 0, BASE_B + i * 0x2000, 0x1000);
   inspect_set_fault("fail_map", 3);
   assert_int_equal(pan_bind(f->fd, f->vm, 0, ops, 4, &count), -ENOMEM);
   assert_int_equal(inspect_get_fault("fail_map"), 0);
   assert_int_equal(count, 2);
   EXPECT_TREE(f, { BASE_B, 0x1000, f->bo, 0 }, { BASE_B + 0x2000, 0x1000, f->bo, 0 });
   assert_int_equal(pan_vm_state(f->fd, f->vm), DRM_PANTHOR_VM_STATE_USABLE);
}

static void
a_failing_unmap_leaves_the_mapping(void **state)
{
   struct fixture *f = *state;

   assert_int_equal(pan_bind_sync(f->fd, f->vm, pan_map(f->bo, 0, BASE_B, 0x2000)), 0);
   inspect_set_fault("fail_unmap", 1);
   assert_int_equal(pan_bind_sync(f->fd, f->vm, pan_unmap(BASE_B, 0x1000)), -ENOMEM);
   EXPECT_TREE(f, { BASE_B, 0x2000, f->bo, 0 });
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
   const struct CMUnitTest tests[] = {
      TEST(a_new_vm_is_usable_and_empty),
      TEST(a_vm_has_the_lower_half_for_the_user),
      TEST(a_map_is_one_mapping),
      TEST(adjacent_maps_stay_two),
      TEST(an_unmap_in_the_middle_splits),
      TEST(a_map_over_an_end_cuts_it),
      TEST(a_map_inside_a_mapping_cuts_it_in_two),
      TEST(an_unmap_of_nothing_is_accepted),
      TEST(an_unmap_of_everything_leaves_nothing),
      TEST(a_mapping_keeps_a_closed_bo),
      TEST(sparse_maps_since_1_8),
      TEST(a_map_of_no_size_is_accepted_and_does_nothing),
      TEST(a_misaligned_address_is_einval),
      TEST(a_misaligned_size_is_einval),
      TEST(a_misaligned_offset_is_einval),
      TEST(an_unknown_handle_is_einval),
      TEST(a_map_beyond_the_bo_is_einval),
      TEST(an_unknown_operation_is_einval),
      TEST(sparse_without_noexec_is_einval),
      TEST(syncs_of_a_synchronous_bind_are_einval),
      TEST(another_vms_private_bo_is_einval),
      TEST(an_unknown_vm_is_einval),
      TEST(a_destroyed_vm_is_einval),
      TEST(the_kernels_part_is_refused_since_1_8),
      TEST(unknown_bind_flags_are_ignored),
      TEST(a_failing_batch_applies_what_comes_before),
      TEST(running_out_of_memory_applies_what_comes_before),
      TEST(a_failing_unmap_leaves_the_mapping),
   };

   return cmocka_run_group_tests_name("bind-sync", tests, NULL, NULL);
}

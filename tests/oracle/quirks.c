/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What the kernel's drm_gpuvm does where one might expect something else.  The
 * mirror, the planner and the simulator rely on these; a kernel that changes one
 * of them fails here first.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "oracle.h"

#define PAGE_B 4096ull
#define VA_B   (1ull << 32)
#define AT(page) (VA_B + (page) * PAGE_B)

#define MAX_STEPS 8

struct world {
   struct oracle *oracle;
   uint32_t bo;
   struct oracle_step steps[MAX_STEPS];
   size_t step_count;
};

static void
record(const struct oracle_step *step, void *data)
{
   struct world *w = data;

   assert_true(w->step_count < MAX_STEPS);
   w->steps[w->step_count++] = *step;
}

static int
setup(void **state)
{
   static struct world w;
   const struct oracle_params params = {
      .va_start_B = VA_B,
      .va_range_B = 1ull << 32,
      .kernel_start_B = AT(1000),
      .kernel_range_B = PAGE_B,
   };

   w = (struct world){ .oracle = oracle_create(&params) };
   w.bo = oracle_bo_create(w.oracle, false);
   oracle_set_step_fn(w.oracle, record, &w);
   *state = &w;
   return 0;
}

static int
teardown(void **state)
{
   struct world *w = *state;

   oracle_destroy(w->oracle);
   assert_int_equal(oracle_warnings(), 0);
   assert_int_equal(oracle_allocations(), 0);
   return 0;
}

/** Maps with the steps recorded anew. */
static void
map(struct world *w, uint64_t page, uint64_t pages, uint64_t bo_page, uint32_t flags)
{
   const struct oracle_mapping mapping = {
      .addr_B = AT(page),
      .range_B = pages * PAGE_B,
      .offset_B = bo_page * PAGE_B,
      .bo = w->bo,
      .flags = flags,
   };

   w->step_count = 0;
   assert_int_equal(oracle_map(w->oracle, &mapping), 0);
}

static int
unmap(struct world *w, uint64_t page, uint64_t pages)
{
   w->step_count = 0;
   return oracle_unmap(w->oracle, AT(page), pages * PAGE_B);
}

static void
neighbours_are_never_merged(void **state)
{
   struct world *w = *state;

   map(w, 0, 1, 0, 0);
   map(w, 1, 1, 1, 0);
   assert_int_equal(oracle_mapping_count(w->oracle), 2);
}

static void
an_identical_bind_is_an_unmap_with_keep_and_a_map(void **state)
{
   struct world *w = *state;

   map(w, 0, 4, 8, 0);
   map(w, 0, 4, 8, 0);
   assert_int_equal(w->step_count, 2);
   assert_int_equal(w->steps[0].type, ORACLE_STEP_UNMAP);
   assert_true(w->steps[0].keep);
   assert_int_equal(w->steps[1].type, ORACLE_STEP_MAP);
}

static void
keep_looks_at_the_backing_and_not_at_flags(void **state)
{
   struct world *w = *state;

   map(w, 0, 4, 8, 1);
   map(w, 0, 4, 8, 2);
   assert_true(w->steps[0].keep);
   map(w, 0, 4, 9, 2);
   assert_false(w->steps[0].keep);
}

static void
a_piece_in_the_middle_is_one_remap(void **state)
{
   struct world *w = *state;

   map(w, 0, 9, 0, 0);
   map(w, 4, 1, 4, 0);
   assert_int_equal(w->step_count, 2);
   assert_int_equal(w->steps[0].type, ORACLE_STEP_REMAP);
   assert_true(w->steps[0].keep);
   assert_int_equal(w->steps[0].prev.range_B, 4 * PAGE_B);
   assert_int_equal(w->steps[0].next.addr_B, AT(5));
   assert_int_equal(w->steps[0].next.offset_B, 5 * PAGE_B);
   assert_int_equal(oracle_mapping_count(w->oracle), 3);
}

static void
unmapping_a_hole_is_allowed(void **state)
{
   struct world *w = *state;

   assert_int_equal(unmap(w, 50, 10), 0);
   assert_int_equal(w->step_count, 0);
}

/* The mirror refuses it. */
static void
an_empty_unmap_inside_a_mapping_splits_it(void **state)
{
   struct world *w = *state;

   map(w, 0, 4, 0, 0);
   assert_int_equal(unmap(w, 2, 0), 0);
   assert_int_equal(oracle_mapping_count(w->oracle), 2);
}

static void
the_kernels_window_refuses_all_that_touch_it(void **state)
{
   struct world *w = *state;
   const struct oracle_mapping across = {
      .addr_B = AT(990), .range_B = 20 * PAGE_B, .bo = w->bo,
   };

   assert_true(oracle_map(w->oracle, &across) < 0);
   assert_true(unmap(w, 990, 20) < 0);
   assert_int_equal(oracle_mapping_count(w->oracle), 0);
}

static void
a_vm_bo_lives_as_long_as_its_mappings(void **state)
{
   struct world *w = *state;

   assert_false(oracle_bo_has_vm_bo(w->oracle, w->bo));
   map(w, 0, 4, 0, 0);
   unmap(w, 1, 1);
   assert_int_equal(oracle_bo_mapping_count(w->oracle, w->bo), 2);
   unmap(w, 0, 4);
   assert_false(oracle_bo_has_vm_bo(w->oracle, w->bo));
}

#define QUIRK(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
   const struct CMUnitTest tests[] = {
      QUIRK(neighbours_are_never_merged),
      QUIRK(an_identical_bind_is_an_unmap_with_keep_and_a_map),
      QUIRK(keep_looks_at_the_backing_and_not_at_flags),
      QUIRK(a_piece_in_the_middle_is_one_remap),
      QUIRK(unmapping_a_hole_is_allowed),
      QUIRK(an_empty_unmap_inside_a_mapping_splits_it),
      QUIRK(the_kernels_window_refuses_all_that_touch_it),
      QUIRK(a_vm_bo_lives_as_long_as_its_mappings),
   };

   return cmocka_run_group_tests_name(oracle_kernel_version(), tests, NULL, NULL);
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The planner, as a specification: given what is mapped, this batch gives these operations.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/util/prop.h"
#include "util/macros.h"
#include "vmbind/vmb_plan.h"

#define PAGE 0x1000ull
#define BASE 0x100000ull

struct fixture {
   struct vmb_gpuvm *gpuvm;
   struct vmb_gpuvm_obj obj[2];
   /* "a" and "b" below. */
   struct vmb_gpuvm_bo *bo[2];
   struct vmb_plan plan;
};

static void
keep(struct vmb_gpuvm_obj *obj)
{
   (void)obj;
}

static int
setup(void **state)
{
   static struct fixture f;
   const struct vmb_gpuvm_params params = {
      .va_start_B = 0,
      .va_range_B = 1ull << 40,
      .page_size_B = PAGE,
   };

   assert_int_equal(vmb_gpuvm_create(&params, &f.gpuvm), 0);
   for (unsigned i = 0; i < 2; i++) {
      vmb_gpuvm_obj_init(&f.obj[i], 1ull << 30, keep, keep);
      assert_int_equal(vmb_gpuvm_bo_obtain(f.gpuvm, &f.obj[i], false, &f.bo[i]), 0);
   }
   vmb_plan_init(&f.plan, &(struct vmb_plan_params){ 0 });
   *state = &f;
   return 0;
}

static int
teardown(void **state)
{
   struct fixture *f = *state;

   vmb_plan_finish(&f->plan);
   vmb_gpuvm_clear(f->gpuvm);
   for (unsigned i = 0; i < 2; i++) {
      vmb_gpuvm_bo_put(f->bo[i]);
      vmb_gpuvm_obj_finish(&f->obj[i]);
   }
   vmb_gpuvm_unref(f->gpuvm);
   return 0;
}

/* In pages from BASE on. */
static struct vmb_gpuvm_req
map(const struct fixture *f, char bo, uint64_t page, uint64_t pages, uint64_t bo_page)
{
   return (struct vmb_gpuvm_req){
      .map = {
         .addr_B = BASE + page * PAGE,
         .range_B = pages * PAGE,
         .vm_bo = f->bo[bo - 'a'],
         .offset_B = bo_page * PAGE,
      },
   };
}

static struct vmb_gpuvm_req
null(uint64_t page, uint64_t pages)
{
   return (struct vmb_gpuvm_req){
      .map = {
         .addr_B = BASE + page * PAGE,
         .range_B = pages * PAGE,
         .flags = VMB_MAPPING_NULL,
      },
   };
}

static struct vmb_gpuvm_req
unmap(uint64_t page, uint64_t pages)
{
   return (struct vmb_gpuvm_req){
      .map = { .addr_B = BASE + page * PAGE, .range_B = pages * PAGE },
      .unmap = true,
   };
}

static void
apply(struct fixture *f, const struct vmb_gpuvm_req *reqs, size_t count)
{
   assert_int_equal(vmb_gpuvm_reserve(f->gpuvm, reqs, count, NULL), 0);
   for (size_t i = 0; i < count; i++) {
      if (reqs[i].unmap)
         vmb_gpuvm_unmap(f->gpuvm, reqs[i].map.addr_B, reqs[i].map.range_B, NULL);
      else
         vmb_gpuvm_map(f->gpuvm, &reqs[i].map, NULL);
   }
}

static void
expect_ops(struct fixture *f, const struct vmb_gpuvm_req *reqs, size_t count,
           const struct vmb_gpuvm_req *want, size_t want_count)
{
   assert_int_equal(vmb_plan_build(&f->plan, f->gpuvm, reqs, count), 0);
   assert_int_equal(f->plan.op_count, want_count);
   for (size_t i = 0; i < want_count; i++) {
      const struct vmb_gpuvm_req *op = &f->plan.ops[i];

      assert_int_equal(op->map.addr_B, want[i].map.addr_B);
      assert_int_equal(op->map.range_B, want[i].map.range_B);
      assert_int_equal(op->unmap, want[i].unmap);
      assert_int_equal(op->map.flags, want[i].map.flags);
      assert_ptr_equal(op->map.vm_bo, want[i].map.vm_bo);
      if (!op->unmap && op->map.vm_bo)
         assert_int_equal(op->map.offset_B, want[i].map.offset_B);
   }
}

#define REQS(...) ((struct vmb_gpuvm_req[]){ __VA_ARGS__ })
#define EXPECT(f, reqs, want)                                                                      \
   expect_ops(f, reqs, sizeof(reqs) / sizeof((reqs)[0]), want, sizeof(want) / sizeof((want)[0]))
#define EXPECT_NOTHING(f, reqs) expect_ops(f, reqs, sizeof(reqs) / sizeof((reqs)[0]), NULL, 0)
#define APPLY(f, reqs) apply(f, reqs, sizeof(reqs) / sizeof((reqs)[0]))

static void
test_contiguous_in_order_is_one(void **state)
{
   struct fixture *f = *state;
   struct vmb_gpuvm_req reqs[4096];

   for (unsigned i = 0; i < 4096; i++)
      reqs[i] = map(f, 'a', i, 1, i);
   EXPECT(f, reqs, REQS(map(f, 'a', 0, 4096, 0)));
   assert_int_equal(f->plan.merged, 4095);
}

static void
test_contiguous_in_any_order_is_one(void **state)
{
   struct fixture *f = *state;
   struct vmb_gpuvm_req reqs[4096];

   /* 1361 and 4096 have no common factor. */
   for (unsigned i = 0; i < 4096; i++)
      reqs[i] = map(f, 'a', i * 1361 % 4096, 1, i * 1361 % 4096);
   EXPECT(f, reqs, REQS(map(f, 'a', 0, 4096, 0)));
}

static void
test_neighbours_that_do_not_continue_stay_apart(void **state)
{
   struct fixture *f = *state;

   EXPECT(f, REQS(map(f, 'a', 0, 1, 0), map(f, 'a', 1, 1, 2), map(f, 'b', 2, 1, 3)),
          REQS(map(f, 'a', 0, 1, 0), map(f, 'a', 1, 1, 2), map(f, 'b', 2, 1, 3)));
}

static void
test_unmaps_and_nulls_merge_whatever_was_there(void **state)
{
   struct fixture *f = *state;

   APPLY(f, REQS(map(f, 'a', 0, 1, 0), map(f, 'b', 1, 1, 0), map(f, 'a', 2, 2, 7)));
   EXPECT(f, REQS(unmap(2, 1), unmap(0, 1), unmap(1, 1)), REQS(unmap(0, 3)));
   EXPECT(f, REQS(null(3, 1), null(2, 1), null(1, 1)), REQS(null(1, 3)));
}

static void
test_last_bind_wins(void **state)
{
   struct fixture *f = *state;

   EXPECT(f, REQS(map(f, 'a', 5, 1, 0), map(f, 'b', 5, 1, 0)), REQS(map(f, 'b', 5, 1, 0)));
   EXPECT(f, REQS(map(f, 'a', 5, 1, 0), unmap(5, 1)), REQS());
   /* A later small one cuts an earlier big one. */
   EXPECT(f, REQS(map(f, 'a', 0, 9, 0), map(f, 'b', 3, 2, 0)),
          REQS(map(f, 'a', 0, 3, 0), map(f, 'b', 3, 2, 0), map(f, 'a', 5, 4, 5)));
   /* A later big one swallows earlier small ones. */
   EXPECT(f, REQS(map(f, 'b', 3, 2, 0), map(f, 'b', 7, 1, 0), map(f, 'a', 0, 9, 0)),
          REQS(map(f, 'a', 0, 9, 0)));
}

static void
test_what_is_there_already_costs_nothing(void **state)
{
   struct fixture *f = *state;

   APPLY(f, REQS(map(f, 'a', 0, 8, 0), null(8, 4)));
   EXPECT_NOTHING(f, REQS(map(f, 'a', 0, 8, 0)));
   EXPECT_NOTHING(f, REQS(map(f, 'a', 3, 2, 3), null(9, 1), unmap(12, 100)));
   assert_int_equal(f->plan.dropped, 3);
   /* Another offset, another BO, other flags are changes. */
   EXPECT(f, REQS(map(f, 'a', 3, 2, 4)), REQS(map(f, 'a', 3, 2, 4)));
   EXPECT(f, REQS(map(f, 'b', 3, 2, 3)), REQS(map(f, 'b', 3, 2, 3)));
   struct vmb_gpuvm_req readonly = map(f, 'a', 3, 2, 3);
   readonly.map.flags = VMB_MAPPING_READONLY;
   EXPECT(f, REQS(readonly), REQS(readonly));
}

static void
test_ends_that_are_there_already_are_trimmed(void **state)
{
   struct fixture *f = *state;

   APPLY(f, REQS(map(f, 'a', 0, 3, 0), map(f, 'a', 7, 3, 7)));
   EXPECT(f, REQS(map(f, 'a', 0, 10, 0)), REQS(map(f, 'a', 3, 4, 3)));
   /* What is right in the middle is not worth a second operation. */
   APPLY(f, REQS(map(f, 'a', 5, 1, 5)));
   EXPECT(f, REQS(map(f, 'a', 0, 10, 0)), REQS(map(f, 'a', 3, 4, 3)));
   /* Holes at the ends of an unmap, and between. */
   EXPECT(f, REQS(unmap(1, 100)), REQS(unmap(1, 9)));
}

static void
test_blocks_are_not_split_by_trimming(void **state)
{
   struct fixture *f = *state;
   const uint64_t first = 0x100; /* BASE + 0x100 pages is a multiple of 2 MiB */

   vmb_plan_finish(&f->plan);
   vmb_plan_init(&f->plan, &(struct vmb_plan_params){ .block_size_B = 1ull << 21 });
   APPLY(f, REQS(map(f, 'a', first, 700, first)));
   /* 1024 pages are two blocks; the change starts inside the second. */
   EXPECT(f, REQS(map(f, 'a', first, 1024, first)), REQS(map(f, 'a', first + 512, 512, first + 512)));
}

static void
test_null_is_cut_at_the_granule(void **state)
{
   struct fixture *f = *state;

   vmb_plan_finish(&f->plan);
   vmb_plan_init(&f->plan, &(struct vmb_plan_params){ .null_granule_B = 1ull << 21 });
   /* BASE is 1 MiB: the first cut comes 0x100 pages on. */
   EXPECT(f, REQS(null(0, 0x100 + 512 + 3)),
          REQS(null(0, 0x100), null(0x100, 512), null(0x300, 3)));
   EXPECT(f, REQS(map(f, 'a', 0, 2000, 0)), REQS(map(f, 'a', 0, 2000, 0)));
}

static void
test_evicted_is_not_there(void **state)
{
   struct fixture *f = *state;

   APPLY(f, REQS(map(f, 'a', 0, 8, 0)));
   assert_int_equal(vmb_gpuvm_bo_set_evicted(f->bo[0], true), 0);
   EXPECT(f, REQS(map(f, 'a', 0, 8, 0)), REQS(map(f, 'a', 0, 8, 0)));
}

static void
test_ordered_mode_sends_what_it_was_given(void **state)
{
   struct fixture *f = *state;

   vmb_plan_finish(&f->plan);
   vmb_plan_init(&f->plan, &(struct vmb_plan_params){ .ordered = true });
   EXPECT(f, REQS(map(f, 'a', 4, 1, 4), unmap(4, 1), map(f, 'a', 3, 1, 3)),
          REQS(map(f, 'a', 4, 1, 4), unmap(4, 1), map(f, 'a', 3, 1, 3)));
   assert_int_equal(f->plan.net_count, 2);
}

/* Where the kernel unmaps whole mappings only. */
static void
test_exact_unmaps(void **state)
{
   struct fixture *f = *state;

   f->plan.params.exact_unmap = true;
   APPLY(f, REQS(map(f, 'a', 0, 4, 0), map(f, 'b', 4, 4, 0), map(f, 'a', 10, 2, 0)));
   /* One of its own for each, holes for nothing. */
   EXPECT(f, REQS(unmap(0, 20)), REQS(unmap(0, 4), unmap(4, 4), unmap(10, 2)));
   /* A part is cut out first. */
   EXPECT(f, REQS(unmap(1, 2)), REQS(map(f, 'a', 1, 2, 1), unmap(1, 2)));
   EXPECT(f, REQS(unmap(3, 3)), REQS(map(f, 'a', 3, 1, 3), unmap(3, 1), map(f, 'b', 4, 2, 0),
                                     unmap(4, 2)));
   /* Unless what comes before has cut it already. */
   EXPECT(f, REQS(map(f, 'b', 0, 2, 8), unmap(2, 2)), REQS(map(f, 'b', 0, 2, 8), unmap(2, 2)));
   EXPECT(f, REQS(map(f, 'b', 1, 1, 8), unmap(2, 1)),
          REQS(map(f, 'b', 1, 1, 8), map(f, 'a', 2, 1, 2), unmap(2, 1)));
   /* A map takes whatever is there. */
   EXPECT(f, REQS(map(f, 'b', 2, 9, 8)), REQS(map(f, 'b', 2, 9, 8)));
}

#define RANDOM_PAGES 48

static void
page_model_apply(struct vmb_mapping *pages, const struct vmb_gpuvm_req *req)
{
   for (uint64_t at_B = req->map.addr_B; at_B < vmb_mapping_end_B(&req->map); at_B += PAGE) {
      struct vmb_mapping *page = &pages[(at_B - BASE) / PAGE];

      *page = vmb_mapping_clip(&req->map, at_B, at_B + PAGE);
      if (req->unmap)
         page->range_B = 0;
   }
}

/* Any batches: each unmap meets one whole mapping, and the outcome is what was asked for. */
static void
test_exact_unmaps_at_random(void **state)
{
   struct fixture *f = *state;
   struct vmb_mapping pages[RANDOM_PAGES] = { 0 };
   const uint64_t seed = prop_seed();
   struct rng rng = { seed };
   unsigned cuts = 0;

   print_message("seed %llu\n", (unsigned long long)seed);
   f->plan.params.exact_unmap = true;
   for (unsigned round = 0; round < 3000; round++) {
      struct vmb_gpuvm_req reqs[6];
      const unsigned count = 1 + rng_below(&rng, 6);

      for (unsigned i = 0; i < count; i++) {
         const uint64_t page = rng_below(&rng, RANDOM_PAGES);
         const uint64_t size = 1 + rng_below(&rng, MIN2(RANDOM_PAGES - page, 12));

         reqs[i] = rng_one_in(&rng, 2)
                      ? unmap(page, size)
                      : map(f, 'a' + rng_below(&rng, 2), page, size, rng_below(&rng, 4));
         page_model_apply(pages, &reqs[i]);
      }
      assert_int_equal(vmb_plan_build(&f->plan, f->gpuvm, reqs, count), 0);
      for (size_t i = 0; i < f->plan.op_count; i++) {
         const struct vmb_gpuvm_req *op = &f->plan.ops[i];
         struct vmb_mapping m;

         if (op->unmap) {
            assert_true(vmb_gpuvm_find(f->gpuvm, op->map.addr_B, &m));
            assert_int_equal(m.addr_B, op->map.addr_B);
            assert_int_equal(m.range_B, op->map.range_B);
            cuts += i > 0 && op[-1].map.addr_B == op->map.addr_B;
         }
         apply(f, op, 1);
      }
      for (unsigned i = 0; i < RANDOM_PAGES; i++) {
         struct vmb_mapping m;

         assert_int_equal(vmb_gpuvm_find(f->gpuvm, BASE + i * PAGE, &m), pages[i].range_B > 0);
         if (!pages[i].range_B)
            continue;
         m = vmb_mapping_clip(&m, BASE + i * PAGE, BASE + (i + 1) * PAGE);
         assert_ptr_equal(m.vm_bo, pages[i].vm_bo);
         assert_int_equal(m.offset_B, pages[i].offset_B);
      }
   }
   assert_true(cuts > 1000);
}

static void
test_empty_batch(void **state)
{
   struct fixture *f = *state;

   expect_ops(f, NULL, 0, NULL, 0);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
   const struct CMUnitTest tests[] = {
      TEST(test_contiguous_in_order_is_one),
      TEST(test_contiguous_in_any_order_is_one),
      TEST(test_neighbours_that_do_not_continue_stay_apart),
      TEST(test_unmaps_and_nulls_merge_whatever_was_there),
      TEST(test_last_bind_wins),
      TEST(test_what_is_there_already_costs_nothing),
      TEST(test_ends_that_are_there_already_are_trimmed),
      TEST(test_blocks_are_not_split_by_trimming),
      TEST(test_null_is_cut_at_the_granule),
      TEST(test_evicted_is_not_there),
      TEST(test_ordered_mode_sends_what_it_was_given),
      TEST(test_exact_unmaps),
      TEST(test_exact_unmaps_at_random),
      TEST(test_empty_batch),
   };

   return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}

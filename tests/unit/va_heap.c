/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The VA heap, case by case: what a driver may rely on.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/util/fail_alloc.h"
#include "tests/util/prop.h"
#include "util/macros.h"
#include "vmbind/vmb_va_heap.h"

#define KiB (1ull << 10)
#define MiB (1ull << 20)
#define GiB (1ull << 30)

#define START       (16 * MiB)
#define GENERAL_B   (1024 * MiB)
#define GENERAL_END (START + GENERAL_B)

static const struct vmb_va_heap_info default_info = {
   .page_size_B = 4 * KiB,
   .zones[VMB_VA_ZONE_GENERAL] = { START, GENERAL_B, false },
};

static struct vmb_va_heap *
make(const struct vmb_va_heap_info *info)
{
   struct vmb_va_heap *heap;

   assert_int_equal(vmb_va_heap_create(info, &heap), 0);
   return heap;
}

static void
finish(struct vmb_va_heap *heap)
{
   assert_null(vmb_va_heap_check(heap));
   vmb_va_heap_destroy(heap);
}

/* Most cases know one zone only: none named is the general one. */
static uint64_t
alloc(struct vmb_va_heap *heap, struct vmb_va_alloc_info info)
{
   uint64_t va = 0;

   if (info.zone == VMB_VA_ZONE_LOW)
      info.zone = VMB_VA_ZONE_GENERAL;
   assert_int_equal(vmb_va_heap_alloc(heap, &info, &va), 0);
   assert_null(vmb_va_heap_check(heap));
   return va;
}

#define ALLOC(heap, ...) alloc(heap, (struct vmb_va_alloc_info){ __VA_ARGS__ })
#define TIGHT            .flags = VMB_VA_ALLOC_PACKED

static int
try_alloc(struct vmb_va_heap *heap, enum vmb_va_zone zone, uint64_t size_B, uint64_t align_B)
{
   const struct vmb_va_alloc_info info = { .zone = zone, .size_B = size_B, .align_B = align_B };
   uint64_t va;

   return vmb_va_heap_alloc(heap, &info, &va);
}

static int
alloc_at(struct vmb_va_heap *heap, uint64_t va, uint64_t size_B)
{
   return vmb_va_heap_alloc_at(heap, VMB_VA_ZONE_GENERAL, va, size_B);
}

static struct vmb_va_stats
stats_of(const struct vmb_va_heap *heap, enum vmb_va_zone zone)
{
   struct vmb_va_stats stats;

   vmb_va_heap_get_stats(heap, zone, &stats);
   return stats;
}

/* ------------------------------------------------------------------ create */

static void
assert_create_fails(const struct vmb_va_heap_info *info)
{
   struct vmb_va_heap *heap;

   assert_int_equal(vmb_va_heap_create(info, &heap), -EINVAL);
}

static void
create_refuses_zones_that_make_no_sense(UNUSED void **state)
{
   struct vmb_va_heap_info info;

   info = default_info;
   info.page_size_B = 2 * KiB;
   assert_create_fails(&info);
   info.page_size_B = 12 * KiB;
   assert_create_fails(&info);

   info = default_info;
   info.zones[VMB_VA_ZONE_GENERAL].start = 0;
   assert_create_fails(&info);
   info.zones[VMB_VA_ZONE_GENERAL].start = START + 1;
   assert_create_fails(&info);
   info.zones[VMB_VA_ZONE_GENERAL].start = START;
   info.zones[VMB_VA_ZONE_GENERAL].size_B = 0ull - START;
   assert_create_fails(&info);

   info = default_info;
   info.zones[VMB_VA_ZONE_LOW] = (struct vmb_va_zone_info){ 4 * GiB - 4 * KiB, 8 * KiB, false };
   assert_create_fails(&info);
   info.zones[VMB_VA_ZONE_LOW] = (struct vmb_va_zone_info){ GENERAL_END - 4 * KiB, MiB, false };
   assert_create_fails(&info);

   info = default_info;
   info.guard_B = 4 * GiB;
   assert_create_fails(&info);
}

/* --------------------------------------------------------------- placement */

static void
a_zone_fills_from_the_end_that_it_names(UNUSED void **state)
{
   struct vmb_va_heap_info info = default_info;
   struct vmb_va_heap *heap = make(&info);

   assert_int_equal(ALLOC(heap, .size_B = 4 * KiB), START);
   assert_int_equal(ALLOC(heap, .size_B = 8 * KiB), START + 4 * KiB);
   finish(heap);

   info.zones[VMB_VA_ZONE_GENERAL].top_down = true;
   heap = make(&info);
   assert_int_equal(ALLOC(heap, .size_B = 4 * KiB), GENERAL_END - 4 * KiB);
   assert_int_equal(ALLOC(heap, .size_B = 8 * KiB), GENERAL_END - 12 * KiB);
   finish(heap);
}

static void
sizes_are_rounded_up_to_pages(UNUSED void **state)
{
   struct vmb_va_heap_info info = default_info;
   info.page_size_B = 16 * KiB;
   struct vmb_va_heap *heap = make(&info);

   const uint64_t va = ALLOC(heap, .size_B = 1);
   assert_int_equal(ALLOC(heap, .size_B = 1), va + 16 * KiB);
   assert_int_equal(stats_of(heap, VMB_VA_ZONE_GENERAL).live_B, 32 * KiB);
   assert_int_equal(vmb_va_heap_free(heap, va, 1), 0);
   finish(heap);
}

static void
the_smallest_hole_that_fits_is_taken(UNUSED void **state)
{
   struct vmb_va_heap *heap = make(&default_info);
   static const uint64_t hole_KiB[] = { 40, 12, 24, 16, 60 };
   uint64_t hole[ARRAY_SIZE(hole_KiB)];

   for (unsigned i = 0; i < ARRAY_SIZE(hole_KiB); i++) {
      hole[i] = ALLOC(heap, .size_B = hole_KiB[i] * KiB);
      ALLOC(heap, .size_B = 4 * KiB);
   }
   for (unsigned i = 0; i < ARRAY_SIZE(hole_KiB); i++)
      assert_int_equal(vmb_va_heap_free(heap, hole[i], hole_KiB[i] * KiB), 0);

   assert_int_equal(ALLOC(heap, .size_B = 16 * KiB), hole[3]);
   assert_int_equal(ALLOC(heap, .size_B = 16 * KiB), hole[2]);
   assert_int_equal(ALLOC(heap, .size_B = 16 * KiB), hole[0]);
   assert_int_equal(ALLOC(heap, .size_B = 8 * KiB), hole[2] + 16 * KiB);
   finish(heap);
}

/* Of a size that spans half of the address bits, from terabytes down to what just is no small hole:
 * another structure inside the heap than small ones.
 */
static void
large_holes_are_chosen_as_exactly(UNUSED void **state)
{
   struct vmb_va_heap_info info = default_info;
   info.zones[VMB_VA_ZONE_GENERAL] = (struct vmb_va_zone_info){ START, 1ull << 56, false };
   struct vmb_va_heap *heap = make(&info);
   uint64_t hole_B[400], hole[ARRAY_SIZE(hole_B)];
   struct rng rng = { 5 };

   for (unsigned i = 0; i < ARRAY_SIZE(hole_B); i++) {
      hole_B[i] = (1ull << (24 + rng_below(&rng, 22))) + rng_below(&rng, 40) * 4 * KiB;
      hole[i] = ALLOC(heap, .size_B = hole_B[i], TIGHT);
      ALLOC(heap, .size_B = 4 * KiB, TIGHT);
   }
   for (unsigned i = 0; i < ARRAY_SIZE(hole_B); i++)
      assert_int_equal(vmb_va_heap_free(heap, hole[i], hole_B[i]), 0);

   for (unsigned n = 0; n < 2000; n++) {
      const uint64_t size_B =
         (1ull << (24 + rng_below(&rng, 22))) + rng_below(&rng, 45) * 4 * KiB;
      unsigned best = ARRAY_SIZE(hole_B);
      for (unsigned i = 0; i < ARRAY_SIZE(hole_B); i++) {
         if (hole_B[i] >= size_B && (best == ARRAY_SIZE(hole_B) || hole_B[i] < hole_B[best]))
            best = i;
      }
      if (best == ARRAY_SIZE(hole_B))
         continue;

      /* Any one of the holes of the best size. */
      const uint64_t va = ALLOC(heap, .size_B = size_B, TIGHT);
      while (best < ARRAY_SIZE(hole_B) && hole[best] != va)
         best++;
      assert_true(best < ARRAY_SIZE(hole_B));
      const uint64_t best_B = hole_B[best];
      for (unsigned i = 0; i < ARRAY_SIZE(hole_B); i++)
         assert_true(hole_B[i] < size_B || hole_B[i] >= best_B);

      /* Half of them stay, and leave a smaller hole. */
      if (n % 2) {
         assert_int_equal(vmb_va_heap_free(heap, va, size_B), 0);
      } else {
         hole[best] += size_B;
         hole_B[best] -= size_B;
      }
   }
   finish(heap);
}

static void
sizes_of_large_pages_get_their_alignment(UNUSED void **state)
{
   struct vmb_va_heap *heap = make(&default_info);

   ALLOC(heap, .size_B = 4 * KiB);
   assert_int_equal(ALLOC(heap, .size_B = 60 * KiB) % (64 * KiB), 4 * KiB);
   ALLOC(heap, .size_B = 4 * KiB);
   assert_int_equal(ALLOC(heap, .size_B = 64 * KiB) % (64 * KiB), 0);
   ALLOC(heap, .size_B = 4 * KiB);
   assert_int_equal(ALLOC(heap, .size_B = 3 * MiB) % (2 * MiB), 0);
   finish(heap);
}

static void
packed_allocations_want_no_alignment(UNUSED void **state)
{
   struct vmb_va_heap *heap = make(&default_info);

   ALLOC(heap, .size_B = 4 * KiB);
   assert_int_equal(ALLOC(heap, .size_B = 3 * MiB, TIGHT), START + 4 * KiB);
   finish(heap);
}

/* An MMU uses a 2 MiB page only where address and backing are congruent. */
static void
addresses_are_congruent_to_the_offset_in_the_bo(UNUSED void **state)
{
   struct vmb_va_heap_info info = default_info;

   for (unsigned top_down = 0; top_down < 2; top_down++) {
      info.zones[VMB_VA_ZONE_GENERAL].top_down = top_down;
      struct vmb_va_heap *heap = make(&info);

      const uint64_t offset_B = 5 * MiB + 12 * KiB;
      const uint64_t va = ALLOC(heap, .size_B = 8 * MiB, .bo_offset_B = offset_B);
      assert_int_equal(va % (2 * MiB), offset_B % (2 * MiB));
      const uint64_t small = ALLOC(heap, .size_B = 100 * KiB, .bo_offset_B = offset_B);
      assert_int_equal(small % (64 * KiB), offset_B % (64 * KiB));
      finish(heap);
   }
}

static void
a_demanded_alignment_beats_the_offset(UNUSED void **state)
{
   struct vmb_va_heap *heap = make(&default_info);

   ALLOC(heap, .size_B = 4 * KiB);
   const uint64_t va = ALLOC(heap, .size_B = 8 * MiB, .align_B = 64 * KiB, .bo_offset_B = 12 * KiB);
   assert_int_equal(va % (64 * KiB), 0);

   /* 64 KiB is no contradiction to an offset of 128 KiB in a 2 MiB page. */
   const uint64_t both =
      ALLOC(heap, .size_B = 8 * MiB, .align_B = 64 * KiB, .bo_offset_B = 128 * KiB);
   assert_int_equal(both % (2 * MiB), 128 * KiB);
   finish(heap);
}

static void
a_wish_is_given_up_before_an_allocation_fails(UNUSED void **state)
{
   struct vmb_va_heap_info info = default_info;
   info.zones[VMB_VA_ZONE_GENERAL] = (struct vmb_va_zone_info){ 4 * MiB + 4 * KiB, 4 * MiB, false };
   struct vmb_va_heap *heap = make(&info);

   /* No 2 MiB boundary with 3 MiB behind it, but one of 64 KiB. */
   assert_int_equal(ALLOC(heap, .size_B = 3 * MiB) % (64 * KiB), 0);
   finish(heap);

   heap = make(&info);
   assert_int_equal(ALLOC(heap, .size_B = 4 * MiB), 4 * MiB + 4 * KiB);
   finish(heap);
}

static void
a_demand_is_never_given_up(UNUSED void **state)
{
   struct vmb_va_heap_info info = default_info;
   info.zones[VMB_VA_ZONE_GENERAL] = (struct vmb_va_zone_info){ 4 * MiB + 4 * KiB, 4 * MiB, false };
   struct vmb_va_heap *heap = make(&info);

   assert_int_equal(try_alloc(heap, VMB_VA_ZONE_GENERAL, 3 * MiB, 2 * MiB), -ENOSPC);
   assert_int_equal(try_alloc(heap, VMB_VA_ZONE_GENERAL, 2 * MiB, 2 * MiB), 0);
   finish(heap);
}

static void
guards_keep_allocations_apart(UNUSED void **state)
{
   struct vmb_va_heap_info info = default_info;
   info.guard_B = 4 * KiB;
   info.zones[VMB_VA_ZONE_GENERAL].size_B = 32 * KiB;
   struct vmb_va_heap *heap = make(&info);

   const uint64_t a = ALLOC(heap, .size_B = 8 * KiB);
   const uint64_t b = ALLOC(heap, .size_B = 8 * KiB);
   assert_int_equal(b - a, 12 * KiB);
   /* 8 KiB are left, one page of them for the guard. */
   assert_int_equal(try_alloc(heap, VMB_VA_ZONE_GENERAL, 8 * KiB, 0), -ENOSPC);
   assert_int_equal(try_alloc(heap, VMB_VA_ZONE_GENERAL, 4 * KiB, 0), 0);

   /* The size is the caller's; the guard goes and comes with it. */
   assert_int_equal(vmb_va_heap_free(heap, a, 12 * KiB), -EINVAL);
   assert_int_equal(vmb_va_heap_free(heap, a, 8 * KiB), 0);
   assert_int_equal(ALLOC(heap, .size_B = 8 * KiB), a);
   finish(heap);
}

/* -------------------------------------------------------------- the causes */

static void
errors_name_their_cause(UNUSED void **state)
{
   struct vmb_va_heap_info info = default_info;
   info.zones[VMB_VA_ZONE_FIXED] = (struct vmb_va_zone_info){ 1ull << 40, MiB, false };
   struct vmb_va_heap *heap = make(&info);

   assert_int_equal(try_alloc(heap, VMB_VA_ZONE_GENERAL, 0, 0), -EINVAL);
   assert_int_equal(try_alloc(heap, VMB_VA_ZONE_GENERAL, 4 * KiB, 12 * KiB), -EINVAL);
   assert_int_equal(try_alloc(heap, VMB_VA_ZONE_LOW, 4 * KiB, 0), -EINVAL);
   assert_int_equal(try_alloc(heap, VMB_VA_ZONE_FIXED, 4 * KiB, 0), -EINVAL);
   assert_int_equal(try_alloc(heap, VMB_VA_ZONE_COUNT, 4 * KiB, 0), -EINVAL);
   assert_int_equal(try_alloc(heap, VMB_VA_ZONE_GENERAL, GENERAL_B + 1, 0), -ENOSPC);
   assert_int_equal(try_alloc(heap, VMB_VA_ZONE_GENERAL, UINT64_MAX, 0), -ENOSPC);
   assert_int_equal(try_alloc(heap, VMB_VA_ZONE_GENERAL, 4 * KiB, 1ull << 63), -ENOSPC);

   assert_int_equal(alloc_at(heap, START, 0), -EINVAL);
   assert_int_equal(alloc_at(heap, START + 1, 4 * KiB), -EINVAL);
   assert_int_equal(alloc_at(heap, START - 4 * KiB, 8 * KiB), -EINVAL);
   assert_int_equal(alloc_at(heap, GENERAL_END - 4 * KiB, 8 * KiB), -EINVAL);
   assert_int_equal(alloc_at(heap, START + 4 * KiB, UINT64_MAX), -EINVAL);
   assert_int_equal(alloc_at(heap, 1ull << 40, 4 * KiB), -EINVAL);

   assert_int_equal(alloc_at(heap, START + 8 * KiB, 8 * KiB), 0);
   assert_int_equal(alloc_at(heap, START + 4 * KiB, 8 * KiB), -EADDRINUSE);
   assert_int_equal(alloc_at(heap, START + 12 * KiB, 4 * KiB), -EADDRINUSE);
   assert_int_equal(alloc_at(heap, START, 64 * KiB), -EADDRINUSE);
   assert_int_equal(alloc_at(heap, START + 4 * KiB, 4 * KiB), 0);
   assert_int_equal(alloc_at(heap, START + 16 * KiB, 4 * KiB), 0);
   assert_int_equal(vmb_va_heap_alloc_at(heap, VMB_VA_ZONE_FIXED, 1ull << 40, MiB), 0);
   finish(heap);
}

static void
wrong_frees_are_refused(UNUSED void **state)
{
   struct vmb_va_heap *heap = make(&default_info);
   const uint64_t va = ALLOC(heap, .size_B = 64 * KiB);

   assert_int_equal(vmb_va_heap_free(heap, va + 4 * KiB, 60 * KiB), -EINVAL);
   assert_int_equal(vmb_va_heap_free(heap, va, 60 * KiB), -EINVAL);
   assert_int_equal(vmb_va_heap_free(heap, va, 68 * KiB), -EINVAL);
   assert_int_equal(vmb_va_heap_free(heap, va, 0), -EINVAL);
   assert_int_equal(vmb_va_heap_free(heap, va, UINT64_MAX), -EINVAL);
   assert_int_equal(vmb_va_heap_free(heap, 0, 64 * KiB), -EINVAL);

   assert_int_equal(vmb_va_heap_free(heap, va, 64 * KiB), 0);
   assert_int_equal(vmb_va_heap_free(heap, va, 64 * KiB), -EINVAL);
   assert_int_equal(vmb_va_heap_free_deferred(heap, va, 64 * KiB, 1), -EINVAL);
   finish(heap);
}

static void
zones_do_not_lend_each_other_space(UNUSED void **state)
{
   struct vmb_va_heap_info info = default_info;
   /* Side by side: their holes must not merge either. */
   info.zones[VMB_VA_ZONE_LOW] = (struct vmb_va_zone_info){ START - MiB, MiB, false };
   info.zones[VMB_VA_ZONE_REPLAY] = (struct vmb_va_zone_info){ GENERAL_END, MiB, true };
   struct vmb_va_heap *heap = make(&info);

   assert_int_equal(try_alloc(heap, VMB_VA_ZONE_LOW, MiB, 0), 0);
   assert_int_equal(try_alloc(heap, VMB_VA_ZONE_LOW, 4 * KiB, 0), -ENOSPC);
   assert_int_equal(stats_of(heap, VMB_VA_ZONE_GENERAL).live_count, 0);
   assert_int_equal(vmb_va_heap_free(heap, START - MiB, MiB), 0);
   assert_int_equal(stats_of(heap, VMB_VA_ZONE_LOW).largest_hole_B, MiB);
   assert_int_equal(stats_of(heap, VMB_VA_ZONE_GENERAL).largest_hole_B, GENERAL_B);
   finish(heap);
}

static void
a_replay_gets_the_captured_addresses(UNUSED void **state)
{
   struct vmb_va_heap_info info = default_info;
   info.zones[VMB_VA_ZONE_REPLAY] = (struct vmb_va_zone_info){ 1ull << 36, GiB, true };
   info.guard_B = 4 * KiB;
   uint64_t va[64], size_B[64];

   struct vmb_va_heap *capture = make(&info);
   for (unsigned i = 0; i < ARRAY_SIZE(va); i++) {
      size_B[i] = (1 + i * 37 % 50) * 12 * KiB;
      va[i] = ALLOC(capture, .zone = VMB_VA_ZONE_REPLAY, .size_B = size_B[i]);
   }
   finish(capture);

   struct vmb_va_heap *replay = make(&info);
   for (unsigned n = 0; n < ARRAY_SIZE(va); n++) {
      const unsigned i = n * 29 % ARRAY_SIZE(va);
      assert_int_equal(vmb_va_heap_alloc_at(replay, VMB_VA_ZONE_REPLAY, va[i], size_B[i]), 0);
   }
   finish(replay);
}

/* --------------------------------------------------------------- deferral */

static void
a_deferred_range_comes_back_at_its_point_and_not_before(UNUSED void **state)
{
   struct vmb_va_heap *heap = make(&default_info);
   const uint64_t a = ALLOC(heap, .size_B = 8 * KiB);
   const uint64_t b = ALLOC(heap, .size_B = 8 * KiB);

   assert_int_equal(vmb_va_heap_free_deferred(heap, a, 8 * KiB, 10), 0);
   assert_int_equal(vmb_va_heap_free_deferred(heap, b, 8 * KiB, 11), 0);
   assert_int_equal(vmb_va_heap_free(heap, a, 8 * KiB), -EINVAL);

   vmb_va_heap_retire(heap, 9);
   assert_int_equal(alloc_at(heap, a, 8 * KiB), -EADDRINUSE);
   assert_int_equal(stats_of(heap, VMB_VA_ZONE_GENERAL).deferred_B, 16 * KiB);
   assert_int_equal(stats_of(heap, VMB_VA_ZONE_GENERAL).deferred_count, 2);

   vmb_va_heap_retire(heap, 10);
   assert_int_equal(alloc_at(heap, b, 8 * KiB), -EADDRINUSE);
   assert_int_equal(alloc_at(heap, a, 8 * KiB), 0);
   vmb_va_heap_retire(heap, UINT64_MAX);
   assert_int_equal(alloc_at(heap, b, 8 * KiB), 0);
   finish(heap);
}

static void
a_point_that_goes_back_counts_as_the_last_one(UNUSED void **state)
{
   struct vmb_va_heap *heap = make(&default_info);
   const uint64_t a = ALLOC(heap, .size_B = 8 * KiB);
   const uint64_t b = ALLOC(heap, .size_B = 8 * KiB);

   assert_int_equal(vmb_va_heap_free_deferred(heap, a, 8 * KiB, 20), 0);
   assert_int_equal(vmb_va_heap_free_deferred(heap, b, 8 * KiB, 5), 0);
   vmb_va_heap_retire(heap, 19);
   assert_int_equal(stats_of(heap, VMB_VA_ZONE_GENERAL).deferred_count, 2);
   vmb_va_heap_retire(heap, 20);
   assert_int_equal(stats_of(heap, VMB_VA_ZONE_GENERAL).hole_count, 1);
   finish(heap);
}

/* The most records that so many allocations can ever need: holes between all of them, and all of
 * them waiting.
 */
static void
deferral_between_holes_needs_no_memory(UNUSED void **state)
{
   struct vmb_va_heap *heap = make(&default_info);
   const unsigned count = 3000;

   for (unsigned i = 0; i < count; i++)
      assert_int_equal(alloc_at(heap, START + (2 * i + 1) * 4 * KiB, 4 * KiB), 0);

   fail_alloc_arm(1);
   for (unsigned i = 0; i < count; i++) {
      const uint64_t va = START + (2 * i + 1) * 4 * KiB;
      assert_int_equal(vmb_va_heap_free_deferred(heap, va, 4 * KiB, i), 0);
   }
   assert_null(vmb_va_heap_check(heap));
   vmb_va_heap_retire(heap, count);
   assert_false(fail_alloc_disarm());

   assert_int_equal(stats_of(heap, VMB_VA_ZONE_GENERAL).hole_count, 1);
   finish(heap);
}

/* ------------------------------------------------------------------ looking */

static void
statistics_tell_span_and_fragmentation(UNUSED void **state)
{
   struct vmb_va_heap *heap = make(&default_info);
   struct vmb_va_stats stats = stats_of(heap, VMB_VA_ZONE_GENERAL);

   assert_int_equal(stats.span_B, 0);
   assert_true(vmb_va_stats_fragmentation(&stats) == 0.0);

   assert_int_equal(alloc_at(heap, START + MiB, MiB), 0);
   assert_int_equal(alloc_at(heap, START + 4 * MiB, MiB), 0);
   stats = stats_of(heap, VMB_VA_ZONE_GENERAL);
   assert_int_equal(stats.span_B, 4 * MiB);
   assert_int_equal(stats.live_B, 2 * MiB);
   assert_int_equal(stats.free_B, GENERAL_B - 2 * MiB);
   assert_int_equal(stats.hole_count, 3);
   assert_int_equal(stats.largest_hole_B, GENERAL_B - 5 * MiB);
   assert_true(vmb_va_stats_fragmentation(&stats) == 0.5);
   finish(heap);
}

static void
all_extents_of_a_zone_can_be_walked(UNUSED void **state)
{
   struct vmb_va_heap *heap = make(&default_info);
   struct vmb_va_extent extent;

   assert_int_equal(alloc_at(heap, START + MiB, MiB), 0);
   assert_int_equal(alloc_at(heap, START + 2 * MiB, MiB), 0);
   assert_int_equal(vmb_va_heap_free_deferred(heap, START + 2 * MiB, MiB, 1), 0);

   static const struct vmb_va_extent want[] = {
      { START, MiB, VMB_VA_HOLE },
      { START + MiB, MiB, VMB_VA_LIVE },
      { START + 2 * MiB, MiB, VMB_VA_DEFERRED },
      { START + 3 * MiB, GENERAL_B - 3 * MiB, VMB_VA_HOLE },
   };
   uint64_t va = START;
   for (unsigned i = 0; i < ARRAY_SIZE(want); i++) {
      assert_true(vmb_va_heap_lookup(heap, va, &extent));
      assert_int_equal(extent.va, want[i].va);
      assert_int_equal(extent.size_B, want[i].size_B);
      assert_int_equal(extent.state, want[i].state);
      va = extent.va + extent.size_B;
   }
   assert_false(vmb_va_heap_lookup(heap, va, &extent));

   unsigned holes = 0;
   for (va = 0; vmb_va_heap_next_hole(heap, VMB_VA_ZONE_GENERAL, va, &extent);
        va = extent.va + extent.size_B)
      holes++;
   assert_int_equal(holes, 2);
   finish(heap);
}

int
main(void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test(create_refuses_zones_that_make_no_sense),
      cmocka_unit_test(a_zone_fills_from_the_end_that_it_names),
      cmocka_unit_test(sizes_are_rounded_up_to_pages),
      cmocka_unit_test(the_smallest_hole_that_fits_is_taken),
      cmocka_unit_test(large_holes_are_chosen_as_exactly),
      cmocka_unit_test(sizes_of_large_pages_get_their_alignment),
      cmocka_unit_test(packed_allocations_want_no_alignment),
      cmocka_unit_test(addresses_are_congruent_to_the_offset_in_the_bo),
      cmocka_unit_test(a_demanded_alignment_beats_the_offset),
      cmocka_unit_test(a_wish_is_given_up_before_an_allocation_fails),
      cmocka_unit_test(a_demand_is_never_given_up),
      cmocka_unit_test(guards_keep_allocations_apart),
      cmocka_unit_test(errors_name_their_cause),
      cmocka_unit_test(wrong_frees_are_refused),
      cmocka_unit_test(zones_do_not_lend_each_other_space),
      cmocka_unit_test(a_replay_gets_the_captured_addresses),
      cmocka_unit_test(a_deferred_range_comes_back_at_its_point_and_not_before),
      cmocka_unit_test(a_point_that_goes_back_counts_as_the_last_one),
      cmocka_unit_test(deferral_between_holes_needs_no_memory),
      cmocka_unit_test(statistics_tell_span_and_fragmentation),
      cmocka_unit_test(all_extents_of_a_zone_can_be_walked),
   };

   return cmocka_run_group_tests_name("va-heap", tests, NULL, NULL);
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The demo's choice of pages, as a specification: which pages a frame's
 * feedback brings in and which it throws out, in what order.  No Vulkan.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "vt_pages.h"

/* 4096 texels: levels 0 to 2 are streamed, 3 is 512 texels wide. */
#define TEXTURE_PX 4096

#define LEVEL_0  0
#define LEVEL_1  1024
#define LEVEL_2  (LEVEL_1 + 256)
#define STREAMED (LEVEL_2 + 64)

static const struct vt_plan *
update(struct vt_pages *pages, uint32_t frame, uint32_t budget, const uint32_t *feedback,
       uint32_t count)
{
   return vt_pages_update(pages, frame, feedback, count, budget);
}

#define UPDATE(pages, frame, budget, ...)                                                          \
   update(pages, frame, budget, (const uint32_t[]){__VA_ARGS__},                                   \
          sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static void
assert_bind(const struct vt_bind *bind, uint32_t page, uint32_t slot)
{
   assert_int_equal(bind->page, page);
   assert_int_equal(bind->slot, slot);
}

static void
numbers_follow_levels_and_rows(void **state)
{
   struct vt_pages pages;

   (void)state;
   vt_pages_init(&pages, TEXTURE_PX, 4);
   assert_int_equal(pages.level_count, 13);
   assert_int_equal(pages.fixed_level, 3);
   assert_int_equal(pages.streamed_page_count, STREAMED);
   /* 16 + 4 + 1 pages, and one for each of the seven smaller levels. */
   assert_int_equal(pages.page_count, STREAMED + 16 + 4 + 1 + 7);

   assert_int_equal(vt_pages_index(&pages, 0, 31, 1), 63);
   assert_int_equal(vt_pages_index(&pages, 2, 0, 0), LEVEL_2);
   for (uint32_t i = 0; i < pages.page_count; i++) {
      struct vt_page page = vt_pages_page(&pages, i);

      assert_int_equal(vt_pages_index(&pages, page.level, page.x, page.y), i);
   }

   assert_int_equal(vt_pages_extent_px(&pages, 5), 128);
   assert_int_equal(vt_pages_extent_px(&pages, 6), 64);
   assert_int_equal(vt_pages_extent_px(&pages, 12), 1);
   assert_false(vt_pages_is_resident(&pages, STREAMED - 1));
   assert_true(vt_pages_is_resident(&pages, STREAMED));
   vt_pages_finish(&pages);
}

static void
a_page_brings_its_ancestors_coarse_first(void **state)
{
   struct vt_pages pages;

   (void)state;
   vt_pages_init(&pages, TEXTURE_PX, 8);
   const struct vt_plan *plan =
      UPDATE(&pages, 0, 8, VT_FEEDBACK(0, 5, 2), VT_FEEDBACK_NONE, VT_FEEDBACK(0, 5, 2));

   assert_int_equal(plan->wanted_count, 3);
   assert_int_equal(plan->bind_count, 3);
   assert_int_equal(plan->evict_count, 0);
   assert_int_equal(plan->absent_count, 0);
   assert_bind(&plan->binds[0], LEVEL_2 + 0 * 8 + 1, 0);
   assert_bind(&plan->binds[1], LEVEL_1 + 1 * 16 + 2, 1);
   assert_bind(&plan->binds[2], LEVEL_0 + 2 * 32 + 5, 2);

   /* Once there, they cost nothing. */
   plan = UPDATE(&pages, 1, 8, VT_FEEDBACK(0, 5, 2));
   assert_int_equal(plan->bind_count, 0);
   assert_int_equal(plan->wanted_count, 3);
   vt_pages_finish(&pages);
}

static void
levels_that_are_always_there_are_not_asked_for(void **state)
{
   struct vt_pages pages;

   (void)state;
   vt_pages_init(&pages, TEXTURE_PX, 8);
   const struct vt_plan *plan = UPDATE(&pages, 0, 8, VT_FEEDBACK(3, 1, 1));

   assert_int_equal(plan->wanted_count, 0);
   assert_int_equal(plan->bind_count, 0);
   vt_pages_finish(&pages);
}

static void
a_budget_leaves_fine_pages_for_later(void **state)
{
   struct vt_pages pages;

   (void)state;
   vt_pages_init(&pages, TEXTURE_PX, 8);
   const struct vt_plan *plan = UPDATE(&pages, 0, 2, VT_FEEDBACK(0, 0, 0));

   assert_int_equal(plan->bind_count, 2);
   assert_int_equal(plan->absent_count, 1);
   assert_true(vt_pages_is_resident(&pages, LEVEL_1));
   assert_false(vt_pages_is_resident(&pages, LEVEL_0));

   plan = UPDATE(&pages, 1, 2, VT_FEEDBACK(0, 0, 0));
   assert_int_equal(plan->bind_count, 1);
   assert_bind(&plan->binds[0], LEVEL_0, 2);
   vt_pages_finish(&pages);
}

static void
the_least_recently_needed_goes_first_and_gives_its_slot(void **state)
{
   struct vt_pages pages;

   (void)state;
   vt_pages_init(&pages, TEXTURE_PX, 3);
   UPDATE(&pages, 0, 3, VT_FEEDBACK(2, 0, 0)); /* slot 0 */
   UPDATE(&pages, 1, 3, VT_FEEDBACK(2, 1, 0)); /* slot 1 */
   UPDATE(&pages, 2, 3, VT_FEEDBACK(2, 2, 0)); /* slot 2 */
   UPDATE(&pages, 3, 3, VT_FEEDBACK(2, 0, 0)); /* the oldest is new again */

   const struct vt_plan *plan = UPDATE(&pages, 4, 3, VT_FEEDBACK(2, 3, 0), VT_FEEDBACK(2, 4, 0));
   assert_int_equal(plan->evict_count, 2);
   assert_bind(&plan->evicts[0], LEVEL_2 + 1, 1);
   assert_bind(&plan->evicts[1], LEVEL_2 + 2, 2);
   assert_int_equal(plan->bind_count, 2);
   /* Coarse first means higher numbers first. */
   assert_bind(&plan->binds[0], LEVEL_2 + 4, 1);
   assert_bind(&plan->binds[1], LEVEL_2 + 3, 2);
   assert_true(vt_pages_is_resident(&pages, LEVEL_2));
   assert_false(vt_pages_is_resident(&pages, LEVEL_2 + 1));
   assert_int_equal(pages.resident_count, 3);
   vt_pages_finish(&pages);
}

static void
of_equally_old_pages_the_finer_goes_first(void **state)
{
   struct vt_pages pages;

   (void)state;
   vt_pages_init(&pages, TEXTURE_PX, 3);
   UPDATE(&pages, 0, 3, VT_FEEDBACK(0, 0, 0));
   const struct vt_plan *plan = UPDATE(&pages, 1, 3, VT_FEEDBACK(2, 7, 7));

   assert_int_equal(plan->evict_count, 1);
   assert_int_equal(plan->evicts[0].page, LEVEL_0);
   vt_pages_finish(&pages);
}

static void
what_is_needed_now_is_never_evicted(void **state)
{
   struct vt_pages pages;

   (void)state;
   vt_pages_init(&pages, TEXTURE_PX, 2);
   UPDATE(&pages, 0, 4, VT_FEEDBACK(2, 0, 0), VT_FEEDBACK(2, 1, 0));
   const struct vt_plan *plan =
      UPDATE(&pages, 1, 4, VT_FEEDBACK(2, 0, 0), VT_FEEDBACK(2, 1, 0), VT_FEEDBACK(2, 2, 0));

   assert_int_equal(plan->bind_count, 0);
   assert_int_equal(plan->evict_count, 0);
   assert_int_equal(plan->absent_count, 1);
   vt_pages_finish(&pages);
}

static void
feedback_out_of_range_is_ignored(void **state)
{
   struct vt_pages pages;

   (void)state;
   vt_pages_init(&pages, TEXTURE_PX, 2);
   const struct vt_plan *plan = UPDATE(&pages, 0, 4, VT_FEEDBACK(0, 32, 0), VT_FEEDBACK(2, 0, 8),
                                       VT_FEEDBACK(200, 1, 1), 0xfffffffeu);

   assert_int_equal(plan->wanted_count, 0);
   vt_pages_finish(&pages);
}

/* Whatever is asked for, slots and pages stay a bijection. */
static void
slots_and_pages_agree_after_any_feedback(void **state)
{
   enum { SLOTS = 37, FRAMES = 400, WANTED = 20 };
   struct vt_pages pages;
   uint64_t evicted = 0;

   (void)state;
   vt_pages_init(&pages, TEXTURE_PX, SLOTS);
   for (uint32_t frame = 0; frame < FRAMES; frame++) {
      uint32_t feedback[WANTED];

      for (uint32_t i = 0; i < WANTED; i++) {
         uint32_t level = vt_hash(frame, i, 0) % 3;
         uint32_t side = 32 >> level;

         feedback[i] = VT_FEEDBACK(level, vt_hash(frame, i, 1) % side, vt_hash(frame, i, 2) % side);
      }
      const struct vt_plan *plan = update(&pages, frame, 16, feedback, WANTED);
      evicted += plan->evict_count;

      uint32_t resident = 0;
      for (uint32_t page = 0; page < STREAMED; page++) {
         int32_t slot = pages.slot_of_page[page];

         if (slot < 0)
            continue;
         resident++;
         assert_in_range(slot, 0, SLOTS - 1);
         assert_int_equal(pages.page_of_slot[slot], page);
      }
      assert_int_equal(resident, pages.resident_count);
      for (uint32_t i = 0; i < plan->bind_count; i++)
         assert_true(vt_pages_is_resident(&pages, plan->binds[i].page));
      for (uint32_t i = 0; i < plan->evict_count; i++)
         assert_false(vt_pages_is_resident(&pages, plan->evicts[i].page));
   }
   assert_true(evicted > FRAMES);
   vt_pages_finish(&pages);
}

int
main(void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test(numbers_follow_levels_and_rows),
      cmocka_unit_test(a_page_brings_its_ancestors_coarse_first),
      cmocka_unit_test(levels_that_are_always_there_are_not_asked_for),
      cmocka_unit_test(a_budget_leaves_fine_pages_for_later),
      cmocka_unit_test(the_least_recently_needed_goes_first_and_gives_its_slot),
      cmocka_unit_test(of_equally_old_pages_the_finer_goes_first),
      cmocka_unit_test(what_is_needed_now_is_never_evicted),
      cmocka_unit_test(feedback_out_of_range_is_ignored),
      cmocka_unit_test(slots_and_pages_agree_after_any_feedback),
   };

   return cmocka_run_group_tests(tests, NULL, NULL);
}

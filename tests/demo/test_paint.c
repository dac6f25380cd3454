/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The demo's pages: that the same page is always the same bytes, that another
 * one is not, and that the watermark which the audit reads says which is
 * which.  No Vulkan.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vt_pages.h"
#include "vt_paint.h"

#define TEXTURE_PX 16384

static int
create_world(void **state)
{
   *state = vt_world_create();
   return 0;
}

static int
destroy_world(void **state)
{
   vt_world_destroy(*state);
   return 0;
}

static uint8_t *
paint(const struct vt_world *world, uint32_t level, uint32_t x, uint32_t y)
{
   uint8_t *page = malloc(VT_PAGE_B);

   assert_non_null(page);
   /* Nothing of what was there before may show. */
   memset(page, (int)(x + y), VT_PAGE_B);
   vt_paint_page(world, TEXTURE_PX, level, x, y, page);
   return page;
}

static void
the_world_is_always_the_same(void **state)
{
   const struct vt_world *world = *state;
   struct vt_world *again = vt_world_create();

   assert_memory_equal(again->height, world->height, sizeof(world->height));
   assert_memory_equal(again->towns, world->towns, sizeof(world->towns));
   assert_int_equal(again->segment_count, world->segment_count);
   assert_memory_equal(again->segments, world->segments,
                       world->segment_count * sizeof(*world->segments));
   vt_world_destroy(again);
}

static void
the_world_is_worth_a_flight(void **state)
{
   const struct vt_world *world = *state;
   uint32_t land = 0;

   for (int i = 0; i < VT_GRID * VT_GRID; i++) {
      land += world->height[i] > 0.0f;
      assert_true(world->height[i] <= 1.0f);
   }
   assert_in_range(land, VT_GRID * VT_GRID / 4, VT_GRID * VT_GRID * 3 / 4);
   assert_int_equal(world->town_count, VT_MAX_TOWNS);
   assert_true(world->segment_count > 10000);
}

static void
a_page_is_always_the_same(void **state)
{
   for (uint32_t level = 0; level <= 5; level++) {
      uint32_t x = 58 >> level, y = 65 >> level;
      uint8_t *a = paint(*state, level, x, y);
      uint8_t *b = malloc(VT_PAGE_B);

      memset(b, 0xee, VT_PAGE_B);
      vt_paint_page(*state, TEXTURE_PX, level, x, y, b);
      assert_memory_equal(a, b, VT_PAGE_B);
      free(b);
      free(a);
   }
}

static void
neighbours_differ_even_at_sea(void **state)
{
   /* The top left corner of the map is deep water. */
   uint8_t *a = paint(*state, 0, 0, 0);
   uint8_t *b = paint(*state, 0, 1, 0);
   uint8_t *c = paint(*state, 1, 0, 0);

   assert_memory_not_equal(a, b, VT_PAGE_B);
   assert_memory_not_equal(a, c, VT_PAGE_B);
   free(c);
   free(b);
   free(a);
}

static void
the_watermark_names_the_page(void **state)
{
   const uint32_t level = 2, x = 14, y = 16;
   uint8_t *page = paint(*state, level, x, y);
   uint32_t same_as_neighbour = 0;

   for (uint32_t i = 0; i < VT_PAGE_PX * VT_PAGE_PX; i++) {
      uint32_t px = i % VT_PAGE_PX, py = i / VT_PAGE_PX;
      uint8_t mark = vt_paint_watermark(level, x, y, px, py);

      assert_int_not_equal(mark, 0);
      assert_int_equal(page[i * 4 + 3], mark);
      same_as_neighbour += mark == vt_paint_watermark(level, x + 1, y, px, py);
   }
   /* One in 255 by chance, so that four reads miss one in 4e9. */
   assert_true(same_as_neighbour < 3 * VT_PAGE_PX * VT_PAGE_PX / 255);
   free(page);
}

static void
halving_averages(void **state)
{
   const uint8_t source[4 * 4] = {
      0, 10, 1, 255, 4, 20, 1, 255, 8, 30, 1, 255, 12, 40, 2, 255,
   };
   uint8_t out[4];

   (void)state;
   vt_paint_halve(source, 2, out);
   assert_int_equal(out[0], 6);
   assert_int_equal(out[1], 25);
   assert_int_equal(out[2], 1);
   assert_int_equal(out[3], 255);
}

int
main(void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_world_is_always_the_same),
      cmocka_unit_test(the_world_is_worth_a_flight),
      cmocka_unit_test(a_page_is_always_the_same),
      cmocka_unit_test(neighbours_differ_even_at_sea),
      cmocka_unit_test(the_watermark_names_the_page),
      cmocka_unit_test(halving_averages),
   };

   return cmocka_run_group_tests(tests, create_world, destroy_world);
}

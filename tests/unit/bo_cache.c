/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The cache of idle BOs: size classes, kinds, bounds.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "util/macros.h"
#include "vmbind/vmb_bo_cache.h"

#define PAGE_B   4096ull
#define LIMIT_B  (1ull << 20)
#define MAX_AGE  100

static struct vmb_bo_cache cache;

static int
setup(void **state)
{
   (void)state;
   vmb_bo_cache_init(&cache, LIMIT_B, MAX_AGE, PAGE_B);
   return 0;
}

static struct vmb_bo_cache_entry
entry_of(uint64_t pages, uint32_t vm_id, bool cached)
{
   return (struct vmb_bo_cache_entry){ .kind = { pages * PAGE_B, vm_id, cached } };
}

static struct vmb_bo_cache_entry *
take(uint64_t pages, uint32_t vm_id, bool cached)
{
   return vmb_bo_cache_take(&cache, &(struct vmb_bo_cache_kind){ pages * PAGE_B, vm_id, cached });
}

static void
test_sizes_are_rounded(void **state)
{
   static const struct {
      uint64_t pages, rounded;
   } sizes[] = {
      { 1, 1 },   { 2, 2 },   { 3, 3 },   { 4, 4 },     { 5, 5 },
      { 7, 7 },   { 8, 8 },   { 9, 10 },  { 10, 10 },   { 11, 12 },
      { 15, 16 }, { 17, 20 }, { 33, 40 }, { 63, 64 },
      /* A quarter of the limit, and what is more than that and left as it is. */
      { 64, 64 }, { 65, 65 }, { 99, 99 },
   };

   (void)state;
   for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
      assert_int_equal(vmb_bo_cache_round(&cache, sizes[i].pages * PAGE_B),
                       sizes[i].rounded * PAGE_B);
      assert_int_equal(vmb_bo_cache_round(&cache, sizes[i].rounded * PAGE_B),
                       sizes[i].rounded * PAGE_B);
   }
}

static void
test_only_the_same_kind_is_given(void **state)
{
   struct vmb_bo_cache_entry a = entry_of(10, 1, true), b = entry_of(10, 2, true),
                             c = entry_of(10, 1, false), d = entry_of(10, 1, true);

   (void)state;
   assert_true(vmb_bo_cache_put(&cache, &a, 0));
   assert_true(vmb_bo_cache_put(&cache, &b, 1));
   assert_true(vmb_bo_cache_put(&cache, &c, 2));
   assert_true(vmb_bo_cache_put(&cache, &d, 3));
   assert_int_equal(cache.size_B, 40 * PAGE_B);

   assert_null(take(12, 1, true));
   assert_null(take(8, 1, true));
   assert_null(take(10, 0, true));
   /* The latest one first: it is most likely to have its pages still. */
   assert_ptr_equal(take(10, 1, true), &d);
   assert_ptr_equal(take(10, 1, true), &a);
   assert_null(take(10, 1, true));
   assert_ptr_equal(take(10, 1, false), &c);
   assert_ptr_equal(take(10, 2, true), &b);
   assert_int_equal(cache.size_B, 0);
}

static void
test_what_is_too_large_is_not_kept(void **state)
{
   struct vmb_bo_cache_entry large = entry_of(65, 0, true), odd = entry_of(9, 0, true);

   (void)state;
   assert_false(vmb_bo_cache_put(&cache, &large, 0));
   assert_false(vmb_bo_cache_put(&cache, &odd, 0));
   assert_null(take(65, 0, true));
   assert_int_equal(cache.size_B, 0);
}

static void
test_bounds(void **state)
{
   struct vmb_bo_cache_entry e[5];

   (void)state;
   for (unsigned i = 0; i < 5; i++) {
      e[i] = entry_of(64, 0, true);
      assert_true(vmb_bo_cache_put(&cache, &e[i], 10 * i));
   }
   /* Too much by one: the oldest. */
   assert_ptr_equal(vmb_bo_cache_expire(&cache, 50), &e[0]);
   assert_null(vmb_bo_cache_expire(&cache, 50));
   assert_null(vmb_bo_cache_expire(&cache, 110));
   assert_ptr_equal(vmb_bo_cache_expire(&cache, 121), &e[1]);
   assert_ptr_equal(vmb_bo_cache_expire(&cache, 121), &e[2]);
   assert_null(vmb_bo_cache_expire(&cache, 121));
}

static void
test_flushing(void **state)
{
   struct vmb_bo_cache_entry a = entry_of(1, 7, true), b = entry_of(2, 8, true),
                             c = entry_of(3, 0, true);

   (void)state;
   vmb_bo_cache_put(&cache, &a, 0);
   vmb_bo_cache_put(&cache, &b, 0);
   vmb_bo_cache_put(&cache, &c, 0);
   assert_ptr_equal(vmb_bo_cache_flush(&cache, 8), &b);
   assert_null(vmb_bo_cache_flush(&cache, 8));
   assert_ptr_equal(vmb_bo_cache_flush(&cache, 0), &a);
   assert_ptr_equal(vmb_bo_cache_flush(&cache, 0), &c);
   assert_null(vmb_bo_cache_flush(&cache, 0));
}

/* Every class has a list of its own: nothing is looked through in vain. */
static void
test_classes_are_apart(void **state)
{
   struct vmb_bo_cache huge;
   struct vmb_bo_cache_entry e[VMB_BO_CACHE_CLASSES];
   unsigned count = 0;

   (void)state;
   vmb_bo_cache_init(&huge, 1ull << 50, MAX_AGE, PAGE_B);
   for (uint64_t pages = 1; pages < 1ull << 30 && count < ARRAY_SIZE(e); count++) {
      e[count] = entry_of(pages, 0, true);
      assert_true(vmb_bo_cache_put(&huge, &e[count], 0));
      pages = vmb_bo_cache_round(&huge, (pages + 1) * PAGE_B) / PAGE_B;
   }
   for (unsigned i = 0; i < ARRAY_SIZE(huge.classes); i++)
      assert_true(list_is_empty(&huge.classes[i]) || list_is_singular(&huge.classes[i]));
   assert_true(count > 100);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
   const struct CMUnitTest tests[] = {
      TEST(test_sizes_are_rounded),
      TEST(test_only_the_same_kind_is_given),
      TEST(test_what_is_too_large_is_not_kept),
      TEST(test_bounds),
      TEST(test_flushing),
      TEST(test_classes_are_apart),
   };

   return cmocka_run_group_tests_name("bo_cache", tests, NULL, NULL);
}

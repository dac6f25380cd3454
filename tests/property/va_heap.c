/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The VA heap: random operations against a page map, and with memory failing.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/util/fail_alloc.h"
#include "tests/util/prop.h"
#include "tests/util/va_heap_model.h"
#include "util/macros.h"
#include "vmbind/vmb_va_heap.h"

/* ---------------------------------------------------------- random sequences */

static uint32_t
random_pages(struct rng *rng)
{
   switch (rng_below(rng, 8)) {
   case 0:
      return 1 + rng_below(rng, 20000); /* what the tries hold */
   case 1:
   case 2:
      return 1 + rng_below(rng, 1500);
   case 3:
      return 1u << rng_below(rng, 12);
   default:
      return 1 + rng_below(rng, 40);
   }
}

static void
generate(struct rng *rng, void *data)
{
   static const uint8_t kinds[] = {
      VA_OP_ALLOC, VA_OP_ALLOC,         VA_OP_ALLOC,         VA_OP_ALLOC,      VA_OP_ALLOC,
      VA_OP_ALLOC, VA_OP_ALLOC,         VA_OP_ALLOC_AT,      VA_OP_ALLOC_AT,   VA_OP_FREE,
      VA_OP_FREE,  VA_OP_FREE_DEFERRED, VA_OP_FREE_DEFERRED, VA_OP_FREE_WRONG, VA_OP_RETIRE,
      VA_OP_LOOK,  VA_OP_FREE,          VA_OP_FREE_DEFERRED,
   };
   struct va_op *op = data;

   op->kind = kinds[rng_below(rng, ARRAY_SIZE(kinds))];
   op->zone = rng_one_in(rng, 3) ? rng_below(rng, VMB_VA_ZONE_COUNT) : VMB_VA_ZONE_GENERAL;
   op->align_log2 = rng_one_in(rng, 4) ? rng_below(rng, 12) : 0;
   op->packed = rng_below(rng, 2);
   op->fail_alloc = rng_one_in(rng, 20) ? 1 + rng_below(rng, 3) : 0;
   op->step = rng_below(rng, 9);
   op->offset_pages = rng_one_in(rng, 2) ? rng_below(rng, 1024) : 0;
   op->pages = random_pages(rng);
   op->which = rng_next(rng) >> 32;
}

static void
run(const void *data, size_t count)
{
   const struct va_op *ops = data;
   struct va_model *model = va_model_create(count > 0 ? ops[0].which % VA_MODEL_VARIANTS : 0);

   for (size_t i = 0; i < count; i++)
      va_model_apply(model, &ops[i]);
   va_model_compare_all(model);
   va_model_drain(model);
   va_model_destroy(model);
}

static void
print(const void *op)
{
   va_op_print(op);
}

/* ------------------------------------------------------------ failing memory */

/* Enough for several chunks of whatever the heap allocates. */
#define FAIL_OPS 1500

static void
free_without_memory(struct vmb_va_heap *heap, const uint64_t *va, const uint64_t *size_B,
                    unsigned count)
{
   fail_alloc_arm(1);
   for (unsigned i = 0; i < count; i++) {
      if (i & 1)
         PROP_CHECK(vmb_va_heap_free_deferred(heap, va[i], size_B[i], i) == 0);
      else
         PROP_CHECK(vmb_va_heap_free(heap, va[i], size_B[i]) == 0);
   }
   vmb_va_heap_retire(heap, count);
   PROP_CHECK(!fail_alloc_disarm());
}

/** A heap's life with its n-th allocation of memory failing.  Returns whether there was one. */
static bool
live_with_failure(unsigned n)
{
   static uint64_t va[FAIL_OPS], size_B[FAIL_OPS];
   struct vmb_va_heap_info info = {
      .page_size_B = 4096,
      .zones[VMB_VA_ZONE_GENERAL] = { 1ull << 21, 1ull << 40, false },
      .zones[VMB_VA_ZONE_LOW] = { 1ull << 20, 1ull << 20, true },
   };
   struct vmb_va_heap *heap;
   struct vmb_va_stats stats;
   struct rng rng = { 7 };
   unsigned live = 0;

   fail_alloc_arm(n);
   const int create_err = vmb_va_heap_create(&info, &heap);
   PROP_CHECK(create_err == (fail_alloc_has_failed() ? -ENOMEM : 0));
   if (create_err) {
      fail_alloc_disarm();
      return true;
   }

   for (unsigned i = 0; i < FAIL_OPS; i++) {
      const bool failed_before = fail_alloc_has_failed();
      const struct vmb_va_alloc_info want = {
         .zone = VMB_VA_ZONE_GENERAL,
         .size_B = size_B[live] = (1 + rng_below(&rng, 3000)) * 4096,
      };
      const int err = vmb_va_heap_alloc(heap, &want, &va[live]);

      PROP_CHECK(err == (fail_alloc_has_failed() && !failed_before ? -ENOMEM : 0));
      if (err)
         PROP_CHECK(!vmb_va_heap_check(heap));
      else
         live++;
      vmb_va_heap_get_stats(heap, VMB_VA_ZONE_GENERAL, &stats);
      PROP_CHECK(stats.live_count == live);
   }
   const bool failed = fail_alloc_disarm();

   free_without_memory(heap, va, size_B, live);
   PROP_CHECK(!vmb_va_heap_check(heap));
   vmb_va_heap_get_stats(heap, VMB_VA_ZONE_GENERAL, &stats);
   PROP_CHECK(stats.hole_count == 1 && stats.live_count == 0);
   vmb_va_heap_destroy(heap);
   return failed;
}

int
main(int argc, char **argv)
{
   static const struct prop prop = {
      .name = "va-heap",
      .op_size = sizeof(struct va_op),
      .generate = generate,
      .run = run,
      .print = print,
   };

   unsigned allocations = 1;
   while (live_with_failure(allocations))
      allocations++;
   printf("va-heap: all or nothing at each of %u allocations of memory\n", allocations - 1);
   PROP_CHECK(allocations > 10);

   return prop_main(&prop, argc, argv, 100, 12000);
}

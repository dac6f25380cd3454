/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The VA heap beside Mesa's util_vma_heap, under the same load in the same run.
 *
 *    bench-va [--json FILE] [--all]
 *
 * A load fills a heap with N ranges of random sizes, then ages it: over and over, random ranges
 * are freed and as many others allocated, in timed batches.  Numbers are medians over the batches
 * of the second half, when the heap is old, in ns of CPU time per call.  "drain" then frees all
 * that is left in random order.
 *
 * Fragmentation is 1 - U / S: U is the most bytes that were ever live at once, S the longest span
 * that the ranges ever lay in, from the lowest to the highest.  It says how much more address
 * space the heap needed than a perfect one would have.
 */

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "util/macros.h"
#include "util/vma.h"
#include "vmbind/vmb_va_heap.h"

#include "bench_util.h"

#define PAGE_B  4096ull
#define START   (2ull << 20)
#define SPACE_B ((1ull << 47) - START)

#define TARGET_NS            150.0
#define TARGET_FRAGMENTATION 0.15

/* ------------------------------------------------------------------- loads */

#define MAX_SIZE_LOG2_PAGES 12 /* 16 MiB */

static uint64_t
power_of_two_B(struct bench_rng *rng)
{
   return PAGE_B << bench_rng_below(rng, MAX_SIZE_LOG2_PAGES + 1);
}

/** As many between 4 and 8 KiB as between 8 and 16 MiB. */
static uint64_t
log_uniform_B(struct bench_rng *rng)
{
   const double log2_pages =
      bench_rng_below(rng, 1 << 24) * (1.0 * MAX_SIZE_LOG2_PAGES / (1 << 24));

   return (uint64_t)exp2(log2_pages) * PAGE_B;
}

static uint64_t
uniform_B(struct bench_rng *rng)
{
   return (1 + bench_rng_below(rng, 1 << MAX_SIZE_LOG2_PAGES)) * PAGE_B;
}

static const struct load {
   const char *name;
   uint64_t (*size_B)(struct bench_rng *rng);
   bool by_class; /* aligned for large pages, not only to a page */

   /* Without --all, no larger heaps: util_vma_heap would take minutes to age. */
   unsigned max_live;
} loads[] = {
   { "powers of two", power_of_two_B, false, 100000 },
   { "log-uniform", log_uniform_B, false, 10000 },
   { "uniform", uniform_B, false, 10000 },
   { "powers of two", power_of_two_B, true, 100000 },
   { "log-uniform", log_uniform_B, true, 10000 },
   { "uniform", uniform_B, true, 1000 },
};

/* How often each range is replaced. */
static const struct {
   unsigned live, turnover;
} lives[] = {
   { 1000, 60 },
   { 10000, 10 },
   { 100000, 2 },
};

/** What a driver asks for where it cares for large pages. */
static uint64_t
class_align_B(uint64_t size_B)
{
   return size_B >= 2u << 20 ? 2u << 20 : size_B >= 64u << 10 ? 64u << 10 : PAGE_B;
}

/* ------------------------------------------------------------------- heaps */

union heap {
   struct vmb_va_heap *vmb;
   struct util_vma_heap util;
};

static void
vmb_init(union heap *heap)
{
   const struct vmb_va_heap_info info = {
      .page_size_B = PAGE_B,
      .zones[VMB_VA_ZONE_GENERAL] = { START, SPACE_B, true },
   };

   if (vmb_va_heap_create(&info, &heap->vmb))
      abort();
}

static void
vmb_finish(union heap *heap)
{
   const char *wrong = vmb_va_heap_check(heap->vmb);

   if (wrong) {
      fprintf(stderr, "bench-va: %s\n", wrong);
      abort();
   }
   vmb_va_heap_destroy(heap->vmb);
}

static uint64_t
vmb_alloc(union heap *heap, uint64_t size_B, bool by_class)
{
   const struct vmb_va_alloc_info info = {
      .zone = VMB_VA_ZONE_GENERAL,
      .flags = by_class ? 0 : VMB_VA_ALLOC_PACKED,
      .size_B = size_B,
   };
   uint64_t va;

   return vmb_va_heap_alloc(heap->vmb, &info, &va) ? 0 : va;
}

static void
vmb_free(union heap *heap, uint64_t va, uint64_t size_B)
{
   if (vmb_va_heap_free(heap->vmb, va, size_B))
      abort();
}

/** With its share of the retirement: the clock stands still for eight frees at a time. */
static void
vmb_free_deferred(union heap *heap, uint64_t va, uint64_t size_B)
{
   static uint64_t point;

   if (vmb_va_heap_free_deferred(heap->vmb, va, size_B, ++point))
      abort();
   if (point % 8 == 0)
      vmb_va_heap_retire(heap->vmb, point);
}

static unsigned
vmb_holes(union heap *heap)
{
   struct vmb_va_stats stats;

   vmb_va_heap_get_stats(heap->vmb, VMB_VA_ZONE_GENERAL, &stats);
   return stats.hole_count;
}

static void
util_init(union heap *heap)
{
   util_vma_heap_init(&heap->util, START, SPACE_B);
}

static void
util_finish(union heap *heap)
{
   util_vma_heap_finish(&heap->util);
}

static uint64_t
util_alloc(union heap *heap, uint64_t size_B, bool by_class)
{
   return util_vma_heap_alloc(&heap->util, size_B, by_class ? class_align_B(size_B) : PAGE_B);
}

static void
util_free(union heap *heap, uint64_t va, uint64_t size_B)
{
   util_vma_heap_free(&heap->util, va, size_B);
}

static unsigned
util_holes(union heap *heap)
{
   return list_length(&heap->util.holes);
}

static const struct heap_kind {
   const char *name;
   void (*init)(union heap *heap);
   void (*finish)(union heap *heap);
   uint64_t (*alloc)(union heap *heap, uint64_t size_B, bool by_class);
   void (*free)(union heap *heap, uint64_t va, uint64_t size_B);
   unsigned (*holes)(union heap *heap);
} heap_kinds[] = {
   { "util_vma_heap", util_init, util_finish, util_alloc, util_free, util_holes },
   { "vmb_va_heap", vmb_init, vmb_finish, vmb_alloc, vmb_free, vmb_holes },
   { "vmb, deferred", vmb_init, vmb_finish, vmb_alloc, vmb_free_deferred, vmb_holes },
};

/* ----------------------------------------------------------------- measure */

struct range {
   uint64_t va, size_B;
};

struct result {
   double alloc_ns, free_ns, drain_ns;
   double fragmentation;
   unsigned holes;
};

struct span {
   uint64_t peak_live_B, peak_span_B;
};

static void
swap_ranges(struct range *a, struct range *b)
{
   const struct range t = *a;

   *a = *b;
   *b = t;
}

/** Chosen before the clock runs: which ones go, and the sizes of those that come. */
static void
choose_batch(struct bench_rng *rng, const struct load *load, struct range *ranges, unsigned live,
             uint64_t *sizes_B, unsigned count)
{
   for (unsigned i = 0; i < count; i++) {
      swap_ranges(&ranges[i], &ranges[i + bench_rng_below(rng, live - i)]);
      sizes_B[i] = load->size_B(rng);
   }
}

static void
observe(struct span *span, const struct range *ranges, unsigned live)
{
   uint64_t lowest = UINT64_MAX, highest = 0, live_B = 0;

   for (unsigned i = 0; i < live; i++) {
      lowest = MIN2(lowest, ranges[i].va);
      highest = MAX2(highest, ranges[i].va + ranges[i].size_B);
      live_B += ranges[i].size_B;
   }
   span->peak_live_B = MAX2(span->peak_live_B, live_B);
   span->peak_span_B = MAX2(span->peak_span_B, highest - lowest);
}

static void
alloc_batch(const struct heap_kind *kind, union heap *heap, bool by_class, struct range *ranges,
            const uint64_t *sizes_B, unsigned count)
{
   for (unsigned i = 0; i < count; i++) {
      ranges[i].size_B = sizes_B[i];
      ranges[i].va = kind->alloc(heap, sizes_B[i], by_class);
      if (ranges[i].va == 0)
         abort();
   }
}

static void
free_batch(const struct heap_kind *kind, union heap *heap, const struct range *ranges,
           unsigned count)
{
   for (unsigned i = 0; i < count; i++)
      kind->free(heap, ranges[i].va, ranges[i].size_B);
}

static struct result
measure(const struct heap_kind *kind, const struct load *load, unsigned live, unsigned turnover)
{
   struct bench_rng rng = { 88172645463325252ull };
   struct bench_samples alloc_ns = { 0 }, free_ns = { 0 };
   struct range *ranges = calloc(live, sizeof(*ranges));
   uint64_t *sizes_B = calloc(live, sizeof(*sizes_B));
   struct span span = { 0 };
   union heap heap;

   /* Few at a time, so that the heap is never much emptier than full. */
   const unsigned batch = CLAMP(live / 50, 20, 500);
   const unsigned batches = live / batch * turnover;

   kind->init(&heap);
   for (unsigned i = 0; i < live; i++)
      sizes_B[i] = load->size_B(&rng);
   alloc_batch(kind, &heap, load->by_class, ranges, sizes_B, live);
   observe(&span, ranges, live);

   for (unsigned b = 0; b < batches; b++) {
      choose_batch(&rng, load, ranges, live, sizes_B, batch);
      const uint64_t t0 = bench_now_ns();
      free_batch(kind, &heap, ranges, batch);
      const uint64_t t1 = bench_now_ns();
      alloc_batch(kind, &heap, load->by_class, ranges, sizes_B, batch);
      const uint64_t t2 = bench_now_ns();

      if (b >= batches / 2) {
         bench_samples_add(&free_ns, (double)(t1 - t0) / batch);
         bench_samples_add(&alloc_ns, (double)(t2 - t1) / batch);
      }
      if (b % 16 == 0)
         observe(&span, ranges, live);
   }

   struct result result = {
      .alloc_ns = bench_samples_take_median(&alloc_ns),
      .free_ns = bench_samples_take_median(&free_ns),
      .fragmentation = 1.0 - (double)span.peak_live_B / span.peak_span_B,
      .holes = kind->holes(&heap),
   };

   choose_batch(&rng, load, ranges, live, sizes_B, live);
   const uint64_t t0 = bench_now_ns();
   free_batch(kind, &heap, ranges, live);
   result.drain_ns = (double)(bench_now_ns() - t0) / live;

   kind->finish(&heap);
   free(sizes_B);
   free(ranges);
   return result;
}

/* ------------------------------------------------------------------ report */

static void
report_json(struct bench_json *json, const struct heap_kind *kind, const struct load *load,
            unsigned live, const struct result *r)
{
   bench_json_begin_object(json);
   bench_json_string(json, "heap", kind->name);
   bench_json_string(json, "load", load->name);
   bench_json_string(json, "alignment", load->by_class ? "size class" : "page");
   bench_json_number(json, "live", live);
   bench_json_number(json, "holes", r->holes);
   bench_json_number(json, "alloc_ns", r->alloc_ns);
   bench_json_number(json, "free_ns", r->free_ns);
   bench_json_number(json, "drain_ns", r->drain_ns);
   bench_json_number(json, "fragmentation", r->fragmentation);
   bench_json_end_object(json);
}

static const char *
verdict(bool met)
{
   return met ? "met" : "MISSED";
}

static void
report_row(const struct heap_kind *kind, const struct result *r, const struct result *base)
{
   printf("   %-14s %8u %9.0f %9.0f %9.0f %10.1f %%", kind->name, r->holes, r->alloc_ns, r->free_ns,
          r->drain_ns, 100.0 * r->fragmentation);
   if (r != base) {
      printf("   %6.1fx %6.1fx %6.1fx", base->alloc_ns / r->alloc_ns, base->free_ns / r->free_ns,
             base->drain_ns / r->drain_ns);
      printf("   %s, %s, %s", verdict(r->alloc_ns < TARGET_NS), verdict(r->free_ns < TARGET_NS),
             verdict(r->fragmentation <= TARGET_FRAGMENTATION));
   }
   printf("\n");
}

static bool
meets_targets(const struct result *r)
{
   return r->alloc_ns < TARGET_NS && r->free_ns < TARGET_NS &&
          r->fragmentation <= TARGET_FRAGMENTATION;
}

/** Returns whether our heap meets its targets under this load. */
static bool
compare(struct bench_json *json, const struct load *load, unsigned live, unsigned turnover)
{
   struct result results[ARRAY_SIZE(heap_kinds)];

   printf("%u live, sizes from 4 KiB to 16 MiB %s, aligned by %s\n", live, load->name,
          load->by_class ? "size class" : "page");
   for (unsigned i = 0; i < ARRAY_SIZE(heap_kinds); i++) {
      results[i] = measure(&heap_kinds[i], load, live, turnover);
      report_row(&heap_kinds[i], &results[i], &results[0]);
      report_json(json, &heap_kinds[i], load, live, &results[i]);
      fflush(stdout);
   }
   return meets_targets(&results[1]);
}

int
main(int argc, char **argv)
{
   const bool all = bench_flag(argc, argv, "--all");
   struct bench_json json;
   unsigned met = 0, measured = 0;

#ifndef NDEBUG
   fprintf(stderr, "bench-va: built with assertions, with which util_vma_heap walks all its holes "
                   "in every call: configure with --buildtype=release\n");
   return 1;
#endif

   bench_json_open(&json, bench_option(argc, argv, "--json"));
   printf("   %-14s %8s %9s %9s %9s %12s   %-25s %s\n", "", "holes", "alloc ns", "free ns",
          "drain ns", "fragment.", "faster than util_vma_heap", "targets: alloc, free, fragment.");

   for (unsigned l = 0; l < ARRAY_SIZE(loads); l++) {
      for (unsigned n = 0; n < ARRAY_SIZE(lives); n++) {
         if (lives[n].live > loads[l].max_live && !all)
            continue;
         met += compare(&json, &loads[l], lives[n].live, lives[n].turnover);
         measured++;
      }
   }

   printf("targets (alloc and free below %.0f ns, fragmentation at most %.0f %%): %u of %u met\n",
          TARGET_NS, 100.0 * TARGET_FRAGMENTATION, met, measured);
   bench_json_close(&json);
   return 0;
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What a bind costs: instructions of the whole guest, in user space and in the kernel, workers of the kernel
 * among them.  In a guest with one CPU under QEMU's -icount they are the same in every run, but for a few
 * interrupts.  Must not know what is measured.
 *
 * Both benchmarks bind the same pages in the same order: what that is, is here.
 */

#ifndef BENCH_COST_H
#define BENCH_COST_H

#include <stdint.h>

struct cost {
   uint64_t user, kernel;
};

/** Must be called once before the others. */
void cost_init(void);
/** A moment; only differences mean something. */
struct cost cost_now(void);

/** The smallest of several, added up over both parts. */
struct best {
   struct cost cost;
   unsigned count;
};
void best_add(struct best *best, struct cost from, struct cost to);
/** A line for host/cost.py. */
void best_print(const struct best *best, const char *who, const char *pattern, unsigned pages);

/** Of all binds. */
#define COST_PAGE_B (64ull << 10)
#define COST_REPEAT 8

/** Numbers of pages, rising.  All are bound from the same memory, of the last size: what is freed and allocated
 * again comes in pieces. */
#define COST_SIZES 4
extern const unsigned cost_sizes[COST_SIZES];

/** Patterns of binds to a resource of 2 * pages pages. */
enum cost_pattern {
   /** Page i of the memory to page i, one request a page. */
   COST_IN_ORDER,
   /** The same pages, the requests in disorder. */
   COST_SHUFFLED,
   /** To every other page, from pages in disorder: nothing continues anything. */
   COST_SCATTERED,
};

/** The i-th request of a pattern: which page of the resource shows which of the memory. */
void cost_request(enum cost_pattern pattern, unsigned pages, unsigned i, unsigned *page_out,
                  unsigned *memory_page_out);

#endif /* BENCH_COST_H */

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See cost.h.
 */

#include "cost.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/perf_event.h>

#define CRUMBS_B (64 << 20)

const unsigned cost_sizes[COST_SIZES] = { 1, 16, 256, 4096 };

/* The counter of user space, and with it that of the kernel */
static int counters = -1;

/* Retired instructions of the one CPU, whoever's they are. */
static int
open_counter(bool in_kernel, int group)
{
   struct perf_event_attr attr = {
      .type = PERF_TYPE_HARDWARE,
      .size = sizeof(attr),
      .config = PERF_COUNT_HW_INSTRUCTIONS,
      .read_format = PERF_FORMAT_GROUP,
      .exclude_user = in_kernel,
      .exclude_kernel = !in_kernel,
   };
   const int fd = syscall(SYS_perf_event_open, &attr, -1, 0, group, PERF_FLAG_FD_CLOEXEC);

   if (fd < 0) {
      perror("cost: the guest counts no instructions");
      exit(1);
   }
   return fd;
}

/* Where the pages of a BO lie decides what mapping them costs: one by one if they come from the crumbs that
 * whatever ran before has left.  Those are of pages that cannot be moved, so no file uses them up, but what
 * is in a pipe does.  It stays there until the end. */
static void
use_up_crumbs(void)
{
   static char zeros[1 << 20];
   int ends[2];

   if (pipe2(ends, O_CLOEXEC) || fcntl(ends[1], F_SETPIPE_SZ, CRUMBS_B) < CRUMBS_B) {
      perror("cost: no pipe for the crumbs");
      exit(1);
   }
   for (unsigned written_B = 0; written_B < CRUMBS_B; written_B += sizeof(zeros)) {
      if (write(ends[1], zeros, sizeof(zeros)) != sizeof(zeros)) {
         perror("cost: crumbs");
         exit(1);
      }
   }
}

void
cost_init(void)
{
   use_up_crumbs();
   counters = open_counter(false, -1);
   open_counter(true, counters);
}

struct cost
cost_now(void)
{
   struct {
      uint64_t count, user, kernel;
   } values;

   if (read(counters, &values, sizeof(values)) != sizeof(values)) {
      perror("cost");
      exit(1);
   }
   return (struct cost){ values.user, values.kernel };
}

void
best_add(struct best *best, struct cost from, struct cost to)
{
   const struct cost cost = { to.user - from.user, to.kernel - from.kernel };

   if (!best->count++ || cost.user + cost.kernel < best->cost.user + best->cost.kernel)
      best->cost = cost;
}

void
best_print(const struct best *best, const char *who, const char *pattern, unsigned pages)
{
   printf("@@ cost %s %s %u %" PRIu64 " %" PRIu64 "\n", who, pattern, pages, best->cost.user,
          best->cost.kernel);
}

/* Odd, so that it visits all of a power of two. */
#define STEP 1361

void
cost_request(enum cost_pattern pattern, unsigned pages, unsigned i, unsigned *page_out,
             unsigned *memory_page_out)
{
   const unsigned shuffled = i * STEP % pages;

   switch (pattern) {
   case COST_IN_ORDER:
      *page_out = *memory_page_out = i;
      break;
   case COST_SHUFFLED:
      *page_out = *memory_page_out = shuffled;
      break;
   case COST_SCATTERED:
      *page_out = 2 * i;
      *memory_page_out = shuffled;
      break;
   }
}

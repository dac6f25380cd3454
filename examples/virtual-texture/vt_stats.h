/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The numbers of a flight, as a table for people and as data for programs.
 * These are the application's numbers: what the driver made of its binds is
 * the driver's to tell, and a tool's to print below.
 */

#ifndef VT_STATS_H
#define VT_STATS_H

#include <stdint.h>

struct vt_stats {
   const char *device;
   uint32_t frames;
   uint32_t texture_px;
   uint32_t pool_pages;

   uint64_t bound; /* pages, as are the next three */
   uint64_t evicted;
   uint64_t resident_peak;
   uint64_t resident_end;
   uint64_t bind_calls; /* vkQueueBindSparse with pages */
   uint64_t bind_ns;    /* in these calls */
   uint64_t wanted;     /* pages, summed over frames */
   uint64_t absent;     /* of these, still not there when drawn */
   uint64_t audited;    /* page reads checked */
   uint64_t wrong;      /* of these, not what was bound */

   uint64_t texture_B; /* address space */
   uint64_t base_B;    /* memory that is always bound */
   uint64_t paint_ns;
   uint64_t flight_ns;
};

/* To standard output and, given a directory, table.txt and flight.json. */
void vt_stats_write(const struct vt_stats *stats, const char *directory);

#endif /* VT_STATS_H */

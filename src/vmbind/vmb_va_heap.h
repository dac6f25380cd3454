/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The heap of GPU virtual addresses of one VM: who may use which range, and when a range may be
 * used again.  It knows numbers only: no BO, no mapping, no kernel driver, no lock.
 */

#ifndef VMB_VA_HEAP_H
#define VMB_VA_HEAP_H

#include <stdbool.h>
#include <stdint.h>

#include "util/macros.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Overview
 *
 * A heap manages up to four *zones*, disjoint parts of a VM's address range that never lend each
 * other space.  Each zone is cut completely into *extents*: holes, live allocations, and ranges
 * that have been freed but that the GPU may still be using ("deferred").
 *
 *      zone start                                                            zone end
 *      | live   | guard | live |    hole    | deferred | live |     hole           |
 *
 * Best fit.  An allocation comes out of the smallest hole that is large enough, and from the end
 * of it that the zone's direction names.  Neighbouring holes merge at once.
 *
 * Alignment by size class.  Unless told otherwise, the heap places an allocation so that the MMU
 * can use its larger pages: at the same distance from a 64 KiB boundary as the backing is in its
 * BO from 64 KiB on, and from a 2 MiB boundary from 2 MiB on.  This is a wish, given up before an
 * allocation fails; align_B is a demand and never given up.
 *
 * Deferred frees.  An address must not be handed out again while the GPU can still reach what it
 * used to mean.  The caller frees "at point P" of a clock of its own (usually the bind queue's
 * timeline) and tells the heap from time to time how far the clock has come.  One heap follows
 * one clock.  Where several timelines retire binds of one VM, the clock is the caller's own
 * counter, advanced once all of them have passed.
 *
 * Cost.  Allocating, freeing and looking up are O(log n) in the number of extents, also in a full
 * or badly fragmented zone; nothing walks a list of holes.  Every call either does all of its
 * work or nothing.  Only create and the two alloc functions ever need memory: a free never fails
 * for want of it.
 *
 * Locking.  None.  All calls on one heap must be serialised by the caller, usually by the VM's
 * bind lock; functions that take a const heap may run side by side.
 *
 * Units.  An address is a uint64_t named va; quantities in bytes end in _B.  Sizes need not be
 * multiples of the page size, the heap rounds them up, the same way in alloc and in free.
 */

struct vmb_va_heap;

enum vmb_va_zone {
   /** Addresses below 4 GiB, for what the hardware reaches with 32 bits. */
   VMB_VA_ZONE_LOW,

   /** Everything that may be anywhere. */
   VMB_VA_ZONE_GENERAL,

   /**
    * Objects whose addresses must be reproducible in another run (Vulkan's capture and replay of
    * device addresses and descriptors).  A capture takes addresses with vmb_va_heap_alloc(), the
    * replay asks for the same ones with vmb_va_heap_alloc_at().  Nothing else lives here, so that
    * nothing else can be in the way.
    */
   VMB_VA_ZONE_REPLAY,

   /**
    * Addresses that the caller chooses: a window shared with the CPU, a range promised to
    * firmware.  vmb_va_heap_alloc() refuses this zone.
    */
   VMB_VA_ZONE_FIXED,

   VMB_VA_ZONE_COUNT,
};

struct vmb_va_zone_info {
   /** First address.  Not 0: the null address is never handed out. */
   uint64_t start;

   /** 0: there is no such zone. */
   uint64_t size_B;

   /** Take the upper end of a hole, so that the zone fills from its end. */
   bool top_down;
};

struct vmb_va_heap_info {
   struct vmb_va_zone_info zones[VMB_VA_ZONE_COUNT];

   /** Smallest page of the MMU: a power of two, at least 4 KiB. */
   uint64_t page_size_B;

   /**
    * Bytes kept unmapped after each vmb_va_heap_alloc(), so that an access past the end of an
    * object faults instead of hitting its neighbour; 0 for none.  Costs address space only.
    */
   uint64_t guard_B;
};

enum vmb_va_alloc_flags {
   /**
    * No wish for large pages: place the range by align_B alone.  For a zone so small that its
    * space counts for more than the TLB's.
    */
   VMB_VA_ALLOC_PACKED = 1u << 0,
};

struct vmb_va_alloc_info {
   enum vmb_va_zone zone;
   enum vmb_va_alloc_flags flags;

   uint64_t size_B;

   /** The address is a multiple of this power of two; 0 and less than a page mean a page. */
   uint64_t align_B;

   /**
    * Where in its BO the backing will start, if that is known; otherwise 0.  The heap then tries
    * for va ≡ bo_offset_B modulo the size class, without which an MMU cannot use large pages.
    * Ignored where it contradicts align_B.
    */
   uint64_t bo_offset_B;
};

enum vmb_va_state {
   VMB_VA_HOLE,
   VMB_VA_LIVE,
   VMB_VA_DEFERRED,
};

/** A maximal hole, or one allocation together with the guard that follows it. */
struct vmb_va_extent {
   uint64_t va;
   uint64_t size_B;
   enum vmb_va_state state;
};

struct vmb_va_stats {
   uint64_t live_B;     /**< in use, guards included */
   uint64_t deferred_B; /**< freed, waiting for their point */
   uint64_t free_B;     /**< in holes */
   uint64_t largest_hole_B;
   uint64_t span_B; /**< from the lowest to the highest byte that is not in a hole */

   uint64_t live_count;
   uint64_t deferred_count;
   uint64_t hole_count;
};

/* Heap */

/**
 * Makes a heap with all zones empty.
 *
 * Returns 0, or
 *   -EINVAL  the page size is no power of two of at least 4 KiB; a zone starts at 0, is not
 *            page aligned, passes 2^62 or overlaps another; the low zone passes 4 GiB; the
 *            guard is 4 GiB or more
 *   -ENOMEM
 */
MUST_CHECK int vmb_va_heap_create(const struct vmb_va_heap_info *info,
                                  struct vmb_va_heap **heap_out);

/** Frees the heap; live and deferred ranges are forgotten. */
void vmb_va_heap_destroy(struct vmb_va_heap *heap);

/* Allocate */

/**
 * Finds a place for info->size_B bytes and makes it live.
 *
 * Returns 0 and the address, or
 *   -EINVAL  size 0 or alignment no power of two; no such zone; the fixed zone
 *   -ENOSPC  no room.  For alignments of up to a page: no hole of this size.  For larger ones: no
 *            hole of size_B + align_B - page size, in which every alignment fits, and none of the
 *            eight smallest holes of at least size_B fits by luck (looking at them all would cost
 *            more than O(log n)).  Deferred ranges count as used: retiring may help.
 *   -ENOMEM
 */
MUST_CHECK int vmb_va_heap_alloc(struct vmb_va_heap *heap, const struct vmb_va_alloc_info *info,
                                 uint64_t *va_out);

/**
 * Makes exactly [va, va + size_B) live, with no guard: a replayed address, or one of the
 * caller's choice.  Allowed in every zone.
 *
 * Returns 0, or
 *   -EINVAL      size 0; va not page aligned; the range is not wholly inside this zone
 *   -EADDRINUSE  part of it is live or deferred
 *   -ENOMEM
 */
MUST_CHECK int vmb_va_heap_alloc_at(struct vmb_va_heap *heap, enum vmb_va_zone zone, uint64_t va,
                                    uint64_t size_B);

/* Free */

/**
 * Makes a live range a hole again, at once: for ranges that the GPU has never seen, or that are
 * known to be idle.
 *
 * Returns 0, or -EINVAL if there is no live allocation of this address and size (freed twice, a
 * part of one, never allocated); nothing has changed then.
 */
int vmb_va_heap_free(struct vmb_va_heap *heap, uint64_t va, uint64_t size_B);

/**
 * Makes a live range a hole when the heap's clock reaches point: the range stays unusable until a
 * vmb_va_heap_retire() with a completed point of at least that.
 *
 * Points of successive calls must not decrease.  A smaller one is taken to be the largest so far:
 * the range comes back later than it could, never earlier.
 *
 * Returns 0, or -EINVAL as vmb_va_heap_free() does.
 */
int vmb_va_heap_free_deferred(struct vmb_va_heap *heap, uint64_t va, uint64_t size_B,
                              uint64_t point);

/**
 * The heap's clock has reached completed_point: everything deferred up to it becomes a hole.
 * Costs O(log n) for each range that becomes free, and O(1) if there is none.
 */
void vmb_va_heap_retire(struct vmb_va_heap *heap, uint64_t completed_point);

/* Look */

/**
 * The extent that contains va, whatever its state.  Returns false if va is in no zone.
 *
 * Going on at extent.va + extent.size_B visits all extents of a zone in address order.
 */
bool vmb_va_heap_lookup(const struct vmb_va_heap *heap, uint64_t va, struct vmb_va_extent *extent);

/**
 * The first hole of a zone that starts at or after va.  Returns false if there is none.  Costs
 * O(log n) and a step for every extent between va and the hole.
 *
 *    struct vmb_va_extent hole;
 *    for (uint64_t va = 0; vmb_va_heap_next_hole(heap, zone, va, &hole);
 *         va = hole.va + hole.size_B)
 */
bool vmb_va_heap_next_hole(const struct vmb_va_heap *heap, enum vmb_va_zone zone, uint64_t va,
                           struct vmb_va_extent *hole);

/** Sums over one zone, O(log n).  All 0 for a zone that does not exist. */
void vmb_va_heap_get_stats(const struct vmb_va_heap *heap, enum vmb_va_zone zone,
                           struct vmb_va_stats *stats);

/**
 * The share of the span that is lost in holes: 0 is packed, towards 1 is scattered.  The hole
 * beyond the last allocation is not counted, or a large zone would always look perfect.
 */
static inline double
vmb_va_stats_fragmentation(const struct vmb_va_stats *stats)
{
   if (stats->span_B == 0)
      return 0.0;

   return 1.0 - (double)(stats->live_B + stats->deferred_B) / (double)stats->span_B;
}

/**
 * Verifies every invariant of the heap's structures, in O(n), for tests.  Returns NULL if all
 * hold, otherwise a sentence about the first one that does not.
 */
const char *vmb_va_heap_check(const struct vmb_va_heap *heap);

#ifdef __cplusplus
}
#endif

#endif /* VMB_VA_HEAP_H */

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The policy of the VA heap: zones, alignment, guards, deferral.  Where an extent is, and which
 * hole is the smallest, are vmb_va_extents.c's and vmb_va_holes.c's business.
 */

#include "vmb_va_heap.h"

#include <errno.h>
#include <stdlib.h>

#include "util/macros.h"
#include "util/u_math.h"

#include "vmb_va_extents.h"
#include "vmb_va_holes.h"

#define CLASS_64K_B (64ull << 10)
#define CLASS_2M_B  (2ull << 20)
#define LOW_END     (1ull << 32)

/* A sum of a size in it, any alignment and a guard does not overflow. */
#define ZONE_MAX_END (1ull << 62)

/* Of the smallest holes that are large enough, so many are tried before the search goes on among
 * those in which any alignment fits.
 */
#define LUCKY_TRIES 8

#define RECORDS_PER_CHUNK 256

/* An extent's state as its key in the tree carries it. */
enum extent_state {
   EXTENT_HOLE,
   EXTENT_LIVE,
   EXTENT_LIVE_GUARDED,
   EXTENT_DEFERRED,
};

/*
 * A record is the memory that a hole needs in the index, and a deferred extent in the queue.  What
 * is live may leave a hole behind, and may wait in the queue while its neighbours leave holes: so
 * there are two records for each extent that is not a hole, and one for each zone's first hole.
 * Records are laid aside when an extent becomes live; only that can ask for memory.
 */
struct record_chunk {
   struct record_chunk *next;
   struct vmb_hole records[RECORDS_PER_CHUNK];
};

struct record_pool {
   struct record_chunk *first, *last;
   uint64_t total_count;

   struct vmb_hole *recycled; /* linked through next */

   /* Records that were never used are not touched, and cost no memory but address space. */
   struct record_chunk *fresh_chunk;
   unsigned fresh_index;
};

struct zone {
   uint64_t start, end;
   bool top_down;

   struct vmb_extent_tree extents;
   struct vmb_hole_index holes;

   uint64_t live_B, deferred_B;
   uint64_t live_count, deferred_count, hole_count;
};

struct vmb_va_heap {
   uint64_t page_size_B;
   uint64_t guard_B;

   struct zone *zones[VMB_VA_ZONE_COUNT];

   struct vmb_extent_pool nodes;
   struct record_pool records;
   uint64_t taken_count; /* live and deferred extents of all zones */

   /* Deferred records, oldest first, linked through next; their points never decrease. */
   struct vmb_hole *deferred_head, *deferred_tail;
   uint64_t last_point;
};

/* Records */

static int
record_pool_reserve(struct record_pool *pool, uint64_t count)
{
   while (pool->total_count < count) {
      struct record_chunk *chunk = malloc(sizeof(*chunk));
      if (!chunk)
         return -ENOMEM;

      chunk->next = NULL;
      if (pool->last)
         pool->last->next = chunk;
      else
         pool->first = pool->fresh_chunk = chunk;
      pool->last = chunk;
      pool->total_count += RECORDS_PER_CHUNK;
   }
   return 0;
}

static struct vmb_hole *
record_pool_take(struct record_pool *pool)
{
   if (pool->recycled) {
      struct vmb_hole *record = pool->recycled;
      pool->recycled = record->next;
      return record;
   }

   if (pool->fresh_index == RECORDS_PER_CHUNK) {
      pool->fresh_chunk = pool->fresh_chunk->next;
      pool->fresh_index = 0;
   }
   return &pool->fresh_chunk->records[pool->fresh_index++];
}

static void
record_pool_put(struct record_pool *pool, struct vmb_hole *record)
{
   record->next = pool->recycled;
   pool->recycled = record;
}

static void
record_pool_fini(struct record_pool *pool)
{
   for (struct record_chunk *chunk = pool->first, *next; chunk; chunk = next) {
      next = chunk->next;
      free(chunk);
   }
}

static uint64_t
records_needed(uint64_t taken_count)
{
   return 2 * taken_count + VMB_VA_ZONE_COUNT;
}

/* Zones */

static bool
zone_info_is_valid(const struct vmb_va_heap_info *info, enum vmb_va_zone zone)
{
   const struct vmb_va_zone_info *z = &info->zones[zone];
   const uint64_t end = z->start + z->size_B;

   if (z->start == 0 || end < z->start || end > ZONE_MAX_END ||
       (z->start | z->size_B) & (info->page_size_B - 1))
      return false;

   if (zone == VMB_VA_ZONE_LOW && end > LOW_END)
      return false;

   for (unsigned i = 0; i < zone; i++) {
      const struct vmb_va_zone_info *other = &info->zones[i];
      if (z->start < other->start + other->size_B && other->start < end)
         return false;
   }
   return true;
}

static bool
heap_info_is_valid(const struct vmb_va_heap_info *info)
{
   if (!util_is_power_of_two_nonzero64(info->page_size_B) ||
       info->page_size_B <= VMB_EXTENT_STATE_MASK || info->guard_B > UINT32_MAX)
      return false;

   for (unsigned i = 0; i < VMB_VA_ZONE_COUNT; i++) {
      if (info->zones[i].size_B > 0 && !zone_info_is_valid(info, i))
         return false;
   }
   return true;
}

static void
zone_add_hole(struct zone *zone, struct vmb_hole *hole, uint64_t va, uint64_t size_B)
{
   hole->va = va;
   hole->size_B = size_B;
   vmb_hole_index_insert(&zone->holes, hole);
   zone->hole_count++;
}

static void
zone_remove_hole(struct zone *zone, struct vmb_hole *hole)
{
   vmb_hole_index_remove(&zone->holes, hole);
   zone->hole_count--;
}

/** Both pools hold what this takes. */
static struct zone *
zone_create(struct vmb_va_heap *heap, const struct vmb_va_zone_info *info)
{
   struct zone *zone = calloc(1, sizeof(*zone));
   if (!zone)
      return NULL;

   zone->start = info->start;
   zone->end = info->start + info->size_B;
   zone->top_down = info->top_down;

   struct vmb_hole *all = record_pool_take(&heap->records);
   vmb_hole_index_init(&zone->holes, util_logbase2_64(heap->page_size_B));
   vmb_extent_tree_init(&zone->extents, &heap->nodes, zone->start, zone->end, EXTENT_HOLE, all);
   zone_add_hole(zone, all, zone->start, info->size_B);
   return zone;
}

static struct zone *
find_zone(const struct vmb_va_heap *heap, uint64_t va)
{
   for (unsigned i = 0; i < VMB_VA_ZONE_COUNT; i++) {
      struct zone *zone = heap->zones[i];
      if (zone && va >= zone->start && va < zone->end)
         return zone;
   }
   return NULL;
}

/* Heap */

int
vmb_va_heap_create(const struct vmb_va_heap_info *info, struct vmb_va_heap **heap_out)
{
   if (!heap_info_is_valid(info))
      return -EINVAL;

   struct vmb_va_heap *heap = calloc(1, sizeof(*heap));
   if (!heap)
      return -ENOMEM;

   heap->page_size_B = info->page_size_B;
   heap->guard_B = align64(info->guard_B, info->page_size_B);

   if (record_pool_reserve(&heap->records, records_needed(0)) ||
       vmb_extent_pool_reserve(&heap->nodes, VMB_VA_ZONE_COUNT))
      goto fail_heap;

   for (unsigned i = 0; i < VMB_VA_ZONE_COUNT; i++) {
      if (info->zones[i].size_B == 0)
         continue;
      heap->zones[i] = zone_create(heap, &info->zones[i]);
      if (!heap->zones[i])
         goto fail_heap;
   }

   *heap_out = heap;
   return 0;

fail_heap:
   vmb_va_heap_destroy(heap);
   return -ENOMEM;
}

void
vmb_va_heap_destroy(struct vmb_va_heap *heap)
{
   for (unsigned i = 0; i < VMB_VA_ZONE_COUNT; i++) {
      if (!heap->zones[i])
         continue;
      vmb_extent_tree_fini(&heap->zones[i]->extents, &heap->nodes);
      free(heap->zones[i]);
   }
   vmb_extent_pool_fini(&heap->nodes);
   record_pool_fini(&heap->records);
   free(heap);
}

/* Place */

/** What a caller wants, in the heap's own terms: va ≡ phase modulo align_B. */
struct want {
   uint64_t size_B; /* whole pages, guard included */
   uint64_t align_B;
   uint64_t phase_B;
};

static uint64_t
size_class_align_B(uint64_t size_B)
{
   if (size_B >= CLASS_2M_B)
      return CLASS_2M_B;
   if (size_B >= CLASS_64K_B)
      return CLASS_64K_B;
   return 0;
}

/** The next wish to try when there is no place for this one, 0 if there is none. */
static uint64_t
weaker_align_B(uint64_t align_B)
{
   return align_B == CLASS_2M_B ? CLASS_64K_B : 0;
}

static bool
hole_fits(const struct zone *zone, const struct vmb_hole *hole, const struct want *want,
          uint64_t *va_out)
{
   const uint64_t mask = want->align_B - 1;
   const uint64_t lowest = hole->va + ((want->phase_B - hole->va) & mask);
   const uint64_t highest_any = hole->va + hole->size_B - want->size_B;
   const uint64_t highest = highest_any - ((highest_any - want->phase_B) & mask);

   if (hole->size_B - want->size_B < lowest - hole->va)
      return false;

   *va_out = zone->top_down ? highest : lowest;
   return true;
}

/** A hole in which the wanted range has a place, and that place; NULL if none was found. */
static struct vmb_hole *
find_hole(const struct vmb_va_heap *heap, const struct zone *zone, const struct want *want,
          uint64_t *va_out)
{
   struct vmb_hole *first = vmb_hole_index_best_fit(&zone->holes, want->size_B);
   struct vmb_hole *hole = first;

   for (unsigned i = 0; hole && i < LUCKY_TRIES; i++) {
      if (hole_fits(zone, hole, want, va_out))
         return hole;

      hole = hole->next;
      if (hole == first) {
         first = vmb_hole_index_best_fit(&zone->holes, hole->size_B + heap->page_size_B);
         hole = first;
      }
   }

   if (!hole)
      return NULL;

   hole = vmb_hole_index_best_fit(&zone->holes,
                                  want->size_B + want->align_B - heap->page_size_B);
   if (hole)
      hole_fits(zone, hole, want, va_out);
   return hole;
}

/* Take */

/** Lays aside all that making one more extent live, and freeing it later, can need. */
static int
reserve(struct vmb_va_heap *heap, const struct zone *zone)
{
   int err = record_pool_reserve(&heap->records, records_needed(heap->taken_count + 1));
   if (err)
      return err;

   return vmb_extent_pool_reserve(&heap->nodes, vmb_extent_tree_nodes_for(&zone->extents, 2));
}

/**
 * Cuts [va, va + size_B) out of a hole.
 *
 *      | below |   taken   | above |      below keeps the hole's record and its entry,
 *                                         either may be empty
 */
static void
take(struct vmb_va_heap *heap, struct zone *zone, struct vmb_hole *hole, uint64_t va,
     uint64_t size_B, enum extent_state state)
{
   const uint64_t hole_va = hole->va;
   const uint64_t below_B = va - hole_va;
   const uint64_t above_B = hole->size_B - below_B - size_B;
   struct vmb_hole *above = hole;
   struct vmb_extent_cursor cursor;

   zone_remove_hole(zone, hole);
   vmb_extent_tree_find(&zone->extents, hole_va, &cursor);

   if (below_B > 0) {
      zone_add_hole(zone, hole, hole_va, below_B);
      vmb_extent_tree_split(&zone->extents, &heap->nodes, &cursor, va, state, NULL);
      if (above_B > 0) {
         above = record_pool_take(&heap->records);
         vmb_extent_tree_find(&zone->extents, va, &cursor);
      }
   } else {
      vmb_extent_set(vmb_extent_cursor_entry(&cursor), state, NULL);
      if (above_B == 0)
         record_pool_put(&heap->records, hole);
   }

   if (above_B > 0) {
      zone_add_hole(zone, above, va + size_B, above_B);
      vmb_extent_tree_split(&zone->extents, &heap->nodes, &cursor, va + size_B, EXTENT_HOLE, above);
   }

   zone->live_B += size_B;
   zone->live_count++;
   heap->taken_count++;
}

int
vmb_va_heap_alloc(struct vmb_va_heap *heap, const struct vmb_va_alloc_info *info, uint64_t *va_out)
{
   const uint64_t align_B = MAX2(info->align_B, heap->page_size_B);

   if (info->size_B == 0 || !util_is_power_of_two_nonzero64(align_B) ||
       info->zone >= VMB_VA_ZONE_COUNT || info->zone == VMB_VA_ZONE_FIXED ||
       !heap->zones[info->zone])
      return -EINVAL;

   struct zone *zone = heap->zones[info->zone];
   if (info->size_B > zone->end - zone->start)
      return -ENOSPC;

   struct want want = {
      .size_B = align64(info->size_B, heap->page_size_B) + heap->guard_B,
   };
   struct vmb_hole *hole = NULL;
   uint64_t va = 0;

   if (!(info->flags & VMB_VA_ALLOC_PACKED) && (info->bo_offset_B & (align_B - 1)) == 0) {
      for (uint64_t wish_B = size_class_align_B(info->size_B); wish_B > align_B && !hole;
           wish_B = weaker_align_B(wish_B)) {
         want.align_B = wish_B;
         want.phase_B = info->bo_offset_B & (wish_B - 1);
         hole = find_hole(heap, zone, &want, &va);
      }
   }

   if (!hole) {
      want.align_B = align_B;
      want.phase_B = 0;
      hole = find_hole(heap, zone, &want, &va);
   }
   if (!hole)
      return -ENOSPC;

   int err = reserve(heap, zone);
   if (err)
      return err;

   take(heap, zone, hole, va, want.size_B, heap->guard_B ? EXTENT_LIVE_GUARDED : EXTENT_LIVE);
   *va_out = va;
   return 0;
}

int
vmb_va_heap_alloc_at(struct vmb_va_heap *heap, enum vmb_va_zone zone_id, uint64_t va,
                     uint64_t size_B)
{
   if (size_B == 0 || va & (heap->page_size_B - 1) || zone_id >= VMB_VA_ZONE_COUNT ||
       !heap->zones[zone_id])
      return -EINVAL;

   struct zone *zone = heap->zones[zone_id];
   if (va < zone->start || va >= zone->end || size_B > zone->end - va)
      return -EINVAL;

   struct vmb_extent_cursor cursor;
   vmb_extent_tree_find(&zone->extents, va, &cursor);

   const struct vmb_extent_entry entry = vmb_extent_cursor_entry(&cursor);
   if (vmb_extent_state(entry) != EXTENT_HOLE ||
       size_B > vmb_extent_end(&zone->extents, entry) - va)
      return -EADDRINUSE;

   int err = reserve(heap, zone);
   if (err)
      return err;

   take(heap, zone, vmb_extent_ptr(entry), va, align64(size_B, heap->page_size_B), EXTENT_LIVE);
   return 0;
}

/* Free */

/** Finds the live extent that an allocation of this address and size made. */
static struct zone *
find_live(const struct vmb_va_heap *heap, uint64_t va, uint64_t size_B,
          struct vmb_extent_cursor *cursor)
{
   struct zone *zone = find_zone(heap, va);
   if (!zone || size_B == 0 || size_B > zone->end - va)
      return NULL;

   vmb_extent_tree_find(&zone->extents, va, cursor);
   const struct vmb_extent_entry entry = vmb_extent_cursor_entry(cursor);
   const unsigned state = vmb_extent_state(entry);

   if (vmb_extent_va(entry) != va || (state != EXTENT_LIVE && state != EXTENT_LIVE_GUARDED))
      return NULL;

   const uint64_t guard_B = state == EXTENT_LIVE_GUARDED ? heap->guard_B : 0;
   if (vmb_extent_end(&zone->extents, entry) - va != align64(size_B, heap->page_size_B) + guard_B)
      return NULL;

   return zone;
}

/** Removes the cursor's entry and the next one's, or one of them. */
static void
remove_entries(struct vmb_va_heap *heap, struct zone *zone, struct vmb_extent_cursor *cursor,
               bool own, struct vmb_extent_entry next, bool remove_next)
{
   const bool together = remove_next && next.leaf == cursor->path[0];
   const uint64_t next_va = vmb_extent_va(next);

   if (together && !own)
      cursor->slot[0]++;
   if (own || together) {
      vmb_extent_tree_merge_into_prev(&zone->extents, &heap->nodes, cursor,
                                      own && together ? 2 : 1);
   }
   if (remove_next && !together) {
      vmb_extent_tree_find(&zone->extents, next_va, cursor);
      vmb_extent_tree_merge_into_prev(&zone->extents, &heap->nodes, cursor, 1);
   }
}

/**
 * Makes the cursor's extent a hole, together with the holes on both sides.
 *
 *      | below | extent | above |      one entry is left: below's if there is one, else the
 *                                      extent's own; one record is left: below's, above's, or own
 */
static void
release(struct vmb_va_heap *heap, struct zone *zone, struct vmb_extent_cursor *cursor,
        struct vmb_hole *own)
{
   const struct vmb_extent_entry entry = vmb_extent_cursor_entry(cursor);
   struct vmb_extent_entry prev = entry, next = entry;
   const bool has_below = vmb_extent_prev(&prev) && vmb_extent_state(prev) == EXTENT_HOLE;
   const bool has_above = vmb_extent_next(&next) && vmb_extent_state(next) == EXTENT_HOLE;
   struct vmb_hole *below = has_below ? vmb_extent_ptr(prev) : NULL;
   struct vmb_hole *above = has_above ? vmb_extent_ptr(next) : NULL;
   uint64_t va = vmb_extent_va(entry);
   uint64_t end = vmb_extent_end(&zone->extents, entry);
   struct vmb_hole *hole;

   if (above) {
      zone_remove_hole(zone, above);
      end += above->size_B;
   }
   if (below) {
      zone_remove_hole(zone, below);
      va = below->va;
   }

   hole = below ? below : above ? above : own ? own : record_pool_take(&heap->records);
   if (above && above != hole)
      record_pool_put(&heap->records, above);
   if (own && own != hole)
      record_pool_put(&heap->records, own);
   zone_add_hole(zone, hole, va, end - va);

   if (!below)
      vmb_extent_set(entry, EXTENT_HOLE, hole);
   remove_entries(heap, zone, cursor, below, next, above);
   heap->taken_count--;
}

int
vmb_va_heap_free(struct vmb_va_heap *heap, uint64_t va, uint64_t size_B)
{
   struct vmb_extent_cursor cursor;
   struct zone *zone = find_live(heap, va, size_B, &cursor);
   if (!zone)
      return -EINVAL;

   zone->live_B -= vmb_extent_end(&zone->extents, vmb_extent_cursor_entry(&cursor)) - va;
   zone->live_count--;
   release(heap, zone, &cursor, NULL);
   return 0;
}

int
vmb_va_heap_free_deferred(struct vmb_va_heap *heap, uint64_t va, uint64_t size_B, uint64_t point)
{
   struct vmb_extent_cursor cursor;
   struct zone *zone = find_live(heap, va, size_B, &cursor);
   if (!zone)
      return -EINVAL;

   const struct vmb_extent_entry entry = vmb_extent_cursor_entry(&cursor);
   struct vmb_hole *record = record_pool_take(&heap->records);

   heap->last_point = MAX2(heap->last_point, point);
   record->point = heap->last_point;
   record->va = va;
   record->size_B = vmb_extent_end(&zone->extents, entry) - va;
   record->next = NULL;
   vmb_extent_set(entry, EXTENT_DEFERRED, record);

   if (heap->deferred_tail)
      heap->deferred_tail->next = record;
   else
      heap->deferred_head = record;
   heap->deferred_tail = record;

   zone->live_B -= record->size_B;
   zone->live_count--;
   zone->deferred_B += record->size_B;
   zone->deferred_count++;
   return 0;
}

void
vmb_va_heap_retire(struct vmb_va_heap *heap, uint64_t completed_point)
{
   while (heap->deferred_head && heap->deferred_head->point <= completed_point) {
      struct vmb_hole *record = heap->deferred_head;
      struct zone *zone = find_zone(heap, record->va);
      struct vmb_extent_cursor cursor;

      heap->deferred_head = record->next;
      if (!heap->deferred_head)
         heap->deferred_tail = NULL;

      zone->deferred_B -= record->size_B;
      zone->deferred_count--;
      vmb_extent_tree_find(&zone->extents, record->va, &cursor);
      release(heap, zone, &cursor, record);
   }
}

/* Look */

static enum vmb_va_state
public_state(enum extent_state state)
{
   switch (state) {
   case EXTENT_HOLE:
      return VMB_VA_HOLE;
   case EXTENT_DEFERRED:
      return VMB_VA_DEFERRED;
   case EXTENT_LIVE:
   case EXTENT_LIVE_GUARDED:
      break;
   }
   return VMB_VA_LIVE;
}

static struct vmb_va_extent
public_extent(const struct zone *zone, struct vmb_extent_entry entry)
{
   const uint64_t va = vmb_extent_va(entry);

   return (struct vmb_va_extent){
      .va = va,
      .size_B = vmb_extent_end(&zone->extents, entry) - va,
      .state = public_state(vmb_extent_state(entry)),
   };
}

static struct vmb_extent_entry
find_entry(const struct zone *zone, uint64_t va)
{
   struct vmb_extent_cursor cursor;

   vmb_extent_tree_find(&zone->extents, va, &cursor);
   return vmb_extent_cursor_entry(&cursor);
}

bool
vmb_va_heap_lookup(const struct vmb_va_heap *heap, uint64_t va, struct vmb_va_extent *extent)
{
   const struct zone *zone = find_zone(heap, va);
   if (!zone)
      return false;

   *extent = public_extent(zone, find_entry(zone, va));
   return true;
}

bool
vmb_va_heap_next_hole(const struct vmb_va_heap *heap, enum vmb_va_zone zone_id, uint64_t va,
                      struct vmb_va_extent *hole)
{
   const struct zone *zone = heap->zones[zone_id];
   if (!zone || va >= zone->end)
      return false;

   struct vmb_extent_entry entry = find_entry(zone, MAX2(va, zone->start));
   while (vmb_extent_state(entry) != EXTENT_HOLE || vmb_extent_va(entry) < va) {
      if (!vmb_extent_next(&entry))
         return false;
   }

   *hole = public_extent(zone, entry);
   return true;
}

/** From the lowest to the highest byte that is not in a hole. */
static uint64_t
zone_span_B(const struct zone *zone)
{
   const struct vmb_extent_entry first = find_entry(zone, zone->start);
   const struct vmb_extent_entry last = find_entry(zone, zone->end - 1);
   uint64_t start = zone->start, end = zone->end;

   if (vmb_extent_state(first) == EXTENT_HOLE)
      start = vmb_extent_end(&zone->extents, first);
   if (vmb_extent_state(last) == EXTENT_HOLE)
      end = vmb_extent_va(last);
   return end > start ? end - start : 0;
}

void
vmb_va_heap_get_stats(const struct vmb_va_heap *heap, enum vmb_va_zone zone_id,
                      struct vmb_va_stats *stats)
{
   const struct zone *zone = heap->zones[zone_id];

   *stats = (struct vmb_va_stats){ 0 };
   if (!zone)
      return;

   stats->live_B = zone->live_B;
   stats->deferred_B = zone->deferred_B;
   stats->free_B = zone->end - zone->start - zone->live_B - zone->deferred_B;
   stats->largest_hole_B = vmb_hole_index_largest_B(&zone->holes);
   stats->span_B = zone_span_B(zone);
   stats->live_count = zone->live_count;
   stats->deferred_count = zone->deferred_count;
   stats->hole_count = zone->hole_count;
}

/* Check */

static const char *
check_zone(const struct zone *zone)
{
   uint64_t size_B[EXTENT_DEFERRED + 1] = { 0 };
   uint64_t count[EXTENT_DEFERRED + 1] = { 0 };

   const char *wrong = vmb_extent_tree_check(&zone->extents);
   if (wrong)
      return wrong;

   struct vmb_extent_entry entry = find_entry(zone, zone->start);
   if (vmb_extent_va(entry) != zone->start)
      return "the first extent does not start where the zone does";

   bool after_hole = false;
   do {
      const unsigned state = vmb_extent_state(entry);
      const uint64_t va = vmb_extent_va(entry);
      const struct vmb_hole *record = vmb_extent_ptr(entry);

      if (state > EXTENT_DEFERRED)
         return "an extent has no known state";
      if (after_hole && state == EXTENT_HOLE)
         return "two neighbouring holes are not merged";

      const uint64_t extent_B = vmb_extent_end(&zone->extents, entry) - va;
      const bool has_record = state == EXTENT_HOLE || state == EXTENT_DEFERRED;
      if (has_record && (!record || record->va != va || record->size_B != extent_B))
         return "a record does not describe its extent";

      size_B[state] += extent_B;
      count[state]++;
      after_hole = state == EXTENT_HOLE;
   } while (vmb_extent_next(&entry));

   if (count[EXTENT_HOLE] != zone->hole_count ||
       vmb_hole_index_check(&zone->holes) != zone->hole_count)
      return "the index does not hold exactly the zone's holes";
   if (count[EXTENT_LIVE] + count[EXTENT_LIVE_GUARDED] != zone->live_count ||
       size_B[EXTENT_LIVE] + size_B[EXTENT_LIVE_GUARDED] != zone->live_B)
      return "the sums of live extents are wrong";
   if (count[EXTENT_DEFERRED] != zone->deferred_count ||
       size_B[EXTENT_DEFERRED] != zone->deferred_B)
      return "the sums of deferred extents are wrong";
   return NULL;
}

static const char *
check_deferred(const struct vmb_va_heap *heap, uint64_t expected_count)
{
   uint64_t count = 0;
   uint64_t point = 0;

   for (const struct vmb_hole *record = heap->deferred_head; record; record = record->next) {
      const struct zone *zone = find_zone(heap, record->va);
      if (!zone || vmb_extent_ptr(find_entry(zone, record->va)) != record)
         return "a deferred record is not its extent's";
      if (record->point < point)
         return "deferred records are not in the order of their points";
      if (!record->next && record != heap->deferred_tail)
         return "the queue of deferred records ends in the wrong place";
      point = record->point;
      count++;
   }
   return count == expected_count ? NULL : "the queue does not hold all deferred extents";
}

const char *
vmb_va_heap_check(const struct vmb_va_heap *heap)
{
   uint64_t live_count = 0, deferred_count = 0;

   for (unsigned i = 0; i < VMB_VA_ZONE_COUNT; i++) {
      const struct zone *zone = heap->zones[i];
      const char *wrong = zone ? check_zone(zone) : NULL;
      if (wrong)
         return wrong;
      live_count += zone ? zone->live_count : 0;
      deferred_count += zone ? zone->deferred_count : 0;
   }

   if (heap->taken_count != live_count + deferred_count)
      return "the heap's count of extents is wrong";
   if (heap->records.total_count < records_needed(heap->taken_count))
      return "too few records are laid aside";
   return check_deferred(heap, deferred_count);
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See va_heap_model.h.
 */

#include "va_heap_model.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/util/fail_alloc.h"
#include "tests/util/prop.h"
#include "util/macros.h"
#include "vmbind/vmb_va_heap.h"

/* Whole zones are compared after so many operations. */
#define COMPARE_INTERVAL 512

#define MAX_PAGES  (1u << 17)
#define MAX_RANGES 4096

enum { PAGE_HOLE, PAGE_LIVE, PAGE_DEFERRED };

/* The general zone has room for holes that the heap keeps in its tries. */
static const struct {
   uint64_t start;
   uint32_t pages;
} zone_places[VMB_VA_ZONE_COUNT] = {
   [VMB_VA_ZONE_LOW] = { 1ull << 30, 2048 },
   [VMB_VA_ZONE_GENERAL] = { (1ull << 40) + (1 << 20), MAX_PAGES },
   [VMB_VA_ZONE_REPLAY] = { 1ull << 33, 8192 },
   [VMB_VA_ZONE_FIXED] = { (1ull << 46) - (1 << 20), 4096 },
};

struct range {
   uint64_t va;
   uint64_t size_B;  /* as it was asked for */
   uint64_t taken_B; /* whole pages, guard included */
   uint64_t point;
   unsigned zone;
};

struct va_model {
   struct vmb_va_heap *heap;
   uint64_t page_B;
   uint64_t guard_B;
   bool top_down;
   uint64_t clock;
   unsigned ops;

   uint8_t *pages[VMB_VA_ZONE_COUNT];
   struct range live[MAX_RANGES], deferred[MAX_RANGES];
   unsigned live_count, deferred_count;
};

/* ------------------------------------------------------------------- pages */

static uint64_t
zone_size_B(const struct va_model *m, unsigned zone)
{
   return zone_places[zone].pages * m->page_B;
}

static bool
in_zone(const struct va_model *m, unsigned zone, uint64_t va, uint64_t size_B)
{
   const uint64_t at = va - zone_places[zone].start;

   return va >= zone_places[zone].start && at < zone_size_B(m, zone) &&
          size_B <= zone_size_B(m, zone) - at;
}

static uint8_t *
page_at(const struct va_model *m, unsigned zone, uint64_t va)
{
   return &m->pages[zone][(va - zone_places[zone].start) / m->page_B];
}

static uint64_t
round_up(const struct va_model *m, uint64_t size_B)
{
   return (size_B + m->page_B - 1) / m->page_B * m->page_B;
}

static bool
all_pages_are(const struct va_model *m, const struct range *r, uint8_t state)
{
   const uint8_t *first = page_at(m, r->zone, r->va);

   /* One byte equals the state and every other one equals its neighbour. */
   return *first == state && !memcmp(first, first + 1, r->taken_B / m->page_B - 1);
}

static void
set_pages(struct va_model *m, const struct range *r, uint8_t state)
{
   memset(page_at(m, r->zone, r->va), state, r->taken_B / m->page_B);
}

struct hole {
   uint32_t first, end;
};

/* The next hole at or after a page; first == end at the zone's end. */
static struct hole
next_hole(const struct va_model *m, unsigned zone, uint32_t page)
{
   const uint8_t *pages = m->pages[zone];
   const uint32_t count = zone_places[zone].pages;
   const uint8_t *start = memchr(pages + page, PAGE_HOLE, count - page);
   struct hole hole = { .first = start ? start - pages : count };

   for (hole.end = hole.first; hole.end < count && pages[hole.end] == PAGE_HOLE;)
      hole.end++;
   return hole;
}

/* Size of the smallest hole of at least size_B, 0 if there is none. */
static uint64_t
best_fit_B(const struct va_model *m, unsigned zone, uint64_t size_B)
{
   uint64_t best_B = 0;
   struct hole h = next_hole(m, zone, 0);

   for (; h.first < h.end; h = next_hole(m, zone, h.end)) {
      const uint64_t hole_B = (h.end - h.first) * m->page_B;
      if (hole_B >= size_B && (best_B == 0 || hole_B < best_B))
         best_B = hole_B;
   }
   return best_B;
}

/* ---------------------------------------------------------------- compare */

static void
compare_sums(const struct va_model *m)
{
   struct vmb_va_stats want[VMB_VA_ZONE_COUNT] = { 0 };

   for (unsigned i = 0; i < m->live_count; i++) {
      want[m->live[i].zone].live_B += m->live[i].taken_B;
      want[m->live[i].zone].live_count++;
   }
   for (unsigned i = 0; i < m->deferred_count; i++) {
      want[m->deferred[i].zone].deferred_B += m->deferred[i].taken_B;
      want[m->deferred[i].zone].deferred_count++;
   }

   for (unsigned zone = 0; zone < VMB_VA_ZONE_COUNT; zone++) {
      struct vmb_va_stats got;
      vmb_va_heap_get_stats(m->heap, zone, &got);
      PROP_CHECK(got.live_B == want[zone].live_B);
      PROP_CHECK(got.live_count == want[zone].live_count);
      PROP_CHECK(got.deferred_B == want[zone].deferred_B);
      PROP_CHECK(got.deferred_count == want[zone].deferred_count);
      PROP_CHECK(got.live_B + got.deferred_B + got.free_B == zone_size_B(m, zone));
   }
}

static void
compare_holes(const struct va_model *m, unsigned zone)
{
   const uint64_t start = zone_places[zone].start;
   const uint32_t pages = zone_places[zone].pages;
   struct vmb_va_stats stats;
   struct vmb_va_extent got;
   uint64_t va = 0, count = 0, largest_B = 0;
   uint32_t lowest = 0, highest = pages;

   for (struct hole h = next_hole(m, zone, 0); h.first < h.end; h = next_hole(m, zone, h.end)) {
      PROP_CHECK(vmb_va_heap_next_hole(m->heap, zone, va, &got));
      PROP_CHECK(got.va == start + h.first * m->page_B);
      PROP_CHECK(got.size_B == (h.end - h.first) * m->page_B);
      PROP_CHECK(got.state == VMB_VA_HOLE);
      va = got.va + got.size_B;
      count++;
      largest_B = MAX2(largest_B, got.size_B);
      lowest = h.first == 0 ? h.end : lowest;
      highest = h.end == pages ? h.first : highest;
   }
   PROP_CHECK(!vmb_va_heap_next_hole(m->heap, zone, va, &got));

   vmb_va_heap_get_stats(m->heap, zone, &stats);
   PROP_CHECK(stats.hole_count == count);
   PROP_CHECK(stats.largest_hole_B == largest_B);
   PROP_CHECK(stats.span_B == (highest > lowest ? (highest - lowest) * m->page_B : 0));
}

void
va_model_compare_all(struct va_model *m)
{
   const char *wrong = vmb_va_heap_check(m->heap);

   if (wrong)
      fprintf(stderr, "%s\n", wrong);
   PROP_CHECK(!wrong);
   compare_sums(m);
   for (unsigned zone = 0; zone < VMB_VA_ZONE_COUNT; zone++)
      compare_holes(m, zone);
}

static void
compare_extent_at(const struct va_model *m, uint64_t va, const struct range *want, int state)
{
   struct vmb_va_extent got;

   PROP_CHECK(vmb_va_heap_lookup(m->heap, va, &got));
   PROP_CHECK(got.va == want->va && got.size_B == want->taken_B && (int)got.state == state);
}

/* -------------------------------------------------------------- operations */

/* Not always whole pages; nothing for no pages. */
static uint64_t
odd_size_B(const struct va_model *m, uint32_t pages, uint32_t less_B)
{
   return pages > 0 ? pages * m->page_B - less_B % m->page_B : 0;
}

static void
become_live(struct va_model *m, const struct range *r)
{
   PROP_CHECK(all_pages_are(m, r, PAGE_HOLE));
   set_pages(m, r, PAGE_LIVE);
   m->live[m->live_count++] = *r;
   compare_extent_at(m, r->va + r->taken_B - 1, r, VMB_VA_LIVE);
}

/* Alignment that the header promises where there is room. */
static uint64_t
class_B(uint64_t size_B)
{
   return size_B >= 2u << 20 ? 2u << 20 : size_B >= 64u << 10 ? 64u << 10 : 0;
}

static void
check_wish(const struct va_model *m, const struct vmb_va_alloc_info *info, const struct range *r)
{
   const uint64_t wish_B = class_B(info->size_B);
   const uint64_t align_B = MAX2(info->align_B, m->page_B);

   if (info->flags & VMB_VA_ALLOC_PACKED || wish_B <= align_B || info->bo_offset_B % align_B)
      return;

   if ((r->va - info->bo_offset_B) % wish_B != 0)
      PROP_CHECK(best_fit_B(m, r->zone, r->taken_B + wish_B - m->page_B) == 0);
}

/* With no alignment to care for: the smallest hole, and its right end. */
static void
check_best_fit(const struct va_model *m, const struct range *r)
{
   const uint8_t *pages = m->pages[r->zone];
   const uint32_t first = page_at(m, r->zone, r->va) - pages;
   const uint32_t end = first + r->taken_B / m->page_B;
   struct hole h = { first, end };

   while (h.first > 0 && pages[h.first - 1] == PAGE_HOLE)
      h.first--;
   while (h.end < zone_places[r->zone].pages && pages[h.end] == PAGE_HOLE)
      h.end++;
   PROP_CHECK((h.end - h.first) * m->page_B == best_fit_B(m, r->zone, r->taken_B));
   PROP_CHECK(m->top_down ? h.end == end : h.first == first);
}

static void
op_alloc(struct va_model *m, const struct va_op *op)
{
   struct vmb_va_alloc_info info = {
      .zone = op->zone % VMB_VA_ZONE_COUNT,
      .flags = op->packed & 1 ? VMB_VA_ALLOC_PACKED : 0,
      .size_B = odd_size_B(m, op->pages, op->which),
      .align_B = op->align_log2 ? m->page_B << (op->align_log2 % 12) : 0,
      .bo_offset_B = op->offset_pages * m->page_B,
   };
   struct range r = { .zone = info.zone, .size_B = info.size_B };
   const uint64_t align_B = MAX2(info.align_B, m->page_B);

   r.taken_B = round_up(m, r.size_B) + m->guard_B;
   fail_alloc_arm(op->fail_alloc);
   const int ret = vmb_va_heap_alloc(m->heap, &info, &r.va);
   const bool failed = fail_alloc_disarm();

   PROP_CHECK((ret == -ENOMEM) == failed);
   PROP_CHECK((ret == -EINVAL) == (info.zone == VMB_VA_ZONE_FIXED || info.size_B == 0));
   if (ret == -ENOSPC)
      PROP_CHECK(best_fit_B(m, info.zone, r.taken_B + align_B - m->page_B) == 0);
   if (ret)
      return;

   PROP_CHECK(in_zone(m, r.zone, r.va, r.taken_B));
   PROP_CHECK(r.va % align_B == 0);
   check_wish(m, &info, &r);
   if (align_B == m->page_B && (info.flags || class_B(info.size_B) == 0) && op->which % 8 == 0)
      check_best_fit(m, &r);
   become_live(m, &r);
}

static void
op_alloc_at(struct va_model *m, const struct va_op *op)
{
   const unsigned zone = op->zone % VMB_VA_ZONE_COUNT;
   const uint64_t pages = zone_places[zone].pages + 2;
   struct range r = {
      .zone = zone,
      .va = zone_places[zone].start + (op->which % pages) * m->page_B + (op->step == 1),
      .size_B = odd_size_B(m, op->pages, op->offset_pages),
   };
   const bool valid = r.size_B > 0 && r.va % m->page_B == 0 && in_zone(m, zone, r.va, r.size_B);

   r.taken_B = round_up(m, r.size_B);
   fail_alloc_arm(op->fail_alloc);
   const int ret = vmb_va_heap_alloc_at(m->heap, zone, r.va, r.size_B);
   const bool failed = fail_alloc_disarm();

   PROP_CHECK((ret == -EINVAL) == !valid);
   if (!valid)
      return;
   PROP_CHECK((ret == -EADDRINUSE) == !all_pages_are(m, &r, PAGE_HOLE));
   PROP_CHECK((ret == -ENOMEM) == failed);
   if (ret == 0)
      become_live(m, &r);
   else
      PROP_CHECK(ret == -EADDRINUSE || ret == -ENOMEM);
}

static struct range
take_live(struct va_model *m, uint32_t which)
{
   struct range *r = &m->live[which % m->live_count];
   const struct range taken = *r;

   *r = m->live[--m->live_count];
   return taken;
}

/* Frees must not need memory: the very first allocation would fail. */
static void
op_free(struct va_model *m, const struct va_op *op)
{
   if (m->live_count == 0)
      return;
   const struct range r = take_live(m, op->which);

   fail_alloc_arm(1);
   PROP_CHECK(vmb_va_heap_free(m->heap, r.va, r.size_B) == 0);
   PROP_CHECK(!fail_alloc_disarm());
   set_pages(m, &r, PAGE_HOLE);
}

static void
op_free_deferred(struct va_model *m, const struct va_op *op)
{
   if (m->live_count == 0)
      return;
   struct range r = take_live(m, op->which);

   /* Every other time the point is older than the last one: it counts as that. */
   r.point = m->clock + op->step % 8;
   fail_alloc_arm(1);
   PROP_CHECK(vmb_va_heap_free_deferred(m->heap, r.va, r.size_B, r.point) == 0);
   PROP_CHECK(!fail_alloc_disarm());

   if (m->deferred_count > 0)
      r.point = MAX2(r.point, m->deferred[m->deferred_count - 1].point);
   set_pages(m, &r, PAGE_DEFERRED);
   m->deferred[m->deferred_count++] = r;
   compare_extent_at(m, r.va, &r, VMB_VA_DEFERRED);
}

static void
op_free_wrong(struct va_model *m, const struct va_op *op)
{
   const unsigned zone = op->zone % VMB_VA_ZONE_COUNT;
   uint64_t va = zone_places[zone].start + op->which % (zone_places[zone].pages + 2) * m->page_B;
   uint64_t size_B = op->pages * m->page_B;

   /* Half of the time an existing allocation, and a size that is not its own. */
   if (op->packed & 1 && m->live_count > 0) {
      va = m->live[op->which % m->live_count].va;
      size_B = m->live[op->which % m->live_count].size_B + m->page_B * (op->step & 1 ? 1 : -1);
   }

   for (unsigned i = 0; i < m->live_count; i++) {
      if (m->live[i].va == va && round_up(m, m->live[i].size_B) == round_up(m, size_B))
         return;
   }
   PROP_CHECK(vmb_va_heap_free(m->heap, va, size_B) == -EINVAL);
   PROP_CHECK(vmb_va_heap_free_deferred(m->heap, va, size_B, m->clock) == -EINVAL);
}

static void
op_retire(struct va_model *m, const struct va_op *op)
{
   unsigned kept = 0;

   m->clock += op->step % 8;
   fail_alloc_arm(1);
   vmb_va_heap_retire(m->heap, m->clock);
   PROP_CHECK(!fail_alloc_disarm());

   for (unsigned i = 0; i < m->deferred_count; i++) {
      if (m->deferred[i].point <= m->clock)
         set_pages(m, &m->deferred[i], PAGE_HOLE);
      else
         m->deferred[kept++] = m->deferred[i];
   }
   m->deferred_count = kept;
}

static void
op_look(struct va_model *m, const struct va_op *op)
{
   const unsigned zone = op->zone % VMB_VA_ZONE_COUNT;
   const uint64_t va = zone_places[zone].start + op->which % (zone_places[zone].pages * m->page_B);
   const uint8_t state = *page_at(m, zone, va);
   struct vmb_va_extent got;

   PROP_CHECK(vmb_va_heap_lookup(m->heap, va, &got));
   PROP_CHECK(got.va <= va && va - got.va < got.size_B);
   PROP_CHECK(state == (got.state == VMB_VA_HOLE   ? PAGE_HOLE
                        : got.state == VMB_VA_LIVE ? PAGE_LIVE
                                                   : PAGE_DEFERRED));

   PROP_CHECK(!vmb_va_heap_lookup(m->heap, zone_places[zone].start - 1, &got));
   PROP_CHECK(!vmb_va_heap_lookup(m->heap, zone_places[zone].start + zone_size_B(m, zone), &got));
}

void
va_model_apply(struct va_model *m, const struct va_op *op)
{
   unsigned kind = op->kind % VA_OP_KIND_COUNT;

   /* The model's own memory is bounded. */
   if (m->live_count == MAX_RANGES && kind <= VA_OP_ALLOC_AT)
      kind = VA_OP_FREE;
   if (m->deferred_count == MAX_RANGES && kind == VA_OP_FREE_DEFERRED)
      kind = VA_OP_FREE;

   switch (kind) {
   case VA_OP_ALLOC:
      op_alloc(m, op);
      break;
   case VA_OP_ALLOC_AT:
      op_alloc_at(m, op);
      break;
   case VA_OP_FREE:
      op_free(m, op);
      break;
   case VA_OP_FREE_DEFERRED:
      op_free_deferred(m, op);
      break;
   case VA_OP_FREE_WRONG:
      op_free_wrong(m, op);
      break;
   case VA_OP_RETIRE:
      op_retire(m, op);
      break;
   case VA_OP_LOOK:
      op_look(m, op);
      break;
   }

   if (++m->ops % COMPARE_INTERVAL == 0)
      va_model_compare_all(m);
}

/* ----------------------------------------------------------------- lifetime */

struct va_model *
va_model_create(unsigned variant)
{
   struct va_model *m = calloc(1, sizeof(*m));

   m->page_B = variant & 2 ? 16384 : 4096;
   m->guard_B = variant & 1 ? 2 * m->page_B : 0;
   m->top_down = variant & 4;

   struct vmb_va_heap_info info = {
      .page_size_B = m->page_B,
      .guard_B = m->guard_B ? m->guard_B - 1 : 0, /* is rounded up */
   };
   for (unsigned zone = 0; zone < VMB_VA_ZONE_COUNT; zone++) {
      info.zones[zone].start = zone_places[zone].start;
      info.zones[zone].size_B = zone_size_B(m, zone);
      info.zones[zone].top_down = m->top_down;
      m->pages[zone] = calloc(1, zone_places[zone].pages);
   }
   PROP_CHECK(vmb_va_heap_create(&info, &m->heap) == 0);
   return m;
}

void
va_model_destroy(struct va_model *m)
{
   vmb_va_heap_destroy(m->heap);
   for (unsigned zone = 0; zone < VMB_VA_ZONE_COUNT; zone++)
      free(m->pages[zone]);
   free(m);
}

void
va_model_drain(struct va_model *m)
{
   while (m->live_count > 0) {
      const struct va_op op = { .which = m->live_count / 2 };
      if (m->live_count & 1)
         op_free(m, &op);
      else if (m->deferred_count < MAX_RANGES)
         op_free_deferred(m, &op);
      else
         op_retire(m, &(struct va_op){ .step = 7 });
   }
   while (m->deferred_count > 0)
      op_retire(m, &(struct va_op){ .step = 1 });

   va_model_compare_all(m);
   for (unsigned zone = 0; zone < VMB_VA_ZONE_COUNT; zone++) {
      struct vmb_va_stats stats;
      vmb_va_heap_get_stats(m->heap, zone, &stats);
      PROP_CHECK(stats.hole_count == 1 && stats.free_B == zone_size_B(m, zone));
   }
}

void
va_op_print(const struct va_op *op)
{
   static const char *const kinds[] = {
      "alloc", "alloc-at", "free", "free-deferred", "free-wrong", "retire", "look",
   };

   printf("   %s: zone %u, pages %u, which %u, align page << %u, offset page %u, step %u%s",
          kinds[op->kind % VA_OP_KIND_COUNT], op->zone % VMB_VA_ZONE_COUNT, op->pages, op->which,
          op->align_log2 % 12, op->offset_pages, op->step, op->packed & 1 ? ", packed" : "");
   if (op->fail_alloc)
      printf(", memory fails at %u", op->fail_alloc);
   printf("\n");
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See vt_pages.h.
 */

#include "vt_pages.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void
vt_pages_init(struct vt_pages *pages, uint32_t texture_px, uint32_t slot_count)
{
   memset(pages, 0, sizeof(*pages));
   assert(texture_px >= 2 * VT_FIXED_LEVEL_PX);
   assert((texture_px & (texture_px - 1)) == 0);

   pages->texture_px = texture_px;
   pages->slot_count = slot_count;
   while (texture_px >> pages->level_count) {
      uint32_t level = pages->level_count++;
      uint32_t side = vt_pages_side(pages, level);

      if (texture_px >> level == VT_FIXED_LEVEL_PX)
         pages->fixed_level = level;
      pages->first_page[level + 1] = pages->first_page[level] + side * side;
   }
   pages->page_count = pages->first_page[pages->level_count];
   pages->streamed_page_count = pages->first_page[pages->fixed_level];

   uint32_t streamed = pages->streamed_page_count;
   pages->slot_of_page = vt_alloc(streamed, sizeof(*pages->slot_of_page));
   pages->last_needed = vt_alloc(streamed, sizeof(*pages->last_needed));
   pages->wanted = vt_alloc(streamed, sizeof(*pages->wanted));
   pages->page_of_slot = vt_alloc(slot_count, sizeof(*pages->page_of_slot));
   pages->victims = vt_alloc(slot_count, sizeof(*pages->victims));
   pages->plan.binds = vt_alloc(slot_count, sizeof(*pages->plan.binds));
   pages->plan.evicts = vt_alloc(slot_count, sizeof(*pages->plan.evicts));
   for (uint32_t i = 0; i < streamed; i++)
      pages->slot_of_page[i] = -1;
}

void
vt_pages_finish(struct vt_pages *pages)
{
   free(pages->plan.evicts);
   free(pages->plan.binds);
   free(pages->victims);
   free(pages->page_of_slot);
   free(pages->wanted);
   free(pages->last_needed);
   free(pages->slot_of_page);
}

uint32_t
vt_pages_index(const struct vt_pages *pages, uint32_t level, uint32_t x, uint32_t y)
{
   return pages->first_page[level] + y * vt_pages_side(pages, level) + x;
}

struct vt_page
vt_pages_page(const struct vt_pages *pages, uint32_t index)
{
   struct vt_page page = {0};

   while (index >= pages->first_page[page.level + 1])
      page.level++;

   uint32_t side = vt_pages_side(pages, page.level);
   index -= pages->first_page[page.level];
   page.x = index % side;
   page.y = index / side;
   return page;
}

bool
vt_pages_is_resident(const struct vt_pages *pages, uint32_t index)
{
   return index >= pages->streamed_page_count || pages->slot_of_page[index] >= 0;
}

/* Marks one page and its streamed ancestors as needed; an ancestor that is
 * already marked has its own ancestors marked, too.
 */
static void
want_page(struct vt_pages *pages, uint32_t frame, uint32_t feedback)
{
   uint32_t level = feedback >> 24;
   uint32_t x = feedback & 0xfff;
   uint32_t y = feedback >> 12 & 0xfff;

   for (; level < pages->fixed_level; level++, x /= 2, y /= 2) {
      /* Feedback is GPU memory: never trust it as an index. */
      if (x >= vt_pages_side(pages, level) || y >= vt_pages_side(pages, level))
         return;

      uint32_t page = vt_pages_index(pages, level, x, y);
      if (pages->last_needed[page] == frame + 1)
         return;
      pages->last_needed[page] = frame + 1;
      pages->wanted[pages->plan.wanted_count++] = page;
   }
}

static int
compare_coarse_first(const void *a, const void *b)
{
   uint32_t page_a = *(const uint32_t *)a;
   uint32_t page_b = *(const uint32_t *)b;

   /* Numbers ascend from fine to coarse. */
   return (page_a < page_b) - (page_a > page_b);
}

/* Victims are packed in 64 bits so that the order is that of one integer:
 * least recently needed first, then finer, then by row.
 */
static int
compare_u64(const void *a, const void *b)
{
   uint64_t value_a = *(const uint64_t *)a;
   uint64_t value_b = *(const uint64_t *)b;

   return (value_a > value_b) - (value_a < value_b);
}

static uint32_t
collect_victims(struct vt_pages *pages, uint32_t frame)
{
   uint64_t *keys = vt_alloc(pages->slot_count, sizeof(*keys));
   uint32_t count = 0;

   for (uint32_t slot = 0; slot < pages->resident_count; slot++) {
      uint32_t page = pages->page_of_slot[slot];

      if (pages->last_needed[page] != frame + 1)
         keys[count++] = (uint64_t)pages->last_needed[page] << 32 | page;
   }
   qsort(keys, count, sizeof(*keys), compare_u64);
   for (uint32_t i = 0; i < count; i++)
      pages->victims[i] = (uint32_t)keys[i];
   free(keys);
   return count;
}

const struct vt_plan *
vt_pages_update(struct vt_pages *pages, uint32_t frame, const uint32_t *feedback,
                uint32_t feedback_count, uint32_t budget)
{
   struct vt_plan *plan = &pages->plan;
   uint32_t missing = 0;

   plan->bind_count = 0;
   plan->evict_count = 0;
   plan->wanted_count = 0;

   for (uint32_t i = 0; i < feedback_count; i++) {
      if (feedback[i] != VT_FEEDBACK_NONE)
         want_page(pages, frame, feedback[i]);
   }

   for (uint32_t i = 0; i < plan->wanted_count; i++) {
      if (pages->slot_of_page[pages->wanted[i]] < 0)
         pages->wanted[missing++] = pages->wanted[i];
   }
   qsort(pages->wanted, missing, sizeof(*pages->wanted), compare_coarse_first);

   uint32_t bind_max = VT_MIN(missing, budget);
   uint32_t free_slots = pages->slot_count - pages->resident_count;
   uint32_t victim_count = 0;
   if (bind_max > free_slots)
      victim_count = collect_victims(pages, frame);

   while (plan->bind_count < bind_max) {
      uint32_t page = pages->wanted[plan->bind_count];
      uint32_t slot;

      if (pages->resident_count < pages->slot_count) {
         /* Slots fill in order and are never given back unused. */
         slot = pages->resident_count++;
      } else if (plan->evict_count < victim_count) {
         uint32_t victim = pages->victims[plan->evict_count];

         slot = (uint32_t)pages->slot_of_page[victim];
         pages->slot_of_page[victim] = -1;
         plan->evicts[plan->evict_count++] = (struct vt_bind){victim, slot};
      } else {
         break;
      }

      pages->slot_of_page[page] = (int32_t)slot;
      pages->page_of_slot[slot] = page;
      plan->binds[plan->bind_count++] = (struct vt_bind){page, slot};
   }

   plan->absent_count = missing - plan->bind_count;
   return plan;
}

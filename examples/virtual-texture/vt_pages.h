/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Which pages of the texture are resident, and which to bind and evict next.
 * Pure bookkeeping on plain arrays.  It must never know about Vulkan, and in
 * particular nothing of the driver's layout or mip tail: the same feedback
 * gives the same choices on every driver, which is what makes the pictures
 * comparable to the byte.
 *
 * Pages are numbered from the finest level on, row by row.  Levels from
 * `fixed_level` on are always resident; a level smaller than a page counts as
 * one page.
 */

#ifndef VT_PAGES_H
#define VT_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "vt_util.h"

#define VT_MAX_LEVELS 16

/* The coarsest streamed level is twice, the finest fixed one exactly this. */
#define VT_FIXED_LEVEL_PX 512

/* In feedback: nothing of the texture is seen here. */
#define VT_FEEDBACK_NONE 0xffffffffu

/* What the feedback pass writes for a page; must agree with feedback.frag. */
#define VT_FEEDBACK(level, x, y) ((uint32_t)(level) << 24 | (uint32_t)(y) << 12 | (uint32_t)(x))

struct vt_page {
   uint32_t level;
   uint32_t x;
   uint32_t y;
};

struct vt_bind {
   uint32_t page;
   uint32_t slot;
};

/* What one frame changes.  `evicts` are in eviction order, `binds` coarse
 * pages first; a slot that an evict frees may be given away in the same plan.
 */
struct vt_plan {
   struct vt_bind *binds;
   struct vt_bind *evicts;
   uint32_t bind_count;
   uint32_t evict_count;
   /* Distinct streamed pages that the feedback asked for, ancestors
    * included, and how many of them stay absent after this plan.
    */
   uint32_t wanted_count;
   uint32_t absent_count;
};

struct vt_pages {
   uint32_t texture_px;
   uint32_t level_count;
   uint32_t fixed_level;
   uint32_t slot_count;

   uint32_t first_page[VT_MAX_LEVELS + 1];
   uint32_t page_count;          /* of all levels */
   uint32_t streamed_page_count; /* of the levels below fixed_level */

   uint32_t resident_count; /* streamed pages only */
   int32_t *slot_of_page;   /* -1: not resident */
   uint32_t *page_of_slot;
   uint32_t *last_needed; /* frame + 1, 0: never */
   uint32_t *wanted;      /* scratch */
   uint32_t *victims;     /* scratch */
   struct vt_plan plan;
};

/* texture_px: a power of two, at least 2 * VT_FIXED_LEVEL_PX. */
void vt_pages_init(struct vt_pages *pages, uint32_t texture_px, uint32_t slot_count);
void vt_pages_finish(struct vt_pages *pages);

/* Pages along one side of a level. */
static inline uint32_t
vt_pages_side(const struct vt_pages *pages, uint32_t level)
{
   uint32_t side = (pages->texture_px >> level) / VT_PAGE_PX;
   return side ? side : 1;
}

/* Texels along one side of a page of this level. */
static inline uint32_t
vt_pages_extent_px(const struct vt_pages *pages, uint32_t level)
{
   uint32_t level_px = pages->texture_px >> level;
   return level_px < VT_PAGE_PX ? level_px : VT_PAGE_PX;
}

uint32_t vt_pages_index(const struct vt_pages *pages, uint32_t level, uint32_t x, uint32_t y);
struct vt_page vt_pages_page(const struct vt_pages *pages, uint32_t index);
bool vt_pages_is_resident(const struct vt_pages *pages, uint32_t index);

/* Takes the feedback of an earlier frame, and binds up to `budget` of the
 * pages that it misses, evicting those least recently needed.  The plan is
 * valid until the next call.
 */
const struct vt_plan *vt_pages_update(struct vt_pages *pages, uint32_t frame,
                                      const uint32_t *feedback, uint32_t feedback_count,
                                      uint32_t budget);

#endif /* VT_PAGES_H */

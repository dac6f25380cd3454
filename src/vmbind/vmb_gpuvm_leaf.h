/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The nodes of the mirror's tree, and what can be done inside of one leaf: vmb_gpuvm.c makes the
 * tree of them.  Nothing here may know of a node's neighbours, of memory or of references.
 *
 * An *ordinary leaf* holds up to NODE_CAP mappings of 24 bytes in three columns, so that a search
 * touches keys only:
 *
 *    key[i]     address
 *    range[i]   range in pages << 16 | flags
 *    back[i]    BO offset in pages << 28 | id of the vm_bo
 *
 * A *tile leaf* holds up to TILE_CAP mappings that have one size, a power of two, and equal flags,
 * at multiples of that size from a base on: the tiles of a sparse resource.  It keeps what the
 * mappings have in common once and 6 bytes for each, in a slot which a byte for each place names:
 *
 *    base, tile_range       where place 0 is; range and flags of each mapping
 *    tile[place]            1 + slot of the mapping there, 0 for a hole
 *    tile_offset[slot]      BO offset in pages
 *    tile_back[slot]        id of the vm_bo, and TILE_INVALIDATED: the only flag that comes and
 *                           goes with the BO
 *
 * So nothing is searched and nothing moves.
 *
 * A mapping is named by its *place*: its index in an ordinary leaf, its tile in a tile leaf.
 * leaf_places() is the place behind the last.
 */

#ifndef VMB_GPUVM_LEAF_H
#define VMB_GPUVM_LEAF_H

#include <assert.h>
#include <string.h>

#include "vmb_gpuvm.h"

#define NODE_CAP   64
#define TILE_SPAN  512
#define TILE_CAP   168
#define PAGE_SHIFT 12
#define ID_BITS    28
#define ID_MASK    ((1u << ID_BITS) - 1)
#define FLAG_BITS  16
#define FLAG_MASK  ((1u << FLAG_BITS) - 1)

#define TILE_INVALIDATED  (1u << 15)
#define TILE_ID_MASK      (TILE_INVALIDATED - 1)
#define TILE_MAX_OFFSET_B (1ull << (32 + PAGE_SHIFT))
#define TILE_MAX_SHIFT    40 /* a window never wraps */

enum node_kind {
   NODE_INNER,
   NODE_LEAF,
   NODE_TILES,
};

struct node {
   /* The fence; leaves only.  Not empty while the leaf is in the tree. */
   uint64_t lo, hi;
   struct node *parent;
   /* Leaves: neighbours in address order.  next also links the pool. */
   struct node *prev, *next;
   /* Filter of the vm_bo ids below. */
   uint64_t filter;
   uint16_t count;
   uint8_t kind; /* enum node_kind */
   /* Tile leaves: log2 of the size; the slots that were ever used; 1 + the first free one of
    * these, of a chain through tile_offset. */
   uint8_t tile_shift;
   uint8_t tile_used;
   uint8_t tile_free;

   union {
      struct {
         /* Leaf: addresses.  Inner: where the fence of each child begins, of which
          * the first is never looked at. */
         uint64_t key[NODE_CAP];
         union {
            struct {
               uint64_t range[NODE_CAP];
               uint64_t back[NODE_CAP];
            };
            struct {
               struct node *child[NODE_CAP];
               uint64_t child_filter[NODE_CAP];
            };
         };
      };
      struct {
         uint64_t base;
         uint64_t tile_range;
         uint8_t tile[TILE_SPAN];
         uint32_t tile_offset[TILE_CAP];
         uint16_t tile_back[TILE_CAP];
      };
   };
};

static_assert(sizeof(struct node) == offsetof(struct node, key) + NODE_CAP * 24,
              "tiles need no more than columns");
static_assert(TILE_CAP < 256, "1 + slot is a byte");

static inline uint64_t
pack_range(uint64_t range_B, uint16_t flags)
{
   return range_B >> PAGE_SHIFT << FLAG_BITS | flags;
}

static inline uint64_t
range_B(uint64_t range)
{
   return range >> FLAG_BITS << PAGE_SHIFT;
}

static inline uint64_t
pack_back(uint64_t offset_B, uint32_t id)
{
   return offset_B >> PAGE_SHIFT << ID_BITS | id;
}

static inline uint64_t
id_filter(uint32_t id)
{
   return id ? 1ull << (id & 63) : 0;
}

static inline uint32_t
mapping_id(const struct vmb_mapping *m)
{
   return m->vm_bo ? m->vm_bo->id : 0;
}

/* First index whose key is not below x.  Always the same steps, without a branch: a random x would
 * mispredict half of them. */
static inline unsigned
lower_bound(const uint64_t *key, unsigned count, uint64_t x)
{
   unsigned i = 0;

   static_assert(NODE_CAP == 64, "the steps below add up to 64");
#define STEP(n) i += ((i + (n) <= count) & (key[i + (n) - 1] < x)) ? (n) : 0
   STEP(32);
   STEP(16);
   STEP(8);
   STEP(4);
   STEP(2);
   STEP(1);
   STEP(1);
#undef STEP
   return i;
}

/* ------------------------------------------------------------------- places */

static inline bool
leaf_has_tiles(const struct node *leaf)
{
   return leaf->kind == NODE_TILES;
}

static inline unsigned
leaf_places(const struct node *leaf)
{
   return leaf_has_tiles(leaf) ? TILE_SPAN : leaf->count;
}

/* The first mapped tile from place i on, or TILE_SPAN. */
static inline unsigned
tile_from(const struct node *leaf, unsigned i)
{
   for (; i < TILE_SPAN && i % 8; i++) {
      if (leaf->tile[i])
         return i;
   }
   for (; i < TILE_SPAN; i += 8) {
      uint64_t eight;
      memcpy(&eight, &leaf->tile[i], sizeof(eight));
      if (eight)
         break;
   }
   while (i < TILE_SPAN && !leaf->tile[i])
      i++;
   return i;
}

/* The place of the first mapping that is not before place i. */
static inline unsigned
leaf_from(const struct node *leaf, unsigned i)
{
   return leaf_has_tiles(leaf) ? tile_from(leaf, i) : i;
}

/* The place in the window that has addr_B; TILE_SPAN or more outside of it. */
static inline uint64_t
tile_place(const struct node *leaf, uint64_t addr_B)
{
   return (addr_B - leaf->base) >> leaf->tile_shift;
}

static inline uint64_t
tile_window_end(const struct node *leaf)
{
   return leaf->base + ((uint64_t)TILE_SPAN << leaf->tile_shift);
}

static inline uint64_t
leaf_addr(const struct node *leaf, unsigned i)
{
   return leaf_has_tiles(leaf) ? leaf->base + ((uint64_t)i << leaf->tile_shift) : leaf->key[i];
}

static inline uint64_t
leaf_end(const struct node *leaf, unsigned i)
{
   return leaf_has_tiles(leaf) ? leaf_addr(leaf, i + 1) : leaf->key[i] + range_B(leaf->range[i]);
}

static inline uint32_t
leaf_id(const struct node *leaf, unsigned i)
{
   return leaf_has_tiles(leaf) ? leaf->tile_back[leaf->tile[i] - 1] & TILE_ID_MASK
                               : leaf->back[i] & ID_MASK;
}

/* The place of the first mapping that ends after addr_B; \p i is lower_bound() of it in an
 * ordinary leaf. */
static inline unsigned
leaf_overlap_at(const struct node *leaf, unsigned i, uint64_t addr_B)
{
   return i > 0 && leaf_end(leaf, i - 1) > addr_B ? i - 1 : i;
}

static inline unsigned
tile_overlap(const struct node *leaf, uint64_t addr_B)
{
   if (addr_B <= leaf->base)
      return tile_from(leaf, 0);
   const uint64_t place = tile_place(leaf, addr_B);
   return place < TILE_SPAN ? tile_from(leaf, place) : TILE_SPAN;
}

static inline unsigned
leaf_overlap(const struct node *leaf, uint64_t addr_B)
{
   return leaf_has_tiles(leaf)
             ? tile_overlap(leaf, addr_B)
             : leaf_overlap_at(leaf, lower_bound(leaf->key, leaf->count, addr_B), addr_B);
}

/* All but the vm_bo, whose id is leaf_id(). */
static inline struct vmb_mapping
leaf_get(const struct node *leaf, unsigned i)
{
   if (leaf_has_tiles(leaf)) {
      const unsigned slot = leaf->tile[i] - 1;
      const bool invalidated = leaf->tile_back[slot] & TILE_INVALIDATED;

      return (struct vmb_mapping){
         .addr_B = leaf_addr(leaf, i),
         .range_B = 1ull << leaf->tile_shift,
         .offset_B = (uint64_t)leaf->tile_offset[slot] << PAGE_SHIFT,
         .flags = leaf->tile_range | (invalidated ? VMB_MAPPING_INVALIDATED : 0),
      };
   }
   return (struct vmb_mapping){
      .addr_B = leaf->key[i],
      .range_B = range_B(leaf->range[i]),
      .offset_B = leaf->back[i] >> ID_BITS << PAGE_SHIFT,
      .flags = leaf->range[i] & FLAG_MASK,
   };
}

static inline uint64_t
leaf_filter(const struct node *leaf)
{
   uint64_t filter = 0;

   if (leaf_has_tiles(leaf)) {
      /* Free slots have no id. */
      for (unsigned slot = 0; slot < leaf->tile_used; slot++)
         filter |= id_filter(leaf->tile_back[slot] & TILE_ID_MASK);
   } else {
      for (unsigned i = 0; i < leaf->count; i++)
         filter |= id_filter(leaf->back[i] & ID_MASK);
   }
   return filter;
}

static inline void
leaf_mark(struct node *leaf, uint32_t id, bool invalidated)
{
   if (leaf_has_tiles(leaf)) {
      for (unsigned slot = 0; slot < leaf->tile_used; slot++) {
         if ((leaf->tile_back[slot] & TILE_ID_MASK) == id)
            leaf->tile_back[slot] = id | (invalidated ? TILE_INVALIDATED : 0);
      }
      return;
   }
   for (unsigned i = 0; i < leaf->count; i++) {
      if ((leaf->back[i] & ID_MASK) != id)
         continue;
      leaf->range[i] &= ~(uint64_t)VMB_MAPPING_INVALIDATED;
      leaf->range[i] |= invalidated ? VMB_MAPPING_INVALIDATED : 0;
   }
}

/* ---------------------------------------------------------- ordinary leaves */

static inline void
entries_move(struct node *to, unsigned at, const struct node *from, unsigned first, unsigned count)
{
   if (count == 0)
      return;
   memmove(to->key + at, from->key + first, count * sizeof(to->key[0]));
   memmove(to->range + at, from->range + first, count * sizeof(to->range[0]));
   memmove(to->back + at, from->back + first, count * sizeof(to->back[0]));
}

static inline void
entry_set(struct node *leaf, unsigned i, const struct vmb_mapping *m)
{
   leaf->key[i] = m->addr_B;
   leaf->range[i] = pack_range(m->range_B, m->flags);
   leaf->back[i] = pack_back(m->offset_B, mapping_id(m));
}

static inline void
entry_insert(struct node *leaf, unsigned i, const struct vmb_mapping *m)
{
   assert(leaf->count < NODE_CAP);
   entries_move(leaf, i + 1, leaf, i, leaf->count - i);
   entry_set(leaf, i, m);
   leaf->count++;
}

/* -------------------------------------------------------------- tile leaves */

/* Whether the mapping has the shape of the leaf's tiles, wherever it is. */
static inline bool
tile_shaped(const struct node *leaf, const struct vmb_mapping *m)
{
   const uint16_t flags = m->flags & ~VMB_MAPPING_INVALIDATED;

   return pack_range(m->range_B, flags) == leaf->tile_range &&
          ((m->addr_B - leaf->base) & (m->range_B - 1)) == 0 && m->offset_B < TILE_MAX_OFFSET_B &&
          mapping_id(m) <= TILE_ID_MASK;
}

static inline void
tile_set(struct node *leaf, unsigned place, const struct vmb_mapping *m)
{
   const unsigned slot = leaf->tile[place] - 1;

   leaf->tile_offset[slot] = m->offset_B >> PAGE_SHIFT;
   leaf->tile_back[slot] =
      mapping_id(m) | (m->flags & VMB_MAPPING_INVALIDATED ? TILE_INVALIDATED : 0);
}

/* A free slot for the place; the caller says what is there. */
static inline unsigned
tile_add(struct node *leaf, unsigned place)
{
   unsigned slot;

   assert(!leaf->tile[place] && leaf->count < TILE_CAP);
   if (leaf->tile_free) {
      slot = leaf->tile_free - 1;
      leaf->tile_free = leaf->tile_offset[slot];
   } else {
      slot = leaf->tile_used++;
   }
   leaf->tile[place] = slot + 1;
   leaf->count++;
   return slot;
}

static inline void
tile_remove(struct node *leaf, unsigned place)
{
   const unsigned slot = leaf->tile[place] - 1;

   leaf->tile[place] = 0;
   leaf->tile_back[slot] = 0;
   leaf->tile_offset[slot] = leaf->tile_free;
   leaf->tile_free = slot + 1;
   leaf->count--;
}

/* The place after which half of the tiles come; there are at least two. */
static inline unsigned
tile_median(const struct node *leaf)
{
   unsigned i = tile_from(leaf, 0);

   for (unsigned n = leaf->count / 2; n > 0; n--)
      i = tile_from(leaf, i + 1);
   return i;
}

/* The last tile; there is one. */
static inline unsigned
tile_last(const struct node *leaf)
{
   unsigned i = TILE_SPAN - 1;

   while (!leaf->tile[i])
      i--;
   return i;
}

/* Moves the window so that it has the address, which is outside, if it then still has all tiles:
 * as far as it goes, since what comes is likely to come from the same side. */
static inline bool
tile_move_window(struct node *leaf, uint64_t addr_B)
{
   const unsigned first = tile_from(leaf, 0), last = tile_last(leaf), span = last - first + 1;
   unsigned to;

   if (addr_B > leaf->base) {
      if (tile_place(leaf, addr_B) - first >= TILE_SPAN)
         return false;
      to = 0;
   } else {
      const uint64_t below = (leaf_addr(leaf, last) - addr_B) >> leaf->tile_shift;
      const uint64_t room = leaf_addr(leaf, first) >> leaf->tile_shift;

      if (below >= TILE_SPAN)
         return false;
      to = MIN2(TILE_SPAN - span, room);
   }
   leaf->base = leaf_addr(leaf, first) - ((uint64_t)to << leaf->tile_shift);
   memmove(leaf->tile + to, leaf->tile + first, span);
   memset(leaf->tile, 0, to);
   memset(leaf->tile + to + span, 0, TILE_SPAN - to - span);
   return true;
}

/* Makes an ordinary leaf a tile leaf if all of its mappings can be tiles of one window. */
static inline bool
leaf_to_tiles(struct node *leaf)
{
   const uint64_t shape = leaf->range[0] & ~(uint64_t)VMB_MAPPING_INVALIDATED;
   const uint64_t size_B = range_B(shape), first_B = leaf->key[0];
   const uint64_t span_B = leaf->key[leaf->count - 1] - first_B;

   /* What is left of a mapping that is cut to tiles stands at the end. */
   if ((leaf->range[leaf->count - 1] ^ shape) & ~(uint64_t)VMB_MAPPING_INVALIDATED)
      return false;
   if ((size_B & (size_B - 1)) || size_B > 1ull << TILE_MAX_SHIFT ||
       span_B >= size_B * TILE_SPAN)
      return false;
   for (unsigned i = 0; i < leaf->count; i++) {
      if (((leaf->range[i] ^ shape) & ~(uint64_t)VMB_MAPPING_INVALIDATED) ||
          ((leaf->key[i] - first_B) & (size_B - 1)) ||
          leaf->back[i] >> ID_BITS << PAGE_SHIFT >= TILE_MAX_OFFSET_B ||
          (leaf->back[i] & ID_MASK) > TILE_ID_MASK)
         return false;
   }

   struct node old;
   old.count = leaf->count;
   entries_move(&old, 0, leaf, 0, leaf->count);

   const unsigned shift = __builtin_ctzll(size_B);
   const uint64_t spare = TILE_SPAN - 1 - (span_B >> shift);
   leaf->kind = NODE_TILES;
   leaf->tile_shift = shift;
   leaf->tile_used = leaf->tile_free = 0;
   leaf->tile_range = shape;
   leaf->base = first_B - (MIN2(spare / 2, first_B >> shift) << shift);
   leaf->count = 0;
   memset(leaf->tile, 0, sizeof(leaf->tile));
   for (unsigned i = 0; i < old.count; i++) {
      const unsigned slot = tile_add(leaf, tile_place(leaf, old.key[i]));

      leaf->tile_offset[slot] = old.back[i] >> ID_BITS;
      leaf->tile_back[slot] = (old.back[i] & ID_MASK) |
                              (old.range[i] & VMB_MAPPING_INVALIDATED ? TILE_INVALIDATED : 0);
   }
   return true;
}

/* Makes a tile leaf ordinary; it has no more than NODE_CAP mappings. */
static inline void
leaf_to_ordinary(struct node *leaf)
{
   const struct node old = *leaf;

   assert(old.count <= NODE_CAP);
   leaf->kind = NODE_LEAF;
   leaf->count = 0;
   for (unsigned i = tile_from(&old, 0); i < TILE_SPAN; i = tile_from(&old, i + 1)) {
      const unsigned at = leaf->count++;
      const struct vmb_mapping m = leaf_get(&old, i);

      leaf->key[at] = m.addr_B;
      leaf->range[at] = pack_range(m.range_B, m.flags);
      leaf->back[at] = pack_back(m.offset_B, leaf_id(&old, i));
   }
}

/* Moves the mappings from key on to the empty node \p right.  A tile leaf that is left with nothing
 * is ordinary. */
static inline void
leaf_split(struct node *leaf, uint64_t key, struct node *right)
{
   if (!leaf_has_tiles(leaf)) {
      const unsigned keep = lower_bound(leaf->key, leaf->count, key);

      right->count = leaf->count - keep;
      entries_move(right, 0, leaf, keep, right->count);
      leaf->count = keep;
      return;
   }

   const unsigned keep = tile_overlap(leaf, key);
   right->kind = NODE_TILES;
   right->tile_shift = leaf->tile_shift;
   right->tile_used = right->tile_free = 0;
   right->tile_range = leaf->tile_range;
   right->base = leaf->base;
   memset(right->tile, 0, sizeof(right->tile));
   for (unsigned i = keep; i < TILE_SPAN; i = tile_from(leaf, i + 1)) {
      const unsigned from = leaf->tile[i] - 1, to = tile_add(right, i);

      right->tile_offset[to] = leaf->tile_offset[from];
      right->tile_back[to] = leaf->tile_back[from];
      tile_remove(leaf, i);
   }
   if (leaf->count == 0)
      leaf->kind = NODE_LEAF;
   if (right->count == 0)
      right->kind = NODE_LEAF;
}

#endif /* VMB_GPUVM_LEAF_H */

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The index of holes by size.  See vmb_va_holes.h for how it is built.
 */

#include "vmb_va_holes.h"

#include <assert.h>
#include <stddef.h>

#include "util/bitscan.h"
#include "util/macros.h"
#include "util/u_math.h"

static_assert(sizeof(struct vmb_hole) == 64, "a hole fills one cache line");
static_assert(VMB_HOLE_BINS / 64 == 64, "one word covers all words of the bitmap");

void
vmb_hole_index_init(struct vmb_hole_index *index, unsigned page_shift)
{
   index->page_shift = page_shift;
}

static uint64_t
hole_pages(const struct vmb_hole_index *index, const struct vmb_hole *hole)
{
   return hole->size_B >> index->page_shift;
}

/** Bits from n on; n may be 64. */
static uint64_t
bits_from(unsigned n)
{
   return n < 64 ? ~0ull << n : 0;
}

static unsigned
lowest_bit(uint64_t bits)
{
   return ffsll(bits) - 1;
}

/* Ring */

static void
ring_init(struct vmb_hole *hole)
{
   hole->next = hole;
   hole->prev = hole;
}

static void
ring_add(struct vmb_hole *ring, struct vmb_hole *hole)
{
   hole->next = ring->next;
   hole->prev = ring;
   ring->next->prev = hole;
   ring->next = hole;
}

/** Returns another member of the ring, or NULL if this was the only one. */
static struct vmb_hole *
ring_remove(struct vmb_hole *hole)
{
   if (hole->next == hole)
      return NULL;

   hole->next->prev = hole->prev;
   hole->prev->next = hole->next;
   return hole->next;
}

/* Bins */

static void
bin_insert(struct vmb_hole_index *index, unsigned bin, struct vmb_hole *hole)
{
   if (index->bins[bin]) {
      ring_add(index->bins[bin], hole);
      return;
   }

   ring_init(hole);
   index->bins[bin] = hole;
   index->nonempty_bins[bin / 64] |= 1ull << (bin % 64);
   index->nonempty_words |= 1ull << (bin / 64);
}

static void
bin_remove(struct vmb_hole_index *index, unsigned bin, struct vmb_hole *hole)
{
   index->bins[bin] = ring_remove(hole);
   if (index->bins[bin])
      return;

   index->nonempty_bins[bin / 64] &= ~(1ull << (bin % 64));
   if (index->nonempty_bins[bin / 64] == 0)
      index->nonempty_words &= ~(1ull << (bin / 64));
}

static struct vmb_hole *
bin_best_fit(const struct vmb_hole_index *index, unsigned bin)
{
   unsigned word = bin / 64;
   uint64_t bits = index->nonempty_bins[word] & bits_from(bin % 64);

   if (bits == 0) {
      const uint64_t words = index->nonempty_words & bits_from(word + 1);
      if (words == 0)
         return NULL;
      word = lowest_bit(words);
      bits = index->nonempty_bins[word];
   }
   return index->bins[word * 64 + lowest_bit(bits)];
}

/* Tries */

static void
trie_set(struct vmb_hole **slot, struct vmb_hole *hole)
{
   *slot = hole;
   if (hole)
      hole->trie_slot = slot;
}

static void
trie_insert(struct vmb_hole_index *index, unsigned log2_pages, struct vmb_hole *hole)
{
   const uint64_t pages = hole_pages(index, hole);
   struct vmb_hole **slot = &index->tries[log2_pages];

   for (unsigned bit = log2_pages; *slot; slot = &(*slot)->trie_child[(pages >> bit) & 1]) {
      if ((*slot)->size_B == hole->size_B) {
         ring_add(*slot, hole);
         hole->trie_slot = NULL;
         return;
      }
      bit--;
   }

   ring_init(hole);
   hole->trie_child[0] = NULL;
   hole->trie_child[1] = NULL;
   trie_set(slot, hole);
   index->nonempty_tries |= 1ull << log2_pages;
}

/** Takes any leaf out of the subtree of this node: the node itself if it has no children. */
static struct vmb_hole *
trie_take_leaf(struct vmb_hole *node)
{
   while (node->trie_child[0] || node->trie_child[1])
      node = node->trie_child[1] ? node->trie_child[1] : node->trie_child[0];

   *node->trie_slot = NULL;
   return node;
}

static void
trie_remove(struct vmb_hole_index *index, unsigned log2_pages, struct vmb_hole *hole)
{
   struct vmb_hole *heir = ring_remove(hole);

   if (!hole->trie_slot)
      return;

   if (!heir)
      heir = trie_take_leaf(hole);

   if (heir != hole) {
      trie_set(hole->trie_slot, heir);
      trie_set(&heir->trie_child[0], hole->trie_child[0]);
      trie_set(&heir->trie_child[1], hole->trie_child[1]);
   }

   if (!index->tries[log2_pages])
      index->nonempty_tries &= ~(1ull << log2_pages);
}

static struct vmb_hole *
smaller(struct vmb_hole *a, struct vmb_hole *b)
{
   return !a || b->size_B < a->size_B ? b : a;
}

/** The smallest of a subtree: it is on the path that keeps to the smaller sizes. */
static struct vmb_hole *
trie_min(struct vmb_hole *node)
{
   struct vmb_hole *min = NULL;

   while (node) {
      min = smaller(min, node);
      node = node->trie_child[node->trie_child[0] ? 0 : 1];
   }
   return min;
}

static struct vmb_hole *
trie_best_fit(const struct vmb_hole_index *index, unsigned log2_pages, uint64_t pages)
{
   struct vmb_hole *best = NULL;
   struct vmb_hole *larger = NULL; /* the last subtree of larger sizes that was passed by */
   struct vmb_hole *node = index->tries[log2_pages];

   for (unsigned bit = log2_pages; node;) {
      if (hole_pages(index, node) >= pages)
         best = smaller(best, node);
      if (hole_pages(index, node) == pages || bit == 0)
         break;

      bit--;
      if ((pages >> bit) & 1) {
         node = node->trie_child[1];
      } else {
         larger = node->trie_child[1] ? node->trie_child[1] : larger;
         node = node->trie_child[0];
      }
   }

   if (larger)
      best = smaller(best, trie_min(larger));
   return best;
}

static struct vmb_hole *
tries_best_fit(const struct vmb_hole_index *index, uint64_t pages)
{
   const unsigned log2_pages = util_logbase2_64(pages);
   struct vmb_hole *best = trie_best_fit(index, log2_pages, pages);
   if (best)
      return best;

   const uint64_t larger = index->nonempty_tries & bits_from(log2_pages + 1);
   return larger ? trie_min(index->tries[lowest_bit(larger)]) : NULL;
}

/* Index */

void
vmb_hole_index_insert(struct vmb_hole_index *index, struct vmb_hole *hole)
{
   const uint64_t pages = hole_pages(index, hole);

   if (pages < VMB_HOLE_BINS)
      bin_insert(index, pages, hole);
   else
      trie_insert(index, util_logbase2_64(pages), hole);
}

void
vmb_hole_index_remove(struct vmb_hole_index *index, struct vmb_hole *hole)
{
   const uint64_t pages = hole_pages(index, hole);

   if (pages < VMB_HOLE_BINS)
      bin_remove(index, pages, hole);
   else
      trie_remove(index, util_logbase2_64(pages), hole);
}

struct vmb_hole *
vmb_hole_index_best_fit(const struct vmb_hole_index *index, uint64_t size_B)
{
   const uint64_t pages = size_B >> index->page_shift;

   if (pages < VMB_HOLE_BINS) {
      struct vmb_hole *hole = bin_best_fit(index, pages);
      if (hole)
         return hole;
   }
   return tries_best_fit(index, pages);
}

static struct vmb_hole *
trie_max(struct vmb_hole *node)
{
   struct vmb_hole *max = NULL;

   while (node) {
      max = !max || node->size_B > max->size_B ? node : max;
      node = node->trie_child[node->trie_child[1] ? 1 : 0];
   }
   return max;
}

uint64_t
vmb_hole_index_largest_B(const struct vmb_hole_index *index)
{
   if (index->nonempty_tries)
      return trie_max(index->tries[util_logbase2_64(index->nonempty_tries)])->size_B;

   if (index->nonempty_words) {
      const unsigned word = util_logbase2_64(index->nonempty_words);
      const unsigned bin = word * 64 + util_logbase2_64(index->nonempty_bins[word]);
      return (uint64_t)bin << index->page_shift;
   }
   return 0;
}

/* Check */

#define BROKEN UINT64_MAX

static uint64_t
check_ring(const struct vmb_hole *ring)
{
   uint64_t count = 0;
   const struct vmb_hole *hole = ring;

   do {
      if (hole->size_B != ring->size_B || hole->next->prev != hole)
         return BROKEN;
      count++;
      hole = hole->next;
   } while (hole != ring);
   return count;
}

/** Every size in the subtree has the bits above this one in common with prefix. */
static uint64_t
check_trie(const struct vmb_hole_index *index, struct vmb_hole *const *slot, unsigned bit,
           uint64_t prefix)
{
   const struct vmb_hole *node = *slot;
   if (!node)
      return 0;

   if (node->trie_slot != slot || hole_pages(index, node) >> bit != prefix)
      return BROKEN;

   uint64_t count = check_ring(node);
   for (unsigned i = 0; i < 2 && count != BROKEN; i++) {
      if (bit == 0 && node->trie_child[i])
         return BROKEN;
      const uint64_t below =
         bit ? check_trie(index, &node->trie_child[i], bit - 1, prefix << 1 | i) : 0;
      count = below == BROKEN ? BROKEN : count + below;
   }
   return count;
}

uint64_t
vmb_hole_index_check(const struct vmb_hole_index *index)
{
   uint64_t total = 0;

   for (unsigned bin = 0; bin < VMB_HOLE_BINS; bin++) {
      const bool listed = index->nonempty_bins[bin / 64] >> (bin % 64) & 1;
      const bool word_listed = index->nonempty_words >> (bin / 64) & 1;
      const struct vmb_hole *ring = index->bins[bin];

      if (listed != (ring != NULL) || word_listed != (index->nonempty_bins[bin / 64] != 0))
         return BROKEN;
      if (!ring)
         continue;
      if (hole_pages(index, ring) != bin || check_ring(ring) == BROKEN)
         return BROKEN;
      total += check_ring(ring);
   }

   for (unsigned k = 0; k < 64; k++) {
      const bool listed = index->nonempty_tries >> k & 1;
      const uint64_t count = check_trie(index, &index->tries[k], k, 1);

      if (count == BROKEN || listed != (count > 0))
         return BROKEN;
      total += count;
   }
   return total;
}

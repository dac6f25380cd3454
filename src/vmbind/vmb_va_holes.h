/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * An index of holes by size, which answers "the smallest that is at least this large".  It does
 * not know who lies between the holes, nor what an allocation is.
 */

#ifndef VMB_VA_HOLES_H
#define VMB_VA_HOLES_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Holes of less than VMB_HOLE_BINS pages have a bin for each exact size, and two levels of bitmap
 * over the bins find the first one that is not empty in a few instructions.  Larger ones are in
 * bitwise tries, one for each power of two: in the trie of 2^k, the d-th step from the root goes
 * by bit k - d of the size, so its depth is bounded by the size's bits and it never needs
 * balancing.  Unlike in a search tree, a node may hold any size of its subtree.
 *
 * Holes of one size form a ring; in a trie one of them, any one, is the node.  The index lives
 * inside the holes and needs no memory.
 */

#define VMB_HOLE_BINS_LOG2 12
#define VMB_HOLE_BINS      (1u << VMB_HOLE_BINS_LOG2)

/** A cache line, so that looking at one costs one miss. */
struct vmb_hole {
   uint64_t va;
   uint64_t size_B;

   /** The ring of holes of the same size. */
   struct vmb_hole *next, *prev;

   /** The pointer that points here, NULL for those in the ring that are not the trie's node. */
   struct vmb_hole **trie_slot;
   struct vmb_hole *trie_child[2];

   /** Not the index's: the owner keeps a deferred free's point here. */
   uint64_t point;
};

struct vmb_hole_index {
   unsigned page_shift;

   uint64_t nonempty_words; /* bit w: nonempty_bins[w] is not 0 */
   uint64_t nonempty_bins[VMB_HOLE_BINS / 64];
   struct vmb_hole *bins[VMB_HOLE_BINS];

   uint64_t nonempty_tries; /* bit k: sizes of 2^k pages up to the next power of two */
   struct vmb_hole *tries[64];
};

/** The index must be zeroed memory; sizes are multiples of 1 << page_shift. */
void vmb_hole_index_init(struct vmb_hole_index *index, unsigned page_shift);

void vmb_hole_index_insert(struct vmb_hole_index *index, struct vmb_hole *hole);
void vmb_hole_index_remove(struct vmb_hole_index *index, struct vmb_hole *hole);

/** Any one of the smallest holes of at least size_B, or NULL. */
struct vmb_hole *vmb_hole_index_best_fit(const struct vmb_hole_index *index, uint64_t size_B);

/** Size of the largest hole, 0 if there is none. */
uint64_t vmb_hole_index_largest_B(const struct vmb_hole_index *index);

/** Number of holes, in O(n), verifying the structure.  UINT64_MAX if it is broken. */
uint64_t vmb_hole_index_check(const struct vmb_hole_index *index);

#ifdef __cplusplus
}
#endif

#endif /* VMB_VA_HOLES_H */

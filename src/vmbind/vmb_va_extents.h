/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * An ordered map that cuts an address range into extents: a B+tree of their start addresses.  It
 * does not know what an extent's state means, nor who is looking for holes.
 */

#ifndef VMB_VA_EXTENTS_H
#define VMB_VA_EXTENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "util/macros.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * An extent reaches from its own start to the start of the next one, the last one to the end of
 * the range.  So the tree holds one number an extent, and a pair of extents becomes one by
 * removing the second's start.
 *
 * Addresses are multiples of 4 KiB.  The low 12 bits of a key are the owner's, for the extent's
 * state; the tree only carries them.
 *
 * Nodes come out of a pool.  vmb_extent_pool_reserve() is the only function that asks for memory:
 * with nodes reserved an insertion cannot fail, and a removal only ever gives nodes back.
 *
 * Every inner key is exactly the smallest address below it.
 */

#define VMB_EXTENT_STATE_BITS 12
#define VMB_EXTENT_STATE_MASK ((1ull << VMB_EXTENT_STATE_BITS) - 1)

/** Entries a node.  Two levels of descent cover 4,096 extents, three 262,144. */
#define VMB_EXTENT_NODE_MAX 64

/** More than any tree of 2^52 extents can reach with nodes at their emptiest. */
#define VMB_EXTENT_MAX_HEIGHT 20

struct vmb_extent_node {
   uint32_t count;

   /** Leaves only: neighbours in address order. */
   struct vmb_extent_node *prev, *next;

   uint64_t keys[VMB_EXTENT_NODE_MAX];

   /** Leaves: the owner's pointer.  Inner nodes: the child that starts at this key. */
   void *ptrs[VMB_EXTENT_NODE_MAX];
};

struct vmb_extent_pool {
   struct vmb_extent_node *free_nodes; /* linked through next */
   unsigned free_count;
};

struct vmb_extent_tree {
   struct vmb_extent_node *root;
   unsigned height; /* 1: the root is a leaf */
   uint64_t end;
};

/** One extent and the way to it; level 0 is the leaf.  Any insertion or removal invalidates it. */
struct vmb_extent_cursor {
   struct vmb_extent_node *path[VMB_EXTENT_MAX_HEIGHT];
   unsigned slot[VMB_EXTENT_MAX_HEIGHT];
};

/* Pool */

/** Makes sure of count free nodes.  Returns 0 or -ENOMEM. */
MUST_CHECK int vmb_extent_pool_reserve(struct vmb_extent_pool *pool, unsigned count);

void vmb_extent_pool_fini(struct vmb_extent_pool *pool);

/** The nodes that this many insertions into the tree may take. */
static inline unsigned
vmb_extent_tree_nodes_for(const struct vmb_extent_tree *tree, unsigned insertions)
{
   /* Each may split every level and grow a new root; the first of them may add that level. */
   return insertions * (tree->height + 2);
}

/* Tree */

/** Makes a tree of one extent, [start, end).  Takes one node that the caller has reserved. */
void vmb_extent_tree_init(struct vmb_extent_tree *tree, struct vmb_extent_pool *pool,
                          uint64_t start, uint64_t end, unsigned state, void *ptr);

void vmb_extent_tree_fini(struct vmb_extent_tree *tree, struct vmb_extent_pool *pool);

/** Finds the extent that contains va, which must be inside the tree's range. */
void vmb_extent_tree_find(const struct vmb_extent_tree *tree, uint64_t va,
                          struct vmb_extent_cursor *cursor);

/** Cuts the cursor's extent in two at va.  Takes nodes that the caller has reserved. */
void vmb_extent_tree_split(struct vmb_extent_tree *tree, struct vmb_extent_pool *pool,
                           struct vmb_extent_cursor *cursor, uint64_t va, unsigned state,
                           void *ptr);

/**
 * Gives count extents from the cursor's on, all in its leaf, to the one before them.  The cursor's
 * must not be the first of the tree.
 */
void vmb_extent_tree_merge_into_prev(struct vmb_extent_tree *tree, struct vmb_extent_pool *pool,
                                     struct vmb_extent_cursor *cursor, unsigned count);

/** Verifies the structure, in O(n).  Returns NULL or a sentence about what is wrong. */
const char *vmb_extent_tree_check(const struct vmb_extent_tree *tree);

/* Entry: an extent without the way to it */

/** Good for walking in address order; invalid after any insertion or removal. */
struct vmb_extent_entry {
   struct vmb_extent_node *leaf;
   unsigned slot;
};

static inline struct vmb_extent_entry
vmb_extent_cursor_entry(const struct vmb_extent_cursor *cursor)
{
   return (struct vmb_extent_entry){ cursor->path[0], cursor->slot[0] };
}

static inline uint64_t
vmb_extent_va(struct vmb_extent_entry e)
{
   return e.leaf->keys[e.slot] & ~VMB_EXTENT_STATE_MASK;
}

static inline unsigned
vmb_extent_state(struct vmb_extent_entry e)
{
   return e.leaf->keys[e.slot] & VMB_EXTENT_STATE_MASK;
}

static inline void *
vmb_extent_ptr(struct vmb_extent_entry e)
{
   return e.leaf->ptrs[e.slot];
}

static inline void
vmb_extent_set(struct vmb_extent_entry e, unsigned state, void *ptr)
{
   e.leaf->keys[e.slot] = vmb_extent_va(e) | state;
   e.leaf->ptrs[e.slot] = ptr;
}

/** Moves to the next extent.  Returns false, and stays, at the last one. */
static inline bool
vmb_extent_next(struct vmb_extent_entry *e)
{
   if (e->slot + 1 < e->leaf->count) {
      e->slot++;
      return true;
   }
   if (!e->leaf->next)
      return false;

   *e = (struct vmb_extent_entry){ e->leaf->next, 0 };
   return true;
}

/** Moves to the extent before.  Returns false, and stays, at the first one. */
static inline bool
vmb_extent_prev(struct vmb_extent_entry *e)
{
   if (e->slot > 0) {
      e->slot--;
      return true;
   }
   if (!e->leaf->prev)
      return false;

   *e = (struct vmb_extent_entry){ e->leaf->prev, e->leaf->prev->count - 1 };
   return true;
}

static inline uint64_t
vmb_extent_end(const struct vmb_extent_tree *tree, struct vmb_extent_entry e)
{
   return vmb_extent_next(&e) ? vmb_extent_va(e) : tree->end;
}

#ifdef __cplusplus
}
#endif

#endif /* VMB_VA_EXTENTS_H */

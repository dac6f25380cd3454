/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The B+tree of extents.  See vmb_va_extents.h for what it promises.
 */

#include "vmb_va_extents.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NODE_MAX VMB_EXTENT_NODE_MAX

#define ENTRIES_PER_LINE 8

/* A node with fewer entries than this looks for a neighbour to join, and joins it if both together
 * leave room to grow; otherwise the neighbour is well filled, and the pair is full enough.
 */
#define NODE_SPARSE     (NODE_MAX / 4)
#define NODE_JOINED_MAX (NODE_MAX * 3 / 4)

/* Pool */

static void
pool_put(struct vmb_extent_pool *pool, struct vmb_extent_node *node)
{
   node->next = pool->free_nodes;
   pool->free_nodes = node;
   pool->free_count++;
}

static struct vmb_extent_node *
pool_take(struct vmb_extent_pool *pool)
{
   struct vmb_extent_node *node = pool->free_nodes;

   assert(node && "nodes must be reserved before they are needed");
   pool->free_nodes = node->next;
   pool->free_count--;

   node->count = 0;
   node->prev = NULL;
   node->next = NULL;
   return node;
}

int
vmb_extent_pool_reserve(struct vmb_extent_pool *pool, unsigned count)
{
   while (pool->free_count < count) {
      struct vmb_extent_node *node = malloc(sizeof(*node));
      if (!node)
         return -ENOMEM;
      pool_put(pool, node);
   }
   return 0;
}

void
vmb_extent_pool_fini(struct vmb_extent_pool *pool)
{
   while (pool->free_nodes)
      free(pool_take(pool));
}

/* Nodes */

static uint64_t
key_va(uint64_t key)
{
   return key & ~VMB_EXTENT_STATE_MASK;
}

static uint64_t
node_min(const struct vmb_extent_node *node)
{
   return key_va(node->keys[0]);
}

/** The last entry that starts at or before va; entry 0 always does.  Compiles without branches. */
static unsigned
node_find(const struct vmb_extent_node *node, uint64_t va)
{
   const uint64_t bound = va | VMB_EXTENT_STATE_MASK;
   const uint64_t *base = node->keys;

   for (unsigned n = node->count; n > 1;) {
      const unsigned half = n / 2;
      base = base[half] <= bound ? base + half : base;
      n -= half;
   }
   return base - node->keys;
}

static void
node_insert(struct vmb_extent_node *node, unsigned slot, uint64_t key, void *ptr)
{
   const unsigned above = node->count - slot;

   memmove(&node->keys[slot + 1], &node->keys[slot], above * sizeof(node->keys[0]));
   memmove(&node->ptrs[slot + 1], &node->ptrs[slot], above * sizeof(node->ptrs[0]));
   node->keys[slot] = key;
   node->ptrs[slot] = ptr;
   node->count++;
}

static void
node_remove(struct vmb_extent_node *node, unsigned slot, unsigned count)
{
   const unsigned above = node->count - slot - count;

   memmove(&node->keys[slot], &node->keys[slot + count], above * sizeof(node->keys[0]));
   memmove(&node->ptrs[slot], &node->ptrs[slot + count], above * sizeof(node->ptrs[0]));
   node->count -= count;
}

/** Appends the entries of src from slot on to dst, and takes them from src. */
static void
node_move_tail(struct vmb_extent_node *dst, struct vmb_extent_node *src, unsigned slot)
{
   const unsigned moved = src->count - slot;

   memcpy(&dst->keys[dst->count], &src->keys[slot], moved * sizeof(src->keys[0]));
   memcpy(&dst->ptrs[dst->count], &src->ptrs[slot], moved * sizeof(src->ptrs[0]));
   dst->count += moved;
   src->count -= moved;
}

static void
leaf_link_after(struct vmb_extent_node *leaf, struct vmb_extent_node *added)
{
   added->prev = leaf;
   added->next = leaf->next;
   if (leaf->next)
      leaf->next->prev = added;
   leaf->next = added;
}

static void
leaf_unlink(struct vmb_extent_node *leaf)
{
   if (leaf->prev)
      leaf->prev->next = leaf->next;
   if (leaf->next)
      leaf->next->prev = leaf->prev;
}

/* Tree */

void
vmb_extent_tree_init(struct vmb_extent_tree *tree, struct vmb_extent_pool *pool, uint64_t start,
                     uint64_t end, unsigned state, void *ptr)
{
   tree->root = pool_take(pool);
   tree->height = 1;
   tree->end = end;
   node_insert(tree->root, 0, start | state, ptr);
}

static void
put_subtree(struct vmb_extent_pool *pool, struct vmb_extent_node *node, unsigned height)
{
   for (unsigned i = 0; height > 1 && i < node->count; i++)
      put_subtree(pool, node->ptrs[i], height - 1);
   pool_put(pool, node);
}

void
vmb_extent_tree_fini(struct vmb_extent_tree *tree, struct vmb_extent_pool *pool)
{
   if (tree->root)
      put_subtree(pool, tree->root, tree->height);
   tree->root = NULL;
}

/**
 * Leaves are rarely in the cache.  The search, and then the entry's pointer, would wait for one
 * line after the other; asked for together, they come together.
 */
static void
prefetch_leaf(const struct vmb_extent_node *leaf)
{
   for (unsigned i = 0; i < NODE_MAX; i += ENTRIES_PER_LINE) {
      __builtin_prefetch(&leaf->keys[i]);
      __builtin_prefetch(&leaf->ptrs[i]);
   }
}

void
vmb_extent_tree_find(const struct vmb_extent_tree *tree, uint64_t va,
                     struct vmb_extent_cursor *cursor)
{
   struct vmb_extent_node *node = tree->root;

   for (unsigned level = tree->height; level-- > 0;) {
      const unsigned slot = node_find(node, va);
      cursor->path[level] = node;
      cursor->slot[level] = slot;
      node = node->ptrs[slot];
      if (level == 1)
         prefetch_leaf(node);
   }
}

/** Brings the inner keys up to date after the node at this level got another smallest address. */
static void
update_min(struct vmb_extent_tree *tree, struct vmb_extent_cursor *cursor, unsigned level)
{
   const uint64_t min = node_min(cursor->path[level]);

   while (++level < tree->height) {
      cursor->path[level]->keys[cursor->slot[level]] = min;
      if (cursor->slot[level] > 0)
         break;
   }
}

/** Inserts an entry and returns the new right half if the node had to be split. */
static struct vmb_extent_node *
insert_or_split(struct vmb_extent_pool *pool, struct vmb_extent_node *node, unsigned slot,
                uint64_t key, void *ptr, bool is_last)
{
   if (node->count < NODE_MAX) {
      node_insert(node, slot, key, ptr);
      return NULL;
   }

   /* A zone that fills from below only ever appends: leave full nodes behind then. */
   const unsigned left_count = is_last && slot == NODE_MAX ? NODE_MAX : NODE_MAX / 2;
   struct vmb_extent_node *right = pool_take(pool);

   node_move_tail(right, node, left_count);
   if (slot <= left_count && left_count < NODE_MAX)
      node_insert(node, slot, key, ptr);
   else
      node_insert(right, slot - left_count, key, ptr);
   return right;
}

void
vmb_extent_tree_split(struct vmb_extent_tree *tree, struct vmb_extent_pool *pool,
                      struct vmb_extent_cursor *cursor, uint64_t va, unsigned state, void *ptr)
{
   struct vmb_extent_node *leaf = cursor->path[0];
   const bool is_last = !leaf->next;
   struct vmb_extent_node *right =
      insert_or_split(pool, leaf, cursor->slot[0] + 1, va | state, ptr, is_last);
   if (right)
      leaf_link_after(leaf, right);

   for (unsigned level = 1; right && level < tree->height; level++)
      right = insert_or_split(pool, cursor->path[level], cursor->slot[level] + 1, node_min(right),
                              right, is_last);

   if (right) {
      struct vmb_extent_node *root = pool_take(pool);

      assert(tree->height < VMB_EXTENT_MAX_HEIGHT);
      node_insert(root, 0, node_min(tree->root), tree->root);
      node_insert(root, 1, node_min(right), right);
      tree->root = root;
      tree->height++;
   }
}

/** Joins the parent's child at slot + 1 into the one at slot, if that leaves room to grow. */
static bool
join_children(struct vmb_extent_pool *pool, struct vmb_extent_node *parent, unsigned slot,
              bool leaves)
{
   struct vmb_extent_node *left = parent->ptrs[slot];
   struct vmb_extent_node *right = parent->ptrs[slot + 1];

   if (left->count + right->count > NODE_JOINED_MAX)
      return false;

   node_move_tail(left, right, 0);
   if (leaves)
      leaf_unlink(right);
   node_remove(parent, slot + 1, 1);
   pool_put(pool, right);
   return true;
}

/** Returns whether the parent lost an entry. */
static bool
shrink_level(struct vmb_extent_tree *tree, struct vmb_extent_pool *pool,
             struct vmb_extent_cursor *cursor, unsigned level)
{
   struct vmb_extent_node *node = cursor->path[level];
   struct vmb_extent_node *parent = cursor->path[level + 1];
   const unsigned slot = cursor->slot[level + 1];

   if (node->count == 0) {
      if (level == 0)
         leaf_unlink(node);
      node_remove(parent, slot, 1);
      pool_put(pool, node);
      if (slot == 0 && parent->count > 0)
         update_min(tree, cursor, level + 1);
      return true;
   }

   return (slot + 1 < parent->count && join_children(pool, parent, slot, level == 0)) ||
          (slot > 0 && join_children(pool, parent, slot - 1, level == 0));
}

void
vmb_extent_tree_merge_into_prev(struct vmb_extent_tree *tree, struct vmb_extent_pool *pool,
                                struct vmb_extent_cursor *cursor, unsigned count)
{
   struct vmb_extent_node *leaf = cursor->path[0];

   node_remove(leaf, cursor->slot[0], count);
   if (cursor->slot[0] == 0 && leaf->count > 0)
      update_min(tree, cursor, 0);

   for (unsigned level = 0; level + 1 < tree->height; level++) {
      if (cursor->path[level]->count >= NODE_SPARSE || !shrink_level(tree, pool, cursor, level))
         break;
   }

   while (tree->height > 1 && tree->root->count == 1) {
      struct vmb_extent_node *root = tree->root;
      tree->root = root->ptrs[0];
      tree->height--;
      pool_put(pool, root);
   }
}

/* Check */

struct check {
   const struct vmb_extent_node *last_leaf;
   uint64_t next_min; /* every further address is at least this */
   const char *wrong;
};

static void
check_subtree(struct check *check, const struct vmb_extent_node *node, unsigned height)
{
   if (node->count == 0 || node->count > NODE_MAX) {
      check->wrong = "a node is empty or too full";
      return;
   }

   if (height == 1) {
      if (node->prev != check->last_leaf || (check->last_leaf && check->last_leaf->next != node))
         check->wrong = "the chain of leaves is not the tree's order";
      check->last_leaf = node;
   }

   for (unsigned i = 0; i < node->count && !check->wrong; i++) {
      if (height > 1) {
         const struct vmb_extent_node *child = node->ptrs[i];
         if (node->keys[i] != node_min(child))
            check->wrong = "an inner key is not its subtree's smallest address";
         else
            check_subtree(check, child, height - 1);
      } else if (key_va(node->keys[i]) < check->next_min) {
         check->wrong = "extents are not in address order";
      } else {
         check->next_min = key_va(node->keys[i]) + 1;
      }
   }
}

const char *
vmb_extent_tree_check(const struct vmb_extent_tree *tree)
{
   struct check check = { 0 };

   check_subtree(&check, tree->root, tree->height);
   if (!check.wrong && check.last_leaf->next)
      check.wrong = "the chain of leaves goes on after the last one";
   if (!check.wrong && check.next_min > tree->end)
      check.wrong = "an extent starts outside the range";
   return check.wrong;
}

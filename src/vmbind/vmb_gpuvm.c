/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The mirror's tree: see vmb_gpuvm.h for what it means.
 *
 * A B+tree of mappings, ordered by address; vmb_gpuvm_leaf.h says what is in its
 * leaves.  Every leaf knows its fence [lo, hi), and every mapping lies in the fence
 * of its leaf altogether: one that is to reach further moves the fence.  So a
 * finger (a small direct-mapped cache of leaves, indexed by address) finds the leaf
 * without a walk from the root, and a change whose range is in the fence concerns
 * no other leaf.
 *
 * A leaf that fills up with tiles of one shape becomes a tile leaf on the spot.  What
 * does not fit in there (another size, a part of a tile, other flags) makes it ordinary
 * again: on the spot if it has ORDINARY_MAX mappings or less; else it is halved until the
 * part that is concerned has, and the other parts stay as they are.
 *
 * Each leaf and each child of an inner node has a 64-bit filter of the vm_bo
 * ids below it, which makes "all mappings of this BO" a walk of the parts that
 * matter, without a list node a mapping.
 *
 * Memory comes from a pool which vmb_gpuvm_reserve() fills; nodes go back to
 * the pool, and the pool shrinks only in vmb_gpuvm_reserve().  So a change
 * never allocates, and a change can be undone.
 *
 * This file must never know of an ioctl, a queue, a fence or a driver.
 */

#include "vmb_gpuvm.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/u_atomic.h"
#include "util/u_math.h"

#include "vmb_gpuvm_leaf.h"

#define MERGE_MAX     32 /* fill of a leaf that a merge may make */
#define TILES_MIN     32 /* fill of an ordinary leaf that may become one of tiles */
#define TILES_STEP    15 /* and how often that is tried: at 32, 47 and, when it is full, 62 */
#define TILES_KEEP    16 /* fill of a tile leaf that becomes ordinary */
#define ORDINARY_MAX  48 /* fill of a leaf that is made ordinary for a change */
#define FINGERS       256
#define FINGER_SHIFT  21
#define CACHED_LEAVES 256 /* trees up to this size are taken to be in the CPU's caches */
#define MAX_OFFSET_B  (1ull << (64 - ID_BITS + PAGE_SHIFT))
#define MAX_ADDR_B    (1ull << (64 - FLAG_BITS + PAGE_SHIFT - 1))

/* Nodes to have, so that small changes need not be counted out.  A test sets it to 0, which makes
 * every reservation exact. */
#ifndef POOL_SLACK
#define POOL_SLACK 32
#endif
/* A 64th of the pool goes with each reservation that needs less. */
#define POOL_DECAY 64

struct vmb_gpuvm {
   struct vmb_gpuvm_params params;
   uint64_t end_B;
   uint32_t refcount;

   struct node *root;
   unsigned height; /* inner levels above the leaves */
   size_t mapping_count;
   size_t leaf_count, inner_count;

   struct node *pool;
   size_t pool_count;

   /* vm_bos by id; id 0 is no BO. Free ids are linked through the slots. */
   struct vmb_gpuvm_bo **bos;
   uint32_t bo_count, bo_capacity;
   uint32_t free_id_count;
   uint32_t *free_ids;

   struct list_head extobjs;
   unsigned extobj_count;
   struct list_head evicted;
   struct vmb_gpuvm_bo *deferred;

   /* A leaf, and the fence that it had when it was found. */
   struct finger {
      uint64_t lo, hi;
      struct node *leaf;
   } finger[FINGERS];
   /* Where in its leaf the latest change was: the next one is often there. */
   unsigned hint;

   /* A copy for looking at: counts no references. */
   bool snapshot;
};

/* ------------------------------------------------------------------ object */

void
vmb_gpuvm_obj_init(struct vmb_gpuvm_obj *obj, uint64_t size_B,
                   void (*ref)(struct vmb_gpuvm_obj *obj),
                   void (*unref)(struct vmb_gpuvm_obj *obj))
{
   *obj = (struct vmb_gpuvm_obj){ .size_B = size_B, .ref = ref, .unref = unref };
   mtx_init(&obj->lock, mtx_plain);
   list_inithead(&obj->vm_bos);
}

void
vmb_gpuvm_obj_finish(struct vmb_gpuvm_obj *obj)
{
   list_for_each_entry_safe(struct vmb_gpuvm_bo, vm_bo, &obj->vm_bos, obj_link) {
      assert(vm_bo->gpuvm->params.weak && vm_bo->mapping_count == 0);
      /* A weak vm_bo that somebody still holds outlives its BO, empty. */
      list_delinit(&vm_bo->obj_link);
      vm_bo->obj = NULL;
   }
   mtx_destroy(&obj->lock);
}

/* ----------------------------------------------------------------- mapping */

struct vmb_mapping
vmb_mapping_clip(const struct vmb_mapping *m, uint64_t addr_B, uint64_t end_B)
{
   struct vmb_mapping clip = *m;

   clip.addr_B = MAX2(m->addr_B, addr_B);
   clip.range_B = MIN2(vmb_mapping_end_B(m), end_B) - clip.addr_B;
   clip.offset_B = vmb_mapping_offset_at(m, clip.addr_B);
   return clip;
}

bool
vmb_mapping_same_backing(const struct vmb_mapping *a, const struct vmb_mapping *b)
{
   const uint16_t ignore = VMB_MAPPING_STATE_FLAGS;

   if (a->vm_bo != b->vm_bo || (a->flags & ~ignore) != (b->flags & ~ignore))
      return false;
   if (a->flags & VMB_MAPPING_NULL)
      return true;
   if (a->flags & VMB_MAPPING_REPEAT)
      return a->offset_B == b->offset_B;
   /* Offsets relative to the address, modulo 2^64. */
   return a->offset_B - a->addr_B == b->offset_B - b->addr_B;
}

static inline struct vmb_mapping
get_mapping(const struct vmb_gpuvm *gpuvm, const struct node *leaf, unsigned i)
{
   struct vmb_mapping m = leaf_get(leaf, i);

   m.vm_bo = gpuvm->bos[leaf_id(leaf, i)];
   return m;
}

/* ------------------------------------------------------------------- nodes */

static struct node *
node_alloc(struct vmb_gpuvm *gpuvm, enum node_kind kind)
{
   struct node *node = gpuvm->pool;

   if (unlikely(!node)) {
      /* vmb_gpuvm_reserve() makes this unreachable. */
      fprintf(stderr, "vmbind: gpuvm changed without a reservation\n");
      abort();
   }
   gpuvm->pool = node->next;
   gpuvm->pool_count--;

   node->lo = node->hi = 0;
   node->parent = node->prev = node->next = NULL;
   node->filter = 0;
   node->count = 0;
   node->kind = kind;
   if (kind == NODE_INNER)
      gpuvm->inner_count++;
   else
      gpuvm->leaf_count++;
   return node;
}

static void
node_free(struct vmb_gpuvm *gpuvm, struct node *node)
{
   if (node->kind == NODE_INNER)
      gpuvm->inner_count--;
   else
      gpuvm->leaf_count--;
   /* An empty fence: a finger that still points here finds nothing. */
   node->lo = 1;
   node->hi = 0;
   node->next = gpuvm->pool;
   gpuvm->pool = node;
   gpuvm->pool_count++;
}

static int
pool_fill(struct vmb_gpuvm *gpuvm, size_t count)
{
   while (gpuvm->pool_count < count) {
      struct node *node = malloc(sizeof(*node));
      if (!node)
         return -ENOMEM;
      /* lower_bound() reads keys that do not count: not so in an application that runs under valgrind. */
      memset(node->key, 0, sizeof(node->key));
      node->lo = 1;
      node->hi = 0;
      node->next = gpuvm->pool;
      gpuvm->pool = node;
      gpuvm->pool_count++;
   }
   return 0;
}

static void
pool_trim(struct vmb_gpuvm *gpuvm, size_t count)
{
   if (gpuvm->pool_count <= count)
      return;

   /* Fingers may point to pooled nodes. */
   memset(gpuvm->finger, 0, sizeof(gpuvm->finger));
   while (gpuvm->pool_count > count) {
      struct node *node = gpuvm->pool;
      gpuvm->pool = node->next;
      gpuvm->pool_count--;
      free(node);
   }
}

/* The child whose keys may contain x. */
static inline unsigned
child_for(const struct node *inner, uint64_t x)
{
   /* The last one with key <= x; the first one whatever its key. */
   const unsigned i = lower_bound(inner->key, inner->count, x + 1);

   return i - (i > 0);
}

static unsigned
child_index(const struct node *parent, const struct node *child)
{
   if (child->kind != NODE_INNER) {
      const unsigned i = child_for(parent, child->lo);
      if (parent->child[i] == child)
         return i;
   }
   for (unsigned i = 0;; i++) {
      assert(i < parent->count);
      if (parent->child[i] == child)
         return i;
   }
}

/* lower_bound() in an ordinary leaf, for the thread that may change the tree. */
static inline unsigned
hinted_bound(struct vmb_gpuvm *gpuvm, const struct node *leaf, uint64_t addr_B)
{
   const unsigned hint = gpuvm->hint, count = leaf->count;

   if (hint <= count && (hint == 0 || leaf->key[hint - 1] < addr_B) &&
       (hint == count || leaf->key[hint] >= addr_B))
      return hint;
   return gpuvm->hint = lower_bound(leaf->key, count, addr_B);
}

/* leaf_overlap(), for the thread that may change the tree. */
static inline unsigned
hinted_overlap(struct vmb_gpuvm *gpuvm, const struct node *leaf, uint64_t addr_B)
{
   return leaf_has_tiles(leaf)
             ? tile_overlap(leaf, addr_B)
             : leaf_overlap_at(leaf, hinted_bound(gpuvm, leaf, addr_B), addr_B);
}

/* A search steps through the keys, each step waiting for the line of the one before: fetched all
 * at once, they cost one miss. */
static inline void
prefetch_keys(const struct node *node)
{
   __builtin_prefetch(node);
   for (unsigned i = 0; i < NODE_CAP; i += 8)
      __builtin_prefetch(&node->key[i]);
}

static struct node *
descend(struct vmb_gpuvm *gpuvm, uint64_t addr_B)
{
   struct node *node = gpuvm->root;

   const bool large = gpuvm->leaf_count > CACHED_LEAVES;

   for (unsigned level = gpuvm->height; level > 0; level--) {
      node = node->child[child_for(node, addr_B)];
      if (large)
         prefetch_keys(node);
   }
   return node;
}

static inline bool
in_fence(const struct node *leaf, uint64_t addr_B)
{
   return addr_B >= leaf->lo && addr_B < leaf->hi;
}

/* For the thread that may change the tree; readers use descend(). */
static inline struct node *
locate(struct vmb_gpuvm *gpuvm, uint64_t addr_B)
{
   struct finger *finger = &gpuvm->finger[(addr_B >> FINGER_SHIFT) % FINGERS];

   /* The finger's own copy of the fence may be out of date, but tells most of the misses without
    * a look at a leaf which is not the right one. */
   if (addr_B >= finger->lo && addr_B < finger->hi && in_fence(finger->leaf, addr_B))
      return finger->leaf;

   struct node *leaf = descend(gpuvm, addr_B);
   *finger = (struct finger){ leaf->lo, leaf->hi, leaf };
   /* A change moves about half of the columns. */
   for (unsigned i = 0; i < NODE_CAP && gpuvm->leaf_count > CACHED_LEAVES; i += 8) {
      __builtin_prefetch(&leaf->range[i]);
      __builtin_prefetch(&leaf->back[i]);
   }
   return leaf;
}

static void
add_filter(struct node *node, uint64_t filter)
{
   if (likely((node->filter & filter) == filter))
      return;

   node->filter |= filter;
   for (struct node *parent = node->parent; parent; node = parent, parent = node->parent) {
      parent->child_filter[child_index(parent, node)] |= filter;
      parent->filter |= filter;
   }
}

static void
compute_filter(struct node *node)
{
   if (node->kind == NODE_INNER) {
      node->filter = 0;
      for (unsigned i = 0; i < node->count; i++)
         node->filter |= node->child_filter[i];
   } else {
      node->filter = leaf_filter(node);
   }
   if (node->parent)
      node->parent->child_filter[child_index(node->parent, node)] = node->filter;
}

static void
insert_child(struct node *parent, unsigned at, uint64_t key, struct node *child)
{
   const unsigned tail = parent->count - at;

   assert(parent->count < NODE_CAP);
   memmove(parent->key + at + 1, parent->key + at, tail * sizeof(parent->key[0]));
   memmove(parent->child + at + 1, parent->child + at, tail * sizeof(parent->child[0]));
   memmove(parent->child_filter + at + 1, parent->child_filter + at,
           tail * sizeof(parent->child_filter[0]));
   parent->key[at] = key;
   parent->child[at] = child;
   parent->child_filter[at] = child->filter;
   parent->count++;
   parent->filter |= child->filter;
   child->parent = parent;
}

/* Hangs \p right, which starts at \p key, into the tree behind \p left. */
static void
insert_sibling(struct vmb_gpuvm *gpuvm, struct node *left, uint64_t key, struct node *right)
{
   struct node *parent = left->parent;

   if (!parent) {
      parent = node_alloc(gpuvm, NODE_INNER);
      insert_child(parent, 0, 0, left);
      gpuvm->root = parent;
      gpuvm->height++;
   }

   if (parent->count == NODE_CAP) {
      struct node *split = node_alloc(gpuvm, NODE_INNER);
      const unsigned at = child_index(parent, left) + 1;
      /* Appended in order: leave the full node full. */
      const unsigned keep = at == NODE_CAP ? NODE_CAP - 1 : NODE_CAP / 2;
      const uint64_t split_key = parent->key[keep];

      for (unsigned i = keep; i < NODE_CAP; i++)
         insert_child(split, i - keep, parent->key[i], parent->child[i]);
      parent->count = keep;
      compute_filter(split);
      insert_sibling(gpuvm, parent, split_key, split);
      compute_filter(parent);
      compute_filter(split);
      parent = left->parent;
   }

   insert_child(parent, child_index(parent, left) + 1, key, right);
   add_filter(parent, right->filter);
}

/* Moves the mappings from key on into a leaf of their own, behind, whose fence begins there.
 * Either may be left empty, until the caller inserts. */
static struct node *
split_leaf(struct vmb_gpuvm *gpuvm, struct node *leaf, uint64_t key)
{
   struct node *right = node_alloc(gpuvm, NODE_LEAF);

   assert(key > leaf->lo && key < leaf->hi);
   leaf_split(leaf, key, right);
   right->lo = key;
   right->hi = leaf->hi;
   leaf->hi = key;
   right->prev = leaf;
   right->next = leaf->next;
   if (right->next)
      right->next->prev = right;
   leaf->next = right;

   compute_filter(right);
   insert_sibling(gpuvm, leaf, key, right);
   compute_filter(leaf);
   return right;
}

/* Where to split a full ordinary leaf: at the most aligned address in the middle half.  So leaves
 * come to be whole windows of tiles, and not parts of two. */
static uint64_t
split_key(const struct node *leaf, uint64_t addr_B, uint64_t end_B)
{
   const uint64_t low = leaf->key[leaf->count / 4], high = leaf->key[leaf->count * 3 / 4];
   const uint64_t below = (1ull << util_logbase2_64(low ^ high)) - 1;
   const uint64_t key = high & ~below;
   const unsigned keep = lower_bound(leaf->key, leaf->count, key);

   /* Not inside of a mapping, nor of what is to come. */
   if (leaf_end(leaf, keep - 1) > key || (addr_B < key && key < end_B))
      return leaf->key[keep];
   return key;
}

/* Makes room for two entries in an ordinary leaf where nothing is between addr_B and end_B; returns
 * the leaf that then has that place. */
static struct node *
make_room(struct vmb_gpuvm *gpuvm, struct node *leaf, uint64_t addr_B, uint64_t end_B)
{
   if (likely(leaf->count + 2 <= NODE_CAP))
      return leaf;

   const unsigned at = lower_bound(leaf->key, leaf->count, addr_B);
   /* Appended in order: leave the full leaf full. */
   const uint64_t key =
      at == leaf->count ? leaf_end(leaf, at - 1) : split_key(leaf, addr_B, end_B);
   struct node *right = split_leaf(gpuvm, leaf, key);

   return addr_B >= key ? right : leaf;
}

/* Makes the part of a tile leaf ordinary that has addr_B.  Splits it twice at most: TILE_CAP is
 * less than four times ORDINARY_MAX. */
static struct node *
make_ordinary(struct vmb_gpuvm *gpuvm, struct node *leaf, uint64_t addr_B)
{
   static_assert(TILE_CAP <= 4 * ORDINARY_MAX, "two splits");

   while (leaf->count > ORDINARY_MAX) {
      const uint64_t key = leaf_addr(leaf, tile_median(leaf));
      struct node *right = split_leaf(gpuvm, leaf, key);
      leaf = addr_B >= key ? right : leaf;
   }
   leaf_to_ordinary(leaf);
   return leaf;
}

/* A node's fence begins elsewhere from now on. */
static void
set_key(struct node *node, uint64_t key)
{
   for (struct node *parent = node->parent; parent; node = parent, parent = node->parent) {
      const unsigned at = child_index(parent, node);

      if (at > 0) {
         parent->key[at] = key;
         return;
      }
   }
}

/* Moves the end of a leaf's fence to end_B; nothing is mapped between. */
static void
extend_fence(struct node *leaf, uint64_t end_B)
{
   struct node *next = leaf->next;

   assert(leaf_addr(next, leaf_from(next, 0)) >= end_B);
   set_key(next, end_B);
   leaf->hi = next->lo = end_B;
}

/* The leaf that a mapping can be put into which belongs into the fence of a tile leaf: one
 * with a free tile there, or an ordinary one. */
static struct node *
make_tile_room(struct vmb_gpuvm *gpuvm, struct node *leaf, const struct vmb_mapping *m)
{
   const uint64_t addr_B = m->addr_B;

   if (!tile_shaped(leaf, m)) {
      const uint64_t first_B = leaf_addr(leaf, tile_from(leaf, 0));
      const uint64_t end_B = leaf_end(leaf, tile_last(leaf));

      /* Beside all of the tiles: they may stay. */
      if (leaf->count > ORDINARY_MAX && addr_B < first_B) {
         struct node *prev = leaf->prev;

         /* Tiles that are replaced in order come here one by one. */
         if (prev && !leaf_has_tiles(prev) && prev->count + 2 <= NODE_CAP) {
            extend_fence(prev, first_B);
            return prev;
         }
         split_leaf(gpuvm, leaf, first_B);
         return leaf;
      }
      if (leaf->count > ORDINARY_MAX && addr_B >= end_B)
         return split_leaf(gpuvm, leaf, end_B);
      return make_ordinary(gpuvm, leaf, addr_B);
   }

   if (tile_place(leaf, addr_B) >= TILE_SPAN && !tile_move_window(leaf, addr_B)) {
      if (leaf->count <= ORDINARY_MAX)
         return make_ordinary(gpuvm, leaf, addr_B);
      if (addr_B >= leaf->base)
         return split_leaf(gpuvm, leaf, tile_window_end(leaf));
      split_leaf(gpuvm, leaf, leaf->base);
      return leaf;
   }

   if (leaf->count == TILE_CAP) {
      /* Appended in order: leave the full leaf full. */
      const bool append = tile_from(leaf, tile_place(leaf, addr_B)) == TILE_SPAN;
      const uint64_t key = append ? leaf_end(leaf, tile_last(leaf))
                                  : leaf_addr(leaf, tile_median(leaf));
      struct node *right = split_leaf(gpuvm, leaf, key);
      return addr_B >= key ? right : leaf;
   }
   return leaf;
}

/* Takes an empty leaf, or one whose content moved away, out of the tree.  Its fence goes to the leaf
 * before it, or behind it if it was the first. */
static void
remove_leaf(struct vmb_gpuvm *gpuvm, struct node *leaf)
{
   struct node *node = leaf;
   unsigned at = 0;

   /* The highest ancestor that has no other child goes too. */
   while (node->parent) {
      struct node *parent = node->parent;

      at = child_index(parent, node);
      if (node != leaf)
         node_free(gpuvm, node);
      node = parent;
      if (node->count > 1)
         break;
   }
   assert(node != leaf && node->count > 1);

   const unsigned tail = node->count - at - 1;
   memmove(node->key + at, node->key + at + 1, tail * sizeof(node->key[0]));
   memmove(node->child + at, node->child + at + 1, tail * sizeof(node->child[0]));
   memmove(node->child_filter + at, node->child_filter + at + 1,
           tail * sizeof(node->child_filter[0]));
   node->count--;

   if (leaf->prev) {
      leaf->prev->hi = leaf->hi;
      leaf->prev->next = leaf->next;
      if (at == 0)
         set_key(node, leaf->hi);
   } else {
      leaf->next->lo = leaf->lo;
   }
   if (leaf->next)
      leaf->next->prev = leaf->prev;
   node_free(gpuvm, leaf);

   while (gpuvm->root->kind == NODE_INNER && gpuvm->root->count == 1) {
      struct node *root = gpuvm->root;
      gpuvm->root = root->child[0];
      gpuvm->root->parent = NULL;
      gpuvm->height--;
      node_free(gpuvm, root);
   }
}

/* Merges \p right into \p left, its neighbour under the same parent, if the
 * result is not more than half full (a fuller one would soon be split). */
static bool
try_merge(struct vmb_gpuvm *gpuvm, struct node *left, struct node *right)
{
   if (!left || !right || left->parent != right->parent || leaf_has_tiles(left) ||
       leaf_has_tiles(right) || left->count + right->count > MERGE_MAX)
      return false;

   entries_move(left, left->count, right, 0, right->count);
   left->count += right->count;
   add_filter(left, right->filter);
   remove_leaf(gpuvm, right);
   return true;
}

/* After mappings were taken out of a leaf. */
static void
shrink(struct vmb_gpuvm *gpuvm, struct node *leaf)
{
   static_assert(TILES_KEEP <= MERGE_MAX / 2, "small tile leaves come here");

   if (likely(leaf->count > MERGE_MAX / 2))
      return;
   if (leaf_has_tiles(leaf) && leaf->count <= TILES_KEEP)
      leaf_to_ordinary(leaf);
   if (leaf == gpuvm->root)
      return;
   if (leaf->count == 0) {
      remove_leaf(gpuvm, leaf);
      return;
   }
   if (!try_merge(gpuvm, leaf, leaf->next))
      try_merge(gpuvm, leaf->prev, leaf);
}

/* ------------------------------------------------- references of the entries
 *
 * Mappings and replaced records hold their vm_bo by mapping_count and
 * record_count, which the caller's lock guards; both together hold one
 * (atomic) reference.  mapping_count is the number of entries in the tree. */

static inline void
entry_get(const struct vmb_gpuvm *gpuvm, struct vmb_gpuvm_bo *vm_bo)
{
   if (!vm_bo || unlikely(gpuvm->snapshot))
      return;
   if (vm_bo->mapping_count++ == 0 && vm_bo->record_count == 0)
      vmb_gpuvm_bo_get(vm_bo);
}

static inline void
entry_put(const struct vmb_gpuvm *gpuvm, struct vmb_gpuvm_bo *vm_bo)
{
   if (!vm_bo || unlikely(gpuvm->snapshot))
      return;
   assert(vm_bo->mapping_count);
   if (--vm_bo->mapping_count == 0 && vm_bo->record_count == 0)
      vmb_gpuvm_bo_put_deferred(vm_bo);
}

/* The mapping is cut or goes away: its entry's reference goes to the record,
 * or is dropped. */
static inline void
entry_replaced(const struct vmb_gpuvm *gpuvm, const struct vmb_mapping *m,
               struct vmb_replaced *replaced)
{
   if (replaced) {
      assert(replaced->count < replaced->capacity);
      replaced->mappings[replaced->count++] = *m;
      if (m->vm_bo && !gpuvm->snapshot) {
         m->vm_bo->record_count++;
         m->vm_bo->mapping_count--;
      }
   } else {
      entry_put(gpuvm, m->vm_bo);
   }
}

void
vmb_gpuvm_release_replaced(const struct vmb_mapping *mappings, size_t count)
{
   for (size_t i = 0; i < count; i++) {
      struct vmb_gpuvm_bo *vm_bo = mappings[i].vm_bo;
      if (!vm_bo)
         continue;
      assert(vm_bo->record_count);
      if (--vm_bo->record_count == 0 && vm_bo->mapping_count == 0)
         vmb_gpuvm_bo_put_deferred(vm_bo);
   }
}

/* ------------------------------------------------------------------ change */

/* After an insertion into an ordinary leaf. */
static inline void
grown(struct node *leaf)
{
   static_assert((NODE_CAP - 2 - TILES_MIN) % TILES_STEP == 0, "tried when full");

   if (likely(leaf->count < TILES_MIN || (leaf->count - TILES_MIN) % TILES_STEP))
      return;
   /* Early only if all of the fence can be in the window: see split_cost(). */
   if (leaf->count + 2 < NODE_CAP && leaf->hi - leaf->lo > range_B(leaf->range[0]) * TILE_SPAN)
      return;
   leaf_to_tiles(leaf);
}

/* Inserts where nothing is; takes no reference. */
static void
insert_entry(struct vmb_gpuvm *gpuvm, const struct vmb_mapping *m)
{
   struct node *leaf = locate(gpuvm, m->addr_B);

   if (unlikely(vmb_mapping_end_B(m) > leaf->hi))
      extend_fence(leaf, vmb_mapping_end_B(m));
   if (leaf_has_tiles(leaf))
      leaf = make_tile_room(gpuvm, leaf, m);

   if (leaf_has_tiles(leaf)) {
      const unsigned place = tile_place(leaf, m->addr_B);

      tile_add(leaf, place);
      tile_set(leaf, place, m);
   } else {
      leaf = make_room(gpuvm, leaf, m->addr_B, vmb_mapping_end_B(m));
      const unsigned i = lower_bound(leaf->key, leaf->count, m->addr_B);

      entry_insert(leaf, i, m);
      gpuvm->hint = i + 1;
      grown(leaf);
   }
   gpuvm->mapping_count++;
   add_filter(leaf, id_filter(mapping_id(m)));
}

static void
insert_mapping(struct vmb_gpuvm *gpuvm, const struct vmb_mapping *m)
{
   entry_get(gpuvm, m->vm_bo);
   insert_entry(gpuvm, m);
}

/* Whether a tile of the leaf is on both sides of the address. */
static bool
cuts_tile(const struct node *leaf, uint64_t addr_B)
{
   if (!leaf_has_tiles(leaf) || addr_B < leaf->base)
      return false;
   const uint64_t place = tile_place(leaf, addr_B);
   return place < TILE_SPAN && leaf->tile[place] && leaf_addr(leaf, place) != addr_B;
}

/* Takes out the mappings from place i on that end by end_B. */
static void
remove_whole(struct vmb_gpuvm *gpuvm, struct node *leaf, unsigned i, uint64_t end_B,
             struct vmb_replaced *replaced)
{
   const unsigned count = leaf->count;
   unsigned last = i;

   while (last < leaf_places(leaf) && leaf_end(leaf, last) <= end_B) {
      const struct vmb_mapping old = get_mapping(gpuvm, leaf, last);

      entry_replaced(gpuvm, &old, replaced);
      if (leaf_has_tiles(leaf))
         tile_remove(leaf, last);
      last = leaf_from(leaf, last + 1);
   }
   if (!leaf_has_tiles(leaf) && last > i) {
      entries_move(leaf, i, leaf, last, count - last);
      leaf->count -= last - i;
   }
   gpuvm->mapping_count -= count - leaf->count;
}

/* Makes [addr, end) a hole, whatever is in it. */
static void
punch(struct vmb_gpuvm *gpuvm, uint64_t addr_B, uint64_t end_B, struct vmb_replaced *replaced)
{
   struct node *leaf = locate(gpuvm, addr_B);

   /* From here on only mappings of ordinary leaves are cut. */
   if (cuts_tile(leaf, addr_B))
      leaf = make_ordinary(gpuvm, leaf, addr_B);
   struct node *last = end_B <= leaf->hi ? leaf : locate(gpuvm, end_B);
   if (cuts_tile(last, end_B)) {
      make_ordinary(gpuvm, last, end_B);
      leaf = locate(gpuvm, addr_B);
   }

   unsigned i = hinted_overlap(gpuvm, leaf, addr_B);

   /* Cut the one that sticks out at the left. */
   if (i < leaf_places(leaf) && leaf_addr(leaf, i) < addr_B) {
      const struct vmb_mapping old = get_mapping(gpuvm, leaf, i);

      leaf->range[i] = pack_range(addr_B - old.addr_B, old.flags);
      entry_get(gpuvm, old.vm_bo);
      entry_replaced(gpuvm, &old, replaced);

      if (vmb_mapping_end_B(&old) > end_B) {
         const struct vmb_mapping next =
            vmb_mapping_clip(&old, end_B, vmb_mapping_end_B(&old));
         /* What comes between goes to the same leaf: one split for both. */
         make_room(gpuvm, leaf, addr_B, vmb_mapping_end_B(&old));
         insert_mapping(gpuvm, &next);
         return;
      }
      i++;
   }

   for (;;) {
      remove_whole(gpuvm, leaf, i, end_B, replaced);

      /* Cut the one that sticks out at the right. */
      i = leaf_from(leaf, i);
      if (i < leaf_places(leaf)) {
         if (leaf_addr(leaf, i) < end_B) {
            const struct vmb_mapping old = get_mapping(gpuvm, leaf, i);
            const struct vmb_mapping next =
               vmb_mapping_clip(&old, end_B, vmb_mapping_end_B(&old));

            entry_get(gpuvm, old.vm_bo);
            entry_replaced(gpuvm, &old, replaced);
            entry_set(leaf, i, &next);
         }
         shrink(gpuvm, leaf);
         return;
      }

      struct node *next = leaf->next;
      if (!next || leaf_addr(next, leaf_from(next, 0)) >= end_B) {
         shrink(gpuvm, leaf);
         return;
      }
      if (leaf->count == 0)
         remove_leaf(gpuvm, leaf);
      leaf = next;
      i = leaf_from(leaf, 0);
   }
}

/* Maps into a tile leaf if the mapping can be one of its tiles, there and now. */
static inline bool
map_tile(struct vmb_gpuvm *gpuvm, struct node *leaf, const struct vmb_mapping *map,
         struct vmb_replaced *replaced)
{
   const uint64_t place = tile_place(leaf, map->addr_B);

   if (place >= TILE_SPAN || !tile_shaped(leaf, map) || vmb_mapping_end_B(map) > leaf->hi)
      return false;
   if (leaf->tile[place]) {
      const struct vmb_mapping old = get_mapping(gpuvm, leaf, place);

      entry_get(gpuvm, map->vm_bo);
      entry_replaced(gpuvm, &old, replaced);
   } else {
      if (leaf->count == TILE_CAP)
         return false;
      entry_get(gpuvm, map->vm_bo);
      tile_add(leaf, place);
      gpuvm->mapping_count++;
   }
   tile_set(leaf, place, map);
   add_filter(leaf, id_filter(mapping_id(map)));
   return true;
}

/* Maps over a part of the mapping at place i of an ordinary leaf: what is left of that stays on one side, or on
 * both. */
static void
map_into(struct vmb_gpuvm *gpuvm, struct node *leaf, unsigned i, const struct vmb_mapping *map,
         struct vmb_replaced *replaced)
{
   const struct vmb_mapping old = get_mapping(gpuvm, leaf, i);
   const uint64_t end_B = vmb_mapping_end_B(map), old_end_B = vmb_mapping_end_B(&old);
   const unsigned before = old.addr_B < map->addr_B, behind = old_end_B > end_B;

   entries_move(leaf, i + 1 + before + behind, leaf, i + 1, leaf->count - i - 1);
   if (before) {
      leaf->range[i] = pack_range(map->addr_B - old.addr_B, old.flags);
      entry_get(gpuvm, old.vm_bo);
   }
   if (behind) {
      const struct vmb_mapping next = vmb_mapping_clip(&old, end_B, old_end_B);

      entry_set(leaf, i + before + 1, &next);
      entry_get(gpuvm, old.vm_bo);
   }
   entry_get(gpuvm, map->vm_bo);
   entry_set(leaf, i + before, map);
   entry_replaced(gpuvm, &old, replaced);
   leaf->count += before + behind;
   gpuvm->mapping_count += before + behind;
   gpuvm->hint = i + before + 1;
   add_filter(leaf, id_filter(mapping_id(map)));
   grown(leaf);
}

/* Maps into an ordinary leaf if that concerns one mapping at most and there is room. */
static inline bool
map_entry(struct vmb_gpuvm *gpuvm, struct node *leaf, const struct vmb_mapping *map,
          struct vmb_replaced *replaced)
{
   const uint64_t addr_B = map->addr_B, end_B = vmb_mapping_end_B(map);
   const unsigned i = hinted_bound(gpuvm, leaf, addr_B);

   /* Exactly over an old one: the place stays. */
   if (i < leaf->count && leaf->key[i] == addr_B && leaf_end(leaf, i) == end_B) {
      const struct vmb_mapping old = get_mapping(gpuvm, leaf, i);

      entry_get(gpuvm, map->vm_bo);
      entry_set(leaf, i, map);
      add_filter(leaf, id_filter(mapping_id(map)));
      entry_replaced(gpuvm, &old, replaced);
      return true;
   }

   if (leaf->count + 2 > NODE_CAP)
      return false;
   const unsigned first = leaf_overlap_at(leaf, i, addr_B);
   if (first < leaf->count && leaf->key[first] <= addr_B && leaf_end(leaf, first) >= end_B) {
      map_into(gpuvm, leaf, first, map, replaced);
      return true;
   }
   if (first < i || end_B > (i < leaf->count ? leaf->key[i] : leaf->hi))
      return false;

   entry_get(gpuvm, map->vm_bo);
   entry_insert(leaf, i, map);
   gpuvm->hint = i + 1;
   gpuvm->mapping_count++;
   add_filter(leaf, id_filter(mapping_id(map)));
   grown(leaf);
   return true;
}

void
vmb_gpuvm_map(struct vmb_gpuvm *gpuvm, const struct vmb_mapping *map,
              struct vmb_replaced *replaced)
{
   assert(vmb_gpuvm_range_valid(gpuvm, map->addr_B, map->range_B));
   assert(!map->vm_bo == !!(map->flags & VMB_MAPPING_NULL));

   /* Nobody knows whether it was bound before the pages went, or after. */
   struct vmb_mapping invalidated;
   if (unlikely(map->vm_bo && map->vm_bo->evicted)) {
      invalidated = *map;
      invalidated.flags |= VMB_MAPPING_INVALIDATED;
      map = &invalidated;
   }

   struct node *leaf = locate(gpuvm, map->addr_B);
   const bool done = leaf_has_tiles(leaf) ? map_tile(gpuvm, leaf, map, replaced)
                                          : map_entry(gpuvm, leaf, map, replaced);
   if (unlikely(!done)) {
      punch(gpuvm, map->addr_B, vmb_mapping_end_B(map), replaced);
      insert_mapping(gpuvm, map);
   }
}

void
vmb_gpuvm_unmap(struct vmb_gpuvm *gpuvm, uint64_t addr_B, uint64_t range_B,
                struct vmb_replaced *replaced)
{
   const uint64_t end_B = addr_B + range_B;

   assert(vmb_gpuvm_range_valid(gpuvm, addr_B, range_B));

   /* Exactly one tile, as most often in a leaf of tiles. */
   struct node *leaf = locate(gpuvm, addr_B);
   if (leaf_has_tiles(leaf) && range_B == 1ull << leaf->tile_shift &&
       ((addr_B - leaf->base) & (range_B - 1)) == 0 && tile_place(leaf, addr_B) < TILE_SPAN &&
       end_B <= leaf->hi) {
      const unsigned place = tile_place(leaf, addr_B);

      if (leaf->tile[place]) {
         const struct vmb_mapping old = get_mapping(gpuvm, leaf, place);

         entry_replaced(gpuvm, &old, replaced);
         tile_remove(leaf, place);
         gpuvm->mapping_count--;
         shrink(gpuvm, leaf);
      }
      return;
   }
   punch(gpuvm, addr_B, end_B, replaced);
}

void
vmb_gpuvm_undo(struct vmb_gpuvm *gpuvm, uint64_t addr_B, uint64_t range_B,
               const struct vmb_mapping *replaced, size_t count)
{
   uint64_t lo = addr_B, hi = addr_B + range_B;

   /* The pieces that were left of cut mappings go too. */
   if (count) {
      lo = MIN2(lo, replaced[0].addr_B);
      hi = MAX2(hi, vmb_mapping_end_B(&replaced[count - 1]));
   }
   punch(gpuvm, lo, hi, NULL);

   for (size_t i = 0; i < count; i++) {
      struct vmb_gpuvm_bo *vm_bo = replaced[i].vm_bo;

      /* The record's reference moves into the tree. */
      if (vm_bo && !gpuvm->snapshot) {
         vm_bo->mapping_count++;
         vm_bo->record_count--;
      }
      insert_entry(gpuvm, &replaced[i]);
   }
}

static bool
req_valid(const struct vmb_gpuvm *gpuvm, const struct vmb_gpuvm_req *req)
{
   const struct vmb_mapping *m = &req->map;

   if (!vmb_gpuvm_range_valid(gpuvm, m->addr_B, m->range_B))
      return false;
   if (req->unmap)
      return true;
   if (!m->vm_bo != !!(m->flags & VMB_MAPPING_NULL))
      return false;
   if (m->vm_bo && m->vm_bo->gpuvm != gpuvm && !gpuvm->snapshot)
      return false;
   return (m->offset_B & (gpuvm->params.page_size_B - 1)) == 0 && m->offset_B < MAX_OFFSET_B;
}

/* The number of times that a leaf may be split for requests in ascending order, beyond one for every
 * ADDS_A_SPLIT mappings that they add to it.  An ordinary leaf splits when it would overflow, or
 * becomes one of tiles.  That is halved until ORDINARY_MAX are left, and loses what is beside its
 * tiles at either end.  One that is smaller is made ordinary on the spot. */
#define MOST_SPLITS  5
#define ADDS_A_SPLIT 6

static size_t
split_cost(const struct node *leaf)
{
   if (!leaf_has_tiles(leaf))
      return leaf->count <= ORDINARY_MAX / 2 ? 0 : 4;
   return leaf->count <= ORDINARY_MAX / 2 ? 0 : leaf->count <= 3 * ORDINARY_MAX / 2 ? 3 : MOST_SPLITS;
}

/* Splits of one request, whatever it meets: of a tile leaf at each of its ends, of
 * an ordinary one for what is inserted. */
#define REQUEST_SPLITS 6

/* Nodes that so many splits of leaves can take. */
static size_t
nodes_for(const struct vmb_gpuvm *gpuvm, size_t splits)
{
   /* Every inner node there is, on the ways down to the leaves that split, may split once. */
   return splits + splits / 31 + MIN2(splits * gpuvm->height, gpuvm->inner_count) +
          gpuvm->height + 2;
}

/* The mappings of a leaf from place i on that start before end_B. */
static size_t
count_below(const struct node *leaf, unsigned i, uint64_t end_B)
{
   size_t count = 0;

   for (; i < leaf_places(leaf) && leaf_addr(leaf, i) < end_B; i = leaf_from(leaf, i + 1))
      count++;
   return count;
}

/* The nodes that the requests can take, and what they replace at most; both_ways: with what takes
 * them back. */
static size_t
count_nodes(struct vmb_gpuvm *gpuvm, const struct vmb_gpuvm_req *reqs, size_t count,
            bool both_ways, size_t *replaced_out)
{
   size_t splits = MOST_SPLITS, adds = 0;
   /* What is before it is counted. */
   uint64_t counted_B = 0, max_end_B = 0;
   const struct node *leaf = NULL;
   bool sorted = true;

   for (size_t r = 0; r < count; r++) {
      const uint64_t addr_B = reqs[r].map.addr_B;
      const uint64_t end_B = vmb_mapping_end_B(&reqs[r].map);

      sorted &= addr_B >= max_end_B;
      max_end_B = MAX2(max_end_B, end_B);

      if (!leaf || !in_fence(leaf, addr_B))
         leaf = locate(gpuvm, addr_B);
      unsigned i = hinted_overlap(gpuvm, leaf, addr_B);
      /* The new one, and what is left of one that is cut in the middle. */
      adds += !reqs[r].unmap;
      adds += i < leaf_places(leaf) && leaf_addr(leaf, i) < addr_B && leaf_end(leaf, i) > end_B;
      for (;;) {
         if (leaf->lo >= counted_B) {
            splits += split_cost(leaf);
            counted_B = leaf->hi;
         }
         *replaced_out += count_below(leaf, i, end_B);
         if (leaf->hi >= end_B)
            break;
         leaf = leaf->next;
         i = leaf_from(leaf, 0);
      }
   }

   if (!sorted) {
      /* Later requests meet what earlier ones leave: the new mapping and two
       * pieces each, every one of which is replaced at most once; and no leaf
       * is known. */
      splits += REQUEST_SPLITS * count;
      *replaced_out += 3 * count;
   }
   splits += adds / ADDS_A_SPLIT;
   splits = MIN2(splits, REQUEST_SPLITS * count);
   if (both_ways) {
      /* What was replaced comes back, in ascending order as well, to leaves that may be as full again. */
      const size_t back = *replaced_out;
      splits = MIN2(2 * (splits + back / ADDS_A_SPLIT), REQUEST_SPLITS * (2 * count + back));
   }
   return nodes_for(gpuvm, splits);
}

/* The most that the pool keeps beyond what is needed now.  It shrinks slowly: between large batches there may be
 * small ones, and memory that went back to the system would have to come from there again, page by page. */
static size_t
pool_limit(const struct vmb_gpuvm *gpuvm, size_t want)
{
   if (!POOL_SLACK)
      return want;
   const size_t limit = MAX2(2 * want, gpuvm->leaf_count / 4) + 2 * POOL_SLACK;
   return MAX2(limit, gpuvm->pool_count - gpuvm->pool_count / POOL_DECAY);
}

static int
reserve(struct vmb_gpuvm *gpuvm, const struct vmb_gpuvm_req *reqs, size_t count, bool both_ways,
        size_t *replaced_out)
{
   size_t replaced = 0;

   const size_t want = count_nodes(gpuvm, reqs, count, both_ways, &replaced);
   const int ret = pool_fill(gpuvm, want);
   if (ret)
      return ret;
   /* What is not there for the slack is not needed. */
   (void)pool_fill(gpuvm, POOL_SLACK);
   pool_trim(gpuvm, pool_limit(gpuvm, want));

   if (replaced_out)
      *replaced_out = replaced;
   return 0;
}

static bool
reqs_valid(const struct vmb_gpuvm *gpuvm, const struct vmb_gpuvm_req *reqs, size_t count)
{
   for (size_t r = 0; r < count; r++) {
      if (!req_valid(gpuvm, &reqs[r]))
         return false;
   }
   return true;
}

int
vmb_gpuvm_reserve(struct vmb_gpuvm *gpuvm, const struct vmb_gpuvm_req *reqs, size_t count,
                  size_t *replaced_out)
{
   if (!reqs_valid(gpuvm, reqs, count))
      return -EINVAL;
   /* Few requests, which the pool's slack covers whatever they meet. */
   if (!replaced_out && count <= 4 &&
       gpuvm->pool_count >= count * (REQUEST_SPLITS + 2 * (gpuvm->height + 2)))
      return 0;
   return reserve(gpuvm, reqs, count, false, replaced_out);
}

int
vmb_gpuvm_reserve_both_ways(struct vmb_gpuvm *gpuvm, const struct vmb_gpuvm_req *reqs,
                            size_t count, size_t *replaced_out)
{
   return reqs_valid(gpuvm, reqs, count) ? reserve(gpuvm, reqs, count, true, replaced_out)
                                         : -EINVAL;
}

int
vmb_gpuvm_reserve_undo(struct vmb_gpuvm *gpuvm, size_t replaced)
{
   /* What comes back does so in order, into one hole. */
   return pool_fill(gpuvm, nodes_for(gpuvm, REQUEST_SPLITS + replaced / ADDS_A_SPLIT));
}

/* Cuts what is at the address, so that flags can differ on its two sides. */
static void
cut_at(struct vmb_gpuvm *gpuvm, uint64_t addr_B, bool with_bo)
{
   struct node *leaf = locate(gpuvm, addr_B);

   if (leaf_has_tiles(leaf)) {
      const bool is_null = leaf->tile_range & VMB_MAPPING_NULL;

      if (leaf_addr(leaf, tile_from(leaf, 0)) >= addr_B ||
          leaf_end(leaf, tile_last(leaf)) <= addr_B || !(is_null || with_bo))
         return;
      leaf = make_ordinary(gpuvm, leaf, addr_B);
   }

   const unsigned i = hinted_overlap(gpuvm, leaf, addr_B);
   /* gcc 14 takes it for a place of a tile leaf. */
   assume(i <= NODE_CAP);
   if (i == leaf->count || leaf->key[i] >= addr_B)
      return;
   const struct vmb_mapping old = get_mapping(gpuvm, leaf, i);
   if (old.vm_bo && !with_bo)
      return;
   const struct vmb_mapping next = vmb_mapping_clip(&old, addr_B, vmb_mapping_end_B(&old));
   leaf->range[i] = pack_range(addr_B - old.addr_B, old.flags);
   /* Not insert_mapping(): the two pieces may be tiles like all the others, of a leaf that would have both
    * sides. */
   leaf = make_room(gpuvm, leaf, addr_B, vmb_mapping_end_B(&next));
   entry_insert(leaf, lower_bound(leaf->key, leaf->count, addr_B), &next);
   entry_get(gpuvm, next.vm_bo);
   gpuvm->mapping_count++;
   add_filter(leaf, id_filter(mapping_id(&next)));
}

int
vmb_gpuvm_set_flags(struct vmb_gpuvm *gpuvm, uint64_t addr_B, uint64_t range_B, uint16_t set,
                    uint16_t clear, bool with_bo)
{
   const uint64_t end_B = addr_B + range_B;
   const struct vmb_gpuvm_req req = {
      .map = { .addr_B = addr_B, .range_B = range_B },
      .unmap = true,
   };

   if (((set | clear) & (VMB_MAPPING_NULL | VMB_MAPPING_INVALIDATED)) != 0)
      return -EINVAL;
   const int ret = vmb_gpuvm_reserve(gpuvm, &req, 1, NULL);
   if (ret)
      return ret;

   /* Cut at the two ends, then change in place.  What is left of tile leaves is inside
    * of the range or outside. */
   cut_at(gpuvm, addr_B, with_bo);
   cut_at(gpuvm, end_B, with_bo);
   for (struct node *leaf = locate(gpuvm, addr_B); leaf && leaf->lo < end_B; leaf = leaf->next) {
      unsigned i = hinted_overlap(gpuvm, leaf, addr_B);

      if (i == leaf_places(leaf) || leaf_addr(leaf, i) >= end_B)
         continue;
      if (leaf_has_tiles(leaf)) {
         if ((leaf->tile_range & VMB_MAPPING_NULL) || with_bo)
            leaf->tile_range = (leaf->tile_range & ~(uint64_t)clear) | set;
         continue;
      }
      for (; i < leaf->count && leaf->key[i] < end_B; i++) {
         if ((leaf->back[i] & ID_MASK) == 0 || with_bo)
            leaf->range[i] = (leaf->range[i] & ~(uint64_t)clear) | set;
      }
   }
   return 0;
}

/* ------------------------------------------------------------------- steps */

void
vmb_gpuvm_foreach_step(struct vmb_gpuvm *gpuvm, const struct vmb_gpuvm_req *req, vmb_step_fn fn,
                       void *data)
{
   const struct vmb_mapping *map = &req->map;
   const uint64_t addr_B = map->addr_B, end_B = vmb_mapping_end_B(map);
   struct vmb_gpuvm_iter iter;
   struct vmb_mapping old;

   vmb_gpuvm_iter_init(gpuvm, &iter, addr_B, end_B);
   while (vmb_gpuvm_iter_next(&iter, &old)) {
      struct vmb_step step = { .type = VMB_STEP_UNMAP, .map = old };

      if (old.addr_B < addr_B) {
         step.type = VMB_STEP_REMAP;
         step.prev = vmb_mapping_clip(&old, old.addr_B, addr_B);
      }
      if (vmb_mapping_end_B(&old) > end_B) {
         step.type = VMB_STEP_REMAP;
         step.next = vmb_mapping_clip(&old, end_B, vmb_mapping_end_B(&old));
      }
      if (!req->unmap && old.vm_bo && old.vm_bo == map->vm_bo) {
         const uint64_t start_B = MAX2(old.addr_B, addr_B);
         step.keep =
            vmb_mapping_offset_at(&old, start_B) == vmb_mapping_offset_at(map, start_B);
      }
      fn(&step, data);
   }

   if (!req->unmap) {
      const struct vmb_step step = { .type = VMB_STEP_MAP, .map = *map };
      fn(&step, data);
   }
}

/* ------------------------------------------------------------------ lookup */

bool
vmb_gpuvm_find(struct vmb_gpuvm *gpuvm, uint64_t addr_B, struct vmb_mapping *map_out)
{
   const struct node *leaf = descend(gpuvm, addr_B);
   const unsigned i = leaf_overlap(leaf, addr_B);

   if (i == leaf_places(leaf) || leaf_addr(leaf, i) > addr_B)
      return false;
   *map_out = get_mapping(gpuvm, leaf, i);
   return true;
}

void
vmb_gpuvm_iter_init(struct vmb_gpuvm *gpuvm, struct vmb_gpuvm_iter *iter, uint64_t addr_B,
                    uint64_t end_B)
{
   const struct node *leaf = descend(gpuvm, addr_B);

   iter->gpuvm = gpuvm;
   iter->leaf = leaf;
   iter->index = leaf_overlap(leaf, addr_B);
   iter->end_B = end_B;
}

void
vmb_gpuvm_iter_move(struct vmb_gpuvm_iter *iter, uint64_t addr_B, uint64_t end_B)
{
   const struct node *leaf = iter->leaf;
   const unsigned i = iter->index;

   if (!in_fence(leaf, addr_B)) {
      vmb_gpuvm_iter_init(iter->gpuvm, iter, addr_B, end_B);
      return;
   }
   iter->end_B = end_B;
   if (leaf_has_tiles(leaf)) {
      iter->index = tile_overlap(leaf, addr_B);
      return;
   }
   /* Often what it has found last reaches here. */
   if (i > 0 && leaf->key[i - 1] <= addr_B && leaf_end(leaf, i - 1) > addr_B)
      iter->index = i - 1;
   else
      iter->index = leaf_overlap(leaf, addr_B);
}

bool
vmb_gpuvm_iter_next(struct vmb_gpuvm_iter *iter, struct vmb_mapping *map_out)
{
   const struct node *leaf = iter->leaf;
   unsigned i = iter->index;

   if (i == leaf_places(leaf)) {
      leaf = leaf->next;
      if (!leaf)
         return false;
      i = leaf_from(leaf, 0);
   }
   if (leaf_addr(leaf, i) >= iter->end_B)
      return false;
   *map_out = get_mapping(iter->gpuvm, leaf, i);
   iter->leaf = leaf;
   iter->index = leaf_from(leaf, i + 1);
   return true;
}

bool
vmb_gpuvm_next_hole(struct vmb_gpuvm *gpuvm, uint64_t *addr_B, uint64_t end_B,
                    uint64_t *hole_B_out, uint64_t *hole_range_B_out)
{
   struct vmb_gpuvm_iter iter;
   struct vmb_mapping m;
   uint64_t at_B = *addr_B;

   if (at_B >= end_B)
      return false;
   vmb_gpuvm_iter_init(gpuvm, &iter, at_B, end_B);
   while (vmb_gpuvm_iter_next(&iter, &m)) {
      if (m.addr_B > at_B) {
         *hole_B_out = at_B;
         *hole_range_B_out = m.addr_B - at_B;
         *addr_B = vmb_mapping_end_B(&m);
         return true;
      }
      at_B = vmb_mapping_end_B(&m);
   }
   *addr_B = end_B;
   if (at_B >= end_B)
      return false;
   *hole_B_out = at_B;
   *hole_range_B_out = end_B - at_B;
   return true;
}

static void
bo_foreach_below(struct vmb_gpuvm_bo *vm_bo, const struct node *node,
                 void (*fn)(const struct vmb_mapping *map, void *data), void *data)
{
   if (node->kind == NODE_INNER) {
      for (unsigned i = 0; i < node->count; i++) {
         if (node->child_filter[i] & id_filter(vm_bo->id))
            bo_foreach_below(vm_bo, node->child[i], fn, data);
      }
      return;
   }
   for (unsigned i = leaf_from(node, 0); i < leaf_places(node); i = leaf_from(node, i + 1)) {
      if (leaf_id(node, i) == vm_bo->id) {
         const struct vmb_mapping m = get_mapping(vm_bo->gpuvm, node, i);
         fn(&m, data);
      }
   }
}

void
vmb_gpuvm_bo_foreach(struct vmb_gpuvm_bo *vm_bo,
                     void (*fn)(const struct vmb_mapping *map, void *data), void *data)
{
   if (vm_bo->mapping_count)
      bo_foreach_below(vm_bo, vm_bo->gpuvm->root, fn, data);
}

/* The first leaf under node that holds an entry of the vm_bo.  Cleans the
 * filters that turn out to be stale. */
static struct node *
find_bo_leaf(struct node *node, uint32_t id)
{
   if (node->kind == NODE_INNER) {
      for (unsigned i = 0; i < node->count; i++) {
         if (node->child_filter[i] & id_filter(id)) {
            struct node *leaf = find_bo_leaf(node->child[i], id);
            if (leaf)
               return leaf;
         }
      }
   } else {
      for (unsigned i = leaf_from(node, 0); i < leaf_places(node); i = leaf_from(node, i + 1)) {
         if (leaf_id(node, i) == id)
            return node;
      }
   }
   compute_filter(node);
   return NULL;
}

void
vmb_gpuvm_bo_unmap_all(struct vmb_gpuvm_bo *vm_bo, struct vmb_replaced *replaced)
{
   struct vmb_gpuvm *gpuvm = vm_bo->gpuvm;

   /* Dropping the last entry would put the vm_bo. */
   vmb_gpuvm_bo_get(vm_bo);
   while (vm_bo->mapping_count) {
      struct node *leaf = find_bo_leaf(gpuvm->root, vm_bo->id);
      const unsigned count = leaf->count;
      unsigned kept = 0;

      for (unsigned i = leaf_from(leaf, 0); i < leaf_places(leaf); i = leaf_from(leaf, i + 1)) {
         if (leaf_id(leaf, i) == vm_bo->id) {
            const struct vmb_mapping old = get_mapping(gpuvm, leaf, i);
            entry_replaced(gpuvm, &old, replaced);
            if (leaf_has_tiles(leaf))
               tile_remove(leaf, i);
         } else if (!leaf_has_tiles(leaf)) {
            entries_move(leaf, kept++, leaf, i, 1);
         }
      }
      if (!leaf_has_tiles(leaf))
         leaf->count = kept;
      gpuvm->mapping_count -= count - leaf->count;
      compute_filter(leaf);
      shrink(gpuvm, leaf);
   }
   vmb_gpuvm_bo_put_deferred(vm_bo);
}

size_t
vmb_gpuvm_mapping_count(const struct vmb_gpuvm *gpuvm)
{
   return gpuvm->mapping_count;
}

size_t
vmb_gpuvm_memory_B(const struct vmb_gpuvm *gpuvm)
{
   return sizeof(*gpuvm) +
          (gpuvm->leaf_count + gpuvm->inner_count + gpuvm->pool_count) * sizeof(struct node) +
          gpuvm->bo_capacity * (sizeof(gpuvm->bos[0]) + sizeof(gpuvm->free_ids[0]));
}

/* ------------------------------------------------------------------- vm_bo */

static int
id_alloc(struct vmb_gpuvm *gpuvm, uint32_t *id_out)
{
   if (gpuvm->free_id_count) {
      *id_out = gpuvm->free_ids[--gpuvm->free_id_count];
      return 0;
   }
   if (gpuvm->bo_count == gpuvm->bo_capacity) {
      const uint32_t capacity = gpuvm->bo_capacity * 2;
      if (capacity > ID_MASK)
         return -ENOMEM;

      /* The free list never holds more than the table: grow it first, so that
       * freeing an id cannot fail. */
      uint32_t *free_ids = realloc(gpuvm->free_ids, capacity * sizeof(*free_ids));
      if (!free_ids)
         return -ENOMEM;
      gpuvm->free_ids = free_ids;
      struct vmb_gpuvm_bo **bos = realloc(gpuvm->bos, capacity * sizeof(*bos));
      if (!bos)
         return -ENOMEM;
      gpuvm->bos = bos;
      gpuvm->bo_capacity = capacity;
   }
   *id_out = gpuvm->bo_count++;
   return 0;
}

int
vmb_gpuvm_bo_prealloc(struct vmb_gpuvm *gpuvm, struct vmb_gpuvm_obj *obj, bool external,
                      struct vmb_gpuvm_bo **vm_bo_out)
{
   if (external && gpuvm->params.weak)
      return -EINVAL;

   struct vmb_gpuvm_bo *vm_bo = calloc(1, sizeof(*vm_bo));
   if (!vm_bo)
      return -ENOMEM;
   const int ret = id_alloc(gpuvm, &vm_bo->id);
   if (ret) {
      free(vm_bo);
      return ret;
   }

   vm_bo->gpuvm = vmb_gpuvm_ref(gpuvm);
   vm_bo->obj = obj;
   vm_bo->refcount = 1;
   vm_bo->external = external;
   list_inithead(&vm_bo->obj_link);
   list_inithead(&vm_bo->extobj_link);
   list_inithead(&vm_bo->evict_link);
   gpuvm->bos[vm_bo->id] = vm_bo;
   if (!gpuvm->params.weak)
      obj->ref(obj);

   *vm_bo_out = vm_bo;
   return 0;
}

/* The object's lock is held. */
static struct vmb_gpuvm_bo *
find_locked(struct vmb_gpuvm *gpuvm, struct vmb_gpuvm_obj *obj)
{
   list_for_each_entry(struct vmb_gpuvm_bo, vm_bo, &obj->vm_bos, obj_link) {
      if (vm_bo->gpuvm == gpuvm)
         return vm_bo;
   }
   return NULL;
}

struct vmb_gpuvm_bo *
vmb_gpuvm_bo_find(struct vmb_gpuvm *gpuvm, struct vmb_gpuvm_obj *obj)
{
   mtx_lock(&obj->lock);
   struct vmb_gpuvm_bo *vm_bo = find_locked(gpuvm, obj);
   mtx_unlock(&obj->lock);
   return vm_bo;
}

struct vmb_gpuvm_bo *
vmb_gpuvm_bo_obtain_prealloc(struct vmb_gpuvm_bo *prealloc)
{
   struct vmb_gpuvm *gpuvm = prealloc->gpuvm;
   struct vmb_gpuvm_obj *obj = prealloc->obj;

   mtx_lock(&obj->lock);
   struct vmb_gpuvm_bo *vm_bo = find_locked(gpuvm, obj);
   if (vm_bo) {
      vmb_gpuvm_bo_get(vm_bo);
   } else {
      list_addtail(&prealloc->obj_link, &obj->vm_bos);
      prealloc->userptr_seq = obj->userptr_seq;
   }
   mtx_unlock(&obj->lock);

   if (vm_bo) {
      vmb_gpuvm_bo_put(prealloc);
      return vm_bo;
   }
   if (prealloc->external) {
      list_addtail(&prealloc->extobj_link, &gpuvm->extobjs);
      gpuvm->extobj_count++;
   }
   return prealloc;
}

int
vmb_gpuvm_bo_obtain(struct vmb_gpuvm *gpuvm, struct vmb_gpuvm_obj *obj, bool external,
                    struct vmb_gpuvm_bo **vm_bo_out)
{
   if (external && gpuvm->params.weak)
      return -EINVAL;

   struct vmb_gpuvm_bo *vm_bo = vmb_gpuvm_bo_find(gpuvm, obj);
   if (vm_bo) {
      *vm_bo_out = vmb_gpuvm_bo_get(vm_bo);
      return 0;
   }
   const int ret = vmb_gpuvm_bo_prealloc(gpuvm, obj, external, &vm_bo);
   if (ret)
      return ret;
   *vm_bo_out = vmb_gpuvm_bo_obtain_prealloc(vm_bo);
   return 0;
}

struct vmb_gpuvm_bo *
vmb_gpuvm_bo_get(struct vmb_gpuvm_bo *vm_bo)
{
   p_atomic_inc(&vm_bo->refcount);
   return vm_bo;
}

/* No longer to be found: by the BO, by id, in any list. */
static void
vm_bo_unlink(struct vmb_gpuvm_bo *vm_bo)
{
   struct vmb_gpuvm *gpuvm = vm_bo->gpuvm;

   if (vm_bo->obj) {
      mtx_lock(&vm_bo->obj->lock);
      list_delinit(&vm_bo->obj_link);
      mtx_unlock(&vm_bo->obj->lock);
   }
   if (!list_is_empty(&vm_bo->extobj_link)) {
      list_delinit(&vm_bo->extobj_link);
      gpuvm->extobj_count--;
   }
   list_delinit(&vm_bo->evict_link);
   gpuvm->bos[vm_bo->id] = NULL;
   gpuvm->free_ids[gpuvm->free_id_count++] = vm_bo->id;
}

static void
vm_bo_free(struct vmb_gpuvm_bo *vm_bo)
{
   struct vmb_gpuvm *gpuvm = vm_bo->gpuvm;
   struct vmb_gpuvm_obj *obj = vm_bo->obj;

   free(vm_bo);
   if (!gpuvm->params.weak)
      obj->unref(obj);
   vmb_gpuvm_unref(gpuvm);
}

void
vmb_gpuvm_bo_put(struct vmb_gpuvm_bo *vm_bo)
{
   if (p_atomic_dec_zero(&vm_bo->refcount)) {
      vm_bo_unlink(vm_bo);
      vm_bo_free(vm_bo);
   }
}

void
vmb_gpuvm_bo_put_deferred(struct vmb_gpuvm_bo *vm_bo)
{
   if (p_atomic_dec_zero(&vm_bo->refcount)) {
      struct vmb_gpuvm *gpuvm = vm_bo->gpuvm;

      vm_bo_unlink(vm_bo);
      vm_bo->defer_next = gpuvm->deferred;
      gpuvm->deferred = vm_bo;
   }
}

struct vmb_gpuvm_bo *
vmb_gpuvm_bo_take_deferred(struct vmb_gpuvm *gpuvm)
{
   struct vmb_gpuvm_bo *list = gpuvm->deferred;
   gpuvm->deferred = NULL;
   return list;
}

void
vmb_gpuvm_bo_free_deferred(struct vmb_gpuvm_bo *list)
{
   while (list) {
      struct vmb_gpuvm_bo *next = list->defer_next;
      vm_bo_free(list);
      list = next;
   }
}

/* -------------------------------------------- external, evicted and userptr */

struct list_head *
vmb_gpuvm_extobjs(struct vmb_gpuvm *gpuvm)
{
   return gpuvm->params.weak ? NULL : &gpuvm->extobjs;
}

unsigned
vmb_gpuvm_extobj_count(const struct vmb_gpuvm *gpuvm)
{
   return gpuvm->extobj_count;
}

struct list_head *
vmb_gpuvm_evicted(struct vmb_gpuvm *gpuvm)
{
   return gpuvm->params.weak ? NULL : &gpuvm->evicted;
}

static void
mark_below(struct node *node, uint32_t id, bool invalidated)
{
   if (node->kind != NODE_INNER) {
      leaf_mark(node, id, invalidated);
      return;
   }
   for (unsigned i = 0; i < node->count; i++) {
      if (node->child_filter[i] & id_filter(id))
         mark_below(node->child[i], id, invalidated);
   }
}

int
vmb_gpuvm_bo_set_evicted(struct vmb_gpuvm_bo *vm_bo, bool evicted)
{
   struct vmb_gpuvm *gpuvm = vm_bo->gpuvm;

   if (gpuvm->params.weak)
      return -EINVAL;
   if (vm_bo->evicted == evicted)
      return 0;

   vm_bo->evicted = evicted;
   if (evicted)
      list_addtail(&vm_bo->evict_link, &gpuvm->evicted);
   else
      list_delinit(&vm_bo->evict_link);
   mark_below(gpuvm->root, vm_bo->id, evicted);
   return 0;
}

int
vmb_gpuvm_userptr_invalidate(struct vmb_gpuvm *gpuvm, struct vmb_gpuvm_obj *obj)
{
   if (gpuvm->params.weak)
      return -EINVAL;

   mtx_lock(&obj->lock);
   obj->userptr_seq++;
   struct vmb_gpuvm_bo *vm_bo = find_locked(gpuvm, obj);
   mtx_unlock(&obj->lock);

   return vm_bo ? vmb_gpuvm_bo_set_evicted(vm_bo, true) : 0;
}

uint64_t
vmb_gpuvm_userptr_begin(struct vmb_gpuvm_bo *vm_bo)
{
   mtx_lock(&vm_bo->obj->lock);
   const uint64_t seq = vm_bo->obj->userptr_seq;
   mtx_unlock(&vm_bo->obj->lock);
   return seq;
}

int
vmb_gpuvm_userptr_finish(struct vmb_gpuvm_bo *vm_bo, uint64_t seq)
{
   if (vmb_gpuvm_userptr_begin(vm_bo) != seq)
      return -EAGAIN;
   vm_bo->userptr_seq = seq;
   return vmb_gpuvm_bo_set_evicted(vm_bo, false);
}

/* ------------------------------------------------------------------- gpuvm */

bool
vmb_gpuvm_range_valid(const struct vmb_gpuvm *gpuvm, uint64_t addr_B, uint64_t range_B)
{
   const struct vmb_gpuvm_params *p = &gpuvm->params;

   if (!range_B || ((addr_B | range_B) & (p->page_size_B - 1)))
      return false;
   if (addr_B < p->va_start_B || addr_B >= gpuvm->end_B || range_B > gpuvm->end_B - addr_B)
      return false;
   return !p->kernel_range_B || addr_B >= p->kernel_start_B + p->kernel_range_B ||
          addr_B + range_B <= p->kernel_start_B;
}

int
vmb_gpuvm_create(const struct vmb_gpuvm_params *params, struct vmb_gpuvm **gpuvm_out)
{
   const uint64_t page_mask = params->page_size_B - 1;

   if (params->page_size_B < 1u << PAGE_SHIFT || (params->page_size_B & page_mask) ||
       !params->va_range_B || ((params->va_start_B | params->va_range_B) & page_mask) ||
       params->va_start_B > MAX_ADDR_B || params->va_range_B > MAX_ADDR_B - params->va_start_B)
      return -EINVAL;

   struct vmb_gpuvm *gpuvm = calloc(1, sizeof(*gpuvm));
   if (!gpuvm)
      return -ENOMEM;
   gpuvm->params = *params;
   gpuvm->end_B = params->va_start_B + params->va_range_B;
   gpuvm->refcount = 1;
   list_inithead(&gpuvm->extobjs);
   list_inithead(&gpuvm->evicted);

   gpuvm->bo_capacity = 16;
   gpuvm->bos = calloc(gpuvm->bo_capacity, sizeof(*gpuvm->bos));
   gpuvm->free_ids = calloc(gpuvm->bo_capacity, sizeof(*gpuvm->free_ids));
   gpuvm->bo_count = 1;
   if (!gpuvm->bos || !gpuvm->free_ids || pool_fill(gpuvm, 1)) {
      free(gpuvm->bos);
      free(gpuvm->free_ids);
      free(gpuvm);
      return -ENOMEM;
   }
   gpuvm->root = node_alloc(gpuvm, NODE_LEAF);
   gpuvm->root->hi = UINT64_MAX;

   *gpuvm_out = gpuvm;
   return 0;
}

struct vmb_gpuvm *
vmb_gpuvm_ref(struct vmb_gpuvm *gpuvm)
{
   p_atomic_inc(&gpuvm->refcount);
   return gpuvm;
}

void
vmb_gpuvm_unref(struct vmb_gpuvm *gpuvm)
{
   if (!p_atomic_dec_zero(&gpuvm->refcount))
      return;

   assert(gpuvm->mapping_count == 0 && !gpuvm->deferred);
   assert(gpuvm->root->kind != NODE_INNER);
   node_free(gpuvm, gpuvm->root);
   pool_trim(gpuvm, 0);
   free(gpuvm->bos);
   free(gpuvm->free_ids);
   free(gpuvm);
}

/* A copy of the node and all below it; \p last is the latest leaf that was copied. */
static struct node *
copy_below(struct vmb_gpuvm *copy, const struct node *node, struct node **last)
{
   struct node *to = node_alloc(copy, node->kind);

   *to = *node;
   to->parent = to->prev = to->next = NULL;
   if (node->kind == NODE_INNER) {
      for (unsigned i = 0; i < node->count; i++) {
         to->child[i] = copy_below(copy, node->child[i], last);
         to->child[i]->parent = to;
      }
      return to;
   }
   to->prev = *last;
   if (*last)
      (*last)->next = to;
   *last = to;
   return to;
}

int
vmb_gpuvm_snapshot(struct vmb_gpuvm *gpuvm, struct vmb_gpuvm **snapshot_out)
{
   struct node *last = NULL;
   struct vmb_gpuvm *copy;
   int ret = vmb_gpuvm_create(&gpuvm->params, &copy);
   if (ret)
      return ret;

   copy->snapshot = true;
   struct vmb_gpuvm_bo **bos = realloc(copy->bos, gpuvm->bo_capacity * sizeof(*bos));
   if (!bos) {
      ret = -ENOMEM;
      goto fail;
   }
   copy->bos = bos;
   memcpy(bos, gpuvm->bos, gpuvm->bo_count * sizeof(*bos));
   copy->bo_count = gpuvm->bo_count;
   copy->bo_capacity = gpuvm->bo_capacity;

   ret = pool_fill(copy, gpuvm->leaf_count + gpuvm->inner_count);
   if (ret)
      goto fail;
   node_free(copy, copy->root);
   copy->root = copy_below(copy, gpuvm->root, &last);
   copy->height = gpuvm->height;
   copy->mapping_count = gpuvm->mapping_count;

   *snapshot_out = copy;
   return 0;

fail:
   vmb_gpuvm_unref(copy);
   return ret;
}

const struct vmb_gpuvm_params *
vmb_gpuvm_get_params(const struct vmb_gpuvm *gpuvm)
{
   return &gpuvm->params;
}

void
vmb_gpuvm_clear(struct vmb_gpuvm *gpuvm)
{
   punch(gpuvm, gpuvm->params.va_start_B, gpuvm->end_B, NULL);
}

/* ------------------------------------------------------------------- check */

#define CHECK(cond)                                                                               \
   do {                                                                                           \
      if (!(cond)) {                                                                              \
         fprintf(stderr, "vmbind: gpuvm invariant broken: %s (%s:%d)\n", #cond, __FILE__,         \
                 __LINE__);                                                                       \
         abort();                                                                                 \
      }                                                                                           \
   } while (0)

struct check_state {
   const struct node *prev_leaf;
   uint64_t end_B;
   size_t mappings, leaves, inners;
};

/* Each slot belongs to one tile, or is free. */
static void
check_slots(const struct node *leaf)
{
   bool taken[TILE_CAP] = { false };
   unsigned count = 0;

   CHECK(leaf->tile_used <= TILE_CAP);
   for (unsigned i = tile_from(leaf, 0); i < TILE_SPAN; i = tile_from(leaf, i + 1)) {
      const unsigned slot = leaf->tile[i] - 1;

      CHECK(slot < leaf->tile_used && !taken[slot]);
      taken[slot] = true;
      count++;
   }
   for (unsigned next = leaf->tile_free; next; next = leaf->tile_offset[next - 1]) {
      CHECK(next <= leaf->tile_used && !taken[next - 1] && leaf->tile_back[next - 1] == 0);
      taken[next - 1] = true;
      count++;
   }
   CHECK(count == leaf->tile_used);
}

static void
check_below(struct vmb_gpuvm *gpuvm, const struct node *node, uint64_t lo, uint64_t hi,
            unsigned depth, struct check_state *state)
{
   CHECK(node->count <= (leaf_has_tiles(node) ? TILE_CAP : NODE_CAP));
   CHECK(node == gpuvm->root || node->count > 0);

   if (node->kind == NODE_INNER) {
      CHECK(depth < gpuvm->height);
      state->inners++;
      for (unsigned i = 0; i < node->count; i++) {
         const uint64_t child_lo = i ? node->key[i] : lo;
         const uint64_t child_hi = i + 1 < node->count ? node->key[i + 1] : hi;

         CHECK(child_lo < child_hi);
         CHECK(node->child[i]->parent == node);
         CHECK((node->child[i]->filter & ~node->child_filter[i]) == 0);
         CHECK((node->child_filter[i] & ~node->filter) == 0);
         check_below(gpuvm, node->child[i], child_lo, child_hi, depth + 1, state);
      }
      return;
   }

   CHECK(depth == gpuvm->height);
   CHECK(node->lo == lo && node->hi == hi);
   CHECK(node->prev == state->prev_leaf);
   CHECK(!node->prev || node->prev->next == node);
   state->prev_leaf = node;
   state->leaves++;
   state->mappings += node->count;
   unsigned count = 0;
   for (unsigned i = leaf_from(node, 0); i < leaf_places(node); i = leaf_from(node, i + 1)) {
      const struct vmb_mapping m = get_mapping(gpuvm, node, i);
      const uint32_t id = leaf_id(node, i);

      count++;
      CHECK(m.addr_B >= lo && vmb_mapping_end_B(&m) <= hi);
      CHECK(m.addr_B >= state->end_B);
      CHECK(vmb_gpuvm_range_valid(gpuvm, m.addr_B, m.range_B));
      CHECK(!m.vm_bo == !!(m.flags & VMB_MAPPING_NULL));
      CHECK(!id || (m.vm_bo && m.vm_bo->id == id));
      CHECK((id_filter(id) & ~node->filter) == 0);
      CHECK(!leaf_has_tiles(node) || (tile_shaped(node, &m) && tile_place(node, m.addr_B) == i));
      state->end_B = vmb_mapping_end_B(&m);
   }
   CHECK(count == node->count);
   if (leaf_has_tiles(node))
      check_slots(node);
}

static void
count_mapping(const struct vmb_mapping *m, void *data)
{
   (void)m;
   ++*(uint32_t *)data;
}

void
vmb_gpuvm_check(struct vmb_gpuvm *gpuvm)
{
   struct check_state state = { 0 };

   check_below(gpuvm, gpuvm->root, 0, UINT64_MAX, 0, &state);
   CHECK(!state.prev_leaf->next);
   CHECK(state.mappings == gpuvm->mapping_count);
   CHECK(state.leaves == gpuvm->leaf_count);
   CHECK(state.inners == gpuvm->inner_count);

   for (uint32_t id = 1; id < gpuvm->bo_count; id++) {
      struct vmb_gpuvm_bo *vm_bo = gpuvm->bos[id];
      uint32_t count = 0;

      if (!vm_bo)
         continue;
      vmb_gpuvm_bo_foreach(vm_bo, count_mapping, &count);
      CHECK(count == vm_bo->mapping_count);
      CHECK(vm_bo->refcount >= (vm_bo->mapping_count + vm_bo->record_count > 0));
      CHECK(vm_bo->evicted == !list_is_empty(&vm_bo->evict_link));
      CHECK(vm_bo->external == !list_is_empty(&vm_bo->extobj_link) ||
            list_is_empty(&vm_bo->obj_link));
   }
}

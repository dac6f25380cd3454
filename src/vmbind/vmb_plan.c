/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The planner: see vmb_plan.h.
 *
 * Three passes over arrays.  Sort (skipped if the requests come sorted), resolve
 * overlaps (skipped if there are none) and merge give the net effect; a walk along the
 * mirror trims it; a last pass cuts null mappings where the device wants it.
 */

#include "vmb_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/u_math.h"

#include "vmb_util.h"

/* A request in the making of an order: by address, then by age. */
struct sort_key {
   uint64_t addr_B;
   uint32_t index;
};

void
vmb_plan_init(struct vmb_plan *plan, const struct vmb_plan_params *params)
{
   *plan = (struct vmb_plan){ .params = *params };
}

void
vmb_plan_finish(struct vmb_plan *plan)
{
   free(plan->ops);
   free(plan->net);
   free(plan->sort);
   *plan = (struct vmb_plan){ 0 };
}

static int
grow_reqs(struct vmb_gpuvm_req **reqs, size_t *capacity, size_t want)
{
   return vmb_grow((void **)reqs, capacity, want, sizeof(**reqs));
}

static inline uint64_t
req_end_B(const struct vmb_gpuvm_req *req)
{
   return vmb_mapping_end_B(&req->map);
}

static inline bool
same_effect(const struct vmb_gpuvm_req *a, const struct vmb_gpuvm_req *b)
{
   if (a->unmap || b->unmap)
      return a->unmap == b->unmap;
   return vmb_mapping_same_backing(&a->map, &b->map);
}

/* ------------------------------------------------------------- net effect */

/* Least significant digit first, over the digits in which the addresses differ.
 * Stable, so requests of one address stay in the order of their age. */
static struct sort_key *
sort_by_address(struct sort_key *keys, struct sort_key *scratch, size_t count, uint64_t differ)
{
   if (count < 32) {
      for (size_t i = 1; i < count; i++) {
         const struct sort_key key = keys[i];
         size_t j = i;
         for (; j > 0 && keys[j - 1].addr_B > key.addr_B; j--)
            keys[j] = keys[j - 1];
         keys[j] = key;
      }
      return keys;
   }

   while (differ) {
      const unsigned shift = __builtin_ctzll(differ);
      uint32_t start[256] = { 0 };

      for (size_t i = 0; i < count; i++)
         start[keys[i].addr_B >> shift & 255]++;
      uint32_t sum = 0;
      for (unsigned d = 0; d < 256; d++) {
         const uint32_t n = start[d];
         start[d] = sum;
         sum += n;
      }
      for (size_t i = 0; i < count; i++)
         scratch[start[keys[i].addr_B >> shift & 255]++] = keys[i];

      struct sort_key *tmp = keys;
      keys = scratch;
      scratch = tmp;
      differ = shift + 8 < 64 ? differ >> (shift + 8) << (shift + 8) : 0;
   }
   return keys;
}

/* Appends to the net effect, joining it with the last one if that continues. */
static inline void
net_append(struct vmb_plan *plan, const struct vmb_gpuvm_req *req)
{
   if (plan->net_count) {
      struct vmb_gpuvm_req *last = &plan->net[plan->net_count - 1];
      if (req_end_B(last) == req->map.addr_B && same_effect(last, req)) {
         last->map.range_B += req->map.range_B;
         plan->merged++;
         return;
      }
   }
   plan->net[plan->net_count++] = *req;
}

static struct vmb_gpuvm_req
req_clip(const struct vmb_gpuvm_req *req, uint64_t addr_B, uint64_t end_B)
{
   return (struct vmb_gpuvm_req){
      .map = vmb_mapping_clip(&req->map, addr_B, end_B),
      .unmap = req->unmap,
   };
}

/* A max-heap of request indices: the youngest that covers the sweep's place. */
static void
heap_push(uint32_t *heap, size_t *count, uint32_t index)
{
   size_t i = (*count)++;

   while (i > 0 && heap[(i - 1) / 2] < index) {
      heap[i] = heap[(i - 1) / 2];
      i = (i - 1) / 2;
   }
   heap[i] = index;
}

static void
heap_pop(uint32_t *heap, size_t *count)
{
   const uint32_t last = heap[--*count];
   size_t i = 0;

   for (;;) {
      size_t child = 2 * i + 1;
      if (child >= *count)
         break;
      if (child + 1 < *count && heap[child + 1] > heap[child])
         child++;
      if (heap[child] < last)
         break;
      heap[i] = heap[child];
      i = child;
   }
   heap[i] = last;
}

/* Requests overlap: sweep along the addresses; at each place the youngest of
 * those that cover it counts. */
static void
resolve_overlaps(struct vmb_plan *plan, const struct vmb_gpuvm_req *reqs,
                 const struct sort_key *keys, size_t count, uint32_t *heap)
{
   size_t heap_count = 0, next = 0, pieces = 0;
   uint64_t at_B = 0;

   while (next < count || heap_count) {
      /* Those that end here or before no longer count. */
      while (heap_count && req_end_B(&reqs[heap[0]]) <= at_B)
         heap_pop(heap, &heap_count);
      if (!heap_count) {
         if (next == count)
            break;
         at_B = keys[next].addr_B;
      }
      while (next < count && keys[next].addr_B <= at_B)
         heap_push(heap, &heap_count, keys[next++].index);

      const struct vmb_gpuvm_req *top = &reqs[heap[0]];
      if (req_end_B(top) <= at_B)
         continue;

      /* Up to its end, or to where a younger one starts. */
      uint64_t end_B = req_end_B(top);
      while (next < count && keys[next].addr_B < end_B) {
         if (keys[next].index > heap[0]) {
            end_B = keys[next].addr_B;
            break;
         }
         heap_push(heap, &heap_count, keys[next++].index);
      }

      const struct vmb_gpuvm_req piece = req_clip(top, at_B, end_B);
      net_append(plan, &piece);
      pieces++;
      at_B = end_B;
   }

   /* Overwritten ones; pieces of one request are no merge. */
   if (pieces < count)
      plan->dropped += count - pieces;
   else
      plan->merged -= MIN2(plan->merged, pieces - count);
}

static int
build_net(struct vmb_plan *plan, const struct vmb_gpuvm_req *reqs, size_t count)
{
   bool sorted = true, disjoint = true;
   uint64_t differ = 0;

   /* Overlaps cut a request at most at its two ends and at those of others. */
   int ret = grow_reqs(&plan->net, &plan->net_capacity, count);
   if (ret)
      return ret;

   for (size_t i = 1; i < count; i++) {
      differ |= reqs[i].map.addr_B ^ reqs[0].map.addr_B;
      sorted &= reqs[i].map.addr_B >= req_end_B(&reqs[i - 1]);
   }
   if (sorted) {
      for (size_t i = 0; i < count; i++)
         net_append(plan, &reqs[i]);
      return 0;
   }

   /* Two arrays of keys and one heap. */
   const size_t key_space = 2 * sizeof(struct sort_key) + sizeof(uint32_t);
   ret = vmb_grow(&plan->sort, &plan->sort_capacity, count, key_space);
   if (ret)
      return ret;
   struct sort_key *keys = plan->sort;
   struct sort_key *scratch = keys + count;
   uint32_t *heap = (uint32_t *)(scratch + count);

   for (size_t i = 0; i < count; i++)
      keys[i] = (struct sort_key){ .addr_B = reqs[i].map.addr_B, .index = i };
   keys = sort_by_address(keys, scratch, count, differ);

   for (size_t i = 1; i < count; i++)
      disjoint &= req_end_B(&reqs[keys[i - 1].index]) <= keys[i].addr_B;
   if (disjoint) {
      for (size_t i = 0; i < count; i++)
         net_append(plan, &reqs[keys[i].index]);
      return 0;
   }

   ret = grow_reqs(&plan->net, &plan->net_capacity, 2 * count);
   if (ret)
      return ret;
   resolve_overlaps(plan, reqs, keys, count, heap);
   return 0;
}

/* ------------------------------------------------------------------ no-ops */

/* Keeps the trimmed bounds of an operation out of the inside of blocks that the
 * untrimmed operation covers whole. */
static void
keep_blocks(const struct vmb_plan *plan, const struct vmb_mapping *whole, uint64_t *addr_B,
            uint64_t *end_B)
{
   const uint64_t block_B = plan->params.block_size_B;

   if (!block_B)
      return;
   *addr_B = MAX2(whole->addr_B, *addr_B & ~(block_B - 1));
   *end_B = MIN2(vmb_mapping_end_B(whole), align64(*end_B, block_B));
}

/* Trims what is there already off both ends; false if nothing is left.  The iterator is at the
 * request's range. */
static bool
trim(const struct vmb_plan *plan, struct vmb_gpuvm_iter *iter, struct vmb_gpuvm_req *req)
{
   const uint64_t addr_B = req->map.addr_B, end_B = req_end_B(req);
   /* The first and last places at which something changes. */
   uint64_t first_B = end_B, last_B = addr_B, at_B = addr_B;
   struct vmb_mapping old;

   while (vmb_gpuvm_iter_next(iter, &old)) {
      const uint64_t start_B = MAX2(old.addr_B, addr_B);
      const uint64_t stop_B = MIN2(vmb_mapping_end_B(&old), end_B);

      /* A hole: no change for an unmap. */
      if (start_B > at_B && !req->unmap) {
         first_B = MIN2(first_B, at_B);
         last_B = start_B;
      }
      if (req->unmap || (old.flags & VMB_MAPPING_INVALIDATED) ||
          !vmb_mapping_same_backing(&old, &req->map)) {
         first_B = MIN2(first_B, start_B);
         last_B = stop_B;
      }
      at_B = stop_B;
      /* The rest is only of interest for its end. */
   }
   if (at_B < end_B && !req->unmap) {
      first_B = MIN2(first_B, at_B);
      last_B = end_B;
   }
   if (first_B >= last_B)
      return false;

   if (first_B != addr_B || last_B != end_B) {
      keep_blocks(plan, &req->map, &first_B, &last_B);
      *req = req_clip(req, first_B, last_B);
   }
   return true;
}

static size_t
null_pieces(const struct vmb_plan *plan, const struct vmb_gpuvm_req *req)
{
   const uint64_t granule_B = plan->params.null_granule_B;

   if (!granule_B || req->unmap || !(req->map.flags & VMB_MAPPING_NULL))
      return 1;
   return (align64(req_end_B(req), granule_B) - (req->map.addr_B & ~(granule_B - 1))) / granule_B;
}

/* Appends an operation, cut at the null granule if it is a null mapping. */
static int
op_append(struct vmb_plan *plan, const struct vmb_gpuvm_req *req)
{
   const size_t pieces = null_pieces(plan, req);
   const int ret = grow_reqs(&plan->ops, &plan->op_capacity, plan->op_count + pieces);
   if (ret)
      return ret;

   if (pieces == 1) {
      plan->ops[plan->op_count++] = *req;
      return 0;
   }
   for (uint64_t at_B = req->map.addr_B; at_B < req_end_B(req);) {
      const uint64_t stop_B =
         MIN2(req_end_B(req), align64(at_B + 1, plan->params.null_granule_B));
      plan->ops[plan->op_count++] = req_clip(req, at_B, stop_B);
      at_B = stop_B;
   }
   return 0;
}

/* Appends an unmap as unmaps of whole mappings:
 *
 *    mapped   |-------- A --------|   |- B -|
 *    unmap            |-----------------|
 *    becomes          |--- A -----|             map A as it is, which cuts it out
 *                     |-----------|             unmap
 *                                     |-|       map B as it is
 *                                     |-|       unmap
 *
 * What stands before it in the plan may have cut the first one already. */
static int
unmap_append(struct vmb_plan *plan, struct vmb_gpuvm *gpuvm, const struct vmb_gpuvm_req *req)
{
   const uint64_t cut_B = plan->op_count ? req_end_B(&plan->ops[plan->op_count - 1]) : 0;
   struct vmb_gpuvm_iter iter;
   struct vmb_mapping old;

   vmb_gpuvm_iter_init(gpuvm, &iter, req->map.addr_B, req_end_B(req));
   while (vmb_gpuvm_iter_next(&iter, &old)) {
      const struct vmb_mapping whole =
         vmb_mapping_clip(&old, MAX2(old.addr_B, cut_B), vmb_mapping_end_B(&old));
      struct vmb_gpuvm_req part = {
         .map = vmb_mapping_clip(&whole, MAX2(whole.addr_B, req->map.addr_B),
                                 MIN2(vmb_mapping_end_B(&whole), req_end_B(req))),
      };
      int ret = 0;

      part.map.flags &= ~VMB_MAPPING_STATE_FLAGS;
      if (part.map.range_B != whole.range_B)
         ret = op_append(plan, &part);
      part.unmap = true;
      part.map.vm_bo = NULL;
      part.map.flags = 0;
      if (!ret)
         ret = op_append(plan, &part);
      if (ret)
         return ret;
   }
   return 0;
}

int
vmb_plan_build(struct vmb_plan *plan, struct vmb_gpuvm *gpuvm, const struct vmb_gpuvm_req *reqs,
               size_t count)
{
   plan->op_count = plan->net_count = 0;
   plan->merged = plan->dropped = 0;

   int ret = build_net(plan, reqs, count);
   if (ret)
      return ret;

   if (plan->params.ordered) {
      for (size_t i = 0; i < count; i++) {
         ret = op_append(plan, &reqs[i]);
         if (ret)
            return ret;
      }
      plan->merged = plan->dropped = 0;
      return 0;
   }

   struct vmb_gpuvm_iter iter;
   for (size_t i = 0; i < plan->net_count; i++) {
      struct vmb_gpuvm_req op = plan->net[i];

      if (i == 0)
         vmb_gpuvm_iter_init(gpuvm, &iter, op.map.addr_B, req_end_B(&op));
      else
         vmb_gpuvm_iter_move(&iter, op.map.addr_B, req_end_B(&op));
      if (!trim(plan, &iter, &op)) {
         plan->dropped++;
         continue;
      }
      ret = op.unmap && plan->params.exact_unmap ? unmap_append(plan, gpuvm, &op)
                                                 : op_append(plan, &op);
      if (ret)
         return ret;
   }
   return 0;
}

/* --------------------------------------------------------------- defragment */

int
vmb_plan_defragment(struct vmb_plan *plan, struct vmb_gpuvm *gpuvm, uint64_t addr_B,
                    uint64_t end_B)
{
   struct vmb_gpuvm_iter iter;
   struct vmb_mapping m;
   struct vmb_gpuvm_req run = { 0 };
   size_t nodes = 0;
   bool more;

   plan->op_count = plan->net_count = 0;
   plan->merged = plan->dropped = 0;

   vmb_gpuvm_iter_init(gpuvm, &iter, addr_B, end_B);
   do {
      more = vmb_gpuvm_iter_next(&iter, &m);
      /* One that sticks out of the range is left as it is, as is one whose pages are gone. */
      const bool usable = more && m.addr_B >= addr_B && vmb_mapping_end_B(&m) <= end_B &&
                          !(m.flags & VMB_MAPPING_INVALIDATED);

      if (usable && nodes && m.addr_B == req_end_B(&run) &&
          vmb_mapping_same_backing(&run.map, &m)) {
         run.map.range_B += m.range_B;
         nodes++;
         continue;
      }
      /* Worth it only if it takes fewer nodes than there are. */
      if (nodes > null_pieces(plan, &run)) {
         const int ret = op_append(plan, &run);
         if (ret)
            return ret;
         plan->merged += nodes - null_pieces(plan, &run);
      }
      run = (struct vmb_gpuvm_req){ .map = m };
      nodes = usable;
   } while (more);

   /* What it depends on is what it does. */
   const int ret = grow_reqs(&plan->net, &plan->net_capacity, plan->op_count);
   if (ret)
      return ret;
   if (plan->op_count)
      memcpy(plan->net, plan->ops, plan->op_count * sizeof(*plan->net));
   plan->net_count = plan->op_count;
   return 0;
}

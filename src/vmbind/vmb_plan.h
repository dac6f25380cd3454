/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The planner: turns the requests of one batch into the fewest operations.
 *
 *    requests (any order)     map B+64K @ 3   map B @ 2    map X @ 9   map Y @ 9
 *    net effect               map B  @ [2,4)               map Y @ 9
 *    minus what is there      map B  @ [2,4)               (Y is at 9 already)
 *
 * 1. Of several requests for an address the last one counts.
 * 2. Neighbours that continue each other (same BO and contiguous offsets, or both
 *    null, or both unmaps) become one.
 * 3. What the mirror shows to be there already is trimmed off both ends; an
 *    operation of which nothing is left is dropped.  One in the middle stays:
 *    cutting it out would make two of one.
 *
 * Operations never touch a page that no request named, and come out sorted
 * and disjoint, which is what kernels are fastest with.
 *
 * It must never know of an ioctl, a queue or a fence.  What is pending on other
 * queues is the caller's affair: an operation may be dropped only if the caller
 * makes the batch wait for what the mirror already counts in (the net effect is
 * in vmb_plan.net for that).
 *
 * No locks: a plan belongs to one thread; the gpuvm must not change meanwhile.
 */

#ifndef VMB_PLAN_H
#define VMB_PLAN_H

#include "vmb_gpuvm.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vmb_plan_params {
   /** One operation a request, in the requests' order, nothing dropped. */
   bool ordered;
   /** If not 0: null mappings are cut at multiples of it (a power of two), one
    * operation each. */
   uint64_t null_granule_B;
   /** If not 0: blocks of this size must not be split: an operation is not
    * trimmed inside a block that it covers. */
   uint64_t block_size_B;
   /** An unmap is always of one whole mapping, as the tree is when its turn comes; a part of one
    * is first mapped as it is.  Not with \p ordered. */
   bool exact_unmap;
};

/** Arrays that grow and are used again from batch to batch. */
struct vmb_plan {
   struct vmb_plan_params params;

   /** The operations, in the order in which they are to be sent. */
   struct vmb_gpuvm_req *ops;
   size_t op_count;

   /** What the batch asks for, sorted and disjoint: all that it depends on. */
   struct vmb_gpuvm_req *net;
   size_t net_count;

   /** Requests that joined a neighbour; that were overwritten or without
    * effect. */
   size_t merged;
   size_t dropped;

   size_t op_capacity;
   size_t net_capacity;
   void *sort;
   size_t sort_capacity;
};

/** An empty plan, which owns its arrays; \p params are copied. */
void vmb_plan_init(struct vmb_plan *plan, const struct vmb_plan_params *params);
/** Frees the arrays.  A plan is thrown away by planning another one or by this: it holds nothing
 * else. */
void vmb_plan_finish(struct vmb_plan *plan);

/**
 * Plans a batch against the gpuvm, which is only read.  Requests must be valid
 * for it (vmb_gpuvm_reserve() checks); they take no references: the vm_bos in
 * the operations are those of the requests.
 *
 * \return 0 or -ENOMEM
 */
int vmb_plan_build(struct vmb_plan *plan, struct vmb_gpuvm *gpuvm,
                   const struct vmb_gpuvm_req *reqs, size_t count);

/**
 * Plans to bind anew, in one operation each, the runs of neighbouring mappings in
 * [addr_B, end_B) that continue each other: the GPU sees the same before and
 * after, the kernel has fewer nodes.  It must not look while that happens: the
 * range must be idle.  Counts in vmb_plan.merged the nodes that are saved.
 *
 * \return 0 or -ENOMEM
 */
int vmb_plan_defragment(struct vmb_plan *plan, struct vmb_gpuvm *gpuvm, uint64_t addr_B,
                        uint64_t end_B);

#ifdef __cplusplus
}
#endif

#endif /* VMB_PLAN_H */

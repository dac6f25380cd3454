/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The mirror and the planner against a brute-force model: an array with what is at each page, and
 * whether a mapping starts there.  Sequences of operations are played on both and compared after
 * each step; a difference aborts.
 */

#ifndef TEST_GPUVM_MODEL_H
#define TEST_GPUVM_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Pages of the address space. */
#ifndef GPUVM_MODEL_PAGES
#define GPUVM_MODEL_PAGES (1u << 15)
#endif

#define GPUVM_MODEL_BOS   3
#define GPUVM_MODEL_BATCH 12

enum gpuvm_model_kind { KIND_MAP, KIND_NULL, KIND_REPEAT, KIND_UNMAP };

struct gpuvm_model_request {
   enum gpuvm_model_kind kind;
   /** Inside the address space; pages is not 0. */
   uint32_t page, pages;
   uint32_t bo, bo_page;
   bool readonly;
};

/** One step of a sequence: a batch of requests, and how it is applied. */
struct gpuvm_model_op {
   enum { APPLY_EACH, APPLY_PLAN, APPLY_UNDO, UNMAP_BO, EVICT, SET_FLAGS, BULK } how;
   uint32_t count;
   struct gpuvm_model_request reqs[GPUVM_MODEL_BATCH];
};

/** Plays a sequence from an empty address space to an empty one. */
void gpuvm_model_run(const struct gpuvm_model_op *ops, size_t count);

#endif /* TEST_GPUVM_MODEL_H */

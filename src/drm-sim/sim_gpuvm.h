/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The tree of mappings of a VM with exactly drm_gpuvm's semantics: split on overlap, never merge,
 * and the keep hint. Written from the kernel's behaviour and for it alone: the mirror that it is
 * compared with must share nothing with it. Must know nothing of page tables. The caller locks.
 */

#ifndef SIM_GPUVM_H
#define SIM_GPUVM_H

#include <stdbool.h>
#include <stdint.h>

#include "util/rb_tree.h"

struct sim_bo;

struct sim_gpuva {
   struct rb_node node;
   uint64_t addr;
   uint64_t range;
   /* Held; NULL for a null mapping */
   struct sim_bo *bo;
   uint64_t offset;
   /* The driver's own */
   uint32_t flags;
};

struct sim_gpuvm {
   struct rb_tree tree;
   uint64_t start;
   uint64_t range;
};

/* What a mapping is or is to be */
struct sim_gpuvm_map {
   uint64_t addr;
   uint64_t range;
   struct sim_bo *bo;
   uint64_t offset;
   uint32_t flags;
};

enum sim_gpuvm_step_kind {
   SIM_GPUVM_MAP,
   SIM_GPUVM_REMAP,
   SIM_GPUVM_UNMAP,
};

struct sim_gpuvm_step {
   enum sim_gpuvm_step_kind kind;
   /* MAP */
   struct sim_gpuvm_map map;
   /* REMAP and UNMAP: the mapping that goes */
   struct sim_gpuva *va;
   bool keep;
   /* REMAP: what stays of it, on either side; the driver may correct the offsets. */
   bool has_prev;
   bool has_next;
   struct sim_gpuvm_map prev;
   struct sim_gpuvm_map next;
};

/* Called before the tree takes a step: 0 to take it, SIM_GPUVM_SKIP to leave the tree as it is, or
 * a negative errno to end the operation there, with the steps before it taken. NULL takes them all.
 */
#define SIM_GPUVM_SKIP 1
typedef int (*sim_gpuvm_step_fn)(void *priv, struct sim_gpuvm_step *step);

void sim_gpuvm_init(struct sim_gpuvm *vm, uint64_t start, uint64_t range);
void sim_gpuvm_finish(struct sim_gpuvm *vm);

/* drm_gpuvm_range_valid() */
bool sim_gpuvm_range_is_valid(const struct sim_gpuvm *vm, uint64_t addr, uint64_t range);

int sim_gpuvm_sm_map(struct sim_gpuvm *vm, const struct sim_gpuvm_map *req, sim_gpuvm_step_fn step,
                     void *priv);
int sim_gpuvm_sm_unmap(struct sim_gpuvm *vm, uint64_t addr, uint64_t range, sim_gpuvm_step_fn step,
                       void *priv);

/* The part of a REMAP that loses its mapping: drm_gpuva_op_remap_to_unmap_range(). */
void sim_gpuvm_remap_hole(const struct sim_gpuvm_step *step, uint64_t *addr, uint64_t *range);

/* The first mapping that ends after addr, and the one after a mapping; NULL at the end. */
struct sim_gpuva *sim_gpuvm_first(const struct sim_gpuvm *vm, uint64_t addr);
struct sim_gpuva *sim_gpuvm_next(struct sim_gpuva *va);

/* The lowest address from there on with so much room behind it, or 0. */
uint64_t sim_gpuvm_find_gap(const struct sim_gpuvm *vm, uint64_t from, uint64_t range);

#endif /* SIM_GPUVM_H */

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Binds in staged mode: operations change the tree of mappings at once, and what they mean for the
 * page tables is kept in order and applied when a job runs. Must know nothing of any driver; when
 * to do either, and what to do about an error, is theirs.
 */

#ifndef SIM_STAGED_H
#define SIM_STAGED_H

#include <stdbool.h>
#include <stdint.h>

#include "sim_fault.h"

struct sim_bo;
struct sim_vm;
struct sim_staged_pt_op;
struct sim_staged_done;

struct sim_staged {
   /* Not held by this */
   struct sim_vm *vm;
   struct sim_staged_pt_op *pt_ops;
   uint32_t pt_op_count;
   uint32_t pt_op_capacity;
   struct sim_staged_done *done;
   uint32_t done_count;
   uint32_t done_capacity;
};

/* In va_flags: the mapping repeats one piece of its BO, so that what is left of it keeps its offset. */
#define SIM_STAGED_VA_REPEATS (1u << 31)

struct sim_staged_op {
   enum sim_op_kind kind;
   uint64_t va;
   uint64_t range;
   struct sim_bo *bo;
   uint64_t offset;
   /* For the tree, and for the page tables */
   uint32_t va_flags;
   uint32_t pte_flags;
   /* A map of what is there already only changes its flags. */
   bool keep_identical;
};

/* Changes the tree. With the VM locked. On failure, what was changed before stays. */
int sim_staged_translate_locked(struct sim_staged *staged, const struct sim_staged_op *op);

/* Changes the page tables. After an error, which may be there from the start, nothing more is
 * mapped, but all is unmapped. Returns the first error. With the VM locked.
 */
int sim_staged_apply_locked(struct sim_staged *staged, int error);

/* Both at once, for drivers whose binds have no job. With the VM locked. */
int sim_staged_run_locked(struct sim_vm *vm, const struct sim_staged_op *op);

void sim_staged_finish(struct sim_staged *staged);

#endif /* SIM_STAGED_H */

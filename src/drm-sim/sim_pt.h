/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Page tables of a VM: five levels of 512 entries over pages of 4 KiB, with blocks at each level,
 * so that a terabyte costs no more than a page. What a GPU would walk. Must know nothing of the
 * tree of mappings, nor of the host's MMU. The caller locks.
 */

#ifndef SIM_PT_H
#define SIM_PT_H

#include <stdbool.h>
#include <stdint.h>

struct sim_bo;
struct sim_pt_table;

struct sim_pt {
   struct sim_pt_table *root;
};

/* A null mapping: reads give zero, writes go nowhere. */
#define SIM_PTE_NULL     (1u << 0)
#define SIM_PTE_READONLY (1u << 1)
/* The pages of a dummy BO that repeat (panthor) */
#define SIM_PTE_SPARSE (1u << 2)
/* One page of 16 KiB of the BO, over and over (asahi) */
#define SIM_PTE_REPEAT (1u << 3)

#define SIM_PTE_REPEAT_B 16384ull

struct sim_pte {
   /* NULL for a null mapping */
   struct sim_bo *bo;
   uint64_t offset;
   uint32_t flags;
};

int sim_pt_init(struct sim_pt *pt);
void sim_pt_finish(struct sim_pt *pt);

/* Whole pages. Whatever was there is replaced; the table holds the BO. */
int sim_pt_map(struct sim_pt *pt, uint64_t va, uint64_t size_B, struct sim_bo *bo, uint64_t offset,
               uint32_t flags);
int sim_pt_unmap(struct sim_pt *pt, uint64_t va, uint64_t size_B);

/* False for a hole. The offset is that of the address, not of its page. The BO is not referenced. */
bool sim_pt_lookup(const struct sim_pt *pt, uint64_t va, struct sim_pte *pte);

/* Blocks and pages in address order; stops at the first non-zero return and returns it. */
typedef int (*sim_pt_fn)(void *priv, uint64_t va, uint64_t size_B, const struct sim_pte *pte);
int sim_pt_for_each(const struct sim_pt *pt, sim_pt_fn fn, void *priv);

#endif /* SIM_PT_H */

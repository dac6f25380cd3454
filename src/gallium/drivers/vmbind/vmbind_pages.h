/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Memory for sparse resources, by the block (VMBIND_SPARSE_BLOCK_SIZE_B).  Blocks that are asked for
 * together lie together where they can, so that binding them is one operation.
 *
 * Knows BOs; must never know what is bound where.
 */

#ifndef VMBIND_PAGES_H
#define VMBIND_PAGES_H

#include <stdint.h>

#include "util/list.h"
#include "util/simple_mtx.h"

#include "vmbind/vmb_vm.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vmbind_slab_of_pages;

/** One block of memory; slab NULL is none. */
struct vmbind_page {
   struct vmbind_slab_of_pages *slab;
   uint32_t index;
};

/** Functions may be called from any thread. */
struct vmbind_pages {
   simple_mtx_t lock;
   struct vmb_vm *vm;
   struct list_head slabs;
   /** Blocks that BOs have been made for, and those of them in use. */
   uint64_t blocks;
   uint64_t used;
};

void vmbind_pages_init(struct vmbind_pages *pages, struct vmb_vm *vm);

/** Nothing may be in use. */
void vmbind_pages_finish(struct vmbind_pages *pages);

/**
 * Takes \p count blocks.
 * \return 0; -ENOMEM or what the kernel said: none was taken
 */
int vmbind_pages_take(struct vmbind_pages *pages, uint32_t count, struct vmbind_page *pages_out);

/** Gives blocks back.  Those with no slab are passed over.  Nobody may look at addresses that are
 * still bound to them. */
void vmbind_pages_give(struct vmbind_pages *pages, uint32_t count, const struct vmbind_page *given);

/** The BO of a block, no reference, and where in it the block is. */
struct vmb_bo *vmbind_page_bo(const struct vmbind_page *page);
uint64_t vmbind_page_offset_B(const struct vmbind_page *page);

#ifdef __cplusplus
}
#endif

#endif /* VMBIND_PAGES_H */

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Stand-in for the kernel's header: a lock; there are no fences here.

Whether the caller holds a lock is not asserted: the oracle has one thread, and what it measures is
the tree.
 */

#ifndef STAND_IN_DMA_RESV_H
#define STAND_IN_DMA_RESV_H

#include <linux/ww_mutex.h>

struct dma_fence;

enum dma_resv_usage {
   DMA_RESV_USAGE_KERNEL,
   DMA_RESV_USAGE_WRITE,
   DMA_RESV_USAGE_READ,
   DMA_RESV_USAGE_BOOKKEEP,
};

struct dma_resv {
   struct mutex lock;
};

static inline int
dma_resv_lock(struct dma_resv *resv, struct ww_acquire_ctx *ctx)
{
   (void)ctx;
   mutex_lock(&resv->lock);
   return 0;
}

static inline void
dma_resv_unlock(struct dma_resv *resv)
{
   mutex_unlock(&resv->lock);
}

#define dma_resv_held(resv)                    ((resv)->lock.held != 0)
#define dma_resv_assert_held(resv)             ((void)(resv))
#define dma_resv_add_fence(resv, fence, usage) ((void)(resv), (void)(fence), (void)(usage))

#endif

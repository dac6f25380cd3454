/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What shaders are told about residency follows the binds that have *completed*: each batch that
 * changes images notes its changes here before it is submitted, and whoever is about to execute
 * commands first applies those of the batches that have completed meanwhile.
 *
 * Knows syncobjs and resources; must never know how a bind is made.
 */

#ifndef VMBVK_RESIDENCY_H
#define VMBVK_RESIDENCY_H

#include <stdbool.h>
#include <stdint.h>

#include "util/list.h"
#include "util/simple_mtx.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pipe_resource;
struct vmbvk_device;

struct vmbvk_residency {
   simple_mtx_t lock;
   /** struct vmbvk_residency_batch, in the order in which they were submitted. */
   struct list_head pending;
   /** The VM's, when a batch had completed the last time. */
   int status;
};

struct vmbvk_residency_change {
   struct pipe_resource *pres;
   uint64_t offset_B;
   uint64_t size_B;
   bool resident;
};

struct vmbvk_residency_batch {
   struct list_head link;

   /** Signalled when the batch has completed. */
   uint32_t syncobj;
   uint64_t point;
   /** As far as was found out, while all are looked at. */
   bool completed;

   uint32_t change_count;
   struct vmbvk_residency_change changes[];
};

void vmbvk_residency_init(struct vmbvk_device *device);
void vmbvk_residency_finish(struct vmbvk_device *device);

/** NULL for lack of memory.  The batch is the caller's until it is added, or freed with free(). */
struct vmbvk_residency_batch *vmbvk_residency_batch_create(uint32_t max_changes);

/** Takes the batch. */
void vmbvk_residency_add(struct vmbvk_device *device, struct vmbvk_residency_batch *batch);

/** Frees the batch of a submission that failed. */
void vmbvk_residency_cancel(struct vmbvk_device *device, struct vmbvk_residency_batch *batch);

/** Applies what has completed, in the order in which it was submitted.  -ENODEV if some of it failed when
 * it was executed: nothing may be executed that looks there. */
int vmbvk_residency_advance(struct vmbvk_device *device);

/** Forgets a resource that is about to be destroyed. */
void vmbvk_residency_forget(struct vmbvk_device *device, struct pipe_resource *pres);

#ifdef __cplusplus
}
#endif

#endif /* VMBVK_RESIDENCY_H */

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See vmbvk_residency.h.
 */

#include "vmbvk_private.h"

#include <xf86drm.h>

#include "vmbind/vmbind_screen.h"

void
vmbvk_residency_init(struct vmbvk_device *device)
{
   simple_mtx_init(&device->residency.lock, mtx_plain);
   list_inithead(&device->residency.pending);
}

void
vmbvk_residency_finish(struct vmbvk_device *device)
{
   list_for_each_entry_safe (struct vmbvk_residency_batch, batch, &device->residency.pending, link)
      free(batch);
   simple_mtx_destroy(&device->residency.lock);
}

struct vmbvk_residency_batch *
vmbvk_residency_batch_create(uint32_t max_changes)
{
   struct vmbvk_residency_batch *batch;

   batch = malloc(sizeof(*batch) + max_changes * sizeof(batch->changes[0]));
   if (batch)
      batch->change_count = 0;

   return batch;
}

void
vmbvk_residency_add(struct vmbvk_device *device, struct vmbvk_residency_batch *batch)
{
   simple_mtx_lock(&device->residency.lock);
   list_addtail(&batch->link, &device->residency.pending);
   simple_mtx_unlock(&device->residency.lock);
}

void
vmbvk_residency_cancel(struct vmbvk_device *device, struct vmbvk_residency_batch *batch)
{
   simple_mtx_lock(&device->residency.lock);
   list_del(&batch->link);
   simple_mtx_unlock(&device->residency.lock);
   free(batch);
}

/** How far a queue is, asked once for all batches of it that follow each other. */
struct progress {
   uint32_t syncobj;
   uint64_t point;
};

static bool
has_completed(struct vmbvk_device *device, const struct vmbvk_residency_batch *batch,
              struct progress *progress)
{
   if (progress->syncobj != batch->syncobj) {
      *progress = (struct progress){.syncobj = batch->syncobj};
      if (drmSyncobjQuery(device->lvp.vk.drm_fd, &progress->syncobj, &progress->point, 1))
         progress->point = 0;
   }

   return progress->point >= batch->point;
}

static void
apply(const struct vmbvk_residency_batch *batch)
{
   for (uint32_t i = 0; i < batch->change_count; i++) {
      const struct vmbvk_residency_change *change = &batch->changes[i];
      if (change->pres)
         vmbind_resource_set_resident(change->pres, change->offset_B, change->size_B,
                                      change->resident);
   }
}

int
vmbvk_residency_advance(struct vmbvk_device *device)
{
   struct vmbvk_residency *residency = &device->residency;
   struct progress progress = {0};
   bool any = false;

   simple_mtx_lock(&residency->lock);
   /* Queues go on while they are asked.  A batch comes behind those that it has waited for, so the last
    * one is asked first: then none is found to have completed and those before it not. */
   list_for_each_entry_rev (struct vmbvk_residency_batch, batch, &residency->pending, link)
      batch->completed = has_completed(device, batch, &progress);
   list_for_each_entry_safe (struct vmbvk_residency_batch, batch, &residency->pending, link) {
      if (!batch->completed)
         continue;
      apply(batch);
      list_del(&batch->link);
      free(batch);
      any = true;
   }
   if (any)
      residency->status = vmb_vm_check_status(vmbind_screen_vm(device->lvp.pscreen));
   const int ret = residency->status;
   simple_mtx_unlock(&residency->lock);

   return ret;
}

void
vmbvk_residency_forget(struct vmbvk_device *device, struct pipe_resource *pres)
{
   struct vmbvk_residency *residency = &device->residency;

   simple_mtx_lock(&residency->lock);
   list_for_each_entry (struct vmbvk_residency_batch, batch, &residency->pending, link) {
      for (uint32_t i = 0; i < batch->change_count; i++) {
         if (batch->changes[i].pres == pres)
            batch->changes[i].pres = NULL;
      }
   }
   simple_mtx_unlock(&residency->lock);
}

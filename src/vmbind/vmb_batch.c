/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * A batch: the record of what a submit has changed, kept until it has completed.  It says what the submits of
 * other queues depend on, how the mirror gets back to what was there, and keeps the BOs alive that were replaced.
 *
 * This file must never know of an ioctl, a fence or a driver.
 */

#include <stdlib.h>

#include "vmb_private.h"

/* Batches of thousands of operations come one after the other, and malloc would fetch their memory from the system
 * each time, page by page: one of these sizes is kept. */
#define SPARE_MIN_B (32u << 10)
#define SPARE_MAX_B (4u << 20)

static struct vmb_batch *
take_spare(struct vmb_vm *vm, size_t size_B)
{
   struct vmb_batch *spare = NULL;

   vmb_lock(&vm->state_lock, VMB_LOCK_STATE);
   if (vm->spare_batch && vm->spare_batch->size_B >= size_B) {
      spare = vm->spare_batch;
      vm->spare_batch = NULL;
   }
   vmb_unlock(&vm->state_lock, VMB_LOCK_STATE);
   return spare;
}

struct vmb_batch *
vmb_batch_create(struct vmb_vm *vm, size_t op_count, size_t replaced)
{
   struct vmb_batch *batch = NULL;
   const size_t ops_B = op_count * sizeof(*batch->ops);
   const size_t starts_B = (op_count + 1) * sizeof(*batch->starts);
   const size_t replaced_B = replaced * sizeof(*batch->replaced.mappings);
   size_t size_B = sizeof(*batch) + ops_B + starts_B + replaced_B;

   if (size_B >= SPARE_MIN_B)
      batch = take_spare(vm, size_B);
   if (batch)
      size_B = batch->size_B;
   else
      batch = malloc(size_B);
   if (!batch)
      return NULL;

   *batch = (struct vmb_batch){ .size_B = size_B };
   batch->ops = (struct vmb_gpuvm_req *)(batch + 1);
   batch->replaced.mappings = (struct vmb_mapping *)(batch->ops + op_count);
   batch->replaced.capacity = replaced;
   batch->starts = (size_t *)(batch->replaced.mappings + replaced);
   return batch;
}

void
vmb_batch_release_locked(struct vmb_vm *vm, struct vmb_batch *batch)
{
   list_del(&batch->link);
   vm->batch_count--;
   batch->queue->batch_count--;
   vmb_gpuvm_release_replaced(batch->replaced.mappings, batch->replaced.count);
   vmb_queue_unref(batch->queue);

   if (batch->size_B >= SPARE_MIN_B && batch->size_B <= SPARE_MAX_B &&
       (!vm->spare_batch || vm->spare_batch->size_B < batch->size_B)) {
      struct vmb_batch *smaller = vm->spare_batch;
      vm->spare_batch = batch;
      batch = smaller;
   }
   free(batch);
}

static bool
overlaps(const struct vmb_gpuvm_req *a, size_t a_count, const struct vmb_gpuvm_req *b,
         size_t b_count)
{
   /* Both sorted and disjoint: a merge. */
   for (size_t i = 0, j = 0; i < a_count && j < b_count;) {
      if (vmb_mapping_end_B(&a[i].map) <= b[j].map.addr_B)
         i++;
      else if (vmb_mapping_end_B(&b[j].map) <= a[i].map.addr_B)
         j++;
      else
         return true;
   }
   return false;
}

bool
vmb_batch_overlaps(const struct vmb_batch *batch, const struct vmb_gpuvm_req *reqs, size_t count)
{
   if (batch->sorted)
      return overlaps(reqs, count, batch->ops, batch->op_count);
   for (uint32_t i = 0; i < batch->op_count; i++) {
      if (overlaps(reqs, count, &batch->ops[i], 1))
         return true;
   }
   return false;
}

bool
vmb_batch_overlaps_replaced(const struct vmb_batch *batch, const struct vmb_gpuvm_req *reqs,
                            size_t count)
{
   for (size_t i = 0; i < batch->replaced.count; i++) {
      const struct vmb_mapping *old = &batch->replaced.mappings[i];
      size_t first = 0, end = count;

      /* The first one that ends behind its start. */
      while (first < end) {
         const size_t middle = first + (end - first) / 2;

         if (vmb_mapping_end_B(&reqs[middle].map) <= old->addr_B)
            first = middle + 1;
         else
            end = middle;
      }
      if (first < count && reqs[first].map.addr_B < vmb_mapping_end_B(old))
         return true;
   }
   return false;
}

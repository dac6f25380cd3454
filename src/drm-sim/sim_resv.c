/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Fences by usage; see the header. Follows drivers/dma-buf/dma-resv.c. Must know nothing of BOs.
 */

#include "sim_resv.h"

#include <stdint.h>
#include <stdlib.h>

#include "sim_fence.h"

void
sim_resv_finish(struct sim_resv *resv)
{
   for (unsigned i = 0; i < SIM_RESV_USAGES; i++) {
      sim_fence_put(resv->fences[i]);
      resv->fences[i] = NULL;
   }
}

void
sim_resv_add_fence(struct sim_resv *resv, struct sim_fence *fence, enum sim_resv_usage usage)
{
   sim_sync_lock();
   struct sim_fence *merged = sim_fence_merge_locked(resv->fences[usage], fence);
   if (merged) {
      sim_fence_put(resv->fences[usage]);
      resv->fences[usage] = merged;
   }
   sim_sync_unlock();
}

struct sim_fence *
sim_resv_get(struct sim_resv *resv, enum sim_resv_usage usage)
{
   sim_sync_lock();
   struct sim_fence *all = sim_fence_merge_locked(resv->fences[0], NULL);
   for (unsigned i = 1; all && i <= usage; i++) {
      struct sim_fence *more = sim_fence_merge_locked(all, resv->fences[i]);
      sim_fence_put(all);
      all = more;
   }
   sim_sync_unlock();
   return all;
}

bool
sim_resv_is_idle_locked(struct sim_resv *resv, enum sim_resv_usage usage)
{
   for (unsigned i = 0; i <= usage; i++) {
      if (resv->fences[i] && !sim_fence_is_signaled_locked(resv->fences[i]))
         return false;
   }
   return true;
}

bool
sim_resv_is_idle(struct sim_resv *resv, enum sim_resv_usage usage)
{
   sim_sync_lock();
   bool is_idle = sim_resv_is_idle_locked(resv, usage);
   sim_sync_unlock();
   return is_idle;
}

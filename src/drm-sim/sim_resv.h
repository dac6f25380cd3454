/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What is going on with a BO or an address space, as the kernel's dma_resv: fences by what they
 * mean for others. A usage includes those before it. Must know nothing of BOs.
 */

#ifndef SIM_RESV_H
#define SIM_RESV_H

#include <stdbool.h>

struct sim_fence;

enum sim_resv_usage {
   /* Moves and binds: everybody waits. */
   SIM_RESV_KERNEL,
   /* Implicit synchronisation: readers wait for writers, writers for both. */
   SIM_RESV_WRITE,
   SIM_RESV_READ,
   /* Nobody waits but who takes memory away. */
   SIM_RESV_BOOKKEEP,
   SIM_RESV_USAGES,
};

/* Zeroed to begin with; the fences are under the lock of all fences. */
struct sim_resv {
   struct sim_fence *fences[SIM_RESV_USAGES];
};

void sim_resv_finish(struct sim_resv *resv);

void sim_resv_add_fence(struct sim_resv *resv, struct sim_fence *fence, enum sim_resv_usage usage);

/* All of this usage and those before it as one fence, with a reference; NULL without memory. */
struct sim_fence *sim_resv_get(struct sim_resv *resv, enum sim_resv_usage usage);

bool sim_resv_is_idle(struct sim_resv *resv, enum sim_resv_usage usage);
bool sim_resv_is_idle_locked(struct sim_resv *resv, enum sim_resv_usage usage);

#endif /* SIM_RESV_H */

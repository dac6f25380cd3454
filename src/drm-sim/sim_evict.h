/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Memory taken away from BOs that nothing runs on, and given back before something does: TTM's
 * eviction, a shrinker, and the notifier of the program's own pages (userptr). The contents stay;
 * what goes are page table entries. Must know nothing of any driver.
 */

#ifndef SIM_EVICT_H
#define SIM_EVICT_H

#include <stdbool.h>
#include <stdint.h>

struct sim_bo;
struct sim_fence;
struct sim_vm;

/* 0, or -EBUSY when jobs that may use it are on their way or the CPU executes from its pages, or
 * -EPERM in a VM of a driver that keeps everything in place.
 */
int sim_evict_bo(struct sim_bo *bo);

/* Evicts, oldest first, until size_B more fit below the limit that was asked for (sim_fault), or
 * nothing is left to evict.
 */
void sim_evict_make_room(uint64_t size_B);

/* drm_gpuvm_validate() and what drivers do with its list: all that the VM maps is there again. From
 * then on, and until the fence (if there is one) has signalled, nothing of it goes. -EBUSY where
 * the driver refuses a BO whose contents the program gave away.
 */
int sim_evict_validate(struct sim_vm *vm, struct sim_fence *fence);

/* The program is about to change what these addresses of its own are: page table entries that show
 * them go, once what runs has ended. And then it has.
 */
void sim_evict_user_range_start(uint64_t addr, uint64_t size_B);
void sim_evict_user_range_end(void);

/* How often a BO was evicted, and an evicted range of addresses given back, in this process */
void sim_evict_get_counts(uint64_t *evicted, uint64_t *restored);

#endif /* SIM_EVICT_H */

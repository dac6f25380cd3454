/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The host's MMU as the GPU's: where the program has reserved addresses (mmap of PROT_NONE with
 * MAP_NORESERVE), what page tables say about them is shown there. Addresses that nobody reserved
 * are never touched. Must know nothing of VMs.
 */

#ifndef SIM_MMU_H
#define SIM_MMU_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct sim_bo;

/* From now on nothing is shown. */
void sim_mmu_set_unseen(bool unseen);

/* What the interposer saw */
void sim_mmu_reserved(void *addr, uint64_t size_B);
void sim_mmu_dontdump(void *addr, uint64_t size_B);
int sim_mmu_munmap(void *addr, uint64_t size_B);

/* For a fork */
void sim_mmu_lock(void);
void sim_mmu_unlock(void);

/* Whether an address is within a reservation. Without locks, for the signal handler. */
bool sim_mmu_is_reserved(uint64_t va);

/* Whether the CPU sees any of it there */
bool sim_mmu_is_shown(uint64_t va, uint64_t size_B);

/* 0 or -ENOMEM. A BO of NULL shows zeros that cannot be written. */
int sim_mmu_map(uint64_t va, uint64_t size_B, const struct sim_bo *bo, uint64_t offset,
                bool read_only);
/* Zeros that can be written, and that nobody else sees. */
int sim_mmu_map_scratch(uint64_t va, uint64_t size_B);
int sim_mmu_unmap(uint64_t va, uint64_t size_B);

#endif /* SIM_MMU_H */

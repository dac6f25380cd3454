/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The oracles and the faults of the kernel under test: panthor's own dump of its trees, fakemali's
 * walk of the GPU's page tables, and fakemali's module parameters.  Must not know who asks.
 */

#ifndef TEST_INSPECT_H
#define TEST_INSPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** One mapping of a VM's tree. */
struct inspect_mapping {
   uint64_t addr_B;
   uint64_t range_B;
   /** The kernel's address of the object: good to tell objects apart. */
   uint64_t object;
   uint64_t offset_B;
};

/**
 * The tree of a GPU VM as debugfs shows it, without what the kernel maps for itself at the top.
 * \param index  in order of creation, among the VMs of all processes
 * \return the number of mappings, or -1 if there is no such VM; *maps_out is the caller's to free()
 */
int inspect_tree(unsigned index, struct inspect_mapping **maps_out);

/** The number of GPU VMs. */
unsigned inspect_vm_count(void);

/** The kernel's address of the object behind a handle of an open node. */
uint64_t inspect_object(int drm_fd, uint32_t handle);

/** One page of the GPU's page tables. */
struct inspect_page {
   unsigned as;
   uint64_t addr_B;
   /** Size of the block that the page is part of. */
   uint64_t block_B;
   bool readonly;
   /** The first eight bytes that the GPU would read there. */
   uint64_t word;
};

/** Calls f for every page that an address space other than the firmware's maps. */
void inspect_pages(void (*f)(void *data, const struct inspect_page *page), void *data);

/** Sets a parameter of fakemali; see fm_faults.c there. */
void inspect_set_fault(const char *parameter, int value);
int inspect_get_fault(const char *parameter);
/** Lets held jobs go on. */
void inspect_run_jobs(void);
uint64_t inspect_stat(const char *name);

#endif /* TEST_INSPECT_H */

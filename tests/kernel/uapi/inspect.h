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
 * \param index  among the VMs of all processes, the latest one first: 0 is the youngest.  So one that the
 *               kernel has still to clean up behind a closed file does not count.
 * \return the number of mappings, or -1 if there is no such VM; *maps_out is the caller's to free()
 */
int inspect_tree(unsigned index, struct inspect_mapping **maps_out);

/** The number of GPU VMs, those to be cleaned up among them. */
unsigned inspect_vm_count(void);
/** Waits until there are no more than so many. */
void inspect_wait_for_vm_count(unsigned count);

/** What the kernel calls the object behind a handle of an open node; 0 if there is none. */
struct inspect_object {
   /** In trees */
   uint64_t object;
   /** In page tables */
   uint64_t mapping;
};
struct inspect_object inspect_object(int drm_fd, uint32_t handle);

/**
 * Where something is that the kernel maps for itself in the VM (a group's memory); index as above.
 * \return an address, 0 if there is nothing
 */
uint64_t inspect_kernel_part(unsigned index);
/** Waits until there is nothing of it, so that what comes then is the next group's. */
void inspect_wait_for_no_kernel_part(unsigned index);

/** One page of the GPU's page tables. */
struct inspect_page {
   unsigned as;
   uint64_t addr_B;
   /** Size of the block that the page is part of. */
   uint64_t block_B;
   bool readonly;
   /** The first eight bytes that the GPU would read there. */
   uint64_t word;
   /** Whose page it is, and where in it. */
   uint64_t mapping;
   uint64_t offset_B;
};

/** Calls f for every page in [addr_B, end_B) that an address space other than the firmware's maps. */
void inspect_pages(uint64_t addr_B, uint64_t end_B,
                   void (*f)(void *data, const struct inspect_page *page), void *data);

/** Values of fakemali's parameter fail_by: whose operations count. */
enum {
   INSPECT_BY_ANYBODY = 0,
   INSPECT_BY_IOCTL = 1,
   INSPECT_BY_WORKER = 2,
};

/** Sets a parameter of fakemali; see fm_faults.c there. */
void inspect_set_fault(const char *parameter, int value);
int inspect_get_fault(const char *parameter);
/** A sync file that signals when inspect_fence_signal() is called; -1 on failure. */
int inspect_fence_create(void);
void inspect_fence_signal(int fence_fd);
/** Lets held jobs go on. */
void inspect_run_jobs(void);
uint64_t inspect_stat(const char *name);

#endif /* TEST_INSPECT_H */

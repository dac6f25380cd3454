/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What the behaviour suite needs of the kernel under test beside the core: a node, fences that it
 * can hold, and, as the oracle, what the kernel itself says is mapped.
 *
 * target_sim.c implements it for the simulator.  A real kernel is another file with the same
 * functions; what it cannot do, it says, and the tests that need it are skipped.
 */

#ifndef TEST_TARGET_H
#define TEST_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmbind/vmb_vm.h"

/** One mapping of the kernel's tree.  The BO is told apart by its GEM handle; 0 for a null
 * mapping. */
struct target_mapping {
   uint64_t addr_B;
   uint64_t range_B;
   uint32_t handle;
   uint64_t offset_B;
};

/** Whether the kernel's tree shows null mappings with a handle of the back-end's. */
static inline bool
target_null_has_handle(const struct vmb_caps *caps)
{
   return caps->null_mode == VMB_NULL_BLACK_HOLE || caps->null_mode == VMB_NULL_REPEAT;
}

/** Takes the mappings out that the kernel's tree does not show; returns how many are left. */
static inline size_t
target_visible(const struct vmb_caps *caps, struct vmb_vm_mapping *maps, size_t count)
{
   size_t left = 0;

   for (size_t i = 0; i < count; i++) {
      if (caps->null_mode != VMB_NULL_REGION || !(maps[i].flags & VMB_MAPPING_NULL))
         maps[left++] = maps[i];
   }
   return left;
}

/** Opens the node; the caller closes it. */
int target_open(void);

/**
 * A fence that signals when the test says so, as a sync file.
 * \return an fd, or -1 if the target has no such fences
 */
int target_fence_create(void);
void target_fence_signal(int fence_fd);

/** The kernel's GPUVM tree, in address order; *maps_out is the caller's to free().
 * False if the target cannot tell. */
bool target_get_tree(int drm_fd, uint32_t kernel_vm, struct target_mapping **maps_out,
                     size_t *count_out);

/** What the GPU's page tables hold at an address: the handle and the offset; handle 0 for a null
 * page.  False for a hole. */
bool target_get_page(int drm_fd, uint32_t kernel_vm, uint64_t addr_B, uint32_t *handle_out,
                     uint64_t *offset_B_out);
/** The same for all pages of 4 KiB in [addr_B, end_B), in address order; *pages_out is the caller's to
 * free(). */
struct target_page {
   uint64_t addr_B;
   uint32_t handle;
   uint64_t offset_B;
};
void target_get_pages(int drm_fd, uint32_t kernel_vm, uint64_t addr_B, uint64_t end_B,
                      struct target_page **pages_out, size_t *count_out);
/** Whether both work. */
bool target_has_pages(void);

/** Reads memory as the GPU sees it; false at a hole. */
bool target_read(int drm_fd, uint32_t kernel_vm, uint64_t addr_B, void *data, uint64_t size_B);
/** Whether target_read() works. */
bool target_has_memory(void);

/** The n-th VM_BIND ioctl from now on fails with err, and `times - 1` more after it.  False if the
 * target cannot do that. */
bool target_fail_binds(unsigned n, unsigned times, int err);
/** The n-th operation that an ioctl applies itself fails with err, once. */
bool target_fail_op(unsigned n, int err);
/** The ioctl succeeds; the n-th bind that runs from now on fails, and all after it. */
bool target_fail_jobs(unsigned n, int err);
/** Each ioctl from now on takes that much longer, before it has looked at anything. */
bool target_delay_ioctls(unsigned us);
/** All BOs together cannot become larger than that. */
bool target_limit_memory(uint64_t size_B);
void target_fail_nothing(void);

/** Page faults, leaks and the like that the target found by itself; 0 if all is well. */
unsigned target_complaints(void);

#endif /* TEST_TARGET_H */

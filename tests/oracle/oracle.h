/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The kernel's own drm_gpuvm.c, unmodified, behind a plain interface: the least
 * that a driver does with it, and everything that can be seen of it.  Knows
 * nothing of the mirror that is compared with it.
 *
 * Addresses, ranges and offsets are in bytes.  Errors are negative errno, the
 * kernel's.  One thread.
 */

#ifndef ORACLE_H
#define ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct oracle;

/** Handle of "no BO": a null mapping. */
#define ORACLE_NO_BO 0u

struct oracle_mapping {
   uint64_t addr_B;
   uint64_t range_B;
   uint64_t offset_B;
   uint32_t bo;
   /** The driver's own: carried by the mapping and by what is left of it. */
   uint32_t flags;
};

enum oracle_step_type {
   ORACLE_STEP_UNMAP,
   ORACLE_STEP_REMAP,
   ORACLE_STEP_MAP,
};

struct oracle_step {
   enum oracle_step_type type;
   /** UNMAP, REMAP: the mapping that goes.  MAP: the new one. */
   struct oracle_mapping map;
   /** REMAP: what is left before and after; range_B 0 if nothing. */
   struct oracle_mapping prev;
   struct oracle_mapping next;
   bool keep;
};

/** How a driver uses drm_gpuvm. */
enum oracle_style {
   /** One callback a step, which changes the tree at once. */
   ORACLE_CALLBACKS,
   /** A list of all steps first, then the changes (xe, nouveau). */
   ORACLE_OPS_LIST,
   /** Callbacks on the fence-signalling path, with clean-up deferred (panthor since 6.19):
    * DRM_GPUVM_IMMEDIATE_MODE, which older kernels do not have. */
   ORACLE_IMMEDIATE,
   ORACLE_STYLE_COUNT,
};

struct oracle_params {
   uint64_t va_start_B, va_range_B;
   /** The kernel's own window; may be empty. */
   uint64_t kernel_start_B, kernel_range_B;
   enum oracle_style style;
};

/** As the build system names it: "6.12". */
const char *oracle_kernel_version(void);

bool oracle_has_style(enum oracle_style style);

struct oracle *oracle_create(const struct oracle_params *params);
/** Unmaps everything; BOs end with the oracle. */
void oracle_destroy(struct oracle *oracle);

/** Returns the handle: 1, 2, ...  An external BO does not share the VM's dma_resv. */
uint32_t oracle_bo_create(struct oracle *oracle, bool external);

/** Holds a reference of the BO's vm_bo, as a driver does between two binds of one ioctl: maps need
 * not look for it. */
void oracle_bo_pin(struct oracle *oracle, uint32_t bo);

/** drm_gpuvm_sm_map() or the ops list of it; -EINVAL. */
int oracle_map(struct oracle *oracle, const struct oracle_mapping *map);
/** drm_gpuvm_sm_unmap(); -EINVAL. */
int oracle_unmap(struct oracle *oracle, uint64_t addr_B, uint64_t range_B);
/** drm_gpuvm_bo_unmap_ops_create(). */
int oracle_bo_unmap_all(struct oracle *oracle, uint32_t bo);

/** Whether this kernel splits mappings for madvise, and the steps of it: drm_gpuvm_madvise_ops_create().
 * Then sets flags on what is in the range, as a driver would. */
bool oracle_has_madvise(void);
int oracle_madvise(struct oracle *oracle, uint64_t addr_B, uint64_t range_B, uint32_t set);

/** drm_gpuvm_range_valid(). */
bool oracle_range_valid(struct oracle *oracle, uint64_t addr_B, uint64_t range_B);

/** Calls fn with each step before it is taken; NULL for none. */
typedef void (*oracle_step_fn)(const struct oracle_step *step, void *data);
void oracle_set_step_fn(struct oracle *oracle, oracle_step_fn fn, void *data);

/** The mapping that contains an address: drm_gpuva_find_first(). */
bool oracle_find(struct oracle *oracle, uint64_t addr_B, struct oracle_mapping *map_out);

/** All mappings that touch [addr_B, addr_B + range_B), in address order, as many as fit; returns
 * how many there are: drm_gpuvm_for_each_va_range(). */
size_t oracle_dump(struct oracle *oracle, uint64_t addr_B, uint64_t range_B,
                   struct oracle_mapping *maps, size_t capacity);

size_t oracle_mapping_count(const struct oracle *oracle);

/** Whether the BO has a vm_bo, and the length of that one's list of mappings. */
bool oracle_bo_has_vm_bo(struct oracle *oracle, uint32_t bo);
size_t oracle_bo_mapping_count(struct oracle *oracle, uint32_t bo);

/** Length of the VM's list of external objects. */
size_t oracle_extobj_count(struct oracle *oracle);

/** drm_gpuvm_bo_evict(); nothing if the BO has no vm_bo. */
void oracle_bo_evict(struct oracle *oracle, uint32_t bo, bool evict);
/** Length of the VM's list of evicted objects. */
size_t oracle_evicted_count(struct oracle *oracle);

/** Bytes that a mapping costs. */
size_t oracle_mapping_size_B(void);

/** WARN_ON()s that were true so far, in this process: must stay 0. */
unsigned oracle_warnings(void);
/** Allocations that were not freed: 0 after the last destroy. */
size_t oracle_allocations(void);

#endif /* ORACLE_H */

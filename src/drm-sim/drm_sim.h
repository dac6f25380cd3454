/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What a test may ask of the simulated DRM node and have it do, beside the ioctls: choose the
 * kernel driver, look at the tree of mappings and the page tables, hold the bind worker, make
 * things fail. A program that does not link the simulator finds the functions with
 * dlsym(RTLD_DEFAULT, ...), and finds none when there is none. Product code never does. Must not
 * show how the simulator works.
 *
 * Functions that take an fd want one of the simulated node. vm_id is the number in the driver's
 * ioctls (panthor, xe); msm has one VM a file, and takes 0. All return 0 or a negative errno unless
 * told otherwise.
 */

#ifndef DRM_SIM_H
#define DRM_SIM_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The kernel driver behind the node, for files opened from now on. SPEC as in DRM_SIM_KMD:
 *
 *    NAME[-MAJOR.MINOR][:OPTION...]
 *       panthor    1.0 to 1.9
 *       msm        1.12, without VM_BIND, and 1.13
 *       xe         1.1
 *       nouveau    1.4
 *       amdgpu     3.61, without fences on binds, to 3.64
 *       powervr    1.0
 *       asahi      1.0, unverified: its UAPI is upstream and its driver is not
 *       none       there is no node
 *
 *    va=BITS       a smaller GPU address space
 *    unseen        the host's MMU shows nothing, as with a real GPU
 *    noprr         msm without partially resident regions: no MAP_NULL
 */
int drm_sim_select(const char *spec);

/* What is to go wrong, as in DRM_SIM_FAULT and DRM_SIM_MISAPPLY, items separated by commas; counts
 * start again. NULL: nothing.
 *
 *    DRM_SIM_FAULT
 *       KIND:N=ERRNO         the N-th fails
 *       KIND:N+=ERRNO        the N-th and all after
 *       KIND:P%SEED=ERRNO    each with a probability of P per mille, the same for the same seed
 *       lost:N               the device is lost with the N-th ioctl
 *       delay:US, slow:US    each ioctl, each bind job, takes longer
 *       mem:SIZE             a limit on the bytes of all BOs (suffixes K, M, G)
 *       evict:SIZE           a limit above which idle BOs are evicted, and come back before a submit
 *
 *    KIND is an ioctl (vm_bind, bo_create, syncobj_wait, ..., or '*' for any), op (a bind operation
 *    when an ioctl looks at it), or job (a bind job when it runs).
 *
 *    DRM_SIM_MISAPPLY
 *       map:N, unmap:N, null:N    the N-th is applied to the tree alone: neither to the page tables
 *                                 nor to what the CPU sees of them
 *       offset:N                  the N-th map is 64 KiB off in its BO, or at its start
 *
 *    DRM_SIM_CHECK=1 stops the program at the end of a VM whose page tables hold what its tree does
 *    not.
 */
int drm_sim_set_fault(const char *spec);
int drm_sim_set_misapply(const char *spec);

/* While a VM is held, none of its bind jobs starts. */
int drm_sim_hold(int fd, uint32_t vm_id);
int drm_sim_release(int fd, uint32_t vm_id);

/* Until every bind job of the VM that can run has run. */
int drm_sim_wait_idle(int fd, uint32_t vm_id);

/* A mapping of the GPUVM tree, or a run of page table entries */
struct drm_sim_mapping {
   uint64_t va;
   uint64_t range_B;
   /* 0 for a null mapping, or for a BO that the file has no handle for any more */
   uint32_t handle;
   /* The BO itself: st_ino of its PRIME fds. 0 for a null mapping. */
   uint64_t bo_inode;
   uint64_t bo_offset_B;
   uint32_t flags;
};

#define DRM_SIM_MAPPING_NULL     (1u << 0)
#define DRM_SIM_MAPPING_READONLY (1u << 1)
/* panthor's MAP_SPARSE: pages of a dummy BO that repeat every 2 MiB */
#define DRM_SIM_MAPPING_SPARSE (1u << 2)
/* asahi's SINGLE_PAGE: the 16 KiB at the offset, over and over; a page table run has one offset */
#define DRM_SIM_MAPPING_REPEAT (1u << 3)

/* In order of address. A return other than 0 stops, and is returned. No function of this header,
 * and no ioctl, from inside.
 */
typedef int (*drm_sim_mapping_fn)(void *priv, const struct drm_sim_mapping *mapping);

/* The tree node by node, as the kernel's debugfs gpuvas: unmerged */
int drm_sim_for_each_gpuva(int fd, uint32_t vm_id, drm_sim_mapping_fn fn, void *priv);

/* The page tables as the longest contiguous runs */
int drm_sim_for_each_pte(int fd, uint32_t vm_id, drm_sim_mapping_fn fn, void *priv);

/* The page at an address (range_B is 4096); -EFAULT for a hole. */
int drm_sim_lookup(int fd, uint32_t vm_id, uint64_t va, struct drm_sim_mapping *mapping);

/* Memory through the page tables: -EFAULT at a hole. */
int drm_sim_read(int fd, uint32_t vm_id, uint64_t va, void *data, uint64_t size_B);
int drm_sim_write(int fd, uint32_t vm_id, uint64_t va, const void *data, uint64_t size_B);

/* Takes a BO's memory away, as a shrinker would: its page table entries are gone until the next
 * submit or bind that the driver revalidates them for. handle 0: of all BOs of the process, as far
 * as that is possible. -EBUSY while jobs that may use it are on their way, or where the host's MMU
 * shows it; -EPERM on a driver that never evicts.
 */
int drm_sim_evict(int fd, uint32_t handle);

/* How many BOs were evicted, and how many ranges of addresses given back, in this process */
void drm_sim_get_eviction_counts(uint64_t *evicted, uint64_t *restored);

struct drm_sim_op_counts {
   uint64_t map;
   uint64_t unmap;
   uint64_t null;
};

/* Bind operations that have been applied to the page tables */
int drm_sim_get_op_counts(int fd, uint32_t vm_id, struct drm_sim_op_counts *counts);

/* Calls of an ioctl in this process, by its name as in DRM_SIM_FAULT */
uint64_t drm_sim_get_ioctl_count(const char *name);

#ifdef __cplusplus
}
#endif

#endif /* DRM_SIM_H */

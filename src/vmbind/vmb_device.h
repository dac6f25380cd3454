/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * A DRM render node that speaks VM_BIND: what it can do, and its BOs.
 *
 * A device finds the back-end for the node's kernel driver and asks it for its
 * caps.  Nothing above the back-end knows which driver it is; behaviour follows
 * the caps.
 *
 * All functions may be called from any thread.  Errors are negative errno; the
 * cause of a failed vmb_device_create() is also said in words, to the log.
 */

#ifndef VMB_DEVICE_H
#define VMB_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/macros.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vmb_bo;
struct vmb_device;
struct vmb_vm;

/* -------------------------------------------------------------------- caps */

/** How a null mapping is made: one that reads and writes without a fault. */
enum vmb_null_mode {
   /** It is not: sparse residency is not to be had. */
   VMB_NULL_NONE,
   /** One operation over the whole range. */
   VMB_NULL_NATIVE,
   /** The same, and the kernel's tree shows a page of a BO that nobody else sees, over and over. */
   VMB_NULL_REPEAT,
   /** A region of the kernel's, made and removed with its range: what is unbound in it is null,
    * and no bind may reach over its bounds. */
   VMB_NULL_REGION,
   /** Mappings of one BO of vmb_caps.null_granule_B bytes that nobody else
    * sees, each at an address and offset congruent to the granule. */
   VMB_NULL_BLACK_HOLE,
};

/** Who waits and signals for a bind. */
enum vmb_sync_mode {
   /** The kernel: the ioctl attaches its fence to what is to be signalled. */
   VMB_SYNC_KERNEL,
   /** A thread of the queue's, where there is something to wait for: syncobjs have
    * no fence until they are signalled, so who waits for them must be ready to wait for a
    * fence (DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT). */
   VMB_SYNC_THREAD,
};

struct vmb_caps {
   /** The kernel driver, as drmGetVersion() names it. */
   const char *driver;
   int version_major;
   int version_minor;

   /** GPU addresses that userspace may map. */
   uint64_t va_start_B;
   uint64_t va_range_B;

   /** The kernel chooses the addresses, of BOs as a whole (vmb_vm_get_bo_addr()), and there
    * is nothing to bind: no ranges, no sparse features.  A BO's address goes with the BO. */
   bool kernel_addresses;

   /** Granularity of addresses, sizes and BO offsets of a bind. */
   uint32_t page_size_B;
   /** Size of the block that the GPU's page tables map with one entry; a
    * mapping whose address and BO offset are congruent to it is cheapest. */
   uint32_t block_size_B;
   /** Unmapping a part of a block is fine.  If not, operations are cut and
    * joined at block bounds only. */
   bool block_split;

   /** An unmap takes one whole mapping of the kernel's tree.  Others are first cut out by
    * mapping them as they are. */
   bool exact_unmap;

   /** The kernel's tree is changed by the ioctl (staged mode); if not, when
    * the bind runs (immediate mode). */
   bool staged;
   /** Binds on one VM run in the order of their ioctls, whatever queue they
    * came by.  If not, only those of one queue do. */
   bool fifo_per_vm;
   /** There is a bind that is done when its ioctl returns.  It may overtake
    * those that are queued. */
   bool immediate_bind;
   /** Of a failed immediate bind the operations before the failing one stay
    * applied, and their number is reported.  Otherwise a failed bind leaves
    * the VM as it was. */
   bool immediate_prefix;
   /** More of them may stay than is reported, where the kernel does not say how many: what comes behind those that are
    * known to be applied is taken back as well. */
   bool immediate_unsure;

   enum vmb_sync_mode sync_mode;

   enum vmb_null_mode null_mode;
   /** VMB_NULL_BLACK_HOLE: bytes of one mapping, a power of two. */
   uint32_t null_granule_B;
   /** Reads of a null mapping give zero and writes are dropped.  If not, reads
    * are undefined, though they stay inside the process. */
   bool null_strict;

   /** Most operations of one ioctl; what costs the least with everything that
    * the kernel allocates for it. */
   uint32_t max_ops;
   /** Most syncs of one ioctl, waits and signals together; at least 2. */
   uint32_t max_syncs;

   /** BOs may be private to a VM, which is cheaper. */
   bool private_bos;
   /** Pages of BOs may be left to the kernel: vmb_bo_set_purgeable(). */
   bool purgeable;
   /** BOs may be made of memory of the process: vmb_bo_params.user_ptr. */
   bool userptr;

   /** VMs that one open file may have. */
   uint32_t max_vms;
};

/* ------------------------------------------------------------------ device */

enum vmb_log_level {
   VMB_LOG_ERROR,
   VMB_LOG_WARN,
};

struct vmb_device_params {
   /** An open render node.  The device works on a duplicate of it, so GEM
    * handles and syncobj handles are shared with the caller. */
   int drm_fd;

   /** Receives a line without newline; NULL prints to stderr. */
   void (*log)(void *data, enum vmb_log_level level, const char *line);
   void *log_data;

   /** Bytes of BOs that nobody uses any more which are kept for the next
    * vmb_bo_create() of their like: same VM, same caching, same size class (sizes
    * are then rounded up by a quarter at most).  Such a BO holds what it held
    * before.  They go after a second, when the kernel wants their pages
    * (vmb_caps.purgeable), and all of them before an allocation fails.  0: none. */
   uint64_t bo_cache_B;
};

/**
 * \return 0
 *         -ENODEV   not a DRM node, or no back-end for its driver
 *         -ENOTSUP  the kernel driver is too old, or has no VM_BIND
 *         -ENOMEM   or what the kernel said
 */
int vmb_device_create(const struct vmb_device_params *params, struct vmb_device **dev_out);

/** Every VM and BO of the device must be gone. */
void vmb_device_destroy(struct vmb_device *dev);

/** Valid as long as the device. */
const struct vmb_caps *vmb_device_caps(const struct vmb_device *dev);

/** The device's duplicate of the node; closed with the device. */
int vmb_device_fd(const struct vmb_device *dev);

/** Whether a VM of the device was lost.  -ENODEV from any call says the same. */
bool vmb_device_is_lost(const struct vmb_device *dev);

/** The name of the driver for which a back-end exists, by index; NULL at the
 * end.  asahi's is unverified. */
const char *vmb_driver_name(unsigned index);

/** What happened since the device was created; a consistent copy. */
struct vmb_stats {
   /** Binds asked for by the user, and null binds and unbinds that ranges
    * made of themselves. */
   uint64_t binds;
   uint64_t bind_bytes;
   /** Operations that the kernel was sent, by kind. */
   uint64_t ops_map;
   uint64_t ops_unmap;
   uint64_t ops_null;
   /** Bind ioctls, and those of them that only carried syncs. */
   uint64_t ioctls;
   uint64_t sync_only_ioctls;
   /** Binds that went into a neighbour's operation, and binds that changed
    * nothing or were overwritten in their own batch. */
   uint64_t merged;
   uint64_t dropped;
   /** Batches that needed more than one ioctl; ioctls that were halved and
    * tried again; batches that were rolled back. */
   uint64_t chunked;
   uint64_t retried;
   uint64_t rolled_back;
   /** BOs that came out of the cache; that were found to have lost their
    * pages. */
   uint64_t bos_reused;
   uint64_t bos_purged;
};

void vmb_device_get_stats(const struct vmb_device *dev, struct vmb_stats *stats_out);

/* ---------------------------------------------------------------------- bo */

struct vmb_bo_params {
   uint64_t size_B;

   /** The only VM in which the BO will be mapped, or NULL for a BO that may be
    * mapped in several VMs and exported.  Where the kernel driver knows
    * private BOs this makes every submission cheaper. */
   struct vmb_vm *vm;

   /** CPU accesses go through the CPU's caches and are coherent with the GPU;
    * write-combined otherwise. */
   bool cached;

   /** If not NULL: no new memory but this of the process, which must stay mapped as long as
    * the BO lives; address and size are multiples of vmb_caps.page_size_B.  It has no GEM
    * handle and cannot be exported.  When it gets other pages behind the kernel's
    * back, vmb_bo_invalidate(). */
   void *user_ptr;

   /** For dumps; copied.  May be NULL. */
   const char *name;
};

/** \return 0; -EINVAL for a size of 0, or a user_ptr that is not aligned; -EOPNOTSUPP for
 *          a user_ptr without vmb_caps.userptr; -ENOMEM; what the kernel said. */
int vmb_bo_create(struct vmb_device *dev, const struct vmb_bo_params *params,
                  struct vmb_bo **bo_out);

/**
 * Imports a dma-buf.  Importing one that the device has already gives the same
 * BO with one more reference.  The fd stays the caller's.
 * \return 0; -EBADF, -ENOMEM, what the kernel said.
 */
int vmb_bo_import(struct vmb_device *dev, int dmabuf_fd, struct vmb_bo **bo_out);

/** Exports as a dma-buf.  -EPERM for a BO that is private to a VM. */
int vmb_bo_export(struct vmb_bo *bo, int *dmabuf_fd_out);

struct vmb_bo *vmb_bo_ref(struct vmb_bo *bo);

/** A BO lives on, without references, as long as something is bound to it or
 * a bind that replaces it is pending. */
void vmb_bo_unref(struct vmb_bo *bo);

/** Maps the BO for the CPU; the pointer is valid as long as the BO.  Calls
 * after the first one return the same pointer.  -ENOMEM, ... */
int vmb_bo_map(struct vmb_bo *bo, void **ptr_out);

/**
 * Maps the BO's first \p size_B bytes for the CPU at an address of the caller's, in
 * place of what is mapped there.  The caller unmaps it; the pages live as long as it
 * is mapped.  (DRM maps a BO from its start only.)
 * \return 0; -EINVAL: not whole pages, or more than the BO has; -EPERM for one of user_ptr;
 *         what the kernel said
 */
int vmb_bo_map_at(struct vmb_bo *bo, uint64_t size_B, void *addr);

/**
 * Lets the kernel take the BO's pages when memory is short, or wants them to stay
 * again.  While it is purgeable it cannot be bound, exported or used by the GPU.
 * When its pages are gone they do not come back: what is bound of it is evicted, and
 * unbound by the next vmb_vm_validate() of each VM.
 *
 * \param retained_out  whether the BO still has its pages
 * \return 0; -EOPNOTSUPP without vmb_caps.purgeable; -EPERM if it is shared;
 *         what the kernel said
 */
int vmb_bo_set_purgeable(struct vmb_bo *bo, bool purgeable, bool *retained_out);

/**
 * The process's pages behind a BO of user_ptr have changed (an MMU notifier's event, as far as
 * userspace sees it).  Every VM that maps it sees it evicted until its next vmb_vm_validate()
 * binds it anew.  -EINVAL for other BOs.
 */
int vmb_bo_invalidate(struct vmb_bo *bo);

/**
 * Implicit synchronisation with others who have the BO.  What they still do with it that a reader
 * (\p write false) or a writer must wait for, as a sync file.
 * \return 0; -EPERM for a BO that cannot be shared; what the kernel said
 */
int vmb_bo_export_sync_file(struct vmb_bo *bo, bool write, int *sync_file_fd_out);

/** Makes others who have the BO wait for a sync file, which stays the caller's; readers only
 * if \p write. */
int vmb_bo_import_sync_file(struct vmb_bo *bo, bool write, int sync_file_fd);

/** Rounded up to pages, or to a size class: vmb_device_params.bo_cache_B. */
uint64_t vmb_bo_size_B(const struct vmb_bo *bo);
/** 0 for a BO of user_ptr. */
uint32_t vmb_bo_handle(const struct vmb_bo *bo);
const char *vmb_bo_name(const struct vmb_bo *bo);
/** Its number in traces and dumps, never used twice in a process. */
uint32_t vmb_bo_id(const struct vmb_bo *bo);

#ifdef __cplusplus
}
#endif

#endif /* VMB_DEVICE_H */

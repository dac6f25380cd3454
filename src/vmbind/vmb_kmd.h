/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The contract between the core and a kernel driver's back-end (KMD).
 *
 * A back-end is one file in kmd/ and knows its driver's UAPI and this header.
 * It keeps no state of what is bound, takes no lock, decides nothing: it
 * translates.  It must never know of plans, queues' points or the mirror.
 */

#ifndef VMB_KMD_H
#define VMB_KMD_H

#include "vmb_device.h"

struct vmb_kmd_device;
struct vmb_kmd_vm;

enum vmb_kmd_op_type {
   VMB_KMD_MAP,
   VMB_KMD_UNMAP,
   /** Only with caps.null_mode != VMB_NULL_NONE; never crosses a multiple of
    * caps.null_granule_B if that is not 0. */
   VMB_KMD_MAP_NULL,
   /** With VMB_NULL_REGION: all of a range becomes, or was, such a region.  Removing it unmaps
    * all of it. */
   VMB_KMD_REGION_CREATE,
   VMB_KMD_REGION_DESTROY,
};

struct vmb_kmd_op {
   enum vmb_kmd_op_type type;
   uint64_t addr_B;
   uint64_t range_B;
   uint64_t bo_offset_B;
   uint32_t bo_handle;
   /** With VMB_MAPPING_USERPTR, in place of handle and offset: the process's address. */
   uint64_t user_addr;
   /** VMB_MAPPING_READONLY, _NOEXEC, _UNCACHED, _DUMP, _USERPTR. */
   uint16_t flags;
};

struct vmb_kmd_sync {
   uint32_t syncobj;
   /** 0: binary. */
   uint64_t point;
};

/** One ioctl's worth. */
struct vmb_kmd_bind {
   /** As queue_create() gave it. */
   uint32_t queue;
   const struct vmb_kmd_op *ops;
   uint32_t op_count;
   const struct vmb_kmd_sync *waits;
   uint32_t wait_count;
   const struct vmb_kmd_sync *signals;
   uint32_t signal_count;
};

struct vmb_kmd_ops {
   /** The kernel driver's name. */
   const char *name;

   /**
    * Fills in all caps but the driver's name and version, which are there; the others are 0 and
    * false.
    * On failure says the cause in \p why, a line; on success what is to be
    * warned of, if anything.
    * \return 0; -ENOTSUP if the driver cannot do VM_BIND; what the kernel said
    */
   int (*open)(int fd, struct vmb_caps *caps, struct vmb_kmd_device **kdev_out, char *why,
               size_t why_size);
   void (*close)(struct vmb_kmd_device *kdev);

   int (*vm_create)(struct vmb_kmd_device *kdev, struct vmb_kmd_vm **kvm_out);
   void (*vm_destroy)(struct vmb_kmd_vm *kvm);
   /** For the driver's submit ioctl and for debugfs. */
   uint32_t (*vm_id)(const struct vmb_kmd_vm *kvm);
   /** 0; -ENODEV if the VM can no longer be used. */
   int (*vm_status)(struct vmb_kmd_vm *kvm);

   /** With caps.kernel_addresses: maps the BO, if it is not yet, and says where. */
   int (*bo_address)(struct vmb_kmd_vm *kvm, uint32_t handle, uint64_t *addr_out);

   /** A FIFO of binds of the VM; with caps.fifo_per_vm all are one. */
   int (*queue_create)(struct vmb_kmd_vm *kvm, uint32_t *queue_out);
   void (*queue_destroy)(struct vmb_kmd_vm *kvm, uint32_t queue);

   /** \p kvm is NULL for a BO that may be shared.  *size_B is rounded up. */
   int (*bo_create)(struct vmb_kmd_device *kdev, struct vmb_kmd_vm *kvm, uint64_t *size_B,
                    bool cached, uint32_t *handle_out);
   /** With caps.purgeable: whether the kernel may take the BO's pages.  Says
    * whether it still has them; once they are gone they stay gone. */
   int (*bo_set_purgeable)(struct vmb_kmd_device *kdev, uint32_t handle, bool purgeable,
                           bool *retained_out);
   /** The offset at which the node's fd can be mmapped. */
   int (*bo_mmap_offset)(struct vmb_kmd_device *kdev, uint32_t handle, uint64_t *offset_out);

   /**
    * With VMB_SYNC_KERNEL.  Sends one ioctl; calls on one VM come one at a time.  Operations take effect in order, after all waits and
    * before all signals.  With no operation it only carries syncs (at least one).
    * \return 0; -ENOMEM, -ENOBUFS try fewer operations; -ENODEV the VM is lost;
    *         others as the kernel said.  The VM is then as it was.
    */
   int (*bind)(struct vmb_kmd_vm *kvm, const struct vmb_kmd_bind *bind);

   /** With caps.immediate_bind, as always with VMB_SYNC_THREAD: done on return.  On failure *applied_out
    * operations took effect, and with caps.immediate_unsure perhaps some behind them. */
   int (*bind_immediate)(struct vmb_kmd_vm *kvm, const struct vmb_kmd_op *ops, uint32_t op_count,
                         uint32_t *applied_out);
   /** If not NULL, bind_immediate() only starts them: waits until all have taken effect. */
   int (*bind_wait)(struct vmb_kmd_vm *kvm);
};

extern const struct vmb_kmd_ops vmb_kmd_panthor;
extern const struct vmb_kmd_ops vmb_kmd_msm;
extern const struct vmb_kmd_ops vmb_kmd_xe;
extern const struct vmb_kmd_ops vmb_kmd_nouveau;
extern const struct vmb_kmd_ops vmb_kmd_amdgpu;
extern const struct vmb_kmd_ops vmb_kmd_powervr;
/** Unverified: its kernel driver is not in Linux, only the header is. */
extern const struct vmb_kmd_ops vmb_kmd_asahi;

#endif /* VMB_KMD_H */

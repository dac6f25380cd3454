/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * A GPU address space (VM), the ranges reserved in it, and the queues that bind
 * BOs there.
 *
 *    struct vmb_range *range;           a sparse resource, or a plain buffer
 *    vmb_range_create(vm, &(struct vmb_range_params){ .size_B = 1 << 30,
 *                     .unbound = VMB_UNBOUND_NULL }, &range);
 *    vmb_queue_submit(queue, &(struct vmb_submit){
 *                     .waits = waits, .wait_count = 1,
 *                     .binds = binds, .bind_count = 4096,
 *                     .signals = signals, .signal_count = 1 });
 *
 * The binds of one submit take effect together: after all waits, before any
 * signal.  Among them the last bind of an address wins.  They are planned into
 * the fewest operations and sent in the fewest ioctls; binds that change nothing
 * cost no operation at all.
 *
 * A VM keeps three states.  *Submitted* is what every bind given to the kernel
 * adds up to.  *Completed* is what the GPU sees now.  Between them lies the log
 * of pending batches, which keeps BOs and addresses from being freed or used
 * again before the GPU is done with what was there.
 *
 * Locks.  Each VM has a bind lock, held while a batch is planned, sent and
 * committed (an ioctl may sleep), and a state lock, held for short times by all
 * others.  Order: bind lock, state lock.  Lookups and dumps never take the bind lock.
 *
 * Errors are negative errno.  A call that fails has done nothing, unless it says
 * -ENODEV: then the device is lost, everything that was to be signalled is
 * signalled, and all further calls say -ENODEV as well.
 */

#ifndef VMB_VM_H
#define VMB_VM_H

#include "vmb_device.h"
#include "vmb_gpuvm.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vmb_queue;
struct vmb_range;

/* ---------------------------------------------------------------------- vm */

struct vmb_vm_params {
   /** The part of the device's address space that ranges come from; all of it
    * if window_range_B is 0. */
   uint64_t window_start_B;
   uint64_t window_range_B;

   /** Keep the order of the binds of a batch, one operation a bind: to find
    * out whether the planner is to blame.  Not where unmaps must be exact (vmb_caps.exact_unmap). */
   bool ordered;
};

/** \return 0; -EINVAL if the window is not inside the device's VA range; -ENOSPC
 *          if the open file has vmb_caps.max_vms VMs already; -ENOMEM, -ENODEV, what the kernel said. */
int vmb_vm_create(struct vmb_device *dev, const struct vmb_vm_params *params,
                  struct vmb_vm **vm_out);

/** Waits for what is pending.  Ranges and queues must be gone; mappings that
 * are left die with the kernel's VM. */
void vmb_vm_destroy(struct vmb_vm *vm);

struct vmb_device *vmb_vm_device(const struct vmb_vm *vm);
/** The VM's id in the kernel driver's interface: for submissions. */
uint32_t vmb_vm_kernel_id(const struct vmb_vm *vm);

/** Frees what completed batches kept.  Called by the VM itself when it submits;
 * for those who stop submitting.  Never waits. */
void vmb_vm_retire(struct vmb_vm *vm);

/** Waits until all that was submitted has completed, then retires.  -ETIME,
 * -ENODEV. */
int vmb_vm_wait_idle(struct vmb_vm *vm, int64_t abs_timeout_ns);

/** Whether the VM can still be used, for those who wait for its signals by themselves: a bind that
 * fails when it is executed signals like any other.  An ioctl at most, no lock.
 *
 * \return 0; -ENODEV, as far as the kernel driver tells */
int vmb_vm_check_status(struct vmb_vm *vm);

/**
 * Makes the VM fit for GPU work again after pages behind its BOs have gone: what is
 * bound of a purged BO is unbound, what is bound of an invalidated one of user_ptr is bound
 * anew.  To be called before GPU work is submitted; costs next to nothing if nothing has gone.
 * GPU work must wait for vmb_vm_get_sync().  Follows drm_gpuvm_validate().
 * \return 0; -ENOMEM; -ENODEV
 */
int vmb_vm_validate(struct vmb_vm *vm);

/**
 * Calls \p fn for each BO bound in the VM that is not private to it, with no lock held, until it
 * returns something else than 0; that is returned.  A submit that synchronises implicitly
 * needs to look at these only.  -ENOMEM.
 */
int vmb_vm_for_each_extobj(struct vmb_vm *vm, int (*fn)(struct vmb_bo *bo, void *data),
                           void *data);

/** Makes a binary syncobj signal when others are done with all shared BOs that are bound in the
 * VM: for GPU work to wait for.  -ENOMEM, what the kernel said. */
int vmb_vm_get_implicit_sync(struct vmb_vm *vm, uint32_t syncobj);

/** Makes others who have shared BOs that are bound in the VM wait for the fence that a binary
 * syncobj holds: after GPU work was submitted.  -EINVAL if it holds none; -ENOMEM, ... */
int vmb_vm_add_implicit_sync(struct vmb_vm *vm, uint32_t syncobj);

/* ------------------------------------------------------------------- range */

/** What the unbound parts of a range are. */
enum vmb_unbound {
   /** Holes: an access faults. */
   VMB_UNBOUND_HOLE,
   /** Null mappings: an access does not fault (vmb_caps.null_strict). */
   VMB_UNBOUND_NULL,
};

enum vmb_range_zone {
   VMB_ZONE_GENERAL,
   /** Below 4 GiB. */
   VMB_ZONE_LOW,
   /** For addresses that must be the same in another run. */
   VMB_ZONE_REPLAY,
};

struct vmb_range_params {
   uint64_t size_B;
   /** Power of two; 0 lets the VM choose what suits the size. */
   uint64_t align_B;
   enum vmb_range_zone zone;
   enum vmb_unbound unbound;
   /** The address that it must have, or 0. */
   uint64_t fixed_addr_B;
   /** For dumps; copied.  May be NULL. */
   const char *name;
};

/**
 * Reserves addresses.  A range with VMB_UNBOUND_NULL is bound to null asynchronously, or, where binds can be done
 * at once (vmb_caps.immediate_bind), together with what is bound next on the VM, by vmb_vm_get_sync() at the latest.
 * Binds to the range come after that by themselves, GPU work needs vmb_vm_get_sync().
 *
 * \return 0; -EINVAL (size, alignment, or a zone that the window has nothing of); -ENOSPC no such room; -EADDRINUSE
 *         (fixed: not free, or not the window's); -ENOTSUP null on a device that has none, or vmb_caps.kernel_addresses;
 *         -ENOMEM; -ENODEV
 */
int vmb_range_create(struct vmb_vm *vm, const struct vmb_range_params *params,
                     struct vmb_range **range_out);

/** Unbinds all of it and gives the addresses back once that has completed.  The GPU must be done with it.  Where
 * binds can be done at once, one that shows nothing but null is unbound with what is bound next, by
 * vmb_vm_get_sync() at the latest; BOs are let go at once. */
void vmb_range_destroy(struct vmb_range *range);

/**
 * Makes the kernel's tree of the range smaller: neighbouring mappings that
 * continue each other become one.  A kernel never does that by itself, and many
 * small mappings cost at every split, eviction and dump.  The GPU must not use the
 * range meanwhile.  Returns when done.
 *
 * \param saved_out  if not NULL: the number of mappings saved
 * \return 0; -ENOMEM, nothing changed; -ENODEV
 */
int vmb_range_defragment(struct vmb_range *range, uint64_t *saved_out);

uint64_t vmb_range_addr_B(const struct vmb_range *range);
/** Rounded up to pages. */
uint64_t vmb_range_size_B(const struct vmb_range *range);

/**
 * With vmb_caps.kernel_addresses, in place of ranges and binds: the address at which the
 * kernel has mapped the BO.  Mapped by the first call; it stays as long as the BO
 * lives.
 * \return 0; -ENOTSUP where addresses are the user's; -EINVAL a BO of another device;
 *         -ENOSPC, -ENOMEM, what the kernel said
 */
int vmb_vm_get_bo_addr(struct vmb_vm *vm, struct vmb_bo *bo, uint64_t *addr_B_out);

/* ------------------------------------------------------------------- queue */

/** A syncobj of the device's fd; \p point 0 means that it is binary. */
struct vmb_sync {
   uint32_t syncobj;
   uint64_t point;
};

struct vmb_bind {
   struct vmb_range *range;
   /** Where in the range; multiples of vmb_caps.page_size_B. */
   uint64_t offset_B;
   uint64_t size_B;
   /** NULL unbinds: back to what the range's unbound parts are. */
   struct vmb_bo *bo;
   uint64_t bo_offset_B;
   /** VMB_MAPPING_READONLY, _NOEXEC, _UNCACHED, _DUMP or 0. */
   uint16_t flags;
};

struct vmb_submit {
   /** Fences must be in place already: a wait before its signal was submitted is
    * refused with -EINVAL, as the kernel does.  With VMB_SYNC_THREAD a point of a
    * timeline may come later. */
   const struct vmb_sync *waits;
   uint32_t wait_count;
   const struct vmb_bind *binds;
   uint32_t bind_count;
   const struct vmb_sync *signals;
   uint32_t signal_count;
};

/** A bind queue: its batches take effect in order.  Batches of different queues
 * of a VM are ordered only where they touch the same addresses. */
int vmb_queue_create(struct vmb_vm *vm, struct vmb_queue **queue_out);

/** What is pending goes on and completes. */
void vmb_queue_destroy(struct vmb_queue *queue);

/**
 * Submits a batch.  Does not wait for it, though the kernel may throttle.  One that waits for nothing, on a
 * VM with nothing pending, is bound when this returns, where the kernel can do that
 * (vmb_caps.immediate_bind): it costs less.
 *
 * \param point_out  if not NULL: the batch's point on the queue's timeline; 0 if it has completed
 * \return 0
 *         -EINVAL  a bind is unaligned or outside its range or its BO, or a range
 *                  or BO of another VM; or a wait has no fence
 *         -ENOMEM, -ENOBUFS  nothing was bound
 *         -ENODEV  lost; the signals were signalled
 */
int vmb_queue_submit(struct vmb_queue *queue, const struct vmb_submit *submit,
                     uint64_t *point_out);

/** Waits until a point has completed; 0 is the latest one.  -ETIME, -ENODEV. */
int vmb_queue_wait(struct vmb_queue *queue, uint64_t point, int64_t abs_timeout_ns);

/** The latest batch's timeline point, to be waited for by others. */
struct vmb_sync vmb_queue_get_sync(const struct vmb_queue *queue);

/** Binds, and returns when it has taken effect.  The cheapest way where nothing
 * has to be waited for.  It waits for pending batches that touch the same addresses or mappings; where the kernel keeps
 * one order for all queues, and cannot bind at once beside it (nouveau), for all that is pending. */
int vmb_vm_bind_sync(struct vmb_vm *vm, const struct vmb_bind *binds, uint32_t bind_count);

/**
 * What GPU work must wait for to see the binds that ranges made of themselves: to be called before each
 * submission, after the ranges that it uses were created.  Binds the null mappings that are not there yet, which
 * needs no wait; otherwise it costs next to nothing.
 * A range that the kernel refuses to bind to null is left out: vmb_range_get_sync() says so.
 * \return 0; -ENOMEM, -ENOBUFS try again; -ENODEV
 */
int vmb_vm_get_sync(struct vmb_vm *vm, struct vmb_sync *sync_out);

/**
 * The same for GPU work that uses just this range, and whether it is bound at all: where vmb_range_create() has left
 * that for later, it cannot say.
 * \return 0; -ENOMEM, -ENOBUFS try again; -ENODEV; otherwise what the kernel said, and always will: so do submits that
 *         bind to the range, of which nothing but null is bound, if that
 */
int vmb_range_get_sync(struct vmb_range *range, struct vmb_sync *sync_out);

/* -------------------------------------------------------------------- seen */

enum vmb_state {
   VMB_STATE_SUBMITTED,
   VMB_STATE_COMPLETED,
};

/** A mapping as lookups and dumps show it.  Names are copies: valid after the
 * objects are gone. */
struct vmb_vm_mapping {
   uint64_t addr_B;
   uint64_t range_B;
   uint64_t bo_offset_B;
   /** 0 for null mappings. */
   uint32_t bo_id;
   uint32_t bo_handle;
   /** enum vmb_mapping_flags */
   uint16_t flags;
};

/** Copies the mappings that touch [addr_B, end_B) in address order, in the given
 * state.  *maps_out is the caller's to free().  Never waits for an ioctl.  -ENOMEM. */
int vmb_vm_get_mappings(struct vmb_vm *vm, enum vmb_state state, uint64_t addr_B, uint64_t end_B,
                        struct vmb_vm_mapping **maps_out, size_t *count_out);

/** What an address is: the range that it lies in, what is mapped there, what was
 * there before, and what is pending. */
struct vmb_who {
   bool in_range;
   char range_name[64];
   uint64_t range_addr_B;
   uint64_t range_size_B;
   bool mapped;
   struct vmb_vm_mapping mapping;
   char bo_name[64];
   /** What the GPU sees, if a bind of the address is pending. */
   bool pending;
   bool completed_mapped;
   struct vmb_vm_mapping completed;
};

void vmb_vm_who_is(struct vmb_vm *vm, uint64_t addr_B, struct vmb_who *who_out);

#ifdef __cplusplus
}
#endif

#endif /* VMB_VM_H */

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The mirror: what the kernel's drm_gpuvm tree holds, kept in userspace.
 *
 * A gpuvm is an ordered set of *mappings*, each a piece of GPU virtual address
 * space backed by a range of a BO (or by nothing: a null mapping).  Mappings
 * never overlap.  Mapping over existing ones cuts them exactly as the kernel's
 * drm_gpuvm_sm_map() does, so that on a driver which uses drm_gpuvm the mirror
 * has the same nodes as the kernel: neighbours are never fused, a mapping that
 * is hit in the middle leaves two.
 *
 *      old:   |-------- A --------|
 *      map:        |--- B ---|
 *      new:   |-A'-|--- B ---|-A"-|       one REMAP (prev and next), one MAP
 *
 *      old:   |---- A ----|---- C ----|
 *      map:           |--- B ---|
 *      new:   |-- A' -|--- B ---|- C' -|  REMAP (prev), REMAP (next), MAP
 *
 *      old:      |- A -|  |- C -|
 *      map:   |--------- B ---------|
 *      new:   |--------- B ---------|     UNMAP, UNMAP, MAP
 *
 * This file is a pure data structure.  It must never know of an ioctl, a
 * queue, a fence or a driver; it takes no lock except where a function says so.
 *
 * Memory: everything that can fail for lack of memory is in the functions that
 * return an int.  A change is made in two steps: vmb_gpuvm_reserve() first,
 * which may return -ENOMEM and then has changed nothing; then
 * vmb_gpuvm_map() / vmb_gpuvm_unmap(), which cannot fail.
 *
 * Locking: the caller serialises all calls on one gpuvm, except that calls
 * marked [reader] may run concurrently with each other.  The lists that hang
 * off a vmb_gpuvm_obj (one BO, several VMs) have a lock of their own, taken
 * inside, always after the caller's VM lock.
 *
 * Units: addresses, ranges and offsets are bytes and multiples of the page
 * size given at creation.  Errors are negative errno.
 */

#ifndef VMB_GPUVM_H
#define VMB_GPUVM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "c11/threads.h"
#include "util/list.h"
#include "util/macros.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vmb_gpuvm;
struct vmb_gpuvm_bo;

/* ------------------------------------------------------------------ object */

/**
 * What a mapping is a mapping of: embedded in a BO, as struct drm_gem_object
 * holds the kernel's list of vm_bos.
 */
struct vmb_gpuvm_obj {
   /** Size of the backing, in bytes. */
   uint64_t size_B;

   /** Called when a vm_bo is created and when it dies: the owner takes and
    * drops one reference of the BO.  Neither is called for weak gpuvms. */
   void (*ref)(struct vmb_gpuvm_obj *obj);
   void (*unref)(struct vmb_gpuvm_obj *obj);

   /** Guards vm_bos and userptr_seq. */
   mtx_t lock;
   struct list_head vm_bos;

   /** Number of times that the pages behind a userptr were invalidated. */
   uint64_t userptr_seq;
};

/** \p ref and \p unref: see struct vmb_gpuvm_obj; not called by this. */
void vmb_gpuvm_obj_init(struct vmb_gpuvm_obj *obj, uint64_t size_B,
                        void (*ref)(struct vmb_gpuvm_obj *obj),
                        void (*unref)(struct vmb_gpuvm_obj *obj));

/** No vm_bo may be left, except those of weak gpuvms: use
 * vmb_gpuvm_bo_unmap_all() on these first.  With the locks of these gpuvms held. */
void vmb_gpuvm_obj_finish(struct vmb_gpuvm_obj *obj);

/* ----------------------------------------------------------------- mapping */

enum vmb_mapping_flags {
   /** Backed by nothing: reads and writes do not fault.  vm_bo is NULL.
    * DRM_GPUVA_SPARSE, MSM_VM_BIND_OP_MAP_NULL, DRM_XE_VM_BIND_FLAG_NULL. */
   VMB_MAPPING_NULL = 1 << 0,
   /** The same piece of the BO repeats over the range: the offset does not
    * advance when the mapping is cut (asahi's SINGLE_PAGE). */
   VMB_MAPPING_REPEAT = 1 << 1,
   VMB_MAPPING_READONLY = 1 << 2,
   VMB_MAPPING_NOEXEC = 1 << 3,
   VMB_MAPPING_UNCACHED = 1 << 4,
   /** Wanted in the kernel's device core dumps. */
   VMB_MAPPING_DUMP = 1 << 5,
   /** Backed by pages of this process; see vmb_gpuvm_userptr_*(). */
   VMB_MAPPING_USERPTR = 1 << 6,
   /** The pages were taken away and must be bound again before use
    * (DRM_GPUVA_INVALIDATED).  Set by the evict functions only, and on what is mapped
    * while the BO is evicted. */
   VMB_MAPPING_INVALIDATED = 1 << 7,
   /** First of eight bits whose meaning belongs to the caller. */
   VMB_MAPPING_USER0 = 1 << 8,
};

/** Flags that make no difference to what the GPU sees at the mapping. */
#define VMB_MAPPING_STATE_FLAGS VMB_MAPPING_INVALIDATED

/** One mapping, by value: nothing points into the tree. */
struct vmb_mapping {
   uint64_t addr_B;
   uint64_t range_B;
   /** NULL for null mappings. */
   struct vmb_gpuvm_bo *vm_bo;
   /** Offset in the BO that addr_B shows; 0 for null mappings. */
   uint64_t offset_B;
   /** enum vmb_mapping_flags */
   uint16_t flags;
};

static inline uint64_t
vmb_mapping_end_B(const struct vmb_mapping *m)
{
   return m->addr_B + m->range_B;
}

/** The BO offset that \p addr_B, inside \p m, shows. */
static inline uint64_t
vmb_mapping_offset_at(const struct vmb_mapping *m, uint64_t addr_B)
{
   const bool advances = !(m->flags & (VMB_MAPPING_NULL | VMB_MAPPING_REPEAT));
   return m->offset_B + (advances ? addr_B - m->addr_B : 0);
}

/** The part of \p m inside [addr_B, end_B), which must not be empty. */
struct vmb_mapping vmb_mapping_clip(const struct vmb_mapping *m, uint64_t addr_B, uint64_t end_B);

/** Whether \p b, at the same place as a part of \p a, would show the GPU the
 * same as \p a does there. */
bool vmb_mapping_same_backing(const struct vmb_mapping *a, const struct vmb_mapping *b);

/* ------------------------------------------------------------------- gpuvm */

struct vmb_gpuvm_params {
   uint64_t va_start_B;
   uint64_t va_range_B;

   /** A hole that userspace must not map (the kernel's own window); may be
    * empty. */
   uint64_t kernel_start_B;
   uint64_t kernel_range_B;

   /** Granularity of everything; a power of two of at least 4096. */
   uint32_t page_size_B;

   /** Mappings do not keep their BO alive, the BO keeps its mappings: the mode
    * of msm's kernel-managed VMs.  There is no external and no evicted list. */
   bool weak;
};

/** Makes an empty gpuvm with one reference, the caller's.  Follows drm_gpuvm_init().
 * \return 0; -EINVAL for an empty, unaligned or wrapping range, or one that passes 2^59;
 *         -ENOMEM */
int vmb_gpuvm_create(const struct vmb_gpuvm_params *params, struct vmb_gpuvm **gpuvm_out);

/** Atomic: needs no lock.  Each vm_bo holds one reference of its gpuvm.  Follows drm_gpuvm_get(). */
struct vmb_gpuvm *vmb_gpuvm_ref(struct vmb_gpuvm *gpuvm);
/** Atomic, the last one frees; it must find no mapping (vmb_gpuvm_clear() first) and no deferred
 * vm_bo.  Follows drm_gpuvm_put(). */
void vmb_gpuvm_unref(struct vmb_gpuvm *gpuvm);

/**
 * A copy to look at and to play changes through (map, unmap and undo, with their
 * reservations): it counts no references, neither of vm_bos nor in records, and
 * is valid only while the original's vm_bos are.  Clear it before the unref.  -ENOMEM.
 */
int vmb_gpuvm_snapshot(struct vmb_gpuvm *gpuvm, struct vmb_gpuvm **snapshot_out);

/** As given at creation; the gpuvm's own, never changed.  Needs no lock. */
const struct vmb_gpuvm_params *vmb_gpuvm_get_params(const struct vmb_gpuvm *gpuvm);

/** Drops every mapping, and (deferred) the vm_bo references that they hold.  Cannot fail. */
void vmb_gpuvm_clear(struct vmb_gpuvm *gpuvm);

/** Whether a mapping may be at [addr_B, addr_B + range_B): aligned, not empty,
 * inside the VA range, not in the kernel's hole.  [reader]
 * Follows drm_gpuvm_range_valid(), and refuses empty ranges. */
bool vmb_gpuvm_range_valid(const struct vmb_gpuvm *gpuvm, uint64_t addr_B, uint64_t range_B);

/* ------------------------------------------------------------------- vm_bo */

/**
 * One (gpuvm, BO) pair: drm_gpuvm_bo.  Reference counted; each mapping of the
 * BO in the gpuvm holds one reference, and so does each record of a replaced
 * mapping (struct vmb_mapping given out by vmb_gpuvm_map() and friends).
 */
struct vmb_gpuvm_bo {
   struct vmb_gpuvm *gpuvm;
   struct vmb_gpuvm_obj *obj;

   /** In obj->vm_bos. */
   struct list_head obj_link;
   /** In the gpuvm's list of external objects; empty if not external. */
   struct list_head extobj_link;
   /** In the gpuvm's evicted list; empty if resident. */
   struct list_head evict_link;

   uint32_t refcount;
   uint32_t id;
   /** Number of mappings in the tree, and of records of replaced ones; both
    * together hold one reference. */
   uint32_t mapping_count;
   uint32_t record_count;
   bool external;
   bool evicted;
   /** obj->userptr_seq when its pages were last bound here. */
   uint64_t userptr_seq;

   /** In the list of deferred frees. */
   struct vmb_gpuvm_bo *defer_next;
};

/** The vm_bo of the pair, or NULL; takes no reference.  Locks the object.
 * [reader]  Follows drm_gpuvm_bo_find(). */
struct vmb_gpuvm_bo *vmb_gpuvm_bo_find(struct vmb_gpuvm *gpuvm, struct vmb_gpuvm_obj *obj);

/**
 * Finds or creates the vm_bo and takes a reference.  \p external says that the
 * BO is shared: it then stands on the gpuvm's list of external objects as long
 * as the vm_bo lives (-EINVAL on weak gpuvms); on a pair that has its vm_bo already it is ignored.
 * Locks the object.  -ENOMEM, with nothing changed.
 * Follows drm_gpuvm_bo_obtain() and drm_gpuvm_bo_extobj_add().
 */
int vmb_gpuvm_bo_obtain(struct vmb_gpuvm *gpuvm, struct vmb_gpuvm_obj *obj, bool external,
                        struct vmb_gpuvm_bo **vm_bo_out);

/** Allocates a vm_bo that is not yet known to the object, to be given to
 * vmb_gpuvm_bo_obtain_prealloc() or vmb_gpuvm_bo_put().  -ENOMEM, -EINVAL.
 * Follows drm_gpuvm_bo_create(). */
int vmb_gpuvm_bo_prealloc(struct vmb_gpuvm *gpuvm, struct vmb_gpuvm_obj *obj, bool external,
                          struct vmb_gpuvm_bo **vm_bo_out);

/** As obtain, but cannot fail: consumes \p prealloc, and returns it or the
 * vm_bo that the pair has already.  Follows drm_gpuvm_bo_obtain_prealloc(). */
struct vmb_gpuvm_bo *vmb_gpuvm_bo_obtain_prealloc(struct vmb_gpuvm_bo *prealloc);

/** One more reference, for whoever has one or holds the gpuvm's lock.  Atomic.  Follows
 * drm_gpuvm_bo_get(). */
struct vmb_gpuvm_bo *vmb_gpuvm_bo_get(struct vmb_gpuvm_bo *vm_bo);

/** Drops a reference; the last one frees the vm_bo and drops its reference of
 * the BO, which may free the BO: not with a lock held that freeing a BO takes.
 * Locks the object.  Follows drm_gpuvm_bo_put(). */
void vmb_gpuvm_bo_put(struct vmb_gpuvm_bo *vm_bo);

/** As put, where freeing a BO is not allowed (retirement, under the caller's
 * state lock): the last reference only queues the vm_bo.
 * Follows drm_gpuvm_bo_put_deferred(). */
void vmb_gpuvm_bo_put_deferred(struct vmb_gpuvm_bo *vm_bo);

/** Takes the queue of deferred vm_bos away, under the caller's lock, ... */
struct vmb_gpuvm_bo *vmb_gpuvm_bo_take_deferred(struct vmb_gpuvm *gpuvm);
/** ... and frees it, outside.  Together drm_gpuvm_bo_deferred_cleanup(). */
void vmb_gpuvm_bo_free_deferred(struct vmb_gpuvm_bo *list);

/* ------------------------------------------------------------------ change */

/** A request to map (vm_bo, or VMB_MAPPING_NULL in flags) or to unmap. */
struct vmb_gpuvm_req {
   struct vmb_mapping map;
   bool unmap;
};

/**
 * Makes sure that the given requests, applied in this order, need no more
 * memory.  Sorted and disjoint ones cost the least.  A reservation is a level, not
 * a ticket: it holds until the next change that was not part of it.
 *
 * \param replaced_out  if not NULL: an upper bound on the number of mappings
 *                      that the requests replace altogether
 * \return 0, or -ENOMEM with nothing changed; -EINVAL if a range is not valid,
 *         or a map has neither or both of a vm_bo and VMB_MAPPING_NULL
 */
int vmb_gpuvm_reserve(struct vmb_gpuvm *gpuvm, const struct vmb_gpuvm_req *reqs, size_t count,
                      size_t *replaced_out);

/**
 * As vmb_gpuvm_reserve(), and also for taking back the first of the requests, however many of
 * them were applied: for each of these, in the same order, an unmap of its range or maps of what was
 * there before, or first the one and then the others.  These replace no more than there are of them.
 */
int vmb_gpuvm_reserve_both_ways(struct vmb_gpuvm *gpuvm, const struct vmb_gpuvm_req *reqs,
                                size_t count, size_t *replaced_out);

/** Where vmb_gpuvm_map() and vmb_gpuvm_unmap() put the mappings that they cut
 * or remove, whole as they were before, in address order.  Each holds a
 * reference of its vm_bo, now the caller's.  With no sink the references are
 * dropped (deferred). */
struct vmb_replaced {
   struct vmb_mapping *mappings;
   size_t count;
   size_t capacity;
};

/** Maps; takes one reference of map->vm_bo of its own.  Needs a reservation;
 * cannot fail.  Follows drm_gpuvm_sm_map() plus the driver's callbacks. */
void vmb_gpuvm_map(struct vmb_gpuvm *gpuvm, const struct vmb_mapping *map,
                   struct vmb_replaced *replaced);

/** Unmaps whatever is in the range; a hole is a no-op.  Needs a reservation;
 * cannot fail.  Follows drm_gpuvm_sm_unmap() plus the driver's callbacks. */
void vmb_gpuvm_unmap(struct vmb_gpuvm *gpuvm, uint64_t addr_B, uint64_t range_B,
                     struct vmb_replaced *replaced);

/** Drops the references of replaced mappings (deferred).  Cannot fail. */
void vmb_gpuvm_release_replaced(const struct vmb_mapping *mappings, size_t count);

/** Undoes the latest change of the range: whatever is in it goes, and the
 * \p replaced mappings come back as they were, node for node.  Their
 * references move back into the tree.  Needs vmb_gpuvm_reserve_undo(). */
void vmb_gpuvm_undo(struct vmb_gpuvm *gpuvm, uint64_t addr_B, uint64_t range_B,
                    const struct vmb_mapping *replaced, size_t count);

/** Makes sure that undoing one change, which replaced so many mappings, needs no more
 * memory.  -ENOMEM. */
int vmb_gpuvm_reserve_undo(struct vmb_gpuvm *gpuvm, size_t replaced);

/**
 * Sets and clears flags on exactly the given range, cutting the mappings at
 * its two ends without unmapping anything: the attribute split of
 * drm_gpuvm_madvise_ops_create().  Like there, mappings of a BO are left as
 * they are unless \p with_bo.
 * \return 0; -ENOMEM with nothing changed; -EINVAL if the range is not valid, or for
 *         VMB_MAPPING_NULL and VMB_MAPPING_INVALIDATED, which are not the caller's to set
 */
int vmb_gpuvm_set_flags(struct vmb_gpuvm *gpuvm, uint64_t addr_B, uint64_t range_B, uint16_t set,
                        uint16_t clear, bool with_bo);

/* ------------------------------------------------------------------- steps */

enum vmb_step_type {
   VMB_STEP_UNMAP,
   VMB_STEP_REMAP,
   VMB_STEP_MAP,
};

/** One step of a change, as drm_gpuva_op. */
struct vmb_step {
   enum vmb_step_type type;
   /** UNMAP, REMAP: the mapping that goes.  MAP: the new one. */
   struct vmb_mapping map;
   /** REMAP: what is left before and after; range_B 0 if nothing. */
   struct vmb_mapping prev;
   struct vmb_mapping next;
   /** UNMAP, REMAP: the new mapping shows the same pages of the same BO at the
    * same addresses.  Only a hint: flags are not compared. */
   bool keep;
};

typedef void (*vmb_step_fn)(const struct vmb_step *step, void *data);

/** Calls \p fn with the steps that the kernel would take for the request, in
 * the kernel's order, changing nothing.  [reader]
 * Follows drm_gpuvm_sm_map_ops_create(), drm_gpuvm_sm_unmap_ops_create(). */
void vmb_gpuvm_foreach_step(struct vmb_gpuvm *gpuvm, const struct vmb_gpuvm_req *req,
                            vmb_step_fn fn, void *data);

/* ------------------------------------------------------------------ lookup */

/** The mapping that contains \p addr_B.  [reader]  Follows drm_gpuva_find_first()
 * with a range of one page. */
bool vmb_gpuvm_find(struct vmb_gpuvm *gpuvm, uint64_t addr_B, struct vmb_mapping *map_out);

/** A place in the tree; valid until the next change. */
struct vmb_gpuvm_iter {
   struct vmb_gpuvm *gpuvm;
   const void *leaf;
   unsigned index;
   uint64_t end_B;
};

/** Starts an iteration over the mappings that touch [addr_B, end_B), in
 * address order; [0, UINT64_MAX) is all.  [reader]  Follows drm_gpuvm_for_each_va_range(). */
void vmb_gpuvm_iter_init(struct vmb_gpuvm *gpuvm, struct vmb_gpuvm_iter *iter, uint64_t addr_B,
                         uint64_t end_B);
/** Goes on at another range, with what vmb_gpuvm_iter_init() would find there: cheaper than that if the range is
 * near the last one.  [reader] */
void vmb_gpuvm_iter_move(struct vmb_gpuvm_iter *iter, uint64_t addr_B, uint64_t end_B);
/** The next mapping, whole even if it sticks out of the range; false if there is none.  It takes no
 * reference of the vm_bo.  [reader] */
bool vmb_gpuvm_iter_next(struct vmb_gpuvm_iter *iter, struct vmb_mapping *map_out);

/** All holes in [addr_B, end_B), in order: sets the hole and returns true, or
 * false at the end.  \p addr_B is advanced and starts the next call.  Every address without a
 * mapping is in a hole, also those in the kernel's window and outside of the VA range.  [reader] */
bool vmb_gpuvm_next_hole(struct vmb_gpuvm *gpuvm, uint64_t *addr_B, uint64_t end_B,
                         uint64_t *hole_B_out, uint64_t *hole_range_B_out);

/** Calls \p fn for each mapping of the BO, in address order.  Looks only at
 * parts of the tree that may hold one.  \p fn must not change the gpuvm.  [reader]
 * Follows drm_gpuvm_bo_for_each_va(). */
void vmb_gpuvm_bo_foreach(struct vmb_gpuvm_bo *vm_bo,
                          void (*fn)(const struct vmb_mapping *map, void *data), void *data);

/** Removes every mapping of the BO, appending them to \p replaced (with
 * capacity for mapping_count, or NULL).  Cannot fail. */
void vmb_gpuvm_bo_unmap_all(struct vmb_gpuvm_bo *vm_bo, struct vmb_replaced *replaced);

/** Number of mappings.  [reader] */
size_t vmb_gpuvm_mapping_count(const struct vmb_gpuvm *gpuvm);
/** Bytes of memory that the tree holds.  [reader] */
size_t vmb_gpuvm_memory_B(const struct vmb_gpuvm *gpuvm);

/* -------------------------------------------- external, evicted and userptr */

/** The external objects, as vmb_gpuvm_bo.extobj_link: what every exec must
 * lock or fence one by one.  NULL for weak gpuvms. */
struct list_head *vmb_gpuvm_extobjs(struct vmb_gpuvm *gpuvm);
/** Their number; 0 for weak gpuvms. */
unsigned vmb_gpuvm_extobj_count(const struct vmb_gpuvm *gpuvm);

/** Marks the BO's mappings invalidated and puts it on the evicted list, or
 * takes it off again and makes them valid.  -EINVAL on weak gpuvms.
 * Follows drm_gpuvm_bo_evict() and a driver's validate callback. */
int vmb_gpuvm_bo_set_evicted(struct vmb_gpuvm_bo *vm_bo, bool evicted);

/** The evicted objects, as vmb_gpuvm_bo.evict_link; NULL for weak gpuvms. */
struct list_head *vmb_gpuvm_evicted(struct vmb_gpuvm *gpuvm);

/** The process's pages behind the object changed (an MMU notifier's event):
 * every gpuvm that maps it sees it evicted.  Locks the object; the caller
 * holds the lock of \p gpuvm, in which the mappings are marked. */
int vmb_gpuvm_userptr_invalidate(struct vmb_gpuvm *gpuvm, struct vmb_gpuvm_obj *obj);
/** Before the pages are looked up anew: the sequence number to pass to vmb_gpuvm_userptr_finish().
 * Locks the object.  Follows mmu_interval_read_begin(). */
uint64_t vmb_gpuvm_userptr_begin(struct vmb_gpuvm_bo *vm_bo);
/** The pages were bound anew as they were at \p seq: valid again, or -EAGAIN if
 * they changed meanwhile.  Locks the object.  Follows mmu_interval_read_retry(). */
int vmb_gpuvm_userptr_finish(struct vmb_gpuvm_bo *vm_bo, uint64_t seq);

/* ------------------------------------------------------------------- check */

/** Aborts with a message if an invariant of the structure does not hold.  For
 * tests: costs O(n). */
void vmb_gpuvm_check(struct vmb_gpuvm *gpuvm);

#ifdef __cplusplus
}
#endif

#endif /* VMB_GPUVM_H */

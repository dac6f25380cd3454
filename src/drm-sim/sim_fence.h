/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Fences, as the kernel's dma_fence, dma_fence_chain and dma_fence_array: something that signals
 * once, perhaps with an error; a point of a timeline, which has signalled when it and all before it
 * have; and several at once. Must know nothing of syncobjs, files or drivers.
 *
 * One lock guards the state of every fence and of every syncobj, and one condition variable is told
 * of every change: waiters look again. Functions named _locked expect the caller to hold it.
 */

#ifndef SIM_FENCE_H
#define SIM_FENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "util/list.h"

enum sim_fence_kind {
   SIM_FENCE_SINGLE,
   SIM_FENCE_CHAIN,
   SIM_FENCE_ARRAY,
};

struct sim_fence {
   int32_t refcount;
   enum sim_fence_kind kind;
   uint64_t context;
   uint64_t seqno;
   bool signaled;
   /* Negative errno with which it signalled, or 0 */
   int error;
   uint64_t timestamp_ns;
   /* The earliest time by which someone asked it to signal, or UINT64_MAX */
   uint64_t wanted_ns;
   const char *driver_name;
   const char *timeline_name;

   union {
      struct {
         struct sim_fence *prev;
         struct sim_fence *contained;
         uint64_t prev_seqno;
      } chain;
      struct {
         struct sim_fence **fences;
         uint32_t count;
      } array;
   };
};

void sim_sync_lock(void);
void sim_sync_unlock(void);

/* Something that a waiter may wait for has changed. */
void sim_sync_changed_locked(void);

/* Sleeps until a change (0), the absolute time (-ETIME; UINT64_MAX waits for ever), or a signal
 * that the program catches and that is to end system calls (-EINTR).
 */
int sim_sync_wait_locked(uint64_t deadline_ns);

/* Without the lock: until a change, or for so long. */
void sim_sync_wait_for_change(uint64_t timeout_ns);

/* A new context of fences, as dma_fence_context_alloc() */
uint64_t sim_fence_new_context(void);

struct sim_fence *sim_fence_create(uint64_t context, uint64_t seqno, const char *timeline_name);

/* dma_fence_set_deadline(): a hint to all fences inside that have not signalled */
void sim_fence_set_deadline_locked(struct sim_fence *fence, uint64_t deadline_ns);

/* A fence that has signalled already */
struct sim_fence *sim_fence_create_signaled(void);

/* A timeline's point on top of prev, which may be NULL: drm_syncobj_add_point()'s node. Takes over
 * the reference to prev and a reference of its own to fence.
 */
struct sim_fence *sim_fence_chain_locked(struct sim_fence *prev, struct sim_fence *fence,
                                         uint64_t seqno);

/* dma_fence_unwrap_merge(): the unsignalled fences inside a and b (which may be NULL), as one. */
struct sim_fence *sim_fence_merge_locked(struct sim_fence *a, struct sim_fence *b);

struct sim_fence *sim_fence_get(struct sim_fence *fence);
void sim_fence_put(struct sim_fence *fence);

void sim_fence_signal(struct sim_fence *fence, int error);
void sim_fence_signal_locked(struct sim_fence *fence, int error);

bool sim_fence_is_signaled(struct sim_fence *fence);
bool sim_fence_is_signaled_locked(struct sim_fence *fence);

/* 0 while it has not signalled, then 1 or the error */
int sim_fence_status_locked(struct sim_fence *fence);

/* dma_fence_chain_walk(): the next older node that has not signalled, and signalled ones let go of.
 * Borrowed, as all of a chain is while its head is held.
 */
struct sim_fence *sim_fence_chain_walk_locked(struct sim_fence *fence);

/* dma_fence_chain_find_seqno(): -EINVAL while fence has no such point, else 0 and in *point the
 * (borrowed) node, or NULL when it has signalled and is gone. Point 0 is the fence itself.
 */
int sim_fence_find_point_locked(struct sim_fence *fence, uint64_t seqno, struct sim_fence **point);

/* The single fences inside, in order: dma_fence_unwrap_for_each(). Returns how many there are and
 * writes at most max.
 */
uint32_t sim_fence_unwrap_locked(struct sim_fence *fence, struct sim_fence **out, uint32_t max);

/* Called, with the lock held, once the fence has signalled; at once if it has. The holder keeps the
 * watch and takes it out of its list to be told no more.
 */
struct sim_fence_watch {
   struct list_head link;
   struct sim_fence *fence;
   void (*signaled)(struct sim_fence_watch *watch);
};

void sim_fence_watch_locked(struct sim_fence_watch *watch);
void sim_fence_unwatch_locked(struct sim_fence_watch *watch);

#endif /* SIM_FENCE_H */

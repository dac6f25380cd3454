/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Which of the BOs that nobody uses any more are kept for the next who wants one
 * of that size: a list for each size class, bounded in bytes and in age.
 *
 * A pure data structure.  It must never know of a BO, an ioctl or the clock: the
 * owner embeds entries, says what time it is, and frees what it is told to.
 *
 * No locks: the owner serialises all calls.
 */

#ifndef VMB_BO_CACHE_H
#define VMB_BO_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "util/list.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Four classes for each power of two. */
#define VMB_BO_CACHE_CLASSES 160

/** What must be the same for a BO to be given to another. */
struct vmb_bo_cache_kind {
   uint64_t size_B;
   /** The VM that it is private to, or 0. */
   uint32_t vm_id;
   bool cached;
};

struct vmb_bo_cache_entry {
   struct vmb_bo_cache_kind kind;
   int64_t since_ns;
   struct list_head class_link;
   struct list_head age_link;
};

struct vmb_bo_cache {
   /** Bytes; 0 keeps nothing. */
   uint64_t limit_B;
   int64_t max_age_ns;
   uint32_t page_size_B;

   uint64_t size_B;
   struct list_head oldest_first;
   struct list_head classes[VMB_BO_CACHE_CLASSES];
};

void vmb_bo_cache_init(struct vmb_bo_cache *cache, uint64_t limit_B, int64_t max_age_ns,
                       uint32_t page_size_B);

/** The size with which a BO should be made, so that it fits others later: at most a quarter
 * more, and no more at all if it is too large to be kept. */
uint64_t vmb_bo_cache_round(const struct vmb_bo_cache *cache, uint64_t size_B);

/** Takes the entry of the kind that was put there last, or NULL. */
struct vmb_bo_cache_entry *vmb_bo_cache_take(struct vmb_bo_cache *cache,
                                             const struct vmb_bo_cache_kind *kind);

/** Puts an entry, whose kind is set, there; false if it is not to be kept. */
bool vmb_bo_cache_put(struct vmb_bo_cache *cache, struct vmb_bo_cache_entry *entry,
                      int64_t now_ns);

/** Takes one that has to go, because it is too old or there is too much; NULL if there is
 * none. */
struct vmb_bo_cache_entry *vmb_bo_cache_expire(struct vmb_bo_cache *cache, int64_t now_ns);

/** Takes any one that is private to the VM, or of all if vm_id is 0; NULL if there is none. */
struct vmb_bo_cache_entry *vmb_bo_cache_flush(struct vmb_bo_cache *cache, uint32_t vm_id);

#ifdef __cplusplus
}
#endif

#endif /* VMB_BO_CACHE_H */

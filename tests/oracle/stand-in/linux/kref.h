/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Stand-in for the kernel's header: reference counts, which abort on misuse.
 */

#ifndef STAND_IN_KREF_H
#define STAND_IN_KREF_H

#include <linux/mutex.h>

struct kref {
   unsigned count;
};

static inline void
kref_init(struct kref *kref)
{
   kref->count = 1;
}

static inline unsigned
kref_read(const struct kref *kref)
{
   return READ_ONCE(kref->count);
}

static inline void
kref_get(struct kref *kref)
{
   if (__atomic_fetch_add(&kref->count, 1, __ATOMIC_RELAXED) == 0)
      abort();
}

static inline int
kref_get_unless_zero(struct kref *kref)
{
   if (kref_read(kref) == 0)
      return 0;

   kref_get(kref);
   return 1;
}

static inline int
kref_put(struct kref *kref, void (*release)(struct kref *kref))
{
   const unsigned before = __atomic_fetch_sub(&kref->count, 1, __ATOMIC_ACQ_REL);

   if (before == 0)
      abort();
   if (before > 1)
      return 0;

   release(kref);
   return 1;
}

/** The last reference is dropped under the mutex, which release() then drops. */
static inline int
kref_put_mutex(struct kref *kref, void (*release)(struct kref *kref), struct mutex *mutex)
{
   if (kref_read(kref) > 1)
      return kref_put(kref, release);

   mutex_lock(mutex);
   return kref_put(kref, release);
}

#endif

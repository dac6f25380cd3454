/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Stand-in for the kernel's header: locks of a program with one thread.

They cost what uncontended locks cost, so that measuring is fair, and abort where the kernel would
deadlock.
 */

#ifndef STAND_IN_MUTEX_H
#define STAND_IN_MUTEX_H

#include <stdlib.h>

#include <linux/compiler.h>

struct mutex {
   int held;
};

typedef struct mutex spinlock_t;

static inline void
mutex_init(struct mutex *mutex)
{
   mutex->held = 0;
}

static inline void
mutex_lock(struct mutex *mutex)
{
   if (__atomic_exchange_n(&mutex->held, 1, __ATOMIC_ACQUIRE))
      abort();
}

static inline void
mutex_unlock(struct mutex *mutex)
{
   __atomic_store_n(&mutex->held, 0, __ATOMIC_RELEASE);
}

#define mutex_destroy(mutex) ((void)(mutex))
#define spin_lock_init(lock) mutex_init(lock)
#define spin_lock(lock)      mutex_lock(lock)
#define spin_unlock(lock)    mutex_unlock(lock)

#endif

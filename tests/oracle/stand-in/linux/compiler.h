/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Stand-in for the kernel's header: attributes, hints, and accesses that happen once.
 */

#ifndef STAND_IN_COMPILER_H
#define STAND_IN_COMPILER_H

#include <linux/types.h>

#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#define __maybe_unused  __attribute__((unused))
#define __must_check
#define __rcu

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define barrier()        __asm__ volatile("" ::: "memory")
#define READ_ONCE(x)     (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) ((void)(*(volatile __typeof__(x) *)&(x) = (v)))

#define BIT(n) (1ul << (n))

#define STAND_IN_PASTE(a, b) a##b
#define __PASTE(a, b)        STAND_IN_PASTE(a, b)
#define __UNIQUE_ID(prefix)  __PASTE(unique_##prefix, __COUNTER__)

#define check_add_overflow(a, b, sum) __builtin_add_overflow(a, b, sum)

#define might_sleep() ((void)0)

#include <linux/container_of.h>
#include <linux/err.h>

#endif

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Stand-in for the kernel's header: errors that travel as pointers.
 */

#ifndef STAND_IN_ERR_H
#define STAND_IN_ERR_H

#include <linux/types.h>

#define MAX_ERRNO 4095

static inline void *
ERR_PTR(long error)
{
   return (void *)error;
}

static inline long
PTR_ERR(const void *ptr)
{
   return (long)ptr;
}

static inline bool
IS_ERR(const void *ptr)
{
   return (uintptr_t)ptr >= (uintptr_t)-MAX_ERRNO;
}

#endif

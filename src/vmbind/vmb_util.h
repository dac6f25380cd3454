/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Small things that several files of the core need and Mesa's header-only
 * utilities do not have.  Not installed.
 */

#ifndef VMB_UTIL_H
#define VMB_UTIL_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "util/macros.h"

/** CLOCK_MONOTONIC, as timeouts of syncobjs are. */
static inline int64_t
vmb_now_ns(void)
{
   struct timespec ts;

   clock_gettime(CLOCK_MONOTONIC, &ts);
   return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

/** Makes room for \p want elements in an array that is used again and again; \p capacity counts
 * elements.  -ENOMEM, and the array is as it was. */
static inline int
vmb_grow(void **array, size_t *capacity, size_t want, size_t elem_size)
{
   if (want <= *capacity)
      return 0;

   const size_t count = MAX2(want, *capacity * 2);
   void *grown = count <= SIZE_MAX / elem_size ? realloc(*array, count * elem_size) : NULL;
   if (!grown)
      return -ENOMEM;
   *array = grown;
   *capacity = count;
   return 0;
}

#endif /* VMB_UTIL_H */

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See fail_alloc.h.
 */

#include "fail_alloc.h"

#include <stddef.h>
#include <stdlib.h>

#include "c11/threads.h"

/* Of the thread that armed it: what other threads do is not counted. */
static thread_local unsigned countdown;
static thread_local bool for_good, failed;

#ifdef FAIL_ALLOC_BY_NAME
/* Who is to fail calls the functions below by name. */
#define __real_malloc  malloc
#define __real_calloc  calloc
#define __real_realloc realloc
#else
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
#endif
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

void
fail_alloc_arm(unsigned n)
{
   countdown = n;
   for_good = false;
   failed = false;
}

void
fail_alloc_arm_from(unsigned n)
{
   fail_alloc_arm(n);
   for_good = true;
}

bool
fail_alloc_has_failed(void)
{
   return failed;
}

bool
fail_alloc_disarm(void)
{
   countdown = 0;
   return failed;
}

static bool
must_fail(void)
{
   if (countdown == 0 || --countdown > 0)
      return false;

   failed = true;
   /* The next one is the next to fail. */
   countdown = for_good ? 1 : 0;
   return true;
}

void *
__wrap_malloc(size_t size)
{
   return must_fail() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t count, size_t size)
{
   return must_fail() ? NULL : __real_calloc(count, size);
}

void *
__wrap_realloc(void *old, size_t size)
{
   return must_fail() ? NULL : __real_realloc(old, size);
}

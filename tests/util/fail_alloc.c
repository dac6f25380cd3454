/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See fail_alloc.h.
 */

#include "fail_alloc.h"

#include <stddef.h>

static unsigned countdown;
static bool failed;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

void
fail_alloc_arm(unsigned n)
{
   countdown = n;
   failed = false;
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

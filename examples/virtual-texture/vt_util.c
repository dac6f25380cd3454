/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See vt_util.h.
 */

#include "vt_util.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void
vt_die(const char *format, ...)
{
   va_list args;

   /* The progress line has no newline of its own. */
   fflush(stdout);
   fprintf(stderr, "virtual-texture: ");
   va_start(args, format);
   vfprintf(stderr, format, args);
   va_end(args);
   fputc('\n', stderr);
   exit(VT_EXIT_ERROR);
}

void *
vt_alloc(size_t count, size_t size_B)
{
   void *data = calloc(count ? count : 1, size_B);

   if (!data)
      vt_die("out of memory (%zu x %zu bytes)", count, size_B);
   return data;
}

uint64_t
vt_now_ns(void)
{
   struct timespec now;

   clock_gettime(CLOCK_MONOTONIC, &now);
   return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

uint64_t
vt_digest(uint64_t digest, const void *data, size_t size_B)
{
   const uint8_t *bytes = data;

   for (size_t i = 0; i < size_B; i++)
      digest = (digest ^ bytes[i]) * 0x100000001b3ull;
   return digest;
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See ioctls.h.  The program's ioctl() comes before the C library's, for its libraries and drivers as well.
 */

#include "ioctls.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What is printed of an argument: its first words. */
#define WORDS 4
#define MOST  256

static struct {
   unsigned long request;
   uint32_t argument[WORDS];
   struct cost cost;
} seen[MOST];
static unsigned count;
static bool running;
static struct cost start;

int
ioctl(int fd, unsigned long request, ...)
{
   va_list args;
   va_start(args, request);
   void *argument = va_arg(args, void *);
   va_end(args);
   if (!running || count == MOST)
      return syscall(SYS_ioctl, fd, request, argument);

   const unsigned size_B = request >> 16 & 0x3fff, i = count++;
   const struct cost from = cost_now();
   const int ret = syscall(SYS_ioctl, fd, request, argument);
   const struct cost to = cost_now();

   seen[i].request = request;
   memset(seen[i].argument, 0, sizeof(seen[i].argument));
   memcpy(seen[i].argument, argument,
          size_B < sizeof(seen[i].argument) ? size_B : sizeof(seen[i].argument));
   seen[i].cost = (struct cost){ to.user - from.user, to.kernel - from.kernel };
   return ret;
}

void
ioctls_start(void)
{
   count = 0;
   running = true;
   start = cost_now();
}

void
ioctls_print(const char *who, const char *pattern, unsigned pages)
{
   const struct cost end = cost_now();

   running = false;
   printf("@@ where %s %s %u all %" PRIu64 " %" PRIu64 "\n", who, pattern, pages,
          end.user - start.user, end.kernel - start.kernel);
   for (unsigned i = 0; i < count; i++) {
      printf("@@ where %s %s %u %lx %" PRIu64 " %" PRIu64, who, pattern, pages, seen[i].request,
             seen[i].cost.user, seen[i].cost.kernel);
      for (unsigned j = 0; j < WORDS; j++)
         printf(" %x", seen[i].argument[j]);
      printf("\n");
   }
}

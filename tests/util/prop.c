/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See prop.h.
 */

#include "prop.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

uint64_t
rng_next(struct rng *rng)
{
   uint64_t x = rng->state;

   x ^= x >> 12;
   x ^= x << 25;
   x ^= x >> 27;
   rng->state = x;
   return x * 0x2545f4914f6cdd1dull;
}

uint64_t
rng_below(struct rng *rng, uint64_t bound)
{
   return (rng_next(rng) >> 11) % bound;
}

bool
rng_one_in(struct rng *rng, unsigned n)
{
   return rng_below(rng, n) == 0;
}

void
prop_fail(const char *cond, const char *file, int line)
{
   fprintf(stderr, "property broken: %s (%s:%d)\n", cond, file, line);
   abort();
}

/* Whether the sequence passes, in a process of its own. */
static bool
passes(const struct prop *prop, const void *ops, size_t count, bool quiet)
{
   fflush(NULL);
   const pid_t pid = fork();
   if (pid < 0) {
      perror("fork");
      exit(99);
   }
   if (pid == 0) {
      if (quiet) {
         const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
         dup2(null, STDERR_FILENO);
      }
      prop->run(ops, count);
      _exit(0);
   }

   int status;
   waitpid(pid, &status, 0);
   return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Leaves out pieces as long as the rest still fails: big ones first. */
static size_t
shrink(const struct prop *prop, char *ops, size_t count)
{
   const size_t size = prop->op_size;
   char *tried = malloc(count * size);

   for (size_t piece = count / 2; piece; piece /= 2) {
      for (size_t at = 0; at + piece <= count;) {
         memcpy(tried, ops, at * size);
         memcpy(tried + at * size, ops + (at + piece) * size, (count - at - piece) * size);
         if (!passes(prop, tried, count - piece, true)) {
            count -= piece;
            memcpy(ops, tried, count * size);
         } else {
            at += piece;
         }
      }
   }
   free(tried);
   return count;
}

static uint64_t
option(int argc, char **argv, const char *name, uint64_t fallback)
{
   for (int i = 1; i + 1 < argc; i++) {
      if (!strcmp(argv[i], name))
         return strtoull(argv[i + 1], NULL, 0);
   }
   return fallback;
}

uint64_t
prop_seed(void)
{
   const char *given = getenv("VMBIND_TEST_SEED");

   return given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) * 2654435761u + getpid();
}

int
prop_main(const struct prop *prop, int argc, char **argv, unsigned sequences, size_t length)
{
   const uint64_t seed = option(argc, argv, "--seed", prop_seed());

   sequences = option(argc, argv, "--sequences", sequences);
   length = option(argc, argv, "--length", length);
   printf("# %s: %u sequences of %zu operations; again with --seed %" PRIu64 "\n", prop->name,
          sequences, length, seed);

   char *ops = malloc(length * prop->op_size);
   struct rng seeds = { seed | 1 };
   for (unsigned s = 0; s < sequences; s++) {
      struct rng rng = { rng_next(&seeds) | 1 };

      memset(ops, 0, length * prop->op_size);
      for (size_t i = 0; i < length; i++)
         prop->generate(&rng, ops + i * prop->op_size);
      if (passes(prop, ops, length, false))
         continue;

      const size_t count = shrink(prop, ops, length);
      printf("# %s: sequence %u fails; what is left of it:\n", prop->name, s);
      for (size_t i = 0; i < count; i++)
         prop->print(ops + i * prop->op_size);
      passes(prop, ops, count, false);
      free(ops);
      return 1;
   }
   free(ops);
   return 0;
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Has a fuzzer begin with VMBIND_TEST_SEED, as the other random tests do. Must not know what is fuzzed.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);

/* Called before libFuzzer reads its options: one more, which a later -seed overrides. */
int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
   static char option[32];
   const char *seed = getenv("VMBIND_TEST_SEED");

   if (!seed || !seed[0])
      return 0;
   char **args = calloc(*argc + 2, sizeof(*args));
   if (!args)
      return 0;
   /* It takes 32 bits, and 0 for one of its own. */
   const uint32_t bits = strtoull(seed, NULL, 10);
   snprintf(option, sizeof(option), "-seed=%u", bits ? bits : 1);
   args[0] = (*argv)[0];
   args[1] = option;
   memcpy(args + 2, *argv + 1, (*argc - 1) * sizeof(*args));
   *argv = args;
   (*argc)++;
   return 0;
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Property tests: random sequences of operations, run in a child process, and
 * shrunk to a short sequence if one fails.
 *
 * A test gives three functions on an operation type of its own.  run() checks
 * as it goes and aborts if a property does not hold.  It must depend on nothing
 * but the operations.
 */

#ifndef TEST_PROP_H
#define TEST_PROP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rng {
   uint64_t state;
};

/** xorshift64*. */
uint64_t rng_next(struct rng *rng);
/** Uniform in [0, bound). */
uint64_t rng_below(struct rng *rng, uint64_t bound);
/** True once in n. */
bool rng_one_in(struct rng *rng, unsigned n);

/** VMBIND_TEST_SEED, as "scripts/test --seed" sets it, or another one every time. */
uint64_t prop_seed(void);

struct prop {
   const char *name;
   size_t op_size;
   void (*generate)(struct rng *rng, void *op);
   void (*run)(const void *ops, size_t count);
   void (*print)(const void *op);
};

/**
 * Runs \p sequences sequences of \p length operations each.  Options on the
 * command line: --seed N, --sequences N, --length N.
 * \return the exit status for main()
 */
int prop_main(const struct prop *prop, int argc, char **argv, unsigned sequences, size_t length);

/** Aborts, naming the condition. */
#define PROP_CHECK(cond)                                                                          \
   do {                                                                                           \
      if (!(cond))                                                                                \
         prop_fail(#cond, __FILE__, __LINE__);                                                    \
   } while (0)

_Noreturn void prop_fail(const char *cond, const char *file, int line);

#endif /* TEST_PROP_H */

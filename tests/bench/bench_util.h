/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What the benchmarks share: clock, random numbers, medians, and results as JSON.
 */

#ifndef BENCH_UTIL_H
#define BENCH_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

/** CPU time of this thread: other programs on the machine count less than with the wall clock. */
static inline uint64_t
bench_now_ns(void)
{
   struct timespec t;

   clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
   return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/** Quick, and the same in every run. */
struct bench_rng {
   uint64_t state;
};

static inline uint64_t
bench_rng_next(struct bench_rng *rng)
{
   rng->state ^= rng->state << 13;
   rng->state ^= rng->state >> 7;
   rng->state ^= rng->state << 17;
   return rng->state * 0x2545f4914f6cdd1dull >> 8;
}

static inline uint64_t
bench_rng_below(struct bench_rng *rng, uint64_t bound)
{
   return bench_rng_next(rng) % bound;
}

void bench_shuffle(struct bench_rng *rng, uint32_t *values, size_t count);

/** Measurements of one quantity, in ns per operation. */
struct bench_samples {
   double *values;
   size_t count, capacity;
};

void bench_samples_add(struct bench_samples *samples, double value);
/** The median, or 0 if there is no sample; forgets the samples. */
double bench_samples_take_median(struct bench_samples *samples);

/** An array of flat objects. */
struct bench_json {
   FILE *file;
   unsigned objects, members;
};

/** Exits if the file cannot be written; with no path, nothing is. */
void bench_json_open(struct bench_json *json, const char *path);
void bench_json_close(struct bench_json *json);
void bench_json_begin_object(struct bench_json *json);
void bench_json_end_object(struct bench_json *json);
void bench_json_string(struct bench_json *json, const char *name, const char *value);
void bench_json_number(struct bench_json *json, const char *name, double value);

/** Value of an option "--name value", or NULL. */
const char *bench_option(int argc, char **argv, const char *name);

/** Whether an option without a value is there. */
bool bench_flag(int argc, char **argv, const char *name);

#endif /* BENCH_UTIL_H */

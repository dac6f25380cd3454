/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See bench_util.h.
 */

#include "bench_util.h"

#include <stdlib.h>
#include <string.h>

void
bench_shuffle(struct bench_rng *rng, uint32_t *values, size_t count)
{
   for (size_t i = count; i > 1; i--) {
      const size_t j = bench_rng_below(rng, i);
      const uint32_t value = values[i - 1];
      values[i - 1] = values[j];
      values[j] = value;
   }
}

void
bench_samples_add(struct bench_samples *samples, double value)
{
   if (samples->count == samples->capacity) {
      samples->capacity = samples->capacity ? 2 * samples->capacity : 64;
      samples->values = realloc(samples->values, samples->capacity * sizeof(double));
      if (!samples->values)
         abort();
   }
   samples->values[samples->count++] = value;
}

static int
compare_doubles(const void *a, const void *b)
{
   const double x = *(const double *)a, y = *(const double *)b;

   return (x > y) - (x < y);
}

double
bench_samples_take_median(struct bench_samples *samples)
{
   double median = 0.0;

   if (samples->count > 0) {
      qsort(samples->values, samples->count, sizeof(double), compare_doubles);
      median = samples->values[samples->count / 2];
   }
   free(samples->values);
   *samples = (struct bench_samples){ 0 };
   return median;
}

void
bench_json_open(struct bench_json *json, const char *path)
{
   *json = (struct bench_json){ 0 };
   if (!path)
      return;

   json->file = fopen(path, "w");
   if (!json->file) {
      perror(path);
      exit(1);
   }
   fputs("[", json->file);
}

void
bench_json_close(struct bench_json *json)
{
   if (!json->file)
      return;

   fputs("\n]\n", json->file);
   if (fclose(json->file)) {
      perror("bench: writing results");
      exit(1);
   }
}

void
bench_json_begin_object(struct bench_json *json)
{
   if (json->file)
      fputs(json->objects++ ? ",\n  {" : "\n  {", json->file);
   json->members = 0;
}

void
bench_json_end_object(struct bench_json *json)
{
   if (json->file)
      fputs(" }", json->file);
}

static void
json_name(struct bench_json *json, const char *name)
{
   fprintf(json->file, "%s\"%s\": ", json->members++ ? ", " : " ", name);
}

void
bench_json_string(struct bench_json *json, const char *name, const char *value)
{
   if (!json->file)
      return;

   json_name(json, name);
   fprintf(json->file, "\"%s\"", value);
}

void
bench_json_number(struct bench_json *json, const char *name, double value)
{
   if (!json->file)
      return;

   json_name(json, name);
   fprintf(json->file, "%.6g", value);
}

const char *
bench_option(int argc, char **argv, const char *name)
{
   for (int i = 1; i + 1 < argc; i++) {
      if (!strcmp(argv[i], name))
         return argv[i + 1];
   }
   return NULL;
}

bool
bench_flag(int argc, char **argv, const char *name)
{
   for (int i = 1; i < argc; i++) {
      if (!strcmp(argv[i], name))
         return true;
   }
   return false;
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The mirror beside the kernel's drm_gpuvm.c, built in user space: the same
 * patterns of maps, unmaps and lookups for both, in the same run.
 *
 *    bench-gpuvm-VERSION [--json FILE] [--live N] [--repeats N]
 *    bench-gpuvm-VERSION --count SUBJECT/PATTERN/PHASE --live N
 *
 * Both are used as a driver uses them.  The kernel's side allocates and frees each
 * mapping in its callbacks and links it to the BO's list; the mirror's side takes a
 * lock, makes its reservation and then the change, for each operation.  BOs have
 * their vm_bo already.
 *
 * Requests are prepared before the clock runs.  Numbers are medians over the
 * repeats, in ns of CPU time per operation.  With --count nothing is timed: run it
 * under "callgrind --toggle-collect=bench_counted", which then counts the
 * instructions of that phase alone; the number of operations is printed.
 */

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "c11/threads.h"
#include "util/macros.h"
#include "vmbind/vmb_gpuvm.h"

#include "tests/oracle/oracle.h"

#include "bench_util.h"

#define KIB 1024ull
#define GIB (1ull << 30)

#define PAGE_B   (64 * KIB) /* the sparse block of every API */
#define VA_START (64 * KIB)
#define VA_END   (1ull << 47)
#define BASE     (1ull << 40)
#define BO_COUNT 16u

/* Operations a timed phase, where the pattern does not say: enough to be seen, few enough to leave
 * a large tree as it was.
 */
#define PHASE_OPS 200000u
#define MIN_OPS   50000u

static void *
alloc_array(size_t count, size_t size)
{
   void *array = calloc(count ? count : 1, size);

   if (!array) {
      perror("bench-gpuvm");
      exit(1);
   }
   return array;
}

/* ---------------------------------------------------------------- subjects */

struct request {
   uint64_t addr_B, range_B, offset_B;
   uint32_t bo; /* 1 to BO_COUNT */
};

struct mirror {
   mtx_t lock;
   struct vmb_gpuvm *gpuvm;
   struct vmb_gpuvm_obj objs[BO_COUNT];
   struct vmb_gpuvm_bo *vm_bos[BO_COUNT];
};

static void
mirror_obj_ref(struct vmb_gpuvm_obj *obj)
{
   (void)obj;
}

static void *
mirror_create(void)
{
   const struct vmb_gpuvm_params params = {
      .va_start_B = VA_START,
      .va_range_B = VA_END - VA_START,
      .page_size_B = 4096,
   };
   struct mirror *mirror = alloc_array(1, sizeof(*mirror));

   mtx_init(&mirror->lock, mtx_plain);
   if (vmb_gpuvm_create(&params, &mirror->gpuvm))
      abort();
   for (unsigned i = 0; i < BO_COUNT; i++) {
      vmb_gpuvm_obj_init(&mirror->objs[i], 1ull << 46, mirror_obj_ref, mirror_obj_ref);
      if (vmb_gpuvm_bo_obtain(mirror->gpuvm, &mirror->objs[i], false, &mirror->vm_bos[i]))
         abort();
   }
   return mirror;
}

static void
mirror_destroy(void *data)
{
   struct mirror *mirror = data;

   vmb_gpuvm_clear(mirror->gpuvm);
   for (unsigned i = 0; i < BO_COUNT; i++)
      vmb_gpuvm_bo_put(mirror->vm_bos[i]);
   vmb_gpuvm_bo_free_deferred(vmb_gpuvm_bo_take_deferred(mirror->gpuvm));
   vmb_gpuvm_unref(mirror->gpuvm);
   for (unsigned i = 0; i < BO_COUNT; i++)
      vmb_gpuvm_obj_finish(&mirror->objs[i]);
   mtx_destroy(&mirror->lock);
   free(mirror);
}

static bool
mirror_map(void *data, const struct request *r)
{
   struct mirror *mirror = data;
   const struct vmb_gpuvm_req req = {
      .map.addr_B = r->addr_B,
      .map.range_B = r->range_B,
      .map.vm_bo = mirror->vm_bos[r->bo - 1],
      .map.offset_B = r->offset_B,
   };

   mtx_lock(&mirror->lock);
   const bool ok = vmb_gpuvm_reserve(mirror->gpuvm, &req, 1, NULL) == 0;
   if (ok)
      vmb_gpuvm_map(mirror->gpuvm, &req.map, NULL);
   mtx_unlock(&mirror->lock);
   return ok;
}

static bool
mirror_unmap(void *data, const struct request *r)
{
   struct mirror *mirror = data;
   const struct vmb_gpuvm_req req = {
      .map.addr_B = r->addr_B,
      .map.range_B = r->range_B,
      .unmap = true,
   };

   mtx_lock(&mirror->lock);
   const bool ok = vmb_gpuvm_reserve(mirror->gpuvm, &req, 1, NULL) == 0;
   if (ok)
      vmb_gpuvm_unmap(mirror->gpuvm, r->addr_B, r->range_B, NULL);
   mtx_unlock(&mirror->lock);
   return ok;
}

static bool
mirror_find(void *data, const struct request *r)
{
   struct mirror *mirror = data;
   struct vmb_mapping map;

   mtx_lock(&mirror->lock);
   const bool found = vmb_gpuvm_find(mirror->gpuvm, r->addr_B, &map);
   mtx_unlock(&mirror->lock);
   return found;
}

static size_t
mirror_count(void *data)
{
   return vmb_gpuvm_mapping_count(((struct mirror *)data)->gpuvm);
}

static void *
kernel_create(void)
{
   const struct oracle_params params = {
      .va_start_B = VA_START,
      .va_range_B = VA_END - VA_START,
      .style = ORACLE_CALLBACKS,
   };
   struct oracle *oracle = oracle_create(&params);

   for (unsigned i = 0; i < BO_COUNT; i++)
      oracle_bo_pin(oracle, oracle_bo_create(oracle, false));
   return oracle;
}

static void
kernel_destroy(void *oracle)
{
   oracle_destroy(oracle);
}

static bool
kernel_map(void *oracle, const struct request *r)
{
   const struct oracle_mapping map = {
      .addr_B = r->addr_B,
      .range_B = r->range_B,
      .offset_B = r->offset_B,
      .bo = r->bo,
   };

   return oracle_map(oracle, &map) == 0;
}

static bool
kernel_unmap(void *oracle, const struct request *r)
{
   return oracle_unmap(oracle, r->addr_B, r->range_B) == 0;
}

static bool
kernel_find(void *oracle, const struct request *r)
{
   struct oracle_mapping map;

   return oracle_find(oracle, r->addr_B, &map);
}

static size_t
kernel_count(void *oracle)
{
   return oracle_mapping_count(oracle);
}

typedef bool (*request_fn)(void *subject, const struct request *request);

static const struct subject {
   const char *name;
   void *(*create)(void);
   void (*destroy)(void *subject);
   request_fn map, unmap, find;
   size_t (*count)(void *subject);
} subjects[] = {
   { "kernel", kernel_create, kernel_destroy, kernel_map, kernel_unmap, kernel_find, kernel_count },
   { "mirror", mirror_create, mirror_destroy, mirror_map, mirror_unmap, mirror_find, mirror_count },
};

#define SUBJECTS ARRAY_SIZE(subjects)

/* ------------------------------------------------------------------- a run */

#define MAX_PHASES 4

struct phase {
   const char *name;
   uint64_t ns, ops; /* of the current repeat */
   struct bench_samples samples[SUBJECTS];
};

/** One pattern at one size: a repeat for each subject in turn, and what came out. */
struct run {
   size_t live;
   const char *count; /* "subject/pattern/phase" or NULL */
   const char *pattern;

   unsigned subject_index;
   const struct subject *subject;
   void *it;
   struct bench_rng rng;

   struct phase phases[MAX_PHASES];
   unsigned phase_count;

   size_t memory_before_B;
   double mapping_B[SUBJECTS];
};

static void
do_all(void *it, request_fn fn, const struct request *requests, size_t count)
{
   for (size_t i = 0; i < count; i++) {
      if (!fn(it, &requests[i])) {
         fprintf(stderr, "bench-gpuvm: an operation failed\n");
         exit(1);
      }
   }
}

/* What callgrind is told to count, by this name: called through a pointer that the compiler cannot
 * look through, or it would make copies of other names.
 */
void bench_counted(void *it, request_fn fn, const struct request *requests, size_t count);

void
bench_counted(void *it, request_fn fn, const struct request *requests, size_t count)
{
   do_all(it, fn, requests, count);
}

static void (*volatile do_all_counted)(void *, request_fn, const struct request *,
                                       size_t) = bench_counted;

static struct phase *
find_phase(struct run *run, const char *name)
{
   for (unsigned i = 0; i < run->phase_count; i++) {
      if (!strcmp(run->phases[i].name, name))
         return &run->phases[i];
   }
   if (run->phase_count == MAX_PHASES)
      abort();
   run->phases[run->phase_count].name = name;
   return &run->phases[run->phase_count++];
}

static bool
is_counted(const struct run *run, const char *phase)
{
   char name[128];

   snprintf(name, sizeof(name), "%s/%s/%s", run->subject->name, run->pattern, phase);
   return run->count && !strcmp(run->count, name);
}

static void
timed(struct run *run, const char *name, request_fn fn, const struct request *requests,
      size_t count)
{
   struct phase *phase = find_phase(run, name);
   const bool counted = is_counted(run, name);
   const uint64_t start_ns = bench_now_ns();

   if (counted)
      do_all_counted(run->it, fn, requests, count);
   else
      do_all(run->it, fn, requests, count);
   phase->ns += bench_now_ns() - start_ns;
   phase->ops += count;
}

static void
untimed(struct run *run, request_fn fn, const struct request *requests, size_t count)
{
   do_all(run->it, fn, requests, count);
}

static size_t
memory_used_B(void)
{
   const struct mallinfo2 info = mallinfo2();

   return info.uordblks + info.hblkhd;
}

/* The subject is as full as it gets; nothing of the harness' own was allocated since it was made. */
static void
note_memory(struct run *run)
{
   run->mapping_B[run->subject_index] =
      (double)(memory_used_B() - run->memory_before_B) / run->subject->count(run->it);
}

static void
create_subject(struct run *run)
{
   run->memory_before_B = memory_used_B();
   run->it = run->subject->create();
}

/** Rounds of a phase of so many operations. */
static unsigned
rounds_for(const struct run *run, size_t ops)
{
   return run->count || ops >= MIN_OPS ? 1 : MIN_OPS / ops;
}

static size_t
phase_ops(const struct run *run)
{
   return MIN2(run->live, run->count ? PHASE_OPS / 10 : PHASE_OPS);
}

/* ---------------------------------------------------------------- requests */

/** A bijection of the numbers below 2^24: distinct pages, scattered over 1 TiB. */
static uint32_t
scatter(uint32_t i)
{
   const uint32_t mask = (1u << 24) - 1;

   for (unsigned round = 0; round < 3; round++) {
      i = (i * 0x9e3779b1u + 0x7f4a7c15u) & mask;
      i ^= i >> 11;
      i = (i * 0x85ebca6bu) & mask;
      i ^= i >> 13;
   }
   return i;
}

/** A request whose backing depends on what: no two neighbours continue each other. */
static struct request
request_at(uint64_t page, uint64_t pages, uint32_t what)
{
   return (struct request){
      .addr_B = BASE + page * PAGE_B,
      .range_B = pages * PAGE_B,
      .offset_B = (scatter(what + 12345) & 0xfffff) * PAGE_B,
      .bo = 1 + (what * 2654435761u >> 7) % BO_COUNT,
   };
}

static uint32_t *
shuffled_numbers(struct bench_rng *rng, size_t count)
{
   uint32_t *numbers = alloc_array(count, sizeof(*numbers));

   for (size_t i = 0; i < count; i++)
      numbers[i] = i;
   bench_shuffle(rng, numbers, count);
   return numbers;
}

static void
shuffle_requests(struct bench_rng *rng, struct request *requests, size_t count)
{
   for (size_t i = count; i > 1; i--) {
      const size_t j = bench_rng_below(rng, i);
      const struct request r = requests[i - 1];
      requests[i - 1] = requests[j];
      requests[j] = r;
   }
}

/* ---------------------------------------------------------------- patterns */

/* Pages one after the other, then away again in the same order. */
static void
pattern_sequential(struct run *run)
{
   const size_t n = run->live;
   struct request *requests = alloc_array(n, sizeof(*requests));

   for (size_t i = 0; i < n; i++)
      requests[i] = request_at(i, 1, i);

   create_subject(run);
   for (unsigned round = rounds_for(run, n); round > 0; round--) {
      timed(run, "map", run->subject->map, requests, n);
      note_memory(run);
      timed(run, "unmap", run->subject->unmap, requests, n);
   }
   run->subject->destroy(run->it);
   free(requests);
}

/* Pages all over 1 TiB, replaced at a steady number, and looked up. */
static void
pattern_random(struct run *run)
{
   const size_t n = run->live, ops = phase_ops(run);
   struct request *live = alloc_array(n, sizeof(*live));
   struct request *look = alloc_array(ops, sizeof(*look));
   uint32_t next = n;

   for (size_t i = 0; i < n; i++)
      live[i] = request_at(scatter(i), 1, i);

   create_subject(run);
   untimed(run, run->subject->map, live, n);
   note_memory(run);
   for (unsigned round = rounds_for(run, ops); round > 0; round--) {
      shuffle_requests(&run->rng, live, n);
      timed(run, "unmap", run->subject->unmap, live, ops);
      for (size_t i = 0; i < ops; i++, next++)
         live[i] = request_at(scatter(next), 1, next);
      timed(run, "map", run->subject->map, live, ops);

      for (size_t i = 0; i < ops; i++)
         look[i] = live[bench_rng_below(&run->rng, n)];
      timed(run, "find", run->subject->find, look, ops);
   }
   run->subject->destroy(run->it);
   free(look);
   free(live);
}

/* Mappings of 65 pages, of which every other page can be taken without touching a neighbour. */
#define BIG_PAGES 65u
#define BIG_INNER 32u

static size_t
big_count(size_t live)
{
   return live / (BIG_INNER / 2 + 1) + 1;
}

static struct request *
big_requests(size_t count)
{
   struct request *requests = alloc_array(count, sizeof(*requests));

   for (size_t i = 0; i < count; i++)
      requests[i] = request_at(i * BIG_PAGES, BIG_PAGES, i);
   return requests;
}

/** Single pages inside of the big ones, in random order. */
static struct request *
inner_requests(struct run *run, size_t big)
{
   const size_t count = big * BIG_INNER;
   struct request *requests = alloc_array(count, sizeof(*requests));

   for (size_t i = 0; i < count; i++) {
      const uint64_t page = i / BIG_INNER * BIG_PAGES + i % BIG_INNER * 2 + 1;
      requests[i] = request_at(page, 1, count + i);
   }
   shuffle_requests(&run->rng, requests, count);
   return requests;
}

/* Each unmap leaves two where one was; then the remains go, many with one request. */
static void
pattern_split(struct run *run)
{
   const size_t big = big_count(run->live), ops = run->live - MIN2(run->live, big);
   struct request *whole = big_requests(big), *inner = inner_requests(run, big);

   create_subject(run);
   for (unsigned round = rounds_for(run, ops); round > 0; round--) {
      untimed(run, run->subject->map, whole, big);
      timed(run, "split", run->subject->unmap, inner, ops);
      note_memory(run);
      timed(run, "drain", run->subject->unmap, whole, big);
   }
   run->subject->destroy(run->it);
   free(inner);
   free(whole);
}

/* Other backing at exactly the place of an old one. */
static void
pattern_rebind(struct run *run)
{
   const size_t n = run->live, ops = phase_ops(run);
   struct request *live = alloc_array(n, sizeof(*live));
   uint32_t next = n;

   for (size_t i = 0; i < n; i++)
      live[i] = request_at(scatter(i), 1, i);

   create_subject(run);
   untimed(run, run->subject->map, live, n);
   note_memory(run);
   for (unsigned round = rounds_for(run, ops); round > 0; round--) {
      shuffle_requests(&run->rng, live, n);
      for (size_t i = 0; i < ops; i++, next++) {
         const struct request other = request_at(0, 1, next);
         live[i].bo = other.bo;
         live[i].offset_B = other.offset_B;
      }
      timed(run, "exact", run->subject->map, live, ops);
   }
   run->subject->destroy(run->it);
   free(live);
}

/* Other backing for a page inside of a big mapping: one mapping becomes three. */
static void
pattern_rebind_inside(struct run *run)
{
   const size_t big = big_count(run->live), ops = (run->live - MIN2(run->live, big)) / 2;
   struct request *whole = big_requests(big), *inner = inner_requests(run, big);

   create_subject(run);
   for (unsigned round = rounds_for(run, ops); round > 0; round--) {
      untimed(run, run->subject->map, whole, big);
      timed(run, "inside", run->subject->map, inner, ops);
      note_memory(run);
      untimed(run, run->subject->unmap, whole, big);
   }
   run->subject->destroy(run->it);
   free(inner);
   free(whole);
}

/*
 * Texture streaming.  Textures of 128 x 128 tiles lie one after the other, tiles in rows; what
 * comes and goes is a quarter of one, 64 x 64 tiles, the oldest first.  Physical tiles come from a
 * pool in random order.
 */
#define QUARTER_EDGE  64u
#define QUARTER_TILES (QUARTER_EDGE * QUARTER_EDGE)
#define STREAM_STEPS  24u

static uint64_t
tile_page(uint32_t quarter, uint32_t tile)
{
   const uint64_t texture = quarter / 4;
   const uint64_t row = (quarter / 2 % 2) * QUARTER_EDGE + tile / QUARTER_EDGE;
   const uint64_t column = (quarter % 2) * QUARTER_EDGE + tile % QUARTER_EDGE;

   return (texture * 2 * QUARTER_EDGE + row) * 2 * QUARTER_EDGE + column;
}

static void
quarter_requests(struct run *run, uint32_t quarter, bool any_order, struct request *requests)
{
   for (uint32_t tile = 0; tile < QUARTER_TILES; tile++)
      requests[tile] = request_at(tile_page(quarter, tile), 1, bench_rng_next(&run->rng));
   if (any_order)
      shuffle_requests(&run->rng, requests, QUARTER_TILES);
}

static void
stream(struct run *run, bool any_order)
{
   const size_t resident = MAX2(run->live / QUARTER_TILES, 1);
   const size_t quarters = 4 * (resident + 1);
   const unsigned steps = run->count ? 4 : STREAM_STEPS;
   struct request *requests = alloc_array(QUARTER_TILES, sizeof(*requests));
   uint32_t *queue = shuffled_numbers(&run->rng, quarters);

   create_subject(run);
   for (size_t i = 0; i < resident; i++) {
      quarter_requests(run, queue[i], any_order, requests);
      untimed(run, run->subject->map, requests, QUARTER_TILES);
   }
   note_memory(run);

   for (size_t step = 0; step < steps; step++) {
      quarter_requests(run, queue[(step + resident) % quarters], any_order, requests);
      timed(run, "bind", run->subject->map, requests, QUARTER_TILES);
      quarter_requests(run, queue[step % quarters], any_order, requests);
      timed(run, "unbind", run->subject->unmap, requests, QUARTER_TILES);
   }
   run->subject->destroy(run->it);
   free(queue);
   free(requests);
}

static void
pattern_stream_rows(struct run *run)
{
   stream(run, false);
}

static void
pattern_stream_any(struct run *run)
{
   stream(run, true);
}

/* Single tiles of a space four times as large come in any order, and the oldest go. */
static void
pattern_tiles(struct run *run)
{
   const size_t n = run->live, space = 4 * (n + QUARTER_TILES);
   const unsigned steps = run->count ? 4 : STREAM_STEPS;
   uint32_t *slots = shuffled_numbers(&run->rng, space);
   struct request *requests = alloc_array(MAX2(n, QUARTER_TILES), sizeof(*requests));
   size_t head = n, tail = 0;

   for (size_t i = 0; i < n; i++)
      requests[i] = request_at(slots[i], 1, i);
   create_subject(run);
   untimed(run, run->subject->map, requests, n);
   note_memory(run);

   for (unsigned step = 0; step < steps; step++) {
      for (size_t i = 0; i < QUARTER_TILES; i++, head++)
         requests[i] = request_at(slots[head % space], 1, head);
      timed(run, "bind", run->subject->map, requests, QUARTER_TILES);
      for (size_t i = 0; i < QUARTER_TILES; i++, tail++)
         requests[i] = request_at(slots[tail % space], 1, tail);
      timed(run, "unbind", run->subject->unmap, requests, QUARTER_TILES);
   }
   run->subject->destroy(run->it);
   free(requests);
   free(slots);
}

/* Mappings of 1 GiB, back to back. */
static void
pattern_big(struct run *run)
{
   const size_t n = run->live;
   struct request *requests = alloc_array(n, sizeof(*requests));

   for (size_t i = 0; i < n; i++) {
      requests[i] = request_at(i * (GIB / PAGE_B), GIB / PAGE_B, i);
      requests[i].offset_B = 2 * i * GIB;
   }
   create_subject(run);
   for (unsigned round = rounds_for(run, n); round > 0; round--) {
      timed(run, "map", run->subject->map, requests, n);
      note_memory(run);
      timed(run, "unmap", run->subject->unmap, requests, n);
   }
   run->subject->destroy(run->it);
   free(requests);
}

static const struct pattern {
   const char *name;
   void (*run)(struct run *run);
   size_t max_live;
} patterns[] = {
   { "sequential", pattern_sequential, SIZE_MAX },
   { "random", pattern_random, SIZE_MAX },
   { "split", pattern_split, SIZE_MAX },
   { "rebind", pattern_rebind, SIZE_MAX },
   { "rebind-inside", pattern_rebind_inside, SIZE_MAX },
   { "stream-rows", pattern_stream_rows, SIZE_MAX },
   { "stream-any-order", pattern_stream_any, SIZE_MAX },
   { "tiles", pattern_tiles, SIZE_MAX },
   { "1-GiB", pattern_big, 100000 }, /* more have no room in the address range */
};

/* ------------------------------------------------------------------ report */

/** Ends a repeat: its averages are one sample each. */
static void
end_repeat(struct run *run)
{
   for (unsigned i = 0; i < run->phase_count; i++) {
      struct phase *phase = &run->phases[i];

      if (phase->ops > 0)
         bench_samples_add(&phase->samples[run->subject_index], (double)phase->ns / phase->ops);
      if (is_counted(run, phase->name))
         printf("operations counted: %" PRIu64 "\n", phase->ops);
      phase->ns = 0;
      phase->ops = 0;
   }
}

static void
report_json(struct bench_json *json, const struct run *run, const struct phase *phase,
            const double *ns)
{
   bench_json_begin_object(json);
   bench_json_string(json, "kernel", oracle_kernel_version());
   bench_json_string(json, "pattern", run->pattern);
   bench_json_string(json, "phase", phase->name);
   bench_json_number(json, "live", run->live);
   bench_json_number(json, "kernel_ns", ns[0]);
   bench_json_number(json, "mirror_ns", ns[1]);
   bench_json_number(json, "ratio", ns[0] / ns[1]);
   bench_json_number(json, "kernel_mapping_B", run->mapping_B[0]);
   bench_json_number(json, "mirror_mapping_B", run->mapping_B[1]);
   bench_json_end_object(json);
}

struct means {
   double log_ratios, lowest;
   unsigned count;
};

static void
report(struct bench_json *json, struct run *run, struct means *means)
{
   for (unsigned i = 0; i < run->phase_count; i++) {
      struct phase *phase = &run->phases[i];
      char name[64];
      double ns[SUBJECTS];

      for (unsigned s = 0; s < SUBJECTS; s++)
         ns[s] = bench_samples_take_median(&phase->samples[s]);
      snprintf(name, sizeof(name), "%s/%s", run->pattern, phase->name);
      printf("%8zu  %-24s %8.1f %8.1f %7.1fx %10.1f %8.1f\n", run->live, name, ns[0], ns[1],
             ns[0] / ns[1], run->mapping_B[0], run->mapping_B[1]);
      fflush(stdout);
      report_json(json, run, phase, ns);

      means->log_ratios += log(ns[0] / ns[1]);
      means->lowest = means->count ? MIN2(means->lowest, ns[0] / ns[1]) : ns[0] / ns[1];
      means->count++;
   }
}

static void
measure(struct bench_json *json, const struct pattern *pattern, size_t live, unsigned repeats,
        const char *count, struct means *means)
{
   struct run run = { .live = live, .count = count, .pattern = pattern->name };

   for (unsigned repeat = 0; repeat < repeats; repeat++) {
      for (unsigned s = 0; s < SUBJECTS; s++) {
         run.subject_index = s;
         run.subject = &subjects[s];
         run.rng.state = 88172645463325252ull + repeat;

         const size_t length = strlen(run.subject->name);
         if (count && (strncmp(count, run.subject->name, length) || count[length] != '/'))
            continue;
         pattern->run(&run);
         end_repeat(&run);
      }
   }
   if (!count)
      report(json, &run, means);
}

static bool
names_pattern(const char *count, const char *pattern)
{
   const char *slash = strchr(count, '/');
   const size_t length = strlen(pattern);

   return slash && !strncmp(slash + 1, pattern, length) && slash[1 + length] == '/';
}

int
main(int argc, char **argv)
{
   static const size_t default_lives[] = { 1000, 10000, 100000, 1000000 };
   const char *count = bench_option(argc, argv, "--count");
   const char *only_live = bench_option(argc, argv, "--live");
   const char *repeats_text = bench_option(argc, argv, "--repeats");
   const unsigned repeats = count ? 1 : repeats_text ? strtoul(repeats_text, NULL, 0) : 3;
   struct bench_json json;

   /* Freed memory stays in the process: page faults are not what is measured. */
   mallopt(M_MMAP_THRESHOLD, 1 << 30);
   mallopt(M_TRIM_THRESHOLD, INT32_MAX);
   mallopt(M_TOP_PAD, 64 << 20);

   bench_json_open(&json, bench_option(argc, argv, "--json"));
   if (!count) {
      printf("drm_gpuvm.c of Linux %s, and the mirror; ns an operation, bytes a mapping\n",
             oracle_kernel_version());
      printf("%8s  %-24s %8s %8s %8s %10s %8s\n", "live", "", "kernel", "mirror", "faster",
             "kernel B", "mirror B");
   }

   for (unsigned l = 0; l < ARRAY_SIZE(default_lives); l++) {
      const size_t live = only_live ? strtoull(only_live, NULL, 0) : default_lives[l];
      struct means means = { 0 };

      for (unsigned p = 0; p < ARRAY_SIZE(patterns); p++) {
         if (live > patterns[p].max_live || (count && !names_pattern(count, patterns[p].name)))
            continue;
         measure(&json, &patterns[p], live, repeats, count, &means);
      }
      if (means.count > 0) {
         printf("%8zu  geometric mean %.1fx, lowest %.1fx\n", live,
                exp(means.log_ratios / means.count), means.lowest);
      }
      if (only_live)
         break;
   }
   bench_json_close(&json);
   return 0;
}

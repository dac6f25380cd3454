/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What a bind costs in the core alone: planning, mirror and queue, on the panthor back-end, with a
 * kernel that accepts everything at once.  That kernel is here: libdrm's functions are replaced by
 * ones of this program, so that no simulator and no system call is in the figures.
 *
 *    bench-core [--json FILE] [--only PATTERN/N]
 *
 * Under callgrind (--toggle-collect=bench_submit) instructions are counted in the submits alone.
 */

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include <xf86drm.h>

#include "drm-uapi/panthor_drm.h"
#include "vmbind/vmb_vm.h"

#define PAGE_B     0x10000ull /* the sparse block of every API */
#define MAX_BATCH  4096
#define SPACE      (1u << 24) /* pages of the range */
#define BO_PAGES   (1u << 20)
#define REPEATS    5
#define MIN_NS     20000000ull
#define LIVE_PAGES 100000u /* mappings around, so that the tree is no toy */

/* ------------------------------------------------------- a kernel that says yes */

static uint64_t timeline_point;
static uint32_t next_handle = 1;

drmVersionPtr
drmGetVersion(int fd)
{
   (void)fd;
   drmVersionPtr version = calloc(1, sizeof(*version));

   version->version_major = 1;
   version->version_minor = 9;
   version->name = strdup("panthor");
   version->name_len = strlen(version->name);
   return version;
}

void
drmFreeVersion(drmVersionPtr version)
{
   free(version->name);
   free(version);
}

int
drmGetCap(int fd, uint64_t cap, uint64_t *value)
{
   (void)fd;
   (void)cap;
   *value = 1;
   return 0;
}

int
drmIoctl(int fd, unsigned long request, void *arg)
{
   (void)fd;
   if (request == DRM_IOCTL_PANTHOR_DEV_QUERY) {
      const struct drm_panthor_dev_query *query = arg;
      if (query->type == DRM_PANTHOR_DEV_QUERY_GPU_INFO)
         ((struct drm_panthor_gpu_info *)(uintptr_t)query->pointer)->mmu_features = 48;
   } else if (request == DRM_IOCTL_PANTHOR_VM_BIND) {
      const struct drm_panthor_vm_bind *bind = arg;
      const struct drm_panthor_vm_bind_op *ops = (void *)(uintptr_t)bind->ops.array;
      const struct drm_panthor_obj_array *syncs = &ops[bind->ops.count - 1].syncs;
      /* There are no waits here, and the first signal is the queue's. */
      const struct drm_panthor_sync_op *last = (void *)(uintptr_t)syncs->array;
      if (syncs->count)
         timeline_point = last[0].timeline_value;
   } else if (request == DRM_IOCTL_PANTHOR_BO_CREATE) {
      ((struct drm_panthor_bo_create *)arg)->handle = next_handle++;
   } else if (request == DRM_IOCTL_PANTHOR_VM_CREATE) {
      ((struct drm_panthor_vm_create *)arg)->id = 1;
   }
   return 0;
}

/* The back-end calls it itself where a restart by libdrm would be wrong. */
int
ioctl(int fd, unsigned long request, ...)
{
   va_list args;

   va_start(args, request);
   const int ret = drmIoctl(fd, request, va_arg(args, void *));
   va_end(args);
   return ret;
}

int
drmCloseBufferHandle(int fd, uint32_t handle)
{
   (void)fd;
   (void)handle;
   return 0;
}

int
drmSyncobjCreate(int fd, uint32_t flags, uint32_t *handle)
{
   (void)fd;
   (void)flags;
   *handle = next_handle++;
   return 0;
}

int
drmSyncobjDestroy(int fd, uint32_t handle)
{
   (void)fd;
   (void)handle;
   return 0;
}

int
drmSyncobjQuery(int fd, uint32_t *handles, uint64_t *points, uint32_t count)
{
   (void)fd;
   (void)handles;
   for (uint32_t i = 0; i < count; i++)
      points[i] = timeline_point;
   return 0;
}

int
drmSyncobjTimelineWait(int fd, uint32_t *handles, uint64_t *points, unsigned count,
                       int64_t timeout_ns, unsigned flags, uint32_t *first_signaled)
{
   (void)fd;
   (void)handles;
   (void)points;
   (void)count;
   (void)timeout_ns;
   (void)flags;
   (void)first_signaled;
   return 0;
}

/* ---------------------------------------------------------------- patterns */

static uint64_t rng_state = 88172645463325252ull;

static uint32_t
random_below(uint32_t bound)
{
   rng_state ^= rng_state << 13;
   rng_state ^= rng_state >> 7;
   rng_state ^= rng_state << 17;
   return (rng_state >> 20) % bound;
}

static void
shuffle(uint32_t *values, uint32_t count)
{
   for (uint32_t i = count; i > 1; i--) {
      const uint32_t j = random_below(i), value = values[i - 1];
      values[i - 1] = values[j];
      values[j] = value;
   }
}

/* A bijection on 24 bits: distinct scattered pages. */
static uint32_t
scatter(uint32_t x)
{
   for (unsigned round = 0; round < 3; round++) {
      x = (x * 0x9e3779b1u + 0x7f4a7c15u) & (SPACE - 1);
      x ^= x >> 11;
   }
   return x;
}

enum pattern { CONTIGUOUS, SHUFFLED, STRIDED, RANDOM, IDENTICAL, PATTERN_COUNT };

static const char *const pattern_names[] = { "contiguous", "shuffled", "strided", "random",
                                             "identical" };

struct bench {
   struct vmb_device *dev;
   struct vmb_vm *vm;
   struct vmb_queue *queue;
   struct vmb_range *range;
   struct vmb_bo *bo[2];
};

/* Batches that alternate, so that every bind (but of IDENTICAL) is a change. */
static void
make_batch(const struct bench *b, enum pattern pattern, uint32_t count, unsigned turn,
           struct vmb_bind *binds)
{
   static uint32_t order[MAX_BATCH];

   for (uint32_t i = 0; i < count; i++)
      order[i] = i;
   if (pattern == SHUFFLED)
      shuffle(order, count);
   for (uint32_t i = 0; i < count; i++) {
      uint64_t page = order[i], bo_page = order[i];

      if (pattern == STRIDED)
         page *= 2;
      else if (pattern == RANDOM)
         page = scatter(order[i] * 977), bo_page = scatter(order[i]) % BO_PAGES;
      binds[i] = (struct vmb_bind){
         .range = b->range,
         .offset_B = page * PAGE_B,
         .size_B = PAGE_B,
         .bo = b->bo[pattern == IDENTICAL ? 0 : turn],
         .bo_offset_B = bo_page * PAGE_B,
      };
   }
}

/* --------------------------------------------------------------- measuring */

static uint64_t
cpu_ns(void)
{
   struct timespec ts;

   clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
   return ts.tv_sec * UINT64_C(1000000000) + ts.tv_nsec;
}

static void
die(const char *what, int ret)
{
   fprintf(stderr, "bench-core: %s: %s\n", what, strerror(-ret));
   exit(1);
}

/* Not inlined: callgrind counts between its entry and its return. */
__attribute__((noinline)) void bench_submit(struct vmb_queue *queue,
                                            const struct vmb_submit *submit);

void
bench_submit(struct vmb_queue *queue, const struct vmb_submit *submit)
{
   const int ret = vmb_queue_submit(queue, submit, NULL);
   if (ret)
      die("submit", ret);
}

static int
compare_double(const void *a, const void *b)
{
   const double x = *(const double *)a, y = *(const double *)b;
   return x < y ? -1 : x > y;
}

struct result {
   double ns;
   uint64_t binds, ops, ioctls;
};

static struct result
measure(const struct bench *b, enum pattern pattern, uint32_t count, bool counting)
{
   static struct vmb_bind binds[2][MAX_BATCH];
   struct vmb_stats before, after;
   double ns[REPEATS];
   uint64_t submits = 0;

   for (unsigned turn = 0; turn < 2; turn++)
      make_batch(b, pattern, count, turn, binds[turn]);

   struct vmb_submit submit = { .binds = binds[1], .bind_count = count };
   if (vmb_queue_submit(b->queue, &submit, NULL))
      die("first submit", 0);
   vmb_device_get_stats(b->dev, &before);
   for (unsigned r = 0; r < REPEATS; r++) {
      uint64_t n = 0;
      const uint64_t start_ns = cpu_ns();
      do {
         submit.binds = binds[submits++ & 1];
         bench_submit(b->queue, &submit);
         n++;
      } while (!counting && cpu_ns() - start_ns < MIN_NS);
      ns[r] = (double)(cpu_ns() - start_ns) / n / count;
   }
   vmb_device_get_stats(b->dev, &after);
   qsort(ns, REPEATS, sizeof(ns[0]), compare_double);

   const uint64_t ops = after.ops_map + after.ops_unmap + after.ops_null - before.ops_map -
                        before.ops_unmap - before.ops_null;
   return (struct result){
      .ns = ns[REPEATS / 2],
      .binds = submits * count,
      .ops = ops / submits,
      .ioctls = (after.ioctls - before.ioctls) / submits,
   };
}

static void
setup(struct bench *b)
{
   int ret = vmb_device_create(&(struct vmb_device_params){ .drm_fd = 0 }, &b->dev);
   if (ret)
      die("device", ret);
   ret = vmb_vm_create(b->dev, &(struct vmb_vm_params){ 0 }, &b->vm);
   if (!ret)
      ret = vmb_queue_create(b->vm, &b->queue);
   if (!ret) {
      ret = vmb_range_create(b->vm, &(struct vmb_range_params){ .size_B = SPACE * PAGE_B },
                             &b->range);
   }
   for (unsigned i = 0; i < 2 && !ret; i++) {
      ret = vmb_bo_create(b->dev,
                          &(struct vmb_bo_params){ .size_B = BO_PAGES * PAGE_B, .vm = b->vm },
                          &b->bo[i]);
   }
   if (ret)
      die("setup", ret);

   /* Others' mappings, scattered, in the second half of the indices. */
   for (uint32_t done = 0; done < LIVE_PAGES;) {
      static struct vmb_bind binds[MAX_BATCH];
      for (uint32_t i = 0; i < MAX_BATCH; i++, done++) {
         binds[i] = (struct vmb_bind){
            .range = b->range,
            .offset_B = scatter(SPACE / 2 + done) * PAGE_B,
            .size_B = PAGE_B,
            .bo = b->bo[0],
            .bo_offset_B = scatter(done) % BO_PAGES * PAGE_B,
         };
      }
      const struct vmb_submit submit = { .binds = binds, .bind_count = MAX_BATCH };
      ret = vmb_queue_submit(b->queue, &submit, NULL);
      if (ret)
         die("mappings", ret);
   }
}

static void
teardown(struct bench *b)
{
   vmb_range_destroy(b->range);
   vmb_queue_destroy(b->queue);
   vmb_vm_wait_idle(b->vm, INT64_MAX);
   for (unsigned i = 0; i < 2; i++)
      vmb_bo_unref(b->bo[i]);
   vmb_vm_destroy(b->vm);
   vmb_device_destroy(b->dev);
}

int
main(int argc, char **argv)
{
   static const uint32_t counts[] = { 1, 16, 256, 4096 };
   const char *only = NULL, *json = NULL;
   struct bench b;

   for (int i = 1; i + 1 < argc; i += 2) {
      if (!strcmp(argv[i], "--only"))
         only = argv[i + 1];
      else if (!strcmp(argv[i], "--json"))
         json = argv[i + 1];
   }
   FILE *file = json ? fopen(json, "w") : NULL;
   if (json && !file) {
      fprintf(stderr, "bench-core: cannot write %s\n", json);
      return 1;
   }

   setup(&b);
   printf("%-12s %6s %12s %12s %8s\n", "pattern", "batch", "ns a bind", "operations", "ioctls");
   for (unsigned p = 0; p < PATTERN_COUNT; p++) {
      for (unsigned c = 0; c < ARRAY_SIZE(counts); c++) {
         char name[64];
         snprintf(name, sizeof(name), "%s/%u", pattern_names[p], counts[c]);
         if (only && strcmp(only, name))
            continue;
         const struct result r = measure(&b, p, counts[c], only != NULL);
         printf("%-12s %6u %12.1f %12" PRIu64 " %8" PRIu64 "\n", pattern_names[p], counts[c],
                r.ns, r.ops, r.ioctls);
         if (only)
            printf("binds counted: %" PRIu64 "\n", r.binds);
         if (file) {
            fprintf(file,
                    "{\"bench\": \"core\", \"pattern\": \"%s\", \"batch\": %u, \"ns_a_bind\": %.1f, "
                    "\"operations\": %" PRIu64 ", \"ioctls\": %" PRIu64 "}\n",
                    pattern_names[p], counts[c], r.ns, r.ops, r.ioctls);
         }
      }
   }
   teardown(&b);
   if (file)
      fclose(file);
   return 0;
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What binds cost through the core on a real kernel, from the call to the completed bind.  Must not know
 * which kernel driver it is.
 */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <xf86drm.h>

#include "cost.h"
#include "ioctls.h"
#include "vmbind/vmb_vm.h"

#define CHECK(call)                                                                               \
   do {                                                                                           \
      const int ret_ = (call);                                                                    \
      if (ret_) {                                                                                 \
         fprintf(stderr, "%s: %d\n", #call, ret_);                                                \
         exit(1);                                                                                 \
      }                                                                                           \
   } while (0)

struct bench {
   int fd;
   struct vmb_device *dev;
   struct vmb_vm *vm;
   struct vmb_queue *queue;
   struct vmb_bo *memory;
   /* Where all of the memory is mapped all the time, as drivers do. */
   struct vmb_range *whole;
   uint32_t done;
   struct vmb_bind *binds, *unbinds;
};

static void
open_bench(struct bench *b)
{
   const unsigned pages = cost_sizes[COST_SIZES - 1];
   const uint64_t size_B = pages * COST_PAGE_B;

   b->fd = open("/dev/dri/renderD128", O_RDWR | O_CLOEXEC);
   CHECK(vmb_device_create(&(struct vmb_device_params){ .drm_fd = b->fd }, &b->dev));
   CHECK(vmb_vm_create(b->dev, &(struct vmb_vm_params){ 0 }, &b->vm));
   CHECK(vmb_queue_create(b->vm, &b->queue));
   CHECK(vmb_bo_create(b->dev, &(struct vmb_bo_params){ .size_B = size_B, .vm = b->vm }, &b->memory));
   CHECK(vmb_range_create(b->vm, &(struct vmb_range_params){ .size_B = size_B }, &b->whole));
   const struct vmb_bind all = { .range = b->whole, .size_B = size_B, .bo = b->memory };
   CHECK(vmb_vm_bind_sync(b->vm, &all, 1));
   CHECK(drmSyncobjCreate(vmb_device_fd(b->dev), 0, &b->done));
   b->binds = calloc(pages, sizeof(*b->binds));
   b->unbinds = calloc(pages, sizeof(*b->unbinds));
}

static void
close_bench(struct bench *b)
{
   free(b->binds);
   free(b->unbinds);
   drmSyncobjDestroy(vmb_device_fd(b->dev), b->done);
   vmb_range_destroy(b->whole);
   vmb_bo_unref(b->memory);
   vmb_queue_destroy(b->queue);
   vmb_vm_destroy(b->vm);
   vmb_device_destroy(b->dev);
   close(b->fd);
}

static struct vmb_range *
create_resource(struct bench *b, unsigned pages)
{
   const struct vmb_range_params params = {
      .size_B = 2 * pages * COST_PAGE_B,
      .unbound = VMB_UNBOUND_NULL,
   };
   struct vmb_range *range;

   CHECK(vmb_range_create(b->vm, &params, &range));
   return range;
}

/* What a driver does before it submits GPU work. */
static void
before_gpu_work(struct bench *b)
{
   struct vmb_sync sync;

   CHECK(vmb_vm_get_sync(b->vm, &sync));
}

/* One that is in use already: what is unbound of it is null, as after PanVK's vkCreateBuffer. */
static struct vmb_range *
create_used_resource(struct bench *b, unsigned pages)
{
   struct vmb_range *range = create_resource(b, pages);

   before_gpu_work(b);
   return range;
}

static void
fill_binds(const struct bench *b, struct vmb_bind *binds, unsigned pages, enum cost_pattern pattern,
           bool unbind)
{
   for (unsigned i = 0; i < pages; i++) {
      unsigned page, memory_page;

      cost_request(pattern, pages, i, &page, &memory_page);
      binds[i] = (struct vmb_bind){
         .offset_B = page * COST_PAGE_B,
         .size_B = COST_PAGE_B,
         .bo = unbind ? NULL : b->memory,
         .bo_offset_B = unbind ? 0 : memory_page * COST_PAGE_B,
      };
   }
}

static void
bind_and_wait(struct bench *b, struct vmb_range *range, struct vmb_bind *binds, unsigned count)
{
   for (unsigned i = 0; i < count; i++)
      binds[i].range = range;
   CHECK(vmb_queue_submit(b->queue,
                          &(struct vmb_submit){
                             .binds = binds,
                             .bind_count = count,
                             .signals = &(struct vmb_sync){ b->done, 0 },
                             .signal_count = 1,
                          },
                          NULL));
   CHECK(drmSyncobjWait(vmb_device_fd(b->dev), &b->done, 1, INT64_MAX, 0, NULL));
}

static void
measure(struct bench *b, struct vmb_range *range, unsigned pages, enum cost_pattern pattern,
        bool unbind, struct best *best)
{
   fill_binds(b, b->binds, pages, pattern, unbind);
   const struct cost from = cost_now();
   bind_and_wait(b, range, b->binds, pages);
   best_add(best, from, cost_now());
   CHECK(drmSyncobjReset(vmb_device_fd(b->dev), &b->done, 1));
}

/* With GPU work when the resource is bound and when it is gone, or one such resource after the other. */
static void
measure_cycle(struct bench *b, unsigned pages, bool gpu_work, struct best *best)
{
   fill_binds(b, b->binds, pages, COST_IN_ORDER, false);
   fill_binds(b, b->unbinds, pages, COST_IN_ORDER, true);
   const struct cost from = cost_now();
   struct vmb_range *range = create_resource(b, pages);

   bind_and_wait(b, range, b->binds, pages);
   if (gpu_work)
      before_gpu_work(b);
   bind_and_wait(b, range, b->unbinds, pages);
   vmb_range_destroy(range);
   if (gpu_work)
      before_gpu_work(b);
   best_add(best, from, cost_now());
   CHECK(drmSyncobjReset(vmb_device_fd(b->dev), &b->done, 1));
}

static void
bench(struct bench *b, unsigned pages)
{
   struct best in_order = { 0 }, shuffled = { 0 }, again = { 0 }, scattered = { 0 }, unbind = { 0 },
               first = { 0 }, cycle = { 0 }, used_cycle = { 0 };

   for (unsigned i = 0; i < COST_REPEAT; i++) {
      struct vmb_range *range = create_used_resource(b, pages);

      measure(b, range, pages, COST_IN_ORDER, false, &in_order);
      measure(b, range, pages, COST_IN_ORDER, true, &unbind);
      measure(b, range, pages, COST_SHUFFLED, false, &shuffled);
      measure(b, range, pages, COST_SHUFFLED, false, &again);
      vmb_range_destroy(range);
      range = create_used_resource(b, pages);
      measure(b, range, pages, COST_SCATTERED, false, &scattered);
      vmb_range_destroy(range);
      /* What one that was destroyed leaves to the next is counted there: so the first one does not count. */
      measure_cycle(b, pages, false, &first);
      if (i == COST_REPEAT - 1)
         ioctls_start();
      measure_cycle(b, pages, false, &cycle);
      if (i == COST_REPEAT - 1)
         ioctls_print("core", "cycle", pages);
      before_gpu_work(b);
      measure_cycle(b, pages, true, &used_cycle);
   }
   best_print(&in_order, "core", "in-order", pages);
   best_print(&shuffled, "core", "shuffled", pages);
   best_print(&scattered, "core", "scattered", pages);
   best_print(&again, "core", "again", pages);
   best_print(&unbind, "core", "unbind", pages);
   best_print(&cycle, "core", "cycle", pages);
   best_print(&used_cycle, "core", "used-cycle", pages);
}

int
main(void)
{
   struct bench b;

   setvbuf(stdout, NULL, _IOLBF, 0);
   cost_init();
   open_bench(&b);
   for (unsigned i = 0; i < COST_SIZES; i++)
      bench(&b, cost_sizes[i]);
   close_bench(&b);
   return 0;
}

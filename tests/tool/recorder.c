/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * A program for the tool's tests to look at while it records. Must know nothing of traces.
 *
 *    recorder still    binds, leaves a submit pending, says "ready", and ends when its input does
 *    recorder loop     binds until it is killed, and says the number of each submit when it has returned
 *    recorder placed   has the kernel give BOs their addresses, where it does, says "ready", and ends as the first
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xf86drm.h>

#include "drm_sim.h"
#include "vmbind/vmb_vm.h"

#define PAGE_B 4096ull

#define CHECK(call)                                                                                \
   do {                                                                                            \
      const int ret_ = (call);                                                                     \
      if (ret_) {                                                                                  \
         fprintf(stderr, "recorder: %s: %s\n", #call, strerror(-ret_));                            \
         exit(1);                                                                                  \
      }                                                                                            \
   } while (0)

struct world {
   int fd;
   struct vmb_device *dev;
   struct vmb_vm *vm;
   struct vmb_queue *queue;
   struct vmb_range *texture, *buffer;
   struct vmb_bo *tiles, *vertices;
   /* Signalled. */
   uint32_t syncobj;
};

static void
open_world(struct world *w)
{
   w->fd = open("/dev/dri/renderD128", O_RDWR | O_CLOEXEC);
   CHECK(w->fd < 0 ? -ENODEV : 0);
   CHECK(drmSyncobjCreate(w->fd, DRM_SYNCOBJ_CREATE_SIGNALED, &w->syncobj));
   CHECK(vmb_device_create(&(struct vmb_device_params){ .drm_fd = w->fd }, &w->dev));
   /* Where a smaller address space has none. */
   CHECK(vmb_vm_create(w->dev,
                       &(struct vmb_vm_params){
                          .window_start_B = 1ull << 41,
                          .window_range_B = 1ull << 40,
                       },
                       &w->vm));
   CHECK(vmb_queue_create(w->vm, &w->queue));
   CHECK(vmb_range_create(w->vm,
                          &(struct vmb_range_params){
                             .size_B = 64 * PAGE_B,
                             .unbound = VMB_UNBOUND_NULL,
                             .name = "a <\"texture\">\n",
                          },
                          &w->texture));
   CHECK(vmb_range_create(w->vm, &(struct vmb_range_params){ .size_B = 16 * PAGE_B, .name = "buffer" },
                          &w->buffer));
   CHECK(vmb_bo_create(w->dev,
                       &(struct vmb_bo_params){ .size_B = 64 * PAGE_B, .vm = w->vm, .name = "tiles" },
                       &w->tiles));
   CHECK(vmb_bo_create(w->dev, &(struct vmb_bo_params){ .size_B = 4 * PAGE_B, .name = "vertices" },
                       &w->vertices));
}

static void
close_world(struct world *w)
{
   vmb_range_destroy(w->texture);
   vmb_range_destroy(w->buffer);
   vmb_queue_destroy(w->queue);
   vmb_bo_unref(w->tiles);
   vmb_bo_unref(w->vertices);
   vmb_vm_destroy(w->vm);
   vmb_device_destroy(w->dev);
   drmSyncobjDestroy(w->fd, w->syncobj);
   close(w->fd);
}

static struct vmb_bind
bind(struct vmb_range *range, uint64_t page, struct vmb_bo *bo, uint64_t bo_page, uint64_t pages)
{
   return (struct vmb_bind){
      .range = range,
      .offset_B = page * PAGE_B,
      .size_B = pages * PAGE_B,
      .bo = bo,
      .bo_offset_B = bo_page * PAGE_B,
   };
}

/* What waits for nothing could be bound at once, and would leave nothing to see. */
static void
submit(struct world *w, const struct vmb_bind *binds, uint32_t count)
{
   const struct vmb_sync wait = { .syncobj = w->syncobj };
   const struct vmb_submit info = {
      .binds = binds,
      .bind_count = count,
      .waits = &wait,
      .wait_count = 1,
   };

   CHECK(vmb_queue_submit(w->queue, &info, NULL));
}

static void
wait_for_end_of_input(void)
{
   while (getchar() != EOF)
      ;
}

static void
stay(struct world *w)
{
   const struct vmb_bind first[] = {
      bind(w->texture, 8, w->tiles, 0, 8),
      bind(w->texture, 16, w->tiles, 8, 8),
      bind(w->buffer, 0, w->vertices, 0, 4),
   };
   const struct vmb_bind second[] = {
      bind(w->texture, 8, NULL, 0, 4),
      bind(w->buffer, 8, w->vertices, 1, 2),
   };
   struct vmb_range *gone;

   CHECK(vmb_range_create(w->vm, &(struct vmb_range_params){ .size_B = PAGE_B, .name = "gone" }, &gone));
   printf("%" PRIx64 " ", vmb_range_addr_B(gone));
   vmb_range_destroy(gone);
   submit(w, first, 3);
   CHECK(vmb_vm_wait_idle(w->vm, INT64_MAX));
   CHECK(drm_sim_hold(w->fd, vmb_vm_kernel_id(w->vm)));
   submit(w, second, 2);
   printf("%" PRIx64 " %" PRIx64 " ready\n", vmb_range_addr_B(w->texture), vmb_range_addr_B(w->buffer));
   fflush(stdout);
   wait_for_end_of_input();
   CHECK(drm_sim_release(w->fd, vmb_vm_kernel_id(w->vm)));
}

static void
loop(struct world *w)
{
   for (uint64_t i = 0;; i++) {
      const struct vmb_bind one = bind(w->texture, i * 7 % 64, i % 3 ? w->tiles : NULL, i * 5 % 64, 1);

      submit(w, &one, 1);
      printf("%" PRIu64 "\n", i + 1);
      fflush(stdout);
   }
}

/* Three BOs, of which one goes before the others are looked at. */
static void
placed(void)
{
   static const char *const names[] = { "first", "gone", "last" };
   const int fd = open("/dev/dri/renderD128", O_RDWR | O_CLOEXEC);
   struct vmb_device *dev;
   struct vmb_bo *bo[3];
   struct vmb_vm *vm;

   CHECK(fd < 0 ? -ENODEV : 0);
   CHECK(vmb_device_create(&(struct vmb_device_params){ .drm_fd = fd }, &dev));
   CHECK(vmb_vm_create(dev, &(struct vmb_vm_params){ 0 }, &vm));
   for (unsigned i = 0; i < 3; i++) {
      const struct vmb_bo_params params = { .size_B = (i + 1) * PAGE_B, .name = names[i] };
      uint64_t addr_B;

      CHECK(vmb_bo_create(dev, &params, &bo[i]));
      for (unsigned again = 0; again < 2; again++)
         CHECK(vmb_vm_get_bo_addr(vm, bo[i], &addr_B));
      printf("%" PRIx64 " ", addr_B);
   }
   vmb_bo_unref(bo[1]);
   printf("ready\n");
   fflush(stdout);
   wait_for_end_of_input();
   vmb_bo_unref(bo[0]);
   vmb_bo_unref(bo[2]);
   vmb_vm_destroy(vm);
   vmb_device_destroy(dev);
   close(fd);
}

int
main(int argc, char **argv)
{
   struct world w;

   if (argc > 1 && !strcmp(argv[1], "placed")) {
      placed();
      return 0;
   }
   open_world(&w);
   if (argc > 1 && !strcmp(argv[1], "loop"))
      loop(&w);
   stay(&w);
   close_world(&w);
   return 0;
}

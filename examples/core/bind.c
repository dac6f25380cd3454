/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The core in a hundred lines: opens a node, reserves a range of addresses, binds a BO there, binds parts of
 * it anew, waits, and shows what is bound. With the installed library:
 *
 *    cc bind.c $(pkg-config --cflags --libs vmbind) -o bind && vmbind sim --kmd msm -- ./bind
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vmbind/vmb_vm.h>

#define TILE_B (64 * 1024ull)

static void
check(int ret, const char *what)
{
   if (ret) {
      fprintf(stderr, "bind: %s: %s\n", what, strerror(-ret));
      exit(1);
   }
}

static struct vmb_bind
tile(struct vmb_range *range, unsigned where, struct vmb_bo *bo, unsigned which)
{
   return (struct vmb_bind){
      .range = range,
      .offset_B = where * TILE_B,
      .size_B = TILE_B,
      .bo = bo,
      .bo_offset_B = which * TILE_B,
   };
}

static void
dump(struct vmb_vm *vm, const char *when)
{
   struct vmb_vm_mapping *maps;
   size_t count;

   check(vmb_vm_get_mappings(vm, VMB_STATE_COMPLETED, 0, UINT64_MAX, &maps, &count), "mappings");
   printf("%s:\n", when);
   for (size_t i = 0; i < count; i++) {
      printf("   0x%012" PRIx64 " +0x%-7" PRIx64, maps[i].addr_B, maps[i].range_B);
      if (maps[i].bo_id)
         printf(" BO %u, from its byte 0x%" PRIx64 "\n", maps[i].bo_id, maps[i].bo_offset_B);
      else
         printf(" null\n");
   }
   free(maps);
}

int
main(int argc, char **argv)
{
   struct vmb_device *dev;
   struct vmb_vm *vm;
   struct vmb_queue *queue;
   struct vmb_range *range;
   struct vmb_bo *bo;

   const int fd = open(argc > 1 ? argv[1] : "/dev/dri/renderD128", O_RDWR | O_CLOEXEC);
   check(fd < 0 ? -errno : 0, "the render node");
   check(vmb_device_create(&(struct vmb_device_params){ .drm_fd = fd }, &dev), "device");
   const struct vmb_caps *caps = vmb_device_caps(dev);
   printf("%s %d.%d\n", caps->driver, caps->version_major, caps->version_minor);
   check(vmb_vm_create(dev, &(struct vmb_vm_params){ 0 }, &vm), "VM");
   check(vmb_queue_create(vm, &queue), "queue");

   /* A sparse texture of sixteen tiles, in which unbound ones do not fault; and memory for four. */
   const struct vmb_range_params texture = {
      .size_B = 16 * TILE_B,
      .unbound = caps->null_mode == VMB_NULL_NONE ? VMB_UNBOUND_HOLE : VMB_UNBOUND_NULL,
      .name = "texture",
   };
   check(vmb_range_create(vm, &texture, &range), "range");
   check(vmb_bo_create(dev, &(struct vmb_bo_params){ .size_B = 4 * TILE_B, .vm = vm, .name = "tiles" }, &bo),
         "BO");

   /* Four neighbours in any order become one operation. */
   const struct vmb_bind first[] = { tile(range, 6, bo, 2), tile(range, 4, bo, 0), tile(range, 7, bo, 3),
                                     tile(range, 5, bo, 1) };
   check(vmb_queue_submit(queue, &(struct vmb_submit){ .binds = first, .bind_count = 4 }, NULL), "submit");
   check(vmb_queue_wait(queue, 0, INT64_MAX), "wait");
   dump(vm, "bound");

   /* Memory moves: the tile at 5 goes, what it had is bound at 12. */
   const struct vmb_bind second[] = { tile(range, 5, NULL, 0), tile(range, 12, bo, 1) };
   check(vmb_queue_submit(queue, &(struct vmb_submit){ .binds = second, .bind_count = 2 }, NULL), "submit");
   check(vmb_queue_wait(queue, 0, INT64_MAX), "wait");
   dump(vm, "bound anew");

   struct vmb_stats stats;
   vmb_device_get_stats(dev, &stats);
   printf("%" PRIu64 " binds, %" PRIu64 " operations, %" PRIu64 " ioctls\n", stats.binds,
          stats.ops_map + stats.ops_unmap + stats.ops_null, stats.ioctls);

   vmb_range_destroy(range);
   vmb_queue_destroy(queue);
   vmb_bo_unref(bo);
   vmb_vm_destroy(vm);
   vmb_device_destroy(dev);
   close(fd);
   return 0;
}

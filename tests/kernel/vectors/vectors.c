/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Random sequences of the ioctls around VM_BIND, valid and invalid, and what the kernel answered: a line
 * a call, with its arguments, its result and what was written back.  Run on a real panthor it records;
 * run on the simulator it is compared with the recording.  Must not know which of the two it runs on: it
 * has the node, and target.h for the trees.
 *
 *   vectors record           print the vectors
 *   vectors compare FILE     run, and show where FILE differs
 *
 * Every field of every ioctl is now and then off by one, too big, misaligned, or names what is gone.
 * Everything is derived from the number of the sequence.  Never sent, because the kernel does not take
 * it well: an unknown syncobj to signal (it follows a null pointer), an operation that waits for what
 * it or a later one of its batch signals (it warns), and arrays of billions (it warns of the allocation).
 */

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <xf86drm.h>

#include "drm-uapi/panthor_drm.h"
#include "tests/core/target.h"
#include "tests/util/prop.h"
#include "util/macros.h"

#define SEQUENCES 48
#define CALLS     32
#define MAX_OPS   4
#define MAX_SYNCS 3
#define SLOTS     4

#define PAGE_B        4096ull
#define WINDOW_B      0x10000000ull
#define WINDOW_PAGES  64
#define USER_VA_END_B (1ull << 47)
#define UNKNOWN       0x7777u

struct sequence {
   int fd;
   struct rng rng;
   FILE *out;
   /* 0 where there is none */
   uint32_t vms[SLOTS], bos[SLOTS], syncobjs[SLOTS];
   /* What was there last, and is gone; its number may have been given out again. */
   uint32_t stale;
   uint64_t points[SLOTS];
   /* As last printed */
   char *trees[SLOTS];
};

static int
call(const struct sequence *s, unsigned long request, void *arg)
{
   return drmIoctl(s->fd, request, arg) ? -errno : 0;
}

static bool
one_in(struct sequence *s, unsigned n)
{
   return rng_one_in(&s->rng, n);
}

static unsigned
below(struct sequence *s, unsigned n)
{
   return rng_below(&s->rng, n);
}

static int64_t
soon(void)
{
   struct timespec now;

   clock_gettime(CLOCK_MONOTONIC, &now);
   return (now.tv_sec + 20) * 1000000000ll;
}

/* Mostly one that lives; sometimes none, one that is gone, or one that never was. */
static uint32_t
pick(struct sequence *s, const uint32_t *slots)
{
   const unsigned first = below(s, SLOTS);

   if (one_in(s, 20)) {
      switch (below(s, 4)) {
      case 0: return 0;
      case 1: return UNKNOWN;
      case 2: return UINT32_MAX;
      case 3: return s->stale;
      }
   }
   for (unsigned i = 0; i < SLOTS; i++)
      if (slots[(first + i) % SLOTS])
         return slots[(first + i) % SLOTS];
   return 0;
}

/* ----------------------------------------------------------------- VM and BO */

static void
vm_create(struct sequence *s, unsigned slot)
{
   static const uint64_t ranges[] = { 0, 0, 0, 1ull << 47, 1ull << 40, (1ull << 47) + 1, 1ull << 48,
                                      12345, UINT64_MAX };
   struct drm_panthor_vm_create create = {
      .flags = one_in(s, 16) ? 1u << below(s, 32) : 0,
      .user_va_range = ranges[below(s, ARRAY_SIZE(ranges))],
   };

   fprintf(s->out, "vm_create flags %u range %#" PRIx64, create.flags,
           (uint64_t)create.user_va_range);
   const int ret = call(s, DRM_IOCTL_PANTHOR_VM_CREATE, &create);
   fprintf(s->out, " -> %d id %u range %#" PRIx64 "\n", ret, create.id,
           (uint64_t)create.user_va_range);
   if (!ret)
      s->vms[slot] = create.id;
}

static void
vm_destroy(struct sequence *s)
{
   struct drm_panthor_vm_destroy destroy = { .id = pick(s, s->vms), .pad = one_in(s, 8) };

   s->stale = destroy.id;

   fprintf(s->out, "vm_destroy id %u pad %u", destroy.id, destroy.pad);
   const int ret = call(s, DRM_IOCTL_PANTHOR_VM_DESTROY, &destroy);
   fprintf(s->out, " -> %d\n", ret);
   for (unsigned i = 0; i < SLOTS && !ret; i++) {
      if (s->vms[i] == destroy.id) {
         s->vms[i] = 0;
         free(s->trees[i]);
         s->trees[i] = NULL;
      }
   }
}

static void
vm_get_state(struct sequence *s)
{
   struct drm_panthor_vm_get_state state = { .vm_id = pick(s, s->vms), .state = one_in(s, 4) * 9 };

   fprintf(s->out, "vm_get_state id %u state %u", state.vm_id, state.state);
   const int ret = call(s, DRM_IOCTL_PANTHOR_VM_GET_STATE, &state);
   fprintf(s->out, " -> %d state %u\n", ret, state.state);
}

static void
bo_create(struct sequence *s, unsigned slot)
{
   static const uint64_t sizes[] = { 0x20000, 0x20000, 0x20000, 0x20000, 0x1e001, 0x1000,
                                     0x1001,  1,       0,       1ull << 63 };
   struct drm_panthor_bo_create create = {
      .size = sizes[below(s, ARRAY_SIZE(sizes))],
      .flags = one_in(s, 8) ? one_in(s, 2) ? below(s, 8) : 1u << below(s, 32) : 0,
      .exclusive_vm_id = one_in(s, 3) ? pick(s, s->vms) : 0,
      .pad = one_in(s, 16),
   };

   if (s->bos[slot])
      return;
   fprintf(s->out, "bo_create size %#" PRIx64 " flags %u vm %u pad %u", (uint64_t)create.size,
           create.flags, create.exclusive_vm_id, create.pad);
   const int ret = call(s, DRM_IOCTL_PANTHOR_BO_CREATE, &create);
   fprintf(s->out, " -> %d size %#" PRIx64 " handle %u\n", ret, (uint64_t)create.size,
           create.handle);
   if (!ret)
      s->bos[slot] = create.handle;
}

/* The offset itself depends on what other files have. */
static void
bo_mmap_offset(struct sequence *s)
{
   struct drm_panthor_bo_mmap_offset offset = { .handle = pick(s, s->bos), .pad = one_in(s, 8) };

   fprintf(s->out, "bo_mmap_offset handle %u pad %u", offset.handle, offset.pad);
   const int ret = call(s, DRM_IOCTL_PANTHOR_BO_MMAP_OFFSET, &offset);
   fprintf(s->out, " -> %d\n", ret);
}

static void
gem_close(struct sequence *s)
{
   struct drm_gem_close close = { .handle = pick(s, s->bos), .pad = one_in(s, 8) };

   s->stale = close.handle;
   fprintf(s->out, "gem_close handle %u pad %u", close.handle, close.pad);
   const int ret = call(s, DRM_IOCTL_GEM_CLOSE, &close);
   fprintf(s->out, " -> %d\n", ret);
   for (unsigned i = 0; i < SLOTS && !ret; i++)
      if (s->bos[i] == close.handle)
         s->bos[i] = 0;
}

/* ------------------------------------------------------------------- syncobjs */

static void
syncobj_create(struct sequence *s, unsigned slot)
{
   struct drm_syncobj_create create = { .flags = below(s, one_in(s, 8) ? 4 : 2) };

   if (s->syncobjs[slot])
      return;
   fprintf(s->out, "syncobj_create flags %u", create.flags);
   const int ret = call(s, DRM_IOCTL_SYNCOBJ_CREATE, &create);
   fprintf(s->out, " -> %d handle %u\n", ret, create.handle);
   if (!ret) {
      s->syncobjs[slot] = create.handle;
      s->points[slot] = 0;
   }
}

static void
syncobj_destroy(struct sequence *s)
{
   struct drm_syncobj_destroy destroy = { .handle = pick(s, s->syncobjs), .pad = one_in(s, 8) };

   s->stale = destroy.handle;
   fprintf(s->out, "syncobj_destroy handle %u pad %u", destroy.handle, destroy.pad);
   const int ret = call(s, DRM_IOCTL_SYNCOBJ_DESTROY, &destroy);
   fprintf(s->out, " -> %d\n", ret);
   for (unsigned i = 0; i < SLOTS && !ret; i++)
      if (s->syncobjs[i] == destroy.handle)
         s->syncobjs[i] = 0;
}

static void
syncobj_query(struct sequence *s)
{
   uint32_t handle = pick(s, s->syncobjs);
   uint64_t point = 99;
   struct drm_syncobj_timeline_array array = {
      .handles = (uintptr_t)&handle,
      .points = (uintptr_t)&point,
      .count_handles = !one_in(s, 8),
      .flags = one_in(s, 8) ? below(s, 4) : 0,
   };

   fprintf(s->out, "syncobj_query handle %u count %u flags %u", handle, array.count_handles,
           array.flags);
   const int ret = call(s, DRM_IOCTL_SYNCOBJ_QUERY, &array);
   fprintf(s->out, " -> %d point %" PRIu64 "\n", ret, point);
}

static void
syncobj_wait(struct sequence *s)
{
   uint32_t handle = pick(s, s->syncobjs);
   uint64_t point = below(s, 6);
   struct drm_syncobj_timeline_wait wait = {
      .handles = (uintptr_t)&handle,
      .points = (uintptr_t)&point,
      .count_handles = !one_in(s, 16),
   };

   fprintf(s->out, "syncobj_timeline_wait handle %u point %" PRIu64 " count %u", handle, point,
           wait.count_handles);
   const int ret = call(s, DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT,
                        (wait.timeout_nsec = soon(), &wait));
   fprintf(s->out, " -> %d first %u\n", ret, wait.first_signaled);
}

static void
syncobj_reset_or_signal(struct sequence *s)
{
   const bool reset = one_in(s, 2);
   uint32_t handle = pick(s, s->syncobjs);
   struct drm_syncobj_array array = {
      .handles = (uintptr_t)&handle,
      .count_handles = !one_in(s, 8),
      .pad = one_in(s, 8),
   };

   fprintf(s->out, "syncobj_%s handle %u count %u pad %u", reset ? "reset" : "signal", handle,
           array.count_handles, array.pad);
   const int ret = call(s, reset ? DRM_IOCTL_SYNCOBJ_RESET : DRM_IOCTL_SYNCOBJ_SIGNAL, &array);
   fprintf(s->out, " -> %d\n", ret);
}

/* ----------------------------------------------------------------------- binds */

struct batch {
   struct drm_panthor_vm_bind bind;
   /* One more, of zeros, for arrays that are said to be longer. */
   struct drm_panthor_vm_bind_op ops[MAX_OPS + 1];
   struct drm_panthor_sync_op syncs[MAX_OPS][MAX_SYNCS + 1];
};

static struct drm_panthor_sync_op
random_sync(struct sequence *s)
{
   const unsigned slot = below(s, SLOTS);
   struct drm_panthor_sync_op sync = { .handle = s->syncobjs[slot] };

   if (one_in(s, 2)) {
      sync.flags = DRM_PANTHOR_SYNC_OP_HANDLE_TYPE_TIMELINE_SYNCOBJ;
      sync.timeline_value = s->points[slot];
   }
   /* Nothing bad may be signaled. */
   if (sync.handle && one_in(s, 2)) {
      sync.flags |= (uint32_t)DRM_PANTHOR_SYNC_OP_SIGNAL;
      if (sync.flags & DRM_PANTHOR_SYNC_OP_HANDLE_TYPE_TIMELINE_SYNCOBJ)
         sync.timeline_value = ++s->points[slot];
      return sync;
   }
   switch (below(s, 24)) {
   case 0: sync.handle = UNKNOWN; break;
   case 1: sync.timeline_value += 1000; break;
   case 2: sync.flags |= 1u << below(s, 31); break;
   case 3: sync.timeline_value += 1; break;
   case 4: sync.timeline_value = UINT64_MAX; break;
   case 5: sync.handle = s->stale; break;
   }
   return sync;
}

static struct drm_panthor_vm_bind_op
random_op(struct sequence *s)
{
   const uint64_t pages = 1 + below(s, 8);
   struct drm_panthor_vm_bind_op op = {
      .va = WINDOW_B + below(s, WINDOW_PAGES) * PAGE_B,
      .size = pages * PAGE_B,
   };

   if (one_in(s, 3)) {
      op.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_UNMAP;
   } else {
      op.flags = DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC;
      op.bo_handle = pick(s, s->bos);
      op.bo_offset = below(s, 24) * PAGE_B;
   }
   return op;
}

static void
spoil_op(struct sequence *s, struct drm_panthor_vm_bind_op *op)
{
   switch (below(s, 24)) {
   case 0: op->va += 1; break;
   case 1: op->va += 0x800; break;
   case 2: op->va = USER_VA_END_B - PAGE_B; break;
   case 3: op->va = USER_VA_END_B; break;
   case 4: op->va = UINT64_MAX - PAGE_B + 1; break;
   case 5: op->size += 1; break;
   case 6: op->size -= 1; break;
   case 7: op->size = 0; break;
   case 8: op->size = 1ull << 40; break;
   case 9: op->bo_offset += 1; break;
   case 10: op->bo_offset = 0x20000 - op->size + PAGE_B; break;
   case 11: op->bo_offset = UINT64_MAX - PAGE_B + 1; break;
   case 12: op->bo_handle = UNKNOWN; break;
   case 13: op->flags |= 1u << below(s, 28); break;
   case 14: op->flags = (op->flags & 0xfffffff) | (2 + below(s, 4)) << 28; break;
   case 15: op->flags |= (uint32_t)DRM_PANTHOR_VM_BIND_OP_MAP_SPARSE, op->bo_handle = 0; break;
   case 16:
      if (one_in(s, 2))
         op->syncs.stride = below(s, 20);
      else
         op->syncs.count += op->syncs.count != 0;
      break;
   case 17: op->syncs.array = op->syncs.count ? 1 : op->syncs.array; break;
   case 18: op->bo_handle = s->stale; break;
   case 19: op->size = 1ull << 63; break;
   case 20: op->size = UINT64_MAX - PAGE_B + 1; break;
   case 21: op->va = 0; break;
   case 22: op->va = USER_VA_END_B - op->size; break;
   case 23: op->bo_offset = 0x20000 - op->size; break;
   }
}

static void
spoil_bind(struct sequence *s, struct drm_panthor_vm_bind *bind)
{
   switch (below(s, 10)) {
   case 0: bind->vm_id = UNKNOWN; break;
   case 1: bind->flags |= 1u << below(s, 32); break;
   case 2: bind->ops.stride -= 8; break;
   case 3: bind->ops.array = 0; break;
   case 4: bind->ops.count = 0; break;
   case 5: bind->ops.stride = 0; break;
   case 6: bind->ops.stride += 8; break;
   case 7: bind->ops.array = 1; break;
   case 8: bind->ops.count += 1; break;
   case 9: bind->vm_id = s->stale; break;
   }
}

static bool
is_signal(const struct drm_panthor_sync_op *sync)
{
   return sync->flags & (uint32_t)DRM_PANTHOR_SYNC_OP_SIGNAL;
}

static bool
signaled_from(const struct batch *batch, unsigned first, const struct drm_panthor_sync_op *wait)
{
   for (unsigned i = first; i < MAX_OPS; i++)
      for (unsigned j = 0; j < MAX_SYNCS; j++)
         if (is_signal(&batch->syncs[i][j]) && batch->syncs[i][j].handle == wait->handle)
            return true;
   return false;
}

static void
drop_waits_for_the_future(struct batch *batch)
{
   for (unsigned i = 0; i < MAX_OPS; i++)
      for (unsigned j = 0; j < MAX_SYNCS; j++)
         if (!is_signal(&batch->syncs[i][j]) && signaled_from(batch, i, &batch->syncs[i][j]))
            batch->syncs[i][j].handle = UNKNOWN;
}

static void
make_batch(struct sequence *s, struct batch *batch)
{
   const bool async = one_in(s, 2);
   const unsigned count = 1 + below(s, MAX_OPS);

   memset(batch, 0, sizeof(*batch));
   for (unsigned i = 0; i < count; i++) {
      struct drm_panthor_vm_bind_op *op = &batch->ops[i];

      *op = random_op(s);
      if (async ? one_in(s, 2) : one_in(s, 24)) {
         op->syncs = (struct drm_panthor_obj_array)DRM_PANTHOR_OBJ_ARRAY(1 + below(s, MAX_SYNCS),
                                                                         batch->syncs[i]);
         for (unsigned j = 0; j < op->syncs.count; j++)
            batch->syncs[i][j] = random_sync(s);
         if (one_in(s, 8)) {
            op->flags = DRM_PANTHOR_VM_BIND_OP_TYPE_SYNC_ONLY;
            op->va = op->size = op->bo_handle = op->bo_offset = 0;
         }
      }
      if (one_in(s, 8))
         spoil_op(s, op);
   }
   drop_waits_for_the_future(batch);
   batch->bind = (struct drm_panthor_vm_bind){
      .vm_id = pick(s, s->vms),
      .flags = async ? DRM_PANTHOR_VM_BIND_ASYNC : 0,
      .ops = DRM_PANTHOR_OBJ_ARRAY(count, batch->ops),
   };
   if (one_in(s, 12))
      spoil_bind(s, &batch->bind);
}

static void
print_op(struct sequence *s, const struct drm_panthor_vm_bind_op *op,
         const struct drm_panthor_sync_op *syncs)
{
   fprintf(s->out, " {%#x %u@%#" PRIx64 " %#" PRIx64 "+%#" PRIx64 " syncs %ux%u", op->flags,
           op->bo_handle, (uint64_t)op->bo_offset, (uint64_t)op->va, (uint64_t)op->size,
           op->syncs.stride, op->syncs.count);
   for (unsigned i = 0; i < op->syncs.count; i++)
      fprintf(s->out, " %#x:%u:%" PRIu64, syncs[i].flags, syncs[i].handle,
              (uint64_t)syncs[i].timeline_value);
   fprintf(s->out, "}");
}

static void
vm_bind(struct sequence *s)
{
   struct batch batch;

   make_batch(s, &batch);
   fprintf(s->out, "vm_bind vm %u flags %#x ops %s%ux%u", batch.bind.vm_id, batch.bind.flags,
           batch.bind.ops.array > 1 ? "" : "nowhere ", batch.bind.ops.stride, batch.bind.ops.count);
   for (unsigned i = 0; i < batch.bind.ops.count; i++)
      print_op(s, &batch.ops[i], batch.syncs[i]);
   fflush(s->out);
   const int ret = call(s, DRM_IOCTL_PANTHOR_VM_BIND, &batch.bind);
   fprintf(s->out, " -> %d count %u\n", ret, batch.bind.ops.count);
}

/* ----------------------------------------------------------------------- trees */

/* Waits for what is pending on the VM: its queue is a FIFO. */
static int
drain(struct sequence *s, uint32_t vm)
{
   uint32_t done = 0;

   if (drmSyncobjCreate(s->fd, 0, &done))
      return -errno;
   struct drm_panthor_sync_op signal = {
      .flags = (uint32_t)DRM_PANTHOR_SYNC_OP_SIGNAL,
      .handle = done,
   };
   struct drm_panthor_vm_bind_op op = {
      .flags = DRM_PANTHOR_VM_BIND_OP_TYPE_SYNC_ONLY,
      .syncs = DRM_PANTHOR_OBJ_ARRAY(1, &signal),
   };
   struct drm_panthor_vm_bind bind = {
      .vm_id = vm,
      .flags = DRM_PANTHOR_VM_BIND_ASYNC,
      .ops = DRM_PANTHOR_OBJ_ARRAY(1, &op),
   };
   int ret = call(s, DRM_IOCTL_PANTHOR_VM_BIND, &bind);
   if (!ret && drmSyncobjWait(s->fd, &done, 1, soon(), 0, NULL))
      ret = -errno;
   drmSyncobjDestroy(s->fd, done);
   return ret;
}

/* A mapping may outlive the handle of its BO. */
static uint32_t
open_handle(const struct sequence *s, uint32_t handle)
{
   for (unsigned i = 0; i < SLOTS; i++)
      if (s->bos[i] == handle)
         return handle;
   return 0;
}

static void
print_tree(const struct sequence *s, uint32_t vm, FILE *out)
{
   struct target_mapping *maps;
   size_t count;

   if (!target_get_tree(s->fd, vm, &maps, &count))
      abort();
   for (size_t i = 0; i < count; i++)
      if (maps[i].addr_B < USER_VA_END_B)
         fprintf(out, " %#" PRIx64 "+%#" PRIx64 "=%u@%#" PRIx64, maps[i].addr_B, maps[i].range_B,
                 open_handle(s, maps[i].handle), maps[i].offset_B);
   free(maps);
}

/* A line only if something changed */
static void
look_at(struct sequence *s, unsigned slot)
{
   char *text = NULL;
   size_t size;
   FILE *out = open_memstream(&text, &size);

   /* Once more, as the first one may have come before a bind that fails when it runs.  After such a
    * failure nothing can be waited for, and the tree is no one's. */
   const int ret = drain(s, s->vms[slot]) ? -EINVAL : drain(s, s->vms[slot]);
   fprintf(out, "tree vm %u drain %d:", s->vms[slot], ret);
   if (!ret)
      print_tree(s, s->vms[slot], out);
   fclose(out);
   if (!s->trees[slot] || strcmp(s->trees[slot], text) != 0)
      fprintf(s->out, "%s\n", text);
   free(s->trees[slot]);
   s->trees[slot] = text;
}

static void
look(struct sequence *s)
{
   for (unsigned i = 0; i < SLOTS; i++)
      if (s->vms[i])
         look_at(s, i);
}

/* ------------------------------------------------------------------- sequences */

/* Comes and goes, so that there are two, and one that is gone. */
static void
second_vm(struct sequence *s)
{
   if (s->vms[1])
      vm_destroy(s);
   else
      vm_create(s, 1);
}

static void
random_call(struct sequence *s)
{
   switch (below(s, 24)) {
   case 0: syncobj_reset_or_signal(s); break;
   case 1: syncobj_query(s); break;
   case 2: syncobj_wait(s); break;
   case 3: vm_get_state(s); break;
   case 4: bo_mmap_offset(s); break;
   case 5: gem_close(s); break;
   case 6: bo_create(s, below(s, SLOTS)); break;
   case 7: syncobj_create(s, below(s, SLOTS)); break;
   case 8: syncobj_destroy(s); break;
   case 9: second_vm(s); break;
   default: vm_bind(s); break;
   }
   look(s);
}

static void
run_sequence(unsigned number, FILE *out)
{
   struct sequence s = {
      .fd = target_open(),
      .rng = { .state = 0x9e3779b97f4a7c15ull * (number + 1) },
      .out = out,
   };

   if (s.fd < 0)
      abort();
   fprintf(out, "sequence %u\n", number);
   vm_create(&s, 0);
   for (unsigned slot = 0; slot < SLOTS; slot++) {
      bo_create(&s, slot);
      syncobj_create(&s, slot);
   }
   for (unsigned i = 0; i < CALLS; i++)
      random_call(&s);
   vm_destroy(&s);
   for (unsigned slot = 0; slot < SLOTS; slot++)
      free(s.trees[slot]);
   close(s.fd);
}

static int
record(void)
{
   for (unsigned i = 0; i < SEQUENCES; i++)
      run_sequence(i, stdout);
   return 0;
}

/* ------------------------------------------------------------------ comparison */

static char *
next_line(FILE *file, char **line, size_t *capacity)
{
   return getline(line, capacity, file) > 0 ? *line : NULL;
}

/* The first difference of a sequence is what counts: what follows comes of it. */
static bool
compare_sequence(unsigned number, FILE *recorded, char **pending, size_t *capacity)
{
   char *text = NULL, *line = NULL, *is = NULL, *was = *pending;
   size_t size, line_capacity = 0;
   FILE *out = open_memstream(&text, &size);
   bool same = true;

   run_sequence(number, out);
   fclose(out);
   FILE *in = fmemopen(text, size, "r");
   while ((is = next_line(in, &line, &line_capacity))) {
      if (same && (!was || strcmp(is, was) != 0)) {
         printf("# sequence %u\n# recorded: %s# now:      %s", number, was ? was : "nothing\n", is);
         same = false;
      }
      was = next_line(recorded, pending, capacity);
      if (was && strncmp(was, "sequence ", 9) == 0)
         break;
   }
   /* To the next sequence of the recording, if this one differs in length */
   while (was && strncmp(was, "sequence ", 9) != 0)
      was = next_line(recorded, pending, capacity);
   fclose(in);
   free(line);
   free(text);
   printf("%s %u - sequence %u\n", same ? "ok" : "not ok", number + 1, number);
   return same;
}

static int
compare(const char *path)
{
   FILE *recorded = fopen(path, "r");
   char *pending = NULL;
   size_t capacity = 0;
   unsigned differ = 0;

   if (!recorded || !next_line(recorded, &pending, &capacity)) {
      perror(path);
      return 2;
   }
   printf("1..%u\n", SEQUENCES);
   for (unsigned i = 0; i < SEQUENCES; i++)
      differ += !compare_sequence(i, recorded, &pending, &capacity);
   fclose(recorded);
   free(pending);
   return differ != 0;
}

int
main(int argc, char **argv)
{
   /* The call that the kernel does not survive is the last one seen: its arguments go out first. */
   setvbuf(stdout, NULL, _IOFBF, 1 << 16);
   if (argc == 2 && strcmp(argv[1], "record") == 0)
      return record();
   if (argc == 3 && strcmp(argv[1], "compare") == 0)
      return compare(argv[2]);
   fprintf(stderr, "usage: vectors record | vectors compare FILE\n");
   return 2;
}

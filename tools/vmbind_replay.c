/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * vmbind replay: does what a recorded process did again, bind by bind as it was asked for, on a simulated
 * kernel driver or a real node. What is bound is compared with the recording when a range goes and at the end.
 *
 * There is no GPU work in a trace: a wait for a syncobj that no bind has signalled is left out.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xf86drm.h>

#include "util/hash_table.h"

#include "vmbind/vmb_vm.h"

#include "vmbind_session.h"
#include "vmbind_source.h"
#include "vmbind_tool.h"

/* How often a call is repeated that finds no memory, as an application would. */
#define MAX_REPEATS 1000

struct replay_device {
   int fd;
   struct vmb_device *dev;
   /* struct replay_sync by the recorded handle. */
   struct hash_table *syncs;
};

struct replay_vm {
   struct vmb_vm *vm;
   /* By the recorded number, plus one. */
   struct hash_table *queues;
};

struct replay_range {
   /* NULL where addresses are the kernel's. */
   struct vmb_range *range;
   uint64_t addr_B;
};

struct replay_sync {
   uint32_t syncobj;
   bool signalled;
   /* The highest point that a bind signals. */
   uint64_t point;
};

struct replay {
   const char *node;
   struct vmb_bind *binds;
   struct vmb_sync *syncs;
   uint64_t submits, bind_count, left_out, waits_left_out, repeats, moved, compared, differ;
   uint64_t recorded_ops, recorded_ioctls;
   struct vmb_stats stats;
};

/* ------------------------------------------------------------------ objects */

static int
fail_at(const struct vmb_trace_record *record, const char *what, int ret)
{
   return tool_error(TOOL_FAILED, "at %.6f s of the recording: %s: %s", record->time_ns / 1e9, what,
                     strerror(-ret));
}

static int
create_device(struct replay *replay, const struct vmb_trace_record *record, struct session_device *device)
{
   struct replay_device *mine = calloc(1, sizeof(*mine));
   if (!mine)
      return fail_at(record, "a device", -ENOMEM);

   mine->fd = open(replay->node, O_RDWR | O_CLOEXEC);
   if (mine->fd < 0) {
      const int status = tool_error(TOOL_FAILED, "%s: %s", replay->node, strerror(errno));
      free(mine);
      return status;
   }
   const int ret = vmb_device_create(&(struct vmb_device_params){ .drm_fd = mine->fd }, &mine->dev);
   if (ret) {
      close(mine->fd);
      free(mine);
      return fail_at(record, "a device", ret);
   }
   mine->syncs = _mesa_pointer_hash_table_create(NULL);
   device->priv = mine;
   return 0;
}

static void
add_stats(struct replay *replay, struct vmb_device *dev)
{
   struct vmb_stats stats;

   vmb_device_get_stats(dev, &stats);
   replay->stats.ops_map += stats.ops_map;
   replay->stats.ops_unmap += stats.ops_unmap;
   replay->stats.ops_null += stats.ops_null;
   replay->stats.ioctls += stats.ioctls;
   replay->stats.merged += stats.merged;
   replay->stats.dropped += stats.dropped;
}

static void
destroy_device(struct replay *replay, struct session_device *device)
{
   struct replay_device *mine = device->priv;

   device->priv = NULL;
   if (!mine)
      return;
   add_stats(replay, mine->dev);
   hash_table_foreach(mine->syncs, entry) {
      drmSyncobjDestroy(mine->fd, ((struct replay_sync *)entry->data)->syncobj);
      free(entry->data);
   }
   _mesa_hash_table_destroy(mine->syncs, NULL);
   vmb_device_destroy(mine->dev);
   close(mine->fd);
   free(mine);
}

static struct vmb_device *
device_of(const struct session_device *device)
{
   return ((struct replay_device *)device->priv)->dev;
}

static int
create_vm(const struct vmb_trace_record *record, struct session_vm *vm)
{
   const struct vmb_caps *caps = vmb_device_caps(device_of(vm->device));
   struct vmb_vm_params params = {
      .window_start_B = vm->info.window_start_B,
      .window_range_B = vm->info.window_range_B,
   };
   struct replay_vm *mine = calloc(1, sizeof(*mine));
   if (!mine)
      return fail_at(record, "a VM", -ENOMEM);

   /* A window that this driver does not have: its whole address space. */
   if (params.window_start_B < caps->va_start_B ||
       params.window_start_B + params.window_range_B > caps->va_start_B + caps->va_range_B)
      params = (struct vmb_vm_params){ 0 };
   const int ret = vmb_vm_create(device_of(vm->device), &params, &mine->vm);
   if (ret) {
      free(mine);
      return fail_at(record, "a VM", ret);
   }
   mine->queues = _mesa_pointer_hash_table_create(NULL);
   vm->priv = mine;
   return 0;
}

static void
destroy_range(struct session_range *range)
{
   struct replay_range *mine = range->priv;

   if (mine && mine->range)
      vmb_range_destroy(mine->range);
   free(mine);
   range->priv = NULL;
}

static void
destroy_vm(struct session_vm *vm)
{
   struct replay_vm *mine = vm->priv;

   vm->priv = NULL;
   if (!mine)
      return;
   rb_tree_foreach(struct session_range, range, &vm->ranges, node)
      destroy_range(range);
   hash_table_foreach(mine->queues, entry)
      vmb_queue_destroy(entry->data);
   _mesa_hash_table_destroy(mine->queues, NULL);
   vmb_vm_destroy(mine->vm);
   free(mine);
}

static struct vmb_vm *
vm_of(const struct session_vm *vm)
{
   return ((struct replay_vm *)vm->priv)->vm;
}

/* Whether a call that failed so is to be made again. */
static bool
repeat(struct replay *replay, int ret, unsigned *tries)
{
   if ((ret != -ENOMEM && ret != -ENOBUFS) || ++*tries > MAX_REPEATS)
      return false;
   replay->repeats++;
   return true;
}

static int
create_bo(struct replay *replay, const struct session *session, const struct vmb_trace_record *record,
          struct session_bo *bo)
{
   const struct session_vm *vm = session_find_vm(session, bo->info.vm);
   const struct vmb_bo_params params = {
      .size_B = bo->info.size_B,
      .vm = vm ? vm_of(vm) : NULL,
      .cached = true,
      .name = bo->name,
   };
   struct vmb_bo *mine;
   unsigned tries = 0;
   int ret;

   do {
      ret = vmb_bo_create(device_of(bo->device), &params, &mine);
   } while (repeat(replay, ret, &tries));
   if (ret)
      return fail_at(record, "a BO", ret);
   bo->priv = mine;
   return 0;
}

static int
create_range(struct replay *replay, const struct vmb_trace_record *record, struct session_vm *vm,
             struct session_range *range)
{
   const struct vmb_caps *caps = vmb_device_caps(device_of(vm->device));
   struct vmb_range_params params = {
      .size_B = range->info.size_B,
      .unbound = range->info.unbound,
      .fixed_addr_B = range->info.addr_B,
      .name = range->name,
   };
   unsigned tries = 0;
   int ret;

   struct replay_range *mine = calloc(1, sizeof(*mine));
   if (!mine)
      return fail_at(record, "a range", -ENOMEM);
   range->priv = mine;
   /* It comes to be when the kernel maps its BO. */
   if (caps->kernel_addresses && range->info.unbound == VMB_UNBOUND_HOLE)
      return 0;
   for (;;) {
      ret = vmb_range_create(vm_of(vm), &params, &mine->range);
      if (!ret)
         break;
      if ((ret == -EINVAL || ret == -ENOSPC || ret == -EADDRINUSE) && params.fixed_addr_B) {
         params.fixed_addr_B = 0;
         replay->moved++;
      } else if (ret == -ENOTSUP) {
         return tool_error(TOOL_FAILED, "the recording needs null mappings, which %s %d.%d does not have",
                           caps->driver, caps->version_major, caps->version_minor);
      } else if (!repeat(replay, ret, &tries)) {
         return fail_at(record, "a range", ret);
      }
   }
   mine->addr_B = vmb_range_addr_B(mine->range);
   return 0;
}

/* ----------------------------------------------------------------- compare */

#define SEEN_FLAGS \
   (VMB_MAPPING_NULL | VMB_MAPPING_READONLY | VMB_MAPPING_NOEXEC | VMB_MAPPING_UNCACHED)

/* What is left of [addr_B, ...) of a mapping, as the place in its BO. */
struct place {
   bool mapped;
   uint32_t bo;
   uint64_t offset_B;
   uint16_t flags;
   /* Of the range: up to here it goes on like that. */
   uint64_t end_B;
};

/* As long as nothing is bound there, a range may still have to be bound to null. */
static bool
is_bare(struct session_vm *vm, const struct session_range *range)
{
   struct vmb_gpuvm_iter iter;
   struct vmb_mapping m;

   if (range->info.unbound != VMB_UNBOUND_NULL)
      return false;
   vmb_gpuvm_iter_init(vm->gpuvm, &iter, range->info.addr_B,
                       range->info.addr_B + range->info.size_B);
   return !vmb_gpuvm_iter_next(&iter, &m);
}

static struct place
recorded_place(struct session_vm *vm, const struct session_range *range, uint64_t at_B)
{
   const uint64_t addr_B = range->info.addr_B + at_B, end_B = range->info.addr_B + range->info.size_B;
   struct vmb_gpuvm_iter iter;
   struct vmb_mapping m;

   if (is_bare(vm, range))
      return (struct place){ .mapped = true, .flags = VMB_MAPPING_NULL, .end_B = range->info.size_B };
   vmb_gpuvm_iter_init(vm->gpuvm, &iter, addr_B, end_B);
   if (!vmb_gpuvm_iter_next(&iter, &m))
      return (struct place){ .end_B = range->info.size_B };
   if (m.addr_B > addr_B)
      return (struct place){ .end_B = m.addr_B - range->info.addr_B };

   const struct session_bo *bo = session_bo_of(&m);
   return (struct place){
      .mapped = true,
      .bo = bo && bo->priv ? vmb_bo_id(bo->priv) : 0,
      .offset_B = bo ? vmb_mapping_offset_at(&m, addr_B) : 0,
      .flags = m.flags & SEEN_FLAGS,
      .end_B = MIN2(vmb_mapping_end_B(&m), end_B) - range->info.addr_B,
   };
}

/* maps[*i] is the first mapping that ends after at_B. */
static struct place
replayed_place(uint64_t start_B, uint64_t size_B, uint64_t at_B, const struct vmb_vm_mapping *maps,
               size_t count, size_t *i)
{
   const uint64_t addr_B = start_B + at_B;

   while (*i < count && maps[*i].addr_B + maps[*i].range_B <= addr_B)
      (*i)++;
   if (*i == count)
      return (struct place){ .end_B = size_B };

   const struct vmb_vm_mapping *m = &maps[*i];
   if (m->addr_B > addr_B)
      return (struct place){ .end_B = m->addr_B - start_B };
   return (struct place){
      .mapped = true,
      .bo = m->bo_id,
      .offset_B = m->bo_id ? m->bo_offset_B + (addr_B - m->addr_B) : 0,
      .flags = m->flags & SEEN_FLAGS,
      .end_B = MIN2(m->addr_B + m->range_B - start_B, size_B),
   };
}

/* Node by node they may differ: drivers and the planner cut differently. Place by place they must not. */
static int
compare_range(struct replay *replay, struct session_vm *vm, const struct session_range *range)
{
   const uint64_t start_B = ((struct replay_range *)range->priv)->addr_B, size_B = range->info.size_B;
   struct vmb_vm_mapping *maps;
   size_t count, i = 0;

   struct vmb_sync sync;
   unsigned tries = 0;
   int ret;

   do {
      ret = vmb_vm_get_sync(vm_of(vm), &sync);
   } while (repeat(replay, ret, &tries));
   if (!ret)
      ret = vmb_vm_get_mappings(vm_of(vm), VMB_STATE_SUBMITTED, start_B, start_B + size_B, &maps, &count);
   if (ret)
      return tool_error(TOOL_FAILED, "%s", strerror(-ret));
   replay->compared++;
   for (uint64_t at_B = 0; at_B < size_B;) {
      const struct place a = recorded_place(vm, range, at_B);
      const struct place b = replayed_place(start_B, size_B, at_B, maps, count, &i);

      if (a.mapped != b.mapped || a.bo != b.bo || a.offset_B != b.offset_B || a.flags != b.flags) {
         tool_error(0, "range \"%s\" differs from the recording at its byte 0x%" PRIx64, range->name, at_B);
         replay->differ++;
         break;
      }
      at_B = MIN2(a.end_B, b.end_B);
   }
   free(maps);
   return 0;
}

static int
compare_vm(struct replay *replay, struct session_vm *vm)
{
   int status = 0;

   rb_tree_foreach(struct session_range, range, &vm->ranges, node) {
      if (!status && range->priv)
         status = compare_range(replay, vm, range);
   }
   return status;
}

/* ------------------------------------------------------------------ submit */

/* Room for the binds and the syncs of a submit. */
static int
grow(struct replay *replay, const struct vmb_trace_submit *s)
{
   const size_t syncs = (size_t)s->wait_count + s->signal_count;
   void *binds = realloc(replay->binds, MAX2(s->bind_count, 1) * sizeof(*replay->binds));

   if (!binds)
      return -ENOMEM;
   replay->binds = binds;
   void *grown = realloc(replay->syncs, MAX2(syncs, 1) * sizeof(*replay->syncs));
   if (!grown)
      return -ENOMEM;
   replay->syncs = grown;
   return 0;
}

static bool
to_bind(const struct session *session, struct session_vm *vm, const struct vmb_trace_op *op,
        struct vmb_bind *bind)
{
   const struct session_range *range = session_find_range(vm, op->addr_B);
   const struct session_bo *bo =
      op->type == VMB_TRACE_OP_MAP ? session_find_bo(session, op->bo) : NULL;

   if (!range || (op->type == VMB_TRACE_OP_MAP && !bo))
      return false;
   *bind = (struct vmb_bind){
      .range = ((struct replay_range *)range->priv)->range,
      .offset_B = op->addr_B - range->info.addr_B,
      .size_B = op->range_B,
      .bo = bo ? bo->priv : NULL,
      .bo_offset_B = bo ? op->bo_offset_B : 0,
      .flags = bo ? op->flags & (VMB_MAPPING_READONLY | VMB_MAPPING_NOEXEC | VMB_MAPPING_UNCACHED |
                                 VMB_MAPPING_DUMP) : 0,
   };
   return true;
}

static bool
is_aligned(const struct vmb_caps *caps, const struct vmb_bind *bind)
{
   return (bind->offset_B | bind->size_B | bind->bo_offset_B) % caps->page_size_B == 0;
}

static struct replay_sync *
find_sync(struct replay_device *device, uint32_t recorded)
{
   const void *key = (const void *)(uintptr_t)(recorded + UINT64_C(1));
   const struct hash_entry *entry = _mesa_hash_table_search(device->syncs, key);

   if (entry)
      return entry->data;
   struct replay_sync *sync = calloc(1, sizeof(*sync));
   if (!sync || drmSyncobjCreate(device->fd, 0, &sync->syncobj)) {
      free(sync);
      return NULL;
   }
   _mesa_hash_table_insert(device->syncs, key, sync);
   return sync;
}

/* Waits that binds of the recording satisfy, and all signals. */
static int
translate_syncs(struct replay *replay, struct replay_device *device, const struct vmb_trace_submit *s,
                struct vmb_submit *submit)
{
   const struct vmb_trace_sync *waits = vmb_trace_submit_waits(s), *signals = vmb_trace_submit_signals(s);
   struct vmb_sync *out = replay->syncs;

   submit->waits = out;
   for (uint32_t i = 0; i < s->wait_count; i++) {
      const struct replay_sync *sync = find_sync(device, waits[i].syncobj);

      if (!sync)
         return -ENOMEM;
      if (waits[i].point ? sync->point >= waits[i].point : sync->signalled)
         out[submit->wait_count++] = (struct vmb_sync){ sync->syncobj, waits[i].point };
      else
         replay->waits_left_out++;
   }
   out += submit->wait_count;
   submit->signals = out;
   for (uint32_t i = 0; i < s->signal_count; i++) {
      const struct replay_sync *sync = find_sync(device, signals[i].syncobj);

      if (!sync)
         return -ENOMEM;
      out[submit->signal_count++] = (struct vmb_sync){ sync->syncobj, signals[i].point };
   }
   return 0;
}

static void
note_signals(struct replay_device *device, const struct vmb_trace_submit *s)
{
   for (uint32_t i = 0; i < s->signal_count; i++) {
      const struct vmb_trace_sync *signal = &vmb_trace_submit_signals(s)[i];
      struct replay_sync *sync = find_sync(device, signal->syncobj);

      if (signal->point)
         sync->point = MAX2(sync->point, signal->point);
      else
         sync->signalled = true;
   }
}

static int
obtain_queue(struct replay_vm *vm, uint32_t recorded, struct vmb_queue **queue_out)
{
   const void *key = (const void *)(uintptr_t)(recorded + UINT64_C(1));
   const struct hash_entry *entry = _mesa_hash_table_search(vm->queues, key);

   if (entry) {
      *queue_out = entry->data;
      return 0;
   }
   const int ret = vmb_queue_create(vm->vm, queue_out);
   if (!ret)
      _mesa_hash_table_insert(vm->queues, key, *queue_out);
   return ret;
}

/* Where the kernel maps the BO, which is to be the whole of a range. */
static int
place(struct replay *replay, struct session *session, struct session_vm *vm, const struct vmb_trace_op *op)
{
   const struct session_range *range = session_find_range(vm, op->addr_B);
   const struct session_bo *bo = session_find_bo(session, op->bo);

   if (!range || !bo)
      return -EPROTO;
   struct replay_range *mine = range->priv;
   const int ret = vmb_vm_get_bo_addr(vm_of(vm), bo->priv, &mine->addr_B);
   if (!ret && mine->addr_B != op->addr_B)
      replay->moved++;
   return ret;
}

/* Once. */
static int
send(struct replay *replay, struct session_vm *vm, const struct vmb_trace_submit *s,
     const struct vmb_submit *submit)
{
   struct vmb_queue *queue;

   switch (s->kind) {
   case VMB_TRACE_KIND_SYNC:
   case VMB_TRACE_KIND_KERNEL:
      return vmb_vm_bind_sync(vm_of(vm), replay->binds, s->bind_count);
   case VMB_TRACE_KIND_DEFRAGMENT:
      return vmb_range_defragment(replay->binds[0].range, NULL);
   default: {
      const int ret = obtain_queue(vm->priv, s->queue, &queue);
      return ret ? ret : vmb_queue_submit(queue, submit, NULL);
   }
   }
}

/* Whether it is the unbind that a range makes of itself when it goes, or that the kernel makes. */
static bool
is_last(const struct vmb_trace_submit *s)
{
   return (s->kind == VMB_TRACE_KIND_RANGE || s->kind == VMB_TRACE_KIND_KERNEL) && s->bind_count &&
          vmb_trace_submit_binds(s)->type == VMB_TRACE_OP_UNMAP;
}

static int
compare_before_it_goes(struct replay *replay, struct session_vm *vm, const struct vmb_trace_submit *s)
{
   const struct vmb_trace_op *bind = vmb_trace_submit_binds(s);
   const struct session_range *range = session_find_range(vm, bind->addr_B);
   return range && range->priv ? compare_range(replay, vm, range) : 0;
}

static int
replay_submit(struct replay *replay, struct session *session, const struct vmb_trace_submit *s)
{
   struct session_vm *vm = session_find_vm(session, s->vm);
   struct vmb_submit submit = { .bind_count = s->bind_count };
   unsigned tries = 0;

   replay->recorded_ioctls += s->ioctl_count;
   replay->recorded_ops += s->op_count;
   replay->left_out += s->result != 0;
   /* What failed, and what took it back, has changed nothing. */
   if (!vm || s->result || s->kind == VMB_TRACE_KIND_ROLLBACK)
      return 0;
   if (is_last(s))
      return compare_before_it_goes(replay, vm, s);
   /* Ranges bind for themselves. */
   if (s->kind == VMB_TRACE_KIND_RANGE)
      return 0;

   struct replay_device *device = vm->device->priv;
   const struct vmb_caps *caps = vmb_device_caps(device->dev);
   const bool by_kernel = caps->kernel_addresses && s->bind_count;
   if (by_kernel && s->kind != VMB_TRACE_KIND_KERNEL) {
      return tool_error(TOOL_FAILED, "the recording binds, which %s %d.%d leaves to the kernel", caps->driver,
                        caps->version_major, caps->version_minor);
   }
   int ret = grow(replay, s);
   for (uint32_t i = 0; i < s->bind_count && !ret; i++) {
      if (!to_bind(session, vm, &vmb_trace_submit_binds(s)[i], &replay->binds[i]))
         ret = -EPROTO;
      else if (!is_aligned(caps, &replay->binds[i]))
         return tool_error(TOOL_FAILED, "at %.6f s the recording binds less than a page; pages of %s %d.%d have %u KiB",
                           s->record.time_ns / 1e9, caps->driver, caps->version_major, caps->version_minor,
                           caps->page_size_B / 1024);
   }
   if (s->kind == VMB_TRACE_KIND_DEFRAGMENT && !s->bind_count)
      ret = -EPROTO;
   if (!ret)
      ret = translate_syncs(replay, device, s, &submit);
   submit.binds = replay->binds;
   if (!ret) {
      do {
         ret = by_kernel ? place(replay, session, vm, vmb_trace_submit_binds(s))
                         : send(replay, vm, s, &submit);
      } while (repeat(replay, ret, &tries));
   }
   if (ret == -EPROTO)
      return tool_error(TOOL_FAILED, "at %.6f s: the recording binds what is not there",
                        s->record.time_ns / 1e9);
   if (ret)
      return fail_at(&s->record, "a submit", ret);
   note_signals(device, s);
   replay->submits++;
   replay->bind_count += s->kind == VMB_TRACE_KIND_DEFRAGMENT ? 0 : s->bind_count;
   return 0;
}

/* ------------------------------------------------------------------- watch */

static int
before(struct session *session, const struct vmb_trace_record *record, void *data)
{
   struct replay *replay = data;

   if (record->type == VMB_TRACE_SUBMIT)
      return replay_submit(replay, session, (const void *)record);
   if (record->created)
      return 0;
   if (record->type == VMB_TRACE_RANGE) {
      const struct vmb_trace_range *r = (const void *)record;
      struct session_vm *vm = session_find_vm(session, r->vm);
      struct session_range *range = vm ? session_find_range(vm, r->addr_B) : NULL;
      if (range && range->priv)
         destroy_range(range);
   } else if (record->type == VMB_TRACE_BO) {
      struct session_bo *bo = session_find_bo(session, ((const struct vmb_trace_bo *)record)->bo);
      if (bo && bo->priv)
         vmb_bo_unref(bo->priv);
   } else if (record->type == VMB_TRACE_VM) {
      struct session_vm *vm = session_find_vm(session, ((const struct vmb_trace_vm *)record)->vm);
      if (vm)
         destroy_vm(vm);
   } else if (record->type == VMB_TRACE_DEVICE) {
      struct session_device *device =
         session_find_device(session, ((const struct vmb_trace_device *)record)->device);
      if (device)
         destroy_device(replay, device);
   }
   return 0;
}

static int
after(struct session *session, const struct vmb_trace_record *record, void *data)
{
   struct replay *replay = data;

   if (!record->created)
      return 0;
   switch (record->type) {
   case VMB_TRACE_DEVICE:
      return create_device(replay, record,
                           session_find_device(session, ((const struct vmb_trace_device *)record)->device));
   case VMB_TRACE_VM:
      return create_vm(record, session_find_vm(session, ((const struct vmb_trace_vm *)record)->vm));
   case VMB_TRACE_BO:
      return create_bo(replay, session, record,
                       session_find_bo(session, ((const struct vmb_trace_bo *)record)->bo));
   case VMB_TRACE_RANGE: {
      const struct vmb_trace_range *r = (const void *)record;
      struct session_vm *vm = session_find_vm(session, r->vm);
      return create_range(replay, record, vm, session_find_range(vm, r->addr_B));
   }
   }
   return 0;
}

/* ----------------------------------------------------------------- command */

static int
finish_vm(struct replay *replay, struct session_vm *vm)
{
   if (!vm->priv)
      return 0;
   const int ret = vmb_vm_wait_idle(vm_of(vm), INT64_MAX);
   if (ret)
      return tool_error(TOOL_FAILED, "vm %u at the end: %s", vm->info.vm, strerror(-ret));
   return compare_vm(replay, vm);
}

/* Compares what is left, and takes it down. */
static int
finish(struct replay *replay, struct session *session, int status)
{
   list_for_each_entry(struct session_vm, vm, &session->vms, link) {
      if (!status)
         status = finish_vm(replay, vm);
      destroy_vm(vm);
   }
   list_for_each_entry(struct session_bo, bo, &session->bos, link) {
      if (bo->priv)
         vmb_bo_unref(bo->priv);
   }
   list_for_each_entry(struct session_device, device, &session->devices, link)
      destroy_device(replay, device);
   free(replay->binds);
   free(replay->syncs);
   return status;
}

static void
print_result(const struct replay *replay)
{
   const struct vmb_stats *stats = &replay->stats;

   printf("submits                %" PRIu64 " of %" PRIu64 " binds\n", replay->submits, replay->bind_count);
   printf("operations sent        %" PRIu64 " (recorded: %" PRIu64 ")\n",
          stats->ops_map + stats->ops_unmap + stats->ops_null, replay->recorded_ops);
   printf("ioctls                 %" PRIu64 " (recorded: %" PRIu64 ")\n", stats->ioctls,
          replay->recorded_ioctls);
   printf("merged                 %" PRIu64 "\n", stats->merged);
   printf("dropped                %" PRIu64 "\n", stats->dropped);
   printf("found no memory        %" PRIu64 " calls, made again\n", replay->repeats);
   printf("left out               %" PRIu64 " submits that failed when recorded, %" PRIu64
          " waits for other work\n", replay->left_out, replay->waits_left_out);
   printf("ranges moved           %" PRIu64 "\n", replay->moved);
   printf("ranges compared        %" PRIu64 ", different: %" PRIu64 "\n", replay->compared,
          replay->differ);
}

static int
replay_on(const char *node, const char *target)
{
   struct replay replay = { .node = node };
   struct trace_source source;
   struct session *session;

   int status = session_open(target, &source, &session);
   if (status)
      return status;
   const struct session_watch watch = { .before = before, .after = after, .data = &replay };
   status = session_play(session, &source, UINT64_MAX, &watch);
   status = finish(&replay, session, status);
   if (!status)
      print_result(&replay);
   session_close(session, &source);
   return status ? status : replay.differ ? TOOL_FAILED : 0;
}

/* The kernel driver of the first recorded device, as the simulator knows it. */
static int
recorded_kmd(const char *target, char *kmd, size_t size)
{
   struct trace_source source;
   enum vmb_trace_end end;

   const int status = trace_source_open(target, &source);
   if (status)
      return status;
   const struct vmb_trace_record *record = vmb_trace_reader_next(source.reader, &end);
   const struct vmb_trace_device *device = (const void *)record;
   const bool found = record && record->type == VMB_TRACE_DEVICE;
   if (found) {
      snprintf(kmd, size, "%.*s-%u.%u", (int)sizeof(device->driver), device->driver,
               device->driver_major, device->driver_minor);
   }
   trace_source_close(&source);
   return found ? 0 : tool_error(TOOL_FAILED, "%s holds no device; there is nothing to replay", target);
}

/* A number is the seed of faults that a program must survive; all else is for the simulator as it is. */
static void
set_fault(const char *fault)
{
   char spec[64];

   if (strspn(fault, "0123456789") == strlen(fault)) {
      snprintf(spec, sizeof(spec), "vm_bind:100%%%s=ENOMEM", fault);
      fault = spec;
   }
   setenv("DRM_SIM_FAULT", fault, 1);
}

/* Again, with the simulated node. */
static int
replay_on_simulator(const char *kmd, const char *fault, const char *target)
{
   char recorded[64];

   int status = kmd ? 0 : recorded_kmd(target, recorded, sizeof(recorded));
   if (!status)
      status = tool_use_simulator(kmd ? kmd : recorded);
   if (status)
      return status;
   if (fault)
      set_fault(fault);
   setenv("DRM_SIM_CHECK", "1", 0);
   unsetenv("VMBIND_TRACE");
   execl("/proc/self/exe", "vmbind", "replay", "--node", "/dev/dri/renderD128", target, NULL);
   return tool_error(TOOL_FAILED, "/proc/self/exe: %s", strerror(errno));
}

int
cmd_replay(int argc, char **argv)
{
   const char *kmd = NULL, *fault = NULL, *node = NULL, *target = NULL;

   for (int i = 1; i < argc; i++) {
      if (!strcmp(argv[i], "--kmd") && i + 1 < argc)
         kmd = argv[++i];
      else if (!strcmp(argv[i], "--fault") && i + 1 < argc)
         fault = argv[++i];
      else if (!strcmp(argv[i], "--node") && i + 1 < argc)
         node = argv[++i];
      else if (argv[i][0] == '-' || target)
         return tool_usage_error("replay", "unknown option or missing value: %s", argv[i]);
      else
         target = argv[i];
   }
   if (!target)
      return tool_usage_error("replay", "a trace is wanted");
   if (node && (kmd || fault))
      return tool_usage_error("replay", "--node is for a real node; --kmd and --fault for a simulated one");
   return node ? replay_on(node, target) : replay_on_simulator(kmd, fault, target);
}

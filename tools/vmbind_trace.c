/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * vmbind trace: a recorded trace as text, or what it adds up to.
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "vmbind_source.h"
#include "vmbind_tool.h"

static void
print_op(const struct vmb_trace_op *op)
{
   static const char *const names[] = { "map", "unmap", "null" };

   printf("                  %-5s 0x%012" PRIx64 " +0x%" PRIx64,
          op->type < ARRAY_SIZE(names) ? names[op->type] : "?", op->addr_B, op->range_B);
   if (op->bo)
      printf("  bo %u @ 0x%" PRIx64, op->bo, op->bo_offset_B);
   if (op->flags & ~VMB_MAPPING_NULL)
      printf("  flags 0x%x", op->flags);
   printf("\n");
}

static void
print_submit(const struct vmb_trace_submit *s)
{
   static const char *const kinds[] = {
      [VMB_TRACE_KIND_QUEUE] = "",
      [VMB_TRACE_KIND_SYNC] = ", synchronous",
      [VMB_TRACE_KIND_RANGE] = ", of a range itself",
      [VMB_TRACE_KIND_DEFRAGMENT] = ", defragmenting",
      [VMB_TRACE_KIND_ROLLBACK] = ", taking back",
      [VMB_TRACE_KIND_KERNEL] = ", the kernel's own",
   };
   const struct vmb_trace_op *ops = vmb_trace_submit_ops(s);

   printf("vm %u queue %u point %" PRIu64 ": %u binds, %u operations, %u ioctls, %u merged, "
          "%u dropped, %u waits, %u for other queues, %u signals, %.1f us%s",
          s->vm, s->queue, s->point, s->asked_count, s->op_count, s->ioctl_count, s->merged,
          s->dropped, s->wait_count, s->dependency_count, s->signal_count, s->duration_ns / 1e3,
          s->kind < ARRAY_SIZE(kinds) ? kinds[s->kind] : ", of an unknown kind");
   if (s->result)
      printf(" FAILED: %s", strerror(-s->result));
   printf("\n");
   for (uint32_t i = 0; i < s->op_count; i++)
      print_op(&ops[i]);
}

static void
print_record(const struct vmb_trace_record *r)
{
   char name[TRACE_NAME_SIZE];

   printf("%14.6f  ", r->time_ns / 1e9);
   switch (r->type) {
   case VMB_TRACE_DEVICE: {
      const struct vmb_trace_device *d = (const void *)r;
      trace_copy_name(name, d->driver, sizeof(d->driver));
      printf("device %u %s: %s %u.%u, addresses 0x%" PRIx64 " +0x%" PRIx64 "\n", d->device,
             r->created ? "created" : "destroyed", name, d->driver_major, d->driver_minor, d->va_start_B, d->va_range_B);
      break;
   }
   case VMB_TRACE_VM: {
      const struct vmb_trace_vm *vm = (const void *)r;
      if (r->created) {
         printf("vm %u created on device %u, window 0x%" PRIx64 " +0x%" PRIx64 "\n", vm->vm,
                vm->device, vm->window_start_B, vm->window_range_B);
      } else {
         printf("vm %u destroyed\n", vm->vm);
      }
      break;
   }
   case VMB_TRACE_BO: {
      const struct vmb_trace_bo *bo = (const void *)r;
      trace_copy_name(name, bo->name, sizeof(bo->name));
      printf("bo %u %s, handle %u, 0x%" PRIx64 " bytes \"%s\"\n", bo->bo,
             r->created ? "created" : "freed", bo->handle, bo->size_B, name);
      break;
   }
   case VMB_TRACE_RANGE: {
      const struct vmb_trace_range *range = (const void *)r;
      trace_copy_name(name, range->name, sizeof(range->name));
      printf("vm %u range 0x%012" PRIx64 " +0x%" PRIx64 " %s%s \"%s\"\n", range->vm,
             range->addr_B, range->size_B, r->created ? "reserved" : "given back",
             range->unbound == VMB_UNBOUND_NULL ? ", null where unbound" : "", name);
      break;
   }
   case VMB_TRACE_SUBMIT:
      print_submit((const void *)r);
      break;
   case VMB_TRACE_COMPLETE: {
      const struct vmb_trace_complete *c = (const void *)r;
      printf("vm %u queue %u completed up to point %" PRIu64 "\n", c->vm, c->queue, c->point);
      break;
   }
   default:
      printf("a record of unknown type %u\n", r->type);
   }
}

struct totals {
   uint64_t submits, binds, ops[3], ioctls, merged, dropped, failed, ns;
   uint64_t mapped_B;
};

static void
add_submit(struct totals *t, const struct vmb_trace_submit *s)
{
   const struct vmb_trace_op *ops = vmb_trace_submit_ops(s);

   t->submits++;
   t->binds += s->kind == VMB_TRACE_KIND_DEFRAGMENT ? 0 : s->asked_count;
   t->ioctls += s->ioctl_count;
   t->merged += s->merged;
   t->dropped += s->dropped;
   t->failed += s->result != 0;
   t->ns += s->duration_ns;
   for (uint32_t i = 0; i < s->op_count; i++) {
      if (ops[i].type < ARRAY_SIZE(t->ops))
         t->ops[ops[i].type]++;
      if (ops[i].type == VMB_TRACE_OP_MAP)
         t->mapped_B += ops[i].range_B;
   }
}

static void
print_totals(const struct totals *t)
{
   const uint64_t ops = t->ops[0] + t->ops[1] + t->ops[2];

   printf("submits                %" PRIu64 "\n", t->submits);
   printf("binds asked            %" PRIu64 "\n", t->binds);
   printf("operations sent        %" PRIu64 " (%" PRIu64 " map, %" PRIu64 " unmap, %" PRIu64
          " null)\n",
          ops, t->ops[VMB_TRACE_OP_MAP], t->ops[VMB_TRACE_OP_UNMAP], t->ops[VMB_TRACE_OP_NULL]);
   printf("ioctls                 %" PRIu64 "\n", t->ioctls);
   printf("merged                 %" PRIu64 "\n", t->merged);
   printf("dropped                %" PRIu64 "\n", t->dropped);
   printf("failed submits         %" PRIu64 "\n", t->failed);
   printf("MiB mapped             %.1f\n", t->mapped_B / 1048576.0);
   printf("us a bind              %.3f\n", t->binds ? t->ns / 1e3 / t->binds : 0.0);
}

int
cmd_trace(int argc, char **argv)
{
   const char *target = NULL;
   bool stats = false;

   for (int i = 1; i < argc; i++) {
      if (!strcmp(argv[i], "--stats"))
         stats = true;
      else if (argv[i][0] == '-' || target)
         return tool_usage_error("trace", "unexpected: %s", argv[i]);
      else
         target = argv[i];
   }

   struct trace_source source;
   const int status = trace_source_open(target, &source);
   if (status)
      return status;

   if (!stats) {
      printf("process %u \"%s\"\n", source.header.pid, source.program);
   }

   const struct vmb_trace_record *record;
   struct totals totals = { 0 };
   enum vmb_trace_end end;
   while ((record = vmb_trace_reader_next(source.reader, &end))) {
      if (!stats)
         print_record(record);
      else if (record->type == VMB_TRACE_SUBMIT)
         add_submit(&totals, (const void *)record);
   }
   if (stats)
      print_totals(&totals);
   const int end_status = trace_source_check_end(&source, end);
   trace_source_close(&source);
   return end_status;
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * vmbind who: what an address is, in every VM that has it: the range around it, what is bound there, what was
 * there before, and what is pending. For the addresses in fault messages.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmbind_session.h"
#include "vmbind_source.h"
#include "vmbind_tool.h"

/* The latest ones are shown. */
#define HISTORY 16

struct event {
   uint64_t time_ns;
   uint32_t vm;
   uint32_t queue;
   uint64_t point;
   struct vmb_trace_op op;
   char bo_name[TRACE_NAME_SIZE];
};

struct who {
   uint64_t addr_B;
   struct event events[HISTORY];
   uint64_t event_count;
   /* The latest range that held the address and is gone. */
   struct vmb_trace_range gone;
};

static void
see_submit(struct who *who, struct session *session, const struct vmb_trace_submit *s)
{
   for (uint32_t i = 0; i < s->op_count; i++) {
      const struct vmb_trace_op *op = &vmb_trace_submit_ops(s)[i];
      const struct session_bo *bo = session_find_bo(session, op->bo);

      if (!trace_op_touches(op, who->addr_B) || op->type > VMB_TRACE_OP_NULL)
         continue;
      struct event *event = &who->events[who->event_count++ % HISTORY];
      *event = (struct event){
         .time_ns = s->record.time_ns,
         .vm = s->vm,
         .queue = s->queue,
         .point = s->point,
         .op = *op,
      };
      snprintf(event->bo_name, sizeof(event->bo_name), "%s", bo ? bo->name : "");
   }
}

static int
see(struct session *session, const struct vmb_trace_record *record, void *data)
{
   struct who *who = data;

   if (record->type == VMB_TRACE_SUBMIT) {
      see_submit(who, session, (const void *)record);
   } else if (record->type == VMB_TRACE_RANGE && !record->created) {
      const struct vmb_trace_range *range = (const void *)record;
      if (who->addr_B - range->addr_B < range->size_B)
         who->gone = *range;
   }
   return 0;
}

static void
print_mapping(const struct who *who, const struct vmb_mapping *m)
{
   const struct session_bo *bo = session_bo_of(m);

   printf("   bound: 0x%012" PRIx64 " +0x%" PRIx64, m->addr_B, m->range_B);
   if (bo) {
      printf(" to bo %u \"%s\" (handle %u, 0x%" PRIx64 " bytes), here at its byte 0x%" PRIx64 "\n",
             bo->info.bo, bo->name, bo->info.handle, bo->info.size_B,
             vmb_mapping_offset_at(m, who->addr_B));
   } else {
      printf(", null: reads and writes do not fault\n");
   }
}

/* The mappings before and after a hole. */
static void
print_neighbours(const struct session_vm *vm, uint64_t addr_B)
{
   struct vmb_gpuvm_iter iter;
   struct vmb_mapping m, before = { 0 }, after = { 0 };

   vmb_gpuvm_iter_init(vm->gpuvm, &iter, 0, UINT64_MAX);
   while (!after.range_B && vmb_gpuvm_iter_next(&iter, &m)) {
      if (m.addr_B < addr_B)
         before = m;
      else
         after = m;
   }
   printf("   bound: nothing, an access faults");
   if (before.range_B)
      printf("; 0x%" PRIx64 " bytes after a mapping's end", addr_B - vmb_mapping_end_B(&before));
   if (after.range_B)
      printf("; 0x%" PRIx64 " bytes before the next", after.addr_B - addr_B);
   printf("\n");
}

static void
print_vm(const struct who *who, struct session_vm *vm)
{
   const struct session_range *range = session_find_range(vm, who->addr_B);
   struct vmb_mapping m;

   printf("0x%" PRIx64 " in vm %u (%s, kernel id %u)\n", who->addr_B, vm->info.vm,
          vm->device->driver, vm->info.kernel_id);
   if (range) {
      printf("   range: 0x%012" PRIx64 " +0x%" PRIx64 " \"%s\"%s, here at its byte 0x%" PRIx64 "\n",
             range->info.addr_B, range->info.size_B, range->name,
             range->info.unbound == VMB_UNBOUND_NULL ? ", null where unbound" : "",
             who->addr_B - range->info.addr_B);
   } else if (who->gone.size_B && who->gone.vm == vm->info.vm) {
      char name[TRACE_NAME_SIZE];

      trace_copy_name(name, who->gone.name, sizeof(who->gone.name));
      printf("   range: none; until %.6f s it was in 0x%012" PRIx64 " +0x%" PRIx64 " \"%s\"\n",
             who->gone.record.time_ns / 1e9, who->gone.addr_B, who->gone.size_B, name);
   } else {
      printf("   range: none\n");
   }
   if (vmb_gpuvm_find(vm->gpuvm, who->addr_B, &m))
      print_mapping(who, &m);
   else
      print_neighbours(vm, who->addr_B);
   if (session_is_pending(vm, who->addr_B, who->addr_B + 1))
      printf("   pending: yes; what is bound was submitted and was not seen to complete\n");
}

static void
print_events(const struct who *who, const struct session *session)
{
   static const char *const names[] = { "map", "unmap", "null" };
   const uint64_t shown = MIN2(who->event_count, HISTORY);

   if (!shown) {
      printf("no operation ever touched it\n");
      return;
   }
   printf("operations that touched it, newest last%s:\n", shown < who->event_count ? ", the latest" : "");
   for (uint64_t i = who->event_count - shown; i < who->event_count; i++) {
      const struct event *e = &who->events[i % HISTORY];

      printf("   %12.6f s  vm %u queue %u point %" PRIu64 "  %-5s 0x%012" PRIx64 " +0x%" PRIx64,
             e->time_ns / 1e9, e->vm, e->queue, e->point, names[e->op.type], e->op.addr_B,
             e->op.range_B);
      if (e->op.type == VMB_TRACE_OP_MAP)
         printf("  bo %u @ 0x%" PRIx64 " \"%s\"", e->op.bo, e->op.bo_offset_B, e->bo_name);
      printf("%s\n", session_find_vm(session, e->vm) ? "" : "  (that VM is gone)");
   }
}

int
cmd_who(int argc, char **argv)
{
   const char *target = NULL;
   struct trace_source source;
   struct session *session;
   struct who who = { 0 };
   uint64_t until_ns = UINT64_MAX;
   char *end = NULL;
   bool has_addr = false;

   for (int i = 1; i < argc; i++) {
      if (!strcmp(argv[i], "--at") && i + 1 < argc) {
         if (tool_parse_seconds(argv[++i], &until_ns))
            return tool_usage_error("who", "--at wants seconds, not %s", argv[i]);
      } else if (argv[i][0] == '-' || target) {
         return tool_usage_error("who", "unknown option or missing value: %s", argv[i]);
      } else if (!has_addr) {
         errno = 0;
         who.addr_B = strtoull(argv[i], &end, 0);
         if (errno || *end || end == argv[i])
            return tool_usage_error("who", "%s is no address", argv[i]);
         has_addr = true;
      } else {
         target = argv[i];
      }
   }
   if (!has_addr)
      return tool_usage_error("who", "an address is wanted");

   int status = session_open(target, &source, &session);
   if (status)
      return status;
   status = session_play(session, &source, until_ns,
                         &(struct session_watch){ .before = see, .data = &who });
   bool somewhere = false;
   list_for_each_entry(struct session_vm, vm, &session->vms, link) {
      const uint64_t page_B = vm->device->info.page_size_B;
      if (!vmb_gpuvm_range_valid(vm->gpuvm, who.addr_B & -page_B, page_B))
         continue;
      print_vm(&who, vm);
      somewhere = true;
   }
   if (!somewhere) {
      printf("0x%" PRIx64 " is in no VM's addresses%s\n", who.addr_B,
             list_is_empty(&session->vms) ? "; there is no VM, \"--at SECONDS\" asks for an earlier time"
                                          : "");
   }
   print_events(&who, session);
   session_close(session, &source);
   return status;
}

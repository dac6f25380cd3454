/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * vmbind dump: every VM, range, mapping, BO and pending operation of a process, as text or as JSON.
 */

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "vmbind_session.h"
#include "vmbind_source.h"
#include "vmbind_tool.h"

static const char *
op_name(const struct vmb_trace_op *op)
{
   static const char *const names[] = { "map", "unmap", "null" };
   return names[op->type];
}

static size_t
mapping_count(const struct session_bo *bo)
{
   size_t count = 0;

   list_for_each_entry(struct vmb_gpuvm_bo, vm_bo, &bo->obj.vm_bos, obj_link)
      count += vm_bo->mapping_count;
   return count;
}

/* -------------------------------------------------------------------- text */

static void
print_flags(uint16_t flags)
{
   static const struct {
      uint16_t flag;
      const char *name;
   } names[] = {
      { VMB_MAPPING_READONLY, "read-only" }, { VMB_MAPPING_NOEXEC, "no-exec" },
      { VMB_MAPPING_UNCACHED, "uncached" },  { VMB_MAPPING_DUMP, "dumped" },
      { VMB_MAPPING_REPEAT, "repeated" },    { VMB_MAPPING_USERPTR, "userptr" },
   };

   for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
      if (flags & names[i].flag)
         printf(", %s", names[i].name);
   }
}

static void
print_range(const struct session_range *range)
{
   printf("   range 0x%012" PRIx64 " +0x%" PRIx64 "%s \"%s\"\n", range->info.addr_B,
          range->info.size_B, range->info.unbound == VMB_UNBOUND_NULL ? ", null where unbound" : "",
          range->name);
}

static void
print_mapping(const struct session_vm *vm, const struct vmb_mapping *m)
{
   const struct session_bo *bo = session_bo_of(m);

   printf("   mapping 0x%012" PRIx64 " +0x%" PRIx64, m->addr_B, m->range_B);
   if (bo)
      printf("  bo %u @ 0x%" PRIx64 " \"%s\"", bo->info.bo, m->offset_B, bo->name);
   else
      printf("  null");
   print_flags(m->flags);
   if (session_is_pending(vm, m->addr_B, vmb_mapping_end_B(m)))
      printf(", pending");
   printf("\n");
}

static void
print_pending(const struct session_pending *pending)
{
   printf("   pending: queue %u point %" PRIu64 ", submitted at %.6f s, %u operations\n",
          pending->queue->queue, pending->point, pending->time_ns / 1e9, pending->op_count);
   for (uint32_t i = 0; i < pending->op_count; i++) {
      const struct vmb_trace_op *op = &pending->ops[i];

      printf("      %-5s 0x%012" PRIx64 " +0x%" PRIx64, op_name(op), op->addr_B, op->range_B);
      if (op->type == VMB_TRACE_OP_MAP)
         printf("  bo %u @ 0x%" PRIx64, op->bo, op->bo_offset_B);
      printf("\n");
   }
}

static void
print_vm(struct session_vm *vm)
{
   struct vmb_gpuvm_iter iter;
   struct vmb_mapping m;

   printf("vm %u of device %u, kernel id %u, window 0x%" PRIx64 " +0x%" PRIx64 ", %zu mappings\n",
          vm->info.vm, vm->device->info.device, vm->info.kernel_id, vm->info.window_start_B,
          vm->info.window_range_B, vmb_gpuvm_mapping_count(vm->gpuvm));
   list_for_each_entry(struct session_queue, queue, &vm->queues, link) {
      printf("   queue %u: submitted up to point %" PRIu64 ", seen to complete up to %" PRIu64 "\n",
             queue->queue, queue->submitted, queue->completed);
   }
   rb_tree_foreach(struct session_range, range, &vm->ranges, node)
      print_range(range);
   vmb_gpuvm_iter_init(vm->gpuvm, &iter, 0, UINT64_MAX);
   while (vmb_gpuvm_iter_next(&iter, &m))
      print_mapping(vm, &m);
   list_for_each_entry(struct session_pending, pending, &vm->pending, link)
      print_pending(pending);
}

static void
print_bo(const struct session_bo *bo)
{
   printf("bo %u of device %u, handle %u, 0x%" PRIx64 " bytes, ", bo->info.bo,
          bo->info.device, bo->info.handle, bo->info.size_B);
   if (bo->info.vm)
      printf("private to vm %u", bo->info.vm);
   else
      printf("shared");
   printf(", in %zu mappings \"%s\"\n", mapping_count(bo), bo->name);
}

static void
print_text(const struct session *session, const struct trace_source *source)
{
   printf("process %u \"%s\"%s, at %.6f s\n", source->header.pid, source->program,
          trace_source_is_live(source) ? "" : ", ended", session->time_ns / 1e9);
   list_for_each_entry(struct session_device, device, &session->devices, link) {
      const struct vmb_trace_device *d = &device->info;
      printf("device %u: %s %u.%u, addresses 0x%" PRIx64 " +0x%" PRIx64 ", pages of %u bytes\n",
             d->device, device->driver, d->driver_major, d->driver_minor, d->va_start_B, d->va_range_B,
             d->page_size_B);
   }
   list_for_each_entry(struct session_vm, vm, &session->vms, link)
      print_vm(vm);
   list_for_each_entry(struct session_bo, bo, &session->bos, link)
      print_bo(bo);
}

/* -------------------------------------------------------------------- JSON
 *
 * Addresses are strings in hexadecimal, as numbers of 64 bits are not safe in every reader. */

static bool first_in_list = true;

/* Starts an element of a list or an object: a comma unless it is the first. */
static void
json_next(void)
{
   printf("%s\n", first_in_list ? "" : ",");
   first_in_list = false;
}

static void
json_open(const char *key, char bracket)
{
   json_next();
   if (key)
      printf("\"%s\": ", key);
   printf("%c", bracket);
   first_in_list = true;
}

static void
json_close(char bracket)
{
   printf("%c", bracket);
   first_in_list = false;
}

static void
json_number(const char *key, uint64_t value)
{
   json_next();
   printf("\"%s\": %" PRIu64, key, value);
}

static void
json_bool(const char *key, bool value)
{
   json_next();
   printf("\"%s\": %s", key, value ? "true" : "false");
}

static void
json_address(const char *key, uint64_t value)
{
   json_next();
   printf("\"%s\": \"0x%" PRIx64 "\"", key, value);
}

static void
json_string(const char *key, const char *text)
{
   json_next();
   printf("\"%s\": \"", key);
   for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
      if (*c < 0x20 || *c >= 0x7f)
         printf("\\u%04x", *c);
      else if (*c == '"' || *c == '\\')
         printf("\\%c", *c);
      else
         putchar(*c);
   }
   printf("\"");
}

static void
json_op(const struct vmb_trace_op *op)
{
   json_open(NULL, '{');
   json_string("type", op_name(op));
   json_address("address", op->addr_B);
   json_number("size", op->range_B);
   if (op->type == VMB_TRACE_OP_MAP) {
      json_number("bo", op->bo);
      json_number("bo_offset", op->bo_offset_B);
      json_number("flags", op->flags);
   }
   json_close('}');
}

static void
json_mapping(const struct session_vm *vm, const struct vmb_mapping *m)
{
   const struct session_bo *bo = session_bo_of(m);

   json_open(NULL, '{');
   json_address("address", m->addr_B);
   json_number("size", m->range_B);
   if (bo) {
      json_number("bo", bo->info.bo);
      json_number("bo_offset", m->offset_B);
   } else {
      json_bool("null", true);
   }
   json_number("flags", m->flags & ~VMB_MAPPING_NULL);
   json_bool("pending", session_is_pending(vm, m->addr_B, vmb_mapping_end_B(m)));
   json_close('}');
}

static void
json_vm(struct session_vm *vm)
{
   struct vmb_gpuvm_iter iter;
   struct vmb_mapping m;

   json_open(NULL, '{');
   json_number("vm", vm->info.vm);
   json_number("device", vm->device->info.device);
   json_number("kernel_id", vm->info.kernel_id);
   json_address("window_address", vm->info.window_start_B);
   json_number("window_size", vm->info.window_range_B);
   json_open("queues", '[');
   list_for_each_entry(struct session_queue, queue, &vm->queues, link) {
      json_open(NULL, '{');
      json_number("queue", queue->queue);
      json_number("submitted", queue->submitted);
      json_number("completed", queue->completed);
      json_close('}');
   }
   json_close(']');
   json_open("ranges", '[');
   rb_tree_foreach(struct session_range, range, &vm->ranges, node) {
      json_open(NULL, '{');
      json_address("address", range->info.addr_B);
      json_number("size", range->info.size_B);
      json_string("unbound", range->info.unbound == VMB_UNBOUND_NULL ? "null" : "hole");
      json_string("name", range->name);
      json_close('}');
   }
   json_close(']');
   json_open("mappings", '[');
   vmb_gpuvm_iter_init(vm->gpuvm, &iter, 0, UINT64_MAX);
   while (vmb_gpuvm_iter_next(&iter, &m))
      json_mapping(vm, &m);
   json_close(']');
   json_open("pending", '[');
   list_for_each_entry(struct session_pending, pending, &vm->pending, link) {
      json_open(NULL, '{');
      json_number("queue", pending->queue->queue);
      json_number("point", pending->point);
      json_number("time_ns", pending->time_ns);
      json_open("operations", '[');
      for (uint32_t i = 0; i < pending->op_count; i++)
         json_op(&pending->ops[i]);
      json_close(']');
      json_close('}');
   }
   json_close(']');
   json_close('}');
}

static void
json_device(const struct session_device *device)
{
   const struct vmb_trace_device *d = &device->info;

   json_open(NULL, '{');
   json_number("device", d->device);
   json_string("driver", device->driver);
   json_number("version_major", d->driver_major);
   json_number("version_minor", d->driver_minor);
   json_address("address", d->va_start_B);
   json_number("size", d->va_range_B);
   json_number("page_size", d->page_size_B);
   json_close('}');
}

static void
json_bo(const struct session_bo *bo)
{
   json_open(NULL, '{');
   json_number("bo", bo->info.bo);
   json_number("device", bo->info.device);
   json_number("handle", bo->info.handle);
   json_number("size", bo->info.size_B);
   if (bo->info.vm)
      json_number("private_to_vm", bo->info.vm);
   json_number("mappings", mapping_count(bo));
   json_string("name", bo->name);
   json_close('}');
}

static void
print_json(const struct session *session, const struct trace_source *source)
{
   printf("{");
   json_number("pid", source->header.pid);
   json_string("program", source->program);
   json_bool("live", trace_source_is_live(source));
   json_number("start_ns", source->header.start_ns);
   json_number("time_ns", session->time_ns);
   json_open("devices", '[');
   list_for_each_entry(struct session_device, device, &session->devices, link)
      json_device(device);
   json_close(']');
   json_open("vms", '[');
   list_for_each_entry(struct session_vm, vm, &session->vms, link)
      json_vm(vm);
   json_close(']');
   json_open("bos", '[');
   list_for_each_entry(struct session_bo, bo, &session->bos, link)
      json_bo(bo);
   json_close(']');
   printf("\n}\n");
}

/* ----------------------------------------------------------------- command */

static int
dump(const char *target, uint64_t until_ns, bool json)
{
   struct trace_source source;
   struct session *session;

   int status = session_open(target, &source, &session);
   if (status)
      return status;
   status = session_play(session, &source, until_ns, NULL);
   if (json)
      print_json(session, &source);
   else
      print_text(session, &source);
   session_close(session, &source);
   return status;
}

int
cmd_dump(int argc, char **argv)
{
   const char *target = NULL;
   uint64_t until_ns = UINT64_MAX;
   bool json = false;

   for (int i = 1; i < argc; i++) {
      if (!strcmp(argv[i], "--json"))
         json = true;
      else if (!strcmp(argv[i], "--at") && i + 1 < argc) {
         if (tool_parse_seconds(argv[++i], &until_ns))
            return tool_usage_error("dump", "--at wants seconds, not %s", argv[i]);
      } else if (argv[i][0] == '-' || target)
         return tool_usage_error("dump", "unknown option or missing value: %s", argv[i]);
      else
         target = argv[i];
   }
   return dump(target, until_ns, json);
}

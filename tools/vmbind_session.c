/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See vmbind_session.h.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "vmbind_session.h"
#include "vmbind_source.h"
#include "vmbind_tool.h"

static int
refuse(struct session *session, const char *fault)
{
   session->fault = fault;
   return -EPROTO;
}

static void
nothing(struct vmb_gpuvm_obj *obj)
{
   (void)obj;
}

/* ------------------------------------------------------------------ lookup */

static const void *
key_of(uint32_t id)
{
   return (const void *)(uintptr_t)id;
}

static void *
find_by_id(struct hash_table *table, uint32_t id)
{
   const struct hash_entry *entry = id ? _mesa_hash_table_search(table, key_of(id)) : NULL;
   return entry ? entry->data : NULL;
}

struct session_vm *
session_find_vm(const struct session *session, uint32_t vm)
{
   return find_by_id(session->vm_by_id, vm);
}

struct session_bo *
session_find_bo(const struct session *session, uint32_t bo)
{
   return find_by_id(session->bo_by_id, bo);
}

static int
compare_key(const struct rb_node *node, const void *key)
{
   const struct session_range *range = rb_node_data(struct session_range, node, node);
   const uint64_t addr_B = *(const uint64_t *)key;

   /* Negative: the key comes first. */
   if (addr_B < range->info.addr_B)
      return -1;
   return addr_B - range->info.addr_B < range->info.size_B ? 0 : 1;
}

static int
compare_ranges(const struct rb_node *a, const struct rb_node *b)
{
   return compare_key(a, &rb_node_data(struct session_range, b, node)->info.addr_B);
}

struct session_range *
session_find_range(struct session_vm *vm, uint64_t addr_B)
{
   const struct rb_node *node = rb_tree_search(&vm->ranges, &addr_B, compare_key);
   return node ? rb_node_data(struct session_range, node, node) : NULL;
}

struct session_device *
session_find_device(const struct session *session, uint32_t id)
{
   list_for_each_entry(struct session_device, device, &session->devices, link) {
      if (device->info.device == id)
         return device;
   }
   return NULL;
}

bool
session_is_pending(const struct session_vm *vm, uint64_t addr_B, uint64_t end_B)
{
   list_for_each_entry(struct session_pending, pending, &vm->pending, link) {
      for (uint32_t i = 0; i < pending->op_count; i++) {
         const struct vmb_trace_op *op = &pending->ops[i];
         if (op->addr_B < end_B && addr_B < op->addr_B + op->range_B)
            return true;
      }
   }
   return false;
}

/* ----------------------------------------------------------------- objects */

static void
destroy_vm(struct session *session, struct session_vm *vm)
{
   _mesa_hash_table_remove_key(session->vm_by_id, key_of(vm->info.vm));
   vmb_gpuvm_clear(vm->gpuvm);
   vmb_gpuvm_bo_free_deferred(vmb_gpuvm_bo_take_deferred(vm->gpuvm));
   vmb_gpuvm_unref(vm->gpuvm);
   while (!rb_tree_is_empty(&vm->ranges)) {
      struct session_range *range =
         rb_node_data(struct session_range, rb_tree_first(&vm->ranges), node);
      rb_tree_remove(&vm->ranges, &range->node);
      free(range);
   }
   list_for_each_entry_safe(struct session_queue, queue, &vm->queues, link)
      free(queue);
   list_for_each_entry_safe(struct session_pending, pending, &vm->pending, link)
      free(pending);
   list_del(&vm->link);
   free(vm);
}

static void
destroy_bo(struct session *session, struct session_bo *bo)
{
   /* A VM that goes takes what is bound with it, and is itself recorded last. */
   list_for_each_entry_safe(struct vmb_gpuvm_bo, vm_bo, &bo->obj.vm_bos, obj_link) {
      struct vmb_gpuvm *gpuvm = vm_bo->gpuvm;
      vmb_gpuvm_bo_unmap_all(vm_bo, NULL);
      vmb_gpuvm_bo_free_deferred(vmb_gpuvm_bo_take_deferred(gpuvm));
   }
   _mesa_hash_table_remove_key(session->bo_by_id, key_of(bo->info.bo));
   vmb_gpuvm_obj_finish(&bo->obj);
   list_del(&bo->link);
   free(bo);
}

static void
destroy_device(struct session *session, struct session_device *device)
{
   list_for_each_entry_safe(struct session_vm, vm, &session->vms, link) {
      if (vm->device == device)
         destroy_vm(session, vm);
   }
   list_for_each_entry_safe(struct session_bo, bo, &session->bos, link) {
      if (bo->device == device)
         destroy_bo(session, bo);
   }
   list_del(&device->link);
   free(device);
}

static int
apply_device(struct session *session, const struct vmb_trace_device *r)
{
   struct session_device *device = session_find_device(session, r->device);

   if (!r->record.created) {
      if (!device)
         return refuse(session, "a device goes that is not there");
      destroy_device(session, device);
      return 0;
   }
   if (device || !r->device)
      return refuse(session, "a device comes twice");
   device = calloc(1, sizeof(*device));
   if (!device)
      return -ENOMEM;
   device->info = *r;
   trace_copy_name(device->driver, r->driver, sizeof(r->driver));
   list_addtail(&device->link, &session->devices);
   return 0;
}

static int
apply_vm(struct session *session, const struct vmb_trace_vm *r)
{
   struct session_vm *vm = session_find_vm(session, r->vm);

   if (!r->record.created) {
      if (!vm)
         return refuse(session, "a VM goes that is not there");
      destroy_vm(session, vm);
      return 0;
   }
   struct session_device *device = session_find_device(session, r->device);
   if (vm || !r->vm || !device)
      return refuse(session, "a VM comes twice, or without its device");
   vm = calloc(1, sizeof(*vm));
   if (!vm)
      return -ENOMEM;
   const struct vmb_gpuvm_params params = {
      .va_start_B = device->info.va_start_B,
      .va_range_B = device->info.va_range_B,
      .page_size_B = device->info.page_size_B,
   };
   const int ret = vmb_gpuvm_create(&params, &vm->gpuvm);
   if (ret) {
      free(vm);
      return ret == -EINVAL ? refuse(session, "an address space that cannot be") : ret;
   }
   vm->device = device;
   vm->info = *r;
   rb_tree_init(&vm->ranges);
   list_inithead(&vm->queues);
   list_inithead(&vm->pending);
   list_addtail(&vm->link, &session->vms);
   if (!_mesa_hash_table_insert(session->vm_by_id, key_of(r->vm), vm)) {
      destroy_vm(session, vm);
      return -ENOMEM;
   }
   return 0;
}

static int
apply_bo(struct session *session, const struct vmb_trace_bo *r)
{
   struct session_bo *bo = session_find_bo(session, r->bo);

   if (!r->record.created) {
      if (!bo)
         return refuse(session, "a BO goes that is not there");
      destroy_bo(session, bo);
      return 0;
   }
   struct session_device *device = session_find_device(session, r->device);
   if (bo || !r->bo || !device || !r->size_B)
      return refuse(session, "a BO comes twice, or without its device, or is empty");
   bo = calloc(1, sizeof(*bo));
   if (!bo)
      return -ENOMEM;
   bo->device = device;
   bo->info = *r;
   trace_copy_name(bo->name, r->name, sizeof(r->name));
   vmb_gpuvm_obj_init(&bo->obj, r->size_B, nothing, nothing);
   list_addtail(&bo->link, &session->bos);
   if (!_mesa_hash_table_insert(session->bo_by_id, key_of(r->bo), bo)) {
      destroy_bo(session, bo);
      return -ENOMEM;
   }
   return 0;
}

static int
apply_range(struct session *session, const struct vmb_trace_range *r)
{
   struct session_vm *vm = session_find_vm(session, r->vm);

   if (!vm || !vmb_gpuvm_range_valid(vm->gpuvm, r->addr_B, r->size_B))
      return refuse(session, "a range of no VM, or outside of it");
   struct session_range *range = session_find_range(vm, r->addr_B);
   if (!r->record.created) {
      if (!range || range->info.size_B != r->size_B)
         return refuse(session, "a range goes that is not there");
      rb_tree_remove(&vm->ranges, &range->node);
      free(range);
      return 0;
   }
   if (range)
      return refuse(session, "a range comes where another is");
   range = calloc(1, sizeof(*range));
   if (!range)
      return -ENOMEM;
   range->info = *r;
   trace_copy_name(range->name, r->name, sizeof(r->name));
   rb_tree_insert(&vm->ranges, &range->node, compare_ranges);
   return 0;
}

/* ----------------------------------------------------------------- submits */

/* What the mirror is to do, in *req, with a reference of the vm_bo. */
static int
to_req(struct session *session, struct session_vm *vm, const struct vmb_trace_op *op,
       struct vmb_gpuvm_req *req)
{
   if (!vmb_gpuvm_range_valid(vm->gpuvm, op->addr_B, op->range_B))
      return refuse(session, "an operation outside of its VM");
   *req = (struct vmb_gpuvm_req){
      .map = { .addr_B = op->addr_B, .range_B = op->range_B, .flags = op->flags },
      .unmap = op->type == VMB_TRACE_OP_UNMAP,
   };
   if (op->type != VMB_TRACE_OP_MAP) {
      req->map.flags = op->type == VMB_TRACE_OP_NULL ? VMB_MAPPING_NULL : 0;
      return op->type > VMB_TRACE_OP_NULL ? refuse(session, "an unknown operation") : 0;
   }

   struct session_bo *bo = session_find_bo(session, op->bo);
   if (!bo || bo->device != vm->device)
      return refuse(session, "a BO is bound that is not there");
   if (op->flags & VMB_MAPPING_NULL || op->bo_offset_B % vm->device->info.page_size_B)
      return refuse(session, "an operation that cannot be");
   req->map.offset_B = op->bo_offset_B;
   return vmb_gpuvm_bo_obtain(vm->gpuvm, &bo->obj, false, &req->map.vm_bo);
}

static int
apply_op(struct session *session, struct session_vm *vm, const struct vmb_trace_op *op)
{
   struct vmb_gpuvm_req req;

   int ret = to_req(session, vm, op, &req);
   if (ret)
      return ret;
   ret = vmb_gpuvm_reserve(vm->gpuvm, &req, 1, NULL);
   if (!ret) {
      if (req.unmap)
         vmb_gpuvm_unmap(vm->gpuvm, op->addr_B, op->range_B, NULL);
      else
         vmb_gpuvm_map(vm->gpuvm, &req.map, NULL);
   }
   if (req.map.vm_bo)
      vmb_gpuvm_bo_put(req.map.vm_bo);
   vmb_gpuvm_bo_free_deferred(vmb_gpuvm_bo_take_deferred(vm->gpuvm));
   return ret;
}

static int
obtain_queue(struct session_vm *vm, uint32_t id, struct session_queue **queue_out)
{
   list_for_each_entry(struct session_queue, queue, &vm->queues, link) {
      if (queue->queue == id) {
         *queue_out = queue;
         return 0;
      }
   }
   struct session_queue *queue = calloc(1, sizeof(*queue));
   if (!queue)
      return -ENOMEM;
   queue->queue = id;
   list_addtail(&queue->link, &vm->queues);
   *queue_out = queue;
   return 0;
}

static int
add_pending(struct session_vm *vm, struct session_queue *queue, const struct vmb_trace_submit *s)
{
   struct session_pending *pending =
      malloc(sizeof(*pending) + s->op_count * sizeof(struct vmb_trace_op));
   if (!pending)
      return -ENOMEM;
   pending->queue = queue;
   pending->point = s->point;
   pending->time_ns = s->record.time_ns;
   pending->op_count = s->op_count;
   memcpy(pending->ops, vmb_trace_submit_ops(s), s->op_count * sizeof(struct vmb_trace_op));
   list_addtail(&pending->link, &vm->pending);
   return 0;
}

static int
apply_submit(struct session *session, const struct vmb_trace_submit *s)
{
   struct session_vm *vm = session_find_vm(session, s->vm);
   struct session_queue *queue;

   if (!vm)
      return refuse(session, "a submit to a VM that is not there");
   int ret = obtain_queue(vm, s->queue, &queue);
   for (uint32_t i = 0; i < s->op_count && !ret; i++)
      ret = apply_op(session, vm, &vmb_trace_submit_ops(s)[i]);
   if (ret || s->result)
      return ret;

   queue->submitted = MAX2(queue->submitted, s->point);
   return s->point > queue->completed ? add_pending(vm, queue, s) : 0;
}

static int
apply_complete(struct session *session, const struct vmb_trace_complete *c)
{
   struct session_vm *vm = session_find_vm(session, c->vm);
   struct session_queue *queue;

   if (!vm)
      return refuse(session, "a VM completes that is not there");
   const int ret = obtain_queue(vm, c->queue, &queue);
   if (ret)
      return ret;
   /* The completion of a submit may be recorded before the submit. */
   queue->completed = MAX2(queue->completed, c->point);
   list_for_each_entry_safe(struct session_pending, pending, &vm->pending, link) {
      if (pending->queue == queue && pending->point <= queue->completed) {
         list_del(&pending->link);
         free(pending);
      }
   }
   return 0;
}

/* ----------------------------------------------------------------- session */

static void
destroy(struct session *session)
{
   list_for_each_entry_safe(struct session_device, device, &session->devices, link)
      destroy_device(session, device);
   _mesa_hash_table_destroy(session->vm_by_id, NULL);
   _mesa_hash_table_destroy(session->bo_by_id, NULL);
   free(session);
}

/* NULL for lack of memory. */
static struct session *
create(void)
{
   struct session *session = calloc(1, sizeof(*session));
   if (!session)
      return NULL;

   list_inithead(&session->devices);
   list_inithead(&session->vms);
   list_inithead(&session->bos);
   session->vm_by_id = _mesa_pointer_hash_table_create(NULL);
   session->bo_by_id = _mesa_pointer_hash_table_create(NULL);
   if (!session->vm_by_id || !session->bo_by_id) {
      destroy(session);
      return NULL;
   }
   return session;
}

int
session_open(const char *target, struct trace_source *source, struct session **session_out)
{
   const int status = trace_source_open(target, source);
   if (status)
      return status;

   *session_out = create();
   if (*session_out)
      return 0;
   trace_source_close(source);
   return tool_error(TOOL_FAILED, "out of memory");
}

void
session_close(struct session *session, struct trace_source *source)
{
   destroy(session);
   trace_source_close(source);
}

int
session_apply(struct session *session, const struct vmb_trace_record *record)
{
   session->time_ns = MAX2(session->time_ns, record->time_ns);
   switch (record->type) {
   case VMB_TRACE_DEVICE:
      return apply_device(session, (const void *)record);
   case VMB_TRACE_VM:
      return apply_vm(session, (const void *)record);
   case VMB_TRACE_BO:
      return apply_bo(session, (const void *)record);
   case VMB_TRACE_RANGE:
      return apply_range(session, (const void *)record);
   case VMB_TRACE_SUBMIT:
      return apply_submit(session, (const void *)record);
   case VMB_TRACE_COMPLETE:
      return apply_complete(session, (const void *)record);
   }
   return refuse(session, "a record of an unknown type");
}

int
session_play(struct session *session, struct trace_source *source, uint64_t until_ns,
             const struct session_watch *watch)
{
   const struct vmb_trace_record *record;
   enum vmb_trace_end end;

   for (;;) {
      const uint64_t at_B = vmb_trace_reader_offset_B(source->reader);

      record = vmb_trace_reader_next(source->reader, &end);
      if (!record)
         return trace_source_check_end(source, end);
      if (record->time_ns > until_ns)
         return 0;
      int status = watch && watch->before ? watch->before(session, record, watch->data) : 0;
      if (status)
         return status;
      const int ret = session_apply(session, record);
      if (ret == -EPROTO) {
         return tool_error(TOOL_FAILED, "%s is damaged at byte %" PRIu64 " (%s); what comes before it was used",
                           source->path, at_B, session->fault);
      }
      if (ret)
         return tool_error(TOOL_FAILED, "%s: %s", source->path, strerror(-ret));
      status = watch && watch->after ? watch->after(session, record, watch->data) : 0;
      if (status)
         return status;
   }
}

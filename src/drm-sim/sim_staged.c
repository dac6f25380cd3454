/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Binds in staged mode; see the header. Must know nothing of any driver.
 */

#include "sim_staged.h"

#include <errno.h>
#include <stdlib.h>

#include "util/macros.h"

#include "sim_gem.h"
#include "sim_vm.h"

/* What the page tables are to become, in order */
struct sim_staged_pt_op {
   bool is_map;
   /* A map of the same request overwrites it: no need to go by way of a hole. */
   bool overwritten;
   uint64_t va;
   uint64_t range;
   /* Of an unmap, too: held until the page tables no longer show it. */
   struct sim_bo *bo;
   uint64_t offset;
   uint32_t flags;
};

/* For the history, once the page tables are changed */
struct sim_staged_done {
   enum sim_op_kind kind;
   uint64_t va;
   uint64_t range;
   struct sim_bo *bo;
   uint64_t offset;
   bool dropped;
};

struct translation {
   struct sim_staged *staged;
   const struct sim_staged_op *op;
   struct sim_misapply misapply;
   bool kept;
};

static void *
grow(void *array, uint32_t *capacity, uint32_t count, size_t size)
{
   if (count < *capacity)
      return array;

   uint32_t bigger = *capacity ? *capacity * 2 : 16;
   void *grown = realloc(array, bigger * size);

   if (grown)
      *capacity = bigger;
   return grown;
}

static int
enqueue(struct translation *t, struct sim_staged_pt_op op)
{
   struct sim_staged *staged = t->staged;

   if (t->misapply.drop)
      return 0;

   struct sim_staged_pt_op *ops =
      grow(staged->pt_ops, &staged->pt_op_capacity, staged->pt_op_count, sizeof(*ops));
   if (!ops)
      return -ENOMEM;
   staged->pt_ops = ops;
   sim_bo_get(op.bo);
   ops[staged->pt_op_count++] = op;
   return 0;
}

static int
enqueue_unmap(struct translation *t, uint64_t va, uint64_t range, struct sim_bo *bo)
{
   const struct sim_staged_pt_op op = {
      .overwritten = t->op->kind != SIM_OP_UNMAP,
      .va = va,
      .range = range,
      .bo = bo,
   };
   return enqueue(t, op);
}

static int
step_map(struct translation *t, const struct sim_gpuvm_map *map)
{
   const struct sim_staged_pt_op op = {
      .is_map = true,
      .va = map->addr,
      .range = map->range,
      .bo = map->bo,
      .offset = map->offset + t->misapply.offset_delta,
      .flags = t->op->pte_flags,
   };
   return t->kept ? SIM_GPUVM_SKIP : enqueue(t, op);
}

static bool
is_identical(const struct translation *t, const struct sim_gpuvm_step *step)
{
   return step->keep && step->va->bo == t->op->bo && step->va->offset == t->op->offset &&
          step->va->addr == t->op->va && step->va->range == t->op->range;
}

static int
translate_step(void *priv, struct sim_gpuvm_step *step)
{
   struct translation *t = priv;
   uint64_t va, range;

   switch (step->kind) {
   case SIM_GPUVM_MAP:
      return step_map(t, &step->map);
   case SIM_GPUVM_REMAP:
      if (step->has_next && (step->va->flags & SIM_STAGED_VA_REPEATS))
         step->next.offset = step->va->offset;
      sim_gpuvm_remap_hole(step, &va, &range);
      return enqueue_unmap(t, va, range, step->va->bo);
   case SIM_GPUVM_UNMAP:
      if (t->op->keep_identical && is_identical(t, step)) {
         t->kept = true;
         step->va->flags |= t->op->va_flags;
         return SIM_GPUVM_SKIP;
      }
      return enqueue_unmap(t, step->va->addr, step->va->range, step->va->bo);
   }
   unreachable("not a step");
}

static int
change_tree(struct sim_vm *vm, const struct sim_staged_op *op, struct translation *t)
{
   const struct sim_gpuvm_map req = {
      .addr = op->va,
      .range = op->range,
      .bo = op->bo,
      .offset = op->offset,
      .flags = op->va_flags,
   };

   if (!op->range)
      return 0;
   if (op->kind == SIM_OP_UNMAP)
      return sim_gpuvm_sm_unmap(&vm->gpuvm, op->va, op->range, translate_step, t);
   return sim_gpuvm_sm_map(&vm->gpuvm, &req, translate_step, t);
}

int
sim_staged_translate_locked(struct sim_staged *staged, const struct sim_staged_op *op)
{
   struct translation t = {
      .staged = staged,
      .op = op,
      .misapply = sim_fault_misapply(op->kind, op->bo ? op->bo->size_B : 0, op->offset, op->range),
   };
   struct sim_staged_done *done =
      grow(staged->done, &staged->done_capacity, staged->done_count, sizeof(*done));

   if (!done)
      return -ENOMEM;
   staged->done = done;

   int ret = change_tree(staged->vm, op, &t);
   if (ret)
      return ret;

   done[staged->done_count++] = (struct sim_staged_done){
      .kind = op->kind,
      .va = op->va,
      .range = op->range,
      .bo = sim_bo_get(op->bo),
      .offset = op->offset,
      .dropped = t.misapply.drop,
   };
   return 0;
}

static int
apply_pt_op_locked(struct sim_vm *vm, const struct sim_staged_pt_op *op, int error)
{
   if (!op->is_map)
      return op->overwritten && !error ? 0 : sim_vm_pt_unmap_locked(vm, op->va, op->range);

   int ret = error;
   if (!ret)
      ret = sim_vm_pt_map_locked(vm, op->va, op->range, op->bo, op->offset, op->flags);
   if (ret)
      sim_vm_pt_unmap_locked(vm, op->va, op->range);
   return ret;
}

int
sim_staged_apply_locked(struct sim_staged *staged, int error)
{
   for (uint32_t i = 0; i < staged->pt_op_count; i++) {
      int ret = apply_pt_op_locked(staged->vm, &staged->pt_ops[i], error);
      if (!error)
         error = ret;
   }
   for (uint32_t i = 0; i < staged->done_count; i++) {
      const struct sim_staged_done *done = &staged->done[i];
      sim_vm_record_locked(staged->vm, done->kind, done->va, done->range, done->bo, done->offset,
                           done->dropped);
   }
   return error;
}

int
sim_staged_run_locked(struct sim_vm *vm, const struct sim_staged_op *op)
{
   struct sim_staged staged = {.vm = vm};
   int ret = sim_staged_translate_locked(&staged, op);

   if (!ret)
      ret = sim_staged_apply_locked(&staged, 0);
   sim_staged_finish(&staged);
   return ret;
}

void
sim_staged_finish(struct sim_staged *staged)
{
   for (uint32_t i = 0; i < staged->pt_op_count; i++)
      sim_bo_put(staged->pt_ops[i].bo);
   for (uint32_t i = 0; i < staged->done_count; i++)
      sim_bo_put(staged->done[i].bo);
   free(staged->pt_ops);
   free(staged->done);
}

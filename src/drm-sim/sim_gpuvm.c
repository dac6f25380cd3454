/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The tree of mappings; see the header. Must know nothing of page tables.
 *
 * A request meets each mapping in one of these ways, and what sticks out of the request survives:
 *
 *      mapping    |-----|   |------|     |--------|    |--------|
 *      request   |-------|     |------|    |---|         |--------|   (and mirrored)
 *                 unmap      remap prev   remap both     remap prev
 */

#include "sim_gpuvm.h"

#include <errno.h>
#include <stdlib.h>

#include "util/macros.h"

#include "sim_gem.h"

static struct sim_gpuva *
va_from_node(struct rb_node *node)
{
   return node ? rb_node_data(struct sim_gpuva, node, node) : NULL;
}

static uint64_t
va_end(const struct sim_gpuva *va)
{
   return va->addr + va->range;
}

/* Mesa's trees want it the other way round: negative if a comes after b. */
static int
compare_addr(const struct rb_node *a, const struct rb_node *b)
{
   const struct sim_gpuva *va_a = rb_node_data(struct sim_gpuva, a, node);
   const struct sim_gpuva *va_b = rb_node_data(struct sim_gpuva, b, node);

   return va_a->addr > va_b->addr ? -1 : va_a->addr < va_b->addr;
}

void
sim_gpuvm_init(struct sim_gpuvm *vm, uint64_t start, uint64_t range)
{
   rb_tree_init(&vm->tree);
   vm->start = start;
   vm->range = range;
}

static void
va_remove(struct sim_gpuvm *vm, struct sim_gpuva *va)
{
   rb_tree_remove(&vm->tree, &va->node);
   sim_bo_put(va->bo);
   free(va);
}

void
sim_gpuvm_finish(struct sim_gpuvm *vm)
{
   struct sim_gpuva *va;

   while ((va = sim_gpuvm_first(vm, 0)))
      va_remove(vm, va);
}

bool
sim_gpuvm_range_is_valid(const struct sim_gpuvm *vm, uint64_t addr, uint64_t range)
{
   uint64_t end;

   if (__builtin_add_overflow(addr, range, &end))
      return false;
   return addr >= vm->start && end <= vm->start + vm->range;
}

struct sim_gpuva *
sim_gpuvm_first(const struct sim_gpuvm *vm, uint64_t addr)
{
   struct rb_node *node = vm->tree.root;
   struct sim_gpuva *found = NULL;

   while (node) {
      struct sim_gpuva *va = va_from_node(node);

      if (va_end(va) > addr) {
         found = va;
         node = node->left;
      } else {
         node = node->right;
      }
   }
   return found;
}

struct sim_gpuva *
sim_gpuvm_next(struct sim_gpuva *va)
{
   return va_from_node(rb_node_next(&va->node));
}

void
sim_gpuvm_remap_hole(const struct sim_gpuvm_step *step, uint64_t *addr, uint64_t *range)
{
   uint64_t start = step->has_prev ? step->prev.addr + step->prev.range : step->va->addr;
   uint64_t end = step->has_next ? step->next.addr : va_end(step->va);

   *addr = start;
   *range = end - start;
}

static int
va_insert(struct sim_gpuvm *vm, const struct sim_gpuvm_map *map)
{
   struct sim_gpuva *va = calloc(1, sizeof(*va));

   if (!va)
      return -ENOMEM;
   va->addr = map->addr;
   va->range = map->range;
   va->bo = sim_bo_get(map->bo);
   va->offset = map->offset;
   va->flags = map->flags;
   rb_tree_insert(&vm->tree, &va->node, compare_addr);
   return 0;
}

static int
take_step(struct sim_gpuvm *vm, struct sim_gpuvm_step *step, sim_gpuvm_step_fn fn, void *priv)
{
   int ret = fn ? fn(priv, step) : 0;

   if (ret < 0)
      return ret;
   if (ret == SIM_GPUVM_SKIP)
      return 0;

   switch (step->kind) {
   case SIM_GPUVM_MAP:
      return va_insert(vm, &step->map);
   case SIM_GPUVM_REMAP:
      /* The parts first: they take over the reference's object. */
      sim_bo_get(step->va->bo);
      struct sim_bo *bo = step->va->bo;
      va_remove(vm, step->va);
      if (step->has_prev)
         ret = va_insert(vm, &step->prev);
      if (!ret && step->has_next)
         ret = va_insert(vm, &step->next);
      sim_bo_put(bo);
      return ret;
   case SIM_GPUVM_UNMAP:
      va_remove(vm, step->va);
      return 0;
   }
   unreachable("not a step");
}

static bool
continues_request(const struct sim_gpuva *va, const struct sim_gpuvm_map *req)
{
   /* In wrapping arithmetic this is the kernel's comparison in all of its cases. */
   return va->bo && va->bo == req->bo && va->offset - va->addr == req->offset - req->addr;
}

/* Takes what [addr, addr + range) covers out of one mapping. */
static int
carve(struct sim_gpuvm *vm, struct sim_gpuva *va, uint64_t addr, uint64_t range, bool keep,
      sim_gpuvm_step_fn fn, void *priv)
{
   uint64_t end = addr + range;
   struct sim_gpuvm_step step = {
      .kind = SIM_GPUVM_UNMAP,
      .va = va,
      .keep = keep,
      .has_prev = (va->addr < addr),
      .has_next = (va_end(va) > end),
   };

   if (step.has_prev || step.has_next)
      step.kind = SIM_GPUVM_REMAP;

   if (step.has_prev) {
      step.prev = (struct sim_gpuvm_map){
         .addr = va->addr,
         .range = addr - va->addr,
         .bo = va->bo,
         .offset = va->offset,
         .flags = va->flags,
      };
   }
   if (step.has_next) {
      step.next = (struct sim_gpuvm_map){
         .addr = end,
         .range = va_end(va) - end,
         .bo = va->bo,
         .offset = va->offset + (end - va->addr),
         .flags = va->flags,
      };
   }
   return take_step(vm, &step, fn, priv);
}

int
sim_gpuvm_sm_map(struct sim_gpuvm *vm, const struct sim_gpuvm_map *req, sim_gpuvm_step_fn fn,
                 void *priv)
{
   if (!sim_gpuvm_range_is_valid(vm, req->addr, req->range))
      return -EINVAL;

   struct sim_gpuva *va = sim_gpuvm_first(vm, req->addr);
   while (va && va->addr < req->addr + req->range) {
      struct sim_gpuva *next = sim_gpuvm_next(va);
      int ret = carve(vm, va, req->addr, req->range, continues_request(va, req), fn, priv);

      if (ret)
         return ret;
      va = next;
   }

   struct sim_gpuvm_step step = {.kind = SIM_GPUVM_MAP, .map = *req};
   return take_step(vm, &step, fn, priv);
}

int
sim_gpuvm_sm_unmap(struct sim_gpuvm *vm, uint64_t addr, uint64_t range, sim_gpuvm_step_fn fn,
                   void *priv)
{
   if (!sim_gpuvm_range_is_valid(vm, addr, range))
      return -EINVAL;

   struct sim_gpuva *va = sim_gpuvm_first(vm, addr);
   while (va && va->addr < addr + range) {
      struct sim_gpuva *next = sim_gpuvm_next(va);
      int ret = carve(vm, va, addr, range, false, fn, priv);

      if (ret)
         return ret;
      va = next;
   }
   return 0;
}

uint64_t
sim_gpuvm_find_gap(const struct sim_gpuvm *vm, uint64_t from, uint64_t range)
{
   for (struct sim_gpuva *va = sim_gpuvm_first(vm, from); va; va = sim_gpuvm_next(va)) {
      if (va->addr >= from && va->addr - from >= range)
         break;
      from = va->addr + va->range;
   }
   return sim_gpuvm_range_is_valid(vm, from, range) ? from : 0;
}

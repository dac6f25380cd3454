/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See gpuvm_model.h.
 */

#include "gpuvm_model.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/util/prop.h"
#include "vmbind/vmb_plan.h"

#define PAGE_B 4096ull
#define BASE_B (1ull << 32)
#define PAGES  GPUVM_MODEL_PAGES
#define BOS    GPUVM_MODEL_BOS

/* ------------------------------------------------------------------- model */

struct model_page {
   /* 0: hole. */
   uint16_t flags_plus_1;
   bool starts;
   struct vmb_gpuvm_bo *vm_bo;
   uint64_t offset_B;
};

struct world {
   struct vmb_gpuvm *gpuvm;
   struct vmb_gpuvm_obj objs[BOS];
   struct vmb_gpuvm_bo *vm_bos[BOS];
   int obj_refs[BOS];
   struct model_page *model;
};

static struct world *the_world;

static void
obj_ref(struct vmb_gpuvm_obj *obj)
{
   the_world->obj_refs[obj - the_world->objs]++;
}

static void
obj_unref(struct vmb_gpuvm_obj *obj)
{
   the_world->obj_refs[obj - the_world->objs]--;
}

static struct vmb_gpuvm_req
to_req(const struct world *w, const struct gpuvm_model_request *r)
{
   struct vmb_gpuvm_req req = {
      .map = { .addr_B = BASE_B + r->page * PAGE_B, .range_B = r->pages * PAGE_B },
      .unmap = r->kind == KIND_UNMAP,
   };

   if (r->kind == KIND_NULL) {
      req.map.flags = VMB_MAPPING_NULL;
   } else if (r->kind != KIND_UNMAP) {
      req.map.vm_bo = w->vm_bos[r->bo];
      req.map.offset_B = r->bo_page * PAGE_B;
      req.map.flags = (r->kind == KIND_REPEAT ? VMB_MAPPING_REPEAT : 0) |
                      (r->readonly ? VMB_MAPPING_READONLY : 0);
   }
   return req;
}

static uint32_t
page_of(uint64_t addr_B)
{
   return (addr_B - BASE_B) / PAGE_B;
}

static void
model_apply(struct model_page *model, const struct vmb_gpuvm_req *req)
{
   const uint32_t first = page_of(req->map.addr_B), end = first + req->map.range_B / PAGE_B;

   /* What is left of a mapping that is cut starts at the end. */
   if (end < PAGES && model[end].flags_plus_1)
      model[end].starts = true;
   for (uint32_t p = first; p < end; p++) {
      model[p] = (struct model_page){ 0 };
      if (!req->unmap) {
         model[p] = (struct model_page){
            .flags_plus_1 = req->map.flags + 1,
            .starts = p == first,
            .vm_bo = req->map.vm_bo,
            .offset_B = vmb_mapping_offset_at(&req->map, BASE_B + p * PAGE_B),
         };
      }
   }
}

/* What the iterator finds; it is at [first, end). */
static void
compare_found(const struct world *w, struct vmb_gpuvm_iter *iter, uint32_t first, uint32_t end)
{
   struct vmb_mapping m;
   uint32_t p = first;

   while (vmb_gpuvm_iter_next(iter, &m)) {
      const uint32_t start = page_of(m.addr_B), stop = page_of(vmb_mapping_end_B(&m));

      for (; p < start; p++)
         PROP_CHECK(!w->model[p].flags_plus_1);
      for (p = MAX2(first, start); p < MIN2(stop, end); p++) {
         PROP_CHECK(w->model[p].flags_plus_1 == m.flags + 1);
         PROP_CHECK(w->model[p].vm_bo == m.vm_bo);
         PROP_CHECK(w->model[p].starts == (p == start));
         PROP_CHECK(w->model[p].offset_B == vmb_mapping_offset_at(&m, BASE_B + p * PAGE_B));
      }
      if (stop < end && w->model[stop].flags_plus_1)
         PROP_CHECK(w->model[stop].starts);
   }
   for (; p < end; p++)
      PROP_CHECK(!w->model[p].flags_plus_1);
}

/* In one go; then in small steps, as the planner does; then back. */
static void
compare(const struct world *w, uint32_t first, uint32_t end)
{
   const uint32_t step = MAX2((end - first) / 8, 1);
   struct vmb_gpuvm_iter iter;

   vmb_gpuvm_iter_init(w->gpuvm, &iter, BASE_B + first * PAGE_B, BASE_B + end * PAGE_B);
   compare_found(w, &iter, first, end);
   for (uint32_t at = first; at < end; at += step) {
      const uint32_t stop = MIN2(at + step, end);

      vmb_gpuvm_iter_move(&iter, BASE_B + at * PAGE_B, BASE_B + stop * PAGE_B);
      compare_found(w, &iter, at, stop);
   }
   vmb_gpuvm_iter_move(&iter, BASE_B + first * PAGE_B, BASE_B + end * PAGE_B);
   compare_found(w, &iter, first, end);
}

static void
compare_around(const struct world *w, const struct vmb_gpuvm_req *req)
{
   const uint32_t first = page_of(req->map.addr_B), end = first + req->map.range_B / PAGE_B;

   compare(w, first > 8 ? first - 8 : 0, MIN2(PAGES, end + 8));
}

/* ------------------------------------------------------------------- steps */

struct step_state {
   const struct vmb_gpuvm_req *req;
   const struct vmb_replaced *replaced;
   size_t seen;
   bool mapped;
};

/* The announced steps and what the change then really replaced must agree. */
static void
check_step(const struct vmb_step *step, void *data)
{
   struct step_state *state = data;

   if (step->type == VMB_STEP_MAP) {
      PROP_CHECK(!state->req->unmap && !state->mapped);
      state->mapped = true;
      return;
   }
   PROP_CHECK(state->seen < state->replaced->count);
   const struct vmb_mapping *old = &state->replaced->mappings[state->seen++];
   PROP_CHECK(old->addr_B == step->map.addr_B && old->range_B == step->map.range_B);
   PROP_CHECK(old->flags == step->map.flags && vmb_mapping_same_backing(old, &step->map));
   PROP_CHECK((step->type == VMB_STEP_REMAP) == (step->prev.range_B || step->next.range_B));
}

static void
apply(struct world *w, struct vmb_gpuvm *gpuvm, const struct vmb_gpuvm_req *req,
      struct vmb_replaced *replaced)
{
   if (req->unmap)
      vmb_gpuvm_unmap(gpuvm, req->map.addr_B, req->map.range_B, replaced);
   else
      vmb_gpuvm_map(gpuvm, &req->map, replaced);
   model_apply(w->model, req);
}

struct collected {
   struct vmb_step steps[4096];
   size_t count;
};

static void
collect_step(const struct vmb_step *step, void *data)
{
   struct collected *c = data;

   PROP_CHECK(c->count < ARRAY_SIZE(c->steps));
   c->steps[c->count++] = *step;
}

static void
apply_each(struct world *w, const struct vmb_gpuvm_req *reqs, size_t count)
{
   static struct collected c;

   for (size_t i = 0; i < count; i++) {
      struct vmb_mapping room[4096];
      size_t bound;

      PROP_CHECK(vmb_gpuvm_reserve(w->gpuvm, &reqs[i], 1, &bound) == 0);
      PROP_CHECK(bound <= ARRAY_SIZE(room));
      c.count = 0;
      vmb_gpuvm_foreach_step(w->gpuvm, &reqs[i], collect_step, &c);

      struct vmb_replaced replaced = { .mappings = room, .capacity = bound };
      apply(w, w->gpuvm, &reqs[i], &replaced);

      struct step_state state = { .req = &reqs[i], .replaced = &replaced };
      for (size_t s = 0; s < c.count; s++)
         check_step(&c.steps[s], &state);
      PROP_CHECK(state.seen == replaced.count && state.mapped == !reqs[i].unmap);
      vmb_gpuvm_release_replaced(replaced.mappings, replaced.count);
      compare_around(w, &reqs[i]);
   }
}

/* A batch that is applied and then taken back leaves no trace. */
static void
apply_undo(struct world *w, const struct vmb_gpuvm_req *reqs, size_t count)
{
   struct model_page *before = malloc(PAGES * sizeof(*before));
   size_t bound, starts[GPUVM_MODEL_BATCH + 1];

   memcpy(before, w->model, PAGES * sizeof(*before));
   PROP_CHECK(vmb_gpuvm_reserve(w->gpuvm, reqs, count, &bound) == 0);
   struct vmb_replaced replaced = {
      .mappings = malloc((bound + 1) * sizeof(struct vmb_mapping)),
      .capacity = bound,
   };
   for (size_t i = 0; i < count; i++) {
      starts[i] = replaced.count;
      apply(w, w->gpuvm, &reqs[i], &replaced);
   }
   starts[count] = replaced.count;
   for (size_t i = 0; i < count; i++)
      compare_around(w, &reqs[i]);
   vmb_gpuvm_check(w->gpuvm);

   for (size_t i = count; i-- > 0;) {
      const size_t start = starts[i], undone = starts[i + 1] - start;

      PROP_CHECK(vmb_gpuvm_reserve_undo(w->gpuvm, undone) == 0);
      vmb_gpuvm_undo(w->gpuvm, reqs[i].map.addr_B, reqs[i].map.range_B,
                     replaced.mappings + start, undone);
   }
   memcpy(w->model, before, PAGES * sizeof(*before));
   for (size_t i = 0; i < count; i++)
      compare_around(w, &reqs[i]);
   free(replaced.mappings);
   free(before);
}

/* What is in the ranges of the first requests, as the requests that bring it back: an unmap of each
 * range, unless it is covered, and maps. */
static size_t
requests_back(const struct world *w, const struct vmb_gpuvm_req *reqs, size_t count,
              struct vmb_gpuvm_req *back)
{
   size_t back_count = 0;

   for (size_t i = 0; i < count; i++) {
      const struct vmb_mapping *map = &reqs[i].map;
      struct vmb_gpuvm_iter iter;
      struct vmb_mapping old;

      back[back_count++] = (struct vmb_gpuvm_req){
         .map = { .addr_B = map->addr_B, .range_B = map->range_B },
         .unmap = true,
      };
      vmb_gpuvm_iter_init(w->gpuvm, &iter, map->addr_B, vmb_mapping_end_B(map));
      while (vmb_gpuvm_iter_next(&iter, &old)) {
         const struct vmb_mapping piece =
            vmb_mapping_clip(&old, map->addr_B, vmb_mapping_end_B(map));
         if (piece.range_B == map->range_B)
            back_count--;
         back[back_count++] = (struct vmb_gpuvm_req){ .map = piece };
      }
   }
   return back_count;
}

/* Applies some of the requests, and takes them back. */
static void
apply_and_back(struct world *w, const struct vmb_gpuvm_req *reqs, size_t count, size_t applied)
{
   size_t bound;

   PROP_CHECK(vmb_gpuvm_reserve_both_ways(w->gpuvm, reqs, count, &bound) == 0);
   struct vmb_gpuvm_req *back = malloc((applied + bound + 1) * sizeof(*back));
   const size_t back_count = requests_back(w, reqs, applied, back);
   struct vmb_replaced replaced = {
      .mappings = malloc((bound + back_count + 1) * sizeof(struct vmb_mapping)),
      .capacity = bound + back_count,
   };

   PROP_CHECK(back_count <= applied + bound);
   for (size_t i = 0; i < applied; i++)
      apply(w, w->gpuvm, &reqs[i], &replaced);
   for (size_t i = 0; i < back_count; i++)
      apply(w, w->gpuvm, &back[i], &replaced);
   vmb_gpuvm_release_replaced(replaced.mappings, replaced.count);
   free(replaced.mappings);
   free(back);
}

/* The requests over and over, side by side or with gaps between, as one batch: hundreds of
 * mappings, which make a tree of some height.  In ascending order, or in any. */
#define BULK_REQS 800

static void
apply_bulk(struct world *w, const struct gpuvm_model_op *op)
{
   static struct vmb_gpuvm_req reqs[BULK_REQS];
   const struct gpuvm_model_request *first = &op->reqs[0];
   const uint32_t gap = first->bo_page % 3 * (first->pages % 16 + 1);
   /* Whether others are among them. */
   const bool odd = first->bo == 0;
   uint32_t page = first->page, count = 0;
   size_t bound;

   while (count < BULK_REQS) {
      struct gpuvm_model_request r = op->reqs[count % op->count];

      r.page = page;
      r.pages = first->pages % 16 + 1;
      if (odd && count % 97 == 96)
         r.pages = 1 + r.bo_page % 40;
      else
         r.kind = first->kind;
      r.readonly = odd && count % 89 == 88;
      page += r.pages + gap;
      if (page > PAGES)
         break;
      reqs[count++] = to_req(w, &r);
   }
   if (op->count % 3 == 0)
      apply_and_back(w, reqs, count, count * (first->pages % 7 + 1) / 7);
   if (first->readonly) {
      for (uint32_t i = 0; i < count; i++) {
         const uint32_t other = i * 7919ull % count;
         const struct vmb_gpuvm_req req = reqs[i];
         reqs[i] = reqs[other];
         reqs[other] = req;
      }
   }

   PROP_CHECK(vmb_gpuvm_reserve(w->gpuvm, reqs, count, &bound) == 0);
   struct vmb_replaced replaced = {
      .mappings = malloc((bound + 1) * sizeof(struct vmb_mapping)),
      .capacity = bound,
   };
   for (uint32_t i = 0; i < count; i++)
      apply(w, w->gpuvm, &reqs[i], &replaced);
   vmb_gpuvm_release_replaced(replaced.mappings, replaced.count);
   free(replaced.mappings);
   compare(w, first->page, MIN2(page + 1, PAGES));
}

static bool
page_equal(const struct model_page *a, const struct model_page *b)
{
   return a->flags_plus_1 == b->flags_plus_1 && a->vm_bo == b->vm_bo && a->offset_B == b->offset_B;
}

/* The planned batch has the effect of its requests one after the other, names
 * no page that they did not, and is minimal. */
static void
apply_plan(struct world *w, const struct vmb_gpuvm_req *reqs, size_t count)
{
   struct model_page *before = malloc(PAGES * sizeof(*before));
   struct model_page *want = malloc(PAGES * sizeof(*want));
   bool *named = calloc(PAGES, 1);
   struct vmb_plan plan;
   size_t bound;

   memcpy(before, w->model, PAGES * sizeof(*before));
   for (size_t i = 0; i < count; i++) {
      const uint32_t first = page_of(reqs[i].map.addr_B);
      model_apply(w->model, &reqs[i]);
      memset(named + first, 1, reqs[i].map.range_B / PAGE_B);
   }
   memcpy(want, w->model, PAGES * sizeof(*want));
   memcpy(w->model, before, PAGES * sizeof(*before));

   vmb_plan_init(&plan, &(struct vmb_plan_params){ 0 });
   PROP_CHECK(vmb_plan_build(&plan, w->gpuvm, reqs, count) == 0);
   apply_and_back(w, plan.ops, plan.op_count, plan.op_count / 2);
   for (uint32_t p = 0; p < PAGES; p++)
      PROP_CHECK(page_equal(&w->model[p], &before[p]));
   PROP_CHECK(vmb_gpuvm_reserve(w->gpuvm, plan.ops, plan.op_count, &bound) == 0);
   struct vmb_replaced replaced = {
      .mappings = malloc((bound + 1) * sizeof(struct vmb_mapping)),
      .capacity = bound,
   };
   PROP_CHECK(plan.op_count <= plan.net_count);
   for (size_t i = 0; i < plan.op_count; i++) {
      const struct vmb_gpuvm_req *op = &plan.ops[i];
      const uint32_t first = page_of(op->map.addr_B);
      const uint32_t end = page_of(vmb_mapping_end_B(&op->map));

      for (uint32_t p = first; p < end; p++)
         PROP_CHECK(named[p]);
      /* Both of its ends change something. */
      PROP_CHECK(!page_equal(&before[first], &want[first]));
      PROP_CHECK(!page_equal(&before[end - 1], &want[end - 1]));
      if (i > 0) {
         const struct vmb_gpuvm_req *last = &plan.ops[i - 1];
         PROP_CHECK(vmb_mapping_end_B(&last->map) <= op->map.addr_B);
         PROP_CHECK(vmb_mapping_end_B(&last->map) < op->map.addr_B || last->unmap != op->unmap ||
                    !vmb_mapping_same_backing(&last->map, &op->map));
      }
      apply(w, w->gpuvm, op, &replaced);
   }
   for (uint32_t p = 0; p < PAGES; p++)
      PROP_CHECK(page_equal(&w->model[p], &want[p]));
   for (size_t i = 0; i < count; i++)
      compare_around(w, &reqs[i]);

   /* Now it is there: the same batch is no work. */
   PROP_CHECK(vmb_plan_build(&plan, w->gpuvm, reqs, count) == 0);
   PROP_CHECK(plan.op_count == 0);

   vmb_gpuvm_release_replaced(replaced.mappings, replaced.count);
   free(replaced.mappings);
   vmb_plan_finish(&plan);
   free(named);
   free(want);
   free(before);
}

static void
set_flags(struct world *w, const struct vmb_gpuvm_req *req)
{
   const uint32_t first = page_of(req->map.addr_B), end = first + req->map.range_B / PAGE_B;

   PROP_CHECK(vmb_gpuvm_set_flags(w->gpuvm, req->map.addr_B, req->map.range_B, VMB_MAPPING_DUMP,
                                  VMB_MAPPING_READONLY, true) == 0);
   const uint32_t cuts[2] = { first, end };
   for (unsigned c = 0; c < 2; c++) {
      if (cuts[c] < PAGES && w->model[cuts[c]].flags_plus_1)
         w->model[cuts[c]].starts = true;
   }
   for (uint32_t p = first; p < end; p++) {
      struct model_page *page = &w->model[p];
      if (page->flags_plus_1) {
         page->flags_plus_1 = (((page->flags_plus_1 - 1) & ~VMB_MAPPING_READONLY) |
                               VMB_MAPPING_DUMP) + 1;
      }
   }
   compare_around(w, req);
}

static void
evict(struct world *w, unsigned bo)
{
   PROP_CHECK(vmb_gpuvm_bo_set_evicted(w->vm_bos[bo], true) == 0);
   struct vmb_gpuvm_iter iter;
   struct vmb_mapping m;
   vmb_gpuvm_iter_init(w->gpuvm, &iter, 0, UINT64_MAX);
   while (vmb_gpuvm_iter_next(&iter, &m))
      PROP_CHECK(!!(m.flags & VMB_MAPPING_INVALIDATED) == (m.vm_bo == w->vm_bos[bo]));
   PROP_CHECK(!list_is_empty(vmb_gpuvm_evicted(w->gpuvm)));
   PROP_CHECK(vmb_gpuvm_bo_set_evicted(w->vm_bos[bo], false) == 0);
   PROP_CHECK(list_is_empty(vmb_gpuvm_evicted(w->gpuvm)));
}

static void
unmap_bo(struct world *w, unsigned bo)
{
   vmb_gpuvm_bo_unmap_all(w->vm_bos[bo], NULL);
   PROP_CHECK(w->vm_bos[bo]->mapping_count == 0);
   for (uint32_t p = 0; p < PAGES; p++) {
      if (w->model[p].vm_bo == w->vm_bos[bo])
         w->model[p] = (struct model_page){ 0 };
   }
}

void
gpuvm_model_run(const struct gpuvm_model_op *ops, size_t count)
{
   struct world w = { .model = calloc(PAGES, sizeof(*w.model)) };
   const struct vmb_gpuvm_params params = {
      .va_start_B = BASE_B,
      .va_range_B = PAGES * PAGE_B,
      .page_size_B = PAGE_B,
   };

   the_world = &w;
   PROP_CHECK(vmb_gpuvm_create(&params, &w.gpuvm) == 0);
   for (unsigned i = 0; i < BOS; i++) {
      vmb_gpuvm_obj_init(&w.objs[i], UINT64_MAX, obj_ref, obj_unref);
      PROP_CHECK(vmb_gpuvm_bo_obtain(w.gpuvm, &w.objs[i], i == 0, &w.vm_bos[i]) == 0);
   }

   for (size_t o = 0; o < count; o++) {
      struct vmb_gpuvm_req reqs[GPUVM_MODEL_BATCH];

      for (unsigned i = 0; i < ops[o].count; i++)
         reqs[i] = to_req(&w, &ops[o].reqs[i]);
      switch (ops[o].how) {
      case APPLY_EACH:
         apply_each(&w, reqs, ops[o].count);
         break;
      case APPLY_PLAN:
         apply_plan(&w, reqs, ops[o].count);
         break;
      case APPLY_UNDO:
         apply_undo(&w, reqs, ops[o].count);
         break;
      case UNMAP_BO:
         /* Rarely: it empties much. */
         if (ops[o].reqs[0].pages == 1)
            unmap_bo(&w, ops[o].reqs[0].bo);
         break;
      case EVICT:
         evict(&w, ops[o].reqs[0].bo);
         break;
      case SET_FLAGS:
         set_flags(&w, &reqs[0]);
         break;
      case BULK:
         apply_bulk(&w, &ops[o]);
         break;
      }
      vmb_gpuvm_check(w.gpuvm);
   }
   compare(&w, 0, PAGES);

   /* The holes are what the mappings are not. */
   uint64_t at_B = BASE_B, hole_B, hole_range_B, free_B = 0;
   while (vmb_gpuvm_next_hole(w.gpuvm, &at_B, BASE_B + PAGES * PAGE_B, &hole_B, &hole_range_B)) {
      for (uint32_t p = page_of(hole_B); p < page_of(hole_B + hole_range_B); p++)
         PROP_CHECK(!w.model[p].flags_plus_1);
      free_B += hole_range_B;
   }
   for (uint32_t p = 0; p < PAGES; p++)
      free_B += w.model[p].flags_plus_1 ? PAGE_B : 0;
   PROP_CHECK(free_B == PAGES * PAGE_B);

   /* Everything can be given back. */
   vmb_gpuvm_clear(w.gpuvm);
   vmb_gpuvm_check(w.gpuvm);
   for (unsigned i = 0; i < BOS; i++) {
      PROP_CHECK(w.obj_refs[i] == 1);
      PROP_CHECK(w.vm_bos[i]->refcount == 1);
      vmb_gpuvm_bo_put(w.vm_bos[i]);
      PROP_CHECK(w.obj_refs[i] == 0);
      vmb_gpuvm_obj_finish(&w.objs[i]);
   }
   vmb_gpuvm_bo_free_deferred(vmb_gpuvm_bo_take_deferred(w.gpuvm));
   vmb_gpuvm_unref(w.gpuvm);
   free(w.model);
}

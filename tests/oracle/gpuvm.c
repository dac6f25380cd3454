/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The mirror beside the kernel's own drm_gpuvm.c: the same random operations for
 * both, and after each of them everything that can be seen of either must be
 * the same.  Built once for each kernel version.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/util/prop.h"
#include "vmbind/vmb_gpuvm.h"

#include "oracle.h"

#define PAGE_B   4096ull
#define VA_PAGES 8192u
#define VA_B     (1ull << 36)

/* The kernel's own window, in the middle. */
#define KERNEL_PAGE  2000u
#define KERNEL_PAGES 16u

#define BO_COUNT    4u
#define BO_EXTERNAL 2u /* from this one on */

/* Everything is compared after so many operations; after each, what is around it. */
#define COMPARE_INTERVAL 128

#define MAX_STEPS (VA_PAGES + 2)

/* Flags that the kernel's driver would carry along; INVALIDATED is the mirror's own business. */
#define COMPARED_FLAGS (VMB_MAPPING_READONLY | VMB_MAPPING_NOEXEC | VMB_MAPPING_DUMP | VMB_MAPPING_USER0)

enum op_kind {
   OP_MAP,
   OP_MAP_NULL,
   OP_UNMAP,
   OP_UNMAP_BO,
   OP_EVICT,
   OP_RESTORE,
   OP_MADVISE,
   OP_KIND_COUNT,
};

struct op {
   uint8_t kind;
   uint8_t bo;
   uint16_t flags;
   uint32_t page, pages;
   uint32_t bo_page;
   uint32_t look_page;
};

/* ---------------------------------------------------------------- operations */

static void
generate(struct rng *rng, void *data)
{
   static const uint8_t kinds[] = {
      OP_MAP,   OP_MAP,   OP_MAP,   OP_MAP,      OP_MAP,   OP_MAP,   OP_MAP,   OP_MAP,
      OP_UNMAP, OP_UNMAP, OP_UNMAP, OP_UNMAP,    OP_EVICT, OP_RESTORE, OP_MADVISE, OP_MAP_NULL,
      OP_MAP_NULL, OP_UNMAP, OP_MAP, OP_MAP,
   };
   static const uint16_t flags[] = { 0, 0, VMB_MAPPING_READONLY, VMB_MAPPING_USER0 };
   struct op *op = data;

   op->kind = rng_one_in(rng, 200) ? OP_UNMAP_BO : kinds[rng_below(rng, ARRAY_SIZE(kinds))];
   op->bo = rng_below(rng, BO_COUNT);
   op->flags = flags[rng_below(rng, ARRAY_SIZE(flags))];
   op->pages = 1 + rng_below(rng, rng_one_in(rng, 60) ? 1500 : rng_one_in(rng, 4) ? 40 : 6);
   op->page = rng_below(rng, VA_PAGES - op->pages + 1);
   /* Often close together, and often in line with what is there. */
   if (rng_one_in(rng, 2))
      op->page = 100 + rng_below(rng, 60);
   op->bo_page = rng_one_in(rng, 3) ? rng_below(rng, 16) : op->page;
   op->look_page = rng_below(rng, VA_PAGES);

   /* Now and then outside of the range, or across its end. */
   if (rng_one_in(rng, 100))
      op->page = VA_PAGES - 4 + rng_below(rng, 20);
}

static void
print(const void *data)
{
   static const char *const kinds[] = {
      "map", "map null", "unmap", "unmap BO", "evict", "restore", "madvise",
   };
   const struct op *op = data;

   printf("   %s: pages %u + %u, BO %u at page %u, flags %#x, looking at page %u\n", kinds[op->kind],
          op->page, op->pages, op->bo, op->bo_page, op->flags, op->look_page);
}

/* --------------------------------------------------------------------- both */

struct recorded {
   struct oracle_step steps[MAX_STEPS];
   size_t count;
};

struct both {
   struct oracle *oracle;
   struct vmb_gpuvm *mirror;

   uint32_t handles[BO_COUNT];
   struct vmb_gpuvm_obj objs[BO_COUNT];
   int obj_refs[BO_COUNT];

   unsigned ops;
};

/* Too large for the stack; there is one of everything. */
static struct both both;
static struct recorded oracle_steps, mirror_steps;
static struct oracle_mapping oracle_maps[VA_PAGES], mirror_maps[VA_PAGES];

static void
obj_ref(struct vmb_gpuvm_obj *obj)
{
   both.obj_refs[obj - both.objs]++;
}

static void
obj_unref(struct vmb_gpuvm_obj *obj)
{
   both.obj_refs[obj - both.objs]--;
}

static void
setup(enum oracle_style style)
{
   const struct oracle_params params = {
      .va_start_B = VA_B,
      .va_range_B = VA_PAGES * PAGE_B,
      .kernel_start_B = VA_B + KERNEL_PAGE * PAGE_B,
      .kernel_range_B = KERNEL_PAGES * PAGE_B,
      .style = style,
   };
   const struct vmb_gpuvm_params mirror_params = {
      .va_start_B = params.va_start_B,
      .va_range_B = params.va_range_B,
      .kernel_start_B = params.kernel_start_B,
      .kernel_range_B = params.kernel_range_B,
      .page_size_B = PAGE_B,
   };

   both = (struct both){ .oracle = oracle_create(&params) };
   PROP_CHECK(vmb_gpuvm_create(&mirror_params, &both.mirror) == 0);
   for (unsigned i = 0; i < BO_COUNT; i++) {
      both.handles[i] = oracle_bo_create(both.oracle, i >= BO_EXTERNAL);
      vmb_gpuvm_obj_init(&both.objs[i], 1ull << 40, obj_ref, obj_unref);
   }
}

static void
drop_deferred(void)
{
   vmb_gpuvm_bo_free_deferred(vmb_gpuvm_bo_take_deferred(both.mirror));
}

static void
teardown(void)
{
   vmb_gpuvm_clear(both.mirror);
   drop_deferred();
   vmb_gpuvm_unref(both.mirror);
   for (unsigned i = 0; i < BO_COUNT; i++) {
      PROP_CHECK(both.obj_refs[i] == 0);
      vmb_gpuvm_obj_finish(&both.objs[i]);
   }

   oracle_destroy(both.oracle);
   PROP_CHECK(oracle_warnings() == 0);
   PROP_CHECK(oracle_allocations() == 0);
}

/* -------------------------------------------------------------------- common */

/* The mirror's terms in the oracle's.  A null mapping has no offset that would mean anything. */
static struct oracle_mapping
to_oracle(const struct vmb_mapping *m)
{
   const bool is_null = m->flags & VMB_MAPPING_NULL;

   if (m->range_B == 0)
      return (struct oracle_mapping){ 0 };

   return (struct oracle_mapping){
      .addr_B = m->addr_B,
      .range_B = m->range_B,
      .offset_B = is_null ? 0 : m->offset_B,
      .bo = is_null ? ORACLE_NO_BO : both.handles[m->vm_bo->obj - both.objs],
      .flags = m->flags & COMPARED_FLAGS,
   };
}

static bool
same_mapping(const struct oracle_mapping *kernel, const struct oracle_mapping *mirror)
{
   return kernel->addr_B == mirror->addr_B && kernel->range_B == mirror->range_B &&
          kernel->bo == mirror->bo && kernel->flags == mirror->flags &&
          (kernel->bo == ORACLE_NO_BO || kernel->offset_B == mirror->offset_B);
}

static void
record(struct recorded *recorded, const struct oracle_step *step)
{
   PROP_CHECK(recorded->count < MAX_STEPS);
   recorded->steps[recorded->count++] = *step;
}

static void
oracle_step(const struct oracle_step *step, void *data)
{
   record(data, step);
}

static void
mirror_step(const struct vmb_step *step, void *data)
{
   static const enum oracle_step_type types[] = {
      [VMB_STEP_UNMAP] = ORACLE_STEP_UNMAP,
      [VMB_STEP_REMAP] = ORACLE_STEP_REMAP,
      [VMB_STEP_MAP] = ORACLE_STEP_MAP,
   };
   const struct oracle_step converted = {
      .type = types[step->type],
      .map = to_oracle(&step->map),
      .prev = to_oracle(&step->prev),
      .next = to_oracle(&step->next),
      .keep = step->keep,
   };

   record(data, &converted);
}

/* ------------------------------------------------------------------- compare */

static void
compare_steps(void)
{
   PROP_CHECK(oracle_steps.count == mirror_steps.count);
   for (size_t i = 0; i < oracle_steps.count; i++) {
      const struct oracle_step *k = &oracle_steps.steps[i], *m = &mirror_steps.steps[i];

      PROP_CHECK(k->type == m->type);
      PROP_CHECK(same_mapping(&k->map, &m->map));
      PROP_CHECK(k->keep == m->keep);
      PROP_CHECK(same_mapping(&k->prev, &m->prev));
      PROP_CHECK(same_mapping(&k->next, &m->next));
   }
}

static size_t
dump_mirror(uint64_t addr_B, uint64_t range_B)
{
   struct vmb_gpuvm_iter iter;
   struct vmb_mapping m;
   size_t count = 0;

   vmb_gpuvm_iter_init(both.mirror, &iter, addr_B, addr_B + range_B);
   while (vmb_gpuvm_iter_next(&iter, &m)) {
      PROP_CHECK(count < ARRAY_SIZE(mirror_maps));
      mirror_maps[count++] = to_oracle(&m);
   }
   return count;
}

/* Node for node, in pages [first, end). */
static void
compare_nodes(uint32_t first, uint32_t end)
{
   const uint64_t addr_B = VA_B + first * PAGE_B, range_B = (end - first) * PAGE_B;
   const size_t count =
      oracle_dump(both.oracle, addr_B, range_B, oracle_maps, ARRAY_SIZE(oracle_maps));

   PROP_CHECK(count == dump_mirror(addr_B, range_B));
   for (size_t i = 0; i < count; i++)
      PROP_CHECK(same_mapping(&oracle_maps[i], &mirror_maps[i]));
}

static void
compare_lookup(uint32_t page)
{
   const uint64_t addr_B = VA_B + page * PAGE_B + page % PAGE_B;
   struct oracle_mapping kernel;
   struct vmb_mapping found;
   const bool in_kernel = oracle_find(both.oracle, addr_B, &kernel);

   PROP_CHECK(in_kernel == vmb_gpuvm_find(both.mirror, addr_B, &found));
   if (in_kernel) {
      const struct oracle_mapping mirror = to_oracle(&found);
      PROP_CHECK(same_mapping(&kernel, &mirror));
   }
}

static size_t
mirror_evicted_count(void)
{
   return list_length(vmb_gpuvm_evicted(both.mirror));
}

static void
compare_vm_bos(void)
{
   for (unsigned i = 0; i < BO_COUNT; i++) {
      const struct vmb_gpuvm_bo *vm_bo = vmb_gpuvm_bo_find(both.mirror, &both.objs[i]);

      PROP_CHECK(oracle_bo_has_vm_bo(both.oracle, both.handles[i]) == (vm_bo != NULL));
      PROP_CHECK(oracle_bo_mapping_count(both.oracle, both.handles[i]) ==
                 (vm_bo ? vm_bo->mapping_count : 0));
      PROP_CHECK(both.obj_refs[i] == (vm_bo != NULL));
   }
}

static void
compare_all(void)
{
   vmb_gpuvm_check(both.mirror);
   PROP_CHECK(oracle_mapping_count(both.oracle) == vmb_gpuvm_mapping_count(both.mirror));
   compare_nodes(0, VA_PAGES);
   compare_vm_bos();
}

/* --------------------------------------------------------------------- apply */

static void
change(const struct vmb_gpuvm_req *req, const struct oracle_mapping *map)
{
   oracle_steps.count = 0;
   mirror_steps.count = 0;

   const int err = vmb_gpuvm_reserve(both.mirror, req, 1, NULL);
   if (!err) {
      vmb_gpuvm_foreach_step(both.mirror, req, mirror_step, &mirror_steps);
      if (req->unmap)
         vmb_gpuvm_unmap(both.mirror, req->map.addr_B, req->map.range_B, NULL);
      else
         vmb_gpuvm_map(both.mirror, &req->map, NULL);
   }

   oracle_set_step_fn(both.oracle, oracle_step, &oracle_steps);
   PROP_CHECK(err == (map ? oracle_map(both.oracle, map)
                          : oracle_unmap(both.oracle, req->map.addr_B, req->map.range_B)));
   oracle_set_step_fn(both.oracle, NULL, NULL);
   compare_steps();
}

static void
apply_map(const struct op *op, bool null)
{
   struct vmb_gpuvm_bo *vm_bo = NULL;
   struct vmb_gpuvm_req req = {
      .map.addr_B = VA_B + op->page * PAGE_B,
      .map.range_B = op->pages * PAGE_B,
      .map.flags = op->flags,
   };

   if (null) {
      req.map.flags |= VMB_MAPPING_NULL;
   } else {
      PROP_CHECK(vmb_gpuvm_bo_obtain(both.mirror, &both.objs[op->bo], op->bo >= BO_EXTERNAL,
                                     &vm_bo) == 0);
      req.map.vm_bo = vm_bo;
      req.map.offset_B = op->bo_page * PAGE_B;
   }

   const struct oracle_mapping map = to_oracle(&req.map);
   change(&req, &map);
   if (vm_bo)
      vmb_gpuvm_bo_put(vm_bo);
}

static void
apply_unmap(const struct op *op)
{
   const struct vmb_gpuvm_req req = {
      .map.addr_B = VA_B + op->page * PAGE_B,
      .map.range_B = op->pages * PAGE_B,
      .unmap = true,
   };

   change(&req, NULL);
}

static void
apply_unmap_bo(const struct op *op)
{
   struct vmb_gpuvm_bo *vm_bo = vmb_gpuvm_bo_find(both.mirror, &both.objs[op->bo]);

   PROP_CHECK(oracle_bo_unmap_all(both.oracle, both.handles[op->bo]) == 0);
   if (vm_bo)
      vmb_gpuvm_bo_unmap_all(vm_bo, NULL);
}

static void
apply_evict(const struct op *op, bool evict)
{
   struct vmb_gpuvm_bo *vm_bo = vmb_gpuvm_bo_find(both.mirror, &both.objs[op->bo]);

   oracle_bo_evict(both.oracle, both.handles[op->bo], evict);
   if (vm_bo)
      PROP_CHECK(vmb_gpuvm_bo_set_evicted(vm_bo, evict) == 0);
}

static void
apply_madvise(const struct op *op)
{
   const uint64_t addr_B = VA_B + op->page * PAGE_B, range_B = op->pages * PAGE_B;

   if (!oracle_has_madvise())
      return;

   const int err = oracle_madvise(both.oracle, addr_B, range_B, VMB_MAPPING_DUMP);
   PROP_CHECK(err == vmb_gpuvm_set_flags(both.mirror, addr_B, range_B, VMB_MAPPING_DUMP, 0, false));
}

static void
apply(const struct op *op)
{
   switch (op->kind) {
   case OP_MAP:
      apply_map(op, false);
      break;
   case OP_MAP_NULL:
      apply_map(op, true);
      break;
   case OP_UNMAP:
      apply_unmap(op);
      break;
   case OP_UNMAP_BO:
      apply_unmap_bo(op);
      break;
   case OP_EVICT:
   case OP_RESTORE:
      apply_evict(op, op->kind == OP_EVICT);
      break;
   case OP_MADVISE:
      apply_madvise(op);
      break;
   }
   drop_deferred();

   const uint64_t addr_B = VA_B + op->page * PAGE_B, range_B = op->pages * PAGE_B;
   PROP_CHECK(oracle_range_valid(both.oracle, addr_B, range_B) ==
              vmb_gpuvm_range_valid(both.mirror, addr_B, range_B));
   PROP_CHECK(oracle_extobj_count(both.oracle) == vmb_gpuvm_extobj_count(both.mirror));
   PROP_CHECK(oracle_evicted_count(both.oracle) == mirror_evicted_count());
   compare_lookup(op->look_page);
   compare_lookup(MIN2(op->page, VA_PAGES - 1));
   compare_nodes(op->page > 2 ? MIN2(op->page - 2, VA_PAGES - 1) : 0,
                 MIN2(op->page + op->pages + 2, VA_PAGES));
   if (++both.ops % COMPARE_INTERVAL == 0)
      compare_all();
}

/* The same operations on single pages, hardly ever removing much: trees of thousands of mappings. */
static struct op
made_small(const struct op *op)
{
   struct op small = *op;

   small.pages = 1 + op->pages % 2;
   small.page = op->look_page ^ 1;
   if (op->kind == OP_UNMAP_BO || (op->kind == OP_UNMAP && op->bo_page % 4))
      small.kind = OP_MAP;
   return small;
}

/* The same operations on tiles of one size in a part of the space, with a few others in between:
 * what the mirror keeps in a form of its own. */
static struct op
made_tile(const struct op *op, uint32_t tile_pages)
{
   struct op tile = *op;

   if (op->look_page % 64 == 0)
      return tile;
   tile.pages = tile_pages;
   tile.page = 2100 + op->look_page % 1500 * tile_pages;
   tile.flags = op->bo_page % 64 ? 0 : op->flags;
   if (op->kind == OP_UNMAP_BO || op->kind == OP_MAP_NULL || (op->kind == OP_UNMAP && op->bo % 2))
      tile.kind = OP_MAP;
   return tile;
}

enum shape { SHAPE_ANY, SHAPE_SMALL, SHAPE_TILES, SHAPE_COUNT };

static void
run(const void *data, size_t count)
{
   const struct op *ops = data;
   /* Says how the whole sequence is run. */
   const uint32_t variant = count > 0 ? ops[0].look_page : 0;
   const enum shape shape = variant / ORACLE_STYLE_COUNT % SHAPE_COUNT;
   enum oracle_style style = variant % ORACLE_STYLE_COUNT;

   if (!oracle_has_style(style))
      style = ORACLE_CALLBACKS;

   setup(style);
   for (size_t i = 0; i < count; i++) {
      const struct op op = shape == SHAPE_SMALL   ? made_small(&ops[i])
                           : shape == SHAPE_TILES ? made_tile(&ops[i], variant % 2 ? 4 : 1)
                                                  : ops[i];
      apply(&op);
   }
   compare_all();
   teardown();
}

int
main(int argc, char **argv)
{
   static const struct prop prop = {
      .name = "the mirror beside the kernel's drm_gpuvm",
      .op_size = sizeof(struct op),
      .generate = generate,
      .run = run,
      .print = print,
   };

   printf("kernel %s\n", oracle_kernel_version());
   return prop_main(&prop, argc, argv, 300, 10000);
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Random batches for the mirror and the planner; the page model judges.
 */

#include <stdio.h>

#include "tests/util/gpuvm_model.h"
#include "tests/util/prop.h"
#include "util/macros.h"

/* Tiles of one size, side by side: what the mirror keeps in another form than the rest.  Where
 * they are is always the same, so that they add up. */
static const struct region {
   uint32_t page, tiles, tile_pages;
} regions[] = {
   { 1000, 1300, 1 },
   { 4000, 600, 4 },
   { 16384, 500, 16 },
};

static void
make_tile(struct rng *rng, const struct region *region, bool odd, struct gpuvm_model_request *req)
{
   /* One region is of null tiles. */
   const bool null = (region == &regions[1]) != (odd && rng_one_in(rng, 6));

   req->kind = rng_one_in(rng, 5) ? KIND_UNMAP : null ? KIND_NULL : KIND_MAP;
   req->page = region->page + rng_below(rng, region->tiles) * region->tile_pages;
   req->pages = region->tile_pages;
   req->readonly = odd && rng_one_in(rng, 6);
   /* Of the same shape, but somewhere else. */
   if (rng_one_in(rng, 30)) {
      const uint32_t tiles = (GPUVM_MODEL_PAGES - region->page) / region->tile_pages;
      req->page = region->page + rng_below(rng, tiles) * region->tile_pages;
   }
   if (!odd)
      return;
   /* A tile and a half, or a part of one. */
   if (rng_one_in(rng, 3))
      req->pages = 1 + rng_below(rng, 2 * region->tile_pages);
   if (rng_one_in(rng, 6))
      req->page += rng_below(rng, region->tile_pages);
   /* Or what is beside. */
   if (rng_one_in(rng, 6))
      req->page = region->page - 600 + rng_below(rng, 3000);
   req->pages = MIN2(req->pages, GPUVM_MODEL_PAGES - req->page);
}

static void
generate(struct rng *rng, void *data)
{
   struct gpuvm_model_op *op = data;
   const bool tiles = !rng_one_in(rng, 3), odd = rng_one_in(rng, 12);
   const struct region *region = &regions[rng_below(rng, ARRAY_SIZE(regions))];
   /* Crowded together half of the time, so that requests meet. */
   const uint32_t around = rng_below(rng, GPUVM_MODEL_PAGES);
   const bool crowded = rng_one_in(rng, 2);

   op->how = rng_below(rng, 48);
   op->how = op->how < 16 ? APPLY_EACH : op->how < 31 ? APPLY_PLAN : op->how < 39 ? APPLY_UNDO
             : op->how < 41 ? UNMAP_BO : op->how < 45 ? SET_FLAGS : op->how < 46 ? EVICT : BULK;
   op->count = 1 + rng_below(rng, GPUVM_MODEL_BATCH);
   for (unsigned i = 0; i < op->count; i++) {
      struct gpuvm_model_request *req = &op->reqs[i];
      const unsigned kind = rng_below(rng, 10);

      req->kind = kind < 6 ? KIND_MAP : kind < 7 ? KIND_NULL : kind < 8 ? KIND_REPEAT : KIND_UNMAP;
      req->pages = 1 + rng_below(rng, rng_one_in(rng, 20) ? 2000 : rng_one_in(rng, 3) ? 30 : 3);
      req->page = crowded ? (around + rng_below(rng, 40)) % GPUVM_MODEL_PAGES : rng_below(rng, GPUVM_MODEL_PAGES);
      req->pages = MIN2(req->pages, GPUVM_MODEL_PAGES - req->page);
      req->bo = rng_below(rng, GPUVM_MODEL_BOS);
      /* Often the offset that continues its neighbours. */
      req->bo_page = rng_one_in(rng, 3) ? rng_below(rng, 8) : req->page;
      req->readonly = rng_one_in(rng, 10);
      if (tiles && op->how != UNMAP_BO)
         make_tile(rng, region, odd, req);
   }
   if (op->how == SET_FLAGS && tiles) {
      struct gpuvm_model_request *req = &op->reqs[0];
      req->pages *= 1 + rng_below(rng, 700);
      req->pages = MIN2(req->pages, GPUVM_MODEL_PAGES - req->page);
   }
}

static void
print(const void *data)
{
   static const char *const how[] = { "each", "plan", "undo", "unmap-bo", "evict", "set-flags", "bulk" };
   static const char *const kind[] = { "map", "null", "repeat", "unmap" };
   const struct gpuvm_model_op *op = data;

   printf("   %s:", how[op->how]);
   for (unsigned i = 0; i < op->count; i++) {
      const struct gpuvm_model_request *req = &op->reqs[i];
      printf(" %s[%u,+%u) bo%u@%u%s", kind[req->kind], req->page, req->pages, req->bo,
             req->bo_page, req->readonly ? " ro" : "");
   }
   printf("\n");
}

static void
run(const void *ops, size_t count)
{
   gpuvm_model_run(ops, count);
}

int
main(int argc, char **argv)
{
   static const struct prop prop = {
      .name = "gpuvm",
      .op_size = sizeof(struct gpuvm_model_op),
      .generate = generate,
      .run = run,
      .print = print,
   };

   return prop_main(&prop, argc, argv, 320, 500);
}

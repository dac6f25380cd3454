/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Random batches for the mirror and the planner; the page model judges.
 */

#include <stdio.h>

#include "tests/util/gpuvm_model.h"
#include "tests/util/prop.h"
#include "util/macros.h"

static void
generate(struct rng *rng, void *data)
{
   struct gpuvm_model_op *op = data;
   /* Crowded together half of the time, so that requests meet. */
   const uint32_t around = rng_below(rng, GPUVM_MODEL_PAGES);
   const bool crowded = rng_one_in(rng, 2);

   op->how = rng_below(rng, 24);
   op->how = op->how < 8 ? APPLY_EACH : op->how < 16 ? APPLY_PLAN : op->how < 20 ? APPLY_UNDO
             : op->how < 21 ? UNMAP_BO : op->how < 23 ? SET_FLAGS : EVICT;
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
   }
}

static void
print(const void *data)
{
   static const char *const how[] = { "each", "plan", "undo", "unmap-bo", "evict", "set-flags" };
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

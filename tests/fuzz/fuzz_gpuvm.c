/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The mirror and the planner under libFuzzer: the input is a sequence of batches, a few bytes a
 * request; the page model judges.  Built twice: with FUZZ_PLAN_ONLY every batch is planned, so that
 * the fuzzer's work goes into the planner.
 */

#include <stddef.h>
#include <stdint.h>

#include "tests/util/gpuvm_model.h"
#include "util/macros.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The most that one input may do: comparing everything costs O(pages). */
#define MAX_OPS      40
#define HEADER_BYTES 1
#define REQ_BYTES    6

static struct gpuvm_model_request
decode_request(const uint8_t *data)
{
   struct gpuvm_model_request req = {
      .kind = data[0] & 3,
      .readonly = (data[0] & 0x3c) == 0x3c,
      .bo = (data[0] >> 6) % GPUVM_MODEL_BOS,
      .page = (data[1] | data[2] << 8) % GPUVM_MODEL_PAGES,
      .pages = 1 + data[3] + (data[4] & 0x80 ? 256 : 0),
   };

   req.pages = MIN2(req.pages, GPUVM_MODEL_PAGES - req.page);
   /* The offset that continues its neighbours, moved a little or not. */
   req.bo_page = data[4] & 0x40 ? data[5] : req.page + (data[4] & 3);
   return req;
}

/* The same once more behind it, at a multiple of its size: few bytes make many tiles. */
static struct gpuvm_model_request
decode_next(const struct gpuvm_model_request *last, uint32_t stride)
{
   struct gpuvm_model_request req = *last;

   req.page = (last->page + last->pages * stride) % GPUVM_MODEL_PAGES;
   req.pages = MIN2(req.pages, GPUVM_MODEL_PAGES - req.page);
   req.bo_page += last->pages;
   return req;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
   static struct gpuvm_model_op ops[MAX_OPS];
   const uint8_t *end = data + size;
   size_t count = 0;

   while (count < MAX_OPS && end - data >= HEADER_BYTES + REQ_BYTES) {
      struct gpuvm_model_op *op = &ops[count++];
      const unsigned wanted = 1 + (data[0] >> 3) % GPUVM_MODEL_BATCH;

#ifdef FUZZ_PLAN_ONLY
      op->how = APPLY_PLAN;
#else
      op->how = (data[0] & 7) % (BULK + 1);
#endif
      data += HEADER_BYTES;
      op->count = 0;
      while (op->count < wanted && end - data >= REQ_BYTES) {
         op->reqs[op->count++] = decode_request(data);
         data += REQ_BYTES;
         for (unsigned i = 0; (data[-1] & 0x80) && i < GPUVM_MODEL_BATCH && op->count < wanted; i++) {
            op->reqs[op->count] = decode_next(&op->reqs[op->count - 1], 1 + (data[-1] & 3));
            op->count++;
         }
      }
   }
   gpuvm_model_run(ops, count);
   return 0;
}

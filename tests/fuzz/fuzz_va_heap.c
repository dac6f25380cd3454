/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The VA heap under libFuzzer: the input is a variant of the heap and then operations, a few bytes
 * each; the page map judges.
 */

#include <stddef.h>
#include <stdint.h>

#include "tests/util/va_heap_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The most that one input may do: comparing everything costs O(pages). */
#define MAX_OPS 600

/** Six bytes: what the format leaves out, the fuzzer need not guess. */
static struct va_op
decode(const uint8_t *data)
{
   struct va_op op = {
      .kind = data[0] & 7,
      .zone = data[0] >> 3 & 3,
      .packed = data[0] >> 5 & 1,
      .align_log2 = data[1] & 15,
      .step = data[1] >> 4,
      .fail_alloc = data[2] & 3,
      .offset_pages = data[2] >> 2,
      .pages = data[3],
      .which = data[4] | data[5] << 8,
   };

   /* Sizes on a scale: single pages, and what only the largest holes can give. */
   op.pages <<= data[0] >> 6 & 3 ? 2 * (data[0] >> 6) : 0;
   op.pages += data[0] >> 5 & 1;
   return op;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
   if (size < 1)
      return 0;

   struct va_model *model = va_model_create(data[0] % VA_MODEL_VARIANTS);
   const uint8_t *end = data + size;
   unsigned ops = 0;

   for (data++; end - data >= 6 && ops < MAX_OPS; data += 6, ops++) {
      const struct va_op op = decode(data);
      va_model_apply(model, &op);
   }
   va_model_compare_all(model);
   va_model_drain(model);
   va_model_destroy(model);
   return 0;
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The VA heap against an array with one byte a page: what the property test and
 * the fuzzer share.  Knows the heap's header only, not how it works.
 */

#ifndef TEST_VA_HEAP_MODEL_H
#define TEST_VA_HEAP_MODEL_H

#include <stddef.h>
#include <stdint.h>

enum va_op_kind {
   VA_OP_ALLOC,
   VA_OP_ALLOC_AT,
   VA_OP_FREE,
   VA_OP_FREE_DEFERRED,
   VA_OP_FREE_WRONG, /* an address or a size that was not allocated */
   VA_OP_RETIRE,
   VA_OP_LOOK,
   VA_OP_KIND_COUNT,
};

/** One operation.  Any content makes sense: numbers are taken modulo what there is. */
struct va_op {
   uint8_t kind;
   uint8_t zone;
   uint8_t align_log2; /* above the page size */
   uint8_t packed;
   uint8_t fail_alloc; /* if not 0: this allocation of memory fails */
   uint8_t step;       /* of the clock */
   uint16_t offset_pages;
   uint32_t pages;
   uint32_t which; /* page or allocation */
};

struct va_model;

/** Variant: bit 0 guards, bit 1 16 KiB pages, bit 2 top-down zones. */
#define VA_MODEL_VARIANTS 8
struct va_model *va_model_create(unsigned variant);
void va_model_destroy(struct va_model *model);

/** Applies an operation to both and aborts if they disagree. */
void va_model_apply(struct va_model *model, const struct va_op *op);

/** Compares everything, in O(pages). */
void va_model_compare_all(struct va_model *model);

/** Frees everything, at once and by retirement, and expects zones as at the start. */
void va_model_drain(struct va_model *model);

void va_op_print(const struct va_op *op);

#endif /* TEST_VA_HEAP_MODEL_H */

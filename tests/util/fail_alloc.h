/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * An allocator that fails when it is told to, for tests that link with
 * fail_alloc_link_args: the linker then sends every malloc, calloc and realloc
 * of the program (not of shared libraries) through here.
 */

#ifndef TEST_FAIL_ALLOC_H
#define TEST_FAIL_ALLOC_H

#include <stdbool.h>

/** The n-th allocation from now on fails, and only that one; the first is 1. */
void fail_alloc_arm(unsigned n);

/** The n-th allocation from now on fails, and all after it. */
void fail_alloc_arm_from(unsigned n);

/** Whether that allocation has come, and failed. */
bool fail_alloc_has_failed(void);

/** Back to normal.  Returns whether an allocation was made to fail. */
bool fail_alloc_disarm(void);

#endif /* TEST_FAIL_ALLOC_H */

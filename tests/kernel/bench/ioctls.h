/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Where the instructions of a measured piece go: its ioctls, each with what it cost, in the order in which
 * they came.  Must not know what they are for: host/cost.py names them.
 */

#ifndef BENCH_IOCTLS_H
#define BENCH_IOCTLS_H

#include "cost.h"

/** From here on; counting costs as well, so what is measured meanwhile is not to be compared. */
void ioctls_start(void);
/** Prints a line for each ioctl since, and one for all between them. */
void ioctls_print(const char *who, const char *pattern, unsigned pages);

#endif /* BENCH_IOCTLS_H */

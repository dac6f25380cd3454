/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What the kernel's code did to the stand-ins, for whoever drives it.
 */

#ifndef STAND_IN_H
#define STAND_IN_H

#include <stddef.h>

/** WARN_ON()s that were true, in this process. */
unsigned stand_in_warnings(void);

/** Allocations that are not freed yet. */
size_t stand_in_allocations(void);

#endif /* STAND_IN_H */

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Stand-in for the kernel's header: warnings are counted, and a test expects none.
 */

#ifndef STAND_IN_BUG_H
#define STAND_IN_BUG_H

#include <linux/compiler.h>

/** Counts and prints; returns true. */
bool stand_in_warn(const char *file, int line, const char *condition);

#define WARN_ON(condition)                                                                         \
   (unlikely(condition) ? stand_in_warn(__FILE__, __LINE__, #condition) : false)
#define WARN_ON_ONCE(condition) WARN_ON(condition)

#endif

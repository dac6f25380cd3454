/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Stand-in for the kernel's header.
 */

#ifndef STAND_IN_WW_MUTEX_H
#define STAND_IN_WW_MUTEX_H

#include <linux/mutex.h>

struct ww_acquire_ctx {
   int unused;
};

#endif

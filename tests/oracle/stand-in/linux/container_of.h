/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Stand-in for the kernel's header.
 */

#ifndef STAND_IN_CONTAINER_OF_H
#define STAND_IN_CONTAINER_OF_H

#include <linux/types.h>

#define container_of(member_ptr, type, member)                                                     \
   ((type *)((uintptr_t)(member_ptr)-offsetof(type, member)))

#endif

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Stand-in for the kernel's header: its names for integers.
 */

#ifndef STAND_IN_TYPES_H
#define STAND_IN_TYPES_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
/* Not uint64_t: the kernel prints these with %ll everywhere. */
typedef unsigned long long u64;
typedef unsigned int gfp_t;

struct list_head {
   struct list_head *next, *prev;
};

#endif

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Stand-in for the kernel's header: memory, counted.
 */

#ifndef STAND_IN_SLAB_H
#define STAND_IN_SLAB_H

#include <linux/types.h>

#define GFP_KERNEL 0u

void *kzalloc(size_t size, gfp_t gfp);
void *kmemdup(const void *src, size_t size, gfp_t gfp);
void kfree(const void *ptr);

/* Newer kernels; takes the object whose type it is, and flags that default. */
#define kzalloc_obj(object, ...) ((__typeof__(object) *)kzalloc(sizeof(object), GFP_KERNEL))

#endif

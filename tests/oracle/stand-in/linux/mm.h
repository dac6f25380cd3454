/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Stand-in for the kernel's header.
 */

#include <linux/bug.h>
#include <linux/export.h>
#include <linux/slab.h>

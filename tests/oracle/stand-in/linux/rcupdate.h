/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Stand-in for the kernel's header: what rbtree.h needs to publish a pointer.
 */

#ifndef STAND_IN_RCUPDATE_H
#define STAND_IN_RCUPDATE_H

#include <linux/compiler.h>

#define rcu_assign_pointer(ptr, value) __atomic_store_n(&(ptr), (value), __ATOMIC_RELEASE)
#define rcu_dereference_raw(ptr)       READ_ONCE(ptr)

#endif

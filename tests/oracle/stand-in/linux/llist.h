/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Stand-in for the kernel's header: a stack that several may push to.
 */

#ifndef STAND_IN_LLIST_H
#define STAND_IN_LLIST_H

#include <linux/compiler.h>

struct llist_node {
   struct llist_node *next;
};

struct llist_head {
   struct llist_node *first;
};

static inline void
init_llist_head(struct llist_head *head)
{
   head->first = NULL;
}

/** A node that points to itself is on no list. */
static inline void
init_llist_node(struct llist_node *node)
{
   node->next = node;
}

static inline bool
llist_on_list(const struct llist_node *node)
{
   return node->next != node;
}

static inline bool
llist_empty(const struct llist_head *head)
{
   return READ_ONCE(head->first) == NULL;
}

/** Returns whether the list was empty before. */
static inline bool
llist_add(struct llist_node *node, struct llist_head *head)
{
   node->next = __atomic_load_n(&head->first, __ATOMIC_RELAXED);
   while (!__atomic_compare_exchange_n(&head->first, &node->next, node, false, __ATOMIC_RELEASE,
                                       __ATOMIC_RELAXED))
      ;
   return node->next == NULL;
}

static inline struct llist_node *
llist_del_all(struct llist_head *head)
{
   return __atomic_exchange_n(&head->first, NULL, __ATOMIC_ACQUIRE);
}

#define llist_entry(ptr, type, member) container_of(ptr, type, member)

#define stand_in_llist_pos(node, pos, member)                                                      \
   ((node) ? llist_entry(node, __typeof__(*(pos)), member) : NULL)

#define llist_for_each_entry(pos, node, member)                                                    \
   for (pos = stand_in_llist_pos(node, pos, member); pos;                                          \
        pos = stand_in_llist_pos(pos->member.next, pos, member))

#define llist_for_each_entry_safe(pos, after, node, member)                                        \
   for (pos = stand_in_llist_pos(node, pos, member);                                               \
        pos && (after = stand_in_llist_pos(pos->member.next, pos, member), true); pos = after)

#endif

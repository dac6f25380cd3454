/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Stand-in for the kernel's header: circular doubly linked lists.
 */

#ifndef STAND_IN_LIST_H
#define STAND_IN_LIST_H

#include <linux/compiler.h>

#define LIST_HEAD(name) struct list_head name = { &(name), &(name) }

static inline void
INIT_LIST_HEAD(struct list_head *head)
{
   head->next = head;
   head->prev = head;
}

static inline void
stand_in_list_link(struct list_head *prev, struct list_head *entry, struct list_head *next)
{
   prev->next = entry;
   entry->prev = prev;
   entry->next = next;
   next->prev = entry;
}

static inline void
stand_in_list_unlink(struct list_head *entry)
{
   entry->prev->next = entry->next;
   entry->next->prev = entry->prev;
}

static inline void
list_add(struct list_head *entry, struct list_head *head)
{
   stand_in_list_link(head, entry, head->next);
}

static inline void
list_add_tail(struct list_head *entry, struct list_head *head)
{
   stand_in_list_link(head->prev, entry, head);
}

/* The kernel poisons what it deletes; NULL is as good at being caught. */
static inline void
list_del(struct list_head *entry)
{
   stand_in_list_unlink(entry);
   entry->next = NULL;
   entry->prev = NULL;
}

static inline void
list_del_init(struct list_head *entry)
{
   stand_in_list_unlink(entry);
   INIT_LIST_HEAD(entry);
}

static inline void
list_move_tail(struct list_head *entry, struct list_head *head)
{
   stand_in_list_unlink(entry);
   list_add_tail(entry, head);
}

static inline bool
list_empty(const struct list_head *head)
{
   return head->next == head;
}

static inline bool
list_is_last(const struct list_head *entry, const struct list_head *head)
{
   return entry->next == head;
}

/** Puts all of list, whose head is not reset, in front of head's entries. */
static inline void
list_splice(const struct list_head *list, struct list_head *head)
{
   if (list_empty(list))
      return;

   struct list_head *first = list->next, *last = list->prev, *next = head->next;
   head->next = first;
   first->prev = head;
   last->next = next;
   next->prev = last;
}

#define list_entry(ptr, type, member)        container_of(ptr, type, member)
#define list_first_entry(head, type, member) list_entry((head)->next, type, member)
#define list_last_entry(head, type, member)  list_entry((head)->prev, type, member)
#define list_next_entry(pos, member)         list_entry((pos)->member.next, __typeof__(*(pos)), member)
#define list_prev_entry(pos, member)         list_entry((pos)->member.prev, __typeof__(*(pos)), member)

#define list_for_each_entry(pos, head, member)                                                     \
   for (pos = list_first_entry(head, __typeof__(*pos), member); &pos->member != (head);            \
        pos = list_next_entry(pos, member))

#define list_for_each_entry_safe(pos, after, head, member)                                         \
   for (pos = list_first_entry(head, __typeof__(*pos), member),                                    \
       after = list_next_entry(pos, member);                                                       \
        &pos->member != (head); pos = after, after = list_next_entry(after, member))

#endif

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The state of a recorded process, made by playing its trace through mirrors of the tool's own: what was
 * bound where when the latest record was written.  It must not know what it is for.
 *
 * Records may come from anywhere: what makes no sense is refused and changes nothing.
 */

#ifndef VMBIND_SESSION_H
#define VMBIND_SESSION_H

#include "util/hash_table.h"
#include "util/list.h"
#include "util/rb_tree.h"

#include "vmbind/vmb_gpuvm.h"
#include "vmbind_source.h"

/* Each has a priv for whoever watches the session, NULL at first. */

struct session_device {
   struct list_head link;
   void *priv;
   struct vmb_trace_device info;
   char driver[TRACE_NAME_SIZE];
};

struct session_bo {
   struct vmb_gpuvm_obj obj;
   struct list_head link;
   struct session_device *device;
   void *priv;
   struct vmb_trace_bo info;
   char name[TRACE_NAME_SIZE];
};

struct session_range {
   struct rb_node node;
   void *priv;
   struct vmb_trace_range info;
   char name[TRACE_NAME_SIZE];
};

struct session_queue {
   struct list_head link;
   uint32_t queue;
   uint64_t submitted;
   uint64_t completed;
};

/** A submit that was not seen to complete. */
struct session_pending {
   struct list_head link;
   struct session_queue *queue;
   uint64_t point;
   uint64_t time_ns;
   uint32_t op_count;
   struct vmb_trace_op ops[];
};

struct session_vm {
   struct list_head link;
   struct session_device *device;
   void *priv;
   struct vmb_trace_vm info;
   /** What was submitted. */
   struct vmb_gpuvm *gpuvm;
   /** By address. */
   struct rb_tree ranges;
   struct list_head queues;
   struct list_head pending;
};

struct session {
   /** In the order in which they came into being; what is gone is not there. */
   struct list_head devices;
   struct list_head vms;
   struct list_head bos;
   /** By number. */
   struct hash_table *vm_by_id;
   struct hash_table *bo_by_id;
   /** Of the latest record. */
   uint64_t time_ns;
   /** What was wrong with a record that was refused. */
   const char *fault;
};

/**
 * A session in which nothing has happened yet, and the recording to play in it.
 * \param target  as in trace_source_open()
 * \return 0, or an exit status after a message
 */
int session_open(const char *target, struct trace_source *source, struct session **session_out);
void session_close(struct session *session, struct trace_source *source);

/** 0; -EPROTO a record that makes no sense (session->fault); -ENOMEM. */
int session_apply(struct session *session, const struct vmb_trace_record *record);

struct session_vm *session_find_vm(const struct session *session, uint32_t vm);
struct session_bo *session_find_bo(const struct session *session, uint32_t bo);
struct session_device *session_find_device(const struct session *session, uint32_t device);
/** The range that holds the address, or NULL. */
struct session_range *session_find_range(struct session_vm *vm, uint64_t addr_B);

static inline struct session_bo *
session_bo_of(const struct vmb_mapping *mapping)
{
   return mapping->vm_bo ? (struct session_bo *)((char *)mapping->vm_bo->obj -
                                                 offsetof(struct session_bo, obj))
                         : NULL;
}

/** Whether an operation on the address was not seen to complete. */
bool session_is_pending(const struct session_vm *vm, uint64_t addr_B, uint64_t end_B);

static inline bool
trace_op_touches(const struct vmb_trace_op *op, uint64_t addr_B)
{
   return addr_B - op->addr_B < op->range_B;
}

/** Sees each record; an exit status other than 0 ends the play. */
typedef int (*session_watch_fn)(struct session *session, const struct vmb_trace_record *record, void *data);

struct session_watch {
   /** Before and after the session has followed; may be NULL. */
   session_watch_fn before;
   session_watch_fn after;
   void *data;
};

/**
 * Plays all that a source has by now, up to a time of the recording; UINT64_MAX is all.
 * \param watch  may be NULL
 * \return 0, or an exit status after a message; the session is then what came before
 */
int session_play(struct session *session, struct trace_source *source, uint64_t until_ns,
                 const struct session_watch *watch);

#endif /* VMBIND_SESSION_H */

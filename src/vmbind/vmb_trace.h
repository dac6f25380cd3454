/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What was done: a bounded ring of the latest operations in memory, and, if the
 * environment variable VMBIND_TRACE names a file, a recording of everything from
 * the first device's creation on.  "%p" in the name stands for the process's id.
 *
 * All devices of a process share the recording; devices, VMs and BOs have numbers
 * in it that are never used twice.  It is a header and then records, each written with
 * one write() when the thing has happened, so that it is complete up to the last
 * whole record however the program ends.  It says enough to know the state of every VM at any
 * time, and to do the same again on another kernel driver.  Numbers are in the
 * machine's byte order, which the header's magic shows.
 *
 * The file is locked (flock) as long as its process has it open.
 */

#ifndef VMB_TRACE_H
#define VMB_TRACE_H

#include <stdio.h>

#include "vmb_vm.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------- the file's format */

#define VMB_TRACE_MAGIC   0x31656361727462ull /* "btrace1" */
#define VMB_TRACE_VERSION 2

struct vmb_trace_header {
   uint64_t magic;
   uint32_t version;
   uint32_t pid;
   /** CLOCK_REALTIME of time 0. */
   uint64_t start_ns;
   /** The process's name. */
   char program[16];
};

enum vmb_trace_type {
   VMB_TRACE_DEVICE = 1,
   VMB_TRACE_VM,
   VMB_TRACE_BO,
   VMB_TRACE_RANGE,
   VMB_TRACE_SUBMIT,
   VMB_TRACE_COMPLETE,
};

/** Starts every record. */
struct vmb_trace_record {
   /** Bytes of the whole record, a multiple of 8. */
   uint32_t size_B;
   /** enum vmb_trace_type */
   uint16_t type;
   /** DEVICE, VM, BO, RANGE: 1 if it came into being, 0 if it went. */
   uint16_t created;
   /** Since the first device was created. */
   uint64_t time_ns;
};

struct vmb_trace_device {
   struct vmb_trace_record record;
   uint32_t device;
   uint32_t driver_major;
   uint32_t driver_minor;
   uint32_t page_size_B;
   uint64_t va_start_B;
   uint64_t va_range_B;
   char driver[16];
};

struct vmb_trace_vm {
   struct vmb_trace_record record;
   uint32_t vm;
   uint32_t device;
   uint32_t kernel_id;
   uint32_t pad;
   uint64_t window_start_B;
   uint64_t window_range_B;
};

struct vmb_trace_bo {
   struct vmb_trace_record record;
   uint32_t bo;
   uint32_t device;
   uint32_t handle;
   /** The VM that it is private to, or 0. */
   uint32_t vm;
   uint64_t size_B;
   char name[48];
};

struct vmb_trace_range {
   struct vmb_trace_record record;
   uint32_t vm;
   /** enum vmb_unbound */
   uint32_t unbound;
   uint64_t addr_B;
   uint64_t size_B;
   char name[48];
};

enum vmb_trace_op_type {
   VMB_TRACE_OP_MAP,
   VMB_TRACE_OP_UNMAP,
   VMB_TRACE_OP_NULL,
};

struct vmb_trace_op {
   /** enum vmb_trace_op_type */
   uint16_t type;
   /** enum vmb_mapping_flags */
   uint16_t flags;
   uint32_t bo;
   uint64_t addr_B;
   uint64_t range_B;
   uint64_t bo_offset_B;
};

/** Who asked for a submit. */
enum vmb_trace_kind {
   /** vmb_queue_submit() */
   VMB_TRACE_KIND_QUEUE,
   /** vmb_vm_bind_sync() */
   VMB_TRACE_KIND_SYNC,
   /** A range that was made, or goes. */
   VMB_TRACE_KIND_RANGE,
   /** vmb_range_defragment(): its one bind is the range. */
   VMB_TRACE_KIND_DEFRAGMENT,
   /** The submit before it failed halfway: what takes it back. */
   VMB_TRACE_KIND_ROLLBACK,
   /** The kernel's own: it maps a BO at an address of its choice (vmb_vm_get_bo_addr()), which is a range
    * as long as it stays, and unmaps it when the BO goes. */
   VMB_TRACE_KIND_KERNEL,
};

struct vmb_trace_sync {
   uint32_t syncobj;
   uint32_t pad;
   /** 0: binary. */
   uint64_t point;
};

/** Followed by wait_count, then signal_count struct vmb_trace_sync; by
 * bind_count, then op_count struct vmb_trace_op. */
struct vmb_trace_submit {
   struct vmb_trace_record record;
   uint32_t vm;
   uint32_t queue;
   /** On the queue's timeline; 0: had completed on return. */
   uint64_t point;
   /** Binds, those that continue the one before joined to it, as operations; operations that the
    * kernel accepted; ioctls. */
   uint32_t bind_count;
   uint32_t op_count;
   uint32_t ioctl_count;
   uint32_t merged;
   uint32_t dropped;
   /** Of the user; and of other queues, found by the core. */
   uint32_t wait_count;
   uint32_t dependency_count;
   uint32_t signal_count;
   /** Negative errno, or 0. */
   int32_t result;
   /** enum vmb_trace_kind */
   uint32_t kind;
   /** Binds that were asked for. */
   uint32_t asked_count;
   uint32_t pad;
   /** From the call to the end of its last ioctl. */
   uint64_t duration_ns;
};

/** The arrays of a submit. */
const struct vmb_trace_sync *vmb_trace_submit_waits(const struct vmb_trace_submit *submit);
const struct vmb_trace_sync *vmb_trace_submit_signals(const struct vmb_trace_submit *submit);
const struct vmb_trace_op *vmb_trace_submit_binds(const struct vmb_trace_submit *submit);
const struct vmb_trace_op *vmb_trace_submit_ops(const struct vmb_trace_submit *submit);

struct vmb_trace_complete {
   struct vmb_trace_record record;
   uint32_t vm;
   uint32_t queue;
   uint64_t point;
};

/* ----------------------------------------------------------------- reading */

struct vmb_trace_reader;

/** \return 0; -errno of opening; -EINVAL not a trace; -EPROTO one of another
 *          version or byte order */
int vmb_trace_reader_open(const char *path, struct vmb_trace_reader **reader_out);
void vmb_trace_reader_close(struct vmb_trace_reader *reader);
/** Valid until the reader is updated. */
const struct vmb_trace_header *vmb_trace_reader_header(const struct vmb_trace_reader *reader);

enum vmb_trace_end {
   /** After a whole record. */
   VMB_TRACE_END_WHOLE,
   /** Inside a record: the program was killed, the disk full, or it writes just now. */
   VMB_TRACE_END_CUT,
   /** What follows is no record. */
   VMB_TRACE_END_DAMAGED,
};

/** The next record, valid until the next call of this or of update; NULL at the end, and *end_out says
 * what it looks like. */
const struct vmb_trace_record *vmb_trace_reader_next(struct vmb_trace_reader *reader,
                                                     enum vmb_trace_end *end_out);

/** Where the next record starts in the file. */
uint64_t vmb_trace_reader_offset_B(const struct vmb_trace_reader *reader);

/** The next record is the first one again. */
void vmb_trace_reader_rewind(struct vmb_trace_reader *reader);

/** After the end: sees what was written meanwhile.  -ENOMEM; -ESTALE if the file
 * became shorter: another process began it anew. */
int vmb_trace_reader_update(struct vmb_trace_reader *reader);

/* --------------------------------------------------------------------- ring */

/** Prints the latest operations, oldest first: those that touch addr_B, or all
 * with UINT64_MAX. */
void vmb_device_dump_ops(struct vmb_device *dev, FILE *file, uint64_t addr_B);

#ifdef __cplusplus
}
#endif

#endif /* VMB_TRACE_H */

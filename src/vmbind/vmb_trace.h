/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What was done, for people: a bounded ring of the latest operations in memory,
 * and, if the environment variable VMBIND_TRACE names a file, a recording of
 * everything from the device's creation on.
 *
 * All devices of a process share the recording; VMs and BOs have numbers of their
 * own in it.  It is a header, which describes the first device, and then records, each written with one write() when
 * the thing has happened, so that it is complete up to the last whole record
 * even if the program crashes.  Numbers are in the machine's byte order, which
 * the header's magic shows.
 */

#ifndef VMB_TRACE_H
#define VMB_TRACE_H

#include <stdio.h>

#include "vmb_vm.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vmb_trace;

/* ---------------------------------------------------------- the file's format */

#define VMB_TRACE_MAGIC   0x31656361727462ull /* "btrace1" */
#define VMB_TRACE_VERSION 1

struct vmb_trace_header {
   uint64_t magic;
   uint32_t version;
   uint32_t pid;
   char driver[16];
   uint32_t driver_major;
   uint32_t driver_minor;
   uint64_t va_start_B;
   uint64_t va_range_B;
   uint32_t page_size_B;
   uint32_t pad;
};

enum vmb_trace_type {
   VMB_TRACE_VM = 1,
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
   /** VM, BO, RANGE: 1 if it came into being, 0 if it went. */
   uint16_t created;
   /** Since the device was created. */
   uint64_t time_ns;
};

struct vmb_trace_vm {
   struct vmb_trace_record record;
   uint32_t vm;
   uint32_t kernel_id;
   uint64_t window_start_B;
   uint64_t window_range_B;
};

struct vmb_trace_bo {
   struct vmb_trace_record record;
   uint32_t bo;
   uint32_t handle;
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

/** Followed by op_count struct vmb_trace_op. */
struct vmb_trace_submit {
   struct vmb_trace_record record;
   uint32_t vm;
   uint32_t queue;
   uint64_t point;
   /** Binds asked for; operations sent; ioctls. */
   uint32_t bind_count;
   uint32_t op_count;
   uint32_t ioctl_count;
   uint32_t merged;
   uint32_t dropped;
   uint32_t wait_count;
   uint32_t signal_count;
   /** Negative errno, or 0. */
   int32_t result;
   /** From the call to the end of its last ioctl. */
   uint64_t duration_ns;
};

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
const struct vmb_trace_header *vmb_trace_reader_header(const struct vmb_trace_reader *reader);

/** The next record, valid until the next call; NULL at the end.  *truncated_out
 * says whether the file ends inside a record. */
const struct vmb_trace_record *vmb_trace_reader_next(struct vmb_trace_reader *reader,
                                                     bool *truncated_out);

/* --------------------------------------------------------------------- ring */

/** Prints the latest operations, oldest first: those that touch addr_B, or all
 * with UINT64_MAX. */
void vmb_device_dump_ops(struct vmb_device *dev, FILE *file, uint64_t addr_B);

/* ----------------------------------------------------- recording, by the core */

int vmb_trace_create(struct vmb_device *dev, struct vmb_trace **trace_out);
void vmb_trace_destroy(struct vmb_trace *trace);

void vmb_trace_vm(struct vmb_trace *trace, const struct vmb_vm *vm, uint64_t window_start_B,
                  uint64_t window_range_B, bool created);
void vmb_trace_bo(struct vmb_trace *trace, const struct vmb_bo *bo, bool created);
void vmb_trace_range(struct vmb_trace *trace, const struct vmb_range *range, bool created);

/** \p submit's record and op_count are filled in here. */
void vmb_trace_submit(struct vmb_trace *trace, struct vmb_trace_submit *submit,
                      const struct vmb_gpuvm_req *ops, uint32_t op_count);
void vmb_trace_complete(struct vmb_trace *trace, uint32_t vm, uint32_t queue, uint64_t point);

#ifdef __cplusplus
}
#endif

#endif /* VMB_TRACE_H */

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Where a trace comes from: a file, a process that is recording one, or the only such process.
 * There is no other way to ask a process: what it records is all that is known of it, alive or not.
 */

#ifndef VMBIND_SOURCE_H
#define VMBIND_SOURCE_H

#include <sys/types.h>

#include "vmbind/vmb_trace.h"

#define TRACE_NAME_SIZE 49

/** A name of a record, which may be anything, as a string that a terminal can be given. */
void trace_copy_name(char out[TRACE_NAME_SIZE], const char *name, size_t size);

struct trace_source {
   struct vmb_trace_reader *reader;
   struct vmb_trace_header header;
   /** The process's name. */
   char program[TRACE_NAME_SIZE];
   /** As it was found; the caller's as long as the source. */
   char *path;
};

/**
 * \param target  the name of a file, or a process's number, or NULL for the only process of this user
 *                that records
 * \return 0, or an exit status after a message
 */
int trace_source_open(const char *target, struct trace_source *source_out);
void trace_source_close(struct trace_source *source);

/** Whether the process that records it is still there. */
bool trace_source_is_live(const struct trace_source *source);

/**
 * At the end of the records: 0 if all was well, or an exit status after a message.  A trace that is cut off
 * is only mentioned, and that not if its process is still writing.
 */
int trace_source_check_end(const struct trace_source *source, enum vmb_trace_end end);

#endif /* VMBIND_SOURCE_H */

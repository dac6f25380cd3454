/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Opening a trace, for the commands that read one.
 */

#ifndef VMBIND_TRACE_H
#define VMBIND_TRACE_H

#include "vmbind/vmb_trace.h"

/** 0, or an exit status after a message. */
int tool_open_trace(const char *path, struct vmb_trace_reader **reader_out);

/** Says that the trace is cut off; returns an exit status. */
int tool_truncated(const char *path);

#endif /* VMBIND_TRACE_H */

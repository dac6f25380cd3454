/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What the commands of the vmbind tool share.  Every command prints what is wrong in one line,
 * with what would help, and gives an exit status:
 *
 *    0  done    1  could not be done    2  wrong usage    126, 127  run, sim: CMD cannot be run
 */

#ifndef VMBIND_TOOL_H
#define VMBIND_TOOL_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/macros.h"

#define TOOL_FAILED 1
#define TOOL_USAGE  2

/** Prints "vmbind: ..." to stderr; returns \p status. */
int tool_error(int status, const char *format, ...) PRINTFLIKE(2, 3);

/** Prints "vmbind COMMAND: ..." and where to find help; returns TOOL_USAGE. */
int tool_usage_error(const char *command, const char *format, ...) PRINTFLIKE(2, 3);

/** 0, or -EINVAL. */
int tool_parse_seconds(const char *text, uint64_t *ns_out);

/** The kernel drivers that the simulator knows, for messages. */
bool tool_kmd_known(const char *kmd);
const char *tool_kmd_names(void);

/** Where things are, in the build tree or installed; 0 or a status after a message. */
int tool_find_simulator(char *path, size_t size);
int tool_find_icd(char *path, size_t size);

/** Sets the environment for a simulated node.  0 or a status after a message. */
int tool_use_simulator(const char *kmd);

/** Sets the environment in which OpenGL programs find the driver "vmbind", or Mesa's "zink", which
 * needs a Vulkan driver besides.  0 or a status after a message. */
int tool_use_gl(const char *driver);

int cmd_run(int argc, char **argv);
int cmd_sim(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_trace(int argc, char **argv);
int cmd_map(int argc, char **argv);
int cmd_dump(int argc, char **argv);
int cmd_who(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_replay(int argc, char **argv);

#endif /* VMBIND_TOOL_H */

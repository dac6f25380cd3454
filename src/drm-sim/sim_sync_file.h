/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Sync files: a fence as a file that can be polled, merged and asked (linux/sync_file.h). Must know
 * nothing of DRM.
 */

#ifndef SIM_SYNC_FILE_H
#define SIM_SYNC_FILE_H

#include "sim_fence.h"

/* A new fd, close-on-exec, or a negative errno. Takes a reference of its own. */
int sim_sync_file_create(struct sim_fence *fence, const char *name);

/* The fence inside, with a reference, or NULL if the fd is not a sync file. */
struct sim_fence *sim_sync_file_get_fence(int fd);

/* ioctl() on a sync file: 0 or a negative errno; -ENOTTY also if the fd is no sync file. */
int sim_sync_file_ioctl(int fd, unsigned long request, void *arg);

#endif /* SIM_SYNC_FILE_H */

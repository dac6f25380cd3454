/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Synchronisation objects, as drm_syncobj: a place for a fence, with handles in files. Must know
 * nothing of drivers; they use the functions below and never the ioctls.
 */

#ifndef SIM_SYNCOBJ_H
#define SIM_SYNCOBJ_H

#include <stdint.h>

#include "sim_fence.h"

struct sim_file;
struct sim_syncobj;

struct sim_syncobj *sim_syncobj_get(struct sim_syncobj *syncobj);
void sim_syncobj_put(struct sim_syncobj *syncobj);

/* With a reference, or NULL */
struct sim_syncobj *sim_syncobj_find(struct sim_file *file, uint32_t handle);

/* drm_syncobj_find_fence() without waiting: -ENOENT for no such handle, -EINVAL for no fence yet.
 * On success a reference in *fence.
 */
int sim_syncobj_find_fence(struct sim_file *file, uint32_t handle, uint64_t point,
                           struct sim_fence **fence);

/* Point 0 replaces the fence (NULL resets), others add to the timeline. */
void sim_syncobj_replace_fence(struct sim_syncobj *syncobj, struct sim_fence *fence);
void sim_syncobj_add_point(struct sim_syncobj *syncobj, struct sim_fence *fence, uint64_t point);

/* The end of a file */
void sim_syncobj_release_file(struct sim_file *file);

int sim_syncobj_create_ioctl(struct sim_file *file, void *data);
int sim_syncobj_destroy_ioctl(struct sim_file *file, void *data);
int sim_syncobj_handle_to_fd_ioctl(struct sim_file *file, void *data);
int sim_syncobj_fd_to_handle_ioctl(struct sim_file *file, void *data);
int sim_syncobj_transfer_ioctl(struct sim_file *file, void *data);
int sim_syncobj_wait_ioctl(struct sim_file *file, void *data);
int sim_syncobj_timeline_wait_ioctl(struct sim_file *file, void *data);
int sim_syncobj_eventfd_ioctl(struct sim_file *file, void *data);
int sim_syncobj_reset_ioctl(struct sim_file *file, void *data);
int sim_syncobj_signal_ioctl(struct sim_file *file, void *data);
int sim_syncobj_timeline_signal_ioctl(struct sim_file *file, void *data);
int sim_syncobj_query_ioctl(struct sim_file *file, void *data);

#endif /* SIM_SYNCOBJ_H */

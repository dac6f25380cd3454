/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The kernel's software timelines for tests (debugfs sync/sw_sync, also /dev/sw_sync): sync files
 * whose fences signal when the program says so. Must know nothing of DRM.
 */

#ifndef SIM_SW_SYNC_H
#define SIM_SW_SYNC_H

#define SIM_SW_SYNC_MAGIC 'W'

/* A new timeline: an fd or a negative errno */
int sim_sw_sync_open(int flags);

/* ioctl() on a timeline: 0 or a negative errno */
int sim_sw_sync_ioctl(int fd, unsigned long request, void *arg);

#endif /* SIM_SW_SYNC_H */

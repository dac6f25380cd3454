/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Processes that were forked and did not exec. A simulator is threads and memory, of which they
 * have only a dead copy; so they ask the process that they come from, as if that were the kernel.
 * It executes their calls in threads of its own, with them as the caller (sim_caller). When it is
 * gone, so is the device. Must know nothing of DRM.
 */

#ifndef SIM_REMOTE_H
#define SIM_REMOTE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What the asked process does for those that ask; set once, before the first fork. */
struct sim_remote_ops {
   /* An fd as sim_caller_give_fd() returns it, or a negative errno */
   int (*open)(const char *path, int flags);
   /* True if the fd is one of ours, and then in *ret what the ioctl returns */
   bool (*ioctl)(int fd, unsigned long request, void *arg, int *ret);
   /* The same for mmap(); *map is MAP_FAILED with errno. */
   bool (*mmap)(int fd, void *addr, size_t length, int prot, int flags, off_t offset, void **map);
   /* The minor number of the node that an fd is of, or a negative errno */
   int (*node_minor)(int fd);
};

/* From here on, processes that this one forks will ask it. */
void sim_remote_prepare(const struct sim_remote_ops *ops);

/* Whether this process is such a one */
bool sim_remote_is_active(void);

/* For it: as in struct sim_remote_ops. */
int sim_remote_open(const char *path, int flags);
bool sim_remote_ioctl(int fd, unsigned long request, void *arg, int *ret);
bool sim_remote_mmap(int fd, void *addr, size_t length, int prot, int flags, off_t offset,
                     void **map);
int sim_remote_node_minor(int fd);

/* For the asked process, in the middle of a call: what only the caller can do. */
int sim_remote_give_fd(int socket, int fd);
int sim_remote_fetch_fd(int socket, int number);
void *sim_remote_map(int socket, void *addr, size_t length, int prot, int flags, int fd,
                     off_t offset);

#endif /* SIM_REMOTE_H */

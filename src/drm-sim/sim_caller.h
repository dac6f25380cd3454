/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * On whose behalf the simulator runs: this process, or one that it forked and that has no simulator
 * of its own (sim_remote). Everything that a kernel would do to the current process goes through
 * here: its memory, its descriptors, its address space. Must know nothing of DRM.
 */

#ifndef SIM_CALLER_H
#define SIM_CALLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A forked process whose request this thread serves, and the socket on which it waits */
struct sim_caller {
   pid_t pid;
   uid_t uid;
   int socket;
};

/* NULL: this process again. */
void sim_caller_set(const struct sim_caller *caller);

pid_t sim_caller_pid(void);

/* CAP_SYS_ADMIN, near enough */
bool sim_caller_is_admin(void);

/* As a kernel's oops ends the task that caused it: returns only if that is this process. */
void sim_caller_die(void);

/* It no longer waits: a signal ended its call, or its life. */
bool sim_caller_is_gone(void);

/* Makes an fd of this process the caller's, and returns its number there, or a negative errno. */
int sim_caller_give_fd(int fd);

/* Takes back what sim_caller_give_fd() returned. */
void sim_caller_close_fd(int fd);

/* An fd of the caller's, as one of this process, close-on-exec: negative errno. */
int sim_caller_dup_fd(int fd);

/* Where its file is to be found */
void sim_caller_fd_path(int fd, char *path, size_t size);

/* mmap() in the caller's address space of an fd of this process: MAP_FAILED and errno. */
void *sim_caller_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset);

#endif /* SIM_CALLER_H */

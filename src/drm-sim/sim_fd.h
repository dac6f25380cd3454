/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * File descriptors of the simulator's own kinds. They are real ones, so that dup(), poll(), fork()
 * and SCM_RIGHTS work on them as on any; which are ours is told by the inode and not by the number.
 * An object lives until the last descriptor of it is closed, wherever that is: the simulator holds
 * the other end of a pipe or socket pair and sees it hang up. Must know nothing of DRM.
 */

#ifndef SIM_FD_H
#define SIM_FD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum sim_fd_type {
   SIM_FD_NODE,
   SIM_FD_SYNC_FILE,
   SIM_FD_SYNCOBJ,
   SIM_FD_SW_SYNC,
   SIM_FD_BO,
};

struct sim_fd_ops {
   enum sim_fd_type type;
   /* Called with the registry locked; false when the object is already on its way out. */
   bool (*get)(void *object);
   /* The last descriptor is closed; the reference that sim_fd_create() took over goes away. */
   void (*release)(void *object);
};

/* An fd for the program, close-on-exec if asked, that stands for object, and takes over a
 * reference. A sync file's can be polled: see sim_fd_set_readable(). Negative errno on failure, and
 * the reference stays the caller's.
 */
int sim_fd_create(const struct sim_fd_ops *ops, void *object, bool cloexec);

/* From now on, the fd of this object polls as readable, and tells processes that know no more of it
 * the error (0 or a negative errno).
 */
void sim_fd_set_readable(const struct sim_fd_ops *ops, void *object, int error);

/* Whether an fd is a sync file of another process's simulator */
bool sim_fd_is_foreign_sync_file(int fd);

/* Sleeps until that one is readable; the error that it tells, or -EPIPE if its process ended before. */
int sim_fd_wait_for_foreign(int fd);

/* The object that an fd stands for, with a reference; NULL if it is none of this kind. */
void *sim_fd_lookup(int fd, const struct sim_fd_ops *ops);

bool sim_fd_is(int fd, enum sim_fd_type type);

/* Whether the end of this fd may be the end of an object */
bool sim_fd_has_lifetime(int fd);

/* A file that is an object of its own (a BO's memfd): known by its inode, without lifetime. */
void sim_fd_register_file(int fd, const struct sim_fd_ops *ops, void *object);
void sim_fd_unregister_file(int fd);

/* For a fork: the registry is locked meanwhile; the forked process lets go of the ends that are
 * held (with the registry locked), so that what it has of objects are descriptors like any.
 */
void sim_fd_lock(void);
void sim_fd_unlock(void);
void sim_fd_forget_ends(void);

/* Looks for objects whose last descriptor is closed. */
void sim_fd_sweep(void);

#endif /* SIM_FD_H */

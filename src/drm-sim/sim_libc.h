/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The C library behind the interposed functions, memory of the program as a kernel sees it (every
 * address may be bad), and fd numbers out of the program's way. Must know nothing of DRM.
 */

#ifndef SIM_LIBC_H
#define SIM_LIBC_H

#include <dirent.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>

struct statx;

struct sim_libc {
   int (*openat)(int dirfd, const char *path, int flags, ...);
   int (*close)(int fd);
   int (*ioctl)(int fd, unsigned long request, ...);
   void *(*mmap)(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
   int (*munmap)(void *addr, size_t length);
   void *(*mremap)(void *addr, size_t old_length, size_t length, int flags, ...);
   int (*madvise)(void *addr, size_t length, int advice);
   int (*fstatat)(int dirfd, const char *path, struct stat *st, int flags);
   int (*statx)(int dirfd, const char *path, int flags, unsigned int mask, struct statx *stx);
   int (*faccessat)(int dirfd, const char *path, int mode, int flags);
   ssize_t (*readlinkat)(int dirfd, const char *path, char *buf, size_t size);
   char *(*realpath)(const char *path, char *resolved);
   FILE *(*fopen)(const char *path, const char *mode);
   DIR *(*opendir)(const char *path);
   DIR *(*fdopendir)(int fd);
   struct dirent *(*readdir)(DIR *dir);
   int (*closedir)(DIR *dir);
   void (*rewinddir)(DIR *dir);
   int (*dirfd)(DIR *dir);
   int (*sigaction)(int signum, const struct sigaction *act, struct sigaction *old);
};

/* The functions that come after ours in the search order: libc's, or a sanitizer's. */
const struct sim_libc *sim_libc(void);

/* Copy from and to the program: 0, or -EFAULT where it has no such memory. */
int sim_copy_in(void *dst, uint64_t user_src, size_t size);
int sim_copy_out(uint64_t user_dst, const void *src, size_t size);

/* A copy of count elements of the program's, each of stride bytes of which at most elem_size are
 * taken (the rest of an element is zero). NULL and *err on failure; NULL and 0 for none.
 */
void *sim_copy_in_array(uint64_t user_src, uint32_t count, size_t stride, size_t elem_size,
                        int *err);

/* Moves an fd that only the simulator uses above the low numbers that programs count on. */
int sim_hide_fd(int fd);

uint64_t sim_now_ns(void);

/* A thread of the simulator's own, for which the program's signals are not; false if there can be none. */
bool sim_start_thread(void *(*fn)(void *), void *arg);

/* One line on stderr that names the simulator. */
void sim_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same, and the end with status 2: for settings that say nothing sensible. */
void sim_refuse(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* The same, and the end: for what a real kernel would not have survived. */
void sim_panic(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif /* SIM_LIBC_H */

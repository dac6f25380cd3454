/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The C library's functions that libdrm and drivers call, under the C library's names: what is
 * about the simulated node stays here, all else goes on to the next in line. Must know nothing of
 * what happens behind a file.
 */

/* Both names of a function are defined here: neither may be renamed to the other, nor be inlined. */
#undef _FILE_OFFSET_BITS
#undef _TIME_BITS
#undef _FORTIFY_SOURCE
#define _LARGEFILE64_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/sync_file.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "drm-uapi/drm.h"
#include "util/macros.h"

#include "sim_device.h"
#include "sim_drop.h"
#include "sim_evict.h"
#include "sim_fd.h"
#include "sim_gem.h"
#include "sim_libc.h"
#include "sim_mmu.h"
#include "sim_remote.h"
#include "sim_segv.h"
#include "sim_sw_sync.h"
#include "sim_sync_file.h"
#include "sim_vfs.h"

/* ThreadSanitizer calls into the C library before it is ready for instrumented code. */
#define EXPORT PUBLIC __attribute__((used, no_sanitize("thread")))

/* On the 64-bit hosts that this runs on, both structures are one. */
_Static_assert(sizeof(struct stat) == sizeof(struct stat64), "stat64");
_Static_assert(sizeof(struct dirent) == sizeof(struct dirent64), "dirent64");

/* Until then, a sanitizer's start-up goes straight to the kernel. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
static bool is_started;

__attribute__((constructor)) static void
start(void)
{
   is_started = true;
}
#else
static const bool is_started = true;
#endif

#define BEFORE_START(...)                                                                          \
   do {                                                                                            \
      if (!is_started)                                                                             \
         return syscall(__VA_ARGS__);                                                              \
   } while (0)

static int
result(int ret)
{
   if (ret < 0) {
      errno = -ret;
      return -1;
   }
   return ret;
}

/* Opening */

static int
open_ours(const struct sim_vfs_entry *entry, int flags)
{
   switch (entry->kind) {
   case SIM_VFS_NODE:
      return sim_file_open(SIM_RENDER_MINOR, flags);
   case SIM_VFS_PRIMARY_NODE:
      return sim_file_open(SIM_PRIMARY_MINOR, flags);
   default:
      return sim_sw_sync_open(flags);
   }
}

/* What forked processes ask of this one, which answers as the interposed functions do. */

static int
remote_open(const char *path, int flags)
{
   struct sim_vfs_entry entry = sim_vfs_find(path);

   return open_ours(&entry, flags);
}

static bool dispatch_ioctl(int fd, unsigned long request, void *arg, int *ret);
static bool dispatch_mmap(int fd, void *addr, size_t length, int prot, int flags, off_t offset,
                          void **map);

static const struct sim_remote_ops remote_ops = {
   .open = remote_open,
   .ioctl = dispatch_ioctl,
   .mmap = dispatch_mmap,
   .node_minor = sim_file_minor,
};

static int
open_device(const struct sim_vfs_entry *entry, int flags)
{
   if (sim_remote_is_active())
      return sim_remote_open(entry->path, flags);
   sim_remote_prepare(&remote_ops);
   return open_ours(entry, flags);
}

static int
open_path(int dirfd, const char *path, int flags, mode_t mode)
{
   struct sim_vfs_entry entry = sim_vfs_find_at(dirfd, path);

   switch (entry.kind) {
   case SIM_VFS_FOREIGN:
      return sim_libc()->openat(dirfd, path, flags, mode);
   case SIM_VFS_NODE:
   case SIM_VFS_PRIMARY_NODE:
   case SIM_VFS_SW_SYNC:
      return result(open_device(&entry, flags));
   case SIM_VFS_FILE:
      return result(sim_vfs_open_file(&entry));
   case SIM_VFS_NONE:
      return result(-ENOENT);
   case SIM_VFS_DIR:
      return result(sim_vfs_open_dir(&entry, flags));
   default:
      return result(flags & O_NOFOLLOW ? -ELOOP : -EISDIR);
   }
}

#define OPEN_MODE(flags, last)                                                                     \
   ({                                                                                              \
      mode_t mode_ = 0;                                                                            \
      if (((flags)&O_CREAT) || ((flags)&O_TMPFILE) == O_TMPFILE) {                                 \
         va_list args_;                                                                            \
         va_start(args_, last);                                                                    \
         mode_ = va_arg(args_, unsigned int);                                                      \
         va_end(args_);                                                                            \
      }                                                                                            \
      mode_;                                                                                       \
   })

EXPORT int
open(const char *path, int flags, ...)
{
   BEFORE_START(SYS_openat, AT_FDCWD, path, flags, 0);
   return open_path(AT_FDCWD, path, flags, OPEN_MODE(flags, flags));
}

EXPORT int
open64(const char *path, int flags, ...)
{
   BEFORE_START(SYS_openat, AT_FDCWD, path, flags, 0);
   return open_path(AT_FDCWD, path, flags, OPEN_MODE(flags, flags));
}

EXPORT int
openat(int dirfd, const char *path, int flags, ...)
{
   BEFORE_START(SYS_openat, dirfd, path, flags, 0);
   return open_path(dirfd, path, flags, OPEN_MODE(flags, flags));
}

EXPORT int
openat64(int dirfd, const char *path, int flags, ...)
{
   BEFORE_START(SYS_openat, dirfd, path, flags, 0);
   return open_path(dirfd, path, flags, OPEN_MODE(flags, flags));
}

/* What fortified programs call */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dirfd, const char *path, int flags);
int __openat64_2(int dirfd, const char *path, int flags);

EXPORT int
__open_2(const char *path, int flags)
{
   return open_path(AT_FDCWD, path, flags, 0);
}

EXPORT int
__open64_2(const char *path, int flags)
{
   return open_path(AT_FDCWD, path, flags, 0);
}

EXPORT int
__openat_2(int dirfd, const char *path, int flags)
{
   return open_path(dirfd, path, flags, 0);
}

EXPORT int
__openat64_2(int dirfd, const char *path, int flags)
{
   return open_path(dirfd, path, flags, 0);
}

static FILE *
fopen_path(const char *path, const char *mode)
{
   struct sim_vfs_entry entry = sim_vfs_find(path);

   if (entry.kind == SIM_VFS_FOREIGN)
      return sim_libc()->fopen(path, mode);

   int fd = open_path(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
   return fd < 0 ? NULL : fdopen(fd, "r");
}

EXPORT FILE *
fopen(const char *path, const char *mode)
{
   return fopen_path(path, mode);
}

EXPORT FILE *
fopen64(const char *path, const char *mode)
{
   return fopen_path(path, mode);
}

EXPORT int
close(int fd)
{
   BEFORE_START(SYS_close, fd);

   bool ours = sim_fd_has_lifetime(fd);
   int ret = sim_libc()->close(fd);

   /* At once, so that the end of a file is where the program put it. */
   if (ours) {
      int saved_errno = errno;
      sim_fd_sweep();
      errno = saved_errno;
   }
   return ret;
}

/* Asking about files */

static bool
is_socket(int fd)
{
   struct stat st;

   return sim_libc()->fstatat(fd, "", &st, AT_EMPTY_PATH) == 0 && S_ISSOCK(st.st_mode);
}

/* The minor number if it is a node that is asked about, or a negative errno. A path of NULL is for
 * new kernels what an empty one always was.
 */
static int
minor_asked_about(int dirfd, const char *path, int flags)
{
   if (!(flags & AT_EMPTY_PATH) || (path && *path))
      return -ENOTTY;
   if (sim_remote_is_active())
      return is_socket(dirfd) ? sim_remote_node_minor(dirfd) : -ENOTTY;
   return sim_fd_is(dirfd, SIM_FD_NODE) ? sim_file_minor(dirfd) : -ENOTTY;
}

static int
stat_at(int dirfd, const char *path, struct stat *st, int flags)
{
   struct sim_vfs_entry entry = sim_vfs_find_at(dirfd, path);
   int minor = minor_asked_about(dirfd, path, flags);

   if (minor >= 0) {
      sim_vfs_stat_node(minor, st);
      return 0;
   }
   if (entry.kind == SIM_VFS_FOREIGN)
      return sim_libc()->fstatat(dirfd, path, st, flags);
   if (entry.kind == SIM_VFS_NONE)
      return result(-ENOENT);
   sim_vfs_stat(&entry, st);
   return 0;
}

/* Aliases of one function, because glibc has had them under all these names. */
#define STAT_FUNCTIONS(suffix, type)                                                               \
   EXPORT int stat##suffix(const char *path, struct type *st)                                      \
   {                                                                                               \
      BEFORE_START(SYS_newfstatat, AT_FDCWD, path, st, 0);                                         \
      return stat_at(AT_FDCWD, path, (struct stat *)st, 0);                                        \
   }                                                                                               \
   EXPORT int lstat##suffix(const char *path, struct type *st)                                     \
   {                                                                                               \
      return stat_at(AT_FDCWD, path, (struct stat *)st, AT_SYMLINK_NOFOLLOW);                      \
   }                                                                                               \
   EXPORT int fstat##suffix(int fd, struct type *st)                                               \
   {                                                                                               \
      BEFORE_START(SYS_fstat, fd, st);                                                             \
      return stat_at(fd, "", (struct stat *)st, AT_EMPTY_PATH);                                    \
   }                                                                                               \
   EXPORT int fstatat##suffix(int dirfd, const char *path, struct type *st, int flags)             \
   {                                                                                               \
      return stat_at(dirfd, path, (struct stat *)st, flags);                                       \
   }                                                                                               \
   int __xstat##suffix(int version, const char *path, struct type *st);                            \
   EXPORT int __xstat##suffix(UNUSED int version, const char *path, struct type *st)               \
   {                                                                                               \
      return stat_at(AT_FDCWD, path, (struct stat *)st, 0);                                        \
   }                                                                                               \
   int __lxstat##suffix(int version, const char *path, struct type *st);                           \
   EXPORT int __lxstat##suffix(UNUSED int version, const char *path, struct type *st)              \
   {                                                                                               \
      return stat_at(AT_FDCWD, path, (struct stat *)st, AT_SYMLINK_NOFOLLOW);                      \
   }                                                                                               \
   int __fxstat##suffix(int version, int fd, struct type *st);                                     \
   EXPORT int __fxstat##suffix(UNUSED int version, int fd, struct type *st)                        \
   {                                                                                               \
      return stat_at(fd, "", (struct stat *)st, AT_EMPTY_PATH);                                    \
   }

STAT_FUNCTIONS(, stat)
STAT_FUNCTIONS(64, stat64)

static void
statx_from_stat(const struct stat *st, struct statx *stx)
{
   memset(stx, 0, sizeof(*stx));
   stx->stx_mask = STATX_BASIC_STATS;
   stx->stx_blksize = st->st_blksize;
   stx->stx_nlink = st->st_nlink;
   stx->stx_mode = st->st_mode;
   stx->stx_ino = st->st_ino;
   stx->stx_size = st->st_size;
   stx->stx_rdev_major = major(st->st_rdev);
   stx->stx_rdev_minor = minor(st->st_rdev);
   stx->stx_dev_major = major(st->st_dev);
   stx->stx_dev_minor = minor(st->st_dev);
}

EXPORT int
statx(int dirfd, const char *path, int flags, unsigned int mask, struct statx *stx)
{
   struct stat st;

   if (minor_asked_about(dirfd, path, flags) < 0 &&
       sim_vfs_find_at(dirfd, path).kind == SIM_VFS_FOREIGN)
      return sim_libc()->statx(dirfd, path, flags, mask, stx);

   int ret = stat_at(dirfd, path, &st, flags & (AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW));
   if (!ret)
      statx_from_stat(&st, stx);
   return ret;
}

EXPORT int
faccessat(int dirfd, const char *path, int mode, int flags)
{
   struct sim_vfs_entry entry = sim_vfs_find_at(dirfd, path);

   if (entry.kind == SIM_VFS_FOREIGN)
      return sim_libc()->faccessat(dirfd, path, mode, flags);
   return result(entry.kind == SIM_VFS_NONE ? -ENOENT : 0);
}

EXPORT int
access(const char *path, int mode)
{
   return faccessat(AT_FDCWD, path, mode, 0);
}

EXPORT ssize_t
readlinkat(int dirfd, const char *path, char *buf, size_t size)
{
   BEFORE_START(SYS_readlinkat, dirfd, path, buf, size);

   struct sim_vfs_entry entry = sim_vfs_find_at(dirfd, path);

   if (entry.kind == SIM_VFS_FOREIGN)
      return sim_libc()->readlinkat(dirfd, path, buf, size);
   if (entry.kind != SIM_VFS_LINK)
      return result(entry.kind == SIM_VFS_NONE ? -ENOENT : -EINVAL);

   size_t length = MIN2(strlen(entry.content), size);
   memcpy(buf, entry.content, length);
   return length;
}

EXPORT ssize_t
readlink(const char *path, char *buf, size_t size)
{
   return readlinkat(AT_FDCWD, path, buf, size);
}

EXPORT char *
realpath(const char *path, char *resolved)
{
   struct sim_vfs_entry entry = sim_vfs_find(path);

   if (entry.kind == SIM_VFS_FOREIGN)
      return sim_libc()->realpath(path, resolved);
   if (entry.kind == SIM_VFS_NONE) {
      errno = ENOENT;
      return NULL;
   }
   return resolved ? strcpy(resolved, entry.path) : strdup(entry.path);
}

EXPORT DIR *
opendir(const char *path)
{
   struct sim_vfs_entry entry = sim_vfs_find(path);

   if (entry.kind == SIM_VFS_FOREIGN)
      return sim_libc()->opendir(path);
   if (entry.kind != SIM_VFS_DIR) {
      errno = entry.kind == SIM_VFS_NONE ? ENOENT : ENOTDIR;
      return NULL;
   }
   return sim_vfs_opendir(&entry);
}

EXPORT DIR *
fdopendir(int fd)
{
   struct sim_vfs_entry entry = sim_vfs_find_at(fd, "");

   if (entry.kind != SIM_VFS_DIR)
      return sim_libc()->fdopendir(fd);
   sim_libc()->close(fd);
   return sim_vfs_opendir(&entry);
}

EXPORT struct dirent *
readdir(DIR *dir)
{
   return sim_vfs_owns(dir) ? sim_vfs_readdir(dir) : sim_libc()->readdir(dir);
}

EXPORT struct dirent64 *
readdir64(DIR *dir)
{
   return (struct dirent64 *)readdir(dir);
}

EXPORT void
rewinddir(DIR *dir)
{
   if (sim_vfs_owns(dir))
      sim_vfs_rewinddir(dir);
   else
      sim_libc()->rewinddir(dir);
}

EXPORT int
closedir(DIR *dir)
{
   return sim_vfs_owns(dir) ? sim_vfs_closedir(dir) : sim_libc()->closedir(dir);
}

EXPORT int
dirfd(DIR *dir)
{
   return sim_vfs_owns(dir) ? result(-ENOTSUP) : sim_libc()->dirfd(dir);
}

/* Talking to the node */

static bool
node_ioctl(int fd, unsigned long request, void *arg, int *ret)
{
   struct sim_file *file = sim_file_from_fd(fd);

   if (!file)
      return false;
   *ret = sim_file_ioctl(file, request, arg);
   sim_file_put(file);
   return true;
}

static bool
dispatch_ioctl(int fd, unsigned long request, void *arg, int *ret)
{
   switch (_IOC_TYPE(request)) {
   case DRM_IOCTL_BASE:
      return node_ioctl(fd, request, arg, ret);
   case SYNC_IOC_MAGIC:
      if (!sim_fd_is(fd, SIM_FD_SYNC_FILE))
         return false;
      *ret = sim_sync_file_ioctl(fd, request, arg);
      return true;
   case SIM_SW_SYNC_MAGIC:
      if (!sim_fd_is(fd, SIM_FD_SW_SYNC))
         return false;
      *ret = sim_sw_sync_ioctl(fd, request, arg);
      return true;
   case DMA_BUF_BASE:
      if (!sim_fd_is(fd, SIM_FD_BO))
         return false;
      *ret = sim_dma_buf_ioctl(fd, request, arg);
      return true;
   default:
      return false;
   }
}

static bool
is_ioctl_of_ours(unsigned long request)
{
   return _IOC_TYPE(request) == DRM_IOCTL_BASE || _IOC_TYPE(request) == SYNC_IOC_MAGIC ||
          _IOC_TYPE(request) == SIM_SW_SYNC_MAGIC || _IOC_TYPE(request) == DMA_BUF_BASE;
}

EXPORT int
ioctl(int fd, unsigned long request, ...)
{
   va_list args;
   int ret;

   va_start(args, request);
   void *arg = va_arg(args, void *);
   va_end(args);

   if (is_ioctl_of_ours(request)) {
      bool handled = sim_remote_is_active() ? sim_remote_ioctl(fd, request, arg, &ret)
                                            : dispatch_ioctl(fd, request, arg, &ret);
      if (handled)
         return result(ret);
   }
   return sim_libc()->ioctl(fd, request, arg);
}

static bool
dispatch_mmap(int fd, void *addr, size_t length, int prot, int flags, off_t offset, void **map)
{
   struct sim_file *file = sim_file_from_fd(fd);

   if (!file)
      return false;
   *map = sim_file_mmap(file, addr, length, prot, flags, offset);
   sim_file_put(file);
   return true;
}

/* A socket cannot be mapped, so that one of ours is all that it can be. */
static bool
mmap_by_others(int fd, void *addr, size_t length, int prot, int flags, off_t offset, void **map)
{
   return is_socket(fd) && sim_remote_mmap(fd, addr, length, prot, flags, offset, map);
}

static void *
mmap_any(void *addr, size_t length, int prot, int flags, int fd, off64_t offset)
{
   void *node_map;

   if (!(flags & MAP_ANONYMOUS)) {
      bool handled = sim_remote_is_active()
                        ? mmap_by_others(fd, addr, length, prot, flags, offset, &node_map)
                        : dispatch_mmap(fd, addr, length, prot, flags, offset, &node_map);
      if (handled)
         return node_map;
   }

   if (flags & MAP_FIXED)
      sim_evict_user_range_start((uintptr_t)addr, length);
   void *map = sim_libc()->mmap(addr, length, prot, flags, fd, offset);
   if (flags & MAP_FIXED)
      sim_evict_user_range_end();
   if (map != MAP_FAILED && prot == PROT_NONE && (flags & MAP_ANONYMOUS) &&
       (flags & MAP_NORESERVE)) {
      sim_mmu_reserved(map, length);
      sim_segv_install();
   }
   return map;
}

EXPORT void *
mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
   if (!is_started)
      return (void *)syscall(SYS_mmap, addr, length, prot, flags, fd, offset);
   return mmap_any(addr, length, prot, flags, fd, offset);
}

EXPORT void *
mmap64(void *addr, size_t length, int prot, int flags, int fd, off64_t offset)
{
   if (!is_started)
      return (void *)syscall(SYS_mmap, addr, length, prot, flags, fd, offset);
   return mmap_any(addr, length, prot, flags, fd, offset);
}

EXPORT int
munmap(void *addr, size_t length)
{
   BEFORE_START(SYS_munmap, addr, length);

   sim_evict_user_range_start((uintptr_t)addr, length);
   int ret = sim_mmu_munmap(addr, length);
   int saved_errno = errno;
   sim_evict_user_range_end();
   errno = saved_errno;
   return ret;
}

EXPORT void *
mremap(void *addr, size_t old_length, size_t length, int flags, ...)
{
   va_list args;

   va_start(args, flags);
   void *wanted = flags & MREMAP_FIXED ? va_arg(args, void *) : NULL;
   va_end(args);

   sim_evict_user_range_start((uintptr_t)addr, old_length);
   if (wanted)
      sim_evict_user_range_start((uintptr_t)wanted, length);
   void *map = sim_libc()->mremap(addr, old_length, length, flags, wanted);
   int saved_errno = errno;
   sim_evict_user_range_end();
   errno = saved_errno;
   return map;
}

EXPORT int
madvise(void *addr, size_t length, int advice)
{
   BEFORE_START(SYS_madvise, addr, length, advice);

   const bool discards = advice == MADV_DONTNEED || advice == MADV_REMOVE || advice == MADV_FREE;

   if (discards)
      sim_evict_user_range_start((uintptr_t)addr, length);
   int ret = sim_libc()->madvise(addr, length, advice);
   if (discards)
      sim_evict_user_range_end();

   if (ret == 0 && advice == MADV_DONTDUMP)
      sim_mmu_dontdump(addr, length);
   return ret;
}

/* Signals: SIGSEGV and SIGTRAP come to us first. */

EXPORT int
sigaction(int signum, const struct sigaction *act, struct sigaction *old)
{
   if (signum == SIGSEGV)
      return sim_segv_sigaction(act, old);
   if (signum == SIGTRAP)
      return sim_drop_sigaction(act, old);
   return sim_libc()->sigaction(signum, act, old);
}

EXPORT sighandler_t
signal(int signum, sighandler_t handler)
{
   struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
   struct sigaction old;

   sigemptyset(&action.sa_mask);
   return sigaction(signum, &action, &old) < 0 ? SIG_ERR : old.sa_handler;
}

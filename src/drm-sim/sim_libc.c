/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The C library behind the interposed functions; see the header. Must know nothing of DRM.
 */

#include "sim_libc.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifdef HAVE_VALGRIND
#include <valgrind/memcheck.h>
#else
#define VALGRIND_MAKE_MEM_DEFINED(addr, size)
#endif

#include "sim_caller.h"

static struct sim_libc libc;
static pthread_once_t libc_once = PTHREAD_ONCE_INIT;

static void *
next_symbol(const char *name)
{
   void *symbol = dlsym(RTLD_NEXT, name);

   if (!symbol)
      sim_panic("the C library has no %s", name);
   return symbol;
}

/* Each BO holds an fd: the usual soft limit would be a limit on BOs that no kernel has. */
static void
raise_fd_limit(void)
{
   struct rlimit limit;

   if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
      limit.rlim_cur = limit.rlim_max;
      setrlimit(RLIMIT_NOFILE, &limit);
   }
}

static void
libc_init(void)
{
   libc = (struct sim_libc){
      .openat = next_symbol("openat64"),
      .close = next_symbol("close"),
      .ioctl = next_symbol("ioctl"),
      .mmap = next_symbol("mmap64"),
      .munmap = next_symbol("munmap"),
      .mremap = next_symbol("mremap"),
      .madvise = next_symbol("madvise"),
      .fstatat = next_symbol("fstatat64"),
      .statx = next_symbol("statx"),
      .faccessat = next_symbol("faccessat"),
      .readlinkat = next_symbol("readlinkat"),
      .realpath = next_symbol("realpath"),
      .fopen = next_symbol("fopen64"),
      .fdopendir = next_symbol("fdopendir"),
      .opendir = next_symbol("opendir"),
      .readdir = next_symbol("readdir64"),
      .closedir = next_symbol("closedir"),
      .rewinddir = next_symbol("rewinddir"),
      .dirfd = next_symbol("dirfd"),
      .sigaction = next_symbol("sigaction"),
   };
   raise_fd_limit();
}

const struct sim_libc *
sim_libc(void)
{
   pthread_once(&libc_once, libc_init);
   return &libc;
}

int
sim_copy_in(void *dst, uint64_t user_src, size_t size)
{
   struct iovec local = {dst, size};
   struct iovec remote = {(void *)(uintptr_t)user_src, size};

   if (size == 0)
      return 0;

   /* A kernel finds out by faulting; asking it to copy is the way to have that without a signal. */
   ssize_t copied = process_vm_readv(sim_caller_pid(), &local, 1, &remote, 1, 0);
   if (copied < 0 && (errno == ENOSYS || errno == EPERM) && sim_caller_pid() == getpid()) {
      memcpy(dst, remote.iov_base, size);
      return 0;
   }
   return copied == (ssize_t)size ? 0 : -EFAULT;
}

int
sim_copy_out(uint64_t user_dst, const void *src, size_t size)
{
   struct iovec local = {(void *)src, size};
   struct iovec remote = {(void *)(uintptr_t)user_dst, size};

   if (size == 0)
      return 0;

   ssize_t copied = process_vm_writev(sim_caller_pid(), &local, 1, &remote, 1, 0);
   if (copied < 0 && (errno == ENOSYS || errno == EPERM) && sim_caller_pid() == getpid()) {
      memcpy(remote.iov_base, src, size);
      return 0;
   }
   if (copied != (ssize_t)size)
      return -EFAULT;

   /* It does not expect that a process writes to itself in this way. */
   VALGRIND_MAKE_MEM_DEFINED(remote.iov_base, size);
   return 0;
}

void *
sim_copy_in_array(uint64_t user_src, uint32_t count, size_t stride, size_t elem_size, int *err)
{
   *err = 0;
   if (count == 0)
      return NULL;

   char *array = calloc(count, elem_size);
   if (!array) {
      *err = -ENOMEM;
      return NULL;
   }

   if (stride == elem_size) {
      *err = sim_copy_in(array, user_src, (size_t)count * elem_size);
   } else {
      size_t taken = stride < elem_size ? stride : elem_size;
      for (uint32_t i = 0; i < count && !*err; i++)
         *err = sim_copy_in(array + i * elem_size, user_src + (uint64_t)i * stride, taken);
   }

   if (*err) {
      free(array);
      return NULL;
   }
   return array;
}

int
sim_hide_fd(int fd)
{
   /* Below this select() works, and below some number programs keep their own tables. */
   int hidden = fcntl(fd, F_DUPFD_CLOEXEC, 1024);

   if (hidden < 0)
      return fd;
   sim_libc()->close(fd);
   return hidden;
}

uint64_t
sim_now_ns(void)
{
   struct timespec now;

   clock_gettime(CLOCK_MONOTONIC, &now);
   return now.tv_sec * 1000000000ull + now.tv_nsec;
}

bool
sim_start_thread(void *(*fn)(void *), void *arg)
{
   pthread_attr_t attr;
   pthread_t thread;
   sigset_t all, old;

   pthread_attr_init(&attr);
   pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
   sigfillset(&all);
   pthread_sigmask(SIG_SETMASK, &all, &old);
   bool started = pthread_create(&thread, &attr, fn, arg) == 0;
   pthread_sigmask(SIG_SETMASK, &old, NULL);
   pthread_attr_destroy(&attr);
   return started;
}

static void
log_line(const char *format, va_list args)
{
   char line[1024];
   int prefix = snprintf(line, sizeof(line), "drm-sim: ");
   int length = vsnprintf(line + prefix, sizeof(line) - prefix - 1, format, args);

   length = prefix + (length < 0 ? 0 : length);
   if (length > (int)sizeof(line) - 2)
      length = sizeof(line) - 2;
   line[length] = '\n';

   /* One write: lines of several threads do not mix. To whom it concerns, if that is another process. */
   int other = sim_caller_pid() == getpid() ? -1 : sim_caller_dup_fd(STDERR_FILENO);
   ssize_t written = write(other >= 0 ? other : STDERR_FILENO, line, length + 1);
   (void)written;
   if (other >= 0)
      sim_libc()->close(other);
}

void
sim_log(const char *format, ...)
{
   va_list args;

   va_start(args, format);
   log_line(format, args);
   va_end(args);
}

void
sim_refuse(const char *format, ...)
{
   va_list args;

   va_start(args, format);
   log_line(format, args);
   va_end(args);
   _exit(2);
}

void
sim_panic(const char *format, ...)
{
   va_list args;

   va_start(args, format);
   log_line(format, args);
   va_end(args);
   sim_caller_die();
   abort();
}

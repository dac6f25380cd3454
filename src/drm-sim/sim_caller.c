/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The caller; see the header. Must know nothing of DRM.
 */

#include "sim_caller.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sim_libc.h"
#include "sim_remote.h"

static __thread const struct sim_caller *current;

void
sim_caller_set(const struct sim_caller *caller)
{
   current = caller;
}

pid_t
sim_caller_pid(void)
{
   return current ? current->pid : getpid();
}

bool
sim_caller_is_admin(void)
{
   return (current ? current->uid : geteuid()) == 0;
}

bool
sim_caller_is_gone(void)
{
   struct pollfd poll_fd = {.fd = current ? current->socket : -1};

   return current && poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & (POLLHUP | POLLERR));
}

void
sim_caller_die(void)
{
   if (!current)
      return;
   kill(current->pid, SIGABRT);
   sim_libc()->close(current->socket);
   pthread_exit(NULL);
}

int
sim_caller_give_fd(int fd)
{
   if (!current || fd < 0)
      return fd;
   int number = sim_remote_give_fd(current->socket, fd);
   sim_libc()->close(fd);
   return number;
}

void
sim_caller_close_fd(int fd)
{
   /* A forked process keeps it: there is no way back. */
   if (!current)
      sim_libc()->close(fd);
}

void
sim_caller_fd_path(int fd, char *path, size_t size)
{
   if (current)
      snprintf(path, size, "/proc/%d/fd/%d", (int)current->pid, fd);
   else
      snprintf(path, size, "/proc/self/fd/%d", fd);
}

int
sim_caller_dup_fd(int fd)
{
   int copy = current ? sim_remote_fetch_fd(current->socket, fd) : fcntl(fd, F_DUPFD_CLOEXEC, 0);

   return copy < 0 && !current ? -errno : copy;
}

void *
sim_caller_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
   if (!current)
      return sim_libc()->mmap(addr, length, prot, flags, fd, offset);
   return sim_remote_map(current->socket, addr, length, prot, flags, fd, offset);
}

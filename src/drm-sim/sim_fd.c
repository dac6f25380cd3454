/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * File descriptors of the simulator's own kinds; see the header. Must know nothing of DRM.
 */

#include "sim_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/list.h"
#include "util/macros.h"

#include "sim_caller.h"
#include "sim_libc.h"

#define BUCKETS 1024

/* The largest that an errno is */
#define MAX_ERRNO 255

struct entry {
   /* In its bucket */
   struct list_head link;
   /* Among those with an end held */
   struct list_head held_link;
   dev_t dev;
   ino_t ino;
   const struct sim_fd_ops *ops;
   void *object;
   int held_fd;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list_head buckets[BUCKETS];
static struct list_head held = {&held, &held};
static unsigned held_count;

static struct list_head *
bucket_of(ino_t ino)
{
   struct list_head *bucket = &buckets[ino % BUCKETS];

   if (!bucket->next)
      list_inithead(bucket);
   return bucket;
}

static int
inode_of(int fd, dev_t *dev, ino_t *ino)
{
   struct stat st;

   if (sim_libc()->fstatat(fd, "", &st, AT_EMPTY_PATH) < 0)
      return -errno;
   *dev = st.st_dev;
   *ino = st.st_ino;
   return 0;
}

/* Of an fd of the caller's, which is not one of this process if that is another */
static int
inode_of_callers(int fd, dev_t *dev, ino_t *ino)
{
   char path[64];
   struct stat st;

   if (sim_caller_pid() == getpid())
      return inode_of(fd, dev, ino);
   sim_caller_fd_path(fd, path, sizeof(path));
   if (sim_libc()->fstatat(AT_FDCWD, path, &st, 0) < 0)
      return -errno;
   *dev = st.st_dev;
   *ino = st.st_ino;
   return 0;
}

static struct entry *
find_locked(dev_t dev, ino_t ino)
{
   list_for_each_entry (struct entry, entry, bucket_of(ino), link) {
      if (entry->dev == dev && entry->ino == ino)
         return entry;
   }
   return NULL;
}

static int
ioctl_bytes(int fd, int *count)
{
   return sim_libc()->ioctl(fd, FIONREAD, count);
}

static struct entry *
entry_create(const struct sim_fd_ops *ops, void *object, int fd)
{
   struct entry *entry = calloc(1, sizeof(*entry));

   if (!entry)
      return NULL;
   if (inode_of(fd, &entry->dev, &entry->ino) < 0) {
      free(entry);
      return NULL;
   }
   entry->ops = ops;
   entry->object = object;
   entry->held_fd = -1;
   list_inithead(&entry->held_link);
   return entry;
}

/* The program's end first. A sync file is a pipe, because a pipe's read end is readable or nothing.
 */
static int
open_ends(enum sim_fd_type type, bool cloexec, int ends[2])
{
   if (type == SIM_FD_SYNC_FILE) {
      if (pipe2(ends, O_CLOEXEC) < 0)
         return -errno;
   } else if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
      return -errno;
   }
   if (!cloexec)
      fcntl(ends[0], F_SETFD, 0);
   /* How another process's simulator knows it: see sim_fd_is_foreign_sync_file(). */
   if (type == SIM_FD_SYNC_FILE)
      fcntl(ends[0], F_SETOWN, getpid());
   return 0;
}

int
sim_fd_create(const struct sim_fd_ops *ops, void *object, bool cloexec)
{
   int ends[2];

   sim_fd_sweep();

   int ret = open_ends(ops->type, cloexec, ends);
   if (ret)
      return ret;

   struct entry *entry = entry_create(ops, object, ends[0]);
   if (!entry) {
      ret = -ENOMEM;
      goto fail_ends;
   }
   entry->held_fd = sim_hide_fd(ends[1]);

   pthread_mutex_lock(&lock);
   list_add(&entry->link, bucket_of(entry->ino));
   list_add(&entry->held_link, &held);
   held_count++;
   pthread_mutex_unlock(&lock);
   return sim_caller_give_fd(ends[0]);

fail_ends:
   sim_libc()->close(ends[0]);
   sim_libc()->close(ends[1]);
   return ret;
}

/* The bytes in the pipe say it by their number, which anybody can see without taking them out. */
void
sim_fd_set_readable(const struct sim_fd_ops *ops, void *object, int error)
{
   const char bytes[1 + MAX_ERRNO] = {0};
   const size_t count = 1 + MIN2(-error, MAX_ERRNO);

   pthread_mutex_lock(&lock);
   list_for_each_entry (struct entry, entry, &held, held_link) {
      if (entry->ops == ops && entry->object == object) {
         ssize_t written = write(entry->held_fd, bytes, count);
         (void)written;
      }
   }
   pthread_mutex_unlock(&lock);
}

bool
sim_fd_is_foreign_sync_file(int fd)
{
   struct stat st;
   int owner;

   /* A pipe's end that somebody owns: plain ones have no owner. */
   return sim_libc()->fstatat(fd, "", &st, AT_EMPTY_PATH) == 0 && S_ISFIFO(st.st_mode) &&
          (owner = fcntl(fd, F_GETOWN)) > 0 && owner != getpid();
}

int
sim_fd_wait_for_foreign(int fd)
{
   struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
   int count = 0;

   while (poll(&poll_fd, 1, -1) < 0 && errno == EINTR)
      ;
   if (!(poll_fd.revents & POLLIN) || ioctl_bytes(fd, &count) < 0 || count == 0)
      return -EPIPE;
   return -(count - 1);
}

void *
sim_fd_lookup(int fd, const struct sim_fd_ops *ops)
{
   dev_t dev;
   ino_t ino;
   void *object = NULL;

   if (inode_of_callers(fd, &dev, &ino) < 0)
      return NULL;

   pthread_mutex_lock(&lock);
   struct entry *entry = find_locked(dev, ino);
   if (entry && entry->ops == ops) {
      if (ops->get(entry->object))
         object = entry->object;
   }
   pthread_mutex_unlock(&lock);
   return object;
}

bool
sim_fd_is(int fd, enum sim_fd_type type)
{
   dev_t dev;
   ino_t ino;

   if (inode_of_callers(fd, &dev, &ino) < 0)
      return false;

   pthread_mutex_lock(&lock);
   struct entry *entry = find_locked(dev, ino);
   bool is = entry && entry->ops->type == type;
   pthread_mutex_unlock(&lock);
   return is;
}

bool
sim_fd_has_lifetime(int fd)
{
   dev_t dev;
   ino_t ino;

   if (inode_of_callers(fd, &dev, &ino) < 0)
      return false;

   pthread_mutex_lock(&lock);
   struct entry *entry = find_locked(dev, ino);
   bool has_lifetime = entry && entry->held_fd >= 0;
   pthread_mutex_unlock(&lock);
   return has_lifetime;
}

void
sim_fd_register_file(int fd, const struct sim_fd_ops *ops, void *object)
{
   struct entry *entry = entry_create(ops, object, fd);

   if (!entry)
      return;
   pthread_mutex_lock(&lock);
   list_add(&entry->link, bucket_of(entry->ino));
   pthread_mutex_unlock(&lock);
}

void
sim_fd_unregister_file(int fd)
{
   dev_t dev;
   ino_t ino;

   if (inode_of(fd, &dev, &ino) < 0)
      return;

   pthread_mutex_lock(&lock);
   struct entry *entry = find_locked(dev, ino);
   if (entry) {
      list_del(&entry->link);
      free(entry);
   }
   pthread_mutex_unlock(&lock);
}

void
sim_fd_lock(void)
{
   pthread_mutex_lock(&lock);
}

void
sim_fd_unlock(void)
{
   pthread_mutex_unlock(&lock);
}

void
sim_fd_forget_ends(void)
{
   list_for_each_entry_safe (struct entry, entry, &held, held_link) {
      sim_libc()->close(entry->held_fd);
      entry->held_fd = -1;
      list_del(&entry->held_link);
      list_inithead(&entry->held_link);
   }
   held_count = 0;
}

/* Takes out of the registry what has hung up, and returns it as a list. */
static void
collect_hung_up(struct list_head *dead)
{
   pthread_mutex_lock(&lock);

   struct pollfd *polls = calloc(MAX2(held_count, 1), sizeof(*polls));
   unsigned count = 0;

   if (polls) {
      /* Neither end asks for events: a hang-up is always told. */
      list_for_each_entry (struct entry, entry, &held, held_link)
         polls[count++].fd = entry->held_fd;
      poll(polls, count, 0);

      unsigned i = 0;
      list_for_each_entry_safe (struct entry, entry, &held, held_link) {
         if (polls[i++].revents & (POLLHUP | POLLERR)) {
            list_del(&entry->link);
            list_del(&entry->held_link);
            list_addtail(&entry->held_link, dead);
            held_count--;
         }
      }
      free(polls);
   }

   pthread_mutex_unlock(&lock);
}

void
sim_fd_sweep(void)
{
   struct list_head dead;

   list_inithead(&dead);
   collect_hung_up(&dead);

   /* Without the lock: to release a file is to close everything in it. */
   list_for_each_entry_safe (struct entry, entry, &dead, held_link) {
      sim_libc()->close(entry->held_fd);
      entry->ops->release(entry->object);
      free(entry);
   }
}

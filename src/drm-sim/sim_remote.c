/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Forked processes; see the header. Must know nothing of DRM.
 *
 *      forked process                     process that it comes from
 *         request, on a new connection ->    a thread for it
 *                                      <- take this fd, fetch that one, map this file
 *         number, fd, address          ->
 *                                      <- answer
 */

#include "sim_remote.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/macros.h"
#include "util/u_atomic.h"

#include "sim_caller.h"
#include "sim_fd.h"
#include "sim_libc.h"
#include "sim_mmu.h"

enum message_type {
   /* Requests */
   MESSAGE_OPEN,
   MESSAGE_IOCTL,
   MESSAGE_MMAP,
   MESSAGE_NODE_MINOR,
   /* What the answer takes */
   MESSAGE_TAKE_FD,
   MESSAGE_FETCH_FD,
   MESSAGE_MAP,
   MESSAGE_ANSWER,
};

struct message {
   enum message_type type;
   int fd_number;
   int flags;
   int prot;
   uint64_t request;
   uint64_t addr;
   uint64_t length;
   uint64_t offset;
   /* Of an answer: whether the fd is one of ours, and what the call returns */
   bool handled;
   int error;
   int64_t value;
   char path[128];
};

static const struct sim_remote_ops *remote_ops;
static struct sockaddr_un address;
static socklen_t address_length;
static int listening = -1;
static bool is_active;
static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;

/* Messages, each with at most one fd */

static bool
send_message(int socket, const struct message *message, int fd)
{
   struct iovec iov = {(void *)message, sizeof(*message)};
   char control[CMSG_SPACE(sizeof(int))] = {0};
   struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};

   if (fd >= 0) {
      header.msg_control = control;
      header.msg_controllen = sizeof(control);
      struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(sizeof(int));
      memcpy(CMSG_DATA(rights), &fd, sizeof(fd));
   }
   return sendmsg(socket, &header, MSG_NOSIGNAL) == sizeof(*message);
}

/* False also when a signal came first */
static bool
receive_message(int socket, struct message *message, int *fd)
{
   struct iovec iov = {message, sizeof(*message)};
   char control[CMSG_SPACE(sizeof(int))] = {0};
   struct msghdr header = {
      .msg_iov = &iov,
      .msg_iovlen = 1,
      .msg_control = control,
      .msg_controllen = sizeof(control),
   };

   *fd = -1;
   errno = ENODEV;
   if (recvmsg(socket, &header, MSG_CMSG_CLOEXEC) != sizeof(*message))
      return false;
   if (CMSG_FIRSTHDR(&header))
      memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&header)), sizeof(*fd));
   return true;
}

/* The asked process */

static bool
ask_caller(int socket, struct message *message, int fd, int *received)
{
   return send_message(socket, message, fd) && receive_message(socket, message, received);
}

int
sim_remote_give_fd(int socket, int fd)
{
   struct message message = {
      .type = MESSAGE_TAKE_FD,
      .flags = fcntl(fd, F_GETFD) & FD_CLOEXEC,
   };
   int none;

   if (!ask_caller(socket, &message, fd, &none))
      return -EMFILE;
   return message.error ? -message.error : (int)message.value;
}

int
sim_remote_fetch_fd(int socket, int number)
{
   struct message message = {.type = MESSAGE_FETCH_FD, .fd_number = number};
   int fd;

   if (!ask_caller(socket, &message, -1, &fd) || fd < 0)
      return -EBADF;
   return fd;
}

void *
sim_remote_map(int socket, void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
   struct message message = {
      .type = MESSAGE_MAP,
      .addr = (uintptr_t)addr,
      .length = length,
      .prot = prot,
      .flags = flags,
      .offset = offset,
   };
   int none;

   if (!ask_caller(socket, &message, fd, &none)) {
      errno = ENOMEM;
      return MAP_FAILED;
   }
   errno = message.error;
   return (void *)(uintptr_t)message.value;
}

static void
execute(struct message *message)
{
   int ret = 0;

   message->handled = true;
   switch (message->type) {
   case MESSAGE_OPEN:
      ret = remote_ops->open(message->path, message->flags);
      break;
   case MESSAGE_IOCTL:
      message->handled = remote_ops->ioctl(message->fd_number, message->request,
                                           (void *)(uintptr_t)message->addr, &ret);
      break;
   case MESSAGE_MMAP: {
      void *map = NULL;
      message->handled =
         remote_ops->mmap(message->fd_number, (void *)(uintptr_t)message->addr, message->length,
                          message->prot, message->flags, message->offset, &map);
      message->error = map == MAP_FAILED ? errno : 0;
      message->value = (uintptr_t)map;
      return;
   }
   case MESSAGE_NODE_MINOR:
      ret = remote_ops->node_minor(message->fd_number);
      break;
   default:
      ret = -EINVAL;
      break;
   }
   message->error = ret < 0 ? -ret : 0;
   message->value = ret;
}

static void *
serve_one(void *arg)
{
   struct sim_caller caller = {.socket = (intptr_t)arg};
   struct ucred credentials;
   socklen_t length = sizeof(credentials);
   struct message message;
   int none;

   if (getsockopt(caller.socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0 &&
       receive_message(caller.socket, &message, &none)) {
      caller.pid = credentials.pid;
      caller.uid = credentials.uid;
      sim_caller_set(&caller);
      message.error = 0;
      execute(&message);
      sim_caller_set(NULL);
      message.type = MESSAGE_ANSWER;
      send_message(caller.socket, &message, -1);
   }
   sim_libc()->close(caller.socket);
   return NULL;
}

static void *
serve(UNUSED void *arg)
{
   while (true) {
      int socket = accept4(listening, NULL, NULL, SOCK_CLOEXEC);

      if (socket < 0 && errno != EINTR && errno != ECONNABORTED)
         return NULL;
      if (socket >= 0 && !sim_start_thread(serve_one, (void *)(intptr_t)socket))
         sim_libc()->close(socket);
   }
}

/* Where nobody else would listen: a name of the abstract kind, which goes with the process */
static void
start_server(void)
{
   int socket_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

   if (socket_fd < 0)
      return;
   socket_fd = sim_hide_fd(socket_fd);
   address.sun_family = AF_UNIX;
   int length = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "drm-sim-%d-%llx",
                         (int)getpid(), (unsigned long long)sim_now_ns());
   address_length = offsetof(struct sockaddr_un, sun_path) + 1 + length;
   if (bind(socket_fd, (struct sockaddr *)&address, address_length) < 0 ||
       listen(socket_fd, 64) < 0) {
      sim_libc()->close(socket_fd);
      return;
   }
   listening = socket_fd;
   if (!sim_start_thread(serve, NULL))
      sim_log("forked processes will have no device: no thread to serve them");
}

/* Around a fork: what the forked process needs of ours must not be in the middle of a change. */

static void
before_fork(void)
{
   pthread_mutex_lock(&start_lock);
   if (remote_ops && listening < 0 && !is_active)
      start_server();
   sim_fd_lock();
   sim_mmu_lock();
}

static void
after_fork_in_parent(void)
{
   sim_mmu_unlock();
   sim_fd_unlock();
   pthread_mutex_unlock(&start_lock);
}

static void
after_fork_in_child(void)
{
   sim_mmu_unlock();
   if (remote_ops) {
      sim_fd_forget_ends();
      if (!is_active && listening >= 0)
         sim_libc()->close(listening);
      listening = -1;
      p_atomic_set(&is_active, true);
   }
   sim_fd_unlock();
   pthread_mutex_unlock(&start_lock);
}

static void
install(void)
{
   pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

void
sim_remote_prepare(const struct sim_remote_ops *ops)
{
   static pthread_once_t once = PTHREAD_ONCE_INIT;

   pthread_mutex_lock(&start_lock);
   if (!remote_ops)
      remote_ops = ops;
   pthread_mutex_unlock(&start_lock);
   pthread_once(&once, install);
}

/* The forked process */

bool
sim_remote_is_active(void)
{
   return p_atomic_read(&is_active);
}

static void
take_fd(struct message *message, int fd)
{
   if (fd >= 0 && !(message->flags & FD_CLOEXEC))
      fcntl(fd, F_SETFD, 0);
   message->value = fd;
   message->error = fd < 0 ? EMFILE : 0;
}

static void
map_fd(struct message *message, int fd)
{
   void *map = sim_libc()->mmap((void *)(uintptr_t)message->addr, message->length, message->prot,
                                message->flags, fd, message->offset);

   message->error = map == MAP_FAILED ? errno : 0;
   message->value = (uintptr_t)map;
   if (fd >= 0)
      sim_libc()->close(fd);
}

/* Does what is asked until the answer comes. */
static int
converse(int socket, struct message *message)
{
   int fd;

   if (!send_message(socket, message, -1))
      return -ENODEV;
   while (receive_message(socket, message, &fd)) {
      int sent = -1;

      switch (message->type) {
      case MESSAGE_ANSWER:
         return 0;
      case MESSAGE_TAKE_FD:
         take_fd(message, fd);
         break;
      case MESSAGE_FETCH_FD:
         sent = message->fd_number;
         break;
      case MESSAGE_MAP:
         map_fd(message, fd);
         break;
      default:
         return -ENODEV;
      }
      /* A number that is no fd goes without one. */
      if (!send_message(socket, message, sent) && !send_message(socket, message, -1))
         return -ENODEV;
   }
   return errno == EINTR ? -EINTR : -ENODEV;
}

static int
ask(struct message *message)
{
   int socket_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
   int ret = -ENODEV;

   if (socket_fd < 0)
      return -errno;
   if (connect(socket_fd, (struct sockaddr *)&address, address_length) == 0)
      ret = converse(socket_fd, message);
   sim_libc()->close(socket_fd);
   return ret;
}

int
sim_remote_open(const char *path, int flags)
{
   struct message message = {.type = MESSAGE_OPEN, .flags = flags};

   snprintf(message.path, sizeof(message.path), "%s", path);
   int ret = ask(&message);
   return ret ? ret : message.error ? -message.error : (int)message.value;
}

bool
sim_remote_ioctl(int fd, unsigned long request, void *arg, int *ret)
{
   struct message message = {
      .type = MESSAGE_IOCTL,
      .fd_number = fd,
      .request = request,
      .addr = (uintptr_t)arg,
   };

   int error = ask(&message);
   if (error) {
      *ret = error;
      return true;
   }
   *ret = message.error ? -message.error : (int)message.value;
   return message.handled;
}

bool
sim_remote_mmap(int fd, void *addr, size_t length, int prot, int flags, off_t offset, void **map)
{
   struct message message = {
      .type = MESSAGE_MMAP,
      .fd_number = fd,
      .addr = (uintptr_t)addr,
      .length = length,
      .prot = prot,
      .flags = flags,
      .offset = offset,
   };

   if (ask(&message))
      return false;
   errno = message.error;
   *map = (void *)(uintptr_t)message.value;
   return message.handled;
}

int
sim_remote_node_minor(int fd)
{
   struct message message = {.type = MESSAGE_NODE_MINOR, .fd_number = fd};
   int ret = ask(&message);

   return ret ? ret : message.error ? -message.error : (int)message.value;
}

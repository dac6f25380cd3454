/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Semaphores and fences that two devices share, each of an instance of its own: through opaque fds
 * (the same payload) and sync fds (a copy of it), binary and timeline, on graphics queues and on
 * queues that only bind.  Vulkan 1.3, "Importing Semaphore Payloads" and "Importing Fence Payloads".
 */

#define _GNU_SOURCE
#include "vkt.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define OPAQUE_FD VK_EXTERNAL_SEMAPHORE_HANDLE_TYPE_OPAQUE_FD_BIT
#define SYNC_FD   VK_EXTERNAL_SEMAPHORE_HANDLE_TYPE_SYNC_FD_BIT

static const char *const extensions[] = {
   VK_KHR_EXTERNAL_SEMAPHORE_FD_EXTENSION_NAME,
   VK_KHR_EXTERNAL_FENCE_FD_EXTENSION_NAME,
};

/* ------------------------------------------------------------ what is offered */

static void
says_what_it_can(struct vkt *t)
{
   static const struct {
      VkSemaphoreType type;
      VkExternalSemaphoreHandleTypeFlagBits handle;
      bool works;
   } cases[] = {
      {VK_SEMAPHORE_TYPE_BINARY, OPAQUE_FD, true},
      {VK_SEMAPHORE_TYPE_BINARY, SYNC_FD, true},
      {VK_SEMAPHORE_TYPE_TIMELINE, OPAQUE_FD, true},
      /* VUID-VkExportSemaphoreCreateInfo: a sync file has no points. */
      {VK_SEMAPHORE_TYPE_TIMELINE, SYNC_FD, false},
   };
   const VkExternalSemaphoreFeatureFlags both = VK_EXTERNAL_SEMAPHORE_FEATURE_EXPORTABLE_BIT |
                                                VK_EXTERNAL_SEMAPHORE_FEATURE_IMPORTABLE_BIT;

   for (unsigned i = 0; i < VKT_ARRAY_SIZE(cases); i++) {
      const VkSemaphoreTypeCreateInfo type = {
         .sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
         .semaphoreType = cases[i].type,
      };
      VkExternalSemaphoreProperties props = {
         .sType = VK_STRUCTURE_TYPE_EXTERNAL_SEMAPHORE_PROPERTIES,
      };
      vkGetPhysicalDeviceExternalSemaphoreProperties(
         t->pdev,
         &(VkPhysicalDeviceExternalSemaphoreInfo){
            .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_SEMAPHORE_INFO,
            .pNext = &type,
            .handleType = cases[i].handle,
         },
         &props);
      const bool works = (props.externalSemaphoreFeatures & both) == both;
      vkt_expect(works == cases[i].works, "case %u: features %x", i,
                 props.externalSemaphoreFeatures);
   }
}

static void
signal_from(struct vkt *t, struct vkt_queue *queue, VkSemaphore semaphore, uint64_t value)
{
   vkt_sync(t, queue,
            &(struct vkt_syncs){.signals = {{semaphore, value}}, .signal_count = 1});
}

/* On a queue, with a fence that says when. */
static void
wait_in(struct vkt *t, struct vkt_queue *queue, VkSemaphore semaphore, uint64_t value, VkFence fence)
{
   vkt_sync(t, queue,
            &(struct vkt_syncs){.waits = {{semaphore, value}}, .wait_count = 1, .fence = fence});
}

static void
expect_not_yet(struct vkt *t, VkFence fence)
{
   vkt_expect(vkWaitForFences(t->device, 1, &fence, VK_TRUE, 5 * 1000 * 1000) == VK_TIMEOUT,
              "done before the other device signalled");
}

static void
expect_done(struct vkt *t, VkFence fence)
{
   vkt_fence_wait(t, fence);
   vkt_check(vkResetFences(t->device, 1, &fence));
}

/* --------------------------------------------------------------- semaphores */

/* One payload for both: what one device signals, the other's wait takes away again. */
static void
opaque_binary(struct vkt *a, struct vkt *b, struct vkt_queue *from, struct vkt_queue *to)
{
   const VkSemaphore mine = vkt_semaphore_create_exportable(a, VK_SEMAPHORE_TYPE_BINARY, OPAQUE_FD);
   const VkSemaphore theirs = vkt_semaphore_create(b, VK_SEMAPHORE_TYPE_BINARY);
   const VkFence fence = vkt_fence_create(b);

   vkt_semaphore_import(b, theirs, OPAQUE_FD, 0, vkt_semaphore_export(a, mine, OPAQUE_FD));
   for (unsigned round = 0; round < 3; round++) {
      signal_from(a, from, mine, 0);
      wait_in(b, to, theirs, 0, fence);
      expect_done(b, fence);
   }
   vkt_check(vkDeviceWaitIdle(a->device));

   vkDestroyFence(b->device, fence, NULL);
   vkDestroySemaphore(b->device, theirs, NULL);
   vkDestroySemaphore(a->device, mine, NULL);
}

/* The wait is submitted first. */
static void
opaque_timeline(struct vkt *a, struct vkt *b, struct vkt_queue *from, struct vkt_queue *to)
{
   const VkSemaphore mine = vkt_semaphore_create_exportable(a, VK_SEMAPHORE_TYPE_TIMELINE, OPAQUE_FD);
   const VkSemaphore theirs = vkt_semaphore_create(b, VK_SEMAPHORE_TYPE_TIMELINE);
   const VkFence fence = vkt_fence_create(b);
   uint64_t value;

   vkt_semaphore_import(b, theirs, OPAQUE_FD, 0, vkt_semaphore_export(a, mine, OPAQUE_FD));
   for (uint64_t point = 3; point <= 9; point += 3) {
      wait_in(b, to, theirs, point, fence);
      expect_not_yet(b, fence);
      signal_from(a, from, mine, point);
      expect_done(b, fence);
      vkt_check(vkGetSemaphoreCounterValue(b->device, theirs, &value));
      vkt_expect(value == point, "%llu", (unsigned long long)value);
   }

   /* By the host of one for a wait of the other's host. */
   const uint64_t last = 20;
   vkt_check(vkDeviceWaitIdle(a->device));
   vkt_check(vkSignalSemaphore(a->device, &(VkSemaphoreSignalInfo){
                                             .sType = VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO,
                                             .semaphore = mine,
                                             .value = last,
                                          }));
   vkt_check(vkWaitSemaphores(b->device,
                              &(VkSemaphoreWaitInfo){
                                 .sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                                 .semaphoreCount = 1,
                                 .pSemaphores = &theirs,
                                 .pValues = &last,
                              },
                              UINT64_MAX));

   vkDestroyFence(b->device, fence, NULL);
   vkDestroySemaphore(b->device, theirs, NULL);
   vkDestroySemaphore(a->device, mine, NULL);
}

/* An export takes the payload out, an import puts one in for the next wait only. */
static void
sync_fd(struct vkt *a, struct vkt *b, struct vkt_queue *from, struct vkt_queue *to)
{
   const VkSemaphore mine = vkt_semaphore_create_exportable(a, VK_SEMAPHORE_TYPE_BINARY, SYNC_FD);
   const VkSemaphore theirs = vkt_semaphore_create(b, VK_SEMAPHORE_TYPE_BINARY);
   const VkFence fence = vkt_fence_create(b);

   for (unsigned round = 0; round < 3; round++) {
      signal_from(a, from, mine, 0);
      const int fd = vkt_semaphore_export(a, mine, SYNC_FD);
      if (round == 1) {
         struct pollfd pollfd = {.fd = fd, .events = POLLIN};
         vkt_expect(fd < 0 || poll(&pollfd, 1, -1) == 1, "the sync file is refused");
      }
      vkt_semaphore_import(b, theirs, SYNC_FD, VK_SEMAPHORE_IMPORT_TEMPORARY_BIT, fd);
      wait_in(b, to, theirs, 0, fence);
      expect_done(b, fence);
   }

   /* -1 is a signalled one. */
   vkt_semaphore_import(b, theirs, SYNC_FD, VK_SEMAPHORE_IMPORT_TEMPORARY_BIT, -1);
   wait_in(b, to, theirs, 0, fence);
   expect_done(b, fence);

   /* What it had before is there again after the wait. */
   signal_from(b, to, theirs, 0);
   wait_in(b, to, theirs, 0, fence);
   expect_done(b, fence);
   vkt_check(vkDeviceWaitIdle(a->device));

   vkDestroyFence(b->device, fence, NULL);
   vkDestroySemaphore(b->device, theirs, NULL);
   vkDestroySemaphore(a->device, mine, NULL);
}

/* --------------------------------------------- whatever becomes of the fd on its way */

enum way { AS_IT_IS, DUP, DUP2, DUP3, FCNTL, SOCKET, WAY_COUNT };

static int
through_socket(int fd)
{
   union {
      struct cmsghdr header;
      char bytes[CMSG_SPACE(sizeof(int))];
   } control = {0};
   char byte = 'v';
   struct iovec iov = {.iov_base = &byte, .iov_len = 1};
   struct msghdr msg = {
      .msg_iov = &iov,
      .msg_iovlen = 1,
      .msg_control = &control,
      .msg_controllen = sizeof(control),
   };
   int sockets[2], received;

   control.header = (struct cmsghdr){
      .cmsg_len = CMSG_LEN(sizeof(int)),
      .cmsg_level = SOL_SOCKET,
      .cmsg_type = SCM_RIGHTS,
   };
   memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
   vkt_expect(!socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), "-");
   vkt_expect(sendmsg(sockets[0], &msg, 0) == 1, "-");
   close(fd);
   vkt_expect(recvmsg(sockets[1], &msg, 0) == 1, "-");
   memcpy(&received, CMSG_DATA(&control.header), sizeof(received));
   close(sockets[0]);
   close(sockets[1]);

   return received;
}

/* Another fd for the same; the old one is closed. */
static int
send_along(int fd, enum way way)
{
   int copy = fd;

   /* A payload that is signalled. */
   if (fd < 0 || way == AS_IT_IS)
      return fd;

   switch (way) {
   case SOCKET:
      return through_socket(fd);
   case DUP:
      copy = dup(fd);
      break;
   case FCNTL:
      copy = fcntl(fd, F_DUPFD_CLOEXEC, 50);
      break;
   default:
      copy = open("/dev/null", O_RDONLY);
      copy = way == DUP2 ? dup2(fd, copy) : dup3(fd, copy, O_CLOEXEC);
      break;
   }
   vkt_expect(copy >= 0, "-");
   close(fd);
   return copy;
}

/* Signalled, exported, imported, waited for; whether the import is for once or for ever. */
static void
semaphore_ways(struct vkt *t, VkExternalSemaphoreHandleTypeFlagBits handle, VkSemaphoreImportFlags flags,
               enum way way)
{
   struct vkt_queue *const queue = t->graphics;
   const VkSemaphore mine = vkt_semaphore_create_exportable(t, VK_SEMAPHORE_TYPE_BINARY, handle);
   const VkSemaphore theirs = vkt_semaphore_create(t, VK_SEMAPHORE_TYPE_BINARY);
   const VkFence fence = vkt_fence_create(t);

   /* Twice: the second import takes the place of the first. */
   for (unsigned round = 0; round < 2; round++) {
      signal_from(t, queue, mine, 0);
      const int fd = send_along(vkt_semaphore_export(t, mine, handle), way);
      if (round == 1 && handle == OPAQUE_FD)
         vkt_semaphore_import(t, theirs, handle, flags, dup(fd));
      vkt_semaphore_import(t, theirs, handle, flags, fd);
      wait_in(t, queue, theirs, 0, fence);
      expect_done(t, fence);
   }

   /* One payload, and it goes to and fro. */
   if (handle == OPAQUE_FD && !flags) {
      signal_from(t, queue, theirs, 0);
      wait_in(t, queue, mine, 0, fence);
      expect_done(t, fence);
   } else {
      signal_from(t, queue, mine, 0);
      wait_in(t, queue, mine, 0, fence);
      expect_done(t, fence);
      signal_from(t, queue, theirs, 0);
      wait_in(t, queue, theirs, 0, fence);
      expect_done(t, fence);
   }

   vkDestroyFence(t->device, fence, NULL);
   vkDestroySemaphore(t->device, theirs, NULL);
   vkDestroySemaphore(t->device, mine, NULL);
}

/* ------------------------------------------------------------------- fences */

static VkFence
create_exportable_fence(struct vkt *t, VkExternalFenceHandleTypeFlags handles)
{
   const VkExportFenceCreateInfo export_info = {
      .sType = VK_STRUCTURE_TYPE_EXPORT_FENCE_CREATE_INFO,
      .handleTypes = handles,
   };
   VkFence fence;

   vkt_check(vkCreateFence(t->device,
                           &(VkFenceCreateInfo){
                              .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO,
                              .pNext = &export_info,
                           },
                           NULL, &fence));
   return fence;
}

static int
export_fence(struct vkt *t, VkFence fence, VkExternalFenceHandleTypeFlagBits handle)
{
   int fd = -1;

   vkt_check(vkt_proc(t, vkGetFenceFdKHR)(t->device,
                                          &(VkFenceGetFdInfoKHR){
                                             .sType = VK_STRUCTURE_TYPE_FENCE_GET_FD_INFO_KHR,
                                             .fence = fence,
                                             .handleType = handle,
                                          },
                                          &fd));
   return fd;
}

static void
import_fence(struct vkt *t, VkFence fence, VkExternalFenceHandleTypeFlagBits handle,
             VkFenceImportFlags flags, int fd)
{
   vkt_check(vkt_proc(t, vkImportFenceFdKHR)(
      t->device, &(VkImportFenceFdInfoKHR){
                    .sType = VK_STRUCTURE_TYPE_IMPORT_FENCE_FD_INFO_KHR,
                    .fence = fence,
                    .flags = flags,
                    .handleType = handle,
                    .fd = fd,
                 }));
}

static void
fence_ways(struct vkt *t, VkExternalFenceHandleTypeFlagBits handle, VkFenceImportFlags flags,
           enum way way)
{
   const bool opaque = handle == VK_EXTERNAL_FENCE_HANDLE_TYPE_OPAQUE_FD_BIT;
   const VkFence mine = create_exportable_fence(t, handle), theirs = vkt_fence_create(t);

   for (unsigned round = 0; round < 2; round++) {
      vkt_submit(t, t->graphics, NULL, &(struct vkt_syncs){.fence = mine});
      import_fence(t, theirs, handle, flags, send_along(export_fence(t, mine, handle), way));
      vkt_fence_wait(t, theirs);

      if (opaque) {
         vkt_check(vkGetFenceStatus(t->device, mine));
         vkt_check(vkResetFences(t->device, 1, &mine));
         vkt_expect(vkGetFenceStatus(t->device, theirs) == VK_NOT_READY, "two payloads");
      } else {
         /* "Exporting with copy transference resets". */
         vkt_expect(vkGetFenceStatus(t->device, mine) == VK_NOT_READY, "not reset by the export");
         vkt_check(vkGetFenceStatus(t->device, theirs));
      }
      /* A temporary payload goes by the reset, and what was there before, is. */
      vkt_check(vkResetFences(t->device, 1, &theirs));
      vkt_expect(vkGetFenceStatus(t->device, theirs) == VK_NOT_READY, "not reset");
   }

   vkt_submit(t, t->graphics, NULL, &(struct vkt_syncs){.fence = theirs});
   vkt_fence_wait(t, theirs);
   vkt_expect(vkGetFenceStatus(t->device, mine) == (opaque && !flags ? VK_SUCCESS : VK_NOT_READY),
              "handle type %x, import %x", handle, flags);

   vkDestroyFence(t->device, theirs, NULL);
   vkDestroyFence(t->device, mine, NULL);
}

/* A thousand exports, and a thousand imports of one: no file stays open. */
static void
many(struct vkt *t)
{
   VkSemaphore mine = vkt_semaphore_create_exportable(t, VK_SEMAPHORE_TYPE_BINARY, OPAQUE_FD);
   VkSemaphore theirs[1000];

   for (unsigned i = 0; i < VKT_ARRAY_SIZE(theirs); i++) {
      theirs[i] = vkt_semaphore_create(t, VK_SEMAPHORE_TYPE_BINARY);
      vkt_semaphore_import(t, theirs[i], OPAQUE_FD, i & 1 ? VK_SEMAPHORE_IMPORT_TEMPORARY_BIT : 0,
                       vkt_semaphore_export(t, mine, OPAQUE_FD));
   }
   const VkFence fence = vkt_fence_create(t);
   for (unsigned i = 0; i < VKT_ARRAY_SIZE(theirs); i += 100) {
      signal_from(t, t->graphics, mine, 0);
      wait_in(t, t->graphics, theirs[i + 1], 0, fence);
      expect_done(t, fence);
   }
   vkDestroyFence(t->device, fence, NULL);
   for (unsigned i = 0; i < VKT_ARRAY_SIZE(theirs); i++)
      vkDestroySemaphore(t->device, theirs[i], NULL);
   vkDestroySemaphore(t->device, mine, NULL);
}

static void
fence(struct vkt *a, struct vkt *b, struct vkt_queue *queue,
      VkExternalFenceHandleTypeFlagBits handle)
{
   const bool opaque = handle == VK_EXTERNAL_FENCE_HANDLE_TYPE_OPAQUE_FD_BIT;
   const VkFence mine = create_exportable_fence(a, handle), theirs = vkt_fence_create(b);

   if (!opaque)
      vkt_sync(a, queue, &(struct vkt_syncs){.fence = mine});
   import_fence(b, theirs, handle, opaque ? 0 : VK_FENCE_IMPORT_TEMPORARY_BIT,
                export_fence(a, mine, handle));
   if (opaque) {
      vkt_expect(vkGetFenceStatus(b->device, theirs) == VK_NOT_READY, "signalled already");
      vkt_sync(a, queue, &(struct vkt_syncs){.fence = mine});
   }
   vkt_fence_wait(b, theirs);
   if (opaque)
      vkt_fence_wait(a, mine);
   vkt_check(vkDeviceWaitIdle(a->device));

   vkDestroyFence(b->device, theirs, NULL);
   vkDestroyFence(a->device, mine, NULL);
}

int
main(void)
{
   const struct vkt_config config = {
      .extensions = extensions,
      .extension_count = VKT_ARRAY_SIZE(extensions),
   };
   struct vkt a, b;

   vkt_init_with(&a, &config);
   vkt_init_with(&b, &config);
   says_what_it_can(&a);

   struct vkt_queue *const from[] = {a.graphics, a.sparse};
   struct vkt_queue *const to[] = {b.graphics, b.sparse};
   for (unsigned i = 0; i < 4; i++) {
      opaque_binary(&a, &b, from[i & 1], to[i >> 1]);
      opaque_timeline(&a, &b, from[i & 1], to[i >> 1]);
      sync_fd(&a, &b, from[i & 1], to[i >> 1]);
   }
   for (unsigned i = 0; i < 2; i++) {
      fence(&a, &b, from[i], VK_EXTERNAL_FENCE_HANDLE_TYPE_OPAQUE_FD_BIT);
      fence(&a, &b, from[i], VK_EXTERNAL_FENCE_HANDLE_TYPE_SYNC_FD_BIT);
   }

   for (enum way way = 0; way < WAY_COUNT; way++) {
      semaphore_ways(&a, OPAQUE_FD, 0, way);
      semaphore_ways(&a, OPAQUE_FD, VK_SEMAPHORE_IMPORT_TEMPORARY_BIT, way);
      semaphore_ways(&a, SYNC_FD, VK_SEMAPHORE_IMPORT_TEMPORARY_BIT, way);
      fence_ways(&a, VK_EXTERNAL_FENCE_HANDLE_TYPE_OPAQUE_FD_BIT, 0, way);
      fence_ways(&a, VK_EXTERNAL_FENCE_HANDLE_TYPE_OPAQUE_FD_BIT, VK_FENCE_IMPORT_TEMPORARY_BIT, way);
      fence_ways(&a, VK_EXTERNAL_FENCE_HANDLE_TYPE_SYNC_FD_BIT, VK_FENCE_IMPORT_TEMPORARY_BIT, way);
   }
   many(&a);

   vkt_finish(&b);
   vkt_finish(&a);

   return 0;
}

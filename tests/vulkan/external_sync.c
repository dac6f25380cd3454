/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Semaphores and fences that two devices share, each of an instance of its own: through opaque fds
 * (the same payload) and sync fds (a copy of it), binary and timeline, on graphics queues and on
 * queues that only bind.  Vulkan 1.3, "Importing Semaphore Payloads" and "Importing Fence Payloads".
 */

#include "vkt.h"

#include <poll.h>
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

/* ------------------------------------------------------------------ handles */

static VkSemaphore
create_exportable(struct vkt *t, VkSemaphoreType type, VkExternalSemaphoreHandleTypeFlags handles)
{
   const VkSemaphoreTypeCreateInfo type_info = {
      .sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
      .semaphoreType = type,
   };
   const VkExportSemaphoreCreateInfo export_info = {
      .sType = VK_STRUCTURE_TYPE_EXPORT_SEMAPHORE_CREATE_INFO,
      .pNext = &type_info,
      .handleTypes = handles,
   };
   VkSemaphore semaphore;

   vkt_check(vkCreateSemaphore(t->device,
                               &(VkSemaphoreCreateInfo){
                                  .sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO,
                                  .pNext = &export_info,
                               },
                               NULL, &semaphore));
   return semaphore;
}

static int
export_semaphore(struct vkt *t, VkSemaphore semaphore, VkExternalSemaphoreHandleTypeFlagBits handle)
{
   int fd = -1;

   vkt_check(vkt_proc(t, vkGetSemaphoreFdKHR)(
      t->device,
      &(VkSemaphoreGetFdInfoKHR){
         .sType = VK_STRUCTURE_TYPE_SEMAPHORE_GET_FD_INFO_KHR,
         .semaphore = semaphore,
         .handleType = handle,
      },
      &fd));
   return fd;
}

static void
import_semaphore(struct vkt *t, VkSemaphore semaphore, VkExternalSemaphoreHandleTypeFlagBits handle,
                 VkSemaphoreImportFlags flags, int fd)
{
   vkt_check(vkt_proc(t, vkImportSemaphoreFdKHR)(
      t->device, &(VkImportSemaphoreFdInfoKHR){
                    .sType = VK_STRUCTURE_TYPE_IMPORT_SEMAPHORE_FD_INFO_KHR,
                    .semaphore = semaphore,
                    .flags = flags,
                    .handleType = handle,
                    .fd = fd,
                 }));
}

static void
submit_or_bind(struct vkt *t, struct vkt_queue *queue, const struct vkt_syncs *syncs)
{
   if (queue == t->sparse)
      vkt_bind(t, queue, &(VkBindSparseInfo){0}, syncs);
   else
      vkt_submit(t, queue, NULL, syncs);
}

static void
signal_from(struct vkt *t, struct vkt_queue *queue, VkSemaphore semaphore, uint64_t value)
{
   submit_or_bind(t, queue,
                  &(struct vkt_syncs){.signals = {{semaphore, value}}, .signal_count = 1});
}

/* On a queue, with a fence that says when. */
static void
wait_in(struct vkt *t, struct vkt_queue *queue, VkSemaphore semaphore, uint64_t value, VkFence fence)
{
   submit_or_bind(
      t, queue,
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
   const VkSemaphore mine = create_exportable(a, VK_SEMAPHORE_TYPE_BINARY, OPAQUE_FD);
   const VkSemaphore theirs = vkt_semaphore_create(b, VK_SEMAPHORE_TYPE_BINARY);
   const VkFence fence = vkt_fence_create(b);

   import_semaphore(b, theirs, OPAQUE_FD, 0, export_semaphore(a, mine, OPAQUE_FD));
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
   const VkSemaphore mine = create_exportable(a, VK_SEMAPHORE_TYPE_TIMELINE, OPAQUE_FD);
   const VkSemaphore theirs = vkt_semaphore_create(b, VK_SEMAPHORE_TYPE_TIMELINE);
   const VkFence fence = vkt_fence_create(b);
   uint64_t value;

   import_semaphore(b, theirs, OPAQUE_FD, 0, export_semaphore(a, mine, OPAQUE_FD));
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
   const VkSemaphore mine = create_exportable(a, VK_SEMAPHORE_TYPE_BINARY, SYNC_FD);
   const VkSemaphore theirs = vkt_semaphore_create(b, VK_SEMAPHORE_TYPE_BINARY);
   const VkFence fence = vkt_fence_create(b);

   for (unsigned round = 0; round < 3; round++) {
      signal_from(a, from, mine, 0);
      const int fd = export_semaphore(a, mine, SYNC_FD);
      if (round == 1) {
         struct pollfd pollfd = {.fd = fd, .events = POLLIN};
         vkt_expect(fd < 0 || poll(&pollfd, 1, 10000) == 1, "the sync file never signals");
      }
      import_semaphore(b, theirs, SYNC_FD, VK_SEMAPHORE_IMPORT_TEMPORARY_BIT, fd);
      wait_in(b, to, theirs, 0, fence);
      expect_done(b, fence);
   }

   /* -1 is a signalled one. */
   import_semaphore(b, theirs, SYNC_FD, VK_SEMAPHORE_IMPORT_TEMPORARY_BIT, -1);
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

/* ------------------------------------------------------------------- fences */

static void
fence(struct vkt *a, struct vkt *b, struct vkt_queue *queue,
      VkExternalFenceHandleTypeFlagBits handle)
{
   const bool opaque = handle == VK_EXTERNAL_FENCE_HANDLE_TYPE_OPAQUE_FD_BIT;
   const VkExportFenceCreateInfo export_info = {
      .sType = VK_STRUCTURE_TYPE_EXPORT_FENCE_CREATE_INFO,
      .handleTypes = handle,
   };
   VkFence mine, theirs = vkt_fence_create(b);
   int fd = -1;

   vkt_check(vkCreateFence(a->device,
                           &(VkFenceCreateInfo){
                              .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO,
                              .pNext = &export_info,
                           },
                           NULL, &mine));
   if (!opaque)
      submit_or_bind(a, queue, &(struct vkt_syncs){.fence = mine});
   vkt_check(vkt_proc(a, vkGetFenceFdKHR)(a->device,
                                          &(VkFenceGetFdInfoKHR){
                                             .sType = VK_STRUCTURE_TYPE_FENCE_GET_FD_INFO_KHR,
                                             .fence = mine,
                                             .handleType = handle,
                                          },
                                          &fd));
   vkt_check(vkt_proc(b, vkImportFenceFdKHR)(
      b->device, &(VkImportFenceFdInfoKHR){
                    .sType = VK_STRUCTURE_TYPE_IMPORT_FENCE_FD_INFO_KHR,
                    .fence = theirs,
                    .flags = opaque ? 0 : VK_FENCE_IMPORT_TEMPORARY_BIT,
                    .handleType = handle,
                    .fd = fd,
                 }));
   if (opaque) {
      vkt_expect(vkGetFenceStatus(b->device, theirs) == VK_NOT_READY, "signalled already");
      submit_or_bind(a, queue, &(struct vkt_syncs){.fence = mine});
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

   vkt_finish(&b);
   vkt_finish(&a);

   return 0;
}

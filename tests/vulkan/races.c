/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Binds of several queues that complete while the driver looks at what has completed.  The program
 * stands between the driver and libdrm, so that it happens at the worst moment each time.
 *
 * Needs kernel drivers that take binds whose waits are not over (VMB_SYNC_THREAD ones do not), and
 * the simulator's software timelines for waits that last as long as the test wants.
 */

#include "vkt.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <xf86drm.h>

#define BLOCK_B (64 * 1024u)
#define VALUE   0xabcdef

static const char *const extensions[] = {VK_KHR_EXTERNAL_SEMAPHORE_FD_EXTENSION_NAME};

/* ------------------------------------------------------------- a fence of ours */

/* The kernel's drivers/dma-buf/sw_sync.c. */
struct sw_sync_create {
   uint32_t value;
   char name[32];
   int32_t fence;
};

static int
fence_create(int timeline)
{
   struct sw_sync_create args = {.value = 1};

   vkt_expect(!ioctl(timeline, _IOWR('W', 0, struct sw_sync_create), &args), "no fence");
   return args.fence;
}

static void
fence_signal(int timeline)
{
   uint32_t by = 1;

   vkt_expect(!ioctl(timeline, _IOW('W', 1, uint32_t), &by), "cannot signal");
}

static void
import_fence(struct vkt *t, VkSemaphore semaphore, int fence)
{
   vkt_check(vkt_proc(t, vkImportSemaphoreFdKHR)(
      t->device, &(VkImportSemaphoreFdInfoKHR){
                    .sType = VK_STRUCTURE_TYPE_IMPORT_SEMAPHORE_FD_INFO_KHR,
                    .semaphore = semaphore,
                    .flags = VK_SEMAPHORE_IMPORT_TEMPORARY_BIT,
                    .handleType = VK_EXTERNAL_SEMAPHORE_HANDLE_TYPE_SYNC_FD_BIT,
                    .fd = fence,
                 }));
}

/* Returns when the kernel has the submission that signals it. */
static int
export_fence(struct vkt *t, VkSemaphore semaphore)
{
   int fd = -1;

   vkt_check(vkt_proc(t, vkGetSemaphoreFdKHR)(
      t->device,
      &(VkSemaphoreGetFdInfoKHR){
         .sType = VK_STRUCTURE_TYPE_SEMAPHORE_GET_FD_INFO_KHR,
         .semaphore = semaphore,
         .handleType = VK_EXTERNAL_SEMAPHORE_HANDLE_TYPE_SYNC_FD_BIT,
      },
      &fd));
   return fd;
}

static VkSemaphore
create_exportable(struct vkt *t)
{
   const VkExportSemaphoreCreateInfo export_info = {
      .sType = VK_STRUCTURE_TYPE_EXPORT_SEMAPHORE_CREATE_INFO,
      .handleTypes = VK_EXTERNAL_SEMAPHORE_HANDLE_TYPE_SYNC_FD_BIT,
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

/* -------------------------------------------------------------- the worst moment */

static struct {
   bool armed;
   int timeline;
   int last;
} moment;

/* The driver has the answer for one queue, and all queues go on before it asks for the next. */
int
drmSyncobjQuery(int fd, uint32_t *handles, uint64_t *points, uint32_t handle_count)
{
   void *libdrm = dlopen("libdrm.so.2", RTLD_LAZY | RTLD_NOLOAD);
   int (*query)(int, uint32_t *, uint64_t *, uint32_t) = dlsym(libdrm, "drmSyncobjQuery");
   const int ret = query(fd, handles, points, handle_count);

   if (__atomic_exchange_n(&moment.armed, false, __ATOMIC_ACQ_REL)) {
      struct pollfd wait = {.fd = moment.last, .events = POLLIN};

      fence_signal(moment.timeline);
      vkt_expect(poll(&wait, 1, -1) == 1, "poll");
   }
   return ret;
}

/* ------------------------------------------------------------------------ test */

struct target {
   VkBuffer buffer;
   VkDeviceMemory memory;
   uint32_t *map;
};

static void
bind_block(struct vkt *t, struct vkt_queue *queue, const struct target *target, bool bound,
           const struct vkt_syncs *syncs)
{
   const VkSparseMemoryBind bind = {.size = BLOCK_B, .memory = bound ? target->memory : NULL};
   const VkSparseBufferMemoryBindInfo info = {target->buffer, 1, &bind};

   vkt_bind(t, queue, &(VkBindSparseInfo){.bufferBindCount = 1, .pBufferBinds = &info}, syncs);
}

static void
run_nothing(struct vkt *t)
{
   vkt_run(t, vkt_begin(t));
}

/* One queue unbinds a block, another one waits for it and binds the block again: what is written
 * there arrives, whenever the driver has looked. */
static void
residency_follows_the_binds(struct vkt *t, struct vkt_queue *first, struct vkt_queue *second)
{
   struct target target = {
      .buffer = vkt_sparse_buffer_create(t, BLOCK_B, VK_BUFFER_CREATE_SPARSE_RESIDENCY_BIT),
      .memory = vkt_alloc(t, BLOCK_B, (void **)&target.map),
   };
   const VkSemaphore held = vkt_semaphore_create(t, VK_SEMAPHORE_TYPE_BINARY);
   const VkSemaphore between = vkt_semaphore_create(t, VK_SEMAPHORE_TYPE_BINARY);
   const VkSemaphore last = create_exportable(t);
   const VkFence bound = vkt_fence_create(t);

   bind_block(t, first, &target, true, &(struct vkt_syncs){.fence = bound});
   vkt_fence_wait(t, bound);
   run_nothing(t);

   moment.timeline = open("/dev/sw_sync", O_RDWR | O_CLOEXEC);
   vkt_expect(moment.timeline >= 0, "no software timelines");
   import_fence(t, held, fence_create(moment.timeline));
   bind_block(t, first, &target, false,
              &(struct vkt_syncs){
                 .waits = {{held}}, .wait_count = 1, .signals = {{between}}, .signal_count = 1});
   bind_block(t, second, &target, true,
              &(struct vkt_syncs){
                 .waits = {{between}}, .wait_count = 1, .signals = {{last}}, .signal_count = 1});
   moment.last = export_fence(t, last);
   __atomic_store_n(&moment.armed, true, __ATOMIC_RELEASE);
   run_nothing(t);
   vkt_expect(!__atomic_load_n(&moment.armed, __ATOMIC_ACQUIRE), "nobody has looked");
   vkt_check(vkDeviceWaitIdle(t->device));

   VkCommandBuffer cmd = vkt_begin(t);
   vkCmdFillBuffer(cmd, target.buffer, 0, BLOCK_B, VALUE);
   vkt_barrier(cmd);
   vkt_run(t, cmd);
   for (uint32_t i = 0; i < BLOCK_B / 4; i++)
      vkt_expect(target.map[i] == VALUE, "word %u is 0x%x", i, target.map[i]);

   close(moment.last);
   close(moment.timeline);
   vkDestroyFence(t->device, bound, NULL);
   vkDestroySemaphore(t->device, held, NULL);
   vkDestroySemaphore(t->device, between, NULL);
   vkDestroySemaphore(t->device, last, NULL);
   vkDestroyBuffer(t->device, target.buffer, NULL);
   vkFreeMemory(t->device, target.memory, NULL);
}

int
main(void)
{
   struct vkt_queue *second = NULL;
   struct vkt t;

   vkt_init_with(&t, &(struct vkt_config){.extensions = extensions, .extension_count = 1});
   for (uint32_t q = 0; q < t.queue_count; q++) {
      if (t.queues[q].flags == VK_QUEUE_SPARSE_BINDING_BIT && &t.queues[q] != t.sparse)
         second = &t.queues[q];
   }
   vkt_expect(second, "one queue that only binds");

   residency_follows_the_binds(&t, t.sparse, second);
   residency_follows_the_binds(&t, second, t.sparse);
   vkt_finish(&t);
   return 0;
}

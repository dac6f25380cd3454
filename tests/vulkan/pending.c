/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Binds that are pending for as long as the test wants, by the simulator's software timelines: they
 * complete while the driver looks at what has completed, or fail when they are executed at last.
 *
 * The program stands between the driver and libdrm, so that things happen at the worst moment each
 * time.
 */

#include "vkt.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
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
   vkt_semaphore_import(t, semaphore, VK_EXTERNAL_SEMAPHORE_HANDLE_TYPE_SYNC_FD_BIT,
                        VK_SEMAPHORE_IMPORT_TEMPORARY_BIT, fence);
}

/* Returns when the kernel has the submission that signals it. */
static int
export_fence(struct vkt *t, VkSemaphore semaphore)
{
   return vkt_semaphore_export(t, semaphore, VK_EXTERNAL_SEMAPHORE_HANDLE_TYPE_SYNC_FD_BIT);
}

static VkSemaphore
create_exportable(struct vkt *t)
{
   return vkt_semaphore_create_exportable(t, VK_SEMAPHORE_TYPE_BINARY,
                                          VK_EXTERNAL_SEMAPHORE_HANDLE_TYPE_SYNC_FD_BIT);
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

/* ----------------------------------------------------------------------- failure */

/* Of a bind that fails when it is executed nobody hears who waits for it alone; but nothing is executed
 * that reads there, and the device is lost.  (A buffer without residency: reading what is not bound
 * would be the end of the program.) */
static void
failure_is_noticed(bool takes_pending)
{
   int (*set_fault)(const char *) = dlsym(RTLD_DEFAULT, "drm_sim_set_fault");
   uint64_t (*count)(const char *) = dlsym(RTLD_DEFAULT, "drm_sim_get_ioctl_count");
   struct target target;
   struct vkt t;

   vkt_expect(set_fault && count, "no simulator");
   vkt_init_with(&t, &(struct vkt_config){.extensions = extensions, .extension_count = 1});
   target.buffer = vkt_sparse_buffer_create(&t, BLOCK_B, 0);
   target.memory = vkt_alloc(&t, BLOCK_B, (void **)&target.map);
   struct vkt_buffer out = vkt_buffer_create(&t, BLOCK_B);
   const VkSemaphore held = vkt_semaphore_create(&t, VK_SEMAPHORE_TYPE_BINARY);
   const VkSemaphore last = create_exportable(&t);
   const VkFence bound = vkt_fence_create(&t), copied = vkt_fence_create(&t);
   vkt_check(vkDeviceWaitIdle(t.device));

   const int timeline = open("/dev/sw_sync", O_RDWR | O_CLOEXEC);
   import_fence(&t, held, fence_create(timeline));
   vkt_expect(!set_fault(takes_pending ? "job:1=ENOMEM" : VKT_FAIL_NEXT_BIND), "-");
   const uint64_t transfers = count("syncobj_transfer");
   bind_block(&t, t.sparse, &target, true,
              &(struct vkt_syncs){.waits = {{held}},
                                  .wait_count = 1,
                                  .signals = {{last}},
                                  .signal_count = 1,
                                  .fence = bound});
   /* The kernel has it, or a thread of ours has taken the fence over that it waits for. */
   if (takes_pending)
      close(export_fence(&t, last));
   while (!takes_pending && count("syncobj_transfer") == transfers)
      sched_yield();
   fence_signal(timeline);
   VkResult result = vkWaitForFences(t.device, 1, &bound, VK_TRUE, UINT64_MAX);
   vkt_expect(result == VK_SUCCESS || result == VK_ERROR_DEVICE_LOST, "%d", result);
   set_fault(NULL);

   VkCommandBuffer cmd = vkt_begin(&t);
   vkCmdCopyBuffer(cmd, target.buffer, out.buffer, 1, &(VkBufferCopy){0, 0, BLOCK_B});
   vkt_check(vkEndCommandBuffer(cmd));
   result = vkQueueSubmit(t.graphics->queue, 1,
                          &(VkSubmitInfo){
                             .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                             .commandBufferCount = 1,
                             .pCommandBuffers = &cmd,
                          },
                          copied);
   vkt_expect(result == VK_SUCCESS || result == VK_ERROR_DEVICE_LOST, "%d", result);
   if (result == VK_SUCCESS)
      vkWaitForFences(t.device, 1, &copied, VK_TRUE, UINT64_MAX);
   result = vkDeviceWaitIdle(t.device);
   vkt_expect(result == VK_ERROR_DEVICE_LOST, "%d", result);

   close(timeline);
   vkDestroyFence(t.device, bound, NULL);
   vkDestroyFence(t.device, copied, NULL);
   vkDestroySemaphore(t.device, held, NULL);
   vkDestroySemaphore(t.device, last, NULL);
   vkt_buffer_destroy(&t, &out);
   vkDestroyBuffer(t.device, target.buffer, NULL);
   vkFreeMemory(t.device, target.memory, NULL);
   vkDestroyCommandPool(t.device, t.pool, NULL);
   vkDestroyDevice(t.device, NULL);
   vkDestroyInstance(t.instance, NULL);
}

/* ------------------------------------------------------------------------- main */

static bool
is_on(const struct vkt *t, const char *const *kmds, uint32_t count)
{
   for (uint32_t i = 0; i < count; i++) {
      if (strstr(t->props.deviceName, kmds[i]))
         return true;
   }
   return false;
}

int
main(void)
{
   /* Those that take binds whose waits are not over (the others' wait in a thread of ours), and those
    * that never tell of a failure, or with the next bind. */
   static const char *const take_pending[] = {"panthor", "msm", "xe", "nouveau"};
   static const char *const tell_late[] = {"msm", "nouveau"};
   struct vkt_queue *second = NULL;
   struct vkt t;

   vkt_init_with(&t, &(struct vkt_config){.extensions = extensions, .extension_count = 1});
   for (uint32_t q = 0; q < t.queue_count; q++) {
      if (t.queues[q].flags == VK_QUEUE_SPARSE_BINDING_BIT && &t.queues[q] != t.sparse)
         second = &t.queues[q];
   }
   vkt_expect(second, "one queue that only binds");

   const bool takes_pending = is_on(&t, take_pending, VKT_ARRAY_SIZE(take_pending));
   const bool tells = !is_on(&t, tell_late, VKT_ARRAY_SIZE(tell_late));
   if (takes_pending) {
      residency_follows_the_binds(&t, t.sparse, second);
      residency_follows_the_binds(&t, second, t.sparse);
   }
   vkt_finish(&t);

   if (tells)
      failure_is_noticed(takes_pending);
   return 0;
}

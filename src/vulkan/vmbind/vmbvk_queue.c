/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Queues: what is done with a batch once the runtime hands it over, in the queue's own thread.
 *
 * A batch either binds or executes.  Binds go to the kernel with their syncs and are not waited
 * for.  Commands are executed here, on the CPU, so everything that they wait for must have happened.
 *
 * A batch that fails is the end of the device: the runtime has no other way to say it.  From then on
 * nothing is done any more, but all that was to be signalled is, so that nobody waits for ever.
 */

#include "vmbvk_private.h"

#include <errno.h>
#include <xf86drm.h>

#include "pipe/p_context.h"
#include "pipe/p_screen.h"
#include "util/os_time.h"
#include "vk_common_entrypoints.h"
#include "vk_enum_to_str.h"
#include "vmbind/vmbind_screen.h"

/* For fences of binds, which signal in any case; where a thread of the core's binds, it brings them only then. */
static VkResult
wait_for_point(struct vmbvk_device *device, struct vmb_sync sync)
{
   if (sync.point == 0)
      return VK_SUCCESS;

   if (drmSyncobjTimelineWait(device->lvp.vk.drm_fd, &sync.syncobj, &sync.point, 1, INT64_MAX,
                              DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT, NULL))
      return vk_errorf(device, VK_ERROR_UNKNOWN, "waiting for binds failed: %m");

   return VK_SUCCESS;
}

/* The null mappings of new sparse resources are bound behind the application's back. */
static VkResult
wait_for_ranges(struct vmbvk_device *device)
{
   struct vmb_sync sync;
   const int ret = vmb_vm_get_sync(vmbind_screen_vm(device->lvp.pscreen), &sync);

   if (ret)
      return vk_errorf(device, VK_ERROR_OUT_OF_DEVICE_MEMORY,
                       "sparse resources could not be bound to null: %s", strerror(-ret));
   return wait_for_point(device, sync);
}

/* Returns when the last of the commands is done. */
static void
execute(struct lvp_device *device, struct vk_queue_submit *submit)
{
   struct lvp_queue *engine = &device->queue;
   struct pipe_screen *pscreen = device->pscreen;
   struct pipe_fence_handle *fence = NULL;

   simple_mtx_lock(&engine->lock);
   for (uint32_t i = 0; i < submit->command_buffer_count; i++) {
      struct lvp_cmd_buffer *cmd_buffer =
         container_of(submit->command_buffers[i], struct lvp_cmd_buffer, vk);

      lvp_execute_cmds(device, engine, cmd_buffer);
   }
   engine->ctx->flush(engine->ctx, &fence, 0);
   simple_mtx_unlock(&engine->lock);

   if (fence) {
      pscreen->fence_finish(pscreen, NULL, fence, OS_TIMEOUT_INFINITE);
      pscreen->fence_reference(pscreen, &fence, NULL);
   }
}

static VkResult
queue_execute(struct vmbvk_queue *queue, struct vk_queue_submit *submit)
{
   struct vmbvk_device *device = vmbvk_device_from_vk(queue->vk.base.device);
   VkResult result;

   result = vmbvk_wait_in_queue(device, submit->wait_count, submit->waits);
   if (result != VK_SUCCESS)
      return result;

   if (submit->command_buffer_count > 0) {
      result = wait_for_ranges(device);
      if (result != VK_SUCCESS)
         return result;

      if (vmbvk_residency_advance(device))
         return vk_errorf(device, VK_ERROR_DEVICE_LOST, "a bind failed when it was executed");
      execute(&device->lvp, submit);
   }

   /* A signal covers what was submitted to the queue before: the binds too. */
   if (submit->signal_count > 0) {
      result = wait_for_point(
         device, (struct vmb_sync){.syncobj = queue->bind_syncobj, .point = queue->bind_point});
      if (result != VK_SUCCESS)
         return result;
   }

   for (uint32_t i = 0; i < submit->signal_count; i++) {
      result =
         vk_sync_signal(&device->lvp.vk, submit->signals[i].sync, submit->signals[i].signal_value);
      if (result != VK_SUCCESS)
         return result;
   }

   vmbvk_engine_destroy_pipelines(&device->lvp);

   return VK_SUCCESS;
}

static bool
has_binds(const struct vk_queue_submit *submit)
{
   return submit->buffer_bind_count || submit->image_opaque_bind_count || submit->image_bind_count;
}

/* A queue that can do nothing but bind leaves syncs to the kernel, and goes on. */
static bool
is_for_kernel(const struct vmbvk_queue *queue, const struct vk_queue_submit *submit)
{
   return has_binds(submit) || (submit->command_buffer_count == 0 &&
                                queue->vk.queue_family_index == VMBVK_QUEUE_FAMILY_SPARSE);
}

/* Errors would change nothing. */
static void
signal_all(struct vmbvk_device *device, const struct vk_queue_submit *submit)
{
   for (uint32_t i = 0; i < submit->signal_count; i++) {
      UNUSED VkResult result =
         vk_sync_signal(&device->lvp.vk, submit->signals[i].sync, submit->signals[i].signal_value);
   }
}

/* Never fails: the runtime would end the queue's thread, with batches still in it. */
static VkResult
queue_submit(struct vk_queue *vk_queue, struct vk_queue_submit *submit)
{
   struct vmbvk_queue *queue = container_of(vk_queue, struct vmbvk_queue, vk);
   struct vmbvk_device *device = vmbvk_device_from_vk(queue->vk.base.device);

   assert(!has_binds(submit) || submit->command_buffer_count == 0);

   if (!vk_device_is_lost_no_report(&device->lvp.vk)) {
      const VkResult result = is_for_kernel(queue, submit) ? vmbvk_queue_bind(queue, submit)
                                                           : queue_execute(queue, submit);
      if (result == VK_SUCCESS)
         return VK_SUCCESS;

      vmbvk_fault_note(device, "a batch failed", -EIO, NULL, 0);
      vk_queue_set_lost(&queue->vk, "a batch failed: %s", vk_Result_to_str(result));
      vmbvk_device_set_lost(device);
   }

   signal_all(device, submit);
   return VK_SUCCESS;
}

/* ------------------------------------------------------------- init and finish */

VkResult
vmbvk_queue_init(struct vmbvk_device *device, struct vmbvk_queue *queue,
                 const VkDeviceQueueCreateInfo *create_info, uint32_t index_in_family)
{
   VkResult result = vk_queue_init(&queue->vk, &device->lvp.vk, create_info, index_in_family);
   if (result != VK_SUCCESS)
      return result;

   queue->vk.driver_submit = queue_submit;

   if (drmSyncobjCreate(device->lvp.vk.drm_fd, 0, &queue->bind_syncobj)) {
      result = vk_error(device, VK_ERROR_OUT_OF_HOST_MEMORY);
      goto fail_queue;
   }

   int ret = vmb_queue_create(vmbind_screen_vm(device->lvp.pscreen), &queue->bind_queue);
   if (ret) {
      result = vk_errorf(device, VK_ERROR_OUT_OF_HOST_MEMORY, "cannot create a bind queue: %s",
                         strerror(-ret));
      goto fail_syncobj;
   }

   util_dynarray_init(&queue->binds, NULL);
   util_dynarray_init(&queue->bound, NULL);
   util_dynarray_init(&queue->syncs, NULL);
   util_dynarray_init(&queue->runs, NULL);

   /* Commands are executed when they are submitted: the application must not wait for that. Binds go to the
    * kernel at once; the runtime starts the thread if one waits for what has not been submitted. */
   if (queue->vk.queue_family_index != VMBVK_QUEUE_FAMILY_SPARSE) {
      result = vk_queue_enable_submit_thread(&queue->vk);
      if (result != VK_SUCCESS)
         goto fail_bind_queue;
   }

   return VK_SUCCESS;

fail_bind_queue:
   vmb_queue_destroy(queue->bind_queue);
fail_syncobj:
   drmSyncobjDestroy(device->lvp.vk.drm_fd, queue->bind_syncobj);
fail_queue:
   vk_queue_finish(&queue->vk);
   return result;
}

/* The runtime does not wait for a lost device's threads, and then misses what they have not got to. */
static void
drain(struct vk_queue *queue)
{
   mtx_lock(&queue->submit.mutex);
   while (!list_is_empty(&queue->submit.submits))
      cnd_wait(&queue->submit.pop, &queue->submit.mutex);
   mtx_unlock(&queue->submit.mutex);
}

void
vmbvk_queues_drain(struct vmbvk_device *device)
{
   for (uint32_t i = 0; i < device->queue_count; i++)
      drain(&device->queues[i].vk);
}

void
vmbvk_queue_finish(struct vmbvk_queue *queue)
{
   struct vmbvk_device *device = vmbvk_device_from_vk(queue->vk.base.device);

   drain(&queue->vk);
   vk_queue_finish(&queue->vk);
   util_dynarray_fini(&queue->runs);
   util_dynarray_fini(&queue->syncs);
   util_dynarray_fini(&queue->bound);
   util_dynarray_fini(&queue->binds);
   vmb_queue_destroy(queue->bind_queue);
   drmSyncobjDestroy(device->lvp.vk.drm_fd, queue->bind_syncobj);
}

/* --------------------------------------------------------------- entry points */

/* Once the application has heard of the loss, it destroys what batches that are still queued refer
 * to; so it hears of it when there are none. */
static VkResult
settled(struct vmbvk_device *device, VkResult result)
{
   if (result == VK_ERROR_DEVICE_LOST)
      vmbvk_queues_drain(device);

   return result;
}

static VkResult
queue_settled(VkQueue _queue, VkResult result)
{
   VK_FROM_HANDLE(vmbvk_queue, queue, _queue);
   return settled(vmbvk_device_from_vk(queue->vk.base.device), result);
}

VKAPI_ATTR VkResult VKAPI_CALL
vmbvk_QueueWaitIdle(VkQueue queue)
{
   return queue_settled(queue, vk_common_QueueWaitIdle(queue));
}

VKAPI_ATTR VkResult VKAPI_CALL
vmbvk_DeviceWaitIdle(VkDevice _device)
{
   VK_FROM_HANDLE(vmbvk_device, device, _device);
   return settled(device, vk_common_DeviceWaitIdle(_device));
}

VKAPI_ATTR VkResult VKAPI_CALL
vmbvk_WaitForFences(VkDevice _device, uint32_t fenceCount, const VkFence *pFences, VkBool32 waitAll,
                    uint64_t timeout)
{
   VK_FROM_HANDLE(vmbvk_device, device, _device);
   return settled(device, vk_common_WaitForFences(_device, fenceCount, pFences, waitAll, timeout));
}

VKAPI_ATTR VkResult VKAPI_CALL
vmbvk_GetFenceStatus(VkDevice _device, VkFence fence)
{
   VK_FROM_HANDLE(vmbvk_device, device, _device);
   return settled(device, vk_common_GetFenceStatus(_device, fence));
}

VKAPI_ATTR VkResult VKAPI_CALL
vmbvk_WaitSemaphores(VkDevice _device, const VkSemaphoreWaitInfo *pWaitInfo, uint64_t timeout)
{
   VK_FROM_HANDLE(vmbvk_device, device, _device);
   return settled(device, vk_common_WaitSemaphores(_device, pWaitInfo, timeout));
}

VKAPI_ATTR VkResult VKAPI_CALL
vmbvk_GetSemaphoreCounterValue(VkDevice _device, VkSemaphore semaphore, uint64_t *pValue)
{
   VK_FROM_HANDLE(vmbvk_device, device, _device);
   return settled(device, vk_common_GetSemaphoreCounterValue(_device, semaphore, pValue));
}

/* A call must have done nothing if it fails, or the device is lost. */
static VkResult
submit_failed(VkQueue _queue, VkResult result, bool half_done)
{
   VK_FROM_HANDLE(vmbvk_queue, queue, _queue);
   struct vmbvk_device *device = vmbvk_device_from_vk(queue->vk.base.device);

   if (half_done && result != VK_ERROR_DEVICE_LOST) {
      vmbvk_fault_note(device, "half of a submission failed", -ENOMEM, NULL, 0);
      result = vk_queue_set_lost(&queue->vk, "half of a submission failed: %s",
                                 vk_Result_to_str(result));
      vmbvk_device_set_lost(device);
   }

   return settled(device, result);
}

/* The runtime would merge batches: binds of different kinds out of order, and with only the first
 * one's word on binary waits.  So it gets them one at a time. */

VKAPI_ATTR VkResult VKAPI_CALL
vmbvk_QueueBindSparse(VkQueue queue, uint32_t bindInfoCount, const VkBindSparseInfo *pBindInfo,
                      VkFence fence)
{
   if (bindInfoCount == 0)
      return queue_settled(queue, vk_common_QueueBindSparse(queue, 0, NULL, fence));

   for (uint32_t i = 0; i < bindInfoCount; i++) {
      const bool last = i == bindInfoCount - 1;
      VkResult result =
         vk_common_QueueBindSparse(queue, 1, &pBindInfo[i], last ? fence : VK_NULL_HANDLE);
      if (result != VK_SUCCESS)
         return submit_failed(queue, result, i > 0);
   }

   return VK_SUCCESS;
}

VKAPI_ATTR VkResult VKAPI_CALL
vmbvk_QueueSubmit2(VkQueue queue, uint32_t submitCount, const VkSubmitInfo2 *pSubmits,
                   VkFence fence)
{
   if (submitCount == 0)
      return queue_settled(queue, vk_common_QueueSubmit2(queue, 0, NULL, fence));

   for (uint32_t i = 0; i < submitCount; i++) {
      const bool last = i == submitCount - 1;
      VkResult result =
         vk_common_QueueSubmit2(queue, 1, &pSubmits[i], last ? fence : VK_NULL_HANDLE);
      if (result != VK_SUCCESS)
         return submit_failed(queue, result, i > 0);
   }

   return VK_SUCCESS;
}

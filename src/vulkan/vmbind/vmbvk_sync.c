/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Syncs: the runtime's DRM syncobjs, whose waits also end when the device is lost.
 *
 * The runtime waits without a limit: in a queue's thread for a semaphore that nobody may signal any
 * more, in the application for a fence of a batch that waits for it.  So each device has a syncobj
 * that is signalled when it is lost, and every wait is one for that as well.
 *
 * Knows nothing of queues and binds.
 */

#include "vmbvk_private.h"

#include <errno.h>
#include <xf86drm.h>

#include "vk_drm_syncobj.h"

#define NEVER_NS ((uint64_t)INT64_MAX)

/* Waits for one of them, or for the loss. */
static int
wait_any(struct vmbvk_device *device, uint32_t *syncobjs, uint64_t *points, uint32_t count,
         uint32_t flags, uint64_t abs_timeout_ns, bool *lost_out)
{
   uint32_t first = 0;

   syncobjs[count] = device->lost_syncobj;
   points[count] = 0;
   if (drmSyncobjTimelineWait(device->lvp.vk.drm_fd, syncobjs, points, count + 1,
                              MIN2(abs_timeout_ns, NEVER_NS),
                              flags | DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT, &first))
      return -errno;

   *lost_out = first == count;
   return 0;
}

/* All of them: one after the other, since the loss is an alternative to each. */
static int
wait_all(struct vmbvk_device *device, const uint32_t *syncobjs, const uint64_t *points,
         uint32_t count, uint32_t flags, uint64_t abs_timeout_ns, bool *lost_out)
{
   for (uint32_t i = 0; i < count && !*lost_out; i++) {
      uint32_t pair[2] = {syncobjs[i]};
      uint64_t pair_points[2] = {points[i]};

      int ret = wait_any(device, pair, pair_points, 1, flags, abs_timeout_ns, lost_out);
      if (ret)
         return ret;
   }

   return 0;
}

/* What the wait of a queue's thread says ends that thread, and then nobody signals what is still
 * queued: it hears of no loss.  Everyone else does. */
static VkResult
wait_result(struct vmbvk_device *device, enum vk_sync_wait_flags flags, int ret, bool lost)
{
   if (ret == -ETIME)
      return VK_TIMEOUT;
   if (ret) {
      vmbvk_device_set_lost(device);
      vk_device_set_lost(&device->lvp.vk, "waiting for a syncobj: %s", strerror(-ret));
      lost = true;
   }

   return lost && !(flags & VK_SYNC_WAIT_PENDING) ? VK_ERROR_DEVICE_LOST : VK_SUCCESS;
}

static VkResult
wait_for_syncs(struct vmbvk_device *device, uint32_t wait_count, const struct vk_sync_wait *waits,
               enum vk_sync_wait_flags flags, uint64_t abs_timeout_ns)
{
   STACK_ARRAY(uint32_t, syncobjs, wait_count + 1);
   STACK_ARRAY(uint64_t, points, wait_count + 1);
   const uint32_t drm_flags =
      flags & VK_SYNC_WAIT_PENDING ? DRM_SYNCOBJ_WAIT_FLAGS_WAIT_AVAILABLE : 0;
   uint32_t count = 0;
   bool lost = false, reached = false;

   for (uint32_t i = 0; i < wait_count; i++) {
      /* Every timeline has reached 0; to the kernel it would mean a binary syncobj. */
      if ((waits[i].sync->flags & VK_SYNC_IS_TIMELINE) && waits[i].wait_value == 0) {
         reached = true;
         continue;
      }
      syncobjs[count] = vk_sync_as_drm_syncobj(waits[i].sync)->syncobj;
      points[count++] = waits[i].wait_value;
   }

   int ret = 0;
   if (!(flags & VK_SYNC_WAIT_ANY))
      ret = wait_all(device, syncobjs, points, count, drm_flags, abs_timeout_ns, &lost);
   else if (!reached)
      ret = wait_any(device, syncobjs, points, count, drm_flags, abs_timeout_ns, &lost);

   STACK_ARRAY_FINISH(syncobjs);
   STACK_ARRAY_FINISH(points);

   return wait_result(device, flags, ret, lost);
}

/* The runtime's.  What it destroys after such a wait, batches may still refer to. */
static VkResult
wait_many(struct vk_device *vk_device, uint32_t wait_count, const struct vk_sync_wait *waits,
          enum vk_sync_wait_flags flags, uint64_t abs_timeout_ns)
{
   struct vmbvk_device *device = vmbvk_device_from_vk(vk_device);

   const VkResult result = wait_for_syncs(device, wait_count, waits, flags, abs_timeout_ns);
   if (result == VK_ERROR_DEVICE_LOST)
      vmbvk_queues_drain(device);

   return result;
}

VkResult
vmbvk_wait_in_queue(struct vmbvk_device *device, uint32_t wait_count,
                    const struct vk_sync_wait *waits)
{
   return wait_for_syncs(device, wait_count, waits, VK_SYNC_WAIT_COMPLETE, UINT64_MAX);
}

struct vk_sync_type
vmbvk_sync_type(int drm_fd)
{
   struct vk_sync_type type = vk_drm_syncobj_get_type(drm_fd);

   /* The kernel drivers with VM_BIND all have timelines. */
   assert(type.features & VK_SYNC_FEATURE_TIMELINE);
   type.wait_many = wait_many;

   return type;
}

VkResult
vmbvk_syncs_init(struct vmbvk_device *device)
{
   if (drmSyncobjCreate(device->lvp.vk.drm_fd, 0, &device->lost_syncobj))
      return vk_error(device, VK_ERROR_OUT_OF_HOST_MEMORY);

   return VK_SUCCESS;
}

void
vmbvk_syncs_finish(struct vmbvk_device *device)
{
   drmSyncobjDestroy(device->lvp.vk.drm_fd, device->lost_syncobj);
}

void
vmbvk_device_set_lost(struct vmbvk_device *device)
{
   drmSyncobjSignal(device->lvp.vk.drm_fd, &device->lost_syncobj, 1);
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * vkQueueBindSparse, the driver's part: from the binds of one batch to a list of (range, offset,
 * size, BO, BO offset) for the core, with the runtime's waits and signals as they are.
 *
 * What is merged, dropped, cut and sent is the core's affair.
 */

#include "vmbvk_private.h"

#include <errno.h>

#include "lp_texture.h"
#include "util/format/u_format.h"
#include "util/log.h"
#include "vk_drm_syncobj.h"
#include "vmbind/vmbind_screen.h"
#include "vmbind/vmbind_sparse.h"

#define ADVANCE_EVERY 256

/** A sparse resource while its binds are walked. */
struct bind_target {
   struct pipe_resource *pres;
   struct vmb_range *range;
   /** Of an image in blocks, else NULL. */
   const struct vmbind_sparse_layout *layout;
   uint64_t size_B;
   /** What offsets and sizes are multiples of. */
   uint64_t align_B;
};

static struct bind_target
bind_target(struct vmbvk_queue *queue, struct pipe_resource *pres, uint64_t size_B)
{
   struct vmbvk_device *device = vmbvk_device_from_vk(queue->vk.base.device);
   const bool is_image = pres->target != PIPE_BUFFER;

   return (struct bind_target){
      .pres = pres,
      .range = vmbind_resource_range(pres),
      .layout = vmbind_resource_layout(pres),
      .size_B = size_B,
      .align_B = is_image ? VMBIND_SPARSE_BLOCK_SIZE_B
                          : vmb_device_caps(vmbind_screen_device(device->lvp.pscreen))->page_size_B,
   };
}

/* A bind that the specification does not allow: an assertion for those who debug, and no bind. */
static int
refuse(const struct bind_target *target, const struct vmbind_sparse_run *run, const char *what)
{
   mesa_loge("vmbind: bind of 0x%" PRIx64 " bytes at 0x%" PRIx64 " of a resource of 0x%" PRIx64
             " bytes, memory offset 0x%" PRIx64 ": %s",
             run->size_B, run->offset_B, target->size_B, run->mem_offset_B, what);
   assert(!"invalid sparse bind");
   return 0;
}

static int
add_run(struct vmbvk_queue *queue, const struct bind_target *target,
        const struct vmbind_sparse_run *run, const struct lvp_device_memory *mem)
{
   const struct vmbind_piece piece = mem ? vmbvk_memory_piece(mem) : (struct vmbind_piece){0};

   if (!target->range)
      return refuse(target, run, "the resource is not sparse");
   if (mem && !piece.bo)
      return refuse(target, run, "the memory is not the GPU's");
   if (!vmbind_sparse_range_valid(run->offset_B, run->size_B, target->size_B, target->align_B))
      return refuse(target, run, "outside the resource, or unaligned");

   /* The end of a resource may lie inside a page, which is bound all the same. */
   const uint64_t size_B = align64(run->size_B, target->align_B);
   if (piece.bo &&
       !vmbind_sparse_range_valid(run->mem_offset_B, size_B, piece.size_B, target->align_B))
      return refuse(target, run, "outside the memory, or unaligned");

   struct vmb_bind *bind = util_dynarray_grow(&queue->binds, struct vmb_bind, 1);
   struct pipe_resource **pres = util_dynarray_grow(&queue->bound, struct pipe_resource *, 1);
   if (!bind || !pres)
      return -ENOMEM;

   *bind = (struct vmb_bind){
      .range = target->range,
      .offset_B = run->offset_B,
      .size_B = size_B,
      .bo = piece.bo,
      .bo_offset_B = piece.bo ? piece.offset_B + run->mem_offset_B : 0,
   };
   *pres = target->pres;

   return 0;
}

/* ------------------------------------------------------------ the three kinds of bind */

static int
add_buffer_binds(struct vmbvk_queue *queue, const VkSparseBufferMemoryBindInfo *info)
{
   VK_FROM_HANDLE(lvp_buffer, buffer, info->buffer);
   const struct bind_target target = bind_target(queue, buffer->bo, buffer->total_size);

   for (uint32_t i = 0; i < info->bindCount; i++) {
      const VkSparseMemoryBind *bind = &info->pBinds[i];
      VK_FROM_HANDLE(lvp_device_memory, mem, bind->memory);
      struct vmbind_sparse_run run = {
         .offset_B = bind->resourceOffset,
         .size_B = bind->size,
         .mem_offset_B = bind->memoryOffset,
      };

      /* The end of the buffer is as good as the end of its last page: zink binds up to there. */
      if (run.offset_B + run.size_B == buffer->vk.size)
         run.size_B = align64(run.size_B, target.align_B);

      int ret = add_run(queue, &target, &run, mem);
      if (ret)
         return ret;
   }

   return 0;
}

/* The planes of an image follow each other; a bind may reach over their bounds. */
static int
add_opaque_bind(struct vmbvk_queue *queue, const struct lvp_image *image,
                const VkSparseMemoryBind *bind)
{
   VK_FROM_HANDLE(lvp_device_memory, mem, bind->memory);
   const uint64_t end_B = bind->resourceOffset + bind->size;
   uint64_t plane_B = 0;

   for (uint8_t p = 0; p < image->plane_count; p++) {
      const struct lvp_image_plane *plane = &image->planes[p];
      const uint64_t plane_end_B = plane_B + plane->size;
      const bool last = p + 1 == image->plane_count;
      const uint64_t first_B = MAX2(bind->resourceOffset, plane_B);
      /* What lies outside of all planes is the last one's to refuse. */
      const uint64_t stop_B = last ? end_B : MIN2(end_B, plane_end_B);

      if (first_B < stop_B) {
         const struct bind_target target = bind_target(queue, plane->bo, plane->size);
         const struct vmbind_sparse_run run = {
            .offset_B = first_B - plane_B,
            .size_B = stop_B - first_B,
            .mem_offset_B = bind->memoryOffset + (first_B - bind->resourceOffset),
         };

         int ret = add_run(queue, &target, &run, mem);
         if (ret)
            return ret;
      }

      plane_B = plane_end_B;
   }

   return 0;
}

static int
add_opaque_binds(struct vmbvk_queue *queue, const VkSparseImageOpaqueMemoryBindInfo *info)
{
   VK_FROM_HANDLE(lvp_image, image, info->image);

   for (uint32_t i = 0; i < info->bindCount; i++) {
      int ret = add_opaque_bind(queue, image, &info->pBinds[i]);
      if (ret)
         return ret;
   }

   return 0;
}

static int
add_image_bind(struct vmbvk_queue *queue, const struct bind_target *target,
               const VkSparseImageMemoryBind *bind)
{
   const struct vmbind_sparse_layout *layout = target->layout;
   VK_FROM_HANDLE(lvp_device_memory, mem, bind->memory);
   const struct vmbind_extent offset_px = {bind->offset.x, bind->offset.y, bind->offset.z};
   const struct vmbind_extent extent_px = {bind->extent.width, bind->extent.height,
                                          bind->extent.depth};

   if (!layout) {
      mesa_loge("vmbind: bind of blocks of an image without sparse residency");
      assert(!"invalid sparse image bind");
      return 0;
   }

   util_dynarray_clear(&queue->runs);
   int ret =
      vmbind_sparse_image_runs(layout, bind->subresource.mipLevel, bind->subresource.arrayLayer,
                              &offset_px, &extent_px, bind->memoryOffset, &queue->runs);
   if (ret == -EINVAL) {
      mesa_loge("vmbind: bind of %ux%ux%u texels at %d,%d,%d of level %u, layer %u: not whole "
                "blocks of %ux%ux%u inside the image",
                extent_px.width, extent_px.height, extent_px.depth, bind->offset.x, bind->offset.y,
                bind->offset.z, bind->subresource.mipLevel, bind->subresource.arrayLayer,
                layout->block_px.width, layout->block_px.height, layout->block_px.depth);
      assert(!"invalid sparse image bind");
      return 0;
   }
   if (ret)
      return ret;

   util_dynarray_foreach (&queue->runs, struct vmbind_sparse_run, run) {
      ret = add_run(queue, target, run, mem);
      if (ret)
         return ret;
   }

   return 0;
}

static int
add_image_binds(struct vmbvk_queue *queue, const VkSparseImageMemoryBindInfo *info)
{
   VK_FROM_HANDLE(lvp_image, image, info->image);
   struct bind_target targets[ARRAY_SIZE(image->planes)];

   for (uint8_t p = 0; p < image->plane_count; p++)
      targets[p] = bind_target(queue, image->planes[p].bo, image->planes[p].size);

   for (uint32_t i = 0; i < info->bindCount; i++) {
      const VkSparseImageMemoryBind *bind = &info->pBinds[i];
      const uint8_t p = lvp_image_aspects_to_plane(image, bind->subresource.aspectMask);

      int ret = add_image_bind(queue, &targets[p], bind);
      if (ret)
         return ret;
   }

   return 0;
}

/* Buffers, opaque, images: in Vulkan's order, so that the last bind of an address is the one that
 * the core sees last. */
static int
add_all_binds(struct vmbvk_queue *queue, const struct vk_queue_submit *submit)
{
   int ret = 0;

   util_dynarray_clear(&queue->binds);
   util_dynarray_clear(&queue->bound);

   for (uint32_t i = 0; i < submit->buffer_bind_count && !ret; i++)
      ret = add_buffer_binds(queue, &submit->buffer_binds[i]);
   for (uint32_t i = 0; i < submit->image_opaque_bind_count && !ret; i++)
      ret = add_opaque_binds(queue, &submit->image_opaque_binds[i]);
   for (uint32_t i = 0; i < submit->image_bind_count && !ret; i++)
      ret = add_image_binds(queue, &submit->image_binds[i]);

   return ret;
}

/* ------------------------------------------------------------------- syncs */

static struct vmb_sync
to_vmb_sync(struct vk_sync *sync, uint64_t value)
{
   const struct vk_drm_syncobj *syncobj = vk_sync_as_drm_syncobj(sync);

   /* The physical device offers no other kind. */
   assert(syncobj);

   return (struct vmb_sync){
      .syncobj = syncobj->syncobj,
      .point = sync->flags & VK_SYNC_IS_TIMELINE ? value : 0,
   };
}

/* Waits, then signals.  Of these the first one is ours: the kernel attaches the fence to one after
 * the other, and who waited for the application's must find the residency of ours up to date. */
static int
add_all_syncs(struct vmbvk_queue *queue, const struct vk_queue_submit *submit, uint64_t point)
{
   const uint32_t count = submit->wait_count + submit->signal_count + 1;

   util_dynarray_clear(&queue->syncs);
   struct vmb_sync *sync = util_dynarray_grow(&queue->syncs, struct vmb_sync, count);
   if (!sync)
      return -ENOMEM;

   for (uint32_t i = 0; i < submit->wait_count; i++)
      *sync++ = to_vmb_sync(submit->waits[i].sync, submit->waits[i].wait_value);
   *sync++ = (struct vmb_sync){.syncobj = queue->bind_syncobj, .point = point};
   for (uint32_t i = 0; i < submit->signal_count; i++)
      *sync++ = to_vmb_sync(submit->signals[i].sync, submit->signals[i].signal_value);

   return 0;
}

/* ---------------------------------------------------------------- the batch */

static struct vmbvk_residency_batch *
residency_of_binds(const struct vmbvk_queue *queue, uint64_t point)
{
   const uint32_t count = util_dynarray_num_elements(&queue->binds, struct vmb_bind);
   const struct vmb_bind *binds = util_dynarray_begin(&queue->binds);
   struct pipe_resource *const *bound = util_dynarray_begin(&queue->bound);

   struct vmbvk_residency_batch *batch = vmbvk_residency_batch_create(count);
   if (!batch)
      return NULL;

   batch->syncobj = queue->bind_syncobj;
   batch->point = point;
   for (uint32_t i = 0; i < count; i++) {
      struct vmbvk_residency_change *last =
         batch->change_count ? &batch->changes[batch->change_count - 1] : NULL;

      /* Buffers without residency: nobody asks. */
      if (!llvmpipe_resource(bound[i])->residency)
         continue;
      if (last && last->pres == bound[i] && last->resident == (binds[i].bo != NULL) &&
          last->offset_B + last->size_B == binds[i].offset_B) {
         last->size_B += binds[i].size_B;
         continue;
      }
      batch->changes[batch->change_count++] = (struct vmbvk_residency_change){
         .pres = bound[i],
         .offset_B = binds[i].offset_B,
         .size_B = binds[i].size_B,
         .resident = binds[i].bo != NULL,
      };
   }

   return batch;
}

static VkResult
bind_error(struct vmbvk_queue *queue, int ret)
{
   vmbvk_fault_note(vmbvk_device_from_vk(queue->vk.base.device), "sparse bind failed", ret,
                    util_dynarray_begin(&queue->binds),
                    util_dynarray_num_elements(&queue->binds, struct vmb_bind));

   if (ret == -ENODEV)
      return vk_errorf(queue, VK_ERROR_DEVICE_LOST, "the kernel driver's VM is lost");

   return vk_errorf(queue,
                    ret == -ENOMEM ? VK_ERROR_OUT_OF_HOST_MEMORY : VK_ERROR_OUT_OF_DEVICE_MEMORY,
                    "sparse bind failed: %s", strerror(-ret));
}

VkResult
vmbvk_queue_bind(struct vmbvk_queue *queue, struct vk_queue_submit *submit)
{
   struct vmbvk_device *device = vmbvk_device_from_vk(queue->vk.base.device);
   const uint64_t point = queue->bind_point + 1;
   int ret;

   ret = add_all_binds(queue, submit);
   if (ret)
      return bind_error(queue, ret);

   ret = add_all_syncs(queue, submit, point);
   if (ret)
      return bind_error(queue, ret);

   struct vmbvk_residency_batch *residency = residency_of_binds(queue, point);
   if (!residency)
      return bind_error(queue, -ENOMEM);

   /* Before the submission: when it returns, somebody may already have waited for its signals. */
   vmbvk_residency_add(device, residency);

   const struct vmb_sync *syncs = util_dynarray_begin(&queue->syncs);
   ret =
      vmb_queue_submit(queue->bind_queue,
                       &(struct vmb_submit){
                          .waits = syncs,
                          .wait_count = submit->wait_count,
                          .binds = util_dynarray_begin(&queue->binds),
                          .bind_count = util_dynarray_num_elements(&queue->binds, struct vmb_bind),
                          .signals = syncs + submit->wait_count,
                          .signal_count = submit->signal_count + 1,
                       },
                       NULL);
   if (ret) {
      vmbvk_residency_cancel(device, residency);
      return bind_error(queue, ret);
   }

   queue->bind_point = point;

   /* An application that binds and binds, and never executes. */
   if (point % ADVANCE_EVERY == 0)
      vmbvk_residency_advance(device);

   return VK_SUCCESS;
}

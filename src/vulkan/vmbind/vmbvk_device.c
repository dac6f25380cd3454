/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Devices: lavapipe's, on a screen whose memory is bound by VM_BIND, with queues of our own.
 *
 * Each device has a screen of its own, so that it has a VM of its own.  Knows nothing of what
 * queues do.
 */

#include "vmbvk_private.h"

#include <fcntl.h>
#include <unistd.h>

#include "cso_cache/cso_context.h"
#include "nir_builder.h"
#include "pipe/p_screen.h"
#include "util/u_debug.h"
#include "util/u_inlines.h"
#include "util/u_upload_mgr.h"
#include "vk_alloc.h"
#include "vmbind/vmbind_screen.h"
#include "wsi_common_entrypoints.h"

static struct vk_device_dispatch_table
device_dispatch_table(void)
{
   struct vk_device_dispatch_table table;

   vk_device_dispatch_table_from_entrypoints(&table, &vmbvk_device_entrypoints, true);
   vk_device_dispatch_table_from_entrypoints(&table, &lvp_device_entrypoints, false);
   lvp_add_enqueue_cmd_entrypoints(&table);
   vk_device_dispatch_table_from_entrypoints(&table, &wsi_device_entrypoints, false);

   return table;
}

/* ------------------------------------------------- what all graphics queues execute with */

static VkResult
engine_init(struct lvp_device *device)
{
   struct lvp_queue *engine = &device->queue;
   struct pipe_screen *pscreen = device->pscreen;

   engine->device = device;
   engine->state = vk_zalloc(&device->vk.alloc, lvp_get_rendering_state_size(), 8,
                             VK_SYSTEM_ALLOCATION_SCOPE_DEVICE);
   if (!engine->state)
      return VK_ERROR_OUT_OF_HOST_MEMORY;

   engine->ctx = pscreen->context_create(pscreen, NULL, PIPE_CONTEXT_ROBUST_BUFFER_ACCESS);
   if (!engine->ctx)
      goto fail_state;

   engine->cso = cso_create_context(engine->ctx, CSO_NO_VBUF);
   if (!engine->cso)
      goto fail_ctx;

   engine->uploader =
      u_upload_create(engine->ctx, 1024 * 1024, PIPE_BIND_CONSTANT_BUFFER, PIPE_USAGE_STREAM, 0);
   if (!engine->uploader)
      goto fail_cso;

   simple_mtx_init(&engine->lock, mtx_plain);
   util_dynarray_init(&engine->pipeline_destroys, NULL);

   return VK_SUCCESS;

fail_cso:
   cso_destroy_context(engine->cso);
fail_ctx:
   engine->ctx->destroy(engine->ctx);
fail_state:
   vk_free(&device->vk.alloc, engine->state);
   return VK_ERROR_OUT_OF_HOST_MEMORY;
}

static void
engine_finish(struct lvp_device *device)
{
   struct lvp_queue *engine = &device->queue;

   vmbvk_engine_destroy_pipelines(device);
   if (engine->last_fence)
      device->pscreen->fence_reference(device->pscreen, &engine->last_fence, NULL);
   util_dynarray_fini(&engine->pipeline_destroys);
   simple_mtx_destroy(&engine->lock);
   u_upload_destroy(engine->uploader);
   cso_destroy_context(engine->cso);
   engine->ctx->destroy(engine->ctx);
   vk_free(&device->vk.alloc, engine->state);
}

void
vmbvk_engine_destroy_pipelines(struct lvp_device *device)
{
   struct lvp_queue *engine = &device->queue;

   simple_mtx_lock(&engine->lock);
   while (util_dynarray_contains(&engine->pipeline_destroys, struct lvp_pipeline *)) {
      struct lvp_pipeline *pipeline =
         util_dynarray_pop(&engine->pipeline_destroys, struct lvp_pipeline *);
      lvp_pipeline_destroy(device, pipeline, true);
   }
   simple_mtx_unlock(&engine->lock);
}

/* -------------------------------------------- objects that lavapipe's entry points expect */

static VkResult
common_objects_init(struct lvp_device *device)
{
   struct pipe_context *ctx = device->queue.ctx;
   const uint32_t zero = 0;

   device->zero_buffer =
      pipe_buffer_create_with_data(ctx, 0, PIPE_USAGE_IMMUTABLE, sizeof(zero), &zero);
   if (!device->zero_buffer)
      return VK_ERROR_OUT_OF_DEVICE_MEMORY;

   nir_builder b = nir_builder_init_simple_shader(MESA_SHADER_FRAGMENT, NULL, "noop");
   const struct pipe_shader_state fs = {.type = PIPE_SHADER_IR_NIR, .ir.nir = b.shader};
   device->noop_fs = ctx->create_fs_state(ctx, &fs);

   device->null_texture_handle =
      (void *)(uintptr_t)ctx->create_texture_handle(ctx, &(struct pipe_sampler_view){0}, NULL);
   device->null_image_handle =
      (void *)(uintptr_t)ctx->create_image_handle(ctx, &(struct pipe_image_view){0});

   _mesa_hash_table_init(&device->bda, NULL, _mesa_hash_pointer, _mesa_key_pointer_equal);
   simple_mtx_init(&device->bda_lock, mtx_plain);
   util_dynarray_init(&device->bda_texture_handles, NULL);
   util_dynarray_init(&device->bda_image_handles, NULL);
   device->group_handle_alloc = 1;

   return VK_SUCCESS;
}

static void
common_objects_finish(struct lvp_device *device)
{
   struct pipe_context *ctx = device->queue.ctx;

   util_dynarray_foreach (&device->bda_texture_handles, struct lp_texture_handle *, handle)
      ctx->delete_texture_handle(ctx, (uint64_t)(uintptr_t)*handle);
   util_dynarray_foreach (&device->bda_image_handles, struct lp_texture_handle *, handle)
      ctx->delete_image_handle(ctx, (uint64_t)(uintptr_t)*handle);
   util_dynarray_fini(&device->bda_texture_handles);
   util_dynarray_fini(&device->bda_image_handles);
   ralloc_free(device->bda.table);
   simple_mtx_destroy(&device->bda_lock);

   ctx->delete_texture_handle(ctx, (uint64_t)(uintptr_t)device->null_texture_handle);
   ctx->delete_image_handle(ctx, (uint64_t)(uintptr_t)device->null_image_handle);
   ctx->delete_fs_state(ctx, device->noop_fs);
   pipe_resource_reference(&device->zero_buffer, NULL);
}

/* ------------------------------------------------------------------ queues */

static void
queues_finish(struct vmbvk_device *device)
{
   for (uint32_t i = 0; i < device->queue_count; i++)
      vmbvk_queue_finish(&device->queues[i]);
   vk_free(&device->lvp.vk.alloc, device->queues);
}

static VkResult
queues_init(struct vmbvk_device *device, const VkDeviceCreateInfo *create_info)
{
   uint32_t count = 0;
   for (uint32_t i = 0; i < create_info->queueCreateInfoCount; i++)
      count += create_info->pQueueCreateInfos[i].queueCount;

   device->queues = vk_zalloc(&device->lvp.vk.alloc, count * sizeof(*device->queues), 8,
                              VK_SYSTEM_ALLOCATION_SCOPE_DEVICE);
   if (!device->queues)
      return VK_ERROR_OUT_OF_HOST_MEMORY;

   for (uint32_t i = 0; i < create_info->queueCreateInfoCount; i++) {
      const VkDeviceQueueCreateInfo *info = &create_info->pQueueCreateInfos[i];

      for (uint32_t index = 0; index < info->queueCount; index++) {
         VkResult result =
            vmbvk_queue_init(device, &device->queues[device->queue_count], info, index);
         if (result != VK_SUCCESS) {
            queues_finish(device);
            return result;
         }
         device->queue_count++;
      }
   }

   return VK_SUCCESS;
}

/* ------------------------------------------------------------------ device */

static void
share_shader_cache(struct vmbvk_physical_device *pdev, struct pipe_screen *pscreen)
{
   simple_mtx_lock(&pdev->shader_cache_lock);
   if (pdev->has_shader_cache)
      vmbind_screen_set_shader_cache(pscreen, pdev->shader_cache);
   else
      pdev->shader_cache = vmbind_screen_take_shader_cache(pscreen);
   pdev->has_shader_cache = true;
   simple_mtx_unlock(&pdev->shader_cache_lock);
}

static VkResult
device_create_screen(struct vmbvk_device *device, struct vmbvk_physical_device *pdev)
{
   const char *node = pdev->node;
   char why[256];

   const int drm_fd = open(node, O_RDWR | O_CLOEXEC);
   if (drm_fd < 0)
      return vk_errorf(device, VK_ERROR_INITIALIZATION_FAILED, "%s: %m", node);

   int ret = vmbind_screen_create(drm_fd, &device->lvp.pscreen, why, sizeof(why));
   close(drm_fd);
   if (ret)
      return vk_errorf(device, VK_ERROR_INITIALIZATION_FAILED, "%s: %s", node, why);

   share_shader_cache(pdev, device->lvp.pscreen);
   vk_device_set_drm_fd(&device->lvp.vk, vmb_device_fd(vmbind_screen_device(device->lvp.pscreen)));
   return VK_SUCCESS;
}

VKAPI_ATTR VkResult VKAPI_CALL
vmbvk_CreateDevice(VkPhysicalDevice physicalDevice, const VkDeviceCreateInfo *pCreateInfo,
                   const VkAllocationCallbacks *pAllocator, VkDevice *pDevice)
{
   VK_FROM_HANDLE(vmbvk_physical_device, pdev, physicalDevice);
   struct vk_instance *instance = pdev->lvp.vk.instance;
   VkResult result;

   struct vmbvk_device *device = vk_zalloc2(&instance->alloc, pAllocator, sizeof(*device), 8,
                                            VK_SYSTEM_ALLOCATION_SCOPE_DEVICE);
   if (!device)
      return vk_error(pdev, VK_ERROR_OUT_OF_HOST_MEMORY);

   const struct vk_device_dispatch_table table = device_dispatch_table();
   result = vk_device_init(&device->lvp.vk, &pdev->lvp.vk, &table, pCreateInfo, pAllocator);
   if (result != VK_SUCCESS)
      goto fail_alloc;

   vk_device_enable_threaded_submit(&device->lvp.vk);
   device->lvp.vk.command_buffer_ops = &lvp_cmd_buffer_ops;
   device->lvp.instance = container_of(instance, struct lvp_instance, vk);
   device->lvp.physical_device = &pdev->lvp;
   device->lvp.poison_mem = debug_get_bool_option("LVP_POISON_MEMORY", false);
   device->lvp.print_cmds = debug_get_bool_option("LVP_CMD_DEBUG", false);

   result = device_create_screen(device, pdev);
   if (result != VK_SUCCESS)
      goto fail_device;

   result = vmbvk_syncs_init(device);
   if (result != VK_SUCCESS)
      goto fail_screen;

   result = engine_init(&device->lvp);
   if (result != VK_SUCCESS)
      goto fail_syncs;

   result = common_objects_init(&device->lvp);
   if (result != VK_SUCCESS)
      goto fail_engine;

   vmbvk_residency_init(device);
   vmbvk_fault_init(device);

   result = queues_init(device, pCreateInfo);
   if (result != VK_SUCCESS)
      goto fail_residency;

   *pDevice = vmbvk_device_to_handle(device);

   return VK_SUCCESS;

fail_residency:
   vmbvk_fault_finish(device);
   vmbvk_residency_finish(device);
   common_objects_finish(&device->lvp);
fail_engine:
   engine_finish(&device->lvp);
fail_syncs:
   vmbvk_syncs_finish(device);
fail_screen:
   device->lvp.pscreen->destroy(device->lvp.pscreen);
fail_device:
   vk_device_finish(&device->lvp.vk);
fail_alloc:
   vk_free2(&instance->alloc, pAllocator, device);
   return result;
}

VKAPI_ATTR void VKAPI_CALL
vmbvk_DestroyDevice(VkDevice _device, const VkAllocationCallbacks *pAllocator)
{
   VK_FROM_HANDLE(vmbvk_device, device, _device);

   if (!device)
      return;

   struct pipe_screen *pscreen = device->lvp.pscreen;

   queues_finish(device);
   vmbvk_fault_finish(device);
   vmbvk_residency_finish(device);
   common_objects_finish(&device->lvp);
   engine_finish(&device->lvp);
   vmbvk_syncs_finish(device);
   vk_device_finish(&device->lvp.vk);
   pscreen->destroy(pscreen);
   vk_free2(&device->lvp.physical_device->vk.instance->alloc, pAllocator, device);
}

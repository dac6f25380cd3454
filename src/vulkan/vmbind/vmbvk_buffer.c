/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Sparse buffers: their addresses, and what the application is told of it.
 *
 * Lavapipe's own would be flagged sparse in Gallium, and llvmpipe reads such a buffer as if it were
 * a tiled texture.  Ours are ordinary buffers at addresses without memory.
 */

#include "vmbvk_private.h"

#include <errno.h>

#include "pipe/p_screen.h"
#include "util/u_inlines.h"
#include "vmbind/vmbind_screen.h"
#include "vmbind/vmbind_sparse.h"

static bool
is_sparse(VkBufferCreateFlags flags)
{
   return flags & VK_BUFFER_CREATE_SPARSE_BINDING_BIT;
}

/* The GPU's page: what is resident is counted in no larger pieces. */
static uint64_t
alignment_B(const struct vmbvk_device *device)
{
   return vmb_device_caps(vmbind_screen_device(device->lvp.pscreen))->page_size_B;
}

static struct pipe_resource
buffer_template(const struct vmbvk_device *device, const struct vk_buffer *buffer)
{
   const VkBufferUsageFlags2 usage = buffer->usage;
   unsigned bind = 0;

   if (usage & VK_BUFFER_USAGE_2_UNIFORM_BUFFER_BIT)
      bind |= PIPE_BIND_CONSTANT_BUFFER;
   if (usage & VK_BUFFER_USAGE_2_UNIFORM_TEXEL_BUFFER_BIT)
      bind |= PIPE_BIND_SAMPLER_VIEW;
   if (usage & VK_BUFFER_USAGE_2_STORAGE_BUFFER_BIT)
      bind |= PIPE_BIND_SHADER_BUFFER;
   if (usage & VK_BUFFER_USAGE_2_STORAGE_TEXEL_BUFFER_BIT)
      bind |= PIPE_BIND_SHADER_IMAGE;

   return (struct pipe_resource){
      .screen = device->lvp.pscreen,
      .target = PIPE_BUFFER,
      .format = PIPE_FORMAT_R8_UNORM,
      .bind = bind,
      .flags = PIPE_RESOURCE_FLAG_DONT_OVER_ALLOCATE,
      .width0 = buffer->size,
      .height0 = 1,
      .depth0 = 1,
      .array_size = 1,
   };
}

/* With the address of an earlier run, if the application gives one. */
static int
make_sparse(struct vmbvk_device *device, struct lvp_buffer *buffer, const VkBufferCreateInfo *info)
{
   const bool residency = info->flags & VK_BUFFER_CREATE_SPARSE_RESIDENCY_BIT;
   const VkBufferOpaqueCaptureAddressCreateInfo *capture =
      vk_find_struct_const(info->pNext, BUFFER_OPAQUE_CAPTURE_ADDRESS_CREATE_INFO);
   const uint64_t addr_B = capture ? capture->opaqueCaptureAddress : 0;

   if (addr_B || (info->flags & VK_BUFFER_CREATE_DEVICE_ADDRESS_CAPTURE_REPLAY_BIT))
      return vmbind_resource_make_sparse_at(device->lvp.pscreen, buffer->bo, buffer->total_size,
                                            residency, addr_B);

   return vmbind_resource_make_sparse(device->lvp.pscreen, buffer->bo, buffer->total_size,
                                      residency);
}

static VkResult
sparse_error(struct vmbvk_device *device, int ret, uint64_t size_B)
{
   const VkResult result = ret == -ENOMEM       ? VK_ERROR_OUT_OF_HOST_MEMORY
                           : ret == -EADDRINUSE ? VK_ERROR_INVALID_OPAQUE_CAPTURE_ADDRESS
                                                : VK_ERROR_OUT_OF_DEVICE_MEMORY;

   return vk_errorf(device, result, "no addresses for %" PRIu64 " MiB: %s", size_B >> 20,
                    strerror(-ret));
}

static void
report(struct vmbvk_device *device, struct lvp_buffer *buffer, VkDeviceAddressBindingTypeEXT type)
{
   if (buffer->map)
      vmbvk_report_address(device, &buffer->vk.base, (uintptr_t)buffer->map, buffer->total_size,
                           type);
}

static VkResult
create_sparse_buffer(struct vmbvk_device *device, const VkBufferCreateInfo *info,
                     const VkAllocationCallbacks *alloc, VkBuffer *buffer_out)
{
   VkResult result;

   /* Gallium's buffers have 32-bit sizes. */
   if (info->size > device->lvp.vk.physical->properties.maxBufferSize)
      return vk_errorf(device, VK_ERROR_OUT_OF_DEVICE_MEMORY, "a buffer of %" PRIu64 " bytes",
                       info->size);

   struct lvp_buffer *buffer = vk_buffer_create(&device->lvp.vk, info, alloc, sizeof(*buffer));
   if (!buffer)
      return vk_error(device, VK_ERROR_OUT_OF_HOST_MEMORY);

   struct pipe_screen *pscreen = device->lvp.pscreen;
   const struct pipe_resource templat = buffer_template(device, &buffer->vk);
   buffer->bo = pscreen->resource_create_unbacked(pscreen, &templat, &buffer->total_size);
   if (!buffer->bo) {
      result = vk_error(device, VK_ERROR_OUT_OF_HOST_MEMORY);
      goto fail_buffer;
   }

   buffer->total_size = align64(buffer->total_size, VMBIND_SPARSE_BLOCK_SIZE_B);
   int ret = make_sparse(device, buffer, info);
   if (!ret && (info->flags & VK_BUFFER_CREATE_SPARSE_RESIDENCY_BIT))
      ret = vmbind_resource_track_residency(buffer->bo, buffer->total_size);
   if (ret) {
      result = sparse_error(device, ret, buffer->total_size);
      goto fail_bo;
   }

   buffer->map = (void *)(uintptr_t)vmb_range_addr_B(vmbind_resource_range(buffer->bo));
   *buffer_out = lvp_buffer_to_handle(buffer);
   report(device, buffer, VK_DEVICE_ADDRESS_BINDING_TYPE_BIND_EXT);

   return VK_SUCCESS;

fail_bo:
   pipe_resource_reference(&buffer->bo, NULL);
fail_buffer:
   vk_buffer_destroy(&device->lvp.vk, alloc, &buffer->vk);
   return result;
}

VKAPI_ATTR VkResult VKAPI_CALL
vmbvk_CreateBuffer(VkDevice _device, const VkBufferCreateInfo *pCreateInfo,
                   const VkAllocationCallbacks *pAllocator, VkBuffer *pBuffer)
{
   VK_FROM_HANDLE(vmbvk_device, device, _device);

   if (is_sparse(pCreateInfo->flags))
      return create_sparse_buffer(device, pCreateInfo, pAllocator, pBuffer);

   return lvp_CreateBuffer(_device, pCreateInfo, pAllocator, pBuffer);
}

VKAPI_ATTR void VKAPI_CALL
vmbvk_DestroyBuffer(VkDevice _device, VkBuffer _buffer, const VkAllocationCallbacks *pAllocator)
{
   VK_FROM_HANDLE(vmbvk_device, device, _device);
   VK_FROM_HANDLE(lvp_buffer, buffer, _buffer);

   if (buffer) {
      report(device, buffer, VK_DEVICE_ADDRESS_BINDING_TYPE_UNBIND_EXT);
      if (buffer->vk.create_flags & VK_BUFFER_CREATE_SPARSE_RESIDENCY_BIT)
         vmbvk_residency_forget(device, buffer->bo);
   }
   lvp_DestroyBuffer(_device, _buffer, pAllocator);
}

VKAPI_ATTR VkResult VKAPI_CALL
vmbvk_BindBufferMemory2(VkDevice _device, uint32_t bindInfoCount,
                        const VkBindBufferMemoryInfo *pBindInfos)
{
   VK_FROM_HANDLE(vmbvk_device, device, _device);

   VkResult result = lvp_BindBufferMemory2(_device, bindInfoCount, pBindInfos);
   for (uint32_t i = 0; i < bindInfoCount; i++) {
      VK_FROM_HANDLE(lvp_buffer, buffer, pBindInfos[i].buffer);
      report(device, buffer, VK_DEVICE_ADDRESS_BINDING_TYPE_BIND_EXT);
   }

   return result;
}

/* ------------------------------------------------------------- what is told of it */

/* A buffer that is bound to memory is where its memory is: that one's address is the one to keep. */
VKAPI_ATTR uint64_t VKAPI_CALL
vmbvk_GetBufferOpaqueCaptureAddress(UNUSED VkDevice device, const VkBufferDeviceAddressInfo *pInfo)
{
   VK_FROM_HANDLE(lvp_buffer, buffer, pInfo->buffer);
   return (uintptr_t)buffer->map;
}

VKAPI_ATTR void VKAPI_CALL
vmbvk_GetBufferMemoryRequirements2(VkDevice _device, const VkBufferMemoryRequirementsInfo2 *pInfo,
                                   VkMemoryRequirements2 *pRequirements)
{
   VK_FROM_HANDLE(vmbvk_device, device, _device);
   VK_FROM_HANDLE(lvp_buffer, buffer, pInfo->buffer);

   lvp_GetBufferMemoryRequirements2(_device, pInfo, pRequirements);
   if (is_sparse(buffer->vk.create_flags))
      pRequirements->memoryRequirements.alignment = alignment_B(device);
}

VKAPI_ATTR void VKAPI_CALL
vmbvk_GetBufferMemoryRequirements(VkDevice _device, VkBuffer _buffer,
                                  VkMemoryRequirements *pRequirements)
{
   VkMemoryRequirements2 requirements = {.sType = VK_STRUCTURE_TYPE_MEMORY_REQUIREMENTS_2};

   vmbvk_GetBufferMemoryRequirements2(
      _device,
      &(VkBufferMemoryRequirementsInfo2){
         .sType = VK_STRUCTURE_TYPE_BUFFER_MEMORY_REQUIREMENTS_INFO_2,
         .buffer = _buffer,
      },
      &requirements);
   *pRequirements = requirements.memoryRequirements;
}

VKAPI_ATTR void VKAPI_CALL
vmbvk_GetDeviceBufferMemoryRequirements(VkDevice _device,
                                        const VkDeviceBufferMemoryRequirements *pInfo,
                                        VkMemoryRequirements2 *pRequirements)
{
   VK_FROM_HANDLE(vmbvk_device, device, _device);

   vmbvk_fill_requirements(pRequirements);
   if (!is_sparse(pInfo->pCreateInfo->flags)) {
      lvp_GetDeviceBufferMemoryRequirements(_device, pInfo, pRequirements);
      return;
   }

   pRequirements->memoryRequirements = (VkMemoryRequirements){
      .size = align64(pInfo->pCreateInfo->size, VMBIND_SPARSE_BLOCK_SIZE_B),
      .alignment = alignment_B(device),
      .memoryTypeBits = 1,
   };
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Device memory: allocated, imported, exported, mapped, counted.  Behind it stands memory of the
 * screen (vmbind_memory.h); here it gets Vulkan's names, limits and errors.
 *
 * Must never know how memory is bound.
 */

#include "vmbvk_private.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lp_limits.h"
#include "lp_texture.h"
#include "util/os_misc.h"
#include "util/u_atomic.h"
#include "vk_alloc.h"
#include "vk_common_entrypoints.h"
#include "vk_debug_utils.h"

/** What the pNext chain of an allocation asks for. */
struct alloc_request {
   const VkImportMemoryFdInfoKHR *import_fd;
   const VkImportMemoryHostPointerInfoEXT *host;
   bool shareable;
   bool replayable;
   uint64_t addr_B;
   float priority;
};

static struct alloc_request
parse_request(const VkMemoryAllocateInfo *info)
{
   struct alloc_request req = {.priority = 0.5f};

   vk_foreach_struct_const (ext, info->pNext) {
      switch (ext->sType) {
      case VK_STRUCTURE_TYPE_IMPORT_MEMORY_FD_INFO_KHR: {
         const VkImportMemoryFdInfoKHR *import = (const void *)ext;
         req.import_fd = import->handleType ? import : NULL;
         break;
      }
      case VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT: {
         const VkImportMemoryHostPointerInfoEXT *host = (const void *)ext;
         req.host = host->handleType ? host : NULL;
         break;
      }
      case VK_STRUCTURE_TYPE_EXPORT_MEMORY_ALLOCATE_INFO:
         req.shareable = ((const VkExportMemoryAllocateInfo *)ext)->handleTypes != 0;
         break;
      case VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO:
         req.replayable = ((const VkMemoryAllocateFlagsInfo *)ext)->flags &
                          VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_CAPTURE_REPLAY_BIT;
         break;
      case VK_STRUCTURE_TYPE_MEMORY_OPAQUE_CAPTURE_ADDRESS_ALLOCATE_INFO:
         req.addr_B = ((const VkMemoryOpaqueCaptureAddressAllocateInfo *)ext)->opaqueCaptureAddress;
         break;
      case VK_STRUCTURE_TYPE_MEMORY_PRIORITY_ALLOCATE_INFO_EXT:
         req.priority = ((const VkMemoryPriorityAllocateInfoEXT *)ext)->priority;
         break;
      default:
         break;
      }
   }

   return req;
}

/* ---------------------------------------------------------- where memory comes from */

static VkResult
alloc_error(struct vmbvk_device *device, int ret, uint64_t size_B)
{
   switch (ret) {
   case -EADDRINUSE:
      return vk_error(device, VK_ERROR_INVALID_OPAQUE_CAPTURE_ADDRESS);
   case -ENODEV:
      return vk_error(device, VK_ERROR_DEVICE_LOST);
   default:
      return vk_errorf(device, VK_ERROR_OUT_OF_DEVICE_MEMORY, "no memory for %" PRIu64 " bytes: %s",
                       size_B, strerror(-ret));
   }
}

static void
set_memory(struct vmbvk_device_memory *mem, struct vmbind_memory *memory)
{
   mem->memory = memory;
   mem->lvp.pmem = vmbind_memory_to_pipe(memory);
   mem->lvp.map = (void *)(uintptr_t)vmbind_memory_addr_B(memory);
}

static VkResult
alloc_new(struct vmbvk_device *device, struct vmbvk_device_memory *mem,
          const struct alloc_request *req)
{
   const struct vmbind_memory_params params = {
      .size_B = mem->lvp.size,
      .shareable = req->shareable,
      .replayable = req->replayable || req->addr_B,
      .addr_B = req->addr_B,
      .name = req->shareable ? "shared memory" : "memory",
   };
   struct vmbind_memory *memory;

   int ret = vmbind_memory_create(device->lvp.pscreen, &params, &memory);
   if (ret)
      return alloc_error(device, ret, mem->lvp.size);

   set_memory(mem, memory);
   if (device->lvp.poison_mem)
      memset(mem->lvp.map, UINT8_MAX / 2 + 1, mem->lvp.size);

   return VK_SUCCESS;
}

/* Takes the fd if it succeeds. */
static VkResult
import_fd(struct vmbvk_device *device, struct vmbvk_device_memory *mem, int fd)
{
   struct vmbind_memory *memory;

   int ret = vmbind_memory_import(device->lvp.pscreen, fd, &memory);
   if (ret == -ENOMEM || ret == -ENOSPC || ret == -ENODEV)
      return alloc_error(device, ret, mem->lvp.size);
   if (ret)
      return vk_errorf(device, VK_ERROR_INVALID_EXTERNAL_HANDLE, "fd %d: %s", fd, strerror(-ret));

   if (vmbind_memory_size_B(memory) < mem->lvp.size) {
      vmbind_memory_free(device->lvp.pscreen, memory);
      return vk_errorf(device, VK_ERROR_INVALID_EXTERNAL_HANDLE, "fd %d: less than %" PRIu64 " bytes",
                       fd, (uint64_t)mem->lvp.size);
   }

   set_memory(mem, memory);
   close(fd);
   return VK_SUCCESS;
}

/* Shaders run on the CPU and need no BO to reach it.  Binds do. */
static VkResult
import_host(struct vmbvk_device *device, struct vmbvk_device_memory *mem, void *ptr)
{
   struct vmbind_memory *memory;

   if (device->lvp.vk.enabled_features.sparseBinding) {
      int ret = vmbind_memory_take_pages(device->lvp.pscreen, ptr, mem->lvp.size, &memory);
      if (!ret) {
         set_memory(mem, memory);
         return VK_SUCCESS;
      }
      if (ret != -EINVAL && ret != -EFAULT)
         return alloc_error(device, ret, mem->lvp.size);
   }

   mem->lvp.mem_alloc = (struct llvmpipe_memory_allocation){.cpu_addr = ptr};
   mem->lvp.pmem = (struct pipe_memory_allocation *)&mem->lvp.mem_alloc;
   mem->lvp.map = ptr;
   mem->lvp.memory_type = LVP_DEVICE_MEMORY_TYPE_USER_PTR;
   return VK_SUCCESS;
}

/* ------------------------------------------------------------ allocate and free */

/* An allocation against the limits: of their number, and of the heap. */
static VkResult
count_up(struct vmbvk_device *device, uint64_t size_B)
{
   struct vmbvk_physical_device *pdev = vmbvk_device_pdev(device);

   if (p_atomic_inc_return(&device->memory_count) >
       pdev->lvp.vk.properties.maxMemoryAllocationCount) {
      p_atomic_dec(&device->memory_count);
      return vk_error(device, VK_ERROR_TOO_MANY_OBJECTS);
   }
   p_atomic_add(&pdev->memory_used_B, size_B);

   return VK_SUCCESS;
}

static void
count_down(struct vmbvk_device *device, uint64_t size_B)
{
   p_atomic_add(&vmbvk_device_pdev(device)->memory_used_B, -size_B);
   p_atomic_dec(&device->memory_count);
}

static void
report(struct vmbvk_device *device, struct vmbvk_device_memory *mem,
       VkDeviceAddressBindingTypeEXT type)
{
   vmbvk_report_address(device, &mem->lvp.base, (uintptr_t)mem->lvp.map, mem->lvp.size, type);
}

VKAPI_ATTR VkResult VKAPI_CALL
vmbvk_AllocateMemory(VkDevice _device, const VkMemoryAllocateInfo *pAllocateInfo,
                     const VkAllocationCallbacks *pAllocator, VkDeviceMemory *pMem)
{
   VK_FROM_HANDLE(vmbvk_device, device, _device);
   const struct alloc_request req = parse_request(pAllocateInfo);

   /* As lavapipe: importing an Android buffer, size 0 says nothing. */
   if (pAllocateInfo->allocationSize == 0) {
      *pMem = VK_NULL_HANDLE;
      return VK_SUCCESS;
   }
   if (req.import_fd && req.import_fd->fd < 0)
      return vk_error(device, VK_ERROR_INVALID_EXTERNAL_HANDLE);

   if (pAllocateInfo->allocationSize > vmbvk_device_pdev(device)->heap_size_B)
      return alloc_error(device, -ENOMEM, pAllocateInfo->allocationSize);

   struct vmbvk_device_memory *mem = vk_zalloc2(&device->lvp.vk.alloc, pAllocator, sizeof(*mem), 8,
                                                VK_SYSTEM_ALLOCATION_SCOPE_OBJECT);
   if (!mem)
      return vk_error(device, VK_ERROR_OUT_OF_HOST_MEMORY);

   vk_object_base_init(&device->lvp.vk, &mem->lvp.base, VK_OBJECT_TYPE_DEVICE_MEMORY);
   mem->lvp.memory_type = LVP_DEVICE_MEMORY_TYPE_DEFAULT;
   mem->lvp.backed_fd = -1;
   mem->lvp.size = pAllocateInfo->allocationSize;
   mem->lvp.type_index = pAllocateInfo->memoryTypeIndex;

   VkResult result = count_up(device, mem->lvp.size);
   if (result != VK_SUCCESS)
      goto fail_object;

   result = req.host        ? import_host(device, mem, req.host->pHostPointer)
            : req.import_fd ? import_fd(device, mem, req.import_fd->fd)
                            : alloc_new(device, mem, &req);
   if (result != VK_SUCCESS)
      goto fail_count;

   *pMem = lvp_device_memory_to_handle(&mem->lvp);
   if (req.priority != 0.5f)
      lvp_SetDeviceMemoryPriorityEXT(_device, *pMem, req.priority);
   report(device, mem, VK_DEVICE_ADDRESS_BINDING_TYPE_BIND_EXT);

   return VK_SUCCESS;

fail_count:
   count_down(device, mem->lvp.size);
fail_object:
   vk_object_base_finish(&mem->lvp.base);
   vk_free2(&device->lvp.vk.alloc, pAllocator, mem);
   return result;
}

VKAPI_ATTR void VKAPI_CALL
vmbvk_FreeMemory(VkDevice _device, VkDeviceMemory _mem, const VkAllocationCallbacks *pAllocator)
{
   VK_FROM_HANDLE(vmbvk_device, device, _device);
   VK_FROM_HANDLE(vmbvk_device_memory, mem, _mem);

   if (!mem)
      return;

   report(device, mem, VK_DEVICE_ADDRESS_BINDING_TYPE_UNBIND_EXT);
   /* "Memory is implicitly unmapped." */
   if (mem->placed)
      munmap(mem->placed, mem->placed_size_B);
   if (mem->memory)
      vmbind_memory_free(device->lvp.pscreen, mem->memory);
   count_down(device, mem->lvp.size);
   vk_object_base_finish(&mem->lvp.base);
   vk_free2(&device->lvp.vk.alloc, pAllocator, mem);
}

struct vmbind_piece
vmbvk_memory_piece(const struct lvp_device_memory *lvp)
{
   const struct vmbvk_device_memory *mem = container_of(lvp, struct vmbvk_device_memory, lvp);

   return mem->memory ? vmbind_memory_piece(mem->memory) : (struct vmbind_piece){0};
}

/* A plane that has no addresses yet is not worth a word. */
void
vmbvk_report_image(struct vmbvk_device *device, struct lvp_image *image,
                   VkDeviceAddressBindingTypeEXT type)
{
   for (uint8_t p = 0; p < image->plane_count; p++) {
      const struct llvmpipe_resource *lpr = llvmpipe_resource(image->planes[p].bo);
      if (lpr->tex_data)
         vmbvk_report_address(device, &image->vk.base, (uintptr_t)lpr->tex_data,
                              image->planes[p].size, type);
   }
}

VKAPI_ATTR VkResult VKAPI_CALL
vmbvk_BindImageMemory2(VkDevice _device, uint32_t bindInfoCount,
                       const VkBindImageMemoryInfo *pBindInfos)
{
   VK_FROM_HANDLE(vmbvk_device, device, _device);

   VkResult result = lvp_BindImageMemory2(_device, bindInfoCount, pBindInfos);
   for (uint32_t i = 0; i < bindInfoCount; i++) {
      VK_FROM_HANDLE(lvp_image, image, pBindInfos[i].image);
      vmbvk_report_image(device, image, VK_DEVICE_ADDRESS_BINDING_TYPE_BIND_EXT);
   }

   return result;
}

/* ------------------------------------------------------------------- export */

VKAPI_ATTR VkResult VKAPI_CALL
vmbvk_GetMemoryFdKHR(VkDevice _device, const VkMemoryGetFdInfoKHR *pGetFdInfo, int *pFd)
{
   VK_FROM_HANDLE(vmbvk_device, device, _device);
   VK_FROM_HANDLE(vmbvk_device_memory, mem, pGetFdInfo->memory);

   int ret = mem->memory ? vmbind_memory_export(mem->memory, pFd) : -EPERM;
   if (ret)
      return vk_errorf(device, ret == -ENOMEM ? VK_ERROR_OUT_OF_HOST_MEMORY
                                              : VK_ERROR_TOO_MANY_OBJECTS,
                       "cannot export memory: %s", strerror(-ret));

   return VK_SUCCESS;
}

/* The simulated node's dma-bufs and opaque fds are both PRIME's: they leave as easily as they come. */

VKAPI_ATTR void VKAPI_CALL
vmbvk_GetPhysicalDeviceExternalBufferProperties(VkPhysicalDevice physicalDevice,
                                                const VkPhysicalDeviceExternalBufferInfo *info,
                                                VkExternalBufferProperties *props)
{
   lvp_GetPhysicalDeviceExternalBufferProperties(physicalDevice, info, props);
   if (info->handleType == VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT)
      props->externalMemoryProperties.externalMemoryFeatures |=
         VK_EXTERNAL_MEMORY_FEATURE_EXPORTABLE_BIT;
}

VKAPI_ATTR VkResult VKAPI_CALL
vmbvk_GetPhysicalDeviceImageFormatProperties2(VkPhysicalDevice physicalDevice,
                                              const VkPhysicalDeviceImageFormatInfo2 *info,
                                              VkImageFormatProperties2 *props)
{
   const VkPhysicalDeviceExternalImageFormatInfo *external_info =
      vk_find_struct_const(info->pNext, PHYSICAL_DEVICE_EXTERNAL_IMAGE_FORMAT_INFO);
   VkExternalImageFormatProperties *external =
      vk_find_struct(props->pNext, EXTERNAL_IMAGE_FORMAT_PROPERTIES);

   VkResult result = lvp_GetPhysicalDeviceImageFormatProperties2(physicalDevice, info, props);
   if (result != VK_SUCCESS)
      return result;

   /* More than that llvmpipe does not create. */
   props->imageFormatProperties.maxResourceSize =
      MIN2(props->imageFormatProperties.maxResourceSize, LP_MAX_TEXTURE_SIZE);
   if (external && external_info &&
       external_info->handleType == VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT)
      external->externalMemoryProperties.externalMemoryFeatures |=
         VK_EXTERNAL_MEMORY_FEATURE_EXPORTABLE_BIT;

   return VK_SUCCESS;
}

/* ---------------------------------------------------------------------- maps */

VKAPI_ATTR VkResult VKAPI_CALL
vmbvk_MapMemory2KHR(VkDevice _device, const VkMemoryMapInfoKHR *pMemoryMapInfo, void **ppData)
{
   VK_FROM_HANDLE(vmbvk_device, device, _device);
   VK_FROM_HANDLE(vmbvk_device_memory, mem, pMemoryMapInfo->memory);

   if (!(pMemoryMapInfo->flags & VK_MEMORY_MAP_PLACED_BIT_EXT))
      return lvp_MapMemory2KHR(_device, pMemoryMapInfo, ppData);

   const VkMemoryMapPlacedInfoEXT *placed =
      vk_find_struct_const(pMemoryMapInfo->pNext, MEMORY_MAP_PLACED_INFO_EXT);
   const int64_t ret =
      mem->memory ? vmbind_memory_map_at(mem->memory, mem->lvp.size, placed->pPlacedAddress) : -EPERM;
   if (ret < 0)
      return vk_errorf(device, VK_ERROR_MEMORY_MAP_FAILED, "cannot map at %p: %s",
                       placed->pPlacedAddress, strerror(-ret));

   mem->placed = placed->pPlacedAddress;
   mem->placed_size_B = ret;
   *ppData = mem->placed;
   return VK_SUCCESS;
}

VKAPI_ATTR VkResult VKAPI_CALL
vmbvk_UnmapMemory2KHR(VkDevice _device, const VkMemoryUnmapInfoKHR *pMemoryUnmapInfo)
{
   VK_FROM_HANDLE(vmbvk_device, device, _device);
   VK_FROM_HANDLE(vmbvk_device_memory, mem, pMemoryUnmapInfo->memory);

   /* Where memory is mapped by itself it stays mapped, and so its addresses stay reserved. */
   if (!mem->placed)
      return VK_SUCCESS;

   const uint64_t size_B = mem->placed_size_B;
   if (!(pMemoryUnmapInfo->flags & VK_MEMORY_UNMAP_RESERVE_BIT_EXT))
      munmap(mem->placed, size_B);
   else if (mmap(mem->placed, size_B, PROT_NONE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
      return vk_errorf(device, VK_ERROR_MEMORY_MAP_FAILED, "cannot keep %p reserved: %m",
                       mem->placed);

   mem->placed = NULL;
   return VK_SUCCESS;
}

/* -------------------------------------------------------------- what is told of it */

void
vmbvk_fill_requirements(VkMemoryRequirements2 *requirements)
{
   VkMemoryDedicatedRequirements *dedicated =
      vk_find_struct(requirements->pNext, MEMORY_DEDICATED_REQUIREMENTS);

   if (dedicated) {
      dedicated->prefersDedicatedAllocation = false;
      dedicated->requiresDedicatedAllocation = false;
   }
}

VKAPI_ATTR uint64_t VKAPI_CALL
vmbvk_GetDeviceMemoryOpaqueCaptureAddress(UNUSED VkDevice device,
                                          const VkDeviceMemoryOpaqueCaptureAddressInfo *pInfo)
{
   VK_FROM_HANDLE(vmbvk_device_memory, mem, pInfo->memory);
   return (uintptr_t)mem->lvp.map;
}

VKAPI_ATTR void VKAPI_CALL
vmbvk_GetPhysicalDeviceMemoryProperties(VkPhysicalDevice physicalDevice,
                                        VkPhysicalDeviceMemoryProperties *pMemoryProperties)
{
   VK_FROM_HANDLE(vmbvk_physical_device, pdev, physicalDevice);

   lvp_GetPhysicalDeviceMemoryProperties(physicalDevice, pMemoryProperties);
   pMemoryProperties->memoryHeaps[0].size = pdev->heap_size_B;
}

VKAPI_ATTR void VKAPI_CALL
vmbvk_GetPhysicalDeviceMemoryProperties2(VkPhysicalDevice physicalDevice,
                                         VkPhysicalDeviceMemoryProperties2 *pMemoryProperties)
{
   VK_FROM_HANDLE(vmbvk_physical_device, pdev, physicalDevice);
   VkPhysicalDeviceMemoryProperties *props = &pMemoryProperties->memoryProperties;
   VkPhysicalDeviceMemoryBudgetPropertiesEXT *budget =
      vk_find_struct(pMemoryProperties->pNext, PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT);

   vmbvk_GetPhysicalDeviceMemoryProperties(physicalDevice, props);
   if (!budget)
      return;

   memset(budget->heapBudget, 0, sizeof(budget->heapBudget));
   memset(budget->heapUsage, 0, sizeof(budget->heapUsage));

   /* What this process has, and what it could have at most. */
   const uint64_t used_B = p_atomic_read(&pdev->memory_used_B);
   uint64_t available_B;
   if (!os_get_available_system_memory(&available_B))
      available_B = props->memoryHeaps[0].size;
   budget->heapUsage[0] = used_B;
   budget->heapBudget[0] = MIN2(used_B + available_B, props->memoryHeaps[0].size);
}

void
vmbvk_report_address(struct vmbvk_device *device, struct vk_object_base *object, uint64_t addr_B,
                     uint64_t size_B, VkDeviceAddressBindingTypeEXT type)
{
   if (device->lvp.vk.enabled_features.reportAddressBinding)
      vk_address_binding_report(device->lvp.vk.physical->instance, object, addr_B, size_B, type);
}

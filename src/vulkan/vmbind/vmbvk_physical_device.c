/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Physical devices: the DRM render nodes whose kernel driver has VM_BIND.  What shaders can do is
 * lavapipe's answer; what memory, addresses, queues and syncs can do is ours.
 *
 * Knows how to find a node, and nothing of what is done with it.
 */

#include "vmbvk_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <xf86drm.h>

#include "pipe-loader/pipe_loader.h"
#include "pipe/p_screen.h"
#include "util/disk_cache.h"
#include "util/log.h"
#include "vk_alloc.h"
#include "vk_common_entrypoints.h"
#include "vmbind/vmbind_screen.h"
#include "wsi_common_entrypoints.h"

/** What was found out about a node. */
struct vmbvk_probe {
   dev_t node;
   char kmd[32];
   uint32_t page_size_B;
   uint64_t window_size_B;
   bool has_null;
   bool null_strict;
   /** The cause, if no device can be made on it. */
   char why[256];
};

/* What the first instance found out holds for all of a process: it takes a device to find out, and
 * later ones find less room for addresses. */
static simple_mtx_t known_lock = SIMPLE_MTX_INITIALIZER;
static struct vmbvk_probe known[8];
static unsigned known_count;

static struct vk_physical_device_dispatch_table
physical_device_dispatch_table(void)
{
   struct vk_physical_device_dispatch_table table;

   vk_physical_device_dispatch_table_from_entrypoints(&table, &vmbvk_physical_device_entrypoints,
                                                      true);
   vk_physical_device_dispatch_table_from_entrypoints(&table, &lvp_physical_device_entrypoints,
                                                      false);
   vk_physical_device_dispatch_table_from_entrypoints(&table, &wsi_physical_device_entrypoints,
                                                      false);

   return table;
}

static void
set_extensions(struct vk_device_extension_table *ext)
{
   /* PRIME. */
   ext->EXT_external_memory_dma_buf = true;
   ext->ANDROID_external_memory_android_hardware_buffer = false;

   /* Syncobjs are shared as they are. */
   ext->KHR_external_semaphore_fd = true;
   ext->KHR_external_fence_fd = true;

   ext->EXT_physical_device_drm = true;
}

static void
set_features(struct vk_features *f, struct vk_device_extension_table *ext,
             const struct vmbvk_probe *probe)
{
   /* What is not bound must be a null mapping. */
   f->sparseResidencyBuffer = probe->has_null;
   f->sparseResidencyImage2D = probe->has_null;
   f->sparseResidencyImage3D = probe->has_null;
   f->sparseResidencyAliased = probe->has_null;
   /* As many as llvmpipe rasterizes. */
   f->sparseResidency4Samples = probe->has_null;

   ext->EXT_map_memory_placed = true;
   f->memoryMapPlaced = true;
   f->memoryMapRangePlaced = false;
   f->memoryUnmapReserve = true;

   ext->EXT_device_address_binding_report = true;
   f->reportAddressBinding = true;

   ext->EXT_device_fault = true;
   f->deviceFault = true;

   f->bufferDeviceAddressCaptureReplay = true;

   /* llvmpipe can do these as patched. */
   f->shaderResourceMinLod = true;
   ext->EXT_shader_image_atomic_int64 = true;
   f->shaderImageInt64Atomics = true;
   f->sparseImageInt64Atomics = true;
   f->sparseImageFloat32AtomicMinMax = f->shaderImageFloat32AtomicMinMax;
}

static void
set_properties(struct vk_properties *p, const struct vmbvk_probe *probe)
{
   snprintf(p->driverName, sizeof(p->driverName), "vmbind");
   char shader_device[VK_MAX_PHYSICAL_DEVICE_NAME_SIZE];
   snprintf(shader_device, sizeof(shader_device), "%s", p->deviceName);
   snprintf(p->deviceName, sizeof(p->deviceName), "vmbind on %s, shaders by %.200s", probe->kmd,
            shader_device);

   /* Each that is no small one is an area of the process's address space, of which a host allows
    * 65530 (vm.max_map_count) unless told otherwise. */
   p->maxMemoryAllocationCount = 32768;
   p->minPlacedMemoryMapAlignment = probe->page_size_B;
   p->minImportedHostPointerAlignment = probe->page_size_B;

   p->sparseAddressSpaceSize = probe->window_size_B;
   p->sparseResidencyNonResidentStrict = probe->null_strict;

   p->drmHasRender = probe->node != 0;
   if (p->drmHasRender) {
      p->drmRenderMajor = major(probe->node);
      p->drmRenderMinor = minor(probe->node);
   }
}

/* Memory lies in the window, and sparse resources do too. */
static uint64_t
heap_size_B(struct lvp_physical_device *template, const struct vmbvk_probe *probe)
{
   VkPhysicalDeviceMemoryProperties props;

   lvp_GetPhysicalDeviceMemoryProperties(lvp_physical_device_to_handle(template), &props);
   return MIN2(props.memoryHeaps[0].size, probe->window_size_B / 2);
}

static VkResult
physical_device_init(struct vmbvk_physical_device *pdev, struct vmbvk_instance *instance,
                     const char *node, int drm_fd, const struct vmbvk_probe *probe)
{
   struct lvp_physical_device *template = instance->template;
   struct vk_device_extension_table extensions = template->vk.supported_extensions;
   struct vk_features features = template->vk.supported_features;
   struct vk_properties properties = template->vk.properties;
   set_extensions(&extensions);
   set_features(&features, &extensions, probe);
   set_properties(&properties, probe);

   const struct vk_physical_device_dispatch_table table = physical_device_dispatch_table();
   VkResult result = vk_physical_device_init(&pdev->lvp.vk, &instance->lvp.vk, &extensions,
                                             &features, &properties, &table);
   if (result != VK_SUCCESS)
      return result;

   snprintf(pdev->node, sizeof(pdev->node), "%s", node);
   pdev->syncobj_type = vmbvk_sync_type(drm_fd);
   pdev->sync_types[0] = &pdev->syncobj_type;
   pdev->sync_types[1] = NULL;
   pdev->lvp.vk.supported_sync_types = pdev->sync_types;

   pdev->lvp.pscreen = template->pscreen;
   memcpy(pdev->lvp.drv_options, template->drv_options, sizeof(pdev->lvp.drv_options));
   pdev->lvp.max_images = template->max_images;
   pdev->lvp.snorm_blend = template->snorm_blend;
   pdev->heap_size_B = heap_size_B(template, probe);
   simple_mtx_init(&pdev->shader_cache_lock, mtx_plain);

   result = lvp_init_wsi(&pdev->lvp);
   if (result != VK_SUCCESS)
      vk_physical_device_finish(&pdev->lvp.vk);

   return result;
}

static void
physical_device_destroy(struct vmbvk_physical_device *pdev)
{
   const VkAllocationCallbacks *alloc = &pdev->lvp.vk.instance->alloc;

   lvp_finish_wsi(&pdev->lvp);
   disk_cache_destroy(pdev->shader_cache);
   simple_mtx_destroy(&pdev->shader_cache_lock);
   vk_physical_device_finish(&pdev->lvp.vk);
   vk_free(alloc, pdev);
}

void
vmbvk_physical_device_destroy(struct vk_physical_device *vk_pdev)
{
   physical_device_destroy(container_of(vk_pdev, struct vmbvk_physical_device, lvp.vk));
}

/* Whether devices can be made on the node: by making what a device is made of. */
static bool
make_and_ask(int drm_fd, struct vmbvk_probe *probe)
{
   struct pipe_screen *pscreen;

   if (vmbind_screen_create(drm_fd, &pscreen, probe->why, sizeof(probe->why)))
      return false;

   snprintf(probe->kmd, sizeof(probe->kmd), "%s",
            vmb_device_caps(vmbind_screen_device(pscreen))->driver);
   const struct vmb_caps *caps = vmb_device_caps(vmbind_screen_device(pscreen));
   probe->page_size_B = caps->page_size_B;
   probe->has_null = caps->null_mode != VMB_NULL_NONE;
   probe->null_strict = caps->null_strict;
   probe->window_size_B = vmbind_screen_window_size_B(pscreen);
   pscreen->destroy(pscreen);

   return true;
}

static bool
probe_node(int drm_fd, struct vmbvk_probe *probe)
{
   struct stat st;
   bool found = false;

   probe->node = fstat(drm_fd, &st) == 0 ? st.st_rdev : 0;

   simple_mtx_lock(&known_lock);
   for (unsigned i = 0; i < known_count && !found; i++) {
      found = known[i].node == probe->node;
      if (found)
         *probe = known[i];
   }
   if (!found) {
      found = make_and_ask(drm_fd, probe);
      if (found && known_count < ARRAY_SIZE(known))
         known[known_count++] = *probe;
   }
   simple_mtx_unlock(&known_lock);

   return found;
}

static VkResult
physical_device_create(struct vmbvk_instance *instance, const char *node, int drm_fd,
                       const struct vmbvk_probe *probe)
{
   struct vmbvk_physical_device *pdev =
      vk_zalloc(&instance->lvp.vk.alloc, sizeof(*pdev), 8, VK_SYSTEM_ALLOCATION_SCOPE_INSTANCE);
   if (!pdev)
      return vk_error(instance, VK_ERROR_OUT_OF_HOST_MEMORY);

   VkResult result = physical_device_init(pdev, instance, node, drm_fd, probe);
   if (result != VK_SUCCESS) {
      vk_free(&instance->lvp.vk.alloc, pdev);
      return result;
   }

   list_addtail(&pdev->lvp.vk.link, &instance->lvp.vk.physical_devices.list);
   return VK_SUCCESS;
}

static VkResult
try_node(struct vmbvk_instance *instance, const char *node, struct vmbvk_probe *probe)
{
   VkResult result = VK_ERROR_INCOMPATIBLE_DRIVER;

   const int drm_fd = open(node, O_RDWR | O_CLOEXEC);
   if (drm_fd < 0) {
      snprintf(probe->why, sizeof(probe->why), "cannot open it: %s", strerror(errno));
      return result;
   }

   if (probe_node(drm_fd, probe))
      result = physical_device_create(instance, node, drm_fd, probe);

   close(drm_fd);
   return result;
}

/* No device is no error in Vulkan, but somebody wants to know why. */
static void
say_why_none(const char *node, const char *why)
{
   if (node[0])
      mesa_loge("vmbind: no device: %s: %s", node, why);
   else
      mesa_loge("vmbind: no device: there is no DRM render node here; "
                "'vmbind run -- COMMAND' brings a simulated one");
}

VkResult
vmbvk_enumerate_physical_devices(struct vk_instance *vk_instance)
{
   struct vmbvk_instance *instance = container_of(vk_instance, struct vmbvk_instance, lvp.vk);
   drmDevicePtr devices[64];
   char refused[64] = "", why[256] = "";
   VkResult result = VK_SUCCESS;

   const int count = drmGetDevices2(0, devices, ARRAY_SIZE(devices));

   for (int i = 0; i < count && result == VK_SUCCESS; i++) {
      if (!(devices[i]->available_nodes & (1 << DRM_NODE_RENDER)))
         continue;

      struct vmbvk_probe probe = {0};
      const char *node = devices[i]->nodes[DRM_NODE_RENDER];
      result = try_node(instance, node, &probe);
      if (result == VK_ERROR_INCOMPATIBLE_DRIVER) {
         snprintf(refused, sizeof(refused), "%s", node);
         snprintf(why, sizeof(why), "%s", probe.why);
         result = VK_SUCCESS;
      }
   }

   if (count > 0)
      drmFreeDevices(devices, count);

   if (result == VK_SUCCESS && list_is_empty(&instance->lvp.vk.physical_devices.list))
      say_why_none(refused, why);

   return result;
}

/* ------------------------------------------------------------------ queues */

VKAPI_ATTR void VKAPI_CALL
vmbvk_GetPhysicalDeviceQueueFamilyProperties2(UNUSED VkPhysicalDevice physicalDevice,
                                              uint32_t *pCount,
                                              VkQueueFamilyProperties2 *pQueueFamilyProperties)
{
   static const VkQueueFamilyProperties families[VMBVK_QUEUE_FAMILY_COUNT] = {
      [VMBVK_QUEUE_FAMILY_GRAPHICS] =
         {
            .queueFlags = VK_QUEUE_GRAPHICS_BIT | VK_QUEUE_COMPUTE_BIT | VK_QUEUE_TRANSFER_BIT |
                          VK_QUEUE_SPARSE_BINDING_BIT,
            .queueCount = 2,
            .timestampValidBits = 64,
            .minImageTransferGranularity = {1, 1, 1},
         },
      [VMBVK_QUEUE_FAMILY_COMPUTE] =
         {
            .queueFlags = VK_QUEUE_COMPUTE_BIT | VK_QUEUE_TRANSFER_BIT,
            .queueCount = 2,
            .timestampValidBits = 64,
            .minImageTransferGranularity = {1, 1, 1},
         },
      [VMBVK_QUEUE_FAMILY_TRANSFER] =
         {
            .queueFlags = VK_QUEUE_TRANSFER_BIT,
            .queueCount = 2,
            .timestampValidBits = 64,
            .minImageTransferGranularity = {1, 1, 1},
         },
      [VMBVK_QUEUE_FAMILY_SPARSE] =
         {
            .queueFlags = VK_QUEUE_SPARSE_BINDING_BIT,
            .queueCount = 2,
            .minImageTransferGranularity = {1, 1, 1},
         },
   };

   VK_OUTARRAY_MAKE_TYPED(VkQueueFamilyProperties2, out, pQueueFamilyProperties, pCount);

   for (unsigned i = 0; i < ARRAY_SIZE(families); i++) {
      vk_outarray_append_typed(VkQueueFamilyProperties2, &out, p)
      {
         p->queueFamilyProperties = families[i];

         VkQueueFamilyGlobalPriorityPropertiesKHR *prio =
            vk_find_struct(p->pNext, QUEUE_FAMILY_GLOBAL_PRIORITY_PROPERTIES_KHR);
         if (prio) {
            /* As lavapipe: any is as good as another. */
            prio->priorityCount = 4;
            prio->priorities[0] = VK_QUEUE_GLOBAL_PRIORITY_LOW_KHR;
            prio->priorities[1] = VK_QUEUE_GLOBAL_PRIORITY_MEDIUM_KHR;
            prio->priorities[2] = VK_QUEUE_GLOBAL_PRIORITY_HIGH_KHR;
            prio->priorities[3] = VK_QUEUE_GLOBAL_PRIORITY_REALTIME_KHR;
         }
      }
   }
}

/* ------------------------------------------------------------------- syncs */

/* Lavapipe answers for its own kind of sync. */

VKAPI_ATTR void VKAPI_CALL
vmbvk_GetPhysicalDeviceExternalFenceProperties(VkPhysicalDevice physicalDevice,
                                               const VkPhysicalDeviceExternalFenceInfo *info,
                                               VkExternalFenceProperties *props)
{
   vk_common_GetPhysicalDeviceExternalFenceProperties(physicalDevice, info, props);
}

VKAPI_ATTR void VKAPI_CALL
vmbvk_GetPhysicalDeviceExternalSemaphoreProperties(VkPhysicalDevice physicalDevice,
                                                   const VkPhysicalDeviceExternalSemaphoreInfo *info,
                                                   VkExternalSemaphoreProperties *props)
{
   vk_common_GetPhysicalDeviceExternalSemaphoreProperties(physicalDevice, info, props);
}

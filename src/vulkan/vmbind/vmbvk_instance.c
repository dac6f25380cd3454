/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The loader's way in, and the instance.  Knows nothing of devices but how to ask for them.
 */

#include "vmbvk_private.h"

#include "vk_alloc.h"
#include "vk_common_entrypoints.h"
#include "wsi_common_entrypoints.h"

/* Ours first, then lavapipe's, then what window systems bring. */
static struct vk_instance_dispatch_table
instance_dispatch_table(void)
{
   struct vk_instance_dispatch_table table;

   vk_instance_dispatch_table_from_entrypoints(&table, &vmbvk_instance_entrypoints, true);
   vk_instance_dispatch_table_from_entrypoints(&table, &lvp_instance_entrypoints, false);
   vk_instance_dispatch_table_from_entrypoints(&table, &wsi_instance_entrypoints, false);

   return table;
}

/* Lavapipe's table of what an instance supports is its own; what it says is public. */
static VkResult
get_supported_extensions(struct vk_instance_extension_table *supported)
{
   VkExtensionProperties props[VK_INSTANCE_EXTENSION_COUNT];
   uint32_t count = ARRAY_SIZE(props);

   VkResult result = lvp_EnumerateInstanceExtensionProperties(NULL, &count, props);
   if (result != VK_SUCCESS)
      return result;

   memset(supported, 0, sizeof(*supported));
   for (uint32_t i = 0; i < count; i++) {
      for (uint32_t e = 0; e < VK_INSTANCE_EXTENSION_COUNT; e++) {
         if (!strcmp(props[i].extensionName, vk_instance_extensions[e].extensionName))
            supported->extensions[e] = true;
      }
   }

   return VK_SUCCESS;
}

/* Lavapipe's own device, of which ours take what shaders can do. */
static VkResult
get_template(VkInstance lavapipe, struct lvp_physical_device **template_out)
{
   uint32_t count = 1;
   VkPhysicalDevice handle;

   VkResult result = vk_common_EnumeratePhysicalDevices(lavapipe, &count, &handle);
   if (result != VK_SUCCESS)
      return result;
   if (count == 0)
      return VK_ERROR_INITIALIZATION_FAILED;

   *template_out = lvp_physical_device_from_handle(handle);
   return VK_SUCCESS;
}

VKAPI_ATTR VkResult VKAPI_CALL
vmbvk_CreateInstance(const VkInstanceCreateInfo *pCreateInfo,
                     const VkAllocationCallbacks *pAllocator, VkInstance *pInstance)
{
   const VkAllocationCallbacks *alloc = pAllocator ? pAllocator : vk_default_allocator();

   struct vk_instance_extension_table supported;
   VkResult result = get_supported_extensions(&supported);
   if (result != VK_SUCCESS)
      return vk_error(NULL, result);

   struct vmbvk_instance *instance =
      vk_zalloc(alloc, sizeof(*instance), 8, VK_SYSTEM_ALLOCATION_SCOPE_INSTANCE);
   if (!instance)
      return vk_error(NULL, VK_ERROR_OUT_OF_HOST_MEMORY);

   const struct vk_instance_dispatch_table table = instance_dispatch_table();
   result = vk_instance_init(&instance->lvp.vk, &supported, &table, pCreateInfo, alloc);
   if (result != VK_SUCCESS)
      goto fail_alloc;

   result =
      lvp_CreateInstance(&(VkInstanceCreateInfo){.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO},
                         alloc, &instance->lavapipe);
   if (result != VK_SUCCESS)
      goto fail_instance;

   result = get_template(instance->lavapipe, &instance->template);
   if (result != VK_SUCCESS)
      goto fail_lavapipe;

   instance->lvp.apiVersion = VK_API_VERSION_1_4;
   instance->lvp.vk.physical_devices.enumerate = vmbvk_enumerate_physical_devices;
   instance->lvp.vk.physical_devices.destroy = vmbvk_physical_device_destroy;

   *pInstance = vmbvk_instance_to_handle(instance);

   return VK_SUCCESS;

fail_lavapipe:
   lvp_DestroyInstance(instance->lavapipe, alloc);
fail_instance:
   vk_instance_finish(&instance->lvp.vk);
fail_alloc:
   vk_free(alloc, instance);
   return vk_error(NULL, result);
}

VKAPI_ATTR void VKAPI_CALL
vmbvk_DestroyInstance(VkInstance _instance, UNUSED const VkAllocationCallbacks *pAllocator)
{
   VK_FROM_HANDLE(vmbvk_instance, instance, _instance);

   if (!instance)
      return;

   /* Our physical devices borrow from lavapipe's. */
   const VkInstance lavapipe = instance->lavapipe;
   const VkAllocationCallbacks alloc = instance->lvp.vk.alloc;
   vk_instance_finish(&instance->lvp.vk);
   lvp_DestroyInstance(lavapipe, &alloc);
   vk_free(&alloc, instance);
}

VKAPI_ATTR VkResult VKAPI_CALL
vmbvk_EnumerateInstanceVersion(uint32_t *pApiVersion)
{
   return lvp_EnumerateInstanceVersion(pApiVersion);
}

VKAPI_ATTR VkResult VKAPI_CALL
vmbvk_EnumerateInstanceExtensionProperties(const char *pLayerName, uint32_t *pPropertyCount,
                                           VkExtensionProperties *pProperties)
{
   return lvp_EnumerateInstanceExtensionProperties(pLayerName, pPropertyCount, pProperties);
}

VKAPI_ATTR VkResult VKAPI_CALL
vmbvk_EnumerateInstanceLayerProperties(uint32_t *pPropertyCount, VkLayerProperties *pProperties)
{
   return lvp_EnumerateInstanceLayerProperties(pPropertyCount, pProperties);
}

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL
vmbvk_GetInstanceProcAddr(VkInstance _instance, const char *pName)
{
   VK_FROM_HANDLE(vk_instance, instance, _instance);
   return vk_instance_get_proc_addr(instance, &vmbvk_instance_entrypoints, pName);
}

PUBLIC VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL
vk_icdGetInstanceProcAddr(VkInstance instance, const char *pName)
{
   return vmbvk_GetInstanceProcAddr(instance, pName);
}

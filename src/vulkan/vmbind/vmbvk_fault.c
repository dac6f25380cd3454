/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * VK_EXT_device_fault: why a device was lost, and which addresses, of what resource, it was about.
 *
 * The first cause is kept; what fails after that fails because of it.  Must never change anything.
 */

#include "vmbvk_private.h"

#include "vmbind/vmbind_screen.h"

void
vmbvk_fault_init(struct vmbvk_device *device)
{
   simple_mtx_init(&device->fault.lock, mtx_plain);
}

void
vmbvk_fault_finish(struct vmbvk_device *device)
{
   simple_mtx_destroy(&device->fault.lock);
}

/* An address in words: the resource, and what is bound there. */
static void
describe(struct vmbvk_device *device, uint64_t addr_B, char *words, size_t size)
{
   struct vmb_who who;

   vmb_vm_who_is(vmbind_screen_vm(device->lvp.pscreen), addr_B, &who);
   if (!who.in_range)
      snprintf(words, size, "no resource");
   else
      snprintf(words, size, "%s at 0x%" PRIx64 ", 0x%" PRIx64 " bytes in; there %s%s",
               who.range_name, who.range_addr_B, addr_B - who.range_addr_B,
               !who.mapped    ? "was nothing"
               : !who.mapping.bo_id ? "was a null mapping"
                                    : "was bound: ",
               who.mapped ? who.bo_name : "");
}

void
vmbvk_fault_note(struct vmbvk_device *device, const char *what, int error,
                 const struct vmb_bind *binds, uint32_t bind_count)
{
   struct vmbvk_fault *fault = &device->fault;

   simple_mtx_lock(&fault->lock);
   if (!fault->noted) {
      fault->noted = true;
      snprintf(fault->description, sizeof(fault->description), "%s: %s", what, strerror(-error));
      fault->error = error;
      fault->addr_count = MIN2(bind_count, VMBVK_MAX_FAULT_ADDRS);
      for (uint32_t i = 0; i < fault->addr_count; i++) {
         fault->addrs[i].addr_B = vmb_range_addr_B(binds[i].range) + binds[i].offset_B;
         describe(device, fault->addrs[i].addr_B, fault->addrs[i].words,
                  sizeof(fault->addrs[i].words));
      }
   }
   simple_mtx_unlock(&fault->lock);
}

static void
fill(const struct vmbvk_fault *fault, uint32_t page_size_B, VkDeviceFaultCountsEXT *counts,
     VkDeviceFaultInfoEXT *info)
{
   counts->addressInfoCount = MIN2(counts->addressInfoCount, fault->addr_count);
   counts->vendorInfoCount = MIN2(counts->vendorInfoCount, fault->addr_count);
   counts->vendorBinarySize = 0;

   snprintf(info->description, sizeof(info->description), "%s", fault->description);
   for (uint32_t i = 0; info->pAddressInfos && i < counts->addressInfoCount; i++) {
      info->pAddressInfos[i] = (VkDeviceFaultAddressInfoEXT){
         .addressType = VK_DEVICE_FAULT_ADDRESS_TYPE_NONE_EXT,
         .reportedAddress = fault->addrs[i].addr_B,
         .addressPrecision = page_size_B,
      };
   }
   for (uint32_t i = 0; info->pVendorInfos && i < counts->vendorInfoCount; i++) {
      VkDeviceFaultVendorInfoEXT *vendor = &info->pVendorInfos[i];

      snprintf(vendor->description, sizeof(vendor->description), "%s", fault->addrs[i].words);
      vendor->vendorFaultCode = -fault->error;
      vendor->vendorFaultData = fault->addrs[i].addr_B;
   }
}

VKAPI_ATTR VkResult VKAPI_CALL
vmbvk_GetDeviceFaultInfoEXT(VkDevice _device, VkDeviceFaultCountsEXT *pFaultCounts,
                            VkDeviceFaultInfoEXT *pFaultInfo)
{
   VK_FROM_HANDLE(vmbvk_device, device, _device);
   const struct vmb_caps *caps = vmb_device_caps(vmbind_screen_device(device->lvp.pscreen));
   const struct vmbvk_fault *fault = &device->fault;
   VkResult result = VK_SUCCESS;

   simple_mtx_lock(&device->fault.lock);
   if (!pFaultInfo) {
      pFaultCounts->addressInfoCount = fault->addr_count;
      pFaultCounts->vendorInfoCount = fault->addr_count;
      pFaultCounts->vendorBinarySize = 0;
   } else {
      if (pFaultCounts->addressInfoCount < fault->addr_count ||
          pFaultCounts->vendorInfoCount < fault->addr_count)
         result = VK_INCOMPLETE;
      fill(fault, caps->page_size_B, pFaultCounts, pFaultInfo);
   }
   simple_mtx_unlock(&device->fault.lock);

   return result;
}

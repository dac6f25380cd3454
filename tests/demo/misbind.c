/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Preloaded into the demo, makes any driver look as if it had done one sparse
 * bind wrong, so that it can be proved that the comparison sees it:
 *
 *    MISBIND=map      a page is not bound
 *    MISBIND=unmap    a page is not evicted
 *    MISBIND=null     a page is evicted instead of bound
 *    MISBIND=offset   a page is bound to its neighbour's memory
 *
 * It changes one bind, the first of that kind in the call number MISBIND_CALL,
 * and nothing else.  It must never know what the program or the driver is.
 */

#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vulkan/vulkan.h>

#define MAX_BINDS 256
#define PAGE_B    (64 * 1024)

/* Misdoes one of the binds; true if there was one of the kind. */
static bool
misdo(const char *how, VkSparseImageMemoryBind *binds, uint32_t *count)
{
   const bool wants_unmap = !strcmp(how, "unmap");

   for (uint32_t i = 0; i < *count; i++) {
      if ((binds[i].memory == VK_NULL_HANDLE) != wants_unmap)
         continue;

      if (!strcmp(how, "null")) {
         binds[i].memory = VK_NULL_HANDLE;
         binds[i].memoryOffset = 0;
      } else if (!strcmp(how, "offset")) {
         binds[i].memoryOffset ^= PAGE_B;
      } else {
         memmove(&binds[i], &binds[i + 1], (*count - i - 1) * sizeof(*binds));
         (*count)--;
      }
      return true;
   }
   return false;
}

VKAPI_ATTR VkResult VKAPI_CALL
vkQueueBindSparse(VkQueue queue, uint32_t info_count, const VkBindSparseInfo *infos, VkFence fence)
{
   static bool done;
   static unsigned calls;
   const PFN_vkQueueBindSparse real = (PFN_vkQueueBindSparse)dlsym(RTLD_NEXT, "vkQueueBindSparse");
   const char *how = getenv("MISBIND");
   const char *call = getenv("MISBIND_CALL");

   calls++;
   if (done || !how || calls < (call ? (unsigned)atoi(call) : 12) || info_count != 1 ||
       infos->imageBindCount != 1 || infos->pImageBinds->bindCount > MAX_BINDS)
      return real(queue, info_count, infos, fence);

   VkSparseImageMemoryBind binds[MAX_BINDS];
   VkSparseImageMemoryBindInfo image = *infos->pImageBinds;
   VkBindSparseInfo info = *infos;

   memcpy(binds, image.pBinds, image.bindCount * sizeof(*binds));
   image.pBinds = binds;
   info.pImageBinds = &image;
   done = misdo(how, binds, &image.bindCount);
   if (done)
      fprintf(stderr, "misbind: %s in call %u\n", how, calls);
   if (image.bindCount == 0)
      info.imageBindCount = 0;
   return real(queue, 1, &info, fence);
}

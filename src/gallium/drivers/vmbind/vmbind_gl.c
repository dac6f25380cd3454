/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See vmbind_gl.h.
 */

#include "vmbind_gl_private.h"

#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>
#include <xf86drm.h>

#include "pipe/p_context.h"
#include "util/log.h"

/* ------------------------------------------------------------------- fences */

/* llvmpipe's fences are its own: a sync file is one that has been waited for. */
static int
vmbind_fence_get_fd(struct pipe_screen *pscreen, struct pipe_fence_handle *fence)
{
   const int dev_fd = vmb_device_fd(vmbind_screen(pscreen)->dev);
   uint32_t syncobj;
   int fd;

   if (!pscreen->fence_finish(pscreen, NULL, fence, OS_TIMEOUT_INFINITE))
      return -1;
   if (drmSyncobjCreate(dev_fd, DRM_SYNCOBJ_CREATE_SIGNALED, &syncobj))
      return -1;
   if (drmSyncobjExportSyncFile(dev_fd, syncobj, &fd))
      fd = -1;
   drmSyncobjDestroy(dev_fd, syncobj);

   return fd;
}

/* ------------------------------------------------------------------ shaders */

static char *
vmbind_finalize_nir(struct pipe_screen *pscreen, struct nir_shader *nir)
{
   vmbind_nir_lower_residency(nir);
   return vmbind_screen(pscreen)->gl->finalize_nir(pscreen, nir);
}

/* ------------------------------------------------------------------- screen */

static void
init_caps(struct pipe_screen *pscreen)
{
   struct pipe_caps *caps = (struct pipe_caps *)&pscreen->caps;

   caps->dmabuf = DRM_PRIME_CAP_IMPORT | DRM_PRIME_CAP_EXPORT;
   caps->native_fence_fd = true;
}

static struct pipe_context *
vmbind_context_create(struct pipe_screen *pscreen, void *priv, unsigned flags)
{
   struct vmbind_gl *gl = vmbind_screen(pscreen)->gl;
   struct pipe_context *pctx = gl->context_create(pscreen, priv, flags);

   if (pctx && !vmbind_commit_init_context(pctx)) {
      pctx->destroy(pctx);
      return NULL;
   }

   return pctx;
}

static void
vmbind_gl_destroy(struct pipe_screen *pscreen)
{
   struct vmbind_gl *gl = vmbind_screen(pscreen)->gl;

   vmbind_commit_finish_screen(pscreen);
   vmbind_resource_finish_screen(pscreen);
   gl->destroy(pscreen);
   FREE(gl);
}

static struct pipe_screen *
screen_create(int drm_fd, struct sw_winsys *winsys, char *why, size_t why_size)
{
   struct pipe_screen *pscreen;

   if (vmbind_screen_create(drm_fd, &pscreen, why, why_size))
      return NULL;

   struct vmbind_gl *gl = CALLOC_STRUCT(vmbind_gl);
   if (!gl)
      goto fail_screen;

   vmbind_screen(pscreen)->gl = gl;
   gl->pscreen = pscreen;
   vmbind_winsys_init(pscreen, winsys);
   vmbind_resource_init_screen(pscreen);

   if (!vmbind_commit_init_screen(pscreen))
      goto fail_resource;

   init_caps(pscreen);
   gl->context_create = pscreen->context_create;
   pscreen->context_create = vmbind_context_create;
   gl->finalize_nir = pscreen->finalize_nir;
   pscreen->finalize_nir = vmbind_finalize_nir;
   gl->destroy = pscreen->destroy;
   pscreen->destroy = vmbind_gl_destroy;
   pscreen->fence_get_fd = vmbind_fence_get_fd;

   return pscreen;

fail_resource:
   vmbind_resource_finish_screen(pscreen);
   FREE(gl);
fail_screen:
   snprintf(why, why_size, "out of memory");
   pscreen->destroy(pscreen);
   return NULL;
}

struct pipe_screen *
vmbind_gl_screen_create(int drm_fd)
{
   char why[256];
   struct pipe_screen *pscreen = screen_create(drm_fd, NULL, why, sizeof(why));

   if (!pscreen)
      mesa_loge("vmbind: %s", why);

   return pscreen;
}

struct pipe_screen *
vmbind_gl_screen_create_for_winsys(struct sw_winsys *winsys)
{
   drmDevicePtr devices[64];
   struct pipe_screen *pscreen = NULL;
   char why[256] = "there is no render node";

   const int count = drmGetDevices2(0, devices, ARRAY_SIZE(devices));
   for (int i = 0; i < count && !pscreen; i++) {
      if (!(devices[i]->available_nodes & (1 << DRM_NODE_RENDER)))
         continue;

      const int fd = open(devices[i]->nodes[DRM_NODE_RENDER], O_RDWR | O_CLOEXEC);
      if (fd < 0)
         continue;
      pscreen = screen_create(fd, winsys, why, sizeof(why));
      close(fd);
   }
   if (count > 0)
      drmFreeDevices(devices, count);

   if (!pscreen)
      mesa_loge("vmbind: %s", why);

   return pscreen;
}

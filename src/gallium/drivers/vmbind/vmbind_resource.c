/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Where GL's buffers and textures have their memory: every one in a BO that is bound in the VM
 * (vmbind_memory.h; small ones share a BO).  What other processes may see is in a BO that can be
 * exported.
 *
 * Must never know what a sparse page is (vmbind_commit.c) or how a picture gets to a screen.
 */

#include "vmbind_gl_private.h"

#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>
#include <xf86drm.h>

#include "drm-uapi/drm_fourcc.h"
#include "frontend/winsys_handle.h"
#include "lp_fence.h"
#include "lp_flush.h"
#include "lp_limits.h"
#include "lp_rast.h"
#include "util/format/u_format.h"
#include "util/log.h"

/* -------------------------------------------------------------------- cache */

/* Large memory that was freed is kept for a while: making a BO and binding it costs more than
 * filling it with zeros. */
#define CACHE_MAX_B      (128u << 20)
#define CACHE_MAX_ITEM_B (32u << 20)

static struct vmbind_memory *
cache_take(struct vmbind_gl *gl, uint64_t size_B)
{
   struct vmbind_memory *found = NULL;

   simple_mtx_lock(&gl->cache_lock);
   util_dynarray_foreach (&gl->cache, struct vmbind_memory *, item) {
      if (vmbind_memory_size_B(*item) != size_B)
         continue;
      found = *item;
      *item = util_dynarray_pop(&gl->cache, struct vmbind_memory *);
      gl->cached_B -= size_B;
      break;
   }
   simple_mtx_unlock(&gl->cache_lock);

   if (found)
      memset(found->lp.cpu_addr, 0, size_B);

   return found;
}

static void
cache_give(struct pipe_screen *pscreen, struct vmbind_memory *memory)
{
   struct vmbind_gl *gl = vmbind_screen(pscreen)->gl;
   const uint64_t size_B = vmbind_memory_size_B(memory);
   bool kept = false;

   simple_mtx_lock(&gl->cache_lock);
   /* What has no BO of its own is kept by its slab. */
   if (vmbind_memory_bo(memory) && size_B <= CACHE_MAX_ITEM_B && gl->cached_B + size_B <= CACHE_MAX_B) {
      util_dynarray_append(&gl->cache, struct vmbind_memory *, memory);
      gl->cached_B += size_B;
      kept = true;
   }
   simple_mtx_unlock(&gl->cache_lock);

   if (!kept)
      pscreen->free_memory(pscreen, (struct pipe_memory_allocation *)memory);
}

void
vmbind_resource_empty_cache(struct pipe_screen *pscreen)
{
   struct vmbind_gl *gl = vmbind_screen(pscreen)->gl;

   simple_mtx_lock(&gl->cache_lock);
   util_dynarray_foreach (&gl->cache, struct vmbind_memory *, item)
      pscreen->free_memory(pscreen, (struct pipe_memory_allocation *)*item);
   util_dynarray_clear(&gl->cache);
   gl->cached_B = 0;
   simple_mtx_unlock(&gl->cache_lock);
}

/* ---------------------------------------------------------------- resources */

static struct vmbind_gl_resource *
gl_resource(struct pipe_resource *pres)
{
   return (struct vmbind_gl_resource *)vmbind_backing(llvmpipe_resource(pres));
}

static void
resource_release(struct pipe_screen *pscreen, struct vmbind_backing *backing)
{
   struct vmbind_gl_resource *res = (struct vmbind_gl_resource *)backing;

   if (backing->memory && !res->shareable) {
      cache_give(pscreen, backing->memory);
      backing->memory = NULL;
   }
   if (res->left)
      cache_give(pscreen, res->left);
}

/* Shared memory comes with a dma-buf that nobody wants yet. */
static struct vmbind_memory *
alloc_shareable(struct pipe_screen *pscreen, uint64_t size_B)
{
   int fd = -1;
   struct pipe_memory_allocation *pmem =
      pscreen->allocate_memory_fd(pscreen, size_B, &fd, true);

   if (pmem)
      close(fd);

   return (struct vmbind_memory *)pmem;
}

static struct vmbind_memory *
alloc_private(struct pipe_screen *pscreen, uint64_t size_B)
{
   struct vmbind_screen *screen = vmbind_screen(pscreen);
   const uint32_t page_size_B = vmb_device_caps(screen->dev)->page_size_B;

   size_B = align64(MAX2(size_B, 1), page_size_B);
   struct vmbind_memory *memory = cache_take(screen->gl, size_B);
   if (memory)
      return memory;

   memory = (struct vmbind_memory *)pscreen->allocate_memory(pscreen, size_B);
   if (!memory) {
      vmbind_resource_empty_cache(pscreen);
      memory = (struct vmbind_memory *)pscreen->allocate_memory(pscreen, size_B);
   }

   return memory;
}

static bool
is_shared(const struct pipe_resource *templat)
{
   return templat->target != PIPE_BUFFER &&
          (templat->bind & (PIPE_BIND_DISPLAY_TARGET | PIPE_BIND_SCANOUT | PIPE_BIND_SHARED));
}

/* llvmpipe takes these flags for pictures of its winsys. */
static struct pipe_resource *
create_unbacked(struct pipe_screen *pscreen, const struct pipe_resource *templat, uint64_t *size_B)
{
   struct pipe_resource unshared = *templat;

   unshared.bind &= ~(PIPE_BIND_DISPLAY_TARGET | PIPE_BIND_SCANOUT | PIPE_BIND_SHARED);

   struct pipe_resource *pres = pscreen->resource_create_unbacked(pscreen, &unshared, size_B);
   if (pres && pres->target != PIPE_BUFFER && *size_B > LP_MAX_TEXTURE_SIZE)
      pipe_resource_reference(&pres, NULL);
   if (pres)
      pres->bind = templat->bind;

   return pres;
}

static struct pipe_resource *
vmbind_gl_resource_create(struct pipe_screen *pscreen, const struct pipe_resource *templat)
{
   struct vmbind_screen *screen = vmbind_screen(pscreen);

   if (screen->gl->winsys && is_shared(templat))
      return screen->resource_create(pscreen, templat);

   if (templat->flags & PIPE_RESOURCE_FLAG_SPARSE)
      return vmbind_sparse_resource_create(pscreen, templat);

   uint64_t size_B;
   struct pipe_resource *pres = create_unbacked(pscreen, templat, &size_B);
   if (!pres)
      return NULL;

   struct vmbind_gl_resource *res = CALLOC_STRUCT(vmbind_gl_resource);
   if (!res)
      goto fail_resource;

   /* As llvmpipe leaves it: a new resource is zero. */
   res->backing.destroy = resource_release;
   res->shareable = is_shared(templat);
   res->backing.memory =
      res->shareable ? alloc_shareable(pscreen, size_B) : alloc_private(pscreen, size_B);
   if (!res->backing.memory)
      goto fail_backing;

   struct llvmpipe_resource *lpr = llvmpipe_resource(pres);
   vmbind_resource_set_address(lpr, vmbind_memory_addr_B(res->backing.memory));
   lpr->imported_memory = &res->backing.base;
   /* Otherwise llvmpipe does not know how much memory a scene keeps from being freed. */
   lpr->total_alloc_size = size_B;

   return pres;

fail_backing:
   FREE(res);
fail_resource:
   pipe_resource_reference(&pres, NULL);
   return NULL;
}

static struct pipe_resource *
vmbind_gl_resource_create_with_modifiers(struct pipe_screen *pscreen,
                                         const struct pipe_resource *templat,
                                         const uint64_t *modifiers, int count)
{
   for (int i = 0; i < count; i++) {
      if (modifiers[i] == DRM_FORMAT_MOD_LINEAR) {
         struct pipe_resource shared = *templat;
         shared.bind |= PIPE_BIND_SHARED;
         return pscreen->resource_create(pscreen, &shared);
      }
   }

   return NULL;
}

/* ------------------------------------------------------------ import, export */

static struct pipe_memory_allocation *
import_memory(struct pipe_screen *pscreen, const struct winsys_handle *handle, uint64_t *size_B)
{
   struct pipe_memory_allocation *pmem = NULL;
   int fd = (int)handle->handle;

   if (handle->type == WINSYS_HANDLE_TYPE_FD)
      return pscreen->import_memory_fd(pscreen, fd, &pmem, size_B, true) ? pmem : NULL;

   if (handle->type != WINSYS_HANDLE_TYPE_KMS ||
       drmPrimeHandleToFD(vmb_device_fd(vmbind_screen(pscreen)->dev), handle->handle,
                          DRM_CLOEXEC | DRM_RDWR, &fd))
      return NULL;

   if (!pscreen->import_memory_fd(pscreen, fd, &pmem, size_B, true))
      pmem = NULL;
   close(fd);

   return pmem;
}

/* llvmpipe reads and writes whole blocks of four rows. */
static bool
fits(const struct pipe_resource *templat, const struct winsys_handle *handle, uint64_t size_B)
{
   const uint64_t rows = util_format_get_nblocksy(templat->format, align(templat->height0, 4));
   const uint64_t row_B = util_format_get_stride(templat->format, templat->width0);

   return handle->stride >= row_B && handle->offset <= size_B &&
          rows * handle->stride <= size_B - handle->offset;
}

static struct pipe_resource *
vmbind_gl_resource_from_handle(struct pipe_screen *pscreen, const struct pipe_resource *templat,
                               struct winsys_handle *handle, unsigned usage)
{
   uint64_t size_B;

   /* Several planes: the state tracker asks for each by itself. */
   if (handle->plane > 0 || templat->target == PIPE_BUFFER || templat->last_level > 0 ||
       templat->nr_samples > 1 ||
       (handle->modifier != DRM_FORMAT_MOD_LINEAR && handle->modifier != DRM_FORMAT_MOD_INVALID))
      return NULL;

   struct pipe_memory_allocation *pmem = import_memory(pscreen, handle, &size_B);
   if (!pmem)
      return NULL;

   if (!fits(templat, handle, size_B)) {
      mesa_logw("vmbind: a picture of %u x %u, stride %u, does not fit into the %" PRIu64
                " bytes that were imported",
                templat->width0, templat->height0, handle->stride, size_B);
      goto fail_memory;
   }

   struct winsys_handle unbacked = *handle;
   unbacked.type = WINSYS_HANDLE_TYPE_UNBACKED;
   unbacked.image_stride = 0;
   struct pipe_resource *pres =
      vmbind_screen(pscreen)->gl->resource_from_handle(pscreen, templat, &unbacked, usage);
   if (!pres)
      goto fail_memory;

   struct vmbind_gl_resource *res = CALLOC_STRUCT(vmbind_gl_resource);
   if (!res)
      goto fail_resource;

   struct llvmpipe_resource *lpr = llvmpipe_resource(pres);
   res->backing.memory = (struct vmbind_memory *)pmem;
   res->shareable = true;
   lpr->imported_memory = &res->backing.base;
   lpr->backing_offset = handle->offset;
   vmbind_resource_set_address(lpr,
                               (uintptr_t)res->backing.memory->lp.cpu_addr + handle->offset);

   return pres;

fail_resource:
   pipe_resource_reference(&pres, NULL);
fail_memory:
   pscreen->free_memory(pscreen, pmem);
   return NULL;
}

/* Until all that contexts have flushed is drawn. */
static void
wait_for_drawing(struct pipe_screen *pscreen)
{
   struct llvmpipe_screen *lps = llvmpipe_screen(pscreen);
   struct pipe_fence_handle *fence = NULL;

   /* Before there is a context there is no rasterizer. */
   if (!lps->rast)
      return;

   mtx_lock(&lps->rast_mutex);
   lp_rast_fence(lps->rast, (struct lp_fence **)&fence);
   mtx_unlock(&lps->rast_mutex);
   if (!fence)
      return;

   pscreen->fence_finish(pscreen, NULL, fence, OS_TIMEOUT_INFINITE);
   pscreen->fence_reference(pscreen, &fence, NULL);
}

/* To where others can see it.  What a context has drawn from it and not flushed yet is drawn from where it
 * was: that memory stays until the resource goes. */
static bool
make_shareable(struct pipe_screen *pscreen, struct pipe_context *pctx, struct pipe_resource *pres)
{
   struct llvmpipe_resource *lpr = llvmpipe_resource(pres);
   struct vmbind_gl_resource *res = gl_resource(pres);

   if (res->shareable)
      return true;
   if (res->backing.sparse_range)
      return false;

   struct vmbind_memory *memory = alloc_shareable(pscreen, lpr->size_required);
   if (!memory)
      return false;

   if (pctx)
      llvmpipe_flush_resource(pctx, pres, 0, false, true, false, "leaves");
   wait_for_drawing(pscreen);

   const void *old = pres->target == PIPE_BUFFER ? lpr->data : lpr->tex_data;
   memcpy(memory->lp.cpu_addr, old, lpr->size_required);

   res->left = res->backing.memory;
   res->backing.memory = memory;
   res->shareable = true;
   vmbind_resource_set_address(lpr, (uintptr_t)memory->lp.cpu_addr);
   vmbind_contexts_note_move(pscreen);

   return true;
}

void
vmbind_flush_resource(struct pipe_context *pctx, struct pipe_resource *pres)
{
   llvmpipe_flush_resource(pctx, pres, 0, true, true, false, "resource");
   if (gl_resource(pres))
      make_shareable(pctx->screen, pctx, pres);
}

static bool
vmbind_gl_resource_get_handle(struct pipe_screen *pscreen, struct pipe_context *pctx,
                              struct pipe_resource *pres, struct winsys_handle *handle,
                              UNUSED unsigned usage)
{
   const struct llvmpipe_resource *lpr = llvmpipe_resource(pres);
   struct vmbind_gl_resource *res = gl_resource(pres);

   if (!res || !make_shareable(pscreen, pctx, pres))
      return false;

   struct vmb_bo *bo = vmbind_memory_bo(res->backing.memory);
   if (handle->type == WINSYS_HANDLE_TYPE_KMS) {
      handle->handle = vmb_bo_handle(bo);
   } else if (handle->type == WINSYS_HANDLE_TYPE_FD) {
      int fd;
      if (vmb_bo_export(bo, &fd))
         return false;
      handle->handle = fd;
   } else {
      return false;
   }

   handle->modifier = DRM_FORMAT_MOD_LINEAR;
   handle->stride = lpr->row_stride[0];
   handle->offset = lpr->backing_offset + lpr->img_stride[0] * handle->layer;
   handle->size = vmb_bo_size_B(bo);

   return true;
}

static bool
vmbind_gl_resource_get_param(struct pipe_screen *pscreen, struct pipe_context *pctx,
                             struct pipe_resource *pres, unsigned plane, unsigned layer,
                             unsigned level, enum pipe_resource_param param,
                             unsigned handle_usage, uint64_t *value)
{
   struct winsys_handle handle = {.layer = layer, .plane = plane};

   switch (param) {
   case PIPE_RESOURCE_PARAM_MODIFIER:
      *value = DRM_FORMAT_MOD_LINEAR;
      return true;
   case PIPE_RESOURCE_PARAM_HANDLE_TYPE_SHARED:
      handle.type = WINSYS_HANDLE_TYPE_SHARED;
      break;
   case PIPE_RESOURCE_PARAM_HANDLE_TYPE_KMS:
      handle.type = WINSYS_HANDLE_TYPE_KMS;
      break;
   case PIPE_RESOURCE_PARAM_HANDLE_TYPE_FD:
      handle.type = WINSYS_HANDLE_TYPE_FD;
      break;
   default:
      return vmbind_screen(pscreen)->gl->resource_get_param(pscreen, pctx, pres, plane, layer,
                                                            level, param, handle_usage, value);
   }

   if (!pscreen->resource_get_handle(pscreen, pctx, pres, &handle, handle_usage))
      return false;

   *value = handle.handle;
   return true;
}

static void
vmbind_query_dmabuf_modifiers(UNUSED struct pipe_screen *pscreen, UNUSED enum pipe_format format,
                              int max, uint64_t *modifiers, unsigned *external_only, int *count)
{
   *count = 1;
   if (max) {
      modifiers[0] = DRM_FORMAT_MOD_LINEAR;
      if (external_only)
         external_only[0] = false;
   }
}

static bool
vmbind_is_dmabuf_modifier_supported(UNUSED struct pipe_screen *pscreen, uint64_t modifier,
                                    UNUSED enum pipe_format format, bool *external_only)
{
   if (external_only)
      *external_only = false;
   return modifier == DRM_FORMAT_MOD_LINEAR;
}

static unsigned
vmbind_get_dmabuf_modifier_planes(UNUSED struct pipe_screen *pscreen, uint64_t modifier,
                                  enum pipe_format format)
{
   return modifier == DRM_FORMAT_MOD_LINEAR ? util_format_get_num_planes(format) : 0;
}

/* ------------------------------------------------------------------ screen */

void
vmbind_resource_init_screen(struct pipe_screen *pscreen)
{
   struct vmbind_gl *gl = vmbind_screen(pscreen)->gl;

   simple_mtx_init(&gl->cache_lock, mtx_plain);
   util_dynarray_init(&gl->cache, NULL);

   gl->resource_from_handle = pscreen->resource_from_handle;
   gl->resource_get_param = pscreen->resource_get_param;

   pscreen->resource_create = vmbind_gl_resource_create;
   pscreen->resource_create_with_modifiers = vmbind_gl_resource_create_with_modifiers;
   pscreen->resource_from_handle = vmbind_gl_resource_from_handle;
   pscreen->resource_get_handle = vmbind_gl_resource_get_handle;
   pscreen->resource_get_param = vmbind_gl_resource_get_param;
   pscreen->query_dmabuf_modifiers = vmbind_query_dmabuf_modifiers;
   pscreen->is_dmabuf_modifier_supported = vmbind_is_dmabuf_modifier_supported;
   pscreen->get_dmabuf_modifier_planes = vmbind_get_dmabuf_modifier_planes;

}

void
vmbind_resource_finish_screen(struct pipe_screen *pscreen)
{
   struct vmbind_gl *gl = vmbind_screen(pscreen)->gl;

   vmbind_resource_empty_cache(pscreen);
   util_dynarray_fini(&gl->cache);
   simple_mtx_destroy(&gl->cache_lock);
}

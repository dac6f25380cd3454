/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See vmbind_screen.h.
 */

#include "vmbind_screen.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gallivm/lp_bld_sample.h"
#include "llvmpipe/lp_public.h"
#include "sw/null/null_sw_winsys.h"
#include "util/disk_cache.h"
#include "util/log.h"

#include "vmbind_private.h"

static void
track(struct vmbind_screen *screen, struct list_head *link, struct list_head *list)
{
   simple_mtx_lock(&screen->lock);
   list_addtail(link, list);
   simple_mtx_unlock(&screen->lock);
}

static void
untrack(struct vmbind_screen *screen, struct list_head *link)
{
   simple_mtx_lock(&screen->lock);
   list_del(link);
   simple_mtx_unlock(&screen->lock);
}

/* ------------------------------------------------------------------ memory */

/* Gallium's names for it. */

static struct pipe_memory_allocation *
vmbind_allocate_memory(struct pipe_screen *pscreen, uint64_t size)
{
   const struct vmbind_memory_params params = {.size_B = MAX2(size, 1), .name = "memory"};
   struct vmbind_memory *mem;

   return vmbind_memory_create(pscreen, &params, &mem) ? NULL : vmbind_memory_to_pipe(mem);
}

static void
vmbind_free_memory(struct pipe_screen *pscreen, struct pipe_memory_allocation *pmem)
{
   vmbind_memory_free(pscreen, vmbind_memory_from_pipe(pmem));
}

static struct pipe_memory_allocation *
vmbind_allocate_memory_fd(struct pipe_screen *pscreen, uint64_t size, int *fd, UNUSED bool dmabuf)
{
   const struct vmbind_memory_params params = {
      .size_B = MAX2(size, 1),
      .shareable = true,
      .name = "shared memory",
   };
   struct vmbind_memory *mem;

   if (vmbind_memory_create(pscreen, &params, &mem))
      return NULL;

   if (vmbind_memory_export(mem, fd)) {
      vmbind_memory_free(pscreen, mem);
      return NULL;
   }

   return vmbind_memory_to_pipe(mem);
}

static bool
vmbind_import_memory_fd(struct pipe_screen *pscreen, int fd, struct pipe_memory_allocation **pmem,
                        uint64_t *size, UNUSED bool dmabuf)
{
   struct vmbind_memory *mem;

   *pmem = NULL;
   if (vmbind_memory_import(pscreen, fd, &mem))
      return false;

   *pmem = vmbind_memory_to_pipe(mem);
   *size = vmbind_memory_size_B(mem);
   return true;
}

static void *
vmbind_map_memory(UNUSED struct pipe_screen *pscreen, struct pipe_memory_allocation *pmem)
{
   /* Not the BO's own CPU mapping: front ends take this pointer for the GPU address. */
   return ((struct llvmpipe_memory_allocation *)pmem)->cpu_addr;
}

/* --------------------------------------------------------------- resources */

static bool
is_display_target(const struct pipe_resource *templat)
{
   return templat->target != PIPE_BUFFER &&
          (templat->bind & (PIPE_BIND_DISPLAY_TARGET | PIPE_BIND_SCANOUT | PIPE_BIND_SHARED));
}

static struct pipe_resource *
vmbind_resource_create(struct pipe_screen *pscreen, const struct pipe_resource *templat)
{
   struct vmbind_screen *screen = vmbind_screen(pscreen);

   /* These belong to the window system. */
   if (is_display_target(templat))
      return screen->resource_create(pscreen, templat);

   uint64_t size_B;
   struct pipe_resource *pres = pscreen->resource_create_unbacked(pscreen, templat, &size_B);
   if (!pres)
      return NULL;

   struct vmbind_backing *backing = CALLOC_STRUCT(vmbind_backing);
   if (!backing)
      goto fail_resource;

   const struct vmbind_memory_params params = {.size_B = MAX2(size_B, 1), .name = "resource"};
   if (vmbind_memory_create(pscreen, &params, &backing->memory))
      goto fail_backing;

   struct llvmpipe_resource *lpr = llvmpipe_resource(pres);
   vmbind_resource_set_address(lpr, vmbind_memory_addr_B(backing->memory));
   lpr->imported_memory = &backing->base;

   return pres;

fail_backing:
   FREE(backing);
fail_resource:
   pipe_resource_reference(&pres, NULL);
   return NULL;
}

static bool
vmbind_resource_bind_backing(struct pipe_screen *pscreen, struct pipe_resource *pres,
                             struct pipe_memory_allocation *pmem, uint64_t fd_offset, uint64_t size,
                             uint64_t offset)
{
   struct vmbind_screen *screen = vmbind_screen(pscreen);

   /* Sparse resources are bound through the core, with syncs: llvmpipe would call mmap. */
   if (vmbind_resource_range(pres) || (pres->flags & PIPE_RESOURCE_FLAG_SPARSE))
      return false;

   return screen->resource_bind_backing(pscreen, pres, pmem, fd_offset, size, offset);
}

static void
vmbind_resource_destroy(struct pipe_screen *pscreen, struct pipe_resource *pres)
{
   struct vmbind_screen *screen = vmbind_screen(pscreen);
   struct llvmpipe_resource *lpr = llvmpipe_resource(pres);
   struct vmbind_backing *backing = vmbind_backing(lpr);

   if (backing) {
      if (backing->destroy)
         backing->destroy(pscreen, backing);
      /* The addresses stay reserved: llvmpipe must not unmap what it takes for its own. */
      if (backing->sparse_range) {
         pres->flags &= ~PIPE_RESOURCE_FLAG_SPARSE;
         untrack(screen, &backing->link);
         vmb_range_destroy(backing->sparse_range);
      }
      if (backing->memory)
         vmbind_memory_free(pscreen, backing->memory);
      vmbind_resource_set_address(lpr, 0);
      lpr->imported_memory = NULL;
      FREE(backing->layout);
      FREE(backing);
   }

   screen->resource_destroy(pscreen, pres);
}

/* ------------------------------------------------------------ sparse resources */

int
vmbind_resource_attach_sparse(struct pipe_screen *pscreen, struct pipe_resource *pres,
                              struct vmbind_backing *backing, uint64_t size_B, bool residency)
{
   struct vmbind_screen *screen = vmbind_screen(pscreen);
   struct llvmpipe_resource *lpr = llvmpipe_resource(pres);

   assert(lpr->backable && !lpr->imported_memory);
   assert(pres->target != PIPE_BUFFER || !(pres->flags & PIPE_RESOURCE_FLAG_SPARSE));

   const struct vmb_range_params params = {
      .size_B = align64(size_B, VMBIND_SPARSE_BLOCK_SIZE_B),
      .align_B = VMBIND_SPARSE_BLOCK_SIZE_B,
      .zone = backing->replayable ? VMB_ZONE_REPLAY : VMB_ZONE_GENERAL,
      .fixed_addr_B = backing->addr_B,
      .unbound = residency ? VMB_UNBOUND_NULL : VMB_UNBOUND_HOLE,
      .name = pres->target == PIPE_BUFFER ? "sparse buffer" : "sparse image",
   };
   int ret = vmb_range_create(screen->vm, &params, &backing->sparse_range);
   if (ret)
      return ret;

   /* Not later: who creates the resource is to be told if it cannot be bound to null, and work that was submitted
    * before may get its address by the time it runs. */
   struct vmb_sync sync;
   ret = vmb_range_get_sync(backing->sparse_range, &sync);
   if (ret) {
      vmb_range_destroy(backing->sparse_range);
      backing->sparse_range = NULL;
      return ret;
   }

   /* llvmpipe has put memory under a sparse texture already. */
   if ((pres->flags & PIPE_RESOURCE_FLAG_SPARSE) && lpr->tex_data != MAP_FAILED)
      munmap(lpr->tex_data, lpr->size_required);

   vmbind_resource_set_address(lpr, vmb_range_addr_B(backing->sparse_range));
   lpr->imported_memory = &backing->base;
   track(screen, &backing->link, &screen->sparse_backings);

   return 0;
}

int
vmbind_resource_make_sparse_at(struct pipe_screen *pscreen, struct pipe_resource *pres,
                               uint64_t size_B, bool residency, uint64_t addr_B)
{
   struct vmbind_backing *backing = CALLOC_STRUCT(vmbind_backing);
   if (!backing)
      return -ENOMEM;

   backing->replayable = true;
   backing->addr_B = addr_B;
   int ret = vmbind_resource_attach_sparse(pscreen, pres, backing, size_B, residency);
   if (ret)
      FREE(backing);

   return ret;
}

int
vmbind_resource_make_sparse(struct pipe_screen *pscreen, struct pipe_resource *pres,
                            uint64_t size_B, bool residency)
{
   struct vmbind_backing *backing = CALLOC_STRUCT(vmbind_backing);
   if (!backing)
      return -ENOMEM;

   int ret = vmbind_resource_attach_sparse(pscreen, pres, backing, size_B, residency);
   if (ret)
      FREE(backing);

   return ret;
}

int
vmbind_resource_set_layout(struct pipe_resource *pres, const struct vmbind_sparse_layout *layout)
{
   struct llvmpipe_resource *lpr = llvmpipe_resource(pres);
   struct vmbind_backing *backing = vmbind_backing(lpr);

   assert(backing->sparse_range && !backing->layout);
   backing->layout = mem_dup(layout, sizeof(*layout));
   if (!backing->layout)
      return -ENOMEM;

   for (uint32_t level = 0; level < layout->level_count; level++) {
      lpr->mip_offsets[level] = layout->level_offset_B[level];
      lpr->img_stride[level] = layout->layer_stride_B[level];
      lpr->row_stride[level] = layout->row_stride_B;
   }
   lpr->sample_stride = layout->sample_stride_B;
   lpr->size_required = layout->size_B;

   return 0;
}

const struct vmbind_sparse_layout *
vmbind_resource_layout(struct pipe_resource *pres)
{
   struct vmbind_backing *backing = vmbind_backing(llvmpipe_resource(pres));
   return backing ? backing->layout : NULL;
}

struct vmb_range *
vmbind_resource_range(struct pipe_resource *pres)
{
   struct vmbind_backing *backing = vmbind_backing(llvmpipe_resource(pres));
   return backing ? backing->sparse_range : NULL;
}

/* What one bit stands for. */
static uint64_t
residency_unit_B(const struct pipe_resource *pres)
{
   return pres->target == PIPE_BUFFER ? LP_SPARSE_BUFFER_PAGE_SIZE : VMBIND_SPARSE_BLOCK_SIZE_B;
}

int
vmbind_resource_track_residency(struct pipe_resource *pres, uint64_t size_B)
{
   struct llvmpipe_resource *lpr = llvmpipe_resource(pres);
   const uint64_t units = DIV_ROUND_UP(size_B, residency_unit_B(pres));
   BITSET_WORD *residency = calloc(BITSET_WORDS(units), sizeof(*residency));
   if (!residency)
      return -ENOMEM;

   free(lpr->residency);
   lpr->residency = residency;
   lpr->base.flags |= LP_RESOURCE_FLAG_SPARSE_COMPLETE;

   return 0;
}

void
vmbind_resource_set_resident(struct pipe_resource *pres, uint64_t offset_B, uint64_t size_B,
                             bool resident)
{
   struct llvmpipe_resource *lpr = llvmpipe_resource(pres);
   const uint64_t unit_B = residency_unit_B(pres);
   const uint64_t first = offset_B / unit_B, last = DIV_ROUND_UP(offset_B + size_B, unit_B) - 1;

   if (!lpr->residency || size_B == 0)
      return;

   if (resident)
      BITSET_SET_RANGE(lpr->residency, first, last);
   else
      BITSET_CLEAR_RANGE(lpr->residency, first, last);
}

/* ------------------------------------------------------------------ screen */

static const char *
vmbind_get_name(struct pipe_screen *pscreen)
{
   return vmbind_screen(pscreen)->name;
}

static int
vmbind_get_screen_fd(struct pipe_screen *pscreen)
{
   return vmb_device_fd(vmbind_screen(pscreen)->dev);
}

/* What the application has not freed: its handles are dead from here on. */
static void
free_what_is_left(struct vmbind_screen *screen)
{
   unsigned count = vmbind_memory_finish(screen);

   list_for_each_entry_safe (struct vmbind_backing, backing, &screen->sparse_backings, link) {
      vmb_range_destroy(backing->sparse_range);
      count++;
   }

   if (count)
      mesa_logw("vmbind: %u pieces of memory or sparse resources were never freed", count);
}

static void
screen_finish(struct vmbind_screen *screen)
{
   free_what_is_left(screen);
   simple_mtx_destroy(&screen->lock);
   vmb_vm_destroy(screen->vm);
   vmb_device_destroy(screen->dev);
   vmbind_window_release(&screen->window);
   FREE(screen);
}

static void
vmbind_screen_destroy(struct pipe_screen *pscreen)
{
   struct vmbind_screen *screen = vmbind_screen(pscreen);

   if (screen->shader_cache_is_lent)
      llvmpipe_screen(pscreen)->disk_shader_cache = NULL;
   screen->destroy(pscreen);
   screen_finish(screen);
}

/* llvmpipe would give it to a function that is ours by then. */
static void
free_dummy_dmabuf(struct pipe_screen *pscreen)
{
   struct llvmpipe_screen *lps = llvmpipe_screen(pscreen);

   if (lps->dummy_dmabuf)
      pscreen->free_memory_fd(pscreen, (struct pipe_memory_allocation *)lps->dummy_dmabuf);
   lps->dummy_dmabuf = NULL;
}

static void
replace_functions(struct vmbind_screen *screen, struct pipe_screen *pscreen)
{
   free_dummy_dmabuf(pscreen);

   screen->destroy = pscreen->destroy;
   screen->get_name = pscreen->get_name;
   screen->resource_create = pscreen->resource_create;
   screen->resource_destroy = pscreen->resource_destroy;
   screen->resource_bind_backing = pscreen->resource_bind_backing;
   screen->context_create = pscreen->context_create;

   pscreen->destroy = vmbind_screen_destroy;
   pscreen->get_name = vmbind_get_name;
   pscreen->get_screen_fd = vmbind_get_screen_fd;
   pscreen->resource_create = vmbind_resource_create;
   pscreen->resource_destroy = vmbind_resource_destroy;
   pscreen->resource_bind_backing = vmbind_resource_bind_backing;
   pscreen->context_create = vmbind_buffer_context_create;
   pscreen->allocate_memory = vmbind_allocate_memory;
   pscreen->free_memory = vmbind_free_memory;
   pscreen->map_memory = vmbind_map_memory;
   pscreen->allocate_memory_fd = vmbind_allocate_memory_fd;
   pscreen->import_memory_fd = vmbind_import_memory_fd;
   pscreen->free_memory_fd = vmbind_free_memory;
}

/* The lines that the core says while the screen is made are the cause of a failure; later ones are
 * news. */
static void
screen_log(void *data, enum vmb_log_level level, const char *line)
{
   struct vmbind_screen *screen = data;

   if (screen->why)
      snprintf(screen->why, screen->why_size, "%s", line);
   else if (level == VMB_LOG_ERROR)
      mesa_loge("%s", line);
   else
      mesa_logw("%s", line);
}

static void PRINTFLIKE(2, 3) say_why(struct vmbind_screen *screen, const char *format, ...)
{
   va_list args;

   va_start(args, format);
   vsnprintf(screen->why, screen->why_size, format, args);
   va_end(args);
}

/* The null winsys has no state: its functions serve us as they are. */
static int
init_winsys(struct vmbind_screen *screen)
{
   struct sw_winsys *null = null_sw_create();
   if (!null)
      return -ENOMEM;

   screen->winsys = *null;
   null->destroy(null);
   return 0;
}

static int
init_vm(struct vmbind_screen *screen)
{
   const struct vmb_caps *caps = vmb_device_caps(screen->dev);
   int ret;

   ret = vmbind_window_reserve(caps, &screen->window);
   if (ret) {
      say_why(screen,
              "%s: this process has no free addresses that the GPU has too "
              "(GPU: 0x%" PRIx64 " to 0x%" PRIx64
              "); raise the limit of 'ulimit -v', if there is one",
              caps->driver, caps->va_start_B, caps->va_start_B + caps->va_range_B);
      return ret;
   }

   ret = vmb_vm_create(screen->dev,
                       &(struct vmb_vm_params){.window_start_B = screen->window.start_B,
                                               .window_range_B = screen->window.size_B},
                       &screen->vm);
   if (ret) {
      say_why(screen, "%s: cannot create a VM: %s", caps->driver, strerror(-ret));
      goto fail_window;
   }

   ret = vmbind_window_probe(screen->vm);
   if (ret == -ENXIO) {
      say_why(screen,
              "%s: the CPU cannot see what is bound on the GPU, and shaders run on the CPU here: "
              "only a simulated node will do ('vmbind run -- COMMAND')",
              caps->driver);
   } else if (ret) {
      say_why(screen, "%s: cannot bind a page: %s", caps->driver, strerror(-ret));
   }
   if (ret)
      goto fail_vm;

   return 0;

fail_vm:
   vmb_vm_destroy(screen->vm);
fail_window:
   vmbind_window_release(&screen->window);
   return ret;
}

int
vmbind_screen_create(int drm_fd, struct pipe_screen **pscreen_out, char *why, size_t why_size)
{
   int ret;

   struct vmbind_screen *screen = CALLOC_STRUCT(vmbind_screen);
   if (!screen)
      return -ENOMEM;
   simple_mtx_init(&screen->lock, mtx_plain);
   list_inithead(&screen->sparse_backings);
   screen->why = why;
   screen->why_size = why_size;
   say_why(screen, "out of memory");

   ret = init_winsys(screen);
   if (ret)
      goto fail_screen;

   ret = vmbind_memory_init(screen);
   if (ret)
      goto fail_screen;

   ret = vmb_device_create(
      &(struct vmb_device_params){.drm_fd = drm_fd, .log = screen_log, .log_data = screen},
      &screen->dev);
   if (ret)
      goto fail_memory;

   /* The core has said why it is so. */
   ret = vmb_device_caps(screen->dev)->kernel_addresses ? -ENOTSUP : init_vm(screen);
   if (ret)
      goto fail_device;

   struct pipe_screen *pscreen = llvmpipe_create_screen(&screen->winsys);
   if (!pscreen) {
      ret = -ENOMEM;
      goto fail_vm;
   }

   replace_functions(screen, pscreen);
   snprintf(screen->name, sizeof(screen->name), "vmbind on %s, shaders by %s",
            vmb_device_caps(screen->dev)->driver, screen->get_name(pscreen));
   screen->why = NULL;

   *pscreen_out = pscreen;
   return 0;

fail_vm:
   vmb_vm_destroy(screen->vm);
   vmbind_window_release(&screen->window);
fail_device:
   vmb_device_destroy(screen->dev);
fail_memory:
   vmbind_memory_finish(screen);
fail_screen:
   simple_mtx_destroy(&screen->lock);
   FREE(screen);
   return ret;
}

struct vmb_device *
vmbind_screen_device(struct pipe_screen *pscreen)
{
   return vmbind_screen(pscreen)->dev;
}

struct vmb_vm *
vmbind_screen_vm(struct pipe_screen *pscreen)
{
   return vmbind_screen(pscreen)->vm;
}

uint64_t
vmbind_screen_window_size_B(struct pipe_screen *pscreen)
{
   return vmbind_screen(pscreen)->window.size_B;
}

struct disk_cache *
vmbind_screen_take_shader_cache(struct pipe_screen *pscreen)
{
   struct llvmpipe_screen *lps = llvmpipe_screen(pscreen);

   /* Otherwise the first context makes it. */
   llvmpipe_screen_late_init(lps);
   vmbind_screen(pscreen)->shader_cache_is_lent = true;

   return lps->disk_shader_cache;
}

void
vmbind_screen_set_shader_cache(struct pipe_screen *pscreen, struct disk_cache *cache)
{
   disk_cache_destroy(vmbind_screen_take_shader_cache(pscreen));
   llvmpipe_screen(pscreen)->disk_shader_cache = cache;
}

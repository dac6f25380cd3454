/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Pictures for window systems.  Where a display takes BOs there is nothing to do.  Where a window
 * system has pictures of its own (shared memory of an X server), we render into a BO as always, and
 * copy when the picture is to be shown.
 *
 * Must know nothing of resources but that llvmpipe keeps its pictures here.
 */

#include "vmbind_gl_private.h"

#include "util/format/u_format.h"

struct picture {
   struct sw_displaytarget *inner;
   struct pipe_memory_allocation *memory;
   size_t size_B;
};

static struct vmbind_screen *
screen_of(struct sw_winsys *ws)
{
   return container_of(ws, struct vmbind_screen, winsys);
}

static struct sw_winsys *
inner_of(struct sw_winsys *ws)
{
   return screen_of(ws)->gl->winsys;
}

static struct picture *
picture(struct sw_displaytarget *dt)
{
   return (struct picture *)dt;
}

static bool
any_format_supported(UNUSED struct sw_winsys *ws, UNUSED unsigned usage,
                     UNUSED enum pipe_format format)
{
   return true;
}

static bool
inner_format_supported(struct sw_winsys *ws, unsigned usage, enum pipe_format format)
{
   struct sw_winsys *inner = inner_of(ws);
   return inner->is_displaytarget_format_supported(inner, usage, format);
}

static struct sw_displaytarget *
picture_create(struct sw_winsys *ws, unsigned usage, enum pipe_format format, unsigned width,
               unsigned height, unsigned alignment, const void *front_private, unsigned *stride)
{
   struct sw_winsys *inner = inner_of(ws);
   struct pipe_screen *pscreen = screen_of(ws)->gl->pscreen;
   struct picture *pic = CALLOC_STRUCT(picture);
   if (!pic)
      return NULL;

   pic->inner = inner->displaytarget_create(inner, usage, format, width, height, alignment,
                                            front_private, stride);
   if (!pic->inner)
      goto fail_picture;

   pic->size_B = (size_t)*stride * util_format_get_nblocksy(format, height);
   pic->memory = pscreen->allocate_memory(pscreen, pic->size_B);
   if (!pic->memory)
      goto fail_inner;

   return (struct sw_displaytarget *)pic;

fail_inner:
   inner->displaytarget_destroy(inner, pic->inner);
fail_picture:
   FREE(pic);
   return NULL;
}

static void
picture_destroy(struct sw_winsys *ws, struct sw_displaytarget *dt)
{
   struct sw_winsys *inner = inner_of(ws);
   struct pipe_screen *pscreen = screen_of(ws)->gl->pscreen;
   struct picture *pic = picture(dt);

   inner->displaytarget_destroy(inner, pic->inner);
   pscreen->free_memory(pscreen, pic->memory);
   FREE(pic);
}

static void *
picture_map(struct sw_winsys *ws, struct sw_displaytarget *dt, UNUSED unsigned flags)
{
   struct pipe_screen *pscreen = screen_of(ws)->gl->pscreen;
   return pscreen->map_memory(pscreen, picture(dt)->memory);
}

static void
picture_unmap(UNUSED struct sw_winsys *ws, UNUSED struct sw_displaytarget *dt)
{
}

static void
picture_display(struct sw_winsys *ws, struct sw_displaytarget *dt, void *context_private,
                unsigned nboxes, struct pipe_box *boxes)
{
   struct sw_winsys *inner = inner_of(ws);
   struct picture *pic = picture(dt);

   void *shown = inner->displaytarget_map(inner, pic->inner, PIPE_MAP_WRITE);
   if (!shown)
      return;
   memcpy(shown, picture_map(ws, dt, PIPE_MAP_READ), pic->size_B);
   inner->displaytarget_unmap(inner, pic->inner);

   inner->displaytarget_display(inner, pic->inner, context_private, nboxes, boxes);
}

void
vmbind_winsys_init(struct pipe_screen *pscreen, struct sw_winsys *inner)
{
   struct vmbind_screen *screen = vmbind_screen(pscreen);
   struct sw_winsys *ws = &screen->winsys;

   ws->is_displaytarget_format_supported = inner ? inner_format_supported : any_format_supported;
   if (!inner)
      return;

   screen->gl->winsys = inner;
   ws->displaytarget_create = picture_create;
   ws->displaytarget_destroy = picture_destroy;
   ws->displaytarget_map = picture_map;
   ws->displaytarget_unmap = picture_unmap;
   ws->displaytarget_display = picture_display;
   ws->displaytarget_create_mapped = NULL;
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What the files of the driver's OpenGL half share.  For them alone.
 */

#ifndef VMBIND_GL_PRIVATE_H
#define VMBIND_GL_PRIVATE_H

#include "pipebuffer/pb_slab.h"

#include "vmbind_gl.h"
#include "vmbind_private.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vmbind_gl {
   struct pipe_screen *pscreen;

   /** Shows the pictures; NULL where displays take BOs. */
   struct sw_winsys *winsys;

   struct pb_slabs slabs;

   /* What this half replaces once more. */
   void (*destroy)(struct pipe_screen *pscreen);
   struct pipe_resource *(*resource_from_handle)(struct pipe_screen *pscreen,
                                                 const struct pipe_resource *templat,
                                                 struct winsys_handle *handle, unsigned usage);
   bool (*resource_get_param)(struct pipe_screen *pscreen, struct pipe_context *pctx,
                              struct pipe_resource *pres, unsigned plane, unsigned layer,
                              unsigned level, enum pipe_resource_param param,
                              unsigned handle_usage, uint64_t *value);
};

/** A resource with memory that GL chose for it. */
struct vmbind_gl_resource {
   struct vmbind_backing backing;
   /** Its piece of a slab, or NULL. */
   struct pb_slab_entry *entry;
   /** It has a BO of its own that other processes may have too. */
   bool shareable;
};

/* ------------------------------------------------- vmbind_resource.c */

bool vmbind_resource_init_screen(struct pipe_screen *pscreen);
void vmbind_resource_finish_screen(struct pipe_screen *pscreen);

/* --------------------------------------------------- vmbind_winsys.c */

/** Makes the screen's winsys one that shows pictures of \p inner's. */
void vmbind_winsys_init(struct pipe_screen *pscreen, struct sw_winsys *inner);

#ifdef __cplusplus
}
#endif

#endif /* VMBIND_GL_PRIVATE_H */

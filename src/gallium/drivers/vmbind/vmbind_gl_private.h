/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What the files of the driver's OpenGL half share.  For them alone.
 */

#ifndef VMBIND_GL_PRIVATE_H
#define VMBIND_GL_PRIVATE_H

#include "pipe/p_context.h"
#include "util/u_dynarray.h"

#include "vmbind_gl.h"
#include "vmbind_pages.h"
#include "vmbind_private.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vmbind_gl {
   struct pipe_screen *pscreen;

   /** Shows the pictures; NULL where displays take BOs. */
   struct sw_winsys *winsys;

   /** struct vmbind_memory * that nobody uses, and how much that is. */
   simple_mtx_t cache_lock;
   struct util_dynarray cache;
   uint64_t cached_B;

   struct vmbind_pages pages;

   /** Held while a batch is made, or bound: comes before the next one. */
   simple_mtx_t batch_lock;
   /** Of each context its struct vmbind_commits. */
   simple_mtx_t commits_lock;
   struct hash_table *commits;
   /** Changes that wait for the next drawing in any of them. */
   int pending_changes;
   /** Those that have not looked again since a resource moved. */
   int moved_contexts;
   /** llvmpipe's own functions of a context. */
   struct pipe_context inner;

   /* What this half replaces once more. */
   void (*destroy)(struct pipe_screen *pscreen);
   struct pipe_context *(*context_create)(struct pipe_screen *pscreen, void *priv, unsigned flags);
   char *(*finalize_nir)(struct pipe_screen *pscreen, struct nir_shader *nir);
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
   /** It has a BO of its own that other processes may have too. */
   bool shareable;
   /** Its memory before that, or NULL. */
   struct vmbind_memory *left;
};

/* ------------------------------------------------- vmbind_resource.c */

void vmbind_resource_init_screen(struct pipe_screen *pscreen);
void vmbind_resource_finish_screen(struct pipe_screen *pscreen);

/** Frees the memory that is kept though nobody uses it. */
void vmbind_resource_empty_cache(struct pipe_screen *pscreen);

/** Of contexts: what the resource shows is about to be looked at by others.  The state tracker says so when it makes an
 * EGLImage of it, so this is where it moves to memory that they can have: later there may be no context, and what shaders
 * have written by then, at addresses that llvmpipe knows from the draw, would be lost. */
void vmbind_flush_resource(struct pipe_context *pctx, struct pipe_resource *pres);

/* --------------------------------------------------- vmbind_commit.c */

bool vmbind_commit_init_screen(struct pipe_screen *pscreen);
void vmbind_commit_finish_screen(struct pipe_screen *pscreen);
bool vmbind_commit_init_context(struct pipe_context *pctx);

/** A resource has another address: contexts look at what they have bound before they draw again. */
void vmbind_contexts_note_move(struct pipe_screen *pscreen);

/** For templates with PIPE_RESOURCE_FLAG_SPARSE: addresses without memory. */
struct pipe_resource *vmbind_sparse_resource_create(struct pipe_screen *pscreen,
                                                    const struct pipe_resource *templat);

/* ------------------------------------------------------ vmbind_nir.c */

struct nir_shader;

/** Residency codes of shaders, as llvmpipe's code generator gives them: 0 is not resident. */
bool vmbind_nir_lower_residency(struct nir_shader *nir);

/* --------------------------------------------------- vmbind_winsys.c */

/** Makes the screen's winsys one that shows pictures of \p inner's. */
void vmbind_winsys_init(struct pipe_screen *pscreen, struct sw_winsys *inner);

#ifdef __cplusplus
}
#endif

#endif /* VMBIND_GL_PRIVATE_H */

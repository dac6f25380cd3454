/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What the files of this driver share: the screen's own data and what stands behind resources.
 * For them alone.
 */

#ifndef VMBIND_PRIVATE_H
#define VMBIND_PRIVATE_H

#include "frontend/sw_winsys.h"
#include "lp_screen.h"
#include "lp_texture.h"
#include "pipebuffer/pb_slab.h"
#include "pipe/p_screen.h"
#include "util/list.h"
#include "util/simple_mtx.h"
#include "util/u_inlines.h"
#include "util/u_memory.h"

#include "vmbind_memory.h"
#include "vmbind_screen.h"
#include "vmbind_window.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vmbind_gl;

/**
 * llvmpipe gives its screen no room for a driver's own data, but keeps the winsys that it was made
 * with: that is us.
 */
struct vmbind_screen {
   struct sw_winsys winsys;

   struct vmb_device *dev;
   struct vmb_vm *vm;
   struct vmbind_window window;
   char name[128];

   /** What holds addresses: struct vmbind_memory and sparse struct vmbind_backing.  An application
    * may forget some of it. */
   simple_mtx_t lock;
   struct list_head memories;
   struct list_head sparse_backings;

   /** Memory smaller than a sparse block. */
   struct pb_slabs slabs;

   /** llvmpipe's shader cache is somebody else's. */
   bool shader_cache_is_lent;

   /** OpenGL's part; NULL on screens that are not OpenGL's. */
   struct vmbind_gl *gl;

   /** Where to say what is wrong, while the screen is being made. */
   char *why;
   size_t why_size;

   /* llvmpipe's own functions. */
   void (*destroy)(struct pipe_screen *pscreen);
   const char *(*get_name)(struct pipe_screen *pscreen);
   void (*resource_destroy)(struct pipe_screen *pscreen, struct pipe_resource *pres);
   struct pipe_resource *(*resource_create)(struct pipe_screen *pscreen,
                                            const struct pipe_resource *templat);
   bool (*resource_bind_backing)(struct pipe_screen *pscreen, struct pipe_resource *pres,
                                 struct pipe_memory_allocation *pmem, uint64_t fd_offset,
                                 uint64_t size, uint64_t offset);
   struct pipe_context *(*context_create)(struct pipe_screen *pscreen, void *priv, unsigned flags);
   void *(*buffer_map)(struct pipe_context *pctx, struct pipe_resource *pres, unsigned level,
                       unsigned usage, const struct pipe_box *box,
                       struct pipe_transfer **transfer_out);
   void (*buffer_unmap)(struct pipe_context *pctx, struct pipe_transfer *transfer);
   void (*resource_copy_region)(struct pipe_context *pctx, struct pipe_resource *dst,
                                unsigned dst_level, unsigned dstx, unsigned dsty, unsigned dstz,
                                struct pipe_resource *src, unsigned src_level,
                                const struct pipe_box *src_box);
   void (*clear_buffer)(struct pipe_context *pctx, struct pipe_resource *pres, unsigned offset_B,
                        unsigned size_B, const void *value, int value_size_B);
};

/** Memory: a BO and the addresses at which all of it is bound, or a piece of a slab. */
struct vmbind_memory {
   /** First, because llvmpipe casts to it.  Its cpu_addr is the GPU address. */
   struct llvmpipe_memory_allocation lp;
   struct list_head link;

   /** NULL in a slab. */
   struct vmb_bo *bo;
   struct vmb_range *range;
   /** The process's own pages that the BO stands in for, or NULL; and by what the host knows the
    * BO. */
   void *taken_from;
   uint64_t taken_inode;

   /** In a slab: its slab is not NULL. */
   struct pb_slab_entry slab_entry;
   /** Somebody had it before. */
   bool used;
};

/**
 * What stands behind a resource that the driver did not get memory for from its user: memory of its
 * own, or addresses alone.  llvmpipe keeps it as an imported memory object, which it leaves alone
 * in backable resources.
 */
struct vmbind_backing {
   struct pipe_memory_object base;
   struct list_head link;
   struct vmbind_memory *memory;
   struct vmb_range *sparse_range;
   /** Of a sparse texture that lies in blocks, else NULL. */
   struct vmbind_sparse_layout *layout;
   /** Of a sparse one: its addresses can be asked for again; the one that was, or 0. */
   bool replayable;
   uint64_t addr_B;
   /** Frees what the maker of a larger structure, of which this is the first member, has in it; may
    * be NULL. */
   void (*destroy)(struct pipe_screen *pscreen, struct vmbind_backing *backing);
};

static inline struct vmbind_screen *
vmbind_screen(struct pipe_screen *pscreen)
{
   return container_of(llvmpipe_screen(pscreen)->winsys, struct vmbind_screen, winsys);
}

static inline struct vmbind_backing *
vmbind_backing(struct llvmpipe_resource *lpr)
{
   if (!lpr->backable || !lpr->imported_memory)
      return NULL;

   return container_of(lpr->imported_memory, struct vmbind_backing, base);
}

/**
 * Gives addresses to an unbacked resource, as vmbind_resource_make_sparse() does, with a backing of
 * the caller's.  The resource owns it from there on.
 */
int vmbind_resource_attach_sparse(struct pipe_screen *pscreen, struct pipe_resource *pres,
                                  struct vmbind_backing *backing, uint64_t size_B, bool residency);

/* vmbind_buffer.c: llvmpipe's context, which then can do with buffers of up to 4 GiB what it does with those of 2. */
struct pipe_context *vmbind_buffer_context_create(struct pipe_screen *pscreen, void *priv,
                                                  unsigned flags);

static inline void
vmbind_resource_set_address(struct llvmpipe_resource *lpr, uint64_t addr_B)
{
   void *ptr = (void *)(uintptr_t)addr_B;

   if (llvmpipe_resource_is_texture(&lpr->base))
      lpr->tex_data = ptr;
   else
      lpr->data = ptr;
}

#ifdef __cplusplus
}
#endif

#endif /* VMBIND_PRIVATE_H */

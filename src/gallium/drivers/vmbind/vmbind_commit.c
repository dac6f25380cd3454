/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Sparse buffers and textures of OpenGL: committing and de-committing.
 *
 *    glTexPageCommitmentARB ...        memory is taken, binds are noted down
 *    glTexPageCommitmentARB ...
 *    glDraw, glClear, glFlush, ...     what was drawn before with these resources is finished, the
 *                                      binds go to the core as one batch, then what shaders find
 *                                      resident is brought up to date
 *
 * Each context has a batch of its own: GL promises other contexts nothing before a flush.  Memory of
 * de-committed pages is used again once their unbind has taken effect.  A batch that the kernel
 * refuses is told by GL_OUT_OF_MEMORY of the next commit.
 *
 * Must never know where memory comes from (vmbind_pages.h).
 */

#include "vmbind_gl_private.h"

#include <errno.h>
#include <string.h>
#include <xf86drm.h>

#include "lp_context.h"
#include "lp_flush.h"
#include "lp_limits.h"
#include "lp_state.h"
#include "gallivm/lp_bld_sample.h"
#include "pipe/p_context.h"
#include "util/format/u_format.h"
#include "util/hash_table.h"
#include "util/log.h"
#include "util/u_atomic.h"
#include "util/u_dynarray.h"

#define BLOCK_SIZE_B VMBIND_SPARSE_BLOCK_SIZE_B

/** A sparse resource: no other files than this look inside. */
struct vmbind_sparse {
   struct vmbind_gl_resource res;
   uint32_t block_count;
   struct vmbind_page blocks[];
};

/** Consecutive blocks of a resource that become resident or not. */
struct change {
   struct pipe_resource *pres;
   uint32_t block;
   uint32_t count;
   bool resident;
};

/** A context's part: what was asked for since the last batch. */
struct vmbind_commits {
   struct util_dynarray binds;
   struct util_dynarray changes;
   /** Blocks that nothing is bound to any more after this batch. */
   struct util_dynarray freed;
   bool failed;
   /** Atomic: a resource has moved that may be bound in the context. */
   int moved;
};

static struct vmbind_sparse *
sparse_resource(struct pipe_resource *pres)
{
   struct vmbind_backing *backing = vmbind_backing(llvmpipe_resource(pres));
   return backing && backing->sparse_range ? (struct vmbind_sparse *)backing : NULL;
}

/* llvmpipe gives its contexts no room for a driver's data. */
static struct vmbind_commits *
commits_of(struct pipe_context *pctx)
{
   struct vmbind_gl *gl = vmbind_screen(pctx->screen)->gl;

   simple_mtx_lock(&gl->commits_lock);
   struct vmbind_commits *commits = _mesa_hash_table_search(gl->commits, pctx)->data;
   simple_mtx_unlock(&gl->commits_lock);

   return commits;
}

/* What a context of llvmpipe does; the same in all of them. */
static const struct pipe_context *
inner(struct pipe_context *pctx)
{
   return &vmbind_screen(pctx->screen)->gl->inner;
}

/* ------------------------------------------------------------------- layout */

/** A texture's pages, of one sample count: texels of a page. */
struct page_shape {
   uint32_t width;
   uint32_t height;
   uint32_t depth;
};

static unsigned
dimensions(enum pipe_texture_target target)
{
   switch (target) {
   case PIPE_TEXTURE_2D:
   case PIPE_TEXTURE_RECT:
   case PIPE_TEXTURE_2D_ARRAY:
   case PIPE_TEXTURE_CUBE:
   case PIPE_TEXTURE_CUBE_ARRAY:
      return 2;
   case PIPE_TEXTURE_3D:
      return 3;
   default:
      return 0;
   }
}

static struct page_shape
page_shape(enum pipe_format format, enum pipe_texture_target target, unsigned samples)
{
   const unsigned dims = dimensions(target);

   return (struct page_shape){
      .width = util_format_get_tilesize(format, dims, samples, 0) *
               util_format_get_blockwidth(format),
      .height = util_format_get_tilesize(format, dims, samples, 1) *
                util_format_get_blockheight(format),
      .depth = util_format_get_tilesize(format, dims, samples, 2),
   };
}

/* Powers of two that llvmpipe samples and renders as they are. */
static bool
format_can_be_sparse(struct pipe_screen *pscreen, enum pipe_format format,
                     enum pipe_texture_target target)
{
   const struct util_format_description *desc = util_format_description(format);

   return desc->layout == UTIL_FORMAT_LAYOUT_PLAIN || desc->layout == UTIL_FORMAT_LAYOUT_OTHER ?
      util_is_power_of_two_nonzero(util_format_get_blocksize(format)) &&
         desc->colorspace != UTIL_FORMAT_COLORSPACE_ZS && desc->block.width == 1 &&
         desc->block.height == 1 &&
         pscreen->is_format_supported(pscreen, format, target, 0, 0, PIPE_BIND_SAMPLER_VIEW) :
      false;
}

static int
vmbind_get_sparse_texture_virtual_page_size(struct pipe_screen *pscreen,
                                            enum pipe_texture_target target, bool multi_sample,
                                            enum pipe_format format, unsigned offset,
                                            unsigned size, int *x, int *y, int *z)
{
   if (!dimensions(target) || (multi_sample && dimensions(target) != 2) || offset > 0 ||
       !format_can_be_sparse(pscreen, format, target))
      return 0;

   const struct page_shape shape = page_shape(format, target, multi_sample ? LP_MAX_SAMPLES : 1);
   if (size && x)
      *x = shape.width;
   if (size && y)
      *y = shape.height;
   if (size && z)
      *z = shape.depth;

   return 1;
}

/* ------------------------------------------------------------------ binding */

static void
give_pages(struct vmbind_gl *gl, struct util_dynarray *pages)
{
   vmbind_pages_give(&gl->pages, util_dynarray_num_elements(pages, struct vmbind_page),
                     util_dynarray_begin(pages));
}

static void
clear_batch(struct vmbind_commits *commits)
{
   util_dynarray_foreach (&commits->changes, struct change, change)
      pipe_resource_reference(&change->pres, NULL);
   util_dynarray_clear(&commits->binds);
   util_dynarray_clear(&commits->changes);
   util_dynarray_clear(&commits->freed);
}

/* What the kernel did not bind holds nothing.  What it did not unbind must not be used again: its
 * memory is lost until the device goes. */
static void
forget_failed(struct vmbind_gl *gl, struct vmbind_commits *commits)
{
   util_dynarray_foreach (&commits->changes, struct change, change) {
      struct vmbind_page *blocks = sparse_resource(change->pres)->blocks + change->block;
      if (!change->resident)
         continue;
      vmbind_pages_give(&gl->pages, change->count, blocks);
      memset(blocks, 0, change->count * sizeof(*blocks));
   }
}

static void
submit(struct pipe_context *pctx, struct vmbind_commits *commits)
{
   struct vmbind_screen *screen = vmbind_screen(pctx->screen);
   const uint32_t count = util_dynarray_num_elements(&commits->binds, struct vmb_bind);

   /* Earlier drawing sees the pages as they were. */
   util_dynarray_foreach (&commits->changes, struct change, change)
      llvmpipe_flush_resource(pctx, change->pres, 0, false, true, false, "commit");

   const int ret = vmb_vm_bind_sync(screen->vm, util_dynarray_begin(&commits->binds), count);
   if (ret) {
      mesa_loge("vmbind: %u binds of sparse pages failed: %s", count, strerror(-ret));
      forget_failed(screen->gl, commits);
      commits->failed = true;
   } else {
      util_dynarray_foreach (&commits->changes, struct change, change) {
         vmbind_resource_set_resident(change->pres, (uint64_t)change->block * BLOCK_SIZE_B,
                                      (uint64_t)change->count * BLOCK_SIZE_B, change->resident);
      }
      give_pages(screen->gl, &commits->freed);
   }

   p_atomic_add(&screen->gl->pending_binds, -(int)count);
   clear_batch(commits);
}

/* llvmpipe keeps addresses of what is bound. */
static void
look_again(struct pipe_context *pctx)
{
   struct vmbind_commits *commits = commits_of(pctx);
   struct llvmpipe_context *lp = llvmpipe_context(pctx);

   if (!p_atomic_xchg(&commits->moved, 0))
      return;
   p_atomic_dec(&vmbind_screen(pctx->screen)->gl->moved_contexts);
   lp->dirty |= LP_NEW_SAMPLER_VIEW | LP_NEW_FS_IMAGES | LP_NEW_FS_SSBOS | LP_NEW_FS_CONSTANTS;
   lp->cs_dirty |= LP_CSNEW_SAMPLER_VIEW | LP_CSNEW_IMAGES | LP_CSNEW_SSBOS | LP_CSNEW_CONSTANTS;
}

void
vmbind_contexts_note_move(struct pipe_screen *pscreen)
{
   struct vmbind_gl *gl = vmbind_screen(pscreen)->gl;

   simple_mtx_lock(&gl->commits_lock);
   hash_table_foreach (gl->commits, entry) {
      struct vmbind_commits *commits = entry->data;
      if (!p_atomic_xchg(&commits->moved, 1))
         p_atomic_inc(&gl->moved_contexts);
   }
   simple_mtx_unlock(&gl->commits_lock);
}

static inline void
submit_pending(struct pipe_context *pctx)
{
   if (p_atomic_read(&vmbind_screen(pctx->screen)->gl->moved_contexts))
      look_again(pctx);
   if (!p_atomic_read(&vmbind_screen(pctx->screen)->gl->pending_binds))
      return;

   struct vmbind_commits *commits = commits_of(pctx);
   if (commits->binds.size)
      submit(pctx, commits);
}

/* --------------------------------------------------------------- committing */

static void
note_bind(struct vmbind_gl *gl, struct vmbind_commits *commits, struct vmbind_sparse *sparse,
          uint32_t block, uint32_t count, const struct vmbind_page *page)
{
   const struct vmb_bind bind = {
      .range = sparse->res.backing.sparse_range,
      .offset_B = (uint64_t)block * BLOCK_SIZE_B,
      .size_B = (uint64_t)count * BLOCK_SIZE_B,
      .bo = page ? vmbind_page_bo(page) : NULL,
      .bo_offset_B = page ? vmbind_page_offset_B(page) : 0,
   };

   util_dynarray_append(&commits->binds, struct vmb_bind, bind);
   p_atomic_inc(&gl->pending_binds);
}

static void
note_change(struct vmbind_commits *commits, struct pipe_resource *pres, uint32_t block,
            uint32_t count, bool resident)
{
   struct change change = {.block = block, .count = count, .resident = resident};

   pipe_resource_reference(&change.pres, pres);
   util_dynarray_append(&commits->changes, struct change, change);
}

/* Of consecutive blocks, those that have no memory get some. */
static bool
commit_blocks(struct pipe_context *pctx, struct pipe_resource *pres, uint32_t block, uint32_t count)
{
   struct vmbind_gl *gl = vmbind_screen(pctx->screen)->gl;
   struct vmbind_commits *commits = commits_of(pctx);
   struct vmbind_sparse *sparse = sparse_resource(pres);
   const uint32_t end = block + count;

   while (block < end) {
      if (sparse->blocks[block].slab) {
         block++;
         continue;
      }

      uint32_t run = 1;
      while (block + run < end && !sparse->blocks[block + run].slab)
         run++;
      if (vmbind_pages_take(&gl->pages, run, &sparse->blocks[block])) {
         memset(&sparse->blocks[block], 0, run * sizeof(sparse->blocks[0]));
         return false;
      }
      for (uint32_t i = 0; i < run; i++)
         note_bind(gl, commits, sparse, block + i, 1, &sparse->blocks[block + i]);
      note_change(commits, pres, block, run, true);
      block += run;
   }

   return true;
}

/* Of consecutive blocks, those that have memory lose it. */
static void
decommit_blocks(struct pipe_context *pctx, struct pipe_resource *pres, uint32_t block,
                uint32_t count)
{
   struct vmbind_gl *gl = vmbind_screen(pctx->screen)->gl;
   struct vmbind_commits *commits = commits_of(pctx);
   struct vmbind_sparse *sparse = sparse_resource(pres);
   const uint32_t end = block + count;

   while (block < end) {
      if (!sparse->blocks[block].slab) {
         block++;
         continue;
      }

      uint32_t run = 0;
      for (; block + run < end && sparse->blocks[block + run].slab; run++) {
         struct vmbind_page *page = &sparse->blocks[block + run];
         util_dynarray_append(&commits->freed, struct vmbind_page, *page);
         page->slab = NULL;
      }
      note_bind(gl, commits, sparse, block, run, NULL);
      note_change(commits, pres, block, run, false);
      block += run;
   }
}

static bool
change_blocks(struct pipe_context *pctx, struct pipe_resource *pres, uint64_t block,
              uint32_t count, bool commit)
{
   assert(block + count <= sparse_resource(pres)->block_count);

   if (commit)
      return commit_blocks(pctx, pres, block, count);

   decommit_blocks(pctx, pres, block, count);
   return true;
}

static bool
box_is_inside(const struct pipe_box *box, unsigned width, unsigned height, unsigned depth)
{
   return box->x >= 0 && box->y >= 0 && box->z >= 0 && box->width >= 0 && box->height >= 0 &&
          box->depth >= 0 && (unsigned)box->x <= width && (unsigned)box->y <= height &&
          (unsigned)box->z <= depth && (unsigned)box->width <= width - box->x &&
          (unsigned)box->height <= height - box->y && (unsigned)box->depth <= depth - box->z;
}

static bool
commit_buffer(struct pipe_context *pctx, struct pipe_resource *pres, const struct pipe_box *box,
              bool commit)
{
   if (box->x < 0 || box->width < 0 || (uint64_t)box->x + box->width > pres->width0)
      return false;
   if (!box->width)
      return true;

   const uint32_t first = box->x / BLOCK_SIZE_B;
   const uint32_t end = DIV_ROUND_UP((uint64_t)box->x + box->width, BLOCK_SIZE_B);

   return change_blocks(pctx, pres, first, end - first, commit);
}

static bool
commit_texture(struct pipe_context *pctx, struct pipe_resource *pres, unsigned level,
               const struct pipe_box *box, bool commit)
{
   const struct llvmpipe_resource *lpr = llvmpipe_resource(pres);
   const struct page_shape shape = page_shape(pres->format, pres->target, pres->nr_samples);
   const bool is_3d = pres->target == PIPE_TEXTURE_3D;

   if (level > pres->last_level)
      return false;

   const unsigned width = u_minify(pres->width0, level);
   const unsigned height = u_minify(pres->height0, level);
   const unsigned depth = is_3d ? u_minify(pres->depth0, level) : pres->array_size;
   if (!box_is_inside(box, width, height, depth))
      return false;

   /* In pages; layers of arrays are pages of depth 1 with a stride of their own. */
   const uint64_t row = DIV_ROUND_UP(width, shape.width);
   const uint64_t slice_B = is_3d ? row * DIV_ROUND_UP(height, shape.height) * BLOCK_SIZE_B :
                                    lpr->img_stride[level];
   const unsigned page_depth = is_3d ? shape.depth : 1;
   const unsigned x0 = box->x / shape.width, x1 = DIV_ROUND_UP(box->x + box->width, shape.width);
   const unsigned y0 = box->y / shape.height;
   const unsigned y1 = DIV_ROUND_UP(box->y + box->height, shape.height);
   const unsigned z0 = box->z / page_depth, z1 = DIV_ROUND_UP(box->z + box->depth, page_depth);

   for (unsigned z = z0; z < z1; z++) {
      const uint64_t slice = (lpr->mip_offsets[level] + z * slice_B) / BLOCK_SIZE_B;
      for (unsigned y = y0; y < y1; y++) {
         if (!change_blocks(pctx, pres, slice + y * row + x0, x1 - x0, commit))
            return false;
      }
   }

   return true;
}

static bool
vmbind_resource_commit(struct pipe_context *pctx, struct pipe_resource *pres, unsigned level,
                       struct pipe_box *box, bool commit)
{
   struct vmbind_commits *commits = commits_of(pctx);

   if (!sparse_resource(pres))
      return false;

   const bool failed = commits->failed;
   commits->failed = false;

   const bool done = pres->target == PIPE_BUFFER ?
      commit_buffer(pctx, pres, box, commit) :
      commit_texture(pctx, pres, level, box, commit);

   return done && !failed;
}

/* ---------------------------------------------------------------- resources */

static void
sparse_release(struct pipe_screen *pscreen, struct vmbind_backing *backing)
{
   struct vmbind_gl *gl = vmbind_screen(pscreen)->gl;
   struct vmbind_sparse *sparse = (struct vmbind_sparse *)backing;
   const uint64_t size_B = (uint64_t)sparse->block_count * BLOCK_SIZE_B;

   /* The memory is used again from here on, so it must be out of the range before. */
   const struct vmb_bind unbind = {.range = backing->sparse_range, .size_B = size_B};
   if (!vmb_vm_bind_sync(vmbind_screen(pscreen)->vm, &unbind, 1))
      vmbind_pages_give(&gl->pages, sparse->block_count, sparse->blocks);
}

/* llvmpipe lays the samples out one after the other; in blocks of residency they lie together. */
static uint64_t
lay_out_samples(struct llvmpipe_resource *lpr)
{
   const struct pipe_resource *pres = &lpr->base;
   const struct page_shape shape = page_shape(pres->format, pres->target, pres->nr_samples);

   lpr->img_stride[0] = (uint64_t)DIV_ROUND_UP(pres->width0, shape.width) *
                        DIV_ROUND_UP(pres->height0, shape.height) * BLOCK_SIZE_B;
   lpr->sample_stride = BLOCK_SIZE_B / pres->nr_samples;

   return lpr->img_stride[0] * pres->array_size;
}

/* A range of null mappings makes them by itself, and later; shaders and the CPU may look at any
 * time. */
static bool
wait_for_null(struct vmbind_screen *screen)
{
   struct vmb_sync sync;

   if (vmb_vm_get_sync(screen->vm, &sync))
      return false;
   if (!sync.syncobj)
      return true;

   return !drmSyncobjTimelineWait(vmb_device_fd(screen->dev), &sync.syncobj, &sync.point, 1,
                                  INT64_MAX, DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT, NULL);
}

struct pipe_resource *
vmbind_sparse_resource_create(struct pipe_screen *pscreen, const struct pipe_resource *templat)
{
   struct pipe_resource flagged = *templat;
   uint64_t size_B;

   /* llvmpipe would take a sparse buffer for a texture in tiles. */
   if (templat->target == PIPE_BUFFER)
      flagged.flags &= ~PIPE_RESOURCE_FLAG_SPARSE;
   else
      flagged.flags |= LP_RESOURCE_FLAG_SPARSE_COMPLETE;

   struct pipe_resource *pres = pscreen->resource_create_unbacked(pscreen, &flagged, &size_B);
   if (!pres)
      return NULL;

   if (pres->target != PIPE_BUFFER && pres->nr_samples > 1)
      size_B = lay_out_samples(llvmpipe_resource(pres));

   /* Offsets of texels are signed, of 32 bits, in llvmpipe's code. */
   if (templat->target != PIPE_BUFFER && size_B > LP_MAX_TEXTURE_SIZE)
      goto fail_resource;

   const uint32_t block_count = DIV_ROUND_UP(size_B, BLOCK_SIZE_B);
   struct vmbind_sparse *sparse =
      CALLOC_VARIANT_LENGTH_STRUCT(vmbind_sparse, block_count * sizeof(sparse->blocks[0]));
   if (!sparse)
      goto fail_resource;

   sparse->block_count = block_count;
   if (vmbind_resource_attach_sparse(pscreen, pres, &sparse->res.backing, size_B, true))
      goto fail_sparse;
   sparse->res.backing.destroy = sparse_release;
   if (!wait_for_null(vmbind_screen(pscreen)))
      goto fail_resource;

   /* Every level can be committed by itself. */
   pres->nr_sparse_levels = pres->last_level + 1;

   return pres;

fail_sparse:
   FREE(sparse);
fail_resource:
   pipe_resource_reference(&pres, NULL);
   return NULL;
}

/* ------------------------------------------------------------------ context */

/* Everything that looks at memory, or promises others that they may. */

static void
vmbind_draw_vbo(struct pipe_context *pctx, const struct pipe_draw_info *info, unsigned drawid_offset,
                const struct pipe_draw_indirect_info *indirect,
                const struct pipe_draw_start_count_bias *draws, unsigned num_draws)
{
   submit_pending(pctx);
   inner(pctx)->draw_vbo(pctx, info, drawid_offset, indirect, draws, num_draws);
}

static void
vmbind_launch_grid(struct pipe_context *pctx, const struct pipe_grid_info *info)
{
   submit_pending(pctx);
   inner(pctx)->launch_grid(pctx, info);
}

static void
vmbind_clear(struct pipe_context *pctx, unsigned buffers, const struct pipe_scissor_state *scissor,
             const union pipe_color_union *color, double depth, unsigned stencil)
{
   submit_pending(pctx);
   inner(pctx)->clear(pctx, buffers, scissor, color, depth, stencil);
}

static void
vmbind_clear_render_target(struct pipe_context *pctx, struct pipe_surface *dst,
                           const union pipe_color_union *color, unsigned x, unsigned y,
                           unsigned width, unsigned height, bool conditional)
{
   submit_pending(pctx);
   inner(pctx)->clear_render_target(pctx, dst, color, x, y, width, height, conditional);
}

static void
vmbind_clear_texture(struct pipe_context *pctx, struct pipe_resource *pres, unsigned level,
                     const struct pipe_box *box, const void *data)
{
   submit_pending(pctx);
   inner(pctx)->clear_texture(pctx, pres, level, box, data);
}

static void
vmbind_clear_buffer(struct pipe_context *pctx, struct pipe_resource *pres, unsigned offset,
                    unsigned size, const void *value, int value_size)
{
   submit_pending(pctx);
   inner(pctx)->clear_buffer(pctx, pres, offset, size, value, value_size);
}

static void
vmbind_resource_copy_region(struct pipe_context *pctx, struct pipe_resource *dst,
                            unsigned dst_level, unsigned dstx, unsigned dsty, unsigned dstz,
                            struct pipe_resource *src, unsigned src_level,
                            const struct pipe_box *src_box)
{
   submit_pending(pctx);
   inner(pctx)->resource_copy_region(pctx, dst, dst_level, dstx, dsty, dstz, src,
                                                src_level, src_box);
}

static void
vmbind_blit(struct pipe_context *pctx, const struct pipe_blit_info *info)
{
   submit_pending(pctx);
   inner(pctx)->blit(pctx, info);
}

static void
vmbind_get_query_result_resource(struct pipe_context *pctx, struct pipe_query *query,
                                 enum pipe_query_flags flags,
                                 enum pipe_query_value_type result_type, int index,
                                 struct pipe_resource *pres, unsigned offset)
{
   submit_pending(pctx);
   inner(pctx)->get_query_result_resource(pctx, query, flags, result_type, index, pres, offset);
}

static void *
vmbind_buffer_map(struct pipe_context *pctx, struct pipe_resource *pres, unsigned level,
                  unsigned usage, const struct pipe_box *box, struct pipe_transfer **transfer)
{
   submit_pending(pctx);
   return inner(pctx)->buffer_map(pctx, pres, level, usage, box, transfer);
}

static void *
vmbind_texture_map(struct pipe_context *pctx, struct pipe_resource *pres, unsigned level,
                   unsigned usage, const struct pipe_box *box, struct pipe_transfer **transfer)
{
   submit_pending(pctx);
   return inner(pctx)->texture_map(pctx, pres, level, usage, box, transfer);
}

static void
vmbind_flush(struct pipe_context *pctx, struct pipe_fence_handle **fence, unsigned flags)
{
   submit_pending(pctx);
   inner(pctx)->flush(pctx, fence, flags);
}

static void
vmbind_context_destroy(struct pipe_context *pctx)
{
   struct vmbind_gl *gl = vmbind_screen(pctx->screen)->gl;
   struct vmbind_commits *commits = commits_of(pctx);

   submit_pending(pctx);

   /* Once it is destroyed, another context may have its address. */
   simple_mtx_lock(&gl->commits_lock);
   _mesa_hash_table_remove_key(gl->commits, pctx);
   if (commits->moved)
      p_atomic_dec(&gl->moved_contexts);
   simple_mtx_unlock(&gl->commits_lock);
   gl->inner.destroy(pctx);

   util_dynarray_fini(&commits->binds);
   util_dynarray_fini(&commits->changes);
   util_dynarray_fini(&commits->freed);
   FREE(commits);
}

bool
vmbind_commit_init_context(struct pipe_context *pctx)
{
   struct vmbind_gl *gl = vmbind_screen(pctx->screen)->gl;
   struct vmbind_commits *commits = CALLOC_STRUCT(vmbind_commits);
   if (!commits)
      return false;

   util_dynarray_init(&commits->binds, NULL);
   util_dynarray_init(&commits->changes, NULL);
   util_dynarray_init(&commits->freed, NULL);

   simple_mtx_lock(&gl->commits_lock);
   struct hash_entry *entry = _mesa_hash_table_insert(gl->commits, pctx, commits);
   if (!gl->inner.draw_vbo)
      gl->inner = *pctx;
   simple_mtx_unlock(&gl->commits_lock);
   if (!entry) {
      FREE(commits);
      return false;
   }

   pctx->resource_commit = vmbind_resource_commit;

   pctx->destroy = vmbind_context_destroy;
   pctx->draw_vbo = vmbind_draw_vbo;
   pctx->launch_grid = vmbind_launch_grid;
   pctx->clear = vmbind_clear;
   pctx->clear_render_target = vmbind_clear_render_target;
   pctx->clear_texture = vmbind_clear_texture;
   pctx->clear_buffer = vmbind_clear_buffer;
   pctx->resource_copy_region = vmbind_resource_copy_region;
   pctx->blit = vmbind_blit;
   pctx->get_query_result_resource = vmbind_get_query_result_resource;
   pctx->buffer_map = vmbind_buffer_map;
   pctx->texture_map = vmbind_texture_map;
   pctx->flush = vmbind_flush;

   return true;
}

/* ------------------------------------------------------------------- screen */

bool
vmbind_commit_init_screen(struct pipe_screen *pscreen)
{
   struct vmbind_screen *screen = vmbind_screen(pscreen);
   struct pipe_caps *caps = (struct pipe_caps *)&pscreen->caps;

   screen->gl->commits = _mesa_pointer_hash_table_create(NULL);
   if (!screen->gl->commits)
      return false;
   simple_mtx_init(&screen->gl->commits_lock, mtx_plain);
   vmbind_pages_init(&screen->gl->pages, screen->vm);
   if (vmb_device_caps(screen->dev)->null_mode == VMB_NULL_NONE)
      return true;

   pscreen->get_sparse_texture_virtual_page_size = vmbind_get_sparse_texture_virtual_page_size;
   caps->sparse_buffer_page_size = BLOCK_SIZE_B;
   caps->max_sparse_texture_size = caps->max_texture_2d_size;
   caps->max_sparse_3d_texture_size = 1u << (caps->max_texture_3d_levels - 1);
   caps->max_sparse_array_texture_layers = caps->max_texture_array_layers;
   caps->sparse_texture_full_array_cube_mipmaps = true;
   caps->query_sparse_texture_residency = true;

   return true;
}

void
vmbind_commit_finish_screen(struct pipe_screen *pscreen)
{
   struct vmbind_gl *gl = vmbind_screen(pscreen)->gl;

   vmbind_pages_finish(&gl->pages);
   simple_mtx_destroy(&gl->commits_lock);
   _mesa_hash_table_destroy(gl->commits, NULL);
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Sparse buffers and textures of OpenGL: committing and de-committing.
 *
 *    glTexPageCommitmentARB ...        memory is taken, changes are noted down
 *    glTexPageCommitmentARB ...
 *    glDraw, glClear, glFlush, ...     what was drawn before with these resources is finished, the
 *                                      changes go to the core as one batch of binds, then what shaders
 *                                      find resident is brought up to date
 *
 * Each context has a batch of its own: GL promises other contexts nothing before a flush.  Memory of
 * de-committed pages is used again once their unbind has taken effect.  A batch that the kernel
 * refuses is undone: everything is as before its first commit, and the next glGetError says
 * GL_OUT_OF_MEMORY.
 *
 * Must never know where memory comes from (vmbind_pages.h) or where in a texture a page is
 * (vmbind_sparse.h).
 */

#include "vmbind_gl_private.h"

#include <errno.h>
#include <string.h>
#include <xf86drm.h>

#include "lp_context.h"
#include "lp_flush.h"
#include "lp_limits.h"
#include "lp_state.h"
#include "pipe/p_context.h"
#include "util/format/u_format.h"
#include "util/hash_table.h"
#include "util/log.h"
#include "util/u_atomic.h"
#include "util/u_dynarray.h"

#define BLOCK_SIZE_B VMBIND_SPARSE_BLOCK_SIZE_B

/** A sparse resource: no other files than this look inside. */
struct vmbind_sparse_resource {
   struct vmbind_gl_resource res;
   /** The context in whose batch are changes of it, or NULL.  Guarded by gl->batch_lock. */
   struct vmbind_commits *noted_by;
   uint32_t block_count;
   /** The memory of each block as it is after all changes, also those that are only noted down. */
   struct vmbind_page blocks[];
};

/** Consecutive blocks of a resource, all of which get memory or lose it. */
struct change {
   struct pipe_resource *pres;
   uint32_t block;
   uint32_t count;
   /** Where in the batch's pages that memory is. */
   uint32_t first_page;
   bool commit;
};

/** A context's batch: what was asked for since the last one. */
struct vmbind_commits {
   /** struct change */
   struct util_dynarray changes;
   /** struct vmbind_page: what each change gives to its blocks or takes from them. */
   struct util_dynarray pages;
   /** struct vmb_bind: what is made of the changes in the end. */
   struct util_dynarray binds;
   /** Atomic: a batch was refused, maybe by another context's thread, and nobody has been told. */
   int out_of_memory;
   /** Atomic: a resource has moved that may be bound in the context. */
   int moved;
};

static struct vmbind_sparse_resource *
sparse_resource(struct pipe_resource *pres)
{
   struct vmbind_backing *backing = vmbind_backing(llvmpipe_resource(pres));
   return backing && backing->sparse_range ? (struct vmbind_sparse_resource *)backing : NULL;
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

/* Elements that fill a block without a rest, and that llvmpipe samples as they are. */
static bool
format_can_be_sparse(struct pipe_screen *pscreen, enum pipe_format format,
                     enum pipe_texture_target target, unsigned samples)
{
   return util_is_power_of_two_nonzero(util_format_get_blocksize(format)) &&
          util_format_description(format)->layout != UTIL_FORMAT_LAYOUT_SUBSAMPLED &&
          util_format_get_num_planes(format) == 1 &&
          pscreen->is_format_supported(pscreen, format, target, samples, samples,
                                       PIPE_BIND_SAMPLER_VIEW);
}

static int
vmbind_get_sparse_texture_virtual_page_size(struct pipe_screen *pscreen,
                                            enum pipe_texture_target target, bool multi_sample,
                                            enum pipe_format format, unsigned offset,
                                            unsigned size, int *x, int *y, int *z)
{
   const unsigned samples = multi_sample ? LP_MAX_SAMPLES : 1;
   const unsigned dims = dimensions(target);

   if (!dims || (multi_sample && dims != 2) || offset > 0 ||
       !format_can_be_sparse(pscreen, format, target, samples))
      return 0;

   const struct vmbind_sparse_image image = vmbind_sparse_image_of(format, dims, samples);
   if (size && x)
      *x = image.block_el.width * image.element_px.width;
   if (size && y)
      *y = image.block_el.height * image.element_px.height;
   if (size && z)
      *z = image.block_el.depth * image.element_px.depth;

   return 1;
}

/* GL has one tail for all layers. */
static void
lay_out(const struct pipe_resource *pres, struct vmbind_sparse_layout *layout_out)
{
   struct vmbind_sparse_image image = vmbind_sparse_image_of(
      pres->format, dimensions(pres->target), MAX2(pres->nr_samples, 1));

   image.size_px = (struct vmbind_extent){pres->width0, pres->height0, pres->depth0};
   image.level_count = pres->last_level + 1;
   image.layer_count = pres->array_size;
   image.single_tail = true;
   vmbind_sparse_layout_init(&image, layout_out);
}

/* ----------------------------------------------------------------- submitting */

static const struct vmbind_page *
change_pages(const struct vmbind_commits *commits, const struct change *change)
{
   return util_dynarray_element(&commits->pages, struct vmbind_page, change->first_page);
}

static bool
add_bind(struct vmbind_commits *commits, const struct change *change, uint32_t first,
         uint32_t count, const struct vmbind_page *page)
{
   struct vmb_bind *bind = util_dynarray_grow(&commits->binds, struct vmb_bind, 1);
   if (!bind)
      return false;

   *bind = (struct vmb_bind){
      .range = vmbind_resource_range(change->pres),
      .offset_B = (uint64_t)(change->block + first) * BLOCK_SIZE_B,
      .size_B = (uint64_t)count * BLOCK_SIZE_B,
      .bo = page ? vmbind_page_bo(page) : NULL,
      .bo_offset_B = page ? vmbind_page_offset_B(page) : 0,
   };
   return true;
}

/* One bind for pages that lie together. */
static bool
add_change_binds(struct vmbind_commits *commits, const struct change *change)
{
   const struct vmbind_page *pages = change_pages(commits, change);
   uint32_t run;

   if (!change->commit)
      return add_bind(commits, change, 0, change->count, NULL);

   for (uint32_t i = 0; i < change->count; i += run) {
      run = 1;
      while (i + run < change->count && pages[i + run].slab == pages[i].slab &&
             pages[i + run].index == pages[i].index + run)
         run++;
      if (!add_bind(commits, change, i, run, &pages[i]))
         return false;
   }

   return true;
}

static int
bind_changes(struct vmbind_screen *screen, struct vmbind_commits *commits)
{
   util_dynarray_foreach (&commits->changes, struct change, change) {
      if (!add_change_binds(commits, change))
         return -ENOMEM;
   }

   return vmb_vm_bind_sync(screen->vm, util_dynarray_begin(&commits->binds),
                           util_dynarray_num_elements(&commits->binds, struct vmb_bind));
}

static void
finish_changes(struct vmbind_gl *gl, struct vmbind_commits *commits)
{
   util_dynarray_foreach (&commits->changes, struct change, change) {
      vmbind_resource_set_resident(change->pres, change->block * BLOCK_SIZE_B,
                                   change->count * BLOCK_SIZE_B, change->commit);
      if (!change->commit)
         vmbind_pages_give(&gl->pages, change->count, change_pages(commits, change));
   }
}

static void
undo_changes(struct vmbind_gl *gl, struct vmbind_commits *commits)
{
   util_dynarray_foreach_reverse (&commits->changes, struct change, change) {
      struct vmbind_page *blocks = sparse_resource(change->pres)->blocks + change->block;
      const struct vmbind_page *pages = change_pages(commits, change);

      if (change->commit) {
         vmbind_pages_give(&gl->pages, change->count, pages);
         memset(blocks, 0, change->count * sizeof(*blocks));
      } else {
         memcpy(blocks, pages, change->count * sizeof(*blocks));
      }
   }
}

/* What was drawn until now sees the pages as they were. */
static void
finish_drawing(struct pipe_context *pctx, const struct vmbind_commits *commits)
{
   const struct pipe_resource *last = NULL;

   util_dynarray_foreach (&commits->changes, struct change, change) {
      if (change->pres != last)
         llvmpipe_flush_resource(pctx, change->pres, 0, false, true, false, "commit");
      last = change->pres;
   }
}

/* With the batch_lock held. */
static void
bind_batch(struct vmbind_screen *screen, struct vmbind_commits *commits)
{
   const int count = util_dynarray_num_elements(&commits->changes, struct change);

   const int ret = bind_changes(screen, commits);
   if (ret) {
      mesa_loge("vmbind: %d changes of sparse pages are undone: %s", count, strerror(-ret));
      undo_changes(screen->gl, commits);
      p_atomic_set(&commits->out_of_memory, 1);
   } else {
      finish_changes(screen->gl, commits);
   }

   util_dynarray_foreach (&commits->changes, struct change, change) {
      sparse_resource(change->pres)->noted_by = NULL;
      pipe_resource_reference(&change->pres, NULL);
   }
   util_dynarray_clear(&commits->changes);
   util_dynarray_clear(&commits->pages);
   util_dynarray_clear(&commits->binds);
   p_atomic_add(&screen->gl->pending_changes, -count);
}

static void
submit_locked(struct pipe_context *pctx, struct vmbind_commits *commits)
{
   if (!commits->changes.size)
      return;

   finish_drawing(pctx, commits);
   bind_batch(vmbind_screen(pctx->screen), commits);
}

/* Changes of a resource are in one batch at a time, so that they take effect in the order in which they were
 * made: otherwise a page could be bound that another context has given away since.  What GL leaves undefined,
 * for lack of a flush, is what the other context has not drawn yet. */
static void
take_over(struct vmbind_screen *screen, struct vmbind_commits *commits, struct pipe_resource *pres)
{
   struct vmbind_commits *other = sparse_resource(pres)->noted_by;

   if (other && other != commits)
      bind_batch(screen, other);
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
   if (!p_atomic_read(&vmbind_screen(pctx->screen)->gl->pending_changes))
      return;

   struct vmbind_gl *gl = vmbind_screen(pctx->screen)->gl;
   simple_mtx_lock(&gl->batch_lock);
   submit_locked(pctx, commits_of(pctx));
   simple_mtx_unlock(&gl->batch_lock);
}

static bool
vmbind_take_out_of_memory(struct pipe_context *pctx)
{
   return p_atomic_xchg(&commits_of(pctx)->out_of_memory, 0);
}

/* --------------------------------------------------------------- committing */

/* Notes a change down; returns the place for its pages, or NULL for lack of memory. */
static struct vmbind_page *
note_change(struct vmbind_gl *gl, struct vmbind_commits *commits, struct pipe_resource *pres,
            uint32_t block, uint32_t count, bool commit)
{
   const uint32_t first_page = util_dynarray_num_elements(&commits->pages, struct vmbind_page);
   struct vmbind_page *pages = util_dynarray_grow(&commits->pages, struct vmbind_page, count);
   if (!pages)
      return NULL;

   struct change *change = util_dynarray_grow(&commits->changes, struct change, 1);
   if (!change) {
      util_dynarray_resize(&commits->pages, struct vmbind_page, first_page);
      return NULL;
   }

   *change = (struct change){
      .block = block,
      .count = count,
      .first_page = first_page,
      .commit = commit,
   };
   pipe_resource_reference(&change->pres, pres);
   sparse_resource(pres)->noted_by = commits;
   p_atomic_inc(&gl->pending_changes);

   return pages;
}

static void
forget_last_change(struct vmbind_gl *gl, struct vmbind_commits *commits)
{
   struct change change = util_dynarray_pop(&commits->changes, struct change);

   util_dynarray_resize(&commits->pages, struct vmbind_page, change.first_page);
   sparse_resource(change.pres)->noted_by = NULL;
   util_dynarray_foreach (&commits->changes, struct change, left) {
      if (left->pres == change.pres)
         sparse_resource(change.pres)->noted_by = commits;
   }
   pipe_resource_reference(&change.pres, NULL);
   p_atomic_dec(&gl->pending_changes);
}

static bool
commit_run(struct vmbind_gl *gl, struct vmbind_commits *commits, struct pipe_resource *pres,
           uint32_t block, uint32_t count)
{
   struct vmbind_page *pages = note_change(gl, commits, pres, block, count, true);
   if (!pages)
      return false;

   if (vmbind_pages_take(&gl->pages, count, pages)) {
      forget_last_change(gl, commits);
      return false;
   }

   memcpy(&sparse_resource(pres)->blocks[block], pages, count * sizeof(*pages));
   return true;
}

static bool
decommit_run(struct vmbind_gl *gl, struct vmbind_commits *commits, struct pipe_resource *pres,
             uint32_t block, uint32_t count)
{
   struct vmbind_page *blocks = &sparse_resource(pres)->blocks[block];
   struct vmbind_page *pages = note_change(gl, commits, pres, block, count, false);
   if (!pages)
      return false;

   memcpy(pages, blocks, count * sizeof(*pages));
   memset(blocks, 0, count * sizeof(*blocks));
   return true;
}

static bool
change_run(struct pipe_context *pctx, struct pipe_resource *pres, uint32_t block, uint32_t count,
           bool commit)
{
   struct vmbind_gl *gl = vmbind_screen(pctx->screen)->gl;
   struct vmbind_commits *commits = commits_of(pctx);

   if (!commit)
      return decommit_run(gl, commits, pres, block, count);
   if (commit_run(gl, commits, pres, block, count))
      return true;

   /* Once more, with what can be freed. */
   submit_locked(pctx, commits);
   vmbind_resource_empty_cache(pctx->screen);
   return commit_run(gl, commits, pres, block, count);
}

/* Of consecutive blocks, those that are not what they are to be. */
static bool
change_blocks(struct pipe_context *pctx, struct pipe_resource *pres, uint64_t offset_B,
              uint64_t size_B, bool commit)
{
   struct vmbind_sparse_resource *sparse = sparse_resource(pres);
   const uint32_t end = DIV_ROUND_UP(offset_B + size_B, BLOCK_SIZE_B);
   uint32_t block = offset_B / BLOCK_SIZE_B;

   assert(end <= sparse->block_count);
   while (block < end) {
      uint32_t run = 0;

      while (block + run < end && (sparse->blocks[block + run].slab != NULL) != commit)
         run++;
      if (run > 0 && !change_run(pctx, pres, block, run, commit))
         return false;
      block += MAX2(run, 1);
   }

   return true;
}

static bool
commit_buffer(struct pipe_context *pctx, struct pipe_resource *pres, const struct pipe_box *box,
              bool commit)
{
   if (box->x < 0 || box->width < 0 || (uint64_t)box->x + box->width > pres->width0)
      return false;

   return change_blocks(pctx, pres, box->x, box->width, commit);
}

static bool
commit_layer(struct pipe_context *pctx, struct pipe_resource *pres, unsigned level, unsigned layer,
             const struct vmbind_extent *offset_px, const struct vmbind_extent *extent_px,
             bool commit)
{
   struct util_dynarray runs;
   bool done;

   util_dynarray_init(&runs, NULL);
   done = !vmbind_sparse_image_runs(vmbind_resource_layout(pres), level, layer, offset_px,
                                    extent_px, 0, &runs);
   util_dynarray_foreach (&runs, struct vmbind_sparse_run, run) {
      done = change_blocks(pctx, pres, run->offset_B, run->size_B, commit);
      if (!done)
         break;
   }
   util_dynarray_fini(&runs);

   return done;
}

static bool
commit_texture(struct pipe_context *pctx, struct pipe_resource *pres, unsigned level,
               const struct pipe_box *box, bool commit)
{
   const struct vmbind_sparse_layout *layout = vmbind_resource_layout(pres);
   const bool is_3d = pres->target == PIPE_TEXTURE_3D;
   const struct vmbind_extent offset_px = {box->x, box->y, is_3d ? box->z : 0};
   const struct vmbind_extent extent_px = {box->width, box->height, is_3d ? box->depth : 1};

   if (level >= layout->level_count || box->x < 0 || box->y < 0 || box->z < 0)
      return false;
   if (box->width <= 0 || box->height <= 0 || box->depth <= 0)
      return true;
   if (level >= layout->tail_first_level)
      return change_blocks(pctx, pres, layout->tail_offset_B, layout->tail_size_B, commit);
   if (is_3d)
      return commit_layer(pctx, pres, level, 0, &offset_px, &extent_px, commit);

   for (int i = 0; i < box->depth; i++) {
      if (!commit_layer(pctx, pres, level, box->z + i, &offset_px, &extent_px, commit))
         return false;
   }

   return true;
}

static bool
vmbind_resource_commit(struct pipe_context *pctx, struct pipe_resource *pres, unsigned level,
                       struct pipe_box *box, bool commit)
{
   struct vmbind_screen *screen = vmbind_screen(pctx->screen);

   if (!sparse_resource(pres))
      return false;

   simple_mtx_lock(&screen->gl->batch_lock);
   take_over(screen, commits_of(pctx), pres);
   const bool done = pres->target == PIPE_BUFFER ? commit_buffer(pctx, pres, box, commit)
                                                 : commit_texture(pctx, pres, level, box, commit);
   simple_mtx_unlock(&screen->gl->batch_lock);

   return done;
}

/* ---------------------------------------------------------------- resources */

/* Nobody looks at the addresses any more; the unbind is the range's. */
static void
sparse_release(struct pipe_screen *pscreen, struct vmbind_backing *backing)
{
   struct vmbind_sparse_resource *sparse = (struct vmbind_sparse_resource *)backing;

   vmbind_pages_give(&vmbind_screen(pscreen)->gl->pages, sparse->block_count, sparse->blocks);
}

/* A range of null mappings makes them by itself, and later; shaders and the CPU may look at any
 * time. */
static bool
wait_for_null(struct vmbind_screen *screen, struct vmb_range *range)
{
   struct vmb_sync sync;

   if (vmb_range_get_sync(range, &sync))
      return false;
   if (!sync.syncobj)
      return true;

   return !drmSyncobjTimelineWait(vmb_device_fd(screen->dev), &sync.syncobj, &sync.point, 1,
                                  INT64_MAX, DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT, NULL);
}

struct pipe_resource *
vmbind_sparse_resource_create(struct pipe_screen *pscreen, const struct pipe_resource *templat)
{
   const bool is_buffer = templat->target == PIPE_BUFFER;
   struct pipe_resource flagged = *templat;
   struct vmbind_sparse_layout layout = {0};
   uint64_t size_B;

   /* llvmpipe would take a sparse buffer for a texture in tiles. */
   if (is_buffer)
      flagged.flags &= ~PIPE_RESOURCE_FLAG_SPARSE;

   struct pipe_resource *pres = pscreen->resource_create_unbacked(pscreen, &flagged, &size_B);
   if (!pres)
      return NULL;

   if (!is_buffer) {
      lay_out(pres, &layout);
      size_B = layout.size_B;
   }
   /* Offsets are signed, of 32 bits, in llvmpipe's code and in boxes. */
   if (size_B > LP_MAX_TEXTURE_SIZE)
      goto fail_resource;

   const uint32_t block_count = DIV_ROUND_UP(size_B, BLOCK_SIZE_B);
   struct vmbind_sparse_resource *sparse =
      CALLOC_VARIANT_LENGTH_STRUCT(vmbind_sparse_resource, block_count * sizeof(sparse->blocks[0]));
   if (!sparse)
      goto fail_resource;

   sparse->block_count = block_count;
   if (vmbind_resource_attach_sparse(pscreen, pres, &sparse->res.backing, size_B, true))
      goto fail_sparse;
   sparse->res.backing.destroy = sparse_release;

   if (!is_buffer) {
      pres->nr_sparse_levels = layout.tail_first_level;
      if (vmbind_resource_set_layout(pres, &layout) ||
          vmbind_resource_track_residency(pres, size_B))
         goto fail_resource;
   }
   if (!wait_for_null(vmbind_screen(pscreen), sparse->res.backing.sparse_range))
      goto fail_resource;

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

   util_dynarray_fini(&commits->changes);
   util_dynarray_fini(&commits->pages);
   util_dynarray_fini(&commits->binds);
   FREE(commits);
}

bool
vmbind_commit_init_context(struct pipe_context *pctx)
{
   struct vmbind_gl *gl = vmbind_screen(pctx->screen)->gl;
   struct vmbind_commits *commits = CALLOC_STRUCT(vmbind_commits);
   if (!commits)
      return false;

   util_dynarray_init(&commits->changes, NULL);
   util_dynarray_init(&commits->pages, NULL);
   util_dynarray_init(&commits->binds, NULL);

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
   pctx->take_out_of_memory = vmbind_take_out_of_memory;

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
   pctx->flush_resource = vmbind_flush_resource;

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
   simple_mtx_init(&screen->gl->batch_lock, mtx_plain);
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
   caps->clamp_sparse_texture_lod = true;

   return true;
}

void
vmbind_commit_finish_screen(struct pipe_screen *pscreen)
{
   struct vmbind_gl *gl = vmbind_screen(pscreen)->gl;

   vmbind_pages_finish(&gl->pages);
   simple_mtx_destroy(&gl->batch_lock);
   simple_mtx_destroy(&gl->commits_lock);
   _mesa_hash_table_destroy(gl->commits, NULL);
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Buffers of more than 2 GiB: Gallium's boxes have signed coordinates, llvmpipe believes in the sign,
 * and its helpers check it.  Here maps, copies and clears of such buffers take them for unsigned, which
 * is enough for all that a pipe_resource can be.  Copies and clears go by pieces, which also spares sparse
 * buffers of any size a copy of their holes.  All else is left to llvmpipe.
 *
 * Must never know how a buffer got its addresses.
 */

#include <stdbool.h>
#include <stdint.h>

#include "gallivm/lp_bld_sample.h"
#include "lp_flush.h"
#include "pipe/p_context.h"
#include "util/box.h"

#include "vmbind_private.h"

/* Holes are kept from being written by a copy of what is mapped; of more than that it would be dear, and the
 * page tables do it too, slowly. */
#define STAGING_MAX_B (64u << 20)

/* A multiple of every size that a clear value may have. */
#define PIECE_B (12u << 20)

struct vmbind_buffer_transfer {
   struct pipe_transfer base;
   uint64_t offset_B;
   uint64_t size_B;
   void *staging;
};

static bool
is_large(const struct pipe_resource *pres)
{
   return pres->target == PIPE_BUFFER && pres->width0 > INT32_MAX;
}

/* Also those that may have holes: a piece that is all hole is left out. */
static bool
is_done_by_pieces(struct pipe_resource *pres)
{
   return is_large(pres) || (pres->target == PIPE_BUFFER && llvmpipe_resource(pres)->residency);
}

/* ------------------------------------------------------------------------ maps */

static bool
is_resident(const struct llvmpipe_resource *lpr, uint64_t block)
{
   return !lpr->residency || BITSET_TEST(lpr->residency, block);
}

/* How many of the blocks, one that is touched in part counted as well. */
static uint64_t
count_resident(const struct llvmpipe_resource *lpr, uint64_t start, uint64_t end)
{
   uint64_t count = 0;

   for (uint64_t block = start; block < end; block++)
      count += is_resident(lpr, block);

   return count;
}

static bool
has_holes(const struct llvmpipe_resource *lpr, uint64_t offset_B, uint64_t size_B)
{
   const uint64_t start = offset_B / LP_SPARSE_BUFFER_PAGE_SIZE;
   const uint64_t end = DIV_ROUND_UP(offset_B + size_B, LP_SPARSE_BUFFER_PAGE_SIZE);

   return count_resident(lpr, start, end) < end - start;
}

/* What is written there is lost. */
static bool
is_hole(struct pipe_resource *pres, uint64_t offset_B, uint64_t size_B)
{
   return count_resident(llvmpipe_resource(pres), offset_B / LP_SPARSE_BUFFER_PAGE_SIZE,
                         DIV_ROUND_UP(offset_B + size_B, LP_SPARSE_BUFFER_PAGE_SIZE)) == 0;
}

static void
write_back(const struct vmbind_buffer_transfer *transfer)
{
   const struct llvmpipe_resource *lpr = llvmpipe_resource(transfer->base.resource);
   const uint64_t end_B = transfer->offset_B + transfer->size_B;
   uint64_t next_B;

   for (uint64_t offset_B = transfer->offset_B; offset_B < end_B; offset_B = next_B) {
      const uint64_t block = offset_B / LP_SPARSE_BUFFER_PAGE_SIZE;

      next_B = MIN2((block + 1) * LP_SPARSE_BUFFER_PAGE_SIZE, end_B);
      if (is_resident(lpr, block))
         memcpy((uint8_t *)lpr->data + offset_B,
                (uint8_t *)transfer->staging + (offset_B - transfer->offset_B), next_B - offset_B);
   }
}

static void *
vmbind_buffer_map(struct pipe_context *pctx, struct pipe_resource *pres, unsigned level,
                  unsigned usage, const struct pipe_box *box, struct pipe_transfer **transfer_out)
{
   struct llvmpipe_resource *lpr = llvmpipe_resource(pres);
   const uint64_t offset_B = (uint32_t)box->x;

   if (!is_large(pres))
      return vmbind_screen(pctx->screen)->buffer_map(pctx, pres, level, usage, box, transfer_out);

   if (!(usage & PIPE_MAP_UNSYNCHRONIZED) &&
       !llvmpipe_flush_resource(pctx, pres, 0, !(usage & PIPE_MAP_WRITE), true,
                                usage & PIPE_MAP_DONTBLOCK, __func__))
      return NULL;

   struct vmbind_buffer_transfer *transfer = CALLOC_STRUCT(vmbind_buffer_transfer);
   if (!transfer)
      return NULL;

   uint8_t *map = (uint8_t *)lpr->data + offset_B;
   transfer->offset_B = offset_B;
   /* Who does not know better maps all of it from an offset on. */
   transfer->size_B = MIN2((uint32_t)box->width, pres->width0 - offset_B);
   if ((usage & PIPE_MAP_WRITE) && transfer->size_B <= STAGING_MAX_B &&
       has_holes(lpr, offset_B, transfer->size_B)) {
      transfer->staging = malloc(transfer->size_B);
      if (!transfer->staging)
         goto fail_transfer;
      memcpy(transfer->staging, map, transfer->size_B);
      map = transfer->staging;
   }

   pipe_resource_reference(&transfer->base.resource, pres);
   transfer->base.usage = usage;
   transfer->base.box = *box;
   *transfer_out = &transfer->base;

   return map;

fail_transfer:
   FREE(transfer);
   return NULL;
}

static void
vmbind_buffer_unmap(struct pipe_context *pctx, struct pipe_transfer *base)
{
   if (!is_large(base->resource)) {
      vmbind_screen(pctx->screen)->buffer_unmap(pctx, base);
      return;
   }

   struct vmbind_buffer_transfer *transfer =
      container_of(base, struct vmbind_buffer_transfer, base);
   if (transfer->staging) {
      write_back(transfer);
      free(transfer->staging);
   }
   pipe_resource_reference(&transfer->base.resource, NULL);
   FREE(transfer);
}

/* ------------------------------------------------------------- copies and clears */

static void
copy_piece(struct pipe_context *pctx, struct pipe_resource *dst, uint32_t dst_offset_B,
           struct pipe_resource *src, uint32_t src_offset_B, uint32_t size_B)
{
   struct pipe_transfer *dst_transfer, *src_transfer;
   struct pipe_box dst_box, src_box;

   if (is_hole(dst, dst_offset_B, size_B))
      return;

   u_box_1d(dst_offset_B, size_B, &dst_box);
   u_box_1d(src_offset_B, size_B, &src_box);

   const void *from = pctx->buffer_map(pctx, src, 0, PIPE_MAP_READ, &src_box, &src_transfer);
   if (!from)
      return;
   void *to = pctx->buffer_map(pctx, dst, 0, PIPE_MAP_WRITE, &dst_box, &dst_transfer);
   if (to) {
      memcpy(to, from, size_B);
      pctx->buffer_unmap(pctx, dst_transfer);
   }
   pctx->buffer_unmap(pctx, src_transfer);
}

static void
vmbind_resource_copy_region(struct pipe_context *pctx, struct pipe_resource *dst,
                            unsigned dst_level, unsigned dstx, unsigned dsty, unsigned dstz,
                            struct pipe_resource *src, unsigned src_level,
                            const struct pipe_box *src_box)
{
   if (!is_done_by_pieces(dst) && !is_large(src)) {
      vmbind_screen(pctx->screen)->resource_copy_region(pctx, dst, dst_level, dstx, dsty, dstz, src,
                                                        src_level, src_box);
      return;
   }

   const uint32_t size_B = src_box->width;
   for (uint64_t done_B = 0; done_B < size_B; done_B += PIECE_B)
      copy_piece(pctx, dst, dstx + done_B, src, (uint32_t)src_box->x + done_B,
                 MIN2(size_B - done_B, PIECE_B));
}

static void
vmbind_clear_buffer(struct pipe_context *pctx, struct pipe_resource *pres, unsigned offset_B,
                    unsigned size_B, const void *value, int value_size_B)
{
   const struct vmbind_screen *screen = vmbind_screen(pctx->screen);

   if (!is_done_by_pieces(pres)) {
      screen->clear_buffer(pctx, pres, offset_B, size_B, value, value_size_B);
      return;
   }

   for (uint64_t done_B = 0; done_B < size_B; done_B += PIECE_B) {
      const uint32_t piece_B = MIN2(size_B - done_B, PIECE_B);

      if (!is_hole(pres, offset_B + done_B, piece_B))
         screen->clear_buffer(pctx, pres, offset_B + done_B, piece_B, value, value_size_B);
   }
}

/* --------------------------------------------------------------------- context */

struct pipe_context *
vmbind_buffer_context_create(struct pipe_screen *pscreen, void *priv, unsigned flags)
{
   struct vmbind_screen *screen = vmbind_screen(pscreen);
   struct pipe_context *pctx = screen->context_create(pscreen, priv, flags);

   if (!pctx)
      return NULL;

   /* The same in all of llvmpipe's contexts. */
   screen->buffer_map = pctx->buffer_map;
   screen->buffer_unmap = pctx->buffer_unmap;
   screen->resource_copy_region = pctx->resource_copy_region;
   screen->clear_buffer = pctx->clear_buffer;

   pctx->buffer_map = vmbind_buffer_map;
   pctx->buffer_unmap = vmbind_buffer_unmap;
   pctx->resource_copy_region = vmbind_resource_copy_region;
   pctx->clear_buffer = vmbind_clear_buffer;

   return pctx;
}

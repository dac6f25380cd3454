/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See vmbind_pages.h.
 */

#include "vmbind_pages.h"

#include <errno.h>
#include <string.h>

#include "util/bitset.h"
#include "util/u_memory.h"

#include "vmbind_screen.h"

/* A BO is as large as what is asked for, between these. */
#define SLAB_MIN_BLOCKS 32
#define SLAB_MAX_BLOCKS 1024

/* Memory that nobody uses is kept up to this. */
#define KEEP_FREE_BLOCKS 1024

struct vmbind_slab_of_pages {
   struct list_head link;
   struct vmb_bo *bo;
   uint32_t count;
   uint32_t free_count;
   /* No block before it is free. */
   uint32_t first_free;
   BITSET_DECLARE(free, SLAB_MAX_BLOCKS);
};

void
vmbind_pages_init(struct vmbind_pages *pages, struct vmb_vm *vm)
{
   memset(pages, 0, sizeof(*pages));
   simple_mtx_init(&pages->lock, mtx_plain);
   list_inithead(&pages->slabs);
   pages->vm = vm;
}

static void
slab_destroy(struct vmbind_pages *pages, struct vmbind_slab_of_pages *slab)
{
   pages->blocks -= slab->count;
   list_del(&slab->link);
   vmb_bo_unref(slab->bo);
   FREE(slab);
}

void
vmbind_pages_finish(struct vmbind_pages *pages)
{
   list_for_each_entry_safe (struct vmbind_slab_of_pages, slab, &pages->slabs, link)
      slab_destroy(pages, slab);
   simple_mtx_destroy(&pages->lock);
}

static int
slab_create(struct vmbind_pages *pages, uint32_t count, struct vmbind_slab_of_pages **slab_out)
{
   struct vmbind_slab_of_pages *slab = CALLOC_STRUCT(vmbind_slab_of_pages);
   if (!slab)
      return -ENOMEM;

   const struct vmb_bo_params params = {
      .size_B = (uint64_t)count * VMBIND_SPARSE_BLOCK_SIZE_B,
      .vm = pages->vm,
      .cached = true,
      .name = "sparse pages",
   };
   int ret = vmb_bo_create(vmb_vm_device(pages->vm), &params, &slab->bo);
   if (ret) {
      FREE(slab);
      return ret;
   }

   slab->count = count;
   slab->free_count = count;
   BITSET_SET_RANGE(slab->free, 0, count - 1);
   list_addtail(&slab->link, &pages->slabs);
   pages->blocks += count;

   *slab_out = slab;
   return 0;
}

static struct vmbind_page
slab_take(struct vmbind_slab_of_pages *slab)
{
   uint32_t index = slab->first_free;

   while (!BITSET_TEST(slab->free, index))
      index++;
   BITSET_CLEAR(slab->free, index);
   slab->first_free = index + 1;
   slab->free_count--;

   return (struct vmbind_page){.slab = slab, .index = index};
}

static void
give_locked(struct vmbind_pages *pages, uint32_t count, const struct vmbind_page *given)
{
   for (uint32_t i = 0; i < count; i++) {
      struct vmbind_slab_of_pages *slab = given[i].slab;
      if (!slab)
         continue;

      BITSET_SET(slab->free, given[i].index);
      slab->first_free = MIN2(slab->first_free, given[i].index);
      slab->free_count++;
      pages->used--;
      if (slab->free_count == slab->count && pages->blocks - pages->used > KEEP_FREE_BLOCKS)
         slab_destroy(pages, slab);
   }
}

/* The slab that has the least room which is enough; else the one with the most. */
static struct vmbind_slab_of_pages *
choose_slab(struct vmbind_pages *pages, uint32_t count)
{
   struct vmbind_slab_of_pages *best = NULL;

   list_for_each_entry (struct vmbind_slab_of_pages, slab, &pages->slabs, link) {
      if (!slab->free_count)
         continue;
      if (!best || (slab->free_count >= count ?
                       best->free_count < count || slab->free_count < best->free_count :
                       best->free_count < count && slab->free_count > best->free_count))
         best = slab;
   }

   return best;
}

int
vmbind_pages_take(struct vmbind_pages *pages, uint32_t count, struct vmbind_page *pages_out)
{
   uint32_t taken = 0;
   int ret = 0;

   simple_mtx_lock(&pages->lock);
   while (taken < count) {
      const uint32_t wanted = count - taken;
      struct vmbind_slab_of_pages *slab = choose_slab(pages, MIN2(wanted, SLAB_MAX_BLOCKS));

      /* Scraps would make many operations of what can be one. */
      if (!slab || (slab->free_count < wanted && slab->free_count < SLAB_MIN_BLOCKS)) {
         struct vmbind_slab_of_pages *fresh;
         ret = slab_create(pages, CLAMP(wanted, SLAB_MIN_BLOCKS, SLAB_MAX_BLOCKS), &fresh);
         if (!ret)
            slab = fresh;
         else if (!slab)
            break;
      }

      while (taken < count && slab->free_count) {
         pages_out[taken++] = slab_take(slab);
         pages->used++;
      }
   }

   if (taken < count)
      give_locked(pages, taken, pages_out);
   simple_mtx_unlock(&pages->lock);

   return taken < count ? ret : 0;
}

void
vmbind_pages_give(struct vmbind_pages *pages, uint32_t count, const struct vmbind_page *given)
{
   simple_mtx_lock(&pages->lock);
   give_locked(pages, count, given);
   simple_mtx_unlock(&pages->lock);
}

struct vmb_bo *
vmbind_page_bo(const struct vmbind_page *page)
{
   return page->slab->bo;
}

uint64_t
vmbind_page_offset_B(const struct vmbind_page *page)
{
   return (uint64_t)page->index * VMBIND_SPARSE_BLOCK_SIZE_B;
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The cache of idle BOs: see vmb_bo_cache.h.
 */

#include "vmb_bo_cache.h"

#include "util/macros.h"
#include "util/u_math.h"

void
vmb_bo_cache_init(struct vmb_bo_cache *cache, uint64_t limit_B, int64_t max_age_ns,
                  uint32_t page_size_B)
{
   *cache = (struct vmb_bo_cache){
      .limit_B = limit_B,
      .max_age_ns = max_age_ns,
      .page_size_B = page_size_B,
   };
   list_inithead(&cache->oldest_first);
   for (unsigned i = 0; i < ARRAY_SIZE(cache->classes); i++)
      list_inithead(&cache->classes[i]);
}

/* One BO must not push out all others. */
static bool
is_small_enough(const struct vmb_bo_cache *cache, uint64_t size_B)
{
   return size_B <= cache->limit_B / 4;
}

uint64_t
vmb_bo_cache_round(const struct vmb_bo_cache *cache, uint64_t size_B)
{
   const uint64_t pages = DIV_ROUND_UP(size_B, cache->page_size_B);

   if (!is_small_enough(cache, size_B))
      return size_B;
   /* 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, ... pages */
   const uint64_t step = pages < 4 ? 1 : 1ull << (util_logbase2_64(pages) - 2);
   return align64(pages, step) * cache->page_size_B;
}

/* Of a size that vmb_bo_cache_round() leaves as it is. */
static struct list_head *
class_of(struct vmb_bo_cache *cache, uint64_t size_B)
{
   const uint64_t pages = size_B / cache->page_size_B;
   const unsigned log2 = util_logbase2_64(pages);
   const unsigned index = pages < 4 ? pages : 4 * log2 + (pages >> (log2 - 2)) - 8;

   return &cache->classes[MIN2(index, VMB_BO_CACHE_CLASSES - 1)];
}

static bool
same_kind(const struct vmb_bo_cache_kind *a, const struct vmb_bo_cache_kind *b)
{
   return a->size_B == b->size_B && a->vm_id == b->vm_id && a->cached == b->cached;
}

static struct vmb_bo_cache_entry *
take(struct vmb_bo_cache *cache, struct vmb_bo_cache_entry *entry)
{
   list_del(&entry->class_link);
   list_del(&entry->age_link);
   cache->size_B -= entry->kind.size_B;
   return entry;
}

struct vmb_bo_cache_entry *
vmb_bo_cache_take(struct vmb_bo_cache *cache, const struct vmb_bo_cache_kind *kind)
{
   if (!is_small_enough(cache, kind->size_B))
      return NULL;
   list_for_each_entry(struct vmb_bo_cache_entry, entry, class_of(cache, kind->size_B),
                       class_link) {
      if (same_kind(&entry->kind, kind))
         return take(cache, entry);
   }
   return NULL;
}

bool
vmb_bo_cache_put(struct vmb_bo_cache *cache, struct vmb_bo_cache_entry *entry, int64_t now_ns)
{
   const uint64_t size_B = entry->kind.size_B;

   if (!is_small_enough(cache, size_B) || vmb_bo_cache_round(cache, size_B) != size_B)
      return false;
   entry->since_ns = now_ns;
   list_add(&entry->class_link, class_of(cache, size_B));
   list_addtail(&entry->age_link, &cache->oldest_first);
   cache->size_B += size_B;
   return true;
}

struct vmb_bo_cache_entry *
vmb_bo_cache_expire(struct vmb_bo_cache *cache, int64_t now_ns)
{
   if (list_is_empty(&cache->oldest_first))
      return NULL;

   struct vmb_bo_cache_entry *oldest =
      list_first_entry(&cache->oldest_first, struct vmb_bo_cache_entry, age_link);
   const bool stays =
      cache->size_B <= cache->limit_B && now_ns - oldest->since_ns <= cache->max_age_ns;
   return stays ? NULL : take(cache, oldest);
}

struct vmb_bo_cache_entry *
vmb_bo_cache_flush(struct vmb_bo_cache *cache, uint32_t vm_id)
{
   list_for_each_entry(struct vmb_bo_cache_entry, entry, &cache->oldest_first, age_link) {
      if (!vm_id || entry->kind.vm_id == vm_id)
         return take(cache, entry);
   }
   return NULL;
}

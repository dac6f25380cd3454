/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Page tables; see the header. Must know nothing of the tree of mappings, nor of the host's MMU.
 */

#include "sim_pt.h"

#include <errno.h>
#include <stdlib.h>

#include "util/macros.h"

#include "sim_gem.h"

#define PAGE_SHIFT  12
#define LEVEL_SHIFT 9
#define ENTRIES     (1u << LEVEL_SHIFT)
#define TOP_LEVEL   4

enum entry_kind {
   ENTRY_EMPTY,
   ENTRY_TABLE,
   ENTRY_LEAF,
};

struct entry {
   enum entry_kind kind;
   uint32_t flags;
   union {
      struct sim_pt_table *table;
      struct sim_bo *bo;
   };
   uint64_t offset;
};

struct sim_pt_table {
   /* Entries that are not empty: a table without any is given back. */
   unsigned used;
   struct entry entries[ENTRIES];
};

/* A repeated page has the same offset in every entry. */

/* What to write over a range */
struct request {
   uint64_t va;
   uint64_t end;
   /* ENTRY_LEAF or ENTRY_EMPTY, and the values at va */
   struct entry value;
};

static uint64_t
level_size(unsigned level)
{
   return 1ull << (PAGE_SHIFT + level * LEVEL_SHIFT);
}

static unsigned
level_index(uint64_t va, unsigned level)
{
   return (va >> (PAGE_SHIFT + level * LEVEL_SHIFT)) & (ENTRIES - 1);
}

static void table_free(struct sim_pt_table *table);

static void
entry_clear(struct entry *entry)
{
   if (entry->kind == ENTRY_TABLE)
      table_free(entry->table);
   else if (entry->kind == ENTRY_LEAF)
      sim_bo_put(entry->bo);
   *entry = (struct entry){.kind = ENTRY_EMPTY};
}

static void
table_free(struct sim_pt_table *table)
{
   for (unsigned i = 0; i < ENTRIES; i++)
      entry_clear(&table->entries[i]);
   free(table);
}

int
sim_pt_init(struct sim_pt *pt)
{
   pt->root = calloc(1, sizeof(*pt->root));
   return pt->root ? 0 : -ENOMEM;
}

void
sim_pt_finish(struct sim_pt *pt)
{
   table_free(pt->root);
   pt->root = NULL;
}

/* The entry becomes a table with the same contents. */
static int
entry_split(struct entry *entry, unsigned level)
{
   struct sim_pt_table *table = calloc(1, sizeof(*table));

   if (!table)
      return -ENOMEM;

   if (entry->kind == ENTRY_LEAF) {
      for (unsigned i = 0; i < ENTRIES; i++) {
         table->entries[i] = *entry;
         sim_bo_get(entry->bo);
         if (entry->bo && !(entry->flags & SIM_PTE_REPEAT))
            table->entries[i].offset += i * level_size(level - 1);
      }
      table->used = ENTRIES;
      sim_bo_put(entry->bo);
   }

   entry->kind = ENTRY_TABLE;
   entry->table = table;
   return 0;
}

static int
table_write(struct sim_pt_table *table, unsigned level, uint64_t table_va,
            const struct request *req)
{
   uint64_t size = level_size(level);
   unsigned first = req->va > table_va ? level_index(req->va, level) : 0;

   for (unsigned i = first; i < ENTRIES; i++) {
      uint64_t va = table_va + i * size;
      struct entry *entry = &table->entries[i];

      if (va >= req->end)
         break;
      if (req->value.kind == ENTRY_EMPTY && entry->kind == ENTRY_EMPTY)
         continue;

      unsigned was_used = entry->kind != ENTRY_EMPTY;

      if (req->va <= va && req->end - va >= size) {
         entry_clear(entry);
         *entry = req->value;
         if (entry->kind == ENTRY_LEAF && entry->bo) {
            sim_bo_get(entry->bo);
            if (!(entry->flags & SIM_PTE_REPEAT))
               entry->offset += va - req->va;
         }
      } else {
         if (entry->kind != ENTRY_TABLE && entry_split(entry, level))
            return -ENOMEM;
         int ret = table_write(entry->table, level - 1, va, req);
         if (entry->table->used == 0)
            entry_clear(entry);
         if (ret)
            return ret;
      }
      table->used += (entry->kind != ENTRY_EMPTY) - was_used;
   }
   return 0;
}

int
sim_pt_map(struct sim_pt *pt, uint64_t va, uint64_t size_B, struct sim_bo *bo, uint64_t offset,
           uint32_t flags)
{
   const struct request req = {
      .va = va,
      .end = va + size_B,
      .value = {.kind = ENTRY_LEAF, .flags = flags, .bo = bo, .offset = offset},
   };
   return table_write(pt->root, TOP_LEVEL, 0, &req);
}

int
sim_pt_unmap(struct sim_pt *pt, uint64_t va, uint64_t size_B)
{
   const struct request req = {
      .va = va,
      .end = va + size_B,
      .value = {.kind = ENTRY_EMPTY},
   };
   return table_write(pt->root, TOP_LEVEL, 0, &req);
}

bool
sim_pt_lookup(const struct sim_pt *pt, uint64_t va, struct sim_pte *pte)
{
   const struct sim_pt_table *table = pt->root;

   for (unsigned level = TOP_LEVEL;; level--) {
      const struct entry *entry = &table->entries[level_index(va, level)];

      if (entry->kind == ENTRY_EMPTY)
         return false;
      if (entry->kind == ENTRY_LEAF) {
         uint64_t period = entry->flags & SIM_PTE_REPEAT ? SIM_PTE_REPEAT_B : level_size(level);
         uint64_t within = va & (period - 1);
         *pte = (struct sim_pte){
            .bo = entry->bo,
            .offset = entry->bo ? entry->offset + within : 0,
            .flags = entry->flags,
         };
         return true;
      }
      table = entry->table;
   }
}

static int
table_for_each(const struct sim_pt_table *table, unsigned level, uint64_t table_va, sim_pt_fn fn,
               void *priv)
{
   for (unsigned i = 0; i < ENTRIES; i++) {
      const struct entry *entry = &table->entries[i];
      uint64_t va = table_va + i * level_size(level);
      int ret = 0;

      if (entry->kind == ENTRY_TABLE) {
         ret = table_for_each(entry->table, level - 1, va, fn, priv);
      } else if (entry->kind == ENTRY_LEAF) {
         const struct sim_pte pte = {entry->bo, entry->offset, entry->flags};
         ret = fn(priv, va, level_size(level), &pte);
      }
      if (ret)
         return ret;
   }
   return 0;
}

int
sim_pt_for_each(const struct sim_pt *pt, sim_pt_fn fn, void *priv)
{
   return table_for_each(pt->root, TOP_LEVEL, 0, fn, priv);
}

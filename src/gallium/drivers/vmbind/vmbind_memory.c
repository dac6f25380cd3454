/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See vmbind_memory.h.
 */

#include "vmbind_memory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "util/os_misc.h"

#include "vmbind_private.h"

/* Whoever maps a piece may write to all of its pages; and a piece is less than a sparse block, so that textures get
 * BOs of their own. */
#define SLAB_MIN_ORDER 12
#define SLAB_MAX_ORDER 15
#define SLAB_SIZE_B    (2u << 20)

static_assert((1u << SLAB_MAX_ORDER) < VMBIND_SPARSE_BLOCK_SIZE_B,
              "no block of a texture can be bound to what is in a slab");

struct vmbind_slab {
   struct pb_slab base;
   struct vmbind_memory *memory;
   struct vmbind_memory entries[];
};

static void
track(struct vmbind_screen *screen, struct vmbind_memory *mem)
{
   simple_mtx_lock(&screen->lock);
   list_addtail(&mem->link, &screen->memories);
   simple_mtx_unlock(&screen->lock);
}

static void
untrack(struct vmbind_screen *screen, struct vmbind_memory *mem)
{
   simple_mtx_lock(&screen->lock);
   list_del(&mem->link);
   simple_mtx_unlock(&screen->lock);
}

static struct llvmpipe_memory_allocation
to_llvmpipe(uint64_t addr_B, uint64_t size_B)
{
   return (struct llvmpipe_memory_allocation){
      .fd = -1,
      .cpu_addr = (void *)(uintptr_t)addr_B,
      .size = size_B,
      .mem_fd = -1,
      .dmabuf_fd = -1,
   };
}

/* ------------------------------------------------- the process's address space */

struct area {
   uint64_t start_B, end_B;
   uint64_t inode;
   bool writable;
   bool shared;
};

/* The next line of /proc/self/maps. */
static bool
read_area(FILE *maps, struct area *area_out)
{
   char line[4352], perms[8];
   uint64_t offset_B;
   unsigned major, minor;

   while (fgets(line, sizeof(line), maps)) {
      if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %x:%x %" SCNu64, &area_out->start_B,
                 &area_out->end_B, perms, &offset_B, &major, &minor, &area_out->inode) != 7)
         continue;

      area_out->writable = !strncmp(perms, "rw", 2);
      area_out->shared = perms[3] == 's';
      return true;
   }

   return false;
}

/* ----------------------------------------------------- a BO and its addresses */

/* Takes the reference of the BO, also when it fails.  Size 0: all of the BO. */
static int
bound_create(struct vmbind_screen *screen, struct vmb_bo *bo,
             const struct vmbind_memory_params *params, struct vmbind_memory **mem_out)
{
   /* A BO may be larger than what was asked for. */
   const uint64_t page_size_B = vmb_device_caps(screen->dev)->page_size_B;
   const uint64_t size_B =
      params->size_B ? align64(params->size_B, page_size_B) : vmb_bo_size_B(bo);
   int ret = -ENOMEM;

   struct vmbind_memory *mem = CALLOC_STRUCT(vmbind_memory);
   if (!mem)
      goto fail_bo;

   const struct vmb_range_params range_params = {
      .size_B = size_B,
      .zone = params->replayable ? VMB_ZONE_REPLAY : VMB_ZONE_GENERAL,
      .fixed_addr_B = params->addr_B,
      .name = params->name ? params->name : vmb_bo_name(bo),
   };
   ret = vmb_range_create(screen->vm, &range_params, &mem->range);
   if (ret)
      goto fail_mem;

   ret = vmb_vm_bind_sync(screen->vm,
                          &(struct vmb_bind){.range = mem->range, .size_B = size_B, .bo = bo}, 1);
   if (ret)
      goto fail_range;

   mem->bo = bo;
   mem->lp = to_llvmpipe(vmb_range_addr_B(mem->range), size_B);
   *mem_out = mem;

   return 0;

fail_range:
   vmb_range_destroy(mem->range);
fail_mem:
   FREE(mem);
fail_bo:
   vmb_bo_unref(bo);
   return ret;
}

/* Atomic for those who read there meanwhile.  For lack of memory the BO's pages stay. */
static void
copy_pages(void *ptr, uint64_t size_B)
{
   void *copy = mmap(NULL, size_B, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
   if (copy == MAP_FAILED)
      return;

   memcpy(copy, ptr, size_B);
   if (mremap(copy, size_B, size_B, MREMAP_MAYMOVE | MREMAP_FIXED, ptr) == MAP_FAILED)
      munmap(copy, size_B);
}

/* Where the application has put something else by now, or nothing, it has no use for them. */
static void
give_pages_back(const struct vmbind_memory *mem)
{
   const uint64_t start_B = (uintptr_t)mem->taken_from, end_B = start_B + mem->lp.size;
   struct area area;

   FILE *maps = fopen("/proc/self/maps", "re");
   if (!maps)
      return;

   while (read_area(maps, &area) && area.start_B < end_B) {
      const uint64_t from_B = MAX2(area.start_B, start_B), to_B = MIN2(area.end_B, end_B);

      if (from_B < to_B && area.shared && area.inode == mem->taken_inode)
         copy_pages((void *)(uintptr_t)from_B, to_B - from_B);
   }
   fclose(maps);
}

static void
bound_destroy(struct vmbind_memory *mem)
{
   if (mem->taken_from)
      give_pages_back(mem);
   vmb_range_destroy(mem->range);
   vmb_bo_unref(mem->bo);
   FREE(mem);
}

static int
bound_create_new(struct vmbind_screen *screen, const struct vmbind_memory_params *params,
                 struct vmbind_memory **mem_out)
{
   struct vmb_bo *bo;

   int ret = vmb_bo_create(screen->dev,
                           &(struct vmb_bo_params){
                              .size_B = params->size_B,
                              .vm = params->shareable ? NULL : screen->vm,
                              .cached = true,
                              .name = params->name,
                           },
                           &bo);
   return ret ? ret : bound_create(screen, bo, params, mem_out);
}

/* ------------------------------------------------------------------- slabs */

static struct pb_slab *
slab_alloc(void *priv, UNUSED unsigned heap, unsigned entry_size_B, unsigned group_index)
{
   struct vmbind_screen *screen = priv;
   const unsigned count = SLAB_SIZE_B / entry_size_B;
   const struct vmbind_memory_params params = {.size_B = SLAB_SIZE_B, .name = "slab"};

   struct vmbind_slab *slab = CALLOC(1, sizeof(*slab) + count * sizeof(slab->entries[0]));
   if (!slab)
      return NULL;

   if (bound_create_new(screen, &params, &slab->memory)) {
      FREE(slab);
      return NULL;
   }

   slab->base.num_entries = slab->base.num_free = count;
   slab->base.group_index = group_index;
   slab->base.entry_size = entry_size_B;
   list_inithead(&slab->base.free);
   for (unsigned i = 0; i < count; i++) {
      struct vmbind_memory *mem = &slab->entries[i];

      mem->lp = to_llvmpipe(vmbind_memory_addr_B(slab->memory) + (uint64_t)i * entry_size_B,
                            entry_size_B);
      mem->slab_entry.slab = &slab->base;
      list_addtail(&mem->slab_entry.head, &slab->base.free);
   }

   return &slab->base;
}

static void
slab_free(UNUSED void *priv, struct pb_slab *base)
{
   struct vmbind_slab *slab = container_of(base, struct vmbind_slab, base);

   bound_destroy(slab->memory);
   FREE(slab);
}

/* Who frees memory has waited for the GPU. */
static bool
slab_can_reclaim(UNUSED void *priv, UNUSED struct pb_slab_entry *entry)
{
   return true;
}

static int
slab_memory_create(struct vmbind_screen *screen, uint64_t size_B, struct vmbind_memory **mem_out)
{
   struct pb_slab_entry *entry = pb_slab_alloc(&screen->slabs, size_B, 0);
   if (!entry)
      return -ENOMEM;

   struct vmbind_memory *mem = container_of(entry, struct vmbind_memory, slab_entry);
   /* New memory is zero, as the kernel's is. */
   if (mem->used)
      memset(mem->lp.cpu_addr, 0, mem->lp.size);
   mem->used = true;
   *mem_out = mem;

   return 0;
}

static struct vmbind_slab *
slab_of(const struct vmbind_memory *mem)
{
   return mem->slab_entry.slab ? container_of(mem->slab_entry.slab, struct vmbind_slab, base)
                               : NULL;
}

/* ------------------------------------------------------------------ memory */

int
vmbind_memory_create(struct pipe_screen *pscreen, const struct vmbind_memory_params *params,
                     struct vmbind_memory **mem_out)
{
   struct vmbind_screen *screen = vmbind_screen(pscreen);
   assert(params->size_B > 0);
   const bool small = params->size_B <= 1u << SLAB_MAX_ORDER && !params->shareable &&
                      !params->replayable && !params->addr_B;

   int ret = small ? slab_memory_create(screen, params->size_B, mem_out)
                   : bound_create_new(screen, params, mem_out);
   if (ret)
      return ret;

   track(screen, *mem_out);
   return 0;
}

int
vmbind_memory_import(struct pipe_screen *pscreen, int dmabuf_fd, struct vmbind_memory **mem_out)
{
   struct vmbind_screen *screen = vmbind_screen(pscreen);
   struct vmb_bo *bo;

   int ret = vmb_bo_import(screen->dev, dmabuf_fd, &bo);
   if (ret)
      return ret;

   ret = bound_create(screen, bo, &(struct vmbind_memory_params){0}, mem_out);
   if (ret)
      return ret;

   track(screen, *mem_out);
   return 0;
}

/* Whether the addresses are memory of this process alone, with no file behind it. */
static bool
is_private_memory(uint64_t start_B, uint64_t end_B)
{
   struct area area;

   FILE *maps = fopen("/proc/self/maps", "re");
   if (!maps)
      return false;

   while (start_B < end_B && read_area(maps, &area)) {
      if (area.end_B <= start_B)
         continue;
      if (area.start_B > start_B || !area.writable || area.shared || area.inode)
         break;
      start_B = area.end_B;
   }
   fclose(maps);

   return start_B >= end_B;
}

/* The file behind an address, or 0. */
static uint64_t
inode_at(const void *ptr)
{
   struct area area = {0};

   FILE *maps = fopen("/proc/self/maps", "re");
   if (!maps)
      return 0;

   while (read_area(maps, &area) && area.end_B <= (uintptr_t)ptr)
      ;
   fclose(maps);

   return area.start_B <= (uintptr_t)ptr ? area.inode : 0;
}

/* The kernel driver binds them where they are. */
static int
lend_pages(struct vmbind_screen *screen, void *ptr, uint64_t size_B, struct vmbind_memory **mem_out)
{
   const struct vmbind_memory_params params = {.size_B = size_B, .name = "host memory"};
   struct vmb_bo *bo;

   int ret = vmb_bo_create(screen->dev,
                           &(struct vmb_bo_params){
                              .size_B = size_B,
                              .vm = screen->vm,
                              .cached = true,
                              .user_ptr = ptr,
                              .name = params.name,
                           },
                           &bo);
   return ret ? ret : bound_create(screen, bo, &params, mem_out);
}

/* It cannot: a BO takes their place. */
static int
swap_pages(struct vmbind_screen *screen, void *ptr, uint64_t size_B, struct vmbind_memory **mem_out)
{
   const struct vmbind_memory_params params = {.size_B = size_B, .name = "host memory"};
   struct vmbind_memory *mem;

   if (!is_private_memory((uintptr_t)ptr, (uintptr_t)ptr + size_B))
      return -EINVAL;

   int ret = bound_create_new(screen, &params, &mem);
   if (ret)
      return ret;

   memcpy(mem->lp.cpu_addr, ptr, size_B);
   ret = vmb_bo_map_at(mem->bo, size_B, ptr);
   if (ret) {
      bound_destroy(mem);
      return ret;
   }

   mem->taken_from = ptr;
   mem->taken_inode = inode_at(ptr);
   *mem_out = mem;
   return 0;
}

int
vmbind_memory_take_pages(struct pipe_screen *pscreen, void *ptr, uint64_t size_B,
                         struct vmbind_memory **mem_out)
{
   struct vmbind_screen *screen = vmbind_screen(pscreen);
   const uint64_t start_B = (uintptr_t)ptr;
   struct vmbind_memory *mem;

   if ((start_B | size_B) % vmb_device_caps(screen->dev)->page_size_B)
      return -EINVAL;

   int ret = vmb_device_caps(screen->dev)->userptr ? lend_pages(screen, ptr, size_B, &mem)
                                                   : swap_pages(screen, ptr, size_B, &mem);
   if (ret)
      return ret;

   track(screen, mem);
   *mem_out = mem;
   return 0;
}

void
vmbind_memory_free(struct pipe_screen *pscreen, struct vmbind_memory *mem)
{
   struct vmbind_screen *screen = vmbind_screen(pscreen);

   untrack(screen, mem);
   if (slab_of(mem))
      pb_slab_free(&screen->slabs, &mem->slab_entry);
   else
      bound_destroy(mem);
}

int
vmbind_memory_export(struct vmbind_memory *mem, int *dmabuf_fd_out)
{
   return mem->bo ? vmb_bo_export(mem->bo, dmabuf_fd_out) : -EPERM;
}

uint64_t
vmbind_memory_addr_B(const struct vmbind_memory *mem)
{
   return (uintptr_t)mem->lp.cpu_addr;
}

uint64_t
vmbind_memory_size_B(const struct vmbind_memory *mem)
{
   return mem->lp.size;
}

struct vmb_bo *
vmbind_memory_bo(const struct vmbind_memory *mem)
{
   return mem->bo;
}

struct vmbind_piece
vmbind_memory_piece(const struct vmbind_memory *mem)
{
   const struct vmbind_slab *slab = slab_of(mem);

   if (!slab)
      return (struct vmbind_piece){mem->bo, 0, vmb_bo_size_B(mem->bo)};

   return (struct vmbind_piece){
      .bo = slab->memory->bo,
      .offset_B = vmbind_memory_addr_B(mem) - vmbind_memory_addr_B(slab->memory),
      .size_B = mem->lp.size,
   };
}

/* Kernel drivers map a BO from its start on, at a multiple of the GPU's pages: a piece of one is mapped with all
 * the rest of it, moved, and the rest unmapped. */
static int
map_piece_at(const struct vmbind_slab *slab, uint64_t offset_B, uint64_t size_B, void *addr)
{
   /* As much again, to align it. */
   uint8_t *const area =
      mmap(NULL, 2 * SLAB_SIZE_B, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
   if (area == MAP_FAILED)
      return -errno;

   uint8_t *const whole = (uint8_t *)(uintptr_t)align64((uintptr_t)area, SLAB_SIZE_B);
   int ret = vmb_bo_map_at(slab->memory->bo, SLAB_SIZE_B, whole);
   if (!ret && mremap(whole + offset_B, size_B, size_B, MREMAP_MAYMOVE | MREMAP_FIXED, addr) ==
                  MAP_FAILED)
      ret = -errno;

   /* Where the piece was is a gap by now, in which others may have mapped something. */
   munmap(area, whole - area + offset_B);
   if (ret)
      munmap(whole + offset_B, size_B);
   munmap(whole + offset_B + size_B, area + 2 * SLAB_SIZE_B - (whole + offset_B + size_B));
   return ret;
}

int64_t
vmbind_memory_map_at(struct vmbind_memory *mem, uint64_t size_B, void *addr)
{
   const struct vmbind_slab *slab = slab_of(mem);
   uint64_t page_size_B;

   if (mem->bo) {
      const int ret = vmb_bo_map_at(mem->bo, mem->lp.size, addr);
      return ret ? ret : (int64_t)mem->lp.size;
   }
   if (!slab)
      return -EPERM;

   os_get_page_size(&page_size_B);
   size_B = align64(size_B, page_size_B);
   assert(size_B <= mem->lp.size);
   const int ret = map_piece_at(slab, vmbind_memory_piece(mem).offset_B, size_B, addr);
   return ret ? ret : (int64_t)size_B;
}

struct pipe_memory_allocation *
vmbind_memory_to_pipe(struct vmbind_memory *mem)
{
   return (struct pipe_memory_allocation *)&mem->lp;
}

struct vmbind_memory *
vmbind_memory_from_pipe(struct pipe_memory_allocation *pmem)
{
   return container_of((struct llvmpipe_memory_allocation *)pmem, struct vmbind_memory, lp);
}

/* ---------------------------------------------------------------- the screen's part */

int
vmbind_memory_init(struct vmbind_screen *screen)
{
   list_inithead(&screen->memories);
   return pb_slabs_init(&screen->slabs, SLAB_MIN_ORDER, SLAB_MAX_ORDER, 1, false, screen,
                        slab_can_reclaim, slab_alloc, slab_free)
             ? 0
             : -ENOMEM;
}

unsigned
vmbind_memory_finish(struct vmbind_screen *screen)
{
   unsigned count = 0;

   list_for_each_entry_safe (struct vmbind_memory, mem, &screen->memories, link) {
      list_del(&mem->link);
      if (slab_of(mem))
         pb_slab_free(&screen->slabs, &mem->slab_entry);
      else
         bound_destroy(mem);
      count++;
   }
   pb_slabs_deinit(&screen->slabs);

   return count;
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The host's MMU as the GPU's; see the header. Must know nothing of VMs.
 *
 * A GPU unmap puts PROT_NONE back and never unmaps: another thread's mmap would land in the hole,
 * and the next GPU map on top of it.
 */

#include "sim_mmu.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "util/macros.h"
#include "util/u_atomic.h"

#include "sim_gem.h"
#include "sim_libc.h"

/* A program that wants addresses for a GPU reserves a few windows, not thousands. */
#define MAX_WINDOWS 1024

/* Below this, a reservation is a thread's guard page or the like. */
#define MIN_WINDOW_B (64 * 1024)

struct window {
   uint64_t start;
   uint64_t end;
   bool dontdump;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct window windows[MAX_WINDOWS];
static unsigned window_count;

static void take_reserve_locked(void);

static void
add_window_locked(struct window window)
{
   if (window_count == MAX_WINDOWS) {
      sim_log("more than %u reserved address ranges; the rest is not mirrored", MAX_WINDOWS);
      return;
   }
   windows[window_count] = window;
   p_atomic_inc(&window_count);
}

/* Takes [start, end) out of all windows. */
static void
forget_locked(uint64_t start, uint64_t end)
{
   for (unsigned i = 0; i < window_count;) {
      struct window window = windows[i];

      if (window.end <= start || window.start >= end) {
         i++;
         continue;
      }

      windows[i] = windows[window_count - 1];
      window_count--;
      if (window.start < start)
         add_window_locked((struct window){window.start, start, window.dontdump});
      if (window.end > end)
         add_window_locked((struct window){end, window.end, window.dontdump});
   }
}

void
sim_mmu_reserved(void *addr, uint64_t size_B)
{
   uint64_t start = (uintptr_t)addr;

   if (size_B < MIN_WINDOW_B)
      return;
   pthread_mutex_lock(&lock);
   forget_locked(start, start + size_B);
   add_window_locked((struct window){start, start + size_B, false});
   take_reserve_locked();
   pthread_mutex_unlock(&lock);
}

void
sim_mmu_dontdump(void *addr, uint64_t size_B)
{
   uint64_t start = (uintptr_t)addr;

   pthread_mutex_lock(&lock);
   for (unsigned i = 0; i < window_count; i++) {
      if (windows[i].start >= start && windows[i].end <= start + size_B)
         windows[i].dontdump = true;
   }
   pthread_mutex_unlock(&lock);
}

int
sim_mmu_munmap(void *addr, uint64_t size_B)
{
   uint64_t start = (uintptr_t)addr;

   /* Together, or a worker could map into what is just going away. */
   pthread_mutex_lock(&lock);
   int ret = sim_libc()->munmap(addr, size_B);
   if (ret == 0)
      forget_locked(start, start + size_B);
   pthread_mutex_unlock(&lock);
   return ret;
}

void
sim_mmu_lock(void)
{
   pthread_mutex_lock(&lock);
}

void
sim_mmu_unlock(void)
{
   pthread_mutex_unlock(&lock);
}

bool
sim_mmu_is_reserved(uint64_t va)
{
   unsigned count = p_atomic_read(&window_count);

   for (unsigned i = 0; i < count; i++) {
      if (va >= windows[i].start && va < windows[i].end)
         return true;
   }
   return false;
}

static int
map_failed(void)
{
   static bool told;

   if (errno == ENOMEM && !p_atomic_xchg(&told, true)) {
      sim_log("the host gives the process no more map areas: raise it with "
              "'sysctl -w vm.max_map_count=1048576', or bind larger ranges");
   }
   return -ENOMEM;
}

typedef int (*range_fn)(const struct window *window, uint64_t va, uint64_t size_B, void *priv);

static int
for_each_reserved_part(uint64_t va, uint64_t size_B, range_fn fn, void *priv)
{
   int ret = 0;

   pthread_mutex_lock(&lock);
   for (unsigned i = 0; i < window_count && !ret; i++) {
      uint64_t start = MAX2(va, windows[i].start);
      uint64_t end = MIN2(va + size_B, windows[i].end);

      if (start < end)
         ret = fn(&windows[i], start, end - start, priv);
   }
   pthread_mutex_unlock(&lock);
   return ret;
}

struct map_request {
   const struct sim_bo *bo;
   uint64_t va;
   uint64_t offset;
   int prot;
};

static int
map_part(UNUSED const struct window *window, uint64_t va, uint64_t size_B, void *priv)
{
   const struct map_request *req = priv;
   int flags = MAP_FIXED | (req->bo ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
   int fd = req->bo ? req->bo->fd : -1;
   uint64_t offset = req->bo ? req->offset + (va - req->va) : 0;

   void *map = sim_libc()->mmap((void *)(uintptr_t)va, size_B, req->prot, flags, fd, offset);
   return map == MAP_FAILED ? map_failed() : 0;
}

static bool mmu_unseen;

void
sim_mmu_set_unseen(bool unseen)
{
   p_atomic_set(&mmu_unseen, unseen);
}

bool
sim_mmu_is_shown(uint64_t va, uint64_t size_B)
{
   bool is_shown = false;

   if (p_atomic_read(&mmu_unseen))
      return false;
   pthread_mutex_lock(&lock);
   for (unsigned i = 0; i < window_count && !is_shown; i++)
      is_shown = va < windows[i].end && windows[i].start < va + size_B;
   pthread_mutex_unlock(&lock);
   return is_shown;
}

int
sim_mmu_map(uint64_t va, uint64_t size_B, const struct sim_bo *bo, uint64_t offset, bool read_only)
{
   struct map_request req = {
      .bo = bo,
      .va = va,
      .offset = offset,
      .prot = !bo || read_only ? PROT_READ : PROT_READ | PROT_WRITE,
   };
   if (p_atomic_read(&mmu_unseen))
      return 0;
   return for_each_reserved_part(va, size_B, map_part, &req);
}

int
sim_mmu_map_scratch(uint64_t va, uint64_t size_B)
{
   struct map_request req = {.va = va, .prot = PROT_READ | PROT_WRITE};

   return for_each_reserved_part(va, size_B, map_part, &req);
}

/* Map areas kept back, because a GPU unmap never fails for want of memory, and even a mapping that
 * joins many areas needs one while it is made.
 */
#define RESERVE_AREAS 32

static char *reserve;

static void
take_reserve_locked(void)
{
   const size_t size = RESERVE_AREAS * 4096;

   if (reserve)
      return;
   void *map = sim_libc()->mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
   if (map == MAP_FAILED)
      return;
   reserve = map;
   /* Neighbours of different protection do not merge. If it is not possible now, less is reserved. */
   for (unsigned i = 0; i < RESERVE_AREAS; i += 2)
      mprotect(reserve + i * 4096, 4096, PROT_READ);
}

static bool
give_reserve_locked(void)
{
   if (!reserve)
      return false;
   sim_libc()->munmap(reserve, RESERVE_AREAS * 4096);
   reserve = NULL;
   return true;
}

static int
unmap_part(const struct window *window, uint64_t va, uint64_t size_B, UNUSED void *priv)
{
   void *addr = (void *)(uintptr_t)va;
   const int flags = MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
   void *map = sim_libc()->mmap(addr, size_B, PROT_NONE, flags, -1, 0);

   if (map == MAP_FAILED && give_reserve_locked())
      map = sim_libc()->mmap(addr, size_B, PROT_NONE, flags, -1, 0);
   if (map == MAP_FAILED)
      return map_failed();
   /* Like its neighbours, or the host could not merge the two into one map area. */
   if (window->dontdump)
      sim_libc()->madvise(addr, size_B, MADV_DONTDUMP);
   take_reserve_locked();
   return 0;
}

int
sim_mmu_unmap(uint64_t va, uint64_t size_B)
{
   return for_each_reserved_part(va, size_B, unmap_part, NULL);
}

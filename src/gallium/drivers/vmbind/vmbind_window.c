/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See vmbind_window.h.
 */

#include "vmbind_window.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/macros.h"
#include "util/u_atomic.h"
#include "util/u_math.h"

/* What one device can hold at most; less where the process or the GPU has less. */
#define WINDOW_SIZE_MAX_B (1ull << 40)
#define WINDOW_SIZE_MIN_B (16ull << 20)
#define WINDOW_ALIGN_B    (2ull << 20)

/* Those that there are now. */
static unsigned live_count;

static bool
is_inside(const struct vmb_caps *caps, uint64_t start_B, uint64_t size_B)
{
   return start_B >= caps->va_start_B && size_B <= caps->va_range_B &&
          start_B - caps->va_start_B <= caps->va_range_B - size_B;
}

static uint64_t
reserve_at(uint64_t addr_B, uint64_t size_B, int flags)
{
   void *map = mmap((void *)(uintptr_t)addr_B, size_B, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
   return map == MAP_FAILED ? 0 : (uint64_t)(uintptr_t)map;
}

static bool
reserve_there(uint64_t addr_B, uint64_t size_B)
{
   const uint64_t start_B = reserve_at(addr_B, size_B, MAP_FIXED_NOREPLACE);

   /* A kernel older than the flag takes the address for a hint. */
   if (start_B && start_B != addr_B)
      munmap((void *)(uintptr_t)start_B, size_B);
   return start_B == addr_B;
}

/* The same addresses in each run, so that those of one run can be asked for in another: the first
 * free place in a part of the address space where hosts put nothing by themselves. */
#define FIXED_START_B (16ull << 40)
#define FIXED_END_B   (64ull << 40)

static uint64_t
reserve_fixed(const struct vmb_caps *caps, uint64_t size_B)
{
   for (uint64_t addr_B = FIXED_START_B; addr_B < FIXED_END_B; addr_B += size_B) {
      if (!is_inside(caps, addr_B, size_B))
         return 0;
      if (reserve_there(addr_B, size_B))
         return addr_B;
   }

   return 0;
}

/* GPUs with small address spaces: look for room from the bottom up. */
static uint64_t
reserve_low(const struct vmb_caps *caps, uint64_t size_B)
{
   const uint64_t end_B = caps->va_start_B + caps->va_range_B;
   uint64_t addr_B = align64(MAX2(caps->va_start_B, WINDOW_ALIGN_B), WINDOW_ALIGN_B);

   for (; is_inside(caps, addr_B, size_B) && addr_B < end_B; addr_B += size_B / 2) {
      if (reserve_there(addr_B, size_B))
         return addr_B;
   }

   return 0;
}

/* There may be many devices in a process.  All these shares together are two thirds of the whole at
 * most, so the last of them finds room too. */
static uint64_t
next_share_B(const struct vmb_caps *caps)
{
   const uint64_t n = p_atomic_read(&live_count) + 2;
   const uint64_t share_B = MAX2(caps->va_range_B / (n * n), WINDOW_SIZE_MIN_B);

   return MIN2(1ull << util_logbase2_64(share_B), WINDOW_SIZE_MAX_B);
}

int
vmbind_window_reserve(const struct vmb_caps *caps, struct vmbind_window *window_out)
{
   for (uint64_t size_B = next_share_B(caps); size_B >= WINDOW_SIZE_MIN_B; size_B /= 2) {
      uint64_t start_B = reserve_fixed(caps, size_B);
      if (!start_B)
         start_B = reserve_at(0, size_B, 0);
      if (start_B && !is_inside(caps, start_B, size_B)) {
         munmap((void *)(uintptr_t)start_B, size_B);
         start_B = reserve_low(caps, size_B);
      }
      if (!start_B)
         continue;

      /* Best effort: without it a core dump is large, and nothing else. */
      madvise((void *)(uintptr_t)start_B, size_B, MADV_DONTDUMP);

      p_atomic_inc(&live_count);
      *window_out = (struct vmbind_window){.start_B = start_B, .size_B = size_B};
      return 0;
   }

   return -ENOSPC;
}

void
vmbind_window_release(const struct vmbind_window *window)
{
   munmap((void *)(uintptr_t)window->start_B, window->size_B);
   p_atomic_dec(&live_count);
}

/* Whether the CPU finds the bytes at the address.  The kernel reads for us: an address with nothing
 * behind it is an error and not a signal. */
static bool
cpu_sees(uint64_t addr_B, const void *bytes, size_t size)
{
   char seen[16];
   int fds[2];
   bool same = false;

   assert(size <= sizeof(seen));

   if (pipe2(fds, O_CLOEXEC | O_NONBLOCK))
      return false;

   if (write(fds[1], (const void *)(uintptr_t)addr_B, size) == (ssize_t)size &&
       read(fds[0], seen, size) == (ssize_t)size)
      same = !memcmp(seen, bytes, size);

   close(fds[0]);
   close(fds[1]);

   return same;
}

int
vmbind_window_probe(struct vmb_vm *vm)
{
   static const char pattern[16] = "vmbind was here";
   struct vmb_device *dev = vmb_vm_device(vm);
   const uint32_t page_size_B = vmb_device_caps(dev)->page_size_B;
   struct vmb_bo *bo;
   struct vmb_range *range;
   void *map;
   int ret;

   ret = vmb_bo_create(
      dev,
      &(struct vmb_bo_params){.size_B = page_size_B, .vm = vm, .cached = true, .name = "probe"},
      &bo);
   if (ret)
      return ret;

   ret = vmb_bo_map(bo, &map);
   if (ret)
      goto fail_bo;
   memcpy(map, pattern, sizeof(pattern));

   ret = vmb_range_create(vm, &(struct vmb_range_params){.size_B = page_size_B, .name = "probe"},
                          &range);
   if (ret)
      goto fail_bo;

   ret =
      vmb_vm_bind_sync(vm, &(struct vmb_bind){.range = range, .size_B = page_size_B, .bo = bo}, 1);
   if (ret)
      goto fail_range;

   if (!cpu_sees(vmb_range_addr_B(range), pattern, sizeof(pattern)))
      ret = -ENXIO;

fail_range:
   vmb_range_destroy(range);
fail_bo:
   vmb_bo_unref(bo);
   return ret;
}

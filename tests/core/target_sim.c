/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The behaviour suite's target: the simulator, linked in.  DRM_SIM_KMD chooses the kernel driver.
 */

#include "target.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "drm_sim.h"
#include "util/macros.h"

#define NODE "/dev/dri/renderD128"

int
target_open(void)
{
   return open(NODE, O_RDWR | O_CLOEXEC);
}

/* ------------------------------------------------------------------ fences
 *
 * Those of software timelines (the kernel's drivers/dma-buf/sw_sync.c). */

struct sw_sync_create_fence {
   uint32_t value;
   char name[32];
   int32_t fence;
};

#define SW_SYNC_CREATE_FENCE _IOWR('W', 0, struct sw_sync_create_fence)
#define SW_SYNC_INC          _IOW('W', 1, uint32_t)

static struct {
   int fence_fd, timeline_fd;
} helds[8];

int
target_fence_create(void)
{
   for (unsigned i = 0; i < ARRAY_SIZE(helds); i++) {
      struct sw_sync_create_fence args = { .value = 1 };

      if (helds[i].timeline_fd)
         continue;
      helds[i].timeline_fd = open("/sys/kernel/debug/sync/sw_sync", O_RDWR | O_CLOEXEC);
      if (helds[i].timeline_fd < 0 || ioctl(helds[i].timeline_fd, SW_SYNC_CREATE_FENCE, &args)) {
         fprintf(stderr, "the simulator makes no fence\n");
         abort();
      }
      helds[i].fence_fd = args.fence;
      return args.fence;
   }
   return -1;
}

void
target_fence_signal(int fence_fd)
{
   uint32_t step = 1;

   for (unsigned i = 0; i < ARRAY_SIZE(helds); i++) {
      if (!helds[i].timeline_fd || helds[i].fence_fd != fence_fd)
         continue;
      ioctl(helds[i].timeline_fd, SW_SYNC_INC, &step);
      close(helds[i].timeline_fd);
      helds[i].timeline_fd = 0;
      return;
   }
   fprintf(stderr, "no such fence\n");
   abort();
}

/* ------------------------------------------------------------------ oracle */

struct collect {
   struct target_mapping *maps;
   size_t count, capacity;
};

static int
collect(void *priv, const struct drm_sim_mapping *m)
{
   struct collect *c = priv;

   if (c->count == c->capacity) {
      c->capacity = MAX2(64, c->capacity * 2);
      c->maps = realloc(c->maps, c->capacity * sizeof(*c->maps));
   }
   c->maps[c->count++] = (struct target_mapping){
      .addr_B = m->va,
      .range_B = m->range_B,
      .handle = m->flags & (DRM_SIM_MAPPING_NULL | DRM_SIM_MAPPING_SPARSE) ? 0 : m->handle,
      .offset_B = m->bo_offset_B,
   };
   return 0;
}

bool
target_get_tree(int drm_fd, uint32_t kernel_vm, struct target_mapping **maps_out,
                size_t *count_out)
{
   struct collect c = { 0 };

   if (drm_sim_for_each_gpuva(drm_fd, kernel_vm, collect, &c))
      abort();
   *maps_out = c.maps;
   *count_out = c.count;
   return true;
}

bool
target_has_pages(void)
{
   return true;
}

/* Before 3.64 amdgpu does not tell when a bind has reached the page tables: it only makes the GPU wait for
 * that, and so do we. */
static bool
binds_end_unseen(void)
{
   const char *kmd = getenv("DRM_SIM_KMD");

   return kmd && !strncmp(kmd, "amdgpu-", 7) && strcmp(kmd, "amdgpu-3.64") < 0;
}

bool
target_get_page(int drm_fd, uint32_t kernel_vm, uint64_t addr_B, uint32_t *handle_out,
                uint64_t *offset_B_out)
{
   struct drm_sim_mapping m;

   if (binds_end_unseen())
      drm_sim_wait_idle(drm_fd, kernel_vm);
   if (drm_sim_lookup(drm_fd, kernel_vm, addr_B, &m))
      return false;
   *handle_out = m.flags & (DRM_SIM_MAPPING_NULL | DRM_SIM_MAPPING_SPARSE) ? 0 : m.handle;
   *offset_B_out = m.bo_offset_B;
   return true;
}

bool
target_read(int drm_fd, uint32_t kernel_vm, uint64_t addr_B, void *data, uint64_t size_B)
{
   return drm_sim_read(drm_fd, kernel_vm, addr_B, data, size_B) == 0;
}

bool
target_has_memory(void)
{
   return true;
}

void
target_get_pages(int drm_fd, uint32_t kernel_vm, uint64_t addr_B, uint64_t end_B,
                 struct target_page **pages_out, size_t *count_out)
{
   *pages_out = malloc((end_B - addr_B) / 4096 * sizeof(**pages_out));
   *count_out = 0;
   for (; addr_B < end_B; addr_B += 4096) {
      struct target_page page = { .addr_B = addr_B };

      if (target_get_page(drm_fd, kernel_vm, addr_B, &page.handle, &page.offset_B))
         (*pages_out)[(*count_out)++] = page;
   }
}

/* ------------------------------------------------------------------ faults */

/* The ioctls that bind. */
static const char *const bind_ioctls[][3] = {
   { "amdgpu", "gem_va" },
   { "powervr", "vm_map", "vm_unmap" },
};

/* More is for good. */
#define FEW_TIMES 16

bool
target_fail_binds(unsigned n, unsigned times, int err)
{
   const char *kmd = getenv("DRM_SIM_KMD");
   const char *const *kinds = (const char *const[]){ "vm_bind", NULL };
   char spec[512];
   int length = 0;

   for (unsigned i = 0; kmd && i < ARRAY_SIZE(bind_ioctls); i++) {
      if (!strncmp(kmd, bind_ioctls[i][0], strlen(bind_ioctls[i][0])))
         kinds = &bind_ioctls[i][1];
   }
   /* Each is counted on its own; once maps fail for good, unmaps do as well. */
   for (unsigned i = 0; i < 2 && kinds[i]; i++) {
      for (unsigned k = n; times <= FEW_TIMES && k < n + times; k++)
         length += snprintf(spec + length, sizeof(spec) - length, "%s%s:%u=%d", length ? "," : "", kinds[i], k, err);
   }
   for (unsigned i = 0; i < 2 && kinds[i] && times > FEW_TIMES; i++) {
      length += snprintf(spec + length, sizeof(spec) - length, "%s%s:%u+=%d", i ? "," : "", kinds[i],
                         i ? 1 : n, err);
   }
   return drm_sim_set_fault(spec) == 0;
}

bool
target_fail_op(unsigned n, int err)
{
   char spec[64];

   snprintf(spec, sizeof(spec), "op:%u=%d", n, err);
   return drm_sim_set_fault(spec) == 0;
}

bool
target_fail_jobs(unsigned n, int err)
{
   char spec[64];

   snprintf(spec, sizeof(spec), "job:%u+=%d", n, err);
   return drm_sim_set_fault(spec) == 0;
}

bool
target_delay_ioctls(unsigned us)
{
   char spec[64];

   snprintf(spec, sizeof(spec), "delay:%u", us);
   return drm_sim_set_fault(spec) == 0;
}

bool
target_limit_memory(uint64_t size_B)
{
   char spec[64];

   snprintf(spec, sizeof(spec), "mem:%llu", (unsigned long long)size_B);
   return drm_sim_set_fault(spec) == 0;
}

void
target_fail_nothing(void)
{
   drm_sim_set_fault(NULL);
}

unsigned
target_complaints(void)
{
   return 0;
}

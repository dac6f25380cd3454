/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The behaviour suite's target: the simulator, linked in.  DRM_SIM_KMD chooses the kernel driver.
 */

#include "target.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <xf86drm.h>

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
 * The out-fence of a bind of another open file, whose VM is held. */

static struct held {
   int fence_fd;
   int drm_fd;
   struct vmb_device *dev;
   struct vmb_vm *vm;
   struct vmb_queue *queue;
   struct vmb_range *range;
   struct vmb_bo *bo;
} helds[8];

int
target_fence_create(void)
{
   struct held *held = NULL;
   uint32_t syncobj;

   for (unsigned i = 0; i < ARRAY_SIZE(helds) && !held; i++)
      held = helds[i].dev ? NULL : &helds[i];
   if (!held)
      return -1;

   held->drm_fd = target_open();
   if (vmb_device_create(&(struct vmb_device_params){ .drm_fd = held->drm_fd }, &held->dev) ||
       vmb_vm_create(held->dev, &(struct vmb_vm_params){ 0 }, &held->vm) ||
       vmb_queue_create(held->vm, &held->queue) ||
       vmb_range_create(held->vm, &(struct vmb_range_params){ .size_B = 1 }, &held->range) ||
       vmb_bo_create(held->dev, &(struct vmb_bo_params){ .size_B = 1, .vm = held->vm },
                     &held->bo) ||
       drmSyncobjCreate(held->drm_fd, 0, &syncobj) ||
       drm_sim_hold(held->drm_fd, vmb_vm_kernel_id(held->vm)) ||
       vmb_queue_submit(held->queue,
                        &(struct vmb_submit){
                           .binds =
                              &(struct vmb_bind){
                                 .range = held->range,
                                 .size_B = vmb_range_size_B(held->range),
                                 .bo = held->bo,
                              },
                           .bind_count = 1,
                           .signals = &(struct vmb_sync){ syncobj, 0 },
                           .signal_count = 1,
                        },
                        NULL) ||
       drmSyncobjExportSyncFile(held->drm_fd, syncobj, &held->fence_fd)) {
      fprintf(stderr, "the simulator makes no fence\n");
      abort();
   }
   drmSyncobjDestroy(held->drm_fd, syncobj);
   return held->fence_fd;
}

void
target_fence_signal(int fence_fd)
{
   for (unsigned i = 0; i < ARRAY_SIZE(helds); i++) {
      struct held *held = &helds[i];

      if (!held->dev || held->fence_fd != fence_fd)
         continue;
      drm_sim_release(held->drm_fd, vmb_vm_kernel_id(held->vm));
      vmb_range_destroy(held->range);
      vmb_bo_unref(held->bo);
      vmb_queue_destroy(held->queue);
      vmb_vm_destroy(held->vm);
      vmb_device_destroy(held->dev);
      close(held->drm_fd);
      held->dev = NULL;
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

bool
target_get_page(int drm_fd, uint32_t kernel_vm, uint64_t addr_B, uint32_t *handle_out,
                uint64_t *offset_B_out)
{
   struct drm_sim_mapping m;

   if (drm_sim_lookup(drm_fd, kernel_vm, addr_B, &m))
      return false;
   *handle_out = m.flags & (DRM_SIM_MAPPING_NULL | DRM_SIM_MAPPING_SPARSE) ? 0 : m.handle;
   *offset_B_out = m.bo_offset_B;
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

bool
target_fail_binds(unsigned n, unsigned times, int err)
{
   char spec[64];

   snprintf(spec, sizeof(spec), "vm_bind:%u%s=%d", n, times > 1 ? "+" : "", err);
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

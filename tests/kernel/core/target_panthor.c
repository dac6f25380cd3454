/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The behaviour suite's target: the real panthor, in the guest of scripts/test-kernel.  Must not know
 * of the simulator.
 */

#include "tests/core/target.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/dma-buf.h>
#include <xf86drm.h>
#include <xf86drmMode.h>

#include "drm-uapi/panthor_drm.h"
#include "tests/kernel/uapi/inspect.h"
#include "util/macros.h"

#define NODE "/dev/dri/renderD128"

/* ---------------------------------------------------------------------- node */

int
target_open(void)
{
   return open(NODE, O_RDWR | O_CLOEXEC);
}

static bool
vm_exists(int drm_fd, uint32_t kernel_vm)
{
   struct drm_panthor_vm_get_state state = { .vm_id = kernel_vm };

   return drmIoctl(drm_fd, DRM_IOCTL_PANTHOR_VM_GET_STATE, &state) == 0;
}

/* The kernel lists the VMs of all files in order of creation, without their numbers.  A file numbers its
 * own from 1 in the same order; those of the file that a test looks at are the latest. */
static unsigned
vm_index(int drm_fd, uint32_t kernel_vm)
{
   unsigned later = 0;

   while (vm_exists(drm_fd, kernel_vm + later + 1))
      later++;
   return inspect_vm_count() - 1 - later;
}

/* -------------------------------------------------------------------- fences
 *
 * Those of vgem, a driver without hardware whose fences the process signals.  They end by themselves
 * after ten seconds. */

struct vgem_fence_attach {
   uint32_t handle;
   uint32_t flags;
   uint32_t out_fence;
   uint32_t pad;
};

struct vgem_fence_signal {
   uint32_t fence;
   uint32_t flags;
};

#define VGEM_FENCE_WRITE        1
#define VGEM_IOCTL_FENCE_ATTACH DRM_IOWR(DRM_COMMAND_BASE + 1, struct vgem_fence_attach)
#define VGEM_IOCTL_FENCE_SIGNAL DRM_IOW(DRM_COMMAND_BASE + 2, struct vgem_fence_signal)

static struct {
   int sync_file;
   uint32_t fence;
} fences[16];
static unsigned num_fences;

static int
open_vgem(void)
{
   char path[32];

   for (unsigned i = 0; i < 8; i++) {
      snprintf(path, sizeof(path), "/dev/dri/card%u", i);
      const int fd = open(path, O_RDWR | O_CLOEXEC);
      drmVersionPtr version = fd >= 0 ? drmGetVersion(fd) : NULL;
      const bool is_vgem = version && strcmp(version->name, "vgem") == 0;

      drmFreeVersion(version);
      if (is_vgem)
         return fd;
      if (fd >= 0)
         close(fd);
   }
   return -1;
}

static int
vgem_fd(void)
{
   static int fd = -1;

   if (fd < 0)
      fd = open_vgem();
   return fd;
}

int
target_fence_create(void)
{
   struct vgem_fence_attach attach = { .flags = VGEM_FENCE_WRITE };
   struct dma_buf_export_sync_file export = { .flags = DMA_BUF_SYNC_READ };
   const int vgem = vgem_fd();
   uint32_t handle, pitch;
   uint64_t size_B;
   int dmabuf;

   if (vgem < 0 || num_fences == ARRAY_SIZE(fences))
      return -1;
   if (drmModeCreateDumbBuffer(vgem, 1024, 1, 32, 0, &handle, &pitch, &size_B))
      return -1;
   attach.handle = handle;
   if (drmIoctl(vgem, VGEM_IOCTL_FENCE_ATTACH, &attach) ||
       drmPrimeHandleToFD(vgem, handle, DRM_CLOEXEC, &dmabuf))
      return -1;
   const int ret = ioctl(dmabuf, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &export);
   close(dmabuf);
   drmCloseBufferHandle(vgem, handle);
   if (ret)
      return -1;

   fences[num_fences].sync_file = export.fd;
   fences[num_fences].fence = attach.out_fence;
   num_fences++;
   return export.fd;
}

void
target_fence_signal(int fence_fd)
{
   for (unsigned i = 0; i < num_fences; i++) {
      if (fences[i].sync_file != fence_fd)
         continue;
      struct vgem_fence_signal signal = { .fence = fences[i].fence };
      if (drmIoctl(vgem_fd(), VGEM_IOCTL_FENCE_SIGNAL, &signal))
         perror("vgem: a fence that is late");
      fences[i] = fences[--num_fences];
      return;
   }
   fprintf(stderr, "no such fence\n");
   abort();
}

/* -------------------------------------------------------------------- oracle */

/* GEM handles are small numbers, given out from 1. */
#define MAX_HANDLE 64

struct names {
   uint64_t objects[MAX_HANDLE];
};

static void
read_names(int drm_fd, struct names *names)
{
   for (uint32_t handle = 1; handle < MAX_HANDLE; handle++)
      names->objects[handle] = inspect_object(drm_fd, handle);
}

/* 0 for an object that the process has no handle of: the kernel's own, behind sparse mappings. */
static uint32_t
handle_of(const struct names *names, uint64_t object)
{
   for (uint32_t handle = 1; handle < MAX_HANDLE; handle++)
      if (names->objects[handle] == object)
         return handle;
   return 0;
}

bool
target_get_tree(int drm_fd, uint32_t kernel_vm, struct target_mapping **maps_out,
                size_t *count_out)
{
   struct inspect_mapping *found;
   struct names names = { 0 };
   const int count = inspect_tree(vm_index(drm_fd, kernel_vm), &found);

   if (count < 0) {
      fprintf(stderr, "the kernel does not show the VM\n");
      abort();
   }
   read_names(drm_fd, &names);
   *maps_out = calloc(MAX2(count, 1), sizeof(**maps_out));
   *count_out = count;
   for (int i = 0; i < count; i++) {
      (*maps_out)[i] = (struct target_mapping){
         .addr_B = found[i].addr_B,
         .range_B = found[i].range_B,
         .handle = handle_of(&names, found[i].object),
         .offset_B = found[i].offset_B,
      };
   }
   free(found);
   return true;
}

/* The walk shows VMs on which a job has run; those of the suite have none. */
bool
target_has_pages(void)
{
   return false;
}

bool
target_get_page(int drm_fd, uint32_t kernel_vm, uint64_t addr_B, uint32_t *handle_out,
                uint64_t *offset_B_out)
{
   (void)drm_fd, (void)kernel_vm, (void)addr_B, (void)handle_out, (void)offset_B_out;
   return false;
}

/* -------------------------------------------------------------------- faults */

/* fakemali fails operations, not ioctls. */
bool
target_fail_binds(unsigned n, unsigned times, int err)
{
   (void)n, (void)times, (void)err;
   return false;
}

/* Its failures hit the next operation, whoever's: not yet told apart here. */
bool
target_fail_jobs(unsigned n, int err)
{
   (void)n, (void)err;
   return false;
}

bool
target_delay_ioctls(unsigned us)
{
   (void)us;
   return false;
}

bool
target_read(int drm_fd, uint32_t kernel_vm, uint64_t addr_B, void *data, uint64_t size_B)
{
   (void)drm_fd, (void)kernel_vm, (void)addr_B, (void)data, (void)size_B;
   return false;
}

bool
target_has_memory(void)
{
   return false;
}

bool
target_limit_memory(uint64_t size_B)
{
   (void)size_B;
   return false;
}

void
target_fail_nothing(void)
{
   inspect_set_fault("fail_map", 0);
   inspect_set_fault("fail_unmap", 0);
}

/* What the kernel finds wrong is a panic here. */
unsigned
target_complaints(void)
{
   return 0;
}

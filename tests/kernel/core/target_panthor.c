/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The behaviour suite's target: the real panthor, in the guest of scripts/test-kernel.  Must not know
 * of the simulator.
 */

#include "tests/core/target.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <xf86drm.h>

#include "drm-uapi/panthor_drm.h"
#include "tests/kernel/uapi/inspect.h"
#include "util/macros.h"

#define NODE    "/dev/dri/renderD128"
#define MAX_VMS 32 /* of an open file */

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
   unsigned later = 0, all = 0;

   for (uint32_t id = 1; id <= MAX_VMS; id++) {
      all += vm_exists(drm_fd, id);
      later += id > kernel_vm && vm_exists(drm_fd, id);
   }
   /* One that was destroyed stays in the list until the kernel's workers are done with it. */
   for (unsigned i = 0; i < 500 && inspect_vm_count() > all; i++)
      usleep(10000);
   return later;
}

/* -------------------------------------------------------------------- fences */

int
target_fence_create(void)
{
   return inspect_fence_create();
}

void
target_fence_signal(int fence_fd)
{
   inspect_fence_signal(fence_fd);
}

/* -------------------------------------------------------------------- oracle */

/* GEM handles are small numbers, given out from 1. */
#define MAX_HANDLE 64

struct names {
   struct inspect_object objects[MAX_HANDLE];
};

/* The lowest free number is the next one given out: a long gap is the end. */
static void
read_names(int drm_fd, struct names *names)
{
   unsigned gap = 0;

   memset(names, 0, sizeof(*names));
   for (uint32_t handle = 1; handle < MAX_HANDLE && gap < 16; handle++) {
      names->objects[handle] = inspect_object(drm_fd, handle);
      gap = names->objects[handle].object ? 0 : gap + 1;
   }
}

/* 0 for an object that the process has no handle of: the kernel's own, behind sparse mappings. */
static uint32_t
handle_of_object(const struct names *names, uint64_t object)
{
   for (uint32_t handle = 1; handle < MAX_HANDLE; handle++)
      if (names->objects[handle].object == object)
         return handle;
   return 0;
}

static uint32_t
handle_of_mapping(const struct names *names, uint64_t mapping)
{
   for (uint32_t handle = 1; handle < MAX_HANDLE; handle++)
      if (names->objects[handle].mapping == mapping)
         return handle;
   return 0;
}

bool
target_get_tree(int drm_fd, uint32_t kernel_vm, struct target_mapping **maps_out,
                size_t *count_out)
{
   struct inspect_mapping *found;
   struct names names;
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
         .handle = handle_of_object(&names, found[i].object),
         .offset_B = found[i].offset_B,
      };
   }
   free(found);
   return true;
}

/* --------------------------------------------------------------- page tables
 *
 * The GPU's MMU knows a VM only while it has an address space, which a job gives it. */

static int64_t
in_ten_seconds(void)
{
   struct timespec now;

   clock_gettime(CLOCK_MONOTONIC, &now);
   return (now.tv_sec + 10) * 1000000000ll;
}

static int
create_group(int drm_fd, uint32_t kernel_vm, uint32_t *group_out)
{
   struct drm_panthor_queue_create queue = { .priority = 1, .ringbuf_size = 4096 };
   struct drm_panthor_group_create group = {
      .queues = DRM_PANTHOR_OBJ_ARRAY(1, &queue),
      .max_compute_cores = 1,
      .max_fragment_cores = 1,
      .max_tiler_cores = 1,
      .priority = PANTHOR_GROUP_PRIORITY_MEDIUM,
      .compute_core_mask = 1,
      .fragment_core_mask = 1,
      .tiler_core_mask = 1,
      .vm_id = kernel_vm,
   };

   if (drmIoctl(drm_fd, DRM_IOCTL_PANTHOR_GROUP_CREATE, &group))
      return -errno;
   *group_out = group.group_handle;
   return 0;
}

/* A job that reads where nothing is makes the kernel take the address space from the VM: then there are no
 * pages, whatever is bound. */
static int
check_group(int drm_fd, uint32_t group)
{
   struct drm_panthor_group_get_state state = { .group_handle = group };

   if (drmIoctl(drm_fd, DRM_IOCTL_PANTHOR_GROUP_GET_STATE, &state))
      return -errno;
   return state.state ? -EFAULT : 0;
}

/* The stream is in what the kernel maps for the group, so that the VM's own part stays as it is: the
 * middle of any such page is zeros, and zeros are no-ops.  All groups of the VM but this one are gone. */
static int
run_job(int drm_fd, uint32_t kernel_vm, uint32_t group)
{
   uint32_t done;

   if (drmSyncobjCreate(drm_fd, 0, &done))
      return -errno;
   struct drm_panthor_sync_op signal = {
      .flags = (uint32_t)DRM_PANTHOR_SYNC_OP_SIGNAL,
      .handle = done,
   };
   struct drm_panthor_queue_submit queue = {
      .stream_size = 64,
      .stream_addr = inspect_kernel_part(vm_index(drm_fd, kernel_vm)) + 0x800,
      .syncs = DRM_PANTHOR_OBJ_ARRAY(1, &signal),
   };
   struct drm_panthor_group_submit submit = {
      .group_handle = group,
      .queue_submits = DRM_PANTHOR_OBJ_ARRAY(1, &queue),
   };
   int ret = drmIoctl(drm_fd, DRM_IOCTL_PANTHOR_GROUP_SUBMIT, &submit) ? -errno : 0;
   if (!ret && drmSyncobjWait(drm_fd, &done, 1, in_ten_seconds(), 0, NULL))
      ret = -errno;
   drmSyncobjDestroy(drm_fd, done);
   return ret ? ret : check_group(drm_fd, group);
}

static unsigned
address_space_of(int drm_fd, uint32_t kernel_vm)
{
   struct drm_panthor_group_destroy destroy = { 0 };

   /* The kernel's workers unmap a group some time after it was destroyed (from 7.2 on; 6.12 does it at once).
    * What is left of an earlier one would be taken for the new one's. */
   inspect_wait_for_no_kernel_part(vm_index(drm_fd, kernel_vm));
   int ret = create_group(drm_fd, kernel_vm, &destroy.group_handle);
   if (!ret) {
      ret = run_job(drm_fd, kernel_vm, destroy.group_handle);
      drmIoctl(drm_fd, DRM_IOCTL_PANTHOR_GROUP_DESTROY, &destroy);
   }
   if (ret) {
      fprintf(stderr, "no job runs on the VM: %s\n", strerror(-ret));
      abort();
   }
   return inspect_stat("latest_as");
}

struct page_search {
   unsigned as;
   struct names names;
   struct target_page *pages;
   size_t count, capacity;
};

static void
collect_page(void *data, const struct inspect_page *page)
{
   struct page_search *search = data;

   if (page->as != search->as)
      return;
   if (search->count == search->capacity) {
      search->capacity = MAX2(64, search->capacity * 2);
      search->pages = realloc(search->pages, search->capacity * sizeof(*search->pages));
   }
   search->pages[search->count++] = (struct target_page){
      .addr_B = page->addr_B,
      .handle = handle_of_mapping(&search->names, page->mapping),
      .offset_B = page->offset_B,
   };
}

/* One thread looks at a time: what is made to look would be taken for another's. */
static pthread_mutex_t look_lock = PTHREAD_MUTEX_INITIALIZER;

void
target_get_pages(int drm_fd, uint32_t kernel_vm, uint64_t addr_B, uint64_t end_B,
                 struct target_page **pages_out, size_t *count_out)
{
   struct page_search search = { 0 };

   pthread_mutex_lock(&look_lock);
   search.as = address_space_of(drm_fd, kernel_vm);
   read_names(drm_fd, &search.names);
   inspect_pages(addr_B, end_B, collect_page, &search);
   pthread_mutex_unlock(&look_lock);
   *pages_out = search.pages;
   *count_out = search.count;
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
   struct target_page *page;
   size_t count;

   target_get_pages(drm_fd, kernel_vm, addr_B, addr_B + 4096, &page, &count);
   if (count) {
      *handle_out = page->handle;
      *offset_B_out = page->offset_B;
   }
   free(page);
   return count != 0;
}

/* -------------------------------------------------------------------- faults */

bool
target_fail_binds(unsigned n, unsigned times, int err)
{
   inspect_set_fault("fail_errno", err);
   inspect_set_fault("fail_bind_times", times);
   inspect_set_fault("fail_bind", n);
   return true;
}

/* Of maps: an unmap that fails makes the kernel warn. */
bool
target_fail_op(unsigned n, int err)
{
   inspect_set_fault("fail_errno", err);
   inspect_set_fault("fail_by", INSPECT_BY_IOCTL);
   inspect_set_fault("fail_map", n);
   return true;
}

/* Only binds run in a worker of the kernel's.  After one that failed, the VM takes no more. */
bool
target_fail_jobs(unsigned n, int err)
{
   inspect_set_fault("fail_errno", err);
   inspect_set_fault("fail_by", INSPECT_BY_WORKER);
   inspect_set_fault("fail_map", n);
   return true;
}

bool
target_delay_ioctls(unsigned us)
{
   inspect_set_fault("delay_bind", us / 1000);
   return true;
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
   inspect_set_fault("fail_bind", 0);
   inspect_set_fault("delay_bind", 0);
   inspect_set_fault("fail_by", INSPECT_BY_ANYBODY);
   inspect_set_fault("fail_errno", ENOMEM);
}

/* What the kernel finds wrong is a panic here. */
unsigned
target_complaints(void)
{
   return 0;
}

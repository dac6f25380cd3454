/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See panthor.h.
 */

#include "panthor.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <linux/sync_file.h>

int
pan_ioctl(int fd, unsigned long request, void *arg)
{
   int ret;

   do {
      ret = ioctl(fd, request, arg);
   } while (ret == -1 && (errno == EINTR || errno == EAGAIN));
   return ret == -1 ? -errno : 0;
}

/* ------------------------------------------------------------------- device */

int
pan_open(void)
{
   const int fd = open("/dev/dri/renderD128", O_RDWR | O_CLOEXEC);

   assert_true(fd >= 0);
   return fd;
}

int
pan_minor(int fd)
{
   struct drm_version version = { 0 };

   assert_int_equal(pan_ioctl(fd, DRM_IOCTL_VERSION, &version), 0);
   return version.version_minor;
}

/* ----------------------------------------------------------------- VM and BO */

uint32_t
pan_vm_create(int fd)
{
   struct drm_panthor_vm_create create = { 0 };

   assert_int_equal(pan_ioctl(fd, DRM_IOCTL_PANTHOR_VM_CREATE, &create), 0);
   return create.id;
}

int
pan_vm_state(int fd, uint32_t vm)
{
   struct drm_panthor_vm_get_state state = { .vm_id = vm };
   const int ret = pan_ioctl(fd, DRM_IOCTL_PANTHOR_VM_GET_STATE, &state);

   return ret ? ret : (int)state.state;
}

int
pan_vm_destroy(int fd, uint32_t vm)
{
   struct drm_panthor_vm_destroy destroy = { .id = vm };

   return pan_ioctl(fd, DRM_IOCTL_PANTHOR_VM_DESTROY, &destroy);
}

uint32_t
pan_bo_create(int fd, uint64_t size_B, uint32_t vm)
{
   struct drm_panthor_bo_create create = { .size = size_B, .exclusive_vm_id = vm };

   assert_int_equal(pan_ioctl(fd, DRM_IOCTL_PANTHOR_BO_CREATE, &create), 0);
   return create.handle;
}

void *
pan_bo_map(int fd, uint32_t handle, uint64_t size_B)
{
   struct drm_panthor_bo_mmap_offset offset = { .handle = handle };

   assert_int_equal(pan_ioctl(fd, DRM_IOCTL_PANTHOR_BO_MMAP_OFFSET, &offset), 0);
   void *map = mmap(NULL, size_B, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset.offset);
   assert_true(map != MAP_FAILED);
   return map;
}

void
pan_bo_close(int fd, uint32_t handle)
{
   struct drm_gem_close close = { .handle = handle };

   assert_int_equal(pan_ioctl(fd, DRM_IOCTL_GEM_CLOSE, &close), 0);
}

/* --------------------------------------------------------------------- binds */

struct drm_panthor_vm_bind_op
pan_map(uint32_t handle, uint64_t offset_B, uint64_t addr_B, uint64_t size_B)
{
   return (struct drm_panthor_vm_bind_op){
      .flags = DRM_PANTHOR_VM_BIND_OP_TYPE_MAP,
      .bo_handle = handle,
      .bo_offset = offset_B,
      .va = addr_B,
      .size = size_B,
   };
}

struct drm_panthor_vm_bind_op
pan_unmap(uint64_t addr_B, uint64_t size_B)
{
   return (struct drm_panthor_vm_bind_op){
      .flags = DRM_PANTHOR_VM_BIND_OP_TYPE_UNMAP,
      .va = addr_B,
      .size = size_B,
   };
}

struct drm_panthor_vm_bind_op
pan_with_syncs(struct drm_panthor_vm_bind_op op, struct drm_panthor_sync_op *syncs, uint32_t count)
{
   op.syncs = (struct drm_panthor_obj_array)DRM_PANTHOR_OBJ_ARRAY(count, syncs);
   return op;
}

struct drm_panthor_sync_op
pan_wait(uint32_t syncobj)
{
   return (struct drm_panthor_sync_op){
      .flags = DRM_PANTHOR_SYNC_OP_WAIT | DRM_PANTHOR_SYNC_OP_HANDLE_TYPE_SYNCOBJ,
      .handle = syncobj,
   };
}

struct drm_panthor_sync_op
pan_signal(uint32_t syncobj)
{
   return (struct drm_panthor_sync_op){
      .flags = DRM_PANTHOR_SYNC_OP_SIGNAL | DRM_PANTHOR_SYNC_OP_HANDLE_TYPE_SYNCOBJ,
      .handle = syncobj,
   };
}

struct drm_panthor_sync_op
pan_wait_point(uint32_t syncobj, uint64_t point)
{
   return (struct drm_panthor_sync_op){
      .flags = DRM_PANTHOR_SYNC_OP_WAIT | DRM_PANTHOR_SYNC_OP_HANDLE_TYPE_TIMELINE_SYNCOBJ,
      .handle = syncobj,
      .timeline_value = point,
   };
}

struct drm_panthor_sync_op
pan_signal_point(uint32_t syncobj, uint64_t point)
{
   return (struct drm_panthor_sync_op){
      .flags = DRM_PANTHOR_SYNC_OP_SIGNAL | DRM_PANTHOR_SYNC_OP_HANDLE_TYPE_TIMELINE_SYNCOBJ,
      .handle = syncobj,
      .timeline_value = point,
   };
}

int
pan_bind(int fd, uint32_t vm, uint32_t flags, struct drm_panthor_vm_bind_op *ops, uint32_t count,
         uint32_t *count_out)
{
   struct drm_panthor_vm_bind bind = {
      .vm_id = vm,
      .flags = flags,
      .ops = DRM_PANTHOR_OBJ_ARRAY(count, ops),
   };
   const int ret = pan_ioctl(fd, DRM_IOCTL_PANTHOR_VM_BIND, &bind);

   if (count_out)
      *count_out = bind.ops.count;
   return ret;
}

int
pan_bind_sync(int fd, uint32_t vm, struct drm_panthor_vm_bind_op op)
{
   return pan_bind(fd, vm, 0, &op, 1, NULL);
}

int
pan_bind_async(int fd, uint32_t vm, struct drm_panthor_vm_bind_op op)
{
   return pan_bind(fd, vm, DRM_PANTHOR_VM_BIND_ASYNC, &op, 1, NULL);
}

/* ------------------------------------------------------------------ syncobjs */

static int64_t
deadline(unsigned ms)
{
   struct timespec now;

   clock_gettime(CLOCK_MONOTONIC, &now);
   return now.tv_sec * 1000000000ll + now.tv_nsec + ms * 1000000ll;
}

uint32_t
pan_syncobj_create(int fd)
{
   struct drm_syncobj_create create = { 0 };

   assert_int_equal(pan_ioctl(fd, DRM_IOCTL_SYNCOBJ_CREATE, &create), 0);
   return create.handle;
}

void
pan_syncobj_signal(int fd, uint32_t syncobj)
{
   struct drm_syncobj_array array = { .handles = (uintptr_t)&syncobj, .count_handles = 1 };

   assert_int_equal(pan_ioctl(fd, DRM_IOCTL_SYNCOBJ_SIGNAL, &array), 0);
}

int
pan_syncobj_wait(int fd, uint32_t syncobj, unsigned ms)
{
   struct drm_syncobj_wait wait = {
      .handles = (uintptr_t)&syncobj,
      .count_handles = 1,
      .timeout_nsec = deadline(ms),
   };

   return pan_ioctl(fd, DRM_IOCTL_SYNCOBJ_WAIT, &wait);
}

int
pan_syncobj_wait_point(int fd, uint32_t syncobj, uint64_t point, unsigned ms)
{
   struct drm_syncobj_timeline_wait wait = {
      .handles = (uintptr_t)&syncobj,
      .points = (uintptr_t)&point,
      .count_handles = 1,
      .timeout_nsec = deadline(ms),
   };

   return pan_ioctl(fd, DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT, &wait);
}

uint64_t
pan_syncobj_query(int fd, uint32_t syncobj)
{
   uint64_t point = 0;
   struct drm_syncobj_timeline_array array = {
      .handles = (uintptr_t)&syncobj,
      .points = (uintptr_t)&point,
      .count_handles = 1,
   };

   assert_int_equal(pan_ioctl(fd, DRM_IOCTL_SYNCOBJ_QUERY, &array), 0);
   return point;
}

int
pan_syncobj_status(int fd, uint32_t syncobj)
{
   struct drm_syncobj_handle export = {
      .handle = syncobj,
      .flags = DRM_SYNCOBJ_HANDLE_TO_FD_FLAGS_EXPORT_SYNC_FILE,
      .fd = -1,
   };
   struct sync_file_info info = { 0 };

   assert_int_equal(pan_ioctl(fd, DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD, &export), 0);
   assert_int_equal(ioctl(export.fd, SYNC_IOC_FILE_INFO, &info), 0);
   close(export.fd);
   return info.status;
}

/* ---------------------------------------------------------------------- jobs */

uint32_t
pan_group_create(int fd, uint32_t vm)
{
   struct drm_panthor_queue_create queue = { .priority = 1, .ringbuf_size = PAGE_B };
   struct drm_panthor_group_create create = {
      .queues = DRM_PANTHOR_OBJ_ARRAY(1, &queue),
      .max_compute_cores = 1,
      .max_fragment_cores = 1,
      .max_tiler_cores = 1,
      .priority = PANTHOR_GROUP_PRIORITY_MEDIUM,
      .compute_core_mask = 1,
      .fragment_core_mask = 1,
      .tiler_core_mask = 1,
      .vm_id = vm,
   };

   assert_int_equal(pan_ioctl(fd, DRM_IOCTL_PANTHOR_GROUP_CREATE, &create), 0);
   return create.group_handle;
}

uint32_t
pan_group_state(int fd, uint32_t group)
{
   struct drm_panthor_group_get_state state = { .group_handle = group };

   assert_int_equal(pan_ioctl(fd, DRM_IOCTL_PANTHOR_GROUP_GET_STATE, &state), 0);
   return state.state;
}

int
pan_group_destroy(int fd, uint32_t group)
{
   struct drm_panthor_group_destroy destroy = { .group_handle = group };

   return pan_ioctl(fd, DRM_IOCTL_PANTHOR_GROUP_DESTROY, &destroy);
}

int
pan_submit(int fd, uint32_t group, uint64_t addr_B, uint32_t size_B,
           struct drm_panthor_sync_op *syncs, uint32_t count)
{
   struct drm_panthor_queue_submit queue = {
      .stream_size = size_B,
      .stream_addr = addr_B,
      .syncs = DRM_PANTHOR_OBJ_ARRAY(count, syncs),
   };
   struct drm_panthor_group_submit submit = {
      .group_handle = group,
      .queue_submits = DRM_PANTHOR_OBJ_ARRAY(1, &queue),
   };

   return pan_ioctl(fd, DRM_IOCTL_PANTHOR_GROUP_SUBMIT, &submit);
}

/* Command stream instructions: the operation, a register, and operands below */
#define CS_MOVE48(reg, imm)           (1ull << 56 | (uint64_t)(reg) << 48 | (imm))
#define CS_MOVE32(reg, imm)           (2ull << 56 | (uint64_t)(reg) << 48 | (imm))
#define CS_STORE1(value_reg, addr_reg)                                                            \
   (21ull << 56 | (uint64_t)(value_reg) << 48 | (uint64_t)(addr_reg) << 40 | 1ull << 16)
/* panthor wants streams in whole cache lines. */
#define CS_LINE_B 64

uint32_t
pan_stream_store(uint64_t *stream, uint64_t addr_B, uint32_t value)
{
   memset(stream, 0, CS_LINE_B);
   stream[0] = CS_MOVE48(2, addr_B);
   stream[1] = CS_MOVE32(4, value);
   stream[2] = CS_STORE1(4, 2);
   return CS_LINE_B;
}

void
pan_make_resident(int fd, uint32_t vm, uint64_t addr_B)
{
   const uint32_t bo = pan_bo_create(fd, PAGE_B, vm);
   const uint32_t group = pan_group_create(fd, vm);
   const uint32_t done = pan_syncobj_create(fd);
   struct drm_panthor_sync_op signal = pan_signal(done);

   assert_int_equal(pan_bind_sync(fd, vm, pan_map(bo, 0, addr_B, PAGE_B)), 0);
   assert_int_equal(pan_submit(fd, group, addr_B, CS_LINE_B, &signal, 1), 0);
   assert_int_equal(pan_syncobj_wait(fd, done, 10 * SECOND), 0);
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What the tests of the simulator share: ioctls that return negative errnos, and short forms of the
 * usual ones. Must know nothing of the core: these tests are about the other side of the ioctl.
 */

#ifndef SIM_TEST_H
#define SIM_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "drm-uapi/drm.h"
#include "drm-uapi/msm_drm.h"
#include "drm-uapi/panthor_drm.h"
#include "drm-uapi/xe_drm.h"

#include "drm_sim.h"

#define NODE_PATH           "/dev/dri/renderD128"
#define KIB                 1024ull
#define MIB                 (1024ull * KIB)
#define GIB                 (1024ull * MIB)
#define PAGE                4096ull
#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* 0 or a negative errno */
static inline int
call(int fd, unsigned long request, void *arg)
{
   return ioctl(fd, request, arg) < 0 ? -errno : 0;
}

#define assert_ok(expression)           assert_int_equal(expression, 0)
#define assert_error(expression, error) assert_int_equal(expression, -(error))

static inline int
open_node(const char *kmd)
{
   assert_ok(drm_sim_select(kmd));
   int fd = open(NODE_PATH, O_RDWR | O_CLOEXEC);
   assert_true(fd >= 0);
   return fd;
}

static inline int64_t
now_ns(void)
{
   struct timespec now;

   clock_gettime(CLOCK_MONOTONIC, &now);
   return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static inline int64_t
in_ms(int64_t ms)
{
   return now_ns() + ms * 1000000;
}

/* Syncobjs */

static inline uint32_t
syncobj_create(int fd, uint32_t flags)
{
   struct drm_syncobj_create args = {.flags = flags};

   assert_ok(call(fd, DRM_IOCTL_SYNCOBJ_CREATE, &args));
   assert_int_not_equal(args.handle, 0);
   return args.handle;
}

static inline int
syncobj_wait(int fd, uint32_t handle, uint64_t point, uint32_t flags, int64_t timeout_nsec)
{
   struct drm_syncobj_timeline_wait args = {
      .handles = (uintptr_t)&handle,
      .points = (uintptr_t)&point,
      .timeout_nsec = timeout_nsec,
      .count_handles = 1,
      .flags = flags,
   };
   return call(fd, DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT, &args);
}

static inline int
syncobj_signal(int fd, uint32_t handle)
{
   struct drm_syncobj_array args = {.handles = (uintptr_t)&handle, .count_handles = 1};

   return call(fd, DRM_IOCTL_SYNCOBJ_SIGNAL, &args);
}

static inline int
syncobj_reset(int fd, uint32_t handle)
{
   struct drm_syncobj_array args = {.handles = (uintptr_t)&handle, .count_handles = 1};

   return call(fd, DRM_IOCTL_SYNCOBJ_RESET, &args);
}

static inline int
syncobj_timeline_signal(int fd, uint32_t handle, uint64_t point)
{
   struct drm_syncobj_timeline_array args = {
      .handles = (uintptr_t)&handle,
      .points = (uintptr_t)&point,
      .count_handles = 1,
   };
   return call(fd, DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL, &args);
}

static inline uint64_t
syncobj_query(int fd, uint32_t handle, uint32_t flags)
{
   uint64_t point = UINT64_MAX;
   struct drm_syncobj_timeline_array args = {
      .handles = (uintptr_t)&handle,
      .points = (uintptr_t)&point,
      .count_handles = 1,
      .flags = flags,
   };
   assert_ok(call(fd, DRM_IOCTL_SYNCOBJ_QUERY, &args));
   return point;
}

static inline int
syncobj_transfer(int fd, uint32_t dst, uint64_t dst_point, uint32_t src, uint64_t src_point)
{
   struct drm_syncobj_transfer args = {
      .src_handle = src,
      .dst_handle = dst,
      .src_point = src_point,
      .dst_point = dst_point,
   };
   return call(fd, DRM_IOCTL_SYNCOBJ_TRANSFER, &args);
}

static inline int
export_sync_file(int fd, uint32_t handle)
{
   struct drm_syncobj_handle args = {
      .handle = handle,
      .flags = DRM_SYNCOBJ_HANDLE_TO_FD_FLAGS_EXPORT_SYNC_FILE,
      .fd = -1,
   };
   int ret = call(fd, DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD, &args);
   return ret ? ret : args.fd;
}

static inline bool
is_readable(int fd)
{
   struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

   assert_true(poll(&poll_fd, 1, 0) >= 0);
   return poll_fd.revents & POLLIN;
}

/* Fences that signal when the test says so: a bind job with nothing to do, on a VM of its own,
 * held. */

struct gate {
   int fd;
   uint32_t vm_id;
   /* Signals when the gate opens */
   uint32_t syncobj;
};

static inline int
panthor_bind(int fd, uint32_t vm_id, uint32_t flags, struct drm_panthor_vm_bind_op *ops,
             uint32_t count)
{
   struct drm_panthor_vm_bind args = {
      .vm_id = vm_id,
      .flags = flags,
      .ops = {.stride = sizeof(*ops), .count = count, .array = (uintptr_t)ops},
   };
   return call(fd, DRM_IOCTL_PANTHOR_VM_BIND, &args);
}

static inline uint32_t
panthor_vm_create(int fd)
{
   struct drm_panthor_vm_create args = {0};

   assert_ok(call(fd, DRM_IOCTL_PANTHOR_VM_CREATE, &args));
   return args.id;
}

static inline uint32_t
panthor_bo_create(int fd, uint64_t size, uint32_t exclusive_vm_id)
{
   struct drm_panthor_bo_create args = {.size = size, .exclusive_vm_id = exclusive_vm_id};

   assert_ok(call(fd, DRM_IOCTL_PANTHOR_BO_CREATE, &args));
   return args.handle;
}

/* On a panthor node; one gate at a time may be closed for each. */
static inline struct gate
gate_close(int fd)
{
   struct gate gate = {
      .fd = fd,
      .vm_id = panthor_vm_create(fd),
      .syncobj = syncobj_create(fd, 0),
   };
   struct drm_panthor_sync_op sync = {
      .flags = DRM_PANTHOR_SYNC_OP_SIGNAL,
      .handle = gate.syncobj,
   };
   struct drm_panthor_vm_bind_op op = {
      .flags = DRM_PANTHOR_VM_BIND_OP_TYPE_SYNC_ONLY,
      .syncs = DRM_PANTHOR_OBJ_ARRAY(1, &sync),
   };

   assert_ok(drm_sim_hold(fd, gate.vm_id));
   assert_ok(panthor_bind(fd, gate.vm_id, DRM_PANTHOR_VM_BIND_ASYNC, &op, 1));
   return gate;
}

static inline void
gate_open(struct gate *gate)
{
   struct drm_panthor_vm_destroy destroy = {.id = gate->vm_id};

   assert_ok(drm_sim_release(gate->fd, gate->vm_id));
   assert_ok(drm_sim_wait_idle(gate->fd, gate->vm_id));
   assert_ok(call(gate->fd, DRM_IOCTL_PANTHOR_VM_DESTROY, &destroy));
}

static inline struct drm_panthor_vm_bind_op
panthor_map(uint32_t handle, uint64_t bo_offset, uint64_t va, uint64_t size)
{
   return (struct drm_panthor_vm_bind_op){
      .flags = DRM_PANTHOR_VM_BIND_OP_TYPE_MAP,
      .bo_handle = handle,
      .bo_offset = bo_offset,
      .va = va,
      .size = size,
   };
}

static inline struct drm_panthor_vm_bind_op
panthor_unmap(uint64_t va, uint64_t size)
{
   return (struct drm_panthor_vm_bind_op){
      .flags = DRM_PANTHOR_VM_BIND_OP_TYPE_UNMAP,
      .va = va,
      .size = size,
   };
}

/* msm */

static inline int
msm_set_param(int fd, uint32_t param, uint64_t value)
{
   struct drm_msm_param args = {.pipe = MSM_PIPE_3D0, .param = param, .value = value};

   return call(fd, DRM_IOCTL_MSM_SET_PARAM, &args);
}

static inline int
msm_get_param(int fd, uint32_t param, uint64_t *value)
{
   struct drm_msm_param args = {.pipe = MSM_PIPE_3D0, .param = param};
   int ret = call(fd, DRM_IOCTL_MSM_GET_PARAM, &args);

   *value = args.value;
   return ret;
}

static inline uint32_t
msm_queue_create(int fd, uint32_t flags)
{
   struct drm_msm_submitqueue args = {.flags = flags};

   assert_ok(call(fd, DRM_IOCTL_MSM_SUBMITQUEUE_NEW, &args));
   return args.id;
}

/* A node with VM_BIND, and its first bind queue, whose id is 1 */
static inline int
open_msm(const char *kmd)
{
   int fd = open_node(kmd);

   assert_ok(msm_set_param(fd, MSM_PARAM_EN_VM_BIND, 1));
   assert_int_equal(msm_queue_create(fd, MSM_SUBMITQUEUE_VM_BIND), 1);
   return fd;
}

static inline uint32_t
msm_bo_create(int fd, uint64_t size, uint32_t flags)
{
   struct drm_msm_gem_new args = {.size = size, .flags = MSM_BO_WC | flags};

   assert_ok(call(fd, DRM_IOCTL_MSM_GEM_NEW, &args));
   return args.handle;
}

static inline struct drm_msm_vm_bind_op
msm_map(uint32_t handle, uint64_t offset, uint64_t iova, uint64_t range)
{
   return (struct drm_msm_vm_bind_op){
      .op = MSM_VM_BIND_OP_MAP,
      .handle = handle,
      .obj_offset = offset,
      .iova = iova,
      .range = range,
   };
}

static inline struct drm_msm_vm_bind_op
msm_unmap(uint64_t iova, uint64_t range)
{
   return (struct drm_msm_vm_bind_op){.op = MSM_VM_BIND_OP_UNMAP, .iova = iova, .range = range};
}

static inline struct drm_msm_vm_bind_op
msm_null(uint64_t iova, uint64_t range)
{
   return (struct drm_msm_vm_bind_op){.op = MSM_VM_BIND_OP_MAP_NULL, .iova = iova, .range = range};
}

static inline struct drm_msm_vm_bind
msm_bind_args(uint32_t queue, const struct drm_msm_vm_bind_op *ops, uint32_t count)
{
   struct drm_msm_vm_bind args = {
      .nr_ops = count,
      .queue_id = queue,
      .fence_fd = -1,
      .syncobj_stride = sizeof(struct drm_msm_syncobj),
      .op_stride = sizeof(*ops),
   };

   if (count == 1)
      args.op = ops[0];
   else
      args.ops = (uintptr_t)ops;
   return args;
}

static inline int
msm_bind(int fd, uint32_t queue, const struct drm_msm_vm_bind_op *ops, uint32_t count)
{
   struct drm_msm_vm_bind args = msm_bind_args(queue, ops, count);

   return call(fd, DRM_IOCTL_MSM_VM_BIND, &args);
}

/* xe */

static inline uint32_t
xe_vm_create(int fd, uint32_t flags)
{
   struct drm_xe_vm_create args = {.flags = flags};

   assert_ok(call(fd, DRM_IOCTL_XE_VM_CREATE, &args));
   return args.vm_id;
}

static inline uint32_t
xe_bo_create(int fd, uint64_t size, uint32_t vm_id)
{
   struct drm_xe_gem_create args = {
      .size = size,
      .placement = 1,
      .vm_id = vm_id,
      .cpu_caching = DRM_XE_GEM_CPU_CACHING_WB,
   };

   assert_ok(call(fd, DRM_IOCTL_XE_GEM_CREATE, &args));
   return args.handle;
}

static inline struct drm_xe_vm_bind_op
xe_map(uint32_t handle, uint64_t offset, uint64_t addr, uint64_t range)
{
   return (struct drm_xe_vm_bind_op){
      .op = DRM_XE_VM_BIND_OP_MAP,
      .obj = handle,
      .obj_offset = offset,
      .addr = addr,
      .range = range,
   };
}

static inline struct drm_xe_vm_bind_op
xe_unmap(uint64_t addr, uint64_t range)
{
   return (struct drm_xe_vm_bind_op){.op = DRM_XE_VM_BIND_OP_UNMAP, .addr = addr, .range = range};
}

static inline struct drm_xe_vm_bind_op
xe_null(uint64_t addr, uint64_t range)
{
   return (struct drm_xe_vm_bind_op){
      .op = DRM_XE_VM_BIND_OP_MAP,
      .flags = DRM_XE_VM_BIND_FLAG_NULL,
      .addr = addr,
      .range = range,
   };
}

static inline int
xe_bind(int fd, uint32_t vm, uint32_t queue, const struct drm_xe_vm_bind_op *ops, uint32_t count,
        const struct drm_xe_sync *syncs, uint32_t sync_count)
{
   struct drm_xe_vm_bind args = {
      .vm_id = vm,
      .exec_queue_id = queue,
      .num_binds = count,
      .num_syncs = sync_count,
      .syncs = (uintptr_t)syncs,
   };

   if (count == 1)
      args.bind = ops[0];
   else
      args.vector_of_binds = (uintptr_t)ops;
   return call(fd, DRM_IOCTL_XE_VM_BIND, &args);
}

static inline void *
xe_map_cpu(int fd, uint32_t handle, uint64_t size)
{
   struct drm_xe_gem_mmap_offset args = {.handle = handle};

   assert_ok(call(fd, DRM_IOCTL_XE_GEM_MMAP_OFFSET, &args));
   void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, args.offset);
   assert_ptr_not_equal(map, MAP_FAILED);
   return map;
}

static inline uint32_t
xe_queue_create(int fd, uint32_t vm, uint16_t engine_class)
{
   struct drm_xe_engine_class_instance instance = {.engine_class = engine_class};
   struct drm_xe_exec_queue_create args = {
      .width = 1,
      .num_placements = 1,
      .vm_id = vm,
      .instances = (uintptr_t)&instance,
   };

   assert_ok(call(fd, DRM_IOCTL_XE_EXEC_QUEUE_CREATE, &args));
   return args.exec_queue_id;
}

/* MI_STORE_DATA_IMM of a dword, and MI_BATCH_BUFFER_END */
static inline void
xe_write_batch(uint32_t *batch, uint64_t addr, uint32_t value)
{
   batch[0] = 0x20u << 23 | 2;
   batch[1] = addr;
   batch[2] = addr >> 32;
   batch[3] = value;
   batch[4] = 0;
   batch[5] = 0x0au << 23;
}

static inline int
xe_exec(int fd, uint32_t queue, uint64_t address, struct drm_xe_sync *syncs, uint32_t count)
{
   struct drm_xe_exec args = {
      .exec_queue_id = queue,
      .num_syncs = count,
      .syncs = (uintptr_t)syncs,
      .address = address,
      .num_batch_buffer = 1,
   };
   return call(fd, DRM_IOCTL_XE_EXEC, &args);
}

/* What the page tables and the tree say */

#define MAX_MAPPINGS 4096

struct mappings {
   uint32_t count;
   struct drm_sim_mapping list[MAX_MAPPINGS];
};

static inline int
add_mapping(void *priv, const struct drm_sim_mapping *mapping)
{
   struct mappings *mappings = priv;

   if (mappings->count == MAX_MAPPINGS)
      return -ENOSPC;
   mappings->list[mappings->count++] = *mapping;
   return 0;
}

static inline void
get_tree(int fd, uint32_t vm_id, struct mappings *mappings)
{
   mappings->count = 0;
   assert_ok(drm_sim_for_each_gpuva(fd, vm_id, add_mapping, mappings));
}

static inline void
get_page_tables(int fd, uint32_t vm_id, struct mappings *mappings)
{
   mappings->count = 0;
   assert_ok(drm_sim_for_each_pte(fd, vm_id, add_mapping, mappings));
}

static inline void
assert_mapping(const struct drm_sim_mapping *mapping, uint64_t va, uint64_t range, uint32_t handle,
               uint64_t offset)
{
   assert_int_equal(mapping->va, va);
   assert_int_equal(mapping->range_B, range);
   assert_int_equal(mapping->handle, handle);
   assert_int_equal(mapping->bo_offset_B, offset);
}

static inline bool
is_hole(int fd, uint32_t vm_id, uint64_t va)
{
   struct drm_sim_mapping mapping;

   return drm_sim_lookup(fd, vm_id, va, &mapping) == -EFAULT;
}

static inline void *
map_bo(int fd, uint64_t offset, uint64_t size)
{
   void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);

   assert_ptr_not_equal(map, MAP_FAILED);
   return map;
}

static inline void *
panthor_map_cpu(int fd, uint32_t handle, uint64_t size)
{
   struct drm_panthor_bo_mmap_offset args = {.handle = handle};

   assert_ok(call(fd, DRM_IOCTL_PANTHOR_BO_MMAP_OFFSET, &args));
   return map_bo(fd, args.offset, size);
}

static inline void *
msm_map_cpu(int fd, uint32_t handle, uint64_t size)
{
   struct drm_msm_gem_info args = {.handle = handle, .info = MSM_INFO_GET_OFFSET};

   assert_ok(call(fd, DRM_IOCTL_MSM_GEM_INFO, &args));
   return map_bo(fd, args.value, size);
}

#endif /* SIM_TEST_H */

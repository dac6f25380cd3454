/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The xe personality: an integrated Xe-LP GPU (Alder Lake-P) behind the xe driver of Linux 7.3.
 * Follows xe_vm.c, xe_sync.c, xe_bo.c, xe_exec.c, xe_exec_queue.c and xe_query.c. Must know nothing
 * of other drivers.
 *
 * Binds are in staged mode and atomic: an ioctl that fails changes nothing. Each bind queue is a
 * FIFO; the kernel orders those that overlap in addresses also between queues. A job that fails has
 * its error in its fence, and the VM is banned. The simulated machine has no page faults (no
 * LR-only fault mode). A userptr's pages become a BO's, at the program's address as well as the
 * GPU's, until the program changes what it has there (sim_evict).
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "drm-uapi/xe_drm.h"
#include "util/macros.h"
#include "util/u_atomic.h"

#include "sim_caller.h"
#include "sim_device.h"
#include "sim_evict.h"
#include "sim_fault.h"
#include "sim_gem.h"
#include "sim_libc.h"
#include "sim_staged.h"
#include "sim_syncobj.h"
#include "sim_vm.h"
#include "sim_xe.h"

/* What the command streamer understands */
#define MI_OPCODE(dword)    (((dword) >> 23) & 0x3f)
#define MI_BATCH_BUFFER_END 0x0a
#define MI_STORE_DATA_IMM   0x20
#define MI_BATCH_BUFFER_START           0x31
#define MI_CONDITIONAL_BATCH_BUFFER_END 0x36
#define MI_SECOND_LEVEL                 (1u << 22)
#define CLIENT_MI                       0
#define CLIENT_BLIT                     2
#define CLIENT_RENDER                   3
#define MI_STORE_QWORD      (1u << 21)
#define MAX_EXTENSIONS      16
#define MAX_INSTANCES       9
#define PRIORITY_HIGH       2
#define MAX_TIMESLICE_US    10000000
#define JOB_TIMEOUT_NS      5000000000ull
#define MAX_BATCH_DWORDS    (1u << 20)

/* A bind that is on its way, and the addresses that it changes */
struct pending {
   struct list_head link;
   uint64_t start;
   uint64_t end;
   const struct sim_entity *entity;
   struct sim_fence *fence;
};

struct queue {
   int32_t refcount;
   struct sim_vm *vm;
   bool is_bind;
   bool counts_as_long_running;
   bool banned;
   /* Destroyed: what has not run does not. */
   bool killed;
   struct sim_entity entity;
   /* Engines run beside each other; NULL for a bind queue, whose jobs are the VM's. */
   struct sim_sched *engine;
};

/* VMs */

static int
vm_create_ioctl(struct sim_file *file, void *data)
{
   struct drm_xe_vm_create *args = data;

   if (args->extensions || args->reserved[0] || args->reserved[1])
      return -EINVAL;
   if (args->flags & ~(DRM_XE_VM_CREATE_FLAG_SCRATCH_PAGE | DRM_XE_VM_CREATE_FLAG_LR_MODE))
      return -EINVAL;

   struct xe_vm *priv = calloc(1, sizeof(*priv));
   struct sim_vm *vm = priv ? sim_vm_create(0, "xe", 0, 1ull << file->device.va_bits) : NULL;
   if (!vm) {
      free(priv);
      return -ENOMEM;
   }
   priv->flags = args->flags;
   vm->has_scratch = args->flags & DRM_XE_VM_CREATE_FLAG_SCRATCH_PAGE;
   /* What is evicted under a long-running VM is bound again at once, by a worker. */
   vm->keeps_bos = vm->rebinds_at_once = args->flags & DRM_XE_VM_CREATE_FLAG_LR_MODE;
   pthread_mutex_init(&priv->bind_lock, NULL);
   list_inithead(&priv->pending);
   vm->priv = priv;

   args->vm_id = sim_vm_add_handle(file, vm, UINT32_MAX);
   return args->vm_id ? 0 : -ENOMEM;
}

static void
forget_pending(struct sim_vm *vm, bool all)
{
   list_for_each_entry_safe (struct pending, pending, &to_xe_vm(vm)->pending, link) {
      if (!all && !sim_fence_is_signaled(pending->fence))
         continue;
      list_del(&pending->link);
      sim_fence_put(pending->fence);
      free(pending);
   }
}

static void
vm_destroy(struct sim_vm *vm)
{
   p_atomic_set(&vm->destroyed, true);
   pthread_mutex_lock(&to_xe_vm(vm)->bind_lock);
   forget_pending(vm, true);
   pthread_mutex_unlock(&to_xe_vm(vm)->bind_lock);
   sim_vm_clear(vm);
   sim_vm_put(vm);
}

static int
vm_destroy_ioctl(struct sim_file *file, void *data)
{
   struct drm_xe_vm_destroy *args = data;

   if (args->pad || args->reserved[0] || args->reserved[1])
      return -EINVAL;
   pthread_mutex_lock(&file->lock);
   struct sim_vm *vm = sim_handles_get(&file->vms, args->vm_id);
   int ret = vm ? 0 : -ENOENT;
   /* Of a long-running VM all queues have to go first. */
   if (vm && p_atomic_read(&to_xe_vm(vm)->long_running_queues))
      ret = -EBUSY;
   if (!ret)
      sim_handles_remove(&file->vms, args->vm_id);
   pthread_mutex_unlock(&file->lock);
   if (!ret)
      vm_destroy(vm);
   return ret;
}

static int
vm_get_property_ioctl(struct sim_file *file, void *data)
{
   struct drm_xe_vm_get_property *args = data;

   if (args->reserved[0] || args->reserved[1] || args->reserved[2] || args->extensions || args->pad)
      return -EINVAL;
   struct sim_vm *vm = sim_vm_lookup(file, args->vm_id);
   if (!vm)
      return -ENOENT;
   sim_vm_put(vm);
   /* No page faults on this GPU: there are none to tell. */
   return args->property == DRM_XE_VM_GET_PROPERTY_FAULTS && !args->size ? 0 : -EINVAL;
}

/* BOs */

static int
gem_create_ioctl(struct sim_file *file, void *data)
{
   struct drm_xe_gem_create *args = data;
   uint64_t vm_uid = 0;

   if (args->pad[0] || args->pad[1] || args->pad[2] || args->reserved[0] || args->reserved[1])
      return -EINVAL;
   if (!args->placement || (args->placement & ~XE_MEM_REGIONS))
      return -EINVAL;
   if (args->flags &
       ~(DRM_XE_GEM_CREATE_FLAG_DEFER_BACKING | DRM_XE_GEM_CREATE_FLAG_SCANOUT |
         DRM_XE_GEM_CREATE_FLAG_NEEDS_VISIBLE_VRAM | DRM_XE_GEM_CREATE_FLAG_NO_COMPRESSION))
      return -EINVAL;
   if (args->handle || !args->size || args->size % XE_PAGE_SIZE_B)
      return -EINVAL;
   if (args->flags & DRM_XE_GEM_CREATE_FLAG_NO_COMPRESSION)
      return -EOPNOTSUPP;
   if (args->flags & DRM_XE_GEM_CREATE_FLAG_NEEDS_VISIBLE_VRAM)
      return -EINVAL;
   if (!args->cpu_caching || args->cpu_caching > DRM_XE_GEM_CPU_CACHING_WC)
      return -EINVAL;
   if ((args->flags & DRM_XE_GEM_CREATE_FLAG_SCANOUT) &&
       args->cpu_caching == DRM_XE_GEM_CPU_CACHING_WB)
      return -EINVAL;
   /* Protected content, the only extension, needs a newer GPU. */
   if (args->extensions)
      return -ENODEV;
   if (args->vm_id && !sim_vm_find_uid(file, args->vm_id, &vm_uid))
      return -ENOENT;

   return sim_bo_create_handle(file, args->size,
                               args->flags | args->cpu_caching << XE_BO_CACHING_SHIFT, vm_uid,
                               &args->handle);
}

static int
gem_mmap_offset_ioctl(struct sim_file *file, void *data)
{
   struct drm_xe_gem_mmap_offset *args = data;

   /* The barrier page is of discrete GPUs. */
   if (args->extensions || args->reserved[0] || args->reserved[1] || args->flags)
      return -EINVAL;
   return sim_bo_get_mmap_offset(file, args->handle, 0, &args->offset);
}

static int
check_export(const struct sim_bo *bo)
{
   return bo->exclusive_vm_uid ? -EPERM : 0;
}

/* Queues */

static void
queue_put(struct queue *queue)
{
   if (!queue || !p_atomic_dec_zero(&queue->refcount))
      return;
   sim_entity_finish(&queue->entity);
   if (queue->engine)
      sim_sched_destroy(queue->engine);
   if (queue->counts_as_long_running)
      p_atomic_dec(&to_xe_vm(queue->vm)->long_running_queues);
   sim_vm_put(queue->vm);
   free(queue);
}

static struct queue *
find_queue(struct sim_file *file, uint32_t id)
{
   pthread_mutex_lock(&file->lock);
   struct queue *queue = sim_handles_get(&to_xe(file)->queues, id);
   if (queue)
      p_atomic_inc(&queue->refcount);
   pthread_mutex_unlock(&file->lock);
   return queue;
}

static int
check_instance(const struct drm_xe_exec_queue_create *args,
               const struct drm_xe_engine_class_instance *instance)
{
   if (instance->gt_id || instance->engine_instance)
      return -EINVAL;

   switch (instance->engine_class) {
   case DRM_XE_ENGINE_CLASS_VM_BIND:
      return args->width == 1 && args->num_placements == 1 ? 0 : -EINVAL;
   case DRM_XE_ENGINE_CLASS_RENDER:
   case DRM_XE_ENGINE_CLASS_COPY:
      /* One engine of each: there is no other to place a queue on, nor to run it in parallel. */
      return args->width * args->num_placements == 1 ? 0 : -EINVAL;
   default:
      return -EINVAL;
   }
}

static int
check_property(const struct drm_xe_ext_set_property *property)
{
   if (property->pad)
      return -EINVAL;

   switch (property->property) {
   case DRM_XE_EXEC_QUEUE_SET_PROPERTY_PRIORITY:
      if (property->value > PRIORITY_HIGH)
         return -EINVAL;
      return property->value > XE_MAX_PRIORITY ? -EPERM : 0;
   case DRM_XE_EXEC_QUEUE_SET_PROPERTY_TIMESLICE:
      /* Root may ask for what it likes. */
      return sim_caller_is_admin() || (property->value >= 1 && property->value <= MAX_TIMESLICE_US)
                ? 0
                : -EINVAL;
   case DRM_XE_EXEC_QUEUE_SET_PROPERTY_PXP_TYPE:
      /* No protected content */
      return property->value == 0 ? 0 : property->value == 1 ? -ENODEV : -EINVAL;
   case DRM_XE_EXEC_QUEUE_SET_DISABLE_STATE_CACHE_PERF_FIX:
      return property->value > 1 ? -EINVAL : 0;
   default:
      /* Groups of queues and replayed hangs are not of this GPU. */
      return -EINVAL;
   }
}

static int
check_extensions(uint64_t address)
{
   struct drm_xe_ext_set_property extension;

   for (unsigned i = 0; address; i++, address = extension.base.next_extension) {
      if (i >= MAX_EXTENSIONS)
         return -E2BIG;
      int ret = sim_copy_in(&extension, address, sizeof(extension.base));
      if (ret)
         return ret;
      if (extension.base.pad || extension.base.name != DRM_XE_EXEC_QUEUE_EXTENSION_SET_PROPERTY)
         return -EINVAL;
      ret = sim_copy_in(&extension, address, sizeof(extension));
      if (!ret)
         ret = check_property(&extension);
      if (ret)
         return ret;
   }
   return 0;
}

static int
exec_queue_create_ioctl(struct sim_file *file, void *data)
{
   struct drm_xe_exec_queue_create *args = data;
   struct drm_xe_engine_class_instance instances[MAX_INSTANCES];

   if ((args->flags & ~DRM_XE_EXEC_QUEUE_LOW_LATENCY_HINT) || args->reserved[0] ||
       args->reserved[1])
      return -EINVAL;
   const unsigned count = args->width * args->num_placements;
   if (!count || count > MAX_INSTANCES)
      return -EINVAL;
   int ret = sim_copy_in(instances, args->instances, count * sizeof(instances[0]));
   if (!ret)
      ret = check_instance(args, &instances[0]);
   if (ret)
      return ret;

   struct sim_vm *vm = sim_vm_lookup(file, args->vm_id);
   if (!vm)
      return -ENOENT;
   if (p_atomic_read(&vm->unusable))
      ret = -ENOENT;
   if (!ret)
      ret = check_extensions(args->extensions);
   struct queue *queue = ret ? NULL : calloc(1, sizeof(*queue));
   if (!queue) {
      sim_vm_put(vm);
      return ret ? ret : -ENOMEM;
   }
   queue->refcount = 1;
   queue->vm = vm;
   queue->is_bind = instances[0].engine_class == DRM_XE_ENGINE_CLASS_VM_BIND;
   if (!queue->is_bind) {
      queue->engine = sim_sched_create("engine");
      if (!queue->engine) {
         sim_vm_put(vm);
         free(queue);
         return -ENOMEM;
      }
   }
   sim_entity_init(&queue->entity, queue->is_bind ? vm->sched : queue->engine);
   queue->counts_as_long_running =
      !queue->is_bind && (to_xe_vm(vm)->flags & DRM_XE_VM_CREATE_FLAG_LR_MODE);
   if (queue->counts_as_long_running)
      p_atomic_inc(&to_xe_vm(vm)->long_running_queues);

   pthread_mutex_lock(&file->lock);
   args->exec_queue_id = sim_handles_add(&to_xe(file)->queues, queue);
   pthread_mutex_unlock(&file->lock);
   if (!args->exec_queue_id) {
      queue_put(queue);
      return -ENOMEM;
   }
   return 0;
}

static int
exec_queue_destroy_ioctl(struct sim_file *file, void *data)
{
   struct drm_xe_exec_queue_destroy *args = data;

   if (args->pad || args->reserved[0] || args->reserved[1])
      return -EINVAL;
   pthread_mutex_lock(&file->lock);
   struct queue *queue = sim_handles_remove(&to_xe(file)->queues, args->exec_queue_id);
   pthread_mutex_unlock(&file->lock);
   if (!queue)
      return -ENOENT;
   p_atomic_set(&queue->killed, true);
   queue_put(queue);
   return 0;
}

static int
exec_queue_set_property_ioctl(struct sim_file *file, void *data)
{
   struct drm_xe_exec_queue_set_property *args = data;

   if (args->reserved[0] || args->reserved[1] ||
       args->property != DRM_XE_EXEC_QUEUE_SET_PROPERTY_MULTI_QUEUE_PRIORITY)
      return -EINVAL;
   struct queue *queue = find_queue(file, args->exec_queue_id);
   if (!queue)
      return -ENOENT;
   queue_put(queue);
   /* Only of groups of queues */
   return -EINVAL;
}

static int
exec_queue_get_property_ioctl(struct sim_file *file, void *data)
{
   struct drm_xe_exec_queue_get_property *args = data;

   if (args->reserved[0] || args->reserved[1])
      return -EINVAL;
   struct queue *queue = find_queue(file, args->exec_queue_id);
   if (!queue)
      return -ENOENT;
   int ret = args->property == DRM_XE_EXEC_QUEUE_GET_PROPERTY_BAN ? 0 : -EINVAL;
   if (!ret)
      args->value = p_atomic_read(&queue->banned);
   queue_put(queue);
   return ret;
}

/* Synchronisation of a bind or an exec */

struct sync {
   struct drm_xe_sync in;
   struct sim_syncobj *syncobj;
   /* To wait for */
   struct sim_fence *fence;
};

struct syncs {
   struct sync *entries;
   uint32_t count;
   /* At most one */
   const struct drm_xe_sync *user_fence;
};

static bool
is_signal(const struct sync *sync)
{
   return sync->in.flags & DRM_XE_SYNC_FLAG_SIGNAL;
}

static void
syncs_finish(struct syncs *syncs)
{
   for (uint32_t i = 0; i < syncs->count; i++) {
      sim_fence_put(syncs->entries[i].fence);
      sim_syncobj_put(syncs->entries[i].syncobj);
   }
   free(syncs->entries);
}

static int
parse_syncobj(struct sim_file *file, struct sync *sync, uint64_t point)
{
   if (sync->in.addr >> 32)
      return -EINVAL;
   sync->syncobj = sim_syncobj_find(file, sync->in.handle);
   if (!sync->syncobj)
      return -ENOENT;
   return is_signal(sync) ? 0 : sim_syncobj_find_fence(file, sync->in.handle, point, &sync->fence);
}

static int
parse_sync(struct sim_file *file, struct sync *sync, bool lr_mode, bool allow_user_fence)
{
   if ((sync->in.flags & ~DRM_XE_SYNC_FLAG_SIGNAL) || sync->in.reserved[0] || sync->in.reserved[1])
      return -EINVAL;

   switch (sync->in.type) {
   case DRM_XE_SYNC_TYPE_SYNCOBJ:
      return lr_mode && is_signal(sync) ? -EOPNOTSUPP : parse_syncobj(file, sync, 0);
   case DRM_XE_SYNC_TYPE_TIMELINE_SYNCOBJ:
      if (lr_mode && is_signal(sync))
         return -EOPNOTSUPP;
      return sync->in.timeline_value ? parse_syncobj(file, sync, sync->in.timeline_value) : -EINVAL;
   case DRM_XE_SYNC_TYPE_USER_FENCE:
      if (!allow_user_fence || !is_signal(sync))
         return -EOPNOTSUPP;
      return sync->in.addr & 7 ? -EINVAL : 0;
   default:
      return -EINVAL;
   }
}

static int
syncs_parse(struct sim_file *file, uint64_t user, uint32_t count, bool lr_mode,
            bool allow_user_fence, struct syncs *syncs)
{
   int ret;
   struct drm_xe_sync *in = sim_copy_in_array(user, count, sizeof(*in), sizeof(*in), &ret);

   syncs->entries = ret ? NULL : calloc(MAX2(count, 1), sizeof(*syncs->entries));
   if (!syncs->entries) {
      free(in);
      return ret ? ret : -ENOMEM;
   }

   for (uint32_t i = 0; i < count && !ret; i++) {
      struct sync *sync = &syncs->entries[syncs->count++];

      sync->in = in[i];
      ret = parse_sync(file, sync, lr_mode, allow_user_fence);
      if (!ret && sync->in.type == DRM_XE_SYNC_TYPE_USER_FENCE) {
         if (syncs->user_fence)
            ret = -EINVAL;
         syncs->user_fence = &sync->in;
      }
   }
   free(in);
   return ret;
}

static int
syncs_add_waits(const struct syncs *syncs, struct sim_job *job)
{
   int ret = 0;

   for (uint32_t i = 0; i < syncs->count && !ret; i++) {
      if (syncs->entries[i].fence)
         ret = sim_job_add_dependency(job, sim_fence_get(syncs->entries[i].fence));
   }
   return ret;
}

static void
syncs_signal(const struct syncs *syncs, struct sim_fence *fence)
{
   for (uint32_t i = 0; i < syncs->count; i++) {
      const struct sync *sync = &syncs->entries[i];

      if (!is_signal(sync) || !sync->syncobj)
         continue;
      if (sync->in.type == DRM_XE_SYNC_TYPE_TIMELINE_SYNCOBJ)
         sim_syncobj_add_point(sync->syncobj, fence, sync->in.timeline_value);
      else
         sim_syncobj_replace_fence(sync->syncobj, fence);
   }
}

/* Nothing to do but signalling, behind what the queue did last. Waits are refused by the kernel. */
static int
syncs_signal_only(const struct syncs *syncs, struct sim_entity *entity)
{
   for (uint32_t i = 0; i < syncs->count; i++) {
      if (syncs->entries[i].fence)
         return -EOPNOTSUPP;
   }

   sim_sync_lock();
   struct sim_fence *fence = sim_fence_get(entity->last_fence);
   sim_sync_unlock();
   if (!fence)
      fence = sim_fence_create_signaled();
   syncs_signal(syncs, fence);
   sim_fence_put(fence);
   return 0;
}

/* A user fence is a value written to the program's memory. */
static void
write_user_fence(uint64_t addr, uint64_t value)
{
   if (!addr)
      return;
   sim_copy_out(addr, &value, sizeof(value));
   sim_sync_lock();
   sim_sync_changed_locked();
   sim_sync_unlock();
}

/* VM_BIND */

struct bind_job {
   struct sim_job base;
   struct sim_vm *vm;
   struct sim_staged staged;
   uint64_t user_fence_addr;
   uint64_t user_fence_value;
};

static int
bind_job_run(struct sim_job *base)
{
   struct bind_job *job = container_of(base, struct bind_job, base);
   struct sim_vm *vm = job->vm;
   int error = sim_fault_job();

   pthread_mutex_lock(&vm->lock);
   if (vm->unusable)
      error = -ENOENT;
   error = sim_staged_apply_locked(&job->staged, error);
   if (error)
      p_atomic_set(&vm->unusable, true);
   pthread_mutex_unlock(&vm->lock);

   write_user_fence(job->user_fence_addr, job->user_fence_value);
   return error;
}

static void
bind_job_free(struct sim_job *base)
{
   struct bind_job *job = container_of(base, struct bind_job, base);

   sim_staged_finish(&job->staged);
   sim_vm_put(job->vm);
   free(job);
}

static int
check_bind_op(const struct drm_xe_vm_bind_op *op)
{
   const uint32_t supported = DRM_XE_VM_BIND_FLAG_READONLY | DRM_XE_VM_BIND_FLAG_IMMEDIATE |
                              DRM_XE_VM_BIND_FLAG_NULL | DRM_XE_VM_BIND_FLAG_DUMPABLE |
                              DRM_XE_VM_BIND_FLAG_CHECK_PXP | DRM_XE_VM_BIND_FLAG_CPU_ADDR_MIRROR |
                              DRM_XE_VM_BIND_FLAG_MADVISE_AUTORESET |
                              DRM_XE_VM_BIND_FLAG_DECOMPRESS;
   bool is_map = op->op == DRM_XE_VM_BIND_OP_MAP;
   bool is_null = op->flags & DRM_XE_VM_BIND_FLAG_NULL;
   bool is_unmap_all = op->op == DRM_XE_VM_BIND_OP_UNMAP_ALL;

   /* What this GPU does not have */
   if (op->flags & (DRM_XE_VM_BIND_FLAG_CPU_ADDR_MIRROR | DRM_XE_VM_BIND_FLAG_MADVISE_AUTORESET))
      return -EINVAL;
   /* The program's pages are in the CPU's caches. */
   if (op->op == DRM_XE_VM_BIND_OP_MAP_USERPTR && op->pat_index != 0)
      return -EINVAL;

   if (op->pat_index >= XE_PAT_ENTRIES || op->op > DRM_XE_VM_BIND_OP_PREFETCH ||
       (op->flags & ~supported))
      return -EINVAL;
   if (is_null && (op->obj || op->obj_offset || !is_map))
      return -EINVAL;
   if ((op->flags & DRM_XE_VM_BIND_FLAG_DECOMPRESS) && !is_map)
      return -EINVAL;
   if (is_map && !op->obj && !is_null)
      return -EINVAL;
   if (is_unmap_all && (!op->obj || op->addr || op->range))
      return -EINVAL;
   if (op->obj && !is_map && !is_unmap_all)
      return -EINVAL;
   if (op->prefetch_mem_region_instance &&
       (op->op != DRM_XE_VM_BIND_OP_PREFETCH || op->prefetch_mem_region_instance != UINT32_MAX))
      return -EINVAL;
   if ((op->obj_offset | op->addr | op->range) % XE_PAGE_SIZE_B || (!op->range && !is_unmap_all))
      return -EINVAL;
   return op->flags & DRM_XE_VM_BIND_FLAG_DECOMPRESS ? -EOPNOTSUPP : 0;
}

static int
check_bo(const struct drm_xe_vm_bind_op *op, const struct sim_bo *bo, const struct sim_vm *vm)
{
   uint32_t caching = bo->flags >> XE_BO_CACHING_SHIFT;

   if (op->range > bo->size_B || op->obj_offset > bo->size_B - op->range)
      return -EINVAL;
   /* The GPU would not see what is in the CPU's caches. */
   if (op->pat_index != 0 && (caching == DRM_XE_GEM_CPU_CACHING_WB || !caching))
      return -EINVAL;
   if (bo->exclusive_vm_uid && bo->exclusive_vm_uid != vm->uid)
      return -EINVAL;
   return 0;
}

/* The checked arguments of one ioctl */
struct bind {
   struct sim_file *file;
   struct sim_vm *vm;
   struct sim_entity *entity;
   struct drm_xe_vm_bind_op *ops;
   struct sim_bo **bos;
   uint32_t count;
   struct syncs syncs;
};

static int
copy_ops(struct bind *bind, const struct drm_xe_vm_bind *args)
{
   int ret = 0;

   if (args->num_binds > 1) {
      bind->ops = sim_copy_in_array(args->vector_of_binds, args->num_binds, sizeof(*bind->ops),
                                    sizeof(*bind->ops), &ret);
      if (ret)
         return ret == -ENOMEM ? -ENOBUFS : ret;
   } else {
      bind->ops = malloc(sizeof(*bind->ops));
      if (!bind->ops)
         return -ENOMEM;
      bind->ops[0] = args->bind;
   }
   bind->count = args->num_binds;

   for (uint32_t i = 0; i < bind->count && !ret; i++)
      ret = check_bind_op(&bind->ops[i]);
   return ret;
}

static int
lookup_bos(struct bind *bind)
{
   int ret = 0;

   for (uint32_t i = 0; i < bind->count; i++) {
      const struct drm_xe_vm_bind_op *op = &bind->ops[i];
      if (!sim_gpuvm_range_is_valid(&bind->vm->gpuvm, op->addr, op->range))
         return -EINVAL;
   }

   bind->bos = calloc(MAX2(bind->count, 1), sizeof(*bind->bos));
   if (!bind->bos)
      return -ENOMEM;
   for (uint32_t i = 0; i < bind->count && !ret; i++) {
      const struct drm_xe_vm_bind_op *op = &bind->ops[i];

      if (op->op == DRM_XE_VM_BIND_OP_MAP_USERPTR) {
         ret = sim_bo_create_from_user(op->userptr, op->range, &bind->bos[i]);
      } else if (op->obj) {
         bind->bos[i] = sim_bo_lookup(bind->file, op->obj);
         ret = bind->bos[i] ? check_bo(op, bind->bos[i], bind->vm) : -ENOENT;
      }
   }
   return ret;
}

static int
translate_unmap_all_locked(struct sim_staged *staged, const struct sim_bo *bo)
{
   struct sim_gpuva *va = sim_gpuvm_first(&staged->vm->gpuvm, 0);
   int ret = 0;

   while (va && !ret) {
      struct sim_gpuva *next = sim_gpuvm_next(va);
      if (va->bo == bo) {
         const struct sim_staged_op op = {SIM_OP_UNMAP, va->addr, va->range, NULL, 0, 0, 0, false};
         ret = sim_staged_translate_locked(staged, &op);
      }
      va = next;
   }
   return ret;
}

static int
translate_op_locked(struct sim_staged *staged, const struct drm_xe_vm_bind_op *op,
                    struct sim_bo *bo)
{
   struct sim_staged_op staged_op = {.kind = SIM_OP_UNMAP, .va = op->addr, .range = op->range};

   switch (op->op) {
   case DRM_XE_VM_BIND_OP_MAP:
   case DRM_XE_VM_BIND_OP_MAP_USERPTR:
      staged_op.kind = bo ? SIM_OP_MAP : SIM_OP_NULL;
      staged_op.bo = bo;
      staged_op.offset = op->op == DRM_XE_VM_BIND_OP_MAP ? op->obj_offset : 0;
      staged_op.va_flags = op->pat_index << XE_VA_PAT_SHIFT;
      staged_op.pte_flags = (bo ? 0 : SIM_PTE_NULL) |
                            (op->flags & DRM_XE_VM_BIND_FLAG_READONLY ? SIM_PTE_READONLY : 0);
      return sim_staged_translate_locked(staged, &staged_op);
   case DRM_XE_VM_BIND_OP_UNMAP:
      return sim_staged_translate_locked(staged, &staged_op);
   case DRM_XE_VM_BIND_OP_UNMAP_ALL:
      return translate_unmap_all_locked(staged, bo);
   default:
      /* Prefetching system memory into system memory */
      return 0;
   }
}

/* Whether there is anything for the page tables, as the kernel's list of operations has it */
static bool
changes_anything_locked(const struct bind *bind)
{
   for (uint32_t i = 0; i < bind->count; i++) {
      const struct drm_xe_vm_bind_op *op = &bind->ops[i];
      struct sim_gpuva *va;

      switch (op->op) {
      case DRM_XE_VM_BIND_OP_MAP:
      case DRM_XE_VM_BIND_OP_MAP_USERPTR:
         return true;
      case DRM_XE_VM_BIND_OP_UNMAP_ALL:
         for (va = sim_gpuvm_first(&bind->vm->gpuvm, 0); va; va = sim_gpuvm_next(va)) {
            if (va->bo == bind->bos[i])
               return true;
         }
         break;
      default:
         va = sim_gpuvm_first(&bind->vm->gpuvm, op->addr);
         if (va && va->addr < op->addr + op->range)
            return true;
         break;
      }
   }
   return false;
}

/* Behind pending binds of the same addresses, also of other queues */
static int
add_range_dependencies(const struct bind *bind, struct sim_job *job)
{
   forget_pending(bind->vm, false);
   list_for_each_entry (struct pending, pending, &to_xe_vm(bind->vm)->pending, link) {
      if (pending->entity == bind->entity)
         continue;
      for (uint32_t i = 0; i < bind->count; i++) {
         const struct drm_xe_vm_bind_op *op = &bind->ops[i];
         bool everywhere = op->op == DRM_XE_VM_BIND_OP_UNMAP_ALL;

         if (everywhere || (op->addr < pending->end && pending->start < op->addr + op->range)) {
            int ret = sim_job_add_dependency(job, sim_fence_get(pending->fence));
            if (ret)
               return ret;
            break;
         }
      }
   }
   return 0;
}

static int
remember_pending(const struct bind *bind, struct sim_fence *fence)
{
   for (uint32_t i = 0; i < bind->count; i++) {
      const struct drm_xe_vm_bind_op *op = &bind->ops[i];
      bool everywhere = op->op == DRM_XE_VM_BIND_OP_UNMAP_ALL;
      struct pending *pending = calloc(1, sizeof(*pending));

      if (!pending)
         return -ENOMEM;
      pending->start = everywhere ? 0 : op->addr;
      pending->end = everywhere ? UINT64_MAX : op->addr + op->range;
      pending->entity = bind->entity;
      pending->fence = sim_fence_get(fence);
      list_addtail(&pending->link, &to_xe_vm(bind->vm)->pending);
   }
   return 0;
}

/* All that can fail on demand fails before the tree is touched: the kernel unwinds, to the same
 * end. */
static int
translate(const struct bind *bind, struct bind_job *job)
{
   int ret = 0;

   for (uint32_t i = 0; i < bind->count && !ret; i++)
      ret = sim_fault_op();
   if (ret)
      return ret;

   pthread_mutex_lock(&bind->vm->lock);
   for (uint32_t i = 0; i < bind->count && !ret; i++)
      ret = translate_op_locked(&job->staged, &bind->ops[i], bind->bos[i]);
   pthread_mutex_unlock(&bind->vm->lock);
   return ret;
}

static int
bind_submit(struct bind *bind)
{
   struct bind_job *job = calloc(1, sizeof(*job));

   if (!job)
      return -ENOMEM;
   job->base.run = bind_job_run;
   job->base.free = bind_job_free;
   job->vm = sim_vm_get(bind->vm);
   job->staged.vm = bind->vm;
   if (bind->syncs.user_fence) {
      job->user_fence_addr = bind->syncs.user_fence->addr;
      job->user_fence_value = bind->syncs.user_fence->timeline_value;
   }
   sim_job_init(&job->base, bind->entity);

   int ret = syncs_add_waits(&bind->syncs, &job->base);
   if (!ret)
      ret = add_range_dependencies(bind, &job->base);
   if (!ret)
      ret = translate(bind, job);
   if (!ret)
      ret = remember_pending(bind, job->base.finished);
   if (ret) {
      sim_job_finish(&job->base);
      bind_job_free(&job->base);
      return ret;
   }

   struct sim_fence *fence = sim_fence_get(job->base.finished);
   sim_resv_add_fence(&bind->vm->resv, fence, SIM_RESV_BOOKKEEP);
   sim_entity_push_job(bind->entity, &job->base);
   syncs_signal(&bind->syncs, fence);
   sim_fence_put(fence);
   return 0;
}

static int
bind_locked(struct bind *bind, const struct drm_xe_vm_bind *args)
{
   bool lr_mode = to_xe_vm(bind->vm)->flags & DRM_XE_VM_CREATE_FLAG_LR_MODE;

   if (p_atomic_read(&bind->vm->unusable) || p_atomic_read(&bind->vm->destroyed))
      return -ENOENT;

   int ret = lookup_bos(bind);
   if (!ret)
      ret = syncs_parse(bind->file, args->syncs, args->num_syncs, lr_mode, bind->count > 0,
                        &bind->syncs);
   if (ret)
      return ret;

   pthread_mutex_lock(&bind->vm->lock);
   bool changes = changes_anything_locked(bind);
   pthread_mutex_unlock(&bind->vm->lock);
   return changes ? bind_submit(bind) : syncs_signal_only(&bind->syncs, bind->entity);
}

static int
vm_bind_ioctl(struct sim_file *file, void *data)
{
   struct drm_xe_vm_bind *args = data;
   struct bind bind = {.file = file, .vm = sim_vm_lookup(file, args->vm_id)};
   struct queue *queue = NULL;
   int ret = 0;

   if (!bind.vm)
      return -EINVAL;
   if (args->pad || args->pad2 || args->reserved[0] || args->reserved[1] || args->extensions ||
       args->num_syncs > DRM_XE_MAX_SYNCS)
      ret = -EINVAL;
   if (!ret)
      ret = copy_ops(&bind, args);
   if (!ret && args->exec_queue_id) {
      queue = find_queue(file, args->exec_queue_id);
      ret = !queue ? -ENOENT : !queue->is_bind || queue->vm != bind.vm ? -EINVAL : 0;
   }

   if (!ret) {
      bind.entity = queue ? &queue->entity : &bind.vm->entity;
      pthread_mutex_lock(&to_xe_vm(bind.vm)->bind_lock);
      ret = bind_locked(&bind, args);
      pthread_mutex_unlock(&to_xe_vm(bind.vm)->bind_lock);
   }

   for (uint32_t i = 0; bind.bos && i < bind.count; i++)
      sim_bo_put(bind.bos[i]);
   free(bind.bos);
   free(bind.ops);
   syncs_finish(&bind.syncs);
   queue_put(queue);
   sim_vm_put(bind.vm);
   return ret;
}

/* EXEC: a batch buffer through the GPU page tables */

struct exec_job {
   struct sim_job base;
   struct queue *queue;
   uint64_t batch;
   uint64_t user_fence_addr;
   uint64_t user_fence_value;
};

/* A 48-bit address, which user space sign-extends */
static uint64_t
address(uint32_t low, uint32_t high)
{
   return low | (uint64_t)(high & 0xffff) << 32;
}

/* Where the command streamer is */
struct streamer {
   struct queue *queue;
   uint64_t va;
   uint64_t deadline_ns;
   unsigned done_dwords;
   /* Where it returns to at the end of a second-level batch */
   uint64_t return_va;
   bool is_second_level;
   bool is_done;
};

static int
run_store(struct streamer *cs, uint32_t header)
{
   uint32_t dwords[4];
   const bool qword = header & MI_STORE_QWORD;
   int ret = sim_vm_read(cs->queue->vm, cs->va + 4, dwords, qword ? 16 : 12);

   return ret ? ret
              : sim_vm_write(cs->queue->vm, address(dwords[0], dwords[1]), &dwords[2],
                             qword ? 8 : 4);
}

/* A loop: somebody has to end it, and shall have the CPU to do so. */
static int
run_batch_start(struct streamer *cs, uint32_t header)
{
   uint32_t dwords[2];
   int ret = sim_vm_read(cs->queue->vm, cs->va + 4, dwords, sizeof(dwords));

   if (ret)
      return ret;
   const uint64_t target = address(dwords[0] & ~3u, dwords[1]);
   if ((header & MI_SECOND_LEVEL) && !cs->is_second_level) {
      cs->return_va = cs->va + 12;
      cs->is_second_level = true;
   } else if (target <= cs->va) {
      cs->done_dwords = 0;
      if (p_atomic_read(&cs->queue->killed))
         return -ECANCELED;
      if (sim_now_ns() > cs->deadline_ns)
         return -ETIME;
      nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
   }
   cs->va = target;
   return 0;
}

/* Goes on as long as the word in memory is greater. */
static int
run_conditional_end(struct streamer *cs)
{
   uint32_t dwords[3], value;
   int ret = sim_vm_read(cs->queue->vm, cs->va + 4, dwords, sizeof(dwords));

   if (!ret)
      ret = sim_vm_read(cs->queue->vm, address(dwords[1], dwords[2]), &value, sizeof(value));
   if (!ret && value <= dwords[0])
      cs->is_done = true;
   return ret;
}

static void
run_batch_end(struct streamer *cs)
{
   if (cs->is_second_level)
      cs->va = cs->return_va;
   else
      cs->is_done = true;
   cs->is_second_level = false;
}

/* Commands of the memory interface below 0x10 are one word; all others say how long they are. */
static unsigned
command_length(uint32_t header)
{
   switch (header >> 29) {
   case CLIENT_MI:
      return MI_OPCODE(header) < 0x10 ? 1 : (header & 0xff) + 2;
   case CLIENT_RENDER:
      /* Of the single-word kind */
      return (header >> 27 & 3) == 1 ? 1 : (header & 0xff) + 2;
   default:
      return (header & 0xff) + 2;
   }
}

static int
run_command(struct streamer *cs, uint32_t header)
{
   int ret = 0;

   if (header >> 29 == CLIENT_MI) {
      switch (MI_OPCODE(header)) {
      case MI_BATCH_BUFFER_END:
         run_batch_end(cs);
         return 0;
      case MI_BATCH_BUFFER_START:
         return run_batch_start(cs, header);
      case MI_STORE_DATA_IMM:
         ret = run_store(cs, header);
         break;
      case MI_CONDITIONAL_BATCH_BUFFER_END:
         ret = run_conditional_end(cs);
         break;
      default:
         break;
      }
   }
   cs->va += command_length(header) * 4;
   return ret;
}

static int
run_batch(struct queue *queue, uint64_t va)
{
   struct streamer cs = {
      .queue = queue,
      .va = address(va, va >> 32),
      .deadline_ns = sim_now_ns() + JOB_TIMEOUT_NS,
   };

   while (!cs.is_done) {
      uint32_t header = 0;
      int ret = sim_vm_read(queue->vm, cs.va, &header, sizeof(header));

      if (!ret && header >> 29 != CLIENT_MI && header >> 29 != CLIENT_BLIT &&
          header >> 29 != CLIENT_RENDER)
         ret = -EINVAL;
      if (!ret && cs.done_dwords++ > MAX_BATCH_DWORDS)
         ret = -ETIME;
      if (!ret)
         ret = run_command(&cs, header);
      if (ret && ret != -ECANCELED)
         sim_log("the batch at 0x%llx hangs at 0x%llx, command 0x%08x: %s; its queue is banned",
                 (unsigned long long)va, (unsigned long long)cs.va, header, strerror(-ret));
      if (ret)
         return ret;
   }
   return 0;
}

static int
exec_job_run(struct sim_job *base)
{
   struct exec_job *job = container_of(base, struct exec_job, base);
   bool is_over = p_atomic_read(&job->queue->banned) || p_atomic_read(&job->queue->killed);
   int ret = is_over ? -ECANCELED : 0;

   if (!ret && run_batch(job->queue, job->batch)) {
      /* A fault or nonsense in the batch: the queue is banned. */
      p_atomic_set(&job->queue->banned, true);
      ret = -ECANCELED;
   }
   write_user_fence(job->user_fence_addr, job->user_fence_value);
   return ret;
}

static void
exec_job_free(struct sim_job *base)
{
   struct exec_job *job = container_of(base, struct exec_job, base);

   queue_put(job->queue);
   free(job);
}

static int
exec_submit(struct queue *queue, const struct drm_xe_exec *args, const struct syncs *syncs)
{
   struct exec_job *job;

   if (!args->num_batch_buffer)
      return syncs_signal_only(syncs, &queue->entity);
   if (p_atomic_read(&queue->vm->unusable) || p_atomic_read(&queue->vm->destroyed))
      return -ECANCELED;

   job = calloc(1, sizeof(*job));
   if (!job)
      return -ENOMEM;
   job->base.run = exec_job_run;
   job->base.free = exec_job_free;
   job->queue = queue;
   p_atomic_inc(&queue->refcount);
   job->batch = args->address;
   if (syncs->user_fence) {
      job->user_fence_addr = syncs->user_fence->addr;
      job->user_fence_value = syncs->user_fence->timeline_value;
   }
   sim_job_init(&job->base, &queue->entity);

   int ret = syncs_add_waits(syncs, &job->base);
   if (!ret)
      ret = sim_evict_validate(queue->vm, job->base.finished);
   if (ret) {
      sim_job_finish(&job->base);
      exec_job_free(&job->base);
      return ret;
   }

   struct sim_fence *fence = sim_fence_get(job->base.finished);
   sim_entity_push_job(&queue->entity, &job->base);
   syncs_signal(syncs, fence);
   sim_fence_put(fence);
   return 0;
}

static int
exec_ioctl(struct sim_file *file, void *data)
{
   struct drm_xe_exec *args = data;
   struct syncs syncs = {0};
   int ret = 0;

   if (args->extensions || args->pad[0] || args->pad[1] || args->pad[2] || args->reserved[0] ||
       args->reserved[1] || args->num_syncs > DRM_XE_MAX_SYNCS)
      return -EINVAL;
   struct queue *queue = find_queue(file, args->exec_queue_id);
   if (!queue)
      return -ENOENT;

   if (queue->is_bind || args->num_batch_buffer > 1)
      ret = -EINVAL;
   else if (p_atomic_read(&queue->banned))
      ret = -ECANCELED;
   if (!ret) {
      bool lr_mode = to_xe_vm(queue->vm)->flags & DRM_XE_VM_CREATE_FLAG_LR_MODE;
      ret = syncs_parse(file, args->syncs, args->num_syncs, lr_mode, true, &syncs);
   }
   if (!ret)
      ret = exec_submit(queue, args, &syncs);
   syncs_finish(&syncs);
   queue_put(queue);
   return ret;
}

/* WAIT_USER_FENCE */

static bool
user_fence_passes(const struct drm_xe_wait_user_fence *args, uint64_t value)
{
   uint64_t got = value & args->mask, wanted = args->value & args->mask;

   switch (args->op) {
   case DRM_XE_UFENCE_WAIT_OP_EQ:
      return got == wanted;
   case DRM_XE_UFENCE_WAIT_OP_NEQ:
      return got != wanted;
   case DRM_XE_UFENCE_WAIT_OP_GT:
      return got > wanted;
   case DRM_XE_UFENCE_WAIT_OP_GTE:
      return got >= wanted;
   case DRM_XE_UFENCE_WAIT_OP_LT:
      return got < wanted;
   default:
      return got <= wanted;
   }
}

/* Absolute; a negative timeout is for ever, also an absolute one. */
static uint64_t
user_fence_deadline(struct drm_xe_wait_user_fence *args, uint64_t start_ns)
{
   if (args->timeout < 0) {
      args->timeout = INT64_MAX;
      return UINT64_MAX;
   }
   if (args->flags & DRM_XE_UFENCE_WAIT_FLAG_ABSTIME)
      return args->timeout;
   return start_ns + args->timeout;
}

static int
wait_for_user_fence(const struct drm_xe_wait_user_fence *args, struct queue *queue,
                    uint64_t deadline_ns)
{
   uint64_t value;
   int ret;

   while (true) {
      if (sim_copy_in(&value, args->addr, sizeof(value)))
         return -EFAULT;
      if (user_fence_passes(args, value))
         return 0;
      if (queue && p_atomic_read(&queue->banned))
         return -EIO;
      uint64_t now_ns = sim_now_ns();
      if (now_ns >= deadline_ns)
         return -ETIME;
      /* The CPU may write it as well, and nobody would tell. */
      sim_sync_lock();
      ret = sim_sync_wait_locked(MIN2(deadline_ns, now_ns + 1000000));
      sim_sync_unlock();
      if (ret == -EINTR)
         return ret;
   }
}

static int
wait_user_fence_ioctl(struct sim_file *file, void *data)
{
   struct drm_xe_wait_user_fence *args = data;
   struct queue *queue = NULL;

   if (args->extensions || args->pad || args->pad2 || args->reserved[0] || args->reserved[1])
      return -EINVAL;
   if ((args->flags & ~DRM_XE_UFENCE_WAIT_FLAG_ABSTIME) || args->op > DRM_XE_UFENCE_WAIT_OP_LTE ||
       (args->addr & 7))
      return -EINVAL;
   if (args->exec_queue_id) {
      queue = find_queue(file, args->exec_queue_id);
      if (!queue)
         return -ENOENT;
   }

   const uint64_t start_ns = sim_now_ns();
   int ret = wait_for_user_fence(args, queue, user_fence_deadline(args, start_ns));
   if (!(args->flags & DRM_XE_UFENCE_WAIT_FLAG_ABSTIME))
      args->timeout = MAX2(args->timeout - (int64_t)(sim_now_ns() - start_ns), 0);
   queue_put(queue);
   return ret;
}

/* The file */

static int
xe_open(struct sim_file *file)
{
   file->priv = calloc(1, sizeof(struct xe_file));
   return file->priv ? 0 : -ENOMEM;
}

static void
xe_close(struct sim_file *file)
{
   struct xe_file *xef = to_xe(file);

   for (uint32_t i = 0; i < xef->queues.capacity; i++) {
      struct queue *queue = xef->queues.objects[i];

      if (queue)
         p_atomic_set(&queue->killed, true);
      queue_put(queue);
   }
   sim_vm_release_file(file, vm_destroy);
   sim_handles_finish(&xef->queues);
   free(xef);
}

#define XE(NAME, func_, name_)                                                                     \
   [DRM_XE_##NAME] = {.cmd = DRM_IOCTL_XE_##NAME, .func = func_, .name = name_}

static const struct sim_ioctl ioctls[] = {
   XE(DEVICE_QUERY, xe_device_query_ioctl, "device_query"),
   XE(GEM_CREATE, gem_create_ioctl, "gem_create"),
   XE(GEM_MMAP_OFFSET, gem_mmap_offset_ioctl, "gem_mmap_offset"),
   XE(VM_CREATE, vm_create_ioctl, "vm_create"),
   XE(VM_DESTROY, vm_destroy_ioctl, "vm_destroy"),
   XE(VM_BIND, vm_bind_ioctl, "vm_bind"),
   XE(EXEC_QUEUE_CREATE, exec_queue_create_ioctl, "exec_queue_create"),
   XE(EXEC_QUEUE_DESTROY, exec_queue_destroy_ioctl, "exec_queue_destroy"),
   XE(EXEC_QUEUE_GET_PROPERTY, exec_queue_get_property_ioctl, "exec_queue_get_property"),
   XE(EXEC_QUEUE_SET_PROPERTY, exec_queue_set_property_ioctl, "exec_queue_set_property"),
   XE(EXEC, exec_ioctl, "exec"),
   XE(MADVISE, xe_madvise_ioctl, "madvise"),
   XE(VM_QUERY_MEM_RANGE_ATTRS, xe_query_mem_range_attrs_ioctl, "query_mem_range_attrs"),
   XE(WAIT_USER_FENCE, wait_user_fence_ioctl, "wait_user_fence"),
   XE(VM_GET_PROPERTY, vm_get_property_ioctl, "vm_get_property"),
};

const struct sim_driver sim_xe_driver = {
   .name = "xe",
   .desc = "Intel Xe Graphics",
   .date = "0",
   .major = 1,
   .min_minor = 1,
   .max_minor = 1,
   .va_bits = 48,
   .pci_vendor = 0x8086,
   .pci_device = 0x46a6,
   .ioctls = ioctls,
   .ioctl_count = ARRAY_SIZE(ioctls),
   .open = xe_open,
   .close = xe_close,
   .check_export = check_export,
   .find_vm = sim_vm_lookup,
};

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The xe personality: an integrated Xe-LP GPU (Alder Lake-P) behind the xe driver of Linux 7.3.
 * Follows xe_vm.c and xe_bo.c. Must know nothing of other drivers, nor of what is run (sim_xe_exec.c).
 *
 * Binds are in staged mode and atomic: an ioctl that fails changes nothing. Each bind queue is a
 * FIFO; the kernel orders those that overlap in addresses also between queues. A job that fails has
 * its error in its fence, and the VM is banned. The simulated machine has no page faults (no
 * LR-only fault mode). A userptr's pages become a BO's, at the program's address as well as the
 * GPU's, until the program changes what it has there (sim_evict).
 */

#include <errno.h>
#include <stdlib.h>

#include "drm-uapi/xe_drm.h"
#include "util/macros.h"
#include "util/u_atomic.h"

#include "sim_device.h"
#include "sim_fault.h"
#include "sim_gem.h"
#include "sim_libc.h"
#include "sim_staged.h"
#include "sim_vm.h"
#include "sim_xe.h"

/* A bind that is on its way, and the addresses that it changes */
struct pending {
   struct list_head link;
   uint64_t start;
   uint64_t end;
   const struct sim_entity *entity;
   struct sim_fence *fence;
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

   xe_write_user_fence(job->user_fence_addr, job->user_fence_value);
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
   struct xe_syncs syncs;
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

   int ret = xe_syncs_add_waits(&bind->syncs, &job->base);
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
   xe_syncs_signal(&bind->syncs, fence);
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
      ret = xe_syncs_parse(bind->file, args->syncs, args->num_syncs, lr_mode, bind->count > 0,
                        &bind->syncs);
   if (ret)
      return ret;

   pthread_mutex_lock(&bind->vm->lock);
   bool changes = changes_anything_locked(bind);
   pthread_mutex_unlock(&bind->vm->lock);
   return changes ? bind_submit(bind) : xe_syncs_signal_only(&bind->syncs, bind->entity);
}

static int
vm_bind_ioctl(struct sim_file *file, void *data)
{
   struct drm_xe_vm_bind *args = data;
   struct bind bind = {.file = file, .vm = sim_vm_lookup(file, args->vm_id)};
   struct xe_queue *queue = NULL;
   int ret = 0;

   if (!bind.vm)
      return -EINVAL;
   if (args->pad || args->pad2 || args->reserved[0] || args->reserved[1] || args->extensions ||
       args->num_syncs > DRM_XE_MAX_SYNCS)
      ret = -EINVAL;
   if (!ret)
      ret = copy_ops(&bind, args);
   if (!ret && args->exec_queue_id) {
      queue = xe_queue_find(file, args->exec_queue_id);
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
   xe_syncs_finish(&bind.syncs);
   xe_queue_put(queue);
   sim_vm_put(bind.vm);
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
   xe_release_queues(file);
   sim_vm_release_file(file, vm_destroy);
   free(file->priv);
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
   XE(EXEC_QUEUE_CREATE, xe_exec_queue_create_ioctl, "exec_queue_create"),
   XE(EXEC_QUEUE_DESTROY, xe_exec_queue_destroy_ioctl, "exec_queue_destroy"),
   XE(EXEC_QUEUE_GET_PROPERTY, xe_exec_queue_get_property_ioctl, "exec_queue_get_property"),
   XE(EXEC_QUEUE_SET_PROPERTY, xe_exec_queue_set_property_ioctl, "exec_queue_set_property"),
   XE(EXEC, xe_exec_ioctl, "exec"),
   XE(MADVISE, xe_madvise_ioctl, "madvise"),
   XE(VM_QUERY_MEM_RANGE_ATTRS, xe_query_mem_range_attrs_ioctl, "query_mem_range_attrs"),
   XE(WAIT_USER_FENCE, xe_wait_user_fence_ioctl, "wait_user_fence"),
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

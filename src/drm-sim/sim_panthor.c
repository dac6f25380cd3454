/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The panthor personality: a Mali-G610 behind the panthor driver, 1.0 (Linux 6.12) to 1.9 (7.3).
 * Follows panthor_drv.c and panthor_mmu.c. Must know nothing of other drivers.
 *
 * Binds are in immediate mode: the tree and the page tables change together, when an operation
 * runs. A VM has one FIFO for asynchronous operations, each a job of its own with its own fences;
 * synchronous operations do not wait for it. An asynchronous operation that fails at its run makes
 * the VM unusable.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "drm-uapi/panthor_drm.h"
#include "util/macros.h"
#include "util/u_atomic.h"
#include "util/u_math.h"

#include "sim_caller.h"
#include "sim_device.h"
#include "sim_fault.h"
#include "sim_gem.h"
#include "sim_libc.h"
#include "sim_panthor.h"
#include "sim_vm.h"

#define PAGE_SIZE_B     4096ull
#define MAX_VMS         32
#define MIN_KERNEL_VA_B (256ull << 20)
#define SPARSE_PERIOD_B (2ull << 20)
#define BO_LABEL_MAX_B  4096
#define TYPE_MASK       ((uint32_t)DRM_PANTHOR_VM_BIND_OP_TYPE_MASK)

#define MINOR_WB_MMAP 7
/* These came with no version of their own. Linux 6.12 (1.0) has none of them, 7.2 (1.8) has all: gpu_features at the
 * end of what is queried, sparse mappings (which the interface promises from 1.9 on), a shrinker (before, what is
 * mapped stays in place), and that a bind outside user space's range is refused, and not only when it runs.
 */
#define MINOR_OF_7_2         8
#define MINOR_GPU_FEATURES   MINOR_OF_7_2
#define MINOR_MAP_SPARSE     MINOR_OF_7_2
#define MINOR_EVICTS         MINOR_OF_7_2
#define MINOR_CHECKS_USER_VA MINOR_OF_7_2

/* One operation, ready to run */
struct op_ctx {
   /* DRM_PANTHOR_VM_BIND_OP_TYPE_* and map flags */
   uint32_t flags;
   uint64_t va;
   uint64_t range;
   struct sim_bo *bo;
   uint64_t bo_offset;
};

struct bind_job {
   struct panthor_job base;
   struct sim_vm *vm;
   struct op_ctx ctx;
};

/* DEV_QUERY */

static int
copy_obj_out(uint64_t user, uint32_t user_size, size_t min_size, const void *obj, size_t obj_size)
{
   static const char zeros[256];

   if (user_size < min_size)
      return -EINVAL;

   int ret = sim_copy_out(user, obj, MIN2(user_size, obj_size));
   for (uint64_t done = obj_size; !ret && done < user_size; done += sizeof(zeros))
      ret = sim_copy_out(user + done, zeros, MIN2(user_size - done, sizeof(zeros)));
   return ret;
}

static struct drm_panthor_gpu_info
gpu_info(const struct sim_device *device)
{
   /* As an RK3588's reports itself */
   struct drm_panthor_gpu_info info = {
      .gpu_id = 0xa8670005,
      .csf_id = 0x040a0412,
      .l2_features = 0x07120306,
      .tiler_features = 0x809,
      .mem_features = 0x301,
      .mmu_features = 0x2800 | device->va_bits,
      .thread_features = 0x04010000,
      .max_threads = 2048,
      .thread_max_workgroup_size = 1024,
      .thread_max_barrier_size = 1024,
      .texture_features = {0xc1ffff9e},
      .as_present = 0xff,
      .shader_present = PANTHOR_SHADERS,
      .l2_present = 0x1,
      .tiler_present = PANTHOR_TILERS,
   };

   if (device->minor >= MINOR_WB_MMAP)
      info.selected_coherency = DRM_PANTHOR_GPU_COHERENCY_NONE;
   return info;
}

static int
query_timestamp(const struct sim_device *device, struct drm_panthor_dev_query *args)
{
   const uint32_t valid = DRM_PANTHOR_TIMESTAMP_GPU | DRM_PANTHOR_TIMESTAMP_CPU_TYPE_MASK |
                          DRM_PANTHOR_TIMESTAMP_GPU_OFFSET | DRM_PANTHOR_TIMESTAMP_GPU_CYCLE_COUNT |
                          DRM_PANTHOR_TIMESTAMP_FREQ | DRM_PANTHOR_TIMESTAMP_DURATION;
   const size_t old_size = offsetof(struct drm_panthor_timestamp_info, flags);
   struct drm_panthor_timestamp_info info = {0};
   size_t size = device->minor >= 8 ? sizeof(info) : old_size;

   if (device->minor >= 8) {
      int ret = sim_copy_in(&info, args->pointer, MIN2(args->size, sizeof(info)));
      if (ret)
         return ret;
   }

   uint32_t flags = info.flags ? info.flags
                               : DRM_PANTHOR_TIMESTAMP_GPU | DRM_PANTHOR_TIMESTAMP_GPU_OFFSET |
                                    DRM_PANTHOR_TIMESTAMP_FREQ;
   uint32_t clock = flags & DRM_PANTHOR_TIMESTAMP_CPU_TYPE_MASK;
   if (clock > DRM_PANTHOR_TIMESTAMP_CPU_MONOTONIC_RAW || (flags & ~valid))
      return -EINVAL;

   /* The simulated GPU counts nanoseconds in units of its 24 MHz. */
   uint64_t now_ns = sim_now_ns();
   info.timestamp_frequency = flags & DRM_PANTHOR_TIMESTAMP_FREQ ? 24000000 : 0;
   info.timestamp_offset = 0;
   info.current_timestamp = flags & DRM_PANTHOR_TIMESTAMP_GPU ? now_ns * 24 / 1000 : 0;
   info.cycle_count = flags & DRM_PANTHOR_TIMESTAMP_GPU_CYCLE_COUNT ? now_ns : 0;
   info.duration_nsec = 0;
   info.cpu_timestamp_sec = clock ? now_ns / 1000000000 : 0;
   info.cpu_timestamp_nsec = clock ? now_ns % 1000000000 : 0;
   return copy_obj_out(args->pointer, args->size, MIN_SIZE(timestamp_info, current_timestamp),
                       &info, size);
}

static int
dev_query_ioctl(struct sim_file *file, void *data)
{
   struct drm_panthor_dev_query *args = data;
   const struct sim_device *device = &file->device;
   const struct drm_panthor_gpu_info gpu = gpu_info(device);
   /* Features came to the end of the structure later. */
   const size_t gpu_size = device->minor >= MINOR_GPU_FEATURES
                              ? sizeof(gpu)
                              : offsetof(struct drm_panthor_gpu_info, gpu_features);
   const struct drm_panthor_csif_info csif = {
      .csg_slot_count = 8,
      .cs_slot_count = PANTHOR_CS_SLOTS,
      .cs_reg_count = 96,
      .scoreboard_slot_count = 8,
      .unpreserved_cs_reg_count = 4,
   };
   const struct drm_panthor_group_priorities_info priorities = {
      .allowed_mask = PANTHOR_ALLOWED_PRIORITIES,
   };
   const struct drm_panthor_mmu_info mmu = {.page_size_bitmap = 4096 | 2 << 20};
   const struct {
      const void *object;
      size_t size;
      size_t min_size;
      unsigned since_minor;
   } queries[] = {
      [DRM_PANTHOR_DEV_QUERY_GPU_INFO] = {&gpu, gpu_size, MIN_SIZE(gpu_info, tiler_present), 0},
      [DRM_PANTHOR_DEV_QUERY_CSIF_INFO] = {&csif, sizeof(csif), MIN_SIZE(csif_info, pad), 0},
      [DRM_PANTHOR_DEV_QUERY_TIMESTAMP_INFO] = {NULL,
                                                device->minor >= 8
                                                   ? sizeof(struct drm_panthor_timestamp_info)
                                                   : offsetof(struct drm_panthor_timestamp_info,
                                                              flags),
                                                0, 1},
      [DRM_PANTHOR_DEV_QUERY_GROUP_PRIORITIES_INFO] = {&priorities, sizeof(priorities),
                                                       MIN_SIZE(group_priorities_info, pad), 2},
      [DRM_PANTHOR_DEV_QUERY_MMU_INFO] = {&mmu, sizeof(mmu), MIN_SIZE(mmu_info, page_size_bitmap),
                                          9},
   };

   if (args->type >= ARRAY_SIZE(queries) || device->minor < queries[args->type].since_minor)
      return -EINVAL;

   if (!args->pointer) {
      args->size = queries[args->type].size;
      return 0;
   }
   if (args->type == DRM_PANTHOR_DEV_QUERY_TIMESTAMP_INFO)
      return query_timestamp(device, args);
   return copy_obj_out(args->pointer, args->size, queries[args->type].min_size,
                       queries[args->type].object, queries[args->type].size);
}

/* VMs */

static uint64_t
choose_user_va_range(uint64_t asked, uint64_t full)
{
   /* The address space of a process here: x86-64's and arm64's with 47 bits are the same but for
    * the guard page, which the rounding below takes away.
    */
   const uint64_t task_size = (1ull << 47) - PAGE_SIZE_B;
   uint64_t range;

   if (asked)
      range = asked;
   else if (task_size < full)
      range = task_size;
   else if (full > 1ull << 32)
      range = full / 2;
   else
      range = full - MIN_KERNEL_VA_B;
   return MIN2(range, full - MIN_KERNEL_VA_B);
}

static int
vm_create_ioctl(struct sim_file *file, void *data)
{
   struct drm_panthor_vm_create *args = data;
   uint64_t full = 1ull << file->device.va_bits;

   if (args->flags)
      return -EINVAL;

   uint64_t user = choose_user_va_range(args->user_va_range, full);
   if (args->user_va_range > user)
      return -EINVAL;

   /* The kernel's part is a power of two. */
   uint64_t kernel = 1ull << util_logbase2_64(full - user);

   struct panthor_vm *priv = calloc(1, sizeof(*priv));
   struct sim_vm *vm = priv ? sim_vm_create(0, "panthor", 0, full) : NULL;
   if (!vm) {
      free(priv);
      return -ENOMEM;
   }
   priv->user_va_range = full - kernel;
   panthor_heap_pool_init(&priv->pool);
   vm->keeps_bos = file->device.minor < MINOR_EVICTS;
   vm->priv = priv;

   const uint64_t user_va_range = priv->user_va_range;
   const uint32_t id = sim_vm_add_handle(file, vm, MAX_VMS);
   if (!id)
      return -EBUSY;
   args->id = id;
   args->user_va_range = user_va_range;
   return 0;
}

static void
vm_destroy(struct sim_vm *vm)
{
   p_atomic_set(&vm->destroyed, true);
   sim_vm_clear(vm);
   panthor_heap_pool_finish(vm);
   sim_vm_put(vm);
}

static int
vm_destroy_ioctl(struct sim_file *file, void *data)
{
   struct drm_panthor_vm_destroy *args = data;

   if (args->pad)
      return -EINVAL;
   struct sim_vm *vm = sim_vm_remove_handle(file, args->id);
   if (!vm)
      return -EINVAL;
   vm_destroy(vm);
   return 0;
}

static int
vm_get_state_ioctl(struct sim_file *file, void *data)
{
   struct drm_panthor_vm_get_state *args = data;
   struct sim_vm *vm = sim_vm_lookup(file, args->vm_id);

   if (!vm)
      return -EINVAL;
   args->state =
      p_atomic_read(&vm->unusable) ? DRM_PANTHOR_VM_STATE_UNUSABLE : DRM_PANTHOR_VM_STATE_USABLE;
   sim_vm_put(vm);
   return 0;
}

/* Running one operation */

struct exec {
   struct sim_vm *vm;
   const struct op_ctx *ctx;
   struct sim_misapply misapply;
};

static uint32_t
pte_flags(uint32_t map_flags)
{
   return (map_flags & DRM_PANTHOR_VM_BIND_OP_MAP_READONLY ? SIM_PTE_READONLY : 0) |
          (map_flags & DRM_PANTHOR_VM_BIND_OP_MAP_SPARSE ? SIM_PTE_SPARSE : 0);
}

static uint64_t
fixed_offset(const struct sim_gpuvm_map *map)
{
   return map->flags & DRM_PANTHOR_VM_BIND_OP_MAP_SPARSE ? map->addr % SPARSE_PERIOD_B
                                                         : map->offset;
}

/* A map overwrites the page tables of all that it displaces; there is no need to take them away
 * first. */
static int
step_displaced(struct exec *exec, uint64_t va, uint64_t range)
{
   bool is_map = (exec->ctx->flags & TYPE_MASK) == DRM_PANTHOR_VM_BIND_OP_TYPE_MAP;

   if (is_map || exec->misapply.drop)
      return 0;
   return sim_vm_pt_unmap_locked(exec->vm, va, range);
}

static int
step_map(struct exec *exec, struct sim_gpuvm_map *map)
{
   map->offset = fixed_offset(map);
   if (exec->misapply.drop)
      return 0;

   int ret = sim_vm_pt_map_locked(exec->vm, map->addr, map->range, map->bo,
                                  map->offset + exec->misapply.offset_delta, pte_flags(map->flags));
   if (ret)
      sim_vm_pt_unmap_locked(exec->vm, map->addr, map->range);
   return ret;
}

static int
exec_step(void *priv, struct sim_gpuvm_step *step)
{
   struct exec *exec = priv;
   uint64_t va, range;

   switch (step->kind) {
   case SIM_GPUVM_MAP:
      return step_map(exec, &step->map);
   case SIM_GPUVM_REMAP:
      if (step->has_next)
         step->next.offset = fixed_offset(&step->next);
      sim_gpuvm_remap_hole(step, &va, &range);
      return step_displaced(exec, va, range);
   case SIM_GPUVM_UNMAP:
      return step_displaced(exec, step->va->addr, step->va->range);
   }
   unreachable("not a step");
}

static int
exec_map_locked(struct sim_vm *vm, const struct op_ctx *ctx)
{
   bool sparse = ctx->flags & DRM_PANTHOR_VM_BIND_OP_MAP_SPARSE;
   enum sim_op_kind kind = sparse ? SIM_OP_NULL : SIM_OP_MAP;
   struct exec exec = {
      .vm = vm,
      .ctx = ctx,
      .misapply = sim_fault_misapply(kind, ctx->bo->size_B, ctx->bo_offset, ctx->range),
   };
   const struct sim_gpuvm_map req = {
      .addr = ctx->va,
      .range = ctx->range,
      .bo = ctx->bo,
      .offset = ctx->bo_offset,
      .flags = ctx->flags & ~TYPE_MASK,
   };

   if (vm->unusable)
      return -EINVAL;
   /* An empty mapping has no place in a tree; the kernel's would only be in its own way. */
   if (!ctx->range)
      return 0;

   int ret = sim_gpuvm_sm_map(&vm->gpuvm, &req, exec_step, &exec);
   if (!ret)
      sim_vm_record_locked(vm, kind, ctx->va, ctx->range, ctx->bo, ctx->bo_offset,
                           exec.misapply.drop);
   return ret;
}

static int
exec_unmap_locked(struct sim_vm *vm, const struct op_ctx *ctx)
{
   struct exec exec = {
      .vm = vm,
      .ctx = ctx,
      .misapply = sim_fault_misapply(SIM_OP_UNMAP, 0, 0, ctx->range),
   };

   int ret = sim_gpuvm_sm_unmap(&vm->gpuvm, ctx->va, ctx->range, exec_step, &exec);
   if (!ret)
      sim_vm_record_locked(vm, SIM_OP_UNMAP, ctx->va, ctx->range, NULL, 0, exec.misapply.drop);
   return ret;
}

static int
exec_op(struct sim_vm *vm, const struct op_ctx *ctx, bool is_job)
{
   uint32_t type = ctx->flags & TYPE_MASK;

   if (type == DRM_PANTHOR_VM_BIND_OP_TYPE_SYNC_ONLY)
      return 0;

   int ret = is_job ? sim_fault_job() : sim_fault_op();

   pthread_mutex_lock(&vm->lock);
   if (!ret) {
      ret = type == DRM_PANTHOR_VM_BIND_OP_TYPE_MAP ? exec_map_locked(vm, ctx)
                                                    : exec_unmap_locked(vm, ctx);
   }
   if (ret && is_job)
      p_atomic_set(&vm->unusable, true);
   pthread_mutex_unlock(&vm->lock);
   return ret;
}

/* Preparing an operation */

static int
prepare_map(struct sim_file *file, struct sim_vm *vm, const struct drm_panthor_vm_bind_op *op,
            struct op_ctx *ctx)
{
   uint32_t valid_flags = DRM_PANTHOR_VM_BIND_OP_MAP_READONLY | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC |
                          DRM_PANTHOR_VM_BIND_OP_MAP_UNCACHED | TYPE_MASK;
   int ret = -EINVAL;

   if (file->device.minor >= MINOR_MAP_SPARSE)
      valid_flags |= DRM_PANTHOR_VM_BIND_OP_MAP_SPARSE;

   bool sparse = op->flags & valid_flags & DRM_PANTHOR_VM_BIND_OP_MAP_SPARSE;
   struct sim_bo *bo =
      sparse ? sim_bo_get(to_panthor(file)->dummy) : sim_bo_lookup(file, op->bo_handle);

   if (!bo)
      return -EINVAL;
   if (op->flags & ~valid_flags)
      goto fail_bo;
   if (sparse && !(op->flags & DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC))
      goto fail_bo;
   if (!sparse && (op->size > bo->size_B || op->bo_offset > bo->size_B - op->size))
      goto fail_bo;
   if (sparse && (op->bo_handle || op->bo_offset))
      goto fail_bo;
   if (bo->exclusive_vm_uid && bo->exclusive_vm_uid != vm->uid)
      goto fail_bo;

   *ctx = (struct op_ctx){
      .flags = op->flags,
      .va = op->va,
      .range = op->size,
      .bo = bo,
      .bo_offset = op->bo_offset,
   };
   return 0;

fail_bo:
   sim_bo_put(bo);
   return ret;
}

static int
prepare_op(struct sim_file *file, struct sim_vm *vm, const struct drm_panthor_vm_bind_op *op,
           struct op_ctx *ctx)
{
   const struct panthor_vm *pvm = vm->priv;
   uint64_t end;

   if ((op->va | op->size | op->bo_offset) % PAGE_SIZE_B)
      return -EINVAL;
   if (file->device.minor >= MINOR_CHECKS_USER_VA &&
       (__builtin_add_overflow(op->va, op->size, &end) || end > pvm->user_va_range))
      return -EINVAL;

   if ((op->flags & TYPE_MASK) == DRM_PANTHOR_VM_BIND_OP_TYPE_MAP)
      return prepare_map(file, vm, op, ctx);

   /* The other two take no more than their type. */
   if ((op->flags & ~TYPE_MASK) || op->bo_handle || op->bo_offset)
      return -EINVAL;

   switch (op->flags & TYPE_MASK) {
   case DRM_PANTHOR_VM_BIND_OP_TYPE_UNMAP:
      break;
   case DRM_PANTHOR_VM_BIND_OP_TYPE_SYNC_ONLY:
      if (op->va || op->size || !op->syncs.count)
         return -EINVAL;
      break;
   default:
      return -EINVAL;
   }

   *ctx = (struct op_ctx){.flags = op->flags, .va = op->va, .range = op->size};
   return 0;
}

/* Asynchronous binds */

static int
bind_job_run(struct sim_job *base)
{
   struct bind_job *job = container_of(base, struct bind_job, base.base);

   return exec_op(job->vm, &job->ctx, true);
}

static void
bind_job_free(struct sim_job *base)
{
   struct bind_job *job = container_of(base, struct bind_job, base.base);

   sim_bo_put(job->ctx.bo);
   sim_vm_put(job->vm);
   free(job->base.syncs);
   free(job);
}

static int
bind_job_create(struct sim_file *file, struct sim_vm *vm, const struct drm_panthor_vm_bind_op *op,
                struct panthor_job **out)
{
   if (p_atomic_read(&vm->destroyed) || p_atomic_read(&vm->unusable))
      return -EINVAL;

   struct bind_job *job = calloc(1, sizeof(*job));
   if (!job)
      return -ENOMEM;
   job->base.base.run = bind_job_run;
   job->base.base.free = bind_job_free;

   int ret = prepare_op(file, vm, op, &job->ctx);
   if (ret)
      goto fail_job;
   ret = panthor_job_init(&job->base, &vm->entity, &op->syncs);
   if (ret)
      goto fail_ctx;
   job->vm = sim_vm_get(vm);
   *out = &job->base;
   return 0;

fail_ctx:
   sim_bo_put(job->ctx.bo);
fail_job:
   free(job);
   return ret;
}

static int
vm_bind_async(struct sim_file *file, struct sim_vm *vm, const struct drm_panthor_vm_bind_op *ops,
              uint32_t count)
{
   struct panthor_submit submit;
   int ret = panthor_submit_init(&submit, file, count);

   for (uint32_t i = 0; i < count && !ret; i++)
      ret = bind_job_create(file, vm, &ops[i], &submit.jobs[i]);
   if (!ret && count)
      sim_resv_add_fence(&vm->resv, submit.jobs[count - 1]->base.finished, SIM_RESV_BOOKKEEP);
   if (!ret)
      ret = panthor_submit_push(&submit);
   panthor_submit_finish(&submit);
   return ret;
}

static int
vm_bind_one_sync(struct sim_file *file, struct sim_vm *vm, const struct drm_panthor_vm_bind_op *op)
{
   struct op_ctx ctx;

   if (op->syncs.count)
      return -EINVAL;
   if (!op->size)
      return 0;

   int ret = prepare_op(file, vm, op, &ctx);
   if (ret)
      return ret;
   ret = exec_op(vm, &ctx, false);
   sim_bo_put(ctx.bo);
   return ret;
}

static int
vm_bind_sync(struct sim_file *file, struct sim_vm *vm, const struct drm_panthor_vm_bind_op *ops,
             uint32_t *count)
{
   for (uint32_t i = 0; i < *count; i++) {
      int ret = vm_bind_one_sync(file, vm, &ops[i]);

      if (ret) {
         *count = i;
         return ret;
      }
   }
   return 0;
}

static int
vm_bind_ioctl(struct sim_file *file, void *data)
{
   struct drm_panthor_vm_bind *args = data;
   struct sim_vm *vm = sim_vm_lookup(file, args->vm_id);
   int ret;

   if (!vm)
      return -EINVAL;

   struct drm_panthor_vm_bind_op *ops =
      panthor_copy_array(&args->ops, MIN_SIZE(vm_bind_op, syncs), sizeof(*ops), &ret);
   if (!ret && (args->flags & DRM_PANTHOR_VM_BIND_ASYNC))
      ret = vm_bind_async(file, vm, ops, args->ops.count);
   else if (!ret)
      ret = vm_bind_sync(file, vm, ops, &args->ops.count);

   free(ops);
   sim_vm_put(vm);
   return ret;
}

/* BOs */

static int
bo_create_ioctl(struct sim_file *file, void *data)
{
   struct drm_panthor_bo_create *args = data;
   uint32_t valid_flags = DRM_PANTHOR_BO_NO_MMAP;
   uint64_t vm_uid = 0;
   struct sim_bo *bo;

   if (file->device.minor >= MINOR_WB_MMAP)
      valid_flags |= DRM_PANTHOR_BO_WB_MMAP;

   if (!args->size || args->pad || (args->flags & ~valid_flags))
      return -EINVAL;
   if (args->flags == (DRM_PANTHOR_BO_NO_MMAP | DRM_PANTHOR_BO_WB_MMAP))
      return -EINVAL;
   if (args->exclusive_vm_id && !sim_vm_find_uid(file, args->exclusive_vm_id, &vm_uid))
      return -EINVAL;

   int ret = sim_bo_create(args->size, args->flags, vm_uid, &bo);
   if (ret)
      return ret;
   args->size = bo->size_B;
   ret = sim_bo_add_handle(file, bo, &args->handle);
   sim_bo_put(bo);
   return ret;
}

static int
bo_mmap_offset_ioctl(struct sim_file *file, void *data)
{
   struct drm_panthor_bo_mmap_offset *args = data;

   if (args->pad)
      return -EINVAL;
   return sim_bo_get_mmap_offset(file, args->handle, DRM_PANTHOR_BO_NO_MMAP, &args->offset);
}

static int
bo_set_label_ioctl(struct sim_file *file, void *data)
{
   struct drm_panthor_bo_set_label *args = data;
   char label[BO_LABEL_MAX_B] = "";
   int ret = 0;

   if (args->pad)
      return -EINVAL;
   struct sim_bo *bo = sim_bo_lookup(file, args->handle);
   if (!bo)
      return -ENOENT;

   for (unsigned i = 0; args->label; i++) {
      if (i == sizeof(label)) {
         ret = -E2BIG;
         break;
      }
      ret = sim_copy_in(&label[i], args->label + i, 1);
      if (ret || !label[i])
         break;
   }
   if (!ret)
      snprintf(bo->name, sizeof(bo->name), "%.31s", label);
   sim_bo_put(bo);
   return ret;
}

static int
set_user_mmio_offset_ioctl(struct sim_file *file, void *data)
{
   struct drm_panthor_set_user_mmio_offset *args = data;

   if (args->offset != DRM_PANTHOR_USER_MMIO_OFFSET_32BIT &&
       args->offset != DRM_PANTHOR_USER_MMIO_OFFSET_64BIT)
      return -EINVAL;
   p_atomic_set(&to_panthor(file)->user_mmio_offset, args->offset);
   return 0;
}

static int
sync_bo(struct sim_file *file, const struct drm_panthor_bo_sync_op *op)
{
   struct sim_bo *bo = sim_bo_lookup(file, op->handle);
   uint64_t end;
   int ret = 0;

   if (!bo)
      return -ENOENT;
   /* The host's caches are coherent: there is nothing to do but to check. */
   if (op->type > DRM_PANTHOR_BO_SYNC_CPU_CACHE_FLUSH_AND_INVALIDATE ||
       __builtin_add_overflow(op->offset, op->size, &end) || end > bo->size_B)
      ret = -EINVAL;
   sim_bo_put(bo);
   return ret;
}

static int
bo_sync_ioctl(struct sim_file *file, void *data)
{
   struct drm_panthor_bo_sync *args = data;
   int ret;
   struct drm_panthor_bo_sync_op *ops =
      panthor_copy_array(&args->ops, MIN_SIZE(bo_sync_op, size), sizeof(*ops), &ret);

   for (uint32_t i = 0; i < args->ops.count && !ret; i++)
      ret = sync_bo(file, &ops[i]);
   free(ops);
   return ret;
}

static int
bo_query_info_ioctl(struct sim_file *file, void *data)
{
   struct drm_panthor_bo_query_info *args = data;
   struct sim_bo *bo = sim_bo_lookup(file, args->handle);

   if (!bo)
      return -ENOENT;
   args->pad = 0;
   args->create_flags = bo->flags;
   /* A panthor BO that comes back by PRIME is not foreign. */
   args->extra_flags = 0;
   sim_bo_put(bo);
   return 0;
}

static int
check_export(const struct sim_bo *bo)
{
   return bo->exclusive_vm_uid ? -EINVAL : 0;
}

/* The file */

static int
panthor_open(struct sim_file *file)
{
   struct panthor_file *pfile = calloc(1, sizeof(*pfile));

   if (!pfile)
      return -ENOMEM;
   pfile->user_mmio_offset = DRM_PANTHOR_USER_MMIO_OFFSET;

   int ret = sim_bo_create(SPARSE_PERIOD_B, DRM_PANTHOR_BO_NO_MMAP, 0, &pfile->dummy);
   if (ret) {
      free(pfile);
      return ret;
   }
   file->priv = pfile;
   return 0;
}

static void
panthor_close(struct sim_file *file)
{
   struct panthor_file *pfile = to_panthor(file);

   panthor_groups_finish(file);
   sim_vm_release_file(file, vm_destroy);
   sim_bo_put(pfile->dummy);
   free(pfile);
}

/* The register page with the id of the last cache flush, the only one that programs may see. */
static void *
panthor_mmap(struct sim_file *file, void *addr, uint64_t size_B, int prot, int flags,
             uint64_t offset)
{
   uint64_t mmio_offset = p_atomic_read(&to_panthor(file)->user_mmio_offset);

   if (offset < mmio_offset) {
      errno = EXDEV;
      return MAP_FAILED;
   }
   if (offset != mmio_offset || size_B != PAGE_SIZE_B || (prot & (PROT_WRITE | PROT_EXEC)) ||
       (flags & MAP_TYPE) != MAP_SHARED) {
      errno = EINVAL;
      return MAP_FAILED;
   }
   return sim_caller_mmap(addr, size_B, PROT_READ,
                           (flags & MAP_FIXED) | MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

#define PANTHOR(NAME, func_, name_, minor_)                                                        \
   [DRM_PANTHOR_##NAME] = {.cmd = DRM_IOCTL_PANTHOR_##NAME,                                        \
                           .func = func_,                                                          \
                           .name = name_,                                                          \
                           .since_minor = minor_}

static const struct sim_ioctl ioctls[] = {
   PANTHOR(DEV_QUERY, dev_query_ioctl, "dev_query", 0),
   PANTHOR(VM_CREATE, vm_create_ioctl, "vm_create", 0),
   PANTHOR(VM_DESTROY, vm_destroy_ioctl, "vm_destroy", 0),
   PANTHOR(VM_BIND, vm_bind_ioctl, "vm_bind", 0),
   PANTHOR(VM_GET_STATE, vm_get_state_ioctl, "vm_get_state", 0),
   PANTHOR(BO_CREATE, bo_create_ioctl, "bo_create", 0),
   PANTHOR(BO_MMAP_OFFSET, bo_mmap_offset_ioctl, "bo_mmap_offset", 0),
   PANTHOR(GROUP_CREATE, panthor_group_create_ioctl, "group_create", 0),
   PANTHOR(GROUP_DESTROY, panthor_group_destroy_ioctl, "group_destroy", 0),
   PANTHOR(GROUP_SUBMIT, panthor_group_submit_ioctl, "group_submit", 0),
   PANTHOR(GROUP_GET_STATE, panthor_group_get_state_ioctl, "group_get_state", 0),
   PANTHOR(TILER_HEAP_CREATE, panthor_tiler_heap_create_ioctl, "tiler_heap_create", 0),
   PANTHOR(TILER_HEAP_DESTROY, panthor_tiler_heap_destroy_ioctl, "tiler_heap_destroy", 0),
   PANTHOR(BO_SET_LABEL, bo_set_label_ioctl, "bo_set_label", 4),
   PANTHOR(SET_USER_MMIO_OFFSET, set_user_mmio_offset_ioctl, "set_user_mmio_offset", 5),
   PANTHOR(BO_SYNC, bo_sync_ioctl, "bo_sync", 7),
   PANTHOR(BO_QUERY_INFO, bo_query_info_ioctl, "bo_query_info", 7),
};

const struct sim_driver sim_panthor_driver = {
   .name = "panthor",
   .desc = "Panthor DRM driver",
   .date = "0",
   .major = 1,
   .min_minor = 0,
   .max_minor = 9,
   .va_bits = 48,
   .of_compatible = "rockchip,rk3588-mali",
   .ioctls = ioctls,
   .ioctl_count = ARRAY_SIZE(ioctls),
   .open = panthor_open,
   .close = panthor_close,
   .check_export = check_export,
   .mmap = panthor_mmap,
   .find_vm = sim_vm_lookup,
};

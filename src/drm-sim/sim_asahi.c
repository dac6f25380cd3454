/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The asahi personality: a G13G (Apple's M1). UNVERIFIED: only the UAPI header is upstream, so this
 * is what the header promises and what is known of the driver's behaviour, checked against no
 * source. Must know nothing of other drivers.
 *
 * Binds are done when the ioctl returns, one after another, without fences; when one fails, those
 * before it stay, and nobody says how many they are. Pages are 16 KiB. Closing the last handle of a
 * BO unbinds it. There are no null mappings, but one page of a BO may be repeated over a range.
 * Command buffers are for a firmware that is not simulated.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drm-uapi/asahi_drm.h"
#include "util/macros.h"
#include "util/u_atomic.h"

#include "sim_device.h"
#include "sim_fault.h"
#include "sim_gem.h"
#include "sim_libc.h"
#include "sim_staged.h"
#include "sim_vm.h"

#define PAGE_SIZE_B 16384ull

/* User space's, of which each VM gives a window to the kernel */
#define VM_START           0x4000ull
#define VM_END             (1ull << 39)
#define VM_KERNEL_MIN_B    0x20000000ull
#define TIMESTAMP_HZ       24000000

/* sim_vm.priv */
struct asahi_vm {
   uint64_t kernel_start;
   uint64_t kernel_end;
};

static int
get_params_ioctl(UNUSED struct sim_file *file, void *data)
{
   struct drm_asahi_get_params *args = data;
   const struct drm_asahi_params_global params = {
      .features = DRM_ASAHI_FEATURE_SOFT_FAULTS,
      .gpu_generation = 13,
      .gpu_variant = 'G',
      .chip_id = 0x8103,
      .num_dies = 1,
      .num_clusters_total = 1,
      .num_cores_per_cluster = 8,
      .max_frequency_khz = 1278000,
      .core_masks = {0xff},
      .vm_start = VM_START,
      .vm_end = VM_END,
      .vm_kernel_min_size = VM_KERNEL_MIN_B,
      .max_commands_per_submission = 64,
      .max_attachments = 16,
      .command_timestamp_frequency_hz = TIMESTAMP_HZ,
   };

   if (args->param_group || args->pad)
      return -EINVAL;
   return sim_copy_out(args->pointer, &params, MIN2(args->size, sizeof(params)));
}

static int
get_time_ioctl(UNUSED struct sim_file *file, void *data)
{
   struct drm_asahi_get_time *args = data;

   if (args->flags)
      return -EINVAL;
   args->gpu_timestamp = (uint64_t)((unsigned __int128)sim_now_ns() * TIMESTAMP_HZ / 1000000000);
   return 0;
}

/* VMs */

static int
vm_create_ioctl(struct sim_file *file, void *data)
{
   struct drm_asahi_vm_create *args = data;
   const uint64_t vm_end = MIN2(VM_END, 1ull << file->device.va_bits);

   if (args->pad || (args->kernel_start | args->kernel_end) % PAGE_SIZE_B ||
       args->kernel_start < VM_START || args->kernel_end > vm_end ||
       args->kernel_start >= args->kernel_end ||
       args->kernel_end - args->kernel_start < VM_KERNEL_MIN_B)
      return -EINVAL;

   struct asahi_vm *priv = calloc(1, sizeof(*priv));
   struct sim_vm *vm = priv ? sim_vm_create(0, "asahi", VM_START, vm_end - VM_START) : NULL;
   if (!vm) {
      free(priv);
      return -ENOMEM;
   }
   priv->kernel_start = args->kernel_start;
   priv->kernel_end = args->kernel_end;
   vm->priv = priv;
   vm->keeps_bos = true;

   args->vm_id = sim_vm_add_handle(file, vm, UINT32_MAX);
   return args->vm_id ? 0 : -ENOMEM;
}

static int
vm_destroy_ioctl(struct sim_file *file, void *data)
{
   struct drm_asahi_vm_destroy *args = data;

   if (args->pad)
      return -EINVAL;
   struct sim_vm *vm = sim_vm_remove_handle(file, args->vm_id);
   if (!vm)
      return -ENOENT;
   sim_vm_destroy(vm);
   return 0;
}

/* BOs */

static int
gem_create_ioctl(struct sim_file *file, void *data)
{
   struct drm_asahi_gem_create *args = data;
   const bool is_private = args->flags & DRM_ASAHI_GEM_VM_PRIVATE;
   uint64_t vm_uid = 0;

   if (args->pad || (args->flags & ~(DRM_ASAHI_GEM_WRITEBACK | DRM_ASAHI_GEM_VM_PRIVATE)) ||
       is_private != (args->vm_id != 0) || !args->size)
      return -EINVAL;
   if (is_private && !sim_vm_find_uid(file, args->vm_id, &vm_uid))
      return -ENOENT;

   const uint64_t size_B = (args->size + PAGE_SIZE_B - 1) & ~(PAGE_SIZE_B - 1);
   return sim_bo_create_handle(file, size_B, args->flags, vm_uid, &args->handle);
}

static int
gem_mmap_offset_ioctl(struct sim_file *file, void *data)
{
   struct drm_asahi_gem_mmap_offset *args = data;

   if (args->flags)
      return -EINVAL;
   return sim_bo_get_mmap_offset(file, args->handle, 0, &args->offset);
}

static int
check_export(const struct sim_bo *bo)
{
   return bo->exclusive_vm_uid ? -EINVAL : 0;
}

static void
unbind_bo_locked(struct sim_vm *vm, const struct sim_bo *bo)
{
   struct sim_gpuva *va = sim_gpuvm_first(&vm->gpuvm, 0);

   while (va) {
      struct sim_gpuva *next = sim_gpuvm_next(va);
      const struct sim_staged_op op = {.kind = SIM_OP_UNMAP, .va = va->addr, .range = va->range};

      if (va->bo == bo)
         sim_staged_run_locked(vm, &op);
      va = next;
   }
}

static void
gem_close(struct sim_file *file, struct sim_bo *bo)
{
   /* Another handle keeps it. */
   if (sim_bo_handle_in(file, bo))
      return;
   for (uint32_t id = 1; id <= file->vms.capacity; id++) {
      struct sim_vm *vm = sim_vm_lookup(file, id);

      if (!vm)
         continue;
      pthread_mutex_lock(&vm->lock);
      unbind_bo_locked(vm, bo);
      pthread_mutex_unlock(&vm->lock);
      sim_vm_put(vm);
   }
}

/* VM_BIND */

static int
check_range(const struct sim_vm *vm, const struct drm_asahi_gem_bind_op *op)
{
   const struct asahi_vm *avm = vm->priv;

   if ((op->addr | op->range) % PAGE_SIZE_B || !op->range ||
       !sim_gpuvm_range_is_valid(&vm->gpuvm, op->addr, op->range))
      return -EINVAL;
   if (op->addr < avm->kernel_end && avm->kernel_start < op->addr + op->range)
      return -EINVAL;
   return 0;
}

static int
unbind(struct sim_vm *vm, const struct drm_asahi_gem_bind_op *op)
{
   const struct sim_staged_op staged = {.kind = SIM_OP_UNMAP, .va = op->addr, .range = op->range};

   if (op->flags != DRM_ASAHI_BIND_UNBIND || op->handle || op->offset)
      return -EINVAL;
   pthread_mutex_lock(&vm->lock);
   int ret = sim_staged_run_locked(vm, &staged);
   pthread_mutex_unlock(&vm->lock);
   return ret;
}

static int
bind_bo(struct sim_vm *vm, const struct drm_asahi_gem_bind_op *op, struct sim_bo *bo)
{
   const bool repeats = op->flags & DRM_ASAHI_BIND_SINGLE_PAGE;
   const uint64_t used_B = repeats ? PAGE_SIZE_B : op->range;
   const struct sim_staged_op staged = {
      .kind = SIM_OP_MAP,
      .va = op->addr,
      .range = op->range,
      .bo = bo,
      .offset = op->offset,
      .va_flags = repeats ? SIM_STAGED_VA_REPEATS : 0,
      .pte_flags = (repeats ? SIM_PTE_REPEAT : 0) |
                   (op->flags & DRM_ASAHI_BIND_WRITE ? 0 : SIM_PTE_READONLY),
   };

   if (op->offset % PAGE_SIZE_B || used_B > bo->size_B || op->offset > bo->size_B - used_B)
      return -EINVAL;
   if (bo->exclusive_vm_uid && bo->exclusive_vm_uid != vm->uid)
      return -EINVAL;
   pthread_mutex_lock(&vm->lock);
   int ret = sim_staged_run_locked(vm, &staged);
   pthread_mutex_unlock(&vm->lock);
   return ret;
}

static int
run_op(struct sim_file *file, struct sim_vm *vm, const struct drm_asahi_gem_bind_op *op)
{
   const uint32_t access = DRM_ASAHI_BIND_READ | DRM_ASAHI_BIND_WRITE;
   int ret = check_range(vm, op);

   if (!ret)
      ret = sim_fault_op();
   if (!ret)
      ret = sim_fault_job();
   if (ret)
      return ret;
   if (op->flags & DRM_ASAHI_BIND_UNBIND)
      return unbind(vm, op);
   if ((op->flags & ~(access | DRM_ASAHI_BIND_SINGLE_PAGE)) || !(op->flags & access))
      return -EINVAL;

   struct sim_bo *bo = sim_bo_lookup(file, op->handle);
   ret = bo ? bind_bo(vm, op, bo) : -ENOENT;
   sim_bo_put(bo);
   return ret;
}

static int
vm_bind_ioctl(struct sim_file *file, void *data)
{
   struct drm_asahi_vm_bind *args = data;
   struct drm_asahi_gem_bind_op *ops = NULL;
   int ret = 0;

   if (args->pad || (args->num_binds && !args->stride))
      return -EINVAL;
   struct sim_vm *vm = sim_vm_lookup(file, args->vm_id);
   if (!vm)
      return -ENOENT;
   ops = sim_copy_in_array(args->userptr, args->num_binds, args->stride, sizeof(*ops), &ret);
   for (uint32_t i = 0; i < args->num_binds && !ret; i++)
      ret = run_op(file, vm, &ops[i]);
   free(ops);
   sim_vm_put(vm);
   return ret;
}

/* The file */

static void
asahi_close(struct sim_file *file)
{
   sim_vm_release_file(file, sim_vm_destroy);
}

#define ASAHI(NAME, name_)                                                                         \
   [DRM_ASAHI_##NAME] = {                                                                          \
      .cmd = DRM_IOCTL_ASAHI_##NAME, .func = name_##_ioctl, .name = #name_}

static const struct sim_ioctl ioctls[] = {
   ASAHI(GET_PARAMS, get_params),
   ASAHI(GET_TIME, get_time),
   ASAHI(VM_CREATE, vm_create),
   ASAHI(VM_DESTROY, vm_destroy),
   ASAHI(VM_BIND, vm_bind),
   ASAHI(GEM_CREATE, gem_create),
   ASAHI(GEM_MMAP_OFFSET, gem_mmap_offset),
};

const struct sim_driver sim_asahi_driver = {
   .name = "asahi",
   .desc = "Apple AGX Graphics",
   .date = "0",
   .major = 1,
   .min_minor = 0,
   .max_minor = 0,
   .va_bits = 39,
   .of_compatible = "apple,agx-t8103",
   .ioctls = ioctls,
   .ioctl_count = ARRAY_SIZE(ioctls),
   .close = asahi_close,
   .gem_close = gem_close,
   .check_export = check_export,
   .find_vm = sim_vm_lookup,
};

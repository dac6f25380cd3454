/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The powervr personality: a Rogue GPU (BVNC 36.53.104.796, as in TI's AM62) behind the powervr
 * driver of Linux 7.3. Follows pvr_drv.c, pvr_vm.c and pvr_gem.c. Must know nothing of other
 * drivers.
 *
 * A bind is one operation, done when the ioctl returns, without fences. Addresses are those of the
 * heaps that the driver tells. A map cuts what it overlaps, as drm_gpuvm does; an unmap takes one
 * whole mapping, named by its exact address and size. There are no null mappings, no private BOs,
 * and a BO lives as long as it is mapped. Jobs are streams for a firmware that is not simulated.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "drm-uapi/pvr_drm.h"
#include "util/macros.h"
#include "util/u_atomic.h"

#include "sim_device.h"
#include "sim_fault.h"
#include "sim_gem.h"
#include "sim_libc.h"
#include "sim_staged.h"
#include "sim_vm.h"

#define PAGE_SIZE_B 4096ull
#define GIB         (1ull << 30)

#define BVNC(b, v, n, c) ((uint64_t)(b) << 48 | (uint64_t)(v) << 32 | (uint64_t)(n) << 16 | (c))

static const struct drm_pvr_heap heaps[DRM_PVR_HEAP_COUNT] = {
   [DRM_PVR_HEAP_GENERAL] = {.base = 0x8000000000, .size = 128 * GIB, .page_size_log2 = 12},
   [DRM_PVR_HEAP_PDS_CODE_DATA] = {.base = 0xda00000000, .size = 4 * GIB, .page_size_log2 = 12},
   [DRM_PVR_HEAP_USC_CODE] = {.base = 0xe000000000, .size = 4 * GIB, .page_size_log2 = 12},
   /* Only of GPUs with a certain bug */
   [DRM_PVR_HEAP_RGNHDR] = {.base = 0xdbf0000000, .size = 0, .page_size_log2 = 12},
   [DRM_PVR_HEAP_VIS_TEST] = {.base = 0xf200000000, .size = 2 << 20, .page_size_log2 = 12},
   [DRM_PVR_HEAP_TRANSFER_FRAG] = {.base = 0xe400000000, .size = 16 * GIB, .page_size_log2 = 12},
};

/* Queries: a pointer of zero asks for the size. What is longer than the kernel's is zeroed. */

static int
set_object(uint64_t user, uint32_t user_size, uint32_t min_size, const void *object, uint32_t size)
{
   static const char zeros[256];

   if (user_size < min_size)
      return -EINVAL;
   int ret = sim_copy_out(user, object, MIN2(user_size, size));
   for (uint32_t at = size; at < user_size && !ret; at += sizeof(zeros))
      ret = sim_copy_out(user + at, zeros, MIN2(user_size - at, sizeof(zeros)));
   return ret;
}

static int
get_object(void *object, uint32_t size, uint64_t user, uint32_t user_size, uint32_t min_size)
{
   char byte;

   if (user_size < min_size)
      return -EINVAL;
   memset(object, 0, size);
   int ret = sim_copy_in(object, user, MIN2(user_size, size));
   for (uint32_t at = size; at < user_size && !ret; at++) {
      ret = sim_copy_in(&byte, user + at, 1);
      if (!ret && byte)
         ret = -E2BIG;
   }
   return ret;
}

static int
answer(struct drm_pvr_ioctl_dev_query_args *args, uint32_t min_size, const void *info,
       uint32_t size)
{
   if (!args->pointer) {
      args->size = size;
      return 0;
   }
   int ret = set_object(args->pointer, args->size, min_size, info, size);
   if (!ret)
      args->size = MIN2(args->size, size);
   return ret;
}

/* Up to and with the last field of the first version of the UAPI */
#define MIN_SIZE(type, field)                                                                      \
   (offsetof(struct drm_pvr_##type, field) + sizeof(((struct drm_pvr_##type *)0)->field))

static int
query_heaps(struct drm_pvr_ioctl_dev_query_args *args)
{
   const uint32_t min_size = MIN_SIZE(dev_query_heap_info, heaps);
   struct drm_pvr_dev_query_heap_info query;

   if (!args->pointer)
      return answer(args, min_size, NULL, sizeof(query));
   int ret = get_object(&query, sizeof(query), args->pointer, args->size, min_size);
   if (ret)
      return ret;

   if (!query.heaps.array) {
      query.heaps.count = ARRAY_SIZE(heaps);
      query.heaps.stride = sizeof(heaps[0]);
   } else {
      query.heaps.count = MIN2(query.heaps.count, ARRAY_SIZE(heaps));
      for (uint32_t i = 0; i < query.heaps.count && !ret; i++)
         ret = set_object(query.heaps.array + (uint64_t)i * query.heaps.stride, query.heaps.stride,
                          MIN_SIZE(heap, page_size_log2), &heaps[i], sizeof(heaps[i]));
   }
   return ret ? ret : answer(args, min_size, &query, sizeof(query));
}

/* Lists of numbers: the quirks and enhancements of this GPU. There are none. */
static int
query_quirks(struct drm_pvr_ioctl_dev_query_args *args)
{
   const uint32_t min_size = MIN_SIZE(dev_query_quirks, _padding_c);
   struct drm_pvr_dev_query_quirks query = {0};
   int ret = 0;

   if (args->pointer)
      ret = get_object(&query, sizeof(query), args->pointer, args->size, min_size);
   if (ret || query._padding_c)
      return ret ? ret : -EINVAL;
   query.count = query.musthave_count = 0;
   return answer(args, min_size, &query, sizeof(query));
}

static int
query_enhancements(struct drm_pvr_ioctl_dev_query_args *args)
{
   const uint32_t min_size = MIN_SIZE(dev_query_enhancements, _padding_c);
   struct drm_pvr_dev_query_enhancements query = {0};
   int ret = 0;

   if (args->pointer)
      ret = get_object(&query, sizeof(query), args->pointer, args->size, min_size);
   if (ret || query._padding_a || query._padding_c)
      return ret ? ret : -EINVAL;
   query.count = 0;
   return answer(args, min_size, &query, sizeof(query));
}

static int
query_static_data_areas(struct drm_pvr_ioctl_dev_query_args *args)
{
   const uint32_t min_size = MIN_SIZE(dev_query_static_data_areas, static_data_areas);
   struct drm_pvr_dev_query_static_data_areas query = {0};
   int ret = 0;

   if (args->pointer)
      ret = get_object(&query, sizeof(query), args->pointer, args->size, min_size);
   if (ret)
      return ret;
   query.static_data_areas.count = 0;
   query.static_data_areas.stride = sizeof(struct drm_pvr_static_data_area);
   return answer(args, min_size, &query, sizeof(query));
}

static int
dev_query_ioctl(UNUSED struct sim_file *file, void *data)
{
   struct drm_pvr_ioctl_dev_query_args *args = data;
   static const struct drm_pvr_dev_query_gpu_info gpu = {
      .gpu_id = BVNC(36, 53, 104, 796),
      .num_phantoms = 1,
   };
   static const struct drm_pvr_dev_query_runtime_info runtime = {
      .free_list_min_pages = 50,
      .free_list_max_pages = 2 << 20,
      .common_store_alloc_region_size = 48 * 1024,
      .common_store_partition_space_size = 16 * 1024,
      .max_coeffs = 64,
      .cdm_max_local_mem_size_regs = 2048,
   };

   switch (args->type) {
   case DRM_PVR_DEV_QUERY_GPU_INFO_GET:
      return answer(args, MIN_SIZE(dev_query_gpu_info, num_phantoms), &gpu, sizeof(gpu));
   case DRM_PVR_DEV_QUERY_RUNTIME_INFO_GET:
      return answer(args, MIN_SIZE(dev_query_runtime_info, cdm_max_local_mem_size_regs), &runtime,
                    sizeof(runtime));
   case DRM_PVR_DEV_QUERY_QUIRKS_GET:
      return query_quirks(args);
   case DRM_PVR_DEV_QUERY_ENHANCEMENTS_GET:
      return query_enhancements(args);
   case DRM_PVR_DEV_QUERY_HEAP_INFO_GET:
      return query_heaps(args);
   case DRM_PVR_DEV_QUERY_STATIC_DATA_AREAS_GET:
      return query_static_data_areas(args);
   default:
      return -EINVAL;
   }
}

/* BOs */

static int
create_bo_ioctl(struct sim_file *file, void *data)
{
   struct drm_pvr_ioctl_create_bo_args *args = data;
   const uint64_t unreadable =
      DRM_PVR_BO_PM_FW_PROTECT | DRM_PVR_BO_ALLOW_CPU_USERSPACE_ACCESS;

   if (args->_padding_c || !args->size || args->size % PAGE_SIZE_B ||
       (args->flags & ~DRM_PVR_BO_FLAGS_MASK))
      return -EINVAL;
   /* What the firmware protects, nobody reads. */
   if ((args->flags & unreadable) == unreadable)
      return -EINVAL;

   return sim_bo_create_handle(file, args->size, args->flags, 0, &args->handle);
}

static int
get_bo_mmap_offset_ioctl(struct sim_file *file, void *data)
{
   struct drm_pvr_ioctl_get_bo_mmap_offset_args *args = data;

   if (args->_padding_4)
      return -EINVAL;
   return sim_bo_get_mmap_offset(file, args->handle, 0, &args->offset);
}

/* Not every BO is for the CPU: EXDEV leaves it to the usual way. */
static void *
map_bo(struct sim_file *file, UNUSED void *addr, UNUSED uint64_t size_B, UNUSED int prot,
       UNUSED int flags, uint64_t offset)
{
   errno = EXDEV;
   pthread_mutex_lock(&file->lock);
   for (uint32_t i = 0; i < file->bos.capacity; i++) {
      const struct sim_bo *bo = file->bos.objects[i];

      if (bo && bo->mmap_offset == offset && !bo->imported &&
          !(bo->flags & DRM_PVR_BO_ALLOW_CPU_USERSPACE_ACCESS))
         errno = EINVAL;
   }
   pthread_mutex_unlock(&file->lock);
   return MAP_FAILED;
}

static int
check_export(UNUSED const struct sim_bo *bo)
{
   return 0;
}

/* VMs */

static int
create_vm_context_ioctl(struct sim_file *file, void *data)
{
   struct drm_pvr_ioctl_create_vm_context_args *args = data;

   if (args->_padding_4)
      return -EINVAL;
   struct sim_vm *vm = sim_vm_create(0, "powervr", 0, 1ull << file->device.va_bits);
   if (!vm)
      return -ENOMEM;
   /* A mapping pins its BO's pages. */
   vm->keeps_bos = true;

   args->handle = sim_vm_add_handle(file, vm, UINT32_MAX);
   return args->handle ? 0 : -ENOMEM;
}

static int
destroy_vm_context_ioctl(struct sim_file *file, void *data)
{
   struct drm_pvr_ioctl_destroy_vm_context_args *args = data;

   if (args->_padding_4)
      return -EINVAL;
   struct sim_vm *vm = sim_vm_remove_handle(file, args->handle);
   if (!vm)
      return -EINVAL;
   sim_vm_destroy(vm);
   return 0;
}

static bool
is_in_a_heap(uint64_t start, uint64_t size_B)
{
   uint64_t end;

   if (__builtin_add_overflow(start, size_B, &end))
      return false;
   for (unsigned i = 0; i < ARRAY_SIZE(heaps); i++) {
      if (heaps[i].size && start >= heaps[i].base && end <= heaps[i].base + heaps[i].size)
         return true;
   }
   return false;
}

static int
apply(struct sim_vm *vm, const struct sim_staged_op *op)
{
   int ret = sim_fault_op();

   if (!ret)
      ret = sim_fault_job();
   return ret ? ret : sim_staged_run_locked(vm, op);
}

static int
vm_map(struct sim_vm *vm, const struct drm_pvr_ioctl_vm_map_args *args, struct sim_bo *bo)
{
   const struct sim_staged_op op = {
      .kind = SIM_OP_MAP,
      .va = args->device_addr,
      .range = args->size,
      .bo = bo,
      .offset = args->offset,
   };

   if (args->offset >= bo->size_B || args->offset + args->size > bo->size_B)
      return -EINVAL;
   if ((args->device_addr | args->size | args->offset) % PAGE_SIZE_B || !args->size ||
       !sim_gpuvm_range_is_valid(&vm->gpuvm, args->device_addr, args->size))
      return -EINVAL;

   pthread_mutex_lock(&vm->lock);
   int ret = apply(vm, &op);
   pthread_mutex_unlock(&vm->lock);
   return ret;
}

static int
vm_map_ioctl(struct sim_file *file, void *data)
{
   struct drm_pvr_ioctl_vm_map_args *args = data;
   uint64_t end;

   if (args->_padding_14 || args->flags ||
       __builtin_add_overflow(args->offset, args->size, &end) ||
       !is_in_a_heap(args->device_addr, args->size))
      return -EINVAL;
   struct sim_vm *vm = sim_vm_lookup(file, args->vm_context_handle);
   if (!vm)
      return -EINVAL;
   struct sim_bo *bo = sim_bo_lookup(file, args->handle);
   int ret = bo ? vm_map(vm, args, bo) : -ENOENT;
   sim_bo_put(bo);
   sim_vm_put(vm);
   return ret;
}

static int
vm_unmap_locked(struct sim_vm *vm, uint64_t addr, uint64_t size_B)
{
   const struct sim_gpuva *va = sim_gpuvm_first(&vm->gpuvm, addr);
   const struct sim_staged_op op = {.kind = SIM_OP_UNMAP, .va = addr, .range = size_B};

   if (!va || va->addr != addr || va->range != size_B)
      return -ENOENT;
   return apply(vm, &op);
}

static int
vm_unmap_ioctl(struct sim_file *file, void *data)
{
   struct drm_pvr_ioctl_vm_unmap_args *args = data;

   if (args->_padding_4)
      return -EINVAL;
   struct sim_vm *vm = sim_vm_lookup(file, args->vm_context_handle);
   if (!vm)
      return -EINVAL;
   pthread_mutex_lock(&vm->lock);
   int ret = vm_unmap_locked(vm, args->device_addr, args->size);
   pthread_mutex_unlock(&vm->lock);
   sim_vm_put(vm);
   return ret;
}

/* The file */

static void
powervr_close(struct sim_file *file)
{
   sim_vm_release_file(file, sim_vm_destroy);
}

#define PVR(nr, NAME, name_) [nr] = {.cmd = DRM_IOCTL_PVR_##NAME, .func = name_##_ioctl, .name = #name_}

static const struct sim_ioctl ioctls[] = {
   PVR(0x00, DEV_QUERY, dev_query),
   PVR(0x01, CREATE_BO, create_bo),
   PVR(0x02, GET_BO_MMAP_OFFSET, get_bo_mmap_offset),
   PVR(0x03, CREATE_VM_CONTEXT, create_vm_context),
   PVR(0x04, DESTROY_VM_CONTEXT, destroy_vm_context),
   PVR(0x05, VM_MAP, vm_map),
   PVR(0x06, VM_UNMAP, vm_unmap),
};

const struct sim_driver sim_powervr_driver = {
   .name = "powervr",
   .desc = "Imagination PowerVR (Series 6 and later) & IMG Graphics",
   .date = "0",
   .major = 1,
   .min_minor = 0,
   .max_minor = 0,
   .va_bits = 40,
   .of_compatible = "ti,am62-gpu",
   .ioctls = ioctls,
   .ioctl_count = ARRAY_SIZE(ioctls),
   .close = powervr_close,
   .mmap = map_bo,
   .check_export = check_export,
   .find_vm = sim_vm_lookup,
};

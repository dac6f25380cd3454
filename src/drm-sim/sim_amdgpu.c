/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The amdgpu personality: a Navi 10 behind the amdgpu driver of Linux 6.12 (3.61) or 7.3 (3.64).
 * Follows amdgpu_gem.c, amdgpu_vm.c and amdgpu_object.c. Must know nothing of other drivers.
 *
 * A file has one VM. GEM_VA is one operation: the list of mappings changes at once, the page tables
 * by a job behind all earlier ones; in-fences are waited for inside the ioctl, and a timeline may
 * be told when the job has run. MAP refuses what is not free, UNMAP takes one whole mapping by its
 * start, CLEAR and REPLACE cut. DELAY_UPDATE leaves the page tables to the next GEM_VA without it,
 * or to a submit. Mappings with PRT are null mappings. Closing a file's last handle of a BO unmaps
 * it.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/macros.h"
#include "util/u_atomic.h"
#include "util/u_math.h"

#include "sim_amdgpu.h"
#include "sim_fault.h"
#include "sim_gem.h"
#include "sim_libc.h"
#include "sim_staged.h"
#include "sim_syncobj.h"
#include "sim_vm.h"

#define PAGE_SIZE_B 4096ull

/* The minor version of Linux 6.12 is the last that is known to be without. */
#define MINOR_VA_TIMELINES 62

#define SETTABLE_FLAGS                                                                             \
   (AMDGPU_GEM_CREATE_CPU_ACCESS_REQUIRED | AMDGPU_GEM_CREATE_NO_CPU_ACCESS |                      \
    AMDGPU_GEM_CREATE_CPU_GTT_USWC | AMDGPU_GEM_CREATE_VRAM_CLEARED |                              \
    AMDGPU_GEM_CREATE_VM_ALWAYS_VALID | AMDGPU_GEM_CREATE_EXPLICIT_SYNC |                          \
    AMDGPU_GEM_CREATE_VRAM_WIPE_ON_RELEASE | AMDGPU_GEM_CREATE_ENCRYPTED |                         \
    AMDGPU_GEM_CREATE_GFX12_DCC | AMDGPU_GEM_CREATE_DISCARDABLE)

/* Changes of the page tables that have not been sent */
struct amdgpu_va_job {
   struct sim_job base;
   struct sim_vm *vm;
   struct sim_staged staged;
};

uint64_t
amdgpu_deadline(uint64_t timeout_ns)
{
   return (int64_t)timeout_ns < 0 ? UINT64_MAX : timeout_ns;
}

static struct sim_vm *
find_vm(struct sim_file *file, UNUSED uint32_t vm_id)
{
   return sim_vm_get(to_amdgpu(file)->vm);
}

/* BOs */

static bool
domains_are_valid(uint64_t domains)
{
   const uint64_t special =
      AMDGPU_GEM_DOMAIN_GDS | AMDGPU_GEM_DOMAIN_GWS | AMDGPU_GEM_DOMAIN_OA | AMDGPU_GEM_DOMAIN_DOORBELL;

   if (domains & ~(uint64_t)AMDGPU_GEM_DOMAIN_MASK)
      return false;
   /* Of the special ones one, and alone */
   return !(domains & special) || !(domains & (domains - 1));
}

static int
gem_create_ioctl(struct sim_file *file, void *data)
{
   union drm_amdgpu_gem_create *args = data;
   const struct drm_amdgpu_gem_create_in in = args->in;
   const bool is_private = in.domain_flags & AMDGPU_GEM_CREATE_VM_ALWAYS_VALID;
   uint32_t handle;

   if ((in.domain_flags & ~(uint64_t)SETTABLE_FLAGS) || !domains_are_valid(in.domains) ||
       (in.domain_flags & AMDGPU_GEM_CREATE_ENCRYPTED))
      return -EINVAL;
   if (is_private &&
       (in.domains & (AMDGPU_GEM_DOMAIN_GDS | AMDGPU_GEM_DOMAIN_GWS | AMDGPU_GEM_DOMAIN_OA)))
      return -EINVAL;

   /* What the VM needs of it later, and the domains above that */
   const uint32_t flags = (uint32_t)in.domain_flags | (uint32_t)in.domains << 24;
   int ret = sim_bo_create_handle(file, in.bo_size, flags,
                                  is_private ? to_amdgpu(file)->vm->uid : 0, &handle);
   if (ret)
      return ret;
   memset(args, 0, sizeof(*args));
   args->out.handle = handle;
   return 0;
}

static int
gem_mmap_ioctl(struct sim_file *file, void *data)
{
   union drm_amdgpu_gem_mmap *args = data;
   __u64 offset;
   int ret =
      sim_bo_get_mmap_offset(file, args->in.handle, AMDGPU_GEM_CREATE_NO_CPU_ACCESS, &offset);

   if (ret)
      return ret;
   memset(args, 0, sizeof(*args));
   args->out.addr_ptr = offset;
   return 0;
}

static int
gem_wait_idle_ioctl(struct sim_file *file, void *data)
{
   union drm_amdgpu_gem_wait_idle *args = data;
   const uint64_t deadline_ns = amdgpu_deadline(args->in.timeout);
   struct sim_bo *bo = sim_bo_lookup(file, args->in.handle);
   int ret = 0;

   if (!bo)
      return -ENOENT;
   sim_sync_lock();
   while (!ret && !sim_resv_is_idle_locked(&bo->resv, SIM_RESV_READ))
      ret = sim_sync_wait_locked(deadline_ns);
   sim_sync_unlock();
   sim_bo_put(bo);
   if (ret == -EINTR)
      return ret;
   memset(args, 0, sizeof(*args));
   args->out.status = ret == -ETIME;
   return 0;
}

/* What the driver keeps for others: tiling, and words of user space's own */
static int
gem_metadata_ioctl(struct sim_file *file, void *data)
{
   struct drm_amdgpu_gem_metadata *args = data;
   struct sim_bo *bo = sim_bo_lookup(file, args->handle);
   int ret = 0;

   if (!bo)
      return -ENOENT;
   pthread_mutex_lock(&file->lock);
   switch (args->op) {
   case AMDGPU_GEM_METADATA_OP_SET_METADATA:
      if (args->data.data_size_bytes > sizeof(args->data.data)) {
         ret = -EINVAL;
         break;
      }
      if (!bo->metadata)
         bo->metadata = malloc(sizeof(args->data));
      if (bo->metadata) {
         memcpy(bo->metadata, &args->data, sizeof(args->data));
         bo->metadata_size = sizeof(args->data);
      } else {
         ret = -ENOMEM;
      }
      break;
   case AMDGPU_GEM_METADATA_OP_GET_METADATA:
      memset(&args->data, 0, sizeof(args->data));
      if (bo->metadata)
         memcpy(&args->data, bo->metadata, sizeof(args->data));
      break;
   default:
      /* The kernel says nothing about what it does not know. */
      break;
   }
   pthread_mutex_unlock(&file->lock);
   sim_bo_put(bo);
   return ret;
}

static int
gem_op_ioctl(struct sim_file *file, void *data)
{
   struct drm_amdgpu_gem_op *args = data;
   struct sim_bo *bo = sim_bo_lookup(file, args->handle);
   int ret = 0;

   if (!bo)
      return -ENOENT;
   if (args->padding) {
      ret = -EINVAL;
   } else if (args->op == AMDGPU_GEM_OP_GET_GEM_CREATE_INFO) {
      const struct drm_amdgpu_gem_create_in info = {
         .bo_size = bo->size_B,
         .alignment = PAGE_SIZE_B,
         .domains = bo->flags >> 24,
         .domain_flags = bo->flags & 0xffffff,
      };
      ret = sim_copy_out(args->value, &info, sizeof(info));
   } else if (args->op != AMDGPU_GEM_OP_SET_PLACEMENT) {
      ret = -EINVAL;
   }
   sim_bo_put(bo);
   return ret;
}

static int
check_export(const struct sim_bo *bo)
{
   return bo->exclusive_vm_uid ? -EPERM : 0;
}

/* The page tables' jobs */

static int
va_job_run(struct sim_job *base)
{
   struct amdgpu_va_job *job = container_of(base, struct amdgpu_va_job, base);
   int error = sim_fault_job();

   pthread_mutex_lock(&job->vm->lock);
   if (p_atomic_read(&job->vm->destroyed))
      error = -ENODEV;
   else
      error = sim_staged_apply_locked(&job->staged, error);
   pthread_mutex_unlock(&job->vm->lock);
   return error;
}

static void
va_job_free(struct sim_job *base)
{
   struct amdgpu_va_job *job = container_of(base, struct amdgpu_va_job, base);

   sim_staged_finish(&job->staged);
   sim_vm_put(job->vm);
   free(job);
}

/* With the file's va_lock held */
static struct amdgpu_va_job *
current_va_job(struct amdgpu_file *afile)
{
   if (afile->va_job)
      return afile->va_job;

   struct amdgpu_va_job *job = calloc(1, sizeof(*job));
   if (!job)
      return NULL;
   job->base.run = va_job_run;
   job->base.free = va_job_free;
   job->vm = sim_vm_get(afile->vm);
   job->staged.vm = afile->vm;
   sim_job_init(&job->base, &afile->vm->entity);
   afile->va_job = job;
   return job;
}

static struct sim_fence *
flush_va_locked(struct amdgpu_file *afile)
{
   struct amdgpu_va_job *job = afile->va_job;

   afile->va_job = NULL;
   if (job) {
      sim_resv_add_fence(&afile->vm->resv, job->base.finished, SIM_RESV_BOOKKEEP);
      sim_entity_push_job(&afile->vm->entity, &job->base);
   }
   sim_sync_lock();
   struct sim_fence *last = sim_fence_get(afile->vm->entity.last_fence);
   sim_sync_unlock();
   return last;
}

struct sim_fence *
amdgpu_flush_va(struct sim_file *file)
{
   struct amdgpu_file *afile = to_amdgpu(file);

   pthread_mutex_lock(&afile->va_lock);
   struct sim_fence *last = flush_va_locked(afile);
   pthread_mutex_unlock(&afile->va_lock);
   return last;
}

/* GEM_VA */

static int
stage_locked(struct amdgpu_file *afile, const struct sim_staged_op *op)
{
   struct amdgpu_va_job *job = current_va_job(afile);

   return job ? sim_staged_translate_locked(&job->staged, op) : -ENOMEM;
}

static int
check_range(const struct drm_amdgpu_gem_va *args, const struct sim_bo *bo, uint64_t offset)
{
   uint64_t end;

   if ((args->va_address | offset | args->map_size) % PAGE_SIZE_B || !args->map_size ||
       __builtin_add_overflow(offset, args->map_size, &end))
      return -EINVAL;
   return bo && end > bo->size_B ? -EINVAL : 0;
}

static int
map_locked(struct amdgpu_file *afile, const struct drm_amdgpu_gem_va *args, struct sim_bo *bo)
{
   const struct sim_gpuva *va = sim_gpuvm_first(&afile->vm->gpuvm, args->va_address);
   const struct sim_staged_op op = {
      .kind = bo ? SIM_OP_MAP : SIM_OP_NULL,
      .va = args->va_address,
      .range = args->map_size,
      .bo = bo,
      .offset = bo ? args->offset_in_bo : 0,
      .pte_flags = (bo ? 0 : SIM_PTE_NULL) |
                   (bo && !(args->flags & AMDGPU_VM_PAGE_WRITEABLE) ? SIM_PTE_READONLY : 0),
   };
   int ret = check_range(args, bo, args->offset_in_bo);

   if (!ret && args->operation == AMDGPU_VA_OP_MAP && va &&
       va->addr < args->va_address + args->map_size)
      ret = -EINVAL;
   if (!ret && bo && bo->exclusive_vm_uid && bo->exclusive_vm_uid != afile->vm->uid)
      ret = -EINVAL;
   return ret ? ret : stage_locked(afile, &op);
}

static int
unmap_locked(struct amdgpu_file *afile, const struct drm_amdgpu_gem_va *args,
             const struct sim_bo *bo)
{
   const struct sim_gpuva *va = sim_gpuvm_first(&afile->vm->gpuvm, args->va_address);

   /* By the number of the page that it starts in, and of this BO */
   if (!va || va->addr != (args->va_address & ~(PAGE_SIZE_B - 1)) || va->bo != bo)
      return -ENOENT;
   const struct sim_staged_op op = {.kind = SIM_OP_UNMAP, .va = va->addr, .range = va->range};
   return stage_locked(afile, &op);
}

static int
clear_locked(struct amdgpu_file *afile, const struct drm_amdgpu_gem_va *args)
{
   const struct sim_staged_op op = {
      .kind = SIM_OP_UNMAP,
      .va = args->va_address,
      .range = args->map_size,
   };
   int ret = check_range(args, NULL, 0);

   return ret ? ret : stage_locked(afile, &op);
}

static int
change_locked(struct amdgpu_file *afile, const struct drm_amdgpu_gem_va *args, struct sim_bo *bo)
{
   int ret = sim_fault_op();

   if (ret)
      return ret;
   switch (args->operation) {
   case AMDGPU_VA_OP_UNMAP:
      return unmap_locked(afile, args, bo);
   case AMDGPU_VA_OP_CLEAR:
      return clear_locked(afile, args);
   default:
      return map_locked(afile, args, bo);
   }
}

static int
check_gem_va(struct drm_amdgpu_gem_va *args)
{
   const uint32_t valid_flags = AMDGPU_VM_DELAY_UPDATE | AMDGPU_VM_PAGE_READABLE |
                                AMDGPU_VM_PAGE_WRITEABLE | AMDGPU_VM_PAGE_EXECUTABLE |
                                AMDGPU_VM_MTYPE_MASK | AMDGPU_VM_PAGE_NOALLOC;
   const uint32_t prt_flags = AMDGPU_VM_DELAY_UPDATE | AMDGPU_VM_PAGE_PRT;
   const uint64_t vm_end = 2 * AMDGPU_VA_HOLE_START - AMDGPU_VA_RESERVED_TOP_B;
   uint64_t end;

   if (args->va_address < AMDGPU_VA_RESERVED_BOTTOM_B)
      return -EINVAL;
   if (args->va_address >= AMDGPU_VA_HOLE_START && args->va_address < AMDGPU_VA_HOLE_END)
      return -EINVAL;
   args->va_address &= 2 * AMDGPU_VA_HOLE_START - 1;
   if (__builtin_add_overflow(args->va_address, args->map_size, &end) || end > vm_end)
      return -EINVAL;
   if ((args->flags & ~valid_flags) && (args->flags & ~prt_flags))
      return -EINVAL;
   if (args->operation < AMDGPU_VA_OP_MAP || args->operation > AMDGPU_VA_OP_REPLACE)
      return -EINVAL;
   return args->flags & AMDGPU_VM_DELAY_UPDATE && args->vm_timeline_syncobj_out ? -EINVAL : 0;
}

/* The kernel waits here, whatever comes. */
static int
wait_for_inputs(struct sim_file *file, const struct drm_amdgpu_gem_va *args)
{
   int ret;
   uint32_t *handles = sim_copy_in_array(args->input_fence_syncobj_handles, args->num_syncobj_handles,
                                         sizeof(*handles), sizeof(*handles), &ret);

   for (uint32_t i = 0; i < args->num_syncobj_handles && !ret; i++) {
      struct sim_fence *fence;

      ret = handles[i] ? sim_syncobj_find_fence(file, handles[i], 0, &fence) : -EINVAL;
      if (ret)
         break;
      sim_sync_lock();
      while (!sim_fence_is_signaled_locked(fence))
         sim_sync_wait_locked(UINT64_MAX);
      sim_sync_unlock();
      sim_fence_put(fence);
   }
   free(handles);
   return ret;
}

static void
tell_timeline(struct sim_syncobj *timeline, uint64_t point, struct sim_fence *last)
{
   struct sim_fence *fence = last ? sim_fence_get(last) : sim_fence_create_signaled();

   if (point)
      sim_syncobj_add_point(timeline, fence, point);
   else
      sim_syncobj_replace_fence(timeline, fence);
   sim_fence_put(fence);
}

static int
gem_va_on_bo(struct sim_file *file, const struct drm_amdgpu_gem_va *args, struct sim_bo *bo)
{
   struct amdgpu_file *afile = to_amdgpu(file);
   struct sim_syncobj *timeline = NULL;
   int ret = wait_for_inputs(file, args);

   if (!ret && args->vm_timeline_syncobj_out) {
      timeline = sim_syncobj_find(file, args->vm_timeline_syncobj_out);
      ret = timeline ? 0 : -ENOENT;
   }
   if (ret)
      return ret;

   pthread_mutex_lock(&afile->va_lock);
   pthread_mutex_lock(&afile->vm->lock);
   ret = change_locked(afile, args, bo);
   pthread_mutex_unlock(&afile->vm->lock);
   if (!ret && !(args->flags & AMDGPU_VM_DELAY_UPDATE)) {
      struct sim_fence *last = flush_va_locked(afile);

      if (timeline)
         tell_timeline(timeline, args->vm_timeline_point, last);
      sim_fence_put(last);
   }
   pthread_mutex_unlock(&afile->va_lock);
   sim_syncobj_put(timeline);
   return ret;
}

static int
gem_va_ioctl(struct sim_file *file, void *data)
{
   struct drm_amdgpu_gem_va *args = data;
   struct sim_bo *bo = NULL;

   /* The argument was shorter, and ended with the size. */
   if (file->device.minor < MINOR_VA_TIMELINES) {
      args->vm_timeline_point = 0;
      args->vm_timeline_syncobj_out = 0;
      args->num_syncobj_handles = 0;
      args->input_fence_syncobj_handles = 0;
   }
   int ret = check_gem_va(args);
   if (ret)
      return ret;
   if (args->operation != AMDGPU_VA_OP_CLEAR && !(args->flags & AMDGPU_VM_PAGE_PRT)) {
      bo = sim_bo_lookup(file, args->handle);
      if (!bo)
         return -ENOENT;
   }
   ret = gem_va_on_bo(file, args, bo);
   sim_bo_put(bo);
   return ret;
}

static void
unmap_bo_locked(struct amdgpu_file *afile, const struct sim_bo *bo)
{
   struct sim_gpuva *va = sim_gpuvm_first(&afile->vm->gpuvm, 0);

   while (va) {
      struct sim_gpuva *next = sim_gpuvm_next(va);
      const struct sim_staged_op op = {.kind = SIM_OP_UNMAP, .va = va->addr, .range = va->range};

      if (va->bo == bo)
         stage_locked(afile, &op);
      va = next;
   }
}

static void
gem_close(struct sim_file *file, struct sim_bo *bo)
{
   struct amdgpu_file *afile = to_amdgpu(file);

   /* Another handle keeps it. */
   if (sim_bo_handle_in(file, bo))
      return;
   pthread_mutex_lock(&afile->va_lock);
   pthread_mutex_lock(&afile->vm->lock);
   unmap_bo_locked(afile, bo);
   pthread_mutex_unlock(&afile->vm->lock);
   sim_fence_put(flush_va_locked(afile));
   pthread_mutex_unlock(&afile->va_lock);
}

static int
vm_ioctl(UNUSED struct sim_file *file, void *data)
{
   union drm_amdgpu_vm *args = data;

   if (args->in.flags)
      return -EINVAL;
   switch (args->in.op) {
   case AMDGPU_VM_OP_RESERVE_VMID:
   case AMDGPU_VM_OP_UNRESERVE_VMID:
      return 0;
   default:
      return -EINVAL;
   }
}

/* The file */

static int
amdgpu_open(struct sim_file *file)
{
   struct amdgpu_file *afile = calloc(1, sizeof(*afile));

   if (!afile)
      return -ENOMEM;
   afile->vm = sim_vm_create(0, "amdgpu", 0, 2 * AMDGPU_VA_HOLE_START);
   if (!afile->vm) {
      free(afile);
      return -ENOMEM;
   }
   pthread_mutex_init(&afile->va_lock, NULL);
   file->priv = afile;
   return 0;
}

static void
amdgpu_close(struct sim_file *file)
{
   struct amdgpu_file *afile = to_amdgpu(file);

   amdgpu_release_contexts(file);
   if (afile->va_job) {
      sim_job_finish(&afile->va_job->base);
      va_job_free(&afile->va_job->base);
   }
   /* What was sent to the page tables gets there, as amdgpu_vm_fini() has it. */
   sim_sched_wait_idle(afile->vm->sched);
   p_atomic_set(&afile->vm->destroyed, true);
   sim_vm_clear(afile->vm);
   sim_vm_put(afile->vm);
   pthread_mutex_destroy(&afile->va_lock);
   free(afile);
}

#define AMDGPU(NAME, func_, name_)                                                                 \
   [DRM_AMDGPU_##NAME] = {.cmd = DRM_IOCTL_AMDGPU_##NAME, .func = func_, .name = name_}

static const struct sim_ioctl ioctls[] = {
   AMDGPU(GEM_CREATE, gem_create_ioctl, "gem_create"),
   AMDGPU(GEM_MMAP, gem_mmap_ioctl, "gem_mmap"),
   AMDGPU(CTX, amdgpu_ctx_ioctl, "ctx"),
   AMDGPU(BO_LIST, amdgpu_bo_list_ioctl, "bo_list"),
   AMDGPU(CS, amdgpu_cs_ioctl, "cs"),
   AMDGPU(INFO, amdgpu_info_ioctl, "info"),
   AMDGPU(GEM_METADATA, gem_metadata_ioctl, "gem_metadata"),
   AMDGPU(GEM_WAIT_IDLE, gem_wait_idle_ioctl, "gem_wait_idle"),
   AMDGPU(GEM_VA, gem_va_ioctl, "gem_va"),
   AMDGPU(WAIT_CS, amdgpu_wait_cs_ioctl, "wait_cs"),
   AMDGPU(WAIT_FENCES, amdgpu_wait_fences_ioctl, "wait_fences"),
   AMDGPU(GEM_OP, gem_op_ioctl, "gem_op"),
   AMDGPU(VM, vm_ioctl, "vm"),
};

const struct sim_driver sim_amdgpu_driver = {
   .name = "amdgpu",
   .desc = "AMD GPU",
   .date = "0",
   .major = 3,
   .min_minor = 61,
   .max_minor = 64,
   .va_bits = 48,
   .pci_vendor = 0x1002,
   .pci_device = 0x731f,
   .ioctls = ioctls,
   .ioctl_count = ARRAY_SIZE(ioctls),
   .open = amdgpu_open,
   .close = amdgpu_close,
   .gem_close = gem_close,
   .check_export = check_export,
   .find_vm = find_vm,
};

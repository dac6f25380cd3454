/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The msm personality: an Adreno 750 behind the msm driver, 1.12 (before VM_BIND) and 1.13
 * (Linux 7.3). Follows msm_drv.c, msm_gem_vma.c, msm_submitqueue.c and adreno_gpu.c. Must know
 * nothing of other drivers.
 *
 * Binds are in staged mode: the tree changes in the ioctl, the page tables when the job runs. A
 * file has one VM, made by the first thing that asks for it; its bind queues are FIFOs of one
 * scheduler, unordered among each other. A job that fails marks the VM unusable, and its fence
 * signals success.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/macros.h"
#include "util/u_atomic.h"

#include "sim_caller.h"
#include "sim_device.h"
#include "sim_fault.h"
#include "sim_gem.h"
#include "sim_libc.h"
#include "sim_msm.h"
#include "sim_staged.h"
#include "sim_sync_file.h"
#include "sim_vm.h"

#define PAGE_SIZE_B 4096ull
#define VA_START    (4ull << 30)

#define MINOR_VM_BIND 13

/* drm_gpuva's flag for MSM_VM_BIND_OP_DUMP */
#define VMA_DUMP 1u

/* Contiguous kernel memory for a job: an operation's bookkeeping, and the most that can be had. */
#define JOB_OP_B  40ull
#define JOB_MAX_B (4ull << 20)

struct sim_vm *
msm_context_vm(struct sim_file *file)
{
   struct msm_file *mfile = to_msm(file);

   pthread_mutex_lock(&file->lock);
   if (!mfile->vm) {
      mfile->vm = sim_vm_create(0, "msm", VA_START, (1ull << file->device.va_bits) - VA_START);
      if (mfile->vm)
         mfile->vm->refuses_given_up_bos = true;
   }
   struct sim_vm *vm = mfile->vm;
   pthread_mutex_unlock(&file->lock);
   return vm;
}

static struct sim_vm *
find_vm(struct sim_file *file, UNUSED uint32_t vm_id)
{
   pthread_mutex_lock(&file->lock);
   struct sim_vm *vm = sim_vm_get(to_msm(file)->vm);
   pthread_mutex_unlock(&file->lock);
   return vm;
}

/* Parameters */

static int
get_param_ioctl(struct sim_file *file, void *data)
{
   struct drm_msm_param *args = data;
   struct sim_vm *vm;

   if (args->pipe != MSM_PIPE_3D0 || args->pad)
      return -EINVAL;

   /* Any question makes the VM, as in the kernel: EN_VM_BIND comes too late after it. */
   vm = msm_context_vm(file);
   if (!vm)
      return -ENOMEM;
   if (args->len)
      return -EINVAL;

   switch (args->param) {
   case MSM_PARAM_GPU_ID:
      args->value = 0;
      return 0;
   case MSM_PARAM_GMEM_SIZE:
      args->value = 3 << 20;
      return 0;
   case MSM_PARAM_GMEM_BASE:
      args->value = 0;
      return 0;
   case MSM_PARAM_CHIP_ID:
      /* No speed bin fused, chip 0x43051401 */
      args->value = 0xffff43051401ull;
      return 0;
   case MSM_PARAM_MAX_FREQ:
      args->value = 903000000;
      return 0;
   case MSM_PARAM_TIMESTAMP:
      /* A counter of 19.2 MHz */
      args->value = sim_now_ns() * 12 / 625;
      return 0;
   case MSM_PARAM_PRIORITIES:
      args->value = 3;
      return 0;
   case MSM_PARAM_PP_PGTABLE:
   case MSM_PARAM_FAULTS:
   case MSM_PARAM_SUSPENDS:
      args->value = 0;
      return 0;
   case MSM_PARAM_VA_START:
      args->value = vm->gpuvm.start;
      return 0;
   case MSM_PARAM_VA_SIZE:
      args->value = vm->gpuvm.range;
      return 0;
   case MSM_PARAM_HIGHEST_BANK_BIT:
      args->value = 16;
      return 0;
   case MSM_PARAM_RAYTRACING:
      args->value = 1;
      return 0;
   case MSM_PARAM_UBWC_SWIZZLE:
      args->value = 6;
      return 0;
   case MSM_PARAM_MACROTILE_MODE:
      args->value = 1;
      return 0;
   case MSM_PARAM_UCHE_TRAP_BASE:
      args->value = 0x1fffffffff000ull;
      return 0;
   case MSM_PARAM_HAS_PRR:
      if (file->device.minor < MINOR_VM_BIND)
         return -EINVAL;
      args->value = !file->device.no_prr;
      return 0;
   case MSM_PARAM_AQE:
      if (file->device.minor < MINOR_VM_BIND)
         return -EINVAL;
      args->value = 0;
      return 0;
   default:
      return -EINVAL;
   }
}

static int
enable_vm_bind(struct sim_file *file, uint64_t value)
{
   struct msm_file *mfile = to_msm(file);
   int ret = 0;

   pthread_mutex_lock(&file->lock);
   if (mfile->vm)
      ret = -EBUSY;
   else
      mfile->wants_vm_bind = value;
   pthread_mutex_unlock(&file->lock);
   return ret;
}

static int
set_param_ioctl(struct sim_file *file, void *data)
{
   struct drm_msm_param *args = data;
   char text[PAGE_SIZE_B];

   if (args->pipe != MSM_PIPE_3D0 || args->pad)
      return -EINVAL;

   switch (args->param) {
   case MSM_PARAM_COMM:
   case MSM_PARAM_CMDLINE:
      /* For the driver's own dumps only */
      return args->len > PAGE_SIZE_B ? -EINVAL : sim_copy_in(text, args->value, args->len);
   case MSM_PARAM_SYSPROF:
      return args->len ? -EINVAL : -EPERM;
   case MSM_PARAM_EN_VM_BIND:
      if (args->len || file->device.minor < MINOR_VM_BIND)
         return -EINVAL;
      return enable_vm_bind(file, args->value);
   default:
      return -EINVAL;
   }
}

/* BOs */

static int
gem_new_ioctl(struct sim_file *file, void *data)
{
   struct drm_msm_gem_new *args = data;
   uint64_t vm_uid = 0;

   if (args->flags & ~MSM_BO_FLAGS)
      return -EINVAL;
   switch (args->flags & MSM_BO_CACHE_MASK) {
   case MSM_BO_CACHED:
   case MSM_BO_WC:
   case MSM_BO_CACHED_COHERENT:
   case MSM_BO_UNCACHED:
      break;
   default:
      return -EINVAL;
   }
   if (args->flags & MSM_BO_NO_SHARE) {
      struct sim_vm *vm = msm_context_vm(file);
      if (!vm)
         return -EINVAL;
      vm_uid = vm->uid;
   }

   return sim_bo_create_handle(file, args->size, args->flags, vm_uid, &args->handle);
}

static const struct sim_gpuva *
find_bo_locked(const struct sim_vm *vm, const struct sim_bo *bo)
{
   struct sim_gpuva *va = sim_gpuvm_first(&vm->gpuvm, 0);

   while (va && va->bo != bo)
      va = sim_gpuvm_next(va);
   return va;
}

static int
map_bo_locked(struct sim_vm *vm, struct sim_bo *bo, uint64_t iova)
{
   const struct sim_gpuvm_map req = {.addr = iova, .range = bo->size_B, .bo = bo};

   if (sim_gpuvm_sm_map(&vm->gpuvm, &req, NULL, NULL))
      return -ENOSPC;
   if (sim_vm_pt_map_locked(vm, iova, bo->size_B, bo, 0, 0)) {
      sim_gpuvm_sm_unmap(&vm->gpuvm, iova, bo->size_B, NULL, NULL);
      return -ENOSPC;
   }
   sim_vm_record_locked(vm, SIM_OP_MAP, iova, bo->size_B, bo, 0, false);
   return 0;
}

/* Kernel-managed VMs: the BO has an address as long as it lives. */
int
msm_get_iova(struct sim_file *file, struct sim_bo *bo, __u64 *iova)
{
   struct sim_vm *vm = msm_context_vm(file);
   int ret = 0;

   if (!vm)
      return -ENOMEM;
   if (to_msm(file)->wants_vm_bind)
      return -EINVAL;

   pthread_mutex_lock(&vm->lock);
   const struct sim_gpuva *va = find_bo_locked(vm, bo);
   uint64_t addr = va ? va->addr : sim_gpuvm_find_gap(&vm->gpuvm, VA_START, bo->size_B);
   if (!va)
      ret = addr ? map_bo_locked(vm, bo, addr) : -ENOSPC;
   if (!ret)
      *iova = addr;
   pthread_mutex_unlock(&vm->lock);
   return ret;
}

static int
clear_iova_locked(struct sim_vm *vm, struct sim_bo *bo)
{
   const struct sim_gpuva *va = find_bo_locked(vm, bo);

   if (!va)
      return 0;
   uint64_t addr = va->addr, range = va->range;
   int ret = sim_vm_pt_unmap_locked(vm, addr, range);
   if (!ret)
      ret = sim_gpuvm_sm_unmap(&vm->gpuvm, addr, range, NULL, NULL);
   if (!ret)
      sim_vm_record_locked(vm, SIM_OP_UNMAP, addr, range, NULL, 0, false);
   return ret;
}

static int
set_iova_locked(struct sim_vm *vm, struct sim_bo *bo, uint64_t iova)
{
   const struct sim_gpuva *va = find_bo_locked(vm, bo);

   if (!iova)
      return clear_iova_locked(vm, bo);
   if (va && va->addr == iova)
      return 0;
   /* It has another: the kernel takes that away, too. */
   if (va) {
      clear_iova_locked(vm, bo);
      return -EBUSY;
   }
   if (iova % PAGE_SIZE_B || !sim_gpuvm_range_is_valid(&vm->gpuvm, iova, bo->size_B) ||
       sim_gpuvm_find_gap(&vm->gpuvm, iova, bo->size_B) != iova)
      return -ENOSPC;
   return map_bo_locked(vm, bo, iova);
}

/* Kernel-managed VMs whose user chooses the addresses: turnip does. 0 takes the BO's away. */
static int
set_iova(struct sim_file *file, struct sim_bo *bo, uint64_t iova)
{
   struct sim_vm *vm = msm_context_vm(file);

   if (!vm)
      return -ENOMEM;
   if (to_msm(file)->wants_vm_bind)
      return -EINVAL;
   pthread_mutex_lock(&vm->lock);
   int ret = set_iova_locked(vm, bo, iova);
   pthread_mutex_unlock(&vm->lock);
   return ret;
}

/* An address that the kernel chose goes with the handle; what was bound keeps its BO. */
static void
msm_gem_close(struct sim_file *file, struct sim_bo *bo)
{
   struct sim_vm *vm = to_msm(file)->vm;

   if (!vm || to_msm(file)->wants_vm_bind)
      return;
   pthread_mutex_lock(&vm->lock);
   clear_iova_locked(vm, bo);
   pthread_mutex_unlock(&vm->lock);
}

static int
set_name(struct sim_bo *bo, const struct drm_msm_gem_info *args)
{
   if (args->len >= sizeof(bo->name))
      return -EINVAL;
   if (sim_copy_in(bo->name, args->value, args->len)) {
      bo->name[0] = '\0';
      return -EFAULT;
   }
   bo->name[args->len] = '\0';
   for (unsigned i = 0; i < args->len; i++) {
      if (bo->name[i] < ' ' || bo->name[i] > '~') {
         bo->name[i] = '\0';
         break;
      }
   }
   return 0;
}

static int
get_name(struct sim_bo *bo, struct drm_msm_gem_info *args)
{
   uint32_t length = strlen(bo->name);

   /* ETOOSMALL, an errno of the kernel's own */
   if (args->value && args->len < length)
      return -525;
   args->len = length;
   return args->value ? sim_copy_out(args->value, bo->name, length) : 0;
}

static int
set_metadata(struct sim_bo *bo, const struct drm_msm_gem_info *args)
{
   if (args->len > 128)
      return -EOVERFLOW;

   void *metadata = calloc(1, MAX2(args->len, 1));
   if (!metadata)
      return -ENOMEM;
   if (sim_copy_in(metadata, args->value, args->len)) {
      free(metadata);
      return -EFAULT;
   }
   free(bo->metadata);
   bo->metadata = metadata;
   bo->metadata_size = args->len;
   return 0;
}

static int
get_metadata(struct sim_bo *bo, struct drm_msm_gem_info *args)
{
   if (!args->value) {
      args->len = bo->metadata_size;
      return 0;
   }
   if (args->len < bo->metadata_size)
      return -525;
   args->len = bo->metadata_size;
   return sim_copy_out(args->value, bo->metadata, bo->metadata_size);
}

static int
gem_info(struct sim_file *file, struct sim_bo *bo, struct drm_msm_gem_info *args)
{
   switch (args->info) {
   case MSM_INFO_GET_OFFSET:
      args->value = bo->mmap_offset;
      return 0;
   case MSM_INFO_GET_IOVA:
      return msm_get_iova(file, bo, &args->value);
   case MSM_INFO_SET_IOVA:
      return set_iova(file, bo, args->value);
   case MSM_INFO_GET_FLAGS:
      if (bo->imported)
         return -EINVAL;
      args->value = bo->flags & MSM_BO_FLAGS;
      return 0;
   case MSM_INFO_SET_NAME:
      return set_name(bo, args);
   case MSM_INFO_GET_NAME:
      return get_name(bo, args);
   case MSM_INFO_SET_METADATA:
      return set_metadata(bo, args);
   case MSM_INFO_GET_METADATA:
      return get_metadata(bo, args);
   default:
      return -EINVAL;
   }
}

static int
gem_info_ioctl(struct sim_file *file, void *data)
{
   struct drm_msm_gem_info *args = data;

   if (args->pad || args->info > MSM_INFO_GET_METADATA)
      return -EINVAL;

   bool immediate = args->info == MSM_INFO_GET_OFFSET || args->info == MSM_INFO_GET_IOVA ||
                    args->info == MSM_INFO_SET_IOVA || args->info == MSM_INFO_GET_FLAGS;
   if (immediate && args->len)
      return -EINVAL;

   struct sim_bo *bo = sim_bo_lookup(file, args->handle);
   if (!bo)
      return -ENOENT;
   int ret = gem_info(file, bo, args);
   sim_bo_put(bo);
   return ret;
}

static uint64_t
deadline_of(const struct drm_msm_timespec *timeout)
{
   return timeout->tv_sec < 0 ? 0 : timeout->tv_sec * 1000000000ull + timeout->tv_nsec;
}

static int
gem_cpu_prep_ioctl(struct sim_file *file, void *data)
{
   struct drm_msm_gem_cpu_prep *args = data;
   uint64_t deadline_ns = args->op & MSM_PREP_NOSYNC ? 0 : deadline_of(&args->timeout);
   int ret = 0;

   const enum sim_resv_usage usage = args->op & MSM_PREP_WRITE ? SIM_RESV_READ : SIM_RESV_WRITE;

   if (args->op & ~MSM_PREP_FLAGS)
      return -EINVAL;
   struct sim_bo *bo = sim_bo_lookup(file, args->handle);
   if (!bo)
      return -ENOENT;

   sim_sync_lock();
   while (!ret && !sim_resv_is_idle_locked(&bo->resv, usage)) {
      if (deadline_ns <= sim_now_ns()) {
         ret = args->op & MSM_PREP_NOSYNC ? -EBUSY : -ETIMEDOUT;
         break;
      }
      if (sim_sync_wait_locked(deadline_ns) == -EINTR)
         ret = -EINTR;
   }
   sim_sync_unlock();
   sim_bo_put(bo);
   return ret;
}

static int
gem_cpu_fini_ioctl(struct sim_file *file, void *data)
{
   struct drm_msm_gem_cpu_fini *args = data;
   struct sim_bo *bo = sim_bo_lookup(file, args->handle);

   if (!bo)
      return -ENOENT;
   sim_bo_put(bo);
   return 0;
}

static int
gem_madvise_ioctl(struct sim_file *file, void *data)
{
   struct drm_msm_gem_madvise *args = data;

   if (args->madv != MSM_MADV_WILLNEED && args->madv != MSM_MADV_DONTNEED)
      return -EINVAL;
   struct sim_bo *bo = sim_bo_lookup(file, args->handle);
   if (!bo)
      return -ENOENT;
   args->retained =
      sim_bo_madvise(bo, args->madv == MSM_MADV_WILLNEED ? SIM_BO_NEEDED : SIM_BO_NOT_NEEDED) !=
      SIM_BO_PURGED;
   sim_bo_put(bo);
   return 0;
}

/* Queues */

struct msm_queue *
msm_queue_get(struct sim_file *file, uint32_t id)
{
   struct msm_queue *found = NULL;

   pthread_mutex_lock(&file->lock);
   list_for_each_entry (struct msm_queue, queue, &to_msm(file)->queues, link) {
      if (queue->id == id) {
         found = queue;
         p_atomic_inc(&queue->refcount);
         break;
      }
   }
   pthread_mutex_unlock(&file->lock);
   return found;
}

void
msm_queue_put(struct msm_queue *queue)
{
   if (!p_atomic_dec_zero(&queue->refcount))
      return;
   if (queue->has_entity)
      sim_entity_finish(&queue->entity);
   for (uint32_t i = 0; i < queue->fences.capacity; i++)
      sim_fence_put(queue->fences.objects[i]);
   sim_handles_finish(&queue->fences);
   sim_vm_put(queue->vm);
   pthread_mutex_destroy(&queue->lock);
   free(queue);
}

static int
queue_create(struct sim_file *file, uint32_t flags, uint32_t *id)
{
   struct msm_file *mfile = to_msm(file);
   struct msm_queue *queue = calloc(1, sizeof(*queue));

   if (!queue)
      return -ENOMEM;
   queue->refcount = 1;
   queue->flags = flags;
   pthread_mutex_init(&queue->lock, NULL);
   if (flags & MSM_SUBMITQUEUE_VM_BIND) {
      queue->vm = sim_vm_get(mfile->vm);
      sim_entity_init(&queue->entity, queue->vm->sched);
      queue->has_entity = true;
   }

   pthread_mutex_lock(&file->lock);
   queue->id = mfile->next_queue_id++;
   list_addtail(&queue->link, &mfile->queues);
   pthread_mutex_unlock(&file->lock);
   *id = queue->id;
   return 0;
}

static int
submitqueue_new_ioctl(struct sim_file *file, void *data)
{
   struct drm_msm_submitqueue *args = data;
   uint32_t valid_flags = MSM_SUBMITQUEUE_ALLOW_PREEMPT;

   if (file->device.minor >= MINOR_VM_BIND)
      valid_flags |= MSM_SUBMITQUEUE_VM_BIND;
   if (args->flags & ~valid_flags)
      return -EINVAL;

   if (args->flags & MSM_SUBMITQUEUE_VM_BIND) {
      if (!msm_context_vm(file))
         return -ENOMEM;
      if (!to_msm(file)->wants_vm_bind || args->prio)
         return -EINVAL;
   } else if (args->prio >= 3) {
      return -EINVAL;
   }
   return queue_create(file, args->flags, &args->id);
}

static int
submitqueue_close_ioctl(struct sim_file *file, void *data)
{
   uint32_t id = *(uint32_t *)data;
   struct msm_queue *found = NULL;

   /* The default queue is the file's own. */
   if (!id)
      return -ENOENT;

   pthread_mutex_lock(&file->lock);
   list_for_each_entry (struct msm_queue, queue, &to_msm(file)->queues, link) {
      if (queue->id == id) {
         found = queue;
         list_del(&queue->link);
         break;
      }
   }
   pthread_mutex_unlock(&file->lock);
   if (!found)
      return -ENOENT;
   msm_queue_put(found);
   return 0;
}

static int
submitqueue_query_ioctl(struct sim_file *file, void *data)
{
   struct drm_msm_submitqueue_query *args = data;
   uint32_t faults = 0;

   if (args->pad)
      return -EINVAL;
   struct msm_queue *queue = msm_queue_get(file, args->id);
   if (!queue)
      return -ENOENT;
   msm_queue_put(queue);

   if (args->param != MSM_SUBMITQUEUE_PARAM_FAULTS)
      return -EINVAL;
   if (!args->len) {
      args->len = sizeof(faults);
      return 0;
   }
   args->len = MIN2(args->len, sizeof(faults));
   return sim_copy_out(args->data, &faults, args->len);
}

/* VM_BIND: jobs */

struct bind_job {
   struct sim_job base;
   struct sim_vm *vm;
   struct msm_queue *queue;
   struct drm_msm_vm_bind_op *ops;
   /* Of each operation, or NULL */
   struct sim_bo **bos;
   uint32_t op_count;
   struct sim_staged staged;
};

static void
bind_job_free(struct sim_job *base)
{
   struct bind_job *job = container_of(base, struct bind_job, base);

   sim_staged_finish(&job->staged);
   for (uint32_t i = 0; job->bos && i < job->op_count; i++)
      sim_bo_put(job->bos[i]);
   free(job->bos);
   free(job->ops);
   if (job->queue)
      msm_queue_put(job->queue);
   sim_vm_put(job->vm);
   free(job);
}

static int
bind_job_run(struct sim_job *base)
{
   struct bind_job *job = container_of(base, struct bind_job, base);
   struct sim_vm *vm = job->vm;
   int error = sim_fault_job();

   pthread_mutex_lock(&vm->lock);
   if (vm->unusable)
      error = -EINVAL;

   error = sim_staged_apply_locked(&job->staged, error);
   if (error)
      p_atomic_set(&vm->unusable, true);
   pthread_mutex_unlock(&vm->lock);

   /* The kernel's driver has no fence to put the error into. */
   return 0;
}

static struct bind_job *
bind_job_create(struct sim_vm *vm, struct msm_queue *queue, uint32_t count)
{
   struct bind_job *job = calloc(1, sizeof(*job));

   if (!job)
      return NULL;
   job->base.run = bind_job_run;
   job->base.free = bind_job_free;
   job->vm = sim_vm_get(vm);
   job->queue = queue;
   p_atomic_inc(&queue->refcount);
   job->op_count = count;
   job->staged.vm = vm;
   sim_job_init(&job->base, &queue->entity);

   job->bos = calloc(MAX2(count, 1), sizeof(*job->bos));
   if (!job->bos) {
      sim_job_finish(&job->base);
      bind_job_free(&job->base);
      return NULL;
   }
   return job;
}

static int
check_op(const struct sim_file *file, struct sim_vm *vm, const struct drm_msm_vm_bind_op *op)
{
   if (op->flags & ~MSM_VM_BIND_OP_FLAGS)
      return -EINVAL;
   if ((op->iova | op->obj_offset | op->range) % PAGE_SIZE_B)
      return -EINVAL;
   if (!sim_gpuvm_range_is_valid(&vm->gpuvm, op->iova, op->range))
      return -EINVAL;
   if ((op->op == MSM_VM_BIND_OP_MAP) != !!op->handle)
      return -EINVAL;
   if (op->op > MSM_VM_BIND_OP_MAP_NULL)
      return -EINVAL;
   if (op->op == MSM_VM_BIND_OP_MAP_NULL && file->device.no_prr)
      return -EINVAL;
   return 0;
}

static int
lookup_ops(struct bind_job *job, struct sim_file *file, const struct drm_msm_vm_bind *args)
{
   int ret = 0;

   if (args->nr_ops == 1) {
      job->ops = malloc(sizeof(*job->ops));
      if (!job->ops)
         return -ENOMEM;
      job->ops[0] = args->op;
   } else {
      /* The kernel does not look at op_stride. */
      job->ops =
         sim_copy_in_array(args->ops, args->nr_ops, sizeof(*job->ops), sizeof(*job->ops), &ret);
   }
   for (uint32_t i = 0; i < args->nr_ops && !ret; i++)
      ret = check_op(file, job->vm, &job->ops[i]);

   for (uint32_t i = 0; i < args->nr_ops && !ret; i++) {
      const struct drm_msm_vm_bind_op *op = &job->ops[i];

      if (!op->handle)
         continue;
      job->bos[i] = sim_bo_lookup(file, op->handle);
      if (!job->bos[i] || op->range + op->obj_offset > job->bos[i]->size_B)
         ret = -EINVAL;
   }
   return ret;
}

static int
translate_op_locked(struct bind_job *job, uint32_t i)
{
   static const enum sim_op_kind kinds[] = {
      [MSM_VM_BIND_OP_UNMAP] = SIM_OP_UNMAP,
      [MSM_VM_BIND_OP_MAP] = SIM_OP_MAP,
      [MSM_VM_BIND_OP_MAP_NULL] = SIM_OP_NULL,
   };
   const struct drm_msm_vm_bind_op *op = &job->ops[i];
   struct sim_bo *bo = job->bos[i];
   bool is_map = op->op == MSM_VM_BIND_OP_MAP;
   const struct sim_staged_op staged_op = {
      .kind = kinds[op->op],
      .va = op->iova,
      .range = op->range,
      .bo = bo,
      .offset = op->obj_offset,
      .va_flags = is_map && (op->flags & MSM_VM_BIND_OP_DUMP) ? VMA_DUMP : 0,
      .pte_flags = !bo                               ? SIM_PTE_NULL
                   : bo->flags & MSM_BO_GPU_READONLY ? SIM_PTE_READONLY
                                                     : 0,
      /* Turnip does this to change a mapping's flags; the page tables stay as they are. */
      .keep_identical = is_map,
   };

   int ret = sim_fault_op();
   if (ret)
      return ret;
   /* A private BO of another VM: the kernel warns, and it is too late to do better. */
   if (bo && bo->exclusive_vm_uid && bo->exclusive_vm_uid != job->vm->uid)
      return -EINVAL;
   return sim_staged_translate_locked(&job->staged, &staged_op);
}

static int
prepare_job(struct bind_job *job)
{
   struct sim_vm *vm = job->vm;
   int ret = 0;

   /* Pages that may go away, or are gone, cannot be pinned. */
   for (uint32_t i = 0; i < job->op_count; i++) {
      if (job->bos[i] && p_atomic_read(&job->bos[i]->madv) != SIM_BO_NEEDED)
         return -EBUSY;
   }

   pthread_mutex_lock(&vm->lock);
   for (uint32_t i = 0; i < job->op_count; i++) {
      ret = translate_op_locked(job, i);
      if (ret) {
         /* The tree is changed in part, and nobody could tell in which. */
         if (i > 0)
            p_atomic_set(&vm->unusable, true);
         break;
      }
   }
   pthread_mutex_unlock(&vm->lock);
   return ret;
}

/* VM_BIND: the ioctl */

static int
add_in_fence(struct bind_job *job, const struct drm_msm_vm_bind *args)
{
   if (!(args->flags & MSM_VM_BIND_FENCE_FD_IN))
      return 0;
   struct sim_fence *fence = sim_sync_file_get_fence(args->fence_fd);
   return fence ? sim_job_add_dependency(&job->base, fence) : -EINVAL;
}

/* With the queue's lock: jobs of one queue are queued in the order of their changes to the tree. */
static int
vm_bind_locked(struct sim_file *file, struct msm_queue *queue, struct drm_msm_vm_bind *args)
{
   struct msm_syncs syncs = {0};
   int fence_fd = -1;

   /* One contiguous allocation in the kernel */
   if (args->nr_ops * JOB_OP_B > JOB_MAX_B)
      return -ENOMEM;

   struct bind_job *job = bind_job_create(queue->vm, queue, args->nr_ops);
   if (!job)
      return -ENOMEM;

   int ret = add_in_fence(job, args);
   if (!ret && args->in_syncobjs)
      ret = msm_syncs_parse_in(&syncs, file, &job->base, args->in_syncobjs, args->nr_in_syncobjs,
                               args->syncobj_stride);
   if (!ret && args->out_syncobjs)
      ret = msm_syncs_parse_out(&syncs, file, args->out_syncobjs, args->nr_out_syncobjs,
                                args->syncobj_stride);
   if (!ret)
      ret = lookup_ops(job, file, args);
   if (!ret && (args->flags & MSM_VM_BIND_FENCE_FD_OUT)) {
      fence_fd = sim_sync_file_create(job->base.finished, NULL);
      ret = MIN2(fence_fd, 0);
   }
   if (!ret)
      ret = prepare_job(job);
   if (ret)
      goto fail_job;

   struct sim_fence *fence = sim_fence_get(job->base.finished);
   for (uint32_t i = 0; i < job->op_count; i++) {
      if (job->bos[i])
         sim_resv_add_fence(&job->bos[i]->resv, fence, SIM_RESV_KERNEL);
   }
   sim_resv_add_fence(&queue->vm->resv, fence, SIM_RESV_BOOKKEEP);
   sim_entity_push_job(&queue->entity, &job->base);
   msm_syncs_apply(&syncs, fence);
   sim_fence_put(fence);
   if (fence_fd >= 0)
      args->fence_fd = fence_fd;
   msm_syncs_finish(&syncs);
   return 0;

fail_job:
   if (fence_fd >= 0)
      sim_caller_close_fd(fence_fd);
   msm_syncs_finish(&syncs);
   sim_job_finish(&job->base);
   bind_job_free(&job->base);
   return ret;
}

static int
vm_bind_ioctl(struct sim_file *file, void *data)
{
   struct drm_msm_vm_bind *args = data;
   struct sim_vm *vm = msm_context_vm(file);
   int ret;

   if (!vm)
      return -ENOMEM;
   if (p_atomic_read(&vm->unusable))
      return -EPIPE;
   if (!to_msm(file)->wants_vm_bind || (args->flags & ~MSM_VM_BIND_FLAGS))
      return -EINVAL;

   struct msm_queue *queue = msm_queue_get(file, args->queue_id);
   if (!queue)
      return -ENOENT;

   if (queue->flags & MSM_SUBMITQUEUE_VM_BIND) {
      pthread_mutex_lock(&queue->lock);
      ret = vm_bind_locked(file, queue, args);
      pthread_mutex_unlock(&queue->lock);
   } else {
      ret = -EINVAL;
   }
   msm_queue_put(queue);
   return ret;
}

/* The file */

static int
check_export(const struct sim_bo *bo)
{
   return bo->flags & MSM_BO_NO_SHARE ? -EPERM : 0;
}

static int
msm_open(struct sim_file *file)
{
   struct msm_file *mfile = calloc(1, sizeof(*mfile));
   uint32_t default_queue;

   if (!mfile)
      return -ENOMEM;
   list_inithead(&mfile->queues);
   file->priv = mfile;

   int ret = queue_create(file, 0, &default_queue);
   if (ret)
      free(mfile);
   return ret;
}

static void
wait_for_queue(struct msm_queue *queue)
{
   struct sim_fence *last;

   sim_sync_lock();
   last = sim_fence_get(queue->entity.last_fence);
   while (last && !sim_fence_is_signaled_locked(last))
      sim_sync_wait_locked(UINT64_MAX);
   sim_sync_unlock();
   sim_fence_put(last);
}

static void
msm_close(struct sim_file *file)
{
   struct msm_file *mfile = to_msm(file);

   /* As in the kernel, binds that are on their way are waited for. */
   if (mfile->vm)
      sim_sched_hold(mfile->vm->sched, false);
   list_for_each_entry_safe (struct msm_queue, queue, &mfile->queues, link) {
      if (queue->has_entity)
         wait_for_queue(queue);
      list_del(&queue->link);
      msm_queue_put(queue);
   }
   if (mfile->vm) {
      sim_vm_clear(mfile->vm);
      sim_vm_put(mfile->vm);
   }
   free(mfile);
}

#define MSM(NAME, func_, name_, minor_)                                                            \
   [DRM_MSM_##                                                                                     \
      NAME] = {.cmd = DRM_IOCTL_MSM_##NAME, .func = func_, .name = name_, .since_minor = minor_}

static const struct sim_ioctl ioctls[] = {
   MSM(GET_PARAM, get_param_ioctl, "get_param", 0),
   MSM(SET_PARAM, set_param_ioctl, "set_param", 0),
   MSM(GEM_NEW, gem_new_ioctl, "gem_new", 0),
   MSM(GEM_INFO, gem_info_ioctl, "gem_info", 0),
   MSM(GEM_CPU_PREP, gem_cpu_prep_ioctl, "gem_cpu_prep", 0),
   MSM(GEM_CPU_FINI, gem_cpu_fini_ioctl, "gem_cpu_fini", 0),
   MSM(GEM_SUBMIT, msm_gem_submit_ioctl, "gem_submit", 0),
   MSM(WAIT_FENCE, msm_wait_fence_ioctl, "wait_fence", 0),
   MSM(GEM_MADVISE, gem_madvise_ioctl, "gem_madvise", 0),
   MSM(SUBMITQUEUE_NEW, submitqueue_new_ioctl, "submitqueue_new", 0),
   MSM(SUBMITQUEUE_CLOSE, submitqueue_close_ioctl, "submitqueue_close", 0),
   MSM(SUBMITQUEUE_QUERY, submitqueue_query_ioctl, "submitqueue_query", 0),
   MSM(VM_BIND, vm_bind_ioctl, "vm_bind", MINOR_VM_BIND),
};

const struct sim_driver sim_msm_driver = {
   .name = "msm",
   .desc = "MSM Snapdragon DRM",
   .date = "0",
   .major = 1,
   .min_minor = 12,
   .max_minor = 13,
   .va_bits = 48,
   .of_compatible = "qcom,adreno-43051401",
   .ioctls = ioctls,
   .ioctl_count = ARRAY_SIZE(ioctls),
   .open = msm_open,
   .close = msm_close,
   .check_export = check_export,
   .gem_close = msm_gem_close,
   .find_vm = find_vm,
};

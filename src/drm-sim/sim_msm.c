/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The msm personality: an Adreno 750 behind the msm driver, 1.12 (before VM_BIND) and 1.13 (Linux 7.3).
 * Follows msm_drv.c, msm_gem_vma.c, msm_submitqueue.c and adreno_gpu.c. Must know nothing of other
 * drivers.
 *
 * Binds are in staged mode: the tree changes in the ioctl, the page tables when the job runs. A file has
 * one VM, made by the first thing that asks for it; its bind queues are FIFOs of one scheduler, unordered
 * among each other. A job that fails marks the VM unusable, and its fence signals success.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drm-uapi/msm_drm.h"
#include "util/macros.h"
#include "util/u_atomic.h"

#include "sim_device.h"
#include "sim_fault.h"
#include "sim_gem.h"
#include "sim_libc.h"
#include "sim_sync_file.h"
#include "sim_syncobj.h"
#include "sim_vm.h"

#define PAGE_SIZE_B 4096ull
#define VA_START    (4ull << 30)

#define MINOR_VM_BIND 13

/* drm_gpuva's flag for MSM_VM_BIND_OP_DUMP */
#define VMA_DUMP 1u

/* Contiguous kernel memory for a job: an operation's bookkeeping, and the most that can be had. */
#define JOB_OP_B  40ull
#define JOB_MAX_B (4ull << 20)

struct queue {
   struct list_head link;
   int32_t refcount;
   uint32_t id;
   uint32_t flags;
   /* Operations of one queue are prepared one ioctl at a time. */
   pthread_mutex_t lock;
   struct sim_entity entity;
   bool has_entity;
   /* Keeps the scheduler that the entity is of */
   struct sim_vm *vm;
};

struct msm_file {
   /* All under the file's lock */
   struct sim_vm *vm;
   bool wants_vm_bind;
   struct list_head queues;
   uint32_t next_queue_id;
   /* Kernel-managed VM: where the next BO goes */
   uint64_t next_iova;
};

static struct msm_file *
to_msm(struct sim_file *file)
{
   return file->priv;
}

/* The VM of the file, made now if there was none. It never changes again. */
static struct sim_vm *
context_vm(struct sim_file *file)
{
   struct msm_file *mfile = to_msm(file);

   pthread_mutex_lock(&file->lock);
   if (!mfile->vm)
      mfile->vm = sim_vm_create(0, "msm", VA_START, (1ull << file->device->va_bits) - VA_START);
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
   vm = context_vm(file);
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
      if (file->device->minor < MINOR_VM_BIND)
         return -EINVAL;
      args->value = !file->device->no_prr;
      return 0;
   case MSM_PARAM_AQE:
      if (file->device->minor < MINOR_VM_BIND)
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
      if (args->len || file->device->minor < MINOR_VM_BIND)
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
   struct sim_bo *bo;

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
      struct sim_vm *vm = context_vm(file);
      if (!vm)
         return -EINVAL;
      vm_uid = vm->uid;
   }

   int ret = sim_bo_create(args->size, args->flags, vm_uid, &bo);
   if (ret)
      return ret;
   ret = sim_bo_add_handle(file, bo, &args->handle);
   sim_bo_put(bo);
   return ret;
}

static int
keep_displaced(UNUSED void *priv, UNUSED struct sim_gpuvm_step *step)
{
   return 0;
}

/* Kernel-managed VMs: the BO has an address as long as it lives. */
static int
get_iova(struct sim_file *file, struct sim_bo *bo, __u64 *iova)
{
   struct msm_file *mfile = to_msm(file);
   struct sim_vm *vm = context_vm(file);

   if (!vm)
      return -ENOMEM;
   if (mfile->wants_vm_bind)
      return -EINVAL;

   int ret = 0;
   pthread_mutex_lock(&vm->lock);
   for (struct sim_gpuva *va = sim_gpuvm_first(&vm->gpuvm, 0); va; va = sim_gpuvm_next(va)) {
      if (va->bo == bo) {
         *iova = va->addr;
         goto out;
      }
   }

   const struct sim_gpuvm_map req = {
      .addr = VA_START + mfile->next_iova,
      .range = bo->size_B,
      .bo = bo,
   };
   ret = sim_gpuvm_sm_map(&vm->gpuvm, &req, keep_displaced, NULL);
   if (!ret)
      ret = sim_vm_pt_map_locked(vm, req.addr, req.range, bo, 0, 0);
   if (!ret) {
      sim_vm_record_locked(vm, SIM_OP_MAP, req.addr, req.range, bo, 0, false);
      mfile->next_iova += req.range;
      *iova = req.addr;
   } else {
      ret = -ENOSPC;
   }

out:
   pthread_mutex_unlock(&vm->lock);
   return ret;
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
      return get_iova(file, bo, &args->value);
   case MSM_INFO_SET_IOVA:
      /* For virtual machine hosts that keep their guests' addresses: not for us. */
      return to_msm(file)->wants_vm_bind ? -EINVAL : -EOPNOTSUPP;
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

   if (args->op & ~MSM_PREP_FLAGS)
      return -EINVAL;
   struct sim_bo *bo = sim_bo_lookup(file, args->handle);
   if (!bo)
      return -ENOENT;

   sim_sync_lock();
   while (bo->busy && !sim_fence_is_signaled_locked(bo->busy)) {
      if (deadline_ns <= sim_now_ns()) {
         ret = args->op & MSM_PREP_NOSYNC ? -EBUSY : -ETIMEDOUT;
         break;
      }
      sim_sync_wait_locked(deadline_ns);
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
   /* A purged BO stays purged. */
   if (bo->madv != __MSM_MADV_PURGED)
      bo->madv = args->madv;
   args->retained = bo->madv != __MSM_MADV_PURGED;
   sim_bo_put(bo);
   return 0;
}

/* Queues */

static struct queue *
queue_get(struct sim_file *file, uint32_t id)
{
   struct queue *found = NULL;

   pthread_mutex_lock(&file->lock);
   list_for_each_entry(struct queue, queue, &to_msm(file)->queues, link) {
      if (queue->id == id) {
         found = queue;
         p_atomic_inc(&queue->refcount);
         break;
      }
   }
   pthread_mutex_unlock(&file->lock);
   return found;
}

static void
queue_put(struct queue *queue)
{
   if (!p_atomic_dec_zero(&queue->refcount))
      return;
   if (queue->has_entity)
      sim_entity_finish(&queue->entity);
   sim_vm_put(queue->vm);
   pthread_mutex_destroy(&queue->lock);
   free(queue);
}

static int
queue_create(struct sim_file *file, uint32_t flags, uint32_t *id)
{
   struct msm_file *mfile = to_msm(file);
   struct queue *queue = calloc(1, sizeof(*queue));

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

   if (file->device->minor >= MINOR_VM_BIND)
      valid_flags |= MSM_SUBMITQUEUE_VM_BIND;
   if (args->flags & ~valid_flags)
      return -EINVAL;

   if (args->flags & MSM_SUBMITQUEUE_VM_BIND) {
      if (!context_vm(file))
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
   struct queue *found = NULL;

   /* The default queue is the file's own. */
   if (!id)
      return -ENOENT;

   pthread_mutex_lock(&file->lock);
   list_for_each_entry(struct queue, queue, &to_msm(file)->queues, link) {
      if (queue->id == id) {
         found = queue;
         list_del(&queue->link);
         break;
      }
   }
   pthread_mutex_unlock(&file->lock);
   if (!found)
      return -ENOENT;
   queue_put(found);
   return 0;
}

static int
submitqueue_query_ioctl(struct sim_file *file, void *data)
{
   struct drm_msm_submitqueue_query *args = data;
   uint32_t faults = 0;

   if (args->pad)
      return -EINVAL;
   struct queue *queue = queue_get(file, args->id);
   if (!queue)
      return -ENOENT;
   queue_put(queue);

   if (args->param != MSM_SUBMITQUEUE_PARAM_FAULTS)
      return -EINVAL;
   if (!args->len) {
      args->len = sizeof(faults);
      return 0;
   }
   args->len = MIN2(args->len, sizeof(faults));
   return sim_copy_out(args->data, &faults, args->len);
}

/* VM_BIND: what the page tables are to become, in order */

struct pt_op {
   bool is_map;
   /* A map of the same request overwrites it: no need to go by way of a hole. */
   bool overwritten;
   uint64_t va;
   uint64_t range;
   struct sim_bo *bo;
   uint64_t offset;
   uint32_t flags;
};

/* For the history, once the page tables are changed */
struct done_op {
   enum sim_op_kind kind;
   uint64_t va;
   uint64_t range;
   struct sim_bo *bo;
   uint64_t offset;
   bool dropped;
};

struct bind_job {
   struct sim_job base;
   struct sim_vm *vm;
   struct queue *queue;
   struct drm_msm_vm_bind_op *ops;
   /* Of each operation, or NULL */
   struct sim_bo **bos;
   uint32_t op_count;
   struct pt_op *pt_ops;
   uint32_t pt_op_count;
   uint32_t pt_op_capacity;
   struct done_op *done_ops;
   uint32_t done_op_count;
};

static void
bind_job_free(struct sim_job *base)
{
   struct bind_job *job = container_of(base, struct bind_job, base);

   for (uint32_t i = 0; i < job->pt_op_count; i++)
      sim_bo_put(job->pt_ops[i].bo);
   for (uint32_t i = 0; job->bos && i < job->op_count; i++)
      sim_bo_put(job->bos[i]);
   free(job->pt_ops);
   free(job->done_ops);
   free(job->bos);
   free(job->ops);
   if (job->queue)
      queue_put(job->queue);
   sim_vm_put(job->vm);
   free(job);
}

static int
run_pt_op_locked(struct sim_vm *vm, const struct pt_op *op, int error)
{
   if (!op->is_map)
      return op->overwritten && !error ? 0 : sim_vm_pt_unmap_locked(vm, op->va, op->range);

   int ret = error;
   if (!ret)
      ret = sim_vm_pt_map_locked(vm, op->va, op->range, op->bo, op->offset, op->flags);
   if (ret)
      sim_vm_pt_unmap_locked(vm, op->va, op->range);
   return ret;
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

   /* After a failure nothing more is mapped, but all is unmapped. */
   for (uint32_t i = 0; i < job->pt_op_count; i++) {
      int ret = run_pt_op_locked(vm, &job->pt_ops[i], error);
      if (!error)
         error = ret;
   }
   for (uint32_t i = 0; i < job->done_op_count; i++) {
      const struct done_op *done = &job->done_ops[i];
      sim_vm_record_locked(vm, done->kind, done->va, done->range, done->bo, done->offset,
                           done->dropped);
   }
   if (error)
      p_atomic_set(&vm->unusable, true);
   pthread_mutex_unlock(&vm->lock);

   /* The kernel's driver has no fence to put the error into. */
   return 0;
}

static struct bind_job *
bind_job_create(struct sim_vm *vm, struct queue *queue, uint32_t count)
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
   sim_job_init(&job->base, &queue->entity);

   job->bos = calloc(MAX2(count, 1), sizeof(*job->bos));
   job->done_ops = calloc(MAX2(count, 1), sizeof(*job->done_ops));
   if (!job->bos || !job->done_ops) {
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
   if (op->op == MSM_VM_BIND_OP_MAP_NULL && file->device->no_prr)
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
      job->ops = sim_copy_in_array(args->ops, args->nr_ops, sizeof(*job->ops), sizeof(*job->ops),
                                   &ret);
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

struct translation {
   struct bind_job *job;
   const struct drm_msm_vm_bind_op *op;
   struct sim_bo *bo;
   struct sim_misapply misapply;
   bool kept;
};

static int
enqueue(struct translation *t, struct pt_op op)
{
   struct bind_job *job = t->job;

   if (t->misapply.drop)
      return 0;
   if (job->pt_op_count == job->pt_op_capacity) {
      uint32_t capacity = job->pt_op_capacity ? job->pt_op_capacity * 2 : 16;
      struct pt_op *ops = realloc(job->pt_ops, capacity * sizeof(*ops));

      if (!ops)
         return -ENOMEM;
      job->pt_ops = ops;
      job->pt_op_capacity = capacity;
   }
   sim_bo_get(op.bo);
   job->pt_ops[job->pt_op_count++] = op;
   return 0;
}

static int
enqueue_unmap(struct translation *t, uint64_t va, uint64_t range, struct sim_bo *bo)
{
   return enqueue(t, (struct pt_op){
                        .overwritten = t->op->op != MSM_VM_BIND_OP_UNMAP,
                        .va = va,
                        .range = range,
                        /* Held until the page tables no longer show it */
                        .bo = bo,
                     });
}

static int
step_map(struct translation *t, struct sim_gpuvm_map *map)
{
   uint32_t flags = map->bo ? 0 : SIM_PTE_NULL;

   if (t->kept)
      return SIM_GPUVM_SKIP;

   /* A private BO of another VM: the kernel warns, and it is too late to do better. */
   if (map->bo && map->bo->exclusive_vm_uid && map->bo->exclusive_vm_uid != t->job->vm->uid)
      return -EINVAL;
   if (map->bo && (map->bo->flags & MSM_BO_GPU_READONLY))
      flags |= SIM_PTE_READONLY;

   return enqueue(t, (struct pt_op){
                        .is_map = true,
                        .va = map->addr,
                        .range = map->range,
                        .bo = map->bo,
                        .offset = map->offset + t->misapply.offset_delta,
                        .flags = flags,
                     });
}

/* Only the flags change: the mapping and the page tables stay. */
static bool
is_in_place(const struct translation *t, const struct sim_gpuvm_step *step)
{
   return step->keep && t->op->op == MSM_VM_BIND_OP_MAP && step->va->bo == t->bo &&
          step->va->offset == t->op->obj_offset && step->va->addr == t->op->iova &&
          step->va->range == t->op->range;
}

static int
translate_step(void *priv, struct sim_gpuvm_step *step)
{
   struct translation *t = priv;
   uint64_t va, range;

   switch (step->kind) {
   case SIM_GPUVM_MAP:
      return step_map(t, &step->map);
   case SIM_GPUVM_REMAP:
      sim_gpuvm_remap_hole(step, &va, &range);
      return enqueue_unmap(t, va, range, step->va->bo);
   case SIM_GPUVM_UNMAP:
      if (is_in_place(t, step)) {
         t->kept = true;
         step->va->flags |= t->op->flags & MSM_VM_BIND_OP_DUMP ? VMA_DUMP : 0;
         return SIM_GPUVM_SKIP;
      }
      return enqueue_unmap(t, step->va->addr, step->va->range, step->va->bo);
   }
   unreachable("not a step");
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
   struct translation t = {
      .job = job,
      .op = op,
      .bo = bo,
      .misapply = sim_fault_misapply(kinds[op->op], bo ? bo->size_B : 0, op->obj_offset, op->range),
   };
   int ret = sim_fault_op();

   if (!ret && op->range && op->op == MSM_VM_BIND_OP_UNMAP) {
      ret = sim_gpuvm_sm_unmap(&job->vm->gpuvm, op->iova, op->range, translate_step, &t);
   } else if (!ret && op->range) {
      const struct sim_gpuvm_map req = {
         .addr = op->iova,
         .range = op->range,
         .bo = bo,
         .offset = op->obj_offset,
         .flags = op->op == MSM_VM_BIND_OP_MAP && (op->flags & MSM_VM_BIND_OP_DUMP) ? VMA_DUMP : 0,
      };
      ret = sim_gpuvm_sm_map(&job->vm->gpuvm, &req, translate_step, &t);
   }

   job->done_ops[job->done_op_count++] = (struct done_op){
      .kind = kinds[op->op],
      .va = op->iova,
      .range = op->range,
      .bo = bo,
      .offset = op->obj_offset,
      .dropped = t.misapply.drop,
   };
   return ret;
}

static int
prepare_job(struct bind_job *job)
{
   struct sim_vm *vm = job->vm;
   int ret = 0;

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

/* VM_BIND: synchronisation */

struct syncs {
   /* To reset when the job is queued; NULL entries are not */
   struct sim_syncobj **resets;
   uint32_t reset_count;
   struct sim_syncobj **signals;
   uint64_t *signal_points;
   uint32_t signal_count;
};

static void
syncs_finish(struct syncs *syncs)
{
   for (uint32_t i = 0; syncs->resets && i < syncs->reset_count; i++)
      sim_syncobj_put(syncs->resets[i]);
   for (uint32_t i = 0; syncs->signals && i < syncs->signal_count; i++)
      sim_syncobj_put(syncs->signals[i]);
   free(syncs->resets);
   free(syncs->signals);
   free(syncs->signal_points);
}

static int
parse_in_syncobjs(struct sim_file *file, const struct drm_msm_vm_bind *args, struct bind_job *job,
                  struct syncs *syncs)
{
   int ret;
   struct drm_msm_syncobj *descs = sim_copy_in_array(args->in_syncobjs, args->nr_in_syncobjs,
                                                     args->syncobj_stride, sizeof(*descs), &ret);

   if (ret)
      return ret;
   syncs->reset_count = args->nr_in_syncobjs;
   syncs->resets = calloc(MAX2(syncs->reset_count, 1), sizeof(*syncs->resets));
   if (!syncs->resets)
      ret = -ENOMEM;

   for (uint32_t i = 0; i < args->nr_in_syncobjs && !ret; i++) {
      struct sim_fence *fence;

      if (descs[i].flags & ~MSM_SYNCOBJ_FLAGS)
         ret = -EINVAL;
      if (!ret)
         ret = sim_syncobj_find_fence(file, descs[i].handle, descs[i].point, &fence);
      if (!ret)
         ret = sim_job_add_dependency(&job->base, fence);
      if (!ret && (descs[i].flags & MSM_SYNCOBJ_RESET)) {
         syncs->resets[i] = sim_syncobj_find(file, descs[i].handle);
         if (!syncs->resets[i])
            ret = -EINVAL;
      }
   }
   free(descs);
   return ret;
}

static int
parse_out_syncobjs(struct sim_file *file, const struct drm_msm_vm_bind *args, struct syncs *syncs)
{
   int ret;
   struct drm_msm_syncobj *descs = sim_copy_in_array(args->out_syncobjs, args->nr_out_syncobjs,
                                                     args->syncobj_stride, sizeof(*descs), &ret);

   if (ret)
      return ret;
   syncs->signal_count = args->nr_out_syncobjs;
   syncs->signals = calloc(MAX2(syncs->signal_count, 1), sizeof(*syncs->signals));
   syncs->signal_points = calloc(MAX2(syncs->signal_count, 1), sizeof(*syncs->signal_points));
   if (!syncs->signals || !syncs->signal_points)
      ret = -ENOMEM;

   for (uint32_t i = 0; i < args->nr_out_syncobjs && !ret; i++) {
      if (descs[i].flags) {
         ret = -EINVAL;
         break;
      }
      syncs->signal_points[i] = descs[i].point;
      syncs->signals[i] = sim_syncobj_find(file, descs[i].handle);
      if (!syncs->signals[i])
         ret = -EINVAL;
   }
   free(descs);
   return ret;
}

static void
apply_syncs(const struct syncs *syncs, struct sim_fence *fence)
{
   for (uint32_t i = 0; syncs->resets && i < syncs->reset_count; i++) {
      if (syncs->resets[i])
         sim_syncobj_replace_fence(syncs->resets[i], NULL);
   }
   for (uint32_t i = 0; syncs->signals && i < syncs->signal_count; i++) {
      if (syncs->signal_points[i])
         sim_syncobj_add_point(syncs->signals[i], fence, syncs->signal_points[i]);
      else
         sim_syncobj_replace_fence(syncs->signals[i], fence);
   }
}

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
vm_bind_locked(struct sim_file *file, struct queue *queue, struct drm_msm_vm_bind *args)
{
   struct syncs syncs = {0};
   int fence_fd = -1;

   /* One contiguous allocation in the kernel */
   if (args->nr_ops * JOB_OP_B > JOB_MAX_B)
      return -ENOMEM;

   struct bind_job *job = bind_job_create(queue->vm, queue, args->nr_ops);
   if (!job)
      return -ENOMEM;

   int ret = add_in_fence(job, args);
   if (!ret && args->in_syncobjs)
      ret = parse_in_syncobjs(file, args, job, &syncs);
   if (!ret && args->out_syncobjs)
      ret = parse_out_syncobjs(file, args, &syncs);
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
         sim_bo_add_fence(job->bos[i], fence);
   }
   sim_entity_push_job(&queue->entity, &job->base);
   apply_syncs(&syncs, fence);
   sim_fence_put(fence);
   if (fence_fd >= 0)
      args->fence_fd = fence_fd;
   syncs_finish(&syncs);
   return 0;

fail_job:
   if (fence_fd >= 0)
      sim_libc()->close(fence_fd);
   syncs_finish(&syncs);
   sim_job_finish(&job->base);
   bind_job_free(&job->base);
   return ret;
}

static int
vm_bind_ioctl(struct sim_file *file, void *data)
{
   struct drm_msm_vm_bind *args = data;
   struct sim_vm *vm = context_vm(file);
   int ret;

   if (!vm)
      return -ENOMEM;
   if (p_atomic_read(&vm->unusable))
      return -EPIPE;
   if (!to_msm(file)->wants_vm_bind || (args->flags & ~MSM_VM_BIND_FLAGS))
      return -EINVAL;

   struct queue *queue = queue_get(file, args->queue_id);
   if (!queue)
      return -ENOENT;

   if (queue->flags & MSM_SUBMITQUEUE_VM_BIND) {
      pthread_mutex_lock(&queue->lock);
      ret = vm_bind_locked(file, queue, args);
      pthread_mutex_unlock(&queue->lock);
   } else {
      ret = -EINVAL;
   }
   queue_put(queue);
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
wait_for_queue(struct queue *queue)
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
   list_for_each_entry_safe(struct queue, queue, &mfile->queues, link) {
      if (queue->has_entity)
         wait_for_queue(queue);
      list_del(&queue->link);
      queue_put(queue);
   }
   if (mfile->vm) {
      sim_vm_clear(mfile->vm);
      sim_vm_put(mfile->vm);
   }
   free(mfile);
}

#define MSM(NAME, func_, name_, minor_)                                                            \
   [DRM_MSM_##NAME] = {                                                                            \
      .cmd = DRM_IOCTL_MSM_##NAME, .func = func_, .name = name_, .since_minor = minor_}

static const struct sim_ioctl ioctls[] = {
   MSM(GET_PARAM, get_param_ioctl, "get_param", 0),
   MSM(SET_PARAM, set_param_ioctl, "set_param", 0),
   MSM(GEM_NEW, gem_new_ioctl, "gem_new", 0),
   MSM(GEM_INFO, gem_info_ioctl, "gem_info", 0),
   MSM(GEM_CPU_PREP, gem_cpu_prep_ioctl, "gem_cpu_prep", 0),
   MSM(GEM_CPU_FINI, gem_cpu_fini_ioctl, "gem_cpu_fini", 0),
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
   .find_vm = find_vm,
};

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Synchronisation and submits of the msm personality, and the few packets of the command processor
 * that tests need: CP_NOP, CP_MEM_WRITE and CP_MEM_TO_MEM. Follows msm_syncobj.c and
 * msm_gem_submit.c. Must know nothing of binds.
 *
 * Without VM_BIND a submit names its BOs, which the kernel places, waits for (implicit
 * synchronisation) and marks as busy. It would also patch their addresses into the commands, which
 * no GPU with 64 bits of them needs: relocations are refused.
 */

#include "sim_msm.h"

#include <errno.h>
#include <stdlib.h>

#include "util/macros.h"
#include "util/u_atomic.h"

#include "sim_caller.h"
#include "sim_device.h"
#include "sim_evict.h"
#include "sim_gem.h"
#include "sim_libc.h"
#include "sim_sync_file.h"
#include "sim_syncobj.h"
#include "sim_vm.h"

void
msm_syncs_finish(struct msm_syncs *syncs)
{
   for (uint32_t i = 0; syncs->resets && i < syncs->reset_count; i++)
      sim_syncobj_put(syncs->resets[i]);
   for (uint32_t i = 0; syncs->signals && i < syncs->signal_count; i++)
      sim_syncobj_put(syncs->signals[i]);
   free(syncs->resets);
   free(syncs->signals);
   free(syncs->signal_points);
}

int
msm_syncs_parse_in(struct msm_syncs *syncs, struct sim_file *file, struct sim_job *job,
                   uint64_t user, uint32_t count, uint32_t stride)
{
   int ret;
   struct drm_msm_syncobj *descs = sim_copy_in_array(user, count, stride, sizeof(*descs), &ret);

   if (ret)
      return ret;
   syncs->reset_count = count;
   syncs->resets = calloc(MAX2(syncs->reset_count, 1), sizeof(*syncs->resets));
   if (!syncs->resets)
      ret = -ENOMEM;

   for (uint32_t i = 0; i < count && !ret; i++) {
      struct sim_fence *fence;

      if (descs[i].flags & ~MSM_SYNCOBJ_FLAGS)
         ret = -EINVAL;
      if (!ret)
         ret = sim_syncobj_find_fence(file, descs[i].handle, descs[i].point, &fence);
      if (!ret)
         ret = sim_job_add_dependency(job, fence);
      if (!ret && (descs[i].flags & MSM_SYNCOBJ_RESET)) {
         syncs->resets[i] = sim_syncobj_find(file, descs[i].handle);
         if (!syncs->resets[i])
            ret = -EINVAL;
      }
   }
   free(descs);
   return ret;
}

int
msm_syncs_parse_out(struct msm_syncs *syncs, struct sim_file *file, uint64_t user, uint32_t count,
                    uint32_t stride)
{
   int ret;
   struct drm_msm_syncobj *descs = sim_copy_in_array(user, count, stride, sizeof(*descs), &ret);

   if (ret)
      return ret;
   syncs->signal_count = count;
   syncs->signals = calloc(MAX2(syncs->signal_count, 1), sizeof(*syncs->signals));
   syncs->signal_points = calloc(MAX2(syncs->signal_count, 1), sizeof(*syncs->signal_points));
   if (!syncs->signals || !syncs->signal_points)
      ret = -ENOMEM;

   for (uint32_t i = 0; i < count && !ret; i++) {
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

void
msm_syncs_apply(const struct msm_syncs *syncs, struct sim_fence *fence)
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

/* The command stream: packets of type 7, whose header has a count, an opcode and their parities */

#define CP_TYPE7(header)     ((header) >> 28 == 7)
#define CP_COUNT(header)     ((header)&0x3fff)
#define CP_OPCODE(header)    (((header) >> 16) & 0x7f)
#define CP_NOP               0x10
#define CP_MEM_WRITE         0x3d
#define CP_MEM_TO_MEM        0x73
/* Of the first of three operands, the others' behind it */
#define CP_MEM_TO_MEM_NEG_A  (1u << 0)
#define CP_MEM_TO_MEM_DOUBLE (1u << 29)
#define MAX_PAYLOAD          64

struct submit_job {
   struct sim_job base;
   struct msm_queue *queue;
   struct drm_msm_gem_submit_cmd *cmds;
   uint32_t cmd_count;
   /* Without VM_BIND */
   struct drm_msm_gem_submit_bo *table;
   struct sim_bo **bos;
   uint32_t bo_count;
};

static bool
has_odd_parity(uint32_t header)
{
   uint32_t count_parity = !__builtin_parity(CP_COUNT(header));
   uint32_t opcode_parity = !__builtin_parity(CP_OPCODE(header));

   return ((header >> 15) & 1) == count_parity && ((header >> 23) & 1) == opcode_parity;
}

static uint64_t
address(const uint32_t *dwords)
{
   return dwords[0] | (uint64_t)dwords[1] << 32;
}

/* The sum of up to three sources, each negated or not */
static int
mem_to_mem(struct sim_vm *vm, const uint32_t *payload, uint32_t count)
{
   size_t size = payload[0] & CP_MEM_TO_MEM_DOUBLE ? 8 : 4;
   uint64_t sum = 0;

   if (count < 5 || count > 9 || count % 2 == 0)
      return -EINVAL;
   for (uint32_t i = 0; i < (count - 3) / 2; i++) {
      uint64_t value = 0;
      int ret = sim_vm_read(vm, address(&payload[3 + 2 * i]), &value, size);

      if (ret)
         return ret;
      sum += payload[0] & CP_MEM_TO_MEM_NEG_A << i ? -value : value;
   }
   return sim_vm_write(vm, address(&payload[1]), &sum, size);
}

static int
run_packet(struct sim_vm *vm, uint32_t header, uint64_t va)
{
   uint32_t payload[MAX_PAYLOAD];
   uint32_t count = CP_COUNT(header);

   if (!CP_TYPE7(header) || !has_odd_parity(header))
      return -EINVAL;
   if (CP_OPCODE(header) == CP_NOP)
      return 0;
   if (count > MAX_PAYLOAD || count < 3)
      return -EINVAL;
   int ret = sim_vm_read(vm, va, payload, count * 4);
   if (ret)
      return ret;

   switch (CP_OPCODE(header)) {
   case CP_MEM_WRITE:
      return sim_vm_write(vm, address(payload), &payload[2], (count - 2) * 4);
   case CP_MEM_TO_MEM:
      return mem_to_mem(vm, payload, count);
   default:
      return -EINVAL;
   }
}

static int
run_cmd(struct sim_vm *vm, const struct drm_msm_gem_submit_cmd *cmd)
{
   uint64_t va = cmd->iova, end = cmd->iova + cmd->size;

   while (va < end) {
      uint32_t header;
      int ret = sim_vm_read(vm, va, &header, sizeof(header));

      if (!ret)
         ret = run_packet(vm, header, va + 4);
      if (ret)
         return ret;
      va += 4 + CP_COUNT(header) * 4;
   }
   return 0;
}

static int
submit_job_run(struct sim_job *base)
{
   struct submit_job *job = container_of(base, struct submit_job, base);
   struct sim_vm *vm = job->queue->vm;
   int ret = p_atomic_read(&vm->unusable) ? -EPIPE : 0;

   for (uint32_t i = 0; i < job->cmd_count && !ret; i++) {
      if (job->cmds[i].type == MSM_SUBMIT_CMD_BUF)
         ret = run_cmd(vm, &job->cmds[i]);
   }
   if (!job->table) {
      /* With VM_BIND the kernel does not try to recover from a fault. */
      if (ret)
         p_atomic_set(&vm->unusable, true);
      return ret;
   }
   /* Without, the hang is somebody else's business, and the fence is like any. */
   return 0;
}

static void
submit_job_free(struct sim_job *base)
{
   struct submit_job *job = container_of(base, struct submit_job, base);

   msm_queue_put(job->queue);
   for (uint32_t i = 0; job->bos && i < job->bo_count; i++)
      sim_bo_put(job->bos[i]);
   free(job->bos);
   free(job->table);
   free(job->cmds);
   free(job);
}

static int
look_up_table(struct submit_job *job, struct sim_file *file, const struct drm_msm_gem_submit *args)
{
   int ret;

   job->table =
      sim_copy_in_array(args->bos, args->nr_bos, sizeof(*job->table), sizeof(*job->table), &ret);
   if (ret)
      return ret;
   job->bos = calloc(MAX2(args->nr_bos, 1), sizeof(*job->bos));
   if (!job->bos)
      return -ENOMEM;
   job->bo_count = args->nr_bos;
   for (uint32_t i = 0; i < job->bo_count; i++) {
      const uint32_t flags = job->table[i].flags;

      if ((flags & ~MSM_SUBMIT_BO_FLAGS) || !(flags & (MSM_SUBMIT_BO_READ | MSM_SUBMIT_BO_WRITE)))
         return -EINVAL;
   }
   for (uint32_t i = 0; i < job->bo_count; i++) {
      job->bos[i] = sim_bo_lookup(file, job->table[i].handle);
      if (!job->bos[i])
         return -EINVAL;
   }
   return 0;
}

/* Each BO's address, and with it that of the commands in it */
static int
place_table(struct submit_job *job, struct sim_file *file)
{
   __u64 iova;
   int ret = 0;

   for (uint32_t i = 0; i < job->bo_count && !ret; i++)
      ret = msm_get_iova(file, job->bos[i], &iova);
   for (uint32_t i = 0; i < job->cmd_count && !ret; i++) {
      struct drm_msm_gem_submit_cmd *cmd = &job->cmds[i];
      const uint64_t end = (uint64_t)cmd->submit_offset + cmd->size;

      if (cmd->nr_relocs || cmd->submit_idx >= job->bo_count || !cmd->size || cmd->size % 4 ||
          end > job->bos[cmd->submit_idx]->size_B)
         return -EINVAL;
      ret = msm_get_iova(file, job->bos[cmd->submit_idx], &iova);
      cmd->iova = iova + cmd->submit_offset;
   }
   return ret;
}

/* Behind those that write what is read, and all that use what is written */
static int
add_implicit_waits(struct submit_job *job, const struct drm_msm_gem_submit *args)
{
   int ret = 0;

   for (uint32_t i = 0; i < job->bo_count && !ret; i++) {
      const bool writes = job->table[i].flags & MSM_SUBMIT_BO_WRITE;
      enum sim_resv_usage usage = writes ? SIM_RESV_READ : SIM_RESV_WRITE;

      if ((args->flags & MSM_SUBMIT_NO_IMPLICIT) ||
          (job->table[i].flags & MSM_SUBMIT_BO_NO_IMPLICIT))
         usage = SIM_RESV_KERNEL;
      struct sim_fence *fence = sim_resv_get(&job->bos[i]->resv, usage);
      ret = fence ? sim_job_add_dependency(&job->base, fence) : -ENOMEM;
   }
   return ret;
}

static void
mark_busy(const struct submit_job *job)
{
   for (uint32_t i = 0; i < job->bo_count; i++)
      sim_resv_add_fence(&job->bos[i]->resv, job->base.finished,
                         job->table[i].flags & MSM_SUBMIT_BO_WRITE ? SIM_RESV_WRITE
                                                                   : SIM_RESV_READ);
}

static int
check_cmds(const struct submit_job *job, bool vm_bind)
{
   for (uint32_t i = 0; i < job->cmd_count; i++) {
      const struct drm_msm_gem_submit_cmd *cmd = &job->cmds[i];

      if (cmd->type < MSM_SUBMIT_CMD_BUF || cmd->type > MSM_SUBMIT_CMD_CTX_RESTORE_BUF ||
          cmd->size % 4)
         return -EINVAL;
      if (vm_bind && (cmd->nr_relocs || cmd->submit_idx || cmd->submit_offset))
         return -EINVAL;
   }
   return 0;
}

static struct submit_job *
submit_job_create(struct sim_file *file, struct msm_queue *queue,
                  const struct drm_msm_gem_submit *args, int *ret)
{
   const bool vm_bind = to_msm(file)->wants_vm_bind;
   struct submit_job *job = calloc(1, sizeof(*job));

   *ret = job ? 0 : -ENOMEM;
   if (!job)
      return NULL;
   job->base.run = submit_job_run;
   job->base.free = submit_job_free;
   job->queue = queue;
   p_atomic_inc(&queue->refcount);
   job->cmd_count = args->nr_cmds;
   sim_job_init(&job->base, &queue->entity);

   job->cmds =
      sim_copy_in_array(args->cmds, args->nr_cmds, sizeof(*job->cmds), sizeof(*job->cmds), ret);
   if (!*ret)
      *ret = check_cmds(job, vm_bind);
   if (!*ret && !vm_bind)
      *ret = look_up_table(job, file, args);
   if (!*ret && !vm_bind)
      *ret = place_table(job, file);
   if (!*ret)
      *ret = add_implicit_waits(job, args);
   return job;
}

static int
add_in_fence(struct sim_job *job, const struct drm_msm_gem_submit *args)
{
   struct sim_fence *fence = sim_sync_file_get_fence(args->fence_fd);

   return fence ? sim_job_add_dependency(job, fence) : -EINVAL;
}

/* The number by which WAIT_FENCE knows the submit */
static int
number_submit(struct msm_queue *queue, struct drm_msm_gem_submit *args, struct sim_fence *fence)
{
   if (args->flags & MSM_SUBMIT_FENCE_SN_IN) {
      /* Numbers of the program's own choice: only the next one is there to be had here. */
      uint32_t wanted = args->fence;

      if (!wanted || sim_handles_get(&queue->fences, wanted))
         return -EINVAL;
      args->fence = sim_handles_add(&queue->fences, fence);
      if (args->fence != wanted) {
         sim_handles_remove(&queue->fences, args->fence);
         return -EINVAL;
      }
   } else {
      args->fence = sim_handles_add(&queue->fences, fence);
   }
   if (!args->fence)
      return -ENOMEM;
   sim_fence_get(fence);
   return 0;
}

static int
submit_locked(struct sim_file *file, struct msm_queue *queue, struct drm_msm_gem_submit *args)
{
   struct msm_syncs syncs = {0};
   int fence_fd = -1;
   int ret;

   if (!queue->has_entity) {
      queue->vm = sim_vm_get(msm_context_vm(file));
      sim_entity_init(&queue->entity, queue->vm->engine);
      queue->has_entity = true;
   }

   struct submit_job *job = submit_job_create(file, queue, args, &ret);
   if (!ret && (args->flags & MSM_SUBMIT_FENCE_FD_IN))
      ret = add_in_fence(&job->base, args);
   if (!ret && (args->flags & MSM_SUBMIT_SYNCOBJ_IN))
      ret = msm_syncs_parse_in(&syncs, file, &job->base, args->in_syncobjs, args->nr_in_syncobjs,
                               args->syncobj_stride);
   if (!ret && (args->flags & MSM_SUBMIT_SYNCOBJ_OUT))
      ret = msm_syncs_parse_out(&syncs, file, args->out_syncobjs, args->nr_out_syncobjs,
                                args->syncobj_stride);
   if (!ret && (args->flags & MSM_SUBMIT_FENCE_FD_OUT)) {
      fence_fd = sim_sync_file_create(job->base.finished, NULL);
      ret = MIN2(fence_fd, 0);
   }
   if (!ret)
      ret = sim_evict_validate(queue->vm, job->base.finished);
   if (!ret)
      ret = number_submit(queue, args, job->base.finished);
   if (ret)
      goto fail_job;

   struct sim_fence *fence = sim_fence_get(job->base.finished);
   mark_busy(job);
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
   if (job) {
      sim_job_finish(&job->base);
      submit_job_free(&job->base);
   }
   return ret;
}

int
msm_gem_submit_ioctl(struct sim_file *file, void *data)
{
   struct drm_msm_gem_submit *args = data;
   struct sim_vm *vm = msm_context_vm(file);
   int ret;

   if (!vm)
      return -ENOMEM;
   if (args->pad)
      return -EINVAL;
   if (p_atomic_read(&vm->unusable))
      return -EPIPE;
   if (MSM_PIPE_ID(args->flags) != MSM_PIPE_3D0 ||
       (MSM_PIPE_FLAGS(args->flags) & ~MSM_SUBMIT_FLAGS) || (args->flags & MSM_SUBMIT_SUDO))
      return -EINVAL;

   struct msm_queue *queue = msm_queue_get(file, args->queueid);
   if (!queue)
      return -ENOENT;
   /* With VM_BIND there is no table of BOs. */
   if ((queue->flags & MSM_SUBMITQUEUE_VM_BIND) || (args->nr_bos && to_msm(file)->wants_vm_bind)) {
      ret = -EINVAL;
   } else {
      pthread_mutex_lock(&queue->lock);
      ret = submit_locked(file, queue, args);
      pthread_mutex_unlock(&queue->lock);
   }
   msm_queue_put(queue);
   return ret;
}

int
msm_wait_fence_ioctl(struct sim_file *file, void *data)
{
   struct drm_msm_wait_fence *args = data;
   uint64_t deadline_ns =
      args->timeout.tv_sec < 0 ? 0 : args->timeout.tv_sec * 1000000000ull + args->timeout.tv_nsec;
   int ret = 0;

   if (args->flags & ~MSM_WAIT_FENCE_FLAGS)
      return -EINVAL;
   struct msm_queue *queue = msm_queue_get(file, args->queueid);
   if (!queue)
      return -ENOENT;

   pthread_mutex_lock(&queue->lock);
   struct sim_fence *fence = sim_fence_get(sim_handles_get(&queue->fences, args->fence));
   /* One that was never given out; zero is always past. */
   if (!fence && args->fence)
      ret = -EINVAL;
   pthread_mutex_unlock(&queue->lock);

   sim_sync_lock();
   while (!ret && fence && !sim_fence_is_signaled_locked(fence)) {
      if (deadline_ns <= sim_now_ns())
         ret = -ETIMEDOUT;
      else if (sim_sync_wait_locked(deadline_ns) == -EINTR)
         ret = -EINTR;
   }
   sim_sync_unlock();
   sim_fence_put(fence);
   msm_queue_put(queue);
   return ret;
}

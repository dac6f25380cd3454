/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Submits of the xe personality: a batch buffer through the GPU page tables. Follows xe_exec.c; the
 * encoding of commands is the hardware's. Must know nothing of VM_BIND.
 *
 * What stores to memory or jumps is executed; all other commands are taken and do nothing.
 */

#include "sim_xe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "drm-uapi/xe_drm.h"
#include "util/macros.h"
#include "util/u_atomic.h"

#include "sim_evict.h"
#include "sim_libc.h"

#define MI_OPCODE(dword)                (((dword) >> 23) & 0x3f)
#define MI_BATCH_BUFFER_END             0x0a
#define MI_STORE_DATA_IMM               0x20
#define MI_BATCH_BUFFER_START           0x31
#define MI_CONDITIONAL_BATCH_BUFFER_END 0x36
#define MI_SECOND_LEVEL                 (1u << 22)
#define MI_STORE_QWORD                  (1u << 21)
#define CLIENT_MI                       0
#define CLIENT_BLIT                     2
#define CLIENT_RENDER                   3
#define JOB_TIMEOUT_NS                  5000000000ull
#define MAX_BATCH_DWORDS                (1u << 20)

struct exec_job {
   struct sim_job base;
   struct xe_queue *queue;
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
   struct xe_queue *queue;
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
run_batch(struct xe_queue *queue, uint64_t va)
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
   xe_write_user_fence(job->user_fence_addr, job->user_fence_value);
   return ret;
}

static void
exec_job_free(struct sim_job *base)
{
   struct exec_job *job = container_of(base, struct exec_job, base);

   xe_queue_put(job->queue);
   free(job);
}

static int
exec_submit(struct xe_queue *queue, const struct drm_xe_exec *args, const struct xe_syncs *syncs)
{
   struct exec_job *job;

   if (!args->num_batch_buffer)
      return xe_syncs_signal_only(syncs, &queue->entity);
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

   int ret = xe_syncs_add_waits(syncs, &job->base);
   if (!ret)
      ret = sim_evict_validate(queue->vm, job->base.finished);
   if (ret) {
      sim_job_finish(&job->base);
      exec_job_free(&job->base);
      return ret;
   }

   struct sim_fence *fence = sim_fence_get(job->base.finished);
   sim_entity_push_job(&queue->entity, &job->base);
   xe_syncs_signal(syncs, fence);
   sim_fence_put(fence);
   return 0;
}

int
xe_exec_ioctl(struct sim_file *file, void *data)
{
   struct drm_xe_exec *args = data;
   struct xe_syncs syncs = {0};
   int ret = 0;

   if (args->extensions || args->pad[0] || args->pad[1] || args->pad[2] || args->reserved[0] ||
       args->reserved[1] || args->num_syncs > DRM_XE_MAX_SYNCS)
      return -EINVAL;
   struct xe_queue *queue = xe_queue_find(file, args->exec_queue_id);
   if (!queue)
      return -ENOENT;

   if (queue->is_bind || args->num_batch_buffer > 1)
      ret = -EINVAL;
   else if (p_atomic_read(&queue->banned))
      ret = -ECANCELED;
   if (!ret) {
      bool lr_mode = to_xe_vm(queue->vm)->flags & DRM_XE_VM_CREATE_FLAG_LR_MODE;
      ret = xe_syncs_parse(file, args->syncs, args->num_syncs, lr_mode, true, &syncs);
   }
   if (!ret)
      ret = exec_submit(queue, args, &syncs);
   xe_syncs_finish(&syncs);
   xe_queue_put(queue);
   return ret;
}

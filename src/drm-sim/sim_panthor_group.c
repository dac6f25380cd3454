/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Groups of queues of the panthor personality, and of command streams all that moves words about:
 * moves, adds, loads, stores, branches, calls, jumps and sync objects. Jobs for shader cores and the
 * tiler are taken and do nothing. Follows panthor_sched.c. Must know nothing of binds.
 */

#include "sim_panthor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/bitscan.h"
#include "util/macros.h"
#include "util/u_atomic.h"

#include "sim_device.h"
#include "sim_evict.h"
#include "sim_libc.h"
#include "sim_vm.h"

#define MAX_GROUPS       128
#define MAX_QUEUES       32
#define MIN_RING_B       4096
#define MAX_RING_B       65536
#define MAX_PRIORITY     15
#define MAX_CALL_DEPTH   4
#define MAX_INSTRUCTIONS (1u << 20)

enum opcode {
   OP_NOP = 0,
   OP_MOVE48 = 1,
   OP_MOVE32 = 2,
   OP_WAIT = 3,
   OP_RUN_COMPUTE = 4,
   OP_RUN_TILING = 5,
   OP_RUN_IDVS = 6,
   OP_RUN_FRAGMENT = 7,
   OP_RUN_FULLSCREEN = 8,
   OP_FINISH_TILING = 9,
   OP_FINISH_FRAGMENT = 11,
   OP_ADD_IMM32 = 16,
   OP_ADD_IMM64 = 17,
   OP_UMIN32 = 18,
   OP_LOAD_MULTIPLE = 20,
   OP_STORE_MULTIPLE = 21,
   OP_BRANCH = 22,
   OP_SET_SB_ENTRY = 23,
   OP_SET_EXCEPTION_HANDLER = 25,
   OP_CALL = 32,
   OP_JUMP = 33,
   OP_REQ_RESOURCE = 34,
   OP_FLUSH_CACHE = 36,
   OP_SYNC_ADD32 = 37,
   OP_SYNC_SET32 = 38,
   OP_SYNC_WAIT32 = 39,
   OP_STORE_STATE = 40,
   OP_RUN_COMPUTE_INDIRECT = 44,
   OP_ERROR_BARRIER = 47,
   OP_HEAP_SET = 48,
   OP_HEAP_OPERATION = 49,
   OP_SYNC_ADD64 = 51,
   OP_SYNC_SET64 = 52,
   OP_SYNC_WAIT64 = 53,
};

/* Of a branch: the value beside zero; of a wait: the sync object beside the value */
enum condition {
   CONDITION_LEQUAL,
   CONDITION_GREATER,
   CONDITION_EQUAL,
   CONDITION_NEQUAL,
   CONDITION_LESS,
   CONDITION_GEQUAL,
   CONDITION_ALWAYS,
};

struct group_queue {
   struct sim_entity entity;
   uint32_t registers[256];
};

struct group {
   int32_t refcount;
   struct sim_vm *vm;
   uint32_t queue_count;
   struct group_queue queues[MAX_QUEUES];
   uint32_t fatal_queues;
   bool destroyed;
};

/* The instructions that are run, and the next one of them */
struct position {
   uint64_t addr;
   uint32_t size_B;
   uint32_t at;
};

struct stream {
   struct sim_vm *vm;
   uint32_t *registers;
   unsigned instructions;
   /* Of the job itself, of what it calls, ... */
   struct position positions[MAX_CALL_DEPTH + 1];
   unsigned depth;
};

struct group_job {
   struct panthor_job base;
   struct group *group;
   uint32_t queue;
   struct stream stream;
};

static void
group_put(struct group *group)
{
   if (!group || !p_atomic_dec_zero(&group->refcount))
      return;
   for (uint32_t i = 0; i < group->queue_count; i++)
      sim_entity_finish(&group->queues[i].entity);
   sim_vm_put(group->vm);
   free(group);
}

static struct group *
group_find(struct sim_file *file, uint32_t handle)
{
   pthread_mutex_lock(&file->lock);
   struct group *group = sim_handles_get(&to_panthor(file)->groups, handle);
   if (group)
      p_atomic_inc(&group->refcount);
   pthread_mutex_unlock(&file->lock);
   return group;
}

static int
check_group(const struct drm_panthor_group_create *args)
{
   if (args->priority > PANTHOR_GROUP_PRIORITY_REALTIME)
      return -EINVAL;
   if (!(PANTHOR_ALLOWED_PRIORITIES & 1 << args->priority))
      return -EACCES;
   if (args->pad)
      return -EINVAL;
   if ((args->compute_core_mask & ~PANTHOR_SHADERS) ||
       (args->fragment_core_mask & ~PANTHOR_SHADERS) || (args->tiler_core_mask & ~PANTHOR_TILERS))
      return -EINVAL;
   if (util_bitcount64(args->compute_core_mask) < args->max_compute_cores ||
       util_bitcount64(args->fragment_core_mask) < args->max_fragment_cores ||
       util_bitcount64(args->tiler_core_mask) < args->max_tiler_cores)
      return -EINVAL;
   return args->queues.count > PANTHOR_CS_SLOTS ? -EINVAL : 0;
}

static int
check_queue(const struct drm_panthor_queue_create *queue)
{
   if (queue->pad[0] || queue->pad[1] || queue->pad[2] || queue->priority > MAX_PRIORITY)
      return -EINVAL;
   if (queue->ringbuf_size < MIN_RING_B || queue->ringbuf_size > MAX_RING_B ||
       (queue->ringbuf_size & (queue->ringbuf_size - 1)))
      return -EINVAL;
   return 0;
}

static int
group_create(struct sim_file *file, struct drm_panthor_group_create *args)
{
   struct panthor_file *pfile = to_panthor(file);
   struct sim_vm *vm = sim_vm_lookup(file, args->vm_id);
   struct group *group = vm ? calloc(1, sizeof(*group)) : NULL;

   if (!group) {
      sim_vm_put(vm);
      return vm ? -ENOMEM : -EINVAL;
   }
   group->refcount = 1;
   group->vm = vm;
   group->queue_count = args->queues.count;
   for (uint32_t i = 0; i < group->queue_count; i++)
      sim_entity_init(&group->queues[i].entity, vm->engine);

   pthread_mutex_lock(&file->lock);
   uint32_t handle = sim_handles_add(&pfile->groups, group);
   if (handle > MAX_GROUPS) {
      sim_handles_remove(&pfile->groups, handle);
      handle = 0;
   }
   pthread_mutex_unlock(&file->lock);
   if (!handle) {
      group_put(group);
      return -EBUSY;
   }
   args->group_handle = handle;
   return 0;
}

int
panthor_group_create_ioctl(struct sim_file *file, void *data)
{
   struct drm_panthor_group_create *args = data;
   int ret;

   if (!args->queues.count || args->queues.count > MAX_QUEUES)
      return -EINVAL;

   struct drm_panthor_queue_create *queues = panthor_copy_array(
      &args->queues, MIN_SIZE(queue_create, ringbuf_size), sizeof(*queues), &ret);
   if (!ret)
      ret = check_group(args);
   for (uint32_t i = 0; i < args->queues.count && !ret; i++)
      ret = check_queue(&queues[i]);
   free(queues);
   return ret ? ret : group_create(file, args);
}

/* Jobs that are still there are cancelled, also those that wait for others. */
static void
group_destroy(struct group *group)
{
   p_atomic_set(&group->destroyed, true);
   sim_sched_unblock(group->vm->engine);
   group_put(group);
}

int
panthor_group_destroy_ioctl(struct sim_file *file, void *data)
{
   struct drm_panthor_group_destroy *args = data;

   if (args->pad)
      return -EINVAL;
   pthread_mutex_lock(&file->lock);
   struct group *group = sim_handles_remove(&to_panthor(file)->groups, args->group_handle);
   pthread_mutex_unlock(&file->lock);
   if (!group)
      return -EINVAL;
   group_destroy(group);
   return 0;
}

void
panthor_groups_finish(struct sim_file *file)
{
   struct sim_handles *groups = &to_panthor(file)->groups;

   for (uint32_t i = 0; i < groups->capacity; i++) {
      if (groups->objects[i])
         group_destroy(groups->objects[i]);
   }
   sim_handles_finish(groups);
}

int
panthor_group_get_state_ioctl(struct sim_file *file, void *data)
{
   struct drm_panthor_group_get_state *args = data;

   if (args->pad)
      return -EINVAL;
   struct group *group = group_find(file, args->group_handle);
   if (!group)
      return -EINVAL;

   memset(args, 0, sizeof(*args));
   args->fatal_queues = p_atomic_read(&group->fatal_queues);
   args->state = args->fatal_queues ? DRM_PANTHOR_GROUP_STATE_FATAL_FAULT : 0;
   group_put(group);
   return 0;
}

/* The command stream */

static uint64_t
get64(const struct stream *stream, uint8_t reg)
{
   return stream->registers[reg] | (uint64_t)stream->registers[(reg + 1) & 0xff] << 32;
}

static void
set64(struct stream *stream, uint8_t reg, uint64_t value)
{
   stream->registers[reg] = value;
   stream->registers[(reg + 1) & 0xff] = value >> 32;
}

/* Registers named by a mask go to or come from consecutive words. */
static int
move_multiple(struct stream *stream, uint64_t addr, uint8_t reg, uint16_t mask, bool store)
{
   u_foreach_bit (i, mask) {
      uint32_t *value = &stream->registers[(reg + i) & 0xff];
      int ret = store ? sim_vm_write(stream->vm, addr, value, sizeof(*value))
                      : sim_vm_read(stream->vm, addr, value, sizeof(*value));
      if (ret)
         return ret;
      addr += sizeof(*value);
   }
   return 0;
}

/* Sync objects have 32 or 64 bits; the register has those of the value. */
static int
sync_write(struct stream *stream, uint64_t addr, uint64_t value, unsigned size_B, bool add)
{
   uint64_t old = 0;
   int ret = add ? sim_vm_read(stream->vm, addr, &old, size_B) : 0;

   value += old;
   return ret ? ret : sim_vm_write(stream->vm, addr, &value, size_B);
}

static bool
holds(unsigned condition, int order)
{
   switch (condition) {
   case CONDITION_LEQUAL:
      return order <= 0;
   case CONDITION_GREATER:
      return order > 0;
   case CONDITION_EQUAL:
      return order == 0;
   case CONDITION_NEQUAL:
      return order != 0;
   case CONDITION_LESS:
      return order < 0;
   case CONDITION_GEQUAL:
      return order >= 0;
   default:
      return true;
   }
}

/* What is not there may come from another queue. */
static int
sync_wait(struct stream *stream, uint64_t instruction, uint64_t addr, uint64_t value,
          unsigned size_B)
{
   uint64_t found = 0;
   int ret = sim_vm_read(stream->vm, addr, &found, size_B);

   if (size_B == 4)
      value = (uint32_t)value;
   if (!ret && !holds(instruction >> 28 & 0xf, (found > value) - (found < value)))
      ret = SIM_JOB_IS_BLOCKED;
   return ret;
}

static int
branch(struct position *position, uint64_t instruction, int32_t value)
{
   const int64_t to = position->at + (int16_t)instruction * 8ll;

   if (!holds(instruction >> 28 & 0x7, (value > 0) - (value < 0)))
      return 0;
   if (to < 0 || to > position->size_B)
      return -EINVAL;
   position->at = to;
   return 0;
}

static int
call(struct stream *stream, struct position position)
{
   if (stream->depth == MAX_CALL_DEPTH)
      return -EINVAL;
   stream->positions[++stream->depth] = position;
   return 0;
}

static int
run_instruction(struct stream *stream, struct position *position, uint64_t instruction)
{
   uint8_t dst = instruction >> 48, a = instruction >> 40, b = instruction >> 32;
   const uint8_t opcode = instruction >> 56;
   const struct position target = {.addr = get64(stream, a), .size_B = stream->registers[b]};
   uint64_t now_ns;

   switch (opcode) {
   case OP_NOP:
   case OP_WAIT:
   case OP_SET_SB_ENTRY:
   case OP_SET_EXCEPTION_HANDLER:
   case OP_REQ_RESOURCE:
   case OP_FLUSH_CACHE:
   case OP_ERROR_BARRIER:
   case OP_HEAP_SET:
   case OP_HEAP_OPERATION:
   case OP_RUN_COMPUTE:
   case OP_RUN_COMPUTE_INDIRECT:
   case OP_RUN_TILING:
   case OP_RUN_IDVS:
   case OP_RUN_FRAGMENT:
   case OP_RUN_FULLSCREEN:
   case OP_FINISH_TILING:
   case OP_FINISH_FRAGMENT:
      return 0;
   case OP_MOVE48:
      set64(stream, dst, instruction & 0xffffffffffffull);
      return 0;
   case OP_MOVE32:
      stream->registers[dst] = instruction;
      return 0;
   case OP_ADD_IMM32:
      stream->registers[dst] = stream->registers[a] + (uint32_t)instruction;
      return 0;
   case OP_ADD_IMM64:
      set64(stream, dst, get64(stream, a) + (int32_t)instruction);
      return 0;
   case OP_UMIN32:
      stream->registers[dst] = MIN2(stream->registers[a], stream->registers[b]);
      return 0;
   case OP_LOAD_MULTIPLE:
   case OP_STORE_MULTIPLE:
      return move_multiple(stream, get64(stream, a) + (int16_t)instruction, dst, instruction >> 16,
                           opcode == OP_STORE_MULTIPLE);
   case OP_BRANCH:
      return branch(position, instruction, stream->registers[a]);
   case OP_CALL:
      return call(stream, target);
   case OP_JUMP:
      *position = target;
      return 0;
   case OP_STORE_STATE:
      now_ns = sim_now_ns();
      return sim_vm_write(stream->vm, get64(stream, a) + (int16_t)instruction, &now_ns,
                          sizeof(now_ns));
   case OP_SYNC_ADD32:
   case OP_SYNC_SET32:
      return sync_write(stream, get64(stream, a), stream->registers[b], 4, opcode == OP_SYNC_ADD32);
   case OP_SYNC_ADD64:
   case OP_SYNC_SET64:
      return sync_write(stream, get64(stream, a), get64(stream, b), 8, opcode == OP_SYNC_ADD64);
   case OP_SYNC_WAIT32:
   case OP_SYNC_WAIT64:
      return sync_wait(stream, instruction, get64(stream, a), get64(stream, b),
                       opcode == OP_SYNC_WAIT32 ? 4 : 8);
   default:
      return -EINVAL;
   }
}

/* 0 at its end; a stream that is blocked can be run again, and goes on where it was. */
static int
run_stream(struct stream *stream)
{
   for (;;) {
      struct position *position = &stream->positions[stream->depth];
      uint64_t instruction;

      if (position->at >= position->size_B) {
         if (!stream->depth)
            return 0;
         stream->depth--;
         continue;
      }
      int ret = sim_vm_read(stream->vm, position->addr + position->at, &instruction,
                            sizeof(instruction));
      if (!ret && ++stream->instructions > MAX_INSTRUCTIONS)
         ret = -ETIME;
      position->at += sizeof(instruction);
      if (!ret)
         ret = run_instruction(stream, position, instruction);
      if (ret == SIM_JOB_IS_BLOCKED)
         position->at -= sizeof(instruction);
      if (ret)
         return ret;
   }
}

/* Jobs */

static int
group_job_run(struct sim_job *base)
{
   struct group_job *job = container_of(base, struct group_job, base.base);
   struct group *group = job->group;

   if (p_atomic_read(&group->destroyed) || p_atomic_read(&group->fatal_queues) ||
       p_atomic_read(&group->vm->unusable))
      return -ECANCELED;
   const unsigned before = job->stream.instructions;
   const int ret = run_stream(&job->stream);
   base->has_progressed = job->stream.instructions > before + 1;
   if (ret >= 0)
      return ret;
   /* A page fault or an unknown instruction ends the whole group. */
   p_atomic_set(&group->fatal_queues, group->fatal_queues | 1u << job->queue);
   return -EINVAL;
}

static void
group_job_free(struct sim_job *base)
{
   struct group_job *job = container_of(base, struct group_job, base.base);

   group_put(job->group);
   free(job->base.syncs);
   free(job);
}

static int
check_submit(const struct drm_panthor_queue_submit *submit)
{
   if (submit->pad || (submit->stream_size == 0) != (submit->stream_addr == 0))
      return -EINVAL;
   if ((submit->stream_addr & 63) || (submit->stream_size & 7))
      return -EINVAL;
   return submit->latest_flush & 0x7f000000 ? -EINVAL : 0;
}

static int
group_job_create(struct sim_file *file, uint32_t group_handle,
                 const struct drm_panthor_queue_submit *submit, struct panthor_job **out)
{
   int ret = check_submit(submit);

   if (ret)
      return ret;
   struct group_job *job = calloc(1, sizeof(*job));
   if (!job)
      return -ENOMEM;
   job->base.base.run = group_job_run;
   job->base.base.free = group_job_free;
   job->queue = submit->queue_index;

   job->group = group_find(file, group_handle);
   if (!job->group || p_atomic_read(&job->group->fatal_queues) ||
       job->queue >= job->group->queue_count)
      ret = -EINVAL;
   if (!ret) {
      job->stream = (struct stream){
         .vm = job->group->vm,
         .registers = job->group->queues[job->queue].registers,
         .positions = {{.addr = submit->stream_addr, .size_B = submit->stream_size}},
      };
      ret = panthor_job_init(&job->base, &job->group->queues[job->queue].entity, &submit->syncs);
   }
   if (ret) {
      group_put(job->group);
      free(job);
      return ret;
   }
   *out = &job->base;
   return 0;
}

int
panthor_group_submit_ioctl(struct sim_file *file, void *data)
{
   struct drm_panthor_group_submit *args = data;
   struct panthor_submit submit;
   int ret;

   if (args->pad)
      return -EINVAL;
   struct drm_panthor_queue_submit *submits = panthor_copy_array(
      &args->queue_submits, MIN_SIZE(queue_submit, syncs), sizeof(*submits), &ret);
   if (ret)
      return ret;

   ret = panthor_submit_init(&submit, file, args->queue_submits.count);
   for (uint32_t i = 0; i < args->queue_submits.count && !ret; i++)
      ret = group_job_create(file, args->group_handle, &submits[i], &submit.jobs[i]);
   for (uint32_t i = 0; i < args->queue_submits.count && !ret; i++) {
      const struct group_job *job = container_of(submit.jobs[i], struct group_job, base);
      ret = sim_evict_validate(job->group->vm, job->base.base.finished);
   }
   if (!ret)
      ret = panthor_submit_push(&submit);
   panthor_submit_finish(&submit);
   free(submits);
   return ret;
}

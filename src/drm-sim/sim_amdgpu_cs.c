/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The amdgpu personality's contexts, lists of BOs and submits. Follows amdgpu_ctx.c,
 * amdgpu_bo_list.c and amdgpu_cs.c; the encoding of packets is the hardware's. Must know nothing of
 * GEM_VA but that a submit waits for it.
 *
 * Of PM4, WRITE_DATA to memory, INDIRECT_BUFFER and NOP are executed, of the DMA engine's packets
 * WRITE and NOP; other packets of type 3 are taken and do nothing. What cannot be read, or written,
 * makes the context guilty.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/macros.h"
#include "util/u_atomic.h"

#include "sim_amdgpu.h"
#include "sim_evict.h"
#include "sim_gem.h"
#include "sim_libc.h"
#include "sim_syncobj.h"
#include "sim_vm.h"

#define PM4_TYPE(header)   ((header) >> 30)
#define PM4_COUNT(header)  ((header) >> 16 & 0x3fff)
#define PM4_OPCODE(header) ((header) >> 8 & 0xff)

#define PM4_WRITE_DATA         0x37
#define PM4_INDIRECT_BUFFER    0x3f
#define WRITE_DATA_DST(dword)  ((dword) >> 8 & 0xf)
#define WRITE_DATA_MEMORY      5
#define WRITE_DATA_ONE_ADDRESS (1u << 16)
#define INDIRECT_SIZE_MASK     0xfffff
#define MAX_DEPTH              4

#define DMA_OPCODE(header) ((header)&0xff)
#define DMA_NOP            0x00
#define DMA_WRITE          0x02

/* As many as a ring of a context remembers, and how many rings an IP has */
#define MAX_RINGS 4

struct ring {
   struct sim_entity entity;
   bool has_entity;
   /* By the number that a submit returns */
   struct sim_handles fences;
};

struct context {
   int32_t refcount;
   bool guilty;
   struct sim_vm *vm;
   uint32_t pstate;
   pthread_mutex_t lock;
   struct ring rings[AMDGPU_HW_IP_NUM][MAX_RINGS];
};

struct bo_list {
   struct sim_bo **bos;
   uint32_t count;
};

struct cs_job {
   struct sim_job base;
   struct context *context;
   struct drm_amdgpu_cs_chunk_ib *ibs;
   uint32_t ib_count;
   /* The user fence */
   struct sim_bo *fence_bo;
   uint32_t fence_offset;
   uint64_t seqno;
};

/* Contexts */

static void
context_put(struct context *context)
{
   if (!context || !p_atomic_dec_zero(&context->refcount))
      return;
   for (unsigned ip = 0; ip < AMDGPU_HW_IP_NUM; ip++) {
      for (unsigned i = 0; i < MAX_RINGS; i++) {
         struct ring *ring = &context->rings[ip][i];

         if (ring->has_entity)
            sim_entity_finish(&ring->entity);
         for (uint32_t f = 0; f < ring->fences.capacity; f++)
            sim_fence_put(ring->fences.objects[f]);
         sim_handles_finish(&ring->fences);
      }
   }
   sim_vm_put(context->vm);
   pthread_mutex_destroy(&context->lock);
   free(context);
}

static struct context *
context_find(struct sim_file *file, uint32_t id)
{
   pthread_mutex_lock(&file->lock);
   struct context *context = sim_handles_get(&to_amdgpu(file)->contexts, id);
   if (context)
      p_atomic_inc(&context->refcount);
   pthread_mutex_unlock(&file->lock);
   return context;
}

static int
context_alloc(struct sim_file *file, uint32_t *id)
{
   struct context *context = calloc(1, sizeof(*context));

   if (!context)
      return -ENOMEM;
   context->refcount = 1;
   context->vm = sim_vm_get(to_amdgpu(file)->vm);
   pthread_mutex_init(&context->lock, NULL);
   pthread_mutex_lock(&file->lock);
   *id = sim_handles_add(&to_amdgpu(file)->contexts, context);
   pthread_mutex_unlock(&file->lock);
   if (!*id) {
      context_put(context);
      return -ENOMEM;
   }
   return 0;
}

static int
context_free(struct sim_file *file, uint32_t id)
{
   pthread_mutex_lock(&file->lock);
   struct context *context = sim_handles_remove(&to_amdgpu(file)->contexts, id);
   pthread_mutex_unlock(&file->lock);
   if (!context)
      return -EINVAL;
   context_put(context);
   return 0;
}

static int
query_state(const struct context *context, union drm_amdgpu_ctx *args)
{
   const bool guilty = p_atomic_read(&context->guilty);
   const bool is_second = args->in.op == AMDGPU_CTX_OP_QUERY_STATE2;

   memset(&args->out, 0, sizeof(args->out));
   if (is_second)
      args->out.state.flags =
         guilty ? AMDGPU_CTX_QUERY2_FLAGS_GUILTY | AMDGPU_CTX_QUERY2_FLAGS_RESET : 0;
   else
      args->out.state.reset_status = guilty ? AMDGPU_CTX_UNKNOWN_RESET : AMDGPU_CTX_NO_RESET;
   return 0;
}

static int
context_op(struct context *context, union drm_amdgpu_ctx *args)
{
   switch (args->in.op) {
   case AMDGPU_CTX_OP_QUERY_STATE:
   case AMDGPU_CTX_OP_QUERY_STATE2:
      return query_state(context, args);
   case AMDGPU_CTX_OP_GET_STABLE_PSTATE:
      args->out.pstate.flags = p_atomic_read(&context->pstate);
      return 0;
   default:
      p_atomic_set(&context->pstate, args->in.flags);
      return 0;
   }
}

int
amdgpu_ctx_ioctl(struct sim_file *file, void *data)
{
   union drm_amdgpu_ctx *args = data;
   uint32_t id;

   if (args->in.op < AMDGPU_CTX_OP_ALLOC_CTX || args->in.op > AMDGPU_CTX_OP_SET_STABLE_PSTATE)
      return -EINVAL;
   if (args->in.op == AMDGPU_CTX_OP_SET_STABLE_PSTATE ? args->in.flags > AMDGPU_CTX_STABLE_PSTATE_PEAK
                                                      : args->in.flags)
      return -EINVAL;

   if (args->in.op == AMDGPU_CTX_OP_ALLOC_CTX) {
      int ret = context_alloc(file, &id);
      args->out.alloc.ctx_id = ret ? args->in.ctx_id : id;
      return ret;
   }
   if (args->in.op == AMDGPU_CTX_OP_FREE_CTX)
      return context_free(file, args->in.ctx_id);

   struct context *context = context_find(file, args->in.ctx_id);
   if (!context)
      return -EINVAL;
   int ret = context_op(context, args);
   context_put(context);
   return ret;
}

/* Lists of BOs */

static void
bo_list_destroy(struct bo_list *list)
{
   for (uint32_t i = 0; i < list->count; i++)
      sim_bo_put(list->bos[i]);
   free(list->bos);
   free(list);
}

static int
bo_list_create(struct sim_file *file, const struct drm_amdgpu_bo_list_in *in, struct bo_list **out)
{
   struct bo_list *list = NULL;
   int ret;
   struct drm_amdgpu_bo_list_entry *entries =
      sim_copy_in_array(in->bo_info_ptr, in->bo_number, in->bo_info_size, sizeof(*entries), &ret);

   if (!ret) {
      list = calloc(1, sizeof(*list));
      if (list)
         list->bos = calloc(MAX2(in->bo_number, 1), sizeof(*list->bos));
      ret = list && list->bos ? 0 : -ENOMEM;
   }
   for (uint32_t i = 0; i < in->bo_number && !ret; i++) {
      list->bos[i] = sim_bo_lookup(file, entries[i].bo_handle);
      list->count++;
      ret = list->bos[i] ? 0 : -ENOENT;
   }
   free(entries);
   if (ret && list)
      bo_list_destroy(list);
   *out = ret ? NULL : list;
   return ret;
}

static struct bo_list *
bo_list_remove(struct sim_file *file, uint32_t handle)
{
   pthread_mutex_lock(&file->lock);
   struct bo_list *list = sim_handles_remove(&to_amdgpu(file)->bo_lists, handle);
   pthread_mutex_unlock(&file->lock);
   return list;
}

static int
bo_list_add(struct sim_file *file, struct bo_list *list, uint32_t *handle)
{
   pthread_mutex_lock(&file->lock);
   *handle = sim_handles_add(&to_amdgpu(file)->bo_lists, list);
   pthread_mutex_unlock(&file->lock);
   if (!*handle)
      bo_list_destroy(list);
   return *handle ? 0 : -ENOMEM;
}

int
amdgpu_bo_list_ioctl(struct sim_file *file, void *data)
{
   union drm_amdgpu_bo_list *args = data;
   const struct drm_amdgpu_bo_list_in in = args->in;
   struct bo_list *list = NULL, *old = NULL;
   uint32_t handle = in.list_handle;
   int ret = bo_list_create(file, &in, &list);

   if (ret)
      return ret;
   switch (in.operation) {
   case AMDGPU_BO_LIST_OP_CREATE:
      ret = bo_list_add(file, list, &handle);
      list = NULL;
      break;
   case AMDGPU_BO_LIST_OP_DESTROY:
      old = bo_list_remove(file, handle);
      handle = 0;
      break;
   case AMDGPU_BO_LIST_OP_UPDATE:
      old = bo_list_remove(file, handle);
      ret = old ? bo_list_add(file, list, &handle) : -ENOENT;
      list = old ? NULL : list;
      break;
   default:
      ret = -EINVAL;
      break;
   }
   if (old)
      bo_list_destroy(old);
   if (list)
      bo_list_destroy(list);
   if (!ret) {
      memset(args, 0, sizeof(*args));
      args->out.list_handle = handle;
   }
   return ret;
}

/* Executing */

/* Of an address the GPU takes 48 bits; those above are copies of the last one, if that. */
static uint64_t
address(uint32_t low, uint32_t high)
{
   return (low | (uint64_t)high << 32) & (2 * AMDGPU_VA_HOLE_START - 1);
}

static int run_pm4(struct sim_vm *vm, uint64_t va, uint64_t size_B, unsigned depth);

static int
write_data(struct sim_vm *vm, uint64_t body, uint32_t dwords)
{
   uint32_t head[3], value;
   int ret = dwords < 3 ? -EINVAL : sim_vm_read(vm, body, head, sizeof(head));

   if (ret || WRITE_DATA_DST(head[0]) != WRITE_DATA_MEMORY)
      return ret;
   uint64_t to = address(head[1], head[2]);
   for (uint32_t i = 3; i < dwords && !ret; i++) {
      ret = sim_vm_read(vm, body + i * 4, &value, sizeof(value));
      if (!ret)
         ret = sim_vm_write(vm, to, &value, sizeof(value));
      if (!(head[0] & WRITE_DATA_ONE_ADDRESS))
         to += 4;
   }
   return ret;
}

static int
run_packet(struct sim_vm *vm, uint32_t header, uint64_t body, uint32_t dwords, unsigned depth)
{
   uint32_t indirect[3];
   int ret;

   switch (PM4_OPCODE(header)) {
   case PM4_WRITE_DATA:
      return write_data(vm, body, dwords);
   case PM4_INDIRECT_BUFFER:
      ret = dwords < 3 || depth == MAX_DEPTH ? -EINVAL : sim_vm_read(vm, body, indirect, 12);
      return ret ? ret
                 : run_pm4(vm, address(indirect[0] & ~3u, indirect[1]),
                           (indirect[2] & INDIRECT_SIZE_MASK) * 4, depth + 1);
   default:
      return 0;
   }
}

static int
run_pm4(struct sim_vm *vm, uint64_t va, uint64_t size_B, unsigned depth)
{
   const uint64_t end = va + size_B;

   while (va < end) {
      uint32_t header;
      int ret = sim_vm_read(vm, va, &header, sizeof(header));

      if (ret)
         return ret;
      va += 4;
      /* A filler of one word; a NOP with the largest count is one, too. */
      if (PM4_TYPE(header) == 2 || header == 0xffff1000)
         continue;
      if (PM4_TYPE(header) != 3)
         return -EINVAL;
      const uint32_t dwords = PM4_COUNT(header) + 1;
      ret = run_packet(vm, header, va, dwords, depth);
      if (ret)
         return ret;
      va += dwords * 4ull;
   }
   return 0;
}

static int
run_dma(struct sim_vm *vm, uint64_t va, uint64_t size_B)
{
   const uint64_t end = va + size_B;

   while (va < end) {
      uint32_t head[4] = {0}, value;
      int ret = sim_vm_read(vm, va, head, 4);

      if (ret)
         return ret;
      if (DMA_OPCODE(head[0]) == DMA_NOP) {
         va += 4 + (head[0] >> 16 & 0x3fff) * 4;
         continue;
      }
      if (DMA_OPCODE(head[0]) != DMA_WRITE)
         return -EINVAL;
      ret = sim_vm_read(vm, va, head, sizeof(head));
      const uint64_t to = address(head[1], head[2]);
      for (uint32_t i = 0; i <= (head[3] & 0xfffff) && !ret; i++) {
         ret = sim_vm_read(vm, va + 16 + i * 4, &value, sizeof(value));
         if (!ret)
            ret = sim_vm_write(vm, to + i * 4, &value, sizeof(value));
      }
      if (ret)
         return ret;
      va += 16 + ((head[3] & 0xfffff) + 1) * 4ull;
   }
   return 0;
}

static int
cs_job_run(struct sim_job *base)
{
   struct cs_job *job = container_of(base, struct cs_job, base);
   struct context *context = job->context;
   int ret = p_atomic_read(&context->guilty) ? -ECANCELED : 0;

   for (uint32_t i = 0; i < job->ib_count && !ret; i++) {
      const struct drm_amdgpu_cs_chunk_ib *ib = &job->ibs[i];
      const uint64_t va = address(ib->va_start, ib->va_start >> 32);

      ret = ib->ip_type == AMDGPU_HW_IP_DMA ? run_dma(context->vm, va, ib->ib_bytes)
                                            : run_pm4(context->vm, va, ib->ib_bytes, 0);
   }
   if (ret) {
      p_atomic_set(&context->guilty, true);
      return -ECANCELED;
   }
   if (job->fence_bo)
      sim_bo_write(job->fence_bo, job->fence_offset, &job->seqno, sizeof(job->seqno));
   return 0;
}

static void
cs_job_free(struct sim_job *base)
{
   struct cs_job *job = container_of(base, struct cs_job, base);

   context_put(job->context);
   sim_bo_put(job->fence_bo);
   free(job->ibs);
   free(job);
}

/* CS */

struct signal {
   struct sim_syncobj *syncobj;
   uint64_t point;
};

/* An ioctl's chunks, put together */
struct parser {
   struct sim_file *file;
   struct context *context;
   struct cs_job *job;
   /* Fences to wait for, before there is a job to wait */
   struct sim_fence **waits;
   uint32_t wait_count;
   struct signal *signals;
   uint32_t signal_count;
};

static void *
grow(void *array, uint32_t count, size_t size)
{
   /* Doubled whenever it is full */
   return count & (count - 1) ? array : realloc(array, MAX2(count * 2, 1) * size);
}

static int
parse_ib(struct parser *parser, const struct drm_amdgpu_cs_chunk_ib *ib)
{
   struct cs_job *job = parser->job;

   if (ib->ip_type >= AMDGPU_HW_IP_NUM || ib->ip_instance || ib->ring >= MAX_RINGS)
      return -EINVAL;
   /* All of one ring: no gang */
   if (job->ib_count && (job->ibs[0].ip_type != ib->ip_type || job->ibs[0].ring != ib->ring))
      return -EINVAL;
   if (ib->ip_type > AMDGPU_HW_IP_DMA)
      return -EINVAL;

   struct drm_amdgpu_cs_chunk_ib *ibs = grow(job->ibs, job->ib_count, sizeof(*ibs));
   if (!ibs)
      return -ENOMEM;
   job->ibs = ibs;
   ibs[job->ib_count++] = *ib;
   return 0;
}

static int
parse_user_fence(struct parser *parser, const struct drm_amdgpu_cs_chunk_fence *chunk)
{
   if (parser->job->fence_bo)
      return -EINVAL;
   struct sim_bo *bo = sim_bo_lookup(parser->file, chunk->handle);
   if (!bo)
      return -EINVAL;
   parser->job->fence_bo = bo;
   parser->job->fence_offset = chunk->offset;
   return bo->size_B != 4096 || chunk->offset + 8ull > bo->size_B ? -EINVAL : 0;
}

static int
parse_bo_handles(struct parser *parser, const struct drm_amdgpu_bo_list_in *in)
{
   struct bo_list *list;
   int ret = bo_list_create(parser->file, in, &list);

   if (!ret)
      bo_list_destroy(list);
   return ret;
}

/* Takes the reference, also when it fails. */
static int
add_wait(struct parser *parser, struct sim_fence *fence)
{
   struct sim_fence **waits = grow(parser->waits, parser->wait_count, sizeof(*waits));
   if (!waits) {
      sim_fence_put(fence);
      return -ENOMEM;
   }
   parser->waits = waits;
   waits[parser->wait_count++] = fence;
   return 0;
}

static int
add_syncobj_wait(struct parser *parser, uint32_t handle, uint64_t point)
{
   struct sim_fence *fence;
   int ret = sim_syncobj_find_fence(parser->file, handle, point, &fence);

   return ret ? ret : add_wait(parser, fence);
}

static int
add_signal(struct parser *parser, uint32_t handle, uint64_t point)
{
   struct signal *signals = grow(parser->signals, parser->signal_count, sizeof(*signals));

   if (!signals)
      return -ENOMEM;
   parser->signals = signals;
   struct sim_syncobj *syncobj = sim_syncobj_find(parser->file, handle);
   if (!syncobj)
      return -EINVAL;
   signals[parser->signal_count++] = (struct signal){syncobj, point};
   return 0;
}

static int
parse_dependency(struct parser *parser, const struct drm_amdgpu_cs_chunk_dep *dep)
{
   struct context *context = context_find(parser->file, dep->ctx_id);
   struct sim_fence *fence = NULL;
   int ret = 0;

   if (!context)
      return -EINVAL;
   if (dep->ip_type >= AMDGPU_HW_IP_NUM || dep->ip_instance || dep->ring >= MAX_RINGS) {
      ret = -EINVAL;
   } else {
      pthread_mutex_lock(&context->lock);
      fence = sim_fence_get(
         sim_handles_get(&context->rings[dep->ip_type][dep->ring].fences, dep->handle));
      pthread_mutex_unlock(&context->lock);
   }
   context_put(context);
   return fence ? add_wait(parser, fence) : ret;
}

/* Chunks that are arrays */
static int
parse_array(struct parser *parser, uint32_t id, const uint32_t *data, uint32_t dwords)
{
   const struct drm_amdgpu_cs_chunk_syncobj *timelines = (const void *)data;
   const struct drm_amdgpu_cs_chunk_dep *deps = (const void *)data;
   int ret = 0;

   switch (id) {
   case AMDGPU_CHUNK_ID_SYNCOBJ_IN:
      for (uint32_t i = 0; i < dwords && !ret; i++)
         ret = add_syncobj_wait(parser, data[i], 0);
      return ret;
   case AMDGPU_CHUNK_ID_SYNCOBJ_OUT:
      for (uint32_t i = 0; i < dwords && !ret; i++)
         ret = add_signal(parser, data[i], 0);
      return ret;
   case AMDGPU_CHUNK_ID_SYNCOBJ_TIMELINE_WAIT:
      for (uint32_t i = 0; i < dwords * 4 / sizeof(*timelines) && !ret; i++)
         ret = add_syncobj_wait(parser, timelines[i].handle, timelines[i].point);
      return ret;
   case AMDGPU_CHUNK_ID_SYNCOBJ_TIMELINE_SIGNAL:
      for (uint32_t i = 0; i < dwords * 4 / sizeof(*timelines) && !ret; i++)
         ret = add_signal(parser, timelines[i].handle, timelines[i].point);
      return ret;
   case AMDGPU_CHUNK_ID_DEPENDENCIES:
   case AMDGPU_CHUNK_ID_SCHEDULED_DEPENDENCIES:
      for (uint32_t i = 0; i < dwords * 4 / sizeof(*deps) && !ret; i++)
         ret = parse_dependency(parser, &deps[i]);
      return ret;
   default:
      return -EINVAL;
   }
}

static int
parse_chunk(struct parser *parser, const struct drm_amdgpu_cs_chunk *chunk, const uint32_t *data)
{
   const size_t size = chunk->length_dw * 4ull;

   switch (chunk->chunk_id) {
   case AMDGPU_CHUNK_ID_IB:
      return size < sizeof(struct drm_amdgpu_cs_chunk_ib) ? -EINVAL
                                                          : parse_ib(parser, (const void *)data);
   case AMDGPU_CHUNK_ID_FENCE:
      return size < sizeof(struct drm_amdgpu_cs_chunk_fence)
                ? -EINVAL
                : parse_user_fence(parser, (const void *)data);
   case AMDGPU_CHUNK_ID_BO_HANDLES:
      return size < sizeof(struct drm_amdgpu_bo_list_in)
                ? -EINVAL
                : parse_bo_handles(parser, (const void *)data);
   case AMDGPU_CHUNK_ID_CP_GFX_SHADOW:
      return 0;
   default:
      return parse_array(parser, chunk->chunk_id, data, chunk->length_dw);
   }
}

static int
parse_chunks(struct parser *parser, uint64_t user, uint32_t count)
{
   int ret;
   uint64_t *addresses = sim_copy_in_array(user, count, 8, 8, &ret);

   for (uint32_t i = 0; i < count && !ret; i++) {
      struct drm_amdgpu_cs_chunk chunk;
      uint32_t *data = NULL;

      ret = sim_copy_in(&chunk, addresses[i], sizeof(chunk));
      if (!ret)
         data = sim_copy_in_array(chunk.chunk_data, chunk.length_dw, 4, 4, &ret);
      if (!ret)
         ret = parse_chunk(parser, &chunk, data);
      free(data);
   }
   free(addresses);
   return ret ? ret : parser->job->ib_count ? 0 : -EINVAL;
}

static int
submit_locked(struct parser *parser, uint64_t *handle)
{
   struct cs_job *job = parser->job;
   struct ring *ring = &parser->context->rings[job->ibs[0].ip_type][job->ibs[0].ring];

   if (!ring->has_entity) {
      sim_entity_init(&ring->entity, parser->context->vm->engine);
      ring->has_entity = true;
   }
   sim_job_init(&job->base, &ring->entity);

   int ret = 0;
   for (uint32_t i = 0; i < parser->wait_count && !ret; i++)
      ret = sim_job_add_dependency(&job->base, sim_fence_get(parser->waits[i]));
   /* Behind the page tables' last change */
   struct sim_fence *last = amdgpu_flush_va(parser->file);
   if (!ret && last)
      ret = sim_job_add_dependency(&job->base, sim_fence_get(last));
   sim_fence_put(last);
   if (!ret)
      ret = sim_evict_validate(parser->context->vm, job->base.finished);
   if (!ret) {
      *handle = job->seqno = sim_handles_add(&ring->fences, job->base.finished);
      ret = job->seqno ? 0 : -ENOMEM;
   }
   if (ret) {
      sim_job_finish(&job->base);
      return ret;
   }

   struct sim_fence *fence = sim_fence_get(job->base.finished);
   sim_entity_push_job(&ring->entity, &job->base);
   parser->job = NULL;
   for (uint32_t i = 0; i < parser->signal_count; i++) {
      if (parser->signals[i].point)
         sim_syncobj_add_point(parser->signals[i].syncobj, fence, parser->signals[i].point);
      else
         sim_syncobj_replace_fence(parser->signals[i].syncobj, fence);
   }
   /* The reference is the table's. */
   return 0;
}

static void
parser_finish(struct parser *parser)
{
   for (uint32_t i = 0; i < parser->wait_count; i++)
      sim_fence_put(parser->waits[i]);
   for (uint32_t i = 0; i < parser->signal_count; i++)
      sim_syncobj_put(parser->signals[i].syncobj);
   free(parser->waits);
   free(parser->signals);
   if (parser->job)
      cs_job_free(&parser->job->base);
   context_put(parser->context);
}

int
amdgpu_cs_ioctl(struct sim_file *file, void *data)
{
   union drm_amdgpu_cs *args = data;
   struct parser parser = {.file = file};
   uint64_t handle = 0;
   int ret = 0;

   if (!args->in.num_chunks)
      return -EINVAL;
   parser.context = context_find(file, args->in.ctx_id);
   if (!parser.context)
      return -EINVAL;
   parser.job = calloc(1, sizeof(*parser.job));
   if (!parser.job) {
      ret = -ENOMEM;
   } else {
      parser.job->base.run = cs_job_run;
      parser.job->base.free = cs_job_free;
      parser.job->context = parser.context;
      p_atomic_inc(&parser.context->refcount);
      ret = parse_chunks(&parser, args->in.chunks, args->in.num_chunks);
   }
   if (!ret && p_atomic_read(&parser.context->guilty))
      ret = -ECANCELED;
   if (!ret) {
      pthread_mutex_lock(&parser.context->lock);
      ret = submit_locked(&parser, &handle);
      pthread_mutex_unlock(&parser.context->lock);
   }
   parser_finish(&parser);
   if (!ret)
      args->out.handle = handle;
   return ret;
}

/* Waiting */

static int
find_cs_fence(struct sim_file *file, uint32_t ctx_id, uint32_t ip, uint32_t ring, uint64_t handle,
              struct sim_fence **fence)
{
   struct context *context = context_find(file, ctx_id);

   *fence = NULL;
   if (!context)
      return -EINVAL;
   int ret = ip >= AMDGPU_HW_IP_NUM || ring >= MAX_RINGS ? -EINVAL : 0;
   if (!ret) {
      pthread_mutex_lock(&context->lock);
      *fence = sim_fence_get(sim_handles_get(&context->rings[ip][ring].fences, handle));
      pthread_mutex_unlock(&context->lock);
      /* One that was never given out; zero is always past. */
      if (!*fence && handle)
         ret = -EINVAL;
   }
   context_put(context);
   return ret;
}

int
amdgpu_wait_cs_ioctl(struct sim_file *file, void *data)
{
   union drm_amdgpu_wait_cs *args = data;
   const uint64_t deadline_ns = amdgpu_deadline(args->in.timeout);
   struct sim_fence *fence;
   int ret = find_cs_fence(file, args->in.ctx_id, args->in.ip_type, args->in.ring, args->in.handle,
                           &fence);

   if (ret)
      return ret;
   sim_sync_lock();
   while (!ret && fence && !sim_fence_is_signaled_locked(fence))
      ret = sim_sync_wait_locked(deadline_ns);
   bool is_busy = ret == -ETIME;
   if (!ret && fence && fence->error)
      ret = fence->error;
   sim_sync_unlock();
   sim_fence_put(fence);
   if (ret && !is_busy)
      return ret;
   memset(args, 0, sizeof(*args));
   args->out.status = is_busy;
   return 0;
}

static uint32_t
count_signaled_locked(struct sim_fence **fences, uint32_t count, uint32_t *first)
{
   uint32_t signaled = 0;

   for (uint32_t i = count; i > 0; i--) {
      if (fences[i - 1] && !sim_fence_is_signaled_locked(fences[i - 1]))
         continue;
      signaled++;
      *first = i - 1;
   }
   return signaled;
}

int
amdgpu_wait_fences_ioctl(struct sim_file *file, void *data)
{
   union drm_amdgpu_wait_fences *args = data;
   const struct drm_amdgpu_wait_fences_in in = args->in;
   uint32_t first = 0;
   int ret;
   struct drm_amdgpu_fence *asked =
      sim_copy_in_array(in.fences, in.fence_count, sizeof(*asked), sizeof(*asked), &ret);
   struct sim_fence **fences = ret ? NULL : calloc(MAX2(in.fence_count, 1), sizeof(*fences));

   if (!ret && !fences)
      ret = -ENOMEM;
   for (uint32_t i = 0; i < in.fence_count && !ret; i++)
      ret = find_cs_fence(file, asked[i].ctx_id, asked[i].ip_type, asked[i].ring, asked[i].seq_no,
                          &fences[i]);
   if (!ret) {
      const uint32_t wanted = in.wait_all ? in.fence_count : MIN2(in.fence_count, 1);

      sim_sync_lock();
      while (!ret && count_signaled_locked(fences, in.fence_count, &first) < wanted)
         ret = sim_sync_wait_locked(amdgpu_deadline(in.timeout_ns));
      sim_sync_unlock();
   }
   for (uint32_t i = 0; fences && i < in.fence_count; i++)
      sim_fence_put(fences[i]);
   free(fences);
   free(asked);
   if (ret && ret != -ETIME)
      return ret;
   memset(args, 0, sizeof(*args));
   args->out.status = !ret;
   args->out.first_signaled = first;
   return 0;
}

void
amdgpu_release_contexts(struct sim_file *file)
{
   struct amdgpu_file *afile = to_amdgpu(file);

   for (uint32_t i = 0; i < afile->contexts.capacity; i++)
      context_put(afile->contexts.objects[i]);
   for (uint32_t i = 0; i < afile->bo_lists.capacity; i++) {
      if (afile->bo_lists.objects[i])
         bo_list_destroy(afile->bo_lists.objects[i]);
   }
   sim_handles_finish(&afile->contexts);
   sim_handles_finish(&afile->bo_lists);
}

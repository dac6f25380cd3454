/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The nouveau personality's channels and EXEC. Follows nouveau_exec.c and nouveau_abi16.c; the
 * encoding of pushes is the hardware's. Must know nothing of binds.
 *
 * Of what a push says, the host class's semaphore release is executed (SEM_ADDR, SEM_PAYLOAD,
 * SEM_EXECUTE of Volta and later); other methods are taken and do nothing. A push that cannot be
 * read, or a release to where nothing is mapped, kills the channel.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drm-uapi/nouveau_nvif.h"
#include "util/macros.h"
#include "util/u_atomic.h"

#include "sim_evict.h"
#include "sim_gem.h"
#include "sim_libc.h"
#include "sim_nouveau.h"
#include "sim_vm.h"

/* The longest push that an entry of the ring can name */
#define PUSH_MAX_B 0x7fffff

/* What a method header says */
#define HEADER_TYPE(header)  ((header) >> 29)
#define HEADER_COUNT(header) ((header) >> 16 & 0x1fff)
#define HEADER_METHOD(header) (((header)&0xfff) << 2)

enum {
   TYPE_INCREASING = 1,
   TYPE_CONSTANT = 3,
   TYPE_IMMEDIATE = 4,
   TYPE_INCREASING_ONCE = 5,
};

/* Below this, methods are the host's own, whatever the subchannel. */
#define HOST_METHODS_END   0x100
#define SEM_ADDR_LO        0x5c
#define SEM_ADDR_HI        0x60
#define SEM_PAYLOAD_LO     0x64
#define SEM_PAYLOAD_HI     0x68
#define SEM_EXECUTE        0x6c
#define SEM_OPERATION_MASK 0x7
#define SEM_RELEASE        0x1
#define SEM_PAYLOAD_64     (1u << 24)

struct channel {
   int32_t refcount;
   bool killed;
   const struct engine *engine;
   /* NULL, and no entity, without VM_INIT */
   struct sim_vm *vm;
   struct sim_entity entity;
   /* The host's registers */
   uint32_t host[HOST_METHODS_END / 4];
};

struct exec_job {
   struct sim_job base;
   struct channel *channel;
   struct drm_nouveau_exec_push *pushes;
   uint32_t push_count;
};

static void
channel_put(struct channel *channel)
{
   if (!channel || !p_atomic_dec_zero(&channel->refcount))
      return;
   if (channel->vm)
      sim_entity_finish(&channel->entity);
   sim_vm_put(channel->vm);
   free(channel);
}

static struct channel *
channel_find(struct sim_file *file, uint32_t id)
{
   pthread_mutex_lock(&file->lock);
   struct channel *channel = sim_handles_get(&to_nouveau(file)->channels, id);
   if (channel)
      p_atomic_inc(&channel->refcount);
   pthread_mutex_unlock(&file->lock);
   return channel;
}

/* What a Turing GPU has by its system processor; classes in the kernel's order, zero behind the last */
static const struct engine {
   uint32_t name;
   int32_t classes[6];
} engines[] = {
   {
      NOUVEAU_FIFO_ENGINE_GR,
      {KEPLER_INLINE_TO_MEMORY_B, FERMI_TWOD_A, TURING_A, TURING_COMPUTE_A, TURING_DMA_COPY_A},
   },
   {NOUVEAU_FIFO_ENGINE_CE, {TURING_DMA_COPY_A}},
   {NOUVEAU_FIFO_ENGINE_NVDEC, {NVC4B0_VIDEO_DECODER}},
};

/* -ENOSYS for what names no engine at all, -EINVAL for one of older GPUs */
static int
find_engine(uint32_t name, const struct engine **engine)
{
   for (unsigned i = 0; i < ARRAY_SIZE(engines); i++) {
      if (engines[i].name == name) {
         *engine = &engines[i];
         return 0;
      }
   }
   switch (name) {
   case NOUVEAU_FIFO_ENGINE_VP:
   case NOUVEAU_FIFO_ENGINE_PPP:
   case NOUVEAU_FIFO_ENGINE_BSP:
      return -EINVAL;
   default:
      return -ENOSYS;
   }
}

int
nouveau_channel_classes(struct sim_file *file, uint64_t id, const int32_t **classes)
{
   struct channel *channel = id <= INT32_MAX ? channel_find(file, id) : NULL;
   int count = 0;

   if (!channel)
      return -EINVAL;
   *classes = channel->engine->classes;
   while ((*classes)[count])
      count++;
   channel_put(channel);
   return count;
}

static int
notifier_create(struct sim_file *file, uint32_t *handle)
{
   return sim_bo_create_handle(file, 4096, NOUVEAU_GEM_DOMAIN_GART << 24, 0, handle);
}

int
nouveau_channel_alloc_ioctl(struct sim_file *file, void *data)
{
   struct drm_nouveau_channel_alloc *args = data;
   const struct engine *engine = &engines[0];
   int ret = 0;

   nouveau_disable_vm_init(file);
   /* Since Kepler, the handles of old may name an engine instead. */
   if (args->fb_ctxdma_handle == UINT32_MAX) {
      ret = find_engine(args->tt_ctxdma_handle, &engine);
      if (ret)
         return ret;
      args->fb_ctxdma_handle = args->tt_ctxdma_handle = 0;
   }
   if (args->tt_ctxdma_handle == UINT32_MAX)
      return -EINVAL;

   struct channel *channel = calloc(1, sizeof(*channel));
   if (!channel)
      return -ENOMEM;
   channel->refcount = 1;
   channel->engine = engine;
   channel->vm = nouveau_vm(file);
   if (channel->vm)
      sim_entity_init(&channel->entity, channel->vm->engine);

   ret = notifier_create(file, &args->notifier_handle);
   if (!ret) {
      pthread_mutex_lock(&file->lock);
      args->channel = sim_handles_add(&to_nouveau(file)->channels, channel);
      pthread_mutex_unlock(&file->lock);
      ret = args->channel ? 0 : -ENOMEM;
   }
   if (ret) {
      channel_put(channel);
      return ret;
   }
   args->pushbuf_domains = NOUVEAU_GEM_DOMAIN_VRAM | NOUVEAU_GEM_DOMAIN_GART;
   args->nr_subchan = 0;
   return 0;
}

int
nouveau_channel_free_ioctl(struct sim_file *file, void *data)
{
   struct drm_nouveau_channel_free *args = data;

   pthread_mutex_lock(&file->lock);
   struct channel *channel = sim_handles_remove(&to_nouveau(file)->channels, args->channel);
   pthread_mutex_unlock(&file->lock);
   if (!channel)
      return -ENOENT;
   channel_put(channel);
   return 0;
}

void
nouveau_release_channels(struct sim_file *file)
{
   struct sim_handles *channels = &to_nouveau(file)->channels;

   for (uint32_t i = 0; i < channels->capacity; i++)
      channel_put(channels->objects[i]);
   sim_handles_finish(channels);
}

/* Executing a push */

static int
release_semaphore(struct channel *channel, uint32_t execute)
{
   const uint32_t *host = channel->host;
   const uint64_t addr =
      (uint64_t)(host[SEM_ADDR_HI / 4] & 0xff) << 32 | (host[SEM_ADDR_LO / 4] & ~3u);
   const uint64_t payload = (uint64_t)host[SEM_PAYLOAD_HI / 4] << 32 | host[SEM_PAYLOAD_LO / 4];

   if ((execute & SEM_OPERATION_MASK) != SEM_RELEASE)
      return 0;
   return sim_vm_write(channel->vm, addr, &payload, execute & SEM_PAYLOAD_64 ? 8 : 4);
}

static int
run_method(struct channel *channel, uint32_t method, uint32_t value)
{
   if (method >= HOST_METHODS_END)
      return 0;
   channel->host[method / 4] = value;
   return method == SEM_EXECUTE ? release_semaphore(channel, value) : 0;
}

static uint32_t
method_of_data(uint32_t header, uint32_t i)
{
   switch (HEADER_TYPE(header)) {
   case TYPE_INCREASING:
      return HEADER_METHOD(header) + i * 4;
   case TYPE_INCREASING_ONCE:
      return HEADER_METHOD(header) + MIN2(i, 1) * 4;
   default:
      return HEADER_METHOD(header);
   }
}

static int
run_push(struct channel *channel, const struct drm_nouveau_exec_push *push)
{
   uint64_t va = push->va;
   const uint64_t end = va + (push->va_len & ~3u);
   uint32_t header, value;

   while (va < end) {
      int ret = sim_vm_read(channel->vm, va, &header, sizeof(header));

      va += 4;
      if (ret)
         return ret;
      if (HEADER_TYPE(header) == TYPE_IMMEDIATE) {
         ret = run_method(channel, HEADER_METHOD(header), HEADER_COUNT(header));
         if (ret)
            return ret;
         continue;
      }
      for (uint32_t i = 0; i < HEADER_COUNT(header) && va < end; i++, va += 4) {
         ret = sim_vm_read(channel->vm, va, &value, sizeof(value));
         if (!ret)
            ret = run_method(channel, method_of_data(header, i), value);
         if (ret)
            return ret;
      }
   }
   return 0;
}

static int
exec_job_run(struct sim_job *base)
{
   struct exec_job *job = container_of(base, struct exec_job, base);
   struct channel *channel = job->channel;
   int ret = p_atomic_read(&channel->killed) ? -ENODEV : 0;

   for (uint32_t i = 0; i < job->push_count && !ret; i++)
      ret = run_push(channel, &job->pushes[i]);
   if (ret)
      p_atomic_set(&channel->killed, true);
   return ret ? -ENODEV : 0;
}

static void
exec_job_free(struct sim_job *base)
{
   struct exec_job *job = container_of(base, struct exec_job, base);

   channel_put(job->channel);
   free(job->pushes);
   free(job);
}

/* EXEC */

static int
check_pushes(const struct exec_job *job)
{
   for (uint32_t i = 0; i < job->push_count; i++) {
      if (job->pushes[i].va_len > PUSH_MAX_B)
         return -EINVAL;
   }
   return 0;
}

static int
exec_submit(struct sim_file *file, struct channel *channel, const struct drm_nouveau_exec *args)
{
   struct nouveau_syncs syncs = {0};
   struct exec_job *job = calloc(1, sizeof(*job));
   int ret;

   if (!job)
      return -ENOMEM;
   job->base.run = exec_job_run;
   job->base.free = exec_job_free;
   job->channel = channel;
   p_atomic_inc(&channel->refcount);
   job->push_count = args->push_count;
   sim_job_init(&job->base, &channel->entity);

   job->pushes = sim_copy_in_array(args->push_ptr, args->push_count, sizeof(*job->pushes),
                                   sizeof(*job->pushes), &ret);
   if (!ret)
      ret = check_pushes(job);
   if (!ret)
      ret = nouveau_syncs_init(&syncs, file, &job->base, args->wait_ptr, args->wait_count,
                               args->sig_ptr, args->sig_count);
   if (!ret)
      ret = sim_evict_validate(channel->vm, job->base.finished);
   if (ret) {
      sim_job_finish(&job->base);
      exec_job_free(&job->base);
   } else {
      struct sim_fence *fence = sim_fence_get(job->base.finished);

      sim_entity_push_job(&channel->entity, &job->base);
      nouveau_syncs_signal(&syncs, fence);
      sim_fence_put(fence);
   }
   nouveau_syncs_finish(&syncs);
   return ret;
}

int
nouveau_exec_ioctl(struct sim_file *file, void *data)
{
   struct drm_nouveau_exec *args = data;
   struct sim_vm *vm = nouveau_vm(file);
   int ret;

   if (!vm)
      return -ENOSYS;
   struct channel *channel = channel_find(file, args->channel);
   if (!channel)
      ret = -ENOENT;
   else if (p_atomic_read(&channel->killed))
      ret = -ENODEV;
   else if (args->push_count > NOUVEAU_EXEC_PUSH_MAX)
      ret = -EINVAL;
   else
      ret = exec_submit(file, channel, args);
   channel_put(channel);
   sim_vm_put(vm);
   return ret;
}

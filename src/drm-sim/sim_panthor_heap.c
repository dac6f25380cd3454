/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Tiler heaps of the panthor personality: BOs of the kernel's own in its half of a VM, chained as
 * the GPU would find them. Follows panthor_heap.c. Nothing here ever grows a heap, as nothing is
 * tiled. Must know nothing of groups.
 */

#include "sim_panthor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/macros.h"
#include "util/u_atomic.h"

#include "sim_device.h"
#include "sim_gem.h"
#include "sim_vm.h"

#define MIN_CHUNK_B (128u << 10)
#define MAX_CHUNK_B (8u << 20)
/* The GPU's lines are of 64 bytes, and a context fills one. */
#define CONTEXT_B 64

struct panthor_heap {
   uint32_t chunk_B;
   uint32_t chunk_count;
   uint64_t chunks[];
};

static int
unmap_locked(struct sim_vm *vm, uint64_t addr, uint64_t size_B)
{
   int ret = sim_vm_pt_unmap_locked(vm, addr, size_B);

   return ret ? ret : sim_gpuvm_sm_unmap(&vm->gpuvm, addr, size_B, NULL, NULL);
}

static int
map_locked(struct sim_vm *vm, struct sim_bo *bo, uint64_t *addr)
{
   const struct panthor_vm *pvm = vm->priv;

   if (p_atomic_read(&vm->destroyed))
      return -EINVAL;

   /* In the kernel's half */
   const struct sim_gpuvm_map req = {
      .addr = sim_gpuvm_find_gap(&vm->gpuvm, pvm->user_va_range, bo->size_B),
      .range = bo->size_B,
      .bo = bo,
      .flags = DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC,
   };
   if (!req.addr)
      return -ENOSPC;
   int ret = sim_gpuvm_sm_map(&vm->gpuvm, &req, NULL, NULL);
   if (ret)
      return ret;
   ret = sim_vm_pt_map_locked(vm, req.addr, req.range, bo, 0, 0);
   if (ret) {
      unmap_locked(vm, req.addr, req.range);
      return ret;
   }
   *addr = req.addr;
   return 0;
}

/* The mapping holds the BO; the caller gets another reference. */
static int
create_mapped(struct sim_vm *vm, uint64_t size_B, uint64_t *addr, struct sim_bo **out)
{
   int ret = sim_bo_create(size_B, DRM_PANTHOR_BO_NO_MMAP, vm->uid, out);

   if (ret)
      return ret;
   pthread_mutex_lock(&vm->lock);
   ret = map_locked(vm, *out, addr);
   pthread_mutex_unlock(&vm->lock);
   if (ret)
      sim_bo_put(*out);
   return ret;
}

static void
heap_destroy(struct sim_vm *vm, struct panthor_heap *heap)
{
   pthread_mutex_lock(&vm->lock);
   for (uint32_t i = 0; i < heap->chunk_count && !vm->destroyed; i++)
      unmap_locked(vm, heap->chunks[i], heap->chunk_B);
   pthread_mutex_unlock(&vm->lock);
   free(heap);
}

/* Each chunk begins with the address of the one before it, and its size in pages. */
static int
add_chunk(struct sim_vm *vm, struct panthor_heap *heap)
{
   uint64_t next = 0;
   struct sim_bo *bo;
   int ret = create_mapped(vm, heap->chunk_B, &heap->chunks[heap->chunk_count], &bo);

   if (ret)
      return ret;
   if (heap->chunk_count)
      next = heap->chunks[heap->chunk_count - 1] | heap->chunk_B >> 12;
   heap->chunk_count++;
   ret = sim_bo_write(bo, 0, &next, sizeof(next));
   sim_bo_put(bo);
   return ret;
}

static int
heap_create(struct sim_vm *vm, const struct drm_panthor_tiler_heap_create *args,
            struct panthor_heap **out)
{
   struct panthor_heap *heap =
      calloc(1, sizeof(*heap) + args->initial_chunk_count * sizeof(heap->chunks[0]));
   int ret = 0;

   if (!heap)
      return -ENOMEM;
   heap->chunk_B = args->chunk_size;
   for (uint32_t i = 0; i < args->initial_chunk_count && !ret; i++)
      ret = add_chunk(vm, heap);
   if (ret) {
      heap_destroy(vm, heap);
      return ret;
   }
   *out = heap;
   return 0;
}

static int
add_heap(struct panthor_heap_pool *pool, struct panthor_heap *heap)
{
   for (int id = 0; id < PANTHOR_MAX_HEAPS; id++) {
      if (!pool->heaps[id]) {
         pool->heaps[id] = heap;
         return id;
      }
   }
   return -EBUSY;
}

static int
create_in_pool(struct sim_vm *vm, struct panthor_heap_pool *pool,
               struct drm_panthor_tiler_heap_create *args)
{
   const char zeros[CONTEXT_B] = {0};
   struct panthor_heap *heap;
   int ret = 0;

   /* Contexts come with the first heap, be it a good one or not, and stay with the VM. */
   if (!pool->contexts) {
      ret = create_mapped(vm, PANTHOR_MAX_HEAPS * CONTEXT_B, &pool->contexts_addr, &pool->contexts);
      if (ret) {
         pool->contexts = NULL;
         return ret;
      }
   }
   if (!args->initial_chunk_count || args->initial_chunk_count > args->max_chunks ||
       args->chunk_size % 4096 || args->chunk_size < MIN_CHUNK_B || args->chunk_size > MAX_CHUNK_B)
      return -EINVAL;

   ret = heap_create(vm, args, &heap);
   if (ret)
      return ret;
   int id = add_heap(pool, heap);
   if (id < 0) {
      heap_destroy(vm, heap);
      return id;
   }
   ret = sim_bo_write(pool->contexts, id * CONTEXT_B, zeros, sizeof(zeros));
   args->first_heap_chunk_gpu_va = heap->chunks[heap->chunk_count - 1];
   args->tiler_heap_ctx_gpu_va = pool->contexts_addr + id * CONTEXT_B;
   args->handle = args->vm_id << 16 | id;
   return ret;
}

int
panthor_tiler_heap_create_ioctl(struct sim_file *file, void *data)
{
   struct drm_panthor_tiler_heap_create *args = data;
   struct sim_vm *vm = sim_vm_lookup(file, args->vm_id);

   if (!vm)
      return -EINVAL;
   struct panthor_vm *pvm = vm->priv;
   pthread_mutex_lock(&pvm->pool.lock);
   int ret = create_in_pool(vm, &pvm->pool, args);
   pthread_mutex_unlock(&pvm->pool.lock);
   sim_vm_put(vm);
   return ret;
}

int
panthor_tiler_heap_destroy_ioctl(struct sim_file *file, void *data)
{
   struct drm_panthor_tiler_heap_destroy *args = data;
   uint32_t id = args->handle & 0xffff;
   int ret = 0;

   if (args->pad)
      return -EINVAL;
   struct sim_vm *vm = sim_vm_lookup(file, args->handle >> 16);
   if (!vm)
      return -EINVAL;
   struct panthor_heap_pool *pool = &((struct panthor_vm *)vm->priv)->pool;

   pthread_mutex_lock(&pool->lock);
   if (!pool->contexts) {
      ret = -ENOENT;
   } else if (id >= PANTHOR_MAX_HEAPS || !pool->heaps[id]) {
      ret = -EINVAL;
   } else {
      heap_destroy(vm, pool->heaps[id]);
      pool->heaps[id] = NULL;
   }
   pthread_mutex_unlock(&pool->lock);
   sim_vm_put(vm);
   return ret;
}

void
panthor_heap_pool_init(struct panthor_heap_pool *pool)
{
   pthread_mutex_init(&pool->lock, NULL);
}

void
panthor_heap_pool_finish(struct sim_vm *vm)
{
   struct panthor_heap_pool *pool = &((struct panthor_vm *)vm->priv)->pool;

   pthread_mutex_lock(&pool->lock);
   for (unsigned id = 0; id < PANTHOR_MAX_HEAPS; id++) {
      if (pool->heaps[id])
         heap_destroy(vm, pool->heaps[id]);
      pool->heaps[id] = NULL;
   }
   sim_bo_put(pool->contexts);
   pool->contexts = NULL;
   pthread_mutex_unlock(&pool->lock);
}

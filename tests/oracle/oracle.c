/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * A driver on top of drm_gpuvm, as small as one can be: memory in the callbacks,
 * mappings inserted and linked, the old ones unlinked and freed.  Compiled once
 * for each kernel version; what differs between them is in the first section.
 */

#include "oracle.h"

#include <stdlib.h>

#include <drm/drm_gpuvm.h>

#include "stand_in.h"

static void *
must_alloc(void *ptr)
{
   if (!ptr)
      abort();
   return ptr;
}

/* ---------------------------------------------------------- kernel versions */

#if ORACLE_HAVE_MAP_REQ

static struct drm_gpuvm_map_req
map_req(u64 addr, u64 range, struct drm_gem_object *obj, u64 offset)
{
   return (struct drm_gpuvm_map_req){
      .map.va = { .addr = addr, .range = range },
      .map.gem = { .obj = obj, .offset = offset },
   };
}

static int
gpuvm_sm_map(struct drm_gpuvm *vm, void *priv, u64 addr, u64 range, struct drm_gem_object *obj,
             u64 offset)
{
   const struct drm_gpuvm_map_req req = map_req(addr, range, obj, offset);

   return drm_gpuvm_sm_map(vm, priv, &req);
}

static struct drm_gpuva_ops *
gpuvm_sm_map_ops_create(struct drm_gpuvm *vm, u64 addr, u64 range, struct drm_gem_object *obj,
                        u64 offset)
{
   const struct drm_gpuvm_map_req req = map_req(addr, range, obj, offset);

   return drm_gpuvm_sm_map_ops_create(vm, &req);
}

#else

#define gpuvm_sm_map            drm_gpuvm_sm_map
#define gpuvm_sm_map_ops_create drm_gpuvm_sm_map_ops_create

#endif

#if ORACLE_HAVE_OBTAIN_LOCKED
#define gpuvm_bo_obtain drm_gpuvm_bo_obtain_locked
#else
#define gpuvm_bo_obtain drm_gpuvm_bo_obtain
#endif

#if ORACLE_HAVE_IMMEDIATE_MODE
#define IMMEDIATE_FLAG DRM_GPUVM_IMMEDIATE_MODE
#else
#define IMMEDIATE_FLAG 0
#endif

/* ------------------------------------------------------------------- types */

struct oracle_va {
   struct drm_gpuva va;
   u32 flags;
};

struct oracle_bo {
   struct drm_gem_object gem;
   u32 handle;
   struct drm_gpuvm_bo *pinned;
};

struct oracle {
   struct drm_gpuvm vm;
   struct drm_device dev;
   struct oracle_params params;
   bool vm_freed;

   struct oracle_bo **bos; /* by handle - 1 */
   u32 bo_count;

   size_t mapping_count;

   /* The request that is under way. */
   struct drm_gpuvm_bo *map_vm_bo;
   u32 map_flags;
   bool splitting; /* for madvise: a MAP is a piece of what the REMAP before it cut */

   oracle_step_fn step_fn;
   void *step_data;
};

static struct oracle_va *
to_va(struct drm_gpuva *va)
{
   return container_of(va, struct oracle_va, va);
}

static struct oracle_bo *
to_bo(struct drm_gem_object *gem)
{
   return container_of(gem, struct oracle_bo, gem);
}

static struct oracle *
to_oracle(struct drm_gpuvm *vm)
{
   return container_of(vm, struct oracle, vm);
}

static struct oracle_bo *
find_bo(const struct oracle *oracle, u32 handle)
{
   return handle >= 1 && handle <= oracle->bo_count ? oracle->bos[handle - 1] : NULL;
}

static u32
bo_handle(struct drm_gem_object *gem)
{
   return gem ? to_bo(gem)->handle : ORACLE_NO_BO;
}

/* ------------------------------------------------------------------- trace */

static struct oracle_mapping
mapping_of_va(struct drm_gpuva *va)
{
   return (struct oracle_mapping){
      .addr_B = va->va.addr,
      .range_B = va->va.range,
      .offset_B = va->gem.offset,
      .bo = bo_handle(va->gem.obj),
      .flags = to_va(va)->flags,
   };
}

static struct oracle_mapping
mapping_of_op(const struct drm_gpuva_op_map *op, u32 flags)
{
   if (!op)
      return (struct oracle_mapping){ 0 };

   return (struct oracle_mapping){
      .addr_B = op->va.addr,
      .range_B = op->va.range,
      .offset_B = op->gem.offset,
      .bo = bo_handle(op->gem.obj),
      .flags = flags,
   };
}

static void
trace_map(struct oracle *oracle, const struct drm_gpuva_op_map *op)
{
   const struct oracle_step step = {
      .type = ORACLE_STEP_MAP,
      .map = mapping_of_op(op, oracle->map_flags),
   };

   oracle->step_fn(&step, oracle->step_data);
}

static void
trace_remap(struct oracle *oracle, const struct drm_gpuva_op_remap *op)
{
   const u32 flags = to_va(op->unmap->va)->flags;
   const struct oracle_step step = {
      .type = ORACLE_STEP_REMAP,
      .map = mapping_of_va(op->unmap->va),
      .prev = mapping_of_op(op->prev, flags),
      .next = mapping_of_op(op->next, flags),
      .keep = op->unmap->keep,
   };

   oracle->step_fn(&step, oracle->step_data);
}

static void
trace_unmap(struct oracle *oracle, const struct drm_gpuva_op_unmap *op)
{
   const struct oracle_step step = {
      .type = ORACLE_STEP_UNMAP,
      .map = mapping_of_va(op->va),
      .keep = op->keep,
   };

   oracle->step_fn(&step, oracle->step_data);
}

/* ------------------------------------------------------------------- steps */

static struct oracle_va *
va_alloc(u32 flags)
{
   struct oracle_va *va = must_alloc(kzalloc(sizeof(*va), GFP_KERNEL));

   va->flags = flags;
   return va;
}

static void
va_link(struct oracle *oracle, struct drm_gpuva *va, struct drm_gpuvm_bo *vm_bo)
{
   const bool lock = oracle->params.style == ORACLE_IMMEDIATE;

   if (!vm_bo)
      return;
   if (lock)
      mutex_lock(&vm_bo->obj->gpuva.lock);
   drm_gpuva_link(va, vm_bo);
   if (lock)
      mutex_unlock(&vm_bo->obj->gpuva.lock);
}

static void
va_unlink_and_free(struct oracle *oracle, struct drm_gpuva *va)
{
#if ORACLE_HAVE_IMMEDIATE_MODE
   if (oracle->params.style == ORACLE_IMMEDIATE)
      drm_gpuva_unlink_defer(va);
   else
#endif
      drm_gpuva_unlink(va);
   kfree(to_va(va));
   oracle->mapping_count--;
}

static void
do_map(struct oracle *oracle, struct drm_gpuva_op_map *op)
{
   if (unlikely(oracle->step_fn != NULL))
      trace_map(oracle, op);

   struct oracle_va *va = va_alloc(oracle->map_flags);
   drm_gpuva_map(&oracle->vm, &va->va, op);
   va_link(oracle, &va->va, oracle->map_vm_bo);
   oracle->mapping_count++;
}

static void
do_unmap(struct oracle *oracle, struct drm_gpuva_op_unmap *op)
{
   if (unlikely(oracle->step_fn != NULL))
      trace_unmap(oracle, op);

   drm_gpuva_unmap(op);
   va_unlink_and_free(oracle, op->va);
}

static void
do_remap(struct oracle *oracle, struct drm_gpuva_op_remap *op)
{
   struct drm_gpuva *old = op->unmap->va;
   const u32 flags = to_va(old)->flags;

   if (unlikely(oracle->step_fn != NULL))
      trace_remap(oracle, op);

   if (oracle->splitting)
      oracle->map_flags = flags;

   struct oracle_va *prev = op->prev ? va_alloc(flags) : NULL;
   struct oracle_va *next = op->next ? va_alloc(flags) : NULL;

   drm_gpuva_remap(prev ? &prev->va : NULL, next ? &next->va : NULL, op);
   if (prev)
      va_link(oracle, &prev->va, old->vm_bo);
   if (next)
      va_link(oracle, &next->va, old->vm_bo);
   oracle->mapping_count += (prev != NULL) + (next != NULL);
   va_unlink_and_free(oracle, old);
}

static int
step_map(struct drm_gpuva_op *op, void *priv)
{
   do_map(priv, &op->map);
   return 0;
}

static int
step_unmap(struct drm_gpuva_op *op, void *priv)
{
   do_unmap(priv, &op->unmap);
   return 0;
}

static int
step_remap(struct drm_gpuva_op *op, void *priv)
{
   do_remap(priv, &op->remap);
   return 0;
}

static void
vm_free(struct drm_gpuvm *vm)
{
   to_oracle(vm)->vm_freed = true;
}

static const struct drm_gpuvm_ops gpuvm_ops = {
   .vm_free = vm_free,
   .sm_step_map = step_map,
   .sm_step_remap = step_remap,
   .sm_step_unmap = step_unmap,
};

static int
run_ops(struct oracle *oracle, struct drm_gpuva_ops *ops)
{
   struct drm_gpuva_op *op;

   if (IS_ERR(ops))
      return PTR_ERR(ops);

   drm_gpuva_for_each_op(op, ops) {
      switch (op->op) {
      case DRM_GPUVA_OP_MAP:
         do_map(oracle, &op->map);
         break;
      case DRM_GPUVA_OP_REMAP:
         do_remap(oracle, &op->remap);
         break;
      case DRM_GPUVA_OP_UNMAP:
         do_unmap(oracle, &op->unmap);
         break;
      default:
         abort();
      }
   }
   drm_gpuva_ops_free(&oracle->vm, ops);
   return 0;
}

/* ---------------------------------------------------------------- lifetime */

const char *
oracle_kernel_version(void)
{
   return ORACLE_KERNEL_VERSION;
}

bool
oracle_has_style(enum oracle_style style)
{
   return style != ORACLE_IMMEDIATE || IMMEDIATE_FLAG != 0;
}

struct oracle *
oracle_create(const struct oracle_params *params)
{
   struct oracle *oracle = must_alloc(calloc(1, sizeof(*oracle)));

   oracle->params = *params;
   kref_init(&oracle->dev.ref);

   struct drm_gem_object *resv = must_alloc(drm_gpuvm_resv_object_alloc(&oracle->dev));
   drm_gpuvm_init(&oracle->vm, "oracle",
                  params->style == ORACLE_IMMEDIATE ? IMMEDIATE_FLAG : 0, &oracle->dev, resv,
                  params->va_start_B, params->va_range_B, params->kernel_start_B,
                  params->kernel_range_B, &gpuvm_ops);
   drm_gem_object_put(resv);
   return oracle;
}

/* vm_bos without mappings are kept until a driver finds the time; the oracle has it at once. */
static void
clean_up(struct oracle *oracle)
{
#if ORACLE_HAVE_IMMEDIATE_MODE
   if (oracle->params.style == ORACLE_IMMEDIATE)
      drm_gpuvm_bo_deferred_cleanup(&oracle->vm);
#else
   (void)oracle;
#endif
}

static void
vm_bo_put(struct oracle *oracle, struct drm_gpuvm_bo *vm_bo)
{
#if ORACLE_HAVE_IMMEDIATE_MODE
   if (oracle->params.style == ORACLE_IMMEDIATE) {
      drm_gpuvm_bo_put_deferred(vm_bo);
      return;
   }
#else
   (void)oracle;
#endif
   drm_gpuvm_bo_put(vm_bo);
}

/* A range that contains the kernel's window is not valid. */
static void
unmap_everything(struct oracle *oracle)
{
   const struct oracle_params *p = &oracle->params;
   const uint64_t kernel_end_B = p->kernel_start_B + p->kernel_range_B;
   const uint64_t end_B = p->va_start_B + p->va_range_B;
   int err = 0;

   if (p->kernel_range_B == 0) {
      err = oracle_unmap(oracle, p->va_start_B, p->va_range_B);
   } else {
      if (p->kernel_start_B > p->va_start_B)
         err = oracle_unmap(oracle, p->va_start_B, p->kernel_start_B - p->va_start_B);
      if (!err && end_B > kernel_end_B)
         err = oracle_unmap(oracle, kernel_end_B, end_B - kernel_end_B);
   }
   WARN_ON(err);
}

void
oracle_destroy(struct oracle *oracle)
{
   oracle->step_fn = NULL;
   unmap_everything(oracle);
   for (u32 i = 0; i < oracle->bo_count; i++) {
      if (oracle->bos[i]->pinned)
         vm_bo_put(oracle, oracle->bos[i]->pinned);
   }
   clean_up(oracle);
   for (u32 i = 0; i < oracle->bo_count; i++)
      drm_gem_object_put(&oracle->bos[i]->gem);

   drm_gpuvm_put(&oracle->vm);
   WARN_ON(!oracle->vm_freed);
   WARN_ON(oracle->mapping_count != 0);
   WARN_ON(kref_read(&oracle->dev.ref) != 1);
   free(oracle->bos);
   free(oracle);
}

static void
gem_free(struct drm_gem_object *gem)
{
   drm_gem_object_release(gem);
   free(to_bo(gem));
}

static const struct drm_gem_object_funcs gem_funcs = { .free = gem_free };

uint32_t
oracle_bo_create(struct oracle *oracle, bool external)
{
   struct oracle_bo *bo = must_alloc(calloc(1, sizeof(*bo)));

   bo->gem.funcs = &gem_funcs;
   if (!external)
      bo->gem.resv = drm_gpuvm_resv(&oracle->vm);
   drm_gem_private_object_init(&oracle->dev, &bo->gem, 0);

   bo->handle = ++oracle->bo_count;
   oracle->bos = must_alloc(realloc(oracle->bos, oracle->bo_count * sizeof(*oracle->bos)));
   oracle->bos[bo->handle - 1] = bo;
   return bo->handle;
}

static struct drm_gpuvm_bo *
obtain(struct oracle *oracle, struct oracle_bo *bo)
{
   struct drm_gpuvm_bo *vm_bo;

   /* Where memory is needed there, immediate mode wants it laid aside. */
   if (oracle->params.style == ORACLE_IMMEDIATE)
      vm_bo = drm_gpuvm_bo_obtain_prealloc(drm_gpuvm_bo_create(&oracle->vm, &bo->gem));
   else
      vm_bo = gpuvm_bo_obtain(&oracle->vm, &bo->gem);
   if (!vm_bo || IS_ERR(vm_bo))
      abort();
   drm_gpuvm_bo_extobj_add(vm_bo);
   return vm_bo;
}

void
oracle_bo_pin(struct oracle *oracle, uint32_t handle)
{
   struct oracle_bo *bo = find_bo(oracle, handle);

   bo->pinned = obtain(oracle, bo);
}

/* ------------------------------------------------------------------ change */

int
oracle_map(struct oracle *oracle, const struct oracle_mapping *map)
{
   struct oracle_bo *bo = find_bo(oracle, map->bo);
   struct drm_gem_object *gem = bo ? &bo->gem : NULL;
   const bool obtained = bo && !bo->pinned;
   int err;

   if (map->bo != ORACLE_NO_BO && !bo)
      return -EINVAL;

   oracle->map_flags = map->flags;
   oracle->map_vm_bo = obtained ? obtain(oracle, bo) : bo ? bo->pinned : NULL;

   if (oracle->params.style == ORACLE_OPS_LIST) {
      err = run_ops(oracle, gpuvm_sm_map_ops_create(&oracle->vm, map->addr_B, map->range_B, gem,
                                                    map->offset_B));
   } else {
      err = gpuvm_sm_map(&oracle->vm, oracle, map->addr_B, map->range_B, gem, map->offset_B);
   }

   if (obtained)
      vm_bo_put(oracle, oracle->map_vm_bo);
   clean_up(oracle);
   return err;
}

int
oracle_unmap(struct oracle *oracle, uint64_t addr_B, uint64_t range_B)
{
   int err;

   if (oracle->params.style == ORACLE_OPS_LIST)
      err = run_ops(oracle, drm_gpuvm_sm_unmap_ops_create(&oracle->vm, addr_B, range_B));
   else
      err = drm_gpuvm_sm_unmap(&oracle->vm, oracle, addr_B, range_B);
   clean_up(oracle);
   return err;
}

static struct drm_gpuvm_bo *
find_vm_bo(struct oracle *oracle, u32 handle)
{
   struct oracle_bo *bo = find_bo(oracle, handle);
   struct drm_gpuvm_bo *vm_bo;

   /* drm_gpuvm_bo_find() takes a reference, which this does not. */
   drm_gem_for_each_gpuvm_bo(vm_bo, &bo->gem) {
      if (vm_bo->vm == &oracle->vm)
         return vm_bo;
   }
   return NULL;
}

int
oracle_bo_unmap_all(struct oracle *oracle, uint32_t handle)
{
   struct drm_gpuvm_bo *vm_bo = find_vm_bo(oracle, handle);
   int err = 0;

   if (vm_bo)
      err = run_ops(oracle, drm_gpuvm_bo_unmap_ops_create(vm_bo));
   clean_up(oracle);
   return err;
}

bool
oracle_has_madvise(void)
{
   return ORACLE_HAVE_MADVISE;
}

int
oracle_madvise(struct oracle *oracle, uint64_t addr_B, uint64_t range_B, uint32_t set)
{
#if ORACLE_HAVE_MADVISE
   const struct drm_gpuvm_map_req req = map_req(addr_B, range_B, NULL, 0);
   struct drm_gpuva *va;

   oracle->map_vm_bo = NULL;
   oracle->splitting = true;
   int err = run_ops(oracle, drm_gpuvm_madvise_ops_create(&oracle->vm, &req));
   oracle->splitting = false;
   if (err)
      return err;

   drm_gpuvm_for_each_va_range(va, &oracle->vm, addr_B, addr_B + range_B) {
      if (!va->gem.obj && va != &oracle->vm.kernel_alloc_node)
         to_va(va)->flags |= set;
   }
   return 0;
#else
   (void)oracle, (void)addr_B, (void)range_B, (void)set;
   return -ENOSYS;
#endif
}

void
oracle_bo_evict(struct oracle *oracle, uint32_t handle, bool evict)
{
   struct drm_gpuvm_bo *vm_bo = find_vm_bo(oracle, handle);

   if (vm_bo)
      drm_gpuvm_bo_evict(vm_bo, evict);
}

/* -------------------------------------------------------------------- look */

void
oracle_set_step_fn(struct oracle *oracle, oracle_step_fn fn, void *data)
{
   oracle->step_fn = fn;
   oracle->step_data = data;
}

bool
oracle_range_valid(struct oracle *oracle, uint64_t addr_B, uint64_t range_B)
{
   return drm_gpuvm_range_valid(&oracle->vm, addr_B, range_B);
}

bool
oracle_find(struct oracle *oracle, uint64_t addr_B, struct oracle_mapping *map_out)
{
   struct drm_gpuva *va = drm_gpuva_find_first(&oracle->vm, addr_B, 1);

   if (!va || va == &oracle->vm.kernel_alloc_node)
      return false;
   *map_out = mapping_of_va(va);
   return true;
}

size_t
oracle_dump(struct oracle *oracle, uint64_t addr_B, uint64_t range_B, struct oracle_mapping *maps,
            size_t capacity)
{
   struct drm_gpuva *va;
   size_t count = 0;

   drm_gpuvm_for_each_va_range(va, &oracle->vm, addr_B, addr_B + range_B) {
      if (va == &oracle->vm.kernel_alloc_node)
         continue;
      if (count < capacity)
         maps[count] = mapping_of_va(va);
      count++;
   }
   return count;
}

size_t
oracle_mapping_count(const struct oracle *oracle)
{
   return oracle->mapping_count;
}

bool
oracle_bo_has_vm_bo(struct oracle *oracle, uint32_t handle)
{
   return find_vm_bo(oracle, handle) != NULL;
}

size_t
oracle_bo_mapping_count(struct oracle *oracle, uint32_t handle)
{
   struct drm_gpuvm_bo *vm_bo = find_vm_bo(oracle, handle);
   struct drm_gpuva *va;
   size_t count = 0;

   if (vm_bo) {
      drm_gpuvm_bo_for_each_va(va, vm_bo)
         count++;
   }
   return count;
}

static size_t
list_count(const struct list_head *head)
{
   size_t count = 0;

   for (const struct list_head *entry = head->next; entry != head; entry = entry->next)
      count++;
   return count;
}

size_t
oracle_extobj_count(struct oracle *oracle)
{
   return list_count(&oracle->vm.extobj.list);
}

size_t
oracle_evicted_count(struct oracle *oracle)
{
   return list_count(&oracle->vm.evict.list);
}

size_t
oracle_mapping_size_B(void)
{
   return sizeof(struct oracle_va);
}

unsigned
oracle_warnings(void)
{
   return stand_in_warnings();
}

size_t
oracle_allocations(void)
{
   return stand_in_allocations();
}

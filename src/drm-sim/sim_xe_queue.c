/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Queues of the xe personality: engines' and those for binds. Follows xe_exec_queue.c. Must know nothing
 * of what is run on them.
 */

#include "sim_xe.h"

#include <errno.h>
#include <stdlib.h>

#include "drm-uapi/xe_drm.h"
#include "util/u_atomic.h"

#include "sim_caller.h"
#include "sim_libc.h"

#define MAX_EXTENSIONS   16
#define MAX_INSTANCES    9
#define PRIORITY_HIGH    2
#define MAX_TIMESLICE_US 10000000

void
xe_queue_put(struct xe_queue *queue)
{
   if (!queue || !p_atomic_dec_zero(&queue->refcount))
      return;
   sim_entity_finish(&queue->entity);
   if (queue->engine)
      sim_sched_destroy(queue->engine);
   if (queue->counts_as_long_running)
      p_atomic_dec(&to_xe_vm(queue->vm)->long_running_queues);
   sim_vm_put(queue->vm);
   free(queue);
}

struct xe_queue *
xe_queue_find(struct sim_file *file, uint32_t id)
{
   pthread_mutex_lock(&file->lock);
   struct xe_queue *queue = sim_handles_get(&to_xe(file)->queues, id);
   if (queue)
      p_atomic_inc(&queue->refcount);
   pthread_mutex_unlock(&file->lock);
   return queue;
}

static int
check_instance(const struct drm_xe_exec_queue_create *args,
               const struct drm_xe_engine_class_instance *instance)
{
   if (instance->gt_id || instance->engine_instance)
      return -EINVAL;

   switch (instance->engine_class) {
   case DRM_XE_ENGINE_CLASS_VM_BIND:
      return args->width == 1 && args->num_placements == 1 ? 0 : -EINVAL;
   case DRM_XE_ENGINE_CLASS_RENDER:
   case DRM_XE_ENGINE_CLASS_COPY:
      /* One engine of each: there is no other to place a queue on, nor to run it in parallel. */
      return args->width * args->num_placements == 1 ? 0 : -EINVAL;
   default:
      return -EINVAL;
   }
}

static int
check_property(const struct drm_xe_ext_set_property *property)
{
   if (property->pad)
      return -EINVAL;

   switch (property->property) {
   case DRM_XE_EXEC_QUEUE_SET_PROPERTY_PRIORITY:
      if (property->value > PRIORITY_HIGH)
         return -EINVAL;
      return property->value > XE_MAX_PRIORITY ? -EPERM : 0;
   case DRM_XE_EXEC_QUEUE_SET_PROPERTY_TIMESLICE:
      /* Root may ask for what it likes. */
      return sim_caller_is_admin() || (property->value >= 1 && property->value <= MAX_TIMESLICE_US)
                ? 0
                : -EINVAL;
   case DRM_XE_EXEC_QUEUE_SET_PROPERTY_PXP_TYPE:
      /* No protected content */
      return property->value == 0 ? 0 : property->value == 1 ? -ENODEV : -EINVAL;
   case DRM_XE_EXEC_QUEUE_SET_DISABLE_STATE_CACHE_PERF_FIX:
      return property->value > 1 ? -EINVAL : 0;
   default:
      /* Groups of queues and replayed hangs are not of this GPU. */
      return -EINVAL;
   }
}

static int
check_extensions(uint64_t address)
{
   struct drm_xe_ext_set_property extension;

   for (unsigned i = 0; address; i++, address = extension.base.next_extension) {
      if (i >= MAX_EXTENSIONS)
         return -E2BIG;
      int ret = sim_copy_in(&extension, address, sizeof(extension.base));
      if (ret)
         return ret;
      if (extension.base.pad || extension.base.name != DRM_XE_EXEC_QUEUE_EXTENSION_SET_PROPERTY)
         return -EINVAL;
      ret = sim_copy_in(&extension, address, sizeof(extension));
      if (!ret)
         ret = check_property(&extension);
      if (ret)
         return ret;
   }
   return 0;
}

int
xe_exec_queue_create_ioctl(struct sim_file *file, void *data)
{
   struct drm_xe_exec_queue_create *args = data;
   struct drm_xe_engine_class_instance instances[MAX_INSTANCES];

   if ((args->flags & ~DRM_XE_EXEC_QUEUE_LOW_LATENCY_HINT) || args->reserved[0] ||
       args->reserved[1])
      return -EINVAL;
   const unsigned count = args->width * args->num_placements;
   if (!count || count > MAX_INSTANCES)
      return -EINVAL;
   int ret = sim_copy_in(instances, args->instances, count * sizeof(instances[0]));
   if (!ret)
      ret = check_instance(args, &instances[0]);
   if (ret)
      return ret;

   struct sim_vm *vm = sim_vm_lookup(file, args->vm_id);
   if (!vm)
      return -ENOENT;
   if (p_atomic_read(&vm->unusable))
      ret = -ENOENT;
   if (!ret)
      ret = check_extensions(args->extensions);
   struct xe_queue *queue = ret ? NULL : calloc(1, sizeof(*queue));
   if (!queue) {
      sim_vm_put(vm);
      return ret ? ret : -ENOMEM;
   }
   queue->refcount = 1;
   queue->vm = vm;
   queue->is_bind = instances[0].engine_class == DRM_XE_ENGINE_CLASS_VM_BIND;
   if (!queue->is_bind) {
      queue->engine = sim_sched_create("engine");
      if (!queue->engine) {
         sim_vm_put(vm);
         free(queue);
         return -ENOMEM;
      }
   }
   sim_entity_init(&queue->entity, queue->is_bind ? vm->sched : queue->engine);
   queue->counts_as_long_running =
      !queue->is_bind && (to_xe_vm(vm)->flags & DRM_XE_VM_CREATE_FLAG_LR_MODE);
   if (queue->counts_as_long_running)
      p_atomic_inc(&to_xe_vm(vm)->long_running_queues);

   pthread_mutex_lock(&file->lock);
   args->exec_queue_id = sim_handles_add(&to_xe(file)->queues, queue);
   pthread_mutex_unlock(&file->lock);
   if (!args->exec_queue_id) {
      xe_queue_put(queue);
      return -ENOMEM;
   }
   return 0;
}

int
xe_exec_queue_destroy_ioctl(struct sim_file *file, void *data)
{
   struct drm_xe_exec_queue_destroy *args = data;

   if (args->pad || args->reserved[0] || args->reserved[1])
      return -EINVAL;
   pthread_mutex_lock(&file->lock);
   struct xe_queue *queue = sim_handles_remove(&to_xe(file)->queues, args->exec_queue_id);
   pthread_mutex_unlock(&file->lock);
   if (!queue)
      return -ENOENT;
   p_atomic_set(&queue->killed, true);
   xe_queue_put(queue);
   return 0;
}

int
xe_exec_queue_set_property_ioctl(struct sim_file *file, void *data)
{
   struct drm_xe_exec_queue_set_property *args = data;

   if (args->reserved[0] || args->reserved[1] ||
       args->property != DRM_XE_EXEC_QUEUE_SET_PROPERTY_MULTI_QUEUE_PRIORITY)
      return -EINVAL;
   struct xe_queue *queue = xe_queue_find(file, args->exec_queue_id);
   if (!queue)
      return -ENOENT;
   xe_queue_put(queue);
   /* Only of groups of queues */
   return -EINVAL;
}

int
xe_exec_queue_get_property_ioctl(struct sim_file *file, void *data)
{
   struct drm_xe_exec_queue_get_property *args = data;

   if (args->reserved[0] || args->reserved[1])
      return -EINVAL;
   struct xe_queue *queue = xe_queue_find(file, args->exec_queue_id);
   if (!queue)
      return -ENOENT;
   int ret = args->property == DRM_XE_EXEC_QUEUE_GET_PROPERTY_BAN ? 0 : -EINVAL;
   if (!ret)
      args->value = p_atomic_read(&queue->banned);
   xe_queue_put(queue);
   return ret;
}

void
xe_release_queues(struct sim_file *file)
{
   struct sim_handles *queues = &to_xe(file)->queues;

   for (uint32_t i = 0; i < queues->capacity; i++) {
      struct xe_queue *queue = queues->objects[i];

      if (queue)
         p_atomic_set(&queue->killed, true);
      xe_queue_put(queue);
   }
   sim_handles_finish(queues);
}

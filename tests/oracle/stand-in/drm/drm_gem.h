/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Stand-in for the kernel's header: as much of a GEM object as drm_gpuvm.c touches.
 */

#ifndef STAND_IN_DRM_GEM_H
#define STAND_IN_DRM_GEM_H

#include <linux/bug.h>
#include <linux/dma-resv.h>
#include <linux/list.h>
#include <linux/slab.h>

#include <drm/drm_device.h>
/* In releases of 6.12 up to 6.12.95 at least nothing else brings it. */
#include <drm/drm_print.h>

struct drm_gem_object;

struct drm_gem_object_funcs {
   void (*free)(struct drm_gem_object *obj);
};

struct drm_gem_object {
   struct kref refcount;
   struct drm_device *dev;
   size_t size;

   /** Its own lock, or that of the VM to which it is private. */
   struct dma_resv *resv;
   struct dma_resv _resv;

   /** The vm_bos of all VMs. */
   struct {
      struct list_head list;
      struct mutex lock;
   } gpuva;

   const struct drm_gem_object_funcs *funcs;
};

/** The caller may have set resv. */
static inline void
drm_gem_private_object_init(struct drm_device *dev, struct drm_gem_object *obj, size_t size)
{
   kref_init(&obj->refcount);
   obj->dev = dev;
   obj->size = size;
   mutex_init(&obj->_resv.lock);
   if (!obj->resv)
      obj->resv = &obj->_resv;
   INIT_LIST_HEAD(&obj->gpuva.list);
   mutex_init(&obj->gpuva.lock);
}

static inline void
drm_gem_object_release(struct drm_gem_object *obj)
{
   WARN_ON(!list_empty(&obj->gpuva.list));
}

static inline void
drm_gem_object_get(struct drm_gem_object *obj)
{
   kref_get(&obj->refcount);
}

static inline void
stand_in_gem_free(struct kref *kref)
{
   struct drm_gem_object *obj = container_of(kref, struct drm_gem_object, refcount);

   obj->funcs->free(obj);
}

static inline void
drm_gem_object_put(struct drm_gem_object *obj)
{
   kref_put(&obj->refcount, stand_in_gem_free);
}

/* One argument or two, as the kernel's version has it. */
#define drm_gem_gpuva_assert_lock_held(...) ((void)0)

#define drm_gem_for_each_gpuvm_bo(vm_bo, obj)                                                      \
   list_for_each_entry (vm_bo, &(obj)->gpuva.list, list.entry.gem)

#endif

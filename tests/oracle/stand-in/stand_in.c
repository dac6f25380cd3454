/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The functions behind the stand-in headers.  Knows nothing of drm_gpuvm.
 */

#include "stand_in.h"

#include <stdio.h>
#include <stdlib.h>

#include <drm/drm_exec.h>
#include <drm/drm_gem.h>

static unsigned warnings;
static size_t allocations;

unsigned
stand_in_warnings(void)
{
   return warnings;
}

size_t
stand_in_allocations(void)
{
   return allocations;
}

bool
stand_in_warn(const char *file, int line, const char *condition)
{
   warnings++;
   fprintf(stderr, "the kernel warns: %s (%s:%d)\n", condition, file, line);
   return true;
}

/* Memory */

void *
kzalloc(size_t size, gfp_t gfp)
{
   void *ptr = calloc(1, size);

   (void)gfp;
   allocations += ptr != NULL;
   return ptr;
}

void *
kmemdup(const void *src, size_t size, gfp_t gfp)
{
   void *ptr = kzalloc(size, gfp);

   return ptr ? memcpy(ptr, src, size) : NULL;
}

void
kfree(const void *ptr)
{
   allocations -= ptr != NULL;
   free((void *)ptr);
}

/* drm_exec: with one thread there is nobody to wait for, so that locking an object is remembering
 * it.
 */

/* What contended says before the loop has begun. */
#define EXEC_NOT_BEGUN ((void *)~0ul)

void
drm_exec_init(struct drm_exec *exec, u32 flags, unsigned nr)
{
   (void)nr;
   *exec = (struct drm_exec){ .flags = flags, .contended = EXEC_NOT_BEGUN };
}

void
drm_exec_fini(struct drm_exec *exec)
{
   free(exec->objects);
   exec->objects = NULL;
   exec->num_objects = 0;
}

/** True on the first call only: the loop of drm_exec_until_all_locked() runs once. */
bool
drm_exec_cleanup(struct drm_exec *exec)
{
   const bool first = exec->contended == EXEC_NOT_BEGUN;

   exec->contended = NULL;
   return first;
}

static unsigned
exec_find(const struct drm_exec *exec, const struct drm_gem_object *obj)
{
   unsigned i = 0;

   while (i < exec->num_objects && exec->objects[i] != obj)
      i++;
   return i;
}

int
drm_exec_lock_obj(struct drm_exec *exec, struct drm_gem_object *obj)
{
   if (exec_find(exec, obj) < exec->num_objects)
      return exec->flags & DRM_EXEC_IGNORE_DUPLICATES ? 0 : -EALREADY;

   if (exec->num_objects == exec->max_objects) {
      const unsigned max_objects = exec->max_objects ? 2 * exec->max_objects : 16;
      void *objects = realloc(exec->objects, max_objects * sizeof(*exec->objects));
      if (!objects)
         return -ENOMEM;
      exec->objects = objects;
      exec->max_objects = max_objects;
   }
   exec->objects[exec->num_objects++] = obj;
   return 0;
}

void
drm_exec_unlock_obj(struct drm_exec *exec, struct drm_gem_object *obj)
{
   const unsigned i = exec_find(exec, obj);

   if (i < exec->num_objects)
      exec->objects[i] = exec->objects[--exec->num_objects];
}

int
drm_exec_prepare_obj(struct drm_exec *exec, struct drm_gem_object *obj, unsigned num_fences)
{
   (void)num_fences;
   return drm_exec_lock_obj(exec, obj);
}

int
drm_exec_prepare_array(struct drm_exec *exec, struct drm_gem_object **objects, unsigned num_objects,
                       unsigned num_fences)
{
   int err = 0;

   for (unsigned i = 0; i < num_objects && !err; i++)
      err = drm_exec_prepare_obj(exec, objects[i], num_fences);
   return err;
}

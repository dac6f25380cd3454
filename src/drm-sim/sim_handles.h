/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Handles of a file: the lowest free number from 1, as the kernel's IDR and XArray give them.
 * Must not know what they stand for. The caller locks.
 */

#ifndef SIM_HANDLES_H
#define SIM_HANDLES_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct sim_handles {
   /* Index 0 is handle 1. */
   void **objects;
   uint32_t capacity;
   /* No handle below this one is free. */
   uint32_t first_free;
};

/* 0 when out of memory */
static inline uint32_t
sim_handles_add(struct sim_handles *handles, void *object)
{
   uint32_t index = handles->first_free;

   while (index < handles->capacity && handles->objects[index])
      index++;

   if (index == handles->capacity) {
      uint32_t capacity = handles->capacity ? handles->capacity * 2 : 64;
      void **objects = realloc(handles->objects, capacity * sizeof(*objects));

      if (!objects)
         return 0;
      memset(objects + handles->capacity, 0, (capacity - handles->capacity) * sizeof(*objects));
      handles->objects = objects;
      handles->capacity = capacity;
   }

   handles->objects[index] = object;
   handles->first_free = index + 1;
   return index + 1;
}

static inline void *
sim_handles_get(const struct sim_handles *handles, uint32_t handle)
{
   return handle && handle <= handles->capacity ? handles->objects[handle - 1] : NULL;
}

static inline void *
sim_handles_remove(struct sim_handles *handles, uint32_t handle)
{
   void *object = sim_handles_get(handles, handle);

   if (object) {
      handles->objects[handle - 1] = NULL;
      if (handle - 1 < handles->first_free)
         handles->first_free = handle - 1;
   }
   return object;
}

/* 0 if it has none */
static inline uint32_t
sim_handles_find(const struct sim_handles *handles, const void *object)
{
   for (uint32_t i = 0; i < handles->capacity; i++) {
      if (handles->objects[i] == object)
         return i + 1;
   }
   return 0;
}

static inline void
sim_handles_finish(struct sim_handles *handles)
{
   free(handles->objects);
   memset(handles, 0, sizeof(*handles));
}

#endif /* SIM_HANDLES_H */

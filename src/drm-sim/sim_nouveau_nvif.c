/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The nouveau personality's NVIF ioctl: the device's description, a channel's classes, objects of
 * these. Follows nouveau_abi16.c (nouveau_abi16_ioctl() and what it calls). Objects do nothing: their
 * methods are in pushes. Must know nothing of binds.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "drm-uapi/nouveau_nvif.h"
#include "util/macros.h"

#include "sim_nouveau.h"

/* The program names its objects itself. */
struct nvif_object {
   struct list_head link;
   uint64_t name;
   bool is_device;
};

static struct nvif_object *
find_object_locked(struct sim_file *file, uint64_t name)
{
   list_for_each_entry (struct nvif_object, object, &to_nouveau(file)->objects, link) {
      if (object->name == name)
         return object;
   }
   return NULL;
}

static int
add_object(struct sim_file *file, uint64_t name, bool is_device)
{
   struct nvif_object *object = calloc(1, sizeof(*object));
   int ret = 0;

   if (!object)
      return -ENOMEM;
   object->name = name;
   object->is_device = is_device;
   pthread_mutex_lock(&file->lock);
   if (find_object_locked(file, name))
      ret = -EEXIST;
   else
      list_addtail(&object->link, &to_nouveau(file)->objects);
   pthread_mutex_unlock(&file->lock);
   if (ret)
      free(object);
   return ret;
}

void
nouveau_release_objects(struct sim_file *file)
{
   list_for_each_entry_safe (struct nvif_object, object, &to_nouveau(file)->objects, link) {
      list_del(&object->link);
      free(object);
   }
}

static int
sclass(struct sim_file *file, const struct nvif_ioctl_v0 *head, void *data, uint32_t size)
{
   struct nvif_ioctl_sclass_v0 *args = data;
   struct nvif_ioctl_sclass_oclass_v0 *list = (void *)(args + 1);
   const int32_t *classes;

   if (!head->route || size < sizeof(*args) ||
       size - sizeof(*args) != args->count * sizeof(*list))
      return -EINVAL;
   int count = nouveau_channel_classes(file, head->token, &classes);
   if (count < 0)
      return count;
   for (int i = 0; i < MIN2(args->count, count); i++) {
      list[i] = (struct nvif_ioctl_sclass_oclass_v0){
         .oclass = classes[i],
         .minver = -1,
         .maxver = 0,
      };
   }
   args->count = count;
   return 0;
}

static bool
has_class(struct sim_file *file, uint64_t channel, int32_t oclass)
{
   const int32_t *classes;
   int count = nouveau_channel_classes(file, channel, &classes);

   for (int i = 0; i < count; i++) {
      if (classes[i] == oclass)
         return true;
   }
   return false;
}

static int
new_object(struct sim_file *file, const struct nvif_ioctl_v0 *head, const void *data, uint32_t size)
{
   const struct nvif_ioctl_new_v0 *args = data;

   if (size < sizeof(*args) || args->version != 0)
      return -EINVAL;
   if (!head->route) {
      if (head->object || args->oclass != NV_DEVICE)
         return -EINVAL;
      return add_object(file, args->object, true);
   }
   if (!has_class(file, head->token, args->oclass))
      return -EINVAL;
   return add_object(file, args->object, false);
}

/* What is not there has been deleted, too. */
static int
delete_object(struct sim_file *file, const struct nvif_ioctl_v0 *head, uint32_t size)
{
   if (head->route || size)
      return -EINVAL;
   pthread_mutex_lock(&file->lock);
   struct nvif_object *object = find_object_locked(file, head->object);
   if (object)
      list_del(&object->link);
   pthread_mutex_unlock(&file->lock);
   free(object);
   return 0;
}

static int
method(struct sim_file *file, const struct nvif_ioctl_v0 *head, void *data, uint32_t size)
{
   const struct nvif_ioctl_mthd_v0 *args = data;
   struct nv_device_info_v0 *info = (void *)(args + 1);

   if (head->route || size < sizeof(*args))
      return -EINVAL;
   pthread_mutex_lock(&file->lock);
   const struct nvif_object *object = find_object_locked(file, head->object);
   const bool is_device = object && object->is_device;
   pthread_mutex_unlock(&file->lock);
   if (!is_device || args->method != NV_DEVICE_V0_INFO || size - sizeof(*args) != sizeof(*info) ||
       info->version != 0)
      return -EINVAL;

   *info = (struct nv_device_info_v0){
      .platform = NV_DEVICE_INFO_V0_PCIE,
      .chipset = NOUVEAU_CHIPSET,
      .revision = 0xa1,
      .family = NV_DEVICE_INFO_V0_TURING,
      .ram_size = NOUVEAU_VRAM_B,
      .ram_user = NOUVEAU_VRAM_B,
   };
   snprintf(info->chip, sizeof(info->chip), "TU104");
   snprintf(info->name, sizeof(info->name), "TU104");
   return 0;
}

int
nouveau_nvif_ioctl(struct sim_file *file, void *data, uint32_t size)
{
   const struct nvif_ioctl_v0 *head = data;
   void *args = (uint8_t *)data + sizeof(*head);

   if (size < sizeof(*head) || head->version != 0 ||
       (head->route != NVIF_IOCTL_V0_ROUTE_NVIF && head->route != NVIF_IOCTL_V0_ROUTE_HIDDEN))
      return -EINVAL;
   size -= sizeof(*head);
   switch (head->type) {
   case NVIF_IOCTL_V0_SCLASS:
      return sclass(file, head, args, size);
   case NVIF_IOCTL_V0_NEW:
      return new_object(file, head, args, size);
   case NVIF_IOCTL_V0_DEL:
      return delete_object(file, head, size);
   case NVIF_IOCTL_V0_MTHD:
      return method(file, head, args, size);
   default:
      return -EINVAL;
   }
}

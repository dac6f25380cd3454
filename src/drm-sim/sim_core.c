/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The DRM core's own ioctls; see the header. Follows drm_ioctl.c, drm_auth.c and drm_file.c. Must
 * know no driver's ioctls.
 */

#include "sim_core.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drm-uapi/drm.h"
#include "util/macros.h"
#include "util/u_atomic.h"

#include "sim_caller.h"
#include "sim_device.h"
#include "sim_libc.h"

#define IF_MAJOR 1
#define IF_MINOR 4

/* The user who is nobody here: what the kernel tells instead of another's id. */
#define OVERFLOW_UID 65534

/* A file that is master, and those that were opened while it was, share one of these. */
struct sim_master {
   int32_t refcount;
   /* Files that wait to be authenticated, by their magic */
   struct sim_handles magics;
   bool has_unique;
};

/* Guards all masters, and what files say of theirs. */
static pthread_mutex_t master_lock = PTHREAD_MUTEX_INITIALIZER;

/* Who is master of the device of each driver now */
static struct {
   const struct sim_driver *driver;
   struct sim_master *master;
} current[16];

static struct sim_master **
current_master_locked(const struct sim_driver *driver)
{
   for (unsigned i = 0; i < ARRAY_SIZE(current); i++) {
      if (!current[i].driver)
         current[i].driver = driver;
      if (current[i].driver == driver)
         return &current[i].master;
   }
   unreachable("more drivers than devices");
}

static struct sim_master *
master_get(struct sim_master *master)
{
   master->refcount++;
   return master;
}

static void
master_put_locked(struct sim_master *master)
{
   if (!master || --master->refcount)
      return;
   sim_handles_finish(&master->magics);
   free(master);
}

static bool
is_current_master_locked(const struct sim_file *file)
{
   return file->is_master && *current_master_locked(file->device.driver) == file->master;
}

static void
set_current_locked(struct sim_file *file)
{
   *current_master_locked(file->device.driver) = master_get(file->master);
   file->was_master = true;
}

static int
new_master_locked(struct sim_file *file)
{
   struct sim_master *master = calloc(1, sizeof(*master));

   if (!master)
      return -ENOMEM;
   master->refcount = 1;
   master_put_locked(file->master);
   file->master = master;
   file->is_master = true;
   file->authenticated = true;
   set_current_locked(file);
   return 0;
}

static void
drop_current_locked(const struct sim_driver *driver)
{
   struct sim_master **master = current_master_locked(driver);

   master_put_locked(*master);
   *master = NULL;
}

int
sim_core_open_primary(struct sim_file *file)
{
   int ret = 0;

   pthread_mutex_lock(&master_lock);
   struct sim_master *master = *current_master_locked(file->device.driver);
   file->is_primary = true;
   file->authenticated = sim_caller_is_admin();
   file->pid = sim_caller_pid();
   if (master)
      file->master = master_get(master);
   else
      ret = new_master_locked(file);
   pthread_mutex_unlock(&master_lock);
   return ret;
}

void
sim_core_close(struct sim_file *file)
{
   pthread_mutex_lock(&master_lock);
   if (file->magic)
      sim_handles_remove(&file->master->magics, file->magic);
   if (is_current_master_locked(file))
      drop_current_locked(file->device.driver);
   master_put_locked(file->master);
   file->master = NULL;
   pthread_mutex_unlock(&master_lock);
}

int
sim_core_permit(const struct sim_file *file, const struct sim_ioctl *ioctl)
{
   bool permitted = true;

   if (!file->is_primary)
      return ioctl->not_render ? -EACCES : 0;

   if (ioctl->needs_root && !sim_caller_is_admin())
      permitted = false;
   pthread_mutex_lock(&master_lock);
   if (ioctl->needs_auth && !file->authenticated)
      permitted = false;
   if (ioctl->needs_master && !is_current_master_locked(file))
      permitted = false;
   pthread_mutex_unlock(&master_lock);
   return permitted ? 0 : -EACCES;
}

static int
copy_string(uint64_t user, __kernel_size_t *length, const char *string)
{
   size_t room = *length;

   *length = strlen(string);
   return user ? sim_copy_out(user, string, MIN2(room, *length)) : 0;
}

int
sim_core_version_ioctl(struct sim_file *file, void *data)
{
   const struct sim_driver *driver = file->device.driver;
   struct drm_version *args = data;

   args->version_major = driver->major;
   args->version_minor = file->device.minor;
   args->version_patchlevel = driver->patchlevel;
   int ret = copy_string((uintptr_t)args->name, &args->name_len, driver->name);
   if (!ret)
      ret = copy_string((uintptr_t)args->date, &args->date_len, driver->date);
   if (!ret)
      ret = copy_string((uintptr_t)args->desc, &args->desc_len, driver->desc);
   return ret;
}

/* Empty until SET_VERSION has asked for interface 1.1 */
int
sim_core_get_unique_ioctl(struct sim_file *file, void *data)
{
   struct drm_unique *args = data;
   const char *unique = "";
   int ret = 0;

   pthread_mutex_lock(&master_lock);
   if (file->master->has_unique)
      unique = file->device.driver->of_compatible ? SIM_PLATFORM_NAME : "pci:" SIM_PCI_SLOT;
   pthread_mutex_unlock(&master_lock);

   size_t length = strlen(unique);
   if (args->unique_len >= length)
      ret = sim_copy_out((uintptr_t)args->unique, unique, length);
   if (!ret)
      args->unique_len = length;
   return ret;
}

int
sim_core_set_version_ioctl(struct sim_file *file, void *data)
{
   struct drm_set_version *args = data;
   const struct sim_driver *driver = file->device.driver;
   int ret = 0;

   pthread_mutex_lock(&master_lock);
   if (args->drm_di_major != -1) {
      if (args->drm_di_major != IF_MAJOR || args->drm_di_minor < 0 || args->drm_di_minor > IF_MINOR)
         ret = -EINVAL;
      else if (args->drm_di_minor >= 1)
         file->master->has_unique = true;
   }
   if (!ret && args->drm_dd_major != -1) {
      if (args->drm_dd_major != (int)driver->major || args->drm_dd_minor < 0 ||
          args->drm_dd_minor > (int)file->device.minor)
         ret = -EINVAL;
   }
   pthread_mutex_unlock(&master_lock);

   args->drm_di_major = IF_MAJOR;
   args->drm_di_minor = IF_MINOR;
   args->drm_dd_major = driver->major;
   args->drm_dd_minor = file->device.minor;
   return ret;
}

int
sim_core_get_magic_ioctl(struct sim_file *file, void *data)
{
   struct drm_auth *args = data;

   pthread_mutex_lock(&master_lock);
   if (!file->magic)
      file->magic = sim_handles_add(&file->master->magics, file);
   args->magic = file->magic;
   pthread_mutex_unlock(&master_lock);
   return args->magic ? 0 : -ENOMEM;
}

int
sim_core_auth_magic_ioctl(struct sim_file *file, void *data)
{
   struct drm_auth *args = data;

   pthread_mutex_lock(&master_lock);
   /* Once: the number stays taken, but authenticates no more. */
   struct sim_file *other = sim_handles_get(&file->master->magics, args->magic);
   if (other && !other->magic_is_used) {
      other->authenticated = true;
      other->magic_is_used = true;
   } else {
      other = NULL;
   }
   pthread_mutex_unlock(&master_lock);
   return other ? 0 : -EINVAL;
}

int
sim_core_get_client_ioctl(struct sim_file *file, void *data)
{
   struct drm_client *args = data;

   if (args->idx != 0)
      return -EINVAL;
   args->auth = file->authenticated;
   args->pid = sim_caller_pid();
   args->uid = OVERFLOW_UID;
   args->magic = 0;
   args->iocs = 0;
   return 0;
}

int
sim_core_get_stats_ioctl(UNUSED struct sim_file *file, void *data)
{
   memset(data, 0, sizeof(struct drm_stats));
   return 0;
}

static int
check_master_permission(const struct sim_file *file)
{
   return (file->was_master && file->pid == sim_caller_pid()) || sim_caller_is_admin() ? 0 : -EACCES;
}

int
sim_core_set_master_ioctl(struct sim_file *file, UNUSED void *data)
{
   pthread_mutex_lock(&master_lock);
   int ret = check_master_permission(file);
   if (!ret && !is_current_master_locked(file)) {
      if (*current_master_locked(file->device.driver))
         ret = -EBUSY;
      else if (!file->is_master)
         ret = new_master_locked(file);
      else
         set_current_locked(file);
   }
   pthread_mutex_unlock(&master_lock);
   return ret;
}

int
sim_core_drop_master_ioctl(struct sim_file *file, UNUSED void *data)
{
   pthread_mutex_lock(&master_lock);
   int ret = check_master_permission(file);
   if (!ret && !is_current_master_locked(file))
      ret = -EINVAL;
   if (!ret)
      drop_current_locked(file->device.driver);
   pthread_mutex_unlock(&master_lock);
   return ret;
}

int
sim_core_get_cap_ioctl(UNUSED struct sim_file *file, void *data)
{
   struct drm_get_cap *args = data;

   args->value = 0;
   switch (args->capability) {
   case DRM_CAP_TIMESTAMP_MONOTONIC:
   case DRM_CAP_SYNCOBJ:
   case DRM_CAP_SYNCOBJ_TIMELINE:
      args->value = 1;
      return 0;
   case DRM_CAP_PRIME:
      args->value = DRM_PRIME_CAP_IMPORT | DRM_PRIME_CAP_EXPORT;
      return 0;
   default:
      /* All others are of modesetting drivers. */
      return -EOPNOTSUPP;
   }
}

int
sim_core_set_client_name_ioctl(UNUSED struct sim_file *file, void *data)
{
   struct drm_set_client_name *args = data;
   char name[DRM_CLIENT_NAME_MAX_LEN];

   /* Nobody can ask for it: it is for debugfs. */
   if (args->name_len > DRM_CLIENT_NAME_MAX_LEN - 1)
      return -EINVAL;
   int ret = sim_copy_in(name, args->name, args->name_len);
   if (ret)
      return ret;
   for (unsigned i = 0; i < args->name_len; i++) {
      if (name[i] <= ' ' || name[i] > '~')
         return -EINVAL;
   }
   return 0;
}

int
sim_core_noop_ioctl(UNUSED struct sim_file *file, UNUSED void *data)
{
   return 0;
}

int
sim_core_invalid_ioctl(UNUSED struct sim_file *file, UNUSED void *data)
{
   return -EINVAL;
}

int
sim_core_modeset_ioctl(UNUSED struct sim_file *file, UNUSED void *data)
{
   return -EOPNOTSUPP;
}

/* No driver here makes dumb buffers: drm_mode_create_dumb() and its like say so. */
int
sim_core_no_dumb_ioctl(UNUSED struct sim_file *file, UNUSED void *data)
{
   return -ENOSYS;
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The device, its files and the DRM core's ioctls; see the header. Must know no driver's ioctls.
 */

#include "sim_device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "drm-uapi/drm.h"
#include "util/macros.h"
#include "util/u_atomic.h"

#include "sim_core.h"
#include "sim_fault.h"
#include "sim_fd.h"
#include "sim_gem.h"
#include "sim_libc.h"
#include "sim_mmu.h"
#include "sim_syncobj.h"

#define DEFAULT_KMD "panthor"

static const struct sim_driver *const drivers[] = {
   &sim_panthor_driver,
   &sim_msm_driver,
   &sim_xe_driver,
   &sim_nouveau_driver,
   &sim_amdgpu_driver,
   &sim_powervr_driver,
   &sim_asahi_driver,
};

/* Without a driver: there is no node. */
static struct sim_device current_device;
static bool device_is_chosen;
static pthread_mutex_t device_lock = PTHREAD_MUTEX_INITIALIZER;

static int
parse_option(struct sim_device *device, const char *option)
{
   unsigned bits;

   if (!strcmp(option, "noprr")) {
      device->no_prr = true;
      return 0;
   }
   if (!strcmp(option, "unseen")) {
      device->unseen = true;
      return 0;
   }
   if (sscanf(option, "va=%u", &bits) == 1 && bits >= 33 && bits <= device->driver->va_bits) {
      device->va_bits = bits;
      return 0;
   }
   return -EINVAL;
}

/* NAME[-MAJOR.MINOR] */
static int
parse_driver(struct sim_device *device, const char *name)
{
   for (unsigned i = 0; i < ARRAY_SIZE(drivers); i++) {
      size_t length = strlen(drivers[i]->name);
      unsigned major, minor;

      if (strncmp(name, drivers[i]->name, length))
         continue;
      device->driver = drivers[i];
      device->minor = drivers[i]->max_minor;
      device->va_bits = drivers[i]->va_bits;
      if (name[length] == '\0')
         return 0;
      if (sscanf(name + length, "-%u.%u", &major, &minor) == 2 && major == drivers[i]->major &&
          minor >= drivers[i]->min_minor && minor <= drivers[i]->max_minor) {
         device->minor = minor;
         return 0;
      }
   }
   return -EINVAL;
}

static int
parse_device(struct sim_device *device, const char *spec)
{
   char *copy = strdup(spec);
   char *rest = copy;
   char *option;

   if (!copy)
      return -ENOMEM;

   int ret = parse_driver(device, strsep(&rest, ":"));
   while (!ret && (option = strsep(&rest, ":")))
      ret = parse_option(device, option);
   free(copy);
   return ret;
}

static int
select_locked(const char *spec)
{
   struct sim_device device = {0};
   int ret = strcmp(spec, "none") ? parse_device(&device, spec) : 0;

   if (ret)
      return ret;
   current_device = device;
   sim_mmu_set_unseen(device.unseen);
   device_is_chosen = true;
   return 0;
}

int
sim_device_select(const char *spec)
{
   pthread_mutex_lock(&device_lock);
   int ret = select_locked(spec);
   pthread_mutex_unlock(&device_lock);
   return ret;
}

static void
refuse_spec(const char *spec)
{
   char known[256] = "";

   for (unsigned i = 0; i < ARRAY_SIZE(drivers); i++) {
      const struct sim_driver *driver = drivers[i];
      const size_t used = strlen(known);

      if (driver->min_minor == driver->max_minor)
         snprintf(known + used, sizeof(known) - used, "%s-%u.%u, ", driver->name, driver->major,
                  driver->max_minor);
      else
         snprintf(known + used, sizeof(known) - used, "%s-%u.%u to %u.%u, ", driver->name, driver->major,
                  driver->min_minor, driver->major, driver->max_minor);
   }
   sim_refuse("DRM_SIM_KMD=%s is not known; there are %snone, and behind a colon va=BITS, noprr, unseen", spec,
              known);
}

bool
sim_device_current(struct sim_device *device)
{
   pthread_mutex_lock(&device_lock);
   if (!device_is_chosen) {
      const char *spec = getenv("DRM_SIM_KMD");

      if (select_locked(spec && *spec ? spec : DEFAULT_KMD))
         refuse_spec(spec);
   }
   *device = current_device;
   pthread_mutex_unlock(&device_lock);
   return device->driver;
}

/* A misspelt one would be taken for one that is not there. */
static void
refuse_unknown_variables(void)
{
   static const char *const known[] = {"DRM_SIM_KMD", "DRM_SIM_FAULT", "DRM_SIM_MISAPPLY", "DRM_SIM_CHECK"};
   const char *check = getenv("DRM_SIM_CHECK");

   for (char **variable = environ; variable && *variable; variable++) {
      const int length = strcspn(*variable, "=");
      bool found = strncmp(*variable, "DRM_SIM_", strlen("DRM_SIM_"));

      for (unsigned i = 0; i < ARRAY_SIZE(known) && !found; i++)
         found = length == (int)strlen(known[i]) && !strncmp(*variable, known[i], length);
      if (!found)
         sim_refuse("%.*s is not known; there are %s, %s, %s and %s", length, *variable, known[0], known[1],
                    known[2], known[3]);
   }
   if (check && *check && strcmp(check, "0") && strcmp(check, "1"))
      sim_refuse("DRM_SIM_CHECK=%s is not understood; say 1", check);
}

/* What is wrong with it is said before the program begins. */
__attribute__((constructor)) static void
read_environment(void)
{
   struct sim_device device;

   refuse_unknown_variables();
   sim_device_current(&device);
   sim_fault_init();
}

/* Files */

static bool
file_get(void *object)
{
   struct sim_file *file = object;

   p_atomic_inc(&file->refcount);
   return true;
}

void
sim_file_put(struct sim_file *file)
{
   if (!file || !p_atomic_dec_zero(&file->refcount))
      return;

   sim_core_close(file);
   file->device.driver->close(file);
   sim_syncobj_release_file(file);
   sim_gem_release_file(file);
   pthread_mutex_destroy(&file->lock);
   free(file);
}

static void
file_release(void *object)
{
   sim_file_put(object);
}

static const struct sim_fd_ops node_fd_ops = {
   .type = SIM_FD_NODE,
   .get = file_get,
   .release = file_release,
};

int
sim_file_open(unsigned minor, int flags)
{
   struct sim_device device;

   if (!sim_device_current(&device))
      return -ENOENT;
   sim_fault_init();

   struct sim_file *file = calloc(1, sizeof(*file));
   if (!file)
      return -ENOMEM;
   file->refcount = 1;
   file->device = device;
   pthread_mutex_init(&file->lock, NULL);

   int ret = device.driver->open ? device.driver->open(file) : 0;
   if (ret)
      goto fail_file;
   if (minor == SIM_PRIMARY_MINOR)
      ret = sim_core_open_primary(file);
   if (ret)
      goto fail_driver;

   ret = sim_fd_create(&node_fd_ops, file, flags & O_CLOEXEC);
   if (ret < 0)
      goto fail_driver;
   return ret;

fail_driver:
   sim_core_close(file);
   device.driver->close(file);
fail_file:
   pthread_mutex_destroy(&file->lock);
   free(file);
   return ret;
}

struct sim_file *
sim_file_from_fd(int fd)
{
   return sim_fd_lookup(fd, &node_fd_ops);
}

int
sim_file_minor(int fd)
{
   struct sim_file *file = sim_file_from_fd(fd);

   if (!file)
      return -ENOTTY;
   int minor = file->is_primary ? SIM_PRIMARY_MINOR : SIM_RENDER_MINOR;
   sim_file_put(file);
   return minor;
}

void *
sim_file_mmap(struct sim_file *file, void *addr, uint64_t size_B, int prot, int flags,
              uint64_t offset)
{
   const struct sim_driver *driver = file->device.driver;

   if (driver->mmap) {
      void *map = driver->mmap(file, addr, size_B, prot, flags, offset);
      /* EXDEV: not one of the driver's own offsets */
      if (map != MAP_FAILED || errno != EXDEV)
         return map;
   }
   return sim_gem_mmap(file, addr, size_B, prot, flags, offset);
}

/* The core's ioctls */

#define CORE(nr, NAME, func_, ...) [nr] = {.cmd = DRM_IOCTL_##NAME, .func = func_, ##__VA_ARGS__}

/* Without an argument that this kernel looks at */
#define BARE(nr, func_, name_, ...)                                                                \
   [nr] = {.cmd = DRM_IOWR(nr, uint32_t),                                                          \
           .func = sim_core_##func_##_ioctl,                                                       \
           .name = name_,                                                                          \
           .not_render = true,                                                                     \
           ##__VA_ARGS__}
#define MODESET(nr, ...)  BARE(nr, modeset, "modeset", ##__VA_ARGS__)
#define BY_MASTER         .needs_master = true
#define BY_LEGACY_MASTER  .needs_auth = true, .needs_master = true, .needs_root = true

static const struct sim_ioctl core_ioctls[] = {
   CORE(0x00, VERSION, sim_core_version_ioctl, .name = "version"),
   CORE(0x01, GET_UNIQUE, sim_core_get_unique_ioctl, .name = "get_unique", .not_render = true),
   CORE(0x02, GET_MAGIC, sim_core_get_magic_ioctl, .name = "get_magic", .not_render = true),
   CORE(0x05, GET_CLIENT, sim_core_get_client_ioctl, .name = "get_client", .not_render = true),
   CORE(0x06, GET_STATS, sim_core_get_stats_ioctl, .name = "get_stats", .not_render = true),
   CORE(0x07, SET_VERSION, sim_core_set_version_ioctl, .name = "set_version", .not_render = true,
        BY_MASTER),
   CORE(0x09, GEM_CLOSE, sim_gem_close_ioctl, .name = "gem_close"),
   CORE(0x0a, GEM_FLINK, sim_gem_flink_ioctl, .name = "gem_flink", .not_render = true,
        .needs_auth = true),
   CORE(0x0b, GEM_OPEN, sim_gem_open_ioctl, .name = "gem_open", .not_render = true,
        .needs_auth = true),
   CORE(0x0c, GET_CAP, sim_core_get_cap_ioctl, .name = "get_cap"),
   CORE(0x0d, SET_CLIENT_CAP, sim_core_modeset_ioctl, .name = "set_client_cap", .not_render = true),
   CORE(0x10, SET_UNIQUE, sim_core_invalid_ioctl, .name = "set_unique", .not_render = true,
        BY_LEGACY_MASTER),
   CORE(0x11, AUTH_MAGIC, sim_core_auth_magic_ioctl, .name = "auth_magic", .not_render = true,
        BY_MASTER),
   BARE(0x12, noop, "block", BY_LEGACY_MASTER),
   BARE(0x13, noop, "unblock", BY_LEGACY_MASTER),
   CORE(0x1e, SET_MASTER, sim_core_set_master_ioctl, .name = "set_master", .not_render = true),
   CORE(0x1f, DROP_MASTER, sim_core_drop_master_ioctl, .name = "drop_master", .not_render = true),
   BARE(0x27, noop, "add_draw", BY_LEGACY_MASTER),
   BARE(0x28, noop, "rm_draw", BY_LEGACY_MASTER),
   BARE(0x2c, noop, "finish", .needs_auth = true),
   CORE(0x2d, PRIME_HANDLE_TO_FD, sim_prime_handle_to_fd_ioctl, .name = "prime_handle_to_fd"),
   CORE(0x2e, PRIME_FD_TO_HANDLE, sim_prime_fd_to_handle_ioctl, .name = "prime_fd_to_handle"),
   MODESET(0x3a),
   MODESET(0x3b),
   MODESET(0x3c),
   BARE(0x3f, noop, "update_draw", BY_LEGACY_MASTER),
   MODESET(0xa0),
   MODESET(0xa1),
   MODESET(0xa2, BY_MASTER),
   MODESET(0xa3, BY_MASTER),
   MODESET(0xa4),
   MODESET(0xa5, BY_MASTER),
   MODESET(0xa6),
   MODESET(0xa7),
   BARE(0xa8, noop, "modeset", BY_MASTER),
   BARE(0xa9, noop, "modeset", BY_MASTER),
   MODESET(0xaa),
   MODESET(0xab, BY_MASTER),
   MODESET(0xac),
   MODESET(0xad),
   MODESET(0xae),
   MODESET(0xaf),
   MODESET(0xb0, BY_MASTER),
   MODESET(0xb1),
   BARE(0xb2, no_dumb, "create_dumb"),
   BARE(0xb3, no_dumb, "map_dumb"),
   BARE(0xb4, no_dumb, "destroy_dumb"),
   MODESET(0xb5),
   MODESET(0xb6),
   MODESET(0xb7, BY_MASTER),
   MODESET(0xb8),
   MODESET(0xb9),
   MODESET(0xba, BY_MASTER),
   MODESET(0xbb, BY_MASTER),
   MODESET(0xbc, BY_MASTER),
   MODESET(0xbd),
   MODESET(0xbe),
   CORE(0xBF, SYNCOBJ_CREATE, sim_syncobj_create_ioctl, .name = "syncobj_create"),
   CORE(0xC0, SYNCOBJ_DESTROY, sim_syncobj_destroy_ioctl, .name = "syncobj_destroy"),
   CORE(0xC1, SYNCOBJ_HANDLE_TO_FD, sim_syncobj_handle_to_fd_ioctl, .name = "syncobj_handle_to_fd"),
   CORE(0xC2, SYNCOBJ_FD_TO_HANDLE, sim_syncobj_fd_to_handle_ioctl, .name = "syncobj_fd_to_handle"),
   CORE(0xC3, SYNCOBJ_WAIT, sim_syncobj_wait_ioctl, .name = "syncobj_wait"),
   CORE(0xC4, SYNCOBJ_RESET, sim_syncobj_reset_ioctl, .name = "syncobj_reset"),
   CORE(0xC5, SYNCOBJ_SIGNAL, sim_syncobj_signal_ioctl, .name = "syncobj_signal"),
   MODESET(0xc6, BY_MASTER),
   MODESET(0xc7, BY_MASTER),
   MODESET(0xc8, BY_MASTER),
   MODESET(0xc9, BY_MASTER),
   CORE(0xCA, SYNCOBJ_TIMELINE_WAIT, sim_syncobj_timeline_wait_ioctl,
        .name = "syncobj_timeline_wait"),
   CORE(0xCB, SYNCOBJ_QUERY, sim_syncobj_query_ioctl, .name = "syncobj_query"),
   CORE(0xCC, SYNCOBJ_TRANSFER, sim_syncobj_transfer_ioctl, .name = "syncobj_transfer"),
   CORE(0xCD, SYNCOBJ_TIMELINE_SIGNAL, sim_syncobj_timeline_signal_ioctl,
        .name = "syncobj_timeline_signal"),
   MODESET(0xce),
   CORE(0xCF, SYNCOBJ_EVENTFD, sim_syncobj_eventfd_ioctl, .name = "syncobj_eventfd"),
   MODESET(0xd0),
   CORE(0xD1, SET_CLIENT_NAME, sim_core_set_client_name_ioctl, .name = "set_client_name"),
   CORE(0xD2, GEM_CHANGE_HANDLE, sim_core_invalid_ioctl, .name = "gem_change_handle"),
};

static uint64_t core_counts[ARRAY_SIZE(core_ioctls)];
static uint64_t driver_counts[DRM_COMMAND_END - DRM_COMMAND_BASE];

uint64_t
sim_ioctl_count(const char *name)
{
   uint64_t count = 0;

   for (unsigned i = 0; i < ARRAY_SIZE(core_ioctls); i++) {
      if (core_ioctls[i].name && !strcmp(core_ioctls[i].name, name))
         count += p_atomic_read(&core_counts[i]);
   }

   struct sim_device device;
   unsigned driver_ioctls = sim_device_current(&device) ? device.driver->ioctl_count : 0;
   for (unsigned i = 0; i < driver_ioctls; i++) {
      const char *driver_name = device.driver->ioctls[i].name;
      if (driver_name && !strcmp(driver_name, name))
         count += p_atomic_read(&driver_counts[i]);
   }
   return count;
}

static bool
has_name(const struct sim_ioctl *ioctls, unsigned count, const char *name)
{
   for (unsigned i = 0; i < count; i++) {
      if (ioctls[i].name && !strcmp(ioctls[i].name, name))
         return true;
   }
   return false;
}

bool
sim_ioctl_is_known(const char *name)
{
   bool known = has_name(core_ioctls, ARRAY_SIZE(core_ioctls), name);

   for (unsigned i = 0; i < ARRAY_SIZE(drivers) && !known; i++)
      known = has_name(drivers[i]->ioctls, drivers[i]->ioctl_count, name);
   return known;
}

static void
list_names(const struct sim_ioctl *ioctls, unsigned count, char *text, size_t size)
{
   for (unsigned i = 0; i < count; i++) {
      const size_t used = strlen(text);

      /* Some share one. */
      if (ioctls[i].name && !has_name(ioctls, i, ioctls[i].name))
         snprintf(text + used, size - used, "%s%s", used ? ", " : "", ioctls[i].name);
   }
}

void
sim_ioctl_list_names(char *text, size_t size)
{
   struct sim_device device;

   text[0] = '\0';
   if (sim_device_current(&device))
      list_names(device.driver->ioctls, device.driver->ioctl_count, text, size);
   list_names(core_ioctls, ARRAY_SIZE(core_ioctls), text, size);
}

static const struct sim_ioctl *
find_ioctl(const struct sim_file *file, unsigned nr)
{
   const struct sim_driver *driver = file->device.driver;
   const struct sim_ioctl *found;

   if (nr >= DRM_COMMAND_BASE && nr < DRM_COMMAND_END) {
      unsigned index = nr - DRM_COMMAND_BASE;

      if (index >= driver->ioctl_count)
         return NULL;
      found = &driver->ioctls[index];
      if ((!found->func && !found->sized_func) || found->since_minor > file->device.minor)
         return NULL;
      p_atomic_inc(&driver_counts[index]);
   } else {
      if (nr >= ARRAY_SIZE(core_ioctls))
         return NULL;
      found = &core_ioctls[nr];
      if (!found->func)
         return NULL;
      p_atomic_inc(&core_counts[nr]);
   }
   return found;
}

static int
call_ioctl(struct sim_file *file, const struct sim_ioctl *ioctl, void *data, uint32_t size)
{
   sim_fault_delay_ioctl();
   int ret = sim_fault_ioctl(ioctl->name);

   if (ret)
      return ret;
   if (ioctl->sized_func)
      return ioctl->sized_func(file, data, size);
   ret = sim_core_permit(file, ioctl);
   return ret ? ret : ioctl->func(file, data);
}

int
sim_file_ioctl(struct sim_file *file, unsigned long request, void *arg)
{
   uint32_t cmd = request;
   /* The largest argument of any kernel: an ioctl's size has 14 bits. */
   uint64_t stack_data[64];
   void *data = stack_data;

   if (_IOC_TYPE(cmd) != DRM_IOCTL_BASE)
      return -ENOTTY;

   const struct sim_ioctl *ioctl = find_ioctl(file, _IOC_NR(cmd));
   if (!ioctl)
      return -EINVAL;

   /* What the program and the kernel know of the argument may differ in size. */
   uint32_t both = ioctl->sized_func ? (uint32_t)DRM_IOWR(0, uint8_t) : cmd & ioctl->cmd;
   size_t in_size = both & ((uint32_t)_IOC_WRITE << _IOC_DIRSHIFT) ? _IOC_SIZE(cmd) : 0;
   size_t out_size = both & ((uint32_t)_IOC_READ << _IOC_DIRSHIFT) ? _IOC_SIZE(cmd) : 0;
   size_t size = MAX3(in_size, out_size, _IOC_SIZE(ioctl->cmd));

   if (size > sizeof(stack_data)) {
      data = malloc(size);
      if (!data)
         return -ENOMEM;
   }
   memset(data, 0, size);

   int ret = sim_copy_in(data, (uintptr_t)arg, in_size);
   if (ret)
      goto out;

   ret = call_ioctl(file, ioctl, data, _IOC_SIZE(cmd));
   if (ret && ioctl->sized_func)
      goto out;

   /* On failure too: some drivers tell in the argument how far they came. */
   if (sim_copy_out((uintptr_t)arg, data, out_size))
      ret = -EFAULT;

out:
   if (data != stack_data)
      free(data);
   return ret;
}

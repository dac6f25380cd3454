/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Finds the back-end of a render node's kernel driver; logging; counters.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xf86drm.h>

#include "vmb_private.h"

/* After that, what nobody has wanted again is given back. */
#define CACHE_AGE_NS INT64_C(1000000000)

#ifndef NDEBUG
thread_local uint32_t vmb_locks_held;
#endif

static const struct vmb_kmd_ops *const kmds[] = {
   &vmb_kmd_panthor,
   &vmb_kmd_msm,
   &vmb_kmd_xe,
   &vmb_kmd_nouveau,
   &vmb_kmd_amdgpu,
   &vmb_kmd_powervr,
   &vmb_kmd_asahi,
};

const char *
vmb_driver_name(unsigned index)
{
   return index < ARRAY_SIZE(kmds) ? kmds[index]->name : NULL;
}

uint32_t
vmb_next_id(void)
{
   static uint32_t last;

   return p_atomic_inc_return(&last);
}

static void
log_to_stderr(void *data, enum vmb_log_level level, const char *line)
{
   (void)data;
   fprintf(stderr, "vmbind: %s%s\n", level == VMB_LOG_WARN ? "warning: " : "", line);
}

void
vmb_log(struct vmb_device *dev, enum vmb_log_level level, const char *format, ...)
{
   char line[512];
   va_list args;

   va_start(args, format);
   vsnprintf(line, sizeof(line), format, args);
   va_end(args);
   dev->log(dev->log_data, level, line);
}

static const struct vmb_kmd_ops *
find_kmd(const char *name)
{
   for (unsigned i = 0; i < ARRAY_SIZE(kmds); i++) {
      if (!strcmp(kmds[i]->name, name))
         return kmds[i];
   }
   return NULL;
}

/* Sets the driver's name and version in the caps, and the back-end. */
static int
identify(struct vmb_device *dev)
{
   drmVersionPtr version = drmGetVersion(dev->fd);
   if (!version) {
      vmb_log(dev, VMB_LOG_ERROR, "the file descriptor is not a DRM device's");
      return -ENODEV;
   }

   dev->driver_name = strndup(version->name, version->name_len);
   dev->caps.driver = dev->driver_name;
   dev->caps.version_major = version->version_major;
   dev->caps.version_minor = version->version_minor;
   drmFreeVersion(version);
   if (!dev->driver_name)
      return -ENOMEM;

   dev->kmd = find_kmd(dev->driver_name);
   if (!dev->kmd) {
      vmb_log(dev, VMB_LOG_ERROR, "no back-end for the kernel driver \"%s\"", dev->driver_name);
      return -ENODEV;
   }
   return 0;
}

static int
require_timelines(struct vmb_device *dev)
{
   uint64_t value = 0;

   if (drmGetCap(dev->fd, DRM_CAP_SYNCOBJ_TIMELINE, &value) || !value) {
      vmb_log(dev, VMB_LOG_ERROR, "%s has no timeline syncobjs", dev->driver_name);
      return -ENOTSUP;
   }
   return 0;
}

int
vmb_device_create(const struct vmb_device_params *params, struct vmb_device **dev_out)
{
   struct vmb_device *dev = calloc(1, sizeof(*dev));
   if (!dev)
      return -ENOMEM;

   dev->log = params->log ? params->log : log_to_stderr;
   dev->log_data = params->log_data;
   list_inithead(&dev->bos);
   list_inithead(&dev->vms);
   mtx_init(&dev->bo_lock, mtx_plain);
   mtx_init(&dev->vms_lock, mtx_plain);

   int ret;
   dev->fd = fcntl(params->drm_fd, F_DUPFD_CLOEXEC, 3);
   if (dev->fd < 0) {
      ret = -errno;
      vmb_log(dev, VMB_LOG_ERROR, "the file descriptor %d: %s", params->drm_fd, strerror(errno));
      goto fail_free;
   }
   ret = identify(dev);
   if (ret)
      goto fail_close;
   ret = require_timelines(dev);
   if (ret)
      goto fail_close;

   char why[256] = "";
   ret = dev->kmd->open(dev->fd, &dev->caps, &dev->kdev, why, sizeof(why));
   if (ret) {
      vmb_log(dev, VMB_LOG_ERROR, "%s %d.%d: %s", dev->driver_name, dev->caps.version_major,
              dev->caps.version_minor, why[0] ? why : strerror(-ret));
      goto fail_close;
   }
   if (why[0]) {
      vmb_log(dev, VMB_LOG_WARN, "%s %d.%d: %s", dev->driver_name, dev->caps.version_major,
              dev->caps.version_minor, why);
   }
   /* An address that the kernel chose goes with the handle. */
   vmb_bo_cache_init(&dev->bo_cache, dev->caps.kernel_addresses ? 0 : params->bo_cache_B,
                     CACHE_AGE_NS, dev->caps.page_size_B);

   ret = vmb_trace_create(dev, &dev->trace);
   if (ret)
      goto fail_kmd;

   *dev_out = dev;
   return 0;

fail_kmd:
   dev->kmd->close(dev->kdev);
fail_close:
   close(dev->fd);
fail_free:
   mtx_destroy(&dev->bo_lock);
   mtx_destroy(&dev->vms_lock);
   free(dev->driver_name);
   free(dev);
   return ret;
}

void
vmb_device_destroy(struct vmb_device *dev)
{
   assert(list_is_empty(&dev->bos));
   vmb_bo_cache_empty(dev, 0);
   vmb_trace_destroy(dev->trace);
   dev->kmd->close(dev->kdev);
   close(dev->fd);
   mtx_destroy(&dev->bo_lock);
   mtx_destroy(&dev->vms_lock);
   free(dev->driver_name);
   free(dev);
}

const struct vmb_caps *
vmb_device_caps(const struct vmb_device *dev)
{
   return &dev->caps;
}

int
vmb_device_fd(const struct vmb_device *dev)
{
   return dev->fd;
}

bool
vmb_device_is_lost(const struct vmb_device *dev)
{
   return p_atomic_read(&dev->lost);
}

void
vmb_device_set_lost(struct vmb_device *dev, const char *why)
{
   if (p_atomic_cmpxchg(&dev->lost, 0, 1) == 0)
      vmb_log(dev, VMB_LOG_ERROR, "the device is lost: %s", why);
}

void
vmb_device_get_stats(const struct vmb_device *dev, struct vmb_stats *stats_out)
{
   /* All counters are of one type: copied one by one, each atomically. */
   const uint64_t *from = (const uint64_t *)&dev->stats;
   uint64_t *to = (uint64_t *)stats_out;

   static_assert(sizeof(*stats_out) % sizeof(uint64_t) == 0, "counters only");
   for (size_t i = 0; i < sizeof(*stats_out) / sizeof(uint64_t); i++)
      to[i] = p_atomic_read(&from[i]);
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Stand-in for the kernel's header.
 */

#ifndef STAND_IN_DRM_DEVICE_H
#define STAND_IN_DRM_DEVICE_H

#include <linux/kref.h>

struct drm_device {
   struct kref ref;
};

static inline void
drm_dev_get(struct drm_device *dev)
{
   kref_get(&dev->ref);
}

/* Belongs to the oracle, which sees that no reference is left. */
static inline void
drm_dev_put(struct drm_device *dev)
{
   __atomic_fetch_sub(&dev->ref.count, 1, __ATOMIC_ACQ_REL);
}

#endif

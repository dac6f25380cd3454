/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Stand-in for the kernel's header.
 */

#ifndef STAND_IN_DRM_PRINT_H
#define STAND_IN_DRM_PRINT_H

#include <linux/bug.h>

#define drm_WARN_ON(drm, condition)   ((void)(drm), WARN_ON(condition))
#define drm_WARN(drm, condition, ...) ((void)(drm), WARN_ON(condition))

#endif

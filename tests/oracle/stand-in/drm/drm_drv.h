/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Stand-in for the kernel's header.
 */

#include <drm/drm_device.h>
#include <drm/drm_print.h>

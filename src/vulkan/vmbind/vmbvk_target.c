/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The Gallium drivers that the pipe loader in libvulkan_vmbind.so can create: llvmpipe as it is,
 * which answers for formats and limits before there is a device.  Knows nothing of VM_BIND.
 */

#include "target-helpers/drm_helper.h"
#include "target-helpers/sw_helper.h"

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What several back-ends do in the same way.  Must know of no driver.  Not installed.
 */

#ifndef VMB_KMD_UTIL_H
#define VMB_KMD_UTIL_H

#include <errno.h>
#include <stdint.h>

#include <xf86drm.h>

#include "util/macros.h"
#include "vmbind/vmb_gpuvm.h"
#include "vmbind/vmb_kmd.h"

/** Negative errno. */
static inline int
vmb_kmd_ioctl(int fd, unsigned long request, void *args)
{
   return drmIoctl(fd, request, args) ? -errno : 0;
}

/* A driver with nothing to make for a queue. */

static inline int
vmb_kmd_no_queue_create(UNUSED struct vmb_kmd_vm *kvm, uint32_t *queue_out)
{
   *queue_out = 0;
   return 0;
}

static inline void
vmb_kmd_no_queue_destroy(UNUSED struct vmb_kmd_vm *kvm, UNUSED uint32_t queue)
{
}

/* A driver that does not tell whether a VM can still be used. */
static inline int
vmb_kmd_unknown_vm_status(UNUSED struct vmb_kmd_vm *kvm)
{
   return 0;
}

/** A driver of one operation an ioctl: calls \p bind_one until one fails. */
static inline int
vmb_kmd_bind_each(struct vmb_kmd_vm *kvm, const struct vmb_kmd_op *ops, uint32_t op_count,
                  uint32_t *applied_out,
                  int (*bind_one)(struct vmb_kmd_vm *kvm, const struct vmb_kmd_op *op))
{
   int ret = 0;

   *applied_out = 0;
   while (!ret && *applied_out < op_count) {
      ret = bind_one(kvm, &ops[*applied_out]);
      *applied_out += !ret;
   }
   return ret;
}

#endif /* VMB_KMD_UTIL_H */

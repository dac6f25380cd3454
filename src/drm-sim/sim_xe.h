/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What the parts of the xe personality share. Must know nothing of other drivers.
 */

#ifndef SIM_XE_H
#define SIM_XE_H

#include <pthread.h>
#include <stdint.h>

#include "util/list.h"

#include "sim_device.h"
#include "sim_vm.h"

#define XE_PAGE_SIZE_B 4096ull

/* System memory is the only region. */
#define XE_MEM_REGIONS 0x1u

/* PAT index 0 is coherent with the CPU's caches, 1 to 3 are not. */
#define XE_PAT_ENTRIES 4

/* Who is not allowed more may have normal priority. */
#define XE_MAX_PRIORITY 1

/* A BO's create ioctl, packed into its flags */
#define XE_BO_CACHING_SHIFT 16

/* In the flags of a sim_gpuva: what madvise said, and the PAT index */
#define XE_VA_DONT_NEED (1u << 0)
#define XE_VA_PAT_SHIFT 8

/* sim_vm.priv */
struct xe_vm {
   uint32_t flags;
   /* They keep the VM from being destroyed. */
   uint32_t long_running_queues;
   /* Under the VM's bind lock, with the order of ioctls */
   struct list_head pending;
   pthread_mutex_t bind_lock;
};

struct xe_file {
   /* Under the file's lock */
   struct sim_handles queues;
};

static inline struct xe_file *
to_xe(struct sim_file *file)
{
   return file->priv;
}

static inline struct xe_vm *
to_xe_vm(struct sim_vm *vm)
{
   return vm->priv;
}

int xe_device_query_ioctl(struct sim_file *file, void *data);
int xe_madvise_ioctl(struct sim_file *file, void *data);
int xe_query_mem_range_attrs_ioctl(struct sim_file *file, void *data);

#endif /* SIM_XE_H */

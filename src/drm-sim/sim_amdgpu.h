/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What the parts of the amdgpu personality share. Must know nothing of other drivers.
 */

#ifndef SIM_AMDGPU_H
#define SIM_AMDGPU_H

#include <pthread.h>
#include <stdint.h>

#include "drm-uapi/amdgpu_drm.h"

#include "sim_device.h"

struct sim_fence;

#define AMDGPU_VRAM_B (8ull << 30)
#define AMDGPU_GTT_B  (16ull << 30)

/* What nobody but the kernel may bind, at both ends of the address space */
#define AMDGPU_VA_RESERVED_BOTTOM_B (64ull << 10)
#define AMDGPU_VA_RESERVED_TOP_B    ((4ull << 20) + (64 << 10))

/* The hole in the middle of 48 bits of addresses, sign-extended */
#define AMDGPU_VA_HOLE_START (1ull << 47)
#define AMDGPU_VA_HOLE_END   (-AMDGPU_VA_HOLE_START)

struct amdgpu_file {
   /* One for a file, and there from the start */
   struct sim_vm *vm;
   /* Guards the order of changes of the VM, and the job that is to make them */
   pthread_mutex_t va_lock;
   struct amdgpu_va_job *va_job;
   /* Under the file's lock */
   struct sim_handles contexts;
   struct sim_handles bo_lists;
};

static inline struct amdgpu_file *
to_amdgpu(struct sim_file *file)
{
   return file->priv;
}

/* Sends what GEM_VA has put off. The fence of the VM's last change, with a reference, or NULL. */
struct sim_fence *amdgpu_flush_va(struct sim_file *file);

/* Negative timeouts are for ever. */
uint64_t amdgpu_deadline(uint64_t timeout_ns);

int amdgpu_info_ioctl(struct sim_file *file, void *data);
int amdgpu_ctx_ioctl(struct sim_file *file, void *data);
int amdgpu_bo_list_ioctl(struct sim_file *file, void *data);
int amdgpu_cs_ioctl(struct sim_file *file, void *data);
int amdgpu_wait_cs_ioctl(struct sim_file *file, void *data);
int amdgpu_wait_fences_ioctl(struct sim_file *file, void *data);
void amdgpu_release_contexts(struct sim_file *file);

#endif /* SIM_AMDGPU_H */

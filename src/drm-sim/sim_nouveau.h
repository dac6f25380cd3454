/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What the parts of the nouveau personality share. Must know nothing of other drivers.
 */

#ifndef SIM_NOUVEAU_H
#define SIM_NOUVEAU_H

#include <pthread.h>
#include <stdint.h>

#include "drm-uapi/nouveau_drm.h"
#include "util/list.h"

#include "sim_device.h"
#include "sim_sched.h"

struct sim_syncobj;

#define NOUVEAU_EXEC_PUSH_MAX 510
#define NOUVEAU_CHIPSET       0x164
#define NOUVEAU_VRAM_B        (8ull << 30)

struct nouveau_file {
   /* NULL until VM_INIT; disabled by whatever comes before it */
   struct sim_vm *vm;
   bool vm_is_disabled;
   /* Under the file's lock */
   struct sim_handles channels;
   /* Of NVIF */
   struct list_head objects;
};

static inline struct nouveau_file *
to_nouveau(struct sim_file *file)
{
   return file->priv;
}

/* The client's VM, with a reference; NULL without VM_INIT. */
struct sim_vm *nouveau_vm(struct sim_file *file);

/* After this, VM_INIT comes too late. */
void nouveau_disable_vm_init(struct sim_file *file);

/* Waits and signals of a bind or an exec */
struct nouveau_syncs {
   struct drm_nouveau_sync *signals;
   struct sim_syncobj **syncobjs;
   uint32_t count;
};

/* The waits become dependencies of the job; the syncobjs to signal are looked up. Finish also after
 * an error.
 */
int nouveau_syncs_init(struct nouveau_syncs *syncs, struct sim_file *file, struct sim_job *job,
                       uint64_t wait_ptr, uint32_t wait_count, uint64_t sig_ptr,
                       uint32_t sig_count);
void nouveau_syncs_signal(const struct nouveau_syncs *syncs, struct sim_fence *fence);
void nouveau_syncs_finish(struct nouveau_syncs *syncs);

int nouveau_channel_alloc_ioctl(struct sim_file *file, void *data);
int nouveau_channel_free_ioctl(struct sim_file *file, void *data);
int nouveau_exec_ioctl(struct sim_file *file, void *data);
void nouveau_release_channels(struct sim_file *file);

/* The classes of a channel's engines: how many, or -EINVAL if there is no such channel. */
int nouveau_channel_classes(struct sim_file *file, uint64_t channel, const int32_t **classes);

int nouveau_nvif_ioctl(struct sim_file *file, void *data, uint32_t size);
void nouveau_release_objects(struct sim_file *file);

#endif /* SIM_NOUVEAU_H */

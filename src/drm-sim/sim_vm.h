/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * A GPU's address space as all drivers have it: the tree of mappings, the page tables, what of them
 * the host's MMU shows, a history, and a scheduler for binds. When the tree changes and when the
 * page tables do is each driver's own affair. Must know nothing of any driver.
 */

#ifndef SIM_VM_H
#define SIM_VM_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/list.h"

#include "sim_fault.h"
#include "sim_gpuvm.h"
#include "sim_pt.h"
#include "sim_resv.h"
#include "sim_sched.h"

/* What happened at an address, kept for the message at a fault. */
struct sim_vm_event {
   uint64_t seqno;
   uint64_t va;
   uint64_t range;
   uint64_t bo_id;
   uint64_t offset;
   enum sim_op_kind kind;
   /* As by DRM_SIM_MISAPPLY */
   bool dropped;
};

#define SIM_VM_HISTORY 16384

/* Page table entries that are gone because the BO was evicted (sim_evict) */
struct sim_evicted_run {
   struct list_head link;
   uint64_t va;
   uint64_t size_B;
   struct sim_bo *bo;
   uint64_t offset;
   uint32_t flags;
};

struct sim_file;

struct sim_vm {
   int32_t refcount;
   /* Among all VMs of the process */
   struct list_head link;
   /* The driver's number for it, and one that no other VM of the process ever has */
   uint32_t id;
   uint64_t uid;
   const char *driver_name;

   /* Guards the tree, the page tables and the history; held while a bind is applied. */
   pthread_mutex_t lock;
   struct sim_gpuvm gpuvm;
   struct sim_pt pt;
   struct sim_vm_event *history;
   uint64_t history_count;
   /* Operations applied to the page tables, by kind */
   uint64_t op_counts[SIM_OP_KINDS];

   /* Where unbound pages are null mappings: nouveau's sparse regions */
   struct list_head sparse_regions;

   struct sim_sched *sched;
   /* The GPU's own jobs in this address space; holding binds does not hold these. */
   struct sim_sched *engine;
   /* Entities are the driver's; this is the one that panthor needs for each VM. */
   struct sim_entity entity;

   /* Jobs that may use anything that is mapped, and binds */
   struct sim_resv resv;
   struct list_head evicted_runs;
   /* Of the evicted ones there are some of the program's own pages. */
   bool has_user_runs;
   /* Nothing is evicted: a submit is about to be. */
   bool validating;
   /* The driver: never evicts; refuses to submit with a BO whose contents were given up; has jobs
    * that never end, and gives back at once.
    */
   bool keeps_bos;
   bool refuses_given_up_bos;
   bool rebinds_at_once;
   /* Where nothing is mapped, reads give zero and writes go nowhere. */
   bool has_scratch;

   bool unusable;
   bool destroyed;
   /* The driver's own, freed with the VM */
   void *priv;
};

struct sim_vm *sim_vm_create(uint32_t id, const char *driver_name, uint64_t start, uint64_t range);
struct sim_vm *sim_vm_get(struct sim_vm *vm);
bool sim_vm_get_unless_zero(struct sim_vm *vm);
void sim_vm_put(struct sim_vm *vm);

/* Takes all mappings away, from the tree, the page tables and the host's MMU. */
void sim_vm_clear(struct sim_vm *vm);
/* That, and the end of the caller's reference */
void sim_vm_destroy(struct sim_vm *vm);

/* A file's VMs, by handle. The file takes over the reference; without memory, or if it has that many
 * already, the VM is given up and the handle is 0.
 */
uint32_t sim_vm_add_handle(struct sim_file *file, struct sim_vm *vm, uint32_t max_count);
/* With a reference, or NULL */
struct sim_vm *sim_vm_lookup(struct sim_file *file, uint32_t handle);
/* Its sim_vm.uid; false if there is none. */
bool sim_vm_find_uid(struct sim_file *file, uint32_t handle, uint64_t *uid);
/* With what was the file's reference, or NULL */
struct sim_vm *sim_vm_remove_handle(struct sim_file *file, uint32_t handle);
/* At the end of a file; how the driver destroys one. */
void sim_vm_release_file(struct sim_file *file, void (*destroy)(struct sim_vm *vm));

/* The page tables and the host's MMU, with the VM locked. 0 or -ENOMEM. The BO is NULL for a null
 * mapping; SIM_PTE_SPARSE repeats the BO every 2 MiB of address.
 */
int sim_vm_pt_map_locked(struct sim_vm *vm, uint64_t va, uint64_t size_B, struct sim_bo *bo,
                         uint64_t offset, uint32_t flags);
int sim_vm_pt_unmap_locked(struct sim_vm *vm, uint64_t va, uint64_t size_B);

/* A range in which, from now on, what is not bound reads as zero; and the end of it, at which all
 * of it is unbound. With the VM locked.
 */
int sim_vm_add_sparse_region_locked(struct sim_vm *vm, uint64_t va, uint64_t size_B);
int sim_vm_remove_sparse_region_locked(struct sim_vm *vm, uint64_t va, uint64_t size_B);

/* An evicted run back into the page tables; it is on no list. */
int sim_vm_pt_map_run_locked(struct sim_vm *vm, const struct sim_evicted_run *run);
void sim_vm_free_evicted_run(struct sim_evicted_run *run);

void sim_vm_record_locked(struct sim_vm *vm, enum sim_op_kind kind, uint64_t va, uint64_t range,
                          const struct sim_bo *bo, uint64_t offset, bool dropped);

/* Memory as the GPU sees it: -EFAULT at a hole; zeros from a null mapping, and writes to it vanish.
 */
int sim_vm_read(struct sim_vm *vm, uint64_t va, void *data, uint64_t size_B);
int sim_vm_write(struct sim_vm *vm, uint64_t va, const void *data, uint64_t size_B);

#endif /* SIM_VM_H */

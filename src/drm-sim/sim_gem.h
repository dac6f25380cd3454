/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Buffer objects and their handles, CPU mappings and PRIME. A BO's pages are a memfd: the same file
 * is what the host's MMU maps at a GPU address, what mmap() on the node gives, and what a PRIME fd
 * is. Must know nothing of any driver but what it left in a BO's flags.
 */

#ifndef SIM_GEM_H
#define SIM_GEM_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/types.h>

#include "util/list.h"

#include "sim_resv.h"

struct sim_fence;
struct sim_file;

enum sim_bo_madv {
   SIM_BO_NEEDED,
   SIM_BO_NOT_NEEDED,
   SIM_BO_PURGED,
};

struct sim_bo {
   int32_t refcount;
   /* Among all BOs of the process */
   struct list_head link;
   uint64_t id;
   uint64_t size_B;
   int fd;
   uint64_t inode;
   /* The driver's own flags, from its create ioctl; they travel with a PRIME fd. */
   uint32_t flags;
   /* The sim_vm.uid that alone may bind it, and it cannot be exported; 0 for none. */
   uint64_t exclusive_vm_uid;
   struct sim_resv resv;
   /* Came from another process */
   bool imported;
   /* Where mmap() on the node finds it */
   uint64_t mmap_offset;
   /* What the program said of its contents; purged only when memory ran short */
   enum sim_bo_madv madv;
   /* No page table shows it but those that a bind changed since; and when it was last looked at. */
   bool evicted;
   uint64_t evict_pass;
   /* The program's own pages, and whether what is at their address has changed */
   uint64_t user_addr;
   bool user_gone;
   /* By which GEM_OPEN finds it, or 0 */
   uint32_t flink;
   char name[32];
   void *metadata;
   uint32_t metadata_size;
};

int sim_bo_create(uint64_t size_B, uint32_t flags, uint64_t exclusive_vm_uid, struct sim_bo **out);
struct sim_bo *sim_bo_get(struct sim_bo *bo);
void sim_bo_put(struct sim_bo *bo);

/* Takes a reference of its own. */
int sim_bo_add_handle(struct sim_file *file, struct sim_bo *bo, uint32_t *handle);

/* A new one, for its handle alone */
int sim_bo_create_handle(struct sim_file *file, uint64_t size_B, uint32_t flags,
                         uint64_t exclusive_vm_uid, uint32_t *handle);

/* With a reference, or NULL */
struct sim_bo *sim_bo_lookup(struct sim_file *file, uint32_t handle);

/* Where the node shows it, unless it has one of these flags: then -EPERM. -ENOENT */
int sim_bo_get_mmap_offset(struct sim_file *file, uint32_t handle, uint32_t refused_flags,
                           __u64 *offset);

/* 0 if the file has no handle for it */
uint32_t sim_bo_handle_in(struct sim_file *file, const struct sim_bo *bo);

/* Copies to and from a BO's pages as a GPU would; within bounds, by the caller's word. */
int sim_bo_read(struct sim_bo *bo, uint64_t offset_B, void *data, uint64_t size_B);
int sim_bo_write(struct sim_bo *bo, uint64_t offset_B, const void *data, uint64_t size_B);

/* Says whether a BO's contents matter; returns what it was before, and a purged one stays so. */
enum sim_bo_madv sim_bo_madvise(struct sim_bo *bo, enum sim_bo_madv madv);

/* A BO of the program's own pages: from here on its addresses show the BO. -EFAULT where it has no
 * memory that can be written.
 */
int sim_bo_create_from_user(uint64_t user, uint64_t size_B, struct sim_bo **out);

/* The program changes what is at an address of its own: a BO of its pages there, which has not been
 * told of a change yet, with a reference; NULL if there is none.
 */
struct sim_bo *sim_bo_take_user_range(uint64_t addr, uint64_t size_B);

/* Shows what the program has at its address now. -EFAULT where it has nothing. */
int sim_bo_repin_user(struct sim_bo *bo);

/* Bytes in all BOs of the process, and in those that are not evicted */
uint64_t sim_bo_total_B(void);
uint64_t sim_bo_resident_B(void);

/* For sim_evict. The oldest BO that could be evicted and was not picked in this pass, with a
 * reference; whether the state was another.
 */
uint64_t sim_bo_new_pass(void);
struct sim_bo *sim_bo_pick_victim(uint64_t pass);
bool sim_bo_set_evicted(struct sim_bo *bo, bool evicted);

/* mmap() on the node's fd: MAP_FAILED and errno as a system call would. */
void *sim_gem_mmap(struct sim_file *file, void *addr, uint64_t size_B, int prot, int flags,
                   uint64_t offset);

void sim_gem_release_file(struct sim_file *file);

/* ioctl() on a PRIME fd (linux/dma-buf.h) */
int sim_dma_buf_ioctl(int fd, unsigned long request, void *arg);

int sim_gem_close_ioctl(struct sim_file *file, void *data);
int sim_gem_flink_ioctl(struct sim_file *file, void *data);
int sim_gem_open_ioctl(struct sim_file *file, void *data);
int sim_prime_handle_to_fd_ioctl(struct sim_file *file, void *data);
int sim_prime_fd_to_handle_ioctl(struct sim_file *file, void *data);

#endif /* SIM_GEM_H */

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Memory of a screen: BOs, and the addresses at which the GPU finds them.
 *
 * What is smaller than a sparse block comes out of slabs (Mesa's pb_slab), one BO and one bind for many.
 * Everything else is a BO, bound at a range of its own.
 *
 * Freeing never waits: addresses and BOs come back when the unbind has completed.  The GPU must be
 * done with the memory.  All functions may be called from any thread; errors are negative errno.
 */

#ifndef VMBIND_MEMORY_H
#define VMBIND_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pipe_memory_allocation;
struct pipe_screen;
struct vmb_bo;
struct vmbind_memory;
struct vmbind_screen;

struct vmbind_memory_params {
   uint64_t size_B;
   /** Other devices and processes may see it: vmbind_memory_export(). */
   bool shareable;
   /** Its address can be asked for again, by another device, with addr_B. */
   bool replayable;
   /** The address that it must have, or 0. */
   uint64_t addr_B;
   /** For dumps.  May be NULL. */
   const char *name;
};

/** \return 0; -EADDRINUSE (addr_B), -ENOSPC no addresses; -ENOMEM; -ENODEV */
int vmbind_memory_create(struct pipe_screen *pscreen, const struct vmbind_memory_params *params,
                         struct vmbind_memory **mem_out);

/** Memory of another device or process, by its dma-buf.  The fd stays the caller's. */
int vmbind_memory_import(struct pipe_screen *pscreen, int dmabuf_fd,
                         struct vmbind_memory **mem_out);

/**
 * Gives the process's own memory to the GPU, so that both see the same pages.  Where the kernel driver
 * has no userptrs, a BO takes their contents and then their place, until the memory is freed; what
 * somebody else writes there while that happens, and while it is undone, may be lost.
 *
 * \param ptr, size_B  whole pages, writable; without userptrs private and anonymous too
 * \return 0; -EINVAL, -EFAULT if they are not; -ENOMEM, -ENOSPC, -ENODEV
 */
int vmbind_memory_take_pages(struct pipe_screen *pscreen, void *ptr, uint64_t size_B,
                             struct vmbind_memory **mem_out);

void vmbind_memory_free(struct pipe_screen *pscreen, struct vmbind_memory *mem);

/** A new dma-buf fd.  -EPERM if it is not shareable. */
int vmbind_memory_export(struct vmbind_memory *mem, int *dmabuf_fd_out);

/** GPU and CPU address. */
uint64_t vmbind_memory_addr_B(const struct vmbind_memory *mem);
/** At least what was asked for. */
uint64_t vmbind_memory_size_B(const struct vmbind_memory *mem);

/** The BO that is its own, or NULL. */
struct vmb_bo *vmbind_memory_bo(const struct vmbind_memory *mem);

/** A part of a BO, which stays the memory's. */
struct vmbind_piece {
   struct vmb_bo *bo;
   uint64_t offset_B;
   uint64_t size_B;
};

/** The part of a BO that it is, to be bound to sparse resources: all of its own, or a piece of a slab, which begins at a
 * multiple of its size. */
struct vmbind_piece vmbind_memory_piece(const struct vmbind_memory *mem);

/**
 * Shows the memory at another address of the process as well, in place of what is mapped there.  The
 * caller unmaps it.
 *
 * \param addr    a multiple of the GPU's pages
 * \param size_B  as much of it as the user asked for
 * \return bytes that are mapped, whole pages; -EPERM for the process's own memory; -ENOMEM
 */
int64_t vmbind_memory_map_at(struct vmbind_memory *mem, uint64_t size_B, void *addr);

/** For Gallium's functions, which know it by another name. */
struct pipe_memory_allocation *vmbind_memory_to_pipe(struct vmbind_memory *mem);
struct vmbind_memory *vmbind_memory_from_pipe(struct pipe_memory_allocation *pmem);

/* The screen's part: before anything else of this header, and when all else is gone; says how much
 * of it was never freed. */
int vmbind_memory_init(struct vmbind_screen *screen);
unsigned vmbind_memory_finish(struct vmbind_screen *screen);

#ifdef __cplusplus
}
#endif

#endif /* VMBIND_MEMORY_H */

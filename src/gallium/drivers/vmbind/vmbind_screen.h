/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The Gallium driver: llvmpipe, in an address space made by VM_BIND.
 *
 * The screen is llvmpipe's own, with functions replaced in place, because llvmpipe casts screens
 * and resources to its own types.  Every piece of memory that a shader can reach is a BO, bound at
 * a GPU address inside a window where GPU and CPU addresses are one; a resource's data pointer is
 * its GPU address.
 *
 * A sparse resource has addresses and no memory.  Its owner binds BOs to its range, through the
 * core and with whatever syncs there are, and then says what has become resident.
 *
 * Knows nothing of Vulkan.  Functions that can fail return negative errno.
 */

#ifndef VMBIND_SCREEN_H
#define VMBIND_SCREEN_H

#include <stdbool.h>
#include <stdint.h>

#include "vmbind/vmb_vm.h"

#include "vmbind_sparse.h"

#ifdef __cplusplus
extern "C" {
#endif

struct disk_cache;
struct pipe_resource;
struct pipe_screen;

/* ------------------------------------------------------------------ screen */

/**
 * Makes a screen on a render node: a VM of its own, in a window of its own.  The fd stays the
 * caller's.
 *
 * \param why  receives the cause of a failure, a line
 * \return 0; -ENXIO if the CPU cannot see what is bound; what the core said
 */
int vmbind_screen_create(int drm_fd, struct pipe_screen **pscreen_out, char *why, size_t why_size);

struct vmb_device *vmbind_screen_device(struct pipe_screen *pscreen);
struct vmb_vm *vmbind_screen_vm(struct pipe_screen *pscreen);

/** Bytes of GPU addresses that resources can have. */
uint64_t vmbind_screen_window_size_B(struct pipe_screen *pscreen);

/**
 * Shader caches can be shared by screens: a new one reads its index first, which takes as long as
 * anything that a screen is made of.
 *
 * Makes the screen's the caller's, who destroys it after the screen.  Before the first context.
 * \return NULL if it has none
 */
struct disk_cache *vmbind_screen_take_shader_cache(struct pipe_screen *pscreen);

/** Lends it one in place of its own, for its life.  Before the first context. */
void vmbind_screen_set_shader_cache(struct pipe_screen *pscreen, struct disk_cache *cache);

/* ---------------------------------------------------------- sparse resources */

/**
 * Gives addresses to an unbacked resource, once, before any other use.  With residency what is not
 * bound is a null mapping; without, an access to it faults.
 * Buffers must not have PIPE_RESOURCE_FLAG_SPARSE: llvmpipe would take them for tiled.
 *
 * \return 0; -ENOSPC, -ENOMEM, -ENODEV; -ENOTSUP: no null mappings
 */
int vmbind_resource_make_sparse(struct pipe_screen *pscreen, struct pipe_resource *pres,
                                uint64_t size_B, bool residency);

/** The same at addresses that can be asked for again, by another device: at addr_B, or anywhere if
 * it is 0.  -EADDRINUSE if they are not free. */
int vmbind_resource_make_sparse_at(struct pipe_screen *pscreen, struct pipe_resource *pres,
                                   uint64_t size_B, bool residency, uint64_t addr_B);

/** Says where things are in a sparse texture: llvmpipe reads and writes by these numbers alone.
 *
 * \param layout  is copied
 * \return 0; -ENOMEM
 */
int vmbind_resource_set_layout(struct pipe_resource *pres,
                               const struct vmbind_sparse_layout *layout);

/** What vmbind_resource_set_layout() said, which lives as long as the resource; NULL for others. */
const struct vmbind_sparse_layout *vmbind_resource_layout(struct pipe_resource *pres);

/** NULL for resources that are not sparse. */
struct vmb_range *vmbind_resource_range(struct pipe_resource *pres);

/**
 * Has llvmpipe follow what is resident in a sparse resource, block by block, beyond what it does
 * for sparse textures by itself: writes to what is not resident are lost, samples of any kind get
 * their residency code, and the resource can be rendered to.  The blocks of a texture lie as
 * vmbind_sparse.h says.  Nothing is resident.
 *
 * \return 0; -ENOMEM
 */
int vmbind_resource_track_residency(struct pipe_resource *pres, uint64_t size_B);

/** Says which blocks shaders find resident.  Called after a bind has completed and before anything
 * is executed that waited for it. */
void vmbind_resource_set_resident(struct pipe_resource *pres, uint64_t offset_B, uint64_t size_B,
                                  bool resident);

#ifdef __cplusplus
}
#endif

#endif /* VMBIND_SCREEN_H */

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The address window: a piece of the process's own address space, inside the GPU's, where a GPU
 * address and a CPU address are one.  Shaders that run on the CPU read there what was bound for
 * the GPU.
 *
 * Knows addresses; must never know what a resource is.
 */

#ifndef VMBIND_WINDOW_H
#define VMBIND_WINDOW_H

#include <stdint.h>

#include "vmbind/vmb_device.h"
#include "vmbind/vmb_vm.h"

#ifdef __cplusplus
extern "C" {
#endif

struct vmbind_window {
   uint64_t start_B;
   uint64_t size_B;
};

/**
 * Reserves addresses that the GPU has too.  Nothing is accessible in it, it costs no memory and is
 * not in core dumps.
 * \return 0; -ENOSPC if the process has no such addresses free
 */
int vmbind_window_reserve(const struct vmb_caps *caps, struct vmbind_window *window_out);

/** What the GPU has bound there must be gone. */
void vmbind_window_release(const struct vmbind_window *window);

/**
 * Binds a page in the window and looks whether the CPU sees it.
 * \return 0; -ENXIO if it does not; what the core said
 */
int vmbind_window_probe(struct vmb_vm *vm);

#ifdef __cplusplus
}
#endif

#endif /* VMBIND_WINDOW_H */

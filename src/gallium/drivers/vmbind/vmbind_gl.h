/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The screen that OpenGL's state tracker is given: llvmpipe in an address space made by VM_BIND
 * (vmbind_screen.h), with resources that are backed, shared and committed as GL has it.
 *
 * Knows Gallium; must never know EGL, GLX or GBM.
 */

#ifndef VMBIND_GL_H
#define VMBIND_GL_H

#ifdef __cplusplus
extern "C" {
#endif

struct pipe_screen;
struct sw_winsys;

/**
 * A screen on a render node.  What is shared with other processes or shown on a display is a BO, by
 * dma-buf or GEM handle.
 *
 * \param drm_fd  stays the caller's
 * \return NULL: a line in Mesa's log says why
 */
struct pipe_screen *vmbind_gl_screen_create(int drm_fd);

/**
 * A screen for a window system that takes its pictures from the CPU (an X server without DRI3), on
 * the first render node that VM_BIND is possible on.
 *
 * \param winsys  shows the pictures; must outlive the screen
 */
struct pipe_screen *vmbind_gl_screen_create_for_winsys(struct sw_winsys *winsys);

#ifdef __cplusplus
}
#endif

#endif /* VMBIND_GL_H */

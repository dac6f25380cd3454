/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * panthor's and the syncobjs' ioctls as functions, for tests that speak to the kernel themselves.
 * Must not know of the core.  All return 0 or a negative errno unless they say otherwise; those that
 * a test cannot go on without fail the test.
 */

#ifndef TEST_PANTHOR_H
#define TEST_PANTHOR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "drm-uapi/drm.h"
#include "drm-uapi/panthor_drm.h"

#define PAGE_B 4096ull
#define SECOND 1000 /* ms: waits are for what ought to come soon, however slow the machine */

/** ioctl() that starts again when it is interrupted. */
int pan_ioctl(int fd, unsigned long request, void *arg);

/* ------------------------------------------------------------------- device */

/** Opens the render node. */
int pan_open(void);
/** Its driver's minor version. */
int pan_minor(int fd);

/* ----------------------------------------------------------------- VM and BO */

uint32_t pan_vm_create(int fd);
/** \return a drm_panthor_vm_state or a negative errno */
int pan_vm_state(int fd, uint32_t vm);
int pan_vm_destroy(int fd, uint32_t vm);

/** \param vm  0, or the only VM that may map it */
uint32_t pan_bo_create(int fd, uint64_t size_B, uint32_t vm);
void *pan_bo_map(int fd, uint32_t handle, uint64_t size_B);
void pan_bo_close(int fd, uint32_t handle);

/* --------------------------------------------------------------------- binds */

struct drm_panthor_vm_bind_op pan_map(uint32_t handle, uint64_t offset_B, uint64_t addr_B,
                                      uint64_t size_B);
struct drm_panthor_vm_bind_op pan_unmap(uint64_t addr_B, uint64_t size_B);

/** The syncs must live until the bind. */
struct drm_panthor_vm_bind_op pan_with_syncs(struct drm_panthor_vm_bind_op op,
                                             struct drm_panthor_sync_op *syncs, uint32_t count);

struct drm_panthor_sync_op pan_wait(uint32_t syncobj);
struct drm_panthor_sync_op pan_signal(uint32_t syncobj);
struct drm_panthor_sync_op pan_wait_point(uint32_t syncobj, uint64_t point);
struct drm_panthor_sync_op pan_signal_point(uint32_t syncobj, uint64_t point);

/** \param count_out  NULL, or what the kernel wrote to ops.count */
int pan_bind(int fd, uint32_t vm, uint32_t flags, struct drm_panthor_vm_bind_op *ops,
             uint32_t count, uint32_t *count_out);
/** One operation, synchronous. */
int pan_bind_sync(int fd, uint32_t vm, struct drm_panthor_vm_bind_op op);
/** One operation, asynchronous. */
int pan_bind_async(int fd, uint32_t vm, struct drm_panthor_vm_bind_op op);

/* ------------------------------------------------------------------ syncobjs */

uint32_t pan_syncobj_create(int fd);
void pan_syncobj_signal(int fd, uint32_t syncobj);
int pan_syncobj_wait(int fd, uint32_t syncobj, unsigned ms);
int pan_syncobj_wait_point(int fd, uint32_t syncobj, uint64_t point, unsigned ms);
uint64_t pan_syncobj_query(int fd, uint32_t syncobj);
/** What the fence says of its end: 1 signaled, 0 pending, or its error. */
int pan_syncobj_status(int fd, uint32_t syncobj);

/* ---------------------------------------------------------------------- jobs */

/** A group of one queue. */
uint32_t pan_group_create(int fd, uint32_t vm);
/** The group's drm_panthor_group_state_flags. */
uint32_t pan_group_state(int fd, uint32_t group);
int pan_group_destroy(int fd, uint32_t group);
int pan_submit(int fd, uint32_t group, uint64_t addr_B, uint32_t size_B,
               struct drm_panthor_sync_op *syncs, uint32_t count);

/** Writes a command stream that stores value to addr_B.  \return its bytes */
uint32_t pan_stream_store(uint64_t *stream, uint64_t addr_B, uint32_t value);

/** Runs a stream of no-ops, after which the VM has an address space and its page tables can be
 * looked at.  Uses the page at addr_B. */
void pan_make_resident(int fd, uint32_t vm, uint64_t addr_B);

#endif /* TEST_PANTHOR_H */

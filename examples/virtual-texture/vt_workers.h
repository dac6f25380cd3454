/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * A handful of threads that run one function over a range of indices.  They
 * must never know what the function does; which thread takes which index is
 * not defined, so the function may depend on the index alone.
 */

#ifndef VT_WORKERS_H
#define VT_WORKERS_H

#include <stdint.h>

struct vt_workers;

typedef void (*vt_job_fn)(void *data, uint32_t index);

struct vt_workers *vt_workers_create(void);
void vt_workers_destroy(struct vt_workers *workers);

/* Calls fn(data, i) for every i below count and returns when all are done. */
void vt_workers_run(struct vt_workers *workers, vt_job_fn fn, void *data, uint32_t count);

#endif /* VT_WORKERS_H */

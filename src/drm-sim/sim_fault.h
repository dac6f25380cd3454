/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What goes wrong because someone asked for it: failing ioctls, operations and jobs, a lost device,
 * delays, memory limits (DRM_SIM_FAULT), and operations that are quietly not applied, so that a
 * test which should notice can be seen to (DRM_SIM_MISAPPLY). Must know nothing of any driver.
 */

#ifndef SIM_FAULT_H
#define SIM_FAULT_H

#include <stdbool.h>
#include <stdint.h>

enum sim_op_kind {
   SIM_OP_MAP,
   SIM_OP_UNMAP,
   SIM_OP_NULL,
   SIM_OP_KINDS,
};

/* How the page tables are to differ from what was asked */
struct sim_misapply {
   bool drop;
   /* Added to the BO offset */
   int64_t offset_delta;
};

/* From the environment, once; and again by a call. -EINVAL for a spec that says nothing sensible. */
void sim_fault_init(void);
int sim_fault_set(const char *spec);
int sim_fault_set_misapply(const char *spec);

/* Each of these counts, and is called exactly once for the thing that it names. */

/* 0, or the errno with which this ioctl is to fail before it does anything */
int sim_fault_ioctl(const char *name);
/* The same for one bind operation when it is translated into changes of the tree */
int sim_fault_op(void);
/* The same for one bind job when it runs */
int sim_fault_job(void);
void sim_fault_delay_job(void);
void sim_fault_delay_ioctl(void);
bool sim_fault_device_is_lost(void);
bool sim_fault_memory_is_left(uint64_t size_B);
/* Bytes of BOs above which idle ones are evicted; 0 for none */
uint64_t sim_fault_resident_limit_B(void);

struct sim_misapply sim_fault_misapply(enum sim_op_kind kind, uint64_t bo_size_B, uint64_t offset,
                                       uint64_t size_B);

#endif /* SIM_FAULT_H */

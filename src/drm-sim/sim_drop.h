/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Stores of the program to null mappings: a GPU drops them, and the host's MMU has no such pages.
 * Here the store is taken over where it faults and goes nowhere; what is read there stays zero.
 * Must know nothing of any driver.
 *
 * On other CPUs than x86-64 such a store stays a fault.
 */

#ifndef SIM_DROP_H
#define SIM_DROP_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* Takes SIGTRAP over, once. */
void sim_drop_install(void);

/* The program's own sigaction(SIGTRAP) */
int sim_drop_sigaction(const struct sigaction *act, struct sigaction *old);

/* Called by the handler of a write fault at va, with the VM locked whose null mapping it is. The
 * program goes on after the store when the handler returns; false if that cannot be done.
 */
bool sim_drop_store(uint64_t va, void *context);

#endif /* SIM_DROP_H */

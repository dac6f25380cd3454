/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * An access of the program to an address that its GPU has not mapped: a message that says where,
 * and what was there last; then whatever the program wanted to happen on SIGSEGV. Must know nothing
 * of any driver.
 */

#ifndef SIM_SEGV_H
#define SIM_SEGV_H

#include <signal.h>
#include <stdint.h>

struct sim_vm;

/* Takes SIGSEGV over, once; called when the program reserves addresses. */
void sim_segv_install(void);

void sim_segv_add_vm(struct sim_vm *vm);
void sim_segv_remove_vm(struct sim_vm *vm);

/* Without any VM's lock held; fn may take that of the one that it is given. */
void sim_segv_for_each_vm(void (*fn)(struct sim_vm *vm, void *priv), void *priv);

/* For handlers: the VM that maps the address, locked; NULL if none does, or it stays locked by
 * somebody else.
 */
struct sim_vm *sim_segv_lock_vm(uint64_t va);
void sim_segv_unlock_vm(struct sim_vm *vm);

/* The program's own sigaction(SIGSEGV) */
int sim_segv_sigaction(const struct sigaction *act, struct sigaction *old);

#endif /* SIM_SEGV_H */

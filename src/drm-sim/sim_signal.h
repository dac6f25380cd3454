/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Signals that come to the simulator before the program: the program sees and changes a handler of its
 * own, and what is not the simulator's goes on to it. Must know nothing of what is simulated.
 */

#ifndef SIM_SIGNAL_H
#define SIM_SIGNAL_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

struct sim_signal {
   int signum;
   pthread_mutex_t lock;
   bool taken;
   /* What the program has asked for */
   struct sigaction program;
};

#define SIM_SIGNAL_INIT(number)                                                                    \
   {                                                                                               \
      .signum = number, .lock = PTHREAD_MUTEX_INITIALIZER,                                         \
   }

/* Once; later calls do nothing. */
void sim_signal_take(struct sim_signal *sig,
                     void (*handler)(int signum, siginfo_t *info, void *context), int flags);

/* The program's own sigaction() */
int sim_signal_sigaction(struct sim_signal *sig, const struct sigaction *act,
                         struct sigaction *old);

/* For the handler: it is the program's. */
void sim_signal_chain(const struct sim_signal *sig, siginfo_t *info, void *context);

#endif /* SIM_SIGNAL_H */

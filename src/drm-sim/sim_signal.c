/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Signals in front of the program's; see the header.
 */

#include "sim_signal.h"

#include "sim_libc.h"

void
sim_signal_take(struct sim_signal *sig, void (*handler)(int, siginfo_t *, void *), int flags)
{
   struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};

   sigemptyset(&action.sa_mask);
   pthread_mutex_lock(&sig->lock);
   if (!sig->taken)
      sig->taken = sim_libc()->sigaction(sig->signum, &action, &sig->program) == 0;
   pthread_mutex_unlock(&sig->lock);
}

int
sim_signal_sigaction(struct sim_signal *sig, const struct sigaction *act, struct sigaction *old)
{
   int ret = 0;

   pthread_mutex_lock(&sig->lock);
   const struct sigaction previous = sig->program;
   const bool taken = sig->taken;
   if (!taken)
      ret = sim_libc()->sigaction(sig->signum, act, old);
   else if (act)
      sig->program = *act;
   pthread_mutex_unlock(&sig->lock);

   if (taken && old)
      *old = previous;
   return ret;
}

/* A fault happens again when the instruction is executed again, and is then the program's end; anything
 * else is sent once more. */
static void
die_by_default(int signum, bool happens_again)
{
   struct sigaction action = {.sa_handler = SIG_DFL};

   sim_libc()->sigaction(signum, &action, NULL);
   if (!happens_again)
      raise(signum);
}

void
sim_signal_chain(const struct sim_signal *sig, siginfo_t *info, void *context)
{
   const struct sigaction action = sig->program;
   /* What the CPU has to say cannot be ignored, what somebody sends can. */
   const bool forced = info->si_code > 0;

   if (action.sa_flags & SA_SIGINFO)
      action.sa_sigaction(sig->signum, info, context);
   else if (action.sa_handler == SIG_DFL || (action.sa_handler == SIG_IGN && forced))
      die_by_default(sig->signum, forced && sig->signum == SIGSEGV);
   else if (action.sa_handler != SIG_IGN)
      action.sa_handler(sig->signum);
}

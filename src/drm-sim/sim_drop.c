/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Dropping stores; see the header. Must know nothing of any driver.
 *
 * A page that can be written takes the place of the page of zeros for as long as it takes the CPU
 * to execute one instruction, by its trap flag. String stores, which trap at every element, are not
 * executed at all: their registers are moved on.
 *
 *      fault at the store ........ scratch page in, trap flag on
 *      the store again ........... into the scratch page
 *      trap ...................... scratch page out, trap flag off
 */

#include "sim_drop.h"

#ifdef __x86_64__

#include <pthread.h>
#include <ucontext.h>

#include "util/macros.h"

#include "sim_libc.h"
#include "sim_mmu.h"
#include "sim_pt.h"
#include "sim_segv.h"
#include "sim_vm.h"

#define PAGE_B    4096ull
#define TRAP_FLAG 0x100

/* A scatter stores to as many pages as it has elements, each of which may lie across two. */
#define MAX_PAGES 32

/* The pages that this thread has open for one instruction */
static __thread struct {
   uint64_t pages[MAX_PAGES];
   unsigned count;
   /* SIGTRAP was blocked: many drivers' threads block what they can. */
   bool blocked;
} open_pages;

static struct sigaction program_action;

static bool
is_open(uint64_t page)
{
   for (unsigned i = 0; i < open_pages.count; i++) {
      if (open_pages.pages[i] == page)
         return true;
   }
   return false;
}

/* REP STOS or REP MOVS: the bytes of an element, or 0. */
static unsigned
string_store_width(const uint8_t *code, bool *moves)
{
   bool wide = false;

   if (*code == 0x66)
      return 0;
   if (*code++ != 0xf3)
      return 0;
   if ((*code & 0xf8) == 0x48) {
      wide = true;
      code++;
   }

   *moves = (*code & 0xfe) == 0xa4;
   if (!*moves && (*code & 0xfe) != 0xaa)
      return 0;
   return !(*code & 1) ? 1 : wide ? 8 : 4;
}

/* As if the elements up to the end of the page had been stored. */
static bool
skip_string_store(uint64_t va, greg_t *regs)
{
   bool moves;
   const unsigned width = string_store_width((const uint8_t *)(uintptr_t)regs[REG_RIP], &moves);
   const bool backwards = regs[REG_EFL] & 0x400;
   const uint64_t to = regs[REG_RDI];

   /* An element that lies across two pages is for the trap flag. */
   if (!width || backwards || to / PAGE_B != va / PAGE_B || (to + width - 1) / PAGE_B != to / PAGE_B)
      return false;

   const uint64_t left = (PAGE_B - to % PAGE_B) / width;
   const uint64_t count = MIN2((uint64_t)regs[REG_RCX], left);

   regs[REG_RCX] -= count;
   regs[REG_RDI] += count * width;
   if (moves)
      regs[REG_RSI] += count * width;
   return true;
}

bool
sim_drop_store(uint64_t va, void *context)
{
   greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
   const uint64_t page = va & ~(PAGE_B - 1);

   if (skip_string_store(va, regs))
      return true;

   /* Another thread may have closed the page that this one has open: it opens it again. */
   if (!is_open(page)) {
      if (open_pages.count == MAX_PAGES)
         return false;
      open_pages.pages[open_pages.count++] = page;
   }
   if (sim_mmu_map_scratch(page, PAGE_B))
      return false;

   /* A trap that is blocked ends the program. */
   sigset_t *mask = &((ucontext_t *)context)->uc_sigmask;
   if (sigismember(mask, SIGTRAP)) {
      open_pages.blocked = true;
      sigdelset(mask, SIGTRAP);
   }

   regs[REG_EFL] |= TRAP_FLAG;
   return true;
}

/* What has been bound or unbound there meanwhile stays, also if the whole VM is gone. */
static void
close_page(uint64_t page)
{
   struct sim_pte pte;
   struct sim_vm *vm = sim_segv_lock_vm(page);

   if (!vm)
      return;
   if (sim_pt_lookup(&vm->pt, page, &pte) && !pte.bo)
      sim_mmu_map(page, PAGE_B, NULL, 0, true);
   sim_segv_unlock_vm(vm);
}

static void
close_pages(void)
{
   for (unsigned i = 0; i < open_pages.count; i++)
      close_page(open_pages.pages[i]);
   open_pages.count = 0;
}

static void
chain(int signum, siginfo_t *info, void *context)
{
   const struct sigaction *action = &program_action;

   if (action->sa_flags & SA_SIGINFO)
      action->sa_sigaction(signum, info, context);
   else if (action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN)
      action->sa_handler(signum);
}

static void
handler(int signum, siginfo_t *info, void *context)
{
   if (!open_pages.count) {
      chain(signum, info, context);
      return;
   }

   ucontext_t *uc = context;

   close_pages();
   uc->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
   if (open_pages.blocked)
      sigaddset(&uc->uc_sigmask, SIGTRAP);
   open_pages.blocked = false;
}

static void
install(void)
{
   struct sigaction action = {
      .sa_sigaction = handler,
      .sa_flags = SA_SIGINFO | SA_ONSTACK,
   };

   sigemptyset(&action.sa_mask);
   sim_libc()->sigaction(SIGTRAP, &action, &program_action);
}

void
sim_drop_install(void)
{
   static pthread_once_t once = PTHREAD_ONCE_INIT;

   pthread_once(&once, install);
}

#else

#include "util/macros.h"

void
sim_drop_install(void)
{
}

bool
sim_drop_store(UNUSED uint64_t va, UNUSED void *context)
{
   return false;
}

#endif

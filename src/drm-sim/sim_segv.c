/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * SIGSEGV in mirrored addresses; see the header. Must know nothing of any driver.
 */

#include "sim_segv.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "util/macros.h"

#include "sim_drop.h"
#include "sim_libc.h"
#include "sim_mmu.h"
#include "sim_signal.h"
#include "sim_vm.h"

static struct list_head vms = {&vms, &vms};
static pthread_mutex_t vms_lock = PTHREAD_MUTEX_INITIALIZER;

static struct sim_signal segv = SIM_SIGNAL_INIT(SIGSEGV);

void
sim_segv_add_vm(struct sim_vm *vm)
{
   pthread_mutex_lock(&vms_lock);
   list_addtail(&vm->link, &vms);
   pthread_mutex_unlock(&vms_lock);
}

void
sim_segv_remove_vm(struct sim_vm *vm)
{
   pthread_mutex_lock(&vms_lock);
   list_del(&vm->link);
   pthread_mutex_unlock(&vms_lock);
}

void
sim_segv_for_each_vm(void (*fn)(struct sim_vm *vm, void *priv), void *priv)
{
   struct sim_vm **held = NULL;
   unsigned count = 0;

   /* Without the lock of the list: what fn takes comes before it. */
   pthread_mutex_lock(&vms_lock);
   held = calloc(MAX2(list_length(&vms), 1), sizeof(*held));
   list_for_each_entry (struct sim_vm, vm, &vms, link) {
      if (held && sim_vm_get_unless_zero(vm))
         held[count++] = vm;
   }
   pthread_mutex_unlock(&vms_lock);

   for (unsigned i = 0; i < count; i++) {
      fn(held[i], priv);
      sim_vm_put(held[i]);
   }
   free(held);
}

/* A worker may hold the lock for a moment; a handler must not wait for ever. */
static bool
try_for_a_while(pthread_mutex_t *mutex)
{
   for (unsigned i = 0; i < 1000; i++) {
      if (pthread_mutex_trylock(mutex) == 0)
         return true;
      sched_yield();
   }
   return false;
}

/* For a store that others compete with: as long as a bind of many pages may take. */
static bool
try_for_long(pthread_mutex_t *mutex)
{
   for (unsigned i = 0; i < 100000; i++) {
      if (try_for_a_while(mutex))
         return true;
      nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
   }
   return false;
}

struct sim_vm *
sim_segv_lock_vm(uint64_t va)
{
   struct sim_vm *found = NULL;

   if (!try_for_long(&vms_lock))
      return NULL;

   list_for_each_entry(struct sim_vm, vm, &vms, link) {
      struct sim_pte pte;

      if (!try_for_long(&vm->lock))
         continue;
      if (sim_pt_lookup(&vm->pt, va, &pte)) {
         found = vm;
         break;
      }
      pthread_mutex_unlock(&vm->lock);
   }
   pthread_mutex_unlock(&vms_lock);

   return found;
}

void
sim_segv_unlock_vm(struct sim_vm *vm)
{
   pthread_mutex_unlock(&vm->lock);
}

/* A store that faulted and would not now: memory was bound between the fault and its handler. Not
 * for ever, though: the host's MMU may have been told not to show it.
 */
static bool
try_again(uint64_t va, const struct sim_pte *pte)
{
   static __thread uint64_t last_va;
   static __thread unsigned tries;

   tries = va == last_va ? tries + 1 : 0;
   last_va = va;
   return !(pte->flags & SIM_PTE_READONLY) && tries < 1000;
}

/* A GPU lets a store to a null mapping go nowhere. */
static bool
drop_store(uint64_t va, void *context)
{
   struct sim_pte pte;
   struct sim_vm *vm = sim_segv_lock_vm(va);
   bool done = false;

   if (!vm)
      return false;

   if (sim_pt_lookup(&vm->pt, va, &pte))
      done = pte.bo ? try_again(va, &pte) : sim_drop_store(va, context);
   sim_segv_unlock_vm(vm);
   return done;
}

static const struct sim_vm_event *
last_event_at(const struct sim_vm *vm, uint64_t va)
{
   uint64_t oldest = vm->history_count > SIM_VM_HISTORY ? vm->history_count - SIM_VM_HISTORY : 0;

   for (uint64_t i = vm->history_count; i > oldest; i--) {
      const struct sim_vm_event *event = &vm->history[(i - 1) % SIM_VM_HISTORY];
      if (va >= event->va && va - event->va < event->range)
         return event;
   }
   return NULL;
}

static const struct sim_vm_event *
last_map_at(const struct sim_vm *vm, uint64_t va, uint64_t before)
{
   uint64_t oldest = vm->history_count > SIM_VM_HISTORY ? vm->history_count - SIM_VM_HISTORY : 0;

   for (uint64_t i = before; i > oldest; i--) {
      const struct sim_vm_event *event = &vm->history[(i - 1) % SIM_VM_HISTORY];
      if (event->kind != SIM_OP_UNMAP && va >= event->va && va - event->va < event->range)
         return event;
   }
   return NULL;
}

static void
describe_event(const struct sim_vm_event *event, uint64_t va, char *text, size_t size)
{
   static const char *const names[] = {"MAP", "UNMAP", "null MAP"};
   int length = snprintf(
      text, size, "%s%s of [0x%llx, 0x%llx) (operation %llu of the VM)",
      event->dropped ? "unapplied " : "", names[event->kind], (unsigned long long)event->va,
      (unsigned long long)(event->va + event->range), (unsigned long long)event->seqno);

   if (event->kind == SIM_OP_MAP && length > 0 && (size_t)length < size)
      snprintf(text + length, size - length, ", BO %llu at offset 0x%llx",
               (unsigned long long)event->bo_id,
               (unsigned long long)(event->offset + va - event->va));
}

static void
report_in_vm(const struct sim_vm *vm, uint64_t va, const char *access)
{
   const struct sim_vm_event *last = last_event_at(vm, va);
   char last_text[256] = "none in memory", map_text[256] = "none in memory";

   if (last) {
      const struct sim_vm_event *map = last_map_at(vm, va, last->seqno + 1);

      describe_event(last, va, last_text, sizeof(last_text));
      if (map)
         describe_event(map, va, map_text, sizeof(map_text));
   }
   sim_log(
      "%s of 0x%llx, which %s VM %u does not %s; last operation there: %s; last mapping "
      "there: %s",
      access, (unsigned long long)va, vm->driver_name, vm->id,
      !strcmp(access, "write") && last && last->kind != SIM_OP_UNMAP ? "let be written" : "map",
      last_text, map_text);
}

/* Of several VMs, the one that knows the address; a window belongs to one. */
static void
report(uint64_t va, const char *access)
{
   struct sim_vm *chosen = NULL;

   if (!try_for_a_while(&vms_lock)) {
      sim_log("%s of 0x%llx, which no GPU maps", access, (unsigned long long)va);
      return;
   }

   list_for_each_entry (struct sim_vm, vm, &vms, link) {
      if (last_event_at(vm, va) || !chosen)
         chosen = vm;
   }
   if (chosen && try_for_a_while(&chosen->lock)) {
      report_in_vm(chosen, va, access);
      pthread_mutex_unlock(&chosen->lock);
   } else {
      sim_log("%s of 0x%llx, which no VM has ever mapped", access, (unsigned long long)va);
   }
   pthread_mutex_unlock(&vms_lock);
}

#if defined(__x86_64__)
/* Bit 1 of the page fault's error code */
static bool
is_write(void *context)
{
   const ucontext_t *uc = context;
   return uc->uc_mcontext.gregs[REG_ERR] & 2;
}
#else
static bool
is_write(UNUSED void *context)
{
   return false;
}
#endif

static const char *
access_of(void *context)
{
#if defined(__x86_64__)
   return is_write(context) ? "write" : "read";
#else
   return "access";
#endif
}

static void
handler(UNUSED int signum, siginfo_t *info, void *context)
{
   int saved_errno = errno;
   uint64_t va = (uintptr_t)info->si_addr;

   if (info->si_code > 0 && sim_mmu_is_reserved(va)) {
      if (is_write(context) && drop_store(va, context)) {
         errno = saved_errno;
         return;
      }
      report(va, access_of(context));
   }
   errno = saved_errno;
   sim_signal_chain(&segv, info, context);
}

void
sim_segv_install(void)
{
   /* Not blocked: a handler of the program may well jump out. */
   sim_signal_take(&segv, handler, SA_ONSTACK | SA_NODEFER);
   sim_drop_install();
}

int
sim_segv_sigaction(const struct sigaction *act, struct sigaction *old)
{
   return sim_signal_sigaction(&segv, act, old);
}

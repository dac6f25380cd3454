/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Fences; see the header. Follows drivers/dma-buf/dma-fence-chain.c and dma-fence-unwrap.c in what
 * they do. Must know nothing of syncobjs, files or drivers.
 */

#include "sim_fence.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "util/macros.h"
#include "util/u_atomic.h"

#include "sim_caller.h"
#include "sim_libc.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list_head watches = {&watches, &watches};

/* Goes up with every change. Waiters sleep on it as a futex and not on a condition variable,
 * because a signal that the program catches has to end an ioctl's wait.
 */
static uint32_t change_count;
static uint32_t waiter_count;

void
sim_sync_lock(void)
{
   pthread_mutex_lock(&lock);
}

void
sim_sync_unlock(void)
{
   pthread_mutex_unlock(&lock);
}

void
sim_sync_changed_locked(void)
{
   __atomic_add_fetch(&change_count, 1, __ATOMIC_SEQ_CST);
   if (waiter_count)
      syscall(SYS_futex, &change_count, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* A wait with a timeout does not restart by itself, whatever the handler's SA_RESTART says, and
 * which handler ran cannot be told: the wait goes on if all that there are ask for it. Our own
 * handlers are for faults, which do not interrupt anything.
 */
static bool
handlers_all_restart(void)
{
   for (int signum = 1; signum < NSIG; signum++) {
      struct sigaction action;

      if (signum == SIGSEGV || signum == SIGTRAP ||
          sim_libc()->sigaction(signum, NULL, &action) < 0)
         continue;
      if (!(action.sa_flags & SA_SIGINFO) &&
          (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN))
         continue;
      if (!(action.sa_flags & SA_RESTART))
         return false;
   }
   return true;
}

static int
futex_wait(uint32_t seen, uint64_t deadline_ns)
{
   struct timespec deadline = {
      .tv_sec = deadline_ns / 1000000000,
      .tv_nsec = deadline_ns % 1000000000,
   };
   const bool is_bounded = deadline_ns != UINT64_MAX;

   if (syscall(SYS_futex, &change_count, FUTEX_WAIT_BITSET_PRIVATE, seen,
               is_bounded ? &deadline : NULL, NULL, FUTEX_BITSET_MATCH_ANY) == 0)
      return 0;
   switch (errno) {
   case ETIMEDOUT:
      return -ETIME;
   case EINTR:
      return is_bounded && handlers_all_restart() ? 0 : -EINTR;
   default:
      return 0;
   }
}

/* Another process's signals end its own wait, of which this thread has to hear. */
static int
wait_for_other(uint32_t seen, uint64_t deadline_ns)
{
   const uint64_t soon_ns = sim_now_ns() + 20000000;
   int ret = futex_wait(seen, MIN2(deadline_ns, soon_ns));

   if (sim_caller_is_gone())
      return -EINTR;
   return ret == -ETIME && soon_ns < deadline_ns ? 0 : ret;
}

int
sim_sync_wait_locked(uint64_t deadline_ns)
{
   const uint32_t seen = __atomic_load_n(&change_count, __ATOMIC_SEQ_CST);

   waiter_count++;
   pthread_mutex_unlock(&lock);
   int ret = sim_caller_pid() == getpid() ? futex_wait(seen, deadline_ns)
                                          : wait_for_other(seen, deadline_ns);
   pthread_mutex_lock(&lock);
   waiter_count--;
   return ret;
}

void
sim_sync_wait_for_change(uint64_t timeout_ns)
{
   sim_sync_lock();
   sim_sync_wait_locked(sim_now_ns() + timeout_ns);
   sim_sync_unlock();
}

uint64_t
sim_fence_new_context(void)
{
   static uint64_t last_context;

   return p_atomic_inc_return(&last_context);
}

static struct sim_fence *
fence_alloc(enum sim_fence_kind kind)
{
   struct sim_fence *fence = calloc(1, sizeof(*fence));

   if (!fence)
      sim_panic("out of memory for a fence");
   fence->refcount = 1;
   fence->kind = kind;
   fence->wanted_ns = UINT64_MAX;
   fence->driver_name = kind == SIM_FENCE_CHAIN   ? "dma_fence_chain"
                        : kind == SIM_FENCE_ARRAY ? "dma_fence_array"
                                                  : "drm_sched";
   fence->timeline_name = "unbound";
   return fence;
}

struct sim_fence *
sim_fence_create(uint64_t context, uint64_t seqno, const char *timeline_name)
{
   struct sim_fence *fence = fence_alloc(SIM_FENCE_SINGLE);

   fence->context = context;
   fence->seqno = seqno;
   fence->timeline_name = timeline_name;
   return fence;
}

struct sim_fence *
sim_fence_create_signaled(void)
{
   struct sim_fence *fence = sim_fence_create(sim_fence_new_context(), 0, "stub");

   fence->driver_name = "stub";
   fence->signaled = true;
   fence->timestamp_ns = sim_now_ns();
   return fence;
}

void
sim_fence_set_deadline_locked(struct sim_fence *fence, uint64_t deadline_ns)
{
   uint32_t count = sim_fence_unwrap_locked(fence, NULL, 0);
   struct sim_fence **fences = calloc(count, sizeof(*fences));

   if (!fences)
      return;
   count = sim_fence_unwrap_locked(fence, fences, count);
   for (uint32_t i = 0; i < count; i++) {
      if (!sim_fence_is_signaled_locked(fences[i]))
         fences[i]->wanted_ns = MIN2(fences[i]->wanted_ns, deadline_ns);
   }
   free(fences);
}

struct sim_fence *
sim_fence_get(struct sim_fence *fence)
{
   if (fence)
      p_atomic_inc(&fence->refcount);
   return fence;
}

void
sim_fence_put(struct sim_fence *fence)
{
   /* A loop, because a chain may be as long as the program's life. */
   while (fence && p_atomic_dec_zero(&fence->refcount)) {
      struct sim_fence *next = NULL;

      switch (fence->kind) {
      case SIM_FENCE_SINGLE:
         break;
      case SIM_FENCE_CHAIN:
         sim_fence_put(fence->chain.contained);
         next = fence->chain.prev;
         break;
      case SIM_FENCE_ARRAY:
         for (uint32_t i = 0; i < fence->array.count; i++)
            sim_fence_put(fence->array.fences[i]);
         free(fence->array.fences);
         break;
      }
      free(fence);
      fence = next;
   }
}

struct sim_fence *
sim_fence_chain_locked(struct sim_fence *prev, struct sim_fence *fence, uint64_t seqno)
{
   struct sim_fence *node = fence_alloc(SIM_FENCE_CHAIN);

   node->chain.prev = prev;
   node->chain.contained = sim_fence_get(fence);

   if (prev && prev->kind == SIM_FENCE_CHAIN && seqno > prev->seqno) {
      node->context = prev->context;
      node->chain.prev_seqno = prev->seqno;
   } else {
      /* Out of order: a timeline of its own, whose number does not go back. */
      node->context = sim_fence_new_context();
      if (prev && prev->kind == SIM_FENCE_CHAIN)
         seqno = MAX2(seqno, prev->seqno);
   }
   node->seqno = seqno;
   return node;
}

static void
run_watches_locked(void)
{
   list_for_each_entry_safe (struct sim_fence_watch, watch, &watches, link) {
      if (sim_fence_is_signaled_locked(watch->fence)) {
         list_delinit(&watch->link);
         watch->signaled(watch);
      }
   }
}

void
sim_fence_signal_locked(struct sim_fence *fence, int error)
{
   if (fence->signaled)
      return;

   fence->error = error;
   fence->timestamp_ns = sim_now_ns();
   fence->signaled = true;
   run_watches_locked();
   sim_sync_changed_locked();
}

void
sim_fence_signal(struct sim_fence *fence, int error)
{
   sim_sync_lock();
   sim_fence_signal_locked(fence, error);
   sim_sync_unlock();
}

struct sim_fence *
sim_fence_chain_walk_locked(struct sim_fence *fence)
{
   struct sim_fence *prev;

   if (fence->kind != SIM_FENCE_CHAIN)
      return NULL;

   while ((prev = fence->chain.prev)) {
      struct sim_fence *replacement = NULL;

      if (prev->kind == SIM_FENCE_CHAIN) {
         if (!sim_fence_is_signaled_locked(prev->chain.contained))
            break;
         replacement = sim_fence_get(prev->chain.prev);
      } else if (!sim_fence_is_signaled_locked(prev)) {
         break;
      }

      fence->chain.prev = replacement;
      sim_fence_put(prev);
   }
   return prev;
}

static bool
chain_is_signaled_locked(struct sim_fence *head)
{
   for (struct sim_fence *node = head; node; node = sim_fence_chain_walk_locked(node)) {
      struct sim_fence *contained = node->kind == SIM_FENCE_CHAIN ? node->chain.contained : node;

      if (!sim_fence_is_signaled_locked(contained))
         return false;
   }
   return true;
}

static bool
array_is_signaled_locked(struct sim_fence *fence)
{
   for (uint32_t i = 0; i < fence->array.count; i++) {
      if (!sim_fence_is_signaled_locked(fence->array.fences[i]))
         return false;
   }
   return true;
}

bool
sim_fence_is_signaled_locked(struct sim_fence *fence)
{
   if (fence->signaled)
      return true;

   switch (fence->kind) {
   case SIM_FENCE_SINGLE:
      return false;
   case SIM_FENCE_CHAIN:
      if (!chain_is_signaled_locked(fence))
         return false;
      break;
   case SIM_FENCE_ARRAY:
      if (!array_is_signaled_locked(fence))
         return false;
      for (uint32_t i = 0; i < fence->array.count && !fence->error; i++)
         fence->error = fence->array.fences[i]->error;
      break;
   }

   fence->signaled = true;
   fence->timestamp_ns = sim_now_ns();
   return true;
}

bool
sim_fence_is_signaled(struct sim_fence *fence)
{
   sim_sync_lock();
   bool signaled = sim_fence_is_signaled_locked(fence);
   sim_sync_unlock();
   return signaled;
}

int
sim_fence_status_locked(struct sim_fence *fence)
{
   if (!sim_fence_is_signaled_locked(fence))
      return 0;
   return fence->error ? fence->error : 1;
}

int
sim_fence_find_point_locked(struct sim_fence *fence, uint64_t seqno, struct sim_fence **point)
{
   *point = fence;
   if (seqno == 0)
      return 0;

   if (fence->kind != SIM_FENCE_CHAIN || fence->seqno < seqno)
      return -EINVAL;

   struct sim_fence *node = fence;
   while (node) {
      if (node->context != fence->context || node->chain.prev_seqno < seqno)
         break;
      node = sim_fence_chain_walk_locked(node);
   }
   *point = node;
   return 0;
}

uint32_t
sim_fence_unwrap_locked(struct sim_fence *fence, struct sim_fence **out, uint32_t max)
{
   uint32_t count = 0;

   for (struct sim_fence *node = fence; node; node = sim_fence_chain_walk_locked(node)) {
      struct sim_fence *inner = node->kind == SIM_FENCE_CHAIN ? node->chain.contained : node;
      uint32_t inner_count = inner->kind == SIM_FENCE_ARRAY ? inner->array.count : 1;

      for (uint32_t i = 0; i < inner_count; i++, count++) {
         if (count < max)
            out[count] = inner->kind == SIM_FENCE_ARRAY ? inner->array.fences[i] : inner;
      }
   }
   return count;
}

static int
compare_by_context(const void *a, const void *b)
{
   const struct sim_fence *fence_a = *(struct sim_fence *const *)a;
   const struct sim_fence *fence_b = *(struct sim_fence *const *)b;

   if (fence_a->context != fence_b->context)
      return fence_a->context < fence_b->context ? -1 : 1;
   return fence_a->seqno > fence_b->seqno ? -1 : fence_a->seqno < fence_b->seqno;
}

/* Drops the signalled ones, and all but the last of each context. */
static uint32_t
keep_last_unsignaled_locked(struct sim_fence **fences, uint32_t count)
{
   uint32_t kept = 0;

   for (uint32_t i = 0; i < count; i++) {
      if (!sim_fence_is_signaled_locked(fences[i]))
         fences[kept++] = fences[i];
   }

   qsort(fences, kept, sizeof(*fences), compare_by_context);

   uint32_t unique = 0;
   for (uint32_t i = 0; i < kept; i++) {
      if (unique == 0 || fences[unique - 1]->context != fences[i]->context)
         fences[unique++] = fences[i];
   }
   return unique;
}

struct sim_fence *
sim_fence_merge_locked(struct sim_fence *a, struct sim_fence *b)
{
   uint32_t a_count = a ? sim_fence_unwrap_locked(a, NULL, 0) : 0;
   uint32_t b_count = b ? sim_fence_unwrap_locked(b, NULL, 0) : 0;
   struct sim_fence **fences = calloc(a_count + b_count + 1, sizeof(*fences));

   if (!fences)
      return NULL;
   if (a)
      sim_fence_unwrap_locked(a, fences, a_count);
   if (b)
      sim_fence_unwrap_locked(b, fences + a_count, b_count);

   uint32_t count = keep_last_unsignaled_locked(fences, a_count + b_count);
   struct sim_fence *merged;

   if (count <= 1) {
      merged = count ? sim_fence_get(fences[0]) : sim_fence_create_signaled();
      free(fences);
      return merged;
   }

   for (uint32_t i = 0; i < count; i++)
      sim_fence_get(fences[i]);
   merged = fence_alloc(SIM_FENCE_ARRAY);
   merged->context = sim_fence_new_context();
   merged->seqno = 1;
   merged->array.fences = fences;
   merged->array.count = count;
   return merged;
}

void
sim_fence_watch_locked(struct sim_fence_watch *watch)
{
   if (sim_fence_is_signaled_locked(watch->fence)) {
      list_inithead(&watch->link);
      watch->signaled(watch);
   } else {
      list_addtail(&watch->link, &watches);
   }
}

void
sim_fence_unwatch_locked(struct sim_fence_watch *watch)
{
   list_delinit(&watch->link);
}

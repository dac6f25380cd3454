/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See vt_workers.h.
 */

#include "vt_workers.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "vt_util.h"

#define MAX_THREADS 16

struct vt_workers {
   pthread_mutex_t lock;
   pthread_cond_t work;
   pthread_cond_t done;
   pthread_t threads[MAX_THREADS];
   uint32_t thread_count;
   bool quit;

   /* The current run; fn is NULL between runs. */
   vt_job_fn fn;
   void *data;
   uint32_t count;
   uint32_t next;
   uint32_t finished;
};

/* Takes indices until none is left.  Called, and returns, with the lock held. */
static void
take_jobs(struct vt_workers *workers)
{
   while (workers->fn && workers->next < workers->count) {
      uint32_t index = workers->next++;
      vt_job_fn fn = workers->fn;
      void *data = workers->data;

      pthread_mutex_unlock(&workers->lock);
      fn(data, index);
      pthread_mutex_lock(&workers->lock);

      if (++workers->finished == workers->count)
         pthread_cond_signal(&workers->done);
   }
}

static void *
worker_main(void *arg)
{
   struct vt_workers *workers = arg;

   pthread_mutex_lock(&workers->lock);
   while (!workers->quit) {
      take_jobs(workers);
      if (!workers->quit)
         pthread_cond_wait(&workers->work, &workers->lock);
   }
   pthread_mutex_unlock(&workers->lock);
   return NULL;
}

struct vt_workers *
vt_workers_create(void)
{
   struct vt_workers *workers = vt_alloc(1, sizeof(*workers));
   long cpus = sysconf(_SC_NPROCESSORS_ONLN);
   uint32_t wanted = cpus > 1 ? VT_MIN((uint32_t)cpus - 1, MAX_THREADS) : 0;

   pthread_mutex_init(&workers->lock, NULL);
   pthread_cond_init(&workers->work, NULL);
   pthread_cond_init(&workers->done, NULL);

   /* The caller works too, so that fewer threads than wanted, or none, are
    * only slower.
    */
   while (workers->thread_count < wanted &&
          pthread_create(&workers->threads[workers->thread_count], NULL, worker_main, workers) == 0)
      workers->thread_count++;
   return workers;
}

void
vt_workers_destroy(struct vt_workers *workers)
{
   pthread_mutex_lock(&workers->lock);
   workers->quit = true;
   pthread_cond_broadcast(&workers->work);
   pthread_mutex_unlock(&workers->lock);

   for (uint32_t i = 0; i < workers->thread_count; i++)
      pthread_join(workers->threads[i], NULL);

   pthread_cond_destroy(&workers->done);
   pthread_cond_destroy(&workers->work);
   pthread_mutex_destroy(&workers->lock);
   free(workers);
}

void
vt_workers_run(struct vt_workers *workers, vt_job_fn fn, void *data, uint32_t count)
{
   if (count == 0)
      return;

   pthread_mutex_lock(&workers->lock);
   workers->fn = fn;
   workers->data = data;
   workers->count = count;
   workers->next = 0;
   workers->finished = 0;
   pthread_cond_broadcast(&workers->work);

   take_jobs(workers);
   while (workers->finished < count)
      pthread_cond_wait(&workers->done, &workers->lock);
   workers->fn = NULL;
   pthread_mutex_unlock(&workers->lock);
}

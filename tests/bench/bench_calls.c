/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Preloaded in front of the simulator: measures what happens behind the kernel's interface, so that
 * a benchmark can tell the driver's own time from it.  For vmbind that is the simulator, its threads
 * included; for stock lavapipe it is mmap.
 *
 * Knows the numbers of the bind ioctls, and nothing of drivers.
 */

#define _GNU_SOURCE

#include "bench_calls.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#include "drm-uapi/amdgpu_drm.h"
#include "drm-uapi/drm.h"
#include "drm-uapi/msm_drm.h"
#include "drm-uapi/nouveau_drm.h"
#include "drm-uapi/panthor_drm.h"
#include "drm-uapi/xe_drm.h"

static struct bench_calls calls;
/* In calls, and for measuring them */
static int64_t calls_ns, measuring_ns;
/* What a measurement costs, and how much of that it takes for what it measures. */
static int64_t cost_ns, inside_ns;

static __thread unsigned depth;
static __thread int64_t entered_ns;

/* The kernel's threads are those that it makes. */
struct thread {
   clockid_t clock;
   bool is_kernel;
   /* Of one that has ended; its clock is no more. */
   bool ended;
   int64_t ended_ns;
};

#define MAX_THREADS 64
static struct thread threads[MAX_THREADS];
static unsigned thread_count;
static pthread_mutex_t threads_lock = PTHREAD_MUTEX_INITIALIZER;

static int64_t
cpu_ns(clockid_t clock)
{
   struct timespec t;

   if (clock_gettime(clock, &t))
      return 0;
   return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* The simulator's own calls are inside of one. */
static void
enter(void)
{
   if (depth++ == 0)
      entered_ns = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
}

static void
leave(void)
{
   if (--depth > 0)
      return;
   __atomic_fetch_add(&calls_ns, cpu_ns(CLOCK_THREAD_CPUTIME_ID) - entered_ns - inside_ns,
                      __ATOMIC_RELAXED);
   __atomic_fetch_add(&measuring_ns, cost_ns, __ATOMIC_RELAXED);
}

static void
count(uint64_t *counter, uint64_t by)
{
   __atomic_fetch_add(counter, by, __ATOMIC_RELAXED);
}

/* The calling thread; NULL if there are too many */
static struct thread *
add_thread(bool is_kernel)
{
   struct thread *thread = NULL;

   pthread_mutex_lock(&threads_lock);
   if (thread_count < MAX_THREADS) {
      thread = &threads[thread_count];
      thread->is_kernel = is_kernel;
      if (!pthread_getcpuclockid(pthread_self(), &thread->clock))
         thread_count++;
   }
   pthread_mutex_unlock(&threads_lock);
   if (!thread)
      abort();
   return thread;
}

__attribute__((constructor)) static void
calibrate(void)
{
   const int64_t start_ns = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
   for (unsigned i = 0; i < 10000; i++) {
      enter();
      leave();
   }
   cost_ns = (cpu_ns(CLOCK_THREAD_CPUTIME_ID) - start_ns) / 10000;
   inside_ns = calls_ns / 10000;
   calls_ns = measuring_ns = 0;
   add_thread(false);
}

/* Each thread by its own clock: what the simulator's do at this moment must not be taken for the program's. */
void
bench_calls_get(struct bench_calls *out)
{
   *out = calls;
   pthread_mutex_lock(&threads_lock);
   for (unsigned i = 0; i < thread_count; i++) {
      const struct thread *thread = &threads[i];
      const int64_t ns = thread->ended ? thread->ended_ns : cpu_ns(thread->clock);

      *(thread->is_kernel ? &out->kernel_ns : &out->own_ns) += ns;
   }
   pthread_mutex_unlock(&threads_lock);
   out->own_ns -= calls_ns + measuring_ns;
   out->kernel_ns += calls_ns;
}

/* ------------------------------------------------------------------- ioctls */

static uint32_t
panthor_ops(const void *arg)
{
   return ((const struct drm_panthor_vm_bind *)arg)->ops.count;
}

static uint32_t
msm_ops(const void *arg)
{
   return ((const struct drm_msm_vm_bind *)arg)->nr_ops;
}

static uint32_t
xe_ops(const void *arg)
{
   return ((const struct drm_xe_vm_bind *)arg)->num_binds;
}

static uint32_t
nouveau_ops(const void *arg)
{
   return ((const struct drm_nouveau_vm_bind *)arg)->op_count;
}

static uint32_t
amdgpu_ops(const void *arg)
{
   (void)arg;
   return 1;
}

/* By number alone: of the rest of a request, programs have versions. */
static const struct bind_ioctl {
   const char *kmd;
   unsigned nr;
   uint32_t (*ops)(const void *arg);
} bind_ioctls[] = {
   {"panthor", _IOC_NR(DRM_IOCTL_PANTHOR_VM_BIND), panthor_ops},
   {"msm", _IOC_NR(DRM_IOCTL_MSM_VM_BIND), msm_ops},
   {"xe", _IOC_NR(DRM_IOCTL_XE_VM_BIND), xe_ops},
   {"nouveau", _IOC_NR(DRM_IOCTL_NOUVEAU_VM_BIND), nouveau_ops},
   {"amdgpu", _IOC_NR(DRM_IOCTL_AMDGPU_GEM_VA), amdgpu_ops},
};
/* The simulated kernel driver's, if there is one */
static const struct bind_ioctl *bind_ioctl;

__attribute__((constructor)) static void
choose_bind_ioctl(void)
{
   const char *kmd = getenv("DRM_SIM_KMD");

   for (unsigned i = 0; kmd && i < sizeof(bind_ioctls) / sizeof(bind_ioctls[0]); i++) {
      if (!strncmp(kmd, bind_ioctls[i].kmd, strlen(bind_ioctls[i].kmd)))
         bind_ioctl = &bind_ioctls[i];
   }
}

static void
count_ioctl(unsigned long request, const void *arg)
{
   if (_IOC_TYPE(request) != DRM_IOCTL_BASE || depth)
      return;
   if (bind_ioctl && _IOC_NR(request) == bind_ioctl->nr) {
      count(&calls.bind_ioctls, 1);
      count(&calls.operations, bind_ioctl->ops(arg));
   } else if ((uint32_t)request != DRM_IOCTL_SYNCOBJ_WAIT &&
              (uint32_t)request != DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT) {
      count(&calls.other_ioctls, 1);
   }
}

int
ioctl(int fd, unsigned long request, ...)
{
   static int (*next)(int, unsigned long, ...);
   va_list args;

   if (!next)
      next = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
   va_start(args, request);
   void *arg = va_arg(args, void *);
   va_end(args);

   count_ioctl(request, arg);
   enter();
   const int ret = next(fd, request, arg);
   leave();
   return ret;
}

/* --------------------------------------------------------------------- maps */

#define MMAP(name)                                                                                 \
   void *name(void *addr, size_t size, int prot, int flags, int fd, off_t offset)                  \
   {                                                                                               \
      static void *(*next)(void *, size_t, int, int, int, off_t);                                  \
                                                                                                   \
      if (!next)                                                                                   \
         next = (void *(*)(void *, size_t, int, int, int, off_t))dlsym(RTLD_NEXT, #name);          \
      if (!depth)                                                                                  \
         count(&calls.mmaps, 1);                                                                   \
      enter();                                                                                     \
      void *ret = next(addr, size, prot, flags, fd, offset);                                       \
      leave();                                                                                     \
      return ret;                                                                                  \
   }

/* With 64-bit offsets mmap is called mmap64. */
MMAP(mmap)

int
munmap(void *addr, size_t size)
{
   static int (*next)(void *, size_t);

   if (!next)
      next = (int (*)(void *, size_t))dlsym(RTLD_NEXT, "munmap");
   if (!depth)
      count(&calls.mmaps, 1);
   enter();
   const int ret = next(addr, size);
   leave();
   return ret;
}

/* ------------------------------------------------------------------ threads */

struct start {
   void *(*start)(void *);
   void *arg;
   bool is_kernel;
};

static void
end_thread(void *data)
{
   struct thread *thread = data;

   pthread_mutex_lock(&threads_lock);
   thread->ended_ns = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
   thread->ended = true;
   pthread_mutex_unlock(&threads_lock);
}

static void *
run_thread(void *data)
{
   const struct start start = *(struct start *)data;
   void *ret;

   free(data);
   /* What it calls is all the kernel's, and is measured as a whole. */
   depth = start.is_kernel;
   pthread_cleanup_push(end_thread, add_thread(start.is_kernel));
   ret = start.start(start.arg);
   pthread_cleanup_pop(true);
   return ret;
}

int
pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
   static int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

   if (!next)
      next = (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))dlsym(
         RTLD_NEXT, "pthread_create");

   struct start *both = malloc(sizeof(*both));
   if (!both)
      return EAGAIN;
   *both = (struct start){.start = start, .arg = arg, .is_kernel = depth > 0};
   const int ret = next(thread, attr, run_thread, both);
   if (ret)
      free(both);
   return ret;
}

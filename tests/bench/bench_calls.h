/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What a program under bench_calls.c has asked of the kernel so far.
 */

#ifndef BENCH_CALLS_H
#define BENCH_CALLS_H

#include <stdint.h>

struct bench_calls {
   /** CPU time of the program's threads outside of calls into the kernel. */
   int64_t own_ns;
   /** That of these calls and, where the kernel is simulated, of its threads. */
   int64_t kernel_ns;

   /** Of DRM: VM_BINDs, their operations, and everything else; but for those in which the
    * application itself waits. */
   uint64_t bind_ioctls;
   uint64_t operations;
   uint64_t other_ioctls;

   /** mmap and munmap, with which stock lavapipe binds. */
   uint64_t mmaps;
};

typedef void (*PFN_bench_calls_get)(struct bench_calls *calls);

#endif /* BENCH_CALLS_H */

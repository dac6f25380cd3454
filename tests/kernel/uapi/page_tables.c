/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Random binds from two threads, synchronous and not, each thread in a window of its own; after every
 * round the GPU's page tables are compared with a model, page by page.  Every page of every BO
 * starts with a word of its own, so the comparison sees which page is really there.
 */

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inspect.h"
#include "panthor.h"
#include "tests/util/prop.h"

#define THREADS      2
#define ROUNDS       10
#define BATCHES      60 /* of a thread in a round */
#define BATCH_MAX    16
#define BOS          6
#define BO_PAGES     256
#define WINDOW_PAGES 1024
#define RUN_MAX      96

#define WINDOW_B(thread) (0x100000000ull + (thread) * 0x10000000ull)
#define STREAM_B         0x10000000ull

/* What is at a page of a window: a page's word, or 0 */
struct window {
   uint64_t words[WINDOW_PAGES];
};

struct fixture {
   int fd;
   uint32_t vm;
   uint32_t bos[BOS];
   uint64_t words[BOS][BO_PAGES];
   struct window model[THREADS];
   unsigned long ops;
};

struct worker {
   struct fixture *f;
   unsigned thread;
   struct rng rng;
   unsigned long ops;
   int error;
};

static void
create_bo(struct fixture *f, unsigned bo)
{
   /* Every other one is private to the VM. */
   f->bos[bo] = pan_bo_create(f->fd, BO_PAGES * PAGE_B, bo & 1 ? f->vm : 0);
   volatile uint64_t *map = pan_bo_map(f->fd, f->bos[bo], BO_PAGES * PAGE_B);
   for (unsigned page = 0; page < BO_PAGES; page++) {
      f->words[bo][page] = 0xb0ull << 56 | (uint64_t)(bo + 1) << 32 | (page + 1);
      map[page * PAGE_B / sizeof(*map)] = f->words[bo][page];
   }
}

static int
setup(void **state)
{
   struct fixture *f = calloc(1, sizeof(*f));

   f->fd = pan_open();
   f->vm = pan_vm_create(f->fd);
   for (unsigned bo = 0; bo < BOS; bo++)
      create_bo(f, bo);
   pan_make_resident(f->fd, f->vm, STREAM_B);
   *state = f;
   return 0;
}

static int
teardown(void **state)
{
   struct fixture *f = *state;

   close(f->fd);
   free(f);
   return 0;
}

static struct drm_panthor_vm_bind_op
random_op(struct worker *w)
{
   struct fixture *f = w->f;
   const unsigned pages = 1 + rng_below(&w->rng, RUN_MAX);
   const unsigned page = rng_below(&w->rng, WINDOW_PAGES - pages);
   const unsigned bo = rng_below(&w->rng, BOS);
   const unsigned bo_page = rng_below(&w->rng, BO_PAGES - pages);
   const uint64_t addr_B = WINDOW_B(w->thread) + page * PAGE_B;
   uint64_t *words = &f->model[w->thread].words[page];

   if (rng_one_in(&w->rng, 3)) {
      memset(words, 0, pages * sizeof(*words));
      return pan_unmap(addr_B, pages * PAGE_B);
   }
   memcpy(words, &f->words[bo][bo_page], pages * sizeof(*words));
   return pan_map(f->bos[bo], bo_page * PAGE_B, addr_B, pages * PAGE_B);
}

static int
random_batch(struct worker *w, uint32_t done)
{
   struct drm_panthor_vm_bind_op ops[BATCH_MAX];
   struct drm_panthor_sync_op signal = pan_signal(done);
   const unsigned count = 1 + rng_below(&w->rng, BATCH_MAX);
   const bool async = rng_one_in(&w->rng, 2);
   int ret;

   for (unsigned i = 0; i < count; i++)
      ops[i] = random_op(w);
   if (async)
      ops[count - 1] = pan_with_syncs(ops[count - 1], &signal, 1);
   ret = pan_bind(w->f->fd, w->f->vm, async ? DRM_PANTHOR_VM_BIND_ASYNC : 0, ops, count, NULL);
   /* A synchronous bind would overtake it. */
   if (!ret && async)
      ret = pan_syncobj_wait(w->f->fd, done, 20 * SECOND);
   w->ops += count;
   return ret;
}

/* cmocka's assertions are for the main thread. */
static void *
work(void *data)
{
   struct worker *w = data;
   struct drm_syncobj_create create = { 0 };

   w->error = pan_ioctl(w->f->fd, DRM_IOCTL_SYNCOBJ_CREATE, &create);
   for (unsigned i = 0; i < BATCHES && !w->error; i++)
      w->error = random_batch(w, create.handle);
   return NULL;
}

static void
run_round(struct fixture *f, unsigned round)
{
   struct worker workers[THREADS];
   pthread_t threads[THREADS];

   for (unsigned i = 0; i < THREADS; i++) {
      workers[i] = (struct worker){
         .f = f,
         .thread = i,
         .rng = { .state = 12345 + 977 * round + i },
      };
      assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
   }
   for (unsigned i = 0; i < THREADS; i++) {
      pthread_join(threads[i], NULL);
      assert_int_equal(workers[i].error, 0);
      f->ops += workers[i].ops;
   }
}

static void
note_page(void *data, const struct inspect_page *page)
{
   struct window *found = data;

   for (unsigned i = 0; i < THREADS; i++)
      if (page->addr_B >= WINDOW_B(i) && page->addr_B < WINDOW_B(i) + WINDOW_PAGES * PAGE_B)
         found[i].words[(page->addr_B - WINDOW_B(i)) / PAGE_B] = page->word;
}

static void
compare(const struct fixture *f, unsigned round)
{
   static struct window found[THREADS];
   unsigned differences = 0, mapped = 0;

   memset(found, 0, sizeof(found));
   inspect_pages(WINDOW_B(0), WINDOW_B(THREADS), note_page, found);
   for (unsigned i = 0; i < THREADS; i++) {
      for (unsigned page = 0; page < WINDOW_PAGES; page++) {
         const uint64_t want = f->model[i].words[page], is = found[i].words[page];

         mapped += want != 0;
         if (want != is && differences++ < 4)
            print_error("round %u thread %u page %u: %#llx, not %#llx\n", round, i, page,
                        (unsigned long long)is, (unsigned long long)want);
      }
   }
   assert_int_equal(differences, 0);
   assert_true(mapped > 0);
}

static void
ten_thousand_random_operations(void **state)
{
   struct fixture *f = *state;

   for (unsigned round = 0; round < ROUNDS; round++) {
      run_round(f, round);
      compare(f, round);
   }
   assert_true(f->ops >= 10000);
}

/* Where blocks are possible the kernel may use one entry for 2 MiB; a hole then splits it. */
struct big_count {
   unsigned pages;
   bool hole_is_mapped;
};

#define BIG_B      (1ull << 40)
#define BIG_SIZE_B (2ull << 20)
#define HOLE_B     (BIG_B + 5 * PAGE_B)
#define BIG_WORD   (0xb1ull << 56)

static void
count_big(void *data, const struct inspect_page *page)
{
   struct big_count *count = data;

   if (page->addr_B < BIG_B || page->addr_B >= BIG_B + BIG_SIZE_B)
      return;
   count->pages += page->word == (BIG_WORD | (page->addr_B - BIG_B) / PAGE_B);
   count->hole_is_mapped |= page->addr_B == HOLE_B;
}

static struct big_count
count_big_pages(void)
{
   struct big_count count = { 0 };

   inspect_pages(BIG_B, BIG_B + BIG_SIZE_B, count_big, &count);
   return count;
}

static void
a_hole_in_two_mebibytes_is_one_page(void **state)
{
   struct fixture *f = *state;
   const uint32_t bo = pan_bo_create(f->fd, BIG_SIZE_B, f->vm);
   volatile uint64_t *map = pan_bo_map(f->fd, bo, BIG_SIZE_B);
   struct big_count count;

   for (unsigned page = 0; page < BIG_SIZE_B / PAGE_B; page++)
      map[page * PAGE_B / sizeof(*map)] = BIG_WORD | page;
   assert_int_equal(pan_bind_sync(f->fd, f->vm, pan_map(bo, 0, BIG_B, BIG_SIZE_B)), 0);
   count = count_big_pages();
   assert_int_equal(count.pages, BIG_SIZE_B / PAGE_B);

   assert_int_equal(pan_bind_sync(f->fd, f->vm, pan_unmap(HOLE_B, PAGE_B)), 0);
   count = count_big_pages();
   assert_int_equal(count.pages, BIG_SIZE_B / PAGE_B - 1);
   assert_false(count.hole_is_mapped);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
   const struct CMUnitTest tests[] = {
      TEST(ten_thousand_random_operations),
      TEST(a_hole_in_two_mebibytes_is_one_page),
   };

   return cmocka_run_group_tests_name("page-tables", tests, NULL, NULL);
}

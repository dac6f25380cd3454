/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Random batches through the core, by one thread and by several, with operations that fail half-way;
 * after each sequence these must be the same:
 *
 *    what the program asked for     page by page, where one thread alone has the addresses
 *    the mirror                     submitted and completed state, node by node
 *    the kernel's tree              node by node
 *    the GPU's page tables          page by page
 *
 * and also in the middle, while batches wait behind a fence (there the submitted state is what was asked
 * for, and the completed one what the kernel has).  A failing sequence is shrunk.
 *
 * Must not know which kernel it runs on: that is target.h's.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <xf86drm.h>

#include "c11/threads.h"
#include "tests/util/prop.h"
#include "vmbind/vmb_vm.h"

#include "target.h"

#define KERNEL_PAGE_B 4096ull /* of target_get_pages() */
#define RANGE_PAGES 1000 /* no block starts or ends with the range */
#define BO_PAGES    600
#define BOS         3
#define MAX_THREADS 3
#define QUEUES      2 /* of a thread */
#define MAX_BINDS   12
#define FEW_BINDS   4 /* that the core binds beside what is pending, also if they overlap each other */

/* --------------------------------------------------------------- operations */

/* Of a thread's ranges; the last one is everybody's. */
enum which { HOLES, NULLS, SHARED, RANGES };

struct request {
   uint8_t range;
   uint8_t bo; /* BOS: unbind */
   uint16_t page, pages, bo_page;
};

struct op {
   enum kind {
      SUBMIT,
      /* Waits for what has signaled already: what waits for nothing may be bound at once. */
      WAITING,
      /* Submits behind a fence, and looks at what is pending, perhaps after something that does not wait for it. */
      HELD,
      SYNC,
      /* Synchronous, and the n-th operation fails, if there are so many. */
      FAILING,
      NEW_RANGE,
      DEFRAGMENT,
      RETIRE,
   } kind;
   /* Of what is held. */
   enum beside {
      /* Synchronous binds of a range that nothing is pending in. */
      BIND_BESIDE,
      /* A new range for one in which much may be pending. */
      RENEW_BESIDE,
      BOTH_BESIDE,
      NOTHING_BESIDE,
   } beside;
   uint8_t thread, queue, range, other, count, fail_at, few;
   struct request requests[MAX_BINDS], others[FEW_BINDS];
};

static const char *const beside_names[] = {
   [BIND_BESIDE] = "binds", [RENEW_BESIDE] = "new range", [BOTH_BESIDE] = "new range, binds",
};

static const char *const kind_names[] = {
   [SUBMIT] = "submit", [WAITING] = "waiting", [HELD] = "held", [SYNC] = "sync", [FAILING] = "failing",
   [NEW_RANGE] = "new range", [DEFRAGMENT] = "defragment", [RETIRE] = "retire",
};

static struct request
random_request(struct rng *rng, unsigned around)
{
   const unsigned longest = rng_one_in(rng, 12) ? 560 : rng_one_in(rng, 2) ? 40 : 4;
   const unsigned wish = 1 + rng_below(rng, longest);
   struct request r = {
      .range = rng_below(rng, RANGES),
      .bo = rng_one_in(rng, 3) ? BOS : rng_below(rng, BOS),
      .page = (around + rng_below(rng, 64)) % RANGE_PAGES,
   };

   r.pages = MIN2(wish, RANGE_PAGES - r.page);
   /* Often what continues its neighbours, or is there already. */
   r.bo_page = rng_one_in(rng, 2) ? rng_below(rng, BO_PAGES) : r.page % BO_PAGES;
   r.pages = MIN2(r.pages, BO_PAGES - r.bo_page);
   return r;
}

/* Nothing of what is held is in the range of what comes beside it. */
static void
generate_beside(struct rng *rng, struct op *op, unsigned around)
{
   op->beside = rng_below(rng, NOTHING_BESIDE + 1);
   op->few = 1 + rng_below(rng, FEW_BINDS);
   op->other = rng_below(rng, SHARED);
   for (unsigned i = 0; i < op->few; i++) {
      op->others[i] = random_request(rng, around);
      op->others[i].range = op->range;
   }
   for (unsigned i = 0; i < op->count && op->beside != NOTHING_BESIDE; i++) {
      if (op->requests[i].range == op->range)
         op->requests[i].range = rng_one_in(rng, 2) ? SHARED : 1 - op->range;
   }
}

/* Of all operations that were made up. */
static unsigned total_binds;

static void
generate(struct rng *rng, struct op *op, unsigned threads)
{
   static const enum kind kinds[] = { SUBMIT, SUBMIT, SUBMIT, WAITING, WAITING, WAITING, SYNC,
                                      SYNC,   FAILING, FAILING, HELD, NEW_RANGE, DEFRAGMENT,
                                      RETIRE };
   const unsigned around = rng_below(rng, RANGE_PAGES);

   op->kind = kinds[rng_below(rng, ARRAY_SIZE(kinds))];
   op->thread = rng_below(rng, threads);
   op->queue = rng_below(rng, QUEUES);
   op->range = rng_below(rng, SHARED);
   op->count = 1 + rng_below(rng, MAX_BINDS);
   op->fail_at = 1 + rng_below(rng, op->count);
   for (unsigned i = 0; i < op->count; i++)
      op->requests[i] = random_request(rng, around);
   if (op->kind == HELD)
      generate_beside(rng, op, around);
   total_binds += op->kind <= FAILING ? op->count : 0;
}

static void
generate_alone(struct rng *rng, void *op)
{
   generate(rng, op, 1);
}

static void
generate_together(struct rng *rng, void *op)
{
   generate(rng, op, MAX_THREADS);
}

static void
print_requests(const struct request *requests, unsigned count)
{
   for (unsigned i = 0; i < count; i++) {
      const struct request *r = &requests[i];

      printf(" [range %u page %u+%u", r->range, r->page, r->pages);
      if (r->bo < BOS)
         printf(" = BO %u page %u", r->bo, r->bo_page);
      printf("]");
   }
}

static void
print_op(const void *data)
{
   const struct op *op = data;

   printf("# thread %u queue %u %s", op->thread, op->queue, kind_names[op->kind]);
   if (op->kind == FAILING)
      printf(" at %u", op->fail_at);
   if (op->kind == NEW_RANGE || op->kind == DEFRAGMENT)
      printf(" %u", op->range);
   if (op->kind <= FAILING)
      print_requests(op->requests, op->count);
   if (op->kind == HELD && op->beside != NOTHING_BESIDE) {
      printf(" beside: %s %u", beside_names[op->beside], op->other);
      print_requests(op->others, op->few);
   }
   printf("\n");
}

/* ------------------------------------------------------------------- fixture */

/* What a page was last asked to be: the BO's index from 1 and its page, or 0 */
struct asked {
   uint8_t bo;
   uint16_t bo_page;
};

struct fixture;

/* The driver's */
static uint64_t page_B;

struct worker {
   struct fixture *f;
   unsigned number;
   struct vmb_queue *queues[QUEUES];
   struct vmb_range *ranges[RANGES];
   struct asked asked[SHARED][RANGE_PAGES];
};

struct fixture {
   int fd;
   struct vmb_device *dev;
   const struct vmb_caps *caps;
   struct vmb_vm *vm;
   struct vmb_bo *bos[BOS];
   struct vmb_range *shared;
   uint32_t signaled;
   unsigned threads;
   struct worker workers[MAX_THREADS];
   /* One failure is armed at a time. */
   mtx_t fault_lock;
   /* The target's fences are for one thread at a time. */
   mtx_t fence_lock;
   const struct op *ops;
   size_t op_count;
};

/* Failures are part of the game. */
static void
log_nothing(void *data, enum vmb_log_level level, const char *line)
{
   (void)data, (void)level, (void)line;
}

static struct vmb_range *
create_range(struct fixture *f, bool null)
{
   const struct vmb_range_params params = {
      .size_B = RANGE_PAGES * page_B,
      .unbound = null && f->caps->null_mode != VMB_NULL_NONE ? VMB_UNBOUND_NULL : VMB_UNBOUND_HOLE,
   };
   struct vmb_range *range = NULL;
   int ret = -ENOMEM;

   /* Its first bind may be the one that is to fail. */
   for (unsigned i = 0; i < 4 && ret == -ENOMEM; i++)
      ret = vmb_range_create(f->vm, &params, &range);
   PROP_CHECK(ret == 0);
   return range;
}

static void
create_worker(struct fixture *f, unsigned number)
{
   struct worker *w = &f->workers[number];

   w->f = f;
   w->number = number;
   for (unsigned i = 0; i < QUEUES; i++)
      PROP_CHECK(vmb_queue_create(f->vm, &w->queues[i]) == 0);
   w->ranges[HOLES] = create_range(f, false);
   w->ranges[NULLS] = create_range(f, true);
   w->ranges[SHARED] = f->shared;
}

static struct fixture *
create_fixture(const struct op *ops, size_t count)
{
   struct fixture *f = calloc(1, sizeof(*f));

   f->ops = ops;
   f->op_count = count;
   mtx_init(&f->fault_lock, mtx_plain);
   mtx_init(&f->fence_lock, mtx_plain);
   f->fd = target_open();
   PROP_CHECK(f->fd >= 0);
   PROP_CHECK(vmb_device_create(&(struct vmb_device_params){ .drm_fd = f->fd, .log = log_nothing },
                                &f->dev) == 0);
   f->caps = vmb_device_caps(f->dev);
   page_B = f->caps->page_size_B;
   PROP_CHECK(vmb_vm_create(f->dev, &(struct vmb_vm_params){ 0 }, &f->vm) == 0);
   for (unsigned i = 0; i < BOS; i++) {
      /* The last one may be shared, so that both kinds are there. */
      const struct vmb_bo_params params = { .size_B = BO_PAGES * page_B,
                                            .vm = i + 1 < BOS ? f->vm : NULL };
      PROP_CHECK(vmb_bo_create(f->dev, &params, &f->bos[i]) == 0);
   }
   f->shared = create_range(f, true);
   PROP_CHECK(drmSyncobjCreate(vmb_device_fd(f->dev), DRM_SYNCOBJ_CREATE_SIGNALED, &f->signaled) == 0);
   for (size_t i = 0; i < count; i++)
      f->threads = MAX2(f->threads, ops[i].thread + 1u);
   for (unsigned i = 0; i < f->threads; i++)
      create_worker(f, i);
   return f;
}

static void
destroy_fixture(struct fixture *f)
{
   for (unsigned i = 0; i < f->threads; i++) {
      struct worker *w = &f->workers[i];

      for (unsigned j = 0; j < SHARED; j++)
         vmb_range_destroy(w->ranges[j]);
      for (unsigned j = 0; j < QUEUES; j++)
         vmb_queue_destroy(w->queues[j]);
   }
   vmb_range_destroy(f->shared);
   drmSyncobjDestroy(vmb_device_fd(f->dev), f->signaled);
   for (unsigned i = 0; i < BOS; i++)
      vmb_bo_unref(f->bos[i]);
   PROP_CHECK(vmb_vm_wait_idle(f->vm, INT64_MAX) == 0);
   vmb_vm_destroy(f->vm);
   vmb_device_destroy(f->dev);
   close(f->fd);
   mtx_destroy(&f->fault_lock);
   mtx_destroy(&f->fence_lock);
   free(f);
}

/* ---------------------------------------------------------------- comparison */

struct mappings {
   struct vmb_vm_mapping *maps;
   size_t count;
};

static struct mappings
mirror(struct fixture *f, enum vmb_state state)
{
   struct mappings m;

   PROP_CHECK(vmb_vm_get_mappings(f->vm, state, 0, UINT64_MAX, &m.maps, &m.count) == 0);
   return m;
}

_Noreturn static void
differ(const char *what, uint64_t addr_B)
{
   fprintf(stderr, "%s differ at 0x%" PRIx64 "\n", what, addr_B);
   prop_fail(what, __FILE__, __LINE__);
}

/* What stands for null in the kernel is no BO of ours: its own, or one of the back-end's. */
static bool
is_null(const struct fixture *f, uint32_t handle)
{
   for (unsigned i = 0; i < BOS; i++)
      if (vmb_bo_handle(f->bos[i]) == handle)
         return false;
   return (handle != 0) == target_null_has_handle(f->caps);
}

static bool
same_backing(const struct fixture *f, uint32_t handle, uint64_t offset_B, uint32_t kernel_handle,
             uint64_t kernel_offset_B)
{
   if (!handle)
      return is_null(f, kernel_handle);
   return handle == kernel_handle && offset_B == kernel_offset_B;
}

static void
compare_tree(struct fixture *f, const struct mappings *m)
{
   struct target_mapping *tree;
   size_t count;

   if (!target_get_tree(vmb_device_fd(f->dev), vmb_vm_kernel_id(f->vm), &tree, &count))
      return;
   /* Behind the VA range a back-end may keep something for itself. */
   while (count && tree[count - 1].addr_B >= f->caps->va_start_B + f->caps->va_range_B)
      count--;
   struct vmb_vm_mapping *maps = malloc(MAX2(m->count, 1) * sizeof(*maps));
   memcpy(maps, m->maps, m->count * sizeof(*maps));
   const size_t map_count = target_visible(f->caps, maps, m->count);
   for (size_t i = 0; i < MIN2(count, map_count); i++) {
      const struct vmb_vm_mapping *map = &maps[i];

      if (map->addr_B != tree[i].addr_B || map->range_B != tree[i].range_B ||
          !same_backing(f, map->bo_handle, map->bo_offset_B, tree[i].handle, tree[i].offset_B))
         differ("mirror and tree", MIN2(map->addr_B, tree[i].addr_B));
   }
   if (count != map_count)
      differ("mirror and tree, in number,", count < map_count ? maps[count].addr_B
                                                              : tree[map_count].addr_B);
   free(maps);
   free(tree);
}

static void
compare_pages(struct fixture *f, const struct mappings *m)
{
   struct target_page *pages;
   size_t count, at = 0;

   if (!target_has_pages() || !m->count)
      return;
   const struct vmb_vm_mapping *last = &m->maps[m->count - 1];
   target_get_pages(vmb_device_fd(f->dev), vmb_vm_kernel_id(f->vm), m->maps[0].addr_B,
                    last->addr_B + last->range_B, &pages, &count);
   for (size_t i = 0; i < m->count; i++) {
      const struct vmb_vm_mapping *map = &m->maps[i];

      for (uint64_t offset_B = 0; offset_B < map->range_B; offset_B += KERNEL_PAGE_B, at++) {
         if (at == count || pages[at].addr_B != map->addr_B + offset_B)
            differ("mirror and page tables", map->addr_B + offset_B);
         if (!same_backing(f, map->bo_handle, map->bo_offset_B + offset_B, pages[at].handle,
                           pages[at].offset_B))
            differ("mirror's and page tables' pages", map->addr_B + offset_B);
      }
   }
   if (at != count)
      differ("mirror and page tables, in number,", pages[at].addr_B);
   free(pages);
}

static bool
is_asked(const struct fixture *f, const struct vmb_vm_mapping *map, uint64_t addr_B,
         struct asked asked, bool null)
{
   if (!map)
      return !asked.bo && !null;
   if (!asked.bo)
      return null && !map->bo_handle;
   return map->bo_handle == vmb_bo_handle(f->bos[asked.bo - 1]) &&
          map->bo_offset_B + addr_B - map->addr_B == asked.bo_page * page_B;
}

/* Where nothing was bound yet, null mappings may still have to come. */
static bool
is_bare(const struct fixture *f, const struct mappings *m, const struct vmb_range *range)
{
   const uint64_t addr_B = vmb_range_addr_B(range), end_B = addr_B + vmb_range_size_B(range);

   for (size_t i = 0; i < m->count; i++)
      if (m->maps[i].addr_B < end_B && m->maps[i].addr_B + m->maps[i].range_B > addr_B)
         return false;
   return f->caps->immediate_bind && f->caps->null_mode != VMB_NULL_REGION;
}

static void
compare_range(const struct fixture *f, const struct mappings *m, const struct vmb_range *range,
              const struct asked *asked, bool null)
{
   size_t at = 0;

   null = null && !is_bare(f, m, range);
   for (unsigned page = 0; page < RANGE_PAGES; page++) {
      const uint64_t addr_B = vmb_range_addr_B(range) + page * page_B;

      while (at < m->count && m->maps[at].addr_B + m->maps[at].range_B <= addr_B)
         at++;
      const bool mapped = at < m->count && m->maps[at].addr_B <= addr_B;
      if (!is_asked(f, mapped ? &m->maps[at] : NULL, addr_B, asked[page], null))
         differ("mirror and what was asked for", addr_B);
   }
}

static void
compare_asked(struct fixture *f, const struct mappings *m)
{
   const bool null = f->caps->null_mode != VMB_NULL_NONE;

   for (unsigned i = 0; i < f->threads; i++) {
      compare_range(f, m, f->workers[i].ranges[HOLES], f->workers[i].asked[HOLES], false);
      compare_range(f, m, f->workers[i].ranges[NULLS], f->workers[i].asked[NULLS], null);
   }
}

/* Nobody else binds. */
static void
compare(struct fixture *f)
{
   struct mappings submitted = mirror(f, VMB_STATE_SUBMITTED);
   struct mappings completed = mirror(f, VMB_STATE_COMPLETED);

   compare_asked(f, &submitted);
   compare_tree(f, f->caps->staged ? &submitted : &completed);
   compare_pages(f, &completed);
   free(submitted.maps);
   free(completed.maps);
}

static bool
same_mapping(const struct vmb_vm_mapping *a, const struct vmb_vm_mapping *b)
{
   return a->addr_B == b->addr_B && a->range_B == b->range_B && a->bo_id == b->bo_id &&
          a->bo_handle == b->bo_handle && a->bo_offset_B == b->bo_offset_B && a->flags == b->flags;
}

static void
compare_states(const struct mappings *a, const struct mappings *b)
{
   for (size_t i = 0; i < MIN2(a->count, b->count); i++)
      if (!same_mapping(&a->maps[i], &b->maps[i]))
         differ("submitted and completed state", a->maps[i].addr_B);
   if (a->count != b->count)
      differ("submitted and completed state, in number,", 0);
}

static void
compare_at_rest(struct fixture *f)
{
   PROP_CHECK(vmb_vm_wait_idle(f->vm, INT64_MAX) == 0);
   struct mappings submitted = mirror(f, VMB_STATE_SUBMITTED);
   struct mappings completed = mirror(f, VMB_STATE_COMPLETED);

   compare_states(&submitted, &completed);
   free(submitted.maps);
   free(completed.maps);
   compare(f);
}

/* From then on nothing is to come. */
static void
bind_nulls(struct fixture *f)
{
   struct vmb_sync sync;

   PROP_CHECK(vmb_vm_get_sync(f->vm, &sync) == 0);
   struct mappings m = mirror(f, VMB_STATE_SUBMITTED);
   for (unsigned i = 0; i < f->threads && f->caps->null_mode != VMB_NULL_NONE; i++)
      PROP_CHECK(!is_bare(f, &m, f->workers[i].ranges[NULLS]));
   free(m.maps);
}

/* ----------------------------------------------------------------------- run */

static uint32_t
make_binds(const struct worker *w, const struct request *requests, unsigned count,
           struct vmb_bind *binds)
{
   for (unsigned i = 0; i < count; i++) {
      const struct request *r = &requests[i];

      binds[i] = (struct vmb_bind){
         .range = w->ranges[r->range],
         .offset_B = r->page * page_B,
         .size_B = r->pages * page_B,
         .bo = r->bo < BOS ? w->f->bos[r->bo] : NULL,
         .bo_offset_B = r->bo < BOS ? r->bo_page * page_B : 0,
      };
   }
   return count;
}

static void
note_asked(struct worker *w, const struct request *requests, unsigned count)
{
   for (unsigned i = 0; i < count; i++) {
      const struct request *r = &requests[i];

      for (unsigned page = 0; page < r->pages && r->range != SHARED; page++) {
         w->asked[r->range][r->page + page] =
            r->bo < BOS ? (struct asked){ r->bo + 1, r->bo_page + page } : (struct asked){ 0 };
      }
   }
}

/* Another thread's failure may hit us.  Then nothing was bound. */
static void
note_result(struct worker *w, const struct request *requests, unsigned count, int ret)
{
   PROP_CHECK(ret == 0 || ret == -ENOMEM);
   if (!ret)
      note_asked(w, requests, count);
}

static void
submit(struct worker *w, const struct op *op, const struct vmb_sync *wait)
{
   struct vmb_bind binds[MAX_BINDS];
   const struct vmb_submit info = {
      .waits = wait,
      .wait_count = wait != NULL,
      .binds = binds,
      .bind_count = make_binds(w, op->requests, op->count, binds),
   };

   note_result(w, op->requests, op->count, vmb_queue_submit(w->queues[op->queue], &info, NULL));
}

static void
bind_sync(struct worker *w, const struct request *requests, unsigned count)
{
   struct vmb_bind binds[MAX_BINDS];

   make_binds(w, requests, count, binds);
   note_result(w, requests, count, vmb_vm_bind_sync(w->f->vm, binds, count));
}

static void
bind_and_fail(struct worker *w, const struct op *op)
{
   mtx_lock(&w->f->fault_lock);
   /* Behind others it would not be done by the ioctl. */
   if (w->f->threads == 1)
      PROP_CHECK(vmb_vm_wait_idle(w->f->vm, INT64_MAX) == 0);
   if (w->f->caps->immediate_prefix)
      target_fail_op(op->fail_at, ENOMEM);
   bind_sync(w, op->requests, op->count);
   target_fail_nothing();
   mtx_unlock(&w->f->fault_lock);
}

static void
replace_range(struct worker *w, unsigned which)
{
   vmb_range_destroy(w->ranges[which]);
   w->ranges[which] = create_range(w->f, which == NULLS);
   memset(w->asked[which], 0, sizeof(w->asked[which]));
}

/* Null mappings of ranges that are neighbours may be one; then what is held may cut it, and all of it waits. */
static bool
is_apart(struct fixture *f, const struct vmb_range *range)
{
   const uint64_t addr_B = vmb_range_addr_B(range), end_B = addr_B + vmb_range_size_B(range);
   struct mappings m = mirror(f, VMB_STATE_COMPLETED);
   bool apart = true;

   for (size_t i = 0; i < m.count; i++) {
      const uint64_t map_end_B = m.maps[i].addr_B + m.maps[i].range_B;

      if (m.maps[i].addr_B < end_B && map_end_B > addr_B)
         apart &= m.maps[i].addr_B >= addr_B && map_end_B <= end_B;
   }
   free(m.maps);
   return apart;
}

/* What is done at once overtakes what is held, if it has nothing to do with it, and what is queued waits for it. */
static void
do_beside(struct worker *w, const struct op *op)
{
   const struct vmb_caps *caps = w->f->caps;
   const bool at_once = caps->immediate_bind && caps->sync_mode != VMB_SYNC_THREAD;

   /* Elsewhere that is queued, and may be done while it is looked at. */
   if (at_once && (op->beside == RENEW_BESIDE || op->beside == BOTH_BESIDE))
      replace_range(w, op->other);
   if ((at_once || !caps->fifo_per_vm) && (op->beside == BIND_BESIDE || op->beside == BOTH_BESIDE) &&
       is_apart(w->f, w->ranges[op->range]))
      bind_sync(w, op->others, op->few);
}

static void
bind_behind_a_fence(struct worker *w, const struct op *op)
{
   const int drm_fd = vmb_device_fd(w->f->dev);
   struct vmb_sync held = { 0 };

   mtx_lock(&w->f->fence_lock);
   const int fence = target_fence_create();
   mtx_unlock(&w->f->fence_lock);
   PROP_CHECK(fence >= 0);
   PROP_CHECK(drmSyncobjCreate(drm_fd, 0, &held.syncobj) == 0);
   PROP_CHECK(drmSyncobjImportSyncFile(drm_fd, held.syncobj, fence) == 0);
   /* Nothing may move while it is looked at. */
   if (w->f->threads == 1)
      PROP_CHECK(vmb_vm_wait_idle(w->f->vm, INT64_MAX) == 0);
   submit(w, op, &held);
   /* (Of several threads each might wait for what another one holds.) */
   if (w->f->threads == 1) {
      do_beside(w, op);
      compare(w->f);
   }
   mtx_lock(&w->f->fence_lock);
   target_fence_signal(fence);
   mtx_unlock(&w->f->fence_lock);
   close(fence);
   drmSyncobjDestroy(drm_fd, held.syncobj);
}

static void
defragment(struct worker *w, unsigned which)
{
   const int ret = vmb_range_defragment(w->ranges[which], NULL);

   PROP_CHECK(ret == 0 || ret == -ENOMEM);
}

static void
run_op(struct worker *w, const struct op *op)
{
   switch (op->kind) {
   case SUBMIT: submit(w, op, NULL); break;
   case WAITING: submit(w, op, &(struct vmb_sync){ w->f->signaled, 0 }); break;
   case HELD: bind_behind_a_fence(w, op); break;
   case SYNC: bind_sync(w, op->requests, op->count); break;
   case FAILING: bind_and_fail(w, op); break;
   case NEW_RANGE: replace_range(w, op->range); break;
   case DEFRAGMENT: defragment(w, op->range); break;
   case RETIRE: vmb_vm_retire(w->f->vm); break;
   }
}

static int
run_worker(void *data)
{
   struct worker *w = data;

   for (size_t i = 0; i < w->f->op_count; i++)
      if (w->f->ops[i].thread == w->number)
         run_op(w, &w->f->ops[i]);
   return 0;
}

static void
run(const void *ops, size_t count)
{
   struct fixture *f = create_fixture(ops, count);
   thrd_t threads[MAX_THREADS];

   target_fail_nothing();
   for (unsigned i = 1; i < f->threads; i++)
      PROP_CHECK(thrd_create(&threads[i], run_worker, &f->workers[i]) == thrd_success);
   if (f->threads)
      run_worker(&f->workers[0]);
   for (unsigned i = 1; i < f->threads; i++)
      thrd_join(threads[i], NULL);
   compare_at_rest(f);
   bind_nulls(f);
   compare_at_rest(f);
   destroy_fixture(f);
}

/* ---------------------------------------------------------------------- main */

/* Some five binds an operation: more than 10,000 in both kinds of sequences together. */
#define SEQUENCES 24
#define LENGTH    48

int
main(int argc, char **argv)
{
   static const struct prop props[] = {
      { "one thread", sizeof(struct op), generate_alone, run, print_op },
      { "three threads", sizeof(struct op), generate_together, run, print_op },
   };
   int failed = 0;

   setvbuf(stdout, NULL, _IOLBF, 0);
   printf("1..%zu\n", ARRAY_SIZE(props));
   for (unsigned i = 0; i < ARRAY_SIZE(props); i++) {
      const int ret = prop_main(&props[i], argc, argv, SEQUENCES, LENGTH);

      printf("%s %u - %s\n", ret ? "not ok" : "ok", i + 1, props[i].name);
      failed |= ret;
   }
   printf("# %u binds\n", total_binds);
   return failed;
}

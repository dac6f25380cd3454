/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The mirror's objects: vm_bos and their references, external and evicted objects, userptrs, weak
 * gpuvms; and that a reservation is all or nothing.  The tree itself is in property/gpuvm.c.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/util/fail_alloc.h"
#include "vmbind/vmb_gpuvm.h"

#define PAGE 0x1000ull

static int refs;

static void
ref(struct vmb_gpuvm_obj *obj)
{
   (void)obj;
   refs++;
}

static void
unref(struct vmb_gpuvm_obj *obj)
{
   (void)obj;
   refs--;
}

static struct vmb_gpuvm *
new_gpuvm(bool weak)
{
   const struct vmb_gpuvm_params params = {
      .va_start_B = 0x10000,
      .va_range_B = 1ull << 40,
      .kernel_start_B = 1ull << 30,
      .kernel_range_B = 1ull << 20,
      .page_size_B = PAGE,
      .weak = weak,
   };
   struct vmb_gpuvm *gpuvm;

   assert_int_equal(vmb_gpuvm_create(&params, &gpuvm), 0);
   return gpuvm;
}

static void
map(struct vmb_gpuvm *gpuvm, struct vmb_gpuvm_bo *bo, uint64_t addr_B, uint64_t range_B,
    uint64_t offset_B)
{
   const struct vmb_gpuvm_req req = {
      .map = { .addr_B = addr_B, .range_B = range_B, .vm_bo = bo, .offset_B = offset_B },
   };

   assert_int_equal(vmb_gpuvm_reserve(gpuvm, &req, 1, NULL), 0);
   vmb_gpuvm_map(gpuvm, &req.map, NULL);
}

static void
finish(struct vmb_gpuvm *gpuvm)
{
   vmb_gpuvm_clear(gpuvm);
   vmb_gpuvm_bo_free_deferred(vmb_gpuvm_bo_take_deferred(gpuvm));
   vmb_gpuvm_unref(gpuvm);
}

static void
test_parameters(void **state)
{
   (void)state;
   struct vmb_gpuvm *gpuvm;
   const struct vmb_gpuvm_params bad[] = {
      { .va_range_B = 1 << 20, .page_size_B = 0 },
      { .va_range_B = 1 << 20, .page_size_B = 512 },
      { .va_range_B = 1 << 20, .page_size_B = 12288 },
      { .va_range_B = 0, .page_size_B = PAGE },
      { .va_start_B = 1, .va_range_B = 1 << 20, .page_size_B = PAGE },
      { .va_start_B = UINT64_MAX - PAGE + 1, .va_range_B = 2 * PAGE, .page_size_B = PAGE },
   };

   for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
      assert_int_equal(vmb_gpuvm_create(&bad[i], &gpuvm), -EINVAL);
}

static void
test_valid_ranges(void **state)
{
   (void)state;
   struct vmb_gpuvm *gpuvm = new_gpuvm(false);
   const uint64_t end_B = 0x10000 + (1ull << 40), kernel_B = 1ull << 30;

   assert_true(vmb_gpuvm_range_valid(gpuvm, 0x10000, PAGE));
   assert_true(vmb_gpuvm_range_valid(gpuvm, end_B - PAGE, PAGE));
   assert_true(vmb_gpuvm_range_valid(gpuvm, kernel_B - PAGE, PAGE));
   assert_true(vmb_gpuvm_range_valid(gpuvm, kernel_B + (1 << 20), PAGE));
   assert_false(vmb_gpuvm_range_valid(gpuvm, 0x10000, 0));
   assert_false(vmb_gpuvm_range_valid(gpuvm, 0x10000, PAGE + 1));
   assert_false(vmb_gpuvm_range_valid(gpuvm, 0x10001, PAGE));
   assert_false(vmb_gpuvm_range_valid(gpuvm, 0xf000, PAGE));
   assert_false(vmb_gpuvm_range_valid(gpuvm, end_B, PAGE));
   assert_false(vmb_gpuvm_range_valid(gpuvm, end_B - PAGE, 2 * PAGE));
   assert_false(vmb_gpuvm_range_valid(gpuvm, 0x10000, UINT64_MAX - PAGE + 1));
   assert_false(vmb_gpuvm_range_valid(gpuvm, kernel_B - PAGE, 2 * PAGE));
   assert_false(vmb_gpuvm_range_valid(gpuvm, kernel_B, PAGE));
   finish(gpuvm);
}

static void
test_invalid_requests_are_refused(void **state)
{
   (void)state;
   struct vmb_gpuvm *gpuvm = new_gpuvm(false), *other = new_gpuvm(false);
   struct vmb_gpuvm_obj obj;
   struct vmb_gpuvm_bo *bo;

   vmb_gpuvm_obj_init(&obj, 1 << 20, ref, unref);
   assert_int_equal(vmb_gpuvm_bo_obtain(other, &obj, false, &bo), 0);

   struct vmb_gpuvm_req req = { .map = { .addr_B = 0x10000, .range_B = PAGE } };
   /* Neither a BO nor null, both, another gpuvm's BO. */
   assert_int_equal(vmb_gpuvm_reserve(gpuvm, &req, 1, NULL), -EINVAL);
   req.map.vm_bo = bo;
   req.map.flags = VMB_MAPPING_NULL;
   assert_int_equal(vmb_gpuvm_reserve(gpuvm, &req, 1, NULL), -EINVAL);
   req.map.flags = 0;
   assert_int_equal(vmb_gpuvm_reserve(gpuvm, &req, 1, NULL), -EINVAL);
   assert_int_equal(vmb_gpuvm_reserve(other, &req, 1, NULL), 0);
   req.map.offset_B = 1;
   assert_int_equal(vmb_gpuvm_reserve(other, &req, 1, NULL), -EINVAL);

   vmb_gpuvm_bo_put(bo);
   vmb_gpuvm_obj_finish(&obj);
   finish(gpuvm);
   finish(other);
}

static void
test_one_vm_bo_a_pair(void **state)
{
   (void)state;
   struct vmb_gpuvm *gpuvm[2] = { new_gpuvm(false), new_gpuvm(false) };
   struct vmb_gpuvm_obj obj;
   struct vmb_gpuvm_bo *a, *b, *other, *prealloc;

   refs = 0;
   vmb_gpuvm_obj_init(&obj, 1 << 20, ref, unref);
   assert_null(vmb_gpuvm_bo_find(gpuvm[0], &obj));
   assert_int_equal(vmb_gpuvm_bo_obtain(gpuvm[0], &obj, false, &a), 0);
   assert_int_equal(vmb_gpuvm_bo_obtain(gpuvm[0], &obj, false, &b), 0);
   assert_int_equal(vmb_gpuvm_bo_obtain(gpuvm[1], &obj, false, &other), 0);
   assert_ptr_equal(a, b);
   assert_ptr_not_equal(a, other);
   assert_int_equal(refs, 2);

   /* A preallocated one gives way to the one there is. */
   assert_int_equal(vmb_gpuvm_bo_prealloc(gpuvm[0], &obj, false, &prealloc), 0);
   assert_ptr_equal(vmb_gpuvm_bo_find(gpuvm[0], &obj), a);
   assert_ptr_equal(vmb_gpuvm_bo_obtain_prealloc(prealloc), a);
   assert_int_equal(refs, 2);

   for (unsigned i = 0; i < 3; i++)
      vmb_gpuvm_bo_put(a);
   assert_int_equal(refs, 1);
   assert_null(vmb_gpuvm_bo_find(gpuvm[0], &obj));

   /* Now it becomes the one. */
   assert_int_equal(vmb_gpuvm_bo_prealloc(gpuvm[0], &obj, false, &prealloc), 0);
   assert_null(vmb_gpuvm_bo_find(gpuvm[0], &obj));
   assert_ptr_equal(vmb_gpuvm_bo_obtain_prealloc(prealloc), prealloc);
   assert_ptr_equal(vmb_gpuvm_bo_find(gpuvm[0], &obj), prealloc);
   vmb_gpuvm_bo_put(prealloc);
   vmb_gpuvm_bo_put(other);
   assert_int_equal(refs, 0);

   vmb_gpuvm_obj_finish(&obj);
   finish(gpuvm[0]);
   finish(gpuvm[1]);
}

static void
test_mappings_and_records_keep_the_bo(void **state)
{
   (void)state;
   struct vmb_gpuvm *gpuvm = new_gpuvm(false);
   struct vmb_gpuvm_obj obj;
   struct vmb_gpuvm_bo *bo;
   struct vmb_mapping room[4];
   struct vmb_replaced replaced = { .mappings = room, .capacity = 4 };

   refs = 0;
   vmb_gpuvm_obj_init(&obj, 1 << 20, ref, unref);
   assert_int_equal(vmb_gpuvm_bo_obtain(gpuvm, &obj, false, &bo), 0);
   map(gpuvm, bo, 0x20000, 4 * PAGE, 0);
   vmb_gpuvm_bo_put(bo);
   assert_int_equal(refs, 1);

   /* Cut in the middle: two mappings, and one record of what it was. */
   const struct vmb_gpuvm_req hole = {
      .map = { .addr_B = 0x21000, .range_B = PAGE },
      .unmap = true,
   };
   assert_int_equal(vmb_gpuvm_reserve(gpuvm, &hole, 1, NULL), 0);
   vmb_gpuvm_unmap(gpuvm, 0x21000, PAGE, &replaced);
   assert_int_equal(replaced.count, 1);
   assert_int_equal(bo->mapping_count, 2);
   assert_int_equal(bo->record_count, 1);

   vmb_gpuvm_clear(gpuvm);
   assert_null(vmb_gpuvm_bo_take_deferred(gpuvm));
   assert_int_equal(refs, 1);
   vmb_gpuvm_release_replaced(replaced.mappings, replaced.count);
   /* Deferred: the BO goes only when the list is freed. */
   assert_int_equal(refs, 1);
   vmb_gpuvm_bo_free_deferred(vmb_gpuvm_bo_take_deferred(gpuvm));
   assert_int_equal(refs, 0);
   vmb_gpuvm_obj_finish(&obj);
   finish(gpuvm);
}

static void
test_external_objects(void **state)
{
   (void)state;
   struct vmb_gpuvm *gpuvm = new_gpuvm(false);
   struct vmb_gpuvm_obj obj;
   struct vmb_gpuvm_bo *bo;

   vmb_gpuvm_obj_init(&obj, 1 << 20, ref, unref);
   assert_int_equal(vmb_gpuvm_bo_obtain(gpuvm, &obj, true, &bo), 0);
   assert_int_equal(vmb_gpuvm_extobj_count(gpuvm), 1);
   assert_ptr_equal(list_first_entry(vmb_gpuvm_extobjs(gpuvm), struct vmb_gpuvm_bo, extobj_link),
                    bo);
   vmb_gpuvm_bo_put(bo);
   assert_int_equal(vmb_gpuvm_extobj_count(gpuvm), 0);
   assert_true(list_is_empty(vmb_gpuvm_extobjs(gpuvm)));
   vmb_gpuvm_obj_finish(&obj);
   finish(gpuvm);
}

static void
test_userptr_invalidation(void **state)
{
   (void)state;
   struct vmb_gpuvm *gpuvm = new_gpuvm(false);
   struct vmb_gpuvm_obj obj;
   struct vmb_gpuvm_bo *bo;
   struct vmb_mapping m;

   vmb_gpuvm_obj_init(&obj, 1 << 20, ref, unref);
   assert_int_equal(vmb_gpuvm_bo_obtain(gpuvm, &obj, false, &bo), 0);
   map(gpuvm, bo, 0x20000, 4 * PAGE, 0);

   assert_int_equal(vmb_gpuvm_userptr_invalidate(gpuvm, &obj), 0);
   assert_true(vmb_gpuvm_find(gpuvm, 0x20000, &m));
   assert_true(m.flags & VMB_MAPPING_INVALIDATED);
   assert_false(list_is_empty(vmb_gpuvm_evicted(gpuvm)));

   /* What is bound meanwhile may have got the pages that are gone. */
   map(gpuvm, bo, 0x20000, 4 * PAGE, 0);
   map(gpuvm, bo, 0x40000, 4 * PAGE, 0);
   for (uint64_t addr_B = 0x20000; addr_B <= 0x40000; addr_B += 0x20000) {
      assert_true(vmb_gpuvm_find(gpuvm, addr_B, &m));
      assert_true(m.flags & VMB_MAPPING_INVALIDATED);
   }

   /* Invalidated again while its pages were got: once more. */
   uint64_t seq = vmb_gpuvm_userptr_begin(bo);
   assert_int_equal(vmb_gpuvm_userptr_invalidate(gpuvm, &obj), 0);
   assert_int_equal(vmb_gpuvm_userptr_finish(bo, seq), -EAGAIN);
   assert_true(vmb_gpuvm_find(gpuvm, 0x20000, &m));
   assert_true(m.flags & VMB_MAPPING_INVALIDATED);
   seq = vmb_gpuvm_userptr_begin(bo);
   assert_int_equal(vmb_gpuvm_userptr_finish(bo, seq), 0);
   assert_true(vmb_gpuvm_find(gpuvm, 0x20000, &m));
   assert_false(m.flags & VMB_MAPPING_INVALIDATED);
   assert_true(list_is_empty(vmb_gpuvm_evicted(gpuvm)));

   vmb_gpuvm_bo_put(bo);
   finish(gpuvm);
   vmb_gpuvm_obj_finish(&obj);
}

static void
test_weak_gpuvm(void **state)
{
   (void)state;
   struct vmb_gpuvm *gpuvm = new_gpuvm(true);
   struct vmb_gpuvm_obj obj;
   struct vmb_gpuvm_bo *bo;

   refs = 0;
   vmb_gpuvm_obj_init(&obj, 1 << 20, ref, unref);
   assert_int_equal(vmb_gpuvm_bo_obtain(gpuvm, &obj, true, &bo), -EINVAL);
   assert_int_equal(vmb_gpuvm_bo_obtain(gpuvm, &obj, false, &bo), 0);
   map(gpuvm, bo, 0x20000, 4 * PAGE, 0);
   /* Nothing keeps the BO, and what is invalid in this mode is refused. */
   assert_int_equal(refs, 0);
   assert_null(vmb_gpuvm_extobjs(gpuvm));
   assert_null(vmb_gpuvm_evicted(gpuvm));
   assert_int_equal(vmb_gpuvm_bo_set_evicted(bo, true), -EINVAL);
   assert_int_equal(vmb_gpuvm_userptr_invalidate(gpuvm, &obj), -EINVAL);

   /* The BO takes its mappings with it. */
   vmb_gpuvm_bo_unmap_all(bo, NULL);
   assert_int_equal(vmb_gpuvm_mapping_count(gpuvm), 0);
   vmb_gpuvm_obj_finish(&obj);
   vmb_gpuvm_bo_put(bo);
   finish(gpuvm);
}

/* For every n: with the n-th allocation failing, a reservation says so and the tree is as it was;
 * without a failure the changes need no memory at all. */
static void
test_reservation_is_all_or_nothing(void **state)
{
   (void)state;
   enum { COUNT = 3000 };
   static struct vmb_gpuvm_req reqs[COUNT];
   struct vmb_gpuvm_obj obj;
   struct vmb_gpuvm_bo *bo;

   for (unsigned n = 1;; n++) {
      struct vmb_gpuvm *gpuvm = new_gpuvm(false);

      vmb_gpuvm_obj_init(&obj, 1ull << 40, ref, unref);
      assert_int_equal(vmb_gpuvm_bo_obtain(gpuvm, &obj, false, &bo), 0);
      map(gpuvm, bo, 1ull << 32, 1ull << 30, 0);
      for (unsigned i = 0; i < COUNT; i++) {
         reqs[i] = (struct vmb_gpuvm_req){
            .map = { .addr_B = (1ull << 32) + i * 8 * PAGE, .range_B = PAGE, .vm_bo = bo },
         };
      }

      fail_alloc_arm(n);
      const int ret = vmb_gpuvm_reserve(gpuvm, reqs, COUNT, NULL);
      const bool failed = fail_alloc_disarm();
      assert_int_equal(ret, failed ? -ENOMEM : 0);
      vmb_gpuvm_check(gpuvm);
      assert_int_equal(vmb_gpuvm_mapping_count(gpuvm), 1);

      if (!ret) {
         fail_alloc_arm(1);
         for (unsigned i = 0; i < COUNT; i++)
            vmb_gpuvm_map(gpuvm, &reqs[i].map, NULL);
         assert_false(fail_alloc_disarm());
         assert_int_equal(vmb_gpuvm_mapping_count(gpuvm), 2 * COUNT);
         vmb_gpuvm_check(gpuvm);
      }
      vmb_gpuvm_bo_put(bo);
      finish(gpuvm);
      vmb_gpuvm_obj_finish(&obj);
      if (!failed)
         break;
   }
}

/* Leaves as a gpuvm fills them in address order: how many mappings one then has is nobody's business
 * but the tests' that follow, which go to its borders. */
#define LEAF   63
#define LEAVES 400
#define STRIDE (4 * PAGE)

static uint64_t
slot(unsigned leaf, unsigned i)
{
   return (1ull << 31) + (leaf * LEAF + i) * STRIDE;
}

static struct vmb_gpuvm_req
null_req(uint64_t addr_B, uint64_t range_B)
{
   return (struct vmb_gpuvm_req){
      .map = { .addr_B = addr_B, .range_B = range_B, .flags = VMB_MAPPING_NULL },
   };
}

static void
apply(struct vmb_gpuvm *gpuvm, const struct vmb_gpuvm_req *reqs, size_t count)
{
   assert_int_equal(vmb_gpuvm_reserve(gpuvm, reqs, count, NULL), 0);
   for (size_t i = 0; i < count; i++) {
      if (reqs[i].unmap)
         vmb_gpuvm_unmap(gpuvm, reqs[i].map.addr_B, reqs[i].map.range_B, NULL);
      else
         vmb_gpuvm_map(gpuvm, &reqs[i].map, NULL);
   }
   vmb_gpuvm_check(gpuvm);
}

static void
apply_null(struct vmb_gpuvm *gpuvm, uint64_t addr_B, uint64_t range_B)
{
   const struct vmb_gpuvm_req req = null_req(addr_B, range_B);

   assert_int_equal(vmb_gpuvm_reserve(gpuvm, &req, 1, NULL), 0);
   vmb_gpuvm_map(gpuvm, &req.map, NULL);
}

static void
unmap(struct vmb_gpuvm *gpuvm, uint64_t addr_B, uint64_t range_B)
{
   struct vmb_gpuvm_req req = null_req(addr_B, range_B);

   req.unmap = true;
   assert_int_equal(vmb_gpuvm_reserve(gpuvm, &req, 1, NULL), 0);
   vmb_gpuvm_unmap(gpuvm, addr_B, range_B, NULL);
}

static struct vmb_gpuvm *
full_leaves(void)
{
   struct vmb_gpuvm *gpuvm = new_gpuvm(false);

   for (unsigned i = 0; i < LEAVES * LEAF; i++)
      apply_null(gpuvm, slot(0, i), 3 * PAGE);
   return gpuvm;
}

/* One more behind the last mapping of each full leaf, whose neighbour is nearly empty. */
static void
test_reservation_behind_full_leaves(void **state)
{
   (void)state;
   struct vmb_gpuvm *gpuvm = full_leaves();
   struct vmb_gpuvm_req reqs[LEAVES / 2];

   for (unsigned leaf = 0; leaf < LEAVES; leaf += 2) {
      unmap(gpuvm, slot(leaf + 1, 25), 38 * STRIDE);
      reqs[leaf / 2] = null_req(slot(leaf, LEAF - 1) + 3 * PAGE, PAGE);
   }
   apply(gpuvm, reqs, ARRAY_SIZE(reqs));
   finish(gpuvm);
}

/* From the middle of the last mapping of each leaf: two more. */
static void
test_reservation_inside_last_mappings(void **state)
{
   (void)state;
   struct vmb_gpuvm *gpuvm = full_leaves();
   struct vmb_gpuvm_req reqs[LEAVES];

   for (unsigned leaf = 0; leaf < LEAVES; leaf++)
      reqs[leaf] = null_req(slot(leaf, LEAF - 1) + PAGE, PAGE);
   apply(gpuvm, reqs, ARRAY_SIZE(reqs));
   finish(gpuvm);
}

/* Mappings that start in one leaf and end in the address space of the next, cut at the border: what is
 * left of them starts in the next, which is full. */
static void
test_reservation_at_borders_of_leaves(void **state)
{
   (void)state;
   struct vmb_gpuvm *gpuvm = full_leaves();
   struct vmb_gpuvm_req reqs[LEAVES / 2];

   for (unsigned leaf = 0; leaf < LEAVES; leaf += 2) {
      const uint64_t last_B = slot(leaf, LEAF - 1), border_B = slot(leaf + 1, 0);

      unmap(gpuvm, slot(leaf, 0), 38 * STRIDE);
      apply_null(gpuvm, last_B, border_B + 3 * PAGE - last_B);
      apply_null(gpuvm, slot(leaf + 1, 30) + 3 * PAGE, PAGE);
      reqs[leaf / 2] = null_req(last_B, border_B - last_B);
   }
   apply(gpuvm, reqs, ARRAY_SIZE(reqs));
   finish(gpuvm);
}

/* In the order of falling addresses each one goes behind the same full leaf. */
static void
test_reservation_of_an_undo(void **state)
{
   (void)state;
   struct vmb_gpuvm *gpuvm = new_gpuvm(false);
   struct vmb_mapping old[200];

   for (unsigned i = 0; i < LEAF; i++)
      apply_null(gpuvm, slot(0, i), 3 * PAGE);
   for (unsigned i = ARRAY_SIZE(old); i-- > 0;) {
      old[i] = null_req(slot(1, i), PAGE).map;
      assert_int_equal(vmb_gpuvm_reserve_undo(gpuvm, 1), 0);
      vmb_gpuvm_undo(gpuvm, old[i].addr_B, PAGE, &old[i], 1);
   }
   vmb_gpuvm_check(gpuvm);
   finish(gpuvm);
}

/* ------------------------------------------------------------------- tiles */

#define TILE 0x10000ull
#define TILES_AT (1ull << 32)

struct seen {
   size_t count;
   uint64_t sum_B;
};

static void
see(const struct vmb_mapping *m, void *data)
{
   struct seen *seen = data;

   assert_int_equal(m->range_B, TILE);
   assert_int_equal(m->offset_B, (m->addr_B - TILES_AT) % (1ull << 40));
   seen->count++;
   seen->sum_B += m->addr_B;
}

static void
map_tile(struct vmb_gpuvm *gpuvm, struct vmb_gpuvm_bo *bo, int64_t tile)
{
   const uint64_t addr_B = TILES_AT + tile * TILE;

   map(gpuvm, bo, addr_B, TILE, (addr_B - TILES_AT) % (1ull << 40));
   vmb_gpuvm_check(gpuvm);
}

static struct vmb_gpuvm_bo *
obtain(struct vmb_gpuvm *gpuvm, struct vmb_gpuvm_obj *obj)
{
   struct vmb_gpuvm_bo *bo;

   vmb_gpuvm_obj_init(obj, 1ull << 46, ref, unref);
   assert_int_equal(vmb_gpuvm_bo_obtain(gpuvm, obj, false, &bo), 0);
   return bo;
}

/* Runs of tiles with others far before and behind, from every number of tiles on: all stay what
 * they were. */
static void
test_tiles_far_apart(void **state)
{
   (void)state;
   static const int64_t far[] = { 600, -600, 511, -511, 512, -512, 1300, -1300, 5000, -5000 };

   for (unsigned run = 1; run <= 400; run += run < 70 ? 3 : 41) {
      struct vmb_gpuvm *gpuvm = new_gpuvm(false);
      struct vmb_gpuvm_obj obj;
      struct vmb_gpuvm_bo *bo = obtain(gpuvm, &obj);
      struct seen seen = { 0 };
      uint64_t sum_B = 0;

      for (unsigned i = 0; i < run; i++) {
         map_tile(gpuvm, bo, i);
         sum_B += TILES_AT + i * TILE;
      }
      for (unsigned i = 0; i < ARRAY_SIZE(far); i++) {
         const int64_t tile = far[i] + (far[i] > 0 ? run : 0);
         map_tile(gpuvm, bo, tile);
         sum_B += TILES_AT + tile * TILE;
      }
      vmb_gpuvm_bo_foreach(bo, see, &seen);
      assert_int_equal(seen.count, run + ARRAY_SIZE(far));
      assert_int_equal(seen.sum_B, sum_B);

      vmb_gpuvm_bo_unmap_all(bo, NULL);
      vmb_gpuvm_check(gpuvm);
      assert_int_equal(vmb_gpuvm_mapping_count(gpuvm), 0);
      vmb_gpuvm_bo_put(bo);
      finish(gpuvm);
      vmb_gpuvm_obj_finish(&obj);
   }
}

/* One tile in stride is mapped, in an order that jumps about. */
static void
check_tile_memory(unsigned stride)
{
   const uint32_t count = 1 << 16;
   struct vmb_gpuvm *gpuvm = new_gpuvm(false);
   struct vmb_gpuvm_obj obj;
   struct vmb_gpuvm_bo *bo = obtain(gpuvm, &obj);

   for (uint32_t i = 0; i < count; i++) {
      const uint32_t tile = (i * 40503u) % count;
      map(gpuvm, bo, TILES_AT + tile * stride * TILE, TILE, i * TILE);
   }
   vmb_gpuvm_check(gpuvm);
   assert_int_equal(vmb_gpuvm_mapping_count(gpuvm), count);
   assert_in_range(vmb_gpuvm_memory_B(gpuvm) / count, 6, 16);
   vmb_gpuvm_bo_put(bo);
   finish(gpuvm);
   vmb_gpuvm_obj_finish(&obj);
}

static void
test_tiles_are_small(void **state)
{
   (void)state;
   check_tile_memory(1);
   check_tile_memory(2);
   check_tile_memory(4);
}

/* Flags of a part of many equal tiles, and the eviction of one of two BOs. */
static void
test_tiles_of_two_kinds(void **state)
{
   (void)state;
   struct vmb_gpuvm *gpuvm = new_gpuvm(false);
   struct vmb_gpuvm_obj objs[2];
   struct vmb_gpuvm_bo *bos[2] = { obtain(gpuvm, &objs[0]), obtain(gpuvm, &objs[1]) };
   struct vmb_gpuvm_iter iter;
   struct vmb_mapping m;

   for (unsigned i = 0; i < 300; i++)
      map(gpuvm, bos[i % 2], TILES_AT + i * TILE, TILE, i * TILE);
   assert_int_equal(vmb_gpuvm_set_flags(gpuvm, TILES_AT + 50 * TILE, 200 * TILE, VMB_MAPPING_DUMP, 0,
                                        true), 0);
   assert_int_equal(vmb_gpuvm_bo_set_evicted(bos[1], true), 0);
   vmb_gpuvm_check(gpuvm);

   unsigned i = 0;
   vmb_gpuvm_iter_init(gpuvm, &iter, 0, UINT64_MAX);
   for (; vmb_gpuvm_iter_next(&iter, &m); i++) {
      assert_int_equal(m.addr_B, TILES_AT + i * TILE);
      assert_int_equal(!!(m.flags & VMB_MAPPING_DUMP), i >= 50 && i < 250);
      assert_int_equal(!!(m.flags & VMB_MAPPING_INVALIDATED), i % 2);
      assert_ptr_equal(m.vm_bo, bos[i % 2]);
   }
   assert_int_equal(i, 300);

   assert_int_equal(vmb_gpuvm_set_flags(gpuvm, TILES_AT, TILE, VMB_MAPPING_INVALIDATED, 0, true),
                    -EINVAL);
   for (unsigned b = 0; b < 2; b++)
      vmb_gpuvm_bo_put(bos[b]);
   finish(gpuvm);
   for (unsigned b = 0; b < 2; b++)
      vmb_gpuvm_obj_finish(&objs[b]);
}

/* A mapping of two tiles is the last of a leaf to become a tile, or two, by being cut for flags. */
static void
test_flags_cut_tiles(void **state)
{
   (void)state;
   for (unsigned count = 1; count < 130; count++) {
      struct vmb_gpuvm *gpuvm = new_gpuvm(false);
      struct vmb_gpuvm_obj obj;
      struct vmb_gpuvm_bo *bo = obtain(gpuvm, &obj);
      struct vmb_gpuvm_iter iter;
      struct vmb_mapping m;
      unsigned seen = 0;

      for (unsigned i = 0; i < count; i++)
         map(gpuvm, bo, TILES_AT + i * TILE, TILE, i * TILE);
      map(gpuvm, bo, TILES_AT + count * TILE, 2 * TILE, count * TILE);
      assert_int_equal(vmb_gpuvm_set_flags(gpuvm, TILES_AT + (count + 1) * TILE, 2 * TILE,
                                           VMB_MAPPING_DUMP, 0, true), 0);
      vmb_gpuvm_check(gpuvm);
      vmb_gpuvm_iter_init(gpuvm, &iter, 0, UINT64_MAX);
      for (; vmb_gpuvm_iter_next(&iter, &m); seen++)
         assert_int_equal(!!(m.flags & VMB_MAPPING_DUMP), seen == count + 1);
      assert_int_equal(seen, count + 2);

      vmb_gpuvm_bo_put(bo);
      finish(gpuvm);
      vmb_gpuvm_obj_finish(&obj);
   }
}

/* Tiles that are replaced in order by what cannot be tiles of their leaves. */
static void
test_tiles_become_others(void **state)
{
   (void)state;
   enum { COUNT = 2000 };
   struct vmb_gpuvm *gpuvm = new_gpuvm(false);
   struct vmb_gpuvm_obj obj;
   struct vmb_gpuvm_bo *bo = obtain(gpuvm, &obj);
   static struct vmb_gpuvm_req reqs[COUNT];

   for (unsigned i = 0; i < COUNT; i++)
      map(gpuvm, bo, TILES_AT + i * TILE, TILE, i * TILE);
   for (unsigned i = 0; i < COUNT; i++) {
      reqs[i] = (struct vmb_gpuvm_req){
         .map = {
            .addr_B = TILES_AT + i * TILE,
            .range_B = TILE,
            .vm_bo = bo,
            .offset_B = i * TILE,
            .flags = VMB_MAPPING_READONLY,
         },
      };
   }
   assert_int_equal(vmb_gpuvm_reserve(gpuvm, reqs, COUNT, NULL), 0);
   for (unsigned i = 0; i < COUNT; i++)
      vmb_gpuvm_map(gpuvm, &reqs[i].map, NULL);
   vmb_gpuvm_check(gpuvm);
   assert_int_equal(vmb_gpuvm_mapping_count(gpuvm), COUNT);

   vmb_gpuvm_bo_put(bo);
   finish(gpuvm);
   vmb_gpuvm_obj_finish(&obj);
}

static void
reserve_scattered(struct vmb_gpuvm *gpuvm, unsigned count)
{
   struct vmb_gpuvm_req *reqs = calloc(count, sizeof(*reqs));
   size_t replaced;

   for (unsigned i = 0; i < count; i++)
      reqs[i].map = (struct vmb_mapping){ .addr_B = 1ull << 31 | (uint64_t)i << 21, .range_B = PAGE,
                                          .flags = VMB_MAPPING_NULL };
   assert_int_equal(vmb_gpuvm_reserve_both_ways(gpuvm, reqs, count, &replaced), 0);
   free(reqs);
}

/* A small batch between two large ones does not give the memory back that the second one needs again; many do. */
static void
test_memory_stays_for_the_next_large_batch(void **state)
{
   (void)state;
   struct vmb_gpuvm *gpuvm = new_gpuvm(false);
   const size_t before_B = vmb_gpuvm_memory_B(gpuvm);

   reserve_scattered(gpuvm, 4096);
   const size_t large_B = vmb_gpuvm_memory_B(gpuvm);
   assert_true(large_B > before_B + (1 << 20));
   reserve_scattered(gpuvm, 2);
   assert_true(vmb_gpuvm_memory_B(gpuvm) > large_B - large_B / 32);
   for (unsigned i = 0; i < 1000; i++)
      reserve_scattered(gpuvm, 2);
   assert_true(vmb_gpuvm_memory_B(gpuvm) < before_B + (1 << 18));
   finish(gpuvm);
}

int
main(void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_parameters),
      cmocka_unit_test(test_valid_ranges),
      cmocka_unit_test(test_invalid_requests_are_refused),
      cmocka_unit_test(test_one_vm_bo_a_pair),
      cmocka_unit_test(test_mappings_and_records_keep_the_bo),
      cmocka_unit_test(test_external_objects),
      cmocka_unit_test(test_userptr_invalidation),
      cmocka_unit_test(test_weak_gpuvm),
      cmocka_unit_test(test_reservation_is_all_or_nothing),
      cmocka_unit_test(test_reservation_behind_full_leaves),
      cmocka_unit_test(test_reservation_inside_last_mappings),
      cmocka_unit_test(test_reservation_at_borders_of_leaves),
      cmocka_unit_test(test_reservation_of_an_undo),
      cmocka_unit_test(test_tiles_far_apart),
      cmocka_unit_test(test_tiles_are_small),
      cmocka_unit_test(test_tiles_of_two_kinds),
      cmocka_unit_test(test_flags_cut_tiles),
      cmocka_unit_test(test_tiles_become_others),
      cmocka_unit_test(test_memory_stays_for_the_next_large_batch),
   };

   return cmocka_run_group_tests_name("gpuvm", tests, NULL, NULL);
}

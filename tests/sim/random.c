/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Random operations on all personalities, and the page tables, the tree, and the CPU's view of
 * reserved addresses against an array with an element for each page. Prints the seed that repeats a
 * failure. Must know nothing of how any of these is made.
 */

#include "sim_test.h"

#define PAGES    512
#define BOS      4
#define BO_PAGES 64
#define HOLE     UINT32_MAX
#define NULL_MAP (UINT32_MAX - 1)

struct world {
   bool msm;
   bool xe;
   int fd;
   uint32_t vm;
   uint32_t bos[BOS];
   char *window;
   /* What each page shows: bo * BO_PAGES + page, or one of the above */
   uint32_t pages[PAGES];
   uint64_t rng;
};

static uint32_t
random_below(struct world *world, uint32_t bound)
{
   world->rng ^= world->rng << 13;
   world->rng ^= world->rng >> 7;
   world->rng ^= world->rng << 17;
   return (world->rng >> 11) % bound;
}

static void
world_open(struct world *world, const char *kmd, uint64_t seed)
{
   memset(world, 0, sizeof(*world));
   world->msm = !strcmp(kmd, "msm");
   world->xe = !strcmp(kmd, "xe");
   world->rng = seed * 0x9e3779b97f4a7c15ull + 1;
   world->window =
      mmap(NULL, PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
   assert_ptr_not_equal(world->window, MAP_FAILED);
   world->fd = world->msm ? open_msm(kmd) : open_node(kmd);
   world->vm = world->msm  ? 0
               : world->xe ? xe_vm_create(world->fd, 0)
                           : panthor_vm_create(world->fd);
   for (uint32_t i = 0; i < PAGES; i++)
      world->pages[i] = HOLE;

   for (uint32_t b = 0; b < BOS; b++) {
      const uint64_t size = BO_PAGES * PAGE;
      world->bos[b] = world->msm  ? msm_bo_create(world->fd, size, 0)
                      : world->xe ? xe_bo_create(world->fd, size, 0)
                                  : panthor_bo_create(world->fd, size, 0);
      uint32_t *cpu = world->msm  ? msm_map_cpu(world->fd, world->bos[b], size)
                      : world->xe ? xe_map_cpu(world->fd, world->bos[b], size)
                                  : panthor_map_cpu(world->fd, world->bos[b], size);
      for (uint32_t p = 0; p < BO_PAGES; p++)
         cpu[p * PAGE / 4] = b * BO_PAGES + p;
      munmap(cpu, size);
   }
}

static void
world_close(struct world *world)
{
   close(world->fd);
   munmap(world->window, PAGES * PAGE);
}

struct random_op {
   enum { MAP, UNMAP, NULL_OP } kind;
   uint32_t page;
   uint32_t count;
   uint32_t bo;
   uint32_t bo_page;
};

static struct random_op
random_op(struct world *world)
{
   struct random_op op = {
      .kind = random_below(world, 8) < 5 ? MAP
              : random_below(world, 3)   ? UNMAP
                                         : NULL_OP,
      .page = random_below(world, PAGES),
      .bo = random_below(world, BOS),
   };
   uint32_t most = PAGES - op.page;

   if (op.kind == MAP) {
      op.bo_page = random_below(world, BO_PAGES);
      /* Often what continues a neighbour, so that runs come about */
      if (op.page && world->pages[op.page - 1] < NULL_MAP && random_below(world, 2)) {
         op.bo = world->pages[op.page - 1] / BO_PAGES;
         op.bo_page = (world->pages[op.page - 1] + 1) % BO_PAGES;
      }
      most = most < BO_PAGES - op.bo_page ? most : BO_PAGES - op.bo_page;
   }
   op.count = 1 + random_below(world, random_below(world, 4) ? (most + 15) / 16 : most);
   return op;
}

static void
apply_to_model(struct world *world, const struct random_op *op)
{
   for (uint32_t i = 0; i < op->count; i++) {
      world->pages[op->page + i] = op->kind == MAP     ? op->bo * BO_PAGES + op->bo_page + i
                                   : op->kind == UNMAP ? HOLE
                                                       : NULL_MAP;
   }
}

static void
bind_ops(struct world *world, const struct random_op *ops, uint32_t count)
{
   struct drm_panthor_vm_bind_op panthor_ops[16];
   struct drm_msm_vm_bind_op msm_ops[16];
   struct drm_xe_vm_bind_op xe_ops[16];

   for (uint32_t i = 0; i < count; i++) {
      const struct random_op *op = &ops[i];
      uint64_t va = (uintptr_t)world->window + op->page * PAGE;
      uint64_t size = op->count * PAGE;

      if (op->kind == MAP) {
         panthor_ops[i] = panthor_map(world->bos[op->bo], op->bo_page * PAGE, va, size);
         msm_ops[i] = msm_map(world->bos[op->bo], op->bo_page * PAGE, va, size);
         xe_ops[i] = xe_map(world->bos[op->bo], op->bo_page * PAGE, va, size);
      } else if (op->kind == UNMAP) {
         panthor_ops[i] = panthor_unmap(va, size);
         msm_ops[i] = msm_unmap(va, size);
         xe_ops[i] = xe_unmap(va, size);
      } else {
         panthor_ops[i] = (struct drm_panthor_vm_bind_op){
            .flags = DRM_PANTHOR_VM_BIND_OP_MAP_SPARSE | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC,
            .va = va,
            .size = size,
         };
         msm_ops[i] = msm_null(va, size);
         xe_ops[i] = xe_null(va, size);
      }
   }

   if (world->msm) {
      assert_ok(msm_bind(world->fd, 1, msm_ops, count));
   } else if (world->xe) {
      assert_ok(xe_bind(world->fd, world->vm, 0, xe_ops, count, NULL, 0));
   } else {
      uint32_t flags = random_below(world, 2) ? DRM_PANTHOR_VM_BIND_ASYNC : 0;
      /* A synchronous one would overtake what is queued. */
      if (!flags)
         assert_ok(drm_sim_wait_idle(world->fd, world->vm));
      assert_ok(panthor_bind(world->fd, world->vm, flags, panthor_ops, count));
   }
}

static bool
page_is(const struct world *world, uint32_t i)
{
   uint64_t va = (uintptr_t)world->window + i * PAGE;
   struct drm_sim_mapping mapping;
   int ret = drm_sim_lookup(world->fd, world->vm, va, &mapping);
   uint32_t want = world->pages[i];
   const uint32_t null_flags = DRM_SIM_MAPPING_NULL | DRM_SIM_MAPPING_SPARSE;

   if (want == HOLE)
      return ret == -EFAULT;
   if (ret)
      return false;
   if (want == NULL_MAP)
      return mapping.flags & null_flags;
   if (mapping.flags || mapping.handle != world->bos[want / BO_PAGES] ||
       mapping.bo_offset_B != want % BO_PAGES * PAGE)
      return false;
   /* And so it is for the CPU. */
   return *(volatile uint32_t *)(world->window + i * PAGE) == want;
}

/* The tree's mappings do not overlap, and say page by page what the page tables do. */
static void
check_tree(const struct world *world)
{
   static struct mappings tree;
   uint64_t last_end = 0;
   uint32_t covered = 0, mapped = 0;

   get_tree(world->fd, world->vm, &tree);
   for (uint32_t i = 0; i < tree.count; i++) {
      const struct drm_sim_mapping *va = &tree.list[i];

      assert_true(va->va >= last_end);
      last_end = va->va + va->range_B;
      for (uint64_t offset = 0; offset < va->range_B; offset += PAGE) {
         uint32_t page = (va->va + offset - (uintptr_t)world->window) / PAGE;
         uint32_t want = world->pages[page];

         assert_int_not_equal(want, HOLE);
         if (want != NULL_MAP) {
            assert_int_equal(va->handle, world->bos[want / BO_PAGES]);
            assert_int_equal(va->bo_offset_B + offset, want % BO_PAGES * PAGE);
         }
         covered++;
      }
   }
   for (uint32_t i = 0; i < PAGES; i++)
      mapped += world->pages[i] != HOLE;
   assert_int_equal(covered, mapped);
}

static void
run(const char *kmd, uint64_t seed, uint32_t batches)
{
   struct world world;

   world_open(&world, kmd, seed);
   for (uint32_t batch = 0; batch < batches; batch++) {
      struct random_op ops[16];
      uint32_t count = 1 + random_below(&world, ARRAY_LENGTH(ops));

      for (uint32_t i = 0; i < count; i++) {
         ops[i] = random_op(&world);
         apply_to_model(&world, &ops[i]);
      }
      bind_ops(&world, ops, count);

      if (batch % 16 && batch + 1 < batches)
         continue;
      assert_ok(drm_sim_wait_idle(world.fd, world.vm));
      for (uint32_t i = 0; i < PAGES; i++) {
         if (!page_is(&world, i))
            fail_msg("%s, seed %llu, batch %u: page %u", kmd, (unsigned long long)seed, batch, i);
      }
      check_tree(&world);
   }
   world_close(&world);
}

static void
test_random(void **state)
{
   const char *given = getenv("VMBIND_TEST_SEED");
   const uint64_t seed = given ? strtoull(given, NULL, 0) : 1;

   for (uint64_t i = 0; i < 20; i++)
      run(*state, seed + i, 200);
}

int
main(void)
{
   const struct CMUnitTest tests[] = {
      {"random panthor", test_random, NULL, NULL, "panthor"},
      {"random msm", test_random, NULL, NULL, "msm"},
      {"random xe", test_random, NULL, NULL, "xe"},
   };
   return cmocka_run_group_tests_name("sim random", tests, NULL, NULL);
}

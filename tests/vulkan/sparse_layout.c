/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * vmbvk_sparse.h against its specification: which bytes of an image a bind names, and from where in
 * memory they come.  Each block of a region is checked by itself; no device.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "vmbvk_sparse.h"

#define KiB 1024ull
#define GiB (1024ull * 1024 * 1024)

/* RGBA8: blocks of 128 x 128 texels. */
static struct vmbvk_sparse_layout
rgba8_2d(uint32_t width, uint32_t height, uint32_t levels, uint32_t layers)
{
   struct vmbvk_sparse_layout layout = {
      .block_px = {128, 128, 1},
      .size_px = {width, height, 1},
      .level_count = levels,
      .layer_count = layers,
   };

   for (uint32_t l = 0; l < levels; l++) {
      const struct vmbvk_extent blocks = vmbvk_sparse_level_blocks(&layout, l);
      layout.level_offset_B[l] = layout.size_B;
      layout.layer_stride_B[l] = (uint64_t)blocks.width * blocks.height * VMBVK_BLOCK_SIZE_B;
      layout.size_B += layout.layer_stride_B[l] * layers;
   }

   return layout;
}

static struct vmbvk_sparse_layout
rgba8_3d(uint32_t width, uint32_t height, uint32_t depth)
{
   struct vmbvk_sparse_layout layout = {
      .block_px = {32, 32, 16},
      .size_px = {width, height, depth},
      .level_count = 1,
      .layer_count = 1,
   };
   const struct vmbvk_extent blocks = vmbvk_sparse_level_blocks(&layout, 0);

   layout.size_B = (uint64_t)blocks.width * blocks.height * blocks.depth * VMBVK_BLOCK_SIZE_B;
   return layout;
}

/* The memory offset that the runs give to a byte of the resource; -1 if none does. */
static int64_t
mem_offset_at(const struct util_dynarray *runs, uint64_t offset_B)
{
   util_dynarray_foreach (runs, struct vmbvk_sparse_run, run) {
      if (offset_B >= run->offset_B && offset_B - run->offset_B < run->size_B)
         return run->mem_offset_B + (offset_B - run->offset_B);
   }
   return -1;
}

static uint64_t
total_size_B(const struct util_dynarray *runs)
{
   uint64_t size_B = 0;
   util_dynarray_foreach (runs, struct vmbvk_sparse_run, run)
      size_B += run->size_B;
   return size_B;
}

static unsigned
run_count(const struct util_dynarray *runs)
{
   return util_dynarray_num_elements(runs, struct vmbvk_sparse_run);
}

/* ----------------------------------------------------------------------- tests */

static void
one_block(void **state)
{
   const struct vmbvk_sparse_layout layout = rgba8_2d(1024, 512, 1, 1);
   struct util_dynarray runs;
   util_dynarray_init(&runs, NULL);

   assert_int_equal(vmbvk_sparse_image_runs(&layout, 0, 0, &(struct vmbvk_extent){256, 128, 0},
                                            &(struct vmbvk_extent){128, 128, 1}, 192 * KiB, &runs),
                    0);
   assert_int_equal(run_count(&runs), 1);

   /* Second row of eight blocks, third in its row. */
   const struct vmbvk_sparse_run *run = util_dynarray_element(&runs, struct vmbvk_sparse_run, 0);
   assert_int_equal(run->offset_B, (8 + 2) * VMBVK_BLOCK_SIZE_B);
   assert_int_equal(run->size_B, VMBVK_BLOCK_SIZE_B);
   assert_int_equal(run->mem_offset_B, 192 * KiB);

   util_dynarray_fini(&runs);
}

static void
rows_of_the_whole_width_are_one_run(void **state)
{
   const struct vmbvk_sparse_layout layout = rgba8_2d(1024, 512, 1, 1);
   struct util_dynarray runs;
   util_dynarray_init(&runs, NULL);

   assert_int_equal(vmbvk_sparse_image_runs(&layout, 0, 0, &(struct vmbvk_extent){0, 128, 0},
                                            &(struct vmbvk_extent){1024, 384, 1}, 0, &runs),
                    0);
   assert_int_equal(run_count(&runs), 1);
   assert_int_equal(total_size_B(&runs), 24 * VMBVK_BLOCK_SIZE_B);

   util_dynarray_fini(&runs);
}

static void
rows_of_a_part_are_a_run_each(void **state)
{
   const struct vmbvk_sparse_layout layout = rgba8_2d(1024, 512, 1, 1);
   struct util_dynarray runs;
   util_dynarray_init(&runs, NULL);

   assert_int_equal(vmbvk_sparse_image_runs(&layout, 0, 0, &(struct vmbvk_extent){128, 0, 0},
                                            &(struct vmbvk_extent){256, 512, 1}, 0, &runs),
                    0);
   assert_int_equal(run_count(&runs), 4);

   util_dynarray_fini(&runs);
}

/* What was there before stays, and nothing joins it. */
static void
runs_are_appended(void **state)
{
   const struct vmbvk_sparse_layout layout = rgba8_2d(1024, 512, 1, 1);
   const struct vmbvk_extent block = {128, 128, 1};
   struct util_dynarray runs;
   util_dynarray_init(&runs, NULL);

   vmbvk_sparse_image_runs(&layout, 0, 0, &(struct vmbvk_extent){0, 0, 0}, &block, 0, &runs);
   vmbvk_sparse_image_runs(&layout, 0, 0, &(struct vmbvk_extent){128, 0, 0}, &block,
                           VMBVK_BLOCK_SIZE_B, &runs);
   assert_int_equal(run_count(&runs), 2);

   util_dynarray_fini(&runs);
}

/* Every block of every region of a small array with levels, one by one. */
static void
every_region_of_an_array(void **state)
{
   const struct vmbvk_sparse_layout layout = rgba8_2d(600, 400, 3, 2);
   struct util_dynarray runs;
   util_dynarray_init(&runs, NULL);

   for (uint32_t level = 0; level < layout.level_count; level++) {
      const struct vmbvk_extent n = vmbvk_sparse_level_blocks(&layout, level);
      const uint32_t width = MAX2(600u >> level, 1), height = MAX2(400u >> level, 1);

      for (uint32_t layer = 0; layer < 2; layer++)
         for (uint32_t x0 = 0; x0 < n.width; x0++)
            for (uint32_t x1 = x0 + 1; x1 <= n.width; x1++)
               for (uint32_t y0 = 0; y0 < n.height; y0++)
                  for (uint32_t y1 = y0 + 1; y1 <= n.height; y1++) {
                     const struct vmbvk_extent offset = {x0 * 128, y0 * 128, 0};
                     const struct vmbvk_extent extent = {MIN2(x1 * 128, width) - offset.width,
                                                         MIN2(y1 * 128, height) - offset.height, 1};

                     util_dynarray_clear(&runs);
                     assert_int_equal(vmbvk_sparse_image_runs(&layout, level, layer, &offset,
                                                              &extent, 7 * 64 * KiB, &runs),
                                      0);
                     assert_int_equal(total_size_B(&runs),
                                      (x1 - x0) * (y1 - y0) * VMBVK_BLOCK_SIZE_B);

                     uint64_t mem_B = 7 * 64 * KiB;
                     for (uint32_t y = y0; y < y1; y++) {
                        for (uint32_t x = x0; x < x1; x++) {
                           const uint64_t at_B = layout.level_offset_B[level] +
                                                 layout.layer_stride_B[level] * layer +
                                                 (y * n.width + x) * VMBVK_BLOCK_SIZE_B;
                           assert_int_equal(mem_offset_at(&runs, at_B), mem_B);
                           assert_int_equal(mem_offset_at(&runs, at_B + VMBVK_BLOCK_SIZE_B - 1),
                                            mem_B + VMBVK_BLOCK_SIZE_B - 1);
                           mem_B += VMBVK_BLOCK_SIZE_B;
                        }
                     }
                  }
   }

   util_dynarray_fini(&runs);
}

static void
slices_of_3d_images(void **state)
{
   const struct vmbvk_sparse_layout layout = rgba8_3d(64, 96, 48);
   struct util_dynarray runs;
   util_dynarray_init(&runs, NULL);

   assert_int_equal(vmbvk_sparse_image_runs(&layout, 0, 0, &(struct vmbvk_extent){32, 32, 16},
                                            &(struct vmbvk_extent){32, 64, 32}, 0, &runs),
                    0);
   /* 2 x 3 x 3 blocks: column 1, rows 1 and 2, slices 1 and 2. */
   const uint32_t expected[] = {9, 11, 15, 17};
   for (unsigned i = 0; i < ARRAY_SIZE(expected); i++)
      assert_int_equal(mem_offset_at(&runs, expected[i] * VMBVK_BLOCK_SIZE_B),
                       i * VMBVK_BLOCK_SIZE_B);
   assert_int_equal(total_size_B(&runs), 4 * VMBVK_BLOCK_SIZE_B);

   util_dynarray_fini(&runs);
}

static void
offsets_have_64_bits(void **state)
{
   /* 65536 x 65536 x 4 bytes a layer: 16 GiB each. */
   const struct vmbvk_sparse_layout layout = rgba8_2d(65536, 65536, 1, 4);
   const struct vmbvk_extent block = {128, 128, 1};
   struct util_dynarray runs;
   util_dynarray_init(&runs, NULL);

   assert_int_equal(layout.size_B, 64 * GiB);
   assert_int_equal(
      vmbvk_sparse_image_runs(&layout, 0, 3, &(struct vmbvk_extent){65536 - 128, 65536 - 128, 0},
                              &block, 5 * GiB, &runs),
      0);
   assert_int_equal(mem_offset_at(&runs, 64 * GiB - VMBVK_BLOCK_SIZE_B), 5 * GiB);

   /* Memory offsets inside one large region. */
   util_dynarray_clear(&runs);
   assert_int_equal(vmbvk_sparse_image_runs(&layout, 0, 0, &(struct vmbvk_extent){0, 0, 0},
                                            &(struct vmbvk_extent){32768, 65536, 1}, 0, &runs),
                    0);
   assert_int_equal(mem_offset_at(&runs, 511 * 512 * VMBVK_BLOCK_SIZE_B),
                    511 * 256 * VMBVK_BLOCK_SIZE_B);
   assert_true(total_size_B(&runs) == 8 * GiB);

   util_dynarray_fini(&runs);
}

static void
regions_that_are_none(void **state)
{
   const struct vmbvk_sparse_layout layout = rgba8_2d(600, 400, 3, 2);
   static const struct {
      uint32_t level, layer;
      struct vmbvk_extent offset, extent;
   } bad[] = {
      {3, 0, {0, 0, 0}, {128, 128, 1}},                /* no such level */
      {0, 2, {0, 0, 0}, {128, 128, 1}},                /* no such layer */
      {0, 0, {64, 0, 0}, {128, 128, 1}},               /* offset inside a block */
      {0, 0, {0, 0, 0}, {100, 128, 1}},                /* extent inside a block */
      {0, 0, {0, 0, 0}, {0, 128, 1}},                  /* empty */
      {0, 0, {640, 0, 0}, {128, 128, 1}},              /* outside */
      {0, 0, {512, 0, 0}, {256, 128, 1}},              /* ends outside */
      {0, 0, {0, 0, 1}, {128, 128, 1}},                /* a 2D image has one slice */
      {0, 0, {128, 0, 0}, {UINT32_MAX - 127, 128, 1}}, /* wraps */
   };
   struct util_dynarray runs;
   util_dynarray_init(&runs, NULL);

   for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
      assert_int_equal(vmbvk_sparse_image_runs(&layout, bad[i].level, bad[i].layer, &bad[i].offset,
                                               &bad[i].extent, 0, &runs),
                       -EINVAL);
      assert_int_equal(run_count(&runs), 0);
   }

   util_dynarray_fini(&runs);
}

static void
ranges(void **state)
{
   const uint64_t page = 4096;

   assert_true(vmbvk_sparse_range_valid(0, 4096, 8192, page));
   assert_true(vmbvk_sparse_range_valid(4096, 4096, 8192, page));
   assert_true(vmbvk_sparse_range_valid(4096, 4, 4100, page));
   assert_false(vmbvk_sparse_range_valid(0, 0, 8192, page));
   assert_false(vmbvk_sparse_range_valid(0, 100, 8192, page));
   assert_false(vmbvk_sparse_range_valid(100, 4096, 8192, page));
   assert_false(vmbvk_sparse_range_valid(8192, 4096, 8192, page));
   assert_false(vmbvk_sparse_range_valid(4096, UINT64_MAX - 4095, 8192, page));
   assert_false(vmbvk_sparse_range_valid(UINT64_MAX - 4095, 8192, 8192, page));
}

int
main(void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_block),
      cmocka_unit_test(rows_of_the_whole_width_are_one_run),
      cmocka_unit_test(rows_of_a_part_are_a_run_each),
      cmocka_unit_test(runs_are_appended),
      cmocka_unit_test(every_region_of_an_array),
      cmocka_unit_test(slices_of_3d_images),
      cmocka_unit_test(offsets_have_64_bits),
      cmocka_unit_test(regions_that_are_none),
      cmocka_unit_test(ranges),
   };

   return cmocka_run_group_tests(tests, NULL, NULL);
}

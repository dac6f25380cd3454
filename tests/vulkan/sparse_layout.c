/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * vmbind_sparse.h against its specification: which bytes of an image a bind names, and from where in
 * memory they come.  Each block of a region is checked by itself; no device.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "util/u_math.h"

#include "vmbind/vmbind_sparse.h"

#define KiB 1024ull
#define GiB (1024ull * 1024 * 1024)

/* RGBA8: blocks of 128 x 128 texels. */
static struct vmbind_sparse_layout
rgba8_2d(uint32_t width, uint32_t height, uint32_t levels, uint32_t layers)
{
   const struct vmbind_sparse_image image = {
      .dimensions = 2,
      .element_px = {1, 1, 1},
      .element_size_B = 4,
      .block_el = {128, 128, 1},
      .size_px = {width, height, 1},
      .level_count = levels,
      .layer_count = layers,
      .sample_count = 1,
   };
   struct vmbind_sparse_layout layout;

   vmbind_sparse_layout_init(&image, &layout);
   return layout;
}

static struct vmbind_sparse_layout
rgba8_3d(uint32_t width, uint32_t height, uint32_t depth)
{
   const struct vmbind_sparse_image image = {
      .dimensions = 3,
      .element_px = {1, 1, 1},
      .element_size_B = 4,
      .block_el = {32, 32, 16},
      .size_px = {width, height, depth},
      .level_count = 1,
      .layer_count = 1,
      .sample_count = 1,
   };
   struct vmbind_sparse_layout layout;

   vmbind_sparse_layout_init(&image, &layout);
   return layout;
}

/* The memory offset that the runs give to a byte of the resource; -1 if none does. */
static int64_t
mem_offset_at(const struct util_dynarray *runs, uint64_t offset_B)
{
   util_dynarray_foreach (runs, struct vmbind_sparse_run, run) {
      if (offset_B >= run->offset_B && offset_B - run->offset_B < run->size_B)
         return run->mem_offset_B + (offset_B - run->offset_B);
   }
   return -1;
}

static uint64_t
total_size_B(const struct util_dynarray *runs)
{
   uint64_t size_B = 0;
   util_dynarray_foreach (runs, struct vmbind_sparse_run, run)
      size_B += run->size_B;
   return size_B;
}

static unsigned
run_count(const struct util_dynarray *runs)
{
   return util_dynarray_num_elements(runs, struct vmbind_sparse_run);
}

/* ----------------------------------------------------------------------- tests */

static void
one_block(void **state)
{
   const struct vmbind_sparse_layout layout = rgba8_2d(1024, 512, 1, 1);
   struct util_dynarray runs;
   util_dynarray_init(&runs, NULL);

   assert_int_equal(vmbind_sparse_image_runs(&layout, 0, 0, &(struct vmbind_extent){256, 128, 0},
                                            &(struct vmbind_extent){128, 128, 1}, 192 * KiB, &runs),
                    0);
   assert_int_equal(run_count(&runs), 1);

   /* Second row of eight blocks, third in its row. */
   const struct vmbind_sparse_run *run = util_dynarray_element(&runs, struct vmbind_sparse_run, 0);
   assert_int_equal(run->offset_B, (8 + 2) * VMBIND_SPARSE_BLOCK_SIZE_B);
   assert_int_equal(run->size_B, VMBIND_SPARSE_BLOCK_SIZE_B);
   assert_int_equal(run->mem_offset_B, 192 * KiB);

   util_dynarray_fini(&runs);
}

static void
rows_of_the_whole_width_are_one_run(void **state)
{
   const struct vmbind_sparse_layout layout = rgba8_2d(1024, 512, 1, 1);
   struct util_dynarray runs;
   util_dynarray_init(&runs, NULL);

   assert_int_equal(vmbind_sparse_image_runs(&layout, 0, 0, &(struct vmbind_extent){0, 128, 0},
                                            &(struct vmbind_extent){1024, 384, 1}, 0, &runs),
                    0);
   assert_int_equal(run_count(&runs), 1);
   assert_int_equal(total_size_B(&runs), 24 * VMBIND_SPARSE_BLOCK_SIZE_B);

   util_dynarray_fini(&runs);
}

static void
rows_of_a_part_are_a_run_each(void **state)
{
   const struct vmbind_sparse_layout layout = rgba8_2d(1024, 512, 1, 1);
   struct util_dynarray runs;
   util_dynarray_init(&runs, NULL);

   assert_int_equal(vmbind_sparse_image_runs(&layout, 0, 0, &(struct vmbind_extent){128, 0, 0},
                                            &(struct vmbind_extent){256, 512, 1}, 0, &runs),
                    0);
   assert_int_equal(run_count(&runs), 4);

   util_dynarray_fini(&runs);
}

/* What was there before stays, and nothing joins it. */
static void
runs_are_appended(void **state)
{
   const struct vmbind_sparse_layout layout = rgba8_2d(1024, 512, 1, 1);
   const struct vmbind_extent block = {128, 128, 1};
   struct util_dynarray runs;
   util_dynarray_init(&runs, NULL);

   vmbind_sparse_image_runs(&layout, 0, 0, &(struct vmbind_extent){0, 0, 0}, &block, 0, &runs);
   vmbind_sparse_image_runs(&layout, 0, 0, &(struct vmbind_extent){128, 0, 0}, &block,
                           VMBIND_SPARSE_BLOCK_SIZE_B, &runs);
   assert_int_equal(run_count(&runs), 2);

   util_dynarray_fini(&runs);
}

/* Every block of every region of a small array with levels, one by one. */
static void
every_region_of_an_array(void **state)
{
   const struct vmbind_sparse_layout layout = rgba8_2d(600, 400, 3, 2);
   struct util_dynarray runs;
   util_dynarray_init(&runs, NULL);

   for (uint32_t level = 0; level < layout.level_count; level++) {
      const struct vmbind_extent n = layout.level_blocks[level];
      const uint32_t width = MAX2(600u >> level, 1), height = MAX2(400u >> level, 1);

      for (uint32_t layer = 0; layer < 2; layer++)
         for (uint32_t x0 = 0; x0 < n.width; x0++)
            for (uint32_t x1 = x0 + 1; x1 <= n.width; x1++)
               for (uint32_t y0 = 0; y0 < n.height; y0++)
                  for (uint32_t y1 = y0 + 1; y1 <= n.height; y1++) {
                     const struct vmbind_extent offset = {x0 * 128, y0 * 128, 0};
                     const struct vmbind_extent extent = {MIN2(x1 * 128, width) - offset.width,
                                                         MIN2(y1 * 128, height) - offset.height, 1};

                     util_dynarray_clear(&runs);
                     assert_int_equal(vmbind_sparse_image_runs(&layout, level, layer, &offset,
                                                              &extent, 7 * 64 * KiB, &runs),
                                      0);
                     assert_int_equal(total_size_B(&runs),
                                      (x1 - x0) * (y1 - y0) * VMBIND_SPARSE_BLOCK_SIZE_B);

                     uint64_t mem_B = 7 * 64 * KiB;
                     for (uint32_t y = y0; y < y1; y++) {
                        for (uint32_t x = x0; x < x1; x++) {
                           const uint64_t at_B = layout.level_offset_B[level] +
                                                 layout.layer_stride_B[level] * layer +
                                                 (y * n.width + x) * VMBIND_SPARSE_BLOCK_SIZE_B;
                           assert_int_equal(mem_offset_at(&runs, at_B), mem_B);
                           assert_int_equal(mem_offset_at(&runs, at_B + VMBIND_SPARSE_BLOCK_SIZE_B - 1),
                                            mem_B + VMBIND_SPARSE_BLOCK_SIZE_B - 1);
                           mem_B += VMBIND_SPARSE_BLOCK_SIZE_B;
                        }
                     }
                  }
   }

   util_dynarray_fini(&runs);
}

/* ----------------------------------------------------------------- every layout */

/* Every class of formats: bytes of an element, its texels, and the standard block shapes in elements
 * (Vulkan, "Standard Sparse Image Block Shapes").  Three bytes have the shape of four.
 */
static const struct format_class {
   const char *name;
   uint32_t element_size_B;
   struct vmbind_extent element_px;
   struct vmbind_extent block_2d, block_2d_4x, block_3d;
} classes[] = {
   {"8 bits", 1, {1, 1, 1}, {256, 256, 1}, {128, 128, 1}, {64, 32, 32}},
   {"16 bits", 2, {1, 1, 1}, {256, 128, 1}, {128, 64, 1}, {32, 32, 32}},
   {"24 bits", 3, {1, 1, 1}, {128, 128, 1}, {64, 64, 1}, {32, 32, 16}},
   {"32 bits", 4, {1, 1, 1}, {128, 128, 1}, {64, 64, 1}, {32, 32, 16}},
   {"64 bits", 8, {1, 1, 1}, {128, 64, 1}, {64, 32, 1}, {32, 16, 16}},
   {"128 bits", 16, {1, 1, 1}, {64, 64, 1}, {32, 32, 1}, {16, 16, 16}},
   {"BC1", 8, {4, 4, 1}, {128, 64, 1}, {0, 0, 0}, {32, 16, 16}},
   {"BC7", 16, {4, 4, 1}, {64, 64, 1}, {0, 0, 0}, {16, 16, 16}},
   {"ASTC 5x4", 16, {5, 4, 1}, {64, 64, 1}, {0, 0, 0}, {16, 16, 16}},
   {"ASTC 12x10", 16, {12, 10, 1}, {64, 64, 1}, {0, 0, 0}, {16, 16, 16}},
   {"4:2:2", 4, {2, 1, 1}, {128, 128, 1}, {0, 0, 0}, {32, 32, 16}},
};

static const struct vmbind_extent sizes_2d[] = {
   {1, 1, 1},     {11, 37, 1},    {37, 11, 1},   {64, 64, 1},    {127, 127, 1},  {128, 128, 1},
   {129, 127, 1}, {255, 256, 1},  {256, 1, 1},   {1, 1000, 1},   {503, 137, 1},  {512, 256, 1},
   {600, 400, 1}, {1023, 511, 1}, {1024, 16, 1},
};
static const struct vmbind_extent sizes_3d[] = {
   {1, 1, 1},    {11, 37, 5},  {16, 16, 16}, {32, 32, 16},  {33, 31, 17},
   {64, 64, 64}, {64, 32, 3},  {1, 1, 100},  {503, 137, 3}, {128, 128, 8},
};

static uint32_t
full_chain(const struct vmbind_extent *size)
{
   return util_logbase2(MAX3(size->width, size->height, size->depth)) + 1;
}

/* Where an element is, by the words of the header and one step at a time. */
static uint64_t
element_at(const struct vmbind_sparse_image *image, const struct vmbind_sparse_layout *layout,
           uint32_t level, uint32_t layer, uint32_t sample, uint32_t x, uint32_t y, uint32_t z)
{
   const struct vmbind_extent *b = &image->block_el;
   const uint32_t width_el =
      DIV_ROUND_UP(u_minify(image->size_px.width, level), image->element_px.width);
   const uint32_t height_el =
      DIV_ROUND_UP(u_minify(image->size_px.height, level), image->element_px.height);
   uint64_t block = 0, at = layout->level_offset_B[level] + layout->layer_stride_B[level] * layer;

   for (uint32_t k = 0; k < z / b->depth; k++)
      block += DIV_ROUND_UP(height_el, b->height) * DIV_ROUND_UP(width_el, b->width);
   for (uint32_t j = 0; j < y / b->height; j++)
      block += DIV_ROUND_UP(width_el, b->width);
   block += x / b->width;

   at += block * VMBIND_SPARSE_BLOCK_SIZE_B + (uint64_t)sample * layout->sample_stride_B;
   at += ((uint64_t)(z % b->depth) * b->height + y % b->height) * layout->row_stride_B;
   return at + (uint64_t)(x % b->width) * image->element_size_B;
}

/* Each element of an image has bytes of its own, inside the image; a level of the tail is in the tail
 * of its layer; those that can be rendered to may be written in squares of 4 by 4 texels.
 */
static void
check_image(const char *name, const struct vmbind_sparse_image *image)
{
   struct vmbind_sparse_layout layout;
   vmbind_sparse_layout_init(image, &layout);

   uint8_t *taken = calloc(layout.size_B, 1);
   assert_non_null(taken);
   assert_int_equal(layout.size_B % VMBIND_SPARSE_BLOCK_SIZE_B, 0);

   for (uint32_t level = 0; level < image->level_count; level++) {
      const bool in_tail = level >= layout.tail_first_level;
      uint32_t width = DIV_ROUND_UP(u_minify(image->size_px.width, level), image->element_px.width);
      uint32_t height =
         DIV_ROUND_UP(u_minify(image->size_px.height, level), image->element_px.height);
      const uint32_t depth = u_minify(image->size_px.depth, level);

      if (image->element_px.width == 1) {
         width = align(width, 4);
         height = align(height, 4);
      }
      if (!in_tail)
         assert_int_equal(layout.level_offset_B[level] % VMBIND_SPARSE_BLOCK_SIZE_B, 0);

      for (uint32_t layer = 0; layer < image->layer_count; layer++)
      for (uint32_t sample = 0; sample < image->sample_count; sample++)
      for (uint32_t z = 0; z < depth; z++)
      for (uint32_t y = 0; y < height; y++)
      for (uint32_t x = 0; x < width; x++) {
         const uint64_t at = element_at(image, &layout, level, layer, sample, x, y, z);
         const uint64_t end = at + image->element_size_B;

         if (end > layout.size_B)
            fail_msg("%s: level %u, layer %u, %u,%u,%u: outside", name, level, layer, x, y, z);
         for (uint64_t i = at; i < end; i++) {
            if (taken[i]++)
               fail_msg("%s: level %u, layer %u, %u,%u,%u: taken", name, level, layer, x, y, z);
         }
         if (in_tail) {
            const uint64_t tail = layout.tail_offset_B + layout.tail_stride_B * layer;
            assert_true(at >= tail && end <= tail + layout.tail_size_B);
         } else {
            assert_true(end <= layout.tail_offset_B);
         }
      }
   }

   free(taken);
}

static void
every_element_has_a_place(void **state)
{
   for (unsigned c = 0; c < ARRAY_SIZE(classes); c++) {
      struct vmbind_sparse_image image = {
         .dimensions = 2,
         .element_px = classes[c].element_px,
         .element_size_B = classes[c].element_size_B,
         .block_el = classes[c].block_2d,
         .sample_count = 1,
      };

      for (unsigned s = 0; s < ARRAY_SIZE(sizes_2d); s++) {
         image.size_px = sizes_2d[s];
         image.level_count = full_chain(&sizes_2d[s]);
         for (image.layer_count = 1; image.layer_count <= 6; image.layer_count += 5) {
            if (image.layer_count > 1 && sizes_2d[s].width > 600)
               continue;
            image.single_tail = false;
            check_image(classes[c].name, &image);
            image.single_tail = true;
            check_image(classes[c].name, &image);
         }
      }

      image.dimensions = 3;
      image.block_el = classes[c].block_3d;
      image.layer_count = 1;
      for (unsigned s = 0; s < ARRAY_SIZE(sizes_3d); s++) {
         image.size_px = sizes_3d[s];
         image.level_count = full_chain(&sizes_3d[s]);
         check_image(classes[c].name, &image);
      }

      if (!classes[c].block_2d_4x.width)
         continue;
      image.dimensions = 2;
      image.block_el = classes[c].block_2d_4x;
      image.sample_count = 4;
      image.level_count = 1;
      image.layer_count = 2;
      for (unsigned s = 0; s < ARRAY_SIZE(sizes_2d); s++) {
         image.size_px = sizes_2d[s];
         check_image(classes[c].name, &image);
      }
   }
}

/* Rows of bytes: nothing of blocks. */
static void
one_dimension_is_linear(void **state)
{
   const struct vmbind_sparse_image image = {
      .dimensions = 1,
      .element_px = {1, 1, 1},
      .element_size_B = 16,
      .block_el = {65536, 1, 1},
      .size_px = {16384, 1, 1},
      .level_count = 15,
      .layer_count = 3,
      .sample_count = 1,
   };
   struct vmbind_sparse_layout layout;
   vmbind_sparse_layout_init(&image, &layout);

   assert_int_equal(layout.tail_first_level, 15);
   assert_int_equal(layout.layer_stride_B[0], 256 * KiB);
   assert_int_equal(layout.level_offset_B[1], 3 * 256 * KiB);
   assert_int_equal(layout.layer_stride_B[14], 64 * KiB);
}

/* The tail begins with the first level, but not level 0, for which half a block is enough. */
static void
tails(void **state)
{
   const struct vmbind_sparse_layout square = rgba8_2d(512, 512, 10, 3);
   assert_int_equal(square.tail_first_level, 3);
   assert_int_equal(square.tail_offset_B, 3 * (16 + 4 + 1) * 64 * KiB);
   assert_int_equal(square.tail_size_B, 64 * KiB);
   assert_int_equal(square.tail_stride_B, 64 * KiB);
   assert_int_equal(square.size_B, 3 * (16 + 4 + 1 + 1) * 64 * KiB);

   /* One level is level 0, however small. */
   assert_int_equal(rgba8_2d(11, 37, 1, 1).tail_first_level, 1);
   assert_int_equal(rgba8_2d(11, 37, 6, 1).tail_first_level, 1);
   /* 256 x 32, 128 x 16. */
   assert_int_equal(rgba8_2d(1024, 128, 11, 1).tail_first_level, 3);

   /* One tail for six faces: each takes 68 rows of 512 bytes, and not a block. */
   struct vmbind_sparse_image cube = {
      .dimensions = 2,
      .element_px = {1, 1, 1},
      .element_size_B = 4,
      .block_el = {128, 128, 1},
      .size_px = {128, 128, 1},
      .level_count = 8,
      .layer_count = 6,
      .sample_count = 1,
      .single_tail = true,
   };
   struct vmbind_sparse_layout layout;
   vmbind_sparse_layout_init(&cube, &layout);
   assert_int_equal(layout.tail_first_level, 1);
   assert_int_equal(layout.tail_stride_B, 0);
   assert_int_equal(layout.layer_stride_B[1], 68 * 512);
   assert_int_equal(layout.tail_size_B, 4 * 64 * KiB);
   assert_int_equal(layout.size_B, (6 + 4) * 64 * KiB);
}

/* Samples are inside a block. */
static void
samples_share_blocks(void **state)
{
   const struct vmbind_sparse_image image = {
      .dimensions = 2,
      .element_px = {1, 1, 1},
      .element_size_B = 4,
      .block_el = {64, 64, 1},
      .size_px = {100, 100, 1},
      .level_count = 1,
      .layer_count = 2,
      .sample_count = 4,
   };
   struct vmbind_sparse_layout layout;
   vmbind_sparse_layout_init(&image, &layout);

   assert_int_equal(layout.sample_stride_B, 16 * KiB);
   assert_int_equal(layout.layer_stride_B[0], 4 * 64 * KiB);
   assert_int_equal(layout.size_B, 8 * 64 * KiB);
}

/* No image bind reaches into the tail. */
static void
regions_of_the_tail_are_none(void **state)
{
   const struct vmbind_sparse_layout layout = rgba8_2d(512, 512, 10, 1);
   struct util_dynarray runs;
   util_dynarray_init(&runs, NULL);

   assert_int_equal(vmbind_sparse_image_runs(&layout, 2, 0, &(struct vmbind_extent){0, 0, 0},
                                            &(struct vmbind_extent){128, 128, 1}, 0, &runs),
                    0);
   assert_int_equal(vmbind_sparse_image_runs(&layout, 3, 0, &(struct vmbind_extent){0, 0, 0},
                                            &(struct vmbind_extent){64, 64, 1}, 0, &runs),
                    -EINVAL);
   util_dynarray_fini(&runs);
}

static void
slices_of_3d_images(void **state)
{
   const struct vmbind_sparse_layout layout = rgba8_3d(64, 96, 48);
   struct util_dynarray runs;
   util_dynarray_init(&runs, NULL);

   assert_int_equal(vmbind_sparse_image_runs(&layout, 0, 0, &(struct vmbind_extent){32, 32, 16},
                                            &(struct vmbind_extent){32, 64, 32}, 0, &runs),
                    0);
   /* 2 x 3 x 3 blocks: column 1, rows 1 and 2, slices 1 and 2. */
   const uint32_t expected[] = {9, 11, 15, 17};
   for (unsigned i = 0; i < ARRAY_SIZE(expected); i++)
      assert_int_equal(mem_offset_at(&runs, expected[i] * VMBIND_SPARSE_BLOCK_SIZE_B),
                       i * VMBIND_SPARSE_BLOCK_SIZE_B);
   assert_int_equal(total_size_B(&runs), 4 * VMBIND_SPARSE_BLOCK_SIZE_B);

   util_dynarray_fini(&runs);
}

static void
offsets_have_64_bits(void **state)
{
   /* 65536 x 65536 x 4 bytes a layer: 16 GiB each. */
   const struct vmbind_sparse_layout layout = rgba8_2d(65536, 65536, 1, 4);
   const struct vmbind_extent block = {128, 128, 1};
   struct util_dynarray runs;
   util_dynarray_init(&runs, NULL);

   assert_int_equal(layout.size_B, 64 * GiB);
   assert_int_equal(
      vmbind_sparse_image_runs(&layout, 0, 3, &(struct vmbind_extent){65536 - 128, 65536 - 128, 0},
                              &block, 5 * GiB, &runs),
      0);
   assert_int_equal(mem_offset_at(&runs, 64 * GiB - VMBIND_SPARSE_BLOCK_SIZE_B), 5 * GiB);

   /* Memory offsets inside one large region. */
   util_dynarray_clear(&runs);
   assert_int_equal(vmbind_sparse_image_runs(&layout, 0, 0, &(struct vmbind_extent){0, 0, 0},
                                            &(struct vmbind_extent){32768, 65536, 1}, 0, &runs),
                    0);
   assert_int_equal(mem_offset_at(&runs, 511 * 512 * VMBIND_SPARSE_BLOCK_SIZE_B),
                    511 * 256 * VMBIND_SPARSE_BLOCK_SIZE_B);
   assert_true(total_size_B(&runs) == 8 * GiB);

   util_dynarray_fini(&runs);
}

static void
regions_that_are_none(void **state)
{
   const struct vmbind_sparse_layout layout = rgba8_2d(600, 400, 3, 2);
   static const struct {
      uint32_t level, layer;
      struct vmbind_extent offset, extent;
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
      assert_int_equal(vmbind_sparse_image_runs(&layout, bad[i].level, bad[i].layer, &bad[i].offset,
                                               &bad[i].extent, 0, &runs),
                       -EINVAL);
      assert_int_equal(run_count(&runs), 0);
   }

   util_dynarray_fini(&runs);
}

/* What the header says a region is, in one dimension. */
static bool
is_region(uint32_t offset, uint32_t extent, uint32_t block, uint32_t level)
{
   return offset % block == 0 && offset < level && extent > 0 &&
          (offset + extent == level ||
           (extent % block == 0 && offset + extent - block < level));
}

/* Every offset and extent in each dimension in turn, with blocks that are no powers of two too. */
static void
every_offset_and_extent(void **state)
{
   struct util_dynarray runs;
   util_dynarray_init(&runs, NULL);

   for (unsigned c = 0; c < ARRAY_SIZE(classes); c++)
   for (unsigned side = 0; side < 3; side++) {
      const struct vmbind_extent *el = &classes[c].element_px, *b = &classes[c].block_3d;
      const uint32_t blocks[] = {el->width * b->width, el->height * b->height, el->depth * b->depth};
      const uint32_t block = blocks[side];
      const uint32_t levels[] = {1, block - 1, block, block + 1, 2 * block, 5 * block / 2};

      for (unsigned s = 0; s < ARRAY_SIZE(levels); s++) {
         uint32_t size[3] = {1, 1, 1}, offset[3] = {0, 0, 0}, extent[3] = {1, 1, 1};
         size[side] = levels[s];
         const struct vmbind_sparse_image image = {
            .dimensions = 3,
            .element_px = *el,
            .element_size_B = classes[c].element_size_B,
            .block_el = *b,
            .sample_count = 1,
            .size_px = {size[0], size[1], size[2]},
            .level_count = 1,
            .layer_count = 1,
         };
         struct vmbind_sparse_layout layout;
         vmbind_sparse_layout_init(&image, &layout);

         for (offset[side] = 0; offset[side] <= 3 * block; offset[side]++)
         for (extent[side] = 0; extent[side] <= 3 * block; extent[side]++) {
            const struct vmbind_extent at = {offset[0], offset[1], offset[2]};
            const struct vmbind_extent of = {extent[0], extent[1], extent[2]};
            const bool valid = is_region(offset[side], extent[side], block, levels[s]);

            util_dynarray_clear(&runs);
            const int ret = vmbind_sparse_image_runs(&layout, 0, 0, &at, &of, 0, &runs);
            if (ret != (valid ? 0 : -EINVAL) ||
                (valid && (run_count(&runs) != 1 ||
                           mem_offset_at(&runs, offset[side] / block * VMBIND_SPARSE_BLOCK_SIZE_B) ||
                           total_size_B(&runs) != DIV_ROUND_UP(extent[side], block) *
                                                     VMBIND_SPARSE_BLOCK_SIZE_B)))
               fail_msg("%s: side %u: %u texels at %u of %u, blocks of %u: %d", classes[c].name, side,
                        extent[side], offset[side], levels[s], block, ret);
         }
      }
   }
   util_dynarray_fini(&runs);
}

static void
ranges(void **state)
{
   const uint64_t page = 4096;

   assert_true(vmbind_sparse_range_valid(0, 4096, 8192, page));
   assert_true(vmbind_sparse_range_valid(4096, 4096, 8192, page));
   assert_true(vmbind_sparse_range_valid(4096, 4, 4100, page));
   assert_false(vmbind_sparse_range_valid(0, 0, 8192, page));
   assert_false(vmbind_sparse_range_valid(0, 100, 8192, page));
   assert_false(vmbind_sparse_range_valid(100, 4096, 8192, page));
   assert_false(vmbind_sparse_range_valid(8192, 4096, 8192, page));
   assert_false(vmbind_sparse_range_valid(4096, UINT64_MAX - 4095, 8192, page));
   assert_false(vmbind_sparse_range_valid(UINT64_MAX - 4095, 8192, 8192, page));
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
      cmocka_unit_test(every_element_has_a_place),
      cmocka_unit_test(one_dimension_is_linear),
      cmocka_unit_test(tails),
      cmocka_unit_test(samples_share_blocks),
      cmocka_unit_test(regions_of_the_tail_are_none),
      cmocka_unit_test(slices_of_3d_images),
      cmocka_unit_test(offsets_have_64_bits),
      cmocka_unit_test(regions_that_are_none),
      cmocka_unit_test(every_offset_and_extent),
      cmocka_unit_test(ranges),
   };

   return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Sparse images of every view type, size of texel and shape of level, as shaders see them: storage
 * images written and read, sampled images fetched, sampled and gathered, level by level down to the
 * last one of the mip tail; every other level unbound.  Each level of each layer is memory of its
 * own, and is bound by one bind whose extent is the level's (Vulkan specification, "Sparse Image
 * Memory Bindings", "Sparse Resource Features": residencyNonResidentStrict, shaderResourceResidency).
 */

#include "vkt.h"

#include "fetch_2d.h"
#include "fetch_2d_array.h"
#include "fetch_3d.h"
#include "gather_2d.h"
#include "gather_2d_array.h"
#include "load_2d.h"
#include "load_2d_array.h"
#include "load_3d.h"
#include "load_cube.h"
#include "load_cube_array.h"
#include "pixel_gather_2d.h"
#include "pixel_gather_2d_array.h"
#include "pixel_implicit_2d.h"
#include "pixel_implicit_2d_array.h"
#include "pixel_sample_2d.h"
#include "pixel_sample_2d_array.h"
#include "sample_2d.h"
#include "sample_2d_array.h"
#include "shape.vert.h"
#include "store_2d.h"
#include "store_2d_array.h"
#include "store_3d.h"
#include "store_cube.h"
#include "store_cube_array.h"

/* ---------------------------------------------------------------- what is tested */

/* The standard blocks depend on nothing but the size of a texel. */
struct format {
   const char *name;
   VkFormat format;
   uint32_t component_count;
   uint32_t component_B;
};

static const struct format formats[] = {
   {"R8", VK_FORMAT_R8_UINT, 1, 1},
   {"RG8", VK_FORMAT_R8G8_UINT, 2, 1},
   {"RGBA8", VK_FORMAT_R8G8B8A8_UINT, 4, 1},
   {"R16", VK_FORMAT_R16_UINT, 1, 2},
   {"R32", VK_FORMAT_R32_UINT, 1, 4},
   {"RG32", VK_FORMAT_R32G32_UINT, 2, 4},
   {"RGBA32", VK_FORMAT_R32G32B32A32_UINT, 4, 4},
};

enum kind {
   STORE,
   LOAD,
   FETCH,
   SAMPLE,
   GATHER,
   /* In fragment shaders. */
   PIXEL_SAMPLE,
   PIXEL_IMPLICIT,
   PIXEL_GATHER,
   KIND_COUNT
};

static bool
is_drawn(enum kind kind)
{
   return kind >= PIXEL_SAMPLE;
}

struct shader {
   const uint32_t *code;
   size_t size_B;
};

#define SHADER(name) {name, sizeof(name)}

struct view_type {
   const char *name;
   VkImageType type;
   VkImageViewType view;
   VkImageCreateFlags flags;
   struct shader shaders[KIND_COUNT];
};

static const struct view_type view_types[] = {
   {"2D", VK_IMAGE_TYPE_2D, VK_IMAGE_VIEW_TYPE_2D, 0,
    {SHADER(store_2d), SHADER(load_2d), SHADER(fetch_2d), SHADER(sample_2d), SHADER(gather_2d),
     SHADER(pixel_sample_2d), SHADER(pixel_implicit_2d), SHADER(pixel_gather_2d)}},
   {"2D array", VK_IMAGE_TYPE_2D, VK_IMAGE_VIEW_TYPE_2D_ARRAY, 0,
    {SHADER(store_2d_array), SHADER(load_2d_array), SHADER(fetch_2d_array),
     SHADER(sample_2d_array), SHADER(gather_2d_array), SHADER(pixel_sample_2d_array),
     SHADER(pixel_implicit_2d_array), SHADER(pixel_gather_2d_array)}},
   {"cube", VK_IMAGE_TYPE_2D, VK_IMAGE_VIEW_TYPE_CUBE, VK_IMAGE_CREATE_CUBE_COMPATIBLE_BIT,
    {SHADER(store_cube), SHADER(load_cube)}},
   {"cube array", VK_IMAGE_TYPE_2D, VK_IMAGE_VIEW_TYPE_CUBE_ARRAY,
    VK_IMAGE_CREATE_CUBE_COMPATIBLE_BIT, {SHADER(store_cube_array), SHADER(load_cube_array)}},
   {"3D", VK_IMAGE_TYPE_3D, VK_IMAGE_VIEW_TYPE_3D, 0,
    {SHADER(store_3d), SHADER(load_3d), SHADER(fetch_3d)}},
};

enum { T_2D, T_2D_ARRAY, T_CUBE, T_CUBE_ARRAY, T_3D };

struct size {
   uint32_t type;
   VkExtent3D extent;
   uint32_t layers;
};

/* Whole blocks, parts of some, parts of one; wider than high, deeper than a block. */
static const struct size sizes[] = {
   {T_2D, {512, 256, 1}, 1},          {T_2D, {503, 137, 1}, 1},
   {T_2D, {11, 37, 1}, 1},            {T_2D, {1024, 128, 1}, 1},
   {T_2D_ARRAY, {503, 137, 1}, 3},    {T_2D_ARRAY, {128, 128, 1}, 8},
   {T_CUBE, {137, 137, 1}, 6},        {T_CUBE, {11, 11, 1}, 6},
   {T_CUBE_ARRAY, {137, 137, 1}, 18}, {T_3D, {503, 137, 3}, 1},
   {T_3D, {128, 128, 33}, 1},         {T_3D, {11, 37, 3}, 1},
};

/* ------------------------------------------------------------------ the image */

#define MAX_LEVELS 12

struct image {
   const struct format *format;
   const struct view_type *type;
   const struct size *size;
   uint32_t levels;
   VkImage image;
   VkImageView whole, level_views[MAX_LEVELS];
   VkMemoryRequirements reqs;
   VkSparseImageMemoryRequirements sparse;
   VkDeviceMemory *memories;
   uint32_t memory_count;
   /** Of the levels that are not the tail's; the tail is bound always. */
   bool bound[MAX_LEVELS];
};

static uint32_t
minify(uint32_t size, uint32_t level)
{
   return size >> level ? size >> level : 1;
}

static VkExtent3D
level_extent(const struct image *image, uint32_t level)
{
   const VkExtent3D *e = &image->size->extent;
   return (VkExtent3D){minify(e->width, level), minify(e->height, level), minify(e->depth, level)};
}

/* Layers or slices. */
static uint32_t
level_depth(const struct image *image, uint32_t level)
{
   return image->size->layers * level_extent(image, level).depth;
}

static uint32_t
texel_count(const struct image *image, uint32_t level)
{
   const VkExtent3D e = level_extent(image, level);
   return e.width * e.height * level_depth(image, level);
}

static VkImageView
create_view(struct vkt *t, const struct image *image, uint32_t level, uint32_t count)
{
   return vkt_view_create(t, image->image, image->type->view, image->format->format,
                          (VkImageSubresourceRange){VK_IMAGE_ASPECT_COLOR_BIT, level, count, 0,
                                                    image->size->layers});
}

static struct image
image_create(struct vkt *t, const struct format *format, const struct size *size)
{
   struct image image = {.format = format, .size = size, .type = &view_types[size->type]};
   uint32_t count = 1;

   while (size->extent.width >> image.levels || size->extent.height >> image.levels)
      image.levels++;
   vkt_expect(image.levels <= MAX_LEVELS, "%u levels", image.levels);

   vkt_check(vkCreateImage(
      t->device,
      &(VkImageCreateInfo){
         .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
         .flags = VK_IMAGE_CREATE_SPARSE_BINDING_BIT | VK_IMAGE_CREATE_SPARSE_RESIDENCY_BIT |
                  image.type->flags,
         .imageType = image.type->type,
         .format = format->format,
         .extent = size->extent,
         .mipLevels = image.levels,
         .arrayLayers = size->layers,
         .samples = VK_SAMPLE_COUNT_1_BIT,
         .usage = VK_IMAGE_USAGE_TRANSFER_SRC_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT |
                  VK_IMAGE_USAGE_STORAGE_BIT | VK_IMAGE_USAGE_SAMPLED_BIT,
      },
      NULL, &image.image));
   vkGetImageMemoryRequirements(t->device, image.image, &image.reqs);
   vkt_expect(image.reqs.size % image.reqs.alignment == 0, "%s", format->name);
   vkGetImageSparseMemoryRequirements(t->device, image.image, &count, &image.sparse);
   vkt_expect(count == 1, "%u requirements", count);
   vkt_expect(image.sparse.imageMipTailSize % image.reqs.alignment == 0, "a tail of parts");
   image.memories = calloc((size_t)image.levels * 2 * size->layers + size->layers, sizeof(VkDeviceMemory));

   vkt_make_general(t, image.image, VK_IMAGE_ASPECT_COLOR_BIT);
   image.whole = create_view(t, &image, 0, image.levels);
   for (uint32_t level = 0; level < image.levels; level++)
      image.level_views[level] = create_view(t, &image, level, 1);
   return image;
}

static void
image_destroy(struct vkt *t, struct image *image)
{
   for (uint32_t level = 0; level < image->levels; level++)
      vkDestroyImageView(t->device, image->level_views[level], NULL);
   vkDestroyImageView(t->device, image->whole, NULL);
   vkDestroyImage(t->device, image->image, NULL);
   for (uint32_t i = 0; i < image->memory_count; i++)
      vkFreeMemory(t->device, image->memories[i], NULL);
   free(image->memories);
}

static VkDeviceMemory
allocate(struct vkt *t, struct image *image, VkDeviceSize size_B)
{
   VkDeviceMemory *memory = &image->memories[image->memory_count++];

   *memory = vkt_alloc(t, size_B, NULL);
   return *memory;
}

static uint32_t
blocks(uint32_t size, uint32_t block)
{
   return (size + block - 1) / block;
}

static VkSparseImageMemoryBind
bind_of_level(struct vkt *t, struct image *image, uint32_t level, uint32_t layer)
{
   const VkExtent3D e = level_extent(image, level);
   const VkExtent3D *block = &image->sparse.formatProperties.imageGranularity;
   const uint32_t count = blocks(e.width, block->width) * blocks(e.height, block->height) *
                          blocks(e.depth, block->depth);

   return (VkSparseImageMemoryBind){
      .subresource = {VK_IMAGE_ASPECT_COLOR_BIT, level, layer},
      .extent = e,
      .memory = allocate(t, image, count * image->reqs.alignment),
   };
}

static bool
is_even(uint32_t level)
{
   return level % 2 == 0;
}

static bool
is_odd(uint32_t level)
{
   return level % 2 == 1;
}

static void
bind_levels(struct vkt *t, struct image *image, bool (*which)(uint32_t level), bool tail)
{
   VkSparseImageMemoryBind binds[MAX_LEVELS * 18];
   VkSparseMemoryBind tails[18];
   uint32_t count = 0, tail_count = 0;
   const bool single =
      image->sparse.formatProperties.flags & VK_SPARSE_IMAGE_FORMAT_SINGLE_MIPTAIL_BIT;

   for (uint32_t level = 0; level < image->levels; level++) {
      if (level >= image->sparse.imageMipTailFirstLod || !which(level))
         continue;
      image->bound[level] = true;
      for (uint32_t layer = 0; layer < image->size->layers; layer++)
         binds[count++] = bind_of_level(t, image, level, layer);
   }
   for (uint32_t layer = 0; tail && layer < (single ? 1 : image->size->layers); layer++) {
      if (image->sparse.imageMipTailFirstLod >= image->levels)
         break;
      tails[tail_count++] = (VkSparseMemoryBind){
         .resourceOffset =
            image->sparse.imageMipTailOffset + layer * image->sparse.imageMipTailStride,
         .size = image->sparse.imageMipTailSize,
         .memory = allocate(t, image, image->sparse.imageMipTailSize),
      };
   }

   vkt_bind_and_wait(t, &(VkBindSparseInfo){
                           .imageBindCount = count > 0,
                           .pImageBinds = &(VkSparseImageMemoryBindInfo){image->image, count, binds},
                           .imageOpaqueBindCount = tail_count > 0,
                           .pImageOpaqueBinds =
                              &(VkSparseImageOpaqueMemoryBindInfo){image->image, tail_count, tails},
                        });
}

/* ------------------------------------------------------------------- values */

static uint32_t
component_bits(const struct image *image)
{
   return image->format->component_B * 8;
}

/* As the shader makes them. */
static uint32_t
value(const struct image *image, uint32_t number, uint32_t seed)
{
   return ((number + seed) * 2654435761u) >> (32 - component_bits(image));
}

static uint32_t
texel_size_B(const struct image *image)
{
   return image->format->component_count * image->format->component_B;
}

static void
write_texel(const struct image *image, uint8_t *texels, uint32_t texel, uint32_t seed)
{
   const struct format *f = image->format;

   for (uint32_t c = 0; c < f->component_count; c++) {
      const uint32_t v = value(image, texel * 4 + c, seed);
      memcpy(texels + (size_t)texel * texel_size_B(image) + c * f->component_B, &v, f->component_B);
   }
}

static VkBufferImageCopy
copy_of_level(const struct image *image, uint32_t level)
{
   return (VkBufferImageCopy){
      .imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, level, 0, image->size->layers},
      .imageExtent = level_extent(image, level),
   };
}

/* ---------------------------------------------------------------- operations */

struct buffers {
   struct vkt_buffer texels, values, codes;
};

static void
upload(struct vkt *t, const struct image *image, const struct buffers *buffers, uint32_t seed)
{
   for (uint32_t level = 0; level < image->levels; level++) {
      const VkBufferImageCopy copy = copy_of_level(image, level);
      for (uint32_t i = 0; i < texel_count(image, level); i++)
         write_texel(image, buffers->texels.map, i, seed + level);

      VkCommandBuffer cmd = vkt_begin(t);
      vkCmdCopyBufferToImage(cmd, buffers->texels.buffer, image->image, VK_IMAGE_LAYOUT_GENERAL, 1,
                             &copy);
      vkt_barrier(cmd);
      vkt_run(t, cmd);
   }
}

/* Whether a level is there, in memory or because the device promises zeros. */
static bool
is_certain(struct vkt *t, const struct image *image, uint32_t level)
{
   return level >= image->sparse.imageMipTailFirstLod || image->bound[level] ||
          t->props.sparseProperties.residencyNonResidentStrict;
}

static bool
is_resident(const struct image *image, uint32_t level)
{
   return level >= image->sparse.imageMipTailFirstLod || image->bound[level];
}

/** What each texel is to be: of its own by a seed, or all the same. */
struct expected {
   uint32_t seed;
   const uint32_t *color;
};

static void
expected_texel(const struct image *image, const struct expected *expected, uint32_t level,
               uint32_t texel, uint8_t *bytes)
{
   for (uint32_t c = 0; c < image->format->component_count; c++) {
      const uint32_t v = !is_resident(image, level) ? 0
                         : expected->color
                            ? expected->color[c]
                            : value(image, texel * 4 + c, expected->seed + level);
      memcpy(bytes + c * image->format->component_B, &v, image->format->component_B);
   }
}

static void
expect_by_copy(struct vkt *t, const struct image *image, const struct buffers *buffers,
               const struct expected *what, const char *when)
{
   const uint32_t size_B = texel_size_B(image);

   for (uint32_t level = 0; level < image->levels; level++) {
      const VkBufferImageCopy copy = copy_of_level(image, level);

      if (!is_certain(t, image, level))
         continue;
      VkCommandBuffer cmd = vkt_begin(t);
      vkCmdCopyImageToBuffer(cmd, image->image, VK_IMAGE_LAYOUT_GENERAL, buffers->texels.buffer, 1,
                             &copy);
      vkt_barrier(cmd);
      vkt_run(t, cmd);

      for (uint32_t i = 0; i < texel_count(image, level); i++) {
         uint8_t expected[16];
         expected_texel(image, what, level, i, expected);
         vkt_expect(!memcmp((uint8_t *)buffers->texels.map + (size_t)i * size_B, expected, size_B),
                    "%s %s %ux%u, %s: level %u, texel %u", image->type->name, image->format->name,
                    image->size->extent.width, image->size->extent.height, when, level, i);
      }
   }
}

static void
draw(VkCommandBuffer cmd, const struct vkt_compute *set, const uint32_t push[4], uint32_t layers)
{
   vkt_begin_drawing(cmd, set->pipeline, push[0], push[1], NULL);
   vkt_set_bind(cmd, VK_PIPELINE_BIND_POINT_GRAPHICS, set, push);
   vkCmdDraw(cmd, 3, layers, 0, 0);
   vkCmdEndRendering(cmd);
}

static VkDescriptorType
descriptor_type(enum kind kind)
{
   return kind == STORE || kind == LOAD ? VK_DESCRIPTOR_TYPE_STORAGE_IMAGE
                                        : VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER;
}

static void
dispatch(struct vkt *t, const struct image *image, const struct vkt_compute *compute,
         enum kind kind, VkSampler sampler, uint32_t level, uint32_t seed)
{
   const VkExtent3D e = level_extent(image, level);
   const bool is_whole = kind == SAMPLE || kind == PIXEL_SAMPLE;
   const uint32_t bits_or_lod = kind == STORE ? component_bits(image) : is_whole ? level : 0;
   const uint32_t push[4] = {e.width, e.height, bits_or_lod, seed};

   vkt_set_write(t, compute,
                 &(struct vkt_binding){
                    .type = descriptor_type(kind),
                    .sampler = sampler,
                    .image = is_whole ? image->whole : image->level_views[level],
                 },
                 1);

   VkCommandBuffer cmd = vkt_begin(t);
   if (is_drawn(kind))
      draw(cmd, compute, push, level_depth(image, level));
   else
      vkt_dispatch(t, cmd, compute, push, (e.width + 7) / 8, (e.height + 7) / 8,
                   level_depth(image, level));
   vkt_barrier(cmd);
   vkt_run(t, cmd);
}

static struct vkt_compute
create_compute(struct vkt *t, const struct image *image, const struct buffers *buffers,
               enum kind kind, VkSampler sampler)
{
   const struct shader *shader = &image->type->shaders[kind];
   const struct vkt_binding bindings[] = {
      {
         .type = descriptor_type(kind),
         .sampler = sampler,
         .image = image->level_views[0],
      },
      {.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .buffer = buffers->values.buffer},
      {.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .buffer = buffers->codes.buffer},
   };

   if (!is_drawn(kind))
      return vkt_compute_create(t, shader->code, shader->size_B, bindings, kind == STORE ? 1 : 3);

   struct vkt_compute set = vkt_set_create(t, bindings, VKT_ARRAY_SIZE(bindings));
   set.pipeline = vkt_pipeline_create(t, set.layout,
                                      &(struct vkt_pipeline){
                                         .vertex = shape_vert,
                                         .vertex_size_B = sizeof(shape_vert),
                                         .fragment = shader->code,
                                         .fragment_size_B = shader->size_B,
                                      });
   return set;
}

static void
store(struct vkt *t, const struct image *image, const struct buffers *buffers, VkSampler sampler,
      uint32_t seed)
{
   struct vkt_compute compute = create_compute(t, image, buffers, STORE, sampler);

   for (uint32_t level = 0; level < image->levels; level++)
      dispatch(t, image, &compute, STORE, sampler, level, seed + level);
   vkt_compute_destroy(t, &compute);
}

static void
expect_by_shader(struct vkt *t, const struct image *image, const struct buffers *buffers,
                 VkSampler sampler, enum kind kind, uint32_t seed)
{
   static const char *const names[] = {
      "stored",           "loaded",
      "fetched",          "sampled",
      "gathered",         "sampled in fragments",
      "sampled in fragments at an implicit level", "gathered in fragments",
   };

   if (!image->type->shaders[kind].code)
      return;

   struct vkt_compute compute = create_compute(t, image, buffers, kind, sampler);
   for (uint32_t level = 0; level < image->levels; level++) {
      dispatch(t, image, &compute, kind, sampler, level, 0);

      for (uint32_t i = 0; i < texel_count(image, level); i++) {
         const bool resident = is_resident(image, level);
         vkt_expect(((uint32_t *)buffers->codes.map)[i] == resident,
                    "%s %s %ux%u, %s: level %u, texel %u is%s resident", image->type->name,
                    image->format->name, image->size->extent.width, image->size->extent.height,
                    names[kind], level, i, resident ? " not" : "");
         for (uint32_t c = 0; c < image->format->component_count; c++) {
            const uint32_t v = resident ? value(image, i * 4 + c, seed + level) : 0;
            vkt_expect(!is_certain(t, image, level) ||
                          ((uint32_t *)buffers->values.map)[i * 4 + c] == v,
                       "%s %s %ux%u, %s: level %u, texel %u, component %u", image->type->name,
                       image->format->name, image->size->extent.width,
                       image->size->extent.height, names[kind], level, i, c);
         }
      }
   }
   vkt_compute_destroy(t, &compute);
}

static void
clear(struct vkt *t, const struct image *image, const uint32_t color[4])
{
   VkCommandBuffer cmd = vkt_begin(t);
   VkClearColorValue c;

   memcpy(c.uint32, color, sizeof(c.uint32));
   vkCmdClearColorImage(cmd, image->image, VK_IMAGE_LAYOUT_GENERAL, &c, 1,
                        &(VkImageSubresourceRange){VK_IMAGE_ASPECT_COLOR_BIT, 0,
                                                   VK_REMAINING_MIP_LEVELS, 0,
                                                   VK_REMAINING_ARRAY_LAYERS});
   vkt_barrier(cmd);
   vkt_run(t, cmd);
}

/* --------------------------------------------------------------------- tests */

static void
test_image(struct vkt *t, const struct format *format, const struct size *size,
           const struct buffers *buffers, VkSampler sampler)
{
   static const uint32_t color[4] = {0x51, 0x62, 0x73, 0x14};
   struct image image = image_create(t, format, size);

   bind_levels(t, &image, is_even, true);
   upload(t, &image, buffers, 100);
   for (enum kind kind = LOAD; kind < KIND_COUNT; kind++)
      expect_by_shader(t, &image, buffers, sampler, kind, 100);
   store(t, &image, buffers, sampler, 200);
   expect_by_copy(t, &image, buffers, &(struct expected){.seed = 200}, "stored with holes");
   clear(t, &image, color);
   expect_by_copy(t, &image, buffers, &(struct expected){.color = color}, "cleared with holes");

   bind_levels(t, &image, is_odd, false);
   store(t, &image, buffers, sampler, 300);
   expect_by_copy(t, &image, buffers, &(struct expected){.seed = 300}, "stored");
   for (enum kind kind = LOAD; kind < KIND_COUNT; kind++)
      expect_by_shader(t, &image, buffers, sampler, kind, 300);

   clear(t, &image, color);
   expect_by_copy(t, &image, buffers, &(struct expected){.color = color}, "cleared");

   image_destroy(t, &image);
}

int
main(void)
{
   struct vkt t;
   uint32_t most = 0;

   vkt_init(&t);
   for (uint32_t s = 0; s < VKT_ARRAY_SIZE(sizes); s++) {
      const struct size *z = &sizes[s];
      const uint32_t texels = z->extent.width * z->extent.height * z->extent.depth * z->layers;
      most = texels > most ? texels : most;
   }

   struct buffers buffers = {
      .texels = vkt_buffer_create(&t, most * 16),
      .values = vkt_buffer_create(&t, most * 16),
      .codes = vkt_buffer_create(&t, most * 4),
   };
   const VkSampler sampler = vkt_sampler_create(&t, &(VkSamplerCreateInfo){.maxLod = VK_LOD_CLAMP_NONE});

   for (uint32_t s = 0; s < VKT_ARRAY_SIZE(sizes); s++) {
      for (uint32_t f = 0; f < VKT_ARRAY_SIZE(formats); f++)
         test_image(&t, &formats[f], &sizes[s], &buffers, sampler);
   }

   vkDestroySampler(t.device, sampler, NULL);
   vkt_buffer_destroy(&t, &buffers.codes);
   vkt_buffer_destroy(&t, &buffers.values);
   vkt_buffer_destroy(&t, &buffers.texels);
   vkt_finish(&t);

   return 0;
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The shader's own minimum level of detail (Vulkan, feature shaderResourceMinLod; "LOD Operation": the
 * level is clamped to the larger of the sampler's minimum and the shader's, after all biases).  Every kind
 * of texture and every function that takes one, in fragment shaders: implicit levels, biases, gradients,
 * offsets, comparisons, with residency codes and without, another minimum in each invocation.
 *
 * Each level of the textures holds its own number, so that what a sample returns is the level of detail;
 * what it must be is computed here.  Of sparse images level 0 is not bound: the codes must say so where
 * the level of detail is below 1, and nowhere else.
 */

#include "vkt_sparse.h"

#include <math.h>

#include "min_lod_0.frag.h"
#include "min_lod_1.frag.h"
#include "min_lod_10.frag.h"
#include "min_lod_11.frag.h"
#include "min_lod_12.frag.h"
#include "min_lod_2.frag.h"
#include "min_lod_3.frag.h"
#include "min_lod_4.frag.h"
#include "min_lod_5.frag.h"
#include "min_lod_6.frag.h"
#include "min_lod_7.frag.h"
#include "min_lod_8.frag.h"
#include "min_lod_9.frag.h"
#include "whole.vert.h"

#define SIZE      64u
#define LEVELS    7u
#define PIXELS    (8 * 8)
#define FUNCTIONS 10u

/* What the shader adds in functions with a bias. */
#define SHADER_BIAS 1.25f
/* How exact a level of detail must be that comes from derivatives: drivers take fast logarithms. */
#define LOD_ERROR 0.07f

/** As in min_lod.frag. */
struct kind {
   const char *name;
   const uint32_t *spirv;
   size_t spirv_size_B;
   VkImageType type;
   VkImageViewType view_type;
   uint32_t layers;
   /* The one that is sampled. */
   uint32_t layer;
   bool shadow;
};

#define SHADER(i) min_lod_##i##_frag, sizeof(min_lod_##i##_frag)

static const struct kind kinds[] = {
   {"1D", SHADER(0), VK_IMAGE_TYPE_1D, VK_IMAGE_VIEW_TYPE_1D, 1, 0, false},
   {"1D array", SHADER(1), VK_IMAGE_TYPE_1D, VK_IMAGE_VIEW_TYPE_1D_ARRAY, 3, 1, false},
   {"2D", SHADER(2), VK_IMAGE_TYPE_2D, VK_IMAGE_VIEW_TYPE_2D, 1, 0, false},
   {"2D array", SHADER(3), VK_IMAGE_TYPE_2D, VK_IMAGE_VIEW_TYPE_2D_ARRAY, 3, 1, false},
   {"3D", SHADER(4), VK_IMAGE_TYPE_3D, VK_IMAGE_VIEW_TYPE_3D, 1, 0, false},
   {"cube", SHADER(5), VK_IMAGE_TYPE_2D, VK_IMAGE_VIEW_TYPE_CUBE, 6, 0, false},
   {"cube array", SHADER(6), VK_IMAGE_TYPE_2D, VK_IMAGE_VIEW_TYPE_CUBE_ARRAY, 12, 6, false},
   {"1D shadow", SHADER(7), VK_IMAGE_TYPE_1D, VK_IMAGE_VIEW_TYPE_1D, 1, 0, true},
   {"1D array shadow", SHADER(8), VK_IMAGE_TYPE_1D, VK_IMAGE_VIEW_TYPE_1D_ARRAY, 3, 1, true},
   {"2D shadow", SHADER(9), VK_IMAGE_TYPE_2D, VK_IMAGE_VIEW_TYPE_2D, 1, 0, true},
   {"2D array shadow", SHADER(10), VK_IMAGE_TYPE_2D, VK_IMAGE_VIEW_TYPE_2D_ARRAY, 3, 1, true},
   {"cube shadow", SHADER(11), VK_IMAGE_TYPE_2D, VK_IMAGE_VIEW_TYPE_CUBE, 6, 0, true},
   {"cube array shadow", SHADER(12), VK_IMAGE_TYPE_2D, VK_IMAGE_VIEW_TYPE_CUBE_ARRAY, 12, 6, true},
};

static const char *const functions[FUNCTIONS] = {
   "textureClamp",       "textureClamp with bias",       "textureOffsetClamp",
   "textureGradClamp",   "textureGradOffsetClamp",       "sparseTextureClamp",
   "sparseTextureClamp with bias", "sparseTextureOffsetClamp", "sparseTextureGradClamp",
   "sparseTextureGradOffsetClamp",
};

static bool
has_bias(uint32_t function)
{
   return function == 1 || function == 6;
}

static bool
is_sparse_function(uint32_t function)
{
   return function >= 5;
}

/* ----------------------------------------------------------------- samplers */

struct sampling {
   VkFilter min, mag;
   VkSamplerMipmapMode mip;
   float bias, min_lod, max_lod;
   float anisotropy;
};

#define NEAREST VK_FILTER_NEAREST
#define LINEAR  VK_FILTER_LINEAR
#define MIP_NEAREST VK_SAMPLER_MIPMAP_MODE_NEAREST
#define MIP_LINEAR  VK_SAMPLER_MIPMAP_MODE_LINEAR

static const struct sampling samplings[] = {
   {NEAREST, NEAREST, MIP_LINEAR, 0, 0, VK_LOD_CLAMP_NONE, 0},
   {LINEAR, NEAREST, MIP_NEAREST, 0.4f, 0, VK_LOD_CLAMP_NONE, 0},
   {NEAREST, NEAREST, MIP_LINEAR, -0.6f, 1.6f, 4.2f, 0},
   {LINEAR, LINEAR, MIP_LINEAR, 0, 1.5f, 1.5f, 0},
   {LINEAR, LINEAR, MIP_LINEAR, 0, 0, VK_LOD_CLAMP_NONE, 16},
};

static VkSampler
create_sampler(struct vkt *t, const struct sampling *s, bool shadow)
{
   return vkt_sampler_create(t, &(VkSamplerCreateInfo){
                                   .minFilter = s->min,
                                   .magFilter = s->mag,
                                   .mipmapMode = s->mip,
                                   .addressModeU = VK_SAMPLER_ADDRESS_MODE_CLAMP_TO_EDGE,
                                   .addressModeV = VK_SAMPLER_ADDRESS_MODE_CLAMP_TO_EDGE,
                                   .addressModeW = VK_SAMPLER_ADDRESS_MODE_CLAMP_TO_EDGE,
                                   .mipLodBias = s->bias,
                                   .minLod = s->min_lod,
                                   .maxLod = s->max_lod,
                                   .anisotropyEnable = s->anisotropy > 1,
                                   .maxAnisotropy = s->anisotropy,
                                   .compareEnable = shadow,
                                   .compareOp = VK_COMPARE_OP_LESS_OR_EQUAL,
                                });
}

/* ------------------------------------------------------------------- images */

static bool
is_cube(const struct kind *kind)
{
   return kind->view_type == VK_IMAGE_VIEW_TYPE_CUBE ||
          kind->view_type == VK_IMAGE_VIEW_TYPE_CUBE_ARRAY;
}

static VkImageCreateInfo
image_info(const struct kind *kind)
{
   return (VkImageCreateInfo){
      .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
      .flags = is_cube(kind) ? VK_IMAGE_CREATE_CUBE_COMPATIBLE_BIT : 0,
      .imageType = kind->type,
      .format = kind->shadow ? VK_FORMAT_D32_SFLOAT : VK_FORMAT_R32_SFLOAT,
      .extent = {SIZE, kind->type == VK_IMAGE_TYPE_1D ? 1 : SIZE,
                 kind->type == VK_IMAGE_TYPE_3D ? SIZE : 1},
      .mipLevels = LEVELS,
      .arrayLayers = kind->layers,
      .samples = VK_SAMPLE_COUNT_1_BIT,
      .usage = VK_IMAGE_USAGE_TRANSFER_DST_BIT | VK_IMAGE_USAGE_SAMPLED_BIT,
   };
}

/* The level in the layer or the cube that is sampled, and what no level is in the others. */
static float
texel_value(const struct kind *kind, uint32_t level, uint32_t layer)
{
   const uint32_t together = is_cube(kind) ? 6 : 1;

   if (layer / together != kind->layer / together)
      return kind->shadow ? 1.0f : 100.0f;
   return kind->shadow ? level / 16.0f : level;
}

static void
upload(struct vkt *t, const struct kind *kind, const struct vkt_image *image)
{
   for (uint32_t level = 0; level < LEVELS; level++) {
      const VkExtent3D size = vkt_level_size(&image->info, level);
      const uint32_t texels = size.width * size.height * size.depth;
      struct vkt_buffer buffer = vkt_buffer_create(t, 4ull * texels * kind->layers);
      float *texel = buffer.map;

      for (uint32_t layer = 0; layer < kind->layers; layer++)
      for (uint32_t i = 0; i < texels; i++)
         *texel++ = texel_value(kind, level, layer);

      VkCommandBuffer cmd = vkt_begin(t);
      vkCmdCopyBufferToImage(cmd, buffer.buffer, image->image, VK_IMAGE_LAYOUT_GENERAL, 1,
                             &(VkBufferImageCopy){
                                .imageSubresource = {vkt_format_aspects(image->info.format), level,
                                                     0, kind->layers},
                                .imageExtent = size,
                             });
      vkt_barrier(cmd);
      vkt_run(t, cmd);
      vkt_buffer_destroy(t, &buffer);
   }
}

static bool
all_but_level_0(const struct vkt_image *image, uint32_t block)
{
   return image->blocks[block].subresource.mipLevel > 0;
}

static struct vkt_image
create_image(struct vkt *t, const struct kind *kind, bool sparse)
{
   const VkImageCreateInfo info = image_info(kind);
   struct vkt_image image =
      sparse ? vkt_sparse_image_create(t, &info) : vkt_plain_image_create(t, &info);

   if (sparse)
      vkt_sparse_image_bind(t, &image, vkt_all_blocks, true);
   upload(t, kind, &image);
   if (sparse)
      vkt_sparse_image_bind(t, &image, all_but_level_0, true);
   return image;
}

/* ---------------------------------------------------------------- pipelines */

static struct vkt_compute
drawing_create(struct vkt *t, const struct kind *kind, const struct vkt_binding bindings[2])
{
   struct vkt_compute drawing = vkt_set_create(t, bindings, 2);

   drawing.pipeline = vkt_pipeline_create(t, drawing.layout,
                                          &(struct vkt_pipeline){
                                             .vertex = whole_vert,
                                             .vertex_size_B = sizeof(whole_vert),
                                             .fragment = kind->spirv,
                                             .fragment_size_B = kind->spirv_size_B,
                                          });
   return drawing;
}

/* --------------------------------------------------------------- what must be */

static float
clamp(float value, float low, float high)
{
   return fminf(fmaxf(value, low), high);
}

struct sample {
   const struct kind *kind;
   const struct sampling *sampling;
   uint32_t function;
   bool sparse;
   /* What derivatives say. */
   float base;
   float min;
   uint32_t pixel;
};

static float
pixel_min(const struct sample *s)
{
   return s->min + 0.7f * ((s->pixel % 8 + s->pixel / 8 * 3) % 5);
}

static void
expect(bool condition, const struct sample *s, float found, const char *what)
{
   if (condition)
      return;
   fprintf(stderr,
           "%s %s, %s, sampler %u: %s: base level %f, minimum %f, pixel %u,%u: found %f\n",
           s->sparse ? "sparse" : "plain", s->kind->name, functions[s->function],
           (unsigned)(s->sampling - samplings), what, s->base, pixel_min(s), s->pixel % 8,
           s->pixel / 8, found);
   exit(1);
}

/* The level of detail and how exact it is. */
static float
level_of_detail(const struct sample *s, float *error)
{
   const struct sampling *sampler = s->sampling;
   const float biased = s->base + sampler->bias + (has_bias(s->function) ? SHADER_BIAS : 0);
   const float clamped = clamp(biased, sampler->min_lod, sampler->max_lod);
   const float lod = fmaxf(clamped, pixel_min(s));

   *error = biased + LOD_ERROR < lod || biased - LOD_ERROR > lod ? 0.001f : LOD_ERROR;
   return clamp(lod, 0, LEVELS - 1);
}

static void
check_value(const struct sample *s, float value, float lod, float error)
{
   if (s->sampling->anisotropy > 1) {
      /* Whichever of the two levels, or both. */
      expect(value >= floorf(lod - error) && value <= ceilf(lod + error), s, value, "anisotropic");
   } else if (s->sampling->mip == MIP_NEAREST) {
      expect(fabsf(value - rintf(value)) < 0.001f && fabsf(value - lod) <= 0.5f + error, s, value,
             "nearest level");
   } else {
      expect(fabsf(value - lod) <= error, s, value, "level of detail");
   }
}

/* Level 0 is not resident. */
static void
check_residency(const struct sample *s, bool resident, float lod, float error)
{
   const bool nearest = s->sampling->mip == MIP_NEAREST;
   const float first = nearest ? 0.5f : 1.0f;

   if (lod >= first + error)
      expect(resident, s, resident, "residency code, of what is resident");
   else if (lod < first - error && s->sampling->anisotropy <= 1)
      expect(!resident, s, resident, "residency code, of what is not resident");
}

static void
check(const struct sample *s, float value, bool resident)
{
   float error;
   const float lod = level_of_detail(s, &error);

   /* Undefined. */
   if (pixel_min(s) > s->sampling->max_lod)
      return;

   const bool whole = !s->sparse || lod >= 1 + error;
   if (whole)
      check_value(s, value, lod, error);
   if (!is_sparse_function(s->function))
      return;
   if (s->sparse)
      check_residency(s, resident, lod, error);
   else
      expect(resident, s, resident, "residency code of an image that is not sparse");
}

/* ------------------------------------------------------------------ drawing */

static const float bases[] = {-1.0f, 0.4f, 2.3f};
static const float mins[] = {0.0f, 0.3f, 3.1f};

#define DRAWS (FUNCTIONS * VKT_ARRAY_SIZE(bases) * VKT_ARRAY_SIZE(mins))

/* Draw number i of those of a texture and a sampler. */
static struct sample
nth_sample(const struct kind *kind, const struct sampling *sampling, bool sparse, uint32_t i)
{
   return (struct sample){
      .kind = kind,
      .sampling = sampling,
      .sparse = sparse,
      .function = i % FUNCTIONS,
      .base = bases[i / FUNCTIONS % VKT_ARRAY_SIZE(bases)],
      .min = mins[i / FUNCTIONS / VKT_ARRAY_SIZE(bases)],
   };
}

struct answer {
   float value;
   uint32_t resident;
};

/* As in min_lod.frag. */
struct push {
   uint32_t function;
   float distance, min;
   uint32_t target_first;
};

static void
draw_all(struct vkt *t, const struct vkt_compute *drawing, struct vkt_buffer *target)
{
   VkCommandBuffer cmd = vkt_begin(t);

   memset(target->map, 0xcc, target->size_B);
   vkt_begin_drawing(cmd, drawing->pipeline, 8, 8, NULL);
   for (uint32_t i = 0; i < DRAWS; i++) {
      const struct sample sample = nth_sample(NULL, NULL, false, i);
      const struct push push = {sample.function, exp2f(sample.base) / SIZE, sample.min, i * PIXELS};

      vkt_set_bind(cmd, VK_PIPELINE_BIND_POINT_GRAPHICS, drawing, &push);
      vkCmdDraw(cmd, 3, 1, 0, 0);
   }
   vkCmdEndRendering(cmd);
   vkt_barrier(cmd);
   vkt_run(t, cmd);
}

static uint32_t
check_all(const struct kind *kind, const struct sampling *sampling, bool sparse,
          const struct vkt_buffer *target)
{
   const struct answer *answer = target->map;
   uint32_t count = 0;

   for (uint32_t i = 0; i < DRAWS; i++)
   for (uint32_t pixel = 0; pixel < PIXELS; pixel++, answer++) {
      struct sample sample = nth_sample(kind, sampling, sparse, i);
      sample.pixel = pixel;
      /* There is no such function for such a texture. */
      if (answer->value == -1)
         continue;
      check(&sample, answer->value, answer->resident);
      count++;
   }
   return count;
}

static void
test_kind(struct vkt *t, const struct kind *kind, bool sparse)
{
   VkImageCreateInfo info = image_info(kind);
   if (sparse)
      info.flags |= VK_IMAGE_CREATE_SPARSE_BINDING_BIT | VK_IMAGE_CREATE_SPARSE_RESIDENCY_BIT;
   vkt_expect(vkt_image_supported(t, &info), "%s is not supported", kind->name);

   struct vkt_image image = create_image(t, kind, sparse);
   const VkImageView view = vkt_view_create(
      t, image.image, kind->view_type, info.format,
      (VkImageSubresourceRange){vkt_format_aspects(info.format), 0, LEVELS, 0, kind->layers});
   struct vkt_buffer target = vkt_buffer_create(t, DRAWS * PIXELS * sizeof(struct answer));
   /* All samplers for 2D alone: what they do is the same for all. */
   const uint32_t sampler_count = kind->view_type == VK_IMAGE_VIEW_TYPE_2D ||
                                        kind->view_type == VK_IMAGE_VIEW_TYPE_CUBE
                                     ? VKT_ARRAY_SIZE(samplings)
                                     : 2;
   VkSampler samplers[VKT_ARRAY_SIZE(samplings)];
   uint32_t count = 0;

   for (uint32_t i = 0; i < sampler_count; i++)
      samplers[i] = create_sampler(t, &samplings[i], kind->shadow);
   struct vkt_binding bindings[] = {
      {
         .type = VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER,
         .sampler = samplers[0],
         .image = view,
      },
      {.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .buffer = target.buffer},
   };
   struct vkt_compute drawing = drawing_create(t, kind, bindings);

   for (uint32_t i = 0; i < sampler_count; i++) {
      bindings[0].sampler = samplers[i];
      vkt_set_write(t, &drawing, bindings, 1);
      draw_all(t, &drawing, &target);
      count += check_all(kind, &samplings[i], sparse, &target);
   }
   vkt_expect(count > 0, "nothing was sampled");
   printf("%s %s: %u samples\n", sparse ? "sparse" : "plain", kind->name, count);

   vkt_compute_destroy(t, &drawing);
   for (uint32_t i = 0; i < sampler_count; i++)
      vkDestroySampler(t->device, samplers[i], NULL);
   vkt_buffer_destroy(t, &target);
   vkDestroyImageView(t->device, view, NULL);
   vkt_image_destroy(t, &image);
}

int
main(void)
{
   struct vkt t;

   vkt_init(&t);
   vkt_expect(t.features.shaderResourceMinLod, "no shaderResourceMinLod");

   for (uint32_t i = 0; i < VKT_ARRAY_SIZE(kinds); i++) {
      test_kind(&t, &kinds[i], false);
      /* VUID-VkImageCreateInfo-imageType-00970 */
      if (kinds[i].type != VK_IMAGE_TYPE_1D)
         test_kind(&t, &kinds[i], true);
   }

   vkt_finish(&t);

   return 0;
}

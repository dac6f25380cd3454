/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Rendering to partially resident images (Vulkan, "Sparse Partially-Resident Images": they can be used
 * as attachments as any other): the same scene in a plain image and in a sparse one whose blocks all
 * lie elsewhere must be the same to the bit.  Clears of both kinds, blending, depth and stencil, levels
 * of the mip tail, layers, four samples (sparseResidency4Samples), blits (of slices too) and resolves.
 */

#include "vkt_sparse.h"

#include "read_samples_float.comp.h"
#include "read_samples_uint.comp.h"
#include "scene.vert.h"
#include "scene_float.frag.h"
#include "scene_uint.frag.h"

enum kind {
   FLOAT,
   UINT,
   DEPTH,
};

struct test {
   const char *name;
   VkFormat format;
   enum kind kind;
   /* Bytes of a texel of each aspect. */
   uint32_t size_B[2];
};

static const struct test tests[] = {
   {"R8_UNORM", VK_FORMAT_R8_UNORM, FLOAT, {1}},
   {"R8G8_UNORM", VK_FORMAT_R8G8_UNORM, FLOAT, {2}},
   {"R8G8B8A8_UNORM", VK_FORMAT_R8G8B8A8_UNORM, FLOAT, {4}},
   {"B8G8R8A8_UNORM", VK_FORMAT_B8G8R8A8_UNORM, FLOAT, {4}},
   {"R16G16B16A16_SFLOAT", VK_FORMAT_R16G16B16A16_SFLOAT, FLOAT, {8}},
   {"R32G32B32A32_SFLOAT", VK_FORMAT_R32G32B32A32_SFLOAT, FLOAT, {16}},
   {"R8_UINT", VK_FORMAT_R8_UINT, UINT, {1}},
   {"R16_UINT", VK_FORMAT_R16_UINT, UINT, {2}},
   {"R32_UINT", VK_FORMAT_R32_UINT, UINT, {4}},
   {"R32G32_UINT", VK_FORMAT_R32G32_UINT, UINT, {8}},
   {"R32G32B32A32_UINT", VK_FORMAT_R32G32B32A32_UINT, UINT, {16}},
   {"D16_UNORM", VK_FORMAT_D16_UNORM, DEPTH, {2}},
   {"D32_SFLOAT", VK_FORMAT_D32_SFLOAT, DEPTH, {4}},
   {"D32_SFLOAT_S8_UINT", VK_FORMAT_D32_SFLOAT_S8_UINT, DEPTH, {4, 1}},
};

struct shape {
   const char *name;
   VkImageType type;
   VkExtent3D size;
   uint32_t levels, layers;
   VkSampleCountFlagBits samples;
};

static const struct shape shapes[] = {
   {"levels and layers", VK_IMAGE_TYPE_2D, {300, 200, 1}, 9, 2, VK_SAMPLE_COUNT_1_BIT},
   {"slices", VK_IMAGE_TYPE_3D, {140, 70, 20}, 3, 1, VK_SAMPLE_COUNT_1_BIT},
   {"four samples", VK_IMAGE_TYPE_2D, {150, 100, 1}, 1, 2, VK_SAMPLE_COUNT_4_BIT},
};

/* ---------------------------------------------------------------- pipelines */

struct scene {
   VkPipelineLayout layout;
   VkPipeline pipeline;
};

static bool
has_stencil(const struct test *test)
{
   return test->size_B[1] != 0;
}

static struct scene
scene_create(struct vkt *t, const struct test *test, VkSampleCountFlagBits samples)
{
   const VkPushConstantRange push = {VK_SHADER_STAGE_VERTEX_BIT, 0, 16};
   const bool is_depth = test->kind == DEPTH;
   const VkStencilOpState stencil = {
      .failOp = VK_STENCIL_OP_INCREMENT_AND_WRAP,
      .passOp = VK_STENCIL_OP_INVERT,
      .depthFailOp = VK_STENCIL_OP_INCREMENT_AND_WRAP,
      .compareOp = VK_COMPARE_OP_ALWAYS,
      .compareMask = 0xff,
      .writeMask = 0xff,
   };
   struct vkt_pipeline pipeline = {
      .vertex = scene_vert,
      .vertex_size_B = sizeof(scene_vert),
      .attachments =
         &(VkPipelineRenderingCreateInfo){
            .sType = VK_STRUCTURE_TYPE_PIPELINE_RENDERING_CREATE_INFO,
            .colorAttachmentCount = !is_depth,
            .pColorAttachmentFormats = &test->format,
            .depthAttachmentFormat = is_depth ? test->format : VK_FORMAT_UNDEFINED,
            .stencilAttachmentFormat = has_stencil(test) ? test->format : VK_FORMAT_UNDEFINED,
         },
      .blend =
         &(VkPipelineColorBlendAttachmentState){
            .blendEnable = test->kind == FLOAT,
            .srcColorBlendFactor = VK_BLEND_FACTOR_SRC_ALPHA,
            .dstColorBlendFactor = VK_BLEND_FACTOR_ONE_MINUS_SRC_ALPHA,
            .srcAlphaBlendFactor = VK_BLEND_FACTOR_ONE,
            .dstAlphaBlendFactor = VK_BLEND_FACTOR_ONE_MINUS_SRC_ALPHA,
            .colorWriteMask = 0xf,
         },
      .depth_stencil =
         &(VkPipelineDepthStencilStateCreateInfo){
            .sType = VK_STRUCTURE_TYPE_PIPELINE_DEPTH_STENCIL_STATE_CREATE_INFO,
            .depthTestEnable = is_depth,
            .depthWriteEnable = is_depth,
            .depthCompareOp = VK_COMPARE_OP_LESS,
            .stencilTestEnable = has_stencil(test),
            .front = stencil,
            .back = stencil,
         },
      .samples = samples,
   };
   struct scene scene;

   if (test->kind == FLOAT) {
      pipeline.fragment = scene_float_frag;
      pipeline.fragment_size_B = sizeof(scene_float_frag);
   } else if (test->kind == UINT) {
      pipeline.fragment = scene_uint_frag;
      pipeline.fragment_size_B = sizeof(scene_uint_frag);
   }
   vkt_check(vkCreatePipelineLayout(t->device,
                                    &(VkPipelineLayoutCreateInfo){
                                       .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                       .pushConstantRangeCount = 1,
                                       .pPushConstantRanges = &push,
                                    },
                                    NULL, &scene.layout));
   scene.pipeline = vkt_pipeline_create(t, scene.layout, &pipeline);

   return scene;
}

static void
scene_destroy(struct vkt *t, struct scene *scene)
{
   vkDestroyPipeline(t->device, scene->pipeline, NULL);
   vkDestroyPipelineLayout(t->device, scene->layout, NULL);
}

/* ---------------------------------------------------------------- rendering */

static VkClearValue
clear_value(const struct test *test, uint32_t seed)
{
   if (test->kind == DEPTH)
      return (VkClearValue){.depthStencil = {0.25f + 0.125f * seed, 0x5a + seed}};
   if (test->kind == UINT)
      return (VkClearValue){.color = {.uint32 = {seed + 3, seed + 5, seed + 7, seed + 9}}};
   return (VkClearValue){.color = {.float32 = {0.25f * seed, 0.5f, 0.75f, 1.0f}}};
}

/* One layer, or one slice: a clear of the whole, triangles, a clear of a part. */
static void
render_layer(struct vkt *t, const struct test *test, const struct scene *scene,
             const struct vkt_image *image, uint32_t level, uint32_t layer)
{
   const VkExtent3D size = vkt_level_size(&image->info, level);
   const VkImageView view = vkt_view_create(
      t, image->image, VK_IMAGE_VIEW_TYPE_2D, test->format,
      (VkImageSubresourceRange){vkt_format_aspects(test->format), level, 1, layer, 1});
   const VkRenderingAttachmentInfo attachment = {
      .sType = VK_STRUCTURE_TYPE_RENDERING_ATTACHMENT_INFO,
      .imageView = view,
      .imageLayout = VK_IMAGE_LAYOUT_GENERAL,
      .loadOp = VK_ATTACHMENT_LOAD_OP_CLEAR,
      .storeOp = VK_ATTACHMENT_STORE_OP_STORE,
      .clearValue = clear_value(test, 1),
   };
   const bool is_depth = test->kind == DEPTH;
   const struct {
      uint32_t first, layer;
      float size[2];
   } push = {level, layer, {size.width, size.height}};

   VkCommandBuffer cmd = vkt_begin(t);
   vkt_begin_drawing(cmd, scene->pipeline, size.width, size.height,
                     &(VkRenderingInfo){
                        .colorAttachmentCount = !is_depth,
                        .pColorAttachments = &attachment,
                        .pDepthAttachment = is_depth ? &attachment : NULL,
                        .pStencilAttachment = has_stencil(test) ? &attachment : NULL,
                     });
   vkCmdPushConstants(cmd, scene->layout, VK_SHADER_STAGE_VERTEX_BIT, 0, sizeof(push), &push);
   vkCmdDraw(cmd, 15, 1, 0, 0);
   if (size.width > 8 && size.height > 8) {
      vkCmdClearAttachments(cmd, 1,
                            &(VkClearAttachment){
                               .aspectMask = is_depth ? VK_IMAGE_ASPECT_DEPTH_BIT
                                                      : VK_IMAGE_ASPECT_COLOR_BIT,
                               .clearValue = clear_value(test, 2),
                            },
                            1,
                            &(VkClearRect){
                               .rect = {{size.width / 3, size.height / 3},
                                        {size.width / 3 + 1, size.height / 4 + 1}},
                               .layerCount = 1,
                            });
      vkCmdPushConstants(cmd, scene->layout, VK_SHADER_STAGE_VERTEX_BIT, 0, 4,
                         &(uint32_t){level + 40});
      vkCmdDraw(cmd, 6, 1, 0, 0);
   }
   vkCmdEndRendering(cmd);
   vkt_barrier(cmd);
   vkt_run(t, cmd);
   vkDestroyImageView(t->device, view, NULL);
}

static void
clear_image(struct vkt *t, const struct test *test, const struct vkt_image *image)
{
   const VkClearValue value = clear_value(test, 3);
   const VkImageSubresourceRange range = {vkt_format_aspects(test->format), 0,
                                          VK_REMAINING_MIP_LEVELS, 0, VK_REMAINING_ARRAY_LAYERS};
   VkCommandBuffer cmd = vkt_begin(t);

   if (test->kind == DEPTH)
      vkCmdClearDepthStencilImage(cmd, image->image, VK_IMAGE_LAYOUT_GENERAL, &value.depthStencil,
                                  1, &range);
   else
      vkCmdClearColorImage(cmd, image->image, VK_IMAGE_LAYOUT_GENERAL, &value.color, 1, &range);
   vkt_barrier(cmd);
   vkt_run(t, cmd);
}

static VkImageSubresourceLayers
color_layers(uint32_t level, uint32_t count)
{
   return (VkImageSubresourceLayers){VK_IMAGE_ASPECT_COLOR_BIT, level, 0, count};
}

/* Level 0 of an image that must not be rendered to: sparse ones of three dimensions have no views of
 * their slices.
 */
static void
upload(struct vkt *t, const struct test *test, const struct vkt_image *image)
{
   const VkExtent3D size = image->info.extent;
   struct vkt_buffer buffer =
      vkt_buffer_create(t, (VkDeviceSize)size.width * size.height * size.depth * test->size_B[0]);

   /* No bytes that a float would take for not a number. */
   for (VkDeviceSize i = 0; i < buffer.size_B; i++)
      ((uint8_t *)buffer.map)[i] = (i * 7 + i / 253) % 59;
   VkCommandBuffer cmd = vkt_begin(t);
   vkCmdCopyBufferToImage(cmd, buffer.buffer, image->image, VK_IMAGE_LAYOUT_GENERAL, 1,
                          &(VkBufferImageCopy){
                             .imageSubresource = color_layers(0, 1),
                             .imageExtent = size,
                          });
   vkt_barrier(cmd);
   vkt_run(t, cmd);
   vkt_buffer_destroy(t, &buffer);
}

/* Within the image: scaled, mirrored, from level 0 to a part of level 1. */
static void
blit(struct vkt *t, const struct vkt_image *image)
{
   const VkExtent3D from = vkt_level_size(&image->info, 0), to = vkt_level_size(&image->info, 1);
   const VkImageBlit region = {
      .srcSubresource = color_layers(0, image->info.arrayLayers),
      .srcOffsets = {{7, 3, 0}, {from.width - 5, from.height - 1, from.depth}},
      .dstSubresource = color_layers(1, image->info.arrayLayers),
      .dstOffsets = {{to.width - 3, 2, 0}, {5, to.height - 9, to.depth}},
   };
   VkCommandBuffer cmd = vkt_begin(t);

   vkCmdBlitImage(cmd, image->image, VK_IMAGE_LAYOUT_GENERAL, image->image,
                  VK_IMAGE_LAYOUT_GENERAL, 1, &region, VK_FILTER_NEAREST);
   vkt_barrier(cmd);
   vkt_run(t, cmd);
}

/* ---------------------------------------------------------------- comparing */

static struct vkt_buffer
download(struct vkt *t, const struct test *test, const struct vkt_image *image)
{
   VkImageAspectFlagBits aspects[3];
   const uint32_t aspect_count = vkt_format_list_aspects(test->format, aspects);
   VkBufferImageCopy regions[64];
   VkDeviceSize size_B = 0;
   uint32_t count = 0;

   for (uint32_t level = 0; level < image->info.mipLevels; level++) {
      const VkExtent3D size = vkt_level_size(&image->info, level);
      for (uint32_t a = 0; a < aspect_count; a++) {
         regions[count++] = (VkBufferImageCopy){
            .bufferOffset = size_B,
            .imageSubresource = {aspects[a], level, 0, image->info.arrayLayers},
            .imageExtent = size,
         };
         size_B += ((VkDeviceSize)size.width * size.height * size.depth * image->info.arrayLayers *
                       test->size_B[a] +
                    15) /
                   16 * 16;
      }
   }

   struct vkt_buffer buffer = vkt_buffer_create(t, size_B);
   memset(buffer.map, 0, size_B);
   VkCommandBuffer cmd = vkt_begin(t);
   vkCmdCopyImageToBuffer(cmd, image->image, VK_IMAGE_LAYOUT_GENERAL, buffer.buffer, count, regions);
   vkt_barrier(cmd);
   vkt_run(t, cmd);

   return buffer;
}

static struct vkt_buffer
read_samples(struct vkt *t, const struct test *test, const struct vkt_image *image)
{
   const VkExtent3D size = image->info.extent;
   struct vkt_buffer buffer =
      vkt_buffer_create(t, 16ull * 4 * size.width * size.height * image->info.arrayLayers);
   const VkImageAspectFlags aspect =
      test->kind == DEPTH ? VK_IMAGE_ASPECT_DEPTH_BIT : VK_IMAGE_ASPECT_COLOR_BIT;
   const VkImageView view = vkt_view_create(
      t, image->image, VK_IMAGE_VIEW_TYPE_2D_ARRAY, test->format,
      (VkImageSubresourceRange){aspect, 0, 1, 0, image->info.arrayLayers});
   const VkSampler sampler = vkt_sampler_create(t, &(VkSamplerCreateInfo){0});
   const struct vkt_binding bindings[] = {
      {.type = VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER, .sampler = sampler, .image = view},
      {.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .buffer = buffer.buffer},
   };
   struct vkt_compute compute =
      test->kind == UINT
         ? vkt_compute_create(t, read_samples_uint_comp, sizeof(read_samples_uint_comp), bindings, 2)
         : vkt_compute_create(t, read_samples_float_comp, sizeof(read_samples_float_comp), bindings,
                              2);

   VkCommandBuffer cmd = vkt_begin(t);
   vkt_dispatch(t, cmd, &compute,
                (uint32_t[4]){size.width, size.height, image->info.arrayLayers},
                (size.width + 7) / 8, (size.height + 7) / 8, image->info.arrayLayers);
   vkt_barrier(cmd);
   vkt_run(t, cmd);

   vkt_compute_destroy(t, &compute);
   vkDestroySampler(t->device, sampler, NULL);
   vkDestroyImageView(t->device, view, NULL);
   return buffer;
}

/* The average, which llvmpipe computes from what it samples. */
static struct vkt_buffer
resolve(struct vkt *t, const struct test *test, const struct vkt_image *image)
{
   VkImageCreateInfo info = image->info;
   info.flags = 0;
   info.samples = VK_SAMPLE_COUNT_1_BIT;
   struct vkt_image target = vkt_plain_image_create(t, &info);

   VkCommandBuffer cmd = vkt_begin(t);
   vkCmdResolveImage(cmd, image->image, VK_IMAGE_LAYOUT_GENERAL, target.image,
                     VK_IMAGE_LAYOUT_GENERAL, 1,
                     &(VkImageResolve){
                        .srcSubresource = color_layers(0, info.arrayLayers),
                        .dstSubresource = color_layers(0, info.arrayLayers),
                        .extent = info.extent,
                     });
   vkt_barrier(cmd);
   vkt_run(t, cmd);
   struct vkt_buffer buffer = download(t, test, &target);
   vkt_image_destroy(t, &target);

   return buffer;
}

static void
expect_same(struct vkt *t, const char *name, const char *what, struct vkt_buffer sparse,
            struct vkt_buffer plain)
{
   const uint8_t *a = sparse.map, *b = plain.map;
   bool nothing = true;

   for (VkDeviceSize i = 0; i < plain.size_B; i++) {
      vkt_expect(a[i] == b[i], "%s, %s: byte %llu of %llu: %02x, and %02x in a plain image", name,
                 what, (unsigned long long)i, (unsigned long long)plain.size_B, a[i], b[i]);
      nothing &= b[i] == 0;
   }
   vkt_expect(!nothing, "%s, %s: nothing was drawn", name, what);
   vkt_buffer_destroy(t, &sparse);
   vkt_buffer_destroy(t, &plain);
}

static void
compare(struct vkt *t, const struct test *test, const char *name, const char *what,
        const struct vkt_image images[2])
{
   if (images[0].info.samples == VK_SAMPLE_COUNT_1_BIT)
      expect_same(t, name, what, download(t, test, &images[0]), download(t, test, &images[1]));
   else
      expect_same(t, name, what, read_samples(t, test, &images[0]),
                  read_samples(t, test, &images[1]));
}

static void
test_attachment(struct vkt *t, const struct test *test, const struct shape *shape)
{
   const bool is_3d = shape->type == VK_IMAGE_TYPE_3D;
   const VkImageCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
      .imageType = shape->type,
      .format = test->format,
      .extent = shape->size,
      .mipLevels = shape->levels,
      .arrayLayers = shape->layers,
      .samples = shape->samples,
      .usage = VK_IMAGE_USAGE_TRANSFER_SRC_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT |
               VK_IMAGE_USAGE_SAMPLED_BIT |
               (test->kind == DEPTH ? VK_IMAGE_USAGE_DEPTH_STENCIL_ATTACHMENT_BIT
                                    : VK_IMAGE_USAGE_COLOR_ATTACHMENT_BIT),
   };
   char name[128];

   if (is_3d && test->kind == DEPTH)
      return;

   snprintf(name, sizeof(name), "%s, %s", test->name, shape->name);
   struct vkt_image images[] = {vkt_sparse_image_create(t, &info), vkt_plain_image_create(t, &info)};
   struct scene scene = scene_create(t, test, shape->samples);
   vkt_sparse_image_bind(t, &images[0], vkt_all_blocks, true);

   for (uint32_t i = 0; i < 2; i++)
      clear_image(t, test, &images[i]);
   compare(t, test, name, "cleared", images);

   for (uint32_t i = 0; i < 2; i++) {
      if (is_3d)
         upload(t, test, &images[i]);
      for (uint32_t level = 0; level < shape->levels && !is_3d; level++) {
         for (uint32_t layer = 0; layer < shape->layers; layer++)
            render_layer(t, test, &scene, &images[i], level, layer);
      }
   }
   compare(t, test, name, "rendered", images);

   if (test->kind != DEPTH && shape->levels > 1) {
      for (uint32_t i = 0; i < 2; i++)
         blit(t, &images[i]);
      compare(t, test, name, "blitted", images);
   }
   if (test->kind == FLOAT && shape->samples > 1)
      expect_same(t, name, "resolved", resolve(t, test, &images[0]), resolve(t, test, &images[1]));

   scene_destroy(t, &scene);
   vkt_image_destroy(t, &images[1]);
   vkt_image_destroy(t, &images[0]);
}

/* Half of the blocks have no memory (residencyNonResidentStrict): the others hold what they would hold
 * otherwise, and these nothing, whatever was drawn, blended, tested and cleared there.
 */
static void
test_half_resident(struct vkt *t, const struct test *test, VkSampleCountFlagBits samples_count)
{
   const bool is_depth = test->kind == DEPTH;
   const VkImageCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
      .imageType = VK_IMAGE_TYPE_2D,
      .format = test->format,
      .extent = {300, 200, 1},
      .mipLevels = 1,
      .arrayLayers = 1,
      .samples = samples_count,
      .usage = VK_IMAGE_USAGE_TRANSFER_SRC_BIT | VK_IMAGE_USAGE_TRANSFER_DST_BIT |
               VK_IMAGE_USAGE_SAMPLED_BIT |
               (is_depth ? VK_IMAGE_USAGE_DEPTH_STENCIL_ATTACHMENT_BIT
                         : VK_IMAGE_USAGE_COLOR_ATTACHMENT_BIT),
   };
   struct vkt_image images[] = {vkt_sparse_image_create(t, &info), vkt_plain_image_create(t, &info)};
   struct scene scene = scene_create(t, test, samples_count);
   struct vkt_buffer found[2];
   const bool one_sample = samples_count == VK_SAMPLE_COUNT_1_BIT;

   vkt_sparse_image_bind(t, &images[0], vkt_every_other_block, true);
   for (uint32_t i = 0; i < 2; i++) {
      clear_image(t, test, &images[i]);
      render_layer(t, test, &scene, &images[i], 0, 0);
      found[i] = one_sample ? download(t, test, &images[i]) : read_samples(t, test, &images[i]);
   }

   /* Of four samples: as the shader gives them, four words each. */
   const uint32_t texel_B = one_sample ? test->size_B[0] : 64;
   static const uint8_t zeros[64];
   const uint8_t *a = found[0].map, *b = found[1].map;
   for (uint32_t y = 0; y < 200; y++) {
      for (uint32_t x = 0; x < 300; x++, a += texel_B, b += texel_B) {
         const uint32_t block = vkt_block_of_texel(
            &images[0], is_depth ? VK_IMAGE_ASPECT_DEPTH_BIT : VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, x,
            y, 0);
         if (vkt_every_other_block(&images[0], block))
            vkt_expect(!memcmp(a, b, texel_B), "%s, %u samples: %u,%u is resident: %02x, not %02x",
                       test->name, samples_count, x, y, a[0], b[0]);
         else if (t->props.sparseProperties.residencyNonResidentStrict && one_sample)
            vkt_expect(!memcmp(a, zeros, texel_B), "%s: %u,%u is not resident: %02x", test->name, x,
                       y, a[0]);
         else if (t->props.sparseProperties.residencyNonResidentStrict)
            vkt_expect(!memcmp(a, zeros, 4), "%s: %u,%u is not resident: %02x", test->name, x, y,
                       a[0]);
      }
   }

   vkt_buffer_destroy(t, &found[1]);
   vkt_buffer_destroy(t, &found[0]);
   scene_destroy(t, &scene);
   vkt_image_destroy(t, &images[1]);
   vkt_image_destroy(t, &images[0]);
}

int
main(void)
{
   struct vkt t;

   vkt_init(&t);
   for (uint32_t i = 0; i < VKT_ARRAY_SIZE(tests); i++) {
      for (uint32_t s = 0; s < VKT_ARRAY_SIZE(shapes); s++) {
         if (shapes[s].samples > 1 && !t.features.sparseResidency4Samples)
            continue;
         test_attachment(&t, &tests[i], &shapes[s]);
      }
      test_half_resident(&t, &tests[i], VK_SAMPLE_COUNT_1_BIT);
      if (t.features.sparseResidency4Samples)
         test_half_resident(&t, &tests[i], VK_SAMPLE_COUNT_4_BIT);
   }
   vkt_finish(&t);

   return 0;
}

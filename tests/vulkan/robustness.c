/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What llvmpipe has been taught about 64-bit integers in images must hold where there is no texel, as it does for
 * all other formats: out of bounds (robustImageAccess2, robustBufferAccess2) loads find 0, 0, 0, 1 and 0, and
 * stores and atomics are lost; of null descriptors (nullDescriptor) loads find zeros.  Images of every shape, texel
 * buffers, storage, uniform and vertex buffers.
 */

#include "vkt_sparse.h"

#include "robustness_0.comp.h"
#include "robustness_1.comp.h"
#include "robustness_2.comp.h"
#include "robustness_3.comp.h"
#include "robustness_4.comp.h"
#include "robustness_5.comp.h"
#include "robustness_6.comp.h"
#include "robustness_7.comp.h"
#include "robustness.vert.h"

/* From 1050 before the first texel to as far behind it. */
#define LOOKS 2112u

#define TEXELS 8u

struct shape {
   const char *name;
   VkImageType type;
   VkImageViewType view_type;
   VkExtent3D size;
   uint32_t layers;
   const uint32_t *shader;
   size_t shader_size_B;
};

#define SHADER(n) robustness_##n##_comp, sizeof(robustness_##n##_comp)

static const struct shape shapes[] = {
   {"1D", VK_IMAGE_TYPE_1D, VK_IMAGE_VIEW_TYPE_1D, {8, 1, 1}, 1, SHADER(0)},
   {"1D array", VK_IMAGE_TYPE_1D, VK_IMAGE_VIEW_TYPE_1D_ARRAY, {8, 1, 1}, 3, SHADER(1)},
   {"2D", VK_IMAGE_TYPE_2D, VK_IMAGE_VIEW_TYPE_2D, {8, 5, 1}, 1, SHADER(2)},
   {"2D array", VK_IMAGE_TYPE_2D, VK_IMAGE_VIEW_TYPE_2D_ARRAY, {8, 5, 1}, 3, SHADER(3)},
   {"3D", VK_IMAGE_TYPE_3D, VK_IMAGE_VIEW_TYPE_3D, {8, 5, 3}, 1, SHADER(4)},
   {"cube", VK_IMAGE_TYPE_2D, VK_IMAGE_VIEW_TYPE_CUBE, {8, 8, 1}, 6, SHADER(5)},
   {"cube array", VK_IMAGE_TYPE_2D, VK_IMAGE_VIEW_TYPE_CUBE_ARRAY, {8, 8, 1}, 12, SHADER(6)},
};

/* As in robustness.comp. */
static int64_t
value_at(uint32_t x, uint32_t y, uint32_t z)
{
   return (int64_t)((uint64_t)(x + 1) << 32) + y * 1000 + z;
}

/* ------------------------------------------------------------------ one look */

/* The sizes of the coordinates of a shader; all zero if nothing is there. */
static void
look(struct vkt *t, const char *name, const uint32_t *shader, size_t shader_size_B,
     const struct vkt_binding *bindings, uint32_t count, const uint32_t size[3])
{
   struct vkt_buffer target = vkt_buffer_create(t, LOOKS * 4);
   struct vkt_binding all[5] = {{VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .buffer = target.buffer}};

   memcpy(all + 1, bindings, count * sizeof(*bindings));
   struct vkt_compute compute =
      vkt_compute_create(t, shader, shader_size_B, all, count + 1);

   VkCommandBuffer cmd = vkt_begin(t);
   vkt_dispatch(t, cmd, &compute, (uint32_t[4]){size[0], size[1], size[2], size[0] == 0},
                LOOKS / 64, 1, 1);
   vkt_barrier(cmd);
   vkt_run(t, cmd);
   for (uint32_t i = 0; i < LOOKS; i++) {
      const uint32_t wrong = ((uint32_t *)target.map)[i];
      vkt_expect(!wrong, "%s%s, at %d: 0x%x", size[0] == 0 ? "null " : "", name, (int)i - 1050,
                 wrong);
   }

   vkt_compute_destroy(t, &compute);
   vkt_buffer_destroy(t, &target);
}

static const uint32_t nothing[3];

/* -------------------------------------------------------------------- images */

static void
copy_texels(struct vkt *t, const struct vkt_image *image, struct vkt_buffer *buffer, bool back)
{
   const VkBufferImageCopy copy = {
      .imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, image->info.arrayLayers},
      .imageExtent = image->info.extent,
   };
   VkCommandBuffer cmd = vkt_begin(t);

   if (back)
      vkCmdCopyImageToBuffer(cmd, image->image, VK_IMAGE_LAYOUT_GENERAL, buffer->buffer, 1, &copy);
   else
      vkCmdCopyBufferToImage(cmd, buffer->buffer, image->image, VK_IMAGE_LAYOUT_GENERAL, 1, &copy);
   vkt_barrier(cmd);
   vkt_run(t, cmd);
}

static void
test_image(struct vkt *t, const struct shape *shape)
{
   const bool is_1d = shape->type == VK_IMAGE_TYPE_1D;
   const VkImageCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
      .flags = shape->view_type == VK_IMAGE_VIEW_TYPE_CUBE ||
                     shape->view_type == VK_IMAGE_VIEW_TYPE_CUBE_ARRAY
                  ? VK_IMAGE_CREATE_CUBE_COMPATIBLE_BIT
                  : 0,
      .imageType = shape->type,
      .format = VK_FORMAT_R64_SINT,
      .extent = shape->size,
      .mipLevels = 1,
      .arrayLayers = shape->layers,
      .samples = VK_SAMPLE_COUNT_1_BIT,
      .usage = VK_IMAGE_USAGE_STORAGE_BIT | VK_IMAGE_USAGE_TRANSFER_SRC_BIT |
               VK_IMAGE_USAGE_TRANSFER_DST_BIT,
   };
   const uint32_t size[3] = {
      shape->size.width,
      is_1d ? shape->layers : shape->size.height,
      is_1d ? 1 : shape->size.depth * shape->layers,
   };
   const uint32_t texels = size[0] * size[1] * size[2];
   struct vkt_image image = vkt_plain_image_create(t, &info);
   struct vkt_buffer buffer = vkt_buffer_create(t, texels * 8);
   VkImageView view;

   vkt_check(vkCreateImageView(
      t->device,
      &(VkImageViewCreateInfo){
         .sType = VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO,
         .image = image.image,
         .viewType = shape->view_type,
         .format = info.format,
         .subresourceRange = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, shape->layers},
      },
      NULL, &view));

   int64_t *values = buffer.map;
   for (uint32_t i = 0; i < texels; i++)
      values[i] = value_at(i % size[0], i / size[0] % size[1], i / size[0] / size[1]);
   copy_texels(t, &image, &buffer, false);

   const struct vkt_binding binding = {VK_DESCRIPTOR_TYPE_STORAGE_IMAGE, .image = view};
   look(t, shape->name, shape->shader, shape->shader_size_B, &binding, 1, size);

   memset(values, 0, texels * 8);
   copy_texels(t, &image, &buffer, true);
   for (uint32_t i = 0; i < texels; i++)
      vkt_expect(values[i] == value_at(i % size[0], i / size[0] % size[1], i / size[0] / size[1]),
                 "%s: texel %u is 0x%llx", shape->name, i, (unsigned long long)values[i]);

   const struct vkt_binding null = {.type = VK_DESCRIPTOR_TYPE_STORAGE_IMAGE};
   look(t, shape->name, shape->shader, shape->shader_size_B, &null, 1, nothing);

   vkDestroyImageView(t->device, view, NULL);
   vkt_buffer_destroy(t, &buffer);
   vkt_image_destroy(t, &image);
}

/* ------------------------------------------------------------------- buffers */

/* In the middle of a buffer. */
#define OFFSET_B 4096u
#define SIZE_B   (3 * OFFSET_B)

static void
test_buffers(struct vkt *t)
{
   struct vkt_buffer texels = vkt_buffer_create(t, SIZE_B), storage = vkt_buffer_create(t, SIZE_B),
                     uniforms = vkt_buffer_create(t, SIZE_B), small = vkt_buffer_create(t, SIZE_B);
   VkBufferView views[2];

   for (uint32_t i = 0; i < 2; i++) {
      vkt_check(vkCreateBufferView(t->device,
                                   &(VkBufferViewCreateInfo){
                                      .sType = VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO,
                                      .buffer = i == 0 ? texels.buffer : small.buffer,
                                      .format = VK_FORMAT_R64_SINT,
                                      .offset = OFFSET_B,
                                      .range = TEXELS * 8,
                                   },
                                   NULL, &views[i]));
   }
   for (uint32_t i = 0; i < SIZE_B / 8; i++) {
      ((int64_t *)texels.map)[i] = value_at(i - OFFSET_B / 8, 0, 0);
      ((int64_t *)storage.map)[i] = value_at(i - OFFSET_B / 8, 0, 0);
      ((int64_t *)uniforms.map)[i] = value_at((i - OFFSET_B / 8) / 2, 0, 0);
      ((int64_t *)small.map)[i] = 2 * (i - OFFSET_B / 8) + 3;
   }

   const struct vkt_binding bindings[] = {
      {VK_DESCRIPTOR_TYPE_STORAGE_TEXEL_BUFFER, .view = views[0]},
      /* The last value lies half inside, and is outside. */
      {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .buffer = storage.buffer, .offset_B = OFFSET_B,
       .range_B = TEXELS * 8 + 4},
      {VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER, .buffer = uniforms.buffer, .offset_B = OFFSET_B,
       .range_B = TEXELS * 16},
      {VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER, .view = views[1]},
   };
   const uint32_t size[3] = {TEXELS, 1, 1};
   look(t, "buffers", SHADER(7), bindings, VKT_ARRAY_SIZE(bindings), size);
   for (uint32_t i = 0; i < SIZE_B / 8; i++) {
      vkt_expect(((int64_t *)texels.map)[i] == value_at(i - OFFSET_B / 8, 0, 0),
                 "value %u of the texel buffer", i);
      vkt_expect(((int64_t *)storage.map)[i] == value_at(i - OFFSET_B / 8, 0, 0),
                 "value %u of the storage buffer", i);
   }

   const struct vkt_binding null[] = {
      {.type = VK_DESCRIPTOR_TYPE_STORAGE_TEXEL_BUFFER},
      {.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER},
      {.type = VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER},
      {.type = VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER},
   };
   look(t, "buffers", SHADER(7), null, VKT_ARRAY_SIZE(null), nothing);

   for (uint32_t i = 0; i < 2; i++)
      vkDestroyBufferView(t->device, views[i], NULL);
   vkt_buffer_destroy(t, &small);
   vkt_buffer_destroy(t, &uniforms);
   vkt_buffer_destroy(t, &storage);
   vkt_buffer_destroy(t, &texels);
}

/* ------------------------------------------------------------------ vertices */

/* Whole ones and one that is half there, far more are drawn.  Of values that 32 bits can hold: larger ones lavapipe
 * has always clamped. */
static void
test_vertices(struct vkt *t)
{
   struct vkt_buffer vertices = vkt_buffer_create(t, TEXELS * 8 + 4),
                     target = vkt_buffer_create(t, LOOKS * 8);
   const struct vkt_binding binding = {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .buffer = target.buffer};
   struct vkt_compute set = vkt_set_create(t, &binding, 1);
   const VkPipeline pipeline = vkt_pipeline_create(t, set.layout,
                                                   &(struct vkt_pipeline){
                                                      .vertex = robustness_vert,
                                                      .vertex_size_B = sizeof(robustness_vert),
                                                      .vertex_format = VK_FORMAT_R64_SINT,
                                                      .vertex_stride_B = 8,
                                                   });

   for (uint32_t i = 0; i < TEXELS; i++)
      ((int64_t *)vertices.map)[i] = 2 * i + 3;
   memset(target.map, 0xff, LOOKS * 8);

   VkCommandBuffer cmd = vkt_begin(t);
   vkt_set_bind(cmd, VK_PIPELINE_BIND_POINT_GRAPHICS, &set, (uint32_t[4]){0});
   vkCmdBindVertexBuffers(cmd, 0, 1, &vertices.buffer, &(VkDeviceSize){0});
   vkt_begin_drawing(cmd, pipeline, 1, 1, NULL);
   vkCmdDraw(cmd, LOOKS, 1, 0, 0);
   vkCmdEndRendering(cmd);
   vkt_barrier(cmd);
   vkt_run(t, cmd);
   for (uint32_t i = 0; i < LOOKS; i++) {
      const int64_t found = ((int64_t *)target.map)[i];
      vkt_expect(found == (i < TEXELS ? 2 * i + 3 : 0), "vertex %u: 0x%llx", i,
                 (unsigned long long)found);
   }

   vkDestroyPipeline(t->device, pipeline, NULL);
   vkt_compute_destroy(t, &set);
   vkt_buffer_destroy(t, &target);
   vkt_buffer_destroy(t, &vertices);
}

static void
init(struct vkt *t)
{
   static const char *const extensions[] = {
      VK_EXT_SHADER_IMAGE_ATOMIC_INT64_EXTENSION_NAME,
      VK_EXT_ROBUSTNESS_2_EXTENSION_NAME,
   };
   static VkPhysicalDeviceRobustness2FeaturesEXT robustness = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ROBUSTNESS_2_FEATURES_EXT,
      .robustBufferAccess2 = VK_TRUE,
      .robustImageAccess2 = VK_TRUE,
      .nullDescriptor = VK_TRUE,
   };
   static VkPhysicalDeviceShaderImageAtomicInt64FeaturesEXT int64 = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_IMAGE_ATOMIC_INT64_FEATURES_EXT,
      .pNext = &robustness,
      .shaderImageInt64Atomics = VK_TRUE,
   };

   vkt_init_with(t, &(struct vkt_config){
                       .extensions = extensions,
                       .extension_count = VKT_ARRAY_SIZE(extensions),
                       .features = &int64,
                       .more_usage = VK_BUFFER_USAGE_UNIFORM_BUFFER_BIT |
                                     VK_BUFFER_USAGE_STORAGE_TEXEL_BUFFER_BIT |
                                     VK_BUFFER_USAGE_VERTEX_BUFFER_BIT,
                    });
}

int
main(void)
{
   struct vkt t;

   init(&t);
   for (uint32_t i = 0; i < VKT_ARRAY_SIZE(shapes); i++)
      test_image(&t, &shapes[i]);
   test_buffers(&t);
   test_vertices(&t);
   vkt_finish(&t);

   return 0;
}

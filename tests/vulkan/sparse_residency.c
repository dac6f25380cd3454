/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What shaders are told of residency (Vulkan, feature shaderResourceResidency; SPIR-V, "OpImageSparse*"):
 * fetches, samples, gathers and loads, of arrays, cubes, 3D images, samples and levels of the mip tail,
 * with filters that look at one level or at two; and what stores and atomics do where nothing is bound,
 * with a read after them in the same shader.  Each answer is computed here from what was bound.
 */

#include "vkt_sparse.h"

#include "sparse_cube.comp.h"
#include "sparse_fetch_2d.comp.h"
#include "sparse_fetch_3d.comp.h"
#include "sparse_fetch_ms.comp.h"
#include "sparse_gather_2d.comp.h"
#include "sparse_load_2d.comp.h"
#include "sparse_load_ms.comp.h"
#include "sparse_lod.comp.h"
#include "write_image_2d.comp.h"
#include "write_plane.comp.h"
#include "write_samples.comp.h"

#define SHADER(name) name##_comp, sizeof(name##_comp)

struct answer {
   uint32_t value, resident;
};

static bool
is_strict(const struct vkt *t)
{
   return t->props.sparseProperties.residencyNonResidentStrict;
}

/* ------------------------------------------------------------------ images */

/* Every texel has its own, and none is 0. */
static uint32_t
texel_value(uint32_t level, uint32_t slice, uint32_t x, uint32_t y)
{
   return 1 + x + (y << 9) + (slice << 18) + (level << 24);
}

static VkImageCreateInfo
image_info(VkImageType type, VkFormat format, VkExtent3D size, uint32_t levels, uint32_t layers)
{
   return (VkImageCreateInfo){
      .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
      .imageType = type,
      .format = format,
      .extent = size,
      .mipLevels = levels,
      .arrayLayers = layers,
      .samples = VK_SAMPLE_COUNT_1_BIT,
      .usage = VK_IMAGE_USAGE_TRANSFER_DST_BIT | VK_IMAGE_USAGE_TRANSFER_SRC_BIT |
               VK_IMAGE_USAGE_SAMPLED_BIT,
   };
}

static void
upload_values(struct vkt *t, const struct vkt_image *image, bool as_float)
{
   for (uint32_t level = 0; level < image->info.mipLevels; level++) {
      const VkExtent3D size = vkt_level_size(&image->info, level);
      const uint32_t slices = size.depth * image->info.arrayLayers;
      struct vkt_buffer buffer = vkt_buffer_create(t, 4ull * size.width * size.height * slices);
      uint32_t *word = buffer.map;

      for (uint32_t slice = 0; slice < slices; slice++)
      for (uint32_t y = 0; y < size.height; y++)
      for (uint32_t x = 0; x < size.width; x++) {
         const uint32_t value = texel_value(level, slice, x, y);
         const float number = (float)value;
         memcpy(word++, as_float ? (const void *)&number : &value, 4);
      }

      VkCommandBuffer cmd = vkt_begin(t);
      vkCmdCopyBufferToImage(cmd, buffer.buffer, image->image, VK_IMAGE_LAYOUT_GENERAL, 1,
                             &(VkBufferImageCopy){
                                .imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, level, 0,
                                                     image->info.arrayLayers},
                                .imageExtent = size,
                             });
      vkt_barrier(cmd);
      vkt_run(t, cmd);
      vkt_buffer_destroy(t, &buffer);
   }
}

/* All of it bound, uploaded, and then only what is resident. */
static struct vkt_image
create_image(struct vkt *t, const VkImageCreateInfo *info, bool tails)
{
   struct vkt_image image = vkt_sparse_image_create(t, info);

   vkt_sparse_image_bind(t, &image, vkt_all_blocks, true);
   upload_values(t, &image, info->format == VK_FORMAT_R32_SFLOAT);
   vkt_sparse_image_bind(t, &image, vkt_every_other_block, tails);

   return image;
}

static VkImageView
create_view(struct vkt *t, const struct vkt_image *image, VkImageViewType type)
{
   return vkt_view_create(t, image->image, type, image->info.format,
                          (VkImageSubresourceRange){VK_IMAGE_ASPECT_COLOR_BIT, 0,
                                                    image->info.mipLevels, 0,
                                                    image->info.arrayLayers});
}

static bool
is_resident(const struct vkt_image *image, bool tails, uint32_t level, uint32_t layer, uint32_t x,
            uint32_t y, uint32_t z)
{
   const uint32_t block =
      vkt_block_of_texel(image, VK_IMAGE_ASPECT_COLOR_BIT, level, layer, x, y, z);
   return block == UINT32_MAX ? tails : vkt_every_other_block(image, block);
}

static void
expect_answer(struct vkt *t, const char *what, const struct answer *answer, bool resident,
              uint32_t value, uint32_t level, uint32_t slice, uint32_t x, uint32_t y)
{
   vkt_expect(answer->resident == resident, "%s: level %u, slice %u, %u,%u: resident: %u", what,
              level, slice, x, y, answer->resident);
   if (resident)
      vkt_expect(answer->value == value, "%s: level %u, slice %u, %u,%u: 0x%x, not 0x%x", what,
                 level, slice, x, y, answer->value, value);
   else if (is_strict(t))
      vkt_expect(answer->value == 0, "%s: level %u, slice %u, %u,%u: not resident: 0x%x", what,
                 level, slice, x, y, answer->value);
}

/* ------------------------------------------------------------------ shaders */

struct sampling {
   VkFilter min, mag;
   VkSamplerMipmapMode mip;
   float anisotropy;
};

/* One invocation a texel; the answers are the caller's to destroy. */
static struct vkt_buffer
run_shader(struct vkt *t, const uint32_t *spirv, size_t spirv_size_B, VkDescriptorType type,
           VkImageView view, const struct sampling *sampling, const uint32_t push[4],
           uint32_t slices, uint32_t answers)
{
   struct vkt_buffer buffer = vkt_buffer_create(t, (VkDeviceSize)answers * sizeof(struct answer));
   const VkSampler sampler =
      vkt_sampler_create(t, &(VkSamplerCreateInfo){
                               .minFilter = sampling->min,
                               .magFilter = sampling->mag,
                               .mipmapMode = sampling->mip,
                               .addressModeU = VK_SAMPLER_ADDRESS_MODE_CLAMP_TO_EDGE,
                               .addressModeV = VK_SAMPLER_ADDRESS_MODE_CLAMP_TO_EDGE,
                               .anisotropyEnable = sampling->anisotropy > 1,
                               .maxAnisotropy = sampling->anisotropy,
                               .maxLod = VK_LOD_CLAMP_NONE,
                            });
   const struct vkt_binding bindings[] = {
      {.type = type, .sampler = sampler, .image = view},
      {.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .buffer = buffer.buffer},
   };
   struct vkt_compute compute = vkt_compute_create(t, spirv, spirv_size_B, bindings, 2);

   memset(buffer.map, 0xcc, buffer.size_B);
   VkCommandBuffer cmd = vkt_begin(t);
   vkt_dispatch(t, cmd, &compute, push, (push[1] + 7) / 8, (push[2] + 7) / 8, slices);
   vkt_barrier(cmd);
   vkt_run(t, cmd);

   vkt_compute_destroy(t, &compute);
   vkDestroySampler(t->device, sampler, NULL);
   return buffer;
}

static const struct sampling nearest = {VK_FILTER_NEAREST, VK_FILTER_NEAREST,
                                        VK_SAMPLER_MIPMAP_MODE_NEAREST, 1};

/* ------------------------------------------------- one answer for each texel of a level */

static void
every_texel(struct vkt *t, const char *what, const uint32_t *spirv, size_t spirv_size_B,
            VkDescriptorType type, VkImageViewType view_type, const VkImageCreateInfo *info,
            bool tails)
{
   struct vkt_image image = create_image(t, info, tails);
   const VkImageView view = create_view(t, &image, view_type);
   const uint32_t levels = type == VK_DESCRIPTOR_TYPE_STORAGE_IMAGE ? 1 : info->mipLevels;

   for (uint32_t level = 0; level < levels; level++) {
      const VkExtent3D size = vkt_level_size(info, level);
      const uint32_t slices = size.depth * info->arrayLayers;
      struct vkt_buffer buffer =
         run_shader(t, spirv, spirv_size_B, type, view, &nearest,
                    (uint32_t[4]){level, size.width, size.height}, slices,
                    size.width * size.height * slices);
      const struct answer *answer = buffer.map;

      for (uint32_t slice = 0; slice < slices; slice++)
      for (uint32_t y = 0; y < size.height; y++)
      for (uint32_t x = 0; x < size.width; x++) {
         const uint32_t layer = info->arrayLayers > 1 ? slice : 0;
         const bool resident = is_resident(&image, tails, level, layer, x, y, slice - layer);
         expect_answer(t, what, answer++, resident, texel_value(level, slice, x, y), level, slice,
                       x, y);
      }
      vkt_buffer_destroy(t, &buffer);
   }

   vkDestroyImageView(t->device, view, NULL);
   vkt_image_destroy(t, &image);
}

static void
gathers(struct vkt *t)
{
   const VkImageCreateInfo info =
      image_info(VK_IMAGE_TYPE_2D, VK_FORMAT_R32_UINT, (VkExtent3D){300, 200, 1}, 1, 2);
   struct vkt_image image = create_image(t, &info, true);
   const VkImageView view = create_view(t, &image, VK_IMAGE_VIEW_TYPE_2D_ARRAY);
   struct vkt_buffer buffer =
      run_shader(t, SHADER(sparse_gather_2d), VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER, view,
                 &nearest, (uint32_t[4]){0, 300, 200}, 2, 300 * 200 * 2);
   const struct answer *answers = buffer.map;

   for (uint32_t slice = 0; slice < 2; slice++)
   for (uint32_t y = 0; y < 199; y++)
   for (uint32_t x = 0; x < 299; x++) {
      const struct answer *answer = &answers[(slice * 200 + y) * 300 + x];
      bool all = true;
      uint32_t sum = 0;

      for (uint32_t i = 0; i < 4; i++) {
         const bool resident = is_resident(&image, true, 0, slice, x + i % 2, y + i / 2, 0);
         all &= resident;
         sum += resident ? texel_value(0, slice, x + i % 2, y + i / 2) : 0;
      }
      vkt_expect(answer->resident == all, "gather: %u,%u of layer %u: resident: %u", x, y, slice,
                 answer->resident);
      if (all || is_strict(t))
         vkt_expect(answer->value == sum, "gather: %u,%u of layer %u: 0x%x, not 0x%x", x, y, slice,
                    answer->value, sum);
   }

   vkt_buffer_destroy(t, &buffer);
   vkDestroyImageView(t->device, view, NULL);
   vkt_image_destroy(t, &image);
}

/* --------------------------------------------------------- levels of detail and filters */

static uint32_t
clamp(int32_t value, uint32_t size)
{
   return value < 0 ? 0 : (uint32_t)value >= size ? size - 1 : (uint32_t)value;
}

/* The residency of what a sample looks at in one level, of which it may leave out texels that have no
 * weight: whether all of it is resident, and whether what it cannot leave out is.
 */
static void
look(const struct vkt_image *image, uint32_t level, uint32_t layer, float u, float v, bool linear,
     bool *all, bool *some)
{
   const VkExtent3D size = vkt_level_size(&image->info, level);
   const float x = u * size.width, y = v * size.height;

   if (!linear) {
      const bool resident = is_resident(image, false, level, layer, clamp(x, size.width),
                                        clamp(y, size.height), 0);
      *all &= resident;
      *some &= resident;
      return;
   }

   for (int i = 0; i < 4; i++) {
      const float fx = x - 0.5f + i % 2, fy = y - 0.5f + i / 2;
      const bool resident =
         is_resident(image, false, level, layer, clamp((int)(fx + 1) - 1, size.width),
                     clamp((int)(fy + 1) - 1, size.height), 0);
      const float wx = x - 0.5f - (int)(x + 0.5f) + 1, wy = y - 0.5f - (int)(y + 0.5f) + 1;
      const float weight = (i % 2 ? wx : 1 - wx) * (i / 2 ? wy : 1 - wy);

      *all &= resident;
      if (weight > 0.01f)
         *some &= resident;
   }
}

static void
levels_of_detail(struct vkt *t, const struct sampling *sampling)
{
   static const float lods[] = {-1.0f, 0.0f, 0.3f, 0.75f, 1.0f, 1.6f, 2.0f, 2.25f, 8.0f};
   const VkImageCreateInfo info =
      image_info(VK_IMAGE_TYPE_2D, VK_FORMAT_R32_SFLOAT, (VkExtent3D){600, 400, 1}, 4, 2);
   struct vkt_image image = create_image(t, &info, false);
   const VkImageView view = create_view(t, &image, VK_IMAGE_VIEW_TYPE_2D_ARRAY);

   for (uint32_t i = 0; i < VKT_ARRAY_SIZE(lods); i++) {
      const float lod = lods[i] < 0 ? 0 : lods[i] > 3 ? 3 : lods[i];
      const bool linear = (lods[i] > 0 ? sampling->min : sampling->mag) == VK_FILTER_LINEAR;
      const bool blends = sampling->mip == VK_SAMPLER_MIPMAP_MODE_LINEAR;
      const uint32_t level = blends ? (uint32_t)lod : (uint32_t)(lod + 0.499f);
      const bool two = blends && lod > (float)level;
      uint32_t bits;

      memcpy(&bits, &lods[i], 4);
      struct vkt_buffer buffer =
         run_shader(t, SHADER(sparse_lod), VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER, view,
                    sampling, (uint32_t[4]){0, 150, 100, bits}, 2, 150 * 100 * 2);
      const struct answer *answer = buffer.map;

      for (uint32_t layer = 0; layer < 2; layer++)
      for (uint32_t y = 0; y < 100; y++)
      for (uint32_t x = 0; x < 150; x++, answer++) {
         const float u = (x + 0.5f) / 150, v = (y + 0.5f) / 100;
         bool all = true, some = true;

         look(&image, level, layer, u, v, linear, &all, &some);
         if (two)
            look(&image, level + 1, layer, u, v, linear, &all, &some);
         vkt_expect(answer->resident ? some : !all,
                    "level of detail %g, filters %d %d %d: %u,%u of layer %u: resident: %u", lods[i],
                    sampling->min, sampling->mag, sampling->mip, x, y, layer, answer->resident);
      }
      vkt_buffer_destroy(t, &buffer);
   }

   vkDestroyImageView(t->device, view, NULL);
   vkt_image_destroy(t, &image);
}

/* ------------------------------------------------------------------ samples */

/* Written by a shader, and then read in both ways. */
static void
write_and_expect_samples(struct vkt *t, const struct vkt_image *image)
{
   const VkImageView view = create_view(t, image, VK_IMAGE_VIEW_TYPE_2D_ARRAY);
   const uint32_t push[4] = {0, 150, 100};
   const bool is_whole = !(image->info.flags & VK_IMAGE_CREATE_SPARSE_RESIDENCY_BIT);

   struct vkt_buffer written =
      run_shader(t, SHADER(write_samples), VK_DESCRIPTOR_TYPE_STORAGE_IMAGE, view, &nearest, push, 2,
                 1);
   vkt_buffer_destroy(t, &written);

   for (uint32_t pass = 0; pass < 2; pass++) {
      struct vkt_buffer buffer =
         pass ? run_shader(t, SHADER(sparse_load_ms), VK_DESCRIPTOR_TYPE_STORAGE_IMAGE, view,
                           &nearest, push, 2, 150 * 100 * 2 * 4)
              : run_shader(t, SHADER(sparse_fetch_ms), VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER,
                           view, &nearest, push, 2, 150 * 100 * 2 * 4);
      const struct answer *answer = buffer.map;

      for (uint32_t layer = 0; layer < 2; layer++)
      for (uint32_t y = 0; y < 100; y++)
      for (uint32_t x = 0; x < 150; x++)
      for (uint32_t s = 0; s < 4; s++)
         expect_answer(t, pass ? "load of a sample" : "fetch of a sample", answer++,
                       is_whole || is_resident(image, true, 0, layer, x, y, 0),
                       ((layer * 100 + y) * 150 + x) * 4 + s + 1, s, layer, x, y);
      vkt_buffer_destroy(t, &buffer);
   }

   vkDestroyImageView(t->device, view, NULL);
}

static VkImageCreateInfo
samples_info(VkImageCreateFlags flags)
{
   VkImageCreateInfo info =
      image_info(VK_IMAGE_TYPE_2D, VK_FORMAT_R32_UINT, (VkExtent3D){150, 100, 1}, 1, 2);

   info.samples = VK_SAMPLE_COUNT_4_BIT;
   info.usage = VK_IMAGE_USAGE_SAMPLED_BIT | VK_IMAGE_USAGE_STORAGE_BIT;
   info.flags = VK_IMAGE_CREATE_SPARSE_BINDING_BIT | flags;
   return info;
}

static void
samples(struct vkt *t)
{
   const VkImageCreateInfo info = samples_info(VK_IMAGE_CREATE_SPARSE_RESIDENCY_BIT);

   if (!t->features.sparseResidency4Samples || !t->features.shaderStorageImageMultisample ||
       !vkt_image_supported(t, &info)) {
      printf("no sparse storage images of four samples\n");
      return;
   }

   struct vkt_image image = vkt_sparse_image_create(t, &info);
   vkt_sparse_image_bind(t, &image, vkt_every_other_block, true);
   write_and_expect_samples(t, &image);
   vkt_image_destroy(t, &image);
}

/* Bound as a whole, in pieces in the reverse order: all is resident. */
static void
samples_without_residency(struct vkt *t)
{
   struct vkt_image image = {.info = samples_info(0)};

   if (!t->features.shaderStorageImageMultisample || !vkt_image_supported(t, &image.info)) {
      printf("no storage images of four samples that are bound in pieces\n");
      return;
   }

   vkt_check(vkCreateImage(t->device, &image.info, NULL, &image.image));
   vkGetImageMemoryRequirements(t->device, image.image, &image.reqs);
   image.memory = vkt_alloc(t, image.reqs.size, NULL);

   vkt_image_bind_reversed(t, image.image, image.memory, image.reqs.size);
   vkt_make_general(t, image.image, VK_IMAGE_ASPECT_COLOR_BIT);
   write_and_expect_samples(t, &image);

   vkt_image_destroy(t, &image);
}

/* ------------------------------------------------------- stores and atomics to nothing */

static void
writes(struct vkt *t, bool atomics)
{
   VkImageCreateInfo info =
      image_info(VK_IMAGE_TYPE_2D, VK_FORMAT_R32_UINT, (VkExtent3D){160, 140, 1}, 1, 2);
   info.usage |= VK_IMAGE_USAGE_STORAGE_BIT;
   struct vkt_image image = vkt_sparse_image_create(t, &info);
   const VkImageView view = create_view(t, &image, VK_IMAGE_VIEW_TYPE_2D_ARRAY);

   vkt_sparse_image_bind(t, &image, vkt_every_other_block, true);
   struct vkt_buffer buffer =
      run_shader(t, SHADER(write_image_2d), VK_DESCRIPTOR_TYPE_STORAGE_IMAGE, view, &nearest,
                 (uint32_t[4]){0, 160, 140, atomics}, 2, 160 * 140 * 2);
   /* Here: what the atomic found, and what a load found after it. */
   const struct answer *answer = buffer.map;
   uint32_t value = 0;

   for (uint32_t layer = 0; layer < 2; layer++)
   for (uint32_t y = 0; y < 140; y++)
   for (uint32_t x = 0; x < 160; x++, answer++) {
      const bool resident = is_resident(&image, true, 0, layer, x, y, 0);
      value++;
      if (resident)
         vkt_expect(answer->value == 0 && answer->resident == value,
                    "%u,%u of layer %u: %u before, %u after", x, y, layer, answer->value,
                    answer->resident);
      else if (is_strict(t))
         vkt_expect(answer->value == 0 && answer->resident == 0,
                    "%u,%u of layer %u, not resident: %u before, %u after", x, y, layer,
                    answer->value, answer->resident);
   }

   vkt_buffer_destroy(t, &buffer);
   vkDestroyImageView(t->device, view, NULL);
   vkt_image_destroy(t, &image);
}

/* ------------------------------------------------------------------- planes */

/* Each plane as a storage image of its own format (Vulkan, "Formats Requiring Sampler Y'CbCr Conversion",
 * compatible formats of planes; VK_IMAGE_CREATE_EXTENDED_USAGE_BIT), half of its blocks bound.
 */
static void
planes(struct vkt *t)
{
   static const struct {
      VkImageAspectFlagBits aspect;
      VkFormat format;
      uint32_t width, height, size_B;
   } each[] = {
      {VK_IMAGE_ASPECT_PLANE_0_BIT, VK_FORMAT_R8_UNORM, 1024, 600, 1},
      {VK_IMAGE_ASPECT_PLANE_1_BIT, VK_FORMAT_R8G8_UNORM, 512, 300, 2},
   };
   VkImageCreateInfo info = image_info(VK_IMAGE_TYPE_2D, VK_FORMAT_G8_B8R8_2PLANE_420_UNORM,
                                       (VkExtent3D){1024, 600, 1}, 1, 1);
   info.usage = VK_IMAGE_USAGE_STORAGE_BIT | VK_IMAGE_USAGE_TRANSFER_SRC_BIT;
   info.flags = VK_IMAGE_CREATE_MUTABLE_FORMAT_BIT | VK_IMAGE_CREATE_EXTENDED_USAGE_BIT |
                VK_IMAGE_CREATE_SPARSE_BINDING_BIT | VK_IMAGE_CREATE_SPARSE_RESIDENCY_BIT;
   /* The validation layer takes a plane to be as large as the image. */
   if (t->messenger || !vkt_image_supported(t, &info))
      return;

   struct vkt_image image = vkt_sparse_image_create(t, &info);
   vkt_expect(image.aspect_count == 2, "%u aspects of two planes", image.aspect_count);
   vkt_sparse_image_bind(t, &image, vkt_every_other_block, true);

   for (uint32_t p = 0; p < VKT_ARRAY_SIZE(each); p++) {
      const uint32_t width = each[p].width, height = each[p].height;
      const VkImageView view =
         vkt_view_create(t, image.image, VK_IMAGE_VIEW_TYPE_2D_ARRAY, each[p].format,
                         (VkImageSubresourceRange){each[p].aspect, 0, 1, 0, 1});
      struct vkt_buffer nothing =
         run_shader(t, SHADER(write_plane), VK_DESCRIPTOR_TYPE_STORAGE_IMAGE, view, &nearest,
                    (uint32_t[4]){0, width, height}, 1, 1);
      vkt_buffer_destroy(t, &nothing);
      vkDestroyImageView(t->device, view, NULL);

      struct vkt_buffer buffer = vkt_buffer_create(t, (VkDeviceSize)width * height * each[p].size_B);
      VkCommandBuffer cmd = vkt_begin(t);
      vkCmdCopyImageToBuffer(cmd, image.image, VK_IMAGE_LAYOUT_GENERAL, buffer.buffer, 1,
                             &(VkBufferImageCopy){
                                .imageSubresource = {each[p].aspect, 0, 0, 1},
                                .imageExtent = {width, height, 1},
                             });
      vkt_barrier(cmd);
      vkt_run(t, cmd);

      const uint8_t *byte = buffer.map;
      for (uint32_t y = 0; y < height; y++)
      for (uint32_t x = 0; x < width; x++, byte += each[p].size_B) {
         const uint32_t block = vkt_block_of_texel(&image, each[p].aspect, 0, 0, x, y, 0);
         const bool resident = vkt_every_other_block(&image, block);
         if (resident || is_strict(t))
            vkt_expect(byte[0] == (resident ? x & 255 : 0) &&
                          (each[p].size_B == 1 || byte[1] == (resident ? y & 255 : 0)),
                       "plane %u: %u,%u: %02x", p, x, y, byte[0]);
      }
      vkt_buffer_destroy(t, &buffer);
   }

   vkt_image_destroy(t, &image);
}

int
main(void)
{
   const VkDescriptorType sampled = VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER;
   const VkFilter filters[] = {VK_FILTER_NEAREST, VK_FILTER_LINEAR};
   struct vkt t;

   vkt_init(&t);

   for (uint32_t tails = 0; tails < 2; tails++) {
      const VkImageCreateInfo array =
         image_info(VK_IMAGE_TYPE_2D, VK_FORMAT_R32_UINT, (VkExtent3D){300, 200, 1}, 9, 3);
      VkImageCreateInfo cubes =
         image_info(VK_IMAGE_TYPE_2D, VK_FORMAT_R32_UINT, (VkExtent3D){256, 256, 1}, 9, 12);
      const VkImageCreateInfo volume =
         image_info(VK_IMAGE_TYPE_3D, VK_FORMAT_R32_UINT, (VkExtent3D){70, 80, 33}, 7, 1);
      cubes.flags = VK_IMAGE_CREATE_CUBE_COMPATIBLE_BIT;

      every_texel(&t, "fetch", SHADER(sparse_fetch_2d), sampled, VK_IMAGE_VIEW_TYPE_2D_ARRAY,
                  &array, tails);
      every_texel(&t, "fetch of a volume", SHADER(sparse_fetch_3d), sampled, VK_IMAGE_VIEW_TYPE_3D,
                  &volume, tails);
      every_texel(&t, "sample of a cube", SHADER(sparse_cube), sampled,
                  VK_IMAGE_VIEW_TYPE_CUBE_ARRAY, &cubes, tails);
   }

   VkImageCreateInfo storage =
      image_info(VK_IMAGE_TYPE_2D, VK_FORMAT_R32_UINT, (VkExtent3D){300, 200, 1}, 1, 3);
   storage.usage |= VK_IMAGE_USAGE_STORAGE_BIT;
   every_texel(&t, "load", SHADER(sparse_load_2d), VK_DESCRIPTOR_TYPE_STORAGE_IMAGE,
               VK_IMAGE_VIEW_TYPE_2D_ARRAY, &storage, true);
   gathers(&t);

   for (uint32_t i = 0; i < 8; i++) {
      levels_of_detail(&t, &(struct sampling){filters[i % 2], filters[i / 2 % 2],
                                              i / 4 ? VK_SAMPLER_MIPMAP_MODE_LINEAR
                                                    : VK_SAMPLER_MIPMAP_MODE_NEAREST,
                                              1});
   }

   samples(&t);
   samples_without_residency(&t);
   planes(&t);
   writes(&t, false);
   writes(&t, true);
   vkt_finish(&t);

   return 0;
}

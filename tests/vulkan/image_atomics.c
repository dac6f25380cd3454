/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Atomics on images of 64-bit integers and of floats (VK_EXT_shader_image_atomic_int64, with
 * sparseImageInt64Atomics; VK_EXT_shader_atomic_float and _float2, with sparseImageFloat32Atomics and
 * sparseImageFloat32AtomicMinMax): every operation, on images of every shape and on texel buffers, and
 * loads, stores, copies and clears of these formats.  Four invocations for each texel: what they found
 * and what is left must be what some order of the four gives.  Of sparse images every other block is
 * bound: elsewhere nothing is found and nothing is left, where that is promised.
 */

#include "vkt_sparse.h"

#include "image_atomics_float32_0.comp.h"
#include "image_atomics_float32_1.comp.h"
#include "image_atomics_float32_2.comp.h"
#include "image_atomics_float32_3.comp.h"
#include "image_atomics_float32_4.comp.h"
#include "image_atomics_float32_5.comp.h"
#include "image_atomics_float32_6.comp.h"
#include "image_atomics_float32_7.comp.h"
#include "image_atomics_sint64_0.comp.h"
#include "image_atomics_sint64_1.comp.h"
#include "image_atomics_sint64_2.comp.h"
#include "image_atomics_sint64_3.comp.h"
#include "image_atomics_sint64_4.comp.h"
#include "image_atomics_sint64_5.comp.h"
#include "image_atomics_sint64_6.comp.h"
#include "image_atomics_sint64_7.comp.h"
#include "image_atomics_uint64_0.comp.h"
#include "image_atomics_uint64_1.comp.h"
#include "image_atomics_uint64_2.comp.h"
#include "image_atomics_uint64_3.comp.h"
#include "image_atomics_uint64_4.comp.h"
#include "image_atomics_uint64_5.comp.h"
#include "image_atomics_uint64_6.comp.h"
#include "image_atomics_uint64_7.comp.h"

#define LANES 4u

/* -------------------------------------------------------------------- types */

enum type {
   UINT64,
   SINT64,
   FLOAT32,
   TYPE_COUNT,
};

static const struct {
   const char *name;
   VkFormat format;
   uint32_t size_B;
} types[TYPE_COUNT] = {
   [UINT64] = {"R64_UINT", VK_FORMAT_R64_UINT, 8},
   [SINT64] = {"R64_SINT", VK_FORMAT_R64_SINT, 8},
   [FLOAT32] = {"R32_SFLOAT", VK_FORMAT_R32_SFLOAT, 4},
};

/* A texel is its bits. */

static uint64_t
from_float(float f)
{
   uint32_t bits;

   memcpy(&bits, &f, sizeof(bits));
   return bits;
}

static float
to_float(uint64_t bits)
{
   const uint32_t low = (uint32_t)bits;
   float f;

   memcpy(&f, &low, sizeof(f));
   return f;
}

/* As in image_atomics.comp. */

static uint64_t
initial(enum type type, uint32_t texel)
{
   return type == FLOAT32 ? from_float((float)(texel % 64) - 20.0f)
                          : (uint64_t)(texel + 1) * 0xd1b54a32d192ed03ull;
}

static uint64_t
operand(enum type type, uint32_t texel, uint32_t lane)
{
   return type == FLOAT32 ? from_float((float)((texel * 7 + lane * 13) % 61) - 30.0f)
                          : (uint64_t)(texel * LANES + lane + 1) * 0x9e3779b97f4a7c15ull;
}

static uint64_t
number(enum type type, uint32_t n)
{
   return type == FLOAT32 ? from_float((float)n) : n;
}

/* --------------------------------------------------------------- operations */

enum operation {
   OP_ADD,
   OP_MIN,
   OP_MAX,
   OP_EXCHANGE,
   OP_AND,
   OP_OR,
   OP_XOR,
   OP_SWAP,
   OP_STORE,
   OP_STORE_ANY,
   OP_SPARSE_LOAD,
   OP_COUNT,
};

static const char *const operations[OP_COUNT] = {
   "add", "min", "max", "exchange", "and", "or", "xor", "compare and swap",
   "store", "store without a format", "sparse load",
};

static bool
is_less(enum type type, uint64_t a, uint64_t b)
{
   switch (type) {
   case UINT64:
      return a < b;
   case SINT64:
      return (int64_t)a < (int64_t)b;
   default:
      return to_float(a) < to_float(b);
   }
}

/* What is in a texel after a lane's turn. */
static uint64_t
apply(enum type type, enum operation op, uint64_t old, uint32_t texel, uint32_t lane)
{
   const uint64_t value = operand(type, texel, lane);

   switch (op) {
   case OP_ADD:
      return type == FLOAT32 ? from_float(to_float(old) + to_float(value)) : old + value;
   case OP_MIN:
      return is_less(type, value, old) ? value : old;
   case OP_MAX:
      return is_less(type, old, value) ? value : old;
   case OP_EXCHANGE:
      return value;
   case OP_AND:
      return old & value;
   case OP_OR:
      return old | value;
   case OP_XOR:
      return old ^ value;
   default:
      return old == (lane < 2 ? initial(type, texel) : operand(type, texel, 0)) ? value : old;
   }
}

/* Whether the lanes that are left can have had their turns in some order. */
static bool
some_order(enum type type, enum operation op, uint32_t texel, uint64_t before, uint64_t after,
           const uint64_t found[LANES], uint32_t left)
{
   if (!left)
      return before == after;

   for (uint32_t lane = 0; lane < LANES; lane++) {
      if ((left & 1u << lane) && found[lane] == before &&
          some_order(type, op, texel, apply(type, op, before, texel, lane), after, found,
                     left & ~(1u << lane)))
         return true;
   }
   return false;
}

/* ------------------------------------------------------------------- shapes */

struct shape {
   const char *name;
   /* Of the shader. */
   uint32_t number;
   VkImageType type;
   VkImageViewType view_type;
   /* Of the level that is used. */
   VkExtent3D size;
   uint32_t layers;
   uint32_t level;
};

static const struct shape shapes[] = {
   {"1D", 0, VK_IMAGE_TYPE_1D, VK_IMAGE_VIEW_TYPE_1D, {300, 1, 1}, 1, 0},
   {"1D array", 1, VK_IMAGE_TYPE_1D, VK_IMAGE_VIEW_TYPE_1D_ARRAY, {100, 1, 1}, 3, 0},
   {"2D", 2, VK_IMAGE_TYPE_2D, VK_IMAGE_VIEW_TYPE_2D, {200, 150, 1}, 1, 0},
   {"2D, level 1", 2, VK_IMAGE_TYPE_2D, VK_IMAGE_VIEW_TYPE_2D, {200, 100, 1}, 1, 1},
   {"2D array", 3, VK_IMAGE_TYPE_2D, VK_IMAGE_VIEW_TYPE_2D_ARRAY, {140, 70, 1}, 3, 0},
   {"3D", 4, VK_IMAGE_TYPE_3D, VK_IMAGE_VIEW_TYPE_3D, {40, 20, 20}, 1, 0},
   {"cube", 5, VK_IMAGE_TYPE_2D, VK_IMAGE_VIEW_TYPE_CUBE, {70, 70, 1}, 6, 0},
   {"cube array", 6, VK_IMAGE_TYPE_2D, VK_IMAGE_VIEW_TYPE_CUBE_ARRAY, {66, 66, 1}, 12, 0},
};

#define BUFFER_SHAPE 7u
#define BUFFER_TEXELS 5000u
#define SHAPE_COUNT  8u

struct shader {
   const uint32_t *spirv;
   size_t size_B;
};

#define SHADER(type, shape)                                                                        \
   {image_atomics_##type##_##shape##_comp, sizeof(image_atomics_##type##_##shape##_comp)}
#define SHADERS(type)                                                                              \
   {                                                                                               \
      SHADER(type, 0), SHADER(type, 1), SHADER(type, 2), SHADER(type, 3),                          \
      SHADER(type, 4), SHADER(type, 5), SHADER(type, 6), SHADER(type, 7),                          \
   }

static const struct shader shaders[TYPE_COUNT][SHAPE_COUNT] = {
   [UINT64] = SHADERS(uint64),
   [SINT64] = SHADERS(sint64),
   [FLOAT32] = SHADERS(float32),
};

static bool
has_operation(enum type type, uint32_t shape, enum operation op)
{
   if (type == FLOAT32 && op >= OP_AND && op <= OP_SWAP)
      return false;
   return op != OP_SPARSE_LOAD || (shape >= 2 && shape <= 6);
}

/* -------------------------------------------------------------- one of them */

struct subject {
   enum type type;
   /* NULL: a texel buffer. */
   const struct shape *shape;
   bool sparse;
   struct vkt_image image;
   struct vkt_buffer texel_buffer;

   uint32_t width, height, texels;
   struct vkt_compute compute;
   struct vkt_buffer target, staging;
};

static const char *
subject_name(const struct subject *s)
{
   static char name[100];

   snprintf(name, sizeof(name), "%s %s %s", s->sparse ? "sparse" : "plain", types[s->type].name,
            s->shape ? s->shape->name : "buffer");
   return name;
}

static bool
is_resident(const struct subject *s, uint32_t texel)
{
   if (!s->sparse)
      return true;

   const uint32_t slice = texel / s->width / s->height;
   const bool is_3d = s->shape->type == VK_IMAGE_TYPE_3D;
   const uint32_t block =
      vkt_block_of_texel(&s->image, VK_IMAGE_ASPECT_COLOR_BIT, s->shape->level, is_3d ? 0 : slice,
                         texel % s->width, texel / s->width % s->height, is_3d ? slice : 0);
   return block == UINT32_MAX || vkt_every_other_block(&s->image, block);
}

static VkImageCreateInfo
image_info(enum type type, const struct shape *shape)
{
   const bool is_cube = shape->view_type == VK_IMAGE_VIEW_TYPE_CUBE ||
                        shape->view_type == VK_IMAGE_VIEW_TYPE_CUBE_ARRAY;

   return (VkImageCreateInfo){
      .sType = VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO,
      .flags = is_cube ? VK_IMAGE_CREATE_CUBE_COMPATIBLE_BIT : 0,
      .imageType = shape->type,
      .format = types[type].format,
      .extent = {shape->size.width << shape->level, shape->size.height << shape->level,
                 shape->size.depth << (shape->type == VK_IMAGE_TYPE_3D ? shape->level : 0)},
      .mipLevels = shape->level + 1,
      .arrayLayers = shape->layers,
      .samples = VK_SAMPLE_COUNT_1_BIT,
      .usage = VK_IMAGE_USAGE_STORAGE_BIT | VK_IMAGE_USAGE_TRANSFER_SRC_BIT |
               VK_IMAGE_USAGE_TRANSFER_DST_BIT,
   };
}

/* In and out of the staging buffer. */
static void
copy(struct vkt *t, struct subject *s, bool in)
{
   VkCommandBuffer cmd = vkt_begin(t);

   if (!s->shape) {
      const VkBuffer from = in ? s->staging.buffer : s->texel_buffer.buffer;
      const VkBuffer to = in ? s->texel_buffer.buffer : s->staging.buffer;
      vkCmdCopyBuffer(cmd, from, to, 1, &(VkBufferCopy){.size = s->staging.size_B});
   } else {
      const VkBufferImageCopy region = {
         .imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, s->shape->level, 0, s->shape->layers},
         .imageExtent = s->shape->size,
      };
      if (in)
         vkCmdCopyBufferToImage(cmd, s->staging.buffer, s->image.image, VK_IMAGE_LAYOUT_GENERAL, 1,
                                &region);
      else
         vkCmdCopyImageToBuffer(cmd, s->image.image, VK_IMAGE_LAYOUT_GENERAL, s->staging.buffer, 1,
                                &region);
   }
   vkt_barrier(cmd);
   vkt_run(t, cmd);
}

static uint64_t
staged(const struct subject *s, uint32_t texel)
{
   uint64_t value = 0;

   memcpy(&value, (uint8_t *)s->staging.map + (size_t)texel * types[s->type].size_B,
          types[s->type].size_B);
   return value;
}

static void
upload_initial(struct vkt *t, struct subject *s)
{
   for (uint32_t i = 0; i < s->texels; i++) {
      const uint64_t value = initial(s->type, i);
      memcpy((uint8_t *)s->staging.map + (size_t)i * types[s->type].size_B, &value,
             types[s->type].size_B);
   }
   copy(t, s, true);
}

/* ------------------------------------------------------------------- checks */

static bool
is_strict(const struct vkt *t)
{
   return t->props.sparseProperties.residencyNonResidentStrict;
}

static bool
is_right(const struct subject *s, enum operation op, uint32_t texel, const uint64_t found[LANES],
         uint64_t after)
{
   const uint64_t stored = operand(s->type, texel, 0);
   const uint64_t one = number(s->type, 1);

   switch (op) {
   case OP_STORE:
   case OP_STORE_ANY:
      return found[0] == stored && after == stored;
   case OP_SPARSE_LOAD:
      return found[0] == initial(s->type, texel) && found[1] == one && found[2] == one &&
             found[3] == one && after == found[0];
   default:
      return some_order(s->type, op, texel, initial(s->type, texel), after, found,
                        (1u << LANES) - 1);
   }
}

/* Where nothing is bound: zeros, the residency code among them. */
static bool
is_nothing(const struct vkt *t, enum operation op, const uint64_t found[LANES], uint64_t after)
{
   if (op == OP_SPARSE_LOAD && (found[1] || found[2] || found[3]))
      return false;
   return !is_strict(t) || (!found[0] && !found[1] && !found[2] && !found[3] && !after);
}

static void
check_operation(struct vkt *t, const struct subject *s, enum operation op)
{
   const uint32_t(*target)[2] = s->target.map;

   for (uint32_t texel = 0; texel < s->texels; texel++) {
      uint64_t found[LANES];
      for (uint32_t lane = 0; lane < LANES; lane++, target++)
         found[lane] = (*target)[0] | (uint64_t)(*target)[1] << 32;

      const uint64_t after = staged(s, texel);
      const bool resident = is_resident(s, texel);
      vkt_expect(resident ? is_right(s, op, texel, found, after) : is_nothing(t, op, found, after),
                 "%s: %s: texel %u, resident: %u: found %016llx %016llx %016llx %016llx, left %016llx",
                 subject_name(s), operations[op], texel, resident, (unsigned long long)found[0],
                 (unsigned long long)found[1], (unsigned long long)found[2],
                 (unsigned long long)found[3], (unsigned long long)after);
   }
}

static void
test_operations(struct vkt *t, struct subject *s)
{
   const uint32_t shape = s->shape ? s->shape->number : BUFFER_SHAPE;

   for (enum operation op = 0; op < OP_COUNT; op++) {
      if (!has_operation(s->type, shape, op))
         continue;

      upload_initial(t, s);
      memset(s->target.map, 0xcc, s->target.size_B);
      VkCommandBuffer cmd = vkt_begin(t);
      vkt_dispatch(t, cmd, &s->compute, (uint32_t[4]){s->texels, op, s->width, s->height},
                   (s->texels * LANES + 63) / 64, 1, 1);
      vkt_barrier(cmd);
      vkt_run(t, cmd);
      copy(t, s, false);
      check_operation(t, s, op);
   }
}

/* From image to image, and what arrives there. */
static void
test_copy(struct vkt *t, struct subject *s)
{
   const VkImageCreateInfo info = image_info(s->type, s->shape);
   const VkImageSubresourceLayers layers = {VK_IMAGE_ASPECT_COLOR_BIT, s->shape->level, 0,
                                            s->shape->layers};

   upload_initial(t, s);
   struct vkt_image sparse_or_plain = s->image;
   struct vkt_image plain = vkt_plain_image_create(t, &info);
   VkCommandBuffer cmd = vkt_begin(t);
   vkCmdCopyImage(cmd, sparse_or_plain.image, VK_IMAGE_LAYOUT_GENERAL, plain.image,
                  VK_IMAGE_LAYOUT_GENERAL, 1,
                  &(VkImageCopy){
                     .srcSubresource = layers,
                     .dstSubresource = layers,
                     .extent = s->shape->size,
                  });
   vkt_barrier(cmd);
   vkt_run(t, cmd);
   s->image = plain;
   copy(t, s, false);
   s->image = sparse_or_plain;
   vkt_image_destroy(t, &plain);

   for (uint32_t texel = 0; texel < s->texels; texel++) {
      const bool resident = is_resident(s, texel);
      if (resident || is_strict(t))
         vkt_expect(staged(s, texel) == (resident ? initial(s->type, texel) : 0),
                    "%s: copy: texel %u, resident: %u: %016llx", subject_name(s), texel, resident,
                    (unsigned long long)staged(s, texel));
   }
}

/* Values of 64 bits take two elements of VkClearColorValue. */
static void
test_clear(struct vkt *t, struct subject *s)
{
   const uint64_t value = operand(s->type, 12345, 1);
   const VkClearColorValue colour = {.uint32 = {(uint32_t)value, (uint32_t)(value >> 32)}};
   VkCommandBuffer cmd = vkt_begin(t);

   vkCmdClearColorImage(cmd, s->image.image, VK_IMAGE_LAYOUT_GENERAL, &colour, 1,
                        &(VkImageSubresourceRange){VK_IMAGE_ASPECT_COLOR_BIT, s->shape->level, 1, 0,
                                                   s->shape->layers});
   vkt_barrier(cmd);
   vkt_run(t, cmd);
   copy(t, s, false);

   for (uint32_t texel = 0; texel < s->texels; texel++) {
      const bool resident = is_resident(s, texel);
      if (resident || is_strict(t))
         vkt_expect(staged(s, texel) == (resident ? value : 0),
                    "%s: clear: texel %u, resident: %u: %016llx", subject_name(s), texel, resident,
                    (unsigned long long)staged(s, texel));
   }
}

/* --------------------------------------------------------------------- main */

/* What shaders see of it; the caller has made the resource. */
static void
test_subject(struct vkt *t, struct subject *s, const struct vkt_binding *binding)
{
   const uint32_t shape = s->shape ? s->shape->number : BUFFER_SHAPE;
   const struct shader *shader = &shaders[s->type][shape];

   s->staging = vkt_buffer_create(t, (VkDeviceSize)s->texels * types[s->type].size_B);
   s->target = vkt_buffer_create(t, (VkDeviceSize)s->texels * LANES * 8);
   s->compute =
      vkt_compute_create(t, shader->spirv, shader->size_B,
                         (const struct vkt_binding[]){
                            *binding,
                            {.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .buffer = s->target.buffer},
                         },
                         2);
   test_operations(t, s);
   if (s->shape) {
      test_copy(t, s);
      test_clear(t, s);
   }
   printf("%s: %u texels\n", subject_name(s), s->texels);

   vkt_compute_destroy(t, &s->compute);
   vkt_buffer_destroy(t, &s->target);
   vkt_buffer_destroy(t, &s->staging);
}

static void
test_image(struct vkt *t, enum type type, const struct shape *shape, bool sparse)
{
   const VkImageCreateInfo info = image_info(type, shape);
   struct subject s = {
      .type = type,
      .shape = shape,
      .sparse = sparse,
      .width = shape->size.width,
      .height = shape->size.height,
      .texels = shape->size.width * shape->size.height * shape->size.depth * shape->layers,
   };
   VkImageCreateInfo wanted = info;

   if (sparse)
      wanted.flags |= VK_IMAGE_CREATE_SPARSE_BINDING_BIT | VK_IMAGE_CREATE_SPARSE_RESIDENCY_BIT;
   vkt_expect(vkt_image_supported(t, &wanted), "%s is not supported", subject_name(&s));

   s.image = sparse ? vkt_sparse_image_create(t, &info) : vkt_plain_image_create(t, &info);
   if (sparse)
      vkt_sparse_image_bind(t, &s.image, vkt_every_other_block, true);
   const VkImageView view = vkt_view_create(
      t, s.image.image, shape->view_type, info.format,
      (VkImageSubresourceRange){VK_IMAGE_ASPECT_COLOR_BIT, shape->level, 1, 0, shape->layers});
   test_subject(t, &s,
                &(struct vkt_binding){.type = VK_DESCRIPTOR_TYPE_STORAGE_IMAGE, .image = view});
   vkDestroyImageView(t->device, view, NULL);
   vkt_image_destroy(t, &s.image);
}

static void
test_buffer(struct vkt *t, enum type type)
{
   struct subject s = {
      .type = type,
      .width = BUFFER_TEXELS,
      .height = 1,
      .texels = BUFFER_TEXELS,
      .texel_buffer = vkt_buffer_create(t, BUFFER_TEXELS * types[type].size_B),
   };
   const VkBufferView view =
      vkt_buffer_view_create(t, s.texel_buffer.buffer, types[type].format);

   test_subject(
      t, &s,
      &(struct vkt_binding){.type = VK_DESCRIPTOR_TYPE_STORAGE_TEXEL_BUFFER, .view = view});
   vkDestroyBufferView(t->device, view, NULL);
   vkt_buffer_destroy(t, &s.texel_buffer);
}

static void
expect_features(struct vkt *t, enum type type)
{
   VkFormatProperties props;

   vkGetPhysicalDeviceFormatProperties(t->pdev, types[type].format, &props);
   vkt_expect((props.optimalTilingFeatures & VK_FORMAT_FEATURE_STORAGE_IMAGE_BIT) &&
                 (props.optimalTilingFeatures & VK_FORMAT_FEATURE_STORAGE_IMAGE_ATOMIC_BIT),
              "%s: images have features 0x%x", types[type].name, props.optimalTilingFeatures);
   vkt_expect((props.bufferFeatures & VK_FORMAT_FEATURE_STORAGE_TEXEL_BUFFER_BIT) &&
                 (props.bufferFeatures & VK_FORMAT_FEATURE_STORAGE_TEXEL_BUFFER_ATOMIC_BIT),
              "%s: buffers have features 0x%x", types[type].name, props.bufferFeatures);
}

static void
init(struct vkt *t)
{
   static const char *const extensions[] = {
      VK_EXT_SHADER_IMAGE_ATOMIC_INT64_EXTENSION_NAME,
      VK_EXT_SHADER_ATOMIC_FLOAT_EXTENSION_NAME,
      VK_EXT_SHADER_ATOMIC_FLOAT_2_EXTENSION_NAME,
   };
   static VkPhysicalDeviceShaderAtomicFloat2FeaturesEXT float2 = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_ATOMIC_FLOAT_2_FEATURES_EXT,
      .shaderImageFloat32AtomicMinMax = VK_TRUE,
      .sparseImageFloat32AtomicMinMax = VK_TRUE,
   };
   static VkPhysicalDeviceShaderAtomicFloatFeaturesEXT float1 = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_ATOMIC_FLOAT_FEATURES_EXT,
      .pNext = &float2,
      .shaderImageFloat32Atomics = VK_TRUE,
      .shaderImageFloat32AtomicAdd = VK_TRUE,
      .sparseImageFloat32Atomics = VK_TRUE,
      .sparseImageFloat32AtomicAdd = VK_TRUE,
   };
   static VkPhysicalDeviceShaderImageAtomicInt64FeaturesEXT int64 = {
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_IMAGE_ATOMIC_INT64_FEATURES_EXT,
      .pNext = &float1,
      .shaderImageInt64Atomics = VK_TRUE,
      .sparseImageInt64Atomics = VK_TRUE,
   };

   vkt_init_with(t, &(struct vkt_config){
                       .extensions = extensions,
                       .extension_count = VKT_ARRAY_SIZE(extensions),
                       .features = &int64,
                    });
}

int
main(void)
{
   struct vkt t;

   init(&t);

   for (enum type type = 0; type < TYPE_COUNT; type++) {
      expect_features(&t, type);
      for (uint32_t i = 0; i < VKT_ARRAY_SIZE(shapes); i++) {
         test_image(&t, type, &shapes[i], false);
         /* VUID-VkImageCreateInfo-imageType-00970 */
         if (shapes[i].type != VK_IMAGE_TYPE_1D)
            test_image(&t, type, &shapes[i], true);
      }
      test_buffer(&t, type);
   }

   vkt_finish(&t);

   return 0;
}

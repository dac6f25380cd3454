/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * GL_ARB_sparse_texture and, where the driver has it, GL_ARB_sparse_texture2, clause by clause: of
 * every target and size of texel, each texel of each level is looked at by shaders, by fetches and by
 * image loads, with its residency code, and by the CPU.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "glt.h"

struct format {
   GLenum internal;
   const char *image;
   unsigned bits;
   unsigned channel_bits;
   GLenum transfer;
};

static const struct format formats[] = {
   {GL_R8UI, "r8ui", 8, 8, GL_RED_INTEGER},
   {GL_RG8UI, "rg8ui", 16, 8, GL_RG_INTEGER},
   {GL_R32UI, "r32ui", 32, 32, GL_RED_INTEGER},
   {GL_RGBA16UI, "rgba16ui", 64, 16, GL_RGBA_INTEGER},
   {GL_RGBA32UI, "rgba32ui", 128, 32, GL_RGBA_INTEGER},
};

struct shape {
   const char *name;
   GLenum target;
   /** Of the GLSL types, after "usampler" and "uimage". */
   const char *type;
   bool fetch;
   /** In texels; d are layers (faces) of arrays. */
   unsigned w, h, d;
   unsigned levels;
};

static const struct shape shapes[] = {
   {"2D", GL_TEXTURE_2D, "2D", true, 300, 180, 1, 5},
   {"rectangle", GL_TEXTURE_RECTANGLE, "2DRect", true, 260, 140, 1, 1},
   {"2D array", GL_TEXTURE_2D_ARRAY, "2DArray", true, 200, 140, 3, 3},
   {"cube", GL_TEXTURE_CUBE_MAP, "Cube", false, 160, 160, 6, 3},
   {"cube array", GL_TEXTURE_CUBE_MAP_ARRAY, "CubeArray", false, 140, 140, 12, 2},
   {"3D", GL_TEXTURE_3D, "3D", true, 70, 50, 40, 3},
};

struct extent {
   unsigned w, h, d;
};

static bool has_sparse2;

/* --------------------------------------------------------------- page sizes */

static struct extent
page_size(GLenum target, GLenum internal)
{
   GLint page[3];

   glt_expect(glt_page_size(target, internal, page), "no virtual page size");
   return (struct extent){page[0], page[1], page[2]};
}

static struct extent
standard_page_size(GLenum target, unsigned texel_B)
{
   GLint page[3];

   glt_standard_page_size(target, texel_B, page);
   return (struct extent){page[0], page[1], page[2]};
}

/* ------------------------------------------------------------------ texture */

struct texture {
   const struct shape *shape;
   const struct format *format;
   struct extent page;
   GLuint name;
};

static unsigned
minify(unsigned size, unsigned level)
{
   return size >> level ? size >> level : 1;
}

static struct extent
level_size(const struct texture *tex, unsigned level)
{
   const struct shape *shape = tex->shape;

   return (struct extent){
      minify(shape->w, level), minify(shape->h, level),
      shape->target == GL_TEXTURE_3D ? minify(shape->d, level) : shape->d};
}

static void
storage(struct texture *tex)
{
   const struct shape *s = tex->shape;

   glCreateTextures(s->target, 1, &tex->name);
   glTextureParameteri(tex->name, GL_TEXTURE_SPARSE_ARB, GL_TRUE);
   glTextureParameteri(tex->name, GL_VIRTUAL_PAGE_SIZE_INDEX_ARB, 0);
   glBindTexture(s->target, tex->name);
   if (s->target == GL_TEXTURE_2D || s->target == GL_TEXTURE_RECTANGLE ||
       s->target == GL_TEXTURE_CUBE_MAP)
      glTexStorage2D(s->target, s->levels, tex->format->internal, s->w, s->h);
   else
      glTexStorage3D(s->target, s->levels, tex->format->internal, s->w, s->h, s->d);
   glTexParameteri(s->target, GL_TEXTURE_MIN_FILTER,
                   s->levels > 1 ? GL_NEAREST_MIPMAP_NEAREST : GL_NEAREST);
   glTexParameteri(s->target, GL_TEXTURE_MAG_FILTER, GL_NEAREST);
   glt_expect_error(GL_NO_ERROR, "storage");
}

/** Which pages are resident: a different pattern each phase. */
static bool
is_committed(unsigned phase, unsigned level, unsigned px, unsigned py, unsigned pz)
{
   return (px + 2 * py + 3 * pz + level + phase) % 3 != 0;
}

static uint32_t
texel_value(const struct texture *tex, unsigned phase, unsigned level, unsigned x, unsigned y,
            unsigned z)
{
   const uint32_t hash = ((x * 73856093u) ^ (y * 19349663u) ^ (z * 83492791u) ^ (level << 20) ^
                          (phase << 28)) * 2654435761u;

   return tex->format->channel_bits == 32 ? hash : hash >> (32 - tex->format->channel_bits);
}

static unsigned
channels(const struct format *format)
{
   return format->bits / format->channel_bits;
}

static void
upload(const struct texture *tex, unsigned phase, unsigned level, unsigned x0, unsigned y0,
       unsigned z0, struct extent size)
{
   const unsigned n = channels(tex->format);
   uint32_t *data = calloc((size_t)size.w * size.h * size.d * n, 4), *texel = data;

   for (unsigned z = 0; z < size.d; z++) {
      for (unsigned y = 0; y < size.h; y++) {
         for (unsigned x = 0; x < size.w; x++, texel += n)
            texel[0] = texel_value(tex, phase, level, x0 + x, y0 + y, z0 + z);
      }
   }
   const GLenum target = tex->shape->target;
   if (target == GL_TEXTURE_2D || target == GL_TEXTURE_RECTANGLE)
      glTextureSubImage2D(tex->name, level, x0, y0, size.w, size.h, tex->format->transfer,
                          GL_UNSIGNED_INT, data);
   else
      glTextureSubImage3D(tex->name, level, x0, y0, z0, size.w, size.h, size.d,
                          tex->format->transfer, GL_UNSIGNED_INT, data);
   free(data);
}

static unsigned
min(unsigned a, unsigned b)
{
   return a < b ? a : b;
}

/* Calls for each page of a level. */
static void
for_each_page(const struct texture *tex, unsigned level,
              void (*call)(const struct texture *tex, unsigned phase, unsigned level, unsigned x,
                           unsigned y, unsigned z, struct extent size, bool committed),
              unsigned phase)
{
   const struct extent size = level_size(tex, level), page = tex->page;

   for (unsigned z = 0; z < size.d; z += page.d) {
      for (unsigned y = 0; y < size.h; y += page.h) {
         for (unsigned x = 0; x < size.w; x += page.w) {
            const struct extent part = {min(page.w, size.w - x), min(page.h, size.h - y),
                                        min(page.d, size.d - z)};
            call(tex, phase, level, x, y, z, part,
                 is_committed(phase, level, x / page.w, y / page.h, z / page.d));
         }
      }
   }
}

static void
commit_page(const struct texture *tex, unsigned phase, unsigned level, unsigned x, unsigned y,
            unsigned z, struct extent size, bool committed)
{
   (void)phase;
   glTexPageCommitmentARB(tex->shape->target, level, x, y, z, size.w, size.h, size.d, committed);
}

static void
fill_page(const struct texture *tex, unsigned phase, unsigned level, unsigned x, unsigned y,
          unsigned z, struct extent size, bool committed)
{
   if (committed)
      upload(tex, phase, level, x, y, z, size);
}

/* ------------------------------------------------------------------ looking */

enum look { FETCH, IMAGE };

#define GL450   "#version 450\n"
#define SPARSE2 GL450 "#extension GL_ARB_sparse_texture2 : require\n"

static GLuint
look_program(const struct texture *tex, enum look look)
{
   static const char *const functions[2][2] = {
      [FETCH] = {"texelFetch", "sparseTexelFetchARB"},
      [IMAGE] = {"imageLoad", "sparseImageLoadARB"},
   };
   const struct shape *s = tex->shape;
   const bool flat = s->target == GL_TEXTURE_2D || s->target == GL_TEXTURE_RECTANGLE;
   const bool has_level = look == FETCH && s->target != GL_TEXTURE_RECTANGLE;
   char texture[128], read[128];

   if (look == FETCH)
      snprintf(texture, sizeof(texture), "layout(binding = 0) uniform usampler%s tex;", s->type);
   else
      snprintf(texture, sizeof(texture), "layout(binding = 0, %s) uniform uimage%s tex;",
               tex->format->image, s->type);
   snprintf(read, sizeof(read),
            has_sparse2 ? "resident = sparseTexelsResidentARB(%s(tex, %s%s, value));"
                        : "value = %s(tex, %s%s);",
            functions[look][has_sparse2], flat ? "at.xy" : "at", has_level ? ", level" : "");
   return glt_look_program(has_sparse2 ? SPARSE2 : GL450, texture, read);
}

/* What was seen of a level: resident just where it is committed, and there what was written. */
static void
check_level(const struct texture *tex, unsigned phase, unsigned level, const uint32_t *seen,
            const char *how)
{
   const struct extent size = level_size(tex, level), page = tex->page;
   unsigned wrong = 0;

   for (unsigned z = 0; z < size.d; z++) {
      for (unsigned y = 0; y < size.h; y++) {
         for (unsigned x = 0; x < size.w; x++, seen += 2) {
            const bool committed =
               is_committed(phase, level, x / page.w, y / page.h, z / page.d);
            const uint32_t value = texel_value(tex, phase, level, x, y, z);

            if (has_sparse2 && seen[0] != committed && wrong++ < 3)
               glt_fail("%s, phase %u, level %u: (%u, %u, %u) is %sresident", how, phase, level, x,
                        y, z, seen[0] ? "" : "not ");
            if (committed && seen[1] != value && wrong++ < 3)
               glt_fail("%s, phase %u, level %u: (%u, %u, %u) is 0x%x, not 0x%x", how, phase,
                        level, x, y, z, seen[1], value);
         }
      }
   }
}

static void
look_at(const struct texture *tex, enum look look, GLuint program, unsigned phase)
{
   for (unsigned level = 0; level < tex->shape->levels; level++) {
      const struct extent size = level_size(tex, level);

      if (look == FETCH)
         glBindTextureUnit(0, tex->name);
      else
         glBindImageTexture(0, tex->name, level, GL_TRUE, 0, GL_READ_ONLY, tex->format->internal);
      uint32_t *seen = glt_look(program, size.w, size.h, size.d, level);
      check_level(tex, phase, level, seen, look == FETCH ? "fetch" : "image load");
      free(seen);
   }
}

/* The CPU's way: a committed page by itself. */
static void
read_page(const struct texture *tex, unsigned phase, unsigned level, unsigned x0, unsigned y0,
          unsigned z0, struct extent size, bool committed)
{
   const unsigned n = channels(tex->format);
   const size_t bytes = (size_t)size.w * size.h * size.d * n * 4;

   if (!committed)
      return;
   uint32_t *data = malloc(bytes), *texel = data;
   glGetTextureSubImage(tex->name, level, x0, y0, z0, size.w, size.h, size.d,
                        tex->format->transfer, GL_UNSIGNED_INT, bytes, data);
   for (unsigned z = 0; z < size.d; z++) {
      for (unsigned y = 0; y < size.h; y++) {
         for (unsigned x = 0; x < size.w; x++, texel += n) {
            const uint32_t value = texel_value(tex, phase, level, x0 + x, y0 + y, z0 + z);
            if (texel[0] != value) {
               glt_fail("read back, level %u: (%u, %u, %u) is 0x%x, not 0x%x", level, x0 + x,
                        y0 + y, z0 + z, texel[0], value);
               goto out;
            }
         }
      }
   }
out:
   free(data);
}

/* -------------------------------------------------------------------- tests */

static unsigned
round_up(unsigned size, unsigned multiple)
{
   return (size + multiple - 1) / multiple * multiple;
}

static void
test_shape(const struct shape *shape, const struct format *format)
{
   struct texture tex = {.shape = shape, .format = format};
   GLint value;

   glt_begin("%s, %s", shape->name, format->image);
   tex.page = page_size(shape->target, format->internal);
   if (has_sparse2) {
      const struct extent standard = standard_page_size(shape->target, format->bits / 8);
      glt_expect(!memcmp(&tex.page, &standard, sizeof(standard)),
                 "page size is %u x %u x %u, not %u x %u x %u", tex.page.w, tex.page.h, tex.page.d,
                 standard.w, standard.h, standard.d);
   }
   if (!tex.page.w || !tex.page.h || !tex.page.d)
      return;

   /* ARB_sparse_texture alone has sizes in whole pages, of arrays in all levels. */
   struct shape whole = *shape;
   if (!has_sparse2) {
      whole.levels = min(shape->levels, 2);
      whole.w = round_up(shape->w, tex.page.w << (whole.levels - 1));
      whole.h = round_up(shape->h, tex.page.h << (whole.levels - 1));
      if (shape->target == GL_TEXTURE_CUBE_MAP || shape->target == GL_TEXTURE_CUBE_MAP_ARRAY)
         whole.w = whole.h = whole.w > whole.h ? whole.w : whole.h;
      if (shape->target == GL_TEXTURE_3D)
         whole.d = round_up(shape->d, tex.page.d);
      tex.shape = &whole;
   }

   storage(&tex);
   glGetTextureParameteriv(tex.name, GL_TEXTURE_SPARSE_ARB, &value);
   glt_expect(value == GL_TRUE, "TEXTURE_SPARSE_ARB is %d", value);
   /* Where levels below are packed into a tail, committing any part of it commits it all: the
    * pattern of pages would not hold. */
   glGetTextureParameteriv(tex.name, GL_NUM_SPARSE_LEVELS_ARB, &value);
   struct shape packed = *tex.shape;
   if (value < (GLint)packed.levels) {
      packed.levels = value > 0 ? value : 0;
      tex.shape = &packed;
   }

   GLuint programs[2] = {shape->fetch ? look_program(&tex, FETCH) : 0, look_program(&tex, IMAGE)};

   for (unsigned phase = 0; phase < 3; phase++) {
      for (unsigned level = 0; level < tex.shape->levels; level++) {
         for_each_page(&tex, level, commit_page, phase);
         for_each_page(&tex, level, fill_page, phase);
      }
      glt_expect_error(GL_NO_ERROR, "commit");
      for (unsigned look = 0; look < 2; look++) {
         if (programs[look])
            look_at(&tex, look, programs[look], phase);
      }
      if (shape->target != GL_TEXTURE_CUBE_MAP) {
         for (unsigned level = 0; level < tex.shape->levels; level++)
            for_each_page(&tex, level, read_page, phase);
      }
      glt_expect_error(GL_NO_ERROR, "looking");
   }
   glDeleteProgram(programs[0]);
   glDeleteProgram(programs[1]);
   glDeleteTextures(1, &tex.name);
}

/* A level of which a whole is committed in one call, larger than a page and not a multiple of one:
 * the edges belong to it. */
static void
test_whole(void)
{
   const struct shape shape = {"2D", GL_TEXTURE_2D, "2D", true, 1000, 600, 1, 1};
   struct texture tex = {.shape = &shape, .format = &formats[2]};
   uint32_t seen = 0;

   glt_begin("whole level");
   if (!has_sparse2)
      return;
   tex.page = page_size(shape.target, tex.format->internal);
   storage(&tex);
   glTexPageCommitmentARB(GL_TEXTURE_2D, 0, 0, 0, 0, 1000, 600, 1, GL_TRUE);
   upload(&tex, 0, 0, 990, 590, 0, (struct extent){10, 10, 1});
   glGetTextureSubImage(tex.name, 0, 999, 599, 0, 1, 1, 1, GL_RED_INTEGER, GL_UNSIGNED_INT, 4, &seen);
   glt_expect(seen == texel_value(&tex, 0, 0, 999, 599, 0), "last texel: 0x%x", seen);
   glt_expect_error(GL_NO_ERROR, "whole level");
   glDeleteTextures(1, &tex.name);
}

static GLuint
sparse_2d(GLenum internal, GLsizei w, GLsizei h)
{
   GLuint tex;

   glCreateTextures(GL_TEXTURE_2D, 1, &tex);
   glTextureParameteri(tex, GL_TEXTURE_SPARSE_ARB, GL_TRUE);
   glTextureStorage2D(tex, 1, internal, w, h);
   glTextureParameteri(tex, GL_TEXTURE_MIN_FILTER, GL_LINEAR);
   glTextureParameteri(tex, GL_TEXTURE_WRAP_S, GL_CLAMP_TO_EDGE);
   glTextureParameteri(tex, GL_TEXTURE_WRAP_T, GL_CLAMP_TO_EDGE);
   glBindTexture(GL_TEXTURE_2D, tex);
   return tex;
}

/* ARB_sparse_texture2: a lookup is resident if all texels that have a part in it are; of each kind of
 * lookup, where the page is, where none is, and between the two. */
static void
test_lookups(void)
{
   static const struct {
      const char *name, *call;
   } lookups[] = {
      {"texture", "sparseTextureARB(tex, at, value)"},
      {"textureLod", "sparseTextureLodARB(tex, at, 0.0, value)"},
      {"textureOffset", "sparseTextureOffsetARB(tex, at, ivec2(0, 0), value)"},
      {"textureGrad", "sparseTextureGradARB(tex, at, vec2(0), vec2(0), value)"},
      {"textureGather", "sparseTextureGatherARB(tex, at, value)"},
   };

   glt_begin("lookups");
   if (!has_sparse2)
      return;
   const struct extent page = page_size(GL_TEXTURE_2D, GL_RGBA8);
   const GLsizei w = 2 * page.w, h = page.h;
   const GLuint tex = sparse_2d(GL_RGBA8, w, h);
   glTexPageCommitmentARB(GL_TEXTURE_2D, 0, 0, 0, 0, page.w, page.h, 1, GL_TRUE);
   const uint8_t color[4] = {255, 0, 255, 255};
   uint8_t *data = malloc((size_t)page.w * page.h * 4);
   for (size_t i = 0; i < (size_t)page.w * page.h; i++)
      memcpy(data + 4 * i, color, 4);
   glTextureSubImage2D(tex, 0, 0, 0, page.w, page.h, GL_RGBA, GL_UNSIGNED_BYTE, data);
   free(data);

   for (unsigned i = 0; i < GLT_ARRAY_SIZE(lookups); i++) {
      char source[1024];

      glt_begin("lookup %s", lookups[i].name);
      snprintf(source, sizeof(source),
               SPARSE2
               "layout(local_size_x = 1) in;\n"
               "layout(binding = 0) uniform sampler2D tex;\n"
               "layout(std430, binding = 0) buffer Seen { uint seen[6]; };\n"
               "void main() {\n"
               "   const float place[3] = float[3](0.25, 0.75, 0.5);\n"
               "   uint i = gl_WorkGroupID.x;\n"
               "   vec2 at = vec2(place[i], 0.5);\n"
               "   vec4 value = vec4(0.5);\n"
               "   int code = %s;\n"
               "   seen[2 * i] = sparseTexelsResidentARB(code) ? 1 : 0;\n"
               "   seen[2 * i + 1] = packUnorm4x8(value);\n"
               "}\n",
               lookups[i].call);
      const GLuint program = glt_compute_program(source);
      glBindTextureUnit(0, tex);
      uint32_t *seen = glt_compute(program, 3, 1, 1, 6 * 4);
      glt_expect(seen[0] == 1, "a committed page is not resident");
      glt_expect((seen[1] & 0xff) == 0xff, "a committed page is 0x%08x", seen[1]);
      glt_expect(seen[2] == 0, "an uncommitted page is resident");
      glt_expect(seen[4] == 0, "between two pages of which one is committed: resident");
      free(seen);
      glDeleteProgram(program);
   }
   glDeleteTextures(1, &tex);
}

static const char cover_vertex[] =
   "#version 450\n"
   "void main() {\n"
   "   gl_Position = vec4(gl_VertexID == 1 ? 3 : -1, gl_VertexID == 2 ? 3 : -1, 0, 1);\n"
   "}\n";

static const char gradient_fragment[] =
   "#version 450\n"
   "layout(location = 0) out uint color;\n"
   "void main() { color = uint(gl_FragCoord.x) * 4096 + uint(gl_FragCoord.y) + 1; }\n";

/* "Rendering to uncommitted regions is discarded"; the committed ones hold what was drawn, whichever
 * page comes first, and clears fill them. */
static void
test_rendering(GLenum target, unsigned layers, const char *name)
{
   GLuint tex, fbo, vao;

   glt_begin("rendering, %s", name);
   /* Vulkan has no sparse images whose slices can be rendered to. */
   if (target == GL_TEXTURE_3D && !strncmp((const char *)glGetString(GL_RENDERER), "zink", 4)) {
      printf("rendering to 3D textures left out: not with zink\n");
      return;
   }
   const struct extent page = page_size(target, GL_R32UI);
   const unsigned w = 3 * page.w - (has_sparse2 ? 5 : 0), h = 2 * page.h;
   const unsigned depth = target == GL_TEXTURE_3D ? 2 * page.d : layers;

   glCreateTextures(target, 1, &tex);
   glTextureParameteri(tex, GL_TEXTURE_SPARSE_ARB, GL_TRUE);
   if (target == GL_TEXTURE_2D)
      glTextureStorage2D(tex, 1, GL_R32UI, w, h);
   else
      glTextureStorage3D(tex, 1, GL_R32UI, w, h, depth);
   glBindTexture(target, tex);
   glCreateFramebuffers(1, &fbo);
   glCreateVertexArrays(1, &vao);
   glBindVertexArray(vao);
   glUseProgram(glt_draw_program(cover_vertex, gradient_fragment));
   glBindFramebuffer(GL_FRAMEBUFFER, fbo);
   glViewport(0, 0, w, h);

   uint32_t *seen = malloc((size_t)w * h * 4);
   for (unsigned layer = 0; layer < depth; layer += depth / 2 + 1) {
      const unsigned z = layer - layer % page.d;
      const unsigned d = target == GL_TEXTURE_3D ? page.d : 1;

      /* Pages (0, 0), (2, 0) and (1, 1); the last is narrower. */
      glTexPageCommitmentARB(target, 0, 0, 0, z, page.w, page.h, d, GL_TRUE);
      glTexPageCommitmentARB(target, 0, 2 * page.w, 0, z, w - 2 * page.w, page.h, d, GL_TRUE);
      glTexPageCommitmentARB(target, 0, page.w, page.h, z, page.w, page.h, d, GL_TRUE);

      if (target == GL_TEXTURE_2D)
         glNamedFramebufferTexture(fbo, GL_COLOR_ATTACHMENT0, tex, 0);
      else
         glNamedFramebufferTextureLayer(fbo, GL_COLOR_ATTACHMENT0, tex, 0, layer);
      glt_expect(glCheckFramebufferStatus(GL_FRAMEBUFFER) == GL_FRAMEBUFFER_COMPLETE,
                 "framebuffer incomplete");

      const GLuint clear[4] = {77, 0, 0, 0};
      for (unsigned step = 0; step < 2; step++) {
         if (step == 0)
            glClearBufferuiv(GL_COLOR, 0, clear);
         else
            glDrawArrays(GL_TRIANGLES, 0, 3);
         memset(seen, 0, (size_t)w * h * 4);
         glReadPixels(0, 0, w, h, GL_RED_INTEGER, GL_UNSIGNED_INT, seen);
         for (unsigned y = 0; y < h; y++) {
            for (unsigned x = 0; x < w; x++) {
               const unsigned px = x / page.w, py = y / page.h;
               const bool committed = py == 0 ? px != 1 : px == 1;
               const uint32_t value = step ? x * 4096 + y + 1 : 77;

               if (committed && seen[y * w + x] != value) {
                  glt_fail("layer %u, %s: (%u, %u) is %u, not %u", layer,
                           step ? "drawn" : "cleared", x, y, seen[y * w + x], value);
                  goto next;
               }
            }
         }
next:;
      }
   }
   free(seen);
   glt_expect_error(GL_NO_ERROR, "rendering");
   glDeleteFramebuffers(1, &fbo);
   glDeleteTextures(1, &tex);
}

/* ARB_sparse_texture2: multisample textures.  Cleared, and each sample fetched. */
static void
test_samples(GLenum target, unsigned layers, const char *type)
{
   GLint samples = 0, actual = 0;
   GLuint tex, fbo;
   char texture[64], read[256];

   glt_begin("samples, %s", type);
   if (!has_sparse2)
      return;
   const struct extent page = page_size(target, GL_RGBA8);
   glGetInternalformativ(target, GL_RGBA8, GL_SAMPLES, 1, &samples);
   const unsigned w = 2 * page.w, h = page.h + 8;

   glCreateTextures(target, 1, &tex);
   glTextureParameteri(tex, GL_TEXTURE_SPARSE_ARB, GL_TRUE);
   if (target == GL_TEXTURE_2D_MULTISAMPLE)
      glTextureStorage2DMultisample(tex, samples, GL_RGBA8, w, h, GL_TRUE);
   else
      glTextureStorage3DMultisample(tex, samples, GL_RGBA8, w, h, layers, GL_TRUE);
   glt_expect_error(GL_NO_ERROR, "storage");
   glBindTexture(target, tex);
   glGetTextureLevelParameteriv(tex, 0, GL_TEXTURE_SAMPLES, &actual);

   const unsigned layer = layers - 1;
   glTexPageCommitmentARB(target, 0, page.w, 0, layer, page.w, page.h, 1, GL_TRUE);
   glt_expect_error(GL_NO_ERROR, "commit");

   glCreateFramebuffers(1, &fbo);
   if (target == GL_TEXTURE_2D_MULTISAMPLE)
      glNamedFramebufferTexture(fbo, GL_COLOR_ATTACHMENT0, tex, 0);
   else
      glNamedFramebufferTextureLayer(fbo, GL_COLOR_ATTACHMENT0, tex, 0, layer);
   glBindFramebuffer(GL_FRAMEBUFFER, fbo);
   glClearColor(0, 1, 1, 1);
   glClear(GL_COLOR_BUFFER_BIT);

   const bool array = target == GL_TEXTURE_2D_MULTISAMPLE_ARRAY;
   snprintf(texture, sizeof(texture), "layout(binding = 0) uniform sampler%s tex;", type);
   snprintf(read, sizeof(read),
            "vec4 color = vec4(0);"
            "resident = sparseTexelsResidentARB(sparseTexelFetchARB(tex, %s, at.z, color));"
            "value = uvec4(packUnorm4x8(color));",
            array ? "ivec3(at.xy, 1)" : "at.xy");
   const GLuint program = glt_look_program(SPARSE2, texture, read);

   glBindTextureUnit(0, tex);
   /* The third dimension is that of samples. */
   uint32_t *const seen = glt_look(program, w, h, actual, 0), *texel = seen;
   for (int s = 0; s < actual; s++) {
      for (unsigned y = 0; y < h; y++) {
         for (unsigned x = 0; x < w; x++, texel += 2) {
            const bool committed = x >= page.w && y < page.h;
            if (texel[0] != committed || (committed && texel[1] != 0xffffff00)) {
               glt_fail("sample %d of (%u, %u): resident %u, 0x%08x", s, x, y, texel[0], texel[1]);
               goto out;
            }
         }
      }
   }
out:
   free(seen);
   glt_expect_error(GL_NO_ERROR, "samples");
   glDeleteProgram(program);
   glDeleteFramebuffers(1, &fbo);
   glDeleteTextures(1, &tex);
}

/* A texture larger than memory would be, of which little is used, and many pages that come and go
 * between draws. */
static void
test_large(void)
{
   glt_begin("large");
   const struct extent page = page_size(GL_TEXTURE_2D, GL_R32UI);
   const GLuint tex = sparse_2d(GL_R32UI, 16384, 16384);
   glt_expect_error(GL_NO_ERROR, "storage");

   const unsigned last = 16384 / page.w - 1;
   for (unsigned i = 0; i <= last; i += 13) {
      const uint32_t value = i * 1000 + 1;
      uint32_t seen = 0;
      const GLint x = i * page.w, y = (last - i) * page.h;

      glTexPageCommitmentARB(GL_TEXTURE_2D, 0, x, y, 0, page.w, page.h, 1, GL_TRUE);
      glTextureSubImage2D(tex, 0, x + 5, y + 7, 1, 1, GL_RED_INTEGER, GL_UNSIGNED_INT, &value);
      glGetTextureSubImage(tex, 0, x + 5, y + 7, 0, 1, 1, 1, GL_RED_INTEGER, GL_UNSIGNED_INT, 4,
                           &seen);
      glt_expect(seen == value, "page %u: %u, not %u", i, seen, value);
      if (i % 2)
         glTexPageCommitmentARB(GL_TEXTURE_2D, 0, x, y, 0, page.w, page.h, 1, GL_FALSE);
   }
   glt_expect_error(GL_NO_ERROR, "large");
   glDeleteTextures(1, &tex);
}

/* The sections Errors of both extensions. */
static void
test_errors(void)
{
   GLuint tex, plain;
   GLint max;

   glt_begin("errors");
   const struct extent page = page_size(GL_TEXTURE_2D, GL_RGBA8);
   tex = sparse_2d(GL_RGBA8, 2 * page.w, 2 * page.h);
   glt_expect_error(GL_NO_ERROR, "storage");

   glTexPageCommitmentARB(GL_TEXTURE_2D, 0, 1, 0, 0, page.w, page.h, 1, GL_TRUE);
   glt_expect_error(GL_INVALID_VALUE, "xoffset no multiple of the page size");
   glTexPageCommitmentARB(GL_TEXTURE_2D, 0, 0, 1, 0, page.w, page.h, 1, GL_TRUE);
   glt_expect_error(GL_INVALID_VALUE, "yoffset no multiple of the page size");
   glTexPageCommitmentARB(GL_TEXTURE_2D, 0, 0, 0, 0, page.w / 2, page.h, 1, GL_TRUE);
   glt_expect_error(GL_INVALID_OPERATION, "width no multiple of the page size");
   glTexPageCommitmentARB(GL_TEXTURE_2D, 0, 0, 0, 0, 3 * page.w, page.h, 1, GL_TRUE);
   glt_expect_error(GL_INVALID_OPERATION, "beyond the right edge");
   glTexPageCommitmentARB(GL_TEXTURE_2D, 0, 0, 2 * page.h, 0, page.w, page.h, 1, GL_TRUE);
   glt_expect_error(GL_INVALID_OPERATION, "below the lower edge");
   glTexPageCommitmentARB(GL_TEXTURE_2D, 0, 0, 0, 1, page.w, page.h, 1, GL_TRUE);
   glt_expect_error(GL_INVALID_OPERATION, "a layer that is not there");
   glTexPageCommitmentARB(GL_TEXTURE_2D, 1, 0, 0, 0, page.w, page.h, 1, GL_TRUE);
   glt_expect(glGetError() != GL_NO_ERROR, "a level that is not there: no error");
   glTexPageCommitmentARB(GL_TEXTURE_2D, 0, -(GLint)page.w, 0, 0, page.w, page.h, 1, GL_TRUE);
   glt_expect(glGetError() != GL_NO_ERROR, "xoffset below 0: no error");
   glTexPageCommitmentARB(GL_TEXTURE_2D, 0, 0, 0, 0, -(GLint)page.w, page.h, 1, GL_TRUE);
   glt_expect(glGetError() != GL_NO_ERROR, "width below 0: no error");

   glCreateTextures(GL_TEXTURE_2D, 1, &plain);
   glTextureStorage2D(plain, 1, GL_RGBA8, page.w, page.h);
   glBindTexture(GL_TEXTURE_2D, plain);
   glTexPageCommitmentARB(GL_TEXTURE_2D, 0, 0, 0, 0, page.w, page.h, 1, GL_TRUE);
   glt_expect_error(GL_INVALID_OPERATION, "a texture that is not sparse");
   glTextureParameteri(plain, GL_TEXTURE_SPARSE_ARB, GL_TRUE);
   glt_expect_error(GL_INVALID_OPERATION, "TEXTURE_SPARSE_ARB of an immutable texture");

   GLuint one;
   glCreateTextures(GL_TEXTURE_1D, 1, &one);
   glTextureParameteri(one, GL_TEXTURE_SPARSE_ARB, GL_TRUE);
   glt_expect_error(GL_INVALID_VALUE, "TEXTURE_SPARSE_ARB of a 1D texture");

   GLuint index;
   glCreateTextures(GL_TEXTURE_2D, 1, &index);
   glTextureParameteri(index, GL_TEXTURE_SPARSE_ARB, GL_TRUE);
   glTextureParameteri(index, GL_VIRTUAL_PAGE_SIZE_INDEX_ARB, 1000);
   glTextureStorage2D(index, 1, GL_RGBA8, page.w, page.h);
   glt_expect_error(GL_INVALID_OPERATION, "a page size index that is not there");

   GLuint big;
   glGetIntegerv(GL_MAX_SPARSE_TEXTURE_SIZE_ARB, &max);
   glCreateTextures(GL_TEXTURE_2D, 1, &big);
   glTextureParameteri(big, GL_TEXTURE_SPARSE_ARB, GL_TRUE);
   glTextureStorage2D(big, 1, GL_RGBA8, max + page.w, page.h);
   glt_expect_error(GL_INVALID_VALUE, "larger than MAX_SPARSE_TEXTURE_SIZE_ARB");

   glDeleteTextures(1, &tex);
   glDeleteTextures(1, &plain);
   glDeleteTextures(1, &one);
   glDeleteTextures(1, &index);
   glDeleteTextures(1, &big);
}

static GLuint
sparse_3d(GLenum target, GLsizei w, GLsizei h, GLsizei d)
{
   GLuint tex;

   glCreateTextures(target, 1, &tex);
   glTextureParameteri(tex, GL_TEXTURE_SPARSE_ARB, GL_TRUE);
   if (target == GL_TEXTURE_CUBE_MAP)
      glTextureStorage2D(tex, 1, GL_RGBA8, w, h);
   else
      glTextureStorage3D(tex, 1, GL_RGBA8, w, h, d);
   return tex;
}

/* The third dimension: of each target its own. */
static void
test_depth_errors(void)
{
   static const struct {
      GLenum target;
      const char *name;
      /** Layers that TexStorage is given, and those that can be committed. */
      GLsizei depth, layers;
   } cases[] = {
      {GL_TEXTURE_2D_ARRAY, "2D array", 5, 5},
      {GL_TEXTURE_CUBE_MAP, "cube", 1, 6},
      {GL_TEXTURE_CUBE_MAP_ARRAY, "cube array", 12, 12},
   };

   for (unsigned i = 0; i < GLT_ARRAY_SIZE(cases); i++) {
      glt_begin("errors, %s", cases[i].name);
      const GLsizei n = cases[i].layers;
      const struct extent page = page_size(cases[i].target, GL_RGBA8);
      const GLuint tex = sparse_3d(cases[i].target, page.w, page.h, cases[i].depth);

      glTexturePageCommitmentEXT(tex, 0, 0, 0, 0, page.w, page.h, n, GL_TRUE);
      glt_expect_error(GL_NO_ERROR, "all layers");
      glTexturePageCommitmentEXT(tex, 0, 0, 0, n - 1, page.w, page.h, 1, GL_FALSE);
      glt_expect_error(GL_NO_ERROR, "the last layer");
      glTexturePageCommitmentEXT(tex, 0, 0, 0, n - 1, page.w, page.h, 2, GL_TRUE);
      glt_expect_error(GL_INVALID_OPERATION, "behind the last layer");
      glTexturePageCommitmentEXT(tex, 0, 0, 0, 0x7fffffff, page.w, page.h, 0x7fffffff, GL_TRUE);
      glt_expect_error(GL_INVALID_OPERATION, "far behind the last layer");
      glDeleteTextures(1, &tex);
   }

   glt_begin("errors, 3D");
   const struct extent page = page_size(GL_TEXTURE_3D, GL_RGBA8);
   const GLuint tex = sparse_3d(GL_TEXTURE_3D, page.w, page.h, 2 * page.d);
   glTexturePageCommitmentEXT(tex, 0, 0, 0, 1, page.w, page.h, page.d, GL_TRUE);
   glt_expect_error(GL_INVALID_VALUE, "zoffset no multiple of the page size");
   glTexturePageCommitmentEXT(tex, 0, 0, 0, 0, page.w, page.h, page.d - 1, GL_TRUE);
   glt_expect_error(GL_INVALID_OPERATION, "depth no multiple of the page size");
   glTexturePageCommitmentEXT(tex, 0, 0, 0, 0, page.w, page.h, 3 * page.d, GL_TRUE);
   glt_expect_error(GL_INVALID_OPERATION, "behind the last slice");
   glTexturePageCommitmentEXT(tex, 0, 0, 0, page.d, page.w, page.h, page.d, GL_TRUE);
   glt_expect_error(GL_NO_ERROR, "the last page");
   glTexturePageCommitmentEXT(tex, 0, 0, 0, 0, 0, 0, 0, GL_TRUE);
   glt_expect_error(GL_NO_ERROR, "nothing");
   glDeleteTextures(1, &tex);
}

/* "Implementation Dependent State", and TexStorage beyond it. */
static void
test_limits(void)
{
   const struct {
      GLenum name, target;
      GLint min;
      bool layers;
   } limits[] = {
      {GL_MAX_SPARSE_TEXTURE_SIZE_ARB, GL_TEXTURE_2D_ARRAY, 16384, false},
      {GL_MAX_SPARSE_3D_TEXTURE_SIZE_ARB, GL_TEXTURE_3D, 2048, false},
      {GL_MAX_SPARSE_ARRAY_TEXTURE_LAYERS_ARB, GL_TEXTURE_2D_ARRAY, 2048, true},
   };
   GLint max = 0;

   glt_begin("limits");
   for (unsigned i = 0; i < GLT_ARRAY_SIZE(limits); i++) {
      const struct extent page = page_size(limits[i].target, GL_RGBA8);

      glGetIntegerv(limits[i].name, &max);
      glt_expect(max >= limits[i].min, "0x%04x is %d", limits[i].name, max);
      const GLuint tex = limits[i].layers ?
         sparse_3d(limits[i].target, page.w, page.h, max + 1) :
         sparse_3d(limits[i].target, max + page.w, page.h, page.d);
      glt_expect_error(GL_INVALID_VALUE, "beyond a limit");
      glDeleteTextures(1, &tex);
   }
   glGetIntegerv(GL_SPARSE_TEXTURE_FULL_ARRAY_CUBE_MIPMAPS_ARB, &max);
   glt_expect(!has_sparse2 || max == GL_TRUE, "SPARSE_TEXTURE_FULL_ARRAY_CUBE_MIPMAPS_ARB is false");

   glt_begin("errors by name");
   const struct extent page = page_size(GL_TEXTURE_2D, GL_RGBA8);
   glTexturePageCommitmentEXT(0, 0, 0, 0, 0, page.w, page.h, 1, GL_TRUE);
   glt_expect_error(GL_INVALID_OPERATION, "no texture");
   glTexturePageCommitmentEXT(0x7fff, 0, 0, 0, 0, page.w, page.h, 1, GL_TRUE);
   glt_expect_error(GL_INVALID_OPERATION, "a name that nobody gave");

   const GLuint tex = sparse_2d(GL_RGBA8, page.w, 2 * page.h);
   glTexPageCommitmentARB(GL_TEXTURE_2D, 0, 0, 0, 0, page.w, page.h / 2, 1, GL_TRUE);
   glt_expect_error(GL_INVALID_OPERATION, "height no multiple of the page size");
   glTextureParameteri(tex, GL_VIRTUAL_PAGE_SIZE_INDEX_ARB, 1);
   glt_expect_error(GL_INVALID_OPERATION, "VIRTUAL_PAGE_SIZE_INDEX_ARB of an immutable texture");
   glDeleteTextures(1, &tex);
}

int
main(void)
{
   glt_init(false);
   glt_require("GL_ARB_sparse_texture");
   has_sparse2 = glt_has("GL_ARB_sparse_texture2");
   printf("sparse_texture2: %s\n", has_sparse2 ? "yes" : "no");
   glPixelStorei(GL_UNPACK_ALIGNMENT, 1);
   glPixelStorei(GL_PACK_ALIGNMENT, 1);

   for (unsigned s = 0; s < GLT_ARRAY_SIZE(shapes); s++) {
      /* Those sizes are large. */
      for (unsigned f = 0; f < GLT_ARRAY_SIZE(formats); f += has_sparse2 ? 1 : 2)
         test_shape(&shapes[s], &formats[f]);
   }
   test_whole();
   test_lookups();
   test_rendering(GL_TEXTURE_2D, 1, "2D");
   test_rendering(GL_TEXTURE_2D_ARRAY, 3, "2D array");
   test_rendering(GL_TEXTURE_3D, 1, "3D");
   test_samples(GL_TEXTURE_2D_MULTISAMPLE, 1, "2DMS");
   test_samples(GL_TEXTURE_2D_MULTISAMPLE_ARRAY, 2, "2DMSArray");
   test_large();
   test_errors();
   test_depth_errors();
   test_limits();

   return glt_finish();
}

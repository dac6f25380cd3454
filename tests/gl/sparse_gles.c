/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * EXT_sparse_texture and EXT_sparse_texture2 in OpenGL ES, clause by clause: what can be asked, what is
 * refused, that pages are resident where they are committed, and each function of the shading language.
 * What lies below is the same as in OpenGL (sparse_texture.c, sparse_levels.c, sparse_formats.c).
 * With the argument "stock": a driver that has neither knows nothing of them.  Nothing is skipped: the
 * drivers that this runs on have both.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "glt.h"

#include <EGL/egl.h>

static PFNGLTEXPAGECOMMITMENTARBPROC page_commitment;

/* ------------------------------------------------------------------ queries */

static const GLenum targets[] = {
   GL_TEXTURE_2D, GL_TEXTURE_2D_ARRAY, GL_TEXTURE_CUBE_MAP, GL_TEXTURE_CUBE_MAP_ARRAY, GL_TEXTURE_3D,
};

static const GLenum page_size_names[] = {
   GL_VIRTUAL_PAGE_SIZE_X_ARB, GL_VIRTUAL_PAGE_SIZE_Y_ARB, GL_VIRTUAL_PAGE_SIZE_Z_ARB,
};

static void
page_size(GLenum target, GLenum format, GLint page[3])
{
   glt_expect(glt_page_size(target, format, page), "target 0x%x, format 0x%x: no page size", target,
              format);
}

/* The formats that ARB_sparse_texture lists for all implementations, as far as OpenGL ES has them, in
 * the standard page sizes of the second extension. */
static void
test_page_sizes(void)
{
   static const struct {
      GLenum format;
      unsigned bits;
   } formats[] = {
      {GL_R8, 8}, {GL_R8UI, 8}, {GL_R8_SNORM, 8}, {GL_RG8, 16}, {GL_R16F, 16}, {GL_R16I, 16},
      {GL_RGBA8, 32}, {GL_RGBA8UI, 32}, {GL_SRGB8_ALPHA8, 32}, {GL_RGB10_A2, 32},
      {GL_R11F_G11F_B10F, 32}, {GL_RGB9_E5, 32}, {GL_R32F, 32}, {GL_R32UI, 32}, {GL_RG16I, 32},
      {GL_RGBA16F, 64}, {GL_RGBA16UI, 64}, {GL_RG32F, 64}, {GL_RGBA32F, 128}, {GL_RGBA32I, 128},
   };

   glt_begin("page sizes");
   for (unsigned f = 0; f < GLT_ARRAY_SIZE(formats); f++) {
      for (unsigned t = 0; t < GLT_ARRAY_SIZE(targets); t++) {
         GLint page[3], standard[3];

         page_size(targets[t], formats[f].format, page);
         glt_standard_page_size(targets[t], formats[f].bits / 8, standard);
         glt_expect(!memcmp(page, standard, sizeof(page)),
                    "target 0x%x, format 0x%x: pages of %d x %d x %d", targets[t], formats[f].format,
                    page[0], page[1], page[2]);
         glt_expect_error(GL_NO_ERROR, "page sizes");
      }
   }
}

static void
expect_refused_query(GLenum target, GLenum pname)
{
   GLint value = -7;

   glGetInternalformativ(target, GL_RGBA8, pname, 1, &value);
   glt_expect_error(GL_INVALID_ENUM, "query");
   glt_expect(value == -7, "target 0x%x, 0x%x: writes %d", target, pname, value);
}

/* Whatever else OpenGL ES refuses to say of formats it still refuses. */
static void
test_queries_refused(void)
{
   GLint value = -7;

   glt_begin("queries");
   for (unsigned t = 0; t < GLT_ARRAY_SIZE(targets); t++) {
      expect_refused_query(targets[t], GL_SAMPLES);
      expect_refused_query(targets[t], GL_INTERNALFORMAT_SUPPORTED);
   }
   for (unsigned i = 0; i < GLT_ARRAY_SIZE(page_size_names); i++) {
      expect_refused_query(GL_TEXTURE_1D, page_size_names[i]);
      expect_refused_query(GL_TEXTURE_RECTANGLE, page_size_names[i]);
      expect_refused_query(GL_TEXTURE_BUFFER, page_size_names[i]);
   }
   glGetInternalformativ(GL_TEXTURE_2D, GL_RGBA8, GL_VIRTUAL_PAGE_SIZE_X_ARB, -1, &value);
   glt_expect_error(GL_INVALID_VALUE, "negative size of a buffer");
   /* Not a format: no pages, and no error. */
   glGetInternalformativ(GL_TEXTURE_2D, GL_TEXTURE_2D, GL_NUM_VIRTUAL_PAGE_SIZES_ARB, 1, &value);
   glt_expect(value == 0, "%d page sizes of what is no format", value);
   glt_expect_error(GL_NO_ERROR, "no format");
}

static GLint
integer(GLenum pname)
{
   GLint value = -1;

   glGetIntegerv(pname, &value);
   glt_expect_error(GL_NO_ERROR, "glGetIntegerv");
   return value;
}

static void
test_limits(void)
{
   GLboolean full = 2;

   glt_begin("limits");
   glt_expect(integer(GL_MAX_SPARSE_TEXTURE_SIZE_ARB) == integer(GL_MAX_TEXTURE_SIZE), "size");
   glt_expect(integer(GL_MAX_SPARSE_3D_TEXTURE_SIZE_ARB) == integer(GL_MAX_3D_TEXTURE_SIZE), "3D");
   glt_expect(integer(GL_MAX_SPARSE_ARRAY_TEXTURE_LAYERS_ARB) == integer(GL_MAX_ARRAY_TEXTURE_LAYERS),
              "layers");
   glGetBooleanv(GL_SPARSE_TEXTURE_FULL_ARRAY_CUBE_MIPMAPS_ARB, &full);
   glt_expect(full == GL_TRUE, "mipmaps of arrays and cubes");
   glt_expect_error(GL_NO_ERROR, "limits");
}

static void
test_parameters(void)
{
   GLuint tex;
   GLint value = -1;
   GLfloat real = -1;

   glt_begin("parameters");
   glGenTextures(1, &tex);
   glBindTexture(GL_TEXTURE_2D, tex);
   glGetTexParameteriv(GL_TEXTURE_2D, GL_TEXTURE_SPARSE_ARB, &value);
   glt_expect(value == GL_FALSE, "sparse before anybody says so");
   glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_SPARSE_ARB, GL_TRUE);
   glTexParameteri(GL_TEXTURE_2D, GL_VIRTUAL_PAGE_SIZE_INDEX_ARB, 99);
   glGetTexParameterfv(GL_TEXTURE_2D, GL_TEXTURE_SPARSE_ARB, &real);
   glt_expect(real == 1.0f, "not sparse");
   glGetTexParameteriv(GL_TEXTURE_2D, GL_VIRTUAL_PAGE_SIZE_INDEX_ARB, &value);
   glt_expect(value == 99, "index %d", value);
   glt_expect_error(GL_NO_ERROR, "parameters");

   glTexStorage2D(GL_TEXTURE_2D, 1, GL_RGBA8, 256, 256);
   glt_expect_error(GL_INVALID_OPERATION, "storage with an index that there is not");
   glTexParameteri(GL_TEXTURE_2D, GL_VIRTUAL_PAGE_SIZE_INDEX_ARB, 0);
   glTexStorage2D(GL_TEXTURE_2D, 1, GL_RGBA8, 2 * integer(GL_MAX_SPARSE_TEXTURE_SIZE_ARB), 256);
   glt_expect_error(GL_INVALID_VALUE, "storage larger than the limit");
   glTexStorage2D(GL_TEXTURE_2D, 9, GL_RGBA8, 256, 256);
   glt_expect_error(GL_NO_ERROR, "storage");
   glGetTexParameteriv(GL_TEXTURE_2D, GL_NUM_SPARSE_LEVELS_ARB, &value);
   glt_expect(value >= 1 && value <= 9, "%d sparse levels", value);

   glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_SPARSE_ARB, GL_FALSE);
   glt_expect_error(GL_INVALID_OPERATION, "sparse, of immutable textures");
   glTexParameteri(GL_TEXTURE_2D, GL_VIRTUAL_PAGE_SIZE_INDEX_ARB, 0);
   glt_expect_error(GL_INVALID_OPERATION, "index, of immutable textures");
   glDeleteTextures(1, &tex);
}

/* --------------------------------------------------------------- commitment */

static void
expect_commit_error(GLenum target, GLint level, GLint x, GLint y, GLsizei w, GLsizei h, GLenum error,
                    const char *what)
{
   page_commitment(target, level, x, y, 0, w, h, 1, GL_TRUE);
   glt_expect_error(error, what);
}

static void
test_commit_errors(void)
{
   GLuint tex[2];

   glt_begin("errors of commits");
   glGenTextures(2, tex);
   glBindTexture(GL_TEXTURE_2D, tex[0]);
   glTexStorage2D(GL_TEXTURE_2D, 1, GL_R32UI, 512, 512);
   expect_commit_error(GL_TEXTURE_2D, 0, 0, 0, 128, 128, GL_INVALID_OPERATION, "not sparse");
   glBindTexture(GL_TEXTURE_2D, tex[1]);
   glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_SPARSE_ARB, GL_TRUE);
   expect_commit_error(GL_TEXTURE_2D, 0, 0, 0, 128, 128, GL_INVALID_OPERATION, "not immutable");
   glTexStorage2D(GL_TEXTURE_2D, 1, GL_R32UI, 300, 300);
   expect_commit_error(GL_RENDERBUFFER, 0, 0, 0, 128, 128, GL_INVALID_ENUM, "target");
   expect_commit_error(GL_TEXTURE_1D, 0, 0, 0, 128, 128, GL_INVALID_ENUM, "target of OpenGL");
   expect_commit_error(GL_TEXTURE_2D, 1, 0, 0, 128, 128, GL_INVALID_VALUE, "level");
   expect_commit_error(GL_TEXTURE_2D, 0, 4, 0, 128, 128, GL_INVALID_VALUE, "offset");
   expect_commit_error(GL_TEXTURE_2D, 0, 0, 0, 128, 100, GL_INVALID_OPERATION, "size");
   expect_commit_error(GL_TEXTURE_2D, 0, 256, 0, 128, 128, GL_INVALID_OPERATION, "out of range");
   expect_commit_error(GL_TEXTURE_2D, 0, 256, 256, 44, 44, GL_NO_ERROR, "the last page");
   glDeleteTextures(2, tex);
}

/* ---------------------------------------------------------------- residency */

struct shape {
   const char *name;
   GLenum target;
   /** Of the types, after "usampler" and "uimage". */
   const char *type;
   bool fetch;
   GLint w, h, d, levels;
};

static const struct shape shapes[] = {
   {"2D", GL_TEXTURE_2D, "2D", true, 300, 200, 1, 2},
   {"2D array", GL_TEXTURE_2D_ARRAY, "2DArray", true, 256, 140, 3, 2},
   {"cube", GL_TEXTURE_CUBE_MAP, "Cube", false, 256, 256, 6, 2},
   {"cube array", GL_TEXTURE_CUBE_MAP_ARRAY, "CubeArray", false, 140, 140, 12, 1},
   {"3D", GL_TEXTURE_3D, "3D", true, 70, 50, 40, 1},
};

static GLint
minify(GLint size, unsigned level)
{
   return size >> level ? size >> level : 1;
}

static GLint
min(GLint a, GLint b)
{
   return a < b ? a : b;
}

static GLint
depth(const struct shape *shape, unsigned level)
{
   return shape->target == GL_TEXTURE_3D ? minify(shape->d, level) : shape->d;
}

static bool
is_committed(unsigned phase, unsigned level, GLint x, GLint y, GLint z, const GLint page[3])
{
   return (x / page[0] + y / page[1] + z / page[2] + level + phase) % 2 == 0;
}

static GLuint
texel_value(unsigned phase, unsigned level, GLint x, GLint y, GLint z)
{
   return phase << 28 | level << 24 | z << 18 | y << 9 | x;
}

static GLuint
sparse_texture(const struct shape *shape)
{
   GLuint tex;

   glGenTextures(1, &tex);
   glActiveTexture(GL_TEXTURE0);
   glBindTexture(shape->target, tex);
   glTexParameteri(shape->target, GL_TEXTURE_SPARSE_ARB, GL_TRUE);
   if (shape->target == GL_TEXTURE_2D || shape->target == GL_TEXTURE_CUBE_MAP)
      glTexStorage2D(shape->target, shape->levels, GL_R32UI, shape->w, shape->h);
   else
      glTexStorage3D(shape->target, shape->levels, GL_R32UI, shape->w, shape->h, shape->d);
   glTexParameteri(shape->target, GL_TEXTURE_MIN_FILTER, GL_NEAREST_MIPMAP_NEAREST);
   glTexParameteri(shape->target, GL_TEXTURE_MAG_FILTER, GL_NEAREST);
   glt_expect_error(GL_NO_ERROR, "storage");
   return tex;
}

/* Of w x h texels from the left upper corner on; a slice, a layer or a face. */
static void
upload_slice(const struct shape *shape, GLint level, GLint z, GLint w, GLint h, const GLuint *texels)
{
   if (shape->target == GL_TEXTURE_2D || shape->target == GL_TEXTURE_CUBE_MAP)
      glTexSubImage2D(shape->target == GL_TEXTURE_2D ? GL_TEXTURE_2D :
                                                       GL_TEXTURE_CUBE_MAP_POSITIVE_X + z,
                      level, 0, 0, w, h, GL_RED_INTEGER, GL_UNSIGNED_INT, texels);
   else
      glTexSubImage3D(shape->target, level, 0, 0, z, w, h, 1, GL_RED_INTEGER, GL_UNSIGNED_INT,
                      texels);
}

static void
upload(const struct shape *shape, unsigned phase, unsigned level)
{
   const GLint w = minify(shape->w, level), h = minify(shape->h, level), d = depth(shape, level);
   GLuint *data = malloc((size_t)w * h * 4);

   for (GLint z = 0; z < d; z++) {
      for (GLint y = 0; y < h; y++) {
         for (GLint x = 0; x < w; x++)
            data[y * w + x] = texel_value(phase, level, x, y, z);
      }
      upload_slice(shape, level, z, w, h, data);
   }
   free(data);
}

static void
commit_pages(const struct shape *shape, unsigned phase, unsigned level, const GLint page[3])
{
   const GLint w = minify(shape->w, level), h = minify(shape->h, level), d = depth(shape, level);

   for (GLint z = 0; z < d; z += page[2]) {
      for (GLint y = 0; y < h; y += page[1]) {
         for (GLint x = 0; x < w; x += page[0])
            page_commitment(shape->target, level, x, y, z, min(page[0], w - x), min(page[1], h - y),
                            min(page[2], d - z), is_committed(phase, level, x, y, z, page));
      }
   }
   glt_expect_error(GL_NO_ERROR, "commit");
}

#define SPARSE2 "#extension GL_EXT_sparse_texture2 : require\n"
#define HIGHP   "precision highp float;\nprecision highp int;\n"

static GLuint
look_program(const struct shape *shape, bool image)
{
   const char *at = shape->target == GL_TEXTURE_2D ? "at.xy" : "at";
   const char *head = shape->target == GL_TEXTURE_CUBE_MAP_ARRAY ? "#version 320 es\n" SPARSE2 HIGHP
                                                                 : "#version 310 es\n" SPARSE2 HIGHP;
   char texture[128], read[128];

   snprintf(texture, sizeof(texture), "layout(binding = 0%s uniform highp u%s%s tex;",
            image ? ", r32ui) readonly" : ")", image ? "image" : "sampler", shape->type);
   snprintf(read, sizeof(read), "resident = sparseTexelsResidentEXT(%s(tex, %s%s, value));",
            image ? "sparseImageLoadEXT" : "sparseTexelFetchEXT", at, image ? "" : ", level");
   return glt_look_program(head, texture, read);
}

static void
check_level(const struct shape *shape, GLuint tex, bool image, unsigned phase, unsigned level,
            const GLint page[3])
{
   const GLint w = minify(shape->w, level), h = minify(shape->h, level), d = depth(shape, level);
   const GLuint program = look_program(shape, image);
   unsigned wrong = 0;

   if (image)
      glBindImageTexture(0, tex, level, GL_TRUE, 0, GL_READ_ONLY, GL_R32UI);
   uint32_t *const all = glt_look(program, w, h, d, level);
   const uint32_t *seen = all;
   for (GLint z = 0; z < d; z++) {
      for (GLint y = 0; y < h; y++) {
         for (GLint x = 0; x < w; x++, seen += 2) {
            const bool committed = is_committed(phase, level, x, y, z, page);
            /* What is not resident reads as zero: the second extension. */
            const GLuint value = committed ? texel_value(phase, level, x, y, z) : 0;

            if ((seen[0] != committed || seen[1] != value) && wrong++ < 3)
               glt_fail("%s, phase %u, level %u: (%d, %d, %d) is %sresident, 0x%x, not 0x%x",
                        image ? "image" : "fetch", phase, level, x, y, z, seen[0] ? "" : "not ",
                        seen[1], value);
         }
      }
   }
   glt_expect_error(GL_NO_ERROR, "looking");
   free(all);
   glDeleteProgram(program);
}

static void
test_residency(const struct shape *shape)
{
   GLint page[3], sparse_levels = 0;

   glt_begin("residency: %s", shape->name);
   page_size(shape->target, GL_R32UI, page);
   const GLuint tex = sparse_texture(shape);
   glGetTexParameteriv(shape->target, GL_NUM_SPARSE_LEVELS_ARB, &sparse_levels);
   glt_expect(sparse_levels >= 1, "%d levels before the tail", sparse_levels);

   for (unsigned phase = 1; phase <= 2; phase++) {
      for (GLint level = 0; level < min(shape->levels, sparse_levels); level++) {
         commit_pages(shape, phase, level, page);
         upload(shape, phase, level);
      }
      for (GLint level = 0; level < min(shape->levels, sparse_levels); level++) {
         if (shape->fetch)
            check_level(shape, tex, false, phase, level, page);
         check_level(shape, tex, true, phase, level, page);
      }
   }
   glDeleteTextures(1, &tex);
}

/* "All levels from NUM_SPARSE_LEVELS on are committed together." */
static void
test_tail(void)
{
   static const struct shape shape = {"2D", GL_TEXTURE_2D, "2D", true, 256, 256, 1, 9};
   static const GLint whole[3] = {256, 256, 1};
   GLint sparse_levels = 0;

   glt_begin("tail");
   const GLuint tex = sparse_texture(&shape);
   glGetTexParameteriv(GL_TEXTURE_2D, GL_NUM_SPARSE_LEVELS_ARB, &sparse_levels);
   glt_expect(sparse_levels < shape.levels, "no tail");
   for (unsigned committed = 0; committed < 2; committed++) {
      const unsigned size = minify(256, sparse_levels);

      page_commitment(GL_TEXTURE_2D, sparse_levels, 0, 0, 0, size, size, 1, committed);
      for (GLint level = sparse_levels; level < shape.levels; level++) {
         /* Phases of which all is committed, or nothing. */
         const unsigned phase = 2 + (level + committed + 1) % 2;

         upload(&shape, phase, level);
         check_level(&shape, tex, false, phase, level, whole);
      }
   }
   glDeleteTextures(1, &tex);
}

/* What is drawn lands where there are pages, and is read back. */
static void
test_rendering(void)
{
   static const struct shape shape = {"2D", GL_TEXTURE_2D, "2D", true, 300, 200, 1, 1};
   static const GLuint color[4] = {0xabcd0123};
   GLint page[3];
   GLuint fbo;

   glt_begin("rendering");
   page_size(GL_TEXTURE_2D, GL_R32UI, page);
   const GLuint tex = sparse_texture(&shape);
   commit_pages(&shape, 0, 0, page);
   glGenFramebuffers(1, &fbo);
   glBindFramebuffer(GL_FRAMEBUFFER, fbo);
   glFramebufferTexture2D(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D, tex, 0);
   glt_expect(glCheckFramebufferStatus(GL_FRAMEBUFFER) == GL_FRAMEBUFFER_COMPLETE, "incomplete");
   glClearBufferuiv(GL_COLOR, 0, color);
   for (GLint y = 0; y < shape.h; y += 64) {
      for (GLint x = 0; x < shape.w; x += 64) {
         GLuint seen[4] = {1};

         glReadPixels(x, y, 1, 1, GL_RGBA_INTEGER, GL_UNSIGNED_INT, seen);
         glt_expect(seen[0] == (is_committed(0, 0, x, y, 0, page) ? color[0] : 0), "(%d, %d) is 0x%x",
                    x, y, seen[0]);
      }
   }
   glt_expect_error(GL_NO_ERROR, "rendering");
   glBindFramebuffer(GL_FRAMEBUFFER, 0);
   glDeleteFramebuffers(1, &fbo);
   glDeleteTextures(1, &tex);
}

/* The second extension: multisample textures. */
static void
test_multisample(void)
{
   static const char look[] =
      "#version 310 es\n" SPARSE2 HIGHP
      "layout(local_size_x = 1) in;\n"
      "layout(binding = 0) uniform highp usampler2DMS tex;\n"
      "layout(std430, binding = 0) buffer Seen { uvec2 seen[]; };\n"
      "void main() {\n"
      "   int i = int(gl_GlobalInvocationID.x);\n"
      "   uvec4 value;\n"
      "   int code = sparseTexelFetchEXT(tex, ivec2(i / 4 * 64 + 5, 7), i % 4, value);\n"
      "   seen[i] = uvec2(sparseTexelsResidentEXT(code) ? 1 : 0, value.r);\n"
      "}\n";
   static const GLuint color[4] = {0x13572468};
   GLint page[3];
   GLuint tex, fbo;

   glt_begin("multisample");
   page_size(GL_TEXTURE_2D_MULTISAMPLE, GL_R32UI, page);
   glGenTextures(1, &tex);
   glBindTexture(GL_TEXTURE_2D_MULTISAMPLE, tex);
   glTexParameteri(GL_TEXTURE_2D_MULTISAMPLE, GL_TEXTURE_SPARSE_ARB, GL_TRUE);
   glTexStorage2DMultisample(GL_TEXTURE_2D_MULTISAMPLE, 4, GL_R32UI, 4 * page[0], page[1], GL_TRUE);
   glt_expect_error(GL_NO_ERROR, "storage");
   for (GLint i = 0; i < 4; i++)
      page_commitment(GL_TEXTURE_2D_MULTISAMPLE, 0, i * page[0], 0, 0, page[0], page[1], 1, i % 2);
   glt_expect_error(GL_NO_ERROR, "commit");
   glGenFramebuffers(1, &fbo);
   glBindFramebuffer(GL_FRAMEBUFFER, fbo);
   glFramebufferTexture2D(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D_MULTISAMPLE, tex, 0);
   glClearBufferuiv(GL_COLOR, 0, color);

   const GLint columns = 4 * page[0] / 64;
   const GLuint program = glt_compute_program(look);
   GLuint *seen = glt_compute(program, columns * 4, 1, 1, columns * 4 * 8);
   for (GLint i = 0; i < columns * 4; i++) {
      const bool committed = i / 4 * 64 / page[0] % 2;

      glt_expect(seen[2 * i] == committed && seen[2 * i + 1] == (committed ? color[0] : 0),
                 "column %d, sample %d: %u, 0x%x", i / 4, i % 4, seen[2 * i], seen[2 * i + 1]);
   }
   glt_expect_error(GL_NO_ERROR, "looking");
   free(seen);
   glDeleteProgram(program);
   glBindFramebuffer(GL_FRAMEBUFFER, 0);
   glDeleteFramebuffers(1, &fbo);
   glDeleteTextures(1, &tex);
}

/* ---------------------------------------------------------------- functions */

/* Each function of EXT_sparse_texture2, of samplers of which half is committed: W is a coordinate in
 * the half that is looked at. */
static const struct {
   int version;
   const char *sampler;
   const char *call;
} calls[] = {
   {310, "2D", "sparseTextureEXT(tex, vec2(W, .5), value)"},
   {310, "2D", "sparseTextureLodEXT(tex, vec2(W, .5), 0., value)"},
   {310, "2D", "sparseTextureOffsetEXT(tex, vec2(W, .5), ivec2(1, -1), value)"},
   {310, "2D", "sparseTexelFetchEXT(tex, ivec2(W * 256., 5), 0, value)"},
   {310, "2D", "sparseTexelFetchOffsetEXT(tex, ivec2(W * 256., 5), 0, ivec2(2, 3), value)"},
   {310, "2D", "sparseTextureLodOffsetEXT(tex, vec2(W, .5), 0., ivec2(1), value)"},
   {310, "2D", "sparseTextureGradEXT(tex, vec2(W, .5), vec2(0), vec2(0), value)"},
   {310, "2D", "sparseTextureGradOffsetEXT(tex, vec2(W, .5), vec2(0), vec2(0), ivec2(1), value)"},
   {310, "2D", "sparseTextureGatherEXT(tex, vec2(W, .5), value)"},
   {310, "2D", "sparseTextureGatherEXT(tex, vec2(W, .5), value, 0)"},
   {320, "2D", "sparseTextureGatherOffsetEXT(tex, vec2(W, .5), ivec2(W * 4.), value)"},
   {320, "2D", "sparseTextureGatherOffsetEXT(tex, vec2(W, .5), ivec2(1), value, 0)"},
   {320, "2D", "sparseTextureGatherOffsetsEXT(tex, vec2(W, .5), ivec2[4](ivec2(0), ivec2(1), ivec2(2), "
               "ivec2(3)), value)"},
   {310, "2DArray", "sparseTextureEXT(tex, vec3(W, .5, 1), value)"},
   {310, "2DArray", "sparseTextureLodEXT(tex, vec3(W, .5, 1), 0., value)"},
   {310, "2DArray", "sparseTextureOffsetEXT(tex, vec3(W, .5, 1), ivec2(1), value)"},
   {310, "2DArray", "sparseTexelFetchEXT(tex, ivec3(W * 256., 5, 1), 0, value)"},
   {310, "2DArray", "sparseTextureGradEXT(tex, vec3(W, .5, 1), vec2(0), vec2(0), value)"},
   {310, "2DArray", "sparseTextureGatherEXT(tex, vec3(W, .5, 1), value)"},
   {310, "3D", "sparseTextureEXT(tex, vec3(W, .5, .5), value)"},
   {310, "3D", "sparseTextureLodEXT(tex, vec3(W, .5, .5), 0., value)"},
   {310, "3D", "sparseTextureOffsetEXT(tex, vec3(W, .5, .5), ivec3(1), value)"},
   {310, "3D", "sparseTexelFetchEXT(tex, ivec3(W * 256., 5, 1), 0, value)"},
   {310, "3D", "sparseTextureGradEXT(tex, vec3(W, .5, .5), vec3(0), vec3(0), value)"},
   /* The face of -z, whose s is that of -x. */
   {310, "Cube", "sparseTextureEXT(tex, vec3(1. - 2. * W, 0, -1), value)"},
   {310, "Cube", "sparseTextureLodEXT(tex, vec3(1. - 2. * W, 0, -1), 0., value)"},
   {310, "Cube", "sparseTextureGradEXT(tex, vec3(1. - 2. * W, 0, -1), vec3(0), vec3(0), value)"},
   {310, "Cube", "sparseTextureGatherEXT(tex, vec3(1. - 2. * W, 0, -1), value)"},
   {320, "CubeArray", "sparseTextureEXT(tex, vec4(1. - 2. * W, 0, -1, 1), value)"},
   {320, "CubeArray", "sparseTextureLodEXT(tex, vec4(1. - 2. * W, 0, -1, 1), 0., value)"},
   {320, "CubeArray", "sparseTextureGatherEXT(tex, vec4(1. - 2. * W, 0, -1, 1), value)"},
};

static const struct shape halves[] = {
   {"2D", GL_TEXTURE_2D, "2D", true, 256, 128, 1, 1},
   {"2D array", GL_TEXTURE_2D_ARRAY, "2DArray", true, 256, 128, 2, 1},
   {"3D", GL_TEXTURE_3D, "3D", true, 256, 32, 16, 1},
   {"cube", GL_TEXTURE_CUBE_MAP, "Cube", false, 256, 256, 6, 1},
   {"cube array", GL_TEXTURE_CUBE_MAP_ARRAY, "CubeArray", false, 256, 256, 12, 1},
};

static void
test_call(unsigned which)
{
   char source[2048];

   snprintf(source, sizeof(source),
            "#version %d es\n" SPARSE2 HIGHP
            "layout(local_size_x = 1) in;\n"
            "layout(binding = 0) uniform highp usampler%s tex;\n"
            "layout(std430, binding = 0) buffer Seen { uvec2 seen[2]; };\n"
            "void main() {\n"
            "   float W = gl_GlobalInvocationID.x == 0u ? .25 : .75;\n"
            "   uvec4 value = uvec4(0xdead);\n"
            "   int code = %s;\n"
            "   seen[gl_GlobalInvocationID.x] = uvec2(sparseTexelsResidentEXT(code) ? 1 : 0, value.r);\n"
            "}\n",
            calls[which].version, calls[which].sampler, calls[which].call);
   glt_begin("%s: %s", calls[which].sampler, calls[which].call);
   const GLuint program = glt_compute_program(source);
   GLuint *seen = glt_compute(program, 2, 1, 1, 16);
   glt_expect(seen[0] == 1, "the committed half is not resident");
   glt_expect(seen[1] == 0x777, "value 0x%x", seen[1]);
   glt_expect(seen[2] == 0, "the other half is resident");
   glt_expect(seen[3] == 0, "value 0x%x of the other half", seen[3]);
   glt_expect_error(GL_NO_ERROR, "call");
   free(seen);
   glDeleteProgram(program);
}

static void
fill_half(const struct shape *shape)
{
   static GLuint texels[128 * 256];

   for (unsigned i = 0; i < GLT_ARRAY_SIZE(texels); i++)
      texels[i] = 0x777;
   page_commitment(shape->target, 0, 0, 0, 0, 128, shape->h, shape->d, GL_TRUE);
   for (GLint z = 0; z < shape->d; z++)
      upload_slice(shape, 0, z, 128, shape->h, texels);
   glt_expect_error(GL_NO_ERROR, "fill");
}

static void
test_functions(void)
{
   for (unsigned s = 0; s < GLT_ARRAY_SIZE(halves); s++) {
      glt_begin("half of %s", halves[s].name);
      const GLuint tex = sparse_texture(&halves[s]);
      fill_half(&halves[s]);
      glTexParameteri(halves[s].target, GL_TEXTURE_MIN_FILTER, GL_NEAREST);
      for (unsigned i = 0; i < GLT_ARRAY_SIZE(calls); i++) {
         if (!strcmp(calls[i].sampler, halves[s].type))
            test_call(i);
      }
      glDeleteTextures(1, &tex);
   }
}

/* --------------------------------------------------------- shading language */

static bool
compiles(GLenum stage, const char *head, const char *statement)
{
   const GLuint shader = glCreateShader(stage);
   const char *const source[] = {
      head,
      stage == GL_COMPUTE_SHADER ? "layout(local_size_x = 1) in;\n" : "",
      HIGHP
      "uniform highp sampler2D tex;\n"
      "uniform highp sampler2DShadow shadow;\n"
      "void main() {\n"
      "   vec4 value;\n"
      "   float one;\n",
      statement,
      "}\n",
   };
   GLint status = 0;

   glShaderSource(shader, GLT_ARRAY_SIZE(source), source, NULL);
   glCompileShader(shader);
   glGetShaderiv(shader, GL_COMPILE_STATUS, &status);
   glDeleteShader(shader);
   return status;
}

#define ES300   "#version 300 es\n"
#define ES310   "#version 310 es\n"
#define ES320   "#version 320 es\n"

static void
test_language(void)
{
   static const struct {
      bool compiles;
      GLenum stage;
      const char *head, *statement;
   } cases[] = {
      {true, GL_COMPUTE_SHADER, ES310 SPARSE2, "sparseTextureEXT(tex, vec2(0), value);\n"},
      {true, GL_COMPUTE_SHADER, ES310 "#extension GL_EXT_sparse_texture2 : enable\n"
                                      "#if GL_EXT_sparse_texture2 != 1\n#error\n#endif\n", ""},
      {true, GL_FRAGMENT_SHADER, ES310 SPARSE2, "sparseTextureEXT(tex, vec2(0), value, 1.);\n"},
      {true, GL_FRAGMENT_SHADER, ES310 SPARSE2,
       "sparseTextureOffsetEXT(tex, vec2(0), ivec2(1), value, 1.);\n"},
      {true, GL_FRAGMENT_SHADER, ES310 SPARSE2, "sparseTextureEXT(shadow, vec3(0), one);\n"},
      {true, GL_FRAGMENT_SHADER, ES310 SPARSE2, "sparseTextureGatherEXT(shadow, vec2(0), 0., value);\n"},
      {true, GL_FRAGMENT_SHADER, ES310 "#extension GL_EXT_gpu_shader5 : require\n" SPARSE2,
       "sparseTextureGatherOffsetEXT(tex, vec2(0), ivec2(1), value);\n"},
      /* Not without the extension, in older versions, by the names of OpenGL. */
      {false, GL_COMPUTE_SHADER, ES310, "sparseTextureEXT(tex, vec2(0), value);\n"},
      {false, GL_COMPUTE_SHADER, ES310, "bool b = sparseTexelsResidentEXT(0);\n"},
      {false, GL_FRAGMENT_SHADER, ES300 SPARSE2, "sparseTextureEXT(tex, vec2(0), value);\n"},
      {false, GL_FRAGMENT_SHADER, ES300 SPARSE2, "sparseTextureEXT(tex, vec2(0), value, 1.);\n"},
      {false, GL_COMPUTE_SHADER, ES310 SPARSE2, "sparseTextureARB(tex, vec2(0), value);\n"},
      {false, GL_COMPUTE_SHADER, ES310 SPARSE2, "bool b = sparseTexelsResidentARB(0);\n"},
      {false, GL_COMPUTE_SHADER, ES310 "#extension GL_ARB_sparse_texture2 : require\n", ""},
      {false, GL_COMPUTE_SHADER, ES310 SPARSE2, "sparseTextureClampEXT(tex, vec2(0), 0., value);\n"},
      {false, GL_COMPUTE_SHADER, ES310 SPARSE2, "sparseTextureEXT(tex, vec2(0), value, 1.);\n"},
      {false, GL_COMPUTE_SHADER, ES310 SPARSE2, "sparseEXT(tex);\n"},
      /* As textureGatherOffset with an offset that is no constant. */
      {false, GL_FRAGMENT_SHADER, ES310 SPARSE2,
       "sparseTextureGatherOffsetEXT(tex, vec2(0), ivec2(gl_FragCoord.xy), value);\n"},
   };

   for (unsigned i = 0; i < GLT_ARRAY_SIZE(cases); i++) {
      glt_begin("language");
      glt_expect(compiles(cases[i].stage, cases[i].head, cases[i].statement) == cases[i].compiles,
                 "%s%s%s", cases[i].head, cases[i].statement,
                 cases[i].compiles ? "does not compile" : "compiles");
   }
}

/* -------------------------------------------------------------- other drivers */

static void
test_stock(void)
{
   GLint value;

   glt_begin("a driver without sparse textures");
   glt_expect(!glt_has("GL_EXT_sparse_texture"), "has EXT_sparse_texture");
   glt_expect(!glt_has("GL_EXT_sparse_texture2"), "has EXT_sparse_texture2");
   for (unsigned t = 0; t < GLT_ARRAY_SIZE(targets); t++) {
      for (unsigned i = 0; i < GLT_ARRAY_SIZE(page_size_names); i++)
         expect_refused_query(targets[t], page_size_names[i]);
   }
   glGetIntegerv(GL_MAX_SPARSE_TEXTURE_SIZE_ARB, &value);
   glt_expect_error(GL_INVALID_ENUM, "limit");
   glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_SPARSE_ARB, GL_TRUE);
   glt_expect_error(GL_INVALID_ENUM, "parameter");
   glGetTexParameteriv(GL_TEXTURE_2D, GL_NUM_SPARSE_LEVELS_ARB, &value);
   glt_expect_error(GL_INVALID_ENUM, "parameter, asked for");
   if (page_commitment) {
      page_commitment(GL_TEXTURE_2D, 0, 0, 0, 0, 128, 128, 1, GL_TRUE);
      glt_expect_error(GL_INVALID_OPERATION, "commit");
   }
   glt_expect(compiles(GL_COMPUTE_SHADER, ES310, ""), "no shader compiles");
   glt_expect(!compiles(GL_COMPUTE_SHADER, ES310 SPARSE2, ""), "#extension");
}

int
main(int argc, char **argv)
{
   glt_init_es();
   page_commitment = (PFNGLTEXPAGECOMMITMENTARBPROC)eglGetProcAddress("glTexPageCommitmentEXT");

   if (argc > 1 && !strcmp(argv[1], "stock")) {
      test_stock();
      return glt_finish();
   }
   glt_begin("names");
   glt_expect(glt_has("GL_EXT_sparse_texture"), "no EXT_sparse_texture");
   glt_expect(glt_has("GL_EXT_sparse_texture2"), "no EXT_sparse_texture2");
   glt_expect(!glt_has("GL_ARB_sparse_texture"), "an extension of OpenGL");
   glt_expect(page_commitment != NULL, "no glTexPageCommitmentEXT");
   if (!page_commitment)
      return glt_finish();

   test_page_sizes();
   test_queries_refused();
   test_limits();
   test_parameters();
   test_commit_errors();
   for (unsigned i = 0; i < GLT_ARRAY_SIZE(shapes); i++)
      test_residency(&shapes[i]);
   test_tail();
   test_rendering();
   test_multisample();
   test_functions();
   test_language();

   return glt_finish();
}

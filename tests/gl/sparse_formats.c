/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Formats of sparse textures: those that ARB_sparse_texture's table 8.12 wants, with the page sizes of
 * ARB_sparse_texture2's table 8.X; and of those that a driver may have, depth, stencil and compressed
 * ones: "reads act as though such memory were filled with zeroes", and so do the depth and stencil
 * tests.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "glt.h"

static bool has_sparse2;

/* ------------------------------------------------------------------- tables */

static const struct {
   GLenum format;
   unsigned bytes;
} required[] = {
   {GL_R8, 1}, {GL_R8_SNORM, 1}, {GL_R8I, 1}, {GL_R8UI, 1},
   {GL_R16, 2}, {GL_R16_SNORM, 2}, {GL_RG8, 2}, {GL_RG8_SNORM, 2}, {GL_RGB565, 2}, {GL_R16F, 2},
   {GL_R16I, 2}, {GL_R16UI, 2}, {GL_RG8I, 2}, {GL_RG8UI, 2},
   {GL_RG16, 4}, {GL_RG16_SNORM, 4}, {GL_RGBA8, 4}, {GL_RGBA8_SNORM, 4}, {GL_RGB10_A2, 4},
   {GL_RGB10_A2UI, 4}, {GL_RG16F, 4}, {GL_R32F, 4}, {GL_R11F_G11F_B10F, 4}, {GL_RGB9_E5, 4},
   {GL_R32I, 4}, {GL_R32UI, 4}, {GL_RG16I, 4}, {GL_RG16UI, 4}, {GL_RGBA8I, 4}, {GL_RGBA8UI, 4},
   {GL_RGBA16, 8}, {GL_RGBA16_SNORM, 8}, {GL_RGBA16F, 8}, {GL_RG32F, 8}, {GL_RG32I, 8},
   {GL_RG32UI, 8}, {GL_RGBA16I, 8}, {GL_RGBA16UI, 8},
   {GL_RGBA32F, 16}, {GL_RGBA32I, 16}, {GL_RGBA32UI, 16},
};

static const GLenum targets[] = {
   GL_TEXTURE_2D, GL_TEXTURE_2D_ARRAY, GL_TEXTURE_CUBE_MAP, GL_TEXTURE_CUBE_MAP_ARRAY,
   GL_TEXTURE_RECTANGLE, GL_TEXTURE_3D,
};

static bool
can_be_sparse(GLenum target, GLenum format)
{
   GLint page[3];

   return glt_page_size(target, format, page);
}

static void
test_required(void)
{
   for (unsigned i = 0; i < GLT_ARRAY_SIZE(required); i++) {
      for (unsigned t = 0; t < GLT_ARRAY_SIZE(targets); t++) {
         GLint size[3], standard[3];

         glt_begin("format 0x%04x, target 0x%04x", required[i].format, targets[t]);
         glt_expect(glt_page_size(targets[t], required[i].format, size), "no page size");
         glt_expect(size[0] > 0 && size[1] > 0 && size[2] > 0, "%d x %d x %d", size[0], size[1], size[2]);
         glt_standard_page_size(targets[t], required[i].bytes, standard);
         if (has_sparse2)
            glt_expect(!memcmp(size, standard, sizeof(size)), "%d x %d x %d", size[0], size[1],
                       size[2]);
         glt_expect_error(GL_NO_ERROR, "queries");
      }
   }
}

/* ------------------------------------------------------------------ looking */

/* Two pages side by side; the first is committed. */
static GLuint
two_pages(GLenum format, GLint page[3])
{
   GLuint tex;

   glt_page_size(GL_TEXTURE_2D, format, page);
   glCreateTextures(GL_TEXTURE_2D, 1, &tex);
   glTextureParameteri(tex, GL_TEXTURE_SPARSE_ARB, GL_TRUE);
   glTextureStorage2D(tex, 1, format, 2 * page[0], page[1]);
   glTextureParameteri(tex, GL_TEXTURE_MIN_FILTER, GL_NEAREST);
   glTextureParameteri(tex, GL_TEXTURE_MAG_FILTER, GL_NEAREST);
   glTexturePageCommitmentEXT(tex, 0, 0, 0, 0, page[0], page[1], 1, GL_TRUE);
   glt_expect_error(GL_NO_ERROR, "storage and commit");
   return tex;
}

/* Residency and value of every texel; type is a prefix of GLSL's. */
static float *
look(GLuint tex, const char *type, unsigned w, unsigned h)
{
   char source[1024];

   snprintf(source, sizeof(source),
            "#version 450\n"
            "%s"
            "layout(local_size_x = 8, local_size_y = 8) in;\n"
            "layout(binding = 0) uniform %ssampler2D tex;\n"
            "struct texel { vec4 resident, value; };\n"
            "layout(std430, binding = 0) buffer Seen { texel seen[]; };\n"
            "void main() {\n"
            "   ivec2 at = ivec2(gl_GlobalInvocationID.xy);\n"
            "   %svec4 value = %svec4(7);\n"
            "   bool resident = true;\n"
            "   %s;\n"
            "   seen[at.y * textureSize(tex, 0).x + at.x] = texel(vec4(resident ? 1 : 0), vec4(value));\n"
            "}\n",
            has_sparse2 ? "#extension GL_ARB_sparse_texture2 : require\n" : "", type, type, type,
            has_sparse2 ? "resident = sparseTexelsResidentARB(sparseTexelFetchARB(tex, at, 0, value))" :
                          "value = texelFetch(tex, at, 0)");
   const GLuint program = glt_compute_program(source);
   glBindTextureUnit(0, tex);
   float *seen = glt_compute(program, w / 8, h / 8, 1, (GLsizeiptr)w * h * 32);
   glDeleteProgram(program);
   return seen;
}

static bool
near(float a, float b)
{
   return a > b - 0.01f && a < b + 0.01f;
}

/* The committed half has the value; the other one zeros and no residency. */
static void
expect_halves(GLuint tex, const char *type, const GLint page[3], float value, const char *what)
{
   const unsigned w = 2 * page[0], h = page[1];
   float *seen = look(tex, type, w, h);

   for (unsigned i = 0; i < w * h; i++) {
      const bool committed = i % w < (unsigned)page[0];
      const float *texel = &seen[8 * i];

      if (has_sparse2 && texel[0] != committed) {
         glt_fail("%s: (%u, %u) is %sresident", what, i % w, i / w, texel[0] ? "" : "not ");
         break;
      }
      if ((committed || has_sparse2) && !near(texel[4], committed ? value : 0)) {
         glt_fail("%s: (%u, %u) is %f", what, i % w, i / w, texel[4]);
         break;
      }
   }
   free(seen);
}

/* ---------------------------------------------------------- depth and stencil */

static const char cover_vertex[] =
   "#version 450\n"
   "layout(location = 0) uniform float depth;\n"
   "void main() {\n"
   "   gl_Position = vec4(gl_VertexID == 1 ? 3 : -1, gl_VertexID == 2 ? 3 : -1, depth * 2 - 1, 1);\n"
   "}\n";

static const char one_fragment[] =
   "#version 450\n"
   "layout(location = 0) out vec4 color;\n"
   "void main() { color = vec4(1); }\n";

struct halves {
   unsigned committed, other;
};

/* How many pixels of each half pass all tests. */
static struct halves
draw(GLuint color, const GLint page[3], float depth)
{
   const GLuint program = glt_draw_program(cover_vertex, one_fragment);
   const unsigned w = 2 * page[0], h = page[1];
   uint8_t *pixels = malloc(w * h);
   struct halves passed = {0, 0};
   const GLfloat zero[4] = {0};

   glClearBufferfv(GL_COLOR, 0, zero);
   glUseProgram(program);
   glUniform1f(0, depth);
   glDrawArrays(GL_TRIANGLES, 0, 3);
   glGetTextureImage(color, 0, GL_RED, GL_UNSIGNED_BYTE, w * h, pixels);
   for (unsigned i = 0; i < w * h; i++) {
      if (pixels[i])
         *(i % w < (unsigned)page[0] ? &passed.committed : &passed.other) += 1;
   }
   free(pixels);
   glDeleteProgram(program);
   return passed;
}

static void
expect_passed(struct halves passed, const GLint page[3], bool committed, bool other, const char *what)
{
   const unsigned all = page[0] * page[1];

   glt_expect(passed.committed == (committed ? all : 0), "%s: %u of %u pass where a page is", what,
              passed.committed, all);
   /* ARB_sparse_texture2; undefined before. */
   if (has_sparse2)
      glt_expect(passed.other == (other ? all : 0), "%s: %u of %u pass where none is", what,
                 passed.other, all);
}

struct framebuffer {
   GLuint fbo, color, vao;
};

static struct framebuffer
framebuffer(GLuint tex, GLenum attachment, const GLint page[3])
{
   struct framebuffer fb;

   glCreateTextures(GL_TEXTURE_2D, 1, &fb.color);
   glTextureStorage2D(fb.color, 1, GL_R8, 2 * page[0], page[1]);
   glCreateFramebuffers(1, &fb.fbo);
   glNamedFramebufferTexture(fb.fbo, GL_COLOR_ATTACHMENT0, fb.color, 0);
   glNamedFramebufferTexture(fb.fbo, attachment, tex, 0);
   glBindFramebuffer(GL_FRAMEBUFFER, fb.fbo);
   glCreateVertexArrays(1, &fb.vao);
   glBindVertexArray(fb.vao);
   glViewport(0, 0, 2 * page[0], page[1]);
   glt_expect(glCheckFramebufferStatus(GL_FRAMEBUFFER) == GL_FRAMEBUFFER_COMPLETE, "incomplete");
   return fb;
}

static void
framebuffer_finish(struct framebuffer *fb)
{
   glDeleteVertexArrays(1, &fb->vao);
   glDeleteFramebuffers(1, &fb->fbo);
   glDeleteTextures(1, &fb->color);
}

static void
test_depth(GLenum format, GLenum attachment, const char *name)
{
   const GLfloat quarter = 0.25f;
   GLint page[3];

   glt_begin("%s", name);
   if (!can_be_sparse(GL_TEXTURE_2D, format)) {
      printf("%s cannot be sparse\n", name);
      return;
   }
   const GLuint tex = two_pages(format, page);
   struct framebuffer fb = framebuffer(tex, attachment, page);

   glClearBufferfv(GL_DEPTH, 0, &quarter);
   expect_halves(tex, "", page, quarter, "cleared");

   /* "consistent with reading a value of zero from the framebuffer.  No value is written" */
   glEnable(GL_DEPTH_TEST);
   glDepthFunc(GL_LESS);
   expect_passed(draw(fb.color, page, 0.125f), page, true, false, "1/8 < depth");
   expect_halves(tex, "", page, 0.125f, "drawn");
   glDepthFunc(GL_GREATER);
   expect_passed(draw(fb.color, page, 0.5f), page, true, true, "1/2 > depth");
   expect_passed(draw(fb.color, page, 0.25f), page, false, true, "1/4 > depth");
   expect_halves(tex, "", page, 0.5f, "drawn again");
   glDisable(GL_DEPTH_TEST);

   /* The CPU's way, there and back. */
   const size_t bytes = 2 * page[0] * page[1] * sizeof(GLfloat);
   GLfloat *texels = malloc(bytes);
   for (int i = 0; i < 2 * page[0] * page[1]; i++)
      texels[i] = 0.75f;
   glTextureSubImage2D(tex, 0, 0, 0, 2 * page[0], page[1], GL_DEPTH_COMPONENT, GL_FLOAT, texels);
   expect_halves(tex, "", page, 0.75f, "uploaded");
   memset(texels, 0, bytes);
   glGetTextureImage(tex, 0, GL_DEPTH_COMPONENT, GL_FLOAT, bytes, texels);
   glt_expect(near(texels[page[0] - 1], 0.75f), "read back: %f", texels[page[0] - 1]);
   free(texels);

   glt_expect_error(GL_NO_ERROR, name);
   framebuffer_finish(&fb);
   glDeleteTextures(1, &tex);
}

static void
test_stencil(GLenum format, GLenum attachment, const char *name)
{
   const GLint five = 5;
   GLint page[3];

   glt_begin("%s, stencil", name);
   if (!can_be_sparse(GL_TEXTURE_2D, format)) {
      printf("%s cannot be sparse\n", name);
      return;
   }
   const GLuint tex = two_pages(format, page);
   struct framebuffer fb = framebuffer(tex, attachment, page);

   glTextureParameteri(tex, GL_DEPTH_STENCIL_TEXTURE_MODE, GL_STENCIL_INDEX);
   glClearBufferiv(GL_STENCIL, 0, &five);
   expect_halves(tex, "u", page, 5, "cleared");

   glEnable(GL_STENCIL_TEST);
   glStencilOp(GL_KEEP, GL_KEEP, GL_INCR);
   glStencilFunc(GL_EQUAL, 5, 0xff);
   expect_passed(draw(fb.color, page, 0.5f), page, true, false, "stencil == 5");
   expect_halves(tex, "u", page, 6, "incremented");
   glStencilFunc(GL_EQUAL, 0, 0xff);
   expect_passed(draw(fb.color, page, 0.5f), page, false, true, "stencil == 0");
   expect_passed(draw(fb.color, page, 0.5f), page, false, true, "stencil == 0, again");
   glDisable(GL_STENCIL_TEST);

   glt_expect_error(GL_NO_ERROR, name);
   framebuffer_finish(&fb);
   glDeleteTextures(1, &tex);
}

/* Both parts of a texel, each by itself. */
static void
test_depth_stencil(GLenum format, const char *name)
{
   const GLfloat quarter = 0.25f;
   const GLint five = 5;
   GLint page[3];

   test_depth(format, GL_DEPTH_STENCIL_ATTACHMENT, name);
   test_stencil(format, GL_DEPTH_STENCIL_ATTACHMENT, name);

   glt_begin("%s, both", name);
   if (!can_be_sparse(GL_TEXTURE_2D, format))
      return;
   /* Of plain textures too. */
   if (!strncmp((const char *)glGetString(GL_RENDERER), "zink", 4)) {
      printf("one of both left out: zink loses a clear of depth alone after others\n");
      return;
   }
   const GLuint tex = two_pages(format, page);
   struct framebuffer fb = framebuffer(tex, GL_DEPTH_STENCIL_ATTACHMENT, page);
   glClearBufferfi(GL_DEPTH_STENCIL, 0, 0.5f, 3);
   glClearBufferiv(GL_STENCIL, 0, &five);
   expect_halves(tex, "", page, 0.5f, "depth, stencil cleared after both");
   glClearBufferfv(GL_DEPTH, 0, &quarter);
   expect_halves(tex, "", page, quarter, "depth cleared");
   glTextureParameteri(tex, GL_DEPTH_STENCIL_TEXTURE_MODE, GL_STENCIL_INDEX);
   expect_halves(tex, "u", page, 5, "stencil, depth cleared after it");
   glt_expect_error(GL_NO_ERROR, name);
   framebuffer_finish(&fb);
   glDeleteTextures(1, &tex);
}

/* A shadow lookup's residency is that of what it compares with. */
static void
test_shadow(void)
{
   static const char source[] =
      "#version 450\n"
      "#extension GL_ARB_sparse_texture2 : require\n"
      "layout(local_size_x = 1) in;\n"
      "layout(binding = 0) uniform sampler2DShadow tex;\n"
      "layout(std430, binding = 0) buffer Seen { vec2 seen[2]; };\n"
      "void main() {\n"
      "   uint i = gl_WorkGroupID.x;\n"
      "   float value = 7;\n"
      "   int code = sparseTextureLodARB(tex, vec3(i == 0 ? 0.25 : 0.75, 0.5, 0.5), 0.0, value);\n"
      "   seen[i] = vec2(sparseTexelsResidentARB(code) ? 1 : 0, value);\n"
      "}\n";
   const GLfloat three_quarters = 0.75f;
   GLint page[3];

   glt_begin("shadow");
   if (!has_sparse2 || !can_be_sparse(GL_TEXTURE_2D, GL_DEPTH_COMPONENT32F))
      return;
   const GLuint tex = two_pages(GL_DEPTH_COMPONENT32F, page);
   struct framebuffer fb = framebuffer(tex, GL_DEPTH_ATTACHMENT, page);
   glClearBufferfv(GL_DEPTH, 0, &three_quarters);
   glTextureParameteri(tex, GL_TEXTURE_COMPARE_MODE, GL_COMPARE_REF_TO_TEXTURE);
   glTextureParameteri(tex, GL_TEXTURE_COMPARE_FUNC, GL_LESS);

   const GLuint program = glt_compute_program(source);
   glBindTextureUnit(0, tex);
   float *seen = glt_compute(program, 2, 1, 1, 4 * sizeof(float));
   glt_expect(seen[0] == 1 && seen[1] == 1, "committed: resident %g, 1/2 < 3/4 is %g", seen[0], seen[1]);
   glt_expect(seen[2] == 0 && seen[3] == 0, "uncommitted: resident %g, 1/2 < 0 is %g", seen[2], seen[3]);
   glt_expect_error(GL_NO_ERROR, "shadow");
   free(seen);
   glDeleteProgram(program);
   framebuffer_finish(&fb);
   glDeleteTextures(1, &tex);
}

/* --------------------------------------------------------------- compressed */

/* A block all of whose texels have 1 as their red: of each format one. */
static const struct {
   GLenum format;
   const char *name, *extension;
   unsigned block_B;
   uint8_t block[16];
} compressed[] = {
   {GL_COMPRESSED_RGB_S3TC_DXT1_EXT, "BC1", "GL_EXT_texture_compression_s3tc", 8,
    {0x00, 0xf8, 0x00, 0xf8}},
   {GL_COMPRESSED_RGBA_S3TC_DXT5_EXT, "BC3", "GL_EXT_texture_compression_s3tc", 16,
    {0xff, 0xff, 0, 0, 0, 0, 0, 0, 0x00, 0xf8, 0x00, 0xf8}},
   {GL_COMPRESSED_RED_RGTC1, "BC4", NULL, 8, {0xff, 0xff}},
   {GL_COMPRESSED_RG_RGTC2, "BC5", NULL, 16, {0xff, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff}},
   /* Mode 5: endpoints of 7 bits from bit 8 on, red first. */
   {GL_COMPRESSED_RGBA_BPTC_UNORM, "BC7", NULL, 16, {0x20, 0xff, 0x3f}},
};

static void
test_compressed(unsigned i)
{
   const GLenum format = compressed[i].format;
   GLint page[3];

   glt_begin("%s", compressed[i].name);
   if (compressed[i].extension && !glt_has(compressed[i].extension))
      return;
   if (!can_be_sparse(GL_TEXTURE_2D, format)) {
      printf("%s cannot be sparse\n", compressed[i].name);
      return;
   }
   const GLuint tex = two_pages(format, page);
   glt_expect(page[0] % 4 == 0 && page[1] % 4 == 0, "pages of %d x %d", page[0], page[1]);
   const unsigned bytes = 2 * page[0] / 4 * page[1] / 4 * compressed[i].block_B;
   uint8_t *blocks = malloc(bytes), *back = calloc(1, bytes);

   for (unsigned at = 0; at < bytes; at += compressed[i].block_B)
      memcpy(blocks + at, compressed[i].block, compressed[i].block_B);
   glCompressedTextureSubImage2D(tex, 0, 0, 0, 2 * page[0], page[1], format, bytes, blocks);
   glt_expect_error(GL_NO_ERROR, "upload");
   expect_halves(tex, "", page, 1, "uploaded");

   const unsigned half = bytes / 2;
   glGetCompressedTextureSubImage(tex, 0, 0, 0, 0, page[0], page[1], 1, bytes, back);
   glt_expect(!memcmp(blocks, back, half), "what is read back is not what was uploaded");

   /* The other page comes, and the first one goes. */
   glTexturePageCommitmentEXT(tex, 0, page[0], 0, 0, page[0], page[1], 1, GL_TRUE);
   glCompressedTextureSubImage2D(tex, 0, page[0], 0, page[0], page[1], format, half, blocks);
   memset(back, 0, bytes);
   glGetCompressedTextureSubImage(tex, 0, page[0], 0, 0, page[0], page[1], 1, bytes, back);
   glt_expect(!memcmp(blocks, back, half), "the second page");
   glTexturePageCommitmentEXT(tex, 0, 0, 0, 0, page[0], page[1], 1, GL_FALSE);
   float *seen = look(tex, "", 2 * page[0], page[1]);
   glt_expect(near(seen[8 * page[0] + 4], 1), "second page: %f", seen[8 * page[0] + 4]);
   if (has_sparse2)
      glt_expect(seen[0] == 0 && seen[4] == 0 && seen[8 * page[0]] == 1, "residency after the swap");
   free(seen);

   glt_expect_error(GL_NO_ERROR, compressed[i].name);
   free(blocks);
   free(back);
   glDeleteTextures(1, &tex);
}

int
main(void)
{
   glt_init(false);
   glt_require("GL_ARB_sparse_texture");
   has_sparse2 = glt_has("GL_ARB_sparse_texture2");

   test_required();
   test_depth(GL_DEPTH_COMPONENT16, GL_DEPTH_ATTACHMENT, "DEPTH_COMPONENT16");
   test_depth(GL_DEPTH_COMPONENT24, GL_DEPTH_ATTACHMENT, "DEPTH_COMPONENT24");
   test_depth(GL_DEPTH_COMPONENT32F, GL_DEPTH_ATTACHMENT, "DEPTH_COMPONENT32F");
   test_stencil(GL_STENCIL_INDEX8, GL_STENCIL_ATTACHMENT, "STENCIL_INDEX8");
   test_depth_stencil(GL_DEPTH24_STENCIL8, "DEPTH24_STENCIL8");
   test_depth_stencil(GL_DEPTH32F_STENCIL8, "DEPTH32F_STENCIL8");
   test_shadow();
   for (unsigned i = 0; i < GLT_ARRAY_SIZE(compressed); i++)
      test_compressed(i);

   return glt_finish();
}

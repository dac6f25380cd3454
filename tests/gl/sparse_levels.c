/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Levels of sparse textures (ARB_sparse_texture, 8.20.2): those that can be populated page by page,
 * and the tail, which is resident or not as a unit; and views (8.18), which share pages and tail with
 * the texture that they view.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "glt.h"

#define MAX_LEVELS 12

static bool has_sparse2;

struct texture {
   GLenum target;
   GLuint name;
   unsigned w, h, layers, levels;
   unsigned page_w, page_h;
   /** Levels before the tail. */
   unsigned sparse_levels;
   GLuint program;
};

static unsigned
minify(unsigned size, unsigned level)
{
   return size >> level ? size >> level : 1;
}

static bool
is_array(const struct texture *tex)
{
   return tex->target == GL_TEXTURE_2D_ARRAY;
}

/* Residency and value of each texel of a level and layer. */
static GLuint
look_program(const struct texture *tex)
{
   const char *const place = is_array(tex) ? "ivec3(at.xy, layer)" : "at.xy";
   char texture[128], read[128];

   snprintf(texture, sizeof(texture),
            "layout(binding = 0) uniform usampler2D%s tex;\n"
            "layout(location = 3) uniform int layer;",
            is_array(tex) ? "Array" : "");
   snprintf(read, sizeof(read),
            has_sparse2 ? "resident = sparseTexelsResidentARB(sparseTexelFetchARB(tex, %s, level, value));"
                        : "value = texelFetch(tex, %s, level);",
            place);
   return glt_look_program(has_sparse2 ? "#version 450\n#extension GL_ARB_sparse_texture2 : require\n"
                                       : "#version 450\n",
                           texture, read);
}

static void
query(struct texture *tex)
{
   GLint page[3], value = 0;

   glTextureParameteri(tex->name, GL_TEXTURE_MIN_FILTER, GL_NEAREST_MIPMAP_NEAREST);
   glTextureParameteri(tex->name, GL_TEXTURE_MAG_FILTER, GL_NEAREST);
   glt_page_size(tex->target, GL_R32UI, page);
   tex->page_w = page[0];
   tex->page_h = page[1];
   glGetTextureParameteriv(tex->name, GL_NUM_SPARSE_LEVELS_ARB, &value);
   tex->sparse_levels = value;
   tex->program = look_program(tex);
}

static struct texture
create(GLenum target, unsigned w, unsigned h, unsigned layers, unsigned levels)
{
   struct texture tex = {.target = target, .w = w, .h = h, .layers = layers, .levels = levels};

   glCreateTextures(target, 1, &tex.name);
   glTextureParameteri(tex.name, GL_TEXTURE_SPARSE_ARB, GL_TRUE);
   if (is_array(&tex))
      glTextureStorage3D(tex.name, levels, GL_R32UI, w, h, layers);
   else
      glTextureStorage2D(tex.name, levels, GL_R32UI, w, h);
   query(&tex);
   return tex;
}

static void
destroy(struct texture *tex)
{
   glDeleteProgram(tex->program);
   glDeleteTextures(1, &tex->name);
}

static uint32_t
texel_value(unsigned level, unsigned layer, unsigned x, unsigned y, uint32_t seed)
{
   return (((level << 4 | layer) << 12 | y) << 12 | x) ^ seed * 2654435761u;
}

static void
fill(const struct texture *tex, unsigned level, unsigned layer, uint32_t seed)
{
   const unsigned w = minify(tex->w, level), h = minify(tex->h, level);
   uint32_t *texels = malloc((size_t)w * h * 4);

   for (unsigned y = 0; y < h; y++) {
      for (unsigned x = 0; x < w; x++)
         texels[y * w + x] = texel_value(level, layer, x, y, seed);
   }
   if (is_array(tex))
      glTextureSubImage3D(tex->name, level, 0, 0, layer, w, h, 1, GL_RED_INTEGER, GL_UNSIGNED_INT,
                          texels);
   else
      glTextureSubImage2D(tex->name, level, 0, 0, w, h, GL_RED_INTEGER, GL_UNSIGNED_INT, texels);
   free(texels);
}

/* All of a level and layer is resident and holds what fill() put there, or nothing is. */
static void
expect_level(const struct texture *tex, unsigned level, unsigned layer, bool resident, uint32_t seed,
             const char *what)
{
   const unsigned w = minify(tex->w, level), h = minify(tex->h, level);

   glBindTextureUnit(0, tex->name);
   glProgramUniform1i(tex->program, 3, layer);
   uint32_t *seen = glt_look(tex->program, w, h, 1, level);
   for (unsigned i = 0; i < w * h; i++) {
      const uint32_t value = texel_value(level, layer, i % w, i / w, seed);

      if (has_sparse2 && seen[2 * i] != resident) {
         glt_fail("%s: level %u, layer %u: (%u, %u) is %sresident", what, level, layer, i % w, i / w,
                  seen[2 * i] ? "" : "not ");
         break;
      }
      if (has_sparse2 && !resident && seen[2 * i + 1] != 0) {
         glt_fail("%s: level %u, layer %u: (%u, %u) is 0x%x where nothing is", what, level, layer,
                  i % w, i / w, seen[2 * i + 1]);
         break;
      }
      if (resident && seen[2 * i + 1] != value) {
         glt_fail("%s: level %u, layer %u: (%u, %u) is 0x%x, not 0x%x", what, level, layer, i % w,
                  i / w, seen[2 * i + 1], value);
         break;
      }
   }
   free(seen);
}

static void
commit_level(const struct texture *tex, unsigned level, unsigned layer, unsigned layers,
             GLboolean commit)
{
   glTexturePageCommitmentEXT(tex->name, level, 0, 0, layer, minify(tex->w, level),
                              minify(tex->h, level), layers, commit);
}

static void
for_tail(const struct texture *tex, bool write, bool resident, uint32_t seed, const char *what)
{
   for (unsigned level = tex->sparse_levels; level < tex->levels; level++) {
      for (unsigned layer = 0; layer < tex->layers; layer++) {
         if (write)
            fill(tex, level, layer, seed);
         else
            expect_level(tex, level, layer, resident, seed, what);
      }
   }
}

/* "The levels comprising the tail are made resident or non-resident as a unit": whatever level and
 * layer of it is named. */
static void
test_tail(GLenum target, unsigned w, unsigned h, unsigned layers, unsigned levels)
{
   glt_begin("tail of %u x %u, %u layers", w, h, layers);
   struct texture tex = create(target, w, h, layers, levels);

   printf("%u x %u, %u layers: %u levels, %u of them sparse\n", w, h, layers, levels,
          tex.sparse_levels);
   glt_expect(tex.sparse_levels <= levels, "%u sparse levels of %u", tex.sparse_levels, levels);
   for (unsigned level = 0; level < levels; level++) {
      glt_expect(level < tex.sparse_levels || minify(w, level) < tex.page_w ||
                    minify(h, level) < tex.page_h,
                 "level %u is as large as a page and in the tail", level);
   }
   if (tex.sparse_levels == levels) {
      destroy(&tex);
      return;
   }
   for_tail(&tex, false, false, 0, "at first");

   for (unsigned level = 0; level < tex.sparse_levels; level++)
      commit_level(&tex, level, 0, layers, GL_TRUE);
   for_tail(&tex, false, false, 0, "with all other levels");

   const unsigned middle = (tex.sparse_levels + levels) / 2;
   commit_level(&tex, middle, layers - 1, 1, GL_TRUE);
   for_tail(&tex, true, true, 1, NULL);
   for_tail(&tex, false, true, 1, "committed");

   /* "If the pages were already committed, ... the content of those pages remains unmodified." */
   commit_level(&tex, levels - 1, 0, 1, GL_TRUE);
   for_tail(&tex, false, true, 1, "committed again");
   for (unsigned level = 0; level < tex.sparse_levels; level++) {
      for (unsigned layer = 0; layer < layers; layer++) {
         fill(&tex, level, layer, 2);
         expect_level(&tex, level, layer, true, 2, "above the tail");
      }
   }
   for_tail(&tex, false, true, 1, "after the levels above");
   for (unsigned level = 0; level < tex.sparse_levels; level++)
      commit_level(&tex, level, 0, layers, GL_FALSE);
   for_tail(&tex, false, true, 1, "alone");

   commit_level(&tex, tex.sparse_levels, 0, 1, GL_FALSE);
   for_tail(&tex, false, false, 0, "de-committed");
   for_tail(&tex, true, false, 3, NULL);
   for_tail(&tex, false, false, 0, "written to though not committed");
   glt_expect_error(GL_NO_ERROR, "tail");
   destroy(&tex);
}

/* Rendering and mipmap generation reach the tail. */
static void
test_tail_rendering(void)
{
   static const char vertex[] =
      "#version 450\n"
      "void main() {\n"
      "   gl_Position = vec4(gl_VertexID == 1 ? 3 : -1, gl_VertexID == 2 ? 3 : -1, 0, 1);\n"
      "}\n";
   /* What texel_value() says, of layer 0. */
   static const char fragment[] =
      "#version 450\n"
      "layout(location = 0) uniform uint level;\n"
      "layout(location = 0) out uint color;\n"
      "void main() {\n"
      "   color = ((level << 4) << 12 | uint(gl_FragCoord.y)) << 12 | uint(gl_FragCoord.x);\n"
      "}\n";
   GLuint fbo, vao;

   glt_begin("rendering to the tail");
   struct texture tex = create(GL_TEXTURE_2D, 512, 512, 1, 10);
   const GLuint program = glt_draw_program(vertex, fragment);
   glCreateFramebuffers(1, &fbo);
   glCreateVertexArrays(1, &vao);
   glBindVertexArray(vao);
   glBindFramebuffer(GL_FRAMEBUFFER, fbo);

   for (unsigned round = 0; round < 2; round++) {
      for (unsigned level = 0; level < tex.levels; level++)
         commit_level(&tex, level, 0, 1, round ? GL_TRUE : GL_FALSE);
      for (unsigned level = 0; level < tex.levels; level++) {
         glNamedFramebufferTexture(fbo, GL_COLOR_ATTACHMENT0, tex.name, level);
         glViewport(0, 0, minify(tex.w, level), minify(tex.h, level));
         glUseProgram(program);
         glUniform1ui(0, level);
         glDrawArrays(GL_TRIANGLES, 0, 3);
      }
      for (unsigned level = 0; level < tex.levels; level++)
         expect_level(&tex, level, 0, round, 0, round ? "drawn" : "drawn where nothing is");
   }
   glt_expect_error(GL_NO_ERROR, "rendering");
   glDeleteProgram(program);
   glDeleteFramebuffers(1, &fbo);
   glDeleteVertexArrays(1, &vao);
   destroy(&tex);
}

static void
test_generate(void)
{
   const unsigned size = 256, levels = 9;
   uint8_t *texels = malloc(size * size), seen = 0;
   GLuint tex;

   glt_begin("generated mipmaps");
   for (unsigned i = 0; i < size * size; i++)
      texels[i] = (i + i / size) % 2 ? 60 : 20;
   glCreateTextures(GL_TEXTURE_2D, 1, &tex);
   glTextureParameteri(tex, GL_TEXTURE_SPARSE_ARB, GL_TRUE);
   glTextureStorage2D(tex, levels, GL_R8, size, size);
   for (unsigned level = 0; level < levels; level++)
      glTexturePageCommitmentEXT(tex, level, 0, 0, 0, size >> level, size >> level, 1, GL_TRUE);
   glTextureSubImage2D(tex, 0, 0, 0, size, size, GL_RED, GL_UNSIGNED_BYTE, texels);
   glGenerateTextureMipmap(tex);
   for (unsigned level = 1; level < levels; level++) {
      const unsigned last = (size >> level) - 1;
      glGetTextureSubImage(tex, level, last, last, 0, 1, 1, 1, GL_RED, GL_UNSIGNED_BYTE, 1, &seen);
      glt_expect(seen >= 39 && seen <= 41, "level %u: %u", level, seen);
   }
   glt_expect_error(GL_NO_ERROR, "generate");
   free(texels);
   glDeleteTextures(1, &tex);
}

/* "Modifications to commitment of a texture via a view of it affect the parent texture and any other
 * views containing the modified pages." */
static void
test_views(void)
{
   GLint value = 0;

   glt_begin("views");
   struct texture tex = create(GL_TEXTURE_2D_ARRAY, 512, 512, 4, 10);
   struct texture view = {.target = GL_TEXTURE_2D, .w = 256, .h = 256, .layers = 1, .levels = 9};

   glGenTextures(1, &view.name);
   glTextureView(view.name, GL_TEXTURE_2D, tex.name, GL_R32UI, 1, 9, 2, 1);
   glt_expect_error(GL_NO_ERROR, "view");
   query(&view);
   glGetTextureParameteriv(view.name, GL_TEXTURE_SPARSE_ARB, &value);
   glt_expect(value == GL_TRUE, "the view of a sparse texture is not sparse");
   glt_expect(view.sparse_levels + 1 == tex.sparse_levels, "%u sparse levels, %u of its parent",
              view.sparse_levels, tex.sparse_levels);

   /* One level of one layer. */
   commit_level(&view, 0, 0, 1, GL_TRUE);
   fill(&view, 0, 0, 5);
   expect_level(&view, 0, 0, true, 5, "view");
   if (has_sparse2) {
      for (unsigned layer = 0; layer < 4; layer++) {
         expect_level(&tex, 0, layer, false, 0, "parent, level 0");
         if (layer != 2)
            expect_level(&tex, 1, layer, false, 0, "parent, other layers");
      }
   }
   fill(&tex, 1, 2, 6);
   expect_level(&tex, 1, 2, true, 6, "parent, the view's layer");
   commit_level(&tex, 1, 0, 4, GL_FALSE);
   expect_level(&view, 0, 0, false, 0, "view, de-committed by the parent");

   /* The tail: of all layers, also those that are not the view's. */
   if (tex.sparse_levels < tex.levels) {
      commit_level(&view, view.levels - 1, 0, 1, GL_TRUE);
      for_tail(&tex, true, true, 7, NULL);
      for_tail(&tex, false, true, 7, "tail, committed by the view");
      commit_level(&view, view.levels - 2, 0, 1, GL_FALSE);
      for_tail(&tex, false, false, 0, "tail, de-committed by the view");
   }

   /* A view of a view. */
   struct texture second = {.target = GL_TEXTURE_2D, .w = 128, .h = 128, .layers = 1, .levels = 1};
   glGenTextures(1, &second.name);
   glTextureView(second.name, GL_TEXTURE_2D, view.name, GL_R32UI, 1, 1, 0, 1);
   query(&second);
   commit_level(&second, 0, 0, 1, GL_TRUE);
   fill(&tex, 2, 2, 8);
   expect_level(&tex, 2, 2, true, 8, "parent, committed by a view of a view");
   if (has_sparse2)
      expect_level(&tex, 2, 0, false, 0, "parent, layer 0");

   /* The pages live as long as somebody sees them. */
   fill(&second, 0, 0, 9);
   destroy(&tex);
   destroy(&view);
   expect_level(&second, 0, 0, true, 9, "a view whose parent is gone");
   glt_expect_error(GL_NO_ERROR, "views");
   destroy(&second);
}

int
main(void)
{
   glt_init(false);
   glt_require("GL_ARB_sparse_texture");
   has_sparse2 = glt_has("GL_ARB_sparse_texture2");

   test_tail(GL_TEXTURE_2D, 1024, 512, 1, 11);
   test_tail(GL_TEXTURE_2D_ARRAY, 256, 256, 5, 9);
   if (has_sparse2) {
      test_tail(GL_TEXTURE_2D, 300, 1000, 1, 10);
      test_tail(GL_TEXTURE_2D, 40, 24, 1, 6);
   }
   test_tail_rendering();
   test_generate();
   test_views();

   return glt_finish();
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * GL_ARB_sparse_texture_clamp: every function that it defines, for every kind of texture, with another
 * minimum level of detail in each fragment.  Each level of the textures holds its own number, so what a
 * lookup returns is the level of detail, which must be (section 8.14, "Texture Minification", as modified)
 * what derivatives and biases give, clamped to the texture's range, and then at least the minimum.  Level 0
 * of sparse textures has no memory: residency codes must say so below a level of detail of 1, and only
 * there.
 *
 * The shader is the first argument; it is the one of the Vulkan test.
 */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "glt.h"

#ifndef GL_TEXTURE_SPARSE_ARB
#define GL_TEXTURE_SPARSE_ARB 0x91A6
#endif

#define PIXELS      64
#define FUNCTIONS   10u
#define SHADER_BIAS 1.25f
/* How exact a level of detail must be that comes from derivatives: drivers take fast logarithms. */
#define LOD_ERROR 0.07f

/** Numbered as KIND in the shader.  All levels have whole pages: mip tails are committed at once. */
struct kind {
   const char *name;
   GLenum target;
   unsigned size, levels, layers;
   /* Layers from here on are those that are sampled. */
   unsigned first_layer;
   bool shadow;
};

static const struct kind kinds[] = {
   {"1D", GL_TEXTURE_1D, 1024, 4, 1, 0, false},
   {"1D array", GL_TEXTURE_1D_ARRAY, 1024, 4, 2, 1, false},
   {"2D", GL_TEXTURE_2D, 1024, 4, 1, 0, false},
   {"2D array", GL_TEXTURE_2D_ARRAY, 1024, 4, 2, 1, false},
   {"3D", GL_TEXTURE_3D, 128, 3, 1, 0, false},
   {"cube", GL_TEXTURE_CUBE_MAP, 512, 3, 6, 0, false},
   {"cube array", GL_TEXTURE_CUBE_MAP_ARRAY, 512, 3, 12, 6, false},
   {"1D shadow", GL_TEXTURE_1D, 1024, 4, 1, 0, true},
   {"1D array shadow", GL_TEXTURE_1D_ARRAY, 1024, 4, 2, 1, true},
   {"2D shadow", GL_TEXTURE_2D, 1024, 4, 1, 0, true},
   {"2D array shadow", GL_TEXTURE_2D_ARRAY, 1024, 4, 2, 1, true},
   {"cube shadow", GL_TEXTURE_CUBE_MAP, 512, 3, 6, 0, true},
   {"cube array shadow", GL_TEXTURE_CUBE_MAP_ARRAY, 512, 3, 12, 6, true},
};

static const char *const functions[FUNCTIONS] = {
   "textureClamp",
   "textureClamp with bias",
   "textureOffsetClamp",
   "textureGradClamp",
   "textureGradOffsetClamp",
   "sparseTextureClamp",
   "sparseTextureClamp with bias",
   "sparseTextureOffsetClamp",
   "sparseTextureGradClamp",
   "sparseTextureGradOffsetClamp",
};

struct sampling {
   GLenum min, mag;
   float bias, min_lod, max_lod;
};

static const struct sampling samplings[] = {
   {GL_NEAREST_MIPMAP_LINEAR, GL_NEAREST, 0, -1000, 1000},
   {GL_LINEAR_MIPMAP_NEAREST, GL_NEAREST, 0.4f, -1000, 1000},
   {GL_NEAREST_MIPMAP_LINEAR, GL_NEAREST, -0.6f, 1.6f, 4.2f},
};

static const float bases[] = {-1.0f, 0.4f, 2.3f};
static const float mins[] = {0.0f, 0.3f, 3.1f};

/* ----------------------------------------------------------------- textures */

static bool
is_1d(const struct kind *kind)
{
   return kind->target == GL_TEXTURE_1D || kind->target == GL_TEXTURE_1D_ARRAY;
}

/* As glTexStorage*() counts them. */
static void
level_size(const struct kind *kind, unsigned level, unsigned size[3])
{
   const unsigned edge = kind->size >> level;

   size[0] = edge;
   size[1] = is_1d(kind) ? kind->layers : edge;
   size[2] = kind->target == GL_TEXTURE_3D ? edge : is_1d(kind) ? 1 : kind->layers;
}

static float
texel_value(const struct kind *kind, unsigned level, unsigned layer)
{
   if (layer < kind->first_layer)
      return kind->shadow ? 1.0f : 100.0f;
   return kind->shadow ? (float)level / 16.0f : (float)level;
}

static void
upload_level(const struct kind *kind, GLuint tex, unsigned level)
{
   const GLenum format = kind->shadow ? GL_DEPTH_COMPONENT : GL_RED;
   unsigned size[3];
   level_size(kind, level, size);

   const unsigned texels = size[0] * size[1] * size[2];
   const unsigned layer_texels = kind->target == GL_TEXTURE_3D ? texels : texels / kind->layers;
   float *data = malloc(texels * sizeof(*data));
   for (unsigned i = 0; i < texels; i++)
      data[i] = texel_value(kind, level, i / layer_texels);

   switch (kind->target) {
   case GL_TEXTURE_1D:
      glTextureSubImage1D(tex, level, 0, size[0], format, GL_FLOAT, data);
      break;
   case GL_TEXTURE_1D_ARRAY:
   case GL_TEXTURE_2D:
      glTextureSubImage2D(tex, level, 0, 0, size[0], size[1], format, GL_FLOAT, data);
      break;
   default:
      glTextureSubImage3D(tex, level, 0, 0, 0, size[0], size[1], size[2], format, GL_FLOAT, data);
      break;
   }
   free(data);
}

static void
commit_level(const struct kind *kind, unsigned level, bool commit)
{
   unsigned size[3];

   level_size(kind, level, size);
   glTexPageCommitmentARB(kind->target, level, 0, 0, 0, size[0], size[1], size[2], commit);
}

static GLuint
create_texture(const struct kind *kind, bool sparse)
{
   const GLenum internal = kind->shadow ? GL_DEPTH_COMPONENT32F : GL_R32F;
   unsigned size[3];
   GLuint tex;

   glCreateTextures(kind->target, 1, &tex);
   glBindTexture(kind->target, tex);
   if (sparse)
      glTextureParameteri(tex, GL_TEXTURE_SPARSE_ARB, GL_TRUE);
   level_size(kind, 0, size);
   switch (kind->target) {
   case GL_TEXTURE_1D:
      glTextureStorage1D(tex, kind->levels, internal, size[0]);
      break;
   case GL_TEXTURE_1D_ARRAY:
   case GL_TEXTURE_2D:
   case GL_TEXTURE_CUBE_MAP:
      glTextureStorage2D(tex, kind->levels, internal, size[0], size[1]);
      break;
   default:
      glTextureStorage3D(tex, kind->levels, internal, size[0], size[1], size[2]);
      break;
   }
   glt_expect_error(GL_NO_ERROR, "storage");

   for (unsigned level = 0; level < kind->levels; level++) {
      if (sparse)
         commit_level(kind, level, true);
      upload_level(kind, tex, level);
   }
   if (sparse)
      commit_level(kind, 0, false);
   glt_expect_error(GL_NO_ERROR, "texels");
   return tex;
}

static void
set_sampling(GLuint tex, const struct kind *kind, const struct sampling *s)
{
   glTextureParameteri(tex, GL_TEXTURE_MIN_FILTER, s->min);
   glTextureParameteri(tex, GL_TEXTURE_MAG_FILTER, s->mag);
   glTextureParameteri(tex, GL_TEXTURE_WRAP_S, GL_CLAMP_TO_EDGE);
   glTextureParameteri(tex, GL_TEXTURE_WRAP_T, GL_CLAMP_TO_EDGE);
   glTextureParameteri(tex, GL_TEXTURE_WRAP_R, GL_CLAMP_TO_EDGE);
   glTextureParameterf(tex, GL_TEXTURE_LOD_BIAS, s->bias);
   glTextureParameterf(tex, GL_TEXTURE_MIN_LOD, s->min_lod);
   glTextureParameterf(tex, GL_TEXTURE_MAX_LOD, s->max_lod);
   if (kind->shadow) {
      glTextureParameteri(tex, GL_TEXTURE_COMPARE_MODE, GL_COMPARE_REF_TO_TEXTURE);
      glTextureParameteri(tex, GL_TEXTURE_COMPARE_FUNC, GL_LEQUAL);
   }
}

/* ------------------------------------------------------------------ program */

static char *
read_file(const char *path)
{
   FILE *file = fopen(path, "r");
   char *text = calloc(1, 65536);

   if (!file || !text || !fread(text, 1, 65535, file)) {
      fprintf(stderr, "cannot read %s\n", path);
      exit(1);
   }
   fclose(file);
   return text;
}

static GLuint
create_program(const char *shader, unsigned kind)
{
   static const char vertex[] =
      "#version 450\n"
      "void main() {\n"
      "   gl_Position = vec4(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0, 0.5, 1.0);\n"
      "}\n";
   const size_t size = strlen(shader) + 100;
   const char *rest = strchr(shader, '\n') + 1;
   char *source = malloc(size);

   snprintf(source, size, "%.*s#define KIND %u\n%s", (int)(rest - shader), shader, kind, rest);
   const GLuint program = glt_draw_program(vertex, source);
   free(source);
   return program;
}

/* --------------------------------------------------------------- what must be */

struct lookup {
   const struct kind *kind;
   const struct sampling *sampling;
   unsigned function;
   bool sparse;
   float base, min;
};

static void
expect(bool condition, const struct lookup *l, unsigned pixel, float lod, float found,
       const char *what)
{
   glt_expect(condition, "%s: %s: sampler %u, base level %g, pixel %u,%u: found %g, level is %g", what,
              functions[l->function], (unsigned)(l->sampling - samplings), l->base, pixel % 8,
              pixel / 8, found, lod);
}

static void
check_pixel(const struct lookup *l, unsigned pixel, float found, bool resident)
{
   const struct sampling *s = l->sampling;
   const bool nearest = s->min == GL_LINEAR_MIPMAP_NEAREST;
   const bool shader_bias = l->function == 1 || l->function == 6;
   const float biased = l->base + s->bias + (shader_bias ? SHADER_BIAS : 0);
   const float min = l->min + 0.7f * (float)((pixel % 8 + pixel / 8 * 3) % 5);
   const float lod = fmaxf(fminf(fmaxf(biased, s->min_lod), s->max_lod), min);
   const float error = fabsf(biased - lod) > LOD_ERROR ? 0.001f : LOD_ERROR;
   const float level = fminf(fmaxf(lod, 0), (float)(l->kind->levels - 1));

   /* Undefined. */
   if (min > s->max_lod)
      return;

   if (!l->sparse || lod >= 1 + error) {
      const bool right =
         nearest ? fabsf(found - rintf(found)) < 0.001f && fabsf(found - level) <= 0.5f + error
                 : fabsf(found - level) <= error;
      expect(right, l, pixel, lod, found, "level");
   }

   if (l->function < 5)
      return;
   if (!l->sparse || lod >= (nearest ? 0.5f : 1.0f) + error)
      expect(resident, l, pixel, lod, resident, "resident");
   else if (lod < (nearest ? 0.5f : 1.0f) - error)
      expect(!resident, l, pixel, lod, resident, "not resident");
}

/* ------------------------------------------------------------------ drawing */

struct answer {
   float value;
   uint32_t resident;
};

static uint32_t
float_bits(float f)
{
   uint32_t bits;

   memcpy(&bits, &f, sizeof(bits));
   return bits;
}

static void
draw(GLuint program, const struct lookup *l, uint32_t target_first)
{
   const float distance = exp2f(l->base) / (float)l->kind->size;

   glUniform1ui(glGetUniformLocation(program, "push.function"), l->function);
   glUniform1ui(glGetUniformLocation(program, "push.distance_bits"), float_bits(distance));
   glUniform1ui(glGetUniformLocation(program, "push.min_bits"), float_bits(l->min));
   glUniform1ui(glGetUniformLocation(program, "push.target_first"), target_first);
   glDrawArrays(GL_TRIANGLES, 0, 3);
}

#define DRAWS (FUNCTIONS * GLT_ARRAY_SIZE(bases) * GLT_ARRAY_SIZE(mins))

static struct lookup
nth_lookup(struct lookup l, unsigned i)
{
   l.function = i % FUNCTIONS;
   l.base = bases[i / FUNCTIONS % GLT_ARRAY_SIZE(bases)];
   l.min = mins[i / FUNCTIONS / GLT_ARRAY_SIZE(bases)];
   return l;
}

static void
test_sampling(GLuint program, struct lookup lookup)
{
   GLuint target = glt_storage(1, DRAWS * PIXELS * sizeof(struct answer));
   static struct answer answers[DRAWS * PIXELS];
   unsigned count = 0;

   for (unsigned i = 0; i < DRAWS; i++) {
      const struct lookup l = nth_lookup(lookup, i);
      draw(program, &l, i * PIXELS);
   }
   glMemoryBarrier(GL_BUFFER_UPDATE_BARRIER_BIT);
   glGetNamedBufferSubData(target, 0, sizeof(answers), answers);

   for (unsigned i = 0; i < DRAWS; i++) {
      const struct lookup l = nth_lookup(lookup, i);
      for (unsigned pixel = 0; pixel < PIXELS; pixel++) {
         const struct answer *a = &answers[i * PIXELS + pixel];
         /* There is no such function for such a texture. */
         if (a->value == -1)
            continue;
         check_pixel(&l, pixel, a->value, a->resident);
         count++;
      }
   }
   glt_expect(count > 0, "nothing was looked up");
   glDeleteBuffers(1, &target);
}

static void
test_kind(const char *shader, const struct kind *kind, bool sparse)
{
   glt_begin("%s %s", sparse ? "sparse" : "plain", kind->name);

   GLuint tex = create_texture(kind, sparse);
   const GLuint program = create_program(shader, (unsigned)(kind - kinds));
   /* All of them for one kind: what they do is the same for all. */
   const unsigned count = kind->target == GL_TEXTURE_2D ? GLT_ARRAY_SIZE(samplings) : 2;

   glUseProgram(program);
   for (unsigned i = 0; i < count; i++) {
      set_sampling(tex, kind, &samplings[i]);
      test_sampling(program, (struct lookup){kind, &samplings[i], 0, sparse, 0, 0});
   }
   glt_expect_error(GL_NO_ERROR, "lookups");
   glDeleteProgram(program);
   glDeleteTextures(1, &tex);
}

static bool
can_be_sparse(const struct kind *kind)
{
   GLint count = 0;

   if (is_1d(kind))
      return false;
   glGetInternalformativ(kind->target, kind->shadow ? GL_DEPTH_COMPONENT32F : GL_R32F,
                         GL_NUM_VIRTUAL_PAGE_SIZES_ARB, 1, &count);
   return count > 0;
}

int
main(int argc, char **argv)
{
   GLuint fbo, vao;

   if (argc < 2) {
      fprintf(stderr, "the shader's file is missing\n");
      return 2;
   }
   glt_init(false);
   glt_require("GL_ARB_sparse_texture_clamp");

   glCreateFramebuffers(1, &fbo);
   glNamedFramebufferParameteri(fbo, GL_FRAMEBUFFER_DEFAULT_WIDTH, 8);
   glNamedFramebufferParameteri(fbo, GL_FRAMEBUFFER_DEFAULT_HEIGHT, 8);
   glBindFramebuffer(GL_FRAMEBUFFER, fbo);
   glViewport(0, 0, 8, 8);
   glCreateVertexArrays(1, &vao);
   glBindVertexArray(vao);

   char *shader = read_file(argv[1]);
   for (unsigned i = 0; i < GLT_ARRAY_SIZE(kinds); i++) {
      test_kind(shader, &kinds[i], false);
      if (can_be_sparse(&kinds[i]))
         test_kind(shader, &kinds[i], true);
      else
         printf("%s cannot be sparse\n", kinds[i].name);
   }
   free(shader);

   return glt_finish();
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Commits that the kernel refuses: "any command can generate OUT_OF_MEMORY" (ARB_sparse_texture, issue
 * 6).  Commits are gathered until something looks at the memory, so the error comes with the next
 * glGetError after that.  What was there before stays, nothing is lost on the way, and the program
 * goes on.  Only the simulator can be told to refuse: its fault injection is the one thing in these
 * tests that is not OpenGL.
 */

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "glt.h"

#define PAGE  128
#define PAGES 8

static int (*set_fault)(const char *spec);

static GLuint
sparse_texture(void)
{
   GLuint tex;

   glCreateTextures(GL_TEXTURE_2D, 1, &tex);
   glTextureParameteri(tex, GL_TEXTURE_SPARSE_ARB, GL_TRUE);
   glTextureStorage2D(tex, 1, GL_R32UI, PAGES * PAGE, PAGE);
   glBindTexture(GL_TEXTURE_2D, tex);
   return tex;
}

static void
commit(unsigned first, unsigned count, GLboolean commit)
{
   glTexPageCommitmentARB(GL_TEXTURE_2D, 0, first * PAGE, 0, 0, count * PAGE, PAGE, 1, commit);
}

static void
fill_page(GLuint tex, unsigned page, uint32_t value)
{
   static uint32_t texels[PAGE * PAGE];

   for (unsigned i = 0; i < PAGE * PAGE; i++)
      texels[i] = value + i;
   glTextureSubImage2D(tex, 0, page * PAGE, 0, PAGE, PAGE, GL_RED_INTEGER, GL_UNSIGNED_INT, texels);
}

static bool
page_holds(GLuint tex, unsigned page, uint32_t value)
{
   static uint32_t texels[PAGE * PAGE];

   memset(texels, 0, sizeof(texels));
   glGetTextureSubImage(tex, 0, page * PAGE, 0, 0, PAGE, PAGE, 1, GL_RED_INTEGER, GL_UNSIGNED_INT,
                        sizeof(texels), texels);
   for (unsigned i = 0; i < PAGE * PAGE; i++) {
      if (texels[i] != value + i)
         return false;
   }
   return true;
}

/* A batch with commits and de-commits: all of it or nothing. */
static void
test_refused_batch(void)
{
   glt_begin("refused batch");
   const GLuint tex = sparse_texture();
   commit(0, 4, GL_TRUE);
   for (unsigned i = 0; i < 4; i++)
      fill_page(tex, i, i << 20);
   glt_expect_error(GL_NO_ERROR, "before");

   set_fault("vm_bind:1+=ENOMEM");
   commit(4, 2, GL_TRUE);
   commit(1, 1, GL_FALSE);
   commit(2, 1, GL_FALSE);
   commit(2, 1, GL_TRUE);
   commit(5, 1, GL_FALSE);
   glFlush();
   glt_expect_error(GL_OUT_OF_MEMORY, "refused");
   glt_expect_error(GL_NO_ERROR, "refused once, told once");
   set_fault(NULL);

   for (unsigned i = 0; i < 4; i++)
      glt_expect(page_holds(tex, i, i << 20), "page %u is not what it was", i);

   commit(4, 2, GL_TRUE);
   fill_page(tex, 4, 0x4444);
   fill_page(tex, 5, 0x5555);
   glt_expect(page_holds(tex, 4, 0x4444) && page_holds(tex, 5, 0x5555), "pages of the next commit");
   commit(1, 1, GL_FALSE);
   commit(1, 1, GL_TRUE);
   fill_page(tex, 1, 0x1111);
   glt_expect(page_holds(tex, 1, 0x1111), "page that comes back");
   glt_expect(page_holds(tex, 0, 0) && page_holds(tex, 3, 3 << 20), "pages beside it");
   glt_expect_error(GL_NO_ERROR, "afterwards");
   glDeleteTextures(1, &tex);
}

/* The data is lost, and the program hears of it. */
static void
test_upload(void)
{
   glt_begin("upload");
   const GLuint tex = sparse_texture();

   set_fault("vm_bind:1+=ENOMEM");
   commit(0, 1, GL_TRUE);
   glt_expect_error(GL_NO_ERROR, "nothing was bound yet");
   fill_page(tex, 0, 1);
   glt_expect_error(GL_OUT_OF_MEMORY, "upload to a page without memory");
   set_fault(NULL);
   fill_page(tex, 0, 1);
   glt_expect(!page_holds(tex, 0, 1), "an uncommitted page keeps what is written");
   glt_expect_error(GL_NO_ERROR, "upload to an uncommitted page");
   glDeleteTextures(1, &tex);
}

/* However often: 64 times the memory that there is. */
static void
test_nothing_lost(void)
{
   const GLsizeiptr size = 64 << 20;
   GLuint buffer;

   glt_begin("nothing lost");
   glCreateBuffers(1, &buffer);
   glNamedBufferStorage(buffer, size, NULL, GL_SPARSE_STORAGE_BIT_ARB | GL_DYNAMIC_STORAGE_BIT);
   for (unsigned i = 0; i < 64; i++) {
      set_fault("mem:200M,vm_bind:1+=ENOMEM");
      glNamedBufferPageCommitmentARB(buffer, 0, size, GL_TRUE);
      glFlush();
      glt_expect_error(GL_OUT_OF_MEMORY, "refused");
   }
   set_fault("mem:200M");
   glNamedBufferPageCommitmentARB(buffer, 0, size, GL_TRUE);
   const uint32_t value = 0x12345678;
   uint32_t seen = 0;
   glNamedBufferSubData(buffer, size - 4, 4, &value);
   glGetNamedBufferSubData(buffer, size - 4, 4, &seen);
   glt_expect(seen == value, "0x%x", seen);
   glt_expect_error(GL_NO_ERROR, "as much as before");
   set_fault(NULL);
   glDeleteBuffers(1, &buffer);
}

/* A texture's whole life, in which each bind fails once: wherever that is, it ends in an error or in
 * nothing, and the next texture is as good as any. */
static void
test_each_bind(void)
{
   for (unsigned n = 1; n <= 12; n++) {
      char spec[64];

      glt_begin("bind %u fails", n);
      snprintf(spec, sizeof(spec), "vm_bind:%u=ENOMEM", n);
      set_fault(spec);
      GLuint tex = sparse_texture();
      commit(0, 3, GL_TRUE);
      fill_page(tex, 1, 7);
      commit(1, 1, GL_FALSE);
      glFlush();
      commit(0, PAGES, GL_TRUE);
      fill_page(tex, 5, 7);
      glDeleteTextures(1, &tex);
      glFinish();
      set_fault(NULL);
      for (GLenum error = glGetError(); error; error = glGetError())
         glt_expect(error == GL_OUT_OF_MEMORY || error == GL_INVALID_OPERATION, "error 0x%04x", error);

      tex = sparse_texture();
      commit(0, PAGES, GL_TRUE);
      fill_page(tex, n % PAGES, n);
      glt_expect(page_holds(tex, n % PAGES, n), "the next texture");
      glt_expect_error(GL_NO_ERROR, "the next texture");
      glDeleteTextures(1, &tex);
   }
}

/* A buffer of 1 GiB can be had; one that is larger can be refused, but not be less than it says. */
static void
test_large_buffer(void)
{
   const GLsizeiptr gib = 1l << 30;

   for (GLsizeiptr size = gib; size <= 3 * gib; size += gib) {
      const uint32_t value = 0xabcdef01;
      uint32_t seen = 0;
      GLuint buffer;

      glt_begin("buffer of %ld GiB", (long)(size / gib));
      glCreateBuffers(1, &buffer);
      glNamedBufferStorage(buffer, size, NULL, GL_SPARSE_STORAGE_BIT_ARB | GL_DYNAMIC_STORAGE_BIT);
      const GLenum error = glGetError();
      if (error) {
         glt_expect(error == GL_OUT_OF_MEMORY && size > gib, "error 0x%04x", error);
      } else {
         glNamedBufferPageCommitmentARB(buffer, size - 65536, 65536, GL_TRUE);
         glNamedBufferSubData(buffer, size - 4, 4, &value);
         glGetNamedBufferSubData(buffer, size - 4, 4, &seen);
         glt_expect(seen == value, "0x%x", seen);
         glt_expect_error(GL_NO_ERROR, "the last page");
      }
      glDeleteBuffers(1, &buffer);
   }
}

/* More addresses than there are: TexStorage and BufferStorage say so, and what is deleted can be had
 * again. */
static void
test_addresses(void)
{
   const GLsizeiptr size = 1l << 30;
   unsigned first = 0;

   for (unsigned round = 0; round < 2; round++) {
      GLuint buffers[64], count = 0;

      glt_begin("addresses, round %u", round);
      glCreateBuffers(GLT_ARRAY_SIZE(buffers), buffers);
      while (count < GLT_ARRAY_SIZE(buffers)) {
         glNamedBufferStorage(buffers[count], size, NULL, GL_SPARSE_STORAGE_BIT_ARB);
         const GLenum error = glGetError();
         if (error) {
            glt_expect(error == GL_OUT_OF_MEMORY, "error 0x%04x", error);
            break;
         }
         count++;
      }
      glt_expect(count > 0 && count < GLT_ARRAY_SIZE(buffers), "%u GiB of addresses", count);
      if (round == 0)
         first = count;
      glt_expect(count == first, "%u GiB, %u at first", count, first);
      glDeleteBuffers(GLT_ARRAY_SIZE(buffers), buffers);
      glFinish();
   }
}

int
main(int argc, char **argv)
{
   set_fault = (int (*)(const char *))dlsym(RTLD_DEFAULT, "drm_sim_set_fault");
   glt_init(false);
   glt_require("GL_ARB_sparse_texture");
   glt_require("GL_ARB_sparse_buffer");
   if (!set_fault)
      return GLT_SKIP;

   if (argc > 1 && !strcmp(argv[1], "addresses")) {
      test_addresses();
      return glt_finish();
   }
   test_refused_batch();
   test_upload();
   test_nothing_lost();
   test_each_bind();
   test_large_buffer();

   return glt_finish();
}

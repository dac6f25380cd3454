/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Sparse buffers in several contexts and threads: commitments of one that others have not heard of,
 * and contexts that come and go meanwhile.
 */

#include <EGL/egl.h>
#include <EGL/eglext.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "glt.h"

#define PAGES   8
#define THREADS 4
#define ROUNDS  40

static EGLDisplay dpy;
static EGLContext first;
static GLint page;

static GLuint
sparse_buffer(void)
{
   GLuint buffer;

   glCreateBuffers(1, &buffer);
   glNamedBufferStorage(buffer, (GLsizeiptr)PAGES * page, NULL,
                        GL_SPARSE_STORAGE_BIT_ARB | GL_DYNAMIC_STORAGE_BIT);
   return buffer;
}

static void
fill(GLuint buffer, uint32_t value)
{
   uint32_t *data = malloc(page);

   for (GLint i = 0; i < page / 4; i++)
      data[i] = value + i;
   glNamedBufferSubData(buffer, 0, page, data);
   free(data);
}

static void
check(GLuint buffer, uint32_t value, const char *what)
{
   uint32_t *data = calloc(1, page);

   glGetNamedBufferSubData(buffer, 0, page, data);
   for (GLint i = 0; i < page / 4; i++) {
      if (data[i] == value + i)
         continue;
      glt_fail("%s: word %d is 0x%x, not 0x%x", what, i, data[i], value + i);
      break;
   }
   free(data);
}

/* One that shares with the first. */
static EGLContext
create_context(void)
{
   static const EGLint attribs[] = {
      EGL_CONTEXT_MAJOR_VERSION, 4, EGL_CONTEXT_MINOR_VERSION, 5,
      EGL_CONTEXT_OPENGL_PROFILE_MASK, EGL_CONTEXT_OPENGL_CORE_PROFILE_BIT, EGL_NONE,
   };

   eglBindAPI(EGL_OPENGL_API);
   EGLContext ctx = eglCreateContext(dpy, EGL_NO_CONFIG_KHR, first, attribs);
   if (!ctx || !eglMakeCurrent(dpy, EGL_NO_SURFACE, EGL_NO_SURFACE, ctx))
      glt_fail("no context: 0x%x", eglGetError());
   return ctx;
}

static void
destroy_context(EGLContext ctx)
{
   eglMakeCurrent(dpy, EGL_NO_SURFACE, EGL_NO_SURFACE, EGL_NO_CONTEXT);
   eglDestroyContext(dpy, ctx);
   eglReleaseThread();
}

/* ------------------------------------------------- a commitment nobody waited for */

struct buffers {
   GLuint fought_over, other;
};

/* Takes the page away again, and gives its memory to another buffer. */
static void *
decommit_and_reuse(void *data)
{
   const struct buffers *buffers = data;
   EGLContext ctx = create_context();

   glNamedBufferPageCommitmentARB(buffers->fought_over, 0, page, GL_FALSE);
   glFinish();
   glNamedBufferPageCommitmentARB(buffers->other, 0, page, GL_TRUE);
   fill(buffers->other, 0x1000);
   glFinish();
   destroy_context(ctx);
   return NULL;
}

/* What two contexts do to one page with no flush between them leaves that page undefined; the pages of
 * others stay what they are. */
static void
test_no_flush_between(void)
{
   pthread_t thread;

   glt_begin("no flush between");
   struct buffers buffers = {sparse_buffer(), sparse_buffer()};
   glFinish();
   glNamedBufferPageCommitmentARB(buffers.fought_over, 0, page, GL_TRUE);
   pthread_create(&thread, NULL, decommit_and_reuse, &buffers);
   pthread_join(thread, NULL);
   fill(buffers.fought_over, 0xdead0000);
   glFinish();
   check(buffers.other, 0x1000, "another buffer");

   glDeleteBuffers(1, &buffers.fought_over);
   glDeleteBuffers(1, &buffers.other);
}

/* ------------------------------------------------------- contexts that come and go */

static void *
come_and_go(void *data)
{
   const uint32_t number = *(const uint32_t *)data;

   for (uint32_t round = 0; round < ROUNDS; round++) {
      const uint32_t value = number << 24 | round << 16;
      EGLContext ctx = create_context();
      const GLuint buffer = sparse_buffer();

      glNamedBufferPageCommitmentARB(buffer, 0, page, GL_TRUE);
      fill(buffer, value);
      glNamedBufferPageCommitmentARB(buffer, page, page, GL_TRUE);
      check(buffer, value, "a thread's own buffer");
      glNamedBufferPageCommitmentARB(buffer, 0, 2 * page, GL_FALSE);
      glDeleteBuffers(1, &buffer);
      destroy_context(ctx);
   }
   return NULL;
}

static void
test_come_and_go(void)
{
   pthread_t threads[THREADS];
   uint32_t numbers[THREADS];

   glt_begin("contexts come and go");
   for (uint32_t i = 0; i < THREADS; i++) {
      numbers[i] = i + 1;
      pthread_create(&threads[i], NULL, come_and_go, &numbers[i]);
   }
   for (uint32_t i = 0; i < THREADS; i++)
      pthread_join(threads[i], NULL);
}

int
main(void)
{
   glt_init(false);
   glt_require("GL_ARB_sparse_buffer");
   dpy = eglGetCurrentDisplay();
   first = eglGetCurrentContext();
   glGetIntegerv(GL_SPARSE_BUFFER_PAGE_SIZE_ARB, &page);

   test_no_flush_between();
   test_come_and_go();
   return glt_finish();
}

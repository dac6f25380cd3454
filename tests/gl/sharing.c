/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What leaves the driver and comes back: textures as dma-bufs (EGL_MESA_image_dma_buf_export,
 * EGL_EXT_image_dma_buf_import) and fences as sync files (EGL_ANDROID_native_fence_sync).
 */

#include <EGL/egl.h>
#include <EGL/eglext.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "glt.h"

#define SIZE 64

typedef void (*image_target_fn)(GLenum target, void *image, const GLint *attribs);

static GLuint
texture(uint32_t color)
{
   GLuint tex;

   glCreateTextures(GL_TEXTURE_2D, 1, &tex);
   glTextureStorage2D(tex, 1, GL_RGBA8, SIZE, SIZE);
   glClearTexImage(tex, 0, GL_RGBA, GL_UNSIGNED_BYTE, &color);
   return tex;
}

static uint32_t
first_texel(GLuint tex)
{
   uint32_t texel = 0;

   glGetTextureSubImage(tex, 0, 0, 0, 0, 1, 1, 1, GL_RGBA, GL_UNSIGNED_BYTE, 4, &texel);
   return texel;
}

static EGLImage
import(EGLDisplay dpy, int fd, int fourcc, EGLint stride, EGLint offset, EGLint height)
{
   const EGLAttrib attribs[] = {
      EGL_WIDTH, SIZE, EGL_HEIGHT, height, EGL_LINUX_DRM_FOURCC_EXT, fourcc,
      EGL_DMA_BUF_PLANE0_FD_EXT, fd, EGL_DMA_BUF_PLANE0_OFFSET_EXT, offset,
      EGL_DMA_BUF_PLANE0_PITCH_EXT, stride, EGL_NONE,
   };

   return eglCreateImage(dpy, EGL_NO_CONTEXT, EGL_LINUX_DMA_BUF_EXT, NULL, attribs);
}

/* The two textures are one piece of memory: what is drawn to one is in the other. */
static void
test_dma_buf(EGLDisplay dpy)
{
   PFNEGLEXPORTDMABUFIMAGEQUERYMESAPROC query =
      (void *)eglGetProcAddress("eglExportDMABUFImageQueryMESA");
   PFNEGLEXPORTDMABUFIMAGEMESAPROC export = (void *)eglGetProcAddress("eglExportDMABUFImageMESA");
   image_target_fn image_target = (void *)eglGetProcAddress("glEGLImageTargetTexStorageEXT");
   const uint32_t red = 0xff0000ff, blue = 0xffff0000;
   int fourcc, planes, fd = -1;
   EGLuint64KHR modifier;
   EGLint stride, offset;
   GLuint imported;

   glt_begin("dma-buf");
   const GLuint tex = texture(red);
   EGLImage image = eglCreateImage(dpy, eglGetCurrentContext(), EGL_GL_TEXTURE_2D,
                                   (EGLClientBuffer)(uintptr_t)tex, NULL);
   glt_expect(image != EGL_NO_IMAGE, "no image of a texture: 0x%x", eglGetError());
   glt_expect(query(dpy, image, &fourcc, &planes, &modifier) && planes == 1, "query");
   glt_expect(export(dpy, image, &fd, &stride, &offset) && fd >= 0, "export");

   EGLImage back = import(dpy, fd, fourcc, stride, offset, SIZE);
   glt_expect(back != EGL_NO_IMAGE, "import: 0x%x", eglGetError());
   glCreateTextures(GL_TEXTURE_2D, 1, &imported);
   glBindTexture(GL_TEXTURE_2D, imported);
   image_target(GL_TEXTURE_2D, back, NULL);
   glt_expect_error(GL_NO_ERROR, "texture of an image");
   glt_expect(first_texel(imported) == red, "imported: 0x%08x", first_texel(imported));

   glClearTexImage(tex, 0, GL_RGBA, GL_UNSIGNED_BYTE, &blue);
   glFinish();
   glt_expect(first_texel(imported) == blue, "not the same memory: 0x%08x", first_texel(imported));

   /* A picture that is larger than the memory behind it. */
   EGLImage large = import(dpy, fd, fourcc, stride, offset, 1 << 14);
   glt_expect(large == EGL_NO_IMAGE, "more was imported than there is");
   EGLImage far = import(dpy, fd, fourcc, stride, 1 << 30, SIZE);
   glt_expect(far == EGL_NO_IMAGE, "memory beyond the end was imported");

   close(fd);
   eglDestroyImage(dpy, image);
   eglDestroyImage(dpy, back);
   glDeleteTextures(1, &tex);
   glDeleteTextures(1, &imported);
}

/* The dma-buf behind a texture. */
static int
export_fd(EGLDisplay dpy, EGLImage image)
{
   PFNEGLEXPORTDMABUFIMAGEMESAPROC export = (void *)eglGetProcAddress("eglExportDMABUFImageMESA");
   EGLint stride = 0, offset = 0;
   int fd = -1;

   glt_expect(export(dpy, image, &fd, &stride, &offset) && fd >= 0 && offset == 0, "export");
   return fd;
}

static const char all_of_it[] =
   "#version 450\n"
   "void main() {\n"
   "   const vec2 corners[3] = vec2[3](vec2(-1, -1), vec2(3, -1), vec2(-1, 3));\n"
   "   gl_Position = vec4(corners[gl_VertexID], 0, 1);\n"
   "}\n";

static const char one_texel[] =
   "#version 450\n"
   "layout(binding = 0) uniform sampler2D tex;\n"
   "layout(location = 0) out vec4 color;\n"
   "void main() { color = texelFetch(tex, ivec2(0), 0); }\n";

static const char store_green[] =
   "#version 450\n"
   "layout(binding = 0, rgba8) uniform writeonly image2D img;\n"
   "layout(location = 0) out vec4 color;\n"
   "void main() {\n"
   "   imageStore(img, ivec2(gl_FragCoord.xy), vec4(0, 1, 0, 1));\n"
   "   color = vec4(1);\n"
   "}\n";

/* Enough work that it goes on for a while after it was flushed. */
static const char slow_green[] =
   "#version 450\n"
   "layout(location = 0) out vec4 color;\n"
   "void main() {\n"
   "   float x = gl_FragCoord.x;\n"
   "   for (int i = 0; i < 2000; i++)\n"
   "      x = fract(x * 1.37 + 0.1);\n"
   "   color = vec4(x < 0 ? 1 : 0, 1, 0, 1);\n"
   "}\n";

static GLuint
framebuffer(GLuint tex, GLint size)
{
   GLuint fbo;

   glCreateFramebuffers(1, &fbo);
   glNamedFramebufferTexture(fbo, GL_COLOR_ATTACHMENT0, tex, 0);
   glBindFramebuffer(GL_FRAMEBUFFER, fbo);
   glViewport(0, 0, size, size);
   return fbo;
}

static EGLImage
image_of(EGLDisplay dpy, GLuint tex)
{
   EGLImage image = eglCreateImage(dpy, eglGetCurrentContext(), EGL_GL_TEXTURE_2D,
                                   (EGLClientBuffer)(uintptr_t)tex, NULL);

   glt_expect(image != EGL_NO_IMAGE, "no image of a texture: 0x%x", eglGetError());
   return image;
}

/* A texture that is bound to draw from while it leaves: what the others write is what is drawn from
 * there on, with nothing bound anew. */
static void
test_leaves_while_bound(EGLDisplay dpy, GLint size)
{
   const uint32_t red = 0xff0000ff, blue = 0xffff0000;
   GLuint tex, target = texture(0);

   glt_begin("leaves while bound, %d", size);
   glCreateTextures(GL_TEXTURE_2D, 1, &tex);
   glTextureStorage2D(tex, 1, GL_RGBA8, size, size);
   glClearTexImage(tex, 0, GL_RGBA, GL_UNSIGNED_BYTE, &red);
   GLuint fbo = framebuffer(target, SIZE);
   GLuint program = glt_draw_program(all_of_it, one_texel);
   glUseProgram(program);
   glBindTextureUnit(0, tex);
   glDrawArrays(GL_TRIANGLES, 0, 3);
   glFinish();
   glt_expect(first_texel(target) == red, "before: 0x%08x", first_texel(target));

   EGLImage image = image_of(dpy, tex);
   const int fd = export_fd(dpy, image);
   uint32_t *map = mmap(NULL, 4, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
   glt_expect(map != MAP_FAILED, "no map");
   glt_expect(*map == red, "exported: 0x%08x", *map);
   *map = blue;
   glDrawArrays(GL_TRIANGLES, 0, 3);
   glFinish();
   glt_expect(first_texel(target) == blue, "after: 0x%08x", first_texel(target));

   munmap(map, 4);
   close(fd);
   eglDestroyImage(dpy, image);
   glDeleteProgram(program);
   glDeleteFramebuffers(1, &fbo);
   glDeleteTextures(1, &tex);
   glDeleteTextures(1, &target);
}

static void
expect_texels(GLuint tex, GLint size, uint32_t colour)
{
   uint32_t *texels = calloc(size * size, sizeof(*texels));

   glGetTextureImage(tex, 0, GL_RGBA, GL_UNSIGNED_BYTE, size * size * 4, texels);
   for (GLint i = 0; i < size * size; i++) {
      if (texels[i] == colour)
         continue;
      glt_fail("texel %d is 0x%08x", i, texels[i]);
      break;
   }
   free(texels);
}

/* A texture that is drawn to while it leaves loses nothing of what is drawn. */
static void
test_leaves_while_drawn(EGLDisplay dpy, GLint size)
{
   GLuint tex;

   glt_begin("leaves while drawn, %d", size);
   glCreateTextures(GL_TEXTURE_2D, 1, &tex);
   glTextureStorage2D(tex, 1, GL_RGBA8, size, size);
   GLuint fbo = framebuffer(tex, size);
   GLuint program = glt_draw_program(all_of_it, slow_green);
   EGLImage image = image_of(dpy, tex);

   glUseProgram(program);
   glClear(GL_COLOR_BUFFER_BIT);
   glFinish();
   for (unsigned i = 0; i < 4; i++)
      glDrawArrays(GL_TRIANGLES, 0, 3);
   glFlush();
   const int fd = export_fd(dpy, image);
   glFinish();
   expect_texels(tex, size, 0xff00ff00);

   close(fd);
   eglDestroyImage(dpy, image);
   glDeleteProgram(program);
   glDeleteFramebuffers(1, &fbo);
   glDeleteTextures(1, &tex);
}

/* The same of what shaders write to it as an image, which has not even been flushed when it leaves: it is there once
 * that is done, for all who look. */
static void
test_leaves_while_written(EGLDisplay dpy, GLint size, bool image_first)
{
   const uint32_t red = 0xff0000ff, green = 0xff00ff00;
   GLuint tex, target;

   glt_begin("leaves while written, %d, %s", size, image_first ? "an image before" : "an image behind");
   glCreateTextures(GL_TEXTURE_2D, 1, &tex);
   glTextureStorage2D(tex, 1, GL_RGBA8, size, size);
   glClearTexImage(tex, 0, GL_RGBA, GL_UNSIGNED_BYTE, &red);
   glCreateTextures(GL_TEXTURE_2D, 1, &target);
   glTextureStorage2D(target, 1, GL_RGBA8, size, size);
   GLuint fbo = framebuffer(target, size);
   GLuint program = glt_draw_program(all_of_it, store_green);
   EGLImage image = image_first ? image_of(dpy, tex) : EGL_NO_IMAGE;

   glUseProgram(program);
   glBindImageTexture(0, tex, 0, GL_FALSE, 0, GL_WRITE_ONLY, GL_RGBA8);
   glDrawArrays(GL_TRIANGLES, 0, 3);
   if (!image_first)
      image = image_of(dpy, tex);
   const int fd = export_fd(dpy, image);
   glFinish();
   const uint32_t *map = mmap(NULL, size * size * 4, PROT_READ, MAP_SHARED, fd, 0);
   glt_expect(map != MAP_FAILED, "no map");
   glt_expect(map[0] == green, "exported: 0x%08x", map[0]);
   expect_texels(tex, size, green);

   munmap((void *)map, size * size * 4);
   close(fd);
   eglDestroyImage(dpy, image);
   glDeleteProgram(program);
   glDeleteFramebuffers(1, &fbo);
   glDeleteTextures(1, &tex);
   glDeleteTextures(1, &target);
}

/* A fence is a file that becomes readable, and can be waited for by another context's work. */
static void
test_sync_file(EGLDisplay dpy)
{
   PFNEGLDUPNATIVEFENCEFDANDROIDPROC dup_fence =
      (void *)eglGetProcAddress("eglDupNativeFenceFDANDROID");

   glt_begin("sync file");
   const GLuint tex = texture(0);
   EGLSync sync = eglCreateSync(dpy, EGL_SYNC_NATIVE_FENCE_ANDROID, NULL);
   glt_expect(sync != EGL_NO_SYNC, "no fence: 0x%x", eglGetError());
   glFlush();
   const int fd = dup_fence(dpy, sync);
   glt_expect(fd >= 0, "no sync file: 0x%x", eglGetError());

   struct pollfd wait = {.fd = fd, .events = POLLIN};
   glt_expect(poll(&wait, 1, 60000) == 1 && (wait.revents & POLLIN), "the fence never signals");

   /* The new fence owns its fd. */
   const EGLAttrib attribs[] = {EGL_SYNC_NATIVE_FENCE_FD_ANDROID, fd, EGL_NONE};
   EGLSync imported = eglCreateSync(dpy, EGL_SYNC_NATIVE_FENCE_ANDROID, attribs);
   glt_expect(imported != EGL_NO_SYNC, "import: 0x%x", eglGetError());
   glt_expect(eglWaitSync(dpy, imported, 0), "wait: 0x%x", eglGetError());
   glt_expect(first_texel(tex) == 0, "drawing after a wait");

   eglDestroySync(dpy, imported);
   eglDestroySync(dpy, sync);
   glDeleteTextures(1, &tex);
}

int
main(void)
{
   glt_init(false);
   GLuint vao;
   glCreateVertexArrays(1, &vao);
   glBindVertexArray(vao);
   test_dma_buf(eglGetCurrentDisplay());
   /* In memory that it shares with others, and in memory of its own. */
   test_leaves_while_bound(eglGetCurrentDisplay(), SIZE);
   test_leaves_while_bound(eglGetCurrentDisplay(), 4 * SIZE);
   test_leaves_while_drawn(eglGetCurrentDisplay(), SIZE);
   test_leaves_while_drawn(eglGetCurrentDisplay(), 4 * SIZE);
   for (unsigned i = 0; i < 4; i++)
      test_leaves_while_written(eglGetCurrentDisplay(), i % 2 ? SIZE : 4 * SIZE, i / 2);
   test_sync_file(eglGetCurrentDisplay());
   return glt_finish();
}

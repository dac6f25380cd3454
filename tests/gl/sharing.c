/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What leaves the driver and comes back: textures as dma-bufs (EGL_MESA_image_dma_buf_export,
 * EGL_EXT_image_dma_buf_import) and fences as sync files (EGL_ANDROID_native_fence_sync).
 */

#include <EGL/egl.h>
#include <EGL/eglext.h>
#include <poll.h>
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
   test_dma_buf(eglGetCurrentDisplay());
   test_sync_file(eglGetCurrentDisplay());
   return glt_finish();
}

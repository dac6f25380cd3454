/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See glt.h.
 */

#include "glt.h"

#include <EGL/egl.h>
#include <EGL/eglext.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAILURES_SHOWN 100

static char current[128] = "start";
static unsigned failures;

static void
die(int status, const char *format, ...)
{
   va_list args;

   va_start(args, format);
   vfprintf(stderr, format, args);
   va_end(args);
   fprintf(stderr, "\n");
   exit(status);
}

/* libgbm comes with the driver; its header need not be there. */
static void *
gbm_device(void)
{
   void *lib = dlopen("libgbm.so.1", RTLD_NOW);
   void *(*create)(int) = lib ? (void *(*)(int))dlsym(lib, "gbm_create_device") : NULL;
   const int fd = open("/dev/dri/renderD128", O_RDWR | O_CLOEXEC);
   void *gbm = create && fd >= 0 ? create(fd) : NULL;

   if (!gbm)
      die(1, "no GBM device on /dev/dri/renderD128");
   return gbm;
}

static void
make_current(EGLDisplay dpy, EGLenum api, const EGLint *attribs, const char *what)
{
   if (!eglInitialize(dpy, NULL, NULL))
      die(1, "eglInitialize: 0x%x", eglGetError());
   eglBindAPI(api);
   EGLContext ctx = eglCreateContext(dpy, EGL_NO_CONFIG_KHR, EGL_NO_CONTEXT, attribs);
   if (!ctx || !eglMakeCurrent(dpy, EGL_NO_SURFACE, EGL_NO_SURFACE, ctx))
      die(1, "no %s context: 0x%x", what, eglGetError());

   const char *renderer = (const char *)glGetString(GL_RENDERER);
   const char *wanted = getenv("GLT_RENDERER");
   printf("%s\n", renderer);
   if (wanted && !strstr(renderer, wanted))
      die(1, "this is not %s", wanted);
}

static EGLDisplay
surfaceless_display(void)
{
   return eglGetPlatformDisplay(EGL_PLATFORM_SURFACELESS_MESA, EGL_DEFAULT_DISPLAY, NULL);
}

void
glt_init(bool gbm)
{
   static const EGLint attribs[] = {
      EGL_CONTEXT_MAJOR_VERSION, 4, EGL_CONTEXT_MINOR_VERSION, 5,
      EGL_CONTEXT_OPENGL_PROFILE_MASK, EGL_CONTEXT_OPENGL_CORE_PROFILE_BIT, EGL_NONE,
   };
   EGLDisplay dpy = gbm ? eglGetPlatformDisplay(EGL_PLATFORM_GBM_MESA, gbm_device(), NULL) :
                          surfaceless_display();

   make_current(dpy, EGL_OPENGL_API, attribs, "OpenGL 4.5");
}

void
glt_init_es(void)
{
   static const EGLint attribs[] = {
      EGL_CONTEXT_MAJOR_VERSION, 3, EGL_CONTEXT_MINOR_VERSION, 1, EGL_NONE,
   };

   make_current(surfaceless_display(), EGL_OPENGL_ES_API, attribs, "OpenGL ES 3.1");
}

bool
glt_has(const char *extension)
{
   GLint count;

   glGetIntegerv(GL_NUM_EXTENSIONS, &count);
   for (GLint i = 0; i < count; i++) {
      if (!strcmp((const char *)glGetStringi(GL_EXTENSIONS, i), extension))
         return true;
   }
   return false;
}

void
glt_require(const char *extension)
{
   if (!glt_has(extension))
      die(GLT_SKIP, "skipped: the driver has no %s", extension);
}

void
glt_begin(const char *format, ...)
{
   va_list args;

   va_start(args, format);
   vsnprintf(current, sizeof(current), format, args);
   va_end(args);
   if (getenv("GLT_VERBOSE"))
      fprintf(stderr, "-- %s\n", current);
   while (glGetError())
      ;
}

void
glt_fail(const char *format, ...)
{
   va_list args;

   if (failures++ >= FAILURES_SHOWN)
      return;
   fprintf(stderr, "%s: ", current);
   va_start(args, format);
   vfprintf(stderr, format, args);
   va_end(args);
   fprintf(stderr, "\n");
}

void
glt_expect_error(GLenum error, const char *what)
{
   const GLenum found = glGetError();

   if (found != error)
      glt_fail("%s: error 0x%04x, not 0x%04x", what, found, error);
}

int
glt_finish(void)
{
   glt_expect_error(GL_NO_ERROR, "at the end");
   printf("%u failures\n", failures);
   return failures ? 1 : 0;
}

static GLuint
compile(GLenum stage, const char *source)
{
   const GLuint shader = glCreateShader(stage);
   char log[4096] = "";
   GLint status;

   glShaderSource(shader, 1, &source, NULL);
   glCompileShader(shader);
   glGetShaderiv(shader, GL_COMPILE_STATUS, &status);
   if (!status) {
      glGetShaderInfoLog(shader, sizeof(log), NULL, log);
      die(1, "%s: %s\n%s", current, log, source);
   }
   return shader;
}

static GLuint
link_program(GLuint first, GLuint second)
{
   const GLuint program = glCreateProgram();
   char log[4096] = "";
   GLint status;

   glAttachShader(program, first);
   if (second)
      glAttachShader(program, second);
   glLinkProgram(program);
   glGetProgramiv(program, GL_LINK_STATUS, &status);
   if (!status) {
      glGetProgramInfoLog(program, sizeof(log), NULL, log);
      die(1, "%s: %s", current, log);
   }
   glDeleteShader(first);
   if (second)
      glDeleteShader(second);
   return program;
}

GLuint
glt_compute_program(const char *source)
{
   return link_program(compile(GL_COMPUTE_SHADER, source), 0);
}

GLuint
glt_draw_program(const char *vertex, const char *fragment)
{
   return link_program(compile(GL_VERTEX_SHADER, vertex), compile(GL_FRAGMENT_SHADER, fragment));
}

GLuint
glt_storage(GLuint binding, GLsizeiptr size)
{
   GLuint buffer;

   glGenBuffers(1, &buffer);
   glBindBufferBase(GL_SHADER_STORAGE_BUFFER, binding, buffer);
   glBufferStorage(GL_SHADER_STORAGE_BUFFER, size, NULL, GL_MAP_READ_BIT | GL_DYNAMIC_STORAGE_BIT);
   glClearBufferData(GL_SHADER_STORAGE_BUFFER, GL_R32UI, GL_RED_INTEGER, GL_UNSIGNED_INT, NULL);
   return buffer;
}

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

bool
glt_page_size(GLenum target, GLenum format, GLint page[3])
{
   static const GLenum names[] = {
      GL_VIRTUAL_PAGE_SIZE_X_ARB, GL_VIRTUAL_PAGE_SIZE_Y_ARB, GL_VIRTUAL_PAGE_SIZE_Z_ARB,
   };
   GLint count = 0;

   glGetInternalformativ(target, format, GL_NUM_VIRTUAL_PAGE_SIZES_ARB, 1, &count);
   for (unsigned i = 0; i < 3; i++) {
      page[i] = 0;
      glGetInternalformativ(target, format, names[i], 1, &page[i]);
   }
   return count > 0;
}

void
glt_standard_page_size(GLenum target, unsigned texel_B, GLint page[3])
{
   /* By bytes of a texel: 1, 2, 4, 8, 16. */
   static const GLint flat[][3] = {
      {256, 256, 1}, {256, 128, 1}, {128, 128, 1}, {128, 64, 1}, {64, 64, 1}};
   static const GLint deep[][3] = {
      {64, 32, 32}, {32, 32, 32}, {32, 32, 16}, {32, 16, 16}, {16, 16, 16}};
   unsigned i = 0;

   while (1u << i < texel_B)
      i++;
   memcpy(page, target == GL_TEXTURE_3D ? deep[i] : flat[i], sizeof(flat[i]));
}

GLuint
glt_storage(GLuint binding, GLsizeiptr size_B)
{
   void *zeros = calloc(1, size_B);
   GLuint buffer;

   glGenBuffers(1, &buffer);
   glBindBufferBase(GL_SHADER_STORAGE_BUFFER, binding, buffer);
   glBufferData(GL_SHADER_STORAGE_BUFFER, size_B, zeros, GL_STATIC_READ);
   free(zeros);
   return buffer;
}

void *
glt_compute(GLuint program, GLuint x, GLuint y, GLuint z, GLsizeiptr size_B)
{
   const GLuint buffer = glt_storage(0, size_B);
   void *seen = malloc(size_B);

   glUseProgram(program);
   glDispatchCompute(x, y, z);
   glMemoryBarrier(GL_BUFFER_UPDATE_BARRIER_BIT);
   /* OpenGL ES has no glGetBufferSubData(). */
   const void *map = glMapBufferRange(GL_SHADER_STORAGE_BUFFER, 0, size_B, GL_MAP_READ_BIT);
   if (!map)
      die(1, "%s: the buffer of what was seen is not mapped: 0x%x", current, glGetError());
   memcpy(seen, map, size_B);
   glUnmapBuffer(GL_SHADER_STORAGE_BUFFER);
   glDeleteBuffers(1, &buffer);
   return seen;
}

GLuint
glt_look_program(const char *head, const char *texture, const char *read)
{
   char source[2048];

   snprintf(source, sizeof(source),
            "%s"
            "layout(local_size_x = 8, local_size_y = 8) in;\n"
            "%s\n"
            "layout(location = 1) uniform ivec3 size;\n"
            "layout(location = 2) uniform int level;\n"
            "layout(std430, binding = 0) buffer Seen { uvec2 seen[]; };\n"
            "void main() {\n"
            "   ivec3 at = ivec3(gl_GlobalInvocationID);\n"
            "   if (any(greaterThanEqual(at, size)))\n"
            "      return;\n"
            "   uvec4 value = uvec4(0xdead);\n"
            "   bool resident = true;\n"
            "   %s\n"
            "   seen[(at.z * size.y + at.y) * size.x + at.x] = uvec2(resident ? 1 : 0, value.r);\n"
            "}\n",
            head, texture, read);
   return glt_compute_program(source);
}

uint32_t *
glt_look(GLuint program, GLint w, GLint h, GLint d, GLint level)
{
   glUseProgram(program);
   glUniform3i(1, w, h, d);
   glUniform1i(2, level);
   return glt_compute(program, (w + 7) / 8, (h + 7) / 8, d, (GLsizeiptr)w * h * d * 8);
}

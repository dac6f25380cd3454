/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What the OpenGL tests share: a context without a window, programs, and ways to say what is wrong.
 * Knows EGL and OpenGL; must never know which driver it runs on.
 */

#ifndef GLT_H
#define GLT_H

#include <stdbool.h>
#include <stdint.h>

#define GL_GLEXT_PROTOTYPES
#include <GL/glcorearb.h>

/** Exit status of a test that cannot be run here. */
#define GLT_SKIP 77

#define GLT_ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/** Makes an OpenGL 4.5 context current: on a GBM device of the first render node if \p gbm, else on
 * no window system at all.  Ends the program with a message if there is none. */
void glt_init(bool gbm);

/** The same of OpenGL ES, 3.1 or a later one that it is a part of, on no window system.  What both
 * APIs have is called by the same names. */
void glt_init_es(void);

/** Ends the program with GLT_SKIP if an extension is missing. */
void glt_require(const char *extension);
bool glt_has(const char *extension);

/** The test that is running, for messages. */
void glt_begin(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** Counts a failure and says what it was; a hundred in full. */
void glt_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define glt_expect(condition, ...)                                                               \
   do {                                                                                          \
      if (!(condition))                                                                          \
         glt_fail(__VA_ARGS__);                                                                  \
   } while (0)

/** Takes the error that GL has, and fails if it is not this one. */
void glt_expect_error(GLenum error, const char *what);

/** How many failures there were: the exit status of main(). */
int glt_finish(void);

/** Ends the program with the log if it does not compile or link. */
GLuint glt_compute_program(const char *source);
GLuint glt_draw_program(const char *vertex, const char *fragment);

/** The first of the page sizes of a format; without any, false and zeros. */
bool glt_page_size(GLenum target, GLenum format, GLint page[3]);

/** ARB_sparse_texture2, "standard virtual page sizes"; of textures with one sample. */
void glt_standard_page_size(GLenum target, unsigned texel_B, GLint page[3]);

/** A shader storage buffer of zeros at a binding. */
GLuint glt_storage(GLuint binding, GLsizeiptr size_B);

/** Runs a compute program in that many groups, with a storage buffer of zeros at binding 0.  Returns what
 * it wrote there, the caller's to free. */
void *glt_compute(GLuint program, GLuint x, GLuint y, GLuint z, GLsizeiptr size_B);

/** A program for glt_look().  \p head is its version, extensions and precisions, \p texture declares what
 * it looks at, \p read puts into `bool resident` and `uvec4 value` what is at `ivec3 at` of `int level`. */
GLuint glt_look_program(const char *head, const char *texture, const char *read);

/** What the program sees of w x h x d texels of a level: two words each, whether it is resident and its
 * red value.  The caller's to free. */
uint32_t *glt_look(GLuint program, GLint w, GLint h, GLint d, GLint level);

#endif /* GLT_H */

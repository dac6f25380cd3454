/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The driver is loaded, draws, and is the one that was asked for: one triangle, read back.
 */

#include <string.h>

#include "glt.h"

static const char vertex[] =
   "#version 450\n"
   "void main() {\n"
   "   const vec2 corners[3] = vec2[3](vec2(-1, -1), vec2(3, -1), vec2(-1, 3));\n"
   "   gl_Position = vec4(corners[gl_VertexID] * 0.5, 0, 1);\n"
   "}\n";

static const char fragment[] =
   "#version 450\n"
   "layout(location = 0) out vec4 color;\n"
   "void main() { color = vec4(0, 1, 0, 1); }\n";

int
main(int argc, char **argv)
{
   static uint32_t pixels[64 * 64];
   GLuint texture, fbo, vao;

   glt_init(argc > 1 && !strcmp(argv[1], "gbm"));
   glt_begin("triangle");

   glCreateTextures(GL_TEXTURE_2D, 1, &texture);
   glTextureStorage2D(texture, 1, GL_RGBA8, 64, 64);
   glCreateFramebuffers(1, &fbo);
   glNamedFramebufferTexture(fbo, GL_COLOR_ATTACHMENT0, texture, 0);
   glBindFramebuffer(GL_FRAMEBUFFER, fbo);
   glViewport(0, 0, 64, 64);
   glClearColor(1, 0, 0, 1);
   glClear(GL_COLOR_BUFFER_BIT);

   glCreateVertexArrays(1, &vao);
   glBindVertexArray(vao);
   glUseProgram(glt_draw_program(vertex, fragment));
   glDrawArrays(GL_TRIANGLES, 0, 3);
   glReadPixels(0, 0, 64, 64, GL_RGBA, GL_UNSIGNED_BYTE, pixels);

   /* The triangle's corners are (-.5, -.5), (1.5, -.5), (-.5, 1.5): its diagonal leaves the picture
    * at the corner. */
   glt_expect(pixels[8 * 64 + 8] == 0xff0000ff, "outside: 0x%08x", pixels[8 * 64 + 8]);
   glt_expect(pixels[20 * 64 + 20] == 0xff00ff00, "inside: 0x%08x", pixels[20 * 64 + 20]);
   glt_expect(pixels[40 * 64 + 12] == 0xff0000ff, "left of it: 0x%08x", pixels[40 * 64 + 12]);
   glt_expect(pixels[40 * 64 + 40] == 0xff00ff00, "middle: 0x%08x", pixels[40 * 64 + 40]);

   return glt_finish();
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Pages of which there are more than memory: "OUT_OF_MEMORY is generated" by the commit that gets
 * none, what was committed before stays, and the program goes on.  Run it with less memory than
 * 512 MiB (DRM_SIM_FAULT=mem:...).
 */

#include <stddef.h>

#include "glt.h"

#define STEP  (16l << 20)
#define TOTAL (512l << 20)

static bool
check_word(GLuint buffer, GLintptr offset, uint32_t value)
{
   uint32_t word = 0;

   glGetNamedBufferSubData(buffer, offset, 4, &word);
   return word == value;
}

/* Commits until there is no memory left; how much there was. */
static GLintptr
commit_all(GLuint buffer)
{
   for (GLintptr at = 0; at < TOTAL; at += STEP) {
      glNamedBufferPageCommitmentARB(buffer, at, STEP, GL_TRUE);
      const GLenum error = glGetError();
      if (error) {
         glt_expect(error == GL_OUT_OF_MEMORY, "error 0x%04x", error);
         return at;
      }
      const uint32_t value = at + 1;
      glNamedBufferSubData(buffer, at, 4, &value);
   }
   return TOTAL;
}

int
main(void)
{
   GLuint buffer;
   GLintptr first = 0;

   glt_init(false);
   glt_require("GL_ARB_sparse_buffer");
   glt_begin("out of memory");
   glCreateBuffers(1, &buffer);
   glNamedBufferStorage(buffer, TOTAL, NULL, GL_SPARSE_STORAGE_BIT_ARB | GL_DYNAMIC_STORAGE_BIT);

   for (int round = 0; round < 5; round++) {
      const GLintptr there = commit_all(buffer);

      glt_expect(there >= STEP, "no memory at all");
      glt_expect(there < TOTAL, "more memory than there is");
      for (GLintptr at = 0; at < there; at += STEP)
         glt_expect(check_word(buffer, at, at + 1), "round %d: lost at %ld", round, (long)at);

      /* Nothing may get lost on the way. */
      if (round == 0)
         first = there;
      glt_expect(there == first, "round %d: %ld bytes, %ld at first", round, (long)there,
                 (long)first);
      glNamedBufferPageCommitmentARB(buffer, 0, TOTAL, GL_FALSE);
      glFlush();
   }
   glDeleteBuffers(1, &buffer);

   return glt_finish();
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * GL_ARB_sparse_buffer, clause by clause of its text.
 */

#include <stdlib.h>
#include <string.h>

#include "glt.h"

#define PAGES 8

static GLint page;

static GLuint
sparse_buffer(GLsizeiptr size)
{
   GLuint buffer;

   glCreateBuffers(1, &buffer);
   glNamedBufferStorage(buffer, size, NULL, GL_SPARSE_STORAGE_BIT_ARB | GL_DYNAMIC_STORAGE_BIT);
   return buffer;
}

static void
fill(GLuint buffer, GLintptr offset, GLsizeiptr size, uint32_t value)
{
   uint32_t *data = malloc(size);

   for (GLsizeiptr i = 0; i < size / 4; i++)
      data[i] = value + i;
   glNamedBufferSubData(buffer, offset, size, data);
   free(data);
}

static void
check(GLuint buffer, GLintptr offset, GLsizeiptr size, uint32_t value, const char *what)
{
   uint32_t *data = calloc(1, size);

   glGetNamedBufferSubData(buffer, offset, size, data);
   for (GLsizeiptr i = 0; i < size / 4; i++) {
      if (data[i] != value + i) {
         glt_fail("%s: word %ld is 0x%x, not 0x%x", what, (long)i, data[i], value + (uint32_t)i);
         break;
      }
   }
   free(data);
}

/* "SPARSE_BUFFER_PAGE_SIZE_ARB": new state, minimum maximum 65536 the other way round. */
static void
test_page_size(void)
{
   glt_begin("page size");
   glGetIntegerv(GL_SPARSE_BUFFER_PAGE_SIZE_ARB, &page);
   glt_expect(page >= 4096 && page <= 65536 && !(page & (page - 1)), "%d", page);
}

/* "initially all pages are in the uncommitted state"; committed pages hold what is written, and
 * keep it when other pages come and go. */
static void
test_commit(void)
{
   glt_begin("commit");
   const GLuint buffer = sparse_buffer((GLsizeiptr)PAGES * page);

   glNamedBufferPageCommitmentARB(buffer, page, 2 * page, GL_TRUE);
   fill(buffer, page, 2 * page, 0x1000);
   check(buffer, page, 2 * page, 0x1000, "two pages");

   glNamedBufferPageCommitmentARB(buffer, 4 * page, page, GL_TRUE);
   fill(buffer, 4 * page, page, 0x2000000);
   check(buffer, page, 2 * page, 0x1000, "two pages, after a third");
   check(buffer, 4 * page, page, 0x2000000, "third page");

   /* "committing pages that are committed already": contents stay. */
   glNamedBufferPageCommitmentARB(buffer, 0, (GLsizeiptr)PAGES * page, GL_TRUE);
   check(buffer, page, 2 * page, 0x1000, "two pages, after all");
   check(buffer, 4 * page, page, 0x2000000, "third page, after all");

   glNamedBufferPageCommitmentARB(buffer, page, page, GL_FALSE);
   check(buffer, 2 * page, page, 0x1000 + page / 4, "second page, after the first went");
   glt_expect_error(GL_NO_ERROR, "commit");
   glDeleteBuffers(1, &buffer);
}

/* "the range may extend to the end of the buffer's data store" with a size that is no multiple. */
static void
test_last_page(void)
{
   glt_begin("last page");
   const GLsizeiptr size = 2 * (GLsizeiptr)page + 1024;
   const GLuint buffer = sparse_buffer(size);

   glNamedBufferPageCommitmentARB(buffer, 2 * page, 1024, GL_TRUE);
   glt_expect_error(GL_NO_ERROR, "to the end");
   fill(buffer, 2 * page, 1024, 7);
   check(buffer, 2 * page, 1024, 7, "part of a page");
   glDeleteBuffers(1, &buffer);
}

/* "reads from such regions produce undefined data, writes are discarded", and neither ends the
 * program; a page that is committed afterwards is as good as any. */
static void
test_uncommitted(void)
{
   glt_begin("uncommitted");
   const GLuint buffer = sparse_buffer((GLsizeiptr)PAGES * page);

   fill(buffer, 0, 4096, 1);
   glNamedBufferPageCommitmentARB(buffer, page, page, GL_TRUE);
   fill(buffer, page - 1024, page + 2048, 0x5000);
   check(buffer, page, page, 0x5000 + 256, "page between holes");

   /* The GPU writes across holes too. */
   const uint32_t value = 0xabcd;
   glClearNamedBufferData(buffer, GL_R32UI, GL_RED_INTEGER, GL_UNSIGNED_INT, &value);
   uint32_t word = 0;
   glGetNamedBufferSubData(buffer, page + 4, 4, &word);
   glt_expect(word == value, "cleared: 0x%x", word);
   glt_expect_error(GL_NO_ERROR, "uncommitted");
   glDeleteBuffers(1, &buffer);
}

/* Commits are ordered with copies and with what shaders do, without a flush in between. */
static void
test_order(void)
{
   glt_begin("order");
   const GLuint sparse = sparse_buffer((GLsizeiptr)PAGES * page);
   GLuint plain;

   glCreateBuffers(1, &plain);
   glNamedBufferStorage(plain, (GLsizeiptr)PAGES * page, NULL, GL_DYNAMIC_STORAGE_BIT);
   for (int round = 0; round < 64; round++) {
      const GLintptr at = (GLintptr)(round * 5 % PAGES) * page;

      glNamedBufferPageCommitmentARB(sparse, at, page, GL_TRUE);
      fill(sparse, at, page, round << 20);
      glCopyNamedBufferSubData(sparse, plain, at, at, page);
      glNamedBufferPageCommitmentARB(sparse, at, page, GL_FALSE);
      check(plain, at, page, round << 20, "copy");
   }
   glDeleteBuffers(1, &sparse);
   glDeleteBuffers(1, &plain);
}

/* The section Errors. */
static void
test_errors(void)
{
   glt_begin("errors");
   const GLuint buffer = sparse_buffer((GLsizeiptr)PAGES * page);
   GLuint plain, map;

   glNamedBufferPageCommitmentARB(buffer, 1, page, GL_TRUE);
   glt_expect_error(GL_INVALID_VALUE, "offset no multiple of the page size");
   glNamedBufferPageCommitmentARB(buffer, 0, 100, GL_TRUE);
   glt_expect_error(GL_INVALID_VALUE, "size no multiple of the page size");
   glNamedBufferPageCommitmentARB(buffer, -page, page, GL_TRUE);
   glt_expect_error(GL_INVALID_VALUE, "offset below 0");
   glNamedBufferPageCommitmentARB(buffer, 0, -page, GL_TRUE);
   glt_expect_error(GL_INVALID_VALUE, "size below 0");
   glNamedBufferPageCommitmentARB(buffer, 0, (PAGES + 1) * page, GL_TRUE);
   glt_expect_error(GL_INVALID_VALUE, "beyond the end");
   glNamedBufferPageCommitmentARB(buffer, (GLintptr)1 << 40, page, GL_TRUE);
   glt_expect_error(GL_INVALID_VALUE, "far beyond the end");

   glCreateBuffers(1, &plain);
   glNamedBufferStorage(plain, page, NULL, 0);
   glNamedBufferPageCommitmentARB(plain, 0, page, GL_TRUE);
   glt_expect_error(GL_INVALID_OPERATION, "a buffer that is not sparse");

   glBindBuffer(GL_ARRAY_BUFFER, plain);
   glBufferPageCommitmentARB(GL_ARRAY_BUFFER, 0, page, GL_TRUE);
   glt_expect_error(GL_INVALID_OPERATION, "a target whose buffer is not sparse");
   glBufferPageCommitmentARB(GL_TEXTURE_2D, 0, page, GL_TRUE);
   glt_expect_error(GL_INVALID_ENUM, "no target of buffers");
   glBindBuffer(GL_ARRAY_BUFFER, buffer);
   glBufferPageCommitmentARB(GL_ARRAY_BUFFER, 0, page, GL_TRUE);
   glt_expect_error(GL_NO_ERROR, "a target whose buffer is sparse");
   glt_expect(!glMapBufferRange(GL_ARRAY_BUFFER, 0, page, GL_MAP_READ_BIT), "a sparse buffer is mapped");
   glt_expect_error(GL_INVALID_OPERATION, "a sparse buffer cannot be mapped");
   glBindBuffer(GL_ARRAY_BUFFER, 0);

   glCreateBuffers(1, &map);
   glNamedBufferStorage(map, page, NULL, GL_SPARSE_STORAGE_BIT_ARB | GL_MAP_READ_BIT);
   glt_expect_error(GL_INVALID_VALUE, "sparse and to be mapped");

   glDeleteBuffers(1, &buffer);
   glDeleteBuffers(1, &plain);
   glDeleteBuffers(1, &map);
}

/* What the server writes by itself, the result of a query, comes behind a commitment too. */
static void
test_query_result(void)
{
   uint32_t result = 0;
   GLuint query;

   glt_begin("query result");
   const GLuint buffer = sparse_buffer((GLsizeiptr)PAGES * page);
   glCreateQueries(GL_TIMESTAMP, 1, &query);
   glQueryCounter(query, GL_TIMESTAMP);
   glFinish();

   glNamedBufferPageCommitmentARB(buffer, 2 * page, page, GL_TRUE);
   glGetQueryBufferObjectuiv(query, buffer, GL_QUERY_RESULT_AVAILABLE, 2 * page + 4);
   glt_expect_error(GL_NO_ERROR, "result into a buffer");
   glGetNamedBufferSubData(buffer, 2 * page + 4, 4, &result);
   glt_expect(result == GL_TRUE, "result %u", result);

   glDeleteQueries(1, &query);
   glDeleteBuffers(1, &buffer);
}

int
main(void)
{
   glt_init(false);
   glt_require("GL_ARB_sparse_buffer");

   test_page_size();
   test_commit();
   test_last_page();
   test_uncommitted();
   test_order();
   test_errors();
   test_query_result();

   return glt_finish();
}

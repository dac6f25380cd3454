/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * A process that records has its trace open, so its descriptors in /proc lead to the file.
 */

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmbind_source.h"
#include "vmbind_tool.h"

#define HOW_TO_RECORD "\"vmbind run --trace FILE -- CMD\" records one"

static bool
is_number(const char *text)
{
   for (const char *c = text; *c; c++) {
      if (!isdigit((unsigned char)*c))
         return false;
   }
   return text[0] != '\0';
}

/* Whether the file is a trace that this process records; inherited descriptors are not. */
static bool
is_trace_of(const char *path, pid_t pid)
{
   struct vmb_trace_header header;
   const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

   if (fd < 0)
      return false;
   const bool found = read(fd, &header, sizeof(header)) == sizeof(header) &&
                      header.magic == VMB_TRACE_MAGIC && (pid_t)header.pid == pid;
   close(fd);
   return found;
}

static bool
is_regular(const char *path)
{
   struct stat st;
   return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* The trace of a process: 0 and its path, the caller's to free; -ENOENT if it has none; what the
 * kernel says of the process. */
static int
find_of_process(pid_t pid, char **path_out)
{
   char dir_path[64];

   snprintf(dir_path, sizeof(dir_path), "/proc/%d/fd", (int)pid);
   DIR *dir = opendir(dir_path);
   if (!dir)
      return errno == ENOENT ? -ESRCH : -errno;

   int ret = -ENOENT;
   const struct dirent *entry;
   while (ret && (entry = readdir(dir))) {
      char fd_path[PATH_MAX], target[PATH_MAX];

      snprintf(fd_path, sizeof(fd_path), "%s/%s", dir_path, entry->d_name);
      if (!is_regular(fd_path) || !is_trace_of(fd_path, pid))
         continue;
      /* By its name, so that it can still be read when the process has ended. */
      const ssize_t length = readlink(fd_path, target, sizeof(target) - 1);
      if (length < 0)
         continue;
      target[length] = '\0';
      *path_out = strdup(is_trace_of(target, pid) ? target : fd_path);
      ret = *path_out ? 0 : -ENOMEM;
   }
   closedir(dir);
   return ret;
}

/* The only process that records. */
static int
find_only(char **path_out)
{
   char list[256] = "";
   unsigned count = 0;
   const struct dirent *entry;
   DIR *dir = opendir("/proc");

   while (dir && (entry = readdir(dir))) {
      char *path;

      if (!is_number(entry->d_name) || find_of_process(atoi(entry->d_name), &path))
         continue;
      if (count++ == 0)
         *path_out = path;
      else
         free(path);
      const size_t used = strlen(list);
      snprintf(list + used, sizeof(list) - used, "%s%s", used ? ", " : "", entry->d_name);
   }
   if (dir)
      closedir(dir);
   if (count == 1)
      return 0;
   if (count) {
      free(*path_out);
      return tool_error(TOOL_FAILED, "several processes record traces: %s; say which", list);
   }
   return tool_error(TOOL_FAILED, "no process of yours records a trace; " HOW_TO_RECORD);
}

static int
find_by_number(const char *number, char **path_out)
{
   const int ret = find_of_process(atoi(number), path_out);

   switch (ret) {
   case 0:
      return 0;
   case -ESRCH:
      return tool_error(TOOL_FAILED, "no process %s; if it is gone, name the file that it recorded",
                        number);
   case -ENOENT:
      return tool_error(TOOL_FAILED, "process %s records no trace; " HOW_TO_RECORD, number);
   case -EACCES:
   case -EPERM:
      return tool_error(TOOL_FAILED, "process %s is another user's; ask as that user or as root",
                        number);
   default:
      return tool_error(TOOL_FAILED, "process %s: %s", number, strerror(-ret));
   }
}

int
trace_source_open(const char *target, struct trace_source *source)
{
   char *path = NULL;
   int status = 0;

   if (!target)
      status = find_only(&path);
   else if (is_number(target))
      status = find_by_number(target, &path);
   else if (!(path = strdup(target)))
      status = tool_error(TOOL_FAILED, "out of memory");
   if (status)
      return status;

   struct vmb_trace_reader *reader;
   const int ret = vmb_trace_reader_open(path, &reader);
   switch (ret) {
   case 0:
      *source = (struct trace_source){
         .reader = reader,
         .header = *vmb_trace_reader_header(reader),
         .path = path,
      };
      trace_copy_name(source->program, source->header.program, sizeof(source->header.program));
      return 0;
   case -EINVAL:
      status = tool_error(TOOL_FAILED, "%s is not a vmbind trace; " HOW_TO_RECORD, path);
      break;
   case -EPROTO:
      status = tool_error(TOOL_FAILED, "%s was recorded by another version or machine; record it again",
                          path);
      break;
   default:
      status = tool_error(TOOL_FAILED, "%s: %s", path, strerror(-ret));
   }
   free(path);
   return status;
}

void
trace_copy_name(char out[TRACE_NAME_SIZE], const char *name, size_t size)
{
   snprintf(out, TRACE_NAME_SIZE, "%.*s", (int)size, name);
   for (unsigned char *c = (unsigned char *)out; *c; c++) {
      if (*c < 0x20 || *c == 0x7f)
         *c = '?';
   }
}

void
trace_source_close(struct trace_source *source)
{
   vmb_trace_reader_close(source->reader);
   free(source->path);
}

bool
trace_source_is_live(const struct trace_source *source)
{
   char *path;
   struct stat ours, its;

   if (find_of_process(source->header.pid, &path))
      return false;
   const bool same = stat(source->path, &ours) == 0 && stat(path, &its) == 0 &&
                     ours.st_dev == its.st_dev && ours.st_ino == its.st_ino;
   free(path);
   return same;
}

int
trace_source_check_end(const struct trace_source *source, enum vmb_trace_end end)
{
   if (end == VMB_TRACE_END_DAMAGED) {
      return tool_error(TOOL_FAILED, "%s is damaged at byte %" PRIu64 "; what comes before it was used",
                        source->path, vmb_trace_reader_offset_B(source->reader));
   }
   if (end == VMB_TRACE_END_CUT && !trace_source_is_live(source)) {
      tool_error(0, "%s ends in the middle of a record, as when a program is killed; "
                    "what comes before it was used", source->path);
   }
   return 0;
}

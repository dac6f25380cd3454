/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * vmbind run, vmbind sim: start a program with the driver, the simulated node, or both.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmbind_tool.h"

struct options {
   const char *kmd;
   const char *trace;
   /* No simulated node: a real one must be there. */
   bool gpu;
   /* The OpenGL driver to use, or NULL. */
   const char *gl;
   char **program;
};

static const char *
kmd_of(const struct options *options)
{
   return options->kmd ? options->kmd : "panthor";
}

static int
parse(int argc, char **argv, bool with_driver, struct options *options)
{
   const char *command = argv[0];

   *options = (struct options){ 0 };
   for (int i = 1; i < argc; i++) {
      if (!strcmp(argv[i], "--")) {
         options->program = argv + i + 1;
         break;
      }
      if (!strcmp(argv[i], "--kmd") && i + 1 < argc) {
         options->kmd = argv[++i];
      } else if (with_driver && !strcmp(argv[i], "--trace") && i + 1 < argc) {
         options->trace = argv[++i];
      } else if (with_driver && !strcmp(argv[i], "--gpu")) {
         options->gpu = true;
      } else if (with_driver && (!strcmp(argv[i], "--gl") || !strcmp(argv[i], "--zink"))) {
         if (options->gl)
            return tool_usage_error(command, "one of --gl and --zink");
         options->gl = strcmp(argv[i], "--gl") ? "zink" : "vmbind";
      } else if (argv[i][0] == '-') {
         return tool_usage_error(command, "unknown option or missing value: %s", argv[i]);
      } else {
         options->program = argv + i;
         break;
      }
   }
   if (!options->program || !options->program[0])
      return tool_usage_error(command, "no program to run");
   if (options->gpu && options->kmd)
      return tool_usage_error(command, "--gpu is for a real node, --kmd for a simulated one");
   return 0;
}

/* The trace's path, in a directory that must be there: the program may change its own.  Said here and
 * now rather than by a driver that can only warn. */
static int
resolve_trace(const char *trace, char path[PATH_MAX * 2])
{
   char copy[PATH_MAX], dir[PATH_MAX];
   const char *slash = strrchr(trace, '/');
   const char *name = slash ? slash + 1 : trace;

   if (!name[0])
      return tool_error(TOOL_FAILED, "--trace %s names no file", trace);
   snprintf(copy, sizeof(copy), "%.*s", (int)(name - trace), trace);
   if (!realpath(copy[0] ? copy : ".", dir))
      return tool_error(TOOL_FAILED, "--trace %s cannot be written: %s", trace, strerror(errno));
   snprintf(path, PATH_MAX * 2, "%s/%s", dir, name);

   /* With %p the name comes later. */
   const bool later = strstr(name, "%p");
   const int fd = later ? open(dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC)
                        : open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
   const bool writable = fd >= 0 && (!later || access(dir, W_OK) == 0);
   const int status =
      writable ? 0 : tool_error(TOOL_FAILED, "--trace %s cannot be written: %s", trace, strerror(errno));
   if (fd >= 0)
      close(fd);
   return status;
}

static int
run_program(char **program)
{
   execvp(program[0], program);
   return tool_error(errno == ENOENT ? 127 : 126, "%s: %s", program[0], strerror(errno));
}

int
cmd_run(int argc, char **argv)
{
   struct options options;
   char icd[PATH_MAX], trace[PATH_MAX * 2];

   int status = parse(argc, argv, true, &options);
   if (!status)
      status = tool_find_icd(icd, sizeof(icd));
   if (!status && !options.gpu)
      status = tool_use_simulator(kmd_of(&options));
   if (!status && options.gl)
      status = tool_use_gl(options.gl);
   if (!status && options.trace)
      status = resolve_trace(options.trace, trace);
   if (status)
      return status;

   /* Loaders before 1.3.207 know only the second name. */
   setenv("VK_DRIVER_FILES", icd, 1);
   setenv("VK_ICD_FILENAMES", icd, 1);
   if (options.trace)
      setenv("VMBIND_TRACE", trace, 1);
   return run_program(options.program);
}

int
cmd_sim(int argc, char **argv)
{
   struct options options;

   int status = parse(argc, argv, false, &options);
   if (!status)
      status = tool_use_simulator(kmd_of(&options));
   return status ? status : run_program(options.program);
}

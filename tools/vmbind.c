/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The vmbind tool: finds the command and calls it.
 */

#include <stdio.h>
#include <string.h>

#include "vmbind_tool.h"

static const struct command {
   const char *name;
   int (*run)(int argc, char **argv);
   const char *args;
   const char *what;
} commands[] = {
   { "run", cmd_run, "[--kmd KMD] [--trace FILE] [--gpu] [--gl | --zink] -- CMD...",
     "run a program on the vmbind Vulkan driver, or on the OpenGL driver (--gl: ours; --zink:\n"
     "      Mesa's, on our Vulkan driver)" },
   { "sim", cmd_sim, "[--kmd KMD] -- CMD...",
     "run a program with a simulated DRM render node, and its own drivers" },
   { "info", cmd_info, "[--kmd KMD | --node PATH]",
     "print what a node's kernel driver can do with VM_BIND" },
   { "trace", cmd_trace, "[--stats] FILE", "print a recorded trace as text" },
   { "map", cmd_map, "FILE OUT.png", "draw the address space of a trace over time" },
};

static void
print_help(FILE *file)
{
   fprintf(file, "usage: vmbind COMMAND ...\n\n");
   for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
      fprintf(file, "   vmbind %s %s\n      %s\n", commands[i].name, commands[i].args,
              commands[i].what);
   }
   fprintf(file,
           "\nKMD is a kernel driver for the simulated node: %s; a version may follow, as in\n"
           "panthor-1.0. Without --kmd it is panthor.\n"
           "\nexample:\n"
           "   vmbind run --trace /tmp/t -- vkcube && vmbind trace --stats /tmp/t\n",
           tool_kmd_names());
}

int
main(int argc, char **argv)
{
   if (argc < 2) {
      print_help(stderr);
      return TOOL_USAGE;
   }
   if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help") || !strcmp(argv[1], "-h")) {
      print_help(stdout);
      return 0;
   }
   for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
      if (strcmp(commands[i].name, argv[1]))
         continue;
      if (argc > 2 && !strcmp(argv[2], "--help")) {
         printf("usage: vmbind %s %s\n   %s\n", commands[i].name, commands[i].args,
                commands[i].what);
         return 0;
      }
      return commands[i].run(argc - 1, argv + 1);
   }
   return tool_error(TOOL_USAGE, "no command \"%s\"; \"vmbind --help\" lists them", argv[1]);
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The vmbind tool: finds the command and calls it.
 */

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "vmbind_tool.h"

static const struct command {
   const char *name;
   int (*run)(int argc, char **argv);
   const char *args;
   const char *what;
   /** Lines, each indented; after them an example. */
   const char *options;
   const char *example;
} commands[] = {
   { "run", cmd_run, "[--kmd KMD] [--trace FILE] [--gpu] [--gl | --zink] -- CMD...",
     "run a program on the vmbind Vulkan driver or OpenGL driver",
     "   --kmd KMD      the simulated node's kernel driver\n"
     "   --trace FILE   record what it binds; %p in the name stands for the process's number\n"
     "   --gpu          no simulated node: a real one\n"
     "   --gl           the OpenGL driver is ours\n"
     "   --zink         the OpenGL driver is Mesa's, on our Vulkan driver\n",
     "vmbind run --kmd msm --trace /tmp/t -- vkcube" },
   { "sim", cmd_sim, "[--kmd KMD] -- CMD...",
     "run a program with a simulated DRM render node, and its own drivers",
     "   --kmd KMD      the node's kernel driver\n",
     "vmbind sim --kmd xe -- vulkaninfo --summary" },
   { "info", cmd_info, "[--kmd KMD | --node PATH]",
     "print what a node's kernel driver can do with VM_BIND",
     "   --kmd KMD      a simulated node with this kernel driver\n"
     "   --node PATH    this node, not all\n",
     "vmbind info --kmd panthor-1.0" },
   { "trace", cmd_trace, "[--stats] [TRACE]", "print a trace as text",
     "   --stats        what it adds up to\n",
     "vmbind trace --stats /tmp/t" },
   { "map", cmd_map, "[TRACE] OUT.png|OUT.svg", "draw the address space over time", "",
     "vmbind map /tmp/t map.svg" },
   { "dump", cmd_dump, "[--json] [--at SECONDS] [TRACE]",
     "print every VM, range, mapping, BO and pending operation of a process",
     "   --json         as JSON\n"
     "   --at SECONDS   as it was then, counted from the start of the recording\n",
     "vmbind dump --json 1234" },
   { "who", cmd_who, "[--at SECONDS] ADDRESS [TRACE]",
     "print what an address is, was, and is about to be",
     "   --at SECONDS   as it was then, counted from the start of the recording\n",
     "vmbind who 0x7f0012340000 /tmp/t" },
   { "top", cmd_top, "[--interval SECONDS] [--count LINES] [TRACE]",
     "print what a process binds a second, as it goes",
     "   --interval SECONDS   between two lines; 1\n"
     "   --count LINES        and then end\n"
     "A stall is a submit that took a millisecond or more.\n",
     "vmbind top --interval 0.5 1234" },
   { "replay", cmd_replay, "[--kmd KMD] [--fault SEED|SPEC] [--node PATH] TRACE",
     "do what a recorded process did again, and compare what is bound",
     "   --kmd KMD      on another kernel driver than the recorded one\n"
     "   --fault SEED   with binds that find no memory, the same for the same seed\n"
     "   --fault SPEC   with these faults, as in DRM_SIM_FAULT\n"
     "   --node PATH    on this node, none is simulated\n",
     "vmbind replay --kmd xe --fault 7 /tmp/t" },
};

static void
print_words(FILE *file)
{
   fprintf(file,
           "\nKMD is a kernel driver for the simulated node: %s; a version may follow, as in\n"
           "panthor-1.0. Without --kmd it is panthor.\n"
           "TRACE is a file that \"vmbind run --trace\" or VMBIND_TRACE=FILE made, or the number of a process\n"
           "that records one; without it, the only such process of yours.\n",
           tool_kmd_names());
}

static void
print_help(FILE *file)
{
   fprintf(file, "usage: vmbind COMMAND ...\n\n");
   for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
      fprintf(file, "   vmbind %s %s\n      %s\n", commands[i].name, commands[i].args,
              commands[i].what);
   }
   print_words(file);
   fprintf(file, "\nexample:\n   vmbind run --trace /tmp/t -- vkcube && vmbind trace --stats /tmp/t\n");
}

static void
print_command_help(const struct command *command)
{
   printf("usage: vmbind %s %s\n\n%c%s\n", command->name, command->args,
          toupper(command->what[0]), command->what + 1);
   if (command->options[0])
      printf("\n%s", command->options);
   print_words(stdout);
   printf("\nexample:\n   %s\n", command->example);
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
   if (!strcmp(argv[1], "--version")) {
      printf("vmbind %s\n", VMBIND_VERSION);
      return 0;
   }
   for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
      if (strcmp(commands[i].name, argv[1]))
         continue;
      if (argc > 2 && (!strcmp(argv[2], "--help") || !strcmp(argv[2], "-h"))) {
         print_command_help(&commands[i]);
         return 0;
      }
      return commands[i].run(argc - 1, argv + 1);
   }
   return tool_error(TOOL_USAGE, "no command \"%s\"; \"vmbind --help\" lists them", argv[1]);
}

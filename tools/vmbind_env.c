/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Messages, and where the driver and the simulator are: beside the tool in the build tree, or
 * where they were installed, relative to the tool.
 */

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmbind_tool.h"

int
tool_error(int status, const char *format, ...)
{
   va_list args;

   va_start(args, format);
   fprintf(stderr, "vmbind: ");
   vfprintf(stderr, format, args);
   fprintf(stderr, "\n");
   va_end(args);
   return status;
}

int
tool_usage_error(const char *command, const char *format, ...)
{
   va_list args;

   va_start(args, format);
   fprintf(stderr, "vmbind %s: ", command);
   vfprintf(stderr, format, args);
   fprintf(stderr, "; see \"vmbind %s --help\"\n", command);
   va_end(args);
   return TOOL_USAGE;
}

int
tool_parse_seconds(const char *text, uint64_t *ns_out)
{
   char *end;
   const double seconds = strtod(text, &end);

   if (end == text || *end || !(seconds >= 0 && seconds < 1e9))
      return -EINVAL;
   *ns_out = seconds * 1e9;
   return 0;
}

static const char *const kmds[] = { "panthor", "msm", "xe" };

bool
tool_kmd_known(const char *kmd)
{
   for (unsigned i = 0; i < ARRAY_SIZE(kmds); i++) {
      const size_t length = strlen(kmds[i]);
      if (!strncmp(kmd, kmds[i], length) && strchr("-:", kmd[length]))
         return true;
   }
   return false;
}

const char *
tool_kmd_names(void)
{
   return "panthor, msm, xe";
}

/* Looks for a file in the build tree, then where it is installed. */
static int
find(char *path, size_t size, const char *what, const char *in_build, const char *installed)
{
   char self[PATH_MAX];
   const ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

   if (length < 0)
      return tool_error(TOOL_FAILED, "/proc/self/exe: %s", strerror(errno));
   self[length] = '\0';
   const char *dir = dirname(self);

   const char *const places[] = { in_build, installed };
   for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
      char joined[PATH_MAX * 2];

      snprintf(joined, sizeof(joined), "%s/%s", dir, places[i]);
      char *real = realpath(joined, NULL);
      if (real) {
         snprintf(path, size, "%s", real);
         free(real);
         return 0;
      }
   }
   return tool_error(TOOL_FAILED, "%s is neither in the build tree nor installed (%s); build it first",
                     what, in_build);
}

int
tool_find_simulator(char *path, size_t size)
{
   return find(path, size, "the simulator", "../src/drm-sim/libdrm_sim.so",
               VMBIND_BIN_TO_LIB "/libdrm_sim.so");
}

int
tool_find_icd(char *path, size_t size)
{
   return find(path, size, "the Vulkan driver",
               "../src/vulkan/vmbind/vmbind_devenv_icd." VMBIND_CPU ".json",
               VMBIND_BIN_TO_DATA "/vulkan/icd.d/vmbind_icd." VMBIND_CPU ".json");
}

int
tool_use_simulator(const char *kmd)
{
   char path[PATH_MAX], preload[PATH_MAX * 2];

   if (!tool_kmd_known(kmd)) {
      return tool_error(TOOL_USAGE, "no simulated kernel driver \"%s\"; there are: %s", kmd,
                        tool_kmd_names());
   }
   const int status = tool_find_simulator(path, sizeof(path));
   if (status)
      return status;

   const char *others = getenv("LD_PRELOAD");
   snprintf(preload, sizeof(preload), "%s%s%s", path, others && others[0] ? ":" : "",
            others ? others : "");
   setenv("LD_PRELOAD", preload, 1);
   setenv("DRM_SIM_KMD", kmd, 1);
   return 0;
}

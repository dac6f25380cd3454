/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Messages, and where the drivers and the simulator are: beside the tool in the build tree, or
 * where they were installed, relative to the tool.
 */

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmbind/vmb_device.h"

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

/* Each back-end has its simulated driver. */
bool
tool_kmd_known(const char *kmd)
{
   const char *name;

   for (unsigned i = 0; (name = vmb_driver_name(i)); i++) {
      const size_t length = strlen(name);
      if (!strncmp(kmd, name, length) && strchr("-:", kmd[length]))
         return true;
   }
   return false;
}

const char *
tool_kmd_names(void)
{
   static char names[128];
   const char *name;

   names[0] = '\0';
   for (unsigned i = 0; (name = vmb_driver_name(i)); i++) {
      const size_t used = strlen(names);
      snprintf(names + used, sizeof(names) - used, "%s%s", i ? ", " : "", name);
   }
   return names;
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
   return tool_error(TOOL_FAILED, "%s is neither in the build tree nor installed (%s): build it, or install "
                                  "it without --core", what, in_build);
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

/* Before what is there already. */
static void
prepend(const char *variable, const char *path)
{
   const char *others = getenv(variable);
   char joined[PATH_MAX * 8];

   snprintf(joined, sizeof(joined), "%s%s%s", path, others && others[0] ? ":" : "",
            others ? others : "");
   setenv(variable, joined, 1);
}

/* The libraries come in the order in which they are looked through: ours has the name of Mesa's. */
int
tool_use_gl(const char *driver)
{
   static const struct {
      const char *variable, *what, *in_build, *installed;
      bool list;
   } places[] = {
      { "LD_LIBRARY_PATH", "Mesa's GBM library", VMBIND_MESA_SRC "/gbm", VMBIND_BIN_TO_LIB, true },
      { "LD_LIBRARY_PATH", "Mesa's GLX library", VMBIND_MESA_SRC "/glx", VMBIND_BIN_TO_LIB, true },
      { "LD_LIBRARY_PATH", "Mesa's EGL library", VMBIND_MESA_SRC "/egl", VMBIND_BIN_TO_LIB, true },
      { "LD_LIBRARY_PATH", "the OpenGL driver", "../src/gallium/targets/vmbind",
        VMBIND_BIN_TO_LIB "/vmbind", true },
      { "GBM_BACKENDS_PATH", "Mesa's GBM backend", VMBIND_MESA_SRC "/gbm/backends/dri",
        VMBIND_BIN_TO_LIB "/gbm", false },
      { "__EGL_VENDOR_LIBRARY_FILENAMES", "Mesa's EGL vendor file",
        VMBIND_MESA_SRC "/egl/50_mesa.json", VMBIND_BIN_TO_DATA "/glvnd/egl_vendor.d/50_mesa.json",
        false },
   };

   for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
      char path[PATH_MAX];

      const int status =
         find(path, sizeof(path), places[i].what, places[i].in_build, places[i].installed);
      if (status)
         return status;
      if (places[i].list)
         prepend(places[i].variable, path);
      else
         setenv(places[i].variable, path, 1);
   }

   setenv("__GLX_VENDOR_LIBRARY_NAME", "mesa", 1);
   setenv("MESA_LOADER_DRIVER_OVERRIDE", driver, 1);
   if (!strcmp(driver, "zink")) {
      /* Without it zink looks for a Vulkan device that is the render node's. */
      setenv("LIBGL_ALWAYS_SOFTWARE", "1", 1);
   } else {
      /* For window systems without render nodes. */
      setenv("GALLIUM_DRIVER", driver, 1);
   }
   return 0;
}

int
tool_use_simulator(const char *kmd)
{
   char path[PATH_MAX];

   if (!tool_kmd_known(kmd)) {
      return tool_error(TOOL_USAGE, "no simulated kernel driver \"%s\"; there are: %s", kmd,
                        tool_kmd_names());
   }
   const int status = tool_find_simulator(path, sizeof(path));
   if (status)
      return status;

   prepend("LD_PRELOAD", path);
   setenv("DRM_SIM_KMD", kmd, 1);
   return 0;
}

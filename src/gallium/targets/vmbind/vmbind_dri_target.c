/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The drivers in our libgallium: what Mesa's pipe loader finds behind its fixed names.
 *
 * Every driver of Mesa's own build stays what it is.  A name that the loader does not know leads to
 * the kmsro descriptor, which is ours here; and programs without a render node of their own (a
 * window on an X server with no DRI3) get a screen of ours when GALLIUM_DRIVER asks for it.
 *
 * Must know nothing of how a screen is made.
 */

#include <stdbool.h>

/* These are ours, below. */
#define kmsro_driver_descriptor mesa_kmsro_driver_descriptor
#define sw_screen_create_vk     mesa_sw_screen_create_vk
#define sw_screen_create        mesa_sw_screen_create
#include "target-helpers/drm_helper.h"
#include "target-helpers/sw_helper.h"
#undef kmsro_driver_descriptor
#undef sw_screen_create_vk
#undef sw_screen_create

extern const struct drm_driver_descriptor kmsro_driver_descriptor;
struct pipe_screen *sw_screen_create_vk(struct sw_winsys *winsys,
                                        const struct pipe_screen_config *config, bool sw_vk);
struct pipe_screen *sw_screen_create(struct sw_winsys *winsys);

#include "vmbind/vmbind_gl.h"

static struct pipe_screen *
create_screen(int fd, UNUSED const struct pipe_screen_config *config)
{
   struct pipe_screen *screen = vmbind_gl_screen_create(fd);
   return screen ? debug_screen_wrap(screen) : NULL;
}

const struct drm_driver_descriptor kmsro_driver_descriptor = {
   .driver_name = "vmbind",
   .create_screen = create_screen,
};

struct pipe_screen *
sw_screen_create_vk(struct sw_winsys *winsys, const struct pipe_screen_config *config, bool sw_vk)
{
   if (!sw_vk && !strcmp(debug_get_option("GALLIUM_DRIVER", ""), "vmbind"))
      return vmbind_gl_screen_create_for_winsys(winsys);

   return mesa_sw_screen_create_vk(winsys, config, sw_vk);
}

struct pipe_screen *
sw_screen_create(struct sw_winsys *winsys)
{
   return sw_screen_create_vk(winsys, NULL, false);
}

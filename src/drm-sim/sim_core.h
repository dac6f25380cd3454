/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The DRM core's own ioctls: version, capabilities, masters and authentication. Must know no
 * driver's ioctls, nor what GEM and syncobjs are.
 */

#ifndef SIM_CORE_H
#define SIM_CORE_H

#include <stdbool.h>

struct sim_file;
struct sim_ioctl;

/* Of a file of the primary node: the first of a device is its master. */
int sim_core_open_primary(struct sim_file *file);
void sim_core_close(struct sim_file *file);

/* drm_ioctl_permit(): 0 or -EACCES */
int sim_core_permit(const struct sim_file *file, const struct sim_ioctl *ioctl);

int sim_core_version_ioctl(struct sim_file *file, void *data);
int sim_core_get_unique_ioctl(struct sim_file *file, void *data);
int sim_core_get_magic_ioctl(struct sim_file *file, void *data);
int sim_core_auth_magic_ioctl(struct sim_file *file, void *data);
int sim_core_get_client_ioctl(struct sim_file *file, void *data);
int sim_core_get_stats_ioctl(struct sim_file *file, void *data);
int sim_core_get_cap_ioctl(struct sim_file *file, void *data);
int sim_core_set_version_ioctl(struct sim_file *file, void *data);
int sim_core_set_master_ioctl(struct sim_file *file, void *data);
int sim_core_drop_master_ioctl(struct sim_file *file, void *data);
int sim_core_set_client_name_ioctl(struct sim_file *file, void *data);

/* What has no function any more, or only with modesetting */
int sim_core_noop_ioctl(struct sim_file *file, void *data);
int sim_core_invalid_ioctl(struct sim_file *file, void *data);
int sim_core_modeset_ioctl(struct sim_file *file, void *data);
int sim_core_no_dumb_ioctl(struct sim_file *file, void *data);

#endif /* SIM_CORE_H */

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The files by which libdrm finds a device: /dev/dri with a primary and a render node, and what
 * sysfs and debugfs say of them. Nothing of it is on the disk. Must know nothing of ioctls.
 */

#ifndef SIM_VFS_H
#define SIM_VFS_H

#include <dirent.h>
#include <stdbool.h>
#include <sys/stat.h>

enum sim_vfs_kind {
   /* Not a path of ours: ask the real file system. */
   SIM_VFS_FOREIGN,
   /* In a directory of ours, and not there */
   SIM_VFS_NONE,
   SIM_VFS_DIR,
   SIM_VFS_FILE,
   SIM_VFS_LINK,
   SIM_VFS_NODE,
   SIM_VFS_PRIMARY_NODE,
   SIM_VFS_SW_SYNC,
};

struct sim_vfs_entry {
   enum sim_vfs_kind kind;
   char path[128];
   /* Of a file, or where a link leads */
   char content[512];
};

/* Follows no link but "device" on the way. */
struct sim_vfs_entry sim_vfs_find(const char *path);

/* The same for a path relative to an fd of one of our directories */
struct sim_vfs_entry sim_vfs_find_at(int dirfd, const char *path);

/* An fd that stands for a directory */
int sim_vfs_open_dir(const struct sim_vfs_entry *entry, int flags);

void sim_vfs_stat(const struct sim_vfs_entry *entry, struct stat *st);
void sim_vfs_stat_node(unsigned minor, struct stat *st);

/* A read-only fd with the content of a file */
int sim_vfs_open_file(const struct sim_vfs_entry *entry);

/* Streams of our directories: what the interposed functions hand out and get back */
DIR *sim_vfs_opendir(const struct sim_vfs_entry *entry);
bool sim_vfs_owns(DIR *dir);
struct dirent *sim_vfs_readdir(DIR *dir);
void sim_vfs_rewinddir(DIR *dir);
int sim_vfs_closedir(DIR *dir);

#endif /* SIM_VFS_H */

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The files by which libdrm finds a device; see the header. Must know nothing of ioctls.
 */

#include "sim_vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "util/list.h"
#include "util/macros.h"

#include "sim_device.h"
#include "sim_libc.h"

#define DEV_DRI "/dev/dri"
#define SYS_DEV "/sys/dev/char/226:"
#define CLASS   "/sys/class/drm"
#define SYNC    "/sys/kernel/debug/sync"
#define DEBUGFS "/sys/kernel/debug/dri"
#define SW_SYNC "/dev/sw_sync"

enum bus {
   ANY_BUS,
   PLATFORM,
   PCI,
};

/* Everything there is. A directory's entries are those one level below it. */
static const struct {
   enum bus bus;
   const char *path;
   enum sim_vfs_kind kind;
   const char *content;
} entries[] = {
   {ANY_BUS, DEV_DRI, SIM_VFS_DIR, NULL},
   {ANY_BUS, DEV_DRI "/card0", SIM_VFS_PRIMARY_NODE, NULL},
   {ANY_BUS, DEV_DRI "/renderD128", SIM_VFS_NODE, NULL},
   {ANY_BUS, SW_SYNC, SIM_VFS_SW_SYNC, NULL},
   {ANY_BUS, SYNC, SIM_VFS_DIR, NULL},
   {ANY_BUS, SYNC "/sw_sync", SIM_VFS_SW_SYNC, NULL},

   /* $D: the driver, $B: the device's name on its bus */
   {ANY_BUS, DEBUGFS, SIM_VFS_DIR, NULL},
   {ANY_BUS, DEBUGFS "/0", SIM_VFS_DIR, NULL},
   {ANY_BUS, DEBUGFS "/0/name", SIM_VFS_FILE, "$D dev=$B unique=$B\n"},
   {ANY_BUS, DEBUGFS "/128", SIM_VFS_DIR, NULL},
   {ANY_BUS, DEBUGFS "/128/name", SIM_VFS_FILE, "$D dev=$B unique=$B\n"},

   {ANY_BUS, CLASS, SIM_VFS_DIR, NULL},
   {ANY_BUS, CLASS "/card0", SIM_VFS_LINK, "../../dev/char/226:0"},
   {ANY_BUS, CLASS "/renderD128", SIM_VFS_LINK, "../../dev/char/226:128"},
   {ANY_BUS, SYS_DEV "0", SIM_VFS_DIR, NULL},
   {ANY_BUS, SYS_DEV "0/dev", SIM_VFS_FILE, "226:0\n"},
   {ANY_BUS, SYS_DEV "0/uevent", SIM_VFS_FILE,
    "MAJOR=226\nMINOR=0\nDEVNAME=dri/card0\nDEVTYPE=drm_minor\n"},
   {ANY_BUS, SYS_DEV "0/subsystem", SIM_VFS_LINK, "../../../../../class/drm"},
   {ANY_BUS, SYS_DEV "128", SIM_VFS_DIR, NULL},
   {ANY_BUS, SYS_DEV "128/dev", SIM_VFS_FILE, "226:128\n"},
   {ANY_BUS, SYS_DEV "128/uevent", SIM_VFS_FILE,
    "MAJOR=226\nMINOR=128\nDEVNAME=dri/renderD128\nDEVTYPE=drm_minor\n"},
   {ANY_BUS, SYS_DEV "128/subsystem", SIM_VFS_LINK, "../../../../../class/drm"},

   /* The device, which the primary node shows as well: see sim_vfs_find(). */
   {ANY_BUS, SYS_DEV "128/device", SIM_VFS_DIR, NULL},
   {ANY_BUS, SYS_DEV "128/device/driver", SIM_VFS_LINK, "../../../bus/drivers/$D"},
   {ANY_BUS, SYS_DEV "128/device/drm", SIM_VFS_DIR, NULL},
   {ANY_BUS, SYS_DEV "128/device/drm/card0", SIM_VFS_DIR, NULL},
   {ANY_BUS, SYS_DEV "128/device/drm/card0/dev", SIM_VFS_FILE, "226:0\n"},
   {ANY_BUS, SYS_DEV "128/device/drm/renderD128", SIM_VFS_DIR, NULL},
   {ANY_BUS, SYS_DEV "128/device/drm/renderD128/dev", SIM_VFS_FILE, "226:128\n"},

   /* $C: what the device tree calls the GPU */
   {PLATFORM, SYS_DEV "128/device/subsystem", SIM_VFS_LINK, "../../../bus/platform"},
   {PLATFORM, SYS_DEV "128/device/uevent", SIM_VFS_FILE,
    "DRIVER=$D\nOF_NAME=gpu\nOF_FULLNAME=/gpu@fb000000\nOF_COMPATIBLE_0=$C\n"
    "OF_COMPATIBLE_N=1\nMODALIAS=of:NgpuT(null)\n"},

   /* $V, $P: vendor and product */
   {PCI, SYS_DEV "128/device/subsystem", SIM_VFS_LINK, "../../../bus/pci"},
   {PCI, SYS_DEV "128/device/uevent", SIM_VFS_FILE,
    "DRIVER=$D\nPCI_CLASS=30000\nPCI_ID=$V:$P\nPCI_SUBSYS_ID=$V:0001\n"
    "PCI_SLOT_NAME=$B\n"},
   {PCI, SYS_DEV "128/device/vendor", SIM_VFS_FILE, "0x$V\n"},
   {PCI, SYS_DEV "128/device/device", SIM_VFS_FILE, "0x$P\n"},
   {PCI, SYS_DEV "128/device/subsystem_vendor", SIM_VFS_FILE, "0x$V\n"},
   {PCI, SYS_DEV "128/device/subsystem_device", SIM_VFS_FILE, "0x0001\n"},
   {PCI, SYS_DEV "128/device/revision", SIM_VFS_FILE, "0x0c\n"},
};

struct vfs_dir {
   struct list_head link;
   char path[128];
   unsigned next;
   struct dirent entry;
};

static struct list_head open_dirs = {&open_dirs, &open_dirs};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool
is_below(const char *path, const char *dir)
{
   size_t length = strlen(dir);

   return !strncmp(path, dir, length) && (path[length] == '\0' || path[length] == '/');
}

/* Without doubled and trailing slashes; false if it does not fit. */
static bool
normalize(const char *path, char *out, size_t size)
{
   size_t length = 0;

   for (const char *c = path; *c; c++) {
      if (*c == '/' && (c[1] == '/' || c[1] == '\0') && c != path)
         continue;
      if (length + 1 >= size)
         return false;
      out[length++] = *c;
   }
   out[length] = '\0';
   return true;
}

static bool
is_on_bus(unsigned i, const struct sim_driver *driver)
{
   enum bus bus = driver->of_compatible ? PLATFORM : PCI;

   return entries[i].bus == ANY_BUS || entries[i].bus == bus;
}

/* Puts what is known of the driver in place of the table's $X. */
static void
fill_content(struct sim_vfs_entry *entry, const char *content, const struct sim_driver *driver)
{
   size_t length = 0;

   entry->content[0] = '\0';
   for (const char *c = content; c && *c; c++) {
      char text[64] = {*c};

      if (*c == '$') {
         switch (*++c) {
         case 'D':
            snprintf(text, sizeof(text), "%s", driver->name);
            break;
         case 'C':
            snprintf(text, sizeof(text), "%s", driver->of_compatible);
            break;
         case 'B':
            snprintf(text, sizeof(text), "%s",
                     driver->of_compatible ? SIM_PLATFORM_NAME : SIM_PCI_SLOT);
            break;
         case 'V':
            snprintf(text, sizeof(text), "%04x", driver->pci_vendor);
            break;
         case 'P':
            snprintf(text, sizeof(text), "%04x", driver->pci_device);
            break;
         }
      }
      length += snprintf(entry->content + length, sizeof(entry->content) - length, "%s", text);
      if (length >= sizeof(entry->content))
         break;
   }
}

static bool
is_ours(const char *path)
{
   static const char *const roots[] = {
      DEV_DRI, SYS_DEV "0", SYS_DEV "128", CLASS, SYNC, DEBUGFS, SW_SYNC,
   };

   for (unsigned i = 0; i < ARRAY_SIZE(roots); i++) {
      if (is_below(path, roots[i]))
         return true;
   }
   return false;
}

/* Both nodes are of one device. */
static void
follow_device(char *path, size_t size)
{
   const char primary[] = SYS_DEV "0/device";
   char followed[128];

   if (is_below(path, primary)) {
      snprintf(followed, sizeof(followed), SYS_DEV "128/device%s", path + sizeof(primary) - 1);
      snprintf(path, size, "%s", followed);
   }
}

struct sim_vfs_entry
sim_vfs_find(const char *path)
{
   struct sim_vfs_entry found = {.kind = SIM_VFS_FOREIGN};

   /* Most paths of a program end here. */
   if (!path || (strncmp(path, "/dev/", 5) && strncmp(path, "/sys/", 5)))
      return found;
   if (!normalize(path, found.path, sizeof(found.path)))
      return found;
   if (!is_ours(found.path))
      return found;
   follow_device(found.path, sizeof(found.path));

   struct sim_device device;
   bool has_device = sim_device_current(&device);
   found.kind = SIM_VFS_NONE;
   for (unsigned i = 0; has_device && i < ARRAY_SIZE(entries); i++) {
      if (is_on_bus(i, device.driver) && !strcmp(found.path, entries[i].path)) {
         found.kind = entries[i].kind;
         fill_content(&found, entries[i].content, device.driver);
      }
   }
   return found;
}

/* A directory's fd is a file without contents whose name is the path. */
#define DIR_PREFIX "drm-sim-dir:"

int
sim_vfs_open_dir(const struct sim_vfs_entry *entry, int flags)
{
   char name[sizeof(DIR_PREFIX) + sizeof(entry->path)];

   if (flags & (O_WRONLY | O_RDWR))
      return -EISDIR;
   snprintf(name, sizeof(name), DIR_PREFIX "%s", entry->path);
   int fd = memfd_create(name, flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
   return fd < 0 ? -errno : fd;
}

/* The path of such an fd; false for any other */
static bool
dir_path(int fd, char *path, size_t size)
{
   const char prefix[] = "/memfd:" DIR_PREFIX, suffix[] = " (deleted)";
   char link[64], target[256];

   snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
   ssize_t length = sim_libc()->readlinkat(AT_FDCWD, link, target, sizeof(target) - 1);
   if (length < (ssize_t)sizeof(prefix) || strncmp(target, prefix, sizeof(prefix) - 1))
      return false;
   target[length] = '\0';
   char *end = strstr(target, suffix);
   if (end)
      *end = '\0';
   snprintf(path, size, "%s", target + sizeof(prefix) - 1);
   return true;
}

struct sim_vfs_entry
sim_vfs_find_at(int dirfd, const char *path)
{
   char dir[128], joined[256];

   if (!path || path[0] == '/' || dirfd < 0 || !dir_path(dirfd, dir, sizeof(dir)))
      return sim_vfs_find(path);
   if (!*path || !strcmp(path, "."))
      return sim_vfs_find(dir);
   snprintf(joined, sizeof(joined), "%s/%s", dir, path);
   return sim_vfs_find(joined);
}

void
sim_vfs_stat_node(unsigned minor, struct stat *st)
{
   memset(st, 0, sizeof(*st));
   st->st_mode = S_IFCHR | 0666;
   st->st_nlink = 1;
   st->st_rdev = makedev(SIM_DRM_MAJOR, minor);
   st->st_dev = 5;
   st->st_ino = 100 + minor;
   st->st_blksize = 4096;
}

void
sim_vfs_stat(const struct sim_vfs_entry *entry, struct stat *st)
{
   sim_vfs_stat_node(entry->kind == SIM_VFS_PRIMARY_NODE ? SIM_PRIMARY_MINOR : SIM_RENDER_MINOR,
                     st);
   switch (entry->kind) {
   case SIM_VFS_DIR:
      st->st_mode = S_IFDIR | 0755;
      break;
   case SIM_VFS_FILE:
      st->st_mode = S_IFREG | 0444;
      break;
   case SIM_VFS_LINK:
      st->st_mode = S_IFLNK | 0777;
      break;
   case SIM_VFS_SW_SYNC:
      st->st_mode = S_IFREG | 0666;
      break;
   default:
      return;
   }
   st->st_rdev = 0;
   st->st_size = entry->kind == SIM_VFS_DIR ? 0 : 4096;
   st->st_ino = 1000;
   for (const char *c = entry->path; *c; c++)
      st->st_ino = st->st_ino * 31 + *c;
}

int
sim_vfs_open_file(const struct sim_vfs_entry *entry)
{
   size_t length = strlen(entry->content);
   int fd = memfd_create("drm-sim-sysfs", MFD_CLOEXEC);

   if (fd < 0)
      return -errno;
   if (write(fd, entry->content, length) != (ssize_t)length || lseek(fd, 0, SEEK_SET) < 0) {
      sim_libc()->close(fd);
      return -EIO;
   }
   return fd;
}

DIR *
sim_vfs_opendir(const struct sim_vfs_entry *entry)
{
   struct vfs_dir *dir = calloc(1, sizeof(*dir));

   if (!dir)
      return NULL;
   memcpy(dir->path, entry->path, sizeof(dir->path));
   pthread_mutex_lock(&lock);
   list_add(&dir->link, &open_dirs);
   pthread_mutex_unlock(&lock);
   return (DIR *)dir;
}

bool
sim_vfs_owns(DIR *dir)
{
   bool owns = false;

   pthread_mutex_lock(&lock);
   list_for_each_entry (struct vfs_dir, open_dir, &open_dirs, link)
      owns |= (DIR *)open_dir == dir;
   pthread_mutex_unlock(&lock);
   return owns;
}

/* The name of an entry directly in a directory, or NULL */
static const char *
name_in(const char *path, const char *dir)
{
   size_t length = strlen(dir);

   if (strncmp(path, dir, length) || path[length] != '/' || strchr(path + length + 1, '/'))
      return NULL;
   return path + length + 1;
}

struct dirent *
sim_vfs_readdir(DIR *stream)
{
   struct vfs_dir *dir = (struct vfs_dir *)stream;

   struct sim_device device;

   if (!sim_device_current(&device))
      return NULL;

   /* Without "." and "..", which POSIX allows. */
   while (dir->next < ARRAY_SIZE(entries)) {
      unsigned i = dir->next++;
      const char *name = name_in(entries[i].path, dir->path);

      if (!name || !is_on_bus(i, device.driver))
         continue;
      dir->entry.d_ino = i + 1;
      dir->entry.d_off = i;
      dir->entry.d_reclen = sizeof(dir->entry);
      dir->entry.d_type = DT_UNKNOWN;
      snprintf(dir->entry.d_name, sizeof(dir->entry.d_name), "%s", name);
      return &dir->entry;
   }
   return NULL;
}

void
sim_vfs_rewinddir(DIR *stream)
{
   struct vfs_dir *dir = (struct vfs_dir *)stream;

   dir->next = 0;
}

int
sim_vfs_closedir(DIR *stream)
{
   struct vfs_dir *dir = (struct vfs_dir *)stream;

   pthread_mutex_lock(&lock);
   list_del(&dir->link);
   pthread_mutex_unlock(&lock);
   free(dir);
   return 0;
}

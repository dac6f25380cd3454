/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The device behind the render node, open files of it, and the DRM core's part of ioctl(). A driver
 * (a personality) is a table of its own ioctls and a few hooks. Must know no driver's ioctls.
 */

#ifndef SIM_DEVICE_H
#define SIM_DEVICE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "sim_handles.h"

struct sim_bo;
struct sim_file;
struct sim_master;
struct sim_vm;

struct sim_ioctl {
   /* With the size that this kernel knows; 0 for a number without a function */
   uint32_t cmd;
   int (*func)(struct sim_file *file, void *data);
   /* Instead, for an ioctl that the driver takes past the DRM core: the argument has the caller's size,
    * goes in and, if all went well, out, and nobody is asked for permission.
    */
   int (*sized_func)(struct sim_file *file, void *data, uint32_t size);
   /* In lower case, without prefix */
   const char *name;
   /* The driver's minor version that brought it */
   unsigned since_minor;
   /* -EACCES on a render node (every ioctl but those that are marked in the kernel), and for who is
    * not authenticated, not master or not root
    */
   bool not_render;
   bool needs_auth;
   bool needs_master;
   bool needs_root;
};

struct sim_driver {
   const char *name;
   const char *desc;
   const char *date;
   unsigned major;
   unsigned patchlevel;
   unsigned min_minor;
   unsigned max_minor;
   unsigned va_bits;
   /* For the sysfs files that libdrm reads: of a platform device, or of a PCI device with its ids */
   const char *of_compatible;
   uint16_t pci_vendor;
   uint16_t pci_device;

   /* By number from DRM_COMMAND_BASE */
   const struct sim_ioctl *ioctls;
   unsigned ioctl_count;

   /* NULL if there is nothing to do */
   int (*open)(struct sim_file *file);
   void (*close)(struct sim_file *file);
   /* 0 if a BO may become a dma-buf */
   int (*check_export)(const struct sim_bo *bo);
   /* A handle of the BO has been closed; NULL if that concerns nobody. */
   void (*gem_close)(struct sim_file *file, struct sim_bo *bo);
   /* mmap() at an offset that is no BO's; NULL if there are none such. MAP_FAILED and errno. */
   void *(*mmap)(struct sim_file *file, void *addr, uint64_t size_B, int prot, int flags,
                 uint64_t offset);
   /* With a reference */
   struct sim_vm *(*find_vm)(struct sim_file *file, uint32_t vm_id);
};

extern const struct sim_driver sim_panthor_driver;
extern const struct sim_driver sim_msm_driver;
extern const struct sim_driver sim_xe_driver;
extern const struct sim_driver sim_nouveau_driver;
extern const struct sim_driver sim_amdgpu_driver;
extern const struct sim_driver sim_powervr_driver;
extern const struct sim_driver sim_asahi_driver;

/* A driver at one version with one set of options */
struct sim_device {
   const struct sim_driver *driver;
   unsigned minor;
   unsigned va_bits;
   /* msm: the SMMU has no partially resident regions */
   bool no_prr;
   /* As a real GPU's mappings: not at the host's addresses. */
   bool unseen;
};

struct sim_file {
   int32_t refcount;
   /* The one that the node showed when it was opened */
   struct sim_device device;
   /* Guards all three tables, and what a driver says that it guards */
   pthread_mutex_t lock;
   struct sim_handles bos;
   struct sim_handles syncobjs;
   /* Of drivers whose files have more than one (sim_vm) */
   struct sim_handles vms;
   void *priv;

   /* Of the primary node; guarded by the lock of all masters (sim_core.c). */
   bool is_primary;
   bool is_master;
   bool was_master;
   bool authenticated;
   bool magic_is_used;
   uint32_t magic;
   pid_t pid;
   struct sim_master *master;
};

/* The nodes' numbers */
#define SIM_DRM_MAJOR     226
#define SIM_PRIMARY_MINOR 0
#define SIM_RENDER_MINOR  128

/* What the device is called on its bus */
#define SIM_PLATFORM_NAME "fb000000.gpu"
#define SIM_PCI_SLOT      "0000:00:02.0"

/* The device that the node shows now; false if there is to be none. */
bool sim_device_current(struct sim_device *device);

/* "panthor", "panthor-1.0", "msm:va=40:noprr", "none"; -EINVAL for what is not known. For files
 * opened from now on.
 */
int sim_device_select(const char *spec);

/* A new fd of a node, by its minor number, or a negative errno */
int sim_file_open(unsigned minor, int flags);
/* Of which node an fd is; -ENOTTY for others */
int sim_file_minor(int fd);
struct sim_file *sim_file_from_fd(int fd);
void sim_file_put(struct sim_file *file);

/* ioctl() on the node: 0 or a negative errno, as the kernel's drm_ioctl(). */
int sim_file_ioctl(struct sim_file *file, unsigned long request, void *arg);

void *sim_file_mmap(struct sim_file *file, void *addr, uint64_t size_B, int prot, int flags,
                    uint64_t offset);

/* How many ioctls of this name were called in this process, whatever they returned */
uint64_t sim_ioctl_count(const char *name);

/* Whether any driver, or the core, has an ioctl of this name */
bool sim_ioctl_is_known(const char *name);
/* The names of the chosen driver's and the core's, with commas between */
void sim_ioctl_list_names(char *text, size_t size);

#endif /* SIM_DEVICE_H */

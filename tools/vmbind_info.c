/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * vmbind info: what a node's kernel driver can do with VM_BIND.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xf86drm.h>

#include "vmbind/vmb_vm.h"

#include "vmbind_tool.h"

#define MAX_NODES 16

static void
print_size(const char *what, uint64_t size_B)
{
   static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
   unsigned unit = 0;

   while (unit + 1 < ARRAY_SIZE(units) && size_B && size_B % 1024 == 0) {
      size_B /= 1024;
      unit++;
   }
   printf("   %-22s %" PRIu64 " %s\n", what, size_B, units[unit]);
}

static const char *
yes(bool value)
{
   return value ? "yes" : "no";
}

static void
print_caps(const char *node, const struct vmb_caps *caps)
{
   static const char *const null_modes[] = {
      [VMB_NULL_NONE] = "none",
      [VMB_NULL_NATIVE] = "native",
      [VMB_NULL_REPEAT] = "a page of its own",
      [VMB_NULL_REGION] = "a region a range",
      [VMB_NULL_BLACK_HOLE] = "a BO of its own",
   };

   printf("%s\n", node);
   printf("   %-22s %s %d.%d\n", "kernel driver", caps->driver, caps->version_major,
          caps->version_minor);
   printf("   %-22s 0x%" PRIx64 " to 0x%" PRIx64 "\n", "addresses", caps->va_start_B,
          caps->va_start_B + caps->va_range_B);
   print_size("page", caps->page_size_B);
   print_size("block", caps->block_size_B);
   printf("   %-22s %s\n", "tree changes", caps->staged ? "at the ioctl (staged)"
                                                        : "when the bind runs (immediate)");
   printf("   %-22s %s\n", "binds in order", caps->fifo_per_vm ? "of a VM" : "of a queue");
   printf("   %-22s %s\n", "synchronous bind", yes(caps->immediate_bind));
   printf("   %-22s %s\n", "binds wait in",
          caps->sync_mode == VMB_SYNC_KERNEL ? "the kernel" : "a thread");
   printf("   %-22s %u\n", "operations an ioctl", caps->max_ops);
   printf("   %-22s %u\n", "VMs an open file", caps->max_vms);
   printf("   %-22s %s\n", "null mapping", null_modes[caps->null_mode]);
   printf("   %-22s %s\n", "unbound reads", caps->null_mode == VMB_NULL_NONE ? "fault"
                                            : caps->null_strict              ? "zero"
                                                                             : "undefined");
   printf("   %-22s %s%s\n", "sparse features",
          caps->kernel_addresses ? "none" : "sparse binding",
          caps->kernel_addresses              ? ": addresses are the kernel's"
          : caps->null_mode == VMB_NULL_NONE ? "; no residency: the driver has no null mapping"
          : caps->null_strict              ? ", residency, aliased, strict"
                                           : ", residency, aliased");
}

/* 0, or negative errno after the core's message. */
static int
show(const char *node)
{
   const int fd = open(node, O_RDWR | O_CLOEXEC);
   if (fd < 0) {
      tool_error(TOOL_FAILED, "%s: %s", node, strerror(errno));
      return -errno;
   }
   drmVersionPtr version = drmGetVersion(fd);
   drmFreeVersion(version);
   if (!version) {
      tool_error(TOOL_FAILED, "%s is not a DRM device; \"vmbind info\" finds those that are there", node);
      close(fd);
      return -ENODEV;
   }
   struct vmb_device *dev;
   const int ret = vmb_device_create(&(struct vmb_device_params){ .drm_fd = fd }, &dev);
   close(fd);
   if (ret)
      return ret;
   print_caps(node, vmb_device_caps(dev));
   vmb_device_destroy(dev);
   return 0;
}

static int
show_all(void)
{
   drmDevicePtr devices[MAX_NODES];
   const int count = drmGetDevices2(0, devices, MAX_NODES);
   unsigned nodes = 0, shown = 0;

   for (int i = 0; i < count; i++) {
      if (!(devices[i]->available_nodes & 1 << DRM_NODE_RENDER))
         continue;
      nodes++;
      shown += show(devices[i]->nodes[DRM_NODE_RENDER]) == 0;
   }
   if (count > 0)
      drmFreeDevices(devices, count);

   if (!nodes) {
      return tool_error(TOOL_FAILED, "no DRM render node here; \"vmbind info --kmd panthor\" shows a "
                                     "simulated one");
   }
   if (!shown)
      return tool_error(TOOL_FAILED, "no render node with a kernel driver that vmbind can use");
   return 0;
}

int
cmd_info(int argc, char **argv)
{
   const char *kmd = NULL, *node = NULL;

   for (int i = 1; i < argc; i++) {
      if (!strcmp(argv[i], "--kmd") && i + 1 < argc)
         kmd = argv[++i];
      else if (!strcmp(argv[i], "--node") && i + 1 < argc)
         node = argv[++i];
      else
         return tool_usage_error("info", "unknown option or missing value: %s", argv[i]);
   }

   if (kmd) {
      /* Again, with the simulated node. */
      const int status = tool_use_simulator(kmd);
      if (status)
         return status;
      execl("/proc/self/exe", "vmbind", "info", node ? "--node" : NULL, node, NULL);
      return tool_error(TOOL_FAILED, "/proc/self/exe: %s", strerror(errno));
   }
   return node ? (show(node) ? TOOL_FAILED : 0) : show_all();
}

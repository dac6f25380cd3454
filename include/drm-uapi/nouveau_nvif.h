/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What DRM_NOUVEAU_NVIF takes: facts of the ABI as of Linux 7.3, in our own text; of the old object
 * interface what the kernel has kept, which is what user space ever used: the device's description,
 * the classes of a channel, objects of these. No header of the kernel's own UAPI has it: drivers
 * carry a copy of nvif/ioctl.h, nvif/cl0080.h and nvif/class.h. Must not know of any other driver.
 */

#ifndef __NOUVEAU_NVIF_H__
#define __NOUVEAU_NVIF_H__

#include "drm.h"

#ifdef __cplusplus
extern "C" {
#endif

#define NVIF_IOCTL_V0_SCLASS 0x01
#define NVIF_IOCTL_V0_NEW    0x02
#define NVIF_IOCTL_V0_DEL    0x03
#define NVIF_IOCTL_V0_MTHD   0x04

/* Of the file; of the channel that the token names */
#define NVIF_IOCTL_V0_ROUTE_NVIF   0x00
#define NVIF_IOCTL_V0_ROUTE_HIDDEN 0xff

/* The argument begins with this; what follows is that of its type. */
struct nvif_ioctl_v0 {
   __u8 version;
   __u8 type;
   __u8 pad02[4];
   __u8 owner;
   __u8 route;
   __u64 token;
   __u64 object;
};

struct nvif_ioctl_sclass_oclass_v0 {
   __s32 oclass;
   __s16 minver;
   __s16 maxver;
};

/* In: room for how many, which follow; out: how many there are */
struct nvif_ioctl_sclass_v0 {
   __u8 version;
   __u8 count;
   __u8 pad02[6];
};

struct nvif_ioctl_new_v0 {
   __u8 version;
   __u8 pad01[6];
   __u8 route;
   __u64 token;
   __u64 object;
   __u32 handle;
   __s32 oclass;
};

struct nvif_ioctl_mthd_v0 {
   __u8 version;
   __u8 method;
   __u8 pad02[6];
};

/* Classes: the device, and what a Turing GPU's channels have */
#define NV_DEVICE                 0x00000080
#define FERMI_TWOD_A              0x0000902d
#define KEPLER_INLINE_TO_MEMORY_B 0x0000a140
#define TURING_A                  0x0000c597
#define TURING_COMPUTE_A          0x0000c5c0
#define TURING_DMA_COPY_A         0x0000c5b5
#define NVC4B0_VIDEO_DECODER      0x0000c4b0

/* The device's one method that is left */
#define NV_DEVICE_V0_INFO 0x00

#define NV_DEVICE_INFO_V0_PCIE   0x03
#define NV_DEVICE_INFO_V0_TURING 0x0c

struct nv_device_info_v0 {
   __u8 version;
   __u8 platform;
   __u16 chipset;
   __u8 revision;
   __u8 family;
   __u8 pad06[2];
   __u64 ram_size;
   __u64 ram_user;
   char chip[16];
   char name[64];
};

#ifdef __cplusplus
}
#endif

#endif /* __NOUVEAU_NVIF_H__ */

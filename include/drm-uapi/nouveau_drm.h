/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The UAPI of nouveau, the kernel driver of NVIDIA's GPUs: facts of the ABI as of Linux 7.3, in our
 * own text; what VM_BIND, BOs, parameters, channels and submits need. Must not know of any other
 * driver.
 */

#ifndef __NOUVEAU_DRM_H__
#define __NOUVEAU_DRM_H__

#include "drm.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Parameters */

#define NOUVEAU_GETPARAM_PCI_VENDOR       3
#define NOUVEAU_GETPARAM_PCI_DEVICE       4
#define NOUVEAU_GETPARAM_BUS_TYPE         5
#define NOUVEAU_GETPARAM_FB_SIZE          8
#define NOUVEAU_GETPARAM_AGP_SIZE         9
#define NOUVEAU_GETPARAM_CHIPSET_ID       11
#define NOUVEAU_GETPARAM_VM_VRAM_BASE     12
#define NOUVEAU_GETPARAM_GRAPH_UNITS      13
#define NOUVEAU_GETPARAM_PTIMER_TIME      14
#define NOUVEAU_GETPARAM_HAS_BO_USAGE     15
#define NOUVEAU_GETPARAM_HAS_PAGEFLIP     16
#define NOUVEAU_GETPARAM_EXEC_PUSH_MAX    17
#define NOUVEAU_GETPARAM_VRAM_BAR_SIZE    18
#define NOUVEAU_GETPARAM_VRAM_USED        19
#define NOUVEAU_GETPARAM_HAS_VMA_TILEMODE 20

struct drm_nouveau_getparam {
   __u64 param;
   __u64 value;
};

/* Channels */

#define NOUVEAU_FIFO_ENGINE_GR    0x01
#define NOUVEAU_FIFO_ENGINE_VP    0x02
#define NOUVEAU_FIFO_ENGINE_PPP   0x04
#define NOUVEAU_FIFO_ENGINE_BSP   0x08
#define NOUVEAU_FIFO_ENGINE_CE    0x30
#define NOUVEAU_FIFO_ENGINE_NVDEC 0x300

struct drm_nouveau_channel_alloc {
   __u32 fb_ctxdma_handle;
   __u32 tt_ctxdma_handle;
   __s32 channel;
   __u32 pushbuf_domains;
   __u32 notifier_handle;
   struct {
      __u32 handle;
      __u32 grclass;
   } subchan[8];
   __u32 nr_subchan;
};

struct drm_nouveau_channel_free {
   __s32 channel;
};

/* BO */

#define NOUVEAU_GEM_DOMAIN_CPU       (1 << 0)
#define NOUVEAU_GEM_DOMAIN_VRAM      (1 << 1)
#define NOUVEAU_GEM_DOMAIN_GART      (1 << 2)
#define NOUVEAU_GEM_DOMAIN_MAPPABLE  (1 << 3)
#define NOUVEAU_GEM_DOMAIN_COHERENT  (1 << 4)
#define NOUVEAU_GEM_DOMAIN_NO_SHARE  (1 << 5)
#define NOUVEAU_GEM_TILE_COMP        0x00030000
#define NOUVEAU_GEM_TILE_LAYOUT_MASK 0x0000ff00
#define NOUVEAU_GEM_TILE_16BPP       0x00000001
#define NOUVEAU_GEM_TILE_32BPP       0x00000002
#define NOUVEAU_GEM_TILE_ZETA        0x00000004
#define NOUVEAU_GEM_TILE_NONCONTIG   0x00000008

struct drm_nouveau_gem_info {
   __u32 handle;
   __u32 domain;
   __u64 size;
   __u64 offset;
   __u64 map_handle;
   __u32 tile_mode;
   __u32 tile_flags;
};

struct drm_nouveau_gem_new {
   struct drm_nouveau_gem_info info;
   __u32 channel_hint;
   __u32 align;
};

#define NOUVEAU_GEM_CPU_PREP_NOWAIT 0x00000001
#define NOUVEAU_GEM_CPU_PREP_WRITE  0x00000004

struct drm_nouveau_gem_cpu_prep {
   __u32 handle;
   __u32 flags;
};

struct drm_nouveau_gem_cpu_fini {
   __u32 handle;
};

/* VM */

struct drm_nouveau_vm_init {
   __u64 kernel_managed_addr;
   __u64 kernel_managed_size;
};

#define DRM_NOUVEAU_SYNC_SYNCOBJ          0x0
#define DRM_NOUVEAU_SYNC_TIMELINE_SYNCOBJ 0x1
#define DRM_NOUVEAU_SYNC_TYPE_MASK        0xf

struct drm_nouveau_sync {
   __u32 flags;
   __u32 handle;
   __u64 timeline_value;
};

#define DRM_NOUVEAU_VM_BIND_OP_MAP    0x0
#define DRM_NOUVEAU_VM_BIND_OP_UNMAP  0x1
#define DRM_NOUVEAU_VM_BIND_SPARSE    (1 << 8)
#define DRM_NOUVEAU_VM_BIND_RUN_ASYNC 0x1

struct drm_nouveau_vm_bind_op {
   __u32 op;
   __u32 flags;
   __u32 handle;
   __u32 pad;
   __u64 addr;
   __u64 bo_offset;
   __u64 range;
};

struct drm_nouveau_vm_bind {
   __u32 op_count;
   __u32 flags;
   __u32 wait_count;
   __u32 sig_count;
   __u64 wait_ptr;
   __u64 sig_ptr;
   __u64 op_ptr;
};

/* Submits */

#define DRM_NOUVEAU_EXEC_PUSH_NO_PREFETCH 0x1

struct drm_nouveau_exec_push {
   __u64 va;
   __u32 va_len;
   __u32 flags;
};

struct drm_nouveau_exec {
   __u32 channel;
   __u32 push_count;
   __u32 wait_count;
   __u32 sig_count;
   __u64 wait_ptr;
   __u64 sig_ptr;
   __u64 push_ptr;
};

/* The ioctls */

#define DRM_NOUVEAU_GETPARAM      0x00
#define DRM_NOUVEAU_CHANNEL_ALLOC 0x02
#define DRM_NOUVEAU_CHANNEL_FREE  0x03
#define DRM_NOUVEAU_NVIF          0x07
#define DRM_NOUVEAU_VM_INIT       0x10
#define DRM_NOUVEAU_VM_BIND       0x11
#define DRM_NOUVEAU_EXEC          0x12
#define DRM_NOUVEAU_GEM_NEW       0x40
#define DRM_NOUVEAU_GEM_CPU_PREP  0x42
#define DRM_NOUVEAU_GEM_CPU_FINI  0x43
#define DRM_NOUVEAU_GEM_INFO      0x44

#define DRM_IOCTL_NOUVEAU_GETPARAM                                                                 \
   DRM_IOWR(DRM_COMMAND_BASE + DRM_NOUVEAU_GETPARAM, struct drm_nouveau_getparam)
#define DRM_IOCTL_NOUVEAU_CHANNEL_ALLOC                                                            \
   DRM_IOWR(DRM_COMMAND_BASE + DRM_NOUVEAU_CHANNEL_ALLOC, struct drm_nouveau_channel_alloc)
#define DRM_IOCTL_NOUVEAU_CHANNEL_FREE                                                             \
   DRM_IOW(DRM_COMMAND_BASE + DRM_NOUVEAU_CHANNEL_FREE, struct drm_nouveau_channel_free)
#define DRM_IOCTL_NOUVEAU_GEM_NEW                                                                  \
   DRM_IOWR(DRM_COMMAND_BASE + DRM_NOUVEAU_GEM_NEW, struct drm_nouveau_gem_new)
#define DRM_IOCTL_NOUVEAU_GEM_CPU_PREP                                                             \
   DRM_IOW(DRM_COMMAND_BASE + DRM_NOUVEAU_GEM_CPU_PREP, struct drm_nouveau_gem_cpu_prep)
#define DRM_IOCTL_NOUVEAU_GEM_CPU_FINI                                                             \
   DRM_IOW(DRM_COMMAND_BASE + DRM_NOUVEAU_GEM_CPU_FINI, struct drm_nouveau_gem_cpu_fini)
#define DRM_IOCTL_NOUVEAU_GEM_INFO                                                                 \
   DRM_IOWR(DRM_COMMAND_BASE + DRM_NOUVEAU_GEM_INFO, struct drm_nouveau_gem_info)
#define DRM_IOCTL_NOUVEAU_VM_INIT                                                                  \
   DRM_IOWR(DRM_COMMAND_BASE + DRM_NOUVEAU_VM_INIT, struct drm_nouveau_vm_init)
#define DRM_IOCTL_NOUVEAU_VM_BIND                                                                  \
   DRM_IOWR(DRM_COMMAND_BASE + DRM_NOUVEAU_VM_BIND, struct drm_nouveau_vm_bind)
#define DRM_IOCTL_NOUVEAU_EXEC                                                                     \
   DRM_IOWR(DRM_COMMAND_BASE + DRM_NOUVEAU_EXEC, struct drm_nouveau_exec)

#ifdef __cplusplus
}
#endif

#endif /* __NOUVEAU_DRM_H__ */

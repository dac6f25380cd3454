/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The kernel's UAPI that every DRM driver shares: facts of the ABI as of Linux 7.3, in our own
 * text. Has what libdrm's xf86drm.h needs, GEM, PRIME, capabilities and synchronisation objects;
 * neither modesetting nor anything from before GEM. The guard is the kernel's, so that only one of
 * the two is ever seen. Must not know of any single driver.
 */

#ifndef _DRM_H_
#define _DRM_H_

#include <linux/types.h>
#include <asm/ioctl.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DRM_NAME "drm"

/* Names from the time before GEM, which xf86drm.h still speaks of. */

typedef unsigned int drm_handle_t;
typedef unsigned int drm_context_t;
typedef unsigned int drm_drawable_t;
typedef unsigned int drm_magic_t;

typedef enum {
   DRM_DRAWABLE_CLIPRECTS,
} drm_drawable_info_type_t;

struct drm_clip_rect {
   unsigned short x1;
   unsigned short y1;
   unsigned short x2;
   unsigned short y2;
};

typedef struct drm_clip_rect drm_clip_rect_t;

/* Ioctl numbers: the core's are below DRM_COMMAND_BASE and from DRM_COMMAND_END up. */

#define DRM_IOCTL_BASE     'd'
#define DRM_IO(nr)         _IO(DRM_IOCTL_BASE, nr)
#define DRM_IOR(nr, type)  _IOR(DRM_IOCTL_BASE, nr, type)
#define DRM_IOW(nr, type)  _IOW(DRM_IOCTL_BASE, nr, type)
#define DRM_IOWR(nr, type) _IOWR(DRM_IOCTL_BASE, nr, type)

#define DRM_COMMAND_BASE 0x40
#define DRM_COMMAND_END  0xA0

/* Device and file */

struct drm_version {
   int version_major;
   int version_minor;
   int version_patchlevel;
   /* The three lengths: room on the way in, the string's own length on the way out. */
   __kernel_size_t name_len;
   char *name;
   __kernel_size_t date_len;
   char *date;
   __kernel_size_t desc_len;
   char *desc;
};

struct drm_unique {
   __kernel_size_t unique_len;
   char *unique;
};

struct drm_client {
   int idx;
   int auth;
   unsigned long pid;
   unsigned long uid;
   unsigned long magic;
   unsigned long iocs;
};

struct drm_auth {
   drm_magic_t magic;
};

/* All zero since the drivers that counted are gone. */
struct drm_stats {
   unsigned long count;
   struct {
      unsigned long value;
      unsigned int type;
   } data[15];
};

struct drm_set_version {
   int drm_di_major;
   int drm_di_minor;
   int drm_dd_major;
   int drm_dd_minor;
};

#define DRM_CLIENT_NAME_MAX_LEN 64

struct drm_set_client_name {
   __u64 name_len;
   /* Address of the name, without a terminating zero. */
   __u64 name;
};

#define DRM_CAP_DUMB_BUFFER            0x1
#define DRM_CAP_VBLANK_HIGH_CRTC       0x2
#define DRM_CAP_DUMB_PREFERRED_DEPTH   0x3
#define DRM_CAP_DUMB_PREFER_SHADOW     0x4
#define DRM_CAP_PRIME                  0x5
#define DRM_CAP_TIMESTAMP_MONOTONIC    0x6
#define DRM_CAP_ASYNC_PAGE_FLIP        0x7
#define DRM_CAP_CURSOR_WIDTH           0x8
#define DRM_CAP_CURSOR_HEIGHT          0x9
#define DRM_CAP_ADDFB2_MODIFIERS       0x10
#define DRM_CAP_PAGE_FLIP_TARGET       0x11
#define DRM_CAP_CRTC_IN_VBLANK_EVENT   0x12
#define DRM_CAP_SYNCOBJ                0x13
#define DRM_CAP_SYNCOBJ_TIMELINE       0x14
#define DRM_CAP_ATOMIC_ASYNC_PAGE_FLIP 0x15

/* The value of DRM_CAP_PRIME */
#define DRM_PRIME_CAP_IMPORT 0x1
#define DRM_PRIME_CAP_EXPORT 0x2

struct drm_get_cap {
   __u64 capability;
   __u64 value;
};

#define DRM_CLIENT_CAP_STEREO_3D            1
#define DRM_CLIENT_CAP_UNIVERSAL_PLANES     2
#define DRM_CLIENT_CAP_ATOMIC               3
#define DRM_CLIENT_CAP_ASPECT_RATIO         4
#define DRM_CLIENT_CAP_WRITEBACK_CONNECTORS 5
#define DRM_CLIENT_CAP_CURSOR_PLANE_HOTSPOT 6
#define DRM_CLIENT_CAP_PLANE_COLOR_PIPELINE 7

struct drm_set_client_cap {
   __u64 capability;
   __u64 value;
};

/* GEM and PRIME */

struct drm_gem_close {
   __u32 handle;
   __u32 pad;
};

struct drm_gem_flink {
   __u32 handle;
   __u32 name;
};

struct drm_gem_open {
   __u32 name;
   __u32 handle;
   __u64 size;
};

struct drm_gem_change_handle {
   __u32 handle;
   __u32 new_handle;
};

#define DRM_RDWR    O_RDWR
#define DRM_CLOEXEC O_CLOEXEC

struct drm_prime_handle {
   __u32 handle;
   /* DRM_CLOEXEC, DRM_RDWR; for HANDLE_TO_FD only */
   __u32 flags;
   __s32 fd;
};

/* Synchronisation objects: one holds a fence or none (binary), or a chain of them (timeline). */

#define DRM_SYNCOBJ_CREATE_SIGNALED (1 << 0)

struct drm_syncobj_create {
   __u32 handle;
   __u32 flags;
};

struct drm_syncobj_destroy {
   __u32 handle;
   __u32 pad;
};

#define DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_IMPORT_SYNC_FILE (1 << 0)
#define DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_TIMELINE         (1 << 1)
#define DRM_SYNCOBJ_HANDLE_TO_FD_FLAGS_EXPORT_SYNC_FILE (1 << 0)
#define DRM_SYNCOBJ_HANDLE_TO_FD_FLAGS_TIMELINE         (1 << 1)

struct drm_syncobj_handle {
   __u32 handle;
   __u32 flags;
   __s32 fd;
   __u32 pad;
   /* Only with one of the TIMELINE flags */
   __u64 point;
};

struct drm_syncobj_transfer {
   __u32 src_handle;
   __u32 dst_handle;
   __u64 src_point;
   /* Zero replaces the destination's fence, anything else adds a point. */
   __u64 dst_point;
   __u32 flags;
   __u32 pad;
};

#define DRM_SYNCOBJ_WAIT_FLAGS_WAIT_ALL        (1 << 0)
#define DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT (1 << 1)
/* Satisfied by a point that has a fence, signalled or not. */
#define DRM_SYNCOBJ_WAIT_FLAGS_WAIT_AVAILABLE (1 << 2)
#define DRM_SYNCOBJ_WAIT_FLAGS_WAIT_DEADLINE  (1 << 3)

struct drm_syncobj_wait {
   __u64 handles;
   /* Absolute, CLOCK_MONOTONIC; zero polls. */
   __s64 timeout_nsec;
   __u32 count_handles;
   __u32 flags;
   __u32 first_signaled;
   __u32 pad;
   __u64 deadline_nsec;
};

struct drm_syncobj_timeline_wait {
   __u64 handles;
   __u64 points;
   __s64 timeout_nsec;
   __u32 count_handles;
   __u32 flags;
   __u32 first_signaled;
   __u32 pad;
   __u64 deadline_nsec;
};

struct drm_syncobj_eventfd {
   __u32 handle;
   __u32 flags;
   __u64 point;
   __s32 fd;
   __u32 pad;
};

struct drm_syncobj_array {
   __u64 handles;
   __u32 count_handles;
   __u32 pad;
};

/* The last point that has a fence, instead of the last that has signalled. */
#define DRM_SYNCOBJ_QUERY_FLAGS_LAST_SUBMITTED (1 << 0)

struct drm_syncobj_timeline_array {
   __u64 handles;
   __u64 points;
   __u32 count_handles;
   __u32 flags;
};

/* Events read from a node */

struct drm_event {
   __u32 type;
   __u32 length;
};

#define DRM_EVENT_VBLANK        0x01
#define DRM_EVENT_FLIP_COMPLETE 0x02
#define DRM_EVENT_CRTC_SEQUENCE 0x03

/* The ioctls */

#define DRM_IOCTL_VERSION                 DRM_IOWR(0x00, struct drm_version)
#define DRM_IOCTL_GET_UNIQUE              DRM_IOWR(0x01, struct drm_unique)
#define DRM_IOCTL_GET_MAGIC               DRM_IOR(0x02, struct drm_auth)
#define DRM_IOCTL_GET_CLIENT              DRM_IOWR(0x05, struct drm_client)
#define DRM_IOCTL_GET_STATS               DRM_IOR(0x06, struct drm_stats)
#define DRM_IOCTL_SET_VERSION             DRM_IOWR(0x07, struct drm_set_version)
#define DRM_IOCTL_GEM_CLOSE               DRM_IOW(0x09, struct drm_gem_close)
#define DRM_IOCTL_GEM_FLINK               DRM_IOWR(0x0a, struct drm_gem_flink)
#define DRM_IOCTL_GEM_OPEN                DRM_IOWR(0x0b, struct drm_gem_open)
#define DRM_IOCTL_GET_CAP                 DRM_IOWR(0x0c, struct drm_get_cap)
#define DRM_IOCTL_SET_CLIENT_CAP          DRM_IOW(0x0d, struct drm_set_client_cap)
#define DRM_IOCTL_SET_UNIQUE              DRM_IOW(0x10, struct drm_unique)
#define DRM_IOCTL_AUTH_MAGIC              DRM_IOW(0x11, struct drm_auth)
#define DRM_IOCTL_SET_MASTER              DRM_IO(0x1e)
#define DRM_IOCTL_DROP_MASTER             DRM_IO(0x1f)
#define DRM_IOCTL_PRIME_HANDLE_TO_FD      DRM_IOWR(0x2d, struct drm_prime_handle)
#define DRM_IOCTL_PRIME_FD_TO_HANDLE      DRM_IOWR(0x2e, struct drm_prime_handle)
#define DRM_IOCTL_SYNCOBJ_CREATE          DRM_IOWR(0xBF, struct drm_syncobj_create)
#define DRM_IOCTL_SYNCOBJ_DESTROY         DRM_IOWR(0xC0, struct drm_syncobj_destroy)
#define DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD    DRM_IOWR(0xC1, struct drm_syncobj_handle)
#define DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE    DRM_IOWR(0xC2, struct drm_syncobj_handle)
#define DRM_IOCTL_SYNCOBJ_WAIT            DRM_IOWR(0xC3, struct drm_syncobj_wait)
#define DRM_IOCTL_SYNCOBJ_RESET           DRM_IOWR(0xC4, struct drm_syncobj_array)
#define DRM_IOCTL_SYNCOBJ_SIGNAL          DRM_IOWR(0xC5, struct drm_syncobj_array)
#define DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT   DRM_IOWR(0xCA, struct drm_syncobj_timeline_wait)
#define DRM_IOCTL_SYNCOBJ_QUERY           DRM_IOWR(0xCB, struct drm_syncobj_timeline_array)
#define DRM_IOCTL_SYNCOBJ_TRANSFER        DRM_IOWR(0xCC, struct drm_syncobj_transfer)
#define DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL DRM_IOWR(0xCD, struct drm_syncobj_timeline_array)
#define DRM_IOCTL_SYNCOBJ_EVENTFD         DRM_IOWR(0xCF, struct drm_syncobj_eventfd)
#define DRM_IOCTL_SET_CLIENT_NAME         DRM_IOWR(0xD1, struct drm_set_client_name)
#define DRM_IOCTL_GEM_CHANGE_HANDLE       DRM_IOWR(0xD2, struct drm_gem_change_handle)

#ifdef __cplusplus
}
#endif

#endif /* _DRM_H_ */

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The xe personality's queries: what the device is. Follows xe_query.c. Must know nothing of VMs.
 */

#include <errno.h>
#include <string.h>
#include <time.h>

#include "drm-uapi/xe_drm.h"
#include "util/macros.h"

#include "sim_gem.h"
#include "sim_libc.h"
#include "sim_xe.h"

#define REFERENCE_CLOCK_HZ 19200000
/* Bits of an engine's timestamp */
#define CYCLES_WIDTH 36
/* struct drm_xe_query_pxp_status, which is never filled in */
#define PXP_STATUS_B 8

static int
answer(struct drm_xe_device_query *query, const void *data, size_t size)
{
   if (query->size == 0) {
      query->size = size;
      return 0;
   }
   return query->size == size ? sim_copy_out(query->data, data, size) : -EINVAL;
}

static int
query_engines(struct drm_xe_device_query *query)
{
   struct {
      struct drm_xe_query_engines head;
      struct drm_xe_engine engines[2];
   } engines = {.head = {.num_engines = 2}};

   engines.engines[0].instance.engine_class = DRM_XE_ENGINE_CLASS_RENDER;
   engines.engines[1].instance.engine_class = DRM_XE_ENGINE_CLASS_COPY;
   return answer(query, &engines, sizeof(engines));
}

static int
query_mem_regions(struct drm_xe_device_query *query)
{
   struct {
      struct drm_xe_query_mem_regions head;
      struct drm_xe_mem_region regions[1];
   } regions = {.head = {.num_mem_regions = 1}};

   regions.regions[0].mem_class = DRM_XE_MEM_REGION_CLASS_SYSMEM;
   regions.regions[0].min_page_size = XE_PAGE_SIZE_B;
   regions.regions[0].total_size = 16ull << 30;
   regions.regions[0].used = sim_bo_total_B();
   return answer(query, &regions, sizeof(regions));
}

static int
query_config(const struct sim_device *device, struct drm_xe_device_query *query)
{
   struct {
      struct drm_xe_query_config head;
      uint64_t info[DRM_XE_QUERY_CONFIG_MAX_EXEC_QUEUE_PRIORITY + 1];
   } config = {
      .head = {.num_params = DRM_XE_QUERY_CONFIG_MAX_EXEC_QUEUE_PRIORITY + 1},
      .info =
         {
            [DRM_XE_QUERY_CONFIG_REV_AND_DEVICE_ID] = device->driver->pci_device | 0x0c << 16,
            [DRM_XE_QUERY_CONFIG_FLAGS] =
               DRM_XE_QUERY_CONFIG_FLAG_HAS_LOW_LATENCY |
               DRM_XE_QUERY_CONFIG_FLAG_HAS_DISABLE_STATE_CACHE_PERF_FIX |
               DRM_XE_QUERY_CONFIG_FLAG_HAS_PURGING_SUPPORT,
            [DRM_XE_QUERY_CONFIG_MIN_ALIGNMENT] = XE_PAGE_SIZE_B,
            [DRM_XE_QUERY_CONFIG_VA_BITS] = device->va_bits,
            [DRM_XE_QUERY_CONFIG_MAX_EXEC_QUEUE_PRIORITY] = XE_MAX_PRIORITY,
         },
   };

   return answer(query, &config, sizeof(config));
}

static int
query_gt_list(struct drm_xe_device_query *query)
{
   struct {
      struct drm_xe_query_gt_list head;
      struct drm_xe_gt gts[1];
   } list = {.head = {.num_gt = 1}};

   list.gts[0].type = DRM_XE_QUERY_GT_TYPE_MAIN;
   list.gts[0].reference_clock = REFERENCE_CLOCK_HZ;
   list.gts[0].near_mem_regions = XE_MEM_REGIONS;
   list.gts[0].ip_ver_major = 12;
   return answer(query, &list, sizeof(list));
}

/* 6 dual subslices of 16 EUs each, 8 banks of L3 */
static int
query_gt_topology(struct drm_xe_device_query *query)
{
   static const struct {
      uint16_t type;
      uint32_t bytes;
      uint64_t mask;
   } masks[] = {
      {DRM_XE_TOPO_DSS_GEOMETRY, 16, 0x3f},
      {DRM_XE_TOPO_DSS_COMPUTE, 16, 0x3f},
      {DRM_XE_TOPO_L3_BANK, 8, 0xff},
      {DRM_XE_TOPO_EU_PER_DSS, 8, 0xffff},
   };
   uint8_t data[256] = {0};
   size_t size = 0;

   for (unsigned i = 0; i < ARRAY_SIZE(masks); i++) {
      const struct drm_xe_query_topology_mask head = {
         .type = masks[i].type,
         .num_bytes = masks[i].bytes,
      };

      memcpy(data + size, &head, sizeof(head));
      memcpy(data + size + sizeof(head), &masks[i].mask, sizeof(masks[i].mask));
      size += sizeof(head) + masks[i].bytes;
   }
   return answer(query, data, size);
}

static bool
is_known_clock(int32_t clock)
{
   switch (clock) {
   case CLOCK_MONOTONIC:
   case CLOCK_MONOTONIC_RAW:
   case CLOCK_REALTIME:
   case CLOCK_BOOTTIME:
   case CLOCK_TAI:
      return true;
   default:
      return false;
   }
}

static bool
is_known_engine(const struct drm_xe_engine_class_instance *engine)
{
   return (engine->engine_class == DRM_XE_ENGINE_CLASS_RENDER ||
           engine->engine_class == DRM_XE_ENGINE_CLASS_COPY) &&
          !engine->engine_instance && !engine->gt_id;
}

static uint64_t
clock_ns(int32_t clock)
{
   struct timespec now;

   clock_gettime(clock, &now);
   return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static int
query_engine_cycles(struct drm_xe_device_query *query)
{
   struct drm_xe_query_engine_cycles cycles;

   if (query->size == 0 || query->size != sizeof(cycles))
      return answer(query, NULL, sizeof(cycles));
   if (sim_copy_in(&cycles, query->data, sizeof(cycles)))
      return -EFAULT;
   if (!is_known_clock(cycles.clockid) || !is_known_engine(&cycles.eci))
      return -EINVAL;

   cycles.cpu_timestamp = clock_ns(cycles.clockid);
   cycles.engine_cycles =
      (uint64_t)((unsigned __int128)sim_now_ns() * REFERENCE_CLOCK_HZ / 1000000000) &
      ((1ull << CYCLES_WIDTH) - 1);
   cycles.cpu_delta = clock_ns(cycles.clockid) - cycles.cpu_timestamp;
   cycles.width = CYCLES_WIDTH;
   return sim_copy_out(query->data, &cycles, sizeof(cycles));
}

static int
query_uc_fw_version(struct drm_xe_device_query *query)
{
   struct drm_xe_query_uc_fw_version version;

   if (query->size == 0 || query->size != sizeof(version))
      return answer(query, NULL, sizeof(version));
   if (sim_copy_in(&version, query->data, sizeof(version)))
      return -EFAULT;
   if (version.pad || version.pad2 || version.reserved)
      return -EINVAL;

   version.branch_ver = 0;
   switch (version.uc_type) {
   case XE_QUERY_UC_TYPE_GUC_SUBMISSION:
      version.major_ver = 1;
      version.minor_ver = 26;
      version.patch_ver = 0;
      break;
   case XE_QUERY_UC_TYPE_HUC:
      version.major_ver = 7;
      version.minor_ver = 9;
      version.patch_ver = 3;
      break;
   default:
      return -EINVAL;
   }
   return sim_copy_out(query->data, &version, sizeof(version));
}

int
xe_device_query_ioctl(struct sim_file *file, void *data)
{
   struct drm_xe_device_query *args = data;
   /* Nothing that observes is simulated: no units for it. */
   const struct drm_xe_query_oa_units no_units = {0};

   if (args->extensions || args->reserved[0] || args->reserved[1])
      return -EINVAL;

   switch (args->query) {
   case DRM_XE_DEVICE_QUERY_ENGINES:
      return query_engines(args);
   case DRM_XE_DEVICE_QUERY_MEM_REGIONS:
      return query_mem_regions(args);
   case DRM_XE_DEVICE_QUERY_CONFIG:
      return query_config(&file->device, args);
   case DRM_XE_DEVICE_QUERY_GT_LIST:
      return query_gt_list(args);
   case DRM_XE_DEVICE_QUERY_HWCONFIG:
      /* The table is the firmware's, of which there is none. */
      return answer(args, NULL, 0);
   case DRM_XE_DEVICE_QUERY_GT_TOPOLOGY:
      return query_gt_topology(args);
   case DRM_XE_DEVICE_QUERY_ENGINE_CYCLES:
      return query_engine_cycles(args);
   case DRM_XE_DEVICE_QUERY_UC_FW_VERSION:
      return query_uc_fw_version(args);
   case DRM_XE_DEVICE_QUERY_OA_UNITS:
      return answer(args, &no_units, sizeof(no_units));
   case DRM_XE_DEVICE_QUERY_PXP_STATUS:
      if (args->size == 0 || args->size != PXP_STATUS_B)
         return answer(args, NULL, PXP_STATUS_B);
      return -ENODEV;
   case DRM_XE_DEVICE_QUERY_EU_STALL:
      return -ENODEV;
   default:
      return -EINVAL;
   }
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The amdgpu personality's INFO: what the device is, a Navi 10. Follows amdgpu_kms.c. Must know
 * nothing of VMs.
 */

#include <errno.h>
#include <string.h>

#include "util/macros.h"

#include "sim_amdgpu.h"
#include "sim_gem.h"
#include "sim_libc.h"

#define FAMILY_NAVI     143
#define COUNTER_KHZ     100000
#define GB_ADDR_CONFIG  0x263e
#define MAX_MMR_READ    128

static int
answer(const struct drm_amdgpu_info *info, const void *data, size_t size)
{
   return sim_copy_out(info->return_pointer, data, MIN2((size_t)info->return_size, size));
}

static int
answer_u32(const struct drm_amdgpu_info *info, uint32_t value)
{
   return answer(info, &value, sizeof(value));
}

static int
answer_u64(const struct drm_amdgpu_info *info, uint64_t value)
{
   return answer(info, &value, sizeof(value));
}

static int
hw_ip_info(const struct drm_amdgpu_info *info)
{
   struct drm_amdgpu_info_hw_ip ip = {
      .ib_start_alignment = 256,
      .ib_size_alignment = 32,
   };

   if (info->query_hw_ip.ip_instance >= AMDGPU_HW_IP_INSTANCE_MAX_COUNT)
      return -EINVAL;
   switch (info->query_hw_ip.type) {
   case AMDGPU_HW_IP_GFX:
      ip.available_rings = 0x1;
      break;
   case AMDGPU_HW_IP_COMPUTE:
      ip.available_rings = 0xf;
      break;
   case AMDGPU_HW_IP_DMA:
      ip.available_rings = 0x3;
      ip.ib_size_alignment = 4;
      break;
   default:
      /* Known, and not there: no rings */
      return info->query_hw_ip.type < AMDGPU_HW_IP_NUM
                ? answer(info, &(struct drm_amdgpu_info_hw_ip){0}, sizeof(ip))
                : -EINVAL;
   }
   ip.hw_ip_version_major = info->query_hw_ip.type == AMDGPU_HW_IP_DMA ? 5 : 10;
   ip.hw_ip_version_minor = info->query_hw_ip.type == AMDGPU_HW_IP_DMA ? 0 : 1;
   ip.ip_discovery_version = ip.hw_ip_version_major << 16 | ip.hw_ip_version_minor << 8;
   return answer(info, &ip, sizeof(ip));
}

static int
hw_ip_count(const struct drm_amdgpu_info *info)
{
   if (info->query_hw_ip.type >= AMDGPU_HW_IP_NUM)
      return -EINVAL;
   return answer_u32(info, info->query_hw_ip.type <= AMDGPU_HW_IP_DMA);
}

static int
memory(const struct drm_amdgpu_info *info)
{
   const uint64_t used_B = sim_bo_total_B();
   const struct drm_amdgpu_memory_info heaps = {
      .vram = {AMDGPU_VRAM_B, AMDGPU_VRAM_B, used_B, AMDGPU_VRAM_B / 4 * 3},
      .cpu_accessible_vram = {AMDGPU_VRAM_B, AMDGPU_VRAM_B, used_B, AMDGPU_VRAM_B / 4 * 3},
      .gtt = {AMDGPU_GTT_B, AMDGPU_GTT_B, 0, AMDGPU_GTT_B / 4 * 3},
   };

   return answer(info, &heaps, sizeof(heaps));
}

static int
dev_info(const struct sim_device *device, const struct drm_amdgpu_info *info)
{
   struct drm_amdgpu_info_device dev = {
      .device_id = device->driver->pci_device,
      .chip_rev = 0,
      .external_rev = 0x02,
      .pci_rev = 0xc1,
      .family = FAMILY_NAVI,
      .num_shader_engines = 2,
      .num_shader_arrays_per_engine = 2,
      .gpu_counter_freq = COUNTER_KHZ,
      .max_engine_clock = 2100000,
      .max_memory_clock = 875000,
      .cu_active_number = 40,
      .enabled_rb_pipes_mask = 0xffff,
      .num_rb_pipes = 16,
      .num_hw_gfx_contexts = 8,
      .pcie_gen = 4,
      .pcie_num_lanes = 16,
      .virtual_address_offset = AMDGPU_VA_RESERVED_BOTTOM_B,
      .virtual_address_max = AMDGPU_VA_HOLE_START,
      .high_va_offset = AMDGPU_VA_HOLE_END,
      .high_va_max = -AMDGPU_VA_RESERVED_TOP_B,
      .virtual_address_alignment = 4096,
      .pte_fragment_size = 2 << 20,
      .gart_page_size = 4096,
      .vram_type = 9,
      .vram_bit_width = 256,
      .wave_front_size = 32,
      .num_shader_visible_vgprs = 1024,
      .num_cu_per_sh = 10,
      .num_tcc_blocks = 16,
      .gs_vgt_table_depth = 32,
      .gs_prim_buffer_depth = 1792,
      .max_gs_waves_per_vgt = 32,
      .pa_sc_tile_steering_override = 0,
      .tcp_cache_size = 16,
      .num_sqc_per_wgp = 1,
      .sqc_data_cache_size = 16,
      .sqc_inst_cache_size = 32,
      .gl1c_cache_size = 128,
      .gl2c_cache_size = 4096,
   };

   for (unsigned se = 0; se < 2; se++) {
      for (unsigned sa = 0; sa < 2; sa++)
         dev.cu_bitmap[se][sa] = 0x3ff;
   }
   return answer(info, &dev, sizeof(dev));
}

static int
read_mmr(const struct drm_amdgpu_info *info)
{
   uint32_t values[MAX_MMR_READ] = {0};
   const uint32_t count = info->read_mmr_reg.count;

   if (!count || count > MAX_MMR_READ)
      return -EINVAL;
   for (uint32_t i = 0; i < count; i++) {
      switch (info->read_mmr_reg.dword_offset + i) {
      case GB_ADDR_CONFIG:
         /* 16 pipes, an interleave of 256 bytes, 2 shader engines */
         values[i] = 0x00100044;
         break;
      default:
         return -EFAULT;
      }
   }
   return answer(info, values, count * sizeof(values[0]));
}

static int
fw_version(const struct drm_amdgpu_info *info)
{
   const struct {
      uint32_t version;
      uint32_t feature;
   } firmware = {0x9c, 0x2f};

   if (info->query_fw.ip_instance)
      return -EINVAL;
   return answer(info, &firmware, sizeof(firmware));
}

int
amdgpu_info_ioctl(struct sim_file *file, void *data)
{
   const struct drm_amdgpu_info *info = data;

   if (!info->return_size || !info->return_pointer)
      return -EINVAL;

   switch (info->query) {
   case AMDGPU_INFO_ACCEL_WORKING:
      return answer_u32(info, 1);
   case AMDGPU_INFO_HW_IP_INFO:
      return hw_ip_info(info);
   case AMDGPU_INFO_HW_IP_COUNT:
      return hw_ip_count(info);
   case AMDGPU_INFO_TIMESTAMP:
      return answer_u64(info, sim_now_ns() / 10);
   case AMDGPU_INFO_FW_VERSION:
      return fw_version(info);
   case AMDGPU_INFO_VRAM_USAGE:
   case AMDGPU_INFO_VIS_VRAM_USAGE:
      return answer_u64(info, sim_bo_total_B());
   case AMDGPU_INFO_GTT_USAGE:
   case AMDGPU_INFO_NUM_EVICTIONS:
   case AMDGPU_INFO_NUM_BYTES_MOVED:
      return answer_u64(info, 0);
   case AMDGPU_INFO_VRAM_LOST_COUNTER:
      return answer_u32(info, 0);
   case AMDGPU_INFO_VRAM_GTT: {
      const struct drm_amdgpu_info_vram_gtt sizes = {AMDGPU_VRAM_B, AMDGPU_VRAM_B, AMDGPU_GTT_B};
      return answer(info, &sizes, sizeof(sizes));
   }
   case AMDGPU_INFO_READ_MMR_REG:
      return read_mmr(info);
   case AMDGPU_INFO_DEV_INFO:
      return dev_info(&file->device, info);
   case AMDGPU_INFO_MEMORY:
      return memory(info);
   case AMDGPU_INFO_MAX_IBS: {
      const uint32_t counts[AMDGPU_HW_IP_NUM] = {192, 192, 192};
      return answer(info, counts, sizeof(counts));
   }
   default:
      return -EINVAL;
   }
}

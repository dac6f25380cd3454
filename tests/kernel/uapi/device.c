/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What the driver says of itself and of the GPU that it found.
 */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "inspect.h"
#include "panthor.h"

static int
query(int fd, uint32_t type, void *data, uint32_t size)
{
   struct drm_panthor_dev_query query = {
      .type = type,
      .size = size,
      .pointer = (uintptr_t)data,
   };

   return pan_ioctl(fd, DRM_IOCTL_PANTHOR_DEV_QUERY, &query);
}

static void
driver_is_panthor_1_x(void **state)
{
   const int fd = pan_open();
   char name[16] = "";
   struct drm_version version = { .name = name, .name_len = sizeof(name) - 1 };

   (void)state;
   assert_int_equal(pan_ioctl(fd, DRM_IOCTL_VERSION, &version), 0);
   assert_string_equal(name, "panthor");
   assert_int_equal(version.version_major, 1);
   print_message("panthor %d.%d.%d\n", version.version_major, version.version_minor,
                 version.version_patchlevel);
   close(fd);
}

static void
every_store_to_the_gpu_goes_through_the_model(void **state)
{
   (void)state;
   assert_true(inspect_stat("hooked_stores") > 0);
   assert_true(inspect_stat("stores") > 0);
   assert_true(inspect_stat("boots") > 0);
   assert_int_equal(inspect_stat("stream_faults"), 0);
}

static void
gpu_info_is_the_models(void **state)
{
   const int fd = pan_open();
   struct drm_panthor_gpu_info info;

   (void)state;
   memset(&info, 0, sizeof(info));
   assert_int_equal(query(fd, DRM_PANTHOR_DEV_QUERY_GPU_INFO, &info, sizeof(info)), 0);
   assert_int_equal(DRM_PANTHOR_ARCH_MAJOR(info.gpu_id), 10);
   assert_int_equal(DRM_PANTHOR_MMU_VA_BITS(info.mmu_features), 48);
   assert_int_equal(info.as_present, 0xff);
   assert_int_equal(info.shader_present, 0x50005);
   close(fd);
}

static void
command_stream_info_is_the_firmwares(void **state)
{
   const int fd = pan_open();
   struct drm_panthor_csif_info info;

   (void)state;
   memset(&info, 0, sizeof(info));
   assert_int_equal(query(fd, DRM_PANTHOR_DEV_QUERY_CSIF_INFO, &info, sizeof(info)), 0);
   assert_int_equal(info.csg_slot_count, 8);
   assert_int_equal(info.cs_slot_count, 8);
   assert_int_equal(info.cs_reg_count, 96);
   assert_int_equal(info.scoreboard_slot_count, 8);
   close(fd);
}

static void
timestamps_since_1_1(void **state)
{
   const int fd = pan_open();
   struct drm_panthor_timestamp_info info;

   (void)state;
   memset(&info, 0, sizeof(info));
   assert_int_equal(query(fd, DRM_PANTHOR_DEV_QUERY_TIMESTAMP_INFO, &info, sizeof(info)),
                    pan_minor(fd) >= 1 ? 0 : -EINVAL);
   close(fd);
}

static void
a_query_without_a_buffer_tells_its_size(void **state)
{
   const int fd = pan_open();
   struct drm_panthor_dev_query query = { .type = DRM_PANTHOR_DEV_QUERY_CSIF_INFO };

   (void)state;
   assert_int_equal(pan_ioctl(fd, DRM_IOCTL_PANTHOR_DEV_QUERY, &query), 0);
   assert_int_equal(query.size, sizeof(struct drm_panthor_csif_info));
   close(fd);
}

static void
an_unknown_query_is_einval(void **state)
{
   const int fd = pan_open();
   uint64_t data;

   (void)state;
   assert_int_equal(query(fd, 1000, &data, sizeof(data)), -EINVAL);
   close(fd);
}

int
main(void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test(driver_is_panthor_1_x),
      cmocka_unit_test(every_store_to_the_gpu_goes_through_the_model),
      cmocka_unit_test(gpu_info_is_the_models),
      cmocka_unit_test(command_stream_info_is_the_firmwares),
      cmocka_unit_test(timestamps_since_1_1),
      cmocka_unit_test(a_query_without_a_buffer_tells_its_size),
      cmocka_unit_test(an_unknown_query_is_einval),
   };

   return cmocka_run_group_tests_name("device", tests, NULL, NULL);
}

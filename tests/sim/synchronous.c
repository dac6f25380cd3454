/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The personalities whose binds are done when the ioctl returns: powervr, and asahi (which is
 * verified against no kernel). Must know nothing of other drivers.
 */

#include "sim_test.h"

#include "drm-uapi/asahi_drm.h"
#include "drm-uapi/pvr_drm.h"

static struct mappings mappings;
static struct mappings tables;

/* powervr */

#define HEAP 0x8000000000ull

static uint32_t
pvr_bo_create(int fd, uint64_t size, uint64_t flags)
{
   struct drm_pvr_ioctl_create_bo_args args = {.size = size, .flags = flags};

   assert_ok(call(fd, DRM_IOCTL_PVR_CREATE_BO, &args));
   return args.handle;
}

static int
pvr_map(int fd, uint32_t vm, uint32_t handle, uint64_t offset, uint64_t addr, uint64_t size)
{
   struct drm_pvr_ioctl_vm_map_args args = {
      .vm_context_handle = vm,
      .device_addr = addr,
      .handle = handle,
      .offset = offset,
      .size = size,
   };
   return call(fd, DRM_IOCTL_PVR_VM_MAP, &args);
}

static int
pvr_unmap(int fd, uint32_t vm, uint64_t addr, uint64_t size)
{
   struct drm_pvr_ioctl_vm_unmap_args args = {
      .vm_context_handle = vm, .device_addr = addr, .size = size};

   return call(fd, DRM_IOCTL_PVR_VM_UNMAP, &args);
}

static void
test_powervr(void **state)
{
   int fd = open_node("powervr");
   struct drm_pvr_ioctl_create_vm_context_args create = {._padding_4 = 1};
   (void)state;

   assert_error(call(fd, DRM_IOCTL_PVR_CREATE_VM_CONTEXT, &create), EINVAL);
   create._padding_4 = 0;
   assert_ok(call(fd, DRM_IOCTL_PVR_CREATE_VM_CONTEXT, &create));
   const uint32_t vm = create.handle;
   uint32_t a = pvr_bo_create(fd, 8 * PAGE, 0), b = pvr_bo_create(fd, 4 * PAGE, 0);

   assert_error(pvr_map(fd, 9, a, 0, HEAP, PAGE), EINVAL);
   assert_error(pvr_map(fd, vm, 99, 0, HEAP, PAGE), ENOENT);
   /* Outside of every heap, across the end of one, and not in pages */
   assert_error(pvr_map(fd, vm, a, 0, HEAP - PAGE, PAGE), EINVAL);
   assert_error(pvr_map(fd, vm, a, 0, HEAP + 128 * GIB - PAGE, 2 * PAGE), EINVAL);
   assert_error(pvr_map(fd, vm, a, 0, HEAP + 1, PAGE), EINVAL);
   assert_error(pvr_map(fd, vm, a, 1, HEAP, PAGE), EINVAL);
   assert_error(pvr_map(fd, vm, a, 0, HEAP, 0), EINVAL);
   assert_error(pvr_map(fd, vm, a, 8 * PAGE, HEAP, PAGE), EINVAL);
   assert_error(pvr_map(fd, vm, a, PAGE, HEAP, 8 * PAGE), EINVAL);

   /* Done at once; a map cuts, an unmap takes exactly one mapping. */
   assert_ok(pvr_map(fd, vm, a, 0, HEAP, 8 * PAGE));
   assert_ok(pvr_map(fd, vm, b, PAGE, HEAP + 2 * PAGE, 2 * PAGE));
   get_page_tables(fd, vm, &tables);
   assert_int_equal(tables.count, 3);
   assert_mapping(&tables.list[1], HEAP + 2 * PAGE, 2 * PAGE, b, PAGE);
   assert_mapping(&tables.list[2], HEAP + 4 * PAGE, 4 * PAGE, a, 4 * PAGE);
   assert_error(pvr_unmap(fd, vm, HEAP, 8 * PAGE), ENOENT);
   assert_error(pvr_unmap(fd, vm, HEAP + 2 * PAGE, PAGE), ENOENT);
   assert_ok(pvr_unmap(fd, vm, HEAP + 2 * PAGE, 2 * PAGE));
   assert_error(pvr_unmap(fd, vm, HEAP + 2 * PAGE, 2 * PAGE), ENOENT);

   /* Mappings hold their BO, and evictions do not touch them. */
   struct drm_gem_close gem_close = {.handle = a};
   assert_error(drm_sim_evict(fd, a), EPERM);
   assert_ok(call(fd, DRM_IOCTL_GEM_CLOSE, &gem_close));
   assert_false(is_hole(fd, vm, HEAP));

   struct drm_pvr_ioctl_destroy_vm_context_args destroy = {.handle = vm};
   assert_ok(call(fd, DRM_IOCTL_PVR_DESTROY_VM_CONTEXT, &destroy));
   assert_error(call(fd, DRM_IOCTL_PVR_DESTROY_VM_CONTEXT, &destroy), EINVAL);
   close(fd);
}

static void
test_powervr_bos(void **state)
{
   int fd = open_node("powervr");
   struct drm_pvr_ioctl_create_bo_args bad[] = {
      {.size = 0},
      {.size = PAGE + 1},
      {.size = PAGE, .flags = 1u << 9},
      {.size = PAGE, ._padding_c = 1},
      {.size = PAGE, .flags = DRM_PVR_BO_PM_FW_PROTECT | DRM_PVR_BO_ALLOW_CPU_USERSPACE_ACCESS},
   };
   (void)state;

   for (unsigned i = 0; i < ARRAY_LENGTH(bad); i++)
      assert_error(call(fd, DRM_IOCTL_PVR_CREATE_BO, &bad[i]), EINVAL);

   struct drm_pvr_ioctl_get_bo_mmap_offset_args offset = {
      .handle = pvr_bo_create(fd, PAGE, DRM_PVR_BO_ALLOW_CPU_USERSPACE_ACCESS),
   };
   assert_ok(call(fd, DRM_IOCTL_PVR_GET_BO_MMAP_OFFSET, &offset));
   munmap(map_bo(fd, offset.offset, PAGE), PAGE);
   offset.handle = pvr_bo_create(fd, PAGE, 0);
   assert_ok(call(fd, DRM_IOCTL_PVR_GET_BO_MMAP_OFFSET, &offset));
   assert_ptr_equal(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, offset.offset), MAP_FAILED);
   assert_int_equal(errno, EINVAL);
   close(fd);
}

static void
test_powervr_queries(void **state)
{
   int fd = open_node("powervr");
   struct drm_pvr_heap heaps[8];
   struct drm_pvr_dev_query_heap_info info = {0};
   struct drm_pvr_ioctl_dev_query_args args = {.type = DRM_PVR_DEV_QUERY_HEAP_INFO_GET};
   (void)state;

   assert_ok(call(fd, DRM_IOCTL_PVR_DEV_QUERY, &args));
   assert_int_equal(args.size, sizeof(info));
   args.pointer = (uintptr_t)&info;
   assert_ok(call(fd, DRM_IOCTL_PVR_DEV_QUERY, &args));
   assert_int_equal(info.heaps.count, DRM_PVR_HEAP_COUNT);
   assert_int_equal(info.heaps.stride, sizeof(heaps[0]));
   info.heaps.array = (uintptr_t)heaps;
   assert_ok(call(fd, DRM_IOCTL_PVR_DEV_QUERY, &args));
   assert_int_equal(heaps[DRM_PVR_HEAP_GENERAL].base, HEAP);
   assert_int_equal(heaps[DRM_PVR_HEAP_RGNHDR].size, 0);
   args.type = 99;
   assert_error(call(fd, DRM_IOCTL_PVR_DEV_QUERY, &args), EINVAL);
   close(fd);
}

/* asahi */

#define APAGE  16384ull
#define WINDOW (1ull << 38)

static uint32_t
asahi_vm_create(int fd)
{
   struct drm_asahi_vm_create args = {.kernel_start = WINDOW, .kernel_end = WINDOW + GIB};

   assert_ok(call(fd, DRM_IOCTL_ASAHI_VM_CREATE, &args));
   return args.vm_id;
}

static uint32_t
asahi_bo_create(int fd, uint64_t size, uint32_t vm)
{
   struct drm_asahi_gem_create args = {
      .size = size, .flags = vm ? DRM_ASAHI_GEM_VM_PRIVATE : 0, .vm_id = vm};

   assert_ok(call(fd, DRM_IOCTL_ASAHI_GEM_CREATE, &args));
   return args.handle;
}

static int
asahi_bind(int fd, uint32_t vm, const struct drm_asahi_gem_bind_op *ops, uint32_t count)
{
   struct drm_asahi_vm_bind args = {
      .vm_id = vm,
      .num_binds = count,
      .stride = sizeof(*ops),
      .userptr = (uintptr_t)ops,
   };
   return call(fd, DRM_IOCTL_ASAHI_VM_BIND, &args);
}

static struct drm_asahi_gem_bind_op
asahi_map(uint32_t handle, uint64_t offset, uint64_t addr, uint64_t range, uint32_t flags)
{
   return (struct drm_asahi_gem_bind_op){
      .flags = DRM_ASAHI_BIND_READ | DRM_ASAHI_BIND_WRITE | flags,
      .handle = handle,
      .offset = offset,
      .range = range,
      .addr = addr,
   };
}

static void
test_asahi(void **state)
{
   int fd = open_node("asahi");
   struct drm_asahi_vm_create bad = {.kernel_start = WINDOW, .kernel_end = WINDOW + MIB};
   const uint64_t base = 1ull << 33;
   (void)state;

   assert_error(call(fd, DRM_IOCTL_ASAHI_VM_CREATE, &bad), EINVAL);
   const uint32_t vm = asahi_vm_create(fd);
   uint32_t bo = asahi_bo_create(fd, 4 * APAGE, 0), private = asahi_bo_create(fd, APAGE, vm);

   /* Those before the one that fails stay. */
   const struct drm_asahi_gem_bind_op ops[] = {
      asahi_map(bo, 0, base, 2 * APAGE, 0),
      asahi_map(bo, 0, base + PAGE, APAGE, 0),
      asahi_map(bo, 0, base + GIB, APAGE, 0),
   };
   assert_error(asahi_bind(fd, vm, ops, 3), EINVAL);
   get_tree(fd, vm, &mappings);
   assert_int_equal(mappings.count, 1);
   assert_error(asahi_bind(fd, 77, ops, 1), ENOENT);

   const struct drm_asahi_gem_bind_op wrong[] = {
      asahi_map(bo, 0, WINDOW, APAGE, 0),
      asahi_map(bo, 4 * APAGE, base, APAGE, 0),
      asahi_map(bo, 0, base, APAGE, 1u << 9),
      {.flags = 0, .handle = bo, .range = APAGE, .addr = base},
      {.flags = DRM_ASAHI_BIND_UNBIND, .handle = bo, .range = APAGE, .addr = base},
   };
   for (unsigned i = 0; i < ARRAY_LENGTH(wrong); i++)
      assert_error(asahi_bind(fd, vm, &wrong[i], 1), EINVAL);

   /* One page over and over: also what is left of it after a hole was cut */
   const struct drm_asahi_gem_bind_op repeat[] = {
      asahi_map(bo, APAGE, base + GIB, GIB, DRM_ASAHI_BIND_SINGLE_PAGE),
      {.flags = DRM_ASAHI_BIND_UNBIND, .range = APAGE, .addr = base + GIB + 16 * APAGE},
   };
   uint32_t value = 0x1234;
   assert_ok(asahi_bind(fd, vm, repeat, 2));
   assert_ok(drm_sim_write(fd, vm, base + GIB + 5 * APAGE + 8, &value, sizeof(value)));
   value = 0;
   assert_ok(drm_sim_read(fd, vm, base + 2 * GIB - APAGE + 8, &value, sizeof(value)));
   assert_int_equal(value, 0x1234);
   get_page_tables(fd, vm, &tables);
   assert_int_equal(tables.count, 3);
   assert_mapping(&tables.list[2], base + GIB + 17 * APAGE, GIB - 17 * APAGE, bo, APAGE);
   get_tree(fd, vm, &mappings);
   assert_int_equal(mappings.count, 3);
   assert_mapping(&mappings.list[2], base + GIB + 17 * APAGE, GIB - 17 * APAGE, bo, APAGE);

   /* Closing the last handle unbinds it everywhere; other BOs stay. */
   const struct drm_asahi_gem_bind_op other = asahi_map(private, 0, base + 4 * GIB, APAGE, 0);
   assert_ok(asahi_bind(fd, vm, &other, 1));
   struct drm_gem_close gem_close = {.handle = bo};
   assert_ok(call(fd, DRM_IOCTL_GEM_CLOSE, &gem_close));
   get_page_tables(fd, vm, &tables);
   assert_int_equal(tables.count, 1);
   assert_mapping(&tables.list[0], base + 4 * GIB, APAGE, private, 0);

   const uint32_t second = asahi_vm_create(fd);
   assert_error(asahi_bind(fd, second, &other, 1), EINVAL);
   close(fd);
}

int
main(void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_powervr),
      cmocka_unit_test(test_powervr_bos),
      cmocka_unit_test(test_powervr_queries),
      cmocka_unit_test(test_asahi),
   };
   return cmocka_run_group_tests_name("sim synchronous", tests, NULL, NULL);
}

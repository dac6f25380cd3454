/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The amdgpu personality: GEM_VA's four operations, its fences, put-off updates, null mappings,
 * what closing a BO does, and submits. Must know nothing of other drivers but the gate of
 * sim_test.h.
 */

#include "sim_test.h"

#include "drm-uapi/amdgpu_drm.h"

#define BASE (1ull << 33)
#define RW   (AMDGPU_VM_PAGE_READABLE | AMDGPU_VM_PAGE_WRITEABLE)

static struct mappings mappings;
static struct mappings tables;

static uint32_t
bo_create(int fd, uint64_t size, uint64_t flags)
{
   union drm_amdgpu_gem_create args = {
      .in = {.bo_size = size, .domains = AMDGPU_GEM_DOMAIN_GTT, .domain_flags = flags},
   };
   assert_ok(call(fd, DRM_IOCTL_AMDGPU_GEM_CREATE, &args));
   return args.out.handle;
}

static struct drm_amdgpu_gem_va
va_op(uint32_t operation, uint32_t handle, uint64_t va, uint64_t offset, uint64_t size)
{
   return (struct drm_amdgpu_gem_va){
      .handle = handle,
      .operation = operation,
      .flags = RW,
      .va_address = va,
      .offset_in_bo = offset,
      .map_size = size,
   };
}

static int
gem_va(int fd, struct drm_amdgpu_gem_va args)
{
   return call(fd, DRM_IOCTL_AMDGPU_GEM_VA, &args);
}

static int
map(int fd, uint32_t handle, uint64_t va, uint64_t offset, uint64_t size)
{
   return gem_va(fd, va_op(AMDGPU_VA_OP_MAP, handle, va, offset, size));
}

static void
test_arguments(void **state)
{
   int fd = open_node("amdgpu");
   uint32_t bo = bo_create(fd, 4 * PAGE, 0);
   const struct {
      struct drm_amdgpu_gem_va args;
      int error;
   } cases[] = {
      {va_op(AMDGPU_VA_OP_MAP, 99, BASE, 0, PAGE), ENOENT},
      {va_op(AMDGPU_VA_OP_MAP, bo, BASE + 1, 0, PAGE), EINVAL},
      {va_op(AMDGPU_VA_OP_MAP, bo, BASE, 1, PAGE), EINVAL},
      {va_op(AMDGPU_VA_OP_MAP, bo, BASE, 0, PAGE + 1), EINVAL},
      {va_op(AMDGPU_VA_OP_MAP, bo, BASE, 0, 0), EINVAL},
      {va_op(AMDGPU_VA_OP_MAP, bo, BASE, PAGE, 4 * PAGE), EINVAL},
      /* The bottom, the hole, the top */
      {va_op(AMDGPU_VA_OP_MAP, bo, PAGE, 0, PAGE), EINVAL},
      {va_op(AMDGPU_VA_OP_MAP, bo, 1ull << 47, 0, PAGE), EINVAL},
      {va_op(AMDGPU_VA_OP_MAP, bo, -PAGE, 0, PAGE), EINVAL},
      {va_op(0, bo, BASE, 0, PAGE), EINVAL},
      {va_op(5, bo, BASE, 0, PAGE), EINVAL},
      {va_op(AMDGPU_VA_OP_UNMAP, bo, BASE, 0, PAGE), ENOENT},
      {{.operation = AMDGPU_VA_OP_MAP, .va_address = BASE, .map_size = PAGE, .flags = 1u << 20}, EINVAL},
      {{.operation = AMDGPU_VA_OP_MAP,
        .va_address = BASE,
        .map_size = PAGE,
        .flags = AMDGPU_VM_PAGE_PRT | AMDGPU_VM_PAGE_READABLE},
       EINVAL},
   };
   (void)state;

   for (unsigned i = 0; i < ARRAY_LENGTH(cases); i++) {
      if (gem_va(fd, cases[i].args) != -cases[i].error)
         fail_msg("case %u", i);
   }

   /* Another file's private BO does not come here at all. */
   uint32_t private = bo_create(fd, PAGE, AMDGPU_GEM_CREATE_VM_ALWAYS_VALID);
   struct drm_prime_handle prime = {.handle = private};
   assert_error(call(fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &prime), EPERM);
   union drm_amdgpu_gem_create create = {.in = {.bo_size = PAGE, .domains = 1u << 9}};
   assert_error(call(fd, DRM_IOCTL_AMDGPU_GEM_CREATE, &create), EINVAL);
   close(fd);
}

static void
test_operations(void **state)
{
   int fd = open_node("amdgpu");
   uint32_t a = bo_create(fd, 8 * PAGE, 0), b = bo_create(fd, 8 * PAGE, 0);
   (void)state;

   assert_ok(map(fd, a, BASE, 0, 8 * PAGE));
   /* Not over something else; replacing cuts. */
   assert_error(map(fd, b, BASE + PAGE, 0, PAGE), EINVAL);
   assert_ok(gem_va(fd, va_op(AMDGPU_VA_OP_REPLACE, b, BASE + 2 * PAGE, PAGE, 2 * PAGE)));
   assert_ok(drm_sim_wait_idle(fd, 0));
   get_page_tables(fd, 0, &tables);
   assert_int_equal(tables.count, 3);
   assert_mapping(&tables.list[0], BASE, 2 * PAGE, a, 0);
   assert_mapping(&tables.list[1], BASE + 2 * PAGE, 2 * PAGE, b, PAGE);
   assert_mapping(&tables.list[2], BASE + 4 * PAGE, 4 * PAGE, a, 4 * PAGE);

   /* By the start of a mapping and its BO: all of it, whatever the size says */
   assert_error(gem_va(fd, va_op(AMDGPU_VA_OP_UNMAP, a, BASE + 2 * PAGE, 0, PAGE)), ENOENT);
   assert_error(gem_va(fd, va_op(AMDGPU_VA_OP_UNMAP, b, BASE + 3 * PAGE, 0, PAGE)), ENOENT);
   assert_ok(gem_va(fd, va_op(AMDGPU_VA_OP_UNMAP, b, BASE + 2 * PAGE, 0, PAGE)));
   assert_ok(gem_va(fd, va_op(AMDGPU_VA_OP_CLEAR, 0, BASE + PAGE, 0, 4 * PAGE)));
   get_tree(fd, 0, &mappings);
   assert_int_equal(mappings.count, 2);
   assert_mapping(&mappings.list[0], BASE, PAGE, a, 0);
   assert_mapping(&mappings.list[1], BASE + 5 * PAGE, 3 * PAGE, a, 5 * PAGE);

   /* Null mappings have no BO, to map and to unmap. */
   struct drm_amdgpu_gem_va null = va_op(AMDGPU_VA_OP_MAP, 0, BASE + GIB, 0, 16 * MIB);
   null.flags = AMDGPU_VM_PAGE_PRT;
   assert_ok(gem_va(fd, null));
   assert_ok(drm_sim_wait_idle(fd, 0));
   struct drm_sim_mapping mapping;
   assert_ok(drm_sim_lookup(fd, 0, BASE + GIB + 15 * MIB, &mapping));
   assert_int_equal(mapping.flags, DRM_SIM_MAPPING_NULL);
   null.operation = AMDGPU_VA_OP_UNMAP;
   assert_ok(gem_va(fd, null));

   /* The last handle takes the mappings along. */
   struct drm_gem_close gem_close = {.handle = a};
   assert_ok(call(fd, DRM_IOCTL_GEM_CLOSE, &gem_close));
   assert_ok(drm_sim_wait_idle(fd, 0));
   get_tree(fd, 0, &mappings);
   assert_int_equal(mappings.count, 0);
   assert_true(is_hole(fd, 0, BASE));
   close(fd);
}

static void
test_fences(void **state)
{
   int gate_fd = open_node("panthor");
   int fd = open_node("amdgpu");
   uint32_t bo = bo_create(fd, 4 * PAGE, 0), timeline = syncobj_create(fd, 0);
   uint32_t signaled = syncobj_create(fd, DRM_SYNCOBJ_CREATE_SIGNALED), empty = syncobj_create(fd, 0);
   struct drm_amdgpu_gem_va args = va_op(AMDGPU_VA_OP_MAP, bo, BASE, 0, PAGE);
   (void)state;

   args.vm_timeline_syncobj_out = timeline;
   args.vm_timeline_point = 3;
   args.num_syncobj_handles = 1;
   args.input_fence_syncobj_handles = (uintptr_t)&empty;
   assert_error(gem_va(fd, args), EINVAL);
   args.input_fence_syncobj_handles = (uintptr_t)&signaled;
   args.flags |= AMDGPU_VM_DELAY_UPDATE;
   assert_error(gem_va(fd, args), EINVAL);
   args.flags &= ~AMDGPU_VM_DELAY_UPDATE;
   args.vm_timeline_syncobj_out = 99;
   assert_error(gem_va(fd, args), ENOENT);
   args.vm_timeline_syncobj_out = timeline;

   /* The list at once, the page tables by the job that the timeline tells of */
   assert_ok(drm_sim_hold(fd, 0));
   assert_ok(gem_va(fd, args));
   get_tree(fd, 0, &mappings);
   assert_int_equal(mappings.count, 1);
   assert_true(is_hole(fd, 0, BASE));
   assert_error(syncobj_wait(fd, timeline, 3, 0, 0), ETIME);
   assert_ok(drm_sim_release(fd, 0));
   assert_ok(syncobj_wait(fd, timeline, 3, 0, in_ms(60000)));
   assert_false(is_hole(fd, 0, BASE));

   /* Put off: to the next one that is not */
   struct drm_amdgpu_gem_va delayed = va_op(AMDGPU_VA_OP_MAP, bo, BASE + GIB, 0, PAGE);
   delayed.flags |= AMDGPU_VM_DELAY_UPDATE;
   assert_ok(gem_va(fd, delayed));
   assert_ok(drm_sim_wait_idle(fd, 0));
   assert_true(is_hole(fd, 0, BASE + GIB));
   args = va_op(AMDGPU_VA_OP_UNMAP, bo, BASE, 0, PAGE);
   args.vm_timeline_syncobj_out = timeline;
   args.vm_timeline_point = 4;
   assert_ok(gem_va(fd, args));
   assert_ok(syncobj_wait(fd, timeline, 4, 0, in_ms(60000)));
   assert_false(is_hole(fd, 0, BASE + GIB));
   assert_true(is_hole(fd, 0, BASE));
   close(fd);
   close(gate_fd);

   /* An older kernel knows the shorter argument only. */
   fd = open_node("amdgpu-3.61");
   bo = bo_create(fd, PAGE, 0);
   args = va_op(AMDGPU_VA_OP_MAP, bo, BASE, 0, PAGE);
   args.vm_timeline_syncobj_out = 99;
   assert_ok(gem_va(fd, args));
   close(fd);
}

static int
submit(int fd, uint32_t ctx, uint64_t va, uint32_t bytes, uint32_t *syncobj, uint64_t *handle)
{
   struct drm_amdgpu_cs_chunk_ib ib = {.va_start = va, .ib_bytes = bytes};
   const struct drm_amdgpu_cs_chunk chunks[] = {
      {AMDGPU_CHUNK_ID_IB, sizeof(ib) / 4, (uintptr_t)&ib},
      {AMDGPU_CHUNK_ID_SYNCOBJ_OUT, 1, (uintptr_t)syncobj},
   };
   const uint64_t list[] = {(uintptr_t)&chunks[0], (uintptr_t)&chunks[1]};
   union drm_amdgpu_cs args = {
      .in = {.ctx_id = ctx, .num_chunks = 2, .chunks = (uintptr_t)list},
   };
   int ret = call(fd, DRM_IOCTL_AMDGPU_CS, &args);

   *handle = args.out.handle;
   return ret;
}

static void
test_submit(void **state)
{
   int fd = open_node("amdgpu");
   uint32_t bo = bo_create(fd, 2 * PAGE, 0), done = syncobj_create(fd, 0);
   union drm_amdgpu_gem_mmap offset = {.in = {.handle = bo}};
   union drm_amdgpu_ctx ctx = {.in = {.op = AMDGPU_CTX_OP_ALLOC_CTX}};
   /* WRITE_DATA to memory, confirmed */
   const uint32_t stream[] = {
      3u << 30 | 3 << 16 | 0x37 << 8, 5 << 8 | 1 << 20, (uint32_t)(BASE + PAGE), BASE >> 32, 0xab,
      0xffff1000};
   uint64_t handle;
   (void)state;

   assert_ok(call(fd, DRM_IOCTL_AMDGPU_GEM_MMAP, &offset));
   uint32_t *cpu = map_bo(fd, offset.out.addr_ptr, 2 * PAGE);
   memcpy(cpu, stream, sizeof(stream));
   assert_error(submit(fd, 7, BASE, sizeof(stream), &done, &handle), EINVAL);
   assert_ok(call(fd, DRM_IOCTL_AMDGPU_CTX, &ctx));
   const uint32_t id = ctx.out.alloc.ctx_id;

   /* Behind binds that are held, and those that were put off */
   struct drm_amdgpu_gem_va delayed = va_op(AMDGPU_VA_OP_MAP, bo, BASE, 0, 2 * PAGE);
   delayed.flags |= AMDGPU_VM_DELAY_UPDATE;
   assert_ok(gem_va(fd, delayed));
   assert_ok(drm_sim_hold(fd, 0));
   assert_ok(submit(fd, id, BASE, sizeof(stream), &done, &handle));
   union drm_amdgpu_wait_cs wait = {.in = {.handle = handle, .ctx_id = id}};
   assert_ok(call(fd, DRM_IOCTL_AMDGPU_WAIT_CS, &wait));
   assert_int_equal(wait.out.status, 1);
   assert_ok(drm_sim_release(fd, 0));
   wait = (union drm_amdgpu_wait_cs){.in = {.handle = handle, .ctx_id = id, .timeout = UINT64_MAX}};
   assert_ok(call(fd, DRM_IOCTL_AMDGPU_WAIT_CS, &wait));
   assert_int_equal(wait.out.status, 0);
   assert_int_equal(cpu[PAGE / 4], 0xab);
   assert_ok(syncobj_wait(fd, done, 0, 0, 0));

   /* An evicted BO comes back before the submit runs. */
   cpu[PAGE / 4] = 0;
   assert_ok(drm_sim_evict(fd, bo));
   assert_ok(submit(fd, id, BASE, sizeof(stream), &done, &handle));
   assert_ok(syncobj_wait(fd, done, 0, 0, in_ms(60000)));
   assert_int_equal(cpu[PAGE / 4], 0xab);

   /* The same by way of a buffer that is called; above 48 bits addresses are as the program likes. */
   const uint32_t chain[] = {3u << 30 | 2 << 16 | 0x3f << 8, (uint32_t)BASE,
                             (uint32_t)(BASE >> 32) | 0xffff0000, sizeof(stream) / 4};
   memcpy(cpu + 64, chain, sizeof(chain));
   cpu[3] |= 0xffff0000;
   cpu[PAGE / 4] = 0;
   assert_ok(submit(fd, id, BASE + 256, sizeof(chain), &done, &handle));
   assert_ok(syncobj_wait(fd, done, 0, 0, in_ms(60000)));
   assert_int_equal(cpu[PAGE / 4], 0xab);

   /* A fault makes the context guilty, and no other. */
   assert_ok(submit(fd, id, BASE + GIB, 64, &done, &handle));
   assert_ok(syncobj_wait(fd, done, 0, 0, in_ms(60000)));
   assert_error(submit(fd, id, BASE, sizeof(stream), &done, &handle), ECANCELED);
   ctx = (union drm_amdgpu_ctx){.in = {.op = AMDGPU_CTX_OP_QUERY_STATE2, .ctx_id = id}};
   assert_ok(call(fd, DRM_IOCTL_AMDGPU_CTX, &ctx));
   assert_true(ctx.out.state.flags & AMDGPU_CTX_QUERY2_FLAGS_GUILTY);
   ctx = (union drm_amdgpu_ctx){.in = {.op = AMDGPU_CTX_OP_ALLOC_CTX}};
   assert_ok(call(fd, DRM_IOCTL_AMDGPU_CTX, &ctx));
   assert_ok(submit(fd, ctx.out.alloc.ctx_id, BASE, sizeof(stream), &done, &handle));
   assert_ok(syncobj_wait(fd, done, 0, 0, in_ms(60000)));
   munmap(cpu, 2 * PAGE);
   close(fd);
}

static void
test_info(void **state)
{
   int fd = open_node("amdgpu");
   struct drm_amdgpu_info_device dev;
   struct drm_amdgpu_info args = {
      .return_pointer = (uintptr_t)&dev,
      .return_size = sizeof(dev),
      .query = AMDGPU_INFO_DEV_INFO,
   };
   (void)state;

   assert_ok(call(fd, DRM_IOCTL_AMDGPU_INFO, &args));
   assert_int_equal(dev.virtual_address_offset, 65536);
   assert_int_equal(dev.virtual_address_max, 1ull << 47);
   assert_int_equal(dev.gart_page_size, 4096);
   args.return_size = 0;
   assert_error(call(fd, DRM_IOCTL_AMDGPU_INFO, &args), EINVAL);
   args.return_size = 4;
   args.query = 0x7f;
   assert_error(call(fd, DRM_IOCTL_AMDGPU_INFO, &args), EINVAL);
   close(fd);
}

int
main(void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_arguments),
      cmocka_unit_test(test_operations),
      cmocka_unit_test(test_fences),
      cmocka_unit_test(test_submit),
      cmocka_unit_test(test_info),
   };
   return cmocka_run_group_tests_name("sim amdgpu", tests, NULL, NULL);
}

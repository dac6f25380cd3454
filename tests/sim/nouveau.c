/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The nouveau personality: VM_INIT first, atomic binds, sparse regions, waits for what is on its
 * way out, and pushes. Must know nothing of other drivers but the gate of sim_test.h.
 */

#include "sim_test.h"

#include "drm-uapi/nouveau_drm.h"
#include "drm-uapi/nouveau_nvif.h"

#define BASE (1ull << 33)

static struct mappings mappings;
static struct mappings tables;

static int
vm_init(int fd)
{
   struct drm_nouveau_vm_init args = {
      .kernel_managed_addr = 1ull << 40,
      .kernel_managed_size = 1ull << 40,
   };
   return call(fd, DRM_IOCTL_NOUVEAU_VM_INIT, &args);
}

static int
open_nouveau(void)
{
   int fd = open_node("nouveau");

   assert_ok(vm_init(fd));
   return fd;
}

static uint32_t
bo_create(int fd, uint64_t size, uint32_t domain)
{
   struct drm_nouveau_gem_new args = {
      .info = {.size = size, .domain = NOUVEAU_GEM_DOMAIN_GART | domain},
   };
   assert_ok(call(fd, DRM_IOCTL_NOUVEAU_GEM_NEW, &args));
   assert_int_equal(args.info.size, size);
   return args.info.handle;
}

static void *
bo_map(int fd, uint32_t handle, uint64_t size)
{
   struct drm_nouveau_gem_info args = {.handle = handle};

   assert_ok(call(fd, DRM_IOCTL_NOUVEAU_GEM_INFO, &args));
   return map_bo(fd, args.map_handle, size);
}

static struct drm_nouveau_vm_bind_op
map(uint32_t handle, uint64_t offset, uint64_t addr, uint64_t range)
{
   return (struct drm_nouveau_vm_bind_op){
      .op = DRM_NOUVEAU_VM_BIND_OP_MAP,
      .handle = handle,
      .bo_offset = offset,
      .addr = addr,
      .range = range,
   };
}

static struct drm_nouveau_vm_bind_op
unmap(uint64_t addr, uint64_t range)
{
   return (struct drm_nouveau_vm_bind_op){
      .op = DRM_NOUVEAU_VM_BIND_OP_UNMAP, .addr = addr, .range = range};
}

static struct drm_nouveau_vm_bind_op
sparse(struct drm_nouveau_vm_bind_op op)
{
   op.flags |= DRM_NOUVEAU_VM_BIND_SPARSE;
   return op;
}

static int
bind_with(int fd, const struct drm_nouveau_vm_bind_op *ops, uint32_t count, uint32_t flags,
          const struct drm_nouveau_sync *wait, const struct drm_nouveau_sync *signal)
{
   struct drm_nouveau_vm_bind args = {
      .op_count = count,
      .flags = flags,
      .wait_count = !!wait,
      .sig_count = !!signal,
      .wait_ptr = (uintptr_t)wait,
      .sig_ptr = (uintptr_t)signal,
      .op_ptr = (uintptr_t)ops,
   };
   return call(fd, DRM_IOCTL_NOUVEAU_VM_BIND, &args);
}

static int
bind(int fd, struct drm_nouveau_vm_bind_op op)
{
   return bind_with(fd, &op, 1, 0, NULL, NULL);
}

static bool
is_null(int fd, uint64_t va)
{
   struct drm_sim_mapping mapping;

   return drm_sim_lookup(fd, 0, va, &mapping) == 0 && (mapping.flags & DRM_SIM_MAPPING_NULL);
}

static void
test_vm_init_comes_first(void **state)
{
   struct drm_nouveau_vm_init bad = {.kernel_managed_addr = 1ull << 46, .kernel_managed_size = 1ull << 47};
   (void)state;

   int fd = open_node("nouveau");
   assert_error(bind(fd, unmap(BASE, PAGE)), ENOSYS);
   assert_error(call(fd, DRM_IOCTL_NOUVEAU_VM_INIT, &bad), EINVAL);
   bad.kernel_managed_addr = UINT64_MAX;
   assert_error(call(fd, DRM_IOCTL_NOUVEAU_VM_INIT, &bad), EINVAL);
   bo_create(fd, PAGE, 0);
   assert_error(vm_init(fd), ENOSYS);
   struct drm_nouveau_gem_new private = {
      .info = {.size = PAGE, .domain = NOUVEAU_GEM_DOMAIN_NO_SHARE},
   };
   assert_error(call(fd, DRM_IOCTL_NOUVEAU_GEM_NEW, &private), EINVAL);
   close(fd);

   fd = open_nouveau();
   uint32_t bo = bo_create(fd, PAGE, NOUVEAU_GEM_DOMAIN_NO_SHARE);
   struct drm_prime_handle prime = {.handle = bo};
   assert_error(call(fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &prime), EPERM);
   struct drm_nouveau_getparam param = {.param = NOUVEAU_GETPARAM_EXEC_PUSH_MAX};
   assert_ok(call(fd, DRM_IOCTL_NOUVEAU_GETPARAM, &param));
   assert_int_equal(param.value, 510);
   param.param = 99;
   assert_error(call(fd, DRM_IOCTL_NOUVEAU_GETPARAM, &param), EINVAL);
   close(fd);
}

static void
test_arguments(void **state)
{
   int fd = open_nouveau();
   uint32_t bo = bo_create(fd, 4 * PAGE, 0);
   const struct {
      struct drm_nouveau_vm_bind_op op;
      int error;
   } cases[] = {
      {map(99, 0, BASE, PAGE), ENOENT},
      {map(bo, 1, BASE, PAGE), EINVAL},
      {map(bo, 0, BASE + 1, PAGE), EINVAL},
      {map(bo, 0, BASE, PAGE + 1), EINVAL},
      {map(bo, 4 * PAGE, BASE, PAGE), EINVAL},
      {map(bo, PAGE, BASE, 4 * PAGE), EINVAL},
      /* The kernel's window, and past the end */
      {map(bo, 0, 1ull << 40, PAGE), EINVAL},
      {unmap((1ull << 40) - PAGE, 2 * PAGE), EINVAL},
      {map(bo, 0, 1ull << 47, PAGE), EINVAL},
      {{.op = 7, .addr = BASE, .range = PAGE}, EINVAL},
      {sparse(unmap(BASE, PAGE)), ENOENT},
   };
   (void)state;

   for (unsigned i = 0; i < ARRAY_LENGTH(cases); i++) {
      const struct drm_nouveau_vm_bind_op two[] = {map(bo, 0, BASE + GIB, PAGE), cases[i].op};

      if (bind(fd, cases[i].op) != -cases[i].error ||
          bind_with(fd, two, 2, 0, NULL, NULL) != -cases[i].error)
         fail_msg("case %u", i);
   }
   get_tree(fd, 0, &mappings);
   assert_int_equal(mappings.count, 0);

   struct drm_nouveau_sync sync = {.handle = syncobj_create(fd, 0)};
   assert_error(bind_with(fd, NULL, 0, 0, NULL, &sync), EINVAL);
   sync.flags = 2;
   assert_error(bind_with(fd, NULL, 0, DRM_NOUVEAU_VM_BIND_RUN_ASYNC, NULL, &sync), EINVAL);
   assert_error(bind_with(fd, NULL, 0, DRM_NOUVEAU_VM_BIND_RUN_ASYNC, &sync, NULL), EOPNOTSUPP);
   sync = (struct drm_nouveau_sync){.handle = 99};
   assert_error(bind_with(fd, NULL, 0, DRM_NOUVEAU_VM_BIND_RUN_ASYNC, NULL, &sync), ENOENT);
   close(fd);
}

static void
test_sparse_regions(void **state)
{
   int fd = open_nouveau();
   uint32_t bo = bo_create(fd, 16 * PAGE, 0);
   uint32_t value = 5;
   (void)state;

   assert_ok(bind(fd, sparse(map(0, 0, BASE, 16 * PAGE))));
   assert_true(is_null(fd, BASE + 15 * PAGE));
   assert_ok(drm_sim_write(fd, 0, BASE, &value, sizeof(value)));
   assert_ok(drm_sim_read(fd, 0, BASE, &value, sizeof(value)));
   assert_int_equal(value, 0);

   /* Another one over it, and mappings that lie across its ends */
   assert_error(bind(fd, sparse(map(0, 0, BASE + 8 * PAGE, 16 * PAGE))), ENOSPC);
   assert_error(bind(fd, map(bo, 0, BASE - PAGE, 2 * PAGE)), ENOSPC);
   assert_error(bind(fd, map(bo, 0, BASE + 15 * PAGE, 2 * PAGE)), ENOSPC);
   assert_ok(bind(fd, map(bo, 0, BASE, 4 * PAGE)));
   assert_ok(bind(fd, map(bo, 0, BASE + 16 * PAGE, PAGE)));

   /* What is unbound inside is sparse again; only the whole goes. */
   assert_ok(bind(fd, unmap(BASE + PAGE, PAGE)));
   assert_true(is_null(fd, BASE + PAGE));
   get_tree(fd, 0, &mappings);
   assert_int_equal(mappings.count, 3);
   get_page_tables(fd, 0, &tables);
   assert_int_equal(tables.count, 5);
   assert_mapping(&tables.list[0], BASE, PAGE, bo, 0);
   assert_mapping(&tables.list[2], BASE + 2 * PAGE, 2 * PAGE, bo, 2 * PAGE);
   assert_error(bind(fd, sparse(unmap(BASE, 8 * PAGE))), ENOENT);
   assert_error(bind(fd, sparse(unmap(BASE, 17 * PAGE))), ENOENT);
   assert_ok(bind(fd, sparse(unmap(BASE, 16 * PAGE))));
   get_page_tables(fd, 0, &tables);
   assert_int_equal(tables.count, 1);
   assert_mapping(&tables.list[0], BASE + 16 * PAGE, PAGE, bo, 0);

   /* Where something is mapped, none can be made; in one batch, what comes first counts. */
   assert_error(bind(fd, sparse(map(0, 0, BASE + 16 * PAGE, PAGE))), ENOSPC);
   const struct drm_nouveau_vm_bind_op batch[] = {
      unmap(BASE + 16 * PAGE, PAGE),
      sparse(map(0, 0, BASE + 16 * PAGE, 4 * PAGE)),
      map(bo, PAGE, BASE + 17 * PAGE, PAGE),
   };
   assert_ok(bind_with(fd, batch, 3, 0, NULL, NULL));
   assert_true(is_null(fd, BASE + 16 * PAGE));
   assert_false(is_null(fd, BASE + 17 * PAGE));
   const struct drm_nouveau_vm_bind_op remade[] = {
      sparse(unmap(BASE + 16 * PAGE, 4 * PAGE)),
      map(bo, 0, BASE + 16 * PAGE, PAGE),
   };
   assert_error(bind_with(fd, remade, 2, 0, NULL, NULL), EINVAL);
   assert_true(is_null(fd, BASE + 16 * PAGE));
   close(fd);
}

static void
test_atomic_staged_fifo(void **state)
{
   int fd = open_nouveau();
   uint32_t bo = bo_create(fd, 4 * PAGE, 0);
   struct drm_nouveau_sync signal = {
      .flags = DRM_NOUVEAU_SYNC_TIMELINE_SYNCOBJ,
      .handle = syncobj_create(fd, 0),
      .timeline_value = 4,
   };
   const struct drm_nouveau_vm_bind_op ops[] = {
      map(bo, 0, BASE, 4 * PAGE),
      unmap(BASE + PAGE, PAGE),
   };
   (void)state;

   assert_ok(drm_sim_set_fault("op:2=ENOMEM"));
   assert_error(bind_with(fd, ops, 2, 0, NULL, NULL), ENOMEM);
   assert_ok(drm_sim_set_fault(NULL));
   get_tree(fd, 0, &mappings);
   assert_int_equal(mappings.count, 0);

   assert_ok(drm_sim_hold(fd, 0));
   assert_ok(bind_with(fd, ops, 2, DRM_NOUVEAU_VM_BIND_RUN_ASYNC, NULL, &signal));
   get_tree(fd, 0, &mappings);
   assert_int_equal(mappings.count, 2);
   assert_true(is_hole(fd, 0, BASE));
   assert_error(syncobj_wait(fd, signal.handle, 4, 0, 0), ETIME);
   assert_ok(drm_sim_release(fd, 0));
   assert_ok(syncobj_wait(fd, signal.handle, 4, 0, in_ms(60000)));
   assert_false(is_hole(fd, 0, BASE));
   assert_true(is_hole(fd, 0, BASE + PAGE));

   /* A job that fails: its fence says so, and the VM goes on. */
   assert_ok(drm_sim_set_fault("job:1=ENOMEM"));
   assert_ok(bind(fd, map(bo, 0, BASE + GIB, PAGE)));
   assert_ok(drm_sim_set_fault(NULL));
   assert_true(is_hole(fd, 0, BASE + GIB));
   assert_ok(bind(fd, map(bo, 0, BASE + GIB, PAGE)));
   assert_false(is_hole(fd, 0, BASE + GIB));

   /* A BO without handles lives as long as it is mapped. */
   struct drm_gem_close gem_close = {.handle = bo};
   assert_ok(call(fd, DRM_IOCTL_GEM_CLOSE, &gem_close));
   assert_false(is_hole(fd, 0, BASE));
   close(fd);
}

static void
test_exec(void **state)
{
   int fd = open_nouveau();
   uint32_t bo = bo_create(fd, 2 * PAGE, 0);
   uint32_t *cpu = bo_map(fd, bo, 2 * PAGE);
   struct drm_nouveau_channel_alloc alloc = {
      .fb_ctxdma_handle = UINT32_MAX,
      .tt_ctxdma_handle = 0x77,
   };
   struct drm_nouveau_sync signal = {.handle = syncobj_create(fd, 0)};
   struct drm_nouveau_exec_push push = {.va = BASE, .va_len = 6 * 4};
   struct drm_nouveau_exec exec = {
      .push_count = 1,
      .sig_count = 1,
      .sig_ptr = (uintptr_t)&signal,
      .push_ptr = (uintptr_t)&push,
   };
   /* SEM_ADDR_LO and the four after it, as one increasing method */
   const uint32_t release[] = {
      1u << 29 | 5 << 16 | 0x5c >> 2, (uint32_t)(BASE + PAGE), BASE >> 32, 0xfe, 0, 1};
   (void)state;

   assert_error(call(fd, DRM_IOCTL_NOUVEAU_CHANNEL_ALLOC, &alloc), ENOSYS);
   /* One of Kepler's engines */
   alloc.tt_ctxdma_handle = NOUVEAU_FIFO_ENGINE_VP;
   assert_error(call(fd, DRM_IOCTL_NOUVEAU_CHANNEL_ALLOC, &alloc), EINVAL);
   alloc.fb_ctxdma_handle = UINT32_MAX;
   alloc.tt_ctxdma_handle = NOUVEAU_FIFO_ENGINE_GR;
   assert_ok(call(fd, DRM_IOCTL_NOUVEAU_CHANNEL_ALLOC, &alloc));
   exec.channel = 77;
   assert_error(call(fd, DRM_IOCTL_NOUVEAU_EXEC, &exec), ENOENT);
   exec.channel = alloc.channel;
   push.va_len = 0x800000;
   assert_error(call(fd, DRM_IOCTL_NOUVEAU_EXEC, &exec), EINVAL);
   push.va_len = sizeof(release);

   memcpy(cpu, release, sizeof(release));
   assert_ok(bind(fd, map(bo, 0, BASE, 2 * PAGE)));
   assert_ok(drm_sim_evict(fd, bo));
   assert_ok(call(fd, DRM_IOCTL_NOUVEAU_EXEC, &exec));
   assert_ok(syncobj_wait(fd, signal.handle, 0, 0, in_ms(60000)));
   assert_int_equal(cpu[PAGE / 4], 0xfe);

   /* A push that is not there kills the channel. */
   push.va = BASE + GIB;
   assert_ok(call(fd, DRM_IOCTL_NOUVEAU_EXEC, &exec));
   assert_ok(syncobj_wait(fd, signal.handle, 0, 0, in_ms(60000)));
   assert_error(call(fd, DRM_IOCTL_NOUVEAU_EXEC, &exec), ENODEV);
   struct drm_nouveau_channel_free free_args = {.channel = alloc.channel};
   assert_ok(call(fd, DRM_IOCTL_NOUVEAU_CHANNEL_FREE, &free_args));
   munmap(cpu, 2 * PAGE);
   close(fd);
}

/* An argument of NVIF, and how much of it there is */
struct nvif {
   struct nvif_ioctl_v0 head;
   union {
      struct nvif_ioctl_new_v0 new;
      struct {
         struct nvif_ioctl_mthd_v0 mthd;
         struct nv_device_info_v0 info;
      };
      struct {
         struct nvif_ioctl_sclass_v0 sclass;
         struct nvif_ioctl_sclass_oclass_v0 list[8];
      };
   };
};

/* As libdrm's drmCommandWrite() calls it: what it says of the direction is of no matter. */
static int
nvif(int fd, struct nvif *args, size_t args_size)
{
   return call(fd,
               _IOC(_IOC_WRITE, DRM_IOCTL_BASE, DRM_COMMAND_BASE + DRM_NOUVEAU_NVIF,
                    sizeof(args->head) + args_size),
               args);
}

static int
nvif_new(int fd, uint32_t channel, uint64_t name, int32_t oclass)
{
   struct nvif args = {
      .head = {
         .type = NVIF_IOCTL_V0_NEW,
         .route = channel ? NVIF_IOCTL_V0_ROUTE_HIDDEN : NVIF_IOCTL_V0_ROUTE_NVIF,
         .token = channel,
      },
      .new = {.object = name, .oclass = oclass},
   };
   return nvif(fd, &args, sizeof(args.new));
}

static int
nvif_del(int fd, uint64_t name)
{
   struct nvif args = {.head = {.type = NVIF_IOCTL_V0_DEL, .object = name}};

   return nvif(fd, &args, 0);
}

static int
nvif_info(int fd, uint64_t name, struct nvif *args)
{
   *args = (struct nvif){
      .head = {.type = NVIF_IOCTL_V0_MTHD, .object = name},
      .mthd = {.method = NV_DEVICE_V0_INFO},
   };
   return nvif(fd, args, sizeof(args->mthd) + sizeof(args->info));
}

static void
test_nvif_device(void **state)
{
   int fd = open_nouveau();
   struct nvif args;
   (void)state;

   assert_error(nvif_info(fd, 7, &args), EINVAL);
   assert_error(nvif_new(fd, 0, 7, TURING_A), EINVAL);
   assert_ok(nvif_new(fd, 0, 7, NV_DEVICE));
   assert_error(nvif_new(fd, 0, 7, NV_DEVICE), EEXIST);

   assert_ok(nvif_info(fd, 7, &args));
   assert_int_equal(args.info.chipset, 0x164);
   assert_int_equal(args.info.family, NV_DEVICE_INFO_V0_TURING);
   assert_string_equal(args.info.chip, "TU104");
   struct drm_nouveau_getparam vram = {.param = NOUVEAU_GETPARAM_FB_SIZE};
   assert_ok(call(fd, DRM_IOCTL_NOUVEAU_GETPARAM, &vram));
   assert_int_equal(args.info.ram_user, vram.value);

   /* Of the wrong size, of a later version, of a type that is gone: nothing is written. */
   assert_ok(nvif_info(fd, 7, &args));
   args.info.chipset = 0;
   assert_error(nvif(fd, &args, sizeof(args.mthd) + sizeof(args.info) - 8), EINVAL);
   args.info.version = 1;
   assert_error(nvif(fd, &args, sizeof(args.mthd) + sizeof(args.info)), EINVAL);
   args.info.version = 0;
   args.head.version = 1;
   assert_error(nvif(fd, &args, sizeof(args.mthd) + sizeof(args.info)), EINVAL);
   args.head.version = 0;
   args.head.type = 0x05;
   assert_error(nvif(fd, &args, sizeof(args.mthd) + sizeof(args.info)), EINVAL);
   assert_int_equal(args.info.chipset, 0);

   assert_ok(nvif_del(fd, 7));
   assert_error(nvif_info(fd, 7, &args), EINVAL);
   assert_ok(nvif_del(fd, 7));
   close(fd);
}

static uint32_t
channel_create(int fd, uint32_t engine)
{
   struct drm_nouveau_channel_alloc args = {
      .fb_ctxdma_handle = engine ? UINT32_MAX : 0,
      .tt_ctxdma_handle = engine,
   };
   assert_ok(call(fd, DRM_IOCTL_NOUVEAU_CHANNEL_ALLOC, &args));
   return args.channel;
}

/* How many there are, of which room for two is filled */
static unsigned
nvif_classes(int fd, uint32_t channel, int32_t classes[static 2])
{
   struct nvif args = {
      .head = {
         .type = NVIF_IOCTL_V0_SCLASS,
         .route = NVIF_IOCTL_V0_ROUTE_HIDDEN,
         .token = channel,
      },
      .sclass = {.count = 2},
   };

   assert_ok(nvif(fd, &args, sizeof(args.sclass) + 2 * sizeof(args.list[0])));
   classes[0] = args.list[0].oclass;
   classes[1] = args.list[1].oclass;
   assert_int_equal(args.list[2].oclass, 0);
   return args.sclass.count;
}

static void
test_nvif_classes(void **state)
{
   int fd = open_nouveau();
   uint32_t channel = channel_create(fd, 0), copies = channel_create(fd, NOUVEAU_FIFO_ENGINE_CE);
   int32_t classes[2];
   struct nvif args = {
      .head = {.type = NVIF_IOCTL_V0_SCLASS, .route = NVIF_IOCTL_V0_ROUTE_HIDDEN, .token = 77},
      .sclass = {.count = 8},
   };
   const size_t size = sizeof(args.sclass) + sizeof(args.list);
   (void)state;

   assert_int_equal(nvif_classes(fd, channel, classes), 5);
   assert_int_equal(classes[0], KEPLER_INLINE_TO_MEMORY_B);
   assert_int_equal(classes[1], FERMI_TWOD_A);
   assert_int_equal(nvif_classes(fd, copies, classes), 1);
   assert_int_equal(classes[0], TURING_DMA_COPY_A);
   assert_int_equal(classes[1], 0);

   assert_error(nvif(fd, &args, size), EINVAL);
   args.head.token = channel;
   assert_error(nvif(fd, &args, size - sizeof(args.list[0])), EINVAL);
   args.head.route = NVIF_IOCTL_V0_ROUTE_NVIF;
   assert_error(nvif(fd, &args, size), EINVAL);

   assert_ok(nvif_new(fd, channel, 1, TURING_A));
   assert_error(nvif_new(fd, copies, 2, TURING_A), EINVAL);
   assert_error(nvif_new(fd, 77, 2, TURING_A), EINVAL);
   assert_error(nvif_new(fd, channel, 1, TURING_COMPUTE_A), EEXIST);
   assert_ok(nvif_del(fd, 1));
   assert_ok(nvif_new(fd, channel, 1, TURING_COMPUTE_A));
   close(fd);
}

int
main(void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_vm_init_comes_first),
      cmocka_unit_test(test_arguments),
      cmocka_unit_test(test_sparse_regions),
      cmocka_unit_test(test_atomic_staged_fifo),
      cmocka_unit_test(test_exec),
      cmocka_unit_test(test_nvif_device),
      cmocka_unit_test(test_nvif_classes),
   };
   return cmocka_run_group_tests_name("sim nouveau", tests, NULL, NULL);
}

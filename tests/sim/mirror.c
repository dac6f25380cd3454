/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The host's MMU showing the page tables where the program has reserved addresses: maps, holes,
 * zeros, the message at a hole, the program's own handlers, and operations that are not applied
 * when asked so. Each test runs for every driver. Must know nothing of how the mirror is made.
 */

#include "sim_test.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define WINDOW_B (64 * MIB)
#define BO_B     (1 * MIB)

struct device {
   const char *kmd;
   int fd;
   uint32_t vm;
   uint32_t bo;
   uint32_t *cpu;
   char *window;
};

static bool
is_msm(const struct device *device)
{
   return !strncmp(device->kmd, "msm", 3);
}

static bool
is_xe(const struct device *device)
{
   return !strcmp(device->kmd, "xe");
}

/* The BO's word i has the value i. */
static struct device
device_open(const char *kmd)
{
   struct device device = {.kmd = kmd};

   device.window =
      mmap(NULL, WINDOW_B, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
   assert_ptr_not_equal(device.window, MAP_FAILED);
   assert_int_equal(madvise(device.window, WINDOW_B, MADV_DONTDUMP), 0);
   /* The same page of every 2 MiB can be told from its neighbours. */
   if (is_msm(&device)) {
      device.fd = open_msm(kmd);
      device.bo = msm_bo_create(device.fd, BO_B, 0);
      device.cpu = msm_map_cpu(device.fd, device.bo, BO_B);
   } else if (is_xe(&device)) {
      device.fd = open_node(kmd);
      device.vm = xe_vm_create(device.fd, 0);
      device.bo = xe_bo_create(device.fd, BO_B, 0);
      device.cpu = xe_map_cpu(device.fd, device.bo, BO_B);
   } else {
      device.fd = open_node(kmd);
      device.vm = panthor_vm_create(device.fd);
      device.bo = panthor_bo_create(device.fd, BO_B, 0);
      device.cpu = panthor_map_cpu(device.fd, device.bo, BO_B);
   }
   for (uint32_t i = 0; i < BO_B / 4; i++)
      device.cpu[i] = i;
   return device;
}

static void
device_close(struct device *device)
{
   munmap(device->cpu, BO_B);
   close(device->fd);
   munmap(device->window, WINDOW_B);
   assert_ok(drm_sim_set_misapply(NULL));
}

static uint64_t
va_of(const struct device *device, uint64_t offset)
{
   return (uintptr_t)device->window + offset;
}

static void
bind_msm(const struct device *device, struct drm_msm_vm_bind_op op)
{
   assert_ok(msm_bind(device->fd, 1, &op, 1));
   assert_ok(drm_sim_wait_idle(device->fd, 0));
}

static void
bind_xe(const struct device *device, struct drm_xe_vm_bind_op op)
{
   assert_ok(xe_bind(device->fd, device->vm, 0, &op, 1, NULL, 0));
   assert_ok(drm_sim_wait_idle(device->fd, device->vm));
}

static void
map(const struct device *device, uint64_t at, uint64_t bo_offset, uint64_t size)
{
   if (is_msm(device)) {
      bind_msm(device, msm_map(device->bo, bo_offset, va_of(device, at), size));
   } else if (is_xe(device)) {
      bind_xe(device, xe_map(device->bo, bo_offset, va_of(device, at), size));
   } else {
      struct drm_panthor_vm_bind_op op =
         panthor_map(device->bo, bo_offset, va_of(device, at), size);
      assert_ok(panthor_bind(device->fd, device->vm, 0, &op, 1));
   }
}

static void
unmap(const struct device *device, uint64_t at, uint64_t size)
{
   if (is_msm(device)) {
      bind_msm(device, msm_unmap(va_of(device, at), size));
   } else if (is_xe(device)) {
      bind_xe(device, xe_unmap(va_of(device, at), size));
   } else {
      struct drm_panthor_vm_bind_op op = panthor_unmap(va_of(device, at), size);
      assert_ok(panthor_bind(device->fd, device->vm, 0, &op, 1));
   }
}

static void
map_null(const struct device *device, uint64_t at, uint64_t size)
{
   if (is_msm(device)) {
      bind_msm(device, msm_null(va_of(device, at), size));
   } else if (is_xe(device)) {
      bind_xe(device, xe_null(va_of(device, at), size));
   } else {
      struct drm_panthor_vm_bind_op op = {
         .flags = DRM_PANTHOR_VM_BIND_OP_MAP_SPARSE | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC,
         .va = va_of(device, at),
         .size = size,
      };
      assert_ok(panthor_bind(device->fd, device->vm, 0, &op, 1));
   }
}

/* Reads a word through the window; false at a hole. */

static sigjmp_buf jump;
static volatile sig_atomic_t faults;

static void
jump_out(int signum)
{
   (void)signum;
   faults++;
   siglongjmp(jump, 1);
}

static bool
peek(const struct device *device, uint64_t at, uint32_t *value)
{
   if (sigsetjmp(jump, 1))
      return false;
   *value = *(volatile uint32_t *)(device->window + at);
   return true;
}

static bool
poke(const struct device *device, uint64_t at, uint32_t value)
{
   if (sigsetjmp(jump, 1))
      return false;
   *(volatile uint32_t *)(device->window + at) = value;
   return true;
}

/* The messages at holes are wanted in one test only. */
static int stderr_copy = -1;

static void
catch_faults(void)
{
   struct sigaction action = {.sa_handler = jump_out};

   sigaction(SIGSEGV, &action, NULL);
   fflush(stderr);
   if (stderr_copy < 0)
      stderr_copy = dup(STDERR_FILENO);
   int null = open("/dev/null", O_WRONLY);
   dup2(null, STDERR_FILENO);
   close(null);
}

static void
uncatch_faults(void)
{
   signal(SIGSEGV, SIG_DFL);
   dup2(stderr_copy, STDERR_FILENO);
}

static void
test_pages_appear_and_go(void **state)
{
   struct device device = device_open(*state);
   uint32_t value;

   catch_faults();
   assert_false(peek(&device, 0, &value));
   map(&device, 1 * MIB, 64 * KIB, 128 * KIB);
   assert_true(peek(&device, 1 * MIB, &value));
   assert_int_equal(value, 64 * KIB / 4);
   assert_true(peek(&device, 1 * MIB + 128 * KIB - 4, &value));
   assert_int_equal(value, 192 * KIB / 4 - 1);
   assert_false(peek(&device, 1 * MIB - 4, &value));
   assert_false(peek(&device, 1 * MIB + 128 * KIB, &value));

   /* It is the BO, not a copy. */
   device.cpu[64 * KIB / 4] = 4711;
   assert_true(peek(&device, 1 * MIB, &value));
   assert_int_equal(value, 4711);
   assert_true(poke(&device, 1 * MIB + 4, 4712));
   assert_int_equal(device.cpu[64 * KIB / 4 + 1], 4712);

   unmap(&device, 1 * MIB, PAGE);
   assert_false(peek(&device, 1 * MIB, &value));
   assert_true(peek(&device, 1 * MIB + PAGE, &value));
   assert_int_equal(value, (64 * KIB + PAGE) / 4);

   /* A map over a map */
   map(&device, 1 * MIB + PAGE, 0, PAGE);
   assert_true(peek(&device, 1 * MIB + PAGE, &value));
   assert_int_equal(value, 0);
   uncatch_faults();
   device_close(&device);
}

static void
test_null_mapping(void **state)
{
   struct device device = device_open(*state);
   uint32_t value = 1;

   catch_faults();
   map_null(&device, 4 * MIB, 8 * MIB);
   assert_true(peek(&device, 4 * MIB, &value));
   assert_int_equal(value, 0);
   assert_true(peek(&device, 12 * MIB - 4, &value));
   assert_int_equal(value, 0);
   map(&device, 6 * MIB, 0, 64 * KIB);
   assert_true(peek(&device, 6 * MIB + 400, &value));
   assert_int_equal(value, 100);
   assert_true(peek(&device, 6 * MIB + 64 * KIB, &value));
   assert_int_equal(value, 0);

   if (is_msm(&device) || is_xe(&device)) {
      /* A write goes nowhere. */
      assert_true(poke(&device, 4 * MIB, 9));
      assert_true(peek(&device, 4 * MIB, &value));
      assert_int_equal(value, 0);
   } else {
      assert_true(poke(&device, 4 * MIB, 9));
      assert_true(peek(&device, 10 * MIB, &value));
      assert_int_equal(value, 9);
   }
   uncatch_faults();
   device_close(&device);
}

/* ------------------------------------------------- stores that go nowhere (msm, xe) */

#ifdef __x86_64__

static bool
all_zero(const struct device *device, uint64_t at, uint64_t size)
{
   for (uint64_t i = 0; i < size; i += 4) {
      if (*(volatile uint32_t *)(device->window + at + i))
         return false;
   }
   return true;
}

/* One instruction, which C does not promise. */
static void
store_unaligned(void *address, uint64_t value)
{
   __asm__ volatile("movq %0, (%1)" : : "r"(value), "r"(address) : "memory");
}

/* Stores as compilers make them, in every form of operand.  Each counts that it was passed, and what
 * comes behind it must be what it was. */
#define STORE(name, text)                                                                          \
   static unsigned store_##name(void *to)                                                          \
   {                                                                                               \
      const uint64_t value = 0xa1a2a3a4a5a6a7a8ull;                                                \
      unsigned passed = 0;                                                                         \
      __asm__ volatile("movq %2, %%xmm9\n\tmovq %2, %%xmm1\n\tmovq %2, %%rdx\n\t"                    \
                       "movlhps %%xmm9, %%xmm9\n\t"                                                \
                       "movlhps %%xmm1, %%xmm1\n\t"                                                \
                       "movq %1, %%rbx\n\tmovq %1, %%r12\n\tmovq %1, %%r13\n\t"                     \
                       "movl $5, %%ecx\n\tmovl $5, %%r14d\n\t" text "\n\taddl $1, %0"               \
                       : "+r"(passed)                                                              \
                       : "r"(to), "r"(value)                                                       \
                       : "memory", "cc", "rbx", "rcx", "rdx", "r12", "r13", "r14", "xmm1", "xmm9"); \
      return passed;                                                                               \
   }

STORE(b, "movb %%dl, (%%rbx)")
STORE(b_imm, "movb $0x71, 1(%%r12)")
STORE(w, "movw %%dx, (%%r13)")
STORE(w_imm, "movw $0x7172, -2(%%rbx, %%rcx, 4)")
STORE(l, "movl %%edx, 0x100(%%r12, %%r14, 8)")
STORE(l_imm, "movl $0x71727374, 0x12345(%%rbx)")
STORE(l_index, "movl %%edx, -0x10(,%%r13, 1)")
STORE(q, "movq %%rdx, (%%r13, %%rcx, 2)")
STORE(q_imm, "movq $-0x71727374, (%%r12)")
STORE(nti, "movnti %%rdx, 4(%%rbx)")
STORE(ss, "movss %%xmm1, (%%rbx)")
STORE(sd, "movsd %%xmm9, 8(%%r13)")
STORE(ups, "movups %%xmm9, 3(%%r12, %%r14)")
STORE(dqu, "movdqu %%xmm1, (%%rbx)")
STORE(lps, "movlps %%xmm9, (%%rbx)")
STORE(hps, "movhps %%xmm1, (%%r13)")
STORE(d, "movd %%xmm9, (%%rbx)")
STORE(q_vector, "movq %%xmm9, 0x7f(%%r12)")
STORE(xchg, "xchgl %%edx, (%%rbx)")
STORE(lock, "lock addl %%edx, (%%r12)")

__attribute__((target("sse4.1"))) STORE(pextrb, "pextrb $1, %%xmm9, (%%rbx)")
__attribute__((target("sse4.1"))) STORE(pextrd, "pextrd $1, %%xmm1, 0x11111(%%r13)")
__attribute__((target("sse4.1"))) STORE(pextrq, "pextrq $1, %%xmm9, (%%r12, %%rcx)")
__attribute__((target("avx"))) STORE(vss, "vmovss %%xmm9, (%%r13, %%rcx, 4)")
__attribute__((target("avx"))) STORE(vd, "vmovd %%xmm1, (%%rbx)")
__attribute__((target("avx"))) 
   STORE(vps, "vinsertf128 $1, %%xmm9, %%ymm9, %%ymm9\n\tvmovups %%ymm9, 0x20(%%r12)")
__attribute__((target("avx"))) 
   STORE(vdqu, "vinsertf128 $1, %%xmm9, %%ymm1, %%ymm1\n\tvmovdqu %%ymm1, (%%rbx, %%r14, 2)")
__attribute__((target("avx"))) STORE(vpextrd, "vpextrd $1, %%xmm9, 0x40(%%r12, %%r14)")
__attribute__((target("avx"))) STORE(vextract, "vextractf128 $0, %%ymm9, (%%rbx)")

static const struct {
   const char *name;
   unsigned (*store)(void *to);
   bool avx;
} stores[] = {
   {"b", store_b},           {"b imm", store_b_imm}, {"w", store_w},
   {"w imm", store_w_imm},   {"l", store_l},         {"l imm", store_l_imm},
   {"l index", store_l_index}, {"q", store_q},       {"q imm", store_q_imm},
   {"nti", store_nti},       {"ss", store_ss},       {"sd", store_sd},
   {"ups", store_ups},       {"dqu", store_dqu},     {"lps", store_lps},
   {"hps", store_hps},       {"d", store_d},         {"q vector", store_q_vector},
   {"xchg", store_xchg},     {"lock", store_lock},   {"pextrb", store_pextrb, true},
   {"pextrd", store_pextrd, true}, {"pextrq", store_pextrq, true},
   {"vss", store_vss, true}, {"vd", store_vd, true}, {"vps", store_vps, true},
   {"vdqu", store_vdqu, true}, {"vpextrd", store_vpextrd, true},
   {"vextract", store_vextract, true},
};

/* Where a form stores, counted from what it is given, and how much: by trying. */
static void
measure_store(unsigned (*store)(void *to), int *first, int *end)
{
   static uint8_t bytes[512 * KIB];
   const int middle = sizeof(bytes) / 2;
   int at = 0;

   memset(bytes, 0, sizeof(bytes));
   assert_int_equal(store(bytes + middle), 1);
   while (!bytes[at])
      at++;
   *first = at - middle;
   while (bytes[at])
      at++;
   *end = at - middle;
}

/* The same to memory that is surrounded by a null mapping, and to bytes that are surrounded by bytes. */
static void
compare_store(struct device *device, const char *name, unsigned (*store)(void *to), int at)
{
   static uint8_t bytes[1024 * KIB];

   memset(device->cpu, 0, 128 * KIB);
   memset(bytes, 0, sizeof(bytes));
   assert_int_equal(store(bytes + 512 * KIB + at), 1);
   assert_int_equal(store(device->window + 5 * MIB + at), 1);
   if (memcmp(device->cpu, bytes + 512 * KIB, 128 * KIB))
      fail_msg("%s at %d", name, at);
}

/* Wholly into a null mapping, and across the borders of it. */
static void
test_stores_of_every_form(void **state)
{
   struct device device = device_open(*state);

   map_null(&device, 4 * MIB, 4 * MIB);
   map(&device, 5 * MIB, 0, 128 * KIB);

   for (unsigned i = 0; i < sizeof(stores) / sizeof(stores[0]); i++) {
      int first, end;

      if (stores[i].avx && !__builtin_cpu_supports("avx"))
         continue;
      measure_store(stores[i].store, &first, &end);

      for (int border = 0; border <= 128 * (int)KIB; border += 128 * (int)KIB) {
         for (int at = border - end - 1; at <= border - first + 1; at++)
            compare_store(&device, stores[i].name, stores[i].store, at);
      }
      assert_true(all_zero(&device, 4 * MIB, 1 * MIB));
      assert_true(all_zero(&device, 5 * MIB + 128 * KIB, 128 * KIB));
   }

   device_close(&device);
}

/* By strings, by vectors, by bytes; from a null mapping into memory, and across the border. */
static void
test_stores_to_null_are_dropped(void **state)
{
   struct device device = device_open(*state);
   static char data[256 * KIB];

   memset(data, 0x5a, sizeof(data));
   map_null(&device, 4 * MIB, 4 * MIB);
   map(&device, 6 * MIB, 0, 64 * KIB);

   memset(device.window + 4 * MIB, 0xff, 1 * MIB);
   memcpy(device.window + 5 * MIB + 3, data, sizeof(data));
   for (unsigned i = 0; i < 100; i++)
      ((volatile char *)device.window)[4 * MIB + 7 * i] = 1;
   assert_true(all_zero(&device, 4 * MIB, 2 * MIB));

   const void *from = device.window + 4 * MIB + 5;
   void *to = device.window + 4 * MIB + 8191;
   uint64_t count = 20000;
   __asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
   assert_int_equal(count, 0);
   assert_ptr_equal(to, device.window + 4 * MIB + 8191 + 20000);
   to = device.window + 4 * MIB + 4;
   count = 3000;
   __asm__ volatile("rep stosq" : "+D"(to), "+c"(count) : "a"(-1ull) : "memory");
   assert_ptr_equal(to, device.window + 4 * MIB + 4 + 24000);
   assert_true(all_zero(&device, 4 * MIB, 2 * MIB));

   /* Half of it to memory: that half is stored. */
   store_unaligned(device.window + 6 * MIB - 4, 0x1111111122222222ull);
   assert_int_equal(device.cpu[0], 0x11111111);
   store_unaligned(device.window + 6 * MIB + 64 * KIB - 4, 0x1111111122222222ull);
   assert_int_equal(device.cpu[64 * KIB / 4 - 1], 0x22222222);
   assert_true(all_zero(&device, 4 * MIB, 2 * MIB));
   assert_true(all_zero(&device, 6 * MIB + 64 * KIB, 64 * KIB));

   /* What is bound afterwards is memory. */
   map(&device, 4 * MIB, 128 * KIB, 64 * KIB);
   *(volatile uint32_t *)(device.window + 4 * MIB) = 77;
   assert_int_equal(device.cpu[128 * KIB / 4], 77);

   device_close(&device);
}

struct storer {
   const struct device *device;
   unsigned number;
};

/* Threads share pages, and one of them binds and unbinds a page in the middle: a race, and wanted. */
__attribute__((no_sanitize("thread"))) static void *
store_for_a_while(void *data)
{
   const struct storer *storer = data;
   volatile uint32_t *words = (uint32_t *)(storer->device->window + 4 * MIB);

   for (unsigned i = 0; i < 2000; i++)
      words[(i % 4) * PAGE / 4 + storer->number] = i + 1;
   return NULL;
}

static void
test_stores_to_null_from_threads(void **state)
{
   struct device device = device_open(*state);
   struct storer storers[4];
   pthread_t threads[4];

   map_null(&device, 4 * MIB, 1 * MIB);
   for (unsigned i = 0; i < 4; i++) {
      storers[i] = (struct storer){&device, i};
      assert_int_equal(pthread_create(&threads[i], NULL, store_for_a_while, &storers[i]), 0);
   }
   for (unsigned i = 0; i < 50; i++) {
      map(&device, 4 * MIB + PAGE, 0, PAGE);
      map_null(&device, 4 * MIB + PAGE, PAGE);
   }
   for (unsigned i = 0; i < 4; i++)
      pthread_join(threads[i], NULL);
   assert_true(all_zero(&device, 4 * MIB, 1 * MIB));

   map(&device, 4 * MIB, 0, 4 * PAGE);
   for (unsigned i = 4; i < 4 * PAGE / 4; i++)
      assert_int_equal(*(volatile uint32_t *)(device.window + 4 * MIB + 4 * i), i);

   device_close(&device);
}

#endif /* __x86_64__ */

static void
test_end_of_file_takes_all_away(void **state)
{
   struct device device = device_open(*state);
   uint32_t value;

   catch_faults();
   map(&device, 0, 0, BO_B);
   assert_true(peek(&device, PAGE, &value));
   close(device.fd);
   assert_false(peek(&device, PAGE, &value));

   /* And the addresses are still reserved. */
   void *other = mmap(device.window, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
   assert_ptr_not_equal(other, device.window);
   munmap(other, PAGE);
   uncatch_faults();
   munmap(device.cpu, BO_B);
   munmap(device.window, WINDOW_B);
}

static void
test_address_that_nobody_reserved(void **state)
{
   struct device device = device_open(*state);
   char *ours = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
   uint64_t at = ours - device.window;

   ours[0] = 'o';
   map(&device, at, 0, PAGE);
   assert_int_equal(ours[0], 'o');
   unmap(&device, at, PAGE);
   assert_int_equal(ours[0], 'o');
   munmap(ours, PAGE);
   device_close(&device);
}

/* A run is one map area however it was bound. */
static unsigned
count_map_areas(const struct device *device)
{
   FILE *maps = fopen("/proc/self/maps", "r");
   char line[512];
   unsigned count = 0;

   while (fgets(line, sizeof(line), maps)) {
      uint64_t start = strtoull(line, NULL, 16);
      if (start >= va_of(device, 0) && start < va_of(device, WINDOW_B))
         count++;
   }
   fclose(maps);
   return count;
}

static void
test_map_areas_do_not_pile_up(void **state)
{
   struct device device = device_open(*state);

   /* The host may join the window with what lies beside it. */
   for (unsigned i = 0; i < 64; i++)
      map(&device, 8 * MIB + i * PAGE, i * PAGE, PAGE);
   unsigned bound = count_map_areas(&device);
   assert_true(bound >= 2 && bound <= 3);
   for (unsigned i = 0; i < 64; i++)
      unmap(&device, 8 * MIB + i * PAGE, PAGE);
   assert_true(count_map_areas(&device) <= 1);
   device_close(&device);
}

static unsigned
max_map_count(void)
{
   FILE *file = fopen("/proc/sys/vm/max_map_count", "r");
   unsigned count = 0;

   assert_int_equal(fscanf(file, "%u", &count), 1);
   fclose(file);
   return count;
}

static void
test_out_of_map_areas(void **state)
{
   const uint64_t size = 1 * GIB;
   struct device device = device_open(*state);
   unsigned limit = max_map_count();
   int ret = 0;

   /* ThreadSanitizer needs map areas of its own, and ends when there are none. */
#ifdef __SANITIZE_THREAD__
   limit = UINT32_MAX;
#endif
   if (limit > 100000) {
      device_close(&device);
      skip();
   }

   /* Every other page: two map areas for each */
   munmap(device.window, WINDOW_B);
   device.window = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
   catch_faults();
   for (uint64_t at = 0; at < size && !ret; at += 2 * PAGE) {
      struct drm_panthor_vm_bind_op op = panthor_map(device.bo, 0, va_of(&device, at), PAGE);
      ret = panthor_bind(device.fd, device.vm, 0, &op, 1);
   }
   assert_int_equal(ret, -ENOMEM);

   /* It is an ENOMEM like any other: with less bound, it goes on. */
   unmap(&device, 0, size);
   assert_true(count_map_areas(&device) <= 1);
   map(&device, 0, 0, BO_B);
   uint32_t value = 0;
   assert_true(peek(&device, 4 * PAGE, &value));
   assert_int_equal(value, PAGE);
   uncatch_faults();
   munmap(device.cpu, BO_B);
   close(device.fd);
   munmap(device.window, size);
}

/* What a program that touches a hole writes to stderr, and how it ends */
static int
run_to_its_death(const struct device *device, uint64_t at, bool write_to_it, char *message,
                 size_t size)
{
   int ends[2], status;
   ssize_t length = 0, got;

   assert_int_equal(pipe(ends), 0);
   pid_t child = fork();
   if (child == 0) {
      dup2(ends[1], STDERR_FILENO);
      signal(SIGSEGV, SIG_DFL);
      if (write_to_it)
         *(volatile uint32_t *)(device->window + at) = 1;
      else
         (void)*(volatile uint32_t *)(device->window + at);
      _exit(0);
   }
   close(ends[1]);
   while ((got = read(ends[0], message + length, size - 1 - length)) > 0)
      length += got;
   message[length] = '\0';
   close(ends[0]);
   assert_int_equal(waitpid(child, &status, 0), child);
   return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void
test_message_at_a_hole(void **state)
{
   struct device device = device_open(*state);
   char message[2048], expected[128];

   map(&device, 2 * MIB, 0, 64 * KIB);
   unmap(&device, 2 * MIB, 64 * KIB);
   assert_int_equal(run_to_its_death(&device, 2 * MIB + PAGE, false, message, sizeof(message)),
                    SIGSEGV);

   snprintf(expected, sizeof(expected), "0x%llx",
            (unsigned long long)va_of(&device, 2 * MIB + PAGE));
   assert_non_null(strstr(message, expected));
   assert_non_null(strstr(message, is_msm(&device)  ? "msm VM"
                                   : is_xe(&device) ? "xe VM"
                                                    : "panthor VM"));
   snprintf(expected, sizeof(expected), "last operation there: UNMAP of [0x%llx",
            (unsigned long long)va_of(&device, 2 * MIB));
   assert_non_null(strstr(message, expected));
   assert_non_null(strstr(message, "last mapping there: MAP of"));

   assert_int_equal(run_to_its_death(&device, 40 * MIB, true, message, sizeof(message)), SIGSEGV);
   assert_non_null(strstr(message, "none in memory"));
   device_close(&device);
}

static void
test_handlers_are_chained(void **state)
{
   struct device device = device_open(*state);
   struct sigaction action, old;
   uint32_t value;

   faults = 0;
   catch_faults();
   /* The program sees its own handler, though ours is in front. */
   assert_int_equal(sigaction(SIGSEGV, NULL, &action), 0);
   assert_ptr_equal(action.sa_handler, jump_out);
   assert_false(peek(&device, 0, &value));
   assert_int_equal(faults, 1);

   /* A fault elsewhere is the program's as ever. */
   char *elsewhere = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
   struct device fake = {.window = elsewhere};
   assert_false(peek(&fake, 0, &value));
   assert_int_equal(faults, 2);
   munmap(elsewhere, PAGE);

   action.sa_handler = SIG_IGN;
   assert_int_equal(sigaction(SIGSEGV, &action, &old), 0);
   assert_ptr_equal(old.sa_handler, jump_out);
   uncatch_faults();
   device_close(&device);
}

#ifdef __x86_64__

static volatile sig_atomic_t traps;

static void
count_trap(int signum)
{
   assert_int_equal(signum, SIGTRAP);
   traps++;
}

/* As crash reporters do: a handler of the program's comes after ours, and gets what is the program's. */
static void
test_program_traps(void **state)
{
   struct device device = device_open(*state);
   struct sigaction action = {.sa_handler = count_trap}, old;
   uint32_t value;

   map_null(&device, 4 * MIB, 64 * KIB);
   traps = 0;
   assert_int_equal(sigaction(SIGTRAP, &action, NULL), 0);
   /* Reads and writes memory, so that it cannot be passed over.  Written out, because gcc 13's TSan calls a function
    * for it, which holds a lock while it faults that our handler would wait for. */
   __asm__ volatile("lock addl $5, (%0)" : : "r"(device.window + 4 * MIB) : "memory", "cc");
   assert_int_equal(traps, 0);
   assert_true(peek(&device, 4 * MIB, &value));
   assert_int_equal(value, 0);

   __asm__ volatile("int3");
   assert_int_equal(traps, 1);
   assert_int_equal(sigaction(SIGTRAP, NULL, &old), 0);
   assert_ptr_equal(old.sa_handler, count_trap);
   signal(SIGTRAP, SIG_IGN);
   raise(SIGTRAP);
   assert_int_equal(traps, 1);
   signal(SIGTRAP, SIG_DFL);
   device_close(&device);
}

/* Sent, or met: what has no handler ends the program, whoever was asked first. */
static void
test_signals_end_the_program(void **state)
{
   struct device device = device_open(*state);

   for (unsigned i = 0; i < 3; i++) {
      const pid_t pid = fork();
      if (pid == 0) {
         setrlimit(RLIMIT_CORE, &(struct rlimit){0});
         signal(SIGSEGV, SIG_DFL);
         if (i == 0)
            raise(SIGSEGV);
         else if (i == 1)
            raise(SIGTRAP);
         else
            __asm__ volatile("int3");
         _exit(0);
      }
      int status;
      assert_int_equal(waitpid(pid, &status, 0), pid);
      assert_true(WIFSIGNALED(status));
      assert_int_equal(WTERMSIG(status), i ? SIGTRAP : SIGSEGV);
   }
   device_close(&device);
}

#endif

static void
test_misapply(void **state)
{
   struct device device = device_open(*state);
   struct drm_sim_mapping page;
   uint32_t value;

   catch_faults();
   assert_ok(drm_sim_set_misapply("map:2,unmap:1,null:1,offset:3"));
   map(&device, 0, 0, 64 * KIB);
   assert_true(peek(&device, 0, &value));

   /* The tree has it, the page tables and the CPU do not. */
   map(&device, 1 * MIB, 0, 64 * KIB);
   assert_false(peek(&device, 1 * MIB, &value));
   assert_true(is_hole(device.fd, device.vm, va_of(&device, 1 * MIB)));
   struct mappings *tree = calloc(1, sizeof(*tree));
   get_tree(device.fd, device.vm, tree);
   assert_int_equal(tree->count, 2);
   free(tree);

   /* The third map (the second that was not dropped counts as well) is off by 64 KiB. */
   map(&device, 2 * MIB, 128 * KIB, 64 * KIB);
   assert_true(peek(&device, 2 * MIB, &value));
   assert_int_equal(value, 192 * KIB / 4);
   assert_ok(drm_sim_lookup(device.fd, device.vm, va_of(&device, 2 * MIB), &page));
   assert_int_equal(page.bo_offset_B, 192 * KIB);

   unmap(&device, 0, 64 * KIB);
   assert_true(peek(&device, 0, &value));
   unmap(&device, 0, 64 * KIB);

   map_null(&device, 4 * MIB, 2 * MIB);
   assert_false(peek(&device, 4 * MIB, &value));
   map_null(&device, 4 * MIB, 2 * MIB);
   assert_true(peek(&device, 4 * MIB, &value));

   assert_error(drm_sim_set_misapply("bogus:1"), EINVAL);
   uncatch_faults();
   device_close(&device);
}

#define ALL(test)                                                                                  \
   {#test " panthor", test, NULL, NULL, "panthor"}, {#test " msm", test, NULL, NULL, "msm"},       \
   {                                                                                               \
#test " xe", test, NULL, NULL, "xe"                                                          \
   }

int
main(void)
{
   const struct CMUnitTest tests[] = {
      ALL(test_pages_appear_and_go),
      ALL(test_null_mapping),
      ALL(test_end_of_file_takes_all_away),
      ALL(test_address_that_nobody_reserved),
      ALL(test_map_areas_do_not_pile_up),
      {"test_out_of_map_areas panthor", test_out_of_map_areas, NULL, NULL, "panthor"},
      ALL(test_message_at_a_hole),
      ALL(test_handlers_are_chained),
      ALL(test_misapply),
#ifdef __x86_64__
      {"test_program_traps msm", test_program_traps, NULL, NULL, "msm"},
      {"test_program_traps xe", test_program_traps, NULL, NULL, "xe"},
      {"test_signals_end_the_program", test_signals_end_the_program, NULL, NULL, "msm"},
      {"test_stores_to_null_are_dropped msm", test_stores_to_null_are_dropped, NULL, NULL, "msm"},
      {"test_stores_to_null_are_dropped xe", test_stores_to_null_are_dropped, NULL, NULL, "xe"},
      {"test_stores_of_every_form", test_stores_of_every_form, NULL, NULL, "msm"},
      {"test_stores_to_null_from_threads msm", test_stores_to_null_from_threads, NULL, NULL, "msm"},
      {"test_stores_to_null_from_threads xe", test_stores_to_null_from_threads, NULL, NULL, "xe"},
#endif
   };
   return cmocka_run_group_tests_name("sim mirror", tests, NULL, NULL);
}

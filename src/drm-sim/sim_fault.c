/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What goes wrong because someone asked for it; see the header. Must know nothing of any driver.
 *
 * drm_sim.h has the grammar of both variables.
 */

#include "sim_fault.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "util/macros.h"
#include "util/u_atomic.h"

#include "sim_device.h"
#include "sim_gem.h"
#include "sim_libc.h"

#define MAX_FAULTS   32
#define MAX_MISAPPLY 32
#define OFFSET_SHIFT (64 * 1024)

struct fault {
   char kind[32];
   /* How many of the kind there were */
   uint64_t seen;
   uint64_t nth;
   bool and_later;
   /* Per mille, with a seed, in place of nth */
   uint32_t probability;
   uint64_t seed;
   int error;
};

struct misapply {
   /* One of enum sim_op_kind, or SIM_OP_KINDS for an offset */
   unsigned kind;
   uint64_t seen;
   uint64_t nth;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
   struct fault faults[MAX_FAULTS];
   unsigned count;
   uint64_t lost_at;
   uint64_t ioctls;
   bool lost;
   uint64_t ioctl_delay_us;
   uint64_t job_delay_us;
   uint64_t memory_limit_B;
   uint64_t resident_limit_B;
} state;
static struct misapply misapplies[MAX_MISAPPLY];
static unsigned misapply_count;

/* Whether there is anything to ask for at all: most programs have nothing, and take no lock. */
static bool has_faults;
static bool has_misapplies;

static const struct {
   const char *name;
   int value;
} errno_names[] = {
   {"ENOMEM", ENOMEM}, {"ENOSPC", ENOSPC},   {"EINVAL", EINVAL},         {"EINTR", EINTR},
   {"EAGAIN", EAGAIN}, {"EPIPE", EPIPE},     {"ENOENT", ENOENT},         {"ENODEV", ENODEV},
   {"EIO", EIO},       {"EBUSY", EBUSY},     {"ENOBUFS", ENOBUFS},       {"ETIME", ETIME},
   {"EFAULT", EFAULT}, {"EPERM", EPERM},     {"EACCES", EACCES},         {"ECANCELED", ECANCELED},
   {"E2BIG", E2BIG},   {"EDEADLK", EDEADLK}, {"EOPNOTSUPP", EOPNOTSUPP},
};

static int
parse_errno(const char *text)
{
   for (unsigned i = 0; i < ARRAY_SIZE(errno_names); i++) {
      if (!strcmp(text, errno_names[i].name))
         return errno_names[i].value;
   }
   int value = atoi(text);
   return value > 0 && value < 4096 ? value : 0;
}

static const char *
errno_name(int value)
{
   for (unsigned i = 0; i < ARRAY_SIZE(errno_names); i++) {
      if (value == errno_names[i].value)
         return errno_names[i].name;
   }
   return "an error";
}

/* Digits and nothing before them, and not 0: what is misspelt would be a fault that never comes. Says
 * what comes behind.
 */
static uint64_t
parse_number(const char *text, const char **end)
{
   char *last;
   const uint64_t value = *text >= '0' && *text <= '9' ? strtoull(text, &last, 0) : 0;

   *end = value ? last : "?";
   return value;
}

static int
parse_all(const char *text, bool is_size, uint64_t *value_out)
{
   static const char suffixes[] = "KMG";
   const char *end;

   *value_out = parse_number(text, &end);
   const char *suffix = is_size && *end ? strchr(suffixes, *end) : NULL;
   if (suffix) {
      *value_out <<= 10 * (suffix - suffixes + 1);
      end++;
   }
   return *end ? -EINVAL : 0;
}

static bool
is_kind(const char *name)
{
   return !strcmp(name, "op") || !strcmp(name, "job") || !strcmp(name, "*") || sim_ioctl_is_known(name);
}

/* -ENOENT if there is no such kind */
static int
parse_failure(char *item, char *value)
{
   char *equals = strchr(value, '=');
   struct fault *fault = &state.faults[state.count];
   const char *end;
   int ret = 0;

   if (!equals || state.count == MAX_FAULTS || strlen(item) >= sizeof(fault->kind))
      return -EINVAL;
   *equals = '\0';
   if (!is_kind(item))
      return -ENOENT;

   memset(fault, 0, sizeof(*fault));
   snprintf(fault->kind, sizeof(fault->kind), "%s", item);
   fault->error = parse_errno(equals + 1);

   uint64_t number = parse_number(value, &end);
   if (*end == '%') {
      fault->probability = number;
      /* Any seed is as good as another, 0 too. */
      ret = strcmp(end + 1, "0") ? parse_all(end + 1, false, &fault->seed) : 0;
   } else {
      fault->nth = number;
      fault->and_later = *end == '+';
      ret = end[fault->and_later] ? -EINVAL : 0;
   }

   if (ret || !fault->error)
      return -EINVAL;
   state.count++;
   return 0;
}

static int
parse_item(char *item)
{
   char *value = strchr(item, ':');

   if (!value)
      return -EINVAL;
   *value++ = '\0';

   if (!strcmp(item, "lost"))
      return parse_all(value, false, &state.lost_at);
   if (!strcmp(item, "delay"))
      return parse_all(value, false, &state.ioctl_delay_us);
   if (!strcmp(item, "slow"))
      return parse_all(value, false, &state.job_delay_us);
   if (!strcmp(item, "mem"))
      return parse_all(value, true, &state.memory_limit_B);
   if (!strcmp(item, "evict"))
      return parse_all(value, true, &state.resident_limit_B);
   return parse_failure(item, value);
}

static int
for_each_item(const char *spec, int (*fn)(char *item))
{
   char *copy = strdup(spec ? spec : "");
   char *rest = copy;
   char *item;
   int ret = 0;

   while (!ret && (item = strsep(&rest, ",")))
      ret = *item ? fn(item) : 0;
   free(copy);
   return ret;
}

static int
set_faults(const char *spec)
{
   pthread_mutex_lock(&lock);
   memset(&state, 0, sizeof(state));
   int ret = for_each_item(spec, parse_item);
   p_atomic_set(&has_faults, spec && *spec);
   pthread_mutex_unlock(&lock);
   return ret;
}

int
sim_fault_set(const char *spec)
{
   return set_faults(spec) ? -EINVAL : 0;
}

static int
parse_misapply(char *item)
{
   static const char *const kinds[] = {"map", "unmap", "null", "offset"};
   char *value = strchr(item, ':');

   if (!value || misapply_count == MAX_MISAPPLY)
      return -EINVAL;
   *value++ = '\0';

   for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
      if (strcmp(item, kinds[i]))
         continue;
      struct misapply *misapply = &misapplies[misapply_count++];
      *misapply = (struct misapply){.kind = i};
      return parse_all(value, false, &misapply->nth);
   }
   return -EINVAL;
}

int
sim_fault_set_misapply(const char *spec)
{
   pthread_mutex_lock(&lock);
   misapply_count = 0;
   int ret = for_each_item(spec, parse_misapply);
   p_atomic_set(&has_misapplies, spec && *spec);
   pthread_mutex_unlock(&lock);
   return ret;
}

static void
init_once(void)
{
   const int ret = set_faults(getenv("DRM_SIM_FAULT"));

   if (ret == -ENOENT) {
      char names[1024];

      sim_ioctl_list_names(names, sizeof(names));
      sim_refuse("DRM_SIM_FAULT=%s names what is not there; there are op, job, lost, delay, slow, mem, evict, * and "
                 "%s, and other drivers' ioctls", getenv("DRM_SIM_FAULT"), names);
   }
   if (ret)
      sim_refuse("DRM_SIM_FAULT=%s is not understood; say vm_bind:3=ENOMEM, op:2+=ENOSPC, *:20%%7=EINTR, "
                 "lost:100, slow:500, mem:256M or evict:64M, or several with commas between",
                 getenv("DRM_SIM_FAULT"));
   if (sim_fault_set_misapply(getenv("DRM_SIM_MISAPPLY")))
      sim_refuse("DRM_SIM_MISAPPLY=%s is not understood; say map:5, unmap:1, null:2 or offset:3, or several "
                 "with commas between", getenv("DRM_SIM_MISAPPLY"));
}

void
sim_fault_init(void)
{
   static pthread_once_t once = PTHREAD_ONCE_INIT;

   pthread_once(&once, init_once);
}

/* splitmix64: the same decision for the same seed and number, whatever came between. */
static uint64_t
hash(uint64_t value)
{
   value += 0x9e3779b97f4a7c15ull;
   value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ull;
   value = (value ^ (value >> 27)) * 0x94d049bb133111ebull;
   return value ^ (value >> 31);
}

static bool
fault_fires(const struct fault *fault)
{
   if (fault->probability)
      return hash(fault->seed ^ (fault->seen << 20)) % 1000 < fault->probability;
   return fault->seen == fault->nth || (fault->and_later && fault->seen > fault->nth);
}

static void
tell(const struct fault *fault)
{
   if (fault->probability) {
      sim_log("%s no. %llu fails with %s; repeat with DRM_SIM_FAULT=%s:%u%%%llu=%s", fault->kind,
              (unsigned long long)fault->seen, errno_name(fault->error), fault->kind,
              fault->probability, (unsigned long long)fault->seed, errno_name(fault->error));
   } else {
      sim_log("%s no. %llu fails with %s; repeat with DRM_SIM_FAULT=%s:%llu=%s", fault->kind,
              (unsigned long long)fault->seen, errno_name(fault->error), fault->kind,
              (unsigned long long)fault->seen, errno_name(fault->error));
   }
}

static int
count_and_fail(const char *kind, bool is_ioctl)
{
   int ret = 0;

   if (!p_atomic_read(&has_faults))
      return 0;

   pthread_mutex_lock(&lock);
   for (unsigned i = 0; i < state.count; i++) {
      struct fault *fault = &state.faults[i];

      if (strcmp(fault->kind, kind) && !(is_ioctl && !strcmp(fault->kind, "*")))
         continue;
      fault->seen++;
      if (!ret && fault_fires(fault)) {
         tell(fault);
         ret = -fault->error;
      }
   }
   pthread_mutex_unlock(&lock);
   return ret;
}

static bool
count_and_lose_device(void)
{
   if (!p_atomic_read(&has_faults))
      return false;

   pthread_mutex_lock(&lock);
   if (state.lost_at && !state.lost && ++state.ioctls >= state.lost_at) {
      state.lost = true;
      sim_log("the device is lost; repeat with DRM_SIM_FAULT=lost:%llu",
              (unsigned long long)state.lost_at);
   }
   bool lost = state.lost;
   pthread_mutex_unlock(&lock);
   return lost;
}

int
sim_fault_ioctl(const char *name)
{
   if (count_and_lose_device())
      return -ENODEV;
   return count_and_fail(name, true);
}

int
sim_fault_op(void)
{
   return count_and_fail("op", false);
}

int
sim_fault_job(void)
{
   if (sim_fault_device_is_lost())
      return -ENODEV;
   return count_and_fail("job", false);
}

static uint64_t
read_setting(const uint64_t *setting)
{
   if (!p_atomic_read(&has_faults))
      return 0;

   pthread_mutex_lock(&lock);
   uint64_t value = *setting;
   pthread_mutex_unlock(&lock);
   return value;
}

bool
sim_fault_device_is_lost(void)
{
   if (!p_atomic_read(&has_faults))
      return false;

   pthread_mutex_lock(&lock);
   bool lost = state.lost;
   pthread_mutex_unlock(&lock);
   return lost;
}

static void
sleep_us(uint64_t us)
{
   struct timespec time = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};

   if (us)
      nanosleep(&time, NULL);
}

void
sim_fault_delay_job(void)
{
   sleep_us(read_setting(&state.job_delay_us));
}

void
sim_fault_delay_ioctl(void)
{
   sleep_us(read_setting(&state.ioctl_delay_us));
}

bool
sim_fault_memory_is_left(uint64_t size_B)
{
   uint64_t limit_B = read_setting(&state.memory_limit_B);

   return !limit_B || sim_bo_total_B() + size_B <= limit_B;
}

uint64_t
sim_fault_resident_limit_B(void)
{
   return read_setting(&state.resident_limit_B);
}

/* Where else in the BO a mapping could show, or 0 if nowhere */
static int64_t
shifted_offset_delta(uint64_t bo_size_B, uint64_t offset, uint64_t size_B)
{
   if (offset + size_B + OFFSET_SHIFT <= bo_size_B)
      return OFFSET_SHIFT;
   if (offset >= OFFSET_SHIFT)
      return -OFFSET_SHIFT;
   return -(int64_t)offset;
}

struct sim_misapply
sim_fault_misapply(enum sim_op_kind kind, uint64_t bo_size_B, uint64_t offset, uint64_t size_B)
{
   struct sim_misapply result = {0};
   int64_t delta = kind == SIM_OP_MAP ? shifted_offset_delta(bo_size_B, offset, size_B) : 0;

   if (!p_atomic_read(&has_misapplies))
      return result;

   pthread_mutex_lock(&lock);
   for (unsigned i = 0; i < misapply_count; i++) {
      struct misapply *item = &misapplies[i];

      if (item->kind == (unsigned)kind && ++item->seen == item->nth) {
         sim_log("%s no. %llu is not applied, as asked",
                 kind == SIM_OP_MAP     ? "map"
                 : kind == SIM_OP_UNMAP ? "unmap"
                                        : "null map",
                 (unsigned long long)item->nth);
         result.drop = true;
      } else if (item->kind == SIM_OP_KINDS && delta && ++item->seen == item->nth) {
         sim_log("map no. %llu is applied %lld bytes off, as asked", (unsigned long long)item->nth,
                 (long long)delta);
         result.offset_delta = delta;
      }
   }
   pthread_mutex_unlock(&lock);
   return result;
}

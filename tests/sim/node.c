/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The DRM core around the driver: the primary node and the render node, who is master and who is
 * authenticated, names, versions, sysfs and debugfs. Must know nothing of any driver's ioctls.
 */

#include "sim_test.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <xf86drm.h>

#define CARD_PATH "/dev/dri/card0"

static int
open_card(void)
{
   int fd = open(CARD_PATH, O_RDWR | O_CLOEXEC);

   assert_true(fd >= 0);
   return fd;
}

static void
test_masters(void **state)
{
   (void)state;

   assert_ok(drm_sim_select("panthor"));
   int first = open_card(), second = open_card();

   /* The first is master; root may take and give it, and only one has it at a time. */
   assert_true(drmIsMaster(first));
   assert_false(drmIsMaster(second));
   assert_error(call(second, DRM_IOCTL_SET_MASTER, NULL), EBUSY);
   assert_error(call(second, DRM_IOCTL_DROP_MASTER, NULL), EINVAL);
   assert_ok(call(first, DRM_IOCTL_SET_MASTER, NULL));
   assert_ok(call(first, DRM_IOCTL_DROP_MASTER, NULL));
   assert_error(call(first, DRM_IOCTL_DROP_MASTER, NULL), EINVAL);
   assert_ok(call(second, DRM_IOCTL_SET_MASTER, NULL));
   assert_true(drmIsMaster(second));
   assert_error(call(first, DRM_IOCTL_SET_MASTER, NULL), EBUSY);

   /* With its file the master goes, and the next to open is one. */
   close(second);
   int third = open_card();
   assert_true(drmIsMaster(third));
   close(third);
   close(first);

   int render = open_node("panthor");
   assert_error(call(render, DRM_IOCTL_SET_MASTER, NULL), EACCES);
   close(render);
}

static void
test_magic(void **state)
{
   struct drm_auth a = {0}, again = {0}, b = {0};
   struct drm_client client = {.idx = 0};
   (void)state;

   assert_ok(drm_sim_select("msm"));
   int master = open_card(), other = open_card();

   assert_ok(call(other, DRM_IOCTL_GET_MAGIC, &a));
   assert_ok(call(other, DRM_IOCTL_GET_MAGIC, &again));
   assert_ok(call(master, DRM_IOCTL_GET_MAGIC, &b));
   assert_int_equal(a.magic, again.magic);
   assert_int_not_equal(a.magic, b.magic);

   assert_error(call(other, DRM_IOCTL_AUTH_MAGIC, &a), EACCES);
   assert_ok(call(master, DRM_IOCTL_AUTH_MAGIC, &a));
   /* Once only */
   assert_error(call(master, DRM_IOCTL_AUTH_MAGIC, &a), EINVAL);
   a.magic = 1234;
   assert_error(call(master, DRM_IOCTL_AUTH_MAGIC, &a), EINVAL);

   assert_ok(call(other, DRM_IOCTL_GET_CLIENT, &client));
   assert_int_equal(client.auth, 1);
   assert_int_equal(client.pid, getpid());
   client.idx = 1;
   assert_error(call(other, DRM_IOCTL_GET_CLIENT, &client), EINVAL);
   close(other);
   close(master);
}

/* Who is not root is authenticated by the master, or by being one. */
static void
test_authentication_without_root(void **state)
{
   struct drm_client client = {.idx = 0};
   struct drm_auth auth = {0};
   (void)state;

   if (geteuid() != 0)
      skip();
   assert_ok(drm_sim_select("panthor"));
   int master = open_card();
   assert_int_equal(seteuid(65534), 0);
   int other = open_card();
   assert_ok(call(other, DRM_IOCTL_GET_CLIENT, &client));
   assert_int_equal(client.auth, 0);
   struct drm_gem_flink flink = {.handle = 1};
   assert_error(call(other, DRM_IOCTL_GEM_FLINK, &flink), EACCES);
   assert_error(call(other, DRM_IOCTL_SET_MASTER, NULL), EACCES);
   /* It was master, and is still the same process. */
   assert_ok(call(master, DRM_IOCTL_DROP_MASTER, NULL));
   assert_ok(call(master, DRM_IOCTL_SET_MASTER, NULL));

   assert_ok(call(other, DRM_IOCTL_GET_MAGIC, &auth));
   assert_ok(call(master, DRM_IOCTL_AUTH_MAGIC, &auth));
   assert_ok(call(other, DRM_IOCTL_GET_CLIENT, &client));
   assert_int_equal(client.auth, 1);
   assert_error(call(other, DRM_IOCTL_GEM_FLINK, &flink), ENOENT);
   assert_int_equal(seteuid(0), 0);
   close(other);
   close(master);
}

static void
test_version(void **state)
{
   char name[4] = "xxx";
   struct drm_version version = {.name = name, .name_len = 2};
   (void)state;

   int fd = open_node("panthor-1.2");
   assert_ok(call(fd, DRM_IOCTL_VERSION, &version));
   /* What fits is copied, without a zero, and the length is that of the whole. */
   assert_string_equal(name, "pax");
   assert_int_equal(version.name_len, strlen("panthor"));
   assert_true(version.desc_len > 0);
   assert_int_equal(version.version_major, 1);
   assert_int_equal(version.version_minor, 2);

   version.name = (char *)16;
   version.name_len = 4;
   assert_error(call(fd, DRM_IOCTL_VERSION, &version), EFAULT);
   close(fd);
}

static void
check_unique(const char *kmd, const char *unique)
{
   struct drm_set_version version = {.drm_di_major = 1, .drm_di_minor = 5, .drm_dd_major = -1};

   assert_ok(drm_sim_select(kmd));
   int fd = open_card();

   char *busid = drmGetBusid(fd);
   assert_string_equal(busid, "");
   free(busid);
   assert_error(call(fd, DRM_IOCTL_SET_VERSION, &version), EINVAL);
   assert_int_equal(version.drm_di_minor, 4);
   version.drm_dd_major = -1;
   assert_ok(call(fd, DRM_IOCTL_SET_VERSION, &version));
   busid = drmGetBusid(fd);
   assert_string_equal(busid, unique);
   free(busid);
   version.drm_dd_major = 99;
   assert_error(call(fd, DRM_IOCTL_SET_VERSION, &version), EINVAL);

   struct drm_unique none = {0};
   assert_ok(call(fd, DRM_IOCTL_GET_UNIQUE, &none));
   assert_int_equal(none.unique_len, strlen(unique));
   close(fd);
}

static void
test_unique(void **state)
{
   (void)state;
   check_unique("panthor", "fb000000.gpu");
   check_unique("xe", "pci:0000:00:02.0");
}

static void
test_what_is_not_there(void **state)
{
   struct drm_stats stats = {.count = 7};
   struct drm_set_client_cap cap = {.capability = DRM_CLIENT_CAP_ATOMIC, .value = 1};
   uint32_t dumb[8] = {64, 64, 32};
   (void)state;

   assert_ok(drm_sim_select("panthor"));
   int fd = open_card(), other = open_card();

   assert_ok(call(fd, DRM_IOCTL_GET_STATS, &stats));
   assert_int_equal(stats.count, 0);
   /* No modesetting */
   assert_error(call(fd, DRM_IOCTL_SET_CLIENT_CAP, &cap), EOPNOTSUPP);
   assert_error(call(fd, DRM_IOWR(0xa0, char[64]), &(char[64]){0}), EOPNOTSUPP);
   assert_error(call(other, DRM_IOWR(0xbc, char[56]), &(char[56]){0}), EACCES);
   assert_error(call(fd, DRM_IOWR(0xb2, uint32_t[8]), dumb), ENOSYS);
   /* The bones of what is gone, and what never was */
   assert_ok(call(fd, DRM_IOWR(0x12, int), &(int){0}));
   assert_error(call(other, DRM_IOWR(0x12, int), &(int){0}), EACCES);
   assert_error(call(fd, DRM_IOWR(0x21, int), &(int){0}), EINVAL);
   close(other);
   close(fd);
}

static void
test_flink(void **state)
{
   (void)state;

   assert_ok(drm_sim_select("panthor"));
   int fd = open_card(), other = open_card();
   struct drm_gem_flink flink = {.handle = panthor_bo_create(fd, 2 * PAGE, 0)};
   struct drm_gem_open open_bo = {0};

   assert_ok(call(fd, DRM_IOCTL_GEM_FLINK, &flink));
   uint32_t name = flink.name;
   assert_ok(call(fd, DRM_IOCTL_GEM_FLINK, &flink));
   assert_int_equal(flink.name, name);
   open_bo.name = name;
   assert_ok(call(other, DRM_IOCTL_GEM_OPEN, &open_bo));
   assert_int_equal(open_bo.size, 2 * PAGE);
   char *here = panthor_map_cpu(fd, flink.handle, PAGE);
   char *there = panthor_map_cpu(other, open_bo.handle, PAGE);
   here[9] = 'f';
   assert_int_equal(there[9], 'f');
   munmap(here, PAGE);
   munmap(there, PAGE);
   open_bo.name = 77;
   assert_error(call(other, DRM_IOCTL_GEM_OPEN, &open_bo), ENOENT);
   flink.handle = 99;
   assert_error(call(fd, DRM_IOCTL_GEM_FLINK, &flink), ENOENT);
   close(fd);
   close(other);
}

static void
read_text(const char *path, char *text, size_t size)
{
   FILE *file = fopen(path, "r");

   assert_non_null(file);
   size_t length = fread(text, 1, size - 1, file);
   text[length] = '\0';
   fclose(file);
}

static void
test_files(void **state)
{
   char text[256];
   struct stat st;
   unsigned nodes = 0;
   (void)state;

   int fd = open_node("xe");
   DIR *dir = opendir("/dev/dri");
   while (readdir(dir))
      nodes++;
   closedir(dir);
   assert_int_equal(nodes, 2);

   assert_int_equal(stat(CARD_PATH, &st), 0);
   assert_int_equal(minor(st.st_rdev), 0);
   int card = open_card();
   assert_int_equal(fstat(card, &st), 0);
   assert_int_equal(minor(st.st_rdev), 0);
   assert_int_equal(fstat(fd, &st), 0);
   assert_int_equal(minor(st.st_rdev), 128);
   assert_int_equal(drmGetNodeTypeFromFd(card), DRM_NODE_PRIMARY);

   /* Each leads to the other, and both to the device. */
   char *name = drmGetRenderDeviceNameFromFd(card);
   assert_string_equal(name, NODE_PATH);
   free(name);
   name = drmGetPrimaryDeviceNameFromFd(fd);
   assert_string_equal(name, CARD_PATH);
   free(name);
   read_text("/sys/dev/char/226:0/device/vendor", text, sizeof(text));
   assert_string_equal(text, "0x8086\n");
   read_text("/sys/kernel/debug/dri/0/name", text, sizeof(text));
   assert_string_equal(text, "xe dev=0000:00:02.0 unique=0000:00:02.0\n");
   assert_int_equal(access("/sys/class/drm/card0", F_OK), 0);
   assert_int_equal(access("/sys/class/drm/card1", F_OK), -1);
   close(card);
   close(fd);

   /* By way of a directory's fd, as IGT goes */
   int sysfs = open("/sys/dev/char/226:0", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
   assert_true(sysfs >= 0);
   assert_int_equal(fstat(sysfs, &st), 0);
   assert_true(S_ISDIR(st.st_mode));
   int device = openat(sysfs, "device/device", O_RDONLY | O_CLOEXEC);
   assert_true(device >= 0);
   assert_int_equal(read(device, text, sizeof(text)), 7);
   close(device);
   assert_true(readlinkat(sysfs, "device/driver", text, sizeof(text)) > 3);
   assert_int_equal(faccessat(sysfs, "device/uevent", F_OK, 0), 0);
   assert_int_equal(openat(sysfs, "nothing", O_RDONLY), -1);
   assert_int_equal(errno, ENOENT);
   assert_int_equal(open("/sys/dev/char/226:0", O_RDWR), -1);
   assert_int_equal(errno, EISDIR);
   nodes = 0;
   dir = fdopendir(sysfs);
   while (readdir(dir))
      nodes++;
   closedir(dir);
   assert_true(nodes >= 3);
}

int
main(void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_masters),
      cmocka_unit_test(test_magic),
      cmocka_unit_test(test_authentication_without_root),
      cmocka_unit_test(test_version),
      cmocka_unit_test(test_unique),
      cmocka_unit_test(test_what_is_not_there),
      cmocka_unit_test(test_flink),
      cmocka_unit_test(test_files),
   };
   return cmocka_run_group_tests_name("sim node", tests, NULL, NULL);
}

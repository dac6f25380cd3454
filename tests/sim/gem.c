/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The node as libdrm finds it, BOs, their CPU mappings, PRIME and dma-bufs. Must know nothing of
 * VM_BIND.
 */

#include "sim_test.h"

#include <linux/dma-buf.h>
#include <linux/sync_file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <xf86drm.h>

static void
test_libdrm_finds_the_node(void **state)
{
   drmDevicePtr devices[4], device;
   (void)state;

   assert_ok(drm_sim_select("msm"));
   assert_int_equal(drmGetDevices2(0, devices, 4), 1);
   assert_int_equal(devices[0]->bustype, DRM_BUS_PLATFORM);
   assert_int_equal(devices[0]->available_nodes,
                    1 << DRM_NODE_PRIMARY | 1 << DRM_NODE_RENDER);
   assert_string_equal(devices[0]->nodes[DRM_NODE_RENDER], NODE_PATH);
   assert_string_equal(devices[0]->deviceinfo.platform->compatible[0], "qcom,adreno-43051401");

   int fd = open(devices[0]->nodes[DRM_NODE_RENDER], O_RDWR | O_CLOEXEC);
   drmVersionPtr version = drmGetVersion(fd);
   assert_string_equal(version->name, "msm");
   assert_int_equal(version->version_minor, 13);
   drmFreeVersion(version);

   assert_int_equal(drmGetNodeTypeFromFd(fd), DRM_NODE_RENDER);
   char *name = drmGetRenderDeviceNameFromFd(fd);
   assert_string_equal(name, NODE_PATH);
   free(name);
   assert_int_equal(drmGetDevice2(fd, 0, &device), 0);
   assert_true(drmDevicesEqual(device, devices[0]));
   drmFreeDevice(&device);

   struct stat st;
   assert_int_equal(fstat(fd, &st), 0);
   assert_true(S_ISCHR(st.st_mode));
   assert_int_equal(drmGetDeviceFromDevId(st.st_rdev, 0, &device), 0);
   drmFreeDevice(&device);

   uint64_t value = 0;
   assert_int_equal(drmGetCap(fd, DRM_CAP_SYNCOBJ_TIMELINE, &value), 0);
   assert_int_equal(value, 1);
   assert_int_equal(drmGetCap(fd, DRM_CAP_DUMB_BUFFER, &value), -1);
   assert_int_equal(errno, EOPNOTSUPP);
   close(fd);
   drmFreeDevices(devices, 1);
}

static void
test_no_node(void **state)
{
   drmDevicePtr devices[4];
   (void)state;

   assert_ok(drm_sim_select("none"));
   assert_int_equal(drmGetDevices2(0, devices, 4) > 0, 0);
   assert_int_equal(open(NODE_PATH, O_RDWR), -1);
   assert_int_equal(errno, ENOENT);
   assert_int_equal(access(NODE_PATH, F_OK), -1);
}

static void
test_ioctl_numbers(void **state)
{
   int fd = open_node("panthor");
   struct drm_gem_flink flink = {.handle = 1};
   struct drm_set_client_cap cap = {.capability = DRM_CLIENT_CAP_ATOMIC, .value = 1};
   uint32_t nothing = 0;
   (void)state;

   assert_error(call(fd, DRM_IOCTL_GEM_FLINK, &flink), EACCES);
   assert_error(call(fd, DRM_IOCTL_SET_CLIENT_CAP, &cap), EACCES);
   assert_error(call(fd, DRM_IO(0x9f), &nothing), EINVAL);
   assert_error(call(fd, DRM_IO(0xff), &nothing), EINVAL);
   assert_error(call(fd, DRM_IOCTL_VERSION, (void *)8), EFAULT);

   /* An argument shorter than the kernel's: what is missing is zero, and nothing beyond is written.
    */
   struct {
      uint32_t handles_low, handles_high;
      int64_t timeout;
      uint32_t count, flags, first, pad;
      uint64_t canary;
   } old = {.canary = 0x55};
   assert_ok(call(fd, _IOWR('d', 0xC3, char[32]), &old));
   assert_int_equal(old.canary, 0x55);
   close(fd);
}

static void
test_handles(void **state)
{
   int fd = open_node("panthor");
   uint32_t bo = panthor_bo_create(fd, 1, 0);
   struct drm_gem_close args = {.handle = bo};
   struct drm_panthor_bo_create bad[] = {
      {.size = 0},
      {.size = PAGE, .pad = 1},
      {.size = PAGE, .flags = 1u << 8},
      {.size = PAGE, .flags = DRM_PANTHOR_BO_NO_MMAP | DRM_PANTHOR_BO_WB_MMAP},
      {.size = PAGE, .exclusive_vm_id = 5},
   };
   (void)state;

   for (unsigned i = 0; i < ARRAY_LENGTH(bad); i++)
      assert_error(call(fd, DRM_IOCTL_PANTHOR_BO_CREATE, &bad[i]), EINVAL);
   assert_ok(call(fd, DRM_IOCTL_GEM_CLOSE, &args));
   assert_error(call(fd, DRM_IOCTL_GEM_CLOSE, &args), EINVAL);
   assert_int_equal(panthor_bo_create(fd, 1, 0), bo);

   struct drm_panthor_bo_create rounded = {.size = PAGE + 1};
   assert_ok(call(fd, DRM_IOCTL_PANTHOR_BO_CREATE, &rounded));
   assert_int_equal(rounded.size, 2 * PAGE);
   close(fd);
}

static void
test_cpu_mapping(void **state)
{
   int fd = open_node("panthor");
   struct drm_panthor_bo_create no_mmap = {.size = PAGE, .flags = DRM_PANTHOR_BO_NO_MMAP};
   struct drm_panthor_bo_mmap_offset args = {.handle = panthor_bo_create(fd, 2 * PAGE, 0)};
   (void)state;

   assert_ok(call(fd, DRM_IOCTL_PANTHOR_BO_MMAP_OFFSET, &args));
   assert_true(args.offset >= 1ull << 32);
   char *map = map_bo(fd, args.offset, 2 * PAGE);
   char *again = map_bo(fd, args.offset, PAGE);
   map[5] = 'x';
   assert_int_equal(again[5], 'x');
   munmap(map, 2 * PAGE);
   munmap(again, PAGE);

   /* Too much of it, from its middle, of another file, or copied on write */
   int other = open_node("panthor");
   const int rw = PROT_READ | PROT_WRITE;
   assert_ptr_equal(mmap(NULL, 3 * PAGE, rw, MAP_SHARED, fd, args.offset), MAP_FAILED);
   assert_ptr_equal(mmap(NULL, PAGE, rw, MAP_SHARED, fd, args.offset + PAGE), MAP_FAILED);
   assert_ptr_equal(mmap(NULL, PAGE, rw, MAP_SHARED, other, args.offset), MAP_FAILED);
   assert_ptr_equal(mmap(NULL, PAGE, rw, MAP_PRIVATE, fd, args.offset), MAP_FAILED);
   assert_int_equal(errno, EINVAL);
   close(other);

   assert_ok(call(fd, DRM_IOCTL_PANTHOR_BO_CREATE, &no_mmap));
   args.handle = no_mmap.handle;
   assert_error(call(fd, DRM_IOCTL_PANTHOR_BO_MMAP_OFFSET, &args), EPERM);
   args.handle = 99;
   assert_error(call(fd, DRM_IOCTL_PANTHOR_BO_MMAP_OFFSET, &args), ENOENT);

   uint32_t *flush_id =
      mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, DRM_PANTHOR_USER_FLUSH_ID_MMIO_OFFSET);
   assert_ptr_not_equal(flush_id, MAP_FAILED);
   assert_int_equal(*flush_id, 0);
   munmap(flush_id, PAGE);
   close(fd);
}

static int
export_bo(int fd, uint32_t handle, uint32_t flags)
{
   struct drm_prime_handle args = {.handle = handle, .flags = flags};
   int ret = call(fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &args);

   return ret ? ret : args.fd;
}

static int
import_bo(int fd, int prime, uint32_t *handle)
{
   struct drm_prime_handle args = {.fd = prime};
   int ret = call(fd, DRM_IOCTL_PRIME_FD_TO_HANDLE, &args);

   *handle = args.handle;
   return ret;
}

static void
test_prime(void **state)
{
   int fd = open_node("panthor");
   int other = open_node("panthor");
   uint32_t bo = panthor_bo_create(fd, 2 * PAGE, 0);
   uint32_t private = panthor_bo_create(fd, PAGE, panthor_vm_create(fd));
   uint32_t handle, again;
   (void)state;

   assert_error(export_bo(fd, bo, 1u << 30), EINVAL);
   assert_error(export_bo(fd, 99, 0), ENOENT);
   assert_error(export_bo(fd, private, DRM_RDWR), EINVAL);

   int prime = export_bo(fd, bo, DRM_RDWR | DRM_CLOEXEC);
   assert_true(prime >= 0);
   assert_true(fcntl(prime, F_GETFD) & FD_CLOEXEC);
   assert_int_equal(lseek(prime, 0, SEEK_END), 2 * PAGE);

   /* In the same file the same handle, in another always the same one */
   assert_ok(import_bo(fd, prime, &handle));
   assert_int_equal(handle, bo);
   assert_ok(import_bo(other, prime, &handle));
   assert_ok(import_bo(other, prime, &again));
   assert_int_equal(handle, again);

   char *map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, prime, 0);
   assert_ptr_not_equal(map, MAP_FAILED);
   map[0] = 'p';
   char *through_node = panthor_map_cpu(other, handle, PAGE);
   assert_int_equal(through_node[0], 'p');
   munmap(map, PAGE);
   munmap(through_node, PAGE);

   int read_only = export_bo(fd, bo, DRM_CLOEXEC);
   assert_ptr_equal(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, read_only, 0), MAP_FAILED);
   close(read_only);

   assert_error(import_bo(fd, -1, &handle), EBADF);
   int null = open("/dev/null", O_RDWR);
   assert_error(import_bo(fd, null, &handle), EINVAL);
   close(null);

   /* A dma-buf outlives every handle. */
   close(fd);
   close(other);
   fd = open_node("panthor");
   assert_ok(import_bo(fd, prime, &handle));
   map = panthor_map_cpu(fd, handle, 2 * PAGE);
   assert_int_equal(map[0], 'p');
   munmap(map, 2 * PAGE);
   close(prime);
   close(fd);
}

static void
test_msm_private_bo_is_not_exported(void **state)
{
   int fd = open_msm("msm");
   uint32_t bo = msm_bo_create(fd, PAGE, MSM_BO_NO_SHARE);
   (void)state;

   assert_error(export_bo(fd, bo, DRM_RDWR), EPERM);
   close(fd);
}

static void
test_dma_buf_sync_files(void **state)
{
   int fd = open_node("panthor");
   struct gate gate = gate_close(fd);
   int prime = export_bo(fd, panthor_bo_create(fd, PAGE, 0), DRM_RDWR | DRM_CLOEXEC);
   struct dma_buf_import_sync_file import = {
      .flags = DMA_BUF_SYNC_WRITE,
      .fd = export_sync_file(fd, gate.syncobj),
   };
   struct dma_buf_export_sync_file export = {.flags = DMA_BUF_SYNC_RW};
   struct dma_buf_sync sync = {.flags = DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ};
   (void)state;

   assert_ok(call(prime, DMA_BUF_IOCTL_SYNC, &sync));
   assert_ok(call(prime, DMA_BUF_IOCTL_IMPORT_SYNC_FILE, &import));
   assert_ok(call(prime, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &export));
   assert_false(is_readable(export.fd));
   gate_open(&gate);
   assert_true(is_readable(export.fd));
   close(export.fd);
   export.flags = 0;
   assert_error(call(prime, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &export), EINVAL);
   close(import.fd);
   close(prime);
   close(fd);
}

/* Sends an fd to another process, which has a simulator of its own after its exec. */

static void
send_fd(int socket, int fd)
{
   char byte = 0;
   struct iovec iov = {&byte, 1};
   char control[CMSG_SPACE(sizeof(int))] = {0};
   struct msghdr message = {
      .msg_iov = &iov,
      .msg_iovlen = 1,
      .msg_control = control,
      .msg_controllen = sizeof(control),
   };
   struct cmsghdr *header = CMSG_FIRSTHDR(&message);

   header->cmsg_level = SOL_SOCKET;
   header->cmsg_type = SCM_RIGHTS;
   header->cmsg_len = CMSG_LEN(sizeof(int));
   memcpy(CMSG_DATA(header), &fd, sizeof(int));
   assert_int_equal(sendmsg(socket, &message, 0), 1);
}

static int
receive_fd(int socket)
{
   char byte;
   struct iovec iov = {&byte, 1};
   char control[CMSG_SPACE(sizeof(int))];
   struct msghdr message = {
      .msg_iov = &iov,
      .msg_iovlen = 1,
      .msg_control = control,
      .msg_controllen = sizeof(control),
   };
   int fd = -1;

   if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&message))
      memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
   return fd;
}

/* The other process: imports what comes, checks what is in it, and answers in it. */
static int
other_process(int socket)
{
   int prime = receive_fd(socket);
   int fd = open_node("panthor");
   uint32_t handle;

   if (import_bo(fd, prime, &handle))
      return 2;
   char *map = panthor_map_cpu(fd, handle, PAGE);
   if (strcmp(map, "question"))
      return 3;
   strcpy(map, "answer");
   return 0;
}

static void
test_prime_between_processes(void **state)
{
   int fd = open_node("panthor");
   uint32_t bo = panthor_bo_create(fd, PAGE, 0);
   char *map = panthor_map_cpu(fd, bo, PAGE);
   int prime = export_bo(fd, bo, DRM_RDWR | DRM_CLOEXEC);
   int sockets[2], status;
   char number[16];
   (void)state;

   strcpy(map, "question");
   assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
   snprintf(number, sizeof(number), "%d", sockets[1]);
   pid_t child = fork();
   if (child == 0) {
      execl("/proc/self/exe", "sim-gem", "--other-process", number, NULL);
      _exit(127);
   }
   send_fd(sockets[0], prime);
   assert_int_equal(waitpid(child, &status, 0), child);
   assert_int_equal(WEXITSTATUS(status), 0);
   assert_string_equal(map, "answer");
   munmap(map, PAGE);
   close(sockets[0]);
   close(sockets[1]);
   close(prime);
   close(fd);
}

/* The other process takes a sync file that is not its own's, and waits for it in a syncobj. */
static int
other_process_sync(int socket)
{
   int file = receive_fd(socket), second = receive_fd(socket);
   int fd = open_node("panthor");
   struct drm_syncobj_handle import = {
      .handle = syncobj_create(fd, 0),
      .flags = DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_IMPORT_SYNC_FILE,
      .fd = file,
   };
   struct sync_file_info info = {0};
   int plain[2];

   if (call(fd, DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, &import))
      return 2;
   if (syncobj_wait(fd, import.handle, 0, 0, 0) != -ETIME)
      return 3;
   /* A pipe that is no sync file */
   if (pipe(plain))
      return 4;
   import.fd = plain[0];
   if (call(fd, DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, &import) != -EINVAL)
      return 5;
   if (write(socket, "g", 1) != 1 || syncobj_wait(fd, import.handle, 0, 0, in_ms(60000)))
      return 6;
   /* The end of a timeline is an error there as here. */
   import.fd = second;
   if (call(fd, DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, &import) ||
       syncobj_wait(fd, import.handle, 0, 0, in_ms(60000)))
      return 7;
   int own = export_sync_file(fd, import.handle);
   if (call(own, SYNC_IOC_FILE_INFO, &info) || info.status != -ENOENT)
      return 8;
   return 0;
}

struct sw_sync_create {
   uint32_t value;
   char name[32];
   int32_t fence;
};

static void
test_sync_files_between_processes(void **state)
{
   struct sw_sync_create create = {.value = 1};
   int sockets[2], status;
   char number[16], byte;
   uint32_t by = 1;
   (void)state;

   int timeline = open("/dev/sw_sync", O_RDWR | O_CLOEXEC);
   assert_ok(call(timeline, _IOWR('W', 0, struct sw_sync_create), &create));
   int file = create.fence;
   create.value = 2;
   assert_ok(call(timeline, _IOWR('W', 0, struct sw_sync_create), &create));

   assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
   snprintf(number, sizeof(number), "%d", sockets[1]);
   pid_t child = fork();
   if (child == 0) {
      execl("/proc/self/exe", "sim-gem", "--other-process-sync", number, NULL);
      _exit(127);
   }
   close(sockets[1]);
   send_fd(sockets[0], file);
   send_fd(sockets[0], create.fence);
   assert_int_equal(read(sockets[0], &byte, 1), 1);
   assert_ok(call(timeline, _IOW('W', 1, uint32_t), &by));
   close(timeline);
   assert_int_equal(waitpid(child, &status, 0), child);
   assert_int_equal(WEXITSTATUS(status), 0);
   close(sockets[0]);
   close(file);
   close(create.fence);
}

int
main(int argc, char **argv)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_libdrm_finds_the_node),
      cmocka_unit_test(test_no_node),
      cmocka_unit_test(test_ioctl_numbers),
      cmocka_unit_test(test_handles),
      cmocka_unit_test(test_cpu_mapping),
      cmocka_unit_test(test_prime),
      cmocka_unit_test(test_msm_private_bo_is_not_exported),
      cmocka_unit_test(test_dma_buf_sync_files),
      cmocka_unit_test(test_prime_between_processes),
      cmocka_unit_test(test_sync_files_between_processes),
   };

   if (argc == 3 && !strcmp(argv[1], "--other-process"))
      return other_process(atoi(argv[2]));
   if (argc == 3 && !strcmp(argv[1], "--other-process-sync"))
      return other_process_sync(atoi(argv[2]));
   return cmocka_run_group_tests_name("sim gem", tests, NULL, NULL);
}

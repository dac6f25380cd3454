/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Buffer objects; see the header. Follows drivers/gpu/drm/drm_gem.c and drm_prime.c in errors. Must
 * know nothing of any driver.
 */

#include "sim_gem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/dma-buf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "drm-uapi/drm.h"
#include "util/macros.h"
#include "util/u_atomic.h"
#include "util/u_math.h"

#include "sim_caller.h"
#include "sim_device.h"
#include "sim_evict.h"
#include "sim_fault.h"
#include "sim_fd.h"
#include "sim_fence.h"
#include "sim_libc.h"
#include "sim_sync_file.h"

#define PAGE_SIZE_B 4096ull

/* A memfd's name: how another process knows it, and learns the BO's flags. */
#define MEMFD_PREFIX "drm-sim-bo:"

/* The kernel's DRM_FILE_PAGE_OFFSET_START: no real file offset of 32 bits is one of ours. */
#define FIRST_MMAP_OFFSET (1ull << 32)

static uint64_t total_B;
static uint64_t evicted_B;
static unsigned user_bo_count;

/* Guards the list, which has the least recently used first, and what madvise and eviction said of each */
static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static struct list_head all_bos = {&all_bos, &all_bos};

struct sim_bo *
sim_bo_get(struct sim_bo *bo)
{
   if (bo)
      p_atomic_inc(&bo->refcount);
   return bo;
}

/* The registry holds no reference: a BO may be found there that has just lost its last. */
static bool
bo_get_unless_zero(void *object)
{
   struct sim_bo *bo = object;
   int32_t count = p_atomic_read(&bo->refcount);

   while (count > 0) {
      int32_t seen = p_atomic_cmpxchg(&bo->refcount, count, count + 1);
      if (seen == count)
         return true;
      count = seen;
   }
   return false;
}

static void
bo_release(UNUSED void *object)
{
}

static const struct sim_fd_ops bo_fd_ops = {
   .type = SIM_FD_BO,
   .get = bo_get_unless_zero,
   .release = bo_release,
};

void
sim_bo_put(struct sim_bo *bo)
{
   if (!bo || !p_atomic_dec_zero(&bo->refcount))
      return;

   pthread_mutex_lock(&all_lock);
   list_del(&bo->link);
   pthread_mutex_unlock(&all_lock);
   sim_fd_unregister_file(bo->fd);
   sim_libc()->close(bo->fd);
   if (bo->madv != SIM_BO_PURGED)
      p_atomic_add(&total_B, -bo->size_B);
   if (bo->evicted)
      p_atomic_add(&evicted_B, -bo->size_B);
   if (bo->user_addr)
      p_atomic_dec(&user_bo_count);
   sim_resv_finish(&bo->resv);
   free(bo->metadata);
   free(bo);
}

uint64_t
sim_bo_total_B(void)
{
   return p_atomic_read(&total_B);
}

uint64_t
sim_bo_resident_B(void)
{
   return p_atomic_read(&total_B) - p_atomic_read(&evicted_B);
}

uint64_t
sim_bo_new_pass(void)
{
   static uint64_t last_pass;

   return p_atomic_inc_return(&last_pass);
}

struct sim_bo *
sim_bo_pick_victim(uint64_t pass)
{
   struct sim_bo *victim = NULL;

   pthread_mutex_lock(&all_lock);
   list_for_each_entry (struct sim_bo, bo, &all_bos, link) {
      if (bo->evicted || bo->madv == SIM_BO_PURGED || bo->user_addr || bo->evict_pass == pass ||
          !bo_get_unless_zero(bo))
         continue;
      bo->evict_pass = pass;
      victim = bo;
      break;
   }
   pthread_mutex_unlock(&all_lock);
   return victim;
}

bool
sim_bo_set_evicted(struct sim_bo *bo, bool evicted)
{
   pthread_mutex_lock(&all_lock);
   bool changes = bo->evicted != evicted;
   if (changes) {
      p_atomic_set(&bo->evicted, evicted);
      p_atomic_add(&evicted_B, evicted ? bo->size_B : -bo->size_B);
      list_del(&bo->link);
      list_addtail(&bo->link, &all_bos);
   }
   pthread_mutex_unlock(&all_lock);
   return changes;
}

static struct sim_bo *
bo_from_memfd(int fd, uint64_t size_B, uint32_t flags)
{
   static uint64_t last_id;
   static uint64_t next_mmap_offset = FIRST_MMAP_OFFSET;
   struct sim_bo *bo = calloc(1, sizeof(*bo));
   struct stat st;

   if (!bo)
      return NULL;
   bo->refcount = 1;
   bo->id = p_atomic_inc_return(&last_id);
   bo->size_B = size_B;
   bo->fd = fd;
   bo->flags = flags;
   bo->mmap_offset = p_atomic_add_return(&next_mmap_offset, size_B) - size_B;
   if (sim_libc()->fstatat(fd, "", &st, AT_EMPTY_PATH) == 0)
      bo->inode = st.st_ino;
   p_atomic_add(&total_B, size_B);
   pthread_mutex_lock(&all_lock);
   list_addtail(&bo->link, &all_bos);
   pthread_mutex_unlock(&all_lock);
   sim_fd_register_file(fd, &bo_fd_ops, bo);
   return bo;
}

enum sim_bo_madv
sim_bo_madvise(struct sim_bo *bo, enum sim_bo_madv madv)
{
   pthread_mutex_lock(&all_lock);
   enum sim_bo_madv before = bo->madv;
   if (before != SIM_BO_PURGED)
      p_atomic_set(&bo->madv, madv);
   pthread_mutex_unlock(&all_lock);
   return before;
}

/* The oldest that the program has given up, with a reference */
static struct sim_bo *
pick_given_up(uint64_t pass)
{
   struct sim_bo *found = NULL;

   pthread_mutex_lock(&all_lock);
   list_for_each_entry (struct sim_bo, bo, &all_bos, link) {
      if (bo->madv != SIM_BO_NOT_NEEDED || bo->evict_pass == pass || !bo_get_unless_zero(bo))
         continue;
      bo->evict_pass = pass;
      found = bo;
      break;
   }
   pthread_mutex_unlock(&all_lock);
   return found;
}

static void
purge(struct sim_bo *bo)
{
   if (!sim_resv_is_idle(&bo->resv, SIM_RESV_BOOKKEEP))
      return;
   /* As far as the CPU does not look at it */
   sim_evict_bo(bo);
   sim_bo_set_evicted(bo, false);

   pthread_mutex_lock(&all_lock);
   if (bo->madv == SIM_BO_NOT_NEEDED) {
      fallocate(bo->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, bo->size_B);
      p_atomic_set(&bo->madv, SIM_BO_PURGED);
      p_atomic_add(&total_B, -bo->size_B);
   }
   pthread_mutex_unlock(&all_lock);
}

/* The kernel's shrinker: the oldest BOs go first, until there is enough. */
static bool
make_room(uint64_t size_B)
{
   const uint64_t pass = sim_bo_new_pass();
   struct sim_bo *bo;

   while (!sim_fault_memory_is_left(size_B) && (bo = pick_given_up(pass))) {
      purge(bo);
      sim_bo_put(bo);
   }
   return sim_fault_memory_is_left(size_B);
}

int
sim_bo_create(uint64_t size_B, uint32_t flags, uint64_t exclusive_vm_uid, struct sim_bo **out)
{
   char name[64];

   /* No file is that large, says the kernel's shmem_file_setup(). */
   if (size_B == 0 || size_B > INT64_MAX)
      return -EINVAL;
   /* More than any machine has: a kernel fails when it reserves the pages. */
   if (size_B > 1ull << 46 || !make_room(size_B))
      return -ENOMEM;
   size_B = align64(size_B, PAGE_SIZE_B);
   sim_evict_make_room(size_B);

   snprintf(name, sizeof(name), MEMFD_PREFIX "%x", flags);
   int fd = memfd_create(name, MFD_CLOEXEC);
   if (fd < 0)
      return -errno;
   fd = sim_hide_fd(fd);

   if (ftruncate(fd, size_B) < 0) {
      sim_libc()->close(fd);
      return -ENOMEM;
   }

   struct sim_bo *bo = bo_from_memfd(fd, size_B, flags);
   if (!bo) {
      sim_libc()->close(fd);
      return -ENOMEM;
   }
   bo->exclusive_vm_uid = exclusive_vm_uid;
   *out = bo;
   return 0;
}

/* Whether a part of the program's addresses shows pages that somebody else sees too: they cannot be
 * taken. Those of a BO that took them earlier can.
 */
static bool
is_shared(uint64_t user, uint64_t size_B)
{
   uint64_t start, end;
   char line[512], perms[8];
   bool shared = false;

   FILE *maps = fopen("/proc/self/maps", "re");
   if (!maps)
      return false;
   while (!shared && fgets(line, sizeof(line), maps)) {
      if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s", &start, &end, perms) == 3 && start < user + size_B &&
          user < end)
         shared = perms[3] == 's' && !strstr(line, "/memfd:" MEMFD_PREFIX);
   }
   fclose(maps);
   return shared;
}

/* The program's pages into the BO, and the BO's to the program's address: the same pages at both,
 * as with memory that a GPU has pinned.
 */
static int
take_user_pages(struct sim_bo *bo, uint64_t user)
{
   if (is_shared(user, bo->size_B))
      return -EFAULT;

   void *copy = malloc(bo->size_B);
   if (!copy)
      return -ENOMEM;
   int ret = sim_copy_in(copy, user, bo->size_B);
   if (!ret)
      ret = sim_copy_out(user, copy, bo->size_B);
   if (!ret)
      ret = sim_bo_write(bo, 0, copy, bo->size_B);
   free(copy);
   if (!ret && sim_caller_mmap((void *)(uintptr_t)user, bo->size_B, PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_FIXED, bo->fd, 0) == MAP_FAILED)
      ret = -ENOMEM;
   return ret;
}

int
sim_bo_create_from_user(uint64_t user, uint64_t size_B, struct sim_bo **out)
{
   int ret = sim_bo_create(size_B, 0, 0, out);

   if (ret)
      return ret;
   ret = take_user_pages(*out, user);
   if (ret) {
      sim_bo_put(*out);
      *out = NULL;
      return ret;
   }
   (*out)->user_addr = user;
   p_atomic_inc(&user_bo_count);
   return 0;
}

struct sim_bo *
sim_bo_take_user_range(uint64_t addr, uint64_t size_B)
{
   struct sim_bo *found = NULL;

   if (!p_atomic_read(&user_bo_count))
      return NULL;
   pthread_mutex_lock(&all_lock);
   list_for_each_entry (struct sim_bo, bo, &all_bos, link) {
      if (!bo->user_addr || bo->user_gone || addr >= bo->user_addr + bo->size_B ||
          bo->user_addr >= addr + size_B || !bo_get_unless_zero(bo))
         continue;
      bo->user_gone = true;
      found = bo;
      break;
   }
   pthread_mutex_unlock(&all_lock);
   return found;
}

int
sim_bo_repin_user(struct sim_bo *bo)
{
   if (!bo->user_gone)
      return 0;

   /* Pages of its own again: those from before may have moved elsewhere with the program's mapping. */
   int fd = memfd_create(MEMFD_PREFIX "0", MFD_CLOEXEC);
   if (fd < 0)
      return -errno;
   if (ftruncate(fd, bo->size_B) < 0) {
      sim_libc()->close(fd);
      return -ENOMEM;
   }
   sim_fd_unregister_file(bo->fd);
   dup3(fd, bo->fd, O_CLOEXEC);
   sim_libc()->close(fd);

   int ret = take_user_pages(bo, bo->user_addr);
   if (!ret) {
      pthread_mutex_lock(&all_lock);
      bo->user_gone = false;
      pthread_mutex_unlock(&all_lock);
   }
   return ret;
}

int
sim_bo_add_handle(struct sim_file *file, struct sim_bo *bo, uint32_t *handle)
{
   sim_bo_get(bo);
   pthread_mutex_lock(&file->lock);
   *handle = sim_handles_add(&file->bos, bo);
   pthread_mutex_unlock(&file->lock);

   if (!*handle) {
      sim_bo_put(bo);
      return -ENOMEM;
   }
   return 0;
}

int
sim_bo_create_handle(struct sim_file *file, uint64_t size_B, uint32_t flags,
                     uint64_t exclusive_vm_uid, uint32_t *handle)
{
   struct sim_bo *bo;
   int ret = sim_bo_create(size_B, flags, exclusive_vm_uid, &bo);

   if (ret)
      return ret;
   ret = sim_bo_add_handle(file, bo, handle);
   sim_bo_put(bo);
   return ret;
}

struct sim_bo *
sim_bo_lookup(struct sim_file *file, uint32_t handle)
{
   pthread_mutex_lock(&file->lock);
   struct sim_bo *bo = sim_bo_get(sim_handles_get(&file->bos, handle));
   pthread_mutex_unlock(&file->lock);
   return bo;
}

int
sim_bo_get_mmap_offset(struct sim_file *file, uint32_t handle, uint32_t refused_flags,
                       __u64 *offset)
{
   struct sim_bo *bo = sim_bo_lookup(file, handle);

   if (!bo)
      return -ENOENT;
   int ret = bo->flags & refused_flags ? -EPERM : 0;
   if (!ret)
      *offset = bo->mmap_offset;
   sim_bo_put(bo);
   return ret;
}

uint32_t
sim_bo_handle_in(struct sim_file *file, const struct sim_bo *bo)
{
   pthread_mutex_lock(&file->lock);
   uint32_t handle = sim_handles_find(&file->bos, bo);
   pthread_mutex_unlock(&file->lock);
   return handle;
}

int
sim_bo_read(struct sim_bo *bo, uint64_t offset_B, void *data, uint64_t size_B)
{
   return pread(bo->fd, data, size_B, offset_B) == (ssize_t)size_B ? 0 : -EFAULT;
}

int
sim_bo_write(struct sim_bo *bo, uint64_t offset_B, const void *data, uint64_t size_B)
{
   return pwrite(bo->fd, data, size_B, offset_B) == (ssize_t)size_B ? 0 : -EFAULT;
}

static struct sim_bo *
bo_at_mmap_offset(struct sim_file *file, uint64_t offset)
{
   struct sim_bo *found = NULL;

   pthread_mutex_lock(&file->lock);
   for (uint32_t i = 0; i < file->bos.capacity && !found; i++) {
      struct sim_bo *bo = file->bos.objects[i];
      if (bo && bo->mmap_offset == offset)
         found = sim_bo_get(bo);
   }
   pthread_mutex_unlock(&file->lock);
   return found;
}

void *
sim_gem_mmap(struct sim_file *file, void *addr, uint64_t size_B, int prot, int flags,
             uint64_t offset)
{
   struct sim_bo *bo = bo_at_mmap_offset(file, offset);
   void *map = MAP_FAILED;

   if (!bo || size_B > bo->size_B) {
      errno = EINVAL;
      goto out;
   }
   /* Copy-on-write of device pages: refused by all drivers here. */
   if ((flags & MAP_TYPE) == MAP_PRIVATE && (prot & PROT_WRITE)) {
      errno = EINVAL;
      goto out;
   }
   map = sim_caller_mmap(addr, size_B, prot, flags, bo->fd, 0);

out:
   if (bo)
      sim_bo_put(bo);
   return map;
}

void
sim_gem_release_file(struct sim_file *file)
{
   for (uint32_t i = 0; i < file->bos.capacity; i++)
      sim_bo_put(file->bos.objects[i]);
   sim_handles_finish(&file->bos);
}

int
sim_gem_close_ioctl(struct sim_file *file, void *data)
{
   struct drm_gem_close *args = data;

   pthread_mutex_lock(&file->lock);
   struct sim_bo *bo = sim_handles_remove(&file->bos, args->handle);
   pthread_mutex_unlock(&file->lock);
   if (!bo)
      return -EINVAL;
   if (file->device.driver->gem_close)
      file->device.driver->gem_close(file, bo);
   sim_bo_put(bo);
   return 0;
}

int
sim_gem_flink_ioctl(struct sim_file *file, void *data)
{
   struct drm_gem_flink *args = data;
   static uint32_t last_name;
   struct sim_bo *bo = sim_bo_lookup(file, args->handle);

   if (!bo)
      return -ENOENT;
   pthread_mutex_lock(&all_lock);
   if (!bo->flink)
      bo->flink = ++last_name;
   args->name = bo->flink;
   pthread_mutex_unlock(&all_lock);
   sim_bo_put(bo);
   return 0;
}

int
sim_gem_open_ioctl(struct sim_file *file, void *data)
{
   struct drm_gem_open *args = data;
   struct sim_bo *found = NULL;

   pthread_mutex_lock(&all_lock);
   list_for_each_entry (struct sim_bo, bo, &all_bos, link) {
      if (args->name && bo->flink == args->name && bo_get_unless_zero(bo))
         found = bo;
   }
   pthread_mutex_unlock(&all_lock);
   if (!found)
      return -ENOENT;

   /* Each time a new handle */
   int ret = sim_bo_add_handle(file, found, &args->handle);
   if (!ret)
      args->size = found->size_B;
   sim_bo_put(found);
   return ret;
}

int
sim_prime_handle_to_fd_ioctl(struct sim_file *file, void *data)
{
   struct drm_prime_handle *args = data;
   char path[64];

   if (args->flags & ~(DRM_CLOEXEC | DRM_RDWR))
      return -EINVAL;

   struct sim_bo *bo = sim_bo_lookup(file, args->handle);
   if (!bo)
      return -ENOENT;

   int ret = file->device.driver->check_export(bo);
   if (ret)
      goto out;

   /* A file description of its own, with the asked access. */
   snprintf(path, sizeof(path), "/proc/self/fd/%d", bo->fd);
   args->fd = sim_libc()->openat(
      AT_FDCWD, path, (args->flags & DRM_RDWR ? O_RDWR : O_RDONLY) | (args->flags & DRM_CLOEXEC));
   if (args->fd < 0)
      ret = -errno;
   else
      args->fd = sim_caller_give_fd(args->fd);
   if (!ret && args->fd < 0)
      ret = args->fd;

out:
   sim_bo_put(bo);
   return ret;
}

/* A memfd that a simulator in another process made */
static int
import_foreign(int prime_fd, struct sim_bo **out)
{
   char path[64], target[128];
   struct stat st;
   uint32_t flags;

   sim_caller_fd_path(prime_fd, path, sizeof(path));
   if (sim_libc()->fstatat(AT_FDCWD, path, &st, 0) < 0)
      return errno == ENOENT ? -EBADF : -errno;
   ssize_t length = sim_libc()->readlinkat(AT_FDCWD, path, target, sizeof(target) - 1);
   if (length < 0)
      return -EBADF;
   target[length] = '\0';
   if (sscanf(target, "/memfd:" MEMFD_PREFIX "%x", &flags) != 1)
      return -EINVAL;

   int fd = sim_libc()->openat(AT_FDCWD, path, O_RDWR | O_CLOEXEC);
   if (fd < 0)
      return -errno;
   fd = sim_hide_fd(fd);

   struct sim_bo *bo = bo_from_memfd(fd, st.st_size, flags);
   if (!bo) {
      sim_libc()->close(fd);
      return -ENOMEM;
   }
   bo->imported = true;
   *out = bo;
   return 0;
}

int
sim_prime_fd_to_handle_ioctl(struct sim_file *file, void *data)
{
   struct drm_prime_handle *args = data;
   struct sim_bo *bo = sim_fd_lookup(args->fd, &bo_fd_ops);
   int ret = 0;

   if (!bo)
      ret = import_foreign(args->fd, &bo);
   if (ret)
      return ret;

   /* A file has one handle for a BO that comes by PRIME. */
   args->handle = sim_bo_handle_in(file, bo);
   if (!args->handle)
      ret = sim_bo_add_handle(file, bo, &args->handle);
   sim_bo_put(bo);
   return ret;
}

static int
export_sync_file(struct sim_bo *bo, void *arg)
{
   struct dma_buf_export_sync_file args;

   if (sim_copy_in(&args, (uintptr_t)arg, sizeof(args)))
      return -EFAULT;
   if (!args.flags || (args.flags & ~DMA_BUF_SYNC_RW))
      return -EINVAL;

   /* Who will read waits for writers alone. */
   struct sim_fence *fence = sim_resv_get(
      &bo->resv, args.flags & DMA_BUF_SYNC_WRITE ? SIM_RESV_READ : SIM_RESV_WRITE);
   args.fd = fence ? sim_sync_file_create(fence, NULL) : -ENOMEM;
   sim_fence_put(fence);
   return args.fd < 0 ? args.fd : sim_copy_out((uintptr_t)arg, &args, sizeof(args));
}

static int
import_sync_file(struct sim_bo *bo, void *arg)
{
   struct dma_buf_import_sync_file args;

   if (sim_copy_in(&args, (uintptr_t)arg, sizeof(args)))
      return -EFAULT;
   if (!args.flags || (args.flags & ~DMA_BUF_SYNC_RW))
      return -EINVAL;

   struct sim_fence *fence = sim_sync_file_get_fence(args.fd);
   if (!fence)
      return -EINVAL;
   sim_resv_add_fence(&bo->resv, fence,
                      args.flags & DMA_BUF_SYNC_WRITE ? SIM_RESV_WRITE : SIM_RESV_READ);
   sim_fence_put(fence);
   return 0;
}

int
sim_dma_buf_ioctl(int fd, unsigned long request, void *arg)
{
   struct sim_bo *bo = sim_fd_lookup(fd, &bo_fd_ops);
   int ret;

   if (!bo)
      return -ENOTTY;

   switch ((uint32_t)request) {
   case DMA_BUF_IOCTL_SYNC:
      /* The host's caches are coherent. */
      ret = 0;
      break;
   case DMA_BUF_IOCTL_EXPORT_SYNC_FILE:
      ret = export_sync_file(bo, arg);
      break;
   case DMA_BUF_IOCTL_IMPORT_SYNC_FILE:
      ret = import_sync_file(bo, arg);
      break;
   default:
      ret = -ENOTTY;
      break;
   }
   sim_bo_put(bo);
   return ret;
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Copyright © 2026 the vmbind authors
 *
 * Fences that a test holds for as long as it likes, in debugfs "fakemali/fence": a read makes one and
 * says which file descriptor of the reader is its sync file; writing that number signals it. Must not
 * know of the GPU.
 */
#include <linux/debugfs.h>
#include <linux/dma-fence.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/slab.h>
#include <linux/sync_file.h>
#include <linux/uaccess.h>

#include "fakemali.h"

/* The fence first: it is freed as what it is. */
struct held_fence {
	struct dma_fence base;
	spinlock_t lock;
};

static const char *fence_name(struct dma_fence *fence)
{
	return "fakemali";
}

static const struct dma_fence_ops fence_ops = {
	.get_driver_name = fence_name,
	.get_timeline_name = fence_name,
};

static struct sync_file *create_sync_file(void)
{
	struct held_fence *held = kzalloc(sizeof(*held), GFP_KERNEL);
	struct sync_file *sync;

	if (!held)
		return NULL;
	spin_lock_init(&held->lock);
	dma_fence_init(&held->base, &fence_ops, &held->lock, dma_fence_context_alloc(1), 1);
	sync = sync_file_create(&held->base);
	/* The sync file has a reference of its own. */
	dma_fence_put(&held->base);
	return sync;
}

static int create_fd(void)
{
	const int fd = get_unused_fd_flags(O_CLOEXEC);
	struct sync_file *sync;

	if (fd < 0)
		return fd;
	sync = create_sync_file();
	if (!sync) {
		put_unused_fd(fd);
		return -ENOMEM;
	}
	fd_install(fd, sync->file);
	return fd;
}

static ssize_t fence_read(struct file *file, char __user *buf, size_t count, loff_t *pos)
{
	char text[16];
	int fd;

	if (*pos)
		return 0;
	fd = create_fd();
	if (fd < 0)
		return fd;
	return simple_read_from_buffer(buf, count, pos, text,
				       snprintf(text, sizeof(text), "%d\n", fd));
}

static ssize_t fence_write(struct file *file, const char __user *buf, size_t count, loff_t *pos)
{
	struct dma_fence *fence;
	int fd, err;

	err = kstrtoint_from_user(buf, count, 10, &fd);
	if (err)
		return err;
	fence = sync_file_get_fence(fd);
	if (!fence)
		return -EBADF;
	err = fence->ops == &fence_ops ? 0 : -EINVAL;
	if (!err)
		dma_fence_signal(fence);
	dma_fence_put(fence);
	return err ?: count;
}

const struct file_operations fm_fence_fops = {
	.owner = THIS_MODULE,
	.read = fence_read,
	.write = fence_write,
};

// SPDX-License-Identifier: GPL-2.0
/*
 * Copyright © 2026 the vmbind authors
 *
 * What the tests can see and do, in debugfs under "fakemali":
 *
 *   stats  a line for each counter, and which address space ran the latest job
 *   pt     the GPU's page tables: a line for each page that an address space maps
 *   run    a write lets held jobs go on
 *   object write "FD HANDLE", read the address of the GEM object that the writer's open DRM file FD
 *          knows by this handle, which is what the DRM core's own dumps call it, and the address of
 *          its pages' mapping, which is what pt calls it
 *   fence  see fm_fence.c
 *
 * Must not know how any of it is found out.
 */
#define pr_fmt(fmt) "fakemali: " fmt
#include <drm/drm_file.h>
#include <drm/drm_gem.h>
#include <drm/drm_ioctl.h>
#include <linux/debugfs.h>
#include <linux/file.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "fakemali.h"

u64 fm_stats[FM_STAT_COUNT];
unsigned int fm_latest_as;

static const char *const stat_names[FM_STAT_COUNT] = {
	[FM_STAT_STORES] = "stores",
	[FM_STAT_INTERRUPTS] = "interrupts",
	[FM_STAT_RESETS] = "resets",
	[FM_STAT_BOOTS] = "boots",
	[FM_STAT_GLOBAL_REQUESTS] = "global_requests",
	[FM_STAT_AS_COMMANDS] = "as_commands",
	[FM_STAT_JOBS] = "jobs",
	[FM_STAT_INSTRUCTIONS] = "instructions",
	[FM_STAT_SKIPPED_INSTRUCTIONS] = "skipped_instructions",
	[FM_STAT_STREAM_FAULTS] = "stream_faults",
};

static struct dentry *dir;

static int stats_show(struct seq_file *m, void *v)
{
	int i;

	for (i = 0; i < FM_STAT_COUNT; i++)
		seq_printf(m, "%s %llu\n", stat_names[i], fm_stats[i]);
	seq_printf(m, "hooked_stores %u\n", fm_hook_sites());
	seq_printf(m, "latest_as %u\n", fm_latest_as);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(stats);

static int pt_show(struct seq_file *m, void *v)
{
	fm_mmu_dump(m);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(pt);

static ssize_t run_write(struct file *file, const char __user *buf, size_t count, loff_t *pos)
{
	fm_fault_release_jobs();
	fm_regs_kick();
	return count;
}

static const struct file_operations run_fops = {
	.owner = THIS_MODULE,
	.write = run_write,
};

/* ---- object ---- */

/* What an open file answers: addresses as names only, never followed */
struct answer {
	unsigned long object;
	unsigned long mapping;
};

static int object_open(struct inode *inode, struct file *file)
{
	file->private_data = kzalloc(sizeof(struct answer), GFP_KERNEL);
	return file->private_data ? 0 : -ENOMEM;
}

static int object_release(struct inode *inode, struct file *file)
{
	kfree(file->private_data);
	return 0;
}

static struct answer find_object(int fd, u32 handle)
{
	struct answer answer = { 0 };
	struct file *file = fget(fd);
	struct drm_gem_object *obj = NULL;

	if (!file)
		return answer;
	if (imajor(file_inode(file)) == DRM_MAJOR)
		obj = drm_gem_object_lookup(file->private_data, handle);
	fput(file);
	if (obj) {
		answer.object = (unsigned long)obj;
		answer.mapping = obj->filp ? (unsigned long)obj->filp->f_mapping : 0;
		drm_gem_object_put(obj);
	}
	return answer;
}

static ssize_t object_write(struct file *file, const char __user *buf, size_t count, loff_t *pos)
{
	struct answer *answer = file->private_data;
	char text[32];
	u32 handle;
	int fd;

	if (count >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, buf, count))
		return -EFAULT;
	text[count] = 0;
	if (sscanf(text, "%d %u", &fd, &handle) != 2)
		return -EINVAL;
	*answer = find_object(fd, handle);
	return count;
}

static ssize_t object_read(struct file *file, char __user *buf, size_t count, loff_t *pos)
{
	const struct answer *answer = file->private_data;
	char text[64];
	const int length =
		snprintf(text, sizeof(text), "%lx %lx\n", answer->object, answer->mapping);

	return simple_read_from_buffer(buf, count, pos, text, length);
}

static const struct file_operations object_fops = {
	.owner = THIS_MODULE,
	.open = object_open,
	.release = object_release,
	.write = object_write,
	.read = object_read,
};

void fm_debugfs_init(void)
{
	dir = debugfs_create_dir("fakemali", NULL);
	debugfs_create_file("stats", 0444, dir, NULL, &stats_fops);
	debugfs_create_file("pt", 0444, dir, NULL, &pt_fops);
	debugfs_create_file("object", 0600, dir, NULL, &object_fops);
	debugfs_create_file("run", 0200, dir, NULL, &run_fops);
	debugfs_create_file("fence", 0600, dir, NULL, &fm_fence_fops);
}

void fm_debugfs_exit(void)
{
	debugfs_remove_recursive(dir);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Copyright © 2026 the vmbind authors
 *
 * Finds the device node that panthor will bind to, maps its register file, and starts the pieces.
 * Must not know what any register means.
 *
 * The register file is an ordinary piece of RAM that the device tree keeps out of the kernel's hands
 * (a no-map carve-out). So panthor's loads from it need no help at all: they read what the model last
 * wrote. Only its stores must be noticed: see fm_hook.c. Real device memory could not do that
 * without the emulator's help, and QEMU has no Mali.
 */
#define pr_fmt(fmt) "fakemali: " fmt
#include <linux/io.h>
#include <linux/module.h>
#include <linux/of.h>
#include <linux/of_address.h>
#include <linux/of_irq.h>

#include "fakemali.h"

struct fm_device fm_dev;

u32 fm_reg(u32 offset)
{
	return __raw_readl(fm_dev.regs + offset);
}

u64 fm_reg64(u32 offset)
{
	return fm_reg(offset) | (u64)fm_reg(offset + 4) << 32;
}

void fm_set_reg(u32 offset, u32 value)
{
	__raw_writel(value, fm_dev.regs + offset);
}

static int find_interrupts(struct device_node *np)
{
	static const char *const names[] = {
		[FM_IRQ_JOB] = "job", [FM_IRQ_MMU] = "mmu", [FM_IRQ_GPU] = "gpu"
	};
	int i;

	for (i = 0; i < FM_IRQ_COUNT; i++) {
		fm_dev.irqs[i] = of_irq_get_byname(np, names[i]);
		if (fm_dev.irqs[i] <= 0)
			return fm_dev.irqs[i] ?: -ENXIO;
	}
	return 0;
}

static int find_device(void)
{
	struct device_node *np = of_find_compatible_node(NULL, NULL, "arm,mali-valhall-csf");
	struct resource res;
	int err;

	if (!np)
		return -ENODEV;
	err = of_address_to_resource(np, 0, &res);
	if (!err)
		err = find_interrupts(np);
	of_node_put(np);
	if (err)
		return err;

	fm_dev.regs_pa = res.start;
	fm_dev.regs_size = resource_size(&res);
	fm_dev.regs = ioremap(fm_dev.regs_pa, fm_dev.regs_size);
	return fm_dev.regs ? 0 : -ENOMEM;
}

static int __init fm_init(void)
{
	int err = find_device();

	if (err)
		return err;
	memset_io(fm_dev.regs, 0, fm_dev.regs_size);
	fm_regs_init();

	err = fm_hook_init();
	if (err)
		goto fail_hook;
	fm_debugfs_init();
	return 0;

fail_hook:
	iounmap(fm_dev.regs);
	return err;
}

static void __exit fm_exit(void)
{
	fm_debugfs_exit();
	fm_hook_exit();
	iounmap(fm_dev.regs);
}

module_init(fm_init);
module_exit(fm_exit);
MODULE_DESCRIPTION("A software Mali GPU for testing panthor");
MODULE_LICENSE("GPL");

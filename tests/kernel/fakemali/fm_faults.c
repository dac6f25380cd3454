// SPDX-License-Identifier: GPL-2.0
/*
 * Copyright © 2026 the vmbind authors
 *
 * What goes wrong on demand: module parameters that a test writes, and the two probes that make
 * drm_gpuvm fail. Must not know how the rest of the model works: it only answers its questions.
 *
 * A count "n" means: the n-th from now goes wrong, then all is well again. Zero is off.
 */
#define pr_fmt(fmt) "fakemali: " fmt
#include <linux/kprobes.h>
#include <linux/module.h>

#include "fakemali.h"

static int fail_map;
module_param(fail_map, int, 0644);
MODULE_PARM_DESC(fail_map, "the n-th drm_gpuvm_sm_map() from now returns -ENOMEM");

static int fail_unmap;
module_param(fail_unmap, int, 0644);
MODULE_PARM_DESC(fail_unmap, "the n-th drm_gpuvm_sm_unmap() from now returns -ENOMEM");

static int as_stuck;
module_param(as_stuck, int, 0644);
MODULE_PARM_DESC(as_stuck, "the n-th MMU lock command from now hangs until the GPU is reset");

static bool boot_fail;
module_param(boot_fail, bool, 0644);
MODULE_PARM_DESC(boot_fail, "the firmware never comes up");

static bool hold_jobs;
module_param(hold_jobs, bool, 0644);
MODULE_PARM_DESC(hold_jobs, "GPU work stays queued until debugfs \"run\" is written");

static bool strict = true;
module_param(strict, bool, 0644);
MODULE_PARM_DESC(strict, "an unknown instruction is a fault; else it is skipped");

/* Tests write a count while nothing else runs that would count it down. */
static bool is_due(int *count)
{
	return *count > 0 && --*count == 0;
}

bool fm_fault_mcu_stays_dead(void)
{
	return boot_fail;
}

bool fm_fault_lock_hangs(void)
{
	return is_due(&as_stuck);
}

bool fm_fault_jobs_are_held(void)
{
	return hold_jobs;
}

void fm_fault_release_jobs(void)
{
	hold_jobs = false;
}

bool fm_fault_skips_unknown(void)
{
	return !strict;
}

static int before_map(struct kprobe *probe, struct pt_regs *regs);
static int before_unmap(struct kprobe *probe, struct pt_regs *regs);

static struct kprobe map_probe;
static struct kprobe unmap_probe;

/* Skips the probed function and lets it return -ENOMEM. */
static int fail_call(struct pt_regs *regs)
{
	regs->regs[0] = -ENOMEM;
	instruction_pointer_set(regs, regs->regs[30]);
	return 1;
}

static int before_map(struct kprobe *probe, struct pt_regs *regs)
{
	return is_due(&fail_map) ? fail_call(regs) : 0;
}

static int before_unmap(struct kprobe *probe, struct pt_regs *regs)
{
	return is_due(&fail_unmap) ? fail_call(regs) : 0;
}

int fm_faults_arm(void)
{
	int err;

	/* A probe that was registered once carries its old address: start anew. */
	map_probe = (struct kprobe){ .symbol_name = "drm_gpuvm_sm_map", .pre_handler = before_map };
	unmap_probe = (struct kprobe){ .symbol_name = "drm_gpuvm_sm_unmap",
				       .pre_handler = before_unmap };

	err = register_kprobe(&map_probe);
	if (err)
		goto fail_map_probe;
	err = register_kprobe(&unmap_probe);
	if (err)
		goto fail_unmap_probe;
	return 0;

fail_unmap_probe:
	unregister_kprobe(&map_probe);
fail_map_probe:
	map_probe.pre_handler = NULL;
	return err;
}

void fm_faults_disarm(void)
{
	if (!map_probe.pre_handler)
		return;
	unregister_kprobe(&unmap_probe);
	unregister_kprobe(&map_probe);
	map_probe.pre_handler = NULL;
}

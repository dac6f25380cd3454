// SPDX-License-Identifier: GPL-2.0
/*
 * Copyright © 2026 the vmbind authors
 *
 * What goes wrong on demand: module parameters that a test writes, and the probes that make
 * drm_gpuvm and panthor's VM_BIND fail. Must not know how the rest of the model works: it only answers
 * its questions.
 *
 * A count "n" means: the n-th from now goes wrong, then all is well again. Zero is off.
 */
#define pr_fmt(fmt) "fakemali: " fmt
#include <linux/delay.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/spinlock.h>

#include "fakemali.h"

static int fail_map;
module_param(fail_map, int, 0644);
MODULE_PARM_DESC(fail_map, "the n-th drm_gpuvm_sm_map() from now fails");

static int fail_unmap;
module_param(fail_unmap, int, 0644);
MODULE_PARM_DESC(fail_unmap, "the n-th drm_gpuvm_sm_unmap() from now fails");

enum { BY_ANYBODY, BY_IOCTL, BY_WORKER };
static int fail_by;
module_param(fail_by, int, 0644);
MODULE_PARM_DESC(fail_by, "of these, count all (0), those of ioctls (1), those of workers (2)");

static int fail_errno = ENOMEM;
module_param(fail_errno, int, 0644);
MODULE_PARM_DESC(fail_errno, "what they, and fail_bind, return");

static int fail_bind;
module_param(fail_bind, int, 0644);
MODULE_PARM_DESC(fail_bind, "the n-th VM_BIND ioctl from now fails before it looks at anything");

static int fail_bind_times = 1;
module_param(fail_bind_times, int, 0644);
MODULE_PARM_DESC(fail_bind_times, "so many in a row from there");

static int delay_bind;
module_param(delay_bind, int, 0644);
MODULE_PARM_DESC(delay_bind, "each VM_BIND ioctl sleeps so many ms before it looks at anything");

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

/* Tests write a count while nothing else runs that would count it down; several may count. */
static DEFINE_RAW_SPINLOCK(lock);

static bool is_due(int *count)
{
	unsigned long flags;
	bool due;

	raw_spin_lock_irqsave(&lock, flags);
	due = *count > 0 && --*count == 0;
	raw_spin_unlock_irqrestore(&lock, flags);
	return due;
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

/* ---- drm_gpuvm ---- */

static struct kprobe map_probe;
static struct kprobe unmap_probe;

/* Skips the probed function and lets it return the error. */
static int fail_call(struct pt_regs *regs)
{
	regs->regs[0] = -fail_errno;
	instruction_pointer_set(regs, regs->regs[30]);
	return 1;
}

static bool counts_here(void)
{
	const bool is_worker = current->flags & PF_KTHREAD;

	return fail_by == BY_ANYBODY || is_worker == (fail_by == BY_WORKER);
}

static int before_map(struct kprobe *probe, struct pt_regs *regs)
{
	return counts_here() && is_due(&fail_map) ? fail_call(regs) : 0;
}

static int before_unmap(struct kprobe *probe, struct pt_regs *regs)
{
	return counts_here() && is_due(&fail_unmap) ? fail_call(regs) : 0;
}

/* ---- the ioctl ---- */

typedef int (*bind_fn)(void *dev, void *data, void *file);

static struct kprobe bind_probe;
/* Who has slept and now calls the function itself */
static struct task_struct *passing;

static int bind_late(void *dev, void *data, void *file)
{
	msleep(delay_bind);
	while (cmpxchg(&passing, NULL, current))
		schedule();
	return ((bind_fn)bind_probe.addr)(dev, data, file);
}

static bool bind_is_due(void)
{
	bool due;

	raw_spin_lock(&lock);
	due = fail_bind == 1 && fail_bind_times > 0;
	if (fail_bind > 1)
		fail_bind--;
	else if (due && --fail_bind_times == 0)
		fail_bind = 0;
	raw_spin_unlock(&lock);
	return due;
}

/* A probe may not sleep: it sends the caller to a function that may. */
static int before_bind(struct kprobe *probe, struct pt_regs *regs)
{
	if (READ_ONCE(passing) == current) {
		WRITE_ONCE(passing, NULL);
		return 0;
	}
	if (bind_is_due())
		return fail_call(regs);
	if (!delay_bind)
		return 0;
	instruction_pointer_set(regs, (unsigned long)bind_late);
	return 1;
}

/* ---- on and off ---- */

static struct {
	struct kprobe *probe;
	const char *symbol;
	kprobe_pre_handler_t before;
} const probes[] = {
	{ &map_probe, "drm_gpuvm_sm_map", before_map },
	{ &unmap_probe, "drm_gpuvm_sm_unmap", before_unmap },
	{ &bind_probe, "panthor_ioctl_vm_bind", before_bind },
};

static unsigned int num_armed;

int fm_faults_arm(void)
{
	int err;

	for (num_armed = 0; num_armed < ARRAY_SIZE(probes); num_armed++) {
		/* A probe that was registered once carries its old address: start anew. */
		*probes[num_armed].probe = (struct kprobe){
			.symbol_name = probes[num_armed].symbol,
			.pre_handler = probes[num_armed].before,
		};
		err = register_kprobe(probes[num_armed].probe);
		if (err) {
			pr_err("no probe of %s: %d\n", probes[num_armed].symbol, err);
			fm_faults_disarm();
			return err;
		}
	}
	return 0;
}

void fm_faults_disarm(void)
{
	while (num_armed)
		unregister_kprobe(probes[--num_armed].probe);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Copyright © 2026 the vmbind authors
 *
 * What a store to a register does: interrupt registers, power domains, reset, cache maintenance, the
 * MCU's switch, doorbells. Must not know how the store came here, nor what the firmware does when a
 * doorbell rings.
 *
 * All effects of a store happen before it returns to the driver, interrupt lines included. That is a
 * GPU of infinite speed: legal, and free of races of our own making.
 */
#define pr_fmt(fmt) "fakemali: " fmt
#include <linux/bitmap.h>
#include <linux/interrupt.h>
#include <linux/module.h>
#include <linux/spinlock.h>
#include <linux/timekeeping.h>

#include "fakemali.h"

static uint gpu_id = 0xa8670005;
module_param(gpu_id, uint, 0444);
MODULE_PARM_DESC(gpu_id, "the GPU's identity; by default a Mali-G610 as in RK3588");

static bool trace;
module_param(trace, bool, 0644);
MODULE_PARM_DESC(trace, "print every store");

#define GPU_ID			0x000
#define L2_FEATURES		0x004
#define TILER_FEATURES		0x00c
#define MEM_FEATURES		0x010
#define MMU_FEATURES		0x014
#define AS_PRESENT		0x018
#define CSF_ID			0x01c
#define GPU_INT			0x020
#define  GPU_INT_RESET_DONE	BIT(8)
#define  GPU_INT_CLEAN_DONE	BIT(17)
#define GPU_COMMAND		0x030
#define  GPU_COMMAND_RESET	1
#define  GPU_COMMAND_FLUSH	4
#define TIMESTAMP		0x098
#define THREAD_MAX_THREADS	0x0a0
#define THREAD_MAX_WORKGROUP	0x0a4
#define THREAD_MAX_BARRIER	0x0a8
#define THREAD_FEATURES		0x0ac
#define TEXTURE_FEATURES	0x0b0
#define SHADER_PRESENT		0x100
#define TILER_PRESENT		0x110
#define L2_PRESENT		0x120
/* From here three domains each, 0x10 apart: shader cores, tiler, L2; each a pair of registers */
#define POWER_READY		0x140
#define POWER_ON		0x180
#define POWER_OFF		0x1c0
#define POWER_DOMAINS		0x30
#define COHERENCY_FEATURES	0x300
#define  COHERENCY_ACE_LITE	BIT(0)
#define MCU_CONTROL		0x700
#define MCU_STATUS		0x704
#define  MCU_RUNNING		1
#define  MCU_HALTED		2
#define JOB_INT			0x1000
#define  JOB_INT_GLOBAL		BIT(31)
#define MMU_INT			0x2000
#define FLUSH_ID		0x10000
#define DOORBELLS		0x80000
#define DOORBELL_SHIFT		16

/* A bank of interrupt registers. STATUS is RAWSTAT under MASK, kept so for the driver's loads. */
#define INT_RAWSTAT		0x0
#define INT_CLEAR		0x4
#define INT_MASK		0x8
#define INT_STATUS		0xc

static const u32 int_bank[FM_IRQ_COUNT] = {
	[FM_IRQ_JOB] = JOB_INT, [FM_IRQ_MMU] = MMU_INT, [FM_IRQ_GPU] = GPU_INT
};

static DEFINE_RAW_SPINLOCK(lock);

void fm_regs_init(void)
{
	fm_set_reg(GPU_ID, gpu_id);
	fm_set_reg(L2_FEATURES, 0x07120306);
	fm_set_reg(TILER_FEATURES, 0x809);
	fm_set_reg(MEM_FEATURES, 0x301);
	fm_set_reg(MMU_FEATURES, fm_mmu_features());
	fm_set_reg(AS_PRESENT, 0xff);
	fm_set_reg(CSF_ID, 0x040a0412);
	fm_set_reg(THREAD_MAX_THREADS, 2048);
	fm_set_reg(THREAD_MAX_WORKGROUP, 1024);
	fm_set_reg(THREAD_MAX_BARRIER, 1024);
	fm_set_reg(THREAD_FEATURES, 0x04010000);
	fm_set_reg(TEXTURE_FEATURES, 0xc1ffff9e);
	fm_set_reg(SHADER_PRESENT, 0x50005);
	fm_set_reg(TILER_PRESENT, 1);
	fm_set_reg(L2_PRESENT, 1);
	fm_set_reg(COHERENCY_FEATURES, COHERENCY_ACE_LITE);
	fm_set_reg(FLUSH_ID, 2);
}

/* ---- interrupts ---- */

void fm_raise(enum fm_irq irq, u32 bits)
{
	const u32 rawstat = int_bank[irq] + INT_RAWSTAT;

	fm_set_reg(rawstat, fm_reg(rawstat) | bits);
}

static bool store_interrupt(u32 offset, u32 value)
{
	enum fm_irq irq;

	for (irq = 0; irq < FM_IRQ_COUNT; irq++) {
		const u32 rawstat = int_bank[irq] + INT_RAWSTAT;

		switch (offset - int_bank[irq]) {
		case INT_RAWSTAT:
			fm_raise(irq, value);
			return true;
		case INT_CLEAR:
			fm_set_reg(rawstat, fm_reg(rawstat) & ~value);
			return true;
		case INT_STATUS:
			return true;
		}
	}
	return false;
}

/* Returns the lines that are up. */
static unsigned long update_interrupts(void)
{
	unsigned long up = 0;
	enum fm_irq irq;

	for (irq = 0; irq < FM_IRQ_COUNT; irq++) {
		const u32 bank = int_bank[irq];
		const u32 status = fm_reg(bank + INT_RAWSTAT) & fm_reg(bank + INT_MASK);

		fm_set_reg(bank + INT_STATUS, status);
		if (status)
			up |= BIT(irq);
	}
	fm_stats[FM_STAT_INTERRUPTS] += hweight_long(up);
	return up;
}

/* The lines are edge triggered: making one pending is an edge. */
static void raise_lines(unsigned long up)
{
	enum fm_irq irq;

	for_each_set_bit(irq, &up, FM_IRQ_COUNT)
		irq_set_irqchip_state(fm_dev.irqs[irq], IRQCHIP_STATE_PENDING, true);
}

/* ---- the GPU ---- */

static void reset(void)
{
	u32 i;

	fm_stats[FM_STAT_RESETS]++;
	for (i = 0; i < POWER_DOMAINS; i += 4)
		fm_set_reg(POWER_READY + i, 0);
	fm_set_reg(MCU_STATUS, 0);
	fm_mmu_reset();
	fm_raise(FM_IRQ_GPU, GPU_INT_RESET_DONE);
}

static void store_gpu_command(u32 value)
{
	switch (value & 0xff) {
	case GPU_COMMAND_RESET:
		reset();
		break;
	case GPU_COMMAND_FLUSH:
		fm_set_reg(FLUSH_ID, fm_reg(FLUSH_ID) + 2);
		fm_raise(FM_IRQ_GPU, GPU_INT_CLEAN_DONE);
		break;
	}
}

static bool is_power_register(u32 offset, u32 base)
{
	return offset >= base && offset < base + POWER_DOMAINS && (offset & 0xf) < 8;
}

static bool store_power(u32 offset, u32 value)
{
	u32 ready;

	if (is_power_register(offset, POWER_ON)) {
		ready = offset - POWER_ON + POWER_READY;
		fm_set_reg(ready, fm_reg(ready) | value);
		return true;
	}
	if (is_power_register(offset, POWER_OFF)) {
		ready = offset - POWER_OFF + POWER_READY;
		fm_set_reg(ready, fm_reg(ready) & ~value);
		return true;
	}
	return false;
}

bool fm_mcu_is_running(void)
{
	return fm_reg(MCU_STATUS) == MCU_RUNNING;
}

void fm_mcu_halt(void)
{
	fm_set_reg(MCU_STATUS, MCU_HALTED);
}

static void store_mcu_control(u32 value)
{
	fm_set_reg(MCU_CONTROL, value);
	if (!value) {
		fm_set_reg(MCU_STATUS, 0);
	} else if (!fm_fault_mcu_stays_dead()) {
		fm_stats[FM_STAT_BOOTS]++;
		fm_csf_boot();
		fm_set_reg(MCU_STATUS, MCU_RUNNING);
		fm_raise(FM_IRQ_JOB, JOB_INT_GLOBAL);
	}
}

static void store(u32 offset, u32 value)
{
	if (offset >= DOORBELLS) {
		if (fm_mcu_is_running())
			fm_csf_doorbell((offset - DOORBELLS) >> DOORBELL_SHIFT);
	} else if (store_interrupt(offset, value) || store_power(offset, value)) {
		return;
	} else if (offset == GPU_COMMAND) {
		store_gpu_command(value);
	} else if (offset == MCU_CONTROL) {
		store_mcu_control(value);
	} else if (fm_mmu_owns(offset)) {
		fm_mmu_store(offset, value);
	} else {
		fm_set_reg(offset, value);
	}
}

void fm_regs_store(u32 offset, u32 value)
{
	unsigned long flags, up;

	raw_spin_lock_irqsave(&lock, flags);
	fm_stats[FM_STAT_STORES]++;
	if (trace)
		pr_info("%05x <- %08x\n", offset, value);
	store(offset, value);
	/* Loads do not come here, so the clock stands still between stores. */
	fm_set_reg(TIMESTAMP, ktime_get_mono_fast_ns());
	up = update_interrupts();
	raw_spin_unlock_irqrestore(&lock, flags);

	raise_lines(up);
}

void fm_regs_kick(void)
{
	unsigned long flags, up;

	raw_spin_lock_irqsave(&lock, flags);
	if (fm_mcu_is_running())
		fm_csf_run_all();
	up = update_interrupts();
	raw_spin_unlock_irqrestore(&lock, flags);

	raise_lines(up);
}

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Copyright © 2026 the vmbind authors
 *
 * fakemali: a software Arm Mali GPU (command stream frontend) for an unmodified panthor.ko. What its
 * pieces offer one another; README.md in the folder above tells how they play together.
 *
 *   fm_main.c     finds the device, starts and stops the pieces
 *   fm_hook.c     makes panthor's stores to the register file come here
 *   fm_regs.c     what a store to a register does: interrupts, power, reset, MCU, doorbells
 *   fm_mmu.c      address spaces: commands, the page-table walk, faults
 *   fm_csf.c      plays the firmware: the mailboxes of the global, group and stream interfaces
 *   fm_cs.c       executes command streams
 *   fm_faults.c   what goes wrong on demand
 *   fm_fence.c    fences that a test holds
 *   fm_debugfs.c  what the tests can see: counters, the GPU's page tables
 *
 * It models what panthor expects, not hardware: no caches, no TLBs, no time.
 *
 * One raw spinlock (in fm_regs.c) is held through every store with all that follows from it. The
 * functions below are called with it unless they say otherwise.
 */
#ifndef FAKEMALI_H
#define FAKEMALI_H

#include <linux/bits.h>
#include <linux/types.h>

struct file_operations;
struct module;
struct seq_file;

/* ---- fm_main.c: the register file, a piece of RAM ---- */

struct fm_device {
	phys_addr_t regs_pa;
	resource_size_t regs_size;
	void __iomem *regs;
	/* Interrupt lines, by enum fm_irq */
	int irqs[3];
};

extern struct fm_device fm_dev;

u32 fm_reg(u32 offset);
u64 fm_reg64(u32 offset);
void fm_set_reg(u32 offset, u32 value);

/* ---- fm_regs.c ---- */

enum fm_irq { FM_IRQ_JOB, FM_IRQ_MMU, FM_IRQ_GPU, FM_IRQ_COUNT };

/* Values that a driver reads before it has written any. */
void fm_regs_init(void);

/* A 32-bit store by the driver. Takes the lock; raises interrupt lines after it is dropped. */
void fm_regs_store(u32 offset, u32 value);

/* Lets everything that waits in command streams run, as a doorbell to all would. Takes the lock. */
void fm_regs_kick(void);

void fm_raise(enum fm_irq irq, u32 bits);
bool fm_mcu_is_running(void);
void fm_mcu_halt(void);

/* ---- fm_mmu.c ---- */

#define FM_AS_COUNT 16
/* The firmware's own address space */
#define FM_AS_MCU   0

bool fm_mmu_owns(u32 offset);
void fm_mmu_store(u32 offset, u32 value);
void fm_mmu_reset(void);
u32 fm_mmu_features(void);

/* Where the GPU would find this address, in the kernel's linear map; NULL if it is not mapped, or is
 * read-only and this is a write. Valid up to the end of the page. */
void *fm_mmu_translate(unsigned int as, u64 va, bool write);

/* Reports a translation fault to the driver. */
void fm_mmu_fault(unsigned int as, u64 va, bool write);

/* Every page of every address space, a line each. Without the lock. */
void fm_mmu_dump(struct seq_file *m);

/* ---- fm_csf.c ---- */

void fm_csf_boot(void);
void fm_csf_doorbell(unsigned int id);
void fm_csf_run_all(void);

/* A stream wrote a sync object: the driver wants to hear of it. */
void fm_csf_sync_update(unsigned int group);

/* ---- fm_cs.c ---- */

#define FM_CS_REGS 256

struct fm_cs {
	/* For messages and for events */
	unsigned int group, stream;
	unsigned int as;
	u32 *regs;
};

/* Why a stream stopped: codes of the hardware's fatal-fault register */
enum fm_cs_fatal {
	FM_CS_OK = 0,
	FM_CS_CONFIG_FAULT = 0x40,
	FM_CS_UNRECOVERABLE = 0x41,
	FM_CS_BUS_FAULT = 0x48,
	FM_CS_INVALID_INSTRUCTION = 0x49,
	FM_CS_INHERIT_FAULT = 0x4b,
	FM_CS_FETCH_FAULT = 0x50,
};

/* Executes [from, to) of a ring buffer of a power of two bytes. On a fault info is its address, or the
 * instruction. */
enum fm_cs_fatal fm_cs_execute_ring(struct fm_cs *cs, u64 base, u32 size, u64 from, u64 to, u64 *info);

/* ---- fm_faults.c ---- */

/* From here on drm_gpuvm may fail on demand. Without the lock. */
int fm_faults_arm(void);
void fm_faults_disarm(void);

bool fm_fault_mcu_stays_dead(void);
/* Counts: to be asked once for each lock command. */
bool fm_fault_lock_hangs(void);
bool fm_fault_jobs_are_held(void);
bool fm_fault_skips_unknown(void);
void fm_fault_release_jobs(void);

/* ---- fm_hook.c; all without the lock ---- */

int fm_hook_init(void);
void fm_hook_exit(void);
unsigned int fm_hook_sites(void);

/* ---- fm_fence.c ---- */

extern const struct file_operations fm_fence_fops;

/* ---- fm_debugfs.c ---- */

enum fm_stat {
	FM_STAT_STORES,
	FM_STAT_INTERRUPTS,
	FM_STAT_RESETS,
	FM_STAT_BOOTS,
	FM_STAT_GLOBAL_REQUESTS,
	FM_STAT_AS_COMMANDS,
	FM_STAT_JOBS,
	FM_STAT_INSTRUCTIONS,
	FM_STAT_SKIPPED_INSTRUCTIONS,
	FM_STAT_STREAM_FAULTS,
	FM_STAT_COUNT,
};

extern u64 fm_stats[FM_STAT_COUNT];
/* The address space of the stream that ran last */
extern unsigned int fm_latest_as;

void fm_debugfs_init(void);
void fm_debugfs_exit(void);

#endif /* FAKEMALI_H */

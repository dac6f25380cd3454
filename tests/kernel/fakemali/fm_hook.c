// SPDX-License-Identifier: GPL-2.0
/*
 * Copyright © 2026 the vmbind authors
 *
 * Makes panthor's stores to the register file come here, without a change to panthor.ko's file.
 * Must not know what any register means.
 *
 * Why patch stores? The register file is RAM, so a store has no effect of its own. Polling it from a
 * thread would race: a driver that acknowledges an interrupt, or rings a doorbell twice, must be
 * served at each store. A single-step or page-fault trap would cost thousands of instructions and
 * cannot be had for RAM without taking its mapping away, which would trap loads too. kprobes would
 * do, but arm64 refuses them behind an exclusive load (an inlined atomic) within the next
 * instructions, and each costs a stop_machine().
 *
 * How: every writel() in arm64 machine code is a "dmb oshst", then soon a "str wT, [xN, #imm]" (the
 * macro leaves the compiler no other form). When panthor is loaded, before its init runs, each such
 * store is replaced, in memory, by a branch to a stub of its own:
 *
 *    panthor                stub i                                    C
 *    dmb oshst
 *    b stub_i  ---------->  save x29, x30, x0, x1; x0 = i
 *                           bl save_rest  -- saves the others -->  fm_hook_store(i, frame)
 *    next insn <----------  restore; b back
 *
 * fm_hook_store() decodes the replaced instruction, takes its operands from the saved registers and
 * does what it would have done. An address that is not in the register file (a barrier before an
 * ordinary store looks the same) gets an ordinary store.
 */
#define pr_fmt(fmt) "fakemali: " fmt
#include <linux/io.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/sizes.h>

#include "fakemali.h"

#define MAX_SITES	256
#define STUB_INSNS	8
#define FRAME_BYTES	288

#define INSN_DMB_OSHST	0xd50332bf
#define INSN_B		0x14000000
#define INSN_STR_MASK	0xffc00000
#define INSN_STR_W	0xb9000000
#define INSN_STR_X	0xf9000000
/* The value is in a register by the time of the barrier, so the store is never far. */
#define MAX_DISTANCE	5

/*
 * The frame: x29 and x30 first, so that it is a frame record that the unwinder understands, then
 * x0 to x28 in order, then the flags and the stub's return address.
 */
struct frame {
	u64 x29, x30;
	u64 x[29];
	u64 pad;
	u64 nzcv, stub_lr;
	u64 pad2[2];
};
static_assert(sizeof(struct frame) == FRAME_BYTES);
static_assert(offsetof(struct frame, nzcv) == 256);

asm("	.pushsection .text\n"
    "	.align	3\n"
    "fm_hook_save_rest:\n"
    "	stp	x2, x3, [sp, #32]\n"
    "	stp	x4, x5, [sp, #48]\n"
    "	stp	x6, x7, [sp, #64]\n"
    "	stp	x8, x9, [sp, #80]\n"
    "	stp	x10, x11, [sp, #96]\n"
    "	stp	x12, x13, [sp, #112]\n"
    "	stp	x14, x15, [sp, #128]\n"
    "	stp	x16, x17, [sp, #144]\n"
    "	stp	x18, x19, [sp, #160]\n"
    "	stp	x20, x21, [sp, #176]\n"
    "	stp	x22, x23, [sp, #192]\n"
    "	stp	x24, x25, [sp, #208]\n"
    "	stp	x26, x27, [sp, #224]\n"
    "	str	x28, [sp, #240]\n"
    "	mrs	x2, nzcv\n"
    "	stp	x2, x30, [sp, #256]\n"
    "	mov	x1, sp\n"
    "	bl	fm_hook_store\n"
    "	ldp	x2, x30, [sp, #256]\n"
    "	msr	nzcv, x2\n"
    /* x19 to x28 belong to the callee: C code left them as they were. */
    "	ldp	x2, x3, [sp, #32]\n"
    "	ldp	x4, x5, [sp, #48]\n"
    "	ldp	x6, x7, [sp, #64]\n"
    "	ldp	x8, x9, [sp, #80]\n"
    "	ldp	x10, x11, [sp, #96]\n"
    "	ldp	x12, x13, [sp, #112]\n"
    "	ldp	x14, x15, [sp, #128]\n"
    "	ldp	x16, x17, [sp, #144]\n"
    "	ldr	x18, [sp, #160]\n"
    "	ret\n"
    "	.global	fm_hook_stubs\n"
    "fm_hook_stubs:\n"
    "	.set	i, 0\n"
    "	.rept	256\n"
    "	stp	x29, x30, [sp, #-288]!\n"
    "	mov	x29, sp\n"
    "	stp	x0, x1, [sp, #16]\n"
    "	mov	x0, #i\n"
    "	bl	fm_hook_save_rest\n"
    "	ldp	x0, x1, [sp, #16]\n"
    "	ldp	x29, x30, [sp], #288\n"
    "	b	.\n" /* replaced by a branch back */
    "	.set	i, i + 1\n"
    "	.endr\n"
    "	.popsection\n");

extern u32 fm_hook_stubs[];
void fm_hook_store(unsigned long index, struct frame *frame);

/* The instructions that were replaced, by stub */
static u32 replaced[MAX_SITES];
static unsigned int num_sites;
static int (*patch_text)(void *addr, u32 insn);

/* ---- at run time ---- */

static u64 operand(const struct frame *frame, unsigned int reg)
{
	return reg == 29 ? frame->x29 : reg == 30 ? frame->x30 : frame->x[reg];
}

/* Asks the MMU: page tables are the only thing that knows both of panthor's mappings and ours. */
static bool register_offset(u64 va, u32 *offset)
{
	unsigned long flags;
	u64 par;

	local_irq_save(flags);
	asm volatile("at s1e1r, %1\n isb\n mrs %0, par_el1" : "=r"(par) : "r"(va));
	local_irq_restore(flags);
	if (par & 1)
		return false;

	par = (par & GENMASK_ULL(47, 12)) | (va & ~PAGE_MASK);
	if (par < fm_dev.regs_pa || par >= fm_dev.regs_pa + fm_dev.regs_size)
		return false;
	*offset = par - fm_dev.regs_pa;
	return true;
}

__used noinline void fm_hook_store(unsigned long index, struct frame *frame)
{
	const u32 insn = replaced[index];
	const bool is_64bit = (insn & INSN_STR_MASK) == INSN_STR_X;
	const unsigned int rt = insn & 31, rn = (insn >> 5) & 31;
	const u64 imm = (u64)((insn >> 10) & 0xfff) << (is_64bit ? 3 : 2);
	/* Register 31 is the stack pointer as a base and zero as a value. */
	const u64 va = (rn == 31 ? (u64)(frame + 1) : operand(frame, rn)) + imm;
	const u64 value = rt == 31 ? 0 : operand(frame, rt);
	u32 offset;

	if (!register_offset(va, &offset)) {
		if (is_64bit)
			WRITE_ONCE(*(u64 *)va, value);
		else
			WRITE_ONCE(*(u32 *)va, value);
		return;
	}
	fm_regs_store(offset, value);
	if (is_64bit)
		fm_regs_store(offset + 4, value >> 32);
}

/* ---- when panthor is loaded ---- */

static bool branch(const u32 *from, const u32 *to, u32 *insn)
{
	const long distance = (const char *)to - (const char *)from;

	if (distance < -(long)SZ_128M || distance >= (long)SZ_128M)
		return false;
	*insn = INSN_B | ((distance >> 2) & 0x3ffffff);
	return true;
}

static bool is_store(u32 insn)
{
	return (insn & INSN_STR_MASK) == INSN_STR_W || (insn & INSN_STR_MASK) == INSN_STR_X;
}

static int hook_store(u32 *store)
{
	u32 *stub = fm_hook_stubs + num_sites * STUB_INSNS;
	u32 *last = stub + STUB_INSNS - 1;
	u32 to_stub, back;
	int err;

	if (num_sites == MAX_SITES)
		return -ENOSPC;
	if (!branch(store, stub, &to_stub) || !branch(last, store + 1, &back))
		return -ERANGE;

	replaced[num_sites] = le32_to_cpup((__le32 *)store);
	err = patch_text(last, back);
	if (!err)
		err = patch_text(store, to_stub);
	if (!err)
		num_sites++;
	return err;
}

static u32 *find_store(u32 *barrier, const u32 *end)
{
	u32 *insn;

	for (insn = barrier + 1; insn < end && insn <= barrier + MAX_DISTANCE; insn++)
		if (is_store(le32_to_cpup((__le32 *)insn)))
			return insn;
	return NULL;
}

static int hook_module(struct module *mod)
{
	u32 *text = mod->mem[MOD_TEXT].base;
	const u32 *end = text + mod->mem[MOD_TEXT].size / 4;
	u32 *insn, *store;
	int err;

	num_sites = 0;
	for (insn = text; insn < end; insn++) {
		if (le32_to_cpup((__le32 *)insn) != INSN_DMB_OSHST)
			continue;
		store = find_store(insn, end);
		if (!store) {
			pr_warn("a barrier without a store at +%#zx\n",
				(size_t)((char *)insn - (char *)text));
			continue;
		}
		err = hook_store(store);
		if (err)
			return err;
	}
	pr_info("%u stores hooked in %s\n", num_sites, mod->name);
	return num_sites ? 0 : -ENOENT;
}

static int module_notify(struct notifier_block *nb, unsigned long state, void *data)
{
	struct module *mod = data;
	int err;

	if (strcmp(mod->name, "panthor"))
		return NOTIFY_DONE;

	switch (state) {
	case MODULE_STATE_COMING:
		/* panthor's text will branch into ours. */
		__module_get(THIS_MODULE);
		err = hook_module(mod);
		if (!err)
			err = fm_faults_arm();
		if (err)
			pr_err("cannot hook %s: %d\n", mod->name, err);
		/* An error here refuses the load, and is followed by GOING. */
		return notifier_from_errno(err);
	case MODULE_STATE_GOING:
		/* Its text is about to be freed: there is nothing to restore. */
		fm_faults_disarm();
		module_put(THIS_MODULE);
		break;
	}
	return NOTIFY_OK;
}

static struct notifier_block notifier = { .notifier_call = module_notify };

unsigned int fm_hook_sites(void)
{
	return num_sites;
}

/* The address of a symbol that is not exported to modules. */
static void *symbol(const char *name)
{
	struct kprobe probe = { .symbol_name = name };
	void *addr;

	if (register_kprobe(&probe))
		return NULL;
	addr = probe.addr;
	unregister_kprobe(&probe);
	return addr;
}

int fm_hook_init(void)
{
	/* The patching function itself may not be probed, so it is asked for by name. */
	unsigned long (*lookup)(const char *name) = symbol("kallsyms_lookup_name");

	if (lookup)
		patch_text = (void *)lookup("aarch64_insn_patch_text_nosync");
	if (!patch_text)
		return -ENOENT;
	return register_module_notifier(&notifier);
}

void fm_hook_exit(void)
{
	unregister_module_notifier(&notifier);
}

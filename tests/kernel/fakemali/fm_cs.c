// SPDX-License-Identifier: GPL-2.0
/*
 * Copyright © 2026 the vmbind authors
 *
 * Executes command streams: the few instructions of which panthor's own part of a job and the tests'
 * jobs consist. Must not know where a stream came from, nor who is told when it ends.
 *
 * Memory is reached through the GPU's page tables, an access at a time, so a job shows which page a
 * bind really put at an address, and when. There is one thread of execution: an instruction is done
 * before the next one starts, so waits and barriers have nothing to do.
 */
#define pr_fmt(fmt) "fakemali: " fmt
#include <linux/bitmap.h>
#include <linux/kernel.h>
#include <linux/timekeeping.h>

#include "fakemali.h"

#define INSN_BYTES 8
#define MAX_CALL_DEPTH 4

enum op {
	OP_NOP = 0,
	OP_MOVE48 = 1,
	OP_MOVE32 = 2,
	OP_WAIT = 3,
	OP_ADD_IMM32 = 16,
	OP_ADD_IMM64 = 17,
	OP_LOAD_MULTIPLE = 20,
	OP_STORE_MULTIPLE = 21,
	OP_SET_SB_ENTRY = 23,
	OP_CALL = 32,
	OP_REQ_RESOURCE = 34,
	OP_FLUSH_CACHE = 36,
	OP_STORE_STATE = 40,
	OP_ERROR_BARRIER = 47,
	OP_SYNC_ADD64 = 51,
	OP_SYNC_SET64 = 52,
};

/* Bits 63:56 are the operation, then three register numbers of 8 bits, or an immediate from below. */
struct insn {
	u64 word;
	u8 op, dst, src0, src1;
};

static struct insn decode(u64 word)
{
	return (struct insn){
		.word = word,
		.op = word >> 56,
		.dst = word >> 48,
		.src0 = word >> 40,
		.src1 = word >> 32,
	};
}

/* A number beyond 255 wraps, as the type does. */
static u64 get64(const struct fm_cs *cs, u8 reg)
{
	return cs->regs[reg] | (u64)cs->regs[(u8)(reg + 1)] << 32;
}

static void set64(struct fm_cs *cs, u8 reg, u64 value)
{
	cs->regs[reg] = value;
	cs->regs[(u8)(reg + 1)] = value >> 32;
}

/* The memory operand; on failure the fault is reported. */
static void *access(struct fm_cs *cs, u64 va, bool write, u64 *info)
{
	void *p = fm_mmu_translate(cs->as, va, write);

	if (!p) {
		fm_mmu_fault(cs->as, va, write);
		*info = va;
	}
	return p;
}

static enum fm_cs_fatal load_store_multiple(struct fm_cs *cs, struct insn in, u64 *info)
{
	const bool write = in.op == OP_STORE_MULTIPLE;
	const unsigned long mask = (in.word >> 16) & 0xffff;
	u64 va = get64(cs, in.src0) + (s16)in.word;
	unsigned int i;
	u32 *p;

	/* Registers that are left out take no memory. */
	for_each_set_bit(i, &mask, 16) {
		u32 *reg = &cs->regs[(u8)(in.dst + i)];

		p = access(cs, va, write, info);
		if (!p)
			return FM_CS_BUS_FAULT;
		if (write)
			WRITE_ONCE(*p, *reg);
		else
			*reg = READ_ONCE(*p);
		va += sizeof(*p);
	}
	return FM_CS_OK;
}

static enum fm_cs_fatal store_state(struct fm_cs *cs, struct insn in, u64 *info)
{
	u64 *p = access(cs, get64(cs, in.src0) + (s16)in.word, true, info);

	if (!p)
		return FM_CS_BUS_FAULT;
	WRITE_ONCE(*p, ktime_get_mono_fast_ns());
	return FM_CS_OK;
}

static enum fm_cs_fatal sync64(struct fm_cs *cs, struct insn in, u64 *info)
{
	const u64 value = get64(cs, in.src1);
	u64 *p = access(cs, get64(cs, in.src0), true, info);

	if (!p)
		return FM_CS_BUS_FAULT;
	WRITE_ONCE(*p, in.op == OP_SYNC_ADD64 ? READ_ONCE(*p) + value : value);
	smp_wmb();
	fm_csf_sync_update(cs->group);
	return FM_CS_OK;
}

static enum fm_cs_fatal execute_linear(struct fm_cs *cs, u64 va, u32 bytes, unsigned int depth,
				       u64 *info);

static enum fm_cs_fatal unknown(const struct fm_cs *cs, struct insn in, u64 *info)
{
	if (fm_fault_skips_unknown()) {
		fm_stats[FM_STAT_SKIPPED_INSTRUCTIONS]++;
		return FM_CS_OK;
	}
	pr_warn("group %u stream %u: unknown instruction %016llx\n", cs->group, cs->stream, in.word);
	*info = in.word;
	return FM_CS_INVALID_INSTRUCTION;
}

static enum fm_cs_fatal execute(struct fm_cs *cs, u64 word, unsigned int depth, u64 *info)
{
	const struct insn in = decode(word);

	switch (in.op) {
	case OP_NOP:
	case OP_WAIT:
	case OP_SET_SB_ENTRY:
	case OP_REQ_RESOURCE:
	case OP_FLUSH_CACHE:
	case OP_ERROR_BARRIER:
		return FM_CS_OK;
	case OP_MOVE48:
		set64(cs, in.dst, word & GENMASK_ULL(47, 0));
		return FM_CS_OK;
	case OP_MOVE32:
		cs->regs[in.dst] = word;
		return FM_CS_OK;
	case OP_ADD_IMM32:
		cs->regs[in.dst] = cs->regs[in.src0] + (u32)word;
		return FM_CS_OK;
	case OP_ADD_IMM64:
		set64(cs, in.dst, get64(cs, in.src0) + (s32)word);
		return FM_CS_OK;
	case OP_LOAD_MULTIPLE:
	case OP_STORE_MULTIPLE:
		return load_store_multiple(cs, in, info);
	case OP_CALL:
		return execute_linear(cs, get64(cs, in.src0), cs->regs[in.src1], depth + 1, info);
	case OP_STORE_STATE:
		return store_state(cs, in, info);
	case OP_SYNC_ADD64:
	case OP_SYNC_SET64:
		return sync64(cs, in, info);
	default:
		return unknown(cs, in, info);
	}
}

static enum fm_cs_fatal fetch_and_execute(struct fm_cs *cs, u64 va, unsigned int depth, u64 *info)
{
	const u64 *p = access(cs, va, false, info);

	if (!p)
		return FM_CS_FETCH_FAULT;
	fm_stats[FM_STAT_INSTRUCTIONS]++;
	return execute(cs, READ_ONCE(*p), depth, info);
}

static enum fm_cs_fatal execute_linear(struct fm_cs *cs, u64 va, u32 bytes, unsigned int depth,
				       u64 *info)
{
	enum fm_cs_fatal fatal = FM_CS_OK;
	u32 i;

	if (depth > MAX_CALL_DEPTH) {
		*info = va;
		return FM_CS_UNRECOVERABLE;
	}
	for (i = 0; i < bytes && !fatal; i += INSN_BYTES)
		fatal = fetch_and_execute(cs, va + i, depth, info);
	return fatal;
}

enum fm_cs_fatal fm_cs_execute_ring(struct fm_cs *cs, u64 base, u32 size, u64 from, u64 to, u64 *info)
{
	enum fm_cs_fatal fatal = FM_CS_OK;
	u64 i;

	for (i = from; i < to && !fatal; i += INSN_BYTES)
		fatal = fetch_and_execute(cs, base + (i & (size - 1)), 0, info);
	return fatal;
}

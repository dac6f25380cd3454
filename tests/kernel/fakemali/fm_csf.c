// SPDX-License-Identifier: GPL-2.0
/*
 * Copyright © 2026 the vmbind authors
 *
 * Plays the GPU's firmware: answers the requests that panthor leaves in the shared memory of the
 * global, group and stream interfaces, and starts streams. Must not know what an instruction does, nor
 * what is behind a register.
 *
 * A request is a bit that differs between an input page's "req" and the output page's "ack"; it is
 * answered by making them equal. An event of the firmware's own works the other way round: it makes
 * its ack bit differ from the req bit. The pages are reached like the firmware reaches them: through
 * the MCU's address space, whose tables panthor built.
 */
#define pr_fmt(fmt) "fakemali: " fmt
#include <linux/bitmap.h>
#include <linux/kernel.h>
#include <linux/string.h>

#include "fakemali.h"
#include "fm_layout.h"

/* Words at the start of an interface's input and output page */
#define REQ		0
#define ACK		0
#define ACK_IRQ_MASK	4
#define DB_REQ		8
#define DB_ACK		8

#define GLB_HALT	BIT(0)
#define GLB_COMMANDS	GENMASK(10, 1)
#define GLB_IRQ		BIT(31)

#define CSG_STATE	GENMASK(2, 0)
#define  CSG_START	1
#define  CSG_RESUME	3
#define CSG_EP_CFG	BIT(4)
#define CSG_STATUS	BIT(5)
#define CSG_SYNC_UPDATE	BIT(28)
#define CSG_CONFIG	80
#define  CSG_CONFIG_AS	GENMASK(3, 0)
#define CSG_OUT_CS_IRQ	12
#define CSG_OUT_STATE	24
#define  CSG_STATE_IDLE	BIT(0)

#define CS_STATE	GENMASK(2, 0)
#define  CS_START	1
/* Tiler out of memory, protected mode, fatal, fault: the firmware's to flip */
#define CS_EVENTS	0xcc000000
#define  CS_FATAL	BIT(30)
#define CS_CONFIG	4
#define CS_RING_BASE	16
#define CS_RING_SIZE	24
#define CS_RING_IN	48
#define CS_RING_OUT	56
#define CS_OUT_FATAL	132
#define CS_OUT_FATAL_INFO 144

static u32 cs_regs[FM_GROUPS][FM_STREAMS][FM_CS_REGS];

/* ---- shared memory ---- */

static u32 get32(u64 va)
{
	const u32 *p = fm_mmu_translate(FM_AS_MCU, va, false);

	return p ? READ_ONCE(*p) : 0;
}

static u64 get64(u64 va)
{
	return get32(va) | (u64)get32(va + 4) << 32;
}

static void set32(u64 va, u32 value)
{
	u32 *p = fm_mmu_translate(FM_AS_MCU, va, false);

	if (p)
		WRITE_ONCE(*p, value);
}

static void set64(u64 va, u64 value)
{
	set32(va, value);
	set32(va + 4, value >> 32);
}

/* Makes an event of ours visible: ack differs from req. */
static void flip_event(u64 in, u64 out, u32 bit)
{
	const u32 req = get32(in + REQ), ack = get32(out + ACK);

	set32(out + ACK, (ack & ~bit) | (~req & bit));
}

void fm_csf_sync_update(unsigned int group)
{
	flip_event(FM_CSG_IN(group), FM_CSG_OUT(group), CSG_SYNC_UPDATE);
	fm_raise(FM_IRQ_JOB, BIT(group));
}

/* ---- streams ---- */

static void report_fatal(const struct fm_cs *cs, enum fm_cs_fatal code, u64 info)
{
	const u64 out = FM_CS_OUT(cs->group, cs->stream);
	const u64 group_irq = FM_CSG_OUT(cs->group) + CSG_OUT_CS_IRQ;

	fm_stats[FM_STAT_STREAM_FAULTS]++;
	set32(out + CS_OUT_FATAL, code);
	set64(out + CS_OUT_FATAL_INFO, info);
	flip_event(FM_CS_IN(cs->group, cs->stream), out, CS_FATAL);
	set32(group_irq, get32(group_irq) ^ BIT(cs->stream));
	fm_raise(FM_IRQ_JOB, BIT(cs->group));
}

static bool group_is_running(unsigned int group)
{
	const u32 state = get32(FM_CSG_OUT(group) + ACK) & CSG_STATE;

	return state == CSG_START || state == CSG_RESUME;
}

static bool stream_is_running(unsigned int group, unsigned int stream)
{
	return (get32(FM_CS_OUT(group, stream) + ACK) & CS_STATE) == CS_START;
}

static void run_stream(unsigned int group, unsigned int stream)
{
	const u64 in = FM_CS_IN(group, stream);
	struct fm_cs cs = {
		.group = group,
		.stream = stream,
		.as = get32(FM_CSG_IN(group) + CSG_CONFIG) & CSG_CONFIG_AS,
		.regs = cs_regs[group][stream],
	};
	u64 ring_in, ring_out, insert, extract, info = 0;
	enum fm_cs_fatal fatal;
	u32 size;

	if (!group_is_running(group) || !stream_is_running(group, stream))
		return;
	size = get32(in + CS_RING_SIZE);
	ring_in = get64(in + CS_RING_IN);
	ring_out = get64(in + CS_RING_OUT);
	insert = get64(ring_in);
	extract = get64(ring_out);
	if (!size || extract >= insert || fm_fault_jobs_are_held())
		return;

	fm_stats[FM_STAT_JOBS]++;
	fm_latest_as = cs.as;
	fatal = fm_cs_execute_ring(&cs, get64(in + CS_RING_BASE), size, extract, insert, &info);
	/* A stream that faulted is not resumed: what is left in its ring is gone. */
	set64(ring_out, insert);
	if (fatal)
		report_fatal(&cs, fatal, info);
}

static void answer_stream(unsigned int group, unsigned int stream)
{
	const u32 req = get32(FM_CS_IN(group, stream) + REQ);
	const u64 ack = FM_CS_OUT(group, stream) + ACK;

	set32(ack, (get32(ack) & CS_EVENTS) | (req & ~CS_EVENTS));
	run_stream(group, stream);
}

/* ---- groups ---- */

static void answer_group(unsigned int group)
{
	const u64 in = FM_CSG_IN(group), out = FM_CSG_OUT(group);
	const u32 answered = CSG_STATE | CSG_EP_CFG | CSG_STATUS;
	const u32 req = get32(in + REQ), ack = get32(out + ACK);
	const u32 new_ack = (ack & ~answered) | (req & answered);
	unsigned long rung = get32(in + DB_REQ) ^ get32(out + DB_ACK);
	unsigned int stream;

	if (new_ack != ack) {
		set32(out + ACK, new_ack);
		fm_raise(FM_IRQ_JOB, BIT(group));
	}
	/* A group that has just started looks at all of its streams. */
	if ((req & CSG_STATE) == CSG_START && (ack & CSG_STATE) != CSG_START)
		rung = GENMASK(FM_STREAMS - 1, 0);
	/* All work is done at once, so whoever looks finds the group idle. */
	set32(out + CSG_OUT_STATE, CSG_STATE_IDLE);
	for_each_set_bit(stream, &rung, FM_STREAMS)
		answer_stream(group, stream);
	set32(out + DB_ACK, get32(in + DB_REQ));
}

/* ---- the whole ---- */

static void answer_global(void)
{
	const u32 req = get32(FM_GLB_IN + REQ), ack = get32(FM_GLB_OUT + ACK);
	const u32 new_ack = (ack & ~GLB_COMMANDS) | (req & GLB_COMMANDS);
	unsigned long rung;
	unsigned int group;

	fm_stats[FM_STAT_GLOBAL_REQUESTS]++;
	set32(FM_GLB_OUT + ACK, new_ack);
	if ((new_ack ^ ack) & get32(FM_GLB_IN + ACK_IRQ_MASK))
		fm_raise(FM_IRQ_JOB, GLB_IRQ);
	if (req & GLB_HALT)
		fm_mcu_halt();

	rung = get32(FM_GLB_IN + DB_REQ) ^ get32(FM_GLB_OUT + DB_ACK);
	for_each_set_bit(group, &rung, FM_GROUPS)
		answer_group(group);
	set32(FM_GLB_OUT + DB_ACK, get32(FM_GLB_IN + DB_REQ));
}

static unsigned int doorbell_of(unsigned int group, unsigned int stream)
{
	return (get32(FM_CS_IN(group, stream) + CS_CONFIG) >> 8) & 0xff;
}

void fm_csf_doorbell(unsigned int id)
{
	unsigned int group, stream;

	if (id == 0) {
		answer_global();
		return;
	}
	for (group = 0; group < FM_GROUPS; group++)
		for (stream = 0; stream < FM_STREAMS; stream++)
			if (doorbell_of(group, stream) == id)
				run_stream(group, stream);
}

void fm_csf_run_all(void)
{
	unsigned int group, stream;

	for (group = 0; group < FM_GROUPS; group++)
		for (stream = 0; stream < FM_STREAMS; stream++)
			run_stream(group, stream);
}

void fm_csf_boot(void)
{
	memset(cs_regs, 0, sizeof(cs_regs));
}

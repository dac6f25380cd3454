// SPDX-License-Identifier: GPL-2.0
/*
 * Copyright © 2026 the vmbind authors
 *
 * The GPU's MMU: address-space registers and commands, the walk of the page tables that panthor
 * built, and translation faults. Must not know who asks for a translation, nor how panthor keeps its
 * own books: what it finds comes from the tables alone. That makes it an oracle for them.
 *
 * The tables are AArch64 stage 1 with 4 KiB granules. Nothing is cached, so commands have no effect
 * but to complete; a mapping is what the tables say at the time of an access. (A driver that forgets
 * a TLB flush is not found out here.)
 */
#define pr_fmt(fmt) "fakemali: " fmt
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/seq_file.h>

#include "fakemali.h"

static uint va_bits = 48;
module_param(va_bits, uint, 0444);
MODULE_PARM_DESC(va_bits, "bits of a GPU virtual address");
#define PA_BITS 40

#define AS_BASE		0x2400
#define AS_STRIDE	64
#define  AS_TRANSTAB	0x00
#define  AS_COMMAND	0x18
#define   AS_COMMAND_LOCK 2
#define  AS_FAULTSTATUS	0x1c
#define   FAULT_TRANSLATION_LEVEL3 0xc3
#define   FAULT_READ	(2 << 8)
#define   FAULT_WRITE	(3 << 8)
#define  AS_FAULTADDRESS 0x20
#define  AS_STATUS	0x28
#define   AS_STATUS_ACTIVE BIT(0)

#define GPU_PTE_VALID		BIT(0)
/* On levels 0 to 2: a table; on level 3: a page. Clear on levels 1 and 2: a block. */
#define GPU_PTE_TABLE		BIT(1)
#define GPU_PTE_READONLY	BIT(7)
#define GPU_PTE_ADDR		GENMASK_ULL(47, 12)
#define LEVEL_LAST	3
#define ENTRIES		512

static u32 as_reg(unsigned int as, u32 reg)
{
	return AS_BASE + as * AS_STRIDE + reg;
}

static unsigned int level_shift(int level)
{
	return PAGE_SHIFT + 9 * (LEVEL_LAST - level);
}

static int first_level(void)
{
	return LEVEL_LAST + 1 - DIV_ROUND_UP(va_bits - PAGE_SHIFT, 9);
}

static u64 root_table(unsigned int as)
{
	return fm_reg64(as_reg(as, AS_TRANSTAB)) & GPU_PTE_ADDR;
}

static bool is_leaf(u64 pte, int level)
{
	return level == LEVEL_LAST || !(pte & GPU_PTE_TABLE);
}

/* The entry for this address and its level; 0 if there is none. */
static u64 find_leaf(u64 table, u64 va, int *level)
{
	u64 pte;

	if (!table || va >> va_bits)
		return 0;
	for (*level = first_level(); *level <= LEVEL_LAST; ++*level) {
		if (!pfn_valid(table >> PAGE_SHIFT))
			return 0;
		pte = READ_ONCE(((u64 *)phys_to_virt(table))[(va >> level_shift(*level)) %
							      ENTRIES]);
		if (!(pte & GPU_PTE_VALID))
			return 0;
		if (is_leaf(pte, *level))
			return *level < LEVEL_LAST || pte & GPU_PTE_TABLE ? pte : 0;
		table = pte & GPU_PTE_ADDR;
	}
	return 0;
}

void *fm_mmu_translate(unsigned int as, u64 va, bool write)
{
	u64 pte, pa;
	int level;

	if (as >= FM_AS_COUNT)
		return NULL;
	pte = find_leaf(root_table(as), va, &level);
	if (!pte || (write && (pte & GPU_PTE_READONLY)))
		return NULL;

	pa = (pte & GENMASK_ULL(47, level_shift(level))) | (va & (BIT_ULL(level_shift(level)) - 1));
	return pfn_valid(pa >> PAGE_SHIFT) ? phys_to_virt(pa) : NULL;
}

void fm_mmu_fault(unsigned int as, u64 va, bool write)
{
	fm_set_reg(as_reg(as, AS_FAULTSTATUS),
		   FAULT_TRANSLATION_LEVEL3 | (write ? FAULT_WRITE : FAULT_READ));
	fm_set_reg(as_reg(as, AS_FAULTADDRESS), va);
	fm_set_reg(as_reg(as, AS_FAULTADDRESS) + 4, va >> 32);
	fm_raise(FM_IRQ_MMU, BIT(as));
}

bool fm_mmu_owns(u32 offset)
{
	return offset >= AS_BASE && offset < AS_BASE + FM_AS_COUNT * AS_STRIDE;
}

void fm_mmu_store(u32 offset, u32 value)
{
	const unsigned int as = (offset - AS_BASE) / AS_STRIDE;

	if (offset == as_reg(as, AS_COMMAND)) {
		fm_stats[FM_STAT_AS_COMMANDS]++;
		/* The firmware's space is spared: without it the GPU does not come back. */
		if (as != FM_AS_MCU && value == AS_COMMAND_LOCK && fm_fault_lock_hangs())
			fm_set_reg(as_reg(as, AS_STATUS), AS_STATUS_ACTIVE);
	}
	fm_set_reg(offset, value);
}

void fm_mmu_reset(void)
{
	u32 i;

	for (i = 0; i < FM_AS_COUNT * AS_STRIDE; i += 4)
		fm_set_reg(AS_BASE + i, 0);
}

u32 fm_mmu_features(void)
{
	return PA_BITS << 8 | va_bits;
}

/* ---- for the tests ---- */

static ulong pt_from;
module_param(pt_from, ulong, 0644);
MODULE_PARM_DESC(pt_from, "debugfs \"pt\" starts at this GPU address");

static ulong pt_to = ULONG_MAX;
module_param(pt_to, ulong, 0644);
MODULE_PARM_DESC(pt_to, "debugfs \"pt\" ends before this GPU address");

/* Whose page it is and the offset there, found out from the page alone. */
static void print_owner(struct seq_file *m, u64 pa)
{
	struct page *page = pfn_to_page(pa >> PAGE_SHIFT);
	struct folio *folio = page_folio(page);
	const u64 index = folio->index + folio_page_idx(folio, page);

	seq_printf(m, " mapping %lx offset %llx", (unsigned long)READ_ONCE(folio->mapping),
		   index << PAGE_SHIFT);
}

static void dump_leaf(struct seq_file *m, unsigned int as, u64 va, u64 pte, int level)
{
	const u64 size = BIT_ULL(level_shift(level));
	const u64 pa = pte & GENMASK_ULL(47, level_shift(level));
	u64 i;

	/* A line for each 4 KiB page, with the first word that the GPU would read there. */
	for (i = 0; i < size; i += PAGE_SIZE) {
		const bool is_ram = pfn_valid((pa + i) >> PAGE_SHIFT);
		const u64 word = is_ram ? READ_ONCE(*(u64 *)phys_to_virt(pa + i)) : ~0ULL;

		if (va + i < pt_from || va + i >= pt_to)
			continue;
		seq_printf(m, "as %u va %llx pa %llx block %llx pte %llx word %llx", as, va + i, pa + i,
			   size, pte, word);
		if (is_ram)
			print_owner(m, pa + i);
		seq_putc(m, '\n');
	}
}

static void dump_table(struct seq_file *m, unsigned int as, u64 table, int level, u64 va)
{
	unsigned int i;

	if (!pfn_valid(table >> PAGE_SHIFT))
		return;
	for (i = 0; i < ENTRIES; i++) {
		const u64 pte = READ_ONCE(((u64 *)phys_to_virt(table))[i]);
		const u64 here = va | (u64)i << level_shift(level);

		if (!(pte & GPU_PTE_VALID))
			continue;
		if (is_leaf(pte, level))
			dump_leaf(m, as, here, pte, level);
		else
			dump_table(m, as, pte & GPU_PTE_ADDR, level + 1, here);
	}
}

void fm_mmu_dump(struct seq_file *m)
{
	unsigned int as;

	for (as = 0; as < FM_AS_COUNT; as++)
		if (root_table(as))
			dump_table(m, as, root_table(as), first_level(), 0);
}

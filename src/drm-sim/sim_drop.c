/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Dropping stores; see the header. Must know nothing of any driver.
 *
 * Stores that do nothing else are not executed at all: the program goes on behind them, which takes
 * one signal. Of string stores, which would trap at every element, the registers are moved on. For all
 * others (atomics, scatters, stores that reach into memory) a page that can be written takes the place
 * of the page of zeros for as long as it takes the CPU to execute one instruction, by its trap flag.
 *
 *      fault at the store ........ scratch page in, trap flag on
 *      the store again ........... into the scratch page
 *      trap ...................... scratch page out, trap flag off
 */

#include "sim_drop.h"

#ifdef __x86_64__

#include <string.h>
#include <ucontext.h>

#include "util/macros.h"

#include "sim_mmu.h"
#include "sim_pt.h"
#include "sim_segv.h"
#include "sim_signal.h"
#include "sim_vm.h"

#define PAGE_B    4096ull
#define TRAP_FLAG 0x100

/* A scatter stores to as many pages as it has elements, each of which may lie across two. */
#define MAX_PAGES 32

/* The pages that this thread has open for one instruction */
static __thread struct {
   uint64_t pages[MAX_PAGES];
   unsigned count;
   /* SIGTRAP was blocked: many drivers' threads block what they can. */
   bool blocked;
} open_pages;

static struct sim_signal trap = SIM_SIGNAL_INIT(SIGTRAP);

static bool
is_open(uint64_t page)
{
   for (unsigned i = 0; i < open_pages.count; i++) {
      if (open_pages.pages[i] == page)
         return true;
   }
   return false;
}

/* ----------------------------------------------------------- string stores */

/* REP STOS or REP MOVS: the bytes of an element, or 0. */
static unsigned
string_store_width(const uint8_t *code, bool *moves)
{
   bool wide = false;

   if (*code == 0x66)
      return 0;
   if (*code++ != 0xf3)
      return 0;
   if ((*code & 0xf8) == 0x48) {
      wide = true;
      code++;
   }

   *moves = (*code & 0xfe) == 0xa4;
   if (!*moves && (*code & 0xfe) != 0xaa)
      return 0;
   return !(*code & 1) ? 1 : wide ? 8 : 4;
}

/* As if the elements up to the end of the page had been stored. */
static bool
skip_string_store(uint64_t va, greg_t *regs)
{
   bool moves;
   const unsigned width = string_store_width((const uint8_t *)(uintptr_t)regs[REG_RIP], &moves);
   const bool backwards = regs[REG_EFL] & 0x400;
   const uint64_t to = regs[REG_RDI];

   /* An element that lies across two pages is for the trap flag. */
   if (!width || backwards || to / PAGE_B != va / PAGE_B || (to + width - 1) / PAGE_B != to / PAGE_B)
      return false;

   const uint64_t left = (PAGE_B - to % PAGE_B) / width;
   const uint64_t count = MIN2((uint64_t)regs[REG_RCX], left);

   regs[REG_RCX] -= count;
   regs[REG_RDI] += count * width;
   if (moves)
      regs[REG_RSI] += count * width;
   return true;
}

/* ------------------------------------------------------------ plain stores */

/* An instruction up to where its operands begin */
struct insn {
   const uint8_t *next;
   /* 0: none, 1: 66, 2: F3, 3: F2, as VEX has them */
   unsigned prefix;
   unsigned rex;
   bool vex;
   bool wide_vector;
   /* 0: one byte, 1: 0F, 2: 0F 38, 3: 0F 3A */
   unsigned map;
   uint8_t opcode;
};

#define REX_W 8
#define REX_X 2
#define REX_B 1

static bool
read_vex(struct insn *insn)
{
   const bool three = *insn->next++ == 0xc4;
   unsigned last;

   insn->vex = true;
   insn->map = 1;
   if (three) {
      insn->rex = (~*insn->next >> 5) & 7;
      insn->map = *insn->next++ & 31;
   }
   last = *insn->next++;
   if (three && (last & 0x80))
      insn->rex |= REX_W;
   insn->wide_vector = last & 4;
   insn->prefix = last & 3;
   insn->opcode = *insn->next++;
   return insn->map >= 1 && insn->map <= 3;
}

static unsigned
prefix_of(uint8_t byte)
{
   return byte == 0x66 ? 1 : byte == 0xf3 ? 2 : byte == 0xf2 ? 3 : 0;
}

/* Segments, locks and what else is rare come out as opcodes that are no stores. */
static bool
read_opcode(const uint8_t *code, struct insn *insn)
{
   *insn = (struct insn){.next = code};

   insn->prefix = prefix_of(*insn->next);
   if (insn->prefix)
      insn->next++;
   if (!insn->prefix && (*insn->next == 0xc4 || *insn->next == 0xc5))
      return read_vex(insn);

   if ((*insn->next & 0xf0) == 0x40)
      insn->rex = *insn->next++ & 15;
   if (*insn->next == 0x0f) {
      insn->map = 1;
      insn->next++;
      if (*insn->next == 0x38 || *insn->next == 0x3a)
         insn->map = *insn->next++ == 0x38 ? 2 : 3;
   }
   insn->opcode = *insn->next++;
   return true;
}

/* What it stores, in bytes, and the bytes of its immediate operand; 0 if it is no plain store. */
static unsigned
store_size(const struct insn *insn, unsigned *immediate_B)
{
   const unsigned integer_B = insn->rex & REX_W ? 8 : insn->prefix == 1 ? 2 : 4;
   const unsigned word_B = insn->rex & REX_W ? 8 : 4;
   const unsigned vector_B = insn->wide_vector ? 32 : 16;
   const bool is_move_immediate = (*insn->next & 0x38) == 0;

   *immediate_B = insn->map == 3;
   switch (insn->map << 8 | insn->opcode) {
   case 0x088: /* MOV */
      return 1;
   case 0x089:
      return integer_B;
   case 0x0c6:
      *immediate_B = 1;
      return is_move_immediate ? 1 : 0;
   case 0x0c7:
      *immediate_B = MIN2(integer_B, 4);
      return is_move_immediate ? integer_B : 0;
   case 0x111: /* MOVUPS, MOVUPD, MOVSS, MOVSD */
      return insn->prefix == 2 ? 4 : insn->prefix == 3 ? 8 : vector_B;
   case 0x129: /* MOVAPS, MOVAPD */
   case 0x12b: /* MOVNTPS, MOVNTPD */
      return insn->prefix <= 1 ? vector_B : 0;
   case 0x17f: /* MOVDQA, MOVDQU */
      return insn->prefix == 1 || insn->prefix == 2 ? vector_B : 0;
   case 0x1e7: /* MOVNTDQ */
      return insn->prefix == 1 ? vector_B : 0;
   case 0x113: /* MOVLPS, MOVLPD */
   case 0x117: /* MOVHPS, MOVHPD */
      return insn->prefix <= 1 ? 8 : 0;
   case 0x17e: /* MOVD, MOVQ */
      return insn->prefix == 1 ? word_B : 0;
   case 0x1d6: /* MOVQ */
      return insn->prefix == 1 ? 8 : 0;
   case 0x1c3: /* MOVNTI */
      return insn->prefix == 0 ? word_B : 0;
   case 0x314: /* PEXTRB, PEXTRW, PEXTRD and PEXTRQ, EXTRACTPS */
      return insn->prefix == 1 ? 1 : 0;
   case 0x315:
      return insn->prefix == 1 ? 2 : 0;
   case 0x316:
      return insn->prefix == 1 ? word_B : 0;
   case 0x317:
      return insn->prefix == 1 ? 4 : 0;
   case 0x319: /* VEXTRACTF128 */
   case 0x339: /* VEXTRACTI128 */
      return insn->prefix == 1 && insn->vex ? 16 : 0;
   default:
      return 0;
   }
}

static uint64_t
reg(const greg_t *regs, unsigned number)
{
   static const int names[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                 REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                 REG_R12, REG_R13, REG_R14, REG_R15};
   return regs[names[number]];
}

static int32_t
read_displacement(struct insn *insn, unsigned size_B)
{
   int32_t value = 0;

   if (size_B == 1)
      value = (int8_t)*insn->next;
   else if (size_B == 4)
      memcpy(&value, insn->next, 4);
   insn->next += size_B;
   return value;
}

/* The address of the operand in memory; 0 if that is a register. Then insn->next is behind it. */
static uint64_t
read_operand(struct insn *insn, const greg_t *regs, unsigned immediate_B)
{
   const unsigned mod = *insn->next >> 6, rm = *insn->next & 7;
   unsigned displacement_B = mod == 1 ? 1 : mod == 2 ? 4 : 0;
   uint64_t address = 0;

   insn->next++;
   if (mod == 3)
      return 0;

   if (rm == 4) {
      const unsigned sib = *insn->next++;
      const unsigned index = (sib >> 3 & 7) | (insn->rex & REX_X ? 8 : 0);
      if (index != 4)
         address = reg(regs, index) << (sib >> 6);
      if ((sib & 7) == 5 && mod == 0)
         displacement_B = 4;
      else
         address += reg(regs, (sib & 7) | (insn->rex & REX_B ? 8 : 0));
   } else if (rm == 5 && mod == 0) {
      address = (uintptr_t)insn->next + 4 + immediate_B;
      displacement_B = 4;
   } else {
      address = reg(regs, rm | (insn->rex & REX_B ? 8 : 0));
   }

   return address + read_displacement(insn, displacement_B);
}

/* As if it had been executed; not if it stores to more than the page in question. */
static bool
skip_plain_store(uint64_t va, greg_t *regs)
{
   struct insn insn;
   unsigned immediate_B;

   if (!read_opcode((const uint8_t *)(uintptr_t)regs[REG_RIP], &insn))
      return false;

   const unsigned size_B = store_size(&insn, &immediate_B);
   if (!size_B)
      return false;

   const uint64_t to = read_operand(&insn, regs, immediate_B);
   if (to / PAGE_B != va / PAGE_B || (to + size_B - 1) / PAGE_B != va / PAGE_B)
      return false;

   regs[REG_RIP] = (uintptr_t)insn.next + immediate_B;
   return true;
}

/* -------------------------------------------------------------- all others */

bool
sim_drop_store(uint64_t va, void *context)
{
   greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
   const uint64_t page = va & ~(PAGE_B - 1);

   if (skip_string_store(va, regs) || skip_plain_store(va, regs))
      return true;

   /* Another thread may have closed the page that this one has open: it opens it again. */
   if (!is_open(page)) {
      if (open_pages.count == MAX_PAGES)
         return false;
      open_pages.pages[open_pages.count++] = page;
   }
   if (sim_mmu_map_scratch(page, PAGE_B))
      return false;

   /* A trap that is blocked ends the program. */
   sigset_t *mask = &((ucontext_t *)context)->uc_sigmask;
   if (sigismember(mask, SIGTRAP)) {
      open_pages.blocked = true;
      sigdelset(mask, SIGTRAP);
   }

   regs[REG_EFL] |= TRAP_FLAG;
   return true;
}

/* What has been bound or unbound there meanwhile stays, also if the whole VM is gone. */
static void
close_page(uint64_t page)
{
   struct sim_pte pte;
   struct sim_vm *vm = sim_segv_lock_vm(page);

   if (!vm)
      return;
   if (sim_pt_lookup(&vm->pt, page, &pte) && !pte.bo)
      sim_mmu_map(page, PAGE_B, NULL, 0, true);
   sim_segv_unlock_vm(vm);
}

static void
close_pages(void)
{
   for (unsigned i = 0; i < open_pages.count; i++)
      close_page(open_pages.pages[i]);
   open_pages.count = 0;
}

static void
handler(UNUSED int signum, siginfo_t *info, void *context)
{
   if (!open_pages.count) {
      sim_signal_chain(&trap, info, context);
      return;
   }

   ucontext_t *uc = context;

   close_pages();
   uc->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
   if (open_pages.blocked)
      sigaddset(&uc->uc_sigmask, SIGTRAP);
   open_pages.blocked = false;
}

void
sim_drop_install(void)
{
   sim_signal_take(&trap, handler, SA_ONSTACK);
}

int
sim_drop_sigaction(const struct sigaction *act, struct sigaction *old)
{
   return sim_signal_sigaction(&trap, act, old);
}

#else

#include "util/macros.h"

#include "sim_libc.h"

void
sim_drop_install(void)
{
}

bool
sim_drop_store(UNUSED uint64_t va, UNUSED void *context)
{
   return false;
}

int
sim_drop_sigaction(const struct sigaction *act, struct sigaction *old)
{
   return sim_libc()->sigaction(SIGTRAP, act, old);
}

#endif

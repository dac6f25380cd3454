/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Copyright © 2026 the vmbind authors
 *
 * Where the firmware's interface lies in the MCU's address space: the one thing that the firmware
 * image (mkfw.c) and the model that plays the firmware (fm_csf.c) must agree on. Only numbers; must
 * compile in the kernel and in a program.
 *
 * The image has one section, shared with the CPU:
 *
 *   +0x00000  control blocks: static tables that panthor parses at boot
 *             global, then from +0x1000 one page a group with its streams' blocks
 *   +0x10000  global input page, +0x11000 global output page
 *   +0x12000  one page a group: input, and from +0x800 output
 *   +0x20000  0x200 bytes a stream: input, and from +0x100 output
 */
#ifndef FM_LAYOUT_H
#define FM_LAYOUT_H

#define FM_GROUPS  8
#define FM_STREAMS 8

#define FM_SHARED_VA   0x04000000u
#define FM_SHARED_SIZE 0x30000u

#define FM_GLB_CONTROL	       0x0u
#define FM_CSG_CONTROL_STRIDE  0x1000u
#define FM_CSG_CONTROL(group)  (0x1000u + (group) * FM_CSG_CONTROL_STRIDE)
#define FM_CS_CONTROL_STRIDE   0x10u
#define FM_CS_CONTROL(group, stream) \
	(FM_CSG_CONTROL(group) + 0x40u + (stream) * FM_CS_CONTROL_STRIDE)
/* The image carries data up to here; the rest of the section starts as zeros. */
#define FM_CONTROL_SIZE	       0x10000u

#define FM_GLB_IN	 (FM_SHARED_VA + 0x10000u)
#define FM_GLB_OUT	 (FM_SHARED_VA + 0x11000u)
#define FM_CSG_IN(group) (FM_SHARED_VA + 0x12000u + (group) * 0x1000u)
#define FM_CSG_OUT(group) (FM_CSG_IN(group) + 0x800u)
#define FM_CS_IN(group, stream) \
	(FM_SHARED_VA + 0x20000u + ((group) * FM_STREAMS + (stream)) * 0x200u)
#define FM_CS_OUT(group, stream) (FM_CS_IN(group, stream) + 0x100u)

#endif /* FM_LAYOUT_H */

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The command line.  It must never know what the options do.
 */

#ifndef VT_OPTIONS_H
#define VT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct vt_options {
   uint32_t frames;
   uint32_t width_px, height_px;
   uint32_t texture_px;
   uint32_t pool_mib;
   const char *directory;   /* NULL: no pictures */
   const char *digest_path; /* NULL: none */
   const char *raw_path;    /* NULL: none */
   const char *device;      /* NULL: the first that will do */
   bool strict;             /* non-resident reads must be 0 */
   bool list;
};

/* Ends the process on --help and on what it does not understand. */
void vt_options_parse(struct vt_options *options, int argc, char **argv);

#endif /* VT_OPTIONS_H */

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See vt_options.h.
 */

#include "vt_options.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "vt_pages.h"
#include "vt_util.h"

#define MAX_TEXTURE_PX 32768

enum {
   OPTION_FRAMES = 1,
   OPTION_SIZE,
   OPTION_TEXTURE_SIZE,
   OPTION_POOL_MIB,
   OPTION_OUT,
   OPTION_NO_PICTURES,
   OPTION_FRAMES_HASH,
   OPTION_FRAMES_RAW,
   OPTION_SHORT,
   OPTION_STRICT,
   OPTION_DEVICE,
   OPTION_LIST,
   OPTION_HELP,
};

static const struct option long_options[] = {
   {"frames", required_argument, NULL, OPTION_FRAMES},
   {"size", required_argument, NULL, OPTION_SIZE},
   {"texture-size", required_argument, NULL, OPTION_TEXTURE_SIZE},
   {"pool-mib", required_argument, NULL, OPTION_POOL_MIB},
   {"out", required_argument, NULL, OPTION_OUT},
   {"no-pictures", no_argument, NULL, OPTION_NO_PICTURES},
   {"frames-hash", required_argument, NULL, OPTION_FRAMES_HASH},
   {"frames-raw", required_argument, NULL, OPTION_FRAMES_RAW},
   {"short", no_argument, NULL, OPTION_SHORT},
   {"strict", no_argument, NULL, OPTION_STRICT},
   {"device", required_argument, NULL, OPTION_DEVICE},
   {"list", no_argument, NULL, OPTION_LIST},
   {"help", no_argument, NULL, OPTION_HELP},
   {0},
};

static const char usage[] =
   "usage: virtual-texture [OPTION]...\n"
   "Flies over a sparse-resident texture that is larger than its memory.\n"
   "\n"
   "  --frames N         length of the flight (120)\n"
   "  --size WxH         of the picture (640x360)\n"
   "  --texture-size N   texels along one side, a power of two (16384)\n"
   "  --pool-mib N       memory for streamed pages (64)\n"
   "  --out DIR          where frames.png, flight.webp, table.txt and\n"
   "                     flight.json go (out)\n"
   "  --no-pictures      write none of these\n"
   "  --frames-hash FILE one line a frame: digests of the picture, of the\n"
   "                     pages chosen and of what the GPU read from them\n"
   "  --frames-raw FILE  all pictures as RGBA bytes\n"
   "  --short            a small flight of a few seconds, for tests: presets\n"
   "                     that later options may change\n"
   "  --strict           reads of absent pages must be 0, also where the\n"
   "                     device does not promise it\n"
   "  --device N|NAME    as listed by --list\n"
   "  --list             the devices, and what they lack\n";

static void bad_usage(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

static void
bad_usage(const char *format, ...)
{
   va_list args;

   fprintf(stderr, "virtual-texture: ");
   va_start(args, format);
   vfprintf(stderr, format, args);
   va_end(args);
   fprintf(stderr, "; see --help\n");
   exit(VT_EXIT_USAGE);
}

static uint32_t
parse_number(const char *option, const char *text, uint32_t lo, uint32_t hi)
{
   char *end;
   unsigned long value = strtoul(text, &end, 10);

   if (*text < '0' || *text > '9' || *end || value < lo || value > hi)
      bad_usage("--%s takes a number from %u to %u, not '%s'", option, lo, hi, text);
   return (uint32_t)value;
}

static void
parse_size(struct vt_options *options, const char *text)
{
   unsigned width, height;
   char rest;

   if (sscanf(text, "%ux%u%c", &width, &height, &rest) != 2 || width < 64 || height < 64 ||
       width > 4096 || height > 4096)
      bad_usage("--size takes WIDTHxHEIGHT from 64x64 to 4096x4096, not '%s'", text);
   options->width_px = width;
   options->height_px = height;
}

static void
set_short(struct vt_options *options)
{
   /* Small, but with everything in it: the pool is too small for the flight,
    * so that pages are evicted and come back.
    */
   options->frames = 24;
   options->width_px = 256;
   options->height_px = 144;
   options->texture_px = 4096;
   options->pool_mib = 2;
   options->directory = NULL;
}

void
vt_options_parse(struct vt_options *options, int argc, char **argv)
{
   int option;

   *options = (struct vt_options){
      .frames = 120,
      .width_px = 640,
      .height_px = 360,
      .texture_px = 16384,
      .pool_mib = 64,
      .directory = "out",
   };

   while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
      switch (option) {
      case OPTION_FRAMES:
         options->frames = parse_number("frames", optarg, 1, 100000);
         break;
      case OPTION_SIZE:
         parse_size(options, optarg);
         break;
      case OPTION_TEXTURE_SIZE:
         options->texture_px =
            parse_number("texture-size", optarg, 2 * VT_FIXED_LEVEL_PX, MAX_TEXTURE_PX);
         if (options->texture_px & (options->texture_px - 1))
            bad_usage("--texture-size takes a power of two, not '%s'", optarg);
         break;
      case OPTION_POOL_MIB:
         options->pool_mib = parse_number("pool-mib", optarg, 1, 4095);
         break;
      case OPTION_OUT:
         options->directory = optarg;
         break;
      case OPTION_NO_PICTURES:
         options->directory = NULL;
         break;
      case OPTION_FRAMES_HASH:
         options->digest_path = optarg;
         break;
      case OPTION_FRAMES_RAW:
         options->raw_path = optarg;
         break;
      case OPTION_SHORT:
         set_short(options);
         break;
      case OPTION_STRICT:
         options->strict = true;
         break;
      case OPTION_DEVICE:
         options->device = optarg;
         break;
      case OPTION_LIST:
         options->list = true;
         break;
      case OPTION_HELP:
         fputs(usage, stdout);
         exit(0);
      default:
         exit(VT_EXIT_USAGE);
      }
   }
   if (optind < argc)
      bad_usage("what is '%s'?", argv[optind]);
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * Writes the firmware image that panthor loads: no code, only the static tables that say where the
 * firmware's interface is.  fakemali plays the firmware itself.  Must not know what the interface's
 * requests mean.
 *
 *    header | entry: section | entry: build information | section's data | its git hash
 *
 *   mkfw FILE
 */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "fm_layout.h"

#define FW_MAGIC 0xc3f13a6eu

enum {
   ENTRY_SECTION = 0,
   ENTRY_BUILD_INFO = 6,
   /* The driver may ignore the entry if it does not know its type. */
   ENTRY_OPTIONAL = 1u << 31,
};

enum {
   SECTION_READ = 1 << 0,
   SECTION_WRITE = 1 << 1,
   SECTION_COHERENT = 2 << 3,
   SECTION_SHARED = 1 << 30,
   SECTION_ZERO = (int)(1u << 31),
};

/* Interface version 1.1.0 */
#define CSF_VERSION (1u << 24 | 1u << 16)
/* Registers, scoreboard slots and the kinds of work of a stream */
#define CS_FEATURES (95u | 8u << 8 | 7u << 16)

static const char git_hash[] = "git_sha: fakemali";

struct image {
   uint32_t magic;
   uint8_t minor, major;
   uint16_t pad0;
   uint32_t version_hash;
   uint32_t pad1;
   uint32_t size;

   struct {
      uint32_t type_and_size;
      uint32_t flags;
      uint32_t va_start, va_end;
      uint32_t data_start, data_end;
   } section;

   struct {
      uint32_t type_and_size;
      uint32_t meta_start, meta_size;
   } build_info;

   uint32_t data[FM_CONTROL_SIZE / 4];
   char git_hash[sizeof(git_hash)];
};

#define TABLE_END offsetof(struct image, data)

static uint32_t
entry_header(uint32_t type, size_t size)
{
   return type | (uint32_t)size << 8;
}

static void
fill_header(struct image *image)
{
   image->magic = FW_MAGIC;
   image->version_hash = 0xfa4ef00d;
   image->size = TABLE_END;

   image->section.type_and_size = entry_header(ENTRY_SECTION, sizeof(image->section));
   image->section.flags = SECTION_READ | SECTION_WRITE | SECTION_COHERENT | SECTION_SHARED |
                          (uint32_t)SECTION_ZERO;
   image->section.va_start = FM_SHARED_VA;
   image->section.va_end = FM_SHARED_VA + FM_SHARED_SIZE;
   image->section.data_start = offsetof(struct image, data);
   image->section.data_end = offsetof(struct image, data) + FM_CONTROL_SIZE;

   image->build_info.type_and_size =
      entry_header(ENTRY_BUILD_INFO, sizeof(image->build_info)) | ENTRY_OPTIONAL;
   image->build_info.meta_start = offsetof(struct image, git_hash);
   image->build_info.meta_size = sizeof(git_hash);
   memcpy(image->git_hash, git_hash, sizeof(git_hash));
}

static void
fill_stream(uint32_t *control, unsigned group, unsigned stream)
{
   control[0] = CS_FEATURES;
   control[1] = FM_CS_IN(group, stream);
   control[2] = FM_CS_OUT(group, stream);
}

static void
fill_group(uint32_t *data, unsigned group)
{
   uint32_t *control = &data[FM_CSG_CONTROL(group) / 4];

   control[0] = 0; /* features */
   control[1] = FM_CSG_IN(group);
   control[2] = FM_CSG_OUT(group);
   control[3] = 0x1000; /* bytes of a suspended group's state */
   control[4] = 0x1000; /* the same in protected mode */
   control[5] = FM_STREAMS;
   control[6] = FM_CS_CONTROL_STRIDE;
   for (unsigned stream = 0; stream < FM_STREAMS; stream++)
      fill_stream(&data[FM_CS_CONTROL(group, stream) / 4], group, stream);
}

static void
fill_interface(uint32_t *data)
{
   uint32_t *control = &data[FM_GLB_CONTROL / 4];

   control[0] = CSF_VERSION;
   control[1] = 0; /* features */
   control[2] = FM_GLB_IN;
   control[3] = FM_GLB_OUT;
   control[4] = FM_GROUPS;
   control[5] = FM_CSG_CONTROL_STRIDE;
   control[6] = 0; /* performance counters */
   control[7] = 0; /* instrumentation */
   for (unsigned group = 0; group < FM_GROUPS; group++)
      fill_group(data, group);
}

int
main(int argc, char **argv)
{
   static struct image image;

   if (argc != 2) {
      fprintf(stderr, "usage: mkfw FILE\n");
      return 2;
   }
   fill_header(&image);
   fill_interface(image.data);

   FILE *file = fopen(argv[1], "wb");
   if (!file) {
      perror(argv[1]);
      return 1;
   }
   const size_t written = fwrite(&image, 1, sizeof(image), file);
   if (fclose(file) != 0 || written != sizeof(image)) {
      perror(argv[1]);
      return 1;
   }
   return 0;
}

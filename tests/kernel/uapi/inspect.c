/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See inspect.h.
 */

#include "inspect.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TREES      "/sys/kernel/debug/dri/128/gpuvas"
#define PAGES      "/sys/kernel/debug/fakemali/pt"
#define STATS      "/sys/kernel/debug/fakemali/stats"
#define RUN        "/sys/kernel/debug/fakemali/run"
#define OBJECT     "/sys/kernel/debug/fakemali/object"
#define FENCE      "/sys/kernel/debug/fakemali/fence"
#define PARAMETERS "/sys/module/fakemali/parameters/"

/* Above, panthor puts what it maps for itself. */
#define USER_VA_END_B (1ull << 47)

/* A test without its oracle must not pass. */
static FILE *
open_or_die(const char *path, const char *mode)
{
   FILE *file = fopen(path, mode);

   if (!file) {
      perror(path);
      abort();
   }
   return file;
}

/* -------------------------------------------------------------------- trees */

static bool
is_gpu_vm(const char *line)
{
   return strstr(line, "GPU VA space (panthor-GPU-VM)") != NULL;
}

static bool
is_vm(const char *line)
{
   return strstr(line, "GPU VA space (") != NULL;
}

static bool
parse_mapping(const char *line, struct inspect_mapping *map)
{
   uint64_t end_B;

   return sscanf(line, " | %" SCNx64 " | %" SCNx64 " | %" SCNx64 " | %" SCNx64 " | %" SCNx64,
                 &map->addr_B, &map->range_B, &end_B, &map->object, &map->offset_B) == 5;
}

struct trees {
   struct mapping_of {
      unsigned vm;
      struct inspect_mapping map;
   } *maps;
   size_t count, capacity;
   unsigned vms;
};

static void
append(struct trees *trees, const struct inspect_mapping *map)
{
   if (trees->count == trees->capacity) {
      trees->capacity = trees->capacity ? 2 * trees->capacity : 256;
      trees->maps = realloc(trees->maps, trees->capacity * sizeof(*trees->maps));
      if (!trees->maps)
         abort();
   }
   trees->maps[trees->count++] = (struct mapping_of){ trees->vms - 1, *map };
}

/* False if the kernel says no more: while one of its workers frees a VM, there is a moment in which the VM has no
 * name any more and is still in the list, and then the file cannot be read. */
static bool
try_read_trees(struct trees *trees)
{
   FILE *file = open_or_die(TREES, "r");
   struct inspect_mapping map;
   char line[256];
   bool wanted = false;

   *trees = (struct trees){ 0 };
   while (fgets(line, sizeof(line), file)) {
      if (is_vm(line)) {
         wanted = is_gpu_vm(line);
         trees->vms += wanted;
      } else if (wanted && parse_mapping(line, &map)) {
         append(trees, &map);
      }
   }
   const bool complete = !ferror(file);
   fclose(file);
   return complete;
}

/* All that there is, at one moment. */
static struct trees
read_trees(void)
{
   struct trees trees;

   for (unsigned i = 0; !try_read_trees(&trees); i++) {
      if (i == 6000) {
         fprintf(stderr, "%s cannot be read\n", TREES);
         abort();
      }
      free(trees.maps);
      usleep(10000);
   }
   return trees;
}

int
inspect_tree(unsigned index, struct inspect_mapping **maps_out)
{
   struct trees trees = read_trees();
   int count = index < trees.vms ? 0 : -1;

   *maps_out = calloc(trees.count ? trees.count : 1, sizeof(**maps_out));
   for (size_t i = 0; i < trees.count; i++) {
      const struct mapping_of *m = &trees.maps[i];

      if (m->vm + 1 + index == trees.vms && m->map.addr_B < USER_VA_END_B)
         (*maps_out)[count++] = m->map;
   }
   free(trees.maps);
   return count;
}

uint64_t
inspect_kernel_part(unsigned index)
{
   struct trees trees = read_trees();
   uint64_t addr_B = 0;

   for (size_t i = 0; i < trees.count; i++) {
      const struct mapping_of *m = &trees.maps[i];

      if (m->vm + 1 + index == trees.vms && m->map.addr_B >= USER_VA_END_B)
         addr_B = m->map.addr_B;
   }
   free(trees.maps);
   return addr_B;
}

void
inspect_wait_for_no_kernel_part(unsigned index)
{
   for (unsigned i = 0; inspect_kernel_part(index); i++) {
      if (i == 6000) {
         fprintf(stderr, "the kernel keeps its part of the VM\n");
         abort();
      }
      usleep(10000);
   }
}

unsigned
inspect_vm_count(void)
{
   struct trees trees = read_trees();

   free(trees.maps);
   return trees.vms;
}

void
inspect_wait_for_vm_count(unsigned count)
{
   /* The kernel's workers have their turn; a machine that is busy may take its time. */
   for (unsigned i = 0; inspect_vm_count() > count; i++) {
      if (i == 6000) {
         fprintf(stderr, "the kernel keeps its VMs\n");
         abort();
      }
      usleep(10000);
   }
}

struct inspect_object
inspect_object(int drm_fd, uint32_t handle)
{
   FILE *file = open_or_die(OBJECT, "r+");
   struct inspect_object found = { 0 };

   /* The answer belongs to the open file. */
   setvbuf(file, NULL, _IONBF, 0);
   fprintf(file, "%d %" PRIu32, drm_fd, handle);
   rewind(file);
   if (fscanf(file, "%" SCNx64 " %" SCNx64, &found.object, &found.mapping) != 2)
      found = (struct inspect_object){ 0 };
   fclose(file);
   return found;
}

/* -------------------------------------------------------------------- pages */

#define PTE_READONLY (1ull << 7)

static void
set_parameter(const char *name, const char *value)
{
   char path[128];

   snprintf(path, sizeof(path), PARAMETERS "%s", name);
   FILE *file = open_or_die(path, "w");
   fputs(value, file);
   if (fclose(file) != 0) {
      perror(path);
      abort();
   }
}

static void
set_address(const char *name, uint64_t addr_B)
{
   char value[32];

   snprintf(value, sizeof(value), "%" PRIu64, addr_B);
   set_parameter(name, value);
}

void
inspect_pages(uint64_t addr_B, uint64_t end_B,
              void (*f)(void *data, const struct inspect_page *page), void *data)
{
   struct inspect_page page;
   uint64_t pa, pte;

   set_address("pt_from", addr_B);
   set_address("pt_to", end_B);
   FILE *file = open_or_die(PAGES, "r");
   while (fscanf(file,
                 " as %u va %" SCNx64 " pa %" SCNx64 " block %" SCNx64 " pte %" SCNx64
                 " word %" SCNx64 " mapping %" SCNx64 " offset %" SCNx64,
                 &page.as, &page.addr_B, &pa, &page.block_B, &pte, &page.word, &page.mapping,
                 &page.offset_B) == 8) {
      page.readonly = pte & PTE_READONLY;
      if (page.as != 0)
         f(data, &page);
   }
   fclose(file);
}

/* ------------------------------------------------------------------- faults */

void
inspect_set_fault(const char *parameter, int value)
{
   char text[16];

   snprintf(text, sizeof(text), "%d", value);
   set_parameter(parameter, text);
}

int
inspect_get_fault(const char *parameter)
{
   char path[128];
   int value = -1;

   snprintf(path, sizeof(path), PARAMETERS "%s", parameter);
   FILE *file = open_or_die(path, "r");
   if (fscanf(file, "%d", &value) != 1)
      value = -1;
   fclose(file);
   return value;
}

int
inspect_fence_create(void)
{
   FILE *file = open_or_die(FENCE, "r");
   int fd;

   if (fscanf(file, "%d", &fd) != 1)
      fd = -1;
   fclose(file);
   return fd;
}

void
inspect_fence_signal(int fence_fd)
{
   FILE *file = open_or_die(FENCE, "w");

   fprintf(file, "%d", fence_fd);
   if (fclose(file) != 0) {
      perror(FENCE);
      abort();
   }
}

void
inspect_run_jobs(void)
{
   FILE *file = open_or_die(RUN, "w");

   fputs("1", file);
   fclose(file);
}

uint64_t
inspect_stat(const char *name)
{
   FILE *file = open_or_die(STATS, "r");
   uint64_t value, found = 0;
   char key[64];

   while (fscanf(file, "%63s %" SCNu64, key, &value) == 2)
      if (strcmp(key, name) == 0)
         found = value;
   fclose(file);
   return found;
}

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

#define TREES      "/sys/kernel/debug/dri/128/gpuvas"
#define PAGES      "/sys/kernel/debug/fakemali/pt"
#define STATS      "/sys/kernel/debug/fakemali/stats"
#define RUN        "/sys/kernel/debug/fakemali/run"
#define OBJECT     "/sys/kernel/debug/fakemali/object"
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

static void
append(struct inspect_mapping **maps, int *count, const struct inspect_mapping *map)
{
   *maps = realloc(*maps, (*count + 1) * sizeof(**maps));
   if (!*maps)
      abort();
   (*maps)[(*count)++] = *map;
}

int
inspect_tree(unsigned index, struct inspect_mapping **maps_out)
{
   FILE *file = open_or_die(TREES, "r");
   struct inspect_mapping map;
   char line[256];
   unsigned vms = 0;
   bool wanted = false;
   int count = -1;

   *maps_out = NULL;
   while (fgets(line, sizeof(line), file)) {
      if (is_vm(line)) {
         wanted = is_gpu_vm(line) && vms++ == index;
         if (wanted)
            count = 0;
      } else if (wanted && parse_mapping(line, &map) && map.addr_B < USER_VA_END_B) {
         append(maps_out, &count, &map);
      }
   }
   fclose(file);
   return count;
}

unsigned
inspect_vm_count(void)
{
   FILE *file = open_or_die(TREES, "r");
   char line[256];
   unsigned count = 0;

   while (fgets(line, sizeof(line), file))
      count += is_gpu_vm(line);
   fclose(file);
   return count;
}

uint64_t
inspect_object(int drm_fd, uint32_t handle)
{
   FILE *file = open_or_die(OBJECT, "r+");
   uint64_t object = 0;

   /* The answer belongs to the open file. */
   setvbuf(file, NULL, _IONBF, 0);
   fprintf(file, "%d %" PRIu32, drm_fd, handle);
   rewind(file);
   if (fscanf(file, "%" SCNx64, &object) != 1)
      object = 0;
   fclose(file);
   return object;
}

/* -------------------------------------------------------------------- pages */

#define PTE_READONLY (1ull << 7)

void
inspect_pages(void (*f)(void *data, const struct inspect_page *page), void *data)
{
   FILE *file = open_or_die(PAGES, "r");
   struct inspect_page page;
   uint64_t pa, pte;

   while (fscanf(file,
                 " as %u va %" SCNx64 " pa %" SCNx64 " block %" SCNx64 " pte %" SCNx64
                 " word %" SCNx64,
                 &page.as, &page.addr_B, &pa, &page.block_B, &pte, &page.word) == 6) {
      page.readonly = pte & PTE_READONLY;
      if (page.as != 0 && page.addr_B < USER_VA_END_B)
         f(data, &page);
   }
   fclose(file);
}

/* ------------------------------------------------------------------- faults */

void
inspect_set_fault(const char *parameter, int value)
{
   char path[128];

   snprintf(path, sizeof(path), PARAMETERS "%s", parameter);
   FILE *file = open_or_die(path, "w");
   fprintf(file, "%d\n", value);
   if (fclose(file) != 0) {
      perror(path);
      abort();
   }
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

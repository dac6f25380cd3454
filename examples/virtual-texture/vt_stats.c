/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See vt_stats.h.
 */

#include "vt_stats.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vt_output.h"
#include "vt_util.h"

static double
ratio(double a, double b)
{
   return b != 0.0 ? a / b : 0.0;
}

static double
mib(uint64_t size_B)
{
   return (double)size_B / (1024.0 * 1024.0);
}

static uint64_t
binds(const struct vt_stats *stats)
{
   return stats->bound + stats->evicted;
}

static uint64_t
bound_peak_B(const struct vt_stats *stats)
{
   return stats->base_B + stats->resident_peak * VT_PAGE_B;
}

static void
write_table(const struct vt_stats *s, FILE *file)
{
   fprintf(file, "%-26s %s\n", "device", s->device);
   fprintf(file, "%-26s %u in %.1f s\n", "frames", s->frames, (double)s->flight_ns * 1e-9);
   fprintf(file,
           "%-26s %" PRIu64 " (%" PRIu64 " pages bound, %" PRIu64 " evicted) in %" PRIu64
           " calls\n",
           "binds asked", binds(s), s->bound, s->evicted, s->bind_calls);
   fprintf(file, "%-26s %.2f\n", "µs per bind", ratio((double)s->bind_ns * 1e-3, (double)binds(s)));
   fprintf(file, "%-26s %" PRIu64 " of %u in the pool, %" PRIu64 " at most\n", "pages resident",
           s->resident_end, s->pool_pages, s->resident_peak);
   fprintf(file, "%-26s %.1f of %.1f (%.1f %%)\n", "MiB bound of MiB texture", mib(bound_peak_B(s)),
           mib(s->texture_B), 100.0 * ratio((double)bound_peak_B(s), (double)s->texture_B));
   fprintf(file, "%-26s %.2f %%\n", "wanted pages in place",
           100.0 - 100.0 * ratio((double)s->absent, (double)s->wanted));
   fprintf(file, "%-26s %.2f\n", "ms to draw a page",
           ratio((double)s->paint_ns * 1e-6, (double)s->bound));
   fprintf(file, "%-26s %" PRIu64 ", wrong: %" PRIu64 "\n", "page reads audited", s->audited,
           s->wrong);
}

/* Device names come from drivers. */
static void
write_json_string(const char *text, FILE *file)
{
   fputc('"', file);
   for (; *text; text++) {
      if (*text == '"' || *text == '\\')
         fputc('\\', file);
      if ((unsigned char)*text >= ' ')
         fputc(*text, file);
   }
   fputc('"', file);
}

static void
write_json(const struct vt_stats *s, FILE *file)
{
   fprintf(file, "{\n  \"device\": ");
   write_json_string(s->device, file);
   fprintf(file,
           ",\n"
           "  \"frames\": %u,\n"
           "  \"flight_ns\": %" PRIu64 ",\n"
           "  \"texture_px\": %u,\n"
           "  \"texture_B\": %" PRIu64 ",\n"
           "  \"binds\": %" PRIu64 ",\n"
           "  \"pages_bound\": %" PRIu64 ",\n"
           "  \"pages_evicted\": %" PRIu64 ",\n"
           "  \"bind_calls\": %" PRIu64 ",\n"
           "  \"bind_ns\": %" PRIu64 ",\n"
           "  \"pages_pool\": %u,\n"
           "  \"pages_resident\": %" PRIu64 ",\n"
           "  \"pages_resident_peak\": %" PRIu64 ",\n"
           "  \"bound_peak_B\": %" PRIu64 ",\n"
           "  \"pages_wanted\": %" PRIu64 ",\n"
           "  \"pages_absent\": %" PRIu64 ",\n"
           "  \"paint_ns\": %" PRIu64 ",\n"
           "  \"audited\": %" PRIu64 ",\n"
           "  \"wrong\": %" PRIu64 "\n"
           "}\n",
           s->frames, s->flight_ns, s->texture_px, s->texture_B, binds(s), s->bound, s->evicted,
           s->bind_calls, s->bind_ns, s->pool_pages, s->resident_end, s->resident_peak,
           bound_peak_B(s), s->wanted, s->absent, s->paint_ns, s->audited, s->wrong);
}

static void
write_file(const struct vt_stats *stats, const char *directory, const char *name,
           void (*write)(const struct vt_stats *, FILE *))
{
   char *path = vt_output_path(directory, name);
   FILE *file = fopen(path, "w");

   if (!file)
      vt_die("cannot write %s: %s", path, strerror(errno));
   write(stats, file);
   if (fclose(file) != 0)
      vt_die("cannot write %s: %s", path, strerror(errno));
   free(path);
}

void
vt_stats_write(const struct vt_stats *stats, const char *directory)
{
   write_table(stats, stdout);
   if (directory) {
      write_file(stats, directory, "table.txt", write_table);
      write_file(stats, directory, "flight.json", write_json);
   }
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * vmbind top: what a process binds a second, a line each interval: as it goes, or for a trace that is
 * finished from its start to its end.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmbind_session.h"
#include "vmbind_source.h"
#include "vmbind_tool.h"

/* A submit that takes longer has waited for something. */
#define STALL_NS UINT64_C(1000000)

struct counters {
   uint64_t submits, binds, ops, ioctls, merged, dropped, stalls, failed;
   uint64_t bound_B;
};

struct top {
   struct trace_source source;
   struct counters counters;
   /* Submits that were not seen to complete. */
   struct session *session;
   uint64_t interval_ns;
   uint64_t lines;
};

static void
count(struct counters *c, const struct vmb_trace_submit *s)
{
   c->submits++;
   c->binds += s->kind == VMB_TRACE_KIND_DEFRAGMENT ? 0 : s->asked_count;
   c->ops += s->op_count;
   c->ioctls += s->ioctl_count;
   c->merged += s->merged;
   c->dropped += s->dropped;
   c->stalls += s->duration_ns >= STALL_NS;
   c->failed += s->result != 0;
   for (uint32_t i = 0; i < s->op_count; i++) {
      const struct vmb_trace_op *op = &vmb_trace_submit_ops(s)[i];
      c->bound_B += op->type == VMB_TRACE_OP_MAP ? op->range_B : 0;
   }
}

static unsigned
pending_count(const struct session *session)
{
   unsigned pending = 0;

   list_for_each_entry(struct session_vm, vm, &session->vms, link)
      pending += list_length(&vm->pending);
   return pending;
}

/* The counters of an interval, and starts them again. */
static void
print_line(struct top *top, uint64_t end_ns, uint64_t passed_ns)
{
   const struct counters *c = &top->counters;
   const double s = MAX2(passed_ns, 1) / 1e9;

   if (top->lines++ % 20 == 0) {
      printf("%10s %9s %9s %9s %9s %9s %9s %9s %8s %8s %8s\n", "seconds", "submits/s", "binds/s",
             "MiB/s", "ops/s", "ioctls/s", "merged/s", "dropped/s", "stalls/s", "failed/s", "pending");
   }
   printf("%10.3f %9.0f %9.0f %9.1f %9.0f %9.0f %9.0f %9.0f %8.1f %8.1f %8u\n", end_ns / 1e9,
          c->submits / s, c->binds / s, c->bound_B / 1048576.0 / s, c->ops / s, c->ioctls / s,
          c->merged / s, c->dropped / s, c->stalls / s, c->failed / s, pending_count(top->session));
   fflush(stdout);
   top->counters = (struct counters){ 0 };
}

static int
see(struct session *session, const struct vmb_trace_record *record, void *data)
{
   struct top *top = data;
   (void)session;

   if (record->type == VMB_TRACE_SUBMIT)
      count(&top->counters, (const void *)record);
   return 0;
}

/* Lines by the recording's own time. */
static int
see_finished(struct session *session, const struct vmb_trace_record *record, void *data)
{
   struct top *top = data;
   const uint64_t end_ns = (session->time_ns / top->interval_ns + 1) * top->interval_ns;

   if (record->time_ns >= end_ns) {
      print_line(top, end_ns, top->interval_ns);
      if (record->time_ns >= end_ns + top->interval_ns)
         printf("%10.3f   nothing until here\n", record->time_ns / top->interval_ns * top->interval_ns / 1e9);
   }
   return see(session, record, data);
}

static int
show_finished(struct top *top)
{
   const struct session_watch watch = { .before = see_finished, .data = top };
   const int status = session_play(top->session, &top->source, UINT64_MAX, &watch);

   print_line(top, top->session->time_ns, top->session->time_ns % top->interval_ns);
   return status;
}

static uint64_t
clock_ns(clockid_t clock)
{
   struct timespec now;

   clock_gettime(clock, &now);
   return now.tv_sec * UINT64_C(1000000000) + now.tv_nsec;
}

static int
show_live(struct top *top, uint64_t line_count)
{
   const struct timespec interval = {
      .tv_sec = top->interval_ns / 1000000000,
      .tv_nsec = top->interval_ns % 1000000000,
   };
   uint64_t last_ns = clock_ns(CLOCK_MONOTONIC);
   bool live = true;

   const struct session_watch watch = { .before = see, .data = top };
   int status = session_play(top->session, &top->source, UINT64_MAX, NULL);
   while (!status && live && top->lines < line_count) {
      nanosleep(&interval, NULL);
      live = trace_source_is_live(&top->source);
      const int ret = vmb_trace_reader_update(top->source.reader);
      if (ret) {
         return tool_error(TOOL_FAILED, "%s: %s", top->source.path,
                           ret == -ESTALE ? "another process records there now; ask for that one"
                                          : strerror(-ret));
      }
      status = session_play(top->session, &top->source, UINT64_MAX, &watch);
      const uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
      print_line(top, clock_ns(CLOCK_REALTIME) - top->source.header.start_ns, now_ns - last_ns);
      last_ns = now_ns;
   }
   if (!live)
      printf("process %u has ended\n", top->source.header.pid);
   return status;
}

int
cmd_top(int argc, char **argv)
{
   const char *target = NULL;
   uint64_t line_count = UINT64_MAX;
   struct top top = { .interval_ns = 1000000000 };

   for (int i = 1; i < argc; i++) {
      if (!strcmp(argv[i], "--interval") && i + 1 < argc) {
         if (tool_parse_seconds(argv[++i], &top.interval_ns) || !top.interval_ns)
            return tool_usage_error("top", "--interval wants seconds, not %s", argv[i]);
      } else if (!strcmp(argv[i], "--count") && i + 1 < argc) {
         char *end;
         line_count = strtoull(argv[++i], &end, 10);
         if (*end || !line_count)
            return tool_usage_error("top", "--count wants a number, not %s", argv[i]);
      } else if (argv[i][0] == '-' || target) {
         return tool_usage_error("top", "unknown option or missing value: %s", argv[i]);
      } else {
         target = argv[i];
      }
   }

   int status = session_open(target, &top.source, &top.session);
   if (status)
      return status;
   status = trace_source_is_live(&top.source) ? show_live(&top, line_count) : show_finished(&top);
   session_close(top.session, &top.source);
   return status;
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See vmb_trace.h.  Each device has a ring; the process has a recording.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "vmb_private.h"
#include "vmb_util.h"

#define RING_SIZE 4096

struct ring_entry {
   struct vmb_trace_op op;
   uint32_t vm;
   uint32_t queue;
   uint64_t point;
   uint64_t time_ns;
   uint64_t duration_ns;
};

struct vmb_trace {
   struct vmb_device *dev;
   uint32_t device;
   mtx_t lock;
   uint64_t ring_count;
   struct ring_entry ring[RING_SIZE];
};

/* The recording is the process's: its devices share it, and tell themselves, their VMs and their BOs apart
 * by numbers that are never used twice.  A device that comes after the others are gone goes on in it. */
static struct {
   once_flag once;
   mtx_t lock;
   int64_t start_ns;
   /* Of the file, once it was made. */
   char *path;
   /* -1: there is none. */
   int fd;
   unsigned users;
} recording = { .once = ONCE_FLAG_INIT, .fd = -1 };

static void
init_recording(void)
{
   mtx_init(&recording.lock, mtx_plain);
   recording.start_ns = vmb_now_ns();
}

static uint64_t
now_ns(void)
{
   return vmb_now_ns() - recording.start_ns;
}

/* VMBIND_TRACE, with the process's id for the first %p; NULL: no recording is wanted. */
static char *
wanted_path(void)
{
   const char *wanted = getenv("VMBIND_TRACE");
   char *path = NULL;

   if (!wanted || !wanted[0])
      return NULL;
   const char *mark = strstr(wanted, "%p");
   const int length = mark ? mark - wanted : (int)strlen(wanted);
   const int ret = mark ? asprintf(&path, "%.*s%d%s", length, wanted, getpid(), mark + 2)
                        : asprintf(&path, "%s", wanted);
   return ret < 0 ? NULL : path;
}

static bool
write_header(int fd)
{
   struct vmb_trace_header header = {
      .magic = VMB_TRACE_MAGIC,
      .version = VMB_TRACE_VERSION,
      .pid = getpid(),
   };
   struct timespec now;

   clock_gettime(CLOCK_REALTIME, &now);
   header.start_ns = now.tv_sec * UINT64_C(1000000000) + now.tv_nsec;
   snprintf(header.program, sizeof(header.program), "%s", program_invocation_short_name);
   return ftruncate(fd, 0) == 0 && write(fd, &header, sizeof(header)) == sizeof(header);
}

/* Makes the file, or goes on in the one that this process made. */
static int
open_file(struct vmb_device *dev)
{
   const bool again = recording.path != NULL;
   char *path = again ? recording.path : wanted_path();

   if (!path)
      return -1;
   const int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | (again ? 0 : O_CREAT), 0666);
   /* Two processes in one file would make it useless to both. */
   if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB)) {
      vmb_log(dev, VMB_LOG_WARN, "VMBIND_TRACE: another process records to %s; \"%%p\" in the name "
              "gives each its own", path);
      goto fail_close;
   }
   if (fd < 0 || (!again && !write_header(fd))) {
      vmb_log(dev, VMB_LOG_WARN, "VMBIND_TRACE: %s: %s", path, strerror(errno));
      goto fail_close;
   }
   recording.path = path;
   return fd;

fail_close:
   if (fd >= 0)
      close(fd);
   if (!again)
      free(path);
   return -1;
}

static void
start_recording(struct vmb_device *dev)
{
   vmb_lock(&recording.lock, VMB_LOCK_LEAF);
   if (recording.users++ == 0)
      p_atomic_set(&recording.fd, open_file(dev));
   vmb_unlock(&recording.lock, VMB_LOCK_LEAF);
}

static void
stop_recording(void)
{
   vmb_lock(&recording.lock, VMB_LOCK_LEAF);
   if (recording.users && --recording.users == 0 && recording.fd >= 0) {
      close(recording.fd);
      p_atomic_set(&recording.fd, -1);
   }
   vmb_unlock(&recording.lock, VMB_LOCK_LEAF);
}

/* What cannot be written whole is not written: the file ends there. */
static void
give_up_recording(struct vmb_device *dev, const char *why)
{
   vmb_log(dev, VMB_LOG_WARN, "VMBIND_TRACE: the recording ends here: %s", why);
   close(recording.fd);
   p_atomic_set(&recording.fd, -1);
}

static void
append(struct vmb_trace *trace, struct vmb_trace_record *record, size_t size_B, const void *tail,
       size_t tail_size_B)
{
   const struct iovec iov[2] = {
      { record, size_B },
      { (void *)tail, tail_size_B },
   };

   record->size_B = size_B + tail_size_B;

   vmb_lock(&recording.lock, VMB_LOCK_LEAF);
   record->time_ns = now_ns();
   errno = ENOSPC; /* if it writes less than it should */
   if (recording.fd >= 0 &&
       writev(recording.fd, iov, tail_size_B ? 2 : 1) != (ssize_t)record->size_B)
      give_up_recording(trace->dev, strerror(errno));
   vmb_unlock(&recording.lock, VMB_LOCK_LEAF);
}

static bool
is_recording(void)
{
   return p_atomic_read(&recording.fd) >= 0;
}

static void
record(struct vmb_trace *trace, enum vmb_trace_type type, bool created,
       struct vmb_trace_record *record, size_t size_B)
{
   record->type = type;
   record->created = created;
   if (is_recording())
      append(trace, record, size_B, NULL, 0);
}

static void
trace_device(struct vmb_trace *trace, bool created)
{
   const struct vmb_caps *caps = &trace->dev->caps;
   struct vmb_trace_device r = {
      .device = trace->device,
      .driver_major = caps->version_major,
      .driver_minor = caps->version_minor,
      .page_size_B = caps->page_size_B,
      .va_start_B = caps->va_start_B,
      .va_range_B = caps->va_range_B,
   };

   snprintf(r.driver, sizeof(r.driver), "%s", caps->driver);
   record(trace, VMB_TRACE_DEVICE, created, &r.record, sizeof(r));
}

int
vmb_trace_create(struct vmb_device *dev, struct vmb_trace **trace_out)
{
   struct vmb_trace *trace = calloc(1, sizeof(*trace));
   if (!trace)
      return -ENOMEM;

   trace->dev = dev;
   trace->device = vmb_next_id();
   mtx_init(&trace->lock, mtx_plain);
   call_once(&recording.once, init_recording);
   start_recording(dev);
   trace_device(trace, true);
   *trace_out = trace;
   return 0;
}

void
vmb_trace_destroy(struct vmb_trace *trace)
{
   trace_device(trace, false);
   stop_recording();
   mtx_destroy(&trace->lock);
   free(trace);
}

void
vmb_trace_vm(struct vmb_trace *trace, const struct vmb_vm *vm, uint64_t window_start_B,
             uint64_t window_range_B, bool created)
{
   struct vmb_trace_vm r = {
      .vm = vm->id,
      .device = trace->device,
      .kernel_id = vmb_vm_kernel_id(vm),
      .window_start_B = window_start_B,
      .window_range_B = window_range_B,
   };

   record(trace, VMB_TRACE_VM, created, &r.record, sizeof(r));
}

void
vmb_trace_bo(struct vmb_trace *trace, const struct vmb_bo *bo, bool created)
{
   struct vmb_trace_bo r = {
      .bo = bo->id,
      .device = trace->device,
      .handle = bo->handle,
      .vm = bo->vm_id,
      .size_B = bo->size_B,
   };

   snprintf(r.name, sizeof(r.name), "%s", bo->name);
   record(trace, VMB_TRACE_BO, created, &r.record, sizeof(r));
}

void
vmb_trace_range(struct vmb_trace *trace, const struct vmb_range *range, bool created)
{
   struct vmb_trace_range r = {
      .vm = range->vm->id,
      .unbound = range->unbound,
      .addr_B = range->addr_B,
      .size_B = range->size_B,
   };

   snprintf(r.name, sizeof(r.name), "%s", range->name);
   record(trace, VMB_TRACE_RANGE, created, &r.record, sizeof(r));
}

static struct vmb_trace_op
to_trace_op(const struct vmb_gpuvm_req *req)
{
   const struct vmb_mapping *m = &req->map;

   return (struct vmb_trace_op){
      .type = req->unmap                       ? VMB_TRACE_OP_UNMAP
              : (m->flags & VMB_MAPPING_NULL) ? VMB_TRACE_OP_NULL
                                               : VMB_TRACE_OP_MAP,
      .flags = m->flags,
      .bo = m->vm_bo ? vmb_bo_from_obj(m->vm_bo->obj)->id : 0,
      .addr_B = m->addr_B,
      .range_B = m->range_B,
      .bo_offset_B = m->offset_B,
   };
}

static void
add_to_ring(struct vmb_trace *trace, const struct vmb_trace_submit *submit,
            const struct vmb_gpuvm_req *ops)
{
   vmb_lock(&trace->lock, VMB_LOCK_LEAF);
   for (uint32_t i = 0; i < submit->op_count; i++) {
      trace->ring[trace->ring_count++ % RING_SIZE] = (struct ring_entry){
         .op = to_trace_op(&ops[i]),
         .vm = submit->vm,
         .queue = submit->queue,
         .point = submit->point,
         .time_ns = submit->record.time_ns,
         .duration_ns = submit->duration_ns,
      };
   }
   vmb_unlock(&trace->lock, VMB_LOCK_LEAF);
}

static struct vmb_trace_sync *
put_syncs(struct vmb_trace_sync *out, const struct vmb_sync *syncs, uint32_t count)
{
   for (uint32_t i = 0; i < count; i++)
      out[i] = (struct vmb_trace_sync){ .syncobj = syncs[i].syncobj, .point = syncs[i].point };
   return out + count;
}

static struct vmb_trace_op *
put_ops(struct vmb_trace_op *out, const struct vmb_gpuvm_req *reqs, uint32_t count)
{
   for (uint32_t i = 0; i < count; i++)
      out[i] = to_trace_op(&reqs[i]);
   return out + count;
}

static void
record_submit(struct vmb_trace *trace, struct vmb_trace_submit *submit,
              const struct vmb_trace_arrays *arrays)
{
   const size_t tail_B =
      ((size_t)submit->wait_count + submit->signal_count) * sizeof(struct vmb_trace_sync) +
      ((size_t)submit->bind_count + submit->op_count) * sizeof(struct vmb_trace_op);
   void *tail = malloc(MAX2(tail_B, 1));

   if (!tail) {
      vmb_lock(&recording.lock, VMB_LOCK_LEAF);
      if (recording.fd >= 0)
         give_up_recording(trace->dev, strerror(ENOMEM));
      vmb_unlock(&recording.lock, VMB_LOCK_LEAF);
      return;
   }
   struct vmb_trace_sync *syncs = put_syncs(tail, arrays->waits, submit->wait_count);
   syncs = put_syncs(syncs, arrays->signals, submit->signal_count);
   put_ops(put_ops((struct vmb_trace_op *)syncs, arrays->binds, submit->bind_count), arrays->ops,
           submit->op_count);
   append(trace, &submit->record, sizeof(*submit), tail, tail_B);
   free(tail);
}

void
vmb_trace_submit(struct vmb_trace *trace, struct vmb_trace_submit *submit,
                 const struct vmb_trace_arrays *arrays)
{
   submit->record.type = VMB_TRACE_SUBMIT;
   submit->record.time_ns = now_ns();
   add_to_ring(trace, submit, arrays->ops);
   if (is_recording())
      record_submit(trace, submit, arrays);
}

void
vmb_trace_complete(struct vmb_trace *trace, uint32_t vm, uint32_t queue, uint64_t point)
{
   struct vmb_trace_complete r = { .vm = vm, .queue = queue, .point = point };

   record(trace, VMB_TRACE_COMPLETE, false, &r.record, sizeof(r));
}

void
vmb_device_dump_ops(struct vmb_device *dev, FILE *file, uint64_t addr_B)
{
   static const char *const names[] = { "map", "unmap", "null" };
   struct vmb_trace *trace = dev->trace;

   vmb_lock(&trace->lock, VMB_LOCK_LEAF);
   const uint64_t end = trace->ring_count;
   for (uint64_t i = end > RING_SIZE ? end - RING_SIZE : 0; i < end; i++) {
      const struct ring_entry *e = &trace->ring[i % RING_SIZE];

      if (addr_B != UINT64_MAX && addr_B - e->op.addr_B >= e->op.range_B)
         continue;
      fprintf(file, "%12.6f vm %u queue %u point %" PRIu64 " %-5s 0x%012" PRIx64 "+0x%" PRIx64,
              e->time_ns / 1e9, e->vm, e->queue, e->point, names[e->op.type], e->op.addr_B,
              e->op.range_B);
      if (e->op.bo)
         fprintf(file, " bo %u @ 0x%" PRIx64, e->op.bo, e->op.bo_offset_B);
      fprintf(file, " (submit took %" PRIu64 " ns)\n", e->duration_ns);
   }
   vmb_unlock(&trace->lock, VMB_LOCK_LEAF);
}

/* ----------------------------------------------------------------- reading */

/* The file is read and not mapped: its process may cut it off at any time. */
struct vmb_trace_reader {
   int fd;
   void *data;
   size_t size_B;
   size_t capacity_B;
   size_t at_B;
};

const struct vmb_trace_sync *
vmb_trace_submit_waits(const struct vmb_trace_submit *submit)
{
   return (const struct vmb_trace_sync *)(submit + 1);
}

const struct vmb_trace_sync *
vmb_trace_submit_signals(const struct vmb_trace_submit *submit)
{
   return vmb_trace_submit_waits(submit) + submit->wait_count;
}

const struct vmb_trace_op *
vmb_trace_submit_binds(const struct vmb_trace_submit *submit)
{
   return (const struct vmb_trace_op *)(vmb_trace_submit_signals(submit) + submit->signal_count);
}

const struct vmb_trace_op *
vmb_trace_submit_ops(const struct vmb_trace_submit *submit)
{
   return vmb_trace_submit_binds(submit) + submit->bind_count;
}

/* All that is there by now. */
static int
read_on(struct vmb_trace_reader *reader)
{
   for (;;) {
      const size_t want_B = MAX2(reader->size_B + 1, 1 << 16);

      int ret = vmb_grow(&reader->data, &reader->capacity_B, want_B, 1);
      if (ret)
         return ret;
      const ssize_t got_B = pread(reader->fd, (char *)reader->data + reader->size_B,
                                  reader->capacity_B - reader->size_B, reader->size_B);
      if (got_B < 0)
         return -errno;
      if (!got_B)
         return 0;
      reader->size_B += got_B;
   }
}

static int
check_header(const struct vmb_trace_reader *reader)
{
   const struct vmb_trace_header *header = reader->data;

   if (reader->size_B < sizeof(*header))
      return -EINVAL;
   if (header->magic == __builtin_bswap64(VMB_TRACE_MAGIC))
      return -EPROTO;
   if (header->magic != VMB_TRACE_MAGIC)
      return -EINVAL;
   return header->version == VMB_TRACE_VERSION ? 0 : -EPROTO;
}

int
vmb_trace_reader_open(const char *path, struct vmb_trace_reader **reader_out)
{
   struct vmb_trace_reader *reader = calloc(1, sizeof(*reader));
   if (!reader)
      return -ENOMEM;

   int ret = 0;
   struct stat st;
   reader->at_B = sizeof(struct vmb_trace_header);
   reader->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
   if (reader->fd < 0 || fstat(reader->fd, &st))
      ret = -errno;
   else if (!S_ISREG(st.st_mode))
      ret = -EINVAL;
   if (!ret)
      ret = read_on(reader);
   if (!ret)
      ret = check_header(reader);
   if (ret) {
      vmb_trace_reader_close(reader);
      return ret;
   }
   *reader_out = reader;
   return 0;
}

void
vmb_trace_reader_close(struct vmb_trace_reader *reader)
{
   if (reader->fd >= 0)
      close(reader->fd);
   free(reader->data);
   free(reader);
}

int
vmb_trace_reader_update(struct vmb_trace_reader *reader)
{
   struct stat st;

   if (fstat(reader->fd, &st))
      return -errno;
   if ((size_t)st.st_size < reader->size_B)
      return -ESTALE;
   return read_on(reader);
}

const struct vmb_trace_header *
vmb_trace_reader_header(const struct vmb_trace_reader *reader)
{
   return reader->data;
}

static size_t
min_size_B(enum vmb_trace_type type)
{
   switch (type) {
   case VMB_TRACE_DEVICE:
      return sizeof(struct vmb_trace_device);
   case VMB_TRACE_VM:
      return sizeof(struct vmb_trace_vm);
   case VMB_TRACE_BO:
      return sizeof(struct vmb_trace_bo);
   case VMB_TRACE_RANGE:
      return sizeof(struct vmb_trace_range);
   case VMB_TRACE_SUBMIT:
      return sizeof(struct vmb_trace_submit);
   case VMB_TRACE_COMPLETE:
      return sizeof(struct vmb_trace_complete);
   }
   return sizeof(struct vmb_trace_record);
}

/* Whether it holds what it says. */
static bool
is_whole(const struct vmb_trace_record *r)
{
   if (r->size_B % 8 || r->size_B < min_size_B(r->type))
      return false;
   if (r->type != VMB_TRACE_SUBMIT)
      return true;

   const struct vmb_trace_submit *s = (const void *)r;
   return r->size_B ==
          sizeof(*s) +
             ((uint64_t)s->wait_count + s->signal_count) * sizeof(struct vmb_trace_sync) +
             ((uint64_t)s->bind_count + s->op_count) * sizeof(struct vmb_trace_op);
}

const struct vmb_trace_record *
vmb_trace_reader_next(struct vmb_trace_reader *reader, enum vmb_trace_end *end_out)
{
   const size_t left_B = reader->size_B - reader->at_B;
   const struct vmb_trace_record *r = (const void *)((const char *)reader->data + reader->at_B);

   if (!left_B)
      *end_out = VMB_TRACE_END_WHOLE;
   else if (left_B < sizeof(*r) || r->size_B > left_B)
      *end_out = VMB_TRACE_END_CUT;
   else if (!is_whole(r))
      *end_out = VMB_TRACE_END_DAMAGED;
   else {
      reader->at_B += r->size_B;
      return r;
   }
   return NULL;
}

uint64_t
vmb_trace_reader_offset_B(const struct vmb_trace_reader *reader)
{
   return reader->at_B;
}

void
vmb_trace_reader_rewind(struct vmb_trace_reader *reader)
{
   reader->at_B = sizeof(struct vmb_trace_header);
}

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
#include <sys/mman.h>
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
   mtx_t lock;
   int64_t start_ns;
   uint64_t ring_count;
   struct ring_entry ring[RING_SIZE];
};

/* The recording is the process's: its devices share it, and tell their VMs and BOs apart by numbers
 * that are never used twice.  A device that comes after the others are gone goes on in it. */
static struct {
   once_flag once;
   mtx_t lock;
   bool created;
   /* -1: there is none. */
   int fd;
   unsigned users;
} recording = { .once = ONCE_FLAG_INIT, .fd = -1 };

static void
init_recording(void)
{
   mtx_init(&recording.lock, mtx_plain);
}

static int
create_file(struct vmb_device *dev, const char *path)
{
   const struct vmb_caps *caps = &dev->caps;
   struct vmb_trace_header header = {
      .magic = VMB_TRACE_MAGIC,
      .version = VMB_TRACE_VERSION,
      .pid = getpid(),
      .driver_major = caps->version_major,
      .driver_minor = caps->version_minor,
      .va_start_B = caps->va_start_B,
      .va_range_B = caps->va_range_B,
      .page_size_B = caps->page_size_B,
   };

   snprintf(header.driver, sizeof(header.driver), "%s", caps->driver);
   const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
   if (fd < 0 || write(fd, &header, sizeof(header)) != sizeof(header)) {
      vmb_log(dev, VMB_LOG_WARN, "VMBIND_TRACE: %s: %s", path, strerror(errno));
      if (fd >= 0)
         close(fd);
      return -1;
   }
   return fd;
}

static void
start_recording(struct vmb_device *dev)
{
   const char *path = getenv("VMBIND_TRACE");

   if (!path || !path[0])
      return;
   vmb_lock(&recording.lock, VMB_LOCK_LEAF);
   if (recording.users++ == 0) {
      p_atomic_set(&recording.fd, recording.created ? open(path, O_WRONLY | O_APPEND | O_CLOEXEC)
                                                    : create_file(dev, path));
      recording.created = true;
   }
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

int
vmb_trace_create(struct vmb_device *dev, struct vmb_trace **trace_out)
{
   struct vmb_trace *trace = calloc(1, sizeof(*trace));
   if (!trace)
      return -ENOMEM;

   mtx_init(&trace->lock, mtx_plain);
   trace->start_ns = vmb_now_ns();
   call_once(&recording.once, init_recording);
   start_recording(dev);
   *trace_out = trace;
   return 0;
}

void
vmb_trace_destroy(struct vmb_trace *trace)
{
   stop_recording();
   mtx_destroy(&trace->lock);
   free(trace);
}

/* A file that cannot be written to is given up. */
static void
append(struct vmb_trace *trace, struct vmb_trace_record *record, size_t size_B, const void *tail,
       size_t tail_size_B)
{
   const struct iovec iov[2] = {
      { record, size_B },
      { (void *)tail, tail_size_B },
   };

   record->size_B = size_B + tail_size_B;
   record->time_ns = vmb_now_ns() - trace->start_ns;

   vmb_lock(&recording.lock, VMB_LOCK_LEAF);
   if (recording.fd >= 0 &&
       writev(recording.fd, iov, tail_size_B ? 2 : 1) != (ssize_t)record->size_B) {
      close(recording.fd);
      p_atomic_set(&recording.fd, -1);
   }
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

void
vmb_trace_vm(struct vmb_trace *trace, const struct vmb_vm *vm, uint64_t window_start_B,
             uint64_t window_range_B, bool created)
{
   struct vmb_trace_vm r = {
      .vm = vm->id,
      .kernel_id = vmb_vm_kernel_id(vm),
      .window_start_B = window_start_B,
      .window_range_B = window_range_B,
   };

   record(trace, VMB_TRACE_VM, created, &r.record, sizeof(r));
}

void
vmb_trace_bo(struct vmb_trace *trace, const struct vmb_bo *bo, bool created)
{
   struct vmb_trace_bo r = { .bo = bo->id, .handle = bo->handle, .size_B = bo->size_B };

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

void
vmb_trace_submit(struct vmb_trace *trace, struct vmb_trace_submit *submit,
                 const struct vmb_gpuvm_req *ops, uint32_t op_count)
{
   struct vmb_trace_op *tail = NULL;

   /* A record without its operations says at least what was sent. */
   if (is_recording())
      tail = malloc(op_count * sizeof(*tail));
   vmb_lock(&trace->lock, VMB_LOCK_LEAF);
   const uint64_t time_ns = vmb_now_ns() - trace->start_ns;
   for (uint32_t i = 0; i < op_count; i++) {
      struct ring_entry *entry = &trace->ring[trace->ring_count++ % RING_SIZE];

      *entry = (struct ring_entry){
         .op = to_trace_op(&ops[i]),
         .vm = submit->vm,
         .queue = submit->queue,
         .point = submit->point,
         .time_ns = time_ns,
         .duration_ns = submit->duration_ns,
      };
      if (tail)
         tail[i] = entry->op;
   }
   vmb_unlock(&trace->lock, VMB_LOCK_LEAF);
   if (is_recording()) {
      submit->record.type = VMB_TRACE_SUBMIT;
      submit->op_count = tail ? op_count : 0;
      append(trace, &submit->record, sizeof(*submit), tail, submit->op_count * sizeof(*tail));
   }
   free(tail);
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

struct vmb_trace_reader {
   const uint8_t *data;
   size_t size_B;
   size_t at_B;
};

int
vmb_trace_reader_open(const char *path, struct vmb_trace_reader **reader_out)
{
   const int fd = open(path, O_RDONLY | O_CLOEXEC);
   if (fd < 0)
      return -errno;

   int ret = 0;
   struct stat st;
   void *data = MAP_FAILED;
   if (fstat(fd, &st))
      ret = -errno;
   else if (!S_ISREG(st.st_mode) || (size_t)st.st_size < sizeof(struct vmb_trace_header))
      ret = -EINVAL;
   if (!ret) {
      data = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
      if (data == MAP_FAILED)
         ret = -errno;
   }
   close(fd);
   if (ret)
      return ret;

   const struct vmb_trace_header *header = data;
   if (header->magic == __builtin_bswap64(VMB_TRACE_MAGIC))
      ret = -EPROTO;
   else if (header->magic != VMB_TRACE_MAGIC)
      ret = -EINVAL;
   else if (header->version != VMB_TRACE_VERSION)
      ret = -EPROTO;

   struct vmb_trace_reader *reader = ret ? NULL : malloc(sizeof(*reader));
   if (!ret && !reader)
      ret = -ENOMEM;
   if (ret) {
      munmap(data, st.st_size);
      return ret;
   }
   *reader = (struct vmb_trace_reader){
      .data = data,
      .size_B = st.st_size,
      .at_B = sizeof(*header),
   };
   *reader_out = reader;
   return 0;
}

void
vmb_trace_reader_close(struct vmb_trace_reader *reader)
{
   munmap((void *)reader->data, reader->size_B);
   free(reader);
}

const struct vmb_trace_header *
vmb_trace_reader_header(const struct vmb_trace_reader *reader)
{
   return (const struct vmb_trace_header *)reader->data;
}

static size_t
min_size_B(enum vmb_trace_type type)
{
   switch (type) {
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

const struct vmb_trace_record *
vmb_trace_reader_next(struct vmb_trace_reader *reader, bool *truncated_out)
{
   const size_t left_B = reader->size_B - reader->at_B;
   const struct vmb_trace_record *r = (const void *)(reader->data + reader->at_B);

   *truncated_out = false;
   if (!left_B)
      return NULL;
   if (left_B < sizeof(*r) || r->size_B > left_B || r->size_B % 8 ||
       r->size_B < min_size_B(r->type))
      goto truncated;
   if (r->type == VMB_TRACE_SUBMIT) {
      const struct vmb_trace_submit *submit = (const void *)r;
      if ((r->size_B - sizeof(*submit)) / sizeof(struct vmb_trace_op) < submit->op_count)
         goto truncated;
   }
   reader->at_B += r->size_B;
   return r;

truncated:
   *truncated_out = true;
   return NULL;
}

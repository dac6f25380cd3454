/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The planner alone, under a driver that keeps its own ioctl, BOs and addresses: docs/adopting.md, step 1.
 * send_ioctl() stands for the driver's own; no node is needed.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <vmbind/vmb_gpuvm.h>
#include <vmbind/vmb_plan.h>

#define PAGE_B 4096ull

/* The driver's BO, with the object inside that mappings point to. */
struct bo {
   struct vmb_gpuvm_obj obj;
   uint32_t handle;
};

static void
bo_ref(struct vmb_gpuvm_obj *obj)
{
   (void)obj;
}

/* Accepts everything. */
static int
send_ioctl(const struct vmb_gpuvm_req *ops, size_t count)
{
   printf("one ioctl, %zu operations:\n", count);
   for (size_t i = 0; i < count; i++) {
      const struct vmb_mapping *m = &ops[i].map;

      printf("   %-5s 0x%" PRIx64 " +0x%" PRIx64, ops[i].unmap ? "unmap" : "map", m->addr_B, m->range_B);
      if (m->vm_bo)
         printf(" handle %u @ 0x%" PRIx64, ((struct bo *)m->vm_bo->obj)->handle, m->offset_B);
      printf("\n");
   }
   return 0;
}

/* A batch of binds: plan, prepare, send, commit. Under the driver's lock of the VM. */
static int
bind_batch(struct vmb_gpuvm *gpuvm, struct vmb_plan *plan, const struct vmb_gpuvm_req *reqs, size_t count)
{
   int ret = vmb_plan_build(plan, gpuvm, reqs, count);
   if (!ret)
      ret = vmb_gpuvm_reserve(gpuvm, plan->ops, plan->op_count, NULL);
   if (!ret && plan->op_count)
      ret = send_ioctl(plan->ops, plan->op_count);
   for (size_t i = 0; i < plan->op_count && !ret; i++) {
      const struct vmb_mapping *m = &plan->ops[i].map;

      if (plan->ops[i].unmap)
         vmb_gpuvm_unmap(gpuvm, m->addr_B, m->range_B, NULL);
      else
         vmb_gpuvm_map(gpuvm, m, NULL);
   }
   return ret;
}

int
main(void)
{
   struct bo bo = { .handle = 1 };
   struct vmb_gpuvm *gpuvm;
   struct vmb_gpuvm_bo *vm_bo;
   struct vmb_plan plan;
   struct vmb_gpuvm_req reqs[512];

   vmb_gpuvm_obj_init(&bo.obj, 512 * PAGE_B, bo_ref, bo_ref);
   int ret = vmb_gpuvm_create(&(struct vmb_gpuvm_params){
                                 .va_range_B = 1ull << 48,
                                 .page_size_B = PAGE_B,
                              }, &gpuvm);
   if (!ret)
      ret = vmb_gpuvm_bo_obtain(gpuvm, &bo.obj, false, &vm_bo);
   if (ret) {
      fprintf(stderr, "plan: %s\n", strerror(-ret));
      return 1;
   }
   vmb_plan_init(&plan, &(struct vmb_plan_params){ 0 });

   /* 512 pages in no order are one operation; the same once more are none; a hole is one. */
   for (unsigned i = 0; i < 512; i++) {
      const uint64_t page = i * 211 % 512;
      reqs[i] = (struct vmb_gpuvm_req){
         .map = { .addr_B = (1 << 20) + page * PAGE_B, .range_B = PAGE_B, .vm_bo = vm_bo,
                  .offset_B = page * PAGE_B },
      };
   }
   ret = bind_batch(gpuvm, &plan, reqs, 512);
   if (!ret)
      ret = bind_batch(gpuvm, &plan, reqs, 512);
   reqs[0] = (struct vmb_gpuvm_req){ .map = { .addr_B = 1 << 20, .range_B = 7 * PAGE_B }, .unmap = true };
   if (!ret)
      ret = bind_batch(gpuvm, &plan, reqs, 1);

   vmb_plan_finish(&plan);
   vmb_gpuvm_clear(gpuvm);
   vmb_gpuvm_bo_put(vm_bo);
   vmb_gpuvm_bo_free_deferred(vmb_gpuvm_bo_take_deferred(gpuvm));
   vmb_gpuvm_unref(gpuvm);
   vmb_gpuvm_obj_finish(&bo.obj);
   return ret ? 1 : 0;
}

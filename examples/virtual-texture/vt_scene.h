/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What the GPU does in one frame: upload the new pages, draw the picture, draw
 * the feedback, audit the texture, and bring all three back to the CPU.  It
 * must never choose pages, nor know what the results are used for.
 */

#ifndef VT_SCENE_H
#define VT_SCENE_H

#include <stdint.h>

#include "vt_camera.h"
#include "vt_texture.h"
#include "vt_vk.h"

/* Feedback of a frame is used this many frames later, whatever the speed of
 * the GPU: pictures must not depend on timing.  It is drawn from where the
 * camera will be by then.
 */
#define VT_LATENCY 2
#define VT_SLOTS   (VT_LATENCY + 1)

/* Pages bound, drawn and uploaded in one frame, at most. */
#define VT_PAGE_BUDGET 64

/* The feedback picture is smaller by this in both directions. */
#define VT_FEEDBACK_SHIFT 2

#define VT_AUDIT_PLACES 4

/* What shaders/audit.comp writes for each page. */
struct vt_finding {
   uint32_t alphas;
   uint32_t resident;
};

/* A page to upload: its texels are at `staging_B` in the slot's staging. */
struct vt_upload {
   uint32_t page;
   uint32_t staging_B;
};

/* All that belongs to one frame in flight. */
struct vt_slot {
   VkCommandPool commands;
   VkCommandBuffer command;
   VkDescriptorSet set;
   struct vt_buffer staging;
   struct vt_buffer picture;  /* RGBA8 */
   struct vt_buffer feedback; /* R32 */
   struct vt_buffer audit;    /* struct vt_finding for each page */
};

struct vt_scene {
   uint32_t width_px, height_px;
   uint32_t feedback_width_px, feedback_height_px;

   struct vt_image colour, colour_depth;
   struct vt_image pages, pages_depth;
   VkRenderPass colour_pass, feedback_pass;
   VkFramebuffer colour_frame, feedback_frame;

   VkSampler sampler;
   VkDescriptorSetLayout set_layout;
   VkDescriptorPool descriptors;
   VkPipelineLayout layout;
   VkPipeline terrain, sky, feedback, audit;

   struct vt_buffer vertices;
   struct vt_buffer indices;
   float (*chunk_height)[2]; /* lowest and highest of each chunk */

   struct vt_slot slots[VT_SLOTS];
};

void vt_scene_init(const struct vt_vk *vk, struct vt_scene *scene, const struct vt_texture *texture,
                   const struct vt_pages *pages, const struct vt_world *world, uint32_t width_px,
                   uint32_t height_px);
void vt_scene_finish(const struct vt_vk *vk, struct vt_scene *scene);

/* Brings the whole image into the layout that frames expect, and uploads the
 * levels that are always resident, from `staging`.  Waits for `wait`, and
 * until it is done.
 */
void vt_scene_upload_base(const struct vt_vk *vk, struct vt_scene *scene,
                          const struct vt_texture *texture, const struct vt_pages *pages,
                          const struct vt_buffer *staging, const struct vt_upload *uploads,
                          uint32_t count, VkSemaphore wait, uint64_t wait_value);

/* Records and submits one frame: the picture from `camera`, the feedback from
 * `ahead`.
 */
void vt_scene_submit(const struct vt_vk *vk, struct vt_scene *scene,
                     const struct vt_texture *texture, const struct vt_pages *pages,
                     struct vt_slot *slot, const struct vt_camera *camera,
                     const struct vt_camera *ahead, const struct vt_upload *uploads,
                     uint32_t upload_count, const uint32_t places[VT_AUDIT_PLACES],
                     VkSemaphore wait, uint64_t wait_value, VkSemaphore signal,
                     uint64_t signal_value);

#endif /* VT_SCENE_H */

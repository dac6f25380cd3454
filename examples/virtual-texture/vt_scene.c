/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See vt_scene.h.
 */

#include "vt_scene.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "vt_util.h"

#include "audit_comp.h"
#include "feedback_frag.h"
#include "sky_frag.h"
#include "sky_vert.h"
#include "terrain_frag.h"
#include "terrain_vert.h"

#define COLOUR_FORMAT VK_FORMAT_R8G8B8A8_UNORM
#define PAGE_FORMAT   VK_FORMAT_R32_UINT
#define DEPTH_FORMAT  VK_FORMAT_D32_SFLOAT

/* The relief: chunks of quads, each drawn or not as a whole. */
#define GRID_QUADS    384
#define CHUNK_QUADS   16
#define CHUNKS        (GRID_QUADS / CHUNK_QUADS)
#define CHUNK_INDICES (CHUNK_QUADS * CHUNK_QUADS * 6)

#define ALL_STAGES                                                                                 \
   (VK_SHADER_STAGE_VERTEX_BIT | VK_SHADER_STAGE_FRAGMENT_BIT | VK_SHADER_STAGE_COMPUTE_BIT)

/* Stages that read the texture. */
#define READERS (VK_PIPELINE_STAGE_FRAGMENT_SHADER_BIT | VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT)

/* As in shaders/audit.comp. */
struct audit_constants {
   uint32_t page_count;
   uint32_t texture_px;
   uint32_t places[VT_AUDIT_PLACES];
};

/* ---- relief ---- */

static void
build_relief(const struct vt_vk *vk, struct vt_scene *scene, const struct vt_world *world)
{
   const uint32_t side = GRID_QUADS + 1;

   vt_buffer_init(vk, &scene->vertices, (VkDeviceSize)side * side * 3 * sizeof(float),
                  VK_BUFFER_USAGE_VERTEX_BUFFER_BIT);
   float *vertex = scene->vertices.data;
   for (uint32_t y = 0; y < side; y++) {
      for (uint32_t x = 0; x < side; x++) {
         float u = (float)x / GRID_QUADS, v = (float)y / GRID_QUADS;
         float h = vt_world_sample(world->height, u, v);

         *vertex++ = u;
         *vertex++ = VT_MAX(h, 0.0f) * VT_RELIEF;
         *vertex++ = v;
      }
   }

   vt_buffer_init(vk, &scene->indices,
                  (VkDeviceSize)CHUNKS * CHUNKS * CHUNK_INDICES * sizeof(uint32_t),
                  VK_BUFFER_USAGE_INDEX_BUFFER_BIT);
   scene->chunk_height = vt_alloc(CHUNKS * CHUNKS, sizeof(*scene->chunk_height));

   const float *vertices = scene->vertices.data;
   uint32_t *index = scene->indices.data;
   for (uint32_t chunk = 0; chunk < CHUNKS * CHUNKS; chunk++) {
      float *range = scene->chunk_height[chunk];

      range[0] = VT_RELIEF;
      for (uint32_t quad = 0; quad < CHUNK_QUADS * CHUNK_QUADS; quad++) {
         uint32_t x = chunk % CHUNKS * CHUNK_QUADS + quad % CHUNK_QUADS;
         uint32_t y = chunk / CHUNKS * CHUNK_QUADS + quad / CHUNK_QUADS;
         uint32_t at = y * side + x;
         const uint32_t corners[4] = {at, at + 1, at + side, at + side + 1};
         static const uint8_t order[6] = {0, 1, 2, 2, 1, 3};

         for (uint32_t i = 0; i < 6; i++)
            *index++ = corners[order[i]];
         for (uint32_t i = 0; i < 4; i++) {
            float h = vertices[corners[i] * 3 + 1];
            range[0] = VT_MIN(range[0], h);
            range[1] = VT_MAX(range[1], h);
         }
      }
   }
}

/* ---- targets ---- */

static VkRenderPass
create_pass(const struct vt_vk *vk, VkFormat format)
{
   const VkAttachmentDescription attachments[2] = {
      {
         .format = format,
         .samples = VK_SAMPLE_COUNT_1_BIT,
         .loadOp = VK_ATTACHMENT_LOAD_OP_CLEAR,
         .storeOp = VK_ATTACHMENT_STORE_OP_STORE,
         .stencilLoadOp = VK_ATTACHMENT_LOAD_OP_DONT_CARE,
         .stencilStoreOp = VK_ATTACHMENT_STORE_OP_DONT_CARE,
         .finalLayout = VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL,
      },
      {
         .format = DEPTH_FORMAT,
         .samples = VK_SAMPLE_COUNT_1_BIT,
         .loadOp = VK_ATTACHMENT_LOAD_OP_CLEAR,
         .storeOp = VK_ATTACHMENT_STORE_OP_DONT_CARE,
         .stencilLoadOp = VK_ATTACHMENT_LOAD_OP_DONT_CARE,
         .stencilStoreOp = VK_ATTACHMENT_STORE_OP_DONT_CARE,
         .finalLayout = VK_IMAGE_LAYOUT_DEPTH_STENCIL_ATTACHMENT_OPTIMAL,
      },
   };
   const VkAttachmentReference colour = {0, VK_IMAGE_LAYOUT_COLOR_ATTACHMENT_OPTIMAL};
   const VkAttachmentReference depth = {1, VK_IMAGE_LAYOUT_DEPTH_STENCIL_ATTACHMENT_OPTIMAL};
   const VkSubpassDescription subpass = {
      .pipelineBindPoint = VK_PIPELINE_BIND_POINT_GRAPHICS,
      .colorAttachmentCount = 1,
      .pColorAttachments = &colour,
      .pDepthStencilAttachment = &depth,
   };
   const VkPipelineStageFlags depth_tests =
      VK_PIPELINE_STAGE_EARLY_FRAGMENT_TESTS_BIT | VK_PIPELINE_STAGE_LATE_FRAGMENT_TESTS_BIT;
   const VkSubpassDependency dependencies[2] = {
      {
         /* The frame before used the same targets, and copied from them. */
         .srcSubpass = VK_SUBPASS_EXTERNAL,
         .dstSubpass = 0,
         .srcStageMask = VK_PIPELINE_STAGE_TRANSFER_BIT |
                         VK_PIPELINE_STAGE_COLOR_ATTACHMENT_OUTPUT_BIT | depth_tests,
         .dstStageMask = VK_PIPELINE_STAGE_COLOR_ATTACHMENT_OUTPUT_BIT | depth_tests,
         .srcAccessMask =
            VK_ACCESS_COLOR_ATTACHMENT_WRITE_BIT | VK_ACCESS_DEPTH_STENCIL_ATTACHMENT_WRITE_BIT,
         .dstAccessMask = VK_ACCESS_COLOR_ATTACHMENT_WRITE_BIT |
                          VK_ACCESS_COLOR_ATTACHMENT_READ_BIT |
                          VK_ACCESS_DEPTH_STENCIL_ATTACHMENT_WRITE_BIT |
                          VK_ACCESS_DEPTH_STENCIL_ATTACHMENT_READ_BIT,
      },
      {
         .srcSubpass = 0,
         .dstSubpass = VK_SUBPASS_EXTERNAL,
         .srcStageMask = VK_PIPELINE_STAGE_COLOR_ATTACHMENT_OUTPUT_BIT,
         .dstStageMask = VK_PIPELINE_STAGE_TRANSFER_BIT,
         .srcAccessMask = VK_ACCESS_COLOR_ATTACHMENT_WRITE_BIT,
         .dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT,
      },
   };
   const VkRenderPassCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_RENDER_PASS_CREATE_INFO,
      .attachmentCount = 2,
      .pAttachments = attachments,
      .subpassCount = 1,
      .pSubpasses = &subpass,
      .dependencyCount = 2,
      .pDependencies = dependencies,
   };
   VkRenderPass pass;

   vt_check(vkCreateRenderPass(vk->device, &info, NULL, &pass), "vkCreateRenderPass");
   return pass;
}

static void
create_target(const struct vt_vk *vk, VkFormat format, uint32_t width_px, uint32_t height_px,
              struct vt_image *colour, struct vt_image *depth, VkRenderPass *pass,
              VkFramebuffer *frame)
{
   vt_image_init(vk, colour, format, width_px, height_px,
                 VK_IMAGE_USAGE_COLOR_ATTACHMENT_BIT | VK_IMAGE_USAGE_TRANSFER_SRC_BIT,
                 VK_IMAGE_ASPECT_COLOR_BIT);
   vt_image_init(vk, depth, DEPTH_FORMAT, width_px, height_px,
                 VK_IMAGE_USAGE_DEPTH_STENCIL_ATTACHMENT_BIT, VK_IMAGE_ASPECT_DEPTH_BIT);
   *pass = create_pass(vk, format);

   const VkImageView views[2] = {colour->view, depth->view};
   const VkFramebufferCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_FRAMEBUFFER_CREATE_INFO,
      .renderPass = *pass,
      .attachmentCount = 2,
      .pAttachments = views,
      .width = width_px,
      .height = height_px,
      .layers = 1,
   };
   vt_check(vkCreateFramebuffer(vk->device, &info, NULL, frame), "vkCreateFramebuffer");
}

/* ---- descriptors ---- */

static void
create_descriptors(const struct vt_vk *vk, struct vt_scene *scene)
{
   const VkSamplerCreateInfo sampler = {
      .sType = VK_STRUCTURE_TYPE_SAMPLER_CREATE_INFO,
      .magFilter = VK_FILTER_LINEAR,
      .minFilter = VK_FILTER_LINEAR,
      .mipmapMode = VK_SAMPLER_MIPMAP_MODE_LINEAR,
      .addressModeU = VK_SAMPLER_ADDRESS_MODE_CLAMP_TO_EDGE,
      .addressModeV = VK_SAMPLER_ADDRESS_MODE_CLAMP_TO_EDGE,
      .addressModeW = VK_SAMPLER_ADDRESS_MODE_CLAMP_TO_EDGE,
      .maxLod = VK_LOD_CLAMP_NONE,
   };
   const VkDescriptorSetLayoutBinding bindings[2] = {
      {0, VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER, 1,
       VK_SHADER_STAGE_FRAGMENT_BIT | VK_SHADER_STAGE_COMPUTE_BIT, NULL},
      {1, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1, VK_SHADER_STAGE_COMPUTE_BIT, NULL},
   };
   const VkDescriptorSetLayoutCreateInfo set_layout = {
      .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
      .bindingCount = VT_ARRAY_SIZE(bindings),
      .pBindings = bindings,
   };
   const VkPushConstantRange constants = {
      ALL_STAGES,
      0,
      sizeof(struct vt_camera),
   };
   const VkDescriptorPoolSize sizes[2] = {
      {VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER, VT_SLOTS},
      {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, VT_SLOTS},
   };
   const VkDescriptorPoolCreateInfo pool = {
      .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
      .maxSets = VT_SLOTS,
      .poolSizeCount = VT_ARRAY_SIZE(sizes),
      .pPoolSizes = sizes,
   };

   vt_check(vkCreateSampler(vk->device, &sampler, NULL, &scene->sampler), "vkCreateSampler");
   vt_check(vkCreateDescriptorSetLayout(vk->device, &set_layout, NULL, &scene->set_layout),
            "vkCreateDescriptorSetLayout");
   vt_check(vkCreateDescriptorPool(vk->device, &pool, NULL, &scene->descriptors),
            "vkCreateDescriptorPool");

   const VkPipelineLayoutCreateInfo layout = {
      .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
      .setLayoutCount = 1,
      .pSetLayouts = &scene->set_layout,
      .pushConstantRangeCount = 1,
      .pPushConstantRanges = &constants,
   };
   vt_check(vkCreatePipelineLayout(vk->device, &layout, NULL, &scene->layout),
            "vkCreatePipelineLayout");
}

/* ---- pipelines ---- */

static VkShaderModule
create_module(const struct vt_vk *vk, const uint32_t *code, size_t size_B)
{
   const VkShaderModuleCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
      .codeSize = size_B,
      .pCode = code,
   };
   VkShaderModule module;

   vt_check(vkCreateShaderModule(vk->device, &info, NULL, &module), "vkCreateShaderModule");
   return module;
}

struct pipeline_info {
   const uint32_t *vertex, *fragment;
   size_t vertex_B, fragment_B;
   VkRenderPass pass;
   uint32_t width_px, height_px;
   bool is_relief; /* else one triangle behind everything */
   const VkSpecializationInfo *specialization;
};

static VkPipeline
create_pipeline(const struct vt_vk *vk, const struct vt_scene *scene, const struct pipeline_info *p)
{
   VkShaderModule vertex = create_module(vk, p->vertex, p->vertex_B);
   VkShaderModule fragment = create_module(vk, p->fragment, p->fragment_B);
   const VkPipelineShaderStageCreateInfo stages[2] = {
      {
         .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
         .stage = VK_SHADER_STAGE_VERTEX_BIT,
         .module = vertex,
         .pName = "main",
      },
      {
         .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
         .stage = VK_SHADER_STAGE_FRAGMENT_BIT,
         .module = fragment,
         .pName = "main",
         .pSpecializationInfo = p->specialization,
      },
   };
   const VkVertexInputBindingDescription binding = {0, 3 * sizeof(float),
                                                    VK_VERTEX_INPUT_RATE_VERTEX};
   const VkVertexInputAttributeDescription attribute = {0, 0, VK_FORMAT_R32G32B32_SFLOAT, 0};
   const VkPipelineVertexInputStateCreateInfo input = {
      .sType = VK_STRUCTURE_TYPE_PIPELINE_VERTEX_INPUT_STATE_CREATE_INFO,
      .vertexBindingDescriptionCount = p->is_relief ? 1 : 0,
      .pVertexBindingDescriptions = &binding,
      .vertexAttributeDescriptionCount = p->is_relief ? 1 : 0,
      .pVertexAttributeDescriptions = &attribute,
   };
   const VkPipelineInputAssemblyStateCreateInfo assembly = {
      .sType = VK_STRUCTURE_TYPE_PIPELINE_INPUT_ASSEMBLY_STATE_CREATE_INFO,
      .topology = VK_PRIMITIVE_TOPOLOGY_TRIANGLE_LIST,
   };
   const VkViewport viewport = {
      0.0f, 0.0f, (float)p->width_px, (float)p->height_px, 0.0f, 1.0f,
   };
   const VkRect2D scissor = {{0, 0}, {p->width_px, p->height_px}};
   const VkPipelineViewportStateCreateInfo viewports = {
      .sType = VK_STRUCTURE_TYPE_PIPELINE_VIEWPORT_STATE_CREATE_INFO,
      .viewportCount = 1,
      .pViewports = &viewport,
      .scissorCount = 1,
      .pScissors = &scissor,
   };
   const VkPipelineRasterizationStateCreateInfo rasterization = {
      .sType = VK_STRUCTURE_TYPE_PIPELINE_RASTERIZATION_STATE_CREATE_INFO,
      .polygonMode = VK_POLYGON_MODE_FILL,
      .cullMode = VK_CULL_MODE_NONE,
      .lineWidth = 1.0f,
   };
   const VkPipelineMultisampleStateCreateInfo multisample = {
      .sType = VK_STRUCTURE_TYPE_PIPELINE_MULTISAMPLE_STATE_CREATE_INFO,
      .rasterizationSamples = VK_SAMPLE_COUNT_1_BIT,
   };
   const VkPipelineDepthStencilStateCreateInfo depth = {
      .sType = VK_STRUCTURE_TYPE_PIPELINE_DEPTH_STENCIL_STATE_CREATE_INFO,
      .depthTestEnable = VK_TRUE,
      .depthWriteEnable = p->is_relief,
      .depthCompareOp = VK_COMPARE_OP_LESS_OR_EQUAL,
   };
   const VkPipelineColorBlendAttachmentState attachment = {
      .colorWriteMask = VK_COLOR_COMPONENT_R_BIT | VK_COLOR_COMPONENT_G_BIT |
                        VK_COLOR_COMPONENT_B_BIT | VK_COLOR_COMPONENT_A_BIT,
   };
   const VkPipelineColorBlendStateCreateInfo blend = {
      .sType = VK_STRUCTURE_TYPE_PIPELINE_COLOR_BLEND_STATE_CREATE_INFO,
      .attachmentCount = 1,
      .pAttachments = &attachment,
   };
   const VkGraphicsPipelineCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_GRAPHICS_PIPELINE_CREATE_INFO,
      .stageCount = 2,
      .pStages = stages,
      .pVertexInputState = &input,
      .pInputAssemblyState = &assembly,
      .pViewportState = &viewports,
      .pRasterizationState = &rasterization,
      .pMultisampleState = &multisample,
      .pDepthStencilState = &depth,
      .pColorBlendState = &blend,
      .layout = scene->layout,
      .renderPass = p->pass,
   };
   VkPipeline pipeline;

   vt_check(vkCreateGraphicsPipelines(vk->device, VK_NULL_HANDLE, 1, &info, NULL, &pipeline),
            "vkCreateGraphicsPipelines");
   vkDestroyShaderModule(vk->device, fragment, NULL);
   vkDestroyShaderModule(vk->device, vertex, NULL);
   return pipeline;
}

static void
create_pipelines(const struct vt_vk *vk, struct vt_scene *scene, const struct vt_pages *pages)
{
   const int32_t constants[2] = {
      (int32_t)pages->fixed_level,
      (int32_t)pages->texture_px,
   };
   const VkSpecializationMapEntry entries[2] = {
      {0, 0, sizeof(int32_t)},
      {1, sizeof(int32_t), sizeof(int32_t)},
   };
   const VkSpecializationInfo picture_constants = {1, entries, sizeof(constants), constants};
   const VkSpecializationInfo feedback_constants = {2, entries, sizeof(constants), constants};

   const struct pipeline_info terrain = {
      .vertex = vt_terrain_vert,
      .vertex_B = sizeof(vt_terrain_vert),
      .fragment = vt_terrain_frag,
      .fragment_B = sizeof(vt_terrain_frag),
      .pass = scene->colour_pass,
      .width_px = scene->width_px,
      .height_px = scene->height_px,
      .is_relief = true,
      .specialization = &picture_constants,
   };
   const struct pipeline_info sky = {
      .vertex = vt_sky_vert,
      .vertex_B = sizeof(vt_sky_vert),
      .fragment = vt_sky_frag,
      .fragment_B = sizeof(vt_sky_frag),
      .pass = scene->colour_pass,
      .width_px = scene->width_px,
      .height_px = scene->height_px,
   };
   const struct pipeline_info feedback = {
      .vertex = vt_terrain_vert,
      .vertex_B = sizeof(vt_terrain_vert),
      .fragment = vt_feedback_frag,
      .fragment_B = sizeof(vt_feedback_frag),
      .pass = scene->feedback_pass,
      .width_px = scene->feedback_width_px,
      .height_px = scene->feedback_height_px,
      .is_relief = true,
      .specialization = &feedback_constants,
   };

   scene->terrain = create_pipeline(vk, scene, &terrain);
   scene->sky = create_pipeline(vk, scene, &sky);
   scene->feedback = create_pipeline(vk, scene, &feedback);

   VkShaderModule audit = create_module(vk, vt_audit_comp, sizeof(vt_audit_comp));
   const VkComputePipelineCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
      .stage =
         {
            .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
            .stage = VK_SHADER_STAGE_COMPUTE_BIT,
            .module = audit,
            .pName = "main",
         },
      .layout = scene->layout,
   };
   vt_check(vkCreateComputePipelines(vk->device, VK_NULL_HANDLE, 1, &info, NULL, &scene->audit),
            "vkCreateComputePipelines");
   vkDestroyShaderModule(vk->device, audit, NULL);
}

/* ---- slots ---- */

static void
init_slot(const struct vt_vk *vk, const struct vt_scene *scene, struct vt_slot *slot,
          const struct vt_texture *texture, const struct vt_pages *pages)
{
   const VkCommandPoolCreateInfo pool = {
      .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
      .queueFamilyIndex = vk->graphics_family,
   };
   vt_check(vkCreateCommandPool(vk->device, &pool, NULL, &slot->commands), "vkCreateCommandPool");

   const VkCommandBufferAllocateInfo command = {
      .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
      .commandPool = slot->commands,
      .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
      .commandBufferCount = 1,
   };
   vt_check(vkAllocateCommandBuffers(vk->device, &command, &slot->command),
            "vkAllocateCommandBuffers");

   vt_buffer_init(vk, &slot->staging, VT_PAGE_BUDGET * VT_PAGE_B, VK_BUFFER_USAGE_TRANSFER_SRC_BIT);
   vt_buffer_init(vk, &slot->picture, (VkDeviceSize)scene->width_px * scene->height_px * 4,
                  VK_BUFFER_USAGE_TRANSFER_DST_BIT);
   vt_buffer_init(vk, &slot->feedback,
                  (VkDeviceSize)scene->feedback_width_px * scene->feedback_height_px * 4,
                  VK_BUFFER_USAGE_TRANSFER_DST_BIT);
   vt_buffer_init(vk, &slot->audit, pages->page_count * sizeof(struct vt_finding),
                  VK_BUFFER_USAGE_STORAGE_BUFFER_BIT);

   const VkDescriptorSetAllocateInfo set = {
      .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
      .descriptorPool = scene->descriptors,
      .descriptorSetCount = 1,
      .pSetLayouts = &scene->set_layout,
   };
   vt_check(vkAllocateDescriptorSets(vk->device, &set, &slot->set), "vkAllocateDescriptorSets");

   const VkDescriptorImageInfo map = {scene->sampler, texture->view,
                                      VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL};
   const VkDescriptorBufferInfo findings = {slot->audit.buffer, 0, VK_WHOLE_SIZE};
   const VkWriteDescriptorSet writes[2] = {
      {
         .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
         .dstSet = slot->set,
         .dstBinding = 0,
         .descriptorCount = 1,
         .descriptorType = VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER,
         .pImageInfo = &map,
      },
      {
         .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
         .dstSet = slot->set,
         .dstBinding = 1,
         .descriptorCount = 1,
         .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
         .pBufferInfo = &findings,
      },
   };
   vkUpdateDescriptorSets(vk->device, VT_ARRAY_SIZE(writes), writes, 0, NULL);
}

void
vt_scene_init(const struct vt_vk *vk, struct vt_scene *scene, const struct vt_texture *texture,
              const struct vt_pages *pages, const struct vt_world *world, uint32_t width_px,
              uint32_t height_px)
{
   memset(scene, 0, sizeof(*scene));
   scene->width_px = width_px;
   scene->height_px = height_px;
   scene->feedback_width_px = VT_MAX(width_px >> VT_FEEDBACK_SHIFT, 1u);
   scene->feedback_height_px = VT_MAX(height_px >> VT_FEEDBACK_SHIFT, 1u);

   build_relief(vk, scene, world);
   create_target(vk, COLOUR_FORMAT, scene->width_px, scene->height_px, &scene->colour,
                 &scene->colour_depth, &scene->colour_pass, &scene->colour_frame);
   create_target(vk, PAGE_FORMAT, scene->feedback_width_px, scene->feedback_height_px,
                 &scene->pages, &scene->pages_depth, &scene->feedback_pass, &scene->feedback_frame);
   create_descriptors(vk, scene);
   create_pipelines(vk, scene, pages);
   for (uint32_t i = 0; i < VT_SLOTS; i++)
      init_slot(vk, scene, &scene->slots[i], texture, pages);
}

void
vt_scene_finish(const struct vt_vk *vk, struct vt_scene *scene)
{
   for (uint32_t i = 0; i < VT_SLOTS; i++) {
      struct vt_slot *slot = &scene->slots[i];

      vt_buffer_finish(vk, &slot->audit);
      vt_buffer_finish(vk, &slot->feedback);
      vt_buffer_finish(vk, &slot->picture);
      vt_buffer_finish(vk, &slot->staging);
      vkDestroyCommandPool(vk->device, slot->commands, NULL);
   }
   vkDestroyPipeline(vk->device, scene->audit, NULL);
   vkDestroyPipeline(vk->device, scene->feedback, NULL);
   vkDestroyPipeline(vk->device, scene->sky, NULL);
   vkDestroyPipeline(vk->device, scene->terrain, NULL);
   vkDestroyPipelineLayout(vk->device, scene->layout, NULL);
   vkDestroyDescriptorPool(vk->device, scene->descriptors, NULL);
   vkDestroyDescriptorSetLayout(vk->device, scene->set_layout, NULL);
   vkDestroySampler(vk->device, scene->sampler, NULL);
   vkDestroyFramebuffer(vk->device, scene->feedback_frame, NULL);
   vkDestroyFramebuffer(vk->device, scene->colour_frame, NULL);
   vkDestroyRenderPass(vk->device, scene->feedback_pass, NULL);
   vkDestroyRenderPass(vk->device, scene->colour_pass, NULL);
   vt_image_finish(vk, &scene->pages_depth);
   vt_image_finish(vk, &scene->pages);
   vt_image_finish(vk, &scene->colour_depth);
   vt_image_finish(vk, &scene->colour);
   vt_buffer_finish(vk, &scene->indices);
   vt_buffer_finish(vk, &scene->vertices);
   free(scene->chunk_height);
}

/* ---- recording ---- */

static void
begin(const struct vt_vk *vk, struct vt_slot *slot)
{
   const VkCommandBufferBeginInfo info = {
      .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
      .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT,
   };

   vt_check(vkResetCommandPool(vk->device, slot->commands, 0), "vkResetCommandPool");
   vt_check(vkBeginCommandBuffer(slot->command, &info), "vkBeginCommandBuffer");
}

static void
texture_barrier(VkCommandBuffer command, const struct vt_texture *texture, uint32_t level_count,
                VkImageLayout from, VkImageLayout to)
{
   const bool to_read = to == VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL;
   const VkImageMemoryBarrier barrier = {
      .sType = VK_STRUCTURE_TYPE_IMAGE_MEMORY_BARRIER,
      .srcAccessMask = to_read ? VK_ACCESS_TRANSFER_WRITE_BIT : 0,
      .dstAccessMask = to_read ? VK_ACCESS_SHADER_READ_BIT : VK_ACCESS_TRANSFER_WRITE_BIT,
      .oldLayout = from,
      .newLayout = to,
      .srcQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
      .dstQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
      .image = texture->image,
      .subresourceRange = {VK_IMAGE_ASPECT_COLOR_BIT, 0, level_count, 0, 1},
   };
   const VkPipelineStageFlags transfer = VK_PIPELINE_STAGE_TRANSFER_BIT;

   vkCmdPipelineBarrier(command, to_read ? transfer : READERS | transfer,
                        to_read ? READERS : transfer, 0, 0, NULL, 0, NULL, 1, &barrier);
}

static void
record_uploads(VkCommandBuffer command, const struct vt_texture *texture,
               const struct vt_pages *pages, VkBuffer staging, const struct vt_upload *uploads,
               uint32_t count)
{
   VkBufferImageCopy *copies = vt_alloc(count, sizeof(*copies));

   for (uint32_t i = 0; i < count; i++) {
      struct vt_page page = vt_pages_page(pages, uploads[i].page);
      uint32_t extent_px = vt_pages_extent_px(pages, page.level);

      copies[i] = (VkBufferImageCopy){
         .bufferOffset = uploads[i].staging_B,
         .imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, page.level, 0, 1},
         .imageOffset = {(int32_t)(page.x * VT_PAGE_PX), (int32_t)(page.y * VT_PAGE_PX), 0},
         .imageExtent = {extent_px, extent_px, 1},
      };
   }
   vkCmdCopyBufferToImage(command, staging, texture->image, VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL,
                          count, copies);
   free(copies);
}

/* Draws the chunks that the camera sees, neighbours in one draw. */
static void
record_relief(VkCommandBuffer command, const struct vt_scene *scene, const struct vt_camera *camera)
{
   const VkDeviceSize zero = 0;
   uint32_t run = 0;

   vkCmdBindVertexBuffers(command, 0, 1, &scene->vertices.buffer, &zero);
   vkCmdBindIndexBuffer(command, scene->indices.buffer, 0, VK_INDEX_TYPE_UINT32);

   for (uint32_t chunk = 0; chunk <= CHUNKS * CHUNKS; chunk++) {
      bool seen = false;

      if (chunk < CHUNKS * CHUNKS) {
         const float x = (float)(chunk % CHUNKS), y = (float)(chunk / CHUNKS);
         const float *height = scene->chunk_height[chunk];
         const float lo[3] = {x / CHUNKS, height[0], y / CHUNKS};
         const float hi[3] = {(x + 1) / CHUNKS, height[1], (y + 1) / CHUNKS};

         seen = vt_camera_sees_box(camera, lo, hi);
      }
      if (seen) {
         run++;
      } else if (run) {
         vkCmdDrawIndexed(command, run * CHUNK_INDICES, 1, (chunk - run) * CHUNK_INDICES, 0, 0);
         run = 0;
      }
   }
}

static void
begin_pass(VkCommandBuffer command, VkRenderPass pass, VkFramebuffer frame, uint32_t width_px,
           uint32_t height_px, uint32_t clear_value)
{
   const VkClearValue clear[2] = {
      {.color = {.uint32 = {clear_value, 0, 0, 0}}},
      {.depthStencil = {1.0f, 0}},
   };
   const VkRenderPassBeginInfo info = {
      .sType = VK_STRUCTURE_TYPE_RENDER_PASS_BEGIN_INFO,
      .renderPass = pass,
      .framebuffer = frame,
      .renderArea = {{0, 0}, {width_px, height_px}},
      .clearValueCount = 2,
      .pClearValues = clear,
   };

   vkCmdBeginRenderPass(command, &info, VK_SUBPASS_CONTENTS_INLINE);
}

static void
copy_to_host(VkCommandBuffer command, VkImage image, uint32_t width_px, uint32_t height_px,
             VkBuffer buffer)
{
   const VkBufferImageCopy copy = {
      .imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1},
      .imageExtent = {width_px, height_px, 1},
   };

   vkCmdCopyImageToBuffer(command, image, VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL, buffer, 1, &copy);
}

static void
record_pictures(VkCommandBuffer command, const struct vt_scene *scene, const struct vt_slot *slot,
                const struct vt_camera *camera, const struct vt_camera *ahead)
{
   struct vt_camera reduced = *ahead;

   vkCmdBindDescriptorSets(command, VK_PIPELINE_BIND_POINT_GRAPHICS, scene->layout, 0, 1,
                           &slot->set, 0, NULL);

   vkCmdPushConstants(command, scene->layout, ALL_STAGES, 0, sizeof(*camera), camera);
   begin_pass(command, scene->colour_pass, scene->colour_frame, scene->width_px, scene->height_px,
              0);
   vkCmdBindPipeline(command, VK_PIPELINE_BIND_POINT_GRAPHICS, scene->terrain);
   record_relief(command, scene, camera);
   vkCmdBindPipeline(command, VK_PIPELINE_BIND_POINT_GRAPHICS, scene->sky);
   vkCmdDraw(command, 3, 1, 0, 0);
   vkCmdEndRenderPass(command);
   copy_to_host(command, scene->colour.image, scene->width_px, scene->height_px,
                slot->picture.buffer);

   reduced.eye[3] = VT_FEEDBACK_SHIFT;
   vkCmdPushConstants(command, scene->layout, ALL_STAGES, 0, sizeof(reduced), &reduced);
   begin_pass(command, scene->feedback_pass, scene->feedback_frame, scene->feedback_width_px,
              scene->feedback_height_px, VT_FEEDBACK_NONE);
   vkCmdBindPipeline(command, VK_PIPELINE_BIND_POINT_GRAPHICS, scene->feedback);
   record_relief(command, scene, ahead);
   vkCmdEndRenderPass(command);
   copy_to_host(command, scene->pages.image, scene->feedback_width_px, scene->feedback_height_px,
                slot->feedback.buffer);
}

static void
record_audit(VkCommandBuffer command, const struct vt_scene *scene, const struct vt_slot *slot,
             const struct vt_pages *pages, const uint32_t places[VT_AUDIT_PLACES])
{
   struct audit_constants constants = {
      .page_count = pages->page_count,
      .texture_px = pages->texture_px,
   };

   memcpy(constants.places, places, sizeof(constants.places));
   vkCmdBindDescriptorSets(command, VK_PIPELINE_BIND_POINT_COMPUTE, scene->layout, 0, 1, &slot->set,
                           0, NULL);
   vkCmdPushConstants(command, scene->layout, ALL_STAGES, 0, sizeof(constants), &constants);
   vkCmdBindPipeline(command, VK_PIPELINE_BIND_POINT_COMPUTE, scene->audit);
   vkCmdDispatch(command, (pages->page_count + 63) / 64, 1, 1);
}

static void
record_host_barrier(VkCommandBuffer command)
{
   const VkMemoryBarrier barrier = {
      .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
      .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT | VK_ACCESS_SHADER_WRITE_BIT,
      .dstAccessMask = VK_ACCESS_HOST_READ_BIT,
   };

   vkCmdPipelineBarrier(command,
                        VK_PIPELINE_STAGE_TRANSFER_BIT | VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                        VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &barrier, 0, NULL, 0, NULL);
}

static void
submit(const struct vt_vk *vk, struct vt_slot *slot, VkSemaphore wait, uint64_t wait_value,
       VkSemaphore signal, uint64_t signal_value)
{
   const VkPipelineStageFlags stages = READERS | VK_PIPELINE_STAGE_TRANSFER_BIT;
   const VkTimelineSemaphoreSubmitInfo values = {
      .sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
      .waitSemaphoreValueCount = 1,
      .pWaitSemaphoreValues = &wait_value,
      .signalSemaphoreValueCount = signal ? 1 : 0,
      .pSignalSemaphoreValues = &signal_value,
   };
   const VkSubmitInfo info = {
      .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
      .pNext = &values,
      .waitSemaphoreCount = 1,
      .pWaitSemaphores = &wait,
      .pWaitDstStageMask = &stages,
      .commandBufferCount = 1,
      .pCommandBuffers = &slot->command,
      .signalSemaphoreCount = signal ? 1 : 0,
      .pSignalSemaphores = &signal,
   };

   vt_check(vkEndCommandBuffer(slot->command), "vkEndCommandBuffer");
   vt_check(vkQueueSubmit(vk->graphics_queue, 1, &info, VK_NULL_HANDLE), "vkQueueSubmit");
}

void
vt_scene_upload_base(const struct vt_vk *vk, struct vt_scene *scene,
                     const struct vt_texture *texture, const struct vt_pages *pages,
                     const struct vt_buffer *staging, const struct vt_upload *uploads,
                     uint32_t count, VkSemaphore wait, uint64_t wait_value)
{
   struct vt_slot *slot = &scene->slots[0];

   begin(vk, slot);
   texture_barrier(slot->command, texture, pages->level_count, VK_IMAGE_LAYOUT_UNDEFINED,
                   VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL);
   record_uploads(slot->command, texture, pages, staging->buffer, uploads, count);
   texture_barrier(slot->command, texture, pages->level_count, VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL,
                   VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL);
   submit(vk, slot, wait, wait_value, VK_NULL_HANDLE, 0);
   vt_check(vkQueueWaitIdle(vk->graphics_queue), "vkQueueWaitIdle");
}

void
vt_scene_submit(const struct vt_vk *vk, struct vt_scene *scene, const struct vt_texture *texture,
                const struct vt_pages *pages, struct vt_slot *slot, const struct vt_camera *camera,
                const struct vt_camera *ahead, const struct vt_upload *uploads,
                uint32_t upload_count, const uint32_t places[VT_AUDIT_PLACES], VkSemaphore wait,
                uint64_t wait_value, VkSemaphore signal, uint64_t signal_value)
{
   begin(vk, slot);
   if (upload_count) {
      /* Streamed levels only: the others are never written again. */
      texture_barrier(slot->command, texture, pages->fixed_level,
                      VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL,
                      VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL);
      record_uploads(slot->command, texture, pages, slot->staging.buffer, uploads, upload_count);
      texture_barrier(slot->command, texture, pages->fixed_level,
                      VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL,
                      VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL);
   }
   record_pictures(slot->command, scene, slot, camera, ahead);
   record_audit(slot->command, scene, slot, pages, places);
   record_host_barrier(slot->command);
   submit(vk, slot, wait, wait_value, signal, signal_value);
}

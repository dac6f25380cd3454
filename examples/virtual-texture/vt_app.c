/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The virtual-texture demo: an ordinary Vulkan program that flies over a
 * texture of which only the pages in view are resident.  This file is the
 * frame loop, and the only one that knows all the others:
 *
 *    frame N     wait for frame N - 2, take its picture, audit and feedback
 *                choose pages, draw them on the CPU
 *                vkQueueBindSparse: waits for frame N - 1, which may still use
 *                   what is evicted
 *                submit: waits for the bind; uploads, draws
 *
 * Every choice follows from the frame number and the feedback of a fixed
 * earlier frame, never from time: two correct drivers with the same
 * rasterizer give the same bytes.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vt_camera.h"
#include "vt_options.h"
#include "vt_output.h"
#include "vt_pages.h"
#include "vt_paint.h"
#include "vt_scene.h"
#include "vt_stats.h"
#include "vt_texture.h"
#include "vt_util.h"
#include "vt_vk.h"
#include "vt_workers.h"
#include "vt_world.h"

/* At most this many wrong pages are told one by one. */
#define MAX_REPORTS 8

/* What the CPU must remember of a frame until its results are there. */
struct record {
   struct vt_camera camera;
   uint32_t places[VT_AUDIT_PLACES];
   uint8_t *is_resident; /* for each page */
   uint64_t plan_digest;
   uint32_t bound, evicted, resident, absent;
};

struct app {
   struct vt_options options;
   struct vt_workers *workers;
   struct vt_world *world;
   struct vt_pages pages;
   struct vt_vk vk;
   struct vt_texture texture;
   struct vt_scene scene;
   struct vt_output *output; /* NULL: no pictures */
   FILE *digest_file;        /* NULL: none */
   FILE *raw_file;           /* NULL: none */

   /* The picture of the first level that is always resident. */
   uint8_t *overview;

   /* frame_timeline reaches N + 1 when frame N is drawn, bind_timeline
    * bind_value when the last bind is done.
    */
   VkSemaphore frame_timeline;
   VkSemaphore bind_timeline;
   uint64_t bind_value;

   struct record records[VT_SLOTS];
   struct vt_stats stats;
};

/* ---- the levels that are always resident ---- */

static void
paint_overview_page(void *data, uint32_t index)
{
   struct app *app = data;
   const uint32_t side = VT_FIXED_LEVEL_PX / VT_PAGE_PX;
   uint32_t x = index % side, y = index / side;
   uint8_t *page = vt_alloc(VT_PAGE_B, 1);

   vt_paint_page(app->world, app->pages.texture_px, app->pages.fixed_level, x, y, page);
   for (uint32_t row = 0; row < VT_PAGE_PX; row++) {
      memcpy(&app->overview[((y * VT_PAGE_PX + row) * VT_FIXED_LEVEL_PX + x * VT_PAGE_PX) * 4],
             &page[row * VT_PAGE_PX * 4], VT_PAGE_PX * 4);
   }
   free(page);
}

/* Cuts one level into pages, marks them and appends them to the staging. */
static void
stage_level(const struct vt_pages *pages, uint32_t level, const uint8_t *picture, uint8_t *staging,
            struct vt_upload *uploads, uint32_t *count, uint32_t *used_B)
{
   uint32_t side = vt_pages_side(pages, level);
   uint32_t extent_px = vt_pages_extent_px(pages, level);
   uint32_t pitch_B = side * extent_px * 4;

   for (uint32_t i = 0; i < side * side; i++) {
      uint32_t x = i % side, y = i / side;
      uint8_t *page = staging + *used_B;
      const uint8_t *corner = picture + (size_t)y * extent_px * pitch_B + x * extent_px * 4;

      for (uint32_t row = 0; row < extent_px; row++)
         memcpy(page + row * extent_px * 4, corner + row * pitch_B, extent_px * 4);
      /* The fixed level came from vt_paint_page with its marks. */
      if (level != pages->fixed_level)
         vt_paint_mark(level, x, y, extent_px, page);

      uploads[(*count)++] = (struct vt_upload){vt_pages_index(pages, level, x, y), *used_B};
      *used_B += extent_px * extent_px * 4;
   }
}

static void
load_base(struct app *app)
{
   const struct vt_pages *pages = &app->pages;
   uint32_t page_count = pages->page_count - pages->streamed_page_count;
   struct vt_upload *uploads = vt_alloc(page_count, sizeof(*uploads));
   uint32_t count = 0, used_B = 0;
   uint32_t size_px = VT_FIXED_LEVEL_PX;
   struct vt_buffer staging;

   app->overview = vt_alloc(VT_FIXED_LEVEL_PX * VT_FIXED_LEVEL_PX, 4);
   vt_workers_run(app->workers, paint_overview_page, app,
                  (VT_FIXED_LEVEL_PX / VT_PAGE_PX) * (VT_FIXED_LEVEL_PX / VT_PAGE_PX));

   vt_buffer_init(&app->vk, &staging, (VkDeviceSize)page_count * VT_PAGE_B,
                  VK_BUFFER_USAGE_TRANSFER_SRC_BIT);
   uint8_t *picture = vt_alloc((size_t)size_px * size_px, 4);
   memcpy(picture, app->overview, (size_t)size_px * size_px * 4);
   for (uint32_t level = pages->fixed_level; level < pages->level_count; level++) {
      stage_level(pages, level, picture, staging.data, uploads, &count, &used_B);
      if (size_px > 1) {
         uint8_t *half = vt_alloc((size_t)size_px * size_px / 4, 4);

         vt_paint_halve(picture, size_px, half);
         free(picture);
         picture = half;
         size_px /= 2;
      }
   }
   free(picture);

   vt_texture_bind_base(&app->vk, &app->texture, pages, app->bind_timeline, ++app->bind_value);
   vt_scene_upload_base(&app->vk, &app->scene, &app->texture, pages, &staging, uploads, count,
                        app->bind_timeline, app->bind_value);
   vt_buffer_finish(&app->vk, &staging);
   free(uploads);
}

/* ---- one frame ---- */

struct paint_job {
   const struct app *app;
   const struct vt_bind *binds;
   uint8_t *staging;
};

static void
paint_page(void *data, uint32_t index)
{
   const struct paint_job *job = data;
   const struct vt_pages *pages = &job->app->pages;
   struct vt_page page = vt_pages_page(pages, job->binds[index].page);

   vt_paint_page(job->app->world, pages->texture_px, page.level, page.x, page.y,
                 job->staging + (size_t)index * VT_PAGE_B);
}

/* Draws and binds the pages of a plan. */
static void
stream_pages(struct app *app, uint32_t frame, struct vt_slot *slot, const struct vt_plan *plan,
             struct vt_upload *uploads)
{
   struct paint_job job = {app, plan->binds, slot->staging.data};
   uint64_t start_ns = vt_now_ns();

   vt_workers_run(app->workers, paint_page, &job, plan->bind_count);
   app->stats.paint_ns += vt_now_ns() - start_ns;
   for (uint32_t i = 0; i < plan->bind_count; i++)
      uploads[i] = (struct vt_upload){plan->binds[i].page, i * VT_PAGE_B};

   if (plan->bind_count + plan->evict_count == 0)
      return;
   app->stats.bind_ns +=
      vt_texture_bind_plan(&app->vk, &app->texture, &app->pages, plan, app->frame_timeline, frame,
                           app->bind_timeline, ++app->bind_value);
   app->stats.bind_calls++;
}

static void
camera_of_frame(const struct app *app, uint32_t frame, struct vt_camera *camera)
{
   uint32_t last = app->options.frames - 1;
   double t = last ? (double)VT_MIN(frame, last) / last : 0.0;

   vt_camera_at(camera, app->world, t, (double)app->options.width_px / app->options.height_px);
}

static void
remember_frame(struct app *app, uint32_t frame, const struct vt_plan *plan)
{
   struct record *record = &app->records[frame % VT_SLOTS];
   struct vt_stats *stats = &app->stats;

   camera_of_frame(app, frame, &record->camera);
   for (uint32_t i = 0; i < VT_AUDIT_PLACES; i++)
      record->places[i] = vt_hash(i, frame, 0) & 0x7f7f;
   for (uint32_t i = 0; i < app->pages.page_count; i++)
      record->is_resident[i] = vt_pages_is_resident(&app->pages, i);

   record->plan_digest =
      vt_digest(vt_digest(VT_DIGEST_INIT, plan->evicts, plan->evict_count * sizeof(*plan->evicts)),
                plan->binds, plan->bind_count * sizeof(*plan->binds));
   record->bound = plan->bind_count;
   record->evicted = plan->evict_count;
   record->resident = app->pages.resident_count;
   record->absent = plan->absent_count;

   stats->bound += plan->bind_count;
   stats->evicted += plan->evict_count;
   stats->wanted += plan->wanted_count;
   stats->absent += plan->absent_count;
   stats->resident_end = app->pages.resident_count;
   stats->resident_peak = VT_MAX(stats->resident_peak, stats->resident_end);
}

static void
submit_frame(struct app *app, uint32_t frame, const uint32_t *feedback)
{
   struct vt_slot *slot = &app->scene.slots[frame % VT_SLOTS];
   struct record *record = &app->records[frame % VT_SLOTS];
   uint32_t feedback_count = app->scene.feedback_width_px * app->scene.feedback_height_px;
   struct vt_upload uploads[VT_PAGE_BUDGET];
   struct vt_camera ahead;
   const struct vt_plan *plan =
      vt_pages_update(&app->pages, frame, feedback, feedback ? feedback_count : 0, VT_PAGE_BUDGET);

   stream_pages(app, frame, slot, plan, uploads);
   remember_frame(app, frame, plan);
   camera_of_frame(app, frame + VT_LATENCY, &ahead);
   vt_scene_submit(&app->vk, &app->scene, &app->texture, &app->pages, slot, &record->camera, &ahead,
                   uploads, plan->bind_count, record->places, app->bind_timeline, app->bind_value,
                   app->frame_timeline, frame + 1);
}

/* ---- its results ---- */

/* The watermarks that a page must show. */
static uint32_t
expected_alphas(const struct vt_pages *pages, const struct vt_page *page,
                const uint32_t places[VT_AUDIT_PLACES])
{
   uint32_t mask = vt_pages_extent_px(pages, page->level) - 1;
   uint32_t alphas = 0;

   for (uint32_t i = 0; i < VT_AUDIT_PLACES; i++) {
      uint32_t x = places[i] & 255 & mask, y = places[i] >> 8 & mask;

      alphas |= (uint32_t)vt_paint_watermark(page->level, page->x, page->y, x, y) << 8 * i;
   }
   return alphas;
}

static void
report_wrong(struct app *app, uint32_t frame, const struct vt_page *page, bool resident,
             const struct vt_finding *found, uint32_t alphas)
{
   if (app->stats.wrong++ >= MAX_REPORTS)
      return;
   fflush(stdout);
   fprintf(stderr,
           "%svirtual-texture: frame %u: page L%u %u,%u is %s, but the GPU "
           "reads %08x (residency %x) instead of %08x\n",
           isatty(STDOUT_FILENO) ? "\n" : "", frame, page->level, page->x, page->y,
           resident ? "resident" : "not resident", found->alphas, found->resident, alphas);
}

/* Compares what the GPU read from every page with what is bound there, and
 * digests it.
 */
static uint64_t
check_audit(struct app *app, uint32_t frame, const struct vt_finding *found)
{
   const struct record *record = &app->records[frame % VT_SLOTS];
   const bool strict = app->vk.strict_reads || app->options.strict;
   uint64_t digest = VT_DIGEST_INIT;

   for (uint32_t i = 0; i < app->pages.page_count; i++) {
      struct vt_page page = vt_pages_page(&app->pages, i);
      bool resident = record->is_resident[i];
      struct vt_finding seen = found[i], expected = {0};

      if (resident) {
         expected.alphas = expected_alphas(&app->pages, &page, record->places);
         expected.resident = 0xf;
      }
      /* Of colours only that there are none is known. */
      if (resident || !strict)
         seen.resident &= 0xf;
      /* What an absent page reads as is the driver's choice unless strict. */
      if (!resident && !strict)
         seen.alphas = 0;

      if (seen.alphas != expected.alphas || seen.resident != expected.resident)
         report_wrong(app, frame, &page, resident, &found[i], expected.alphas);
      digest = vt_digest(digest, &seen, sizeof(seen));
   }
   app->stats.audited += (uint64_t)app->pages.page_count * VT_AUDIT_PLACES;
   return digest;
}

static void
show_progress(const struct app *app, uint32_t frame)
{
   const struct record *record = &app->records[frame % VT_SLOTS];
   uint32_t done = frame + 1, frames = app->options.frames;
   bool terminal = isatty(STDOUT_FILENO);

   if (!terminal && done % 20 != 0 && done != frames)
      return;
   printf("%sframe %*u/%u  resident %5u  bound %2u  evicted %2u%s", terminal ? "\r" : "", 3, done,
          frames, record->resident, record->bound, record->evicted,
          terminal && done != frames ? "" : "\n");
   fflush(stdout);
}

static void
write_raw(const struct app *app, const void *picture, size_t size_B)
{
   if (app->raw_file && fwrite(picture, size_B, 1, app->raw_file) != 1)
      vt_die("cannot write %s: %s", app->options.raw_path, strerror(errno));
}

/* Waits for a frame and takes its results. */
static void
finish_frame(struct app *app, uint32_t frame)
{
   const struct vt_slot *slot = &app->scene.slots[frame % VT_SLOTS];
   const struct record *record = &app->records[frame % VT_SLOTS];
   size_t picture_B = (size_t)app->options.width_px * app->options.height_px * 4;

   vt_vk_wait(&app->vk, app->frame_timeline, frame + 1);

   uint64_t audit_digest = check_audit(app, frame, slot->audit.data);
   write_raw(app, slot->picture.data, picture_B);
   if (app->digest_file)
      fprintf(app->digest_file,
              "frame %u picture %016" PRIx64 " pages %016" PRIx64 " audit %016" PRIx64
              " bound %u evicted %u\n",
              frame, vt_digest(VT_DIGEST_INIT, slot->picture.data, picture_B), record->plan_digest,
              audit_digest, record->bound, record->evicted);
   if (app->output)
      vt_output_frame(app->output, slot->picture.data,
                      &(struct vt_frame_info){
                         .frame = frame,
                         .bound = record->bound,
                         .evicted = record->evicted,
                         .resident = record->resident,
                         .absent = record->absent,
                         .is_resident = record->is_resident,
                         .camera = &record->camera,
                      });
   show_progress(app, frame);
}

static void
fly(struct app *app)
{
   uint64_t start_ns = vt_now_ns();
   uint32_t frames = app->options.frames;

   for (uint32_t frame = 0; frame < frames; frame++) {
      const uint32_t *feedback = NULL;

      if (frame >= VT_LATENCY) {
         uint32_t earlier = frame - VT_LATENCY;

         finish_frame(app, earlier);
         feedback = app->scene.slots[earlier % VT_SLOTS].feedback.data;
      }
      submit_frame(app, frame, feedback);
   }
   for (uint32_t frame = frames > VT_LATENCY ? frames - VT_LATENCY : 0; frame < frames; frame++)
      finish_frame(app, frame);
   app->stats.flight_ns = vt_now_ns() - start_ns;
}

/* ---- the whole ---- */

static FILE *
open_file(const char *path)
{
   FILE *file = NULL;

   if (path) {
      file = fopen(path, "wb");
      if (!file)
         vt_die("cannot write %s: %s", path, strerror(errno));
   }
   return file;
}

static void
close_file(FILE *file, const char *path)
{
   if (file && (ferror(file) || fclose(file) != 0))
      vt_die("cannot write %s: %s", path, strerror(errno));
}

static void
init_app(struct app *app)
{
   const struct vt_options *options = &app->options;

   vt_pages_init(&app->pages, options->texture_px, options->pool_mib * (1024 * 1024 / VT_PAGE_B));
   vt_vk_init(&app->vk, options->device);
   printf("%s: %ux%u texture, %u levels, pool of %u pages\n", app->vk.properties.deviceName,
          options->texture_px, options->texture_px, app->pages.level_count, app->pages.slot_count);
   fflush(stdout);

   app->digest_file = open_file(options->digest_path);
   app->raw_file = open_file(options->raw_path);
   app->workers = vt_workers_create();
   app->world = vt_world_create();
   vt_texture_init(&app->vk, &app->texture, &app->pages);
   vt_scene_init(&app->vk, &app->scene, &app->texture, &app->pages, app->world, options->width_px,
                 options->height_px);
   app->frame_timeline = vt_vk_timeline(&app->vk);
   app->bind_timeline = vt_vk_timeline(&app->vk);
   for (uint32_t i = 0; i < VT_SLOTS; i++)
      app->records[i].is_resident = vt_alloc(app->pages.page_count, 1);
   load_base(app);

   if (options->directory)
      app->output = vt_output_create(options->directory, &app->pages, app->overview,
                                     options->width_px, options->height_px, options->frames);
}

static void
write_results(struct app *app)
{
   struct vt_stats *stats = &app->stats;
   char title[160];

   stats->device = app->vk.properties.deviceName;
   stats->frames = app->options.frames;
   stats->texture_px = app->pages.texture_px;
   stats->pool_pages = app->pages.slot_count;
   stats->texture_B = app->texture.size_B;
   stats->base_B = app->texture.base_B;

   close_file(app->digest_file, app->options.digest_path);
   close_file(app->raw_file, app->options.raw_path);
   if (app->output) {
      snprintf(title, sizeof(title), "%u x %u texels, %u MiB of pages for %u MiB of texture - %s",
               stats->texture_px, stats->texture_px, app->options.pool_mib,
               (unsigned)(stats->texture_B >> 20), stats->device);
      vt_output_finish(app->output, title);
   }
   vt_stats_write(stats, app->options.directory);
}

static void
finish_app(struct app *app)
{
   vt_check(vkDeviceWaitIdle(app->vk.device), "vkDeviceWaitIdle");
   vkDestroySemaphore(app->vk.device, app->bind_timeline, NULL);
   vkDestroySemaphore(app->vk.device, app->frame_timeline, NULL);
   vt_scene_finish(&app->vk, &app->scene);
   vt_texture_finish(&app->vk, &app->texture);
   vt_vk_finish(&app->vk);
   for (uint32_t i = 0; i < VT_SLOTS; i++)
      free(app->records[i].is_resident);
   free(app->overview);
   vt_world_destroy(app->world);
   vt_workers_destroy(app->workers);
   vt_pages_finish(&app->pages);
}

int
main(int argc, char **argv)
{
   static struct app app;

   vt_options_parse(&app.options, argc, argv);
   if (app.options.list) {
      vt_vk_list();
      return 0;
   }

   init_app(&app);
   fly(&app);
   write_results(&app);
   finish_app(&app);

   if (app.stats.wrong) {
      fprintf(stderr, "virtual-texture: %" PRIu64 " pages were not what was bound\n",
              app.stats.wrong);
      return VT_EXIT_WRONG;
   }
   return 0;
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See vt_output.h.
 */

#include "vt_output.h"

#include <errno.h>
#include <math.h>
#include <png.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <webp/encode.h>
#include <webp/mux.h>

#include "vt_font.h"
#include "vt_util.h"

#define INSET_PX 104

/* The sheet: rows and columns of reduced frames with a caption each. */
#define SHEET_COLUMNS 3
#define SHEET_ROWS    4
#define SHEET_FRAMES  (SHEET_COLUMNS * SHEET_ROWS)
#define TILE_WIDTH_PX 480
#define GAP_PX        10
#define CAPTION_PX    22
#define TITLE_PX      50

#define FRAME_MS 50

struct vt_output {
   const char *directory;
   const struct vt_pages *pages;
   uint32_t width_px, height_px;
   uint32_t frame_count;
   uint32_t tile_height_px;

   uint8_t inset[INSET_PX * INSET_PX * 4]; /* without pages */
   uint8_t *frame;                         /* the frame being annotated */
   struct vt_canvas sheet;
   uint32_t sheet_next;
   WebPAnimEncoder *animation;
   WebPConfig animation_config;
};

static const struct vt_ink white = {255, 255, 255, 1.0f};
static const struct vt_ink shade = {12, 18, 32, 0.62f};

/* The same colours as the marks on the pages. */
static const struct vt_ink level_inks[] = {
   {235, 64, 52, 0.72f},  {240, 150, 40, 0.66f}, {245, 215, 60, 0.58f},
   {110, 200, 80, 0.50f}, {70, 170, 225, 0.40f}, {150, 110, 220, 0.35f},
};

char *
vt_output_path(const char *directory, const char *name)
{
   size_t size_B = strlen(directory) + strlen(name) + 2;
   char *path = vt_alloc(size_B, 1);

   snprintf(path, size_B, "%s/%s", directory, name);
   return path;
}

/* ---- scaling ---- */

/* Averages the source area under each texel of the target. */
static void
resample(const uint8_t *source, uint32_t source_width, uint32_t source_height,
         const struct vt_canvas *target, int left, int top, int width, int height)
{
   for (int y = 0; y < height; y++) {
      float y0 = (float)y * source_height / height;
      float y1 = (float)(y + 1) * source_height / height;

      for (int x = 0; x < width; x++) {
         float x0 = (float)x * source_width / width;
         float x1 = (float)(x + 1) * source_width / width;
         float sum[3] = {0}, area = 0.0f;

         for (uint32_t j = (uint32_t)y0; j < y1 && j < source_height; j++) {
            float h = VT_MIN((float)j + 1, y1) - VT_MAX((float)j, y0);

            for (uint32_t i = (uint32_t)x0; i < x1 && i < source_width; i++) {
               float w = VT_MIN((float)i + 1, x1) - VT_MAX((float)i, x0);
               const uint8_t *p = &source[(j * source_width + i) * 4];

               for (int c = 0; c < 3; c++)
                  sum[c] += p[c] * w * h;
               area += w * h;
            }
         }

         uint8_t *out = &target->rgba[((top + y) * target->width_px + left + x) * 4];
         for (int c = 0; c < 3; c++)
            out[c] = (uint8_t)(sum[c] / area + 0.5f);
         out[3] = 255;
      }
   }
}

/* ---- annotation ---- */

/* The finest level that is resident at a place, fixed_level if none is. */
static uint32_t
finest_level(const struct vt_pages *pages, const uint8_t *is_resident, float x, float y)
{
   for (uint32_t level = 0; level < pages->fixed_level; level++) {
      uint32_t side = vt_pages_side(pages, level);
      uint32_t page = vt_pages_index(pages, level, (uint32_t)(x * side), (uint32_t)(y * side));

      if (is_resident[page])
         return level;
   }
   return pages->fixed_level;
}

static void
draw_inset(struct vt_output *output, const struct vt_canvas *canvas,
           const struct vt_frame_info *info)
{
   const int left = canvas->width_px - INSET_PX - 8;
   const int top = canvas->height_px - INSET_PX - 8;
   const struct vt_camera *camera = info->camera;

   vt_fill(canvas, left - 2, top - 2, INSET_PX + 4, INSET_PX + 4, &shade);
   for (int y = 0; y < INSET_PX; y++) {
      memcpy(&canvas->rgba[((top + y) * canvas->width_px + left) * 4],
             &output->inset[y * INSET_PX * 4], INSET_PX * 4);
      for (int x = 0; x < INSET_PX; x++) {
         uint32_t level = finest_level(output->pages, info->is_resident,
                                       ((float)x + 0.5f) / INSET_PX, ((float)y + 0.5f) / INSET_PX);

         if (level < output->pages->fixed_level)
            vt_fill(canvas, left + x, top + y, 1, 1,
                    &level_inks[level % VT_ARRAY_SIZE(level_inks)]);
      }
   }

   /* The camera and its line of sight. */
   float length =
      sqrtf(camera->forward[0] * camera->forward[0] + camera->forward[2] * camera->forward[2]);
   for (int i = 24; i >= 0; i--) {
      float along = (float)i / INSET_PX * 0.5f / VT_MAX(length, 1e-3f);
      int x = (int)((camera->eye[0] + camera->forward[0] * along) * INSET_PX);
      int y = (int)((camera->eye[2] + camera->forward[2] * along) * INSET_PX);
      int size = i == 0 ? 5 : 1;

      if (x >= 2 && y >= 2 && x < INSET_PX - 2 && y < INSET_PX - 2)
         vt_fill(canvas, left + x - size / 2, top + y - size / 2, size, size, &white);
   }
}

static void
draw_legend(struct vt_output *output, const struct vt_canvas *canvas,
            const struct vt_frame_info *info)
{
   const int top = canvas->height_px - 16;
   int x = 8;
   char text[128];

   int width =
      snprintf(text, sizeof(text), "frame %03u  bound %2u  evicted %2u  resident %4u/%u",
               info->frame, info->bound, info->evicted, info->resident, output->pages->slot_count);
   width *= VT_FONT_ADVANCE_PX;
   vt_fill(canvas, 0, top - 4, canvas->width_px - INSET_PX - 14, 20, &shade);
   vt_text(canvas, x, top + 1, 1, &white, text);

   x += width + 16;
   for (uint32_t level = 0; level < output->pages->fixed_level; level++) {
      struct vt_ink ink = level_inks[level % VT_ARRAY_SIZE(level_inks)];

      ink.alpha = 1.0f;
      vt_fill(canvas, x, top + 1, 7, 7, &ink);
      snprintf(text, sizeof(text), "L%u", level);
      vt_text(canvas, x + 9, top + 1, 1, &white, text);
      x += 28;
   }
}

/* ---- the sheet ---- */

static void
sheet_init(struct vt_output *output)
{
   struct vt_canvas *sheet = &output->sheet;
   const struct vt_ink paper = {24, 28, 38, 1.0f};
   int tile_height = (int)output->tile_height_px;

   sheet->width_px = SHEET_COLUMNS * (TILE_WIDTH_PX + GAP_PX) + GAP_PX;
   sheet->height_px = TITLE_PX + SHEET_ROWS * (tile_height + CAPTION_PX + GAP_PX);
   sheet->rgba = vt_alloc((size_t)sheet->width_px * sheet->height_px, 4);
   vt_fill(sheet, 0, 0, sheet->width_px, sheet->height_px, &paper);
}

/* The frame in the n-th place, evenly spread over the flight. */
static uint32_t
sheet_frame(const struct vt_output *output, uint32_t n)
{
   return n * (output->frame_count - 1) / (SHEET_FRAMES - 1);
}

static void
sheet_add(struct vt_output *output, const uint8_t *rgba, const struct vt_frame_info *info)
{
   int tile_height = (int)output->tile_height_px;
   uint32_t n = output->sheet_next++;
   int left = GAP_PX + (int)(n % SHEET_COLUMNS) * (TILE_WIDTH_PX + GAP_PX);
   int top = TITLE_PX + (int)(n / SHEET_COLUMNS) * (tile_height + CAPTION_PX + GAP_PX);
   char caption[96];

   resample(rgba, output->width_px, output->height_px, &output->sheet, left, top, TILE_WIDTH_PX,
            tile_height);
   snprintf(caption, sizeof(caption),
            "frame %u: bound %u, evicted %u, resident %u, still absent %u", info->frame,
            info->bound, info->evicted, info->resident, info->absent);
   vt_text(&output->sheet, left, top + tile_height + 6, 1, &white, caption);
}

static void
sheet_write(struct vt_output *output, const char *title)
{
   static const struct vt_ink grey = {150, 162, 180, 1.0f};
   struct vt_canvas *sheet = &output->sheet;
   char *path = vt_output_path(output->directory, "frames.png");
   png_image image = {
      .version = PNG_IMAGE_VERSION,
      .width = (png_uint_32)sheet->width_px,
      .height = (png_uint_32)sheet->height_px,
      .format = PNG_FORMAT_RGB,
   };
   size_t pixels = (size_t)sheet->width_px * sheet->height_px;

   vt_text(sheet, GAP_PX, 9, 2, &white, "virtual-texture");
   vt_text(sheet, GAP_PX, 32, 1, &grey, title);

   for (size_t i = 0; i < pixels; i++)
      memmove(&sheet->rgba[i * 3], &sheet->rgba[i * 4], 3);
   if (!png_image_write_to_file(&image, path, 0, sheet->rgba, 0, NULL))
      vt_die("cannot write %s: %s", path, image.message);
   free(path);
}

/* ---- the animation ---- */

static void
animation_init(struct vt_output *output)
{
   WebPAnimEncoderOptions options;

   if (!WebPAnimEncoderOptionsInit(&options) || !WebPConfigInit(&output->animation_config))
      vt_die("libwebp is not the version that this was built with");
   options.kmax = 30;
   output->animation_config.quality = 78.0f;
   output->animation_config.method = 2;
   output->animation = WebPAnimEncoderNew((int)output->width_px, (int)output->height_px, &options);
   if (!output->animation)
      vt_die("libwebp cannot encode %ux%u", output->width_px, output->height_px);
}

static void
animation_add(struct vt_output *output, const uint8_t *rgba, uint32_t frame)
{
   WebPPicture picture;

   if (!WebPPictureInit(&picture))
      vt_die("libwebp is not the version that this was built with");
   picture.use_argb = 1;
   picture.width = (int)output->width_px;
   picture.height = (int)output->height_px;
   if (!WebPPictureImportRGBX(&picture, rgba, picture.width * 4) ||
       !WebPAnimEncoderAdd(output->animation, &picture, (int)frame * FRAME_MS,
                           &output->animation_config))
      vt_die("libwebp: %s", WebPAnimEncoderGetError(output->animation));
   WebPPictureFree(&picture);
}

static void
animation_write(struct vt_output *output)
{
   char *path = vt_output_path(output->directory, "flight.webp");
   FILE *file = fopen(path, "wb");
   WebPData data;

   WebPDataInit(&data);
   if (!WebPAnimEncoderAdd(output->animation, NULL, (int)output->frame_count * FRAME_MS, NULL) ||
       !WebPAnimEncoderAssemble(output->animation, &data))
      vt_die("libwebp: %s", WebPAnimEncoderGetError(output->animation));
   if (!file || fwrite(data.bytes, data.size, 1, file) != 1 || fclose(file) != 0)
      vt_die("cannot write %s: %s", path, strerror(errno));
   WebPDataClear(&data);
   WebPAnimEncoderDelete(output->animation);
   free(path);
}

/* ---- the whole ---- */

struct vt_output *
vt_output_create(const char *directory, const struct vt_pages *pages, const uint8_t *overview,
                 uint32_t width_px, uint32_t height_px, uint32_t frame_count)
{
   struct vt_output *output = vt_alloc(1, sizeof(*output));

   if (mkdir(directory, 0777) != 0 && errno != EEXIST)
      vt_die("cannot create %s: %s", directory, strerror(errno));

   output->directory = directory;
   output->pages = pages;
   output->width_px = width_px;
   output->height_px = height_px;
   output->frame_count = frame_count;
   output->tile_height_px = TILE_WIDTH_PX * height_px / width_px;
   output->frame = vt_alloc((size_t)width_px * height_px, 4);

   const struct vt_canvas inset = {output->inset, INSET_PX, INSET_PX};
   const struct vt_ink dim = {30, 34, 44, 0.45f};
   resample(overview, VT_FIXED_LEVEL_PX, VT_FIXED_LEVEL_PX, &inset, 0, 0, INSET_PX, INSET_PX);
   vt_fill(&inset, 0, 0, INSET_PX, INSET_PX, &dim);

   sheet_init(output);
   animation_init(output);
   return output;
}

void
vt_output_frame(struct vt_output *output, const uint8_t *rgba, const struct vt_frame_info *info)
{
   const struct vt_canvas canvas = {output->frame, (int)output->width_px, (int)output->height_px};

   memcpy(output->frame, rgba, (size_t)output->width_px * output->height_px * 4);
   /* There is no room for an inset on a very small picture. */
   if (canvas.width_px >= 4 * INSET_PX && canvas.height_px >= 2 * INSET_PX) {
      draw_inset(output, &canvas, info);
      draw_legend(output, &canvas, info);
   }

   animation_add(output, output->frame, info->frame);
   while (output->sheet_next < SHEET_FRAMES &&
          sheet_frame(output, output->sheet_next) == info->frame)
      sheet_add(output, output->frame, info);
}

void
vt_output_finish(struct vt_output *output, const char *title)
{
   sheet_write(output, title);
   animation_write(output);
   free(output->sheet.rgba);
   free(output->frame);
   free(output);
}

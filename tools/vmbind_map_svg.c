/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * The map as SVG: the picture itself as an image inside, and around it what a picture of pixels cannot say:
 * addresses, names (also where the pointer rests), time.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "vmbind_map.h"
#include "vmbind_tool.h"

#define LEFT   130 /* addresses */
#define RIGHT  230 /* names */
#define TOP    8
#define BOTTOM 28 /* time */
#define TICKS  6

/* A band with less has no room for a line of text. */
#define MIN_LABEL_HEIGHT 11

static int
encode_png(const struct picture *p, void **data_out, size_t *size_B_out)
{
   png_image image = {
      .version = PNG_IMAGE_VERSION,
      .width = p->width,
      .height = p->height,
      .format = PNG_FORMAT_RGB,
   };
   png_alloc_size_t size_B = 0;

   if (!png_image_write_to_memory(&image, NULL, &size_B, 0, p->pixels, 0, NULL))
      return -EINVAL;
   void *data = malloc(size_B);
   if (!data)
      return -ENOMEM;
   if (!png_image_write_to_memory(&image, data, &size_B, 0, p->pixels, 0, NULL)) {
      free(data);
      return -EINVAL;
   }
   *data_out = data;
   *size_B_out = size_B;
   return 0;
}

static void
put_base64(FILE *file, const uint8_t *data, size_t size_B)
{
   static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

   for (size_t i = 0; i < size_B; i += 3) {
      const size_t left = size_B - i;
      const uint32_t bits =
         data[i] << 16 | (left > 1 ? data[i + 1] << 8 : 0) | (left > 2 ? data[i + 2] : 0);

      putc(digits[bits >> 18], file);
      putc(digits[bits >> 12 & 63], file);
      putc(left > 1 ? digits[bits >> 6 & 63] : '=', file);
      putc(left > 2 ? digits[bits & 63] : '=', file);
   }
}

static void
put_text(FILE *file, const char *text)
{
   for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
      if (*c < 0x20 || *c >= 0x7f || strchr("<>&\"'", *c))
         fprintf(file, *c < 0x20 ? "?" : "&#%u;", *c);
      else
         putc(*c, file);
   }
}

static void
put_band(FILE *file, const struct picture *p, const struct band *band)
{
   const unsigned y = TOP + band->y;

   fprintf(file, "<rect x=\"%d\" y=\"%u\" width=\"%u\" height=\"%u\" fill-opacity=\"0\"><title>", LEFT, y,
           p->width, band->height);
   put_text(file, band->name);
   fprintf(file, " vm %u 0x%" PRIx64 " +0x%" PRIx64 ", %u operations</title></rect>\n", band->vm,
           band->addr_B, band->size_B, band->ops);
   if (band->height < MIN_LABEL_HEIGHT)
      return;
   fprintf(file, "<text x=\"%d\" y=\"%u\" text-anchor=\"end\">0x%012" PRIx64 "</text>\n", LEFT - 6, y + 9,
           band->addr_B);
   fprintf(file, "<text x=\"%u\" y=\"%u\">", LEFT + p->width + 6, y + 9);
   put_text(file, band->name);
   fprintf(file, " (%.1f MiB)</text>\n", band->size_B / 1048576.0);
}

static void
put_times(FILE *file, const struct picture *p)
{
   for (unsigned i = 0; i <= TICKS; i++) {
      const unsigned column = (uint64_t)i * (p->width - 1) / TICKS;

      fprintf(file,
              "<line x1=\"%u\" x2=\"%u\" y1=\"%u\" y2=\"%u\" stroke=\"#888\"/>"
              "<text x=\"%u\" y=\"%u\" text-anchor=\"middle\">%.3f s</text>\n",
              LEFT + column, LEFT + column, TOP + p->height, TOP + p->height + 5, LEFT + column,
              TOP + p->height + 18, p->column_ns[column] / 1e9);
   }
}

int
map_write_svg(const char *path, const struct picture *p)
{
   size_t size_B;
   void *png;

   if (encode_png(p, &png, &size_B))
      return tool_error(TOOL_FAILED, "%s: the picture cannot be encoded", path);
   FILE *file = fopen(path, "w");
   if (!file) {
      free(png);
      return tool_error(TOOL_FAILED, "%s: %s", path, strerror(errno));
   }

   fprintf(file,
           "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" "
           "font-family=\"monospace\" font-size=\"10\" fill=\"#ccc\">\n"
           "<rect width=\"100%%\" height=\"100%%\" fill=\"#111\"/>\n"
           "<image x=\"%d\" y=\"%d\" width=\"%u\" height=\"%u\" href=\"data:image/png;base64,",
           LEFT + p->width + RIGHT, TOP + p->height + BOTTOM, LEFT, TOP, p->width, p->height);
   put_base64(file, png, size_B);
   fprintf(file, "\"/>\n");
   free(png);
   for (size_t i = 0; i < p->band_count; i++)
      put_band(file, p, &p->bands[i]);
   put_times(file, p);
   fprintf(file, "</svg>\n");

   const bool failed = ferror(file);
   if (fclose(file) || failed)
      return tool_error(TOOL_FAILED, "%s: %s", path, strerror(errno));
   return 0;
}

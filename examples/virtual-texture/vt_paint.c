/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See vt_paint.h.  The cost of a page matters (it is drawn between two frames)
 * so that the noise is evaluated lattice by lattice, and lines are drawn as
 * segments into a coverage buffer instead of being searched for per texel.
 */

#include "vt_paint.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vt_font.h"
#include "vt_pages.h"
#include "vt_util.h"

/* The page and a margin of one texel for slopes. */
#define PATCH_PX (VT_PAGE_PX + 2)

#define SEED_DETAIL    211u
#define SEED_FIELD     223u
#define SEED_BLOCK     227u
#define SEED_GROUND    229u
#define SEED_WATERMARK 233u

struct rgb {
   float r, g, b;
};

/* Everything about the page that is being drawn. */
struct patch {
   const struct vt_world *world;
   uint32_t level;
   double x, y; /* of the top left texel's top left corner */
   float texel; /* world units */

   float height[PATCH_PX * PATCH_PX];
   float moisture[PATCH_PX * PATCH_PX];
   float ground[PATCH_PX * PATCH_PX]; /* fine noise for colours */

   float river[VT_PAGE_PX * VT_PAGE_PX];
   float road[VT_PAGE_PX * VT_PAGE_PX];
   struct rgb colour[VT_PAGE_PX * VT_PAGE_PX];
};

static struct rgb
mix(struct rgb a, struct rgb b, float t)
{
   return (struct rgb){
      vt_mixf(a.r, b.r, t),
      vt_mixf(a.g, b.g, t),
      vt_mixf(a.b, b.b, t),
   };
}

static struct rgb
scale(struct rgb a, float s)
{
   return (struct rgb){a.r * s, a.g * s, a.b * s};
}

/* ---- relief ---- */

struct lattice_axis {
   int cell[PATCH_PX];
   float offset[PATCH_PX];
   float fade[PATCH_PX];
};

static void
lattice_axis_init(struct lattice_axis *axis, double start, double step)
{
   int first = (int)floor(start);

   for (int i = 0; i < PATCH_PX; i++) {
      double at = start + step * i;
      int cell = (int)floor(at);
      float t = (float)(at - cell);

      axis->cell[i] = cell - first;
      axis->offset[i] = t;
      axis->fade[i] = t * t * t * (t * (t * 6.0f - 15.0f) + 10.0f);
   }
}

/* Adds one octave of gradient noise: `frequency` lattice cells across the
 * world.  The lattice is never finer than half the texels.
 */
static void
add_noise(const struct patch *patch, uint32_t seed, uint32_t frequency, float amplitude, float *out)
{
   enum { MAX_LATTICE = PATCH_PX / 2 + 3 };
   float gx[MAX_LATTICE][MAX_LATTICE], gy[MAX_LATTICE][MAX_LATTICE];
   double step = (double)patch->texel * frequency;
   double x = (patch->x - 0.5 * patch->texel) * frequency;
   double y = (patch->y - 0.5 * patch->texel) * frequency;
   int first_x = (int)floor(x), first_y = (int)floor(y);
   struct lattice_axis ax, ay;

   lattice_axis_init(&ax, x, step);
   lattice_axis_init(&ay, y, step);

   for (int j = 0; j <= ay.cell[PATCH_PX - 1] + 1; j++) {
      for (int i = 0; i <= ax.cell[PATCH_PX - 1] + 1; i++) {
         uint32_t h = vt_hash(seed + frequency, (uint32_t)(first_x + i), (uint32_t)(first_y + j));

         gx[j][i] = (float)(int32_t)(h & 0xffff) / 32768.0f - 1.0f;
         gy[j][i] = (float)(int32_t)(h >> 16) / 32768.0f - 1.0f;
      }
   }

   for (int row = 0; row < PATCH_PX; row++) {
      int j = ay.cell[row];
      float fy = ay.offset[row], v = ay.fade[row];

      for (int column = 0; column < PATCH_PX; column++) {
         int i = ax.cell[column];
         float fx = ax.offset[column], u = ax.fade[column];
         float a = gx[j][i] * fx + gy[j][i] * fy;
         float b = gx[j][i + 1] * (fx - 1.0f) + gy[j][i + 1] * fy;
         float c = gx[j + 1][i] * fx + gy[j + 1][i] * (fy - 1.0f);
         float d = gx[j + 1][i + 1] * (fx - 1.0f) + gy[j + 1][i + 1] * (fy - 1.0f);

         a += (b - a) * u;
         c += (d - c) * u;
         out[row * PATCH_PX + column] += amplitude * (a + (c - a) * v);
      }
   }
}

/* The world's relief plus the octaves that this level's texels can show. */
static void
make_relief(struct patch *patch)
{
   double x = patch->x - 0.5 * patch->texel;
   double y = patch->y - 0.5 * patch->texel;
   float detail[PATCH_PX * PATCH_PX] = {0};
   float amplitude = 0.034f;

   vt_world_patch(patch->world->height, x, y, patch->texel, PATCH_PX, patch->height);
   vt_world_patch(patch->world->moisture, x, y, patch->texel, PATCH_PX, patch->moisture);
   memset(patch->ground, 0, sizeof(patch->ground));

   for (uint32_t frequency = 128; (double)frequency * patch->texel <= 0.5 && frequency <= 4096;
        frequency *= 2) {
      add_noise(patch, SEED_DETAIL, frequency, amplitude, detail);
      amplitude *= 0.52f;
   }

   /* Two octaves near the texel scale roughen the colours. */
   uint32_t finest = (uint32_t)(0.34 / patch->texel);
   add_noise(patch, SEED_GROUND, finest, 0.6f, patch->ground);
   add_noise(patch, SEED_GROUND, finest / 4, 0.6f, patch->ground);

   for (int i = 0; i < PATCH_PX * PATCH_PX; i++) {
      float h = patch->height[i];

      /* Mountains are rough, plains and the sea are not. */
      patch->height[i] = h + detail[i] * vt_clampf(0.10f + 1.5f * h, 0.10f, 1.3f);
   }
}

/* ---- rivers and roads ---- */

static void
cover(float *coverage, float x0, float y0, float x1, float y1, float half_px)
{
   float reach = half_px + 1.0f;
   int left = (int)vt_clampf(vt_floorf(VT_MIN(x0, x1) - reach), 0, VT_PAGE_PX);
   int top = (int)vt_clampf(vt_floorf(VT_MIN(y0, y1) - reach), 0, VT_PAGE_PX);
   int right = (int)vt_clampf(ceilf(VT_MAX(x0, x1) + reach), 0, VT_PAGE_PX);
   int bottom = (int)vt_clampf(ceilf(VT_MAX(y0, y1) + reach), 0, VT_PAGE_PX);
   float dx = x1 - x0, dy = y1 - y0;
   float inverse_length2 = 1.0f / VT_MAX(dx * dx + dy * dy, 1e-6f);

   for (int y = top; y < bottom; y++) {
      for (int x = left; x < right; x++) {
         float px = (float)x + 0.5f - x0, py = (float)y + 0.5f - y0;
         float t = vt_clampf((px * dx + py * dy) * inverse_length2, 0.0f, 1.0f);
         float ex = px - t * dx, ey = py - t * dy;
         float covered = vt_clampf(half_px + 0.5f - sqrtf(ex * ex + ey * ey), 0.0f, 1.0f);
         float *at = &coverage[y * VT_PAGE_PX + x];

         *at = VT_MAX(*at, covered);
      }
   }
}

static uint32_t
bucket_of(double v)
{
   return v <= 0.0 ? 0 : v >= 1.0 ? VT_BUCKETS - 1 : (uint32_t)(v * VT_BUCKETS);
}

static void
draw_segments(struct patch *patch)
{
   const struct vt_world *world = patch->world;
   double margin = patch->texel * 4.0;
   double size = patch->texel * VT_PAGE_PX;
   float texels = 1.0f / patch->texel;

   memset(patch->river, 0, sizeof(patch->river));
   memset(patch->road, 0, sizeof(patch->road));

   for (uint32_t by = bucket_of(patch->y - margin); by <= bucket_of(patch->y + size + margin);
        by++) {
      uint32_t row = by * VT_BUCKETS;
      uint32_t first = row + bucket_of(patch->x - margin);
      uint32_t last = row + bucket_of(patch->x + size + margin);

      for (uint32_t i = world->bucket_start[first]; i < world->bucket_start[last + 1]; i++) {
         const struct vt_segment *s = &world->segments[world->bucket_segments[i]];
         bool river = s->kind == VT_SEGMENT_RIVER;
         float half_px = s->half_width * texels;

         /* A map of a smaller scale leaves the small ones out. */
         if (half_px < (river ? 0.22f : 0.10f))
            continue;
         cover(river ? patch->river : patch->road, (float)(s->x0 - patch->x) * texels,
               (float)(s->y0 - patch->y) * texels, (float)(s->x1 - patch->x) * texels,
               (float)(s->y1 - patch->y) * texels, VT_MAX(half_px, 0.5f));
      }
   }
}

/* ---- colours ---- */

static struct rgb
sea_colour(float height, float ground)
{
   static const struct rgb shallow = {0.42f, 0.74f, 0.74f};
   static const struct rgb shelf = {0.16f, 0.50f, 0.62f};
   static const struct rgb deep = {0.055f, 0.235f, 0.40f};
   struct rgb c = mix(shallow, shelf, vt_smoothf(0.0f, 0.08f, -height));

   c = mix(c, deep, vt_smoothf(0.05f, 0.45f, -height));
   return scale(c, 1.0f + 0.03f * ground);
}

static struct rgb
land_colour(float height, float moisture, float slope, float ground)
{
   static const struct rgb sand = {0.89f, 0.82f, 0.62f};
   static const struct rgb steppe = {0.77f, 0.71f, 0.46f};
   static const struct rgb meadow = {0.55f, 0.67f, 0.36f};
   static const struct rgb forest = {0.20f, 0.40f, 0.22f};
   static const struct rgb heath = {0.58f, 0.50f, 0.36f};
   static const struct rgb rock = {0.54f, 0.49f, 0.45f};
   static const struct rgb snow = {0.97f, 0.98f, 1.00f};
   float wet = moisture + 0.10f * ground;
   struct rgb c = mix(steppe, meadow, vt_smoothf(0.28f, 0.52f, wet));

   c = mix(
      c, forest,
      vt_smoothf(0.52f, 0.60f, wet + 0.12f * ground) * (1.0f - vt_smoothf(0.34f, 0.46f, height)));
   c = mix(c, heath, vt_smoothf(0.26f, 0.44f, height + 0.02f * ground));
   c = mix(c, rock, vt_smoothf(0.42f, 0.56f, height + 0.03f * ground));
   c = mix(c, rock, vt_smoothf(14.0f, 30.0f, slope));
   c = mix(c, snow, vt_smoothf(0.58f, 0.66f, height + 0.03f * ground - 0.002f * slope));
   c = mix(sand, c, vt_smoothf(0.004f, 0.014f, height + 0.003f * ground));
   return scale(c, 1.0f + 0.09f * ground);
}

/* How much of a contour line covers a texel: lines every `interval`, one texel
 * wide whatever the slope.
 */
static float
contour(float height, float interval, float rise_px, float width_px)
{
   float at = height / interval;
   float distance = fabsf(at - vt_floorf(at + 0.5f)) * interval;
   float d_px = distance / VT_MAX(rise_px, 1e-7f);

   /* Where lines would touch, there are none. */
   float room = vt_smoothf(3.0f, 6.0f, interval / VT_MAX(rise_px, 1e-7f));
   return vt_clampf(width_px * 0.5f + 0.5f - d_px, 0.0f, 1.0f) * room;
}

static void
colour_ground(struct patch *patch)
{
   static const struct rgb ink = {0.36f, 0.22f, 0.12f};
   static const struct rgb ice_ink = {0.25f, 0.42f, 0.62f};
   static const struct rgb depth_ink = {0.75f, 0.90f, 0.95f};
   float interval = 0.0045f * (float)(1u << VT_MIN(patch->level, 4u));

   for (int y = 0; y < VT_PAGE_PX; y++) {
      for (int x = 0; x < VT_PAGE_PX; x++) {
         int at = (y + 1) * PATCH_PX + x + 1;
         float h = patch->height[at];
         float ground = patch->ground[at];
         float gx = (patch->height[at + 1] - patch->height[at - 1]) * 0.5f;
         float gy = (patch->height[at + PATCH_PX] - patch->height[at - PATCH_PX]) * 0.5f;
         float rise_px = sqrtf(gx * gx + gy * gy);
         struct rgb c;

         if (h <= 0.0f) {
            c = sea_colour(h, ground);
            c = mix(c, depth_ink, 0.30f * contour(h, 0.04f, rise_px, 0.6f));
         } else {
            float slope = rise_px / patch->texel;
            /* Light from the north-west, as on every map. */
            float sx = gx / patch->texel * 0.075f;
            float sy = gy / patch->texel * 0.075f;
            float light = (0.78f + sx * 0.9f + sy * 0.9f) / sqrtf(1.0f + sx * sx + sy * sy);
            float line = contour(h, interval, rise_px, 0.5f) * 0.30f;
            float index_line = contour(h, interval * 5, rise_px, 1.0f) * 0.45f;

            c = land_colour(h, patch->moisture[at], slope, ground);
            c = scale(c, 0.30f + 0.90f * vt_clampf(light, 0.18f, 1.35f));
            c = mix(c, h > 0.62f ? ice_ink : ink, VT_MAX(line, index_line));
            /* The shore line itself. */
            c = mix(c, (struct rgb){0.12f, 0.26f, 0.36f},
                    0.6f * vt_clampf(1.2f - h / VT_MAX(rise_px, 1e-7f), 0.0f, 1.0f));
         }
         patch->colour[y * VT_PAGE_PX + x] = c;
      }
   }
}

/* ---- farms and towns ---- */

/* Strips of fields around a town, turned like its streets. */
static struct rgb
field_colour(const struct vt_town *town, float u, float v, float texel)
{
   static const struct rgb crops[] = {
      {0.80f, 0.72f, 0.38f}, {0.62f, 0.69f, 0.34f}, {0.46f, 0.58f, 0.28f},
      {0.86f, 0.80f, 0.52f}, {0.55f, 0.46f, 0.30f}, {0.70f, 0.74f, 0.44f},
   };
   float row = vt_floorf(v / 0.0016f);
   float shift = vt_hash_unit(SEED_FIELD, (uint32_t)(int)row, 0);
   float column = vt_floorf(u / 0.0029f + shift);
   uint32_t h =
      vt_hash(SEED_FIELD, (uint32_t)(int)row, (uint32_t)(int)column + (uint32_t)town->name[0]);
   struct rgb c = crops[h % VT_ARRAY_SIZE(crops)];

   /* Furrows, where a texel can show them; hedges around. */
   if (texel < 0.00013f) {
      float along = h & 64 ? u : v;
      float wave = along / 0.00026f - vt_floorf(along / 0.00026f);
      c = scale(c, wave < 0.5f ? 1.06f : 0.93f);

      float edge_v = v / 0.0016f - row;
      float edge_u = u / 0.0029f + shift - column;
      if (edge_v < 0.07f || edge_u < 0.04f)
         c = (struct rgb){0.27f, 0.41f, 0.20f};
   }
   return c;
}

/* Blocks of houses between streets; `density` falls towards the edge. */
static struct rgb
town_colour(float u, float v, float texel, float density, struct rgb under)
{
   static const struct rgb roofs[] = {
      {0.78f, 0.42f, 0.30f}, {0.70f, 0.35f, 0.27f}, {0.85f, 0.56f, 0.38f},
      {0.60f, 0.38f, 0.33f}, {0.83f, 0.74f, 0.60f}, {0.52f, 0.50f, 0.52f},
   };
   static const struct rgb street = {0.90f, 0.86f, 0.77f};
   static const struct rgb mean = {0.77f, 0.56f, 0.45f};
   static const struct rgb park = {0.38f, 0.56f, 0.30f};
   const float block = 0.00088f;
   float bu = vt_floorf(u / block), bv = vt_floorf(v / block);
   uint32_t h = vt_hash(SEED_BLOCK, (uint32_t)(int)bu, (uint32_t)(int)bv);

   if ((float)(h >> 20) / 4096.0f > density)
      return under;
   if (texel * 4.0f > block)
      return mean;

   float fu = u / block - bu, fv = v / block - bv;
   if (fu < 0.16f || fv < 0.16f)
      return street;
   if (h % 11 == 0)
      return park;

   /* Each block is four to nine houses; the roof's ridge parts light from
    * shadow.
    */
   uint32_t n = 2 + (h >> 5) % 2;
   float hu = (fu - 0.16f) / 0.84f * (float)n;
   float hv = (fv - 0.16f) / 0.84f * (float)n;
   uint32_t house = vt_hash(SEED_BLOCK + 1, h, (uint32_t)hu * 4 + (uint32_t)hv);
   struct rgb c = roofs[house % VT_ARRAY_SIZE(roofs)];
   float ridge = house & 64 ? hu - vt_floorf(hu) : hv - vt_floorf(hv);

   return scale(c, ridge < 0.12f ? 0.60f : ridge < 0.5f ? 1.08f : 0.86f);
}

static void
draw_town(struct patch *patch, const struct vt_town *town)
{
   float reach = town->radius * 4.0f;
   float inverse = 1.0f / patch->texel;
   float left = (float)(town->x - patch->x) * inverse;
   float top = (float)(town->y - patch->y) * inverse;
   float r = reach * inverse;
   int x0 = (int)vt_clampf(left - r, 0, VT_PAGE_PX);
   int x1 = (int)vt_clampf(left + r + 1, 0, VT_PAGE_PX);
   int y0 = (int)vt_clampf(top - r, 0, VT_PAGE_PX);
   int y1 = (int)vt_clampf(top + r + 1, 0, VT_PAGE_PX);

   for (int y = y0; y < y1; y++) {
      for (int x = x0; x < x1; x++) {
         int at = (y + 1) * PATCH_PX + x + 1;
         float h = patch->height[at];

         if (h < 0.008f || h > 0.34f)
            continue;

         float dx = ((float)x + 0.5f - left) * patch->texel;
         float dy = ((float)y + 0.5f - top) * patch->texel;
         float d = sqrtf(dx * dx + dy * dy) / town->radius + 0.25f * patch->ground[at];
         float u = dx * town->cos_a + dy * town->sin_a;
         float v = dy * town->cos_a - dx * town->sin_a;
         float light = 1.0f;
         struct rgb *c = &patch->colour[y * VT_PAGE_PX + x];

         if (d < 3.9f) {
            float gx = patch->height[at + 1] - patch->height[at - 1];
            float gy = patch->height[at + PATCH_PX] - patch->height[at - PATCH_PX];
            light += vt_clampf((gx + gy) * 0.03f * inverse, -0.35f, 0.2f);

            /* Fields stop at slopes and thin out. */
            float slope = sqrtf(gx * gx + gy * gy) * 0.5f * inverse;
            float strength = vt_smoothf(3.9f, 2.6f, d) * vt_smoothf(9.0f, 5.0f, slope) * 0.85f;
            struct rgb field = field_colour(town, u, v, patch->texel);

            *c = mix(*c, scale(field, light), strength);
         }
         if (d < 1.1f) {
            *c = scale(town_colour(u, v, patch->texel, 1.25f - d, *c), 0.5f + 0.5f * light);
         }
      }
   }
}

static void
draw_towns(struct patch *patch)
{
   float size = patch->texel * VT_PAGE_PX;

   for (uint32_t i = 0; i < patch->world->town_count; i++) {
      const struct vt_town *town = &patch->world->towns[i];
      float reach = town->radius * 4.0f;

      if (town->x + reach > patch->x && town->x - reach < patch->x + size &&
          town->y + reach > patch->y && town->y - reach < patch->y + size)
         draw_town(patch, town);
   }
}

static void
draw_lines(struct patch *patch)
{
   static const struct rgb water = {0.22f, 0.50f, 0.68f};
   static const struct rgb road = {0.97f, 0.90f, 0.70f};
   static const struct rgb road_edge = {0.45f, 0.30f, 0.20f};

   for (int y = 0; y < VT_PAGE_PX; y++) {
      for (int x = 0; x < VT_PAGE_PX; x++) {
         int i = y * VT_PAGE_PX + x;

         if (patch->height[(y + 1) * PATCH_PX + x + 1] <= 0.0f)
            continue;
         patch->colour[i] = mix(patch->colour[i], water, patch->river[i]);
         if (patch->road[i] > 0.0f) {
            struct rgb c = mix(road_edge, road, vt_smoothf(0.45f, 0.75f, patch->road[i]));
            patch->colour[i] = mix(patch->colour[i], c, vt_smoothf(0.0f, 0.5f, patch->road[i]));
         }
      }
   }
}

/* ---- lettering ---- */

static void
letter_towns(const struct patch *patch, const struct vt_canvas *canvas)
{
   static const struct vt_ink ink = {52, 26, 16, 1.0f};
   static const struct vt_ink halo = {255, 248, 228, 0.75f};
   /* Texel sizes, not levels: the same map whatever the texture's size. */
   int size = patch->texel < 0.0001f ? 3 : patch->texel < 0.0003f ? 2 : 1;
   uint32_t shown = patch->texel < 0.0003f ? VT_MAX_TOWNS : patch->texel < 0.0006f ? 28 : 12;

   for (uint32_t i = 0; i < VT_MIN(patch->world->town_count, shown); i++) {
      const struct vt_town *town = &patch->world->towns[i];
      int x = (int)floor((town->x - patch->x) / patch->texel);
      int y = (int)floor((town->y - patch->y) / patch->texel);
      int above = (int)(town->radius / patch->texel) + 3;
      int width = vt_text_width_px(town->name, size);

      if (x + width < 0 || x - width > VT_PAGE_PX || y < -VT_PAGE_PX || y > 3 * VT_PAGE_PX)
         continue;
      vt_text_halo(canvas, x - width / 2, y - above - 8 * size, size, &ink, &halo, town->name);
   }
}

uint8_t
vt_paint_watermark(uint32_t level, uint32_t page_x, uint32_t page_y, uint32_t x, uint32_t y)
{
   uint32_t page = level << 24 | page_y << 12 | page_x;

   return (uint8_t)(1 + vt_hash(SEED_WATERMARK, page, y << 8 | x) % 255);
}

void
vt_paint_mark(uint32_t level, uint32_t page_x, uint32_t page_y, uint32_t extent_px, uint8_t *rgba)
{
   static const struct vt_ink level_inks[] = {
      {235, 64, 52, 0.95f},  {240, 150, 40, 0.95f}, {245, 215, 60, 0.95f},
      {110, 200, 80, 0.95f}, {70, 170, 225, 0.95f}, {150, 110, 220, 0.95f},
   };
   static const struct vt_ink line = {20, 24, 40, 0.28f};
   static const struct vt_ink ink = {255, 255, 255, 0.95f};
   static const struct vt_ink halo = {10, 16, 30, 0.55f};
   struct vt_canvas canvas = {rgba, (int)extent_px, (int)extent_px};
   char label[24];

   if (extent_px == VT_PAGE_PX) {
      vt_fill(&canvas, 0, 0, VT_PAGE_PX, 1, &line);
      vt_fill(&canvas, 0, 1, 1, VT_PAGE_PX - 1, &line);
      vt_fill(&canvas, 3, 4, 6, 7, &level_inks[level % VT_ARRAY_SIZE(level_inks)]);
      snprintf(label, sizeof(label), "L%u %u,%u", level, page_x, page_y);
      vt_text_halo(&canvas, 12, 4, 1, &ink, &halo, label);
   }

   for (uint32_t y = 0; y < extent_px; y++) {
      for (uint32_t x = 0; x < extent_px; x++) {
         rgba[(y * extent_px + x) * 4 + 3] = vt_paint_watermark(level, page_x, page_y, x, y);
      }
   }
}

/* ---- the page ---- */

static uint8_t
to_byte(float v)
{
   return (uint8_t)(vt_clampf(v, 0.0f, 1.0f) * 255.0f + 0.5f);
}

void
vt_paint_page(const struct vt_world *world, uint32_t texture_px, uint32_t level, uint32_t page_x,
              uint32_t page_y, uint8_t *rgba)
{
   struct vt_canvas canvas = {rgba, VT_PAGE_PX, VT_PAGE_PX};
   double texel = 1.0 / (texture_px >> level);
   struct patch *patch = vt_alloc(1, sizeof(*patch));

   patch->world = world;
   patch->level = level;
   patch->texel = (float)texel;
   patch->x = page_x * VT_PAGE_PX * texel;
   patch->y = page_y * VT_PAGE_PX * texel;

   make_relief(patch);
   draw_segments(patch);
   colour_ground(patch);
   draw_towns(patch);
   draw_lines(patch);

   for (int i = 0; i < VT_PAGE_PX * VT_PAGE_PX; i++) {
      rgba[i * 4 + 0] = to_byte(patch->colour[i].r);
      rgba[i * 4 + 1] = to_byte(patch->colour[i].g);
      rgba[i * 4 + 2] = to_byte(patch->colour[i].b);
      rgba[i * 4 + 3] = 255;
   }
   letter_towns(patch, &canvas);
   vt_paint_mark(level, page_x, page_y, VT_PAGE_PX, rgba);
   free(patch);
}

void
vt_paint_halve(const uint8_t *source, uint32_t size_px, uint8_t *out)
{
   uint32_t half_px = size_px / 2;

   for (uint32_t y = 0; y < half_px; y++) {
      for (uint32_t x = 0; x < half_px; x++) {
         const uint8_t *a = &source[(2 * y * size_px + 2 * x) * 4];
         const uint8_t *b = a + size_px * 4;

         for (int c = 0; c < 4; c++) {
            out[(y * half_px + x) * 4 + c] = (uint8_t)((a[c] + a[c + 4] + b[c] + b[c + 4] + 2) / 4);
         }
      }
   }
}

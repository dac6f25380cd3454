/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * See vt_world.h.  The order of the steps is that of nature: hills first,
 * then water that runs off and carves them, then people where it is good to
 * live, then roads between them.
 */

#include "vt_world.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vt_util.h"

#define CELLS   (VT_GRID * VT_GRID)
#define NO_CELL 0xffffffffu

/* Seeds of the independent random fields. */
enum seed {
   SEED_HILLS = 11,
   SEED_WARP_X = 23,
   SEED_WARP_Y = 24,
   SEED_RIDGES = 37,
   SEED_MOISTURE = 41,
   SEED_JITTER = 53,
   SEED_TOWN = 67,
   SEED_NAME = 71,
};

static const int neighbour_dx[8] = {1, 0, -1, 0, 1, -1, -1, 1};
static const int neighbour_dy[8] = {0, 1, 0, -1, 1, 1, -1, -1};

/* ---- noise ---- */

static float
gradient_dot(uint32_t seed, int x, int y, float dx, float dy)
{
   static const float directions[8][2] = {
      {1.0f, 0.0f},  {0.7071f, 0.7071f},   {0.0f, 1.0f},  {-0.7071f, 0.7071f},
      {-1.0f, 0.0f}, {-0.7071f, -0.7071f}, {0.0f, -1.0f}, {0.7071f, -0.7071f},
   };
   const float *d = directions[vt_hash(seed, (uint32_t)x, (uint32_t)y) & 7];

   return d[0] * dx + d[1] * dy;
}

static float
fade(float t)
{
   return t * t * t * (t * (t * 6.0f - 15.0f) + 10.0f);
}

/* Gradient noise, about -1 to 1. */
static float
noise(uint32_t seed, float x, float y)
{
   int ix = (int)vt_floorf(x), iy = (int)vt_floorf(y);
   float fx = x - (float)ix, fy = y - (float)iy;
   float u = fade(fx), v = fade(fy);
   float top =
      vt_mixf(gradient_dot(seed, ix, iy, fx, fy), gradient_dot(seed, ix + 1, iy, fx - 1.0f, fy), u);
   float bottom = vt_mixf(gradient_dot(seed, ix, iy + 1, fx, fy - 1.0f),
                          gradient_dot(seed, ix + 1, iy + 1, fx - 1.0f, fy - 1.0f), u);

   return 1.4f * vt_mixf(top, bottom, v);
}

static float
fbm(uint32_t seed, float x, float y, int octaves)
{
   float sum = 0.0f, amplitude = 0.5f;

   for (int i = 0; i < octaves; i++) {
      sum += amplitude * noise(seed + 101u * (uint32_t)i, x, y);
      amplitude *= 0.5f;
      x *= 2.0f;
      y *= 2.0f;
   }
   return sum;
}

/* Sharp crests where the noise changes its sign. */
static float
ridges(uint32_t seed, float x, float y, int octaves)
{
   float sum = 0.0f, amplitude = 0.5f, previous = 1.0f;

   for (int i = 0; i < octaves; i++) {
      float n = 1.0f - fabsf(noise(seed + 101u * (uint32_t)i, x, y));

      n *= n;
      sum += amplitude * n * previous;
      previous = n;
      amplitude *= 0.5f;
      x *= 2.0f;
      y *= 2.0f;
   }
   return sum;
}

/* ---- hills ---- */

static void
raise_hills(struct vt_world *world)
{
   for (int cell = 0; cell < CELLS; cell++) {
      float x = ((float)(cell % VT_GRID) + 0.5f) / VT_GRID;
      float y = ((float)(cell / VT_GRID) + 0.5f) / VT_GRID;
      float wx = x * 3.0f + 0.9f * fbm(SEED_WARP_X, x * 3.0f, y * 3.0f, 4);
      float wy = y * 3.0f + 0.9f * fbm(SEED_WARP_Y, x * 3.0f, y * 3.0f, 4);
      float hills = fbm(SEED_HILLS, wx, wy, 7);
      float crest = ridges(SEED_RIDGES, wx * 1.3f, wy * 1.3f, 6);

      /* The sea takes the margin, so that the sheet needs no border. */
      float cx = 2.0f * x - 1.0f, cy = 2.0f * y - 1.0f;
      float shore = 1.0f - vt_smoothf(0.55f, 1.02f, sqrtf(cx * cx * cx * cx + cy * cy * cy * cy));
      float rim = vt_smoothf(0.84f, 0.98f, VT_MAX(fabsf(cx), fabsf(cy)));
      float land = hills * 1.1f + 0.32f * shore - 0.45f * (1.0f - shore) - 0.6f * rim;
      float mountain = vt_smoothf(0.12f, 0.55f, land) * crest;

      world->height[cell] = land * 0.45f + mountain * 0.9f;
      world->moisture[cell] = 0.56f + 0.9f * fbm(SEED_MOISTURE, x * 5.0f, y * 5.0f, 4) -
                              0.25f * vt_smoothf(0.0f, 0.6f, land);
   }
}

/* ---- water ---- */

struct heap {
   struct heap_entry {
      float key;
      uint32_t cell;
   } * entries;
   uint32_t count;
   uint32_t capacity;
};

/* Equal keys go by cell, so that the order is defined. */
static bool
heap_less(struct heap_entry a, struct heap_entry b)
{
   return a.key != b.key ? a.key < b.key : a.cell < b.cell;
}

static void
heap_push(struct heap *heap, float key, uint32_t cell)
{
   if (heap->count == heap->capacity) {
      heap->capacity = VT_MAX(heap->capacity * 2, 1024u);
      heap->entries = realloc(heap->entries, heap->capacity * sizeof(*heap->entries));
      if (!heap->entries)
         vt_die("out of memory");
   }

   struct heap_entry entry = {key, cell};
   uint32_t i = heap->count++;
   while (i > 0 && heap_less(entry, heap->entries[(i - 1) / 2])) {
      heap->entries[i] = heap->entries[(i - 1) / 2];
      i = (i - 1) / 2;
   }
   heap->entries[i] = entry;
}

static struct heap_entry
heap_pop(struct heap *heap)
{
   struct heap_entry top = heap->entries[0];
   struct heap_entry last = heap->entries[--heap->count];
   uint32_t i = 0;

   for (;;) {
      uint32_t child = 2 * i + 1;

      if (child >= heap->count)
         break;
      if (child + 1 < heap->count && heap_less(heap->entries[child + 1], heap->entries[child]))
         child++;
      if (!heap_less(heap->entries[child], last))
         break;
      heap->entries[i] = heap->entries[child];
      i = child;
   }
   heap->entries[i] = last;
   return top;
}

/* Where the rain of every land cell runs. */
struct drainage {
   uint32_t *receiver; /* NO_CELL: the sea, or not reached yet */
   uint32_t *order;    /* land cells, each after its receiver */
   uint32_t order_count;
   float *flow; /* cells upstream, itself included */
};

/* Priority flood from the sea upwards: every cell is reached over the lowest
 * possible spill, so that every land cell gets a way down, lakes included.
 */
static void
drain(const float *height, struct drainage *drainage, struct heap *heap)
{
   static const uint32_t unseen = NO_CELL - 1;

   drainage->order_count = 0;
   for (uint32_t cell = 0; cell < CELLS; cell++) {
      drainage->receiver[cell] = unseen;
      drainage->flow[cell] = 1.0f;
      if (height[cell] <= 0.0f) {
         drainage->receiver[cell] = NO_CELL;
         heap_push(heap, height[cell], cell);
      }
   }

   while (heap->count) {
      struct heap_entry entry = heap_pop(heap);
      int x = (int)(entry.cell % VT_GRID), y = (int)(entry.cell / VT_GRID);

      if (drainage->receiver[entry.cell] != NO_CELL)
         drainage->order[drainage->order_count++] = entry.cell;

      for (int i = 0; i < 8; i++) {
         int nx = x + neighbour_dx[i], ny = y + neighbour_dy[i];

         if (nx < 0 || ny < 0 || nx >= VT_GRID || ny >= VT_GRID)
            continue;
         uint32_t next = (uint32_t)(ny * VT_GRID + nx);
         if (drainage->receiver[next] != unseen)
            continue;
         drainage->receiver[next] = entry.cell;
         heap_push(heap, VT_MAX(height[next], entry.key), next);
      }
   }

   for (uint32_t i = drainage->order_count; i-- > 0;) {
      uint32_t receiver = drainage->receiver[drainage->order[i]];
      drainage->flow[receiver] += drainage->flow[drainage->order[i]];
   }
}

/* One implicit step of the stream power law: rivers cut down towards their
 * receiver, the more the more water they carry.
 */
static void
erode(float *height, const struct drainage *drainage)
{
   for (uint32_t i = 0; i < drainage->order_count; i++) {
      uint32_t cell = drainage->order[i];
      uint32_t receiver = drainage->receiver[cell];
      float below = VT_MAX(height[receiver], 0.0f);
      float cut = 0.012f * sqrtf(drainage->flow[cell]);
      float cut_height = (height[cell] + cut * below) / (1.0f + cut);

      /* Implicit filling of a pit that the flood passed through. */
      height[cell] = VT_MAX(cut_height, below + 1e-5f);
   }
}

static void
normalize_heights(float *height)
{
   float highest = 0.0f;

   for (int cell = 0; cell < CELLS; cell++)
      highest = VT_MAX(highest, height[cell]);
   for (int cell = 0; cell < CELLS; cell++)
      height[cell] /= highest;
}

/* ---- segments ---- */

struct point {
   float x, y;
};

static void
add_segment(struct vt_world *world, struct point a, struct point b, float half_width,
            enum vt_segment_kind kind)
{
   if (world->segment_count == world->segment_capacity) {
      world->segment_capacity = VT_MAX(world->segment_capacity * 2, 4096u);
      world->segments =
         realloc(world->segments, world->segment_capacity * sizeof(*world->segments));
      if (!world->segments)
         vt_die("out of memory");
   }
   world->segments[world->segment_count++] = (struct vt_segment){
      a.x, a.y, b.x, b.y, half_width, kind,
   };
}

static struct point
midpoint(struct point a, struct point b)
{
   return (struct point){(a.x + b.x) * 0.5f, (a.y + b.y) * 0.5f};
}

/* The quadratic curve from a to c that b pulls, as short segments. */
static void
add_curve(struct vt_world *world, struct point a, struct point b, struct point c, float half_width,
          enum vt_segment_kind kind)
{
   enum { PIECES = 5 };
   struct point previous = a;

   for (int i = 1; i <= PIECES; i++) {
      float t = (float)i / PIECES, s = 1.0f - t;
      struct point next = {
         s * s * a.x + 2.0f * s * t * b.x + t * t * c.x,
         s * s * a.y + 2.0f * s * t * b.y + t * t * c.y,
      };
      add_segment(world, previous, next, half_width, kind);
      previous = next;
   }
}

/* The middle of a cell, moved a little so that nothing runs in eighths of a
 * circle.
 */
static struct point
cell_point(uint32_t cell)
{
   return (struct point){
      ((float)(cell % VT_GRID) + 0.15f + 0.7f * vt_hash_unit(SEED_JITTER, cell, 0)) / VT_GRID,
      ((float)(cell / VT_GRID) + 0.15f + 0.7f * vt_hash_unit(SEED_JITTER, cell, 1)) / VT_GRID,
   };
}

static void
trace_rivers(struct vt_world *world, const struct drainage *drainage)
{
   for (uint32_t i = 0; i < drainage->order_count; i++) {
      uint32_t cell = drainage->order[i];
      uint32_t receiver = drainage->receiver[cell];

      if (drainage->flow[cell] < 60.0f)
         continue;

      uint32_t next = drainage->receiver[receiver];
      struct point a = cell_point(cell), b = cell_point(receiver);
      struct point c = next != NO_CELL ? cell_point(next) : b;
      float half_width = 0.00004f + 0.0000075f * sqrtf(drainage->flow[cell]);

      add_curve(world, midpoint(a, b), b, midpoint(b, c), half_width, VT_SEGMENT_RIVER);
   }
}

/* ---- towns ---- */

static void
name_town(struct vt_town *town, uint32_t number)
{
   static const char *const first[] = {
      "Al",  "Bren", "Cor", "Dun", "El",  "Fal",  "Gar", "Hol", "Is",  "Kel",
      "Lin", "Mor",  "Nor", "Os",  "Pen", "Quil", "Ros", "Sel", "Tor", "Val",
   };
   static const char *const middle[] = {"", "", "a", "en", "i", "o", "er"};
   static const char *const last[] = {
      "by",    "dale", "den",  "fell", "ford", "ham",  "holm", "mere",
      "mouth", "ness", "stad", "ton",  "vik",  "wick", "port", "burg",
   };
   uint32_t h = vt_hash(SEED_NAME, number, 0);

   snprintf(town->name, sizeof(town->name), "%s%s%s",
            first[(number * 7 + h % 3) % VT_ARRAY_SIZE(first)],
            middle[(h >> 8) % VT_ARRAY_SIZE(middle)], last[(h >> 16) % VT_ARRAY_SIZE(last)]);
}

/* Gentle, low, and near the sea or much fresh water. */
static float
town_score(const struct vt_world *world, const struct drainage *drainage, int x, int y)
{
   int cell = y * VT_GRID + x;
   float h = world->height[cell];

   if (h < 0.012f || h > 0.30f)
      return 0.0f;

   float slope = fabsf(world->height[cell + 1] - world->height[cell - 1]) +
                 fabsf(world->height[cell + VT_GRID] - world->height[cell - VT_GRID]);
   float water = 0.0f;
   for (int i = 0; i < 8; i++) {
      int near = (y + 2 * neighbour_dy[i]) * VT_GRID + x + 2 * neighbour_dx[i];

      if (world->height[near] <= 0.0f)
         water += 0.25f;
      water += VT_MIN(drainage->flow[near] / 4000.0f, 0.5f);
   }
   return (0.2f + water) / (1.0f + slope * 60.0f) *
          (0.6f + 0.4f * vt_hash_unit(SEED_TOWN, (uint32_t)cell, 0));
}

/* Nobody builds a town within sight of another. */
static void
claim_surroundings(float *score, float x, float y)
{
   const float distance = 0.062f;
   int reach = (int)(distance * VT_GRID) + 2;
   int cx = (int)(x * VT_GRID), cy = (int)(y * VT_GRID);

   for (int j = VT_MAX(cy - reach, 0); j <= VT_MIN(cy + reach, VT_GRID - 1); j++) {
      for (int i = VT_MAX(cx - reach, 0); i <= VT_MIN(cx + reach, VT_GRID - 1); i++) {
         float dx = ((float)i + 0.5f) / VT_GRID - x;
         float dy = ((float)j + 0.5f) / VT_GRID - y;

         if (dx * dx + dy * dy < distance * distance)
            score[j * VT_GRID + i] = 0.0f;
      }
   }
}

static void
found_towns(struct vt_world *world, const struct drainage *drainage)
{
   float *score = vt_alloc(CELLS, sizeof(*score));

   for (int y = 4; y < VT_GRID - 4; y++) {
      for (int x = 4; x < VT_GRID - 4; x++)
         score[y * VT_GRID + x] = town_score(world, drainage, x, y);
   }

   while (world->town_count < VT_MAX_TOWNS) {
      uint32_t best = 0;

      for (uint32_t cell = 1; cell < CELLS; cell++) {
         if (score[cell] > score[best])
            best = cell;
      }
      if (score[best] <= 0.0f)
         break;

      float x = ((float)(best % VT_GRID) + 0.5f) / VT_GRID;
      float y = ((float)(best / VT_GRID) + 0.5f) / VT_GRID;
      claim_surroundings(score, x, y);

      uint32_t number = world->town_count++;
      struct vt_town *town = &world->towns[number];
      float tilt = vt_hash_unit(SEED_TOWN, number, 1);

      town->x = x;
      town->y = y;
      town->radius = 0.0042f + 0.0050f * (1.0f - (float)number / VT_MAX_TOWNS);
      town->cos_a = (1.0f - tilt * tilt) / (1.0f + tilt * tilt);
      town->sin_a = 2.0f * tilt / (1.0f + tilt * tilt);
      name_town(town, number);
   }
   free(score);
}

/* ---- roads ---- */

struct router {
   struct heap heap;
   float *cost;
   uint32_t *from;
};

/* Dijkstra: hills cost, the sea costs more, a road that is there is cheap. */
static bool
route(const struct vt_world *world, const uint8_t *is_road, struct router *router, uint32_t start,
      uint32_t goal)
{
   for (uint32_t cell = 0; cell < CELLS; cell++)
      router->cost[cell] = INFINITY;
   router->heap.count = 0;
   router->cost[start] = 0.0f;
   router->from[start] = NO_CELL;
   heap_push(&router->heap, 0.0f, start);

   while (router->heap.count) {
      struct heap_entry entry = heap_pop(&router->heap);
      int x = (int)(entry.cell % VT_GRID), y = (int)(entry.cell / VT_GRID);

      if (entry.cell == goal)
         return true;
      if (entry.key > router->cost[entry.cell])
         continue;

      for (int i = 0; i < 8; i++) {
         int nx = x + neighbour_dx[i], ny = y + neighbour_dy[i];

         if (nx < 0 || ny < 0 || nx >= VT_GRID || ny >= VT_GRID)
            continue;
         uint32_t next = (uint32_t)(ny * VT_GRID + nx);
         if (world->height[next] <= 0.0f)
            continue;

         float climb = fabsf(world->height[next] - world->height[entry.cell]);
         float step = (i < 4 ? 1.0f : 1.4142f) * (1.0f + 150.0f * climb);
         if (is_road[next])
            step *= 0.35f;

         float cost = entry.key + step;
         /* Not further than a road of this island can sensibly be. */
         if (cost < router->cost[next] && cost < 260.0f) {
            router->cost[next] = cost;
            router->from[next] = entry.cell;
            heap_push(&router->heap, cost, next);
         }
      }
   }
   return false;
}

static uint32_t
town_cell(const struct vt_town *town)
{
   return (uint32_t)(town->y * VT_GRID) * VT_GRID + (uint32_t)(town->x * VT_GRID);
}

static void
build_road(struct vt_world *world, uint8_t *is_road, const struct router *router, uint32_t goal)
{
   uint32_t a = goal, b = router->from[goal];

   is_road[goal] = 1;
   while (b != NO_CELL) {
      uint32_t c = router->from[b];
      struct point end = c != NO_CELL ? cell_point(c) : cell_point(b);

      /* Where it meets a road that is already there, that one is drawn. */
      if (!is_road[b] || !is_road[a])
         add_curve(world, midpoint(cell_point(a), cell_point(b)), cell_point(b),
                   midpoint(cell_point(b), end), 0.00011f, VT_SEGMENT_ROAD);
      is_road[a] = 1;
      a = b;
      b = c;
   }
   is_road[a] = 1;
}

/* Each town is joined to the nearest one that was there before it. */
static void
build_roads(struct vt_world *world)
{
   uint8_t *is_road = vt_alloc(CELLS, sizeof(*is_road));
   struct router router = {
      .cost = vt_alloc(CELLS, sizeof(float)),
      .from = vt_alloc(CELLS, sizeof(uint32_t)),
   };

   for (uint32_t i = 1; i < world->town_count; i++) {
      uint32_t nearest = 0;
      float nearest_d2 = INFINITY;

      for (uint32_t j = 0; j < i; j++) {
         float dx = world->towns[i].x - world->towns[j].x;
         float dy = world->towns[i].y - world->towns[j].y;

         if (dx * dx + dy * dy < nearest_d2) {
            nearest_d2 = dx * dx + dy * dy;
            nearest = j;
         }
      }

      uint32_t goal = town_cell(&world->towns[nearest]);
      if (route(world, is_road, &router, town_cell(&world->towns[i]), goal))
         build_road(world, is_road, &router, goal);
   }

   free(router.heap.entries);
   free(router.from);
   free(router.cost);
   free(is_road);
}

/* ---- finding segments ---- */

static uint32_t
bucket_of(float v)
{
   return (uint32_t)vt_clampf(v * VT_BUCKETS, 0.0f, VT_BUCKETS - 1.0f);
}

/* Counts the segments of each bucket into start[bucket], or, given `out`,
 * stores them and moves start[bucket] along.
 */
static void
visit_buckets(const struct vt_world *world, uint32_t *start, uint32_t *out)
{
   for (uint32_t i = 0; i < world->segment_count; i++) {
      const struct vt_segment *s = &world->segments[i];
      uint32_t x0 = bucket_of(VT_MIN(s->x0, s->x1) - s->half_width);
      uint32_t x1 = bucket_of(VT_MAX(s->x0, s->x1) + s->half_width);
      uint32_t y0 = bucket_of(VT_MIN(s->y0, s->y1) - s->half_width);
      uint32_t y1 = bucket_of(VT_MAX(s->y0, s->y1) + s->half_width);

      for (uint32_t y = y0; y <= y1; y++) {
         for (uint32_t x = x0; x <= x1; x++) {
            uint32_t *at = &start[y * VT_BUCKETS + x];

            if (out)
               out[*at] = i;
            (*at)++;
         }
      }
   }
}

static void
fill_buckets(struct vt_world *world)
{
   uint32_t count = VT_BUCKETS * VT_BUCKETS;
   uint32_t *cursor = vt_alloc(count, sizeof(*cursor));

   visit_buckets(world, cursor, NULL);
   for (uint32_t i = 0; i < count; i++) {
      world->bucket_start[i + 1] = world->bucket_start[i] + cursor[i];
      cursor[i] = world->bucket_start[i];
   }
   world->bucket_segments = vt_alloc(world->bucket_start[count], sizeof(uint32_t));
   visit_buckets(world, cursor, world->bucket_segments);
   free(cursor);
}

/* ---- the whole ---- */

struct vt_world *
vt_world_create(void)
{
   enum { EROSION_STEPS = 7 };
   struct vt_world *world = vt_alloc(1, sizeof(*world));
   struct heap heap = {0};
   struct drainage drainage = {
      .receiver = vt_alloc(CELLS, sizeof(uint32_t)),
      .order = vt_alloc(CELLS, sizeof(uint32_t)),
      .flow = vt_alloc(CELLS, sizeof(float)),
   };

   raise_hills(world);
   for (int i = 0; i < EROSION_STEPS; i++) {
      drain(world->height, &drainage, &heap);
      erode(world->height, &drainage);
   }
   normalize_heights(world->height);
   trace_rivers(world, &drainage);
   found_towns(world, &drainage);
   build_roads(world);
   fill_buckets(world);

   free(heap.entries);
   free(drainage.flow);
   free(drainage.order);
   free(drainage.receiver);
   return world;
}

void
vt_world_destroy(struct vt_world *world)
{
   free(world->bucket_segments);
   free(world->segments);
   free(world);
}

/* ---- sampling ---- */

/* The four weights of a uniform cubic B-spline at t in [0, 1). */
static void
spline_weights(float t, float w[4])
{
   float s = 1.0f - t;

   w[0] = s * s * s * (1.0f / 6.0f);
   w[1] = (4.0f - 6.0f * t * t + 3.0f * t * t * t) * (1.0f / 6.0f);
   w[3] = t * t * t * (1.0f / 6.0f);
   w[2] = 1.0f - w[0] - w[1] - w[3];
}

static int
clamp_cell(int v)
{
   return v < 0 ? 0 : v >= VT_GRID ? VT_GRID - 1 : v;
}

float
vt_world_sample(const float *map, float x, float y)
{
   float gx = x * VT_GRID - 0.5f, gy = y * VT_GRID - 0.5f;
   int ix = (int)vt_floorf(gx), iy = (int)vt_floorf(gy);
   float wx[4], wy[4], sum = 0.0f;

   spline_weights(gx - (float)ix, wx);
   spline_weights(gy - (float)iy, wy);
   for (int j = 0; j < 4; j++) {
      const float *row = &map[clamp_cell(iy - 1 + j) * VT_GRID];

      for (int i = 0; i < 4; i++)
         sum += wy[j] * wx[i] * row[clamp_cell(ix - 1 + i)];
   }
   return sum;
}

void
vt_world_patch(const float *map, double x, double y, double step, uint32_t n, float *out)
{
   /* Rows of the map that the patch needs, resampled in x only. */
   enum { MAX_N = VT_PAGE_PX + 4, MAX_ROWS = MAX_N + 8 };
   float rows[MAX_ROWS][MAX_N];
   int first_row = (int)floor(y * VT_GRID - 0.5) - 1;
   int last_row = (int)floor((y + step * (n - 1)) * VT_GRID - 0.5) + 2;

   assert(n <= MAX_N && last_row - first_row < MAX_ROWS);

   for (uint32_t i = 0; i < n; i++) {
      double gx = (x + step * i) * VT_GRID - 0.5;
      int ix = (int)floor(gx);
      float w[4];

      spline_weights((float)(gx - ix), w);
      for (int r = first_row; r <= last_row; r++) {
         const float *row = &map[clamp_cell(r) * VT_GRID];

         rows[r - first_row][i] = w[0] * row[clamp_cell(ix - 1)] + w[1] * row[clamp_cell(ix)] +
                                  w[2] * row[clamp_cell(ix + 1)] + w[3] * row[clamp_cell(ix + 2)];
      }
   }

   for (uint32_t j = 0; j < n; j++) {
      double gy = (y + step * j) * VT_GRID - 0.5;
      int iy = (int)floor(gy);
      float w[4];

      spline_weights((float)(gy - iy), w);
      const float(*r)[MAX_N] = (const float(*)[MAX_N])rows[iy - 1 - first_row];
      for (uint32_t i = 0; i < n; i++)
         out[j * n + i] = w[0] * r[0][i] + w[1] * r[1][i] + w[2] * r[2][i] + w[3] * r[3][i];
   }
}

/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What every file of the demo needs: fatal errors, checked allocation, a
 * clock, and the integer hash behind everything generated.  It must never
 * know about Vulkan or about the world that is drawn.
 */

#ifndef VT_UTIL_H
#define VT_UTIL_H

#include <stddef.h>
#include <stdint.h>

#define VT_MIN(a, b)     ((a) < (b) ? (a) : (b))
#define VT_MAX(a, b)     ((a) > (b) ? (a) : (b))
#define VT_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* A page is the standard 64 KiB block of a 32-bit 2D format. */
#define VT_PAGE_PX 128
#define VT_PAGE_B  (VT_PAGE_PX * VT_PAGE_PX * 4)

/* Exit codes: 1 is an error, 2 bad usage, 3 a picture that cannot be right. */
#define VT_EXIT_ERROR 1
#define VT_EXIT_USAGE 2
#define VT_EXIT_WRONG 3

/* Prints one line, "virtual-texture: ...", and ends the process. */
void vt_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Zeroed memory; ends the process when there is none. */
void *vt_alloc(size_t count, size_t size_B);

uint64_t vt_now_ns(void);

/* A well-mixed 32-bit hash of three words.  Everything generated comes from
 * it, so it may never change: pictures are compared between machines.
 */
static inline uint32_t
vt_hash(uint32_t a, uint32_t b, uint32_t c)
{
   uint32_t h = a * 0x9e3779b1u ^ (b + 0x7f4a7c15u) * 0x85ebca77u ^ (c + 0x165667b1u) * 0xc2b2ae3du;
   h ^= h >> 15;
   h *= 0x2c1b3c6du;
   h ^= h >> 12;
   h *= 0x297a2d39u;
   h ^= h >> 15;
   return h;
}

/* The same as a number in [0, 1). */
static inline float
vt_hash_unit(uint32_t a, uint32_t b, uint32_t c)
{
   return (float)(vt_hash(a, b, c) >> 8) * (1.0f / 16777216.0f);
}

#define VT_DIGEST_INIT 0xcbf29ce484222325ull

/* Continues a 64-bit FNV-1a digest: enough to see that two frames differ. */
uint64_t vt_digest(uint64_t digest, const void *data, size_t size_B);

/* floorf() is a library call on baseline x86-64; this is exact where the
 * generators use it, below 2^31.
 */
static inline float
vt_floorf(float v)
{
   float t = (float)(int32_t)v;
   return t > v ? t - 1.0f : t;
}

static inline float
vt_clampf(float v, float lo, float hi)
{
   return v < lo ? lo : v > hi ? hi : v;
}

static inline float
vt_mixf(float a, float b, float t)
{
   return a + (b - a) * t;
}

static inline float
vt_smoothf(float lo, float hi, float v)
{
   float t = vt_clampf((v - lo) / (hi - lo), 0.0f, 1.0f);
   return t * t * (3.0f - 2.0f * t);
}

#endif /* VT_UTIL_H */

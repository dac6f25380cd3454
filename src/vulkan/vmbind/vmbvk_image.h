/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * How llvmpipe lays out a sparse image.
 */

#ifndef VMBVK_IMAGE_H
#define VMBVK_IMAGE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct lvp_image;
struct vmbind_sparse_layout;

/** The layout of a plane of an image that was created sparse. */
void vmbvk_image_get_layout(const struct lvp_image *image, uint8_t plane,
                            struct vmbind_sparse_layout *layout_out);

#ifdef __cplusplus
}
#endif

#endif /* VMBVK_IMAGE_H */

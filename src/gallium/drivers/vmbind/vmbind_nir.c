/* Copyright © 2026 the vmbind authors
 * SPDX-License-Identifier: MIT
 *
 * What shaders of sparse textures need before llvmpipe sees them.  Knows NIR alone.
 */

#include "nir.h"
#include "nir_builder.h"

#include "vmbind_gl_private.h"

static bool
lower_residency(nir_builder *b, nir_intrinsic_instr *intrin, UNUSED void *data)
{
   nir_def *result;

   b->cursor = nir_before_instr(&intrin->instr);
   switch (intrin->intrinsic) {
   case nir_intrinsic_is_sparse_texels_resident:
      result = nir_ine_imm(b, intrin->src[0].ssa, 0);
      break;
   case nir_intrinsic_sparse_residency_code_and:
      result = nir_iand(b, intrin->src[0].ssa, intrin->src[1].ssa);
      break;
   default:
      return false;
   }

   /* GL has booleans of 32 bits in places. */
   if (result->bit_size != intrin->def.bit_size)
      result = nir_b2b32(b, result);
   nir_def_replace(&intrin->def, result);
   return true;
}

bool
vmbind_nir_lower_residency(struct nir_shader *nir)
{
   return nir_shader_intrinsics_pass(nir, lower_residency, nir_metadata_control_flow, NULL);
}

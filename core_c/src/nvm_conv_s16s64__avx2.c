/* SPDX-License-Identifier: Apache-2.0
 *
 * The scalar source, compiled for AVX2.
 */
#include "nvm_isa_avx2.h"

#include "nvm_conv_s16s64__scalar.c"

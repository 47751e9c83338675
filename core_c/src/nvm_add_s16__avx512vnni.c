/* SPDX-License-Identifier: Apache-2.0
 *
 * The scalar source, compiled for AVX-512 with VNNI.
 */
#include "nvm_isa_avx512vnni.h"

#include "nvm_add_s16__scalar.c"

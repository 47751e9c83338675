/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_isa_avx2.h: first in every file that is compiled for AVX2.
 */
#ifndef NVM_ISA_AVX2_H
#define NVM_ISA_AVX2_H

#define NVM_LOOK_UP_S8 "nvm_look_up_s8__avx2.h"
#define NVM_ISA     avx2
#define NVM_ROWS_S8 "nvm_rows_s8__avx2.h"
#define NVM_ROWS_S16 "nvm_rows_s16__256.h"
#define NVM_LANES_HEADER "nvm_lanes__avx2.h"

#ifndef __AVX2__
#error "compile this file with FLAGS_avx2 of core_c/isa.mk"
#endif

#endif

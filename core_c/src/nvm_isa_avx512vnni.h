/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_isa_avx512vnni.h: first in every file that is compiled for AVX-512 with VNNI.
 */
#ifndef NVM_ISA_AVX512VNNI_H
#define NVM_ISA_AVX512VNNI_H

#define NVM_LOOK_UP_S8 "nvm_look_up_s8__avx512vnni.h"
#define NVM_ISA     avx512vnni
#define NVM_ROWS_S8 "nvm_rows_s8__avx512vnni.h"
#define NVM_ROWS_S16 "nvm_rows_s16__256.h"
#define NVM_LANES_HEADER "nvm_lanes__avx512vnni.h"

#ifndef __AVX512VNNI__
#error "compile this file with FLAGS_avx512vnni of core_c/isa.mk"
#endif

#endif

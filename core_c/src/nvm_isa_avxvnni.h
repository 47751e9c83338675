/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_isa_avxvnni.h: first in every file that is compiled for AVX2 with VNNI: dpbusd on 256 bits in the
 * encoding of AVX2. No machine that has it ran these files; they are tested as the same operations of
 * AVX-512 VNNI (NVM_AVXVNNI_AS_EVEX).
 */
#ifndef NVM_ISA_AVXVNNI_H
#define NVM_ISA_AVXVNNI_H

#define NVM_ISA avxvnni

#ifdef NVM_AVXVNNI_AS_EVEX
#define NVM_DPBUSD(sum, codes, weights) _mm256_dpbusd_epi32(sum, codes, weights)
#else
#define NVM_DPBUSD(sum, codes, weights) _mm256_dpbusd_avx_epi32(sum, codes, weights)
#ifndef __AVXVNNI__
#error "compile this file with FLAGS_avxvnni of core_c/isa.mk"
#endif
#endif

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_isa_i8mm.h: first in every file that is compiled for NEON with products of matrices of bytes.
 */
#ifndef NVM_ISA_I8MM_H
#define NVM_ISA_I8MM_H

#define NVM_ISA i8mm

#ifndef __ARM_FEATURE_MATMUL_INT8
#error "compile this file with FLAGS_i8mm of core_c/isa.mk"
#endif

#endif

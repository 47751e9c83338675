/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_isa_dotprod.h: first in every file that is compiled for NEON with the dot product of bytes.
 */
#ifndef NVM_ISA_DOTPROD_H
#define NVM_ISA_DOTPROD_H

#define NVM_ISA dotprod

#ifndef __ARM_FEATURE_DOTPROD
#error "compile this file with FLAGS_dotprod of core_c/isa.mk"
#endif

#endif

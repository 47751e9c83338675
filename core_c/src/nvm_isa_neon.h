/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_isa_neon.h: first in every file that is compiled for NEON, which every aarch64 has.
 */
#ifndef NVM_ISA_NEON_H
#define NVM_ISA_NEON_H

#define NVM_LOOK_UP_S8 "nvm_look_up_s8__neon.h"
#define NVM_ISA neon

#ifndef __ARM_NEON
#error "compile this file for aarch64"
#endif

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * Depthwise convolution of int16 codes: the source of int8 codes with other types.
 */
#define NVM_TYPES s16
#define NVM_IN    16
#define NVM_OUT   16
#define NVM_ACC   32

#include "nvm_dwconv_s8__scalar.c"

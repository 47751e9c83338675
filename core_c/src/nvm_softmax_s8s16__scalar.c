/* SPDX-License-Identifier: Apache-2.0
 *
 * SOFTMAX of int8 codes to int16 codes: the source of int8 codes with other types.
 */
#define NVM_TYPES s8s16
#define NVM_IN    8
#define NVM_OUT   16
#define NVM_ACC   32

#include "nvm_softmax_s8__scalar.c"

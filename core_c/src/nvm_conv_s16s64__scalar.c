/* SPDX-License-Identifier: Apache-2.0
 *
 * Convolution of int16 codes over int64 accumulators: the source of int8 codes with other types.
 */
#define NVM_TYPES s16s64
#define NVM_IN    16
#define NVM_OUT   16
#define NVM_ACC   64

#include "nvm_conv_s8__scalar.c"

/* SPDX-License-Identifier: Apache-2.0
 *
 * TABLE of int16 codes to int8 codes: the source of int8 codes with other types.
 */
#define NVM_TYPES s16s8
#define NVM_IN    16
#define NVM_OUT   8
#define NVM_ACC   32

#include "nvm_table_s8__scalar.c"

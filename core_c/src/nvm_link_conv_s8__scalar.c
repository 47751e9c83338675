/* SPDX-License-Identifier: Apache-2.0 */
#define NVM_WEIGHT  int8_t
#define NVM_CONV_FN nvm_link_conv_s8__scalar
#include "nvm_link_conv__scalar.h"

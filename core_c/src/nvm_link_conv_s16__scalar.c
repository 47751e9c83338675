/* SPDX-License-Identifier: Apache-2.0 */
#define NVM_WEIGHT  int16_t
#define NVM_CONV_FN nvm_link_conv_s16__scalar
#include "nvm_link_conv__scalar.h"

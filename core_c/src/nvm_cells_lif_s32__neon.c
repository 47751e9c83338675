/* SPDX-License-Identifier: Apache-2.0 */

#define NVM_CELLS_LIF nvm_cells_lif_s32__neon
#include "nvm_cells_lif_calm.h"

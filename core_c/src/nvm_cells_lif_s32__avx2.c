/* SPDX-License-Identifier: Apache-2.0 */
#include "nvm_isa_avx2.h"

#define NVM_CELLS_LIF nvm_cells_lif_s32__avx2
#include "nvm_cells_lif_calm.h"

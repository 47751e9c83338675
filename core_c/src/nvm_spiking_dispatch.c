/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_spiking_dispatch.c: the one place that chooses what steps a population and applies a projection.
 */
#include "nvm_spiking_internal.h"

nvm_cells_fn *nvm_cells_fn_of(const nvm_population *record)
{
    static nvm_cells_fn *const table[NVM_CELL_COUNT] = {
        [NVM_CELL_LIF] = nvm_cells_lif_s32__scalar,
        [NVM_CELL_CUBA] = nvm_cells_cuba_s32__scalar,
        [NVM_CELL_LOIHI] = nvm_cells_loihi_s32__scalar,
        [NVM_CELL_TRUENORTH] = nvm_cells_truenorth_s32__scalar,
    };
    return table[record->kind];
}

nvm_link_fn *nvm_link_fn_of(const nvm_projection *record)
{
    static nvm_link_fn *const table[NVM_SYNAPSES_COUNT] = {
        [NVM_SYNAPSES_DENSE_S8] = nvm_link_dense_s8__scalar,
        [NVM_SYNAPSES_DENSE_S16] = nvm_link_dense_s16__scalar,
        [NVM_SYNAPSES_SPARSE] = nvm_link_sparse__scalar,
        [NVM_SYNAPSES_CONV_S8] = nvm_link_conv_s8__scalar,
        [NVM_SYNAPSES_CONV_S16] = nvm_link_conv_s16__scalar,
        [NVM_SYNAPSES_POOL] = nvm_link_pool__scalar,
        [NVM_SYNAPSES_WIRES] = nvm_link_wires__scalar,
        [NVM_SYNAPSES_PROCEDURAL] = nvm_link_procedural__scalar,
    };
    return table[record->kind];
}

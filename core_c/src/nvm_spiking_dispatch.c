/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_spiking_dispatch.c: the one place that chooses what steps a population and applies a projection.
 */
#include "nvm_spiking_internal.h"

enum {
#define NVM_SET(isa, lower) NVM_ISA_##isa,
#include "nvm_variants.inc"
    NVM_ISA_COUNT
};

static const uint8_t lower_set[NVM_ISA_COUNT] = {
#define NVM_SET(isa, lower) [NVM_ISA_##isa] = NVM_ISA_##lower,
#include "nvm_variants.inc"
};

static nvm_cells_fn *const cells_fns[NVM_ISA_COUNT][NVM_CELL_COUNT] = {
#define NVM_CELLS_VARIANT(kind, name, isa) [NVM_ISA_##isa][kind] = nvm_cells_##name##__##isa,
#include "nvm_spiking_variants.inc"
};

static nvm_link_fn *const link_fns[NVM_ISA_COUNT][NVM_SYNAPSES_COUNT] = {
#define NVM_LINK_VARIANT(kind, name, isa) [NVM_ISA_##isa][kind] = nvm_link_##name##__##isa,
#include "nvm_spiking_variants.inc"
};

static nvm_scan_fn *const scan_fns[NVM_ISA_COUNT] = {
#define NVM_SCAN_VARIANT(isa) [NVM_ISA_##isa] = nvm_scan__##isa,
#include "nvm_spiking_variants.inc"
};

nvm_cells_fn *nvm_cells_fn_of(const nvm_isa *isa, const nvm_population *record)
{
    uint32_t id = isa->id;
    while (id != NVM_ISA_scalar && cells_fns[id][record->kind] == NULL) {
        id = lower_set[id];
    }
    return cells_fns[id][record->kind];
}

nvm_link_fn *nvm_link_fn_of(const nvm_isa *isa, const nvm_projection *record)
{
    uint32_t id = isa->id;
    while (id != NVM_ISA_scalar && link_fns[id][record->kind] == NULL) {
        id = lower_set[id];
    }
    return link_fns[id][record->kind];
}

nvm_scan_fn *nvm_scan_fn_of(const nvm_isa *isa)
{
    uint32_t id = isa->id;
    while (id != NVM_ISA_scalar && scan_fns[id] == NULL) {
        id = lower_set[id];
    }
    return scan_fns[id];
}

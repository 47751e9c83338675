/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_dispatch.c: the one place that chooses a variant. There is one a kind and width today.
 */
#include "nvm_internal.h"

static const nvm_kernel kernels[NVM_KIND_COUNT][NVM_TYPES_COUNT] = {
#define NVM_VARIANT(kind, op, types, isa)                                                          \
    [kind][NVM_TYPES_##types] = {nvm_##op##_events_##types##__##isa,                               \
                                 nvm_##op##_full_##types##__##isa},
#include "nvm_variants.inc"
#undef NVM_VARIANT
};

const nvm_kernel *nvm_kernel_of(uint32_t kind, uint32_t types)
{
    assert(kind < NVM_KIND_COUNT && types < NVM_TYPES_COUNT);
    return &kernels[kind][types];
}

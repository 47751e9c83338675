/* SPDX-License-Identifier: Apache-2.0
 *
 * What LIF and CUBA do once it is known what came: leak, sum, fire, reset.
 */
#ifndef NVM_CELLS_FIXED_SCALAR_H
#define NVM_CELLS_FIXED_SCALAR_H

#include "nvm_spiking_internal.h"

static inline int32_t nvm_param_of(const nvm_cells *cells, nvm_param param, size_t i)
{
    return cells->param[param][i * nvm_param_step(cells->record, param)];
}

/* v of a neuron that fired, and its spikes. v >= theta. */
static inline int32_t nvm_reset_fixed(nvm_cells *cells, size_t i, int32_t v, int32_t theta)
{
    int32_t reset_to = nvm_param_of(cells, NVM_PARAM_RESET_TO, i);
    int64_t count = 1;
    if (cells->record->fire == NVM_FIRE_MANY) { /* reset_to >= 1 */
        count = 1 + ((int64_t)v - theta) / reset_to;
        count = count < NVM_MAX_SPIKES ? count : NVM_MAX_SPIKES;
    }
    nvm_send(cells, i, (uint32_t)count);
    return cells->record->reset == NVM_RESET_SUBTRACT ? nvm_saturate_s32(v - count * reset_to)
                                                      : reset_to;
}

/* One neuron; |came| <= 2^62. Says whether it stays awake, its current apart. */
static inline int nvm_fire_fixed(nvm_cells *cells, size_t i, uint64_t elapsed, uint32_t factor,
                                 int64_t came)
{
    const nvm_population *record = cells->record;
    int32_t theta = nvm_param_of(cells, NVM_PARAM_THETA, i);
    int32_t bias = nvm_param_of(cells, NVM_PARAM_BIAS, i);
    int32_t v = cells->v[i], left = 0;
    int held = 0;
    if (cells->refractory != NULL) { /* it fired `refractory - left` ticks before the stamp */
        left = cells->refractory[i];
        held = (uint64_t)left >= elapsed;
        left = held ? left - (int32_t)elapsed : 0;
    }
    if (!held) {
        v = nvm_saturate_s32(nvm_leak_nearest(v, factor) + came + bias);
        v = v > record->v_min ? v : record->v_min;
        if (record->fire != NVM_FIRE_NONE && v >= theta) {
            v = nvm_reset_fixed(cells, i, v, theta);
            left = record->refractory;
        }
    }
    cells->v[i] = v;
    if (cells->refractory != NULL) {
        cells->refractory[i] = left;
    }
    return bias != 0 || (left > 0 && v != 0) ||
           (record->fire != NVM_FIRE_NONE && (v > 0 ? v : 0) >= theta);
}

#endif

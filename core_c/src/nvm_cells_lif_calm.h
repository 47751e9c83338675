/* SPDX-License-Identifier: Apache-2.0
 *
 * LIF in a calm tick (nvm_bounds) with shared parameters, in plain C without branches, of which a compiler
 * makes vectors of any width; everything else is the scalar source's. The including file names the
 * instruction set, and NVM_CELLS_LIF.
 */
#ifndef NVM_CELLS_LIF_CALM_H
#define NVM_CELLS_LIF_CALM_H

#include "nvm_spiking_internal.h"

#define CHUNK 64u

typedef struct shared {
    int32_t factor; /* L - 2^31: fits where L does not, and what it takes from x is x less */
    int32_t gain, bias, theta, reset_to, v_min, fires, subtracts;
} shared;

static inline int32_t shared_of(const nvm_cells *cells, nvm_param param)
{
    return cells->param[param][0];
}

/* n <= CHUNK neurons; fired: 0 or 1 each. Says whether one is at theta after its reset. No sum here leaves
 * 32 bits. */
static inline int32_t step_chunk(int32_t *restrict v, int32_t *restrict drive, uint8_t *restrict fired,
                                 size_t n, const shared s)
{
    int32_t stays = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t product = (uint64_t)((int64_t)v[i] * s.factor + (INT64_C(1) << 30));
        uint32_t sum = (uint32_t)v[i] + (uint32_t)(product >> 31);
        sum += (uint32_t)drive[i] * (uint32_t)s.gain + (uint32_t)s.bias;
        int32_t x = (int32_t)sum;
        x = x > s.v_min ? x : s.v_min;
        int32_t hit = (x >= s.theta) & s.fires;
        int32_t after = s.subtracts ? (int32_t)((uint32_t)x - (uint32_t)s.reset_to) : s.reset_to;
        x = hit ? after : x;
        stays |= ((x > 0 ? x : 0) >= s.theta) & s.fires;
        v[i] = x;
        drive[i] = 0;
        fired[i] = (uint8_t)hit;
    }
    return stays;
}

static inline void list_chunk(nvm_cells *cells, const uint8_t *fired, size_t first)
{
    for (size_t i = 0; i < CHUNK; i += 8) {
        uint64_t word;
        memcpy(&word, fired + i, sizeof word);
        for (; word != 0; word &= word - 1) {
            nvm_send(cells, first + i + (size_t)__builtin_ctzll(word) / 8, 1);
        }
    }
}

int NVM_CELLS_LIF(nvm_cells *cells, size_t first, size_t n, uint64_t elapsed)
{
    const nvm_population *record = cells->record;
    size_t step;
    if (!cells->bounds.calm || (record->arrays & ~(1u << NVM_PARAM_INITIAL)) != 0) {
        return nvm_cells_lif_s32__scalar(cells, first, n, elapsed);
    }
    uint32_t factor = *nvm_leak_since(cells, NVM_PARAM_LEAK, first, n, elapsed, &step);
    const shared s = {.factor = (int32_t)(factor ^ UINT32_C(1) << 31),
                      .gain = shared_of(cells, NVM_PARAM_GAIN),
                      .bias = shared_of(cells, NVM_PARAM_BIAS),
                      .theta = shared_of(cells, NVM_PARAM_THETA),
                      .reset_to = shared_of(cells, NVM_PARAM_RESET_TO),
                      .v_min = record->v_min,
                      .fires = record->fire != NVM_FIRE_NONE,
                      .subtracts = record->reset == NVM_RESET_SUBTRACT};
    int32_t stays = s.bias != 0;
    for (size_t i = first; i < first + n; i += CHUNK) {
        uint8_t fired[CHUNK];
        if (first + n - i >= CHUNK) {
            stays |= step_chunk(cells->v + i, cells->drive + i, fired, CHUNK, s);
        } else {
            memset(fired, 0, sizeof fired);
            stays |= step_chunk(cells->v + i, cells->drive + i, fired, first + n - i, s);
        }
        list_chunk(cells, fired, i);
    }
    return stays != 0;
}

#endif

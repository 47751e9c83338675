/* SPDX-License-Identifier: Apache-2.0
 *
 * LOIHI: the chip's CUBA LIF; awake while any state or bias is not 0.
 */
#include "nvm_cells_fixed__scalar.h"

/* x / 4096 towards 0. */
static int32_t shorten(int64_t x)
{
    return (int32_t)(x / 4096);
}

/* x modulo 2^24, in (-2^23, 2^23]. */
static int32_t wrap_s24(uint32_t x)
{
    int32_t low = (int32_t)(x & 0xFFFFFF);
    return low > 1 << 23 ? low - (1 << 24) : low;
}

int nvm_cells_loihi_s32__scalar(nvm_cells *cells, size_t first, size_t n, uint64_t elapsed)
{
    const int32_t limit = (1 << 23) - 1;
    int32_t exponent = cells->record->exponent;
    int awake = 0;
    (void)elapsed; /* 1, or nothing was there to change */
    for (size_t i = first; i < first + n; i++) {
        int64_t keep_u = 4095 - nvm_param_of(cells, NVM_PARAM_LEAK_CURRENT, i);
        int64_t keep_v = 4096 - nvm_param_of(cells, NVM_PARAM_LEAK, i);
        int32_t theta = nvm_param_of(cells, NVM_PARAM_THETA, i) * 64; /* below 2^23 */
        int32_t bias = nvm_param_of(cells, NVM_PARAM_BIAS, i), a = cells->drive[i];
        /* Modulo 2^32 here is modulo 2^24 there. */
        uint32_t came = exponent > 0 ? (uint32_t)a << exponent : (uint32_t)(a >> -exponent);
        int32_t u = wrap_s24((uint32_t)shorten(cells->current[i] * keep_u) + (came << 6));
        int64_t sum = (int64_t)shorten(cells->v[i] * keep_v) + u + bias;
        int32_t v = (int32_t)(sum > limit ? limit : sum < -limit ? -limit : sum);
        if (v > theta) {
            nvm_send(cells, i, 1);
            v = 0;
        }
        cells->drive[i] = 0;
        cells->current[i] = u;
        cells->v[i] = v;
        awake |= u != 0 || v != 0 || bias != 0;
    }
    return awake;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_spiking_bounds.c: when sums may be taken in 32 bits.
 *
 * In a tick |v| grows by at most |a| |gain| + |b|: leaks and resets do not enlarge it beyond |reset_to|. So a
 * bound of |v| is kept without looking at the neurons, and they are measured when it comes near the limit:
 * once in hundreds of ticks.
 */
#include "nvm_spiking_internal.h"

/* The largest |value| of a parameter, the smallest and largest value. */
static int64_t largest(const nvm_cells *cells, nvm_param param, int32_t *low, int32_t *high)
{
    size_t n = nvm_param_step(cells->record, param) ? cells->record->n : 1;
    *low = INT32_MAX;
    *high = INT32_MIN;
    for (size_t i = 0; i < n; i++) {
        int32_t x = cells->param[param][i];
        *low = *low < x ? *low : x;
        *high = *high > x ? *high : x;
    }
    return -(int64_t)*low > *high ? -(int64_t)*low : *high;
}

/* With |v| < 2^30, |a gain| < 2^29 and |b| <= 2^29 the sum of LIF fits 32 bits; with |v| < 2^30, the old
 * current below 2^28, |a gain| < 2^27 and |b| <= 2^28 those of CUBA. */
static int32_t most_drive(const nvm_cells *cells, int resets_fit)
{
    int is_cuba = cells->record->kind == NVM_CELL_CUBA;
    if (cells->bounds.bias > INT64_C(1) << (is_cuba ? 28 : 29) || !resets_fit) {
        return -1;
    }
    int64_t most = (INT64_C(1) << (is_cuba ? 27 : 29)) - 1;
    return cells->bounds.gain == 0 ? INT32_MAX : (int32_t)(most / cells->bounds.gain);
}

void nvm_bounds_begin(nvm_cells *cells)
{
    const nvm_population *record = cells->record;
    nvm_bounds *bounds = &cells->bounds;
    int32_t low, high, theta, reset_low, reset_high;
    if (record->kind != NVM_CELL_LIF && record->kind != NVM_CELL_CUBA) {
        return;
    }
    bounds->gain = largest(cells, NVM_PARAM_GAIN, &low, &high);
    bounds->bias = largest(cells, NVM_PARAM_BIAS, &low, &high);
    bounds->v = largest(cells, NVM_PARAM_INITIAL, &low, &high);
    bounds->reset_to = largest(cells, NVM_PARAM_RESET_TO, &reset_low, &reset_high);
    (void)largest(cells, NVM_PARAM_THETA, &theta, &high);
    int subtracts = record->reset == NVM_RESET_SUBTRACT;
    int resets_fit = !subtracts || (theta >= 0 && reset_low >= 0); /* v >= theta: v - reset_to fits */
    bounds->settles = record->fire == NVM_FIRE_NONE ||
                      (theta > 0 && !subtracts && reset_high < theta);
    bounds->plain = record->kind == NVM_CELL_LIF && record->fire != NVM_FIRE_MANY &&
                    record->refractory == 0 && resets_fit;
    bounds->most_drive = most_drive(cells, resets_fit);
}

static int64_t measure(const nvm_cells *cells)
{
    uint32_t bits = 0; /* of x where x >= 0, of -1 - x where it is not */
    for (size_t i = 0; i < cells->record->n; i++) {
        bits |= (uint32_t)(cells->v[i] ^ (cells->v[i] >> 31));
    }
    int64_t bound = 1;
    while (bound <= bits) {
        bound *= 2;
    }
    return bound;
}

void nvm_bounds_tick(nvm_cells *cells)
{
    nvm_bounds *bounds = &cells->bounds;
    int64_t grows = 0;
    if (!bounds->plain) {
        return;
    }
    bounds->calm = 0;
    /* gain <= 2^31, so that neither product nor sum leaves 64 bits */
    if (bounds->drive < UINT32_MAX) {
        grows = (int64_t)bounds->drive * bounds->gain + bounds->bias;
        if (grows < INT32_MAX && bounds->v > INT32_MAX - grows) {
            bounds->v = measure(cells);
        }
        bounds->calm = grows < INT32_MAX && bounds->v <= INT32_MAX - grows;
    }
    bounds->v = bounds->calm ? bounds->v + grows : INT64_C(1) << 31;
    bounds->v = bounds->v > bounds->reset_to ? bounds->v : bounds->reset_to;
    bounds->drive = 0;
}

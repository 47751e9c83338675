/* SPDX-License-Identifier: Apache-2.0
 *
 * TRUENORTH: the deterministic core model; awake while any potential or leak is not 0.
 */
#include "nvm_cells_fixed__scalar.h"

/* The reset of both thresholds: to a value, by the threshold, none. |v|, |x| are below 2^32. */
static int64_t reset(uint8_t mode, int64_t v, int64_t value, int64_t threshold)
{
    return mode == 0 ? value : mode == 1 ? v - threshold : v;
}

int nvm_cells_truenorth_s32__scalar(nvm_cells *cells, size_t first, size_t n, uint64_t elapsed)
{
    const nvm_population *record = cells->record;
    const int64_t limit = 1 << 19;
    int awake = 0;
    (void)elapsed; /* 1, or nothing was there to change */
    for (size_t i = first; i < first + n; i++) {
        int64_t leak = nvm_param_of(cells, NVM_PARAM_LEAK, i);
        int64_t theta = nvm_param_of(cells, NVM_PARAM_THETA, i);
        int64_t floor = nvm_param_of(cells, NVM_PARAM_FLOOR, i);
        int64_t reset_to = nvm_param_of(cells, NVM_PARAM_RESET_TO, i);
        int64_t v = (int64_t)cells->v[i] + cells->drive[i] + leak;
        v = v < -limit ? -limit : v > limit - 1 ? limit - 1 : v;
        if (v >= theta) {
            nvm_send(cells, i, 1);
            v = reset(record->reset, v, reset_to, theta);
        } else if (v < floor) {
            v = record->floor_mode ? floor : reset(record->reset, v, -reset_to, floor);
        }
        cells->drive[i] = 0;
        cells->v[i] = (int32_t)v;
        awake |= v != 0 || leak != 0;
    }
    return awake;
}

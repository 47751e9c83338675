/* SPDX-License-Identifier: Apache-2.0
 *
 * LIF: v <- sat(D(v, L) + a gain + b), and what LIF and CUBA share from there on.
 */
#include "nvm_cells_fixed__scalar.h"

int nvm_cells_lif_s32__scalar(nvm_cells *cells, size_t first, size_t n, uint64_t elapsed)
{
    size_t step;
    const uint32_t *factor = nvm_leak_over(cells, NVM_PARAM_LEAK, first, n, elapsed, &step);
    int awake = 0;
    for (size_t i = first; i < first + n; i++, factor += step) {
        int64_t came = (int64_t)cells->drive[i] * nvm_param_of(cells, NVM_PARAM_GAIN, i);
        cells->drive[i] = 0;
        awake |= nvm_fire_fixed(cells, i, elapsed, *factor, came);
    }
    return awake;
}

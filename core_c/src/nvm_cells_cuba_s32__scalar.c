/* SPDX-License-Identifier: Apache-2.0
 *
 * CUBA: i <- sat(C(i, Li) + a gain); v <- sat(D(v, L) + ((i coupling + 2^30) >> 31) + b).
 */
#include "nvm_cells_fixed__scalar.h"

int nvm_cells_cuba_s32__scalar(nvm_cells *cells, size_t first, size_t n, uint64_t elapsed)
{
    size_t step, step_current;
    const uint32_t *factor = nvm_leak_over(cells, NVM_PARAM_LEAK, first, n, elapsed, &step);
    const uint32_t *factor_current =
        nvm_leak_over(cells, NVM_PARAM_LEAK_CURRENT, first, n, elapsed, &step_current);
    int awake = 0;
    for (size_t i = first; i < first + n; i++, factor += step, factor_current += step_current) {
        int64_t came = (int64_t)cells->drive[i] * nvm_param_of(cells, NVM_PARAM_GAIN, i);
        int64_t coupling = nvm_param_of(cells, NVM_PARAM_COUPLING, i);
        cells->drive[i] = 0;
        cells->current[i] =
            nvm_saturate_s32(nvm_leak_towards_0(cells->current[i], *factor_current) + came);
        came = (cells->current[i] * coupling + (INT64_C(1) << 30)) >> 31;
        awake |= nvm_fire_fixed(cells, i, elapsed, *factor, came) | (cells->current[i] != 0);
    }
    return awake;
}

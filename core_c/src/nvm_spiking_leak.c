/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_spiking_leak.c: what neurons do while nothing reaches them.
 */
#include "nvm_spiking_internal.h"

static uint32_t factor_over(const uint32_t *leak, size_t stride, uint64_t elapsed)
{
    uint64_t product = UINT64_C(1) << 31; /* both factors at most 2^31 */
    for (unsigned k = 0; elapsed >> k != 0; k++) {
        if (elapsed >> k & 1) {
            product = (product * leak[k * stride] + (UINT64_C(1) << 30)) >> 31;
        }
    }
    return (uint32_t)product;
}

const uint32_t *nvm_leak_over(const nvm_cells *cells, nvm_param param, size_t first, size_t n,
                              uint64_t elapsed, size_t *step)
{
    const uint32_t *leak = (const uint32_t *)(const void *)cells->param[param];
    *step = nvm_param_step(cells->record, param);
    if (elapsed == 1) {
        return leak + *step * first;
    }
    elapsed = elapsed < UINT32_MAX ? elapsed : UINT32_MAX;
    uint32_t *factors = cells->factors[param == NVM_PARAM_LEAK_CURRENT];
    if (*step == 0) {
        factors[0] = factor_over(leak, 1, elapsed);
        return factors;
    }
    for (size_t i = first; i < first + n; i++) {
        factors[i] = factor_over(leak + i, cells->record->n, elapsed);
    }
    return factors + first;
}

static int knows_leak(const nvm_cells *cells)
{
    return cells->record->kind == NVM_CELL_LIF || cells->record->kind == NVM_CELL_CUBA;
}

int nvm_cells_are_awake(const nvm_cells *cells, size_t first, size_t n)
{
    const nvm_population *record = cells->record;
    int added = record->kind == NVM_CELL_TRUENORTH ? NVM_PARAM_LEAK : NVM_PARAM_BIAS;
    for (size_t i = first; i < first + n; i++) {
        int32_t v = cells->v[i];
        if (cells->param[added][i * nvm_param_step(record, (nvm_param)added)] != 0 ||
            (cells->current != NULL && cells->current[i] != 0) ||
            (cells->refractory != NULL && cells->refractory[i] > 0 && v != 0) ||
            (!knows_leak(cells) && v != 0)) {
            return 1;
        }
        int32_t theta = cells->param[NVM_PARAM_THETA][i * nvm_param_step(record, NVM_PARAM_THETA)];
        if (knows_leak(cells) && record->fire != NVM_FIRE_NONE && (v > 0 ? v : 0) >= theta) {
            return 1;
        }
    }
    return 0;
}

void nvm_cells_read(const nvm_cells *cells, size_t first, size_t n, uint64_t elapsed, int32_t *v,
                    int32_t *current)
{
    size_t step, step_current = 0;
    int leaks = knows_leak(cells) && elapsed != 0;
    const uint32_t *factor = leaks ? nvm_leak_over(cells, NVM_PARAM_LEAK, first, n, elapsed, &step) : NULL;
    for (size_t i = 0; v != NULL && i < n; i++) {
        v[i] = cells->v[first + i];
        v[i] = leaks ? nvm_leak_nearest(v[i], factor[i * step]) : v[i];
    }
    if (current == NULL) {
        return;
    }
    leaks = leaks && cells->current != NULL;
    factor = leaks ? nvm_leak_over(cells, NVM_PARAM_LEAK_CURRENT, first, n, elapsed, &step_current) : NULL;
    for (size_t i = 0; i < n; i++) {
        current[i] = cells->current == NULL ? 0 : cells->current[first + i];
        current[i] = leaks ? nvm_leak_towards_0(current[i], factor[i * step_current]) : current[i];
    }
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * CUBA, 16 neurons at a time.
 */
#include "nvm_isa_avx512vnni.h"

#include "nvm_cells_fixed__avx512.h"

static inline void step_lanes(lanes *l, size_t i, size_t left, uint64_t elapsed, int general)
{
    nvm_cells *cells = l->cells;
    __mmask16 inside = first_lanes(left);
    __m512i before = _mm512_maskz_loadu_epi32(inside, cells->v + i);
    __m512i current = _mm512_maskz_loadu_epi32(inside, cells->current + i);
    __m512i drive = _mm512_maskz_loadu_epi32(inside, cells->drive + i);
    if (is_beyond(before, l->most_v) | is_beyond(drive, l->most_drive) |
        is_beyond(current, l->most_current)) {
        size_t n = left < 16 ? left : 16;
        l->awake |= (unsigned)nvm_cells_cuba_s32__scalar(cells, i, n, elapsed);
        return;
    }
    __m512i gain = parameter(l, NVM_PARAM_GAIN, i, inside, general);
    __m512i factor = factor_of(l->factors_current, l->factor_current, i, inside, general);
    current = _mm512_add_epi32(current, scaled_towards_0(current, factor));
    current = _mm512_add_epi32(current, _mm512_mullo_epi32(drive, gain));
    _mm512_mask_storeu_epi32(cells->current + i, inside, current);
    l->awake |= _mm512_test_epi32_mask(current, current);
    __m512i coupling = parameter(l, NVM_PARAM_COUPLING, i, inside, general);
    __m512i came = _mm512_add_epi32(scaled_nearest(current, coupling),
                                    parameter(l, NVM_PARAM_BIAS, i, inside, general));
    factor = factor_of(l->factors, l->factor, i, inside, general);
    __m512i v = _mm512_add_epi32(before, scaled_nearest(before, factor));
    fire_lanes(l, i, before, _mm512_add_epi32(v, came), inside, general);
}

static inline int step(nvm_cells *cells, size_t first, size_t n, uint64_t elapsed, int general)
{
    lanes l = lanes_of(cells, first, n, elapsed, 1);
    uint32_t listed = cells->n_spikes, sent = cells->sent;
    for (size_t i = first; i < first + n; i += 16) {
        step_lanes(&l, i, first + n - i, elapsed, general);
    }
    if (cells->record->fire == NVM_FIRE_ONE) {
        cells->sent = sent + (cells->n_spikes - listed);
    }
    return l.awake != 0;
}

int nvm_cells_cuba_s32__avx512vnni(nvm_cells *cells, size_t first, size_t n, uint64_t elapsed)
{
    if (!lanes_fit(cells)) {
        return nvm_cells_cuba_s32__scalar(cells, first, n, elapsed);
    }
    if (has_arrays(cells)) {
        return step(cells, first, n, elapsed, 1);
    }
    return step(cells, first, n, elapsed, 0) | (cells->param[NVM_PARAM_BIAS][0] != 0);
}

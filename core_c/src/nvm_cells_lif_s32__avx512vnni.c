/* SPDX-License-Identifier: Apache-2.0
 *
 * LIF, 16 neurons at a time.
 */
#include "nvm_isa_avx512vnni.h"

#include "nvm_cells_fixed__avx512.h"

static inline void step_lanes(lanes *l, size_t i, size_t left, uint64_t elapsed, int general)
{
    nvm_cells *cells = l->cells;
    __mmask16 inside = first_lanes(left);
    __m512i before = _mm512_maskz_loadu_epi32(inside, cells->v + i);
    __m512i drive = _mm512_maskz_loadu_epi32(inside, cells->drive + i);
    if (is_beyond(before, l->most_v) | is_beyond(drive, l->most_drive)) {
        size_t n = left < 16 ? left : 16;
        l->awake |= (unsigned)nvm_cells_lif_s32__scalar(cells, i, n, elapsed);
        return;
    }
    __m512i factor = factor_of(l->factors, l->factor, i, inside, general);
    __m512i gain = parameter(l, NVM_PARAM_GAIN, i, inside, general);
    __m512i came = _mm512_add_epi32(_mm512_mullo_epi32(drive, gain),
                                    parameter(l, NVM_PARAM_BIAS, i, inside, general));
    __m512i v = _mm512_add_epi32(before, scaled_nearest(before, factor));
    fire_lanes(l, i, before, _mm512_add_epi32(v, came), inside, general);
}

static inline int step(nvm_cells *cells, size_t first, size_t n, uint64_t elapsed, int general)
{
    lanes l = lanes_of(cells, first, n, elapsed, 0);
    uint32_t listed = cells->n_spikes, sent = cells->sent;
    size_t i = first, end = first + n;
    for (; i + 16 <= end; i += 16) {
        step_lanes(&l, i, 16, elapsed, general);
    }
    if (i < end) {
        step_lanes(&l, i, end - i, elapsed, general);
    }
    if (cells->record->fire == NVM_FIRE_ONE) {
        cells->sent = sent + (cells->n_spikes - listed);
    }
    return l.awake != 0;
}

/* ---- in a calm tick (nvm_bounds): no neuron needs more than 32 bits, none is refractory ------- */

/* What the compiler knows of a call. */
typedef struct known {
    int general;   /* some parameter is an array */
    int stays;     /* a neuron may be at theta after its reset */
    int subtracts; /* resets by subtraction */
} known;

/* The 16 neurons from i on, or the first `left` of them where not `whole`: which of them fired. */
static inline __attribute__((always_inline)) __mmask16 step_16(lanes *l, size_t i, size_t left, int whole,
                                                               const known k, __mmask16 fires)
{
    __mmask16 inside = whole ? 0xFFFF : first_lanes(left);
    int32_t *v_at = l->v + i, *drive_at = l->drive + i;
    __m512i before = whole ? _mm512_loadu_si512(v_at) : _mm512_maskz_loadu_epi32(inside, v_at);
    __m512i drive = whole ? _mm512_loadu_si512(drive_at) : _mm512_maskz_loadu_epi32(inside, drive_at);
    __m512i bias = parameter(l, NVM_PARAM_BIAS, i, inside, k.general);
    __m512i theta = parameter(l, NVM_PARAM_THETA, i, inside, k.general);
    __m512i reset_to = parameter(l, NVM_PARAM_RESET_TO, i, inside, k.general);
    __m512i factor = factor_of(l->factors, l->factor, i, inside, k.general);
    __m512i gain = parameter(l, NVM_PARAM_GAIN, i, inside, k.general);
    __m512i v = _mm512_add_epi32(before, scaled_nearest(before, factor));
    v = _mm512_add_epi32(v, _mm512_add_epi32(_mm512_mullo_epi32(drive, gain), bias));
    v = _mm512_max_epi32(v, l->v_min);
    fires = whole ? fires : _kand_mask16(fires, inside);
    __mmask16 fired = _mm512_mask_cmpge_epi32_mask(fires, v, theta);
    v = k.subtracts ? _mm512_mask_sub_epi32(v, fired, v, reset_to)
                    : _mm512_mask_mov_epi32(v, fired, reset_to);
    if (k.stays) {
        __m512i risen = _mm512_max_epi32(v, _mm512_setzero_si512());
        l->stay = _kor_mask16(l->stay, _mm512_mask_cmpge_epi32_mask(fires, risen, theta));
    }
    if (k.general) {
        l->stay = _kor_mask16(l->stay, _mm512_mask_test_epi32_mask(inside, bias, bias));
    }
    if (whole) {
        _mm512_storeu_si512(v_at, v);
        _mm512_storeu_si512(drive_at, _mm512_setzero_si512());
    } else {
        _mm512_mask_storeu_epi32(v_at, inside, v);
        _mm512_mask_storeu_epi32(drive_at, inside, _mm512_setzero_si512());
    }
    return fired;
}

/* One entry for each bit: neuron `first` is bit 0. */
static inline void list_fired(nvm_cells *cells, uint64_t bits, size_t first)
{
    nvm_spike *end = cells->spikes + cells->n_spikes;
    uint32_t n = (uint32_t)__builtin_popcountll(bits);
    cells->n_spikes += n;
    cells->sent += n;
    for (; bits != 0; bits &= bits - 1) {
        *end++ = (nvm_spike)(first + (size_t)__builtin_ctzll(bits)) << NVM_COUNT_BITS | 1;
    }
}

static inline __attribute__((always_inline)) int step_calm(nvm_cells *cells, size_t first, size_t n,
                                                           uint64_t elapsed, const known k)
{
    lanes l = lanes_of(cells, first, n, elapsed, 0);
    __mmask16 fires = cells->record->fire == NVM_FIRE_NONE ? 0 : 0xFFFF;
    size_t i = first, end = first + n;
    for (; i + 64 <= end; i += 64) {
        uint64_t fired = _cvtmask16_u32(step_16(&l, i, 16, 1, k, fires));
        fired |= (uint64_t)_cvtmask16_u32(step_16(&l, i + 16, 16, 1, k, fires)) << 16;
        fired |= (uint64_t)_cvtmask16_u32(step_16(&l, i + 32, 16, 1, k, fires)) << 32;
        fired |= (uint64_t)_cvtmask16_u32(step_16(&l, i + 48, 16, 1, k, fires)) << 48;
        list_fired(cells, fired, i);
    }
    for (; i < end; i += 16) {
        list_fired(cells, _cvtmask16_u32(step_16(&l, i, end - i, 0, k, fires)), i);
    }
    return l.stay != 0;
}

static int step_calm_any(nvm_cells *cells, size_t first, size_t n, uint64_t elapsed)
{
    int subtracts = cells->record->reset == NVM_RESET_SUBTRACT;
    if (has_arrays(cells)) {
        return subtracts ? step_calm(cells, first, n, elapsed, (known){1, 1, 1})
                         : step_calm(cells, first, n, elapsed, (known){1, 1, 0});
    }
    int awake = subtracts              ? step_calm(cells, first, n, elapsed, (known){0, 1, 1})
                : cells->bounds.settles ? step_calm(cells, first, n, elapsed, (known){0, 0, 0})
                                        : step_calm(cells, first, n, elapsed, (known){0, 1, 0});
    return awake | (cells->param[NVM_PARAM_BIAS][0] != 0);
}

int nvm_cells_lif_s32__avx512vnni(nvm_cells *cells, size_t first, size_t n, uint64_t elapsed)
{
    if (cells->bounds.calm) {
        return step_calm_any(cells, first, n, elapsed);
    }
    if (!lanes_fit(cells)) {
        return nvm_cells_lif_s32__scalar(cells, first, n, elapsed);
    }
    if (has_arrays(cells)) {
        return step(cells, first, n, elapsed, 1);
    }
    return step(cells, first, n, elapsed, 0) | (cells->param[NVM_PARAM_BIAS][0] != 0);
}

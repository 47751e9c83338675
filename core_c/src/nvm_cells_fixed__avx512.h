/* SPDX-License-Identifier: Apache-2.0
 *
 * LIF and CUBA, 16 neurons at a time. Sums of 16 are taken in 32 bits where nvm_lanes says that they
 * fit, else these 16 are stepped as the scalar source does it.
 */
#ifndef NVM_CELLS_FIXED_AVX512_H
#define NVM_CELLS_FIXED_AVX512_H

#include <immintrin.h>

#include "nvm_cells_fixed__scalar.h"

/* What of the population does not change within a call. A parameter stands in `shared` where it has one
 * entry. */
typedef struct lanes {
    nvm_cells *cells;
    int32_t *v, *drive;
    __m512i shared[NVM_PARAM_COUNT];
    const int32_t *array[NVM_PARAM_COUNT]; /* NULL: shared */
    __m512i factor, factor_current;        /* L - 2^31, where shared */
    const uint32_t *factors, *factors_current; /* of the first neuron, where one each; else NULL */
    __m512i most_v, most_current, most_drive; /* sums of no more than these fit */
    __m512i v_min, elapsed, refractory;
    unsigned awake; /* not 0: some neuron is */
    __mmask16 stay; /* the same, in a mask register */
} lanes;

static inline __mmask16 first_lanes(size_t n)
{
    return (__mmask16)(n >= 16 ? 0xFFFFu : (1u << n) - 1);
}

/* Entry i on of a parameter. `general`: some parameter is an array; known when this is compiled. */
static inline __m512i parameter(const lanes *l, nvm_param p, size_t i, __mmask16 inside, int general)
{
    return general && l->array[p] != NULL ? _mm512_maskz_loadu_epi32(inside, l->array[p] + i)
                                          : l->shared[p];
}

/* x factor + rounding, bits 31 and up: with factor = L - 2^31, which fits int32 where L does not, this
 * is what L x / 2^31 is more than x. Modulo 2^32. */
static inline __m512i scaled(__m512i x, __m512i factor, __m512i round_even, __m512i round_odd)
{
    __m512i even = _mm512_mul_epi32(x, factor);
    __m512i odd = _mm512_mul_epi32(_mm512_srli_epi64(x, 32), _mm512_srli_epi64(factor, 32));
    even = _mm512_srli_epi64(_mm512_add_epi64(even, round_even), 31);
    odd = _mm512_slli_epi64(_mm512_add_epi64(odd, round_odd), 1);
    return _mm512_mask_blend_epi32(0xAAAA, even, odd);
}

static inline __m512i scaled_nearest(__m512i x, __m512i factor)
{
    const __m512i half = _mm512_set1_epi64(1 << 30);
    return scaled(x, factor, half, half);
}

static inline __m512i scaled_towards_0(__m512i x, __m512i factor)
{
    __m512i up = _mm512_and_si512(_mm512_srai_epi32(x, 31), _mm512_set1_epi32(INT32_MAX));
    return scaled(x, factor, _mm512_and_si512(up, _mm512_set1_epi64(UINT32_MAX)),
                  _mm512_srli_epi64(up, 32));
}

static inline __m512i shifted_factor(__m512i factor)
{
    return _mm512_xor_si512(factor, _mm512_set1_epi32(INT32_MIN));
}

static inline lanes lanes_of(nvm_cells *cells, size_t first, size_t n, uint64_t elapsed, int current)
{
    lanes l;
    size_t step;
    l.cells = cells;
    l.v = cells->v;
    l.drive = cells->drive;
    l.awake = 0;
    l.stay = 0;
    l.factor_current = _mm512_setzero_si512();
    l.factors_current = NULL;
#pragma GCC unroll 9 /* so that what is not used costs nothing */
    for (nvm_param p = 0; p < NVM_PARAM_COUNT; p++) {
        int is_there = p != NVM_PARAM_LEAK && p != NVM_PARAM_LEAK_CURRENT && cells->param[p] != NULL;
        l.array[p] = is_there && nvm_param_step(cells->record, p) ? cells->param[p] : NULL;
        l.shared[p] = _mm512_set1_epi32(is_there ? cells->param[p][0] : 0);
    }
    const uint32_t *factor = nvm_leak_since(cells, NVM_PARAM_LEAK, first, n, elapsed, &step);
    l.factor = shifted_factor(_mm512_set1_epi32((int)factor[0]));
    l.factors = step ? factor - first : NULL;
    if (current) {
        factor = nvm_leak_since(cells, NVM_PARAM_LEAK_CURRENT, first, n, elapsed, &step);
        l.factor_current = shifted_factor(_mm512_set1_epi32((int)factor[0]));
        l.factors_current = step ? factor - first : NULL;
    }
    l.most_v = _mm512_set1_epi32((1 << 30) - 1);
    l.most_current = _mm512_set1_epi32((1 << 28) - 1);
    l.most_drive = _mm512_set1_epi32(cells->bounds.most_drive);
    l.v_min = _mm512_set1_epi32(cells->record->v_min);
    l.elapsed = _mm512_set1_epi32((int)(elapsed < INT32_MAX ? elapsed : INT32_MAX));
    l.refractory = _mm512_set1_epi32(cells->record->refractory);
    return l;
}

static inline __m512i factor_of(const uint32_t *factors, __m512i shared, size_t i, __mmask16 inside,
                                int general)
{
    return general && factors != NULL
               ? shifted_factor(_mm512_maskz_loadu_epi32(inside, factors + i))
               : shared;
}

static inline int is_beyond(__m512i x, __m512i most)
{
    return _mm512_cmpgt_epu32_mask(_mm512_abs_epi32(x), most) != 0;
}

/* The lanes that fired: reset, and one entry each in the list. */
static inline __m512i reset_lanes(lanes *l, size_t i, __mmask16 fired, __m512i v, __m512i reset_to)
{
    nvm_cells *cells = l->cells;
    const __m512i base = _mm512_setr_epi32(1, 129, 257, 385, 513, 641, 769, 897, 1025, 1153, 1281,
                                           1409, 1537, 1665, 1793, 1921); /* lane << 7 | 1 */
    if (cells->record->fire == NVM_FIRE_MANY) {
        int32_t each[16];
        _mm512_storeu_si512(each, v);
        for (uint32_t k = fired; k != 0; k &= k - 1) {
            size_t lane = (size_t)__builtin_ctz(k);
            each[lane] = nvm_reset_fixed(cells, i + lane, each[lane],
                                         nvm_param_of(cells, NVM_PARAM_THETA, i + lane));
        }
        return _mm512_loadu_si512(each);
    }
    __m512i spikes = _mm512_add_epi32(base, _mm512_set1_epi32((int)(i << NVM_COUNT_BITS)));
    _mm512_storeu_si512(cells->spikes + cells->n_spikes, _mm512_maskz_compress_epi32(fired, spikes));
    cells->n_spikes += (uint32_t)_mm_popcnt_u32(fired);
    return cells->record->reset == NVM_RESET_SUBTRACT ? _mm512_mask_sub_epi32(v, fired, v, reset_to)
                                                      : _mm512_mask_mov_epi32(v, fired, reset_to);
}

/* v of the neurons before and after leak, drive and bias. */
static inline void fire_lanes(lanes *l, size_t i, __m512i before, __m512i v, __mmask16 inside,
                              int general)
{
    nvm_cells *cells = l->cells;
    __m512i theta = parameter(l, NVM_PARAM_THETA, i, inside, general);
    __mmask16 fires = cells->record->fire == NVM_FIRE_NONE ? 0 : inside, held = 0;
    __m512i left = _mm512_setzero_si512();
    v = _mm512_max_epi32(v, l->v_min);
    if (cells->refractory != NULL) {
        left = _mm512_maskz_loadu_epi32(inside, cells->refractory + i);
        held = _mm512_cmpge_epi32_mask(left, l->elapsed);
        left = _mm512_maskz_sub_epi32(held, left, l->elapsed);
        v = _mm512_mask_mov_epi32(v, held, before);
    }
    __mmask16 fired = _mm512_mask_cmpge_epi32_mask(_kandn_mask16(held, fires), v, theta);
    v = reset_lanes(l, i, fired, v, parameter(l, NVM_PARAM_RESET_TO, i, inside, general));
    if (cells->refractory != NULL) {
        left = _mm512_mask_mov_epi32(left, fired, l->refractory);
        _mm512_mask_storeu_epi32(cells->refractory + i, inside, left);
        l->awake |= _mm512_mask_test_epi32_mask(_mm512_test_epi32_mask(left, left), v, v);
    }
    if (general) {
        __m512i bias = parameter(l, NVM_PARAM_BIAS, i, inside, general);
        l->awake |= _mm512_mask_test_epi32_mask(inside, bias, bias);
    }
    __m512i risen = _mm512_max_epi32(v, _mm512_setzero_si512());
    l->awake |= _mm512_mask_cmpge_epi32_mask(fires, risen, theta);
    _mm512_mask_storeu_epi32(cells->v + i, inside, v);
    _mm512_mask_storeu_epi32(cells->drive + i, inside, _mm512_setzero_si512());
}

/* Whether a parameter that a step reads is an array. */
static inline int has_arrays(const nvm_cells *cells)
{
    return (cells->record->arrays & ~(1u << NVM_PARAM_INITIAL)) != 0;
}

/* Whether the parameters are such that sums of 32 bits can do at all. */
static inline int lanes_fit(const nvm_cells *cells)
{
    return cells->bounds.most_drive >= 0;
}

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * The requantisers R of nvm.h, sixteen accumulators at a time.
 */
#include "nvm_isa_avx512vnni.h"

#include <immintrin.h>

#include "nvm_internal.h"

#define LANES 16u
#define PATTERN 64u /* parameters of few channels are written out that often */

/* Parameters of the channels in turn; with `step` 0 one of each for all. */
typedef struct parameters {
    const void *scale;
    const int32_t *shift;
    size_t step;
} parameters;

/* Vectors of what all neurons of a layer share. */
typedef struct bounds {
    __m512i zero, lo, hi;   /* lo, hi: before the zero point is added */
    __m512 lo_f32, hi_f32;
} bounds;

static inline bounds bounds_of(const nvm_layer *layer)
{
    int32_t zero = layer->zero_out, lo = layer->lo - zero, hi = layer->hi - zero;
    return (bounds){.zero = _mm512_set1_epi32(zero),
                    .lo = _mm512_set1_epi32(lo),
                    .hi = _mm512_set1_epi32(hi),
                    .lo_f32 = _mm512_set1_ps((float)lo),
                    .hi_f32 = _mm512_set1_ps((float)hi)};
}

/* Half to even in the default rounding mode, as the scalar rule; a NaN becomes lo. */
static inline __m512i round_even(const bounds *to, __m512 v)
{
    v = _mm512_min_ps(_mm512_max_ps(v, to->lo_f32), to->hi_f32);
    return _mm512_cvtps_epi32(v);
}

/* floor((a m + 2^30) / 2^31) of the even lanes; m >= 0. */
static inline __m512i srdhm_even(__m512i a, __m512i m)
{
    __m512i product = _mm512_add_epi64(_mm512_mul_epi32(a, m), _mm512_set1_epi64(1 << 30));
    return _mm512_srli_epi64(product, 31); /* the low half counts, and fits int32 */
}

static inline __m512i srdhm(__m512i a, __m512i m)
{
    __m512i even = srdhm_even(a, m);
    __m512i odd = srdhm_even(_mm512_srli_epi64(a, 32), _mm512_srli_epi64(m, 32));
    return _mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64(odd, 32));
}

/* x / 2^r, halves away from zero. */
static inline __m512i divide_away(__m512i x, __m512i r)
{
    __m512i one = _mm512_set1_epi32(1);
    __m512i mask = _mm512_sub_epi32(_mm512_sllv_epi32(one, r), one);
    __m512i most = _mm512_add_epi32(_mm512_srli_epi32(mask, 1), _mm512_srli_epi32(x, 31));
    __mmask16 up = _mm512_cmpgt_epi32_mask(_mm512_and_si512(x, mask), most);
    __m512i y = _mm512_srav_epi32(x, r);
    return _mm512_mask_add_epi32(y, up, y, one);
}

/* x / 2^r, halves up: the floor and the highest bit shifted out. */
static inline __m512i divide_up(__m512i x, __m512i r)
{
    __mmask16 any = _mm512_test_epi32_mask(r, r);
    __m512i below = _mm512_sub_epi32(r, _mm512_set1_epi32(1));
    __m512i last = _mm512_and_si512(_mm512_srav_epi32(x, below), _mm512_set1_epi32(1));
    return _mm512_mask_add_epi32(x, any, _mm512_srav_epi32(x, r), last);
}

static inline __m512i round_twice(__m512i a, __m512i m, __m512i e, int away)
{
    __m512i none = _mm512_setzero_si512();
    __m512i x = srdhm(_mm512_sllv_epi32(a, _mm512_max_epi32(e, none)), m);
    __m512i right = _mm512_max_epi32(_mm512_sub_epi32(none, e), none);
    return away ? divide_away(x, right) : divide_up(x, right);
}

/* floor((a m + 2^(s - 1)) / 2^s) of eight lanes, saturated; s = 31 - e in [1, 62]. */
static inline __m256i round_single(__m256i a, __m256i m, __m256i e)
{
    __m512i s = _mm512_cvtepi32_epi64(_mm256_sub_epi32(_mm256_set1_epi32(31), e));
    __m512i half = _mm512_sllv_epi64(_mm512_set1_epi64(1), _mm512_sub_epi64(s, _mm512_set1_epi64(1)));
    __m512i product = _mm512_mul_epi32(_mm512_cvtepi32_epi64(a), _mm512_cvtepi32_epi64(m));
    return _mm512_cvtsepi64_epi32(_mm512_srav_epi64(_mm512_add_epi64(product, half), s));
}

/* R of sixteen accumulators, clamped, before the zero point. */
static inline __m512i rescale(nvm_requant rule, const bounds *to, __m512i a, __m512i scale,
                              __m512i shift)
{
    __m512i y;
    switch (rule) {
    case NVM_RQ_FP32:
        return round_even(to, _mm512_mul_ps(_mm512_cvtepi32_ps(a), _mm512_castsi512_ps(scale)));
    case NVM_RQ_AFFINE:
        return round_even(to, _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(a),
                                                          _mm512_castsi512_ps(scale)),
                                            _mm512_castsi512_ps(shift)));
    case NVM_RQ_DOUBLE:
        y = round_twice(a, scale, shift, 1);
        break;
    case NVM_RQ_HALFUP:
        y = round_twice(a, scale, shift, 0);
        break;
    case NVM_RQ_SHIFT:
        y = divide_up(a, shift);
        break;
    default:
        y = _mm512_castsi256_si512(
            round_single(_mm512_castsi512_si256(a), _mm512_castsi512_si256(scale),
                         _mm512_castsi512_si256(shift)));
        y = _mm512_inserti64x4(y,
                               round_single(_mm512_extracti64x4_epi64(a, 1),
                                            _mm512_extracti64x4_epi64(scale, 1),
                                            _mm512_extracti64x4_epi64(shift, 1)),
                               1);
        break;
    }
    return _mm512_min_epi32(_mm512_max_epi32(y, to->lo), to->hi);
}

static inline __m512i load_or_repeat(const void *words, size_t step, size_t i, __mmask16 lanes)
{
    const int32_t *word = words;
    return step == 0 ? _mm512_set1_epi32(*word) : _mm512_maskz_loadu_epi32(lanes, word + i);
}

/* One run of channels; `rule` is a constant wherever this is inlined. */
static inline __attribute__((always_inline)) void
requant_run(nvm_requant rule, const bounds *to, const int32_t *acc, const parameters *by, size_t n,
            int8_t *codes)
{
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 lanes = (__mmask16)(n - i < LANES ? (1u << (n - i)) - 1 : 0xFFFF);
        __m512i scale = load_or_repeat(by->scale, by->step, i, lanes);
        __m512i shift =
            rule == NVM_RQ_FP32 ? scale : load_or_repeat(by->shift, by->step, i, lanes);
        __m512i a = _mm512_maskz_loadu_epi32(lanes, acc + i);
        __m512i y = _mm512_add_epi32(rescale(rule, to, a, scale, shift), to->zero);
        _mm_mask_storeu_epi8(codes + i, lanes, _mm512_cvtepi32_epi8(y));
    }
}

#include "nvm_requant_runs.h"

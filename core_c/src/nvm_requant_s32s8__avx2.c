/* SPDX-License-Identifier: Apache-2.0
 *
 * The requantisers R of nvm.h, eight accumulators at a time.
 */
#include "nvm_isa_avx2.h"

#include <immintrin.h>

#include "nvm_internal.h"

#define LANES 8u
#define PATTERN 64u /* parameters of few channels are written out that often */

/* Parameters of the channels in turn; with `step` 0 one of each for all. */
typedef struct parameters {
    const void *scale;
    const int32_t *shift;
    size_t step;
} parameters;

/* Vectors of what all neurons of a layer share. */
typedef struct bounds {
    __m256i zero, lo, hi; /* lo, hi: before the zero point is added */
    __m256 lo_f32, hi_f32;
} bounds;

static inline bounds bounds_of(const nvm_layer *layer)
{
    int32_t zero = layer->zero_out, lo = layer->lo - zero, hi = layer->hi - zero;
    return (bounds){.zero = _mm256_set1_epi32(zero),
                    .lo = _mm256_set1_epi32(lo),
                    .hi = _mm256_set1_epi32(hi),
                    .lo_f32 = _mm256_set1_ps((float)lo),
                    .hi_f32 = _mm256_set1_ps((float)hi)};
}

/* Half to even in the default rounding mode, as the scalar rule; a NaN becomes lo. */
static inline __m256i round_even(const bounds *to, __m256 v)
{
    return _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(v, to->lo_f32), to->hi_f32));
}

/* floor((a m + 2^30) / 2^31) of the even lanes; m >= 0. */
static inline __m256i srdhm_even(__m256i a, __m256i m)
{
    __m256i product = _mm256_add_epi64(_mm256_mul_epi32(a, m), _mm256_set1_epi64x(1 << 30));
    return _mm256_srli_epi64(product, 31); /* the low half counts, and fits int32 */
}

static inline __m256i srdhm(__m256i a, __m256i m)
{
    __m256i even = srdhm_even(a, m);
    __m256i odd = srdhm_even(_mm256_srli_epi64(a, 32), _mm256_srli_epi64(m, 32));
    return _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA);
}

/* x / 2^r, halves away from zero. */
static inline __m256i divide_away(__m256i x, __m256i r)
{
    __m256i one = _mm256_set1_epi32(1);
    __m256i mask = _mm256_sub_epi32(_mm256_sllv_epi32(one, r), one);
    __m256i most = _mm256_add_epi32(_mm256_srli_epi32(mask, 1), _mm256_srli_epi32(x, 31));
    __m256i up = _mm256_cmpgt_epi32(_mm256_and_si256(x, mask), most); /* -1 where so */
    return _mm256_sub_epi32(_mm256_srav_epi32(x, r), up);
}

/* x / 2^r, halves up: the floor and the highest bit shifted out. */
static inline __m256i divide_up(__m256i x, __m256i r)
{
    __m256i one = _mm256_set1_epi32(1), none = _mm256_cmpeq_epi32(r, _mm256_setzero_si256());
    __m256i last = _mm256_and_si256(_mm256_srav_epi32(x, _mm256_sub_epi32(r, one)), one);
    return _mm256_add_epi32(_mm256_srav_epi32(x, r), _mm256_andnot_si256(none, last));
}

static inline __m256i round_twice(__m256i a, __m256i m, __m256i e, int away)
{
    __m256i none = _mm256_setzero_si256();
    __m256i x = srdhm(_mm256_sllv_epi32(a, _mm256_max_epi32(e, none)), m);
    __m256i right = _mm256_max_epi32(_mm256_sub_epi32(none, e), none);
    return away ? divide_away(x, right) : divide_up(x, right);
}

/* floor((a m + 2^(s - 1)) / 2^s) of the even lanes, in int64; s = 31 - e in [1, 62]. A shift that keeps the
 * sign: of the value raised by 2^63, less what became of 2^63. */
static inline __m256i single_even(__m256i a, __m256i m, __m256i s)
{
    const __m256i top = _mm256_set1_epi64x(INT64_MIN), one = _mm256_set1_epi64x(1);
    s = _mm256_and_si256(s, _mm256_set1_epi64x(UINT32_MAX));
    __m256i half = _mm256_sllv_epi64(one, _mm256_sub_epi64(s, one));
    __m256i v = _mm256_add_epi64(_mm256_mul_epi32(a, m), half);
    v = _mm256_srlv_epi64(_mm256_xor_si256(v, top), s);
    return _mm256_sub_epi64(v, _mm256_srlv_epi64(top, s));
}

/* Bounds of int8 cut int64 to what fits int32. */
static inline __m256i clamp_s64(__m256i v, int64_t lo, int64_t hi)
{
    __m256i low = _mm256_set1_epi64x(lo), high = _mm256_set1_epi64x(hi);
    v = _mm256_blendv_epi8(v, low, _mm256_cmpgt_epi64(low, v));
    return _mm256_blendv_epi8(v, high, _mm256_cmpgt_epi64(v, high));
}

static inline __m256i round_single(const bounds *to, __m256i a, __m256i m, __m256i e)
{
    __m256i s = _mm256_sub_epi32(_mm256_set1_epi32(31), e);
    int64_t lo = _mm256_extract_epi32(to->lo, 0), hi = _mm256_extract_epi32(to->hi, 0);
    __m256i even = clamp_s64(single_even(a, m, s), lo, hi);
    __m256i odd = clamp_s64(single_even(_mm256_srli_epi64(a, 32), _mm256_srli_epi64(m, 32),
                                        _mm256_srli_epi64(s, 32)), lo, hi);
    return _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA);
}

/* R of eight accumulators, clamped, before the zero point. */
static inline __m256i rescale(nvm_requant rule, const bounds *to, __m256i a, __m256i scale,
                              __m256i shift)
{
    __m256 scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(a), _mm256_castsi256_ps(scale));
    __m256i y;
    switch (rule) {
    case NVM_RQ_FP32:
        return round_even(to, scaled);
    case NVM_RQ_AFFINE:
        return round_even(to, _mm256_add_ps(scaled, _mm256_castsi256_ps(shift)));
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
        return round_single(to, a, scale, shift);
    }
    return _mm256_min_epi32(_mm256_max_epi32(y, to->lo), to->hi);
}

/* `lanes` words of a run, all or the first few. */
static inline __m256i load_some(const int32_t *words, size_t n, __m256i lanes)
{
    return n >= LANES ? _mm256_loadu_si256((const void *)words) : _mm256_maskload_epi32(words, lanes);
}

static inline void store_some(int8_t *codes, __m256i y, size_t n)
{
    __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(y), _mm256_extracti128_si256(y, 1));
    __m128i bytes = _mm_packs_epi16(words, words);
    int8_t all[16];
    if (n >= LANES) {
        _mm_storel_epi64((void *)codes, bytes);
        return;
    }
    _mm_storeu_si128((void *)all, bytes);
    memcpy(codes, all, n);
}

/* One run of channels; `rule` is a constant wherever this is inlined. */
static inline __attribute__((always_inline)) void
requant_run(nvm_requant rule, const bounds *to, const int32_t *acc, const parameters *by, size_t n,
            int8_t *codes)
{
    const __m256i count = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const int32_t *scales = by->scale;
    __m256i scale = _mm256_set1_epi32(*scales);
    __m256i shift = rule == NVM_RQ_FP32 ? scale : _mm256_set1_epi32(*by->shift);
    for (size_t i = 0; i < n; i += LANES) {
        size_t left = n - i;
        __m256i lanes = _mm256_cmpgt_epi32(_mm256_set1_epi32(left < LANES ? (int)left : 8), count);
        if (by->step != 0) {
            scale = load_some(scales + i, left, lanes);
            shift = rule == NVM_RQ_FP32 ? scale : load_some(by->shift + i, left, lanes);
        }
        __m256i a = load_some(acc + i, left, lanes);
        store_some(codes + i, _mm256_add_epi32(rescale(rule, to, a, scale, shift), to->zero), left);
    }
}

#include "nvm_requant_runs.h"

/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_lanes__avx2.h: nvm_lanes.h with eight lanes.
 */
#ifndef NVM_LANES_AVX2_H
#define NVM_LANES_AVX2_H

#include <immintrin.h>

#define NVM_LANES_S32 8u

typedef __m256i nvm_lanes;

NVM_LANES_INLINE nvm_lanes nvm_lanes_all(int32_t x)
{
    return _mm256_set1_epi32(x);
}

NVM_LANES_INLINE nvm_lanes nvm_lanes_load(const int32_t *from)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)from);
}

NVM_LANES_INLINE nvm_lanes nvm_lanes_load_s16(const int16_t *from)
{
    return _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(const void *)from));
}

NVM_LANES_INLINE nvm_lanes nvm_lanes_load_s8(const int8_t *from)
{
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)from));
}

NVM_LANES_INLINE nvm_lanes nvm_lanes_add(nvm_lanes a, nvm_lanes b)
{
    return _mm256_add_epi32(a, b);
}

NVM_LANES_INLINE nvm_lanes nvm_lanes_sub(nvm_lanes a, nvm_lanes b)
{
    return _mm256_sub_epi32(a, b);
}

NVM_LANES_INLINE nvm_lanes nvm_lanes_mul(nvm_lanes a, nvm_lanes b)
{
    return _mm256_mullo_epi32(a, b);
}

NVM_LANES_INLINE nvm_lanes nvm_lanes_clamp(nvm_lanes x, nvm_lanes low, nvm_lanes high)
{
    return _mm256_min_epi32(_mm256_max_epi32(x, low), high);
}

NVM_LANES_INLINE nvm_lanes nvm_lanes_sll(nvm_lanes x, nvm_lanes count)
{
    return _mm256_sllv_epi32(x, count);
}

NVM_LANES_INLINE nvm_lanes nvm_lanes_sra(nvm_lanes x, nvm_lanes count)
{
    return _mm256_srav_epi32(x, count);
}

NVM_LANES_INLINE nvm_lanes nvm_lanes_halve(nvm_lanes x)
{
    return _mm256_srai_epi32(x, 1);
}

NVM_LANES_INLINE nvm_lanes nvm_lanes_sign(nvm_lanes x)
{
    return _mm256_srai_epi32(x, 31);
}

NVM_LANES_INLINE nvm_lanes nvm_lanes_srdhm(nvm_lanes a, nvm_lanes m)
{
    const __m256i half = _mm256_set1_epi64x(1 << 30);
    __m256i even = _mm256_add_epi64(_mm256_mul_epi32(a, m), half);
    __m256i odd = _mm256_mul_epi32(_mm256_srli_epi64(a, 32), _mm256_srli_epi64(m, 32));
    odd = _mm256_slli_epi64(_mm256_add_epi64(odd, half), 1);
    return _mm256_blend_epi32(_mm256_srli_epi64(even, 31), odd, 0xAA);
}

/* Whole words are read, two entries each, so that nothing beyond the table is. */
NVM_LANES_INLINE nvm_lanes nvm_lanes_look_up(const int16_t *table, nvm_lanes i)
{
    const int *middle = (const int *)(const void *)(table + 32768);
    __m256i word = _mm256_i32gather_epi32(middle, _mm256_srai_epi32(i, 1), 4);
    __m256i up = _mm256_slli_epi32(_mm256_andnot_si256(i, _mm256_set1_epi32(1)), 4);
    return _mm256_srai_epi32(_mm256_sllv_epi32(word, up), 16);
}

/* The lanes in 16 bits each, in order. */
NVM_LANES_INLINE __m128i nvm_lanes_narrow(nvm_lanes x)
{
    return _mm_packs_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
}

NVM_LANES_INLINE void nvm_lanes_store_s16(int16_t *to, nvm_lanes x, size_t n)
{
    int16_t all[NVM_LANES_S32];
    _mm_storeu_si128((__m128i *)(void *)(n == NVM_LANES_S32 ? to : all), nvm_lanes_narrow(x));
    if (n != NVM_LANES_S32) {
        memcpy(to, all, n * sizeof *to);
    }
}

NVM_LANES_INLINE void nvm_lanes_store_s8(int8_t *to, nvm_lanes x, size_t n)
{
    int8_t all[NVM_LANES_S32];
    __m128i narrow = nvm_lanes_narrow(x);
    _mm_storel_epi64((__m128i *)(void *)(n == NVM_LANES_S32 ? to : all),
                     _mm_packs_epi16(narrow, narrow));
    if (n != NVM_LANES_S32) {
        memcpy(to, all, n);
    }
}

NVM_LANES_INLINE nvm_lanes nvm_lanes_mark(nvm_lanes set, nvm_lanes a, nvm_lanes b, size_t n)
{
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256i first = _mm256_cmpgt_epi32(_mm256_set1_epi32((int32_t)n), lanes);
    return _mm256_or_si256(set, _mm256_and_si256(first, _mm256_xor_si256(a, b)));
}

NVM_LANES_INLINE int nvm_lanes_any(nvm_lanes set)
{
    return !_mm256_testz_si256(set, set);
}

#endif

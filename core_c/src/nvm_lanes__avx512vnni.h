/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_lanes__avx512vnni.h: nvm_lanes.h with 16 lanes.
 */
#ifndef NVM_LANES_AVX512VNNI_H
#define NVM_LANES_AVX512VNNI_H

#include <immintrin.h>

#define NVM_LANES_S32 16u

typedef __m512i nvm_lanes;

NVM_LANES_INLINE __mmask16 nvm_lanes_first(size_t n)
{
    return (__mmask16)((1u << n) - 1);
}

NVM_LANES_INLINE nvm_lanes nvm_lanes_all(int32_t x)
{
    return _mm512_set1_epi32(x);
}

NVM_LANES_INLINE nvm_lanes nvm_lanes_load(const int32_t *from)
{
    return _mm512_loadu_si512(from);
}

NVM_LANES_INLINE nvm_lanes nvm_lanes_load_s16(const int16_t *from)
{
    return _mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)from));
}

NVM_LANES_INLINE nvm_lanes nvm_lanes_load_s8(const int8_t *from)
{
    return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)from));
}

NVM_LANES_INLINE nvm_lanes nvm_lanes_add(nvm_lanes a, nvm_lanes b)
{
    return _mm512_add_epi32(a, b);
}

NVM_LANES_INLINE nvm_lanes nvm_lanes_sub(nvm_lanes a, nvm_lanes b)
{
    return _mm512_sub_epi32(a, b);
}

NVM_LANES_INLINE nvm_lanes nvm_lanes_mul(nvm_lanes a, nvm_lanes b)
{
    return _mm512_mullo_epi32(a, b);
}

NVM_LANES_INLINE nvm_lanes nvm_lanes_clamp(nvm_lanes x, nvm_lanes low, nvm_lanes high)
{
    return _mm512_min_epi32(_mm512_max_epi32(x, low), high);
}

NVM_LANES_INLINE nvm_lanes nvm_lanes_sll(nvm_lanes x, nvm_lanes count)
{
    return _mm512_sllv_epi32(x, count);
}

NVM_LANES_INLINE nvm_lanes nvm_lanes_sra(nvm_lanes x, nvm_lanes count)
{
    return _mm512_srav_epi32(x, count);
}

NVM_LANES_INLINE nvm_lanes nvm_lanes_halve(nvm_lanes x)
{
    return _mm512_srai_epi32(x, 1);
}

NVM_LANES_INLINE nvm_lanes nvm_lanes_sign(nvm_lanes x)
{
    return _mm512_srai_epi32(x, 31);
}

NVM_LANES_INLINE nvm_lanes nvm_lanes_srdhm(nvm_lanes a, nvm_lanes m)
{
    const __m512i half = _mm512_set1_epi64(1 << 30);
    __m512i even = _mm512_add_epi64(_mm512_mul_epi32(a, m), half);
    __m512i odd = _mm512_mul_epi32(_mm512_srli_epi64(a, 32), _mm512_srli_epi64(m, 32));
    odd = _mm512_slli_epi64(_mm512_add_epi64(odd, half), 1);
    return _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 31), odd);
}

/* Whole words are read, two entries each, so that nothing beyond the table is. */
NVM_LANES_INLINE nvm_lanes nvm_lanes_look_up(const int16_t *table, nvm_lanes i)
{
    __m512i word = _mm512_i32gather_epi32(_mm512_srai_epi32(i, 1), table + 32768, 4);
    __m512i up = _mm512_slli_epi32(_mm512_andnot_si512(i, _mm512_set1_epi32(1)), 4);
    return _mm512_srai_epi32(_mm512_sllv_epi32(word, up), 16);
}

NVM_LANES_INLINE void nvm_lanes_store_s16(int16_t *to, nvm_lanes x, size_t n)
{
    _mm256_mask_storeu_epi16(to, nvm_lanes_first(n), _mm512_cvtepi32_epi16(x));
}

NVM_LANES_INLINE void nvm_lanes_store_s8(int8_t *to, nvm_lanes x, size_t n)
{
    _mm_mask_storeu_epi8(to, nvm_lanes_first(n), _mm512_cvtepi32_epi8(x));
}

NVM_LANES_INLINE nvm_lanes nvm_lanes_mark(nvm_lanes set, nvm_lanes a, nvm_lanes b, size_t n)
{
    return _mm512_mask_or_epi32(set, nvm_lanes_first(n), set, _mm512_xor_si512(a, b));
}

NVM_LANES_INLINE int nvm_lanes_any(nvm_lanes set)
{
    return _mm512_test_epi32_mask(set, set) != 0;
}

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_rows_s16__256.h: sums of weight rows under int16 codes, two rows at a time: weights of both side by
 * side as int16, multiplied and added to int32 at once. A product of a pair is at most 2^23 in magnitude, so
 * int64 accumulators take int32 sums of up to 255 pairs. Changes of codes need 17 bits and go one by one.
 */
#ifndef NVM_ROWS_S16_256_H
#define NVM_ROWS_S16_256_H

#include <immintrin.h>

#define NVM_HAS_ROWS_CODES
#include "nvm_rows__scalar.h"

#define NVM_PAIR_ROWS (NVM_ACC == 64 ? (size_t)510 : SIZE_MAX - 1) /* even */

/* 16 or 8 outputs' weights of two rows. */
NVM_INLINE void nvm_add_pair(__m256i *sum, const int8_t *row, const int8_t *next, __m256i codes,
                             size_t width)
{
    if (width == 8) {
        __m128i both = _mm_unpacklo_epi8(_mm_loadl_epi64((const __m128i *)row),
                                         _mm_loadl_epi64((const __m128i *)next));
        sum[0] = _mm256_add_epi32(sum[0], _mm256_madd_epi16(_mm256_cvtepi8_epi16(both), codes));
        return;
    }
#pragma GCC unroll 2
    for (size_t u = 0; u < width; u += 16) {
        __m128i a = _mm_loadu_si128((const __m128i *)(row + u));
        __m128i b = _mm_loadu_si128((const __m128i *)(next + u));
        __m256i low = _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(a, b));
        __m256i high = _mm256_cvtepi8_epi16(_mm_unpackhi_epi8(a, b));
        sum[u / 8] = _mm256_add_epi32(sum[u / 8], _mm256_madd_epi16(low, codes));
        sum[u / 8 + 1] = _mm256_add_epi32(sum[u / 8 + 1], _mm256_madd_epi16(high, codes));
    }
}

/* 32, 16 or 8 outputs. */
NVM_INLINE void nvm_pair_tile(nvm_acc *restrict acc, const int8_t *restrict w, size_t stride,
                              const int16_t *restrict codes, size_t n, size_t width)
{
    for (size_t k = 0; k < n;) {
        size_t end = n - k < NVM_PAIR_ROWS ? n : k + NVM_PAIR_ROWS;
        __m256i sum[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
                          _mm256_setzero_si256()};
        int32_t sums[32], pair;
        for (; end - k >= 2; k += 2) {
            memcpy(&pair, codes + k, sizeof pair);
            nvm_add_pair(sum, w + k * stride, w + (k + 1) * stride, _mm256_set1_epi32(pair), width);
        }
        if (k < end) { /* the last row beside itself, times 0 */
            pair = (uint16_t)codes[k];
            nvm_add_pair(sum, w + k * stride, w + k * stride, _mm256_set1_epi32(pair), width);
            k++;
        }
        for (size_t u = 0; u < width; u += 8) {
            _mm256_storeu_si256((__m256i *)(sums + u), sum[u / 8]);
        }
        for (size_t u = 0; u < width; u++) {
            acc[u] = nvm_add_acc(acc[u], sums[u]);
        }
    }
}

static inline void nvm_rows_codes(nvm_acc *restrict acc, const int8_t *restrict w, size_t stride,
                                  const int16_t *restrict codes, size_t n, int16_t zero, size_t width)
{
    size_t u = 0;
    (void)zero; /* 0 of wide layers */
    for (; width - u >= 32; u += 32) {
        nvm_pair_tile(acc + u, w + u, stride, codes, n, 32);
    }
    if (width - u >= 16) {
        nvm_pair_tile(acc + u, w + u, stride, codes, n, 16);
        u += 16;
    }
    if (width - u >= 8) {
        nvm_pair_tile(acc + u, w + u, stride, codes, n, 8);
        u += 8;
    }
    if (width - u >= 4) {
        nvm_code_tile(acc + u, w + u, stride, codes, n, 0, 4);
        u += 4;
    }
    for (; u < width; u++) {
        nvm_code_tile(acc + u, w + u, stride, codes, n, 0, 1);
    }
}

#endif

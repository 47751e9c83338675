/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_rows_s8__avx2.h: sums of int8 weight rows, two rows at a time.
 *
 * Weights widen to int16, those of two rows are brought together column by column, and one
 * instruction multiplies such pairs by {x, x'} and adds the products, |x| <= 255, in int32. A row
 * without a partner is paired with itself and 0.
 */
#ifndef NVM_ROWS_S8_AVX2_H
#define NVM_ROWS_S8_AVX2_H

#include <immintrin.h>

/* {x, x'} in every lane */
NVM_INLINE __m256i nvm_two_factors(int32_t x, int32_t other)
{
    return _mm256_set1_epi32((int32_t)(((uint32_t)x & 0xFFFF) | (uint32_t)other << 16));
}

/* Sums of 16 columns: 0-3 and 8-11, then 4-7 and 12-15. */
typedef struct nvm_sixteen {
    __m256i low, high;
} nvm_sixteen;

NVM_INLINE void nvm_add_two(nvm_sixteen *to, const int8_t *row, const int8_t *other, __m256i x)
{
    __m256i a = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)row));
    __m256i b = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)other));
    to->low = _mm256_add_epi32(to->low, _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), x));
    to->high = _mm256_add_epi32(to->high, _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), x));
}

NVM_INLINE nvm_sixteen nvm_load_sixteen(const int32_t *acc)
{
    __m256i a = _mm256_loadu_si256((const __m256i *)acc);
    __m256i b = _mm256_loadu_si256((const __m256i *)(acc + 8));
    return (nvm_sixteen){_mm256_permute2x128_si256(a, b, 0x20),
                         _mm256_permute2x128_si256(a, b, 0x31)};
}

NVM_INLINE void nvm_store_sixteen(int32_t *acc, nvm_sixteen from)
{
    _mm256_storeu_si256((__m256i *)acc, _mm256_permute2x128_si256(from.low, from.high, 0x20));
    _mm256_storeu_si256((__m256i *)(acc + 8), _mm256_permute2x128_si256(from.low, from.high, 0x31));
}

/* Sums of four columns; reads and writes no others. */
NVM_INLINE __m128i nvm_two_of_four(const int8_t *row, const int8_t *other, __m128i x)
{
    int32_t a, b;
    memcpy(&a, row, 4);
    memcpy(&b, other, 4);
    __m128i pairs = _mm_unpacklo_epi8(_mm_cvtsi32_si128(a), _mm_cvtsi32_si128(b));
    return _mm_madd_epi16(_mm_cvtepi8_epi16(pairs), x);
}

/* `sixteens` times 16 columns of a list of events. */
NVM_INLINE void nvm_events_wide(int32_t *acc, const int8_t *w, size_t stride,
                                const nvm_event *events, size_t n, uint32_t first, int sixteens)
{
    nvm_sixteen sum[4];
    for (int v = 0; v < sixteens; v++) {
        sum[v] = nvm_load_sixteen(acc + 16 * v);
    }
    for (size_t k = 0; k < n; k += 2) {
        size_t last = k + 1 < n ? k + 1 : k;
        const int8_t *row = w + (size_t)(events[k].index - first) * stride;
        const int8_t *other = w + (size_t)(events[last].index - first) * stride;
        __m256i x = nvm_two_factors(events[k].delta, last != k ? events[last].delta : 0);
        for (int v = 0; v < sixteens; v++) {
            nvm_add_two(&sum[v], row + 16 * v, other + 16 * v, x);
        }
    }
    for (int v = 0; v < sixteens; v++) {
        nvm_store_sixteen(acc + 16 * v, sum[v]);
    }
}

NVM_INLINE void nvm_codes_wide(int32_t *acc, const int8_t *w, size_t stride, const int8_t *codes,
                               size_t n, int32_t zero, int sixteens)
{
    nvm_sixteen sum[4];
    for (int v = 0; v < sixteens; v++) {
        sum[v] = nvm_load_sixteen(acc + 16 * v);
    }
    for (size_t k = 0; k < n; k += 2) {
        size_t last = k + 1 < n ? k + 1 : k;
        const int8_t *row = w + k * stride, *other = w + last * stride;
        __m256i x = nvm_two_factors(codes[k] - zero, last != k ? codes[last] - zero : 0);
        for (int v = 0; v < sixteens; v++) {
            nvm_add_two(&sum[v], row + 16 * v, other + 16 * v, x);
        }
    }
    for (int v = 0; v < sixteens; v++) {
        nvm_store_sixteen(acc + 16 * v, sum[v]);
    }
}

NVM_INLINE void nvm_events_four(int32_t *acc, const int8_t *w, size_t stride,
                                const nvm_event *events, size_t n, uint32_t first)
{
    __m128i sum = _mm_loadu_si128((const __m128i *)acc);
    for (size_t k = 0; k < n; k += 2) {
        size_t last = k + 1 < n ? k + 1 : k;
        __m128i x = _mm256_castsi256_si128(
            nvm_two_factors(events[k].delta, last != k ? events[last].delta : 0));
        sum = _mm_add_epi32(sum, nvm_two_of_four(w + (size_t)(events[k].index - first) * stride,
                                                 w + (size_t)(events[last].index - first) * stride,
                                                 x));
    }
    _mm_storeu_si128((__m128i *)acc, sum);
}

NVM_INLINE void nvm_codes_four(int32_t *acc, const int8_t *w, size_t stride, const int8_t *codes,
                               size_t n, int32_t zero)
{
    __m128i sum = _mm_loadu_si128((const __m128i *)acc);
    for (size_t k = 0; k < n; k += 2) {
        size_t last = k + 1 < n ? k + 1 : k;
        __m128i x = _mm256_castsi256_si128(
            nvm_two_factors(codes[k] - zero, last != k ? codes[last] - zero : 0));
        sum = _mm_add_epi32(sum, nvm_two_of_four(w + k * stride, w + last * stride, x));
    }
    _mm_storeu_si128((__m128i *)acc, sum);
}

static inline void nvm_rows_events(int32_t *acc, const int8_t *w, size_t stride,
                                   const nvm_event *events, size_t n, uint32_t first, size_t width)
{
    size_t u = 0;
    for (; width - u >= 64; u += 64) {
        nvm_events_wide(acc + u, w + u, stride, events, n, first, 4);
    }
    if (width - u >= 32) {
        nvm_events_wide(acc + u, w + u, stride, events, n, first, 2);
        u += 32;
    }
    if (width - u >= 16) {
        nvm_events_wide(acc + u, w + u, stride, events, n, first, 1);
        u += 16;
    }
    for (; width - u >= 4; u += 4) {
        nvm_events_four(acc + u, w + u, stride, events, n, first);
    }
    for (size_t k = 0; u < width && k < n; k++) {
        const int8_t *row = w + (size_t)(events[k].index - first) * stride;
        for (size_t c = u; c < width; c++) {
            acc[c] = nvm_add_wrap(acc[c], row[c] * events[k].delta);
        }
    }
}

static inline void nvm_rows_codes(int32_t *acc, const int8_t *w, size_t stride, const int8_t *codes,
                                  size_t n, int16_t zero, size_t width)
{
    size_t u = 0;
    for (; width - u >= 64; u += 64) {
        nvm_codes_wide(acc + u, w + u, stride, codes, n, zero, 4);
    }
    if (width - u >= 32) {
        nvm_codes_wide(acc + u, w + u, stride, codes, n, zero, 2);
        u += 32;
    }
    if (width - u >= 16) {
        nvm_codes_wide(acc + u, w + u, stride, codes, n, zero, 1);
        u += 16;
    }
    for (; width - u >= 4; u += 4) {
        nvm_codes_four(acc + u, w + u, stride, codes, n, zero);
    }
    for (size_t k = 0; u < width && k < n; k++) {
        for (size_t c = u; c < width; c++) {
            acc[c] = nvm_add_wrap(acc[c], w[k * stride + c] * (codes[k] - zero));
        }
    }
}

#endif

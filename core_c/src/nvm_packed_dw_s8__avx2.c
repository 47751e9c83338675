/* SPDX-License-Identifier: Apache-2.0
 *
 * Packed depthwise windows on AVX2: 16 channels at once, two taps a product.
 */
#include "nvm_isa_avx2.h"

#include <immintrin.h>

enum { VECTORS = 2, DEPTH = 2, PIXELS = 4 };

#include "nvm_packed_dw_s8__256.h"

INLINE void sum_pixels(const block *b, const uint8_t *at, size_t pixels, __m256i sum[][VECTORS])
{
    const nvm_packed *packed = b->product->packed;
    const uint32_t *taps = nvm_pack_at(b->product, packed->segments);
    const int8_t *weights = b->weights;
    size_t column = packed->column;
#pragma GCC unroll 4
    for (size_t m = 0; m < pixels; m++) {
        sum[m][0] = _mm256_loadu_si256((const void *)b->constant);
        sum[m][1] = _mm256_loadu_si256((const void *)(b->constant + LANES));
    }
    for (uint32_t q = packed->words; q != 0; q--, taps += DEPTH, weights += DEPTH * BLOCK) {
        const uint8_t *first = at + taps[0], *second = at + taps[1];
        __m256i w0 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)weights));
        __m256i w1 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)(weights + 16)));
#pragma GCC unroll 4
        for (size_t m = 0; m < pixels; m++) {
            __m256i x = _mm256_loadu_si256((const void *)(first + m * column));
            __m256i y = _mm256_loadu_si256((const void *)(second + m * column));
            __m256i low = _mm256_madd_epi16(_mm256_unpacklo_epi16(x, y), w0);
            __m256i high = _mm256_madd_epi16(_mm256_unpackhi_epi16(x, y), w1);
            sum[m][0] = _mm256_add_epi32(sum[m][0], low);
            sum[m][1] = _mm256_add_epi32(sum[m][1], high);
        }
    }
}

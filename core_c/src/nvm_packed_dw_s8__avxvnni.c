/* SPDX-License-Identifier: Apache-2.0
 *
 * Packed depthwise windows on AVX2 with VNNI: 32 channels at once, four taps a product.
 */
#include "nvm_isa_avxvnni.h"

#include <immintrin.h>

enum { VECTORS = 4, DEPTH = 4, PIXELS = 2 };

#include "nvm_packed_dw_s8__256.h"

INLINE __m256i load_tap(const uint8_t *at, uint32_t tap)
{
    return _mm256_loadu_si256((const void *)(at + tap));
}

/* Four vectors of codes, one a tap, to four in which each int32 has the taps of one channel. */
INLINE void interleave(const uint8_t *at, const uint32_t *taps, __m256i word[VECTORS])
{
    __m256i a = load_tap(at, taps[0]), b = load_tap(at, taps[1]);
    __m256i c = load_tap(at, taps[2]), d = load_tap(at, taps[3]);
    __m256i ab = _mm256_unpacklo_epi8(a, b), cd = _mm256_unpacklo_epi8(c, d);
    word[0] = _mm256_unpacklo_epi16(ab, cd);
    word[1] = _mm256_unpackhi_epi16(ab, cd);
    ab = _mm256_unpackhi_epi8(a, b);
    cd = _mm256_unpackhi_epi8(c, d);
    word[2] = _mm256_unpacklo_epi16(ab, cd);
    word[3] = _mm256_unpackhi_epi16(ab, cd);
}

INLINE void sum_pixels(const block *b, const uint8_t *at, size_t pixels, __m256i sum[][VECTORS])
{
    const nvm_packed *packed = b->product->packed;
    const uint32_t *taps = nvm_pack_at(b->product, packed->segments);
    const int8_t *weights = b->weights;
#pragma GCC unroll 2
    for (size_t m = 0; m < pixels; m++) {
#pragma GCC unroll 4
        for (size_t v = 0; v < VECTORS; v++) {
            sum[m][v] = _mm256_loadu_si256((const void *)(b->constant + v * LANES));
        }
    }
    for (uint32_t q = packed->words; q != 0; q--, taps += DEPTH, weights += DEPTH * BLOCK) {
#pragma GCC unroll 2
        for (size_t m = 0; m < pixels; m++) {
            __m256i word[VECTORS];
            interleave(at + m * packed->column, taps, word);
#pragma GCC unroll 4
            for (size_t v = 0; v < VECTORS; v++) {
                __m256i w = _mm256_loadu_si256((const void *)(weights + v * 32));
                sum[m][v] = NVM_DPBUSD(sum[m][v], word[v], w);
            }
        }
    }
}

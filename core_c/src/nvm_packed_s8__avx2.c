/* SPDX-License-Identifier: Apache-2.0
 *
 * Packed layers on AVX2. Its product of bytes saturates, as 255 (127 + 127) is beyond int16; so codes
 * stand in the canvas as int16, weights widen as they are loaded, and pairs of products add in int32.
 */
#include "nvm_isa_avx2.h"

#include <immintrin.h>

enum { DEPTH = 2, WEIGHT_BYTES = 1 };

static inline __m256i load_weights(const void *weights)
{
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(weights));
}

static inline __m256i add_products(__m256i sum, __m256i codes, __m256i weights)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(codes, weights));
}

#include "nvm_packed_s8__256.h"

static void lift(uint8_t *to, const int8_t *codes, size_t n)
{
    const __m256i half = _mm256_set1_epi16(128);
    int16_t *wide = (int16_t *)(void *)to;
    size_t i = 0;
    for (; n - i >= 16; i += 16) {
        __m256i now = _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)(codes + i)));
        _mm256_storeu_si256((void *)(wide + i), _mm256_add_epi16(now, half));
    }
    for (; i < n; i++) {
        wide[i] = (int16_t)(codes[i] + 128);
    }
}

const nvm_packing nvm_packing__avx2 = {
    .lift = lift,
    .product = run_product,
    .product_pairs = nvm_product_pairs_s8__avx2,
    .split = nvm_split_s16__avx2,
    .product_dw = nvm_product_dw_s8__avx2,
    .code_bytes = 2,
    .offset = 128,
    .lanes = LANES,
    .depth = DEPTH,
    .dw_lanes = 16,
    .dw_vectors = 2,
    .dw_depth = 2,
    .most_blocks = MOST_BLOCKS,
    .pixels = {0, 12, 6},
};

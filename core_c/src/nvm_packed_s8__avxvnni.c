/* SPDX-License-Identifier: Apache-2.0
 *
 * Packed layers on AVX2 with VNNI: as on AVX-512, 8 channels a vector.
 */
#include "nvm_isa_avxvnni.h"

#include <immintrin.h>

enum { DEPTH = 4, WEIGHT_BYTES = 1 };

static inline __m256i load_weights(const void *weights)
{
    return _mm256_loadu_si256(weights);
}

static inline __m256i add_products(__m256i sum, __m256i codes, __m256i weights)
{
    return NVM_DPBUSD(sum, codes, weights);
}

#include "nvm_packed_s8__256.h"

static void lift(uint8_t *to, const int8_t *codes, size_t n)
{
    const __m256i half = _mm256_set1_epi8(-128);
    size_t i = 0;
    for (; n - i >= 32; i += 32) {
        _mm256_storeu_si256((void *)(to + i), _mm256_xor_si256(load_vector(codes + i), half));
    }
    for (; i < n; i++) {
        to[i] = (uint8_t)((uint8_t)codes[i] ^ 0x80u);
    }
}

const nvm_packing nvm_packing__avxvnni = {
    .lift = lift,
    .product = run_product,
    .product_dw = nvm_product_dw_s8__avxvnni,
    .code_bytes = 1,
    .offset = 128,
    .lanes = LANES,
    .depth = DEPTH,
    .dw_lanes = 32,
    .dw_vectors = 4,
    .dw_depth = 4,
    .most_blocks = MOST_BLOCKS,
    .pixels = {0, 12, 6},
};

/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_packed_s8__256.h: strips of pixels over packed weights; what nvm_tile_s8__256.h asks for stands before
 * this.
 */
#ifndef NVM_PACKED_S8_256_H
#define NVM_PACKED_S8_256_H

#include "nvm_tile_s8__256.h"

/* One window: with more sums than one a block, as one waits for the one before it. */
INLINE void sum_single(const group *g, uint32_t in, __m256i *sum, size_t blocks)
{
    enum { CHAINS = 4 };
    const nvm_packed *packed = g->product->packed;
    const uint32_t *segments = nvm_pack_at(g->product, packed->segments);
    const int8_t *weights = g->weights;
    __m256i part[CHAINS][MOST_BLOCKS];
#pragma GCC unroll 2
    for (size_t b = 0; b < blocks; b++) {
        part[0][b] = load_vector(g->constant + b * LANES);
        part[1][b] = part[2][b] = part[3][b] = _mm256_setzero_si256();
    }
    for (uint32_t s = 0; s < packed->n_segments; s++) {
        const uint8_t *from = g->product->canvas + in + segments[s];
        uint32_t q = packed->words;
        for (; q >= CHAINS; q -= CHAINS) {
#pragma GCC unroll 4
            for (size_t k = 0; k < CHAINS; k++) {
                __m256i codes = load_word(from + WORD * k);
#pragma GCC unroll 2
                for (size_t b = 0; b < blocks; b++) {
                    part[k][b] = add_products(part[k][b], codes,
                                              load_weights(weights + (k * blocks + b) * VECTOR));
                }
            }
            from += WORD * CHAINS;
            weights += CHAINS * blocks * VECTOR;
        }
        for (; q != 0; q--) {
            __m256i codes = load_word(from);
#pragma GCC unroll 2
            for (size_t b = 0; b < blocks; b++) {
                part[0][b] = add_products(part[0][b], codes, load_weights(weights + b * VECTOR));
            }
            from += WORD;
            weights += blocks * VECTOR;
        }
    }
#pragma GCC unroll 2
    for (size_t b = 0; b < blocks; b++) {
        sum[b] = _mm256_add_epi32(_mm256_add_epi32(part[0][b], part[1][b]),
                                  _mm256_add_epi32(part[2][b], part[3][b]));
    }
}

INLINE void run_strip(const group *g, const nvm_strip *strip, size_t pixels, size_t blocks)
{
    __m256i sum[MAX_SUMS];
    if (pixels == 1) {
        sum_single(g, strip->in, sum, blocks);
    } else {
        sum_tile(g, strip->in, sum, pixels, blocks);
    }
    if (g->product->acc != NULL || !g->rule.is_float) {
        __m256i copy[MAX_SUMS];
#pragma GCC unroll 12
        for (size_t i = 0; i < pixels * blocks; i++) {
            copy[i] = sum[i];
        }
        finish_tile(g, strip->out, copy, pixels, blocks);
    }
    if (g->rule.is_float && g->product->codes != NULL) {
        store_codes(g, strip->out, sum, pixels, blocks);
    }
}

static void run_one_block(const group *g, const nvm_strip *strip, size_t n)
{
    for (const nvm_strip *end = strip + n; strip < end; strip++) {
        SELECT(run_strip, g, strip, strip->n, 1, CASES_12);
    }
}

static void run_two_blocks(const group *g, const nvm_strip *strip, size_t n)
{
    for (const nvm_strip *end = strip + n; strip < end; strip++) {
        SELECT(run_strip, g, strip, strip->n, 2, CASES_6);
    }
}

static void run_product(const nvm_product *product, const nvm_strip *strips, size_t n)
{
    run_groups(product, strips, n, 1, run_one_block, run_two_blocks);
}

#endif

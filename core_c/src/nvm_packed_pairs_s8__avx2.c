/* SPDX-License-Identifier: Apache-2.0
 *
 * Pairs of pixels (nvm_packed_pairs.c) on AVX2: factors and weights are int16, |factor| <= 510 and
 * |weight| <= 384, and the four kinds of sums meet in memory.
 */
#include "nvm_isa_avx2.h"

#include <immintrin.h>

enum { DEPTH = 2, WEIGHT_BYTES = 2, KINDS = 4 };

static inline __m256i load_weights(const void *weights)
{
    return _mm256_loadu_si256(weights);
}

static inline __m256i add_products(__m256i sum, __m256i codes, __m256i weights)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(codes, weights));
}

#include "nvm_tile_s8__256.h"

/* The pair's two sums, of one block of channels. */
INLINE void join(__m256i m[KINDS][MAX_SUMS], size_t at, __m256i constant, __m256i *first,
                 __m256i *second)
{
    __m256i y0 = _mm256_add_epi32(_mm256_add_epi32(m[0][at], m[1][at]), m[2][at]);
    __m256i y1 = _mm256_sub_epi32(_mm256_sub_epi32(m[1][at], m[2][at]), m[3][at]);
    *first = _mm256_add_epi32(_mm256_srai_epi32(y0, 1), constant);
    *second = _mm256_add_epi32(_mm256_srai_epi32(y1, 1), constant);
}

INLINE void finish_pair(const group *g, uint32_t pixel, const __m256i *sum, size_t pixels,
                        size_t blocks)
{
    if (g->product->acc != NULL || !g->rule.is_float) {
        finish_tile(g, pixel, sum, pixels, blocks);
    }
    if (g->rule.is_float && g->product->codes != NULL) {
        store_codes(g, pixel, sum, pixels, blocks);
    }
}

INLINE void run_pairs(const group *g, const nvm_strip *strip, size_t pairs, size_t blocks)
{
    static const int32_t none[MOST_BLOCKS * LANES];
    const nvm_packed *packed = g->product->packed;
    __m256i m[KINDS][MAX_SUMS], sum[2 * MOST_BLOCKS];
    group kind = *g;
    kind.constant = none;
    for (uint32_t k = 0; k < KINDS; k++) {
        __m256i tile[MAX_SUMS];
        sum_tile(&kind, strip->in + k * (packed->line / KINDS), tile, pairs, blocks);
#pragma GCC unroll 12
        for (size_t i = 0; i < pairs * blocks; i++) {
            m[k][i] = tile[i];
        }
        kind.weights += (size_t)packed->n_segments * packed->words * blocks * VECTOR;
    }
    for (uint32_t p = 0; p < pairs; p++) {
#pragma GCC unroll 2
        for (size_t b = 0; b < blocks; b++) {
            __m256i constant = load_vector(g->constant + b * LANES);
            join(m, p * blocks + b, constant, &sum[b], &sum[blocks + b]);
        }
        if (strip->n - 2 * p >= 2) {
            finish_pair(g, strip->out + 2 * p, sum, 2, blocks);
        } else {
            finish_pair(g, strip->out + 2 * p, sum, 1, blocks);
        }
    }
}

static void run_one_block(const group *g, const nvm_strip *strip, size_t n)
{
    for (const nvm_strip *end = strip + n; strip < end; strip++) {
        SELECT(run_pairs, g, strip, (strip->n + 1) / 2, 1, CASES_12);
    }
}

static void run_two_blocks(const group *g, const nvm_strip *strip, size_t n)
{
    for (const nvm_strip *end = strip + n; strip < end; strip++) {
        SELECT(run_pairs, g, strip, (strip->n + 1) / 2, 2, CASES_6);
    }
}

void nvm_product_pairs_s8__avx2(const nvm_product *product, const nvm_strip *strips, size_t n)
{
    run_groups(product, strips, n, KINDS, run_one_block, run_two_blocks);
}

INLINE void store_factors(int16_t *to, __m256i factors)
{
    _mm256_storeu_si256((void *)to, factors);
}

void nvm_split_s16__avx2(int16_t *to, const int16_t *line, size_t pairs, size_t in_c)
{
    size_t plane = pairs * in_c;
    for (size_t p = 0; p < pairs; p++, line += 2 * in_c, to += in_c) {
        size_t c = 0;
        for (; in_c - c >= 16; c += 16) {
            __m256i d0 = load_vector(line + c), d1 = load_vector(line + c + in_c);
            __m256i d2 = load_vector(line + c + 2 * in_c), d3 = load_vector(line + c + 3 * in_c);
            store_factors(to + c, _mm256_sub_epi16(d0, d2));
            store_factors(to + c + plane, _mm256_add_epi16(d1, d2));
            store_factors(to + c + 2 * plane, _mm256_sub_epi16(d2, d1));
            store_factors(to + c + 3 * plane, _mm256_sub_epi16(d1, d3));
        }
        for (; c < in_c; c++) {
            int d0 = line[c], d1 = line[c + in_c], d2 = line[c + 2 * in_c];
            to[c] = (int16_t)(d0 - d2);
            to[c + plane] = (int16_t)(d1 + d2);
            to[c + 2 * plane] = (int16_t)(d2 - d1);
            to[c + 3 * plane] = (int16_t)(d1 - line[c + 3 * in_c]);
        }
    }
}

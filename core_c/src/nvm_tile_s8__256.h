/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_tile_s8__256.h: sums of a few windows and up to 16 channels in registers, 8 channels a vector of 256
 * bits. The file that includes this says what a word is: four bytes of the canvas in every lane, and
 *
 *     enum { DEPTH, WEIGHT_BYTES };                codes in them; 1 or 2, of a weight that stands beside a code
 *     __m256i load_weights(const void *weights);   8 lanes of DEPTH
 *     __m256i add_products(__m256i sum, __m256i codes, __m256i weights);
 */
#ifndef NVM_TILE_S8_256_H
#define NVM_TILE_S8_256_H

#include "nvm_finish_s8__256.h"

#define HIDE(pointer) __asm__("" : "+r"(pointer)) /* keeps the compiler from one pointer a pixel */

enum {
    LANES = 8,
    WORD = 4,                              /* bytes of the canvas */
    VECTOR = LANES * DEPTH * WEIGHT_BYTES, /* bytes of weights */
    MOST_BLOCKS = 2, /* 6 pixels and 2 blocks, of weights two, codes, products: 16 vectors */
    MAX_SUMS = 12,   /* [pixel][block], of one tile */
};

typedef struct group {
    const nvm_product *product;
    const int8_t *weights;
    const int32_t *constant;
    const float *scale;
    uint32_t channel; /* the first */
    uint32_t n;       /* channels */
    rule rule;
} group;

INLINE __m256i load_vector(const void *at)
{
    return _mm256_loadu_si256(at);
}

INLINE __m256i load_word(const uint8_t *at)
{
    int32_t word;
    memcpy(&word, at, sizeof word);
    return _mm256_set1_epi32(word);
}

/* `pixels` windows times `blocks` blocks of channels, constant both. */
INLINE void sum_tile(const group *g, uint32_t in, __m256i *sum, size_t pixels, size_t blocks)
{
    const nvm_packed *packed = g->product->packed;
    const uint32_t *segments = nvm_pack_at(g->product, packed->segments);
    const int8_t *weights = g->weights;
    size_t column = packed->column;
#pragma GCC unroll 12
    for (size_t i = 0; i < pixels * blocks; i++) {
        sum[i] = load_vector(g->constant + i % blocks * LANES);
    }
    for (uint32_t s = 0; s < packed->n_segments; s++) {
        const uint8_t *from[3];
        from[0] = g->product->canvas + in + segments[s];
        from[1] = from[0] + 4 * column;
        from[2] = from[1] + 4 * column;
        for (uint32_t q = packed->words; q != 0; q--) {
            __m256i w[MOST_BLOCKS];
#pragma GCC unroll 2
            for (size_t b = 0; b < blocks; b++) {
                w[b] = load_weights(weights + b * VECTOR);
            }
#pragma GCC unroll 12
            for (size_t m = 0; m < pixels; m++) {
                __m256i codes = load_word(from[m / 4] + m % 4 * column);
#pragma GCC unroll 2
                for (size_t b = 0; b < blocks; b++) {
                    sum[m * blocks + b] = add_products(sum[m * blocks + b], codes, w[b]);
                }
            }
            weights += blocks * VECTOR;
#pragma GCC unroll 3
            for (size_t k = 0; k < (pixels + 3) / 4; k++) {
                from[k] += WORD;
                HIDE(from[k]);
            }
        }
    }
}

INLINE void store_codes(const group *g, uint32_t pixel, const __m256i *sum, size_t pixels,
                        size_t blocks)
{
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    size_t channels = g->product->channels, n = pixels * blocks;
    int8_t *codes = g->product->codes + pixel * channels + g->channel;
    int is_whole = channels == blocks * LANES;
    __m256 scale[MOST_BLOCKS];
#pragma GCC unroll 2
    for (size_t b = 0; b < blocks; b++) {
        scale[b] = _mm256_loadu_ps(g->scale + b * LANES);
    }
#pragma GCC unroll 3
    for (size_t i = 0; i < n; i += 4) {
        __m256i v[4];
#pragma GCC unroll 4
        for (size_t k = 0; k < 4; k++) {
            size_t at = i + k < n ? i + k : i;
            v[k] = round_float(&g->rule, sum[at], scale[at % blocks]);
        }
        __m256i four = narrow_four(&g->rule, narrow_two(&g->rule, v[0], v[1]),
                                   narrow_two(&g->rule, v[2], v[3]));
        four = _mm256_permutevar8x32_epi32(four, order);
        if (is_whole && n - i >= 4) { /* pixels follow each other without a gap */
            _mm256_storeu_si256((__m256i *)(void *)(codes + i * LANES), four);
            continue;
        }
        __m128i half[2] = {_mm256_castsi256_si128(four), _mm256_extracti128_si256(four, 1)};
#pragma GCC unroll 4
        for (size_t k = 0; k < (n - i < 4 ? n - i : 4); k += blocks) {
            __m128i part = half[k / 2];
            part = k % 2 == 0 ? part : _mm_srli_si128(part, LANES);
            store_some(codes + ((i + k) / blocks) * channels, part, g->n);
        }
    }
}

/* Out of line: a copy of the sums, so that they themselves need no memory. */
static __attribute__((noinline)) void finish_tile(const group *g, uint32_t pixel,
                                                  const __m256i *sum, size_t pixels, size_t blocks)
{
    for (size_t m = 0; m < pixels; m++) {
        int32_t sums[MOST_BLOCKS * LANES];
        memcpy(sums, sum + m * blocks, blocks * sizeof *sum);
        finish_sums(g->product, &g->rule, pixel + (uint32_t)m, g->channel, sums, g->n);
    }
}

#if defined(__SANITIZE_ADDRESS__) || defined(NVM_ONE_TILE)
/* As on AVX-512: one tile for all sizes, or sanitizers take minutes. */
#define SELECT(run, g, strip, size, blocks, cases) run(g, strip, size, blocks)
#else
#define CASE(run, size, blocks)                                                                    \
    case size:                                                                                     \
        run(g, strip, size, blocks);                                                               \
        break;
#define CASES_6(r, b)                                                                              \
    CASE(r, 1, b) CASE(r, 2, b) CASE(r, 3, b) CASE(r, 4, b) CASE(r, 5, b) CASE(r, 6, b)
#define CASES_12(r, b)                                                                             \
    CASES_6(r, b)                                                                                  \
    CASE(r, 7, b) CASE(r, 8, b) CASE(r, 9, b) CASE(r, 10, b) CASE(r, 11, b) CASE(r, 12, b)
#define SELECT(run, g, strip, size, blocks, cases)                                                 \
    switch (size) {                                                                                \
        cases(run, blocks) default : break;                                                        \
    }
#endif

/* All groups of channels, of which each has `kinds` sets of weights. */
typedef void run_fn(const group *g, const nvm_strip *strip, size_t n);
static inline void run_groups(const nvm_product *product, const nvm_strip *strips, size_t n, size_t kinds,
                              run_fn *one_block, run_fn *two_blocks)
{
    const nvm_packed *packed = product->packed;
    group g = {.product = product,
               .weights = nvm_pack_at(product, packed->weights),
               .constant = nvm_pack_at(product, packed->constant),
               .scale = nvm_pack_at(product, packed->scale),
               .rule = rule_of(product->node)};
    for (uint32_t block = 0; block < packed->blocks; block += packed->group) {
        uint32_t left = packed->blocks - block;
        uint32_t blocks = left < packed->group ? left : packed->group;
        uint32_t channels = product->channels - block * LANES;
        g.channel = block * LANES;
        g.n = channels < blocks * LANES ? channels : blocks * LANES;
        (blocks == 1 ? one_block : two_blocks)(&g, strips, n);
        g.weights += kinds * packed->n_segments * packed->words * blocks * VECTOR;
        g.constant += blocks * LANES;
        g.scale += blocks * LANES;
    }
}

#endif

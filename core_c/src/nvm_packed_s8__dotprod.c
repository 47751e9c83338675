/* SPDX-License-Identifier: Apache-2.0
 *
 * Packed weights against a canvas of signed codes, 16 channels at a time: sdot adds four s8 x s8
 * products to each of four int32, modulo 2^32.
 */
#include "nvm_isa_dotprod.h"

#include "nvm_packed__neon.h"

enum { PIXELS = 4, VECTORS = 4, LANES = 16 };

/* Word k of each pixel's four; k is a constant, as it stands in the instruction. */
#define ADD_WORD(k)                                                                                \
    do {                                                                                           \
        int8x16_t w[VECTORS];                                                                      \
        KEEP_ORDER;                                                                                \
        _Pragma("GCC unroll 4")                                                                    \
        for (size_t v = 0; v < VECTORS; v++) {                                                     \
            w[v] = vld1q_s8(weights + (k) * 4 * LANES + 16 * v);                                   \
        }                                                                                          \
        _Pragma("GCC unroll 4")                                                                    \
        for (size_t m = 0; m < pixels; m++) {                                                      \
            _Pragma("GCC unroll 4")                                                                \
            for (size_t v = 0; v < VECTORS; v++) {                                                 \
                sum[m * VECTORS + v] = vdotq_laneq_s32(sum[m * VECTORS + v], w[v], codes[m], k);   \
            }                                                                                      \
        }                                                                                          \
    } while (0)

INLINE void sum_pixels(const block *b, uint32_t in, int32x4_t *sum, size_t pixels)
{
    const nvm_product *product = b->product;
    const nvm_packed *packed = product->packed;
    const uint32_t *segments = nvm_pack_at(product, packed->segments);
    const int8_t *weights = b->weights;
#pragma GCC unroll 4
    for (size_t m = 0; m < pixels; m++) {
#pragma GCC unroll 4
        for (size_t v = 0; v < VECTORS; v++) {
            sum[m * VECTORS + v] = vld1q_s32(b->constant + 4 * v);
        }
    }
    for (uint32_t s = 0; s < packed->n_segments; s++) {
        const int8_t *from[PIXELS];
        int8x16_t codes[PIXELS];
        uint32_t words = packed->words;
        from[0] = (const int8_t *)product->canvas + in + segments[s];
#pragma GCC unroll 4
        for (size_t m = 1; m < pixels; m++) {
            from[m] = from[m - 1] + packed->column;
        }
        for (; words >= 4; words -= 4) {
#pragma GCC unroll 4
            for (size_t m = 0; m < pixels; m++) {
                codes[m] = vld1q_s8(from[m]);
                from[m] += 16;
            }
            ADD_WORD(0);
            ADD_WORD(1);
            ADD_WORD(2);
            ADD_WORD(3);
            weights += 16 * LANES;
        }
        if (words == 0) {
            continue;
        }
        for (size_t m = 0; m < pixels; m++) { /* up to 12 bytes too many: slack */
            codes[m] = vld1q_s8(from[m]);
        }
        ADD_WORD(0);
        if (words > 1) {
            ADD_WORD(1);
        }
        if (words > 2) {
            ADD_WORD(2);
        }
        weights += words * 4 * LANES;
    }
}

INLINE void run_strip(const block *b, const nvm_strip *strip, size_t pixels)
{
    int32x4_t sum[PIXELS * VECTORS];
    sum_pixels(b, strip->in, sum, pixels);
    finish_pixels(b, strip->out, sum, pixels, VECTORS);
}

static void run_block(const block *b, const nvm_strip *strips, size_t n)
{
    for (const nvm_strip *strip = strips; strip < strips + n; strip++) {
        switch (strip->n) {
        case 1:
            run_strip(b, strip, 1);
            break;
        case 2:
            run_strip(b, strip, 2);
            break;
        case 3:
            run_strip(b, strip, 3);
            break;
        default:
            run_strip(b, strip, PIXELS);
            break;
        }
    }
}

/* Four words of one pixel, one after the other; moves on. */
#define ADD_ONE_OF_FOUR(sum, weights, codes, k)                                                    \
    do {                                                                                           \
        int8x16x4_t w = vld1q_s8_x4(weights);                                                      \
        (sum)[0] = vdotq_laneq_s32((sum)[0], w.val[0], codes, k);                                  \
        (sum)[1] = vdotq_laneq_s32((sum)[1], w.val[1], codes, k);                                  \
        (sum)[2] = vdotq_laneq_s32((sum)[2], w.val[2], codes, k);                                  \
        (sum)[3] = vdotq_laneq_s32((sum)[3], w.val[3], codes, k);                                  \
        (weights) += 4 * LANES;                                                                    \
    } while (0)
#define ADD_FOUR(sum, weights, codes)                                                              \
    do {                                                                                           \
        ADD_ONE_OF_FOUR(sum, weights, codes, 0);                                                   \
        ADD_ONE_OF_FOUR(sum, weights, codes, 1);                                                   \
        ADD_ONE_OF_FOUR(sum, weights, codes, 2);                                                   \
        ADD_ONE_OF_FOUR(sum, weights, codes, 3);                                                   \
    } while (0)

/* One window and two blocks of channels, or one: windows without neighbours, as those of DENSE. */
INLINE void run_single(const block *b, const nvm_strip *strip, size_t blocks)
{
    const nvm_product *product = b->product;
    const nvm_packed *packed = product->packed;
    const uint32_t *segments = nvm_pack_at(product, packed->segments);
    size_t all = (size_t)packed->n_segments * packed->words * 4 * LANES;
    const int8_t *weights[2] = {b->weights, b->weights + (blocks - 1) * all};
    int32x4_t sum[2][VECTORS];
#pragma GCC unroll 2
    for (size_t k = 0; k < blocks; k++) {
#pragma GCC unroll 4
        for (size_t v = 0; v < VECTORS; v++) {
            sum[k][v] = vld1q_s32(b->constant + k * LANES + 4 * v);
        }
    }
    for (uint32_t s = 0; s < packed->n_segments; s++) {
        const int8_t *from = (const int8_t *)product->canvas + strip->in + segments[s];
        uint32_t words = packed->words;
        for (; words >= 4; words -= 4, from += 16) {
            int8x16_t codes = vld1q_s8(from);
#pragma GCC unroll 2
            for (size_t k = 0; k < blocks; k++) {
                ADD_FOUR(sum[k], weights[k], codes);
            }
        }
        for (; words != 0; words--, from += 4) {
            int32_t four;
            memcpy(&four, from, sizeof four);
            int8x16_t codes = vreinterpretq_s8_s32(vdupq_n_s32(four));
#pragma GCC unroll 2
            for (size_t k = 0; k < blocks; k++) {
                int8x16x4_t w = vld1q_s8_x4(weights[k]);
#pragma GCC unroll 4
                for (size_t v = 0; v < VECTORS; v++) {
                    sum[k][v] = vdotq_s32(sum[k][v], w.val[v], codes);
                }
                weights[k] += 4 * LANES;
            }
        }
    }
    finish_pixels(b, strip->out, sum[0], 1, VECTORS);
    if (blocks == 2) {
        block next = *b;
        (void)next_block(&next, 0);
        finish_pixels(&next, strip->out, sum[1], 1, VECTORS);
    }
}

static void run_singles(const nvm_product *product, const nvm_strip *strip)
{
    const nvm_packed *packed = product->packed;
    size_t words = (size_t)packed->n_segments * packed->words;
    block b = first_block(product);
    int more = 1;
    while (more && b.channel + LANES < product->channels) {
        run_single(&b, strip, 2);
        more = next_block(&b, words) && next_block(&b, words);
    }
    if (more) {
        run_single(&b, strip, 1);
    }
}

static void run_product(const nvm_product *product, const nvm_strip *strips, size_t n)
{
    const nvm_packed *packed = product->packed;
    block b = first_block(product);
    if (n == 1 && strips->n == 1) {
        run_singles(product, strips);
        return;
    }
    do {
        run_block(&b, strips, n);
    } while (next_block(&b, (size_t)packed->n_segments * packed->words));
}

const nvm_packing nvm_packing__dotprod = {
    .lift = copy_codes,
    .product = run_product,
    .product_dw = nvm_product_dw_s8__neon,
    .deltas = nvm_deltas_s8__dotprod,
    .compare = nvm_compare_s8__dotprod,
    .code_bytes = 1,
    .offset = 0,
    .lanes = LANES,
    .depth = 4,
    .dw_lanes = 16,
    .dw_vectors = 4,
    .dw_depth = 1,
    .most_blocks = 1,
    .pixels = {0, PIXELS},
};

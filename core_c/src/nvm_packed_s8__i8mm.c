/* SPDX-License-Identifier: Apache-2.0
 *
 * Packed weights against a canvas of signed codes, 16 channels at a time: smmla multiplies eight codes of
 * each of two pixels with eight weights of each of two channels, and adds the four sums to as many int32,
 * modulo 2^32.
 */
#include "nvm_isa_i8mm.h"

#include "nvm_packed__neon.h"

enum { PIXELS = 4, VECTORS = 4, LANES = 16, DEPTH = 8, COUPLES = LANES / 2, WORD = LANES * DEPTH };

/* Sums of two pixels and two channels: those of the first pixel, then those of the second. */
typedef int32x4_t couples[COUPLES];

/* One word: eight codes of two pixels. */
INLINE void add_word(couples sum, const int8_t *weights, int8x16_t codes)
{
    int8x16x4_t low = vld1q_s8_x4(weights), high = vld1q_s8_x4(weights + 64);
#pragma GCC unroll 4
    for (size_t c = 0; c < 4; c++) {
        sum[c] = vmmlaq_s32(sum[c], codes, low.val[c]);
        sum[4 + c] = vmmlaq_s32(sum[4 + c], codes, high.val[c]);
    }
}

/* The same of two pairs of pixels, for which weights are read once. */
INLINE void add_word_twice(couples sum[2], const int8_t *weights, const int8x16_t codes[2])
{
#pragma GCC unroll 2
    for (size_t half = 0; half < 2; half++) {
        int8x16x4_t w = vld1q_s8_x4(weights + 64 * half);
#pragma GCC unroll 4
        for (size_t c = 0; c < 4; c++) {
            sum[0][4 * half + c] = vmmlaq_s32(sum[0][4 * half + c], codes[0], w.val[c]);
            sum[1][4 * half + c] = vmmlaq_s32(sum[1][4 * half + c], codes[1], w.val[c]);
        }
    }
}

INLINE int8x16_t first_halves(int8x16_t a, int8x16_t b)
{
    return vreinterpretq_s8_s64(vzip1q_s64(vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b)));
}

INLINE int8x16_t second_halves(int8x16_t a, int8x16_t b)
{
    return vreinterpretq_s8_s64(vzip2q_s64(vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b)));
}

/* The channels of one pixel of a pair, with the constant. */
INLINE void part_pixel(const block *b, const couples sum, size_t second, int32x4_t out[VECTORS])
{
#pragma GCC unroll 4
    for (size_t v = 0; v < VECTORS; v++) {
        int64x2_t low = vreinterpretq_s64_s32(sum[2 * v]), high = vreinterpretq_s64_s32(sum[2 * v + 1]);
        int64x2_t own = second ? vzip2q_s64(low, high) : vzip1q_s64(low, high);
        out[v] = vaddq_s32(vreinterpretq_s32_s64(own), vld1q_s32(b->constant + 4 * v));
    }
}

/* Consecutive pixels, 2 to 4, of which three are four with the last one twice. */
INLINE void run_pairs(const block *b, const nvm_strip *strip, size_t pixels)
{
    const nvm_product *product = b->product;
    const nvm_packed *packed = product->packed;
    const uint32_t *segments = nvm_pack_at(product, packed->segments);
    const int8_t *weights = b->weights;
    size_t pairs = (pixels + 1) / 2;
    couples sum[2];
#pragma GCC unroll 16
    for (size_t i = 0; i < 2 * COUPLES; i++) {
        sum[i / COUPLES][i % COUPLES] = vdupq_n_s32(0);
    }
    for (uint32_t s = 0; s < packed->n_segments; s++) {
        const int8_t *from[PIXELS];
        uint32_t words = packed->words;
        from[0] = (const int8_t *)product->canvas + strip->in + segments[s];
#pragma GCC unroll 4
        for (size_t m = 1; m < PIXELS; m++) {
            from[m] = m < pixels ? from[m - 1] + packed->column : from[m - 1];
        }
        for (; words >= 2; words -= 2, weights += 2 * WORD) {
            int8x16_t codes[PIXELS], first[2], second[2];
#pragma GCC unroll 4
            for (size_t m = 0; m < 2 * pairs; m++) {
                codes[m] = vld1q_s8(from[m]);
                from[m] += 16;
            }
#pragma GCC unroll 2
            for (size_t k = 0; k < pairs; k++) {
                first[k] = first_halves(codes[2 * k], codes[2 * k + 1]);
                second[k] = second_halves(codes[2 * k], codes[2 * k + 1]);
            }
            if (pairs == 2) {
                add_word_twice(sum, weights, first);
                add_word_twice(sum, weights + WORD, second);
            } else {
                add_word(sum[0], weights, first[0]);
                add_word(sum[0], weights + WORD, second[0]);
            }
        }
        if (words != 0) {
            int8x16_t last[2];
#pragma GCC unroll 2
            for (size_t k = 0; k < pairs; k++) {
                last[k] = vcombine_s8(vld1_s8(from[2 * k]), vld1_s8(from[2 * k + 1]));
            }
            if (pairs == 2) {
                add_word_twice(sum, weights, last);
            } else {
                add_word(sum[0], weights, last[0]);
            }
            weights += WORD;
        }
    }
    int32x4_t all[PIXELS * VECTORS];
#pragma GCC unroll 4
    for (size_t m = 0; m < pixels; m++) {
        part_pixel(b, sum[m / 2], m % 2, all + m * VECTORS);
    }
    finish_pixels(b, strip->out, all, pixels, VECTORS);
}

/* One window and one or two blocks of channels: windows without neighbours, as those of DENSE. Its codes stand for
 * both pixels, so that half of each product is thrown away. */
INLINE void run_single(const block *b, const nvm_strip *strip, size_t blocks)
{
    const nvm_product *product = b->product;
    const nvm_packed *packed = product->packed;
    const uint32_t *segments = nvm_pack_at(product, packed->segments);
    size_t all = (size_t)packed->n_segments * packed->words * WORD;
    const int8_t *weights[2] = {b->weights, b->weights + (blocks - 1) * all};
    couples sum[2];
#pragma GCC unroll 16
    for (size_t i = 0; i < 2 * COUPLES; i++) {
        sum[i / COUPLES][i % COUPLES] = vdupq_n_s32(0);
    }
    for (uint32_t s = 0; s < packed->n_segments; s++) {
        const int8_t *from = (const int8_t *)product->canvas + strip->in + segments[s];
        uint32_t words = packed->words;
        for (; words >= 2; words -= 2, from += 16) {
            int8x16_t codes = vld1q_s8(from);
            int8x16_t first = first_halves(codes, codes), second = second_halves(codes, codes);
#pragma GCC unroll 2
            for (size_t k = 0; k < blocks; k++) {
                add_word(sum[k], weights[k], first);
                add_word(sum[k], weights[k] + WORD, second);
                weights[k] += 2 * WORD;
            }
        }
        if (words != 0) {
            int8x16_t codes = vcombine_s8(vld1_s8(from), vld1_s8(from));
#pragma GCC unroll 2
            for (size_t k = 0; k < blocks; k++) {
                add_word(sum[k], weights[k], codes);
                weights[k] += WORD;
            }
        }
    }
    int32x4_t one[VECTORS];
    part_pixel(b, sum[0], 0, one);
    finish_pixels(b, strip->out, one, 1, VECTORS);
    if (blocks == 2) {
        block next = *b;
        (void)next_block(&next, 0);
        part_pixel(&next, sum[1], 0, one);
        finish_pixels(&next, strip->out, one, 1, VECTORS);
    }
}

static void run_block(const block *b, const nvm_strip *strips, size_t n)
{
    for (const nvm_strip *strip = strips; strip < strips + n; strip++) {
        switch (strip->n) {
        case 1:
            run_single(b, strip, 1);
            break;
        case 2:
            run_pairs(b, strip, 2);
            break;
        case 3:
            run_pairs(b, strip, 3);
            break;
        default:
            run_pairs(b, strip, PIXELS);
            break;
        }
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

const nvm_packing nvm_packing__i8mm = {
    .lift = copy_codes,
    .product = run_product,
    .product_dw = nvm_product_dw_s8__neon,
    .code_bytes = 1,
    .offset = 0,
    .lanes = LANES,
    .depth = DEPTH,
    .dw_lanes = 16,
    .dw_vectors = 4,
    .dw_depth = 1,
    .most_blocks = 1,
    .pixels = {0, PIXELS},
};

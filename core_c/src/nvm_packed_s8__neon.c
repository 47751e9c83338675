/* SPDX-License-Identifier: Apache-2.0
 *
 * Packed weights against a canvas of signed codes, eight channels at a time. Sixteen codes of a window
 * stand against sixteen weights of one channel; a register of four int32 a channel takes their sums,
 * which are added up at the end.
 *
 * A product of two bytes fits int16, and so do two that are added where no weight is -128:
 * 2 x 127 x 128 < 2^15. Layers that have one go the longer way.
 */
#include "nvm_isa_neon.h"

#include "nvm_packed__neon.h"

enum { PIXELS = 2, LANES = 8, DEPTH = 16 };

INLINE int32x4_t add_products(int32x4_t sum, int8x16_t w, int8x16_t codes, int is_narrow)
{
    int16x8_t low = vmull_s8(vget_low_s8(w), vget_low_s8(codes));
    if (is_narrow) {
        return vpadalq_s16(sum, vmlal_high_s8(low, w, codes));
    }
    return vpadalq_s16(vpadalq_s16(sum, low), vmull_high_s8(w, codes));
}

INLINE void sum_pixels(const block *b, uint32_t in, int32x4_t sum[PIXELS][LANES], size_t pixels,
                       int is_narrow)
{
    const nvm_product *product = b->product;
    const nvm_packed *packed = product->packed;
    const uint32_t *segments = nvm_pack_at(product, packed->segments);
    const int8_t *weights = b->weights;
#pragma GCC unroll 8
    for (size_t m = 0; m < pixels; m++) {
#pragma GCC unroll 8
        for (size_t c = 0; c < LANES; c++) {
            sum[m][c] = vdupq_n_s32(0);
        }
    }
    for (uint32_t s = 0; s < packed->n_segments; s++) {
        const int8_t *from = (const int8_t *)product->canvas + in + segments[s];
        const int8_t *next = from + packed->column;
        for (uint32_t word = packed->words; word != 0; word--) {
            int8x16_t codes[PIXELS] = {vld1q_s8(from)};
            from += DEPTH;
            if (pixels == 2) {
                codes[1] = vld1q_s8(next);
                next += DEPTH;
            }
#pragma GCC unroll 8
            for (size_t c = 0; c < LANES; c++) {
                int8x16_t w = vld1q_s8(weights + c * DEPTH);
#pragma GCC unroll 8
                for (size_t m = 0; m < pixels; m++) {
                    sum[m][c] = add_products(sum[m][c], w, codes[m], is_narrow);
                }
            }
            weights += LANES * DEPTH;
        }
    }
}

INLINE int32x4_t add_four(const int32x4_t sum[4])
{
    return vpaddq_s32(vpaddq_s32(sum[0], sum[1]), vpaddq_s32(sum[2], sum[3]));
}

INLINE void run_strip(const block *b, const nvm_strip *strip, size_t pixels, int is_narrow)
{
    int32x4_t sum[PIXELS][LANES], all[2 * PIXELS];
    sum_pixels(b, strip->in, sum, pixels, is_narrow);
#pragma GCC unroll 4
    for (size_t m = 0; m < pixels; m++) {
        all[2 * m] = vaddq_s32(add_four(sum[m]), vld1q_s32(b->constant));
        all[2 * m + 1] = vaddq_s32(add_four(sum[m] + 4), vld1q_s32(b->constant + 4));
    }
    finish_pixels(b, strip->out, all, pixels, 2);
}

INLINE void run_strips(const block *b, const nvm_strip *strips, size_t n, int is_narrow)
{
    for (const nvm_strip *strip = strips; strip < strips + n; strip++) {
        if (strip->n == 1) {
            run_strip(b, strip, 1, is_narrow);
        } else {
            run_strip(b, strip, PIXELS, is_narrow);
        }
    }
}

static void run_product(const nvm_product *product, const nvm_strip *strips, size_t n)
{
    const nvm_packed *packed = product->packed;
    block b = first_block(product);
    do {
        if (packed->is_narrow) {
            run_strips(&b, strips, n, 1);
        } else {
            run_strips(&b, strips, n, 0);
        }
    } while (next_block(&b, (size_t)packed->n_segments * packed->words));
}

const nvm_packing nvm_packing__neon = {
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

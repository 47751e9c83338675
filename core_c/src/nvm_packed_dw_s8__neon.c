/* SPDX-License-Identifier: Apache-2.0
 *
 * Packed depthwise windows, 16 channels at a time: products of two taps are added in int16, where no
 * weight is -128 (nvm_packed_s8__neon.c), and their sums in int32.
 */
#include "nvm_isa_neon.h"

#include "nvm_packed__neon.h"

enum { LANES = 16, VECTORS = 4, PIXELS = 2 };

INLINE void add_wide(int32x4_t sum[VECTORS], int16x8_t low, int16x8_t high)
{
    sum[0] = vaddw_s16(sum[0], vget_low_s16(low));
    sum[1] = vaddw_high_s16(sum[1], low);
    sum[2] = vaddw_s16(sum[2], vget_low_s16(high));
    sum[3] = vaddw_high_s16(sum[3], high);
}

INLINE void add_tap(int32x4_t sum[VECTORS], int8x16_t w, int8x16_t codes)
{
    add_wide(sum, vmull_s8(vget_low_s8(w), vget_low_s8(codes)), vmull_high_s8(w, codes));
}

INLINE void add_two_taps(int32x4_t sum[VECTORS], const int8x16_t w[2], int8x16_t a, int8x16_t b)
{
    int16x8_t low = vmull_s8(vget_low_s8(w[0]), vget_low_s8(a)), high = vmull_high_s8(w[0], a);
    low = vmlal_s8(low, vget_low_s8(w[1]), vget_low_s8(b));
    add_wide(sum, low, vmlal_high_s8(high, w[1], b));
}

INLINE void run_pixels(const block *b, uint32_t in, size_t out, size_t pixels, int is_narrow)
{
    const nvm_packed *packed = b->product->packed;
    const uint32_t *taps = nvm_pack_at(b->product, packed->segments);
    const int8_t *from = (const int8_t *)b->product->canvas + in + b->channel;
    const int8_t *next = from + packed->column, *weights = b->weights;
    int32x4_t sum[PIXELS][VECTORS];
    uint32_t left = packed->words;
#pragma GCC unroll 8
    for (size_t m = 0; m < pixels; m++) {
#pragma GCC unroll 8
        for (size_t v = 0; v < VECTORS; v++) {
            sum[m][v] = vld1q_s32(b->constant + 4 * v);
        }
    }
    for (; is_narrow && left >= 2; left -= 2, taps += 2, weights += 2 * LANES) {
        int8x16_t w[2] = {vld1q_s8(weights), vld1q_s8(weights + LANES)};
        add_two_taps(sum[0], w, vld1q_s8(from + taps[0]), vld1q_s8(from + taps[1]));
        if (pixels == 2) {
            add_two_taps(sum[1], w, vld1q_s8(next + taps[0]), vld1q_s8(next + taps[1]));
        }
    }
    for (; left != 0; left--, taps++, weights += LANES) {
        int8x16_t w = vld1q_s8(weights);
        add_tap(sum[0], w, vld1q_s8(from + taps[0]));
        if (pixels == 2) {
            add_tap(sum[1], w, vld1q_s8(next + taps[0]));
        }
    }
    finish_pixels(b, out, sum[0], pixels, VECTORS);
}

INLINE void run_strips(const block *b, const nvm_strip *strips, size_t n, int is_narrow)
{
    uint32_t column = b->product->packed->column;
    for (const nvm_strip *strip = strips; strip < strips + n; strip++) {
        uint32_t m = 0;
        for (; strip->n - m >= PIXELS; m += PIXELS) {
            run_pixels(b, strip->in + m * column, strip->out + m, PIXELS, is_narrow);
        }
        if (m < strip->n) {
            run_pixels(b, strip->in + m * column, strip->out + m, 1, is_narrow);
        }
    }
}

void nvm_product_dw_s8__neon(const nvm_product *product, const nvm_strip *strips, size_t n)
{
    block b = first_block(product);
    do {
        if (product->packed->is_narrow) {
            run_strips(&b, strips, n, 1);
        } else {
            run_strips(&b, strips, n, 0);
        }
    } while (next_block(&b, product->packed->words));
}

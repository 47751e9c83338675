/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_packed__neon.h: from sums in registers to codes, for all sets of aarch64.
 */
#ifndef NVM_PACKED_NEON_H
#define NVM_PACKED_NEON_H

#include <arm_neon.h>

#include "nvm_pack.h"

#define INLINE static inline __attribute__((always_inline))

/* Two loads of which one stands on either side stay in that order: gcc otherwise loads all weights of
 * a loop first, for which there are no registers. */
#define KEEP_ORDER __asm__ volatile("" ::: "memory")

/* A layer's clamp, for FP32. */
typedef struct rule {
    int16x8_t zero;
    int8x16_t low, high;
} rule;

/* A block of channels of a layer. */
typedef struct block {
    const nvm_product *product;
    const int8_t *weights;
    const int32_t *constant;
    const float *scale;
    size_t channel;  /* the first */
    size_t channels; /* that the layer has of this block's */
    int is_float;    /* FP32 is applied to registers; other rules to sums in memory */
    rule rule;
} block;

/* The canvas holds codes as they are. */
static inline void copy_codes(uint8_t *to, const int8_t *codes, size_t n)
{
    memcpy(to, codes, n);
}

INLINE rule rule_of(const nvm_layer *layer)
{
    return (rule){.zero = vdupq_n_s16(layer->zero_out),
                  .low = vdupq_n_s8(layer->lo),
                  .high = vdupq_n_s8(layer->hi)};
}

INLINE block first_block(const nvm_product *product)
{
    const nvm_packed *packed = product->packed;
    size_t lanes = packed->lanes;
    return (block){.product = product,
                   .weights = nvm_pack_at(product, packed->weights),
                   .constant = nvm_pack_at(product, packed->constant),
                   .scale = nvm_pack_at(product, packed->scale),
                   .channels = product->channels < lanes ? product->channels : lanes,
                   .is_float = product->node->layer->requant == NVM_RQ_FP32,
                   .rule = rule_of(product->node->layer)};
}

/* The next one, behind `words` words of weights; 0 where there is none. */
INLINE int next_block(block *b, size_t words)
{
    const nvm_packed *packed = b->product->packed;
    size_t lanes = packed->lanes, left;
    b->channel += lanes;
    if (b->channel >= b->product->channels) {
        return 0;
    }
    left = b->product->channels - b->channel;
    b->channels = left < lanes ? left : lanes;
    b->weights += words * lanes * packed->depth;
    b->constant += lanes;
    b->scale += lanes;
    return 1;
}

/* All steps saturate, so that those before the clamp change nothing that it leaves. */
INLINE int32x4_t round_float(int32x4_t sum, float32x4_t scale)
{
    return vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(sum), scale));
}

INLINE int16x8_t eight_values(const rule *r, const int32x4_t sum[2], const float32x4_t scale[2])
{
    int16x4_t low = vqmovn_s32(round_float(sum[0], scale[0]));
    return vqaddq_s16(vqmovn_high_s32(low, round_float(sum[1], scale[1])), r->zero);
}

INLINE int8x8_t eight_codes(const rule *r, const int32x4_t sum[2], const float32x4_t scale[2])
{
    int8x8_t codes = vqmovn_s16(eight_values(r, sum, scale));
    return vmin_s8(vmax_s8(codes, vget_low_s8(r->low)), vget_low_s8(r->high));
}

INLINE int8x16_t sixteen_codes(const rule *r, const int32x4_t sum[4], const float32x4_t scale[4])
{
    int8x8_t low = vqmovn_s16(eight_values(r, sum, scale));
    int8x16_t codes = vqmovn_high_s16(low, eight_values(r, sum + 2, scale + 2));
    return vminq_s8(vmaxq_s8(codes, r->low), r->high);
}

/* One pixel's sums in memory: kept, and requantised unless that was done in registers. */
static __attribute__((noinline)) void finish_in_memory(const block *b, size_t pixel,
                                                       const int32_t *sums)
{
    const nvm_product *product = b->product;
    size_t first = pixel * product->channels + b->channel;
    if (product->acc != NULL) {
        memcpy(product->acc + first, sums, b->channels * sizeof *sums);
    }
    if (!b->is_float && product->codes != NULL) {
        nvm_requant_s32s8__neon(product->node, sums, b->channel, b->channels, product->codes + first);
    }
}

/* Codes of pixels of 4 `vectors` channels, a constant of 2 or 4: sum[pixel][vector]. */
INLINE void store_codes(const block *b, const int32x4_t *sum, int8_t *to, size_t step,
                        size_t pixels, size_t vectors)
{
    rule r = b->rule; /* by value, as codes might lie over what pointers reach */
    float32x4_t scale[4];
#pragma GCC unroll 4
    for (size_t v = 0; v < vectors; v++) {
        scale[v] = vld1q_f32(b->scale + 4 * v);
    }
#pragma GCC unroll 8
    for (size_t m = 0; m < pixels; m++) {
        if (vectors == 4) {
            vst1q_s8(to + m * step, sixteen_codes(&r, sum + m * vectors, scale));
        } else {
            vst1_s8(to + m * step, eight_codes(&r, sum + m * vectors, scale));
        }
    }
}

/* Consecutive pixels, as store_codes has them. */
INLINE void finish_pixels(const block *b, size_t pixel, const int32x4_t *sum, size_t pixels,
                          size_t vectors)
{
    const nvm_product *product = b->product;
    size_t channels = product->channels, lanes = 4 * vectors;
    if (b->is_float && product->codes != NULL) {
        int8_t *to = product->codes + pixel * channels + b->channel;
        if (b->channels == lanes) {
            store_codes(b, sum, to, channels, pixels, vectors);
        } else {
            int8_t part[64];
            store_codes(b, sum, part, lanes, pixels, vectors);
            for (size_t m = 0; m < pixels; m++) {
                memcpy(to + m * channels, part + m * lanes, b->channels);
            }
        }
    }
    if (product->acc != NULL || !b->is_float) {
        int32x4_t copy[16]; /* so that sum itself needs no memory */
#pragma GCC unroll 16
        for (size_t i = 0; i < pixels * vectors; i++) {
            copy[i] = sum[i];
        }
        for (size_t m = 0; m < pixels; m++) {
            finish_in_memory(b, pixel + m, (const int32_t *)(copy + m * vectors));
        }
    }
}

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_packed__neon.h: from sums in registers to codes, for all sets of aarch64.
 */
#ifndef NVM_PACKED_NEON_H
#define NVM_PACKED_NEON_H

#include <arm_neon.h>

#include "nvm_pack.h"

#define INLINE static inline __attribute__((always_inline))

/* A layer's requantiser. */
typedef struct rule {
    float32x4_t offset;
    int16x8_t zero;
    int8x16_t low, high;
    int is_affine;
    int is_float; /* the rule is applied to registers; else to sums in memory */
} rule;

/* A block of channels of a layer. */
typedef struct block {
    const nvm_product *product;
    const int8_t *weights;
    const int32_t *constant;
    const float *scale;
    size_t channel;  /* the first */
    size_t channels; /* that the layer has of this block's */
    rule rule;
} block;

/* The canvas holds codes as they are. */
static inline void copy_codes(uint8_t *to, const int8_t *codes, size_t n)
{
    memcpy(to, codes, n);
}

INLINE rule rule_of(const nvm_node *node)
{
    const nvm_layer *layer = node->layer;
    int is_affine = layer->requant == NVM_RQ_AFFINE;
    return (rule){.offset = vdupq_n_f32(is_affine ? *(const float *)node->shift : 0.0f),
                  .zero = vdupq_n_s16(layer->zero_out),
                  .low = vdupq_n_s8(layer->lo),
                  .high = vdupq_n_s8(layer->hi),
                  .is_affine = is_affine,
                  .is_float = is_affine || layer->requant == NVM_RQ_FP32};
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
                   .rule = rule_of(product->node)};
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

/* FP32 and AFFINE, before the clamp. All steps saturate, so that those that come before it change nothing. */
INLINE int32x4_t round_float(const rule *r, int32x4_t sum, float32x4_t scale)
{
    float32x4_t v = vmulq_f32(vcvtq_f32_s32(sum), scale);
    return vcvtnq_s32_f32(r->is_affine ? vaddq_f32(v, r->offset) : v);
}

INLINE int16x8_t eight_values(const rule *r, const int32x4_t sum[2], const float *scale)
{
    int16x4_t low = vqmovn_s32(round_float(r, sum[0], vld1q_f32(scale)));
    int32x4_t high = round_float(r, sum[1], vld1q_f32(scale + 4));
    return vqaddq_s16(vqmovn_high_s32(low, high), r->zero);
}

INLINE int8x8_t eight_codes(const rule *r, const int32x4_t sum[2], const float *scale)
{
    int8x8_t codes = vqmovn_s16(eight_values(r, sum, scale));
    return vmin_s8(vmax_s8(codes, vget_low_s8(r->low)), vget_low_s8(r->high));
}

INLINE int8x16_t sixteen_codes(const rule *r, const int32x4_t sum[4], const float *scale)
{
    int8x8_t low = vqmovn_s16(eight_values(r, sum, scale));
    int8x16_t codes = vqmovn_high_s16(low, eight_values(r, sum + 2, scale + 8));
    return vminq_s8(vmaxq_s8(codes, r->low), r->high);
}

/* One pixel's sums in memory: kept, and requantised unless that was done in registers. */
static inline void finish_in_memory(const block *b, size_t pixel, const int32_t *sums)
{
    const nvm_product *product = b->product;
    size_t first = pixel * product->channels + b->channel;
    if (product->acc != NULL) {
        memcpy(product->acc + first, sums, b->channels * sizeof *sums);
    }
    if (!b->rule.is_float && product->codes != NULL) {
        nvm_requant_s32s8__neon(product->node, sums, b->channel, b->channels, product->codes + first);
    }
}

/* One pixel of 4 `vectors` channels, a constant of 2 or 4. */
INLINE void finish_pixel(const block *b, size_t pixel, const int32x4_t *sum, size_t vectors)
{
    const nvm_product *product = b->product;
    if (b->rule.is_float && product->codes != NULL) {
        int8_t *to = product->codes + pixel * product->channels + b->channel;
        int is_whole = b->channels == 4 * vectors;
        if (vectors == 4) {
            int8x16_t codes = sixteen_codes(&b->rule, sum, b->scale);
            if (is_whole) {
                vst1q_s8(to, codes);
            } else {
                int8_t copy[16];
                vst1q_s8(copy, codes);
                memcpy(to, copy, b->channels);
            }
        } else {
            int8x8_t codes = eight_codes(&b->rule, sum, b->scale);
            if (is_whole) {
                vst1_s8(to, codes);
            } else {
                int8_t copy[8];
                vst1_s8(copy, codes);
                memcpy(to, copy, b->channels);
            }
        }
    }
    if (product->acc != NULL || !b->rule.is_float) {
        int32_t sums[16];
#pragma GCC unroll 8
        for (size_t v = 0; v < vectors; v++) {
            vst1q_s32(sums + 4 * v, sum[v]);
        }
        finish_in_memory(b, pixel, sums);
    }
}

#endif

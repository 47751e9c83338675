/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_group_s8__avx512vnni.h: sums of a group of blocks of channels, in registers of 16, and their way to
 * codes.
 */
#ifndef NVM_GROUP_S8_AVX512VNNI_H
#define NVM_GROUP_S8_AVX512VNNI_H

#include <immintrin.h>

#include "nvm_pack.h"

#define INLINE static inline __attribute__((always_inline))

enum {
    LANES = 16,    /* channels of a block */
    MAX_SUMS = 24, /* [pixel][block], of one tile */
};

typedef struct rule {
    __m512 offset, most; /* before rounding */
    __m512i zero, low;   /* int16, int8 */
    int is_affine;
} rule;

typedef struct group {
    const nvm_product *product;
    const int8_t *weights;
    const int32_t *constant;
    const float *scale;
    uint32_t channel; /* the first */
    __mmask16 tail;   /* channels of the last block */
    int is_float;     /* the rule is applied here; else afterwards */
    rule rule;
} group;

/* FP32 and AFFINE. Values beyond int32 become its minimum, which only negative ones can be: the packs
 * saturate like the clamp, and the clamp's bounds are integers, so rounding first changes nothing. */
INLINE __m512i round_float(const group *g, __m512i sum, __m512 scale)
{
    __m512 v = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale);
    if (g->rule.is_affine) {
        v = _mm512_add_ps(v, g->rule.offset);
    }
    return _mm512_cvtps_epi32(_mm512_min_ps(v, g->rule.most));
}

/* Four registers of 16 rounded values to 64 codes, in order. */
INLINE __m512i narrow(const group *g, const __m512i *v)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512i low = _mm512_adds_epi16(_mm512_packs_epi32(v[0], v[1]), g->rule.zero);
    __m512i high = _mm512_adds_epi16(_mm512_packs_epi32(v[2], v[3]), g->rule.zero);
    __m512i codes = _mm512_max_epi8(_mm512_packs_epi16(low, high), g->rule.low);
    return _mm512_permutexvar_epi32(order, codes);
}

INLINE void store_codes(const group *g, uint32_t pixel, const __m512i *sum, size_t pixels,
                        size_t blocks)
{
    size_t channels = g->product->channels, n = pixels * blocks;
    int8_t *codes = g->product->codes + pixel * channels + g->channel;
    int is_whole = channels == blocks * LANES;
    __m512 scale[NVM_MAX_BLOCKS];
#pragma GCC unroll 4
    for (size_t b = 0; b < blocks; b++) {
        scale[b] = _mm512_loadu_ps(g->scale + b * LANES);
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < n; i += 4) {
        __m512i v[4];
#pragma GCC unroll 4
        for (size_t k = 0; k < 4; k++) {
            size_t at = i + k < n ? i + k : i;
            v[k] = round_float(g, sum[at], scale[at % blocks]);
        }
        __m512i four = narrow(g, v);
        if (is_whole && n - i >= 4) { /* pixels follow each other without a gap */
            _mm512_storeu_si512(codes + i * LANES, four);
            continue;
        }
        __m128i part[4] = {_mm512_castsi512_si128(four), _mm512_extracti32x4_epi32(four, 1),
                           _mm512_extracti32x4_epi32(four, 2), _mm512_extracti32x4_epi32(four, 3)};
#pragma GCC unroll 4
        for (size_t k = 0; k < (n - i < 4 ? n - i : 4); k++) {
            size_t block = (i + k) % blocks;
            int8_t *to = codes + (i + k) / blocks * channels + block * LANES;
            if (block < blocks - 1 || g->tail == 0xFFFF) { /* loads would wait for a masked store */
                _mm_storeu_si128((__m128i *)(void *)to, part[k]);
            } else {
                _mm_mask_storeu_epi8(to, g->tail, part[k]);
            }
        }
    }
}

/* The integer rules, from sums in memory. */
static __attribute__((noinline)) void requantise(const group *g, uint32_t pixel, const __m512i *sum,
                                                 size_t pixels, size_t blocks)
{
    const nvm_product *product = g->product;
    size_t n = (blocks - 1) * LANES + (size_t)__builtin_popcount(g->tail);
    int8_t *codes = product->codes + (size_t)pixel * product->channels + g->channel;
    for (size_t m = 0; m < pixels; m++, codes += product->channels) {
        int32_t sums[NVM_MAX_BLOCKS * LANES];
        memcpy(sums, sum + m * blocks, blocks * sizeof *sum);
        NVM_OWN(requant_s32s8)(product->node, sums, g->channel, n, codes);
    }
}

INLINE rule rule_of(const nvm_node *node)
{
    const nvm_layer *layer = node->layer;
    int is_affine = layer->requant == NVM_RQ_AFFINE;
    return (rule){.offset = _mm512_set1_ps(is_affine ? *(const float *)node->shift : 0.0f),
                  .most = _mm512_set1_ps((float)(layer->hi - layer->zero_out)),
                  .zero = _mm512_set1_epi16(layer->zero_out),
                  .low = _mm512_set1_epi8(layer->lo),
                  .is_affine = is_affine};
}

/* A group before its first block. */
INLINE group first_group(const nvm_product *product)
{
    const nvm_packed *packed = product->packed;
    uint8_t requant = product->node->layer->requant;
    return (group){.product = product,
                   .weights = nvm_pack_at(product, packed->weights),
                   .constant = nvm_pack_at(product, packed->constant),
                   .scale = nvm_pack_at(product, packed->scale),
                   .is_float = requant == NVM_RQ_FP32 || requant == NVM_RQ_AFFINE,
                   .rule = rule_of(product->node)};
}

/* The blocks of the group that begins with `block`, which becomes the current one. */
INLINE uint32_t enter_group(group *g, uint32_t block)
{
    const nvm_packed *packed = g->product->packed;
    uint32_t left = packed->blocks - block;
    uint32_t blocks = left < packed->group ? left : packed->group;
    uint32_t last = g->product->channels - (block + blocks - 1) * LANES;
    g->channel = block * LANES;
    g->tail = (__mmask16)(last < LANES ? (1u << last) - 1 : 0xFFFF);
    return blocks;
}

/* On to the group behind it. */
INLINE void leave_group(group *g, uint32_t blocks)
{
    const nvm_packed *packed = g->product->packed;
    g->weights += (size_t)packed->n_segments * packed->words * blocks * 4 * LANES;
    g->constant += blocks * LANES;
    g->scale += blocks * LANES;
}

#endif

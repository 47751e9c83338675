/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_finish_s8__256.h: what becomes of the sums of packed layers in vectors of 256 bits: the float
 * rules here, in registers; the integer rules, and sums that are kept, by way of memory.
 */
#ifndef NVM_FINISH_S8_256_H
#define NVM_FINISH_S8_256_H

#include <immintrin.h>

#include "nvm_pack.h"

#define INLINE static inline __attribute__((always_inline))

typedef struct rule {
    __m256 offset, most; /* before rounding */
    __m256i zero, low;   /* int16, int8 */
    int is_affine, is_float;
} rule;

static inline rule rule_of(const nvm_node *node)
{
    const nvm_layer *layer = node->layer;
    int is_affine = layer->requant == NVM_RQ_AFFINE;
    return (rule){.offset = _mm256_set1_ps(is_affine ? *(const float *)node->shift : 0.0f),
                  .most = _mm256_set1_ps((float)(layer->hi - layer->zero_out)),
                  .zero = _mm256_set1_epi16(layer->zero_out),
                  .low = _mm256_set1_epi8(layer->lo),
                  .is_affine = is_affine,
                  .is_float = is_affine || layer->requant == NVM_RQ_FP32};
}

/* FP32 and AFFINE. Values beyond int32 become its minimum, which only negative ones can be: the packs
 * saturate like the clamp, and the clamp's bounds are integers, so rounding first changes nothing. */
INLINE __m256i round_float(const rule *r, __m256i sum, __m256 scale)
{
    __m256 v = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), scale);
    if (r->is_affine) {
        v = _mm256_add_ps(v, r->offset);
    }
    return _mm256_cvtps_epi32(_mm256_min_ps(v, r->most));
}

/* Sixteen rounded values with the zero point: each half of the result holds four of a, four of b. */
INLINE __m256i narrow_two(const rule *r, __m256i a, __m256i b)
{
    return _mm256_adds_epi16(_mm256_packs_epi32(a, b), r->zero);
}

/* Codes of two of those, half by half. */
INLINE __m256i narrow_four(const rule *r, __m256i ab, __m256i cd)
{
    return _mm256_max_epi8(_mm256_packs_epi16(ab, cd), r->low);
}

/* The first n <= 16 codes. */
INLINE void store_some(int8_t *to, __m128i codes, size_t n)
{
    int8_t all[16];
    if (n == 16) {
        _mm_storeu_si128((__m128i *)(void *)to, codes);
        return;
    }
    if (n == 8) {
        _mm_storel_epi64((__m128i *)(void *)to, codes);
        return;
    }
    _mm_storeu_si128((__m128i *)(void *)all, codes);
    for (size_t i = 0; i < n; i++) {
        to[i] = all[i];
    }
}

/* n sums of consecutive channels, where they are kept and by the integer rules. */
static inline void finish_sums(const nvm_product *product, const rule *r, uint32_t pixel,
                               uint32_t channel, const int32_t *sums, size_t n)
{
    size_t first = (size_t)pixel * product->channels + channel;
    if (product->acc != NULL) {
        memcpy(product->acc + first, sums, n * sizeof *sums);
    }
    if (!r->is_float && product->codes != NULL) {
        NVM_OWN(requant_s32s8)(product->node, sums, channel, n, product->codes + first);
    }
}

#endif

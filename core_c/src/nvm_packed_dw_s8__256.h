/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_packed_dw_s8__256.h: packed depthwise windows in vectors of 256 bits. The codes of DEPTH taps are
 * interleaved within halves of vectors, so that each int32 of VECTORS vectors meets the codes of its own
 * channel. Vector v then holds channels 4 VECTORS l + 4 v + 0 .. 3 for l = 0, 1, as the weights lie and as
 * the saturating packs put them back in order. The file that includes this says
 *
 *     enum { VECTORS, DEPTH, PIXELS };    2 or 4; taps of a word; pixels that go together
 *
 * and defines sum_pixels.
 */
#ifndef NVM_PACKED_DW_S8_256_H
#define NVM_PACKED_DW_S8_256_H

#include "nvm_finish_s8__256.h"

enum { LANES = 8, BLOCK = VECTORS * LANES };

typedef struct block {
    const nvm_product *product;
    const int8_t *weights;
    const int32_t *constant;
    const float *scale;
    uint32_t channel; /* the first */
    uint32_t n;       /* channels */
} block;

/* The windows of so many pixels, 1 or PIXELS, of which the first begins at `at`. */
INLINE void sum_pixels(const block *b, const uint8_t *at, size_t pixels, __m256i sum[][VECTORS]);

INLINE void store_codes(const block *b, const rule *r, uint32_t pixel, const __m256i sum[VECTORS])
{
    int8_t *codes = b->product->codes + (size_t)pixel * b->product->channels + b->channel;
    __m256i v[VECTORS], four;
#pragma GCC unroll 4
    for (size_t k = 0; k < VECTORS; k++) {
        v[k] = round_float(r, sum[k], _mm256_loadu_ps(b->scale + k * LANES));
    }
    four = narrow_two(r, v[0], v[1]);
    if (VECTORS == 2) {
        four = _mm256_permute4x64_epi64(narrow_four(r, four, four), 0xD8);
        store_some(codes, _mm256_castsi256_si128(four), b->n);
        return;
    }
    four = narrow_four(r, four, narrow_two(r, v[VECTORS - 2], v[VECTORS - 1]));
    store_some(codes, _mm256_castsi256_si128(four), b->n < 16 ? b->n : 16);
    if (b->n > 16) {
        store_some(codes + 16, _mm256_extracti128_si256(four, 1), b->n - 16);
    }
}

/* Sums in the order of channels, by way of memory. */
static __attribute__((noinline)) void finish_pixel(const block *b, const rule *r, uint32_t pixel,
                                                   const __m256i *sum)
{
    int32_t sums[BLOCK];
    for (size_t v = 0; v < VECTORS; v += 2) {
        __m256i *to = (void *)(sums + 4 * v), *beyond = (void *)(sums + 4 * VECTORS + 4 * v);
        _mm256_storeu_si256(to, _mm256_permute2x128_si256(sum[v], sum[v + 1], 0x20));
        _mm256_storeu_si256(beyond, _mm256_permute2x128_si256(sum[v], sum[v + 1], 0x31));
    }
    finish_sums(b->product, r, pixel, b->channel, sums, b->n);
}

INLINE void run_pixels(const block *b, const rule *r, uint32_t in, uint32_t out, size_t pixels)
{
    __m256i sum[PIXELS][VECTORS];
    size_t first = (size_t)b->channel * NVM_OWN(packing).code_bytes;
    sum_pixels(b, b->product->canvas + in + first, pixels, sum);
#pragma GCC unroll 4
    for (size_t m = 0; m < pixels; m++) {
        if (r->is_float && b->product->codes != NULL) {
            store_codes(b, r, out + (uint32_t)m, sum[m]);
        }
        if (b->product->acc != NULL || !r->is_float) {
            __m256i copy[VECTORS];
            memcpy(copy, sum[m], sizeof copy);
            finish_pixel(b, r, out + (uint32_t)m, copy);
        }
    }
}

static void run_block(const block *b, const rule *r, const nvm_strip *strip, size_t n)
{
    uint32_t column = b->product->packed->column;
    for (const nvm_strip *end = strip + n; strip < end; strip++) {
        uint32_t m = 0;
        for (; strip->n - m >= PIXELS; m += PIXELS) {
            run_pixels(b, r, strip->in + m * column, strip->out + m, PIXELS);
        }
        for (; m < strip->n; m++) {
            run_pixels(b, r, strip->in + m * column, strip->out + m, 1);
        }
    }
}

void NVM_OWN(product_dw_s8)(const nvm_product *product, const nvm_strip *strips, size_t n)
{
    const nvm_packed *packed = product->packed;
    rule r = rule_of(product->node);
    block b = {.product = product,
               .weights = nvm_pack_at(product, packed->weights),
               .constant = nvm_pack_at(product, packed->constant),
               .scale = nvm_pack_at(product, packed->scale)};
    for (; b.channel < product->channels; b.channel += BLOCK) {
        uint32_t left = product->channels - b.channel;
        b.n = left < BLOCK ? left : BLOCK;
        run_block(&b, &r, strips, n);
        b.weights += (size_t)packed->words * DEPTH * BLOCK;
        b.constant += BLOCK;
        b.scale += BLOCK;
    }
}

#endif

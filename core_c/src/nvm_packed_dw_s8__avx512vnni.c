/* SPDX-License-Identifier: Apache-2.0
 *
 * Packed depthwise windows, 64 channels at once: the bytes of four taps are interleaved, so that
 * each int32 of four registers meets the four codes of its own channel. Register v then holds channels
 * 16 l + 4 v + 0 .. 3, as the weights lie and as the saturating packs put them back in order.
 */
#include "nvm_isa_avx512vnni.h"

#include <immintrin.h>

#include "nvm_pack.h"

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 16, VECTORS = 4, DW_LANES = VECTORS * LANES };

typedef struct rule {
    __m512 offset, most;
    __m512i zero, low;
    int is_affine, is_float;
} rule;

typedef struct block {
    const nvm_product *product;
    const int8_t *weights;
    const int32_t *constant;
    const float *scale;
    uint32_t channel; /* the first */
    __mmask64 there;  /* which of its channels the layer has */
} block;

/* Four registers of codes, one a tap, to four of quads. */
INLINE void interleave(const uint8_t *at, const uint32_t *taps, __m512i quad[VECTORS])
{
    __m512i a = _mm512_loadu_si512(at + taps[0]), b = _mm512_loadu_si512(at + taps[1]);
    __m512i c = _mm512_loadu_si512(at + taps[2]), d = _mm512_loadu_si512(at + taps[3]);
    __m512i ab = _mm512_unpacklo_epi8(a, b), cd = _mm512_unpacklo_epi8(c, d);
    quad[0] = _mm512_unpacklo_epi16(ab, cd);
    quad[1] = _mm512_unpackhi_epi16(ab, cd);
    ab = _mm512_unpackhi_epi8(a, b);
    cd = _mm512_unpackhi_epi8(c, d);
    quad[2] = _mm512_unpacklo_epi16(ab, cd);
    quad[3] = _mm512_unpackhi_epi16(ab, cd);
}

INLINE void sum_pixels(const block *b, const uint8_t *at, size_t pixels, __m512i sum[][VECTORS])
{
    const nvm_packed *packed = b->product->packed;
    const uint32_t *taps = nvm_pack_at(b->product, packed->segments);
    const int8_t *weights = b->weights;
    for (size_t m = 0; m < pixels; m++) {
        for (size_t v = 0; v < VECTORS; v++) {
            sum[m][v] = _mm512_loadu_si512(b->constant + v * LANES);
        }
    }
    for (uint32_t q = 0; q < packed->words; q++, taps += 4, weights += 4 * DW_LANES) {
        __m512i w[VECTORS], quad[VECTORS];
        for (size_t v = 0; v < VECTORS; v++) {
            w[v] = _mm512_loadu_si512(weights + v * 64);
        }
#pragma GCC unroll 4
        for (size_t m = 0; m < pixels; m++) {
            interleave(at + m * packed->column, taps, quad);
#pragma GCC unroll 4
            for (size_t v = 0; v < VECTORS; v++) {
                sum[m][v] = _mm512_dpbusd_epi32(sum[m][v], quad[v], w[v]);
            }
        }
    }
}

/* FP32 and AFFINE, as in nvm_packed_s8__avx512vnni.c. */
INLINE void store_codes(const block *b, const rule *r, uint32_t pixel, const __m512i sum[VECTORS])
{
    __m512i v[VECTORS];
#pragma GCC unroll 4
    for (size_t k = 0; k < VECTORS; k++) {
        __m512 x = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[k]),
                                 _mm512_loadu_ps(b->scale + k * LANES));
        x = r->is_affine ? _mm512_add_ps(x, r->offset) : x;
        v[k] = _mm512_cvtps_epi32(_mm512_min_ps(x, r->most));
    }
    __m512i low = _mm512_adds_epi16(_mm512_packs_epi32(v[0], v[1]), r->zero);
    __m512i high = _mm512_adds_epi16(_mm512_packs_epi32(v[2], v[3]), r->zero);
    __m512i codes = _mm512_max_epi8(_mm512_packs_epi16(low, high), r->low);
    int8_t *to = b->product->codes + (size_t)pixel * b->product->channels + b->channel;
    if (b->there == UINT64_MAX) { /* loads would wait for a masked store */
        _mm512_storeu_si512(to, codes);
    } else {
        _mm512_mask_storeu_epi8(to, b->there, codes);
    }
}

/* Sums in the order of channels: where they are kept, and for the integer rules. */
static void finish_sums(const block *b, const rule *r, uint32_t pixel, const __m512i *sum)
{
    const nvm_product *product = b->product;
    size_t n = (size_t)__builtin_popcountll(b->there);
    size_t first = (size_t)pixel * product->channels + b->channel;
    int32_t lanes[DW_LANES], sums[DW_LANES];
    memcpy(lanes, sum, sizeof lanes);
    for (size_t c = 0; c < DW_LANES; c++) {
        sums[c] = lanes[c % 16 / 4 * 16 + c / 16 * 4 + c % 4];
    }
    if (product->acc != NULL) {
        memcpy(product->acc + first, sums, n * sizeof *sums);
    }
    if (!r->is_float && product->codes != NULL) {
        NVM_OWN(requant_s32s8)(product->node, sums, b->channel, n, product->codes + first);
    }
}

INLINE void run_pixels(const block *b, const rule *r, uint32_t in, uint32_t out, size_t pixels)
{
    __m512i sum[4][VECTORS];
    sum_pixels(b, b->product->canvas + in + b->channel, pixels, sum);
    for (size_t m = 0; m < pixels; m++) {
        if (r->is_float && b->product->codes != NULL) {
            store_codes(b, r, out + (uint32_t)m, sum[m]);
        }
        if (b->product->acc != NULL || !r->is_float) {
            __m512i copy[VECTORS];
            for (size_t v = 0; v < VECTORS; v++) {
                copy[v] = sum[m][v];
            }
            finish_sums(b, r, out + (uint32_t)m, copy);
        }
    }
}

static void run_block(const block *b, const rule *r, const nvm_strip *strip, size_t n)
{
    uint32_t column = b->product->packed->column;
    for (const nvm_strip *end = strip + n; strip < end; strip++) {
        uint32_t m = 0;
        for (; strip->n - m >= 3; m += 3) {
            run_pixels(b, r, strip->in + m * column, strip->out + m, 3);
        }
        for (; m < strip->n; m++) {
            run_pixels(b, r, strip->in + m * column, strip->out + m, 1);
        }
    }
}

void nvm_product_dw_s8__avx512vnni(const nvm_product *product, const nvm_strip *strips, size_t n)
{
    const nvm_packed *packed = product->packed;
    const nvm_layer *layer = product->node->layer;
    rule r = {.is_affine = layer->requant == NVM_RQ_AFFINE,
              .is_float = layer->requant == NVM_RQ_FP32 || layer->requant == NVM_RQ_AFFINE,
              .most = _mm512_set1_ps((float)(layer->hi - layer->zero_out)),
              .zero = _mm512_set1_epi16(layer->zero_out),
              .low = _mm512_set1_epi8(layer->lo)};
    r.offset = _mm512_set1_ps(r.is_affine ? *(const float *)product->node->shift : 0.0f);
    block b = {.product = product,
               .weights = nvm_pack_at(product, packed->weights),
               .constant = nvm_pack_at(product, packed->constant),
               .scale = nvm_pack_at(product, packed->scale)};
    for (; b.channel < product->channels; b.channel += DW_LANES) {
        uint32_t left = product->channels - b.channel;
        b.there = left < DW_LANES ? (UINT64_C(1) << left) - 1 : UINT64_MAX;
        run_block(&b, &r, strips, n);
        b.weights += (size_t)packed->words * 4 * DW_LANES;
        b.constant += DW_LANES;
        b.scale += DW_LANES;
    }
}

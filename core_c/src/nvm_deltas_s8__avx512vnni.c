/* SPDX-License-Identifier: Apache-2.0
 *
 * Changes of four codes at once against packed weights. dpbusd takes one factor as uint8: the weights,
 * + 128; what that adds is 128 times the sum of all changes, the same for every channel.
 */
#include "nvm_isa_avx512vnni.h"

#include "nvm_group_s8__avx512vnni.h"

typedef struct changes {
    const nvm_deltas *deltas;
    const nvm_span *spans;
} changes;

/* Sums of one pixel in registers over all that changes them; few blocks take turns with a second set, as one
 * product waits for the one before it. */
INLINE void add_target(const group *g, const changes *c, const nvm_target *target, size_t blocks)
{
    enum { SETS = 2 };
    const __m512i flip = _mm512_set1_epi8(-128);
    const nvm_product *product = g->product;
    const int32_t *codes = c->deltas->codes;
    const uint32_t *words = c->deltas->words;
    const size_t step = blocks * 4 * LANES;
    int32_t *acc = product->acc + (size_t)target->out * product->channels + g->channel;
    __m512i sum[NVM_MAX_BLOCKS], other[NVM_MAX_BLOCKS];
#pragma GCC unroll 4
    for (size_t b = 0; b < blocks; b++) {
        sum[b] = _mm512_maskz_loadu_epi32(b == blocks - 1 ? g->tail : (__mmask16)-1, acc + b * LANES);
        other[b] = _mm512_set1_epi32((int32_t)(0u - 128u * (uint32_t)target->sum));
    }
    const nvm_span *span = c->spans + target->span;
    for (const nvm_span *end = span + target->n_spans; span < end; span++) {
        const int8_t *from = g->weights;
        uint32_t k = span->first;
        for (; span->end - k >= SETS; k += SETS) {
            const int8_t *w0 = from + (size_t)(words[k] - span->word) * step;
            const int8_t *w1 = from + (size_t)(words[k + 1] - span->word) * step;
            __m512i x0 = _mm512_set1_epi32(codes[k]), x1 = _mm512_set1_epi32(codes[k + 1]);
#pragma GCC unroll 4
            for (size_t b = 0; b < blocks; b++) {
                __m512i u0 = _mm512_xor_si512(_mm512_loadu_si512(w0 + b * 4 * LANES), flip);
                __m512i u1 = _mm512_xor_si512(_mm512_loadu_si512(w1 + b * 4 * LANES), flip);
                sum[b] = _mm512_dpbusd_epi32(sum[b], u0, x0);
                other[b] = _mm512_dpbusd_epi32(other[b], u1, x1);
            }
        }
        if (k < span->end) {
            const int8_t *w0 = from + (size_t)(words[k] - span->word) * step;
            __m512i x0 = _mm512_set1_epi32(codes[k]);
#pragma GCC unroll 4
            for (size_t b = 0; b < blocks; b++) {
                __m512i u0 = _mm512_xor_si512(_mm512_loadu_si512(w0 + b * 4 * LANES), flip);
                sum[b] = _mm512_dpbusd_epi32(sum[b], u0, x0);
            }
        }
    }
#pragma GCC unroll 4
    for (size_t b = 0; b < blocks; b++) {
        sum[b] = _mm512_add_epi32(sum[b], other[b]);
        _mm512_mask_storeu_epi32(acc + b * LANES, b == blocks - 1 ? g->tail : (__mmask16)-1, sum[b]);
    }
    if (g->is_float) {
        store_codes(g, target->out, sum, 1, blocks);
        return;
    }
    __m512i copy[NVM_MAX_BLOCKS];
#pragma GCC unroll 4
    for (size_t b = 0; b < blocks; b++) {
        copy[b] = sum[b];
    }
    requantise(g, target->out, copy, 1, blocks);
}

#define GROUP(blocks)                                                                              \
    static void run_group_##blocks(const group *g, const changes *c, const nvm_target *target,     \
                                   size_t n)                                                       \
    {                                                                                              \
        for (const nvm_target *end = target + n; target < end; target++) {                         \
            add_target(g, c, target, blocks);                                                      \
        }                                                                                          \
    }
GROUP(1)
GROUP(2)
GROUP(3)
GROUP(4)

void nvm_deltas_s8__avx512vnni(const nvm_product *product, const nvm_deltas *deltas,
                               const nvm_span *spans, const nvm_target *targets, size_t n)
{
    static void (*const run[])(const group *, const changes *, const nvm_target *, size_t) = {
        NULL, run_group_1, run_group_2, run_group_3, run_group_4};
    uint32_t all = product->packed->blocks;
    changes c = {deltas, spans};
    group g = first_group(product);
    for (uint32_t block = 0, blocks; block < all; block += blocks) {
        blocks = enter_group(&g, block);
        run[blocks](&g, &c, targets, n);
        leave_group(&g, blocks);
    }
}

int32_t nvm_compare_s8__avx512vnni(nvm_deltas *deltas, const int8_t *old, const int8_t *now, size_t n,
                                   uint32_t word)
{
    const __m512i ones = _mm512_set1_epi8(1);
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i sum = _mm512_setzero_si512();
    for (size_t i = 0; i < n; i += 64) {
        __mmask64 there = n - i < 64 ? (UINT64_C(1) << (n - i)) - 1 : UINT64_MAX;
        __m512i from = _mm512_maskz_loadu_epi8(there, old + i), to = _mm512_maskz_loadu_epi8(there, now + i);
        __m512i at = _mm512_add_epi32(lanes, _mm512_set1_epi32((int32_t)(word + i / 4)));
        for (__mmask16 differ; (differ = _mm512_cmpneq_epi32_mask(from, to)) != 0;) {
            __m512i step = _mm512_subs_epi8(to, from);
            from = _mm512_add_epi8(from, step);
            sum = _mm512_dpbusd_epi32(sum, ones, step);
            _mm512_storeu_si512(deltas->codes + deltas->n, _mm512_maskz_compress_epi32(differ, step));
            _mm512_storeu_si512(deltas->words + deltas->n, _mm512_maskz_compress_epi32(differ, at));
            deltas->n += (size_t)__builtin_popcount(differ);
        }
    }
    return _mm512_reduce_add_epi32(sum);
}

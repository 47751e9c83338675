/* SPDX-License-Identifier: Apache-2.0
 *
 * Changes of four codes at once against packed weights: sdot takes both as signed, so that nothing is left to
 * be subtracted. Two blocks of channels go together where there are as many.
 */
#include "nvm_isa_dotprod.h"

#include "nvm_packed__neon.h"

enum { VECTORS = 4, LANES = 16, WORD = 4 * LANES };

typedef struct changes {
    const nvm_deltas *deltas;
    const nvm_span *spans;
} changes;

/* The sums of an output pixel's channels of a block; those that there are. */
INLINE void load_sums(const block *b, const int32_t *acc, int32x4_t sum[VECTORS])
{
    int32_t part[LANES] = {0};
    if (b->channels != LANES) {
        memcpy(part, acc, b->channels * sizeof *acc);
        acc = part;
    }
#pragma GCC unroll 4
    for (size_t v = 0; v < VECTORS; v++) {
        sum[v] = vld1q_s32(acc + 4 * v);
    }
}

/* The same back, and the codes that they make. */
INLINE void store_sums(const block *b, size_t out, int32_t *acc, const int32x4_t sum[VECTORS])
{
    int32_t part[LANES];
    int32_t *to = b->channels == LANES ? acc : part;
#pragma GCC unroll 4
    for (size_t v = 0; v < VECTORS; v++) {
        vst1q_s32(to + 4 * v, sum[v]);
    }
    if (to == part) {
        memcpy(acc, part, b->channels * sizeof *acc);
    }
    finish_pixels(b, out, sum, 1, VECTORS);
}

INLINE void add_target(const block b[2], const changes *c, const nvm_target *target, int32_t *sums,
                       size_t blocks)
{
    const int32_t *codes = c->deltas->codes;
    const uint32_t *words = c->deltas->words;
    int32_t *acc = sums + (size_t)target->out * b->product->channels + b->channel;
    int32x4_t sum[2][VECTORS];
#pragma GCC unroll 2
    for (size_t k = 0; k < blocks; k++) {
        load_sums(&b[k], acc + k * LANES, sum[k]);
    }
    const nvm_span *span = c->spans + target->span;
    for (const nvm_span *end = span + target->n_spans; span < end; span++) {
        for (uint32_t i = span->first; i < span->end; i++) {
            int8x16_t x = vreinterpretq_s8_s32(vld1q_dup_s32(codes + i));
            size_t word = (size_t)(words[i] - span->word) * WORD;
#pragma GCC unroll 2
            for (size_t k = 0; k < blocks; k++) {
                int8x16x4_t w = vld1q_s8_x4(b[k].weights + word);
#pragma GCC unroll 4
                for (size_t v = 0; v < VECTORS; v++) {
                    sum[k][v] = vdotq_s32(sum[k][v], w.val[v], x);
                }
            }
        }
    }
#pragma GCC unroll 2
    for (size_t k = 0; k < blocks; k++) {
        store_sums(&b[k], target->out, acc + k * LANES, sum[k]);
    }
}

INLINE void run_blocks(const block b[2], const changes *c, const nvm_target *targets, size_t n,
                       int32_t *sums, size_t blocks)
{
    for (const nvm_target *target = targets; target < targets + n; target++) {
        add_target(b, c, target, sums, blocks);
    }
}

void nvm_deltas_s8__dotprod(const nvm_product *product, const nvm_deltas *deltas,
                            const nvm_span *spans, const nvm_target *targets, size_t n)
{
    const nvm_packed *packed = product->packed;
    size_t words = (size_t)packed->n_segments * packed->words;
    const changes c = {deltas, spans};
    nvm_product codes = *product; /* sums are stored here */
    codes.acc = NULL;
    block b[2] = {first_block(&codes)};
    for (int more = 1; more;) {
        b[1] = b[0];
        if (next_block(&b[1], words)) {
            run_blocks(b, &c, targets, n, product->acc, 2);
            b[0] = b[1];
        } else {
            run_blocks(b, &c, targets, n, product->acc, 1);
        }
        more = next_block(&b[0], words);
    }
}

/* 16 codes, or fewer: the changes of their words, until none is left; their sum. */
INLINE int32_t compare_words(nvm_deltas *deltas, int8x16_t from, int8x16_t to, uint32_t word)
{
    int32_t sum = 0;
    while (vmaxvq_u8(vreinterpretq_u8_s8(veorq_s8(from, to))) != 0) {
        int8x16_t step = vqsubq_s8(to, from);
        int32_t four[4];
        from = vaddq_s8(from, step);
        sum += vaddlvq_s8(step);
        vst1q_s32(four, vreinterpretq_s32_s8(step));
#pragma GCC unroll 4
        for (uint32_t k = 0; k < 4; k++) { /* stored always, kept where it is a change */
            deltas->codes[deltas->n] = four[k];
            deltas->words[deltas->n] = word + k;
            deltas->n += four[k] != 0;
        }
    }
    return sum;
}

int32_t nvm_compare_s8__dotprod(nvm_deltas *deltas, const int8_t *old, const int8_t *now, size_t n,
                             uint32_t word)
{
    int32_t sum = 0;
    size_t i = 0;
    for (; n - i >= 16; i += 16) {
        sum += compare_words(deltas, vld1q_s8(old + i), vld1q_s8(now + i), word + (uint32_t)(i / 4));
    }
    if (i < n) {
        int8_t from[16] = {0}, to[16] = {0};
        memcpy(from, old + i, n - i);
        memcpy(to, now + i, n - i);
        sum += compare_words(deltas, vld1q_s8(from), vld1q_s8(to), word + (uint32_t)(i / 4));
    }
    return sum;
}

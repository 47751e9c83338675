/* SPDX-License-Identifier: Apache-2.0
 *
 * The sigma-delta neuron: 64 codes are compared at once, and the events of eight packed together.
 */
#include "nvm_isa_avx512vnni.h"

#include <immintrin.h>

#include "nvm_internal.h"

#define MANY 12 /* of 64 */

/* {index, delta} of the eight codes from `index` on. */
static inline __m512i eight_events(const int8_t *wanted, const int8_t *codes, size_t index)
{
    const __m512i lanes = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
    __m512i now = _mm512_cvtepi8_epi64(_mm_loadl_epi64((const __m128i *)wanted));
    __m512i before = _mm512_cvtepi8_epi64(_mm_loadl_epi64((const __m128i *)codes));
    __m512i delta = _mm512_slli_epi64(_mm512_sub_epi64(now, before), 32);
    return _mm512_add_epi64(delta, _mm512_add_epi64(lanes, _mm512_set1_epi64((int64_t)index)));
}

/* The events of those of 64 codes that differ; stores eight at a time, of which all fit: an event
 * never stands behind the place of its neuron. */
static inline uint32_t send_block(nvm_event *events, uint32_t sent, uint64_t differ, size_t index,
                                  const int8_t *wanted, const int8_t *codes)
{
    if (__builtin_popcountll(differ) > MANY) { /* no branch to mispredict */
        for (uint32_t at = 0; at < 64; at += 8) {
            __mmask8 of_eight = (__mmask8)(differ >> at);
            _mm512_storeu_si512(
                events + sent, _mm512_maskz_compress_epi64(
                                   of_eight, eight_events(wanted + at, codes + at, index + at)));
            sent += (uint32_t)__builtin_popcount(of_eight);
        }
        return sent;
    }
    while (differ != 0) {
        uint32_t at = (uint32_t)__builtin_ctzll(differ) & ~7u;
        __mmask8 of_eight = (__mmask8)(differ >> at);
        __m512i packed =
            _mm512_maskz_compress_epi64(of_eight, eight_events(wanted + at, codes + at, index + at));
        _mm512_storeu_si512(events + sent, packed);
        sent += (uint32_t)__builtin_popcount(of_eight);
        differ &= ~(UINT64_C(255) << at);
    }
    return sent;
}

/* The same of fewer than 64 codes: behind the last neuron nothing is stored. */
static uint32_t send_rest(nvm_event *events, uint32_t sent, size_t index, const int8_t *wanted,
                          int8_t *codes, size_t n)
{
    int8_t now[64], before[64];
    __mmask64 all = ((__mmask64)1 << n) - 1;
    __m512i to = _mm512_maskz_loadu_epi8(all, wanted), from = _mm512_maskz_loadu_epi8(all, codes);
    uint64_t differ = _mm512_cmpneq_epi8_mask(to, from);
    if (differ == 0) {
        return sent;
    }
    _mm512_storeu_si512(now, to);
    _mm512_storeu_si512(before, from);
    _mm512_mask_storeu_epi8(codes, all, to);
    while (differ != 0) {
        uint32_t at = (uint32_t)__builtin_ctzll(differ) & ~7u;
        __mmask8 of_eight = (__mmask8)(differ >> at);
        uint32_t count = (uint32_t)__builtin_popcount(of_eight);
        __m512i packed =
            _mm512_maskz_compress_epi64(of_eight, eight_events(now + at, before + at, index + at));
        _mm512_mask_storeu_epi64(events + sent, (__mmask8)((1u << count) - 1), packed);
        sent += count;
        differ &= ~(UINT64_C(255) << at);
    }
    return sent;
}

void NVM_OWN(neuron_sd_s8)(nvm_node *node, size_t first, const int8_t *wanted, size_t n)
{
    int8_t *codes = (int8_t *)node->codes + first;
    uint32_t sent = node->n_events;
    size_t i = 0;
    if (node->unit || node->quiet) {
        nvm_neuron_sd_s8__scalar(node, first, wanted, n);
        return;
    }
    for (; n - i >= 64; i += 64) {
        __m512i to = _mm512_loadu_si512(wanted + i), from = _mm512_loadu_si512(codes + i);
        uint64_t differ = _mm512_cmpneq_epi8_mask(to, from);
        if (differ != 0) {
            sent = send_block(node->events, sent, differ, first + i, wanted + i, codes + i);
            _mm512_storeu_si512(codes + i, to);
        }
    }
    if (i < n) {
        sent = send_rest(node->events, sent, first + i, wanted + i, codes + i, n - i);
    }
    node->n_events = sent;
}

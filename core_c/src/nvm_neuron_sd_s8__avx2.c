/* SPDX-License-Identifier: Apache-2.0
 *
 * The sigma-delta neuron: 32 codes are compared at once, and the events of four packed together.
 */
#include "nvm_isa_avx2.h"

#include <immintrin.h>

#include "nvm_internal.h"

/* Of every set of four events those that are in it, to the front: halves of events. */
#define PLACE(a, b, c, d) {2 * (a), 2 * (a) + 1, 2 * (b), 2 * (b) + 1, 2 * (c), 2 * (c) + 1, 2 * (d), 2 * (d) + 1}
static const int32_t to_front[16][8] = {
    PLACE(0, 0, 0, 0), PLACE(0, 0, 0, 0), PLACE(1, 0, 0, 0), PLACE(0, 1, 0, 0),
    PLACE(2, 0, 0, 0), PLACE(0, 2, 0, 0), PLACE(1, 2, 0, 0), PLACE(0, 1, 2, 0),
    PLACE(3, 0, 0, 0), PLACE(0, 3, 0, 0), PLACE(1, 3, 0, 0), PLACE(0, 1, 3, 0),
    PLACE(2, 3, 0, 0), PLACE(0, 2, 3, 0), PLACE(1, 2, 3, 0), PLACE(0, 1, 2, 3),
};

static inline __m256i four_codes(const int8_t *codes)
{
    int32_t bytes;
    memcpy(&bytes, codes, 4);
    return _mm256_cvtepi8_epi64(_mm_cvtsi32_si128(bytes));
}

/* The events of those of 32 codes that differ; stores four at a time, of which all fit: an event
 * never stands behind the place of its neuron. */
static inline uint32_t send_block(nvm_event *events, uint32_t sent, uint32_t differ, size_t index,
                                  const int8_t *wanted, const int8_t *codes)
{
    const __m256i lanes = _mm256_setr_epi64x(0, 1, 2, 3);
    while (differ != 0) {
        uint32_t at = (uint32_t)__builtin_ctz(differ) & ~3u, of_four = differ >> at & 15;
        __m256i delta = _mm256_sub_epi64(four_codes(wanted + at), four_codes(codes + at));
        __m256i from = _mm256_add_epi64(lanes, _mm256_set1_epi64x((int64_t)(index + at)));
        __m256i four = _mm256_add_epi64(_mm256_slli_epi64(delta, 32), from);
        __m256i place = _mm256_loadu_si256((const __m256i *)to_front[of_four]);
        _mm256_storeu_si256((__m256i *)(events + sent), _mm256_permutevar8x32_epi32(four, place));
        sent += (uint32_t)__builtin_popcount(of_four);
        differ &= ~(15u << at);
    }
    return sent;
}

void NVM_OWN(neuron_sd_s8)(nvm_node *node, size_t first, const int8_t *wanted, size_t n)
{
    int8_t *codes = (int8_t *)node->codes + first;
    nvm_event *events = node->events;
    uint32_t sent = node->n_events;
    size_t i = 0;
    if (node->unit || node->quiet) {
        nvm_neuron_sd_s8__scalar(node, first, wanted, n);
        return;
    }
    for (; n - i >= 32; i += 32) {
        __m256i to = _mm256_loadu_si256((const __m256i *)(wanted + i));
        __m256i from = _mm256_loadu_si256((const __m256i *)(codes + i));
        uint32_t differ = ~(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(to, from));
        if (differ != 0) {
            sent = send_block(events, sent, differ, first + i, wanted + i, codes + i);
            _mm256_storeu_si256((__m256i *)(codes + i), to);
        }
    }
    for (; i < n; i++) {
        events[sent] = (nvm_event){(uint32_t)(first + i), wanted[i] - codes[i]};
        sent += wanted[i] != codes[i];
        codes[i] = wanted[i];
    }
    node->n_events = sent;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Counts that come in become a list of spikes, 16 at a time and without branches on what they are.
 */
#include "nvm_isa_avx512vnni.h"

#include <immintrin.h>

#include "nvm_spiking_internal.h"

/* Appends those of 16 counts that are not 0; room for 16 entries is there. Returns the new end of the list. */
static inline nvm_spike *append(nvm_spike *end, __m128i counts, size_t first)
{
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i count = _mm512_cvtepu8_epi32(counts);
    __m512i index = _mm512_add_epi32(lanes, _mm512_set1_epi32((int)first));
    __m512i spikes = _mm512_or_si512(_mm512_slli_epi32(index, NVM_COUNT_BITS), count);
    __mmask16 some = _mm512_test_epi32_mask(count, count);
    _mm512_storeu_si512(end, _mm512_maskz_compress_epi32(some, spikes));
    return end + _mm_popcnt_u32(some);
}

void nvm_scan__avx512vnni(nvm_cells *cells, const uint8_t *counts, size_t n)
{
    __m512i sent = _mm512_setzero_si512();
    nvm_spike *end = cells->spikes + cells->n_spikes;
    for (size_t i = 0; i < n; i += 64) {
        __mmask64 inside = n - i >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << (n - i)) - 1;
        __m512i some = _mm512_maskz_loadu_epi8(inside, counts + i);
        if (_mm512_test_epi8_mask(some, some) == 0) {
            continue;
        }
        sent = _mm512_add_epi64(sent, _mm512_sad_epu8(some, _mm512_setzero_si512()));
        end = append(end, _mm512_extracti32x4_epi32(some, 0), i);
        end = append(end, _mm512_extracti32x4_epi32(some, 1), i + 16);
        end = append(end, _mm512_extracti32x4_epi32(some, 2), i + 32);
        end = append(end, _mm512_extracti32x4_epi32(some, 3), i + 48);
    }
    cells->n_spikes = (uint32_t)(end - cells->spikes);
    cells->sent += (uint32_t)_mm512_reduce_add_epi64(sent);
}

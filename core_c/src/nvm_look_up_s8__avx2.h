/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_look_up_s8__avx2.h: 32 codes in a table of 256, by shuffles of 16 entries. A shuffle gives 0 for an
 * index below 0 and the entry of its lowest bits for one beyond 15. So with the entries of step k XORed to
 * those of step k - 1, and the index lowered by 16 from step to step, what is XORed over all steps is the entry
 * of the step in which the index was in 0 .. 15. Codes from 0 on go through the table's upper half, all others,
 * raised by 128, through its lower half; to the other half each is below 0.
 */
#ifndef NVM_LOOK_UP_S8_AVX2_H
#define NVM_LOOK_UP_S8_AVX2_H

#include <immintrin.h>

#define LEAST_SHUFFLED 64u /* codes: fewer take less one by one than the table takes to prepare */

static inline __m256i half(const __m256i *step, __m256i index)
{
    __m256i found = _mm256_setzero_si256();
    for (int k = 0; k < 8; k++) {
        found = _mm256_xor_si256(found, _mm256_shuffle_epi8(step[k], index));
        index = _mm256_subs_epi8(index, _mm256_set1_epi8(16));
    }
    return found;
}

/* wanted[i] = table[codes[i] + 128] */
static void look_up_all(const int8_t *table, const int8_t *codes, size_t n, int8_t *wanted)
{
    size_t i = 0;
    if (n >= LEAST_SHUFFLED) {
        __m256i step[16];
        for (int k = 0; k < 16; k++) {
            __m128i entries = _mm_loadu_si128((const __m128i *)(table + 16 * k));
            if (k % 8 != 0) {
                entries = _mm_xor_si128(entries, _mm_loadu_si128((const __m128i *)(table + 16 * k - 16)));
            }
            step[k] = _mm256_broadcastsi128_si256(entries);
        }
        for (; n - i >= 32; i += 32) {
            __m256i q = _mm256_loadu_si256((const __m256i *)(codes + i));
            __m256i low = half(step, _mm256_xor_si256(q, _mm256_set1_epi8(-128)));
            _mm256_storeu_si256((__m256i *)(wanted + i), _mm256_xor_si256(low, half(step + 8, q)));
        }
    }
    for (; i < n; i++) {
        wanted[i] = table[codes[i] + 128];
    }
}

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * Counts codes that differ, 64 bytes at a time.
 */
#include "nvm_isa_avx512vnni.h"

#include <immintrin.h>

#include "nvm_internal.h"

static inline uint32_t count(__m512i a, __m512i b, int wide)
{
    return wide ? (uint32_t)__builtin_popcount(_mm512_cmpneq_epi16_mask(a, b))
                : (uint32_t)__builtin_popcountll(_mm512_cmpneq_epi8_mask(a, b));
}

uint32_t nvm_count_changes__avx512vnni(const uint8_t *old, const uint8_t *now, size_t n, int wide)
{
    uint32_t changes = 0;
    size_t i = 0;
    for (; n - i >= 64; i += 64) {
        changes += count(_mm512_loadu_si512(old + i), _mm512_loadu_si512(now + i), wide);
    }
    __mmask64 rest = ((__mmask64)1 << (n - i)) - 1;
    return changes + count(_mm512_maskz_loadu_epi8(rest, old + i),
                           _mm512_maskz_loadu_epi8(rest, now + i), wide);
}

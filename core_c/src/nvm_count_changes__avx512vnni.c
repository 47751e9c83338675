/* SPDX-License-Identifier: Apache-2.0
 *
 * Counts codes that differ, 64 bytes at a time; takes new ones.
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

uint32_t nvm_take_codes__avx512vnni(uint8_t *old, uint8_t *codes, const uint8_t *wanted, size_t n, int wide)
{
    uint32_t changes = 0;
    size_t i = 0;
    for (; n - i >= 64; i += 64) {
        __m512i from = _mm512_loadu_si512(codes + i), to = _mm512_loadu_si512(wanted + i);
        changes += count(from, to, wide);
        _mm512_storeu_si512(old + i, from);
        _mm512_storeu_si512(codes + i, to);
    }
    if (i < n) {
        __mmask64 rest = ((__mmask64)1 << (n - i)) - 1;
        __m512i from = _mm512_maskz_loadu_epi8(rest, codes + i);
        __m512i to = _mm512_maskz_loadu_epi8(rest, wanted + i);
        changes += count(from, to, wide);
        _mm512_mask_storeu_epi8(old + i, rest, from);
        _mm512_mask_storeu_epi8(codes + i, rest, to);
    }
    return changes;
}

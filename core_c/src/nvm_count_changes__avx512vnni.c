/* SPDX-License-Identifier: Apache-2.0
 *
 * Counts codes that differ, 64 bytes at a time; takes new ones.
 */
#include "nvm_isa_avx512vnni.h"

#include <immintrin.h>

#include "nvm_internal.h"

static inline uint64_t differing(__m512i a, __m512i b, int wide)
{
    return wide ? _mm512_cmpneq_epi16_mask(a, b) : _mm512_cmpneq_epi8_mask(a, b);
}

/* The last codes go with some before them, which are left out: masked loads would wait for stores that are under
 * way. */
uint32_t nvm_count_changes__avx512vnni(const uint8_t *old, const uint8_t *now, size_t n, int wide)
{
    uint32_t changes = 0;
    size_t i = 0;
    if (n < 64) {
        __mmask64 all = ((__mmask64)1 << n) - 1;
        __m512i from = _mm512_maskz_loadu_epi8(all, old), to = _mm512_maskz_loadu_epi8(all, now);
        return (uint32_t)__builtin_popcountll(differing(from, to, wide));
    }
    for (; n - i >= 64; i += 64) {
        uint64_t bits = differing(_mm512_loadu_si512(old + i), _mm512_loadu_si512(now + i), wide);
        changes += (uint32_t)__builtin_popcountll(bits);
    }
    if (i < n) {
        size_t last = n - 64, again = (i - last) / (wide ? 2 : 1);
        uint64_t bits = differing(_mm512_loadu_si512(old + last), _mm512_loadu_si512(now + last), wide);
        changes += (uint32_t)__builtin_popcountll(bits >> again);
    }
    return changes;
}

/* At least 64 bytes. */
static inline uint32_t take_many(uint8_t *old, uint8_t *codes, const uint8_t *wanted, size_t n, int wide)
{
    size_t i = 0, last = n - 64;
    __m512i end_from = _mm512_loadu_si512(codes + last), end_to = _mm512_loadu_si512(wanted + last);
    uint64_t end_bits = differing(end_from, end_to, wide);
    uint32_t changes = 0;
    for (; n - i >= 64; i += 64) {
        __m512i from = _mm512_loadu_si512(codes + i), to = _mm512_loadu_si512(wanted + i);
        changes += (uint32_t)__builtin_popcountll(differing(from, to, wide));
        _mm512_storeu_si512(old + i, from);
        _mm512_storeu_si512(codes + i, to);
    }
    if (i < n) {
        changes += (uint32_t)__builtin_popcountll(end_bits >> ((i - last) / (wide ? 2 : 1)));
        _mm512_storeu_si512(old + last, end_from);
        _mm512_storeu_si512(codes + last, end_to);
    }
    return changes;
}

static inline uint32_t take_half(uint8_t *old, uint8_t *codes, const uint8_t *wanted, int wide)
{
    __m256i from = _mm256_loadu_si256((const void *)codes), to = _mm256_loadu_si256((const void *)wanted);
    uint32_t bits = wide ? _mm256_cmpneq_epi16_mask(from, to) : _mm256_cmpneq_epi8_mask(from, to);
    _mm256_storeu_si256((void *)old, from);
    _mm256_storeu_si256((void *)codes, to);
    return (uint32_t)__builtin_popcount(bits);
}

uint32_t nvm_take_codes__avx512vnni(uint8_t *old, uint8_t *codes, const uint8_t *wanted, size_t n, int wide)
{
    if (n >= 64) {
        return take_many(old, codes, wanted, n, wide);
    }
    if (n == 32) {
        return take_half(old, codes, wanted, wide);
    }
    __mmask64 all = ((__mmask64)1 << n) - 1;
    __m512i from = _mm512_maskz_loadu_epi8(all, codes), to = _mm512_maskz_loadu_epi8(all, wanted);
    _mm512_mask_storeu_epi8(old, all, from);
    _mm512_mask_storeu_epi8(codes, all, to);
    return (uint32_t)__builtin_popcountll(differing(from, to, wide));
}

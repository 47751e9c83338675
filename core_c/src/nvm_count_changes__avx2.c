/* SPDX-License-Identifier: Apache-2.0
 *
 * Counts codes that differ, 32 bytes at a time; the last ones with some before them, which are left out. Takes
 * new ones.
 */
#include "nvm_isa_avx2.h"

#include <immintrin.h>

#include "nvm_internal.h"

/* One bit for every byte of a code that is the same. */
static inline uint32_t same_bytes(const uint8_t *old, const uint8_t *now, int wide)
{
    __m256i a = _mm256_loadu_si256((const __m256i *)old);
    __m256i b = _mm256_loadu_si256((const __m256i *)now);
    __m256i equal = wide ? _mm256_cmpeq_epi16(a, b) : _mm256_cmpeq_epi8(a, b);
    return (uint32_t)_mm256_movemask_epi8(equal);
}

uint32_t nvm_count_changes__avx2(const uint8_t *old, const uint8_t *now, size_t n, int wide)
{
    uint32_t same = 0; /* bytes */
    size_t i = 0;
    if (n < 32) {
        return nvm_count_changes__scalar(old, now, n, wide);
    }
    for (; n - i >= 32; i += 32) {
        same += (uint32_t)__builtin_popcount(same_bytes(old + i, now + i, wide));
    }
    if (i < n) {
        uint32_t bits = same_bytes(old + n - 32, now + n - 32, wide);
        same += (uint32_t)__builtin_popcount(bits >> (32 - (n - i)));
    }
    return ((uint32_t)n - same) / (wide ? 2 : 1);
}

uint32_t nvm_take_codes__avx2(uint8_t *old, uint8_t *codes, const uint8_t *wanted, size_t n, int wide)
{
    uint32_t same = 0; /* bytes */
    size_t i = 0;
    for (; n - i >= 32; i += 32) {
        __m256i from = _mm256_loadu_si256((const __m256i *)(codes + i));
        __m256i to = _mm256_loadu_si256((const __m256i *)(wanted + i));
        same += (uint32_t)__builtin_popcount(same_bytes(codes + i, wanted + i, wide));
        _mm256_storeu_si256((__m256i *)(old + i), from);
        _mm256_storeu_si256((__m256i *)(codes + i), to);
    }
    uint32_t changes = ((uint32_t)i - same) / (wide ? 2 : 1);
    return i == n ? changes : changes + nvm_take_codes__scalar(old + i, codes + i, wanted + i, n - i, wide);
}

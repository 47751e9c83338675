/* SPDX-License-Identifier: Apache-2.0
 *
 * Counts codes that differ, 32 bytes at a time.
 */
#include "nvm_isa_avx2.h"

#include <immintrin.h>

#include "nvm_internal.h"

uint32_t nvm_count_changes__avx2(const uint8_t *old, const uint8_t *now, size_t n, int wide)
{
    uint32_t same = 0; /* bytes */
    size_t i = 0;
    for (; n - i >= 32; i += 32) {
        __m256i a = _mm256_loadu_si256((const __m256i *)(old + i));
        __m256i b = _mm256_loadu_si256((const __m256i *)(now + i));
        __m256i equal = wide ? _mm256_cmpeq_epi16(a, b) : _mm256_cmpeq_epi8(a, b);
        same += (uint32_t)__builtin_popcount((uint32_t)_mm256_movemask_epi8(equal));
    }
    uint32_t changes = ((uint32_t)i - same) / (wide ? 2 : 1);
    return changes + nvm_count_changes__scalar(old + i, now + i, n - i, wide);
}

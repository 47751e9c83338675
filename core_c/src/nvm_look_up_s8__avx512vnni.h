/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_look_up_s8__avx512vnni.h: 64 codes in a table of 256, by two permutations of 128 entries each where the
 * machine has them (VBMI, which is not part of this set), else by shuffles as with AVX2.
 */
#ifndef NVM_LOOK_UP_S8_AVX512VNNI_H
#define NVM_LOOK_UP_S8_AVX512VNNI_H

#define look_up_all look_up_shuffled
#include "nvm_look_up_s8__avx2.h"
#undef look_up_all

static __attribute__((target("avx512vbmi"))) void look_up_permuted(const int8_t *table, const int8_t *codes,
                                                                   size_t n, int8_t *wanted)
{
    const __m512i top = _mm512_set1_epi8(-128);
    __m512i t0 = _mm512_loadu_si512(table), t1 = _mm512_loadu_si512(table + 64);
    __m512i t2 = _mm512_loadu_si512(table + 128), t3 = _mm512_loadu_si512(table + 192);
    for (size_t i = 0; i < n; i += 64) {
        __mmask64 some = n - i < 64 ? ((__mmask64)1 << (n - i)) - 1 : ~(__mmask64)0;
        __m512i q = _mm512_maskz_loadu_epi8(some, codes + i);
        __m512i low = _mm512_permutex2var_epi8(t0, q, t1), high = _mm512_permutex2var_epi8(t2, q, t3);
        __mmask64 is_low = _mm512_test_epi8_mask(q, top); /* codes below 0; an index counts 7 bits */
        _mm512_mask_storeu_epi8(wanted + i, some, _mm512_mask_blend_epi8(is_low, high, low));
    }
}

/* wanted[i] = table[codes[i] + 128] */
static void look_up_all(const int8_t *table, const int8_t *codes, size_t n, int8_t *wanted)
{
    if (__builtin_cpu_supports("avx512vbmi")) {
        look_up_permuted(table, codes, n, wanted);
    } else {
        look_up_shuffled(table, codes, n, wanted);
    }
}

#endif

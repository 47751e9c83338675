/* SPDX-License-Identifier: Apache-2.0
 *
 * Which pixels differ, 64 bytes at a time. Pixels have 1 to 4, 8, 16, 32 or a multiple of 64 bytes.
 */
#include "nvm_isa_avx512vnni.h"

#include <immintrin.h>

#include "nvm_internal.h"

/* One bit for every 8 bytes that differ. */
static inline uint32_t words_of(const uint8_t *old, const uint8_t *now)
{
    return _mm512_cmpneq_epi64_mask(_mm512_loadu_si512(old), _mm512_loadu_si512(now));
}

static inline uint32_t halves_of(uint32_t bits)
{
    uint32_t pairs = bits | bits >> 1;
    return (pairs & 1) | (pairs >> 1 & 2) | (pairs >> 2 & 4) | (pairs >> 3 & 8);
}

/* Bit k: whether pixel k of sixteen differs, of which `n` are there. */
static inline uint32_t sixteen_pixels(const uint8_t *old, const uint8_t *now, size_t bytes, uint32_t n)
{
    uint32_t bits = 0;
    if (bytes == 16 && n == 16) {
        for (uint32_t k = 0; k < 4; k++) {
            bits |= halves_of(words_of(old + 64 * k, now + 64 * k)) << (4 * k);
        }
        return bits;
    }
    for (uint32_t k = 0; k < n; k++, old += bytes, now += bytes) {
        uint32_t differs = 0;
        if (bytes == 16) {
            __m128i a = _mm_loadu_si128((const void *)old), b = _mm_loadu_si128((const void *)now);
            differs = _mm_cmpneq_epi64_mask(a, b);
        } else if (bytes == 32) {
            __m256i a = _mm256_loadu_si256((const void *)old), b = _mm256_loadu_si256((const void *)now);
            differs = _mm256_cmpneq_epi64_mask(a, b);
        } else {
            for (size_t i = 0; i < bytes; i += 64) {
                differs |= words_of(old + i, now + i);
            }
        }
        bits |= (uint32_t)(differs != 0) << k;
    }
    return bits;
}

/* Small ones, up to 64 bytes of them at a time: those that differ are mostly few. */
static size_t small_pixels(const uint8_t *old, const uint8_t *now, uint32_t first, uint32_t end, size_t bytes,
                           uint32_t *list)
{
    static const uint64_t firsts[] = {0, UINT64_MAX, 0x5555555555555555u, 0x1249249249249249u,
                                      0x1111111111111111u, 0, 0, 0, 0x0101010101010101u};
    uint32_t each = (uint32_t)(64 / bytes);
    size_t found = 0;
    for (uint32_t p = first, n; p < end; p += n) {
        n = end - p < each ? end - p : each;
        __mmask64 all = UINT64_MAX >> (64 - n * bytes);
        __m512i a = _mm512_maskz_loadu_epi8(all, old + p * bytes);
        __m512i b = _mm512_maskz_loadu_epi8(all, now + p * bytes);
        uint64_t differs = _mm512_cmpneq_epi8_mask(a, b), any = differs;
        for (size_t k = 1; k < bytes && differs != 0; k++) {
            any |= differs >> k;
        }
        uint64_t bits = _pext_u64(any, firsts[bytes]);
        for (; bits != 0; bits &= bits - 1, found++) {
            if (list != NULL) {
                list[found] = p + (uint32_t)__builtin_ctzll(bits);
            }
        }
    }
    return found;
}

size_t nvm_differing_pixels__avx512vnni(const uint8_t *old, const uint8_t *now, uint32_t first, uint32_t end,
                                        size_t bytes, uint32_t *list)
{
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    size_t found = 0;
    if (bytes <= 8) {
        return small_pixels(old, now, first, end, bytes, list);
    }
    old += first * bytes;
    now += first * bytes;
    for (uint32_t p = first, n; p < end; p += n, old += n * bytes, now += n * bytes) {
        n = end - p < 16 ? end - p : 16;
        uint32_t bits = sixteen_pixels(old, now, bytes, n), count = (uint32_t)__builtin_popcount(bits);
        if (list != NULL) {
            __m512i at = _mm512_add_epi32(lanes, _mm512_set1_epi32((int32_t)p));
            _mm512_mask_storeu_epi32(list + found, (__mmask16)((1u << count) - 1),
                                     _mm512_maskz_compress_epi32((__mmask16)bits, at));
        }
        found += count;
    }
    return found;
}

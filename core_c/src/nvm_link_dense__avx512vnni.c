/* SPDX-License-Identifier: Apache-2.0
 *
 * DENSE, registers of 64 bytes.
 */
#include "nvm_isa_avx512vnni.h"

#include <immintrin.h>

#include "nvm_spiking_internal.h"

#define NVM_BYTES          64u
#define NVM_TILE           8u
#define NVM_LINK_DENSE_S8  nvm_link_dense_s8__avx512vnni
#define NVM_LINK_DENSE_S16 nvm_link_dense_s16__avx512vnni

typedef __m512i vector;

#define load(at)                 _mm512_loadu_si512(at)
#define zero()                   _mm512_setzero_si512()
#define set_s16(x)               _mm512_set1_epi16(x)
#define set_s32(x)               _mm512_set1_epi32(x)
#define add_s16(a, b)            _mm512_add_epi16(a, b)
#define add_s32(a, b)            _mm512_add_epi32(a, b)
#define multiply_u8s8(a, b)      _mm512_maddubs_epi16(a, b)
#define multiply_s16(a, b)       _mm512_madd_epi16(a, b)
#define interleave_low_s8(a, b)  _mm512_unpacklo_epi8(a, b)
#define interleave_high_s8(a, b) _mm512_unpackhi_epi8(a, b)
#define interleave_low_s16(a, b) _mm512_unpacklo_epi16(a, b)
#define interleave_high_s16(a, b) _mm512_unpackhi_epi16(a, b)

static inline void add_16(int32_t *drive, __m512i x)
{
    _mm512_storeu_si512(drive, _mm512_add_epi32(_mm512_loadu_si512(drive), x));
}

/* low: outputs 0 .. 7 of every 16, high: the others. */
static inline void add_to_drive_s16(int32_t *drive, __m512i low, __m512i high)
{
    const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i last = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    __m512i a = _mm512_permutex2var_epi64(low, first, high);
    __m512i b = _mm512_permutex2var_epi64(low, last, high);
    add_16(drive, _mm512_cvtepi16_epi32(_mm512_castsi512_si256(a)));
    add_16(drive + 16, _mm512_cvtepi16_epi32(_mm512_extracti64x4_epi64(a, 1)));
    add_16(drive + 32, _mm512_cvtepi16_epi32(_mm512_castsi512_si256(b)));
    add_16(drive + 48, _mm512_cvtepi16_epi32(_mm512_extracti64x4_epi64(b, 1)));
}

/* low: outputs 0 .. 3 of every 8, high: the others. */
static inline void add_to_drive_s32(int32_t *drive, __m512i low, __m512i high)
{
    const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i last = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    add_16(drive, _mm512_permutex2var_epi64(low, first, high));
    add_16(drive + 16, _mm512_permutex2var_epi64(low, last, high));
}

/* One row alone; rows and the drive have room for whole registers. */
static inline void add_row_s8(int32_t *drive, const int8_t *row, size_t n, uint32_t count)
{
    const __m512i times = _mm512_set1_epi32((int)count);
    for (size_t i = 0; i < n; i += 16) {
        __m512i w = _mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)(row + i)));
        add_16(drive + i, count == 1 ? w : _mm512_mullo_epi32(w, times));
    }
}

#include "nvm_link_dense_pairs.h"

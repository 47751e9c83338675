/* SPDX-License-Identifier: Apache-2.0
 *
 * DENSE, registers of 32 bytes.
 */
#include "nvm_isa_avx2.h"

#include <immintrin.h>

#include "nvm_spiking_internal.h"

#define NVM_BYTES          32u
#define NVM_TILE           4u
#define NVM_LINK_DENSE_S8  nvm_link_dense_s8__avx2
#define NVM_LINK_DENSE_S16 nvm_link_dense_s16__avx2

typedef __m256i vector;

#define load(at)                 _mm256_loadu_si256((const void *)(at))
#define zero()                   _mm256_setzero_si256()
#define set_s16(x)               _mm256_set1_epi16(x)
#define set_s32(x)               _mm256_set1_epi32(x)
#define add_s16(a, b)            _mm256_add_epi16(a, b)
#define add_s32(a, b)            _mm256_add_epi32(a, b)
#define multiply_u8s8(a, b)      _mm256_maddubs_epi16(a, b)
#define multiply_s16(a, b)       _mm256_madd_epi16(a, b)
#define interleave_low_s8(a, b)  _mm256_unpacklo_epi8(a, b)
#define interleave_high_s8(a, b) _mm256_unpackhi_epi8(a, b)
#define interleave_low_s16(a, b) _mm256_unpacklo_epi16(a, b)
#define interleave_high_s16(a, b) _mm256_unpackhi_epi16(a, b)

static inline void add_8(int32_t *drive, __m256i x)
{
    _mm256_storeu_si256((void *)drive, _mm256_add_epi32(_mm256_loadu_si256((const void *)drive), x));
}

/* low: outputs 0 .. 7 of every 16, high: the others. */
static inline void add_to_drive_s16(int32_t *drive, __m256i low, __m256i high)
{
    add_8(drive, _mm256_cvtepi16_epi32(_mm256_castsi256_si128(low)));
    add_8(drive + 8, _mm256_cvtepi16_epi32(_mm256_castsi256_si128(high)));
    add_8(drive + 16, _mm256_cvtepi16_epi32(_mm256_extracti128_si256(low, 1)));
    add_8(drive + 24, _mm256_cvtepi16_epi32(_mm256_extracti128_si256(high, 1)));
}

/* low: outputs 0 .. 3 of every 8, high: the others. */
static inline void add_to_drive_s32(int32_t *drive, __m256i low, __m256i high)
{
    add_8(drive, _mm256_permute2x128_si256(low, high, 0x20));
    add_8(drive + 8, _mm256_permute2x128_si256(low, high, 0x31));
}

/* One row alone; rows and the drive have room for whole registers. */
static inline void add_row_s8(int32_t *drive, const int8_t *row, size_t n, uint32_t count)
{
    const __m256i times = _mm256_set1_epi32((int)count);
    for (size_t i = 0; i < n; i += 8) {
        __m256i w = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)(row + i)));
        add_8(drive + i, count == 1 ? w : _mm256_mullo_epi32(w, times));
    }
}

#include "nvm_link_dense_pairs.h"

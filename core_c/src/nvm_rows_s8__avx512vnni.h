/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_rows_s8__avx512vnni.h: sums of int8 weight rows, four rows or one row at a time.
 *
 * One: weights widen to 32 bits, and the pair product of VNNI multiplies their low halves (int16) by
 * x and their high halves by 0; |x| <= 255. Four: bytes of four rows are brought together column by
 * column, and VNNI multiplies them by four bytes of x. It takes one factor as uint8: the x of codes
 * by adding 128, or the weights of events, whose x have a sign; what that adds is taken off again.
 */
#ifndef NVM_ROWS_S8_AVX512VNNI_H
#define NVM_ROWS_S8_AVX512VNNI_H

#include <immintrin.h>

#define NVM_FOUR_FROM 8u /* rows, from which on four at a time are quicker */

/* Sums of up to 64 columns: vectors of 16, in order. */
typedef struct nvm_tile {
    __m512i sum[4];
} nvm_tile;

/* The masks of up to 64 columns, in vectors of 16 and as bytes. */
typedef struct nvm_columns {
    __mmask64 all;
    __mmask16 of[4];
} nvm_columns;

NVM_INLINE nvm_columns nvm_first_columns(size_t width)
{
    __mmask64 all = width >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << width) - 1;
    return (nvm_columns){all, {(__mmask16)all, (__mmask16)(all >> 16), (__mmask16)(all >> 32),
                               (__mmask16)(all >> 48)}};
}

/* x in every even half, 0 in the odd ones. */
NVM_INLINE __m512i nvm_one_factor(int32_t x)
{
    return _mm512_set1_epi32(x & 0xFFFF);
}

/* One row; `vectors` of 16 columns are looked at. */
NVM_INLINE void nvm_add_row(nvm_tile *t, const int8_t *row, int32_t x, const nvm_columns *columns,
                            int vectors, int is_whole)
{
    __m512i factor = nvm_one_factor(x);
    for (int v = 0; v < vectors; v++) {
        __m128i w = is_whole ? _mm_loadu_si128((const __m128i *)(row + 16 * v))
                             : _mm_maskz_loadu_epi8(columns->of[v], row + 16 * v);
        t->sum[v] = _mm512_dpwssd_epi32(t->sum[v], _mm512_cvtepi8_epi32(w), factor);
    }
}

/* Bytes of four rows, column by column: vector v of `quad` holds columns 4v .. 4v + 3 of every 16. */
NVM_INLINE void nvm_mix_rows(__m512i quad[4], const int8_t *const row[4], __mmask64 all,
                             int is_whole)
{
    __m512i r[4];
    for (int k = 0; k < 4; k++) {
        r[k] = is_whole ? _mm512_loadu_si512(row[k]) : _mm512_maskz_loadu_epi8(all, row[k]);
    }
    __m512i a = _mm512_unpacklo_epi8(r[0], r[1]), b = _mm512_unpacklo_epi8(r[2], r[3]);
    __m512i c = _mm512_unpackhi_epi8(r[0], r[1]), d = _mm512_unpackhi_epi8(r[2], r[3]);
    quad[0] = _mm512_unpacklo_epi16(a, b);
    quad[1] = _mm512_unpackhi_epi16(a, b);
    quad[2] = _mm512_unpacklo_epi16(c, d);
    quad[3] = _mm512_unpackhi_epi16(c, d);
}

/* Adds sums that stand as nvm_mix_rows leaves them. */
NVM_INLINE void nvm_add_mixed(nvm_tile *t, const __m512i mixed[4])
{
    /* Parts of 16 bytes: column 16 l + 4 v stands in part l of vector v. */
    __m512i a = _mm512_shuffle_i32x4(mixed[0], mixed[1], 0x44);
    __m512i b = _mm512_shuffle_i32x4(mixed[2], mixed[3], 0x44);
    __m512i c = _mm512_shuffle_i32x4(mixed[0], mixed[1], 0xEE);
    __m512i d = _mm512_shuffle_i32x4(mixed[2], mixed[3], 0xEE);
    t->sum[0] = _mm512_add_epi32(t->sum[0], _mm512_shuffle_i32x4(a, b, 0x88));
    t->sum[1] = _mm512_add_epi32(t->sum[1], _mm512_shuffle_i32x4(a, b, 0xDD));
    t->sum[2] = _mm512_add_epi32(t->sum[2], _mm512_shuffle_i32x4(c, d, 0x88));
    t->sum[3] = _mm512_add_epi32(t->sum[3], _mm512_shuffle_i32x4(c, d, 0xDD));
}

/* Narrow tiles: rows in turn to PARTS sums, so that one need not wait for the one before it. */
#define NVM_PARTS 4

NVM_INLINE void nvm_join_parts(nvm_tile part[NVM_PARTS], int vectors)
{
    for (int v = 0; v < vectors; v++) {
        __m512i a = _mm512_add_epi32(part[0].sum[v], part[1].sum[v]);
        part[0].sum[v] = _mm512_add_epi32(a, _mm512_add_epi32(part[2].sum[v], part[3].sum[v]));
    }
}

NVM_INLINE void nvm_empty_parts(nvm_tile part[NVM_PARTS], int vectors)
{
    for (int p = 1; p < NVM_PARTS; p++) {
        for (int v = 0; v < vectors; v++) {
            part[p].sum[v] = _mm512_setzero_si512();
        }
    }
}

/* ---- events: row = index - first, x = delta ------------------------------------------------- */

/* Whether x of four events fit int8; then their bytes, in order. */
NVM_INLINE int nvm_four_deltas(const nvm_event *e, int32_t *bytes)
{
    uint32_t a = (uint32_t)e[0].delta, b = (uint32_t)e[1].delta, c = (uint32_t)e[2].delta,
             d = (uint32_t)e[3].delta;
    *bytes = (int32_t)((a & 255) | (b & 255) << 8 | (c & 255) << 16 | d << 24);
    return ((a + 128) | (b + 128) | (c + 128) | (d + 128)) < 256;
}

/* All events that come in fours and fit int8, the others one by one. */
NVM_INLINE size_t nvm_event_fours(nvm_tile *t, const int8_t *w, size_t stride,
                                  const nvm_event *events, size_t n, uint32_t first,
                                  const nvm_columns *columns, int is_whole)
{
    const __m512i flip = _mm512_set1_epi8(-128);
    __m512i mixed[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(),
                        _mm512_setzero_si512()};
    __m512i added = _mm512_setzero_si512(); /* sum of all x, times 128 for every column */
    size_t k = 0;
    for (; n - k >= 4; k += 4) {
        const nvm_event *e = events + k;
        const int8_t *row[4];
        __m512i quad[4];
        int32_t bytes;
        for (int i = 0; i < 4; i++) {
            row[i] = w + (size_t)(e[i].index - first) * stride;
        }
        if (!nvm_four_deltas(e, &bytes)) {
            for (int i = 0; i < 4; i++) {
                nvm_add_row(t, row[i], e[i].delta, columns, 4, is_whole);
            }
            continue;
        }
        __m512i x = _mm512_set1_epi32(bytes);
        nvm_mix_rows(quad, row, columns->all, is_whole);
        added = _mm512_dpbusd_epi32(added, flip, x);
        for (int v = 0; v < 4; v++) {
            mixed[v] = _mm512_dpbusd_epi32(mixed[v], _mm512_xor_si512(quad[v], flip), x);
        }
    }
    for (int v = 0; v < 4; v++) {
        mixed[v] = _mm512_sub_epi32(mixed[v], added);
    }
    nvm_add_mixed(t, mixed);
    return k;
}

NVM_INLINE void nvm_event_tile_of(int32_t *acc, const int8_t *w, size_t stride,
                                  const nvm_event *events, size_t n, uint32_t first,
                                  const nvm_columns *columns, int vectors, int is_whole)
{
    nvm_tile t[NVM_PARTS];
    size_t k = 0;
    for (int v = 0; v < vectors; v++) {
        t[0].sum[v] = is_whole ? _mm512_loadu_si512(acc + 16 * v)
                            : _mm512_maskz_loadu_epi32(columns->of[v], acc + 16 * v);
    }
    if (vectors == 4 && n >= NVM_FOUR_FROM) {
        k = nvm_event_fours(t, w, stride, events, n, first, columns, is_whole);
    }
    if (vectors <= 2 && n >= NVM_PARTS) {
        nvm_empty_parts(t, vectors);
        for (; n - k >= NVM_PARTS; k += NVM_PARTS) {
            for (size_t p = 0; p < NVM_PARTS; p++) {
                nvm_add_row(&t[p], w + (size_t)(events[k + p].index - first) * stride,
                            events[k + p].delta, columns, vectors, is_whole);
            }
        }
        nvm_join_parts(t, vectors);
    }
    for (; k < n; k++) {
        nvm_add_row(t, w + (size_t)(events[k].index - first) * stride, events[k].delta, columns,
                    vectors, is_whole);
    }
    for (int v = 0; v < vectors; v++) {
        if (is_whole) {
            _mm512_storeu_si512(acc + 16 * v, t[0].sum[v]);
        } else {
            _mm512_mask_storeu_epi32(acc + 16 * v, columns->of[v], t[0].sum[v]);
        }
    }
}

/* ---- codes: consecutive rows, x = code - zero ------------------------------------------------ */

NVM_INLINE size_t nvm_code_fours(nvm_tile *t, const int8_t *w, size_t stride, const int8_t *codes,
                                 size_t n, int32_t zero, const nvm_columns *columns, int is_whole)
{
    __m512i mixed[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(),
                        _mm512_setzero_si512()};
    __m512i off[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(),
                      _mm512_setzero_si512()};
    __m512i lifted = _mm512_set1_epi8((char)(zero + 128));
    size_t k = 0;
    for (; n - k >= 4; k += 4) {
        const int8_t *row[4];
        __m512i quad[4];
        uint32_t bytes;
        for (size_t i = 0; i < 4; i++) {
            row[i] = w + (k + i) * stride;
        }
        memcpy(&bytes, codes + k, 4);
        __m512i x = _mm512_set1_epi32((int32_t)(bytes ^ 0x80808080u));
        nvm_mix_rows(quad, row, columns->all, is_whole);
        for (int v = 0; v < 4; v++) {
            mixed[v] = _mm512_dpbusd_epi32(mixed[v], x, quad[v]);
        }
        for (int v = 0; zero != -128 && v < 4; v++) {
            off[v] = _mm512_dpbusd_epi32(off[v], lifted, quad[v]);
        }
    }
    for (int v = 0; v < 4; v++) {
        mixed[v] = _mm512_sub_epi32(mixed[v], off[v]);
    }
    nvm_add_mixed(t, mixed);
    return k;
}

NVM_INLINE void nvm_code_tile_of(int32_t *acc, const int8_t *w, size_t stride, const int8_t *codes,
                                 size_t n, int32_t zero, const nvm_columns *columns, int vectors,
                                 int is_whole)
{
    nvm_tile t[NVM_PARTS];
    size_t k = 0;
    for (int v = 0; v < vectors; v++) {
        t[0].sum[v] = is_whole ? _mm512_loadu_si512(acc + 16 * v)
                            : _mm512_maskz_loadu_epi32(columns->of[v], acc + 16 * v);
    }
    if (vectors == 4 && n >= NVM_FOUR_FROM) {
        k = nvm_code_fours(t, w, stride, codes, n, zero, columns, is_whole);
    }
    if (vectors <= 2 && n >= NVM_PARTS) {
        nvm_empty_parts(t, vectors);
        for (; n - k >= NVM_PARTS; k += NVM_PARTS) {
            for (size_t p = 0; p < NVM_PARTS; p++) {
                nvm_add_row(&t[p], w + (k + p) * stride,
                            codes[k + p] - zero, columns, vectors, is_whole);
            }
        }
        nvm_join_parts(t, vectors);
    }
    for (; k < n; k++) {
        nvm_add_row(t, w + k * stride, codes[k] - zero, columns, vectors, is_whole);
    }
    for (int v = 0; v < vectors; v++) {
        if (is_whole) {
            _mm512_storeu_si512(acc + 16 * v, t[0].sum[v]);
        } else {
            _mm512_mask_storeu_epi32(acc + 16 * v, columns->of[v], t[0].sum[v]);
        }
    }
}

/* Tiles of 64 columns; the last one of as many vectors as it needs. */
#define NVM_EACH_TILE(tile, ...)                                                                   \
    do {                                                                                           \
        const nvm_columns whole_ = {0};                                                            \
        for (; width >= 64; width -= 64, acc += 64, w += 64) {                                     \
            tile(acc, w, stride, __VA_ARGS__, &whole_, 4, 1);                                      \
        }                                                                                          \
        nvm_columns columns_ = nvm_first_columns(width);                                           \
        if (width == 16) {                                                                         \
            tile(acc, w, stride, __VA_ARGS__, &whole_, 1, 1);                                      \
        } else if (width == 32) {                                                                  \
            tile(acc, w, stride, __VA_ARGS__, &whole_, 2, 1);                                      \
        } else if (width > 32) {                                                                   \
            tile(acc, w, stride, __VA_ARGS__, &columns_, 4, 0);                                    \
        } else if (width > 16) {                                                                   \
            tile(acc, w, stride, __VA_ARGS__, &columns_, 2, 0);                                    \
        } else if (width > 0) {                                                                    \
            tile(acc, w, stride, __VA_ARGS__, &columns_, 1, 0);                                    \
        }                                                                                          \
    } while (0)

static inline void nvm_rows_events(int32_t *acc, const int8_t *w, size_t stride,
                                   const nvm_event *events, size_t n, uint32_t first, size_t width)
{
    NVM_EACH_TILE(nvm_event_tile_of, events, n, first);
}

static inline void nvm_rows_codes(int32_t *acc, const int8_t *w, size_t stride, const int8_t *codes,
                                  size_t n, int16_t zero, size_t width)
{
    NVM_EACH_TILE(nvm_code_tile_of, codes, n, zero);
}

#endif

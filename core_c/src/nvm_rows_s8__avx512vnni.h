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
#define NVM_LIST_FROM 3u /* events, from which on a list of their rows is */

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

#define NVM_LISTED 128u /* events that are put in order at once */

/* Events as they are added: those whose x fits int8 in fours, filled up with nothing times the first row; the
 * others alone. */
typedef struct nvm_listed {
    uint32_t row[NVM_LISTED + 16], other_row[NVM_LISTED + 16];
    int8_t x[NVM_LISTED + 16];
    int32_t other_x[NVM_LISTED + 16];
    size_t n, others, stride;
    int32_t added; /* 128 times the sum of x: what the flipped signs of the weights add */
} nvm_listed;

NVM_INLINE void nvm_list_rows(nvm_listed *list, const nvm_event *events, size_t n, uint32_t first,
                              size_t stride)
{
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i one = _mm512_set1_epi32(1), least = _mm512_set1_epi32((int32_t)first);
    __m512i sum = _mm512_setzero_si512();
    size_t fit = 0, others = 0;
    for (size_t k = 0; k < n; k += 16) {
        size_t left = n - k < 16 ? n - k : 16;
        uint32_t lanes = (1u << left) - 1;
        __m512i a = _mm512_maskz_loadu_epi64((__mmask8)lanes, events + k);
        __m512i b = _mm512_maskz_loadu_epi64((__mmask8)(lanes >> 8), events + k + 8);
        __m512i row = _mm512_sub_epi32(_mm512_permutex2var_epi32(a, even, b), least);
        __m512i x = _mm512_permutex2var_epi32(a, _mm512_add_epi32(even, one), b);
        __m512i byte = _mm512_srai_epi32(_mm512_slli_epi32(x, 24), 24);
        __mmask16 fits = _mm512_mask_cmpeq_epi32_mask((__mmask16)lanes, x, byte);
        __mmask16 not = (__mmask16)lanes & (__mmask16)~fits;
        __m512i some = _mm512_maskz_compress_epi32(fits, x);
        _mm512_storeu_si512(list->row + fit, _mm512_maskz_compress_epi32(fits, row));
        _mm_storeu_si128((__m128i *)(list->x + fit), _mm512_cvtepi32_epi8(some));
        sum = _mm512_add_epi32(sum, some);
        fit += (size_t)__builtin_popcount(fits);
        if (not != 0) {
            _mm512_storeu_si512(list->other_row + others, _mm512_maskz_compress_epi32(not, row));
            _mm512_storeu_si512(list->other_x + others, _mm512_maskz_compress_epi32(not, x));
            others += (size_t)__builtin_popcount(not);
        }
    }
    list->n = fit;
    list->others = others;
    list->stride = stride;
    list->added = (int32_t)((uint32_t)_mm512_reduce_add_epi32(sum) << 7);
    _mm512_storeu_si512(list->row + fit, _mm512_setzero_si512());
    _mm_storeu_si128((__m128i *)(list->x + fit), _mm_setzero_si128());
}

/* sum + four products a lane, in place: gcc 12 would copy all sums once a round. */
#define NVM_ADD_PRODUCT(sum, bytes, x)                                                             \
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(bytes), "v"(x))

/* 64 columns, those of the mask unless whole. */
NVM_INLINE void nvm_listed_tile(int32_t *acc, const int8_t *w, const nvm_listed *list,
                                const nvm_columns *columns, int is_whole)
{
    const __m512i flip = _mm512_set1_epi8(-128), added = _mm512_set1_epi32(list->added);
    size_t stride = list->stride;
    __m512i none = _mm512_setzero_si512(), sum0 = none, sum1 = none, sum2 = none, sum3 = none;
    nvm_tile t;
    for (size_t k = 0; k < list->n; k += 4) {
        const uint32_t *at = list->row + k;
        const int8_t *row[4] = {w + at[0] * stride, w + at[1] * stride, w + at[2] * stride,
                                w + at[3] * stride};
        int32_t bytes;
        memcpy(&bytes, list->x + k, sizeof bytes);
        __m512i x = _mm512_set1_epi32(bytes), quad[4];
        nvm_mix_rows(quad, row, columns->all, is_whole);
        NVM_ADD_PRODUCT(sum0, _mm512_xor_si512(quad[0], flip), x);
        NVM_ADD_PRODUCT(sum1, _mm512_xor_si512(quad[1], flip), x);
        NVM_ADD_PRODUCT(sum2, _mm512_xor_si512(quad[2], flip), x);
        NVM_ADD_PRODUCT(sum3, _mm512_xor_si512(quad[3], flip), x);
    }
    __m512i mixed[4] = {_mm512_sub_epi32(sum0, added), _mm512_sub_epi32(sum1, added),
                        _mm512_sub_epi32(sum2, added), _mm512_sub_epi32(sum3, added)};
    for (int v = 0; v < 4; v++) {
        t.sum[v] = is_whole ? _mm512_loadu_si512(acc + 16 * v)
                            : _mm512_maskz_loadu_epi32(columns->of[v], acc + 16 * v);
    }
    nvm_add_mixed(&t, mixed);
    for (size_t k = 0; k < list->others; k++) {
        nvm_add_row(&t, w + list->other_row[k] * stride, list->other_x[k], columns, 4, is_whole);
    }
    for (int v = 0; v < 4; v++) {
        if (is_whole) {
            _mm512_storeu_si512(acc + 16 * v, t.sum[v]);
        } else {
            _mm512_mask_storeu_epi32(acc + 16 * v, columns->of[v], t.sum[v]);
        }
    }
}

/* Any number of events; whole tiles of 64 columns first. Returns the columns that are left, at most 32. */
NVM_INLINE size_t nvm_add_listed(int32_t *acc, const int8_t *w, size_t stride,
                                 const nvm_event *events, size_t n, uint32_t first, size_t width)
{
    const nvm_columns whole = {0};
    size_t rest = width % 64 > 32 ? 0 : width % 64;
    for (size_t k = 0, part; k < n; k += part) {
        nvm_listed list;
        int32_t *to = acc;
        const int8_t *from = w;
        size_t left = width;
        part = n - k < NVM_LISTED ? n - k : NVM_LISTED;
        nvm_list_rows(&list, events + k, part, first, stride);
        for (; left >= 64; left -= 64, to += 64, from += 64) {
            nvm_listed_tile(to, from, &list, &whole, 1);
        }
        if (left > 32) {
            nvm_columns columns = nvm_first_columns(left);
            nvm_listed_tile(to, from, &list, &columns, 0);
        }
    }
    return rest;
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
    if (width > 32 && n >= NVM_LIST_FROM) {
        size_t rest = nvm_add_listed(acc, w, stride, events, n, first, width);
        acc += width - rest;
        w += width - rest;
        width = rest;
    }
    NVM_EACH_TILE(nvm_event_tile_of, events, n, first);
}

static inline void nvm_rows_codes(int32_t *acc, const int8_t *w, size_t stride, const int8_t *codes,
                                  size_t n, int16_t zero, size_t width)
{
    NVM_EACH_TILE(nvm_code_tile_of, codes, n, zero);
}

#endif

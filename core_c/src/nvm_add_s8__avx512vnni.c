/* SPDX-License-Identifier: Apache-2.0
 *
 * Sums whose tables are straight lines, by multiplication; all others as in scalar C.
 */
#include "nvm_isa_avx512vnni.h"

#include <immintrin.h>

#include "nvm_internal.h"

nvm_node_fn nvm_add_by_tables_s8__avx512vnni;
#define nvm_add_full_s8__avx512vnni nvm_add_by_tables_s8__avx512vnni
#include "nvm_add_s8__scalar.c"
#undef nvm_add_full_s8__avx512vnni

enum { PART = 256, LANES = 16 };

static inline __m512i sixteen(const int8_t *codes, __m512i slope)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)codes);
    return _mm512_mullo_epi32(_mm512_cvtepi8_epi32(bytes), slope);
}

/* u of `n` elements, a multiple of LANES. */
static void sum_lines(const nvm_node *node, const int8_t *a, const int8_t *b, int32_t *sums, size_t n)
{
    __m512i slope0 = _mm512_set1_epi32(node->slope[0]), slope1 = _mm512_set1_epi32(node->slope[1]);
    __m512i base = _mm512_set1_epi32(node->base);
    for (size_t i = 0; i < n; i += LANES) {
        __m512i u = _mm512_add_epi32(sixteen(a + i, slope0), sixteen(b + i, slope1));
        _mm512_storeu_si512(sums + i, _mm512_add_epi32(u, base));
    }
}

/* The rule SHIFT, four registers at once; the packs saturate and keep the clamp's order. */
static void shift_lines(const nvm_layer *layer, const int32_t *sums, int8_t *codes, size_t n)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m128i s = _mm_cvtsi32_si128((int)layer->aux[0]);
    __m128i before = _mm_cvtsi32_si128((int)layer->aux[0] - 1);
    __m512i zero = _mm512_set1_epi32(layer->zero_out), one = _mm512_set1_epi32(1);
    __m512i lo = _mm512_set1_epi8(layer->lo), hi = _mm512_set1_epi8(layer->hi);
    for (size_t i = 0; i < n; i += 4 * LANES) {
        __m512i v[4];
        for (size_t k = 0; k < 4; k++) {
            __m512i u = _mm512_loadu_si512(sums + i + k * LANES);
            __m512i half = _mm512_and_si512(_mm512_sra_epi32(u, before), one);
            v[k] = _mm512_add_epi32(_mm512_add_epi32(_mm512_sra_epi32(u, s), half), zero);
        }
        __m512i y = _mm512_packs_epi16(_mm512_packs_epi32(v[0], v[1]), _mm512_packs_epi32(v[2], v[3]));
        y = _mm512_min_epi8(_mm512_max_epi8(y, lo), hi);
        _mm512_storeu_si512(codes + i, _mm512_permutexvar_epi32(order, y));
    }
}

/* Straight lines and the rule SHIFT, of 64 elements or more, whose changes nobody lists: without a stop in
 * memory. The last ones go with some before them, which come out the same again. */
static void add_quietly(nvm_node *node, const int8_t *a, const int8_t *b)
{
    const nvm_layer *layer = node->layer;
    enum { WHOLE = 4 * LANES };
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m128i s = _mm_cvtsi32_si128((int)layer->aux[0]);
    const __m128i before = _mm_cvtsi32_si128((int)layer->aux[0] - 1);
    const __m512i slope0 = _mm512_set1_epi32(node->slope[0]), slope1 = _mm512_set1_epi32(node->slope[1]);
    const __m512i base = _mm512_set1_epi32(node->base), one = _mm512_set1_epi32(1);
    const __m512i zero = _mm512_set1_epi32(layer->zero_out);
    const __m512i lo = _mm512_set1_epi8(layer->lo), hi = _mm512_set1_epi8(layer->hi);
    int8_t *codes = node->codes;
    for (size_t i = 0, n = layer->n; i < n; i = n - i > WHOLE && n - i < 2 * WHOLE ? n - WHOLE : i + WHOLE) {
        __m512i v[4];
#pragma GCC unroll 4
        for (size_t k = 0; k < 4; k++) {
            __m512i u = _mm512_add_epi32(base, sixteen(a + i + k * LANES, slope0));
            u = _mm512_add_epi32(u, sixteen(b + i + k * LANES, slope1));
            __m512i half = _mm512_and_si512(_mm512_sra_epi32(u, before), one);
            v[k] = _mm512_add_epi32(_mm512_add_epi32(_mm512_sra_epi32(u, s), half), zero);
        }
        __m512i y = _mm512_packs_epi16(_mm512_packs_epi32(v[0], v[1]), _mm512_packs_epi32(v[2], v[3]));
        y = _mm512_min_epi8(_mm512_max_epi8(y, lo), hi);
        _mm512_storeu_si512(codes + i, _mm512_permutexvar_epi32(order, y));
    }
}

void nvm_add_full_s8__avx512vnni(nvm_node *node, nvm_scratch *scratch)
{
    const int8_t *a = node->in[0]->codes, *b = node->in[1]->codes;
    int32_t sums[PART];
    int8_t wanted[PART], left[2][PART];
    size_t n = node->layer->n;
    if (!node->affine) {
        nvm_add_by_tables_s8__avx512vnni(node, scratch);
        return;
    }
    if (node->quiet && !node->unit && node->layer->requant == NVM_RQ_SHIFT && n >= 4 * LANES) {
        add_quietly(node, a, b);
        return;
    }
    for (size_t first = 0; first < n; first += PART) {
        size_t part = n - first < PART ? n - first : PART;
        const int8_t *x = a + first, *y = b + first;
        size_t whole = (part + 63) / 64 * 64;
        if (part < whole) { /* what lies behind the codes is not read */
            memset(left[0] + whole - 64, 0, 64);
            memset(left[1] + whole - 64, 0, 64);
            memcpy(left[0], x, part);
            memcpy(left[1], y, part);
            x = left[0];
            y = left[1];
        }
        sum_lines(node, x, y, sums, whole);
        if (node->layer->requant == NVM_RQ_SHIFT) {
            shift_lines(node->layer, sums, wanted, whole);
        } else {
            NVM_OWN(requant_s32s8)(node, sums, 0, part, wanted);
        }
        NVM_OWN(neuron_sd_s8)(node, first, wanted, part);
    }
}

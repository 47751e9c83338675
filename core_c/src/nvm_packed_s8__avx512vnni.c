/* SPDX-License-Identifier: Apache-2.0
 *
 * Packed weights against a canvas, 16 channels a register: dpbusd adds four u8 x s8 products to each
 * of 16 int32 without saturation, so the sums are those of nvm_pack.h modulo 2^32.
 */
#include "nvm_isa_avx512vnni.h"

#include "nvm_group_s8__avx512vnni.h"

#define HIDE(pointer) __asm__("" : "+r"(pointer)) /* keeps the compiler from one pointer a pixel */

INLINE __m512i four_codes(const uint8_t *at)
{
    int32_t word;
    memcpy(&word, at, sizeof word);
    return _mm512_set1_epi32(word);
}

/* `pixels` windows times `blocks` blocks of channels, constant both. */
INLINE void sum_tile(const group *g, uint32_t in, __m512i *sum, size_t pixels, size_t blocks)
{
    const nvm_product *product = g->product;
    const nvm_packed *packed = product->packed;
    const uint32_t *segments = nvm_pack_at(product, packed->segments);
    const int8_t *weights = g->weights;
    size_t column = packed->column;
#pragma GCC unroll 16
    for (size_t m = 0; m < pixels; m++) {
#pragma GCC unroll 4
        for (size_t b = 0; b < blocks; b++) {
            sum[m * blocks + b] = _mm512_loadu_si512(g->constant + b * LANES);
        }
    }
    for (uint32_t s = 0; s < packed->n_segments; s++) {
        const uint8_t *from[4];
        from[0] = product->canvas + in + segments[s];
        from[1] = from[0] + 4 * column;
        from[2] = from[1] + 4 * column;
        from[3] = from[2] + 4 * column;
        for (uint32_t q = packed->words; q != 0; q--) {
            __m512i w[NVM_MAX_BLOCKS];
#pragma GCC unroll 4
            for (size_t b = 0; b < blocks; b++) {
                w[b] = _mm512_loadu_si512(weights + b * 4 * LANES);
            }
#pragma GCC unroll 16
            for (size_t m = 0; m < pixels; m++) {
                __m512i codes = four_codes(from[m / 4] + m % 4 * column);
#pragma GCC unroll 4
                for (size_t b = 0; b < blocks; b++) {
                    sum[m * blocks + b] = _mm512_dpbusd_epi32(sum[m * blocks + b], codes, w[b]);
                }
            }
            weights += blocks * 4 * LANES;
#pragma GCC unroll 4
            for (size_t k = 0; k < (pixels + 3) / 4; k++) {
                from[k] += 4;
                HIDE(from[k]);
            }
        }
    }
}

/* One window: with more sums than one a block, as one waits for the one before it. */
INLINE void sum_single(const group *g, uint32_t in, __m512i *sum, size_t blocks)
{
    enum { CHAINS = 4 };
    const nvm_product *product = g->product;
    const nvm_packed *packed = product->packed;
    const uint32_t *segments = nvm_pack_at(product, packed->segments);
    const int8_t *weights = g->weights;
    __m512i part[CHAINS][NVM_MAX_BLOCKS];
#pragma GCC unroll 4
    for (size_t b = 0; b < blocks; b++) {
        part[0][b] = _mm512_loadu_si512(g->constant + b * LANES);
        part[1][b] = part[2][b] = part[3][b] = _mm512_setzero_si512();
    }
    for (uint32_t s = 0; s < packed->n_segments; s++) {
        const uint8_t *from = product->canvas + in + segments[s];
        uint32_t q = packed->words;
        for (; q >= CHAINS; q -= CHAINS) {
#pragma GCC unroll 4
            for (size_t k = 0; k < CHAINS; k++) {
                __m512i codes = four_codes(from + 4 * k);
#pragma GCC unroll 4
                for (size_t b = 0; b < blocks; b++) {
                    __m512i w = _mm512_loadu_si512(weights + (k * blocks + b) * 4 * LANES);
                    part[k][b] = _mm512_dpbusd_epi32(part[k][b], codes, w);
                }
            }
            from += 4 * CHAINS;
            weights += CHAINS * blocks * 4 * LANES;
        }
        for (; q != 0; q--) {
            __m512i codes = four_codes(from);
#pragma GCC unroll 4
            for (size_t b = 0; b < blocks; b++) {
                __m512i w = _mm512_loadu_si512(weights + b * 4 * LANES);
                part[0][b] = _mm512_dpbusd_epi32(part[0][b], codes, w);
            }
            from += 4;
            weights += blocks * 4 * LANES;
        }
    }
#pragma GCC unroll 4
    for (size_t b = 0; b < blocks; b++) {
        sum[b] = _mm512_add_epi32(_mm512_add_epi32(part[0][b], part[1][b]),
                                  _mm512_add_epi32(part[2][b], part[3][b]));
    }
}

/* Sums that are to be in memory. */
static __attribute__((noinline)) void keep_sums(const group *g, uint32_t pixel, const __m512i *sum,
                                                size_t pixels, size_t blocks)
{
    size_t channels = g->product->channels;
    size_t n = (blocks - 1) * LANES + (size_t)__builtin_popcount(g->tail);
    int32_t *acc = g->product->acc + (size_t)pixel * channels + g->channel;
    for (size_t m = 0; m < pixels; m++, acc += channels) {
        memcpy(acc, sum + m * blocks, n * sizeof *acc);
    }
}

INLINE void run_strip(const group *g, const nvm_strip *strip, size_t pixels, size_t blocks)
{
    const nvm_product *product = g->product;
    __m512i sum[MAX_SUMS];
    if (pixels == 1) {
        sum_single(g, strip->in, sum, blocks);
    } else {
        sum_tile(g, strip->in, sum, pixels, blocks);
    }
    if (product->acc != NULL || !g->is_float) { /* a copy, so that sum itself needs no memory */
        __m512i copy[MAX_SUMS];
#pragma GCC unroll 24
        for (size_t i = 0; i < pixels * blocks; i++) {
            copy[i] = sum[i];
        }
        if (product->acc != NULL) {
            keep_sums(g, strip->out, copy, pixels, blocks);
        }
        if (!g->is_float && product->codes != NULL) {
            requantise(g, strip->out, copy, pixels, blocks);
        }
    }
    if (g->is_float && product->codes != NULL) {
        store_codes(g, strip->out, sum, pixels, blocks);
    }
}

#if defined(__SANITIZE_ADDRESS__) || defined(NVM_ONE_TILE)
/* Sanitizers take minutes over 42 tiles: one for all sizes stands for them. */
#define GROUP(blocks, cases)                                                                       \
    static void run_group_##blocks(const group *g, const nvm_strip *strip, size_t n)               \
    {                                                                                              \
        for (const nvm_strip *end = strip + n; strip < end; strip++) {                             \
            run_strip(g, strip, strip->n, blocks);                                                 \
        }                                                                                          \
    }
#else
#define CASE(pixels, blocks)                                                                       \
    case pixels:                                                                                   \
        run_strip(g, strip, pixels, blocks);                                                       \
        break;
#define CASES_6(b)  CASE(1, b) CASE(2, b) CASE(3, b) CASE(4, b) CASE(5, b) CASE(6, b)
#define CASES_8(b)  CASES_6(b) CASE(7, b) CASE(8, b)
#define CASES_12(b) CASES_8(b) CASE(9, b) CASE(10, b) CASE(11, b) CASE(12, b)
#define CASES_16(b) CASES_12(b) CASE(13, b) CASE(14, b) CASE(15, b) CASE(16, b)

/* One function a number of blocks: its strips have at most nvm_strip_pixels pixels. */
#define GROUP(blocks, cases)                                                                       \
    static void run_group_##blocks(const group *g, const nvm_strip *strip, size_t n)               \
    {                                                                                              \
        for (const nvm_strip *end = strip + n; strip < end; strip++) {                             \
            switch (strip->n) {                                                                    \
                cases(blocks) default : break;                                                     \
            }                                                                                      \
        }                                                                                          \
    }
#endif
GROUP(1, CASES_16)
GROUP(2, CASES_12)
GROUP(3, CASES_8)
GROUP(4, CASES_6)

static void run_product(const nvm_product *product, const nvm_strip *strips, size_t n)
{
    static void (*const run[])(const group *, const nvm_strip *, size_t) = {
        NULL, run_group_1, run_group_2, run_group_3, run_group_4};
    uint32_t all = product->packed->blocks;
    group g = first_group(product);
    for (uint32_t block = 0, blocks; block < all; block += blocks) {
        blocks = enter_group(&g, block);
        run[blocks](&g, strips, n);
        leave_group(&g, blocks);
    }
}

INLINE void lift_64(uint8_t *to, const int8_t *codes)
{
    _mm512_storeu_si512(to, _mm512_xor_si512(_mm512_loadu_si512(codes), _mm512_set1_epi8(-128)));
}

INLINE void lift_32(uint8_t *to, const int8_t *codes)
{
    __m256i x = _mm256_loadu_si256((const void *)codes);
    _mm256_storeu_si256((void *)to, _mm256_xor_si256(x, _mm256_set1_epi8(-128)));
}

INLINE void lift_16(uint8_t *to, const int8_t *codes)
{
    __m128i x = _mm_loadu_si128((const void *)codes);
    _mm_storeu_si128((void *)to, _mm_xor_si128(x, _mm_set1_epi8(-128)));
}

/* The last codes go with some before them: loads would wait for masked stores. */
static void lift(uint8_t *to, const int8_t *codes, size_t n)
{
    if (n >= 64) {
        for (size_t i = 0; n - i > 64; i += 64) {
            lift_64(to + i, codes + i);
        }
        lift_64(to + n - 64, codes + n - 64);
    } else if (n >= 32) {
        lift_32(to, codes);
        lift_32(to + n - 32, codes + n - 32);
    } else if (n >= 16) {
        lift_16(to, codes);
        lift_16(to + n - 16, codes + n - 16);
    } else {
        for (size_t i = 0; i < n; i++) {
            to[i] = (uint8_t)codes[i] ^ 128u;
        }
    }
}

const nvm_packing nvm_packing__avx512vnni = {
    .lift = lift,
    .product = run_product,
    .product_dw = nvm_product_dw_s8__avx512vnni,
    .deltas = nvm_deltas_s8__avx512vnni,
    .compare = nvm_compare_s8__avx512vnni,
    .code_bytes = 1,
    .offset = 128,
    .lanes = LANES,
    .depth = 4,
    .dw_lanes = 64,
    .dw_vectors = 4,
    .dw_depth = 4,
    .most_blocks = NVM_MAX_BLOCKS,
    .pixels = {0, 16, 12, 8, 6},
};

/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_pool.h: windows of pools, read whole. Before it is included:
 *
 *     NVM_POOL_START                what an accumulator is before the first code
 *     NVM_POOL_TAKE(acc, q)         the accumulator with one more code
 *     NVM_POOL_TAKE_LANES(acc, q)   the same of vectors of AVX2
 */
#ifndef NVM_POOL_H
#define NVM_POOL_H

#include "nvm_rows.h"

/* The windows of a row of outputs, or of all of them, one after the other. */
typedef struct nvm_window {
    const nvm_node *node;
    int32_t y, x;
    int32_t i, i_end, j, j_end; /* valid taps */
} nvm_window;

static inline void nvm_window_row(nvm_window *w, int32_t y)
{
    w->y = y;
    w->x = -1;
    nvm_axis_taps(&w->node->rows, y, &w->i, &w->i_end);
}

static inline nvm_window nvm_window_before(const nvm_node *node, size_t pixel)
{
    nvm_window w = {.node = node};
    nvm_window_row(&w, (int32_t)(pixel / node->layer->out_w));
    w.x = (int32_t)(pixel % node->layer->out_w) - 1;
    return w;
}

/* On to the next output pixel; where the last one was before, there is one. */
static inline void nvm_window_next(nvm_window *w)
{
    if (++w->x == w->node->cols.out) {
        nvm_window_row(w, w->y + 1);
        w->x = 0;
    }
    nvm_axis_taps(&w->node->cols, w->x, &w->j, &w->j_end);
}

static inline int32_t nvm_window_taps(const nvm_window *w)
{
    return (w->i_end - w->i) * (w->j_end - w->j);
}

/* The codes of a window's first valid tap. */
static inline const nvm_code_in *nvm_window_codes(const nvm_window *w)
{
    const nvm_axis *rows = &w->node->rows, *cols = &w->node->cols;
    size_t row = (size_t)(w->y * rows->stride - rows->pad + w->i * rows->dil);
    size_t col = (size_t)(w->x * cols->stride - cols->pad + w->j * cols->dil);
    const nvm_layer *layer = w->node->layer;
    return (const nvm_code_in *)w->node->in[0]->codes + (row * layer->in_w + col) * layer->in_c;
}

/* What is held is an accumulator a channel; NVM_POOL_LANES of them are taken together, over the whole window. */
#ifdef __AVX2__
#include <immintrin.h>

#define NVM_POOL_WIDE  64u /* one sum has not to wait for the one before it */
#define NVM_POOL_LANES 8u

NVM_INLINE void nvm_pool_vectors(const nvm_code_in *in, size_t rows, size_t cols, size_t in_row,
                                 size_t in_col, int32_t *held, size_t vectors)
{
    __m256i all[NVM_POOL_WIDE / NVM_POOL_LANES];
#pragma GCC unroll 8
    for (size_t v = 0; v < vectors; v++) {
        all[v] = _mm256_set1_epi32(NVM_POOL_START);
    }
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < cols; j++) {
            const nvm_code_in *at = in + i * in_row + j * in_col;
#pragma GCC unroll 8
            for (size_t v = 0; v < vectors; v++) {
                const void *codes = at + v * NVM_POOL_LANES;
#if NVM_IN == 8
                __m256i q = _mm256_cvtepi8_epi32(_mm_loadl_epi64(codes));
#else
                __m256i q = _mm256_cvtepi16_epi32(_mm_loadu_si128(codes));
#endif
                all[v] = NVM_POOL_TAKE_LANES(all[v], q);
            }
        }
    }
#pragma GCC unroll 8
    for (size_t v = 0; v < vectors; v++) {
        _mm256_storeu_si256((__m256i *)(held + v * NVM_POOL_LANES), all[v]);
    }
}

static inline void nvm_pool_lanes(const nvm_code_in *in, size_t rows, size_t cols, size_t in_row,
                                  size_t in_col, int32_t *held)
{
    nvm_pool_vectors(in, rows, cols, in_row, in_col, held, 1);
}
#else
#define NVM_POOL_LANES 16u

static inline void nvm_pool_lanes(const nvm_code_in *in, size_t rows, size_t cols, size_t in_row,
                                  size_t in_col, int32_t *held)
{
    int32_t all[NVM_POOL_LANES];
    for (size_t u = 0; u < NVM_POOL_LANES; u++) {
        all[u] = NVM_POOL_START;
    }
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < cols; j++) {
            const nvm_code_in *at = in + i * in_row + j * in_col;
            NVM_ROW_BY_ROW
            for (size_t u = 0; u < NVM_POOL_LANES; u++) {
                all[u] = NVM_POOL_TAKE(all[u], at[u]);
            }
        }
    }
    for (size_t u = 0; u < NVM_POOL_LANES; u++) {
        held[u] = all[u];
    }
}
#endif

static inline void nvm_pool_one(const nvm_code_in *in, size_t rows, size_t cols, size_t in_row,
                                size_t in_col, int32_t *held)
{
    int32_t one = NVM_POOL_START;
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < cols; j++) {
            one = NVM_POOL_TAKE(one, in[i * in_row + j * in_col]);
        }
    }
    *held = one;
}

static inline void nvm_pool_window(const nvm_window *w, int32_t *held)
{
    const nvm_layer *layer = w->node->layer;
    size_t channels = layer->out_c, c = 0;
    size_t rows = (size_t)(w->i_end - w->i), cols = (size_t)(w->j_end - w->j); /* >= 1 (checked) */
    size_t in_row = (size_t)layer->dil_h * layer->in_w * channels, in_col = layer->dil_w * channels;
    const nvm_code_in *in = nvm_window_codes(w);
#ifdef NVM_POOL_WIDE
    for (; channels - c >= NVM_POOL_WIDE; c += NVM_POOL_WIDE) {
        nvm_pool_vectors(in + c, rows, cols, in_row, in_col, held + c, NVM_POOL_WIDE / NVM_POOL_LANES);
    }
#endif
    for (; channels - c >= NVM_POOL_LANES; c += NVM_POOL_LANES) {
        nvm_pool_lanes(in + c, rows, cols, in_row, in_col, held + c);
    }
    for (; c < channels; c++) {
        nvm_pool_one(in + c, rows, cols, in_row, in_col, held + c);
    }
}

/* The accumulators of all windows. */
static inline void nvm_pool_all(nvm_node *node)
{
    size_t pixels = node->layer->n / node->layer->out_c;
    nvm_window w = nvm_window_before(node, 0);
    int32_t *held = node->acc;
    for (size_t pixel = 0; pixel < pixels; pixel++, held += node->layer->out_c) {
        nvm_window_next(&w);
        nvm_pool_window(&w, held);
    }
}

#endif

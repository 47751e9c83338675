/* SPDX-License-Identifier: Apache-2.0
 *
 * Depthwise convolution, HWC: output channel c reads input channel c / multiplier.
 */
#include "nvm_rows.h"

#define CHUNK 128u /* channels of a pixel that are scattered together */

/* Events of one chunk of channels of one input pixel; where they are many, as a row of deltas. */
typedef struct chunk {
    const nvm_event *events;
    size_t n;
    uint32_t pixel, first, width; /* channels [first, first + width) */
    int is_row;
    nvm_change delta[CHUNK]; /* of every channel, if is_row */
} chunk;

static void scatter_tap(const chunk *in, nvm_acc *restrict sum, const int8_t *restrict tap,
                        uint32_t in_c, uint32_t multiplier)
{
    if (in->is_row) {
        sum += in->first;
        tap += in->first;
        for (size_t c = 0; c < in->width; c++) {
            sum[c] = nvm_add_acc(sum[c], tap[c] * in->delta[c]);
        }
        return;
    }
    for (size_t k = 0; k < in->n; k++) {
        size_t c = (size_t)(in->events[k].index - in->pixel * in_c) * multiplier;
        for (size_t m = 0; m < multiplier; m++) {
            sum[c + m] =
                nvm_add_acc(sum[c + m], tap[c + m] * (nvm_change)in->events[k].delta);
        }
    }
}

static void scatter_chunk(nvm_node *node, nvm_marks *marks, const chunk *in)
{
    const nvm_layer *layer = node->layer;
    size_t out_c = layer->out_c;
    int32_t row = (int32_t)(in->pixel / layer->in_w), col = (int32_t)(in->pixel % layer->in_w);
    int32_t y, y_end, x_first, x_end;
    nvm_acc *sum = node->sum;
    uint64_t taps = 0;
    nvm_axis_outputs(&node->rows, row, &y, &y_end);
    nvm_axis_outputs(&node->cols, col, &x_first, &x_end);
    for (; y < y_end; y++) {
        int32_t i = nvm_axis_tap(&node->rows, y, row);
        for (int32_t x = x_first; i >= 0 && x < x_end; x++) {
            int32_t j = nvm_axis_tap(&node->cols, x, col);
            if (j >= 0) {
                size_t out = (size_t)y * layer->out_w + (size_t)x;
                size_t tap = (size_t)i * layer->k_w + (size_t)j;
                scatter_tap(in, sum + out * out_c, node->weights + tap * out_c, layer->in_c,
                            layer->groups);
                nvm_mark(marks, out);
                taps++;
            }
        }
    }
    /* Weights that a delta of 0 met in a row are not counted: no event asked for them. */
    node->sops += taps * in->n * layer->groups;
}

void NVM_NAME(dwconv_events)(nvm_node *node, nvm_scratch *scratch)
{
    const nvm_layer *layer = node->layer;
    const nvm_event *events = node->in[0]->events;
    size_t n = node->in[0]->n_events;
    chunk in;
    for (size_t k = 0; k < n;) {
        in.events = events + k;
        in.pixel = events[k].index / layer->in_c;
        uint32_t start = in.pixel * layer->in_c;
        in.first = (events[k].index - start) / CHUNK * CHUNK;
        in.width = layer->in_c - in.first < CHUNK ? layer->in_c - in.first : CHUNK;
        start += in.first;
        for (in.n = 1; k + in.n < n && events[k + in.n].index - start < in.width;) {
            in.n++;
        }
        in.is_row = layer->groups == 1 && in.n * 8 >= in.width;
        if (in.is_row) {
            memset(in.delta, 0, sizeof in.delta);
            for (size_t e = 0; e < in.n; e++) {
                in.delta[in.events[e].index - start] = (nvm_change)in.events[e].delta;
            }
        }
        scatter_chunk(node, &scratch->marks, &in);
        k += in.n;
    }
    nvm_fire_marked(node, scratch);
}

typedef struct window {
    const nvm_code_in *in;        /* of the first valid tap, channel 0 */
    const int8_t *tap;
    size_t rows, cols;            /* valid taps */
    size_t in_row, in_col, w_row; /* strides between taps; a tap's column is out_c weights */
    size_t out_c;
    int16_t zero;
} window;

/* Sums of `width` consecutive channels over the whole window, multiplier 1. */
NVM_INLINE void channel_tile(nvm_acc *restrict sum, const window *win, size_t c, size_t width)
{
    nvm_acc_bits acc[32];
    for (size_t u = 0; u < width; u++) {
        acc[u] = (nvm_acc_bits)sum[c + u];
    }
    for (size_t i = 0; i < win->rows; i++) {
        const nvm_code_in *in = win->in + i * win->in_row + c;
        const int8_t *tap = win->tap + i * win->w_row + c;
        for (size_t j = 0; j < win->cols; j++, in += win->in_col, tap += win->out_c) {
            NVM_ROW_BY_ROW
            for (size_t u = 0; u < width; u++) {
                acc[u] += (nvm_acc_bits)(nvm_acc)((int32_t)tap[u] * (nvm_change)(in[u] - win->zero));
            }
        }
    }
    for (size_t u = 0; u < width; u++) {
        sum[c + u] = (nvm_acc)acc[u];
    }
}

static void gather_single(nvm_acc *sum, const window *win)
{
    size_t c = 0;
    for (; win->out_c - c >= 16; c += 16) {
        channel_tile(sum, win, c, 16);
    }
    if (win->out_c - c >= 8) {
        channel_tile(sum, win, c, 8);
        c += 8;
    }
    for (; c < win->out_c; c++) {
        channel_tile(sum, win, c, 1);
    }
}

static void gather_multiple(nvm_acc *sum, const window *win, uint32_t multiplier)
{
    for (size_t i = 0; i < win->rows; i++) {
        for (size_t j = 0; j < win->cols; j++) {
            const nvm_code_in *in = win->in + i * win->in_row + j * win->in_col;
            const int8_t *tap = win->tap + i * win->w_row + j * win->out_c;
            for (size_t c = 0; c < win->out_c; c++) {
                sum[c] = nvm_add_acc(sum[c], tap[c] * (in[c / multiplier] - win->zero));
            }
        }
    }
}

static void gather_pixel(const nvm_node *node, nvm_acc *sum, int32_t y, int32_t x)
{
    const nvm_layer *layer = node->layer;
    int32_t i, i_end, j, j_end;
    nvm_axis_taps(&node->rows, y, &i, &i_end);
    nvm_axis_taps(&node->cols, x, &j, &j_end);
    if (i == i_end || j == j_end) {
        return;
    }
    size_t row = (size_t)(y * node->rows.stride - node->rows.pad + i * node->rows.dil);
    size_t col = (size_t)(x * node->cols.stride - node->cols.pad + j * node->cols.dil);
    window win = {
        .in = (const nvm_code_in *)node->in[0]->codes + (row * layer->in_w + col) * layer->in_c,
        .tap = node->weights + ((size_t)i * layer->k_w + (size_t)j) * layer->out_c,
        .rows = (size_t)(i_end - i),
        .cols = (size_t)(j_end - j),
        .in_row = (size_t)layer->dil_h * layer->in_w * layer->in_c,
        .in_col = (size_t)layer->dil_w * layer->in_c,
        .w_row = (size_t)layer->k_w * layer->out_c,
        .out_c = layer->out_c,
        .zero = NVM_ZERO_IN(layer),
    };
    if (layer->groups == 1) {
        gather_single(sum, &win);
    } else {
        gather_multiple(sum, &win, layer->groups);
    }
}

void NVM_NAME(dwconv_full)(nvm_node *node, nvm_scratch *scratch)
{
    const nvm_layer *layer = node->layer;
    nvm_acc *sum = node->sum;
    for (int32_t y = 0; y < node->rows.out; y++) {
        for (int32_t x = 0; x < node->cols.out; x++, sum += layer->out_c) {
            if (layer->neuron == NVM_SD) {
                memcpy(sum, node->bias, layer->out_c * sizeof *sum);
            }
            gather_pixel(node, sum, y, x);
        }
    }
    node->sops += node->macs;
    nvm_fire_all(node, scratch);
}

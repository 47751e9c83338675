/* SPDX-License-Identifier: Apache-2.0
 *
 * Average of the valid codes of a window: S holds their sum, |S| <= 2^7 m with m <= 2^23, wide 2^15 m
 * with m <= 2^15 (checked).
 */
#include "nvm_types.h"

#define CHUNK 256

/* (S + m/2) / m or (S - m/2) / m, truncated. The double quotient of two int32 is never rounded onto
 * or across an integer it does not equal (they differ by >= 1/m > 2^-31), so truncating it is exact. */
static void average(const nvm_layer *layer, const int32_t *restrict sum, int32_t m, size_t n,
                    nvm_code *restrict codes)
{
    double divisor = m;
    int32_t half = m / 2, lo = NVM_LO(layer), hi = NVM_HI(layer);
    int32_t lift = layer->aux[0] != 0 ? 128 : 0; /* floor: sums of codes + 128, < 2^8 m, are not negative */
    for (size_t i = 0; i < n; i++) {
        int32_t lifted = sum[i] + lift * m;
        int32_t nudged = lifted > 0 || lift != 0 ? lifted + half : lifted - half;
        int32_t y = (int32_t)((double)nudged / divisor) - lift;
        y = y > lo ? y : lo;
        codes[i] = (nvm_code)(y < hi ? y : hi);
    }
}

static void fire_pixel(nvm_node *node, size_t pixel)
{
    const nvm_layer *layer = node->layer;
    nvm_code wanted[CHUNK];
    const int32_t *acc = node->acc;
    int32_t i, i_end, j, j_end;
    nvm_axis_taps(&node->rows, (int32_t)(pixel / layer->out_w), &i, &i_end);
    nvm_axis_taps(&node->cols, (int32_t)(pixel % layer->out_w), &j, &j_end);
    int32_t m = (i_end - i) * (j_end - j);
    size_t first = pixel * layer->out_c;
    for (size_t c = 0; c < layer->out_c; c += CHUNK) {
        size_t part = layer->out_c - c < CHUNK ? layer->out_c - c : CHUNK;
        average(layer, acc + first + c, m, part, wanted);
        nvm_neuron_sd(node, first + c, wanted, part);
    }
}

static void scatter_event(nvm_node *node, nvm_marks *marks, nvm_event event)
{
    const nvm_layer *layer = node->layer;
    uint32_t pixel = event.index / layer->in_c, c = event.index % layer->in_c;
    int32_t row = (int32_t)(pixel / layer->in_w), col = (int32_t)(pixel % layer->in_w);
    int32_t y, y_end, x_first, x_end, *sum = node->acc;
    nvm_axis_outputs(&node->rows, row, &y, &y_end);
    nvm_axis_outputs(&node->cols, col, &x_first, &x_end);
    for (; y < y_end; y++) {
        int32_t i = nvm_axis_tap(&node->rows, y, row);
        for (int32_t x = x_first; i >= 0 && x < x_end; x++) {
            if (nvm_axis_tap(&node->cols, x, col) >= 0) {
                size_t out = (size_t)y * layer->out_w + (size_t)x;
                sum[out * layer->out_c + c] += event.delta;
                nvm_mark(marks, out);
            }
        }
    }
}

void NVM_NAME(avgpool_events)(nvm_node *node, nvm_scratch *scratch)
{
    const nvm_node *in = node->in[0];
    for (size_t k = 0; k < in->n_events; k++) {
        scatter_event(node, &scratch->marks, in->events[k]);
    }
    if (node->behind) {
        nvm_unmark_all(&scratch->marks);
        for (size_t pixel = 0; pixel < node->layer->n / node->layer->out_c; pixel++) {
            fire_pixel(node, pixel);
        }
        return;
    }
    for (size_t pixel; (pixel = nvm_unmark_next(&scratch->marks)) != SIZE_MAX;) {
        fire_pixel(node, pixel);
    }
}

static void gather_pixel(nvm_node *node, size_t pixel)
{
    const nvm_layer *layer = node->layer;
    size_t channels = layer->out_c;
    int32_t *restrict sum = (int32_t *)node->acc + pixel * channels;
    int32_t y = (int32_t)(pixel / layer->out_w), x = (int32_t)(pixel % layer->out_w);
    int32_t i, i_end, j_first, j_end;
    nvm_axis_taps(&node->rows, y, &i, &i_end);
    nvm_axis_taps(&node->cols, x, &j_first, &j_end);
    memset(sum, 0, channels * sizeof *sum);
    for (; i < i_end; i++) {
        size_t row = (size_t)(y * node->rows.stride - node->rows.pad + i * node->rows.dil);
        for (int32_t j = j_first; j < j_end; j++) {
            size_t col = (size_t)(x * node->cols.stride - node->cols.pad + j * node->cols.dil);
            const nvm_code_in *restrict in =
                (const nvm_code_in *)node->in[0]->codes + (row * layer->in_w + col) * channels;
            for (size_t c = 0; c < channels; c++) {
                sum[c] += in[c];
            }
        }
    }
}

void NVM_NAME(avgpool_full)(nvm_node *node, nvm_scratch *scratch)
{
    (void)scratch;
    for (size_t pixel = 0; pixel < node->layer->n / node->layer->out_c; pixel++) {
        gather_pixel(node, pixel);
        fire_pixel(node, pixel);
    }
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Convolution, HWC. An event meets, for every tap that reads its pixel, one contiguous run of out_c
 * weights; the events of one pixel share the walk over its taps.
 */
#include "nvm_rows.h"

/* Adds n events of one input pixel to one output pixel through one tap, group by group. */
static void scatter_tap(nvm_node *node, nvm_acc *sum, const int8_t *tap, const nvm_event *events,
                        size_t n, uint32_t first)
{
    const nvm_layer *layer = node->layer;
    size_t out_c = layer->out_c;
    uint32_t in_group = layer->in_c / layer->groups;
    size_t out_group = out_c / layer->groups;
    if (layer->groups == 1) {
        nvm_rows_events(sum, tap, out_c, events, n, first, out_c);
        return;
    }
    for (size_t k = 0; k < n;) {
        uint32_t group = (events[k].index - first) / in_group;
        uint32_t start = first + group * in_group;
        size_t part = 1;
        while (k + part < n && events[k + part].index - start < in_group) {
            part++;
        }
        nvm_rows_events(sum + group * out_group, tap + group * out_group, out_c, events + k, part,
                        start, out_group);
        k += part;
    }
}

static void scatter_pixel(nvm_node *node, nvm_marks *marks, const nvm_event *events, size_t n,
                          uint32_t pixel)
{
    const nvm_layer *layer = node->layer;
    size_t out_c = layer->out_c, in_group = layer->in_c / layer->groups;
    int32_t row = (int32_t)(pixel / layer->in_w), col = (int32_t)(pixel % layer->in_w);
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
                scatter_tap(node, sum + out * out_c, node->weights + tap * in_group * out_c,
                            events, n, pixel * layer->in_c);
                nvm_mark(marks, out);
                taps++;
            }
        }
    }
    node->sops += taps * n * (out_c / layer->groups);
}

void NVM_NAME(conv_events)(nvm_node *node, nvm_scratch *scratch)
{
    const nvm_event *events = node->in[0]->events;
    size_t n = node->in[0]->n_events;
    uint32_t in_c = node->layer->in_c;
    for (size_t k = 0; k < n;) {
        uint32_t pixel = events[k].index / in_c;
        uint32_t first = pixel * in_c;
        size_t part = 1;
        while (k + part < n && events[k + part].index - first < in_c) {
            part++;
        }
        scatter_pixel(node, &scratch->marks, events + k, part, pixel);
        k += part;
    }
    nvm_fire_marked(node, scratch);
}

/* The sums of one output pixel over the taps inside the input. */
static void gather_pixel(const nvm_node *node, nvm_acc *sum, int32_t y, int32_t x)
{
    const nvm_layer *layer = node->layer;
    const nvm_code_in *codes = node->in[0]->codes;
    size_t in_c = layer->in_c, out_c = layer->out_c;
    size_t in_group = in_c / layer->groups, out_group = out_c / layer->groups;
    int32_t i, i_end, j_first, j_end;
    nvm_axis_taps(&node->rows, y, &i, &i_end);
    nvm_axis_taps(&node->cols, x, &j_first, &j_end);
    for (; i < i_end; i++) {
        int32_t row = y * node->rows.stride - node->rows.pad + i * node->rows.dil;
        int32_t col = x * node->cols.stride - node->cols.pad + j_first * node->cols.dil;
        const nvm_code_in *in = codes + ((size_t)row * layer->in_w + (size_t)col) * in_c;
        const int8_t *tap =
            node->weights + ((size_t)i * layer->k_w + (size_t)j_first) * in_group * out_c;
        size_t run = (size_t)(j_end - j_first);
        if (layer->groups == 1 && node->cols.dil == 1) {
            /* The taps of one row read consecutive codes and weights. */
            nvm_rows_codes(sum, tap, out_c, in, run * in_c, NVM_ZERO_IN(layer), out_c);
            continue;
        }
        for (size_t j = 0; j < run;
             j++, in += (size_t)node->cols.dil * in_c, tap += in_group * out_c) {
            for (size_t g = 0; g < layer->groups; g++) {
                nvm_rows_codes(sum + g * out_group, tap + g * out_group, out_c, in + g * in_group,
                               in_group, NVM_ZERO_IN(layer), out_group);
            }
        }
    }
}

void NVM_NAME(conv_full)(nvm_node *node, nvm_scratch *scratch)
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

/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of two live matrices, group by group: u = A B with the zero points taken off. Changes
 * dA and dB add dA B' + A dB = dA B' + A' dB - dA dB, where ' marks what is there now.
 */
#include "nvm_rows.h"

typedef struct sizes {
    size_t rows, inner, cols; /* of one group: A is rows x inner, B inner x cols */
} sizes;

static sizes sizes_of(const nvm_layer *layer)
{
    return (sizes){layer->out_h, layer->in_c, layer->out_c};
}

static inline int32_t right_zero(const nvm_layer *layer)
{
    return (int32_t)layer->aux[1] - 128;
}

/* The first event from `index` on. */
static const nvm_event *event_from(const nvm_event *events, const nvm_event *end, size_t index)
{
    while (events < end) {
        const nvm_event *middle = events + (end - events) / 2;
        if (middle->index < index) {
            events = middle + 1;
        } else {
            end = middle;
        }
    }
    return events;
}

/* Takes dA dB off for the events of one row of A. */
static void take_off_pairs(const nvm_node *node, int32_t *sum, const nvm_event *left, size_t n,
                           size_t group, size_t row_start)
{
    const nvm_event *right = node->in[1]->events, *end;
    size_t cols = node->layer->out_c, inner = node->layer->in_c;
    if (node->in[1]->n_events == 0) {
        return;
    }
    end = right + node->in[1]->n_events;
    for (size_t e = 0; e < n && right != end; e++) {
        size_t first = (group * inner + (left[e].index - row_start)) * cols;
        right = event_from(right, end, first);
        for (; right < end && right->index - first < cols; right++) {
            size_t c = right->index - first;
            sum[c] = nvm_add_wrap(sum[c], -(int32_t)left[e].delta * right->delta);
        }
    }
}

/* Every event of A adds a row of B to the sums of its own row. */
static void add_left(nvm_node *node, nvm_marks *marks)
{
    const nvm_event *events = node->in[0]->events;
    size_t n = node->in[0]->n_events;
    uint32_t zero = (uint32_t)right_zero(node->layer);
    sizes s = sizes_of(node->layer);
    for (size_t k = 0; k < n;) {
        size_t row = events[k].index / s.inner, group = row / s.rows, part = 1;
        const nvm_event *first = events + k;
        int32_t *sum = (int32_t *)node->acc + row * s.cols;
        int32_t change = first->delta;
        while (k + part < n && first[part].index - row * s.inner < s.inner) {
            change = nvm_add_wrap(change, first[part++].delta);
        }
        for (size_t c = 0; c < s.cols; c++) {
            sum[c] = (int32_t)((uint32_t)sum[c] - (uint32_t)change * zero);
        }
        nvm_rows_events(sum, (const int8_t *)node->in[1]->codes + group * s.inner * s.cols, s.cols,
                                   first, part, (uint32_t)(row * s.inner), s.cols);
        take_off_pairs(node, sum, first, part, group, row * s.inner);
        nvm_mark(marks, row);
        k += part;
    }
    node->sops += (uint64_t)n * s.cols;
}

/* Every event of B adds a column of A to a column of the sums. */
static void add_right(nvm_node *node, nvm_marks *marks)
{
    const nvm_event *events = node->in[1]->events;
    size_t n = node->in[1]->n_events, marked = SIZE_MAX;
    int32_t zero = node->layer->zero_in;
    sizes s = sizes_of(node->layer);
    for (size_t e = 0; e < n; e++) {
        size_t k = events[e].index / s.cols, c = events[e].index % s.cols, group = k / s.inner;
        const int8_t *a = (const int8_t *)node->in[0]->codes + group * s.rows * s.inner + k % s.inner;
        int32_t *sum = (int32_t *)node->acc + group * s.rows * s.cols + c;
        for (size_t r = 0; r < s.rows; r++, a += s.inner, sum += s.cols) {
            *sum = nvm_add_wrap(*sum, (*a - zero) * events[e].delta);
        }
        for (size_t r = 0; group != marked && r < s.rows; r++) {
            nvm_mark(marks, group * s.rows + r);
        }
        marked = group;
    }
    node->sops += (uint64_t)n * s.rows;
}

void NVM_NAME(matmul_events)(nvm_node *node, nvm_scratch *scratch)
{
    add_left(node, &scratch->marks);
    add_right(node, &scratch->marks);
    nvm_fire_marked(node, scratch);
}

void NVM_NAME(matmul_full)(nvm_node *node, nvm_scratch *scratch)
{
    const nvm_layer *layer = node->layer;
    const int8_t *a = node->in[0]->codes;
    sizes s = sizes_of(layer);
    for (size_t row = 0; row < layer->n / s.cols; row++, a += s.inner) {
        const int8_t *b = (const int8_t *)node->in[1]->codes + row / s.rows * s.inner * s.cols;
        int32_t *sum = (int32_t *)node->acc + row * s.cols;
        uint32_t total = 0;
        for (size_t k = 0; k < s.inner; k++) {
            total += (uint32_t)(a[k] - layer->zero_in);
        }
        for (size_t c = 0; c < s.cols; c++) {
            sum[c] = (int32_t)(0u - total * (uint32_t)right_zero(layer));
        }
        nvm_rows_codes(sum, b, s.cols, a, s.inner, layer->zero_in, s.cols);
    }
    node->sops += node->macs;
    nvm_fire_all(node, scratch);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_stream_flow.c: how time runs through the layers of a program (nvm_stream.h says what that means).
 */
#include "nvm_stream_internal.h"

static nvm_flow ended(nvm_time why)
{
    return (nvm_flow){.why = why};
}

/* Floor and ceiling of a / b, b > 0. */
static int64_t floor_of(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t ceil_of(int64_t a, int64_t b)
{
    return -floor_of(-a, b);
}

/* Rows in time with the clean ones among them cut to what there is. */
static nvm_flow running(uint32_t rows, uint64_t step, int64_t first, int64_t end)
{
    first = first > 0 ? first : 0;
    end = end < rows ? end : rows;
    if (rows < 2 || first >= end || step > NVM_MAX_NEURONS) {
        return ended(rows < 2 ? NVM_TIME_SPANNED : NVM_TIME_CONES);
    }
    return (nvm_flow){.rows = rows, .step = (uint32_t)step, .first = (uint32_t)first, .end = (uint32_t)end};
}

/* Every `by` rows taken for one. */
static nvm_flow merged(nvm_flow in, uint32_t by)
{
    return running(in.rows / by, (uint64_t)in.step * by, ceil_of(in.first, by), floor_of(in.end, by));
}

static nvm_flow flow_of_window(const nvm_layer *layer, nvm_flow in)
{
    nvm_axis axis = nvm_layer_rows(layer);
    int is_column = layer->in_h == 1 && layer->out_h == 1 && layer->k_h == 1 && layer->pad_t == 0 &&
                    layer->in_w > 1;
    if (is_column) {
        axis = nvm_layer_cols(layer);
    }
    uint32_t rows = (uint32_t)axis.in;
    if (rows == 1) {
        return ended(NVM_TIME_FLATTENED);
    }
    if (in.rows % rows != 0) {
        return ended(rows % in.rows == 0 ? NVM_TIME_RATIONAL : NVM_TIME_INNER);
    }
    in = merged(in, in.rows / rows);
    if (in.why != NVM_TIME_RUNS) {
        return in;
    }
    int64_t reach = (int64_t)(axis.k - 1) * axis.dil + 1;
    nvm_flow out = running((uint32_t)axis.out, (uint64_t)in.step * (uint32_t)axis.stride,
                           ceil_of((int64_t)in.first + axis.pad, axis.stride),
                           floor_of((int64_t)in.end - reach + axis.pad, axis.stride) + 1);
    out.is_column = out.rows != 0 && is_column;
    return out;
}

/* Whether the constant codes of a layer are the same in each of so many rows. */
static int repeats(const nvm_program *program, const nvm_layer *layer, uint32_t rows)
{
    const uint8_t *codes = nvm_arena_at(program, layer->off_table0);
    size_t row = layer->n / rows * nvm_code_bytes(layer);
    return layer->n % rows == 0 && memcmp(codes, codes + row, (rows - 1) * row) == 0;
}

/* Of two values element by element. */
static nvm_flow flow_of_pair(const nvm_program *program, const nvm_flow *flows, const nvm_layer *layer)
{
    nvm_flow in[2] = {flows[layer->in[0]], flows[layer->in[layer->n_in - 1]]};
    for (int p = 0; p < 2; p++) {
        nvm_flow other = in[1 - p];
        if (in[p].why != NVM_TIME_CONST) {
            continue;
        }
        if (other.rows == 0 || !repeats(program, &program->layers[layer->in[p]], other.rows)) {
            return ended(other.rows == 0 ? NVM_TIME_AFTER : NVM_TIME_PLACE);
        }
        in[p] = other;
    }
    if (in[0].rows == 0 || in[1].rows == 0) {
        return ended(NVM_TIME_AFTER);
    }
    if (in[0].rows != in[1].rows || in[0].step != in[1].step) {
        return ended(NVM_TIME_STRIDES);
    }
    return running(in[0].rows, in[0].step, in[0].first > in[1].first ? in[0].first : in[1].first,
                   in[0].end < in[1].end ? in[0].end : in[1].end);
}

/* Sums of codes of one row each, and in every row of the same of its codes. */
static nvm_flow flow_of_mean(const nvm_program *program, const nvm_layer *layer, nvm_flow in)
{
    const uint32_t *map = nvm_arena_at(program, layer->off_table0);
    uint32_t n_in = program->layers[layer->in[0]].n;
    if (layer->n % in.rows != 0) {
        return ended(NVM_TIME_SPANNED);
    }
    uint32_t from = n_in / in.rows, to = layer->n / in.rows;
    for (uint32_t i = 0; i < n_in; i++) {
        if (map[i % from] >= to || map[i] != i / from * to + map[i % from]) {
            return ended(NVM_TIME_SPANNED);
        }
    }
    return running(in.rows, in.step, in.first, in.end);
}

/* ---- MAP ---------------------------------------------------------------------------------- */

typedef struct mapping {
    const int32_t *source;
    uint32_t codes[2]; /* of the inputs */
    uint32_t width[2]; /* of their rows */
    nvm_flow in[2];
    uint32_t rows, row; /* of the output */
} mapping;

/* The input and the row there that output code i comes from; -1: a filled one. */
static int place_of(const mapping *m, size_t i, int64_t *row)
{
    int64_t source = m->source[i];
    if (source < 0) {
        return -1;
    }
    int port = source >= m->codes[0];
    *row = (source - (port ? m->codes[0] : 0)) / m->width[port];
    return port;
}

/* Whether output row i is filled as row `mid` is, from rows (i - mid) stride further on. */
static int is_like(const mapping *m, int64_t i, int64_t mid, int64_t stride)
{
    const int32_t *codes = m->source + (size_t)i * m->row, *like = m->source + (size_t)mid * m->row;
    for (uint32_t j = 0; j < m->row; j++) {
        int64_t row, moved;
        int port = place_of(m, (size_t)mid * m->row + j, &row);
        if ((port < 0) != (codes[j] < 0)) {
            return 0;
        }
        moved = port < 0 ? codes[j] : like[j] + (i - mid) * stride * m->width[port];
        if (moved != codes[j] || place_of(m, (size_t)i * m->row + j, &row) != port) {
            return 0;
        }
    }
    return 1;
}

/* Input rows that one output row lies beyond the one before; 0: that cannot be said. */
static int64_t stride_of(const mapping *m, int64_t mid)
{
    for (uint32_t j = 0; j < m->row; j++) {
        int64_t row, before;
        int port = place_of(m, (size_t)mid * m->row + j, &row);
        if (port >= 0 && place_of(m, (size_t)(mid - 1) * m->row + j, &before) == port) {
            return row > before ? row - before : 0;
        }
    }
    return 0;
}

/* If its output is taken for so many rows. */
static nvm_flow flow_of_rows(mapping *m, uint32_t n, uint32_t rows)
{
    if (rows < 2 || n % rows != 0) {
        return ended(NVM_TIME_GATHERED);
    }
    m->rows = rows;
    m->row = n / rows;
    int64_t mid = rows / 2, stride = stride_of(m, mid), first = mid, end = mid + 1;
    if (stride == 0) {
        return ended(NVM_TIME_GATHERED);
    }
    while (first > 0 && is_like(m, first - 1, mid, stride)) {
        first--;
    }
    while (end < rows && is_like(m, end, mid, stride)) {
        end++;
    }
    for (uint32_t j = 0; j < m->row; j++) { /* rows that read clean rows only */
        int64_t row;
        int port = place_of(m, (size_t)mid * m->row + j, &row);
        if (port >= 0) {
            int64_t low = mid + ceil_of((int64_t)m->in[port].first - row, stride);
            int64_t high = mid + floor_of((int64_t)m->in[port].end - 1 - row, stride) + 1;
            first = first > low ? first : low;
            end = end < high ? end : high;
        }
    }
    return running(rows, (uint64_t)m->in[0].step * (uint64_t)stride, first, end);
}

static nvm_flow flow_of_map(const nvm_program *program, const nvm_flow *flows, const nvm_layer *layer)
{
    mapping m = {.source = nvm_arena_at(program, layer->off_table0)};
    for (uint32_t p = 0; p < 2; p++) {
        uint32_t in = layer->in[p < layer->n_in ? p : 0];
        m.in[p] = flows[in];
        m.codes[p] = program->layers[in].n;
        if (m.in[p].rows == 0) {
            return ended(NVM_TIME_AFTER);
        }
        m.width[p] = m.codes[p] / m.in[p].rows;
    }
    if (m.in[0].step != m.in[1].step) {
        return ended(NVM_TIME_STRIDES);
    }
    uint32_t rows[] = {layer->n % m.width[0] == 0 ? layer->n / m.width[0] : 0, m.in[0].rows,
                       m.in[1].rows, layer->n % m.width[1] == 0 ? layer->n / m.width[1] : 0};
    for (int k = 0; k < 4; k++) {
        nvm_flow flow = flow_of_rows(&m, layer->n, rows[k]);
        if (flow.why == NVM_TIME_RUNS) {
            return flow;
        }
    }
    return ended(NVM_TIME_GATHERED);
}

/* ---- any layer ---------------------------------------------------------------------------- */

static nvm_flow flow_of_lines(const nvm_layer *layer, nvm_flow in)
{
    return layer->out_h % in.rows == 0 ? running(in.rows, in.step, in.first, in.end)
                                       : ended(NVM_TIME_ATTENTION);
}

nvm_flow nvm_flow_of(const nvm_program *program, const nvm_flow *flows, uint32_t index)
{
    const nvm_layer *layer = &program->layers[index];
    if (layer->kind == NVM_CONST) {
        return ended(NVM_TIME_CONST);
    }
    if (layer->kind == NVM_ADD || layer->kind == NVM_TABLE2) {
        return flow_of_pair(program, flows, layer);
    }
    nvm_flow in = flows[layer->in[0]];
    if (in.rows == 0) {
        return ended(NVM_TIME_AFTER);
    }
    switch (layer->kind) {
    case NVM_CONV:
    case NVM_DWCONV:
    case NVM_AVGPOOL:
    case NVM_MAXPOOL:
        return flow_of_window(layer, in);
    case NVM_MEAN:
        return flow_of_mean(program, layer, in);
    case NVM_MAP:
        return flow_of_map(program, flows, layer);
    case NVM_TABLE: {
        uint64_t period = (uint64_t)layer->aux[0] * layer->aux[1];
        int same = layer->aux[0] == 1 || layer->n / in.rows % period == 0;
        return same ? running(in.rows, in.step, in.first, in.end) : ended(NVM_TIME_PLACE);
    }
    case NVM_SOFTMAX:
    case NVM_SOFTMAXQ:
    case NVM_LOGSOFTMAX:
    case NVM_LOGSOFTMAXQ:
    case NVM_L2NORM:
    case NVM_ARGMAX:
        return flow_of_lines(layer, in);
    case NVM_MATMUL:
        return ended(NVM_TIME_ATTENTION);
    case NVM_LERP:
        return ended(NVM_TIME_RATIONAL);
    default:
        return ended(NVM_TIME_FLATTENED);
    }
}

uint64_t nvm_flow_macs(const nvm_layer *layer, const nvm_flow *flow, uint32_t first, uint32_t end)
{
    uint64_t taps = 0, across = 0;
    if (flow->rows == 0 || (layer->kind != NVM_CONV && layer->kind != NVM_DWCONV)) {
        return flow->rows == 0 ? nvm_layer_macs(layer) : 0;
    }
    nvm_axis along = flow->is_column ? nvm_layer_cols(layer) : nvm_layer_rows(layer);
    nvm_axis other = flow->is_column ? nvm_layer_rows(layer) : nvm_layer_cols(layer);
    for (int32_t y = (int32_t)first, low, high; y < (int32_t)end; y++) {
        nvm_axis_taps(&along, y, &low, &high);
        taps += (uint64_t)(high - low);
    }
    for (int32_t x = 0, low, high; x < other.out; x++) {
        nvm_axis_taps(&other, x, &low, &high);
        across += (uint64_t)(high - low);
    }
    uint64_t each = layer->kind == NVM_DWCONV ? layer->out_c : (uint64_t)(layer->in_c / layer->groups) * layer->out_c;
    return taps * across * each; /* <= nvm_layer_macs */
}

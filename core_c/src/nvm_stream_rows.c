/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_stream_rows.c: some rows of one layer, through the kernel that makes all of them.
 *
 * A layer of fewer rows is a layer too: its record, its geometry and where it reads and writes are
 * written anew, and the kernel's full run does the rest. Rows of a window's input keep their places: the
 * padding says how far the first output row is from them. In steady hops they are the same rows each
 * time, so that what was written is kept.
 */
#include "nvm_stream_internal.h"

static void run_full(nvm_stream *stream, nvm_node *node)
{
    node->acc = node->sum = stream->sums;
    node->quiet = 1;
    if (node->packed != NULL) {
        nvm_packed_full(node, &stream->session.scratch, 0);
    } else {
        node->kernel->full(node, &stream->session.scratch);
    }
    node->acc = node->sum = NULL;
    node->stale = 0;
    nvm_clear_events(node);
}

/* Codes of an input are read from row `first` on, of so many. */
static void move_input(nvm_part *p, const nvm_node *node, uint32_t port, uint32_t first, uint32_t of)
{
    p->in[port] = (size_t)(node->in[port]->layer->n / of) * first;
}

static nvm_axis *axis_of(nvm_node *node, const nvm_flow *flow)
{
    return flow->is_column ? &node->cols : &node->rows;
}

/* The canvas of fewer pixels. */
static void cut_packed(nvm_part *p, const nvm_node *node, const nvm_flow *flow)
{
    nvm_packed *packed = &p->packed;
    *packed = *node->packed;
    packed->pairs = 0; /* their canvas is that of all rows */
    p->is_packed = 1;
    if (packed->is_flat) {
        uint32_t pixels = packed->out_w / flow->rows;
        move_input(p, node, 0, p->first, flow->rows);
        packed->width = packed->width / packed->out_w * pixels * p->rows;
        packed->out_w = pixels * p->rows;
        packed->line = packed->out_w * packed->column;
        return;
    }
    const nvm_axis *axis = &p->axis;
    uint32_t span = (p->rows - 1) * (uint32_t)axis->stride + (uint32_t)((axis->k - 1) * axis->dil) + 1;
    if (flow->is_column) {
        packed->line = packed->line / packed->width * span;
        packed->width = span;
        packed->out_w = p->rows;
    } else {
        packed->height = span;
        packed->out_h = p->rows;
    }
}

static void cut_window(nvm_part *p, const nvm_node *node, const nvm_flow *flow)
{
    p->axis.pad -= (int32_t)p->first * p->axis.stride; /* within int32: nvm_axis */
    p->axis.out = (int32_t)p->rows;
    *(flow->is_column ? &p->layer.out_w : &p->layer.out_h) = p->rows;
    if (node->packed != NULL) {
        cut_packed(p, node, flow);
    }
}

static void cut_lines(nvm_part *p, const nvm_node *node, const nvm_flow *flow)
{
    uint32_t all = flow->rows;
    switch (p->layer.kind) {
    case NVM_MAP: /* its sources count from the input's first code */
        p->table0 = (const int32_t *)node->table0 + node->layer->n / all * p->first;
        return;
    case NVM_MEAN:
    case NVM_TABLE:
        break;
    case NVM_ADD:
    case NVM_TABLE2:
        move_input(p, node, 1, p->first, all);
        break;
    default: /* lines */
        p->layer.out_h = node->layer->out_h / all * p->rows;
    }
    move_input(p, node, 0, p->first, all);
}

static void cut(nvm_part *p, nvm_node *node, const nvm_flow *flow, uint32_t first, uint32_t rows)
{
    *p = (nvm_part){.first = first, .rows = rows, .layer = *node->layer, .table0 = node->table0,
                    .axis = *axis_of(node, flow)};
    p->layer.n = node->layer->n / flow->rows * rows;
    if (p->layer.kind == NVM_CONV || p->layer.kind == NVM_DWCONV || p->layer.kind == NVM_AVGPOOL ||
        p->layer.kind == NVM_MAXPOOL) {
        cut_window(p, node, flow);
    } else {
        cut_lines(p, node, flow);
    }
}

/* Runs a part in its node's place. */
static void run_part(nvm_stream *stream, nvm_node *node, const nvm_course *course, const nvm_part *p)
{
    const nvm_layer *layer = node->layer;
    const nvm_packed *packed = node->packed;
    const void *table0 = node->table0;
    nvm_axis *axis = axis_of(node, course->flow), whole = *axis;
    int is_mean = layer->kind == NVM_MEAN;
    uint8_t *codes = node->codes, *in_codes[NVM_MAX_INPUTS];
    nvm_node *in[NVM_MAX_INPUTS];
    nvm_layer of_input;
    for (uint32_t k = 0; k < layer->n_in; k++) { /* one layer may be there twice */
        in[k] = (nvm_node *)node->in[k]; /* nodes are the stream's */
        in_codes[k] = in[k]->codes;
    }
    for (uint32_t k = 0; k < layer->n_in; k++) {
        in[k]->codes = in_codes[k] + p->in[k];
    }
    const nvm_layer *of_whole = in[0]->layer;
    if (is_mean) {
        of_input = *of_whole;
        of_input.n = of_input.n / course->flow->rows * p->rows;
        in[0]->layer = &of_input;
    }
    node->layer = &p->layer;
    node->packed = p->is_packed ? &p->packed : NULL;
    node->table0 = p->table0;
    node->codes = codes + p->first * course->row_bytes;
    *axis = p->axis;
    run_full(stream, node);
    node->layer = layer;
    node->packed = packed;
    node->table0 = table0;
    node->codes = codes;
    *axis = whole;
    in[0]->layer = of_whole;
    for (uint32_t k = 0; k < layer->n_in; k++) {
        in[k]->codes = in_codes[k];
    }
}

void nvm_run_rows(nvm_stream *stream, uint32_t index, uint32_t first, uint32_t end)
{
    const nvm_course *course = &stream->courses[index];
    const nvm_flow *flow = course->flow;
    nvm_node *node = &stream->session.nodes[index];
    if (flow->rows == 0 || (first == 0 && end == flow->rows)) {
        run_full(stream, node);
        return;
    }
    if (first < end) {
        nvm_part *p = &course->parts[first != 0 && flow->first != 0];
        if (p->first != first || p->rows != end - first) {
            cut(p, node, flow, first, end - first);
        }
        run_part(stream, node, course, p);
    }
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_stream_rows.c: some rows of one layer, through the kernel that makes all of them.
 *
 * A layer of fewer rows is a layer too: its record, its geometry and where it reads and writes are
 * written anew, and the kernel's full run does the rest. Rows of a window's input keep their places: the
 * padding says how far the first output row is from them.
 */
#include "nvm_stream_internal.h"

/* What of a node is another for a part of its rows, and what it was. */
typedef struct part {
    nvm_node *node, *in[NVM_MAX_INPUTS];
    nvm_layer layer, of_input;
    nvm_packed packed;
    struct {
        const nvm_layer *layer, *of_input;
        const nvm_packed *packed;
        const void *table0;
        void *codes, *in_codes[NVM_MAX_INPUTS];
        nvm_axis axis;
    } was;
} part;

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

/* Codes of input p from row `first` on, of so many. */
static void move_input(const part *p, uint32_t port, uint32_t first, uint32_t of)
{
    p->in[port]->codes = (int8_t *)p->was.in_codes[port] + (size_t)(p->in[port]->layer->n / of) * first;
}

static nvm_axis *axis_of(nvm_node *node, const nvm_flow *flow)
{
    return flow->is_column ? &node->cols : &node->rows;
}

/* The canvas of fewer pixels. */
static void cut_packed(part *p, const nvm_flow *flow, uint32_t first, uint32_t rows)
{
    nvm_packed *packed = &p->packed;
    *packed = *p->node->packed;
    packed->pairs = 0; /* their canvas is that of all rows */
    p->node->packed = packed;
    if (packed->is_flat) {
        uint32_t pixels = packed->out_w / flow->rows;
        move_input(p, 0, first, flow->rows);
        packed->width = packed->width / packed->out_w * pixels * rows;
        packed->out_w = pixels * rows;
        packed->line = packed->out_w * packed->column;
        return;
    }
    const nvm_axis *axis = axis_of(p->node, flow);
    uint32_t span = (rows - 1) * (uint32_t)axis->stride + (uint32_t)((axis->k - 1) * axis->dil) + 1;
    if (flow->is_column) {
        packed->line = packed->line / packed->width * span;
        packed->width = span;
        packed->out_w = rows;
    } else {
        packed->height = span;
        packed->out_h = rows;
    }
}

static void cut_window(part *p, const nvm_flow *flow, uint32_t first, uint32_t rows)
{
    nvm_axis *axis = axis_of(p->node, flow);
    axis->pad -= (int32_t)first * axis->stride; /* within int32: nvm_axis */
    axis->out = (int32_t)rows;
    *(flow->is_column ? &p->layer.out_w : &p->layer.out_h) = rows;
    if (p->node->packed != NULL) {
        cut_packed(p, flow, first, rows);
    }
}

static void cut_lines(part *p, const nvm_flow *flow, uint32_t first, uint32_t rows)
{
    const nvm_layer *layer = p->was.layer;
    uint32_t all = flow->rows;
    switch (layer->kind) {
    case NVM_MAP: /* its sources count from the input's first code */
        p->node->packed = NULL;
        p->node->table0 = (const int32_t *)p->node->table0 + layer->n / all * first;
        return;
    case NVM_MEAN:
        move_input(p, 0, first, all);
        p->of_input = *p->was.of_input;
        p->of_input.n = p->of_input.n / all * rows;
        p->in[0]->layer = &p->of_input;
        return;
    case NVM_ADD:
    case NVM_TABLE2:
        move_input(p, 1, first, all);
        break;
    case NVM_TABLE:
        break;
    default: /* lines */
        p->layer.out_h = layer->out_h / all * rows;
    }
    move_input(p, 0, first, all);
}

static void cut(part *p, const nvm_course *course, uint32_t first, uint32_t rows)
{
    nvm_node *node = p->node;
    const nvm_layer *layer = node->layer;
    p->was.layer = layer;
    p->was.packed = node->packed;
    p->was.table0 = node->table0;
    p->was.codes = node->codes;
    p->was.axis = *axis_of(node, course->flow);
    for (uint32_t k = 0; k < layer->n_in; k++) {
        p->in[k] = (nvm_node *)node->in[k]; /* nodes are the stream's */
        p->was.in_codes[k] = p->in[k]->codes;
    }
    p->was.of_input = p->in[0]->layer;
    p->layer = *layer;
    p->layer.n = layer->n / course->flow->rows * rows;
    node->layer = &p->layer;
    node->codes = (uint8_t *)node->codes + first * course->row_bytes;
    if (layer->kind == NVM_CONV || layer->kind == NVM_DWCONV || layer->kind == NVM_AVGPOOL ||
        layer->kind == NVM_MAXPOOL) {
        cut_window(p, course->flow, first, rows);
    } else {
        cut_lines(p, course->flow, first, rows);
    }
}

static void restore(const part *p, const nvm_flow *flow)
{
    nvm_node *node = p->node;
    node->layer = p->was.layer;
    node->packed = p->was.packed;
    node->table0 = p->was.table0;
    node->codes = p->was.codes;
    *axis_of(node, flow) = p->was.axis;
    for (uint32_t k = 0; k < node->layer->n_in; k++) {
        p->in[k]->codes = p->was.in_codes[k];
    }
    p->in[0]->layer = p->was.of_input;
}

void nvm_run_rows(nvm_stream *stream, uint32_t index, uint32_t first, uint32_t end)
{
    const nvm_course *course = &stream->courses[index];
    nvm_node *node = &stream->session.nodes[index];
    part p;
    if (course->flow->rows == 0 || (first == 0 && end == course->flow->rows)) {
        run_full(stream, node);
        return;
    }
    if (first < end) {
        p.node = node;
        cut(&p, course, first, end - first);
        run_full(stream, node);
        restore(&p, course->flow);
    }
}

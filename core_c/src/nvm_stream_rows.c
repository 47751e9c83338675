/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_stream_rows.c: some rows of one layer, through the kernel that makes all of them.
 *
 * A layer of fewer rows is a layer too: its record, its geometry and where it reads and writes are
 * written anew, and the kernel's full run does the rest. Rows of a window's input keep their places: the
 * padding says how far the first output row is from them.
 */
#include "nvm_stream_internal.h"

typedef struct part {
    nvm_node node, in[NVM_MAX_INPUTS];
    nvm_layer layer, of_input;
    nvm_packed packed;
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

/* Input p with its codes moved on by `rows` of so many in all. */
static void move_input(part *p, uint32_t port, uint32_t first, uint32_t of)
{
    const nvm_node *in = p->node.in[port];
    p->in[port] = *in;
    p->in[port].codes = (int8_t *)in->codes + (size_t)(in->layer->n / of) * first;
    p->node.in[port] = &p->in[port];
}

/* The canvas of fewer pixels. */
static void cut_packed(part *p, const nvm_course *course, uint32_t first, uint32_t rows)
{
    nvm_packed *packed = &p->packed;
    *packed = *p->node.packed;
    p->node.packed = packed;
    if (packed->is_flat) {
        uint32_t pixels = packed->out_w / course->flow->rows;
        move_input(p, 0, first, course->flow->rows);
        packed->width = packed->width / packed->out_w * pixels * rows;
        packed->out_w = pixels * rows;
        packed->line = packed->out_w * packed->column;
        return;
    }
    const nvm_axis *axis = course->flow->is_column ? &p->node.cols : &p->node.rows;
    uint32_t span = (rows - 1) * (uint32_t)axis->stride + (uint32_t)((axis->k - 1) * axis->dil) + 1;
    if (course->flow->is_column) {
        packed->line = packed->line / packed->width * span;
        packed->width = span;
        packed->out_w = rows;
    } else {
        packed->height = span;
        packed->out_h = rows;
    }
}

static void cut_window(part *p, const nvm_course *course, uint32_t first, uint32_t rows)
{
    nvm_axis *axis = course->flow->is_column ? &p->node.cols : &p->node.rows;
    axis->pad -= (int32_t)first * axis->stride; /* within int32: nvm_axis */
    axis->out = (int32_t)rows;
    *(course->flow->is_column ? &p->layer.out_w : &p->layer.out_h) = rows;
    if (p->node.packed != NULL) {
        cut_packed(p, course, first, rows);
    }
}

static void cut(part *p, const nvm_course *course, uint32_t first, uint32_t rows)
{
    const nvm_layer *layer = p->node.layer;
    uint32_t all = course->flow->rows;
    p->layer = *layer;
    p->layer.n = layer->n / all * rows;
    p->node.layer = &p->layer;
    p->node.codes = (uint8_t *)p->node.codes + first * course->row_bytes;
    switch (layer->kind) {
    case NVM_CONV:
    case NVM_DWCONV:
    case NVM_AVGPOOL:
    case NVM_MAXPOOL:
        cut_window(p, course, first, rows);
        return;
    case NVM_MAP: /* its sources count from the input's first code */
        p->node.packed = NULL;
        p->node.table0 = (const int32_t *)p->node.table0 + layer->n / all * first;
        return;
    case NVM_MEAN:
        p->of_input = *p->node.in[0]->layer;
        p->of_input.n = p->of_input.n / all * rows;
        move_input(p, 0, first, all);
        p->in[0].layer = &p->of_input;
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
        p.node = *node;
        cut(&p, course, first, end - first);
        run_full(stream, &p.node);
    }
}

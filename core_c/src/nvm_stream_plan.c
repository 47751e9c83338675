/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_stream_plan.c: what a stream keeps of each layer, and where that lies.
 */
#include "nvm_stream_internal.h"

/* Beyond that many of ten rows a layer is not worth keeping. */
#define MOST_DIRTY 9u
/* One row in so many more has room in a copy. */
#define SLACK 8u
/* Copies of one layer. */
#define MOST_COPIES 64u

nvm_status nvm_stream_check(const nvm_program *program, uint32_t frames, uint32_t hop)
{
    nvm_status status = NVM_OK;
    if (program == NULL || program->n_layers == 0 || hop == 0) {
        status = NVM_E_ARG;
        goto done;
    }
    if (program->n_inputs != 1 || program->memory || program->unit || program->coding != 0) {
        status = NVM_E_UNSUPPORTED;
        goto done;
    }
    for (uint32_t i = 0; i < program->n_layers; i++) {
        if (nvm_is_spiking(&program->layers[i]) || nvm_is_wide(&program->layers[i])) {
            status = NVM_E_UNSUPPORTED;
            goto done;
        }
    }
    if (frames < 2 || program->codes_in % frames != 0) {
        status = NVM_E_RANGE;
    }
done:
    return status;
}

/* What is computed and kept of a layer, and the memory that takes. */
static void settle(const nvm_layer *layer, uint32_t hop, nvm_flow *flow)
{
    uint32_t rows = flow->rows;
    flow->copies = 1;
    flow->capacity = flow->dirty = rows;
    if (rows == 0) {
        flow->macs = nvm_layer_macs(layer);
        flow->bytes = layer->n;
        return;
    }
    uint32_t common = nvm_gcd(hop, flow->step), clean = flow->end - flow->first;
    uint32_t moved = hop / common < clean ? hop / common : clean;
    flow->dirty = rows - clean + moved;
    flow->is_kept = layer->kind == NVM_INPUT ||
                    (flow->dirty * 10u <= rows * MOST_DIRTY && flow->step / common <= MOST_COPIES);
    if (flow->is_kept) {
        flow->copies = flow->step / common;
        flow->capacity = rows + (moved > rows / SLACK ? moved : rows / SLACK);
    } else {
        flow->dirty = rows;
    }
    uint32_t top = flow->is_kept ? flow->first : rows;
    flow->macs = nvm_flow_macs(layer, flow, 0, top) +
                 nvm_flow_macs(layer, flow, rows - (flow->dirty - top), rows);
    flow->bytes = (uint64_t)(layer->n / rows) * flow->capacity * flow->copies;
}

static nvm_flow flow_of(const nvm_program *program, const nvm_flow *flows, uint32_t index, uint32_t frames,
                        uint32_t hop)
{
    const nvm_layer *layer = &program->layers[index];
    nvm_flow flow = {.rows = frames, .step = 1, .end = frames};
    if (layer->kind != NVM_INPUT) {
        flow = nvm_flow_of(program, flows, index);
    }
    settle(layer, hop, &flow);
    return flow;
}

uint32_t nvm_stream_frames(const nvm_program *program)
{
    uint32_t held = UINT32_MAX; /* the layer that holds the input's codes, element by element */
    for (uint32_t i = 0; program != NULL && i < program->n_layers; i++) {
        const nvm_layer *layer = &program->layers[i];
        if (layer->kind == NVM_INPUT && held == UINT32_MAX) {
            held = i;
        } else if (layer->n_in != 0 && layer->in[0] == held) {
            switch (layer->kind) {
            case NVM_TABLE:
                held = i;
                break;
            case NVM_CONV:
            case NVM_DWCONV:
            case NVM_AVGPOOL:
            case NVM_MAXPOOL: {
                uint32_t rows = layer->in_h > 1 ? layer->in_h : layer->in_w;
                return rows > 1 ? rows : 0;
            }
            default:
                return 0;
            }
        }
    }
    return 0;
}

/* ---- memory ------------------------------------------------------------------------------- */

nvm_stream_head nvm_take_head(const nvm_program *program, nvm_block *mem)
{
    nvm_stream_head h;
    h.stream = nvm_take(mem, 1, sizeof *h.stream);
    h.nodes = nvm_take(mem, program->n_layers, sizeof *h.nodes);
    h.flows = nvm_take(mem, program->n_layers, sizeof *h.flows);
    h.courses = nvm_take(mem, program->n_layers, sizeof *h.courses);
    h.output = nvm_take(mem, program->bytes_out, 1);
    return h;
}

/* Strips of rows that are computed in a hop. */
static size_t count_parts(const nvm_layer *layer, const nvm_flow *flow)
{
    return !flow->is_kept || layer->kind == NVM_INPUT ? 0 : flow->first != 0 ? 2 : 1;
}

/* A layer's codes, and how they lie; those that are not kept from hop to hop are to be at `passing`. */
static nvm_course take_course(nvm_block *mem, const nvm_layer *layer, const nvm_flow *flow, uint8_t *passing)
{
    nvm_course course = {.flow = flow, .row_bytes = layer->n, .base = passing};
    size_t bytes = layer->n;
    if (flow->rows != 0) {
        course.row_bytes = layer->n / flow->rows;
        bytes = course.row_bytes * flow->capacity;
    }
    course.copies = nvm_take(mem, flow->copies, sizeof *course.copies);
    course.parts = nvm_take(mem, count_parts(layer, flow), sizeof *course.parts);
    if (!flow->is_passing) {
        course.copy_bytes = bytes;
        course.base = nvm_take(mem, bytes, flow->copies);
    }
    return course;
}

size_t nvm_stream_layout(const nvm_program *program, nvm_block *mem, const nvm_flow *flows,
                         const nvm_stream_head *h)
{
    size_t most = 0, canvas = 0, passes = 0;
    for (uint32_t i = 0; i < program->n_layers; i++) {
        passes = flows[i].is_passing && program->layers[i].n > passes ? program->layers[i].n : passes;
    }
    uint8_t *passing = nvm_take(mem, passes, 1);
    for (uint32_t i = 0; i < program->n_layers; i++) {
        const nvm_layer *layer = &program->layers[i];
        size_t read = nvm_canvas_bytes(program, i);
        nvm_course course = take_course(mem, layer, &flows[i], passing);
        canvas = canvas > read ? canvas : read;
        if (nvm_layer_keeps_acc(layer) && layer->n > most) {
            most = layer->n;
        }
        if (h != NULL) {
            h->courses[i] = course;
            memset(course.copies, 0, flows[i].copies * sizeof *course.copies);
            if (count_parts(layer, &flows[i]) != 0) {
                memset(course.parts, 0, count_parts(layer, &flows[i]) * sizeof *course.parts);
            }
            nvm_resolve_node(program, h->nodes, i);
            h->nodes[i].codes = course.base;
            h->nodes[i].stale = 0;
        }
    }
    void *sums = nvm_take(mem, most, sizeof(int32_t));
    uint8_t *read = nvm_take(mem, canvas, 1);
    if (h != NULL) {
        h->stream->session.nodes = h->nodes;
        h->stream->session.output = h->output;
        h->stream->session.scratch.canvas = read;
        h->stream->courses = h->courses;
        h->stream->sums = sums;
    }
    return mem->used;
}

/* Whether each row of a layer is made of the same row of its input, the layer before it. */
static int is_rowwise(const nvm_layer *layer, const nvm_flow *flow)
{
    nvm_axis axis = flow->is_column ? nvm_layer_cols(layer) : nvm_layer_rows(layer);
    return layer->kind == NVM_TABLE || (layer->kind == NVM_CONV && axis.k == 1 && axis.pad == 0 &&
                                        axis.stride == 1);
}

/* A layer that only the next one reads, and of that only the rows that both compute in a hop, need not be there
 * in the hop after: these layers' codes share a place. */
static void let_pass(const nvm_program *program, nvm_flow *flows)
{
    for (uint32_t i = 1; i + 1 < program->n_layers; i++) {
        const nvm_layer *layer = &program->layers[i], *next = layer + 1;
        nvm_flow *flow = &flows[i];
        int passes = flow->is_kept && flows[i + 1].is_kept && layer->kind != NVM_INPUT &&
                     !(layer->flags & NVM_FLAG_OUTPUT) && is_rowwise(next, &flows[i + 1]) &&
                     next->in[0] == i && flow->rows == flows[i + 1].rows && flow->step == flows[i + 1].step &&
                     flow->first == flows[i + 1].first && flow->end == flows[i + 1].end;
        for (uint32_t k = 0; k < layer->n_in; k++) {
            passes &= !flows[layer->in[k]].is_passing;
        }
        for (uint32_t j = i + 2; passes && j < program->n_layers; j++) {
            for (uint32_t k = 0; k < program->layers[j].n_in; k++) {
                passes &= program->layers[j].in[k] != i;
            }
        }
        if (passes) {
            flow->is_passing = 1;
            flow->capacity = flow->rows;
            flow->bytes = 0;
        }
    }
}

nvm_status nvm_stream_plan(const nvm_program *program, uint32_t frames, uint32_t hop, nvm_flow *flows,
                           size_t *size)
{
    nvm_status status = flows == NULL ? NVM_E_ARG : nvm_stream_check(program, frames, hop);
    for (uint32_t i = 0; status == NVM_OK && i < program->n_layers; i++) {
        flows[i] = flow_of(program, flows, i, frames, hop);
    }
    if (status == NVM_OK) {
        let_pass(program, flows);
    }
    if (status == NVM_OK && size != NULL) {
        nvm_block mem = {.base = NULL};
        (void)nvm_take_head(program, &mem);
        *size = nvm_stream_layout(program, &mem, flows, NULL);
    }
    return status;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_stream_plan.c: what a stream keeps of each layer, and where that lies.
 */
#include "nvm_stream_internal.h"

/* Beyond that many of ten rows a layer is not worth keeping. */
#define MOST_DIRTY 9u
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
        flow->capacity = rows + (moved > rows / 4 ? moved : rows / 4);
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

/* A layer's codes, and how they lie. */
static nvm_course take_course(nvm_block *mem, const nvm_layer *layer, const nvm_flow *flow)
{
    nvm_course course = {.flow = flow, .row_bytes = layer->n};
    size_t bytes = layer->n;
    if (flow->rows != 0) {
        course.row_bytes = layer->n / flow->rows;
        bytes = course.row_bytes * flow->capacity;
    }
    course.copies = nvm_take(mem, flow->copies, sizeof *course.copies);
    course.copy_bytes = bytes;
    course.base = nvm_take(mem, bytes, flow->copies);
    return course;
}

size_t nvm_stream_layout(const nvm_program *program, nvm_block *mem, const nvm_flow *flows,
                         const nvm_stream_head *h)
{
    size_t most = 0, canvas = 0;
    for (uint32_t i = 0; i < program->n_layers; i++) {
        const nvm_layer *layer = &program->layers[i];
        size_t read = nvm_canvas_bytes(program, i);
        nvm_course course = take_course(mem, layer, &flows[i]);
        canvas = canvas > read ? canvas : read;
        if (nvm_layer_keeps_acc(layer) && layer->n > most) {
            most = layer->n;
        }
        if (h != NULL) {
            h->courses[i] = course;
            memset(course.copies, 0, flows[i].copies * sizeof *course.copies);
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

nvm_status nvm_stream_plan(const nvm_program *program, uint32_t frames, uint32_t hop, nvm_flow *flows,
                           size_t *size)
{
    nvm_status status = flows == NULL ? NVM_E_ARG : nvm_stream_check(program, frames, hop);
    for (uint32_t i = 0; status == NVM_OK && i < program->n_layers; i++) {
        flows[i] = flow_of(program, flows, i, frames, hop);
    }
    if (status == NVM_OK && size != NULL) {
        nvm_block mem = {.base = NULL};
        (void)nvm_take_head(program, &mem);
        *size = nvm_stream_layout(program, &mem, flows, NULL);
    }
    return status;
}

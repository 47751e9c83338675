/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_stream.c: the window of a stream moves.
 *
 * A copy of a layer has room for more rows than its window. To move by sigma rows the window slides on
 * by so many, and only where it meets the end are the rows that stay moved back to the beginning.
 */
#include "nvm_stream_internal.h"

/* Hops that are tried on a whole window whose hop is not the usual one. */
#define MOST_TRIES 16u

/* All of a layer is to be computed, at the beginning of a copy. */
static void forget(nvm_course *course, nvm_copy *copy)
{
    copy->start = 0;
    course->first = course->end = course->flow->rows;
}

/* Slides the copy's window on by `moved` rows; what it had of the new one stays. */
static void slide(nvm_course *course, nvm_copy *copy, uint8_t *base, uint64_t moved)
{
    const nvm_flow *flow = course->flow;
    if (moved >= flow->end - flow->first) {
        forget(course, copy);
        return;
    }
    uint32_t by = (uint32_t)moved, end = flow->end - by;
    if (moved == 0) { /* the same window */
        course->first = 0;
        course->end = flow->rows;
        return;
    }
    if (flow->is_passing) {
        ; /* what is not computed is not read */
    } else if (copy->start + by + flow->rows > flow->capacity) {
        memmove(base + flow->first * course->row_bytes,
                base + (copy->start + by + flow->first) * course->row_bytes,
                (end - flow->first) * course->row_bytes);
        copy->start = 0;
    } else {
        copy->start += by;
    }
    course->first = flow->first;
    course->end = end;
}

/* Chooses the copy for the stream's window and says which of its rows are there. */
static void turn(nvm_stream *stream, uint32_t index)
{
    nvm_course *course = &stream->courses[index];
    const nvm_flow *flow = course->flow;
    uint32_t which = flow->copies == 1 ? 0 : (uint32_t)(stream->at / (flow->step / flow->copies) % flow->copies);
    nvm_copy *copy = &course->copies[which];
    uint8_t *base = course->base + which * course->copy_bytes;
    uint64_t gone = stream->at - copy->at;
    if (flow->is_kept && copy->holds && gone % flow->step == 0) {
        slide(course, copy, base, gone / flow->step);
    } else {
        forget(course, copy);
    }
    copy->at = stream->at;
    copy->holds = 1;
    stream->session.nodes[index].codes = base + copy->start * course->row_bytes;
}

static void add_to(uint64_t *counter, uint64_t amount)
{
    __atomic_store_n(counter, *counter + amount, __ATOMIC_RELAXED);
}

/* Weights applied to what is not kept of a layer. */
static uint64_t macs_of(const nvm_layer *layer, const nvm_course *course)
{
    const nvm_flow *flow = course->flow;
    if (flow->rows - (course->end - course->first) == flow->dirty) {
        return flow->macs;
    }
    return nvm_flow_macs(layer, flow, 0, course->first) + nvm_flow_macs(layer, flow, course->end, flow->rows);
}

/* Every layer but the input, for the window as it stands. */
static uint64_t run(nvm_stream *stream)
{
    const nvm_program *program = stream->session.program;
    uint64_t macs = 0;
    for (uint32_t i = 0; i < program->n_layers; i++) {
        const nvm_layer *layer = &program->layers[i];
        const nvm_course *course = &stream->courses[i];
        nvm_node *node = &stream->session.nodes[i];
        if (layer->kind == NVM_INPUT || layer->kind == NVM_CONST) {
            continue;
        }
        uint64_t before = node->sops;
        turn(stream, i);
        nvm_run_rows(stream, i, 0, course->first);
        if (course->flow->rows != 0) {
            nvm_run_rows(stream, i, course->end, course->flow->rows);
        }
        node->sops = before + macs_of(layer, course);
        node->way = course->first < course->end ? NVM_TILES : NVM_DENSE_WAY;
        macs += node->sops - before;
    }
    return macs;
}

/* The input holds another window: bring the layers up to date. */
static void follow(nvm_stream *stream, int moved)
{
    nvm_session *session = &stream->session;
    if (moved) {
        add_to(&session->counters->sops, run(stream));
    }
    nvm_session_publish(session, 1);
    add_to(&session->counters->steps, 1);
    add_to(&session->counters->dense_macs, session->program->macs);
}

/* Nothing of the windows before counts any more. */
static void start_over(nvm_stream *stream)
{
    stream->at = 0;
    for (uint32_t i = 0; i < stream->session.program->n_layers; i++) {
        for (uint32_t c = 0; c < stream->courses[i].flow->copies; c++) {
            stream->courses[i].copies[c].holds = 0;
        }
    }
}

/* The window moves on by so many frames; the last that it needs of them are the `n` given ones. */
static void take_frames(nvm_stream *stream, const uint8_t *frames, uint64_t moved)
{
    nvm_course *course = &stream->courses[stream->input];
    uint32_t all = course->flow->rows;
    stream->at += moved;
    if (moved >= all) {
        frames += (moved - all) * course->row_bytes;
        start_over(stream);
    }
    turn(stream, stream->input);
    uint32_t kept = course->end - course->first;
    memcpy((uint8_t *)stream->session.nodes[stream->input].codes + kept * course->row_bytes, frames,
           (all - kept) * course->row_bytes);
}

/* By how many frames a window is the one before moved on; UINT32_MAX: by none. */
static uint32_t find_shift(const nvm_stream *stream, const uint8_t *window)
{
    const nvm_course *course = &stream->courses[stream->input];
    const uint8_t *old = stream->session.nodes[stream->input].codes;
    uint32_t all = course->flow->rows, tries = 0;
    size_t row = course->row_bytes;
    if (stream->hop < all && memcmp(window, old + stream->hop * row, (all - stream->hop) * row) == 0) {
        return stream->hop;
    }
    for (uint32_t moved = 0; moved < all && tries < MOST_TRIES; moved++) {
        if (memcmp(window, old + moved * row, row) == 0) {
            tries++;
            if (memcmp(window, old + moved * row, (all - moved) * row) == 0) {
                return moved;
            }
        }
    }
    return UINT32_MAX;
}

/* ---- calls -------------------------------------------------------------------------------- */

nvm_status nvm_stream_reset(nvm_stream *stream)
{
    nvm_status status = NVM_OK;
    if (stream == NULL) {
        status = NVM_E_ARG;
        goto done;
    }
    nvm_node *input = &stream->session.nodes[stream->input];
    start_over(stream);
    turn(stream, stream->input);
    memset(input->codes, input->layer->zero_out, input->layer->n);
    (void)run(stream);
    nvm_session_publish(&stream->session, 1);
    stream->session.changed = 0;
done:
    return status;
}

nvm_status nvm_stream_init(void *mem, size_t len, const nvm_program *program, uint32_t frames, uint32_t hop,
                           nvm_counters *counters, nvm_stream **out)
{
    nvm_block space = {.base = mem};
    size_t size;
    nvm_status status = mem == NULL || out == NULL ? NVM_E_ARG : nvm_stream_check(program, frames, hop);
    if (status != NVM_OK) {
        goto done;
    }
    nvm_stream_head h = nvm_take_head(program, &space);
    if ((uintptr_t)mem % NVM_ALIGN != 0 || (uintptr_t)counters % sizeof(uint64_t) != 0 || len < space.used) {
        status = NVM_E_SIZE;
        goto done;
    }
    status = nvm_stream_plan(program, frames, hop, h.flows, &size);
    if (status != NVM_OK || len < size) {
        status = status != NVM_OK ? status : NVM_E_SIZE;
        goto done;
    }
    memset(h.stream, 0, sizeof *h.stream);
    memset(h.nodes, 0, program->n_layers * sizeof *h.nodes);
    memset(h.output, 0, size - (size_t)(h.output - space.base));
    (void)nvm_stream_layout(program, &space, h.flows, &h);
    h.stream->hop = hop;
    h.stream->session.program = program;
    h.stream->session.counters = counters != NULL ? counters : &h.stream->session.own;
    for (uint32_t i = 0; i < program->n_layers; i++) {
        if (program->layers[i].kind == NVM_CONST) {
            memcpy(h.nodes[i].codes, h.nodes[i].table0, program->layers[i].n);
        } else if (program->layers[i].kind == NVM_INPUT) {
            h.stream->input = i;
        }
    }
    *out = h.stream;
    status = nvm_stream_reset(h.stream);
done:
    return status;
}

nvm_status nvm_stream_push(nvm_stream *stream, const void *frames, size_t n)
{
    nvm_status status = NVM_OK;
    if (stream == NULL || frames == NULL || n == 0 || n % stream->courses[stream->input].row_bytes != 0) {
        status = NVM_E_ARG;
        goto done;
    }
    take_frames(stream, frames, n / stream->courses[stream->input].row_bytes);
    follow(stream, 1);
done:
    return status;
}

nvm_status nvm_stream_step(nvm_stream *stream, const void *window, size_t n, uint32_t *moved)
{
    nvm_status status = NVM_OK;
    if (stream == NULL || window == NULL || n != stream->session.program->bytes_in) {
        status = NVM_E_ARG;
        goto done;
    }
    const nvm_course *course = &stream->courses[stream->input];
    uint32_t all = course->flow->rows, shift = find_shift(stream, window);
    if (shift == UINT32_MAX) {
        take_frames(stream, window, all);
    } else if (shift != 0) {
        take_frames(stream, (const uint8_t *)window + (all - shift) * course->row_bytes, shift);
    }
    follow(stream, shift != 0);
    if (moved != NULL) {
        *moved = shift;
    }
done:
    return status;
}

nvm_status nvm_stream_output(const nvm_stream *stream, uint32_t port, const int8_t **codes, size_t *n,
                             int *changed)
{
    return stream == NULL ? NVM_E_ARG : nvm_session_output(&stream->session, port, codes, n, changed);
}

nvm_status nvm_stream_layer(const nvm_stream *stream, uint32_t layer, nvm_layer_view *view)
{
    nvm_status status = NVM_OK;
    if (stream == NULL || view == NULL || layer >= stream->session.program->n_layers) {
        status = NVM_E_ARG;
        goto done;
    }
    const nvm_flow *flow = stream->courses[layer].flow;
    nvm_node *node = &stream->session.nodes[layer];
    if (flow->is_passing) { /* not all of its rows are there */
        uint64_t sops = node->sops;
        nvm_run_rows((nvm_stream *)stream, layer, 0, flow->rows); /* memory of the caller's */
        node->sops = sops;
    }
    *view = (nvm_layer_view){.codes = node->codes, .n = node->layer->n, .code_bytes = 1,
                             .sops = node->sops, .way = (nvm_way)node->way};
done:
    return status;
}

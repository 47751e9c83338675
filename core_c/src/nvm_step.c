/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_step.c: one step of a session, layer by layer in topological order.
 */
#include "nvm_step.h"

/* ---- layers ------------------------------------------------------------------------------- */

/* Whether no input sent anything and nothing is left to do; unless a full run is forced. */
static int is_at_rest(const nvm_node *node)
{
    uint32_t sent = 0;
    for (uint32_t p = 0; p < node->layer->n_in; p++) {
        sent |= node->in[p]->n_events | node->in[p]->n_spikes;
    }
    return sent == 0 && node->pending == 0 && node->moved == 0 && node->forced <= NVM_EVENTS &&
           node->layer->neuron == NVM_SD;
}

void nvm_run_node(nvm_session *session, nvm_node *node)
{
    const nvm_layer *layer = node->layer;
    size_t received = 0;
    assert(session->scratch.marks.first == session->scratch.marks.end);
    if (is_at_rest(node)) {
        node->behind = 0;
        node->way = NVM_EVENTS;
        return;
    }
    if (node->small && node->forced == NVM_AUTO && layer->neuron == NVM_SD) {
        node->behind = node->pending;
        node->pending = node->moved = 0;
        node->way = NVM_DENSE_WAY;
        nvm_run_full(node, &session->scratch, 0);
        return;
    }
    for (uint32_t p = 0; p < layer->n_in; p++) {
        received += nvm_takes_spikes(node) ? node->in[p]->n_spikes : node->in[p]->n_events;
    }
    node->behind = node->pending;
    node->pending = 0;
    nvm_way way = nvm_choose_way(node, received, &session->scratch);
    if (node->behind && !nvm_layer_keeps_acc(layer)) {
        way = NVM_DENSE_WAY; /* no record of which codes are behind: all are looked at */
    }
    node->way = (uint8_t)way;
    if (layer->neuron != NVM_SD) {
        memset(node->sum, 0, layer->n * sizeof(int32_t));
    } else if (received == 0 && !node->behind && !node->moved && way != NVM_DENSE_WAY) {
        return;
    }
    node->moved = 0;
    if (way == NVM_EVENTS && nvm_takes_spikes(node)) {
        nvm_node *in = &session->nodes[layer->in[0]];
        uint32_t n_events = in->n_events;
        nvm_list_events(in);
        nvm_add_spikes(node, &session->scratch);
        in->n_events = 0; /* they are in the sums */
        node->kernel->events(node, &session->scratch);
        in->n_events = n_events;
    } else if (way == NVM_TILES) {
        nvm_run_tiles(node, &session->scratch);
    } else if (way != NVM_EVENTS) {
        nvm_run_full(node, &session->scratch, 0);
    } else if (node->stale) { /* once in full, so that events have something to change */
        nvm_run_full(node, &session->scratch, 1);
    } else {
        nvm_run_events(node, &session->scratch);
    }
}

static void add_to(uint64_t *counter, uint64_t amount)
{
    __atomic_store_n(counter, *counter + amount, __ATOMIC_RELAXED);
}

/* Inputs sent before the first sweep, memory that moved sends in it; later sweeps send what is left of both. */
static void send_wanted(const nvm_isa *isa, nvm_node *node, int first)
{
    if (first && node->layer->kind == NVM_INPUT) {
        return;
    }
    nvm_clear_events(node);
    node->behind = node->pending;
    node->pending = 0;
    if (node->behind || (first && node->moved)) {
        nvm_send_input(isa, node);
    }
}

/* One sweep over all layers; the events of the inputs are there for the first. Returns what is sent. */
static uint64_t sweep(nvm_session *session, int first)
{
    nvm_counters *counters = session->counters;
    uint64_t events_in = 0, events_out = 0, sops = 0;
    for (uint32_t i = 0; i < session->program->n_layers; i++) {
        nvm_node *node = &session->nodes[i];
        uint64_t before = node->sops;
        if (first) {
            node->last_events = 0;
        }
        if (node->layer->kind == NVM_CONST || (!first && nvm_is_spiking(node->layer))) {
            continue; /* time does not pass between sweeps: spiking neurons step once */
        }
        if (node->wanted != NULL) {
            send_wanted(session->program->isa, node, first);
        } else {
            nvm_clear_events(node);
            nvm_run_node(session, node);
        }
        if (node->coding != 0) {
            nvm_code_changes(node, session->planes, session->behind);
        }
        uint32_t sent = node->coding != 0 ? node->n_spikes : node->n_events;
        *(node->layer->kind == NVM_INPUT ? &events_in : &events_out) += sent;
        node->sent += sent;
        node->last_events += sent;
        sops += node->sops - before;
    }
    add_to(&counters->events_in, events_in);
    add_to(&counters->events_out, events_out);
    add_to(&counters->sops, sops);
    return events_in + events_out;
}

void nvm_session_publish(nvm_session *session, int always)
{
    uint8_t *port = session->output;
    session->changed = 0;
    for (uint32_t i = session->first_output; i < session->program->n_layers; i++) {
        nvm_node *node = &session->nodes[i];
        if (!(node->layer->flags & NVM_FLAG_OUTPUT)) {
            continue;
        }
        size_t n = node->layer->n * nvm_code_bytes(node->layer); /* bytes */
        if (nvm_is_spiking(node->layer)) {
            node->changed = node->last_events != 0;
            memcpy(port, node->codes, n);
        } else {
            node->changed = (node->last_events != 0 || always) && memcmp(port, node->codes, n) != 0;
            if (node->changed) {
                memcpy(port, node->codes, n);
            }
        }
        session->changed |= node->changed;
        port += n;
    }
}

/* Before the inputs send. What else a step begins with is set by its first sweep. */
void nvm_step_begin(nvm_session *session)
{
    for (uint32_t i = 0; i < session->end_inputs; i++) {
        if (session->nodes[i].layer->kind == NVM_INPUT) {
            nvm_clear_events(&session->nodes[i]);
        }
    }
    for (uint32_t i = 0; session->behind && i < session->program->n_layers; i++) {
        session->nodes[i].pending |= 1;
    }
}

/* Whether a step in which no input changes has nothing to do but to count. */
static int is_settled(const nvm_session *session)
{
    const nvm_program *program = session->program;
    if (program->unit || program->coding != 0) {
        return 0;
    }
    for (uint32_t i = 0; i < program->n_layers; i++) {
        const nvm_node *node = &session->nodes[i];
        if (nvm_is_spiking(node->layer) || node->forced > NVM_EVENTS) {
            return 0;
        }
    }
    return 1;
}

void nvm_step_count(nvm_session *session)
{
    add_to(&session->counters->steps, 1);
    add_to(&session->counters->dense_macs, session->program->macs);
}

/* A unit-spike network settles: once the inputs rest, each layer in turn rests within 255 sweeps. */
void nvm_step_finish(nvm_session *session)
{
    uint64_t first = sweep(session, 1);
    for (uint64_t sent = first; session->program->unit && sent != 0;) {
        sent = sweep(session, 0);
    }
    nvm_session_publish(session, 0);
    int moved = nvm_memory_commit(session);
    session->settled = first == 0 && !moved && is_settled(session);
    session->behind = 0;
    session->sent_planes = session->planes;
    nvm_step_count(session);
}

/* Whether all inputs hold these codes already. */
static int are_held(const nvm_session *session, const uint8_t *codes)
{
    const nvm_node *node = session->nodes;
    for (uint32_t left = session->program->n_inputs; left != 0; node++) {
        if (node->layer->kind == NVM_INPUT) {
            size_t bytes = node->layer->n * nvm_code_bytes(node->layer);
            if (memcmp(node->wanted, codes, bytes) != 0) {
                return 0;
            }
            codes += bytes;
            left--;
        }
    }
    return 1;
}

nvm_status nvm_session_step(nvm_session *session, const void *codes, size_t n)
{
    nvm_status status = NVM_OK;
    const uint8_t *from = codes;
    if (session == NULL || codes == NULL || n != session->program->bytes_in) {
        status = NVM_E_ARG;
        goto done;
    }
    if (session->settled && are_held(session, from)) {
        nvm_step_count(session);
        goto done;
    }
    nvm_step_begin(session);
    for (uint32_t i = 0; i < session->end_inputs; i++) {
        nvm_node *node = &session->nodes[i];
        if (node->layer->kind == NVM_INPUT) {
            size_t bytes = node->layer->n * nvm_code_bytes(node->layer);
            memcpy(node->wanted, from, bytes);
            from += bytes;
            nvm_send_input(session->program->isa, node);
        }
    }
    nvm_step_finish(session);
done:
    return status;
}

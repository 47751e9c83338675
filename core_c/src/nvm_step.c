/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_step.c: one step of a session, layer by layer in topological order.
 */
#include "nvm_internal.h"

/* ---- inputs ------------------------------------------------------------------------------- */

static void send_spikes(nvm_node *node)
{
    const int8_t *wanted = node->wanted;
    memcpy(node->codes, wanted, node->layer->n);
    for (uint32_t i = 0; i < node->layer->n; i++) {
        if (wanted[i] != 0) {
            node->events[node->n_events++] = (nvm_event){i, wanted[i]};
        }
    }
}

/* Sends what the wanted codes of an input or a memory differ by from those it sent before. */
static void send_input(const nvm_isa *isa, nvm_node *node)
{
    if (node->layer->flags & NVM_FLAG_SPIKES) {
        send_spikes(node);
    } else if (nvm_is_lazy_sender(node)) {
        nvm_send_all(node, node->wanted);
    } else if (nvm_is_wide(node->layer)) {
        isa->neuron_sd_s16(node, 0, node->wanted, node->layer->n);
    } else {
        isa->neuron_sd_s8(node, 0, node->wanted, node->layer->n);
    }
}

/* Input that holds element i of the concatenated inputs; *first becomes its first element. */
static nvm_node *input_of(nvm_session *session, size_t i, size_t *first)
{
    nvm_node *node = session->nodes;
    for (*first = 0;; node++) {
        if (node->layer->kind == NVM_INPUT) {
            if (i - *first < node->layer->n) {
                return node;
            }
            *first += node->layer->n;
        }
    }
}

/* Sends the inputs' marked elements, ascending. */
static void send_marked(nvm_session *session)
{
    nvm_node *node = NULL;
    size_t first = 0, end = 0;
    for (size_t i; (i = nvm_unmark_next(&session->scratch.marks)) != SIZE_MAX;) {
        if (i >= end) {
            node = input_of(session, i, &first);
            end = first + node->layer->n;
        }
        if (nvm_is_wide(node->layer)) {
            nvm_send_s16(node, i - first, ((const int16_t *)node->wanted)[i - first]);
        } else if (!(node->layer->flags & NVM_FLAG_SPIKES)) {
            nvm_send_s8(node, i - first, ((const int8_t *)node->wanted)[i - first]);
        }
    }
}

/* Sends all inputs that differ from what was sent; of programs without spiking inputs. */
static void send_inputs(nvm_session *session)
{
    for (uint32_t i = 0; i < session->end_inputs; i++) {
        if (session->nodes[i].layer->kind == NVM_INPUT) {
            send_input(session->program->isa, &session->nodes[i]);
        }
    }
}

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
        send_input(isa, node);
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
static void begin_step(nvm_session *session)
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

static void count_step(nvm_session *session)
{
    add_to(&session->counters->steps, 1);
    add_to(&session->counters->dense_macs, session->program->macs);
}

/* A unit-spike network settles: once the inputs rest, each layer in turn rests within 255 sweeps. */
static void finish_step(nvm_session *session)
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
    count_step(session);
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
        count_step(session);
        goto done;
    }
    begin_step(session);
    for (uint32_t i = 0; i < session->end_inputs; i++) {
        nvm_node *node = &session->nodes[i];
        if (node->layer->kind == NVM_INPUT) {
            size_t bytes = node->layer->n * nvm_code_bytes(node->layer);
            memcpy(node->wanted, from, bytes);
            from += bytes;
            send_input(session->program->isa, node);
        }
    }
    finish_step(session);
done:
    return status;
}

int nvm_named_fit(nvm_session *session, const nvm_named *set)
{
    const nvm_node *node = NULL;
    size_t first = 0, end = 0;
    for (size_t k = 0; k < set->n; k++) {
        if (set->index[k] >= session->program->codes_in) {
            return 0;
        }
    }
    for (size_t k = 0; set->wide != NULL && k < set->n; k++) {
        if (set->index[k] < first || set->index[k] >= end) {
            node = input_of(session, set->index[k], &first);
            end = first + node->layer->n;
        }
        if (!nvm_is_wide(node->layer) && set->wide[k] != (int8_t)set->wide[k]) {
            return 0;
        }
    }
    return 1;
}

static int16_t code_of(const nvm_named *set, size_t k)
{
    return set->wide != NULL ? set->wide[k] : set->narrow[k];
}

/* Whether the inputs that are named hold their codes already. */
static int are_named_held(nvm_session *session, const nvm_named *set)
{
    nvm_node *node = NULL;
    size_t first = 0, end = 0;
    for (size_t k = 0; k < set->n; k++) {
        size_t i = set->index[k];
        if (i < first || i >= end) {
            node = input_of(session, i, &first);
            end = first + node->layer->n;
        }
        int16_t held = nvm_is_wide(node->layer) ? ((const int16_t *)node->wanted)[i - first]
                                                : ((const int8_t *)node->wanted)[i - first];
        if (held != code_of(set, k)) {
            return 0;
        }
    }
    return 1;
}

static void want_named(nvm_session *session, const nvm_named *set)
{
    nvm_node *node = NULL;
    size_t first = 0, end = 0;
    for (size_t k = 0; k < set->n; k++) {
        size_t i = set->index[k];
        if (i < first || i >= end) {
            node = input_of(session, i, &first);
            end = first + node->layer->n;
        }
        int16_t code = code_of(set, k);
        if (nvm_is_wide(node->layer)) {
            ((int16_t *)node->wanted)[i - first] = code;
        } else {
            ((int8_t *)node->wanted)[i - first] = (int8_t)code;
        }
        if (!session->in_full) {
            nvm_mark(&session->scratch.marks, i);
        }
    }
}

nvm_status nvm_session_take(nvm_session *session, const nvm_named *set)
{
    nvm_status status = NVM_OK;
    if (session == NULL ||
        (set->n != 0 && (set->index == NULL || (set->narrow == NULL && set->wide == NULL)))) {
        status = NVM_E_ARG;
        goto done;
    }
    if (!nvm_named_fit(session, set)) {
        status = NVM_E_RANGE;
        goto done;
    }
    if (session->settled && are_named_held(session, set)) {
        count_step(session);
        goto done;
    }
    begin_step(session);
    for (uint32_t i = 0; i < session->end_inputs; i++) {
        nvm_node *node = &session->nodes[i];
        if (node->layer->kind == NVM_INPUT && (node->layer->flags & NVM_FLAG_SPIKES)) {
            memset(node->wanted, 0, node->layer->n); /* elements not named do not spike */
        }
    }
    want_named(session, set);
    if (session->behind || session->in_full) {
        nvm_unmark_all(&session->scratch.marks);
        send_inputs(session);
    }
    send_marked(session);
    for (uint32_t i = 0; i < session->end_inputs; i++) {
        nvm_node *node = &session->nodes[i];
        if (node->layer->kind == NVM_INPUT && (node->layer->flags & NVM_FLAG_SPIKES)) {
            send_spikes(node);
        }
    }
    finish_step(session);
done:
    return status;
}

nvm_status nvm_session_update(nvm_session *session, const uint32_t *index, const int8_t *code,
                              size_t n)
{
    nvm_named set = {.index = index, .narrow = code, .n = n};
    return nvm_session_take(session, &set);
}

nvm_status nvm_session_update_s16(nvm_session *session, const uint32_t *index, const int16_t *code,
                                  size_t n)
{
    nvm_named set = {.index = index, .wide = code, .n = n};
    return nvm_session_take(session, &set);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_session_layout.c: where the memory of one stream lies.
 *
 * One block: a session, its nodes, codes and accumulators, then scratch. Event buffers live from
 * the layer that sends to the last one that reads, so a few of them serve the whole network.
 *
 * A session of full runs alone keeps no accumulators from one layer to the next, lists no events and
 * looks for no changed pixels; what a layer's sums need is shared by all.
 */
#include "nvm_layout.h"
#include "nvm_pack.h"

/* More event buffers than this alive at once: the further layers get one of their own. */
#define MAX_SLOTS 32u
#define OWN_SLOT  UINT32_MAX

typedef struct slots {
    uint32_t n[MAX_SLOTS];     /* the most events of a layer, listed or not */
    size_t events[MAX_SLOTS];  /* those that are listed */
    size_t bytes[MAX_SLOTS];   /* of the codes before */
    uint32_t until[MAX_SLOTS]; /* last layer that reads it */
    uint32_t count;
} slots;

static uint32_t last_reader(const nvm_program *program, uint32_t index)
{
    for (uint32_t i = program->n_layers; i-- > index + 1;) {
        const nvm_layer *layer = &program->layers[i];
        for (uint32_t p = 0; p < layer->n_in; p++) {
            if (layer->in[p] == index) {
                return i;
            }
        }
    }
    return index;
}

/* The free slot that wastes or grows least, or a new one. */
static uint32_t choose_slot(slots *plan, uint32_t from, uint32_t until, uint32_t n)
{
    uint32_t best = OWN_SLOT, best_cost = UINT32_MAX;
    for (uint32_t s = 0; s < plan->count; s++) {
        uint32_t cost = plan->n[s] >= n ? plan->n[s] - n : n - plan->n[s];
        if (plan->until[s] < from && cost < best_cost) {
            best = s;
            best_cost = cost;
        }
    }
    if (best == OWN_SLOT && plan->count < MAX_SLOTS) {
        best = plan->count++;
        plan->n[best] = 0;
        plan->events[best] = plan->bytes[best] = 0;
    }
    if (best != OWN_SLOT) {
        plan->until[best] = until;
        plan->n[best] = plan->n[best] > n ? plan->n[best] : n;
    }
    return best;
}

/* How many events of a layer are listed; an LSTM lists those of h from time to time within itself. */
static size_t listed(const nvm_layer *layer, int in_full)
{
    return !in_full ? nvm_event_room(layer) : layer->kind == NVM_LSTM ? layer->n : 0;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static void place_events(const nvm_program *program, int in_full, nvm_block *mem, nvm_node *nodes)
{
    slots plan = {.count = 0};
    nvm_event *buffers[MAX_SLOTS];
    void *olds[MAX_SLOTS];
    nvm_run *runs[MAX_SLOTS];
    for (int inputs = 1; inputs >= 0; inputs--) { /* all inputs send before the first layer runs */
        for (uint32_t i = 0; i < program->n_layers; i++) {
            const nvm_layer *layer = &program->layers[i];
            if ((layer->kind == NVM_INPUT) != inputs || layer->kind == NVM_CONST) {
                continue;
            }
            uint32_t until = last_reader(program, i);
            uint32_t most = (uint32_t)nvm_event_room(layer); /* <= 9 * NVM_MAX_NEURONS */
            uint32_t slot = choose_slot(&plan, inputs ? 0 : i, until, most);
            size_t room = listed(layer, in_full), bytes = layer->n * nvm_code_bytes(layer);
            nvm_event *own = slot == OWN_SLOT ? nvm_take(mem, room, sizeof *own) : NULL;
            void *old = slot == OWN_SLOT ? nvm_take(mem, bytes, 1) : NULL;
            nvm_run *own_runs = slot == OWN_SLOT ? nvm_take(mem, NVM_MAX_RUNS, sizeof *own_runs) : NULL;
            if (slot != OWN_SLOT) {
                plan.bytes[slot] = larger(plan.bytes[slot], bytes);
                plan.events[slot] = larger(plan.events[slot], room);
            }
            if (nodes != NULL) {
                nodes[i].slot = slot;
                nodes[i].events = own;
                nodes[i].old = old;
                nodes[i].runs = own_runs;
            }
        }
    }
    for (uint32_t s = 0; s < plan.count; s++) {
        buffers[s] = nvm_take(mem, plan.events[s], sizeof **buffers);
        olds[s] = nvm_take(mem, plan.bytes[s], 1);
        runs[s] = nvm_take(mem, NVM_MAX_RUNS, sizeof **runs);
    }
    for (uint32_t i = 0; nodes != NULL && i < program->n_layers; i++) {
        nvm_node *node = &nodes[i];
        if (node->layer->kind == NVM_CONST) {
            node->events = node->codes; /* sends none; readers count from here to here */
        } else if (node->slot != OWN_SLOT) {
            node->events = buffers[node->slot];
            node->old = olds[node->slot];
            node->runs = runs[node->slot];
        }
        if (node->layer->kind != NVM_CONST && listed(node->layer, in_full) == 0) {
            node->events = NULL;
        }
        if (node->events != NULL) {
            node->spikes = node->events + node->layer->n;
        }
    }
}

/* Where a step need not look for inputs, memory and outputs. */
static void find_ends(const nvm_program *program, nvm_session *session)
{
    session->first_output = program->n_layers;
    for (uint32_t i = program->n_layers; i-- != 0;) {
        const nvm_layer *layer = &program->layers[i];
        if (layer->kind == NVM_INPUT && session->end_inputs == 0) {
            session->end_inputs = i + 1;
        }
        if (nvm_layer_has_memory(layer) && session->end_memory == 0) {
            session->end_memory = i + 1;
        }
        if (layer->flags & NVM_FLAG_OUTPUT) {
            session->first_output = i;
        }
    }
}

/* The most that any layer needs of what they use one after the other; sums and canvas in bytes. */
typedef struct room {
    size_t marks, drive, sums, canvas, pixels, deltas;
} room;

static room find_room(const nvm_program *program, int in_full)
{
    room most = {.marks = in_full ? 0 : program->codes_in};
    for (uint32_t i = 0; i < program->n_layers; i++) {
        const nvm_layer *layer = &program->layers[i];
        size_t canvas = nvm_canvas_bytes(program, i);
        most.canvas = larger(most.canvas, canvas);
        if (in_full) {
            int has_sums = nvm_layer_keeps_acc(layer) && nvm_packed_of(program, i) == NULL;
            most.sums = larger(most.sums, has_sums ? layer->n * nvm_acc_bytes(layer) : 0);
            continue;
        }
        most.marks = larger(most.marks, layer->n);
        if (nvm_has_tiles_of(layer->kind) ? canvas != 0 : layer->kind == NVM_AVGPOOL) {
            most.pixels = larger(most.pixels, (size_t)layer->in_h * layer->in_w);
        }
        if (canvas != 0 && nvm_has_deltas_of(program->isa, layer)) {
            size_t words = (size_t)layer->in_h * layer->in_w * layer->in_c / 4;
            most.deltas = larger(most.deltas, words + NVM_DELTA_SLACK);
        }
        most.drive = larger(most.drive, layer->neuron != NVM_SD ? layer->n : 0);
    }
    return most;
}

/* What a layer keeps from step to step beside its codes. */
static size_t memory_bytes(const nvm_layer *layer)
{
    return nvm_layer_memory_bytes(layer) + (layer->neuron == NVM_SIF ? layer->n * sizeof(int32_t) : 0);
}

static void place_nodes(const nvm_program *program, int in_full, nvm_block *mem, nvm_node *nodes)
{
    for (uint32_t i = 0; i < program->n_layers; i++) {
        const nvm_layer *layer = &program->layers[i];
        int holds = layer->kind == NVM_INPUT || layer->kind == NVM_STATE;
        size_t width = nvm_code_bytes(layer), bytes = memory_bytes(layer);
        int has_acc = nvm_layer_keeps_acc(layer) && !in_full;
        void *codes = nvm_take(mem, layer->n, width);
        void *wanted = holds ? nvm_take(mem, layer->n, width) : NULL;
        void *acc = has_acc ? nvm_take(mem, layer->n, nvm_acc_bytes(layer)) : NULL;
        void *memory = bytes != 0 ? nvm_take(mem, bytes, 1) : NULL;
        if (nodes != NULL) {
            nvm_resolve_node(program, nodes, i);
            nodes[i].codes = codes;
            nodes[i].wanted = nodes[i].held = wanted;
            nodes[i].acc = acc;
            nodes[i].memory = memory;
        }
    }
}

size_t nvm_session_layout(const nvm_program *program, int in_full, uint8_t *base, nvm_session *session)
{
    nvm_block mem = {.base = base};
    room most = find_room(program, in_full);
    (void)nvm_take(&mem, 1, sizeof *session);
    nvm_node *nodes = nvm_take(&mem, program->n_layers, sizeof *nodes);
    uint8_t *output = nvm_take(&mem, program->bytes_out, sizeof *output);
    place_nodes(program, in_full, &mem, nodes);
    place_events(program, in_full, &mem, nodes);
    uint64_t *bits = nvm_take(&mem, most.marks / 64 + 1, sizeof *bits);
    int32_t *drive = nvm_take(&mem, most.drive, sizeof *drive);
    void *sums = nvm_take(&mem, most.sums, 1);
    uint8_t *read = nvm_take(&mem, most.canvas, sizeof *read);
    uint32_t *list = nvm_take(&mem, most.pixels, sizeof *list);
    nvm_changed *changed = nvm_take(&mem, in_full ? 0 : most.pixels + 1, sizeof *changed);
    int32_t *words = nvm_take(&mem, most.deltas, sizeof *words);
    uint32_t *at = nvm_take(&mem, most.deltas, sizeof *at);
    if (session != NULL) {
        session->nodes = nodes;
        session->output = output;
        session->in_full = in_full;
        session->scratch = (nvm_scratch){.marks = {.words = bits},
                                         .drive = drive,
                                         .begin = base,
                                         .end = base + mem.used,
                                         .canvas = read,
                                         .pixels = list,
                                         .changed = changed,
                                         .most_pixels = most.pixels,
                                         .deltas = {.codes = words, .words = at, .most = most.deltas},
                                         .threads = program->threads};
        find_ends(program, session);
        for (uint32_t i = 0; i < program->n_layers; i++) {
            nvm_node *node = &nodes[i];
            if (in_full && nvm_layer_keeps_acc(node->layer) && node->packed == NULL) {
                node->acc = sums;
            }
            node->sum = node->layer->neuron == NVM_SD ? node->acc : drive;
        }
    }
    return mem.used;
}

int nvm_runs_in_full(const nvm_program *program, nvm_way way)
{
    if (way != NVM_DENSE_WAY || program->unit || program->coding != 0) {
        return 0;
    }
    for (uint32_t i = 0; i < program->n_layers; i++) {
        if (nvm_is_spiking(&program->layers[i])) {
            return 0;
        }
    }
    return 1;
}

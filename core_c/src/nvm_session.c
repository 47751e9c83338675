/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_session.c: the memory of one stream.
 *
 * One block: the session, its nodes, codes and accumulators, then scratch. Event buffers live from
 * the layer that sends to the last one that reads, so a few of them serve the whole network.
 */
#include "nvm_layout.h"
#include "nvm_pack.h"

/* More event buffers than this alive at once: the further layers get one of their own. */
#define MAX_SLOTS 32u
#define OWN_SLOT  UINT32_MAX

typedef struct slots {
    uint32_t n[MAX_SLOTS];     /* events */
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
        plan->bytes[best] = 0;
    }
    if (best != OWN_SLOT) {
        plan->until[best] = until;
        plan->n[best] = plan->n[best] > n ? plan->n[best] : n;
    }
    return best;
}

static void place_events(const nvm_program *program, nvm_block *mem, nvm_node *nodes)
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
            uint32_t room = (uint32_t)nvm_event_room(layer); /* <= 9 * NVM_MAX_NEURONS */
            uint32_t slot = choose_slot(&plan, inputs ? 0 : i, until, room);
            size_t bytes = layer->n * nvm_code_bytes(layer);
            nvm_event *own = slot == OWN_SLOT ? nvm_take(mem, room, sizeof *own) : NULL;
            void *old = slot == OWN_SLOT ? nvm_take(mem, bytes, 1) : NULL;
            nvm_run *own_runs = slot == OWN_SLOT ? nvm_take(mem, NVM_MAX_RUNS, sizeof *own_runs) : NULL;
            if (slot != OWN_SLOT) {
                plan.bytes[slot] = plan.bytes[slot] > bytes ? plan.bytes[slot] : bytes;
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
        buffers[s] = nvm_take(mem, plan.n[s], sizeof **buffers);
        olds[s] = nvm_take(mem, plan.bytes[s], 1);
        runs[s] = nvm_take(mem, NVM_MAX_RUNS, sizeof **runs);
    }
    for (uint32_t i = 0; nodes != NULL && i < program->n_layers; i++) {
        if (program->layers[i].kind == NVM_CONST) {
            nodes[i].events = nodes[i].codes; /* sends none; readers count from here to here */
        } else if (nodes[i].slot != OWN_SLOT) {
            nodes[i].events = buffers[nodes[i].slot];
            nodes[i].old = olds[nodes[i].slot];
            nodes[i].runs = runs[nodes[i].slot];
        }
        if (nodes[i].events != NULL) {
            nodes[i].spikes = nodes[i].events + nodes[i].layer->n;
        }
    }
}

/* Whether both tables of a narrow ADD are straight lines modulo 2^32, as sums of rescaled codes are. */
static void find_slopes(nvm_node *node)
{
    if (node->layer->kind != NVM_ADD || nvm_is_wide(node->layer)) {
        return;
    }
    const uint32_t *tables[] = {node->table0, node->table1};
    node->affine = 1;
    for (int t = 0; t < 2; t++) {
        uint32_t slope = tables[t][1] - tables[t][0];
        for (uint32_t q = 0; q < 256; q++) {
            node->affine &= tables[t][q] == tables[t][0] + q * slope;
        }
        node->slope[t] = (int32_t)slope;
    }
    node->base = (int32_t)(tables[0][128] + tables[1][128]);
}

/* All but its inputs. */
static void resolve_alone(const nvm_program *program, uint32_t index, nvm_node *node)
{
    const nvm_layer *layer = &program->layers[index];
    node->layer = layer;
    node->weights = nvm_arena_at(program, layer->off_weights);
    node->bias = nvm_arena_at(program, layer->off_bias);
    node->scale = nvm_arena_at(program, layer->off_scale);
    node->shift = nvm_arena_at(program, layer->off_shift);
    node->table0 = nvm_arena_at(program, layer->off_table0);
    node->table1 = nvm_arena_at(program, layer->off_table1);
    node->rows = nvm_layer_rows(layer);
    node->cols = nvm_layer_cols(layer);
    node->macs = nvm_layer_macs(layer);
    node->packed = nvm_packed_of(program, index);
    node->pack = program->pack;
    node->forced = NVM_AUTO;
    node->types = (uint8_t)nvm_types_of(program, index);
    node->isa = program->isa;
    find_slopes(node);
    node->kernel = nvm_kernel_of(program->isa, layer->kind, node->types);
    node->coding = nvm_coding_of(layer);
}

void nvm_resolve_node(const nvm_program *program, nvm_node *nodes, uint32_t index)
{
    const nvm_layer *layer = &program->layers[index];
    nvm_node *node = &nodes[index];
    resolve_alone(program, index, node);
    for (uint32_t p = 0; p < layer->n_in; p++) {
        node->in[p] = &nodes[layer->in[p]];
    }
    nvm_estimate_full(node, nvm_costs_of(program, index));
    nvm_forget_choices(node);
}

void nvm_resolve_costs(const nvm_program *program, uint32_t index, nvm_node *node, nvm_node *inputs)
{
    resolve_alone(program, index, node);
    for (uint32_t p = 0; p < node->layer->n_in; p++) {
        inputs[p].layer = &program->layers[node->layer->in[p]];
        node->in[p] = &inputs[p];
    }
    nvm_estimate_full(node, nvm_costs_of(program, index));
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

size_t nvm_session_layout(const nvm_program *program, uint8_t *base, nvm_session *session)
{
    nvm_block mem = {.base = base};
    size_t marks = program->codes_in, drive = 0, canvas = 0, pixels = 0, deltas = 0;
    (void)nvm_take(&mem, 1, sizeof *session);
    nvm_node *nodes = nvm_take(&mem, program->n_layers, sizeof *nodes);
    uint8_t *output = nvm_take(&mem, program->bytes_out, sizeof *output);
    for (uint32_t i = 0; i < program->n_layers; i++) {
        const nvm_layer *layer = &program->layers[i];
        int holds = layer->kind == NVM_INPUT || layer->kind == NVM_STATE;
        size_t width = nvm_code_bytes(layer);
        void *codes = nvm_take(&mem, layer->n, width);
        void *wanted = holds ? nvm_take(&mem, layer->n, width) : NULL;
        void *acc = nvm_layer_keeps_acc(layer) ? nvm_take(&mem, layer->n, nvm_acc_bytes(layer)) : NULL;
        size_t bytes = nvm_layer_memory_bytes(layer);
        bytes += layer->neuron == NVM_SIF ? layer->n * sizeof(int32_t) : 0;
        void *memory = bytes != 0 ? nvm_take(&mem, bytes, 1) : NULL;
        size_t read = nvm_canvas_bytes(program, i);
        marks = marks > layer->n ? marks : layer->n;
        canvas = canvas > read ? canvas : read;
        if (nvm_has_tiles_of(layer->kind) ? read != 0 : layer->kind == NVM_AVGPOOL) {
            size_t all = (size_t)layer->in_h * layer->in_w;
            pixels = pixels > all ? pixels : all;
        }
        if (read != 0 && nvm_has_deltas_of(program->isa, layer)) {
            size_t words = (size_t)layer->in_h * layer->in_w * layer->in_c / 4 + NVM_DELTA_SLACK;
            deltas = deltas > words ? deltas : words;
        }
        if (layer->neuron != NVM_SD) {
            drive = drive > layer->n ? drive : layer->n;
        }
        if (nodes != NULL) {
            nvm_resolve_node(program, nodes, i);
            nodes[i].codes = codes;
            nodes[i].wanted = wanted;
            nodes[i].acc = acc;
            nodes[i].memory = memory;
        }
    }
    place_events(program, &mem, nodes);
    uint64_t *bits = nvm_take(&mem, marks / 64 + 1, sizeof *bits);
    int32_t *sums = nvm_take(&mem, drive, sizeof *sums);
    uint8_t *read = nvm_take(&mem, canvas, sizeof *read);
    uint32_t *list = nvm_take(&mem, pixels, sizeof *list);
    nvm_changed *changed = nvm_take(&mem, pixels + 1, sizeof *changed);
    int32_t *words = nvm_take(&mem, deltas, sizeof *words);
    uint32_t *at = nvm_take(&mem, deltas, sizeof *at);
    if (session != NULL) {
        session->nodes = nodes;
        session->output = output;
        session->scratch = (nvm_scratch){.marks = {.words = bits},
                                         .drive = sums,
                                         .begin = base,
                                         .end = base + mem.used,
                                         .canvas = read,
                                         .pixels = list,
                                         .changed = changed,
                                         .most_pixels = pixels,
                                         .deltas = {.codes = words, .words = at, .most = deltas},
                                         .threads = program->threads};
        find_ends(program, session);
        for (uint32_t i = 0; i < program->n_layers; i++) {
            nodes[i].sum = nodes[i].layer->neuron == NVM_SD ? nodes[i].acc : sums;
        }
    }
    return mem.used;
}

/* An input at its zero point. */
static void rest(nvm_node *node)
{
    const nvm_layer *layer = node->layer;
    int16_t *wide = node->wanted;
    if (!nvm_is_wide(layer)) {
        memset(node->wanted, (layer->flags & NVM_FLAG_SPIKES) ? 0 : layer->zero_out, layer->n);
        return;
    }
    for (size_t i = 0; i < layer->n; i++) {
        wide[i] = layer->zero_out_s16;
    }
}

/* Every input at its zero point, every constant and every memory in place, every potential 0. */
static void begin(nvm_session *session)
{
    for (uint32_t i = 0; i < session->program->n_layers; i++) {
        nvm_node *node = &session->nodes[i];
        const nvm_layer *layer = node->layer;
        if (layer->kind == NVM_INPUT) {
            rest(node);
        } else if (layer->kind == NVM_CONST) {
            memcpy(node->codes, node->table0, layer->n * nvm_code_bytes(layer));
        } else if (layer->neuron != NVM_SD) {
            memset(node->codes, 0, layer->n);
            memset(node->acc, 0, layer->n * sizeof(int32_t));
            if (layer->neuron == NVM_SIF) {
                memset(node->memory, 0, layer->n * sizeof(int32_t));
            }
        }
        nvm_memory_begin(node);
    }
}

nvm_status nvm_session_open(void *mem, size_t len, const nvm_program *program,
                            nvm_counters *counters, nvm_session **out)
{
    nvm_status status = NVM_OK;
    if (mem == NULL || program == NULL || program->n_layers == 0 || out == NULL) {
        status = NVM_E_ARG;
        goto done;
    }
    if ((uintptr_t)mem % NVM_ALIGN != 0 || len < program->session_size ||
        (uintptr_t)counters % sizeof(uint64_t) != 0) {
        status = NVM_E_SIZE;
        goto done;
    }
    memset(mem, 0, program->session_size);
    nvm_session *session = mem;
    session->program = program;
    session->counters = counters != NULL ? counters : &session->own;
    session->planes = 8;
    (void)nvm_session_layout(program, mem, session);
    begin(session);
    *out = session;
done:
    return status;
}

nvm_status nvm_session_init(void *mem, size_t len, const nvm_program *program,
                            nvm_counters *counters, nvm_session **out)
{
    nvm_status status = nvm_session_open(mem, len, program, counters, out);
    if (status == NVM_OK) {
        nvm_session_pass(*out, 1);
    }
    return status;
}

nvm_status nvm_session_reset(nvm_session *session)
{
    nvm_status status = NVM_OK;
    if (session == NULL) {
        status = NVM_E_ARG;
        goto done;
    }
    begin(session);
    nvm_session_pass(session, 1);
done:
    return status;
}

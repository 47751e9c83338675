/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_session.c: the state of one stream, and how it begins.
 */
#include "nvm_pack.h"

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

/* How many inputs of a MEAN, from any multiple of that number on, go to neurons `step` apart. */
static uint32_t find_run(const uint32_t *map, uint32_t n, uint32_t step)
{
    uint32_t run = 1;
    while (run < n && map[run] == map[0] + run * step) {
        run++;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = i % run;
        if (at != 0 && map[i] != map[i - at] + at * step) {
            return 1;
        }
    }
    return run;
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
    if (layer->kind == NVM_MEAN) {
        uint32_t n = program->layers[layer->in[0]].n;
        node->run = find_run(node->table0, n, 1);
        node->same = find_run(node->table0, n, 0);
    }
    node->kernel = nvm_kernel_of(program->isa, layer->kind, node->types);
    node->coding = nvm_coding_of(layer);
}

void nvm_resolve_node(const nvm_program *program, nvm_node *nodes, uint32_t index)
{
    const nvm_layer *layer = &program->layers[index];
    nvm_node *node = &nodes[index];
    resolve_alone(program, index, node);
    node->unread = node->coding == 0;
    for (uint32_t p = 0; p < layer->n_in; p++) {
        node->in[p] = &nodes[layer->in[p]];
        nodes[layer->in[p]].unread = 0;
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

nvm_status nvm_session_open(void *mem, size_t len, const nvm_program *program, nvm_way way,
                            nvm_counters *counters, nvm_session **out)
{
    nvm_status status = NVM_OK;
    if (mem == NULL || program == NULL || program->n_layers == 0 || out == NULL) {
        status = NVM_E_ARG;
        goto done;
    }
    size_t size = nvm_session_size_by(program, way);
    if ((uintptr_t)mem % NVM_ALIGN != 0 || len < size || (uintptr_t)counters % sizeof(uint64_t) != 0) {
        status = NVM_E_SIZE;
        goto done;
    }
    memset(mem, 0, size);
    nvm_session *session = mem;
    session->program = program;
    session->counters = counters != NULL ? counters : &session->own;
    session->planes = 8;
    (void)nvm_session_layout(program, nvm_runs_in_full(program, way), mem, session);
    for (uint32_t i = 0; i < program->n_layers; i++) {
        session->nodes[i].forced = (uint8_t)way;
    }
    begin(session);
    *out = session;
done:
    return status;
}

size_t nvm_session_size_by(const nvm_program *program, nvm_way way)
{
    if (program == NULL || program->n_layers == 0 || !nvm_runs_in_full(program, way)) {
        return nvm_session_size(program);
    }
    return nvm_session_layout(program, 1, NULL, NULL);
}

nvm_status nvm_session_init_by(void *mem, size_t len, const nvm_program *program, nvm_way way,
                               nvm_counters *counters, nvm_session **out)
{
    nvm_status status = nvm_way_status(way);
    if (status == NVM_OK) {
        status = nvm_session_open(mem, len, program, way, counters, out);
    }
    if (status == NVM_OK) {
        nvm_session_pass(*out, !(*out)->in_full);
    }
    return status;
}

nvm_status nvm_session_init(void *mem, size_t len, const nvm_program *program,
                            nvm_counters *counters, nvm_session **out)
{
    return nvm_session_init_by(mem, len, program, NVM_AUTO, counters, out);
}

nvm_status nvm_session_reset(nvm_session *session)
{
    nvm_status status = NVM_OK;
    if (session == NULL) {
        status = NVM_E_ARG;
        goto done;
    }
    begin(session);
    nvm_session_pass(session, !session->in_full);
done:
    return status;
}

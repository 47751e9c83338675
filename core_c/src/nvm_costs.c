/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_costs.c: measured costs as bytes that may be kept and given back, by anybody.
 */
#include "nvm_costs.h"

#define MAGIC   0x74736f43u /* "Cost" */
#define FORMAT  3u          /* and of the estimates that factors are multiples of */
#define MOST_NS 1e12f

typedef struct header {
    uint32_t magic, format, n_layers, packed;
    char isa[16];
} header;

_Static_assert(sizeof(nvm_layer_costs) == 8 * sizeof(float), "kept in files");
_Static_assert(sizeof(header) == 32, "kept in files");

static header header_of(const nvm_program *program)
{
    header h = {.magic = MAGIC,
                .format = FORMAT,
                .n_layers = program->n_layers,
                .packed = program->pack != NULL};
    strncpy(h.isa, program->isa->name, sizeof h.isa - 1);
    return h;
}

size_t nvm_costs_size(const nvm_program *program)
{
    return program == NULL ? 0 : sizeof(header) + program->n_layers * sizeof(nvm_layer_costs);
}

nvm_layer_costs *nvm_costs_begin(const nvm_program *program, void *costs)
{
    header h = header_of(program);
    memset(costs, 0, nvm_costs_size(program));
    memcpy(costs, &h, sizeof h);
    return (nvm_layer_costs *)(void *)((uint8_t *)costs + sizeof h);
}

/* Whether all eight are numbers that mean something. */
static int are_sane(const nvm_layer_costs *costs)
{
    const float *value = &costs->full_ns;
    int sane = costs->reserved == 0.0f && costs->keep_ns >= costs->full_ns;
    for (size_t i = 0; i < sizeof *costs / sizeof *value; i++) {
        sane &= value[i] >= 0.0f && value[i] <= MOST_NS; /* and no NaN */
    }
    return sane;
}

nvm_status nvm_program_costs(nvm_program *program, const void *costs, size_t len)
{
    nvm_status status = NVM_OK;
    if (program == NULL || program->n_layers == 0) {
        status = NVM_E_ARG;
        goto done;
    }
    if (costs == NULL) {
        program->costs = NULL;
        goto done;
    }
    if ((uintptr_t)costs % sizeof(float) != 0 || len != nvm_costs_size(program)) {
        status = NVM_E_SIZE;
        goto done;
    }
    header h = header_of(program);
    if (memcmp(costs, &h, sizeof h) != 0) {
        status = NVM_E_FORMAT;
        goto done;
    }
    const nvm_layer_costs *layers = (const void *)((const uint8_t *)costs + sizeof h);
    for (uint32_t i = 0; i < program->n_layers; i++) {
        if (!are_sane(&layers[i])) {
            status = NVM_E_RANGE;
            goto done;
        }
    }
    program->costs = costs;
done:
    return status;
}

const nvm_layer_costs *nvm_costs_of(const nvm_program *program, uint32_t index)
{
    const uint8_t *costs = program->costs;
    return costs == NULL ? NULL
                         : (const nvm_layer_costs *)(const void *)(costs + sizeof(header)) + index;
}

nvm_status nvm_program_cost(const nvm_program *program, uint32_t layer, nvm_cost_view *view)
{
    nvm_status status = NVM_OK;
    nvm_node nodes[1 + NVM_MAX_INPUTS];
    nvm_node *node = &nodes[NVM_MAX_INPUTS];
    if (program == NULL || view == NULL || layer >= program->n_layers) {
        status = NVM_E_ARG;
        goto done;
    }
    const nvm_layer_costs *costs = nvm_costs_of(program, layer);
    memset(nodes, 0, sizeof nodes);
    memset(view, 0, sizeof *view);
    if (program->layers[layer].n_in == 0) {
        goto done;
    }
    nvm_resolve_costs(program, layer, node, nodes);
    *view = (nvm_cost_view){.full_ns = node->full_ns,
                            .keep_ns = node->costs.keep_ns,
                            .one_ns = nvm_scattered_ns(node, 1),
                            .measured = costs != NULL && costs->full_ns > 0.0f};
    uint32_t low = 0, high = nodes[0].layer->n + 1; /* events are cheaper at low, not at high */
    while (high - low > 1) {
        uint32_t half = low + (high - low) / 2;
        nodes[0].n_events = half;
        if (nvm_scattered_ns(node, half) < node->full_ns) {
            low = half;
        } else {
            high = half;
        }
    }
    view->even = high <= nodes[0].layer->n ? (float)high : 0.0f;
done:
    return status;
}

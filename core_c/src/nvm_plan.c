/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_plan.c: where the codes of every layer lie while rows are predicted.
 *
 * A layer's codes live from the layer itself to the last one that reads them; those that live at
 * the same time never share a byte, all others may. The largest are placed first, each at the
 * lowest gap that the ones beside it in time leave. Outputs are copied away as soon as they are
 * there, constants and memory are read where the program holds them, and neither has a place.
 */
#include "nvm_plan.h"

enum { NO_LAYER = NVM_MAX_LAYERS };

/* 24 KiB on the stack; time O(n_layers^2). */
typedef struct plan {
    const nvm_program *program;
    size_t rows;
    nvm_places *places;
    uint16_t until[NVM_MAX_LAYERS];     /* the last layer that reads it */
    uint16_t next[NVM_MAX_LAYERS + 1];  /* placed ones by ascending place, from [NO_LAYER] on */
    uint16_t largest[NVM_MAX_LAYERS];
} plan;

int nvm_has_place(const nvm_layer *layer)
{
    return layer->kind != NVM_CONST && layer->kind != NVM_STATE;
}

/* In units of NVM_ALIGN bytes; rows of a large layer are few, so that it fits (nvm_predict_rows). */
static uint32_t size_of(const plan *p, size_t layer)
{
    const nvm_layer *l = &p->program->layers[layer];
    return (uint32_t)((p->rows * l->n * nvm_code_bytes(l) + NVM_ALIGN - 1) / NVM_ALIGN);
}

static void find_lives(plan *p)
{
    for (uint32_t i = 0; i < p->program->n_layers; i++) {
        const nvm_layer *layer = &p->program->layers[i];
        p->until[i] = (uint16_t)i;
        for (uint32_t k = 0; k < layer->n_in; k++) {
            p->until[layer->in[k]] = (uint16_t)i;
        }
    }
}

/* Layers that have a place, the largest first and the earlier one among equals. */
static size_t sort_by_size(plan *p)
{
    size_t n = 0;
    for (uint32_t i = 0; i < p->program->n_layers; i++) {
        if (!nvm_has_place(&p->program->layers[i])) {
            p->places->at[i] = 0;
            continue;
        }
        size_t k = n++;
        for (uint32_t size = size_of(p, i); k > 0 && size_of(p, p->largest[k - 1]) < size; k--) {
            p->largest[k] = p->largest[k - 1];
        }
        p->largest[k] = (uint16_t)i;
    }
    return n;
}

static int live_together(const plan *p, size_t a, size_t b)
{
    return a <= p->until[b] && b <= p->until[a];
}

/* Into the lowest gap that is large enough; the end of it. */
static uint32_t place(plan *p, uint16_t layer)
{
    uint32_t size = size_of(p, layer), start = 0;
    uint16_t before = NO_LAYER;
    for (uint16_t k = p->next[NO_LAYER]; k != NO_LAYER; k = p->next[k]) {
        uint32_t at = p->places->at[k], end = at + size_of(p, k);
        if (!live_together(p, layer, k)) {
            continue;
        }
        if (at >= start + size) {
            break;
        }
        start = end > start ? end : start;
    }
    p->places->at[layer] = start;
    while (p->next[before] != NO_LAYER && p->places->at[p->next[before]] <= start) {
        before = p->next[before];
    }
    p->next[layer] = p->next[before];
    p->next[before] = layer;
    return start + size;
}

size_t nvm_plan_codes(const nvm_program *program, size_t rows, nvm_places *places)
{
    plan p = {.program = program, .rows = rows, .places = places};
    uint32_t most = 0;
    find_lives(&p);
    size_t n = sort_by_size(&p);
    p.next[NO_LAYER] = NO_LAYER;
    for (size_t k = 0; k < n; k++) {
        uint32_t end = place(&p, p.largest[k]);
        most = end > most ? end : most;
    }
    return (size_t)most * NVM_ALIGN;
}

size_t nvm_predict_plan(const nvm_program *program, size_t *offset, size_t *bytes)
{
    nvm_places places;
    if (program == NULL || program->n_layers == 0) {
        return 0;
    }
    size_t all = nvm_plan_codes(program, 1, &places);
    for (uint32_t i = 0; i < program->n_layers; i++) {
        const nvm_layer *layer = &program->layers[i];
        if (offset != NULL) {
            offset[i] = (size_t)places.at[i] * NVM_ALIGN;
        }
        if (bytes != NULL) {
            bytes[i] = nvm_has_place(layer) ? layer->n * nvm_code_bytes(layer) : 0;
        }
    }
    return all;
}

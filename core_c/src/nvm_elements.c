/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_elements.c: layers that work element by element (ADD, TABLE): a full run of those runs alone that an
 * input touched.
 */
#include "nvm_internal.h"

/* Nanoseconds, as in nvm_prices.h: to begin with, of a run, and more than in a full run of each element. */
#define ELEMENTS_NS   40.0f
#define RUN_NS        20.0f
#define ELEMENT_SHARE 1.1f

int nvm_is_elementwise(const nvm_node *node)
{
    const nvm_layer *layer = node->layer;
    int is_one = layer->kind == NVM_ADD || (layer->kind == NVM_TABLE && layer->aux[0] == 1);
    return is_one && node->types == NVM_TYPES_s8 && nvm_is_lazy_sender(node);
}

/* Appends [first, end); those that lie close together become one. */
static void append(nvm_node *node, uint32_t first, uint32_t end)
{
    nvm_run *last = node->runs + node->n_runs;
    if (node->n_runs != 0 && (first <= last[-1].end + NVM_NEAR || node->n_runs == NVM_MAX_RUNS)) {
        last[-1].end = end > last[-1].end ? end : last[-1].end;
        return;
    }
    *last = (nvm_run){first, end};
    node->n_runs++;
}

/* A cursor over what an input sent, as runs. */
typedef struct cursor {
    const nvm_node *node;
    size_t at, end;
} cursor;

static nvm_run peek(const cursor *c)
{
    if (c->at == c->end) {
        return (nvm_run){UINT32_MAX, UINT32_MAX};
    }
    if (c->node->lazy) {
        return c->node->n_runs == 0 ? (nvm_run){0, c->node->layer->n} : c->node->runs[c->at];
    }
    uint32_t i = c->node->events[c->at].index;
    return (nvm_run){i, i + 1};
}

static cursor begin(const nvm_node *in)
{
    size_t parts = in->n_runs == 0 ? 1 : in->n_runs;
    return (cursor){.node = in, .end = in->lazy ? parts : in->n_events};
}

size_t nvm_elements_mark(nvm_node *node)
{
    cursor a = begin(node->in[0]), b = begin(node->in[node->layer->n_in - 1]);
    size_t elements = 0;
    node->n_runs = 0;
    while (a.at < a.end || b.at < b.end) {
        nvm_run x = peek(&a), y = peek(&b);
        nvm_run next = x.first <= y.first ? x : y;
        a.at += x.first == next.first;
        b.at += y.first == next.first && y.end <= next.end;
        append(node, next.first, next.end);
    }
    for (uint32_t r = 0; r < node->n_runs; r++) {
        elements += node->runs[r].end - node->runs[r].first;
    }
    return elements;
}

float nvm_elements_ns(const nvm_node *node, size_t elements)
{
    return ELEMENTS_NS + RUN_NS * (float)node->n_runs +
           ELEMENT_SHARE * node->full_ns * (float)elements / (float)node->layer->n;
}

void nvm_elements_tiles(nvm_node *node, nvm_scratch *scratch)
{
    nvm_node part = *node, in[2];
    nvm_layer layer = *node->layer;
    part.layer = &layer;
    part.quiet = 1;
    for (uint32_t p = 0; p < layer.n_in; p++) {
        in[p] = *node->in[p];
        part.in[p] = &in[p];
    }
    for (uint32_t r = 0; r < node->n_runs; r++) {
        nvm_run run = node->runs[r];
        layer.n = run.end - run.first;
        part.codes = (int8_t *)node->codes + run.first;
        for (uint32_t p = 0; p < layer.n_in; p++) {
            in[p].codes = (int8_t *)node->in[p]->codes + run.first;
        }
        memcpy((int8_t *)node->old + run.first, part.codes, layer.n);
        node->kernel->full(&part, scratch);
    }
}

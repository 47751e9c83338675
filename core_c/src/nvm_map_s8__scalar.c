/* SPDX-License-Identifier: Apache-2.0
 *
 * Gather and fill: y[i] = source[i] < 0 ? zero_out : q[source[i]]. An event goes to its targets by
 * the inverse map; targets of all events are sorted by marking them.
 */
#include "nvm_types.h"

#define CHUNK 256

static void fetch_run(nvm_node *node, size_t first, size_t n)
{
    const int32_t *source = (const int32_t *)node->table0 + first;
    const nvm_code_in *codes0 = node->in[0]->codes,
                      *codes1 = node->layer->n_in > 1 ? node->in[1]->codes : NULL;
    size_t n0 = node->in[0]->layer->n;
    nvm_code wanted[CHUNK];
    for (size_t i = 0; i < n; i += CHUNK) {
        size_t part = n - i < CHUNK ? n - i : CHUNK;
        for (size_t k = 0; k < part; k++) {
            int32_t j = source[i + k];
            if (j < 0) {
                wanted[k] = NVM_ZERO_OUT(node->layer);
            } else if ((size_t)j < n0) {
                wanted[k] = codes0[j];
            } else {
                wanted[k] = codes1[(size_t)j - n0];
            }
        }
        nvm_neuron_sd(node, first + i, wanted, part);
    }
}

void NVM_NAME(map_events)(nvm_node *node, nvm_scratch *scratch)
{
    const uint32_t *offsets = node->table1,
                   *targets = (const uint32_t *)(const void *)node->weights;
    size_t base = 0;
    for (size_t p = 0; p < node->layer->n_in; p++) {
        const nvm_node *in = node->in[p];
        for (size_t k = 0; k < in->n_events; k++) {
            size_t j = base + in->events[k].index;
            for (uint32_t t = offsets[j]; t < offsets[j + 1]; t++) {
                nvm_mark(&scratch->marks, targets[t]);
            }
        }
        base += in->layer->n;
    }
    for (size_t first = nvm_unmark_next(&scratch->marks); first != SIZE_MAX;) {
        size_t end = first + 1, next;
        while ((next = nvm_unmark_next(&scratch->marks)) == end) {
            end++;
        }
        fetch_run(node, first, end - first);
        first = next;
    }
}

void NVM_NAME(map_full)(nvm_node *node, nvm_scratch *scratch)
{
    (void)scratch;
    fetch_run(node, 0, node->layer->n);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Mean or sum over any axes: S[map[i]] += q[i], then the layer's requantiser.
 */
#include "nvm_types.h"

#define CHUNK 256

static void fire_run(nvm_node *node, size_t first, size_t n)
{
    nvm_code wanted[CHUNK];
    const int32_t *acc = node->acc;
    for (size_t i = 0; i < n; i += CHUNK) {
        size_t part = n - i < CHUNK ? n - i : CHUNK;
        nvm_requant(node, acc + first + i, 0, part, wanted);
        nvm_neuron_sd(node, first + i, wanted, part);
    }
}

void NVM_NAME(mean_events)(nvm_node *node, nvm_scratch *scratch)
{
    const nvm_node *in = node->in[0];
    const uint32_t *map = node->table0;
    int32_t *acc = node->acc;
    for (size_t k = 0; k < in->n_events; k++) {
        uint32_t out = map[in->events[k].index];
        acc[out] = nvm_add_wrap(acc[out], in->events[k].delta);
        nvm_mark(&scratch->marks, out);
    }
    if (node->behind) {
        nvm_unmark_all(&scratch->marks);
        fire_run(node, 0, node->layer->n);
        return;
    }
    for (size_t first = nvm_unmark_next(&scratch->marks); first != SIZE_MAX;) {
        size_t end = first + 1, next;
        while ((next = nvm_unmark_next(&scratch->marks)) == end) {
            end++;
        }
        fire_run(node, first, end - first);
        first = next;
    }
}

void NVM_NAME(mean_full)(nvm_node *node, nvm_scratch *scratch)
{
    const nvm_node *in = node->in[0];
    const uint32_t *map = node->table0;
    const nvm_code_in *codes = in->codes;
    int32_t *acc = node->acc;
    (void)scratch;
    memset(acc, 0, node->layer->n * sizeof *acc);
    for (size_t i = 0; i < in->layer->n; i++) {
        acc[map[i]] = nvm_add_wrap(acc[map[i]], codes[i]);
    }
    fire_run(node, 0, node->layer->n);
}

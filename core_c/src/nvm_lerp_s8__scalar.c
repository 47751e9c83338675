/* SPDX-License-Identifier: Apache-2.0
 *
 * Weighted means of four codes each (interpolation); touched outputs again, found by the inverse map.
 */
#include "nvm_types.h"

#define CHUNK 256

static nvm_code interpolate(const nvm_node *node, size_t i)
{
    const nvm_layer *layer = node->layer;
    const int32_t *source = (const int32_t *)node->table0 + 4 * i;
    const int32_t *weight = (const int32_t *)node->scale + 4 * i;
    const nvm_code_in *q = node->in[0]->codes;
    int64_t sum = 0;
    for (int k = 0; k < 4; k++) {
        sum += (int64_t)weight[k] * q[source[k]];
    }
    int64_t half = INT64_C(1) << (layer->aux[0] - 1);
    int64_t y = (sum + half - (layer->aux[1] != 0 && sum < 0)) >> layer->aux[0];
    y = y > NVM_LO(layer) ? y : NVM_LO(layer);
    return (nvm_code)(y < NVM_HI(layer) ? y : NVM_HI(layer));
}

static void fire_run(nvm_node *node, size_t first, size_t n)
{
    nvm_code wanted[CHUNK];
    for (size_t i = 0; i < n; i += CHUNK) {
        size_t part = n - i < CHUNK ? n - i : CHUNK;
        for (size_t k = 0; k < part; k++) {
            wanted[k] = interpolate(node, first + i + k);
        }
        nvm_neuron_sd(node, first + i, wanted, part);
    }
}

void NVM_NAME(lerp_events)(nvm_node *node, nvm_scratch *scratch)
{
    const nvm_node *in = node->in[0];
    const uint32_t *offsets = node->table1,
                   *targets = (const uint32_t *)(const void *)node->weights;
    for (size_t k = 0; k < in->n_events; k++) {
        size_t j = in->events[k].index;
        for (uint32_t t = offsets[j]; t < offsets[j + 1]; t++) {
            nvm_mark(&scratch->marks, targets[t]);
        }
    }
    for (size_t i; (i = nvm_unmark_next(&scratch->marks)) != SIZE_MAX;) {
        nvm_send_code(node, i, interpolate(node, i));
    }
}

void NVM_NAME(lerp_full)(nvm_node *node, nvm_scratch *scratch)
{
    (void)scratch;
    fire_run(node, 0, node->layer->n);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * From sums to spikes, shared by all kinds with weights.
 */
#include "nvm_internal.h"

#define CHUNK 256

/* Requantises and sends the neurons [first, first + n) of consecutive channels from 0 on. */
static void fire_run(nvm_node *node, size_t first, size_t n)
{
    const int32_t *acc = node->acc;
    int8_t wanted[CHUNK];
    for (size_t i = 0; i < n; i += CHUNK) {
        size_t part = n - i < CHUNK ? n - i : CHUNK;
        NVM_OWN(requant_s32s8)(node, acc + first + i, i, part, wanted);
        NVM_OWN(neuron_sd_s8)(node, first + i, wanted, part);
    }
}

static void fire_wide(nvm_node *node, size_t first, size_t n)
{
    const int32_t *acc = node->acc;
    const int64_t *long_acc = node->acc;
    int16_t wanted[CHUNK];
    for (size_t i = 0; i < n; i += CHUNK) {
        size_t part = n - i < CHUNK ? n - i : CHUNK;
        if (node->layer->flags & NVM_FLAG_LONG) {
            NVM_OWN(requant_s64s16)(node, long_acc + first + i, i, part, wanted);
        } else {
            NVM_OWN(requant_s32s16)(node, acc + first + i, i, part, wanted);
        }
        NVM_OWN(neuron_sd_s16)(node, first + i, wanted, part);
    }
}

void NVM_OWN(fire_all)(nvm_node *node, nvm_scratch *scratch)
{
    const nvm_layer *layer = node->layer;
    nvm_unmark_all(&scratch->marks);
    if (layer->neuron != NVM_SD) {
        nvm_neuron_lif_s32__scalar(node);
        return;
    }
    for (size_t first = 0; first < layer->n; first += layer->out_c) {
        if (nvm_is_wide(layer)) {
            fire_wide(node, first, layer->out_c);
        } else {
            fire_run(node, first, layer->out_c);
        }
    }
}

void NVM_OWN(fire_marked)(nvm_node *node, nvm_scratch *scratch)
{
    const nvm_layer *layer = node->layer;
    if (layer->neuron != NVM_SD || node->behind) {
        NVM_OWN(fire_all)(node, scratch);
        return;
    }
    for (size_t pixel; (pixel = nvm_unmark_next(&scratch->marks)) != SIZE_MAX;) {
        if (nvm_is_wide(layer)) {
            fire_wide(node, pixel * layer->out_c, layer->out_c);
        } else {
            fire_run(node, pixel * layer->out_c, layer->out_c);
        }
    }
}

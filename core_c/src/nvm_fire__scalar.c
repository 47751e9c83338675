/* SPDX-License-Identifier: Apache-2.0
 *
 * From sums to spikes, shared by all kinds with weights.
 */
#include "nvm_internal.h"

#define CHUNK 256

#ifndef NVM_FIRE_QUICKLY
#define NVM_FIRE_QUICKLY(node, first, end) /* what a set does instead, where it can */
#endif

/* Requantises and sends the neurons [first, first + n), the first of them of channel 0. */
static void fire_run(nvm_node *node, size_t first, size_t n)
{
    const int32_t *acc = node->acc;
    size_t channels = node->layer->out_c;
    int8_t wanted[CHUNK];
    for (size_t i = 0; i < n; i += CHUNK) {
        size_t part = n - i < CHUNK ? n - i : CHUNK;
        NVM_OWN(requant_s32s8)(node, acc + first + i, i % channels, part, wanted);
        NVM_OWN(neuron_sd_s8)(node, first + i, wanted, part);
    }
}

static void fire_wide(nvm_node *node, size_t first, size_t n)
{
    const int32_t *acc = node->acc;
    const int64_t *long_acc = node->acc;
    size_t channels = node->layer->out_c;
    int16_t wanted[CHUNK];
    for (size_t i = 0; i < n; i += CHUNK) {
        size_t part = n - i < CHUNK ? n - i : CHUNK;
        if (node->layer->flags & NVM_FLAG_LONG) {
            NVM_OWN(requant_s64s16)(node, long_acc + first + i, i % channels, part, wanted);
        } else {
            NVM_OWN(requant_s32s16)(node, acc + first + i, i % channels, part, wanted);
        }
        NVM_OWN(neuron_sd_s16)(node, first + i, wanted, part);
    }
}

/* All neurons of the pixels [first, end). */
static void fire_pixels(nvm_node *node, size_t first, size_t end)
{
    NVM_FIRE_QUICKLY(node, first, end)
    size_t channels = node->layer->out_c;
    if (nvm_is_wide(node->layer)) {
        fire_wide(node, first * channels, (end - first) * channels);
    } else {
        fire_run(node, first * channels, (end - first) * channels);
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
    fire_pixels(node, 0, layer->n / layer->out_c);
}

void NVM_OWN(fire_marked)(nvm_node *node, nvm_scratch *scratch)
{
    if (node->layer->neuron != NVM_SD || node->behind) {
        NVM_OWN(fire_all)(node, scratch);
        return;
    }
    for (size_t first = nvm_unmark_next(&scratch->marks); first != SIZE_MAX;) {
        size_t end = first + 1, next;
        while ((next = nvm_unmark_next(&scratch->marks)) == end) {
            end++;
        }
        fire_pixels(node, first, end);
        first = next;
    }
}

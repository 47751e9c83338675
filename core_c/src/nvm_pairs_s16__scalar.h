/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_pairs_s16__scalar.h: element-wise functions of two int16 codes, requantised unless the layer
 * says NONE.
 */
#ifndef NVM_PAIRS_S16_SCALAR_H
#define NVM_PAIRS_S16_SCALAR_H

#include "nvm_internal.h"

#define NVM_PAIRS_CHUNK 64

/* The value of two codes, of element i, before it is requantised. */
typedef int32_t nvm_combine_fn(const nvm_node *node, size_t i, int16_t a, int16_t b);

static inline void nvm_pairs_codes(const nvm_node *node, const int32_t *acc, size_t n,
                                   int16_t *wanted)
{
    const nvm_layer *layer = node->layer;
    if (layer->requant != NVM_RQ_NONE) {
        NVM_OWN(requant_s32s16)(node, acc, 0, n, wanted);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        int32_t y = acc[i] > layer->lo_s16 ? acc[i] : layer->lo_s16;
        wanted[i] = (int16_t)(y < layer->hi_s16 ? y : layer->hi_s16);
    }
}

static inline void nvm_pairs_full(nvm_node *node, nvm_combine_fn *combine)
{
    const int16_t *a = node->in[0]->codes, *b = node->in[1]->codes;
    int32_t acc[NVM_PAIRS_CHUNK];
    int16_t wanted[NVM_PAIRS_CHUNK];
    size_t n = node->layer->n;
    for (size_t first = 0; first < n; first += NVM_PAIRS_CHUNK) {
        size_t part = n - first < NVM_PAIRS_CHUNK ? n - first : NVM_PAIRS_CHUNK;
        for (size_t i = 0; i < part; i++) {
            acc[i] = combine(node, first + i, a[first + i], b[first + i]);
        }
        nvm_pairs_codes(node, acc, part, wanted);
        NVM_OWN(neuron_sd_s16)(node, first, wanted, part);
    }
}

static inline void nvm_pairs_events(nvm_node *node, nvm_combine_fn *combine)
{
    const nvm_event *a = node->in[0]->events, *a_end = a + node->in[0]->n_events;
    const nvm_event *b = node->in[1]->events, *b_end = b + node->in[1]->n_events;
    const int16_t *first = node->in[0]->codes, *second = node->in[1]->codes;
    while (a < a_end || b < b_end) { /* each element once, ascending */
        uint32_t i = a < a_end ? a->index : UINT32_MAX;
        int16_t wanted;
        i = b < b_end && b->index < i ? b->index : i;
        a += a < a_end && a->index == i;
        b += b < b_end && b->index == i;
        int32_t acc = combine(node, i, first[i], second[i]);
        nvm_pairs_codes(node, &acc, 1, &wanted);
        nvm_send_s16(node, i, wanted);
    }
}

#endif

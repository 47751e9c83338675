/* SPDX-License-Identifier: Apache-2.0
 *
 * The index of the first largest code of a row; a touched row again.
 */
#include "nvm_internal.h"

static void fire_row(nvm_node *node, size_t row)
{
    const nvm_layer *layer = node->layer;
    const int8_t *q = (const int8_t *)node->in[0]->codes + row * layer->out_c;
    uint32_t best = 0;
    for (uint32_t i = 1; i < layer->out_c; i++) {
        best = q[i] > q[best] ? i : best;
    }
    int8_t wanted = (int8_t)((int32_t)(best >> 8 * layer->aux[0] & 255) - 128);
    node->isa->neuron_sd_s8(node, row, &wanted, 1);
}

void nvm_argmax_events_s8__scalar(nvm_node *node, nvm_scratch *scratch)
{
    const nvm_node *in = node->in[0];
    uint32_t length = node->layer->out_c;
    (void)scratch;
    for (size_t k = 0; k < in->n_events;) {
        uint32_t row = in->events[k].index / length;
        fire_row(node, row);
        while (k < in->n_events && in->events[k].index / length == row) {
            k++;
        }
    }
}

void nvm_argmax_full_s8__scalar(nvm_node *node, nvm_scratch *scratch)
{
    (void)scratch;
    for (size_t row = 0; row < node->layer->out_h; row++) {
        fire_row(node, row);
    }
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Fully connected: u[o] = bias[o] + sum_i w[i][o] (q[i] - zero_in). An event meets one row.
 */
#include "nvm_rows.h"

void NVM_NAME(dense_events)(nvm_node *node, nvm_scratch *scratch)
{
    const nvm_node *in = node->in[0];
    size_t width = node->layer->out_c;
    nvm_rows_events(node->sum, node->weights, width, in->events, in->n_events, 0, width);
    node->sops += (uint64_t)in->n_events * width;
    nvm_fire_all(node, scratch);
}

void NVM_NAME(dense_full)(nvm_node *node, nvm_scratch *scratch)
{
    const nvm_layer *layer = node->layer;
    size_t width = layer->out_c;
    if (layer->neuron == NVM_SD) {
        memcpy(node->sum, node->bias, width * sizeof(nvm_acc));
    }
    nvm_rows_codes(node->sum, node->weights, width, node->in[0]->codes, layer->in_c,
                              NVM_ZERO_IN(layer), width);
    node->sops += node->macs;
    nvm_fire_all(node, scratch);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * nvm_cost.c: which of the exact ways a layer takes in a step.
 */
#include "nvm_internal.h"

int nvm_prefers_events(const nvm_node *node)
{
    const nvm_layer *layer = node->layer;
    size_t received = 0;
    for (uint32_t p = 0; p < layer->n_in; p++) {
        received += node->in[p]->n_events;
    }
    return received < node->in[0]->layer->n / 2 + 1;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * SIF: integrate and fire with spikes of either sign. It remembers how many it has sent in all, which
 * stays between reset_value and aux[0]: what was sent too early is taken back, and no more than that.
 */
#include "nvm_internal.h"

static int32_t saturate_s32(int64_t x)
{
    x = x < INT32_MAX ? x : INT32_MAX;
    return (int32_t)(x > INT32_MIN ? x : INT32_MIN);
}

void nvm_neuron_sif_s32__scalar(nvm_node *node)
{
    const nvm_layer *layer = node->layer;
    const int32_t *bias = node->bias, *drive = node->sum;
    int32_t *acc = node->acc, *sent = node->memory, most = (int32_t)layer->aux[0];
    int8_t *codes = node->codes;
    for (size_t i = 0; i < layer->n;) {
        for (size_t c = 0; c < layer->out_c; c++, i++) {
            int64_t u = saturate_s32((int64_t)acc[i] + bias[c] + drive[i]);
            int spike = (2 * u >= layer->theta && sent[i] < most) -
                        (2 * u < -(int64_t)layer->theta && sent[i] > layer->reset_value);
            acc[i] = saturate_s32(u - spike * (int64_t)layer->theta);
            sent[i] += spike;
            codes[i] = (int8_t)spike;
            if (spike != 0) {
                node->events[node->n_events++] = (nvm_event){(uint32_t)i, spike};
            }
        }
    }
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * IF and LIF: u <- sat32(((u leak_q16 + 2^15) >> 16) + b + drive), spike when u >= theta, reset.
 * leak_q16 = 65536 (IF) leaves u as it is.
 */
#include "nvm_internal.h"

static int32_t saturate_s32(int64_t x)
{
    x = x < INT32_MAX ? x : INT32_MAX;
    return (int32_t)(x > INT32_MIN ? x : INT32_MIN);
}

static int32_t reset_of(const nvm_layer *layer, int32_t u)
{
    switch (layer->reset) {
    case NVM_RESET_VALUE:
        return layer->reset_value;
    case NVM_RESET_SUBTRACT:
        return saturate_s32((int64_t)u - layer->theta);
    default:
        return 0;
    }
}

void nvm_neuron_lif_s32__scalar(nvm_node *node)
{
    const nvm_layer *layer = node->layer;
    int64_t leak_q16 = layer->leak_q16;
    const int32_t *bias = node->bias, *drive = node->sum;
    int32_t *acc = node->acc;
    int8_t *codes = node->codes;
    if (layer->neuron == NVM_SIF) {
        nvm_neuron_sif_s32__scalar(node);
        return;
    }
    for (size_t i = 0; i < layer->n;) {
        for (size_t c = 0; c < layer->out_c; c++, i++) {
            /* |u leak| <= 2^47; the three terms stay below 2^34. */
            int64_t sum =
                ((acc[i] * leak_q16 + (1 << 15)) >> 16) + bias[c] + drive[i];
            int32_t u = saturate_s32(sum);
            int spike = u >= layer->theta;
            acc[i] = spike ? reset_of(layer, u) : u;
            codes[i] = (int8_t)spike;
            if (spike) {
                node->events[node->n_events++] = (nvm_event){(uint32_t)i, 1};
            }
        }
    }
}

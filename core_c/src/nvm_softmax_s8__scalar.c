/* SPDX-License-Identifier: Apache-2.0
 *
 * Softmax over rows by a table of exponentials; a touched row again. Every float operation rounds
 * to float in the order written, so the bits are the same everywhere.
 */
#include "nvm_types.h"

#define CHUNK 256

/* Half away from zero, then clamp; p >= 0 or NaN (an inverse of 0 or infinity), which becomes lo. */
static nvm_code round_code(const nvm_layer *layer, float p)
{
    int32_t zero = NVM_ZERO_OUT(layer);
    float lo = (float)(NVM_LO(layer) - zero), hi = (float)(NVM_HI(layer) - zero);
    p = p > lo ? p : lo;
    p = p < hi ? p : hi;
    int32_t whole = (int32_t)p;
    float rest = p - (float)whole;
    whole += (rest >= 0.5f) - (rest <= -0.5f);
    return (nvm_code)(whole + zero);
}

static void fire_row(nvm_node *node, size_t row)
{
    const nvm_layer *layer = node->layer;
    const float *t = node->table0, *scale = node->scale;
    size_t length = layer->out_c, first = row * length;
    const nvm_code_in *q = (const nvm_code_in *)node->in[0]->codes + first;
    nvm_code wanted[CHUNK];
    int32_t max = INT8_MIN;
    float sum = 0.0f;
    for (size_t i = 0; i < length; i++) {
        max = q[i] > max ? q[i] : max;
    }
    for (size_t i = 0; i < length; i++) {
        sum += t[max - q[i]];
    }
    float inverse = 1.0f / (sum * *scale);
    for (size_t i = 0; i < length; i += CHUNK) {
        size_t part = length - i < CHUNK ? length - i : CHUNK;
        for (size_t k = 0; k < part; k++) {
            wanted[k] = round_code(layer, t[max - q[i + k]] * inverse);
        }
        nvm_neuron_sd(node, first + i, wanted, part);
    }
}

void NVM_NAME(softmax_events)(nvm_node *node, nvm_scratch *scratch)
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

void NVM_NAME(softmax_full)(nvm_node *node, nvm_scratch *scratch)
{
    (void)scratch;
    for (size_t row = 0; row < node->layer->out_h; row++) {
        fire_row(node, row);
    }
}

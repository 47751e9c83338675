/* SPDX-License-Identifier: Apache-2.0
 *
 * Softmax over rows of int16 codes by two tables: exponentials, and 1 / (1 + x); a touched row again.
 */
#include "nvm_internal.h"

#define CHUNK 256

/* 2^15 / (sum / 2^k) for the k that puts the quotient's divisor in [1, 2); sum in [2^14, 2^31). */
static int32_t reciprocal(const int16_t *table, int32_t sum, int32_t zeros)
{
    int64_t v = ((((int64_t)sum << (zeros - 1)) + (1 << 13)) >> 14) - (1 << 16);
    v = v > 0 ? v : 0;
    v = v < 65535 ? v : 65535;
    const int16_t *at = table + (v >> 7);
    return at[0] + (((at[1] - at[0]) * (int32_t)(v & 127) + 64) >> 7);
}

static void fire_row(nvm_node *node, size_t row)
{
    const nvm_layer *layer = node->layer;
    const int16_t *t = node->table0;
    size_t length = layer->out_c, first = row * length;
    const int16_t *q = (const int16_t *)node->in[0]->codes + first;
    int16_t wanted[CHUNK];
    int32_t max = INT16_MIN, sum = 0;
    for (size_t i = 0; i < length; i++) {
        max = q[i] > max ? q[i] : max;
    }
    for (size_t i = 0; i < length; i++) {
        sum += t[max - q[i]]; /* < 2^16 codes of < 2^15 each */
    }
    int32_t zeros = __builtin_clz((uint32_t)sum), right = 31 - zeros;
    int64_t scale = reciprocal(node->table1, sum, zeros);
    for (size_t i = 0; i < length; i += CHUNK) {
        size_t part = length - i < CHUNK ? length - i : CHUNK;
        for (size_t k = 0; k < part; k++) {
            int64_t y = (t[max - q[i + k]] * scale + (INT64_C(1) << (right - 1))) >> right;
            y = y > layer->lo_s16 ? y : layer->lo_s16;
            wanted[k] = (int16_t)(y < layer->hi_s16 ? y : layer->hi_s16);
        }
        nvm_neuron_sd_s16__scalar(node, first + i, wanted, part);
    }
}

void nvm_softmax_events_s16__scalar(nvm_node *node, nvm_scratch *scratch)
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

void nvm_softmax_full_s16__scalar(nvm_node *node, nvm_scratch *scratch)
{
    (void)scratch;
    for (size_t row = 0; row < node->layer->out_h; row++) {
        fire_row(node, row);
    }
}

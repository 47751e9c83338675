/* SPDX-License-Identifier: Apache-2.0
 *
 * Softmax over rows by a table of exponentials; a touched row again. Every float operation rounds
 * to float in the order written, so the bits are the same everywhere.
 */
#include "nvm_types.h"

#define CHUNK    256
#define TOGETHER 4 /* rows */

/* Half away from zero, then clamp; p >= 0 or NaN (an inverse of 0 or infinity), which becomes lo. */
static void round_codes(const nvm_layer *layer, const float *restrict t, float inverse, size_t n,
                        nvm_code *restrict codes)
{
    int32_t zero = NVM_ZERO_OUT(layer);
    float lo = (float)(NVM_LO(layer) - zero), hi = (float)(NVM_HI(layer) - zero);
    for (size_t i = 0; i < n; i++) {
        float p = t[i] * inverse;
        p = p > lo ? p : lo;
        p = p < hi ? p : hi;
        int32_t whole = (int32_t)p;
        float rest = p - (float)whole;
        whole += (rest >= 0.5f) - (rest <= -0.5f);
        codes[i] = (nvm_code)(whole + zero);
    }
}

/* t[max - q] of n codes. */
static inline void look_up(const float *t, int32_t max, const nvm_code_in *q, size_t n, float *restrict to)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = t[max - q[i]];
    }
}

static int32_t find_max(const nvm_code_in *q, size_t n)
{
    nvm_code_in max = NVM_IN_MIN;
    for (size_t i = 0; i < n; i++) {
        max = q[i] > max ? q[i] : max;
    }
    return max;
}

/* `rows` rows at once: each sum is added in order, where one addition waits for the one before it. */
static inline __attribute__((always_inline)) void fire_rows(nvm_node *node, size_t row, size_t rows)
{
    const nvm_layer *layer = node->layer;
    const float *t = node->table0, *scale = node->scale;
    size_t length = layer->out_c, first = row * length;
    const nvm_code_in *q = (const nvm_code_in *)node->in[0]->codes + first;
    nvm_code wanted[CHUNK];
    float sum[TOGETHER] = {0.0f}, values[CHUNK];
    int32_t max[TOGETHER];
    for (size_t r = 0; r < rows; r++) {
        max[r] = find_max(q + r * length, length);
    }
    for (size_t i = 0; i < length; i++) {
        for (size_t r = 0; r < rows; r++) {
            sum[r] += t[max[r] - q[r * length + i]];
        }
    }
    for (size_t r = 0; r < rows; r++) {
        float inverse = 1.0f / (sum[r] * *scale);
        for (size_t i = 0; i < length; i += CHUNK) {
            size_t part = length - i < CHUNK ? length - i : CHUNK, at = r * length + i;
            look_up(t, max[r], q + at, part, values);
            round_codes(layer, values, inverse, part, wanted);
            nvm_neuron_sd(node, first + at, wanted, part);
        }
    }
}

static void fire_row(nvm_node *node, size_t row)
{
    fire_rows(node, row, 1);
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
    size_t row = 0, rows = node->layer->out_h;
    (void)scratch;
    for (; rows - row >= TOGETHER; row += TOGETHER) {
        fire_rows(node, row, TOGETHER);
    }
    for (; row < rows; row++) {
        fire_row(node, row);
    }
}

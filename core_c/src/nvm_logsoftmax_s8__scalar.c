/* SPDX-License-Identifier: Apache-2.0
 *
 * Logarithm of the softmax over rows, by a table of exponentials; a touched row again. Every
 * operation rounds in the order written and the logarithm is computed here, so that the bits are
 * the same everywhere.
 */
#include "nvm_internal.h"

#define CHUNK 256

/* ln x of a normal x > 0 by 2 artanh((m - 1) / (m + 1)), m in [2/3, 4/3): within 2^-50. */
static double logarithm(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int exponent = (int)(bits >> 52) - 1023;
    bits = (bits & UINT64_C(0xFFFFFFFFFFFFF)) | UINT64_C(0x3FF0000000000000);
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m >= 4.0 / 3.0) {
        m /= 2.0;
        exponent++;
    }
    double f = (m - 1.0) / (m + 1.0), square = f * f, series = 0.0;
    for (int k = 23; k >= 1; k -= 2) {
        series = series * square + 1.0 / k;
    }
    return (double)exponent * 0.69314718055994530942 + 2.0 * f * series;
}

/* Half to even after clamping; |v| < 2^22. */
static int8_t round_code(const nvm_layer *layer, float v)
{
    float lo = (float)(layer->lo - layer->zero_out), hi = (float)(layer->hi - layer->zero_out);
    v = v > lo ? v : lo;
    v = v < hi ? v : hi;
    return (int8_t)((int32_t)((v + 12582912.0f) - 12582912.0f) + layer->zero_out);
}

static void fire_row(nvm_node *node, size_t row)
{
    const nvm_layer *layer = node->layer;
    const float *t = node->table0, *scale = node->scale; /* of the input, of the output */
    size_t length = layer->out_c, first = row * length;
    const int8_t *q = (const int8_t *)node->in[0]->codes + first;
    int8_t wanted[CHUNK];
    int32_t max = INT8_MIN;
    float sum = 0.0f, ratio = scale[0] / scale[1];
    for (size_t i = 0; i < length; i++) {
        max = q[i] > max ? q[i] : max;
    }
    for (size_t i = 0; i < length; i++) {
        sum += t[max - q[i]];
    }
    float above = scale[0] * (float)max + (float)logarithm((double)sum);
    float offset = above / scale[1];
    for (size_t i = 0; i < length; i += CHUNK) {
        size_t part = length - i < CHUNK ? length - i : CHUNK;
        for (size_t k = 0; k < part; k++) {
            wanted[k] = round_code(layer, ratio * (float)q[i + k] - offset);
        }
        nvm_neuron_sd_s8__scalar(node, first + i, wanted, part);
    }
}

void nvm_logsoftmax_events_s8__scalar(nvm_node *node, nvm_scratch *scratch)
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

void nvm_logsoftmax_full_s8__scalar(nvm_node *node, nvm_scratch *scratch)
{
    (void)scratch;
    for (size_t row = 0; row < node->layer->out_h; row++) {
        fire_row(node, row);
    }
}

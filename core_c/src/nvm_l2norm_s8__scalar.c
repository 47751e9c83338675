/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows divided by their Euclidean length, in fixed point; a touched row again.
 */
#include "nvm_internal.h"

#define CHUNK 256

static int64_t product(int64_t a, int64_t b)
{
    return (a * b + (INT64_C(1) << 30)) >> 31;
}

static int64_t saturate(int64_t a)
{
    return a > INT32_MAX ? INT32_MAX : a < INT32_MIN ? INT32_MIN : a;
}

/* 1 / sqrt(n) = m 2^(e - 31), e <= 0: five Newton steps from 1 in Q3.28 (gemmlowp). n >= 0. */
static void inverse_root(int32_t n, int64_t *m, int32_t *e)
{
    int32_t right = 11;
    if (n <= 1) {
        *m = INT32_MAX;
        *e = 0;
        return;
    }
    while (n >= 1 << 29) {
        n /= 4;
        right++;
    }
    int32_t pairs = (__builtin_clz((uint32_t)n) - 1) / 2 - 1;
    int64_t value = ((int64_t)n << 2 * pairs) >> 1, half = (value + 1) >> 1, x = 1 << 28;
    for (int k = 0; k < 5; k++) {
        int64_t cube = saturate(product(product(x, x), x) * 64);
        x = saturate((product((1 << 28) + (1 << 27), x) - product(half, cube)) * 8);
    }
    right -= pairs;
    *m = product(x, 1518500250);
    *e = -right;
    if (right < 0) {
        *m <<= -right;
        *e = 0;
    }
}

static void fire_row(nvm_node *node, size_t row)
{
    const nvm_layer *layer = node->layer;
    const int32_t *t = node->table0;
    size_t length = layer->out_c, first = row * length;
    const int8_t *q = (const int8_t *)node->in[0]->codes + first;
    int8_t wanted[CHUNK];
    int32_t sum = 0, e;
    int64_t m;
    for (size_t i = 0; i < length; i++) {
        sum += t[q[i] + 128] * t[q[i] + 128];
    }
    inverse_root(sum, &m, &e);
    e += 7;
    int32_t left = e > 0 ? e : 0, right = e < 0 ? -e : 0;
    for (size_t i = 0; i < length; i += CHUNK) {
        size_t part = length - i < CHUNK ? length - i : CHUNK;
        for (size_t k = 0; k < part; k++) {
            int64_t y = product((int64_t)t[q[i + k] + 128] * (1 << left), m);
            if (right > 0) {
                y = (y + (INT64_C(1) << (right - 1)) - (y < 0)) >> right;
            }
            y += layer->zero_out;
            y = y > layer->lo ? y : layer->lo;
            wanted[k] = (int8_t)(y < layer->hi ? y : layer->hi);
        }
        nvm_neuron_sd_s8__scalar(node, first + i, wanted, part);
    }
}

void nvm_l2norm_events_s8__scalar(nvm_node *node, nvm_scratch *scratch)
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

void nvm_l2norm_full_s8__scalar(nvm_node *node, nvm_scratch *scratch)
{
    (void)scratch;
    for (size_t row = 0; row < node->layer->out_h; row++) {
        fire_row(node, row);
    }
}
